// Small kernels for tests of the public API: each makes one thing visible.
#include "../../kernels/kiln_hip.h"

/// Keeps `kWords` words a lane in scratch, in an order that only the data knows, and says how many came
/// back wrong. `rounds` makes it last.
template <int kWords>
__device__ __forceinline__ void scratch_words(uint32_t* wrong, uint32_t seed, uint32_t rounds) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  uint32_t words[kWords];
  uint32_t bad = 0;
  for (uint32_t round = 0; round < rounds; round++) {
    const uint32_t key = (seed + round) * 2654435761u + i;
    for (uint32_t k = 0; k < kWords; k++) words[(k * 5 + seed) % kWords] = key ^ k * 77u;
    __builtin_amdgcn_s_sleep(1);
    for (uint32_t k = 0; k < kWords; k++)
      bad += words[(k * 5 + seed) % kWords] != (key ^ k * 77u);
  }
  wrong[i] = bad;
}

extern "C" {

__global__ void fill(uint32_t* out, uint32_t value) {
  out[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

/// Reads what another workgroup wrote: element i takes element n-1-i.
__global__ void mirror_add(const uint32_t* in, uint32_t* out, uint32_t count, uint32_t add) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = in[count - 1 - i] + add;
}

/// Never ends: nothing writes the word it waits for.
__global__ void endless(uint32_t* word) {
  while (__hip_atomic_load(word, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_SYSTEM) != 0xffffffffu)
    __builtin_amdgcn_s_sleep(2);
}

/// Waits inside the kernel for a timeline, then says what it saw.
__global__ void wait_timeline(const uint64_t* payload, uint64_t value, uint64_t* seen) {
  uint64_t now;
  do {
    now = __hip_atomic_load(payload, __ATOMIC_ACQUIRE, __HIP_MEMORY_SCOPE_SYSTEM);
    __builtin_amdgcn_s_sleep(2);
  } while (now < value);
  *seen = now;
}

/// The XCC that each workgroup ran on (HW_REG_XCC_ID is register 20 from gfx940 on; LLVM
/// AMDGPUUsage), and the size of its waves.
__global__ void where(uint32_t* xcc, uint32_t* wave_size) {
  if (threadIdx.x != 0) return;
#if defined(__gfx942__)
  xcc[blockIdx.x] = __builtin_amdgcn_s_getreg(20 | 3 << 11);
#else
  xcc[blockIdx.x] = 0;
#endif
  wave_size[blockIdx.x] = __builtin_amdgcn_wavefrontsize();
}

/// v = v * 2654435761 + 1, many times.
__global__ void busy(uint32_t* out, uint32_t seed, uint32_t rounds) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  uint32_t value = seed + i;
  for (uint32_t round = 0; round < rounds; round++) value = value * 2654435761u + 1;
  out[i] = value;
}

/// Each thread sums `per_thread` neighbours.
__global__ void sum_runs(const uint32_t* in, uint32_t* out, uint32_t count, uint32_t per_thread) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  uint32_t sum = 0;
  for (uint32_t k = 0; k < per_thread; k++) {
    const uint32_t at = i * per_thread + k;
    if (at < count) sum += in[at];
  }
  if (i * per_thread < count) out[i] = sum;
}

/// 16 KiB of LDS and at most 128 threads in a workgroup.
__global__ void __attribute__((amdgpu_flat_work_group_size(1, 128))) lds_16k(uint32_t* out) {
  __shared__ uint32_t words[4096];
  for (uint32_t i = threadIdx.x; i < 4096; i += blockDim.x) words[i] = i * 3;
  __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = words[4095 - threadIdx.x];
}

/// Arguments of every size, to see where they land.
__global__ void arguments(uint64_t* out, uint8_t a, uint16_t b, uint32_t c, uint64_t d, float e) {
  if (threadIdx.x != 0) return;
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
  out[4] = (uint64_t)(e * 4);
}

/// What it is told of the grid.
__global__ void grid(uint32_t* out) {
  if (threadIdx.x != 0 || blockIdx.x != 0) return;
  out[0] = kiln_implicit_arguments()->block_count[0];
  out[1] = kiln_implicit_arguments()->group_size[0];
}

/// Two sizes of scratch.
__global__ void scratch_small(uint32_t* wrong, uint32_t seed, uint32_t rounds) {
  scratch_words<64>(wrong, seed, rounds);
}
__global__ void scratch_large(uint32_t* wrong, uint32_t seed, uint32_t rounds) {
  scratch_words<512>(wrong, seed, rounds);
}

/// Counts its own runs.
__global__ void count_up(uint32_t* counter) {
  atomicAdd(counter, 1u);
}

}  // extern "C"

// Kernels of client.c. Freestanding: the program that runs them has no HIP.
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define KERNEL extern "C" __global__ void

using uint = unsigned int;

__device__ inline uint thread() {
  return __builtin_amdgcn_workgroup_id_x() * __builtin_amdgcn_workgroup_size_x() +
         __builtin_amdgcn_workitem_id_x();
}

// One step of a chain: the steps do not commute, so that their order shows.
KERNEL chain_step(uint* data, uint count, uint factor, uint addend) {
  const uint i = thread();
  if (i < count) data[i] = data[i] * factor + addend;
}

// Rotates what the block read, through LDS; the last block may be partial.
KERNEL rotate_blocks(const uint* in, uint* out, uint count, uint by) {
  __shared__ uint tile[256];
  const uint lane = __builtin_amdgcn_workitem_id_x();
  const uint first = thread() - lane;
  const uint size = count - first < 256 ? count - first : 256;
  if (lane < size) tile[lane] = in[first + lane];
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
  if (lane < size) out[first + lane] = tile[(lane + by) % size];
}

// An array that data indexes does not fit registers: scratch memory.
KERNEL private_walk(const uint* in, uint* out, uint count) {
  const uint i = thread();
  if (i >= count) return;
  uint slots[64];
  uint value = in[i];
  for (uint s = 0; s < 64; s++) slots[s] = value + s * 0x01000193u;
  for (uint s = 0; s < 256; s++) {
    const uint at = value % 64;
    value = value * 1664525u + slots[at];
    slots[at] = value ^ s;
  }
  out[i] = value;
}

// 3D grid with partial blocks: each thread writes where it is.
KERNEL where_am_i(uint* out, uint width, uint height, uint depth) {
  const uint x = thread();
  const uint y = __builtin_amdgcn_workgroup_id_y() * __builtin_amdgcn_workgroup_size_y() +
                 __builtin_amdgcn_workitem_id_y();
  const uint z = __builtin_amdgcn_workgroup_id_z() * __builtin_amdgcn_workgroup_size_z() +
                 __builtin_amdgcn_workitem_id_z();
  if (x < width && y < height && z < depth)
    out[(z * height + y) * width + x] = x | y << 10 | z << 20;
}

KERNEL count_up(uint* counter, uint times) {
  for (uint i = 0; i < times; i++)
    __hip_atomic_fetch_add(counter, 1u, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

// Owns: the few device-side declarations that HIP kernels need when no ROCm is installed.
// Does not own: the host side of HIP; math beyond what clang's builtins give.
// Threading: device code.
#pragma once

#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __constant__ __attribute__((constant))
#define __shared__ __attribute__((shared))
#define __noinline__ __attribute__((noinline))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(threads) __attribute__((launch_bounds(threads)))

using int8_t = signed char;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned int;
using int64_t = long long;
using uint64_t = unsigned long long;

#if defined(__GFX9__) || defined(KILN_WAVE64)
inline constexpr int kWaveSize = 64;
#else
inline constexpr int kWaveSize = 32;
#endif

// --- where am I ---------------------------------------------------------------------------------

#define KILN_COORDINATE(member, expression)                  \
  __declspec(property(get = get_##member)) uint32_t member;  \
  __device__ __forceinline__ uint32_t get_##member() const { \
    return expression;                                       \
  }

struct KilnThreadIdx {
  KILN_COORDINATE(x, __builtin_amdgcn_workitem_id_x())
  KILN_COORDINATE(y, __builtin_amdgcn_workitem_id_y())
  KILN_COORDINATE(z, __builtin_amdgcn_workitem_id_z())
};
struct KilnBlockIdx {
  KILN_COORDINATE(x, __builtin_amdgcn_workgroup_id_x())
  KILN_COORDINATE(y, __builtin_amdgcn_workgroup_id_y())
  KILN_COORDINATE(z, __builtin_amdgcn_workgroup_id_z())
};

/// Behind a kernel's own arguments (LLVM AMDGPUUsage, "Code Object V5 Metadata", hidden arguments).
struct KilnImplicitArguments {
  uint32_t block_count[3];  // whole blocks only
  uint16_t group_size[3];
  uint16_t remainder[3];  // size of the last, partial block; 0: there is none
  uint64_t reserved[2];
  uint64_t global_offset[3];
  uint16_t grid_dims;
};
using KilnImplicitPointer = const __attribute__((address_space(4))) KilnImplicitArguments*;
__device__ __forceinline__ KilnImplicitPointer kiln_implicit_arguments() {
  return (KilnImplicitPointer)__builtin_amdgcn_implicitarg_ptr();
}

/// As in HIP: the size of a whole block, also inside a partial one.
struct KilnBlockDim {
  KILN_COORDINATE(x, kiln_implicit_arguments()->group_size[0])
  KILN_COORDINATE(y, kiln_implicit_arguments()->group_size[1])
  KILN_COORDINATE(z, kiln_implicit_arguments()->group_size[2])
};
__device__ __forceinline__ uint32_t kiln_grid_dim(int dimension) {
  return kiln_implicit_arguments()->block_count[dimension] +
         (kiln_implicit_arguments()->remainder[dimension] != 0 ? 1u : 0u);
}
struct KilnGridDim {
  KILN_COORDINATE(x, kiln_grid_dim(0))
  KILN_COORDINATE(y, kiln_grid_dim(1))
  KILN_COORDINATE(z, kiln_grid_dim(2))
};
#undef KILN_COORDINATE

extern const __device__ __attribute__((weak)) KilnThreadIdx threadIdx;
extern const __device__ __attribute__((weak)) KilnBlockIdx blockIdx;
extern const __device__ __attribute__((weak)) KilnBlockDim blockDim;
extern const __device__ __attribute__((weak)) KilnGridDim gridDim;

__device__ __forceinline__ int lane_id() {
  const int low = __builtin_amdgcn_mbcnt_lo(~0u, 0);
  return kWaveSize == 64 ? __builtin_amdgcn_mbcnt_hi(~0u, low) : low;
}

// --- together -----------------------------------------------------------------------------------

__device__ __forceinline__ void __syncthreads() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}

template <class T>
__device__ __forceinline__ T atomicAdd(T* address, T value) {
  // Native float atomics: the buffers are ordinary device memory.
  [[clang::atomic(no_remote_memory, no_fine_grained_memory, ignore_denormal_mode)]] {
    return __hip_atomic_fetch_add(address, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
  }
}
template <class T>
__device__ __forceinline__ T atomicMax(T* address, T value) {
  return __hip_atomic_fetch_max(address, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
template <class T>
__device__ __forceinline__ T atomicAddShared(T* address, T value) {
  return __hip_atomic_fetch_add(address, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_WORKGROUP);
}

// --- across lanes -------------------------------------------------------------------------------

/// The value of another lane of the same 32 (ds_bpermute reaches no further in wave64 on RDNA).
__device__ __forceinline__ int shuffle32(int value, int lane) {
  return __builtin_amdgcn_ds_bpermute(lane << 2, value);
}
__device__ __forceinline__ int read_lane(int value, int lane) {
  return __builtin_amdgcn_readlane(value, lane);
}
__device__ __forceinline__ uint64_t ballot(bool predicate) {
#if defined(__GFX9__) || defined(KILN_WAVE64)
  return __builtin_amdgcn_ballot_w64(predicate);
#else
  return __builtin_amdgcn_ballot_w32(predicate);
#endif
}
/// How many lanes before this one have their bit set.
__device__ __forceinline__ int count_before(uint64_t mask) {
  const int low = __builtin_amdgcn_mbcnt_lo((uint32_t)mask, 0);
  return kWaveSize == 64 ? __builtin_amdgcn_mbcnt_hi((uint32_t)(mask >> 32), low) : low;
}

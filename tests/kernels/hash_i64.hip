// 64-bit integer work: the splitmix64 mixing steps, rotates, signed and unsigned division, the high
// half of a product, bit counts, and an atomic xor and 64-bit add of everything.
#include "kiln_hip.h"

struct HashResult {
  uint64_t sum;
  uint64_t exclusive_or;
};

__device__ __forceinline__ uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

__device__ __forceinline__ uint64_t rotate(uint64_t value, uint32_t by) {
  return value << (by & 63) | value >> (-by & 63);
}

extern "C" __global__ void hash_i64(const uint64_t* keys, uint64_t* hashes, int64_t* quotients,
                                    HashResult* result, uint32_t count) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const uint64_t key = keys[i];
  uint64_t hash = mix(key + 0x9e3779b97f4a7c15ull * (i + 1));
  hash = rotate(hash, (uint32_t)key) + (uint64_t)((unsigned __int128)hash * key >> 64);
  hash ^= (uint64_t)__builtin_popcountll(key) << 32 | (uint64_t)__builtin_clzll(key | 1);
  hash += hash % (key >> 40 | 3);
  hashes[i] = hash;
  quotients[i] = (int64_t)hash / ((int64_t)key >> 33 | 1);
  __hip_atomic_fetch_add(&result->sum, hash, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
  __hip_atomic_fetch_xor(&result->exclusive_or, hash, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

// Blocks all over the GPU take turns: one lock word, and behind it plain memory that only the lock
// protects. Lost updates mean that the lock, or its acquire and release, does not work.
#include "kiln_hip.h"

struct Protected {
  uint32_t lock;
  uint32_t pad[63];  // the data lies in another cache line
  uint32_t turns;
  uint32_t sum;
  uint32_t last_block;
};

extern "C" __global__ void spin_lock(Protected* shared, uint32_t* turn_of_block, uint32_t rounds) {
  if (threadIdx.x != 0) return;
  for (uint32_t round = 0; round < rounds; round++) {
    uint32_t expected = 0;
    while (!__hip_atomic_compare_exchange_strong(&shared->lock, &expected, 1u, __ATOMIC_ACQUIRE,
                                                 __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT)) {
      expected = 0;
      __builtin_amdgcn_s_sleep(1);
    }
    const uint32_t turn = shared->turns;
    shared->turns = turn + 1;
    shared->sum = shared->sum + (turn ^ blockIdx.x);
    shared->last_block = blockIdx.x;
    turn_of_block[blockIdx.x * rounds + round] = turn;
    __hip_atomic_store(&shared->lock, 0u, __ATOMIC_RELEASE, __HIP_MEMORY_SCOPE_AGENT);
  }
}

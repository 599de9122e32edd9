// Scratch memory (an array indexed by data), real function calls with arguments on the stack, and
// calls through a table of function pointers, which the loader must relocate.
#include "kiln_hip.h"

constexpr uint32_t kSlots = 32;

struct Pair {
  uint32_t low, high;
  uint32_t salt[6];  // too much for registers alone
};

__device__ __noinline__ uint32_t fold(Pair pair, const uint32_t* slots) {
  uint32_t value = pair.low;
  for (int i = 0; i < 6; i++) value = value * 31 + (pair.salt[i] ^ slots[(pair.high + i) % kSlots]);
  return value;
}

__device__ __noinline__ void scramble(uint32_t* slots, uint32_t seed) {
  for (uint32_t i = 0; i < kSlots; i++) {
    const uint32_t j = (seed >> (i % 24)) % kSlots;
    const uint32_t kept = slots[i];
    slots[i] = slots[j];
    slots[j] = kept;
  }
}

__device__ __noinline__ uint32_t step_add(uint32_t value) { return value + 0x9e3779b9u; }
__device__ __noinline__ uint32_t step_multiply(uint32_t value) { return value * 2654435761u; }
__device__ __noinline__ uint32_t step_rotate(uint32_t value) { return value << 7 | value >> 25; }

using Step = uint32_t (*)(uint32_t);
__device__ Step steps[3] = {step_add, step_multiply, step_rotate};

extern "C" __global__ void scratch_calls(const uint32_t* in, uint32_t* out, uint32_t count,
                                         uint32_t which) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const uint32_t value = in[i];
  uint32_t slots[kSlots];
  for (uint32_t s = 0; s < kSlots; s++) slots[s] = value ^ s * 0x01010101u;
  scramble(slots, value);
  const Pair pair = {value, value >> 5, {value, i, value + i, value ^ i, ~value, 7}};
  uint32_t result = fold(pair, slots);
  // Uniform: the same function for a whole wave. Then by lane, so that waves split up.
  result = steps[which % 3](result);
  result = steps[value % 3](result);
  out[i] = result;
}

// Reads a __constant__ table and a __device__ variable that the host writes, and writes another one
// that the host reads back. `untouched` keeps the value it was compiled with.
#include "kiln_hip.h"

// volatile: the host changes them between launches, so their initial values prove nothing.
extern "C" {
__constant__ volatile uint32_t table[64] = {1, 2, 3, 4};
__device__ volatile uint32_t scale = 1;
__device__ volatile uint32_t untouched = 0x600df00d;
__device__ uint32_t visits;  // .bss
}

extern "C" __global__ void globals(uint32_t* out, uint32_t count) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  out[i] = table[i % 64] * scale + (untouched ^ i);
  atomicAdd(&visits, 1u);
}

// Reverses each block's elements in LDS whose size only the launch knows; static LDS lies before it.
#include "kiln_hip.h"

extern __shared__ uint32_t elements[];

extern "C" __global__ void dynamic_lds(const uint32_t* in, uint32_t* out, uint32_t per_block) {
  __shared__ uint32_t first_and_last[2];
  const uint32_t base = blockIdx.x * per_block;
  for (uint32_t i = threadIdx.x; i < per_block; i += blockDim.x) elements[i] = in[base + i];
  if (threadIdx.x < 2) first_and_last[threadIdx.x] = in[base + threadIdx.x * (per_block - 1)];
  __syncthreads();
  const uint32_t key = first_and_last[0] ^ first_and_last[1];
  for (uint32_t i = threadIdx.x; i < per_block; i += blockDim.x)
    out[base + i] = elements[per_block - 1 - i] ^ key;
}

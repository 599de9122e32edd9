// Counts of the 256 byte values: four bytes a load, LDS atomics per block, global atomics at its end.
#include "kiln_hip.h"

extern "C" __global__ void __launch_bounds__(256)
    histogram(const uint32_t* packed, uint32_t* bins, uint32_t words) {
  __shared__ uint32_t local[256];
  for (uint32_t bin = threadIdx.x; bin < 256; bin += blockDim.x) local[bin] = 0;
  __syncthreads();
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < words; i += gridDim.x * blockDim.x) {
    const uint32_t word = packed[i];
    atomicAddShared(&local[word & 0xff], 1u);
    atomicAddShared(&local[word >> 8 & 0xff], 1u);
    atomicAddShared(&local[word >> 16 & 0xff], 1u);
    atomicAddShared(&local[word >> 24], 1u);
  }
  __syncthreads();
  for (uint32_t bin = threadIdx.x; bin < 256; bin += blockDim.x)
    if (local[bin] != 0) atomicAdd(&bins[bin], local[bin]);
}

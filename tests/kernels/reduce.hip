// Sum (of u32 and of f32) and maximum of an array: a tree in LDS per block, then one atomic each.
#include "kiln_hip.h"

struct ReduceResult {
  uint32_t sum;
  int32_t maximum;
  float float_sum;
  uint32_t blocks;
};

extern "C" __global__ void __launch_bounds__(256)
    reduce(const int32_t* values, const float* floats, ReduceResult* result, uint32_t count) {
  __shared__ uint32_t sums[256];
  __shared__ int32_t maxima[256];
  __shared__ float float_sums[256];

  const uint32_t thread = threadIdx.x;
  uint32_t sum = 0;
  int32_t maximum = -2147483647 - 1;
  float float_sum = 0;
  for (uint32_t i = blockIdx.x * blockDim.x + thread; i < count; i += gridDim.x * blockDim.x) {
    sum += (uint32_t)values[i];
    maximum = values[i] > maximum ? values[i] : maximum;
    float_sum += floats[i];
  }
  sums[thread] = sum;
  maxima[thread] = maximum;
  float_sums[thread] = float_sum;
  __syncthreads();

  for (uint32_t half = blockDim.x / 2; half > 0; half /= 2) {
    if (thread < half) {
      sums[thread] += sums[thread + half];
      if (maxima[thread + half] > maxima[thread]) maxima[thread] = maxima[thread + half];
      float_sums[thread] += float_sums[thread + half];
    }
    __syncthreads();
  }
  if (thread == 0) {
    atomicAdd(&result->sum, sums[0]);
    atomicMax(&result->maximum, maxima[0]);
    atomicAdd(&result->float_sum, float_sums[0]);
    atomicAdd(&result->blocks, 1u);
  }
}

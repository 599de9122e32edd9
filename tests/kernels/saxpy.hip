// y = a * x + y in a grid-stride loop, so that any grid covers any count.
#include "kiln_hip.h"

extern "C" __global__ void saxpy(float a, const float* x, float* y, uint32_t count) {
  const uint32_t stride = gridDim.x * blockDim.x;
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
    y[i] = __builtin_fmaf(a, x[i], y[i]);
}

// c = a + b, one element a thread.
#include "kiln_hip.h"

extern "C" __global__ void vector_add(const float* a, const float* b, float* c, uint32_t count) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) c[i] = a[i] + b[i];
}

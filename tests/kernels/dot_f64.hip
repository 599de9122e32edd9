// Dot product in f64 (LDS tree and one atomic per block), and per element the correctly rounded
// x / y and sqrt(x * x + y * y), which clang expands inline.
#include "kiln_hip.h"

extern "C" __global__ void __launch_bounds__(128)
    dot_f64(const double* x, const double* y, double* dot, double* quotients, double* lengths,
            uint32_t count) {
  __shared__ double partial[128];
  double sum = 0;
  for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    const double a = x[i], b = y[i];
    sum = __builtin_fma(a, b, sum);
    quotients[i] = a / b;
    lengths[i] = __builtin_sqrt(__builtin_fma(a, a, b * b));
  }
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (uint32_t half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) atomicAdd(dot, partial[0]);
}

// A 5 x 5 filter over an image; pixels outside repeat the border.
#include "kiln_hip.h"

constexpr int kRadius = 2, kWidth = 2 * kRadius + 1;

__device__ __forceinline__ int clamp(int value, int last) {
  return value < 0 ? 0 : value > last ? last : value;
}

extern "C" __global__ void convolution(const float* in, const float* filter, float* out, int width,
                                       int height) {
  const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = (int)(blockIdx.y * blockDim.y + threadIdx.y);
  if (x >= width || y >= height) return;
  float sum = 0;
  for (int dy = -kRadius; dy <= kRadius; dy++)
    for (int dx = -kRadius; dx <= kRadius; dx++)
      sum = __builtin_fmaf(in[clamp(y + dy, height - 1) * width + clamp(x + dx, width - 1)],
                           filter[(dy + kRadius) * kWidth + dx + kRadius], sum);
  out[y * width + x] = sum;
}

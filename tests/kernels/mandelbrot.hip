// Iterations until z*z + c escapes: neighbouring lanes leave the loop at very different times.
#include "kiln_hip.h"

extern "C" __global__ void mandelbrot(uint32_t* iterations, uint32_t width, uint32_t height,
                                      float left, float top, float step, uint32_t limit) {
  // Every operation rounds by itself, so that a CPU gets the very same counts.
#pragma clang fp contract(off)
  const uint32_t px = blockIdx.x * blockDim.x + threadIdx.x;
  const uint32_t py = blockIdx.y * blockDim.y + threadIdx.y;
  if (px >= width || py >= height) return;
  const float cx = left + (float)px * step, cy = top - (float)py * step;
  float x = 0, y = 0;
  uint32_t n = 0;
  while (n < limit && x * x + y * y <= 4.0f) {
    const float next = x * x - y * y + cx;
    y = 2.0f * x * y + cy;
    x = next;
    n++;
  }
  iterations[py * width + px] = n;
}

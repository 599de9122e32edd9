// out[x][y] = in[y][x] through a padded 32 x 32 LDS tile; blocks of 32 x 8. Any width and height.
#include "kiln_hip.h"

constexpr uint32_t kTile = 32, kRows = 8;

extern "C" __global__ void __launch_bounds__(256)
    transpose(const uint32_t* in, uint32_t* out, uint32_t width, uint32_t height) {
  __shared__ uint32_t tile[kTile][kTile + 1];
  const uint32_t x = blockIdx.x * kTile + threadIdx.x;
  for (uint32_t row = threadIdx.y; row < kTile; row += kRows) {
    const uint32_t y = blockIdx.y * kTile + row;
    if (x < width && y < height) tile[row][threadIdx.x] = in[y * width + x];
  }
  __syncthreads();
  const uint32_t out_x = blockIdx.y * kTile + threadIdx.x;
  for (uint32_t row = threadIdx.y; row < kTile; row += kRows) {
    const uint32_t out_y = blockIdx.x * kTile + row;
    if (out_x < height && out_y < width) out[out_y * height + out_x] = tile[threadIdx.x][row];
  }
}

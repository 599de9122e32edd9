// C = A * B in f32, row major. A block of 256 threads makes a 64 x 64 tile of C from LDS tiles that
// are 16 deep; a thread makes 4 x 4 elements. Any m, n, k.
#include "kiln_hip.h"

constexpr int kTile = 64, kDepth = 16;

using Float4 = float __attribute__((ext_vector_type(4)));

extern "C" __global__ void __launch_bounds__(256)
    matmul_lds(const float* a, const float* b, float* c, uint32_t m, uint32_t n, uint32_t k) {
  // A is kept transposed, so that the inner loop reads four rows (or columns) at once.
  alignas(16) __shared__ float tile_a[kDepth][kTile];
  alignas(16) __shared__ float tile_b[kDepth][kTile];

  const uint32_t thread = threadIdx.x;
  const uint32_t column4 = thread % 16, row4 = thread / 16;
  const uint32_t row0 = blockIdx.y * kTile, column0 = blockIdx.x * kTile;

  Float4 sum[4] = {};
  for (uint32_t k0 = 0; k0 < k; k0 += kDepth) {
    for (uint32_t i = thread; i < kTile * kDepth; i += 256) {
      const uint32_t row = i / kDepth, depth = i % kDepth;
      const bool inside = row0 + row < m && k0 + depth < k;
      tile_a[depth][row] = inside ? a[(row0 + row) * k + k0 + depth] : 0.0f;
    }
    for (uint32_t i = thread; i < kTile * kDepth; i += 256) {
      const uint32_t depth = i / kTile, column = i % kTile;
      const bool inside = column0 + column < n && k0 + depth < k;
      tile_b[depth][column] = inside ? b[(k0 + depth) * n + column0 + column] : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (int depth = 0; depth < kDepth; depth++) {
      const Float4 left = *(const Float4*)&tile_a[depth][row4 * 4];
      const Float4 right = *(const Float4*)&tile_b[depth][column4 * 4];
#pragma unroll
      for (int row = 0; row < 4; row++)
#pragma unroll
        for (int column = 0; column < 4; column++)
          sum[row][column] = __builtin_fmaf(left[row], right[column], sum[row][column]);
    }
    __syncthreads();
  }

#pragma unroll
  for (int row = 0; row < 4; row++)
#pragma unroll
    for (int column = 0; column < 4; column++) {
      const uint32_t y = row0 + row4 * 4 + row, x = column0 + column4 * 4 + column;
      if (y < m && x < n) c[y * n + x] = sum[row][column];
    }
}

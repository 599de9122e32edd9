// C = alpha A B + beta C: tiles in LDS with a register block per thread, for float and double, at
// sizes that are no multiple of the tile, and with its own grid shape from the occupancy query.
#include "check.hpp"

constexpr int kTile = 32, kPerThread = 4;  // 32x32 results a block of 32x8 threads

template <class T>
__global__ __launch_bounds__(256) void gemm(int m, int n, int k, T alpha, const T* a, const T* b,
                                            T beta, T* c) {
  __shared__ T tile_a[kTile][kTile + 1];
  __shared__ T tile_b[kTile][kTile];
  const int column = blockIdx.x * kTile + threadIdx.x;
  const int first_row = blockIdx.y * kTile + threadIdx.y;
  T sums[kPerThread] = {};
  for (int base = 0; base < k; base += kTile) {
#pragma unroll
    for (int i = 0; i < kPerThread; i++) {
      const int r = threadIdx.y + 8 * i;
      const int row = blockIdx.y * kTile + r;
      tile_a[r][threadIdx.x] = row < m && base + static_cast<int>(threadIdx.x) < k
                                   ? a[row * k + base + threadIdx.x]
                                   : T(0);
      tile_b[r][threadIdx.x] = base + r < k && column < n ? b[(base + r) * n + column] : T(0);
    }
    __syncthreads();
#pragma unroll 4
    for (int inner = 0; inner < kTile; inner++) {
      const T right = tile_b[inner][threadIdx.x];
#pragma unroll
      for (int i = 0; i < kPerThread; i++) sums[i] += tile_a[threadIdx.y + 8 * i][inner] * right;
    }
    __syncthreads();
  }
  for (int i = 0; i < kPerThread; i++) {
    const int row = first_row + 8 * i;
    if (row < m && column < n) c[row * n + column] = alpha * sums[i] + beta * c[row * n + column];
  }
}

// The same without LDS, each thread as many results as the grid leaves it: another opinion.
__global__ void gemm_plain(int m, int n, int k, const float* a, const float* b, float* c) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < m * n; i += gridDim.x * blockDim.x) {
    float sum = 0;
    for (int inner = 0; inner < k; inner++)
      sum = fmaf(a[i / n * k + inner], b[inner * n + i % n], sum);
    c[i] = sum;
  }
}

template <class T>
static std::vector<T> matrix(int count, int seed) {
  std::vector<T> values(count);
  Lcg random(seed);
  for (T& value : values) value = static_cast<T>(random.unit() * 2 - 1);
  return values;
}

template <class T>
static void multiply(Checker& check, int m, int n, int k, double tolerance) {
  const auto a = matrix<T>(m * k, 1), b = matrix<T>(k * n, 2), c = matrix<T>(m * n, 3);
  Buffer<T> da(a), db(b), dc(c);
  const T alpha = T(1.5), beta = T(-0.5);
  gemm<T><<<dim3((n + kTile - 1) / kTile, (m + kTile - 1) / kTile), dim3(kTile, 8)>>>(
      m, n, k, alpha, da.get(), db.get(), beta, dc.get());
  HIP_CHECK(hipGetLastError());
  const auto result = dc.read();
  for (int row = 0; row < m; row++)
    for (int column = 0; column < n; column++) {
      double sum = 0;
      for (int inner = 0; inner < k; inner++)
        sum += static_cast<double>(a[row * k + inner]) * b[inner * n + column];
      check.near("gemm", result[row * n + column], alpha * sum + beta * c[row * n + column],
                 tolerance, tolerance);
    }
}

static void plain(Checker& check) {
  constexpr int kM = 70, kN = 50, kK = 90;
  int grid = 0, block = 0, blocks = 0;
  HIP_CHECK(hipOccupancyMaxPotentialBlockSize(&grid, &block, gemm_plain, 0, 0));
  check.that(grid > 0, "grid", grid, 1);
  check.that(block >= 64 && block <= 1024, "block", block, 1024);
  HIP_CHECK(hipOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, gemm_plain, 256, 0));
  check.that(blocks >= 1 && blocks <= 16, "blocks of 256", blocks, 8);
  hipFuncAttributes attributes;
  HIP_CHECK(hipFuncGetAttributes(&attributes, reinterpret_cast<const void*>(gemm<float>)));
  check.same("LDS of gemm", attributes.sharedSizeBytes, sizeof(float) * kTile * (2 * kTile + 1));
  const auto a = matrix<float>(kM * kK, 4), b = matrix<float>(kK * kN, 5);
  Buffer<float> da(a), db(b), plain(kM * kN), tiled(std::vector<float>(kM * kN, 0.0f));
  gemm_plain<<<10, 256>>>(kM, kN, kK, da.get(), db.get(), plain.get());
  gemm<float>
      <<<dim3(2, 3), dim3(kTile, 8)>>>(kM, kN, kK, 1.0f, da.get(), db.get(), 0.0f, tiled.get());
  HIP_CHECK(hipGetLastError());
  const auto one = plain.read(), other = tiled.read();
  for (int i = 0; i < kM * kN; i++) check.near("plain and tiled", one[i], other[i], 1e-5, 1e-5);
}

int main() {
  Checker check;
  multiply<float>(check, 96, 64, 128, 1e-4);
  multiply<float>(check, 45, 77, 33, 1e-4);
  multiply<double>(check, 64, 96, 64, 1e-13);
  multiply<double>(check, 31, 1, 100, 1e-13);
  plain(check);
  return check.finish("gemm");
}

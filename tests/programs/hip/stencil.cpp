// Heat in a 2D plate and in a 3D block: five- and seven-point stencils, split over two streams that
// exchange their seam by events, with pinned host memory and asynchronous copies.
#include <algorithm>

#include "check.hpp"

constexpr int kWidth = 192, kHeight = 128;

// Rows [first, last) of one step. LDS holds the block and the rim around it.
__global__ void heat_2d(const float* in, float* out, int first, int last) {
  __shared__ float tile[10][34];
  const int x = blockIdx.x * 32 + threadIdx.x;
  const int y = first + blockIdx.y * 8 + threadIdx.y;
  auto at = [&](int px, int py) {
    px = min(max(px, 0), kWidth - 1);
    py = min(max(py, 0), kHeight - 1);
    return in[py * kWidth + px];
  };
  const int tx = threadIdx.x + 1, ty = threadIdx.y + 1;
  tile[ty][tx] = at(x, y);
  if (threadIdx.x == 0) tile[ty][0] = at(x - 1, y);
  if (threadIdx.x == 31) tile[ty][33] = at(x + 1, y);
  if (threadIdx.y == 0) tile[0][tx] = at(x, y - 1);
  if (threadIdx.y == 7) tile[9][tx] = at(x, y + 1);
  __syncthreads();
  if (x >= kWidth || y >= last) return;
  const float sum = tile[ty][tx - 1] + tile[ty][tx + 1] + tile[ty - 1][tx] + tile[ty + 1][tx];
  out[y * kWidth + x] = fmaf(0.2f, sum - 4.0f * tile[ty][tx], tile[ty][tx]);
}

constexpr int kSide = 40;

// A column of z per thread, with the neighbours above and below kept in registers.
__global__ void heat_3d(const double* in, double* out) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  const int y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= kSide || y >= kSide) return;
  const int plane = kSide * kSide;
  const bool rim = x == 0 || y == 0 || x == kSide - 1 || y == kSide - 1;
  const double* column = in + y * kSide + x;
  double* target = out + y * kSide + x;
  double below = column[0], here = column[plane];
  target[0] = below;
  for (int z = 1; z < kSide - 1; z++) {
    const double above = column[(z + 1) * plane];
    double value = here;
    if (!rim) {
      const double* cell = column + z * plane;
      const double sum = cell[-1] + cell[1] + cell[-kSide] + cell[kSide] + below + above;
      value = fma(0.1, sum - 6.0 * here, here);
    }
    target[z * plane] = value;
    below = here;
    here = above;
  }
  target[(kSide - 1) * plane] = here;
}

static void plate(Checker& check) {
  constexpr int kSteps = 12, kHalf = kHeight / 2;
  constexpr std::size_t kBytes = sizeof(float) * kWidth * kHeight;
  float* host = nullptr;
  HIP_CHECK(hipHostMalloc(reinterpret_cast<void**>(&host), kBytes, hipHostMallocDefault));
  Lcg random(7);
  for (int i = 0; i < kWidth * kHeight; i++) host[i] = random.unit() * 100;
  std::vector<float> now(host, host + kWidth * kHeight), next(now.size());

  Buffer<float> a(now.size()), b(now.size());
  hipStream_t streams[2];
  hipEvent_t copied, done[2], start, stop;
  for (hipStream_t& stream : streams)
    HIP_CHECK(hipStreamCreateWithFlags(&stream, hipStreamNonBlocking));
  HIP_CHECK(hipEventCreateWithFlags(&copied, hipEventDisableTiming));
  for (hipEvent_t& event : done) HIP_CHECK(hipEventCreateWithFlags(&event, hipEventDisableTiming));
  HIP_CHECK(hipEventCreate(&start));
  HIP_CHECK(hipEventCreate(&stop));

  HIP_CHECK(hipEventRecord(start, streams[0]));
  HIP_CHECK(hipMemcpyAsync(a.get(), host, kBytes, hipMemcpyHostToDevice, streams[0]));
  HIP_CHECK(hipEventRecord(copied, streams[0]));
  HIP_CHECK(hipStreamWaitEvent(streams[1], copied, 0));
  float *from = a.get(), *to = b.get();
  for (int step = 0; step < kSteps; step++) {
    for (int half = 0; half < 2; half++) {
      // The other half's last step wrote the seam that this one reads, and read what this one
      // writes.
      if (step > 0) HIP_CHECK(hipStreamWaitEvent(streams[half], done[1 - half], 0));
    }
    for (int half = 0; half < 2; half++) {
      heat_2d<<<dim3(kWidth / 32, kHalf / 8), dim3(32, 8), 0, streams[half]>>>(
          from, to, half * kHalf, (half + 1) * kHalf);
      HIP_CHECK(hipGetLastError());
      HIP_CHECK(hipEventRecord(done[half], streams[half]));
    }
    std::swap(from, to);
  }
  HIP_CHECK(hipStreamWaitEvent(streams[0], done[1], 0));
  HIP_CHECK(hipMemcpyAsync(host, from, kBytes, hipMemcpyDeviceToHost, streams[0]));
  HIP_CHECK(hipEventRecord(stop, streams[0]));
  HIP_CHECK(hipEventSynchronize(stop));
  float milliseconds = -1;
  HIP_CHECK(hipEventElapsedTime(&milliseconds, start, stop));
  check.that(milliseconds > 0, "elapsed milliseconds", milliseconds, 1);

  for (int step = 0; step < kSteps; step++) {
    for (int y = 0; y < kHeight; y++)
      for (int x = 0; x < kWidth; x++) {
        auto at = [&](int px, int py) {
          return now[std::clamp(py, 0, kHeight - 1) * kWidth + std::clamp(px, 0, kWidth - 1)];
        };
        const float sum = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
        next[y * kWidth + x] = std::fma(0.2f, sum - 4.0f * at(x, y), at(x, y));
      }
    std::swap(now, next);
  }
  for (int i = 0; i < kWidth * kHeight; i++) check.near("2D", host[i], now[i], 1e-5);
  for (hipStream_t stream : streams) HIP_CHECK(hipStreamDestroy(stream));
  for (hipEvent_t event : {copied, done[0], done[1], start, stop})
    HIP_CHECK(hipEventDestroy(event));
  HIP_CHECK(hipHostFree(host));
}

static void block(Checker& check) {
  constexpr int kCells = kSide * kSide * kSide, kSteps = 4;
  std::vector<double> now(kCells);
  Lcg random(11);
  for (double& value : now) value = random.unit() * 10 - 5;
  std::vector<double> next = now;
  Buffer<double> a(now), b(kCells);
  double *from = a.get(), *to = b.get();
  for (int step = 0; step < kSteps; step++) {
    heat_3d<<<dim3((kSide + 15) / 16, (kSide + 3) / 4), dim3(16, 4)>>>(from, to);
    HIP_CHECK(hipGetLastError());
    std::swap(from, to);
  }
  std::vector<double> result(kCells);
  HIP_CHECK(hipMemcpy(result.data(), from, sizeof(double) * kCells, hipMemcpyDeviceToHost));
  for (int step = 0; step < kSteps; step++) {
    for (int z = 1; z < kSide - 1; z++)
      for (int y = 1; y < kSide - 1; y++)
        for (int x = 1; x < kSide - 1; x++) {
          const double* cell = &now[(z * kSide + y) * kSide + x];
          const double sum = cell[-1] + cell[1] + cell[-kSide] + cell[kSide] +
                             cell[-kSide * kSide] + cell[kSide * kSide];
          next[(z * kSide + y) * kSide + x] = std::fma(0.1, sum - 6.0 * *cell, *cell);
        }
    std::swap(now, next);
  }
  for (int i = 0; i < kCells; i++) check.near("3D", result[i], now[i], 1e-12, 1e-12);
}

int main() {
  Checker check;
  plate(check);
  block(check);
  return check.finish("stencil");
}

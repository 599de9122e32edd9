// Sums, minima and prefix sums: shuffles inside a wave, LDS between waves, atomics between blocks.
#include <climits>
#include <numeric>

#include "check.hpp"

template <class T>
__device__ T wave_sum(T value) {
  for (int offset = warpSize / 2; offset > 0; offset /= 2) value += __shfl_down(value, offset);
  return value;
}

// One float per block, in dynamic LDS; the total by an atomic of the last lane standing.
__global__ void sum_blocks(const float* in, int count, float* sums, double* total, int* lowest,
                           unsigned long long* positive) {
  extern __shared__ float of_waves[];
  float sum = 0;
  int low = INT_MAX;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    sum += in[i];
    low = min(low, static_cast<int>(in[i]));
    const unsigned long long ballot = __ballot(in[i] > 0);
    if (__popcll(ballot & ((1ull << __lane_id()) - 1)) == 0 && in[i] > 0)
      atomicAdd(positive, static_cast<unsigned long long>(__popcll(ballot)));
  }
  atomicMin(lowest, low);
  sum = wave_sum(sum);
  const int wave = threadIdx.x / warpSize;
  if (threadIdx.x % warpSize == 0) of_waves[wave] = sum;
  __syncthreads();
  if (wave != 0) return;
  const int waves = blockDim.x / warpSize;
  sum = static_cast<int>(threadIdx.x) < waves ? of_waves[threadIdx.x] : 0;
  sum = wave_sum(sum);
  if (threadIdx.x == 0) {
    sums[blockIdx.x] = sum;
    atomicAdd(total, static_cast<double>(sum));
  }
}

__device__ unsigned scan_wave(unsigned value) {
  for (int offset = 1; offset < warpSize; offset *= 2) {
    const unsigned other = __shfl_up(value, offset);
    if (static_cast<int>(__lane_id()) >= offset) value += other;
  }
  return value;
}

constexpr int kBlock = 256;

__global__ void scan_blocks(const unsigned* in, unsigned* out, unsigned* sums, int count) {
  __shared__ unsigned of_waves[kBlock / 32];
  const int i = blockIdx.x * kBlock + threadIdx.x;
  const unsigned own = i < count ? in[i] : 0;
  unsigned value = scan_wave(own);
  const int wave = threadIdx.x / warpSize, lane = threadIdx.x % warpSize;
  if (lane == warpSize - 1) of_waves[wave] = value;
  __syncthreads();
  for (int w = 0; w < wave; w++) value += of_waves[w];
  if (i < count) out[i] = value - own;
  if (threadIdx.x == kBlock - 1) sums[blockIdx.x] = value;
}

__global__ void add_offsets(unsigned* data, const unsigned* offsets, int count) {
  const int i = blockIdx.x * kBlock + threadIdx.x;
  if (i < count) data[i] += offsets[blockIdx.x];
}

static void exclusive_scan(const unsigned* in, unsigned* out, int count) {
  const int blocks = (count + kBlock - 1) / kBlock;
  Buffer<unsigned> sums(blocks), offsets(blocks);
  scan_blocks<<<blocks, kBlock>>>(in, out, sums.get(), count);
  if (blocks > 1) {
    exclusive_scan(sums.get(), offsets.get(), blocks);
    add_offsets<<<blocks, kBlock>>>(out, offsets.get(), count);
  }
  HIP_CHECK(hipGetLastError());
  HIP_CHECK(hipDeviceSynchronize());
}

// All lanes of a wave exchange with every other: xor butterflies of 64-bit values and of halves.
__global__ void butterflies(unsigned long long* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned long long value = i * 0x9E3779B97F4A7C15ull;
  for (int mask = 1; mask < warpSize; mask *= 2) value ^= __shfl_xor(value, mask) >> 1;
  const int first = __shfl(static_cast<int>(i), 3, 16);  // lane 3 of each 16
  out[i] = value + static_cast<unsigned>(first) + (__any(i % 64 == 5) ? 1u << 20 : 0) +
           (__all(i < 4096) ? 1u << 21 : 0);
}

int main() {
  Checker check;
  int wave = 0;
  HIP_CHECK(hipDeviceGetAttribute(&wave, hipDeviceAttributeWarpSize, 0));
  Lcg random(3);

  constexpr int kCount = 50'000, kBlocks = 24;
  std::vector<float> values(kCount);
  for (float& value : values)
    value = static_cast<float>(static_cast<int>(random.next() % 2001) - 1000);
  {
    Buffer<float> in(values), sums(kBlocks);
    Buffer<double> total(std::vector<double>{0.0});
    Buffer<int> lowest(std::vector<int>{INT_MAX});
    Buffer<unsigned long long> positive(std::vector<unsigned long long>{0});
    sum_blocks<<<kBlocks, 512, 512 / 32 * sizeof(float)>>>(
        in.get(), kCount, sums.get(), total.get(), lowest.get(), positive.get());
    HIP_CHECK(hipGetLastError());
    // Whole numbers below 2^24: every order of summing gives the same.
    const double wanted = std::accumulate(values.begin(), values.end(), 0.0);
    const auto blocks = sums.read();
    check.same("sum of blocks", std::accumulate(blocks.begin(), blocks.end(), 0.0), wanted);
    check.same("total", total.read()[0], wanted);
    check.same("lowest", lowest.read()[0],
               static_cast<int>(*std::min_element(values.begin(), values.end())));
    unsigned long long count = 0;
    for (float value : values) count += value > 0;
    check.same("positive", positive.read()[0], count);
  }

  for (int count : {1, 255, 257, 70'000}) {
    std::vector<unsigned> numbers(count);
    for (unsigned& number : numbers) number = random.next() % 1000;
    Buffer<unsigned> in(numbers), out(numbers.size());
    exclusive_scan(in.get(), out.get(), count);
    const auto result = out.read();
    unsigned running = 0;
    for (int i = 0; i < count; i++) {
      check.same("scan", result[i], running);
      running += numbers[i];
    }
  }

  constexpr int kThreads = 2048;
  Buffer<unsigned long long> out(kThreads);
  butterflies<<<kThreads / 128, 128>>>(out.get());
  HIP_CHECK(hipGetLastError());
  const auto result = out.read();
  for (int base = 0; base < kThreads; base += wave) {
    std::vector<unsigned long long> lanes(wave), next(wave);
    for (int lane = 0; lane < wave; lane++)
      lanes[lane] = static_cast<unsigned>(base + lane) * 0x9E3779B97F4A7C15ull;
    for (int mask = 1; mask < wave; mask *= 2) {
      for (int lane = 0; lane < wave; lane++) next[lane] = lanes[lane] ^ (lanes[lane ^ mask] >> 1);
      lanes = next;
    }
    for (int lane = 0; lane < wave; lane++) {
      const int i = base + lane;
      const bool any = wave == 64 || base % 64 == 0;
      const auto wanted =
          lanes[lane] + static_cast<unsigned>(i / 16 * 16 + 3) + (any ? 1u << 20 : 0) + (1u << 21);
      check.same("butterfly", result[i], wanted);
    }
  }
  return check.finish("reduce_scan");
}

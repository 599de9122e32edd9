// Random numbers on the device, xorwow and Philox 4x32-10, and what they estimate: pi, and the
// price of an option by Box-Muller normals. The host makes the same numbers.
#include "check.hpp"

struct Xorwow {
  uint32_t x[5], counter;
  __host__ __device__ explicit Xorwow(uint32_t seed) : counter(seed * 362437u) {
    for (int i = 0; i < 5; i++) {
      seed ^= seed >> 16;
      seed = (seed + 0x9E3779B9u) * 0x85EBCA6Bu;
      x[i] = seed | 1;
    }
  }
  __host__ __device__ uint32_t next() {
    const uint32_t t = x[0] ^ (x[0] >> 2);
    for (int i = 0; i < 4; i++) x[i] = x[i + 1];
    x[4] = (x[4] ^ (x[4] << 4)) ^ (t ^ (t << 1));
    counter += 362437;
    return x[4] + counter;
  }
};

struct Four {
  uint32_t v[4];
};
// Salmon and others, "Parallel random numbers: as easy as 1, 2, 3".
__host__ __device__ inline Four philox(Four counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    const uint64_t a = 0xD2511F53ull * counter.v[0], b = 0xCD9E8D57ull * counter.v[2];
    counter = {{static_cast<uint32_t>(b >> 32) ^ counter.v[1] ^ key0, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ counter.v[3] ^ key1, static_cast<uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

__host__ __device__ inline float unit(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

__global__ void xorwow_pi(int points, unsigned long long* inside, uint32_t* last) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  Xorwow random(i + 1);
  unsigned long long hits = 0;
  uint32_t bits = 0;
  for (int p = 0; p < points; p++) {
    const float x = unit(random.next()), y = unit(bits = random.next());
    if (x * x + y * y < 1.0f) hits++;
  }
  last[i] = bits;
  atomicAdd(inside, hits);
}

__global__ void philox_fill(uint32_t* out, uint32_t key) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  const Four random = philox({{i, 0, i >> 16, 77}}, key, ~key);
  *reinterpret_cast<uint4*>(out + 4 * i) =
      make_uint4(random.v[0], random.v[1], random.v[2], random.v[3]);
}

struct Option {
  float price, strike, rate, volatility, years;
};

__global__ void price_call(Option option, int paths, double* sum, double* sum_of_squares) {
  __shared__ double sums[2][128];
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  const float drift = (option.rate - 0.5f * option.volatility * option.volatility) * option.years;
  const float spread = option.volatility * sqrtf(option.years);
  double own = 0, squares = 0;
  for (int path = 0; path < paths; path++) {
    const Four random = philox({{i, static_cast<uint32_t>(path), 0, 0}}, 12345, 678);
    for (int pair = 0; pair < 2; pair++) {
      const float radius = sqrtf(-2.0f * logf(unit(random.v[2 * pair]) + 0x1p-25f));
      float sine, cosine;
      sincosf(6.2831853f * unit(random.v[2 * pair + 1]), &sine, &cosine);
      for (const float normal : {radius * sine, radius * cosine}) {
        const float end = option.price * expf(drift + spread * normal);
        const float gain = fmaxf(end - option.strike, 0.0f);
        own += gain;
        squares += static_cast<double>(gain) * gain;
      }
    }
  }
  sums[0][threadIdx.x] = own;
  sums[1][threadIdx.x] = squares;
  for (int step = 64; step > 0; step /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < step)
      for (auto& part : sums) part[threadIdx.x] += part[threadIdx.x + step];
  }
  if (threadIdx.x == 0) {
    atomicAdd(sum, sums[0][0]);
    atomicAdd(sum_of_squares, sums[1][0]);
  }
}

static void estimate_pi(Checker& check) {
  constexpr int kThreads = 2048, kPoints = 100;
  Buffer<unsigned long long> inside(std::vector<unsigned long long>{0});
  Buffer<uint32_t> last(kThreads);
  xorwow_pi<<<kThreads / 256, 256>>>(kPoints, inside.get(), last.get());
  HIP_CHECK(hipGetLastError());
  const auto seen = last.read();
  unsigned long long hits = 0;
  for (uint32_t i = 0; i < kThreads; i++) {
    Xorwow random(i + 1);
    uint32_t bits = 0;
    for (int p = 0; p < kPoints; p++) {
      const float x = unit(random.next()), y = unit(bits = random.next());
      hits += std::fma(x, x, y * y) < 1.0f;
    }
    check.same("xorwow", seen[i], bits);
  }
  const double all = static_cast<double>(kThreads) * kPoints;
  check.near("hits", static_cast<double>(inside.read()[0]), static_cast<double>(hits), 0, 2);
  check.near("pi", 4 * static_cast<double>(inside.read()[0]) / all, M_PI, 0, 0.02);
}

static void known_numbers(Checker& check) {
  // From the Random123 distribution's known-answer file: philox4x32 10.
  const Four zero = philox({{0, 0, 0, 0}}, 0, 0);
  check.same("philox known 0", zero.v[0], 0x6627e8d5u);
  const Four ones = philox({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u);
  check.same("philox known 1", ones.v[0], 0x408f276du);
  constexpr uint32_t kThreads = 4096;
  Buffer<uint32_t> out(4 * kThreads);
  philox_fill<<<kThreads / 64, 64>>>(out.get(), 0xDEADBEEF);
  HIP_CHECK(hipGetLastError());
  const auto seen = out.read();
  for (uint32_t i = 0; i < kThreads; i++) {
    const Four wanted = philox({{i, 0, i >> 16, 77}}, 0xDEADBEEF, ~0xDEADBEEFu);
    for (int k = 0; k < 4; k++) check.same("philox", seen[4 * i + k], wanted.v[k]);
  }
}

static void price(Checker& check) {
  constexpr int kThreads = 2048, kPaths = 16;
  const Option option = {100, 105, 0.03f, 0.25f, 1.5f};
  Buffer<double> sums(std::vector<double>{0, 0});
  price_call<<<kThreads / 128, 128>>>(option, kPaths, sums.get(), sums.get() + 1);
  HIP_CHECK(hipGetLastError());
  const auto seen = sums.read();
  const double samples = 4.0 * kThreads * kPaths;
  const double mean = seen[0] / samples, variance = seen[1] / samples - mean * mean;
  const double discount = std::exp(-option.rate * option.years);
  // Black and Scholes.
  auto normal = [](double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); };
  const double spread = option.volatility * std::sqrt(option.years);
  const double d1 = (std::log(option.price / option.strike) +
                     (option.rate + 0.5 * option.volatility * option.volatility) * option.years) /
                    spread;
  const double exact = option.price * normal(d1) - option.strike * discount * normal(d1 - spread);
  check.near("price", mean * discount, exact, 0, 4 * std::sqrt(variance / samples));
  check.that(variance > 100, "variance", variance, 100);
}

int main() {
  Checker check;
  known_numbers(check);
  estimate_pi(check);
  price(check);
  return check.finish("montecarlo");
}

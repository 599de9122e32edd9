// Two sorts: an LSD radix sort of key-value pairs (stable), and a bitonic sort of floats.
#include <algorithm>
#include <numeric>

#include "check.hpp"

constexpr int kBits = 4, kDigits = 1 << kBits, kThreads = 256;

__global__ void count_digits(const uint32_t* keys, int count, int shift, uint32_t* histogram) {
  __shared__ uint32_t local[kDigits];
  if (threadIdx.x < kDigits) local[threadIdx.x] = 0;
  __syncthreads();
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i < count) atomicAdd(&local[keys[i] >> shift & (kDigits - 1)], 1u);
  __syncthreads();
  // Digit first, then block: an exclusive scan gives where each block's digits go.
  if (threadIdx.x < kDigits) histogram[threadIdx.x * gridDim.x + blockIdx.x] = local[threadIdx.x];
}

__global__ void scan_one_block(uint32_t* data, int count) {
  __shared__ uint32_t tile[kThreads];
  __shared__ uint32_t carry;
  if (threadIdx.x == 0) carry = 0;
  for (int base = 0; base < count; base += kThreads) {
    const int i = base + threadIdx.x;
    const uint32_t own = i < count ? data[i] : 0;
    tile[threadIdx.x] = own;
    __syncthreads();
    for (int step = 1; step < kThreads; step *= 2) {
      const uint32_t other = static_cast<int>(threadIdx.x) >= step ? tile[threadIdx.x - step] : 0;
      __syncthreads();
      tile[threadIdx.x] += other;
      __syncthreads();
    }
    if (i < count) data[i] = carry + tile[threadIdx.x] - own;
    __syncthreads();
    if (threadIdx.x == 0) carry += tile[kThreads - 1];
    __syncthreads();
  }
}

__global__ void scatter(const uint32_t* keys, const uint32_t* values, uint32_t* keys_out,
                        uint32_t* values_out, int count, int shift, const uint32_t* offsets) {
  __shared__ uint8_t digits[kThreads];
  const int i = blockIdx.x * kThreads + threadIdx.x;
  const uint32_t digit = i < count ? keys[i] >> shift & (kDigits - 1) : kDigits;
  digits[threadIdx.x] = static_cast<uint8_t>(digit);
  __syncthreads();
  if (i >= count) return;
  uint32_t rank = 0;
  for (unsigned t = 0; t < threadIdx.x; t++) rank += digits[t] == digit;
  const uint32_t to = offsets[digit * gridDim.x + blockIdx.x] + rank;
  keys_out[to] = keys[i];
  values_out[to] = values[i];
}

static void radix(Checker& check, int count) {
  std::vector<uint32_t> keys(count), values(count);
  Lcg random(count);
  for (uint32_t& key : keys) key = random.next() & 0xFFFF0FFF;
  for (int i = 0; i < count / 4; i++) keys[i] = keys[count - 1 - i];  // equal keys
  std::iota(values.begin(), values.end(), 0u);
  const int blocks = (count + kThreads - 1) / kThreads;
  Buffer<uint32_t> keys_a(keys), values_a(values), keys_b(count), values_b(count);
  Buffer<uint32_t> histogram(static_cast<std::size_t>(blocks) * kDigits);
  uint32_t *from_keys = keys_a.get(), *to_keys = keys_b.get();
  uint32_t *from_values = values_a.get(), *to_values = values_b.get();
  for (int shift = 0; shift < 32; shift += kBits) {
    count_digits<<<blocks, kThreads>>>(from_keys, count, shift, histogram.get());
    scan_one_block<<<1, kThreads>>>(histogram.get(), blocks * kDigits);
    scatter<<<blocks, kThreads>>>(from_keys, from_values, to_keys, to_values, count, shift,
                                  histogram.get());
    std::swap(from_keys, to_keys);
    std::swap(from_values, to_values);
  }
  HIP_CHECK(hipGetLastError());
  const auto sorted = keys_a.read();  // an even number of passes
  const auto order = values_a.read();
  std::vector<uint32_t> wanted(values);
  std::stable_sort(wanted.begin(), wanted.end(),
                   [&](uint32_t a, uint32_t b) { return keys[a] < keys[b]; });
  for (int i = 0; i < count; i++) {
    check.same("radix value", order[i], wanted[i]);
    check.same("radix key", sorted[i], keys[wanted[i]]);
  }
}

__device__ void order(float& a, float& b, bool up) {
  if ((a > b) == up) {
    const float kept = a;
    a = b;
    b = kept;
  }
}

// Steps whose partners lie in one block of 512 elements, in LDS.
__global__ void bitonic_local(float* data, int size, int stride) {
  __shared__ float tile[512];
  const int base = blockIdx.x * 512;
  tile[threadIdx.x] = data[base + threadIdx.x];
  tile[threadIdx.x + 256] = data[base + threadIdx.x + 256];
  for (; stride > 0; stride /= 2) {
    __syncthreads();
    const int low = 2 * threadIdx.x - (threadIdx.x & (stride - 1));
    order(tile[low], tile[low + stride], ((base + low) & size) == 0);
  }
  __syncthreads();
  data[base + threadIdx.x] = tile[threadIdx.x];
  data[base + threadIdx.x + 256] = tile[threadIdx.x + 256];
}

__global__ void bitonic_global(float* data, int size, int stride) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int low = 2 * i - (i & (stride - 1));
  order(data[low], data[low + stride], (low & size) == 0);
}

static void bitonic(Checker& check) {
  constexpr int kCount = 1 << 14;
  std::vector<float> values(kCount);
  Lcg random(99);
  for (float& value : values) value = (random.unit() - 0.5f) * 1e6f;
  values[5] = INFINITY;
  values[77] = -INFINITY;
  values[100] = -0.0f;
  Buffer<float> data(values);
  for (int size = 2; size <= kCount; size *= 2) {
    int stride = size / 2;
    for (; stride > 256; stride /= 2)
      bitonic_global<<<kCount / 512, 256>>>(data.get(), size, stride);
    bitonic_local<<<kCount / 512, 256>>>(data.get(), size, stride);
  }
  HIP_CHECK(hipGetLastError());
  const auto result = data.read();
  std::sort(values.begin(), values.end());
  for (int i = 0; i < kCount; i++) check.same("bitonic", result[i], values[i]);
}

int main() {
  Checker check;
  for (int count : {1, 1000, 20'011}) radix(check, count);
  bitonic(check);
  return check.finish("sort");
}

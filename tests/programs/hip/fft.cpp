// Fast Fourier transforms: radix-2 Stockham in LDS for short ones (float and double), and four
// steps with transposes for a long one; against a discrete transform in double, and there and back.
#include <complex>

#include "check.hpp"

template <class T>
struct Complex {
  T re, im;
};
template <class T>
__device__ Complex<T> operator+(Complex<T> a, Complex<T> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class T>
__device__ Complex<T> operator-(Complex<T> a, Complex<T> b) {
  return {a.re - b.re, a.im - b.im};
}
template <class T>
__device__ Complex<T> operator*(Complex<T> a, Complex<T> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
__device__ Complex<float> turn(float half_turns) {
  Complex<float> c;
  sincospif(half_turns, &c.im, &c.re);
  return c;
}
__device__ Complex<double> turn(double half_turns) {
  Complex<double> c;
  sincospi(half_turns, &c.im, &c.re);
  return c;
}

// A block per row of kSize; twiddles of the four-step method on the way out, where rows > 1.
template <class T, int kSize>
__global__ void fft_rows(Complex<T>* data, T sign, int twiddle_rows) {
  __shared__ Complex<T> buffers[2][kSize];
  Complex<T>* row = data + static_cast<size_t>(blockIdx.x) * kSize;
  const int t = threadIdx.x;
  buffers[0][t] = row[t];
  buffers[0][t + kSize / 2] = row[t + kSize / 2];
  __syncthreads();
  int now = 0;
  for (int half = 1; half < kSize; half *= 2) {
    const Complex<T> a = buffers[now][t];
    const Complex<T> b = buffers[now][t + kSize / 2];
    const int k = t & (half - 1);
    const Complex<T> w = b * turn(sign * static_cast<T>(k) / static_cast<T>(half));
    const int to = (t - k) * 2 + k;
    buffers[1 - now][to] = a + w;
    buffers[1 - now][to + half] = a - w;
    now = 1 - now;
    __syncthreads();
  }
  for (int i = t; i < kSize; i += kSize / 2) {
    Complex<T> value = buffers[now][i];
    if (twiddle_rows > 1)
      value = value * turn(sign * 2 * static_cast<T>(i * blockIdx.x) /
                           static_cast<T>(kSize * twiddle_rows));
    row[i] = value;
  }
}

template <class T>
__global__ void transpose(const Complex<T>* in, Complex<T>* out, int side) {
  __shared__ Complex<T> tile[16][17];
  int x = blockIdx.x * 16 + threadIdx.x, y = blockIdx.y * 16 + threadIdx.y;
  tile[threadIdx.y][threadIdx.x] = in[y * side + x];
  __syncthreads();
  x = blockIdx.y * 16 + threadIdx.x;
  y = blockIdx.x * 16 + threadIdx.y;
  out[y * side + x] = tile[threadIdx.x][threadIdx.y];
}

template <class T>
static std::vector<Complex<T>> noise(int count, int seed) {
  std::vector<Complex<T>> values(count);
  Lcg random(seed);
  for (auto& value : values)
    value = {static_cast<T>(random.unit() - 0.5f), static_cast<T>(random.unit() - 0.5f)};
  return values;
}

template <class T>
static std::complex<double> bin(const Complex<T>* values, int count, int k) {
  std::complex<double> sum = 0;
  for (int n = 0; n < count; n++)
    sum += std::complex<double>(values[n].re, values[n].im) *
           std::polar(1.0, -2 * M_PI * (static_cast<long long>(n) * k % count) / count);
  return sum;
}

template <class T, int kSize>
static void short_ones(Checker& check, double tolerance) {
  constexpr int kRows = 6;
  const auto values = noise<T>(kSize * kRows, kSize);
  Buffer<Complex<T>> data(values);
  fft_rows<T, kSize><<<kRows, kSize / 2>>>(data.get(), T(-1), 1);
  const auto result = data.read();
  for (int row = 0; row < kRows; row++)
    for (int k = 0; k < kSize; k++) {
      const auto wanted = bin(&values[row * kSize], kSize, k);
      check.near("re", result[row * kSize + k].re, wanted.real(), 0, tolerance);
      check.near("im", result[row * kSize + k].im, wanted.imag(), 0, tolerance);
    }
  fft_rows<T, kSize><<<kRows, kSize / 2>>>(data.get(), T(1), 1);
  HIP_CHECK(hipGetLastError());
  const auto back = data.read();
  for (int i = 0; i < kSize * kRows; i++) {
    check.near("back re", back[i].re / kSize, values[i].re, 0, tolerance);
    check.near("back im", back[i].im / kSize, values[i].im, 0, tolerance);
  }
}

static void long_one(Checker& check) {
  constexpr int kSide = 128, kCount = kSide * kSide;
  const auto values = noise<double>(kCount, 17);
  Buffer<Complex<double>> a(values), b(kCount);
  const dim3 grid(kSide / 16, kSide / 16), block(16, 16);
  transpose<<<grid, block>>>(a.get(), b.get(), kSide);
  fft_rows<double, kSide><<<kSide, kSide / 2>>>(b.get(), -1.0, kSide);
  transpose<<<grid, block>>>(b.get(), a.get(), kSide);
  fft_rows<double, kSide><<<kSide, kSide / 2>>>(a.get(), -1.0, 1);
  transpose<<<grid, block>>>(a.get(), b.get(), kSide);
  HIP_CHECK(hipGetLastError());
  const auto result = b.read();
  for (int k : {0, 1, 127, 128, 129, 5000, 8192, 16383}) {
    const auto wanted = bin(values.data(), kCount, k);
    check.near("long re", result[k].re, wanted.real(), 0, 1e-9);
    check.near("long im", result[k].im, wanted.imag(), 0, 1e-9);
  }
  double before = 0, after = 0;
  for (int i = 0; i < kCount; i++) {
    before += values[i].re * values[i].re + values[i].im * values[i].im;
    after += result[i].re * result[i].re + result[i].im * result[i].im;
  }
  check.near("Parseval", after / kCount, before, 1e-12);
}

int main() {
  Checker check;
  short_ones<float, 64>(check, 1e-4);
  short_ones<float, 512>(check, 1e-3);
  short_ones<double, 256>(check, 1e-12);
  long_one(check);
  return check.finish("fft");
}

// The device's math library over tables of inputs, among them those at the edges, against the
// host's in double; with the error bounds that AMD documents for HIP's functions, in ULPs, plus one
// for ours.
#include <functional>
#include <limits>

#include "check.hpp"

template <class T, class F>
__global__ void apply(const T* in, T* out, int count, F function) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = function(in[i]);
}
template <class T, class F>
__global__ void apply2(const T* a, const T* b, T* out, int count, F function) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = function(a[i], b[i]);
}

template <class T>
static void compare(Checker& check, const char* name, T seen, double exact, double ulps) {
  if (std::isnan(exact)) {
    check.that(std::isnan(seen), name, seen, exact);
    return;
  }
  const T wanted = static_cast<T>(exact);
  if (std::isinf(wanted) || std::isinf(seen)) {
    // One step from overflow, either is right.
    const double edge = std::numeric_limits<T>::max();
    check.that(seen == wanted ||
                   (std::abs(exact) >= edge * (1 - ulps * std::numeric_limits<T>::epsilon()) &&
                    (std::abs(seen) >= edge / 2)),
               name, seen, wanted);
    return;
  }
  const T magnitude = std::max(std::abs(wanted), std::numeric_limits<T>::min());
  const double unit =
      static_cast<double>(std::nextafter(magnitude, std::numeric_limits<T>::infinity())) -
      static_cast<double>(magnitude);
  check.that(std::abs(static_cast<double>(seen) - exact) <= (ulps + 1) * unit, name, seen, exact);
}

template <class T>
static std::vector<T> table(double low, double high, bool edges) {
  std::vector<T> values;
  for (int i = 0; i <= 500; i++) values.push_back(static_cast<T>(low + (high - low) * i / 500));
  if (edges)
    for (double value :
         {0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, -1e-30, 1e30, -1e30, 3.0e-39,
          static_cast<double>(INFINITY), -static_cast<double>(INFINITY), static_cast<double>(NAN)})
      values.push_back(static_cast<T>(value));
  return values;
}

#define ONE(T, name, expression, reference, low, high, edges, ulps)                      \
  do {                                                                                   \
    const auto in = table<T>(low, high, edges);                                          \
    const int count = static_cast<int>(in.size());                                       \
    Buffer<T> device(in), out(in.size());                                                \
    apply<T><<<(count + 63) / 64, 64>>>(device.get(), out.get(), count,                  \
                                        [] __device__(T x) -> T { return expression; }); \
    HIP_CHECK(hipGetLastError());                                                        \
    const auto seen = out.read();                                                        \
    for (int i = 0; i < count; i++) {                                                    \
      const double x = in[i];                                                            \
      compare<T>(check, name, seen[i], reference, ulps);                                 \
    }                                                                                    \
  } while (0)

static void floats(Checker& check) {
  ONE(float, "sinf", sinf(x), std::sin(x), -20, 20, false, 2);
  ONE(float, "sinf far", sinf(x), std::sin(x), 1e5, 1e6, true, 2);
  ONE(float, "cosf", cosf(x), std::cos(x), -20, 20, true, 2);
  ONE(float, "tanf", tanf(x), std::tan(x), -1.5, 1.5, false, 4);
  ONE(float, "asinf", asinf(x), std::asin(x), -1.1, 1.1, true, 4);
  ONE(float, "acosf", acosf(x), std::acos(x), -1, 1, true, 4);
  ONE(float, "atanf", atanf(x), std::atan(x), -50, 50, true, 3);
  ONE(float, "sinhf", sinhf(x), std::sinh(x), -10, 10, false, 3);
  ONE(float, "tanhf", tanhf(x), std::tanh(x), -5, 5, true, 3);
  ONE(float, "expf", expf(x), std::exp(x), -100, 95, true, 2);
  ONE(float, "exp2f", exp2f(x), std::exp2(x), -130, 130, true, 2);
  ONE(float, "expm1f", expm1f(x), std::expm1(x), -2, 2, true, 2);
  ONE(float, "logf", logf(x), std::log(x), 1e-3, 1e4, true, 2);
  ONE(float, "log2f", log2f(x), std::log2(x), 1e-3, 1e4, true, 2);
  ONE(float, "log10f", log10f(x), std::log10(x), 1e-3, 1e4, true, 2);
  ONE(float, "log1pf", log1pf(x), std::log1p(x), -0.9, 5, true, 2);
  ONE(float, "sqrtf", sqrtf(x), std::sqrt(x), 0, 1e6, true, 1);
  ONE(float, "rsqrtf", rsqrtf(x), 1 / std::sqrt(x), 1e-3, 1e6, false, 2);
  ONE(float, "cbrtf", cbrtf(x), std::cbrt(x), -100, 100, true, 2);
  ONE(float, "1/x", 1.0f / x, 1 / x, 0.01, 1e5, false, 1);
  ONE(float, "erff", erff(x), std::erf(x), -4, 4, true, 4);
  ONE(float, "erfcf", erfcf(x), std::erfc(x), -2, 5, false, 6);
  ONE(float, "tgammaf", tgammaf(x), std::tgamma(x), 0.1, 20, false, 11);
  ONE(float, "lgammaf", lgammaf(x), std::lgamma(x), 3, 100, false, 6);
  ONE(float, "floorf", floorf(x), std::floor(x), -5, 5, true, 0);
  ONE(float, "rintf", rintf(x), std::nearbyint(x), -5, 5, true, 0);
  ONE(float, "truncf", truncf(x), std::trunc(x), -5, 5, true, 0);
  ONE(float, "roundf", roundf(x), std::round(x), -5, 5, true, 0);
  ONE(float, "sinpif", sinpif(x), std::sin(M_PI * std::remainder(x, 2.0)), -0.49, 0.49, false, 2);
  ONE(float, "__expf", __expf(x), std::exp(x), -3, 3, false, 8);
  ONE(float, "__logf", __logf(x), std::log(x), 2, 100, false, 8);
  ONE(float, "__sinf", __sinf(x), std::sin(x), 0.5, 1.5, false, 64);
}

static void doubles(Checker& check) {
  ONE(double, "sin", sin(x), std::sin(x), -20, 20, true, 2);
  ONE(double, "cos far", cos(x), std::cos(x), 1e8, 1e9, false, 2);
  ONE(double, "tan", tan(x), std::tan(x), -1.5, 1.5, false, 4);
  ONE(double, "atan", atan(x), std::atan(x), -50, 50, true, 3);
  ONE(double, "exp", exp(x), std::exp(x), -700, 700, true, 2);
  ONE(double, "log", log(x), std::log(x), 1e-3, 1e4, true, 2);
  ONE(double, "sqrt", sqrt(x), std::sqrt(x), 0, 1e6, true, 1);
  ONE(double, "cbrt", cbrt(x), std::cbrt(x), -100, 100, true, 2);
  ONE(double, "1/x", 1.0 / x, 1 / x, -100, 99, true, 1);
  ONE(double, "erf", erf(x), std::erf(x), -4, 4, false, 6);
  ONE(double, "tgamma", tgamma(x), std::tgamma(x), 0.1, 20, false, 11);
  ONE(double, "floor", floor(x), std::floor(x), -5, 5, true, 0);
  ONE(double, "rint", rint(x), std::nearbyint(x), -5, 5, true, 0);
}

#define TWO(T, name, expression, reference, ulps)                                              \
  do {                                                                                         \
    std::vector<T> as, bs;                                                                     \
    for (double a : numbers)                                                                   \
      for (double b : numbers) {                                                               \
        as.push_back(static_cast<T>(a));                                                       \
        bs.push_back(static_cast<T>(b));                                                       \
      }                                                                                        \
    const int count = static_cast<int>(as.size());                                             \
    Buffer<T> da(as), db(bs), out(as.size());                                                  \
    apply2<T><<<(count + 63) / 64, 64>>>(da.get(), db.get(), out.get(), count,                 \
                                         [] __device__(T a, T b) -> T { return expression; }); \
    HIP_CHECK(hipGetLastError());                                                              \
    const auto seen = out.read();                                                              \
    for (int i = 0; i < count; i++) {                                                          \
      const double a = as[i], b = bs[i];                                                       \
      compare<T>(check, name, seen[i], reference, ulps);                                       \
    }                                                                                          \
  } while (0)

static void pairs(Checker& check) {
  const std::vector<double> numbers = {0.25, 0.7,  1,  1.5, 2,     3,    7.25, 10,
                                       33.3, -0.5, -1, -2,  -3.75, 12.5, 0.001};
  TWO(float, "powf", powf(a, b), std::pow(a, b), 3);
  TWO(float, "atan2f", atan2f(a, b), std::atan2(a, b), 3);
  TWO(float, "hypotf", hypotf(a, b), std::hypot(a, b), 2);
  TWO(float, "fmodf", fmodf(a, b), std::fmod(a, b), 0);
  TWO(float, "remainderf", remainderf(a, b), std::remainder(a, b), 0);
  TWO(float, "a/b", a / b, a / b, 1);
  TWO(float, "copysignf", copysignf(a, b), std::copysign(a, b), 0);
  TWO(float, "fdimf", fdimf(a, b), std::fdim(a, b), 1);
  TWO(double, "pow", pow(a, b), std::pow(a, b), 3);
  TWO(double, "atan2", atan2(a, b), std::atan2(a, b), 3);
  TWO(double, "fmod", fmod(a, b), std::fmod(a, b), 0);
  TWO(double, "a/b double", a / b, a / b, 1);
}

__global__ void integers(const uint32_t* in, uint32_t* out, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const uint32_t x = in[i], y = in[count - 1 - i] | 1;
  uint32_t* row = out + 12 * i;
  row[0] = __popc(x);
  row[1] = __clz(x);
  row[2] = __ffs(x);
  row[3] = __brev(x);
  row[4] = __umulhi(x, y);
  row[5] = __mulhi(static_cast<int>(x), static_cast<int>(y));
  row[6] = x / y;
  row[7] = x % y;
  row[8] = static_cast<int>(x) / static_cast<int>(y);
  row[9] = static_cast<uint32_t>((static_cast<uint64_t>(x) << 32 | y) / (y >> 3 | 1));
  row[10] = __byte_perm(x, y, 0x5140);
  row[11] = __sad(static_cast<int>(x), static_cast<int>(y), 5u);
}

static void whole_numbers(Checker& check) {
  std::vector<uint32_t> in = {0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF0000};
  Lcg random(31);
  while (in.size() < 500) in.push_back(random.next() >> random.next() % 30);
  const int count = static_cast<int>(in.size());
  Buffer<uint32_t> device(in), out(12 * in.size());
  integers<<<(count + 63) / 64, 64>>>(device.get(), out.get(), count);
  HIP_CHECK(hipGetLastError());
  const auto seen = out.read();
  for (int i = 0; i < count; i++) {
    const uint32_t x = in[i], y = in[count - 1 - i] | 1;
    uint32_t reversed = 0;
    for (int bit = 0; bit < 32; bit++) reversed |= (x >> bit & 1) << (31 - bit);
    const auto sx = static_cast<int64_t>(static_cast<int32_t>(x)),
               sy = static_cast<int64_t>(static_cast<int32_t>(y));
    const uint32_t wanted[12] = {
        static_cast<uint32_t>(__builtin_popcount(x)),
        x == 0 ? 32u : static_cast<uint32_t>(__builtin_clz(x)),
        static_cast<uint32_t>(__builtin_ffs(static_cast<int>(x))),
        reversed,
        static_cast<uint32_t>(static_cast<uint64_t>(x) * y >> 32),
        static_cast<uint32_t>(sx * sy >> 32),
        x / y,
        x % y,
        static_cast<uint32_t>(sx / sy),
        static_cast<uint32_t>((static_cast<uint64_t>(x) << 32 | y) / (y >> 3 | 1)),
        (x & 0xFF) | (y & 0xFF) << 8 | (x >> 8 & 0xFF) << 16 | (y >> 8 & 0xFF) << 24,
        static_cast<uint32_t>((sx > sy ? sx - sy : sy - sx) + 5)};
    for (int k = 0; k < 12; k++) check.same("integer", seen[12 * i + k], wanted[k]);
  }
}

int main() {
  Checker check;
  floats(check);
  doubles(check);
  pairs(check);
  whole_numbers(check);
  return check.finish("math_table");
}

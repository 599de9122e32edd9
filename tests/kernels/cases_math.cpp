// Owns: cases about arithmetic: both matmuls, convolution, nbody, mandelbrot, dot_f64, hash_i64.
// Does not own: running them.
// Threading: pure functions.
#include <algorithm>
#include <bit>
#include <cmath>

#include "case_builder.hpp"

namespace kiln::kernels {
namespace {

using F32 = std::vector<float>;

F32 random_floats(Random& random, std::size_t count) {
  F32 values(count);
  for (float& value : values) value = random.unit();
  return values;
}

// f16 of a value that it holds exactly and that is zero or normal there.
std::uint16_t exact_f16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if (value == 0) return static_cast<std::uint16_t>(bits >> 16);
  const std::uint32_t exponent = (bits >> 23 & 0xff) - 127 + 15;
  return static_cast<std::uint16_t>(bits >> 16 & 0x8000) |
         static_cast<std::uint16_t>(exponent << 10 | (bits >> 13 & 0x3ff));
}

KernelCase matmul_matrix(std::uint32_t scale) {
  const std::uint32_t m = 48 * scale, n = 32 * scale, k = 64 * scale;
  // Small multiples of 1/8: every product and every sum of them is exact in f32, so the result does
  // not depend on the order in which the matrix core adds.
  Random random(10);
  F32 a(std::size_t{m} * k), b(std::size_t{k} * n);
  for (float& value : a) value = static_cast<float>(random.whole(15)) / 8;
  for (float& value : b) value = static_cast<float>(random.whole(15)) / 8;
  std::vector<std::uint16_t> half_a, half_b;
  for (float value : a) half_a.push_back(exact_f16(value));
  for (float value : b) half_b.push_back(exact_f16(value));
  F32 c(std::size_t{m} * n, 0.0f);
  for (std::uint32_t row = 0; row < m; row++)
    for (std::uint32_t i = 0; i < k; i++)
      for (std::uint32_t column = 0; column < n; column++)
        c[row * n + column] += a[row * k + i] * b[i * n + column];
  // Fewer waves than tiles, so that waves loop.
  CaseBuilder builder("matmul_matrix", {2 * 128}, {128});
  builder.input("a", half_a).input("b", half_b).output("c", c.size() * 4);
  builder.value(m).value(n).value(k);
  // 0 - 0 may be either zero in another order.
  return builder.done([c](const Outputs& o) -> std::optional<std::string> {
    const F32 seen = from_bytes<float>(o.buffers[2], c.size());
    for (std::size_t i = 0; i < c.size(); i++)
      if (seen[i] != c[i]) return expect_one("c[" + std::to_string(i) + "]", seen[i], c[i]);
    return std::nullopt;
  });
}

KernelCase convolution(std::uint32_t scale) {
  const std::int32_t width = 45 * static_cast<std::int32_t>(scale);
  const std::int32_t height = 37 * static_cast<std::int32_t>(scale);
  Random random(11);
  const F32 in = random_floats(random, static_cast<std::size_t>(width * height));
  const F32 filter = random_floats(random, 25);
  F32 out;
  auto pixel = [&](std::int32_t x, std::int32_t y) {
    x = std::min(std::max(x, 0), width - 1);
    y = std::min(std::max(y, 0), height - 1);
    return in[static_cast<std::size_t>(y * width + x)];
  };
  for (std::int32_t y = 0; y < height; y++)
    for (std::int32_t x = 0; x < width; x++) {
      float sum = 0;
      for (std::int32_t tap = 0; tap < 25; tap++)
        sum = std::fma(pixel(x + tap % 5 - 2, y + tap / 5 - 2),
                       filter[static_cast<std::size_t>(tap)], sum);
      out.push_back(sum);
    }
  const auto up = [](std::int32_t size, std::int32_t block) {
    return static_cast<std::uint32_t>((size + block - 1) / block * block);
  };
  CaseBuilder builder("convolution", {up(width, 16), up(height, 8)}, {16, 8});
  builder.input("in", in).input("filter", filter).output("out", out.size() * 4);
  builder.value(width).value(height);
  return builder.done([out](const Outputs& o) { return expect_all("out", o.buffers[2], out); });
}

KernelCase nbody(std::uint32_t scale) {
  const std::uint32_t count = 150 * scale;
  const float softening = 0.01f;
  Random random(12);
  F32 bodies = random_floats(random, std::size_t{count} * 4);
  for (std::uint32_t i = 0; i < count; i++) bodies[i * 4 + 3] = std::fabs(bodies[i * 4 + 3]);
  CaseBuilder builder("nbody", {(count + 63) / 64 * 64}, {64});
  builder.input("bodies", bodies).output("accelerations", std::size_t{count} * 16);
  builder.value(count).value(softening);
  return builder.done([=](const Outputs& o) -> std::optional<std::string> {
    // In double. v_rsq_f32 is good to 1 ulp (AMD CDNA3 ISA, RDNA3 ISA), so each term has an error
    // of a few ulp and each of the `count` additions one of half an ulp of the partial sum.
    const F32 seen = from_bytes<float>(o.buffers[1], std::size_t{count} * 4);
    const double tolerance = (16.0 + count) * 0x1p-24;
    for (std::uint32_t i = 0; i < count; i++) {
      double sum[4] = {}, magnitude[4] = {};
      for (std::uint32_t j = 0; j < count; j++) {
        double d[3], squared = softening;
        for (int axis = 0; axis < 3; axis++) {
          d[axis] = static_cast<double>(bodies[j * 4 + axis]) - bodies[i * 4 + axis];
          squared += d[axis] * d[axis];
        }
        const double weight = bodies[j * 4 + 3] / std::sqrt(squared);
        for (int axis = 0; axis < 4; axis++) {
          const double term = axis == 3 ? -weight : d[axis] * weight / squared;
          sum[axis] += term;
          magnitude[axis] += std::fabs(term);
        }
      }
      for (int axis = 0; axis < 4; axis++) {
        const float value = seen[i * 4 + static_cast<std::size_t>(axis)];
        if (!(std::fabs(value - sum[axis]) <= tolerance * magnitude[axis]))
          return expect_one("accelerations[" + std::to_string(i) + "]." + "xyzw"[axis],
                            static_cast<double>(value), sum[axis]);
      }
    }
    return std::nullopt;
  });
}

KernelCase mandelbrot(std::uint32_t scale) {
  const std::uint32_t width = 72 * scale, height = 44 * scale, limit = 120;
  const float left = -2.2f, top = 1.2f, step = 0.043f / static_cast<float>(scale);
  std::vector<std::uint32_t> iterations;
  for (std::uint32_t py = 0; py < height; py++)
    for (std::uint32_t px = 0; px < width; px++) {
      // This file is compiled without contraction, like the kernel.
      const float cx = left + static_cast<float>(px) * step;
      const float cy = top - static_cast<float>(py) * step;
      float x = 0, y = 0;
      std::uint32_t n = 0;
      for (; n < limit && x * x + y * y <= 4.0f; n++) {
        const float next = x * x - y * y + cx;
        y = 2.0f * x * y + cy;
        x = next;
      }
      iterations.push_back(n);
    }
  CaseBuilder builder("mandelbrot", {(width + 15) / 16 * 16, (height + 15) / 16 * 16}, {16, 16});
  builder.output("iterations", iterations.size() * 4).value(width).value(height);
  builder.value(left).value(top).value(step).value(limit);
  return builder.done([iterations](const Outputs& o) {
    return expect_all("iterations", o.buffers[0], iterations);
  });
}

KernelCase dot_f64(std::uint32_t scale) {
  const std::uint32_t count = 900 * scale;
  // Multiples of 2^-12: sums of products are exact in f64, whatever the order.
  Random random(13);
  std::vector<double> x, y, quotients, lengths;
  double dot = 0;
  for (std::uint32_t i = 0; i < count; i++) {
    x.push_back(i == 7 ? 0.0 : random.whole(1 << 20) * 0x1p-12);
    y.push_back(i == 7 || i == 40 ? 0.0 : random.whole(1 << 20) * 0x1p-12);
    dot += x[i] * y[i];
    quotients.push_back(x[i] / y[i]);  // 0/0 and x/0 among them
    lengths.push_back(std::sqrt(std::fma(x[i], x[i], y[i] * y[i])));
  }
  CaseBuilder builder("dot_f64", {4 * 128}, {128});
  builder.input("x", x).input("y", y).in_out("dot", std::vector<double>{0});
  builder.output("quotients", count * 8).output("lengths", count * 8).value(count);
  return builder.done([=](const Outputs& o) -> std::optional<std::string> {
    if (auto bad = expect_all("dot", o.buffers[2], std::vector<double>{dot})) return bad;
    if (auto bad = expect_all("quotients", o.buffers[3], quotients)) return bad;
    return expect_all("lengths", o.buffers[4], lengths);
  });
}

std::uint64_t high_product(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t al = a & 0xffffffff, ah = a >> 32, bl = b & 0xffffffff, bh = b >> 32;
  const std::uint64_t middle = ah * bl + (al * bl >> 32);
  return ah * bh + (middle >> 32) + ((al * bh + (middle & 0xffffffff)) >> 32);
}

KernelCase hash_i64(std::uint32_t scale) {
  const std::uint32_t count = 1000 * scale;
  Random random(14);
  std::vector<std::uint64_t> keys, hashes;
  std::vector<std::int64_t> quotients;
  std::uint64_t sum = 0, exclusive_or = 0;
  for (std::uint32_t i = 0; i < count; i++) {
    const std::uint64_t key = i == 3 ? 0 : i == 4 ? ~std::uint64_t{0} : random.next() >> i % 60;
    keys.push_back(key);
    // Random(s).next() is the mixing function of s + its increment.
    std::uint64_t hash = Random(key + 0x9e3779b97f4a7c15u * std::uint64_t{i}).next();
    hash = std::rotl(hash, static_cast<int>(key & 63)) + high_product(hash, key);
    hash ^= static_cast<std::uint64_t>(std::popcount(key)) << 32 |
            static_cast<std::uint64_t>(std::countl_zero(key | 1));
    hash += hash % (key >> 40 | 3);
    hashes.push_back(hash);
    quotients.push_back(static_cast<std::int64_t>(hash) /
                        (static_cast<std::int64_t>(key) >> 33 | 1));
    sum += hash;
    exclusive_or ^= hash;
  }
  CaseBuilder builder("hash_i64", {(count + 255) / 256 * 256}, {256});
  builder.input("keys", keys).output("hashes", count * 8).output("quotients", count * 8);
  builder.in_out("result", std::vector<std::uint64_t>{0, 0}).value(count);
  return builder.done([=](const Outputs& o) -> std::optional<std::string> {
    if (auto bad = expect_all("hashes", o.buffers[1], hashes)) return bad;
    if (auto bad = expect_all("quotients", o.buffers[2], quotients)) return bad;
    return expect_all("result", o.buffers[3], std::vector<std::uint64_t>{sum, exclusive_or});
  });
}

}  // namespace

KernelCase matmul_lds_case(std::uint32_t m, std::uint32_t n, std::uint32_t k) {
  Random random(9);
  const F32 a = random_floats(random, std::size_t{m} * k);
  const F32 b = random_floats(random, std::size_t{k} * n);
  CaseBuilder builder("matmul_lds", {(n + 63) / 64 * 256, (m + 63) / 64}, {256});
  builder.input("a", a).input("b", b).output("c", std::size_t{m} * n * 4);
  builder.value(m).value(n).value(k);
  return builder.done([=](const Outputs& o) {
    // Each element adds its products in ascending order, so the result is exact.
    F32 c(std::size_t{m} * n, 0.0f);
    for (std::uint32_t row = 0; row < m; row++)
      for (std::uint32_t i = 0; i < k; i++)
        for (std::uint32_t column = 0; column < n; column++) {
          float& sum = c[std::size_t{row} * n + column];
          sum = std::fma(a[std::size_t{row} * k + i], b[std::size_t{i} * n + column], sum);
        }
    return expect_all("c", o.buffers[2], c);
  });
}

void add_math_cases(const CaseOptions& options, std::vector<KernelCase>* cases) {
  const std::uint32_t scale = options.scale;
  cases->push_back(matmul_lds_case(100 * scale, 84 * scale, 60 * scale));
  cases->push_back(matmul_matrix(scale));
  cases->push_back(convolution(scale));
  cases->push_back(nbody(scale));
  cases->push_back(mandelbrot(scale));
  cases->push_back(dot_f64(scale));
  cases->push_back(hash_i64(scale));
}

}  // namespace kiln::kernels

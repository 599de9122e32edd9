// Owns: cases about moving data: vector_add, saxpy, transpose, histogram, dynamic_lds, globals.
// Does not own: running them.
// Threading: pure functions.
#include <cmath>

#include "case_builder.hpp"

namespace kiln::kernels {
namespace {

using U32 = std::vector<std::uint32_t>;
using F32 = std::vector<float>;

F32 random_floats(std::uint64_t seed, std::size_t count) {
  Random random(seed);
  F32 values(count);
  for (float& value : values) value = random.unit();
  return values;
}

U32 random_words(std::uint64_t seed, std::size_t count) {
  Random random(seed);
  U32 values(count);
  for (std::uint32_t& value : values) value = random.u32();
  return values;
}

KernelCase vector_add(std::uint32_t scale) {
  const std::uint32_t count = 4000 * scale;  // not a multiple of the block
  const F32 a = random_floats(1, count), b = random_floats(2, count);
  F32 sum(count);
  for (std::uint32_t i = 0; i < count; i++) sum[i] = a[i] + b[i];
  CaseBuilder builder("vector_add", {(count + 255) / 256 * 256}, {256});
  builder.input("a", a).input("b", b).output("c", count * 4).value(count);
  return builder.done([sum](const Outputs& o) { return expect_all("c", o.buffers[2], sum); });
}

KernelCase saxpy(std::uint32_t scale) {
  const std::uint32_t count = 3001 * scale;
  const float a = 1.7f;
  const F32 x = random_floats(3, count), y = random_floats(4, count);
  F32 result(count);
  for (std::uint32_t i = 0; i < count; i++) result[i] = std::fma(a, x[i], y[i]);
  CaseBuilder builder("saxpy", {5 * 192}, {192});
  builder.value(a).input("x", x).in_out("y", y).value(count);
  return builder.done([result](const Outputs& o) { return expect_all("y", o.buffers[1], result); });
}

KernelCase transpose(std::uint32_t scale) {
  const std::uint32_t width = 70 * scale, height = 45 * scale;
  const U32 in = random_words(5, std::size_t{width} * height);
  U32 out(in.size());
  for (std::uint32_t y = 0; y < height; y++)
    for (std::uint32_t x = 0; x < width; x++)
      out[std::size_t{x} * height + y] = in[std::size_t{y} * width + x];
  // A block of 32 x 8 threads moves 32 x 32 elements.
  CaseBuilder builder("transpose", {(width + 31) / 32 * 32, (height + 31) / 32 * 8}, {32, 8});
  builder.input("in", in).output("out", out.size() * 4).value(width).value(height);
  return builder.done([out](const Outputs& o) { return expect_all("out", o.buffers[1], out); });
}

KernelCase histogram(std::uint32_t scale) {
  const std::uint32_t words = 2500 * scale;
  U32 packed = random_words(6, words);
  for (std::uint32_t i = 0; i < words; i += 3) packed[i] &= 0x07070707;  // crowd some bins
  U32 bins(256);
  for (std::uint32_t word : packed)
    for (int byte = 0; byte < 4; byte++) bins[word >> (8 * byte) & 0xff]++;
  CaseBuilder builder("histogram", {5 * 256}, {256});
  builder.input("packed", packed).in_out("bins", U32(256)).value(words);
  return builder.done([bins](const Outputs& o) { return expect_all("bins", o.buffers[1], bins); });
}

KernelCase dynamic_lds(std::uint32_t scale) {
  const std::uint32_t per_block = 517, blocks = 5 * scale;
  const U32 in = random_words(7, std::size_t{per_block} * blocks);
  U32 out(in.size());
  for (std::uint32_t block = 0; block < blocks; block++) {
    const std::size_t base = std::size_t{block} * per_block;
    const std::uint32_t key = in[base] ^ in[base + per_block - 1];
    for (std::uint32_t i = 0; i < per_block; i++)
      out[base + i] = in[base + per_block - 1 - i] ^ key;
  }
  CaseBuilder builder("dynamic_lds", {blocks * 128}, {128});
  builder.input("in", in).output("out", out.size() * 4).value(per_block);
  builder.raw().dynamic_lds = per_block * 4;
  return builder.done([out](const Outputs& o) { return expect_all("out", o.buffers[1], out); });
}

KernelCase globals(std::uint32_t scale) {
  const std::uint32_t count = 300 * scale, factor = 0x10001;
  const U32 table = random_words(8, 64);
  U32 out(count);
  for (std::uint32_t i = 0; i < count; i++) out[i] = table[i % 64] * factor + (0x600df00du ^ i);
  CaseBuilder builder("globals", {(count + 63) / 64 * 64}, {64});
  builder.output("out", count * 4).value(count);
  builder.raw().global_writes = {
      {"table", to_bytes(table)}, {"scale", to_bytes(U32{factor})}, {"visits", to_bytes(U32{0})}};
  builder.raw().global_reads = {{"visits", 4}, {"untouched", 4}, {"scale", 4}};
  return builder.done([=](const Outputs& o) -> std::optional<std::string> {
    if (auto bad = expect_all("out", o.buffers[0], out)) return bad;
    if (auto bad = expect_all("visits", o.globals[0], U32{count})) return bad;
    if (auto bad = expect_all("untouched", o.globals[1], U32{0x600df00d})) return bad;
    return expect_all("scale", o.globals[2], U32{factor});
  });
}

}  // namespace

void add_memory_cases(const CaseOptions& options, std::vector<KernelCase>* cases) {
  cases->push_back(vector_add(options.scale));
  cases->push_back(saxpy(options.scale));
  cases->push_back(transpose(options.scale));
  cases->push_back(histogram(options.scale));
  cases->push_back(dynamic_lds(options.scale));
  cases->push_back(globals(options.scale));
}

}  // namespace kiln::kernels

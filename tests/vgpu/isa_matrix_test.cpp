// Owns: MFMA of gfx90a with numbers: every form against sums over the published element layouts.
// Does not own: WMMA and the decoder.
// Threading: none.
//
// Layouts: AMD CDNA2 ISA, "Matrix Arithmetic Instructions", and AMD's matrix instruction calculator
// (register_layout of v_mfma_* for CDNA2). Inputs are small integers, distinct for each lane, so
// that every sum is exact in any order.
#include <bit>

#include "isa_harness.hpp"

namespace kiln::vgpu::isa::test {
namespace {

using U32 = std::uint32_t;
using U64 = std::uint64_t;

enum class Element { F32, F16, Bf16, I8, F64 };

/// One element of an input: block, row or column, and k, from lane and position in the lane.
struct Place {
  unsigned block, index, k;
};
/// One element of the result.
struct Result {
  unsigned block, row, column;
};

struct Form {
  Code code;
  Element element;
  unsigned size, k, blocks;  ///< size x k times k x size
  unsigned per_lane;         ///< input elements in a lane
};

/// Where an input element lies: lanes count rows first, then blocks, then groups of k.
Place input_place(const Form& f, unsigned lane, unsigned element) {
  if (f.size == 32 && f.blocks == 2) return {lane / 32, lane % 32, element};
  if (f.size == 32) return {0, lane % 32, lane / 32 * f.per_lane + element};
  if (f.size == 16 && f.blocks == 4) return {lane / 16, lane % 16, element};
  if (f.size == 16) return {0, lane % 16, lane / 16 * f.per_lane + element};
  if (f.element == Element::F64) return {lane / 4 % 4, lane % 4, lane / 16};
  return {lane / 4, lane % 4, element};
}

/// What register `reg` (a pair for f64) of a lane holds of the result.
Result result_place(const Form& f, unsigned lane, unsigned reg) {
  if (f.element == Element::F64)
    return f.size == 16 ? Result{0, 4 * reg + lane / 16, lane % 16}
                        : Result{lane / 4 % 4, lane / 16, lane % 4};
  if (f.size == 32) return {reg / 16, 8 * (reg / 4 % 4) + 4 * (lane / 32) + reg % 4, lane % 32};
  if (f.size == 16) return {reg / 4, 4 * (lane / 16) + reg % 4, lane % 16};
  return {lane / 4, reg, lane % 4};
}

int a_value(const Place& p) {
  return static_cast<int>((p.block * 31 + p.index * 7 + p.k * 3) % 23) - 11;
}
int b_value(const Place& p) {
  return static_cast<int>((p.block * 13 + p.index * 5 + p.k * 11) % 19) - 9;
}
int c_value(const Result& r) {
  return static_cast<int>(r.block * 97 + r.row * 33 + r.column) - 500;
}

/// Puts `value` as element number `element` of a lane into registers from `first`.
void put(Machine& m, Element kind, unsigned first, unsigned lane, unsigned element, int value) {
  const auto narrow = [&](unsigned bits, U32 raw) {
    const unsigned per_dword = 32 / bits, shift = element % per_dword * bits;
    U32& dword = m.v(first + element / per_dword)[lane];
    dword = (dword & ~(((bits == 32 ? 0u : 1u << bits) - 1) << shift)) | raw << shift;
  };
  const auto bits = std::bit_cast<U32>(static_cast<float>(value));
  switch (kind) {
    case Element::F32:
      m.v(first + element)[lane] = bits;
      return;
    case Element::F16:
      return narrow(16, std::bit_cast<std::uint16_t>(static_cast<_Float16>(value)));
    case Element::Bf16:
      return narrow(16, bits >> 16);
    case Element::I8:
      return narrow(8, static_cast<std::uint8_t>(value));
    case Element::F64: {
      const auto wide = std::bit_cast<U64>(static_cast<double>(value));
      m.v(first + 2 * element)[lane] = static_cast<U32>(wide);
      m.v(first + 2 * element + 1)[lane] = static_cast<U32>(wide >> 32);
      return;
    }
  }
}

void put_result(Machine& m, Element kind, unsigned first, unsigned lane, unsigned reg, int value) {
  if (kind == Element::I8)
    m.v(first + reg)[lane] = static_cast<U32>(value);
  else
    put(m, kind == Element::F64 ? Element::F64 : Element::F32, first, lane, reg, value);
}

double get_result(Machine& m, Element kind, unsigned first, unsigned lane, unsigned reg) {
  if (kind == Element::I8) return static_cast<std::int32_t>(m.v(first + reg)[lane]);
  if (kind == Element::F64)
    return std::bit_cast<double>(U64{m.v(first + 2 * reg + 1)[lane]} << 32 |
                                 m.v(first + 2 * reg)[lane]);
  return std::bit_cast<float>(m.v(first + reg)[lane]);
}

/// D = A * B + C with A from v[2..], B from v[6..], C from v[64..], D to v[128..].
void check(const Form& f) {
  Machine m(f.code);
  m.start();
  const unsigned registers = f.size * f.size * f.blocks / 64;
  for (unsigned lane = 0; lane < 64; ++lane) {
    for (unsigned e = 0; e < f.per_lane; ++e) {
      put(m, f.element, 2, lane, e, a_value(input_place(f, lane, e)));
      put(m, f.element, 6, lane, e, b_value(input_place(f, lane, e)));
    }
    for (unsigned reg = 0; reg < registers; ++reg)
      put_result(m, f.element, 64, lane, reg, c_value(result_place(f, lane, reg)));
  }
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane)
    for (unsigned reg = 0; reg < registers; ++reg) {
      const Result at = result_place(f, lane, reg);
      int sum = c_value(at);
      for (unsigned k = 0; k < f.k; ++k)
        sum += a_value({at.block, at.row, k}) * b_value({at.block, at.column, k});
      ASSERT_EQ(get_result(m, f.element, 128, lane, reg), sum) << "lane " << lane << " reg " << reg;
    }
}

TEST(IsaMatrix, FloatsOfGfx90a) {
  check(
      {gfx90a(R"(v_mfma_f32_32x32x1f32 v[128:159], v2, v6, v[64:95])"), Element::F32, 32, 1, 2, 1});
  check(
      {gfx90a(R"(v_mfma_f32_16x16x1f32 v[128:143], v2, v6, v[64:79])"), Element::F32, 16, 1, 4, 1});
  check({gfx90a(R"(v_mfma_f32_4x4x1f32 v[128:131], v2, v6, v[64:67])"), Element::F32, 4, 1, 16, 1});
  check(
      {gfx90a(R"(v_mfma_f32_32x32x2f32 v[128:143], v2, v6, v[64:79])"), Element::F32, 32, 2, 1, 1});
  check(
      {gfx90a(R"(v_mfma_f32_16x16x4f32 v[128:131], v2, v6, v[64:67])"), Element::F32, 16, 4, 1, 1});
}

TEST(IsaMatrix, HalvesOfGfx90a) {
  check({gfx90a(R"(v_mfma_f32_32x32x4f16 v[128:159], v[2:3], v[6:7], v[64:95])"), Element::F16, 32,
         4, 2, 4});
  check({gfx90a(R"(v_mfma_f32_16x16x4f16 v[128:143], v[2:3], v[6:7], v[64:79])"), Element::F16, 16,
         4, 4, 4});
  check({gfx90a(R"(v_mfma_f32_4x4x4f16 v[128:131], v[2:3], v[6:7], v[64:67])"), Element::F16, 4, 4,
         16, 4});
  check({gfx90a(R"(v_mfma_f32_32x32x8f16 v[128:143], v[2:3], v[6:7], v[64:79])"), Element::F16, 32,
         8, 1, 4});
  check({gfx90a(R"(v_mfma_f32_16x16x16f16 v[128:131], v[2:3], v[6:7], v[64:67])"), Element::F16, 16,
         16, 1, 4});
}

TEST(IsaMatrix, Bfloat16OfGfx90a) {
  check({gfx90a(R"(v_mfma_f32_32x32x2bf16 v[128:159], v2, v6, v[64:95])"), Element::Bf16, 32, 2, 2,
         2});
  check({gfx90a(R"(v_mfma_f32_16x16x2bf16 v[128:143], v2, v6, v[64:79])"), Element::Bf16, 16, 2, 4,
         2});
  check(
      {gfx90a(R"(v_mfma_f32_4x4x2bf16 v[128:131], v2, v6, v[64:67])"), Element::Bf16, 4, 2, 16, 2});
  check({gfx90a(R"(v_mfma_f32_32x32x4bf16 v[128:143], v2, v6, v[64:79])"), Element::Bf16, 32, 4, 1,
         2});
  check({gfx90a(R"(v_mfma_f32_16x16x8bf16 v[128:131], v2, v6, v[64:67])"), Element::Bf16, 16, 8, 1,
         2});
  check({gfx90a(R"(v_mfma_f32_32x32x4bf16_1k v[128:159], v[2:3], v[6:7], v[64:95])"), Element::Bf16,
         32, 4, 2, 4});
  check({gfx90a(R"(v_mfma_f32_16x16x4bf16_1k v[128:143], v[2:3], v[6:7], v[64:79])"), Element::Bf16,
         16, 4, 4, 4});
  check({gfx90a(R"(v_mfma_f32_4x4x4bf16_1k v[128:131], v[2:3], v[6:7], v[64:67])"), Element::Bf16,
         4, 4, 16, 4});
  check({gfx90a(R"(v_mfma_f32_32x32x8bf16_1k v[128:143], v[2:3], v[6:7], v[64:79])"), Element::Bf16,
         32, 8, 1, 4});
  check({gfx90a(R"(v_mfma_f32_16x16x16bf16_1k v[128:131], v[2:3], v[6:7], v[64:67])"),
         Element::Bf16, 16, 16, 1, 4});
}

TEST(IsaMatrix, BytesOfGfx90a) {
  check({gfx90a(R"(v_mfma_i32_32x32x4i8 v[128:159], v2, v6, v[64:95])"), Element::I8, 32, 4, 2, 4});
  check({gfx90a(R"(v_mfma_i32_16x16x4i8 v[128:143], v2, v6, v[64:79])"), Element::I8, 16, 4, 4, 4});
  check({gfx90a(R"(v_mfma_i32_4x4x4i8 v[128:131], v2, v6, v[64:67])"), Element::I8, 4, 4, 16, 4});
  check({gfx90a(R"(v_mfma_i32_32x32x8i8 v[128:143], v2, v6, v[64:79])"), Element::I8, 32, 8, 1, 4});
  check(
      {gfx90a(R"(v_mfma_i32_16x16x16i8 v[128:131], v2, v6, v[64:67])"), Element::I8, 16, 16, 1, 4});
}

TEST(IsaMatrix, DoublesOfGfx90a) {
  check({gfx90a(R"(v_mfma_f64_16x16x4f64 v[128:135], v[2:3], v[6:7], v[64:71])"), Element::F64, 16,
         4, 1, 1});
  check({gfx90a(R"(v_mfma_f64_4x4x4f64 v[128:129], v[2:3], v[6:7], v[64:65])"), Element::F64, 4, 4,
         4, 1});
}

/// MI200 flushes subnormal inputs and results of the 16-bit forms, not of f32 (MIOpen's
/// documentation, "MI200 MFMA behavior specifics"; PyTorch's numerical_accuracy.rst). gfx942 keeps
/// them.
void check_subnormals(const Code& code, bool bfloat, bool flushes) {
  // A row of one element each: lane 0 tiny * 1, lane 1 normal * normal with a subnormal product.
  Machine m(code);
  m.start();
  const U32 tiny = 1, one = bfloat ? 0x3f80 : 0x3c00;
  const bool wide = bfloat;  // only bfloat16 products can be subnormal in binary32
  const U32 small = 0x1f80;  // 2^-64 as bfloat16
  m.fill(2, [&](unsigned lane) { return lane == 0 ? tiny : lane == 1 && wide ? small : 0u; });
  m.fill(6, [&](unsigned lane) { return lane == 0 ? one : lane == 1 && wide ? small : 0u; });
  for (const unsigned reg : {3, 7}) m.fill(reg, [](unsigned) { return 0u; });
  for (unsigned reg = 64; reg < 68; ++reg) m.fill(reg, [](unsigned) { return 0u; });
  m.v(66)[2] = 0x80000001;  // a subnormal C
  m.expect_done();
  const U32 kept = bfloat ? 0x00010000u : std::bit_cast<U32>(0x1p-24f);
  EXPECT_EQ(m.v(128)[0], flushes ? 0u : kept);
  if (wide) {
    EXPECT_EQ(m.v(129)[1], flushes ? 0u : std::bit_cast<U32>(0x1p-128f));
  }
  EXPECT_EQ(m.v(130)[2] & 0x7fffffff, flushes ? 0u : 1u);
}
TEST(IsaMatrix, SubnormalsOf16Bits) {
  check_subnormals(gfx90a(R"(v_mfma_f32_4x4x4f16 v[128:131], v[2:3], v[6:7], v[64:67])"), false,
                   true);
  check_subnormals(gfx90a(R"(v_mfma_f32_4x4x4bf16_1k v[128:131], v[2:3], v[6:7], v[64:67])"), true,
                   true);
  check_subnormals(gfx942(R"(v_mfma_f32_4x4x4_16b_f16 v[128:131], v[2:3], v[6:7], v[64:67])"),
                   false, false);
  check_subnormals(gfx942(R"(v_mfma_f32_4x4x4_16b_bf16 v[128:131], v[2:3], v[6:7], v[64:67])"),
                   true, false);
}
TEST(IsaMatrix, SubnormalsOfF32Stay) {
  Machine m(gfx90a(R"(v_mfma_f32_4x4x1f32 v[128:131], v2, v6, v[64:67])"));
  m.start();
  m.fill(2, [](unsigned lane) { return lane == 0 ? 1u : 0u; });
  m.fill(6, [](unsigned lane) { return lane == 0 ? 0x3f800000u : 0u; });
  for (unsigned reg = 64; reg < 68; ++reg) m.fill(reg, [](unsigned) { return 0u; });
  m.expect_done();
  EXPECT_EQ(m.v(128)[0], 1u);
}

/// The same in accumulation registers, with a constant as C, chained: D of one is C of the next.
TEST(IsaMatrix, AccumulatorsChain) {
  Machine m(gfx90a(R"(v_mfma_f64_16x16x4f64 a[0:7], v[2:3], v[6:7], 0
v_mfma_f64_16x16x4f64 a[0:7], v[2:3], v[6:7], a[0:7]
v_accvgpr_read_b32 v128, a6
v_accvgpr_read_b32 v129, a7)"));
  m.start();
  const Form form{Code{}, Element::F64, 16, 4, 1, 1};
  for (unsigned lane = 0; lane < 64; ++lane) {
    put(m, Element::F64, 2, lane, 0, a_value(input_place(form, lane, 0)));
    put(m, Element::F64, 6, lane, 0, b_value(input_place(form, lane, 0)));
  }
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    const Result at = result_place(form, lane, 3);
    int sum = 0;
    for (unsigned k = 0; k < 4; ++k) sum += a_value({0, at.row, k}) * b_value({0, at.column, k});
    EXPECT_EQ(get_result(m, Element::F64, 128, lane, 0), 2 * sum) << lane;
  }
}

/// CBSZ and BLGP of the f64 forms are not documented for gfx90a: the wave stops there and says so.
TEST(IsaMatrix, DoublesWithBroadcastStopByName) {
  Machine m(gfx90a(R"(v_mfma_f64_4x4x4f64 v[128:129], v[2:3], v[6:7], v[64:65] blgp:1)"));
  m.start();
  EXPECT_EQ(m.finish(), RunStatus::Halted);
  EXPECT_NE(halt_reason(*m.group).find("v_mfma_f64_4x4x4f64"), std::string::npos);
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

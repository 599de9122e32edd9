// Owns: operand forms: constants, modifiers, op_sel, SDWA, DPP, and the MODE register's effects.
// Does not own: the operations (valu_float_test.cpp, valu_integer_test.cpp).
// Threading: one test at a time.
#include <cmath>

#include "valu_test_support.hpp"

namespace kiln::vgpu::isa::test {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

class ValuForms : public testing::TestWithParam<Flavour> {};

INSTANTIATE_TEST_SUITE_P(Flavours, ValuForms, testing::ValuesIn(flavours()));

TEST_P(ValuForms, ConstantsTakeTheirTypeFromTheOperand) {
  TestWave t;
  t.fill(0, 0);
  const std::uint16_t one = kHalf + 2, minus_five = kIntMinus1 + 4, literal = kLiteral;
  run(t, make("v_mov_b32", v(1), {one}), GetParam());
  EXPECT_EQ(t.reg(1, 5), 0x3f800000u);
  run(t, make("v_add_f16", v(1), {one, v(0)}), GetParam());
  EXPECT_EQ(t.reg(1, 5), 0x3c00u);
  run(t, make("v_add_f64", v(2), {one, v(0)}), GetParam());
  run(t, make("v_mov_b32", v(1), {minus_five}), GetParam());
  EXPECT_EQ(t.reg(1, 63), 0xfffffffbu);
  run(t, make("v_add_nc_u16", v(1), {minus_five, v(0)}), GetParam());
  EXPECT_EQ(t.reg(1, 63), 0xfffbu);
  run(t, make("v_ashrrev_i64", v(4), {std::uint16_t{kInt0}, minus_five}), GetParam());
  EXPECT_EQ(t.reg64(4, 1), ~u64{4});
  // binary64 literals are the upper half.
  t.set64(6, 9, bits(0.0));
  Instruction wide = make("v_add_f64", v(8), {literal, v(6)});
  wide.literal = 0x40290000;
  t.fill(6, 0), t.fill(7, 0);
  run(t, wide, GetParam());
  EXPECT_EQ(as_double(t.reg64(8, 9)), 12.5);
  Instruction narrow = make("v_add_f32", v(1), {literal, v(0)});
  narrow.literal = bits(12.25f);
  run(t, narrow, GetParam());
  EXPECT_EQ(as_float(t.reg(1, 0)), 12.25f);
}

TEST_P(ValuForms, SourceModifiers) {
  TestWave t;
  t.fill(0, bits(-3.0f));
  t.fill(1, bits(2.0f));
  Instruction i = make("v_add_f32", v(2), {v(0), v(1)});
  i.abs = 1;
  i.neg = 3;
  run(t, i, GetParam());
  EXPECT_EQ(as_float(t.reg(2, 40)), -5.0f);  // -|-3| + -2
  i.neg = 2;
  run(t, i, GetParam());
  EXPECT_EQ(as_float(t.reg(2, 40)), 1.0f);
  t.set64(4, 3, bits(-7.0));
  t.set64(6, 3, bits(1.0));
  Instruction d = make("v_add_f64", v(8), {v(4), v(6)});
  d.abs = 1;
  d.neg = 2;
  run(t, d, GetParam());
  EXPECT_EQ(as_double(t.reg64(8, 3)), 6.0);
}

TEST_P(ValuForms, ClampAndOutputModifiers) {
  TestWave t;
  t.wave.mode = 0x1c0;  // DX10_CLAMP, binary32 denormals flushed, not IEEE
  for (unsigned lane = 0; lane < 64; ++lane)
    t.reg(0, lane) = bits(static_cast<float>(lane) / 16 - 1);
  t.reg(0, 63) = 0x7fc00000;
  t.reg(0, 62) = 0x80000000;
  t.fill(1, bits(0.0f));
  Instruction i = make("v_add_f32", v(2), {v(0), v(1)});
  i.clamp = true;
  run(t, i, GetParam());
  EXPECT_EQ(as_float(t.reg(2, 0)), 0.0f);
  EXPECT_EQ(as_float(t.reg(2, 24)), 0.5f);
  EXPECT_EQ(as_float(t.reg(2, 60)), 1.0f);
  EXPECT_EQ(t.reg(2, 63), 0u);
  t.wave.mode &= ~0x100u;  // without DX10_CLAMP a NaN stays
  run(t, i, GetParam());
  EXPECT_TRUE(std::isnan(as_float(t.reg(2, 63))));
  i.clamp = false;
  for (unsigned omod = 1; omod < 4; ++omod) {
    const float factors[] = {1, 2, 4, 0.5f};
    i.omod = static_cast<std::uint8_t>(omod);
    i.neg = 2;
    t.wave.mode = 0xc0;
    run(t, i, GetParam());
    EXPECT_EQ(as_float(t.reg(2, 5)), as_float(t.reg(0, 5)) * factors[omod]);
    EXPECT_EQ(t.reg(2, 62), 0u);  // -0 comes out as +0
    t.wave.mode = 0x2c0;          // IEEE: ignored
    run(t, i, GetParam());
    EXPECT_EQ(as_float(t.reg(2, 5)), as_float(t.reg(0, 5)));
    t.wave.mode = 0xf0;  // denormal results: ignored
    run(t, i, GetParam());
    EXPECT_EQ(as_float(t.reg(2, 5)), as_float(t.reg(0, 5)));
  }
}

TEST_P(ValuForms, DenormalModes) {
  TestWave t;
  t.fill(0, 0x00000003);
  t.fill(1, 0x80000000);
  t.fill(2, 0x00800001);
  t.fill(3, bits(0.5f));
  const auto add = make("v_add_f32", v(8), {v(0), v(1)});
  const auto mul = make("v_mul_f32", v(9), {v(2), v(3)});
  const u32 inputs[] = {0, 3, 0, 3};  // modes: none, in, out, both
  const u32 outputs[] = {0, 0, 0x00400000, 0x00400000};
  for (u32 mode = 0; mode < 4; ++mode) {
    t.wave.mode = 0x3c0 | mode << 4;
    run(t, add, GetParam());
    EXPECT_EQ(t.reg(8, 0), mode == 3 ? inputs[mode] : 0u) << mode;
    run(t, mul, GetParam());
    EXPECT_EQ(t.reg(9, 0), outputs[mode]) << mode;
    run(t, make("v_mov_b32", v(10), {v(0)}), GetParam());
    EXPECT_EQ(t.reg(10, 0), 3u);  // moves never flush
  }
  // The other field is for binary16 and binary64.
  t.fill(4, 0x0001);
  t.fill(5, 0x0000);
  for (u32 mode = 0; mode < 4; ++mode) {
    t.wave.mode = 0x330 | mode << 6;
    run(t, make("v_add_f16", v(8), {v(4), v(5)}), GetParam());
    EXPECT_EQ(t.reg(8, 0), mode == 3 ? 1u : 0u);
    t.set64(12, 0, 1), t.set64(14, 0, 0);
    run(t, make("v_add_f64", v(16), {v(12), v(14)}), GetParam());
    EXPECT_EQ(t.reg64(16, 0), mode == 3 ? 1u : 0u);
    run(t, add, GetParam());
    EXPECT_EQ(t.reg(8, 0), 3u);
  }
}

TEST_P(ValuForms, RoundingModes) {
  TestWave t;
  t.fill(0, bits(1.0f));
  t.fill(1, bits(0x1p-30f));
  t.fill(2, bits(-1.0f));
  t.fill(3, 0x3c00), t.fill(4, 0x0001);
  const u32 up[] = {0x3f800000, 0x3f800001, 0x3f800000, 0x3f800000};
  const u32 down[] = {0xbf800000, 0xbf7fffff, 0xbf800000, 0xbf7fffff};
  const u32 half_up[] = {0x3c00, 0x3c01, 0x3c00, 0x3c00};
  for (u32 mode = 0; mode < 4; ++mode) {
    t.wave.mode = 0x3f0 | mode;
    run(t, make("v_add_f32", v(8), {v(0), v(1)}), GetParam());
    EXPECT_EQ(t.reg(8, 0), up[mode]) << mode;
    run(t, make("v_add_f32", v(8), {v(2), v(1)}), GetParam());
    EXPECT_EQ(t.reg(8, 0), down[mode]) << mode;
    t.wave.mode = 0x3f0 | mode << 2;
    run(t, make("v_add_f32", v(8), {v(0), v(1)}), GetParam());
    EXPECT_EQ(t.reg(8, 0), up[0]) << mode;
    run(t, make("v_add_f16", v(9), {v(3), v(4)}), GetParam());
    EXPECT_EQ(t.reg(9, 0), half_up[mode]) << mode;
    run(t, make("v_fma_f16", v(9), {v(3), v(3), v(4)}), GetParam());
    EXPECT_EQ(t.reg(9, 0), half_up[mode]) << mode;
    t.fill(10, bits(1.0f + 0x1p-12f));
    run(t, make("v_cvt_f16_f32", v(9), {v(10)}), GetParam());
    EXPECT_EQ(t.reg(9, 0), half_up[mode]) << mode;
    run(t, make("v_rndne_f32", v(9), {v(10)}), GetParam());
    EXPECT_EQ(as_float(t.reg(9, 0)), 1.0f);
  }
  EXPECT_EQ(1.0f + 0x1p-30f, 1.0f) << "the host's rounding mode must be restored";
}

TEST_P(ValuForms, HalvesByOpSel) {
  TestWave t(Arch::Rdna3);
  t.fill(0, 0x40003c00);
  t.fill(1, 0x44004200);
  for (unsigned sel = 0; sel < 16; ++sel) {
    if ((sel & 4) != 0) continue;
    t.fill(2, 0xaaaabbbb);
    Instruction i = make("v_add_f16", v(2), {v(0), v(1)});
    i.op_sel = static_cast<std::uint8_t>(sel);
    run(t, i, GetParam());
    const unsigned sum = ((sel & 1) != 0 ? 2 : 1) + ((sel & 2) != 0 ? 4 : 3);
    const u32 encoded[] = {0, 0, 0, 0, 0x4400, 0x4500, 0x4600};
    EXPECT_EQ(t.reg(2, 17),
              (sel & 8) != 0 ? 0xbbbb | encoded[sum] << 16 : 0xaaaa0000 | encoded[sum]);
    t.fill(3, 0x11112222);
    i = make("v_add_nc_u16", v(3), {v(0), v(1)});
    i.op_sel = static_cast<std::uint8_t>(sel);
    run(t, i, GetParam());
    const u32 total = ((sel & 1) != 0 ? 0x4000u : 0x3c00u) + ((sel & 2) != 0 ? 0x4400u : 0x4200u);
    EXPECT_EQ(t.reg(3, 17), (sel & 8) != 0 ? 0x2222 | total << 16 : 0x11110000 | total);
  }
  // On gfx9 a result in the upper half keeps the lower one; in the lower half it clears the upper.
  TestWave g(Arch::Cdna3);
  g.fill(0, 0x00010002), g.fill(2, 0xaaaabbbb);
  Instruction i = make("v_add_nc_u16", v(2), {v(0), v(0)});
  run(g, i, GetParam());
  EXPECT_EQ(g.reg(2, 0), 4u);
  g.fill(2, 0xaaaabbbb);
  i.op_sel = 8;
  run(g, i, GetParam());
  EXPECT_EQ(g.reg(2, 0), 0x0004bbbbu);
}

// --- SDWA ----------------------------------------------------------------------------------------

TEST_P(ValuForms, SdwaSourcesAndDestinations) {
  TestWave t;
  t.fill(0, 0x84838281);
  t.fill(1, 1);
  const u32 zero_extended[] = {0x81, 0x82, 0x83, 0x84, 0x8281, 0x8483, 0x84838281};
  const u32 sign_extended[] = {0xffffff81, 0xffffff82, 0xffffff83, 0xffffff84,
                               0xffff8281, 0xffff8483, 0x84838281};
  Instruction i = make("v_add_nc_u32", v(2), {v(0), v(1)}, Format::Vop2);
  i.lanes = Lanes::Sdwa;
  for (std::uint8_t sel = 0; sel < 7; ++sel) {
    i.sdwa_src_sel[0] = sel;
    i.sdwa_sext = 0;
    run(t, i, GetParam());
    EXPECT_EQ(t.reg(2, 33), zero_extended[sel] + 1);
    i.sdwa_sext = 1;
    run(t, i, GetParam());
    EXPECT_EQ(t.reg(2, 33), sign_extended[sel] + 1);
  }
  struct Destination {
    std::uint8_t sel, unused;
    u32 expected;
  };
  const Destination rows[] = {{0, 0, 0x000000a5}, {0, 1, 0xffffffa5}, {0, 2, 0x112233a5},
                              {1, 0, 0x0000a500}, {1, 1, 0xffffa500}, {1, 2, 0x1122a544},
                              {3, 0, 0xa5000000}, {3, 1, 0xa5000000}, {3, 2, 0xa5223344},
                              {4, 0, 0x00008ea5}, {4, 1, 0xffff8ea5}, {4, 2, 0x11228ea5},
                              {5, 0, 0x8ea50000}, {5, 2, 0x8ea53344}, {6, 2, 0x77778ea5}};
  for (const Destination& row : rows) {
    t.fill(3, 0x77778ea5);
    t.fill(4, 0x11223344);
    t.reg(4, 0) = 99;
    t.wave.set_exec(~u64{1});
    Instruction move = make("v_mov_b32", v(4), {v(3)}, Format::Vop1);
    move.lanes = Lanes::Sdwa;
    move.sdwa_dst_sel = row.sel;
    move.sdwa_dst_unused = row.unused;
    run(t, move, GetParam());
    EXPECT_EQ(t.reg(4, 50), row.expected) << unsigned{row.sel} << " " << unsigned{row.unused};
    EXPECT_EQ(t.reg(4, 0), 99u);
  }
  // binary16 in the upper word, negated, result in the upper word.
  t.wave.set_exec(~u64{0});
  t.fill(5, 0x40000000), t.fill(6, 0x3c00), t.fill(7, 0x00001234);
  Instruction add = make("v_add_f16", v(7), {v(5), v(6)}, Format::Vop2);
  add.lanes = Lanes::Sdwa;
  add.sdwa_src_sel[0] = 5;
  add.sdwa_src_sel[1] = 4;
  add.neg = 1;
  add.sdwa_dst_sel = 5;
  add.sdwa_dst_unused = 2;
  run(t, add, GetParam());
  EXPECT_EQ(t.reg(7, 0), 0xbc001234u);
}

// --- DPP -----------------------------------------------------------------------------------------

constexpr u32 kNone = 0xffffffff;  // no source lane: outside

struct Dpp {
  u32 control;
  u32 (*source)(u32 lane);
};

TEST_P(ValuForms, Dpp16Patterns) {
  const Dpp rows[] = {
      {0x01b, [](u32 l) { return (l & ~3u) + 3 - l % 4; }},         // quad_perm:[3,2,1,0]
      {0x055, [](u32 l) { return (l & ~3u) + 1; }},                 // quad_perm:[1,1,1,1]
      {0x101, [](u32 l) { return l % 16 == 15 ? kNone : l + 1; }},  // row_shl:1
      {0x10f, [](u32 l) { return l % 16 == 0 ? l + 15 : kNone; }},  // row_shl:15
      {0x113, [](u32 l) { return l % 16 < 3 ? kNone : l - 3; }},    // row_shr:3
      {0x124, [](u32 l) { return (l & ~15u) + (l + 12) % 16; }},    // row_ror:4
      {0x140, [](u32 l) { return (l & ~15u) + 15 - l % 16; }},      // row_mirror
      {0x141, [](u32 l) { return (l & ~7u) + 7 - l % 8; }},         // row_half_mirror
      {0x155, [](u32 l) { return (l & ~15u) + 5; }},                // row_newbcast / row_share:5
  };
  const Dpp gfx9[] = {
      {0x130, [](u32 l) { return l == 63 ? kNone : l + 1; }},          // wave_shl:1
      {0x134, [](u32 l) { return (l + 1) % 64; }},                     // wave_rol:1
      {0x138, [](u32 l) { return l == 0 ? kNone : l - 1; }},           // wave_shr:1
      {0x13c, [](u32 l) { return (l + 63) % 64; }},                    // wave_ror:1
      {0x142, [](u32 l) { return l < 16 ? kNone : (l & ~15u) - 1; }},  // row_bcast:15
      {0x143, [](u32 l) { return l < 32 ? kNone : 31u; }},             // row_bcast:31
  };
  const Dpp gfx11[] = {
      {0x165, [](u32 l) { return l ^ 5; }},  // row_xmask:5
  };
  const auto check = [&](Arch arch, const Dpp& row) {
    for (unsigned form = 0; form < 8; ++form) {
      TestWave t(arch);
      const u64 exec = (form & 1) != 0 ? kSomeLanes : ~u64{0};
      t.wave.set_exec(exec);
      for (unsigned lane = 0; lane < 64; ++lane) {
        t.reg(0, lane) = 1000 + lane;
        t.reg(1, lane) = lane << 16;
        t.reg(2, lane) = 7;
      }
      Instruction i = make("v_add_nc_u32", v(2), {v(0), v(1)}, Format::Vop2);
      i.lanes = Lanes::Dpp16;
      i.dpp = row.control;
      i.bound_ctrl = (form & 2) != 0;
      i.row_mask = (form & 4) != 0 ? 0xa : 0xf;
      i.bank_mask = (form & 4) != 0 ? 0xd : 0xf;
      run(t, i, GetParam());
      for (unsigned lane = 0; lane < 64; ++lane) {
        const u32 from = row.source(lane);
        const bool valid = from != kNone && (exec >> from & 1) != 0;
        const bool writes = (exec >> lane & 1) != 0 && (i.row_mask >> lane / 16 & 1) != 0 &&
                            (i.bank_mask >> lane % 16 / 4 & 1) != 0 && (valid || i.bound_ctrl);
        const u32 expected = !writes ? 7 : (valid ? 1000 + from : 0) + (lane << 16);
        ASSERT_EQ(t.reg(2, lane), expected)
            << std::hex << row.control << std::dec << " form " << form << " lane " << lane;
      }
    }
  };
  for (const Dpp& row : rows) {
    check(Arch::Cdna3, row);
    check(Arch::Rdna3, row);
  }
  for (const Dpp& row : gfx9) check(Arch::Cdna3, row);
  for (const Dpp& row : gfx11) check(Arch::Rdna3, row);
}

TEST_P(ValuForms, Dpp8AndInactiveLanes) {
  const unsigned selectors[8] = {7, 6, 5, 4, 3, 2, 1, 1};
  for (const bool fetch : {false, true}) {
    TestWave t(Arch::Rdna3, 32);
    t.wave.set_exec(kSomeLanes);
    for (unsigned lane = 0; lane < 64; ++lane) t.reg(0, lane) = 500 + lane, t.reg(1, lane) = 3;
    Instruction i = make("v_mov_b32", v(1), {v(0)}, Format::Vop1);
    i.lanes = Lanes::Dpp8;
    i.fetch_inactive = fetch;
    for (unsigned n = 0; n < 8; ++n) i.dpp |= selectors[n] << (3 * n);
    run(t, i, GetParam());
    for (unsigned lane = 0; lane < 32; ++lane) {
      const unsigned from = (lane & ~7u) + selectors[lane % 8];
      const bool readable = fetch || (kSomeLanes >> from & 1) != 0;
      const u32 expected = (kSomeLanes >> lane & 1) == 0 ? 3 : readable ? 500 + from : 0;
      EXPECT_EQ(t.reg(1, lane), expected) << lane;
    }
  }
}

TEST_P(ValuForms, DppOn64BitsAndOnFloats) {
  TestWave t;
  for (unsigned lane = 0; lane < 64; ++lane) t.set64(0, lane, u64{lane} << 40 | lane);
  Instruction i = make("v_mov_b64", v(2), {v(0)}, Format::Vop1);
  i.lanes = Lanes::Dpp16;
  i.dpp = 0x153;
  run(t, i, GetParam());
  for (unsigned lane = 0; lane < 64; ++lane) {
    const u64 from = (lane & ~15u) + 3;
    EXPECT_EQ(t.reg64(2, lane), from << 40 | from);
  }
  for (unsigned lane = 0; lane < 64; ++lane)
    t.reg(4, lane) = bits(static_cast<float>(lane)), t.reg(5, lane) = bits(0.5f);
  Instruction sub = make("v_sub_f32", v(6), {v(4), v(5)}, Format::Vop2);
  sub.lanes = Lanes::Dpp16;
  sub.dpp = 0x140;
  sub.neg = 1;
  run(t, sub, GetParam());
  EXPECT_EQ(as_float(t.reg(6, 18)), -29.5f);
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

// Owns: conversions, lane-crossing operations, mixed precision and dual issue.
// Does not own: DPP (valu_forms_test.cpp).
// Threading: one test at a time.
#include <cmath>

#include "valu_test_support.hpp"

namespace kiln::vgpu::isa::test {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

class ValuLane : public testing::TestWithParam<Flavour> {
 protected:
  u32 one(const char* name, u32 in, Arch arch = Arch::Cdna3) {
    TestWave t(arch);
    t.fill(0, in);
    run(t, make(name, v(2), {v(0)}), GetParam());
    return t.reg(2, 21);
  }
  u32 one64(const char* name, double in) {
    TestWave t;
    for (unsigned lane = 0; lane < 64; ++lane) t.set64(0, lane, bits(in));
    run(t, make(name, v(2), {v(0)}), GetParam());
    return t.reg(2, 21);
  }
  u32 two(const char* name, u32 a, u32 b, Arch arch = Arch::Cdna3) {
    TestWave t(arch);
    t.fill(0, a), t.fill(1, b);
    run(t, make(name, v(2), {v(0), v(1)}), GetParam());
    return t.reg(2, 21);
  }
};

INSTANTIATE_TEST_SUITE_P(Flavours, ValuLane, testing::ValuesIn(flavours()));

TEST_P(ValuLane, FloatToIntegerSaturates) {
  EXPECT_EQ(one("v_cvt_i32_f32", bits(-1.9f)), 0xffffffffu);
  EXPECT_EQ(one("v_cvt_i32_f32", bits(2147483648.0f)), 0x7fffffffu);
  EXPECT_EQ(one("v_cvt_i32_f32", bits(2147483520.0f)), 0x7fffff80u);
  EXPECT_EQ(one("v_cvt_i32_f32", bits(-2147483648.0f)), 0x80000000u);
  EXPECT_EQ(one("v_cvt_i32_f32", 0xff800000), 0x80000000u);
  EXPECT_EQ(one("v_cvt_i32_f32", 0x7fc00000), 0u);
  EXPECT_EQ(one("v_cvt_u32_f32", bits(-5.0f)), 0u);
  EXPECT_EQ(one("v_cvt_u32_f32", bits(3000000000.0f)), 3000000000u);
  EXPECT_EQ(one("v_cvt_u32_f32", bits(4294967040.0f)), 4294967040u);
  EXPECT_EQ(one("v_cvt_u32_f32", 0x7f800000), 0xffffffffu);
  EXPECT_EQ(one("v_cvt_u32_f32", 0xffc00000), 0u);
  EXPECT_EQ(one64("v_cvt_i32_f64", -2147483648.9), 0x80000000u);
  EXPECT_EQ(one64("v_cvt_i32_f64", 2147483646.9), 0x7ffffffeu);
  EXPECT_EQ(one64("v_cvt_i32_f64", 1e300), 0x7fffffffu);
  EXPECT_EQ(one64("v_cvt_i32_f64", NAN), 0u);
  EXPECT_EQ(one64("v_cvt_u32_f64", 4294967294.9), 0xfffffffeu);
  EXPECT_EQ(one64("v_cvt_u32_f64", -1.0), 0u);
  EXPECT_EQ(one("v_cvt_floor_i32_f32", bits(-1.5f)), 0xfffffffeu);
  EXPECT_EQ(one("v_cvt_nearest_i32_f32", bits(2.5f)), 3u);
  EXPECT_EQ(one("v_cvt_nearest_i32_f32", bits(-2.5f)), 0xfffffffeu);
  EXPECT_EQ(one("v_cvt_u16_f16", 0x7c00), 0xffffu);
  EXPECT_EQ(one("v_cvt_i16_f16", 0xc500) & 0xffff, 0xfffbu);
}

TEST_P(ValuLane, IntegerToFloatAndBetweenFloats) {
  EXPECT_EQ(one("v_cvt_f32_u32", 0xffffffff), bits(4294967296.0f));
  EXPECT_EQ(one("v_cvt_f32_u32", 0x80000080), bits(2147483648.0f));  // a tie, to even
  EXPECT_EQ(one("v_cvt_f32_u32", 0x80000081), bits(2147483904.0f));
  EXPECT_EQ(one("v_cvt_f32_i32", 0x80000000), bits(-2147483648.0f));
  EXPECT_EQ(one("v_cvt_f32_ubyte2", 0x00fe0000), bits(254.0f));
  EXPECT_EQ(one("v_cvt_off_f32_i4", 0x00000018), bits(-0.5f));
  EXPECT_EQ(one("v_cvt_off_f32_i4", 0x00000007), bits(0.4375f));
  EXPECT_EQ(one("v_cvt_f16_f32", bits(65519.0f)), 0x7bffu);
  EXPECT_EQ(one("v_cvt_f16_f32", bits(65520.0f)), 0x7c00u);
  EXPECT_EQ(one("v_cvt_f16_f32", bits(0x1p-25f)), 0u);
  EXPECT_EQ(one("v_cvt_f16_f32", bits(0x1.000002p-25f)), 1u);
  EXPECT_EQ(one("v_cvt_f16_f32", bits(-0x1.ffcp-15f)), 0x8400u);  // a tie, up to the normals
  EXPECT_EQ(one("v_cvt_f16_f32", bits(-0x1.ff8p-15f)), 0x83ffu);
  EXPECT_EQ(one("v_cvt_f16_f32", 0x7f800001) & 0x7e00, 0x7e00u);
  EXPECT_EQ(one("v_cvt_f32_f16", 0x0001), bits(0x1p-24f));
  EXPECT_EQ(one("v_cvt_f32_f16", 0xfc00), 0xff800000u);
  EXPECT_EQ(one("v_cvt_f32_f16", 0x7c01) & 0x7fc00000, 0x7fc00000u);
  EXPECT_EQ(one64("v_cvt_f32_f64", 1.0 + 0x1p-24), bits(1.0f));
  EXPECT_EQ(one64("v_cvt_f32_f64", 1e300), 0x7f800000u);
  TestWave t;
  t.fill(0, bits(1.1f));
  run(t, make("v_cvt_f64_f32", v(2), {v(0)}), GetParam());
  EXPECT_EQ(as_double(t.reg64(2, 8)), static_cast<double>(1.1f));
  run(t, make("v_cvt_f64_u32", v(4), {v(0)}), GetParam());
  EXPECT_EQ(as_double(t.reg64(4, 8)), static_cast<double>(bits(1.1f)));
}

TEST_P(ValuLane, HalfConversionIsExactBothWays) {
  TestWave t(Arch::Rdna3);
  for (u32 base = 0; base < 0x10000; base += 64) {
    for (unsigned lane = 0; lane < 64; ++lane) t.reg(0, lane) = base + lane;
    run(t, make("v_cvt_f32_f16", v(1), {v(0)}), GetParam());
    run(t, make("v_cvt_f16_f32", v(2), {v(1)}), GetParam());
    for (unsigned lane = 0; lane < 64; ++lane) {
      const u32 h = base + lane;
      const bool nan = (h & 0x7fff) > 0x7c00;
      ASSERT_EQ(t.reg(2, lane) & 0xffff, nan ? h | 0x200 : h);
      if (nan) continue;
      const int e = static_cast<int>(h >> 10 & 31);
      const float m = e == 31  ? INFINITY
                      : e == 0 ? std::ldexp(static_cast<float>(h & 0x3ff), -24)
                               : std::ldexp(static_cast<float>((h & 0x3ff) + 1024), e - 25);
      ASSERT_EQ(t.reg(1, lane), bits((h & 0x8000) != 0 ? -m : m));
    }
  }
}

TEST_P(ValuLane, PackingConversions) {
  EXPECT_EQ(two("v_cvt_pk_rtz_f16_f32", bits(65535.0f), bits(-0x1.fffffep-15f)), 0x83ff7bffu);
  EXPECT_EQ(two("v_cvt_pk_rtz_f16_f32", bits(1.9999f), 0xff800000), 0xfc003fffu);
  EXPECT_EQ(two("v_cvt_pk_norm_i16_f32", bits(1.0f), bits(-2.0f)), 0x80017fffu);
  EXPECT_EQ(two("v_cvt_pk_norm_u16_f32", bits(2.0f), bits(-1.0f)), 0x0000ffffu);
  EXPECT_EQ(two("v_cvt_pk_i16_f32", bits(-40000.0f), bits(12.9f), Arch::Rdna3), 0x000c8000u);
  EXPECT_EQ(two("v_pack_b32_f16", 0x12347e01, 0x5678fc00), 0xfc007e01u);
  TestWave t;
  t.fill(0, bits(300.0f)), t.fill(1, 2), t.fill(2, 0x11223344);
  run(t, make("v_cvt_pk_u8_f32", v(3), {v(0), v(1), v(2)}), GetParam());
  EXPECT_EQ(t.reg(3, 0), 0x11ff3344u);
}

TEST_P(ValuLane, EightBitFloatsOfGfx942) {
  // FNUZ encodings: E4M3 bias 8, largest 240; E5M2 bias 16, largest 57344; 0x80 is the only NaN
  // (OCP-style tables of the AMD CDNA3 ISA, "FP8 and BF8").
  const struct {
    u32 byte;
    float fp8, bf8;
  } rows[] = {{0x00, 0, 0},
              {0x01, 0x1p-10f, 0x1p-17f},
              {0x07, 0x7p-10f, 0x1.cp-15f},
              {0x08, 0x1p-7f, 0x1p-14f},
              {0x40, 1.0f, 1.0f},
              {0xc0, -1.0f, -1.0f},
              {0x7f, 240.0f, 57344.0f},
              {0xff, -240.0f, -57344.0f},
              {0x45, 1.625f, 2.5f}};
  for (const auto& row : rows) {
    EXPECT_EQ(as_float(one("v_cvt_f32_fp8", row.byte)), row.fp8) << row.byte;
    EXPECT_EQ(as_float(one("v_cvt_f32_bf8", row.byte)), row.bf8) << row.byte;
  }
  EXPECT_TRUE(std::isnan(as_float(one("v_cvt_f32_fp8", 0x80))));
  EXPECT_TRUE(std::isnan(as_float(one("v_cvt_f32_bf8", 0x80))));
  // Every finite byte survives the way back, and ties go to even.
  for (u32 byte = 0; byte < 256; ++byte) {
    const u32 fp8 = one("v_cvt_f32_fp8", byte), bf8 = one("v_cvt_f32_bf8", byte);
    EXPECT_EQ(two("v_cvt_pk_fp8_f32", fp8, fp8) & 0xffff, byte << 8 | byte);
    EXPECT_EQ(two("v_cvt_pk_bf8_f32", bf8, bf8) & 0xffff, byte << 8 | byte);
  }
  EXPECT_EQ(two("v_cvt_pk_fp8_f32", bits(1.0625f), bits(1.1875f)) & 0xffff, 0x4240u);
  EXPECT_EQ(two("v_cvt_pk_fp8_f32", bits(247.9f), bits(248.0f)) & 0xffff, 0x807fu);
  EXPECT_EQ(two("v_cvt_pk_fp8_f32", 0x7f800000, bits(-0.0f)) & 0xffff, 0x0080u);
  EXPECT_EQ(two("v_cvt_pk_fp8_f32", bits(0x1p-11f), bits(0x1.8p-11f)) & 0xffff, 0x0100u);
  // The other half of the destination stays.
  TestWave t;
  t.fill(0, bits(1.0f)), t.fill(1, bits(-1.0f)), t.fill(2, 0x11223344);
  Instruction i = make("v_cvt_pk_fp8_f32", v(2), {v(0), v(1)});
  i.op_sel = 8;
  run(t, i, GetParam());
  EXPECT_EQ(t.reg(2, 0), 0xc0403344u);
  // Stochastic: nothing added cuts off, everything added rounds up; the byte is chosen by op_sel.
  t.fill(0, bits(1.0625f)), t.fill(1, 0), t.fill(2, 0x11223344), t.fill(3, 0x11223344);
  Instruction sr = make("v_cvt_sr_fp8_f32", v(2), {v(0), v(1)});
  sr.op_sel = 4;
  run(t, sr, GetParam());
  EXPECT_EQ(t.reg(2, 0), 0x11224044u);
  t.fill(1, 0xffffffff);
  sr.dst = v(3);
  sr.op_sel = 12;
  run(t, sr, GetParam());
  EXPECT_EQ(t.reg(3, 0), 0x41223344u);
  // Pairs.
  t.fill(4, 0x7f40c001);
  Instruction pair = make("v_cvt_pk_f32_fp8", v(6), {v(4)}, Format::Vop1);
  pair.lanes = Lanes::Sdwa;
  pair.sdwa_src_sel[0] = 5;
  run(t, pair, GetParam());
  EXPECT_EQ(as_float(t.reg(6, 3)), 1.0f);
  EXPECT_EQ(as_float(t.reg(7, 3)), 240.0f);
}

TEST_P(ValuLane, ReadAndWriteLanes) {
  TestWave t;
  for (unsigned lane = 0; lane < 64; ++lane) t.reg(0, lane) = 100 + lane;
  t.wave.set_exec(0x00f0000000000000);
  run(t, make("v_readfirstlane_b32", s(3), {v(0)}, Format::Vop1), GetParam());
  EXPECT_EQ(t.wave.s[3], 152u);
  t.wave.set_exec(0);
  run(t, make("v_readfirstlane_b32", s(3), {v(0)}, Format::Vop1), GetParam());
  EXPECT_EQ(t.wave.s[3], 100u);
  t.wave.s[4] = 64 + 17;
  run(t, make("v_readlane_b32", s(5), {v(0), s(4)}), GetParam());
  EXPECT_EQ(t.wave.s[5], 117u);
  t.wave.s[6] = 0xabcd;
  run(t, make("v_writelane_b32", v(0), {s(6), s(4)}), GetParam());  // EXEC = 0 does not matter
  EXPECT_EQ(t.reg(0, 17), 0xabcdu);
  EXPECT_EQ(t.reg(0, 16), 116u);
  TestWave narrow(Arch::Rdna3, 32);
  for (unsigned lane = 0; lane < 64; ++lane) narrow.reg(0, lane) = 100 + lane;
  narrow.wave.s[4] = 32 + 9;
  run(narrow, make("v_readlane_b32", s(5), {v(0), s(4)}), GetParam());
  EXPECT_EQ(narrow.wave.s[5], 109u);
}

TEST_P(ValuLane, MaskCounts) {
  TestWave t;
  const std::uint16_t minus_one = kIntMinus1;
  run(t, make("v_mbcnt_lo_u32_b32", v(1), {minus_one, std::uint16_t{kInt0}}), GetParam());
  run(t, make("v_mbcnt_hi_u32_b32", v(2), {minus_one, v(1)}), GetParam());
  t.wave.s[8] = 0x0f0f00ff, t.wave.s[9] = 0x80000001;
  run(t, make("v_mbcnt_lo_u32_b32", v(3), {s(8), std::uint16_t{kInt0 + 5}}), GetParam());
  run(t, make("v_mbcnt_hi_u32_b32", v(3), {s(9), v(3)}), GetParam());
  const u64 mask = u64{0x80000001} << 32 | 0x0f0f00ff;
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(t.reg(2, lane), lane);
    EXPECT_EQ(t.reg(3, lane), 5u + static_cast<u32>(std::popcount(mask & ((u64{1} << lane) - 1))));
  }
}

TEST_P(ValuLane, PermuteRows) {
  TestWave t(Arch::Rdna3);
  t.wave.s[2] = 0x01234567, t.wave.s[3] = 0x89abcdef;  // nibble i: source of lane i
  const auto selected = [](unsigned lane) {
    const u64 all = u64{0x89abcdef} << 32 | 0x01234567;
    return static_cast<unsigned>(all >> (4 * (lane % 16)) & 15);
  };
  for (unsigned flags = 0; flags < 4; ++flags) {
    for (const bool across : {false, true}) {
      t.wave.set_exec(kSomeLanes);
      for (unsigned lane = 0; lane < 64; ++lane) t.reg(0, lane) = 900 + lane, t.reg(1, lane) = 1;
      Instruction i =
          make(across ? "v_permlanex16_b32" : "v_permlane16_b32", v(1), {v(0), s(2), s(3)});
      i.op_sel = static_cast<std::uint8_t>(flags);
      run(t, i, GetParam());
      for (unsigned lane = 0; lane < 64; ++lane) {
        const unsigned from = ((lane & 48u) ^ (across ? 16 : 0)) + selected(lane);
        const bool readable = (flags & 1) != 0 || (kSomeLanes >> from & 1) != 0;
        u32 expected = readable ? 900 + from : (flags & 2) != 0 ? 0 : 1;
        if ((kSomeLanes >> lane & 1) == 0) expected = 1;
        EXPECT_EQ(t.reg(1, lane), expected) << lane;
      }
    }
  }
  t.wave.set_exec(~u64{0});
  run(t, make("v_permlane64_b32", v(2), {v(0)}, Format::Vop1), GetParam());
  EXPECT_EQ(t.reg(2, 3), 935u);
  EXPECT_EQ(t.reg(2, 40), 908u);
}

TEST_P(ValuLane, SwapsMovesAndAccumulationRegisters) {
  TestWave t;
  for (unsigned lane = 0; lane < 64; ++lane) t.reg(0, lane) = lane, t.reg(1, lane) = 1000 + lane;
  t.wave.set_exec(0xff);
  run(t, make("v_swap_b32", v(0), {v(1)}, Format::Vop1), GetParam());
  EXPECT_EQ(t.reg(0, 7), 1007u);
  EXPECT_EQ(t.reg(1, 7), 7u);
  EXPECT_EQ(t.reg(0, 8), 8u);
  const std::uint16_t agpr = kAgpr0 + 12;
  run(t, make("v_accvgpr_write_b32", agpr, {v(0)}, Format::Mai), GetParam());
  EXPECT_EQ(t.reg(256 + 12, 7), 1007u);
  EXPECT_EQ(t.reg(256 + 12, 8), 0u);
  run(t, make("v_accvgpr_read_b32", v(5), {agpr}, Format::Mai), GetParam());
  EXPECT_EQ(t.reg(5, 7), 1007u);
  TestWave r(Arch::Rdna3);
  for (unsigned n = 0; n < 20; ++n) r.fill(n, n);
  r.wave.s[kM0] = 3;
  run(r, make("v_movrels_b32", v(10), {v(2)}, Format::Vop1), GetParam());
  EXPECT_EQ(r.reg(10, 1), 5u);
  run(r, make("v_movreld_b32", v(11), {v(2)}, Format::Vop1), GetParam());
  EXPECT_EQ(r.reg(14, 1), 2u);
  r.fill(0, 0x11112222), r.fill(1, 0x33334444);
  Instruction half = make("v_swap_b16", v(0), {v(1)}, Format::Vop1);
  half.op_sel = 8;
  run(r, half, GetParam());
  EXPECT_EQ(r.reg(0, 0), 0x44442222u);
  EXPECT_EQ(r.reg(1, 0), 0x33331111u);
}

TEST_P(ValuLane, MixedPrecision) {
  TestWave t;
  t.fill(0, 0x40003c00);  // halves 2, 1
  t.fill(1, bits(10.0f));
  t.fill(2, bits(0.25f));
  t.fill(4, 0xaaaabbbb);
  Instruction i = make("v_fma_mix_f32", v(3), {v(0), v(1), v(2)}, Format::Vop3p);
  i.op_sel_hi = 1;  // source 0 is binary16
  i.op_sel = 1;     // in its upper half
  i.neg = 4;
  run(t, i, GetParam());
  EXPECT_EQ(as_float(t.reg(3, 2)), 19.75f);
  Instruction low = make("v_fma_mixlo_f16", v(4), {v(0), v(1), v(2)}, Format::Vop3p);
  low.op_sel_hi = 1;
  run(t, low, GetParam());
  EXPECT_EQ(t.reg(4, 2), 0xaaaa4920u);  // 10.25
  Instruction high = low;
  high.opcode = opcode("v_fma_mixhi_f16", Format::Vop3p);
  high.clamp = true;
  run(t, high, GetParam());
  EXPECT_EQ(t.reg(4, 2), 0x3c004920u);
  Instruction dot = make("v_dot2_f32_f16", v(5), {v(0), v(0), v(2)}, Format::Vop3p);
  dot.neg = 1;  // -S0.low * S1.low
  run(t, dot, GetParam());
  EXPECT_EQ(as_float(t.reg(5, 0)), 0.25f - 1.0f + 4.0f);
  t.fill(6, bits(100.0f));
  run(t, make("v_dot2acc_f32_f16", v(6), {v(0), v(0)}, Format::Vop2), GetParam());
  EXPECT_EQ(as_float(t.reg(6, 0)), 105.0f);
}

Instruction dual(const char* x, std::uint16_t dst_x, std::initializer_list<std::uint16_t> src_x,
                 const char* y, std::uint16_t dst_y, std::initializer_list<std::uint16_t> src_y) {
  Instruction i = make(x, dst_x, src_x, Format::Vopd);
  i.opcode_y = opcode(y, Format::Vopd);
  i.sdst = dst_y;
  unsigned k = 0;
  for (const std::uint16_t source : src_y) i.src_y[k++] = source;
  return i;
}

TEST_P(ValuLane, DualIssueReadsBeforeItWrites) {
  for (const u32 mode : {0x3f0u, 0x3c0u}) {  // plain, and with binary32 denormals flushed
    TestWave t(Arch::Rdna3, 32);
    t.wave.mode = mode;
    t.wave.set_exec(0x0f0f0f0f);
    for (unsigned lane = 0; lane < 64; ++lane) {
      t.reg(0, lane) = bits(static_cast<float>(lane));
      t.reg(1, lane) = bits(100.0f);
      t.reg(3, lane) = bits(2.0f);
    }
    // v_dual_mov_b32 v0, v1 :: v_dual_add_f32 v1, v0, v3
    run(t, dual("v_mov_b32", v(0), {v(1)}, "v_add_f32", v(1), {v(0), v(3)}), GetParam());
    EXPECT_EQ(as_float(t.reg(0, 9)), 100.0f);
    EXPECT_EQ(as_float(t.reg(1, 9)), 11.0f);
    EXPECT_EQ(as_float(t.reg(0, 4)), 4.0f);
    EXPECT_EQ(as_float(t.reg(1, 4)), 100.0f);
    // Accumulators and the mask from VCC.
    t.fill(4, bits(1.0f)), t.fill(5, 7), t.fill(6, 8);
    t.wave.s[kVccLo] = 0x00000f0f;
    Instruction i =
        dual("v_fmac_f32", v(4), {v(3), v(3)}, "v_cndmask_b32", v(5), {v(5), v(6), kVccLo});
    run(t, i, GetParam());
    EXPECT_EQ(as_float(t.reg(4, 0)), 5.0f);
    EXPECT_EQ(t.reg(5, 0), 8u);
    EXPECT_EQ(t.reg(5, 16), 7u);
  }
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

// Owns: what scalar instructions do: ALU with SCC, EXEC masks, branches, calls, barriers, hardware
//   registers, scalar memory; and how waves start.
// Does not own: vector memory (isa_memory_test.cpp).
// Threading: one thread.
//
// Expected values are worked out by hand from the ISA documents' pseudocode.
#include <optional>

#include "isa_harness.hpp"

namespace kiln::vgpu::isa::test {
namespace {

using U64 = std::uint64_t;

/// D in s[10:11], sources s[2:3] and s[4:5], D holds `old` before.
struct Case {
  Code code;
  U64 a, b;
  bool scc_in;
  U64 expected;
  std::optional<bool> scc;  ///< nothing: unchanged
  U64 old = 0;
};

void check(const Case& test, const std::string& what) {
  SCOPED_TRACE(what);
  Machine m(test.code);
  m.start();
  m.set_s64(2, test.a);
  m.set_s64(4, test.b);
  m.set_s64(10, test.old);
  m.wave().scc = test.scc_in;
  m.expect_done();
  EXPECT_EQ(m.s64(10), test.expected);
  EXPECT_EQ(m.wave().scc, test.scc.value_or(test.scc_in));
}

constexpr U64 kMinus1 = 0xffffffff;

TEST(IsaSalu, ArithmeticSetsScc) {
  const Case cases[] = {
      {gfx942(R"(s_add_u32 s10, s2, s4)"), kMinus1, 2, false, 1, true},
      {gfx1100(R"(s_add_u32 s10, s2, s4)"), 5, 6, true, 11, false},
      {gfx942(R"(s_addc_u32 s10, s2, s4)"), kMinus1, 0, true, 0, true},
      {gfx1100(R"(s_addc_u32 s10, s2, s4)"), kMinus1, kMinus1, true, kMinus1, true},
      {gfx1100(R"(s_addc_u32 s10, s2, s4)"), 1, 2, false, 3, false},
      {gfx942(R"(s_sub_u32 s10, s2, s4)"), 3, 5, false, 0xfffffffe, true},
      {gfx942(R"(s_subb_u32 s10, s2, s4)"), 5, 5, true, kMinus1, true},
      {gfx942(R"(s_subb_u32 s10, s2, s4)"), 5, 4, true, 0, false},
      {gfx942(R"(s_subb_u32 s10, s2, s4)"), 5, kMinus1, true, 5, true},
      {gfx942(R"(s_add_i32 s10, s2, s4)"), 0x7fffffff, 1, false, 0x80000000, true},
      {gfx942(R"(s_add_i32 s10, s2, s4)"), kMinus1, 1, true, 0, false},
      {gfx1100(R"(s_sub_i32 s10, s2, s4)"), 0x80000000, 1, false, 0x7fffffff, true},
      {gfx942(R"(s_lshl3_add_u32 s10, s2, s4)"), 0x20000000, 7, false, 7, true},
      {gfx1100(R"(s_lshl4_add_u32 s10, s2, s4)"), 3, 7, true, 55, false},
      {gfx942(R"(s_absdiff_i32 s10, s2, s4)"), 3, 10, false, 7, true},
      {gfx942(R"(s_absdiff_i32 s10, s2, s4)"), 0x80000000, 0, false, 0x80000000, true},
      {gfx942(R"(s_min_i32 s10, s2, s4)"), kMinus1, 4, false, kMinus1, true},
      {gfx942(R"(s_min_u32 s10, s2, s4)"), kMinus1, 4, true, 4, false},
      {gfx1100(R"(s_max_i32 s10, s2, s4)"), 4, 4, false, 4, true},
      {gfx1100(R"(s_max_u32 s10, s2, s4)"), 4, kMinus1, true, kMinus1, false},
      {gfx942(R"(s_mul_i32 s10, s2, s4)"), 0xfffffffd, 7, true, 0xffffffeb, {}},
      {gfx942(R"(s_mul_hi_u32 s10, s2, s4)"), kMinus1, kMinus1, true, 0xfffffffe, {}},
      {gfx1100(R"(s_mul_hi_i32 s10, s2, s4)"), kMinus1, 5, false, kMinus1, {}},
      {gfx942(R"(s_movk_i32 s10, 0x8001)"), 0, 0, true, 0xffff8001, {}},
      {gfx942(R"(s_addk_i32 s10, 0xffff)"), 0, 0, false, 0x7fffffff, true, 0x80000000},
      {gfx1100(R"(s_addk_i32 s10, 5)"), 0, 0, true, 12, false, 7},
      {gfx1100(R"(s_mulk_i32 s10, -3)"), 0, 0, true, 0xffffffeb, {}, 7},
      {gfx942(R"(s_cmovk_i32 s10, 9)"), 0, 0, false, 7, {}, 7},
      {gfx942(R"(s_cmovk_i32 s10, 9)"), 0, 0, true, 9, {}, 7},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i) check(cases[i], "case " + std::to_string(i));
}

TEST(IsaSalu, LogicShiftsAndFields) {
  constexpr U64 kA = 0xf0f0f0f012345678, kB = 0xff00ff0087654321;
  const Case cases[] = {
      {gfx942(R"(s_and_b64 s[10:11], s[2:3], s[4:5])"), kA, kB, false, kA & kB, true},
      {gfx1100(R"(s_or_b32 s10, s2, s4)"), 0, 0, true, 0, false},
      {gfx942(R"(s_andn2_b64 s[10:11], s[2:3], s[4:5])"), kA, kB, false, kA & ~kB, true},
      {gfx1100(R"(s_and_not1_b32 s10, s2, s4)"), 0xff, 0xff, true, 0, false},
      {gfx1100(R"(s_or_not1_b64 s[10:11], s[2:3], s[4:5])"), 0, kB, true, ~kB, true},
      {gfx942(R"(s_nand_b32 s10, s2, s4)"), kMinus1, kMinus1, true, 0, false},
      {gfx942(R"(s_xnor_b64 s[10:11], s[2:3], s[4:5])"), kA, kA, false, ~U64{0}, true},
      {gfx942(R"(s_lshl_b64 s[10:11], s[2:3], s4)"), 1, 63 + 64, false, U64{1} << 63, true},
      {gfx942(R"(s_lshr_b32 s10, s2, s4)"), 1, 33, true, 0, false},
      {gfx1100(R"(s_ashr_i64 s[10:11], s[2:3], 4)"), U64{1} << 63, 0, false, 0xf800000000000000,
       true},
      {gfx942(R"(s_bfe_u32 s10, s2, s4)"), 0x12345678, 8 | 12 << 16, false, 0x456, true},
      {gfx942(R"(s_bfe_u32 s10, s2, s4)"), 0x12345678, 8, true, 0, false},
      {gfx942(R"(s_bfe_i32 s10, s2, s4)"), 0x00000800, 8 | 4 << 16, false, 0xfffffff8, true},
      {gfx942(R"(s_bfe_i32 s10, s2, s4)"), 0x80000000, 0 | 32 << 16, false, 0x80000000, true},
      {gfx1100(R"(s_bfe_u64 s[10:11], s[2:3], s4)"), kA, 32 | 32 << 16, false, 0xf0f0f0f0, true},
      {gfx1100(R"(s_bfe_i64 s[10:11], s[2:3], s4)"), kA, 60 | 4 << 16, false, ~U64{0}, true},
      {gfx942(R"(s_bfm_b32 s10, s2, s4)"), 5, 3, true, 0xf8, {}},
      {gfx942(R"(s_bfm_b64 s[10:11], s2, s4)"), 36, 4, true, 0x000000fffffffff0, {}},
      {gfx942(R"(s_pack_lh_b32_b16 s10, s2, s4)"), 0x11112222, 0x33334444, true, 0x33332222, {}},
      {gfx1100(R"(s_pack_hl_b32_b16 s10, s2, s4)"), 0x11112222, 0x33334444, true, 0x44441111, {}},
      {gfx942(R"(s_cselect_b32 s10, s2, s4)"), 1, 2, true, 1, {}},
      {gfx1100(R"(s_cselect_b64 s[10:11], s[2:3], s[4:5])"), kA, kB, false, kB, {}},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i) check(cases[i], "case " + std::to_string(i));
}

TEST(IsaSalu, OneSource) {
  constexpr U64 kA = 0x8000000000000001;
  const Case cases[] = {
      {gfx942(R"(s_not_b64 s[10:11], s[2:3])"), ~U64{0}, 0, true, 0, false},
      {gfx942(R"(s_brev_b64 s[10:11], s[2:3])"), 0x3, 0, true, 0xc000000000000000, {}},
      {gfx1100(R"(s_brev_b32 s10, s2)"), 0x00000006, 0, true, 0x60000000, {}},
      {gfx942(R"(s_bcnt0_i32_b32 s10, s2)"), kMinus1, 0, true, 0, false},
      {gfx942(R"(s_bcnt1_i32_b64 s10, s[2:3])"), kA, 0, false, 2, true},
      {gfx942(R"(s_ff0_i32_b32 s10, s2)"), 0x7, 0, true, 3, {}},
      {gfx942(R"(s_ff0_i32_b64 s10, s[2:3])"), ~U64{0}, 0, true, kMinus1, {}},
      {gfx942(R"(s_ff1_i32_b64 s10, s[2:3])"), U64{1} << 40, 0, true, 40, {}},
      {gfx1100(R"(s_ctz_i32_b32 s10, s2)"), 0, 0, true, kMinus1, {}},
      {gfx942(R"(s_flbit_i32_b32 s10, s2)"), 0x00ffffff, 0, true, 8, {}},
      {gfx1100(R"(s_clz_i32_u64 s10, s[2:3])"), 1, 0, true, 63, {}},
      {gfx1100(R"(s_cls_i32 s10, s2)"), 0xff000000, 0, true, 8, {}},
      {gfx942(R"(s_flbit_i32 s10, s2)"), 0, 0, true, kMinus1, {}},
      {gfx942(R"(s_flbit_i32_i64 s10, s[2:3])"), 0x1, 0, true, 63, {}},
      {gfx942(R"(s_sext_i32_i8 s10, s2)"), 0x80, 0, true, 0xffffff80, {}},
      {gfx1100(R"(s_sext_i32_i16 s10, s2)"), 0x17fff, 0, true, 0x7fff, {}},
      {gfx942(R"(s_abs_i32 s10, s2)"), 0x80000000, 0, false, 0x80000000, true},
      {gfx1100(R"(s_abs_i32 s10, s2)"), kMinus1, 0, false, 1, true},
      {gfx942(R"(s_bitset0_b32 s10, s2)"), 33, 0, true, 0xfd, {}, 0xff},
      {gfx1100(R"(s_bitset1_b64 s[10:11], s2)"), 35, 0, true, 0x800000001, {}, 1},
      {gfx942(R"(s_wqm_b32 s10, s2)"), 0x00000120, 0, false, 0xff0, true},
      {gfx942(R"(s_quadmask_b64 s[10:11], s[2:3])"), 0x1000000000000200, 0, false, 0x8004, true},
      {gfx942(R"(s_bitreplicate_b64_b32 s[10:11], s2)"),
       0x80000005,
       0,
       true,
       0xc000000000000033,
       {}},
      {gfx942(R"(s_cmov_b32 s10, s2)"), 3, 0, false, 8, {}, 8},
      // Operands that are no registers.
      {gfx942(R"(s_mov_b32 s10, -16)"), 0, 0, true, 0xfffffff0, {}},
      {gfx942(R"(s_mov_b64 s[10:11], -16)"), 0, 0, true, ~U64{15}, {}},
      {gfx1100(R"(s_mov_b32 s10, 0.15915494)"), 0, 0, true, 0x3e22f983, {}},
      {gfx1100(R"(s_mov_b64 s[10:11], 1.0)"), 0, 0, true, 0x3ff0000000000000, {}},
      {gfx942(R"(s_mov_b32 s10, 0xdeadbeef)"), 0, 0, true, 0xdeadbeef, {}},
      {gfx942(R"(s_mov_b64 s[10:11], src_shared_base)"), 0, 0, true, Machine::kShared, {}},
      {gfx1100(R"(s_mov_b64 s[10:11], src_private_base)"), 0, 0, true, Machine::kPrivate, {}},
      {gfx1100(R"(s_mov_b32 s10, null)"), 0, 0, true, 0, {}, 77},
      {gfx1100(R"(s_mov_b32 null, s2)"), 5, 0, true, 77, {}, 77},
      {gfx942(R"(s_getpc_b64 s[10:11])"), 0, 0, true, Machine::kCode + 4, {}},
      // Index by M0.
      {gfx942(R"(s_mov_b32 m0, 2
s_movrels_b32 s10, s0)"),
       99,
       0,
       true,
       99,
       {}},
      {gfx1100(R"(s_mov_b32 m0, 4
s_movreld_b64 s[6:7], s[2:3])"),
       kA,
       0,
       true,
       kA,
       {}},
      {gfx1100(R"(s_mov_b32 m0, 0x40002
s_movrelsd_2_b32 s6, s0)"),
       55,
       0,
       true,
       55,
       {}},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i) check(cases[i], "case " + std::to_string(i));
}

TEST(IsaSalu, Compares) {
  const Case cases[] = {
      {gfx942(R"(s_cmp_lt_i32 s2, s4)"), kMinus1, 1, false, 0, true},
      {gfx942(R"(s_cmp_lt_u32 s2, s4)"), kMinus1, 1, true, 0, false},
      {gfx1100(R"(s_cmp_eq_u64 s[2:3], s[4:5])"), U64{1} << 40, U64{1} << 40, false, 0, true},
      {gfx1100(R"(s_cmp_lg_u64 s[2:3], s[4:5])"), U64{1} << 40, U64{1} << 41, false, 0, true},
      {gfx942(R"(s_bitcmp1_b64 s[2:3], s4)"), U64{1} << 40, 40 + 64, false, 0, true},
      {gfx942(R"(s_bitcmp0_b32 s2, s4)"), 0x10, 4, true, 0, false},
      {gfx942(R"(s_cmpk_gt_i32 s2, 0x8000)"), 0, 0, false, 0, true},
      {gfx942(R"(s_cmpk_lt_u32 s2, 0x8000)"), 0x7fff, 0, false, 0, true},
      {gfx1100(R"(s_cmpk_eq_i32 s2, -2)"), 0xfffffffe, 0, false, 0, true},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i) check(cases[i], "case " + std::to_string(i));
}

TEST(IsaSalu, ExecOperations) {
  {
    Machine m(gfx942(R"(s_and_saveexec_b64 s[10:11], s[2:3])"));
    m.start();
    m.set_s64(2, 0xff00000000000ff0);
    m.expect_done();
    EXPECT_EQ(m.s64(10), ~U64{0});
    EXPECT_EQ(m.wave().exec(), 0xff00000000000ff0u);
    EXPECT_TRUE(m.wave().scc);
  }
  {
    Machine m(gfx942(R"(s_andn2_saveexec_b64 s[10:11], s[2:3])"));
    m.start();
    m.set_s64(2, ~U64{0});
    m.expect_done();
    EXPECT_EQ(m.wave().exec(), 0u);
    EXPECT_FALSE(m.wave().scc);
  }
  {
    Machine m(gfx942(R"(s_orn1_saveexec_b64 s[10:11], s[2:3])"));  // ~S0 | EXEC
    m.start();
    m.wave().set_exec(0xf0);
    m.set_s64(2, ~U64{1});
    m.expect_done();
    EXPECT_EQ(m.wave().exec(), 0xf1u);
    EXPECT_EQ(m.s64(10), 0xf0u);
  }
  {
    Machine m(gfx1100(R"(s_xor_saveexec_b32 s10, s2)"));
    m.start();
    m.s(2) = 0xffff0000;
    m.s(11) = 42;
    m.expect_done();
    EXPECT_EQ(m.s(10), 0xffffffffu);
    EXPECT_EQ(m.s(11), 42u) << "a 32-bit mask must not touch the next register";
    EXPECT_EQ(m.wave().exec(), 0x0000ffffu);
  }
  {
    Machine m(gfx1100(R"(s_and_not1_wrexec_b32 s10, s2)"));  // S0 & ~EXEC
    m.start();
    m.wave().set_exec(0xff);
    m.s(2) = 0xfff;
    m.expect_done();
    EXPECT_EQ(m.s(10), 0xf00u);
    EXPECT_EQ(m.wave().exec(), 0xf00u);
  }
}

TEST(IsaSalu, LoopsBranchesAndCalls) {
  // Sum of 1..10, then a call that doubles it.
  const Code programs[] = {gfx942(R"(s_mov_b32 s2, 10
s_mov_b32 s3, 0
.Lloop:
s_add_u32 s3, s3, s2
s_sub_u32 s2, s2, 1
s_cmp_lg_u32 s2, 0
s_cbranch_scc1 .Lloop
s_call_b64 s[20:21], .Lfunction
s_branch .Lend
s_trap 2
.Lfunction:
s_lshl_b32 s3, s3, 1
s_setpc_b64 s[20:21]
.Lend:)"),
                           gfx1100(R"(s_mov_b32 s2, 10
s_mov_b32 s3, 0
.Lloop:
s_add_u32 s3, s3, s2
s_sub_u32 s2, s2, 1
s_cmp_lg_u32 s2, 0
s_cbranch_scc1 .Lloop
s_getpc_b64 s[20:21]
.Lhere:
s_add_u32 s20, s20, .Lfunction-.Lhere
s_addc_u32 s21, s21, 0
s_delay_alu instid0(SALU_CYCLE_1)
s_swappc_b64 s[20:21], s[20:21]
s_branch .Lend
s_trap 2
.Lfunction:
s_lshl_b32 s3, s3, 1
s_setpc_b64 s[20:21]
.Lend:)")};
  {
    Machine m(programs[0]);
    m.start();
    m.expect_done();
    EXPECT_EQ(m.s(3), 110u);
    EXPECT_EQ(m.executed, 2u + 40u + 5u);
    EXPECT_EQ(m.wave().instructions, m.executed);
  }
  {
    Machine m(programs[1]);
    m.start();
    m.expect_done();
    EXPECT_EQ(m.s(3), 110u);
    EXPECT_EQ(m.s64(20), Machine::kCode + 4 * 12) << "return address: after s_swappc";
  }
}

TEST(IsaSalu, ConditionBits) {
  const Code code = gfx942(R"(s_mov_b64 exec, 0
s_cbranch_execnz .Lbad
s_cbranch_execz .Lnext
s_branch .Lbad
.Lnext:
s_mov_b64 vcc, 0
s_cbranch_vccnz .Lbad
s_cbranch_vccz .Lgood
.Lbad:
s_trap 1
.Lgood:
s_mov_b32 s10, src_execz
s_mov_b32 s11, src_vccz)");
  Machine m(code);
  m.start();
  m.expect_done();
  EXPECT_EQ(m.s(10), 1u);
  EXPECT_EQ(m.s(11), 1u);

  // In wave32 the upper half of VCC does not count.
  Machine n(gfx1100(R"(s_mov_b64 vcc, s[2:3]
s_cbranch_vccz .Lgood
s_trap 1
.Lgood:)"));
  n.start();
  n.set_s64(2, U64{1} << 32);
  n.expect_done();
}

TEST(IsaSalu, ScalarLoads) {
  Machine m(gfx942(R"(s_load_dword s10, s[2:3], 0x8
s_load_dwordx2 s[12:13], s[2:3], s4
s_load_dwordx4 s[16:19], s[2:3], -16
s_load_dwordx8 s[24:31], s[2:3], s4 offset:0x20
s_load_dwordx16 s[36:51], s[2:3], 0x100
s_memrealtime s[60:61]
s_waitcnt lgkmcnt(0))"));
  for (unsigned i = 0; i < 256; ++i) m.set_data<std::uint32_t>(i * 4, 0x1000 + i);
  m.start();
  m.set_s64(2, Machine::kData + 64 + 3);  // the low two bits are ignored
  m.s(4) = 16 + 2;
  m.expect_done();
  EXPECT_EQ(m.s(10), 0x1000u + 16 + 2);
  EXPECT_EQ(m.s(12), 0x1000u + 16 + 4);
  EXPECT_EQ(m.s(13), 0x1000u + 16 + 5);
  for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(m.s(16 + i), 0x1000u + 16 - 4 + i);
  for (unsigned i = 0; i < 8; ++i) EXPECT_EQ(m.s(24 + i), 0x1000u + 16 + 4 + 8 + i);
  for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(m.s(36 + i), 0x1000u + 16 + 64 + i);
  EXPECT_EQ(m.s64(60), m.environment.now);
}

TEST(IsaSalu, ScalarBufferLoads) {
  const Code code = gfx1100(R"(s_buffer_load_b128 s[12:15], s[4:7], 0x10
s_buffer_load_b64 s[16:17], s[4:7], s2
s_buffer_load_b32 s18, s[8:11], 0x2c)");
  Machine m(code);
  for (unsigned i = 0; i < 64; ++i) m.set_data<std::uint32_t>(i * 4, 0x2000 + i);
  m.start();
  m.set_s64(4, Machine::kData);
  m.s(6) = 0x18;  // bytes: the 128-bit load is cut after two dwords
  m.s(7) = 0;
  m.s(2) = 8;
  m.set_s64(8, Machine::kData | U64{16} << 48);
  m.s(10) = 3;  // three records of 16 bytes
  m.s(11) = 0;
  m.expect_done();
  EXPECT_EQ(m.s(12), 0x2004u);
  EXPECT_EQ(m.s(13), 0x2005u);
  EXPECT_EQ(m.s(14), 0u);
  EXPECT_EQ(m.s(15), 0u);
  EXPECT_EQ(m.s(16), 0x2002u);
  EXPECT_EQ(m.s(17), 0x2003u);
  EXPECT_EQ(m.s(18), 0x200bu);
}

TEST(IsaSalu, ScalarLoadOfUnmappedAddressFaults) {
  Machine m(gfx942(R"(s_load_dwordx4 s[8:11], s[2:3], 0x0)"));
  m.start();
  m.set_s64(2, Machine::kData + Machine::kDataBytes - 8);
  EXPECT_EQ(m.finish(), RunStatus::Faulted);
  EXPECT_EQ(m.group->port->fault().address, Machine::kData + Machine::kDataBytes);
  EXPECT_TRUE(m.group->port->fault().not_present);
  EXPECT_EQ(m.group->port->fault().access, Access::Load);
}

TEST(IsaSalu, HardwareRegisters) {
  Machine m(gfx942(R"(s_getreg_b32 s10, hwreg(HW_REG_XCC_ID)
s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 2), 1
s_getreg_b32 s11, hwreg(HW_REG_MODE, 0, 8)
s_setreg_b32 hwreg(HW_REG_MODE, 0, 4), s2
s_getreg_b32 s12, hwreg(HW_REG_MODE, 0, 8)
s_getreg_b32 s13, hwreg(HW_REG_SH_MEM_BASES)
s_getreg_b32 s14, hwreg(HW_REG_LDS_ALLOC, 12, 9))"));
  m.placement.xcc = 5;
  m.start();
  m.s(2) = 0xfa;
  m.expect_done();
  EXPECT_EQ(m.s(10), 5u);
  EXPECT_EQ(m.s(11), 0xd0u);  // 0xf0 with bits 5:4 replaced by 01
  EXPECT_EQ(m.s(12), 0xdau);
  EXPECT_EQ(m.s(13), (Machine::kShared >> 48 << 16) | Machine::kPrivate >> 48);
  EXPECT_EQ(m.s(14), 4096u / 512);

  Machine n(gfx1100(R"(s_getreg_b32 s10, hwreg(HW_REG_FLAT_SCR_LO)
s_getreg_b32 s11, hwreg(HW_REG_FLAT_SCR_HI)
s_round_mode 0x5
s_denorm_mode 0x2
s_getreg_b32 s12, hwreg(HW_REG_MODE, 0, 8)
s_sendmsg_rtn_b64 s[14:15], sendmsg(MSG_RTN_GET_REALTIME))"));
  n.start();
  n.expect_done();
  EXPECT_EQ(n.s64(10), Machine::kScratch);
  EXPECT_EQ(n.s(12), 0x25u);
  EXPECT_EQ(n.s64(14), n.environment.now);

  Machine o(gfx942(R"(s_getreg_b32 s10, hwreg(31))"));
  o.start();
  EXPECT_EQ(o.finish(), RunStatus::Halted);
  EXPECT_NE(halt_reason(*o.group).find("register 31"), std::string::npos);
}

TEST(IsaSalu, MessagesAndHalts) {
  Machine m(gfx942(R"(s_mov_b32 m0, 0x123
s_sendmsg sendmsg(MSG_INTERRUPT))"));
  m.start();
  m.expect_done();
  EXPECT_EQ(m.environment.messages, std::vector<std::uint32_t>{0x123});

  Machine n(gfx1100(R"(s_sendmsg sendmsg(MSG_DEALLOC_VGPRS))"));
  n.start();
  n.expect_done();
  EXPECT_TRUE(n.environment.messages.empty());

  Machine o(gfx1100(R"(s_sethalt 1)"));
  o.start();
  EXPECT_EQ(o.finish(), RunStatus::Halted);

  // 0xbfff.... is no SOPP opcode of either generation.
  Machine p(Code{Arch::Cdna3, false, {0xbf800000, 0xbfff0000}});
  p.start();
  EXPECT_EQ(p.finish(), RunStatus::Halted);
  EXPECT_NE(halt_reason(*p.group).find("0xbfff0000"), std::string::npos) << halt_reason(*p.group);
  EXPECT_NE(halt_reason(*p.group).find("0x7f0000000004"), std::string::npos);
}

TEST(IsaSalu, ExecutingWhereNothingIsMappedFaults) {
  Machine m(gfx942(R"(s_mov_b64 s[2:3], 0
s_setpc_b64 s[2:3])"));
  m.start();
  EXPECT_EQ(m.finish(), RunStatus::Faulted);
  EXPECT_EQ(m.group->port->fault().access, Access::Execute);
  EXPECT_EQ(m.group->port->fault().address, 0u);
}

TEST(IsaSalu, CodeIsDecodedAnewOnlyAfterInvalidate) {
  // One instruction per run, patched in between.
  std::vector<std::uint32_t> text = {gfx942(R"(s_mov_b32 s10, 1)").dwords[0],
                                     end_program(Arch::Cdna3)};
  Machine m(gfx942(R"(s_nop 0)"));
  constexpr Va kOwn = 0x7f3000000000;
  m.map(kOwn, text.data(), 8);
  m.dispatch.program = kOwn;
  const auto result = [&] {
    m.start();
    m.expect_done();
    return m.s(10);
  };
  EXPECT_EQ(result(), 1u);
  text[0] = gfx942(R"(s_mov_b32 s10, 2)").dwords[0];
  EXPECT_EQ(result(), 1u) << "stale instruction cache, as on hardware";
  invalidate_code(m.space);
  EXPECT_EQ(result(), 2u);
  // Another mapping at the same address is other code, invalidated or not.
  std::vector<std::uint32_t> other = {gfx942(R"(s_mov_b32 s10, 3)").dwords[0],
                                      end_program(Arch::Cdna3)};
  ASSERT_TRUE(m.space.unmap(kOwn));
  m.map(kOwn, other.data(), 8);
  EXPECT_EQ(result(), 3u);
}

TEST(IsaSalu, InstructionCacheInvalidateShowsNewCode) {
  // The wave stores over its own next instruction, invalidates, and runs into the new one.
  Machine m(gfx942(R"(global_store_dword v2, v3, s[2:3]
s_waitcnt vmcnt(0)
s_icache_inv
s_nop 0
s_branch .Lpatched
.Lpatched:
s_mov_b32 s10, 1)"));
  m.start();
  const std::uint32_t replacement = gfx942(R"(s_mov_b32 s10, 2)").dwords[0];
  m.set_s64(2, Machine::kCode + 4 * 6);
  m.wave().set_exec(1);
  m.v(2)[0] = 0;
  m.v(3)[0] = replacement;
  m.expect_done();
  EXPECT_EQ(m.s(10), 2u);
}

TEST(IsaSalu, VgprIndexMode) {
  // CDNA3 ISA: M0[7:0] moves the VGPR operands that the second field names, until it is switched
  // off.
  Machine m(gfx942(R"(s_set_gpr_idx_on s2, gpr_idx(SRC0)
v_mov_b32 v10, v20
s_set_gpr_idx_idx s3
v_mov_b32 v11, v20
s_set_gpr_idx_mode gpr_idx(DST)
v_mov_b32 v30, v20
s_mov_b32 s4, 77
s_set_gpr_idx_off
v_mov_b32 v12, v20)"));
  m.start();
  m.s(2) = 3;
  m.s(3) = 5;
  for (unsigned k = 0; k < 8; ++k) m.fill(20 + k, [&](unsigned lane) { return 1000 * k + lane; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.v(10)[lane], 3000 + lane);
    EXPECT_EQ(m.v(11)[lane], 5000 + lane);
    EXPECT_EQ(m.v(35)[lane], lane);
    EXPECT_EQ(m.v(12)[lane], lane);
  }
  EXPECT_EQ(m.s(4), 77u);

  Machine n(gfx942(R"(s_set_gpr_idx_on s2, gpr_idx(SRC0)
v_mov_b32 v10, v250)"));
  n.start();
  n.s(2) = 6;
  EXPECT_EQ(n.finish(), RunStatus::Halted);
  EXPECT_NE(halt_reason(*n.group).find("VGPR index past the last register"), std::string::npos);
}

// ---- Waves of a workgroup.

TEST(IsaWorkgroup, InitialState) {
  Machine m(gfx942(R"(s_nop 0)"));
  m.dispatch.user_sgprs = 3;
  m.dispatch.user_data = {7, 8, 9};
  m.dispatch.rsrc2 = 1 | 7 << 7 | 1 << 10 | 2 << 11;  // scratch, ids x y z, info, work-items xyz
  m.dispatch.threads[0] = 10;
  m.dispatch.threads[1] = 5;
  m.dispatch.threads[2] = 3;
  m.dispatch.groups[0] = 4;
  m.placement.first_scratch_slot = 2;
  m.dispatch.rsrc1 |= 1 << 23;  // IEEE
  m.group = launch(m.dispatch, {1, 2, 3}, m.placement, m.environment);
  EXPECT_EQ(waves_per_group(m.dispatch), 3u);
  ASSERT_EQ(m.group->waves.size(), 3u);
  const std::uint32_t expected[] = {7, 8, 9, 1, 2, 3};
  for (unsigned index = 0; index < 3; ++index) {
    const Wave& wave = m.wave(index);
    for (unsigned i = 0; i < 6; ++i) EXPECT_EQ(wave.s[i], expected[i]);
    EXPECT_EQ(wave.s[6], 3u | (index == 0 ? 1u << 31 : 0));
    EXPECT_EQ(wave.exec(), index < 2 ? ~U64{0} : (U64{1} << 22) - 1);  // 150 work-items
    EXPECT_EQ(wave.scratch_base, Machine::kScratch + (2 + index) * Machine::kScratchWaveBytes);
    EXPECT_EQ(wave.scratch_lane_bytes, Machine::kScratchWaveBytes / 64);
    EXPECT_EQ(wave.mode, 0xf0u | 1u << 9);
    for (unsigned lane = 0; lane < 64 && index * 64 + lane < 150; ++lane) {
      const unsigned item = index * 64 + lane;
      EXPECT_EQ(wave.v[0].lane[lane], item % 10 | item / 10 % 5 << 10 | item / 50 << 20);
    }
  }

  // Components that the kernel did not ask for are zero; the last workgroup is cut.
  m.dispatch.rsrc2 &= ~(3u << 11);
  m.dispatch.partial[0] = 4;
  m.group = launch(m.dispatch, {3, 0, 0}, m.placement, m.environment);
  ASSERT_EQ(m.group->waves.size(), 1u);  // 4 * 5 * 3
  EXPECT_EQ(m.wave().exec(), (U64{1} << 60) - 1);
  for (unsigned lane = 0; lane < 60; ++lane) EXPECT_EQ(m.wave().v[0].lane[lane], lane % 4);
}

TEST(IsaWorkgroup, Wave32AndVgprCounts) {
  Machine m(gfx1100(R"(s_nop 0)"));
  m.dispatch.threads[0] = 100;
  m.dispatch.rsrc1 = 3;  // (3 + 1) * 8 registers
  m.start();
  ASSERT_EQ(m.group->waves.size(), 4u);
  EXPECT_EQ(m.wave(3).exec(), 0xfu);
  EXPECT_EQ(m.wave(3).v[0].lane[3], 99u);
  EXPECT_EQ(m.wave().vgpr_count, 32u);
  m.dispatch.wave32 = false;
  m.start();
  EXPECT_EQ(m.group->waves.size(), 2u);
  EXPECT_EQ(m.wave().vgpr_count, 16u);
}

TEST(IsaWorkgroup, BarriersOrderWaves) {
  // Each wave counts in LDS by way of a scalar flag in memory: wave n stores n+1 to its slot before
  // the barrier; after it, every wave must see all slots. s16 is the wave's index.
  const Code code = gfx942(R"(ds_write_b32 v2, v3
s_waitcnt lgkmcnt(0)
s_barrier
ds_read_b32 v4, v5
s_waitcnt lgkmcnt(0))");
  Machine m(code);
  m.dispatch.threads[0] = 256;
  m.start();
  for (unsigned index = 0; index < 4; ++index)
    for (unsigned lane = 0; lane < 64; ++lane) {
      m.wave(index).v[2].lane[lane] = index * 256 + lane * 4;
      m.wave(index).v[3].lane[lane] = 1000 * index + lane;
      m.wave(index).v[5].lane[lane] = (3 - index) * 256 + lane * 4;
    }
  m.expect_done();
  for (unsigned index = 0; index < 4; ++index)
    for (unsigned lane = 0; lane < 64; ++lane)
      EXPECT_EQ(m.wave(index).v[4].lane[lane], 1000 * (3 - index) + lane);
}

TEST(IsaWorkgroup, SpinningWaveLetsItsNeighbourGoOn) {
  // Wave 0 spins on a flag in memory that wave 1 sets.
  const Code code = gfx1100(R"(s_cmp_lg_u32 s4, 0
s_cbranch_scc1 .Lsetter
.Lspin:
s_load_b32 s5, s[2:3], 0x0 glc
s_waitcnt lgkmcnt(0)
s_cmp_eq_u32 s5, 0
s_cbranch_scc1 .Lspin
s_endpgm
.Lsetter:
s_sleep 1
s_sleep 1
global_store_b32 v2, v3, s[2:3]
s_waitcnt_vscnt null, 0x0)");
  Machine m(code);
  m.dispatch.threads[0] = 64;
  m.start();
  for (unsigned index = 0; index < 2; ++index) {
    std::memcpy(&m.wave(index).s[2], &Machine::kData, 8);
    m.wave(index).s[4] = index;
    std::fill_n(m.wave(index).v[3].lane, 64, 1);
  }
  m.expect_done();
  EXPECT_EQ(m.wave(0).s[5], 1u);
}

TEST(IsaWorkgroup, SleepersReportWaiting) {
  Machine m(gfx942(R"(.Lspin:
s_sleep 2
s_branch .Lspin)"));
  m.start();
  std::uint64_t executed = 0;
  EXPECT_EQ(run(*m.group, 1000, &executed), RunStatus::Waiting);
  EXPECT_EQ(executed, 1u);
  EXPECT_EQ(run(*m.group, 1000, &executed), RunStatus::Waiting);
  EXPECT_EQ(executed, 3u);

  Machine n(gfx942(R"(.Lspin:
s_nop 0
s_branch .Lspin)"));
  n.start();
  executed = 0;
  EXPECT_EQ(run(*n.group, 5000, &executed), RunStatus::Yielded);
  EXPECT_EQ(executed, 5000u);
}

TEST(IsaWorkgroup, BarrierWaitsForLiveWavesOnly) {
  // Waves with s4 == 0 end at once; the others pass the barrier.
  Machine m(gfx942(R"(s_cmp_eq_u32 s4, 0
s_cbranch_scc1 .Lend
s_barrier
s_mov_b32 s10, 1
.Lend:)"));
  m.dispatch.threads[0] = 192;
  m.start();
  m.wave(1).s[4] = 1;
  m.wave(2).s[4] = 1;
  m.expect_done();
  EXPECT_EQ(m.wave(1).s[10], 1u);

  // A wave that hangs holds the barrier for good.
  Machine n(gfx942(R"(s_cmp_eq_u32 s4, 0
s_cbranch_scc0 .Lwait
s_sethalt 1
.Lwait:
s_barrier)"));
  n.dispatch.threads[0] = 128;
  n.start();
  n.wave(1).s[4] = 1;
  EXPECT_EQ(n.finish(), RunStatus::Halted);
  EXPECT_EQ(n.wave(1).state, WaveState::AtBarrier);
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

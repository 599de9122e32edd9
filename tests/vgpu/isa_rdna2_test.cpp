// Owns: what RDNA2's machine code does where it differs from its neighbours, as programs that
//   llvm-mc assembled for gfx1030.
// Does not own: what all generations share (isa_*_test.cpp, valu_*_test.cpp).
// Threading: none.
//
// Sources: AMD RDNA2 ISA, "Data parallel processing", "SDWA", "Scratch", "LDS"; LLVM AMDGPUUsage.
#include "isa_harness.hpp"

namespace kiln::vgpu::isa::test {
namespace {

TEST(Rdna2, CarriesInOneRegisterInWave32) {
  Machine m(gfx1030(R"(
    v_add_co_u32 v2, s4, v0, v1
    v_add_co_ci_u32_e64 v3, null, v0, 0, s4
  )"));
  m.start();
  m.fill(0, [](unsigned lane) { return lane % 2 != 0 ? 0xffffffffu : lane; });
  m.fill(1, [](unsigned) { return 2u; });
  m.s(5) = 0x1234;
  m.expect_done();
  EXPECT_EQ(m.s(4), 0xaaaaaaaau);
  EXPECT_EQ(m.s(5), 0x1234u);
  EXPECT_EQ(m.v(2)[7], 1u);
  EXPECT_EQ(m.v(3)[7], 0u);  // -1 + carry
  EXPECT_EQ(m.v(3)[8], 8u);
}

TEST(Rdna2, CarriesInTwoRegistersInWave64) {
  Machine m(gfx1030_wave64(R"(v_add_co_u32 v2, s[4:5], v0, v1)"));
  m.start();
  m.fill(0, [](unsigned lane) { return lane < 40 ? 0 : 0xffffffffu; });
  m.fill(1, [](unsigned) { return 1u; });
  m.expect_done();
  EXPECT_EQ(m.s64(4), 0xffffff0000000000u);
}

TEST(Rdna2, CmpxWritesExecAndNothingElse) {
  Machine m(gfx1030(R"(
    s_mov_b32 vcc_lo, 0x5a5a
    v_cmpx_gt_u32_e32 7, v0
    v_mov_b32_e32 v1, 1
    v_cmpx_lt_u32_e64 v0, 3
    v_mov_b32_e32 v2, 1
  )"));
  m.start();
  m.fill(0, [](unsigned lane) { return lane; });
  m.expect_done();
  EXPECT_EQ(m.s(kVccLo), 0x5a5au);
  EXPECT_EQ(m.s(kExecLo), 7u);
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(m.v(1)[lane], lane < 7 ? 1u : 0u) << lane;
    EXPECT_EQ(m.v(2)[lane], lane < 3 ? 1u : 0u) << lane;
  }
}

TEST(Rdna2, DppWithinRows) {
  Machine m(gfx1030(R"(
    v_mov_b32_dpp v1, v0 row_share:5 row_mask:0xf bank_mask:0xf
    v_mov_b32_dpp v2, v0 row_xmask:3 row_mask:0xf bank_mask:0xf
    v_mov_b32_dpp v3, v0 dpp8:[7,6,5,4,3,2,1,0]
    v_mov_b32_dpp v4, v0 row_ror:1 row_mask:0x2 bank_mask:0xf
  )"));
  m.start();
  m.fill(0, [](unsigned lane) { return 100 + lane; });
  m.expect_done();
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(m.v(1)[lane], 100 + (lane & 16) + 5) << lane;
    EXPECT_EQ(m.v(2)[lane], 100 + (lane ^ 3)) << lane;
    EXPECT_EQ(m.v(3)[lane], 100 + (lane ^ 7)) << lane;
    EXPECT_EQ(m.v(4)[lane], lane < 16 ? 0 : 100 + 16 + (lane + 15) % 16) << lane;
  }
}

TEST(Rdna2, PermlaneX16TakesTheOtherRow) {
  Machine m(gfx1030(R"(
    s_mov_b32 s4, 0x76543210
    s_mov_b32 s5, 0xfedcba98
    v_permlanex16_b32 v1, v0, s4, s5
    v_permlane16_b32 v2, v0, s5, s4
  )"));
  m.start();
  m.fill(0, [](unsigned lane) { return 100 + lane; });
  m.expect_done();
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(m.v(1)[lane], 100 + (lane ^ 16)) << lane;
    EXPECT_EQ(m.v(2)[lane], 100 + (lane ^ 8)) << lane;
  }
}

TEST(Rdna2, SubDwordAddressing) {
  Machine m(gfx1030(R"(
    v_add_nc_u32_sdwa v1, v0, v0 dst_sel:BYTE_1 dst_unused:UNUSED_PRESERVE src0_sel:BYTE_0 src1_sel:WORD_1
    v_cmp_eq_u16_sdwa s4, v0, s5 src0_sel:WORD_1 src1_sel:WORD_0
    v_mov_b32_sdwa v2, sext(v0) dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:BYTE_3
  )"));
  m.start();
  m.s(5) = 0xffff8005;
  m.fill(0, [](unsigned lane) { return 0x80000010u + (lane << 16); });
  m.fill(1, [](unsigned) { return 0xaabbccddu; });
  m.expect_done();
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(m.v(1)[lane], 0xaabb00ddu | ((0x10 + lane) & 0xff) << 8) << lane;
  EXPECT_EQ(m.s(4), 1u << 5);
  EXPECT_EQ(m.v(2)[3], 0xffffff80u);
}

TEST(Rdna2, SixteenBitResultsKeepTheOtherHalf) {
  Machine m(gfx1030(R"(
    v_add_f16_e32 v1, v0, v0
    v_mul_lo_u16 v2, v0, v0 op_sel:[0,1,1]
    v_cvt_f16_f32_e32 v3, 1.0
  )"));
  m.start();
  m.fill(0, [](unsigned) { return 0x00033c00u; });
  for (unsigned n = 1; n < 4; ++n) m.fill(n, [](unsigned) { return 0xaaaabbbbu; });
  m.expect_done();
  EXPECT_EQ(m.v(1)[1], 0xaaaa4000u);
  EXPECT_EQ(m.v(2)[1], 0xb400bbbbu);  // 0x3c00 * 3 = 0xb400
  EXPECT_EQ(m.v(3)[1], 0xaaaa3c00u);
}

TEST(Rdna2, LiteralsAndLegacyRulesInVop3) {
  Machine m(gfx1030(R"(
    v_fma_f32 v1, v0, 0x40490fdb, 1.0
    v_fma_legacy_f32 v2, v3, 0, 2.0
    v_dot4_i32_i8 v4, v5, v6, 10
    v_xor3_b32 v7, v5, v6, 0x12345678
  )"));
  m.start();
  m.fill(0, [](unsigned) { return 0x40000000u; });  // 2
  m.fill(3, [](unsigned) { return 0x7f800000u; });  // infinity
  m.fill(5, [](unsigned) { return 0xff020380u; });  // -1 2 3 -128
  m.fill(6, [](unsigned) { return 0x05060702u; });  //  5 6 7 2
  m.expect_done();
  EXPECT_EQ(m.v(1)[0], 0x40e90fdbu);  // 2 pi + 1
  EXPECT_EQ(m.v(2)[0], 0x40000000u);  // 0 * anything is 0
  EXPECT_EQ(static_cast<std::int32_t>(m.v(4)[0]), -5 + 12 + 21 - 256 + 10);
  EXPECT_EQ(m.v(7)[0], 0xff020380u ^ 0x05060702u ^ 0x12345678u);
}

/// FLAT_SCRATCH is set by the kernel; scratch addresses take a VGPR, an SGPR or neither.
TEST(Rdna2, ScratchThroughTheHardwareRegister) {
  Machine m(gfx1030(R"(
    s_setreg_b32 hwreg(HW_REG_FLAT_SCR_LO), s4
    s_setreg_b32 hwreg(HW_REG_FLAT_SCR_HI), s5
    s_getreg_b32 s6, hwreg(HW_REG_FLAT_SCR_HI)
    scratch_store_dword off, v0, off offset:8
    s_mov_b32 s7, 16
    scratch_store_dword off, v1, s7 offset:-4
    scratch_load_dword v2, v3, off offset:4
    flat_load_dword v6, v[4:5] offset:12
  )"));
  m.start();
  m.set_s64(4, Machine::kScratch + 0x10000);
  m.fill(0, [](unsigned lane) { return 100 + lane; });
  m.fill(1, [](unsigned lane) { return 200 + lane; });
  m.fill(3, [](unsigned lane) { return lane % 2 != 0 ? 4u : 8u; });
  m.fill64(4, [](unsigned) { return Machine::kPrivate; });
  m.expect_done();
  EXPECT_EQ(m.s(6), (Machine::kScratch + 0x10000) >> 32);
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(m.scratch<std::uint32_t>(0x10000 + 8 * 32 + lane * 4), 100 + lane) << lane;
    EXPECT_EQ(m.scratch<std::uint32_t>(0x10000 + 12 * 32 + lane * 4), 200 + lane) << lane;
    EXPECT_EQ(m.v(2)[lane], (lane % 2 != 0 ? 100 : 200) + lane) << lane;
    EXPECT_EQ(m.v(6)[lane], 200 + lane) << lane;
  }
}

TEST(Rdna2, BpermuteOfWave64StaysInItsHalf) {
  Machine m(gfx1030_wave64(R"(
    ds_bpermute_b32 v1, v0, v2
    s_waitcnt lgkmcnt(0)
  )"));
  m.start();
  m.fill(0, [](unsigned lane) { return (lane + 32) % 64 * 4; });
  m.fill(2, [](unsigned lane) { return 100 + lane; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) EXPECT_EQ(m.v(1)[lane], 100 + lane) << lane;
}

TEST(Rdna2, FloatAtomicsOf64Bits) {
  Machine m(gfx1030(R"(
    s_mov_b32 exec_lo, 3
    global_atomic_fcmpswap_x2 v[8:9], v0, v[2:5], s[4:5] glc
    global_atomic_fmax_x2 v0, v[6:7], s[4:5] offset:64
  )"));
  m.start();
  m.set_s64(4, Machine::kData);
  m.fill(0, [](unsigned lane) { return lane * 8; });
  m.fill64(2, [](unsigned) { return std::bit_cast<std::uint64_t>(7.0); });
  m.fill64(4, [](unsigned) { return std::bit_cast<std::uint64_t>(0.0); });  // comparand
  m.fill64(6, [](unsigned) { return std::bit_cast<std::uint64_t>(2.5); });
  m.set_data(0, -0.0);  // equal to +0 as a number
  m.set_data(8, 1.0);
  m.set_data(64, 2.0);
  m.set_data(72, 3.0);
  m.expect_done();
  EXPECT_EQ(m.data<double>(0), 7.0);
  EXPECT_EQ(m.data<double>(8), 1.0);
  EXPECT_EQ(m.v(9)[0], 0x80000000u);
  EXPECT_EQ(m.v(9)[1], 0x3ff00000u);
  EXPECT_EQ(m.data<double>(64), 2.5);
  EXPECT_EQ(m.data<double>(72), 3.0);
}

TEST(Rdna2, GlobalLoadsIntoLds) {
  Machine m(gfx1030(R"(
    s_movk_i32 m0, 0x100
    global_load_dword v0, s[4:5] offset:16 lds
    s_waitcnt vmcnt(0)
  )"));
  m.start();
  m.set_s64(4, Machine::kData);
  m.fill(0, [](unsigned lane) { return (31 - lane) * 4; });
  for (unsigned n = 0; n < 64; ++n) m.set_data(n * 4, 1000 + n);
  m.expect_done();
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(m.lds<std::uint32_t>(0x100 + 16 + lane * 4), 1000 + (31 - lane) + 4) << lane;
}

TEST(Rdna2, ClocksAndNull) {
  Machine m(gfx1030(R"(
    s_memrealtime s[4:5]
    s_waitcnt lgkmcnt(0)
    s_mov_b64 s[6:7], null
    s_add_u32 null, s4, 1
    s_getreg_b32 s8, hwreg(HW_REG_SHADER_CYCLES, 0, 20)
  )"));
  m.start();
  m.set_s64(6, ~std::uint64_t{0});
  m.expect_done();
  EXPECT_EQ(m.s64(4), m.environment.now);
  EXPECT_EQ(m.s64(6), 0u);
  EXPECT_EQ(m.s(8), static_cast<std::uint32_t>(m.environment.now * 25) & 0xfffff);
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

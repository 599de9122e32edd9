// Owns: the decoder against encodings that LLVM's assembler made (llvm-mc 22, -show-encoding; the
//   text it was given is cited), the fields of Instruction they must give, and refusals.
// Does not own: breadth (decode_oracle_test.cpp).
// Threading: none.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "vgpu/isa/decode.hpp"
#include "vgpu/isa/print.hpp"

namespace kiln::vgpu::isa {
namespace {

struct Golden {
  Arch arch;
  const char* assembly;  ///< what llvm-mc 22 was given
  std::vector<std::uint32_t> code;
  const char* printed;  ///< "": as the assembly
};

const Golden kGolden[] = {
    {Arch::Cdna2, "v_mac_f32_e32 v1, v2, v3", {0x2c020702}, ""},
    {Arch::Cdna2,
     "v_madak_f32 v1, v2, v3, 0x3f000000",
     {0x30020702, 0x3f000000},
     "v_madak_f32_e32 v1, v2, v3, 0x3f000000"},
    {Arch::Cdna2,
     "v_mfma_f32_32x32x8bf16_1k a[0:15], v[2:3], v[4:5], a[0:15]",
     {0xd3e68000, 0x04020902},
     ""},
    {Arch::Cdna2,
     "v_mfma_f64_16x16x4f64 v[8:15], v[2:3], v[4:5], v[8:15] cbsz:1 abid:2 blgp:3",
     {0xd3ee1108, 0x64220902},
     ""},
    {Arch::Cdna2, "global_load_dword v2, s[4:5] offset:16 lds", {0xdc50a010, 0x00040002}, ""},
    {Arch::Cdna2,
     "scratch_load_dword a1, v2, off offset:-16 glc slc scc",
     {0xde535ff0, 0x01ff0002},
     ""},
    {Arch::Cdna2, "scratch_store_dword off, v1, s2 offset:16", {0xdc704010, 0x00020100}, ""},
    {Arch::Cdna2,
     "buffer_load_dword v1, v2, s[4:7], s8 offen offset:12 glc slc scc",
     {0xe052d00c, 0x08010102},
     ""},
    {Arch::Cdna2, "buffer_invl2", {0xe0a40000, 0x00000000}, ""},
    {Arch::Cdna2, "buffer_wbinvl1_vol", {0xe0fc0000, 0x00000000}, ""},
    {Arch::Cdna3, "s_add_u32 s4, s5, 0x12345678", {0x8004ff05, 0x12345678}, ""},
    {Arch::Cdna3, "s_andn2_b64 s[4:5], exec, vcc", {0x89846a7e}, ""},
    {Arch::Cdna3, "s_mov_b32 m0, 7", {0xbefc0087}, ""},
    {Arch::Cdna3, "s_cmpk_lg_u32 s3, 0xffff", {0xb483ffff}, ""},
    {Arch::Cdna3,
     "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 8), 0xf0",
     {0xba003801, 0x000000f0},
     "s_setreg_imm32_b32 0x3801, 0xf0"},
    {Arch::Cdna3, "s_cbranch_execz 0xfffe", {0xbf88fffe}, "s_cbranch_execz 0xffc"},
    {Arch::Cdna3,
     "s_load_dwordx4 s[8:11], s[4:5], -16",
     {0xc00a0202, 0x001ffff0},
     "s_load_dwordx4 s[8:11], s[4:5], -0x10"},
    {Arch::Cdna3, "s_load_dword s8, s[4:5], s2 offset:0x10 glc", {0xc0034202, 0x04000010}, ""},
    {Arch::Cdna3,
     "v_fmamk_f32 v1, v2, 0x3f000000, v3",
     {0x2e020702, 0x3f000000},
     "v_fmamk_f32_e32 v1, v2, 0x3f000000, v3"},
    {Arch::Cdna3, "v_addc_co_u32_e32 v1, vcc, v2, v3, vcc", {0x38020702}, ""},
    {Arch::Cdna3,
     "v_add_f32_sdwa v1, -v2, |v3| clamp dst_sel:BYTE_1 dst_unused:UNUSED_PRESERVE src0_sel:WORD_1 "
     "src1_sel:BYTE_3",
     {0x020206f9, 0x23153102},
     ""},
    {Arch::Cdna3,
     "v_mov_b32_dpp v1, v2 row_shr:3 row_mask:0xa bank_mask:0x5 bound_ctrl:0",
     {0x7e0202fa, 0xa5091302},
     "v_mov_b32_dpp v1, v2 row_shr:3 row_mask:0xa bank_mask:0x5 bound_ctrl:1"},
    {Arch::Cdna3, "v_cmpx_lt_f32_e64 s[10:11], |v1|, -s2", {0xd051010a, 0x40000501}, ""},
    {Arch::Cdna3,
     "v_mad_u64_u32 v[2:3], s[4:5], v6, s7, v[8:9]",
     {0xd1e80402, 0x04200f06},
     "v_mad_u64_u32_e64 v[2:3], s[4:5], v6, s7, v[8:9]"},
    {Arch::Cdna3,
     "v_readlane_b32 s4, v5, m0",
     {0xd2890004, 0x0000f905},
     "v_readlane_b32_e64 s4, v5, m0"},
    {Arch::Cdna3,
     "v_pk_fma_f16 v1, v2, v3, v4 op_sel:[1,0,1] op_sel_hi:[0,1,1] neg_lo:[1,0,0] neg_hi:[0,1,0] "
     "clamp",
     {0xd38eea01, 0x34120702},
     ""},
    {Arch::Cdna3,
     "v_mfma_f32_16x16x16_f16 a[0:3], v[4:5], a[6:7], a[8:11] cbsz:1 abid:2 blgp:3",
     {0xd3cd9100, 0x74220d04},
     ""},
    {Arch::Cdna3, "v_accvgpr_write_b32 a5, 1.0", {0xd3d94005, 0x180000f2}, ""},
    {Arch::Cdna3, "ds_read2st64_b32 a[2:3], v4 offset0:5 offset1:6", {0xda700605, 0x02000004}, ""},
    {Arch::Cdna3, "ds_cmpst_rtn_b32 v1, v2, v3, v4 offset:65535", {0xd860ffff, 0x01040302}, ""},
    {Arch::Cdna3, "flat_store_dwordx2 v[2:3], a[4:5] offset:4095", {0xdc740fff, 0x00800402}, ""},
    {Arch::Cdna3,
     "global_load_ubyte_d16_hi v1, v2, s[4:5] offset:-4096 sc0 sc1",
     {0xde859000, 0x01040002},
     ""},
    {Arch::Cdna3, "global_atomic_add_f32 v0, v[2:3], v4, off sc0", {0xdd358000, 0x007f0402}, ""},
    {Arch::Cdna3, "scratch_load_dword v1, v2, s3 offset:-4", {0xdc507ffc, 0x01030002}, ""},
    {Arch::Cdna3, "scratch_store_dword off, v2, s3", {0xdc704000, 0x00030200}, ""},
    {Arch::Cdna3,
     "buffer_load_dword v1, v[2:3], s[8:11], s4 idxen offen offset:4095 sc0 nt sc1",
     {0xe052ffff, 0x04020102},
     ""},
    {Arch::Cdna3, "buffer_wbl2 sc0 sc1", {0xe0a0c000, 0x00000000}, ""},
    {Arch::Rdna3, "s_and_not1_b32 s4, s5, exec_hi", {0x91047f05}, ""},
    {Arch::Rdna3, "s_mov_b64 s[2:3], null", {0xbe82017c}, ""},
    {Arch::Rdna3, "s_load_b64 s[2:3], s[4:5], s6 offset:0x20 dlc", {0xf4042082, 0x0c000020}, ""},
    {Arch::Rdna3, "v_add_f16_e32 v1.h, v2.l, v3.h", {0x65030702}, ""},
    {Arch::Rdna3, "v_cvt_f32_f16_e32 v200, v5.h", {0x7f901785}, ""},
    {Arch::Rdna3,
     "v_fma_f16 v1.h, -v2.l, |v200.h|, s4 clamp mul:2",
     {0xd648d201, 0x28139102},
     "v_fma_f16_e64 v1.h, -v2.l, |v200.h|, s4 op_sel:[0,1,0,1] clamp mul:2"},
    {Arch::Rdna3,
     "v_fma_f32 v1, v2, s3, 0x40490fdb",
     {0xd6130001, 0x03fc0702, 0x40490fdb},
     "v_fma_f32_e64 v1, v2, s3, 0x40490fdb"},
    {Arch::Rdna3, "v_add_co_ci_u32_e64 v1, s2, v3, v4, s5", {0xd5200201, 0x00160903}, ""},
    {Arch::Rdna3, "v_cmpx_eq_u32_e32 v1, v2", {0x7d940501}, ""},
    {Arch::Rdna3, "v_cmpx_class_f32_e64 -v1, 64", {0xd4fe007e, 0x20018101}, ""},
    {Arch::Rdna3,
     "v_add_f32_e64_dpp v1, -v2, v3 row_xmask:5 row_mask:0xf bank_mask:0xf bound_ctrl:1 fi:1",
     {0xd5030001, 0x200206fa, 0xff0d6502},
     ""},
    {Arch::Rdna3, "v_mov_b32_dpp v1, v2 dpp8:[7,6,5,4,3,2,1,0] fi:1", {0x7e0202ea, 0x05397702}, ""},
    {Arch::Rdna3,
     "v_dual_mov_b32 v255, v1 :: v_dual_lshlrev_b32 v0, 3, v9",
     {0xca220101, 0xff001283},
     ""},
    {Arch::Rdna3,
     "v_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7]",
     {0xcc404000, 0x1c022108},
     ""},
    {Arch::Rdna3,
     "v_permlanex16_b32 v1, v2, s3, s4 op_sel:[1,0]",
     {0xd65c0801, 0x00100702},
     "v_permlanex16_b32_e64 v1, v2, s3, s4 op_sel:[1,0,0,0]"},
    {Arch::Rdna3,
     "ds_load_2addr_b64 v[2:5], v6 offset0:1 offset1:255",
     {0xd9dcff01, 0x02000006},
     ""},
    {Arch::Rdna3,
     "global_store_b96 v2, v[4:6], s[8:9] offset:4095 slc dlc",
     {0xdc72afff, 0x00080402},
     ""},
    {Arch::Rdna3, "scratch_load_b32 v1, off, off offset:-4096", {0xdc511000, 0x017c0000}, ""},
    {Arch::Rdna3,
     "buffer_store_b128 v[4:7], v1, s[8:11], m0 idxen offset:16 glc",
     {0xe0744010, 0x7d820401},
     ""},
    {Arch::Rdna3,
     "tbuffer_load_format_xy v[2:3], off, s[4:7], 0 format:[BUF_FMT_32_32_FLOAT]",
     {0xe9908000, 0x80010200},
     "tbuffer_load_format_xy v[2:3], off, s[4:7], 0 format:50"},
    {Arch::Rdna3,
     "s_delay_alu instid0(VALU_DEP_1) | instskip(NEXT) | instid1(VALU_DEP_2)",
     {0xbf870111},
     "s_delay_alu 0x111"},
    {Arch::Rdna3, "v_readfirstlane_b32 s7, v9", {0x7e0e0509}, "v_readfirstlane_b32_e32 s7, v9"},
};

TEST(DecodeGolden, TextAndLength) {
  for (const Golden& golden : kGolden) {
    Instruction out;
    ASSERT_EQ(decode(golden.arch, golden.code.data(), golden.code.size(), &out), DecodeStatus::Ok)
        << golden.assembly;
    EXPECT_EQ(out.dwords, golden.code.size()) << golden.assembly;
    const std::string expected = *golden.printed != 0 ? golden.printed : golden.assembly;
    EXPECT_EQ(print(golden.arch, out, 0x1000), expected);
  }
}

/// The encoding of one row of the table above.
const Golden& golden(const std::string& assembly) {
  for (const Golden& row : kGolden)
    if (row.assembly == assembly) return row;
  ADD_FAILURE() << assembly;
  return kGolden[0];
}

Instruction decoded(const std::string& assembly) {
  const Golden& row = golden(assembly);
  Instruction out;
  EXPECT_EQ(decode(row.arch, row.code.data(), row.code.size(), &out), DecodeStatus::Ok);
  return out;
}

TEST(DecodeGolden, TruncatedAtEveryDword) {
  for (const Golden& row : kGolden)
    for (std::size_t available = 0; available < row.code.size(); ++available) {
      Instruction out;
      EXPECT_EQ(decode(row.arch, row.code.data(), available, &out), DecodeStatus::Truncated)
          << row.assembly << " with " << available << " dwords";
    }
}

TEST(DecodeGolden, LiteralAndM0) {
  const Instruction add = decoded("s_add_u32 s4, s5, 0x12345678");
  EXPECT_EQ(add.format, Format::Sop2);
  EXPECT_EQ(add.dst, 4);
  EXPECT_EQ(add.src[0], 5);
  EXPECT_EQ(add.src[1], kLiteral);
  EXPECT_EQ(add.literal, 0x12345678u);
  EXPECT_EQ(decoded("s_mov_b32 m0, 7").dst, kM0);  // code 124 on gfx9, 125 in Instruction
  EXPECT_EQ(decoded("s_mov_b64 s[2:3], null").src[0], kNull);
  EXPECT_EQ(decoded("s_andn2_b64 s[4:5], exec, vcc").opcode->semantics, "s_and_not1_b64");
}

TEST(DecodeGolden, ImplicitCarries) {
  const Instruction add = decoded("v_addc_co_u32_e32 v1, vcc, v2, v3, vcc");
  EXPECT_EQ(add.opcode->semantics, "v_add_co_ci_u32");
  EXPECT_EQ(add.sdst, kVccLo);
  EXPECT_EQ(add.src[2], kVccLo);
  const Instruction vop3 = decoded("v_add_co_ci_u32_e64 v1, s2, v3, v4, s5");
  EXPECT_EQ(vop3.format, Format::Vop3sd);
  EXPECT_EQ(vop3.sdst, 2);
  EXPECT_EQ(vop3.src[2], 5);
  EXPECT_EQ(decoded("v_cmpx_eq_u32_e32 v1, v2").dst, kExecLo);
  EXPECT_EQ(decoded("v_cmpx_lt_f32_e64 s[10:11], |v1|, -s2").dst, 10);
}

TEST(DecodeGolden, MultiplyWithLiteral) {
  const Instruction fmamk = decoded("v_fmamk_f32 v1, v2, 0x3f000000, v3");
  EXPECT_EQ(fmamk.src[0], kVgpr0 + 2);
  EXPECT_EQ(fmamk.src[1], kLiteral);
  EXPECT_EQ(fmamk.src[2], kVgpr0 + 3);
  EXPECT_EQ(fmamk.literal, 0x3f000000u);
}

TEST(DecodeGolden, HalvesOfRegisters) {
  const Instruction e32 = decoded("v_add_f16_e32 v1.h, v2.l, v3.h");
  EXPECT_EQ(e32.dst, kVgpr0 + 1);
  EXPECT_EQ(e32.src[1], kVgpr0 + 3);
  EXPECT_EQ(e32.op_sel, 0b1010);
  const Instruction e64 = decoded("v_fma_f16 v1.h, -v2.l, |v200.h|, s4 clamp mul:2");
  EXPECT_EQ(e64.op_sel, 0b1010);
  EXPECT_EQ(e64.src[1], kVgpr0 + 200);
  EXPECT_EQ(e64.neg, 1);
  EXPECT_EQ(e64.abs, 2);
  EXPECT_TRUE(e64.clamp);
  EXPECT_EQ(e64.omod, 1);
  EXPECT_EQ(decoded("v_cvt_f32_f16_e32 v200, v5.h").dst, kVgpr0 + 200);  // 32 bits: no half
}

TEST(DecodeGolden, SdwaAndDpp) {
  const Instruction sdwa = decoded(
      "v_add_f32_sdwa v1, -v2, |v3| clamp dst_sel:BYTE_1 dst_unused:UNUSED_PRESERVE "
      "src0_sel:WORD_1 src1_sel:BYTE_3");
  EXPECT_EQ(sdwa.lanes, Lanes::Sdwa);
  EXPECT_EQ(sdwa.sdwa_dst_sel, 1);
  EXPECT_EQ(sdwa.sdwa_dst_unused, 2);
  EXPECT_EQ(sdwa.sdwa_src_sel[0], 5);
  EXPECT_EQ(sdwa.sdwa_src_sel[1], 3);
  EXPECT_EQ(sdwa.neg, 1);
  EXPECT_EQ(sdwa.abs, 2);
  const Instruction dpp =
      decoded("v_mov_b32_dpp v1, v2 row_shr:3 row_mask:0xa bank_mask:0x5 bound_ctrl:0");
  EXPECT_EQ(dpp.lanes, Lanes::Dpp16);
  EXPECT_EQ(dpp.dpp, 0x113u);
  EXPECT_EQ(dpp.row_mask, 10);
  EXPECT_EQ(dpp.bank_mask, 5);
  EXPECT_TRUE(dpp.bound_ctrl);
  const Instruction dpp8 = decoded("v_mov_b32_dpp v1, v2 dpp8:[7,6,5,4,3,2,1,0] fi:1");
  EXPECT_EQ(dpp8.lanes, Lanes::Dpp8);
  EXPECT_EQ(dpp8.dpp, 0x053977u);
  EXPECT_TRUE(dpp8.fetch_inactive);
  const Instruction vop3 = decoded(
      "v_add_f32_e64_dpp v1, -v2, v3 row_xmask:5 row_mask:0xf bank_mask:0xf bound_ctrl:1 fi:1");
  EXPECT_EQ(vop3.dwords, 3);
  EXPECT_EQ(vop3.src[0], kVgpr0 + 2);
  EXPECT_EQ(vop3.neg, 1);
}

TEST(DecodeGolden, MatrixAndAccumulators) {
  const Instruction mfma =
      decoded("v_mfma_f32_16x16x16_f16 a[0:3], v[4:5], a[6:7], a[8:11] cbsz:1 abid:2 blgp:3");
  EXPECT_EQ(mfma.format, Format::Mai);
  EXPECT_EQ(mfma.dst, kAgpr0);
  EXPECT_EQ(mfma.src[0], kVgpr0 + 4);
  EXPECT_EQ(mfma.src[1], kAgpr0 + 6);
  EXPECT_EQ(mfma.src[2], kAgpr0 + 8);
  EXPECT_EQ(mfma.cbsz, 1);
  EXPECT_EQ(mfma.abid, 2);
  EXPECT_EQ(mfma.blgp, 3);
  const Instruction ds = decoded("ds_read2st64_b32 a[2:3], v4 offset0:5 offset1:6");
  EXPECT_EQ(ds.dst, kAgpr0 + 2);
  EXPECT_EQ(ds.src[0], kVgpr0 + 4);
  EXPECT_EQ(ds.offset, 5);
  EXPECT_EQ(ds.offset1, 6);
}

TEST(DecodeGolden, DualIssue) {
  const Instruction dual = decoded("v_dual_mov_b32 v255, v1 :: v_dual_lshlrev_b32 v0, 3, v9");
  EXPECT_EQ(dual.opcode->semantics, "v_mov_b32");
  EXPECT_EQ(dual.opcode_y->semantics, "v_lshlrev_b32");
  EXPECT_EQ(dual.dst, kVgpr0 + 255);
  EXPECT_EQ(dual.sdst, kVgpr0);
  EXPECT_EQ(dual.src_y[0], kInt0 + 3);
  EXPECT_EQ(dual.src_y[1], kVgpr0 + 9);
}

TEST(DecodeGolden, Addresses) {
  const Instruction smem = decoded("s_load_dword s8, s[4:5], s2 offset:0x10 glc");
  EXPECT_EQ(smem.src[0], 4);
  EXPECT_EQ(smem.src[1], 2);
  EXPECT_EQ(smem.offset, 16);
  EXPECT_EQ(smem.cache, kCacheGlc);
  EXPECT_EQ(decoded("s_load_dwordx4 s[8:11], s[4:5], -16").offset, -16);
  const Instruction global =
      decoded("global_load_ubyte_d16_hi v1, v2, s[4:5] offset:-4096 sc0 sc1");
  EXPECT_EQ(global.opcode->semantics, "global_load_d16_hi_u8");
  EXPECT_EQ(global.src[2], 4);
  EXPECT_EQ(global.offset, -4096);
  EXPECT_EQ(global.cache, kCacheSc0 | kCacheSc1);
  const Instruction scratch = decoded("scratch_store_dword off, v2, s3");
  EXPECT_EQ(scratch.src[0], kNoOperand);
  EXPECT_EQ(scratch.src[1], kVgpr0 + 2);
  EXPECT_EQ(scratch.src[2], 3);
  EXPECT_EQ(decoded("scratch_load_b32 v1, off, off offset:-4096").src[2], kNoOperand);
  const Instruction buffer =
      decoded("buffer_load_dword v1, v[2:3], s[8:11], s4 idxen offen offset:4095 sc0 nt sc1");
  EXPECT_EQ(buffer.src[0], kVgpr0 + 2);
  EXPECT_EQ(buffer.src[2], 8);
  EXPECT_EQ(buffer.src[3], 4);
  EXPECT_TRUE(buffer.idxen && buffer.offen);
  EXPECT_EQ(buffer.cache, kCacheSc0 | kCacheNt | kCacheSc1);
}

TEST(DecodeGolden, AtomicsReturnOnlyIfAsked) {
  const Instruction returning = decoded("global_atomic_add_f32 v0, v[2:3], v4, off sc0");
  EXPECT_EQ(returning.dst, kVgpr0);
  std::vector<std::uint32_t> code = golden("global_atomic_add_f32 v0, v[2:3], v4, off sc0").code;
  code[0] &= ~(1u << 16);  // sc0
  Instruction silent;
  ASSERT_EQ(decode(Arch::Cdna3, code.data(), code.size(), &silent), DecodeStatus::Ok);
  EXPECT_EQ(silent.dst, kNoOperand);
  EXPECT_EQ(silent.src[1], kVgpr0 + 4);
}

TEST(DecodeGolden, Refusals) {
  struct Refused {
    Arch arch;
    std::vector<std::uint32_t> code;
    const char* why;
  };
  const Refused refused[] = {
      {Arch::Cdna2, {0xdc502000, 0x01000002}, "flat_load_dword with the LDS bit"},
      {Arch::Cdna2, {0x7e047102}, "v_mov_b64 of gfx942"},
      {Arch::Cdna2, {0xdc984000, 0x00020000}, "global_load_lds_dword of gfx942"},
      {Arch::Cdna3, {0xbe80007d}, "s_mov_b32 s0, null: gfx9 has no null"},
      {Arch::Cdna3, {0x7e01fe00}, "VOP1 opcode 255"},
      {Arch::Cdna3, {0xd2800001, 0x00020503, 0}, "v_add_f64 with odd registers"},
      {Arch::Cdna3, {0xd1010001, 0x000004ff, 0x3f800000}, "VOP3 literal on gfx9"},
      {Arch::Rdna3, {0xf0000f08, 0, 0}, "image_load: no images on compute"},
      {Arch::Rdna3, {0xf8000000, 0}, "export"},
      {Arch::Rdna3, {0x7e0002fa, 0xff01e002}, "reserved dpp_ctrl"},
      {Arch::Rdna3, {0xd7ff0000, 0}, "VOP3 opcode 1023"},
  };
  for (const Refused& row : refused) {
    Instruction out;
    std::vector<std::uint32_t> code = row.code;
    code.resize(4);
    EXPECT_EQ(decode(row.arch, code.data(), code.size(), &out), DecodeStatus::Unknown) << row.why;
  }
}

TEST(DecodeGolden, LdsBitOfGfx90a) {
  const Instruction load = decoded("global_load_dword v2, s[4:5] offset:16 lds");
  EXPECT_EQ(load.opcode->semantics, "global_load_lds_b32");
  EXPECT_TRUE(load.lds);
  EXPECT_EQ(load.dst, kNoOperand);
  EXPECT_EQ(load.src[0], kVgpr0 + 2);
  const Instruction scratch = decoded("scratch_load_dword a1, v2, off offset:-16 glc slc scc");
  EXPECT_EQ(scratch.dst, kAgpr0 + 1);
  EXPECT_EQ(scratch.src[0], kVgpr0 + 2);
  EXPECT_EQ(scratch.cache, kCacheGlc | kCacheSlc | kCacheScc);
  EXPECT_EQ(decoded("scratch_store_dword off, v1, s2 offset:16").src[0], kNoOperand);
}

TEST(DecodeGolden, TablesHaveNoDoubleRows) {
  for (const Arch arch : {Arch::Cdna2, Arch::Cdna3, Arch::Rdna2, Arch::Rdna3}) {
    std::set<std::pair<Format, std::uint16_t>> seen;
    for (const Opcode& row : opcodes(arch)) {
      EXPECT_TRUE(seen.emplace(row.format, row.number).second) << row.name;
      EXPECT_EQ(find_opcode(arch, row.format, row.number), &row) << row.name;
      EXPECT_FALSE(row.semantics.empty()) << row.name;
    }
    EXPECT_EQ(find_opcode(arch, Format::Vop2, 63), nullptr);
  }
}

}  // namespace
}  // namespace kiln::vgpu::isa

// Owns: the RDNA2 decoder against encodings that LLVM's assembler made (llvm-mc 22, -mcpu=gfx1030,
//   -show-encoding; the text it was given is cited), the fields they must give, and refusals.
// Does not own: breadth (decode_oracle_test.cpp), the other generations (decode_golden_test.cpp).
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
  const char* assembly;  ///< what llvm-mc 22 was given
  std::vector<std::uint32_t> code;
  const char* printed;  ///< "": as the assembly
};

const Golden kGolden[] = {
    {"s_and_saveexec_b32 s4, s5", {0xbe843c05}, ""},
    {"s_andn1_wrexec_b64 s[4:5], vcc", {0xbe84396a}, ""},
    {"s_mov_b64 s[2:3], null", {0xbe82047d}, ""},
    {"s_mov_b32 m0, null", {0xbefc037d}, ""},
    {"s_load_dwordx2 s[2:3], s[4:5], s6 offset:0x20 glc dlc", {0xf4054082, 0x0c000020}, ""},
    {"s_buffer_load_dwordx4 s[8:11], s[12:15], 0x10", {0xf4280206, 0xfa000010}, ""},
    {"s_memrealtime s[2:3]", {0xf4940080, 0x00000000}, ""},
    {"s_waitcnt_vscnt null, 0x0", {0xbbfd0000}, ""},
    {"s_setreg_b32 hwreg(HW_REG_FLAT_SCR_LO), s6", {0xb986f814}, "s_setreg_b32 s6, 0xf814"},
    {"s_inst_prefetch 0x3", {0xbfa00003}, ""},
    {"v_add_co_ci_u32_e64 v1, s2, v3, v4, s5", {0xd5280201, 0x00160903}, ""},
    {"v_cndmask_b32_e64 v1, -v2, |v3|, vcc_lo", {0xd5010201, 0x21aa0702}, ""},
    {"v_fma_f32 v1, v2, s3, 0x40490fdb",
     {0xd54b0001, 0x03fc0702, 0x40490fdb},
     "v_fma_f32_e64 v1, v2, s3, 0x40490fdb"},
    {"v_fmac_f32_e64 v1, -v2, 0x40490fdb clamp", {0xd52b8001, 0x2001ff02, 0x40490fdb}, ""},
    {"v_cmp_class_f32_e64 s4, -v1, v2", {0xd4880004, 0x20020501}, ""},
    {"v_cmpx_eq_u32_e32 v1, v2", {0x7da40501}, ""},
    {"v_cmpx_lt_i64_e64 v[2:3], s[4:5]", {0xd4b1007e, 0x00000902}, ""},
    {"v_add_f32_sdwa v1, -v2, |v3| dst_sel:BYTE_1 dst_unused:UNUSED_PRESERVE src0_sel:WORD_1 "
     "src1_sel:DWORD",
     {0x060206f9, 0x26151102},
     ""},
    {"v_cmp_eq_u16_sdwa s5, v1, s2 src0_sel:WORD_1 src1_sel:WORD_0", {0x7d5404f9, 0x84058501}, ""},
    {"v_mov_b32_dpp v1, v2 dpp8:[7,6,5,4,3,2,1,0] fi:1", {0x7e0202ea, 0x05397702}, ""},
    {"v_add_nc_u32_dpp v1, v2, v3 row_share:5 row_mask:0xf bank_mask:0xf bound_ctrl:1 fi:1",
     {0x4a0206fa, 0xff0d5502},
     ""},
    {"v_add_f16_dpp v1, v2, v3 row_xmask:1 row_mask:0x3 bank_mask:0xf",
     {0x640206fa, 0x3f016102},
     ""},
    {"v_mul_lo_u16 v1, v2, v3 op_sel:[0,1,1]",
     {0xd7055001, 0x00020702},
     "v_mul_lo_u16_e64 v1, v2, v3 op_sel:[0,1,1]"},
    {"v_permlanex16_b32 v1, v2, s3, s4 op_sel:[1,0]",
     {0xd7780801, 0x00100702},
     "v_permlanex16_b32_e64 v1, v2, s3, s4 op_sel:[1,0,0,0]"},
    {"v_pk_fma_f16 v1, v2, s3, 1.0 op_sel:[1,0,0] op_sel_hi:[0,1,0] neg_lo:[1,0,0]",
     {0xcc0e0801, 0x33c80702},
     ""},
    {"v_dot4_i32_i8 v1, v2, v3, s4 clamp", {0xcc16c001, 0x18120702}, ""},
    {"v_dot2c_f32_f16 v1, v2, v3", {0x04020702}, "v_dot2c_f32_f16_e32 v1, v2, v3"},
    {"v_mad_u64_u32 v[2:3], null, v4, s5, v[6:7]",
     {0xd5767d02, 0x04180b04},
     "v_mad_u64_u32_e64 v[2:3], null, v4, s5, v[6:7]"},
    {"ds_read2st64_b64 v[2:5], v6 offset0:1 offset1:255", {0xd9e0ff01, 0x02000006}, ""},
    {"ds_cmpst_rtn_f64 v[2:3], v4, v[6:7], v[8:9] offset:65535 gds", {0xd9c6ffff, 0x02080604}, ""},
    {"flat_load_dwordx3 v[2:4], v[6:7] offset:2047 glc dlc", {0xdc3d17ff, 0x027d0006}, ""},
    {"global_store_dwordx3 v2, v[4:6], s[8:9] offset:-2048 slc", {0xdc7e8800, 0x00080402}, ""},
    {"global_load_ubyte v[2:3], off offset:4 lds", {0xdc20a004, 0x007d0002}, ""},
    {"global_atomic_fmin_x2 v[2:3], v4, v[6:7], s[8:9] glc", {0xdd7d8000, 0x02080604}, ""},
    {"scratch_load_dword v1, off, off offset:-4", {0xdc304ffc, 0x017f0000}, ""},
    {"scratch_store_byte v1, v2, off dlc", {0xdc605000, 0x007d0201}, ""},
    {"scratch_load_dwordx2 v[2:3], off, s4 offset:2047", {0xdc3447ff, 0x02040000}, ""},
    {"buffer_store_dwordx4 v[4:7], v1, s[8:11], m0 idxen offset:16 glc",
     {0xe0786010, 0x7c020401},
     ""},
    {"buffer_load_format_d16_xyz v[4:5], v[2:3], s[8:11], 0 idxen offen slc dlc",
     {0xe208b000, 0x80420402},
     ""},
    {"buffer_load_dwordx2 v[4:6], off, s[8:11], s3 tfe", {0xe0340000, 0x03820400}, ""},
    {"buffer_load_ushort off, s[8:11], s3 offset:4095 lds", {0xe0290fff, 0x03020000}, ""},
    {"buffer_gl1_inv", {0xe1c80000, 0x00000000}, ""},
    {"tbuffer_load_format_d16_xy v3, off, s[4:7], 0 format:[BUF_FMT_32_32_FLOAT] glc",
     {0xea014000, 0x80210300},
     "tbuffer_load_format_d16_xy v3, off, s[4:7], 0 format:64 glc"},
    {"v_readlane_b32 s7, v9, m0", {0xd7600007, 0x0000f909}, "v_readlane_b32_e64 s7, v9, m0"},
    {"v_writelane_b32 v9, 0x12345, s3",
     {0xd7610009, 0x000006ff, 0x00012345},
     "v_writelane_b32_e64 v9, 0x12345, s3"},
};

TEST(DecodeGoldenRdna2, TextAndLength) {
  for (const Golden& golden : kGolden) {
    Instruction out;
    ASSERT_EQ(decode(Arch::Rdna2, golden.code.data(), golden.code.size(), &out), DecodeStatus::Ok)
        << golden.assembly;
    EXPECT_EQ(out.dwords, golden.code.size()) << golden.assembly;
    const std::string expected = *golden.printed != 0 ? golden.printed : golden.assembly;
    EXPECT_EQ(print(Arch::Rdna2, out, 0x1000), expected);
  }
}

TEST(DecodeGoldenRdna2, TruncatedAtEveryDword) {
  for (const Golden& row : kGolden)
    for (std::size_t available = 0; available < row.code.size(); ++available) {
      Instruction out;
      EXPECT_EQ(decode(Arch::Rdna2, row.code.data(), available, &out), DecodeStatus::Truncated)
          << row.assembly << " with " << available << " dwords";
    }
}

Instruction decoded(const std::string& assembly) {
  Instruction out;
  for (const Golden& row : kGolden)
    if (row.assembly == assembly &&
        decode(Arch::Rdna2, row.code.data(), row.code.size(), &out) == DecodeStatus::Ok)
      return out;
  ADD_FAILURE() << assembly;
  return out;
}

TEST(DecodeGoldenRdna2, NullAndM0) {  // codes 125 and 124, the reverse of gfx11
  const Instruction move = decoded("s_mov_b32 m0, null");
  EXPECT_EQ(move.dst, kM0);
  EXPECT_EQ(move.src[0], kNull);
  EXPECT_EQ(decoded("s_mov_b64 s[2:3], null").src[0], kNull);
  EXPECT_EQ(decoded("v_mad_u64_u32 v[2:3], null, v4, s5, v[6:7]").sdst, kNull);
  EXPECT_EQ(decoded("buffer_store_dwordx4 v[4:7], v1, s[8:11], m0 idxen offset:16 glc").src[3],
            kM0);
  EXPECT_EQ(decoded("v_cmpx_lt_i64_e64 v[2:3], s[4:5]").dst, kExecLo);
}

TEST(DecodeGoldenRdna2, ScratchAddressForms) {
  const Instruction none = decoded("scratch_load_dword v1, off, off offset:-4");
  EXPECT_EQ(none.src[0], kNoOperand);
  EXPECT_EQ(none.src[2], kNoOperand);
  EXPECT_EQ(none.offset, -4);
  const Instruction vector = decoded("scratch_store_byte v1, v2, off dlc");
  EXPECT_EQ(vector.src[0], kVgpr0 + 1);
  EXPECT_EQ(vector.src[2], kNoOperand);
  EXPECT_EQ(vector.cache, kCacheDlc);
  const Instruction scalar = decoded("scratch_load_dwordx2 v[2:3], off, s4 offset:2047");
  EXPECT_EQ(scalar.src[0], kNoOperand);
  EXPECT_EQ(scalar.src[2], 4);
}

TEST(DecodeGoldenRdna2, SemanticsHaveGfx11Names) {
  const std::pair<const char*, const char*> rows[] = {
      {"global_load_ubyte v[2:3], off offset:4 lds", "global_load_lds_u8"},
      {"global_atomic_fmin_x2 v[2:3], v4, v[6:7], s[8:9] glc", "global_atomic_min_f64"},
      {"s_andn1_wrexec_b64 s[4:5], vcc", "s_and_not0_wrexec_b64"},
      {"ds_read2st64_b64 v[2:5], v6 offset0:1 offset1:255", "ds_load_2addr_stride64_b64"},
      // gfx11's ds_cmpstore has the operands the other way round.
      {"ds_cmpst_rtn_f64 v[2:3], v4, v[6:7], v[8:9] offset:65535 gds", "ds_cmpst_rtn_f64"},
      {"v_dot2c_f32_f16 v1, v2, v3", "v_dot2acc_f32_f16"},
  };
  for (const auto& [assembly, semantics] : rows)
    EXPECT_EQ(decoded(assembly).opcode->semantics, semantics);
}

TEST(DecodeGoldenRdna2, Refusals) {
  struct Refused {
    std::vector<std::uint32_t> code;
    const char* why;
  };
  const Refused refused[] = {
      {{0xf0800f00, 0, 0}, "image_sample: no images on compute"},
      {{0xf1980f00, 0, 0}, "image_bvh_intersect_ray"},
      {{0xf8000000, 0}, "export"},
      {{0xc8000000}, "v_interp_p1_f32"},
      {{0xf4400000, 0xfa000000}, "s_store_dword: gone from gfx10.3"},
      {{0xf4a80080, 0xfa000000}, "s_get_waveid_in_workgroup: gone from gfx10.3"},
      {{0x3e000000}, "v_mac_f32: gone from gfx10.3"},
      {{0x7e0002fa, 0xff014202}, "row_bcast:15 is gfx9's"},
      {{0xd5030001, 0x000206fa, 0xff00e402}, "VOP3 has no DPP before gfx11"},
      {{0xdc300800, 0x007d0002}, "flat_load_dword with bit 11 of its offset"},
      {{0xdc348000, 0x7fff0002}, "global_load_dwordx2 with EXEC_HI as an address"},
  };
  for (const Refused& row : refused) {
    Instruction out;
    std::vector<std::uint32_t> code = row.code;
    code.resize(4);
    EXPECT_EQ(decode(Arch::Rdna2, code.data(), code.size(), &out), DecodeStatus::Unknown)
        << row.why;
  }
}

TEST(DecodeGoldenRdna2, TablesHaveNoDoubleRows) {
  std::set<std::pair<Format, std::uint16_t>> seen;
  for (const Opcode& row : opcodes(Arch::Rdna2)) {
    EXPECT_TRUE(seen.emplace(row.format, row.number).second) << row.name;
    EXPECT_EQ(find_opcode(Arch::Rdna2, row.format, row.number), &row) << row.name;
  }
  EXPECT_GT(seen.size(), 1200u);
}

}  // namespace
}  // namespace kiln::vgpu::isa

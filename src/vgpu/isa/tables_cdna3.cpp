// Owns: the opcodes that CDNA3 (gfx942) has and CDNA2 has not, or has otherwise.
// Does not own: what both have (tables_gfx9_*.cpp), what a row's text means (shape.hpp), extraction
// of operands (decode.cpp). Threading: constants.
//
// Sources: AMD CDNA3 ISA, chapter 13 (opcode tables); LLVM's AMDGPU assembler
// for gfx942, against which decode_oracle_test.cpp checks each row.
//
// Columns: number in the format's opcode field, name without _e32/_e64, shape, semantics name.
// The semantics name is left out where it is the name. It
// is the GFX11 spelling of the same thing where GFX11 has it: global_load_b32 for
// global_load_dword, ds_load_b32 for ds_read_b32, v_add_nc_u32 for v_add_u32, v_add_co_ci_u32 for
// v_addc_co_u32, s_and_not1_b32 for s_andn2_b32, v_cmp_t_f32 for v_cmp_tru_f32. What GFX11 does not
// have, or has with other operands (ds_cmpst against ds_cmpstore), keeps its own name.
//
// VOP1, VOP2 and VOPC opcodes exist again in VOP3, at 0 (VOPC), 0x100 (VOP2) and 0x140 (VOP1); such
// a row stands once and describes its VOP3 form (VOP2's second source is a VGPR, whatever it says;
// clamp, omod and op_sel need VOP3, SDWA or DPP). *_E32 rows have no VOP3 form.
#include "vgpu/isa/tables.hpp"

namespace kiln::vgpu::isa {
namespace {

constexpr Row kRows[] = {
    // VOP2_E32
    VOP2_E32(0x17, "v_fmamk_f32", "v=f,K,v"),
    VOP2_E32(0x18, "v_fmaak_f32", "v=f,v,K"),
    // VOP1
    VOP1(0x38, "v_mov_b64", "v2=x2 d"),
    VOP1(0x54, "v_cvt_f32_fp8", "v=x codwq"),
    VOP1(0x55, "v_cvt_f32_bf8", "v=x codwq"),
    VOP1(0x56, "v_cvt_pk_f32_fp8", "v2=x codwq"),
    VOP1(0x57, "v_cvt_pk_f32_bf8", "v2=x codwq"),
    // VOP3
    VOP3(0x208, "v_lshl_add_u64", "v2=x2,x,x2"),
    VOP3(0x2a2, "v_cvt_pk_fp8_f32", "v=f,f s"),
    VOP3(0x2a3, "v_cvt_pk_bf8_f32", "v=f,f s"),
    VOP3(0x2a4, "v_cvt_sr_fp8_f32", "v=f,i sy"),
    VOP3(0x2a5, "v_cvt_sr_bf8_f32", "v=f,i sy"),
    // MAI
    MAI(0x3e, "v_mfma_f32_16x16x8_xf32", "w4=w2,w2,W4"),
    MAI(0x3f, "v_mfma_f32_32x32x4_xf32", "w16=w2,w2,W16"),
    MAI(0x40, "v_mfma_f32_32x32x1_2b_f32", "w32=w,w,W32"),
    MAI(0x41, "v_mfma_f32_16x16x1_4b_f32", "w16=w,w,W16"),
    MAI(0x42, "v_mfma_f32_4x4x1_16b_f32", "w4=w,w,W4"),
    MAI(0x44, "v_mfma_f32_32x32x2_f32", "w16=w,w,W16"),
    MAI(0x45, "v_mfma_f32_16x16x4_f32", "w4=w,w,W4"),
    MAI(0x48, "v_mfma_f32_32x32x4_2b_f16", "w32=w2,w2,W32"),
    MAI(0x49, "v_mfma_f32_16x16x4_4b_f16", "w16=w2,w2,W16"),
    MAI(0x4a, "v_mfma_f32_4x4x4_16b_f16", "w4=w2,w2,W4"),
    MAI(0x4c, "v_mfma_f32_32x32x8_f16", "w16=w2,w2,W16"),
    MAI(0x4d, "v_mfma_f32_16x16x16_f16", "w4=w2,w2,W4"),
    MAI(0x50, "v_mfma_i32_32x32x4_2b_i8", "w32=w,w,W32"),
    MAI(0x51, "v_mfma_i32_16x16x4_4b_i8", "w16=w,w,W16"),
    MAI(0x52, "v_mfma_i32_4x4x4_16b_i8", "w4=w,w,W4"),
    MAI(0x56, "v_mfma_i32_32x32x16_i8", "w16=w2,w2,W16"),
    MAI(0x57, "v_mfma_i32_16x16x32_i8", "w4=w2,w2,W4"),
    MAI(0x5d, "v_mfma_f32_32x32x4_2b_bf16", "w32=w2,w2,W32"),
    MAI(0x5e, "v_mfma_f32_16x16x4_4b_bf16", "w16=w2,w2,W16"),
    MAI(0x5f, "v_mfma_f32_4x4x4_16b_bf16", "w4=w2,w2,W4"),
    MAI(0x60, "v_mfma_f32_32x32x8_bf16", "w16=w2,w2,W16"),
    MAI(0x61, "v_mfma_f32_16x16x16_bf16", "w4=w2,w2,W4"),
    MAI(0x62, "v_smfmac_f32_16x16x32_f16", "w4=w2,w4,v"),
    MAI(0x64, "v_smfmac_f32_32x32x16_f16", "w16=w2,w4,v"),
    MAI(0x66, "v_smfmac_f32_16x16x32_bf16", "w4=w2,w4,v"),
    MAI(0x68, "v_smfmac_f32_32x32x16_bf16", "w16=w2,w4,v"),
    MAI(0x6a, "v_smfmac_i32_16x16x64_i8", "w4=w2,w4,v"),
    MAI(0x6c, "v_smfmac_i32_32x32x32_i8", "w16=w2,w4,v"),
    MAI(0x6e, "v_mfma_f64_16x16x4_f64", "w8=w2,w2,W8"),
    MAI(0x6f, "v_mfma_f64_4x4x4_4b_f64", "w2=w2,w2,W2"),
    MAI(0x70, "v_mfma_f32_16x16x32_bf8_bf8", "w4=w2,w2,W4"),
    MAI(0x71, "v_mfma_f32_16x16x32_bf8_fp8", "w4=w2,w2,W4"),
    MAI(0x72, "v_mfma_f32_16x16x32_fp8_bf8", "w4=w2,w2,W4"),
    MAI(0x73, "v_mfma_f32_16x16x32_fp8_fp8", "w4=w2,w2,W4"),
    MAI(0x74, "v_mfma_f32_32x32x16_bf8_bf8", "w16=w2,w2,W16"),
    MAI(0x75, "v_mfma_f32_32x32x16_bf8_fp8", "w16=w2,w2,W16"),
    MAI(0x76, "v_mfma_f32_32x32x16_fp8_bf8", "w16=w2,w2,W16"),
    MAI(0x77, "v_mfma_f32_32x32x16_fp8_fp8", "w16=w2,w2,W16"),
    MAI(0x78, "v_smfmac_f32_16x16x64_bf8_bf8", "w4=w2,w4,v"),
    MAI(0x79, "v_smfmac_f32_16x16x64_bf8_fp8", "w4=w2,w4,v"),
    MAI(0x7a, "v_smfmac_f32_16x16x64_fp8_bf8", "w4=w2,w4,v"),
    MAI(0x7b, "v_smfmac_f32_16x16x64_fp8_fp8", "w4=w2,w4,v"),
    MAI(0x7c, "v_smfmac_f32_32x32x32_bf8_bf8", "w16=w2,w4,v"),
    MAI(0x7d, "v_smfmac_f32_32x32x32_bf8_fp8", "w16=w2,w4,v"),
    MAI(0x7e, "v_smfmac_f32_32x32x32_fp8_bf8", "w16=w2,w4,v"),
    MAI(0x7f, "v_smfmac_f32_32x32x32_fp8_fp8", "w16=w2,w4,v"),
    // DS
    DS(0x17, "ds_pk_add_f16", "=v,w,"),
    DS(0x18, "ds_pk_add_bf16", "=v,w,"),
    DS(0xb7, "ds_pk_add_rtn_f16", "w=v,w,"),
    DS(0xb8, "ds_pk_add_rtn_bf16", "w=v,w,"),
    // FLAT
    FLAT(0x4d, "flat_atomic_add_f32", "w=v,w r"),
    FLAT(0x4e, "flat_atomic_pk_add_f16", "w=v,w r"),
    FLAT(0x52, "flat_atomic_pk_add_bf16", "w=v,w r"),
    // GLOBAL
    GLOBAL(0x26, "global_load_lds_ubyte", "=v", "global_load_lds_u8"),
    GLOBAL(0x27, "global_load_lds_sbyte", "=v", "global_load_lds_i8"),
    GLOBAL(0x28, "global_load_lds_ushort", "=v", "global_load_lds_u16"),
    GLOBAL(0x29, "global_load_lds_sshort", "=v", "global_load_lds_i16"),
    GLOBAL(0x2a, "global_load_lds_dword", "=v", "global_load_lds_b32"),
    GLOBAL(0x52, "global_atomic_pk_add_bf16", "w=v,w r"),
    // SCRATCH
    SCRATCH(0x26, "scratch_load_lds_ubyte", "=v", "scratch_load_lds_u8"),
    SCRATCH(0x27, "scratch_load_lds_sbyte", "=v", "scratch_load_lds_i8"),
    SCRATCH(0x28, "scratch_load_lds_ushort", "=v", "scratch_load_lds_u16"),
    SCRATCH(0x29, "scratch_load_lds_sshort", "=v", "scratch_load_lds_i16"),
    SCRATCH(0x2a, "scratch_load_lds_dword", "=v", "scratch_load_lds_b32"),
    // MUBUF
    MUBUF(0x28, "buffer_wbl2", "="),
    MUBUF(0x29, "buffer_inv", "="),
};

}  // namespace

std::span<const Row> cdna3_rows() {
  return kRows;
}

}  // namespace kiln::vgpu::isa

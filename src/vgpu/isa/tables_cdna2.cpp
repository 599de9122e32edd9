// Owns: the opcodes that CDNA2 (gfx90a) has and CDNA3 has not, or has otherwise.
// Does not own: what both have (tables_gfx9_*.cpp), what a column means (tables_cdna3.cpp).
// Threading: constants.
//
// Sources: AMD CDNA2 ISA, chapter 12 and 13 (opcode tables); LLVM's AMDGPU assembler for gfx90a,
// against which decode_oracle_test.cpp checks each row.
//
// GLOBAL and SCRATCH loads with the LDS bit, which gfx942 has as opcodes of their own, stand here
// as the opcode with bit 7 set (kLdsForm).
#include "vgpu/isa/tables.hpp"

namespace kiln::vgpu::isa {
namespace {

constexpr Row kRows[] = {
    // VOP2
    VOP2(0x16, "v_mac_f32", "v=f,f cod"),
    VOP2_E32(0x17, "v_madmk_f32", "v=f,K,v"),
    VOP2_E32(0x18, "v_madak_f32", "v=f,v,K"),
    // VOP3
    VOP3(0x1c0, "v_mad_legacy_f32", "v=f,f,f co"),
    VOP3(0x1c1, "v_mad_f32", "v=f,f,f co"),
    // MAI
    MAI(0x40, "v_mfma_f32_32x32x1f32", "w32=w,w,W32", "v_mfma_f32_32x32x1_2b_f32"),
    MAI(0x41, "v_mfma_f32_16x16x1f32", "w16=w,w,W16", "v_mfma_f32_16x16x1_4b_f32"),
    MAI(0x42, "v_mfma_f32_4x4x1f32", "w4=w,w,W4", "v_mfma_f32_4x4x1_16b_f32"),
    MAI(0x44, "v_mfma_f32_32x32x2f32", "w16=w,w,W16", "v_mfma_f32_32x32x2_f32"),
    MAI(0x45, "v_mfma_f32_16x16x4f32", "w4=w,w,W4", "v_mfma_f32_16x16x4_f32"),
    MAI(0x48, "v_mfma_f32_32x32x4f16", "w32=w2,w2,W32", "v_mfma_f32_32x32x4_2b_f16"),
    MAI(0x49, "v_mfma_f32_16x16x4f16", "w16=w2,w2,W16", "v_mfma_f32_16x16x4_4b_f16"),
    MAI(0x4a, "v_mfma_f32_4x4x4f16", "w4=w2,w2,W4", "v_mfma_f32_4x4x4_16b_f16"),
    MAI(0x4c, "v_mfma_f32_32x32x8f16", "w16=w2,w2,W16", "v_mfma_f32_32x32x8_f16"),
    MAI(0x4d, "v_mfma_f32_16x16x16f16", "w4=w2,w2,W4", "v_mfma_f32_16x16x16_f16"),
    MAI(0x50, "v_mfma_i32_32x32x4i8", "w32=w,w,W32", "v_mfma_i32_32x32x4_2b_i8"),
    MAI(0x51, "v_mfma_i32_16x16x4i8", "w16=w,w,W16", "v_mfma_i32_16x16x4_4b_i8"),
    MAI(0x52, "v_mfma_i32_4x4x4i8", "w4=w,w,W4", "v_mfma_i32_4x4x4_16b_i8"),
    MAI(0x54, "v_mfma_i32_32x32x8i8", "w16=w,w,W16"),
    MAI(0x55, "v_mfma_i32_16x16x16i8", "w4=w,w,W4"),
    MAI(0x63, "v_mfma_f32_32x32x4bf16_1k", "w32=w2,w2,W32", "v_mfma_f32_32x32x4_2b_bf16"),
    MAI(0x64, "v_mfma_f32_16x16x4bf16_1k", "w16=w2,w2,W16", "v_mfma_f32_16x16x4_4b_bf16"),
    MAI(0x65, "v_mfma_f32_4x4x4bf16_1k", "w4=w2,w2,W4", "v_mfma_f32_4x4x4_16b_bf16"),
    MAI(0x66, "v_mfma_f32_32x32x8bf16_1k", "w16=w2,w2,W16", "v_mfma_f32_32x32x8_bf16"),
    MAI(0x67, "v_mfma_f32_16x16x16bf16_1k", "w4=w2,w2,W4", "v_mfma_f32_16x16x16_bf16"),
    MAI(0x68, "v_mfma_f32_32x32x2bf16", "w32=w,w,W32"),
    MAI(0x69, "v_mfma_f32_16x16x2bf16", "w16=w,w,W16"),
    MAI(0x6b, "v_mfma_f32_4x4x2bf16", "w4=w,w,W4"),
    MAI(0x6c, "v_mfma_f32_32x32x4bf16", "w16=w,w,W16"),
    MAI(0x6d, "v_mfma_f32_16x16x8bf16", "w4=w,w,W4"),
    MAI(0x6e, "v_mfma_f64_16x16x4f64", "w8=w2,w2,W8"),
    MAI(0x6f, "v_mfma_f64_4x4x4f64", "w2=w2,w2,W2"),
    // GLOBAL
    GLOBAL(kLdsForm | 0x10, "global_load_ubyte", "=v", "global_load_lds_u8"),
    GLOBAL(kLdsForm | 0x11, "global_load_sbyte", "=v", "global_load_lds_i8"),
    GLOBAL(kLdsForm | 0x12, "global_load_ushort", "=v", "global_load_lds_u16"),
    GLOBAL(kLdsForm | 0x13, "global_load_sshort", "=v", "global_load_lds_i16"),
    GLOBAL(kLdsForm | 0x14, "global_load_dword", "=v", "global_load_lds_b32"),
    // SCRATCH
    SCRATCH(kLdsForm | 0x10, "scratch_load_ubyte", "=v", "scratch_load_lds_u8"),
    SCRATCH(kLdsForm | 0x11, "scratch_load_sbyte", "=v", "scratch_load_lds_i8"),
    SCRATCH(kLdsForm | 0x12, "scratch_load_ushort", "=v", "scratch_load_lds_u16"),
    SCRATCH(kLdsForm | 0x13, "scratch_load_sshort", "=v", "scratch_load_lds_i16"),
    SCRATCH(kLdsForm | 0x14, "scratch_load_dword", "=v", "scratch_load_lds_b32"),
    // MUBUF: the whole L2, or the whole vector L1; there are no scope bits.
    MUBUF(0x28, "buffer_wbl2", "=", "buffer_wbl2_system"),
    MUBUF(0x29, "buffer_invl2", "="),
    MUBUF(0x3e, "buffer_wbinvl1", "="),
    MUBUF(0x3f, "buffer_wbinvl1_vol", "="),
};

}  // namespace

std::span<const Row> cdna2_rows() {
  return kRows;
}

}  // namespace kiln::vgpu::isa

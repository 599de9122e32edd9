// Owns: machine code that shows what a wave starts with, and a trap handler; assembled by LLVM 22
//   (llvm-mc -mcpu=gfx90a; -mcpu=gfx1030 -mattr=+wavefrontsize32), each with its text.
// Does not own: loading it (engine_fixture.hpp).
// Threading: constants.
#pragma once

#include <cstdint>

namespace kiln::vgpu::testing {

namespace gfx90a {
// Kernel argument: an address. s0 to s16 go to its beginning, each lane's v0 (gfx10: v0 to v2) to
// byte 128 + 16 * lane; private dword 1 becomes 16 * lane + 7 by way of the descriptor in s[0:3]
//   s_load_dwordx2 s[20:21], s[8:9], 0x0
//   v_mbcnt_lo_u32_b32 v10, -1, 0
//   v_mbcnt_hi_u32_b32 v10, -1, v10
//   v_lshlrev_b32 v10, 4, v10
//   s_waitcnt lgkmcnt(0)
//   global_store_dword v10, v0, s[20:21] offset:128
//   v_mov_b32 v11, 0
//   v_mov_b32 v12, s0
//   global_store_dword v11, v12, s[20:21] offset:0
//   v_mov_b32 v12, s1
//   global_store_dword v11, v12, s[20:21] offset:4
//   v_mov_b32 v12, s2
//   global_store_dword v11, v12, s[20:21] offset:8
//   v_mov_b32 v12, s3
//   global_store_dword v11, v12, s[20:21] offset:12
//   v_mov_b32 v12, s4
//   global_store_dword v11, v12, s[20:21] offset:16
//   v_mov_b32 v12, s5
//   global_store_dword v11, v12, s[20:21] offset:20
//   v_mov_b32 v12, s6
//   global_store_dword v11, v12, s[20:21] offset:24
//   v_mov_b32 v12, s7
//   global_store_dword v11, v12, s[20:21] offset:28
//   v_mov_b32 v12, s8
//   global_store_dword v11, v12, s[20:21] offset:32
//   v_mov_b32 v12, s9
//   global_store_dword v11, v12, s[20:21] offset:36
//   v_mov_b32 v12, s10
//   global_store_dword v11, v12, s[20:21] offset:40
//   v_mov_b32 v12, s11
//   global_store_dword v11, v12, s[20:21] offset:44
//   v_mov_b32 v12, s12
//   global_store_dword v11, v12, s[20:21] offset:48
//   v_mov_b32 v12, s13
//   global_store_dword v11, v12, s[20:21] offset:52
//   v_mov_b32 v12, s14
//   global_store_dword v11, v12, s[20:21] offset:56
//   v_mov_b32 v12, s15
//   global_store_dword v11, v12, s[20:21] offset:60
//   v_mov_b32 v12, s16
//   global_store_dword v11, v12, s[20:21] offset:64
//   v_add_u32 v13, 7, v10
//   buffer_store_dword v13, off, s[0:3], s16 offset:4
//   s_endpgm
inline constexpr std::uint32_t kAbi[] = {
    0xc0060504, 0x00000000, 0xd28c000a, 0x000100c1, 0xd28d000a, 0x000214c1, 0x24141484, 0xbf8cc07f,
    0xdc708080, 0x0014000a, 0x7e160280, 0x7e180200, 0xdc708000, 0x00140c0b, 0x7e180201, 0xdc708004,
    0x00140c0b, 0x7e180202, 0xdc708008, 0x00140c0b, 0x7e180203, 0xdc70800c, 0x00140c0b, 0x7e180204,
    0xdc708010, 0x00140c0b, 0x7e180205, 0xdc708014, 0x00140c0b, 0x7e180206, 0xdc708018, 0x00140c0b,
    0x7e180207, 0xdc70801c, 0x00140c0b, 0x7e180208, 0xdc708020, 0x00140c0b, 0x7e180209, 0xdc708024,
    0x00140c0b, 0x7e18020a, 0xdc708028, 0x00140c0b, 0x7e18020b, 0xdc70802c, 0x00140c0b, 0x7e18020c,
    0xdc708030, 0x00140c0b, 0x7e18020d, 0xdc708034, 0x00140c0b, 0x7e18020e, 0xdc708038, 0x00140c0b,
    0x7e18020f, 0xdc70803c, 0x00140c0b, 0x7e180210, 0xdc708040, 0x00140c0b, 0x681a1487, 0xe0700004,
    0x10000d00, 0xbf810000};
// s_trap 2 with SCC set; then, if SCC survived, 9 goes to the address in the kernel argument
//   s_load_dwordx2 s[4:5], s[0:1], 0x0
//   s_cmp_eq_u32 s0, s0
//   s_trap 2
//   s_cbranch_scc0 L0
//   v_mov_b32 v0, 0
//   v_mov_b32 v1, 9
//   s_waitcnt lgkmcnt(0)
//   global_store_dword v0, v1, s[4:5]
//   L0:
//   s_endpgm
inline constexpr std::uint32_t kTrapThenStore[] = {0xc0060100, 0x00000000, 0xbf060000, 0xbf920002,
                                                   0xbf840005, 0x7e000280, 0x7e020289, 0xbf8cc07f,
                                                   0xdc708000, 0x00040100, 0xbf810000};
// Interrupts with the doorbell's number and, for s_trap, bit 10; for an illegal instruction bit 13,
// and the wave halts
//   s_mov_b32 ttmp2, exec_lo
//   s_mov_b32 exec_lo, 0x80000000
//   s_sendmsg sendmsg(MSG_GET_DOORBELL)
//   L0:
//   s_nop 7
//   s_bitcmp0_b32 exec_lo, 31
//   s_cbranch_scc0 L0
//   s_mov_b32 ttmp3, exec_lo
//   s_mov_b32 exec_lo, ttmp2
//   s_getreg_b32 ttmp2, hwreg(HW_REG_TRAPSTS)
//   s_bitcmp1_b32 ttmp2, 11
//   s_cbranch_scc1 L1
//   s_bitset1_b32 ttmp3, 10
//   s_add_u32 ttmp0, ttmp0, 4
//   s_addc_u32 ttmp1, ttmp1, 0
//   s_branch L2
//   L1:
//   s_bitset1_b32 ttmp3, 13
//   s_bitset1_b32 ttmp12, 13
//   L2:
//   s_mov_b32 m0, ttmp3
//   s_nop 0
//   s_sendmsg sendmsg(MSG_INTERRUPT)
//   s_setreg_b32 hwreg(HW_REG_STATUS), ttmp12
//   s_rfe_b64 [ttmp0, ttmp1]
inline constexpr std::uint32_t kTrapHandler[] = {
    0xbeee007e, 0xbefe00ff, 0x80000000, 0xbf90000a, 0xbf800007, 0xbf0c9f7e, 0xbf84fffd, 0xbeef007e,
    0xbefe006e, 0xb8eef803, 0xbf0d8b6e, 0xbf850004, 0xbeef1a8a, 0x806c846c, 0x826d806d, 0xbf820002,
    0xbeef1a8d, 0xbef81a8d, 0xbefc006f, 0xbf800000, 0xbf900001, 0xb978f802, 0xbe801f6c};
}  // namespace gfx90a

namespace gfx1030 {
// Kernel argument: an address. s0 to s16 go to its beginning, each lane's v0 (gfx10: v0 to v2) to
// byte 128 + 16 * lane; private dword 1 becomes 16 * lane + 7 by way of the descriptor in s[0:3]
//   s_load_dwordx2 s[20:21], s[8:9], 0x0
//   v_mbcnt_lo_u32_b32 v10, -1, 0
//   v_lshlrev_b32 v10, 4, v10
//   s_waitcnt lgkmcnt(0)
//   global_store_dword v10, v0, s[20:21] offset:128
//   global_store_dword v10, v1, s[20:21] offset:132
//   global_store_dword v10, v2, s[20:21] offset:136
//   v_mov_b32 v11, 0
//   v_mov_b32 v12, s0
//   global_store_dword v11, v12, s[20:21] offset:0
//   v_mov_b32 v12, s1
//   global_store_dword v11, v12, s[20:21] offset:4
//   v_mov_b32 v12, s2
//   global_store_dword v11, v12, s[20:21] offset:8
//   v_mov_b32 v12, s3
//   global_store_dword v11, v12, s[20:21] offset:12
//   v_mov_b32 v12, s4
//   global_store_dword v11, v12, s[20:21] offset:16
//   v_mov_b32 v12, s5
//   global_store_dword v11, v12, s[20:21] offset:20
//   v_mov_b32 v12, s6
//   global_store_dword v11, v12, s[20:21] offset:24
//   v_mov_b32 v12, s7
//   global_store_dword v11, v12, s[20:21] offset:28
//   v_mov_b32 v12, s8
//   global_store_dword v11, v12, s[20:21] offset:32
//   v_mov_b32 v12, s9
//   global_store_dword v11, v12, s[20:21] offset:36
//   v_mov_b32 v12, s10
//   global_store_dword v11, v12, s[20:21] offset:40
//   v_mov_b32 v12, s11
//   global_store_dword v11, v12, s[20:21] offset:44
//   v_mov_b32 v12, s12
//   global_store_dword v11, v12, s[20:21] offset:48
//   v_mov_b32 v12, s13
//   global_store_dword v11, v12, s[20:21] offset:52
//   v_mov_b32 v12, s14
//   global_store_dword v11, v12, s[20:21] offset:56
//   v_mov_b32 v12, s15
//   global_store_dword v11, v12, s[20:21] offset:60
//   v_mov_b32 v12, s16
//   global_store_dword v11, v12, s[20:21] offset:64
//   v_add_nc_u32 v13, 7, v10
//   buffer_store_dword v13, off, s[0:3], s16 offset:4
//   s_endpgm
inline constexpr std::uint32_t kAbi[] = {
    0xf4040504, 0xfa000000, 0xd765000a, 0x000100c1, 0x34141484, 0xbf8cc07f, 0xdc708080, 0x0014000a,
    0xdc708084, 0x0014010a, 0xdc708088, 0x0014020a, 0x7e160280, 0x7e180200, 0xdc708000, 0x00140c0b,
    0x7e180201, 0xdc708004, 0x00140c0b, 0x7e180202, 0xdc708008, 0x00140c0b, 0x7e180203, 0xdc70800c,
    0x00140c0b, 0x7e180204, 0xdc708010, 0x00140c0b, 0x7e180205, 0xdc708014, 0x00140c0b, 0x7e180206,
    0xdc708018, 0x00140c0b, 0x7e180207, 0xdc70801c, 0x00140c0b, 0x7e180208, 0xdc708020, 0x00140c0b,
    0x7e180209, 0xdc708024, 0x00140c0b, 0x7e18020a, 0xdc708028, 0x00140c0b, 0x7e18020b, 0xdc70802c,
    0x00140c0b, 0x7e18020c, 0xdc708030, 0x00140c0b, 0x7e18020d, 0xdc708034, 0x00140c0b, 0x7e18020e,
    0xdc708038, 0x00140c0b, 0x7e18020f, 0xdc70803c, 0x00140c0b, 0x7e180210, 0xdc708040, 0x00140c0b,
    0x4a1a1487, 0xe0700004, 0x10000d00, 0xbf810000};
// s_trap 2 with SCC set; then, if SCC survived, 9 goes to the address in the kernel argument
//   s_load_dwordx2 s[4:5], s[0:1], 0x0
//   s_cmp_eq_u32 s0, s0
//   s_trap 2
//   s_cbranch_scc0 L0
//   v_mov_b32 v0, 0
//   v_mov_b32 v1, 9
//   s_waitcnt lgkmcnt(0)
//   global_store_dword v0, v1, s[4:5]
//   L0:
//   s_endpgm
inline constexpr std::uint32_t kTrapThenStore[] = {0xf4040100, 0xfa000000, 0xbf060000, 0xbf920002,
                                                   0xbf840005, 0x7e000280, 0x7e020289, 0xbf8cc07f,
                                                   0xdc708000, 0x00040100, 0xbf810000};
// Interrupts with the doorbell's number and, for s_trap, bit 10; for an illegal instruction bit 13,
// and the wave halts
//   s_mov_b32 ttmp2, exec_lo
//   s_mov_b32 exec_lo, 0x80000000
//   s_sendmsg sendmsg(MSG_GET_DOORBELL)
//   L0:
//   s_nop 7
//   s_bitcmp0_b32 exec_lo, 31
//   s_cbranch_scc0 L0
//   s_mov_b32 ttmp3, exec_lo
//   s_mov_b32 exec_lo, ttmp2
//   s_getreg_b32 ttmp2, hwreg(HW_REG_TRAPSTS)
//   s_bitcmp1_b32 ttmp2, 11
//   s_cbranch_scc1 L1
//   s_bitset1_b32 ttmp3, 10
//   s_add_u32 ttmp0, ttmp0, 4
//   s_addc_u32 ttmp1, ttmp1, 0
//   s_branch L2
//   L1:
//   s_bitset1_b32 ttmp3, 13
//   s_bitset1_b32 ttmp12, 13
//   L2:
//   s_mov_b32 m0, ttmp3
//   s_nop 0
//   s_sendmsg sendmsg(MSG_INTERRUPT)
//   s_setreg_b32 hwreg(HW_REG_STATUS), ttmp12
//   s_rfe_b64 [ttmp0, ttmp1]
inline constexpr std::uint32_t kTrapHandler[] = {
    0xbeee037e, 0xbefe03ff, 0x80000000, 0xbf90000a, 0xbf800007, 0xbf0c9f7e, 0xbf84fffd, 0xbeef037e,
    0xbefe036e, 0xb96ef803, 0xbf0d8b6e, 0xbf850004, 0xbeef1d8a, 0x806c846c, 0x826d806d, 0xbf820002,
    0xbeef1d8d, 0xbef81d8d, 0xbefc036f, 0xbf800000, 0xbf900001, 0xb9f8f802, 0xbe80226c};
}  // namespace gfx1030

}  // namespace kiln::vgpu::testing

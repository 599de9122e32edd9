// Owns: the little kernels of the engine tests, assembled by LLVM 22 (llvm-mc -mcpu=gfx942,
//   gfx90a, and gfx1100 and gfx1030 with -mattr=+wavefrontsize32), each with its text.
// Does not own: loading them (engine_fixture.hpp).
// Threading: constants.
//
// s[0:1] and s[2:3] are user SGPRs; the workgroup's number is in the SGPR behind the last of them.
#pragma once

#include <cstdint>
#include <span>

#include "gpu/target.hpp"

namespace kiln::vgpu::testing {

namespace gfx942 {
// u32 at s[0:1] + 4 * group = group + 1
//   s_lshl_b32 s3, s2, 2
//   s_add_u32 s4, s2, 1
//   v_mov_b32 v0, s3
//   v_mov_b32 v1, s4
//   global_store_dword v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kStoreIndex[] = {0x8e038202, 0x80048102, 0x7e000203, 0x7e020204,
                                                0xdc708000, 0x00000100, 0xbf810000};
// loops while the u32 at s[0:1] is 0
//   L0:
//   v_mov_b32 v0, 0
//   global_load_dword v1, v0, s[0:1] sc0 sc1
//   s_waitcnt vmcnt(0)
//   v_readfirstlane_b32 s4, v1
//   s_cmp_eq_u32 s4, 0
//   s_cbranch_scc1 L0
//   s_endpgm
inline constexpr std::uint32_t kSpin[] = {0x7e000280, 0xde518000, 0x01000000, 0xbf8c0f70,
                                          0x7e080501, 0xbf068004, 0xbf85fff9, 0xbf810000};
// u32 at s[2:3] + 4 * group = u32 at s[0:1], through the vector caches
//   s_lshl_b32 s5, s4, 2
//   v_mov_b32 v0, 0
//   global_load_dword v1, v0, s[0:1]
//   v_mov_b32 v2, s5
//   s_waitcnt vmcnt(0)
//   global_store_dword v2, v1, s[2:3]
//   s_endpgm
inline constexpr std::uint32_t kVectorCopy[] = {0x8e058204, 0x7e000280, 0xdc508000,
                                                0x01000000, 0x7e040205, 0xbf8c0f70,
                                                0xdc708000, 0x00020102, 0xbf810000};
// the same through the scalar cache
//   s_lshl_b32 s5, s4, 2
//   s_load_dword s6, s[0:1], 0x0
//   v_mov_b32 v2, s5
//   s_waitcnt lgkmcnt(0)
//   v_mov_b32 v1, s6
//   global_store_dword v2, v1, s[2:3]
//   s_endpgm
inline constexpr std::uint32_t kScalarCopy[] = {0x8e058204, 0xc0020180, 0x00000000,
                                                0x7e040205, 0xbf8cc07f, 0x7e020206,
                                                0xdc708000, 0x00020102, 0xbf810000};
// one lane adds 1 to the u32 at s[0:1]
//   v_cmp_eq_u32 vcc, 0, v0
//   s_and_b64 exec, exec, vcc
//   v_mov_b32 v0, 0
//   v_mov_b32 v1, 1
//   global_atomic_add v0, v1, s[0:1]
//   s_waitcnt vmcnt(0)
//   s_endpgm
inline constexpr std::uint32_t kAtomicAdd[] = {0x7d940080, 0x86fe6a7e, 0x7e000280, 0x7e020281,
                                               0xdd088000, 0x00000100, 0xbf8c0f70, 0xbf810000};
// u32 at s[0:1] + 4 * group = XCC_ID register (gfx11: HW_ID1)
//   s_getreg_b32 s4, hwreg(HW_REG_XCC_ID)
//   s_lshl_b32 s3, s2, 2
//   v_mov_b32 v0, s3
//   v_mov_b32 v1, s4
//   global_store_dword v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kXccId[] = {0xb884f814, 0x8e038202, 0x7e000203, 0x7e020204,
                                           0xdc708000, 0x00000100, 0xbf810000};
// workgroup 63 sets the u32 at s[0:1], the others wait for it
//   v_mov_b32 v0, 0
//   s_cmp_eq_u32 s2, 63
//   s_cbranch_scc1 L1
//   L0:
//   global_load_dword v1, v0, s[0:1] sc0 sc1
//   s_waitcnt vmcnt(0)
//   v_readfirstlane_b32 s4, v1
//   s_cmp_eq_u32 s4, 0
//   s_cbranch_scc1 L0
//   s_endpgm
//   L1:
//   v_mov_b32 v1, 1
//   global_store_dword v0, v1, s[0:1] sc0 sc1
//   s_endpgm
inline constexpr std::uint32_t kLastReleases[] = {
    0x7e000280, 0xbf06bf02, 0xbf850007, 0xde518000, 0x01000000, 0xbf8c0f70, 0x7e080501,
    0xbf068004, 0xbf85fffa, 0xbf810000, 0x7e020281, 0xde718000, 0x00000100, 0xbf810000};
}  // namespace gfx942

namespace gfx1100 {
// u32 at s[0:1] + 4 * group = group + 1
//   s_lshl_b32 s3, s2, 2
//   s_add_u32 s4, s2, 1
//   v_mov_b32 v0, s3
//   v_mov_b32 v1, s4
//   global_store_b32 v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kStoreIndex[] = {0x84038202, 0x80048102, 0x7e000203, 0x7e020204,
                                                0xdc6a0000, 0x00000100, 0xbfb00000};
// loops while the u32 at s[0:1] is 0
//   L0:
//   v_mov_b32 v0, 0
//   global_load_b32 v1, v0, s[0:1] glc dlc
//   s_waitcnt vmcnt(0)
//   v_readfirstlane_b32 s4, v1
//   s_cmp_eq_u32 s4, 0
//   s_cbranch_scc1 L0
//   s_endpgm
inline constexpr std::uint32_t kSpin[] = {0x7e000280, 0xdc526000, 0x01000000, 0xbf8903f7,
                                          0x7e080501, 0xbf068004, 0xbfa2fff9, 0xbfb00000};
// u32 at s[2:3] + 4 * group = u32 at s[0:1], through the vector caches
//   s_lshl_b32 s5, s4, 2
//   v_mov_b32 v0, 0
//   global_load_b32 v1, v0, s[0:1]
//   v_mov_b32 v2, s5
//   s_waitcnt vmcnt(0)
//   global_store_b32 v2, v1, s[2:3]
//   s_endpgm
inline constexpr std::uint32_t kVectorCopy[] = {0x84058204, 0x7e000280, 0xdc520000,
                                                0x01000000, 0x7e040205, 0xbf8903f7,
                                                0xdc6a0000, 0x00020102, 0xbfb00000};
// the same through the scalar cache
//   s_lshl_b32 s5, s4, 2
//   s_load_b32 s6, s[0:1], 0x0
//   v_mov_b32 v2, s5
//   s_waitcnt lgkmcnt(0)
//   v_mov_b32 v1, s6
//   global_store_b32 v2, v1, s[2:3]
//   s_endpgm
inline constexpr std::uint32_t kScalarCopy[] = {0x84058204, 0xf4000180, 0xf8000000,
                                                0x7e040205, 0xbf89fc07, 0x7e020206,
                                                0xdc6a0000, 0x00020102, 0xbfb00000};
// one lane adds 1 to the u32 at s[0:1]
//   v_cmp_eq_u32 vcc_lo, 0, v0
//   s_and_b32 exec_lo, exec_lo, vcc_lo
//   v_mov_b32 v0, 0
//   v_mov_b32 v1, 1
//   global_atomic_add_u32 v0, v1, s[0:1]
//   s_waitcnt vmcnt(0)
//   s_endpgm
inline constexpr std::uint32_t kAtomicAdd[] = {0x7c940080, 0x8b7e6a7e, 0x7e000280, 0x7e020281,
                                               0xdcd60000, 0x00000100, 0xbf8903f7, 0xbfb00000};
// u32 at s[0:1] + 4 * group = XCC_ID register (gfx11: HW_ID1)
//   s_getreg_b32 s4, hwreg(HW_REG_HW_ID1)
//   s_lshl_b32 s3, s2, 2
//   v_mov_b32 v0, s3
//   v_mov_b32 v1, s4
//   global_store_b32 v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kXccId[] = {0xb884f817, 0x84038202, 0x7e000203, 0x7e020204,
                                           0xdc6a0000, 0x00000100, 0xbfb00000};
// workgroup 63 sets the u32 at s[0:1], the others wait for it
//   v_mov_b32 v0, 0
//   s_cmp_eq_u32 s2, 63
//   s_cbranch_scc1 L1
//   L0:
//   global_load_b32 v1, v0, s[0:1] glc dlc
//   s_waitcnt vmcnt(0)
//   v_readfirstlane_b32 s4, v1
//   s_cmp_eq_u32 s4, 0
//   s_cbranch_scc1 L0
//   s_endpgm
//   L1:
//   v_mov_b32 v1, 1
//   global_store_b32 v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kLastReleases[] = {
    0x7e000280, 0xbf06bf02, 0xbfa20007, 0xdc526000, 0x01000000, 0xbf8903f7, 0x7e080501,
    0xbf068004, 0xbfa2fffa, 0xbfb00000, 0x7e020281, 0xdc6a0000, 0x00000100, 0xbfb00000};
}  // namespace gfx1100

namespace gfx90a {
// u32 at s[0:1] + 4 * group = group + 1
//   s_lshl_b32 s3, s2, 2
//   s_add_u32 s4, s2, 1
//   v_mov_b32 v0, s3
//   v_mov_b32 v1, s4
//   global_store_dword v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kStoreIndex[] = {0x8e038202, 0x80048102, 0x7e000203, 0x7e020204,
                                                0xdc708000, 0x00000100, 0xbf810000};
// loops while the u32 at s[0:1] is 0
//   L0:
//   v_mov_b32 v0, 0
//   global_load_dword v1, v0, s[0:1] glc
//   s_waitcnt vmcnt(0)
//   v_readfirstlane_b32 s4, v1
//   s_cmp_eq_u32 s4, 0
//   s_cbranch_scc1 L0
//   s_endpgm
inline constexpr std::uint32_t kSpin[] = {0x7e000280, 0xdc518000, 0x01000000, 0xbf8c0f70,
                                          0x7e080501, 0xbf068004, 0xbf85fff9, 0xbf810000};
// u32 at s[2:3] + 4 * group = u32 at s[0:1], through the vector caches
//   s_lshl_b32 s5, s4, 2
//   v_mov_b32 v0, 0
//   global_load_dword v1, v0, s[0:1]
//   v_mov_b32 v2, s5
//   s_waitcnt vmcnt(0)
//   global_store_dword v2, v1, s[2:3]
//   s_endpgm
inline constexpr std::uint32_t kVectorCopy[] = {0x8e058204, 0x7e000280, 0xdc508000,
                                                0x01000000, 0x7e040205, 0xbf8c0f70,
                                                0xdc708000, 0x00020102, 0xbf810000};
// the same through the scalar cache
//   s_lshl_b32 s5, s4, 2
//   s_load_dword s6, s[0:1], 0x0
//   v_mov_b32 v2, s5
//   s_waitcnt lgkmcnt(0)
//   v_mov_b32 v1, s6
//   global_store_dword v2, v1, s[2:3]
//   s_endpgm
inline constexpr std::uint32_t kScalarCopy[] = {0x8e058204, 0xc0020180, 0x00000000,
                                                0x7e040205, 0xbf8cc07f, 0x7e020206,
                                                0xdc708000, 0x00020102, 0xbf810000};
// one lane adds 1 to the u32 at s[0:1]
//   v_cmp_eq_u32 vcc, 0, v0
//   s_and_b64 exec, exec, vcc
//   v_mov_b32 v0, 0
//   v_mov_b32 v1, 1
//   global_atomic_add v0, v1, s[0:1]
//   s_waitcnt vmcnt(0)
//   s_endpgm
inline constexpr std::uint32_t kAtomicAdd[] = {0x7d940080, 0x86fe6a7e, 0x7e000280, 0x7e020281,
                                               0xdd088000, 0x00000100, 0xbf8c0f70, 0xbf810000};
// u32 at s[0:1] + 4 * group = HW_ID register (HW_ID1 on gfx10)
//   s_getreg_b32 s4, hwreg(HW_REG_HW_ID)
//   s_lshl_b32 s3, s2, 2
//   v_mov_b32 v0, s3
//   v_mov_b32 v1, s4
//   global_store_dword v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kXccId[] = {0xb884f804, 0x8e038202, 0x7e000203, 0x7e020204,
                                           0xdc708000, 0x00000100, 0xbf810000};
// workgroup 63 sets the u32 at s[0:1], the others wait for it
//   v_mov_b32 v0, 0
//   s_cmp_eq_u32 s2, 63
//   s_cbranch_scc1 L1
//   L0:
//   global_load_dword v1, v0, s[0:1] glc
//   s_waitcnt vmcnt(0)
//   v_readfirstlane_b32 s4, v1
//   s_cmp_eq_u32 s4, 0
//   s_cbranch_scc1 L0
//   s_endpgm
//   L1:
//   v_mov_b32 v1, 1
//   global_store_dword v0, v1, s[0:1] glc
//   s_endpgm
inline constexpr std::uint32_t kLastReleases[] = {
    0x7e000280, 0xbf06bf02, 0xbf850007, 0xdc518000, 0x01000000, 0xbf8c0f70, 0x7e080501,
    0xbf068004, 0xbf85fffa, 0xbf810000, 0x7e020281, 0xdc718000, 0x00000100, 0xbf810000};
}  // namespace gfx90a

namespace gfx1030 {
// u32 at s[0:1] + 4 * group = group + 1
//   s_lshl_b32 s3, s2, 2
//   s_add_u32 s4, s2, 1
//   v_mov_b32 v0, s3
//   v_mov_b32 v1, s4
//   global_store_dword v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kStoreIndex[] = {0x8f038202, 0x80048102, 0x7e000203, 0x7e020204,
                                                0xdc708000, 0x00000100, 0xbf810000};
// loops while the u32 at s[0:1] is 0
//   L0:
//   v_mov_b32 v0, 0
//   global_load_dword v1, v0, s[0:1] glc dlc
//   s_waitcnt vmcnt(0)
//   v_readfirstlane_b32 s4, v1
//   s_cmp_eq_u32 s4, 0
//   s_cbranch_scc1 L0
//   s_endpgm
inline constexpr std::uint32_t kSpin[] = {0x7e000280, 0xdc319000, 0x01000000, 0xbf8c3f70,
                                          0x7e080501, 0xbf068004, 0xbf85fff9, 0xbf810000};
// u32 at s[2:3] + 4 * group = u32 at s[0:1], through the vector caches
//   s_lshl_b32 s5, s4, 2
//   v_mov_b32 v0, 0
//   global_load_dword v1, v0, s[0:1]
//   v_mov_b32 v2, s5
//   s_waitcnt vmcnt(0)
//   global_store_dword v2, v1, s[2:3]
//   s_endpgm
inline constexpr std::uint32_t kVectorCopy[] = {0x8f058204, 0x7e000280, 0xdc308000,
                                                0x01000000, 0x7e040205, 0xbf8c3f70,
                                                0xdc708000, 0x00020102, 0xbf810000};
// the same through the scalar cache
//   s_lshl_b32 s5, s4, 2
//   s_load_dword s6, s[0:1], 0x0
//   v_mov_b32 v2, s5
//   s_waitcnt lgkmcnt(0)
//   v_mov_b32 v1, s6
//   global_store_dword v2, v1, s[2:3]
//   s_endpgm
inline constexpr std::uint32_t kScalarCopy[] = {0x8f058204, 0xf4000180, 0xfa000000,
                                                0x7e040205, 0xbf8cc07f, 0x7e020206,
                                                0xdc708000, 0x00020102, 0xbf810000};
// one lane adds 1 to the u32 at s[0:1]
//   v_cmp_eq_u32 vcc_lo, 0, v0
//   s_and_b32 exec_lo, exec_lo, vcc_lo
//   v_mov_b32 v0, 0
//   v_mov_b32 v1, 1
//   global_atomic_add v0, v1, s[0:1]
//   s_waitcnt vmcnt(0)
//   s_endpgm
inline constexpr std::uint32_t kAtomicAdd[] = {0x7d840080, 0x877e6a7e, 0x7e000280, 0x7e020281,
                                               0xdcc88000, 0x00000100, 0xbf8c3f70, 0xbf810000};
// u32 at s[0:1] + 4 * group = HW_ID register (HW_ID1 on gfx10)
//   s_getreg_b32 s4, hwreg(HW_REG_HW_ID1)
//   s_lshl_b32 s3, s2, 2
//   v_mov_b32 v0, s3
//   v_mov_b32 v1, s4
//   global_store_dword v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kXccId[] = {0xb904f817, 0x8f038202, 0x7e000203, 0x7e020204,
                                           0xdc708000, 0x00000100, 0xbf810000};
// workgroup 63 sets the u32 at s[0:1], the others wait for it
//   v_mov_b32 v0, 0
//   s_cmp_eq_u32 s2, 63
//   s_cbranch_scc1 L1
//   L0:
//   global_load_dword v1, v0, s[0:1] glc dlc
//   s_waitcnt vmcnt(0)
//   v_readfirstlane_b32 s4, v1
//   s_cmp_eq_u32 s4, 0
//   s_cbranch_scc1 L0
//   s_endpgm
//   L1:
//   v_mov_b32 v1, 1
//   global_store_dword v0, v1, s[0:1]
//   s_endpgm
inline constexpr std::uint32_t kLastReleases[] = {
    0x7e000280, 0xbf06bf02, 0xbf850007, 0xdc319000, 0x01000000, 0xbf8c3f70, 0x7e080501,
    0xbf068004, 0xbf85fffa, 0xbf810000, 0x7e020281, 0xdc708000, 0x00000100, 0xbf810000};
}  // namespace gfx1030

/// The same kernels for every chip.
struct KernelSet {
  std::span<const std::uint32_t> store_index, spin, vector_copy, scalar_copy, atomic_add, place,
      last_releases;
};
inline KernelSet kernels_of(const gpu::Target& target) {
#define KILN_KERNELS(target_name)                                               \
  {                                                                             \
    target_name::kStoreIndex, target_name::kSpin, target_name::kVectorCopy,     \
        target_name::kScalarCopy, target_name::kAtomicAdd, target_name::kXccId, \
        target_name::kLastReleases                                              \
  }
  switch (target.generation) {
    case gpu::Generation::Cdna2:
      return KILN_KERNELS(gfx90a);
    case gpu::Generation::Cdna3:
      return KILN_KERNELS(gfx942);
    case gpu::Generation::Rdna2:
      return KILN_KERNELS(gfx1030);
    default:
      return KILN_KERNELS(gfx1100);
  }
#undef KILN_KERNELS
}

/// Products of every generation that has engines.
inline constexpr const char* kEveryChip[] = {"mi300x", "navi31", "mi210", "navi21"};

}  // namespace kiln::vgpu::testing

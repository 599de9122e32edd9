// Owns: the COMPUTE_* registers that a dispatch programs: absolute dword offsets, fields, and where
//   generations differ.
// Does not own: their values for a kernel (dispatch.*).
// Threading: constants only.
//
// Sources: Linux gc_9_4_2, gc_9_4_3, gc_10_3_0 and gc_11_0_0 offset and sh_mask headers, PAL
// gfx9_plus_merged_offset.h (gfx10 and up; of January 2018: gfx9).
#pragma once

#include "gpu/field.hpp"

// The tables below are laid out by hand: a row a field.
// clang-format off

namespace kiln::gpu::reg {

#define KILN_LIST(X)                                                                              \
  X(compute_shader_en, 0, 0, 1, 0)                                                                \
  X(partial_tg_en, 0, 1, 1, 0)                                                                    \
  X(force_start_at_000, 0, 2, 1, 0) X(ordered_append_enbl, 0, 3, 1, 0)                            \
      X(ordered_append_mode, 0, 4, 1, 0) X(use_thread_dimensions, 0, 5, 1, 0)                     \
          X(order_mode, 0, 6, 1, 0) X(scalar_l1_inv_vol, 0, 10, 1, 0)                             \
              X(vector_l1_inv_vol, 0, 11, 1, 0) X(reserved_12, 0, 12, 1, 0)                       \
                  X(tunnel_enable, 0, 13, 1, 0) X(restore, 0, 14, 1, 0) X(cs_w32_en, 0, 15, 1, 0) \
                      X(amp_shader_en, 0, 16, 1, 0) X(disable_disp_prempt_en, 0, 17, 1, 0)
KILN_REGISTER(DispatchInitiator, "COMPUTE_DISPATCH_INITIATOR", 0x2E00, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(start, 0, 0, 32, 0)
KILN_REGISTER(StartX, "COMPUTE_START_X", 0x2E04, KILN_LIST);
KILN_REGISTER(StartY, "COMPUTE_START_Y", 0x2E05, KILN_LIST);
KILN_REGISTER(StartZ, "COMPUTE_START_Z", 0x2E06, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(full, 0, 0, 16, 0) X(partial, 0, 16, 16, 0)
KILN_REGISTER(NumThreadX, "COMPUTE_NUM_THREAD_X", 0x2E07, KILN_LIST);
KILN_REGISTER(NumThreadY, "COMPUTE_NUM_THREAD_Y", 0x2E08, KILN_LIST);
KILN_REGISTER(NumThreadZ, "COMPUTE_NUM_THREAD_Z", 0x2E09, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(enable, 0, 0, 1, 0)
KILN_REGISTER(PipelinestatEnable, "COMPUTE_PIPELINESTAT_ENABLE", 0x2E0A, KILN_LIST);
KILN_REGISTER(PerfcountEnable, "COMPUTE_PERFCOUNT_ENABLE", 0x2E0B, KILN_LIST);
KILN_REGISTER(ThreadTraceEnable, "COMPUTE_THREAD_TRACE_ENABLE", 0x2E1E, KILN_LIST);
#undef KILN_LIST

// PGM and scratch addresses are stored >> 8.
#define KILN_LIST(X) X(data, 0, 0, 32, 0)
KILN_REGISTER(PgmLo, "COMPUTE_PGM_LO", 0x2E0C, KILN_LIST);
KILN_REGISTER(DispatchPktAddrLo, "COMPUTE_DISPATCH_PKT_ADDR_LO", 0x2E0E, KILN_LIST);
KILN_REGISTER(DispatchPktAddrHi, "COMPUTE_DISPATCH_PKT_ADDR_HI", 0x2E0F, KILN_LIST);
KILN_REGISTER(DispatchScratchBaseLo, "COMPUTE_DISPATCH_SCRATCH_BASE_LO", 0x2E10, KILN_LIST);
KILN_REGISTER(RestartX, "COMPUTE_RESTART_X", 0x2E1B, KILN_LIST);
KILN_REGISTER(RestartY, "COMPUTE_RESTART_Y", 0x2E1C, KILN_LIST);
KILN_REGISTER(RestartZ, "COMPUTE_RESTART_Z", 0x2E1D, KILN_LIST);
KILN_REGISTER(UserData0, "COMPUTE_USER_DATA_0", 0x2E40, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(data, 0, 0, 8, 0)
KILN_REGISTER(PgmHi, "COMPUTE_PGM_HI", 0x2E0D, KILN_LIST);
KILN_REGISTER(DispatchScratchBaseHi, "COMPUTE_DISPATCH_SCRATCH_BASE_HI", 0x2E11, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                  \
  X(vgprs, 0, 0, 6, 0)                                                                \
  X(sgprs, 0, 6, 4, 0)                                                                \
  X(priority, 0, 10, 2, 0) X(float_mode, 0, 12, 8, 0) X(priv, 0, 20, 1, 0)            \
      X(dx10_clamp, 0, 21, 1, 0) X(debug_mode, 0, 22, 1, 0) X(ieee_mode, 0, 23, 1, 0) \
          X(bulky, 0, 24, 1, 0) X(cdbg_user, 0, 25, 1, 0) X(fp16_ovfl, 0, 26, 1, 0)   \
              X(wgp_mode, 0, 29, 1, 0) X(mem_ordered, 0, 30, 1, 0) X(fwd_progress, 0, 31, 1, 0)
KILN_REGISTER(PgmRsrc1, "COMPUTE_PGM_RSRC1", 0x2E12, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                     \
  X(scratch_en, 0, 0, 1, 0)                                                              \
  X(user_sgpr, 0, 1, 5, 0)                                                               \
  X(trap_present, 0, 6, 1, 0) X(tgid_x_en, 0, 7, 1, 0) X(tgid_y_en, 0, 8, 1, 0)          \
      X(tgid_z_en, 0, 9, 1, 0) X(tg_size_en, 0, 10, 1, 0) X(tidig_comp_cnt, 0, 11, 2, 0) \
          X(excp_en_msb, 0, 13, 2, 0) X(lds_size, 0, 15, 9, 0) X(excp_en, 0, 24, 7, 0)
KILN_REGISTER(PgmRsrc2, "COMPUTE_PGM_RSRC2", 0x2E13, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                            \
  X(waves_per_sh, 0, 0, 10, 0)                                                                  \
  X(tg_per_cu, 0, 12, 4, 0)                                                                     \
  X(lock_threshold, 0, 16, 6, 0) X(simd_dest_cntl, 0, 22, 1, 0) X(force_simd_dist, 0, 23, 1, 0) \
      X(cu_group_count, 0, 24, 3, 0)
KILN_REGISTER(ResourceLimits, "COMPUTE_RESOURCE_LIMITS", 0x2E15, KILN_LIST);
#undef KILN_LIST

// WAVESIZE grew: 13 bits of 1024 bytes on gfx9 and gfx10, 15 bits of 256 bytes on gfx11.
#define KILN_LIST(X) X(waves, 0, 0, 12, 0) X(wavesize, 0, 12, 13, 0)
KILN_REGISTER(TmpringSizeGfx9, "COMPUTE_TMPRING_SIZE", 0x2E18, KILN_LIST);
#undef KILN_LIST
#define KILN_LIST(X) X(waves, 0, 0, 12, 0) X(wavesize, 0, 12, 15, 0)
KILN_REGISTER(TmpringSizeGfx11, "COMPUTE_TMPRING_SIZE", 0x2E18, KILN_LIST);
#undef KILN_LIST

// RSRC3 moved from 0x2E2D (gfx9.4) to 0x2E28 (gfx10 and up) and means something else there.
#define KILN_LIST(X)          \
  X(accum_offset, 0, 0, 6, 0) \
  X(trap_on_start, 0, 10, 1, 0) X(trap_on_end, 0, 11, 1, 0) X(tg_split, 0, 16, 1, 0)
KILN_REGISTER(PgmRsrc3Gfx9, "COMPUTE_PGM_RSRC3", 0x2E2D, KILN_LIST);
#undef KILN_LIST
#define KILN_LIST(X)             \
  X(shared_vgpr_cnt, 0, 0, 4, 0) \
  X(inst_pref_size, 0, 4, 6, 0)  \
  X(trap_on_start, 0, 10, 1, 0) X(trap_on_end, 0, 11, 1, 0) X(image_op, 0, 31, 1, 0)
KILN_REGISTER(PgmRsrc3Gfx11, "COMPUTE_PGM_RSRC3", 0x2E28, KILN_LIST);
#undef KILN_LIST

inline constexpr std::uint32_t kUserDataCount = 16;

/// gfx9.4.3: COMPUTE_STATIC_THREAD_MGMT_SE4..7 of gfx9 are CURRENT_LOGIC_XCC_ID and TG_CHUNK_SIZE
/// there; the driver sets them per XCC (kfd_mqd_manager_v9.c) and no stream may touch them.
inline constexpr std::uint32_t kForbiddenGfx942First = 0x2E25, kForbiddenGfx942Last = 0x2E28;

}  // namespace kiln::gpu::reg

// Owns: the packets of the SDMA engines 4.4 (gfx90a, gfx942), 5.2 (gfx1030) and 6.0 (gfx1100).
// Does not own: splitting copies and choosing packets (copy.*).
// Threading: constants only.
//
// Sources: Linux vega10_sdma_pkt_open.h (4.x), navi10_sdma_pkt_open.h (5.x) and
// sdma_v6_0_0_pkt_open.h, ROCr sdma_registers.h, KFDTest sdma_pkt_struct.h. The fields of 5.2 that
// Kiln sets lie where 6.0 has them.
//
// Byte counts are 22 bits wide on 4.4.2, 30 on 4.4.0 and from 5.2 on (sdma_v4_0.c
// sdma_v4_4_buffer_funcs, sdma_v4_4_2.c, sdma_v5_2.c; ROCr GpuAgent::CreateBlitSdma): the target's
// row has the limit.
#pragma once

#include "gpu/field.hpp"

// The tables below are laid out by hand: a row a field.
// clang-format off

namespace kiln::gpu::sdma {

// Count and data are body dwords to skip.
#define KILN_LIST(X) X(count, 0, 16, 14, 0)
KILN_PACKET(Nop, "NOP", Sdma, 0, 0, 1, SdmaNop, KILN_LIST);
#undef KILN_LIST

// count = bytes - 1.
#define KILN_LIST(X)                                                                         \
  X(tmz, 0, 18, 1, 0)                                                                        \
  X(broadcast, 0, 27, 1, 0)                                                                  \
  X(count, 1, 0, 30, 0) X(dst_sw, 2, 16, 2, 0) X(src_sw, 2, 24, 2, 0) X(source, 3, 0, 64, 0) \
      X(destination, 5, 0, 64, 0)
KILN_PACKET(CopyLinear4, "COPY_LINEAR", Sdma, 1, 0, 7, SdmaCopy, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                               \
  X(tmz, 0, 18, 1, 0)                                                                              \
  X(cpv, 0, 19, 1, 0)                                                                              \
  X(backwards, 0, 25, 1, 0) X(broadcast, 0, 27, 1, 0) X(count, 1, 0, 30, 0) X(dst_sw, 2, 16, 2, 0) \
      X(dst_cache_policy, 2, 18, 3, 0) X(src_sw, 2, 24, 2, 0) X(src_cache_policy, 2, 26, 3, 0)     \
          X(source, 3, 0, 64, 0) X(destination, 5, 0, 64, 0)
KILN_PACKET(CopyLinear6, "COPY_LINEAR", Sdma, 1, 0, 7, SdmaCopy, KILN_LIST);
#undef KILN_LIST

// A box of elements of 1 << element bytes; sizes and pitches are stored minus one.
#define KILN_LIST(X)                                                                              \
  X(tmz, 0, 18, 1, 0)                                                                             \
  X(element, 0, 29, 3, 0)                                                                         \
  X(source, 1, 0, 64, 2) X(src_x, 3, 0, 14, 0) X(src_y, 3, 16, 14, 0) X(src_z, 4, 0, 11, 0)       \
      X(src_pitch, 4, 13, 19, 0) X(src_slice_pitch, 5, 0, 28, 0) X(destination, 6, 0, 64, 2)      \
          X(dst_x, 8, 0, 14, 0) X(dst_y, 8, 16, 14, 0) X(dst_z, 9, 0, 11, 0)                      \
              X(dst_pitch, 9, 13, 19, 0) X(dst_slice_pitch, 10, 0, 28, 0) X(rect_x, 11, 0, 14, 0) \
                  X(rect_y, 11, 16, 14, 0) X(rect_z, 12, 0, 11, 0) X(dst_sw, 12, 16, 2, 0)        \
                      X(src_sw, 12, 24, 2, 0)
KILN_PACKET(CopyRect4, "COPY_LINEAR_SUBWIN", Sdma, 1, 4, 13, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                            \
  X(tmz, 0, 18, 1, 0)                                                                           \
  X(cpv, 0, 19, 1, 0)                                                                           \
  X(element, 0, 29, 3, 0) X(source, 1, 0, 64, 2) X(src_x, 3, 0, 14, 0) X(src_y, 3, 16, 14, 0)   \
      X(src_z, 4, 0, 13, 0) X(src_pitch, 4, 13, 19, 0) X(src_slice_pitch, 5, 0, 28, 0)          \
          X(destination, 6, 0, 64, 2) X(dst_x, 8, 0, 14, 0) X(dst_y, 8, 16, 14, 0)              \
              X(dst_z, 9, 0, 13, 0) X(dst_pitch, 9, 13, 19, 0) X(dst_slice_pitch, 10, 0, 28, 0) \
                  X(rect_x, 11, 0, 14, 0) X(rect_y, 11, 16, 14, 0) X(rect_z, 12, 0, 13, 0)      \
                      X(dst_sw, 12, 16, 2, 0) X(dst_cache_policy, 12, 18, 3, 0)                 \
                          X(src_sw, 12, 24, 2, 0) X(src_cache_policy, 12, 26, 3, 0)
KILN_PACKET(CopyRect6, "COPY_LINEAR_SUBWIN", Sdma, 1, 4, 13, Fixed, KILN_LIST);
#undef KILN_LIST

// count = dwords - 1; the data follows.
#define KILN_LIST(X) \
  X(tmz, 0, 18, 1, 0) X(destination, 1, 0, 64, 2) X(count, 3, 0, 20, 0) X(sw, 3, 24, 2, 0)
KILN_PACKET(WriteLinear4, "WRITE_LINEAR", Sdma, 2, 0, 4, SdmaData, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                   \
  X(tmz, 0, 18, 1, 0)                                                  \
  X(cpv, 0, 28, 1, 0)                                                  \
  X(destination, 1, 0, 64, 2) X(count, 3, 0, 20, 0) X(sw, 3, 24, 2, 0) \
      X(cache_policy, 3, 26, 3, 0)
KILN_PACKET(WriteLinear6, "WRITE_LINEAR", Sdma, 2, 0, 4, SdmaData, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) \
  X(vmid, 0, 16, 4, 0) X(address, 1, 0, 64, 5) X(size, 3, 0, 20, 0) X(csa, 4, 0, 64, 0)
KILN_PACKET(Indirect, "INDIRECT", Sdma, 4, 0, 6, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(address, 1, 0, 64, 2) X(data, 3, 0, 32, 0)
KILN_PACKET(Fence4, "FENCE", Sdma, 5, 0, 4, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                    \
  X(mtype, 0, 16, 3, 0)                                                                 \
  X(gcc, 0, 19, 1, 0)                                                                   \
  X(sys, 0, 20, 1, 0) X(snp, 0, 22, 1, 0) X(gpa, 0, 23, 1, 0) X(l2_policy, 0, 24, 2, 0) \
      X(llc_policy, 0, 26, 1, 0) X(cpv, 0, 28, 1, 0) X(address, 1, 0, 64, 2) X(data, 3, 0, 32, 0)
KILN_PACKET(Fence6, "FENCE", Sdma, 5, 0, 4, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(context, 1, 0, 28, 0)
KILN_PACKET(Trap, "TRAP", Sdma, 6, 0, 2, Fixed, KILN_LIST);
#undef KILN_LIST

// With mem_poll 0 and address 2^63 this is the HDP flush of user queues (sdma_registers.h).
#define KILN_LIST(X)                                                                              \
  X(hdp_flush, 0, 26, 1, 0)                                                                       \
  X(function, 0, 28, 3, 0)                                                                        \
  X(mem_poll, 0, 31, 1, 0) X(address, 1, 0, 64, 2) X(reference, 3, 0, 32, 0) X(mask, 4, 0, 32, 0) \
      X(interval, 5, 0, 16, 0) X(retry_count, 5, 16, 12, 0)
KILN_PACKET(PollRegmem4, "POLL_REGMEM", Sdma, 8, 0, 6, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                          \
  X(cache_policy, 0, 20, 3, 0)                                                \
  X(cpv, 0, 24, 1, 0)                                                         \
  X(hdp_flush, 0, 26, 1, 0) X(function, 0, 28, 3, 0) X(mem_poll, 0, 31, 1, 0) \
      X(address, 1, 0, 64, 2) X(reference, 3, 0, 32, 0) X(mask, 4, 0, 32, 0)  \
          X(interval, 5, 0, 16, 0) X(retry_count, 5, 16, 12, 0)
KILN_PACKET(PollRegmem6, "POLL_REGMEM", Sdma, 8, 0, 6, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                               \
  X(loop, 0, 16, 1, 0)                                                                             \
  X(tmz, 0, 18, 1, 0)                                                                              \
  X(atomic_op, 0, 25, 7, 0) X(address, 1, 0, 64, 2) X(source, 3, 0, 64, 0) X(compare, 5, 0, 64, 0) \
      X(loop_interval, 7, 0, 13, 0)
KILN_PACKET(Atomic4, "ATOMIC", Sdma, 10, 0, 8, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                         \
  X(loop, 0, 16, 1, 0)                                                       \
  X(tmz, 0, 18, 1, 0)                                                        \
  X(cache_policy, 0, 20, 3, 0) X(cpv, 0, 24, 1, 0) X(atomic_op, 0, 25, 7, 0) \
      X(address, 1, 0, 64, 2) X(source, 3, 0, 64, 0) X(compare, 5, 0, 64, 0) \
          X(loop_interval, 7, 0, 13, 0)
KILN_PACKET(Atomic6, "ATOMIC", Sdma, 10, 0, 8, Fixed, KILN_LIST);
#undef KILN_LIST

// count = bytes - 1 (of whole elements: bytes - 4 for dwords, which ROCr writes). fill_size 0 is
// bytes, 2 is dwords.
#define KILN_LIST(X) \
  X(sw, 0, 16, 2, 0) \
  X(fill_size, 0, 30, 2, 0) X(destination, 1, 0, 64, 0) X(data, 3, 0, 32, 0) X(count, 4, 0, 30, 0)
KILN_PACKET(ConstFill4, "CONST_FILL", Sdma, 11, 0, 5, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                             \
  X(sw, 0, 16, 2, 0)                                                                             \
  X(cache_policy, 0, 24, 3, 0)                                                                   \
  X(cpv, 0, 28, 1, 0) X(fill_size, 0, 30, 2, 0) X(destination, 1, 0, 64, 0) X(data, 3, 0, 32, 0) \
      X(count, 4, 0, 30, 0)
KILN_PACKET(ConstFill6, "CONST_FILL", Sdma, 11, 0, 5, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(address, 1, 0, 64, 3)
KILN_PACKET(TimestampGlobal4, "TIMESTAMP_GET_GLOBAL", Sdma, 13, 2, 3, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) \
  X(l2_policy, 0, 24, 2, 0) X(llc_policy, 0, 26, 1, 0) X(cpv, 0, 28, 1, 0) X(address, 1, 0, 64, 3)
KILN_PACKET(TimestampGlobal6, "TIMESTAMP_GET_GLOBAL", Sdma, 13, 2, 3, Fixed, KILN_LIST);
#undef KILN_LIST

// Sub-opcode 1 is the form for user queues (ROCr SDMA_SUBOP_USER_GCR). A zero range means all.
#define KILN_LIST(X)                                                                               \
  X(base_lo, 1, 7, 25, 0)                                                                          \
  X(base_hi, 2, 0, 16, 0)                                                                          \
  X(gli_inv, 2, 16, 2, 0) X(gl1_range, 2, 18, 2, 0) X(glm_wb, 2, 20, 1, 0) X(glm_inv, 2, 21, 1, 0) \
      X(glk_wb, 2, 22, 1, 0) X(glk_inv, 2, 23, 1, 0) X(glv_inv, 2, 24, 1, 0)                       \
          X(gl1_inv, 2, 25, 1, 0) X(gl2_us, 2, 26, 1, 0) X(gl2_range, 2, 27, 2, 0)                 \
              X(gl2_discard, 2, 29, 1, 0) X(gl2_inv, 2, 30, 1, 0) X(gl2_wb, 2, 31, 1, 0)           \
                  X(range_is_pa, 3, 0, 1, 0) X(seq, 3, 1, 2, 0) X(limit_lo, 3, 7, 25, 0)           \
                      X(limit_hi, 4, 0, 16, 0) X(vmid, 4, 24, 4, 0)
KILN_PACKET(GcrReq, "GCR_REQ", Sdma, 17, 1, 5, Fixed, KILN_LIST);
#undef KILN_LIST

/// ATOMIC operations share TC_OP numbers: ROCr's SDMA_ATOMIC_ADD64 is TC_OP_ATOMIC_ADD_RTN_64.
inline constexpr std::uint32_t kAtomicSwap64 = 39, kAtomicAdd64 = 47;
inline constexpr std::uint32_t kFillBytes = 0, kFillDwords = 2;
inline constexpr std::uint32_t kRetryForever = 0xFFF;

}  // namespace kiln::gpu::sdma

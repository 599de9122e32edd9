// Owns: the PM4 packets that the compute micro engine (MEC) takes, on gfx9, gfx10.3 and gfx11:
//   opcodes, fields and the values of selectors.
// Does not own: which packets to send when (cache, signal, dispatch, copy).
// Threading: constants only.
//
// Sources: PAL gfx9_plus_merged_f32_mec_pm4_packets.h (bit positions, gfx10 and gfx11; of January
// 2018: gfx9), KFDTest pm4_pkt_struct_ai.h and pm4_pkt_struct_nv.h, Linux soc15d.h and nvd.h (gfx9
// cache bits, PRED_EXEC).
#pragma once

#include "gpu/field.hpp"

// The tables below are laid out by hand: a row a field.
// clang-format off

namespace kiln::gpu::pm4 {

// Body dwords are ignored. It has no fields, which no macro list can say.
struct Nop {
  enum class Name : std::uint8_t {};
  static constexpr std::span<const Field> kFields{};
  static constexpr PacketInfo kInfo{"NOP", Family::Pm4, 0x10, 0, 1, Length::Pm4Tail, {}};
};

/// A one-dword NOP: count 0x3FFF means no body (Mesa sid.h, PKT3_NOP_PAD).
inline constexpr std::uint32_t kNopPad = 0xFFFF1000;
/// The most dwords one packet can hold, header included.
inline constexpr std::uint32_t kMaxPacketDwords = 0x3FFF + 1;

#define KILN_LIST(X) \
  X(dim_x, 1, 0, 32, 0) X(dim_y, 2, 0, 32, 0) X(dim_z, 3, 0, 32, 0) X(initiator, 4, 0, 32, 0)
KILN_PACKET(DispatchDirect, "DISPATCH_DIRECT", Pm4, 0x15, 0, 5, Fixed, KILN_LIST);
#undef KILN_LIST

// The MEC form holds the address itself; only the graphics form needs SET_BASE.
#define KILN_LIST(X) X(address, 1, 0, 64, 2) X(initiator, 3, 0, 32, 0)
KILN_PACKET(DispatchIndirect, "DISPATCH_INDIRECT", Pm4, 0x16, 0, 4, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                     \
  X(atomic, 1, 0, 7, 0)                                                  \
  X(command, 1, 8, 4, 0)                                                 \
  X(cache_policy, 1, 25, 2, 0)                                           \
  X(address, 2, 0, 64, 2) X(source, 4, 0, 64, 0) X(compare, 6, 0, 64, 0) \
      X(loop_interval, 8, 0, 13, 0)
KILN_PACKET(AtomicMem, "ATOMIC_MEM", Pm4, 0x1E, 0, 9, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(address, 1, 0, 64, 2) X(cache_policy, 3, 25, 2, 0) X(exec_count, 4, 0, 14, 0)
KILN_PACKET(CondExec, "COND_EXEC", Pm4, 0x22, 0, 5, Fixed, KILN_LIST);
#undef KILN_LIST

// The next exec_count dwords run only on the XCCs in the mask. Works in indirect buffers only, not
// in a ring (tinygrad ops_amd.py).
#define KILN_LIST(X) X(exec_count, 1, 0, 14, 0) X(virtual_xcc_mask, 1, 24, 8, 0)
KILN_PACKET(PredExec, "PRED_EXEC", Pm4, 0x23, 0, 2, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)        \
  X(dst_sel, 1, 8, 4, 0)    \
  X(addr_incr, 1, 16, 1, 0) \
  X(wr_confirm, 1, 20, 1, 0) X(cache_policy, 1, 25, 2, 0) X(address, 2, 0, 64, 2)
KILN_PACKET(WriteData, "WRITE_DATA", Pm4, 0x37, 0, 4, Pm4Tail, KILN_LIST);
#undef KILN_LIST

// In register space (mem_space 0) the low half of `address` is the register polled; for operation 1 it
// is the register written first, and the high half the one polled (Linux gfx_v9_0_wait_reg_mem).
#define KILN_LIST(X)                                                                    \
  X(function, 1, 0, 3, 0)                                                               \
  X(mem_space, 1, 4, 2, 0)                                                              \
  X(operation, 1, 6, 2, 0)                                                              \
  X(mes_intr_pipe, 1, 22, 2, 0) X(mes_action, 1, 24, 1, 0) X(cache_policy, 1, 25, 2, 0) \
      X(address, 2, 0, 64, 0) X(reference, 4, 0, 32, 0) X(mask, 5, 0, 32, 0)            \
          X(poll_interval, 6, 0, 16, 0) X(ace_offload, 6, 31, 1, 0)
KILN_PACKET(WaitRegMem, "WAIT_REG_MEM", Pm4, 0x3C, 0, 7, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                    \
  X(function, 1, 0, 3, 0)                                                               \
  X(mem_space, 1, 4, 2, 0)                                                              \
  X(operation, 1, 6, 2, 0)                                                              \
  X(mes_intr_pipe, 1, 22, 2, 0) X(mes_action, 1, 24, 1, 0) X(cache_policy, 1, 25, 2, 0) \
      X(address, 2, 0, 64, 3) X(reference, 4, 0, 64, 0) X(mask, 6, 0, 64, 0)            \
          X(poll_interval, 8, 0, 16, 0) X(ace_offload, 8, 31, 1, 0)
KILN_PACKET(WaitRegMem64, "WAIT_REG_MEM64", Pm4, 0x93, 0, 9, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                         \
  X(address, 1, 0, 64, 2)                                                    \
  X(size, 3, 0, 20, 0)                                                       \
  X(chain, 3, 20, 1, 0)                                                      \
  X(offload_polling, 3, 21, 1, 0) X(valid, 3, 23, 1, 0) X(vmid, 3, 24, 4, 0) \
      X(cache_policy, 3, 28, 2, 0)
KILN_PACKET(IndirectBuffer, "INDIRECT_BUFFER", Pm4, 0x3F, 0, 4, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                   \
  X(src_sel, 1, 0, 4, 0)                                                               \
  X(dst_sel, 1, 8, 4, 0)                                                               \
  X(src_cache_policy, 1, 13, 2, 0)                                                     \
  X(count_64, 1, 16, 1, 0) X(wr_confirm, 1, 20, 1, 0) X(dst_cache_policy, 1, 25, 2, 0) \
      X(pq_exe_status, 1, 29, 1, 0) X(source, 2, 0, 64, 0) X(destination, 4, 0, 64, 0)
KILN_PACKET(CopyData, "COPY_DATA", Pm4, 0x40, 0, 6, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(event_type, 1, 0, 6, 0) X(event_index, 1, 8, 4, 0)
KILN_PACKET(EventWrite, "EVENT_WRITE", Pm4, 0x46, 0, 2, Pm4Event, KILN_LIST);
#undef KILN_LIST

// gfx9: EOP_TC*_ACTION bits (soc15d.h).
#define KILN_LIST(X)                                                                         \
  X(event_type, 1, 0, 6, 0)                                                                  \
  X(event_index, 1, 8, 4, 0)                                                                 \
  X(tcl1_vol, 1, 12, 1, 0)                                                                   \
  X(tc_vol, 1, 13, 1, 0) X(tc_wb, 1, 15, 1, 0) X(tcl1, 1, 16, 1, 0) X(tc, 1, 17, 1, 0)       \
      X(tc_nc, 1, 19, 1, 0) X(tc_wc, 1, 20, 1, 0) X(tc_md, 1, 21, 1, 0)                      \
          X(cache_policy, 1, 25, 2, 0) X(pq_exe_status, 1, 28, 1, 0) X(dst_sel, 2, 16, 2, 0) \
              X(int_sel, 2, 24, 3, 0) X(data_sel, 2, 29, 3, 0) X(address, 3, 0, 64, 2)       \
                  X(data, 5, 0, 64, 0) X(int_ctxid, 7, 0, 32, 0)
KILN_PACKET(ReleaseMemGfx9, "RELEASE_MEM", Pm4, 0x49, 0, 8, Fixed, KILN_LIST);
#undef KILN_LIST

// gfx10 and gfx11: cache bits as GCR controls at 12 and up; GLK_WB, PWS and GLK_INV came with gfx11,
// and Kiln sets none of them.
#define KILN_LIST(X)                                                                              \
  X(event_type, 1, 0, 6, 0)                                                                       \
  X(wait_sync, 1, 7, 1, 0)                                                                        \
  X(event_index, 1, 8, 4, 0)                                                                      \
  X(glm_wb, 1, 12, 1, 0) X(glm_inv, 1, 13, 1, 0) X(glv_inv, 1, 14, 1, 0) X(gl1_inv, 1, 15, 1, 0)  \
      X(gl2_us, 1, 16, 1, 0) X(gl2_range, 1, 17, 2, 0) X(gl2_discard, 1, 19, 1, 0)                \
          X(gl2_inv, 1, 20, 1, 0) X(gl2_wb, 1, 21, 1, 0) X(seq, 1, 22, 2, 0)                      \
              X(glk_wb, 1, 24, 1, 0) X(cache_policy, 1, 25, 2, 0) X(pq_exe_status, 1, 28, 1, 0)   \
                  X(glk_inv, 1, 30, 1, 0) X(dst_sel, 2, 16, 2, 0) X(mes_intr_pipe, 2, 20, 2, 0)   \
                      X(mes_action, 2, 22, 2, 0) X(int_sel, 2, 24, 3, 0) X(data_sel, 2, 29, 3, 0) \
                          X(address, 3, 0, 64, 2) X(data, 5, 0, 64, 0) X(int_ctxid, 7, 0, 32, 0)
KILN_PACKET(ReleaseMemGfx11, "RELEASE_MEM", Pm4, 0x49, 0, 8, Fixed, KILN_LIST);
#undef KILN_LIST

// The engines read at most 2^26 - 1 bytes. cp_sync makes the packet complete before the next one: ROCr
// leaves it clear on compute queues (amd_gpu_agent.cpp), PAL (gfx9CmdUtil.cpp, BuildDmaData) and Mesa
// (si_cp_dma) set it there too, and a copy that is still under way would escape CS_PARTIAL_FLUSH.
#define KILN_LIST(X)                                                                          \
  X(src_cache_policy, 1, 13, 2, 0)                                                            \
  X(dst_sel, 1, 20, 2, 0)                                                                     \
  X(dst_cache_policy, 1, 25, 2, 0)                                                            \
  X(src_sel, 1, 29, 2, 0) X(cp_sync, 1, 31, 1, 0) X(source, 2, 0, 64, 0)                      \
  X(destination, 4, 0, 64, 0)                                                                 \
      X(byte_count, 6, 0, 26, 0) X(sas, 6, 26, 1, 0) X(das, 6, 27, 1, 0) X(saic, 6, 28, 1, 0) \
          X(daic, 6, 29, 1, 0) X(raw_wait, 6, 30, 1, 0) X(dis_wc, 6, 31, 1, 0)
KILN_PACKET(DmaData, "DMA_DATA", Pm4, 0x50, 0, 7, Fixed, KILN_LIST);
#undef KILN_LIST

// gfx9: six body dwords, CP_COHER_CNTL. Sizes and bases count 256 bytes; hardware uses 56 or 57
// bits of them and takes all ones in the rest (tinygrad writes 2^64 - 1).
#define KILN_LIST(X)                                                                     \
  X(tc_nc, 1, 3, 1, 0)                                                                   \
  X(tc_wc, 1, 4, 1, 0)                                                                   \
  X(tc_inv_metadata, 1, 5, 1, 0)                                                         \
  X(tcl1_vol, 1, 15, 1, 0) X(tc_wb, 1, 18, 1, 0) X(tcl1, 1, 22, 1, 0) X(tc, 1, 23, 1, 0) \
      X(kcache, 1, 27, 1, 0) X(kcache_vol, 1, 28, 1, 0) X(icache, 1, 29, 1, 0)           \
          X(kcache_wb, 1, 30, 1, 0) X(size_256, 2, 0, 64, 0) X(base_256, 4, 0, 64, 0)    \
              X(poll_interval, 6, 0, 16, 0)
KILN_PACKET(AcquireMemGfx9, "ACQUIRE_MEM", Pm4, 0x58, 0, 7, Fixed, KILN_LIST);
#undef KILN_LIST

// gfx10 and up: seven body dwords, GCR_CNTL in the last. Bit 31 of the first selects the graphics
// engine and stays zero on MEC.
#define KILN_LIST(X)                                                                             \
  X(size_256, 2, 0, 64, 0)                                                                       \
  X(base_256, 4, 0, 64, 0)                                                                       \
  X(poll_interval, 6, 0, 16, 0)                                                                  \
  X(gli_inv, 7, 0, 2, 0) X(gl1_range, 7, 2, 2, 0) X(glm_wb, 7, 4, 1, 0) X(glm_inv, 7, 5, 1, 0)   \
      X(glk_wb, 7, 6, 1, 0) X(glk_inv, 7, 7, 1, 0) X(glv_inv, 7, 8, 1, 0) X(gl1_inv, 7, 9, 1, 0) \
          X(gl2_us, 7, 10, 1, 0) X(gl2_range, 7, 11, 2, 0) X(gl2_discard, 7, 13, 1, 0)           \
              X(gl2_inv, 7, 14, 1, 0) X(gl2_wb, 7, 15, 1, 0) X(seq, 7, 16, 2, 0)                 \
                  X(range_is_pa, 7, 18, 1, 0)
KILN_PACKET(AcquireMemGfx10, "ACQUIRE_MEM", Pm4, 0x58, 0, 8, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(reg_offset, 1, 0, 16, 0) X(vmid_shift, 1, 23, 5, 0) X(index, 1, 28, 4, 0)
KILN_PACKET(SetShReg, "SET_SH_REG", Pm4, 0x76, 0, 2, Pm4Tail, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X) X(reg_offset, 1, 0, 16, 0)
KILN_PACKET(SetUconfigReg, "SET_UCONFIG_REG", Pm4, 0x79, 0, 2, Pm4Tail, KILN_LIST);
#undef KILN_LIST

inline constexpr std::uint32_t kShRegBase = 0x2C00, kShRegEnd = 0x3000;
inline constexpr std::uint32_t kUconfigRegBase = 0xC000, kUconfigRegEnd = 0x10000;
inline constexpr std::uint32_t kMaxIndirectBufferDwords = 0xFFFFF;

/// WAIT_REG_MEM function; SDMA's POLL_REGMEM uses the same numbers.
enum class Compare : std::uint8_t { Always = 0, Lt, Le, Eq, Ne, Ge, Gt };

inline constexpr std::uint32_t kMemSpaceRegister = 0, kMemSpaceMemory = 1;

inline constexpr std::uint32_t kEventCsPartialFlush = 7, kEventIndexPartialFlush = 4;
inline constexpr std::uint32_t kEventCacheFlushAndInvTs = 0x14, kEventIndexEndOfPipe = 5;

// RELEASE_MEM data_sel and int_sel (pm4_pkt_struct_ai.h).
inline constexpr std::uint32_t kDataNone = 0, kData32 = 1, kData64 = 2, kDataGpuClock = 3;
inline constexpr std::uint32_t kIntNone = 0, kIntOnly = 1, kIntAfterWriteConfirm = 2,
                               kIntNoneAfterWriteConfirm = 3;

// COPY_DATA and WRITE_DATA selectors.
inline constexpr std::uint32_t kSelRegister = 0, kSelTcL2 = 2, kSelImmediate = 5, kSelMemory = 5,
                               kSelAtomicReturn = 6, kSelGpuClock = 9;
inline constexpr std::uint32_t kCacheLru = 0, kCacheStream = 1;

// DMA_DATA selectors (amd_gpu_pm4.h; gfx9_plus_merged_enum.h).
inline constexpr std::uint32_t kDmaSrcData = 2, kDmaSrcL2 = 3, kDmaDstL2 = 3;

// ATOMIC_MEM operations: TC_OP of vega10_enum.h; 64-bit forms are 32 higher.
inline constexpr std::uint32_t kAtomicSwapRtn32 = 7, kAtomicAddRtn32 = 15, kAtomicIncRtn32 = 24,
                               kAtomicSwapRtn64 = 39, kAtomicAddRtn64 = 47;

}  // namespace kiln::gpu::pm4

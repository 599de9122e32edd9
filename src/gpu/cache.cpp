// Owns: barriers, the table of cache bits, and the join of XCCs.
// Does not own: signals (signal.*).
// Threading: functions of their arguments.
#include "gpu/cache.hpp"

#include <bit>
#include <cassert>

#include "gpu/pm4.hpp"

namespace kiln::gpu {
namespace {

constexpr std::uint64_t kAllOfMemory = (std::uint64_t{1} << 56) - 1;  // in units of 256 bytes
constexpr std::uint32_t kPollInterval = 0x0A;                         // IREE pm4_emitter.h
constexpr std::uint32_t kJoinInterval = 0x10;                         // tinygrad 1798ce7e52
constexpr std::uint32_t kJoinPoll = 0x80;
constexpr Va kSecondCounter = 256;

// gfx9. On gfx9.4.3 vector stores go through the L1 into the XCC's L2 and stay there until TC_WB;
// another XCC's L2 holds its own copy until TC (clang: buffer_wbl2 sc1 and buffer_inv sc1 at agent
// scope on gfx942). Between XCCs, agent scope therefore needs what system scope needs. TC without
// TC_WB would throw away dirty lines of other queues, so an acquire writes back as well (Mesa,
// PAL). gfx90a has one L2: agent scope stops at the L1 (clang: buffer_wbinvl1_vol), system scope
// needs the L2 written back and invalidated for memory of the host and of other GPUs (buffer_wbl2,
// buffer_invl2).
constexpr std::uint32_t kGfx9Release =
    Packet<pm4::AcquireMemGfx9>{}.set<pm4::AcquireMemGfx9::tc_wb>(1).dwords[1];
constexpr std::uint32_t kGfx9AcquireL1 = Packet<pm4::AcquireMemGfx9>{}
                                             .set<pm4::AcquireMemGfx9::tcl1>(1)
                                             .set<pm4::AcquireMemGfx9::kcache>(1)
                                             .dwords[1];
constexpr std::uint32_t kGfx9AcquireL2 = Packet<pm4::AcquireMemGfx9>{}
                                             .set<pm4::AcquireMemGfx9::tc>(1)
                                             .set<pm4::AcquireMemGfx9::tc_wb>(1)
                                             .dwords[1];
constexpr std::uint32_t kGfx9Code =
    Packet<pm4::AcquireMemGfx9>{}.set<pm4::AcquireMemGfx9::icache>(1).dwords[1];

// gfx10.3 and gfx11. One L2 for the whole device: agent scope is about the L0 vector caches (GLV),
// the L1 of a shader array and the scalar caches (GLK), all of which write through. The metadata
// cache (GLM) holds compression keys of images, which Kiln does not have.
constexpr std::uint32_t kGfx11ReleaseL2 =
    Packet<pm4::AcquireMemGfx10>{}.set<pm4::AcquireMemGfx10::gl2_wb>(1).dwords[7];
constexpr std::uint32_t kGfx11AcquireL1 = Packet<pm4::AcquireMemGfx10>{}
                                              .set<pm4::AcquireMemGfx10::glk_inv>(1)
                                              .set<pm4::AcquireMemGfx10::glv_inv>(1)
                                              .set<pm4::AcquireMemGfx10::gl1_inv>(1)
                                              .dwords[7];
constexpr std::uint32_t kGfx11AcquireL2 = Packet<pm4::AcquireMemGfx10>{}
                                              .set<pm4::AcquireMemGfx10::gl2_inv>(1)
                                              .set<pm4::AcquireMemGfx10::gl2_wb>(1)
                                              .dwords[7];
constexpr std::uint32_t kGfx11Code =
    Packet<pm4::AcquireMemGfx10>{}.set<pm4::AcquireMemGfx10::gli_inv>(1).dwords[7];

bool reaches_l2(const Target& target, Scope scope) {
  return scope == Scope::System ||
         (scope == Scope::Agent && target.cache.l2_domain == L2Domain::Xcc);
}

void put_acquire_mem(DwordWriter& writer, const Target& target, std::uint32_t bits) {
  if (bits == 0) return;
  if (target.cache.flavour == CacheFlavour::CpCoherCntl) {
    auto packet = Packet<pm4::AcquireMemGfx9>{};
    packet.set<pm4::AcquireMemGfx9::size_256>(kAllOfMemory)
        .set<pm4::AcquireMemGfx9::poll_interval>(kPollInterval);
    packet.dwords[1] = bits;
    writer.put(packet);
  } else {
    auto packet = Packet<pm4::AcquireMemGfx10>{};
    packet.set<pm4::AcquireMemGfx10::size_256>(kAllOfMemory << 1 | 1)
        .set<pm4::AcquireMemGfx10::poll_interval>(kPollInterval);
    packet.dwords[7] = bits;
    writer.put(packet);
  }
}

/// Comes back to zero when the last XCC has arrived: by the wrap of 2^32 where the count is a power
/// of two, else by the atomic's own wrap (MI300A has six XCCs).
void put_rendezvous(DwordWriter& writer, Va counter, std::uint32_t xcc_count) {
  const bool power_of_two = std::has_single_bit(xcc_count);
  writer.put(
      Packet<pm4::AtomicMem>{}
          .set<pm4::AtomicMem::atomic>(power_of_two ? pm4::kAtomicAddRtn32 : pm4::kAtomicIncRtn32)
          .set<pm4::AtomicMem::address>(counter)
          .set<pm4::AtomicMem::source>(power_of_two ? 1 : xcc_count - 1)
          .set<pm4::AtomicMem::loop_interval>(kJoinInterval));
  writer.put(Packet<pm4::WaitRegMem>{}
                 .set<pm4::WaitRegMem::function>(static_cast<std::uint32_t>(pm4::Compare::Eq))
                 .set<pm4::WaitRegMem::mem_space>(pm4::kMemSpaceMemory)
                 .set<pm4::WaitRegMem::address>(counter)
                 .set<pm4::WaitRegMem::mask>(power_of_two ? xcc_count - 1 : ~0u)
                 .set<pm4::WaitRegMem::poll_interval>(kJoinPoll));
}

}  // namespace

std::uint32_t release_bits(const Target& target, Scope scope) {
  if (!reaches_l2(target, scope)) return 0;
  return target.cache.flavour == CacheFlavour::CpCoherCntl ? kGfx9Release : kGfx11ReleaseL2;
}

std::uint32_t release_mem_bits(const Target& target, Scope scope) {
  if (!reaches_l2(target, scope)) return 0;
  return target.cache.flavour == CacheFlavour::CpCoherCntl
             ? Packet<pm4::ReleaseMemGfx9>{}.set<pm4::ReleaseMemGfx9::tc_wb>(1).dwords[1]
             : Packet<pm4::ReleaseMemGfx11>{}.set<pm4::ReleaseMemGfx11::gl2_wb>(1).dwords[1];
}

std::uint32_t acquire_bits(const Target& target, Scope scope, bool code_changed) {
  // New code came through memory that the instruction cache's parents may hold as well.
  if (code_changed && scope == Scope::None) scope = Scope::Agent;
  if (scope == Scope::None) return 0;
  const bool gfx9 = target.cache.flavour == CacheFlavour::CpCoherCntl;
  std::uint32_t bits = gfx9 ? kGfx9AcquireL1 : kGfx11AcquireL1;
  if (reaches_l2(target, scope)) bits |= gfx9 ? kGfx9AcquireL2 : kGfx11AcquireL2;
  if (code_changed) bits |= gfx9 ? kGfx9Code : kGfx11Code;
  return bits;
}

void emit_idle(DwordWriter& writer) {
  writer.put(Packet<pm4::EventWrite>{}
                 .set<pm4::EventWrite::event_type>(pm4::kEventCsPartialFlush)
                 .set<pm4::EventWrite::event_index>(pm4::kEventIndexPartialFlush));
}

void emit_idle_by_fence(DwordWriter& writer, [[maybe_unused]] const QueueContext& queue, Va fence) {
  assert(queue.xcc_count == 1 && "XCCs would share the fence");
  constexpr std::uint32_t kArrived = 1;
  // Cleared each time, so that a replay waits again.
  writer.put(Packet<pm4::WriteData>{}
                 .set<pm4::WriteData::dst_sel>(pm4::kSelMemory)
                 .set<pm4::WriteData::wr_confirm>(1)
                 .set<pm4::WriteData::address>(fence)
                 .tail(1));
  writer.put(0u);
  // The fields used here lie at the same bits on gfx9 to gfx11.
  writer.put(Packet<pm4::ReleaseMemGfx9>{}
                 .set<pm4::ReleaseMemGfx9::event_type>(pm4::kEventCacheFlushAndInvTs)
                 .set<pm4::ReleaseMemGfx9::event_index>(pm4::kEventIndexEndOfPipe)
                 .set<pm4::ReleaseMemGfx9::int_sel>(pm4::kIntNoneAfterWriteConfirm)
                 .set<pm4::ReleaseMemGfx9::data_sel>(pm4::kData32)
                 .set<pm4::ReleaseMemGfx9::address>(fence)
                 .set<pm4::ReleaseMemGfx9::data>(kArrived));
  writer.put(Packet<pm4::WaitRegMem>{}
                 .set<pm4::WaitRegMem::function>(static_cast<std::uint32_t>(pm4::Compare::Eq))
                 .set<pm4::WaitRegMem::mem_space>(pm4::kMemSpaceMemory)
                 .set<pm4::WaitRegMem::address>(fence)
                 .set<pm4::WaitRegMem::reference>(kArrived)
                 .set<pm4::WaitRegMem::mask>(~0u)
                 .set<pm4::WaitRegMem::poll_interval>(4));
}

void emit_xcc_join(DwordWriter& writer, const QueueContext& queue) {
  if (queue.xcc_count <= 1) return;
  assert(queue.join_counters != 0);
  // Two counters: an XCC that left the first cannot reach it again, in the next join, before the
  // slowest has left it too, because the second stands between.
  put_rendezvous(writer, queue.join_counters, queue.xcc_count);
  put_rendezvous(writer, queue.join_counters + kSecondCounter, queue.xcc_count);
}

void emit_barrier(DwordWriter& writer, const QueueContext& queue, const Barrier& barrier) {
  if (barrier.empty()) return;
  const Target& target = *queue.target;
  const std::uint32_t release = release_bits(target, barrier.release);
  const std::uint32_t acquire = acquire_bits(target, barrier.acquire, barrier.code_changed);
  const bool wait = barrier.execute || barrier.release != Scope::None;
  if (wait) emit_idle(writer);
  if (wait && queue.xcc_count > 1) {
    // Every XCC has written back before any goes on, and none reads before all have.
    put_acquire_mem(writer, target, release);
    emit_xcc_join(writer, queue);
    put_acquire_mem(writer, target, acquire);
  } else {
    put_acquire_mem(writer, target, release | acquire);
  }
}

}  // namespace kiln::gpu

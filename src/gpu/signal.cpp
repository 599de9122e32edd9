// Owns: signals, waits, timestamps and value writes of compute queues.
// Does not own: barriers (cache.*).
// Threading: functions of their arguments.
#include "gpu/signal.hpp"

#include <cassert>

#include "gpu/pm4.hpp"

namespace kiln::gpu {
namespace {

constexpr std::uint32_t kWaitPoll = 4;  // tinygrad ops_amd.py, IREE pm4_emitter.h
constexpr std::uint32_t kFirstXcc = 1;

/// Everything put between the constructor and end() runs on XCC 0 only.
class FirstXccOnly {
 public:
  FirstXccOnly(DwordWriter& writer, const QueueContext& queue)
      : writer_(writer), active_(queue.xcc_count > 1) {
    if (!active_) return;
    writer_.put(Packet<pm4::PredExec>{}.set<pm4::PredExec::virtual_xcc_mask>(kFirstXcc));
    body_ = writer_.position();
  }
  void end() {
    if (!active_) return;
    auto& count = writer_.at(body_ - 1);
    count |= writer_.position() - body_;
  }

 private:
  DwordWriter& writer_;
  bool active_;
  std::uint32_t body_ = 0;
};

/// End-of-pipe write. gfx9 and gfx11 agree on every field but the cache bits, which come as
/// `cache_bits`.
void put_release_mem(DwordWriter& writer, Va address, std::uint32_t data_sel, std::uint64_t data,
                     std::uint32_t int_sel, std::uint32_t context, std::uint32_t cache_bits = 0) {
  auto packet = Packet<pm4::ReleaseMemGfx9>{};
  packet.set<pm4::ReleaseMemGfx9::event_type>(pm4::kEventCacheFlushAndInvTs)
      .set<pm4::ReleaseMemGfx9::event_index>(pm4::kEventIndexEndOfPipe)
      .set<pm4::ReleaseMemGfx9::int_sel>(int_sel)
      .set<pm4::ReleaseMemGfx9::data_sel>(data_sel)
      .set<pm4::ReleaseMemGfx9::address>(address)
      .set<pm4::ReleaseMemGfx9::data>(data)
      .set<pm4::ReleaseMemGfx9::int_ctxid>(context);
  packet.dwords[1] |= cache_bits;
  writer.put(packet);
}

/// On several XCCs "all earlier work" is the work of all of them.
void wait_for_all(DwordWriter& writer, const QueueContext& queue) {
  if (queue.xcc_count <= 1) return;
  emit_idle(writer);
  emit_xcc_join(writer, queue);
}

}  // namespace

void emit_signals(DwordWriter& writer, const QueueContext& queue, Scope scope,
                  std::span<const SignalOp> signals) {
  if (signals.empty()) return;
  // An end-of-pipe write waits for its own XCC and can write back caches first; where others take
  // part, all must have done so before.
  std::uint32_t cache_bits = 0;
  if (queue.xcc_count > 1)
    emit_barrier(writer, queue, {.execute = true, .release = scope});
  else
    cache_bits = release_mem_bits(*queue.target, scope);
  FirstXccOnly first(writer, queue);
  for (const SignalOp& signal : signals) {
    put_release_mem(writer, signal.address, pm4::kData64, signal.value,
                    pm4::kIntNoneAfterWriteConfirm, 0, cache_bits);
    cache_bits = 0;
    if (signal.mailbox == 0) continue;
    // A context id of 0 is dropped from GC 9.4.1 on (kfd_int_process_v9.c); the slot must not be ~0
    // when the interrupt arrives, hence after the write's confirmation.
    assert(signal.event_id != 0);
    put_release_mem(writer, signal.mailbox, pm4::kData64, signal.event_id,
                    pm4::kIntAfterWriteConfirm, signal.event_id);
  }
  first.end();
}

void emit_wait(DwordWriter& writer, const QueueContext& queue, const WaitOp& wait) {
  // Each XCC polls for itself: none runs ahead, so no join is needed. gfx9 has no offload bit (PAL
  // 2018 PM4MEC_WAIT_REG_MEM64).
  const bool gfx9 = queue.target->cache.flavour == CacheFlavour::CpCoherCntl;
  writer.put(Packet<pm4::WaitRegMem64>{}
                 .set<pm4::WaitRegMem64::function>(static_cast<std::uint32_t>(wait.compare))
                 .set<pm4::WaitRegMem64::mem_space>(pm4::kMemSpaceMemory)
                 .set<pm4::WaitRegMem64::address>(wait.address)
                 .set<pm4::WaitRegMem64::reference>(wait.value)
                 .set<pm4::WaitRegMem64::mask>(wait.mask)
                 .set<pm4::WaitRegMem64::poll_interval>(kWaitPoll)
                 .set<pm4::WaitRegMem64::ace_offload>(gfx9 ? 0 : 1));
}

void emit_hdp_flush(DwordWriter& writer) {
  // GPU_HDP_FLUSH_REQ is written, _DONE polled: NBIO base 0xD20 + 0x106 and 0x107 on NBIO 2.3
  // (gfx1030), 4.3, 7.4 (gfx90a) and 7.9 alike (Linux nbio_2_3_offset.h, nbio_4_3_0_offset.h,
  // nbio_7_9_0_offset.h, nbio_v7_4.c with 7.4's registers at Vega's places; tinygrad ops_amd.py
  // sends the same packet, all clients' bits, on gfx942 and gfx11).
  constexpr std::uint64_t kRequest = 0xE26, kDone = 0xE27;
  writer.put(Packet<pm4::WaitRegMem>{}
                 .set<pm4::WaitRegMem::function>(static_cast<std::uint32_t>(pm4::Compare::Ge))
                 .set<pm4::WaitRegMem::mem_space>(pm4::kMemSpaceRegister)
                 .set<pm4::WaitRegMem::operation>(1)
                 .set<pm4::WaitRegMem::address>(kRequest | kDone << 32)
                 .set<pm4::WaitRegMem::reference>(0xFFFFFFFF)
                 .set<pm4::WaitRegMem::mask>(0xFFFFFFFF)
                 .set<pm4::WaitRegMem::poll_interval>(kWaitPoll));
}

void emit_timestamp(DwordWriter& writer, const QueueContext& queue, Va address, PipeStage stage) {
  if (stage == PipeStage::Bottom) {
    wait_for_all(writer, queue);
    FirstXccOnly first(writer, queue);
    put_release_mem(writer, address, pm4::kDataGpuClock, 0, pm4::kIntNoneAfterWriteConfirm, 0);
    first.end();
    return;
  }
  // gfx9 writes past the L2 with streaming policy, gfx10 and up through it (IREE
  // physical_device_capabilities.c, after aqlprofile).
  const bool gfx9 = queue.target->cache.flavour == CacheFlavour::CpCoherCntl;
  FirstXccOnly first(writer, queue);
  writer.put(Packet<pm4::CopyData>{}
                 .set<pm4::CopyData::src_sel>(pm4::kSelGpuClock)
                 .set<pm4::CopyData::dst_sel>(gfx9 ? pm4::kSelMemory : pm4::kSelTcL2)
                 .set<pm4::CopyData::src_cache_policy>(gfx9 ? pm4::kCacheStream : pm4::kCacheLru)
                 .set<pm4::CopyData::dst_cache_policy>(gfx9 ? pm4::kCacheStream : pm4::kCacheLru)
                 .set<pm4::CopyData::count_64>(1)
                 .set<pm4::CopyData::destination>(address));
  first.end();
}

void emit_write_value(DwordWriter& writer, const QueueContext& queue, const WriteOp& write) {
  if (write.stage == PipeStage::Bottom) {
    wait_for_all(writer, queue);
    FirstXccOnly first(writer, queue);
    put_release_mem(writer, write.address, write.is_64 ? pm4::kData64 : pm4::kData32, write.value,
                    pm4::kIntNoneAfterWriteConfirm, 0);
    first.end();
    return;
  }
  FirstXccOnly first(writer, queue);
  writer.put(Packet<pm4::WriteData>{}
                 .set<pm4::WriteData::dst_sel>(pm4::kSelMemory)
                 .set<pm4::WriteData::wr_confirm>(1)
                 .set<pm4::WriteData::address>(write.address)
                 .tail(write.is_64 ? 2 : 1));
  if (write.is_64)
    writer.put64(write.value);
  else
    writer.put(static_cast<std::uint32_t>(write.value));
  first.end();
}

}  // namespace kiln::gpu

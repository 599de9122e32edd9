// Owns: submissions on an AQL ring that carries PM4: one vendor packet per indirect buffer, waits
// as
//   BARRIER_VALUE packets, and a side buffer for the small streams in between.
// Does not own: the packets (gpu/).
// Threading: belongs to its queue.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/device.hpp"
#include "core/limits.hpp"
#include "core/physical_device.hpp"
#include "core/ring.hpp"
#include "gpu/aql.hpp"
#include "gpu/indirect.hpp"
#include "gpu/signal.hpp"

namespace kiln::core {
namespace {

namespace aql = gpu::aql;

constexpr std::uint64_t kSideBytes = 256 * 1024;
constexpr std::uint32_t kCounterBytes = 512;

class AqlRing final : public Ring {
 public:
  AqlRing(Device& device, kmd::HwQueue& hw, kmd::Memory side, kmd::Memory counters)
      : Ring(device, hw), side_memory_(std::move(side)), counters_(std::move(counters)) {
    ring_ = RingSpace(hw.ring_bytes / aql::kPacketBytes);
    side_ = RingSpace(kSideBytes / 4);
    context_.target = &device.target();
    context_.xcc_count = device.physical().info().xcc_count;
    context_.join_counters = counters_.address;
    // The packet processor takes a slot once its type is not INVALID.
    for (std::uint64_t i = 0; i < ring_.size(); ++i)
      slot(i)->store(static_cast<std::uint32_t>(aql::PacketType::Invalid),
                     std::memory_order_relaxed);
  }
  ~AqlRing() override {
    (void)device_.gpu().free(side_memory_);
    (void)device_.gpu().free(counters_);
  }

  Status check_size(const Plan& plan) const override {
    if (packets(plan) <= ring_.size() && side_dwords(plan) <= side_.size() / 2) return {};
    return fail(
        VK_ERROR_VALIDATION_FAILED_EXT,
        strf("one submission of %zu waits, %zu parts and %zu signals does not fit in the ring",
             plan.waits.size(), plan.parts.size(), plan.signals.size()));
  }

 protected:
  bool write_plan(const Plan& plan) override {
    const std::uint64_t most = side_dwords(plan);
    const std::uint64_t skipped = most > side_.to_end() ? side_.to_end() : 0;
    if (packets(plan) > ring_.free() || most + skipped > side_.free()) return false;
    side_.advance(skipped);

    for (const PayloadWait& wait : plan.waits) put_wait(wait);
    const gpu::Ops& ops = *device_.target().ops;
    if (has_prologue(plan))
      put_side_stream([&](gpu::DwordWriter& writer) {
        if (plan.flush_hdp) gpu::emit_hdp_flush(writer);
        if (plan.started.address != 0) ops.emit_write_value(writer, context_, plan.started);
        if (plan.scratch != nullptr) gpu::emit_scratch_base(writer, context_, *plan.scratch);
      });
    for (const StreamPart& part : plan.parts) put_indirect_buffer(part.address, part.count);
    put_side_stream([&](gpu::DwordWriter& writer) {
      ops.emit_signals(writer, context_, gpu::Scope::System, plan.signals);
    });

    hw_.write_pointer->store(ring_.head(), std::memory_order_release);
    // The doorbell holds the index of the last packet, not the count (hardware-rules: AQL ring).
    hw_.doorbell->store(ring_.head() - 1, std::memory_order_release);
    return true;
  }

 private:
  static bool has_prologue(const Plan& plan) {
    return plan.flush_hdp || plan.started.address != 0 || plan.scratch != nullptr;
  }
  static std::uint64_t packets(const Plan& plan) {
    return plan.waits.size() + plan.parts.size() + (has_prologue(plan) ? 2 : 1);
  }
  std::uint64_t side_dwords(const Plan& plan) const {
    return gpu::kHdpFlushDwords + gpu::kMaxWriteDwords +
           gpu::max_scratch_base_dwords(context_.xcc_count) +
           gpu::max_signals_dwords(static_cast<std::uint32_t>(plan.signals.size()));
  }

  std::atomic<std::uint32_t>* slot(std::uint64_t position) {
    return reinterpret_cast<std::atomic<std::uint32_t>*>(
        reinterpret_cast<std::byte*>(hw_.ring) + position % ring_.size() * aql::kPacketBytes);
  }

  /// The first dword goes in last: it makes the packet valid.
  template <class Packet>
  void put_packet(const Packet& packet) {
    static_assert(sizeof(Packet) == aql::kPacketBytes);
    std::atomic<std::uint32_t>* to = slot(ring_.head());
    std::memcpy(static_cast<void*>(to + 1), reinterpret_cast<const std::byte*>(&packet) + 4,
                aql::kPacketBytes - 4);
    std::uint32_t first;
    std::memcpy(&first, &packet, 4);
    to->store(first, std::memory_order_release);
    ring_.advance(1);
    dwords_written_ += aql::kPacketBytes / 4;
  }

  void put_wait(const PayloadWait& wait) {
    aql::BarrierValuePacket packet{};
    packet.header = aql::header(aql::PacketType::VendorSpecific, true, aql::FenceScope::System,
                                aql::FenceScope::None);
    packet.format = aql::AmdFormat::BarrierValue;
    packet.signal = wait.object;
    // Values are compared as signed numbers: timelines stay below 2^63.
    packet.value = static_cast<std::int64_t>(wait.value);
    packet.mask = -1;
    packet.condition = aql::Condition::Gte;
    put_packet(packet);
  }

  void put_indirect_buffer(kmd::Va address, std::uint32_t dwords) {
    aql::Pm4IbPacket packet{};
    packet.header = aql::header(aql::PacketType::VendorSpecific, true, aql::FenceScope::System,
                                aql::FenceScope::System);
    packet.format = aql::AmdFormat::Pm4Ib;
    std::ranges::copy(gpu::indirect_buffer(address, dwords).dwords, packet.indirect_buffer);
    packet.dwords_remaining = 10;
    put_packet(packet);
  }

  template <class Emit>
  void put_side_stream(Emit emit) {
    auto* begin = static_cast<std::uint32_t*>(side_memory_.host) + side_.offset();
    gpu::DwordWriter writer({begin, static_cast<std::size_t>(side_.to_end())});
    (void)writer.reserve(static_cast<std::uint32_t>(side_.to_end()));
    emit(writer);
    const std::uint32_t written = writer.commit();
    put_indirect_buffer(side_memory_.address + side_.offset() * 4, written);
    side_.advance(written);
    dwords_written_ += written;
  }

  kmd::Memory side_memory_, counters_;
  gpu::QueueContext context_;
};

}  // namespace

Result<std::unique_ptr<Ring>> make_aql_ring(Device& device, kmd::HwQueue& hw) {
  kmd::MemoryDesc desc;
  desc.size = kSideBytes;
  desc.heap = kmd::Heap::System;
  desc.host_visible = desc.uncached = desc.coherent = desc.executable = true;
  KILN_ASSIGN(kmd::Memory side, device.gpu().allocate(desc, {}));
  // Counters of the XCC join: VRAM, because the host bridge may not do atomics.
  desc.size = kPageBytes;
  desc.heap = kmd::Heap::Vram;
  auto counters = device.gpu().allocate(desc, {});
  if (!counters) {
    (void)device.gpu().free(side);
    return forward_error(counters);
  }
  std::memset(counters->host, 0, kCounterBytes);
  device.flush_hdp();
  return std::make_unique<AqlRing>(device, hw, std::move(side), std::move(*counters));
}

}  // namespace kiln::core

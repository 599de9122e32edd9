// Owns: submissions on an SDMA ring. Streams are copied into the ring: whether user queues may run
//   indirect buffers is not documented, and no known KFD client does it.
// Does not own: the packets (gpu/).
// Threading: belongs to its queue.
#include <cstring>

#include "core/device.hpp"
#include "core/ring.hpp"
#include "gpu/copy.hpp"

namespace kiln::core {
namespace {

class SdmaRing final : public Ring {
 public:
  SdmaRing(Device& device, kmd::HwQueue& hw) : Ring(device, hw) {
    ring_ = RingSpace(hw.ring_bytes / 4);
  }

  Status check_size(const Plan& plan) const override {
    // Half, since every piece that would wrap starts again at the ring's begin.
    if (most_dwords(plan) <= ring_.size() / 2) return {};
    return fail(
        VK_ERROR_VALIDATION_FAILED_EXT,
        strf("one submission of %llu dwords does not fit in the SDMA ring of %llu: split it",
             static_cast<unsigned long long>(most_dwords(plan)),
             static_cast<unsigned long long>(ring_.size())));
  }

 protected:
  bool write_plan(const Plan& plan) override {
    // Zero is a one-dword NOP: the tail is filled with it, so that no packet straddles the end.
    const std::uint64_t most = most_dwords(plan);
    const std::uint64_t skipped = most > ring_.to_end() ? ring_.to_end() : 0;
    if (most + skipped > ring_.free()) return false;
    std::memset(hw_.ring + ring_.offset(), 0, skipped * 4);
    ring_.advance(skipped);

    gpu::DwordWriter writer({hw_.ring + ring_.offset(), static_cast<std::size_t>(most)});
    (void)writer.reserve(static_cast<std::uint32_t>(most));
    const gpu::Target& target = device_.target();
    const gpu::SdmaOps& ops = *target.sdma_ops;
    for (const PayloadWait& wait : plan.waits)
      ops.emit_poll(writer, target, {wait.address, static_cast<std::uint32_t>(wait.value)});
    if (!plan.waits.empty()) ops.emit_acquire(writer, target);
    if (plan.flush_hdp) ops.emit_hdp_flush(writer, target);
    if (plan.started.address != 0)
      ops.emit_signal(writer, target,
                      {plan.started.address, plan.started.value, 0, 0,
                       static_cast<std::uint32_t>(plan.started.value) != 0});
    for (const StreamPart& part : plan.parts) writer.put(part.dwords, part.count);
    ops.emit_release(writer, target);
    for (const gpu::SignalOp& signal : plan.signals) ops.emit_signal(writer, target, signal);
    const std::uint32_t written = writer.commit();
    ring_.advance(written);
    dwords_written_ += written + skipped;

    // Byte counts that never wrap; packets, then the write pointer, then the doorbell.
    hw_.write_pointer->store(ring_.head() * 4, std::memory_order_release);
    hw_.doorbell->store(ring_.head() * 4, std::memory_order_release);
    return true;
  }

 private:
  std::uint64_t most_dwords(const Plan& plan) const {
    std::uint64_t dwords = plan.waits.size() * gpu::kSdmaPollDwords + 2 * gpu::kSdmaMaxGcrDwords +
                           gpu::kSdmaHdpFlushDwords +
                           (plan.signals.size() + 1) * gpu::kSdmaMaxSignalDwords;
    for (const StreamPart& part : plan.parts) dwords += part.count;
    return dwords;
  }
};

}  // namespace

std::unique_ptr<Ring> make_sdma_ring(Device& device, kmd::HwQueue& hw) {
  return std::make_unique<SdmaRing>(device, hw);
}

}  // namespace kiln::core

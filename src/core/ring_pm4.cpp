// Owns: submissions on a PM4 ring: waits, indirect buffers and signals as packets of the ring
// itself. Does not own: the packets (gpu/). Threading: belongs to its queue.
#include "core/device.hpp"
#include "core/physical_device.hpp"
#include "core/ring.hpp"
#include "gpu/indirect.hpp"
#include "gpu/signal.hpp"

namespace kiln::core {
namespace {

class Pm4Ring final : public Ring {
 public:
  Pm4Ring(Device& device, kmd::HwQueue& hw) : Ring(device, hw) {
    ring_ = RingSpace(hw.ring_bytes / 4);
    context_.target = &device.target();
    context_.xcc_count = 1;  // KFD binds a PM4 queue to one XCC (kfd_mqd_manager_v9.c)
  }

  Status check_size(const Plan& plan) const override {
    // Half, since a plan that would wrap starts again at the ring's begin.
    if (most_dwords(plan) <= ring_.size() / 2) return {};
    return fail(
        VK_ERROR_VALIDATION_FAILED_EXT,
        strf("one submission of %zu waits, %zu parts and %zu signals does not fit in the ring",
             plan.waits.size(), plan.parts.size(), plan.signals.size()));
  }

 protected:
  bool write_plan(const Plan& plan) override {
    const std::uint64_t most = most_dwords(plan);
    // A packet must not straddle the end (and PRED_EXEC-free padding is one-dword NOPs).
    const std::uint64_t skipped = most > ring_.to_end() ? ring_.to_end() : 0;
    if (most + skipped > ring_.free()) return false;
    for (std::uint64_t i = 0; i < skipped; ++i) hw_.ring[ring_.offset() + i] = gpu::pm4::kNopPad;
    ring_.advance(skipped);

    gpu::DwordWriter writer({hw_.ring + ring_.offset(), static_cast<std::size_t>(most)});
    (void)writer.reserve(static_cast<std::uint32_t>(most));
    const gpu::Ops& ops = *device_.target().ops;
    for (const PayloadWait& wait : plan.waits)
      ops.emit_wait(writer, context_, {wait.address, wait.value});
    if (plan.flush_hdp) gpu::emit_hdp_flush(writer);
    if (plan.started.address != 0) ops.emit_write_value(writer, context_, plan.started);
    if (plan.scratch != nullptr) gpu::emit_scratch_base(writer, context_, *plan.scratch);
    for (const StreamPart& part : plan.parts)
      writer.put(gpu::indirect_buffer(part.address, part.count));
    ops.emit_signals(writer, context_, gpu::Scope::System, plan.signals);
    const std::uint32_t written = writer.commit();
    ring_.advance(written);
    dwords_written_ += written + skipped;

    hw_.write_pointer->store(ring_.head(), std::memory_order_release);
    hw_.doorbell->store(ring_.head(), std::memory_order_release);
    return true;
  }

 private:
  std::uint64_t most_dwords(const Plan& plan) const {
    return plan.waits.size() * gpu::kWaitDwords + (plan.flush_hdp ? gpu::kHdpFlushDwords : 0) +
           (plan.started.address != 0 ? gpu::kMaxWriteDwords : 0) +
           (plan.scratch != nullptr ? gpu::max_scratch_base_dwords(1) : 0) +
           plan.parts.size() * gpu::kIndirectBufferDwords +
           gpu::max_signals_dwords(static_cast<std::uint32_t>(plan.signals.size()));
  }

  gpu::QueueContext context_;
};

}  // namespace

std::unique_ptr<Ring> make_pm4_ring(Device& device, kmd::HwQueue& hw) {
  return std::make_unique<Pm4Ring>(device, hw);
}

}  // namespace kiln::core

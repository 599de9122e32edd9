// Owns: a queue: taking submissions in order, choosing what the GPU may wait for and what has to be
//   held back, progress, deadlines.
// Does not own: packets and rings (ring.*), timelines (semaphore.*).
// Threading: submit() is externally synchronised; the monitor thread takes part only while
// something is
//   held back, and then under a lock. Everything else may be called from any thread.
#pragma once

#include <kiln/kiln.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "core/object.hpp"
#include "core/payload.hpp"
#include "core/ring.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

class Queue {
 public:
  static Result<std::unique_ptr<Queue>> create(Device& device,
                                               const KilnDeviceQueueCreateInfo& info,
                                               std::uint32_t which, std::uint32_t index);
  Queue(Device& device, std::uint32_t family, std::uint32_t index);
  ~Queue();
  Queue(const Queue&) = delete;

  Device& device() const { return device_; }
  std::uint32_t family() const { return family_; }
  std::uint32_t index() const { return index_; }

  Status submit(std::uint32_t count, const KilnSubmitInfo* submits);
  Result<VkResult> wait_idle();
  /// True when submission number `submission` has finished on the GPU.
  bool retired(std::uint64_t submission) const { return progress_.load() >= submission; }
  VkResult get_statistics(KilnQueueStatistics* statistics) const;
  std::string describe_progress() const;

  // For the monitor thread.
  /// Hands over what can go now; true while something is still held back.
  bool submit_deferred();
  /// Makes the device lost if the running submission is older than `limit_ns`.
  void check_deadline(std::uint64_t now_ns, std::uint64_t limit_ns);

 private:
  /// A submission on its way; with its own copies of the application's arrays.
  struct Submission {
    std::vector<KilnSemaphoreValue> waits, signals;
    std::vector<KilnCommandBuffer> buffers;
  };
  /// The same, looking at the application's arrays.
  struct View {
    std::span<const KilnSemaphoreValue> waits, signals;
    std::span<const KilnCommandBuffer> buffers;
  };
  enum class Outcome { Submitted, Defer, NoRoom };

  Status open(const KilnDeviceQueueCreateInfo& info, std::uint32_t which);
  Status check(const KilnSubmitInfo& info) const;
  Status take(const View& view);
  Result<Outcome> try_submit(const View& view);
  Outcome admit_waits(const View& view, std::uint64_t submission);
  Outcome admit_signals(const View& view);
  Result<Outcome> write_submission(const View& view, std::uint64_t submission);
  Status bind_scratch(std::uint64_t bytes_per_xcc);
  void put_scratch_into(CommandBuffer& buffer, std::uint64_t submission);
  void free_retired_scratch();
  static Submission copy_of(const View& view);
  void defer(const View& view);
  bool is_compute() const;

  Device& device_;
  std::uint32_t family_, index_;
  std::unique_ptr<kmd::HwQueue> hw_;
  std::unique_ptr<Ring> ring_;
  Payload progress_;  ///< number of the last submission that has finished
  Payload started_;   ///< and of the last whose waits were over; kept for watchdogs only
  std::atomic<std::uint64_t> submitted_{0};  ///< number of the last submission in the ring

  // Reused for every submission, so that the usual one allocates nothing.
  std::vector<PayloadWait> plan_waits_;
  std::vector<StreamPart> plan_parts_;
  std::vector<gpu::SignalOp> plan_signals_;
  std::vector<KilnSemaphoreValue> held_signals_;
  std::vector<CommandBuffer::Use> former_uses_;
  std::vector<Semaphore*> polled_;  // semaphores that know of a poll of the submission being made

  // Scratch memory of this queue's kernels. Smaller ones are kept until their users have retired.
  struct OldScratch {
    kmd::Memory memory;
    std::uint64_t last_user;
  };
  kmd::Memory scratch_{};
  gpu::ScratchBinding scratch_binding_;
  std::vector<OldScratch> old_scratch_;

  // What is held back, in order. `deferred_` is not empty exactly while `held_back_` is true.
  mutable std::mutex deferred_mutex_;
  std::deque<Submission> deferred_;
  std::atomic<bool> held_back_{false};
  std::uint64_t flushed_ = 0;  // number of the last submission that only flushes signals
  std::atomic<std::uint64_t> deferred_count_{0}, epoch_deferred_count_{0};

  std::uint64_t watched_ = 0, watched_since_ns_ = 0;  ///< monitor thread only
};

}  // namespace kiln::core

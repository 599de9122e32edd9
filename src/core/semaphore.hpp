// Owns: timeline semaphores: the payload, host signals and waits, and the bookkeeping that keeps
//   32-bit polls of DMA engines right across multiples of 2^32.
// Does not own: GPU-side waits and signals (submission in queue.*).
// Threading: every method may be called from any thread; destruction is externally synchronised.
#pragma once

#include <kiln/kiln.h>

#include <mutex>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "core/object.hpp"
#include "core/payload.hpp"

namespace kiln::core {

/// What a queue that can only compare 32 bits may do about a wait.
enum class PollAdmission { Reached, Poll, Defer };

/// What may be done with a signal now.
enum class SignalAdmission {
  Go,
  Hold,  ///< a 32-bit poll of the payload's present epoch has not retired yet
};

class Semaphore {
 public:
  static Result<Semaphore*> create(Device& device, const KilnSemaphoreCreateInfo& info,
                                   const VkAllocationCallbacks* callbacks);
  Semaphore(Device& device, Payload payload, const kmd::Memory* own_page, bool interrupts,
            std::vector<Device*> peers);
  ~Semaphore();
  Semaphore(const Semaphore&) = delete;

  Device& device() const { return device_; }
  const Payload& payload() const { return payload_; }
  bool interrupts() const { return interrupts_; }
  std::uint64_t value() const { return payload_.load(); }
  /// True if queues of `device` may use it.
  bool reaches(const Device& device) const;
  /// True once a device that uses it is lost: it may never be signalled.
  bool poisoned() const;

  Status signal_from_host(std::uint64_t value);

  /// Registers a 32-bit poll for `target` that retires with submission `submission` of `queue`,
  /// unless it is reached or would be wrong. hardware-rules: an unsigned 32-bit compare passes
  /// early when the target lies past a wrap, and hangs when the payload wraps while the poll is
  /// queued.
  PollAdmission admit_poll(std::uint64_t target, const Queue& queue, std::uint64_t submission);
  /// Takes back what admit_poll registered for a submission that was not made after all.
  void withdraw_poll(const Queue& queue, std::uint64_t submission);
  /// Asks whether `value` may be signalled by `queue` (null: the host) without leaving an epoch
  /// that a live poll looks at. Polls of `queue` itself stand in front of the signal in the same
  /// ring.
  SignalAdmission admit_signal(std::uint64_t value, const Queue* queue);
  /// The same for a signal that itself waits until the payload is in the epoch of `value`: whoever
  /// signals that waits for the polls.
  void note_signal(std::uint64_t value);
  /// Lets every poll of an older epoch than that of `value` through, by raising the payload to its
  /// epoch's end. Only when it is the turn of a held signal of `value`.
  void release_polls(std::uint64_t value);
  /// Writes `value` from the host; the payload never goes back.
  void raise(std::uint64_t value);

 private:
  /// The last poll of a queue; polls of one queue retire in order.
  struct Poll {
    const Queue* queue;
    std::uint64_t submission;
  };
  void drop_retired_polls();

  Device& device_;
  Payload payload_;
  kmd::Memory own_page_;  // with peers the payload has a page of its own
  bool has_own_page_;
  bool interrupts_;
  std::vector<Device*> peers_;

  std::mutex epoch_mutex_;
  std::vector<Poll> polls_;  // not yet known to have retired, all of one epoch; one a queue
  std::uint64_t furthest_signal_ = 0;  // highest value given to a queue across an epoch's end
};

/// kilnWaitSemaphores.
Result<VkResult> wait_semaphores(Device& device, const KilnSemaphoreWaitInfo& info,
                                 std::uint64_t timeout_ns);

}  // namespace kiln::core

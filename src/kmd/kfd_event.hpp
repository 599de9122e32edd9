// Owns: KFD's events of a process: the signal page's slots, sleeping for one, and the faults that
//   arrive as events.
// Does not own: the page's memory (kfd_process.cpp makes it), queues' error payloads
//   (kfd_queue.cpp reads them).
// Threading: everything from any thread.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "kmd/kmd.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"

namespace kiln::kmd {

/// A sleep lasts no longer, whatever is lost on the way.
inline constexpr std::uint64_t kLongestSleepNs = 200'000'000;

class EventHub {
 public:
  /// `kfd_fd` stays open as long as the hub. With `ages` KFD wakes every waiter of an event (1.14);
  /// without, one thread of the hub sleeps for all and broadcasts.
  EventHub(Os& os, int kfd_fd, bool ages) : os_(os), fd_(kfd_fd), ages_(ages) {}
  ~EventHub() = default;
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  /// Makes the process's own events; the first tells KFD the signal page, memory `page_handle` at
  /// the GPU's `page_address`. KFD fills and resets its slots (kfd_event_page_set).
  Status start(std::uint64_t page_handle, Va page_address);

  Result<Event> create();
  Status destroy(const Event& event);
  std::uint64_t age(const Event& event) const;
  Status set(const Event& event);

  /// Sleeps at most `timeout_ns` and 200 ms for `event`, a fault or a queue error of any GPU. True:
  /// something happened.
  bool wait(const Event& event, std::uint64_t age, std::uint64_t timeout_ns);

  /// Asks KFD for faults without sleeping, then tells what is known of `gpu_id`.
  FaultInfo poll_fault(std::uint32_t gpu_id);
  /// What is known, without asking.
  FaultInfo known_fault(std::uint32_t gpu_id) const;

  /// The event that a queue's save area header names (err_event_id).
  std::uint32_t error_event_id() const { return error_event_; }

  /// Devices in use; the thread without ages runs while there is one.
  void device_opened();
  void device_closed();

 private:
  Result<uapi::CreateEvent> create_kfd_event(std::uint32_t type, bool auto_reset,
                                             std::uint64_t page_handle);
  int wait_kfd(uapi::EventData* events, std::uint32_t count, std::uint32_t timeout_ms,
               bool* completed);
  bool sleep_by_age(const Event& event, std::uint64_t age, std::uint64_t timeout_ns);
  bool sleep_by_thread(std::uint64_t age, std::uint64_t timeout_ns);
  void poll();
  void note(std::uint32_t gpu_id, FaultInfo fault);
  void run_waiter(const std::stop_token& stop);
  std::size_t slot_of(const Event& event) const {
    return static_cast<std::size_t>((event.mailbox - page_address_) / 8);
  }

  Os& os_;
  const int fd_;
  const bool ages_;
  Va page_address_ = 0;
  std::uint32_t memory_event_ = 0, hardware_event_ = 0, error_event_ = 0, control_event_ = 0;

  // With ages: the last age seen of each slot, and of the error event. KFD starts at 1.
  std::array<std::atomic<std::uint64_t>, uapi::kSignalEventLimit> ages_by_slot_{};
  std::atomic<std::uint64_t> error_age_{1};

  mutable std::mutex fault_mutex_;
  std::unordered_map<std::uint32_t, FaultInfo> faults_;  // by gpu_id; 0: of every GPU
  std::atomic<bool> any_fault_{false};

  // Without ages.
  mutable std::mutex waiter_mutex_;
  std::condition_variable woken_;
  std::uint64_t broadcasts_ = 1;
  std::vector<std::uint32_t> live_;  // ids the thread sleeps for
  unsigned devices_ = 0;
  std::jthread waiter_;
};

}  // namespace kiln::kmd

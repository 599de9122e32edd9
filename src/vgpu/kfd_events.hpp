// Owns: the events of one KFD process: ids, signal page, waiting, interrupts (kfd_events.c).
// Does not own: who raises them (engines through kfd_node), the memory of the signal page.
// Threading: safe from any thread; wait() sleeps without holding the lock. Never calls out, so it
//   may be called under any lock.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "kmd/uapi/kfd_ioctl.hpp"
#include "vgpu/machine.hpp"

namespace kiln::vgpu {

class Events {
 public:
  /// What a KFD of that minor version has.
  explicit Events(std::uint32_t minor)
      : ages_(minor >= kmd::uapi::kMinorEventAge),
        most_waiters_(minor >= kmd::uapi::kMinorProfiler ? kmd::uapi::kSignalEventLimit
                                                         : kMostWaitersBefore) {}

  /// Takes user memory as the signal page (kfd_event_page_set). 0 or -errno.
  int set_page(std::byte* page, std::uint64_t bytes, std::uint64_t handle);
  bool has_page() const;
  /// The memory handle that was given with the page, 0 without: it may not be freed.
  std::uint64_t page_handle() const;
  /// File of the driver's own signal page, for mmap of the event page; -1 if there is none.
  int page_fd(std::uint64_t wanted_bytes);

  int create(kmd::uapi::CreateEvent* args);
  int destroy(std::uint32_t id);
  int set(std::uint32_t id);
  int reset(std::uint32_t id);
  int wait(kmd::uapi::WaitEvents* args);

  /// An interrupt with a context id (kfd_signal_event_interrupt).
  void interrupt(std::uint32_t context_id);
  void memory_exception(const kmd::uapi::MemoryExceptionData& data);

  /// Fails all waits and forgets all events; nothing works afterwards.
  void shut_down();

 private:
  struct Event;
  struct Waiter {
    Event* event = nullptr;  ///< null once destroyed
    bool activated = false;
    bool age_enabled = false;
  };
  struct Event {
    std::uint32_t id = 0, type = 0;
    bool auto_reset = false, signaled = false;
    std::uint64_t age = 1;  ///< 0 means "no age" to user space
    kmd::uapi::MemoryExceptionData memory{};
    kmd::uapi::HwExceptionData hardware{};
    std::vector<Waiter*> waiters;
  };

  Event* find(std::uint32_t id);
  void set_locked(Event& event);
  int create_signal_event(Event& event);
  std::uint64_t load_slot(std::uint32_t id) const;
  void store_slot(std::uint32_t id, std::uint64_t value) const;
  void signal_from_interrupt(Event& event);
  static std::uint32_t test(bool all, const std::vector<Waiter>& waiters);
  static int copy_data(const std::vector<Waiter>& waiters, std::uint64_t user_events);
  void remove(Event& event);

  /// Where an allocation of the kernel's would fail; the newest refuses more than there can be
  /// signal events (alloc_event_waiters).
  static constexpr std::uint32_t kMostWaitersBefore = 1u << 16;

  const bool ages_;
  const std::uint32_t most_waiters_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint32_t, std::unique_ptr<Event>> events_;
  std::byte* page_ = nullptr;
  std::uint64_t page_bytes_ = 0, page_handle_ = 0;
  std::unique_ptr<Region> own_page_;
  std::uint32_t signal_count_ = 1;  ///< id 0 is taken for interrupts without a context id
};

}  // namespace kiln::vgpu

// Owns: which compute queues are mapped to hardware while there are more of them than slots.
// Does not own: SDMA queues, of which the driver makes no more than fit (kfd_queue.cpp).
// Threading: any thread.
//
// The hardware scheduler maps as many queues as the command processors have slots and lets the next
// ones in when their quantum is over (KFD's runlist "over-subscription", kfd_packet_manager.c). A
// queue that waits for memory holds its slot all the same, so a waiter can keep its producer out.
// Waves of an unmapped queue run on here, where hardware would save them.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <vector>

namespace kiln::vgpu {

class QueueSlots {
 public:
  QueueSlots(std::size_t slots, std::chrono::microseconds quantum)
      : slots_(slots), quantum_(quantum) {}

  /// `queue` is only compared.
  void add(const void* queue) {
    std::lock_guard lock(mutex_);
    queues_.push_back(queue);
    crowded_.store(queues_.size() > slots_, std::memory_order_relaxed);
  }
  void remove(const void* queue) {
    std::lock_guard lock(mutex_);
    const auto found = std::find(queues_.begin(), queues_.end(), queue);
    if (found == queues_.end()) return;
    // Whoever comes next moves up.
    if (static_cast<std::size_t>(found - queues_.begin()) < first_) --first_;
    queues_.erase(found);
    if (first_ >= queues_.size()) first_ = 0;
    crowded_.store(queues_.size() > slots_, std::memory_order_relaxed);
  }
  /// Whether the queue is mapped now.
  bool holds(const void* queue) {
    if (!crowded_.load(std::memory_order_relaxed)) return true;
    std::lock_guard lock(mutex_);
    const std::size_t count = queues_.size();
    if (count <= slots_) return true;
    const Clock::time_point now = Clock::now();
    if (now - since_ >= quantum_) {
      first_ = (first_ + slots_) % count;
      since_ = now;
    }
    const auto at = static_cast<std::size_t>(std::find(queues_.begin(), queues_.end(), queue) -
                                             queues_.begin());
    return (at + count - first_) % count < slots_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  const std::size_t slots_;
  const std::chrono::microseconds quantum_;
  std::atomic<bool> crowded_{false};
  std::mutex mutex_;
  std::vector<const void*> queues_;  ///< in the order of their creation
  std::size_t first_ = 0;            ///< the first mapped one
  Clock::time_point since_ = Clock::now();
};

}  // namespace kiln::vgpu

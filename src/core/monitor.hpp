// Owns: the one helper thread of a device: it submits what queues had to hold back, writes host
// signals
//   that had to wait, and watches deadlines.
// Does not own: why something was held back (semaphore.*, queue.*).
// Threading: every method may be called from any thread. The thread starts on first need.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "core/object.hpp"

namespace kiln::core {

class Monitor {
 public:
  explicit Monitor(Device& device) : device_(device) {}
  ~Monitor();
  Monitor(const Monitor&) = delete;

  /// Starts the thread, if it does not run, and lets it look around now.
  void start();
  /// Writes `value` to `semaphore` once that is allowed (Semaphore::admit_signal).
  void signal_later(Semaphore& semaphore, std::uint64_t value);
  /// Drops what is still to be done for `semaphore`.
  void forget(const Semaphore& semaphore);

 private:
  struct HostSignal {
    Semaphore* semaphore;
    std::uint64_t value;
  };
  void run();
  bool write_host_signals();

  Device& device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<HostSignal> host_signals_;
  std::thread thread_;
  bool woken_ = false, stop_ = false;
};

}  // namespace kiln::core

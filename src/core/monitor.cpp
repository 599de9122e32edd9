#include "core/monitor.hpp"

#include <algorithm>
#include <chrono>

#include "core/device.hpp"
#include "core/host_wait.hpp"
#include "core/queue.hpp"
#include "core/semaphore.hpp"

namespace kiln::core {

using namespace std::chrono_literals;

Monitor::~Monitor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Monitor::start() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  changed_.notify_all();
}

void Monitor::signal_later(Semaphore& semaphore, std::uint64_t value) {
  {
    std::lock_guard lock(mutex_);
    host_signals_.push_back({&semaphore, value});
  }
  start();
}

void Monitor::forget(const Semaphore& semaphore) {
  std::lock_guard lock(mutex_);
  std::erase_if(host_signals_, [&](const HostSignal& s) { return s.semaphore == &semaphore; });
}

bool Monitor::write_host_signals() {
  std::lock_guard lock(mutex_);
  std::erase_if(host_signals_, [](const HostSignal& s) {
    if (s.semaphore->admit_signal(s.value, nullptr) == SignalAdmission::Hold) return false;
    s.semaphore->raise(s.value);
    return true;
  });
  return !host_signals_.empty();
}

void Monitor::run() {
  for (;;) {
    bool busy = write_host_signals();
    for (const auto& queue : device_.queues()) busy = queue->submit_deferred() || busy;
    if (device_.watchdog_ns() != 0 && !device_.lost()) {
      const std::uint64_t now = monotonic_ns();
      for (const auto& queue : device_.queues()) queue->check_deadline(now, device_.watchdog_ns());
    }
    if (busy) device_.look_for_fault();

    std::unique_lock lock(mutex_);
    if (stop_) return;
    // What is held back waits for words in memory: look often. A watchdog can take its time.
    const auto pause = busy ? std::chrono::nanoseconds(50us)
                       : device_.watchdog_ns() != 0
                           ? std::chrono::nanoseconds(std::clamp<std::uint64_t>(
                                 device_.watchdog_ns() / 8, 1'000'000, 100'000'000))
                           : std::chrono::nanoseconds(1h);
    changed_.wait_for(lock, pause, [this] { return woken_ || stop_; });
    woken_ = false;
    if (stop_) return;
  }
}

}  // namespace kiln::core

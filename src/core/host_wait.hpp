// Owns: how a host thread waits for a word in memory: a brief spin, then sleeps in the driver.
// Does not own: the conditions waited for.
// Threading: any number of threads may wait at once.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>

#include "base/result.hpp"
#include "core/device.hpp"

namespace kiln::core {

inline std::uint64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// Waits until `reached()`: VK_SUCCESS; or time is up: VK_TIMEOUT; or the device, or what
/// `poisoned()` knows, is lost: the error. With `interrupts` a sleep ends when the completion event
/// fires; a lost wake-up costs at most 200 ms, since every sleep is bounded and followed by a look.
template <class Reached, class Poisoned>
Result<VkResult> host_wait(Device& device, std::uint64_t timeout_ns, bool interrupts,
                           Reached reached, Poisoned poisoned) {
  constexpr int kSpins =
      200;  // a few microseconds: what a short kernel needs, less than a system call's sleep
  constexpr std::uint64_t kLongestSleepNs = 200'000'000;
  constexpr std::uint64_t kPollNs = 50'000;

  for (int i = 0; i < kSpins; ++i) {
    if (reached()) return VK_SUCCESS;
    if (timeout_ns == 0) break;
    __builtin_ia32_pause();
  }
  const std::uint64_t begin = monotonic_ns();
  const std::uint64_t end = timeout_ns > UINT64_MAX - begin ? UINT64_MAX : begin + timeout_ns;
  for (;;) {
    // The age is read before the condition: an event in between ends the sleep at once.
    const std::uint64_t age = device.gpu().event_age(device.completion_event());
    if (reached()) return VK_SUCCESS;
    if (device.lost() || poisoned()) {
      KILN_TRY(device.check_alive());
      return fail(VK_ERROR_DEVICE_LOST, "another device that signals this semaphore is lost");
    }
    const std::uint64_t now = monotonic_ns();
    if (now >= end) return VK_TIMEOUT;
    const std::uint64_t sleep = std::min(end - now, interrupts ? kLongestSleepNs : kPollNs);
    if (!interrupts) {
      const timespec pause{0, static_cast<long>(sleep)};
      nanosleep(&pause, nullptr);
      device.look_for_fault();
      continue;
    }
    if (device.gpu().wait(device.completion_event(), age, sleep) == kmd::WaitResult::Faulted)
      device.look_for_fault();
  }
}

}  // namespace kiln::core

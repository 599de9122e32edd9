#include "cost.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <memory>
#include <thread>

#include "allocation_count.hpp"

namespace bench {
namespace {

/// Counts one thread's system calls: a filter hands each of them to a second thread, which counts
/// it and lets it go on (seccomp_unotify(2)). That needs no privilege. Threads that the counted one
/// makes inherit the filter; their calls go on uncounted.
struct SystemCallCounter {
  std::atomic<int> listener{-1};  ///< the filter's descriptor; kRefused: there is none
  std::atomic<pid_t> thread{0};
  std::atomic<std::uint64_t> calls{0};
  static constexpr int kRefused = -2;

  /// On the thread to be counted, for the rest of its life.
  void start_here() {
    sock_filter program[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)};
    const sock_fprog filter = {1, program};
    thread = static_cast<pid_t>(syscall(SYS_gettid));
    long made = -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
      made =
          syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
    listener = made >= 0 ? static_cast<int>(made) : kRefused;
  }

  /// On the other thread, until no thread with the filter is left.
  void serve() {
    // Spinning, since from now on waking this thread would be a call that it has to let through.
    while (listener == -1) std::this_thread::yield();
    if (listener == kRefused) return;
    for (;;) {
      pollfd ready = {listener, POLLIN, 0};
      if (poll(&ready, 1, -1) < 0) continue;
      if ((ready.revents & POLLIN) != 0) {
        seccomp_notif call{};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
        if (static_cast<pid_t>(call.pid) == thread) ++calls;
        seccomp_notif_resp answer{};
        answer.id = call.id;
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
      } else if ((ready.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        break;
      }
    }
    close(listener);
  }
};

}  // namespace

Cost cost_of(std::uint32_t repeats, const std::function<void()>& operation) {
  Cost cost;
  std::exception_ptr failure;
  auto counter = std::make_shared<SystemCallCounter>();
  // Detached: threads that an operation left behind may hold the filter for as long as they live.
  std::thread([counter] { counter->serve(); }).detach();
  std::thread counted([&] {
    try {
      operation();
      counter->start_here();
      const std::uint64_t allocations = tools::allocations_of_this_thread();
      const std::uint64_t calls = counter->calls;
      for (std::uint32_t i = 0; i < repeats; ++i) operation();
      if (counter->listener >= 0)
        cost.system_calls = static_cast<double>(counter->calls - calls) / repeats;
      cost.allocations =
          static_cast<double>(tools::allocations_of_this_thread() - allocations) / repeats;
    } catch (...) {
      failure = std::current_exception();
      if (counter->listener == -1) counter->listener = SystemCallCounter::kRefused;
    }
  });
  counted.join();
  if (failure) std::rethrow_exception(failure);
  return cost;
}

}  // namespace bench

// Owns: the count of system calls and allocations that a submission makes: none.
// Does not own: the allocator's names (tools/allocation_count.cpp).
// Threading: the counted submissions run on a thread of their own, under a seccomp filter.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <atomic>
#include <thread>

#include "allocation_count.hpp"
#include "fixture.hpp"

namespace api_test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kInstrumented = true;
#else
constexpr bool kInstrumented = false;
#endif

std::atomic<int> trapped_calls{0};
std::atomic<int> last_trapped{-1};

/// seccomp(2): SECCOMP_RET_TRAP skips the call and raises SIGSYS with its number.
void on_trapped_call(int, siginfo_t* info, void*) {
  trapped_calls.fetch_add(1);
  last_trapped.store(info->si_syscall);
}

/// From now on every system call of this thread is counted and not made, but for those that a
/// thread's end and a signal handler need.
bool trap_system_calls() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigprocmask, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {static_cast<unsigned short>(std::size(program)), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

struct Cost {
  bool filtered = false;
  int system_calls = 0;
  std::uint64_t allocations = 0;
  VkResult result = VK_SUCCESS;
};

/// What `body` costs on a thread of its own.
template <class Body>
Cost cost_of(Body body) {
  struct sigaction action{};
  struct sigaction old{};
  action.sa_sigaction = &on_trapped_call;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSYS, &action, &old);
  Cost cost;
  trapped_calls = 0;
  std::thread thread([&] {
    body();  // pages touched, symbols bound
    cost.filtered = trap_system_calls();
    const std::uint64_t before = tools::allocations_of_this_thread();
    cost.result = body();
    cost.allocations = tools::allocations_of_this_thread() - before;
    cost.system_calls = trapped_calls.load();
  });
  thread.join();
  sigaction(SIGSYS, &old, nullptr);
  return cost;
}

class SubmitCost : public EachGpu {};
KILN_EACH_GPU(SubmitCost);

TEST_P(SubmitCost, TheCountersCount) {
  if (kInstrumented) GTEST_SKIP() << "a sanitizer makes calls of its own";
  const Cost cost = cost_of([] {
    syscall(SYS_getppid);
    delete new int(5);
    std::vector<int> some(100);
    return some.empty() ? VK_NOT_READY : VK_SUCCESS;
  });
  if (!cost.filtered) GTEST_SKIP() << "no seccomp here";
  EXPECT_EQ(cost.system_calls, 1);
  EXPECT_EQ(last_trapped, SYS_getppid);
  EXPECT_GE(cost.allocations, 1u);
}

TEST_P(SubmitCost, NoSystemCallAndNoAllocation) {
  if (kInstrumented) GTEST_SKIP() << "a sanitizer makes calls of its own";
  Machine machine(spec());
  Device device(machine);
  Buffer data = device.allocate(65536, kDeviceLocal),
         visible = device.allocate(4096, kDeviceVisible);
  KilnCommandBuffer compute = device.record(0), copy = device.record(1);
  dispatch(device, compute, device.probe("fill"), 4, 64, Arguments(data.address, 1u));
  device.end(compute);
  device.check(kilnCmdCopyMemory(copy, visible.address, data.address, 1024), "copying");
  device.end(copy);
  KilnSemaphore line = device.semaphore();
  std::uint64_t value = 0;
  const Cost cost = cost_of([&] {
    for (int i = 0; i < 100; ++i) {
      VkResult result =
          device.try_submit(device.compute(), {{line, value}}, {compute}, {{line, value + 1}});
      if (result != VK_SUCCESS) return result;
      result = device.try_submit(device.sdma(), {{line, value + 1}}, {copy}, {{line, value + 2}});
      if (result != VK_SUCCESS) return result;
      value += 2;
    }
    return VK_SUCCESS;
  });
  EXPECT_EQ(cost.result, VK_SUCCESS) << machine.said();
  EXPECT_EQ(cost.allocations, 0u);
  if (cost.filtered)
    EXPECT_EQ(cost.system_calls, 0) << "the last was number " << last_trapped;
  else
    RecordProperty("system_calls", "not counted: no seccomp here");
  EXPECT_EQ(device.wait(line, value), VK_SUCCESS) << machine.said();
}

}  // namespace
}  // namespace api_test

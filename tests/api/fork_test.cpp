// Owns: tests of fork: the child's devices are lost, the parent's go on.
// Does not own: anything else.
// Threading: the child has one thread.
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.hpp"

namespace api_test {
namespace {

class ForkTest : public EachGpu {};
KILN_EACH_RING(ForkTest);

TEST_P(ForkTest, TheChildsDeviceIsLostAndTheParentsIsNot) {
  Machine machine(spec());
  Device device(machine);
  Buffer buffer = device.allocate(4096, kHostCached);
  KilnSemaphore never = device.semaphore();
  ASSERT_EQ(device.run(device.compute(), device.record(0)), VK_SUCCESS);

  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Exit codes say which step failed; nothing of the parent's is destroyed.
    alarm(60);
    if (kilnGetDeviceStatus(device.handle()) != VK_ERROR_DEVICE_LOST) _exit(1);
    auto fault = make<KilnDeviceFaultInfo>(KILN_STRUCTURE_TYPE_DEVICE_FAULT_INFO);
    if (kilnGetDeviceFaultInfo(device.handle(), &fault) != VK_SUCCESS) _exit(2);
    if (fault.kind != KILN_FAULT_FORKED) _exit(3);
    if (device.try_submit(device.compute(), {}, {}, {}) != VK_ERROR_DEVICE_LOST) _exit(4);
    if (device.wait(never, 1) != VK_ERROR_DEVICE_LOST) _exit(5);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "step";

  KilnCommandBuffer commands = device.record(1);
  device.check(kilnCmdFillMemory(commands, buffer.address, 4096, 42, 4), "filling");
  EXPECT_EQ(device.run(device.sdma(), commands), VK_SUCCESS) << machine.said();
  EXPECT_EQ(words(buffer)[1023], 42u);
}

TEST_P(ForkTest, AChildMakesItsOwnInstance) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer starts no threads after a fork";
#endif
  Machine machine(spec());
  Device device(machine);
  ASSERT_EQ(device.run(device.compute(), device.record(0)), VK_SUCCESS);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);
    try {
      Machine own(spec());
      Device fresh(own);
      _exit(fresh.run(fresh.sdma(), fresh.record(1)) == VK_SUCCESS ? 0 : 1);
    } catch (...) {
      _exit(2);
    }
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "step";
}

}  // namespace
}  // namespace api_test

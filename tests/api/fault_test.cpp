// Owns: tests of lost devices: memory faults, watchdog, hung kernels, poisoned waits, destruction,
// and
//   what is said afterwards.
// Does not own: faults of one GPU among several (multi_gpu_test.cpp).
// Threading: one test waits on a second thread.
#include <thread>

#include "fixture.hpp"

namespace api_test {
namespace {

class FaultTest : public EachGpu {
 protected:
  void SetUp() override { machine_ = std::make_unique<Machine>(spec()); }

  static KilnDeviceFaultInfo fault_of(Device& device) {
    auto fault = make<KilnDeviceFaultInfo>(KILN_STRUCTURE_TYPE_DEVICE_FAULT_INFO);
    EXPECT_EQ(kilnGetDeviceFaultInfo(device.handle(), &fault), VK_SUCCESS);
    return fault;
  }
  /// Everything that may be asked of a lost device says so.
  void expect_lost(Device& device, KilnSemaphore never) {
    EXPECT_EQ(kilnGetDeviceStatus(device.handle()), VK_ERROR_DEVICE_LOST);
    EXPECT_EQ(device.wait(never, 1), VK_ERROR_DEVICE_LOST);
    EXPECT_EQ(kilnQueueWaitIdle(device.compute()), VK_ERROR_DEVICE_LOST);
    EXPECT_EQ(kilnDeviceWaitIdle(device.handle()), VK_ERROR_DEVICE_LOST);
    EXPECT_EQ(device.try_submit(device.compute(), {}, {}, {}), VK_ERROR_DEVICE_LOST);
    EXPECT_EQ(device.try_submit(device.sdma(), {}, {}, {}), VK_ERROR_DEVICE_LOST);
    EXPECT_EQ(kilnSignalSemaphore(device.handle(), never, 5), VK_ERROR_DEVICE_LOST);
    std::uint64_t value = 0;
    EXPECT_EQ(kilnGetSemaphoreCounterValue(device.handle(), never, &value), VK_ERROR_DEVICE_LOST);
    auto info = make<KilnMemoryAllocateInfo>(KILN_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
    info.size = 4096;
    KilnMemory memory = nullptr;
    EXPECT_EQ(kilnAllocateMemory(device.handle(), &info, nullptr, &memory), VK_ERROR_DEVICE_LOST);
  }
  std::unique_ptr<Machine> machine_;
};
KILN_EACH_GPU(FaultTest);

/// Freed memory in a submission: by a kernel, by a copy on the compute queue, by SDMA.
class FreedMemory : public testing::TestWithParam<std::tuple<const char*, int>> {};
std::string freed_memory_name(const testing::TestParamInfo<std::tuple<const char*, int>>& info) {
  const char* how[] = {"_kernel", "_command_processor", "_sdma"};
  return std::string(std::get<0>(info.param)) + how[std::get<1>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(Gpus, FreedMemory,
                         testing::Combine(testing::ValuesIn(kEachGpu), testing::Range(0, 3)),
                         freed_memory_name);

TEST_P(FreedMemory, LosesTheDeviceWithTheAddress) {
  const int how = std::get<1>(GetParam());
  Machine machine(std::get<0>(GetParam()));
  {
    Device device(machine);
    Buffer freed = device.allocate(65536, kDeviceLocal), kept = device.allocate(65536, kHostCached);
    const VkDeviceAddress bad = freed.address;
    KilnCommandBuffer commands = device.record(how == 2 ? 1 : 0);
    if (how == 0)
      dispatch(device, commands, device.probe("fill"), 4, 64, Arguments(bad, 1u));
    else
      device.check(kilnCmdCopyMemory(commands, bad, kept.address, 65536), "copying");
    device.end(commands);
    freed = Buffer{};
    KilnSemaphore done = device.semaphore();
    device.submit(how == 2 ? device.sdma() : device.compute(), {}, {commands}, {{done, 1}});
    EXPECT_EQ(device.wait(done, 1), VK_ERROR_DEVICE_LOST);
    const std::string said = machine.said();
    EXPECT_NE(said.find("memory fault"), std::string::npos) << said;
    EXPECT_NE(said.find("submissions finished"), std::string::npos) << said;  // what ran

    auto fault = make<KilnDeviceFaultInfo>(KILN_STRUCTURE_TYPE_DEVICE_FAULT_INFO);
    ASSERT_EQ(kilnGetDeviceFaultInfo(device.handle(), &fault), VK_SUCCESS);
    EXPECT_EQ(fault.kind, KILN_FAULT_MEMORY);
    EXPECT_GE(fault.address, bad & ~VkDeviceAddress{4095});
    EXPECT_LT(fault.address, bad + 65536);
    EXPECT_NE(std::string(fault.description).find("0x"), std::string::npos) << fault.description;
    EXPECT_EQ(kilnGetDeviceStatus(device.handle()), VK_ERROR_DEVICE_LOST);
    EXPECT_EQ(kilnResetCommandBuffer(commands), VK_SUCCESS);  // nothing is pending any more
  }  // every destroy returns
  // KFD keeps a process that faulted off the GPU (kfd_dqm_evict_pasid).
  auto info = make<KilnDeviceCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  KilnDevice again = nullptr;
  EXPECT_EQ(kilnCreateDevice(machine.gpu(), &info, nullptr, &again),
            VK_ERROR_INITIALIZATION_FAILED);
  EXPECT_EQ(again, nullptr);
  const std::string said = machine.said();
  EXPECT_NE(said.find("fault"), std::string::npos) << said;
  // Another machine is another process as far as that goes.
  Machine other(std::get<0>(GetParam()));
  Device healthy(other);
  EXPECT_EQ(healthy.run(healthy.compute(), healthy.record(0)), VK_SUCCESS) << other.said();
}

TEST_P(FaultTest, EverythingAfterAFaultSaysSo) {
  Device device(*machine_);
  KilnSemaphore never = device.semaphore();
  KilnCommandBuffer commands = device.record(0);
  dispatch(device, commands, device.probe("fill"), 1, 64, Arguments(VkDeviceAddress{0x10000}, 1u));
  device.end(commands);
  device.submit(device.compute(), {}, {commands}, {{never, 1}});
  // A submission waiting on another queue is named too.
  device.submit(device.compute(1), {{never, 1}}, {}, {});
  EXPECT_EQ(device.wait(never, 1), VK_ERROR_DEVICE_LOST);
  expect_lost(device, never);
  const KilnDeviceFaultInfo fault = fault_of(device);
  EXPECT_EQ(fault.kind, KILN_FAULT_MEMORY);
  EXPECT_EQ(fault.address & ~VkDeviceAddress{4095}, 0x10000u);
  EXPECT_NE(std::string(fault.description).find("queue 0"), std::string::npos) << fault.description;
  EXPECT_NE(std::string(fault.description).find("queue 1"), std::string::npos) << fault.description;
}

TEST_P(FaultTest, AThreadThatWaitsHearsOfTheFault) {
  Device device(*machine_);
  KilnSemaphore never = device.semaphore();
  VkResult heard = VK_SUCCESS;
  std::thread waiter([&] { heard = device.wait(never, 9); });
  KilnCommandBuffer commands = device.record(1);
  device.check(kilnCmdFillMemory(commands, 0x20000, 4096, 1, 4), "filling");
  device.end(commands);
  device.submit(device.sdma(), {}, {commands}, {});
  waiter.join();
  EXPECT_EQ(heard, VK_ERROR_DEVICE_LOST);
}

TEST_P(FaultTest, TheWatchdogFindsAnEndlessKernel) {
  Device device(*machine_, nullptr, {2, 1, 300'000'000});
  Buffer word = device.allocate(4096, kHostUncached);
  words(word)[0] = 0;
  KilnSemaphore never = device.semaphore();
  KilnCommandBuffer commands = device.record(0);
  dispatch(device, commands, device.probe("endless"), 1, 64, Arguments(word.address));
  device.end(commands);
  device.submit(device.compute(), {}, {commands}, {{never, 1}});
  EXPECT_EQ(device.wait(never, 1), VK_ERROR_DEVICE_LOST);
  const KilnDeviceFaultInfo fault = fault_of(device);
  EXPECT_EQ(fault.kind, KILN_FAULT_WATCHDOG);
  const std::string text = fault.description;
  EXPECT_NE(text.find("300 ms"), std::string::npos) << text;
  EXPECT_NE(text.find("queue 0"), std::string::npos) << text;
  expect_lost(device, never);
}

TEST_P(FaultTest, TheWatchdogLetsWaitsAndShortWorkBe) {
  constexpr std::uint64_t kLimit = 200'000'000;
  Device device(*machine_, nullptr, {2, 1, kLimit});
  KilnSemaphore gate = device.semaphore(), done = device.semaphore();
  for (KilnQueue queue : {device.compute(), device.sdma()})
    device.submit(queue, {{gate, 1}}, {}, {});
  device.submit(device.compute(1), {{gate, 1}}, {}, {{done, 1}});
  EXPECT_EQ(device.wait(done, 1, 3 * kLimit), VK_TIMEOUT);  // longer than the limit
  ASSERT_EQ(kilnGetDeviceStatus(device.handle()), VK_SUCCESS) << machine_->said();
  ASSERT_EQ(kilnSignalSemaphore(device.handle(), gate, 1), VK_SUCCESS);
  EXPECT_EQ(device.wait(done, 1), VK_SUCCESS);
  EXPECT_EQ(kilnDeviceWaitIdle(device.handle()), VK_SUCCESS) << machine_->said();
}

TEST_P(FaultTest, AHungDeviceIsDestroyedWithoutAWatchdog) {
  auto device = std::make_unique<Device>(*machine_);
  auto word = std::make_unique<Buffer>(device->allocate(4096, kHostUncached));
  words(*word)[0] = 0;
  KilnSemaphore never = device->semaphore();
  KilnCommandBuffer commands = device->record(0);
  dispatch(*device, commands, device->probe("endless"), 8, 64, Arguments(word->address));
  device->end(commands);
  device->submit(device->compute(), {}, {commands}, {{never, 1}});
  device->submit(device->sdma(), {{never, 1}}, {}, {});
  EXPECT_EQ(device->wait(never, 1, 30'000'000), VK_TIMEOUT);
  EXPECT_EQ(kilnGetDeviceStatus(device->handle()), VK_SUCCESS);
  word.reset();
  device.reset();
}

}  // namespace
}  // namespace api_test

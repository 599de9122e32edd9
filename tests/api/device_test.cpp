// Owns: tests of devices: creation with queues, status, clocks, reopening.
// Does not own: lost devices (fault_test.cpp).
// Threading: none.
#include <time.h>

#include <set>

#include "fixture.hpp"

namespace api_test {
namespace {

class DeviceTest : public EachGpu {
 protected:
  /// Makes a device with these queues and destroys it; what was said on failure.
  static std::string create(Machine& machine, const std::vector<KilnDeviceQueueCreateInfo>& queues,
                            VkResult expected) {
    auto info = make<KilnDeviceCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
    info.queueCreateInfoCount = static_cast<std::uint32_t>(queues.size());
    info.pQueueCreateInfos = queues.data();
    KilnDevice device = reinterpret_cast<KilnDevice>(1);
    EXPECT_EQ(kilnCreateDevice(machine.gpu(), &info, nullptr, &device), expected);
    if (expected == VK_SUCCESS)
      kilnDestroyDevice(device, nullptr);
    else
      EXPECT_EQ(device, nullptr);
    return machine.said();
  }
  static KilnDeviceQueueCreateInfo queues(std::uint32_t family, std::uint32_t count) {
    auto info = make<KilnDeviceQueueCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
    info.queueFamilyIndex = family;
    info.queueCount = count;
    return info;
  }
};
KILN_EACH_RING(DeviceTest);

TEST_P(DeviceTest, QueuesAreNumberedOverAllInfosOfAFamily) {
  Machine machine(spec());
  const std::vector<KilnDeviceQueueCreateInfo> infos = {queues(0, 2), queues(1, 1), queues(0, 1)};
  auto info = make<KilnDeviceCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  info.queueCreateInfoCount = 3;
  info.pQueueCreateInfos = infos.data();
  KilnDevice device = nullptr;
  ASSERT_EQ(kilnCreateDevice(machine.gpu(), &info, nullptr, &device), VK_SUCCESS) << machine.said();
  std::set<KilnQueue> distinct;
  for (std::uint32_t i = 0; i < 3; ++i) {
    KilnQueue queue = nullptr;
    kilnGetDeviceQueue(device, 0, i, &queue);
    EXPECT_NE(queue, nullptr);
    distinct.insert(queue);
  }
  KilnQueue sdma = nullptr;
  kilnGetDeviceQueue(device, 1, 0, &sdma);
  EXPECT_NE(sdma, nullptr);
  distinct.insert(sdma);
  EXPECT_EQ(distinct.size(), 4u);
  KilnQueue none = sdma;
  kilnGetDeviceQueue(device, 0, 3, &none);
  EXPECT_EQ(none, nullptr);
  none = sdma;
  kilnGetDeviceQueue(device, 7, 0, &none);
  EXPECT_EQ(none, nullptr);
  kilnDestroyDevice(device, nullptr);
}

TEST_P(DeviceTest, WithoutQueues) {
  Machine machine(spec());
  create(machine, {}, VK_SUCCESS);
}

TEST_P(DeviceTest, EveryQueueOfEveryFamilyCanBeMade) {
  Machine machine(spec());
  std::uint32_t count = 0;
  kilnGetPhysicalDeviceQueueFamilyProperties(machine.gpu(), &count, nullptr);
  std::vector<KilnQueueFamilyProperties> families(
      count, make<KilnQueueFamilyProperties>(KILN_STRUCTURE_TYPE_QUEUE_FAMILY_PROPERTIES));
  kilnGetPhysicalDeviceQueueFamilyProperties(machine.gpu(), &count, families.data());
  for (std::uint32_t family = 0; family < count; ++family) {
    const std::uint32_t most = families[family].queueCount;
    EXPECT_EQ(create(machine, {queues(family, most)}, VK_SUCCESS), "") << family;
    const std::string said =
        create(machine, {queues(family, most), queues(family, 1)}, VK_ERROR_TOO_MANY_OBJECTS);
    EXPECT_NE(said.find(std::to_string(most)), std::string::npos) << said;
  }
}

TEST_P(DeviceTest, DevicesOfAGpuShareItsComputeQueues) {
  // A queue without a slot could keep the producer it waits for out, whichever device made it.
  Machine machine(spec());
  std::uint32_t count = 1;
  auto family = make<KilnQueueFamilyProperties>(KILN_STRUCTURE_TYPE_QUEUE_FAMILY_PROPERTIES);
  kilnGetPhysicalDeviceQueueFamilyProperties(machine.gpu(), &count, &family);
  const KilnDeviceQueueCreateInfo all = queues(0, family.residentQueueCount);
  auto info = make<KilnDeviceCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &all;
  KilnDevice first = nullptr;
  ASSERT_EQ(kilnCreateDevice(machine.gpu(), &info, nullptr, &first), VK_SUCCESS);
  const std::string said = create(machine, {queues(0, 1)}, VK_ERROR_TOO_MANY_OBJECTS);
  EXPECT_NE(said.find("compute queues"), std::string::npos) << said;
  create(machine, {queues(1, 1)}, VK_SUCCESS);  // SDMA queues have a limit of their own
  kilnDestroyDevice(first, nullptr);
  create(machine, {queues(0, family.residentQueueCount)}, VK_SUCCESS);
}

TEST_P(DeviceTest, RefusesWrongQueues) {
  Machine machine(spec());
  EXPECT_NE(create(machine, {queues(9, 1)}, VK_ERROR_VALIDATION_FAILED_EXT).find("family 9"),
            std::string::npos);
  for (float bad : {-0.1f, 1.5f, __builtin_nanf("")}) {
    KilnDeviceQueueCreateInfo info = queues(0, 1);
    info.pQueuePriorities = &bad;
    EXPECT_NE(create(machine, {info}, VK_ERROR_VALIDATION_FAILED_EXT).find("priority"),
              std::string::npos);
  }
  const std::uint32_t mask = 1;
  KilnDeviceQueueCreateInfo info = queues(1, 1);
  info.cuMaskWordCount = 1;
  info.pCuMask = &mask;
  EXPECT_NE(create(machine, {info}, VK_ERROR_VALIDATION_FAILED_EXT).find("mask"),
            std::string::npos);
}

TEST_P(DeviceTest, PrioritiesAndMasksAreTaken) {
  Machine machine(spec());
  const float priorities[2] = {0.0f, 1.0f};
  const std::uint32_t mask[2] = {0xffffffff, 0xffffffff};
  KilnDeviceQueueCreateInfo info = queues(0, 2);
  info.pQueuePriorities = priorities;
  info.cuMaskWordCount = 2;
  info.pCuMask = mask;
  EXPECT_EQ(create(machine, {info}, VK_SUCCESS), "");
}

TEST_P(DeviceTest, AHealthyDeviceHasNoFault) {
  Machine machine(spec());
  Device device(machine);
  EXPECT_EQ(kilnGetDeviceStatus(device.handle()), VK_SUCCESS);
  auto fault = make<KilnDeviceFaultInfo>(KILN_STRUCTURE_TYPE_DEVICE_FAULT_INFO);
  fault.kind = KILN_FAULT_RESET;
  EXPECT_EQ(kilnGetDeviceFaultInfo(device.handle(), &fault), VK_NOT_READY);
  EXPECT_EQ(fault.kind, KILN_FAULT_NONE);
  EXPECT_EQ(kilnDeviceWaitIdle(device.handle()), VK_SUCCESS);
  EXPECT_EQ(kilnQueueWaitIdle(device.compute()), VK_SUCCESS);
}

TEST_P(DeviceTest, ClocksRunTogether) {
  Machine machine(spec());
  Device device(machine);
  std::uint64_t ticks[2], host[2], deviation[2];
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(kilnGetCalibratedTimestamps(device.handle(), &ticks[i], &host[i], &deviation[i]),
              VK_SUCCESS);
    const timespec pause{0, 20'000'000};
    nanosleep(&pause, nullptr);
  }
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::uint64_t now_ns =
      static_cast<std::uint64_t>(now.tv_sec) * kSecond + static_cast<std::uint64_t>(now.tv_nsec);
  EXPECT_LE(host[1], now_ns);
  EXPECT_LT(now_ns - host[1], 60 * kSecond);
  ASSERT_GT(ticks[1], ticks[0]);
  // 100 MHz: 10 ns a tick, within what the calls say they may be apart; clocks of a host may be
  // slewed by 500 ppm (adjtimex(2)).
  const double by_device = static_cast<double>(ticks[1] - ticks[0]) * 10;
  const double by_host = static_cast<double>(host[1] - host[0]);
  EXPECT_NEAR(by_device, by_host,
              static_cast<double>(deviation[0] + deviation[1]) + by_host * 0.001 + 20);
}

TEST_P(DeviceTest, ReopensAgainAndAgain) {
  Machine machine(spec());
  for (int i = 0; i < 10; ++i) {
    Device device(machine);
    Buffer buffer = device.allocate(4096, kHostCached);
    KilnCommandBuffer commands = device.record(i % 2);
    device.check(kilnCmdFillMemory(commands, buffer.address, 4096, 0x1234u + i, 4), "filling");
    ASSERT_EQ(device.run(device.queue(i % 2, 0), commands), VK_SUCCESS) << machine.said();
    EXPECT_EQ(words(buffer)[1023], 0x1234u + static_cast<std::uint32_t>(i));
  }
}

TEST_P(DeviceTest, TwoDevicesOnOneGpu) {
  Machine machine(spec());
  Device first(machine), second(machine);
  for (Device* device : {&first, &second}) {
    Buffer buffer = device->allocate(4096, kHostCached);
    KilnCommandBuffer commands = device->record(0);
    device->check(kilnCmdFillMemory(commands, buffer.address, 4096, 77, 4), "filling");
    ASSERT_EQ(device->run(device->compute(), commands), VK_SUCCESS) << machine.said();
    EXPECT_EQ(words(buffer)[0], 77u);
  }
}

TEST_P(DeviceTest, OlderDriversWorkToo) {
  // KFD 1.11 (Linux 6.1) knows no event ages and no RUNTIME_ENABLE.
  for (const char* version : {"kfd=1.11", "kfd=1.14", "kfd=1.18"}) {
    Machine machine(spec(version));
    if (machine.gpu_count() == 0) {
      auto unusable = make<KilnUnusableDevice>(KILN_STRUCTURE_TYPE_UNUSABLE_DEVICE);
      std::uint32_t count = 1;
      ASSERT_EQ(kilnEnumerateUnusableDevices(machine.instance(), &count, &unusable), VK_SUCCESS);
      EXPECT_NE(std::string(unusable.reason).find("1."), std::string::npos) << unusable.reason;
      continue;
    }
    Device device(machine);
    Buffer buffer = device.allocate(4096, kHostCached);
    KilnCommandBuffer commands = device.record(1);
    device.check(kilnCmdFillMemory(commands, buffer.address, 4096, 5, 4), "filling");
    ASSERT_EQ(device.run(device.sdma(), commands), VK_SUCCESS) << version << machine.said();
    EXPECT_EQ(words(buffer)[1023], 5u) << version;
  }
}

}  // namespace
}  // namespace api_test

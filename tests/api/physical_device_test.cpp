// Owns: tests of what is told about a GPU: properties, memory types, queue families, peers.
// Does not own: devices (device_test.cpp).
// Threading: none.
#include <cstring>
#include <map>
#include <string>

#include "fixture.hpp"

namespace api_test {
namespace {

KilnPhysicalDeviceProperties properties_of(KilnPhysicalDevice gpu) {
  auto properties =
      make<KilnPhysicalDeviceProperties>(KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES);
  EXPECT_EQ(kilnGetPhysicalDeviceProperties(gpu, &properties), VK_SUCCESS);
  return properties;
}

KilnPhysicalDeviceMemoryProperties memory_of(KilnPhysicalDevice gpu) {
  auto properties = make<KilnPhysicalDeviceMemoryProperties>(
      KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES);
  EXPECT_EQ(kilnGetPhysicalDeviceMemoryProperties(gpu, &properties), VK_SUCCESS);
  return properties;
}

std::vector<KilnQueueFamilyProperties> families_of(KilnPhysicalDevice gpu) {
  std::uint32_t count = 0;
  EXPECT_EQ(kilnGetPhysicalDeviceQueueFamilyProperties(gpu, &count, nullptr), VK_SUCCESS);
  std::vector<KilnQueueFamilyProperties> families(
      count, make<KilnQueueFamilyProperties>(KILN_STRUCTURE_TYPE_QUEUE_FAMILY_PROPERTIES));
  EXPECT_EQ(kilnGetPhysicalDeviceQueueFamilyProperties(gpu, &count, families.data()), VK_SUCCESS);
  return families;
}

// AMD's data sheets: CDNA3 white paper (304 CUs, 8 XCDs, 64 KiB LDS, 192 GB); RX 7900 XTX (96 CUs,
// 6 shader engines, 24 GB); Instinct MI210 (104 CUs, 64 GB); RX 6900 XT (80 CUs, 16 GB).
TEST(PhysicalDevice, Mi300xIsAsItsDataSheetSays) {
  Machine machine("mi300x");
  const KilnPhysicalDeviceProperties p = properties_of(machine.gpu());
  EXPECT_STREQ(p.targetName, "gfx942");
  EXPECT_NE(std::strstr(p.deviceName, "MI300X"), nullptr) << p.deviceName;
  EXPECT_NE(std::strstr(p.deviceName, "virtual"), nullptr) << p.deviceName;
  EXPECT_TRUE(p.isVirtual);
  EXPECT_EQ(p.vendorId, 0x1002u);
  EXPECT_EQ(p.deviceId, 0x74a1u);
  EXPECT_EQ(p.xccCount, 8u);
  EXPECT_EQ(p.computeUnitCount, 304u);
  EXPECT_EQ(p.shaderEngineCount, 32u);
  EXPECT_EQ(p.simdPerComputeUnit, 4u);
  EXPECT_EQ(p.waveSizes, 64u);
  EXPECT_EQ(p.defaultWaveSize, 64u);
  EXPECT_EQ(p.maxLdsPerWorkgroup, 65536u);
  EXPECT_EQ(p.maxEngineClockMHz, 2100u);
  EXPECT_EQ(memory_of(machine.gpu()).memoryHeaps[0].size >> 30, 191u);  // less what is reserved
}

TEST(PhysicalDevice, Rx7900XtxIsAsItsDataSheetSays) {
  Machine machine("navi31");
  const KilnPhysicalDeviceProperties p = properties_of(machine.gpu());
  EXPECT_STREQ(p.targetName, "gfx1100");
  EXPECT_NE(std::strstr(p.deviceName, "7900 XTX"), nullptr) << p.deviceName;
  EXPECT_TRUE(p.isVirtual);
  EXPECT_EQ(p.deviceId, 0x744cu);
  EXPECT_EQ(p.xccCount, 1u);
  EXPECT_EQ(p.computeUnitCount, 96u);
  EXPECT_EQ(p.shaderEngineCount, 6u);
  EXPECT_EQ(p.waveSizes, 96u);
  EXPECT_EQ(p.defaultWaveSize, 32u);
  EXPECT_EQ(p.maxLdsPerWorkgroup, 65536u);
  EXPECT_EQ(memory_of(machine.gpu()).memoryHeaps[0].size >> 30, 23u);
}

TEST(PhysicalDevice, Mi210IsAsItsDataSheetSays) {
  Machine machine("mi210");
  const KilnPhysicalDeviceProperties p = properties_of(machine.gpu());
  EXPECT_STREQ(p.targetName, "gfx90a");
  EXPECT_NE(std::strstr(p.deviceName, "MI210"), nullptr) << p.deviceName;
  EXPECT_TRUE(p.isVirtual);
  EXPECT_EQ(p.xccCount, 1u);
  EXPECT_EQ(p.computeUnitCount, 104u);
  EXPECT_EQ(p.shaderEngineCount, 8u);
  EXPECT_EQ(p.simdPerComputeUnit, 4u);
  EXPECT_EQ(p.waveSizes, 64u);
  EXPECT_EQ(p.maxLdsPerWorkgroup, 65536u);
  EXPECT_EQ(p.maxEngineClockMHz, 1700u);
  EXPECT_EQ(memory_of(machine.gpu()).memoryHeaps[0].size >> 30, 63u);
}

TEST(PhysicalDevice, Rx6900XtIsAsItsDataSheetSays) {
  Machine machine("navi21");
  const KilnPhysicalDeviceProperties p = properties_of(machine.gpu());
  EXPECT_STREQ(p.targetName, "gfx1030");
  EXPECT_NE(std::strstr(p.deviceName, "6900 XT"), nullptr) << p.deviceName;
  EXPECT_TRUE(p.isVirtual);
  EXPECT_EQ(p.xccCount, 1u);
  EXPECT_EQ(p.computeUnitCount, 80u);
  EXPECT_EQ(p.shaderEngineCount, 4u);
  EXPECT_EQ(p.waveSizes, 96u);
  EXPECT_EQ(p.defaultWaveSize, 32u);
  EXPECT_EQ(p.maxLdsPerWorkgroup, 65536u);
  EXPECT_EQ(memory_of(machine.gpu()).memoryHeaps[0].size >> 30, 15u);
}

class EachPhysicalDevice : public EachGpu {};
KILN_EACH_GPU(EachPhysicalDevice);

TEST_P(EachPhysicalDevice, LimitsAreStated) {
  Machine machine(spec());
  const KilnPhysicalDeviceProperties p = properties_of(machine.gpu());
  EXPECT_EQ(p.maxWorkgroupInvocations, 1024u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(p.maxWorkgroupSize[i], 1024u);
    EXPECT_GE(p.maxWorkgroupCount[i], 65535u);
  }
  EXPECT_EQ(p.timestampFrequencyHz, 100'000'000u);
  EXPECT_EQ(p.minMemoryAlignment, 4096u);
  EXPECT_GE(p.maxUpdateSize, 65536u);
  EXPECT_GT(p.l2CacheBytes, 1u << 20);
  EXPECT_NE(std::strstr(p.driverName, "KFD 1."), nullptr) << p.driverName;
}

TEST_P(EachPhysicalDevice, DriverVersionIsTheOneAskedFor) {
  Machine machine(spec("kfd=1.14"));
  EXPECT_STREQ(properties_of(machine.gpu()).driverName, "KFD 1.14");
}

TEST_P(EachPhysicalDevice, MemoryTypesComeInTheirOrder) {
  Machine machine(spec());
  const KilnPhysicalDeviceMemoryProperties m = memory_of(machine.gpu());
  ASSERT_EQ(m.memoryTypeCount, 4u);
  ASSERT_GE(m.memoryHeapCount, 2u);
  const VkFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                visible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,
                coherent = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  EXPECT_EQ(m.memoryTypes[kDeviceLocal].propertyFlags, local);
  EXPECT_EQ(m.memoryTypes[kDeviceVisible].propertyFlags, local | visible | coherent);
  EXPECT_EQ(m.memoryTypes[kHostCached].propertyFlags, visible | coherent | cached);
  EXPECT_EQ(m.memoryTypes[kHostUncached].propertyFlags & (local | visible | coherent | cached),
            visible | coherent);
  for (std::uint32_t i = 0; i < m.memoryTypeCount; ++i) {
    ASSERT_LT(m.memoryTypes[i].heapIndex, m.memoryHeapCount);
    EXPECT_EQ(
        (m.memoryHeaps[m.memoryTypes[i].heapIndex].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0,
        (m.memoryTypes[i].propertyFlags & local) != 0);
  }
}

TEST_P(EachPhysicalDevice, QueueFamilies) {
  Machine machine(spec());
  const auto families = families_of(machine.gpu());
  // SDMA engines, and how many more serve XGMI links (kfd_topology.c; MI300X 16 in all, MI210 5,
  // Navi 31 2, Navi 21 4).
  const std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> engines = {
      {"mi300x", {2, 14}}, {"mi210", {2, 3}}, {"navi31", {2, 0}}, {"navi21", {4, 0}}};
  const auto [plain, xgmi] = engines.at(GetParam());
  ASSERT_EQ(families.size(), xgmi > 0 ? 3u : 2u);
  EXPECT_EQ(families[0].kind, KILN_QUEUE_FAMILY_COMPUTE);
  EXPECT_EQ(families[0].queueFlags, VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT);
  EXPECT_EQ(families[1].kind, KILN_QUEUE_FAMILY_SDMA);
  EXPECT_EQ(families[1].queueFlags, static_cast<VkQueueFlags>(VK_QUEUE_TRANSFER_BIT));
  EXPECT_EQ(families[1].engineCount, plain);
  if (xgmi > 0) {
    EXPECT_EQ(families[2].kind, KILN_QUEUE_FAMILY_SDMA_XGMI);
    EXPECT_EQ(families[2].engineCount, xgmi);
  }
  for (const KilnQueueFamilyProperties& family : families) {
    EXPECT_GT(family.queueCount, 0u);
    EXPECT_LE(family.residentQueueCount, family.queueCount);
    EXPECT_EQ(family.timestampValidBits, 64u);
  }
  // Two-call enumeration.
  auto one = make<KilnQueueFamilyProperties>(KILN_STRUCTURE_TYPE_QUEUE_FAMILY_PROPERTIES);
  std::uint32_t count = 1;
  EXPECT_EQ(kilnGetPhysicalDeviceQueueFamilyProperties(machine.gpu(), &count, &one), VK_INCOMPLETE);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(one.kind, KILN_QUEUE_FAMILY_COMPUTE);
}

TEST(PhysicalDevice, TwoGpusAreToldApart) {
  Machine machine("2x mi300x");
  const KilnPhysicalDeviceProperties a = properties_of(machine.gpu(0)),
                                     b = properties_of(machine.gpu(1));
  EXPECT_NE(std::memcmp(a.deviceUuid, b.deviceUuid, VK_UUID_SIZE), 0);
  EXPECT_NE(a.pciBus, b.pciBus);
  EXPECT_STREQ(a.targetName, b.targetName);
}

TEST(PhysicalDevice, PeersByXgmi) {
  Machine machine("2x mi300x");
  auto peer = make<KilnPeerProperties>(KILN_STRUCTURE_TYPE_PEER_PROPERTIES);
  ASSERT_EQ(kilnGetPhysicalDevicePeerProperties(machine.gpu(0), machine.gpu(1), &peer), VK_SUCCESS);
  EXPECT_TRUE(peer.accessible);
  EXPECT_TRUE(peer.atomics);
  EXPECT_EQ(peer.link, KILN_LINK_XGMI);
  EXPECT_GT(peer.weight, 0u);
}

TEST(PhysicalDevice, PeersByPcie) {
  Machine machine("2x navi31");
  auto peer = make<KilnPeerProperties>(KILN_STRUCTURE_TYPE_PEER_PROPERTIES);
  ASSERT_EQ(kilnGetPhysicalDevicePeerProperties(machine.gpu(0), machine.gpu(1), &peer), VK_SUCCESS);
  EXPECT_TRUE(peer.accessible);
  EXPECT_EQ(peer.link, KILN_LINK_PCIE);
  ASSERT_EQ(kilnGetPhysicalDevicePeerProperties(machine.gpu(0), machine.gpu(0), &peer), VK_SUCCESS);
  EXPECT_TRUE(peer.accessible);  // itself, without a link
  EXPECT_TRUE(peer.atomics);
  EXPECT_EQ(peer.link, KILN_LINK_NONE);
}

}  // namespace
}  // namespace api_test

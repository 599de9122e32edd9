// Owns: tests of memory: types, alignment, mapping, address info, host import, budget, refusals.
// Does not own: copies (copy_test.cpp), memory of several GPUs (multi_gpu_test.cpp).
// Threading: none.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "fixture.hpp"

namespace api_test {
namespace {

class MemoryTest : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>(spec());
    device_ = std::make_unique<Device>(*machine_);
  }
  KilnMemoryAllocateInfo info(VkDeviceSize size, std::uint32_t type) {
    auto made = make<KilnMemoryAllocateInfo>(KILN_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
    made.size = size;
    made.memoryTypeIndex = type;
    return made;
  }
  std::string refusal(const KilnMemoryAllocateInfo& info, VkResult expected) {
    KilnMemory memory = reinterpret_cast<KilnMemory>(1);
    EXPECT_EQ(kilnAllocateMemory(device_->handle(), &info, nullptr, &memory), expected);
    EXPECT_EQ(memory, nullptr);
    return machine_->said();
  }
  /// Copies on queue family `family` and waits.
  void copy(std::uint32_t family, VkDeviceAddress to, VkDeviceAddress from, std::size_t bytes) {
    KilnCommandBuffer commands = device_->record(family);
    device_->check(kilnCmdCopyMemory(commands, to, from, bytes), "copying");
    ASSERT_EQ(device_->run(device_->queue(family, 0), commands), VK_SUCCESS) << machine_->said();
  }
  std::uint64_t budget() {
    auto made = make<KilnMemoryBudget>(KILN_STRUCTURE_TYPE_MEMORY_BUDGET);
    EXPECT_EQ(kilnGetMemoryBudget(device_->handle(), &made), VK_SUCCESS);
    return made.heapBudget[0];
  }

  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;
};
KILN_EACH_RING(MemoryTest);

TEST_P(MemoryTest, EveryTypeHoldsWhatIsWrittenIntoIt) {
  constexpr std::size_t kBytes = 12'345;
  Buffer source = device_->allocate(kBytes, kHostCached),
         back = device_->allocate(kBytes, kHostCached);
  scramble({source.host, kBytes}, 1);
  for (MemoryType type : {kDeviceLocal, kDeviceVisible, kHostCached, kHostUncached})
    for (std::uint32_t family : {0u, 1u}) {
      Buffer buffer = device_->allocate(kBytes, type);
      std::memset(back.host, 0, kBytes);
      copy(family, buffer.address, source.address, kBytes);
      if (buffer.host != nullptr) {
        EXPECT_EQ(std::memcmp(buffer.host, source.host, kBytes), 0) << type;
      }
      copy(family, back.address, buffer.address, kBytes);
      EXPECT_EQ(std::memcmp(back.host, source.host, kBytes), 0) << type << family;
    }
}

TEST_P(MemoryTest, HostWritesThroughTheApertureReachTheGpu) {
  Buffer visible = device_->allocate(65536, kDeviceVisible),
         out = device_->allocate(65536, kHostCached);
  for (std::uint32_t round = 0; round < 3; ++round) {
    scramble({visible.host, visible.size}, round);
    copy(round % 2, out.address, visible.address, visible.size);
    EXPECT_EQ(std::memcmp(out.host, visible.host, out.size), 0);
  }
}

// SR-IOV: no register page for the host to flush by, so every submission flushes from the GPU.
TEST_P(MemoryTest, WithoutAnHdpPageTheGpuFlushes) {
  Machine machine(std::string(GetParam()) + ",no-hdp-page");
  Device device(machine, machine.gpu());
  Buffer visible = device.allocate(65536, kDeviceVisible),
         out = device.allocate(65536, kHostCached);
  for (std::uint32_t family : {0u, 1u}) {
    auto cost_of_a_copy = [&](Device& on, VkDeviceAddress to, VkDeviceAddress from) {
      const std::uint64_t before = on.statistics(on.queue(family, 0)).ringDwords;
      KilnCommandBuffer commands = on.record(family);
      on.check(kilnCmdCopyMemory(commands, to, from, 4096), "copying");
      EXPECT_EQ(on.run(on.queue(family, 0), commands), VK_SUCCESS);
      return on.statistics(on.queue(family, 0)).ringDwords - before;
    };
    scramble({visible.host, visible.size}, family);
    const std::uint64_t with_packet = cost_of_a_copy(device, out.address, visible.address);
    EXPECT_EQ(std::memcmp(out.host, visible.host, 4096), 0);
    Buffer from = device_->allocate(65536, kDeviceVisible),
           to = device_->allocate(65536, kHostCached);
    EXPECT_GT(with_packet, cost_of_a_copy(*device_, to.address, from.address)) << family;
  }
}

TEST_P(MemoryTest, DeviceLocalMemoryIsNotMapped) {
  Buffer buffer = device_->allocate(4096, kDeviceLocal);
  void* host = &buffer;
  EXPECT_EQ(kilnMapMemory(device_->handle(), buffer.memory, &host), VK_ERROR_MEMORY_MAP_FAILED);
  EXPECT_EQ(host, nullptr);
  EXPECT_NE(machine_->said().find("HOST_VISIBLE"), std::string::npos);
}

TEST_P(MemoryTest, MappingAgainGivesTheSamePlace) {
  Buffer buffer = device_->allocate(4096, kHostCached);
  void* host = nullptr;
  EXPECT_EQ(kilnMapMemory(device_->handle(), buffer.memory, &host), VK_SUCCESS);
  EXPECT_EQ(host, buffer.host);
}

TEST_P(MemoryTest, AddressesAreAlignedAsAsked) {
  for (VkDeviceSize alignment :
       {VkDeviceSize{0}, VkDeviceSize{1}, VkDeviceSize{64}, VkDeviceSize{4096}, VkDeviceSize{65536},
        VkDeviceSize{2} << 20, VkDeviceSize{1} << 30})
    for (std::uint32_t type : {0u, 2u}) {
      KilnMemoryAllocateInfo wanted = info(4096, type);
      wanted.alignment = alignment;
      KilnMemory memory = nullptr;
      ASSERT_EQ(kilnAllocateMemory(device_->handle(), &wanted, nullptr, &memory), VK_SUCCESS)
          << alignment << machine_->said();
      const VkDeviceAddress address = kilnGetMemoryDeviceAddress(device_->handle(), memory);
      EXPECT_NE(address, 0u);
      EXPECT_EQ(address % std::max<VkDeviceSize>(alignment, 4096), 0u) << alignment;
      kilnFreeMemory(device_->handle(), memory, nullptr);
    }
}

TEST_P(MemoryTest, BadRequestsAreRefused) {
  EXPECT_NE(refusal(info(0, 0), VK_ERROR_VALIDATION_FAILED_EXT).find("size 0"), std::string::npos);
  EXPECT_NE(refusal(info(4096, 4), VK_ERROR_VALIDATION_FAILED_EXT).find("type 4"),
            std::string::npos);
  KilnMemoryAllocateInfo odd = info(4096, 0);
  odd.alignment = 12288;
  EXPECT_NE(refusal(odd, VK_ERROR_VALIDATION_FAILED_EXT).find("0x3000"), std::string::npos);
  EXPECT_NE(refusal(info(VkDeviceSize{1} << 60, 0), VK_ERROR_OUT_OF_DEVICE_MEMORY), "");
  // The device goes on.
  EXPECT_EQ(device_->allocate(4096, kDeviceLocal).size, 4096u);
}

TEST_P(MemoryTest, LargerThanFourGigabytes) {
  constexpr VkDeviceSize kBytes = (VkDeviceSize{5} << 30) + 4096;
  Buffer large = device_->allocate(kBytes, kDeviceLocal);
  Buffer host = device_->allocate(4096, kHostCached);
  // First and last page, and both sides of 4 GiB.
  const VkDeviceSize places[] = {0, (VkDeviceSize{4} << 30) - 4096, VkDeviceSize{4} << 30,
                                 kBytes - 4096};
  for (std::uint32_t i = 0; i < 4; ++i) {
    scramble({host.host, 4096}, 100 + i);
    copy(i % 2, large.address + places[i], host.address, 4096);
  }
  for (std::uint32_t i = 0; i < 4; ++i) {
    std::vector<std::byte> expected(4096);
    scramble(expected, 100 + i);
    copy((i + 1) % 2, host.address, large.address + places[i], 4096);
    EXPECT_EQ(std::memcmp(host.host, expected.data(), 4096), 0) << i;
  }
  auto found = make<KilnAddressInfo>(KILN_STRUCTURE_TYPE_ADDRESS_INFO);
  ASSERT_EQ(kilnGetAddressInfo(device_->handle(), large.address + places[2] + 5, &found),
            VK_SUCCESS);
  EXPECT_EQ(found.memory, large.memory);
  EXPECT_EQ(found.offset, places[2] + 5);
  EXPECT_EQ(found.size, kBytes);
}

TEST_P(MemoryTest, AddressInfo) {
  Buffer a = device_->allocate(10'000, kHostCached), b = device_->allocate(4096, kDeviceLocal);
  auto found = make<KilnAddressInfo>(KILN_STRUCTURE_TYPE_ADDRESS_INFO);
  ASSERT_EQ(kilnGetAddressInfo(device_->handle(), a.address + 9'999, &found), VK_SUCCESS);
  EXPECT_EQ(found.memory, a.memory);
  EXPECT_EQ(found.offset, 9'999u);
  EXPECT_EQ(found.size, 10'000u);
  EXPECT_EQ(found.memoryTypeIndex, static_cast<std::uint32_t>(kHostCached));
  EXPECT_EQ(found.pHostPointer, a.host + 9'999);
  ASSERT_EQ(kilnGetAddressInfo(device_->handle(), b.address, &found), VK_SUCCESS);
  EXPECT_EQ(found.memory, b.memory);
  EXPECT_EQ(found.pHostPointer, nullptr);
  EXPECT_EQ(kilnGetAddressInfo(device_->handle(), a.address + 10'000, &found), VK_ERROR_UNKNOWN);
  EXPECT_EQ(kilnGetAddressInfo(device_->handle(), 0x10, &found), VK_ERROR_UNKNOWN);
  EXPECT_NE(machine_->said().find("0x10 "), std::string::npos);
  const VkDeviceAddress gone = b.address;
  b = Buffer{};
  EXPECT_EQ(kilnGetAddressInfo(device_->handle(), gone, &found), VK_ERROR_UNKNOWN);
}

TEST_P(MemoryTest, HostMemoryIsImported) {
  constexpr std::size_t kBytes = 16 * 4096;
  void* const pages =
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  scramble({static_cast<std::byte*>(pages), kBytes}, 9);
  KilnMemoryAllocateInfo wanted = info(kBytes, kHostCached);
  wanted.pHostPointer = pages;
  KilnMemory memory = nullptr;
  ASSERT_EQ(kilnAllocateMemory(device_->handle(), &wanted, nullptr, &memory), VK_SUCCESS)
      << machine_->said();
  const VkDeviceAddress address = kilnGetMemoryDeviceAddress(device_->handle(), memory);
  Buffer other = device_->allocate(kBytes, kHostCached);
  copy(1, other.address, address, kBytes);
  EXPECT_EQ(std::memcmp(other.host, pages, kBytes), 0);
  scramble({other.host, kBytes}, 10);
  copy(0, address, other.address, kBytes);
  EXPECT_EQ(std::memcmp(other.host, pages, kBytes), 0);
  void* host = nullptr;
  EXPECT_EQ(kilnMapMemory(device_->handle(), memory, &host), VK_SUCCESS);
  EXPECT_EQ(host, pages);
  kilnFreeMemory(device_->handle(), memory, nullptr);
  EXPECT_EQ(std::memcmp(other.host, pages, kBytes), 0);  // still the application's
  munmap(pages, kBytes);
}

TEST_P(MemoryTest, HostImportRefusesWhatItCannotTake) {
  void* const pages =
      mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  KilnMemoryAllocateInfo wanted = info(4096, kHostCached);
  wanted.pHostPointer = static_cast<std::byte*>(pages) + 16;
  EXPECT_NE(refusal(wanted, VK_ERROR_INVALID_EXTERNAL_HANDLE).find("whole pages"),
            std::string::npos);
  wanted = info(100, kHostCached);
  wanted.pHostPointer = pages;
  refusal(wanted, VK_ERROR_INVALID_EXTERNAL_HANDLE);
  wanted = info(4096, kDeviceLocal);
  wanted.pHostPointer = pages;
  refusal(wanted, VK_ERROR_VALIDATION_FAILED_EXT);
  munmap(pages, 8192);
}

TEST_P(MemoryTest, BudgetFollowsAllocations) {
  const std::uint64_t before = budget();
  {
    Buffer buffer = device_->allocate(256u << 20, kDeviceLocal);
    EXPECT_LE(budget() + (256u << 20), before);
  }
  EXPECT_EQ(budget(), before);
}

TEST_P(MemoryTest, NothingIsLeftBehindByManyAllocations) {
  const std::uint64_t before = budget();
  for (int i = 0; i < 500; ++i)
    device_->allocate(4096 * (1 + i % 7), static_cast<MemoryType>(i % 4));
  EXPECT_EQ(budget(), before);
}

TEST_P(MemoryTest, ExportedAsAFile) {
  Buffer buffer = device_->allocate(65536, kDeviceLocal);
  int fd = -1;
  const VkResult result = kilnExportMemoryFd(device_->handle(), buffer.memory, &fd);
  ASSERT_EQ(result, VK_SUCCESS) << machine_->said();
  EXPECT_GE(fd, 0);
  EXPECT_EQ(close(fd), 0);
}

TEST_P(MemoryTest, ImportedHostMemoryIsNotExported) {
  void* const page =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  KilnMemoryAllocateInfo wanted = info(4096, kHostCached);
  wanted.pHostPointer = page;
  KilnMemory memory = nullptr;
  ASSERT_EQ(kilnAllocateMemory(device_->handle(), &wanted, nullptr, &memory), VK_SUCCESS);
  int fd = 0;
  EXPECT_LT(kilnExportMemoryFd(device_->handle(), memory, &fd), 0);
  EXPECT_EQ(fd, -1);
  EXPECT_NE(machine_->said(), "");
  kilnFreeMemory(device_->handle(), memory, nullptr);
  munmap(page, 4096);
}

}  // namespace
}  // namespace api_test

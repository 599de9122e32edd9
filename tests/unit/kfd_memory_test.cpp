// Owns: tests of memory over KFD: flags, addresses, mapping to several GPUs, the order of release,
//   import and export, each refusal in words.
// Does not own: queue memory (kfd_queue_test).
// Threading: none.
#include <gtest/gtest.h>

#include <cstdlib>

#include "kfd_fake_os.hpp"

namespace kiln::kmd {
namespace {

using testing::FakeOs;

constexpr unsigned kAlloc = 0x16, kFree = 0x17, kMap = 0x18, kUnmap = 0x19;

class KfdMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    os_.add_gpu(1, 11, 128, FakeOs::mi300x());
    os_.add_gpu(2, 22, 129, FakeOs::mi300x());
    kmd_ = make_kfd(os_);
    std::vector<Unusable> unusable;
    ASSERT_TRUE(kmd_->enumerate(&infos_, &unusable));
    ASSERT_EQ(infos_.size(), 2u);
    for (const GpuInfo& info : infos_) {
      auto gpu = kmd_->open(info);
      ASSERT_TRUE(gpu) << gpu.error().message;
      gpus_.push_back(std::move(*gpu));
    }
    before_ = os_.live_allocations();
    os_.clear_calls();
  }
  Gpu& gpu(std::size_t index = 0) { return *gpus_[index]; }

  FakeOs os_;
  std::unique_ptr<Kmd> kmd_;
  std::vector<GpuInfo> infos_;
  std::vector<std::unique_ptr<Gpu>> gpus_;
  std::size_t before_ = 0;
};

TEST_F(KfdMemory, FlagsOfEachKind) {
  struct Row {
    const char* name;
    MemoryDesc desc;
    std::uint32_t flags;
    bool host;
  };
  // The words that libhsakmt and tinygrad pass for the same kinds (kfd_ioctl.h bits): VRAM
  // 0xd0000001, host-visible VRAM 0xf0000001, uncached system memory 0xd6000002.
  const Row rows[] = {
      {"code in VRAM", {.size = 1, .heap = Heap::Vram, .executable = true}, 0xd0000001, false},
      {"visible VRAM",
       {.size = 1, .heap = Heap::Vram, .host_visible = true, .executable = true},
       0xf0000001,
       true},
      {"data in VRAM", {.size = 1, .heap = Heap::Vram}, 0x90000001, false},
      {"payloads",
       {.size = 1, .heap = Heap::System, .uncached = true, .executable = true},
       0xd6000002,
       true},
      {"system, cached", {.size = 1, .heap = Heap::System}, 0x90000002, true},
      {"system, coherent", {.size = 1, .heap = Heap::System, .coherent = true}, 0x94000002, true},
      {"read only", {.size = 1, .heap = Heap::System, .read_only = true}, 0x10000002, true},
  };
  for (const Row& row : rows) {
    os_.clear_calls();
    auto memory = gpu().allocate(row.desc, {});
    ASSERT_TRUE(memory) << row.name << ": " << memory.error().message;
    const auto call = os_.calls_of<uapi::AllocMemoryOfGpu>(kAlloc).at(0);
    EXPECT_EQ(call.flags, row.flags) << row.name;
    EXPECT_EQ(call.size, 4096u) << row.name;
    EXPECT_EQ(call.gpu_id, 11u);
    EXPECT_EQ(call.va_addr, memory->address);
    EXPECT_EQ(memory->host != nullptr, row.host) << row.name;
    if (memory->host != nullptr) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->host), memory->address) << row.name;
    }
    EXPECT_TRUE(gpu().free(*memory));
  }
  EXPECT_EQ(os_.live_allocations(), before_);
}

TEST_F(KfdMemory, HostMappingGoesThroughTheRenderNodeAtKfdsOffset) {
  auto memory = gpu(1).allocate({.size = 5000, .heap = Heap::System}, {});
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->size, 8192u);
  const auto& reserve = os_.mappings[os_.mappings.size() - 2];
  const auto& mapping = os_.mappings.back();
  EXPECT_EQ(reserve.protection, PROT_NONE);
  EXPECT_EQ(mapping.fd, 2129);
  EXPECT_EQ(mapping.offset, static_cast<off_t>(0x100000000 + memory->handle * 0x1000));
  EXPECT_NE(mapping.flags & MAP_FIXED, 0);
  EXPECT_NE(mapping.flags & MAP_SHARED, 0);
  EXPECT_LT(memory->address, Va{1} << 47);
}

TEST_F(KfdMemory, AlignmentIsAskedOrFollowsTheSize) {
  auto aligned = gpu().allocate({.size = 4096, .alignment = 1 << 20}, {});
  ASSERT_TRUE(aligned);
  EXPECT_EQ(aligned->address % (1 << 20), 0u);
  auto large = gpu().allocate({.size = 3u << 20}, {});
  ASSERT_TRUE(large);
  EXPECT_EQ(large->address % (2u << 20), 0u);  // whole fragments of the GPU's page tables
}

TEST_F(KfdMemory, SharingMapsToTheUnionOnce) {
  auto memory = gpu(0).allocate({.size = 4096}, {&gpu(1), &gpu(1), &gpu(0)});
  ASSERT_TRUE(memory);
  ASSERT_EQ(os_.count(kMap), 1u);
  EXPECT_EQ(os_.calls_of<uapi::MapMemoryToGpu>(kMap)[0].n_devices, 2u);
  EXPECT_TRUE(gpu(0).map_to(*memory, {&gpu(1)}));
  EXPECT_EQ(os_.count(kMap), 1u);  // it is mapped there already
  EXPECT_TRUE(gpu(0).free(*memory));
  EXPECT_EQ(os_.calls_of<uapi::MapMemoryToGpu>(kUnmap).at(0).n_devices, 2u);
}

TEST_F(KfdMemory, MappingLaterReachesTheOtherGpuOnly) {
  auto memory = gpu(0).allocate({.size = 4096}, {});
  ASSERT_TRUE(memory);
  std::vector<std::uint32_t> ids;
  os_.answers[kMap] = [&](void* argument) {
    const auto& args = *static_cast<uapi::MapMemoryToGpu*>(argument);
    const auto* array = reinterpret_cast<const std::uint32_t*>(args.device_ids_array_ptr);
    ids.assign(array, array + args.n_devices);
    return FakeOs::kDefault;
  };
  EXPECT_TRUE(gpu(0).map_to(*memory, {&gpu(1)}));
  EXPECT_EQ(ids, std::vector<std::uint32_t>{22});
}

TEST_F(KfdMemory, APartialMapIsAnErrorAndIsUndone) {
  std::uint32_t unmapped = 0;
  os_.answers[kMap] = [](void* argument) {
    static_cast<uapi::MapMemoryToGpu*>(argument)->n_success = 1;
    return -ENOMEM;
  };
  os_.answers[kUnmap] = [&](void* argument) {
    unmapped = static_cast<uapi::MapMemoryToGpu*>(argument)->n_devices;
    return FakeOs::kDefault;
  };
  auto memory = gpu(0).allocate({.size = 4096}, {&gpu(1)});
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, VK_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_NE(memory.error().message.find("1 of 2 GPUs"), std::string::npos);
  EXPECT_NE(memory.error().message.find("GPU id 22"), std::string::npos);
  EXPECT_EQ(unmapped, 1u);  // only where it had been mapped
  EXPECT_EQ(os_.live_allocations(), before_);
}

TEST_F(KfdMemory, AShortCountWithoutErrorIsStillAnError) {
  os_.answers[kMap] = [](void* argument) {
    static_cast<uapi::MapMemoryToGpu*>(argument)->n_success = 0;
    return 0;
  };
  EXPECT_FALSE(gpu(0).allocate({.size = 4096}, {}));
  EXPECT_EQ(os_.live_allocations(), before_);
}

TEST_F(KfdMemory, FreeUnmapsGpusFirst) {
  auto memory = gpu().allocate({.size = 4096}, {});
  ASSERT_TRUE(memory);
  os_.clear_calls();
  EXPECT_TRUE(gpu().free(*memory));
  ASSERT_EQ(os_.calls.size(), 2u);
  EXPECT_EQ(os_.calls[0].number, kUnmap);
  EXPECT_EQ(os_.calls[1].number, kFree);
  EXPECT_FALSE(gpu().free(*memory));  // and not twice
}

TEST_F(KfdMemory, AFailedUnmapKeepsTheMemoryKnown) {
  auto memory = gpu().allocate({.size = 4096}, {});
  ASSERT_TRUE(memory);
  os_.answers[kUnmap] = [](void*) { return -EBUSY; };
  EXPECT_FALSE(gpu().free(*memory));
  os_.answers.erase(kUnmap);
  EXPECT_TRUE(gpu().free(*memory));
}

TEST_F(KfdMemory, RefusalsSayWhy) {
  os_.answers[kAlloc] = [](void*) { return -ENOMEM; };
  auto vram = gpu().allocate({.size = std::uint64_t{1} << 33}, {});
  ASSERT_FALSE(vram);
  EXPECT_EQ(vram.error().code, VK_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_NE(vram.error().message.find("8589934592 bytes of VRAM"), std::string::npos);
  auto system = gpu().allocate({.size = 4096, .heap = Heap::System}, {});
  ASSERT_FALSE(system);
  EXPECT_EQ(system.error().code, VK_ERROR_OUT_OF_HOST_MEMORY);
  os_.answers[kAlloc] = [](void*) { return -EINVAL; };
  auto visible = gpu().allocate({.size = 4096, .host_visible = true}, {});
  ASSERT_FALSE(visible);
  EXPECT_NE(visible.error().message.find("resizable BAR"), std::string::npos);
  EXPECT_FALSE(gpu().allocate({.size = 0}, {}));
  EXPECT_FALSE(gpu().allocate({.size = ~std::uint64_t{0}}, {}));
}

TEST_F(KfdMemory, HostMemoryIsImportedInPlace) {
  void* pages = nullptr;
  ASSERT_EQ(posix_memalign(&pages, 4096, 8192), 0);
  auto memory = gpu().allocate({.size = 8192, .heap = Heap::HostImport, .host_pointer = pages}, {});
  ASSERT_TRUE(memory) << memory.error().message;
  const auto call = os_.calls_of<uapi::AllocMemoryOfGpu>(kAlloc).at(0);
  EXPECT_EQ(call.flags, 0x90000004u);
  EXPECT_EQ(call.va_addr, reinterpret_cast<std::uintptr_t>(pages));
  EXPECT_EQ(call.mmap_offset, call.va_addr);  // kfd_ioctl.h: the CPU address of a userptr
  EXPECT_EQ(memory->host, pages);
  EXPECT_TRUE(gpu().free(*memory));
  static_cast<char*>(pages)[0] = 1;  // still the caller's
  auto crooked = gpu().allocate(
      {.size = 4096, .heap = Heap::HostImport, .host_pointer = static_cast<char*>(pages) + 16}, {});
  ASSERT_FALSE(crooked);
  EXPECT_EQ(crooked.error().code, VK_ERROR_INVALID_EXTERNAL_HANDLE);
  ::free(pages);
}

TEST_F(KfdMemory, ADmabufComesInMappedForHostAndGpu) {
  auto memory = gpu().import_dmabuf(55);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ(memory->size, 8192u);
  EXPECT_EQ(os_.mappings.back().fd, 55);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->host), memory->address);
  EXPECT_EQ(os_.calls_of<uapi::ImportDmabuf>(0x1d).at(0).dmabuf_fd, 55u);
  EXPECT_TRUE(gpu().free(*memory));
  os_.answers[0x1c] = [](void*) { return -EINVAL; };
  auto foreign = gpu().import_dmabuf(56);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, VK_ERROR_INVALID_EXTERNAL_HANDLE);
}

TEST_F(KfdMemory, AddressesOutsideTheGpusReachAreRefused) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  os.answers[0x14] = [](void* argument) {
    auto& args = *static_cast<uapi::GetProcessAperturesNew*>(argument);
    if (args.num_of_nodes == 1)
      *reinterpret_cast<uapi::ProcessDeviceApertures*>(args.apertures_ptr) = {
          1, 2, 3, 4, 0x4000, 0xffffffff, 11, 0};  // a GPU that reaches 4 GiB only
    args.num_of_nodes = 1;
    return 0;
  };
  auto kmd = make_kfd(os);
  std::vector<GpuInfo> infos;
  std::vector<Unusable> unusable;
  ASSERT_TRUE(kmd->enumerate(&infos, &unusable));
  auto opened = kmd->open(infos.at(0));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("outside what the GPUs can map"), std::string::npos);
}

TEST_F(KfdMemory, AvailableMemoryIsKfds) {
  auto available = gpu().available_memory();
  ASSERT_TRUE(available);
  EXPECT_EQ(*available, 123456789u);
}

}  // namespace
}  // namespace kiln::kmd

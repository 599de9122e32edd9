// The memory ioctls of the virtual KFD against the kernel's checks. Comments name the function that
// makes the check; files are of drivers/gpu/drm/amd (amdgpu_amdkfd_gpuvm.c where none is given).
#include <fcntl.h>
#include <unistd.h>

#include "kfd_fixture.hpp"

namespace kiln::vgpu::test {
namespace {

std::byte at(AddressSpace& space, Va va) {
  Mapping mapping;
  EXPECT_TRUE(space.find(va, &mapping)) << std::hex << va;
  return mapping.host[va - mapping.begin];
}

TEST(KfdMemory, OneMemoryUnderEveryAddress) {
  Client client("mi300x,vram=256M");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueSdma);  // for the page table that engines see
  ASSERT_EQ(client.create(queue), 0);
  AddressSpace& space = *client.noted.at(0)->queues.at(queue.queue_id).space;
  for (const std::uint32_t flags : {kVramFlags, kGttFlags}) {
    Buffer buffer = client.buffer(flags, 1 << 20);
    ASSERT_EQ(reinterpret_cast<Va>(buffer.host), buffer.va);
    buffer.host[4097] = std::byte{42};
    EXPECT_EQ(at(space, buffer.va + 4097), std::byte{42});
    Mapping mapping;
    ASSERT_TRUE(space.find(buffer.va, &mapping));
    EXPECT_NE(mapping.host, buffer.host) << "the engine has a mapping of its own";
    mapping.host[5] = std::byte{7};
    EXPECT_EQ(buffer.host[5], std::byte{7});
    EXPECT_EQ(mapping.local, flags == kVramFlags);
    EXPECT_EQ(mapping.host_memory, flags == kGttFlags);
    EXPECT_EQ(client.unmap(buffer, {client.id()}), 0);
    EXPECT_FALSE(space.find(buffer.va, &mapping));
    EXPECT_EQ(client.free(buffer), 0);
    EXPECT_EQ(client.free(buffer), -EINVAL);
  }
}

TEST(KfdMemory, FreedMemoryComesBackZeroed) {
  Client client("mi300x,vram=64M");
  client.acquire_all();
  Buffer first = client.buffer(kVramFlags, 32 << 20);
  std::memset(first.host, 0xff, 32 << 20);
  Buffer too_much;
  EXPECT_EQ(client.alloc(kVramFlags, 48 << 20, &too_much), -ENOMEM);
  ASSERT_EQ(client.unmap(first, {client.id()}), 0);
  ASSERT_EQ(client.os->munmap(first.host, first.bytes), 0);
  ASSERT_EQ(client.free(first), 0);
  Buffer second = client.buffer(kVramFlags, 48 << 20);
  for (std::uint64_t i = 0; i < second.bytes; i += 4096) ASSERT_EQ(second.host[i], std::byte{0});
}

TEST(KfdMemory, AvailableMemoryFollows) {
  Client client("mi300x,vram=64M");
  client.acquire_all();
  auto available = [&] {
    uapi::GetAvailableMemory args{};
    args.gpu_id = client.id();
    EXPECT_EQ(client.call(uapi::kIocAvailableMemory, args), 0);
    return args.available;
  };
  const std::uint64_t before = available();
  Buffer buffer = client.buffer(kVramFlags, 8 << 20);
  EXPECT_EQ(available(), before - (8 << 20));
  EXPECT_EQ(client.unmap(buffer, {client.id()}), 0);
  EXPECT_EQ(client.free(buffer), 0);
  EXPECT_EQ(available(), before - (8 << 20)) << "the host's mapping still holds it";
  EXPECT_EQ(client.os->munmap(buffer.host, buffer.bytes), 0);
  EXPECT_EQ(available(), before);
  // vram_used_aligned counts a whole piece for each, VRAM_AVAILABLITY_ALIGN.
  Buffer small[3];
  for (Buffer& one : small) ASSERT_EQ(client.alloc(kVramFlags, 4096, &one), 0);
  EXPECT_EQ(available(), before - 3 * (2 << 20));
  for (Buffer& one : small) ASSERT_EQ(client.free(one), 0);
  EXPECT_EQ(available(), before);
  uapi::GetAvailableMemory nobody{0, 1, 0};
  EXPECT_EQ(client.call(uapi::kIocAvailableMemory, nobody), -EINVAL);
}

TEST(KfdMemory, AllocationErrors) {
  Client client("mi300x");
  client.acquire_all();
  const struct {
    const char* what;
    std::uint32_t flags;
    std::uint64_t bytes, offset;
    int result;
  } cases[] = {
      {"no size", kVramFlags, 0, 0, -EINVAL},
      {"no kind of memory", 0xd0000000, 4096, 0, -EINVAL},
      {"more than there is", kVramFlags, 1ull << 40, 0, -ENOMEM},
      {"doorbells of another size", uapi::kAllocDoorbell | 0x90000000, 4096, 0, -EINVAL},
      {"MMIO of another size", uapi::kAllocMmioRemap | 0x90000000, 8192, 0, -EINVAL},
      {"user memory without address", uapi::kAllocUserptr | 0xd0000000, 4096, 0, -EINVAL},
      {"user memory that is not there", uapi::kAllocUserptr | 0xd0000000, 4096, 0x10000, -EFAULT},
  };
  for (const auto& bad : cases) {
    Buffer buffer;
    buffer.va = 0x7e0000000000;
    buffer.mmap_offset = bad.offset;
    EXPECT_EQ(client.alloc(bad.flags, bad.bytes, &buffer), bad.result) << bad.what;
  }
  uapi::AllocMemoryOfGpu args{};
  args.size = 4096;
  args.gpu_id = 1;
  args.flags = kVramFlags;
  EXPECT_EQ(client.call(uapi::kIocAllocMemoryOfGpu, args), -EINVAL);
}

TEST(KfdMemory, MappingErrorsAndPartialSuccess) {
  Client client("2x mi300x");
  ASSERT_EQ(client.acquire(0), 0);
  Buffer buffer;
  ASSERT_EQ(client.alloc(kVramFlags, 65536, &buffer), 0);
  // The second GPU has no VM yet: the first is done and counted, then -ENODEV.
  std::uint32_t done = 0;
  EXPECT_EQ(client.map(buffer, {client.id(0), client.id(1)}, &done), -ENODEV);
  EXPECT_EQ(done, 1u);
  ASSERT_EQ(client.acquire(1), 0);
  EXPECT_EQ(client.map(buffer, {client.id(0), client.id(1)}, &done), 0);
  EXPECT_EQ(done, 2u);
  EXPECT_EQ(client.map(buffer, {client.id(0)}), 0) << "mapped already is no error";
  EXPECT_EQ(client.map(buffer, {}), -EINVAL);
  done = 2;
  EXPECT_EQ(client.map(buffer, {client.id(0)}, &done), -EINVAL);
  EXPECT_EQ(client.map(buffer, {1}), -EINVAL);
  uapi::MapMemoryToGpu args{};
  args.handle = buffer.handle;
  args.n_devices = 1;
  args.device_ids_array_ptr = 8;
  EXPECT_EQ(client.call(uapi::kIocMapMemoryToGpu, args), -EFAULT);
  Buffer nothing = buffer;
  nothing.handle += 1000;
  EXPECT_EQ(client.map(nothing, {client.id(0)}), -ENOMEM);
  nothing.handle = 5;  // of no GPU
  EXPECT_EQ(client.map(nothing, {client.id(0)}), -EINVAL);

  EXPECT_EQ(client.free(buffer), -EBUSY);  // amdgpu_amdkfd_gpuvm_free_memory_of_gpu
  EXPECT_EQ(client.unmap(buffer, {client.id(0), client.id(1)}), 0);
  EXPECT_EQ(client.unmap(buffer, {client.id(0)}), -EINVAL);  // no VM was reserved
  EXPECT_EQ(client.free(buffer), 0);
}

TEST(KfdMemory, AddressesMustBeFreeAndAligned) {
  Client client("mi300x");
  client.acquire_all();
  const Buffer first = client.buffer(kVramFlags, 65536);
  // amdgpu_vm.c amdgpu_vm_bo_map and amdgpu_vm_verify_parameters.
  for (const Va va : {first.va, first.va + 4096, first.va - 4096, Va{0}, first.va + 0x10000010,
                      (Va{1} << 47) - 4096}) {
    Buffer other;
    other.va = va;
    uapi::AllocMemoryOfGpu args{};
    args.va_addr = va;
    args.size = 65536;
    args.gpu_id = client.id();
    args.flags = kVramFlags;
    ASSERT_EQ(client.call(uapi::kIocAllocMemoryOfGpu, args), 0);
    other.handle = args.handle;
    EXPECT_EQ(client.map(other, {client.id()}), -EINVAL) << std::hex << va;
    EXPECT_EQ(client.free(other), 0);
  }
}

TEST(KfdMemory, TwoGpusSeeOneBuffer) {
  Client client("2x mi300x");
  client.acquire_all();
  auto a = client.queue_args(uapi::kQueueSdma, 0);
  ASSERT_EQ(client.create(a), 0);
  auto b = client.queue_args(uapi::kQueueSdma, 1);
  ASSERT_EQ(client.create(b), 0);
  Buffer buffer = client.buffer(kVramFlags, 65536, 0);
  ASSERT_EQ(client.map(buffer, {client.id(0), client.id(1)}), 0);
  buffer.host[9] = std::byte{9};
  AddressSpace& first = *client.noted.at(0)->queues.at(a.queue_id).space;
  AddressSpace& second = *client.noted.at(1)->queues.at(b.queue_id).space;
  EXPECT_EQ(at(first, buffer.va + 9), std::byte{9});
  EXPECT_EQ(at(second, buffer.va + 9), std::byte{9});
  Mapping own, remote;
  ASSERT_TRUE(first.find(buffer.va, &own));
  ASSERT_TRUE(second.find(buffer.va, &remote));
  EXPECT_TRUE(own.local);
  EXPECT_FALSE(remote.local);
  EXPECT_EQ(own.mtype, Mtype::ReadWrite);  // gmc_v9_0.c, GC 9.4.3
  EXPECT_EQ(remote.mtype, Mtype::NonCoherent);
}

TEST(KfdMemory, CachePoliciesByGeneration) {
  struct Case {
    const char* spec;
    std::uint32_t flags;
    Mtype mtype;
  };
  for (const Case& c :
       {Case{"mi300x", kVramFlags, Mtype::ReadWrite},
        Case{"mi300x", kVramFlags | uapi::kAllocUncached, Mtype::Uncached},
        Case{"mi300x", kVramFlags | uapi::kAllocExtCoherent, Mtype::Coherent},
        Case{"mi300x", 0xd0000002, Mtype::NonCoherent}, Case{"mi300x", kGttFlags, Mtype::Uncached},
        Case{"navi31", kVramFlags, Mtype::NonCoherent},
        Case{"navi31", kVramFlags | uapi::kAllocCoherent, Mtype::Uncached}}) {
    Client client(c.spec);
    client.acquire_all();
    auto queue = client.queue_args(uapi::kQueueSdma);
    ASSERT_EQ(client.create(queue), 0);
    const Buffer buffer = client.buffer(c.flags, 4096);
    Mapping mapping;
    ASSERT_TRUE(client.noted.at(0)->queues.at(queue.queue_id).space->find(buffer.va, &mapping));
    EXPECT_EQ(mapping.mtype, c.mtype) << c.spec << std::hex << c.flags;
  }
}

TEST(KfdMemory, PermissionsOfPages) {
  Client client("mi300x");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueSdma);
  ASSERT_EQ(client.create(queue), 0);
  const Buffer buffer = client.buffer(uapi::kAllocVram, 4096);
  Mapping mapping;
  ASSERT_TRUE(client.noted.at(0)->queues.at(queue.queue_id).space->find(buffer.va, &mapping));
  EXPECT_FALSE(mapping.writable);
  EXPECT_FALSE(mapping.executable);
}

TEST(KfdMemory, UserMemoryAndItsEnd) {
  Client client("mi300x");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueSdma);
  ASSERT_EQ(client.create(queue), 0);
  AddressSpace& space = *client.noted.at(0)->queues.at(queue.queue_id).space;
  void* memory = nullptr;
  ASSERT_EQ(client.os->mmap(&memory, nullptr, 65536, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            0);
  Buffer buffer;
  buffer.va = reinterpret_cast<Va>(memory);
  buffer.mmap_offset = buffer.va;
  ASSERT_EQ(client.alloc(uapi::kAllocUserptr | 0xd0000000, 65536, &buffer), 0);
  ASSERT_EQ(client.map(buffer, {client.id()}), 0);
  static_cast<std::byte*>(memory)[100] = std::byte{3};
  EXPECT_EQ(at(space, buffer.va + 100), std::byte{3});
  // The render node does not map user memory back (amdgpu_gem_object_mmap).
  void* again = nullptr;
  EXPECT_EQ(client.os->mmap(&again, nullptr, 65536, PROT_READ, MAP_SHARED, client.render[0],
                            static_cast<off_t>(buffer.mmap_offset)),
            -EPERM);
  // Once the pages are gone, so is the GPU's mapping: an access faults there too.
  ASSERT_EQ(client.os->munmap(memory, 65536), 0);
  Mapping mapping;
  EXPECT_FALSE(space.find(buffer.va, &mapping));
  EXPECT_EQ(client.unmap(buffer, {client.id()}), 0);
  EXPECT_EQ(client.free(buffer), 0);

  // Read-only pages cannot be given, not even for reading: init_user_pages asks for pages to write
  // whatever the flags say (mm/hmm.c hmm_vma_fault).
  ASSERT_EQ(client.os->mmap(&memory, nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            0);
  Buffer constant;
  constant.va = reinterpret_cast<Va>(memory);
  constant.mmap_offset = constant.va;
  EXPECT_EQ(client.alloc(uapi::kAllocUserptr | 0xd0000000, 4096, &constant), -EPERM);
  constant.mmap_offset = constant.va;
  EXPECT_EQ(client.alloc(uapi::kAllocUserptr | 0x50000000, 4096, &constant), -EPERM);
}

TEST(KfdMemory, AqlQueueMemoryIsMappedTwice) {
  Client client("mi300x");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueSdma);
  ASSERT_EQ(client.create(queue), 0);
  AddressSpace& space = *client.noted.at(0)->queues.at(queue.queue_id).space;
  Buffer buffer;
  ASSERT_EQ(client.alloc(kGttFlags | uapi::kAllocAqlQueueMem, 131072, &buffer), 0);
  ASSERT_EQ(client.map(buffer, {client.id()}), 0);
  Mapping first, second;
  ASSERT_TRUE(space.find(buffer.va, &first));
  ASSERT_TRUE(space.find(buffer.va + 65536, &second));
  EXPECT_EQ(first.host, second.host);
  EXPECT_EQ(first.end - first.begin, 65536u);
  EXPECT_EQ(client.unmap(buffer, {client.id()}), 0);
  EXPECT_FALSE(space.find(buffer.va + 65536, &second));
  EXPECT_EQ(client.free(buffer), 0);
}

TEST(KfdMemory, MmapOfBuffersAndPages) {
  Client client("mi300x");
  client.acquire_all();
  Buffer buffer;
  ASSERT_EQ(client.alloc(kVramFlags, 65536, &buffer), 0);
  void* at = nullptr;
  auto map = [&](int fd, std::uint64_t bytes, std::uint64_t offset) {
    const int result = client.os->mmap(&at, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                                       static_cast<off_t>(offset));
    if (result == 0) client.os->munmap(at, bytes);
    return result;
  };
  EXPECT_EQ(map(client.render[0], 65536, buffer.mmap_offset), 0);
  EXPECT_EQ(map(client.render[0], 4096, buffer.mmap_offset), 0);
  EXPECT_EQ(map(client.render[0], 131072, buffer.mmap_offset), -EINVAL);
  EXPECT_EQ(map(client.render[0], 4096, buffer.mmap_offset + 4096), -EINVAL);  // drm_gem_mmap
  const int other = client.os->open("/dev/dri/renderD128", 0);
  EXPECT_EQ(map(other, 65536, buffer.mmap_offset), -EACCES);  // drm_vma_node_is_allowed

  Buffer hdp;
  ASSERT_EQ(client.alloc(0x94000010, 4096, &hdp), 0);  // as ROCr asks for the HDP flush registers
  EXPECT_EQ(hdp.mmap_offset >> 62, 0u);
  EXPECT_EQ(map(client.kfd, 4096, hdp.mmap_offset), 0);
  EXPECT_EQ(map(client.kfd, 8192, hdp.mmap_offset), -EINVAL);
  const std::uint64_t doorbells = 3ull << 62 | std::uint64_t{client.id()} << 46;
  EXPECT_EQ(map(client.kfd, 8192, doorbells), 0);
  EXPECT_EQ(map(client.kfd, 4096, doorbells), -EINVAL);  // kfd_doorbell_mmap
  EXPECT_EQ(map(client.kfd, 8192, 3ull << 62 | 1ull << 46), -ENODEV);
  EXPECT_EQ(map(client.kfd, 4096, 1ull << 62 | std::uint64_t{client.id()} << 46), -EINVAL);
}

TEST(KfdMemory, DmabufSharesTheBytes) {
  Client client("2x mi300x");
  client.acquire_all();
  Buffer buffer = client.buffer(kVramFlags, 65536);
  buffer.host[0] = std::byte{1};
  uapi::ExportDmabuf exported{};
  exported.handle = buffer.handle;
  exported.flags = O_CLOEXEC | O_RDWR;
  ASSERT_EQ(client.call(uapi::kIocExportDmabuf, exported), 0);
  const int fd = static_cast<int>(exported.dmabuf_fd);

  // The file itself, as another process would map it.
  auto* alias =
      static_cast<std::byte*>(::mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  ASSERT_NE(alias, MAP_FAILED);
  EXPECT_EQ(alias[0], std::byte{1}) << "what was there before";
  buffer.host[1] = std::byte{2};
  EXPECT_EQ(alias[1], std::byte{2}) << "the client's own mapping has moved along";

  uapi::GetDmabufInfo info{};
  info.dmabuf_fd = exported.dmabuf_fd;
  ASSERT_EQ(client.call(uapi::kIocGetDmabufInfo, info), 0);
  EXPECT_EQ(info.size, 65536u);
  EXPECT_EQ(info.gpu_id, client.id(0));

  Buffer imported;
  imported.va = client.reserve(65536);
  imported.bytes = 65536;
  uapi::ImportDmabuf import{imported.va, 0, client.id(1), exported.dmabuf_fd};
  ASSERT_EQ(client.call(uapi::kIocImportDmabuf, import), 0);
  imported.handle = import.handle;
  ASSERT_EQ(client.map(imported, {client.id(1)}), 0);
  auto queue = client.queue_args(uapi::kQueueSdma, 1);
  ASSERT_EQ(client.create(queue), 0);
  AddressSpace& space = *client.noted.at(0)->queues.at(queue.queue_id).space;
  EXPECT_EQ(at(space, imported.va + 1), std::byte{2});

  // Freeing one owner leaves the bytes to the others.
  ASSERT_EQ(client.unmap(buffer, {client.id(0)}), 0);
  ASSERT_EQ(client.free(buffer), 0);
  EXPECT_EQ(at(space, imported.va + 1), std::byte{2});
  ASSERT_EQ(client.unmap(imported, {client.id(1)}), 0);
  ASSERT_EQ(client.free(imported), 0);
  EXPECT_EQ(alias[1], std::byte{2});
  ::munmap(alias, 65536);
  ::close(fd);
}

TEST(KfdMemory, DmabufOfAnotherMachine) {
  Client giver("mi300x"), taker("mi300x");
  giver.acquire_all();
  taker.acquire_all();
  Buffer buffer = giver.buffer(kVramFlags, 65536);
  uapi::ExportDmabuf exported{};
  exported.handle = buffer.handle;
  ASSERT_EQ(giver.call(uapi::kIocExportDmabuf, exported), 0);
  buffer.host[7] = std::byte{70};
  Buffer imported;
  imported.va = taker.reserve(65536);
  uapi::ImportDmabuf import{imported.va, 0, taker.id(), exported.dmabuf_fd};
  ASSERT_EQ(taker.call(uapi::kIocImportDmabuf, import), 0);
  imported.handle = import.handle;
  ASSERT_EQ(taker.map(imported, {taker.id()}), 0);
  auto queue = taker.queue_args(uapi::kQueueSdma);
  ASSERT_EQ(taker.create(queue), 0);
  EXPECT_EQ(at(*taker.noted.at(0)->queues.at(queue.queue_id).space, imported.va + 7),
            std::byte{70});
  ::close(static_cast<int>(exported.dmabuf_fd));
}

TEST(KfdMemory, DmabufErrors) {
  Client client("mi300x");
  client.acquire_all();
  uapi::ExportDmabuf exported{};
  exported.handle = 12345;
  EXPECT_EQ(client.call(uapi::kIocExportDmabuf, exported), -EINVAL);
  uapi::ImportDmabuf import{0x7e0000000000, 0, client.id(), 999};
  EXPECT_EQ(client.call(uapi::kIocImportDmabuf, import), -EBADF);  // dma_buf_get
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  import.dmabuf_fd = static_cast<std::uint32_t>(pipe_fds[0]);
  EXPECT_EQ(client.call(uapi::kIocImportDmabuf, import), -EINVAL);
  ::close(pipe_fds[0]);
  ::close(pipe_fds[1]);
}

}  // namespace
}  // namespace kiln::vgpu::test

// Errors of the memory ioctls as a table, the life of buffers, dma-bufs and their DRM side (PRIME,
// GEM), and user memory that changes. Sources are functions of drivers/gpu/drm: amd/amdkfd
// kfd_chardev.c, amd/amdgpu amdgpu_amdkfd_gpuvm.c where no file is given.
#include <amdgpu_drm.h>
#include <drm.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>

#include "kfd_fixture.hpp"

namespace kiln::vgpu::test {
namespace {

constexpr std::uint32_t kBoth = AMDGPU_VM_PAGE_READABLE | AMDGPU_VM_PAGE_WRITEABLE;
constexpr std::uint32_t kUserFlags = uapi::kAllocUserptr | 0xd0000000;

/// A page table that engines would see.
AddressSpace& space_of(Client& client, std::size_t index = 0) {
  auto queue = client.queue_args(uapi::kQueueSdma, index);
  EXPECT_EQ(client.create(queue), 0);
  return *client.noted.back()->queues.at(queue.queue_id).space;
}

int export_fd(Client& client, const Buffer& buffer, int flags = O_CLOEXEC) {
  uapi::ExportDmabuf args{};
  args.handle = buffer.handle;
  args.flags = static_cast<std::uint32_t>(flags);
  const int result = client.call(uapi::kIocExportDmabuf, args);
  return result != 0 ? result : static_cast<int>(args.dmabuf_fd);
}

int import_fd(Client& client, int fd, Buffer* buffer, std::size_t index = 0) {
  if (buffer->va == 0) buffer->va = client.reserve(65536);
  uapi::ImportDmabuf args{buffer->va, 0, client.id(index), static_cast<std::uint32_t>(fd)};
  const int result = client.call(uapi::kIocImportDmabuf, args);
  buffer->handle = args.handle;
  return result;
}

template <class T>
int drm(Client& client, unsigned long request, T& args, std::size_t index = 0) {
  return client.os->ioctl(client.render[index], request, &args);
}

std::uint64_t available(Client& client) {
  uapi::GetAvailableMemory args{};
  args.gpu_id = client.id();
  EXPECT_EQ(client.call(uapi::kIocAvailableMemory, args), 0);
  return args.available;
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

std::size_t mapped_ranges() {
  std::unique_ptr<FILE, int (*)(FILE*)> maps(fopen("/proc/self/maps", "re"), fclose);
  std::size_t lines = 0;
  for (int c; (c = fgetc(maps.get())) != EOF;) lines += c == '\n';
  return lines;
}

// ---- Errors ------------------------------------------------------------------------------------

struct Row {
  const char* ioctl;
  const char* condition;
  int error;
  const char* source;
  std::function<int(Client&)> call;
};

int alloc(Client& client, std::uint32_t flags, std::uint64_t bytes, std::uint64_t offset = 0) {
  Buffer buffer;
  buffer.va = 0x7e0000000000;
  buffer.mmap_offset = offset;
  return client.alloc(flags, bytes, &buffer);
}

int alloc_on(Client& client, std::uint32_t gpu_id, std::uint64_t bytes, std::uint32_t flags) {
  uapi::AllocMemoryOfGpu args{};
  args.gpu_id = gpu_id;
  args.size = bytes;
  args.flags = flags;
  return client.call(uapi::kIocAllocMemoryOfGpu, args);
}

TEST(KfdSharing, ErrorTable) {
  // The second GPU has no VM; `kBuffer` and `kUser` are made before the rows run.
  static Buffer buffer, user;
  const Row rows[] = {
      {"ALLOC", "size 0 before all else", -EINVAL, "kfd_ioctl_alloc_memory_of_gpu",
       [](Client& c) { return alloc_on(c, 1, 0, kVramFlags); }},
      {"ALLOC", "no such GPU", -EINVAL, "kfd_process_device_data_by_id",
       [](Client& c) { return alloc_on(c, 1, 4096, kVramFlags); }},
      {"ALLOC", "no VM before what is wrong with a doorbell", -ENODEV, "kfd_bind_process_to_device",
       [](Client& c) { return alloc_on(c, c.id(1), 4096, uapi::kAllocDoorbell); }},
      {"ALLOC", "no kind", -EINVAL, "amdgpu_amdkfd_gpuvm_alloc_memory_of_gpu",
       [](Client& c) { return alloc(c, 0xd0000000, 4096); }},
      {"ALLOC", "VRAM and a doorbell of another size", -EINVAL, "kfd_doorbell_process_slice",
       [](Client& c) { return alloc(c, kVramFlags | uapi::kAllocDoorbell, 4096); }},
      {"ALLOC", "MMIO of another size", -EINVAL, "kfd_ioctl_alloc_memory_of_gpu",
       [](Client& c) { return alloc(c, uapi::kAllocMmioRemap | 0x90000000, 8192); }},
      {"ALLOC", "more VRAM than there is", -ENOMEM, "amdgpu_amdkfd_reserve_mem_limit",
       [](Client& c) { return alloc(c, kVramFlags, 64 << 20); }},
      {"ALLOC", "a size that no page count holds", -ENOMEM, "amdgpu_amdkfd_reserve_mem_limit",
       [](Client& c) { return alloc(c, kVramFlags, ~0ull); }},
      {"ALLOC", "user memory without address", -EINVAL, "amdgpu_amdkfd_gpuvm_alloc_memory_of_gpu",
       [](Client& c) { return alloc(c, kUserFlags, 4096); }},
      {"ALLOC", "user memory that is not there", -EFAULT, "mm/hmm.c hmm_vma_walk_hole",
       [](Client& c) { return alloc(c, kUserFlags, 4096, 0x10000); }},
      {"ALLOC", "user memory without access", -EFAULT, "mm/hmm.c hmm_vma_walk_test",
       [](Client& c) { return alloc(c, kUserFlags, 4096, c.reserve(4096)); }},
      {"ALLOC", "user memory that is a GPU's", -EFAULT, "mm/hmm.c hmm_vma_walk_test",
       [](Client& c) {
         return alloc(c, kUserFlags, 4096, reinterpret_cast<std::uint64_t>(buffer.host));
       }},
      {"FREE", "no such GPU", -EINVAL, "kfd_ioctl_free_memory_of_gpu",
       [](Client& c) {
         uapi::FreeMemoryOfGpu args{5};
         return c.call(uapi::kIocFreeMemoryOfGpu, args);
       }},
      {"FREE", "no such handle", -EINVAL, "kfd_process_device_translate_handle",
       [](Client& c) {
         uapi::FreeMemoryOfGpu args{buffer.handle + 1000};
         return c.call(uapi::kIocFreeMemoryOfGpu, args);
       }},
      {"FREE", "still mapped", -EBUSY, "amdgpu_amdkfd_gpuvm_free_memory_of_gpu",
       [](Client& c) { return c.free(buffer); }},
      {"MAP", "no devices", -EINVAL, "kfd_ioctl_map_memory_to_gpu",
       [](Client& c) { return c.map(buffer, {}); }},
      {"MAP", "a GPU that is none", -EINVAL, "kfd_process_device_data_by_id",
       [](Client& c) { return c.map(buffer, {1}); }},
      {"MAP", "a GPU without VM", -ENODEV, "kfd_bind_process_to_device",
       [](Client& c) { return c.map(buffer, {c.id(1)}); }},
      {"UNMAP", "not mapped there", -EINVAL, "amdgpu_amdkfd_gpuvm_unmap_memory_from_gpu",
       [](Client& c) { return c.unmap(buffer, {c.id(1)}); }},
      {"EXPORT", "no such handle", -EINVAL, "kfd_ioctl_export_dmabuf",
       [](Client& c) {
         Buffer none;
         none.handle = 12345;
         return export_fd(c, none);
       }},
      {"EXPORT", "user memory", -EPERM, "amdgpu_dma_buf.c amdgpu_gem_prime_export",
       [](Client& c) { return export_fd(c, user); }},
      {"IMPORT", "no such GPU", -EINVAL, "kfd_ioctl_import_dmabuf",
       [](Client& c) {
         uapi::ImportDmabuf args{0x7e0000000000, 0, 1, 999};
         return c.call(uapi::kIocImportDmabuf, args);
       }},
      {"IMPORT", "no VM before a bad descriptor", -ENODEV, "kfd_bind_process_to_device",
       [](Client& c) {
         Buffer into;
         return import_fd(c, 999, &into, 1);
       }},
      {"IMPORT", "no such descriptor", -EBADF, "dma_buf_get",
       [](Client& c) {
         Buffer into;
         return import_fd(c, 999, &into);
       }},
      {"IMPORT", "a descriptor of something else", -EINVAL, "dma_buf_get",
       [](Client& c) {
         Buffer into;
         return import_fd(c, c.kfd, &into);
       }},
      {"GET_DMABUF_INFO", "no such descriptor", -EBADF, "dma_buf_get",
       [](Client& c) {
         uapi::GetDmabufInfo info{};
         info.dmabuf_fd = 999;
         return c.call(uapi::kIocGetDmabufInfo, info);
       }},
      {"AVAILABLE_MEMORY", "no such GPU", -EINVAL, "kfd_ioctl_get_available_memory",
       [](Client& c) {
         uapi::GetAvailableMemory args{0, 1, 0};
         return c.call(uapi::kIocAvailableMemory, args);
       }},
      {"GEM_CREATE", "unknown flags", -EINVAL, "amdgpu_gem.c amdgpu_gem_create_ioctl",
       [](Client& c) {
         drm_amdgpu_gem_create args{};
         args.in = {4096, 0, AMDGPU_GEM_DOMAIN_VRAM, 1ull << 40};
         return drm(c, DRM_IOCTL_AMDGPU_GEM_CREATE, args);
       }},
      {"GEM_CREATE", "unknown domain", -EINVAL, "amdgpu_gem.c amdgpu_gem_create_ioctl",
       [](Client& c) {
         drm_amdgpu_gem_create args{};
         args.in = {4096, 0, 1ull << 20, 0};
         return drm(c, DRM_IOCTL_AMDGPU_GEM_CREATE, args);
       }},
      {"GEM_CLOSE", "no such handle", -EINVAL, "drm_gem.c drm_gem_handle_delete",
       [](Client& c) {
         drm_gem_close args{77, 0};
         return drm(c, DRM_IOCTL_GEM_CLOSE, args);
       }},
      {"GEM_MMAP", "no such handle", -ENOENT, "amdgpu_gem.c amdgpu_mode_dumb_mmap",
       [](Client& c) {
         drm_amdgpu_gem_mmap args{};
         args.in.handle = 77;
         return drm(c, DRM_IOCTL_AMDGPU_GEM_MMAP, args);
       }},
      {"PRIME_HANDLE_TO_FD", "no such handle", -ENOENT, "drm_prime.c",
       [](Client& c) {
         drm_prime_handle args{77, DRM_CLOEXEC, -1};
         return drm(c, DRM_IOCTL_PRIME_HANDLE_TO_FD, args);
       }},
      {"PRIME_HANDLE_TO_FD", "unknown flags", -EINVAL, "drm_prime.c",
       [](Client& c) {
         drm_prime_handle args{77, 0x40, -1};
         return drm(c, DRM_IOCTL_PRIME_HANDLE_TO_FD, args);
       }},
      {"PRIME_FD_TO_HANDLE", "no such descriptor", -EBADF, "dma-buf.c dma_buf_get",
       [](Client& c) {
         drm_prime_handle args{0, 0, 999};
         return drm(c, DRM_IOCTL_PRIME_FD_TO_HANDLE, args);
       }},
      {"GEM_VA", "reserved addresses", -EINVAL, "amdgpu_gem.c amdgpu_gem_va_ioctl",
       [](Client& c) {
         drm_amdgpu_gem_va args{1, 0, AMDGPU_VA_OP_MAP, 0, 4096, 0, 4096};
         return drm(c, DRM_IOCTL_AMDGPU_GEM_VA, args);
       }},
      {"GEM_VA", "unknown operation before the handle", -EINVAL, "amdgpu_gem_va_ioctl",
       [](Client& c) {
         drm_amdgpu_gem_va args{77, 0, 9, 0, 0x100000000, 0, 4096};
         return drm(c, DRM_IOCTL_AMDGPU_GEM_VA, args);
       }},
      {"GEM_VA", "no such handle", -ENOENT, "amdgpu_gem_va_ioctl",
       [](Client& c) {
         drm_amdgpu_gem_va args{77, 0, AMDGPU_VA_OP_MAP, 0, 0x100000000, 0, 4096};
         return drm(c, DRM_IOCTL_AMDGPU_GEM_VA, args);
       }},
      {"command submission", "not served", -EINVAL, "as an unknown number",
       [](Client& c) {
         drm_amdgpu_cs args{};
         return drm(c, DRM_IOCTL_AMDGPU_CS, args);
       }},
  };
  Client client("2x mi300x,vram=64M");
  ASSERT_EQ(client.acquire(0), 0);
  buffer = client.buffer(kVramFlags, 65536);
  alignas(4096) static std::byte page[4096];
  user = {};
  user.va = reinterpret_cast<Va>(page);
  user.mmap_offset = user.va;
  ASSERT_EQ(client.alloc(kUserFlags, sizeof page, &user), 0);
  for (const Row& row : rows)
    EXPECT_EQ(row.call(client), row.error)
        << row.ioctl << ": " << row.condition << " (" << row.source << ")";
}

TEST(KfdSharing, ImportsFromOtherCardsCameWithDrm) {
  for (const auto& [spec, result] :
       {std::pair{"2x mi300x,kfd=1.14", -EINVAL}, std::pair{"2x mi300x,kfd=1.15", 0}}) {
    Client client(spec);
    client.acquire_all();
    Buffer given, taken;
    ASSERT_EQ(client.alloc(kVramFlags, 65536, &given), 0);
    const int fd = export_fd(client, given);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(import_fd(client, fd, &taken, 1), result) << spec;
    ::close(fd);
  }
}

// ---- The life of a buffer ----------------------------------------------------------------------

TEST(KfdSharing, AMappingKeepsABufferAlive) {
  Client client("mi300x,vram=64M");
  client.acquire_all();
  const std::uint64_t before = available(client);
  Buffer first = client.buffer(kVramFlags, 16 << 20);
  std::memset(first.host, 0x11, first.bytes);
  ASSERT_EQ(client.unmap(first, {client.id()}), 0);
  ASSERT_EQ(client.free(first), 0);
  // Others do not get its bytes, and it does not lose them.
  Buffer second = client.buffer(kVramFlags, 16 << 20);
  std::memset(second.host, 0x22, second.bytes);
  EXPECT_EQ(first.host[0], std::byte{0x11});
  EXPECT_EQ(first.host[first.bytes - 1], std::byte{0x11});
  EXPECT_EQ(available(client), before - (32 << 20));
  // As long as a part of it is mapped.
  ASSERT_EQ(client.os->munmap(first.host, 8 << 20), 0);
  EXPECT_EQ(available(client), before - (32 << 20));
  EXPECT_EQ(first.host[8 << 20], std::byte{0x11});
  // libhsakmt puts an inaccessible mapping in its place (fmm.c).
  void* at = nullptr;
  ASSERT_EQ(client.os->mmap(&at, first.host + (8 << 20), 8 << 20, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0),
            0);
  EXPECT_EQ(available(client), before - (16 << 20));
}

TEST(KfdSharing, ADmabufKeepsABufferAlive) {
  Client client("mi300x,vram=64M");
  client.acquire_all();
  Buffer buffer = client.buffer(kVramFlags, 65536);
  buffer.host[5] = std::byte{5};
  const int fd = export_fd(client, buffer), copy = ::dup(fd);
  ASSERT_GE(copy, 0);
  ::close(fd);
  ASSERT_EQ(client.unmap(buffer, {client.id()}), 0);
  ASSERT_EQ(client.os->munmap(buffer.host, buffer.bytes), 0);
  ASSERT_EQ(client.free(buffer), 0);
  EXPECT_EQ(lseek(copy, 0, SEEK_END), 65536);
  EXPECT_NE(ftruncate(copy, 0), 0) << "a dma-buf's size is fixed";
  Buffer back;
  ASSERT_EQ(import_fd(client, copy, &back), 0);
  AddressSpace& space = space_of(client);
  ASSERT_EQ(client.map(back, {client.id()}), 0);
  Mapping mapping;
  ASSERT_TRUE(space.find(back.va, &mapping));
  EXPECT_EQ(mapping.host[5], std::byte{5});
  ::close(copy);
  EXPECT_EQ(mapping.host[5], std::byte{5});
}

TEST(KfdSharing, ReadOnlyMemoryIsExportedForReading) {
  Client client("mi300x");
  client.acquire_all();
  Buffer buffer;
  ASSERT_EQ(client.alloc(uapi::kAllocGtt, 4096, &buffer), 0);
  const int fd = export_fd(client, buffer);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  Client other("mi300x");
  other.acquire_all();
  Buffer taken;
  EXPECT_EQ(import_fd(other, fd, &taken), 0);
  ::close(fd);
}

TEST(KfdSharing, ForgedDmabufsAreRefused) {
  Client client("mi300x");
  client.acquire_all();
  char name[64];
  snprintf(name, sizeof name, "kiln-vgpu-dmabuf-v-%x-0", client.id());
  const int unsealed = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(ftruncate(unsealed, 4096), 0);
  Buffer into;
  EXPECT_EQ(import_fd(client, unsealed, &into), -EINVAL);
  ::close(unsealed);
  // Of a card that this machine does not have.
  Client radeon("navi31");
  radeon.acquire_all();
  Buffer buffer;
  ASSERT_EQ(radeon.alloc(kVramFlags, 4096, &buffer), 0);
  const int fd = export_fd(radeon, buffer);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(import_fd(client, fd, &into), -EINVAL);
  ::close(fd);
}

TEST(KfdSharing, StoresWhileABufferMovesAreNotLost) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer takes mmap(MAP_FIXED) for a write of every byte";
#endif
  Client client("mi300x");
  client.acquire_all();
  constexpr std::size_t kBytes = 16 << 20, kWords = kBytes / 8;
  Buffer buffer = client.buffer(kVramFlags, kBytes);
  auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(buffer.host);
  std::atomic<bool> stop{false};
  std::uint64_t rounds = 0;
  std::thread writer([&] {
    while (!stop.load()) {
      ++rounds;
      for (std::size_t i = 0; i < kWords; i += 64) words[i].store(rounds);
    }
  });
  const int fd = export_fd(client, buffer);
  stop = true;
  writer.join();
  ASSERT_GE(fd, 0);
  auto* alias = static_cast<std::uint64_t*>(::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0));
  ASSERT_NE(alias, MAP_FAILED);
  for (std::size_t i = 0; i < kWords; i += 64) ASSERT_EQ(alias[i], rounds) << i;
  ::munmap(alias, kBytes);
  ::close(fd);
}

TEST(KfdSharing, AThousandBuffersLeaveNothing) {
  Client client("mi300x,vram=256M");
  client.acquire_all();
  std::size_t descriptors = 0, ranges = 0;
  const std::uint64_t before = available(client);
  for (int i = 0; i < 1000; ++i) {
    Buffer buffer = client.buffer(i % 2 == 0 ? kVramFlags : kGttFlags, 1 << 20);
    buffer.host[i] = std::byte{1};
    Buffer imported;
    if (i % 4 == 0) {
      const int fd = export_fd(client, buffer);
      ASSERT_EQ(import_fd(client, fd, &imported), 0);
      ::close(fd);
      ASSERT_EQ(client.free(imported), 0);
      ASSERT_EQ(::munmap(reinterpret_cast<void*>(imported.va), 65536), 0);
    }
    ASSERT_EQ(client.unmap(buffer, {client.id()}), 0);
    ASSERT_EQ(client.free(buffer), 0);
    ASSERT_EQ(client.os->munmap(buffer.host, buffer.bytes), 0);
    if (i == 100) {
      descriptors = open_descriptors();
      ranges = mapped_ranges();
    }
  }
  EXPECT_EQ(available(client), before);
  EXPECT_EQ(open_descriptors(), descriptors);
  EXPECT_LE(mapped_ranges(), ranges + 2);
  struct stat region{};
  ASSERT_EQ(fstat(client.gpu().region().fd(), &region), 0);
  EXPECT_LT(region.st_blocks * 512, 1 << 20) << "pages of freed memory";
}

TEST(KfdSharing, MemoryIsSparse) {
  Client client("mi300x");  // 192 GiB
  client.acquire_all();
  Buffer buffer = client.buffer(kVramFlags, 64ull << 30);
  buffer.host[0] = buffer.host[(64ull << 30) - 1] = std::byte{1};
  struct stat region{};
  ASSERT_EQ(fstat(client.gpu().region().fd(), &region), 0);
  EXPECT_LE(region.st_blocks * 512, 8 << 20);
  // Nor does a dma-buf of it bring pages along.
  const int fd = export_fd(client, buffer);
  ASSERT_GE(fd, 0);
  struct stat file{};
  ASSERT_EQ(fstat(fd, &file), 0);
  EXPECT_EQ(file.st_size, 64ll << 30);
  EXPECT_LE(file.st_blocks * 512, 8 << 20);
  EXPECT_EQ(buffer.host[(64ull << 30) - 1], std::byte{1});
  ::close(fd);
}

// ---- DRM's side --------------------------------------------------------------------------------

TEST(KfdSharing, PrimeMeetsKfd) {
  Client client("mi300x");
  client.acquire_all();
  drm_amdgpu_gem_create create{};
  create.in = {65536, 4096, AMDGPU_GEM_DOMAIN_VRAM, AMDGPU_GEM_CREATE_CPU_ACCESS_REQUIRED};
  ASSERT_EQ(drm(client, DRM_IOCTL_AMDGPU_GEM_CREATE, create), 0);
  const std::uint32_t handle = create.out.handle;
  ASSERT_NE(handle, 0u);
  drm_amdgpu_gem_mmap offset{};
  offset.in.handle = handle;
  ASSERT_EQ(drm(client, DRM_IOCTL_AMDGPU_GEM_MMAP, offset), 0);
  void* at = nullptr;
  ASSERT_EQ(client.os->mmap(&at, nullptr, 65536, PROT_READ | PROT_WRITE, MAP_SHARED,
                            client.render[0], static_cast<off_t>(offset.out.addr_ptr)),
            0);
  auto* host = static_cast<std::byte*>(at);
  host[3] = std::byte{3};

  drm_amdgpu_gem_metadata metadata{};
  metadata.handle = handle;
  metadata.op = AMDGPU_GEM_METADATA_OP_SET_METADATA;
  metadata.data.data_size_bytes = 12;
  metadata.data.data[2] = 0xabcd;
  ASSERT_EQ(drm(client, DRM_IOCTL_AMDGPU_GEM_METADATA, metadata), 0);

  drm_prime_handle prime{handle, DRM_CLOEXEC | DRM_RDWR, -1};
  ASSERT_EQ(drm(client, DRM_IOCTL_PRIME_HANDLE_TO_FD, prime), 0);
  host[4] = std::byte{4};
  Buffer taken;
  ASSERT_EQ(import_fd(client, prime.fd, &taken), 0);
  AddressSpace& space = space_of(client);
  ASSERT_EQ(client.map(taken, {client.id()}), 0);
  Mapping mapping;
  ASSERT_TRUE(space.find(taken.va, &mapping));
  EXPECT_EQ(mapping.host[3], std::byte{3});
  EXPECT_EQ(mapping.host[4], std::byte{4});
  EXPECT_TRUE(mapping.local);

  // kfd_ioctl_get_dmabuf_info: metadata where there is room for it, its size only if asked for.
  std::uint32_t room[4] = {};
  uapi::GetDmabufInfo info{};
  info.dmabuf_fd = static_cast<std::uint32_t>(prime.fd);
  info.metadata_size = 99;
  ASSERT_EQ(client.call(uapi::kIocGetDmabufInfo, info), 0);
  EXPECT_EQ(info.metadata_size, 99u);
  EXPECT_EQ(info.size, 65536u);
  EXPECT_EQ(info.flags, uapi::kAllocVram | uapi::kAllocPublic);
  info.metadata_ptr = reinterpret_cast<std::uint64_t>(room);
  info.metadata_size = 8;
  EXPECT_EQ(client.call(uapi::kIocGetDmabufInfo, info), -EINVAL);
  EXPECT_EQ(info.metadata_size, 12u) << "told all the same";
  info.metadata_size = sizeof room;
  ASSERT_EQ(client.call(uapi::kIocGetDmabufInfo, info), 0);
  EXPECT_EQ(info.metadata_size, 12u);
  EXPECT_EQ(room[2], 0xabcdu);
  info.metadata_ptr = 8;
  info.metadata_size = 64;
  EXPECT_EQ(client.call(uapi::kIocGetDmabufInfo, info), -EFAULT);

  // The file that exported it finds its own handle again; another gets one.
  drm_prime_handle again{0, 0, prime.fd};
  ASSERT_EQ(drm(client, DRM_IOCTL_PRIME_FD_TO_HANDLE, again), 0);
  EXPECT_EQ(again.handle, handle);
  drm_gem_close close{handle, 0};
  EXPECT_EQ(drm(client, DRM_IOCTL_GEM_CLOSE, close), 0);
  EXPECT_EQ(drm(client, DRM_IOCTL_GEM_CLOSE, close), -EINVAL);
  EXPECT_EQ(mapping.host[3], std::byte{3});
  ::close(prime.fd);
}

TEST(KfdSharing, GemVaMapsIntoKfdsVm) {
  Client client("mi300x");
  client.acquire_all();
  AddressSpace& space = space_of(client);
  Buffer given;
  ASSERT_EQ(client.alloc(kVramFlags, 65536, &given), 0);
  const int fd = export_fd(client, given);
  drm_prime_handle prime{0, 0, fd};
  ASSERT_EQ(drm(client, DRM_IOCTL_PRIME_FD_TO_HANDLE, prime), 0);
  ::close(fd);
  const Va va = client.reserve(1 << 20);
  auto call = [&](std::uint32_t operation, Va at, std::uint64_t offset, std::uint64_t bytes,
                  std::uint32_t flags = kBoth) {
    drm_amdgpu_gem_va args{prime.handle, 0, operation, flags, at, offset, bytes};
    return drm(client, DRM_IOCTL_AMDGPU_GEM_VA, args);
  };
  ASSERT_EQ(call(AMDGPU_VA_OP_MAP, va, 4096, 32768), 0);
  Mapping mapping;
  ASSERT_TRUE(space.find(va, &mapping));
  EXPECT_EQ(mapping.end - mapping.begin, 32768u);
  EXPECT_TRUE(mapping.writable);
  EXPECT_FALSE(mapping.executable);
  // amdgpu_vm.c amdgpu_vm_bo_map: taken; amdgpu_vm_verify_parameters: alignment, ends.
  EXPECT_EQ(call(AMDGPU_VA_OP_MAP, va + 4096, 0, 4096), -EINVAL);
  EXPECT_EQ(call(AMDGPU_VA_OP_MAP, va + 65536, 100, 4096), -EINVAL);
  EXPECT_EQ(call(AMDGPU_VA_OP_MAP, va + 65536, 61440, 8192), -EINVAL);
  EXPECT_EQ(call(AMDGPU_VA_OP_MAP, va + 65536, 0, 4096, kBoth | AMDGPU_VM_PAGE_PRT), -EINVAL);
  // CLEAR cuts a hole into it, REPLACE fills one.
  ASSERT_EQ(call(AMDGPU_VA_OP_CLEAR, va + 8192, 0, 4096), 0);
  EXPECT_TRUE(space.find(va + 4096, &mapping));
  EXPECT_FALSE(space.find(va + 8192, &mapping));
  ASSERT_TRUE(space.find(va + 12288, &mapping));
  std::byte* const rest = mapping.host;
  ASSERT_EQ(call(AMDGPU_VA_OP_REPLACE, va + 8192, 12288, 8192), 0);
  ASSERT_TRUE(space.find(va + 12288, &mapping));
  EXPECT_EQ(mapping.host + 4096, rest) << "offset 12288 of the buffer, as it was there before";
  EXPECT_EQ(call(AMDGPU_VA_OP_UNMAP, va + 4096, 0, 0), -ENOENT);
  EXPECT_EQ(call(AMDGPU_VA_OP_UNMAP, va, 0, 0), 0);
  EXPECT_FALSE(space.find(va, &mapping));
  // Closing the handle takes the others away.
  drm_gem_close close{prime.handle, 0};
  ASSERT_EQ(drm(client, DRM_IOCTL_GEM_CLOSE, close), 0);
  EXPECT_FALSE(space.find(va + 8192, &mapping));
}

// ---- User memory -------------------------------------------------------------------------------

/// Memory of the process itself that GPU 0 has mapped.
Buffer give(Client& client, void* memory, std::uint64_t bytes) {
  Buffer buffer;
  buffer.va = reinterpret_cast<Va>(memory);
  buffer.mmap_offset = buffer.va;
  EXPECT_EQ(client.alloc(kUserFlags, bytes, &buffer), 0);
  EXPECT_EQ(client.map(buffer, {client.id()}), 0);
  return buffer;
}

TEST(KfdSharing, HeapAndFilesAreUserMemory) {
  Client client("mi300x");
  client.acquire_all();
  AddressSpace& space = space_of(client);
  // The heap does not end at pages: GPU pages cover all that hold the bytes.
  std::vector<std::uint32_t> heap(100'000, 7);
  const auto begin = reinterpret_cast<Va>(heap.data()) & ~Va{4095};
  const auto end = (reinterpret_cast<Va>(heap.data() + heap.size()) + 4095) & ~Va{4095};
  give(client, reinterpret_cast<void*>(begin), end - begin);
  Mapping mapping;
  ASSERT_TRUE(space.find(reinterpret_cast<Va>(&heap[5]), &mapping));
  EXPECT_TRUE(mapping.host_memory);
  std::uint32_t* seen = reinterpret_cast<std::uint32_t*>(
      mapping.host + (reinterpret_cast<Va>(&heap[5]) - mapping.begin));
  *seen = 9;
  EXPECT_EQ(heap[5], 9u);

  // A file, mapped shared: what the GPU stores is in it.
  const int file = ::open("/tmp", O_TMPFILE | O_RDWR, 0600);
  ASSERT_GE(file, 0);
  ASSERT_EQ(ftruncate(file, 8192), 0);
  void* at = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  give(client, at, 8192);
  ASSERT_TRUE(space.find(reinterpret_cast<Va>(at) + 4096, &mapping));
  mapping.host[4096] = std::byte{'x'};
  char got = 0;
  EXPECT_EQ(pread(file, &got, 1, 4096), 1);
  EXPECT_EQ(got, 'x');
  ::munmap(at, 8192);
  ::close(file);
}

TEST(KfdSharing, ProtectionOfUserMemoryReachesTheGpu) {
  Client client("mi300x");
  client.acquire_all();
  AddressSpace& space = space_of(client);
  void* at = nullptr;
  ASSERT_EQ(client.os->mmap(&at, nullptr, 65536, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            0);
  const Buffer buffer = give(client, at, 65536);
  Mapping mapping;
  // A single page without access takes the whole buffer from the GPU (update_invalid_user_pages).
  ASSERT_EQ(client.os->mprotect(static_cast<char*>(at) + 8192, 4096, PROT_NONE), 0);
  EXPECT_FALSE(space.find(buffer.va, &mapping));
  ASSERT_EQ(client.os->mprotect(static_cast<char*>(at) + 8192, 4096, PROT_READ | PROT_WRITE), 0);
  EXPECT_TRUE(space.find(buffer.va, &mapping));
  // New pages in the place of the old ones are the GPU's too.
  void* again = nullptr;
  ASSERT_EQ(client.os->mmap(&again, at, 65536, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
            0);
  ASSERT_TRUE(space.find(buffer.va, &mapping));
  static_cast<std::byte*>(at)[1] = std::byte{1};
  EXPECT_EQ(mapping.host[1], std::byte{1});
  // Moved away, it is no longer where the GPU looks.
  void* moved = at;
  void* const target = reinterpret_cast<void*>(client.reserve(65536));
  ASSERT_EQ(client.os->mremap(&moved, 65536, 65536, MREMAP_MAYMOVE | MREMAP_FIXED, target), 0);
  EXPECT_EQ(moved, target);
  EXPECT_FALSE(space.find(buffer.va, &mapping));
  // Its addresses are taken all the same (amdgpu_vm_bo_map), until it is unmapped.
  Buffer other;
  other.va = buffer.va + 4096;
  ASSERT_EQ(client.alloc(kVramFlags, 4096, &other), 0);
  EXPECT_EQ(client.map(other, {client.id()}), -EINVAL);
  EXPECT_EQ(client.unmap(buffer, {client.id()}), 0);
  EXPECT_EQ(client.free(buffer), 0);
  EXPECT_EQ(client.map(other, {client.id()}), 0);
}

TEST(KfdSharing, ABufferFollowsItsMappingThatMoves) {
  Client client("mi300x");
  client.acquire_all();
  Buffer buffer = client.buffer(kVramFlags, 65536);
  buffer.host[9] = std::byte{9};
  void* moved = buffer.host;
  void* const target = reinterpret_cast<void*>(client.reserve(65536));
  ASSERT_EQ(client.os->mremap(&moved, 65536, 65536, MREMAP_MAYMOVE | MREMAP_FIXED, target), 0);
  // An export moves the bytes: the mapping, wherever it is, goes along.
  const int fd = export_fd(client, buffer);
  static_cast<std::byte*>(moved)[10] = std::byte{10};
  std::byte got[2];
  ASSERT_EQ(pread(fd, got, 2, 9), 2);
  EXPECT_EQ(got[0], std::byte{9});
  EXPECT_EQ(got[1], std::byte{10});
  ::close(fd);
}

}  // namespace
}  // namespace kiln::vgpu::test

#include "vgpu/buffers.hpp"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

constexpr std::uint64_t kFakeOffsets = std::uint64_t{1} << 46;  // above every region

// The file of a dma-buf says by its name of which GPU it is, in which domain, and how it was
// allocated. Its size is sealed, as that of a dma-buf is fixed (dma-buf.c has no truncation).
constexpr char kDmabufName[] = "kiln-vgpu-dmabuf-%c-%x-%x";
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

constexpr std::uint64_t page_up(std::uint64_t bytes) {
  return (bytes + kPageBytes - 1) & ~(kPageBytes - 1);
}

/// Calls `visit(begin, end)` for what is not a hole in [begin, end) of a sparse file.
template <class Visit>
bool for_each_extent(int fd, off_t begin, off_t end, Visit visit) {
  for (off_t at = lseek(fd, begin, SEEK_DATA); at >= 0 && at < end; at = lseek(fd, at, SEEK_DATA)) {
    const off_t stop = std::min(lseek(fd, at, SEEK_HOLE), end);
    if (stop <= at || !visit(at, stop)) return false;
    at = stop;
  }
  return true;
}

}  // namespace

Backing::~Backing() {
  if (storage && export_fd >= 0) {
    // The place in the GPU's mapping goes back to the GPU's own file before it is reused.
    ::mmap(host, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
           gpu->region().fd(), static_cast<off_t>(storage->offset));
    ::madvise(host, bytes, MADV_DONTFORK);
  }
  if (export_fd >= 0) ::close(export_fd);
  if (storage) gpu->free(*storage);
}

Mtype mtype_of(const VirtualGpu& gpu, const Backing& backing) {
  if (backing.shared) return Mtype::Uncached;  // AddressSpace::keep_out_of_l2
  const ChipSpec& chip = gpu.chip();
  const std::uint32_t flags = backing.flags;
  const bool vram = backing.is_vram(), local = vram && backing.gpu == &gpu;
  // gmc_v9_0.c gmc_v9_0_get_coherence_flags, gmc_v10_0.c and gmc_v11_0.c get_vm_pte.
  const bool coherent = (flags & (uapi::kAllocCoherent | uapi::kAllocExtCoherent)) != 0;
  const bool uncached = (flags & uapi::kAllocUncached) != 0;
  if (uncached) return Mtype::Uncached;
  if (chip.gc.major >= 10) return coherent ? Mtype::Uncached : Mtype::NonCoherent;
  if (chip.gc >= IpVersion{9, 4, 3}) {
    if ((flags & uapi::kAllocExtCoherent) != 0) return local ? Mtype::Coherent : Mtype::Uncached;
    return vram && local ? Mtype::ReadWrite : Mtype::NonCoherent;
  }
  if (vram && local) return coherent ? Mtype::Coherent : Mtype::ReadWrite;
  return coherent ? Mtype::Uncached : Mtype::NonCoherent;
}

BufferTable::BufferTable(Machine& machine, MappingTable& mappings)
    : machine_(machine),
      mappings_(mappings),
      offsets_(machine.gpu_count()),
      next_fake_offset_(kFakeOffsets) {}

std::shared_ptr<Backing> BufferTable::create(VirtualGpu& gpu, Domain domain, std::uint64_t bytes,
                                             std::uint32_t flags) {
  auto backing = std::make_shared<Backing>();
  Storage storage;
  if (!gpu.allocate(domain, bytes, &storage)) return nullptr;
  backing->gpu = &gpu;
  backing->storage = storage;
  backing->host = storage.host;
  backing->bytes = bytes;
  backing->flags = flags;
  return backing;
}

// ---- Offsets of mmap ---------------------------------------------------------------------------

std::uint64_t BufferTable::allow(std::uint32_t gpu, std::uint64_t file,
                                 const std::shared_ptr<Backing>& backing, bool user_memory) {
  std::lock_guard lock(mutex_);
  // Buffers outside the GPU's region get an offset of their own.
  const std::uint64_t offset =
      backing->storage && backing->gpu->index() == gpu
          ? backing->storage->offset
          : std::exchange(next_fake_offset_, next_fake_offset_ + page_up(backing->bytes));
  Offset& entry = offsets_[gpu][offset];
  if (entry.backing.expired()) entry = {page_up(backing->bytes), backing, user_memory, {}};
  ++entry.files[file];
  return offset;
}

void BufferTable::revoke(std::uint32_t gpu, std::uint64_t file, std::uint64_t offset) {
  std::lock_guard lock(mutex_);
  const auto found = offsets_[gpu].find(offset);
  if (found == offsets_[gpu].end()) return;
  auto& files = found->second.files;
  if (const auto one = files.find(file); one != files.end() && --one->second == 0) files.erase(one);
  if (files.empty()) offsets_[gpu].erase(found);
}

int BufferTable::mmap(std::uint32_t gpu, std::uint64_t file, std::uint64_t bytes,
                      std::uint64_t offset, MmapTarget* target) {
  std::lock_guard lock(mutex_);
  // drm_gem_mmap looks for the very start of a buffer.
  const auto found = offsets_[gpu].find(offset);
  if (found == offsets_[gpu].end()) return -EINVAL;
  const Offset& entry = found->second;
  if (!entry.files.contains(file)) return -EACCES;  // drm_vma_node_is_allowed
  if (bytes > entry.bytes) return -EINVAL;
  const std::shared_ptr<Backing> backing = entry.backing.lock();
  if (backing == nullptr) return -EINVAL;
  // amdgpu_gem_object_mmap
  if (entry.user_memory || !backing->storage || backing->no_host_access) return -EPERM;
  const bool exported = backing->export_fd >= 0;
  target->fd = exported ? backing->export_fd : backing->gpu->region().fd();
  target->offset = exported ? 0 : backing->storage->offset;
  target->keep = backing;
  return 0;
}

// ---- dma-bufs ----------------------------------------------------------------------------------

void BufferTable::move_back(Backing& backing, int fd, std::uint64_t bytes) {
  const int home = backing.gpu->region().fd();
  const auto base = static_cast<off_t>(backing.storage->offset);
  for_each_extent(fd, 0, static_cast<off_t>(bytes), [&](off_t first, off_t last) {
    return pwrite(home, backing.host + first, static_cast<std::size_t>(last - first),
                  base + first) == last - first;
  });
  ::mmap(backing.host, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, home,
         base);
  mappings_.rebind(*backing.gpu, backing.storage->offset, bytes, home, backing.storage->offset);
}

int BufferTable::move_to_file(Backing& backing) {
  // From now on the bytes live in a file of their own, which other processes can map from its
  // start. The place in the GPU's mapping stays.
  char name[sizeof kDmabufName + 16];
  snprintf(name, sizeof name, kDmabufName, backing.is_vram() ? 'v' : 'g', backing.gpu->gpu_id(),
           backing.flags);
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  struct stat info{};
  if (ftruncate(fd, static_cast<off_t>(backing.bytes)) != 0 || fcntl(fd, F_ADD_SEALS, kSeals) ||
      fstat(fd, &info) != 0) {
    const int error = errno;
    ::close(fd);
    return -error;
  }
  const int from = backing.gpu->region().fd();
  const std::uint64_t base = backing.storage->offset;
  constexpr std::uint64_t kStep = 2ull << 20;
  std::vector<std::byte> before(std::min(kStep, backing.bytes)), after(before.size());
  for (std::uint64_t at = 0; at < backing.bytes; at += kStep) {
    const std::uint64_t size = std::min(kStep, backing.bytes - at);
    const auto begin = static_cast<off_t>(base + at), end = static_cast<off_t>(base + at + size);
    // Only pages that exist are copied: a hole reads as zero on both sides.
    std::memset(before.data(), 0, size);
    const bool copied = for_each_extent(from, begin, end, [&](off_t first, off_t last) {
      std::byte* const part = before.data() + (first - begin);
      const auto count = static_cast<std::size_t>(last - first);
      const off_t to = static_cast<off_t>(at) + (first - begin);
      return pread(from, part, count, first) == last - first &&
             pwrite(fd, part, count, to) == last - first;
    });
    if (!copied || ::mmap(backing.host + at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                          fd, static_cast<off_t>(at)) == MAP_FAILED) {
      move_back(backing, fd, at);
      ::close(fd);
      return -ENOMEM;
    }
    mappings_.rebind(*backing.gpu, base + at, size, fd, at);
    // What was stored to the old pages between the copy and the change of mappings follows, unless
    // the new ones have been stored to as well.
    for_each_extent(from, begin, end, [&](off_t first, off_t last) {
      const auto skip = static_cast<std::size_t>(first - begin);
      const auto count = static_cast<std::size_t>(last - first);
      if (pread(from, after.data() + skip, count, first) != last - first) return false;
      for (std::size_t word = skip; word < skip + count; word += 8) {
        std::uint64_t was, now;
        std::memcpy(&was, before.data() + word, 8);
        std::memcpy(&now, after.data() + word, 8);
        if (was == now) continue;
        std::atomic_ref<std::uint64_t> cell(
            *reinterpret_cast<std::uint64_t*>(backing.host + at + word));
        cell.compare_exchange_strong(was, now);
      }
      return true;
    });
  }
  ::madvise(backing.host, backing.bytes, MADV_DONTFORK);
  backing.gpu->region().discard(base, backing.bytes);
  backing.export_fd = fd;
  return 0;
}

int BufferTable::export_dmabuf(const std::shared_ptr<Backing>& backing, int fd_flags,
                               bool writable) {
  std::lock_guard lock(mutex_);
  if (backing->export_fd < 0) {
    if (const int error = move_to_file(*backing); error != 0) return error;
    struct stat info{};
    if (fstat(backing->export_fd, &info) != 0) return -errno;
    std::erase_if(dmabufs_, [](const auto& entry) { return entry.second.expired(); });
    dmabufs_[{info.st_dev, info.st_ino}] = backing;
  }
  // get_unused_fd_flags looks at O_CLOEXEC only. A dma-buf without DRM_RDWR is a file for reading.
  const int close_on_exec = fd_flags & O_CLOEXEC;
  int fd = -1;
  if (writable) {
    fd = fcntl(backing->export_fd, close_on_exec != 0 ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
  } else {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", backing->export_fd);
    fd = ::open(path, O_RDONLY | close_on_exec);
  }
  return fd < 0 ? -errno : fd;
}

std::shared_ptr<Backing> BufferTable::import_dmabuf(int fd, int* error) {
  // dma_buf_get: -EBADF without such a descriptor, -EINVAL for one of another kind.
  struct stat info{};
  if (fstat(fd, &info) != 0) return *error = -EBADF, nullptr;
  const Inode inode{info.st_dev, info.st_ino};
  std::lock_guard lock(mutex_);
  if (const auto found = dmabufs_.find(inode); found != dmabufs_.end())
    if (auto backing = found->second.lock(); backing != nullptr) return backing;
  // Exported by another process: the file's name says from where.
  char path[64], link[128] = {};
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  char kind = 0;
  unsigned gpu_id = 0, flags = 0;
  const std::string pattern = std::string("/memfd:") + kDmabufName;
  if (readlink(path, link, sizeof link - 1) <= 0 ||
      sscanf(link, pattern.c_str(), &kind, &gpu_id, &flags) != 3 || (kind != 'v' && kind != 'g'))
    return *error = -EINVAL, nullptr;
  const int seals = fcntl(fd, F_GET_SEALS);
  const auto bytes = static_cast<std::uint64_t>(info.st_size);
  VirtualGpu* gpu = machine_.gpu_by_id(gpu_id);  // null: of a card that is not here
  if (gpu == nullptr || seals < 0 || (seals & kSeals) != kSeals || bytes == 0 ||
      bytes % kPageBytes != 0)
    return *error = -EINVAL, nullptr;
  auto backing = create(*gpu, kind == 'v' ? Domain::Vram : Domain::Gtt, bytes, flags);
  if (backing == nullptr) return *error = -ENOMEM, nullptr;
  // GPUs may write to what its exporter gave out for reading: KFD maps imports for both.
  int own = ::open(path, O_RDWR | O_CLOEXEC);
  if (own < 0) own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return *error = -errno, nullptr;
  backing->shared = true;
  backing->export_fd = own;
  if (::mmap(backing->host, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, own, 0) ==
      MAP_FAILED)
    return *error = -ENOMEM, nullptr;
  ::madvise(backing->host, bytes, MADV_DONTFORK);
  std::erase_if(dmabufs_, [](const auto& entry) { return entry.second.expired(); });
  dmabufs_[inode] = backing;
  return backing;
}

BufferMetadata BufferTable::metadata(const Backing& backing) const {
  std::lock_guard lock(mutex_);
  return backing.metadata;
}

void BufferTable::set_metadata(Backing& backing, const BufferMetadata& metadata) {
  std::lock_guard lock(mutex_);
  backing.metadata = metadata;
}

}  // namespace kiln::vgpu

// Owns: the ioctls of memory: acquiring the VM, allocation, mapping, sharing by dma-buf.
// Does not own: the other ioctls (kfd_node.cpp, kfd_queue.cpp), page tables (memory.*).
// Threading: see kfd_node.hpp.
//
// Functions named in comments are those of kfd_chardev.c and amdgpu_amdkfd_gpuvm.c.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "vgpu/kfd_engines.hpp"
#include "vgpu/kfd_node.hpp"
#include "vgpu/user_memory.hpp"

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

constexpr char kDmabufName[] = "kiln-vgpu-dmabuf-";
constexpr Va kGpuvmEnd = Va{1} << 47;

constexpr std::uint64_t page_up(std::uint64_t bytes) {
  return (bytes + kPageBytes - 1) & ~(kPageBytes - 1);
}

/// How the pages of an allocation are cached by `device` (gmc_v9_0.c gmc_v9_0_get_coherence_flags,
/// gmc_v10_0.c and gmc_v11_0.c get_vm_pte).
Mtype mtype_of(const ChipSpec& chip, std::uint32_t flags, bool vram, bool local) {
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

/// The kinds of memory, of which a request names exactly one.
std::uint32_t kind_of(std::uint32_t flags) {
  for (const std::uint32_t kind : {uapi::kAllocVram, uapi::kAllocGtt, uapi::kAllocUserptr,
                                   uapi::kAllocDoorbell, uapi::kAllocMmioRemap})
    if ((flags & kind) != 0) return kind;
  return 0;
}

}  // namespace

int KfdNode::acquire_vm(OpenFile&, KfdProcess& process, void* data) {
  const auto& args = *static_cast<uapi::AcquireVm*>(data);
  const std::shared_ptr<OpenFile> drm = files_.render_file(static_cast<int>(args.drm_fd));
  if (drm == nullptr) return -EINVAL;  // fget or amdgpu_file_to_fpriv failed
  std::lock_guard lock(process.mutex);
  ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  if (device->drm_file != 0) return device->drm_file == drm->id ? 0 : -EBUSY;
  // A render node of another card has no VM of this one.
  if (drm->gpu != device->gpu->index()) return -EINVAL;
  // amdgpu_amdkfd_gpuvm_acquire_process_vm: already a compute VM (of another context).
  if (drm->has_compute_vm.exchange(true)) return -EINVAL;
  device->drm_file = drm->id;
  return 0;
}

std::uint64_t KfdNode::add_handle(ProcessDevice& owner, std::unique_ptr<Allocation> allocation) {
  const std::uint32_t number = owner.next_handle++;
  {
    std::lock_guard lock(table_mutex_);
    auto& buffers = buffers_[owner.gpu->index()];
    const Backing& backing = *allocation->backing;
    // A buffer imported twice has one offset; buffers outside the region get one of their own.
    allocation->mmap_offset =
        backing.storage && backing.gpu == owner.gpu
            ? backing.storage->offset
            : std::exchange(next_fake_offset_, next_fake_offset_ + page_up(backing.bytes));
    buffers[allocation->mmap_offset] = {owner.drm_file, page_up(backing.bytes), allocation->backing,
                                        (allocation->flags & uapi::kAllocUserptr) != 0};
  }
  owner.handles.emplace(number, std::move(allocation));
  return make_handle(owner.gpu->gpu_id(), number);
}

int KfdNode::alloc_memory(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::AllocMemoryOfGpu*>(data);
  if (args.size == 0) return -EINVAL;
  std::lock_guard lock(process.mutex);
  ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  // The whole of VRAM is visible here (large BAR), so PUBLIC is always allowed.
  const std::uint32_t kind = kind_of(args.flags);
  if (kind == uapi::kAllocDoorbell && args.size != kDoorbellBytes) return -EINVAL;
  if (kind == uapi::kAllocMmioRemap && args.size != uapi::kMmioRemapBytes) return -EINVAL;
  // kfd_chardev.c, kfd_ioctl_alloc_memory_of_gpu: no remapped page, no address for it.
  if (kind == uapi::kAllocMmioRemap && machine_.spec().no_hdp_page) return -ENOMEM;
  if (device->drm_file == 0) return -ENODEV;  // kfd_bind_process_to_device
  if (kind == 0) return -EINVAL;

  auto backing = std::make_shared<Backing>();
  backing->gpu = device->gpu;
  auto allocation = std::make_unique<Allocation>();
  allocation->gpu = device->gpu->index();
  allocation->va = args.va_addr;
  allocation->flags = args.flags;
  allocation->bytes = page_up(args.size);
  allocation->aql_twice = (args.flags & uapi::kAllocAqlQueueMem) != 0;
  // KFD allocates half and maps it twice, an old remedy for ring wrap, on every chip.
  backing->bytes = allocation->aql_twice ? page_up(args.size / 2) : allocation->bytes;
  switch (kind) {
    case uapi::kAllocVram:
    case uapi::kAllocGtt: {
      Storage storage;
      const Domain domain = kind == uapi::kAllocVram ? Domain::Vram : Domain::Gtt;
      if (!device->gpu->allocate(domain, backing->bytes, &storage)) return -ENOMEM;
      backing->storage = storage;
      backing->host = storage.host;
      break;
    }
    case uapi::kAllocUserptr: {
      // init_user_pages: the pages must be there, and writable unless mapped read-only.
      const std::uint64_t address = args.mmap_offset;
      if (address == 0) return -EINVAL;
      const HostAccess access = host_access(address, args.size);
      const bool writes = (args.flags & uapi::kAllocWritable) != 0;
      if (access == HostAccess::None || (writes && access == HostAccess::ReadOnly)) return -EFAULT;
      backing->host = reinterpret_cast<std::byte*>(address);
      ++user_buffers_;
      break;
    }
    default: {
      Region* pages = process.doorbells(*device);
      if (pages == nullptr) return -ENOMEM;
      backing->host = pages->host() + (kind == uapi::kAllocMmioRemap ? kDoorbellBytes : 0);
      break;
    }
  }
  allocation->backing = std::move(backing);
  Allocation& kept = *allocation;
  args.handle = add_handle(*device, std::move(allocation));
  args.mmap_offset = kind == uapi::kAllocMmioRemap
                         ? std::uint64_t{args.gpu_id} << 46  // KFD_MMAP_TYPE_MMIO of that GPU
                         : kept.mmap_offset;
  return 0;
}

int KfdNode::free_memory(OpenFile&, KfdProcess& process, void* data) {
  const std::uint64_t handle = static_cast<uapi::FreeMemoryOfGpu*>(data)->handle;
  std::unique_ptr<Allocation> freed;  // given back after the locks
  std::lock_guard lock(process.mutex);
  ProcessDevice* device = nullptr;
  Allocation* allocation = process.allocation(handle, &device);
  if (handle != 0 && handle == process.events.page_handle()) return -EBUSY;
  if (allocation == nullptr) return -EINVAL;
  if (!allocation->mapped_on.empty()) return -EBUSY;
  auto node = device->handles.extract(static_cast<std::uint32_t>(handle));
  freed = std::move(node.mapped());
  std::lock_guard table_lock(table_mutex_);
  auto& buffers = buffers_[device->gpu->index()];
  if (freed->backing.use_count() == 1) buffers.erase(freed->mmap_offset);
  return 0;
}

int KfdNode::map_one(Allocation& allocation, ProcessDevice& device) {
  // amdgpu_amdkfd_gpuvm_map_memory_to_gpu; amdgpu_vm.c amdgpu_vm_verify_parameters.
  const std::uint32_t index = device.gpu->index();
  if (allocation.mapped_on.contains(index)) return 0;
  const std::uint64_t part = allocation.backing->bytes;
  const unsigned parts = allocation.aql_twice ? 2 : 1;
  if (allocation.va == 0 || allocation.va % kPageBytes != 0) return -EINVAL;
  if (allocation.va + part * parts > kGpuvmEnd || allocation.va + part * parts < part)
    return -EINVAL;
  const bool vram = (allocation.flags & uapi::kAllocVram) != 0;
  const bool local = vram && allocation.gpu == index;
  const std::uint64_t skew =  // user memory need not start on a page; its mapping does
      (allocation.flags & uapi::kAllocUserptr) != 0
          ? reinterpret_cast<std::uint64_t>(allocation.backing->host) % kPageBytes
          : 0;
  for (unsigned i = 0; i < parts; ++i) {
    Mapping mapping;
    mapping.begin = allocation.va + i * part;
    mapping.end = mapping.begin + part;
    mapping.host = allocation.backing->host - skew;
    mapping.writable = (allocation.flags & uapi::kAllocWritable) != 0;
    mapping.executable = (allocation.flags & uapi::kAllocExecutable) != 0;
    mapping.mtype = mtype_of(device.gpu->chip(), allocation.flags, vram, local);
    mapping.local = local;
    mapping.host_memory = !vram;
    if (!device.space.map(mapping)) {
      if (i == 1) {
        device.space.unmap(allocation.va);
        device.attachments.erase(allocation.va);
      }
      return -EINVAL;
    }
    device.attachments[mapping.begin] = {&allocation, part, 0};
  }
  allocation.mapped_on.insert(index);
  return 0;
}

int KfdNode::unmap_one(Allocation& allocation, ProcessDevice& device) {
  const std::uint32_t index = device.gpu->index();
  if (!allocation.mapped_on.contains(index)) return -EINVAL;  // no VM was reserved
  const std::uint64_t part = allocation.backing->bytes;
  const unsigned parts = allocation.aql_twice ? 2 : 1;
  for (unsigned i = 0; i < parts; ++i)
    if (device.attachments[allocation.va + i * part].queue_refs != 0) return -EBUSY;
  for (unsigned i = 0; i < parts; ++i) {
    device.space.unmap(allocation.va + i * part);
    device.attachments.erase(allocation.va + i * part);
  }
  allocation.mapped_on.erase(index);
  return 0;
}

int KfdNode::map_memory(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::MapMemoryToGpu*>(data);
  if (args.n_devices == 0 || args.n_success > args.n_devices) return -EINVAL;
  std::vector<std::uint32_t> ids(std::min<std::uint32_t>(args.n_devices, 4096));
  if (ids.size() != args.n_devices) return -ENOMEM;
  if (!copy_from_user(ids.data(), args.device_ids_array_ptr, ids.size() * 4)) return -EFAULT;
  std::lock_guard lock(process.mutex);
  ProcessDevice* owner = nullptr;
  Allocation* allocation = process.allocation(args.handle, &owner);
  if (owner == nullptr) return -EINVAL;
  if (owner->drm_file == 0) return -ENODEV;
  if (allocation == nullptr) return -ENOMEM;
  for (std::uint32_t i = args.n_success; i < args.n_devices; ++i) {
    ProcessDevice* peer = process.device(ids[i]);
    if (peer == nullptr) return -EINVAL;
    if (peer->drm_file == 0) return -ENODEV;
    if (const int error = map_one(*allocation, *peer); error != 0) return error;
    args.n_success = i + 1;
  }
  // KFD flushes TLBs here, and with them goes what hosts wrote through the BAR.
  for (const std::uint32_t id : ids)
    if (ProcessDevice* peer = process.device(id); peer != nullptr)
      if (Engines* made = engines_[peer->gpu->index()]->if_made()) made->flush_hdp();
  return 0;
}

int KfdNode::unmap_memory(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::UnmapMemoryFromGpu*>(data);
  if (args.n_devices == 0 || args.n_success > args.n_devices) return -EINVAL;
  std::vector<std::uint32_t> ids(std::min<std::uint32_t>(args.n_devices, 4096));
  if (ids.size() != args.n_devices) return -ENOMEM;
  if (!copy_from_user(ids.data(), args.device_ids_array_ptr, ids.size() * 4)) return -EFAULT;
  std::lock_guard lock(process.mutex);
  ProcessDevice* owner = nullptr;
  Allocation* allocation = process.allocation(args.handle, &owner);
  if (owner == nullptr) return -EINVAL;
  if (allocation == nullptr) return -ENOMEM;
  for (std::uint32_t i = args.n_success; i < args.n_devices; ++i) {
    ProcessDevice* peer = process.device(ids[i]);
    if (peer == nullptr) return -EINVAL;
    if (const int error = unmap_one(*allocation, *peer); error != 0) return error;
    args.n_success = i + 1;
  }
  return 0;
}

int KfdNode::available_memory(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::GetAvailableMemory*>(data);
  const ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  constexpr std::uint64_t kAlignment = 2ull << 20;  // VRAM_AVAILABLITY_ALIGN
  args.available = device->gpu->free_vram() & ~(kAlignment - 1);
  return 0;
}

void KfdNode::host_unmapped(std::uint64_t address, std::uint64_t bytes) {
  // What KFD's MMU notifier leads to: the GPU has no such pages until they are there again.
  if (user_buffers_ == 0) return;
  std::vector<std::shared_ptr<KfdProcess>> all;
  {
    std::lock_guard lock(table_mutex_);
    for (auto& [token, process] : processes_) all.push_back(process);
  }
  for (auto& process : all) {
    std::lock_guard lock(process->mutex);
    for (std::size_t index = 0; index < process->device_count(); ++index) {
      ProcessDevice& device = process->device_at(index);
      for (auto& [va, attachment] : device.attachments) {
        const Allocation& allocation = *attachment.allocation;
        if ((allocation.flags & uapi::kAllocUserptr) == 0) continue;
        const auto host = reinterpret_cast<std::uint64_t>(allocation.backing->host);
        if (host < address + bytes && address < host + allocation.backing->bytes)
          device.space.unmap(va);
      }
    }
  }
}

// ---- Sharing -----------------------------------------------------------------------------------

int KfdNode::export_dmabuf(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::ExportDmabuf*>(data);
  std::lock_guard lock(process.mutex);
  ProcessDevice* owner = nullptr;
  Allocation* allocation = process.allocation(args.handle, &owner);
  if (owner == nullptr || allocation == nullptr) return -EINVAL;
  Backing& backing = *allocation->backing;
  if (!backing.storage) return -EINVAL;  // user memory, doorbells: no exportable object
  if (backing.export_fd < 0) {
    // From now on the bytes live in a file of their own, which other processes can map from its
    // start. The place in the GPU's mapping stays; a store that races with the move may be lost, so
    // memory is exported before it is written to, as drivers do.
    const std::string name =
        strf("%s%c%u", kDmabufName, backing.storage->domain == Domain::Vram ? 'v' : 'g',
             backing.gpu->index());
    const int fd = memfd_create(name.c_str(), MFD_CLOEXEC);
    if (fd < 0) return -errno;
    struct stat info{};
    if (ftruncate(fd, static_cast<off_t>(backing.bytes)) != 0 || fstat(fd, &info) != 0) {
      const int error = errno;
      close(fd);
      return -error;
    }
    // Only pages that exist are copied: a hole reads as zero on both sides.
    const int from = backing.gpu->region().fd();
    const auto begin = static_cast<off_t>(backing.storage->offset);
    const off_t end = begin + static_cast<off_t>(backing.bytes);
    for (off_t at = lseek(from, begin, SEEK_DATA); at >= 0 && at < end;
         at = lseek(from, at, SEEK_DATA)) {
      const off_t stop = std::min(lseek(from, at, SEEK_HOLE), end);
      if (pwrite(fd, backing.host + (at - begin), static_cast<std::size_t>(stop - at),
                 at - begin) != stop - at) {
        close(fd);
        return -ENOMEM;
      }
      at = stop;
    }
    if (::mmap(backing.host, backing.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
               0) == MAP_FAILED) {
      const int error = errno;
      close(fd);
      return -error;
    }
    ::madvise(backing.host, backing.bytes, MADV_DONTFORK);
    backing.export_fd = fd;
    backing.export_inode = info.st_ino;
    files_.rebind(*backing.gpu, backing.storage->offset, backing.bytes, fd);
    std::lock_guard table_lock(table_mutex_);
    dmabufs_[info.st_ino] = allocation->backing;
  }
  const int fd = (args.flags & O_CLOEXEC) != 0 ? fcntl(backing.export_fd, F_DUPFD_CLOEXEC, 0)
                                               : dup(backing.export_fd);
  if (fd < 0) return -errno;
  args.dmabuf_fd = static_cast<std::uint32_t>(fd);
  return 0;
}

std::shared_ptr<Backing> KfdNode::find_dmabuf(int fd, int* error) {
  // dma_buf_get: -EBADF without such a descriptor, -EINVAL for one of another kind.
  struct stat info{};
  if (fstat(fd, &info) != 0) return *error = -EBADF, nullptr;
  {
    std::lock_guard lock(table_mutex_);
    const auto found = dmabufs_.find(info.st_ino);
    if (found != dmabufs_.end())
      if (auto backing = found->second.lock(); backing != nullptr) return backing;
  }
  // Exported by another process: the file's name says from where.
  char path[64], link[128] = {};
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  char kind = 0;
  unsigned gpu = 0;
  const std::string pattern = std::string("/memfd:") + kDmabufName + "%c%u";
  if (readlink(path, link, sizeof link - 1) <= 0 ||
      sscanf(link, pattern.c_str(), &kind, &gpu) != 2 || (kind != 'v' && kind != 'g') ||
      gpu >= machine_.gpu_count())
    return *error = -EINVAL, nullptr;
  auto backing = std::make_shared<Backing>();
  backing->gpu = &machine_.gpu(gpu);
  backing->bytes = static_cast<std::uint64_t>(info.st_size);
  Storage storage;
  if (!backing->gpu->allocate(kind == 'v' ? Domain::Vram : Domain::Gtt, backing->bytes, &storage))
    return *error = -ENOMEM, nullptr;
  backing->storage = storage;
  backing->host = storage.host;
  backing->export_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  backing->export_inode = info.st_ino;
  if (backing->export_fd < 0 || ::mmap(storage.host, backing->bytes, PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_FIXED, backing->export_fd, 0) == MAP_FAILED)
    return *error = -ENOMEM, nullptr;
  ::madvise(storage.host, backing->bytes, MADV_DONTFORK);
  std::lock_guard lock(table_mutex_);
  dmabufs_[info.st_ino] = backing;
  return backing;
}

int KfdNode::import_dmabuf(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::ImportDmabuf*>(data);
  int error = 0;
  const auto backing = find_dmabuf(static_cast<int>(args.dmabuf_fd), &error);
  if (backing == nullptr) return error;
  std::lock_guard lock(process.mutex);
  ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  if (device->drm_file == 0) return -ENODEV;
  auto allocation = std::make_unique<Allocation>();
  allocation->backing = backing;
  allocation->gpu = backing->gpu->index();
  allocation->va = args.va_addr;
  allocation->bytes = backing->bytes;
  // amdgpu_amdkfd_gpuvm_import_dmabuf: writable and executable, in the domain of the object.
  allocation->flags =
      (backing->storage->domain == Domain::Vram ? uapi::kAllocVram : uapi::kAllocGtt) |
      uapi::kAllocWritable | uapi::kAllocExecutable;
  args.handle = add_handle(*device, std::move(allocation));
  return 0;
}

int KfdNode::get_dmabuf_info(OpenFile&, KfdProcess&, void* data) {
  auto& args = *static_cast<uapi::GetDmabufInfo*>(data);
  int error = 0;
  const auto backing = find_dmabuf(static_cast<int>(args.dmabuf_fd), &error);
  if (backing == nullptr) return error;
  args.size = backing->bytes;
  args.metadata_size = 0;  // set by graphics drivers only
  args.gpu_id = backing->gpu->gpu_id();
  args.flags = backing->storage->domain == Domain::Vram ? uapi::kAllocVram | uapi::kAllocPublic
                                                        : uapi::kAllocGtt;
  return 0;
}

}  // namespace kiln::vgpu

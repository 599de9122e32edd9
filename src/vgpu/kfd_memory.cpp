// Owns: the ioctls of memory: acquiring the VM, allocation, mapping; user memory that goes away.
// Does not own: dma-bufs (kfd_dmabuf.cpp), the other ioctls (kfd_node.cpp, kfd_queue.cpp), the
//   bytes (buffers.*), page tables (memory.*).
// Threading: see kfd_node.hpp.
//
// Functions named in comments are those of kfd_chardev.c and amdgpu_amdkfd_gpuvm.c.
#include <errno.h>

#include <algorithm>

#include "vgpu/kfd_engines.hpp"
#include "vgpu/kfd_node.hpp"
#include "vgpu/user_memory.hpp"

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

constexpr Va kGpuvmEnd = Va{1} << 47;

constexpr std::uint64_t page_up(std::uint64_t bytes) {
  return (bytes + kPageBytes - 1) & ~(kPageBytes - 1);
}

/// What kind of memory is meant: with several named, the first of these.
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
  allocation->mmap_offset = buffers_.allow(owner.gpu->index(), owner.drm_file, allocation->backing,
                                           (allocation->flags & uapi::kAllocUserptr) != 0);
  owner.handles.emplace(number, std::move(allocation));
  return make_handle(owner.gpu->gpu_id(), number);
}

void KfdNode::drop_handle(ProcessDevice& owner, std::uint32_t number) {
  const auto node = owner.handles.extract(number);
  buffers_.revoke(owner.gpu->index(), owner.drm_file, node.mapped()->mmap_offset);
}

int KfdNode::alloc_memory(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::AllocMemoryOfGpu*>(data);
  if (args.size == 0) return -EINVAL;
  std::lock_guard lock(process.mutex);
  ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  // The whole of VRAM is visible here (large BAR), so PUBLIC is always allowed.
  if (device->drm_file == 0) return -ENODEV;  // kfd_bind_process_to_device
  if ((args.flags & uapi::kAllocDoorbell) != 0) {
    if (args.size != kDoorbellBytes) return -EINVAL;
  } else if ((args.flags & uapi::kAllocMmioRemap) != 0) {
    if (args.size != uapi::kMmioRemapBytes) return -EINVAL;
    if (machine_.spec().no_hdp_page) return -ENOMEM;  // no remapped page, no address for it
  }

  // amdgpu_amdkfd_gpuvm_alloc_memory_of_gpu
  const std::uint32_t kind = kind_of(args.flags);
  if (kind == 0) return -EINVAL;
  const std::uint64_t user = args.mmap_offset;
  if (kind == uapi::kAllocUserptr && user == 0) return -EINVAL;
  auto allocation = std::make_unique<Allocation>();
  allocation->aql_twice = (args.flags & uapi::kAllocAqlQueueMem) != 0;
  // KFD allocates half and maps it twice, an old remedy for ring wrap, on every chip.
  const std::uint64_t wanted = allocation->aql_twice ? args.size / 2 : args.size;
  const std::uint64_t bytes = page_up(wanted);
  if (wanted == 0) return -EINVAL;
  if (bytes < wanted) return -ENOMEM;
  allocation->gpu = device->gpu->index();
  allocation->va = args.va_addr;
  allocation->flags = args.flags;
  allocation->bytes = allocation->aql_twice ? 2 * bytes : bytes;
  std::shared_ptr<Backing> backing;
  if (kind == uapi::kAllocVram || kind == uapi::kAllocGtt) {
    const Domain domain = kind == uapi::kAllocVram ? Domain::Vram : Domain::Gtt;
    backing = buffers_.create(*device->gpu, domain, bytes, args.flags);
    if (backing == nullptr) return -ENOMEM;  // amdgpu_amdkfd_reserve_mem_limit
  } else {
    backing = std::make_shared<Backing>();
    backing->gpu = device->gpu;
    backing->bytes = bytes;
    backing->flags = args.flags;
    if (kind == uapi::kAllocUserptr) {
      // init_user_pages asks for pages to write, also without WRITABLE: hmm_vma_fault (mm/hmm.c)
      // says -EPERM of a read-only mapping, hmm_vma_walk_hole -EFAULT where there is none.
      switch (host_access(user & ~(kPageBytes - 1), bytes)) {
        case HostAccess::None:
          return -EFAULT;
        case HostAccess::ReadOnly:
          return -EPERM;
        case HostAccess::ReadWrite:
          break;
      }
      backing->host = reinterpret_cast<std::byte*>(user);
      ++user_buffers_;
    } else {
      Region* pages = process.doorbells(*device);
      if (pages == nullptr) return -ENOMEM;
      backing->host = pages->host() + (kind == uapi::kAllocMmioRemap ? kDoorbellBytes : 0);
    }
  }
  allocation->backing = std::move(backing);
  Allocation& kept = *allocation;
  args.handle = add_handle(*device, std::move(allocation));
  args.mmap_offset = (args.flags & uapi::kAllocMmioRemap) != 0
                         ? std::uint64_t{args.gpu_id} << 46  // KFD_MMAP_TYPE_MMIO of that GPU
                         : kept.mmap_offset;
  return 0;
}

int KfdNode::free_memory(OpenFile&, KfdProcess& process, void* data) {
  const std::uint64_t handle = static_cast<uapi::FreeMemoryOfGpu*>(data)->handle;
  std::lock_guard lock(process.mutex);
  // The event page is the kernel's until the process ends.
  if (handle != 0 && handle == process.events.page_handle()) return -EPERM;
  ProcessDevice* device = nullptr;
  const Allocation* allocation = process.allocation(handle, &device);
  if (allocation == nullptr) return -EINVAL;
  if (!allocation->mapped_on.empty()) return -EBUSY;
  drop_handle(*device, static_cast<std::uint32_t>(handle));
  return 0;
}

Mapping KfdNode::mapping_of(const Allocation& allocation, const ProcessDevice& device, Va va) {
  const Backing& backing = *allocation.backing;
  const bool local = backing.is_vram() && backing.gpu == device.gpu;
  const std::uint64_t skew =  // user memory need not start on a page; its mapping does
      (allocation.flags & uapi::kAllocUserptr) != 0
          ? reinterpret_cast<std::uint64_t>(backing.host) % kPageBytes
          : 0;
  Mapping mapping;
  mapping.begin = va;
  mapping.end = va + backing.bytes;
  mapping.host = backing.host - skew;
  mapping.writable = (allocation.flags & uapi::kAllocWritable) != 0;
  mapping.executable = (allocation.flags & uapi::kAllocExecutable) != 0;
  mapping.mtype = mtype_of(*device.gpu, backing);
  mapping.local = local;
  mapping.host_memory = !backing.is_vram();
  return mapping;
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
  for (unsigned i = 0; i < parts; ++i) {
    const Mapping mapping = mapping_of(allocation, device, allocation.va + i * part);
    // User memory that is gone still has its addresses.
    const auto next = device.attachments.lower_bound(mapping.begin);
    const bool taken = (next != device.attachments.end() && next->first < mapping.end) ||
                       (next != device.attachments.begin() &&
                        std::prev(next)->first + std::prev(next)->second.bytes > mapping.begin);
    if (taken || !device.space.map(mapping)) {
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
  args.available = device->gpu->available_vram();
  return 0;
}

// ---- User memory that changes ------------------------------------------------------------------

template <class Visit>
void KfdNode::for_each_user_mapping(std::uint64_t address, std::uint64_t bytes, Visit visit) {
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
        Allocation& allocation = *attachment.allocation;
        if ((allocation.flags & uapi::kAllocUserptr) == 0) continue;
        const auto host = reinterpret_cast<std::uint64_t>(allocation.backing->host);
        if (host < address + bytes && address < host + allocation.backing->bytes)
          visit(device, va, allocation);
      }
    }
  }
}

void KfdNode::host_unmapped(std::uint64_t address, std::uint64_t bytes) {
  // What KFD's MMU notifier and the worker after it lead to (amdgpu_amdkfd_evict_userptr,
  // update_invalid_user_pages): without its pages the whole buffer has no page table entries.
  for_each_user_mapping(address, bytes,
                        [](ProcessDevice& device, Va va, Allocation&) { device.space.unmap(va); });
}

void KfdNode::host_restored(std::uint64_t address, std::uint64_t bytes) {
  for_each_user_mapping(address, bytes, [](ProcessDevice& device, Va va, Allocation& buffer) {
    Mapping present;
    const auto host = reinterpret_cast<std::uint64_t>(buffer.backing->host);
    if (device.space.find(va, &present) ||
        host_access(host & ~(kPageBytes - 1), buffer.backing->bytes) != HostAccess::ReadWrite)
      return;
    device.space.map(mapping_of(buffer, device, va));
  });
}

}  // namespace kiln::vgpu

#include "vgpu/drm_gem.hpp"

#include <amdgpu_drm.h>
#include <drm.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>

#include "vgpu/kfd_node.hpp"
#include "vgpu/user_memory.hpp"

// Functions named in comments are those of amdgpu_gem.c unless a file is given.

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

// include/uapi/drm/amdgpu_drm.h of newer kernels.
constexpr std::uint64_t kDiscardable = 1u << 12, kGfx12Dcc = 1u << 16;
constexpr std::uint32_t kNoAlloc = 1u << 9;
constexpr Va kReservedBottom = 1ull << 16;        // AMDGPU_VA_RESERVED_BOTTOM, amdgpu_vm.h
constexpr Va kEnd = Va{1} << 47;                  // as for KFD's maps (kfd_memory.cpp)
constexpr Va kHoleBegin = 0x0000800000000000ull;  // AMDGPU_GMC_HOLE_START, amdgpu_gmc.h
constexpr std::uint64_t kDomains = 0x3f;          // AMDGPU_GEM_DOMAIN_MASK without newer ones

constexpr std::uint64_t page_up(std::uint64_t bytes) {
  return (bytes + kPageBytes - 1) & ~(kPageBytes - 1);
}

}  // namespace

DrmGem::File& DrmGem::state(const OpenFile& file) {
  auto& entry = files_[file.id];
  if (entry == nullptr) entry = std::make_shared<File>();
  return *entry;
}

DrmGem::Handle* DrmGem::find(OpenFile& file, std::uint32_t number) {
  File& in = state(file);
  const auto found = in.handles.find(number);
  return found == in.handles.end() ? nullptr : &found->second;
}

std::shared_ptr<AddressSpace> DrmGem::space_of(OpenFile& file) {
  if (auto space = node_.compute_space(file.id); space != nullptr) return space;
  return {files_[file.id], &state(file).own};
}

int DrmGem::ioctl(OpenFile& file, unsigned number, void* data) {
  std::lock_guard lock(mutex_);
  switch (number) {
    case _IOC_NR(DRM_IOCTL_AMDGPU_GEM_CREATE):
      return create(file, data);
    case _IOC_NR(DRM_IOCTL_AMDGPU_GEM_MMAP):
      return mmap_offset(file, data);
    case _IOC_NR(DRM_IOCTL_GEM_CLOSE):
      return close(file, data);
    case _IOC_NR(DRM_IOCTL_PRIME_HANDLE_TO_FD):
      return to_fd(file, data);
    case _IOC_NR(DRM_IOCTL_PRIME_FD_TO_HANDLE):
      return from_fd(file, data);
    case _IOC_NR(DRM_IOCTL_AMDGPU_GEM_METADATA):
      return metadata(file, data);
    case _IOC_NR(DRM_IOCTL_AMDGPU_GEM_WAIT_IDLE):
      return wait_idle(file, data);
    case _IOC_NR(DRM_IOCTL_AMDGPU_GEM_OP):
      return op(file, data);
    case _IOC_NR(DRM_IOCTL_AMDGPU_GEM_VA):
      return va(file, data);
    default:
      return -EINVAL;
  }
}

void DrmGem::release(OpenFile& file) {
  // A node whose VM is KFD's stays open there: handles and mappings live on with the process.
  if (file.has_compute_vm) return;
  std::lock_guard lock(mutex_);
  const auto node = files_.extract(file.id);
  if (node.empty()) return;
  for (auto& [number, handle] : node.mapped()->handles)
    node_.buffers().revoke(file.gpu, file.id, handle.mmap_offset);
}

int DrmGem::add(OpenFile& file, Handle handle, std::uint32_t* number) {
  File& in = state(file);
  // drm_gem_handle_create_tail: the lowest free number from 1 on.
  *number = 1;
  for (const auto& [taken, other] : in.handles)
    if (taken == *number) ++*number;
  handle.mmap_offset = node_.buffers().allow(file.gpu, file.id, handle.backing, false);
  in.handles.emplace(*number, std::move(handle));
  return 0;
}

int DrmGem::create(OpenFile& file, void* data) {
  auto& args = *static_cast<drm_amdgpu_gem_create*>(data);
  const auto in = args.in;
  constexpr std::uint64_t kKnown =
      AMDGPU_GEM_CREATE_CPU_ACCESS_REQUIRED | AMDGPU_GEM_CREATE_NO_CPU_ACCESS |
      AMDGPU_GEM_CREATE_CPU_GTT_USWC | AMDGPU_GEM_CREATE_VRAM_CLEARED |
      AMDGPU_GEM_CREATE_VM_ALWAYS_VALID | AMDGPU_GEM_CREATE_EXPLICIT_SYNC | kDiscardable |
      kGfx12Dcc;  // AMDGPU_GEM_CREATE_ENCRYPTED needs TMZ, which no compute GPU has
  if ((in.domain_flags & ~kKnown) != 0 || (in.domains & ~kDomains) != 0) return -EINVAL;
  // GDS, GWS and OA are not on these GPUs.
  constexpr std::uint64_t kMemory =
      AMDGPU_GEM_DOMAIN_VRAM | AMDGPU_GEM_DOMAIN_GTT | AMDGPU_GEM_DOMAIN_CPU;
  if ((in.domains & ~kMemory) != 0 || in.domains == 0 || in.bo_size == 0) return -EINVAL;
  const std::uint64_t bytes = page_up(in.bo_size);
  if (bytes < in.bo_size) return -ENOMEM;
  VirtualGpu& gpu = machine_.gpu(file.gpu);
  const bool vram = (in.domains & AMDGPU_GEM_DOMAIN_VRAM) != 0;
  const std::uint32_t flags =
      (in.domain_flags & AMDGPU_GEM_CREATE_CPU_ACCESS_REQUIRED) != 0 ? uapi::kAllocPublic : 0u;
  Handle handle;
  BufferTable& buffers = node_.buffers();
  handle.backing = buffers.create(gpu, vram ? Domain::Vram : Domain::Gtt, bytes, flags);
  // VRAM alone becomes VRAM or GTT when there is no more of the first.
  if (handle.backing == nullptr && vram)
    handle.backing = buffers.create(gpu, Domain::Gtt, bytes, flags);
  if (handle.backing == nullptr) return -ENOMEM;
  handle.backing->no_host_access = (in.domain_flags & AMDGPU_GEM_CREATE_NO_CPU_ACCESS) != 0;
  handle.alignment = in.alignment;
  handle.create_flags = in.domain_flags | AMDGPU_GEM_CREATE_VRAM_CLEARED;
  std::memset(&args, 0, sizeof args);
  return add(file, std::move(handle), &args.out.handle);
}

int DrmGem::mmap_offset(OpenFile& file, void* data) {
  auto& args = *static_cast<drm_amdgpu_gem_mmap*>(data);
  const Handle* handle = find(file, args.in.handle);
  args = {};
  if (handle == nullptr) return -ENOENT;
  if (handle->backing->no_host_access) return -EPERM;  // amdgpu_mode_dumb_mmap
  args.out.addr_ptr = handle->mmap_offset;
  return 0;
}

int DrmGem::close(OpenFile& file, void* data) {
  // drm_gem_handle_delete; amdgpu_gem_object_close takes the mappings away.
  const std::uint32_t number = static_cast<drm_gem_close*>(data)->handle;
  File& in = state(file);
  const auto node = in.handles.extract(number);
  if (node.empty()) return -EINVAL;
  const auto space = space_of(file);
  std::erase_if(in.ranges, [&](const auto& entry) {
    if (entry.second.handle != number) return false;
    space->unmap(entry.first);
    return true;
  });
  node_.buffers().revoke(file.gpu, file.id, node.mapped().mmap_offset);
  return 0;
}

int DrmGem::to_fd(OpenFile& file, void* data) {
  // drm_prime.c drm_prime_handle_to_fd_ioctl, drm_gem_prime_handle_to_dmabuf
  auto& args = *static_cast<drm_prime_handle*>(data);
  if ((args.flags & ~static_cast<std::uint32_t>(DRM_CLOEXEC | DRM_RDWR)) != 0) return -EINVAL;
  const Handle* handle = find(file, args.handle);
  if (handle == nullptr) return -ENOENT;
  // amdgpu_dma_buf.c amdgpu_gem_prime_export
  if ((handle->create_flags & AMDGPU_GEM_CREATE_VM_ALWAYS_VALID) != 0) return -EPERM;
  const int fd =
      node_.share(handle->backing, static_cast<int>(args.flags), (args.flags & DRM_RDWR) != 0);
  if (fd < 0) return fd;
  args.fd = fd;
  return 0;
}

int DrmGem::from_fd(OpenFile& file, void* data) {
  // drm_prime.c drm_gem_prime_fd_to_handle: a buffer that the file has keeps its handle.
  auto& args = *static_cast<drm_prime_handle*>(data);
  int error = 0;
  Handle handle;
  handle.backing = node_.buffers().import_dmabuf(args.fd, &error);
  if (handle.backing == nullptr) return error;
  for (const auto& [number, known] : state(file).handles)
    if (known.backing == handle.backing) return args.handle = number, 0;
  return add(file, std::move(handle), &args.handle);
}

int DrmGem::metadata(OpenFile& file, void* data) {
  auto& args = *static_cast<drm_amdgpu_gem_metadata*>(data);
  const Handle* handle = find(file, args.handle);
  if (handle == nullptr) return -ENOENT;
  static_assert(sizeof args.data.data == sizeof(BufferMetadata::data));
  BufferMetadata known = node_.buffers().metadata(*handle->backing);
  if (args.op == AMDGPU_GEM_METADATA_OP_GET_METADATA) {
    args.data.flags = known.flags;
    args.data.tiling_info = known.tiling;
    args.data.data_size_bytes = known.bytes;
    std::memcpy(args.data.data, known.data.data(), known.bytes);
    return 0;
  }
  if (args.op != AMDGPU_GEM_METADATA_OP_SET_METADATA) return 0;  // reserves, and does nothing
  if (args.data.data_size_bytes > sizeof args.data.data) return -EINVAL;
  known.flags = args.data.flags;
  known.tiling = args.data.tiling_info;
  known.bytes = args.data.data_size_bytes;
  std::memcpy(known.data.data(), args.data.data, known.bytes);
  node_.buffers().set_metadata(*handle->backing, known);
  return 0;
}

int DrmGem::wait_idle(OpenFile& file, void* data) {
  // No submissions, no fences: always idle. What KFD's queues do has none either.
  auto& args = *static_cast<drm_amdgpu_gem_wait_idle*>(data);
  if (find(file, args.in.handle) == nullptr) return -ENOENT;
  args = {};
  return 0;
}

int DrmGem::op(OpenFile& file, void* data) {
  const auto& args = *static_cast<drm_amdgpu_gem_op*>(data);
  const Handle* handle = find(file, args.handle);
  if (handle == nullptr) return -ENOENT;
  if (args.op != AMDGPU_GEM_OP_GET_GEM_CREATE_INFO) return -EINVAL;
  drm_amdgpu_gem_create_in info{};
  info.bo_size = handle->backing->bytes;
  info.alignment = handle->alignment;
  info.domains = handle->backing->is_vram() ? AMDGPU_GEM_DOMAIN_VRAM : AMDGPU_GEM_DOMAIN_GTT;
  info.domain_flags = handle->create_flags;
  return copy_to_user(args.value, &info, sizeof info) ? 0 : -EFAULT;
}

// ---- GPU addresses -----------------------------------------------------------------------------

void DrmGem::clear(File& in, AddressSpace& space, Va begin, Va end) {
  // amdgpu_vm.c amdgpu_vm_bo_clear_mappings: what reaches over an end keeps its rest.
  auto next = in.ranges.begin();
  while (next != in.ranges.end()) {
    const Range range = next->second;
    const Mapping& whole = range.mapping;
    if (whole.end <= begin || whole.begin >= end) {
      ++next;
      continue;
    }
    space.unmap(whole.begin);
    next = in.ranges.erase(next);
    auto keep = [&](Va first, Va last) {
      if (first >= last) return;
      Range rest = range;
      rest.mapping.begin = first;
      rest.mapping.end = last;
      rest.mapping.host = whole.host + (first - whole.begin);
      if (space.map(rest.mapping)) in.ranges.emplace(first, rest);
    };
    keep(whole.begin, std::min(whole.end, begin));
    keep(std::max(whole.begin, end), whole.end);
  }
}

int DrmGem::va(OpenFile& file, void* data) {
  // amdgpu_gem_va_ioctl, in its order; amdgpu_vm.c amdgpu_vm_verify_parameters, amdgpu_vm_bo_map.
  const auto& args = *static_cast<drm_amdgpu_gem_va*>(data);
  constexpr std::uint32_t kFlags = AMDGPU_VM_DELAY_UPDATE | AMDGPU_VM_PAGE_READABLE |
                                   AMDGPU_VM_PAGE_WRITEABLE | AMDGPU_VM_PAGE_EXECUTABLE |
                                   AMDGPU_VM_MTYPE_MASK | kNoAlloc;
  if (args.va_address < kReservedBottom || args.va_address >= kHoleBegin) return -EINVAL;
  if (args.va_address + args.map_size > kEnd || (args.flags & ~kFlags) != 0) return -EINVAL;
  if (args.operation < AMDGPU_VA_OP_MAP || args.operation > AMDGPU_VA_OP_REPLACE) return -EINVAL;
  File& in = state(file);
  const auto space = space_of(file);
  const Va begin = args.va_address, end = begin + args.map_size;
  if (args.operation == AMDGPU_VA_OP_CLEAR) {
    clear(in, *space, begin, end);
    return 0;
  }
  const Handle* handle = find(file, args.handle);
  if (handle == nullptr) return -ENOENT;
  if (args.operation == AMDGPU_VA_OP_UNMAP) {
    const auto found = in.ranges.find(begin);
    if (found == in.ranges.end() || found->second.handle != args.handle) return -ENOENT;
    space->unmap(begin);
    in.ranges.erase(found);
    return 0;
  }
  const Backing& backing = *handle->backing;
  if (args.map_size == 0 || (begin | args.map_size | args.offset_in_bo) % kPageBytes != 0 ||
      args.offset_in_bo > backing.bytes || args.map_size > backing.bytes - args.offset_in_bo)
    return -EINVAL;
  const bool local = backing.is_vram() && backing.gpu->index() == file.gpu;
  Range range;
  range.handle = args.handle;
  range.mapping.begin = begin;
  range.mapping.end = end;
  range.mapping.host = backing.host + args.offset_in_bo;
  range.mapping.writable = (args.flags & AMDGPU_VM_PAGE_WRITEABLE) != 0;
  range.mapping.executable = (args.flags & AMDGPU_VM_PAGE_EXECUTABLE) != 0;
  range.mapping.mtype = (args.flags & AMDGPU_VM_MTYPE_MASK) == AMDGPU_VM_MTYPE_UC
                            ? Mtype::Uncached
                            : mtype_of(machine_.gpu(file.gpu), backing);
  range.mapping.local = local;
  range.mapping.host_memory = !backing.is_vram();
  if (args.operation == AMDGPU_VA_OP_REPLACE) clear(in, *space, begin, end);
  // Mappings that KFD made are KFD's to take away: a range over one is refused.
  if (!space->map(range.mapping)) return -EINVAL;
  in.ranges.emplace(begin, range);
  return 0;
}

}  // namespace kiln::vgpu

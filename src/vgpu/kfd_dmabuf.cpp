// Owns: the ioctls of dma-bufs: export, import and questions about one.
// Does not own: the files behind them (buffers.*), mapping (kfd_memory.cpp).
// Threading: see kfd_node.hpp.
//
// Functions named in comments are those of kfd_chardev.c and amdgpu_amdkfd_gpuvm.c.
#include <errno.h>

#include "vgpu/kfd_engines.hpp"
#include "vgpu/kfd_node.hpp"
#include "vgpu/user_memory.hpp"

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

/// From here on dma-bufs are imported through DRM, which also takes those of other cards
/// (amdgpu_gem_prime_import); came with GEM_VA for compute VMs.
constexpr std::uint32_t kImportsThroughDrm = 15;

}  // namespace

int KfdNode::share(const std::shared_ptr<Backing>& backing, int fd_flags, bool writable) {
  if (!backing->shared.exchange(true)) {
    std::lock_guard lock(table_mutex_);
    for (auto& [token, process] : processes_)
      for (std::size_t index = 0; index < process->device_count(); ++index) {
        AddressSpace& space = process->device_at(index).space;
        if (!space.keep_out_of_l2(backing->host, backing->bytes)) continue;
        if (Engines* made = engines_[index]->if_made()) made->flush_caches(space);
      }
  }
  return buffers_.export_dmabuf(backing, fd_flags, writable);
}

int KfdNode::export_dmabuf(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::ExportDmabuf*>(data);
  std::lock_guard lock(process.mutex);
  const Allocation* allocation = process.allocation(args.handle);
  if (allocation == nullptr) return -EINVAL;
  const auto& backing = allocation->backing;
  // amdgpu_dma_buf.c amdgpu_gem_prime_export refuses user memory. Doorbells and the MMIO page have
  // no pages of their own to share.
  if ((allocation->flags & uapi::kAllocUserptr) != 0) return -EPERM;
  if (!backing->storage) return -EINVAL;
  const bool writable = (allocation->flags & uapi::kAllocWritable) != 0;  // kfd_mem_export_dmabuf
  const int fd = share(backing, static_cast<int>(args.flags), writable);
  if (fd < 0) return fd;
  args.dmabuf_fd = static_cast<std::uint32_t>(fd);
  return 0;
}

int KfdNode::import_dmabuf(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::ImportDmabuf*>(data);
  const bool through_drm = minor() >= kImportsThroughDrm;
  std::lock_guard lock(process.mutex);
  ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  if (through_drm && device->drm_file == 0) return -ENODEV;  // kfd_bind_process_to_device
  int error = 0;
  const auto backing = buffers_.import_dmabuf(static_cast<int>(args.dmabuf_fd), &error);
  if (backing == nullptr) return error;
  if (device->drm_file == 0) return -ENODEV;
  if (!through_drm && backing->gpu != device->gpu) return -EINVAL;
  auto allocation = std::make_unique<Allocation>();
  allocation->backing = backing;
  allocation->gpu = backing->gpu->index();
  allocation->va = args.va_addr;
  allocation->bytes = backing->bytes;
  // Writable and executable, in the domain of the object.
  allocation->flags = (backing->is_vram() ? uapi::kAllocVram : uapi::kAllocGtt) |
                      uapi::kAllocWritable | uapi::kAllocExecutable;
  args.handle = add_handle(*device, std::move(allocation));
  return 0;
}

int KfdNode::get_dmabuf_info(OpenFile&, KfdProcess&, void* data) {
  auto& args = *static_cast<uapi::GetDmabufInfo*>(data);
  int error = 0;
  const auto backing = buffers_.import_dmabuf(static_cast<int>(args.dmabuf_fd), &error);
  if (backing == nullptr) return error;
  args.size = backing->bytes;
  // amdgpu_amdkfd_get_dmabuf_info: without a place for metadata not even its size is told.
  if (args.metadata_ptr != 0) {
    const BufferMetadata metadata = buffers_.metadata(*backing);
    const std::uint32_t room = args.metadata_size;
    args.metadata_size = metadata.bytes;
    if (room < metadata.bytes) return -EINVAL;  // amdgpu_bo_get_metadata
    if (!copy_to_user(args.metadata_ptr, metadata.data.data(), metadata.bytes)) return -EFAULT;
  }
  args.gpu_id = backing->gpu->gpu_id();
  args.flags = backing->is_vram() ? uapi::kAllocVram : uapi::kAllocGtt;
  // AMDGPU_GEM_CREATE_CPU_ACCESS_REQUIRED, which KFD sets for public VRAM only.
  if (backing->is_vram()) args.flags |= backing->flags & uapi::kAllocPublic;
  return 0;
}

}  // namespace kiln::vgpu

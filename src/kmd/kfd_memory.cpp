// Owns: memory through KFD: addresses, allocation, mapping to host and GPUs, dma-buf.
// Does not own: which flags a kind of memory has (kfd.cpp), what a queue needs (kfd_queue.cpp).
// Threading: any thread; the table of allocations has its own lock.
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kmd/kfd_process.hpp"

namespace kiln::kmd {
namespace {

constexpr std::uint64_t kPage = 4096, kHugePage = 2u << 20;
/// User space ends here on x86-64 without five-level paging, and GPU addresses above would need
/// sign extension.
constexpr Va kAddressEnd = Va{1} << 47;

unsigned long long ull(std::uint64_t value) {
  return value;
}

std::string describe_flags(std::uint32_t flags) {
  if (flags & uapi::kAllocVram) return flags & uapi::kAllocPublic ? "host-visible VRAM" : "VRAM";
  if (flags & uapi::kAllocUserptr) return "host memory import";
  return "system memory";
}

Error alloc_error(const AllocRequest& request, int error) {
  const std::string what = strf("%s: %llu bytes of %s", request.gpu->name.c_str(),
                                ull(request.size), describe_flags(request.flags).c_str());
  const bool vram = (request.flags & uapi::kAllocVram) != 0;
  switch (error) {
    case ENOMEM:
      return {vram ? VK_ERROR_OUT_OF_DEVICE_MEMORY : VK_ERROR_OUT_OF_HOST_MEMORY,
              what + ": not that much is left (ENOMEM)"};
    case EINVAL:
      // kfd_chardev.c: host-visible VRAM is refused unless the BAR covers all of it.
      if (vram && (request.flags & uapi::kAllocPublic))
        return {VK_ERROR_FEATURE_NOT_PRESENT,
                what +
                    ": refused (EINVAL): the host does not see all of VRAM; switch on resizable "
                    "BAR (above 4G decoding) in the firmware setup"};
      return {VK_ERROR_UNKNOWN, what + ": refused (EINVAL)"};
    case EFAULT:
    case EPERM:
      if (request.flags & uapi::kAllocUserptr)
        return {
            VK_ERROR_INVALID_EXTERNAL_HANDLE,
            what + ": the pages at the host pointer are not plain readable and writable memory"};
      [[fallthrough]];
    default:
      return {result_of_errno(error, VK_ERROR_UNKNOWN),
              what + ": refused (" + std::strerror(error) + ")"};
  }
}

}  // namespace

Status KfdProcess::check_aperture(Va address, std::uint64_t size) const {
  const Va base = gpuvm_base_, limit = std::min(gpuvm_limit_.load(), kAddressEnd - 1);
  if (address >= base && size != 0 && address + size - 1 <= limit && address + size > address)
    return {};
  return fail(VK_ERROR_OUT_OF_HOST_MEMORY,
              strf("the addresses 0x%llx..0x%llx are outside what the GPUs can map, 0x%llx..0x%llx",
                   ull(address), ull(address + size - 1), ull(base), ull(limit)));
}

Result<void*> KfdProcess::reserve(std::uint64_t size, std::uint64_t alignment) {
  // One address for host and GPUs: the host's kernel picks it and keeps others out of it.
  if (alignment < kPage) alignment = size >= kHugePage ? kHugePage : kPage;
  const std::uint64_t room = size + (alignment > kPage ? alignment - kPage : 0);
  if (room < size)
    return fail(VK_ERROR_OUT_OF_HOST_MEMORY, strf("%llu bytes are too many", ull(size)));
  void* start = nullptr;
  const int status = os_.mmap(&start, nullptr, room, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (status < 0)
    return fail(VK_ERROR_OUT_OF_HOST_MEMORY,
                strf("no addresses left for %llu bytes (%s)", ull(room), std::strerror(-status)));
  const Va begin = reinterpret_cast<std::uintptr_t>(start);
  const Va aligned = (begin + alignment - 1) / alignment * alignment;
  if (aligned > begin) os_.munmap(start, aligned - begin);
  if (aligned + size < begin + room)
    os_.munmap(reinterpret_cast<void*>(aligned + size), begin + room - aligned - size);
  if (auto inside = check_aperture(aligned, size); !inside) {
    os_.munmap(reinterpret_cast<void*>(aligned), size);
    return forward_error(inside);
  }
  return reinterpret_cast<void*>(aligned);
}

Result<Memory> KfdProcess::allocate(const AllocRequest& request,
                                    const std::vector<std::uint32_t>& gpu_ids) {
  KILN_TRY(check_fork());
  const bool imported = (request.flags & uapi::kAllocUserptr) != 0;
  void* place = request.user_pointer;
  if (imported) {
    KILN_TRY(check_aperture(reinterpret_cast<std::uintptr_t>(place), request.size));
  } else {
    KILN_ASSIGN(place, reserve(request.size, request.alignment));
  }
  const auto give_back = [&] {
    if (!imported) os_.munmap(place, request.size);
  };

  uapi::AllocMemoryOfGpu args{};
  args.va_addr = reinterpret_cast<std::uintptr_t>(place);
  args.size = request.size;
  args.gpu_id = request.gpu->gpu_id;
  args.flags = request.flags;
  args.mmap_offset = imported ? args.va_addr : 0;
  if (const int status = ioctl(uapi::kIocAllocMemoryOfGpu, &args); status < 0) {
    give_back();
    return std::unexpected(alloc_error(request, -status));
  }
  const auto release = [&] {
    uapi::FreeMemoryOfGpu release_args{args.handle};
    ioctl(uapi::kIocFreeMemoryOfGpu, &release_args);
    give_back();
  };

  Memory memory;
  memory.address = args.va_addr;
  memory.size = request.size;
  memory.handle = args.handle;
  if (imported) memory.host = place;
  if (request.host && !imported) {
    void* host = nullptr;
    const int status =
        os_.mmap(&host, place, request.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                 request.gpu->render_fd, static_cast<off_t>(args.mmap_offset));
    if (status < 0) {
      release();
      return fail(VK_ERROR_MEMORY_MAP_FAILED,
                  strf("%llu bytes of %s cannot be mapped to the host (%s)", ull(request.size),
                       describe_flags(request.flags).c_str(), std::strerror(-status)));
    }
    memory.host = host;
  }
  {
    const std::lock_guard lock(memory_mutex_);
    allocations_[args.handle] = {{}, imported ? nullptr : place, imported ? 0 : request.size};
  }
  if (auto status = map(args.handle, gpu_ids); !status) {
    (void)free(memory);
    return forward_error(status);
  }
  return memory;
}

Status KfdProcess::map(std::uint64_t handle, const std::vector<std::uint32_t>& gpu_ids) {
  KILN_TRY(check_fork());
  const std::lock_guard lock(memory_mutex_);
  const auto found = allocations_.find(handle);
  if (found == allocations_.end())
    return fail(VK_ERROR_UNKNOWN, strf("memory handle 0x%llx is not known", ull(handle)));
  std::vector<std::uint32_t>& mapped = found->second.gpu_ids;
  std::vector<std::uint32_t> wanted;
  for (const std::uint32_t id : gpu_ids)
    if (std::find(mapped.begin(), mapped.end(), id) == mapped.end() &&
        std::find(wanted.begin(), wanted.end(), id) == wanted.end())
      wanted.push_back(id);
  if (wanted.empty()) return {};
  uapi::MapMemoryToGpu args{};
  args.handle = handle;
  args.device_ids_array_ptr = reinterpret_cast<std::uintptr_t>(wanted.data());
  args.n_devices = static_cast<std::uint32_t>(wanted.size());
  const int status = ioctl(uapi::kIocMapMemoryToGpu, &args);
  // kfd_ioctl.h: the first n_success of the list are mapped, even when the call fails.
  const std::size_t done = std::min<std::size_t>(args.n_success, wanted.size());
  mapped.insert(mapped.end(), wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(done));
  if (status >= 0 && done == wanted.size()) return {};
  return fail(result_of_errno(status < 0 ? -status : 0, VK_ERROR_UNKNOWN),
              strf("memory could be mapped to %zu of %zu GPUs only, not to GPU id %u (%s)", done,
                   wanted.size(), wanted[std::min(done, wanted.size() - 1)],
                   status < 0 ? std::strerror(-status) : "without an error code"));
}

Status KfdProcess::unmap(std::uint64_t handle, std::vector<std::uint32_t> gpu_ids) {
  if (gpu_ids.empty()) return {};
  uapi::UnmapMemoryFromGpu args{};
  args.handle = handle;
  args.device_ids_array_ptr = reinterpret_cast<std::uintptr_t>(gpu_ids.data());
  args.n_devices = static_cast<std::uint32_t>(gpu_ids.size());
  const int status = ioctl(uapi::kIocUnmapMemoryFromGpu, &args);
  if (status >= 0 && args.n_success == args.n_devices) return {};
  return fail(result_of_errno(status < 0 ? -status : 0, VK_ERROR_UNKNOWN),
              strf("memory 0x%llx is still mapped to %u of %u GPUs (UNMAP_MEMORY_FROM_GPU: %s)",
                   ull(handle), args.n_devices - std::min(args.n_success, args.n_devices),
                   args.n_devices, status < 0 ? std::strerror(-status) : "no error code"));
}

Status KfdProcess::free(const Memory& memory) {
  KILN_TRY(check_fork());
  Allocation allocation;
  {
    const std::lock_guard lock(memory_mutex_);
    const auto found = allocations_.find(memory.handle);
    if (found == allocations_.end())
      return fail(VK_ERROR_UNKNOWN, strf("memory handle 0x%llx is not known", ull(memory.handle)));
    allocation = std::move(found->second);
    allocations_.erase(found);
  }
  // GPUs first, then the driver's object, then the address: nobody else gets the address while a
  // GPU still reaches the old memory there.
  if (auto status = unmap(memory.handle, allocation.gpu_ids); !status) {
    const std::lock_guard lock(memory_mutex_);
    allocations_[memory.handle] = std::move(allocation);
    return status;
  }
  uapi::FreeMemoryOfGpu args{memory.handle};
  if (const int status = ioctl(uapi::kIocFreeMemoryOfGpu, &args); status < 0)
    return fail(result_of_errno(-status, VK_ERROR_UNKNOWN),
                strf("memory 0x%llx cannot be freed (%s)%s", ull(memory.handle),
                     std::strerror(-status), status == -EBUSY ? ": a queue still uses it" : ""));
  if (allocation.reserved != nullptr) os_.munmap(allocation.reserved, allocation.reserved_bytes);
  return {};
}

Result<int> KfdProcess::export_dmabuf(const Memory& memory) {
  KILN_TRY(check_fork());
  if (minor_ < uapi::kMinorExportDmabuf)
    return fail(VK_ERROR_FEATURE_NOT_PRESENT, strf("dma-buf export needs KFD 1.%u, this is 1.%u",
                                                   uapi::kMinorExportDmabuf, minor_));
  uapi::ExportDmabuf args{};
  args.handle = memory.handle;
  args.flags = O_CLOEXEC | O_RDWR;
  if (const int status = ioctl(uapi::kIocExportDmabuf, &args); status < 0)
    return fail(result_of_errno(-status, VK_ERROR_UNKNOWN),
                strf("memory 0x%llx cannot be exported as a dma-buf (%s)", ull(memory.handle),
                     std::strerror(-status)));
  return static_cast<int>(args.dmabuf_fd);
}

Result<Memory> KfdProcess::import_dmabuf(int fd, std::uint32_t gpu_id) {
  KILN_TRY(check_fork());
  uapi::GetDmabufInfo info{};
  info.dmabuf_fd = static_cast<std::uint32_t>(fd);
  if (const int status = ioctl(uapi::kIocGetDmabufInfo, &info); status < 0)
    return fail(VK_ERROR_INVALID_EXTERNAL_HANDLE,
                strf("file descriptor %d is not a dma-buf that this driver made (%s)", fd,
                     std::strerror(-status)));
  KILN_ASSIGN(void* place, reserve(info.size, 0));
  uapi::ImportDmabuf args{};
  args.va_addr = reinterpret_cast<std::uintptr_t>(place);
  args.gpu_id = gpu_id;
  args.dmabuf_fd = static_cast<std::uint32_t>(fd);
  if (const int status = ioctl(uapi::kIocImportDmabuf, &args); status < 0) {
    os_.munmap(place, info.size);
    return fail(VK_ERROR_INVALID_EXTERNAL_HANDLE,
                strf("the dma-buf %d cannot be imported (%s)", fd, std::strerror(-status)));
  }
  Memory memory;
  memory.address = args.va_addr;
  memory.size = info.size;
  memory.handle = args.handle;
  memory.desc.size = info.size;
  memory.desc.heap = info.flags & uapi::kAllocVram ? Heap::Vram : Heap::System;
  memory.desc.uncached = (info.flags & uapi::kAllocUncached) != 0;
  memory.desc.coherent = (info.flags & uapi::kAllocCoherent) != 0;
  {
    const std::lock_guard lock(memory_mutex_);
    allocations_[args.handle] = {{}, place, info.size};
  }
  if (info.flags & (uapi::kAllocGtt | uapi::kAllocPublic)) {
    void* host = nullptr;
    const int status =
        os_.mmap(&host, place, info.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (status < 0) {
      (void)free(memory);
      return fail(
          VK_ERROR_MEMORY_MAP_FAILED,
          strf("the dma-buf %d cannot be mapped to the host (%s)", fd, std::strerror(-status)));
    }
    memory.host = host;
    memory.desc.host_visible = true;
  }
  if (auto status = map(memory.handle, {gpu_id}); !status) {
    (void)free(memory);
    return forward_error(status);
  }
  return memory;
}

}  // namespace kiln::kmd

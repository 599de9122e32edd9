#include "core/memory.hpp"

#include "core/device.hpp"
#include "core/limits.hpp"
#include "core/physical_device.hpp"

namespace kiln::core {
namespace {

kmd::MemoryDesc describe(const KilnMemoryAllocateInfo& info) {
  kmd::MemoryDesc desc;
  desc.size = info.size;
  desc.alignment = info.alignment;
  switch (static_cast<MemoryType>(info.memoryTypeIndex)) {
    case MemoryType::DeviceLocal:
      desc.heap = kmd::Heap::Vram;
      break;
    case MemoryType::DeviceVisible:
      desc.heap = kmd::Heap::Vram;
      desc.host_visible = true;
      break;
    case MemoryType::HostCached:
      desc.heap = kmd::Heap::System;
      desc.host_visible = true;
      break;
    case MemoryType::HostUncached:
      desc.heap = kmd::Heap::System;
      desc.host_visible = true;
      desc.uncached = true;
      desc.coherent = true;
      break;
  }
  if (info.pHostPointer != nullptr) {
    desc.heap = kmd::Heap::HostImport;
    desc.host_pointer = info.pHostPointer;
  }
  return desc;
}

}  // namespace

Result<Memory*> Memory::create(Device& device, const KilnMemoryAllocateInfo& info,
                               const VkAllocationCallbacks* callbacks) {
  KILN_TRY(device.check_alive());
  if (info.size == 0) return fail(VK_ERROR_VALIDATION_FAILED_EXT, "memory of size 0 was asked for");
  if (info.memoryTypeIndex >= kMemoryTypeCount)
    return fail(VK_ERROR_VALIDATION_FAILED_EXT, strf("memory type %u does not exist: there are %u",
                                                     info.memoryTypeIndex, kMemoryTypeCount));
  if ((info.alignment & (info.alignment - 1)) != 0)
    return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                strf("alignment 0x%llx is not a power of two",
                     static_cast<unsigned long long>(info.alignment)));
  if (info.pHostPointer != nullptr &&
      info.memoryTypeIndex < static_cast<std::uint32_t>(MemoryType::HostCached))
    return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                "a host pointer can only be imported as a host memory type");
  if (info.pHostPointer != nullptr &&
      ((reinterpret_cast<std::uintptr_t>(info.pHostPointer) | info.size) & (kPageBytes - 1)) != 0)
    return fail(VK_ERROR_INVALID_EXTERNAL_HANDLE,
                strf("host range %p + 0x%llx is not made of whole pages", info.pHostPointer,
                     static_cast<unsigned long long>(info.size)));

  const std::uint64_t vram = device.physical().info().vram_bytes;
  if (info.memoryTypeIndex < static_cast<std::uint32_t>(MemoryType::HostCached) && info.size > vram)
    return fail(
        VK_ERROR_OUT_OF_DEVICE_MEMORY,
        strf("%llu bytes of device memory were asked for: the GPU has %llu",
             static_cast<unsigned long long>(info.size), static_cast<unsigned long long>(vram)));

  std::vector<kmd::Gpu*> share;
  for (std::uint32_t i = 0; i < info.peerDeviceCount; ++i) {
    Device* peer = from(info.pPeerDevices[i]);
    KILN_TRY(device.check_peer(*peer));
    if (peer != &device) share.push_back(&peer->gpu());
  }
  KILN_ASSIGN(kmd::Memory allocation, device.gpu().allocate(describe(info), share));
  auto memory = make_object<Memory>(callbacks, device, allocation, info.memoryTypeIndex);
  if (!memory) (void)device.gpu().free(allocation);
  return memory;
}

Memory::Memory(Device& device, kmd::Memory allocation, std::uint32_t type)
    : device_(device), allocation_(std::move(allocation)), type_(type) {
  device_.memories().add(*this);
  if (type_ == static_cast<std::uint32_t>(MemoryType::DeviceVisible)) device_.count_visible_vram(1);
}

Memory::~Memory() {
  device_.memories().remove(*this);
  if (type_ == static_cast<std::uint32_t>(MemoryType::DeviceVisible))
    device_.count_visible_vram(-1);
  if (Status freed = device_.gpu().free(allocation_); !freed) device_.report(freed.error());
}

Result<void*> Memory::map() const {
  if (allocation_.host == nullptr)
    return fail(
        VK_ERROR_MEMORY_MAP_FAILED,
        "this memory is not host-visible: allocate it from a type with HOST_VISIBLE, or copy");
  return allocation_.host;
}

Status Memory::map_to(Device& peer) {
  KILN_TRY(device_.check_peer(peer));
  std::lock_guard lock(mutex_);
  return device_.gpu().map_to(allocation_, {&peer.gpu()});
}

Result<int> Memory::export_fd() const {
  return device_.gpu().export_dmabuf(allocation_);
}

}  // namespace kiln::core

// Owns: what an application is told about one GPU: properties, memory types, queue families.
// Does not own: the GPU in use (device.*).
// Threading: immutable.
#pragma once

#include <kiln/kiln.h>

#include <vector>

#include "core/object.hpp"
#include "gpu/target.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

/// Index into the memory types of every GPU; kiln.h documents the order.
enum class MemoryType : std::uint32_t { DeviceLocal, DeviceVisible, HostCached, HostUncached };
inline constexpr std::uint32_t kMemoryTypeCount = 4;

/// One queue family of this GPU.
struct QueueFamily {
  KilnQueueFamilyKind kind;
  std::uint32_t queue_count;
  std::uint32_t resident_count;
  std::uint32_t engine_count;
};

class PhysicalDevice {
 public:
  PhysicalDevice(Instance& instance, kmd::GpuInfo info, const gpu::Target& target);

  Instance& instance() const { return instance_; }
  const kmd::GpuInfo& info() const { return info_; }
  const gpu::Target& target() const { return target_; }
  const std::vector<QueueFamily>& families() const { return families_; }

  VkResult get_properties(KilnPhysicalDeviceProperties* properties) const;
  VkResult get_memory_properties(KilnPhysicalDeviceMemoryProperties* properties) const;
  VkResult get_queue_families(std::uint32_t* count, KilnQueueFamilyProperties* properties) const;
  VkResult get_peer_properties(const PhysicalDevice& peer, KilnPeerProperties* properties) const;
  /// The link to `peer`, or null.
  const kmd::Link* link_to(const PhysicalDevice& peer) const;

 private:
  Instance& instance_;
  kmd::GpuInfo info_;
  const gpu::Target& target_;
  std::vector<QueueFamily> families_;
};

}  // namespace kiln::core

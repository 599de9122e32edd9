#include "core/physical_device.hpp"

#include <climits>
#include <cstring>

#include "core/instance.hpp"
#include "core/limits.hpp"
#include "core/text.hpp"

namespace kiln::core {

PhysicalDevice::PhysicalDevice(Instance& instance, kmd::GpuInfo info, const gpu::Target& target)
    : instance_(instance), info_(std::move(info)), target_(target) {
  // Only resident queues: a queue without a slot could keep the producer it waits for out
  // (over-subscription), so Kiln makes no more than the hardware maps at once.
  const std::uint32_t slots = std::max(1u, info_.compute_queue_slots);
  families_.push_back({KILN_QUEUE_FAMILY_COMPUTE, slots, slots, 1});
  auto add_sdma = [&](KilnQueueFamilyKind kind, std::uint32_t engines) {
    if (engines == 0) return;
    const std::uint32_t queues = engines * std::max(1u, info_.sdma_queues_per_engine);
    families_.push_back({kind, queues, queues, engines});
  };
  add_sdma(KILN_QUEUE_FAMILY_SDMA, info_.sdma_engines);
  add_sdma(KILN_QUEUE_FAMILY_SDMA_XGMI, info_.sdma_xgmi_engines);
}

VkResult PhysicalDevice::get_properties(KilnPhysicalDeviceProperties* p) const {
  copy_text(p->deviceName,
            info_.is_virtual ? info_.marketing_name + " (virtual)" : info_.marketing_name);
  copy_text(p->targetName, gpu::to_string(info_.gfx_ip));
  copy_text(p->driverName, instance_.kmd().version());
  p->isVirtual = info_.is_virtual;
  p->vendorId = info_.vendor_id;
  p->deviceId = info_.device_id;
  p->pciDomain = info_.pci_domain;
  p->pciBus = info_.pci_bus;
  p->pciDevice = info_.pci_device;
  p->pciFunction = info_.pci_function;
  std::memcpy(p->deviceUuid, info_.uuid.data(), sizeof p->deviceUuid);
  p->xccCount = info_.xcc_count;
  p->computeUnitCount = info_.cu_count;
  p->shaderEngineCount = info_.shader_engines;
  p->simdPerComputeUnit = info_.simd_per_cu;
  p->maxWavesPerSimd = info_.max_waves_per_simd;
  p->waveSizes = (target_.wave.wave32 ? 32u : 0u) + (target_.wave.wave64 ? 64u : 0u);
  p->defaultWaveSize = target_.wave.default_size;
  p->maxEngineClockMHz = info_.max_engine_clock_mhz;
  p->l2CacheBytes = info_.l2_cache_bytes;
  p->maxLdsPerWorkgroup = info_.lds_bytes;
  p->maxWorkgroupInvocations = kMaxWorkgroupInvocations;
  for (int i = 0; i < 3; ++i) {
    p->maxWorkgroupSize[i] = kMaxWorkgroupInvocations;
    p->maxWorkgroupCount[i] = i == 0 ? INT32_MAX : kMaxWorkgroupCountYz;
  }
  p->maxDispatchArgumentsSize = kMaxArgumentBytes;
  p->timestampFrequencyHz = info_.timestamp_hz;
  p->minMemoryAlignment = kPageBytes;
  p->maxUpdateSize = kMaxUpdateBytes;
  return VK_SUCCESS;
}

VkResult PhysicalDevice::get_memory_properties(KilnPhysicalDeviceMemoryProperties* p) const {
  const std::uint32_t visible =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  p->memoryTypeCount = kMemoryTypeCount;
  p->memoryTypes[0] = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0};
  p->memoryTypes[1] = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | visible, 0};
  p->memoryTypes[2] = {visible | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 1};
  p->memoryTypes[3] = {visible | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD, 1};
  p->memoryHeapCount = 2;
  p->memoryHeaps[0] = {info_.vram_bytes, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
  p->memoryHeaps[1] = {system_memory_bytes(), 0};
  // A small PCI aperture: the visible part is a heap of its own.
  if (info_.visible_vram_bytes < info_.vram_bytes) {
    p->memoryHeapCount = 3;
    p->memoryHeaps[2] = {info_.visible_vram_bytes, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
    p->memoryTypes[1].heapIndex = 2;
  }
  return VK_SUCCESS;
}

VkResult PhysicalDevice::get_queue_families(std::uint32_t* count,
                                            KilnQueueFamilyProperties* properties) const {
  return enumerate(families_.size(), count, properties != nullptr, [&](std::size_t i) {
    KilnQueueFamilyProperties& p = properties[i];
    p.kind = families_[i].kind;
    p.queueFlags = VK_QUEUE_TRANSFER_BIT;
    if (p.kind == KILN_QUEUE_FAMILY_COMPUTE) p.queueFlags |= VK_QUEUE_COMPUTE_BIT;
    p.queueCount = families_[i].queue_count;
    p.residentQueueCount = families_[i].resident_count;
    p.engineCount = families_[i].engine_count;
    p.timestampValidBits = 64;
  });
}

const kmd::Link* PhysicalDevice::link_to(const PhysicalDevice& peer) const {
  for (const kmd::Link& link : info_.links)
    if (link.to_node == peer.info_.node) return &link;
  return nullptr;
}

VkResult PhysicalDevice::get_peer_properties(const PhysicalDevice& peer,
                                             KilnPeerProperties* p) const {
  const kmd::Link* link = link_to(peer);
  p->accessible = link != nullptr || this == &peer;
  p->atomics = this == &peer || (link != nullptr && link->atomics_32 && link->atomics_64);
  p->link = link == nullptr                     ? KILN_LINK_NONE
            : link->kind == kmd::LinkKind::Xgmi ? KILN_LINK_XGMI
            : link->kind == kmd::LinkKind::Pcie ? KILN_LINK_PCIE
                                                : KILN_LINK_NONE;
  p->weight = link != nullptr ? link->weight : 0;
  p->maxBandwidthMBs = link != nullptr ? link->max_bandwidth_mbs : 0;
  return VK_SUCCESS;
}

}  // namespace kiln::core

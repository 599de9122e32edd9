// Owns: a GPU in use: its queues, its pools of shared words, its lost state.
// Does not own: what queues do (queue.*), the driver (kmd/).
// Threading: methods may be called from any thread unless said otherwise.
#pragma once

#include <kiln/kiln.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.hpp"
#include "core/memory.hpp"
#include "core/monitor.hpp"
#include "core/object.hpp"
#include "core/payload.hpp"
#include "core/queue.hpp"
#include "gpu/target.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

/// The allocations of a device by address.
class MemoryRegistry {
 public:
  void add(const Memory& memory);
  void remove(const Memory& memory);
  /// The allocation that holds `address`, or null.
  const Memory* find(kmd::Va address) const;

 private:
  mutable std::mutex mutex_;
  std::map<kmd::Va, const Memory*> by_address_;
};

/// Why a device is lost.
struct Loss {
  KilnFaultKind kind = KILN_FAULT_NONE;
  kmd::Va address = 0;
  std::uint64_t queue_error = 0;
  std::string text;
};

class Device {
 public:
  static Result<Device*> create(PhysicalDevice& physical, const KilnDeviceCreateInfo& info,
                                const VkAllocationCallbacks* callbacks);
  Device(PhysicalDevice& physical, std::unique_ptr<kmd::Gpu> gpu, std::uint64_t watchdog_ns);
  ~Device();
  Device(const Device&) = delete;

  PhysicalDevice& physical() const { return physical_; }
  const gpu::Target& target() const;
  kmd::Gpu& gpu() const { return *gpu_; }
  VkResult report(const Error& error) const;
  MemoryRegistry& memories() { return memories_; }
  PayloadPool& payloads() { return *payloads_; }
  Monitor& monitor() { return *monitor_; }
  /// The interrupt of every semaphore of this device; waiters look again when it fires.
  const kmd::Event& completion_event() const { return completion_event_; }
  std::uint64_t watchdog_ns() const { return watchdog_ns_; }
  /// Address of a block shaped like amd_queue_t for kernels that ask for a queue pointer.
  kmd::Va queue_block() const { return queue_block_.address; }

  /// Whether the application has memory that is written and read through the PCI aperture: then HDP
  /// is flushed at submits and host waits, which is what makes such memory coherent.
  bool has_visible_vram() const { return visible_vram_.load(std::memory_order_relaxed) != 0; }
  void count_visible_vram(int change) {
    visible_vram_.fetch_add(change, std::memory_order_relaxed);
  }

  /// Makes host writes through the PCI aperture visible to the GPU. Where the driver has no page
  /// for it (SR-IOV), every submission from now on begins by flushing from the GPU.
  void flush_hdp() {
    if (!gpu_->flush_hdp()) hdp_by_packet_.store(true, std::memory_order_relaxed);
  }
  bool flushes_hdp_by_packet() const { return hdp_by_packet_.load(std::memory_order_relaxed); }

  Queue* queue(std::uint32_t family, std::uint32_t index) const;
  const std::vector<std::unique_ptr<Queue>>& queues() const { return queues_; }

  bool lost() const { return lost_.load(std::memory_order_acquire); }
  /// Success, or VK_ERROR_DEVICE_LOST with the cause in words.
  Status check_alive() const;
  /// Asks the driver for a fault; makes the device lost if there is one.
  void look_for_fault();
  /// Makes the device lost for good; only the first cause is kept.
  void lose(Loss loss);
  /// VK_NOT_READY if not lost.
  VkResult get_fault_info(KilnDeviceFaultInfo* info) const;
  /// VK_ERROR_FEATURE_NOT_PRESENT if this device cannot see memory of `peer`, or the reverse.
  Status check_peer(const Device& peer) const;

  VkResult get_address_info(kmd::Va address, KilnAddressInfo* info);
  Result<VkResult> wait_idle();
  Status get_clocks(std::uint64_t* device_ticks, std::uint64_t* host_ns, std::uint64_t* deviation);
  Status get_budget(KilnMemoryBudget* budget);

 private:
  Status open(const KilnDeviceCreateInfo& info);
  Status make_queue_block();
  std::string describe_progress() const;

  PhysicalDevice& physical_;
  std::unique_ptr<kmd::Gpu> gpu_;
  std::uint64_t watchdog_ns_;
  kmd::Event completion_event_;
  kmd::Memory queue_block_;
  MemoryRegistry memories_;
  std::unique_ptr<PayloadPool> payloads_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::unique_ptr<Monitor> monitor_;

  std::atomic<int> visible_vram_{0};
  std::atomic<bool> hdp_by_packet_{false};
  std::atomic<bool> lost_{false};
  mutable std::mutex loss_mutex_;
  Loss loss_;
};

}  // namespace kiln::core

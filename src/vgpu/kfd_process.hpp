// Owns: what KFD keeps for one process (kfd_process.c): per GPU the address space, allocations,
//   doorbells and queues; the events; whether the runtime is enabled.
// Does not own: the ioctls that change it (kfd_memory.cpp, kfd_queue.cpp, kfd_node.*).
// Threading: fields are guarded by `mutex` (KFD's p->mutex) unless said otherwise. An engine's call
//   never takes it.
#pragma once

#include <atomic>
#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "vgpu/buffers.hpp"
#include "vgpu/kfd_events.hpp"
#include "vgpu/machine.hpp"
#include "vgpu/memory.hpp"

namespace kiln::vgpu {

class KfdNode;

/// One handle of ALLOC_MEMORY_OF_GPU or IMPORT_DMABUF.
struct Allocation {
  std::shared_ptr<Backing> backing;
  std::uint32_t gpu = 0;  ///< index of the GPU it was allocated on
  Va va = 0;
  std::uint64_t bytes = 0;  ///< of address space; twice the backing with aql_twice
  std::uint32_t flags = 0;  ///< kmd::uapi::AllocFlags
  bool aql_twice = false;   ///< KFD maps the same half twice (AQL_QUEUE_MEM)
  std::uint64_t mmap_offset = 0;
  std::set<std::uint32_t> mapped_on;  ///< GPU indexes
};

/// An allocation in the page table of one GPU, as amdgpu_bo_va.
struct Attachment {
  Allocation* allocation = nullptr;
  std::uint64_t bytes = 0;       ///< of this mapping
  std::uint32_t queue_refs = 0;  ///< queues that live on it: it cannot be unmapped
};

struct QueueRecord {
  std::uint32_t id = 0, gpu = 0;
  QueueType type = QueueType::Pm4;
  Va ring = 0;
  std::uint64_t ring_bytes = 0;
  Va save_area = 0;
  std::uint64_t save_area_bytes = 0;
  std::uint32_t save_area_stride = 0, control_stack_bytes = 0;  ///< of an XCC's part
  std::uint32_t metadata_bytes = 0;                             ///< behind the ring (KFD 1.22)
  std::uint32_t percent = 0, priority = 0;
  std::uint32_t doorbell = 0;   ///< index in the process's doorbells
  std::int32_t sdma_slot = -1;  ///< engine + engines * queue, device-wide
  std::vector<Va> held;         ///< attachments with a reference of this queue
  bool in_engine = false;       ///< false: created after an eviction, never runs

  bool is_active() const { return ring != 0 && ring_bytes != 0 && percent != 0; }
};

/// kfd_process_device: one process on one GPU.
struct ProcessDevice {
  VirtualGpu* gpu = nullptr;
  AddressSpace space;                      ///< safe from any thread
  std::atomic<std::uint64_t> drm_file{0};  ///< the render node whose VM was acquired; 0: none
  std::map<std::uint32_t, std::unique_ptr<Allocation>> handles;
  std::uint32_t next_handle = 1;
  std::map<Va, Attachment> attachments;
  std::unique_ptr<Region> doorbells;  ///< two pages
  std::bitset<1024> doorbells_used;
  std::uint32_t queue_count = 0;
  std::atomic<bool> evicted{false};  ///< by a VM fault: for good
  TrapHandler trap_handler;
  Va scratch = 0;
};

inline constexpr std::uint64_t kDoorbellBytes = 8192;  ///< kfd_doorbell_process_slice, 64-bit ones

class KfdProcess {
 public:
  /// Where exceptions of a queue are reported; kept apart so that engines need not take `mutex`.
  void set_save_area(std::uint32_t queue, Va save_area);
  void drop_save_area(std::uint32_t queue);
  bool find_save_area(std::uint32_t queue, Va* save_area) const;

  KfdProcess(Machine& machine, std::uint64_t token, bool primary);

  ProcessDevice* device(std::uint32_t gpu_id);  ///< null: no such GPU
  ProcessDevice& device_at(std::size_t index) { return *devices_[index]; }
  std::size_t device_count() const { return devices_.size(); }
  /// Handle -> allocation, and the device that owns it; null: no such handle.
  Allocation* allocation(std::uint64_t handle, ProcessDevice** owner = nullptr);
  QueueRecord* queue(std::uint32_t id);
  /// The doorbell pages, made at first use; null: out of memory.
  Region* doorbells(ProcessDevice& device);

  std::mutex mutex;
  Events events;  ///< has its own lock
  std::map<std::uint32_t, QueueRecord> queues;
  std::atomic<bool> runtime_enabled{false};
  bool xnack_enabled = false;
  const std::uint64_t token;  ///< what engines know the process by
  const bool primary;         ///< false: made by CREATE_PROCESS

 private:
  std::vector<std::unique_ptr<ProcessDevice>> devices_;
  mutable std::mutex save_area_mutex_;
  std::map<std::uint32_t, Va> save_areas_;
};

/// gpu_id in the upper half, number in the lower (kfd_chardev.c MAKE_HANDLE).
constexpr std::uint64_t make_handle(std::uint32_t gpu_id, std::uint32_t number) {
  return std::uint64_t{gpu_id} << 32 | number;
}

}  // namespace kiln::vgpu

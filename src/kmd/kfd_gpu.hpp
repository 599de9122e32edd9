// Owns: one opened GPU over KFD: the Gpu seam in terms of the process's KFD state.
// Does not own: that state (kfd_process.hpp).
// Threading: as Gpu: any thread, a HwQueue belongs to its caller.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "kmd/kfd_process.hpp"
#include "kmd/kmd.hpp"

namespace kiln::kmd {

/// Flags of ALLOC_MEMORY_OF_GPU for a kind of memory.
std::uint32_t alloc_flags(const MemoryDesc& desc);

class KfdGpu final : public Gpu {
 public:
  KfdGpu(std::shared_ptr<KfdProcess> process, GpuSlot& slot, GpuInfo info);
  ~KfdGpu() override;

  const GpuInfo& info() const override { return info_; }

  Result<Memory> allocate(const MemoryDesc& desc, const std::vector<Gpu*>& share) override;
  Status map_to(const Memory& memory, const std::vector<Gpu*>& share) override;
  Status free(const Memory& memory) override { return process_->free(memory); }
  Result<std::uint64_t> available_memory() override;
  Result<int> export_dmabuf(const Memory& memory) override {
    return process_->export_dmabuf(memory);
  }
  Result<Memory> import_dmabuf(int fd) override {
    return process_->import_dmabuf(fd, slot_.gpu_id);
  }

  Result<std::unique_ptr<HwQueue>> create_queue(const QueueDesc& desc) override;
  Status destroy_queue(HwQueue& queue) override;
  Status set_cu_mask(HwQueue& queue, const std::uint32_t* words, std::uint32_t count) override;

  Result<Event> create_event() override;
  Status destroy_event(const Event& event) override;
  std::uint64_t event_age(const Event& event) override { return process_->events().age(event); }
  WaitResult wait(const Event& event, std::uint64_t age, std::uint64_t timeout_ns) override;
  Status set_event(const Event& event) override;

  FaultInfo fault() override;
  Status clocks(std::uint64_t* gpu_ticks, std::uint64_t* host_ns) override;
  bool flush_hdp() override;
  std::optional<bool> xnack() override;
  Va shared_aperture() const override { return slot_.apertures.lds_base; }
  Va private_aperture() const override { return slot_.apertures.scratch_base; }

 private:
  /// What a queue occupies besides its KFD id.
  struct QueueBuffers {
    Memory ring, pointers, eop, save_area;
    std::atomic<std::uint64_t>* error_payload = nullptr;  ///< into which KFD writes exceptions
    bool holds_slot = false;                              ///< of GpuSlot::compute_queues
  };

  Result<std::vector<std::uint32_t>> gpu_ids(const std::vector<Gpu*>& share) const;
  Result<Memory> allocate_queue_memory(std::uint64_t size, std::uint32_t flags, bool host);
  Status allocate_queue_buffers(const QueueDesc& desc, QueueBuffers* buffers);
  void free_queue_buffers(QueueBuffers& buffers);
  void write_save_area_headers(const QueueBuffers& buffers) const;
  void write_aql_queue(const QueueDesc& desc, const QueueBuffers& buffers) const;
  FaultInfo check(bool ask);

  const std::shared_ptr<KfdProcess> process_;
  GpuSlot& slot_;
  const GpuInfo info_;
  volatile std::uint32_t* const hdp_flush_;
  std::mutex mutex_;  // of the two below
  std::map<std::uint32_t, QueueBuffers> queues_;
  FaultInfo queue_fault_;
};

}  // namespace kiln::kmd

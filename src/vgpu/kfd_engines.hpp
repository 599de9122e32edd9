// Owns: the engines of one GPU on the driver's side: made with the first queue; what they report
//   becomes events, evictions and error payloads of the process.
// Does not own: the engines themselves (make_engines), queues' records (kfd_queue.cpp).
// Threading: safe from any thread; reports arrive on engine threads and take no process's mutex.
#pragma once

#include <memory>
#include <mutex>

#include "vgpu/kfd_node.hpp"
#include "vgpu/kfd_smi.hpp"

namespace kiln::vgpu {

class GpuEngines : public EngineHost {
 public:
  GpuEngines(KfdNode& node, VirtualGpu& gpu, const EngineOptions& options, EnginesFactory factory)
      : node_(node), gpu_(gpu), options_(options), factory_(std::move(factory)) {}

  /// Null when this GPU's streams cannot be executed.
  Engines* get();
  /// Null as long as no queue was made.
  Engines* if_made();
  SmiListeners& smi() { return smi_; }

  void interrupt(std::uint64_t process, std::uint32_t context_id) override;
  void wave_interrupt(const WaveInterrupt& interrupt) override;
  void vm_fault(std::uint64_t process, const MemoryFault& fault) override;
  void queue_exception(std::uint64_t process, std::uint32_t queue_id, std::uint64_t codes) override;
  std::uint64_t clock() override { return Machine::clock(); }

 private:
  KfdNode& node_;
  VirtualGpu& gpu_;
  EngineOptions options_;
  EnginesFactory factory_;
  SmiListeners smi_;
  std::mutex mutex_;
  std::unique_ptr<Engines> engines_;
};

}  // namespace kiln::vgpu

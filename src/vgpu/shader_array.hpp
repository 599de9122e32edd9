// Owns: the compute units of an XCC and what occupies them; dispatches in flight and the workgroups
//   that are resident.
// Does not own: running instructions (isa), turning registers into a Dispatch (command_processor).
// Threading: ShaderArray and DispatchRun from any thread; a GroupSlot is a task.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gpu/target.hpp"
#include "vgpu/caches.hpp"
#include "vgpu/chips.hpp"
#include "vgpu/engines.hpp"
#include "vgpu/isa/dispatch.hpp"
#include "vgpu/queue_slots.hpp"
#include "vgpu/report.hpp"
#include "vgpu/scheduler.hpp"

namespace kiln::vgpu {

/// What a workgroup takes of a compute unit.
struct GroupNeeds {
  std::uint32_t waves = 0, lds_bytes = 0;
  std::uint32_t vgprs = 0;  ///< of all its waves, in registers of a SIMD's file
};

/// The compute units of one XCC.
class ShaderArray {
 public:
  ShaderArray(const ChipSpec& chip, const gpu::Target& target);

  /// A compute unit with room; `enabled` (bit per CU) null: all of them.
  bool place(const GroupNeeds& needs, const std::vector<bool>* enabled, std::uint32_t* cu);
  void leave(const GroupNeeds& needs, std::uint32_t cu);
  std::uint32_t shader_engine(std::uint32_t cu) const { return cu / cu_per_engine_; }
  /// VGPRs that a wave with this RSRC1 occupies.
  static std::uint32_t vgprs_per_wave(std::uint32_t rsrc1);

 private:
  struct Cu {
    std::uint32_t waves, lds_bytes, vgprs;  ///< free
  };
  std::mutex mutex_;
  std::vector<Cu> cus_;
  std::size_t next_ = 0;
  std::uint32_t cu_per_engine_;
};

/// Slots of scratch memory, one a wave, of a queue on an XCC (COMPUTE_TMPRING_SIZE.WAVES).
class ScratchPool {
 public:
  explicit ScratchPool(std::uint32_t slots) : used_(slots) {}
  bool take(std::uint32_t count, std::uint32_t* first);
  void give(std::uint32_t first, std::uint32_t count);

 private:
  std::mutex mutex_;
  std::vector<bool> used_;
};

/// What all engines of a GPU share.
struct EngineContext : isa::Environment {
  EngineContext(const ChipSpec& chip_in, const gpu::Target& target_in,
                const EngineOptions& options_in, EngineHost& host_in);

  std::uint64_t clock() override { return host.clock(); }
  void interrupt(const isa::Workgroup& group, std::uint32_t m0, bool in_trap) override;
  ~EngineContext();
  /// Into the report; with the debug switch, to stderr too.
  void explain(const std::string& text) const;
  /// A packet was carried out.
  void carried_out(const gpu::PacketInfo& packet) const {
    if (report != nullptr) report->packet(target, packet);
  }

  const ChipSpec& chip;
  const gpu::Target& target;
  const EngineOptions options;
  EngineHost& host;
  Report* const report = Report::active();  ///< null: none asked for
  Scheduler scheduler;
  QueueSlots slots;
  std::unique_ptr<CacheSystem> caches;  ///< null: coherent
  std::vector<std::unique_ptr<ShaderArray>> xccs;
  std::atomic<std::uint64_t> instructions{0};
  std::atomic<std::uint32_t> resident_waves{0};
};

class GroupSlot;

/// The share of a dispatch that one XCC runs.
class DispatchRun : public std::enable_shared_from_this<DispatchRun> {
 public:
  struct Share {
    std::uint32_t xcc = 0;                ///< physical
    std::uint32_t first = 0, stride = 1;  ///< workgroups first, first + stride, ...
  };

  DispatchRun(EngineContext& context, std::shared_ptr<TaskGroup> tasks, isa::Dispatch dispatch,
              Share share, std::shared_ptr<ScratchPool> scratch,
              std::shared_ptr<const std::vector<bool>> enabled_cus);

  /// Makes the first workgroups resident; later ones follow by themselves.
  void start();
  /// All workgroups have ended.
  bool done() const { return left_.load(std::memory_order_acquire) == 0; }
  /// The queue has gone: workgroups that hang give up their places.
  void abandon();

 private:
  friend class GroupSlot;

  bool take(std::uint64_t* index);
  void ended();
  void tired();
  void add_slots(std::uint32_t count);
  void hang(std::shared_ptr<Task> slot);

  EngineContext& context_;
  const std::shared_ptr<TaskGroup> tasks_;
  const isa::Dispatch dispatch_;
  const Share share_;
  const std::shared_ptr<ScratchPool> scratch_;
  const std::shared_ptr<const std::vector<bool>> enabled_cus_;
  GroupNeeds needs_;
  std::uint64_t total_ = 0;
  std::atomic<std::uint64_t> next_, left_{0};
  std::atomic<std::uint32_t> slots_{0}, slices_{0};
  std::mutex mutex_;
  std::vector<std::shared_ptr<Task>> hung_;  ///< keep their place for as long as the queue lives
};

}  // namespace kiln::vgpu

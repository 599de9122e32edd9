// Owns: the seam inside the virtual GPU between the kernel driver's part (kfd_node, machine), which
//   creates queues and delivers events, and the engines (command processor, SDMA, shaders), which
//   run them.
// Does not own: either side.
// Threading: both interfaces may be called from any thread; an engine never calls EngineHost while
//   it holds a lock that Engines' methods take.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "gpu/gfxip.hpp"
#include "vgpu/memory.hpp"

namespace kiln::vgpu {

struct ChipSpec;

enum class QueueType : std::uint8_t { Pm4, Aql, Sdma, SdmaXgmi };

/// The second-level trap handler of a process on a GPU (SET_TRAP_HANDLER); addresses of 0: none. It
/// may change while queues run: the first-level handler reads it from memory at every trap
/// (kfd_process.c kfd_process_set_trap_handler, cwsr_trap_handler_gfx9.asm).
struct TrapHandler {
  std::atomic<Va> code{0}, memory{0};  ///< TBA, TMA
};

/// One hardware queue as KFD would map it.
struct QueueConfig {
  std::uint32_t id = 0;  ///< KFD queue id, unique per process
  QueueType type = QueueType::Pm4;
  Va ring = 0;  ///< guest address; the size is a power of two
  std::uint64_t ring_bytes = 0;
  Va read_pointer = 0, write_pointer = 0;
  std::atomic<std::uint64_t>* doorbell = nullptr;  ///< host address of its doorbell slot
  std::uint32_t doorbell_id = 0;                   ///< its number among the process's doorbells
  Va save_area = 0;  ///< CWSR area; its per-XCC headers hold the error payload
  std::uint64_t save_area_bytes = 0;
  std::uint32_t priority = 7;
  std::uint32_t target_xcc = 0;   ///< PM4 queues: the XCC it is bound to
  std::int32_t sdma_engine = -1;  ///< queue type "by engine id"
  AddressSpace* space = nullptr;
  std::uint64_t process = 0;                  ///< token of the owning KFD process
  bool runtime_enabled = false;               ///< exceptions are delivered only then
  const TrapHandler* trap_handler = nullptr;  ///< outlives the queue; null: none
};

/// s_sendmsg(MSG_INTERRUPT) of a wave.
struct WaveInterrupt {
  std::uint64_t process = 0;
  std::uint32_t queue_id = 0, doorbell_id = 0;  ///< of the wave's queue
  std::uint32_t data = 0;                       ///< M0
  bool in_trap = false;                         ///< sent by the trap handler
};

/// What engines report; implemented by the KFD node.
class EngineHost {
 public:
  virtual ~EngineHost() = default;
  /// An end-of-pipe or SDMA trap interrupt with its context id.
  virtual void interrupt(std::uint64_t process, std::uint32_t context_id) = 0;
  virtual void wave_interrupt(const WaveInterrupt& interrupt) = 0;
  /// A VM fault. The host evicts the process's queues on this GPU (kfd_dqm_evict_pasid).
  virtual void vm_fault(std::uint64_t process, const MemoryFault& fault) = 0;
  /// A queue stopped with KFD exception codes (EC_QUEUE_PACKET_DISPATCH_..., kfd_ioctl.h).
  virtual void queue_exception(std::uint64_t process, std::uint32_t queue_id,
                               std::uint64_t codes) = 0;
  /// 100 MHz GPU clock.
  virtual std::uint64_t clock() = 0;
};

/// The engines of one GPU.
class Engines {
 public:
  virtual ~Engines() = default;
  virtual void create_queue(const QueueConfig& config) = 0;
  /// Changes ring, percentage (0 pauses) or priority of a queue between packets.
  virtual void update_queue(std::uint64_t process, std::uint32_t id, Va ring,
                            std::uint64_t ring_bytes, std::uint32_t percentage,
                            std::uint32_t priority) = 0;
  virtual void set_cu_mask(std::uint64_t process, std::uint32_t id, const std::uint32_t* words,
                           std::uint32_t count) = 0;
  /// Returns when nothing of the queue runs any more; its waves are dropped.
  virtual void destroy_queue(std::uint64_t process, std::uint32_t id) = 0;
  /// Stops every queue of the process for good (VM fault) or until `resume`.
  virtual void evict(std::uint64_t process) = 0;
  /// Host-side invalidate: what KFD's TLB and HDP flushes do.
  virtual void flush_hdp() = 0;
  /// Writes back and empties what caches hold of that address space.
  virtual void flush_caches(const AddressSpace&) {}
  /// Wave-instructions executed so far, by all queues.
  virtual std::uint64_t instructions() const { return 0; }
};

/// Switches of a virtual machine, from KILN_VGPU's options ("mi300x,strict,seed=7,skew=max").
struct EngineOptions {
  bool strict_memory = false;  ///< model the incoherent caches
  std::uint64_t seed = 0;      ///< of the skew and, if not 0, of random cache evictions
  std::uint32_t skew = 0;      ///< 0 none .. 100 maximal
  std::uint32_t threads = 0;   ///< 0: as many as the host has
  std::uint32_t quantum_us =
      5000;            ///< of compute queues that take turns, if they outnumber the slots
  bool debug = false;  ///< print more to stderr than hardware would tell
  /// A fault to inject: DISPATCH_DIRECT's DIM_X is read with its lowest set bit cleared, so that
  /// whoever checks results can see that a damaged stream shows.
  bool flip_dispatch = false;
};

/// Wave-instructions that all virtual GPUs of this process have executed.
std::uint64_t total_wave_instructions();

std::unique_ptr<Engines> make_engines(const ChipSpec& chip, const EngineOptions& options,
                                      EngineHost& host);

}  // namespace kiln::vgpu

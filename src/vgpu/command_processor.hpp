// Owns: the PM4 command processor of one XCC for one queue: ring and indirect buffers, registers,
//   packets, and what is still in flight.
// Does not own: AQL packets (aql_processor.*), running workgroups (shader_array.*), the queue's
// life
//   (engines.cpp).
// Threading: a task; submit() may be called from another task.
//
// Nothing joins the XCCs here: each runs every packet of an indirect buffer by itself, dispatches
// excepted, whose workgroups are dealt out in turn (COMPUTE_TG_CHUNK_SIZE 1 and
// COMPUTE_CURRENT_LOGIC_XCC_ID, kfd_mqd_manager_v9.c). Dispatches and end-of-pipe events are
// asynchronous: the processor goes on, only waits see that they have not ended.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gpu/decode.hpp"
#include "vgpu/engine_port.hpp"
#include "vgpu/shader_array.hpp"

namespace kiln::vgpu {

/// What the tasks of one queue share.
struct QueueState {
  QueueState(EngineContext& context_in, const QueueConfig& config_in)
      : context(context_in), config(config_in), tasks(std::make_shared<TaskGroup>()) {}

  /// Stops the queue with an exception of kfd_ioctl.h.
  void raise(std::uint32_t code, const std::string& why);
  /// Stops the queue as hardware would hang: nobody is told.
  void hang(const std::string& why);
  /// Stops the queue; the driver evicts the whole process.
  void fault(const MemoryFault& fault);
  /// Compute units that workgroups may use on an XCC; null: all.
  std::shared_ptr<const std::vector<bool>> enabled_cus(std::uint32_t xcc);

  EngineContext& context;
  QueueConfig config;  ///< changed only while the tasks are paused
  const std::shared_ptr<TaskGroup> tasks;
  std::atomic<bool> stopped{false};
  std::mutex mask_mutex;
  std::vector<std::shared_ptr<const std::vector<bool>>> cu_masks;  ///< by XCC; empty: all
};

/// An AQL packet in progress on all XCCs.
struct AqlRecord {
  std::uint64_t index = 0;
  std::atomic<std::uint32_t> xccs_left{0};
  std::atomic<std::uint64_t> start_time{0};
  Va completion_signal = 0;
  bool completed = false;  ///< the packet processor has seen that xccs_left is 0
};

enum class AqlFence : std::uint8_t { None, Agent, System };

/// What the packet processor asks of each XCC.
struct AqlWork {
  std::shared_ptr<AqlRecord> record;
  AqlFence acquire = AqlFence::None, release = AqlFence::None;
  /// An indirect buffer of PM4 ...
  Va indirect_buffer = 0;
  std::uint32_t dwords = 0;
  /// ... or registers (offset, value) and a dispatch.
  std::vector<std::array<std::uint32_t, 2>> registers;
  bool dispatch = false;
  std::uint32_t groups[3] = {};
  std::uint32_t initiator = 0;
  Va scratch_base = 0;  ///< of this XCC; set by the packet processor
};

class CommandProcessor final : public Task {
 public:
  struct Place {
    std::uint32_t xcc = 0;      ///< physical
    std::uint32_t logical = 0;  ///< COMPUTE_CURRENT_LOGIC_XCC_ID
    std::uint32_t count = 1;    ///< XCCs that share the queue's dispatches
  };
  /// `has_ring`: PM4 queue; otherwise work comes by submit().
  CommandProcessor(std::shared_ptr<QueueState> queue, Place place, bool has_ring);
  ~CommandProcessor() override;

  Outcome step(Random& random) override;

  /// The caller wakes the task.
  void submit(AqlWork work);

 private:
  enum class Result : std::uint8_t {
    Done,     ///< on to the next packet
    More,     ///< the packet did a part of its work
    Blocked,  ///< the packet waits
    Idle,     ///< there is no packet
    Stopped,  ///< the queue is stopped
  };

  struct Stream {
    Va address = 0;
    std::uint32_t dwords = 0, position = 0;
  };

  /// Work that waits for dispatches to end.
  struct EndOfPipe {
    std::uint64_t first = 0, last = 0;  ///< dispatches [first, last) must have ended
    // RELEASE_MEM
    bool is_release = false;
    CacheActions actions;
    Va address = 0;
    std::uint32_t data_sel = 0, int_sel = 0, context = 0;
    std::uint64_t data = 0;
    Scope scope = Scope::System;
    // The end of an AQL packet
    std::shared_ptr<AqlRecord> record;
    AqlFence fence = AqlFence::None;
  };

  struct InFlight {
    std::uint64_t serial;
    std::shared_ptr<DispatchRun> run;
  };

  // Streams (command_processor.cpp).
  Result advance();
  Result next_of_ring();
  Result next_of_buffer();
  Result next_work();
  Result decode(Va address, std::uint32_t available, gpu::PacketView* view);
  bool read_ring(std::uint64_t position, std::uint32_t* to, std::uint32_t dwords);
  Result bad_packet(std::uint32_t code, const std::string& why);
  Result memory_fault();

  // End of pipe (command_processor.cpp).
  bool drain();
  bool ended(std::uint64_t first, std::uint64_t last);
  bool perform(const EndOfPipe& event);
  void apply(const CacheActions& actions);
  CacheActions fence_actions(AqlFence fence, bool acquire) const;

  // Packets (pm4_packets.cpp).
  Result execute(const gpu::PacketView& view);
  Result set_sh_registers(const gpu::PacketView& view);
  Result set_register(std::uint32_t offset, std::uint32_t value);
  Result indirect_buffer(const gpu::PacketView& view);
  Result skip(const gpu::PacketView& view, std::uint64_t dwords);
  Result unsupported(const gpu::PacketView& view, const char* why);
  Result wait_reg_mem(const gpu::PacketView& view, bool is_64);
  Result write_data(const gpu::PacketView& view);
  Result copy_data(const gpu::PacketView& view);
  Result atomic_mem(const gpu::PacketView& view);
  Result dma_data(const gpu::PacketView& view);
  Result event_write(const gpu::PacketView& view);
  Result acquire_mem(const gpu::PacketView& view);
  Result release_mem(const gpu::PacketView& view);
  Result cond_exec(const gpu::PacketView& view);

  // Dispatches (pm4_dispatch.cpp).
  Result dispatch(const std::uint32_t (&dims)[3], std::uint32_t initiator);
  Result dispatch_indirect(const gpu::PacketView& view);
  std::shared_ptr<ScratchPool> scratch_pool(isa::Dispatch& dispatch, std::uint32_t tmpring,
                                            Va base);
  std::uint32_t& reg(std::uint32_t offset);

  const std::shared_ptr<QueueState> queue_;
  EngineContext& context_;
  const Place place_;
  const bool has_ring_;
  const gpu::Dialect dialect_;
  EnginePort port_;

  std::uint64_t read_pointer_ = 0;  ///< PM4 ring, dwords, counting on
  bool in_buffer_ = false;
  bool chained_ = false;  ///< the packet under way has replaced buffer_
  Stream buffer_;
  std::vector<std::uint32_t> packet_;
  std::array<std::uint32_t, 0x400> sh_registers_{};

  std::mutex work_mutex_;
  std::list<AqlWork> work_;
  bool working_ = false;  ///< on current_
  AqlWork current_;
  std::uint64_t work_first_ = 0;  ///< serial of its first dispatch

  std::uint64_t next_serial_ = 0;
  std::vector<InFlight> in_flight_;
  std::list<EndOfPipe> end_of_pipe_;
  std::uint64_t dma_done_ = 0;  ///< bytes of the DMA_DATA under way
  std::uint64_t atomic_result_ = 0;

  std::shared_ptr<ScratchPool> scratch_;
  Va scratch_base_ = 0;
  std::uint32_t scratch_tmpring_ = 0;
};

}  // namespace kiln::vgpu

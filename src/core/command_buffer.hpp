// Owns: recording commands into packets: GPU-visible chunks of stream, an arena for arguments and
//   inline data, barriers that wait to be merged.
// Does not own: what packets look like (gpu/), submission (queue.*).
// Threading: externally synchronised with its pool.
#pragma once

#include <kiln/kiln.h>

#include <atomic>
#include <cstring>
#include <vector>

#include "base/result.hpp"
#include "core/command_pool.hpp"
#include "core/kernel.hpp"
#include "core/object.hpp"
#include "gpu/commands.hpp"
#include "gpu/dispatch.hpp"
#include "gpu/writer.hpp"

namespace kiln::core {

/// A piece of recorded stream, executed in order and in one go.
struct StreamPart {
  kmd::Va address = 0;
  const std::uint32_t* dwords = nullptr;
  std::uint32_t count = 0;
};

class CommandBuffer {
 public:
  enum class State : std::uint8_t { Initial, Recording, Executable };

  CommandBuffer(CommandPool& pool, kmd::Va join_counters);
  ~CommandBuffer();
  CommandBuffer(const CommandBuffer&) = delete;

  Device& device() const { return pool_.device(); }
  std::uint32_t family() const { return pool_.family(); }
  kmd::Va join_counters() const { return queue_context_.join_counters; }
  State state() const { return state_; }

  Status begin();
  Status end();
  Status reset();

  Status dispatch(const KilnDispatchInfo& info, kmd::Va indirect);
  Status copy(kmd::Va destination, kmd::Va source, std::uint64_t size);
  Status copy_rect(const KilnCopyRectInfo& info);
  Status fill(kmd::Va destination, std::uint64_t size, std::uint64_t pattern,
              std::uint32_t pattern_size);
  Status update(kmd::Va destination, std::uint64_t size, const void* data);
  Status barrier(const KilnBarrierInfo* info);
  Status write_timestamp(kmd::Va address);
  Status write_value(kmd::Va address, std::uint64_t value);
  Status wait_value(kmd::Va address, std::uint64_t value);
  VkResult get_statistics(KilnCommandBufferStatistics* statistics) const;

  // For submission.
  const std::vector<StreamPart>& parts() const { return parts_; }
  /// Scratch that its kernels need on each XCC; 0: none.
  std::uint64_t scratch_bytes_per_xcc() const { return scratch_bytes_per_xcc_; }
  /// Remembers where it was submitted last. A command buffer may be pending several times on one
  /// queue, but not on two queues at once: its XCC join counters are its own.
  /// The monitor thread does this too, for what was held back.
  struct Use {
    const Queue* queue = nullptr;
    std::uint64_t submission = 0;
  };
  /// Gives back what was there before.
  Use submitted(Use use);
  /// Where kernels get their scratch in user SGPRs, puts its address into the stream for submission
  /// `use`. Gives back the address that is there: still the former one while a submission before
  /// may be reading it.
  kmd::Va bind_scratch(kmd::Va base, Use use);
  bool pending() const;
  const Queue* last_queue() const { return last_queue_.load(std::memory_order_acquire); }

 private:
  template <class Emit>
  Status emit(std::uint64_t dwords, Emit emit_packets);
  template <class Body>
  Status record(const char* command, Body body);
  Status open_part(std::uint64_t dwords);
  void close_part();
  Status flush_barrier();
  Status emit_sdma_fence_and_poll(std::uint32_t value);
  Result<void*> take_data(std::uint64_t bytes, std::uint64_t alignment, kmd::Va* address);
  bool is_compute() const { return kind_ == KILN_QUEUE_FAMILY_COMPUTE; }
  Status copy_bytes(kmd::Va destination, kmd::Va source, std::uint64_t size);
  Status fill_by_doubling(kmd::Va destination, std::uint64_t size, std::uint64_t pattern);

  CommandPool& pool_;
  KilnQueueFamilyKind kind_;
  State state_ = State::Initial;
  Status error_{};  // the first one met while recording
  gpu::QueueContext queue_context_;
  std::vector<StreamPart> parts_;
  std::vector<Block> blocks_;
  gpu::DwordWriter writer_{{}};
  kmd::Va part_address_ = 0;
  std::uint32_t* part_dwords_ = nullptr;
  Block data_block_{};
  std::uint64_t data_used_ = 0;
  LaunchShape last_shape_;  // of the last dispatch with arguments, which lie at last_arguments_
  const std::byte* last_arguments_ = nullptr;
  gpu::Barrier pending_barrier_;
  gpu::DispatchState dispatch_state_;
  std::uint64_t scratch_bytes_per_xcc_ = 0;
  struct ScratchDword {
    std::uint32_t* dword;
    gpu::ScratchWord::Part part;
  };
  std::vector<ScratchDword> scratch_dwords_;
  kmd::Va scratch_base_ = 0;  // what they hold; 0: nothing yet
  Use scratch_use_;           // the last submission that reads it
  kmd::Va sdma_fence_ = 0;    // a word that barriers of an SDMA stream fence and poll
  std::uint32_t sdma_barriers_ = 0;
  KilnCommandBufferStatistics statistics_{};
  std::atomic<const Queue*> last_queue_{nullptr};
  std::atomic<std::uint64_t> last_submission_{0};
};

}  // namespace kiln::core

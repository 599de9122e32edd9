// Owns: what can be asked of a target's queues, as plain structures, and the table of functions
//   that answer (`Ops`).
// Does not own: the answers (cache.*, signal.*, dispatch.*, copy.*).
// Threading: values only; an emit function touches nothing but its writer and its arguments.
#pragma once

#include <cstdint>
#include <span>

#include "gpu/field.hpp"
#include "gpu/pm4.hpp"
#include "gpu/writer.hpp"

namespace kiln::gpu {

struct Target;
struct KernelImage;
struct DispatchState;
struct DispatchArgs;

/// How far a barrier's memory effects reach. Agent: this GPU's kernels, on all XCCs. System: the
/// host, other GPUs, and engines that do not go through this GPU's L2.
enum class Scope : std::uint8_t { None, Agent, System };

struct Barrier {
  bool execute = false;         ///< later dispatches start after earlier ones ended
  Scope release = Scope::None;  ///< earlier writes become visible (implies waiting for them)
  Scope acquire = Scope::None;  ///< later reads see what was released before
  bool code_changed = false;    ///< later kernels may run code written before

  constexpr bool empty() const {
    return !execute && release == Scope::None && acquire == Scope::None && !code_changed;
  }
  /// Two barriers with nothing between them.
  constexpr void merge(const Barrier& other) {
    execute |= other.execute;
    code_changed |= other.code_changed;
    if (other.release > release) release = other.release;
    if (other.acquire > acquire) acquire = other.acquire;
  }
};

/// The queue that a stream is for. Streams with xcc_count > 1 run on every XCC and must sit in
/// indirect buffers, because PRED_EXEC does not work in a ring.
struct QueueContext {
  const Target* target = nullptr;
  std::uint32_t xcc_count = 1;  ///< XCCs that run the stream: 1 on PM4 queues
  /// Two 32-bit counters at +0 and +256, zero at first, in uncached memory, this queue's own.
  /// Needed when xcc_count > 1.
  Va join_counters = 0;
};

/// A 64-bit value written after all earlier work, and a host wake-up if `mailbox` is set.
struct SignalOp {
  Va address = 0;  ///< 8-byte aligned
  std::uint64_t value = 0;
  Va mailbox = 0;  ///< event slot; 0: no interrupt
  std::uint32_t event_id = 0;
  /// Memory holds bits 63:32 of `value` already. An engine that writes halves leaves them alone:
  /// whoever sees the low half may go on and write the next multiple of 2^32 there.
  bool high_half_stands = false;
};

struct WaitOp {
  Va address = 0;  ///< 8-byte aligned
  std::uint64_t value = 0;
  std::uint64_t mask = ~std::uint64_t{0};
  pm4::Compare compare = pm4::Compare::Ge;
};

/// Top: when the command processor gets there. Bottom: when all earlier work has ended.
enum class PipeStage : std::uint8_t { Top, Bottom };

struct WriteOp {
  Va address = 0;  ///< aligned to its size
  std::uint64_t value = 0;
  bool is_64 = true;
  PipeStage stage = PipeStage::Bottom;
};

struct CopyOp {
  Va source = 0, destination = 0;
  std::uint64_t bytes = 0;
};

struct FillOp {
  Va destination = 0;
  std::uint64_t bytes = 0;
  std::uint32_t pattern = 0;  ///< repeated from `destination` on; dword pattern
};

/// A box of bytes, `pitch` bytes from row to row and `slice` from layer to layer.
struct RectOp {
  Va source = 0, destination = 0;  ///< of the box's first byte
  std::uint64_t source_pitch = 0, source_slice = 0;
  std::uint64_t destination_pitch = 0, destination_slice = 0;
  std::uint64_t width_bytes = 0, height = 1, depth = 1;
};

/// SDMA compares 32 bits only; what that means for 64-bit timelines is the submitter's to solve.
struct SdmaPollOp {
  Va address = 0;  ///< 4-byte aligned
  std::uint32_t value = 0, mask = ~0u;
  pm4::Compare compare = pm4::Compare::Ge;
};

/// Compute queues. The caller reserves the maximum first (`kMax...Dwords` of the module, or the
/// `..._dwords` function); nothing fails afterwards.
struct Ops {
  void (*emit_barrier)(DwordWriter&, const QueueContext&, const Barrier&);
  void (*emit_xcc_join)(DwordWriter&, const QueueContext&);
  void (*emit_dispatch)(DwordWriter&, const QueueContext&, const KernelImage&, const DispatchArgs&,
                        DispatchState&);
  void (*emit_dispatch_indirect)(DwordWriter&, const QueueContext&, const KernelImage&,
                                 const DispatchArgs&, Va grid, DispatchState&);
  /// Releases `scope`, joins the XCCs, then writes each signal once.
  void (*emit_signals)(DwordWriter&, const QueueContext&, Scope scope, std::span<const SignalOp>);
  void (*emit_wait)(DwordWriter&, const QueueContext&, const WaitOp&);
  void (*emit_timestamp)(DwordWriter&, const QueueContext&, Va address, PipeStage);
  void (*emit_write_value)(DwordWriter&, const QueueContext&, const WriteOp&);
  /// By the command processor itself, for sizes that do not pay for a kernel.
  void (*emit_copy)(DwordWriter&, const QueueContext&, const CopyOp&);
  void (*emit_fill)(DwordWriter&, const QueueContext&, const FillOp&);
};

/// SDMA queues. The functions return false, and write nothing, for what the engine cannot do.
struct SdmaOps {
  void (*emit_copy)(DwordWriter&, const Target&, const CopyOp&);
  bool (*emit_fill)(DwordWriter&, const Target&, const FillOp&);
  bool (*emit_rect)(DwordWriter&, const Target&, const RectOp&);
  /// Inline data; `data` holds `bytes`, both destination and size a multiple of 4.
  void (*emit_update)(DwordWriter&, const Target&, Va destination, const void* data,
                      std::uint32_t bytes);
  /// 64-bit value by a fence for each half that changes, the low one first: a reader may see too
  /// small a value, never too large. Then mailbox and trap.
  void (*emit_signal)(DwordWriter&, const Target&, const SignalOp&);
  void (*emit_poll)(DwordWriter&, const Target&, const SdmaPollOp&);
  void (*emit_timestamp)(DwordWriter&, const Target&, Va address);
  void (*emit_hdp_flush)(DwordWriter&, const Target&);
  /// Cache control around copies, where the engine has it; otherwise nothing.
  void (*emit_acquire)(DwordWriter&, const Target&);
  void (*emit_release)(DwordWriter&, const Target&);
};

}  // namespace kiln::gpu

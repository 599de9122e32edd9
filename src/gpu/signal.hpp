// Owns: 64-bit signals, waits, timestamps and value writes of compute queues.
// Does not own: SDMA's (copy.*), the policy of waits (core).
// Threading: functions of their arguments.
#pragma once

#include <cstdint>
#include <span>

#include "gpu/cache.hpp"

namespace kiln::gpu {

/// Barrier in front, PRED_EXEC, and two RELEASE_MEM a signal.
constexpr std::uint32_t max_signals_dwords(std::uint32_t signals) {
  return kMaxBarrierDwords + 2 + 16 * signals;
}
inline constexpr std::uint32_t kWaitDwords = 9;
inline constexpr std::uint32_t kHdpFlushDwords = 7;
inline constexpr std::uint32_t kMaxTimestampDwords = 2 + kXccJoinDwords + 2 + 8;
inline constexpr std::uint32_t kMaxWriteDwords = 2 + kXccJoinDwords + 2 + 8;

void emit_signals(DwordWriter& writer, const QueueContext& queue, Scope scope,
                  std::span<const SignalOp> signals);
void emit_wait(DwordWriter& writer, const QueueContext& queue, const WaitOp& wait);
/// Flushes the host data path from the GPU, where the host cannot do it by a register page.
void emit_hdp_flush(DwordWriter& writer);
void emit_timestamp(DwordWriter& writer, const QueueContext& queue, Va address, PipeStage stage);
void emit_write_value(DwordWriter& writer, const QueueContext& queue, const WriteOp& write);

}  // namespace kiln::gpu

// Owns: barriers: which cache operations a {release, acquire} pair needs on each target, and the
//   join that makes several XCCs wait for each other.
// Does not own: when a barrier is needed (core), signals (signal.*).
// Threading: functions of their arguments.
#pragma once

#include <cstdint>

#include "gpu/commands.hpp"
#include "gpu/target.hpp"

namespace kiln::gpu {

/// Cache control of ACQUIRE_MEM: CP_COHER_CNTL on gfx9, GCR_CNTL on gfx10 and up. 0: none needed.
std::uint32_t release_bits(const Target& target, Scope scope);
/// The same release inside RELEASE_MEM's first dword.
std::uint32_t release_mem_bits(const Target& target, Scope scope);
std::uint32_t acquire_bits(const Target& target, Scope scope, bool code_changed);

/// Idle (2) + acquire-mem (8) + join (32) + acquire-mem (8).
inline constexpr std::uint32_t kMaxBarrierDwords = 50;
/// Two rendezvous of ATOMIC_MEM (9) and WAIT_REG_MEM (7).
inline constexpr std::uint32_t kXccJoinDwords = 32;

/// Nothing for an empty barrier. With several XCCs an executing barrier is: idle, release,
/// rendezvous of the XCCs, acquire.
void emit_barrier(DwordWriter& writer, const QueueContext& queue, const Barrier& barrier);
/// The rendezvous alone: no XCC passes before all have come. Nothing on a single XCC. The counters
/// come back to zero (modulo the XCC count), so a stream can be replayed as it is.
void emit_xcc_join(DwordWriter& writer, const QueueContext& queue);
/// CS_PARTIAL_FLUSH: earlier dispatches of this XCC have ended.
void emit_idle(DwordWriter& writer);
/// The same by RELEASE_MEM and WAIT_REG_MEM on `fence`, a dword of this stream's own, for queues
/// where a CS_PARTIAL_FLUSH stands in the way of preemption (KFDTest Dispatch.cpp). One XCC only.
void emit_idle_by_fence(DwordWriter& writer, const QueueContext& queue, Va fence);
inline constexpr std::uint32_t kIdleByFenceDwords = 5 + 8 + 7;

}  // namespace kiln::gpu

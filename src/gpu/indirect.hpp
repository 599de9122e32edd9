// Owns: the packet by which a ring runs a recorded stream.
// Does not own: rings (core/ring*), streams.
// Threading: functions of their arguments.
#pragma once

#include <cstdint>

#include "gpu/pm4.hpp"
#include "gpu/writer.hpp"

namespace kiln::gpu {

inline constexpr std::uint32_t kIndirectBufferDwords = 4;

/// INDIRECT_BUFFER with VALID set, as MEC demands it (ROCr amd_aql_queue.cpp, tinygrad ops_amd.py).
/// `dwords` is at most pm4::kMaxIndirectBufferDwords.
inline Packet<pm4::IndirectBuffer> indirect_buffer(Va address, std::uint32_t dwords) {
  return Packet<pm4::IndirectBuffer>{}
      .set<pm4::IndirectBuffer::address>(address)
      .set<pm4::IndirectBuffer::size>(dwords)
      .set<pm4::IndirectBuffer::valid>(1);
}

}  // namespace kiln::gpu

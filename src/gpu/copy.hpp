// Owns: copies, fills and rectangles: DMA_DATA on compute queues, and everything SDMA queues do.
// Does not own: kernels that copy (core), which engine an application picks.
// Threading: functions of their arguments.
#pragma once

#include <cstdint>

#include "gpu/commands.hpp"
#include "gpu/target.hpp"

namespace kiln::gpu {

/// DMA_DATA moves at most this much a packet: 26 bits, kept a multiple of 32.
inline constexpr std::uint32_t kDmaDataMaxBytes = 0x3FF'FFE0;

/// Dwords that a compute queue's emit_copy or emit_fill of `bytes` takes.
std::uint64_t dma_dwords(const QueueContext& queue, std::uint64_t bytes);

std::uint64_t sdma_copy_dwords(const Target& target, std::uint64_t bytes);
std::uint64_t sdma_fill_dwords(const Target& target, std::uint64_t bytes);
/// 0 if the engine cannot copy this box: pitches and slices beyond its fields.
std::uint64_t sdma_rect_dwords(const Target& target, const RectOp& rect);
std::uint64_t sdma_update_dwords(const Target& target, std::uint32_t bytes);
inline constexpr std::uint32_t kSdmaMaxSignalDwords = 4 + 4 + 4 + 2;
inline constexpr std::uint32_t kSdmaMaxSignalAtomicDwords = 8 + 4 + 2;
inline constexpr std::uint32_t kSdmaPollDwords = 6;
inline constexpr std::uint32_t kSdmaTimestampDwords = 3;
inline constexpr std::uint32_t kSdmaHdpFlushDwords = 6;
inline constexpr std::uint32_t kSdmaMaxGcrDwords = 5;

/// Zero dwords up to a multiple of `align_dwords`: NOPs of one dword, as ring tails and the end of
/// an indirect buffer want them. Returns how many.
std::uint32_t sdma_pad(DwordWriter& writer, std::uint32_t align_dwords);

extern const SdmaOps kSdma4Ops, kSdma6Ops;

void emit_copy(DwordWriter& writer, const QueueContext& queue, const CopyOp& copy);
void emit_fill(DwordWriter& writer, const QueueContext& queue, const FillOp& fill);

}  // namespace kiln::gpu

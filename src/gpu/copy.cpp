// Owns: DMA_DATA on compute queues; copies, fills, rectangles, updates, signals, polls and cache
//   control of SDMA engines 4.4.2 and 6.0.
// Does not own: limits (target.cpp's rows).
// Threading: functions of their arguments.
#include "gpu/copy.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

#include "gpu/pm4.hpp"
#include "gpu/sdma.hpp"

namespace kiln::gpu {
namespace {

constexpr std::uint32_t kDmaDwords = 7, kPredDwords = 2;
constexpr std::uint32_t kCopyDwords = 7, kFillDwords = 5, kRectDwords = 13, kWriteDwords = 4;

std::uint64_t chunks(std::uint64_t bytes, std::uint64_t most) {
  return (bytes + most - 1) / most;
}

/// One XCC moves the data; the others go on to the join of the barrier behind.
void put_dma(DwordWriter& writer, const QueueContext& queue, Packet<pm4::DmaData> packet) {
  if (queue.xcc_count > 1)
    writer.put(Packet<pm4::PredExec>{}
                   .set<pm4::PredExec::exec_count>(kDmaDwords)
                   .set<pm4::PredExec::virtual_xcc_mask>(1));
  writer.put(packet);
}

// The packets of one SDMA generation.
struct Sdma4 {
  using Copy = sdma::CopyLinear4;
  using Rect = sdma::CopyRect4;
  using Write = sdma::WriteLinear4;
  using Fence = sdma::Fence4;
  using Poll = sdma::PollRegmem4;
  using Fill = sdma::ConstFill4;
  using Timestamp = sdma::TimestampGlobal4;
};
struct Sdma6 {
  using Copy = sdma::CopyLinear6;
  using Rect = sdma::CopyRect6;
  using Write = sdma::WriteLinear6;
  using Fence = sdma::Fence6;
  using Poll = sdma::PollRegmem6;
  using Fill = sdma::ConstFill6;
  using Timestamp = sdma::TimestampGlobal6;
};

template <class S>
void sdma_copy(DwordWriter& writer, const Target& target, const CopyOp& copy) {
  using P = typename S::Copy;
  for (std::uint64_t done = 0; done < copy.bytes;) {
    const std::uint64_t now =
        std::min<std::uint64_t>(copy.bytes - done, target.sdma.copy_max_bytes);
    writer.put(Packet<P>{}
                   .template set<P::count>(now - 1)
                   .template set<P::source>(copy.source + done)
                   .template set<P::destination>(copy.destination + done));
    done += now;
  }
}

bool bytes_alike(std::uint32_t pattern) {
  return pattern == (pattern & 0xFF) * 0x01010101u;
}

template <class S>
bool sdma_fill(DwordWriter& writer, const Target& target, const FillOp& fill) {
  using P = typename S::Fill;
  const bool dwords = fill.destination % 4 == 0 && fill.bytes % 4 == 0;
  if (!dwords && !bytes_alike(fill.pattern)) return false;
  for (std::uint64_t done = 0; done < fill.bytes;) {
    const std::uint64_t now =
        std::min<std::uint64_t>(fill.bytes - done, target.sdma.fill_max_bytes);
    writer.put(Packet<P>{}
                   .template set<P::fill_size>(dwords ? sdma::kFillDwords : sdma::kFillBytes)
                   .template set<P::destination>(fill.destination + done)
                   .template set<P::data>(fill.pattern)
                   .template set<P::count>(now - (dwords ? 4 : 1)));
    done += now;
  }
  return true;
}

/// One packet of a rectangle: byte offsets into the box, sizes in elements of 1 << element bytes.
struct Tile {
  Va source, destination;
  std::uint32_t element, width, height, depth;
};

/// log2 of the largest element, up to 16 bytes, that `value` is a multiple of.
std::uint32_t element_of(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::countr_zero(value | 16));
}

/// A box of one row is a box one dimension lower.
RectOp normal_form(RectOp rect) {
  if (rect.height == 1 && rect.depth > 1) {
    rect.height = rect.depth;
    rect.source_pitch = rect.source_slice;
    rect.destination_pitch = rect.destination_slice;
    rect.depth = 1;
  }
  return rect;
}

/// Calls `visit` with every tile of a box in normal form with more than one row; false if some
/// pitch or slice does not fit its field. Addresses go in as dwords plus a first element, so an
/// element may not be larger than what the address's last two bits allow.
template <class Visit>
bool for_each_tile(const SdmaRow& row, const RectOp& rect, Visit visit) {
  std::uint32_t pitch_element =
      std::min(element_of(rect.source_pitch), element_of(rect.destination_pitch));
  if (rect.depth > 1)
    pitch_element = std::min(
        {pitch_element, element_of(rect.source_slice), element_of(rect.destination_slice)});
  for (std::uint64_t z = 0; z < rect.depth; z += row.rect_max_z) {
    for (std::uint64_t y = 0; y < rect.height; y += row.rect_max_y) {
      for (std::uint64_t x = 0; x < rect.width_bytes;) {
        Tile tile{};
        tile.source = rect.source + x + y * rect.source_pitch + z * rect.source_slice;
        tile.destination =
            rect.destination + x + y * rect.destination_pitch + z * rect.destination_slice;
        const std::uint32_t start_element = std::min(
            {pitch_element, element_of(tile.source % 4), element_of(tile.destination % 4)});
        const std::uint64_t left = rect.width_bytes - x;
        tile.element = std::min(start_element, element_of(left));
        std::uint64_t width = left >> tile.element;
        if (width > row.rect_max_x) {
          // Too wide for one packet: the end need not be met exactly yet.
          tile.element = start_element;
          width = std::min<std::uint64_t>(left >> tile.element, row.rect_max_x);
        }
        if (rect.source_pitch >> tile.element > row.rect_max_pitch ||
            rect.destination_pitch >> tile.element > row.rect_max_pitch)
          return false;
        if (rect.depth > 1 && (rect.source_slice >> tile.element > row.rect_max_slice ||
                               rect.destination_slice >> tile.element > row.rect_max_slice))
          return false;
        tile.width = static_cast<std::uint32_t>(width);
        tile.height =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(rect.height - y, row.rect_max_y));
        tile.depth =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(rect.depth - z, row.rect_max_z));
        visit(tile);
        x += width << tile.element;
      }
    }
  }
  return true;
}

template <class S>
bool sdma_rect(DwordWriter& writer, const Target& target, const RectOp& wanted) {
  using P = typename S::Rect;
  const RectOp rect = normal_form(wanted);
  if (rect.width_bytes == 0 || rect.height == 0 || rect.depth == 0) return true;
  if (rect.height == 1) {
    sdma_copy<S>(writer, target, {rect.source, rect.destination, rect.width_bytes});
    return true;
  }
  if (!for_each_tile(target.sdma, rect, [](const Tile&) {})) return false;
  return for_each_tile(target.sdma, rect, [&](const Tile& tile) {
    Packet<P> packet;
    packet.template set<P::element>(tile.element)
        .template set<P::source>(tile.source & ~Va{3})
        .template set<P::src_x>((tile.source & 3) >> tile.element)
        .template set<P::src_pitch>((rect.source_pitch >> tile.element) - 1)
        .template set<P::destination>(tile.destination & ~Va{3})
        .template set<P::dst_x>((tile.destination & 3) >> tile.element)
        .template set<P::dst_pitch>((rect.destination_pitch >> tile.element) - 1)
        .template set<P::rect_x>(tile.width - 1)
        .template set<P::rect_y>(tile.height - 1)
        .template set<P::rect_z>(tile.depth - 1);
    if (rect.depth > 1)
      packet.template set<P::src_slice_pitch>((rect.source_slice >> tile.element) - 1)
          .template set<P::dst_slice_pitch>((rect.destination_slice >> tile.element) - 1);
    writer.put(packet);
  });
}

template <class S>
void sdma_update(DwordWriter& writer, const Target& target, Va destination, const void* data,
                 std::uint32_t bytes) {
  using P = typename S::Write;
  assert(destination % 4 == 0 && bytes % 4 == 0);
  const auto* from = static_cast<const std::byte*>(data);
  for (std::uint32_t done = 0; done < bytes;) {
    const std::uint32_t dwords = std::min((bytes - done) / 4, target.sdma.write_max_dwords);
    writer.put(Packet<P>{}
                   .template set<P::destination>(destination + done)
                   .template set<P::count>(dwords - 1));
    for (std::uint32_t i = 0; i < dwords; ++i, done += 4) {
      std::uint32_t dword;
      std::memcpy(&dword, from + done, 4);
      writer.put(dword);
    }
  }
}

template <class S>
void put_fence(DwordWriter& writer, [[maybe_unused]] const Target& target, Va address,
               std::uint32_t data) {
  using P = typename S::Fence;
  Packet<P> packet;
  packet.template set<P::address>(address).template set<P::data>(data);
  if constexpr (std::is_same_v<S, Sdma6>) packet.template set<P::mtype>(target.sdma.fence_mtype);
  writer.put(packet);
}

// Not in the template below: g++ 12 fails on enumerators named in one.
void put_trap(DwordWriter& writer, std::uint32_t event_id) {
  writer.put(Packet<sdma::Trap>{}.set<sdma::Trap::context>(event_id));
}

template <class S>
void put_interrupt(DwordWriter& writer, const Target& target, const SignalOp& signal) {
  if (signal.mailbox == 0) return;
  assert(signal.event_id != 0);
  put_fence<S>(writer, target, signal.mailbox, signal.event_id);
  put_trap(writer, signal.event_id);
}

template <class S>
void sdma_signal(DwordWriter& writer, const Target& target, const SignalOp& signal) {
  put_fence<S>(writer, target, signal.address, static_cast<std::uint32_t>(signal.value));
  if (!signal.high_half_stands)
    put_fence<S>(writer, target, signal.address + 4,
                 static_cast<std::uint32_t>(signal.value >> 32));
  put_interrupt<S>(writer, target, signal);
}

template <class S>
void sdma_poll(DwordWriter& writer, const Target&, const SdmaPollOp& poll) {
  using P = typename S::Poll;
  constexpr std::uint32_t kInterval = 4;  // ROCr, KFDTest, tinygrad alike
  writer.put(Packet<P>{}
                 .template set<P::function>(static_cast<std::uint32_t>(poll.compare))
                 .template set<P::mem_poll>(1)
                 .template set<P::address>(poll.address)
                 .template set<P::reference>(poll.value)
                 .template set<P::mask>(poll.mask)
                 .template set<P::interval>(kInterval)
                 .template set<P::retry_count>(sdma::kRetryForever));
}

template <class S>
void sdma_timestamp(DwordWriter& writer, const Target&, Va address) {
  using P = typename S::Timestamp;
  writer.put(Packet<P>{}.template set<P::address>(address));
}

template <class S>
void sdma_hdp_flush(DwordWriter& writer, const Target&) {
  // The form of ROCr's hdp_flush_cmd: firmware knows the register behind address 2^63.
  using P = typename S::Poll;
  writer.put(Packet<P>{}.template set<P::address>(Va{1} << 63));
}

// What ROCr's BuildGCRCommand sends before and after copies on gfx10 and up: caches between the
// engine and memory are written back, and before a copy invalidated too.
void sdma_acquire(DwordWriter& writer, const Target& target) {
  if (!target.sdma.gcr) return;
  writer.put(Packet<sdma::GcrReq>{}
                 .set<sdma::GcrReq::gl2_wb>(1)
                 .set<sdma::GcrReq::glk_wb>(1)
                 .set<sdma::GcrReq::gl2_inv>(1)
                 .set<sdma::GcrReq::gl1_inv>(1)
                 .set<sdma::GcrReq::glv_inv>(1)
                 .set<sdma::GcrReq::glk_inv>(1));
}
void sdma_release(DwordWriter& writer, const Target& target) {
  if (!target.sdma.gcr) return;
  writer.put(Packet<sdma::GcrReq>{}.set<sdma::GcrReq::gl2_wb>(1).set<sdma::GcrReq::glk_wb>(1));
}

template <class S>
constexpr SdmaOps ops_of() noexcept {
  return {sdma_copy<S>, sdma_fill<S>,      sdma_rect<S>,      sdma_update<S>, sdma_signal<S>,
          sdma_poll<S>, sdma_timestamp<S>, sdma_hdp_flush<S>, sdma_acquire,   sdma_release};
}

}  // namespace

constinit const SdmaOps kSdma4Ops = ops_of<Sdma4>();
constinit const SdmaOps kSdma6Ops = ops_of<Sdma6>();

std::uint64_t dma_dwords(const QueueContext& queue, std::uint64_t bytes) {
  return chunks(bytes, kDmaDataMaxBytes) * (kDmaDwords + (queue.xcc_count > 1 ? kPredDwords : 0));
}
std::uint64_t sdma_copy_dwords(const Target& target, std::uint64_t bytes) {
  return chunks(bytes, target.sdma.copy_max_bytes) * kCopyDwords;
}
std::uint64_t sdma_fill_dwords(const Target& target, std::uint64_t bytes) {
  return chunks(bytes, target.sdma.fill_max_bytes) * kFillDwords;
}
std::uint64_t sdma_rect_dwords(const Target& target, const RectOp& wanted) {
  const RectOp rect = normal_form(wanted);
  if (rect.width_bytes == 0 || rect.height == 0 || rect.depth == 0) return 0;
  if (rect.height == 1) return sdma_copy_dwords(target, rect.width_bytes);
  std::uint64_t tiles = 0;
  if (!for_each_tile(target.sdma, rect, [&](const Tile&) { ++tiles; })) return 0;
  return tiles * kRectDwords;
}
std::uint64_t sdma_update_dwords(const Target& target, std::uint32_t bytes) {
  return chunks(bytes / 4, target.sdma.write_max_dwords) * kWriteDwords + bytes / 4;
}

std::uint32_t sdma_pad(DwordWriter& writer, std::uint32_t align_dwords) {
  std::uint32_t padded = 0;
  for (; writer.position() % align_dwords != 0; ++padded) writer.put(0u);
  return padded;
}

void emit_copy(DwordWriter& writer, const QueueContext& queue, const CopyOp& copy) {
  for (std::uint64_t done = 0; done < copy.bytes;) {
    const std::uint64_t now = std::min<std::uint64_t>(copy.bytes - done, kDmaDataMaxBytes);
    put_dma(writer, queue,
            Packet<pm4::DmaData>{}
                .set<pm4::DmaData::src_sel>(pm4::kDmaSrcL2)
                .set<pm4::DmaData::dst_sel>(pm4::kDmaDstL2)
                .set<pm4::DmaData::cp_sync>(1)
                .set<pm4::DmaData::source>(copy.source + done)
                .set<pm4::DmaData::destination>(copy.destination + done)
                .set<pm4::DmaData::byte_count>(now));
    done += now;
  }
}

void emit_fill(DwordWriter& writer, const QueueContext& queue, const FillOp& fill) {
  assert(fill.destination % 4 == 0 && fill.bytes % 4 == 0);
  for (std::uint64_t done = 0; done < fill.bytes;) {
    const std::uint64_t now = std::min<std::uint64_t>(fill.bytes - done, kDmaDataMaxBytes);
    put_dma(writer, queue,
            Packet<pm4::DmaData>{}
                .set<pm4::DmaData::src_sel>(pm4::kDmaSrcData)
                .set<pm4::DmaData::dst_sel>(pm4::kDmaDstL2)
                .set<pm4::DmaData::cp_sync>(1)
                .set<pm4::DmaData::source>(fill.pattern)
                .set<pm4::DmaData::destination>(fill.destination + done)
                .set<pm4::DmaData::byte_count>(now));
    done += now;
  }
}

}  // namespace kiln::gpu

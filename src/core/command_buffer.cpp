#include "core/command_buffer.hpp"

#include <algorithm>

#include "core/device.hpp"
#include "core/limits.hpp"
#include "core/physical_device.hpp"
#include "core/queue.hpp"
#include "gpu/aql.hpp"
#include "gpu/cache.hpp"
#include "gpu/copy.hpp"
#include "gpu/signal.hpp"

namespace kiln::core {
namespace {

/// One command may take at most this much stream, so that it always fits in a fresh part.
constexpr std::uint32_t kPartDwords = 8 * 1024;
/// A copy or fill command is cut so that its packets fit in a part: 64 packets' worth of bytes.
constexpr std::uint64_t kMaxPieceBytes = 128ull << 20;

unsigned long long hex(std::uint64_t value) {
  return value;
}

Status check_aligned(const char* what, std::uint64_t value, std::uint64_t alignment) {
  if (value % alignment == 0) return {};
  return fail(VK_ERROR_VALIDATION_FAILED_EXT,
              strf("%s 0x%llx is not aligned to %llu bytes", what, hex(value), hex(alignment)));
}

}  // namespace

CommandBuffer::CommandBuffer(CommandPool& pool, kmd::Va join_counters)
    : pool_(pool), kind_(pool.kind()) {
  queue_context_.target = &device().target();
  queue_context_.xcc_count = is_compute() ? device().physical().info().xcc_count : 1;
  queue_context_.join_counters = join_counters;
}

CommandBuffer::~CommandBuffer() {
  for (const Block& block : blocks_) pool_.give_back(block);
}

bool CommandBuffer::pending() const {
  const Queue* queue = last_queue();
  return queue != nullptr && !device().lost() &&
         !queue->retired(last_submission_.load(std::memory_order_acquire));
}

CommandBuffer::Use CommandBuffer::submitted(Use use) {
  return {last_queue_.exchange(use.queue), last_submission_.exchange(use.submission)};
}

kmd::Va CommandBuffer::bind_scratch(kmd::Va base, Use use) {
  if (scratch_dwords_.empty()) return base;
  const bool in_use =
      scratch_use_.queue != nullptr && !scratch_use_.queue->retired(scratch_use_.submission);
  if (base != scratch_base_ && !in_use) {
    for (const ScratchDword& each : scratch_dwords_)
      *each.dword = gpu::scratch_word(each.part, base);
    scratch_base_ = base;
  }
  scratch_use_ = use;
  return scratch_base_;
}

Status CommandBuffer::reset() {
  if (pending())
    return fail(VK_ERROR_VALIDATION_FAILED_EXT, "a command buffer that is still pending was reset");
  for (const Block& block : blocks_) pool_.give_back(block);
  blocks_.clear();
  parts_.clear();
  writer_ = gpu::DwordWriter({});
  part_dwords_ = nullptr;
  data_block_ = {};
  data_used_ = 0;
  last_shape_ = {};
  last_arguments_ = nullptr;
  pending_barrier_ = {};
  dispatch_state_.forget();
  scratch_bytes_per_xcc_ = 0;
  scratch_dwords_.clear();
  scratch_base_ = 0;
  scratch_use_ = {};
  sdma_fence_ = 0;
  sdma_barriers_ = 0;
  statistics_ = {};
  error_ = {};
  last_queue_ = nullptr;
  state_ = State::Initial;
  return {};
}

Status CommandBuffer::begin() {
  if (state_ == State::Recording)
    return fail(VK_ERROR_VALIDATION_FAILED_EXT, "the command buffer is being recorded already");
  KILN_TRY(reset());
  state_ = State::Recording;
  // What the host, other engines and module loading wrote before the submission must be seen:
  // caches may still hold the past.
  if (is_compute()) {
    pending_barrier_.acquire = gpu::Scope::System;
    pending_barrier_.code_changed = true;
    return {};
  }
  return emit(gpu::kSdmaMaxGcrDwords, [&](gpu::DwordWriter& w) {
    device().target().sdma_ops->emit_acquire(w, device().target());
  });
}

Status CommandBuffer::end() {
  if (state_ != State::Recording)
    return fail(VK_ERROR_VALIDATION_FAILED_EXT, "the command buffer is not being recorded");
  Status finished = error_;
  if (finished) finished = flush_barrier();
  // The fence word goes back to zero, so that the stream can be replayed.
  if (finished && sdma_barriers_ > 0) finished = emit_sdma_fence_and_poll(0);
  if (!finished) {
    state_ = State::Initial;
    return finished;
  }
  close_part();
  state_ = State::Executable;
  return {};
}

/// Checks the state, runs `body`, and keeps the first error for end().
template <class Body>
Status CommandBuffer::record(const char* command, Body body) {
  if (state_ != State::Recording)
    return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                strf("%s: the command buffer is not being recorded", command));
  if (!error_) return error_;
  Status done = body();
  if (!done) {
    writer_.rollback();
    done.error().message = std::string(command) + ": " + done.error().message;
    error_ = done;
  }
  return done;
}

Status CommandBuffer::open_part(std::uint64_t dwords) {
  close_part();
  const std::uint64_t wanted = std::max<std::uint64_t>(dwords, kPartDwords);
  if (wanted > gpu::pm4::kMaxIndirectBufferDwords)
    return fail(VK_ERROR_OUT_OF_DEVICE_MEMORY,
                "one command takes more stream than an indirect buffer holds");
  KILN_ASSIGN(const Block block, pool_.take_block(wanted * 4));
  blocks_.push_back(block);
  part_address_ = block.address;
  part_dwords_ = static_cast<std::uint32_t*>(block.host);
  writer_ = gpu::DwordWriter({part_dwords_, static_cast<std::size_t>(wanted)});
  return {};
}

void CommandBuffer::close_part() {
  if (part_dwords_ == nullptr || writer_.size() == 0) return;
  parts_.push_back({part_address_, part_dwords_, writer_.size()});
  part_dwords_ = nullptr;
}

/// `dwords` is the most that `emit_packets` puts.
template <class Emit>
Status CommandBuffer::emit(std::uint64_t dwords, Emit emit_packets) {
  if (part_dwords_ == nullptr || !writer_.reserve(static_cast<std::uint32_t>(dwords))) {
    KILN_TRY(open_part(dwords));
    if (!writer_.reserve(static_cast<std::uint32_t>(dwords)))
      return fail(VK_ERROR_UNKNOWN, "a fresh part has no room for one command");
  }
  emit_packets(writer_);
  statistics_.streamDwords += writer_.commit();
  return {};
}

/// Writes the barriers recorded since the last command, merged.
Status CommandBuffer::flush_barrier() {
  if (pending_barrier_.empty()) return {};
  const gpu::Barrier barrier = pending_barrier_;
  pending_barrier_ = {};
  if (is_compute())
    return emit(gpu::kMaxBarrierDwords, [&](gpu::DwordWriter& w) {
      device().target().ops->emit_barrier(w, queue_context_, barrier);
    });
  // DMA engines start a packet before the writes of the one in front have landed. A fence is
  // written after them, and a poll holds back what follows. Each barrier has a value of its own;
  // zero ends.
  return emit_sdma_fence_and_poll(++sdma_barriers_);
}

Status CommandBuffer::emit_sdma_fence_and_poll(std::uint32_t value) {
  if (sdma_fence_ == 0) {
    KILN_ASSIGN(void* word, take_data(8, 8, &sdma_fence_));
    std::memset(word, 0, 8);
  }
  const gpu::Target& target = device().target();
  return emit(gpu::kSdmaMaxSignalDwords + gpu::kSdmaPollDwords, [&](gpu::DwordWriter& w) {
    target.sdma_ops->emit_signal(w, target, {sdma_fence_, value, 0, 0, true});
    target.sdma_ops->emit_poll(w, target, {sdma_fence_, value, ~0u, gpu::pm4::Compare::Eq});
  });
}

Result<void*> CommandBuffer::take_data(std::uint64_t bytes, std::uint64_t alignment,
                                       kmd::Va* address) {
  std::uint64_t offset = (data_used_ + alignment - 1) / alignment * alignment;
  if (data_block_.host == nullptr || offset + bytes > data_block_.desc.size) {
    KILN_ASSIGN(data_block_, pool_.take_block(bytes));
    blocks_.push_back(data_block_);
    offset = 0;
  }
  data_used_ = offset + bytes;
  statistics_.argumentBytes += bytes;
  *address = data_block_.address + offset;
  return static_cast<std::byte*>(data_block_.host) + offset;
}

Status CommandBuffer::dispatch(const KilnDispatchInfo& info, kmd::Va indirect) {
  return record(indirect != 0 ? "kilnCmdDispatchIndirect" : "kilnCmdDispatch", [&]() -> Status {
    if (!is_compute())
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  "the command pool is not of a compute queue family");
    if (info.kernel == nullptr) return fail(VK_ERROR_VALIDATION_FAILED_EXT, "no kernel");
    const Kernel& kernel = *from(info.kernel);
    if (&kernel.device() != &device())
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  strf("kernel %s belongs to another device", kernel.name().c_str()));
    KILN_TRY(check_aligned("the address of the workgroup counts", indirect, 4));
    KILN_TRY(kernel.check_launch(info, indirect != 0));

    gpu::DispatchArgs args;
    for (int i = 0; i < 3; ++i) {
      // The GPU reads an indirect dispatch's own counts.
      args.groups[i] = indirect != 0 ? 1 : info.workgroupCount[i];
      args.threads[i] = info.workgroupSize[i];
      if (info.threadCount[i] != 0) args.partial[i] = info.threadCount[i] % info.workgroupSize[i];
    }
    args.dynamic_lds = info.dynamicLdsBytes;
    args.queue = device().queue_block();
    if (kernel.argument_block_bytes() > 0) {
      // 64 bytes: the kernarg segment's largest alignment, and no two dispatches in a cache line.
      KILN_ASSIGN(void* block, take_data(kernel.argument_block_bytes(), 64, &args.kernarg));
      const LaunchShape shape = kernel.shape_of(info);
      kernel.write_arguments(info, {static_cast<std::byte*>(block), kernel.argument_block_bytes()},
                             shape == last_shape_ ? last_arguments_ : nullptr);
      last_shape_ = shape;
      last_arguments_ = static_cast<const std::byte*>(block);
      args.kernarg_data = static_cast<const std::uint32_t*>(block);
    } else {
      args.kernarg = device().queue_block();  // never read, but a valid address
    }
    if (kernel.image().uses(gpu::UserSgpr::DispatchPtr)) {
      KILN_ASSIGN(void* packet,
                  take_data(sizeof(gpu::aql::KernelDispatchPacket), 64, &args.dispatch_packet));
      kernel.write_dispatch_packet(info, args.kernarg, packet);
    }
    if (kernel.scratch().bytes_per_wave > 0) {
      // Base addresses are the queue's and set when it runs this (queue.*); here only the sizes.
      args.scratch.tmpring_size = kernel.scratch().tmpring_size;
      args.scratch.bytes_per_wave = kernel.scratch().bytes_per_wave;
      scratch_bytes_per_xcc_ = std::max(scratch_bytes_per_xcc_, kernel.scratch().bytes_per_xcc);
    }
    if (std::string reason = gpu::check_dispatch(kernel.image(), args); !reason.empty())
      return fail(VK_ERROR_VALIDATION_FAILED_EXT, "kernel " + kernel.name() + ": " + reason);

    KILN_TRY(flush_barrier());
    ++statistics_.dispatchCount;
    return emit(gpu::max_dispatch_dwords(queue_context_.xcc_count), [&](gpu::DwordWriter& w) {
      const gpu::Ops& ops = *device().target().ops;
      if (indirect != 0)
        ops.emit_dispatch_indirect(w, queue_context_, kernel.image(), args, indirect,
                                   dispatch_state_);
      else
        ops.emit_dispatch(w, queue_context_, kernel.image(), args, dispatch_state_);
      for (std::uint8_t i = 0; i < dispatch_state_.scratch_word_count; ++i) {
        const gpu::ScratchWord& word = dispatch_state_.scratch_words[i];
        scratch_dwords_.push_back({part_dwords_ + word.position, word.part});
      }
    });
  });
}

Status CommandBuffer::copy_bytes(kmd::Va destination, kmd::Va source, std::uint64_t size) {
  const gpu::Target& target = device().target();
  while (size > 0) {
    const gpu::CopyOp piece{source, destination, std::min(size, kMaxPieceBytes)};
    if (is_compute())
      KILN_TRY(emit(gpu::dma_dwords(queue_context_, piece.bytes),
                    [&](gpu::DwordWriter& w) { target.ops->emit_copy(w, queue_context_, piece); }));
    else
      KILN_TRY(emit(gpu::sdma_copy_dwords(target, piece.bytes),
                    [&](gpu::DwordWriter& w) { target.sdma_ops->emit_copy(w, target, piece); }));
    source += piece.bytes;
    destination += piece.bytes;
    size -= piece.bytes;
  }
  return {};
}

Status CommandBuffer::copy(kmd::Va destination, kmd::Va source, std::uint64_t size) {
  return record("kilnCmdCopyMemory", [&]() -> Status {
    if (size == 0) return {};
    if (destination < source + size && source < destination + size)
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  strf("ranges 0x%llx and 0x%llx of 0x%llx bytes overlap", hex(destination),
                       hex(source), hex(size)));
    KILN_TRY(flush_barrier());
    ++statistics_.copyCount;
    return copy_bytes(destination, source, size);
  });
}

Status CommandBuffer::copy_rect(const KilnCopyRectInfo& info) {
  return record("kilnCmdCopyMemoryRect", [&]() -> Status {
    if (info.rowBytes == 0 || info.rowCount == 0) return {};
    if (info.rowBytes > info.sourcePitch || info.rowBytes > info.destinationPitch)
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  strf("a row of %llu bytes is longer than a pitch (%llu, %llu)",
                       hex(info.rowBytes), hex(info.sourcePitch), hex(info.destinationPitch)));
    KILN_TRY(flush_barrier());
    ++statistics_.copyCount;
    const gpu::Target& target = device().target();
    if (!is_compute()) {
      gpu::RectOp rect;
      rect.source = info.source;
      rect.destination = info.destination;
      rect.source_pitch = info.sourcePitch;
      rect.destination_pitch = info.destinationPitch;
      rect.source_slice = info.sourcePitch * info.rowCount;
      rect.destination_slice = info.destinationPitch * info.rowCount;
      rect.width_bytes = info.rowBytes;
      rect.height = info.rowCount;
      const std::uint64_t dwords = gpu::sdma_rect_dwords(target, rect);
      if (dwords != 0 && dwords <= kPartDwords) {
        bool done = false;
        KILN_TRY(emit(dwords, [&](gpu::DwordWriter& w) {
          done = target.sdma_ops->emit_rect(w, target, rect);
        }));
        if (done) return {};
      }
    }
    for (std::uint32_t row = 0; row < info.rowCount; ++row)
      KILN_TRY(copy_bytes(info.destination + row * info.destinationPitch,
                          info.source + row * info.sourcePitch, info.rowBytes));
    return {};
  });
}

Status CommandBuffer::fill(kmd::Va destination, std::uint64_t size, std::uint64_t pattern,
                           std::uint32_t pattern_size) {
  return record("kilnCmdFillMemory", [&]() -> Status {
    if (pattern_size != 1 && pattern_size != 2 && pattern_size != 4 && pattern_size != 8)
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  strf("a pattern of %u bytes: 1, 2, 4 or 8 are possible", pattern_size));
    KILN_TRY(check_aligned("the destination", destination, pattern_size));
    KILN_TRY(check_aligned("the size", size, pattern_size));
    if (size == 0) return {};
    KILN_TRY(flush_barrier());
    ++statistics_.copyCount;

    // Spread the pattern over eight bytes; if both halves agree the engines can repeat a dword.
    if (pattern_size == 1) pattern = (pattern & 0xff) * 0x0101010101010101u;
    if (pattern_size == 2) pattern = (pattern & 0xffff) * 0x0001000100010001u;
    if (pattern_size == 4) pattern = (pattern & 0xffffffffu) * 0x0000000100000001u;
    const auto low = static_cast<std::uint32_t>(pattern);
    if (low != static_cast<std::uint32_t>(pattern >> 32) || destination % 4 != 0 || size % 4 != 0)
      return fill_by_doubling(destination, size, pattern);
    const gpu::Target& target = device().target();
    while (size > 0) {
      const gpu::FillOp piece{destination, std::min(size, kMaxPieceBytes), low};
      if (is_compute()) {
        KILN_TRY(emit(gpu::dma_dwords(queue_context_, piece.bytes), [&](gpu::DwordWriter& w) {
          target.ops->emit_fill(w, queue_context_, piece);
        }));
      } else {
        bool done = false;
        KILN_TRY(emit(gpu::sdma_fill_dwords(target, piece.bytes), [&](gpu::DwordWriter& w) {
          done = target.sdma_ops->emit_fill(w, target, piece);
        }));
        if (!done) return fill_by_doubling(destination, size, pattern);
      }
      destination += piece.bytes;
      size -= piece.bytes;
    }
    return {};
  });
}

/// What no engine repeats by itself: a first piece from inline data, then copies of what is there,
/// each twice as long as the one before.
Status CommandBuffer::fill_by_doubling(kmd::Va destination, std::uint64_t size,
                                       std::uint64_t pattern) {
  const std::uint64_t first = std::min<std::uint64_t>(size, 4096);
  kmd::Va seed_address = 0;
  KILN_ASSIGN(void* seed, take_data(4096, 8, &seed_address));
  for (std::uint64_t i = 0; i < 4096; i += 8)
    std::memcpy(static_cast<std::byte*>(seed) + i, &pattern, 8);
  KILN_TRY(copy_bytes(destination, seed_address, first));
  for (std::uint64_t done = first; done < size;) {
    gpu::Barrier barrier;
    barrier.execute = true;
    barrier.release = barrier.acquire = gpu::Scope::Agent;
    pending_barrier_.merge(barrier);
    KILN_TRY(flush_barrier());
    const std::uint64_t piece = std::min(done, size - done);
    KILN_TRY(copy_bytes(destination + done, destination, piece));
    done += piece;
  }
  return {};
}

Status CommandBuffer::update(kmd::Va destination, std::uint64_t size, const void* data) {
  return record("kilnCmdUpdateMemory", [&]() -> Status {
    KILN_TRY(check_aligned("the destination", destination, 4));
    KILN_TRY(check_aligned("the size", size, 4));
    if (size > kMaxUpdateBytes)
      return fail(
          VK_ERROR_VALIDATION_FAILED_EXT,
          strf("%llu bytes are more than maxUpdateSize, %llu", hex(size), hex(kMaxUpdateBytes)));
    if (size == 0) return {};
    KILN_TRY(flush_barrier());
    ++statistics_.copyCount;
    kmd::Va address = 0;
    KILN_ASSIGN(void* inline_data, take_data(size, 64, &address));
    std::memcpy(inline_data, data, size);
    return copy_bytes(destination, address, size);
  });
}

Status CommandBuffer::barrier(const KilnBarrierInfo* info) {
  return record("kilnCmdBarrier", [&]() -> Status {
    gpu::Barrier barrier;
    if (info == nullptr) {
      barrier.execute = true;
      barrier.release = barrier.acquire = gpu::Scope::Agent;
    } else {
      const gpu::Scope scope =
          info->scope == KILN_SCOPE_SYSTEM ? gpu::Scope::System : gpu::Scope::Agent;
      const KilnStageFlags device_stages = KILN_STAGE_ALL_BIT & ~KILN_STAGE_HOST_BIT;
      barrier.execute = (info->srcStages & device_stages) != 0 && info->dstStages != 0;
      if ((info->srcAccess & KILN_ACCESS_WRITE_BIT) != 0) barrier.release = scope;
      if ((info->dstAccess & (KILN_ACCESS_READ_BIT | KILN_ACCESS_WRITE_BIT)) != 0)
        barrier.acquire = scope;
      barrier.code_changed = (info->dstAccess & KILN_ACCESS_CODE_BIT) != 0;
    }
    if (!barrier.empty()) ++statistics_.barrierCount;
    pending_barrier_.merge(barrier);
    return {};
  });
}

Status CommandBuffer::write_timestamp(kmd::Va address) {
  return record("kilnCmdWriteTimestamp", [&]() -> Status {
    const gpu::Target& target = device().target();
    KILN_TRY(
        check_aligned("the address", address,
                      std::max<std::uint32_t>(8, is_compute() ? 8 : target.sdma.timestamp_align)));
    KILN_TRY(flush_barrier());
    if (is_compute())
      return emit(gpu::kMaxTimestampDwords, [&](gpu::DwordWriter& w) {
        target.ops->emit_timestamp(w, queue_context_, address, gpu::PipeStage::Bottom);
      });
    return emit(gpu::kSdmaTimestampDwords,
                [&](gpu::DwordWriter& w) { target.sdma_ops->emit_timestamp(w, target, address); });
  });
}

Status CommandBuffer::write_value(kmd::Va address, std::uint64_t value) {
  return record("kilnCmdWriteValue", [&]() -> Status {
    KILN_TRY(check_aligned("the address", address, 8));
    const gpu::Target& target = device().target();
    KILN_TRY(flush_barrier());
    if (is_compute()) {
      const gpu::SignalOp signal{address, value, 0, 0};
      return emit(gpu::max_signals_dwords(1), [&](gpu::DwordWriter& w) {
        target.ops->emit_signals(w, queue_context_, gpu::Scope::System, {&signal, 1});
      });
    }
    return emit(gpu::kSdmaMaxGcrDwords + gpu::kSdmaMaxSignalDwords, [&](gpu::DwordWriter& w) {
      target.sdma_ops->emit_release(w, target);
      target.sdma_ops->emit_signal(w, target, {address, value, 0, 0});
    });
  });
}

Status CommandBuffer::wait_value(kmd::Va address, std::uint64_t value) {
  return record("kilnCmdWaitValue", [&]() -> Status {
    KILN_TRY(check_aligned("the address", address, 8));
    const gpu::Target& target = device().target();
    if (!is_compute() && value > UINT32_MAX)
      return fail(VK_ERROR_FEATURE_NOT_PRESENT,
                  strf("0x%llx: DMA engines compare 32 bits only", hex(value)));
    KILN_TRY(flush_barrier());
    if (is_compute())
      KILN_TRY(emit(gpu::kWaitDwords, [&](gpu::DwordWriter& w) {
        target.ops->emit_wait(w, queue_context_, {address, value});
      }));
    else
      KILN_TRY(emit(gpu::kSdmaPollDwords + gpu::kSdmaMaxGcrDwords, [&](gpu::DwordWriter& w) {
        target.sdma_ops->emit_poll(w, target, {address, static_cast<std::uint32_t>(value)});
        target.sdma_ops->emit_acquire(w, target);
      }));
    // What was written before the value is to be seen by what follows.
    gpu::Barrier acquire;
    acquire.acquire = gpu::Scope::System;
    if (is_compute()) pending_barrier_.merge(acquire);
    return {};
  });
}

VkResult CommandBuffer::get_statistics(KilnCommandBufferStatistics* statistics) const {
  statistics->streamDwords = statistics_.streamDwords;
  statistics->argumentBytes = statistics_.argumentBytes;
  statistics->dispatchCount = statistics_.dispatchCount;
  statistics->copyCount = statistics_.copyCount;
  statistics->barrierCount = statistics_.barrierCount;
  return VK_SUCCESS;
}

}  // namespace kiln::core

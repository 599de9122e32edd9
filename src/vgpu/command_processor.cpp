// Owns: where packets come from, and what happens when dispatches end.
// Does not own: what packets do (pm4_packets.cpp, pm4_dispatch.cpp).
// Threading: see command_processor.hpp.
#include "vgpu/command_processor.hpp"

#include <algorithm>

#include "base/result.hpp"
#include "gpu/pm4.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"

namespace kiln::vgpu {

namespace uapi = kmd::uapi;
namespace pm4 = gpu::pm4;

namespace {

constexpr unsigned kPacketsAStep = 64, kPacketsAStepSkewed = 8;
constexpr std::uint32_t kWindow = 32;  // dwords read before a packet's length is known

std::unique_ptr<CacheModel> caches_of(QueueState& queue, std::uint32_t xcc) {
  CacheSystem* caches = queue.context.caches.get();
  if (caches == nullptr) return nullptr;
  return caches->of_command_processor(*queue.config.space, xcc);
}

}  // namespace

void QueueState::raise(std::uint32_t code, const std::string& why) {
  if (stopped.exchange(true)) return;
  context.explain(strf("queue %u stops: %s", config.id, why.c_str()));
  context.host.queue_exception(config.process, config.id, uapi::exception_mask(code));
}

void QueueState::hang(const std::string& why) {
  if (stopped.exchange(true)) return;
  context.explain(strf("queue %u hangs: %s", config.id, why.c_str()));
}

void QueueState::fault(const MemoryFault& fault) {
  stopped = true;
  context.explain(strf("queue %u: memory fault at 0x%llx", config.id,
                       static_cast<unsigned long long>(fault.address)));
  context.host.vm_fault(config.process, fault);
}

std::shared_ptr<const std::vector<bool>> QueueState::enabled_cus(std::uint32_t xcc) {
  std::lock_guard lock(mask_mutex);
  return xcc < cu_masks.size() ? cu_masks[xcc] : nullptr;
}

CommandProcessor::CommandProcessor(std::shared_ptr<QueueState> queue, Place place, bool has_ring)
    : Task(queue->tasks, place.xcc),
      queue_(std::move(queue)),
      context_(queue_->context),
      place_(place),
      has_ring_(has_ring),
      dialect_(gpu::pm4_dialect(context_.target)),
      port_(*queue_->config.space, caches_of(*queue_, place.xcc), Client::CommandProcessor) {}

CommandProcessor::~CommandProcessor() {
  for (InFlight& one : in_flight_) one.run->abandon();
}

void CommandProcessor::submit(AqlWork work) {
  std::lock_guard lock(work_mutex_);
  work_.push_back(std::move(work));
}

Outcome CommandProcessor::step(Random& random) {
  if (queue_->stopped) return Outcome::Parked;
  if (!context_.slots.holds(queue_.get())) return Outcome::Waiting;
  bool progress = drain();
  unsigned budget = kPacketsAStep;
  if (context_.scheduler.skew() != 0) budget = 1 + random.below(kPacketsAStepSkewed);
  Result result = Result::Done;
  while (budget-- > 0) {
    result = advance();
    if (result != Result::Done && result != Result::More) break;
    progress = true;
    if (result == Result::More) break;
  }
  if (queue_->stopped) return Outcome::Parked;
  progress |= drain();
  if (queue_->stopped) return Outcome::Parked;
  if (progress) return Outcome::Progress;
  if (result == Result::Idle && !has_ring_ && end_of_pipe_.empty()) return Outcome::Parked;
  return Outcome::Waiting;
}

CommandProcessor::Result CommandProcessor::advance() {
  if (in_buffer_) return next_of_buffer();
  return has_ring_ ? next_of_ring() : next_work();
}

CommandProcessor::Result CommandProcessor::bad_packet(std::uint32_t code, const std::string& why) {
  queue_->raise(code, strf("XCC %u: %s", place_.xcc, why.c_str()));
  return Result::Stopped;
}

CommandProcessor::Result CommandProcessor::memory_fault() {
  queue_->fault(port_.fault());
  return Result::Stopped;
}

bool CommandProcessor::read_ring(std::uint64_t position, std::uint32_t* to, std::uint32_t dwords) {
  const std::uint64_t size = queue_->config.ring_bytes / 4;
  while (dwords > 0) {
    const std::uint64_t at = position % size;
    const auto run = static_cast<std::uint32_t>(std::min<std::uint64_t>(dwords, size - at));
    if (!port_.read(queue_->config.ring + at * 4, to, run * 4ull)) return false;
    position += run;
    to += run;
    dwords -= run;
  }
  return true;
}

/// Decodes from packet_, reading more as the length becomes known. `address` is only used in a
/// buffer; the ring wraps.
CommandProcessor::Result CommandProcessor::decode(Va address, std::uint32_t available,
                                                  gpu::PacketView* view) {
  auto read = [&](std::uint32_t dwords) {
    packet_.resize(dwords);
    return in_buffer_ ? port_.read(address, packet_.data(), dwords * 4ull)
                      : read_ring(read_pointer_, packet_.data(), dwords);
  };
  if (!read(std::min(available, kWindow))) return memory_fault();
  gpu::Decoded decoded = gpu::decode_one(dialect_, packet_.data(), packet_.size(), address);
  if (decoded.problem == gpu::Problem::Truncated && decoded.view.count <= available) {
    if (!read(decoded.view.count)) return memory_fault();
    decoded = gpu::decode_one(dialect_, packet_.data(), packet_.size(), address);
  }
  *view = decoded.view;
  if (decoded.problem == gpu::Problem::None) return Result::Done;
  // A ring may be written up to the middle of a packet; a buffer is complete.
  if (decoded.problem == gpu::Problem::Truncated && !in_buffer_) return Result::Blocked;
  return bad_packet(uapi::kEcQueuePacketUnsupported,
                    strf("PM4 packet 0x%08x at 0x%llx: %s (dword %u, bits 0x%x)", packet_[0],
                         static_cast<unsigned long long>(address), gpu::to_string(decoded.problem),
                         decoded.bad_dword, decoded.bad_bits));
}

CommandProcessor::Result CommandProcessor::next_of_ring() {
  const QueueConfig& config = queue_->config;
  const std::uint64_t size = config.ring_bytes / 4;
  // The doorbell holds the write pointer in dwords. It counts on; clients that wrap it are
  // understood.
  const std::uint64_t write_pointer = config.doorbell->load(std::memory_order_acquire);
  std::uint64_t available = write_pointer - read_pointer_;
  if (available > size) available = (write_pointer - read_pointer_) % size;
  if (available == 0) return Result::Idle;

  gpu::PacketView view;
  const Va address = config.ring + read_pointer_ % size * 4;
  if (const Result result = decode(address, static_cast<std::uint32_t>(available), &view);
      result != Result::Done)
    return result;
  const std::uint32_t count = view.count;
  const Result result = execute(view);
  if (result != Result::Done) return result;
  context_.carried_out(*view.info);
  read_pointer_ += count;
  // CP_HQD_PQ_RPTR is 32 bits wide and wraps with the ring (KFDTest PM4Queue.cpp).
  if (!port_.write_word<std::uint32_t>(config.read_pointer,
                                       static_cast<std::uint32_t>(read_pointer_ % size)))
    return memory_fault();
  return Result::Done;
}

CommandProcessor::Result CommandProcessor::next_of_buffer() {
  if (buffer_.position == buffer_.dwords) {
    in_buffer_ = false;
    if (has_ring_) return Result::Done;
    EndOfPipe end;
    end.first = work_first_;
    end.last = next_serial_;
    end.record = std::move(current_.record);
    end.fence = current_.release;
    end_of_pipe_.push_back(std::move(end));
    working_ = false;
    return Result::Done;
  }
  gpu::PacketView view;
  if (const Result result = decode(buffer_.address + buffer_.position * 4ull,
                                   buffer_.dwords - buffer_.position, &view);
      result != Result::Done)
    return result;
  const std::uint32_t count = view.count;
  const Result result = execute(view);
  if (result == Result::Done) context_.carried_out(*view.info);
  if (result == Result::Done && !chained_) buffer_.position += count;
  chained_ = false;
  return result;
}

CommandProcessor::Result CommandProcessor::next_work() {
  {
    std::lock_guard lock(work_mutex_);
    if (work_.empty()) return Result::Idle;
    current_ = std::move(work_.front());
    work_.pop_front();
  }
  std::uint64_t unset = 0;
  current_.record->start_time.compare_exchange_strong(unset, context_.host.clock());
  apply(fence_actions(current_.acquire, true));
  work_first_ = next_serial_;
  if (!current_.dispatch) {
    in_buffer_ = true;
    buffer_ = {current_.indirect_buffer, current_.dwords, 0};
    return Result::Done;
  }
  for (const auto& [offset, value] : current_.registers) reg(offset) = value;
  if (const Result result = dispatch(current_.groups, current_.initiator); result != Result::Done)
    return result;
  EndOfPipe end;
  end.first = work_first_;
  end.last = next_serial_;
  end.record = std::move(current_.record);
  end.fence = current_.release;
  end_of_pipe_.push_back(std::move(end));
  return Result::Done;
}

bool CommandProcessor::ended(std::uint64_t first, std::uint64_t last) {
  std::erase_if(in_flight_, [](const InFlight& one) { return one.run->done(); });
  return std::none_of(in_flight_.begin(), in_flight_.end(), [&](const InFlight& one) {
    return one.serial >= first && one.serial < last;
  });
}

bool CommandProcessor::drain() {
  bool any = false, release_pending = false;
  for (auto event = end_of_pipe_.begin(); event != end_of_pipe_.end();) {
    // RELEASE_MEMs keep their order; the end of an AQL packet comes after those inside it.
    if (release_pending || !ended(event->first, event->last)) {
      release_pending |= event->is_release;
      ++event;
      continue;
    }
    if (!perform(*event)) return true;
    event = end_of_pipe_.erase(event);
    any = true;
  }
  return any;
}

bool CommandProcessor::perform(const EndOfPipe& event) {
  if (!event.is_release) {
    apply(fence_actions(event.fence, false));
    event.record->xccs_left.fetch_sub(1, std::memory_order_acq_rel);
    context_.scheduler.stir();
    return true;
  }
  apply(event.actions);
  bool written = true;
  switch (event.data_sel) {
    case pm4::kData32:
      written = port_.write_word<std::uint32_t>(
          event.address, static_cast<std::uint32_t>(event.data), event.scope);
      break;
    case pm4::kData64:
      written = port_.write_word<std::uint64_t>(event.address, event.data, event.scope);
      break;
    case pm4::kDataGpuClock:
      written = port_.write_word<std::uint64_t>(event.address, context_.host.clock(), event.scope);
      break;
    default:
      break;
  }
  if (!written) {
    memory_fault();
    return false;
  }
  if (event.int_sel == pm4::kIntOnly || event.int_sel == pm4::kIntAfterWriteConfirm)
    context_.host.interrupt(queue_->config.process, event.context);
  return true;
}

void CommandProcessor::apply(const CacheActions& actions) {
  if (actions.icache) isa::invalidate_code(*queue_->config.space);
  if (context_.caches != nullptr) context_.caches->perform(place_.xcc, actions);
}

/// HSA memory fences of AQL packets: an acquire invalidates what is near, at system scope (and at
/// agent scope where XCCs have an L2 each) the L2 too; a release writes the L2 back.
CacheActions CommandProcessor::fence_actions(AqlFence fence, bool acquire) const {
  CacheActions actions;
  if (fence == AqlFence::None) return actions;
  const bool l2 = fence == AqlFence::System || context_.chip.l2_count > 1;
  if (acquire) {
    actions.vector = actions.scalar = actions.gl1 = true;
    actions.l2_invalidate = actions.l2_write_back = l2;
  } else {
    actions.l2_write_back = l2;
  }
  return actions;
}

}  // namespace kiln::vgpu

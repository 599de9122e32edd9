// Owns: see aql_processor.hpp.
// Does not own: see aql_processor.hpp.
// Threading: see aql_processor.hpp.
#include "vgpu/aql_processor.hpp"

#include <algorithm>
#include <bit>

#include "base/result.hpp"
#include "gpu/pm4.hpp"
#include "gpu/registers.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"

namespace kiln::vgpu {

namespace aql = gpu::aql;
namespace pm4 = gpu::pm4;
namespace reg_ = gpu::reg;
namespace uapi = kmd::uapi;

namespace {

using Dwords = std::array<std::uint32_t, 16>;

constexpr unsigned kPacketsAStep = 16;
constexpr unsigned kAqlLane = 48;           // beside the XCCs (0..7) and the SDMA engines (16..)
constexpr std::uint32_t kTailDwords = 0xA;  // amd_aql_queue.cpp
// queue_inactive_signal: which waves found no scratch, or that a kernel has ended for which the
// queue was given scratch once (amd_aql_queue.cpp DynamicScratchHandler).
constexpr std::int64_t kScratchForWave64 = 0x1, kScratchForWave32 = 0x400, kScratchUsedOnce = 0x200;
// INDEX_STRIDE of a resource descriptor's last dword: 2 is 32 lanes, 3 is 64. On gfx10 it is filled
// in by the firmware (amd_aql_queue.cpp InitScratchSRD).
constexpr std::uint32_t kIndexStrideShift = 21;

/// The same error as the firmware writes it into queue_inactive_signal (amd_aql_queue.cpp
/// DynamicScratchHandler).
std::int64_t inactive_code(std::uint32_t exception) {
  switch (exception) {
    case uapi::kEcQueuePacketDispatchDimInvalid:
      return 2;
    case uapi::kEcQueuePacketDispatchGroupSegmentSizeInvalid:
      return 4;
    case uapi::kEcQueuePacketDispatchCodeInvalid:
      return 8;
    case uapi::kEcQueuePacketDispatchWorkGroupSizeInvalid:
      return 64;
    case uapi::kEcQueuePacketDispatchRegisterInvalid:
      return 128;
    case uapi::kEcQueuePacketVendorUnsupported:
      return 256;
    default:
      return 32;
  }
}

AqlFence fence(std::uint32_t scope) {
  return scope == 0 ? AqlFence::None : scope == 1 ? AqlFence::Agent : AqlFence::System;
}
AqlFence acquire_of(std::uint32_t header) {
  return fence(header >> 9 & 3);
}
AqlFence release_of(std::uint32_t header) {
  return fence(header >> 11 & 3);
}

std::unique_ptr<CacheModel> caches_of(QueueState& queue) {
  CacheSystem* caches = queue.context.caches.get();
  return caches == nullptr ? nullptr : caches->of_command_processor(*queue.config.space, 0);
}

}  // namespace

AqlProcessor::AqlProcessor(std::shared_ptr<QueueState> queue,
                           std::vector<std::shared_ptr<CommandProcessor>> xccs)
    : Task(queue->tasks, kAqlLane),
      queue_(std::move(queue)),
      context_(queue_->context),
      xccs_(std::move(xccs)),
      port_(*queue_->config.space, caches_of(*queue_), Client::CommandProcessor) {}

AqlProcessor::Result AqlProcessor::raise(std::uint32_t code, const std::string& why) {
  // Two ways to hear of it: the runtime's error payload, which the driver fills where
  // RUNTIME_ENABLE was called, and the queue's own signal, which the firmware sets.
  queue_->raise(code,
                strf("AQL packet %llu: %s", static_cast<unsigned long long>(next_), why.c_str()));
  aql::Queue queue{};
  Va address = 0;
  if (has_amd_queue(&queue, &address) && queue.queue_inactive_signal != 0)
    tell_inactive(queue, inactive_code(code));
  return Result::Stopped;
}

AqlProcessor::Result AqlProcessor::memory_fault() {
  queue_->fault(port_.fault());
  return Result::Stopped;
}

Outcome AqlProcessor::step(Random& random) {
  if (queue_->stopped) return Outcome::Parked;
  if (!context_.slots.holds(queue_.get())) return Outcome::Waiting;
  bool progress = false;
  if (!retire(&progress)) return Outcome::Parked;
  unsigned budget = kPacketsAStep;
  if (context_.scheduler.skew() != 0) budget = 1 + random.below(kPacketsAStep);
  while (budget-- > 0 && next() == Result::Done) progress = true;
  if (queue_->stopped) return Outcome::Parked;
  return progress ? Outcome::Progress : Outcome::Waiting;
}

AqlProcessor::Result AqlProcessor::next() {
  const QueueConfig& config = queue_->config;
  if (waits_for_ != 0) {
    std::uint64_t value;
    if (!port_.read_word(waits_for_ + offsetof(aql::Signal, value), &value)) return memory_fault();
    if (value != 0) return Result::Blocked;
    waits_for_ = 0;
  }
  if (scratch_returned_) {
    if (const Result result = give_scratch_back(); result != Result::Done) return result;
  }
  // The doorbell holds the index of the last packet; ~0 before the first. Producers that share a
  // queue may ring in any order (HSA Platform System Architecture, "User mode queuing"), so a
  // smaller value takes nothing back.
  limit_ = std::max(limit_, config.doorbell->load(std::memory_order_acquire) + 1);
  const std::uint64_t slots = config.ring_bytes / aql::kPacketBytes;
  if (next_ >= limit_ || next_ - retired_ >= slots) return Result::Blocked;
  const Va address = config.ring + next_ % slots * aql::kPacketBytes;
  std::uint32_t header;
  if (!port_.read_word(address, &header)) return memory_fault();
  const auto type = static_cast<aql::PacketType>(header & 0xFF);
  if (type == aql::PacketType::Invalid) return Result::Blocked;
  const bool barrier_bit = (header >> 8 & 1) != 0;
  if (barrier_bit && !records_.empty()) return Result::Blocked;
  Dwords dwords;
  if (!port_.read(address, dwords.data(), sizeof dwords)) return memory_fault();

  const Result result = execute(dwords, address);
  if (result == Result::Done && context_.report != nullptr)
    context_.carried_out(
        *gpu::decode_one(gpu::Dialect::Aql, dwords.data(), dwords.size()).view.info);
  return result;
}

AqlProcessor::Result AqlProcessor::execute(const Dwords& dwords, Va address) {
  switch (static_cast<aql::PacketType>(dwords[0] & 0xFF)) {
    case aql::PacketType::VendorSpecific:
      return vendor(dwords);
    case aql::PacketType::KernelDispatch:
      return kernel(dwords, address);
    case aql::PacketType::BarrierAnd:
      return barrier(dwords, true);
    case aql::PacketType::BarrierOr:
      return barrier(dwords, false);
    default:
      return raise(uapi::kEcQueuePacketUnsupported, strf("type %u", dwords[0] & 0xFF));
  }
}

AqlProcessor::Result AqlProcessor::vendor(const Dwords& dwords) {
  const auto format = static_cast<aql::AmdFormat>(dwords[0] >> 16 & 0xFF);
  if (format == aql::AmdFormat::BarrierValue && context_.target.aql_barrier_value)
    return barrier_value(dwords);
  if (format != aql::AmdFormat::Pm4Ib)
    return raise(uapi::kEcQueuePacketVendorUnsupported, "unknown vendor format");
  const auto packet = std::bit_cast<aql::Pm4IbPacket>(dwords);
  const gpu::Decoded decoded =
      gpu::decode_one(gpu::pm4_dialect(context_.target), packet.indirect_buffer, 4);
  const bool reserved = packet.reserved0 != 0 ||
                        std::ranges::any_of(packet.reserved, [](auto dword) { return dword != 0; });
  if (decoded.problem != gpu::Problem::None || !decoded.view.is<pm4::IndirectBuffer>() ||
      packet.dwords_remaining != kTailDwords || reserved)
    return raise(uapi::kEcQueuePacketVendorUnsupported,
                 "a vendor packet holds one indirect buffer and nothing else");
  const gpu::PacketView& view = decoded.view;
  if (view.get(pm4::IndirectBuffer::valid) == 0 || view.get(pm4::IndirectBuffer::size) == 0 ||
      view.get(pm4::IndirectBuffer::chain) != 0)
    return raise(uapi::kEcQueuePacketVendorUnsupported, "bad indirect buffer");
  AqlWork work;
  work.acquire = acquire_of(dwords[0]);
  work.release = release_of(dwords[0]);
  work.indirect_buffer = view.get(pm4::IndirectBuffer::address);
  work.dwords = static_cast<std::uint32_t>(view.get(pm4::IndirectBuffer::size));
  distribute(work, packet.completion_signal);
  return Result::Done;
}

AqlProcessor::Result AqlProcessor::barrier_value(const Dwords& dwords) {
  const auto packet = std::bit_cast<aql::BarrierValuePacket>(dwords);
  bool holds = true;
  if (packet.signal != 0) {
    std::uint64_t raw;
    if (!port_.read_word(packet.signal + offsetof(aql::Signal, value), &raw)) return memory_fault();
    const auto value = static_cast<std::int64_t>(raw & static_cast<std::uint64_t>(packet.mask));
    switch (packet.condition) {
      case aql::Condition::Eq:
        holds = value == packet.value;
        break;
      case aql::Condition::Ne:
        holds = value != packet.value;
        break;
      case aql::Condition::Lt:
        holds = value < packet.value;
        break;
      case aql::Condition::Gte:
        holds = value >= packet.value;
        break;
      default:
        return raise(uapi::kEcQueuePacketVendorUnsupported, "unknown condition");
    }
  }
  if (!holds) return Result::Blocked;
  fence_only(dwords[0], packet.completion_signal);
  return Result::Done;
}

AqlProcessor::Result AqlProcessor::barrier(const Dwords& dwords, bool all) {
  const auto packet = std::bit_cast<aql::BarrierPacket>(dwords);
  bool any_named = false, any_zero = false, all_zero = true;
  for (const Va signal : packet.dependency) {
    if (signal == 0) continue;
    any_named = true;
    std::uint64_t value;
    if (!port_.read_word(signal + offsetof(aql::Signal, value), &value)) return memory_fault();
    any_zero |= value == 0;
    all_zero &= value == 0;
  }
  const bool holds = all ? all_zero : any_zero || !any_named;
  if (!holds) return Result::Blocked;
  fence_only(dwords[0], packet.completion_signal);
  return Result::Done;
}

AqlProcessor::Result AqlProcessor::kernel(const Dwords& dwords, Va packet_address) {
  const auto packet = std::bit_cast<aql::KernelDispatchPacket>(dwords);
  const std::uint32_t dimensions = packet.setup & 3;
  const std::uint32_t grid[3] = {packet.grid_size_x, dimensions > 1 ? packet.grid_size_y : 1,
                                 dimensions > 2 ? packet.grid_size_z : 1};
  const std::uint32_t group[3] = {packet.workgroup_size_x,
                                  dimensions > 1 ? packet.workgroup_size_y : std::uint16_t{1},
                                  dimensions > 2 ? packet.workgroup_size_z : std::uint16_t{1}};
  if (dimensions == 0 || grid[0] == 0 || grid[1] == 0 || grid[2] == 0)
    return raise(uapi::kEcQueuePacketDispatchDimInvalid, "empty grid");
  const std::uint64_t threads = std::uint64_t{group[0]} * group[1] * group[2];
  if (threads == 0 || threads > context_.target.dispatch.max_workgroup_threads)
    return raise(uapi::kEcQueuePacketDispatchWorkGroupSizeInvalid, "workgroup size");
  if (packet.group_segment_size > context_.chip.lds_kb * 1024)
    return raise(uapi::kEcQueuePacketDispatchGroupSegmentSizeInvalid, "LDS size");
  if (packet.kernel_object == 0 || packet.kernel_object % 64 != 0)
    return raise(uapi::kEcQueuePacketDispatchCodeInvalid, "kernel object");
  gpu::KernelDescriptor descriptor;
  if (!port_.read(packet.kernel_object, &descriptor, sizeof descriptor)) return memory_fault();

  AqlWork work;
  work.acquire = acquire_of(dwords[0]);
  work.release = release_of(dwords[0]);
  work.dispatch = true;
  bool partial = false;
  for (std::uint32_t axis = 0; axis < 3; ++axis) {
    const std::uint32_t rest = grid[axis] % group[axis];
    work.groups[axis] = grid[axis] / group[axis] + (rest != 0 ? 1 : 0);
    partial |= rest != 0;
    work.registers.push_back({reg_::StartX::kOffset + axis, 0});
    work.registers.push_back(
        {reg_::NumThreadX::kOffset + axis, group[axis] | (rest != 0 ? rest : group[axis]) << 16});
  }
  using Initiator = reg_::DispatchInitiator;
  const bool wave32 = (descriptor.kernel_code_properties & gpu::kPropWavefrontSize32) != 0;
  work.initiator = gpu::RegisterValue<Initiator>{}
                       .set<Initiator::compute_shader_en>(1)
                       .set<Initiator::force_start_at_000>(1)
                       .set<Initiator::partial_tg_en>(partial)
                       .set<Initiator::cs_w32_en>(wave32)
                       .value;
  if (const Result result = kernel_registers(packet, descriptor, packet_address, &work);
      result != Result::Done)
    return result;
  distribute(work, packet.completion_signal);
  return Result::Done;
}

AqlProcessor::Result AqlProcessor::kernel_registers(const aql::KernelDispatchPacket& packet,
                                                    const gpu::KernelDescriptor& descriptor,
                                                    Va packet_address, AqlWork* work) {
  const gpu::Target& target = context_.target;
  const std::uint16_t wants = descriptor.kernel_code_properties;
  const bool wave32 = (wants & gpu::kPropWavefrontSize32) != 0;
  Va entry =
      packet.kernel_object + static_cast<std::uint64_t>(descriptor.kernel_code_entry_byte_offset);
  if (entry % 256 != 0 || (wave32 && !target.wave.wave32))
    return raise(uapi::kEcQueuePacketDispatchCodeInvalid, "kernel descriptor");
  if (target.scratch.scheme == gpu::ScratchScheme::ArchitectedFlat &&
      (wants & (gpu::kPropPrivateSegmentBuffer | gpu::kPropFlatScratchInit)) != 0)
    return raise(uapi::kEcQueuePacketDispatchCodeInvalid, "scratch of an older chip");

  // User SGPRs in the order of the ABI (AMDGPUUsage, "Initial Kernel Execution State").
  std::vector<std::uint32_t> user;
  auto pair = [&](std::uint64_t value) {
    user.push_back(static_cast<std::uint32_t>(value));
    user.push_back(static_cast<std::uint32_t>(value >> 32));
  };
  aql::Queue amd_queue{};
  Va amd_queue_address = 0;
  has_amd_queue(&amd_queue, &amd_queue_address);
  using Rsrc2 = reg_::PgmRsrc2;
  const gpu::RegisterValue<Rsrc2> declared{descriptor.compute_pgm_rsrc2};
  const bool uses_scratch =
      declared.get<Rsrc2::scratch_en>() != 0 && packet.private_segment_size != 0;
  std::uint32_t tmpring = 0;
  if (uses_scratch) {
    if (const Result result = scratch(packet, wave32, &tmpring); result != Result::Done)
      return result;
    has_amd_queue(&amd_queue, &amd_queue_address);  // it has changed if more was asked for
  }
  if ((wants & gpu::kPropPrivateSegmentBuffer) != 0) {
    user.resize(4);
    std::copy_n(amd_queue.scratch_resource_descriptor, 4, user.begin());
    if (context_.chip.gc.major >= 10)
      user[3] = (user[3] & ~(3u << kIndexStrideShift)) | (wave32 ? 2u : 3u) << kIndexStrideShift;
  }
  if ((wants & gpu::kPropDispatchPtr) != 0) pair(packet_address);
  if ((wants & gpu::kPropQueuePtr) != 0) pair(amd_queue_address);
  if ((wants & gpu::kPropKernargSegmentPtr) != 0) pair(packet.kernarg_address);
  if ((wants & gpu::kPropDispatchId) != 0) pair(next_);
  if ((wants & gpu::kPropFlatScratchInit) != 0) pair(amd_queue.scratch_backing_memory_location);
  if ((wants & gpu::kPropPrivateSegmentSize) != 0) user.push_back(packet.private_segment_size);
  if (descriptor.preload_length() != 0) {
    const std::size_t first = user.size();
    user.resize(first + descriptor.preload_length());
    if (!port_.read(packet.kernarg_address + descriptor.preload_offset() * 4ull,
                    user.data() + first, descriptor.preload_length() * 4ull))
      return memory_fault();
    entry += gpu::kPreloadPrologueBytes;
  }
  if (user.size() > reg_::kUserDataCount)
    return raise(uapi::kEcQueuePacketDispatchRegisterInvalid, "more than 16 user SGPRs");

  const std::uint32_t lds =
      (packet.group_segment_size + target.lds.granule - 1) / target.lds.granule;
  const std::uint32_t rsrc2 = gpu::RegisterValue<Rsrc2>{declared}
                                  .set<Rsrc2::lds_size>(lds)
                                  .set<Rsrc2::scratch_en>(uses_scratch)
                                  .value;
  auto& registers = work->registers;
  registers.push_back({reg_::PgmLo::kOffset, static_cast<std::uint32_t>(entry >> 8)});
  registers.push_back({reg_::PgmHi::kOffset, static_cast<std::uint32_t>(entry >> 40)});
  registers.push_back(
      {reg_::PgmRsrc1::kOffset, descriptor.compute_pgm_rsrc1 | target.dispatch.kfd_rsrc1_or});
  registers.push_back({Rsrc2::kOffset, rsrc2 | target.dispatch.kfd_rsrc2_or});
  registers.push_back({target.dispatch.rsrc3_register, descriptor.compute_pgm_rsrc3});
  registers.push_back({reg_::TmpringSizeGfx9::kOffset, tmpring});
  registers.push_back(
      {reg_::DispatchPktAddrLo::kOffset, static_cast<std::uint32_t>(packet_address)});
  registers.push_back(
      {reg_::DispatchPktAddrHi::kOffset, static_cast<std::uint32_t>(packet_address >> 32)});
  for (std::uint32_t i = 0; i < user.size(); ++i)
    registers.push_back({reg_::UserData0::kOffset + i, user[i]});
  return Result::Done;
}

/// Takes scratch from amd_queue_t; where there is too little, asks for more and waits, as the
/// firmware does: through queue_inactive_signal, which the runtime sets back to 0.
AqlProcessor::Result AqlProcessor::scratch(const aql::KernelDispatchPacket& packet, bool wave32,
                                           std::uint32_t* tmpring) {
  aql::Queue queue{};
  Va address = 0;
  if (!has_amd_queue(&queue, &address)) {
    queue_->hang("a kernel needs scratch, and the queue has no amd_queue_t");
    return Result::Stopped;
  }
  const gpu::ScratchRow& row = context_.target.scratch;
  const std::uint64_t wave_bytes =
      std::uint64_t{queue.compute_tmpring_size >> 12 & ((1u << row.wavesize_bits) - 1)} *
      row.wave_granule;
  const std::uint64_t needed = std::uint64_t{packet.private_segment_size} * (wave32 ? 32 : 64);
  if (wave_bytes >= needed && queue.scratch_backing_memory_location != 0) {
    *tmpring = queue.compute_tmpring_size;
    for (std::size_t i = 0; i < xccs_.size(); ++i)
      scratch_bases_[i] = queue.scratch_backing_memory_location +
                          queue.scratch_backing_memory_byte_size / xccs_.size() * i;
    scratch_returned_ = (queue.queue_properties & aql::kQueueUseScratchOnce) != 0;
    return Result::Done;
  }
  if (queue.queue_inactive_signal == 0) {
    queue_->hang("a kernel needs more scratch than the queue has, and nobody to ask");
    return Result::Stopped;
  }
  // What is there now is taken away before more is given, and the runtime finds this packet at
  // read_dispatch_id: nothing else may be on its way.
  if (!records_.empty()) return Result::Blocked;
  if (const Result result = tell_inactive(queue, wave32 ? kScratchForWave32 : kScratchForWave64);
      result != Result::Done)
    return result;
  return Result::Blocked;
}

/// Sets queue_inactive_signal and its event, as the firmware does when it stops a queue.
AqlProcessor::Result AqlProcessor::tell_inactive(const aql::Queue& queue, std::int64_t value) {
  aql::Signal signal;
  if (!port_.read(queue.queue_inactive_signal, &signal, sizeof signal) ||
      !port_.write_word<std::uint64_t>(queue.queue_inactive_signal + offsetof(aql::Signal, value),
                                       static_cast<std::uint64_t>(value)))
    return memory_fault();
  waits_for_ = queue.queue_inactive_signal;
  if (signal.event_mailbox_ptr == 0) return Result::Done;
  if (!port_.write_word<std::uint64_t>(signal.event_mailbox_ptr, signal.event_id))
    return memory_fault();
  context_.host.interrupt(queue_->config.process, signal.event_id);
  return Result::Done;
}

/// A kernel has run with scratch that the queue was given for one dispatch
/// (AMD_QUEUE_PROPERTIES_USE_SCRATCH_ONCE): it goes back before the next packet is looked at.
AqlProcessor::Result AqlProcessor::give_scratch_back() {
  if (!records_.empty()) return Result::Blocked;
  aql::Queue queue{};
  Va address = 0;
  if (!has_amd_queue(&queue, &address)) return Result::Done;
  if (!scratch_told_) {
    scratch_told_ = true;
    if (const Result result = tell_inactive(queue, kScratchUsedOnce); result != Result::Done)
      return result;
  }
  if ((queue.queue_properties & aql::kQueueUseScratchOnce) != 0) return Result::Blocked;
  scratch_told_ = scratch_returned_ = false;
  return Result::Done;
}

void AqlProcessor::distribute(const AqlWork& work, Va completion_signal) {
  accept(completion_signal);
  const std::shared_ptr<AqlRecord>& record = records_.back();
  record->xccs_left = static_cast<std::uint32_t>(xccs_.size());
  for (std::size_t i = 0; i < xccs_.size(); ++i) {
    AqlWork share = work;
    share.record = record;
    if (work.dispatch) {
      share.registers.push_back({reg_::DispatchScratchBaseLo::kOffset,
                                 static_cast<std::uint32_t>(scratch_bases_[i] >> 8)});
      share.registers.push_back({reg_::DispatchScratchBaseHi::kOffset,
                                 static_cast<std::uint32_t>(scratch_bases_[i] >> 40)});
    }
    xccs_[i]->submit(std::move(share));
    context_.scheduler.wake(xccs_[i]);
  }
}

/// A packet without work of its own has fences all the same (HSA Platform System Architecture,
/// "Barrier-AND packet"); HIP makes one with system scope before each copy.
void AqlProcessor::fence_only(std::uint32_t header, Va completion_signal) {
  AqlWork work;
  work.acquire = acquire_of(header);
  work.release = release_of(header);
  if (work.acquire == AqlFence::None && work.release == AqlFence::None)
    accept(completion_signal);
  else
    distribute(work, completion_signal);
}

/// The packet at next_ is being processed; with no XCC at work on it, it is complete.
void AqlProcessor::accept(Va completion_signal) {
  auto record = std::make_shared<AqlRecord>();
  record->index = next_++;
  record->completion_signal = completion_signal;
  records_.push_back(std::move(record));
}

bool AqlProcessor::retire(bool* progress) {
  for (auto& record : records_) {
    if (record->completed || record->xccs_left.load(std::memory_order_acquire) != 0) continue;
    record->completed = true;
    *progress = true;
    if (record->completion_signal != 0 && !complete(*record)) return false;
  }
  const QueueConfig& config = queue_->config;
  const std::uint64_t slots = config.ring_bytes / aql::kPacketBytes;
  while (!records_.empty() && records_.front()->completed) {
    const Va slot = config.ring + records_.front()->index % slots * aql::kPacketBytes;
    const auto invalid = static_cast<std::uint32_t>(aql::PacketType::Invalid);
    if (!port_.write_word<std::uint32_t>(slot, invalid) ||
        !port_.write_word<std::uint64_t>(config.read_pointer, retired_ + 1)) {
      memory_fault();
      return false;
    }
    ++retired_;
    records_.pop_front();
  }
  return true;
}

bool AqlProcessor::complete(AqlRecord& record) {
  const Va signal = record.completion_signal;
  aql::Queue queue{};
  Va address = 0;
  if (has_amd_queue(&queue, &address) &&
      (queue.queue_properties & aql::kQueueEnableProfiling) != 0) {
    if (!port_.write_word<std::uint64_t>(signal + offsetof(aql::Signal, start_ts),
                                         record.start_time.load()) ||
        !port_.write_word<std::uint64_t>(signal + offsetof(aql::Signal, end_ts),
                                         context_.host.clock())) {
      memory_fault();
      return false;
    }
  }
  aql::Signal before;
  if (!port_.read(signal, &before, sizeof before) ||
      !port_.atomic<std::uint64_t>(static_cast<std::uint32_t>(TcOp::Sub) | 0x20,
                                   signal + offsetof(aql::Signal, value), 1, 0, nullptr)) {
    memory_fault();
    return false;
  }
  if (before.event_mailbox_ptr == 0) return true;
  if (!port_.write_word<std::uint64_t>(before.event_mailbox_ptr, before.event_id)) {
    memory_fault();
    return false;
  }
  context_.host.interrupt(queue_->config.process, before.event_id);
  return true;
}

/// KFD is told where read_dispatch_id lies; the word behind it says how far into amd_queue_t.
/// Queues of clients without an amd_queue_t have something else there.
bool AqlProcessor::has_amd_queue(aql::Queue* queue, Va* address) {
  constexpr Va kReadId = offsetof(aql::Queue, read_dispatch_id);
  constexpr Va kOffsetWord = offsetof(aql::Queue, read_dispatch_id_field_base_byte_offset);
  const Va read_pointer = queue_->config.read_pointer;
  if (port_.room(read_pointer, Access::Load) < sizeof *queue - kReadId) return false;
  std::uint32_t offset;
  if (!port_.read_word(read_pointer + (kOffsetWord - kReadId), &offset) || offset != kReadId)
    return false;
  *address = read_pointer - kReadId;
  return port_.read(*address, queue, sizeof *queue);
}

}  // namespace kiln::vgpu

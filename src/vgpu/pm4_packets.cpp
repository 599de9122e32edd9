// Owns: what each PM4 packet does, dispatches excepted.
// Does not own: layouts (gpu/pm4.hpp), dispatches (pm4_dispatch.cpp).
// Threading: the command processor's step.
//
// Sources: PAL gfx9_plus_merged_f32_mec_pm4_packets.h, Linux soc15d.h and nvd.h.
#include <algorithm>

#include "base/result.hpp"
#include "gpu/pm4.hpp"
#include "gpu/registers.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"
#include "vgpu/command_processor.hpp"

namespace kiln::vgpu {

namespace uapi = kmd::uapi;
namespace pm4 = gpu::pm4;

namespace {

constexpr std::uint32_t kComputeFirst = 0x2E00, kComputeLast = 0x2E7F;  // COMPUTE_*
constexpr std::uint32_t kEventBottomOfPipeTs = 0x28, kEventCsDone = 0x2F, kEventIndexCsDone = 6;
constexpr std::uint32_t kReleaseToMemory = 0, kReleaseToL2 = 1;  // RELEASE_MEM dst_sel
constexpr std::uint32_t kCopyMemory = 1;                         // COPY_DATA src_sel and dst_sel
constexpr std::uint32_t kDmaAddress = 0;                         // DMA_DATA src_sel and dst_sel
constexpr std::uint64_t kDmaSlice = 256 * 1024;

template <class T>
bool compare(std::uint32_t function, T value, T reference) {
  switch (static_cast<pm4::Compare>(function)) {
    case pm4::Compare::Always:
      return true;
    case pm4::Compare::Lt:
      return value < reference;
    case pm4::Compare::Le:
      return value <= reference;
    case pm4::Compare::Eq:
      return value == reference;
    case pm4::Compare::Ne:
      return value != reference;
    case pm4::Compare::Ge:
      return value >= reference;
    case pm4::Compare::Gt:
      return value > reference;
  }
  return false;
}

/// COHER_BASE and COHER_SIZE count 256 bytes; all ones mean everything.
void set_range(CacheActions& actions, std::uint64_t base_256, std::uint64_t size_256) {
  constexpr std::uint64_t kEverything = std::uint64_t{1} << 55;
  actions.begin = base_256 << 8;
  actions.end = size_256 >= kEverything ? ~Va{0} : actions.begin + (size_256 << 8);
}

}  // namespace

CommandProcessor::Result CommandProcessor::unsupported(const gpu::PacketView& view,
                                                       const char* why) {
  return bad_packet(uapi::kEcQueuePacketUnsupported,
                    strf("%s: %s", gpu::describe(dialect_, view).c_str(), why));
}

CommandProcessor::Result CommandProcessor::execute(const gpu::PacketView& view) {
  if (view.is<pm4::WaitRegMem64>() && !context_.target.wait_reg_mem64)
    return unsupported(view, "this micro engine has no 64-bit wait");
  if (view.is<pm4::Nop>()) return Result::Done;
  if (view.is<pm4::SetShReg>()) return set_sh_registers(view);
  if (view.is<pm4::DispatchDirect>()) {
    std::uint32_t dims[3] = {static_cast<std::uint32_t>(view.get(pm4::DispatchDirect::dim_x)),
                             static_cast<std::uint32_t>(view.get(pm4::DispatchDirect::dim_y)),
                             static_cast<std::uint32_t>(view.get(pm4::DispatchDirect::dim_z))};
    if (context_.options.flip_dispatch) dims[0] &= dims[0] - 1;
    return dispatch(dims, static_cast<std::uint32_t>(view.get(pm4::DispatchDirect::initiator)));
  }
  if (view.is<pm4::DispatchIndirect>()) return dispatch_indirect(view);
  if (view.is<pm4::WaitRegMem>()) return wait_reg_mem(view, false);
  if (view.is<pm4::WaitRegMem64>()) return wait_reg_mem(view, true);
  if (view.is<pm4::ReleaseMemGfx9>() || view.is<pm4::ReleaseMemGfx11>()) return release_mem(view);
  if (view.is<pm4::AcquireMemGfx9>() || view.is<pm4::AcquireMemGfx10>()) return acquire_mem(view);
  if (view.is<pm4::EventWrite>()) return event_write(view);
  if (view.is<pm4::WriteData>()) return write_data(view);
  if (view.is<pm4::CopyData>()) return copy_data(view);
  if (view.is<pm4::AtomicMem>()) return atomic_mem(view);
  if (view.is<pm4::DmaData>()) return dma_data(view);
  if (view.is<pm4::IndirectBuffer>()) return indirect_buffer(view);
  if (view.is<pm4::CondExec>()) return cond_exec(view);
  if (view.is<pm4::PredExec>()) {
    if (context_.chip.gc < IpVersion{9, 4, 3}) return unsupported(view, "there is one XCC");
    if (!in_buffer_) return unsupported(view, "works in indirect buffers only");
    const std::uint64_t mask = view.get(pm4::PredExec::virtual_xcc_mask);
    const bool runs = (mask >> place_.logical & 1) != 0;
    return runs ? Result::Done : skip(view, view.get(pm4::PredExec::exec_count));
  }
  return unsupported(view, "no user queue may send it");
}

CommandProcessor::Result CommandProcessor::skip(const gpu::PacketView& view, std::uint64_t dwords) {
  if (in_buffer_) {
    if (buffer_.position + view.count + dwords > buffer_.dwords)
      return unsupported(view, "skips past the end of the buffer");
    buffer_.position += static_cast<std::uint32_t>(dwords);
  } else {
    read_pointer_ += dwords;
  }
  return Result::Done;
}

CommandProcessor::Result CommandProcessor::cond_exec(const gpu::PacketView& view) {
  std::uint32_t condition;
  if (!port_.read_word(view.get(pm4::CondExec::address), &condition)) return memory_fault();
  return condition != 0 ? Result::Done : skip(view, view.get(pm4::CondExec::exec_count));
}

CommandProcessor::Result CommandProcessor::indirect_buffer(const gpu::PacketView& view) {
  const bool chain = view.get(pm4::IndirectBuffer::chain) != 0;
  const auto size = static_cast<std::uint32_t>(view.get(pm4::IndirectBuffer::size));
  if (view.get(pm4::IndirectBuffer::valid) == 0) return unsupported(view, "not marked valid");
  if (view.get(pm4::IndirectBuffer::vmid) != 0) return unsupported(view, "names a VMID");
  if (size == 0) return unsupported(view, "is empty");
  if (in_buffer_ && !chain) return unsupported(view, "inside an indirect buffer");
  if (!in_buffer_ && chain) return unsupported(view, "chains outside of an indirect buffer");
  chained_ = in_buffer_;
  in_buffer_ = true;
  buffer_ = {view.get(pm4::IndirectBuffer::address), size, 0};
  return Result::Done;
}

CommandProcessor::Result CommandProcessor::set_sh_registers(const gpu::PacketView& view) {
  if (view.get(pm4::SetShReg::index) != 0 || view.get(pm4::SetShReg::vmid_shift) != 0)
    return unsupported(view, "index and VMID shift are the driver's");
  std::uint32_t offset =
      pm4::kShRegBase + static_cast<std::uint32_t>(view.get(pm4::SetShReg::reg_offset));
  for (const std::uint32_t value : view.tail()) {
    if (const Result result = set_register(offset++, value); result != Result::Done) return result;
  }
  return Result::Done;
}

CommandProcessor::Result CommandProcessor::set_register(std::uint32_t offset, std::uint32_t value) {
  const gpu::DispatchRow& row = context_.target.dispatch;
  auto refuse = [&](const char* why) {
    return bad_packet(uapi::kEcQueuePacketDispatchRegisterInvalid,
                      strf("register 0x%04x = 0x%08x: %s", offset, value, why));
  };
  if (offset < kComputeFirst || offset > kComputeLast) return refuse("not a COMPUTE_* register");
  if (row.forbidden_last != 0 && offset >= row.forbidden_first && offset <= row.forbidden_last)
    return refuse("the driver's: it tells the XCCs apart");
  if (const gpu::RegisterInfo* info = gpu::find_register(dialect_, offset);
      info != nullptr && (value & info->reserved_bits()) != 0)
    return refuse("reserved bits");
  reg(offset) = value;
  return Result::Done;
}

CommandProcessor::Result CommandProcessor::wait_reg_mem(const gpu::PacketView& view, bool is_64) {
  using W = pm4::WaitRegMem;
  using W64 = pm4::WaitRegMem64;
  // Both layouts agree up to the address.
  const auto function = static_cast<std::uint32_t>(get_field(view.dwords, W::kFields[0]));
  const bool memory = (view.dwords[1] >> 4 & 3) == pm4::kMemSpaceMemory;
  const std::uint32_t operation = view.dwords[1] >> 6 & 3;
  if ((view.dwords[1] >> 4 & 3) > pm4::kMemSpaceMemory) return unsupported(view, "memory space");
  if (function > static_cast<std::uint32_t>(pm4::Compare::Gt)) return unsupported(view, "function");
  if (!memory) {
    // The one register pair that user queues are given: HDP flush, request written, done polled
    // (nbio GPU_HDP_FLUSH_REQ and _DONE). Stores through the BAR are memory at once here.
    if (operation != 1 || is_64 || view.get(W::reference) != view.get(W::mask))
      return bad_packet(uapi::kEcQueuePacketDispatchRegisterInvalid,
                        "WAIT_REG_MEM on a register that user queues have no access to");
    return Result::Done;
  }
  if (operation != 0) return unsupported(view, "writes memory first");
  bool reached;
  if (is_64) {
    std::uint64_t value;
    if (!port_.read_word(view.get(W64::address), &value)) return memory_fault();
    reached = compare(function, value & view.get(W64::mask), view.get(W64::reference));
  } else {
    if (view.get(W::address) % 4 != 0) return unsupported(view, "address alignment");
    std::uint32_t value;
    if (!port_.read_word(view.get(W::address), &value)) return memory_fault();
    reached = compare(function, value & static_cast<std::uint32_t>(view.get(W::mask)),
                      static_cast<std::uint32_t>(view.get(W::reference)));
  }
  return reached ? Result::Done : Result::Blocked;
}

CommandProcessor::Result CommandProcessor::write_data(const gpu::PacketView& view) {
  const auto to = static_cast<std::uint32_t>(view.get(pm4::WriteData::dst_sel));
  if (to != pm4::kSelMemory && to != pm4::kSelTcL2) return unsupported(view, "destination");
  const Scope scope = to == pm4::kSelMemory ? Scope::System : Scope::Wave;
  Va address = view.get(pm4::WriteData::address);
  const auto data = view.tail();
  const bool same_place = view.get(pm4::WriteData::addr_incr) != 0;
  if (data.size() == 2 && !same_place && address % 8 == 0) {
    const std::uint64_t both = data[0] | std::uint64_t{data[1]} << 32;
    return port_.write_word(address, both, scope) ? Result::Done : memory_fault();
  }
  for (const std::uint32_t dword : data) {
    if (!port_.write_word(address, dword, scope)) return memory_fault();
    if (!same_place) address += 4;
  }
  return Result::Done;
}

CommandProcessor::Result CommandProcessor::copy_data(const gpu::PacketView& view) {
  using C = pm4::CopyData;
  const bool is_64 = view.get(C::count_64) != 0;
  const std::size_t bytes = is_64 ? 8 : 4;
  const Va from = view.get(C::source), to = view.get(C::destination);
  std::uint64_t value = 0;
  const auto source = static_cast<std::uint32_t>(view.get(C::src_sel));
  switch (source) {
    case kCopyMemory:
    case pm4::kSelTcL2: {
      if (from % bytes != 0) return unsupported(view, "source alignment");
      const Scope scope = source == pm4::kSelTcL2 ? Scope::Wave : Scope::System;
      std::uint32_t low = 0;
      const bool read =
          is_64 ? port_.read_word(from, &value, scope) : port_.read_word(from, &low, scope);
      if (!read) return memory_fault();
      if (!is_64) value = low;
      break;
    }
    case pm4::kSelImmediate:
      value = from;
      break;
    case pm4::kSelAtomicReturn:
      value = atomic_result_;
      break;
    case pm4::kSelGpuClock:
      value = context_.host.clock();
      break;
    default:
      return unsupported(view, "source");
  }
  const auto target = static_cast<std::uint32_t>(view.get(C::dst_sel));
  if (target != kCopyMemory && target != pm4::kSelTcL2 && target != pm4::kSelMemory)
    return unsupported(view, "destination");
  if (to % bytes != 0) return unsupported(view, "destination alignment");
  const Scope scope = target == pm4::kSelTcL2 ? Scope::Wave : Scope::System;
  const bool written = is_64 ? port_.write_word(to, value, scope)
                             : port_.write_word(to, static_cast<std::uint32_t>(value), scope);
  return written ? Result::Done : memory_fault();
}

CommandProcessor::Result CommandProcessor::atomic_mem(const gpu::PacketView& view) {
  using A = pm4::AtomicMem;
  const auto op = static_cast<std::uint32_t>(view.get(A::atomic));
  const std::uint64_t command = view.get(A::command);
  const Va address = view.get(A::address);
  const std::uint64_t source = view.get(A::source), expected = view.get(A::compare);
  if (!is_known_atomic(op)) return unsupported(view, "operation");
  if (command > 1) return unsupported(view, "command");
  if (address % (is_64_bit_atomic(op) ? 8 : 4) != 0) return unsupported(view, "alignment");
  bool done;
  std::uint64_t before = 0;
  bool met;
  if (is_64_bit_atomic(op)) {
    done = port_.atomic<std::uint64_t>(op, address, source, expected, &before);
    met = before == expected;
  } else {
    std::uint32_t old = 0;
    done = port_.atomic<std::uint32_t>(op, address, static_cast<std::uint32_t>(source),
                                       static_cast<std::uint32_t>(expected), &old);
    before = old;
    met = old == static_cast<std::uint32_t>(expected);
  }
  if (!done) return memory_fault();
  atomic_result_ = before;
  // Command 1 repeats until the comparison holds.
  return command == 0 || met ? Result::Done : Result::Blocked;
}

CommandProcessor::Result CommandProcessor::dma_data(const gpu::PacketView& view) {
  using D = pm4::DmaData;
  const auto from = static_cast<std::uint32_t>(view.get(D::src_sel));
  const auto to = static_cast<std::uint32_t>(view.get(D::dst_sel));
  const bool fill = from == pm4::kDmaSrcData;
  if (!fill && from != pm4::kDmaSrcL2 && from != kDmaAddress) return unsupported(view, "source");
  if (to != pm4::kDmaDstL2 && to != kDmaAddress) return unsupported(view, "destination");
  if ((view.get(D::sas) | view.get(D::das) | view.get(D::saic) | view.get(D::daic)) != 0)
    return unsupported(view, "register space, or addresses that stay");
  const std::uint64_t bytes = view.get(D::byte_count);
  const std::uint64_t now = std::min(bytes - dma_done_, kDmaSlice);
  std::vector<std::byte> slice(now);
  const Va source = view.get(D::source) + dma_done_, target = view.get(D::destination) + dma_done_;
  if (fill) {
    if (bytes % 4 != 0) return unsupported(view, "a fill that is no multiple of 4 bytes");
    const auto pattern = static_cast<std::uint32_t>(view.get(D::source));
    for (std::uint64_t i = 0; i < now; i += 4) std::memcpy(slice.data() + i, &pattern, 4);
  } else if (!port_.read(source, slice.data(), now,
                         from == kDmaAddress ? Scope::System : Scope::Wave)) {
    return memory_fault();
  }
  if (!port_.write(target, slice.data(), now, to == kDmaAddress ? Scope::System : Scope::Wave))
    return memory_fault();
  dma_done_ += now;
  if (dma_done_ < bytes) return Result::More;
  dma_done_ = 0;
  return Result::Done;
}

CommandProcessor::Result CommandProcessor::event_write(const gpu::PacketView& view) {
  if (view.count != 2 || view.get(pm4::EventWrite::event_type) != pm4::kEventCsPartialFlush ||
      view.get(pm4::EventWrite::event_index) != pm4::kEventIndexPartialFlush)
    return unsupported(view, "event");
  return ended(0, next_serial_) ? Result::Done : Result::Blocked;
}

CommandProcessor::Result CommandProcessor::acquire_mem(const gpu::PacketView& view) {
  if (view.is<pm4::AcquireMemGfx9>()) {
    using A = pm4::AcquireMemGfx9;
    CacheActions actions;
    actions.icache = view.get(A::icache) != 0;
    // The scalar cache is never written by kernels of this generation: KCACHE_WB finds nothing.
    actions.scalar = view.get(A::kcache) != 0;
    actions.vector = view.get(A::tcl1) != 0;
    actions.l2_invalidate = view.get(A::tc) != 0;
    actions.l2_write_back = view.get(A::tc_wb) != 0;
    actions.only_non_coherent = view.get(A::tc_nc) != 0;
    set_range(actions, view.get(A::base_256), view.get(A::size_256));
    apply(actions);
    return Result::Done;
  }
  using A = pm4::AcquireMemGfx10;
  if (view.get(A::range_is_pa) != 0) return unsupported(view, "physical range");
  CacheActions all, ranged;
  set_range(ranged, view.get(A::base_256), view.get(A::size_256));
  // The instruction, scalar and vector caches are small: hardware empties them whole. GLM holds
  // metadata of images, GLK_WB finds nothing to write.
  all.icache = view.get(A::gli_inv) != 0;
  all.scalar = view.get(A::glk_inv) != 0;
  all.vector = view.get(A::glv_inv) != 0;
  CacheActions& l1 = view.get(A::gl1_range) == 0 ? all : ranged;
  l1.gl1 = view.get(A::gl1_inv) != 0;
  CacheActions& l2 = view.get(A::gl2_range) == 0 ? all : ranged;
  l2.l2_invalidate = (view.get(A::gl2_inv) | view.get(A::gl2_discard)) != 0;
  l2.l2_write_back = view.get(A::gl2_wb) != 0;
  // ACQUIRE_MEM of size 0 reaches nothing; all ones is how everything is said.
  if (ranged.begin == ranged.end) return Result::Done;
  apply(all);
  apply(ranged);
  return Result::Done;
}

CommandProcessor::Result CommandProcessor::release_mem(const gpu::PacketView& view) {
  // Positions that both generations share.
  using R9 = pm4::ReleaseMemGfx9;
  using R11 = pm4::ReleaseMemGfx11;
  EndOfPipe event;
  const std::uint32_t type = view.dwords[1] & 0x3F, index = view.dwords[1] >> 8 & 0xF;
  const bool end_of_pipe = index == pm4::kEventIndexEndOfPipe &&
                           (type == pm4::kEventCacheFlushAndInvTs || type == kEventBottomOfPipeTs);
  if (!end_of_pipe && !(index == kEventIndexCsDone && type == kEventCsDone))
    return unsupported(view, "event");
  std::uint32_t to;
  if (view.is<R9>()) {
    event.actions.vector = view.get(R9::tcl1) != 0;
    event.actions.l2_invalidate = view.get(R9::tc) != 0;
    event.actions.l2_write_back = view.get(R9::tc_wb) != 0;
    event.actions.only_non_coherent = view.get(R9::tc_nc) != 0;
    to = static_cast<std::uint32_t>(view.get(R9::dst_sel));
    event.int_sel = static_cast<std::uint32_t>(view.get(R9::int_sel));
    event.data_sel = static_cast<std::uint32_t>(view.get(R9::data_sel));
    event.address = view.get(R9::address);
    event.data = view.get(R9::data);
    event.context = static_cast<std::uint32_t>(view.get(R9::int_ctxid));
  } else {
    if ((view.get(R11::wait_sync) | view.get(R11::mes_action) | view.get(R11::mes_intr_pipe)) != 0)
      return unsupported(view, "pixel wait sync and MES are the driver's");
    if (context_.chip.gc.major < 11 && (view.get(R11::glk_wb) | view.get(R11::glk_inv)) != 0)
      return unsupported(view, "GLK actions came with gfx11");
    event.actions.vector = view.get(R11::glv_inv) != 0;
    event.actions.gl1 = view.get(R11::gl1_inv) != 0;
    event.actions.scalar = view.get(R11::glk_inv) != 0;
    event.actions.l2_invalidate = (view.get(R11::gl2_inv) | view.get(R11::gl2_discard)) != 0;
    event.actions.l2_write_back = view.get(R11::gl2_wb) != 0;
    to = static_cast<std::uint32_t>(view.get(R11::dst_sel));
    event.int_sel = static_cast<std::uint32_t>(view.get(R11::int_sel));
    event.data_sel = static_cast<std::uint32_t>(view.get(R11::data_sel));
    event.address = view.get(R11::address);
    event.data = view.get(R11::data);
    event.context = static_cast<std::uint32_t>(view.get(R11::int_ctxid));
  }
  if (to != kReleaseToMemory && to != kReleaseToL2) return unsupported(view, "destination");
  if (event.data_sel > pm4::kDataGpuClock) return unsupported(view, "data");
  if (event.int_sel > pm4::kIntNoneAfterWriteConfirm) return unsupported(view, "interrupt");
  if (event.data_sel >= pm4::kData64 && event.address % 8 != 0)
    return unsupported(view, "address alignment");
  event.scope = to == kReleaseToL2 ? Scope::Wave : Scope::System;
  event.is_release = true;
  event.last = next_serial_;
  end_of_pipe_.push_back(std::move(event));
  return Result::Done;
}

}  // namespace kiln::vgpu

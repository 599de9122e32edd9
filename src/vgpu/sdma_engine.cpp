// Owns: see sdma_engine.hpp.
// Does not own: see sdma_engine.hpp.
// Threading: see sdma_engine.hpp.
//
// Sources: Linux vega10_, navi10_ and sdma_v6_0_0_pkt_open.h, ROCr sdma_registers.h and
// amd_blit_sdma.cpp, KFDTest SDMAPacket.cpp and SDMAQueue.cpp.
#include "vgpu/sdma_engine.hpp"

#include <algorithm>

#include "base/result.hpp"
#include "gpu/pm4.hpp"
#include "gpu/sdma.hpp"

namespace kiln::vgpu {

namespace sdma = gpu::sdma;

namespace {

constexpr unsigned kFirstLane = 16;
constexpr unsigned kPacketsAStep = 64, kPacketsAStepSkewed = 8;
constexpr std::uint64_t kSlice = 256 * 1024;  // bytes a step, so that copies interleave
constexpr std::uint32_t kWindow = 16;
constexpr Va kHdpFlushAddress = Va{1} << 63;  // sdma_registers.h
constexpr std::uint32_t kBufferAlign = 8;     // dwords

struct V4 {
  using Copy = sdma::CopyLinear4;
  using Rect = sdma::CopyRect4;
  using Write = sdma::WriteLinear4;
  using Fence = sdma::Fence4;
  using Poll = sdma::PollRegmem4;
  using Atomic = sdma::Atomic4;
  using Fill = sdma::ConstFill4;
  using Timestamp = sdma::TimestampGlobal4;
};
struct V6 {
  using Copy = sdma::CopyLinear6;
  using Rect = sdma::CopyRect6;
  using Write = sdma::WriteLinear6;
  using Fence = sdma::Fence6;
  using Poll = sdma::PollRegmem6;
  using Atomic = sdma::Atomic6;
  using Fill = sdma::ConstFill6;
  using Timestamp = sdma::TimestampGlobal6;
};

bool compare(std::uint32_t function, std::uint32_t value, std::uint32_t reference) {
  switch (static_cast<gpu::pm4::Compare>(function)) {
    case gpu::pm4::Compare::Always:
      return true;
    case gpu::pm4::Compare::Lt:
      return value < reference;
    case gpu::pm4::Compare::Le:
      return value <= reference;
    case gpu::pm4::Compare::Eq:
      return value == reference;
    case gpu::pm4::Compare::Ne:
      return value != reference;
    case gpu::pm4::Compare::Ge:
      return value >= reference;
    case gpu::pm4::Compare::Gt:
      return value > reference;
  }
  return false;
}

std::unique_ptr<CacheModel> caches_of(QueueState& queue) {
  CacheSystem* caches = queue.context.caches.get();
  return caches == nullptr ? nullptr : caches->of_sdma(*queue.config.space);
}

unsigned lane_of(const QueueState& queue) {
  const auto engine = static_cast<unsigned>(std::max(queue.config.sdma_engine, 0));
  return kFirstLane + engine % 16;
}

/// 5.2 has the layouts of 6.0, but neither its cache policies nor CPV (navi10_sdma_pkt_open.h
/// beside sdma_v6_0_0_pkt_open.h): the name of such a field that is set, else null.
const char* later_field(const gpu::Target& target, const gpu::PacketView& view) {
  if (target.sdma.major != 5) return nullptr;
  const bool timestamp = view.is<sdma::TimestampGlobal6>();
  for (const gpu::Field& one : view.info->fields) {
    const std::string_view name = one.name;
    const bool later = name == "cpv" || name == "llc_policy" || name.ends_with("cache_policy") ||
                       (timestamp && name == "l2_policy");
    if (later && gpu::get_field(view.dwords, one) != 0) return one.name;
  }
  return nullptr;
}

template <class P, class Name>
std::uint32_t field(const gpu::PacketView& view, Name name) {
  return static_cast<std::uint32_t>(
      gpu::get_field(view.dwords, P::kFields[static_cast<std::size_t>(name)]));
}

}  // namespace

SdmaEngine::SdmaEngine(std::shared_ptr<QueueState> queue)
    : Task(queue->tasks, lane_of(*queue)),
      queue_(std::move(queue)),
      context_(queue_->context),
      dialect_(gpu::sdma_dialect(context_.target)),
      port_(*queue_->config.space, caches_of(*queue_), Client::Sdma) {}

SdmaEngine::Result SdmaEngine::refuse(const gpu::PacketView& view, const char* why) {
  queue_->hang(strf("%s: %s", gpu::describe(dialect_, view).c_str(), why));
  return Result::Stopped;
}

SdmaEngine::Result SdmaEngine::memory_fault() {
  queue_->fault(port_.fault());
  return Result::Stopped;
}

Outcome SdmaEngine::step(Random& random) {
  if (queue_->stopped) return Outcome::Parked;
  const bool skewed = context_.scheduler.skew() != 0;
  unsigned budget = skewed ? 1 + random.below(kPacketsAStepSkewed) : kPacketsAStep;
  const std::uint64_t slice = skewed ? std::uint64_t{64} << random.below(13) : kSlice;
  bool progress = false;
  while (budget-- > 0) {
    const Result result = advance(slice);
    if (result != Result::Done && result != Result::More) break;
    progress = true;
    if (result == Result::More) break;
  }
  if (queue_->stopped) return Outcome::Parked;
  return progress ? Outcome::Progress : Outcome::Waiting;
}

/// In bytes. gfx9 takes the doorbell alone; later engines read the write pointer's memory too
/// (F32_WPTR_POLL_ENABLE).
std::uint64_t SdmaEngine::write_pointer(bool* mapped) {
  const QueueConfig& config = queue_->config;
  std::uint64_t pointer = config.doorbell->load(std::memory_order_acquire);
  if (dialect_ == gpu::Dialect::Sdma4) return pointer;
  std::uint64_t polled = 0;
  *mapped = port_.read_word(config.write_pointer, &polled);
  return std::max(pointer, polled);
}

SdmaEngine::Result SdmaEngine::decode(Va address, std::uint64_t available, gpu::PacketView* view) {
  auto read = [&](std::uint64_t dwords) {
    packet_.resize(dwords);
    return port_.read(address, packet_.data(), dwords * 4);
  };
  if (!read(std::min<std::uint64_t>(available, kWindow))) return memory_fault();
  gpu::Decoded decoded = gpu::decode_one(dialect_, packet_.data(), packet_.size(), address);
  if (decoded.problem == gpu::Problem::Truncated && decoded.view.count <= available) {
    if (!read(decoded.view.count)) return memory_fault();
    decoded = gpu::decode_one(dialect_, packet_.data(), packet_.size(), address);
  }
  *view = decoded.view;
  if (decoded.problem == gpu::Problem::None) return Result::Done;
  if (decoded.problem == gpu::Problem::Truncated && !in_buffer_) return Result::Blocked;
  queue_->hang(strf("SDMA packet 0x%08x at 0x%llx: %s (dword %u, bits 0x%x)", packet_[0],
                    static_cast<unsigned long long>(address), gpu::to_string(decoded.problem),
                    decoded.bad_dword, decoded.bad_bits));
  return Result::Stopped;
}

SdmaEngine::Result SdmaEngine::advance(std::uint64_t slice) {
  if (in_buffer_) {
    if (buffer_.position == buffer_.dwords) {
      in_buffer_ = false;
      return Result::Done;
    }
    gpu::PacketView view;
    if (const Result result = decode(buffer_.address + buffer_.position * 4ull,
                                     buffer_.dwords - buffer_.position, &view);
        result != Result::Done)
      return result;
    const std::uint32_t count = view.count;
    const Result result = execute(view, slice);
    if (result == Result::Done) buffer_.position += count;
    return result;
  }
  const QueueConfig& config = queue_->config;
  bool mapped = true;
  const std::uint64_t pointer = write_pointer(&mapped);
  if (!mapped) return memory_fault();
  std::uint64_t available = pointer - read_pointer_;
  if (available > config.ring_bytes) available %= config.ring_bytes;
  if (available == 0) return Result::Idle;
  if (available % 4 != 0) {
    queue_->hang("the SDMA write pointer is not a multiple of 4");
    return Result::Stopped;
  }
  const std::uint64_t at = read_pointer_ % config.ring_bytes;
  const std::uint64_t to_end = config.ring_bytes - at;
  gpu::PacketView view;
  const Result decoded = decode(config.ring + at, std::min(available, to_end) / 4, &view);
  if (decoded == Result::Blocked && available > to_end) {
    // The engine fetches a packet in one piece (amd_blit_sdma.cpp pads the tail with NOPs).
    queue_->hang("an SDMA packet runs over the end of the ring");
    return Result::Stopped;
  }
  if (decoded != Result::Done) return decoded;
  const std::uint32_t count = view.count;
  const Result result = execute(view, slice);
  if (result != Result::Done) return result;
  read_pointer_ += count * 4ull;
  if (!port_.write_word<std::uint64_t>(config.read_pointer, read_pointer_)) return memory_fault();
  return Result::Done;
}

SdmaEngine::Result SdmaEngine::execute(const gpu::PacketView& view, std::uint64_t slice) {
  if (const char* name = later_field(context_.target, view)) return refuse(view, name);
  const Result result =
      dialect_ == gpu::Dialect::Sdma4 ? execute_as<V4>(view, slice) : execute_as<V6>(view, slice);
  if (result == Result::Done) context_.carried_out(*view.info);
  return result;
}

template <class S>
SdmaEngine::Result SdmaEngine::execute_as(const gpu::PacketView& view, std::uint64_t slice) {
  if (view.is<sdma::Nop>()) return Result::Done;
  if (view.is<typename S::Copy>()) return copy_linear<typename S::Copy>(view, slice);
  if (view.is<typename S::Rect>()) return copy_rect<typename S::Rect>(view, slice);
  if (view.is<typename S::Write>()) return write_linear<typename S::Write>(view);
  if (view.is<typename S::Fill>()) return const_fill<typename S::Fill>(view, slice);
  if (view.is<typename S::Fence>()) return fence<typename S::Fence>(view);
  if (view.is<typename S::Poll>()) return poll<typename S::Poll>(view);
  if (view.is<typename S::Atomic>()) return atomic<typename S::Atomic>(view);
  if (view.is<typename S::Timestamp>()) {
    const Va to = gpu::get_field(
        view.dwords, S::Timestamp::kFields[static_cast<std::size_t>(S::Timestamp::Name::address)]);
    return port_.write_word<std::uint64_t>(to, context_.host.clock()) ? Result::Done
                                                                      : memory_fault();
  }
  if (view.is<sdma::Trap>()) {
    context_.host.interrupt(queue_->config.process,
                            field<sdma::Trap>(view, sdma::Trap::Name::context));
    return Result::Done;
  }
  if (view.is<sdma::Indirect>()) return indirect(view);
  if (view.is<sdma::GcrReq>()) return cache_request(view);
  return refuse(view, "no user queue may send it");
}

SdmaEngine::Result SdmaEngine::indirect(const gpu::PacketView& view) {
  const std::uint32_t size = field<sdma::Indirect>(view, sdma::Indirect::Name::size);
  if (in_buffer_) return refuse(view, "inside an indirect buffer");
  if (field<sdma::Indirect>(view, sdma::Indirect::Name::vmid) != 0)
    return refuse(view, "names a VMID");
  if (size == 0 || size % kBufferAlign != 0)
    return refuse(view, "an indirect buffer ends on a multiple of 8 dwords");
  in_buffer_ = true;
  buffer_ = {view.get(sdma::Indirect::Name::address), size, 0};
  return Result::Done;
}

/// Forwards, as the engine does; what overlaps is the caller's doing.
bool SdmaEngine::copy(Va from, Va to, std::uint64_t bytes) {
  const std::byte* source = port_.strict() || port_.room(from, Access::Load) < bytes
                                ? nullptr
                                : port_.direct(from, bytes, Access::Load);
  std::byte* target = source == nullptr || port_.room(to, Access::Store) < bytes
                          ? nullptr
                          : port_.direct(to, bytes, Access::Store);
  const bool apart = source != nullptr && target != nullptr &&
                     (source + bytes <= target || target + bytes <= source);
  if (apart) {
    guest_copy(target, source, bytes);
    return true;
  }
  slice_.resize(std::max<std::size_t>(slice_.size(), bytes));
  return port_.read(from, slice_.data(), bytes) && port_.write(to, slice_.data(), bytes);
}

template <class P>
SdmaEngine::Result SdmaEngine::copy_linear(const gpu::PacketView& view, std::uint64_t slice) {
  using N = typename P::Name;
  if ((field<P>(view, N::tmz) | field<P>(view, N::dst_sw) | field<P>(view, N::src_sw)) != 0)
    return refuse(view, "encryption and byte swaps");
  if constexpr (std::is_same_v<P, sdma::CopyLinear6>)
    if (field<P>(view, N::backwards) != 0) return refuse(view, "backwards");
  const std::uint64_t bytes = std::uint64_t{field<P>(view, N::count)} + 1;
  if (bytes > std::uint64_t{1} << context_.target.sdma.count_bits) return refuse(view, "count");
  const Va from = view.get(N::source);
  const std::uint64_t now = std::min(bytes - done_, slice);
  if (!copy(from + done_, view.get(N::destination) + done_, now)) return memory_fault();
  if (field<P>(view, N::broadcast) != 0) {
    const auto tail = view.tail();
    const Va second = tail[0] | Va{tail[1]} << 32;
    if (!copy(from + done_, second + done_, now)) return memory_fault();
  }
  done_ += now;
  if (done_ < bytes) return Result::More;
  done_ = 0;
  return Result::Done;
}

template <class P>
SdmaEngine::Result SdmaEngine::copy_rect(const gpu::PacketView& view, std::uint64_t slice) {
  using N = typename P::Name;
  if ((field<P>(view, N::tmz) | field<P>(view, N::dst_sw) | field<P>(view, N::src_sw)) != 0)
    return refuse(view, "encryption and byte swaps");
  const std::uint32_t element = field<P>(view, N::element);
  if (element > 4) return refuse(view, "element size");
  auto minus_one = [&](N name) { return std::uint64_t{field<P>(view, name)} + 1; };
  const std::uint64_t width = minus_one(N::rect_x) << element;
  const std::uint64_t height = minus_one(N::rect_y), depth = minus_one(N::rect_z);
  // done_ counts rows.
  std::uint64_t moved = 0;
  while (done_ < height * depth) {
    if (moved >= slice) return Result::More;
    const std::uint64_t y = done_ % height, z = done_ / height;
    auto place = [&](Va base, N x, N first_y, N first_z, N pitch, N slice_pitch) {
      const std::uint64_t elements = field<P>(view, x) +
                                     (field<P>(view, first_y) + y) * minus_one(pitch) +
                                     (field<P>(view, first_z) + z) * minus_one(slice_pitch);
      return base + (elements << element);
    };
    const Va from =
        place(view.get(N::source), N::src_x, N::src_y, N::src_z, N::src_pitch, N::src_slice_pitch);
    const Va to = place(view.get(N::destination), N::dst_x, N::dst_y, N::dst_z, N::dst_pitch,
                        N::dst_slice_pitch);
    if (!copy(from, to, width)) return memory_fault();
    moved += width;
    ++done_;
  }
  done_ = 0;
  return Result::Done;
}

template <class P>
SdmaEngine::Result SdmaEngine::write_linear(const gpu::PacketView& view) {
  using N = typename P::Name;
  if ((field<P>(view, N::tmz) | field<P>(view, N::sw)) != 0)
    return refuse(view, "encryption and byte swaps");
  const auto data = view.tail();
  return port_.write(view.get(N::destination), data.data(), data.size_bytes()) ? Result::Done
                                                                               : memory_fault();
}

template <class P>
SdmaEngine::Result SdmaEngine::const_fill(const gpu::PacketView& view, std::uint64_t slice) {
  using N = typename P::Name;
  if (field<P>(view, N::sw) != 0) return refuse(view, "byte swaps");
  const std::uint32_t size = field<P>(view, N::fill_size);
  if (size != sdma::kFillBytes && size != sdma::kFillDwords) return refuse(view, "fill size");
  const Va to = view.get(N::destination);
  std::uint64_t bytes = std::uint64_t{field<P>(view, N::count)} + 1;
  if (bytes > std::uint64_t{1} << context_.target.sdma.count_bits) return refuse(view, "count");
  std::uint32_t pattern = field<P>(view, N::data);
  if (size == sdma::kFillDwords) {
    if (to % 4 != 0) return refuse(view, "alignment");
    bytes = (bytes + 3) & ~std::uint64_t{3};  // whole elements
  } else {
    pattern = (pattern & 0xFF) * 0x01010101u;
  }
  const std::uint64_t now = std::min(bytes - done_, (slice + 3) & ~std::uint64_t{3});
  slice_.resize(std::max<std::size_t>(slice_.size(), now + 3));
  for (std::uint64_t i = 0; i < now; i += 4) std::memcpy(slice_.data() + i, &pattern, 4);
  if (!port_.write(to + done_, slice_.data(), now)) return memory_fault();
  done_ += now;
  if (done_ < bytes) return Result::More;
  done_ = 0;
  return Result::Done;
}

template <class P>
SdmaEngine::Result SdmaEngine::fence(const gpu::PacketView& view) {
  using N = typename P::Name;
  return port_.write_word<std::uint32_t>(view.get(N::address), field<P>(view, N::data))
             ? Result::Done
             : memory_fault();
}

template <class P>
SdmaEngine::Result SdmaEngine::poll(const gpu::PacketView& view) {
  using N = typename P::Name;
  const Va address = view.get(N::address);
  if (field<P>(view, N::mem_poll) == 0) {
    // The HDP flush of user queues; the host's stores are memory at once here.
    if (address == kHdpFlushAddress || field<P>(view, N::hdp_flush) != 0) return Result::Done;
    return refuse(view, "polls a register");
  }
  const std::uint32_t function = field<P>(view, N::function);
  if (function > static_cast<std::uint32_t>(gpu::pm4::Compare::Gt)) return refuse(view, "function");
  std::uint32_t value;
  if (!port_.read_word(address, &value)) return memory_fault();
  if (compare(function, value & field<P>(view, N::mask), field<P>(view, N::reference))) {
    polled_ = 0;
    return Result::Done;
  }
  const std::uint32_t tries = field<P>(view, N::retry_count);
  if (tries != sdma::kRetryForever && polled_++ >= tries) return refuse(view, "gave up");
  return Result::Blocked;
}

template <class P>
SdmaEngine::Result SdmaEngine::atomic(const gpu::PacketView& view) {
  using N = typename P::Name;
  const std::uint32_t op = field<P>(view, N::atomic_op);
  const Va address = view.get(N::address);
  const std::uint64_t source = view.get(N::source), expected = view.get(N::compare);
  if (field<P>(view, N::tmz) != 0) return refuse(view, "encryption");
  if (!is_known_atomic(op)) return refuse(view, "operation");
  if (address % (is_64_bit_atomic(op) ? 8 : 4) != 0) return refuse(view, "alignment");
  bool done, met;
  if (is_64_bit_atomic(op)) {
    std::uint64_t before = 0;
    done = port_.atomic<std::uint64_t>(op, address, source, expected, &before);
    met = before == expected;
  } else {
    std::uint32_t before = 0;
    done = port_.atomic<std::uint32_t>(op, address, static_cast<std::uint32_t>(source),
                                       static_cast<std::uint32_t>(expected), &before);
    met = before == static_cast<std::uint32_t>(expected);
  }
  if (!done) return memory_fault();
  return field<P>(view, N::loop) == 0 || met ? Result::Done : Result::Blocked;
}

SdmaEngine::Result SdmaEngine::cache_request(const gpu::PacketView& view) {
  using N = sdma::GcrReq::Name;
  auto bit = [&](N name) { return field<sdma::GcrReq>(view, name) != 0; };
  if (bit(N::range_is_pa)) return refuse(view, "physical range");
  CacheActions actions;
  actions.icache = bit(N::gli_inv);
  actions.scalar = bit(N::glk_inv);
  actions.vector = bit(N::glv_inv);
  actions.gl1 = bit(N::gl1_inv);
  actions.l2_invalidate = bit(N::gl2_inv) || bit(N::gl2_discard);
  actions.l2_write_back = bit(N::gl2_wb);
  // Base and limit count 128 bytes; a limit of zero means no range.
  const Va base =
      Va{field<sdma::GcrReq>(view, N::base_lo)} | Va{field<sdma::GcrReq>(view, N::base_hi)} << 25;
  const Va limit =
      Va{field<sdma::GcrReq>(view, N::limit_lo)} | Va{field<sdma::GcrReq>(view, N::limit_hi)} << 25;
  if (limit != 0) {
    actions.begin = base << 7;
    actions.end = (limit + 1) << 7;
  }
  if (actions.icache) isa::invalidate_code(*queue_->config.space);
  if (context_.caches != nullptr) context_.caches->perform(0, actions);
  return Result::Done;
}

}  // namespace kiln::vgpu

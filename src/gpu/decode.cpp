// Owns: the tables of packets and registers per dialect, the decoder, the walker and the printer.
// Does not own: the descriptions themselves (pm4.hpp, sdma.hpp, registers.hpp).
// Threading: functions of their arguments over constant tables.
#include "gpu/decode.hpp"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>

#include "gpu/aql.hpp"
#include "gpu/pm4.hpp"
#include "gpu/registers.hpp"
#include "gpu/sdma.hpp"

namespace kiln::gpu {
namespace {

constexpr const PacketInfo* kPm4Gfx9[] = {
    &pm4::Nop::kInfo,
    &pm4::DispatchDirect::kInfo,
    &pm4::DispatchIndirect::kInfo,
    &pm4::AtomicMem::kInfo,
    &pm4::CondExec::kInfo,
    &pm4::PredExec::kInfo,
    &pm4::WriteData::kInfo,
    &pm4::WaitRegMem::kInfo,
    &pm4::WaitRegMem64::kInfo,
    &pm4::IndirectBuffer::kInfo,
    &pm4::CopyData::kInfo,
    &pm4::EventWrite::kInfo,
    &pm4::ReleaseMemGfx9::kInfo,
    &pm4::DmaData::kInfo,
    &pm4::AcquireMemGfx9::kInfo,
    &pm4::SetShReg::kInfo,
    &pm4::SetUconfigReg::kInfo,
};
// PRED_EXEC selects XCCs, which only gfx9.4.3 and up have several of.
constexpr const PacketInfo* kPm4Gfx11[] = {
    &pm4::Nop::kInfo,           &pm4::DispatchDirect::kInfo,  &pm4::DispatchIndirect::kInfo,
    &pm4::AtomicMem::kInfo,     &pm4::CondExec::kInfo,        &pm4::WriteData::kInfo,
    &pm4::WaitRegMem::kInfo,    &pm4::WaitRegMem64::kInfo,    &pm4::IndirectBuffer::kInfo,
    &pm4::CopyData::kInfo,      &pm4::EventWrite::kInfo,      &pm4::ReleaseMemGfx11::kInfo,
    &pm4::DmaData::kInfo,       &pm4::AcquireMemGfx10::kInfo, &pm4::SetShReg::kInfo,
    &pm4::SetUconfigReg::kInfo,
};
constexpr const PacketInfo* kSdma4[] = {
    &sdma::Nop::kInfo,          &sdma::CopyLinear4::kInfo,      &sdma::CopyRect4::kInfo,
    &sdma::WriteLinear4::kInfo, &sdma::Indirect::kInfo,         &sdma::Fence4::kInfo,
    &sdma::Trap::kInfo,         &sdma::PollRegmem4::kInfo,      &sdma::Atomic4::kInfo,
    &sdma::ConstFill4::kInfo,   &sdma::TimestampGlobal4::kInfo,
};
constexpr const PacketInfo* kSdma6[] = {
    &sdma::Nop::kInfo,          &sdma::CopyLinear6::kInfo,      &sdma::CopyRect6::kInfo,
    &sdma::WriteLinear6::kInfo, &sdma::Indirect::kInfo,         &sdma::Fence6::kInfo,
    &sdma::Trap::kInfo,         &sdma::PollRegmem6::kInfo,      &sdma::Atomic6::kInfo,
    &sdma::ConstFill6::kInfo,   &sdma::TimestampGlobal6::kInfo, &sdma::GcrReq::kInfo,
};

constexpr const PacketInfo* kAql[] = {
    &aql::KernelDispatch::kInfo, &aql::BarrierAnd::kInfo,   &aql::BarrierOr::kInfo,
    &aql::Pm4Ib::kInfo,          &aql::BarrierValue::kInfo, &aql::Invalid::kInfo,
};

#define KILN_COMMON_REGISTERS                                                                    \
  &reg::DispatchInitiator::kInfo, &reg::StartX::kInfo, &reg::StartY::kInfo, &reg::StartZ::kInfo, \
      &reg::NumThreadX::kInfo, &reg::NumThreadY::kInfo, &reg::NumThreadZ::kInfo,                 \
      &reg::PipelinestatEnable::kInfo, &reg::PerfcountEnable::kInfo, &reg::PgmLo::kInfo,         \
      &reg::PgmHi::kInfo, &reg::DispatchPktAddrLo::kInfo, &reg::DispatchPktAddrHi::kInfo,        \
      &reg::DispatchScratchBaseLo::kInfo, &reg::DispatchScratchBaseHi::kInfo,                    \
      &reg::PgmRsrc1::kInfo, &reg::PgmRsrc2::kInfo, &reg::ResourceLimits::kInfo,                 \
      &reg::RestartX::kInfo, &reg::RestartY::kInfo, &reg::RestartZ::kInfo,                       \
      &reg::ThreadTraceEnable::kInfo, &reg::UserData0::kInfo
constexpr const RegisterInfo* kRegistersGfx9[] = {
    KILN_COMMON_REGISTERS, &reg::TmpringSizeGfx9::kInfo, &reg::PgmRsrc3Gfx9::kInfo};
constexpr const RegisterInfo* kRegistersGfx11[] = {
    KILN_COMMON_REGISTERS, &reg::TmpringSizeGfx11::kInfo, &reg::PgmRsrc3Gfx11::kInfo};
#undef KILN_COMMON_REGISTERS

bool is_pm4(Dialect dialect) {
  return dialect == Dialect::Pm4Gfx9 || dialect == Dialect::Pm4Gfx11;
}

const PacketInfo* find_packet(Dialect dialect, std::uint32_t opcode, std::uint32_t sub_opcode) {
  for (const PacketInfo* info : packets(dialect))
    if (info->opcode == opcode && info->sub_opcode == sub_opcode) return info;
  return nullptr;
}

struct Size {
  std::uint32_t dwords;
  bool good;
};

Size pm4_size(const PacketInfo& info, std::uint32_t header) {
  const std::uint32_t count = header >> 16 & 0x3FFF;
  if (info.opcode == pm4::Nop::kInfo.opcode) return {count == 0x3FFF ? 1 : count + 2, true};
  const std::uint32_t total = count + 2;
  switch (info.length) {
    case Length::Pm4Tail:
      return {total, total > info.dwords && count != 0x3FFF};
    case Length::Pm4Event:
      return {total, total == info.dwords || total == 4};
    default:
      return {total, total == info.dwords};
  }
}

/// Needs the described dwords to be there.
std::uint32_t sdma_size(const PacketInfo& info, const std::uint32_t* dwords) {
  switch (info.length) {
    // Both generations keep `count` at the same place.
    case Length::SdmaData:
      return info.dwords + 1 +
             static_cast<std::uint32_t>(get_field(
                 dwords, sdma::WriteLinear4::kFields[static_cast<int>(sdma::WriteLinear4::count)]));
    case Length::SdmaNop:
      return info.dwords + (dwords[0] >> 16 & 0x3FFF);
    case Length::SdmaCopy:
      return info.dwords + ((dwords[0] >> 27 & 1) != 0 ? 2 : 0);
    default:
      return info.dwords;
  }
}

Decoded failure(Problem problem, const std::uint32_t* dwords, Va address) {
  Decoded decoded;
  decoded.problem = problem;
  decoded.view.dwords = dwords;
  decoded.view.address = address;
  if (dwords != nullptr && problem != Problem::Truncated) decoded.bad_bits = dwords[0];
  return decoded;
}

}  // namespace

Dialect pm4_dialect(const Target& target) {
  return target.cache.flavour == CacheFlavour::CpCoherCntl ? Dialect::Pm4Gfx9 : Dialect::Pm4Gfx11;
}
Dialect sdma_dialect(const Target& target) {
  return target.sdma.major < 5 ? Dialect::Sdma4 : Dialect::Sdma6;
}

std::span<const PacketInfo* const> packets(Dialect dialect) {
  switch (dialect) {
    case Dialect::Pm4Gfx9:
      return kPm4Gfx9;
    case Dialect::Pm4Gfx11:
      return kPm4Gfx11;
    case Dialect::Sdma4:
      return kSdma4;
    case Dialect::Sdma6:
      return kSdma6;
    case Dialect::Aql:
      return kAql;
  }
  return {};
}

std::span<const RegisterInfo* const> registers(Dialect dialect) {
  if (dialect == Dialect::Pm4Gfx9) return kRegistersGfx9;
  if (dialect == Dialect::Pm4Gfx11) return kRegistersGfx11;
  return {};
}

const RegisterInfo* find_register(Dialect dialect, std::uint32_t offset) {
  constexpr std::uint32_t kUser = reg::UserData0::kOffset;
  if (offset > kUser && offset < kUser + reg::kUserDataCount) offset = kUser;
  for (const RegisterInfo* info : registers(dialect))
    if (info->offset == offset) return info;
  return nullptr;
}

const char* to_string(Problem problem) {
  switch (problem) {
    case Problem::None:
      return "none";
    case Problem::Truncated:
      return "the packet goes on after the end of the stream";
    case Problem::BadType:
      return "not a type 3 header";
    case Problem::UnknownOpcode:
      return "unknown opcode";
    case Problem::BadLength:
      return "the count does not fit the opcode";
    case Problem::ReservedBits:
      return "reserved bits are set";
    case Problem::BadAddress:
      return "no memory at the indirect buffer's address";
    case Problem::NestedTooDeep:
      return "an indirect buffer inside an indirect buffer";
  }
  return "?";
}

Decoded decode_one(Dialect dialect, const std::uint32_t* dwords, std::size_t available,
                   Va address) {
  if (available == 0) return failure(Problem::Truncated, dwords, address);
  const std::uint32_t header = dwords[0];
  const PacketInfo* info = nullptr;
  std::uint32_t count = 0;
  if (is_pm4(dialect)) {
    if (header >> 30 != 3) return failure(Problem::BadType, dwords, address);
    info = find_packet(dialect, header >> 8 & 0xFF, 0);
    if (info == nullptr) return failure(Problem::UnknownOpcode, dwords, address);
    const Size size = pm4_size(*info, header);
    if (!size.good) {
      Decoded decoded = failure(Problem::BadLength, dwords, address);
      decoded.view.info = info;
      return decoded;
    }
    count = size.dwords;
  } else if (dialect == Dialect::Aql) {
    // Vendor packets (type 0) tell their format in the byte after the header.
    const std::uint32_t type = header & 0xFF;
    info = find_packet(dialect, type, type == 0 ? header >> 16 & 0xFF : 0);
    if (info == nullptr) return failure(Problem::UnknownOpcode, dwords, address);
    count = info->dwords;
  } else {
    info = find_packet(dialect, header & 0xFF, header >> 8 & 0xFF);
    if (info == nullptr) return failure(Problem::UnknownOpcode, dwords, address);
    count = available < info->dwords ? info->dwords : sdma_size(*info, dwords);
  }
  Decoded decoded;
  decoded.view = {info, dwords, count, address, 0};
  if (available < count) {
    decoded.problem = Problem::Truncated;
    return decoded;
  }
  if (info == &aql::Invalid::kInfo) return decoded;
  for (std::uint32_t i = 0; i < info->dwords; ++i) {
    const std::uint32_t bad = dwords[i] & info->reserved_bits(i);
    if (bad == 0) continue;
    decoded.problem = Problem::ReservedBits;
    decoded.bad_dword = i;
    decoded.bad_bits = bad;
    break;
  }
  return decoded;
}

namespace {

bool walk_at_depth(Dialect dialect, std::span<const std::uint32_t> stream, Va address,
                   const WalkOptions& options, StreamVisitor& visitor, std::uint32_t depth) {
  std::size_t offset = 0;
  while (offset < stream.size()) {
    const Va at = address + 4 * offset;
    Decoded decoded = decode_one(dialect, stream.data() + offset, stream.size() - offset, at);
    decoded.view.depth = depth;
    if (decoded.problem != Problem::None) {
      if (!visitor.problem(decoded)) return false;
      // Only reserved bits leave the packet's length known.
      if (decoded.problem != Problem::ReservedBits) return false;
    }
    if (!visitor.packet(decoded.view)) return false;
    offset += decoded.view.count;

    const PacketView& view = decoded.view;
    Va target = 0;
    std::uint32_t size = 0;
    if (view.is<pm4::IndirectBuffer>()) {
      target = view.get(pm4::IndirectBuffer::address);
      size = static_cast<std::uint32_t>(view.get(pm4::IndirectBuffer::size));
    } else if (view.is<sdma::Indirect>()) {
      target = view.get(sdma::Indirect::address);
      size = static_cast<std::uint32_t>(view.get(sdma::Indirect::size));
    } else {
      continue;
    }
    if (!options.follow_indirect) continue;
    Problem problem = Problem::None;
    std::span<const std::uint32_t> inner;
    if (depth >= options.max_depth) {
      problem = Problem::NestedTooDeep;
    } else {
      inner = visitor.fetch(target, size);
      if (inner.size() < size) problem = Problem::BadAddress;
    }
    if (problem != Problem::None) {
      decoded.problem = problem;
      if (!visitor.problem(decoded)) return false;
      continue;
    }
    if (!walk_at_depth(dialect, inner.first(size), target, options, visitor, depth + 1))
      return false;
  }
  return true;
}

/// snprintf into what is left, counting what would have been written.
struct Text {
  std::span<char> room;
  std::size_t length = 0;

  [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) {
    va_list args;
    va_start(args, format);
    const std::size_t left = length < room.size() ? room.size() - length : 0;
    const int wrote =
        std::vsnprintf(left != 0 ? room.data() + length : nullptr, left, format, args);
    va_end(args);
    if (wrote > 0) length += static_cast<std::size_t>(wrote);
  }
};

void print_registers(Dialect dialect, const PacketView& view, std::uint32_t base, Text& text) {
  std::uint32_t offset = base + static_cast<std::uint32_t>(view.get(pm4::SetShReg::reg_offset));
  for (const std::uint32_t value : view.tail()) {
    const RegisterInfo* info = find_register(dialect, offset);
    if (info == nullptr)
      text.add(" 0x%04" PRIx32 "=0x%" PRIx32, offset, value);
    else if (info->offset == reg::UserData0::kOffset)
      text.add(" COMPUTE_USER_DATA_%" PRIu32 "=0x%" PRIx32, offset - info->offset, value);
    else
      text.add(" %s=0x%" PRIx32, info->name, value);
    ++offset;
  }
}

}  // namespace

bool walk(Dialect dialect, std::span<const std::uint32_t> stream, Va address,
          const WalkOptions& options, StreamVisitor& visitor) {
  return walk_at_depth(dialect, stream, address, options, visitor, 0);
}

std::size_t print(Dialect dialect, const PacketView& view, std::span<char> room) {
  constexpr std::size_t kMaxTail = 8;
  Text text{room};
  if (!room.empty()) room[0] = '\0';
  if (view.info == nullptr) {
    text.add("unknown 0x%08" PRIx32, view.dwords != nullptr ? view.dwords[0] : 0);
    return text.length;
  }
  text.add("%s", view.info->name);
  if (view.is<pm4::SetShReg>() || view.is<pm4::SetUconfigReg>()) {
    print_registers(dialect, view,
                    view.is<pm4::SetShReg>() ? pm4::kShRegBase : pm4::kUconfigRegBase, text);
    return text.length;
  }
  for (const Field& field : view.info->fields) {
    const std::uint64_t value = get_field(view.dwords, field);
    if (value != 0) text.add(value < 10 ? " %s=%" PRIu64 : " %s=0x%" PRIx64, field.name, value);
  }
  if (view.is<pm4::Nop>() || view.is<sdma::Nop>()) {
    if (view.count > 1) text.add(" skips=%" PRIu32, view.count - 1);
    return text.length;
  }
  const auto tail = view.tail();
  for (std::size_t i = 0; i < tail.size() && i < kMaxTail; ++i)
    text.add(i == 0 ? " data=0x%" PRIx32 : ",0x%" PRIx32, tail[i]);
  if (tail.size() > kMaxTail) text.add(",... (%zu dwords)", tail.size());
  return text.length;
}

std::string describe(Dialect dialect, const PacketView& view) {
  std::string text(print(dialect, view, {}), '\0');
  print(dialect, view, {text.data(), text.size() + 1});
  return text;
}

}  // namespace kiln::gpu

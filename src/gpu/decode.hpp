// Owns: reading PM4, SDMA and AQL: one packet at a time, or walking a stream through its indirect
//   buffers; unknown opcodes, reserved bits and truncation are reported, never skipped.
//   Printing a packet in one line.
// Does not own: executing packets (vgpu).
// Threading: functions of their arguments.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "gpu/field.hpp"
#include "gpu/target.hpp"

namespace kiln::gpu {

enum class Dialect : std::uint8_t { Pm4Gfx9, Pm4Gfx11, Sdma4, Sdma6, Aql };

Dialect pm4_dialect(const Target& target);
Dialect sdma_dialect(const Target& target);

/// Every packet of a dialect, and every register that a stream may set.
std::span<const PacketInfo* const> packets(Dialect dialect);
std::span<const RegisterInfo* const> registers(Dialect dialect);
const RegisterInfo* find_register(Dialect dialect, std::uint32_t offset);

enum class Problem : std::uint8_t {
  None,
  Truncated,  ///< the packet goes on after the end of what is there
  BadType,    ///< a PM4 header that is not type 3
  UnknownOpcode,
  BadLength,      ///< the header's count does not fit the opcode
  ReservedBits,   ///< a bit is set that no field covers
  BadAddress,     ///< fetch found no memory for an indirect buffer
  NestedTooDeep,  ///< an indirect buffer inside an indirect buffer
};
const char* to_string(Problem problem);

/// One packet in memory. Valid as long as the memory is.
struct PacketView {
  const PacketInfo* info = nullptr;
  const std::uint32_t* dwords = nullptr;
  std::uint32_t count = 0;  ///< dwords, header and tail included
  Va address = 0;           ///< of the header, if known
  std::uint32_t depth = 0;  ///< 0 in the outer stream, 1 in an indirect buffer

  template <class P>
  bool is() const {
    return info == &P::kInfo;
  }
  /// `view.get(pm4::WaitRegMem::address)`.
  template <class Name>
    requires std::is_enum_v<Name>
  std::uint64_t get(Name name) const {
    return get_field(dwords, info->fields[static_cast<std::size_t>(name)]);
  }
  /// Dwords after the described ones.
  std::span<const std::uint32_t> tail() const {
    return {dwords + info->dwords, count - info->dwords};
  }
};

struct Decoded {
  Problem problem = Problem::None;
  PacketView view;              ///< info is null where the opcode is unknown
  std::uint32_t bad_dword = 0;  ///< ReservedBits: index in the packet
  std::uint32_t bad_bits = 0;   ///< ReservedBits: which; else the header
};

/// Decodes the packet at `dwords`, of which `available` exist. After ReservedBits the view is
/// complete, so a lenient reader may go on.
Decoded decode_one(Dialect dialect, const std::uint32_t* dwords, std::size_t available,
                   Va address = 0);

/// What a walk calls. Returning false from any of them ends the walk.
class StreamVisitor {
 public:
  virtual ~StreamVisitor() = default;
  virtual bool packet(const PacketView& view) = 0;
  virtual bool problem(const Decoded& decoded) = 0;
  /// Memory of an indirect buffer; empty if there is none.
  virtual std::span<const std::uint32_t> fetch(Va address, std::uint32_t dwords) = 0;
};

struct WalkOptions {
  bool follow_indirect = true;
  std::uint32_t max_depth = 1;  ///< compute queues nest no indirect buffers
};

/// Visits every packet of `stream`. False if a visitor ended it or a problem made going on
/// impossible.
bool walk(Dialect dialect, std::span<const std::uint32_t> stream, Va address,
          const WalkOptions& options, StreamVisitor& visitor);

/// "WAIT_REG_MEM64 function=5 mem_space=1 ..." into `text`, cut to fit; returns the length that
/// the whole needs. Fields that are zero are left out.
std::size_t print(Dialect dialect, const PacketView& view, std::span<char> text);
std::string describe(Dialect dialect, const PacketView& view);

}  // namespace kiln::gpu

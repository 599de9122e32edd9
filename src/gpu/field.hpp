// Owns: the machine that describes packets and registers once: from one list of fields come the
//   encoder, the decoder, the printer and the check for reserved bits.
// Does not own: any packet or register (pm4.hpp, sdma.hpp, aql.hpp, registers.hpp).
// Threading: values only.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace kiln::gpu {

using Va = std::uint64_t;

/// A run of bits in a packet or register. `width` up to 32 lies in one dword; above 32 it starts at
/// bit 0 of `dword` and goes on in the next. The low `zero_bits` of the field must be zero: a byte
/// address keeps its natural value, and its alignment is part of the description.
struct Field {
  const char* name = nullptr;
  std::uint8_t dword = 0, lsb = 0, width = 0, zero_bits = 0;

  constexpr std::uint64_t max() const {
    return width >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1;
  }
  /// Whether `value` can be stored without loss.
  constexpr bool fits(std::uint64_t value) const {
    return value <= max() && (value & ((std::uint64_t{1} << zero_bits) - 1)) == 0;
  }
  /// Bits of dword `index` in which this field may hold ones.
  constexpr std::uint32_t bits_in(std::uint32_t index) const {
    const std::uint64_t settable = max() & ~((std::uint64_t{1} << zero_bits) - 1);
    if (index == dword) return static_cast<std::uint32_t>(settable << lsb);
    if (width > 32 && index == dword + 1u) return static_cast<std::uint32_t>(settable >> 32);
    return 0;
  }
};

constexpr void set_field(std::uint32_t* dwords, const Field& field, std::uint64_t value) {
  assert(field.fits(value));
  value &= field.max();
  if (field.width <= 32) {
    const auto mask = static_cast<std::uint32_t>(field.max() << field.lsb);
    dwords[field.dword] =
        (dwords[field.dword] & ~mask) | (static_cast<std::uint32_t>(value << field.lsb) & mask);
  } else {
    const auto mask = static_cast<std::uint32_t>(field.max() >> 32);
    dwords[field.dword] = static_cast<std::uint32_t>(value);
    dwords[field.dword + 1] =
        (dwords[field.dword + 1] & ~mask) | static_cast<std::uint32_t>(value >> 32);
  }
}

constexpr std::uint64_t get_field(const std::uint32_t* dwords, const Field& field) {
  if (field.width <= 32) return (dwords[field.dword] >> field.lsb) & field.max();
  return (dwords[field.dword] | (std::uint64_t{dwords[field.dword + 1]} << 32)) & field.max();
}

/// How many dwords a packet has.
enum class Length : std::uint8_t {
  Fixed,     ///< exactly `dwords` (PM4: the header's count must agree)
  Pm4Tail,   ///< `dwords` or more, by the header's count: data follows
  Pm4Event,  ///< `dwords`, or 4 with an address
  SdmaData,  ///< WRITE_LINEAR: `dwords` plus count + 1
  SdmaNop,   ///< `dwords` plus the header's count
  SdmaCopy,  ///< COPY_LINEAR: two more dwords when broadcasting
};

enum class Family : std::uint8_t { Pm4, Sdma, Aql };

/// Bits of dword 0 that belong to the header, not to the list of fields. PM4: type, count, opcode,
/// shader type, predicate (PM4_MEC_TYPE_3_HEADER). SDMA: op, sub_op. AQL: packet type.
constexpr std::uint32_t header_bits(Family family) {
  switch (family) {
    case Family::Pm4:
      return 0xFFFF'FF03u;
    case Family::Sdma:
      return 0x0000'FFFFu;
    case Family::Aql:
      return 0x0000'00FFu;
  }
  return 0;
}

struct PacketInfo {
  const char* name;
  Family family;
  std::uint8_t opcode;
  std::uint8_t sub_opcode;  ///< SDMA; AQL: format of a vendor packet
  std::uint8_t dwords;      ///< with the header; the least for variable ones
  Length length;
  std::span<const Field> fields;

  /// Bits of dword `index` that no field covers.
  constexpr std::uint32_t reserved_bits(std::uint32_t index) const {
    if (index >= dwords) return 0;
    std::uint32_t used = index == 0 ? header_bits(family) : 0;
    for (const Field& field : fields) used |= field.bits_in(index);
    return ~used;
  }
};

struct RegisterInfo {
  const char* name;
  std::uint32_t offset;  ///< absolute dword offset
  std::span<const Field> fields;
  bool fully_described = true;  ///< bits outside `fields` are reserved

  constexpr std::uint32_t reserved_bits() const {
    if (!fully_described) return 0;
    std::uint32_t used = 0;
    for (const Field& field : fields) used |= field.bits_in(0);
    return ~used;
  }
};

constexpr std::uint32_t pm4_header(std::uint8_t opcode, std::uint32_t total_dwords) {
  return 3u << 30 | ((total_dwords - 2) & 0x3FFF) << 16 | std::uint32_t{opcode} << 8;
}

/// One packet being built: a plain array of dwords, header first.
template <class P>
struct Packet {
  std::array<std::uint32_t, P::kInfo.dwords> dwords{};

  constexpr Packet() {
    dwords[0] = P::kInfo.family == Family::Pm4
                    ? pm4_header(P::kInfo.opcode, P::kInfo.dwords)
                    : std::uint32_t{P::kInfo.opcode} | std::uint32_t{P::kInfo.sub_opcode} << 8;
  }
  template <typename P::Name F>
  constexpr Packet& set(std::uint64_t value) {
    set_field(dwords.data(), P::kFields[static_cast<std::size_t>(F)], value);
    return *this;
  }
  template <typename P::Name F>
  constexpr std::uint64_t get() const {
    return get_field(dwords.data(), P::kFields[static_cast<std::size_t>(F)]);
  }
  /// For packets with a tail: counts `extra` dwords that follow (PM4).
  constexpr Packet& tail(std::uint32_t extra) {
    static_assert(P::kInfo.family == Family::Pm4);
    dwords[0] = pm4_header(P::kInfo.opcode, P::kInfo.dwords + extra);
    return *this;
  }
};

/// The value of one register being built or read.
template <class R>
struct RegisterValue {
  std::uint32_t value = 0;
  template <typename R::Name F>
  constexpr RegisterValue& set(std::uint64_t field_value) {
    set_field(&value, R::kFields[static_cast<std::size_t>(F)], field_value);
    return *this;
  }
  template <typename R::Name F>
  constexpr std::uint32_t get() const {
    return static_cast<std::uint32_t>(get_field(&value, R::kFields[static_cast<std::size_t>(F)]));
  }
};

/// No two fields may share a bit, none may leave the packet.
constexpr bool is_consistent(const PacketInfo& info) {
  for (std::uint32_t index = 0; index < info.dwords; ++index) {
    std::uint32_t used = index == 0 ? header_bits(info.family) : 0;
    for (const Field& field : info.fields) {
      const std::uint32_t bits = field.bits_in(index);
      if ((used & bits) != 0) return false;
      used |= bits;
    }
  }
  for (const Field& field : info.fields) {
    if (field.width == 0 || field.width > 64 || (field.width <= 32 && field.lsb + field.width > 32))
      return false;
    if (field.width > 32 && field.lsb != 0) return false;
    if (field.dword + (field.width > 32 ? 1 : 0) >= info.dwords) return false;
  }
  return true;
}

}  // namespace kiln::gpu

// A list of fields is a macro `#define LIST(X) X(name, dword, lsb, width, zero_bits) ...`; one list
// gives the enumerators that code uses and the table that the decoder and the printer walk.
#define KILN_FIELD_ENUM(name, dword, lsb, width, zero_bits) name,
#define KILN_FIELD_ROW(name, dword, lsb, width, zero_bits) \
  ::kiln::gpu::Field{#name, dword, lsb, width, zero_bits},

#define KILN_PACKET(Type, text, family, opcode, sub_opcode, dwords, length, LIST) \
  struct Type {                                                                   \
    enum class Name : std::uint8_t { LIST(KILN_FIELD_ENUM) };                     \
    using enum Name;                                                              \
    static constexpr ::kiln::gpu::Field kFields[] = {LIST(KILN_FIELD_ROW)};       \
    static constexpr ::kiln::gpu::PacketInfo kInfo{                               \
        text,   ::kiln::gpu::Family::family, opcode, sub_opcode,                  \
        dwords, ::kiln::gpu::Length::length, kFields};                            \
    static_assert(::kiln::gpu::is_consistent(kInfo));                             \
  }

#define KILN_REGISTER(Type, text, offset, LIST)                              \
  struct Type {                                                              \
    enum class Name : std::uint8_t { LIST(KILN_FIELD_ENUM) };                \
    using enum Name;                                                         \
    static constexpr std::uint32_t kOffset = offset;                         \
    static constexpr ::kiln::gpu::Field kFields[] = {LIST(KILN_FIELD_ROW)};  \
    static constexpr ::kiln::gpu::RegisterInfo kInfo{text, offset, kFields}; \
  }

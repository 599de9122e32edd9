// Owns: operand codes: which field values name what, and which tuples of registers exist.
// Does not own: the formats (decode*.cpp).
// Threading: a Reader belongs to one call.
//
// Sources: AMD CDNA3, RDNA2 and RDNA3 ISA, "Scalar/Vector source operands"; LLVM's disassembler for
// what it does with tuples that are not aligned: the low bits of the first register are dropped.
#include "vgpu/isa/decode_fields.hpp"

namespace kiln::vgpu::isa {
namespace {

constexpr std::uint32_t kFirstTtmp = 108, kLastTtmp = 123;

}  // namespace

bool Reader::opcode(Format format, std::uint32_t number, Instruction& out) {
  out.format = format;
  out.opcode = find_opcode(arch_, format, number);
  return out.opcode != nullptr;
}

bool Reader::sgprs(unsigned dwords, std::uint32_t field, std::uint16_t* code) {
  const std::uint32_t last_sgpr = gfx9() ? 101 : 105;
  const std::uint32_t alignment = dwords == 1 ? 1 : dwords == 2 ? 2 : 4;
  const std::uint32_t first = field & ~(alignment - 1);
  const auto give = [&](std::uint32_t value) {
    *code = static_cast<std::uint16_t>(value);
    return true;
  };
  if (field <= last_sgpr) {
    // gfx9's FLAT_SCRATCH (102, 103) may end a tuple of four or more.
    const std::uint32_t end = gfx9() && dwords > 2 ? 104 : last_sgpr + 1;
    return first + dwords <= end && give(first);
  }
  if (field >= kFirstTtmp && field <= kLastTtmp)
    return first >= kFirstTtmp && first + dwords - 1 <= kLastTtmp && give(first);
  // 124 and 125 are M0 and nothing on gfx9, M0 and null on gfx10, null and M0 on gfx11.
  if ((gfx11() && field == 124) || (gfx10() && field == 125)) return give(kNull);
  if (dwords == 1) {
    if (field == 124) return give(kM0);
    if (field == 125) return gfx11() && give(kM0);
    return field < 128 && give(field);
  }
  if (dwords != 2 || field % 2 != 0) return false;
  const bool pair =
      (gfx9() && (field == 102 || field == 104)) || field == kVccLo || field == kExecLo;
  return pair && give(field);
}

bool Reader::constant(std::uint32_t field) const {
  if (field >= kInt0 && field <= 208) return true;
  if (field >= kSharedBase && field <= kInv2Pi) return true;
  return field >= kVccz && field <= kScc;
}

bool Reader::scalar_source(const OperandShape& shape, std::uint32_t field, std::uint16_t* code) {
  if (!shape.present()) return true;
  if (field < 128) return sgprs(shape.dwords, field, code);
  if (shape.kind == OperandKind::Sgpr) return false;
  if (field == kLiteral) {
    if (shape.kind != OperandKind::Scalar) return false;
    *code = literal();
    return true;
  }
  *code = static_cast<std::uint16_t>(field);
  return constant(field);
}

bool Reader::scalar_destination(const OperandShape& shape, std::uint32_t field,
                                std::uint16_t* code) {
  if (!shape.present()) return true;
  return field < 128 && sgprs(shape.dwords, field, code);
}

bool Reader::mask(std::uint32_t field, std::uint16_t* code) {
  // The wave's width is not known here: masks of RDNA are read as single registers.
  return field < 128 && sgprs(gfx9() ? 2 : 1, field, code);
}

bool Reader::vgpr(unsigned dwords, std::uint32_t field, std::uint16_t* code, bool agpr) {
  if (field + dwords > 256) return false;
  // CDNA since gfx90a: tuples begin at an even register.
  if (gfx9() && dwords > 1 && field % 2 != 0) return false;
  *code = static_cast<std::uint16_t>((agpr ? kAgpr0 : kVgpr0) + field);
  return true;
}

bool Reader::vector_source(const OperandShape& shape, std::uint32_t field, std::uint16_t* code,
                           bool allow_literal) {
  if (!shape.present()) return true;
  if (field >= kVgpr0) return vgpr(shape.dwords, field - kVgpr0, code);
  if (shape.kind == OperandKind::Vgpr) return false;
  if (field < 128) return sgprs(shape.dwords, field, code);
  if (field == kLiteral) {
    if (!allow_literal) return false;
    *code = literal();
    return true;
  }
  *code = static_cast<std::uint16_t>(field);
  return constant(field);
}

bool known_dpp_control(Arch arch, const Shape& shape, std::uint32_t control) {
  const bool gfx9 = is_cdna(arch);
  const std::uint32_t group = control >> 4, low = control & 15;
  if (gfx9) {
    // 64-bit operations can only broadcast within a row (AMD CDNA3 ISA, "DPP").
    bool wide = shape.dst.dwords > 1 && shape.dst.kind == OperandKind::Vgpr;
    for (const OperandShape& source : shape.src) wide = wide || source.dwords > 1;
    if (wide) return group == 0x15;
  }
  if (control < 0x100) return true;                       // quad_perm
  if (group >= 0x10 && group <= 0x12) return low != 0;    // row_shl, row_shr, row_ror
  if (control == 0x140 || control == 0x141) return true;  // row_mirror, row_half_mirror
  if (group == 0x15) return true;                         // row_newbcast, row_share
  if (!gfx9) return group == 0x16;                        // row_xmask
  return control == 0x130 || control == 0x134 || control == 0x138 || control == 0x13c ||
         control == 0x142 || control == 0x143;  // wave_shl, rol, shr, ror, row_bcast
}

DecodeStatus Reader::finish(Instruction& out) {
  if (wants_literal_) out.literal = bits(static_cast<unsigned>(length_ * 32), 32);
  out.dwords = static_cast<std::uint8_t>(length_);
  return length_ <= available_ ? DecodeStatus::Ok : DecodeStatus::Truncated;
}

}  // namespace kiln::vgpu::isa

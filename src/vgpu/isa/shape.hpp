// Owns: the shape of an opcode: which operands it has, how wide they are, which modifiers it takes;
//   and the short text in which the tables write it.
// Does not own: the tables (tables_*), the operands of one instruction (instruction.hpp).
// Threading: values only.
//
// The text is "destinations=sources flags". An operand is a letter for what may stand there and a
// width in dwords (1 if left out; h: one half of a register, named .l and .h on GFX11):
//   s  SGPR                             v  VGPR
//   c  SGPR, constant or literal        a  accumulation VGPR
//   k  SGPR or constant, no literal     w  VGPR, or accumulation VGPR if the acc bit says so
//   l  lane select: as k                W  the same, or an inline constant
//   m  lane mask in SGPRs               x  VGPR, SGPR, constant or literal
//   I  a plain number                   f  the same with neg and abs
//   K  the 32-bit literal that follows  i  the same; the neg and abs bits may be set but do nothing
// "v2=f2,f2 co" is a 64-bit result of two 64-bit float sources with clamp and omod.
#pragma once

#include <cstdint>
#include <string_view>

namespace kiln::vgpu::isa {

enum class OperandKind : std::uint8_t {
  None,
  Sgpr,             ///< s
  Scalar,           ///< c
  ScalarNoLiteral,  ///< k
  LaneSelect,       ///< l
  Mask,             ///< m: one or two SGPRs, as the wave is wide
  Number,           ///< I
  Literal,          ///< K
  Vgpr,             ///< v
  Agpr,             ///< a
  Data,             ///< w
  DataOrConstant,   ///< W
  Vector,           ///< x
  VectorFloat,      ///< f
  VectorIgnored,    ///< i
};

struct OperandShape {
  OperandKind kind = OperandKind::None;
  std::uint8_t dwords = 0;
  bool half = false;

  constexpr bool present() const { return kind != OperandKind::None; }
  /// A source field of a VALU instruction that may name VGPRs, SGPRs and constants.
  constexpr bool vector() const {
    return kind == OperandKind::Vector || kind == OperandKind::VectorFloat ||
           kind == OperandKind::VectorIgnored;
  }
};

/// Flags of a shape; each is the letter in the text.
enum ShapeFlag : std::uint32_t {
  kShapeClamp = 1 << 0,         ///< c
  kShapeOmod = 1 << 1,          ///< o
  kShapeOpSel = 1 << 2,         ///< s
  kShapeDpp16 = 1 << 3,         ///< d
  kShapeDpp8 = 1 << 4,          ///< 8
  kShapeSdwa = 1 << 5,          ///< w
  kShapeTwoOffsets = 1 << 6,    ///< 2: DS with two 8-bit offsets
  kShapeGdsOnly = 1 << 7,       ///< g
  kShapeReturns = 1 << 8,       ///< r: an atomic, which returns if its glc or sc0 bit is set
  kShapeLds = 1 << 9,           ///< l: MUBUF load that may go to LDS
  kShapeBranch = 1 << 10,       ///< b: simm16 counts dwords from the next instruction
  kShapeImmediate = 1 << 11,    ///< i: SOPP that uses simm16
  kShapeNoImmediate = 1 << 12,  ///< n: SOPP that does not
  kShapeByteSelect = 1 << 13,   ///< y: op_sel bits 2 and 3 choose the byte of the destination
  kShapeLdsOnly = 1 << 14,      ///< z: DS that has no GDS form
  kShapeWholeDst = 1 << 15,     ///< q: SDWA has no destination selector
  kShapeSdwaNoOmod = 1 << 16,   ///< p: omod only in VOP3, not in SDWA
};

struct Shape {
  OperandShape dst, dst2, src[3];
  std::uint32_t flags = 0;

  constexpr bool has(ShapeFlag flag) const { return (flags & flag) != 0; }
  constexpr unsigned sources() const {
    unsigned count = 0;
    while (count < 3 && src[count].present()) ++count;
    return count;
  }
};

/// Reads the text above; a mistake in a table does not compile.
consteval Shape shape(std::string_view text) {
  constexpr std::string_view kKinds = "sckmlIKvawWxfi";
  constexpr OperandKind kKindOf[] = {
      OperandKind::Sgpr,        OperandKind::Scalar,         OperandKind::ScalarNoLiteral,
      OperandKind::Mask,        OperandKind::LaneSelect,     OperandKind::Number,
      OperandKind::Literal,     OperandKind::Vgpr,           OperandKind::Agpr,
      OperandKind::Data,        OperandKind::DataOrConstant, OperandKind::Vector,
      OperandKind::VectorFloat, OperandKind::VectorIgnored};
  constexpr std::string_view kFlags = "cosd8w2grlbinyzqp";
  Shape result;
  std::size_t at = 0;
  bool sources = false;
  unsigned index = 0;
  for (; at < text.size() && text[at] != ' '; ++at) {
    const char c = text[at];
    if (c == '=') {
      if (sources) throw "two '='";
      sources = true;
      index = 0;
    } else if (c == ',') {
      ++index;
    } else {
      if (index >= (sources ? 3u : 2u)) throw "too many operands";
      OperandShape& operand = sources ? result.src[index] : index == 0 ? result.dst : result.dst2;
      if (c == 'h') {
        operand.half = true;
      } else if (c >= '0' && c <= '9') {
        const char before = text[at - 1];
        const bool second = before >= '0' && before <= '9';
        operand.dwords = static_cast<std::uint8_t>((second ? operand.dwords * 10 : 0) + (c - '0'));
      } else {
        const std::size_t kind = kKinds.find(c);
        if (kind == std::string_view::npos || operand.present()) throw "unknown operand";
        operand.kind = kKindOf[kind];
        operand.dwords = 1;
      }
    }
  }
  if (!sources) throw "no '='";
  for (++at; at < text.size(); ++at) {
    const std::size_t flag = kFlags.find(text[at]);
    if (flag == std::string_view::npos) throw "unknown flag";
    result.flags = result.flags | 1u << flag;
  }
  return result;
}

}  // namespace kiln::vgpu::isa

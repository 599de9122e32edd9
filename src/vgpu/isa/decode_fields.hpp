// Owns: reading bit fields and operand codes of one instruction; what the format decoders share.
// Does not own: which fields a format has (decode*.cpp).
// Threading: a Reader belongs to one call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vgpu/isa/decode.hpp"

namespace kiln::vgpu::isa {

/// The dwords of one instruction. Dwords past the end read as zero and end in Truncated.
class Reader {
 public:
  Reader(Arch arch, const std::uint32_t* code, std::size_t available)
      : arch_(arch), code_(code), available_(available) {}

  Arch arch() const { return arch_; }
  bool gfx9() const { return is_cdna(arch_); }
  bool gfx10() const { return arch_ == Arch::Rdna2; }
  bool gfx11() const { return arch_ == Arch::Rdna3; }

  /// `count` bits from `first`, counted over all dwords.
  std::uint32_t bits(unsigned first, unsigned count) {
    const unsigned index = first / 32;
    if (index >= length_) length_ = index + 1;
    const std::uint32_t value = index < available_ ? code_[index] : 0;
    return value >> first % 32 & (count == 32 ? ~0u : (1u << count) - 1);
  }
  bool bit(unsigned first) { return bits(first, 1) != 0; }
  std::int32_t signed_bits(unsigned first, unsigned count) {
    return static_cast<std::int32_t>(bits(first, count) << (32 - count)) >> (32 - count);
  }

  /// Sets format and opcode; false if the generation has no such instruction.
  bool opcode(Format format, std::uint32_t number, Instruction& out);

  /// Asks for the literal that follows the encoding; there is at most one.
  std::uint16_t literal() {
    wants_literal_ = true;
    return kLiteral;
  }
  bool past_end() const { return length_ > available_; }

  // Each of these turns a field into an operand code; false if it may not stand there. An operand
  // that the shape does not have is left alone.
  bool scalar_source(const OperandShape& shape, std::uint32_t field, std::uint16_t* code);
  bool scalar_destination(const OperandShape& shape, std::uint32_t field, std::uint16_t* code);
  bool mask(std::uint32_t field, std::uint16_t* code);
  bool vgpr(unsigned dwords, std::uint32_t field, std::uint16_t* code, bool agpr = false);
  /// A nine-bit source: scalar codes below 256, VGPRs from there.
  bool vector_source(const OperandShape& shape, std::uint32_t field, std::uint16_t* code,
                     bool allow_literal);
  /// A register tuple of SGPRs, in a field that cannot hold a constant.
  bool sgprs(unsigned dwords, std::uint32_t field, std::uint16_t* code);

  /// Fetches the literal, sets the length.
  DecodeStatus finish(Instruction& out);

 private:
  bool constant(std::uint32_t field) const;

  Arch arch_;
  const std::uint32_t* code_;
  std::size_t available_;
  std::size_t length_ = 1;
  bool wants_literal_ = false;
};

/// Whether DPP_CTRL has a meaning on this generation for an opcode of this shape.
bool known_dpp_control(Arch arch, const Shape& shape, std::uint32_t control);

DecodeStatus decode_vop1(Reader& in, Instruction& out);
DecodeStatus decode_vop2(Reader& in, Instruction& out);
DecodeStatus decode_vopc(Reader& in, Instruction& out);
DecodeStatus decode_vop3(Reader& in, Instruction& out);
DecodeStatus decode_vop3p(Reader& in, Instruction& out);  ///< and MAI
DecodeStatus decode_vopd(Reader& in, Instruction& out);
DecodeStatus decode_smem(Reader& in, Instruction& out);
DecodeStatus decode_ds(Reader& in, Instruction& out);
DecodeStatus decode_flat(Reader& in, Instruction& out);  ///< FLAT, GLOBAL and SCRATCH
DecodeStatus decode_mubuf(Reader& in, Instruction& out);
DecodeStatus decode_mtbuf(Reader& in, Instruction& out);

}  // namespace kiln::vgpu::isa

// Owns: reading and writing scalar operands: SGPRs, inline constants, literals, special values.
// Does not own: the instructions that use them; VALU's own typed constants (16-bit floats).
// Threading: the wave's host thread.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "vgpu/isa/semantics.hpp"
#include "vgpu/isa/wave.hpp"

namespace kiln::vgpu::isa {

/// 0.5 -0.5 1 -1 2 -2 4 -4 1/(2 pi): operand codes 240..248 (AMD ISA documents, "Inline
/// constants").
inline constexpr std::uint32_t kInlineF32[9] = {0x3f000000, 0xbf000000, 0x3f800000,
                                                0xbf800000, 0x40000000, 0xc0000000,
                                                0x40800000, 0xc0800000, 0x3e22f983};
inline constexpr std::uint64_t kInlineF64[9] = {
    0x3fe0000000000000, 0xbfe0000000000000, 0x3ff0000000000000,
    0xbff0000000000000, 0x4000000000000000, 0xc000000000000000,
    0x4010000000000000, 0xc010000000000000, 0x3fc45f306dc9c882};

/// Operands that are not registers, as 32 bits. An aperture's low half is 0.
std::uint32_t special_operand32(const Wave& wave, const Instruction& instruction, unsigned code);
/// The same as 64 bits: integers sign-extend, floats are doubles; literals as the flag says.
std::uint64_t special_operand64(const Wave& wave, const Instruction& instruction, unsigned code,
                                bool signed_literal);

KILN_ALWAYS_INLINE std::uint32_t scalar32(const Wave& wave, const Instruction& instruction,
                                          unsigned code) {
  // kNull is inside the array and never written, so it reads 0.
  if (code < 128) [[likely]]
    return wave.s[code];
  if (code == kLiteral) return instruction.literal;
  if (code <= kInt0 + 64) return code - kInt0;
  return special_operand32(wave, instruction, code);
}

KILN_ALWAYS_INLINE std::uint64_t scalar64(const Wave& wave, const Instruction& instruction,
                                          unsigned code, bool signed_literal = false) {
  if (code < 127) [[likely]] {
    if (code == kNull) return 0;
    std::uint64_t value;
    std::memcpy(&value, &wave.s[code], 8);
    return value;
  }
  if (code >= kInt0 && code <= kInt0 + 64) return code - kInt0;
  return special_operand64(wave, instruction, code, signed_literal);
}

KILN_ALWAYS_INLINE void set_scalar32(Wave& wave, unsigned code, std::uint32_t value) {
  if (code != kNull) [[likely]]
    wave.s[code & 127] = value;
}

KILN_ALWAYS_INLINE void set_scalar64(Wave& wave, unsigned code, std::uint64_t value) {
  if (code != kNull && code < 127) [[likely]]
    std::memcpy(&wave.s[code], &value, 8);
}

/// One mask of all lanes: SGPR pairs in wave64, single SGPRs in wave32.
KILN_ALWAYS_INLINE std::uint64_t lane_mask(const Wave& wave) {
  return wave.lanes == 64 ? ~std::uint64_t{0} : 0xffffffffu;
}

}  // namespace kiln::vgpu::isa

// Owns: turning machine code of a generation into Instruction values, and the lookup of its opcode
//   table rows.
// Does not own: the rows (tables_*), text (print.*), what an instruction does (semantics.*).
// Threading: pure functions over constant tables; safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vgpu/isa/instruction.hpp"

namespace kiln::vgpu::isa {

enum class DecodeStatus : std::uint8_t {
  Ok,
  Truncated,  ///< the encoding is known, but needs more dwords than there are
  Unknown,    ///< no instruction of this generation, or an operand it cannot have
};

/// The longest instruction in dwords (VOP3 or VOPD with a literal, SDWA and MUBUF have two).
inline constexpr std::size_t kMaxDwords = 3;

/// Decodes the instruction at `code`. Fills everything of `*out` but `execute` and `execute_y`,
/// which resolve() sets. `*out` is only meaningful after Ok.
DecodeStatus decode(Arch arch, const std::uint32_t* code, std::size_t available_dwords,
                    Instruction* out);

/// The row of `number` in a format's opcode field; null if the generation has none. For VOPD the X
/// and the Y half have rows of their own: Y-only opcodes are in the same number space.
const Opcode* find_opcode(Arch arch, Format format, std::uint32_t number);

/// All rows of a generation, sorted by format, then number.
std::span<const Opcode> opcodes(Arch arch);

}  // namespace kiln::vgpu::isa

// Owns: instructions as text, for traces and messages; close to LLVM's assembler syntax.
// Does not own: decoding (decode.*).
// Threading: pure functions.
#pragma once

#include <string>

#include "vgpu/isa/instruction.hpp"
#include "vgpu/memory.hpp"

namespace kiln::vgpu::isa {

/// "v_add_f32_e64 v1, -v2, |v3| clamp". `pc` is the instruction's own address: branches print where
/// they go.
std::string print(Arch arch, const Instruction& instruction, Va pc);

/// One operand code as `dwords` registers, "v[2:3]", "vcc", "0.5"; a literal prints in hex.
std::string print_operand(Arch arch, std::uint16_t code, unsigned dwords, std::uint32_t literal);

}  // namespace kiln::vgpu::isa

// Owns: which opcodes waves of this process have reached, and how well each is executed.
// Does not own: the report made of it (vgpu/report.*).
// Threading: safe from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vgpu/isa/instruction.hpp"

namespace kiln::vgpu::isa {

enum class Standing : std::uint8_t {
  Exact,        ///< every bit as documented
  Approximate,  ///< within the documented error, where the document gives no bits
  Unsupported,  ///< no semantics, or no such encoding: the wave halted
};
const char* to_string(Standing standing);
const char* to_string(Arch arch);

struct Reached {
  Arch arch;
  std::string name;  ///< as the assembler of that generation writes it; else "encoding 0x..."
  Standing standing;
  std::uint64_t sites;  ///< places in code that a wave has reached; again after an invalidate
};

/// An instruction about to run for the first time where it stands, as decode and resolve left it.
void note_reached(Arch arch, const Instruction& instruction);
void note_illegal(Arch arch, std::uint32_t dword);

/// Sorted by generation and name.
std::vector<Reached> reached();

}  // namespace kiln::vgpu::isa

// Owns: how an instruction finds what it does: rows of {semantics name, handler}, and the rule by
//   which hot files are compiled twice, for any x86-64 and for AVX2.
// Does not own: the rows (salu*, memory*, ds*, valu*, matrix*), decoding (decode.*).
// Threading: the registry is built once at first use and only read afterwards.
#pragma once

#include <span>
#include <string_view>

#include "vgpu/isa/instruction.hpp"

// Two flavours. A hot file puts everything it defines into
//     namespace kiln::vgpu::isa::KILN_ISA_NS { ... }
// and the build compiles it twice: as it is (namespace `base`), and once more with
//     -DKILN_ISA_AVX2 -mavx2 -mfma -mf16c -mbmi -mbmi2          (namespace `avx2`).
// The processor decides at run time. In such a file an inline function or template that lives in a
// shared header must not be emitted out of line (the linker would keep one of the two copies, and
// the AVX2 one kills an older processor): mark shared helpers KILN_ALWAYS_INLINE, or put them into
// KILN_ISA_NS as well; call nothing of std:: that does not inline away. Cold work (halt reasons,
// faults) belongs into ordinary functions of a file that is compiled once.
#ifdef KILN_ISA_AVX2
#define KILN_ISA_NS avx2
#else
#define KILN_ISA_NS base
#endif
#define KILN_ALWAYS_INLINE [[gnu::always_inline]] inline

namespace kiln::vgpu::isa {

/// Chooses the handler of one decoded instruction, so that what never changes (modifiers, operand
/// kinds, cache bits) is decided once at decode. It may fill `execute_y`. Null: this form is not
/// known; the wave stops there and names it.
using Select = Handler (*)(Instruction&);

/// What the instructions of one semantics name do.
struct Semantics {
  std::string_view name;
  Handler handler = nullptr;  ///< for all forms alike,
  Select select = nullptr;    ///< or chosen by form

  constexpr Semantics(std::string_view n, Handler h) : name(n), handler(h) {}
  constexpr Semantics(std::string_view n, Select s) : name(n), select(s) {}
};

/// Collects tables while the registry is built; tables are static arrays.
class SemanticsSink {
 public:
  virtual void add(std::span<const Semantics> table) = 0;

 protected:
  ~SemanticsSink() = default;
};

// Each group of files gives its tables, in both flavours. A name may stand once only. Instructions
// of Format::Vopd are all looked up under "v_dual", whose row selects by opcode and opcode_y.
namespace base {
void memory_semantics(SemanticsSink& sink);
void valu_semantics(SemanticsSink& sink);
void matrix_semantics(SemanticsSink& sink);
}  // namespace base
namespace avx2 {
void memory_semantics(SemanticsSink& sink);
void valu_semantics(SemanticsSink& sink);
void matrix_semantics(SemanticsSink& sink);
}  // namespace avx2
void salu_semantics(SemanticsSink& sink);  ///< compiled once: nothing to gain there

/// Sets `execute` of a decoded instruction from its opcode's semantics name; leaves it null if
/// there is none.
void resolve(Instruction& instruction);

/// Whether some table has a row of that name.
bool has_semantics(std::string_view name);

enum class Flavour { Base, Avx2 };

/// The flavour this processor runs; KILN_VGPU_FLAVOUR=base forces the portable one.
Flavour flavour();
/// The same lookup for one flavour, whatever the processor (tests compare the two).
Handler find_handler(Flavour which, Instruction& instruction);

}  // namespace kiln::vgpu::isa

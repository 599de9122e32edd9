// Owns: collecting the vector ALU's tables.
// Does not own: their rows.
// Threading: called while the registry is built.
#include "vgpu/isa/valu.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {

void valu_semantics(SemanticsSink& sink) {
  float_rows(sink);
  math_rows(sink);
  double_rows(sink);
  integer_rows(sink);
  short_rows(sink);
  compare_rows(sink);
  convert_rows(sink);
  dot_rows(sink);
  lane_rows(sink);
  dual_rows(sink);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

// Owns: the table of assembled programs.
// Does not own: their texts (the tests) and their making (assemble.py).
// Threading: constant data.
#include "isa_harness.hpp"

namespace kiln::vgpu::isa::test {

const std::vector<Encoded>& encoded() {
  static const std::vector<Encoded> table = {
#include "isa_programs.inc"
  };
  return table;
}

}  // namespace kiln::vgpu::isa::test

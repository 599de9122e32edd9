// Owns: how the files of scalar semantics join one table.
// Does not own: the rows.
// Threading: called once, while the registry is built.
#pragma once

#include "vgpu/isa/semantics.hpp"

namespace kiln::vgpu::isa {

void control_semantics(SemanticsSink& sink);     ///< branches, waits, messages, hardware registers
void smem_semantics(SemanticsSink& sink);        ///< scalar loads, cache control, clocks
void smem_write_semantics(SemanticsSink& sink);  ///< scalar stores and atomics

}  // namespace kiln::vgpu::isa

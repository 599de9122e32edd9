// Owns: the seam to what a source or destination looks like in SDWA, DPP and packed forms.
// Does not own: the meaning of operations.
// Threading: the wave's host thread.
#pragma once

#include "vgpu/isa/valu.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {

/// Source lanes of a DPP instruction's first operand; `from` itself in other forms. Takes the lanes
/// that DPP switches off out of `enabled`.
const void* select_lanes(const Wave& w, const Instruction& i, const void* from,
                         std::uint64_t& enabled, LaneBuffer& room);

/// 32 bits a lane of source k, after DPP and SDWA selection. May return `&room`.
const void* source_bits(const Wave& w, const Instruction& i, unsigned k, Type type,
                        std::uint64_t& enabled, LaneBuffer& room);

/// The same for VOP3P, whose constants are 32 bits wide: integers sign-extended, binary16 in the
/// low half (binary32 for integer operations).
const void* packed_bits(const Wave& w, const Instruction& i, unsigned k, Type type,
                        std::uint64_t& enabled, LaneBuffer& room);

/// One register of the pair that a packed binary32 source is.
const void* pair_half(const Wave& w, const Instruction& i, unsigned k, bool high, LaneBuffer& room);

/// Stores an SDWA result as dst_sel and dst_unused say; false in other forms.
bool store_sdwa(Wave& w, const Instruction& i, LaneBuffer& result, std::uint64_t enabled);

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

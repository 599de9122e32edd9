// Owns: what happens between a wave and its trap handler: entering it, returning from it, and what
//   becomes of a wave that has none.
// Does not own: the handler's code (the process brings it), where its address comes from
//   (kfd_node), what its messages mean (shader_array.cpp, kfd_engines.cpp).
// Threading: the wave's host thread.
#pragma once

#include <cstdint>
#include <string>

#include "vgpu/isa/wave.hpp"

namespace kiln::vgpu::isa {

/// Bits of TRAPSTS that hardware sets (gc_9_4_2_sh_mask.h, gc_10_3_0_sh_mask.h SQ_WAVE_TRAPSTS).
inline constexpr std::uint32_t kTrapstsMemViol = 1u << 8, kTrapstsIllegalInst = 1u << 11;
/// Bits of STATUS.
inline constexpr std::uint32_t kStatusPriv = 1u << 5, kStatusTrapEn = 1u << 6,
                               kStatusHalt = 1u << 13;

/// s_trap `id` at `at`, which is four bytes long; wave.pc already stands behind it.
void take_trap(Wave& wave, unsigned id, Va at);

/// An exception that no mask can hold back, caused by the instruction at `at`. Without a handler
/// the wave halts for `reason`.
void take_exception(Wave& wave, std::uint32_t trapsts_bit, Va at, std::string reason);

/// STATUS as s_getreg shows it.
std::uint32_t status_register(const Wave& wave);

/// s_rfe_b64 to `pc`, whose upper 16 bits mean something else.
void return_from_trap(Wave& wave, Va pc);

}  // namespace kiln::vgpu::isa

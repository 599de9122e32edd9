// Owns: how a generation's opcode table is written: rows, and the macros that name their format.
// Does not own: the rows (tables_*.cpp), lookup (opcodes.cpp).
// Threading: constants.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "vgpu/isa/instruction.hpp"

namespace kiln::vgpu::isa {

/// One line of a table.
struct Row {
  Format format;
  bool promoted;  ///< a VOP1, VOP2 or VOPC row with a VOP3 form
  std::uint16_t number;
  std::string_view name;
  std::string_view semantics;
  Shape shape;
};

consteval Row row(Format format, bool promoted, unsigned number, std::string_view name,
                  std::string_view text, std::string_view semantics = {}) {
  return {format,
          promoted,
          static_cast<std::uint16_t>(number),
          name,
          semantics.empty() ? name : semantics,
          shape(text)};
}

/// What CDNA2 and CDNA3 have in common, and what each has for itself.
std::span<const Row> gfx9_scalar_rows();
std::span<const Row> gfx9_vector_rows();
std::span<const Row> gfx9_compare_rows();
std::span<const Row> gfx9_memory_rows();
std::span<const Row> cdna2_rows();
std::span<const Row> cdna3_rows();
std::span<const Row> rdna2_scalar_rows();
std::span<const Row> rdna2_vector_rows();
std::span<const Row> rdna2_compare_rows();
std::span<const Row> rdna2_memory_rows();
std::span<const Row> rdna3_rows();

}  // namespace kiln::vgpu::isa

#define SOP2(...) row(Format::Sop2, false, __VA_ARGS__)
#define SOPK(...) row(Format::Sopk, false, __VA_ARGS__)
#define SOP1(...) row(Format::Sop1, false, __VA_ARGS__)
#define SOPC(...) row(Format::Sopc, false, __VA_ARGS__)
#define SOPP(...) row(Format::Sopp, false, __VA_ARGS__)
#define SMEM(...) row(Format::Smem, false, __VA_ARGS__)
#define VOP2(...) row(Format::Vop2, true, __VA_ARGS__)
#define VOP2_E32(...) row(Format::Vop2, false, __VA_ARGS__)
#define VOP1(...) row(Format::Vop1, true, __VA_ARGS__)
#define VOP1_E32(...) row(Format::Vop1, false, __VA_ARGS__)
#define VOPC(...) row(Format::Vopc, true, __VA_ARGS__)
#define VOP3(...) row(Format::Vop3, false, __VA_ARGS__)
#define VOP3P(...) row(Format::Vop3p, false, __VA_ARGS__)
#define MAI(...) row(Format::Mai, false, __VA_ARGS__)
#define VOPD(...) row(Format::Vopd, false, __VA_ARGS__)
#define DS(...) row(Format::Ds, false, __VA_ARGS__)
#define FLAT(...) row(Format::Flat, false, __VA_ARGS__)
#define GLOBAL(...) row(Format::Global, false, __VA_ARGS__)
#define SCRATCH(...) row(Format::Scratch, false, __VA_ARGS__)
#define MUBUF(...) row(Format::Mubuf, false, __VA_ARGS__)
#define MTBUF(...) row(Format::Mtbuf, false, __VA_ARGS__)

// Owns: the opcode tables as they are looked up: by format and number.
// Does not own: the rows (tables_*), extraction (decode.cpp).
// Threading: built once under the static-initialisation lock, then read-only.
#include <algorithm>
#include <array>
#include <initializer_list>
#include <vector>

#include "vgpu/isa/decode.hpp"
#include "vgpu/isa/tables.hpp"

namespace kiln::vgpu::isa {
namespace {

constexpr std::size_t kFormats = static_cast<std::size_t>(Format::Exp) + 1;

struct Table {
  std::vector<Opcode> opcodes;
  std::array<std::vector<const Opcode*>, kFormats> by_number;

  Table(std::initializer_list<std::span<const Row>> parts, std::uint32_t vop1_in_vop3) {
    for (const std::span<const Row> rows : parts)
      for (const Row& row : rows) add(row, vop1_in_vop3);
    std::sort(opcodes.begin(), opcodes.end(), [](const Opcode& a, const Opcode& b) {
      return a.format != b.format ? a.format < b.format : a.number < b.number;
    });
    for (const Opcode& opcode : opcodes) {
      auto& column = by_number[static_cast<std::size_t>(opcode.format)];
      if (column.size() <= opcode.number) column.resize(opcode.number + 1u);
      column[opcode.number] = &opcode;
    }
  }

  /// VOP3 rows with a second destination have the encoding with an sdst field.
  static Format vop3_format(const Row& row) {
    return row.shape.dst2.present() ? Format::Vop3sd : Format::Vop3;
  }

  void add(const Row& row, std::uint32_t vop1_in_vop3) {
    add(row, row.format == Format::Vop3 ? vop3_format(row) : row.format, row.number);
    if (!row.promoted) return;
    const std::uint32_t base = row.format == Format::Vopc   ? 0
                               : row.format == Format::Vop2 ? 0x100
                                                            : vop1_in_vop3;
    add(row, vop3_format(row), base + row.number);
  }
  void add(const Row& row, Format format, std::uint32_t number) {
    opcodes.push_back(
        {format, static_cast<std::uint16_t>(number), row.name, row.semantics, row.shape});
  }
};

const Table& table(Arch arch) {
  if (arch == Arch::Cdna2) {
    static const Table cdna2({gfx9_scalar_rows(), gfx9_vector_rows(), gfx9_compare_rows(),
                              gfx9_memory_rows(), cdna2_rows()},
                             0x140);
    return cdna2;
  }
  if (arch == Arch::Cdna3) {
    static const Table cdna3({gfx9_scalar_rows(), gfx9_vector_rows(), gfx9_compare_rows(),
                              gfx9_memory_rows(), cdna3_rows()},
                             0x140);
    return cdna3;
  }
  if (arch == Arch::Rdna2) {
    static const Table rdna2(
        {rdna2_scalar_rows(), rdna2_vector_rows(), rdna2_compare_rows(), rdna2_memory_rows()},
        0x180);
    return rdna2;
  }
  static const Table rdna3({rdna3_rows()}, 0x180);
  return rdna3;
}

}  // namespace

const Opcode* find_opcode(Arch arch, Format format, std::uint32_t number) {
  const auto& column = table(arch).by_number[static_cast<std::size_t>(format)];
  return number < column.size() ? column[number] : nullptr;
}

std::span<const Opcode> opcodes(Arch arch) {
  return table(arch).opcodes;
}

}  // namespace kiln::vgpu::isa

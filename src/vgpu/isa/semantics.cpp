// Owns: the registry of semantics, one hash map per flavour, and the choice of flavour.
// Does not own: the rows.
// Threading: built once under the static-initialisation lock, then read-only.
#include "vgpu/isa/semantics.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_map>

namespace kiln::vgpu::isa {
namespace {

class Registry final : public SemanticsSink {
 public:
  explicit Registry(Flavour which) {
    rows_.reserve(2048);
    salu_semantics(*this);
    if (which == Flavour::Avx2) {
      avx2::memory_semantics(*this);
      avx2::valu_semantics(*this);
      avx2::matrix_semantics(*this);
    } else {
      base::memory_semantics(*this);
      base::valu_semantics(*this);
      base::matrix_semantics(*this);
    }
  }

  void add(std::span<const Semantics> table) override {
    for (const Semantics& row : table) {
      if (rows_.emplace(row.name, &row).second) continue;
      // Two owners of one instruction is a mistake of ours that a test run must not survive.
      std::fprintf(stderr, "kiln vgpu: two semantics rows for %.*s\n",
                   static_cast<int>(row.name.size()), row.name.data());
      std::abort();
    }
  }

  const Semantics* find(std::string_view name) const {
    const auto found = rows_.find(name);
    return found == rows_.end() ? nullptr : found->second;
  }

 private:
  std::unordered_map<std::string_view, const Semantics*> rows_;
};

const Registry& registry(Flavour which) {
  if (which == Flavour::Avx2) {
    static const Registry avx2(Flavour::Avx2);
    return avx2;
  }
  static const Registry base(Flavour::Base);
  return base;
}

Flavour choose_flavour() {
  const char* forced = std::getenv("KILN_VGPU_FLAVOUR");
  if (forced != nullptr && std::strcmp(forced, "base") == 0) return Flavour::Base;
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
  return avx2 ? Flavour::Avx2 : Flavour::Base;
}

}  // namespace

Flavour flavour() {
  static const Flavour chosen = choose_flavour();
  return chosen;
}

Handler find_handler(Flavour which, Instruction& instruction) {
  if (instruction.opcode == nullptr) return nullptr;
  const std::string_view name =
      instruction.format == Format::Vopd ? "v_dual" : instruction.opcode->semantics;
  const Semantics* row = registry(which).find(name);
  if (row == nullptr) return nullptr;
  return row->handler != nullptr ? row->handler : row->select(instruction);
}

void resolve(Instruction& instruction) {
  instruction.execute = find_handler(flavour(), instruction);
}

bool has_semantics(std::string_view name) {
  return registry(flavour()).find(name) != nullptr;
}

}  // namespace kiln::vgpu::isa

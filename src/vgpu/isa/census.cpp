// Owns: the set behind census.hpp.
// Does not own: see census.hpp.
// Threading: one lock; taken once for each place in code, never for each execution.
#include "vgpu/isa/census.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <mutex>

namespace kiln::vgpu::isa {
namespace {

struct Key {
  Arch arch;
  std::string name;
  auto operator<=>(const Key&) const = default;
};

struct Entry {
  Standing standing;
  std::uint64_t sites = 0;
};

struct Census {
  std::mutex mutex;
  std::map<Key, Entry> entries;
};

/// Never destroyed: waves may still run while the process ends.
Census& census() {
  static Census& instance = *new Census;
  return instance;
}

/// Functions that AMD documents by an error bound only (valu_math.cpp, valu_double.cpp).
bool is_approximate(std::string_view semantics) {
  constexpr std::array kFunctions = {"v_rcp_", "v_rsq_", "v_sqrt_", "v_exp_",
                                     "v_log_", "v_sin_", "v_cos_"};
  return std::ranges::any_of(
      kFunctions, [&](std::string_view prefix) { return semantics.starts_with(prefix); });
}

void note(Arch arch, std::string name, Standing standing) {
  std::lock_guard lock(census().mutex);
  Entry& entry =
      census().entries.try_emplace({arch, std::move(name)}, Entry{standing}).first->second;
  entry.standing = std::max(entry.standing, standing);
  ++entry.sites;
}

void note_opcode(Arch arch, const Opcode& opcode, bool runs) {
  note(arch, std::string(opcode.name),
       !runs                              ? Standing::Unsupported
       : is_approximate(opcode.semantics) ? Standing::Approximate
                                          : Standing::Exact);
}

}  // namespace

const char* to_string(Standing standing) {
  switch (standing) {
    case Standing::Exact:
      return "exact";
    case Standing::Approximate:
      return "approximate";
    case Standing::Unsupported:
      return "unsupported";
  }
  return "?";
}

const char* to_string(Arch arch) {
  switch (arch) {
    case Arch::Cdna2:
      return "CDNA2";
    case Arch::Cdna3:
      return "CDNA3";
    case Arch::Rdna2:
      return "RDNA2";
    case Arch::Rdna3:
      return "RDNA3";
  }
  return "?";
}

void note_reached(Arch arch, const Instruction& instruction) {
  const bool runs = instruction.execute != nullptr;
  note_opcode(arch, *instruction.opcode, runs);
  if (instruction.opcode_y != nullptr) note_opcode(arch, *instruction.opcode_y, runs);
}

void note_illegal(Arch arch, std::uint32_t dword) {
  char text[24];
  std::snprintf(text, sizeof text, "encoding 0x%08x", dword);
  note(arch, text, Standing::Unsupported);
}

std::vector<Reached> reached() {
  std::lock_guard lock(census().mutex);
  std::vector<Reached> all;
  for (const auto& [key, entry] : census().entries)
    all.push_back({key.arch, key.name, entry.standing, entry.sites});
  return all;
}

}  // namespace kiln::vgpu::isa

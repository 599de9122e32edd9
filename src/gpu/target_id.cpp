// Owns: the processor numbers of AMDGPU ELF files and the rules by which features match.
// Does not own: reading the ELF file.
// Threading: pure functions.
#include "gpu/target_id.hpp"

#include <array>
#include <utility>

#include "base/result.hpp"

namespace kiln::gpu {
namespace {

// EF_AMDGPU_MACH_AMDGCN_* (LLVM BinaryFormat/ELF.h; AMDGPUUsage, "Header"). R600 and GPUs before
// GFX9 are left out: no KFD that Kiln drives knows them.
struct Processor {
  std::uint8_t number;
  std::string_view name;
};
constexpr Processor kProcessors[] = {
    {0x2c, "gfx900"},          {0x2d, "gfx902"},          {0x2e, "gfx904"},
    {0x2f, "gfx906"},          {0x30, "gfx908"},          {0x31, "gfx909"},
    {0x32, "gfx90c"},          {0x33, "gfx1010"},         {0x34, "gfx1011"},
    {0x35, "gfx1012"},         {0x36, "gfx1030"},         {0x37, "gfx1031"},
    {0x38, "gfx1032"},         {0x39, "gfx1033"},         {0x3d, "gfx1035"},
    {0x3e, "gfx1034"},         {0x3f, "gfx90a"},          {0x40, "gfx940"},
    {0x41, "gfx1100"},         {0x42, "gfx1013"},         {0x43, "gfx1150"},
    {0x44, "gfx1103"},         {0x45, "gfx1036"},         {0x46, "gfx1101"},
    {0x47, "gfx1102"},         {0x48, "gfx1200"},         {0x49, "gfx1250"},
    {0x4a, "gfx1151"},         {0x4b, "gfx941"},          {0x4c, "gfx942"},
    {0x4e, "gfx1201"},         {0x4f, "gfx950"},          {0x51, "gfx9-generic"},
    {0x52, "gfx10-1-generic"}, {0x53, "gfx10-3-generic"}, {0x54, "gfx11-generic"},
    {0x55, "gfx1152"},         {0x58, "gfx1153"},         {0x59, "gfx12-generic"},
    {0x5a, "gfx1251"},         {0x5f, "gfx9-4-generic"},
};

// Which processors a generic target runs on (AMDGPUUsage, "Generic Processors"). All of them are
// at generic version 1.
struct GenericTarget {
  std::string_view name;
  std::array<std::string_view, 9> members;
};
constexpr GenericTarget kGenerics[] = {
    {"gfx9-generic", {"gfx900", "gfx902", "gfx904", "gfx906", "gfx909", "gfx90c"}},
    {"gfx9-4-generic", {"gfx940", "gfx941", "gfx942", "gfx950"}},
    {"gfx10-1-generic", {"gfx1010", "gfx1011", "gfx1012", "gfx1013"}},
    {"gfx10-3-generic",
     {"gfx1030", "gfx1031", "gfx1032", "gfx1033", "gfx1034", "gfx1035", "gfx1036"}},
    {"gfx11-generic",
     {"gfx1100", "gfx1101", "gfx1102", "gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153"}},
    {"gfx12-generic", {"gfx1200", "gfx1201"}},
};

bool generic_runs_on(std::string_view generic, std::string_view processor) {
  for (const GenericTarget& row : kGenerics) {
    if (row.name != generic) continue;
    for (std::string_view member : row.members)
      if (!member.empty() && member == processor) return true;
  }
  return false;
}

void append_feature(std::string& text, std::string_view name, FeatureSetting setting) {
  if (setting != FeatureSetting::On && setting != FeatureSetting::Off) return;
  text += ':';
  text += name;
  text += setting == FeatureSetting::On ? '+' : '-';
}

void append_feature(std::string& text, std::string_view name, std::optional<bool> setting) {
  if (setting) append_feature(text, name, *setting ? FeatureSetting::On : FeatureSetting::Off);
}

bool feature_fits(FeatureSetting code, std::optional<bool> device) {
  if (!device) return true;
  if (code == FeatureSetting::On) return *device;
  if (code == FeatureSetting::Off) return !*device;
  return true;
}

std::string differs(const char* what, const char* name, bool on) {
  return strf(": %s is %s; compile with %s%c, or without naming it for code that runs either way",
              what, on ? "on" : "off", name, on ? '+' : '-');
}

// Two bits of e_flags: 0 unsupported, 1 any, 2 off, 3 on, in the order of FeatureSetting.
FeatureSetting feature_at(std::uint32_t flags, unsigned shift) {
  return static_cast<FeatureSetting>(flags >> shift & 3);
}

std::optional<TargetId> known_processor(std::string_view name) {
  for (const Processor& row : kProcessors) {
    if (row.name != name) continue;
    TargetId id;
    id.name = name;
    id.ip = parse_gfx_ip(name);
    return id;
  }
  return std::nullopt;
}

}  // namespace

std::string to_string(const TargetId& id) {
  std::string text = id.name;
  append_feature(text, "sramecc", id.sramecc);
  append_feature(text, "xnack", id.xnack);
  return text;
}

std::string to_string(const DeviceIsa& device) {
  std::string text = to_string(device.ip);
  append_feature(text, "sramecc", device.sramecc);
  append_feature(text, "xnack", device.xnack);
  return text;
}

std::optional<TargetId> target_id_from_flags(std::uint32_t e_flags) {
  for (const Processor& row : kProcessors) {
    if (row.number != (e_flags & 0xff)) continue;
    std::optional<TargetId> id = known_processor(row.name);
    id->xnack = feature_at(e_flags, 8);
    id->sramecc = feature_at(e_flags, 10);
    id->generic_version = static_cast<std::uint8_t>(e_flags >> 24);
    return id;
  }
  return std::nullopt;
}

std::optional<TargetId> parse_target_id(std::string_view text) {
  std::size_t colon = text.find(':');
  std::optional<TargetId> id = known_processor(text.substr(0, colon));
  if (!id) return std::nullopt;
  // A feature that the text leaves out may be either, or there may be none: both accept any GPU.
  id->xnack = id->sramecc = FeatureSetting::Any;
  if (id->generic()) id->generic_version = 1;
  while (colon != std::string_view::npos) {
    text.remove_prefix(colon + 1);
    colon = text.find(':');
    const std::string_view feature = text.substr(0, colon);
    if (feature.size() < 2 || (feature.back() != '+' && feature.back() != '-')) return std::nullopt;
    const FeatureSetting setting = feature.back() == '+' ? FeatureSetting::On : FeatureSetting::Off;
    const std::string_view name = feature.substr(0, feature.size() - 1);
    if (name == "xnack") {
      id->xnack = setting;
    } else if (name == "sramecc") {
      id->sramecc = setting;
    } else {
      return std::nullopt;
    }
  }
  return id;
}

std::string incompatibility(const TargetId& id, const DeviceIsa& device) {
  std::string what = "the code is for " + to_string(id) + ", this GPU is " + to_string(device);
  if (id.generic()) {
    if (id.generic_version == 0) return what + " (and its generic version is 0, which none is)";
    if (!generic_runs_on(id.name, to_string(device.ip))) return what;
  } else if (*id.ip != device.ip) {
    return what;
  }
  if (!feature_fits(id.xnack, device.xnack)) return what + differs("XNACK", "xnack", *device.xnack);
  if (!feature_fits(id.sramecc, device.sramecc))
    return what + differs("SRAMECC", "sramecc", *device.sramecc);
  return {};
}

}  // namespace kiln::gpu

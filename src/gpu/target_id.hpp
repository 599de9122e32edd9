// Owns: which GPUs a code object was compiled for (e_flags of its ELF header, entry names of
// offload
//   bundles) and whether a given GPU is one of them.
// Does not own: the table of GPUs (target.hpp), the rest of the ELF file (code_object.*).
// Threading: values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gpu/gfxip.hpp"

namespace kiln::gpu {

/// XNACK and SRAMECC as code was compiled for them.
enum class FeatureSetting : std::uint8_t {
  Unsupported,  ///< the target has no such feature
  Any,          ///< runs either way
  Off,
  On,
};

/// What code was compiled for: "gfx942", "gfx90a:sramecc+:xnack-", "gfx11-generic".
struct TargetId {
  std::string name;                  ///< without features
  std::optional<GfxIp> ip;           ///< none if generic
  std::uint8_t generic_version = 0;  ///< at least 1 if generic
  FeatureSetting xnack = FeatureSetting::Unsupported;
  FeatureSetting sramecc = FeatureSetting::Unsupported;

  bool generic() const { return !ip.has_value(); }
};

/// A GPU as code sees it. A feature that is not known accepts code for either setting.
struct DeviceIsa {
  GfxIp ip;
  std::optional<bool> xnack;
  std::optional<bool> sramecc;
};

std::string to_string(const TargetId& id);
std::string to_string(const DeviceIsa& device);

/// From e_flags of code objects v4 and later; nothing if the processor number is unknown.
std::optional<TargetId> target_id_from_flags(std::uint32_t e_flags);
/// From text as in an offload bundle: "gfx942:sramecc+:xnack-".
std::optional<TargetId> parse_target_id(std::string_view text);

/// Empty if code for `id` runs on `device`, else why not, naming both.
std::string incompatibility(const TargetId& id, const DeviceIsa& device);

}  // namespace kiln::gpu

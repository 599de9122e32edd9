// Owns: the name of a GPU's instruction set, GfxIp{major, minor, stepping} <-> "gfx942".
// Does not own: what the name implies (target.hpp).
// Threading: values only.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::gpu {

/// A graphics IP version. Steppings print as one hex digit: {9, 0, 10} is gfx90a.
struct GfxIp {
  std::uint8_t major = 0;
  std::uint8_t minor = 0;
  std::uint8_t stepping = 0;

  auto operator<=>(const GfxIp&) const = default;

  /// KFD's gfx_target_version is major * 10000 + minor * 100 + stepping (kfd_topology.c).
  static constexpr GfxIp from_kfd(std::uint32_t version) {
    return {static_cast<std::uint8_t>(version / 10000 % 100),
            static_cast<std::uint8_t>(version / 100 % 100),
            static_cast<std::uint8_t>(version % 100)};
  }
  constexpr std::uint32_t to_kfd() const { return major * 10000u + minor * 100u + stepping; }
};

/// "gfx942" from {9, 4, 2}.
inline std::string to_string(GfxIp ip) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text = "gfx" + std::to_string(ip.major);
  text += kHex[ip.minor & 15];
  text += kHex[ip.stepping & 15];
  return text;
}

/// {9, 4, 2} from "gfx942"; nothing for any other text.
inline std::optional<GfxIp> parse_gfx_ip(std::string_view text) {
  if (!text.starts_with("gfx") || text.size() < 6 || text.size() > 7) return std::nullopt;
  text.remove_prefix(3);
  auto hex = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  const int stepping = hex(text[text.size() - 1]);
  const int minor = hex(text[text.size() - 2]);
  int major = 0;
  for (char c : text.substr(0, text.size() - 2)) {
    if (c < '0' || c > '9') return std::nullopt;
    major = major * 10 + (c - '0');
  }
  if (minor < 0 || stepping < 0 || major == 0) return std::nullopt;
  return GfxIp{static_cast<std::uint8_t>(major), static_cast<std::uint8_t>(minor),
               static_cast<std::uint8_t>(stepping)};
}

}  // namespace kiln::gpu

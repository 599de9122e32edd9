// Owns: the layout of clang offload bundles and the choice among their entries.
// Does not own: code objects.
// Threading: pure functions.
//
// Source: clang ClangOffloadBundler documentation, "Bundled Binary File Layout", "Target ID".
#include "gpu/bundle.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace kiln::gpu {
namespace {

constexpr std::string_view kElfMagic =
    "\x7f"
    "ELF";
constexpr std::string_view kBundleMagic = "__CLANG_OFFLOAD_BUNDLE__";
constexpr std::string_view kCompressedMagic = "CCOB";
// Each entry takes 24 bytes and its name; real bundles have a few dozen.
constexpr std::uint64_t kMaxEntries = 4096;

std::unexpected<Error> invalid(std::string message) {
  return fail(VK_ERROR_INVALID_SHADER_NV, std::move(message));
}

bool starts_with(std::span<const std::byte> file, std::string_view magic) {
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

bool read_u64(std::span<const std::byte> file, std::uint64_t* at, std::uint64_t* value) {
  if (*at > file.size() || file.size() - *at < 8) return false;
  std::memcpy(value, file.data() + *at, 8);
  *at += 8;
  return true;
}

// "hipv4-amdgcn-amd-amdhsa--gfx942:sramecc+" or with another environment between the dashes; the
// target may itself contain dashes (gfx9-4-generic).
std::string_view target_of_entry(std::string_view entry) {
  const std::size_t os = entry.find("amdgcn-amd-amdhsa-");
  if (os == std::string_view::npos) return {};
  const std::size_t target = entry.find("-gfx", os);
  return target == std::string_view::npos ? std::string_view{} : entry.substr(target + 1);
}

// Higher fits better; 0: not at all.
int score(const TargetId& id, const DeviceIsa& device) {
  if (!incompatibility(id, device).empty()) return 0;
  auto stated = [](FeatureSetting s) {
    return s == FeatureSetting::On || s == FeatureSetting::Off;
  };
  return 1 + (id.generic() ? 0 : 4) + stated(id.xnack) + stated(id.sramecc);
}

}  // namespace

Result<std::span<const std::byte>> select_code_object(std::span<const std::byte> file,
                                                      const DeviceIsa& device) {
  if (starts_with(file, kElfMagic)) return file;
  if (starts_with(file, kCompressedMagic))
    return invalid(
        "a compressed offload bundle: unpack it with clang-offload-bundler -unbundle -type=o, or "
        "compile with --no-offload-compress");
  if (!starts_with(file, kBundleMagic))
    return invalid(file.empty() ? "no code: the file is empty"
                                : "neither an ELF file nor a clang offload bundle");

  std::uint64_t at = kBundleMagic.size();
  std::uint64_t entries = 0;
  if (!read_u64(file, &at, &entries)) return invalid("the offload bundle is cut off");
  if (entries > kMaxEntries)
    return invalid("the offload bundle claims " + std::to_string(entries) + " entries");

  std::span<const std::byte> best;
  int best_score = 0;
  std::string names;
  for (std::uint64_t i = 0; i < entries; i++) {
    std::uint64_t offset = 0, bytes = 0, name_bytes = 0;
    if (!read_u64(file, &at, &offset) || !read_u64(file, &at, &bytes) ||
        !read_u64(file, &at, &name_bytes) || name_bytes > file.size() - at)
      return invalid("the offload bundle is cut off in its table");
    const std::string_view name(reinterpret_cast<const char*>(file.data() + at), name_bytes);
    at += name_bytes;
    if (offset > file.size() || bytes > file.size() - offset)
      return invalid("the offload bundle is cut off in entry " + std::string(name));
    names += (names.empty() ? "" : ", ") + std::string(name);
    const std::optional<TargetId> id = parse_target_id(target_of_entry(name));
    const int fits = id ? score(*id, device) : 0;
    if (fits > best_score) {
      best_score = fits;
      best = file.subspan(offset, bytes);
    }
  }
  if (best_score == 0)
    return invalid("no entry of the offload bundle is for this GPU (" + to_string(device) +
                   "); it has: " + (names.empty() ? "none" : names));
  return best;
}

}  // namespace kiln::gpu

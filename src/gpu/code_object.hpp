// Owns: AMDGPU code objects v4, v5 and v6 (ELF): target, image to load, relocations, kernels,
// globals. Does not own: offload bundles (bundle.*), memory on the GPU (core), dispatch registers
// (dispatch.*). Threading: a CodeObject is constant once parsed.
//
// Sources: LLVM AMDGPUUsage "ELF Code Object", "Code Object V3 and above"; LLVM
// ELFRelocs/AMDGPU.def.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "gpu/field.hpp"
#include "gpu/kernel_descriptor.hpp"
#include "gpu/metadata.hpp"
#include "gpu/target_id.hpp"

namespace kiln::gpu {

/// A piece of the image. Offsets are from the image's begin, which is page aligned.
struct Segment {
  std::uint64_t offset = 0, bytes = 0;            ///< in the image, .bss included
  std::uint64_t file_offset = 0, file_bytes = 0;  ///< the rest of `bytes` is zero
  bool writable = false, executable = false;
};

/// A variable that the host may look up: __device__, __constant__, __managed__ storage.
struct GlobalSymbol {
  std::string name;
  std::uint64_t offset = 0, bytes = 0;  ///< in the image
  bool writable = false;                ///< by kernels; the host may write either kind
};

/// A hidden argument, without its name and type, for the hot path.
struct HiddenArgument {
  ArgumentKind kind;
  std::uint8_t size;
  std::uint32_t offset;
};

struct KernelInfo : KernelMetadata {
  KernelDescriptor descriptor{};
  std::uint64_t descriptor_offset = 0;  ///< in the image
  std::uint64_t code_offset = 0;        ///< in the image; a multiple of 256
  std::uint32_t explicit_size = 0;      ///< bytes of the argument block that the application writes
  std::vector<HiddenArgument> hidden;   ///< those of `arguments` that Kiln fills
};

/// A value that depends on where the image lies.
struct Relocation {
  std::uint64_t offset = 0;  ///< of the patched bytes in the image
  std::uint64_t value = 0;   ///< symbol + addend
  std::uint32_t type = 0;    ///< R_AMDGPU_*
  bool in_image = true;      ///< `value` counts from the image's begin, else it is absolute
};

/// What load addresses must be a multiple of. Linkers align segments to 4 KiB unless told otherwise
/// (-z max-page-size); an image that wants more than this is refused.
inline constexpr std::uint64_t kImageAlignment = 65536;

struct CodeObject {
  TargetId target;
  std::uint32_t version = 0;      ///< 4, 5 or 6
  std::uint64_t image_bytes = 0;  ///< a multiple of 4096
  std::vector<Segment> segments;  ///< by offset, not overlapping
  std::vector<KernelInfo> kernels;
  std::vector<GlobalSymbol> globals;
  std::vector<Relocation> relocations;
  std::vector<std::byte> file;  ///< the ELF file that segments refer to

  const KernelInfo* find_kernel(std::string_view name) const;
  const GlobalSymbol* find_global(std::string_view name) const;

  /// Writes all segments (and zeros between and behind them) to `image`, then relocates. Writes
  /// only, never reads, so `image` may be write-combined memory.
  Status load(std::span<std::byte> image, Va load_address) const;
  /// Patches `image`, which will be seen by the GPU at `load_address`.
  Status relocate(std::span<std::byte> image, Va load_address) const;
};

/// Reads a bare code object and checks that it runs on `device` (null: any GPU). `file` is copied.
/// Errors are VK_ERROR_INVALID_SHADER_NV with a sentence.
Result<CodeObject> parse_code_object(std::span<const std::byte> file, const DeviceIsa* device);

/// The same for anything select_code_object() understands.
Result<CodeObject> open_code_object(std::span<const std::byte> file, const DeviceIsa& device);

}  // namespace kiln::gpu

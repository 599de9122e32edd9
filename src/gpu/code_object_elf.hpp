// Owns: the numbers of the AMDGPU ELF ABI that reading and relocating share.
// Does not own: anything else.
// Threading: constants only.
//
// Sources: LLVM AMDGPUUsage, "Header", "Note Records"; LLVM ELFRelocs/AMDGPU.def.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.hpp"

namespace kiln::gpu {

inline constexpr unsigned kMachineAmdgpu = 0xE0;
inline constexpr unsigned kOsAbiAmdgpuHsa = 64;
inline constexpr unsigned kAbiVersionV4 = 2, kAbiVersionV6 = 4;
inline constexpr std::uint32_t kNoteAmdgpuMetadata = 32;
inline constexpr std::uint32_t kRelocNone = 0, kRelocAbs32Lo = 1, kRelocAbs32Hi = 2,
                               kRelocAbs64 = 3, kRelocRel32 = 4, kRelocRel64 = 5, kRelocAbs32 = 6,
                               kRelocRel32Lo = 10, kRelocRel32Hi = 11, kRelocRelative64 = 13;

/// Bytes that a relocation patches; 0 for a type that no loaded code object has.
inline unsigned relocation_bytes(std::uint32_t type) {
  switch (type) {
    case kRelocAbs64:
    case kRelocRel64:
    case kRelocRelative64:
      return 8;
    case kRelocAbs32Lo:
    case kRelocAbs32Hi:
    case kRelocRel32:
    case kRelocAbs32:
    case kRelocRel32Lo:
    case kRelocRel32Hi:
      return 4;
    default:
      return 0;
  }
}

inline std::unexpected<Error> invalid_code(std::string message) {
  return fail(VK_ERROR_INVALID_SHADER_NV, std::move(message));
}

inline std::string hex_address(std::uint64_t value) {
  return strf("0x%llx", static_cast<unsigned long long>(value));
}

}  // namespace kiln::gpu

// Owns: the numbers that kiln.h promises and the code checks.
// Does not own: what depends on the GPU (gpu/target.*, kmd::GpuInfo).
// Threading: constants; system_memory_bytes() may be called from any thread.
#pragma once

#include <unistd.h>

#include <cstdint>

namespace kiln::core {

inline constexpr std::uint64_t kPageBytes = 4096;
/// 1024 on every generation (LLVM AMDGPUUsage, amdgpu-flat-work-group-size).
inline constexpr std::uint32_t kMaxWorkgroupInvocations = 1024;
/// Grid sizes are 32 bits of work-items in an AQL packet; HIP's limit for y and z in workgroups.
inline constexpr std::uint32_t kMaxWorkgroupCountYz = 65535;
/// Explicit and hidden kernel arguments.
inline constexpr std::uint32_t kMaxArgumentBytes = 64 * 1024;
/// As vkCmdUpdateBuffer.
inline constexpr std::uint64_t kMaxUpdateBytes = 64 * 1024;

inline std::uint64_t system_memory_bytes() {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE));
}

}  // namespace kiln::core

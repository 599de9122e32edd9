// Owns: the values of arguments that the compiler adds behind a kernel's own (grid shape,
// apertures,
//   runtime buffers) and writing them where the metadata wants them.
// Does not own: the argument table (metadata.hpp), memory.
// Threading: values only.
//
// Source: LLVM AMDGPUUsage, "Code Object V4/V5 Metadata", value kinds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.hpp"
#include "gpu/code_object.hpp"

namespace kiln::gpu {

/// What hidden arguments say. A kernel uses few of them; what stays 0 reads as "none".
struct HiddenValues {
  std::array<std::uint32_t, 3> threads{1, 1, 1};  ///< of the whole grid, partial groups included
  std::array<std::uint16_t, 3> group_size{1, 1, 1};
  std::uint16_t dimensions = 3;  ///< 1 to 3
  std::array<std::uint64_t, 3> global_offset{};
  std::uint32_t dynamic_lds_size = 0;
  std::uint64_t shared_aperture = 0, private_aperture = 0;  ///< bases; kernels get the high halves
  std::uint64_t queue_ptr = 0;                              ///< of the amd_queue_t
  std::uint64_t printf_buffer = 0, hostcall_buffer = 0, heap = 0;
  std::uint64_t default_queue = 0, completion_action = 0, multigrid_sync = 0;
  std::uint64_t tool_correlation_id = 0;
};

/// Writes every hidden argument of `kernel` into `kernarg`, which holds the whole argument block.
/// Explicit arguments are left alone. Fails if the block is smaller than the kernel's.
Status fill_hidden_arguments(const KernelInfo& kernel, const HiddenValues& values,
                             std::span<std::byte> kernarg);

}  // namespace kiln::gpu

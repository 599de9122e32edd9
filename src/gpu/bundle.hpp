// Owns: finding the code object for one GPU in what users hand over: a bare ELF file or a clang
//   offload bundle (fat binary).
// Does not own: reading the code object (code_object.*).
// Threading: pure functions; results point into the given file.
#pragma once

#include <cstddef>
#include <span>

#include "base/result.hpp"
#include "gpu/target_id.hpp"

namespace kiln::gpu {

/// The bytes of the code object for `device`: all of `file` if it is an ELF file, else the bundle
/// entry that fits best (an exact target before a generic one, stated features before any).
/// Fails naming the entries there are. Compressed bundles ("CCOB") are refused with the command
/// that unpacks them.
Result<std::span<const std::byte>> select_code_object(std::span<const std::byte> file,
                                                      const DeviceIsa& device);

}  // namespace kiln::gpu

// Owns: how the virtual kernel reads and writes its caller's memory: like copy_from_user, a bad
//   pointer is an error, not a crash.
// Does not own: GPU memory.
// Threading: safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kiln::vgpu {

/// False (the kernel's -EFAULT) if any byte cannot be read or written.
bool copy_from_user(void* to, std::uint64_t from, std::size_t bytes);
bool copy_to_user(std::uint64_t to, const void* from, std::size_t bytes);

/// access_ok(): inside the user half of the address space.
inline bool access_ok(std::uint64_t address) {
  return address < (std::uint64_t{1} << 47);
}

enum class HostAccess : std::uint8_t { None, ReadOnly, ReadWrite };
/// What the process's own page protection allows on all of [address, address + bytes); where that
/// is not the same everywhere, the first thing that is missing.
HostAccess host_access(std::uint64_t address, std::uint64_t bytes);

}  // namespace kiln::vgpu

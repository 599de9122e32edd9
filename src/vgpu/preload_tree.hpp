// Owns: writing the files a virtual machine answers for into a directory, in the places and with
// the
//   links that they have on Linux.
// Does not own: the texts (sysfs.*), who looks there (preload.cpp).
// Threading: any thread; the directory is the caller's alone.
#pragma once

#include "vgpu/os.hpp"

namespace kiln::vgpu {

/// 0, or -errno of what could not be written.
int write_tree(VirtualOs& os, const std::string& root);
/// Writes one file of it anew, mem_info_*_used of a card. 0, or -errno.
int refresh_file(VirtualOs& os, const std::string& path);

}  // namespace kiln::vgpu

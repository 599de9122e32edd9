// Owns: the ioctls of a virtual render node: version and the AMDGPU_INFO queries that libdrm makes
//   when a device is opened and named.
// Does not own: command submission and buffers of the DRM interface (refused), mmap (kfd_node.*).
// Threading: safe from any thread.
#pragma once

#include "vgpu/machine.hpp"

namespace kiln::vgpu {

/// 0 or -errno; what DRM does not know is -EINVAL, as in drm_ioctl.c.
int drm_ioctl(Machine& machine, VirtualGpu& gpu, unsigned long request, void* argument);

}  // namespace kiln::vgpu

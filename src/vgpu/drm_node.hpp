// Owns: the ioctls of a virtual render node: version and the AMDGPU_INFO queries that libdrm makes
//   when a device is opened and named.
// Does not own: buffers (drm_gem.*), command submission (refused).
// Threading: safe from any thread.
#pragma once

#include "vgpu/drm_gem.hpp"

namespace kiln::vgpu {

/// 0 or -errno; what DRM does not know is -EINVAL, as in drm_ioctl.c.
int drm_ioctl(VirtualGpu& gpu, DrmGem& gem, OpenFile& file, unsigned long request, void* argument);

}  // namespace kiln::vgpu

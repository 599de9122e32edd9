/* Owns: the name <drm/drm.h>, by which <linux/kfd_ioctl.h> asks for DRM's types; Debian has that
 *   header in libdrm only.
 * Does not own: anything else.
 * Threading: none. */
#include <libdrm/drm.h>

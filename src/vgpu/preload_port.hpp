// Owns: what libkiln-vgpu.so asks of the engine, in terms that need no C++ library on its side, so
//   that a process which never opens a GPU does not load one.
// Does not own: which of libc's calls come here (preload.cpp), the answers (os.*).
// Threading: every method may be called from any thread at once.
#pragma once

#include <stddef.h>
#include <sys/types.h>

namespace kiln::vgpu {

/// A virtual machine behind libc's names. Failures come back as -errno.
class PreloadPort {
 public:
  /// Opens a device file: /dev/kfd or /dev/dri/renderD*.
  virtual int open(const char* path, int flags) = 0;
  virtual int close(int fd) = 0;
  /// `fd` is a new descriptor of the file that `source` is one of.
  virtual void duplicate(int fd, int source) = 0;
  virtual int ioctl(int fd, unsigned long request, void* argument) = 0;
  virtual int mmap(void** address, void* hint, size_t length, int protection, int flags, int fd,
                   off_t offset) = 0;
  virtual int munmap(void* address, size_t length) = 0;
  virtual int mprotect(void* address, size_t length, int protection) = 0;
  /// `address` is where the memory is, and then where it is now; `to` is for MREMAP_FIXED.
  virtual int mremap(void** address, size_t old_length, size_t length, int flags, void* to) = 0;
  /// Writes the files of /sys, /dev and /proc that this machine answers for below `root`, an empty
  /// directory, with the kernel's own symbolic links between them.
  virtual int write_tree(const char* root) = 0;
  /// Writes one of them anew, whose text changes: mem_info_*_used of a card.
  virtual int refresh(const char* path) = 0;

 protected:
  ~PreloadPort() = default;  // lives as long as the process
};

/// In the tree a device file is a regular file with the sticky bit, whose size is its number.
constexpr off_t device_file_size(unsigned major, unsigned minor) {
  return static_cast<off_t>(major) << 20 | minor;
}
inline constexpr unsigned kDrmMajor = 226;  // include/uapi/drm/drm.h, Documentation devices.txt
inline constexpr unsigned kKfdMajor = 234;  // given at boot; of the range for that (devices.txt)

/// What the engine exports as `kiln_vgpu_preload`: null and a message where `spec` names no
/// machine.
using PreloadFn = PreloadPort* (*)(const char* spec, char* error, size_t error_size);

}  // namespace kiln::vgpu

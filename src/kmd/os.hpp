// Owns: the system-call seam. Everything Kiln asks of Linux about a GPU passes through one Os, so a
//   virtual machine can stand behind it.
// Does not own: any knowledge of what the calls mean (kfd*.cpp, drm.cpp) or of who answers.
// Threading: every method may be called from any thread at once.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace kiln::kmd {

/// The calls a driver makes. Failures come back as -errno, never through `errno`.
class Os {
 public:
  virtual ~Os() = default;

  /// A file descriptor of `path`, or -errno.
  virtual int open(const char* path, int flags) = 0;
  virtual int close(int fd) = 0;
  /// The ioctl's result (>= 0), or -errno. Interrupted calls are restarted here.
  virtual int ioctl(int fd, unsigned long request, void* argument) = 0;
  /// Maps like mmap(2). Returns 0 and stores the address, or -errno.
  virtual int mmap(void** address, void* hint, std::size_t length, int protection, int flags,
                   int fd, off_t offset) = 0;
  virtual int munmap(void* address, std::size_t length) = 0;
  virtual int madvise(void* address, std::size_t length, int advice) = 0;
  /// The whole text of a (sysfs) file: 0, or -errno.
  virtual int read_file(const char* path, std::string* text) = 0;
  /// The names in a directory without "." and "..", sorted: 0, or -errno.
  virtual int list_directory(const char* path, std::vector<std::string>* names) = 0;

  /// The name of the group that owns `path`, for messages; "" if unknown.
  virtual std::string group_of(const char* path) {
    (void)path;
    return {};
  }
  /// The kernel driver behind an open DRM node ("amdgpu"); "" if unknown.
  virtual std::string drm_driver(int fd) {
    (void)fd;
    return {};
  }

  /// True when a virtual GPU answers; `description()` then says which ("2x mi300x").
  virtual bool is_virtual() const = 0;
  virtual std::string description() const = 0;

  /// What a driver keeps once per process, whatever is opened and closed above it (KFD binds an
  /// address space for as long as the process lives). Only the driver touches it, under the mutex.
  /// Files and mappings it still holds when the Os goes away are the Os's to release, as a kernel
  /// does at exit.
  std::mutex driver_mutex;
  std::shared_ptr<void> driver_state;
};

/// The real kernel. Never fails to exist; lives as long as the process.
Os& linux_os();

/// What libkiln-vgpu-engine.so exports as `kiln_vgpu_create`. `spec` is the text of KILN_VGPU. On
/// failure returns null and writes a message of at most `error_size` bytes. The Os is destroyed
/// with `delete`; its threads end with the last queue.
using VgpuCreateFn = Os* (*)(const char* spec, char* error, std::size_t error_size);

}  // namespace kiln::kmd

// Owns: libc's names that tell what a file is: a device of the machine is a character device with
//   its number, at a path, behind a link and behind a descriptor.
// Does not own: where files are (preload_state.*).
// Threading: as libc's own functions.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vgpu/preload_hook.hpp"

static_assert(sizeof(struct stat) == sizeof(struct stat64));

using namespace kiln::vgpu;
using namespace kiln::vgpu::preload;

namespace {

/// How a device's file looks on Linux. Functions below that take a void* are given stat or stat64,
/// which are one layout on 64-bit machines.
void show_device(off_t device, struct stat* status) {
  status->st_mode = S_IFCHR | 0660;
  status->st_rdev = makedev(static_cast<unsigned>(device >> 20), device & 0xfffff);
  status->st_size = 0;
  status->st_blocks = 0;
}

int show(int result, void* buffer) {
  auto* status = static_cast<struct stat*>(buffer);
  if (result == 0 && machine() != nullptr)
    if (const off_t device = device_of(*status); device != 0) show_device(device, status);
  return result;
}

/// The descriptor that a call relative to it means where the path is empty (AT_EMPTY_PATH); else
/// -1.
int itself(int fd, const char* path) {
  return path == nullptr || *path == '\0' ? fd : -1;
}

int show(int result, int fd, void* buffer) {
  if (const off_t device = device_of(fd); result == 0 && device != 0) {
    show_device(device, static_cast<struct stat*>(buffer));
    return 0;
  }
  return show(result, buffer);
}

}  // namespace

HOOK(int, stat, const char* path, struct stat* status) {
  return show(NEXT(stat)(Path(path), status), status);
}
HOOK(int, stat64, const char* path, struct stat64* status) {
  return show(NEXT(stat64)(Path(path), status), status);
}
HOOK(int, lstat, const char* path, struct stat* status) {
  return show(NEXT(lstat)(Path(path), status), status);
}
HOOK(int, lstat64, const char* path, struct stat64* status) {
  return show(NEXT(lstat64)(Path(path), status), status);
}
HOOK(int, fstat, int fd, struct stat* status) {
  return show(NEXT(fstat)(fd, status), fd, status);
}
HOOK(int, fstat64, int fd, struct stat64* status) {
  return show(NEXT(fstat64)(fd, status), fd, status);
}
HOOK(int, fstatat, int fd, const char* path, struct stat* status, int flags) {
  return show(NEXT(fstatat)(fd, Path(fd, path), status, flags), itself(fd, path), status);
}
HOOK(int, fstatat64, int fd, const char* path, struct stat64* status, int flags) {
  return show(NEXT(fstatat64)(fd, Path(fd, path), status, flags), itself(fd, path), status);
}
// Names of programs linked before glibc 2.33.
HOOK(int, __xstat, int version, const char* path, struct stat* status) {
  return show(NEXT(__xstat)(version, Path(path), status), status);
}
HOOK(int, __xstat64, int version, const char* path, struct stat64* status) {
  return show(NEXT(__xstat64)(version, Path(path), status), status);
}
HOOK(int, __lxstat, int version, const char* path, struct stat* status) {
  return show(NEXT(__lxstat)(version, Path(path), status), status);
}
HOOK(int, __lxstat64, int version, const char* path, struct stat64* status) {
  return show(NEXT(__lxstat64)(version, Path(path), status), status);
}
HOOK(int, __fxstat, int version, int fd, struct stat* status) {
  return show(NEXT(__fxstat)(version, fd, status), fd, status);
}
HOOK(int, __fxstat64, int version, int fd, struct stat64* status) {
  return show(NEXT(__fxstat64)(version, fd, status), fd, status);
}
HOOK(int, __fxstatat, int version, int fd, const char* path, struct stat* status, int flags) {
  return show(NEXT(__fxstatat)(version, fd, Path(fd, path), status, flags), itself(fd, path),
              status);
}
HOOK(int, __fxstatat64, int version, int fd, const char* path, struct stat64* status, int flags) {
  return show(NEXT(__fxstatat64)(version, fd, Path(fd, path), status, flags), itself(fd, path),
              status);
}
HOOK(int, statx, int fd, const char* path, int flags, unsigned mask, struct statx* status) {
  const int result = NEXT(statx)(fd, Path(fd, path), flags, mask, status);
  if (result != 0 || machine() == nullptr) return result;
  off_t device = device_of(itself(fd, path));
  if (device == 0) {
    struct stat plain{};
    plain.st_dev = makedev(status->stx_dev_major, status->stx_dev_minor);
    plain.st_mode = status->stx_mode;
    plain.st_size = static_cast<off_t>(status->stx_size);
    device = device_of(plain);
  }
  if (device != 0) {
    status->stx_mode = S_IFCHR | 0660;
    status->stx_rdev_major = static_cast<unsigned>(device >> 20);
    status->stx_rdev_minor = device & 0xfffff;
    status->stx_size = status->stx_blocks = 0;
  }
  return result;
}

namespace kiln::vgpu::preload {

off_t device_at(int folder, const char* path) {
  struct stat status;
  const int before = errno;
  const off_t device = NEXT(fstatat)(folder, path, &status, 0) == 0 ? device_of(status) : 0;
  errno = before;
  return device;
}

}  // namespace kiln::vgpu::preload

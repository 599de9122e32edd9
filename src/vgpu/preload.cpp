// Owns: libc's names in front of a virtual machine: paths go to its files, descriptors of its
//   devices to its ioctl and mmap. Built into libkiln-vgpu.so, for LD_PRELOAD.
// Does not own: what is known of paths and descriptors (preload_state.*), any answer.
// Threading: as libc's own functions.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vgpu/preload_state.hpp"

// Each function is defined under a name of its own and exported under libc's, so that libc's
// headers (their attributes, inline forms and 64-bit renamings) do not meet it.
#define HOOK(result, name, ...)                                                                 \
  extern "C" __attribute__((visibility("default"))) result hook_##name(__VA_ARGS__) asm(#name); \
  result hook_##name(__VA_ARGS__)
// libc's function behind a name.
#define NEXT(name)                                                                                 \
  ([]() {                                                                                          \
    static decltype(&hook_##name) next;                                                            \
    if (next == nullptr) next = reinterpret_cast<decltype(&hook_##name)>(dlsym(RTLD_NEXT, #name)); \
    return next;                                                                                   \
  }())

static_assert(sizeof(struct stat) == sizeof(struct stat64));

using namespace kiln::vgpu;
using namespace kiln::vgpu::preload;

namespace {

/// A path where libc finds it.
class Path {
 public:
  explicit Path(const char* path) : found_(redirect(path, room_)) {}
  operator const char*() const { return found_; }
  bool is_ours() const { return found_ == room_; }

 private:
  char room_[PATH_MAX];
  const char* found_;
};

/// A result of the machine as libc gives it.
int answer(int result) {
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

bool takes_mode(int flags) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

int open_device(off_t device, int flags) {
  char name[32] = "/dev/kfd";
  if (device >> 20 == kDrmMajor)
    snprintf(name, sizeof name, "/dev/dri/renderD%u", static_cast<unsigned>(device & 0xfffff));
  PreloadPort* port = machine();
  Inside inside;
  const int fd = port->open(name, flags);
  if (fd >= 0 && !remember(fd, device)) {
    port->close(fd);
    return answer(-EMFILE);
  }
  return answer(fd);
}

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

// ---- stat
// ----------------------------------------------------------------------------------------

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
  return show(NEXT(fstatat)(fd, Path(path), status, flags), itself(fd, path), status);
}
HOOK(int, fstatat64, int fd, const char* path, struct stat64* status, int flags) {
  return show(NEXT(fstatat64)(fd, Path(path), status, flags), itself(fd, path), status);
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
  return show(NEXT(__fxstatat)(version, fd, Path(path), status, flags), itself(fd, path), status);
}
HOOK(int, __fxstatat64, int version, int fd, const char* path, struct stat64* status, int flags) {
  return show(NEXT(__fxstatat64)(version, fd, Path(path), status, flags), itself(fd, path), status);
}
HOOK(int, statx, int fd, const char* path, int flags, unsigned mask, struct statx* status) {
  const int result = NEXT(statx)(fd, Path(path), flags, mask, status);
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

// ---- open, close, dup
// ------------------------------------------------------------------------------

HOOK(int, openat, int folder, const char* path, int flags, ...) {
  mode_t mode = 0;
  if (takes_mode(flags)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  const Path found(path);
  const bool from_folder = folder != AT_FDCWD && path != nullptr && *path != '/';
  if ((found.is_ours() || from_folder) && machine() != nullptr && (flags & O_PATH) == 0) {
    struct stat status;
    const int before = errno;
    if (NEXT(fstatat)(folder, found, &status, 0) == 0)
      if (const off_t device = device_of(status); device != 0) return open_device(device, flags);
    errno = before;
  }
  return NEXT(openat)(folder, found, flags, mode);
}
HOOK(int, openat64, int folder, const char* path, int flags, ...) {
  mode_t mode = 0;
  if (takes_mode(flags)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  return hook_openat(folder, path, flags | O_LARGEFILE, mode);
}
HOOK(int, open, const char* path, int flags, ...) {
  mode_t mode = 0;
  if (takes_mode(flags)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  return hook_openat(AT_FDCWD, path, flags, mode);
}
HOOK(int, open64, const char* path, int flags, ...) {
  mode_t mode = 0;
  if (takes_mode(flags)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  return hook_openat(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
// What _FORTIFY_SOURCE makes of calls without a mode.
HOOK(int, __open_2, const char* path, int flags) {
  return hook_openat(AT_FDCWD, path, flags);
}
HOOK(int, __open64_2, const char* path, int flags) {
  return hook_openat(AT_FDCWD, path, flags | O_LARGEFILE);
}
HOOK(int, __openat_2, int folder, const char* path, int flags) {
  return hook_openat(folder, path, flags);
}
HOOK(int, __openat64_2, int folder, const char* path, int flags) {
  return hook_openat(folder, path, flags | O_LARGEFILE);
}

HOOK(int, close, int fd) {
  if (device_of(fd) == 0 || in_foreign_process()) return NEXT(close)(fd);
  const bool lost = is_lost(fd);
  forget(fd);
  if (lost) return NEXT(close)(fd);
  PreloadPort* port = machine();
  Inside inside;
  return answer(port->close(fd));
}

namespace {

/// `made` is a new descriptor of what `fd` is one of.
int duplicated(int made, int fd) {
  const off_t device = device_of(fd);
  if (made < 0 || device == 0 || in_foreign_process()) return made;
  if (is_lost(fd)) return made;
  PreloadPort* port = machine();
  if (!remember(made, device)) {
    NEXT(close)(made);
    return answer(-EMFILE);
  }
  Inside inside;
  port->duplicate(made, fd);
  return made;
}

int control(int (*next)(int, int, ...), int fd, int command, void* argument) {
  const int result = next(fd, command, argument);
  return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(result, fd) : result;
}

}  // namespace

HOOK(int, fcntl, int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  return control(NEXT(fcntl), fd, command, argument);
}
HOOK(int, fcntl64, int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  return control(NEXT(fcntl64), fd, command, argument);
}
HOOK(int, dup, int fd) {
  return duplicated(NEXT(dup)(fd), fd);
}
HOOK(int, dup3, int fd, int to, int flags) {
  // The machine must see that `to` is closed, and that before it may be taken again.
  if (fd != to && device_of(to) != 0 && NEXT(fcntl)(fd, F_GETFD) >= 0) hook_close(to);
  return duplicated(NEXT(dup3)(fd, to, flags), fd);
}
HOOK(int, dup2, int fd, int to) {
  if (fd == to) return NEXT(dup2)(fd, to);
  if (device_of(to) != 0 && NEXT(fcntl)(fd, F_GETFD) >= 0) hook_close(to);
  return duplicated(NEXT(dup2)(fd, to), fd);
}

// ---- Devices
// -----------------------------------------------------------------------------------------

HOOK(int, ioctl, int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  if (device_of(fd) == 0) return NEXT(ioctl)(fd, request, argument);
  if (is_lost(fd)) return answer(-EBADF);  // kfd_ioctl: not of the process that opened it
  PreloadPort* port = machine();
  Inside inside;
  return answer(port->ioctl(fd, request, argument));
}

HOOK(void*, mmap, void* hint, size_t length, int protection, int flags, int fd, off_t offset) {
  const bool of_device = (flags & MAP_ANONYMOUS) == 0 && device_of(fd) != 0;
  PreloadPort* port = machine();
  // Others matter where they replace memory that GPUs may have mapped.
  if (port == nullptr || (!of_device && (flags & MAP_FIXED) == 0) ||
      is_engine(__builtin_return_address(0))) {
    if (of_device) return errno = EBADF, MAP_FAILED;
    return NEXT(mmap)(hint, length, protection, flags, fd, offset);
  }
  if (of_device && is_lost(fd)) return errno = EBADF, MAP_FAILED;
  void* address = MAP_FAILED;
  Inside inside;
  const int error = port->mmap(&address, hint, length, protection, flags, fd, offset);
  return answer(error) == 0 ? address : MAP_FAILED;
}
HOOK(void*, mmap64, void* hint, size_t length, int protection, int flags, int fd, off_t offset) {
  if (is_engine(__builtin_return_address(0)))
    return NEXT(mmap64)(hint, length, protection, flags, fd, offset);
  return hook_mmap(hint, length, protection, flags, fd, offset);
}
HOOK(int, munmap, void* address, size_t length) {
  PreloadPort* port = machine();
  if (port == nullptr || is_engine(__builtin_return_address(0)))
    return NEXT(munmap)(address, length);
  Inside inside;
  return answer(port->munmap(address, length));
}

// ---- Paths
// -------------------------------------------------------------------------------------------

HOOK(FILE*, fopen, const char* path, const char* mode) {
  return NEXT(fopen)(Path(path), mode);
}
HOOK(FILE*, fopen64, const char* path, const char* mode) {
  return NEXT(fopen64)(Path(path), mode);
}
HOOK(DIR*, opendir, const char* path) {
  return NEXT(opendir)(Path(path));
}
HOOK(int, scandir, const char* path, dirent*** names, int (*filter)(const dirent*),
     int (*compare)(const dirent**, const dirent**)) {
  return NEXT(scandir)(Path(path), names, filter, compare);
}
HOOK(int, scandir64, const char* path, dirent64*** names, int (*filter)(const dirent64*),
     int (*compare)(const dirent64**, const dirent64**)) {
  return NEXT(scandir64)(Path(path), names, filter, compare);
}
HOOK(int, access, const char* path, int mode) {
  return NEXT(access)(Path(path), mode);
}
HOOK(int, euidaccess, const char* path, int mode) {
  return NEXT(euidaccess)(Path(path), mode);
}
HOOK(int, eaccess, const char* path, int mode) {
  return NEXT(eaccess)(Path(path), mode);
}
HOOK(int, faccessat, int folder, const char* path, int mode, int flags) {
  return NEXT(faccessat)(folder, Path(path), mode, flags);
}
// ls -l asks for access control lists.
HOOK(ssize_t, getxattr, const char* path, const char* name, void* value, size_t size) {
  return NEXT(getxattr)(Path(path), name, value, size);
}
HOOK(ssize_t, lgetxattr, const char* path, const char* name, void* value, size_t size) {
  return NEXT(lgetxattr)(Path(path), name, value, size);
}
HOOK(int, chdir, const char* path) {
  return NEXT(chdir)(Path(path));
}
HOOK(ssize_t, readlink, const char* path, char* target, size_t size) {
  return NEXT(readlink)(Path(path), target, size);
}
HOOK(ssize_t, __readlink_chk, const char* path, char* target, size_t size, size_t room) {
  return NEXT(__readlink_chk)(Path(path), target, size, room);
}
HOOK(ssize_t, readlinkat, int folder, const char* path, char* target, size_t size) {
  return NEXT(readlinkat)(folder, Path(path), target, size);
}
HOOK(ssize_t, __readlinkat_chk, int folder, const char* path, char* target, size_t size,
     size_t room) {
  return NEXT(__readlinkat_chk)(folder, Path(path), target, size, room);
}
HOOK(char*, realpath, const char* path, char* resolved) {
  // Into room of its own first: the tree's name may not fit where the answer does.
  char room[PATH_MAX];
  const Path found(path);
  if (!found.is_ours()) return NEXT(realpath)(path, resolved);
  if (NEXT(realpath)(found, room) == nullptr) return nullptr;
  strip_tree(room);
  if (resolved == nullptr) return strdup(room);
  return strcpy(resolved, room);
}
HOOK(char*, __realpath_chk, const char* path, char* resolved, size_t room) {
  if (Path(path).is_ours() && room >= PATH_MAX) return hook_realpath(path, resolved);
  return NEXT(__realpath_chk)(path, resolved, room);
}
HOOK(char*, canonicalize_file_name, const char* path) {
  return hook_realpath(path, nullptr);
}

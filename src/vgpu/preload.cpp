// Owns: libc's names that open, close and duplicate descriptors, and those that reach a device
//   behind one: ioctl, mmap and its kin. Built into libkiln-vgpu.so, for LD_PRELOAD.
// Does not own: paths (preload_paths.cpp, preload_stat.cpp, preload_folders.cpp), reading and
// polling (preload_io.cpp),
//   starting programs (preload_exec.cpp), what is known of paths and descriptors
//   (preload_state.*), any answer.
// Threading: as libc's own functions.
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vgpu/preload_hook.hpp"

using namespace kiln::vgpu;
using namespace kiln::vgpu::preload;

namespace {

bool takes_mode(int flags) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

/// The device behind /proc/self/fd/N, of which libc would open the memory that stands behind it.
off_t device_of_link(const char* path) {
  static const char* const kRoots[] = {"/proc/self/fd/", "/dev/fd/"};
  if (path == nullptr || path[0] != '/') return 0;
  for (const char* root : kRoots) {
    const size_t length = strlen(root);
    if (strncmp(path, root, length) != 0) continue;
    char* end = nullptr;
    const long fd = strtol(path + length, &end, 10);
    return end != path + length && *end == '\0' ? device_of(static_cast<int>(fd)) : 0;
  }
  return 0;
}

}  // namespace

namespace kiln::vgpu::preload {

int open_device(off_t device, int flags) {
  if ((flags & O_DIRECTORY) != 0) return answer(-ENOTDIR);
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return answer(-EEXIST);
  const unsigned minor = device & 0xfffff;
  char name[32] = "/dev/kfd";
  if (is_render_or_card(device))
    snprintf(name, sizeof name, "/dev/dri/%s%u", minor < 128 ? "card" : "renderD", minor);
  PreloadPort* port = machine();
  Inside inside;
  const int fd = port->open(name, flags);
  if (fd < 0) return answer(fd);
  if ((flags & O_CLOEXEC) == 0) fcntl(fd, F_SETFD, 0);
  if ((flags & O_NONBLOCK) != 0) fcntl(fd, F_SETFL, O_NONBLOCK);
  if (!remember(fd, device)) {
    port->close(fd);
    return answer(-EMFILE);
  }
  return fd;
}

void close_devices(unsigned first, unsigned last) {
  if (in_foreign_process()) return;
  const unsigned highest = static_cast<unsigned>(highest_device());
  for (unsigned fd = first; fd <= last && fd <= highest; ++fd)
    if (device_of(static_cast<int>(fd)) != 0) hook_close(static_cast<int>(fd));
}

}  // namespace kiln::vgpu::preload

// ---- open

HOOK(int, openat, int folder, const char* path, int flags, ...) {
  mode_t mode = 0;
  if (takes_mode(flags)) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  const Path found(folder, path);
  if ((flags & O_PATH) == 0 && machine() != nullptr) {
    off_t device = device_of_link(path);
    if (device == 0 && (found.is_ours() || (path != nullptr && *path != '/')))
      device = device_at(folder, found);
    if (device != 0) return open_device(device, flags);
  }
  const int fd = NEXT(openat)(folder, found, flags, mode);
  if (!found.is_ours()) note_folder(fd, path);
  return fd;
}
// The others are told from it by their arguments only.
#define OPEN(name, folder, extra, ...)                       \
  HOOK(int, name, __VA_ARGS__, ...) {                        \
    mode_t mode = 0;                                         \
    if (takes_mode(flags)) {                                 \
      va_list rest;                                          \
      va_start(rest, flags);                                 \
      mode = va_arg(rest, mode_t);                           \
      va_end(rest);                                          \
    }                                                        \
    return hook_openat(folder, path, flags | (extra), mode); \
  }
OPEN(openat64, folder, O_LARGEFILE, int folder, const char* path, int flags)
OPEN(open, AT_FDCWD, 0, const char* path, int flags)
OPEN(open64, AT_FDCWD, O_LARGEFILE, const char* path, int flags)
// libc's own callers of other libraries.
OPEN(__open, AT_FDCWD, 0, const char* path, int flags)
OPEN(__open64, AT_FDCWD, O_LARGEFILE, const char* path, int flags)
#undef OPEN
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
HOOK(int, creat, const char* path, mode_t mode) {
  return hook_openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
HOOK(int, creat64, const char* path, mode_t mode) {
  return hook_openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode);
}

// ---- close

HOOK(int, close, int fd) {
  // A program that closes all it does not know must not let others sweep the tree away.
  if (is_tree_lock(fd)) return answer(-EBADF);
  if (device_of(fd) == 0 || in_foreign_process()) return NEXT(close)(fd);
  const bool lost = is_lost(fd);
  forget(fd);
  if (lost) return NEXT(close)(fd);
  PreloadPort* port = machine();
  Inside inside;
  return answer(port->close(fd));
}
HOOK(int, __close, int fd) {
  return hook_close(fd);
}
HOOK(int, close_range, unsigned first, unsigned last, int flags) {
  if (first > last || (flags & CLOSE_RANGE_CLOEXEC) != 0 || in_foreign_process())
    return NEXT(close_range)(first, last, flags);
  close_devices(first, last);
  // Around the lock of the tree.
  const int lock = tree_lock_within(first, last);
  if (lock < 0) return NEXT(close_range)(first, last, flags);
  const unsigned middle = static_cast<unsigned>(lock);
  if (middle > first && NEXT(close_range)(first, middle - 1, flags) != 0) return -1;
  return middle < last ? NEXT(close_range)(middle + 1, last, flags) : 0;
}
HOOK(void, closefrom, int first) {
  if (machine() == nullptr || in_foreign_process()) return NEXT(closefrom)(first);
  hook_close_range(static_cast<unsigned>(first < 0 ? 0 : first), ~0u, 0);
}

// ---- dup

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
HOOK(int, mprotect, void* address, size_t length, int protection) {
  PreloadPort* port = machine();
  if (port == nullptr || is_engine(__builtin_return_address(0)))
    return NEXT(mprotect)(address, length, protection);
  Inside inside;
  return answer(port->mprotect(address, length, protection));
}
HOOK(void*, mremap, void* old, size_t old_length, size_t length, int flags, ...) {
  void* to = nullptr;
  if ((flags & MREMAP_FIXED) != 0) {
    va_list rest;
    va_start(rest, flags);
    to = va_arg(rest, void*);
    va_end(rest);
  }
  PreloadPort* port = machine();
  if (port == nullptr || is_engine(__builtin_return_address(0)))
    return NEXT(mremap)(old, old_length, length, flags, to);
  void* address = old;
  Inside inside;
  return answer(port->mremap(&address, old_length, length, flags, to)) == 0 ? address : MAP_FAILED;
}

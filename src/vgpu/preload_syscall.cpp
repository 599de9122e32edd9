// Owns: syscall(), by which programs reach the kernel past libc's names, and the library's start.
// Does not own: the names themselves.
// Threading: as libc's own functions.
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <type_traits>

#include "vgpu/preload_hook.hpp"

using namespace kiln::vgpu::preload;

namespace {

__attribute__((constructor)) void start() {
  settings();
}

template <class To>
To as(long value) {
  if constexpr (std::is_pointer_v<To>)
    return reinterpret_cast<To>(value);
  else
    return static_cast<To>(value);
}
using Text = const char*;

}  // namespace

// Those calls that are given a path, or a descriptor that may be a device's, go by the names above.
HOOK(long, syscall, long number, ...) {
  va_list rest;
  va_start(rest, number);
  const long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long),
             d = va_arg(rest, long), e = va_arg(rest, long), f = va_arg(rest, long);
  va_end(rest);
  if (is_wanted() && !is_engine(__builtin_return_address(0))) {
    const int fd = as<int>(a);
    switch (number) {
      case SYS_open:
        return hook_openat(AT_FDCWD, as<Text>(a), as<int>(b), as<mode_t>(c));
      case SYS_openat:
        return hook_openat(fd, as<Text>(b), as<int>(c), as<mode_t>(d));
      case SYS_close:
        return hook_close(fd);
      case SYS_close_range:
        return close_range(as<unsigned>(a), as<unsigned>(b), as<int>(c));
      case SYS_dup:
        return hook_dup(fd);
      case SYS_dup2:
        return hook_dup2(fd, as<int>(b));
      case SYS_dup3:
        return hook_dup3(fd, as<int>(b), as<int>(c));
      case SYS_fcntl:
        return hook_fcntl(fd, as<int>(b), as<void*>(c));
      case SYS_ioctl:
        return hook_ioctl(fd, as<unsigned long>(b), as<void*>(c));
      case SYS_mmap:
        return as<long>(reinterpret_cast<intptr_t>(
            hook_mmap(as<void*>(a), as<size_t>(b), as<int>(c), as<int>(d), as<int>(e), f)));
      case SYS_munmap:
        return hook_munmap(as<void*>(a), as<size_t>(b));
      case SYS_mprotect:
        return mprotect(as<void*>(a), as<size_t>(b), as<int>(c));
      case SYS_stat:
        return stat(as<Text>(a), as<struct stat*>(b));
      case SYS_lstat:
        return lstat(as<Text>(a), as<struct stat*>(b));
      case SYS_fstat:
        return fstat(fd, as<struct stat*>(b));
      case SYS_newfstatat:
        return fstatat(fd, as<Text>(b), as<struct stat*>(c), as<int>(d));
      case SYS_statx:
        return statx(fd, as<Text>(b), as<int>(c), as<unsigned>(d), as<struct statx*>(e));
      case SYS_access:
        return access(as<Text>(a), as<int>(b));
      case SYS_faccessat:
        return faccessat(fd, as<Text>(b), as<int>(c), 0);
      case SYS_readlink:
        return readlink(as<Text>(a), as<char*>(b), as<size_t>(c));
      case SYS_readlinkat:
        return readlinkat(fd, as<Text>(b), as<char*>(c), as<size_t>(d));
      case SYS_read:
        return read(fd, as<void*>(b), as<size_t>(c));
      case SYS_write:
        return write(fd, as<const void*>(b), as<size_t>(c));
      case SYS_pread64:
        return pread(fd, as<void*>(b), as<size_t>(c), d);
      case SYS_lseek:
        return lseek(fd, b, as<int>(c));
      case SYS_chdir:
        return chdir(as<Text>(a));
      case SYS_execve:
        return execve(as<Text>(a), as<char* const*>(b), as<char* const*>(c));
      default:
        break;
    }
  }
  return NEXT(syscall)(number, a, b, c, d, e, f);
}

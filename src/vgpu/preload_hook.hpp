// Owns: how a function of libc is stood in front of, and what such functions share.
// Does not own: any of libc's names (preload*.cpp), what is known of paths and descriptors
//   (preload_state.*).
// Threading: as libc's own functions.
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "vgpu/preload_state.hpp"

namespace kiln::vgpu::preload {

void* look_up(const char* name, void** place);

/// Looks up the function behind one of libc's names when the library is loaded: what stands in
/// front of close() or execve() may be called where dlsym() may not.
struct Next {
  Next(const char* name, void** place) { look_up(name, place); }
};

/// A path where libc finds it: in the tree of the machine's files, or as it was given.
class Path {
 public:
  explicit Path(const char* path) : Path(kHere, path) {}
  /// `folder` as openat takes it.
  Path(int folder, const char* path) : found_(redirect(folder, path, room_)) {}
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;
  operator const char*() const { return found_; }
  bool is_ours() const { return found_ == room_; }

 private:
  static constexpr int kHere = -100;  // AT_FDCWD
  char room_[PATH_MAX];
  const char* found_;
};

/// A result of the machine as libc gives it.
inline int answer(int result) {
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

inline bool is_render_or_card(off_t device) {
  return device >> 20 == kDrmMajor;
}

/// The device that a file is, found as stat does; 0 if none.
off_t device_at(int folder, const char* path);
/// A new descriptor of a device; -1 and errno.
int open_device(off_t device, int flags);
/// `fd` is of the folder `path`, if it is one.
void note_folder(int fd, const char* path);
/// Closes descriptors of the machine's devices from `first` to `last`.
void close_devices(unsigned first, unsigned last);

}  // namespace kiln::vgpu::preload

// Each function is defined under a name of its own and exported under libc's, so that libc's
// headers (their attributes, inline forms and 64-bit renamings) do not meet it.
#define HOOK(result, name, ...)                                                                 \
  extern "C" __attribute__((visibility("default"))) result hook_##name(__VA_ARGS__) asm(#name); \
  static void* next_##name;                                                                     \
  static const ::kiln::vgpu::preload::Next entry_##name(#name, &next_##name);                   \
  result hook_##name(__VA_ARGS__)
// libc's function behind a name of the same file.
#define NEXT(name)                                                                       \
  (reinterpret_cast<decltype(&hook_##name)>(                                             \
      __builtin_expect(__atomic_load_n(&next_##name, __ATOMIC_RELAXED) != nullptr, true) \
          ? __atomic_load_n(&next_##name, __ATOMIC_RELAXED)                              \
          : ::kiln::vgpu::preload::look_up(#name, &next_##name)))

// Called across files.
extern "C" {
int hook_openat(int folder, const char* path, int flags, ...) asm("openat");
int hook_close(int fd) asm("close");
int hook_ioctl(int fd, unsigned long request, ...) asm("ioctl");
void* hook_mmap(void* hint, size_t length, int protection, int flags, int fd,
                off_t offset) asm("mmap");
int hook_munmap(void* address, size_t length) asm("munmap");
int hook_dup(int fd) asm("dup");
int hook_dup2(int fd, int to) asm("dup2");
int hook_dup3(int fd, int to, int flags) asm("dup3");
int hook_fcntl(int fd, int command, ...) asm("fcntl");
}

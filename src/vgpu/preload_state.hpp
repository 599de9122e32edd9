// Owns: what the preload library knows: the machine once it is needed, the directory that holds its
//   files, and which descriptors are of its devices.
// Does not own: libc's names (preload.cpp), any answer of the machine (preload_port.hpp).
// Threading: any thread. A fork's child starts without machine; the descriptors it inherits are
//   refused, as KFD refuses those of another process.
#pragma once

#include <dlfcn.h>
#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>

#include "vgpu/preload_port.hpp"

namespace kiln::vgpu::preload {

/// While one lives, this thread's calls go to libc: the machine itself uses the names it stands
/// for.
class Inside {
 public:
  Inside() { ++depth_; }
  ~Inside() { --depth_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  static bool now() { return depth_ != 0; }

 private:
  __attribute__((tls_model("initial-exec"))) static thread_local int depth_;
};

/// The machine, if a path has called for it; null inside it.
PreloadPort* machine();
/// True for addresses of the engine's code, whose threads use libc for themselves.
bool is_engine(const void* code);

/// What was asked for when the library was loaded; all null where no machine is.
struct Settings {
  const char* spec = nullptr;     ///< "KILN_VGPU=..."
  const char* library = nullptr;  ///< the path of this library
};
const Settings& settings();
/// True if there is a machine, or will be as soon as a path calls for it.
bool is_wanted();

/// Where `path` is found, `folder` as openat takes it: in `room` for what the machine answers for,
/// which loads it, else `path`.
const char* redirect(int folder, const char* path, char (&room)[PATH_MAX]);
/// Takes the directory of the machine's files off the front of an absolute path.
void strip_tree(char* path);
/// The same, and turns the memory behind a device into its name in /dev.
void strip_own_name(char* path);
/// False if strip_own_name has nothing to do for what begins with `text`.
bool may_be_own_name(const char* text, size_t length);
/// The device number of a file that stands for a device of the machine, as device_file_size makes
/// it; 0 for all others.
off_t device_of(const struct stat& status);

/// The device number of an open device of the machine; 0 for all other descriptors.
off_t device_of(int fd);
/// True if the descriptor was opened before a fork, by the parent.
bool is_lost(int fd);
/// False if the number is too high to be kept.
bool remember(int fd, off_t device);
void forget(int fd);
/// No device has a higher number.
int highest_device();
/// True for the descriptor that keeps the tree from being swept away.
bool is_tree_lock(int fd);
/// That descriptor if it lies from `first` to `last`, else -1.
int tree_lock_within(unsigned first, unsigned last);
/// True in a child that shares its parent's memory (vfork): nothing may be noted there.
bool in_foreign_process();

}  // namespace kiln::vgpu::preload

// Owns: libc's names that are given a path and neither open a descriptor nor tell what a file is:
//   streams, links, rights, the working directory, and searches in folders.
// Does not own: where files are (preload_state.*).
// Threading: as libc's own functions.
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "vgpu/preload_hook.hpp"

using namespace kiln::vgpu;
using namespace kiln::vgpu::preload;

// ---- Streams

namespace {

/// The flags of open that a mode of fopen stands for.
int flags_of(const char* mode) {
  int flags = *mode == 'r' ? O_RDONLY : O_WRONLY;
  for (; *mode != '\0' && *mode != ','; ++mode) {
    if (*mode == '+') flags = (flags & ~O_ACCMODE) | O_RDWR;
    if (*mode == 'e') flags |= O_CLOEXEC;
    if (*mode == 'x') flags |= O_CREAT | O_EXCL;
  }
  return flags;
}

/// The device that a stream is asked for; 0 if none.
off_t device_of_stream(const Path& found) {
  return found.is_ours() && machine() != nullptr ? device_at(AT_FDCWD, found) : 0;
}

FILE* stream_of(off_t device, const char* mode) {
  const int fd = open_device(device, flags_of(mode));
  if (fd < 0) return nullptr;
  FILE* stream = fdopen(fd, mode);
  if (stream == nullptr) hook_close(fd);
  return stream;
}

/// The stream keeps its number and goes on with the device.
FILE* stream_over(off_t device, const char* mode, FILE* stream) {
  const int fd = open_device(device, flags_of(mode));
  if (fd < 0) return nullptr;
  fflush(stream);
  const int result = hook_dup2(fd, fileno(stream));
  hook_close(fd);
  return result < 0 ? nullptr : stream;
}

}  // namespace

HOOK(FILE*, fopen, const char* path, const char* mode) {
  const Path found(path);
  if (const off_t device = device_of_stream(found); device != 0) return stream_of(device, mode);
  return NEXT(fopen)(found, mode);
}
HOOK(FILE*, fopen64, const char* path, const char* mode) {
  const Path found(path);
  if (const off_t device = device_of_stream(found); device != 0) return stream_of(device, mode);
  return NEXT(fopen64)(found, mode);
}
HOOK(FILE*, freopen, const char* path, const char* mode, FILE* stream) {
  const Path found(path);
  if (const off_t device = device_of_stream(found); device != 0)
    return stream_over(device, mode, stream);
  return NEXT(freopen)(found, mode, stream);
}
HOOK(FILE*, freopen64, const char* path, const char* mode, FILE* stream) {
  const Path found(path);
  if (const off_t device = device_of_stream(found); device != 0)
    return stream_over(device, mode, stream);
  return NEXT(freopen64)(found, mode, stream);
}
// Streams close their descriptor inside libc.
HOOK(int, fclose, FILE* stream) {
  const int fd = stream == nullptr ? -1 : fileno(stream);
  if (device_of(fd) != 0 && !in_foreign_process()) {
    // Something else takes the number, which the stream gives back.
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing >= 0 && hook_dup3(nothing, fd, O_CLOEXEC) >= 0) hook_close(nothing);
  }
  return NEXT(fclose)(stream);
}

// ---- Folders

HOOK(int, scandir, const char* path, dirent*** names, int (*filter)(const dirent*),
     int (*compare)(const dirent**, const dirent**)) {
  return NEXT(scandir)(Path(path), names, filter, compare);
}
HOOK(int, scandir64, const char* path, dirent64*** names, int (*filter)(const dirent64*),
     int (*compare)(const dirent64**, const dirent64**)) {
  return NEXT(scandir64)(Path(path), names, filter, compare);
}
HOOK(int, scandirat, int folder, const char* path, dirent*** names, int (*filter)(const dirent*),
     int (*compare)(const dirent**, const dirent**)) {
  return NEXT(scandirat)(folder, Path(folder, path), names, filter, compare);
}
HOOK(int, scandirat64, int folder, const char* path, dirent64*** names,
     int (*filter)(const dirent64*), int (*compare)(const dirent64**, const dirent64**)) {
  return NEXT(scandirat64)(folder, Path(folder, path), names, filter, compare);
}

namespace {

// glob looks around inside libc, unless it is told by which functions.
void* open_folder(const char* path) {
  return opendir(path);
}
dirent* read_folder(void* folder) {
  return readdir(static_cast<DIR*>(folder));
}
dirent64* read_folder64(void* folder) {
  return readdir64(static_cast<DIR*>(folder));
}
void close_folder(void* folder) {
  closedir(static_cast<DIR*>(folder));
}
int stat_of(const char* path, struct stat* status) {
  return stat(path, status);
}
int lstat_of(const char* path, struct stat* status) {
  return lstat(path, status);
}
int stat64_of(const char* path, struct stat64* status) {
  return stat64(path, status);
}
int lstat64_of(const char* path, struct stat64* status) {
  return lstat64(path, status);
}

}  // namespace

HOOK(int, glob, const char* pattern, int flags, int (*error)(const char*, int), glob_t* found) {
  if ((flags & GLOB_ALTDIRFUNC) != 0 || !is_wanted())
    return NEXT(glob)(pattern, flags, error, found);
  found->gl_opendir = open_folder;
  found->gl_readdir = read_folder;
  found->gl_closedir = close_folder;
  found->gl_stat = stat_of;
  found->gl_lstat = lstat_of;
  const int result = NEXT(glob)(pattern, flags | GLOB_ALTDIRFUNC, error, found);
  found->gl_flags &= ~GLOB_ALTDIRFUNC;
  return result;
}
HOOK(int, glob64, const char* pattern, int flags, int (*error)(const char*, int), glob64_t* found) {
  if ((flags & GLOB_ALTDIRFUNC) != 0 || !is_wanted())
    return NEXT(glob64)(pattern, flags, error, found);
  found->gl_opendir = open_folder;
  found->gl_readdir = read_folder64;
  found->gl_closedir = close_folder;
  found->gl_stat = stat64_of;
  found->gl_lstat = lstat64_of;
  const int result = NEXT(glob64)(pattern, flags | GLOB_ALTDIRFUNC, error, found);
  found->gl_flags &= ~GLOB_ALTDIRFUNC;
  return result;
}

// ---- Rights

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
  return NEXT(faccessat)(folder, Path(folder, path), mode, flags);
}
// ls -l asks for access control lists.
HOOK(ssize_t, getxattr, const char* path, const char* name, void* value, size_t size) {
  return NEXT(getxattr)(Path(path), name, value, size);
}
HOOK(ssize_t, lgetxattr, const char* path, const char* name, void* value, size_t size) {
  return NEXT(lgetxattr)(Path(path), name, value, size);
}
HOOK(ssize_t, listxattr, const char* path, char* names, size_t size) {
  return NEXT(listxattr)(Path(path), names, size);
}
HOOK(ssize_t, llistxattr, const char* path, char* names, size_t size) {
  return NEXT(llistxattr)(Path(path), names, size);
}

// ---- File systems

HOOK(int, statfs, const char* path, struct statfs* status) {
  return NEXT(statfs)(Path(path), status);
}
HOOK(int, statfs64, const char* path, struct statfs64* status) {
  return NEXT(statfs64)(Path(path), status);
}
HOOK(int, statvfs, const char* path, struct statvfs* status) {
  return NEXT(statvfs)(Path(path), status);
}
HOOK(int, statvfs64, const char* path, struct statvfs64* status) {
  return NEXT(statvfs64)(Path(path), status);
}

// ---- The working directory

HOOK(int, chdir, const char* path) {
  return NEXT(chdir)(Path(path));
}
HOOK(char*, getcwd, char* room, size_t size) {
  if (machine() == nullptr) return NEXT(getcwd)(room, size);
  // Into room of its own first: the tree's name may not fit where the answer does.
  char whole[2 * PATH_MAX];
  if (NEXT(getcwd)(whole, sizeof whole) == nullptr) return nullptr;
  strip_tree(whole);
  const size_t length = strlen(whole) + 1;
  if (room == nullptr) {
    room = static_cast<char*>(malloc(size == 0 ? length : size));
    if (room == nullptr) return nullptr;
    if (size == 0) size = length;
  } else if (size == 0) {
    return errno = EINVAL, nullptr;
  }
  if (length > size) return errno = ERANGE, nullptr;
  return static_cast<char*>(memcpy(room, whole, length));
}
HOOK(char*, __getcwd_chk, char* room, size_t size, size_t) {
  return hook_getcwd(room, size);
}
HOOK(char*, get_current_dir_name) {
  if (machine() == nullptr) return NEXT(get_current_dir_name)();
  return hook_getcwd(nullptr, 0);
}

// ---- Links

namespace {

/// What a link said, without the machine's own names: its tree, the memory behind its devices.
ssize_t shown(ssize_t length, char* target, size_t size, ssize_t (*again)(const void*, char*),
              const void* argument) {
  // Also those of other processes of this machine: ls has none of its own.
  if (length <= 0 || !is_wanted() || !may_be_own_name(target, static_cast<size_t>(length)))
    return length;
  char whole[PATH_MAX];
  const ssize_t all = again(argument, whole);
  if (all < 0) return all;
  whole[all] = '\0';
  strip_own_name(whole);
  const size_t fits = strlen(whole) < size ? strlen(whole) : size;
  memcpy(target, whole, fits);
  return static_cast<ssize_t>(fits);
}

struct LinkAt {
  int folder;
  const char* path;
};

ssize_t read_again(const void* argument, char* whole) {
  const auto* link = static_cast<const LinkAt*>(argument);
  Inside inside;
  return readlinkat(link->folder, link->path, whole, PATH_MAX - 1);
}

}  // namespace

HOOK(ssize_t, readlinkat, int folder, const char* path, char* target, size_t size) {
  const Path found(folder, path);
  const LinkAt link{folder, found};
  return shown(NEXT(readlinkat)(folder, found, target, size), target, size, read_again, &link);
}
HOOK(ssize_t, readlink, const char* path, char* target, size_t size) {
  const Path found(path);
  const LinkAt link{AT_FDCWD, found};
  return shown(NEXT(readlink)(found, target, size), target, size, read_again, &link);
}
HOOK(ssize_t, __readlink_chk, const char* path, char* target, size_t size, size_t room) {
  if (size > room) return NEXT(__readlink_chk)(path, target, size, room);  // which ends the program
  return hook_readlink(path, target, size);
}
HOOK(ssize_t, __readlinkat_chk, int folder, const char* path, char* target, size_t size,
     size_t room) {
  if (size > room) return NEXT(__readlinkat_chk)(folder, path, target, size, room);
  return hook_readlinkat(folder, path, target, size);
}
HOOK(char*, realpath, const char* path, char* resolved) {
  if (path == nullptr || (*path == '/' && !Path(path).is_ours() && machine() == nullptr))
    return NEXT(realpath)(path, resolved);
  char room[PATH_MAX];  // the tree's name may not fit where the answer does
  if (NEXT(realpath)(Path(path), room) == nullptr) return nullptr;
  strip_own_name(room);
  if (resolved == nullptr) return strdup(room);
  return strcpy(resolved, room);
}
HOOK(char*, __realpath_chk, const char* path, char* resolved, size_t room) {
  if (room < PATH_MAX) return NEXT(__realpath_chk)(path, resolved, room);  // ends the program
  return hook_realpath(path, resolved);
}
HOOK(char*, canonicalize_file_name, const char* path) {
  return hook_realpath(path, nullptr);
}

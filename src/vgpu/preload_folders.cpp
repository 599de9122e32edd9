// Owns: libc's names that list folders: the machine's entries stand behind the host's in folders
//   that both have, and its devices are listed as what they are.
// Does not own: folders that are the machine's alone, which lie in its tree (preload_tree.cpp).
// Threading: as libc's own functions.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vgpu/preload_hook.hpp"

static_assert(sizeof(struct dirent) == sizeof(struct dirent64));

using namespace kiln::vgpu;
using namespace kiln::vgpu::preload;

namespace {

struct Entry {
  const char* name;
  unsigned char type;
};
struct Folder {
  const char* path;
  Entry entries[3];
};
constexpr Folder kFolders[] = {
    {"/dev", {{"kfd", DT_CHR}, {"dri", DT_DIR}, {nullptr, 0}}},
    {"/sys/class", {{"kfd", DT_DIR}, {"drm", DT_DIR}, {"hwmon", DT_DIR}}},
    {"/sys/module", {{"amdgpu", DT_DIR}, {nullptr, 0}, {nullptr, 0}}},
    {"/sys/devices/virtual", {{"kfd", DT_DIR}, {nullptr, 0}, {nullptr, 0}}},
    {"/sys/bus/pci/drivers", {{"amdgpu", DT_DIR}, {nullptr, 0}, {nullptr, 0}}},
};
constexpr int kFolderCount = sizeof kFolders / sizeof kFolders[0];

/// A stream on such a folder.
struct Listing {
  DIR* stream;
  int folder;
  size_t next;
  struct dirent entry;
};
constexpr int kMostListings = 16;  // at once; further ones show what the host has
Listing listings[kMostListings];
int listing_count;  // atomic accesses
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
constexpr int kMostFds = 1024;
unsigned char folder_of_fd[kMostFds];  // atomic accesses; 1 + folder

/// The folder of that path, perhaps with slashes at its end; else -1.
int folder_at(const char* path) {
  if (path == nullptr || path[0] != '/' || !is_wanted()) return -1;
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') --length;
  for (int i = 0; i < kFolderCount; ++i)
    if (strlen(kFolders[i].path) == length && strncmp(path, kFolders[i].path, length) == 0)
      return i;
  return -1;
}

void begin_listing(DIR* stream, int folder) {
  if (stream == nullptr || folder < 0) return;
  pthread_mutex_lock(&mutex);
  for (Listing& listing : listings)
    if (listing.stream == nullptr) {
      listing = {stream, folder, 0, {}};
      __atomic_fetch_add(&listing_count, 1, __ATOMIC_RELAXED);
      break;
    }
  pthread_mutex_unlock(&mutex);
}

/// What is kept of a stream; null for all others. A stream is one thread's at a time.
Listing* listing_of(DIR* stream) {
  if (stream == nullptr || __atomic_load_n(&listing_count, __ATOMIC_RELAXED) == 0) return nullptr;
  Listing* found = nullptr;
  pthread_mutex_lock(&mutex);
  for (Listing& listing : listings)
    if (listing.stream == stream) found = &listing;
  pthread_mutex_unlock(&mutex);
  return found;
}

/// The next entry that the host does not have; null after the last.
struct dirent* next_of(Listing& listing) {
  const Folder& folder = kFolders[listing.folder];
  while (listing.next < 3 && folder.entries[listing.next].name != nullptr) {
    const Entry& entry = folder.entries[listing.next++];
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder.path, entry.name);
    struct stat status;
    const int before = errno;
    Inside inside;
    const bool is_hosts = lstat(path, &status) == 0;
    errno = before;
    if (is_hosts) continue;
    listing.entry.d_ino = (1u << 30) + listing.next;
    listing.entry.d_off = 0;
    listing.entry.d_reclen = sizeof listing.entry;
    listing.entry.d_type = entry.type;
    strcpy(listing.entry.d_name, entry.name);
    return &listing.entry;
  }
  return nullptr;
}

/// `entry` as Linux lists it: what stands for a device is a file only in the tree.
template <class Dirent>
Dirent* shown(DIR* stream, Dirent* entry) {
  if (entry == nullptr) {
    Listing* listing = listing_of(stream);
    return listing != nullptr ? reinterpret_cast<Dirent*>(next_of(*listing)) : nullptr;
  }
  if (entry->d_type == DT_REG && machine() != nullptr &&
      (strncmp(entry->d_name, "card", 4) == 0 || strncmp(entry->d_name, "renderD", 7) == 0) &&
      device_at(dirfd(stream), entry->d_name) != 0)
    entry->d_type = DT_CHR;
  return entry;
}

}  // namespace

namespace kiln::vgpu::preload {

void note_folder(int fd, const char* path) {
  if (fd < 0 || fd >= kMostFds) return;
  const int folder = folder_at(path);
  if (folder >= 0 || __atomic_load_n(&folder_of_fd[fd], __ATOMIC_RELAXED) != 0)
    __atomic_store_n(&folder_of_fd[fd], static_cast<unsigned char>(1 + folder), __ATOMIC_RELAXED);
}

}  // namespace kiln::vgpu::preload

HOOK(DIR*, opendir, const char* path) {
  DIR* stream = NEXT(opendir)(Path(path));
  begin_listing(stream, folder_at(path));
  return stream;
}
HOOK(DIR*, fdopendir, int fd) {
  DIR* stream = NEXT(fdopendir)(fd);
  if (fd >= 0 && fd < kMostFds)
    begin_listing(stream, __atomic_load_n(&folder_of_fd[fd], __ATOMIC_RELAXED) - 1);
  return stream;
}
HOOK(struct dirent*, readdir, DIR* stream) {
  return shown(stream, NEXT(readdir)(stream));
}
HOOK(struct dirent64*, readdir64, DIR* stream) {
  return shown(stream, NEXT(readdir64)(stream));
}
HOOK(void, rewinddir, DIR* stream) {
  if (Listing* listing = listing_of(stream)) listing->next = 0;
  NEXT(rewinddir)(stream);
}
HOOK(int, closedir, DIR* stream) {
  if (Listing* listing = listing_of(stream)) {
    pthread_mutex_lock(&mutex);
    listing->stream = nullptr;
    __atomic_fetch_sub(&listing_count, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&mutex);
  }
  return NEXT(closedir)(stream);
}

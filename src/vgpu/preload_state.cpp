#include "vgpu/preload_state.hpp"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

// Everything here calls libc inside an Inside, where its own names stand aside.

namespace kiln::vgpu::preload {

thread_local int Inside::depth_;

namespace {

constexpr char kEngine[] = "libkiln-vgpu-engine.so.0";
constexpr char kTreeName[] = "kiln-vgpu-";
constexpr int kMostFds = 1 << 16;
constexpr uint32_t kLost = 1u << 31;

pthread_mutex_t load_mutex = PTHREAD_MUTEX_INITIALIZER;
PreloadPort* port;  // atomic accesses
bool failed;        // under load_mutex
pid_t owner;
char tree_base[PATH_MAX - 2 * NAME_MAX];
char tree[PATH_MAX - NAME_MAX];
size_t tree_length;
dev_t tree_device;
int tree_lock = -1;
uintptr_t engine_begin, engine_end;
uint32_t devices[kMostFds];  // atomic accesses; by descriptor
int highest_fd;              // atomic accesses

int remove_entry(const char* path, const struct stat*, int, struct FTW*) {
  return remove(path);
}

void remove_tree(const char* path) {
  nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void drop_lock() {
  if (tree_lock >= 0) close(tree_lock);
  tree_lock = -1;
}

/// Removes the trees of processes that could not do it themselves (killed, or another program by
/// now): nobody holds their lock.
void sweep(const char* base) {
  DIR* directory = opendir(base);
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    if (strncmp(entry->d_name, kTreeName, sizeof kTreeName - 1) != 0) continue;
    const int fd =
        openat(dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat status;
    char path[PATH_MAX];
    if (fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        snprintf(path, sizeof path, "%s/%s", base, entry->d_name) < static_cast<int>(sizeof path))
      remove_tree(path);
    close(fd);
  }
  closedir(directory);
}

/// 0, or errno.
int make_tree_in(PreloadPort& made, const char* folder) {
  char real[PATH_MAX];  // no link in front of what is asked for below
  if (realpath(folder, real) == nullptr) return errno;
  if (strlen(real) >= sizeof tree_base) return ENAMETOOLONG;
  strcpy(tree_base, real);
  sweep(tree_base);
  // Under another name until it is locked: what has the name and no lock may be removed.
  char fresh[sizeof tree_base + 32], name[sizeof fresh];
  snprintf(fresh, sizeof fresh, "%s/.%sXXXXXX", tree_base, kTreeName);
  if (mkdtemp(fresh) == nullptr) return errno;
  tree_lock = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  constexpr int kOutOfTheWay = 512;  // programs count on low descriptors
  if (const int high = fcntl(tree_lock, F_DUPFD_CLOEXEC, kOutOfTheWay); high >= 0) {
    close(tree_lock);
    tree_lock = high;
  }
  snprintf(name, sizeof name, "%s/%s%s", tree_base, kTreeName, fresh + strlen(fresh) - 6);
  struct stat status;
  if (tree_lock < 0 || flock(tree_lock, LOCK_EX | LOCK_NB) != 0 || fstat(tree_lock, &status) != 0 ||
      rename(fresh, name) != 0) {
    const int error = errno;
    remove_tree(fresh);
    drop_lock();
    return error;
  }
  if (const int error = made.write_tree(name); error != 0) {
    remove_tree(name);
    drop_lock();
    return -error;
  }
  strcpy(tree, name);
  tree_length = strlen(tree);
  tree_device = status.st_dev;
  return 0;
}

int make_tree(PreloadPort& made) {
  // Memory is where /sys is, and many times faster than a disk for a thousand small files.
  const char* chosen = secure_getenv("TMPDIR");
  if (chosen != nullptr && *chosen == '/') return make_tree_in(made, chosen);
  if (make_tree_in(made, "/dev/shm") == 0) return 0;
  return make_tree_in(made, "/tmp");
}

void end_of_process() {
  Inside inside;
  if (tree_length == 0 || owner != getpid()) return;
  remove_tree(tree);
  sweep(tree_base);  // of children
}

void in_forked_child() {
  // The parent's threads are gone and its machine with them; the child may have one of its own.
  const int last = __atomic_load_n(&highest_fd, __ATOMIC_RELAXED);
  for (int fd = 0; fd <= last; ++fd)
    if (devices[fd] != 0) devices[fd] |= kLost;
  __atomic_store_n(&port, nullptr, __ATOMIC_RELEASE);
  tree_length = 0;
  owner = getpid();
  drop_lock();
  pthread_mutex_init(&load_mutex, nullptr);
}

int note_engine(dl_phdr_info* info, size_t, void* symbol) {
  uintptr_t begin = UINTPTR_MAX, end = 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) continue;
    const uintptr_t at = info->dlpi_addr + header.p_vaddr;
    if (at < begin) begin = at;
    if (at + header.p_memsz > end) end = at + header.p_memsz;
  }
  const auto wanted = reinterpret_cast<uintptr_t>(symbol);
  if (wanted < begin || wanted >= end) return 0;
  engine_begin = begin;
  engine_end = end;
  return 1;
}

/// The engine lies beside this library; a system-wide one is the fallback.
void* open_engine() {
  Dl_info self{};
  if (dladdr(reinterpret_cast<void*>(&open_engine), &self) != 0 && self.dli_fname != nullptr) {
    char path[PATH_MAX];
    const char* slash = strrchr(self.dli_fname, '/');
    const int length = slash == nullptr ? 0 : static_cast<int>(slash - self.dli_fname) + 1;
    if (snprintf(path, sizeof path, "%.*s%s", length, self.dli_fname, kEngine) <
        static_cast<int>(sizeof path))
      if (void* engine = dlopen(path, RTLD_NOW | RTLD_LOCAL)) return engine;
  }
  return dlopen(kEngine, RTLD_NOW | RTLD_LOCAL);
}

PreloadPort* load(const char* spec) {
  void* engine = open_engine();
  if (engine == nullptr) {
    fprintf(stderr, "libkiln-vgpu.so: the virtual GPU cannot be loaded: %s\n", dlerror());
    return nullptr;
  }
  const auto create = reinterpret_cast<PreloadFn>(dlsym(engine, "kiln_vgpu_preload"));
  if (create == nullptr) {
    fprintf(stderr, "libkiln-vgpu.so: %s is not of the same version of Kiln\n", kEngine);
    return nullptr;
  }
  dl_iterate_phdr(note_engine, reinterpret_cast<void*>(create));
  char error[512] = "";
  PreloadPort* made = create(spec, error, sizeof error);
  if (made == nullptr) {
    fprintf(stderr, "libkiln-vgpu.so: %s\n", error);
    return nullptr;
  }
  if (const int why = make_tree(*made); why != 0) {
    fprintf(stderr, "libkiln-vgpu.so: no directory for the virtual GPU's files (TMPDIR): %s\n",
            strerror(why));
    return nullptr;
  }
  return made;
}

/// The machine; made on first use. Null where KILN_VGPU asks for none or for one that cannot be.
PreloadPort* need_machine() {
  if (PreloadPort* made = __atomic_load_n(&port, __ATOMIC_ACQUIRE)) return made;
  const char* spec = getenv("KILN_VGPU");
  if (spec == nullptr || *spec == '\0') return nullptr;
  Inside inside;
  const int before = errno;
  pthread_mutex_lock(&load_mutex);
  PreloadPort* made = port;
  if (made == nullptr && !failed) {
    if (owner == 0) {
      pthread_atfork(nullptr, nullptr, in_forked_child);
      atexit(end_of_process);
    }
    owner = getpid();
    made = load(spec);
    failed = made == nullptr;
    __atomic_store_n(&port, made, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&load_mutex);
  errno = before;
  return made;
}

/// True if `path` begins with the folder or file `root`, or, where `root` ends with ':', with it.
bool below(const char* path, const char* root) {
  const size_t length = strlen(root);
  return strncmp(path, root, length) == 0 &&
         (root[length - 1] == ':' || path[length] == '\0' || path[length] == '/');
}

bool belongs(const char* path) {
  static const char* const kOwned[] = {
      "/dev/kfd",       "/dev/dri",           "/sys/class/kfd",     "/sys/devices/virtual/kfd",
      "/sys/class/drm", "/sys/dev/char/226:", "/sys/module/amdgpu", "/sys/bus/pci/drivers/amdgpu",
      "/proc/modules"};
  for (const char* root : kOwned)
    if (below(path, root)) return true;
  return false;
}

bool with_single_slashes(const char* path, char (&room)[PATH_MAX]) {
  size_t length = 0;
  for (; *path != '\0'; ++path) {
    if (*path == '/' && length != 0 && room[length - 1] == '/') continue;
    if (length + 1 >= sizeof room) return false;
    room[length++] = *path;
  }
  room[length] = '\0';
  return true;
}

/// The bus address in a path to a PCI device; its length, or 0.
size_t pci_slot(const char* path, const char** slot) {
  static const char* const kRoots[] = {"/sys/bus/pci/devices/", "/sys/devices/pci0000:00/"};
  for (const char* root : kRoots)
    if (strncmp(path, root, strlen(root)) == 0) {
      *slot = path + strlen(root);
      return strcspn(*slot, "/");
    }
  return 0;
}

}  // namespace

PreloadPort* machine() {
  return Inside::now() ? nullptr : __atomic_load_n(&port, __ATOMIC_ACQUIRE);
}

bool is_engine(const void* code) {
  const auto at = reinterpret_cast<uintptr_t>(code);
  return at >= engine_begin && at < engine_end;
}

const char* redirect(const char* asked, char (&room)[PATH_MAX]) {
  if (asked == nullptr || asked[0] != '/' || Inside::now()) return asked;
  const char* path = asked + strspn(asked, "/") - 1;
  if (path[1] != 'd' && path[1] != 's' && path[1] != 'p') return asked;
  char single[PATH_MAX];
  if (strstr(path, "//") != nullptr) {
    if (!with_single_slashes(path, single)) return asked;
    path = single;
  }
  const char* slot = nullptr;
  const bool certain = belongs(path);
  const size_t slot_length = certain ? 0 : pci_slot(path, &slot);
  if ((!certain && slot_length == 0) || need_machine() == nullptr) return asked;
  const int before = errno;
  if (!certain) {
    struct stat status;
    Inside inside;
    snprintf(room, sizeof room, "%s/sys/bus/pci/devices/%.*s", tree, static_cast<int>(slot_length),
             slot);
    const bool ours = lstat(room, &status) == 0;
    errno = before;
    if (!ours) return asked;
  }
  // A name too long stays one: libc says so of the rest of it.
  if (snprintf(room, sizeof room, "%s%s", tree, path) >= static_cast<int>(sizeof room))
    return asked;
  errno = before;
  return room;
}

void strip_tree(char* path) {
  if (tree_length == 0 || strncmp(path, tree, tree_length) != 0 || path[tree_length] != '/') return;
  memmove(path, path + tree_length, strlen(path + tree_length) + 1);
}

off_t device_of(const struct stat& status) {
  if (tree_length == 0 || status.st_dev != tree_device) return 0;
  if (!S_ISREG(status.st_mode) || (status.st_mode & S_ISVTX) == 0) return 0;
  const off_t major = status.st_size >> 20;
  return major == kDrmMajor || major == kKfdMajor ? status.st_size : 0;
}

off_t device_of(int fd) {
  if (fd < 0 || fd >= kMostFds || Inside::now()) return 0;
  return __atomic_load_n(&devices[fd], __ATOMIC_RELAXED) & ~kLost;
}

bool is_lost(int fd) {
  return (__atomic_load_n(&devices[fd], __ATOMIC_RELAXED) & kLost) != 0;
}

bool remember(int fd, off_t device) {
  if (fd >= kMostFds) return false;
  __atomic_store_n(&devices[fd], static_cast<uint32_t>(device), __ATOMIC_RELAXED);
  int highest = __atomic_load_n(&highest_fd, __ATOMIC_RELAXED);
  while (fd > highest && !__atomic_compare_exchange_n(&highest_fd, &highest, fd, true,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return true;
}

void forget(int fd) {
  __atomic_store_n(&devices[fd], 0, __ATOMIC_RELAXED);
}

bool in_foreign_process() {
  return getpid() != owner;
}

}  // namespace kiln::vgpu::preload

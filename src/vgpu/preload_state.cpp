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
constexpr char kSpec[] = "KILN_VGPU=";
// What /proc/self/fd says of the memory behind devices (os.cpp, machine.cpp).
constexpr char kMemory[] = "/memfd:kiln-vgpu-", kDeleted[] = " (deleted)";
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
Settings chosen;             // at load
bool has_chosen;             // atomic accesses
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
  if (settings().spec == nullptr) return nullptr;
  const char* spec = settings().spec + sizeof kSpec - 1;
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
      "/proc/modules",  "/sys/class/hwmon"};
  for (const char* root : kOwned)
    if (below(path, root)) return true;
  // The folder of all cards; each is looked for by its slot.
  constexpr char kCards[] = "/sys/bus/pci/devices";
  if (strncmp(path, kCards, sizeof kCards - 1) != 0) return false;
  path += sizeof kCards - 1;
  return path[0] == '\0' || (path[0] == '/' && path[1] == '\0');
}

/// An absolute path without empty, "." and ".." steps, as they read (links are not looked at).
bool clean(const char* path, char (&room)[PATH_MAX]) {
  size_t length = 0;
  while (*path != '\0') {
    path += strspn(path, "/");
    const size_t step = strcspn(path, "/");
    if (step == 2 && path[0] == '.' && path[1] == '.') {
      while (length != 0 && room[--length] != '/') {
      }
    } else if (step != 0 && !(step == 1 && path[0] == '.')) {
      if (length + step + 2 > sizeof room) return false;
      room[length++] = '/';
      memcpy(room + length, path, step);
      length += step;
    }
    path += step;
  }
  if (length == 0) room[length++] = '/';
  room[length] = '\0';
  return true;
}

/// True if a relative path may lead to what the machine answers for: it goes by one of the steps
/// on the way there. Inside the tree the kernel follows by itself.
bool may_lead_there(const char* path) {
  static const char* const kSteps[] = {
      "dev",    "dri", "kfd", "sys",     "class",   "devices", "drm",     "hwmon",  "char",
      "module", "bus", "pci", "virtual", "drivers", "proc",    "modules", "amdgpu", "pci0000:00"};
  while (path[0] == '.' && (path[1] == '/' || (path[1] == '.' && path[2] == '/'))) {
    path += path[1] == '/' ? 2 : 3;
    path += strspn(path, "/");
  }
  const size_t length = strcspn(path, "/");
  for (const char* step : kSteps)
    if (strncmp(path, step, length) == 0 && step[length] == '\0') return true;
  return strncmp(path, "226:", 4) == 0 || strncmp(path, "0000:", 5) == 0;
}

/// What a path relative to a folder is from the root; false where it leads elsewhere.
bool make_absolute(int folder, const char* path, char (&room)[PATH_MAX]) {
  Inside inside;
  char whole[2 * PATH_MAX];
  if (folder == AT_FDCWD) {
    if (getcwd(whole, PATH_MAX) == nullptr) return false;
  } else {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    const ssize_t length = readlink(link, whole, PATH_MAX - 1);
    if (length <= 0) return false;
    whole[length] = '\0';
  }
  if (whole[0] != '/') return false;
  const size_t length = strlen(whole);
  if (tree_length != 0 && strncmp(whole, tree, tree_length) == 0) return false;
  snprintf(whole + length, sizeof whole - length, "/%s", path);
  return clean(whole, room);
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

/// True if a link of the tree ends in it.
bool is_in_tree(const char* path) {
  char real[PATH_MAX];
  return realpath(path, real) != nullptr && strncmp(real, tree, tree_length) == 0;
}

/// Files that change with the machine are written anew when they are asked for.
void refresh(const char* path) {
  const char* name = strrchr(path, '/') + 1;
  const size_t length = strlen(name);
  constexpr char kBegin[] = "mem_info_", kEnd[] = "_used";
  if (strncmp(name, kBegin, sizeof kBegin - 1) != 0 || length < sizeof kEnd ||
      strcmp(name + length - (sizeof kEnd - 1), kEnd) != 0)
    return;
  Inside inside;
  char place[PATH_MAX];
  if (snprintf(place, sizeof place, "%s%s", tree, path) < static_cast<int>(sizeof place))
    __atomic_load_n(&port, __ATOMIC_ACQUIRE)->refresh(place);
}

}  // namespace

PreloadPort* machine() {
  return Inside::now() ? nullptr : __atomic_load_n(&port, __ATOMIC_ACQUIRE);
}

void* look_up(const char* name, void** place) {
  void* found = dlsym(RTLD_NEXT, name);
  __atomic_store_n(place, found, __ATOMIC_RELAXED);
  return found;
}

bool is_wanted() {
  return settings().spec != nullptr && !Inside::now();
}

bool is_engine(const void* code) {
  const auto at = reinterpret_cast<uintptr_t>(code);
  return at >= engine_begin && at < engine_end;
}

const Settings& settings() {
  if (__atomic_load_n(&has_chosen, __ATOMIC_ACQUIRE)) return chosen;
  // Before threads, as a library is loaded; at the latest by the first call of another's.
  static char spec[PATH_MAX], library[PATH_MAX];
  Settings found;
  const char* asked = getenv("KILN_VGPU");
  Dl_info self;
  if (asked != nullptr && *asked != '\0' && dladdr(&chosen, &self) != 0 &&
      snprintf(spec, sizeof spec, "%s%s", kSpec, asked) < static_cast<int>(sizeof spec) &&
      snprintf(library, sizeof library, "%s", self.dli_fname) < static_cast<int>(sizeof library))
    found = {spec, library};
  chosen = found;
  __atomic_store_n(&has_chosen, true, __ATOMIC_RELEASE);
  return chosen;
}

const char* redirect(int folder, const char* asked, char (&room)[PATH_MAX]) {
  if (asked == nullptr || asked[0] == '\0' || settings().spec == nullptr || Inside::now())
    return asked;
  const int before = errno;
  char other[PATH_MAX];
  const char* path = asked;
  if (asked[0] != '/') {
    if (!may_lead_there(asked)) return asked;
    const bool made = make_absolute(folder, asked, other);
    errno = before;
    if (!made) return asked;
    path = other;
  } else {
    path = asked + strspn(asked, "/") - 1;
    if (path[1] != 'd' && path[1] != 's' && path[1] != 'p' && path[1] != '.') return asked;
    if (strstr(path, "//") != nullptr || (strstr(path, "/.") != nullptr && !belongs(path))) {
      if (!clean(path, other)) return asked;
      path = other;
    }
  }
  const char* slot = nullptr;
  const bool certain = belongs(path);
  const size_t slot_length = certain ? 0 : pci_slot(path, &slot);
  if ((!certain && slot_length == 0) || need_machine() == nullptr) return asked;
  if (!certain) {
    struct stat status;
    Inside inside;
    snprintf(room, sizeof room, "%s/sys/bus/pci/devices/%.*s", tree, static_cast<int>(slot_length),
             slot);
    // Links to what is the host's have no folder of their own behind them.
    const bool ours = lstat(room, &status) == 0 && is_in_tree(room);
    errno = before;
    if (!ours) return asked;
  }
  // A name too long stays one: libc says so of the rest of it.
  if (snprintf(room, sizeof room, "%s%s", tree, path) >= static_cast<int>(sizeof room))
    return asked;
  refresh(path);
  errno = before;
  return room;
}

void strip_tree(char* path) {
  if (tree_length == 0 || strncmp(path, tree, tree_length) != 0) return;
  if (path[tree_length] == '\0') {
    strcpy(path, "/");
  } else if (path[tree_length] == '/') {
    memmove(path, path + tree_length, strlen(path + tree_length) + 1);
  }
}

bool may_be_own_name(const char* text, size_t length) {
  const size_t memory = sizeof kMemory - 1;
  return (tree_length != 0 &&
          strncmp(text, tree, length < tree_length ? length : tree_length) == 0) ||
         strncmp(text, kMemory, length < memory ? length : memory) == 0;
}

void strip_own_name(char* path) {
  strip_tree(path);
  if (strncmp(path, kMemory, sizeof kMemory - 1) != 0) return;
  char* name = path + sizeof kMemory - 1;
  char* end = strstr(name, kDeleted);
  if (end == nullptr) return;
  const bool is_kfd = strncmp(name, "kfd (", 5) == 0;
  if (!is_kfd && strncmp(name, "renderD", 7) != 0) return;
  *end = '\0';
  const char* folder = is_kfd ? "/dev/" : "/dev/dri/";
  memmove(path + strlen(folder), name, strlen(name) + 1);  // shorter than what stood before it
  memcpy(path, folder, strlen(folder));
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

int highest_device() {
  return __atomic_load_n(&highest_fd, __ATOMIC_RELAXED);
}

bool is_tree_lock(int fd) {
  return fd >= 0 && fd == tree_lock && !Inside::now() && !in_foreign_process();
}

int tree_lock_within(unsigned first, unsigned last) {
  if (tree_lock < 0 || in_foreign_process()) return -1;
  const unsigned lock = static_cast<unsigned>(tree_lock);
  return first <= lock && lock <= last ? tree_lock : -1;
}

bool in_foreign_process() {
  return getpid() != owner;
}

}  // namespace kiln::vgpu::preload

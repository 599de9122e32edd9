// Owns: the Os of the real kernel, each method one system call.
// Does not own: any meaning of the calls.
// Threading: stateless.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xf86drm.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kmd/os.hpp"

namespace kiln::kmd {
namespace {

class LinuxOs final : public Os {
 public:
  int open(const char* path, int flags) override {
    int fd;
    do fd = ::open(path, flags | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
  }

  int close(int fd) override { return ::close(fd) < 0 ? -errno : 0; }

  int ioctl(int fd, unsigned long request, void* argument) override {
    int result;
    do result = ::ioctl(fd, request, argument);
    while (result < 0 && (errno == EINTR || errno == EAGAIN));
    return result < 0 ? -errno : result;
  }

  int mmap(void** address, void* hint, std::size_t length, int protection, int flags, int fd,
           off_t offset) override {
    void* result = ::mmap(hint, length, protection, flags, fd, offset);
    if (result == MAP_FAILED) return -errno;
    *address = result;
    return 0;
  }

  int munmap(void* address, std::size_t length) override {
    return ::munmap(address, length) < 0 ? -errno : 0;
  }

  int madvise(void* address, std::size_t length, int advice) override {
    return ::madvise(address, length, advice) < 0 ? -errno : 0;
  }

  int read_file(const char* path, std::string* text) override {
    const int fd = open(path, O_RDONLY);
    if (fd < 0) return fd;
    text->clear();
    char block[4096];
    int status = 0;
    for (;;) {
      const ssize_t count = ::read(fd, block, sizeof block);
      if (count > 0) {
        text->append(block, static_cast<std::size_t>(count));
      } else if (count == 0) {
        break;
      } else if (errno != EINTR) {
        status = -errno;
        break;
      }
    }
    ::close(fd);
    return status;
  }

  int list_directory(const char* path, std::vector<std::string>* names) override {
    DIR* directory = ::opendir(path);
    if (directory == nullptr) return -errno;
    names->clear();
    errno = 0;
    while (const dirent* entry = ::readdir(directory)) {
      if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
        names->emplace_back(entry->d_name);
    }
    const int status = -errno;
    ::closedir(directory);
    std::sort(names->begin(), names->end());
    return status;
  }

  std::string group_of(const char* path) override {
    struct stat status{};
    if (::stat(path, &status) != 0) return {};
    group entry{};
    group* found = nullptr;
    char storage[4096];
    if (::getgrgid_r(status.st_gid, &entry, storage, sizeof storage, &found) != 0 ||
        found == nullptr)
      return std::to_string(status.st_gid);
    return found->gr_name;
  }

  std::string drm_driver(int fd) override {
    drmVersionPtr version = drmGetVersion(fd);
    if (version == nullptr) return {};
    std::string name(version->name, static_cast<std::size_t>(std::max(version->name_len, 0)));
    drmFreeVersion(version);
    return name;
  }

  bool is_virtual() const override { return false; }
  std::string description() const override { return "Linux"; }
};

}  // namespace

Os& linux_os() {
  // Never destroyed: driver state must outlive every static object that may still use it.
  static Os* const os = new LinuxOs;
  return *os;
}

}  // namespace kiln::kmd

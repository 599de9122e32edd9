#include "vgpu/os.hpp"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "vgpu/drm_node.hpp"

namespace kiln::vgpu {

namespace {

constexpr std::string_view kKfdPath = "/dev/kfd";
constexpr std::string_view kDriPath = "/dev/dri";
constexpr std::string_view kRenderPath = "/dev/dri/renderD";

constexpr std::uint64_t page_up(std::uint64_t bytes) {
  return (bytes + kPageBytes - 1) & ~(kPageBytes - 1);
}

}  // namespace

VirtualOs::VirtualOs(std::unique_ptr<Machine> machine)
    : owner_(getpid()), machine_(std::move(machine)), sysfs_(new Sysfs(*machine_)) {}

Result<std::unique_ptr<VirtualOs>> VirtualOs::create(MachineSpec spec,
                                                     EnginesFactory make_engines) {
  KILN_ASSIGN(auto machine, Machine::create(std::move(spec)));
  std::unique_ptr<VirtualOs> os(new VirtualOs(std::move(machine)));
  FileTable& files = *os;
  os->node_ = std::make_unique<KfdNode>(*os->machine_, files, std::move(make_engines));
  os->gem_ = std::make_unique<DrmGem>(*os->machine_, *os->node_);
  return os;
}

VirtualOs::~VirtualOs() {
  if (in_child()) {
    // The threads of the engines stayed behind in the parent, and locks may be held for ever.
    (void)gem_.release();
    (void)node_.release();
    (void)machine_.release();
    (void)new Mappings(std::move(mappings_));
    return;
  }
  // What the driver above kept for the whole process goes first: it may still call in.
  driver_state.reset();
  gem_.reset();
  node_.reset();
  for (const auto& [address, mapping] : mappings_)
    ::munmap(reinterpret_cast<void*>(address), mapping.length);
  mappings_.clear();
  for (const auto& [fd, file] : files_) ::close(fd);
}

bool VirtualOs::in_child() const {
  return getpid() != owner_;
}

bool VirtualOs::is_parents_kfd(int fd) const {
  // Another thread may have held the lock at the fork: then nobody knows any more.
  std::shared_lock lock(files_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return false;
  const auto found = files_.find(fd);
  return found != files_.end() && found->second->is_kfd;
}

bool VirtualOs::owns_path(const char* path) {
  const std::string_view name = path;
  return name == kKfdPath || name == kDriPath || name.starts_with("/dev/dri/") || Sysfs::owns(name);
}

std::shared_ptr<OpenFile> VirtualOs::file(int fd) const {
  if (in_child()) return nullptr;
  std::shared_lock lock(files_mutex_);
  const auto found = files_.find(fd);
  return found == files_.end() ? nullptr : found->second;
}

std::shared_ptr<OpenFile> VirtualOs::render_file(int fd) {
  auto found = file(fd);
  return found != nullptr && !found->is_kfd ? found : nullptr;
}

int VirtualOs::add_file(int fd, std::shared_ptr<OpenFile> file) {
  if (fd < 0) return -errno;
  std::unique_lock lock(files_mutex_);
  file->id = next_file_id_++;
  files_[fd] = std::move(file);
  return fd;
}

void VirtualOs::duplicate(int fd, int source) {
  std::unique_lock lock(files_mutex_);
  if (const auto found = files_.find(source); found != files_.end()) files_[fd] = found->second;
}

int VirtualOs::open_text(const std::string& text) {
  const int fd = memfd_create("kiln-vgpu-text", MFD_CLOEXEC);
  if (fd < 0) return -errno;
  if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      lseek(fd, 0, SEEK_SET) != 0) {
    ::close(fd);
    return -EIO;
  }
  return fd;
}

int VirtualOs::open(const char* path, int flags) {
  const std::string_view name = path;
  if (!owns_path(path)) {
    const int fd = ::open(path, flags | O_CLOEXEC, 0666);
    return fd < 0 ? -errno : fd;
  }
  if (Sysfs::owns(name)) {
    std::string text;
    const int error = sysfs_->read(name, &text);
    return error != 0 ? error : open_text(text);
  }
  if (name == kDriPath) return -EISDIR;
  if (in_child()) return -ENODEV;
  auto file = std::make_shared<OpenFile>();
  if (name == kKfdPath) {
    // A real descriptor of an empty file: it can be polled, duplicated and closed like any other.
    file->is_kfd = true;
    file->set_process(node_->primary_process());
    return add_file(memfd_create("kiln-vgpu-kfd", MFD_CLOEXEC), std::move(file));
  }
  if (!name.starts_with(kRenderPath)) return -ENOENT;
  char* end = nullptr;
  const unsigned long minor = strtoul(path + kRenderPath.size(), &end, 10);
  VirtualGpu* gpu =
      *end == '\0' ? machine_->gpu_by_render_minor(static_cast<std::uint32_t>(minor)) : nullptr;
  if (gpu == nullptr) return -ENOENT;
  file->gpu = gpu->index();
  return add_file(fcntl(gpu->region().fd(), F_DUPFD_CLOEXEC, 0), std::move(file));
}

int VirtualOs::close(int fd) {
  if (!in_child()) {
    std::shared_ptr<OpenFile> gone;
    bool last = true;  // of the descriptors of its file
    {
      std::unique_lock lock(files_mutex_);
      if (auto node = files_.extract(fd); !node.empty()) gone = std::move(node.mapped());
      for (const auto& [other, file] : files_) last = last && file != gone;
    }
    if (gone != nullptr && last) gone->is_kfd ? node_->release(*gone) : gem_->release(*gone);
  }
  return ::close(fd) == 0 ? 0 : -errno;
}

int VirtualOs::ioctl(int fd, unsigned long request, void* argument) {
  if (in_child()) {
    // kfd_ioctl: only the process that opened the file may use it.
    if (_IOC_TYPE(request) == 'K' || _IOC_TYPE(request) == 'd') return -EBADF;
  } else if (const auto opened = file(fd); opened != nullptr) {
    if (opened->is_kfd) return node_->ioctl(*opened, request, argument);
    return drm_ioctl(machine_->gpu(opened->gpu), *gem_, *opened, request, argument);
  }
  int result;
  do {
    result = ::ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

int VirtualOs::mmap(void** address, void* hint, std::size_t length, int protection, int flags,
                    int fd, off_t offset) {
  if ((flags & MAP_ANONYMOUS) == 0 && in_child() && is_parents_kfd(fd)) return -EBADF;  // kfd_mmap
  const auto opened = (flags & MAP_ANONYMOUS) == 0 ? file(fd) : nullptr;
  const auto wanted = static_cast<std::uint64_t>(offset);
  MmapTarget target{fd, wanted, nullptr};
  auto look = [&]() -> int {
    if (opened == nullptr) return 0;
    if (length == 0) return -EINVAL;
    if (opened->is_kfd) return node_->mmap(*opened, page_up(length), wanted, &target);
    return node_->buffers().mmap(opened->gpu, opened->id, page_up(length), wanted, &target);
  };
  if (const int error = look(); error != 0) return error;
  Mappings replaced;  // their buffers go once the pages are no longer there
  if ((flags & MAP_FIXED) != 0 && !in_child()) {
    // The GPU sees new pages in place of the old ones, unless they cannot be written.
    constexpr int kBoth = PROT_READ | PROT_WRITE;
    if (opened != nullptr || (protection & kBoth) != kBoth)
      node_->host_unmapped(reinterpret_cast<std::uint64_t>(hint), page_up(length));
    replaced = forget_mappings(reinterpret_cast<std::uintptr_t>(hint), page_up(length));
  }
  void* at = ::mmap(hint, length, protection, flags, target.fd, static_cast<off_t>(target.offset));
  if (at == MAP_FAILED) return -errno;
  if (opened != nullptr) {
    if (opened->is_kfd) ::madvise(at, length, MADV_DONTFORK);  // kfd_mmap: VM_DONTCOPY
    const int first = target.fd;
    {
      std::lock_guard lock(mappings_mutex_);
      mappings_[reinterpret_cast<std::uintptr_t>(at)] = {
          page_up(length), !opened->is_kfd, opened->gpu, wanted, protection, target.keep};
    }
    // An export may have moved the buffer in between; it then missed this mapping.
    if (look() == 0 && target.fd != first)
      ::mmap(at, length, protection, flags | MAP_FIXED, target.fd,
             static_cast<off_t>(target.offset));
  }
  *address = at;
  return 0;
}

VirtualOs::Mappings VirtualOs::forget_mappings(std::uintptr_t address, std::size_t length) {
  const std::uintptr_t end = address + length;
  Mappings forgotten;
  std::lock_guard lock(mappings_mutex_);
  auto next = mappings_.lower_bound(address);
  if (next != mappings_.begin() &&
      std::prev(next)->first + std::prev(next)->second.length > address)
    --next;
  while (next != mappings_.end() && next->first < end) {
    const auto [begin, mapping] = *next;
    next = mappings_.erase(next);
    ClientMapping inside = mapping;
    const std::uintptr_t first = std::max(begin, address);
    inside.offset += first - begin;
    inside.length = std::min(begin + mapping.length, end) - first;
    forgotten[first] = inside;
    if (begin < address) {
      ClientMapping head = mapping;
      head.length = address - begin;
      mappings_[begin] = head;
    }
    if (begin + mapping.length > end) {
      ClientMapping tail = mapping;
      tail.length = begin + mapping.length - end;
      tail.offset += end - begin;
      next = std::next(mappings_.emplace(end, tail).first);
    }
  }
  return forgotten;
}

void VirtualOs::rebind(VirtualGpu& gpu, std::uint64_t offset, std::uint64_t bytes, int fd,
                       std::uint64_t at) {
  std::lock_guard lock(mappings_mutex_);
  for (const auto& [address, mapping] : mappings_) {
    if (!mapping.is_buffer || mapping.gpu != gpu.index()) continue;
    const std::uint64_t begin = std::max(mapping.offset, offset);
    const std::uint64_t end = std::min(mapping.offset + mapping.length, offset + bytes);
    if (begin >= end) continue;
    ::mmap(reinterpret_cast<void*>(address + (begin - mapping.offset)), end - begin,
           mapping.protection, MAP_SHARED | MAP_FIXED, fd,
           static_cast<off_t>(at + (begin - offset)));
  }
}

int VirtualOs::munmap(void* address, std::size_t length) {
  Mappings gone;
  if (!in_child()) {
    node_->host_unmapped(reinterpret_cast<std::uint64_t>(address), page_up(length));
    gone = forget_mappings(reinterpret_cast<std::uintptr_t>(address), page_up(length));
  }
  return ::munmap(address, length) == 0 ? 0 : -errno;
}

int VirtualOs::mprotect(void* address, std::size_t length, int protection) {
  constexpr int kBoth = PROT_READ | PROT_WRITE;
  const bool usable = (protection & kBoth) == kBoth;
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  if (!usable && !in_child()) node_->host_unmapped(at, page_up(length));
  if (::mprotect(address, length, protection) != 0) return -errno;
  if (in_child()) return 0;
  if (usable) node_->host_restored(at, page_up(length));
  Mappings changed = forget_mappings(at, page_up(length));
  std::lock_guard lock(mappings_mutex_);
  for (auto& [begin, mapping] : changed) {
    mapping.protection = protection;
    mappings_[begin] = std::move(mapping);
  }
  return 0;
}

int VirtualOs::mremap(void** address, std::size_t old_length, std::size_t length, int flags,
                      void* to) {
  const auto at = reinterpret_cast<std::uintptr_t>(*address);
  if (!in_child()) node_->host_unmapped(at, page_up(old_length));
  void* const now = ::mremap(*address, old_length, length, flags, to);
  if (now == MAP_FAILED) {
    const int error = errno;
    if (!in_child()) node_->host_restored(at, page_up(old_length));
    return -error;
  }
  *address = now;
  if (in_child()) return 0;
  const auto moved = reinterpret_cast<std::uintptr_t>(now);
  node_->host_restored(at, page_up(old_length));  // where it has not moved
  Mappings mappings = forget_mappings(at, page_up(old_length));
  const Mappings replaced = forget_mappings(moved, page_up(length));
  std::lock_guard lock(mappings_mutex_);
  for (auto& [begin, mapping] : mappings) {
    if (begin - at >= page_up(length)) continue;
    mapping.length = std::min(mapping.length, page_up(length) - (begin - at));
    mappings_[moved + (begin - at)] = std::move(mapping);
  }
  return 0;
}

int VirtualOs::madvise(void* address, std::size_t length, int advice) {
  return ::madvise(address, length, advice) == 0 ? 0 : -errno;
}

int VirtualOs::read_file(const char* path, std::string* text) {
  if (Sysfs::owns(path)) return sysfs_->read(path, text);
  if (owns_path(path)) return -EINVAL;  // a device file
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  text->clear();
  char buffer[4096];
  ssize_t got;
  while ((got = ::read(fd, buffer, sizeof buffer)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(fd);
      return -error;
    }
    text->append(buffer, static_cast<std::size_t>(got));
  }
  ::close(fd);
  return 0;
}

int VirtualOs::list_directory(const char* path, std::vector<std::string>* names) {
  names->clear();
  if (Sysfs::owns(path)) return sysfs_->list(path, names);
  if (path == kDriPath) {
    for (std::size_t index = 0; index < machine_->gpu_count(); ++index)
      names->push_back("renderD" + std::to_string(machine_->gpu(index).render_minor()));
    return 0;
  }
  if (owns_path(path)) return -ENOTDIR;
  DIR* directory = opendir(path);
  if (directory == nullptr) return -errno;
  while (const dirent* entry = readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names->emplace_back(name);
  }
  closedir(directory);
  std::ranges::sort(*names);
  return 0;
}

std::string VirtualOs::group_of(const char* path) {
  return owns_path(path) ? "render" : std::string();
}

std::string VirtualOs::drm_driver(int fd) {
  return render_file(fd) != nullptr ? "amdgpu" : std::string();
}

}  // namespace kiln::vgpu

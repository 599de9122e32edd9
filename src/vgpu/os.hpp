// Owns: the virtual files: which descriptor is which open file, client mappings of them, and the
//   answers to open, ioctl, mmap and file reads.
// Does not own: what ioctls mean (kfd_node.*, drm_node.*).
// Threading: safe from any thread. After fork the child has no devices: ioctls are EBADF, as KFD
//   answers a process that did not open the file, and opening again is ENODEV.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "kmd/os.hpp"
#include "vgpu/drm_gem.hpp"
#include "vgpu/kfd_node.hpp"
#include "vgpu/machine.hpp"
#include "vgpu/sysfs.hpp"

namespace kiln::vgpu {

class VirtualOs : public kmd::Os, private FileTable {
 public:
  /// `make_engines` is vgpu::make_engines except in tests.
  static Result<std::unique_ptr<VirtualOs>> create(MachineSpec spec, EnginesFactory make_engines);
  /// Closes and unmaps what is still open, as the end of a process does.
  ~VirtualOs() override;

  int open(const char* path, int flags) override;
  int close(int fd) override;
  int ioctl(int fd, unsigned long request, void* argument) override;
  int mmap(void** address, void* hint, std::size_t length, int protection, int flags, int fd,
           off_t offset) override;
  int munmap(void* address, std::size_t length) override;
  int madvise(void* address, std::size_t length, int advice) override;
  int read_file(const char* path, std::string* text) override;
  int list_directory(const char* path, std::vector<std::string>* names) override;
  std::string group_of(const char* path) override;
  std::string drm_driver(int fd) override;
  bool is_virtual() const override { return true; }
  std::string description() const override { return machine_->spec().text; }

  Machine& machine() { return *machine_; }
  const Sysfs& sysfs() const { return *sysfs_; }
  /// As libc's: GPUs follow what happens to memory that they share with the process.
  int mprotect(void* address, std::size_t length, int protection);
  int mremap(void** address, std::size_t old_length, std::size_t length, int flags, void* to);
  /// `fd` is a new descriptor of the file that `source` is one of, as after dup().
  void duplicate(int fd, int source);
  /// The open virtual file behind a descriptor; null for any other.
  std::shared_ptr<OpenFile> file(int fd) const;
  /// True if a path is answered by this machine and never by the host.
  static bool owns_path(const char* path);

 private:
  struct ClientMapping {
    std::size_t length = 0;
    bool is_buffer = false;  ///< of a render node: follows its buffer when that moves
    std::uint32_t gpu = 0;
    std::uint64_t offset = 0;  ///< in the GPU's region
    int protection = 0;
    std::shared_ptr<const void> keep;  ///< a buffer lives while it is mapped
  };

  explicit VirtualOs(std::unique_ptr<Machine> machine);
  bool in_child() const;
  /// In a child: `fd` came from the parent's open of /dev/kfd.
  bool is_parents_kfd(int fd) const;
  std::shared_ptr<OpenFile> render_file(int fd) override;
  void rebind(VirtualGpu& gpu, std::uint64_t offset, std::uint64_t bytes, int fd,
              std::uint64_t at) override;
  using Mappings = std::map<std::uintptr_t, ClientMapping>;
  /// Takes what is known of [address, address + length) out of the list, cut at both ends.
  Mappings forget_mappings(std::uintptr_t address, std::size_t length);
  int add_file(int fd, std::shared_ptr<OpenFile> file);
  int open_text(const std::string& text);

  const pid_t owner_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Sysfs> sysfs_;
  std::unique_ptr<KfdNode> node_;
  std::unique_ptr<DrmGem> gem_;

  mutable std::shared_mutex files_mutex_;
  std::map<int, std::shared_ptr<OpenFile>> files_;
  std::uint64_t next_file_id_ = 1;

  std::mutex mappings_mutex_;
  Mappings mappings_;
};

}  // namespace kiln::vgpu

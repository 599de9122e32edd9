// Owns: amdgpu's buffer objects: the bytes behind one or several handles, their mmap offsets at
//   render nodes, and dma-bufs: files that carry a buffer's bytes from process to process.
// Does not own: handles and page tables (kfd_memory.cpp, drm_gem.*), client mappings (os.*).
// Threading: BufferTable is safe from any thread. A Backing's export fields change under the
//   table's mutex; the others are set before it is shared.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "vgpu/machine.hpp"
#include "vgpu/memory.hpp"

namespace kiln::vgpu {

/// Metadata that a user-mode driver attaches to a buffer (amdgpu_bo_set_metadata).
struct BufferMetadata {
  std::uint64_t flags = 0, tiling = 0;
  std::uint32_t bytes = 0;
  std::array<std::uint32_t, 64> data{};  // drm_amdgpu_gem_metadata holds as much
};

/// Bytes behind one or several allocations (several after an import). Gives VRAM or GTT back at the
/// end. `export_fd` >= 0: the bytes live in that file, mapped into their place in the GPU's region.
struct Backing {
  VirtualGpu* gpu = nullptr;
  std::optional<Storage> storage;  ///< none: user memory, doorbells, the MMIO page
  std::byte* host = nullptr;
  std::uint64_t bytes = 0;
  std::uint32_t flags = 0;      ///< kmd::uapi::AllocFlags it was made with, which importers inherit
  bool no_host_access = false;  ///< AMDGPU_GEM_CREATE_NO_CPU_ACCESS
  std::atomic<bool> shared{false};  ///< another process may have it
  int export_fd = -1;
  BufferMetadata metadata;  ///< under the table's mutex

  bool is_vram() const { return storage && storage->domain == Domain::Vram; }

  Backing() = default;
  ~Backing();
  Backing(const Backing&) = delete;
  Backing& operator=(const Backing&) = delete;
};

/// How a GPU caches the pages of a buffer.
Mtype mtype_of(const VirtualGpu& gpu, const Backing& backing);

/// Where an mmap of a virtual file goes. `keep` lives as long as the mapping does.
struct MmapTarget {
  int fd = -1;
  std::uint64_t offset = 0;
  std::shared_ptr<const void> keep;
};

/// Moves client mappings along when a buffer gets a file of its own (os.*).
class MappingTable {
 public:
  virtual ~MappingTable() = default;
  /// The bytes [offset, offset + bytes) of a GPU's region are now those at `at` of the file `fd`.
  virtual void rebind(VirtualGpu& gpu, std::uint64_t offset, std::uint64_t bytes, int fd,
                      std::uint64_t at) = 0;
};

class BufferTable {
 public:
  BufferTable(Machine& machine, MappingTable& mappings);

  /// Memory of a GPU; null when there is no more of it.
  std::shared_ptr<Backing> create(VirtualGpu& gpu, Domain domain, std::uint64_t bytes,
                                  std::uint32_t flags);

  /// drm_vma_node_allow: the open render node `file` of that GPU may map the buffer, at the offset
  /// that comes back. As often as this was called, `revoke` must be.
  std::uint64_t allow(std::uint32_t gpu, std::uint64_t file,
                      const std::shared_ptr<Backing>& backing, bool user_memory);
  void revoke(std::uint32_t gpu, std::uint64_t file, std::uint64_t offset);
  /// mmap of a buffer at a render node (amdgpu_gem.c, drm_gem.c): 0 or -errno.
  int mmap(std::uint32_t gpu, std::uint64_t file, std::uint64_t bytes, std::uint64_t offset,
           MmapTarget* target);

  /// A new descriptor of the buffer's dma-buf, or -errno. `fd_flags` as dma_buf_fd takes them.
  int export_dmabuf(const std::shared_ptr<Backing>& backing, int fd_flags, bool writable);
  /// The buffer behind a dma-buf of this or another process; null: `error` says why.
  std::shared_ptr<Backing> import_dmabuf(int fd, int* error);

  BufferMetadata metadata(const Backing& backing) const;
  void set_metadata(Backing& backing, const BufferMetadata& metadata);

 private:
  struct Offset {  ///< an mmap offset of a render node
    std::uint64_t bytes = 0;
    std::weak_ptr<Backing> backing;
    bool user_memory = false;
    std::map<std::uint64_t, unsigned> files;  ///< who may map it: references by open file
  };
  using Inode = std::pair<dev_t, ino_t>;

  int move_to_file(Backing& backing);
  /// Undoes the first `bytes` of it.
  void move_back(Backing& backing, int fd, std::uint64_t bytes);

  Machine& machine_;
  MappingTable& mappings_;
  mutable std::mutex mutex_;                              ///< all below
  std::vector<std::map<std::uint64_t, Offset>> offsets_;  ///< by GPU
  std::uint64_t next_fake_offset_;                        ///< of buffers outside the region
  std::map<Inode, std::weak_ptr<Backing>> dmabufs_;
};

}  // namespace kiln::vgpu

// Owns: the buffers of render nodes: GEM handles, PRIME (dma-bufs under DRM's names), metadata, and
//   the GPU mappings that GEM_VA makes, which join those of KFD where the node's VM is KFD's.
// Does not own: the bytes (buffers.*), other ioctls of the node (drm_node.*). Buffers of user
// memory
//   (GEM_USERPTR) and partially resident ranges (PAGE_PRT) are not served: -EINVAL.
// Threading: safe from any thread. Takes no process's mutex.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "vgpu/buffers.hpp"

struct drm_amdgpu_gem_va;

namespace kiln::vgpu {

class KfdNode;
struct OpenFile;

class DrmGem {
 public:
  DrmGem(Machine& machine, KfdNode& node) : machine_(machine), node_(node) {}

  /// `data` is the ioctl's structure, zero behind the caller's size. 0 or -errno; numbers that are
  /// not of buffers are -EINVAL, as those that DRM does not know.
  int ioctl(OpenFile& file, unsigned number, void* data);
  /// The last descriptor of the file is closed.
  void release(OpenFile& file);

 private:
  struct Handle {
    std::shared_ptr<Backing> backing;
    std::uint64_t mmap_offset = 0, alignment = 0, create_flags = 0;
  };
  struct Range {  ///< of GPU addresses, by its begin
    std::uint32_t handle = 0;
    Mapping mapping;
  };
  struct File {
    std::map<std::uint32_t, Handle> handles;
    std::map<Va, Range> ranges;
    AddressSpace own;  ///< as long as the node's VM is not KFD's; nothing runs in it
  };

  File& state(const OpenFile& file);
  int add(OpenFile& file, Handle handle, std::uint32_t* number);
  int create(OpenFile& file, void* data);
  int mmap_offset(OpenFile& file, void* data);
  int close(OpenFile& file, void* data);
  int to_fd(OpenFile& file, void* data);
  int from_fd(OpenFile& file, void* data);
  int metadata(OpenFile& file, void* data);
  int wait_idle(OpenFile& file, void* data);
  int op(OpenFile& file, void* data);
  int va(OpenFile& file, void* data);
  void clear(File& in, AddressSpace& space, Va begin, Va end);
  Handle* find(OpenFile& file, std::uint32_t number);
  std::shared_ptr<AddressSpace> space_of(OpenFile& file);

  Machine& machine_;
  KfdNode& node_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<File>> files_;  ///< by id of the open file
};

}  // namespace kiln::vgpu

// Owns: what KFD gives a process once: its file, its GPUs' address spaces, the runtime's
//   announcement, doorbells, the MMIO page; and memory, which belongs to the process and not to one
//   GPU. Lives as long as the Os (KFD binds a process to its render files until it exits).
// Does not own: queues (kfd_queue.cpp), events (kfd_event.*).
// Threading: all methods from any thread; after fork() the child's copy refuses everything.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "kmd/kfd_event.hpp"
#include "kmd/kmd.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"

namespace kiln::kmd {

/// Oldest KFD that Kiln runs on: Debian 12's.
inline constexpr std::uint32_t kOldestMinor = 11;
/// What Kiln does without on KFD 1.`minor`, a sentence each.
std::vector<std::string> kfd_limitations(std::uint32_t minor);

/// One GPU as this process knows it.
struct GpuSlot {
  std::uint32_t gpu_id = 0;
  std::uint32_t node = 0;
  std::string name;  ///< "gfx942 (node 2)"
  int render_fd = -1;
  bool acquired = false;  ///< has an address space
  Error acquire_error;    ///< why not
  uapi::ProcessDeviceApertures apertures{};
  std::byte* doorbells = nullptr;      ///< 8 KiB
  std::uint64_t doorbells_offset = 0;  ///< mmap offset of the above
  /// Of all devices on this GPU: together they may have no more than the hardware's slots.
  std::atomic<std::uint32_t> compute_queues{0};
  bool hdp_tried = false;
  volatile std::uint32_t* hdp_flush = nullptr;  ///< null: the driver gives no such page
};

/// How a piece of memory is asked of KFD.
struct AllocRequest {
  const GpuSlot* gpu = nullptr;
  std::uint64_t size = 0;        ///< whole pages
  std::uint64_t alignment = 0;   ///< 0: by size
  std::uint32_t flags = 0;       ///< uapi::AllocFlags
  bool host = false;             ///< map for the host
  void* user_pointer = nullptr;  ///< with kAllocUserptr
};

class KfdProcess {
 public:
  /// The state of this process on `os`; opens /dev/kfd the first time.
  static Result<std::shared_ptr<KfdProcess>> connect(Os& os);
  ~KfdProcess() = default;

  Os& os() { return os_; }
  std::uint32_t minor() const { return minor_; }
  std::string version() const { return strf("KFD 1.%u", minor_); }
  /// True in a child of the process that opened KFD: nothing here works there.
  bool forked() const;
  /// The same as an error.
  Status check_fork() const;

  /// An ioctl on /dev/kfd: its result, or -errno.
  int ioctl(unsigned long request, void* argument) { return os_.ioctl(fd_, request, argument); }

  /// Opens the render node of a GPU, once. `name` is for messages.
  Result<GpuSlot*> add_gpu(const GpuInfo& info, const std::string& name);
  GpuSlot* find_gpu(std::uint32_t gpu_id);
  /// Binds the address spaces of all GPUs added, announces the runtime, makes the event page: once.
  Status start();
  /// The doorbell at `offset` as CREATE_QUEUE returned it.
  Result<std::atomic<std::uint64_t>*> map_doorbell(GpuSlot& gpu, std::uint64_t offset);
  /// The page that flushes HDP; null where the driver refuses it.
  volatile std::uint32_t* hdp_page(GpuSlot& gpu);

  // Memory (kfd_memory.cpp).
  Result<Memory> allocate(const AllocRequest& request, const std::vector<std::uint32_t>& gpu_ids);
  Status map(std::uint64_t handle, const std::vector<std::uint32_t>& gpu_ids);
  Status free(const Memory& memory);
  Result<int> export_dmabuf(const Memory& memory);
  Result<Memory> import_dmabuf(int fd, std::uint32_t gpu_id);

  EventHub& events() { return *events_; }

 private:
  /// What free() must undo for a handle.
  struct Allocation {
    std::vector<std::uint32_t> gpu_ids;
    void* reserved = nullptr;  ///< null: the caller's own memory
    std::uint64_t reserved_bytes = 0;
  };

  explicit KfdProcess(Os& os) : os_(os) {}
  Status open();
  Status acquire(GpuSlot& gpu);
  Status read_apertures();
  Status share_event_page();
  Status enable_runtime();
  Result<void*> reserve(std::uint64_t size, std::uint64_t alignment);
  Status check_aperture(Va address, std::uint64_t size) const;
  Status unmap(std::uint64_t handle, std::vector<std::uint32_t> gpu_ids);

  Os& os_;
  int fd_ = -1;
  std::uint32_t minor_ = 0;
  std::uint64_t fork_generation_ = 0;
  std::mutex mutex_;
  std::map<std::uint32_t, std::unique_ptr<GpuSlot>> gpus_;
  bool apertures_read_ = false, runtime_enabled_ = false;
  Memory event_page_;
  /// What every GPU's page tables can hold; limits are inclusive.
  std::atomic<Va> gpuvm_base_{0}, gpuvm_limit_{~Va{0}};
  std::mutex memory_mutex_;
  std::unordered_map<std::uint64_t, Allocation> allocations_;
  std::unique_ptr<EventHub> events_;
};

/// errno as VkResult, for a failed driver call.
VkResult result_of_errno(int error, VkResult otherwise);

}  // namespace kiln::kmd

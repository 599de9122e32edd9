// Owns: /dev/kfd of a virtual machine: the table of ioctls by KFD version, the processes, and the
//   link to the engines of each GPU.
// Does not own: file descriptors (os.*), render nodes (drm_node.*), execution.
// Threading: safe from any thread. Lock order: a process's mutex, then table locks, then events.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "vgpu/engines.hpp"
#include "vgpu/kfd_process.hpp"
#include "vgpu/machine.hpp"

namespace kiln::vgpu {

/// Makes the engines of a GPU; make_engines except in tests.
using EnginesFactory =
    std::function<std::unique_ptr<Engines>(const ChipSpec&, const EngineOptions&, EngineHost&)>;

/// One open file of /dev/kfd or of a render node.
struct OpenFile {
  std::uint64_t id = 0;  ///< never reused, unlike descriptors
  bool is_kfd = false;
  std::uint32_t gpu = 0;                    ///< render node
  std::atomic<bool> has_compute_vm{false};  ///< render node: ACQUIRE_VM took it

  /// The process behind a file of /dev/kfd; CREATE_PROCESS changes it.
  std::shared_ptr<KfdProcess> process() const {
    std::lock_guard lock(mutex_);
    return process_;
  }
  void set_process(std::shared_ptr<KfdProcess> process) {
    std::lock_guard lock(mutex_);
    process_ = std::move(process);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<KfdProcess> process_;
};

/// What the ioctls need of the descriptor table (os.*).
class FileTable : public MappingTable {
 public:
  /// The render node open as `fd`; null for anything else.
  virtual std::shared_ptr<OpenFile> render_file(int fd) = 0;
};

/// The engines of one GPU, made with its first queue, and the answer to what they report
/// (kfd_engines.*).
class GpuEngines;

class KfdNode {
 public:
  KfdNode(Machine& machine, FileTable& files, EnginesFactory make_engines);
  ~KfdNode();

  /// The process that a new open of /dev/kfd joins: one for the whole OS process, which outlives
  /// its files (kfd_process.c: it ends with the address space).
  std::shared_ptr<KfdProcess> primary_process();
  /// What closing a file of /dev/kfd does: a context made by CREATE_PROCESS ends.
  void release(OpenFile& file);
  int ioctl(OpenFile& file, unsigned long request, void* argument);
  int mmap(OpenFile& file, std::uint64_t bytes, std::uint64_t offset, MmapTarget* target);
  /// User memory goes away: what GPUs have mapped of it must not be reached any more.
  void host_unmapped(std::uint64_t address, std::uint64_t bytes);
  /// User memory is there again after a change of protection.
  void host_restored(std::uint64_t address, std::uint64_t bytes);

  BufferTable& buffers() { return buffers_; }
  /// A new descriptor of a buffer's dma-buf, or -errno: other processes may have it from now on.
  int share(const std::shared_ptr<Backing>& backing, int fd_flags, bool writable);
  /// The address space that ACQUIRE_VM gave to an open render node, with the process that it keeps
  /// alive; null without one.
  std::shared_ptr<AddressSpace> compute_space(std::uint64_t drm_file);

  /// For reports of engines; null once the process has ended.
  std::shared_ptr<KfdProcess> process_by_token(std::uint64_t token);

  std::uint32_t minor() const { return machine_.kfd_minor(); }

 private:
  struct Command {
    unsigned long request;
    std::uint32_t since;  ///< KFD minor
    int (KfdNode::*run)(OpenFile&, KfdProcess&, void*);
  };
  static const Command kCommands[];

  // kfd_node.cpp
  int get_version(OpenFile&, KfdProcess&, void*);
  int create_event(OpenFile&, KfdProcess&, void*);
  int destroy_event(OpenFile&, KfdProcess&, void*);
  int set_event(OpenFile&, KfdProcess&, void*);
  int reset_event(OpenFile&, KfdProcess&, void*);
  int wait_events(OpenFile&, KfdProcess&, void*);
  // kfd_control.cpp
  int set_memory_policy(OpenFile&, KfdProcess&, void*);
  int get_clock_counters(OpenFile&, KfdProcess&, void*);
  int get_process_apertures(OpenFile&, KfdProcess&, void*);
  int get_process_apertures_new(OpenFile&, KfdProcess&, void*);
  int set_scratch_backing_va(OpenFile&, KfdProcess&, void*);
  int get_tile_config(OpenFile&, KfdProcess&, void*);
  int set_trap_handler(OpenFile&, KfdProcess&, void*);
  int not_permitted(OpenFile&, KfdProcess&, void*);
  int set_xnack_mode(OpenFile&, KfdProcess&, void*);
  int runtime_enable(OpenFile&, KfdProcess&, void*);
  int create_process(OpenFile&, KfdProcess&, void*);
  int smi_events(OpenFile&, KfdProcess&, void*);
  int no_capability(OpenFile&, KfdProcess&, void*);
  int debug_trap(OpenFile&, KfdProcess&, void*);
  int profiler(OpenFile&, KfdProcess&, void*);
  // kfd_memory.cpp
  int acquire_vm(OpenFile&, KfdProcess&, void*);
  int alloc_memory(OpenFile&, KfdProcess&, void*);
  int free_memory(OpenFile&, KfdProcess&, void*);
  int map_memory(OpenFile&, KfdProcess&, void*);
  int unmap_memory(OpenFile&, KfdProcess&, void*);
  int available_memory(OpenFile&, KfdProcess&, void*);
  int get_dmabuf_info(OpenFile&, KfdProcess&, void*);
  int import_dmabuf(OpenFile&, KfdProcess&, void*);
  int export_dmabuf(OpenFile&, KfdProcess&, void*);
  // kfd_queue.cpp
  int create_queue(OpenFile&, KfdProcess&, void*);
  int destroy_queue(OpenFile&, KfdProcess&, void*);
  int update_queue(OpenFile&, KfdProcess&, void*);
  int set_cu_mask(OpenFile&, KfdProcess&, void*);
  int get_queue_wave_state(OpenFile&, KfdProcess&, void*);
  int alloc_queue_gws(OpenFile&, KfdProcess&, void*);

  int map_one(Allocation& allocation, ProcessDevice& device);
  int unmap_one(Allocation& allocation, ProcessDevice& device);
  std::uint64_t add_handle(ProcessDevice& owner, std::unique_ptr<Allocation> allocation);
  void drop_handle(ProcessDevice& owner, std::uint32_t number);
  static Mapping mapping_of(const Allocation& allocation, const ProcessDevice& device, Va va);
  template <class Visit>
  void for_each_user_mapping(std::uint64_t address, std::uint64_t bytes, Visit visit);
  int hold(ProcessDevice& device, Va address, std::uint64_t bytes, QueueRecord* queue);
  int hold_queue_buffers(ProcessDevice& device, const kmd::uapi::CreateQueue& args,
                         QueueRecord* queue);
  void let_go(ProcessDevice& device, const QueueRecord& queue);
  int take_queue_slot(VirtualGpu& gpu, const kmd::uapi::CreateQueue& args, QueueRecord* queue);
  int take_sdma_slot(VirtualGpu& gpu, const kmd::uapi::CreateQueue& args, QueueRecord* queue);
  void end_queue(KfdProcess& process, QueueRecord& queue);
  void end_process(KfdProcess& process);
  std::shared_ptr<KfdProcess> make_process(bool primary);

  Machine& machine_;
  FileTable& files_;
  BufferTable buffers_;
  std::atomic<std::uint32_t> user_buffers_{0};  ///< allocations ever made of user memory
  EnginesFactory make_engines_;
  std::vector<std::unique_ptr<GpuEngines>> engines_;  ///< by GPU, for the machine's life

  std::mutex table_mutex_;  ///< all below
  std::map<std::uint64_t, std::shared_ptr<KfdProcess>> processes_;
  std::uint64_t next_token_ = 1;
  std::shared_ptr<KfdProcess> primary_;
  std::vector<std::vector<bool>> sdma_slots_;  ///< by GPU
  std::vector<std::uint32_t> queue_totals_;    ///< by GPU: queues of all processes
};

}  // namespace kiln::vgpu

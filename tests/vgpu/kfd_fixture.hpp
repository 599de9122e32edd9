// Owns: a client of the virtual kernel driver for tests, and engines that only take notes.
// Does not own: expectations.
// Threading: a Client is used by one thread unless a test says otherwise.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kmd/uapi/kfd_ioctl.hpp"
#include "vgpu/os.hpp"

namespace kiln::vgpu::test {

namespace uapi = kmd::uapi;

/// Notes what the driver asks of the engines of one GPU; executes nothing.
class NotingEngines : public Engines {
 public:
  explicit NotingEngines(EngineHost& host) : host(host) {}
  void create_queue(const QueueConfig& config) override {
    std::lock_guard lock(mutex);
    queues[config.id] = config;
  }
  void update_queue(std::uint64_t, std::uint32_t id, Va ring, std::uint64_t bytes,
                    std::uint32_t percentage, std::uint32_t priority) override {
    std::lock_guard lock(mutex);
    updates.push_back({id, ring, bytes, percentage, priority});
  }
  void set_cu_mask(std::uint64_t, std::uint32_t id, const std::uint32_t* words,
                   std::uint32_t count) override {
    std::lock_guard lock(mutex);
    cu_masks[id].assign(words, words + count);
  }
  void destroy_queue(std::uint64_t, std::uint32_t id) override {
    std::lock_guard lock(mutex);
    queues.erase(id);
  }
  void evict(std::uint64_t process) override {
    std::lock_guard lock(mutex);
    evicted.push_back(process);
  }
  void flush_hdp() override { ++hdp_flushes; }

  struct Update {
    std::uint32_t id;
    Va ring;
    std::uint64_t bytes;
    std::uint32_t percentage, priority;
  };
  EngineHost& host;
  std::mutex mutex;
  std::map<std::uint32_t, QueueConfig> queues;
  std::vector<Update> updates;
  std::map<std::uint32_t, std::vector<std::uint32_t>> cu_masks;
  std::vector<std::uint64_t> evicted;
  std::atomic<int> hdp_flushes{0};
};

struct Buffer {
  Va va = 0;
  std::uint64_t bytes = 0, handle = 0, mmap_offset = 0;
  std::byte* host = nullptr;  ///< the client's own mapping, null if it made none
};

inline constexpr std::uint32_t kGttFlags = 0xd6000002;  // as libhsakmt's event page
inline constexpr std::uint32_t kVramFlags = 0xd0000001;

class Client {
 public:
  explicit Client(const std::string& spec) {
    auto parsed = parse_spec(spec);
    if (!parsed) throw std::runtime_error(parsed.error().message);
    auto made = VirtualOs::create(std::move(*parsed),
                                  [this](const ChipSpec&, const EngineOptions&, EngineHost& host) {
                                    auto engines = std::make_unique<NotingEngines>(host);
                                    noted.push_back(engines.get());
                                    return engines;
                                  });
    if (!made) throw std::runtime_error(made.error().message);
    os = std::move(*made);
    kfd = os->open("/dev/kfd", 0);
    for (std::size_t i = 0; i < os->machine().gpu_count(); ++i)
      render.push_back(os->open(("/dev/dri/renderD" + std::to_string(128 + i)).c_str(), 0));
  }

  VirtualGpu& gpu(std::size_t index = 0) { return os->machine().gpu(index); }
  std::uint32_t id(std::size_t index = 0) { return gpu(index).gpu_id(); }

  template <class T>
  int call(unsigned long request, T& args) {
    return os->ioctl(kfd, request, &args);
  }
  int acquire(std::size_t index = 0) {
    uapi::AcquireVm args{static_cast<std::uint32_t>(render[index]), id(index)};
    return call(uapi::kIocAcquireVm, args);
  }
  void acquire_all() {
    for (std::size_t i = 0; i < render.size(); ++i) ASSERT_EQ(acquire(i), 0);
  }

  /// Address space that nothing else uses.
  Va reserve(std::uint64_t bytes) {
    void* at =
        ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? 0 : reinterpret_cast<Va>(at);
  }
  int alloc(std::uint32_t flags, std::uint64_t bytes, Buffer* buffer, std::size_t index = 0) {
    if (buffer->va == 0) buffer->va = reserve(bytes);
    uapi::AllocMemoryOfGpu args{};
    args.va_addr = buffer->va;
    args.size = bytes;
    args.gpu_id = id(index);
    args.flags = flags;
    args.mmap_offset = buffer->mmap_offset;
    const int result = call(uapi::kIocAllocMemoryOfGpu, args);
    buffer->bytes = bytes;
    buffer->handle = args.handle;
    buffer->mmap_offset = args.mmap_offset;
    return result;
  }
  int map(const Buffer& buffer, std::vector<std::uint32_t> ids,
          std::uint32_t* n_success = nullptr) {
    return map_or_unmap(uapi::kIocMapMemoryToGpu, buffer, ids, n_success);
  }
  int unmap(const Buffer& buffer, std::vector<std::uint32_t> ids,
            std::uint32_t* n_success = nullptr) {
    return map_or_unmap(uapi::kIocUnmapMemoryFromGpu, buffer, ids, n_success);
  }
  int free(const Buffer& buffer) {
    uapi::FreeMemoryOfGpu args{buffer.handle};
    return call(uapi::kIocFreeMemoryOfGpu, args);
  }
  /// Maps a buffer for the host at its GPU address, as tinygrad and Kiln do.
  int host_map(Buffer* buffer, std::size_t index = 0) {
    void* at = nullptr;
    const int result =
        os->mmap(&at, reinterpret_cast<void*>(buffer->va), buffer->bytes, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED, render[index], static_cast<off_t>(buffer->mmap_offset));
    buffer->host = static_cast<std::byte*>(at);
    return result;
  }
  /// Allocated, mapped to the GPU and to the host.
  Buffer buffer(std::uint32_t flags, std::uint64_t bytes, std::size_t index = 0) {
    Buffer made;
    EXPECT_EQ(alloc(flags, bytes, &made, index), 0);
    EXPECT_EQ(host_map(&made, index), 0);
    EXPECT_EQ(map(made, {id(index)}), 0);
    return made;
  }

  /// A CREATE_QUEUE with all buffers of the sizes that KFD wants, each of its own.
  uapi::CreateQueue queue_args(std::uint32_t type, std::size_t index = 0) {
    const QueueSizes sizes = gpu(index).queue_sizes();
    uapi::CreateQueue args{};
    args.gpu_id = id(index);
    args.queue_type = type;
    args.queue_percentage = 100;
    args.queue_priority = 7;
    ring = buffer(kGttFlags, 65536, index);
    pointers = buffer(kGttFlags, 4096, index);
    args.ring_base_address = ring.va;
    args.ring_size = 65536;
    args.read_pointer_address = pointers.va + 8;
    args.write_pointer_address = pointers.va;
    if (type == uapi::kQueueCompute || type == uapi::kQueueComputeAql) {
      eop = buffer(kVramFlags, sizes.eop, index);
      save_area = buffer(kGttFlags, sizes.total(gpu(index).chip().xcc_count), index);
      args.eop_buffer_address = eop.va;
      args.eop_buffer_size = sizes.eop;
      args.ctx_save_restore_address = save_area.va;
      args.ctx_save_restore_size = sizes.save_area;
      args.ctl_stack_size = sizes.control_stack;
    }
    return args;
  }
  int create(uapi::CreateQueue& args) { return call(uapi::kIocCreateQueue, args); }
  int destroy_queue(std::uint32_t queue) {
    uapi::DestroyQueue args{queue, 0};
    return call(uapi::kIocDestroyQueue, args);
  }

  uapi::CreateEvent event(std::uint32_t type, bool auto_reset = false) {
    uapi::CreateEvent args{};
    args.event_type = type;
    args.auto_reset = auto_reset;
    EXPECT_EQ(call(uapi::kIocCreateEvent, args), 0);
    return args;
  }
  int set(std::uint32_t event) {
    uapi::SetEvent args{event, 0};
    return call(uapi::kIocSetEvent, args);
  }
  int wait(std::vector<uapi::EventData>& events, bool all, std::uint32_t timeout_ms,
           std::uint32_t* result) {
    uapi::WaitEvents args{};
    args.events_ptr = reinterpret_cast<std::uint64_t>(events.data());
    args.num_events = static_cast<std::uint32_t>(events.size());
    args.wait_for_all = all;
    args.timeout = timeout_ms;
    const int error = call(uapi::kIocWaitEvents, args);
    *result = args.wait_result;
    return error;
  }

  std::vector<NotingEngines*> noted;  ///< in the order in which GPUs got their first queue
  std::unique_ptr<VirtualOs> os;
  int kfd = -1;
  std::vector<int> render;
  Buffer ring, pointers, eop, save_area;  ///< of the last queue_args()

 private:
  int map_or_unmap(unsigned long request, const Buffer& buffer, std::vector<std::uint32_t>& ids,
                   std::uint32_t* n_success) {
    uapi::MapMemoryToGpu args{};
    args.handle = buffer.handle;
    args.device_ids_array_ptr = reinterpret_cast<std::uint64_t>(ids.data());
    args.n_devices = static_cast<std::uint32_t>(ids.size());
    if (n_success != nullptr) args.n_success = *n_success;
    const int result = call(request, args);
    if (n_success != nullptr) *n_success = args.n_success;
    return result;
  }
};

inline uapi::EventData event_data(std::uint32_t id, std::uint64_t age = 0) {
  uapi::EventData data{};
  data.event_id = id;
  data.signal_event_data.last_event_age = age;
  return data;
}

}  // namespace kiln::vgpu::test

// Owns: a scripted Os for the tests of src/kmd: sysfs as a table, ioctls recorded and answered as a
//   well-behaved KFD would, each answer replaceable.
// Does not own: a GPU; nothing executes (src/vgpu does that).
// Threading: any thread.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kmd/kmd.hpp"
#include "kmd/os.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"

namespace kiln::kmd::testing {

class FakeOs final : public Os {
 public:
  static constexpr int kKfd = 1000;
  struct Call {
    unsigned number;
    std::vector<std::byte> in;  ///< the structure as it was passed
  };
  struct Mapping {
    void* address;
    std::size_t length;
    int protection, flags, fd;
    off_t offset;
  };
  struct FakeEvent {
    std::uint32_t type = 0;
    bool auto_reset = false, signaled = false;
    std::uint64_t age = 1;
    uapi::EventData data{};
    unsigned waiters = 0;
  };

  explicit FakeOs(std::uint32_t minor = uapi::kMinorNewest) : minor_(minor) {
    open_results["/dev/kfd"] = kKfd;
    set_generation(2);
  }
  ~FakeOs() override {
    for (const auto& [address, length] : live_) ::munmap(address, length);
  }

  // ---- the machine ----
  std::map<std::string, std::string> files;
  std::map<std::string, int> read_errors;
  std::map<std::string, int> open_results;  ///< fd, or -errno; missing: -ENOENT
  std::map<std::string, std::string> groups;
  std::map<int, std::string> drm_drivers;
  /// Replaces the answer to an ioctl, by number. Return `kDefault` to fall through.
  std::map<unsigned, std::function<int(void*)>> answers;
  static constexpr int kDefault = 1 << 20;

  void set_generation(int value) {
    files[root() + "/generation_id"] = std::to_string(value) + "\n";
  }
  static std::string root() { return "/sys/devices/virtual/kfd/kfd/topology"; }
  static std::string node_path(unsigned node) { return root() + "/nodes/" + std::to_string(node); }

  void add_cpu(unsigned node) {
    files[node_path(node) + "/gpu_id"] = "0\n";
    files[node_path(node) + "/name"] = "\n";
    files[node_path(node) + "/properties"] = "cpu_cores_count 2\nsimd_count 0\n";
  }
  /// A GPU; `properties` are added to (and override) those that every GPU here has.
  void add_gpu(unsigned node, std::uint32_t gpu_id, int minor, const std::string& properties) {
    files[node_path(node) + "/gpu_id"] = std::to_string(gpu_id) + "\n";
    files[node_path(node) + "/name"] = "ip discovery\n";
    files[node_path(node) + "/properties"] =
        "drm_render_minor " + std::to_string(minor) + "\nvendor_id 4098\n" + properties;
    if (minor >= 128) open_results["/dev/dri/renderD" + std::to_string(minor)] = 2000 + minor;
    gpu_ids_.push_back(gpu_id);
  }
  static std::string mi300x() {
    // kfd_topology.c's figures of an MI300X in SPX mode.
    return "gfx_target_version 90402\nsimd_count 1216\nsimd_per_cu 4\nnum_xcc 8\narray_count 32\n"
           "simd_arrays_per_engine 1\ncu_per_simd_array 10\nmax_waves_per_simd 8\n"
           "lds_size_in_kb 64\nwave_front_size 64\nmax_slots_scratch_cu 32\ndevice_id 29857\n"
           "location_id 33536\ndomain 1\nunique_id 81985529216486895\nnum_sdma_engines 2\n"
           "num_sdma_xgmi_engines 14\nnum_sdma_queues_per_engine 8\nnum_cp_queues 24\n"
           "max_engine_clk_fcompute 2100\n";
  }
  static std::string navi31() {
    return "gfx_target_version 110000\nsimd_count 192\nsimd_per_cu 2\nnum_xcc 1\narray_count 12\n"
           "simd_arrays_per_engine 2\ncu_per_simd_array 8\nmax_waves_per_simd 16\n"
           "lds_size_in_kb 64\nwave_front_size 32\nmax_slots_scratch_cu 32\ndevice_id 29772\n"
           "location_id 768\ndomain 0\nunique_id 0\nnum_sdma_engines 2\nnum_sdma_xgmi_engines 0\n"
           "num_sdma_queues_per_engine 6\nnum_cp_queues 8\nmax_engine_clk_fcompute 2482\n";
  }

  // ---- what happened ----
  std::vector<Call> calls;
  std::vector<Mapping> mappings;
  std::vector<int> madvised;
  std::map<int, int> opened;  ///< count by fd

  template <class T>
  std::vector<T> calls_of(unsigned number) {
    const std::lock_guard lock(mutex_);
    std::vector<T> found;
    for (const Call& call : calls)
      if (call.number == number) {
        T value{};
        std::memcpy(&value, call.in.data(), std::min(sizeof value, call.in.size()));
        found.push_back(value);
      }
    return found;
  }
  std::size_t count(unsigned number) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::count_if(
        calls.begin(), calls.end(), [&](const Call& call) { return call.number == number; }));
  }
  void clear_calls() {
    const std::lock_guard lock(mutex_);
    calls.clear();
  }

  /// What an interrupt does (kfd_events.c set_event).
  void fire(std::uint32_t id) {
    const std::lock_guard lock(mutex_);
    fire_locked(events_.at(id));
  }
  /// What a VM fault does: every memory event of the process gets it.
  void fire_memory_fault(const uapi::MemoryExceptionData& data) {
    const std::lock_guard lock(mutex_);
    for (auto& [id, event] : events_)
      if (event.type == uapi::kEventMemory) {
        event.data.memory_exception_data = data;
        fire_locked(event);
      }
  }
  void fire_reset(const uapi::HwExceptionData& data) {
    const std::lock_guard lock(mutex_);
    for (auto& [id, event] : events_)
      if (event.type == uapi::kEventHwException) {
        event.data.hw_exception_data = data;
        fire_locked(event);
      }
  }
  /// Blocks until somebody sleeps for the event.
  void await_waiter(std::uint32_t id) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return events_.at(id).waiters > 0; });
  }
  std::size_t live_allocations() const { return live_handles_.size(); }

  // ---- Os ----
  int open(const char* path, int) override {
    const auto found = open_results.find(path);
    if (found == open_results.end()) return -ENOENT;
    if (found->second >= 0) ++opened[found->second];
    return found->second;
  }
  int close(int) override { return 0; }
  int ioctl(int fd, unsigned long request, void* argument) override;
  int mmap(void** address, void* hint, std::size_t length, int protection, int flags, int fd,
           off_t offset) override {
    void* result = ::mmap(hint, length, protection,
                          fd < 0 ? flags : (flags & MAP_FIXED) | MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED) return -errno;
    const std::lock_guard lock(mutex_);
    mappings.push_back({result, length, protection, flags, fd, offset});
    live_[result] = length;
    *address = result;
    return 0;
  }
  int munmap(void* address, std::size_t length) override {
    const std::lock_guard lock(mutex_);
    live_.erase(address);
    return ::munmap(address, length) < 0 ? -errno : 0;
  }
  int madvise(void*, std::size_t, int advice) override {
    madvised.push_back(advice);
    return 0;
  }
  int read_file(const char* path, std::string* text) override {
    if (const auto error = read_errors.find(path); error != read_errors.end()) return error->second;
    const auto found = files.find(path);
    if (found == files.end()) return -ENOENT;
    *text = found->second;
    if (on_read) on_read(path);
    return 0;
  }
  int list_directory(const char* path, std::vector<std::string>* names) override {
    const std::string prefix = std::string(path) + "/";
    names->clear();
    for (const auto& [file, text] : files)
      if (file.starts_with(prefix)) {
        std::string name =
            file.substr(prefix.size(), file.find('/', prefix.size()) - prefix.size());
        if (names->empty() || names->back() != name) names->push_back(std::move(name));
      }
    return names->empty() ? -ENOENT : 0;
  }
  std::string group_of(const char* path) override { return groups[path]; }
  std::string drm_driver(int fd) override { return drm_drivers[fd]; }
  bool is_virtual() const override { return false; }
  std::string description() const override { return "fake"; }

  std::function<void(const std::string&)> on_read;

 private:
  void fire_locked(FakeEvent& event) {
    event.signaled = !event.auto_reset || event.waiters == 0;
    ++event.age;
    changed_.notify_all();
  }
  int wait_events(uapi::WaitEvents& args);
  int answer(unsigned number, void* argument);

  std::uint32_t minor_;
  std::vector<std::uint32_t> gpu_ids_;
  std::map<void*, std::size_t> live_;
  std::map<std::uint64_t, std::uint64_t> live_handles_;
  std::uint64_t next_handle_ = 0x100000001;
  std::uint32_t next_event_ = 1, next_system_event_ = 0x80000000u, next_queue_ = 0;
  std::map<std::uint32_t, FakeEvent> events_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

inline int FakeOs::ioctl(int fd, unsigned long request, void* argument) {
  const unsigned number = uapi::ioctl_number(request);
  if (fd != kKfd) return -EBADF;
  {
    const std::lock_guard lock(mutex_);
    const auto* bytes = static_cast<const std::byte*>(argument);
    calls.push_back({number, std::vector<std::byte>(bytes, bytes + _IOC_SIZE(request))});
  }
  if (const auto found = answers.find(number); found != answers.end())
    if (const int result = found->second(argument); result != kDefault) return result;
  return answer(number, argument);
}

inline int FakeOs::answer(unsigned number, void* argument) {
  if (number == 0x0c) return wait_events(*static_cast<uapi::WaitEvents*>(argument));
  const std::lock_guard lock(mutex_);
  switch (number) {
    case 0x01:
      *static_cast<uapi::GetVersion*>(argument) = {1, minor_};
      return 0;
    case 0x02: {
      auto& args = *static_cast<uapi::CreateQueue*>(argument);
      args.queue_id = next_queue_++;
      args.doorbell_offset = 0xc000000000042000 + 0x40 + args.queue_id * 8;
      return 0;
    }
    case 0x05: {
      auto& args = *static_cast<uapi::GetClockCounters*>(argument);
      args.gpu_clock_counter = 777;
      timespec now{};
      clock_gettime(CLOCK_MONOTONIC_RAW, &now);
      args.cpu_clock_counter = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
                               static_cast<std::uint64_t>(now.tv_nsec);
      return 0;
    }
    case 0x08: {
      auto& args = *static_cast<uapi::CreateEvent*>(argument);
      const bool system = args.event_type != uapi::kEventSignal;
      args.event_id = system ? next_system_event_++ : next_event_++;
      args.event_slot_index = system ? 0 : args.event_id;
      events_[args.event_id] = {.type = args.event_type, .auto_reset = args.auto_reset != 0};
      return 0;
    }
    case 0x09:
      return events_.erase(static_cast<uapi::DestroyEvent*>(argument)->event_id) ? 0 : -EINVAL;
    case 0x0a: {
      const auto found = events_.find(static_cast<uapi::SetEvent*>(argument)->event_id);
      if (found == events_.end() || found->second.type != uapi::kEventSignal) return -EINVAL;
      fire_locked(found->second);
      return 0;
    }
    case 0x14: {
      auto& args = *static_cast<uapi::GetProcessAperturesNew*>(argument);
      if (args.num_of_nodes != 0) {
        auto* out = reinterpret_cast<uapi::ProcessDeviceApertures*>(args.apertures_ptr);
        for (std::size_t i = 0; i < std::min<std::size_t>(gpu_ids_.size(), args.num_of_nodes);
             ++i) {
          // kfd_flat_memory.c, gfx9 and later.
          out[i] = {0x1000000000000,
                    0x10000ffffffff,
                    0x2000000000000,
                    0x20000ffffffff,
                    0x4000,
                    0x7fffffffffff,
                    gpu_ids_[gpu_ids_.size() - 1 - i],
                    0};
        }
      }
      args.num_of_nodes = static_cast<std::uint32_t>(gpu_ids_.size());
      return 0;
    }
    case 0x16: {
      auto& args = *static_cast<uapi::AllocMemoryOfGpu*>(argument);
      args.handle = next_handle_++;
      args.mmap_offset = 0x100000000 + args.handle * 0x1000;
      live_handles_[args.handle] = args.size;
      return 0;
    }
    case 0x17:
      return live_handles_.erase(static_cast<uapi::FreeMemoryOfGpu*>(argument)->handle) ? 0
                                                                                        : -EINVAL;
    case 0x18:
    case 0x19: {
      auto& args = *static_cast<uapi::MapMemoryToGpu*>(argument);
      args.n_success = args.n_devices;
      return 0;
    }
    case 0x1c: {
      auto& args = *static_cast<uapi::GetDmabufInfo*>(argument);
      args.size = 8192;
      args.flags = uapi::kAllocVram | uapi::kAllocPublic;
      return 0;
    }
    case 0x1d:
      static_cast<uapi::ImportDmabuf*>(argument)->handle = next_handle_;
      live_handles_[next_handle_++] = 8192;
      return 0;
    case 0x23:
      static_cast<uapi::GetAvailableMemory*>(argument)->available = 123456789;
      return 0;
    case 0x24:
      if (minor_ < uapi::kMinorExportDmabuf) return -ENOTTY;
      static_cast<uapi::ExportDmabuf*>(argument)->dmabuf_fd = 77;
      return 0;
    case 0x25:
      return minor_ < uapi::kMinorRuntimeEnable ? -ENOTTY : 0;
    case 0x03:
    case 0x15:
    case 0x1a:
      return 0;
    default:
      return -ENOTTY;
  }
}

inline int FakeOs::wait_events(uapi::WaitEvents& args) {
  // kfd_events.c kfd_wait_on_events, init_event_waiter, copy_signaled_event_data.
  auto* data = reinterpret_cast<uapi::EventData*>(args.events_ptr);
  std::unique_lock lock(mutex_);
  std::vector<bool> activated(args.num_events);
  std::vector<std::uint64_t> age(args.num_events);
  bool any = false;
  for (std::uint32_t i = 0; i < args.num_events; ++i) {
    const auto found = events_.find(data[i].event_id);
    if (found == events_.end()) return -EINVAL;
    FakeEvent& event = found->second;
    activated[i] = event.signaled;
    event.signaled = event.signaled && !event.auto_reset;
    age[i] = event.age;
    if (minor_ >= uapi::kMinorEventAge && event.type == uapi::kEventSignal) {
      const std::uint64_t known = data[i].signal_event_data.last_event_age;
      if (known != 0 && known != event.age) activated[i] = true;
    }
    any = any || activated[i];
  }
  if (!any && args.timeout != 0) {
    for (std::uint32_t i = 0; i < args.num_events; ++i) ++events_.at(data[i].event_id).waiters;
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::milliseconds(args.timeout), [&] {
      for (std::uint32_t i = 0; i < args.num_events; ++i)
        if (const auto found = events_.find(data[i].event_id);
            found != events_.end() && found->second.age != age[i])
          activated[i] = any = true;
      return any;
    });
    for (std::uint32_t i = 0; i < args.num_events; ++i)
      if (const auto found = events_.find(data[i].event_id); found != events_.end())
        --found->second.waiters;
  }
  args.wait_result = any ? uapi::kWaitComplete : uapi::kWaitTimeout;
  for (std::uint32_t i = 0; any && i < args.num_events; ++i) {
    if (!activated[i]) continue;
    const FakeEvent& event = events_.at(data[i].event_id);
    if (event.type == uapi::kEventMemory)
      data[i].memory_exception_data = event.data.memory_exception_data;
    else if (event.type == uapi::kEventHwException)
      data[i].hw_exception_data = event.data.hw_exception_data;
    else if (data[i].signal_event_data.last_event_age != 0 && minor_ >= uapi::kMinorEventAge)
      data[i].signal_event_data.last_event_age = event.age;
  }
  return 0;
}

}  // namespace kiln::kmd::testing

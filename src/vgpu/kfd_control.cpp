// Owns: the ioctls about a process as a whole: clocks, apertures, policies, traps, the runtime's
// and
//   the debugger's switches, who listens to system management events.
// Does not own: queues (kfd_queue.cpp), memory (kfd_memory.cpp), events (kfd_events.*).
// Threading: see kfd_node.hpp.
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "vgpu/kfd_engines.hpp"
#include "vgpu/kfd_node.hpp"
#include "vgpu/user_memory.hpp"

// Functions named in comments are those of kfd_chardev.c unless a file is given.

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

// GET_PROCESS_APERTURES_NEW refuses more room than there are nodes since 2026, here taken as the
// newest version.
constexpr std::uint32_t kRoomChecked = uapi::kMinorProfiler;
constexpr std::uint32_t kProfilerVersion = 1;  // KFD_IOC_PROFILER_VERSION_NUM
constexpr std::uint32_t kDebugTrapEnable = 0;  // KFD_IOC_DBG_TRAP_ENABLE

std::uint64_t nanoseconds(clockid_t clock) {
  struct timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// kfd_flat_memory.c kfd_init_apertures_v9: the low 16 MiB are the kernel's (SVM_USER_BASE); GPU
// addresses end where the lower canonical half does.
constexpr Va kGpuvmBase = 0x1000000;
constexpr Va kGpuvmLimit = (Va{1} << 47) - 1;

uapi::ProcessDeviceApertures apertures_of(const VirtualGpu& gpu) {
  uapi::ProcessDeviceApertures apertures{};
  apertures.gpu_id = gpu.gpu_id();
  apertures.lds_base = kSharedAperture;
  apertures.lds_limit = kSharedAperture + 0xffffffff;
  apertures.scratch_base = kPrivateAperture;
  apertures.scratch_limit = kPrivateAperture + 0xffffffff;
  apertures.gpuvm_base = kGpuvmBase;
  apertures.gpuvm_limit = kGpuvmLimit;
  return apertures;
}

/// KFD_SUPPORT_XNACK_PER_PROCESS (kfd_priv.h): 9.4.2, and 9.4.3 with what came after it.
bool xnack_per_process(const VirtualGpu& gpu) {
  const IpVersion gc = gpu.chip().gc;
  return gc == IpVersion{9, 4, 2} || gc == IpVersion{9, 4, 3} || gc == IpVersion{9, 4, 4} ||
         gc == IpVersion{9, 5, 0};
}

/// Whether `id` names a thread of this process, as find_get_pid and kfd_lookup_process_by_pid take
/// it.
bool is_own_thread(std::uint32_t id) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%u", id);
  return id != 0 && access(path, F_OK) == 0;
}

}  // namespace

int KfdNode::not_permitted(OpenFile&, KfdProcess&, void*) {
  return -EPERM;
}

int KfdNode::set_memory_policy(OpenFile&, KfdProcess& process, void* data) {
  const auto& args = *static_cast<uapi::SetMemoryPolicy*>(data);
  if (args.default_policy > uapi::kCachePolicyNoncoherent ||
      args.alternate_policy > uapi::kCachePolicyNoncoherent)
    return -EINVAL;
  std::lock_guard lock(process.mutex);
  ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  if (device->drm_file == 0) return -ESRCH;  // kfd_bind_process_to_device failed
  return 0;  // set_cache_memory_policy_v9 and later ignore the alternate aperture
}

int KfdNode::get_clock_counters(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::GetClockCounters*>(data);
  args.gpu_clock_counter = process.device(args.gpu_id) != nullptr ? Machine::clock() : 0;
  args.cpu_clock_counter = nanoseconds(CLOCK_MONOTONIC_RAW);
  args.system_clock_counter = nanoseconds(CLOCK_BOOTTIME);
  args.system_clock_freq = 1'000'000'000;
  return 0;
}

int KfdNode::get_process_apertures(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::GetProcessApertures*>(data);
  args.num_of_nodes = 0;
  for (std::size_t index = 0; index < process.device_count(); ++index) {
    if (args.num_of_nodes == std::size(args.process_apertures)) break;
    args.process_apertures[args.num_of_nodes++] = apertures_of(*process.device_at(index).gpu);
  }
  return 0;
}

int KfdNode::get_process_apertures_new(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::GetProcessAperturesNew*>(data);
  const auto count = static_cast<std::uint32_t>(process.device_count());
  if (args.num_of_nodes == 0) {
    args.num_of_nodes = count;
    return 0;
  }
  // kfd_topology_get_num_devices counts the CPU's node too.
  if (minor() >= kRoomChecked && args.num_of_nodes > machine_.gpu_count() + 1) return -EINVAL;
  args.num_of_nodes = std::min(args.num_of_nodes, count);
  std::vector<uapi::ProcessDeviceApertures> all;
  for (std::uint32_t index = 0; index < args.num_of_nodes; ++index)
    all.push_back(apertures_of(*process.device_at(index).gpu));
  return copy_to_user(args.apertures_ptr, all.data(), all.size() * sizeof all[0]) ? 0 : -EFAULT;
}

int KfdNode::set_scratch_backing_va(OpenFile&, KfdProcess& process, void* data) {
  const auto& args = *static_cast<uapi::SetScratchBackingVa*>(data);
  std::lock_guard lock(process.mutex);
  ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  if (device->drm_file == 0) return -ENODEV;
  device->scratch = args.va_addr;
  return 0;
}

int KfdNode::get_tile_config(OpenFile&, KfdProcess& process, void* data) {
  // Tiling matters to images alone: the tables of gfx9 and later hold zeros (gfx_v9_0.c).
  auto& args = *static_cast<uapi::GetTileConfig*>(data);
  const ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  static constexpr std::uint32_t kTiles[32] = {};
  args.gb_addr_config = device->gpu->chip().gb_addr_config;
  args.num_banks = args.num_ranks = 0;
  args.num_tile_configs = std::min<std::uint32_t>(args.num_tile_configs, 32);
  args.num_macro_tile_configs = std::min<std::uint32_t>(args.num_macro_tile_configs, 16);
  if (!copy_to_user(args.tile_config_ptr, kTiles, args.num_tile_configs * 4)) {
    args.num_tile_configs = 0;
    return -EFAULT;
  }
  if (!copy_to_user(args.macro_tile_config_ptr, kTiles, args.num_macro_tile_configs * 4)) {
    args.num_macro_tile_configs = 0;
    return -EFAULT;
  }
  return 0;
}

int KfdNode::set_trap_handler(OpenFile&, KfdProcess& process, void* data) {
  const auto& args = *static_cast<uapi::SetTrapHandler*>(data);
  std::lock_guard lock(process.mutex);
  ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  if (device->drm_file == 0) return -ESRCH;
  device->trap_handler.code = args.tba_addr;
  device->trap_handler.memory = args.tma_addr;
  return 0;
}

int KfdNode::set_xnack_mode(OpenFile&, KfdProcess& process, void* data) {
  // As with CONFIG_HSA_AMD_SVM and amdgpu.noretry at its default (kfd_process.c
  // kfd_process_xnack_mode): off at first; it can be put on where the process may choose. A fault
  // that would be retried finds no SVM range to restore, so it is reported either way.
  auto& args = *static_cast<uapi::SetXnackMode*>(data);
  std::lock_guard lock(process.mutex);
  if (args.xnack_enabled < 0) {
    args.xnack_enabled = process.xnack_enabled ? 1 : 0;
    return 0;
  }
  if (!process.queues.empty()) return -EBUSY;
  for (std::size_t index = 0; args.xnack_enabled != 0 && index < process.device_count(); ++index)
    if (!xnack_per_process(*process.device_at(index).gpu)) return -EPERM;
  process.xnack_enabled = args.xnack_enabled != 0;
  return 0;
}

int KfdNode::runtime_enable(OpenFile&, KfdProcess& process, void* data) {
  const auto& args = *static_cast<uapi::RuntimeEnable*>(data);
  std::lock_guard lock(process.mutex);
  if ((args.mode_mask & uapi::kRuntimeEnable) == 0) {  // runtime_disable
    process.runtime_enabled = false;
    return 0;
  }
  if (process.runtime_enabled) return -EBUSY;
  if (!process.queues.empty()) return -EEXIST;
  process.runtime_enabled = true;
  return 0;
}

int KfdNode::create_process(OpenFile& file, KfdProcess& process, void*) {
  if (!process.primary) return -EINVAL;  // each file holds one process
  file.set_process(make_process(false));
  return 0;
}

int KfdNode::smi_events(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::SmiEvents*>(data);
  const ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  const int fd = engines_[device->gpu->index()]->smi().open();
  if (fd < 0) return fd;
  args.anon_fd = static_cast<std::uint32_t>(fd);
  return 0;
}

int KfdNode::no_capability(OpenFile&, KfdProcess&, void*) {
  // kfd_ioctl: KFD_IOC_FLAG_CHECKPOINT_RESTORE wants CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, which
  // the virtual machine grants to nobody.
  return -EACCES;
}

int KfdNode::debug_trap(OpenFile&, KfdProcess& process, void* data) {
  const auto& args = *static_cast<uapi::DbgTrap*>(data);
  if (!process.primary) return -EOPNOTSUPP;
  // Whoever is not this process has none of this machine's (kfd_lookup_process_by_pid).
  if (!is_own_thread(args.pid)) return -ESRCH;
  if (args.op != kDebugTrapEnable) return -EINVAL;  // not enabled before
  return -ENODEV;  // kfd_debug.c kfd_dbg_trap_enable: a GPU that cannot be debugged
}

int KfdNode::profiler(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::Profiler*>(data);
  switch (args.op) {
    case uapi::kProfilerVersion:
      args.version = kProfilerVersion;
      return 0;
    case uapi::kProfilerPmc:
      return -EPERM;  // perfmon_capable: nobody is
    case uapi::kProfilerPtlControl:
      if (process.device(args.ptl.gpu_id) == nullptr) return -EINVAL;
      // kfd_ptl_control: no such hardware; kfd_ptl_disable_release: nothing was asked for.
      return args.ptl.enable == 0 ? -EOPNOTSUPP : 0;
    default:
      return -EINVAL;
  }
}

}  // namespace kiln::vgpu

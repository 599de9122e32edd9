#include "vgpu/kfd_node.hpp"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "vgpu/kfd_engines.hpp"
#include "vgpu/user_memory.hpp"

// Functions named in comments are those of kfd_chardev.c unless a file is given.

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

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

constexpr std::uint64_t kFakeOffsets = std::uint64_t{1} << 46;  // above every region

}  // namespace

// One row an ioctl: the number it has, the KFD minor it came with, what runs. Missing rows are
// ENOTTY: SMI events (0x1f), CRIU (0x22) and the profiler (0x28) are not modelled.
const KfdNode::Command KfdNode::kCommands[] = {
    {uapi::kIocGetVersion, 0, &KfdNode::get_version},
    {uapi::kIocCreateQueue, 0, &KfdNode::create_queue},
    {uapi::kIocDestroyQueue, 0, &KfdNode::destroy_queue},
    {uapi::kIocSetMemoryPolicy, 0, &KfdNode::set_memory_policy},
    {uapi::kIocGetClockCounters, 0, &KfdNode::get_clock_counters},
    {uapi::kIocGetProcessApertures, 0, &KfdNode::get_process_apertures},
    {uapi::kIocUpdateQueue, 0, &KfdNode::update_queue},
    {uapi::kIocCreateEvent, 0, &KfdNode::create_event},
    {uapi::kIocDestroyEvent, 0, &KfdNode::destroy_event},
    {uapi::kIocSetEvent, 0, &KfdNode::set_event},
    {uapi::kIocResetEvent, 0, &KfdNode::reset_event},
    {uapi::kIocWaitEvents, 0, &KfdNode::wait_events},
    // The old debugger's four: kfd_ioctl_dbg_register and its like return -EPERM since 5.16.
    {uapi::kIocDbgRegister, 0, &KfdNode::not_permitted},
    {uapi::kIocDbgUnregister, 0, &KfdNode::not_permitted},
    {uapi::kIocDbgAddressWatch, 0, &KfdNode::not_permitted},
    {uapi::kIocDbgWaveControl, 0, &KfdNode::not_permitted},
    {uapi::kIocSetScratchBackingVa, 0, &KfdNode::set_scratch_backing_va},
    {uapi::kIocGetTileConfig, 0, &KfdNode::get_tile_config},
    {uapi::kIocSetTrapHandler, 0, &KfdNode::set_trap_handler},
    {uapi::kIocGetProcessAperturesNew, 0, &KfdNode::get_process_apertures_new},
    {uapi::kIocAcquireVm, 0, &KfdNode::acquire_vm},
    {uapi::kIocAllocMemoryOfGpu, 0, &KfdNode::alloc_memory},
    {uapi::kIocFreeMemoryOfGpu, 0, &KfdNode::free_memory},
    {uapi::kIocMapMemoryToGpu, 0, &KfdNode::map_memory},
    {uapi::kIocUnmapMemoryFromGpu, 0, &KfdNode::unmap_memory},
    {uapi::kIocSetCuMask, 0, &KfdNode::set_cu_mask},
    {uapi::kIocGetQueueWaveState, 0, &KfdNode::get_queue_wave_state},
    {uapi::kIocGetDmabufInfo, 0, &KfdNode::get_dmabuf_info},
    {uapi::kIocImportDmabuf, 0, &KfdNode::import_dmabuf},
    {uapi::kIocAllocQueueGws, 0, &KfdNode::alloc_queue_gws},
    // A kernel without CONFIG_HSA_AMD_SVM: kfd_ioctl_svm is a stub that returns -EPERM.
    {uapi::kIocSvm, uapi::kMinorSvm, &KfdNode::not_permitted},
    {uapi::kIocSetXnackMode, uapi::kMinorSvm, &KfdNode::set_xnack_mode},
    {uapi::kIocAvailableMemory, uapi::kMinorAvailableMemory, &KfdNode::available_memory},
    {uapi::kIocExportDmabuf, uapi::kMinorExportDmabuf, &KfdNode::export_dmabuf},
    {uapi::kIocRuntimeEnable, uapi::kMinorRuntimeEnable, &KfdNode::runtime_enable},
    // kfd_ioctl_set_debug_trap refuses a target that is not traced by the caller.
    {uapi::kIocDbgTrap, uapi::kMinorRuntimeEnable, &KfdNode::not_permitted},
    {uapi::kIocCreateProcess, uapi::kMinorCreateProcess, &KfdNode::create_process},
};

KfdNode::KfdNode(Machine& machine, FileTable& files, EnginesFactory make_engines)
    : machine_(machine),
      files_(files),
      make_engines_(std::move(make_engines)),
      next_fake_offset_(kFakeOffsets) {
  for (std::size_t index = 0; index < machine.gpu_count(); ++index) {
    VirtualGpu& gpu = machine.gpu(index);
    engines_.push_back(
        std::make_unique<GpuEngines>(*this, gpu, machine.spec().engine, make_engines_));
    buffers_.emplace_back();
    const ChipSpec& chip = gpu.chip();
    sdma_slots_.emplace_back((chip.sdma_engines + chip.sdma_xgmi_engines) *
                             chip.sdma_queues_per_engine);
  }
}

KfdNode::~KfdNode() {
  std::vector<std::shared_ptr<KfdProcess>> all;
  {
    std::lock_guard lock(table_mutex_);
    for (auto& [token, process] : processes_) all.push_back(process);
  }
  for (auto& process : all) end_process(*process);
  engines_.clear();  // ends their threads before what they report to goes
  std::lock_guard lock(table_mutex_);
  processes_.clear();
}

std::shared_ptr<KfdProcess> KfdNode::make_process(bool primary) {
  std::lock_guard lock(table_mutex_);
  auto process = std::make_shared<KfdProcess>(machine_, next_token_++, primary,
                                              minor() >= uapi::kMinorEventAge);
  processes_.emplace(process->token, process);
  return process;
}

std::shared_ptr<KfdProcess> KfdNode::process_by_token(std::uint64_t token) {
  std::lock_guard lock(table_mutex_);
  const auto found = processes_.find(token);
  return found == processes_.end() ? nullptr : found->second;
}

std::shared_ptr<KfdProcess> KfdNode::primary_process() {
  {
    std::lock_guard lock(table_mutex_);
    if (primary_ != nullptr) return primary_;
  }
  auto process = make_process(true);
  std::lock_guard lock(table_mutex_);
  if (primary_ == nullptr)
    primary_ = process;
  else
    processes_.erase(process->token);
  return primary_;
}

void KfdNode::end_process(KfdProcess& process) {
  process.events.shut_down();
  std::lock_guard lock(process.mutex);
  while (!process.queues.empty()) end_queue(process, process.queues.begin()->second);
  for (std::size_t index = 0; index < process.device_count(); ++index) {
    ProcessDevice& device = process.device_at(index);
    while (!device.attachments.empty()) {
      const Va va = device.attachments.begin()->first;
      device.space.unmap(va);
      device.attachments.erase(va);
    }
  }
  for (std::size_t index = 0; index < process.device_count(); ++index)
    process.device_at(index).handles.clear();
}

void KfdNode::release(OpenFile& file) {
  const std::shared_ptr<KfdProcess> process = file.process();
  if (process == nullptr || process->primary) return;
  end_process(*process);
  std::lock_guard lock(table_mutex_);
  processes_.erase(process->token);
}

int KfdNode::ioctl(OpenFile& file, unsigned long request, void* argument) {
  // kfd_ioctl: by number alone; the smaller of both sizes is copied, the rest reads as zero, and
  // results are copied back even with an error.
  const Command* command = nullptr;
  for (const Command& row : kCommands)
    if (_IOC_TYPE(request) == uapi::kIoctlBase && _IOC_NR(row.request) == _IOC_NR(request))
      command = &row;
  if (command == nullptr || minor() < command->since) return -ENOTTY;
  alignas(8) std::array<std::byte, 512> data{};
  const std::size_t bytes = std::min<std::size_t>(_IOC_SIZE(request), data.size());
  static_assert(sizeof(uapi::GetProcessApertures) <= 512);
  const auto user = reinterpret_cast<std::uint64_t>(argument);
  if ((_IOC_DIR(command->request) & _IOC_WRITE) != 0 && !copy_from_user(data.data(), user, bytes))
    return -EFAULT;
  const std::shared_ptr<KfdProcess> process = file.process();
  const int result = (this->*command->run)(file, *process, data.data());
  if ((_IOC_DIR(command->request) & _IOC_READ) != 0 && !copy_to_user(user, data.data(), bytes))
    return -EFAULT;
  return result;
}

int KfdNode::get_version(OpenFile&, KfdProcess&, void* data) {
  *static_cast<uapi::GetVersion*>(data) = {uapi::kMajorVersion, minor()};
  return 0;
}

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
  args.num_of_nodes = std::min(args.num_of_nodes, count);
  std::vector<uapi::ProcessDeviceApertures> all;
  for (std::uint32_t index = 0; index < args.num_of_nodes; ++index)
    all.push_back(apertures_of(*process.device_at(index).gpu));
  return copy_to_user(args.apertures_ptr, all.data(), all.size() * sizeof all[0]) ? 0 : -EFAULT;
}

int KfdNode::create_event(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::CreateEvent*>(data);
  if (args.event_page_offset != 0) {  // kfd_events.c kfd_kmap_event_page
    std::lock_guard lock(process.mutex);
    if (process.events.has_page()) return -EINVAL;
    ProcessDevice* device = nullptr;
    Allocation* page = process.allocation(args.event_page_offset, &device);
    if (device == nullptr) return -EINVAL;
    if (device->drm_file == 0) return -ENODEV;
    // amdgpu_amdkfd_gpuvm_map_gtt_bo_to_kernel refuses user memory.
    if (page == nullptr || (page->flags & uapi::kAllocGtt) == 0) return -EINVAL;
    if (const int error = process.events.set_page(page->backing->host, page->backing->bytes,
                                                  args.event_page_offset);
        error != 0)
      return error;
  }
  return process.events.create(&args);
}

int KfdNode::destroy_event(OpenFile&, KfdProcess& process, void* data) {
  return process.events.destroy(static_cast<uapi::DestroyEvent*>(data)->event_id);
}

int KfdNode::set_event(OpenFile&, KfdProcess& process, void* data) {
  return process.events.set(static_cast<uapi::SetEvent*>(data)->event_id);
}

int KfdNode::reset_event(OpenFile&, KfdProcess& process, void* data) {
  return process.events.reset(static_cast<uapi::ResetEvent*>(data)->event_id);
}

int KfdNode::wait_events(OpenFile&, KfdProcess& process, void* data) {
  return process.events.wait(static_cast<uapi::WaitEvents*>(data));
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
  // As with amdgpu.noretry=1 (kfd_process.c kfd_process_xnack_mode): off, and cannot be put on.
  auto& args = *static_cast<uapi::SetXnackMode*>(data);
  std::lock_guard lock(process.mutex);
  if (args.xnack_enabled < 0) {
    args.xnack_enabled = 0;
    return 0;
  }
  if (!process.queues.empty()) return -EBUSY;
  return args.xnack_enabled == 0 ? 0 : -EPERM;
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

int KfdNode::mmap(OpenFile& file, std::uint64_t bytes, std::uint64_t offset, MmapTarget* target) {
  // kfd_mmap: bits 63:62 say what, 61:46 of which GPU (kfd_priv.h).
  const std::shared_ptr<KfdProcess> held = file.process();
  KfdProcess& process = *held;
  const auto kind = static_cast<unsigned>(offset >> 62);
  const auto gpu_id = static_cast<std::uint32_t>(offset >> 46 & 0xffff);
  constexpr unsigned kMmio = 0, kEvents = 2, kDoorbell = 3;
  std::lock_guard lock(process.mutex);
  if (kind == kEvents) {
    target->fd = process.events.page_fd(bytes);
    target->offset = 0;
    return target->fd < 0 ? -EINVAL : 0;
  }
  ProcessDevice* device = process.device(gpu_id);
  if (device == nullptr) return -ENODEV;
  if (kind == kDoorbell) {  // kfd_doorbell.c kfd_doorbell_mmap
    if (bytes != kDoorbellBytes) return -EINVAL;
  } else if (kind == kMmio) {  // kfd_mmio_mmap
    if (bytes != uapi::kMmioRemapBytes) return -EINVAL;
  } else {
    return -EFAULT;
  }
  Region* pages = process.doorbells(*device);
  if (pages == nullptr) return -ENOMEM;
  target->fd = pages->fd();
  target->offset = kind == kDoorbell ? 0 : kDoorbellBytes;
  return 0;
}

int KfdNode::mmap_buffer(OpenFile& file, std::uint64_t bytes, std::uint64_t offset,
                         MmapTarget* target) {
  std::lock_guard lock(table_mutex_);
  const auto found = buffers_[file.gpu].find(offset);
  // drm_gem_mmap looks for the very start of a buffer.
  if (found == buffers_[file.gpu].end()) return -EINVAL;
  const Buffer& buffer = found->second;
  if (buffer.drm_file != file.id) return -EACCES;  // drm_vma_node_is_allowed
  if (bytes > buffer.bytes) return -EINVAL;
  const std::shared_ptr<Backing> backing = buffer.backing.lock();
  if (backing == nullptr) return -EINVAL;
  if (buffer.user_memory || !backing->storage) return -EPERM;  // amdgpu_gem_object_mmap
  target->fd = backing->export_fd >= 0 ? backing->export_fd : backing->gpu->region().fd();
  target->offset = backing->export_fd >= 0 ? 0 : backing->storage->offset;
  return 0;
}

}  // namespace kiln::vgpu

#include "vgpu/kfd_node.hpp"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>

#include "vgpu/kfd_engines.hpp"
#include "vgpu/user_memory.hpp"

// Functions named in comments are those of kfd_chardev.c unless a file is given.

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {}  // namespace

// One row an ioctl: the number it has, the KFD minor it came with, what runs.
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
    {uapi::kIocSmiEvents, uapi::kMinorSmiEvents, &KfdNode::smi_events},
    // Shared virtual memory is not modelled, and no node's capability says it is: as in a kernel
    // without CONFIG_HSA_AMD_SVM, where kfd_ioctl_svm is a stub that returns -EPERM.
    {uapi::kIocSvm, uapi::kMinorSvm, &KfdNode::not_permitted},
    {uapi::kIocSetXnackMode, uapi::kMinorSvm, &KfdNode::set_xnack_mode},
    {uapi::kIocCriu, uapi::kMinorCriu, &KfdNode::no_capability},
    {uapi::kIocAvailableMemory, uapi::kMinorAvailableMemory, &KfdNode::available_memory},
    {uapi::kIocExportDmabuf, uapi::kMinorExportDmabuf, &KfdNode::export_dmabuf},
    {uapi::kIocRuntimeEnable, uapi::kMinorRuntimeEnable, &KfdNode::runtime_enable},
    {uapi::kIocDbgTrap, uapi::kMinorRuntimeEnable, &KfdNode::debug_trap},
    {uapi::kIocCreateProcess, uapi::kMinorCreateProcess, &KfdNode::create_process},
    {uapi::kIocProfiler, uapi::kMinorProfiler, &KfdNode::profiler},
};

KfdNode::KfdNode(Machine& machine, FileTable& files, EnginesFactory make_engines)
    : machine_(machine),
      files_(files),
      buffers_(machine, files),
      make_engines_(std::move(make_engines)) {
  for (std::size_t index = 0; index < machine.gpu_count(); ++index) {
    VirtualGpu& gpu = machine.gpu(index);
    engines_.push_back(
        std::make_unique<GpuEngines>(*this, gpu, machine.spec().engine, make_engines_));
    const ChipSpec& chip = gpu.chip();
    sdma_slots_.emplace_back((chip.sdma_engines + chip.sdma_xgmi_engines) *
                             chip.sdma_queues_per_engine);
    queue_totals_.push_back(0);
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
  auto process = std::make_shared<KfdProcess>(machine_, next_token_++, primary);
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
  for (std::size_t index = 0; index < process.device_count(); ++index) {
    ProcessDevice& device = process.device_at(index);
    while (!device.handles.empty()) drop_handle(device, device.handles.begin()->first);
  }
}

void KfdNode::release(OpenFile& file) {
  const std::shared_ptr<KfdProcess> process = file.process();
  if (process == nullptr || process->primary) return;
  end_process(*process);
  std::lock_guard lock(table_mutex_);
  processes_.erase(process->token);
}

int KfdNode::ioctl(OpenFile& file, unsigned long request, void* argument) {
  // kfd_ioctl: by number alone, whatever the type and size say. As many bytes are copied as the
  // caller's size names, the rest reads as zero, and results go back even with an error. Numbers
  // past the table are ENOTTY in every line of kernels still maintained (57af162bfc8c, Dec 2025),
  // EINVAL before.
  const Command* command = nullptr;
  for (const Command& row : kCommands)
    if (_IOC_NR(row.request) == _IOC_NR(request)) command = &row;
  if (command == nullptr || minor() < command->since) return -ENOTTY;
  alignas(8) std::array<std::byte, 512> room{};
  static_assert(sizeof(uapi::GetProcessApertures) <= sizeof room);
  const std::size_t bytes = _IOC_SIZE(request);
  std::vector<std::byte> more(bytes > room.size() ? bytes : 0);
  std::byte* const data = more.empty() ? room.data() : more.data();
  const auto user = reinterpret_cast<std::uint64_t>(argument);
  if ((_IOC_DIR(command->request) & _IOC_WRITE) != 0 && !copy_from_user(data, user, bytes))
    return -EFAULT;
  const std::shared_ptr<KfdProcess> process = file.process();
  const int result = (this->*command->run)(file, *process, data);
  if ((_IOC_DIR(command->request) & _IOC_READ) != 0 && !copy_to_user(user, data, bytes))
    return -EFAULT;
  return result;
}

int KfdNode::get_version(OpenFile&, KfdProcess&, void* data) {
  *static_cast<uapi::GetVersion*>(data) = {uapi::kMajorVersion, minor()};
  return 0;
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

int KfdNode::mmap(OpenFile& file, std::uint64_t bytes, std::uint64_t offset, MmapTarget* target) {
  // kfd_mmap: bits 63:62 say what, 61:46 of which GPU (kfd_priv.h).
  const std::shared_ptr<KfdProcess> held = file.process();
  KfdProcess& process = *held;
  const auto kind = static_cast<unsigned>(offset >> 62);
  const auto gpu_id = static_cast<std::uint32_t>(offset >> 46 & 0xffff);
  constexpr unsigned kReserved = 1, kEvents = 2, kDoorbell = 3;  // 0: the MMIO page
  std::lock_guard lock(process.mutex);
  if (kind == kEvents) {
    target->fd = process.events.page_fd(bytes);
    target->offset = 0;
    return target->fd < 0 ? -EINVAL : 0;
  }
  if (kind == kReserved) return -EINVAL;  // "no longer supported"
  ProcessDevice* device = process.device(gpu_id);
  if (device == nullptr) return -ENODEV;
  // kfd_doorbell.c kfd_doorbell_mmap, kfd_mmio_mmap
  if (bytes != (kind == kDoorbell ? kDoorbellBytes : uapi::kMmioRemapBytes)) return -EINVAL;
  Region* pages = process.doorbells(*device);
  if (pages == nullptr) return -ENOMEM;
  target->fd = pages->fd();
  target->offset = kind == kDoorbell ? 0 : kDoorbellBytes;
  return 0;
}

std::shared_ptr<AddressSpace> KfdNode::compute_space(std::uint64_t drm_file) {
  std::lock_guard lock(table_mutex_);
  for (auto& [token, process] : processes_)
    for (std::size_t index = 0; index < process->device_count(); ++index) {
      ProcessDevice& device = process->device_at(index);
      if (device.drm_file == drm_file) return {process, &device.space};
    }
  return nullptr;
}

}  // namespace kiln::vgpu

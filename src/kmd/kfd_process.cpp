// Owns: opening KFD and everything that is done with it once per process.
// Does not own: see kfd_process.hpp.
// Threading: see kfd_process.hpp.
#include "kmd/kfd_process.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace kiln::kmd {
namespace {

/// Counts forks: a state made under another count belongs to the parent.
std::atomic<std::uint64_t> g_fork_generation{0};

void watch_forks() {
  static std::once_flag once;
  std::call_once(once, [] {
    pthread_atfork(nullptr, nullptr,
                   [] { g_fork_generation.fetch_add(1, std::memory_order_relaxed); });
  });
}

/// gfx9 and later: 1024 doorbells of 8 bytes a process and GPU (kfd_doorbell.c).
constexpr std::uint64_t kDoorbellBytes = 8192;

Error open_error(Os& os, const char* path, int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return {VK_ERROR_INCOMPATIBLE_DRIVER,
              strf("%s does not exist (%s): no AMD GPU, or the amdgpu kernel module is not loaded "
                   "(modprobe amdgpu), or this container was started without the device (docker "
                   "run --device=/dev/kfd --device=/dev/dri)",
                   path, std::strerror(error))};
    case EACCES:
    case EPERM: {
      const std::string group = os.group_of(path);
      return {VK_ERROR_INITIALIZATION_FAILED,
              group.empty()
                  ? strf("no permission for %s (%s): it usually belongs to the group render or "
                         "video; add the user to it and log in again",
                         path, std::strerror(error))
                  : strf("no permission for %s (%s): it belongs to the group %s; "
                         "sudo usermod -a -G %s $USER, then log in again",
                         path, std::strerror(error), group.c_str(), group.c_str())};
    }
    default:
      return {VK_ERROR_INITIALIZATION_FAILED,
              strf("%s cannot be opened (%s)", path, std::strerror(error))};
  }
}

}  // namespace

VkResult result_of_errno(int error, VkResult otherwise) {
  switch (error) {
    case ENOMEM:
      return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    case ENODEV:
    case EIO:
    case EBADF:
      return VK_ERROR_DEVICE_LOST;
    default:
      return otherwise;
  }
}

std::vector<std::string> kfd_limitations(std::uint32_t minor) {
  static constexpr struct {
    std::uint32_t since;
    const char* without;
  } kTable[] = {
      {uapi::kMinorExportDmabuf, "memory cannot be exported as a dma-buf"},
      {uapi::kMinorRuntimeEnable,
       "the driver does not report malformed packets; a queue that met one hangs until the "
       "watchdog ends it"},
      {uapi::kMinorEventAge, "one thread of Kiln's sleeps for all host waits and wakes them"},
      {uapi::kMinorSdmaByEngine, "an SDMA queue cannot be put on a chosen engine"},
  };
  std::vector<std::string> limitations;
  for (const auto& row : kTable)
    if (minor < row.since)
      limitations.push_back(strf("KFD 1.%u is older than 1.%u: %s", minor, row.since, row.without));
  return limitations;
}

Result<std::shared_ptr<KfdProcess>> KfdProcess::connect(Os& os) {
  watch_forks();
  const std::lock_guard lock(os.driver_mutex);
  if (auto held = std::static_pointer_cast<KfdProcess>(os.driver_state)) {
    if (!held->forked()) return held;
    // The parent's state: its thread does not exist here and its locks may be held for ever, so it
    // is left behind as it is.
    (void)new std::shared_ptr<KfdProcess>(std::move(held));
    os.driver_state.reset();
  }
  std::shared_ptr<KfdProcess> process(new KfdProcess(os));
  KILN_TRY(process->open());
  os.driver_state = process;
  return process;
}

bool KfdProcess::forked() const {
  return fork_generation_ != g_fork_generation.load(std::memory_order_relaxed);
}

Status KfdProcess::check_fork() const {
  if (!forked()) return {};
  return fail(VK_ERROR_DEVICE_LOST,
              "this process is a fork() of the one that opened the GPU: a child cannot use its "
              "parent's devices; create an instance of its own in the child");
}

Status KfdProcess::open() {
  fork_generation_ = g_fork_generation.load(std::memory_order_relaxed);
  const int fd = os_.open("/dev/kfd", O_RDWR | O_CLOEXEC);
  if (fd < 0) return std::unexpected(open_error(os_, "/dev/kfd", -fd));
  uapi::GetVersion version{};
  const int status = os_.ioctl(fd, uapi::kIocGetVersion, &version);
  if (status < 0) {
    os_.close(fd);
    return fail(VK_ERROR_INCOMPATIBLE_DRIVER,
                strf("/dev/kfd does not tell its version (%s)", std::strerror(-status)));
  }
  if (version.major_version != uapi::kMajorVersion || version.minor_version < kOldestMinor) {
    os_.close(fd);
    return fail(VK_ERROR_INCOMPATIBLE_DRIVER,
                strf("/dev/kfd speaks version %u.%u, Kiln needs 1.%u or later (Linux 6.1)",
                     version.major_version, version.minor_version, kOldestMinor));
  }
  fd_ = fd;
  minor_ = version.minor_version;
  events_ = std::make_unique<EventHub>(os_, fd_, minor_ >= uapi::kMinorEventAge);
  return {};
}

Result<GpuSlot*> KfdProcess::add_gpu(const GpuInfo& info, const std::string& name) {
  KILN_TRY(check_fork());
  const std::lock_guard lock(mutex_);
  if (const auto found = gpus_.find(info.gpu_id); found != gpus_.end()) return found->second.get();
  const std::string path = "/dev/dri/renderD" + std::to_string(info.drm_render_minor);
  const int fd = os_.open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return std::unexpected(open_error(os_, path.c_str(), -fd));
  if (const std::string driver = os_.drm_driver(fd); !driver.empty() && driver != "amdgpu") {
    os_.close(fd);
    return fail(VK_ERROR_INCOMPATIBLE_DRIVER,
                strf("%s belongs to the driver %s, not to amdgpu", path.c_str(), driver.c_str()));
  }
  auto slot = std::make_unique<GpuSlot>();
  slot->gpu_id = info.gpu_id;
  slot->node = info.node;
  slot->name = name;
  slot->render_fd = fd;
  return (gpus_[info.gpu_id] = std::move(slot)).get();
}

GpuSlot* KfdProcess::find_gpu(std::uint32_t gpu_id) {
  const std::lock_guard lock(mutex_);
  const auto found = gpus_.find(gpu_id);
  return found == gpus_.end() ? nullptr : found->second.get();
}

Status KfdProcess::start() {
  KILN_TRY(check_fork());
  const std::lock_guard lock(mutex_);
  bool any = false, fresh = false;
  for (auto& [id, gpu] : gpus_) {
    if (!gpu->acquired && gpu->acquire_error.message.empty()) {
      if (auto status = acquire(*gpu); !status)
        gpu->acquire_error = status.error();
      else
        fresh = true;
    }
    any = any || gpu->acquired;
  }
  if (!any) return {};  // each slot knows why
  if (fresh || !apertures_read_) {
    KILN_TRY(read_apertures());
    apertures_read_ = true;
    KILN_TRY(share_event_page());
  }
  if (!runtime_enabled_) {
    KILN_TRY(enable_runtime());
    runtime_enabled_ = true;
  }
  return {};
}

Status KfdProcess::acquire(GpuSlot& gpu) {
  // kfd_process_device_init_vm: one address space per process and GPU, for good.
  uapi::AcquireVm args{static_cast<std::uint32_t>(gpu.render_fd), gpu.gpu_id};
  const int status = ioctl(uapi::kIocAcquireVm, &args);
  if (status >= 0) {
    gpu.acquired = true;
    return {};
  }
  if (status == -EBUSY)
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                strf("%s: another KFD runtime in this process (HIP, ROCr, OpenCL) has its address "
                     "space already (ACQUIRE_VM: EBUSY); a process can use only one, so run Kiln "
                     "in a process of its own",
                     gpu.name.c_str()));
  if (status == -EBADF)
    return fail(VK_ERROR_DEVICE_LOST,
                strf("%s: KFD does not accept this process's files (ACQUIRE_VM: EBADF): they were "
                     "opened before a fork()",
                     gpu.name.c_str()));
  return fail(result_of_errno(-status, VK_ERROR_INITIALIZATION_FAILED),
              strf("%s: no address space on the GPU (ACQUIRE_VM: %s)", gpu.name.c_str(),
                   std::strerror(-status)));
}

Status KfdProcess::read_apertures() {
  uapi::GetProcessAperturesNew args{};
  int status = ioctl(uapi::kIocGetProcessAperturesNew, &args);
  std::vector<uapi::ProcessDeviceApertures> apertures(args.num_of_nodes);
  if (status >= 0 && !apertures.empty()) {
    args.apertures_ptr = reinterpret_cast<std::uintptr_t>(apertures.data());
    status = ioctl(uapi::kIocGetProcessAperturesNew, &args);
  }
  if (status < 0)
    return fail(result_of_errno(-status, VK_ERROR_INITIALIZATION_FAILED),
                strf("KFD does not tell the apertures (GET_PROCESS_APERTURES_NEW: %s)",
                     std::strerror(-status)));
  apertures.resize(std::min<std::size_t>(apertures.size(), args.num_of_nodes));
  for (auto& [id, gpu] : gpus_) {
    bool found = false;
    for (const auto& aperture : apertures)
      if (aperture.gpu_id == id) {
        gpu->apertures = aperture;
        found = true;
      }
    if (!gpu->acquired) continue;
    if (!found)
      return fail(VK_ERROR_INITIALIZATION_FAILED,
                  strf("%s: KFD has no apertures for GPU id %u", gpu->name.c_str(), id));
    gpuvm_base_ = std::max<Va>(gpuvm_base_, gpu->apertures.gpuvm_base);
    gpuvm_limit_ = std::min<Va>(gpuvm_limit_, gpu->apertures.gpuvm_limit);
  }
  return {};
}

Status KfdProcess::share_event_page() {
  std::vector<std::uint32_t> ids;
  for (const auto& [id, gpu] : gpus_)
    if (gpu->acquired) ids.push_back(id);
  if (event_page_.handle != 0) return map(event_page_.handle, ids);
  // libhsakmt events.c: 4096 slots of 64 bits, uncached system memory that every GPU can write; KFD
  // gets it by handle with the first CREATE_EVENT.
  AllocRequest request;
  request.gpu = gpus_.at(ids.front()).get();
  request.size = uapi::kSignalPageBytes;
  request.flags = uapi::kAllocGtt | uapi::kAllocWritable | uapi::kAllocExecutable |
                  uapi::kAllocNoSubstitute | uapi::kAllocCoherent | uapi::kAllocUncached;
  request.host = true;
  KILN_ASSIGN(Memory page, allocate(request, ids));
  if (auto status = events_->start(page.handle, page.address); !status) {
    (void)free(page);
    return status;
  }
  event_page_ = std::move(page);
  return {};
}

Status KfdProcess::enable_runtime() {
  if (minor_ < uapi::kMinorRuntimeEnable) return {};
  // kfd_chardev.c runtime_enable: without bit 0 the call disables; after every ACQUIRE_VM and
  // before any queue (EEXIST), once (EBUSY). TTMP registers are what a trap handler reads, as ROCr
  // asks.
  uapi::RuntimeEnable args{};
  args.mode_mask = uapi::kRuntimeEnable | uapi::kRuntimeTtmpSave;
  const int status = ioctl(uapi::kIocRuntimeEnable, &args);
  if (status >= 0) return {};
  if (status == -EBUSY || status == -EEXIST)
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                strf("another KFD runtime in this process (HIP, ROCr, OpenCL) is active already "
                     "(RUNTIME_ENABLE: %s); run Kiln in a process of its own",
                     std::strerror(-status)));
  return fail(VK_ERROR_INITIALIZATION_FAILED,
              strf("KFD refuses the runtime (RUNTIME_ENABLE: %s)", std::strerror(-status)));
}

Result<std::atomic<std::uint64_t>*> KfdProcess::map_doorbell(GpuSlot& gpu, std::uint64_t offset) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t base = offset & ~(kDoorbellBytes - 1);
  if (gpu.doorbells == nullptr) {
    void* address = nullptr;
    const int status = os_.mmap(&address, nullptr, kDoorbellBytes, PROT_READ | PROT_WRITE,
                                MAP_SHARED, fd_, static_cast<off_t>(base));
    if (status < 0)
      return fail(result_of_errno(-status, VK_ERROR_INITIALIZATION_FAILED),
                  strf("%s: the doorbells cannot be mapped (%s)", gpu.name.c_str(),
                       std::strerror(-status)));
    gpu.doorbells = static_cast<std::byte*>(address);
    gpu.doorbells_offset = base;
  }
  if (gpu.doorbells_offset != base)
    return fail(VK_ERROR_UNKNOWN,
                strf("%s: KFD gave doorbells at 0x%llx and at 0x%llx", gpu.name.c_str(),
                     static_cast<unsigned long long>(gpu.doorbells_offset),
                     static_cast<unsigned long long>(base)));
  return reinterpret_cast<std::atomic<std::uint64_t>*>(gpu.doorbells +
                                                       (offset & (kDoorbellBytes - 1)));
}

volatile std::uint32_t* KfdProcess::hdp_page(GpuSlot& gpu) {
  const std::lock_guard lock(mutex_);
  if (gpu.hdp_tried) return gpu.hdp_flush;
  gpu.hdp_tried = true;
  // kfd_chardev.c: refused where the page would show more than these registers (large host pages,
  // SR-IOV); the caller then flushes by packet.
  uapi::AllocMemoryOfGpu args{};
  auto place = reserve(uapi::kMmioRemapBytes, 0);
  if (!place) return nullptr;
  args.va_addr = reinterpret_cast<std::uintptr_t>(*place);
  args.size = uapi::kMmioRemapBytes;
  args.gpu_id = gpu.gpu_id;
  args.flags = uapi::kAllocMmioRemap | uapi::kAllocWritable | uapi::kAllocCoherent |
               uapi::kAllocNoSubstitute;
  if (ioctl(uapi::kIocAllocMemoryOfGpu, &args) < 0) {
    os_.munmap(*place, uapi::kMmioRemapBytes);
    return nullptr;
  }
  void* address = nullptr;
  if (os_.mmap(&address, *place, uapi::kMmioRemapBytes, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_FIXED, fd_, static_cast<off_t>(args.mmap_offset)) < 0) {
    uapi::FreeMemoryOfGpu release{args.handle};
    ioctl(uapi::kIocFreeMemoryOfGpu, &release);
    os_.munmap(*place, uapi::kMmioRemapBytes);
    return nullptr;
  }
  gpu.hdp_flush = reinterpret_cast<volatile std::uint32_t*>(static_cast<std::byte*>(address) +
                                                            uapi::kHdpMemFlushOffset);
  return gpu.hdp_flush;
}

}  // namespace kiln::kmd

// Owns: Kmd over /dev/kfd: which GPUs are there, which are not usable and why, opening one; the
//   parts of an opened GPU that are one driver call.
// Does not own: memory, queues, events (kfd_memory, kfd_queue, kfd_event).
// Threading: any thread.
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "gpu/target.hpp"
#include "kmd/kfd_gpu.hpp"
#include "kmd/topology.hpp"

namespace kiln::kmd {
namespace {

constexpr std::uint64_t kPage = 4096;

std::string name_of(const GpuInfo& info) {
  return strf("%s (node %u)", gpu::to_string(info.gfx_ip).c_str(), info.node);
}

/// Checks that Kiln has a backend for the GPU; applies the override by which a person runs an
/// unknown stepping as a known one of the same generation.
Status choose_target(GpuInfo* info) {
  const gpu::Target* target = gpu::find_target(info->gfx_ip);
  const std::string name = gpu::to_string(info->gfx_ip);
  if (const char* wish = std::getenv(gpu::kOverrideVariable); wish != nullptr && *wish != '\0') {
    const gpu::Target* as = gpu::find_target(std::string_view(wish));
    if (as != nullptr && as->supported() && gpu::override_allowed(info->gfx_ip, *as)) {
      info->gfx_ip = as->ip;
      return {};
    }
    if (target == nullptr || !target->supported())
      return fail(VK_ERROR_INCOMPATIBLE_DRIVER,
                  strf("%s=%s does not fit %s: it must name a supported target of the same "
                       "generation; supported: %s",
                       gpu::kOverrideVariable, wish, name.c_str(),
                       std::string(gpu::supported_target_names()).c_str()));
  }
  if (target == nullptr)
    return fail(VK_ERROR_INCOMPATIBLE_DRIVER,
                strf("%s is not a target that Kiln knows; supported: %s. To run it as one of these "
                     "of the same generation, at your own risk, set %s to its name",
                     name.c_str(), std::string(gpu::supported_target_names()).c_str(),
                     gpu::kOverrideVariable));
  if (!target->supported())
    return fail(VK_ERROR_INCOMPATIBLE_DRIVER,
                strf("%s (%s) is known, but Kiln has no backend for it yet; supported: %s",
                     name.c_str(), std::string(target->product).c_str(),
                     std::string(gpu::supported_target_names()).c_str()));
  return {};
}

class Kfd final : public Kmd {
 public:
  explicit Kfd(Os& os) : os_(os) {}

  Status enumerate(std::vector<GpuInfo>* gpus, std::vector<Unusable>* unusable) override {
    gpus->clear();
    auto connected = KfdProcess::connect(os_);
    if (!connected) {
      unusable->push_back(
          {"/dev/kfd", connected.error().code, std::move(connected.error().message)});
      return {};
    }
    process_ = *connected;
    KILN_ASSIGN(const std::vector<TopologyNode> nodes, read_topology(os_));
    for (const TopologyNode& node : nodes) {
      if (node.hidden != 0) {
        unusable->push_back(
            {strf("node %u", node.node), VK_ERROR_INITIALIZATION_FAILED,
             strf("its topology cannot be read (%s)%s", std::strerror(-node.hidden),
                  node.hidden == -EPERM ? ": a device cgroup keeps this GPU from this process or "
                                          "container"
                                        : "")});
        continue;
      }
      if (!node.is_gpu()) continue;
      GpuInfo info = describe_gpu(os_, node, nodes);
      const std::string name = name_of(info);
      if (auto status = examine(&info, name); !status)
        unusable->push_back({name, status.error().code, std::move(status.error().message)});
      else
        gpus->push_back(std::move(info));
    }
    if (gpus->empty() && unusable->empty())
      unusable->push_back({"/dev/kfd", VK_ERROR_INCOMPATIBLE_DRIVER,
                           "the driver is there, but it has no GPU for compute"});
    return {};
  }

  Result<std::unique_ptr<Gpu>> open(const GpuInfo& info) override {
    KILN_ASSIGN(process_, KfdProcess::connect(os_));
    const std::string name = name_of(info);
    KILN_ASSIGN(GpuSlot * slot, process_->add_gpu(info, name));
    KILN_TRY(process_->start());
    if (!slot->acquired) return std::unexpected(slot->acquire_error);
    if (const FaultInfo fault = process_->events().poll_fault(info.gpu_id);
        fault.kind != FaultKind::None)
      // kfd_dqm_evict_pasid: queues of this process never run on that GPU again.
      return fail(
          VK_ERROR_DEVICE_LOST,
          strf("%s: the driver stopped this process on the GPU for good after a fault (%s); "
               "start a new process",
               name.c_str(), fault.text.c_str()));
    return std::unique_ptr<Gpu>(new KfdGpu(process_, *slot, info));
  }

  std::string version() const override {
    return process_ != nullptr ? process_->version() : "KFD (not open)";
  }
  std::vector<std::string> limitations() const override {
    return process_ != nullptr ? kfd_limitations(process_->minor()) : std::vector<std::string>{};
  }

 private:
  Status examine(GpuInfo* info, const std::string& name) {
    KILN_TRY(choose_target(info));
    if (info->drm_render_minor < 0)
      return fail(VK_ERROR_INITIALIZATION_FAILED,
                  "the driver made no DRM render node for it, which is needed to map memory");
    KILN_ASSIGN(GpuSlot * slot, process_->add_gpu(*info, name));
    if (!slot->acquired && !slot->acquire_error.message.empty())
      return std::unexpected(slot->acquire_error);
    return {};
  }

  Os& os_;
  std::shared_ptr<KfdProcess> process_;
};

}  // namespace

std::unique_ptr<Kmd> make_kfd(Os& os) {
  return std::make_unique<Kfd>(os);
}

std::uint32_t alloc_flags(const MemoryDesc& desc) {
  std::uint32_t flags = uapi::kAllocNoSubstitute;
  switch (desc.heap) {
    case Heap::Vram:
      flags |= uapi::kAllocVram;
      if (desc.host_visible) flags |= uapi::kAllocPublic;
      break;
    case Heap::System:
      flags |= uapi::kAllocGtt;
      break;
    case Heap::HostImport:
      flags |= uapi::kAllocUserptr;
      break;
  }
  if (!desc.read_only) flags |= uapi::kAllocWritable;
  if (desc.executable) flags |= uapi::kAllocExecutable;
  if (desc.coherent) flags |= uapi::kAllocCoherent;
  // libhsakmt never asks for uncached memory without coherent.
  if (desc.uncached) flags |= uapi::kAllocUncached | uapi::kAllocCoherent;
  return flags;
}

KfdGpu::KfdGpu(std::shared_ptr<KfdProcess> process, GpuSlot& slot, GpuInfo info)
    : process_(std::move(process)),
      slot_(slot),
      info_(std::move(info)),
      hdp_flush_(info_.hdp_flush_needed ? process_->hdp_page(slot) : nullptr) {
  process_->events().device_opened();
}

KfdGpu::~KfdGpu() {
  if (process_->forked()) return;
  while (!queues_.empty()) {
    HwQueue queue;
    queue.id = queues_.begin()->first;
    (void)destroy_queue(queue);
  }
  process_->events().device_closed();
}

Result<std::vector<std::uint32_t>> KfdGpu::gpu_ids(const std::vector<Gpu*>& share) const {
  std::vector<std::uint32_t> ids{slot_.gpu_id};
  for (const Gpu* other : share) {
    const std::uint32_t id = other->info().gpu_id;
    const GpuSlot* slot = process_->find_gpu(id);
    if (slot == nullptr || !slot->acquired)
      return fail(VK_ERROR_UNKNOWN,
                  strf("%s cannot share memory with GPU id %u: it is not open in this process",
                       slot_.name.c_str(), id));
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  return ids;
}

Result<Memory> KfdGpu::allocate(const MemoryDesc& desc, const std::vector<Gpu*>& share) {
  KILN_ASSIGN(const std::vector<std::uint32_t> ids, gpu_ids(share));
  if (desc.size == 0 || desc.size > ~std::uint64_t{0} - kPage)
    return fail(VK_ERROR_OUT_OF_HOST_MEMORY,
                strf("an allocation of %llu bytes", static_cast<unsigned long long>(desc.size)));
  AllocRequest request;
  request.gpu = &slot_;
  request.size = (desc.size + kPage - 1) / kPage * kPage;
  request.alignment = desc.alignment;
  request.flags = alloc_flags(desc);
  request.host = desc.heap == Heap::System || (desc.heap == Heap::Vram && desc.host_visible);
  if (desc.heap == Heap::HostImport) {
    const auto address = reinterpret_cast<std::uintptr_t>(desc.host_pointer);
    if (address == 0 || address % kPage != 0 || desc.size % kPage != 0)
      return fail(VK_ERROR_INVALID_EXTERNAL_HANDLE,
                  strf("host memory is imported in whole pages of %llu bytes: %p and size %llu are "
                       "not aligned to it",
                       static_cast<unsigned long long>(kPage), desc.host_pointer,
                       static_cast<unsigned long long>(desc.size)));
    request.user_pointer = desc.host_pointer;
  }
  KILN_ASSIGN(Memory memory, process_->allocate(request, ids));
  memory.desc = desc;
  return memory;
}

Status KfdGpu::map_to(const Memory& memory, const std::vector<Gpu*>& share) {
  KILN_ASSIGN(const std::vector<std::uint32_t> ids, gpu_ids(share));
  return process_->map(memory.handle, ids);
}

Result<std::uint64_t> KfdGpu::available_memory() {
  KILN_TRY(process_->check_fork());
  uapi::GetAvailableMemory args{};
  args.gpu_id = slot_.gpu_id;
  if (const int status = process_->ioctl(uapi::kIocAvailableMemory, &args); status < 0)
    return fail(result_of_errno(-status, VK_ERROR_UNKNOWN),
                strf("%s does not tell its free memory (AVAILABLE_MEMORY: %s)", slot_.name.c_str(),
                     std::strerror(-status)));
  return args.available;
}

Result<Event> KfdGpu::create_event() {
  KILN_TRY(process_->check_fork());
  return process_->events().create();
}

Status KfdGpu::destroy_event(const Event& event) {
  KILN_TRY(process_->check_fork());
  return process_->events().destroy(event);
}

Status KfdGpu::set_event(const Event& event) {
  KILN_TRY(process_->check_fork());
  return process_->events().set(event);
}

WaitResult KfdGpu::wait(const Event& event, std::uint64_t age, std::uint64_t timeout_ns) {
  if (check(false).kind != FaultKind::None) return WaitResult::Faulted;
  const bool woken = process_->events().wait(event, age, timeout_ns);
  if (check(false).kind != FaultKind::None) return WaitResult::Faulted;
  return woken ? WaitResult::Woken : WaitResult::TimedOut;
}

Status KfdGpu::clocks(std::uint64_t* gpu_ticks, std::uint64_t* host_ns) {
  KILN_TRY(process_->check_fork());
  uapi::GetClockCounters args{};
  args.gpu_id = slot_.gpu_id;
  if (const int status = process_->ioctl(uapi::kIocGetClockCounters, &args); status < 0)
    return fail(result_of_errno(-status, VK_ERROR_UNKNOWN),
                strf("%s does not tell its clock (GET_CLOCK_COUNTERS: %s)", slot_.name.c_str(),
                     std::strerror(-status)));
  // KFD reads the GPU's counter together with CLOCK_MONOTONIC_RAW (kfd_chardev.c); the difference
  // of that clock to CLOCK_MONOTONIC changes by parts per million only.
  timespec raw{}, monotonic{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &raw);
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  const auto ns = [](const timespec& time) {
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
  };
  *gpu_ticks = args.gpu_clock_counter;
  *host_ns = args.cpu_clock_counter + static_cast<std::uint64_t>(ns(monotonic) - ns(raw));
  return {};
}

std::optional<bool> KfdGpu::xnack() {
  // gfx9 alone has both (AMDGPUUsage, "Target Features"). The mode is the process's: -1 asks for it
  // (kfd_chardev.c kfd_ioctl_set_xnack_mode); without it code for either is let through.
  if (info_.gfx_ip.major != 9 || process_->minor() < uapi::kMinorSvm) return std::nullopt;
  uapi::SetXnackMode args{-1};
  if (process_->ioctl(uapi::kIocSetXnackMode, &args) < 0) return std::nullopt;
  return args.xnack_enabled != 0;
}

bool KfdGpu::flush_hdp() {
  // Stores through the aperture are write-combined: they leave the CPU first.
  __builtin_ia32_sfence();
  if (!info_.hdp_flush_needed) return true;
  if (hdp_flush_ == nullptr) return false;
  // A write of 1 flushes; reading back waits until the write has arrived (ROCr does both).
  *hdp_flush_ = 1;
  (void)*hdp_flush_;
  return true;
}

}  // namespace kiln::kmd

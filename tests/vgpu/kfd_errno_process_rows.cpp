// The table of errnos: dispatch by number, and what is about a process as a whole.
#include "kfd_errno_table.hpp"

namespace kiln::vgpu::test {
namespace {

using namespace errno_table;

constexpr const char* kPolicy = "kfd_chardev.c kfd_ioctl_set_memory_policy";
constexpr const char* kApertures = "kfd_chardev.c kfd_ioctl_get_process_apertures_new";
constexpr const char* kTile = "kfd_chardev.c kfd_ioctl_get_tile_config";
constexpr const char* kXnack = "kfd_chardev.c kfd_ioctl_set_xnack_mode";
constexpr const char* kRuntime = "kfd_chardev.c runtime_enable";
constexpr const char* kDebug = "kfd_chardev.c kfd_ioctl_set_debug_trap";
constexpr const char* kProfiler = "kfd_chardev.c kfd_ioctl_profiler";

const Row kRows[] = {
    // ---- Dispatch
    {"ioctl", "number 0", ENOTTY, kChardev, kMi300,
     [](Client& c) {
       char data[64] = {};
       return -c.os->ioctl(c.kfd, _IOWR('K', 0, char[16]), data);
     }},
    {"ioctl", "number past the table", ENOTTY, kChardev, kMi300,
     [](Client& c) {
       char data[64] = {};
       return -c.os->ioctl(c.kfd, _IOWR('K', 0x29, char[16]), data);
     }},
    {"ioctl", "number of another device's type", 0, kChardev, kMi300,
     [](Client& c) {
       uapi::GetVersion v{};
       return -c.os->ioctl(c.kfd, _IOR('X', 1, uapi::GetVersion), &v);
     }},
    {"ioctl", "argument cannot be read", EFAULT, kChardev, kMi300,
     [](Client& c) { return -c.os->ioctl(c.kfd, uapi::kIocSetEvent, reinterpret_cast<void*>(8)); }},
    {"ioctl", "argument cannot be written", EFAULT, kChardev, kMi300,
     [](Client& c) {
       return -c.os->ioctl(c.kfd, uapi::kIocGetVersion, reinterpret_cast<void*>(8));
     }},
    {"ioctl", "larger than any structure, readable", 0, kChardev, kMi300,
     [](Client& c) {
       static char data[4096];
       return -c.os->ioctl(c.kfd, _IOWR('K', 5, char[4096]), data);
     }},
    {"EXPORT_DMABUF", "before 1.12", ENOTTY, kChardev, "mi300x,vram=256M,kfd=1.11",
     [](Client& c) {
       uapi::ExportDmabuf a{};
       return -c.call(uapi::kIocExportDmabuf, a);
     }},
    {"RUNTIME_ENABLE", "before 1.13", ENOTTY, kChardev, "mi300x,vram=256M,kfd=1.12",
     [](Client& c) { return runtime(c, uapi::kRuntimeEnable); }},
    {"DBG_TRAP", "before 1.13", ENOTTY, kChardev, "mi300x,vram=256M,kfd=1.12",
     [](Client& c) { return debug_trap(c, 1, 1); }},
    {"CREATE_PROCESS", "before 1.19", ENOTTY, kChardev, "mi300x,vram=256M,kfd=1.18",
     [](Client& c) { return -c.os->ioctl(c.kfd, uapi::kIocCreateProcess, nullptr); }},
    {"PROFILER", "before 1.23", ENOTTY, kChardev, "mi300x,vram=256M,kfd=1.22",
     [](Client& c) { return profiler(c, uapi::kProfilerVersion); }},

    // ---- Policy, clocks, apertures, scratch, tiles, traps
    {"SET_MEMORY_POLICY", "unknown default policy", EINVAL, kPolicy, kMi300,
     [](Client& c) { return memory_policy(c, [](auto& p) { p.default_policy = 2; }); }},
    {"SET_MEMORY_POLICY", "unknown alternate policy", EINVAL, kPolicy, kMi300,
     [](Client& c) { return memory_policy(c, [](auto& p) { p.alternate_policy = 2; }); }},
    {"SET_MEMORY_POLICY", "unknown GPU", EINVAL, kPolicy, kMi300,
     [](Client& c) { return memory_policy(c, [](auto& p) { p.gpu_id = kNoGpu; }); }},
    {"SET_MEMORY_POLICY", "no VM acquired", ESRCH, kPolicy, kMi300,
     [](Client& c) { return memory_policy(c, [](auto&) {}); }},
    {"SET_MEMORY_POLICY", "with the flag of 1.18", 0, kPolicy, kMi300,
     [](Client& c) {
       c.acquire_all();
       return memory_policy(c,
                            [](auto& p) { p.misc_process_flag = uapi::kProcessMfmaHighPrecision; });
     }},
    {"GET_CLOCK_COUNTERS", "unknown GPU", 0, "kfd_chardev.c kfd_ioctl_get_clock_counters", kMi300,
     [](Client& c) {
       return of_gpu<uapi::GetClockCounters>(c, uapi::kIocGetClockCounters, kNoGpu);
     }},
    {"GET_PROCESS_APERTURES_NEW", "room for more than there are nodes", EINVAL, kApertures, kMi300,
     [](Client& c) { return apertures(c, 3); }},
    {"GET_PROCESS_APERTURES_NEW", "room for more, before that was checked", 0, kApertures,
     "mi300x,vram=256M,kfd=1.22", [](Client& c) { return apertures(c, 3); }},
    {"GET_PROCESS_APERTURES_NEW", "list cannot be written", EFAULT, kApertures, kMi300,
     [](Client& c) { return apertures(c, 1, 8); }},
    {"SET_SCRATCH_BACKING_VA", "unknown GPU", EINVAL,
     "kfd_chardev.c kfd_ioctl_set_scratch_backing_va", kMi300,
     [](Client& c) {
       return of_gpu<uapi::SetScratchBackingVa>(c, uapi::kIocSetScratchBackingVa, kNoGpu);
     }},
    {"SET_SCRATCH_BACKING_VA", "no VM acquired", ENODEV, "kfd_process.c kfd_bind_process_to_device",
     kMi300,
     [](Client& c) {
       return of_gpu<uapi::SetScratchBackingVa>(c, uapi::kIocSetScratchBackingVa, c.id());
     }},
    {"GET_TILE_CONFIG", "unknown GPU", EINVAL, kTile, kMi300,
     [](Client& c) { return tile_config(c, kNoGpu, nullptr, nullptr); }},
    {"GET_TILE_CONFIG", "tiles cannot be written", EFAULT, kTile, kMi300,
     [](Client& c) { return tile_config(c, c.id(), reinterpret_cast<void*>(8), nullptr); }},
    {"GET_TILE_CONFIG", "macro tiles cannot be written", EFAULT, kTile, kMi300,
     [](Client& c) {
       static std::uint32_t tiles[4];
       return tile_config(c, c.id(), tiles, reinterpret_cast<void*>(8));
     }},
    {"SET_TRAP_HANDLER", "unknown GPU", EINVAL, "kfd_chardev.c kfd_ioctl_set_trap_handler", kMi300,
     [](Client& c) { return of_gpu<uapi::SetTrapHandler>(c, uapi::kIocSetTrapHandler, kNoGpu); }},
    {"SET_TRAP_HANDLER", "no VM acquired", ESRCH, "kfd_chardev.c kfd_ioctl_set_trap_handler",
     kMi300,
     [](Client& c) { return of_gpu<uapi::SetTrapHandler>(c, uapi::kIocSetTrapHandler, c.id()); }},
    {"ACQUIRE_VM", "unknown GPU", EINVAL, "kfd_chardev.c kfd_ioctl_acquire_vm", kMi300,
     [](Client& c) {
       uapi::AcquireVm a{static_cast<std::uint32_t>(c.render[0]), kNoGpu};
       return -c.call(uapi::kIocAcquireVm, a);
     }},
    {"ACQUIRE_VM", "no such file", EINVAL, "kfd_chardev.c kfd_ioctl_acquire_vm", kMi300,
     [](Client& c) {
       uapi::AcquireVm a{9999, c.id()};
       return -c.call(uapi::kIocAcquireVm, a);
     }},
    {"ACQUIRE_VM", "another file's than before", EBUSY, "kfd_chardev.c kfd_ioctl_acquire_vm",
     kMi300,
     [](Client& c) {
       c.acquire_all();
       uapi::AcquireVm a{static_cast<std::uint32_t>(c.os->open("/dev/dri/renderD128", 0)), c.id()};
       return -c.call(uapi::kIocAcquireVm, a);
     }},
    {"AVAILABLE_MEMORY", "unknown GPU", EINVAL, "kfd_chardev.c kfd_ioctl_get_available_memory",
     kMi300,
     [](Client& c) {
       return of_gpu<uapi::GetAvailableMemory>(c, uapi::kIocAvailableMemory, kNoGpu);
     }},

    // ---- Debugger, runtime, checkpoints, SVM
    {"DBG_REGISTER", "always", EPERM, "kfd_chardev.c kfd_ioctl_dbg_register", kMi300,
     [](Client& c) { return of_gpu<uapi::DbgRegister>(c, uapi::kIocDbgRegister, c.id()); }},
    {"DBG_UNREGISTER", "always", EPERM, "kfd_chardev.c kfd_ioctl_dbg_unregister", kMi300,
     [](Client& c) { return of_gpu<uapi::DbgRegister>(c, uapi::kIocDbgUnregister, c.id()); }},
    {"DBG_ADDRESS_WATCH", "always", EPERM, "kfd_chardev.c kfd_ioctl_dbg_address_watch", kMi300,
     [](Client& c) { return of_gpu<uapi::DbgContent>(c, uapi::kIocDbgAddressWatch, c.id()); }},
    {"DBG_WAVE_CONTROL", "always", EPERM, "kfd_chardev.c kfd_ioctl_dbg_wave_control", kMi300,
     [](Client& c) { return of_gpu<uapi::DbgContent>(c, uapi::kIocDbgWaveControl, c.id()); }},
    {"SMI_EVENTS", "unknown GPU", EINVAL, "kfd_chardev.c kfd_ioctl_smi_events", kMi300,
     [](Client& c) { return of_gpu<uapi::SmiEvents>(c, uapi::kIocSmiEvents, kNoGpu); }},
    {"SVM", "not built in", EPERM, "kfd_chardev.c kfd_ioctl_svm", kMi300,
     [](Client& c) {
       uapi::Svm a{};
       return -c.call(uapi::kIocSvm, a);
     }},
    {"SET_XNACK_MODE", "with queues", EBUSY, kXnack, kMi300,
     [](Client& c) {
       new_queue(c, uapi::kQueueSdma);
       return xnack(c, 0);
     }},
    {"SET_XNACK_MODE", "asked with queues", 0, kXnack, kMi300,
     [](Client& c) {
       new_queue(c, uapi::kQueueSdma);
       return xnack(c, -1);
     }},
    {"SET_XNACK_MODE", "on where the GPU cannot", EPERM, "kfd_process.c kfd_process_xnack_mode",
     kNavi, [](Client& c) { return xnack(c, 1); }},
    {"SET_XNACK_MODE", "on where one of two GPUs cannot", EPERM,
     "kfd_process.c kfd_process_xnack_mode", "mi300x,navi31,vram=256M",
     [](Client& c) { return xnack(c, 1); }},
    {"SET_XNACK_MODE", "on where a process may choose", 0, "kfd_process.c kfd_process_xnack_mode",
     kMi300, [](Client& c) { return xnack(c, 1); }},
    {"CRIU_OP", "without the capability", EACCES, kChardev, kMi300,
     [](Client& c) {
       uapi::Criu a{};
       return -c.call(uapi::kIocCriu, a);
     }},
    {"RUNTIME_ENABLE", "enabled before", EBUSY, kRuntime, kMi300,
     [](Client& c) {
       EXPECT_EQ(runtime(c, 1), 0);
       return runtime(c, 1);
     }},
    {"RUNTIME_ENABLE", "with queues", EEXIST, kRuntime, kMi300,
     [](Client& c) {
       new_queue(c, uapi::kQueueSdma);
       return runtime(c, 1);
     }},
    {"RUNTIME_ENABLE", "enabled before, and with queues", EBUSY, kRuntime, kMi300,
     [](Client& c) {
       EXPECT_EQ(runtime(c, 1), 0);
       new_queue(c, uapi::kQueueSdma);
       return runtime(c, 1);
     }},
    {"RUNTIME_ENABLE", "off though never on", 0, "kfd_chardev.c runtime_disable", kMi300,
     [](Client& c) { return runtime(c, uapi::kRuntimeTtmpSave); }},
    {"DBG_TRAP", "no such process", ESRCH, kDebug, kMi300,
     [](Client& c) { return debug_trap(c, 0x7fffffff, 1); }},
    {"DBG_TRAP", "process number 0", ESRCH, kDebug, kMi300,
     [](Client& c) { return debug_trap(c, 0, 1); }},
    {"DBG_TRAP", "a process without KFD", ESRCH, kDebug, kMi300,
     [](Client& c) { return debug_trap(c, static_cast<std::uint32_t>(getppid()), 0); }},
    {"DBG_TRAP", "itself, not enabled", EINVAL, kDebug, kMi300,
     [](Client& c) { return debug_trap(c, static_cast<std::uint32_t>(getpid()), 1); }},
    {"DBG_TRAP", "enabled on a GPU that cannot be debugged", ENODEV,
     "kfd_debug.c kfd_dbg_trap_enable", kMi300,
     [](Client& c) { return debug_trap(c, static_cast<std::uint32_t>(getpid()), 0); }},
    {"DBG_TRAP", "of a second context", EOPNOTSUPP, kDebug, kMi300,
     [](Client& c) {
       EXPECT_EQ(c.os->ioctl(c.kfd, uapi::kIocCreateProcess, nullptr), 0);
       return debug_trap(c, 1, 1);
     }},
    {"CREATE_PROCESS", "twice on one file", EINVAL, "kfd_chardev.c kfd_ioctl_create_process",
     kMi300,
     [](Client& c) {
       EXPECT_EQ(c.os->ioctl(c.kfd, uapi::kIocCreateProcess, nullptr), 0);
       return -c.os->ioctl(c.kfd, uapi::kIocCreateProcess, nullptr);
     }},
    {"PROFILER", "its version", 0, kProfiler, kMi300,
     [](Client& c) { return profiler(c, uapi::kProfilerVersion); }},
    {"PROFILER", "counters without the capability", EPERM, "kfd_chardev.c kfd_profiler_pmc", kMi300,
     [](Client& c) { return profiler(c, uapi::kProfilerPmc, c.id()); }},
    {"PROFILER", "peak limiter of an unknown GPU", EINVAL, "kfd_chardev.c kfd_profiler_ptl_control",
     kMi300, [](Client& c) { return profiler(c, uapi::kProfilerPtlControl, kNoGpu); }},
    {"PROFILER", "peak limiter where there is none", EOPNOTSUPP, "kfd_chardev.c kfd_ptl_control",
     kMi300, [](Client& c) { return profiler(c, uapi::kProfilerPtlControl, c.id()); }},
    {"PROFILER", "unknown operation", EINVAL, kProfiler, kMi300,
     [](Client& c) { return profiler(c, 1); }},
};

}  // namespace

std::span<const Row> errno_rows_of_processes() {
  return kRows;
}

}  // namespace kiln::vgpu::test

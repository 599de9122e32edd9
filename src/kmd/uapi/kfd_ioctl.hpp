// Owns: the binary interface of /dev/kfd up to version 1.23: numbers, structures, flag bits.
// Does not own: when to call what (kfd*.cpp) or what a kernel answers (vgpu/kfd_node*).
// Threading: values only.
//
// Field order and sizes follow include/uapi/linux/kfd_ioctl.h of Linux; the sizes asserted below
// are those of the kernel's structures. The kernel dispatches on the command's number alone and
// copies min(caller's size, its own size), zero-filling the rest (kfd_chardev.c kfd_ioctl), so a
// structure that has grown may be passed to an older kernel, and the reverse.
#pragma once

#include <sys/ioctl.h>

#include <cstdint>

namespace kiln::kmd::uapi {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

/// The first minor version (of major 1) that has a feature; kfd_ioctl.h's own change list.
inline constexpr u32 kMajorVersion = 1;
inline constexpr u32 kMinorNewest = 23;
inline constexpr u32 kMinorSmiEvents = 3;
inline constexpr u32 kMinorSvm = 5;
inline constexpr u32 kMinorCriu = 7;
inline constexpr u32 kMinorAvailableMemory = 9;
inline constexpr u32 kMinorUnifiedSaveArea = 11;  ///< save area may be SVM memory
inline constexpr u32 kMinorExportDmabuf = 12;
inline constexpr u32 kMinorRuntimeEnable = 13;  ///< with the debugger interface
inline constexpr u32 kMinorEventAge = 14;
inline constexpr u32 kMinorGemVa = 15;  ///< DRM may manage mappings of a compute VM
inline constexpr u32 kMinorContiguousVram = 16;
inline constexpr u32 kMinorSdmaByEngine = 17;
inline constexpr u32 kMinorMemoryPolicyFlag = 18;  ///< misc_process_flag
inline constexpr u32 kMinorCreateProcess = 19;
inline constexpr u32 kMinorExpertScheduling = 20;
inline constexpr u32 kMinorLdsDebug = 21;
inline constexpr u32 kMinorMetadataRing = 22;
inline constexpr u32 kMinorProfiler = 23;

// ---- Version -----------------------------------------------------------------------------------

struct GetVersion {
  u32 major_version;  // out
  u32 minor_version;  // out
};
static_assert(sizeof(GetVersion) == 8);

// ---- Queues ------------------------------------------------------------------------------------

enum QueueType : u32 {
  kQueueCompute = 0,  // PM4
  kQueueSdma = 1,
  kQueueComputeAql = 2,
  kQueueSdmaXgmi = 3,
  kQueueSdmaByEngine = 4,  // 1.17
};
inline constexpr u32 kMaxQueuePercentage = 100;
inline constexpr u32 kMaxQueuePriority = 15;

struct CreateQueue {
  u64 ring_base_address;
  u64 write_pointer_address;  // in, although the kernel's header says otherwise
  u64 read_pointer_address;   // in
  u64 doorbell_offset;        // out: mmap offset of the page, plus the doorbell's place in the page
  u32 ring_size;
  u32 gpu_id;
  u32 queue_type;
  u32 queue_percentage;  // bits 7:0 percent, 15:8 the XCC a PM4 queue goes to
  u32 queue_priority;
  u32 queue_id;  // out
  u64 eop_buffer_address;
  u64 eop_buffer_size;
  u64 ctx_save_restore_address;
  u32 ctx_save_restore_size;  // per XCC, without the debugger's part
  u32 ctl_stack_size;
  u32 sdma_engine_id;      // 1.17, kQueueSdmaByEngine
  u32 metadata_ring_size;  // 1.22, AQL; padding before
};
static_assert(sizeof(CreateQueue) == 96);

struct DestroyQueue {
  u32 queue_id;
  u32 pad;
};
static_assert(sizeof(DestroyQueue) == 8);

struct UpdateQueue {
  u64 ring_base_address;
  u32 queue_id;
  u32 ring_size;
  u32 queue_percentage;
  u32 queue_priority;
};
static_assert(sizeof(UpdateQueue) == 24);

struct SetCuMask {
  u32 queue_id;
  u32 num_cu_mask;  // bits, a multiple of 32
  u64 cu_mask_ptr;  // const u32*
};
static_assert(sizeof(SetCuMask) == 16);

struct GetQueueWaveState {
  u64 ctl_stack_address;
  u32 ctl_stack_used_size;  // out
  u32 save_area_used_size;  // out
  u32 queue_id;
  u32 pad;
};
static_assert(sizeof(GetQueueWaveState) == 24);

struct AllocQueueGws {
  u32 queue_id;
  u32 num_gws;
  u32 first_gws;  // out
  u32 pad;
};
static_assert(sizeof(AllocQueueGws) == 16);

/// At the start of each XCC's part of a queue's save area (kfd_context_save_area_header). The
/// runtime fills debug_offset and all after it before CREATE_QUEUE; firmware fills what is before.
struct SaveAreaHeader {
  u32 control_stack_offset;
  u32 control_stack_size;
  u32 wave_state_offset;
  u32 wave_state_size;
  u32 debug_offset;      // +16: of the debugger's memory, from this header
  u32 debug_size;        // +20
  u64 err_payload_addr;  // +24: u64 into which KFD ORs exception bits
  u32 err_event_id;      // +32: event signalled then
  u32 reserved1;
};
static_assert(sizeof(SaveAreaHeader) == 40);

// ---- Memory policy, clocks, apertures ----------------------------------------------------------

inline constexpr u32 kCachePolicyCoherent = 0;
inline constexpr u32 kCachePolicyNoncoherent = 1;
inline constexpr u32 kProcessMfmaHighPrecision = 1u << 0;

struct SetMemoryPolicy {
  u64 alternate_aperture_base;
  u64 alternate_aperture_size;
  u32 gpu_id;
  u32 default_policy;
  u32 alternate_policy;
  u32 misc_process_flag;  // 1.18; padding before
};
static_assert(sizeof(SetMemoryPolicy) == 32);

struct GetClockCounters {
  u64 gpu_clock_counter;     // out
  u64 cpu_clock_counter;     // out: CLOCK_MONOTONIC_RAW, ns
  u64 system_clock_counter;  // out: CLOCK_BOOTTIME, ns
  u64 system_clock_freq;     // out: of the two above
  u32 gpu_id;
  u32 pad;
};
static_assert(sizeof(GetClockCounters) == 40);

struct ProcessDeviceApertures {
  u64 lds_base;
  u64 lds_limit;  // inclusive, as all limits here
  u64 scratch_base;
  u64 scratch_limit;
  u64 gpuvm_base;
  u64 gpuvm_limit;
  u32 gpu_id;
  u32 pad;
};
static_assert(sizeof(ProcessDeviceApertures) == 56);

struct GetProcessApertures {                    // deprecated: seven GPUs at most
  ProcessDeviceApertures process_apertures[7];  // out
  u32 num_of_nodes;                             // out
  u32 pad;
};
static_assert(sizeof(GetProcessApertures) == 400);

struct GetProcessAperturesNew {
  u64 apertures_ptr;  // ProcessDeviceApertures*
  u32 num_of_nodes;   // in: room; out: filled, or, with room 0, how many there are
  u32 pad;
};
static_assert(sizeof(GetProcessAperturesNew) == 16);

// ---- Events ------------------------------------------------------------------------------------

enum EventType : u32 {
  kEventSignal = 0,
  kEventNodeChange = 1,
  kEventDeviceStateChange = 2,
  kEventHwException = 3,
  kEventSystem = 4,
  kEventDebug = 5,
  kEventProfile = 6,
  kEventQueue = 7,
  kEventMemory = 8,
};
enum WaitResult : u32 { kWaitComplete = 0, kWaitTimeout = 1, kWaitFail = 2 };

inline constexpr u32 kSignalEventLimit = 4096;
inline constexpr u64 kSignalPageBytes = kSignalEventLimit * 8;  // 64-bit slots

enum ResetType : u32 { kResetWholeGpu = 0, kResetPerEngine = 1 };
enum ResetCause : u32 { kResetGpuHang = 0, kResetEcc = 1 };
enum MemoryErrorType : u32 {
  kMemoryErrorNoRas = 0,
  kMemoryErrorSramEcc = 1,
  kMemoryErrorPoison = 2,
  kMemoryErrorGpuHang = 3,
};

struct CreateEvent {
  u64 event_page_offset;   // in: handle of the signal page's memory, first call only; out: mmap
                           // offset
  u32 event_trigger_data;  // out: the id a signal event's interrupt carries
  u32 event_type;
  u32 auto_reset;
  u32 node_id;
  u32 event_id;          // out
  u32 event_slot_index;  // out: 64-bit slot of the signal page
};
static_assert(sizeof(CreateEvent) == 32);

struct DestroyEvent {
  u32 event_id;
  u32 pad;
};
static_assert(sizeof(DestroyEvent) == 8);

struct SetEvent {
  u32 event_id;
  u32 pad;
};
static_assert(sizeof(SetEvent) == 8);

struct ResetEvent {
  u32 event_id;
  u32 pad;
};
static_assert(sizeof(ResetEvent) == 8);

struct MemoryExceptionFailure {
  u32 not_present;
  u32 read_only;
  u32 no_execute;
  u32 imprecise;
};
static_assert(sizeof(MemoryExceptionFailure) == 16);

struct MemoryExceptionData {
  MemoryExceptionFailure failure;
  u64 va;
  u32 gpu_id;
  u32 error_type;  // MemoryErrorType
};
static_assert(sizeof(MemoryExceptionData) == 32);

struct HwExceptionData {
  u32 reset_type;
  u32 reset_cause;
  u32 memory_lost;
  u32 gpu_id;
};
static_assert(sizeof(HwExceptionData) == 16);

struct SignalEventData {
  u64 last_event_age;  // 1.14; in: 0 = do not care, else the age known; out: the age now
};
static_assert(sizeof(SignalEventData) == 8);

struct EventData {
  union {
    MemoryExceptionData memory_exception_data;
    HwExceptionData hw_exception_data;
    SignalEventData signal_event_data;
  };
  u64 kfd_event_data_ext;
  u32 event_id;
  u32 pad;
};
static_assert(sizeof(EventData) == 48);

struct WaitEvents {
  u64 events_ptr;  // EventData*
  u32 num_events;
  u32 wait_for_all;
  u32 timeout;      // ms; 0 = poll, 0xffffffff = for ever
  u32 wait_result;  // out
};
static_assert(sizeof(WaitEvents) == 24);

// ---- Scratch, tiling, traps --------------------------------------------------------------------

struct SetScratchBackingVa {
  u64 va_addr;
  u32 gpu_id;
  u32 pad;
};
static_assert(sizeof(SetScratchBackingVa) == 16);

struct GetTileConfig {
  u64 tile_config_ptr;
  u64 macro_tile_config_ptr;
  u32 num_tile_configs;        // in: room, out: filled
  u32 num_macro_tile_configs;  // in: room, out: filled
  u32 gpu_id;
  u32 gb_addr_config;  // out
  u32 num_banks;       // out
  u32 num_ranks;       // out
};
static_assert(sizeof(GetTileConfig) == 40);

struct SetTrapHandler {
  u64 tba_addr;
  u64 tma_addr;
  u32 gpu_id;
  u32 pad;
};
static_assert(sizeof(SetTrapHandler) == 24);

// ---- Memory ------------------------------------------------------------------------------------

struct AcquireVm {
  u32 drm_fd;
  u32 gpu_id;
};
static_assert(sizeof(AcquireVm) == 8);

enum AllocFlags : u32 {
  kAllocVram = 1u << 0,
  kAllocGtt = 1u << 1,
  kAllocUserptr = 1u << 2,
  kAllocDoorbell = 1u << 3,
  kAllocMmioRemap = 1u << 4,
  kAllocContiguous = 1u << 23,  // best effort, 1.16
  kAllocExtCoherent = 1u << 24,
  kAllocUncached = 1u << 25,
  kAllocCoherent = 1u << 26,
  kAllocAqlQueueMem = 1u << 27,
  kAllocNoSubstitute = 1u << 28,
  kAllocPublic = 1u << 29,
  kAllocExecutable = 1u << 30,
  kAllocWritable = 1u << 31,
};

struct AllocMemoryOfGpu {
  u64 va_addr;
  u64 size;
  u64 handle;       // out
  u64 mmap_offset;  // in: CPU address of userptr memory; out: offset to mmap the render node at
  u32 gpu_id;
  u32 flags;
};
static_assert(sizeof(AllocMemoryOfGpu) == 40);

struct FreeMemoryOfGpu {
  u64 handle;
};
static_assert(sizeof(FreeMemoryOfGpu) == 8);

struct GetAvailableMemory {
  u64 available;  // out
  u32 gpu_id;
  u32 pad;
};
static_assert(sizeof(GetAvailableMemory) == 16);

struct MapMemoryToGpu {  // and UnmapMemoryFromGpu
  u64 handle;
  u64 device_ids_array_ptr;  // const u32*
  u32 n_devices;
  u32 n_success;  // in/out: how many of the array, from its start, are done
};
static_assert(sizeof(MapMemoryToGpu) == 24);
using UnmapMemoryFromGpu = MapMemoryToGpu;

struct GetDmabufInfo {
  u64 size;           // out
  u64 metadata_ptr;   // in
  u32 metadata_size;  // in: room, out: actual
  u32 gpu_id;         // out
  u32 flags;          // out: AllocFlags
  u32 dmabuf_fd;      // in
};
static_assert(sizeof(GetDmabufInfo) == 32);

struct ImportDmabuf {
  u64 va_addr;
  u64 handle;  // out
  u32 gpu_id;
  u32 dmabuf_fd;
};
static_assert(sizeof(ImportDmabuf) == 24);

struct ExportDmabuf {  // 1.12
  u64 handle;
  u32 flags;      // O_CLOEXEC, O_RDWR
  u32 dmabuf_fd;  // out
};
static_assert(sizeof(ExportDmabuf) == 16);

enum MmioRemapOffset : u32 { kHdpMemFlushOffset = 0, kHdpRegFlushOffset = 4 };
inline constexpr u64 kMmioRemapBytes = 4096;

// ---- SVM ---------------------------------------------------------------------------------------

enum SvmOp : u32 { kSvmSetAttr = 0, kSvmGetAttr = 1 };
enum SvmAttrType : u32 {
  kSvmPreferredLocation = 0,
  kSvmPrefetchLocation = 1,
  kSvmAccess = 2,
  kSvmAccessInPlace = 3,
  kSvmNoAccess = 4,
  kSvmSetFlags = 5,
  kSvmClearFlags = 6,
  kSvmGranularity = 7,
};
enum SvmFlags : u32 {
  kSvmHostAccess = 0x01,
  kSvmCoherent = 0x02,
  kSvmHiveLocal = 0x04,
  kSvmGpuReadOnly = 0x08,
  kSvmGpuExec = 0x10,
  kSvmGpuReadMostly = 0x20,
  kSvmGpuAlwaysMapped = 0x40,
  kSvmExtCoherent = 0x80,
};

struct SvmAttribute {
  u32 type;
  u32 value;
};
static_assert(sizeof(SvmAttribute) == 8);

struct Svm {  // followed by nattr SvmAttribute
  u64 start_addr;
  u64 size;
  u32 op;
  u32 nattr;
};
static_assert(sizeof(Svm) == 24);

struct SetXnackMode {
  std::int32_t xnack_enabled;  // in: 0, 1, or -1 to ask; out: what it is
};
static_assert(sizeof(SetXnackMode) == 4);

// ---- SMI, CRIU ---------------------------------------------------------------------------------

enum SmiEvent : u32 {
  kSmiNone = 0,
  kSmiVmFault = 1,
  kSmiThermalThrottle = 2,
  kSmiGpuPreReset = 3,
  kSmiGpuPostReset = 4,
};

struct SmiEvents {
  u32 gpu_id;
  u32 anon_fd;  // out
};
static_assert(sizeof(SmiEvents) == 8);

struct Criu {
  u64 devices;
  u64 bos;
  u64 priv_data;
  u64 priv_data_size;
  u32 num_devices;
  u32 num_bos;
  u32 num_objects;
  u32 pid;
  u32 op;
};
static_assert(sizeof(Criu) == 56);

// ---- Runtime and exceptions --------------------------------------------------------------------

inline constexpr u32 kRuntimeEnable = 1u << 0;  // mode_mask without it disables
inline constexpr u32 kRuntimeTtmpSave = 1u << 1;

struct RuntimeEnable {  // 1.13
  u64 r_debug;
  u32 mode_mask;
  u32 capabilities_mask;  // out
};
static_assert(sizeof(RuntimeEnable) == 16);

/// Exception codes; the mask of one is 1 << (code - 1), as in a queue's error payload.
enum ExceptionCode : u32 {
  kEcNone = 0,
  kEcQueueWaveAbort = 1,
  kEcQueueWaveTrap = 2,
  kEcQueueWaveMathError = 3,
  kEcQueueWaveIllegalInstruction = 4,
  kEcQueueWaveMemoryViolation = 5,
  kEcQueueWaveApertureViolation = 6,
  kEcQueuePacketDispatchDimInvalid = 16,
  kEcQueuePacketDispatchGroupSegmentSizeInvalid = 17,
  kEcQueuePacketDispatchCodeInvalid = 18,
  kEcQueuePacketReserved = 19,
  kEcQueuePacketUnsupported = 20,
  kEcQueuePacketDispatchWorkGroupSizeInvalid = 21,
  kEcQueuePacketDispatchRegisterInvalid = 22,
  kEcQueuePacketVendorUnsupported = 23,
  kEcQueuePreemptionError = 30,
  kEcQueueNew = 31,
  kEcDeviceQueueDelete = 32,
  kEcDeviceMemoryViolation = 33,
  kEcDeviceRasError = 34,
  kEcDeviceFatalHalt = 35,
  kEcDeviceNew = 36,
  kEcProcessRuntime = 48,
  kEcProcessDeviceRemove = 49,
};
constexpr u64 exception_mask(u32 code) {
  return code == 0 ? 0 : u64{1} << (code - 1);
}

struct DbgTrap {  // 1.13; payload by op, of at most 24 bytes
  u32 pid;
  u32 op;
  u64 payload[3];
};
static_assert(sizeof(DbgTrap) == 32);

struct DbgRegister {  // 0x0d, 0x0e: deprecated
  u32 gpu_id;
  u32 pad;
};
static_assert(sizeof(DbgRegister) == 8);

struct DbgContent {  // 0x0f, 0x10: deprecated
  u64 content_ptr;
  u32 gpu_id;
  u32 buf_size_in_bytes;
};
static_assert(sizeof(DbgContent) == 16);

enum ProfilerOp : u32 { kProfilerPmc = 0, kProfilerVersion = 2, kProfilerPtlControl = 3 };

struct Profiler {  // 1.23
  u32 op;
  union {
    struct {
      u32 gpu_id;
      u32 lock;
      u32 perfcount_enable;
    } pmc;
    struct {
      u32 gpu_id;
      u32 enable;
    } ptl;
    u32 version;  // out
  };
};
static_assert(sizeof(Profiler) == 16);

// ---- Commands ----------------------------------------------------------------------------------

inline constexpr unsigned kIoctlBase = 'K';
constexpr unsigned ioctl_number(unsigned long request) {
  return request & 0xff;
}

#define KILN_KFD_R(number, type) _IOR(::kiln::kmd::uapi::kIoctlBase, number, type)
#define KILN_KFD_W(number, type) _IOW(::kiln::kmd::uapi::kIoctlBase, number, type)
#define KILN_KFD_RW(number, type) _IOWR(::kiln::kmd::uapi::kIoctlBase, number, type)

inline constexpr unsigned long kIocGetVersion = KILN_KFD_R(0x01, GetVersion);
inline constexpr unsigned long kIocCreateQueue = KILN_KFD_RW(0x02, CreateQueue);
inline constexpr unsigned long kIocDestroyQueue = KILN_KFD_RW(0x03, DestroyQueue);
inline constexpr unsigned long kIocSetMemoryPolicy = KILN_KFD_W(0x04, SetMemoryPolicy);
inline constexpr unsigned long kIocGetClockCounters = KILN_KFD_RW(0x05, GetClockCounters);
inline constexpr unsigned long kIocGetProcessApertures = KILN_KFD_R(0x06, GetProcessApertures);
inline constexpr unsigned long kIocUpdateQueue = KILN_KFD_W(0x07, UpdateQueue);
inline constexpr unsigned long kIocCreateEvent = KILN_KFD_RW(0x08, CreateEvent);
inline constexpr unsigned long kIocDestroyEvent = KILN_KFD_W(0x09, DestroyEvent);
inline constexpr unsigned long kIocSetEvent = KILN_KFD_W(0x0a, SetEvent);
inline constexpr unsigned long kIocResetEvent = KILN_KFD_W(0x0b, ResetEvent);
inline constexpr unsigned long kIocWaitEvents = KILN_KFD_RW(0x0c, WaitEvents);
inline constexpr unsigned long kIocDbgRegister = KILN_KFD_W(0x0d, DbgRegister);
inline constexpr unsigned long kIocDbgUnregister = KILN_KFD_W(0x0e, DbgRegister);
inline constexpr unsigned long kIocDbgAddressWatch = KILN_KFD_W(0x0f, DbgContent);
inline constexpr unsigned long kIocDbgWaveControl = KILN_KFD_W(0x10, DbgContent);
inline constexpr unsigned long kIocSetScratchBackingVa = KILN_KFD_RW(0x11, SetScratchBackingVa);
inline constexpr unsigned long kIocGetTileConfig = KILN_KFD_RW(0x12, GetTileConfig);
inline constexpr unsigned long kIocSetTrapHandler = KILN_KFD_W(0x13, SetTrapHandler);
inline constexpr unsigned long kIocGetProcessAperturesNew =
    KILN_KFD_RW(0x14, GetProcessAperturesNew);
inline constexpr unsigned long kIocAcquireVm = KILN_KFD_W(0x15, AcquireVm);
inline constexpr unsigned long kIocAllocMemoryOfGpu = KILN_KFD_RW(0x16, AllocMemoryOfGpu);
inline constexpr unsigned long kIocFreeMemoryOfGpu = KILN_KFD_W(0x17, FreeMemoryOfGpu);
inline constexpr unsigned long kIocMapMemoryToGpu = KILN_KFD_RW(0x18, MapMemoryToGpu);
inline constexpr unsigned long kIocUnmapMemoryFromGpu = KILN_KFD_RW(0x19, UnmapMemoryFromGpu);
inline constexpr unsigned long kIocSetCuMask = KILN_KFD_W(0x1a, SetCuMask);
inline constexpr unsigned long kIocGetQueueWaveState = KILN_KFD_RW(0x1b, GetQueueWaveState);
inline constexpr unsigned long kIocGetDmabufInfo = KILN_KFD_RW(0x1c, GetDmabufInfo);
inline constexpr unsigned long kIocImportDmabuf = KILN_KFD_RW(0x1d, ImportDmabuf);
inline constexpr unsigned long kIocAllocQueueGws = KILN_KFD_RW(0x1e, AllocQueueGws);
inline constexpr unsigned long kIocSmiEvents = KILN_KFD_RW(0x1f, SmiEvents);
inline constexpr unsigned long kIocSvm = KILN_KFD_RW(0x20, Svm);
inline constexpr unsigned long kIocSetXnackMode = KILN_KFD_RW(0x21, SetXnackMode);
inline constexpr unsigned long kIocCriu = KILN_KFD_RW(0x22, Criu);
inline constexpr unsigned long kIocAvailableMemory = KILN_KFD_RW(0x23, GetAvailableMemory);
inline constexpr unsigned long kIocExportDmabuf = KILN_KFD_RW(0x24, ExportDmabuf);
inline constexpr unsigned long kIocRuntimeEnable = KILN_KFD_RW(0x25, RuntimeEnable);
inline constexpr unsigned long kIocDbgTrap = KILN_KFD_RW(0x26, DbgTrap);
inline constexpr unsigned long kIocCreateProcess = _IO(kIoctlBase, 0x27);
inline constexpr unsigned long kIocProfiler = KILN_KFD_RW(0x28, Profiler);

#undef KILN_KFD_R
#undef KILN_KFD_W
#undef KILN_KFD_RW

}  // namespace kiln::kmd::uapi

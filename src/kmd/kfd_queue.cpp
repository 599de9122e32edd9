// Owns: user-mode queues through KFD: their buffers, creation, end, error payloads.
// Does not own: what goes into a ring (core, gpu).
// Threading: any thread; a queue's buffers belong to the KfdGpu's lock, its contents to the caller.
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "gpu/aql.hpp"
#include "kmd/kfd_gpu.hpp"

namespace kiln::kmd {
namespace {

constexpr std::uint64_t kPage = 4096;
/// Where in the pointers' page KFD writes a queue's exceptions: behind amd_queue_t.
constexpr std::size_t kErrorPayloadOffset = 2048;

/// Rings, pointers: uncached system memory, as libhsakmt gives its queue structure and ROCr its
/// rings.
constexpr std::uint32_t kUncachedSystem = uapi::kAllocGtt | uapi::kAllocWritable |
                                          uapi::kAllocExecutable | uapi::kAllocNoSubstitute |
                                          uapi::kAllocCoherent | uapi::kAllocUncached;
/// End-of-pipe buffer: VRAM (libhsakmt handle_concrete_asic).
constexpr std::uint32_t kDeviceOnly =
    uapi::kAllocVram | uapi::kAllocWritable | uapi::kAllocExecutable | uapi::kAllocNoSubstitute;
/// Save area: system memory that host and GPU keep coherent, as libhsakmt's.
constexpr std::uint32_t kCoherentSystem = uapi::kAllocGtt | uapi::kAllocWritable |
                                          uapi::kAllocExecutable | uapi::kAllocNoSubstitute |
                                          uapi::kAllocCoherent;

bool is_compute(QueueKind kind) {
  return kind == QueueKind::ComputePm4 || kind == QueueKind::ComputeAql;
}

const char* name_of(QueueKind kind) {
  switch (kind) {
    case QueueKind::ComputePm4:
      return "PM4 compute";
    case QueueKind::ComputeAql:
      return "AQL compute";
    case QueueKind::Sdma:
      return "SDMA";
    case QueueKind::SdmaXgmi:
      return "XGMI SDMA";
  }
  return "unknown";
}

std::uint32_t kfd_type(const QueueDesc& desc) {
  if (!is_compute(desc.kind) && desc.sdma_engine >= 0) return uapi::kQueueSdmaByEngine;
  switch (desc.kind) {
    case QueueKind::ComputePm4:
      return uapi::kQueueCompute;
    case QueueKind::ComputeAql:
      return uapi::kQueueComputeAql;
    case QueueKind::Sdma:
      return uapi::kQueueSdma;
    case QueueKind::SdmaXgmi:
      return uapi::kQueueSdmaXgmi;
  }
  return uapi::kQueueCompute;
}

/// KFD's queue exceptions in words (kfd_ioctl.h, kfd_dbg_trap_exception_code).
std::string describe_exceptions(std::uint64_t mask) {
  static constexpr struct {
    std::uint32_t code;
    const char* text;
  } kTexts[] = {
      {uapi::kEcQueueWaveAbort, "a wave aborted"},
      {uapi::kEcQueueWaveTrap, "a wave hit a trap"},
      {uapi::kEcQueueWaveMathError, "a wave raised an arithmetic exception"},
      {uapi::kEcQueueWaveIllegalInstruction, "a wave met an illegal instruction"},
      {uapi::kEcQueueWaveMemoryViolation, "a wave violated memory"},
      {uapi::kEcQueueWaveApertureViolation, "a wave left its aperture"},
      {uapi::kEcQueuePacketDispatchDimInvalid, "a dispatch packet has invalid dimensions"},
      {uapi::kEcQueuePacketDispatchGroupSegmentSizeInvalid,
       "a dispatch packet asks for too much group memory"},
      {uapi::kEcQueuePacketDispatchCodeInvalid, "a dispatch packet has no valid kernel"},
      {uapi::kEcQueuePacketReserved, "a packet of a reserved type"},
      {uapi::kEcQueuePacketUnsupported, "a packet that the hardware does not support"},
      {uapi::kEcQueuePacketDispatchWorkGroupSizeInvalid,
       "a dispatch packet has an invalid workgroup size"},
      {uapi::kEcQueuePacketDispatchRegisterInvalid,
       "a dispatch packet asks for too many registers"},
      {uapi::kEcQueuePacketVendorUnsupported, "an unknown vendor packet"},
      {uapi::kEcQueuePreemptionError, "the queue could not be preempted"},
      {uapi::kEcDeviceQueueDelete, "the queue was deleted by the driver"},
      {uapi::kEcDeviceMemoryViolation, "a memory violation on the device"},
      {uapi::kEcDeviceRasError, "a hardware (RAS) error"},
      {uapi::kEcDeviceFatalHalt, "the device halted"},
      {uapi::kEcProcessDeviceRemove, "the device was removed"},
  };
  std::string text;
  std::uint64_t rest = mask;
  for (const auto& row : kTexts) {
    if ((mask & uapi::exception_mask(row.code)) == 0) continue;
    rest &= ~uapi::exception_mask(row.code);
    text += (text.empty() ? "" : "; ") + std::string(row.text);
  }
  if (rest != 0)
    text += strf("%sexception bits 0x%llx", text.empty() ? "" : "; ",
                 static_cast<unsigned long long>(rest));
  return text;
}

}  // namespace

Result<Memory> KfdGpu::allocate_queue_memory(std::uint64_t size, std::uint32_t flags, bool host) {
  AllocRequest request;
  request.gpu = &slot_;
  request.size = size;
  request.flags = flags;
  request.host = host;
  return process_->allocate(request, {slot_.gpu_id});
}

Status KfdGpu::allocate_queue_buffers(const QueueDesc& desc, QueueBuffers* buffers) {
  // kfd_queue.c kfd_queue_acquire_buffers: each is a mapping that starts at its address and has
  // exactly this size. Both pointers may share a page, and on AQL must, inside amd_queue_t;
  // libhsakmt does the same for the other kinds, and MES wants the write pointer's memory to be one
  // page.
  KILN_ASSIGN(buffers->ring, allocate_queue_memory(desc.ring_bytes, kUncachedSystem, true));
  KILN_ASSIGN(buffers->pointers, allocate_queue_memory(kPage, kUncachedSystem, true));
  std::memset(buffers->pointers.host, 0, kPage);
  buffers->error_payload = reinterpret_cast<std::atomic<std::uint64_t>*>(
      static_cast<std::byte*>(buffers->pointers.host) + kErrorPayloadOffset);
  if (!is_compute(desc.kind)) return {};
  // gfx9.4.x AQL queues have no end-of-pipe buffer (libhsakmt hsaKmtCreateQueueExt).
  const bool no_eop =
      desc.kind == QueueKind::ComputeAql && info_.gfx_ip.major == 9 && info_.gfx_ip.minor == 4;
  if (!no_eop) {
    KILN_ASSIGN(buffers->eop, allocate_queue_memory(info_.eop_bytes, kDeviceOnly, false));
  }
  if (info_.cwsr_bytes == 0) return {};
  const std::uint64_t save_bytes =
      (std::uint64_t{info_.cwsr_bytes} + info_.debug_area_bytes) * info_.xcc_count;
  KILN_ASSIGN(buffers->save_area, allocate_queue_memory((save_bytes + kPage - 1) / kPage * kPage,
                                                        kCoherentSystem, true));
  // A child's copy-on-write of the area would evict the parent's queues (libhsakmt).
  process_->os().madvise(buffers->save_area.host, buffers->save_area.size, MADV_DONTFORK);
  return {};
}

void KfdGpu::free_queue_buffers(QueueBuffers& buffers) {
  if (buffers.holds_slot) --slot_.compute_queues;
  for (Memory* memory : {&buffers.save_area, &buffers.eop, &buffers.pointers, &buffers.ring})
    if (memory->handle != 0) (void)process_->free(*memory);
}

void KfdGpu::write_save_area_headers(const QueueBuffers& buffers) const {
  if (buffers.save_area.host == nullptr) return;
  const std::uint32_t xccs = info_.xcc_count, stride = info_.cwsr_bytes;
  for (std::uint32_t xcc = 0; xcc < xccs; ++xcc) {
    uapi::SaveAreaHeader header{};
    // libhsakmt fill_cwsr_header: the debugger's memory of all XCCs follows the last save area.
    header.debug_offset = (xccs - xcc) * stride;
    header.debug_size = info_.debug_area_bytes * xccs;
    header.err_payload_addr = reinterpret_cast<std::uintptr_t>(buffers.error_payload);
    header.err_event_id = process_->events().error_event_id();
    std::memcpy(static_cast<std::byte*>(buffers.save_area.host) + std::size_t{xcc} * stride,
                &header, sizeof header);
  }
}

void KfdGpu::write_aql_queue(const QueueDesc& desc, const QueueBuffers& buffers) const {
  namespace aql = gpu::aql;
  auto* queue = static_cast<aql::Queue*>(buffers.pointers.host);
  queue->features = 1;  // HSA_QUEUE_FEATURE_KERNEL_DISPATCH
  queue->base_address = buffers.ring.address;
  queue->size = desc.ring_bytes / aql::kPacketBytes;
  queue->group_segment_aperture_base_hi =
      static_cast<std::uint32_t>(slot_.apertures.lds_base >> 32);
  queue->private_segment_aperture_base_hi =
      static_cast<std::uint32_t>(slot_.apertures.scratch_base >> 32);
  queue->max_cu_id = std::max(info_.cu_count, 1u) - 1;
  queue->max_wave_id = std::max(info_.max_waves_per_simd * info_.simd_per_cu, 1u) - 1;
  queue->read_dispatch_id_field_base_byte_offset = offsetof(aql::Queue, read_dispatch_id);
  queue->queue_properties = aql::kQueueIsPtr64;
  // An empty slot is INVALID, type 1; zeroes would be vendor packets.
  auto* ring = static_cast<std::uint32_t*>(buffers.ring.host);
  for (std::uint32_t dword = 0; dword < desc.ring_bytes / 4; dword += aql::kPacketBytes / 4)
    ring[dword] = static_cast<std::uint32_t>(aql::PacketType::Invalid);
}

Result<std::unique_ptr<HwQueue>> KfdGpu::create_queue(const QueueDesc& desc) {
  KILN_TRY(process_->check_fork());
  if (const FaultInfo known = check(false); known.kind != FaultKind::None)
    return fail(VK_ERROR_DEVICE_LOST,
                strf("%s: no new queue: %s", slot_.name.c_str(), known.text.c_str()));
  if (desc.ring_bytes < kPage || !std::has_single_bit(desc.ring_bytes))
    return fail(VK_ERROR_UNKNOWN,
                strf("a queue's ring must be a power of two and a page at least, not %u bytes",
                     desc.ring_bytes));
  if (desc.priority < 0 || desc.priority > static_cast<std::int32_t>(uapi::kMaxQueuePriority))
    return fail(VK_ERROR_UNKNOWN, strf("queue priority %d is not within 0..%u", desc.priority,
                                       uapi::kMaxQueuePriority));
  if (!is_compute(desc.kind) && desc.sdma_engine >= 0 &&
      process_->minor() < uapi::kMinorSdmaByEngine)
    return fail(VK_ERROR_FEATURE_NOT_PRESENT,
                strf("a queue on SDMA engine %d needs KFD 1.%u, this is 1.%u", desc.sdma_engine,
                     uapi::kMinorSdmaByEngine, process_->minor()));

  QueueBuffers buffers;
  if (const std::uint32_t slots = info_.compute_queue_slots; is_compute(desc.kind) && slots != 0) {
    // A queue beyond the slots could keep the producer it waits for out (KFD's over-subscription).
    buffers.holds_slot = slot_.compute_queues.fetch_add(1) < slots;
    if (!buffers.holds_slot) {
      --slot_.compute_queues;
      return fail(VK_ERROR_TOO_MANY_OBJECTS,
                  strf("%s: the devices of this process have all its %u compute queues",
                       slot_.name.c_str(), slots));
    }
  }
  if (auto status = allocate_queue_buffers(desc, &buffers); !status) {
    free_queue_buffers(buffers);
    return forward_error(status);
  }
  write_save_area_headers(buffers);
  if (desc.kind == QueueKind::ComputeAql) write_aql_queue(desc, buffers);

  using AqlQueue = gpu::aql::Queue;
  uapi::CreateQueue args{};
  args.ring_base_address = buffers.ring.address;
  args.write_pointer_address = buffers.pointers.address + offsetof(AqlQueue, write_dispatch_id);
  args.read_pointer_address = buffers.pointers.address + offsetof(AqlQueue, read_dispatch_id);
  args.ring_size = desc.ring_bytes;
  args.gpu_id = slot_.gpu_id;
  args.queue_type = kfd_type(desc);
  args.queue_percentage = uapi::kMaxQueuePercentage;
  args.queue_priority = static_cast<std::uint32_t>(desc.priority);
  args.eop_buffer_address = buffers.eop.address;
  args.eop_buffer_size = buffers.eop.size;
  args.ctx_save_restore_address = buffers.save_area.address;
  args.ctx_save_restore_size = buffers.save_area.handle != 0 ? info_.cwsr_bytes : 0;
  args.ctl_stack_size = buffers.save_area.handle != 0 ? info_.control_stack_bytes : 0;
  args.sdma_engine_id = desc.sdma_engine >= 0 ? static_cast<std::uint32_t>(desc.sdma_engine) : 0;
  if (const int status = process_->ioctl(uapi::kIocCreateQueue, &args); status < 0) {
    free_queue_buffers(buffers);
    const char* hint = status == -ENOMEM && !is_compute(desc.kind) ? ": all SDMA queues are taken"
                       : status == -EINVAL ? ": KFD does not accept its buffers' sizes or its kind"
                                           : "";
    return fail(status == -ENOMEM ? VK_ERROR_TOO_MANY_OBJECTS
                                  : result_of_errno(-status, VK_ERROR_INITIALIZATION_FAILED),
                strf("%s: no %s queue (CREATE_QUEUE: %s)%s", slot_.name.c_str(), name_of(desc.kind),
                     std::strerror(-status), hint));
  }

  auto queue = std::make_unique<HwQueue>();
  queue->id = args.queue_id;
  {
    const std::lock_guard lock(mutex_);
    queues_[args.queue_id] = buffers;
  }
  auto doorbell = process_->map_doorbell(slot_, args.doorbell_offset);
  Status masked;
  if (doorbell && desc.cu_mask != nullptr && is_compute(desc.kind))
    masked = set_cu_mask(*queue, desc.cu_mask, desc.cu_mask_words);
  if (!doorbell || !masked) {
    (void)destroy_queue(*queue);
    if (!doorbell) return forward_error(doorbell);
    return forward_error(masked);
  }
  auto* pointers = static_cast<std::byte*>(buffers.pointers.host);
  queue->kind = desc.kind;
  queue->ring = static_cast<std::uint32_t*>(buffers.ring.host);
  queue->ring_bytes = desc.ring_bytes;
  queue->ring_address = buffers.ring.address;
  queue->write_pointer = reinterpret_cast<std::atomic<std::uint64_t>*>(
      pointers + offsetof(AqlQueue, write_dispatch_id));
  queue->read_pointer = reinterpret_cast<std::atomic<std::uint64_t>*>(
      pointers + offsetof(AqlQueue, read_dispatch_id));
  queue->doorbell = *doorbell;
  if (desc.kind == QueueKind::ComputeAql) {
    queue->aql_queue = buffers.pointers.host;
    queue->aql_queue_address = buffers.pointers.address;
  }
  // SDMA reads the pointer by itself from gfx11 on (kfd_mqd_manager_v11.c, F32_WPTR_POLL_ENABLE; no
  // such bit in _v9, _v10). Compute queues read it whenever they are mapped again.
  queue->write_pointer_polled = is_compute(desc.kind) || info_.gfx_ip.major >= 11;
  return queue;
}

Status KfdGpu::destroy_queue(HwQueue& queue) {
  KILN_TRY(process_->check_fork());
  QueueBuffers buffers;
  {
    const std::lock_guard lock(mutex_);
    const auto found = queues_.find(queue.id);
    if (found == queues_.end())
      return fail(VK_ERROR_UNKNOWN, strf("%s has no queue %u", slot_.name.c_str(), queue.id));
    buffers = found->second;
    queues_.erase(found);
  }
  uapi::DestroyQueue args{queue.id, 0};
  const int status = process_->ioctl(uapi::kIocDestroyQueue, &args);
  // A queue that does not answer (-ETIME) is gone for KFD after the GPU's reset; its buffers are
  // free either way, and if not the frees fail harmlessly.
  free_queue_buffers(buffers);
  if (status < 0)
    return fail(result_of_errno(-status, VK_ERROR_UNKNOWN),
                strf("%s: queue %u did not end cleanly (DESTROY_QUEUE: %s)", slot_.name.c_str(),
                     queue.id, std::strerror(-status)));
  return {};
}

Status KfdGpu::set_cu_mask(HwQueue& queue, const std::uint32_t* words, std::uint32_t count) {
  KILN_TRY(process_->check_fork());
  uapi::SetCuMask args{};
  args.queue_id = queue.id;
  args.num_cu_mask = count * 32;
  args.cu_mask_ptr = reinterpret_cast<std::uintptr_t>(words);
  if (const int status = process_->ioctl(uapi::kIocSetCuMask, &args); status < 0)
    return fail(result_of_errno(-status, VK_ERROR_UNKNOWN),
                strf("%s: queue %u does not take a CU mask of %u bits (SET_CU_MASK: %s)",
                     slot_.name.c_str(), queue.id, args.num_cu_mask, std::strerror(-status)));
  return {};
}

FaultInfo KfdGpu::check(bool ask) {
  FaultInfo fault;
  if (process_->forked()) {
    fault.kind = FaultKind::ProcessLost;
    fault.text = process_->check_fork().error().message;
    return fault;
  }
  fault = ask ? process_->events().poll_fault(slot_.gpu_id)
              : process_->events().known_fault(slot_.gpu_id);
  if (fault.kind != FaultKind::None) return fault;
  const std::lock_guard lock(mutex_);
  if (queue_fault_.kind == FaultKind::None)
    for (const auto& [id, buffers] : queues_)
      if (const std::uint64_t bits = buffers.error_payload->load(std::memory_order_acquire)) {
        queue_fault_.kind = FaultKind::QueueError;
        queue_fault_.queue_id = id;
        queue_fault_.error_bits = bits;
        queue_fault_.text = strf("queue %u stopped: %s", id, describe_exceptions(bits).c_str());
        break;
      }
  return queue_fault_;
}

FaultInfo KfdGpu::fault() {
  return check(true);
}

}  // namespace kiln::kmd

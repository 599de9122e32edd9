// Owns: the ioctls of queues, with the checks of their buffers.
// Does not own: the other ioctls (kfd_node.cpp, kfd_memory.cpp), running queues (engines).
// Threading: see kfd_node.hpp.
#include <errno.h>
#include <stdio.h>

#include <algorithm>
#include <bit>

#include "vgpu/kfd_engines.hpp"
#include "vgpu/kfd_node.hpp"
#include "vgpu/user_memory.hpp"

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

constexpr int kErrNotSupported =
    524;  // the kernel's own ENOTSUPP, which user space does get to see
constexpr std::uint32_t kMostQueues = 127;            // of a process on a GPU (HWS limit)
constexpr std::uint32_t kMostQueuesOfProcess = 1024;  // KFD_MAX_NUM_OF_QUEUES_PER_PROCESS
constexpr std::uint32_t kMostQueuesOfGpu = 4096;      // max_num_of_queues_per_device, by default
constexpr std::uint32_t kSmallestRing = 1024;         // KFD_MIN_QUEUE_RING_SIZE
// The buffers of a queue are checked since Linux 6.12, which is KFD 1.17; a save area may be larger
// than needed since late 2025, here taken as KFD 1.19.
constexpr std::uint32_t kBuffersChecked = uapi::kMinorSdmaByEngine;
constexpr std::uint32_t kLargerSaveArea = uapi::kMinorCreateProcess;
// A ring is made as large as the smallest since 2025, a size of 0 too; here taken as KFD 1.18.
constexpr std::uint32_t kRingClamped = uapi::kMinorMemoryPolicyFlag;
// Bits 15:8 of the percentage name an XCC since gfx942 came, here taken as KFD 1.13; before, the
// whole word is the percentage.
constexpr std::uint32_t kPercentageNamesXcc = uapi::kMinorRuntimeEnable;
// The header of the save area is written with the wave state since the debugger came.
constexpr std::uint32_t kWaveStateHeader = uapi::kMinorRuntimeEnable;
// SDMA doorbells have places of their own: from 256 on ten an engine, every other queue 512 higher
// (kfd_device_queue_manager.c allocate_doorbell, amdgpu_doorbell.h sDMA_ENGINE0 and
// sdma_doorbell_range). Compute queues stay out of both ranges (init_doorbell_bitmap).
constexpr std::uint32_t kSdmaDoorbells = 256, kSdmaDoorbellsAnEngine = 10, kDoorbellMirror = 512;

constexpr std::uint32_t sdma_doorbell(std::uint32_t engine, std::uint32_t queue) {
  return kSdmaDoorbells + engine * kSdmaDoorbellsAnEngine + (queue & 1) * kDoorbellMirror +
         (queue >> 1);
}

constexpr Va page_of(Va address) {
  return address & ~(kPageBytes - 1);
}

/// kfd_chardev.c set_queue_properties_from_user and the update's like, in their order. CREATE_QUEUE
/// and UPDATE_QUEUE name these fields alike.
template <class Args>
int check_ring(Args& args, std::uint32_t minor) {
  const std::uint32_t percentage =
      minor >= kPercentageNamesXcc ? args.queue_percentage & 0xff : args.queue_percentage;
  if (percentage > uapi::kMaxQueuePercentage) return -EINVAL;
  if (args.queue_priority > uapi::kMaxQueuePriority) return -EINVAL;
  if (args.ring_base_address != 0 && !access_ok(args.ring_base_address)) return -EFAULT;
  if (args.ring_size != 0 && !std::has_single_bit(args.ring_size)) return -EINVAL;
  if (minor >= kRingClamped) args.ring_size = std::max(args.ring_size, kSmallestRing);
  return 0;
}

bool is_sdma(std::uint32_t type) {
  return type == uapi::kQueueSdma || type == uapi::kQueueSdmaXgmi ||
         type == uapi::kQueueSdmaByEngine;
}

}  // namespace

int KfdNode::hold(ProcessDevice& device, Va address, std::uint64_t bytes, QueueRecord* queue) {
  // kfd_queue.c kfd_queue_buffer_get: a mapping that begins with the address's page and, unless
  // bytes is 0, ends exactly there.
  const auto found = device.attachments.find(page_of(address));
  if (found == device.attachments.end()) return -EINVAL;
  if (bytes / kPageBytes != 0 && page_of(bytes) != found->second.bytes) return -EINVAL;
  ++found->second.queue_refs;
  queue->held.push_back(found->first);
  return 0;
}

void KfdNode::let_go(ProcessDevice& device, const QueueRecord& queue) {
  for (const Va va : queue.held) --device.attachments[va].queue_refs;
}

int KfdNode::hold_queue_buffers(ProcessDevice& device, const uapi::CreateQueue& args,
                                QueueRecord* queue) {
  if (minor() < kBuffersChecked) {
    // Only MES (gfx11) cared then: its write pointer lies in a buffer of one page.
    if (device.gpu->chip().gc.major < 11) return 0;
    const auto found = device.attachments.find(page_of(args.write_pointer_address));
    return found != device.attachments.end() && found->second.bytes == kPageBytes ? 0 : -EINVAL;
  }
  // kfd_queue.c kfd_queue_acquire_buffers, in its order.
  const QueueSizes sizes = device.gpu->queue_sizes();
  const std::uint32_t xccs = device.gpu->chip().xcc_count;
  if (hold(device, args.write_pointer_address, kPageBytes, queue) != 0) return -EINVAL;
  if (hold(device, args.read_pointer_address, kPageBytes, queue) != 0) return -EINVAL;
  if (hold(device, args.ring_base_address, args.ring_size + queue->metadata_bytes, queue) != 0)
    return -EINVAL;
  if (is_sdma(args.queue_type)) return 0;
  if (args.eop_buffer_address != 0) {
    if (args.eop_buffer_size != sizes.eop) return -EINVAL;
    if (hold(device, args.eop_buffer_address, args.eop_buffer_size, queue) != 0) return -EINVAL;
  }
  if (args.ctl_stack_size != sizes.control_stack) return -EINVAL;
  if (minor() < kLargerSaveArea ? args.ctx_save_restore_size != sizes.save_area
                                : args.ctx_save_restore_size < sizes.save_area)
    return -EINVAL;
  QueueSizes given = sizes;
  given.save_area = args.ctx_save_restore_size;
  return hold(device, args.ctx_save_restore_address, given.total(xccs), queue);
}

int KfdNode::take_queue_slot(VirtualGpu& gpu, const uapi::CreateQueue& args, QueueRecord* queue) {
  std::lock_guard lock(table_mutex_);
  if (queue_totals_[gpu.index()] >= kMostQueuesOfGpu) return -EPERM;
  if (is_sdma(args.queue_type)) {
    if (const int error = take_sdma_slot(gpu, args, queue); error != 0) return error;
  }
  ++queue_totals_[gpu.index()];
  return 0;
}

int KfdNode::take_sdma_slot(VirtualGpu& gpu, const uapi::CreateQueue& args, QueueRecord* queue) {
  // kfd_device_queue_manager.c allocate_sdma_queue: the first free slot; slots go round the engines
  // of the kind.
  const ChipSpec& chip = gpu.chip();
  std::uint32_t first = 0, engines = chip.sdma_engines;
  if (args.queue_type == uapi::kQueueSdmaXgmi) {
    first = chip.sdma_engines;
    engines = chip.sdma_xgmi_engines;
  } else if (args.queue_type == uapi::kQueueSdmaByEngine) {
    first = args.sdma_engine_id;
    engines = 1;
  }
  std::vector<bool>& used = sdma_slots_[gpu.index()];
  for (std::uint32_t n = 0; n < engines * chip.sdma_queues_per_engine; ++n) {
    const std::uint32_t engine = first + n % engines;
    const std::uint32_t slot = engine * chip.sdma_queues_per_engine + n / engines;
    if (used[slot]) continue;
    used[slot] = true;
    queue->sdma_slot = static_cast<std::int32_t>(slot);
    queue->type = engine < chip.sdma_engines ? QueueType::Sdma : QueueType::SdmaXgmi;
    return 0;
  }
  return -ENOMEM;
}

int KfdNode::create_queue(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::CreateQueue*>(data);
  if (const int error = check_ring(args, minor()); error != 0) return error;
  const std::uint32_t metadata = minor() >= uapi::kMinorMetadataRing ? args.metadata_ring_size : 0;
  if (metadata != 0 && !std::has_single_bit(metadata)) return -EINVAL;
  if (!access_ok(args.read_pointer_address) || !access_ok(args.write_pointer_address) ||
      !access_ok(args.eop_buffer_address) || !access_ok(args.ctx_save_restore_address))
    return -EFAULT;
  const std::uint32_t last_type =
      minor() >= uapi::kMinorSdmaByEngine ? uapi::kQueueSdmaByEngine : uapi::kQueueSdmaXgmi;
  if (args.queue_type > last_type) return -kErrNotSupported;

  std::lock_guard lock(process.mutex);
  ProcessDevice* device = process.device(args.gpu_id);
  if (device == nullptr) return -EINVAL;
  VirtualGpu& gpu = *device->gpu;
  const ChipSpec& chip = gpu.chip();
  if (device->drm_file == 0) return -ESRCH;  // kfd_bind_process_to_device failed
  if (args.queue_type == uapi::kQueueSdmaByEngine &&
      args.sdma_engine_id >= chip.sdma_engines + chip.sdma_xgmi_engines)
    return -EINVAL;

  QueueRecord queue;
  queue.gpu = gpu.index();
  if (args.queue_type == uapi::kQueueComputeAql) queue.metadata_bytes = metadata;
  if (const int error = hold_queue_buffers(*device, args, &queue); error != 0) {
    let_go(*device, queue);
    return error;
  }
  // kfd_process_queue_manager.c pqm_create_queue.
  int error = 0;
  if (device->queue_count >= kMostQueues) error = -ENOSPC;
  while (error == 0 && process.queues.contains(queue.id))
    if (++queue.id >= kMostQueuesOfProcess) error = -ENOMEM;
  Region* doorbells = error == 0 ? process.doorbells(*device) : nullptr;
  if (error == 0 && doorbells == nullptr) error = -ENOMEM;
  Engines* engines = error == 0 ? engines_[gpu.index()]->get() : nullptr;
  if (error == 0 && engines == nullptr) {
    fprintf(stderr, "kiln vgpu: %s is played for its topology only: no queues\n",
            chip.product.data());
    error = -EOPNOTSUPP;
  }
  // create_queue_cpsch: the device's limit over all processes, then an SDMA queue.
  if (error == 0) error = take_queue_slot(gpu, args, &queue);
  if (error != 0) {
    let_go(*device, queue);
    return error;
  }
  if (args.queue_type == uapi::kQueueCompute) queue.type = QueueType::Pm4;
  if (args.queue_type == uapi::kQueueComputeAql) queue.type = QueueType::Aql;

  if (queue.sdma_slot >= 0) {
    const auto slot = static_cast<std::uint32_t>(queue.sdma_slot);
    queue.doorbell =
        sdma_doorbell(slot / chip.sdma_queues_per_engine, slot % chip.sdma_queues_per_engine);
  } else {  // there are fewer queues than doorbells below the first of SDMA
    static_assert(kMostQueues < kSdmaDoorbells);
    while (device->doorbells_used[queue.doorbell]) ++queue.doorbell;
  }
  device->doorbells_used[queue.doorbell] = true;
  auto* doorbell =
      reinterpret_cast<std::atomic<std::uint64_t>*>(doorbells->host()) + queue.doorbell;
  // What "never rung" looks like: an AQL doorbell holds a packet index, the others a write pointer.
  doorbell->store(queue.type == QueueType::Aql ? ~std::uint64_t{0} : 0);

  queue.ring = args.ring_base_address;
  queue.ring_bytes = args.ring_size;
  queue.save_area = args.ctx_save_restore_address;
  QueueSizes sizes = gpu.queue_sizes();
  sizes.save_area = args.ctx_save_restore_size;
  queue.save_area_bytes = sizes.total(chip.xcc_count);
  queue.save_area_stride = args.ctx_save_restore_size;
  queue.control_stack_bytes = args.ctl_stack_size;
  queue.percent = args.queue_percentage & 0xff;
  queue.priority = args.queue_priority;

  QueueConfig config;
  config.id = queue.id;
  config.type = queue.type;
  config.ring = queue.ring;
  config.ring_bytes = queue.ring_bytes;
  config.read_pointer = args.read_pointer_address;
  config.write_pointer = args.write_pointer_address;
  config.doorbell = doorbell;
  config.doorbell_id = queue.doorbell;
  config.save_area = queue.save_area;
  config.save_area_bytes = queue.save_area_bytes;
  config.priority = queue.priority;
  config.target_xcc = (args.queue_percentage >> 8 & 0xff) % chip.xcc_count;
  if (queue.sdma_slot >= 0)
    config.sdma_engine = queue.sdma_slot / static_cast<std::int32_t>(chip.sdma_queues_per_engine);
  config.space = &device->space;
  config.process = process.token;
  config.runtime_enabled = process.runtime_enabled;
  config.trap_handler = &device->trap_handler;
  if (queue.save_area != 0) process.set_save_area(queue.id, queue.save_area);
  // A process that was evicted by a VM fault gets its queue, but it never runs
  // (create_queue_cpsch: qpd->evicted).
  if (!device->evicted) {
    engines->create_queue(config);
    queue.in_engine = true;
    if (!queue.is_active())
      engines->update_queue(process.token, queue.id, queue.ring, queue.ring_bytes, 0,
                            queue.priority);
  }
  ++device->queue_count;
  args.queue_id = queue.id;
  args.doorbell_offset =
      std::uint64_t{3} << 62 | std::uint64_t{args.gpu_id} << 46 | std::uint64_t{queue.doorbell} * 8;
  process.queues.emplace(queue.id, std::move(queue));
  return 0;
}

void KfdNode::end_queue(KfdProcess& process, QueueRecord& queue) {
  ProcessDevice& device = process.device_at(queue.gpu);
  if (queue.in_engine) engines_[queue.gpu]->if_made()->destroy_queue(process.token, queue.id);
  process.drop_save_area(queue.id);
  let_go(device, queue);
  device.doorbells_used[queue.doorbell] = false;
  --device.queue_count;
  {
    std::lock_guard lock(table_mutex_);
    --queue_totals_[queue.gpu];
    if (queue.sdma_slot >= 0)
      sdma_slots_[queue.gpu][static_cast<std::size_t>(queue.sdma_slot)] = false;
  }
  process.queues.erase(queue.id);
}

int KfdNode::destroy_queue(OpenFile&, KfdProcess& process, void* data) {
  std::lock_guard lock(process.mutex);
  QueueRecord* queue = process.queue(static_cast<uapi::DestroyQueue*>(data)->queue_id);
  if (queue == nullptr) return -EINVAL;  // pqm_destroy_queue
  end_queue(process, *queue);
  return 0;
}

int KfdNode::update_queue(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::UpdateQueue*>(data);
  if (const int error = check_ring(args, minor()); error != 0) return error;
  std::lock_guard lock(process.mutex);
  QueueRecord* queue = process.queue(args.queue_id);
  if (queue == nullptr) return -EFAULT;  // pqm_update_queue_properties
  ProcessDevice& device = process.device_at(queue->gpu);
  if (minor() >= kBuffersChecked && args.ring_base_address != 0 && args.ring_size != 0) {
    // The new ring is held before the old one is let go; an address of 0 only stops the queue.
    if (hold(device, args.ring_base_address, args.ring_size + queue->metadata_bytes, queue) != 0)
      return -EFAULT;
    const auto old = std::find(queue->held.begin(), queue->held.end(), page_of(queue->ring));
    if (old != queue->held.end()) {
      --device.attachments[*old].queue_refs;
      queue->held.erase(old);
    }
  }
  if (args.ring_base_address != 0) queue->ring = args.ring_base_address;
  queue->ring_bytes = args.ring_size;
  queue->percent = args.ring_base_address != 0 ? args.queue_percentage & 0xff : 0;
  queue->priority = args.queue_priority;
  if (queue->in_engine)
    engines_[queue->gpu]->if_made()->update_queue(
        process.token, queue->id, queue->ring, queue->ring_bytes,
        queue->is_active() ? queue->percent : 0, queue->priority);
  return 0;
}

int KfdNode::set_cu_mask(OpenFile&, KfdProcess& process, void* data) {
  const auto& args = *static_cast<uapi::SetCuMask*>(data);
  constexpr std::uint32_t kMostCus = 1024;
  if (args.num_cu_mask % 32 != 0 || args.num_cu_mask == 0) return -EINVAL;
  std::vector<std::uint32_t> words(std::min(args.num_cu_mask, kMostCus) / 32);
  if (!copy_from_user(words.data(), args.cu_mask_ptr, words.size() * 4)) return -EFAULT;
  std::lock_guard lock(process.mutex);
  QueueRecord* queue = process.queue(args.queue_id);
  if (queue == nullptr) return -EFAULT;  // pqm_update_mqd
  if (process.device_at(queue->gpu).gpu->chip().gc.major >= 10) {
    // The two CUs of a WGP go together.
    for (const std::uint32_t word : words)
      if (((word ^ word >> 1) & 0x55555555u) != 0) return -EINVAL;
  }
  if (queue->in_engine)
    engines_[queue->gpu]->if_made()->set_cu_mask(process.token, queue->id, words.data(),
                                                 static_cast<std::uint32_t>(words.size()));
  return 0;
}

int KfdNode::get_queue_wave_state(OpenFile&, KfdProcess& process, void* data) {
  auto& args = *static_cast<uapi::GetQueueWaveState*>(data);
  std::lock_guard lock(process.mutex);
  const QueueRecord* queue = process.queue(args.queue_id);
  if (queue == nullptr) return -EFAULT;  // pqm_get_wave_state
  // kfd_device_queue_manager.c get_wave_state: compute queues that are stopped.
  if (queue->sdma_slot >= 0 || queue->is_active()) return -EINVAL;
  // kfd_mqd_manager_v9.c get_wave_state: both stacks grow from the control stack's end. The waves
  // of a stopped queue stay where they are here, so nothing was saved.
  args.ctl_stack_used_size = args.save_area_used_size = 0;
  if (minor() < kWaveStateHeader) return 0;
  const std::uint32_t header[] = {queue->control_stack_bytes, 0, queue->control_stack_bytes, 0};
  const std::uint32_t xccs = process.device_at(queue->gpu).gpu->chip().xcc_count;
  for (std::uint32_t xcc = 0; xcc < xccs; ++xcc)
    if (!copy_to_user(queue->save_area + std::uint64_t{xcc} * queue->save_area_stride, header,
                      sizeof header))
      return -EFAULT;
  return 0;
}

int KfdNode::alloc_queue_gws(OpenFile&, KfdProcess& process, void* data) {
  std::lock_guard lock(process.mutex);
  if (process.queue(static_cast<uapi::AllocQueueGws*>(data)->queue_id) == nullptr) return -EINVAL;
  return -ENODEV;  // no global wave sync, as num_gws 0 in the topology says
}

}  // namespace kiln::vgpu

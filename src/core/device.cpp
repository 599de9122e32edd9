#include "core/device.hpp"

#include <unistd.h>

#include <algorithm>

#include "core/host_wait.hpp"
#include "core/instance.hpp"
#include "core/physical_device.hpp"
#include "core/text.hpp"
#include "gpu/aql.hpp"

namespace kiln::core {

void MemoryRegistry::add(const Memory& memory) {
  std::lock_guard lock(mutex_);
  by_address_[memory.allocation().address] = &memory;
}

void MemoryRegistry::remove(const Memory& memory) {
  std::lock_guard lock(mutex_);
  by_address_.erase(memory.allocation().address);
}

const Memory* MemoryRegistry::find(kmd::Va address) const {
  std::lock_guard lock(mutex_);
  auto next = by_address_.upper_bound(address);
  if (next == by_address_.begin()) return nullptr;
  const Memory* memory = std::prev(next)->second;
  return address < memory->allocation().address + memory->allocation().desc.size ? memory : nullptr;
}

Result<Device*> Device::create(PhysicalDevice& physical, const KilnDeviceCreateInfo& info,
                               const VkAllocationCallbacks* callbacks) {
  auto opened_gpu = physical.instance().kmd().open(physical.info());
  if (!opened_gpu) {
    // The driver calls a GPU lost that an earlier fault took from this process; here none was yet.
    if (opened_gpu.error().code == VK_ERROR_DEVICE_LOST)
      opened_gpu.error().code = VK_ERROR_INITIALIZATION_FAILED;
    return forward_error(opened_gpu);
  }
  std::unique_ptr<kmd::Gpu> gpu = std::move(*opened_gpu);
  auto made = make_object<Device>(callbacks, physical, std::move(gpu), info.watchdogTimeoutNs);
  if (!made) return made;
  if (Status opened = (*made)->open(info); !opened) {
    destroy_object(callbacks, *made);
    return forward_error(opened);
  }
  return made;
}

Device::Device(PhysicalDevice& physical, std::unique_ptr<kmd::Gpu> gpu, std::uint64_t watchdog_ns)
    : physical_(physical), gpu_(std::move(gpu)), watchdog_ns_(watchdog_ns) {}

Device::~Device() {
  monitor_.reset();  // joins its thread before the queues it looks at go
  queues_.clear();
  payloads_.reset();
  if (queue_block_.address != 0) (void)gpu_->free(queue_block_);
  if (completion_event_.id != 0) (void)gpu_->destroy_event(completion_event_);
}

Status Device::open(const KilnDeviceCreateInfo& info) {
  KILN_ASSIGN(completion_event_, gpu_->create_event());
  payloads_ = std::make_unique<PayloadPool>(*gpu_);
  monitor_ = std::make_unique<Monitor>(*this);
  KILN_TRY(make_queue_block());

  const std::vector<QueueFamily>& families = physical_.families();
  std::vector<std::uint32_t> made(families.size(), 0);
  for (std::uint32_t i = 0; i < info.queueCreateInfoCount; ++i) {
    const KilnDeviceQueueCreateInfo& queue_info = info.pQueueCreateInfos[i];
    const std::uint32_t family = queue_info.queueFamilyIndex;
    if (family >= families.size())
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  strf("queue family %u does not exist: there are %zu", family, families.size()));
    for (std::uint32_t q = 0; q < queue_info.queueCount; ++q) {
      if (made[family] == families[family].queue_count)
        return fail(VK_ERROR_TOO_MANY_OBJECTS,
                    strf("more than the %u queues of family %u were asked for",
                         families[family].queue_count, family));
      KILN_ASSIGN(std::unique_ptr<Queue> queue, Queue::create(*this, queue_info, q, made[family]));
      queues_.push_back(std::move(queue));
      ++made[family];
    }
  }
  if (watchdog_ns_ != 0) monitor_->start();
  return {};
}

Status Device::make_queue_block() {
  kmd::MemoryDesc desc;
  desc.size = 4096;
  desc.heap = kmd::Heap::System;
  desc.host_visible = desc.uncached = desc.coherent = true;
  KILN_ASSIGN(queue_block_, gpu_->allocate(desc, {}));
  // What device code reads of it are the aperture bases (code objects v4; LLVM AMDGPUUsage,
  // "Queue Ptr").
  auto* block = new (queue_block_.host) gpu::aql::Queue{};
  block->group_segment_aperture_base_hi = static_cast<std::uint32_t>(gpu_->shared_aperture() >> 32);
  block->private_segment_aperture_base_hi =
      static_cast<std::uint32_t>(gpu_->private_aperture() >> 32);
  return {};
}

const gpu::Target& Device::target() const {
  return physical_.target();
}

VkResult Device::report(const Error& error) const {
  return physical_.instance().messengers().report(error);
}

Queue* Device::queue(std::uint32_t family, std::uint32_t index) const {
  for (const auto& queue : queues_)
    if (queue->family() == family && queue->index() == index) return queue.get();
  return nullptr;
}

Status Device::check_alive() const {
  if (!lost()) return {};
  std::lock_guard lock(loss_mutex_);
  return fail(VK_ERROR_DEVICE_LOST, loss_.text);
}

void Device::look_for_fault() {
  if (lost()) return;
  const kmd::FaultInfo fault = gpu_->fault();
  Loss loss;
  loss.address = fault.address;
  loss.queue_error = fault.error_bits;
  loss.text = fault.text;
  switch (fault.kind) {
    case kmd::FaultKind::None:
      return;
    case kmd::FaultKind::MemoryFault:
      loss.kind = KILN_FAULT_MEMORY;
      break;
    case kmd::FaultKind::HardwareReset:
      loss.kind = KILN_FAULT_RESET;
      break;
    case kmd::FaultKind::QueueError:
      loss.kind = KILN_FAULT_QUEUE;
      break;
    case kmd::FaultKind::ProcessLost:
      loss.kind = KILN_FAULT_FORKED;
      break;
  }
  lose(std::move(loss));
}

void Device::lose(Loss loss) {
  {
    std::lock_guard lock(loss_mutex_);
    if (lost()) return;
    loss_ = std::move(loss);
    loss_.text = "the device is lost: " + loss_.text + describe_progress();
    lost_.store(true, std::memory_order_release);
  }
  report({VK_ERROR_DEVICE_LOST, loss_.text});
  // Whoever sleeps on a semaphore of this device looks again and finds it lost.
  (void)gpu_->set_event(completion_event_);
}

std::string Device::describe_progress() const {
  std::string text;
  for (const auto& queue : queues_) text += queue->describe_progress();
  return text;
}

VkResult Device::get_fault_info(KilnDeviceFaultInfo* info) const {
  if (!lost()) {
    info->kind = KILN_FAULT_NONE;
    info->address = 0;
    info->queueError = 0;
    info->description[0] = '\0';
    return VK_NOT_READY;
  }
  std::lock_guard lock(loss_mutex_);
  info->kind = loss_.kind;
  info->address = loss_.address;
  info->queueError = loss_.queue_error;
  copy_text(info->description, loss_.text);
  return VK_SUCCESS;
}

Status Device::check_peer(const Device& peer) const {
  if (&peer == this) return {};
  if (&peer.physical_.instance() != &physical_.instance())
    return fail(VK_ERROR_VALIDATION_FAILED_EXT, "the two devices are of different instances");
  if (&peer.physical_ == &physical_) return {};
  if (physical_.link_to(peer.physical_) == nullptr && peer.physical_.link_to(physical_) == nullptr)
    return fail(VK_ERROR_FEATURE_NOT_PRESENT,
                strf("no link between GPU node %u and node %u: copy through host memory",
                     physical_.info().node, peer.physical_.info().node));
  return {};
}

VkResult Device::get_address_info(kmd::Va address, KilnAddressInfo* info) {
  const Memory* memory = memories_.find(address);
  if (memory == nullptr)
    return report({VK_ERROR_UNKNOWN, strf("address 0x%llx is in no allocation of this device",
                                          static_cast<unsigned long long>(address))});
  const kmd::Memory& allocation = memory->allocation();
  info->memory = to_handle(const_cast<Memory*>(memory));
  info->offset = address - allocation.address;
  info->size = allocation.desc.size;
  info->memoryTypeIndex = memory->type();
  info->pHostPointer = allocation.host != nullptr
                           ? static_cast<std::byte*>(allocation.host) + info->offset
                           : nullptr;
  return VK_SUCCESS;
}

Result<VkResult> Device::wait_idle() {
  for (const auto& queue : queues_) KILN_TRY(queue->wait_idle());
  return VK_SUCCESS;
}

Status Device::get_clocks(std::uint64_t* device_ticks, std::uint64_t* host_ns,
                          std::uint64_t* deviation) {
  const std::uint64_t before = monotonic_ns();
  KILN_TRY(gpu_->clocks(device_ticks, host_ns));
  const std::uint64_t after = monotonic_ns();
  // The driver reads both clocks inside the call, so they cannot be further apart than it lasted.
  *deviation = after - before;
  return {};
}

Status Device::get_budget(KilnMemoryBudget* budget) {
  KILN_ASSIGN(const std::uint64_t available, gpu_->available_memory());
  budget->heapBudget[0] = available;
  budget->heapBudget[1] = static_cast<std::uint64_t>(sysconf(_SC_AVPHYS_PAGES)) *
                          static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE));
  budget->heapBudget[2] = std::min(available, physical_.info().visible_vram_bytes);
  budget->heapBudget[3] = 0;
  return {};
}

}  // namespace kiln::core

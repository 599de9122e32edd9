#include "vgpu/kfd_process.hpp"

namespace kiln::vgpu {

KfdProcess::KfdProcess(Machine& machine, std::uint64_t token_, bool primary_)
    : events(machine.kfd_minor()), token(token_), primary(primary_) {
  for (std::size_t index = 0; index < machine.gpu_count(); ++index) {
    devices_.push_back(std::make_unique<ProcessDevice>());
    devices_.back()->gpu = &machine.gpu(index);
  }
}

ProcessDevice* KfdProcess::device(std::uint32_t gpu_id) {
  for (auto& device : devices_)
    if (device->gpu->gpu_id() == gpu_id) return device.get();
  return nullptr;
}

Allocation* KfdProcess::allocation(std::uint64_t handle, ProcessDevice** owner) {
  ProcessDevice* const in = device(static_cast<std::uint32_t>(handle >> 32));
  if (owner != nullptr) *owner = in;
  if (in == nullptr) return nullptr;
  const auto found = in->handles.find(static_cast<std::uint32_t>(handle));
  return found == in->handles.end() ? nullptr : found->second.get();
}

QueueRecord* KfdProcess::queue(std::uint32_t id) {
  const auto found = queues.find(id);
  return found == queues.end() ? nullptr : &found->second;
}

void KfdProcess::set_save_area(std::uint32_t queue, Va save_area) {
  std::lock_guard lock(save_area_mutex_);
  save_areas_[queue] = save_area;
}

void KfdProcess::drop_save_area(std::uint32_t queue) {
  std::lock_guard lock(save_area_mutex_);
  save_areas_.erase(queue);
}

bool KfdProcess::find_save_area(std::uint32_t queue, Va* save_area) const {
  std::lock_guard lock(save_area_mutex_);
  const auto found = save_areas_.find(queue);
  if (found == save_areas_.end()) return false;
  *save_area = found->second;
  return true;
}

Region* KfdProcess::doorbells(ProcessDevice& device) {
  if (device.doorbells == nullptr) {
    auto region =
        Region::create("kiln-vgpu-doorbells", kDoorbellBytes + kmd::uapi::kMmioRemapBytes);
    if (!region) return nullptr;
    device.doorbells = std::move(*region);
  }
  return device.doorbells.get();
}

}  // namespace kiln::vgpu

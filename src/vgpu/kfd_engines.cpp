#include "vgpu/kfd_engines.hpp"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include "vgpu/user_memory.hpp"

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

/// "PID:NAME" as KFD_EVENT_FMT_VMFAULT has it: of the process, whichever thread this is.
std::string process_name() {
  char name[32] = {};
  if (FILE* comm = fopen("/proc/self/comm", "re"); comm != nullptr) {
    if (fgets(name, sizeof name, comm) != nullptr) name[strcspn(name, "\n")] = 0;
    fclose(comm);
  }
  char text[64];
  snprintf(text, sizeof text, "%x:%s", static_cast<unsigned>(getpid()), name);
  return text;
}

}  // namespace

Engines* GpuEngines::get() {
  std::lock_guard lock(mutex_);
  if (engines_ == nullptr) engines_ = factory_(gpu_.chip(), options_, *this);
  return engines_.get();
}

Engines* GpuEngines::if_made() {
  std::lock_guard lock(mutex_);
  return engines_.get();
}

void GpuEngines::interrupt(std::uint64_t token, std::uint32_t context_id) {
  // kfd_int_process_v9.c drops interrupts without a context id on GC 9.4.1 and later; the files for
  // gfx10 and gfx11 do not, there an id of 0 makes KFD look at every slot.
  if (context_id == 0 && gpu_.chip().gc.major == 9) return;
  if (auto process = node_.process_by_token(token)) process->events.interrupt(context_id);
}

void GpuEngines::wave_interrupt(const WaveInterrupt& interrupt) {
  auto process = node_.process_by_token(interrupt.process);
  if (process == nullptr) return;
  // A trap handler says its queue's doorbell in bits 9:0 and exceptions above, and KFD takes them
  // to the runtime (kfd_debug.h KFD_DEBUG_DOORBELL_ID and KFD_DEBUG_TRAP_CODE). Without a runtime,
  // or in a shader, it is an event's number: 24 bits of it arrive (kfd_int_process_v9.c), 23 from
  // gfx10 on (kfd_int_process_v10.c).
  const std::uint32_t codes = interrupt.data >> 10 & 0x3ff;
  if (interrupt.in_trap && process->runtime_enabled &&
      (interrupt.data & 0x3ff) == interrupt.doorbell_id) {
    queue_exception(interrupt.process, interrupt.queue_id, codes);
    return;
  }
  const std::uint32_t valid = gpu_.chip().gc.major == 9 ? 0xff'ffff : 0x7f'ffff;
  process->events.interrupt(interrupt.data & valid);
}

void GpuEngines::vm_fault(std::uint64_t token, const MemoryFault& fault) {
  auto process = node_.process_by_token(token);
  if (process == nullptr) return;
  ProcessDevice& device = process->device_at(gpu_.index());
  if (device.evicted.exchange(true)) return;  // its queues are gone; waves in flight fault along
  if (options_.debug)
    fprintf(stderr, "kiln vgpu: %s: VM fault at 0x%llx (%s)\n", gpu_.chip().product.data(),
            static_cast<unsigned long long>(fault.address),
            fault.not_present ? "not mapped" : "no permission");
  // kfd_int_process_v9.c, in its order: whoever watches, kfd_dqm_evict_pasid, the events.
  smi_.send(uapi::kSmiVmFault, process_name());
  if (Engines* engines = if_made()) engines->evict(token);
  uapi::MemoryExceptionData data{};
  data.gpu_id = gpu_.gpu_id();
  data.va = fault.address & ~(kPageBytes - 1);  // hardware reports the page
  data.failure.not_present = fault.not_present;
  data.failure.read_only =
      !fault.not_present && (fault.access == Access::Store || fault.access == Access::Atomic);
  data.failure.no_execute = !fault.not_present && fault.access == Access::Execute;
  process->events.memory_exception(data);
}

void GpuEngines::queue_exception(std::uint64_t token, std::uint32_t queue_id, std::uint64_t codes) {
  auto process = node_.process_by_token(token);
  if (process == nullptr) return;
  if (options_.debug)
    fprintf(stderr, "kiln vgpu: %s: queue %u stopped, exceptions 0x%llx\n",
            gpu_.chip().product.data(), queue_id, static_cast<unsigned long long>(codes));
  // Without RUNTIME_ENABLE nobody is told (kfd_debug.c).
  Va save_area = 0;
  if (!process->runtime_enabled || !process->find_save_area(queue_id, &save_area)) return;
  // kfd_send_exception_to_runtime: through the header of the save area to the payload.
  uapi::SaveAreaHeader header{};
  std::uint64_t payload = 0;
  if (!copy_from_user(&header, save_area, sizeof header) ||
      !copy_from_user(&payload, header.err_payload_addr, sizeof payload))
    return;
  payload |= codes;
  if (!copy_to_user(header.err_payload_addr, &payload, sizeof payload)) return;
  process->events.set(header.err_event_id);
}

}  // namespace kiln::vgpu

// Owns: the exported functions: cast, call, report, return.
// Does not own: any behaviour (core/).
// Threading: as kiln.h says for each function.
#include <kiln/kiln.h>

#include <cstring>
#include <new>

#include "core/command_buffer.hpp"
#include "core/command_pool.hpp"
#include "core/device.hpp"
#include "core/instance.hpp"
#include "core/kernel.hpp"
#include "core/memory.hpp"
#include "core/module.hpp"
#include "core/physical_device.hpp"
#include "core/queue.hpp"
#include "core/semaphore.hpp"

namespace {

using namespace kiln;
using core::from;
using core::to_handle;

/// Runs `body`; no exception crosses the C boundary.
template <class Body>
VkResult guarded(Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return VK_ERROR_OUT_OF_HOST_MEMORY;
  } catch (...) {
    return VK_ERROR_UNKNOWN;
  }
}

/// Tells an error to whom it concerns (a Device or Instance) and gives back its code.
template <class Reporter>
VkResult finish(Reporter& reporter, Status&& status) {
  return status ? VK_SUCCESS : reporter.report(status.error());
}
template <class Reporter>
VkResult finish(Reporter& reporter, Result<VkResult>&& result) {
  return result ? *result : reporter.report(result.error());
}
template <class Reporter, class T, class Out>
VkResult finish(Reporter& reporter, Result<T>&& result, Out* out) {
  if (!result) {
    *out = Out{};
    return reporter.report(result.error());
  }
  if constexpr (std::is_same_v<T, Out>)
    *out = std::move(*result);
  else
    *out = to_handle(*result);
  return VK_SUCCESS;
}

enum class Level { Global, Instance, Device };
struct Entry {
  const char* name;
  Level level;
  PFN_vkVoidFunction function;
};
constexpr auto kAnyLevel = Level::Device;

PFN_vkVoidFunction find_entry(const char* name, Level highest) {
  static const Entry kEntries[] = {
#define KILN_ENTRY(Name, LevelName) \
  {"kiln" #Name, Level::LevelName, reinterpret_cast<PFN_vkVoidFunction>(&kiln##Name)},
#include "api/entrypoints.def"
#undef KILN_ENTRY
  };
  if (name == nullptr) return nullptr;
  for (const Entry& entry : kEntries)
    if (entry.level <= highest && std::strcmp(entry.name, name) == 0) return entry.function;
  return nullptr;
}

}  // namespace

extern "C" {

// Version, layers, extensions.

VkResult kilnEnumerateInstanceVersion(uint32_t* version) {
  *version = core::kApiVersion;
  return VK_SUCCESS;
}

VkResult kilnEnumerateInstanceLayerProperties(uint32_t* count, KilnLayerProperties* properties) {
  return core::enumerate(0, count, properties != nullptr, [](std::size_t) {});
}

VkResult kilnEnumerateInstanceExtensionProperties(const char* layer, uint32_t* count,
                                                  KilnExtensionProperties* properties) {
  if (layer != nullptr) return VK_ERROR_LAYER_NOT_PRESENT;
  return core::enumerate(0, count, properties != nullptr, [](std::size_t) {});
}

PFN_vkVoidFunction kilnGetInstanceProcAddr(KilnInstance instance, const char* name) {
  return find_entry(name, instance != nullptr ? kAnyLevel : Level::Global);
}

PFN_vkVoidFunction kilnGetDeviceProcAddr(KilnDevice device, const char* name) {
  if (device == nullptr) return nullptr;
  PFN_vkVoidFunction function = find_entry(name, Level::Device);
  return function != find_entry(name, Level::Instance) ? function : nullptr;
}

// Instance.

VkResult kilnCreateInstance(const KilnInstanceCreateInfo* info,
                            const VkAllocationCallbacks* callbacks, KilnInstance* instance) {
  *instance = nullptr;
  return guarded([&] {
    auto made = core::Instance::create(*info, callbacks);
    if (!made) return made.error().code;
    *instance = to_handle(*made);
    return VK_SUCCESS;
  });
}

void kilnDestroyInstance(KilnInstance instance, const VkAllocationCallbacks* callbacks) {
  core::destroy_object(callbacks, from(instance));
}

VkResult kilnCreateDebugMessenger(KilnInstance instance, const KilnDebugMessengerCreateInfo* info,
                                  const VkAllocationCallbacks* callbacks,
                                  KilnDebugMessenger* messenger) {
  return guarded([&] {
    const VkResult result =
        finish(from(instance)->messengers(),
               core::make_object<core::DebugMessenger>(callbacks, *info), messenger);
    if (result == VK_SUCCESS) from(instance)->messengers().add(from(*messenger));
    return result;
  });
}

void kilnDestroyDebugMessenger(KilnInstance instance, KilnDebugMessenger messenger,
                               const VkAllocationCallbacks* callbacks) {
  if (messenger == nullptr) return;
  from(instance)->messengers().remove(from(messenger));
  core::destroy_object(callbacks, from(messenger));
}

// Physical devices.

VkResult kilnEnumeratePhysicalDevices(KilnInstance instance, uint32_t* count,
                                      KilnPhysicalDevice* devices) {
  return from(instance)->enumerate_physical_devices(count, devices);
}

VkResult kilnEnumerateUnusableDevices(KilnInstance instance, uint32_t* count,
                                      KilnUnusableDevice* devices) {
  return from(instance)->enumerate_unusable_devices(count, devices);
}

VkResult kilnGetPhysicalDeviceProperties(KilnPhysicalDevice device,
                                         KilnPhysicalDeviceProperties* properties) {
  return guarded([&] { return from(device)->get_properties(properties); });
}

VkResult kilnGetPhysicalDeviceMemoryProperties(KilnPhysicalDevice device,
                                               KilnPhysicalDeviceMemoryProperties* properties) {
  return from(device)->get_memory_properties(properties);
}

VkResult kilnGetPhysicalDeviceQueueFamilyProperties(KilnPhysicalDevice device, uint32_t* count,
                                                    KilnQueueFamilyProperties* properties) {
  return from(device)->get_queue_families(count, properties);
}

VkResult kilnGetPhysicalDevicePeerProperties(KilnPhysicalDevice device, KilnPhysicalDevice peer,
                                             KilnPeerProperties* properties) {
  return from(device)->get_peer_properties(*from(peer), properties);
}

// Device and queues.

VkResult kilnCreateDevice(KilnPhysicalDevice physical, const KilnDeviceCreateInfo* info,
                          const VkAllocationCallbacks* callbacks, KilnDevice* device) {
  *device = nullptr;
  return guarded([&] {
    return finish(from(physical)->instance().messengers(),
                  core::Device::create(*from(physical), *info, callbacks), device);
  });
}

void kilnDestroyDevice(KilnDevice device, const VkAllocationCallbacks* callbacks) {
  core::destroy_object(callbacks, from(device));
}

void kilnGetDeviceQueue(KilnDevice device, uint32_t family, uint32_t index, KilnQueue* queue) {
  *queue = to_handle(from(device)->queue(family, index));
}

VkResult kilnDeviceWaitIdle(KilnDevice device) {
  return guarded([&] { return finish(*from(device), from(device)->wait_idle()); });
}

VkResult kilnGetDeviceStatus(KilnDevice device) {
  return guarded([&] {
    from(device)->look_for_fault();
    return from(device)->lost() ? VK_ERROR_DEVICE_LOST : VK_SUCCESS;
  });
}

VkResult kilnGetDeviceFaultInfo(KilnDevice device, KilnDeviceFaultInfo* info) {
  return guarded([&] {
    from(device)->look_for_fault();
    return from(device)->get_fault_info(info);
  });
}

VkResult kilnGetCalibratedTimestamps(KilnDevice device, uint64_t* ticks, uint64_t* host_ns,
                                     uint64_t* deviation) {
  return guarded(
      [&] { return finish(*from(device), from(device)->get_clocks(ticks, host_ns, deviation)); });
}

VkResult kilnGetMemoryBudget(KilnDevice device, KilnMemoryBudget* budget) {
  return guarded([&] { return finish(*from(device), from(device)->get_budget(budget)); });
}

// Memory.

VkResult kilnAllocateMemory(KilnDevice device, const KilnMemoryAllocateInfo* info,
                            const VkAllocationCallbacks* callbacks, KilnMemory* memory) {
  *memory = nullptr;
  return guarded([&] {
    return finish(*from(device), core::Memory::create(*from(device), *info, callbacks), memory);
  });
}

void kilnFreeMemory(KilnDevice, KilnMemory memory, const VkAllocationCallbacks* callbacks) {
  core::destroy_object(callbacks, from(memory));
}

VkResult kilnMapMemory(KilnDevice device, KilnMemory memory, void** data) {
  return guarded([&] { return finish(*from(device), from(memory)->map(), data); });
}

VkDeviceAddress kilnGetMemoryDeviceAddress(KilnDevice, KilnMemory memory) {
  return from(memory)->allocation().address;
}

VkResult kilnMapMemoryToDevice(KilnDevice device, KilnMemory memory, KilnDevice peer) {
  return guarded([&] { return finish(*from(device), from(memory)->map_to(*from(peer))); });
}

VkResult kilnGetAddressInfo(KilnDevice device, VkDeviceAddress address, KilnAddressInfo* info) {
  return guarded([&] { return from(device)->get_address_info(address, info); });
}

VkResult kilnExportMemoryFd(KilnDevice device, KilnMemory memory, int* fd) {
  return guarded([&] {
    auto exported = from(memory)->export_fd();
    *fd = exported ? *exported : -1;
    return exported ? VK_SUCCESS : from(device)->report(exported.error());
  });
}

// Modules and kernels.

VkResult kilnCreateModule(KilnDevice device, const KilnModuleCreateInfo* info,
                          const VkAllocationCallbacks* callbacks, KilnModule* module) {
  *module = nullptr;
  return guarded([&] {
    return finish(*from(device), core::Module::create(*from(device), *info, callbacks), module);
  });
}

void kilnDestroyModule(KilnDevice, KilnModule module, const VkAllocationCallbacks* callbacks) {
  core::destroy_object(callbacks, from(module));
}

VkResult kilnEnumerateModuleKernels(KilnModule module, uint32_t* count, const char** names) {
  return from(module)->enumerate_kernels(count, names);
}

VkResult kilnGetModuleKernel(KilnModule module, const char* name, KilnKernel* kernel) {
  *kernel = nullptr;
  return guarded(
      [&] { return finish(from(module)->device(), from(module)->find_kernel(name), kernel); });
}

VkResult kilnGetModuleGlobal(KilnModule module, const char* name, VkDeviceAddress* address,
                             VkDeviceSize* size) {
  return guarded([&] {
    return finish(from(module)->device(), from(module)->find_global(name, address, size));
  });
}

VkResult kilnGetKernelProperties(KilnKernel kernel, KilnKernelProperties* properties) {
  return from(kernel)->get_properties(properties);
}

VkResult kilnGetKernelArguments(KilnKernel kernel, uint32_t* count, KilnKernelArgument* arguments) {
  return from(kernel)->get_arguments(count, arguments);
}

VkResult kilnGetKernelOccupancy(KilnKernel kernel, uint32_t invocations, VkDeviceSize dynamic_lds,
                                uint32_t* workgroups) {
  return guarded([&] {
    return finish(from(kernel)->device(), from(kernel)->get_occupancy(invocations, dynamic_lds),
                  workgroups);
  });
}

// Command pools and buffers.

VkResult kilnCreateCommandPool(KilnDevice device, const KilnCommandPoolCreateInfo* info,
                               const VkAllocationCallbacks* callbacks, KilnCommandPool* pool) {
  *pool = nullptr;
  return guarded([&] {
    return finish(*from(device), core::CommandPool::create(*from(device), *info, callbacks), pool);
  });
}

void kilnDestroyCommandPool(KilnDevice, KilnCommandPool pool,
                            const VkAllocationCallbacks* callbacks) {
  core::destroy_object(callbacks, from(pool));
}

VkResult kilnResetCommandPool(KilnDevice device, KilnCommandPool pool) {
  return guarded([&] { return finish(*from(device), from(pool)->reset()); });
}

VkResult kilnAllocateCommandBuffers(KilnDevice device, const KilnCommandBufferAllocateInfo* info,
                                    KilnCommandBuffer* buffers) {
  return guarded([&] {
    return finish(*from(device),
                  from(info->commandPool)->allocate_buffers(info->commandBufferCount, buffers));
  });
}

void kilnFreeCommandBuffers(KilnDevice, KilnCommandPool pool, uint32_t count,
                            const KilnCommandBuffer* buffers) {
  from(pool)->free_buffers(count, buffers);
}

VkResult kilnBeginCommandBuffer(KilnCommandBuffer buffer, const KilnCommandBufferBeginInfo*) {
  return guarded([&] { return finish(from(buffer)->device(), from(buffer)->begin()); });
}

VkResult kilnEndCommandBuffer(KilnCommandBuffer buffer) {
  return guarded([&] { return finish(from(buffer)->device(), from(buffer)->end()); });
}

VkResult kilnResetCommandBuffer(KilnCommandBuffer buffer) {
  return guarded([&] { return finish(from(buffer)->device(), from(buffer)->reset()); });
}

VkResult kilnGetCommandBufferStatistics(KilnCommandBuffer buffer,
                                        KilnCommandBufferStatistics* statistics) {
  return from(buffer)->get_statistics(statistics);
}

VkResult kilnCmdDispatch(KilnCommandBuffer buffer, const KilnDispatchInfo* info) {
  return guarded([&] { return finish(from(buffer)->device(), from(buffer)->dispatch(*info, 0)); });
}

VkResult kilnCmdDispatchIndirect(KilnCommandBuffer buffer, const KilnDispatchInfo* info,
                                 VkDeviceAddress address) {
  return guarded(
      [&] { return finish(from(buffer)->device(), from(buffer)->dispatch(*info, address)); });
}

VkResult kilnCmdCopyMemory(KilnCommandBuffer buffer, VkDeviceAddress destination,
                           VkDeviceAddress source, VkDeviceSize size) {
  return guarded([&] {
    return finish(from(buffer)->device(), from(buffer)->copy(destination, source, size));
  });
}

VkResult kilnCmdCopyMemoryRect(KilnCommandBuffer buffer, const KilnCopyRectInfo* info) {
  return guarded([&] { return finish(from(buffer)->device(), from(buffer)->copy_rect(*info)); });
}

VkResult kilnCmdFillMemory(KilnCommandBuffer buffer, VkDeviceAddress destination, VkDeviceSize size,
                           uint64_t pattern, uint32_t pattern_size) {
  return guarded([&] {
    return finish(from(buffer)->device(),
                  from(buffer)->fill(destination, size, pattern, pattern_size));
  });
}

VkResult kilnCmdUpdateMemory(KilnCommandBuffer buffer, VkDeviceAddress destination,
                             VkDeviceSize size, const void* data) {
  return guarded([&] {
    return finish(from(buffer)->device(), from(buffer)->update(destination, size, data));
  });
}

VkResult kilnCmdBarrier(KilnCommandBuffer buffer, const KilnBarrierInfo* info) {
  return guarded([&] { return finish(from(buffer)->device(), from(buffer)->barrier(info)); });
}

VkResult kilnCmdWriteTimestamp(KilnCommandBuffer buffer, VkDeviceAddress address) {
  return guarded(
      [&] { return finish(from(buffer)->device(), from(buffer)->write_timestamp(address)); });
}

VkResult kilnCmdWriteValue(KilnCommandBuffer buffer, VkDeviceAddress address, uint64_t value) {
  return guarded(
      [&] { return finish(from(buffer)->device(), from(buffer)->write_value(address, value)); });
}

VkResult kilnCmdWaitValue(KilnCommandBuffer buffer, VkDeviceAddress address, uint64_t value) {
  return guarded(
      [&] { return finish(from(buffer)->device(), from(buffer)->wait_value(address, value)); });
}

// Semaphores and submission.

VkResult kilnCreateSemaphore(KilnDevice device, const KilnSemaphoreCreateInfo* info,
                             const VkAllocationCallbacks* callbacks, KilnSemaphore* semaphore) {
  *semaphore = nullptr;
  return guarded([&] {
    return finish(*from(device), core::Semaphore::create(*from(device), *info, callbacks),
                  semaphore);
  });
}

void kilnDestroySemaphore(KilnDevice, KilnSemaphore semaphore,
                          const VkAllocationCallbacks* callbacks) {
  core::destroy_object(callbacks, from(semaphore));
}

VkResult kilnGetSemaphoreCounterValue(KilnDevice device, KilnSemaphore semaphore, uint64_t* value) {
  *value = from(semaphore)->value();
  return from(device)->lost() ? VK_ERROR_DEVICE_LOST : VK_SUCCESS;
}

VkDeviceAddress kilnGetSemaphoreDeviceAddress(KilnDevice, KilnSemaphore semaphore) {
  return from(semaphore)->payload().address;
}

VkResult kilnWaitSemaphores(KilnDevice device, const KilnSemaphoreWaitInfo* info,
                            uint64_t timeout) {
  return guarded(
      [&] { return finish(*from(device), core::wait_semaphores(*from(device), *info, timeout)); });
}

VkResult kilnSignalSemaphore(KilnDevice device, KilnSemaphore semaphore, uint64_t value) {
  return guarded([&] { return finish(*from(device), from(semaphore)->signal_from_host(value)); });
}

VkResult kilnQueueSubmit(KilnQueue queue, uint32_t count, const KilnSubmitInfo* submits) {
  return guarded(
      [&] { return finish(from(queue)->device(), from(queue)->submit(count, submits)); });
}

VkResult kilnQueueWaitIdle(KilnQueue queue) {
  return guarded([&] { return finish(from(queue)->device(), from(queue)->wait_idle()); });
}

VkResult kilnGetQueueStatistics(KilnQueue queue, KilnQueueStatistics* statistics) {
  return from(queue)->get_statistics(statistics);
}

}  // extern "C"

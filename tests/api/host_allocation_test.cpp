// Owns: tests of VkAllocationCallbacks: calls in pairs, alignment, failure at every call.
// Does not own: what objects do.
// Threading: none.
#include <cstdlib>
#include <map>

#include "fixture.hpp"

namespace api_test {
namespace {

/// Callbacks that count, and fail at call number `fail_at` (from 1; 0: never).
class Host {
 public:
  explicit Host(std::uint32_t fail_at = 0) : fail_at_(fail_at) {
    callbacks_.pUserData = this;
    callbacks_.pfnAllocation = &allocate;
    callbacks_.pfnReallocation = &reallocate;
    callbacks_.pfnFree = &free;
  }
  const VkAllocationCallbacks* callbacks() const { return &callbacks_; }
  std::uint32_t calls() const { return calls_; }
  bool failed() const { return failed_; }
  std::size_t live() const { return live_.size(); }

 private:
  static void* allocate(void* self, std::size_t size, std::size_t alignment,
                        VkSystemAllocationScope) {
    auto& host = *static_cast<Host*>(self);
    if (++host.calls_ == host.fail_at_) {
      host.failed_ = true;
      return nullptr;
    }
    EXPECT_EQ(alignment & (alignment - 1), 0u);
    void* memory = std::aligned_alloc(std::max<std::size_t>(alignment, sizeof(void*)),
                                      (size + alignment - 1) / alignment * alignment);
    host.live_[memory] = size;
    return memory;
  }
  static void* reallocate(void*, void*, std::size_t, std::size_t, VkSystemAllocationScope) {
    ADD_FAILURE() << "nothing of Kiln's grows";
    return nullptr;
  }
  static void free(void* self, void* memory) {
    if (memory == nullptr) return;
    EXPECT_EQ(static_cast<Host*>(self)->live_.erase(memory), 1u) << "not from these callbacks";
    std::free(memory);
  }

  VkAllocationCallbacks callbacks_{};
  std::uint32_t fail_at_, calls_ = 0;
  bool failed_ = false;
  std::map<void*, std::size_t> live_;
};

void ignore_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkResult, const char*, void*) {}

/// Makes one of everything with `host` and takes it all down again. The first error, or success.
VkResult make_everything(Host& host, const char* spec) {
  const VkAllocationCallbacks* callbacks = host.callbacks();
  const char* target = std::string(spec) == "mi300x" ? "gfx942" : "gfx1100";
  const std::vector<std::byte> code = tools::read_file(probe_path(target));

  auto instance_info = make<KilnInstanceCreateInfo>(KILN_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
  instance_info.pVirtualGpu = spec;
  auto messenger_info =
      make<KilnDebugMessengerCreateInfo>(KILN_STRUCTURE_TYPE_DEBUG_MESSENGER_CREATE_INFO);
  messenger_info.callback = &ignore_message;
  auto queue_info = make<KilnDeviceQueueCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
  queue_info.queueCount = 1;
  auto device_info = make<KilnDeviceCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  device_info.queueCreateInfoCount = 1;
  device_info.pQueueCreateInfos = &queue_info;
  auto memory_info = make<KilnMemoryAllocateInfo>(KILN_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
  memory_info.size = 4096;
  auto module_info = make<KilnModuleCreateInfo>(KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO);
  module_info.codeSize = code.size();
  module_info.pCode = code.data();
  auto pool_info = make<KilnCommandPoolCreateInfo>(KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
  auto semaphore_info = make<KilnSemaphoreCreateInfo>(KILN_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO);

  KilnInstance instance = nullptr;
  KilnDebugMessenger messenger = nullptr;
  KilnDevice device = nullptr;
  KilnMemory memory = nullptr;
  KilnModule module = nullptr;
  KilnCommandPool pool = nullptr;
  KilnCommandBuffer buffers[3] = {};
  KilnSemaphore semaphore = nullptr;
  std::uint64_t free_before = 0;
  auto budget = make<KilnMemoryBudget>(KILN_STRUCTURE_TYPE_MEMORY_BUDGET);

  VkResult result = [&] {
    VkResult step = kilnCreateInstance(&instance_info, callbacks, &instance);
    if (step != VK_SUCCESS) return step;
    step = kilnCreateDebugMessenger(instance, &messenger_info, callbacks, &messenger);
    if (step != VK_SUCCESS) return step;
    KilnPhysicalDevice gpu = nullptr;
    std::uint32_t one = 1;
    kilnEnumeratePhysicalDevices(instance, &one, &gpu);
    step = kilnCreateDevice(gpu, &device_info, callbacks, &device);
    if (step != VK_SUCCESS) return step;
    kilnGetMemoryBudget(device, &budget);
    free_before = budget.heapBudget[0];
    step = kilnAllocateMemory(device, &memory_info, callbacks, &memory);
    if (step != VK_SUCCESS) return step;
    step = kilnCreateModule(device, &module_info, callbacks, &module);
    if (step != VK_SUCCESS) return step;
    step = kilnCreateCommandPool(device, &pool_info, callbacks, &pool);
    if (step != VK_SUCCESS) return step;
    auto allocate_info =
        make<KilnCommandBufferAllocateInfo>(KILN_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
    allocate_info.commandPool = pool;
    allocate_info.commandBufferCount = 3;
    step = kilnAllocateCommandBuffers(device, &allocate_info, buffers);
    if (step != VK_SUCCESS) {
      for (KilnCommandBuffer buffer : buffers) EXPECT_EQ(buffer, nullptr);
      return step;
    }
    kilnFreeCommandBuffers(device, pool, 1, buffers);
    return kilnCreateSemaphore(device, &semaphore_info, callbacks, &semaphore);
  }();
  if (device != nullptr) {
    kilnDestroySemaphore(device, semaphore, callbacks);
    kilnDestroyCommandPool(device, pool, callbacks);
    kilnDestroyModule(device, module, callbacks);
    kilnFreeMemory(device, memory, callbacks);
    kilnGetMemoryBudget(device, &budget);
    EXPECT_EQ(budget.heapBudget[0], free_before) << "GPU memory leaked";
    kilnDestroyDevice(device, callbacks);
  }
  if (instance != nullptr) kilnDestroyDebugMessenger(instance, messenger, callbacks);
  kilnDestroyInstance(instance, callbacks);
  return result;
}

class HostAllocation : public EachGpu {};
KILN_EACH_RING(HostAllocation);

TEST_P(HostAllocation, CallsComeInPairs) {
  Host host;
  EXPECT_EQ(make_everything(host, GetParam()), VK_SUCCESS);
  // Instance, messenger, device, memory, module, pool, three command buffers, semaphore.
  EXPECT_GE(host.calls(), 10u);
  EXPECT_EQ(host.live(), 0u);
}

TEST_P(HostAllocation, FailureAtAnyCallIsReportedAndLeaksNothing) {
  for (std::uint32_t fail_at = 1;; ++fail_at) {
    Host host(fail_at);
    const VkResult result = make_everything(host, GetParam());
    EXPECT_EQ(host.live(), 0u) << "call " << fail_at;
    if (!host.failed()) {
      EXPECT_EQ(result, VK_SUCCESS);
      EXPECT_GE(fail_at, 10u);
      break;
    }
    EXPECT_EQ(result, VK_ERROR_OUT_OF_HOST_MEMORY) << "call " << fail_at;
  }
}

}  // namespace
}  // namespace api_test

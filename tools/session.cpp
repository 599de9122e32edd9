#include "session.hpp"

#include <fstream>
#include <iterator>
#include <utility>

namespace tools {

void Instance::on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkResult,
                          const char* text, void* self) {
  if (severity < VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT) return;
  std::string& messages = static_cast<Instance*>(self)->messages_;
  messages += (messages.empty() ? "" : "; ") + std::string(text);
}

Instance::Instance(const char* virtual_gpu) {
  KilnDebugMessengerCreateInfo messenger{};
  messenger.sType = KILN_STRUCTURE_TYPE_DEBUG_MESSENGER_CREATE_INFO;
  messenger.severities = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  messenger.callback = &on_message;
  messenger.pUserData = this;
  KilnInstanceCreateInfo info{};
  info.sType = KILN_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pNext = &messenger;
  info.pVirtualGpu = virtual_gpu;
  if (kilnCreateInstance(&info, nullptr, &handle_) != VK_SUCCESS) return;
  kilnCreateDebugMessenger(handle_, &messenger, nullptr, &messenger_);

  std::uint32_t count = 0;
  kilnEnumeratePhysicalDevices(handle_, &count, nullptr);
  gpus_.resize(count);
  kilnEnumeratePhysicalDevices(handle_, &count, gpus_.data());
  kilnEnumerateUnusableDevices(handle_, &count, nullptr);
  unusable_.resize(count);
  for (auto& unusable : unusable_) unusable.sType = KILN_STRUCTURE_TYPE_UNUSABLE_DEVICE;
  kilnEnumerateUnusableDevices(handle_, &count, unusable_.data());
}

Instance::~Instance() {
  if (handle_ == nullptr) return;
  kilnDestroyDebugMessenger(handle_, messenger_, nullptr);
  kilnDestroyInstance(handle_, nullptr);
}

std::string Instance::take_messages() {
  return std::exchange(messages_, {});
}

void Instance::check(VkResult result, const char* what) {
  if (result == VK_SUCCESS) return;
  std::string text = take_messages();
  if (text.empty())
    text = result == VK_TIMEOUT ? "it took too long" : "result " + std::to_string(result);
  throw Failure(result, std::string(what) + ": " + text);
}

Buffer::Buffer(Buffer&& from) noexcept {
  *this = std::move(from);
}

Buffer& Buffer::operator=(Buffer&& from) noexcept {
  std::swap(device, from.device);
  std::swap(memory, from.memory);
  std::swap(address, from.address);
  std::swap(host, from.host);
  std::swap(size, from.size);
  return *this;
}

Buffer::~Buffer() {
  if (memory != nullptr) kilnFreeMemory(device, memory, nullptr);
}

Device::Device(Instance& instance, KilnPhysicalDevice gpu, std::uint64_t watchdog_ns)
    : instance_(instance) {
  properties_.sType = KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES;
  check(kilnGetPhysicalDeviceProperties(gpu, &properties_), "reading the GPU's properties");
  std::uint32_t families = 0;
  kilnGetPhysicalDeviceQueueFamilyProperties(gpu, &families, nullptr);
  KilnDeviceQueueCreateInfo queues[2]{};
  for (std::uint32_t i = 0; i < 2; ++i) {
    queues[i].sType = KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queues[i].queueFamilyIndex = i;  // compute is family 0; SDMA, where there is one, family 1
    queues[i].queueCount = 1;
  }
  KilnDeviceCreateInfo info{};
  info.sType = KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.queueCreateInfoCount = families > 1 ? 2 : 1;
  info.pQueueCreateInfos = queues;
  info.watchdogTimeoutNs = watchdog_ns;
  check(kilnCreateDevice(gpu, &info, nullptr, &handle_), "opening the GPU");
  kilnGetDeviceQueue(handle_, 0, 0, &compute_);
  if (families > 1) kilnGetDeviceQueue(handle_, 1, 0, &sdma_);

  for (std::uint32_t i = 0; i < info.queueCreateInfoCount; ++i) {
    KilnCommandPoolCreateInfo pool{};
    pool.sType = KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    pool.queueFamilyIndex = i;
    check(kilnCreateCommandPool(handle_, &pool, nullptr, &pools_[i]), "making a command pool");
    KilnCommandBufferAllocateInfo buffer{};
    buffer.sType = KILN_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    buffer.commandPool = pools_[i];
    buffer.commandBufferCount = 1;
    check(kilnAllocateCommandBuffers(handle_, &buffer, &buffers_[i]), "making a command buffer");
  }
  KilnSemaphoreCreateInfo semaphore{};
  semaphore.sType = KILN_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  check(kilnCreateSemaphore(handle_, &semaphore, nullptr, &timeline_), "making a semaphore");
}

Device::~Device() {
  kilnDestroySemaphore(handle_, timeline_, nullptr);
  for (KilnCommandPool pool : pools_) kilnDestroyCommandPool(handle_, pool, nullptr);
  kilnDestroyDevice(handle_, nullptr);
}

Buffer Device::allocate(std::size_t size, MemoryType type) {
  Buffer buffer;
  KilnMemoryAllocateInfo info{};
  info.sType = KILN_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  info.size = size;
  info.memoryTypeIndex = type;
  check(kilnAllocateMemory(handle_, &info, nullptr, &buffer.memory), "allocating memory");
  buffer.device = handle_;
  buffer.size = size;
  buffer.address = kilnGetMemoryDeviceAddress(handle_, buffer.memory);
  if (type != kDeviceLocal) {
    void* host = nullptr;
    check(kilnMapMemory(handle_, buffer.memory, &host), "mapping memory");
    buffer.host = static_cast<std::byte*>(host);
  }
  return buffer;
}

KilnModule Device::load(std::span<const std::byte> code) {
  KilnModuleCreateInfo info{};
  info.sType = KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO;
  info.codeSize = code.size();
  info.pCode = code.data();
  KilnModule module = nullptr;
  check(kilnCreateModule(handle_, &info, nullptr, &module), "loading a code object");
  return module;
}

KilnKernel Device::kernel(KilnModule module, const char* name) {
  KilnKernel kernel = nullptr;
  check(kilnGetModuleKernel(module, name, &kernel), "finding a kernel");
  return kernel;
}

KilnCommandBuffer Device::begin(bool sdma) {
  check(kilnBeginCommandBuffer(buffers_[sdma], nullptr), "beginning a command buffer");
  return buffers_[sdma];
}

std::uint64_t Device::submit(KilnCommandBuffer commands, bool sdma, std::uint64_t wait_for) {
  check(kilnEndCommandBuffer(commands), "recording");
  const KilnSemaphoreValue wait{timeline_, wait_for}, signal{timeline_, value_ + 1};
  KilnSubmitInfo info{};
  info.sType = KILN_STRUCTURE_TYPE_SUBMIT_INFO;
  info.waitCount = wait_for != 0 ? 1 : 0;
  info.pWaits = &wait;
  info.commandBufferCount = 1;
  info.pCommandBuffers = &commands;
  info.signalCount = 1;
  info.pSignals = &signal;
  check(kilnQueueSubmit(sdma ? sdma_ : compute_, 1, &info), "submitting");
  return ++value_;
}

void Device::wait(std::uint64_t value, std::uint64_t timeout_ns) {
  KilnSemaphoreWaitInfo info{};
  info.sType = KILN_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  info.semaphoreCount = 1;
  info.pSemaphores = &timeline_;
  info.pValues = &value;
  check(kilnWaitSemaphores(handle_, &info, timeout_ns), "waiting for the GPU");
}

void Device::submit_and_wait(KilnCommandBuffer commands, bool sdma, std::uint64_t timeout_ns) {
  wait(submit(commands, sdma), timeout_ns);
}

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Failure(VK_ERROR_UNKNOWN, "cannot read " + path);
  const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::byte> bytes(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) bytes[i] = static_cast<std::byte>(text[i]);
  return bytes;
}

}  // namespace tools

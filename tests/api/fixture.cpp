// Owns: see fixture.hpp.
// Does not own: see fixture.hpp.
// Threading: see fixture.hpp.
#include "fixture.hpp"

#include <cstdlib>
#include <cstring>
#include <utility>

namespace api_test {

std::uint32_t repeats() {
  const char* text = std::getenv("KILN_TEST_REPEAT");
  return text != nullptr ? static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10)) : 300;
}

void Machine::hear(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkResult result,
                   const char* text, void* self) {
  auto* machine = static_cast<Machine*>(self);
  std::lock_guard lock(machine->mutex_);
  machine->messages_.push_back({severity, result, text});
}

Machine::Machine(const std::string& spec) {
  auto messenger =
      make<KilnDebugMessengerCreateInfo>(KILN_STRUCTURE_TYPE_DEBUG_MESSENGER_CREATE_INFO);
  messenger.severities = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
                         VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT;
  messenger.callback = &hear;
  messenger.pUserData = this;
  auto info = make<KilnInstanceCreateInfo>(KILN_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
  info.pNext = &messenger;
  info.pVirtualGpu = spec.c_str();
  check(kilnCreateInstance(&info, nullptr, &instance_), "making an instance");
  check(kilnCreateDebugMessenger(instance_, &messenger, nullptr, &messenger_),
        "making a messenger");
  std::uint32_t count = 0;
  kilnEnumeratePhysicalDevices(instance_, &count, nullptr);
  gpus_.resize(count);
  kilnEnumeratePhysicalDevices(instance_, &count, gpus_.data());
}

Machine::~Machine() {
  if (instance_ == nullptr) return;
  kilnDestroyDebugMessenger(instance_, messenger_, nullptr);
  kilnDestroyInstance(instance_, nullptr);
}

std::vector<Message> Machine::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(messages_, {});
}

std::string Machine::said() {
  std::string all;
  for (const Message& message : take()) all += message.text + "\n";
  return all;
}

void Machine::check(VkResult result, const char* what) {
  if (result >= 0 && result != VK_TIMEOUT) return;
  throw std::runtime_error(std::string(what) + ": result " + std::to_string(result) + ": " +
                           said());
}

Device::Device(Machine& machine, KilnPhysicalDevice gpu, const DeviceOptions& options)
    : machine_(machine) {
  if (gpu == nullptr) gpu = machine.gpu();
  properties_ = make<KilnPhysicalDeviceProperties>(KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES);
  check(kilnGetPhysicalDeviceProperties(gpu, &properties_), "reading properties");
  KilnDeviceQueueCreateInfo queues[2] = {
      make<KilnDeviceQueueCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO),
      make<KilnDeviceQueueCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO)};
  queues[0].queueCount = options.compute_queues;
  queues[1].queueFamilyIndex = 1;
  queues[1].queueCount = options.sdma_queues;
  auto info = make<KilnDeviceCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  info.queueCreateInfoCount = 2;
  info.pQueueCreateInfos = queues;
  info.watchdogTimeoutNs = options.watchdog_ns;
  check(kilnCreateDevice(gpu, &info, nullptr, &handle_), "opening the GPU");
  for (std::uint32_t family = 0; family < 2; ++family) {
    auto pool = make<KilnCommandPoolCreateInfo>(KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
    pool.queueFamilyIndex = family;
    check(kilnCreateCommandPool(handle_, &pool, nullptr, &pools_[family]), "making a pool");
  }
  own_ = semaphore();
}

Device::~Device() {
  for (KilnSemaphore semaphore : semaphores_) kilnDestroySemaphore(handle_, semaphore, nullptr);
  for (auto& [path, module] : modules_) kilnDestroyModule(handle_, module, nullptr);
  for (KilnCommandPool pool : pools_) kilnDestroyCommandPool(handle_, pool, nullptr);
  kilnDestroyDevice(handle_, nullptr);
}

KilnQueue Device::queue(std::uint32_t family, std::uint32_t index) const {
  KilnQueue queue = nullptr;
  kilnGetDeviceQueue(handle_, family, index, &queue);
  return queue;
}

Buffer Device::allocate(std::size_t bytes, MemoryType type,
                        std::initializer_list<KilnDevice> peers) {
  Buffer buffer;
  auto info = make<KilnMemoryAllocateInfo>(KILN_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
  info.size = bytes;
  info.memoryTypeIndex = type;
  info.peerDeviceCount = static_cast<std::uint32_t>(peers.size());
  info.pPeerDevices = peers.begin();
  check(kilnAllocateMemory(handle_, &info, nullptr, &buffer.memory), "allocating memory");
  buffer.device = handle_;
  buffer.size = bytes;
  buffer.address = kilnGetMemoryDeviceAddress(handle_, buffer.memory);
  if (type != kDeviceLocal) {
    void* host = nullptr;
    check(kilnMapMemory(handle_, buffer.memory, &host), "mapping memory");
    buffer.host = static_cast<std::byte*>(host);
  }
  return buffer;
}

KilnCommandBuffer Device::command_buffer(std::uint32_t family) {
  auto info = make<KilnCommandBufferAllocateInfo>(KILN_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
  info.commandPool = pools_[family];
  info.commandBufferCount = 1;
  KilnCommandBuffer commands = nullptr;
  check(kilnAllocateCommandBuffers(handle_, &info, &commands), "making a command buffer");
  return commands;
}

KilnCommandBuffer Device::record(std::uint32_t family) {
  KilnCommandBuffer commands = command_buffer(family);
  check(kilnBeginCommandBuffer(commands, nullptr), "beginning a command buffer");
  return commands;
}

KilnSemaphore Device::semaphore(std::uint64_t initial, std::initializer_list<KilnDevice> peers,
                                VkFlags flags) {
  auto info = make<KilnSemaphoreCreateInfo>(KILN_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO);
  info.flags = flags;
  info.initialValue = initial;
  info.peerDeviceCount = static_cast<std::uint32_t>(peers.size());
  info.pPeerDevices = peers.begin();
  KilnSemaphore semaphore = nullptr;
  check(kilnCreateSemaphore(handle_, &info, nullptr, &semaphore), "making a semaphore");
  semaphores_.push_back(semaphore);
  return semaphore;
}

VkResult Device::try_submit(KilnQueue queue, Values waits, Commands commands, Values signals) {
  auto info = make<KilnSubmitInfo>(KILN_STRUCTURE_TYPE_SUBMIT_INFO);
  info.waitCount = static_cast<std::uint32_t>(waits.size());
  info.pWaits = waits.begin();
  info.commandBufferCount = static_cast<std::uint32_t>(commands.size());
  info.pCommandBuffers = commands.begin();
  info.signalCount = static_cast<std::uint32_t>(signals.size());
  info.pSignals = signals.begin();
  return kilnQueueSubmit(queue, 1, &info);
}

VkResult Device::wait(KilnSemaphore semaphore, std::uint64_t value, std::uint64_t timeout_ns) {
  auto info = make<KilnSemaphoreWaitInfo>(KILN_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO);
  info.semaphoreCount = 1;
  info.pSemaphores = &semaphore;
  info.pValues = &value;
  return kilnWaitSemaphores(handle_, &info, timeout_ns);
}

std::uint64_t Device::counter(KilnSemaphore semaphore) {
  std::uint64_t value = 0;
  kilnGetSemaphoreCounterValue(handle_, semaphore, &value);
  return value;
}

VkResult Device::run(KilnQueue queue, KilnCommandBuffer commands) {
  end(commands);
  ++own_value_;
  if (VkResult result = try_submit(queue, {}, {commands}, {{own_, own_value_}});
      result != VK_SUCCESS)
    return result;
  return wait(own_, own_value_);
}

KilnQueueStatistics Device::statistics(KilnQueue queue) const {
  auto statistics = make<KilnQueueStatistics>(KILN_STRUCTURE_TYPE_QUEUE_STATISTICS);
  kilnGetQueueStatistics(queue, &statistics);
  return statistics;
}

KilnModule Device::load(const std::string& path) {
  for (auto& [known, module] : modules_)
    if (known == path) return module;
  const std::vector<std::byte> code = tools::read_file(path);
  auto info = make<KilnModuleCreateInfo>(KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO);
  info.codeSize = code.size();
  info.pCode = code.data();
  KilnModule module = nullptr;
  check(kilnCreateModule(handle_, &info, nullptr, &module), "loading a code object");
  modules_.emplace_back(path, module);
  return module;
}

KilnKernel Device::probe(const char* name) {
  KilnKernel kernel = nullptr;
  check(kilnGetModuleKernel(load(probe_path(properties_.targetName)), name, &kernel),
        "finding a kernel");
  return kernel;
}

KilnKernel Device::kernel(const char* file, const char* name) {
  KilnKernel kernel = nullptr;
  check(kilnGetModuleKernel(load(kernel_path(properties_.targetName, file)), name, &kernel),
        "finding a kernel");
  return kernel;
}

void Arguments::put(const void* value, std::size_t size) {
  const std::size_t at = (bytes_.size() + size - 1) / size * size;
  bytes_.resize(at + size);
  std::memcpy(bytes_.data() + at, value, size);
}

KilnDispatchInfo dispatch_info(KilnKernel kernel, std::uint32_t groups, std::uint32_t group_size,
                               const Arguments& arguments) {
  auto info = make<KilnDispatchInfo>(KILN_STRUCTURE_TYPE_DISPATCH_INFO);
  info.kernel = kernel;
  info.workgroupCount[0] = groups;
  info.workgroupSize[0] = group_size;
  for (int i = 1; i < 3; ++i) info.workgroupCount[i] = info.workgroupSize[i] = 1;
  info.argumentsSize = arguments.size();
  info.pArguments = arguments.data();
  return info;
}

void dispatch(Device& device, KilnCommandBuffer commands, KilnKernel kernel, std::uint32_t groups,
              std::uint32_t group_size, const Arguments& arguments) {
  const KilnDispatchInfo info = dispatch_info(kernel, groups, group_size, arguments);
  device.check(kilnCmdDispatch(commands, &info), "recording a dispatch");
}

void barrier(Device& device, KilnCommandBuffer commands, KilnScope scope) {
  auto info = make<KilnBarrierInfo>(KILN_STRUCTURE_TYPE_BARRIER_INFO);
  info.srcStages = info.dstStages = KILN_STAGE_ALL_BIT;
  info.srcAccess = info.dstAccess = KILN_ACCESS_READ_BIT | KILN_ACCESS_WRITE_BIT;
  info.scope = scope;
  device.check(kilnCmdBarrier(commands, &info), "recording a barrier");
}

std::string kernel_path(const char* target, const char* file) {
  return std::string(KILN_KERNEL_DIRECTORY) + "/" + target + "/" + file + ".hsaco";
}

std::string probe_path(const char* target) {
  return std::string(KILN_PROBE_DIRECTORY) + "/probes." + target + ".hsaco";
}

std::span<std::uint32_t> words(const Buffer& buffer) {
  return {reinterpret_cast<std::uint32_t*>(buffer.host), buffer.size / 4};
}

void scramble(std::span<std::byte> bytes, std::uint32_t seed) {
  // An odd multiplier makes a permutation of the 32-bit words.
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint32_t word = (static_cast<std::uint32_t>(i / 4) + seed) * 2654435761u + seed;
    bytes[i] = static_cast<std::byte>(word >> (8 * (i % 4)));
  }
}

}  // namespace api_test

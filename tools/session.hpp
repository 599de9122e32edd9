// Owns: what every tool does with Kiln's API before its own work: instance, device, queues, memory,
//   modules, one submission and its wait, with errors as exceptions that carry the messenger's
//   text.
// Does not own: the tools.
// Threading: one thread.
#pragma once

#include <kiln/kiln.h>

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace tools {

/// A call of Kiln's that failed, with what the messenger said.
struct Failure : std::runtime_error {
  Failure(VkResult code, const std::string& text) : std::runtime_error(text), result(code) {}
  VkResult result;
};

class Instance {
 public:
  /// `virtual_gpu` as KilnInstanceCreateInfo's; null: as the environment says.
  explicit Instance(const char* virtual_gpu = nullptr);
  ~Instance();
  Instance(const Instance&) = delete;

  bool ok() const { return handle_ != nullptr; }
  const std::string& error() const { return messages_; }
  KilnInstance handle() const { return handle_; }
  const std::vector<KilnPhysicalDevice>& gpus() const { return gpus_; }
  const std::vector<KilnUnusableDevice>& unusable() const { return unusable_; }
  /// Throws Failure with what was told since the last call, if `result` is an error.
  void check(VkResult result, const char* what);
  std::string take_messages();

 private:
  static void on_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkResult, const char* text,
                         void* self);

  std::string messages_;
  KilnInstance handle_ = nullptr;
  KilnDebugMessenger messenger_ = nullptr;
  std::vector<KilnPhysicalDevice> gpus_;
  std::vector<KilnUnusableDevice> unusable_;
};

/// An allocation that frees itself.
struct Buffer {
  KilnDevice device = nullptr;
  KilnMemory memory = nullptr;
  VkDeviceAddress address = 0;
  std::byte* host = nullptr;
  std::size_t size = 0;

  Buffer() = default;
  Buffer(Buffer&& from) noexcept;
  Buffer& operator=(Buffer&& from) noexcept;
  ~Buffer();
};

/// Indices into the memory types of every device (kiln.h, kilnGetPhysicalDeviceMemoryProperties).
enum MemoryType : std::uint32_t { kDeviceLocal, kDeviceVisible, kHostCached, kHostUncached };

class Device {
 public:
  /// With one compute queue and, where the GPU has engines, one SDMA queue.
  Device(Instance& instance, KilnPhysicalDevice gpu, std::uint64_t watchdog_ns = 0);
  ~Device();
  Device(const Device&) = delete;

  Instance& instance() { return instance_; }
  KilnDevice handle() const { return handle_; }
  const KilnPhysicalDeviceProperties& properties() const { return properties_; }
  KilnQueue compute() const { return compute_; }
  KilnQueue sdma() const { return sdma_; }
  bool has_sdma() const { return sdma_ != nullptr; }
  void check(VkResult result, const char* what) { instance_.check(result, what); }

  Buffer allocate(std::size_t size, MemoryType type);
  KilnModule load(std::span<const std::byte> code);
  KilnKernel kernel(KilnModule module, const char* name);
  void unload(KilnModule module) { kilnDestroyModule(handle_, module, nullptr); }

  /// A command buffer for the compute or the SDMA queue, in recording state; one of each kind.
  KilnCommandBuffer begin(bool sdma = false);
  /// Ends, submits and waits. Throws Failure; VK_TIMEOUT too.
  void submit_and_wait(KilnCommandBuffer commands, bool sdma = false,
                       std::uint64_t timeout_ns = 60'000'000'000);
  /// Ends and submits, signalling the timeline to its next value, which is returned.
  std::uint64_t submit(KilnCommandBuffer commands, bool sdma = false, std::uint64_t wait_for = 0);
  void wait(std::uint64_t value, std::uint64_t timeout_ns);

 private:
  Instance& instance_;
  KilnPhysicalDeviceProperties properties_{};
  KilnDevice handle_ = nullptr;
  KilnQueue compute_ = nullptr, sdma_ = nullptr;
  KilnCommandPool pools_[2] = {};
  KilnCommandBuffer buffers_[2] = {};
  KilnSemaphore timeline_ = nullptr;
  std::uint64_t value_ = 0;
};

/// The whole of a file; throws Failure naming it.
std::vector<std::byte> read_file(const std::string& path);

}  // namespace tools

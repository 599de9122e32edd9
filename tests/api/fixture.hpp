// Owns: what tests of the public API share: a virtual machine, a device with several queues,
// command
//   buffers, timelines, with failures of set-up as exceptions that carry the messenger's text.
// Does not own: any test; kernels (tests/kernels, kernels/).
// Threading: a test's own thread; messages arrive from any.
#pragma once

#include <gtest/gtest.h>
#include <kiln/kiln.h>

#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "session.hpp"

namespace api_test {

using tools::Buffer;
using tools::kDeviceLocal;
using tools::kDeviceVisible;
using tools::kHostCached;
using tools::kHostUncached;
using tools::MemoryType;

inline constexpr std::uint64_t kSecond = 1'000'000'000;
/// How long anything that must happen may take; on a loaded machine, under a sanitizer.
inline constexpr std::uint64_t kLong = 120 * kSecond;

/// A structure with its sType set and everything else zero.
template <class T>
T make(KilnStructureType type) {
  T info{};
  info.sType = type;
  return info;
}

/// N of the "N times each" tests: KILN_TEST_REPEAT, else 300.
std::uint32_t repeats();

struct Message {
  VkDebugUtilsMessageSeverityFlagBitsEXT severity;
  VkResult result;
  std::string text;
};

/// An instance on a virtual machine, with a messenger.
class Machine {
 public:
  explicit Machine(const std::string& spec);
  ~Machine();
  Machine(const Machine&) = delete;

  KilnInstance instance() const { return instance_; }
  KilnPhysicalDevice gpu(std::size_t index = 0) const { return gpus_.at(index); }
  std::size_t gpu_count() const { return gpus_.size(); }
  /// What was told since the last call.
  std::vector<Message> take();
  /// The same as one text.
  std::string said();
  /// Throws with what was said, unless `result` is a success.
  void check(VkResult result, const char* what);

 private:
  static void hear(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkResult result,
                   const char* text, void* self);
  std::mutex mutex_;
  std::vector<Message> messages_;
  KilnInstance instance_ = nullptr;
  KilnDebugMessenger messenger_ = nullptr;
  std::vector<KilnPhysicalDevice> gpus_;
};

using Values = std::initializer_list<KilnSemaphoreValue>;
using Commands = std::initializer_list<KilnCommandBuffer>;

struct DeviceOptions {
  std::uint32_t compute_queues = 2, sdma_queues = 2;
  std::uint64_t watchdog_ns = 0;
};

/// A device; frees what it made.
class Device {
 public:
  explicit Device(Machine& machine, KilnPhysicalDevice gpu = nullptr,
                  const DeviceOptions& options = {});
  ~Device();
  Device(const Device&) = delete;

  Machine& machine() { return machine_; }
  KilnDevice handle() const { return handle_; }
  const KilnPhysicalDeviceProperties& properties() const { return properties_; }
  bool is_gfx942() const { return std::string(properties_.targetName) == "gfx942"; }
  /// gfx90a and gfx942: waves of 64 only.
  bool is_cdna() const { return properties_.waveSizes == 64; }
  KilnQueue compute(std::uint32_t index = 0) const { return queue(0, index); }
  KilnQueue sdma(std::uint32_t index = 0) const { return queue(1, index); }
  KilnQueue queue(std::uint32_t family, std::uint32_t index) const;
  void check(VkResult result, const char* what) { machine_.check(result, what); }

  Buffer allocate(std::size_t bytes, MemoryType type, std::initializer_list<KilnDevice> peers = {});
  /// A new command buffer of family 0 (compute) or 1 (SDMA), recording.
  KilnCommandBuffer record(std::uint32_t family);
  /// The same, not begun.
  KilnCommandBuffer command_buffer(std::uint32_t family);
  void end(KilnCommandBuffer commands) {
    check(kilnEndCommandBuffer(commands), "ending a command buffer");
  }
  KilnSemaphore semaphore(std::uint64_t initial = 0, std::initializer_list<KilnDevice> peers = {},
                          VkFlags flags = 0);

  VkResult try_submit(KilnQueue queue, Values waits, Commands commands, Values signals);
  void submit(KilnQueue queue, Values waits, Commands commands, Values signals) {
    check(try_submit(queue, waits, commands, signals), "submitting");
  }
  VkResult wait(KilnSemaphore semaphore, std::uint64_t value, std::uint64_t timeout_ns = kLong);
  std::uint64_t counter(KilnSemaphore semaphore);
  /// Ends, submits and waits on a timeline of its own; VK_SUCCESS or why not.
  VkResult run(KilnQueue queue, KilnCommandBuffer commands);
  KilnQueueStatistics statistics(KilnQueue queue) const;

  /// A kernel of kernels/probes.hip.
  KilnKernel probe(const char* name);
  /// A kernel of tests/kernels.
  KilnKernel kernel(const char* file, const char* name);

 private:
  KilnModule load(const std::string& path);

  Machine& machine_;
  KilnPhysicalDeviceProperties properties_{};
  KilnDevice handle_ = nullptr;
  KilnCommandPool pools_[2] = {};
  std::vector<KilnSemaphore> semaphores_;
  std::vector<std::pair<std::string, KilnModule>> modules_;
  KilnSemaphore own_ = nullptr;
  std::uint64_t own_value_ = 0;
};

/// An argument block, each value at its natural alignment.
class Arguments {
 public:
  template <class... T>
  explicit Arguments(T... values) {
    (put(&values, sizeof(T)), ...);
  }
  const void* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }

 private:
  void put(const void* value, std::size_t size);
  std::vector<std::byte> bytes_;
};

/// A one-dimensional dispatch; the structure looks at `arguments`.
KilnDispatchInfo dispatch_info(KilnKernel kernel, std::uint32_t groups, std::uint32_t group_size,
                               const Arguments& arguments);
void dispatch(Device& device, KilnCommandBuffer commands, KilnKernel kernel, std::uint32_t groups,
              std::uint32_t group_size, const Arguments& arguments);
/// A barrier over everything, at the scope given.
void barrier(Device& device, KilnCommandBuffer commands, KilnScope scope = KILN_SCOPE_DEVICE);

std::string kernel_path(const char* target, const char* file);
std::string probe_path(const char* target);

std::span<std::uint32_t> words(const Buffer& buffer);
/// Fills with a pattern in which no two of the first 2^32 bytes' words are alike.
void scramble(std::span<std::byte> bytes, std::uint32_t seed);

/// Tests on several GPUs: the parameter is the virtual GPU's name.
class EachGpu : public testing::TestWithParam<const char*> {
 protected:
  std::string spec(const char* options = "") const {
    return std::string(GetParam()) + (*options != '\0' ? "," : "") + options;
  }
};
/// One of each target.
inline constexpr const char* kEachGpu[] = {"mi300x", "mi210", "navi31", "navi21"};
#define KILN_EACH_GPU(Suite)                                         \
  INSTANTIATE_TEST_SUITE_P(Gpus, Suite, testing::ValuesIn(kEachGpu), \
                           [](const auto& info) { return std::string(info.param); })
/// One with an AQL ring and one with a PM4 ring, where no more depends on the target.
#define KILN_EACH_RING(Suite)                                                \
  INSTANTIATE_TEST_SUITE_P(Gpus, Suite, testing::Values("mi300x", "navi31"), \
                           [](const auto& info) { return std::string(info.param); })

}  // namespace api_test

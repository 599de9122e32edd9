// Owns: tests of instances: version, layers, creation, messengers, function lookup, enumeration of
//   what cannot be used.
// Does not own: properties of a GPU (physical_device_test.cpp).
// Threading: none.
#include <unistd.h>

#include <cstdlib>

#include "fixture.hpp"

namespace api_test {
namespace {

KilnInstanceCreateInfo instance_info(const char* virtual_gpu) {
  auto info = make<KilnInstanceCreateInfo>(KILN_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
  info.pVirtualGpu = virtual_gpu;
  return info;
}

struct Heard {
  std::vector<Message> messages;
  static void callback(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkResult result,
                       const char* text, void* self) {
    static_cast<Heard*>(self)->messages.push_back({severity, result, text});
  }
  KilnDebugMessengerCreateInfo info(VkFlags severities) {
    auto made = make<KilnDebugMessengerCreateInfo>(KILN_STRUCTURE_TYPE_DEBUG_MESSENGER_CREATE_INFO);
    made.severities = severities;
    made.callback = &callback;
    made.pUserData = this;
    return made;
  }
};
constexpr VkFlags kAllSeverities = 0x1111;  // VkDebugUtilsMessageSeverityFlagBitsEXT

/// Sets KILN_VGPU for one scope.
class Environment {
 public:
  explicit Environment(const char* value) {
    if (const char* old = std::getenv("KILN_VGPU")) old_ = old;
    set(value);
  }
  ~Environment() { set(old_.empty() ? nullptr : old_.c_str()); }

 private:
  static void set(const char* value) {
    if (value != nullptr)
      setenv("KILN_VGPU", value, 1);
    else
      unsetenv("KILN_VGPU");
  }
  std::string old_;
};

std::uint32_t count_gpus(KilnInstance instance) {
  std::uint32_t count = 99;
  EXPECT_EQ(kilnEnumeratePhysicalDevices(instance, &count, nullptr), VK_SUCCESS);
  return count;
}

/// Tries to make an instance; what it said on failure.
std::string refusal(KilnInstanceCreateInfo info, VkResult expected) {
  Heard heard;
  const KilnDebugMessengerCreateInfo messenger = heard.info(kAllSeverities);
  info.pNext = &messenger;
  KilnInstance instance = reinterpret_cast<KilnInstance>(1);
  EXPECT_EQ(kilnCreateInstance(&info, nullptr, &instance), expected);
  EXPECT_EQ(instance, nullptr);
  if (heard.messages.size() != 1) return "(" + std::to_string(heard.messages.size()) + " messages)";
  EXPECT_EQ(heard.messages[0].result, expected);
  EXPECT_EQ(heard.messages[0].severity, VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT);
  return heard.messages[0].text;
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

TEST(Instance, VersionIsTheHeaders) {
  std::uint32_t version = 0;
  EXPECT_EQ(kilnEnumerateInstanceVersion(&version), VK_SUCCESS);
  EXPECT_EQ(version, KILN_HEADER_VERSION);
}

TEST(Instance, HasNoLayersAndExtensionsYet) {
  std::uint32_t count = 7;
  EXPECT_EQ(kilnEnumerateInstanceLayerProperties(&count, nullptr), VK_SUCCESS);
  EXPECT_EQ(count, 0u);
  count = 7;
  EXPECT_EQ(kilnEnumerateInstanceExtensionProperties(nullptr, &count, nullptr), VK_SUCCESS);
  EXPECT_EQ(count, 0u);
  KilnLayerProperties layer{};
  count = 1;
  EXPECT_EQ(kilnEnumerateInstanceLayerProperties(&count, &layer), VK_SUCCESS);
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(kilnEnumerateInstanceExtensionProperties("none", &count, nullptr),
            VK_ERROR_LAYER_NOT_PRESENT);
}

TEST(Instance, EnvironmentChoosesTheVirtualGpuAndCreateInfoWins) {
  const Environment environment("2x navi31");
  KilnInstance instance = nullptr;
  KilnInstanceCreateInfo info = instance_info(nullptr);
  ASSERT_EQ(kilnCreateInstance(&info, nullptr, &instance), VK_SUCCESS);
  EXPECT_EQ(count_gpus(instance), 2u);
  kilnDestroyInstance(instance, nullptr);
  info = instance_info("3x mi300x");
  ASSERT_EQ(kilnCreateInstance(&info, nullptr, &instance), VK_SUCCESS);
  EXPECT_EQ(count_gpus(instance), 3u);
  kilnDestroyInstance(instance, nullptr);
}

TEST(Instance, WithoutAnyGpuSaysWhy) {
  if (access("/dev/kfd", F_OK) == 0) GTEST_SKIP() << "this machine has a KFD";
  const Environment environment(nullptr);
  KilnInstance instance = nullptr;
  const KilnInstanceCreateInfo info = instance_info(nullptr);
  ASSERT_EQ(kilnCreateInstance(&info, nullptr, &instance), VK_SUCCESS);
  EXPECT_EQ(count_gpus(instance), 0u);
  std::uint32_t count = 0;
  EXPECT_EQ(kilnEnumerateUnusableDevices(instance, &count, nullptr), VK_SUCCESS);
  ASSERT_EQ(count, 1u);
  auto unusable = make<KilnUnusableDevice>(KILN_STRUCTURE_TYPE_UNUSABLE_DEVICE);
  EXPECT_EQ(kilnEnumerateUnusableDevices(instance, &count, &unusable), VK_SUCCESS);
  EXPECT_TRUE(contains(unusable.name, "kfd")) << unusable.name;
  EXPECT_TRUE(contains(unusable.reason, "KILN_VGPU")) << unusable.reason;
  EXPECT_LT(unusable.result, 0);
  kilnDestroyInstance(instance, nullptr);
}

TEST(Instance, GpusOfOtherTargetsAreNamed) {
  KilnInstance instance = nullptr;
  const KilnInstanceCreateInfo info = instance_info("mi300x,mi50,rx5700xt");
  ASSERT_EQ(kilnCreateInstance(&info, nullptr, &instance), VK_SUCCESS);
  EXPECT_EQ(count_gpus(instance), 1u);
  std::uint32_t count = 0;
  ASSERT_EQ(kilnEnumerateUnusableDevices(instance, &count, nullptr), VK_SUCCESS);
  ASSERT_EQ(count, 2u);
  KilnUnusableDevice unusable[2] = {make<KilnUnusableDevice>(KILN_STRUCTURE_TYPE_UNUSABLE_DEVICE),
                                    make<KilnUnusableDevice>(KILN_STRUCTURE_TYPE_UNUSABLE_DEVICE)};
  count = 1;
  EXPECT_EQ(kilnEnumerateUnusableDevices(instance, &count, unusable), VK_INCOMPLETE);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(unusable[1].name[0], '\0');
  count = 2;
  EXPECT_EQ(kilnEnumerateUnusableDevices(instance, &count, unusable), VK_SUCCESS);
  EXPECT_TRUE(contains(unusable[0].name, "gfx906")) << unusable[0].name;
  EXPECT_TRUE(contains(unusable[1].name, "gfx1010")) << unusable[1].name;
  for (const KilnUnusableDevice& each : unusable) {
    EXPECT_EQ(each.result, VK_ERROR_INCOMPATIBLE_DRIVER);
    EXPECT_TRUE(contains(each.reason, "gfx90a gfx942 gfx1030 gfx1100")) << each.reason;
  }
  kilnDestroyInstance(instance, nullptr);
}

TEST(Instance, TwoCallEnumerationOfGpus) {
  Machine machine("3x navi31");
  KilnPhysicalDevice gpus[4] = {};
  std::uint32_t count = 2;
  EXPECT_EQ(kilnEnumeratePhysicalDevices(machine.instance(), &count, gpus), VK_INCOMPLETE);
  EXPECT_EQ(count, 2u);
  EXPECT_NE(gpus[1], nullptr);
  EXPECT_EQ(gpus[2], nullptr);
  count = 4;
  EXPECT_EQ(kilnEnumeratePhysicalDevices(machine.instance(), &count, gpus), VK_SUCCESS);
  EXPECT_EQ(count, 3u);
  EXPECT_EQ(gpus[3], nullptr);
  count = 0;
  EXPECT_EQ(kilnEnumeratePhysicalDevices(machine.instance(), &count, gpus), VK_INCOMPLETE);
  EXPECT_EQ(count, 0u);
}

TEST(Instance, UnknownChainMembersAreIgnored) {
  struct Stranger {
    std::uint32_t type;
    const void* next;
    std::uint64_t content[4];
  };
  Heard heard;
  const KilnDebugMessengerCreateInfo messenger = heard.info(kAllSeverities);
  const Stranger stranger = {0x7ffffff0, &messenger, {1, 2, 3, 4}};
  const Stranger another = {1, &stranger, {}};
  KilnInstanceCreateInfo info = instance_info("navi31,mi50");
  info.pNext = &another;
  KilnInstance instance = nullptr;
  ASSERT_EQ(kilnCreateInstance(&info, nullptr, &instance), VK_SUCCESS);
  kilnDestroyInstance(instance, nullptr);
  // The messenger behind the strangers was found: it heard of the GPU that cannot be used.
  ASSERT_EQ(heard.messages.size(), 1u);
  EXPECT_EQ(heard.messages[0].severity, VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT);
  EXPECT_TRUE(contains(heard.messages[0].text, "gfx906")) << heard.messages[0].text;
}

TEST(Instance, RefusesWithTheReason) {
  KilnInstanceCreateInfo info = instance_info("navi31");
  info.apiVersion = VK_MAKE_API_VERSION(0, 9, 8, 7);
  EXPECT_TRUE(contains(refusal(info, VK_ERROR_INCOMPATIBLE_DRIVER), "9.8.7"));

  const char* name = "KILN_LAYER_nowhere";
  info = instance_info("navi31");
  info.enabledLayerCount = 1;
  info.ppEnabledLayerNames = &name;
  EXPECT_TRUE(contains(refusal(info, VK_ERROR_LAYER_NOT_PRESENT), name));

  info = instance_info("navi31");
  info.enabledExtensionCount = 1;
  info.ppEnabledExtensionNames = &name;
  EXPECT_TRUE(contains(refusal(info, VK_ERROR_EXTENSION_NOT_PRESENT), name));

  info = instance_info("navi31");
  info.apiVersion = KILN_HEADER_VERSION;
  KilnInstance instance = nullptr;
  EXPECT_EQ(kilnCreateInstance(&info, nullptr, &instance), VK_SUCCESS);
  kilnDestroyInstance(instance, nullptr);
}

TEST(Instance, RefusesVirtualGpusThatDoNotExist) {
  const auto said = [](const char* spec) {
    return refusal(instance_info(spec), VK_ERROR_INITIALIZATION_FAILED);
  };
  const std::string unknown = said("voodoo2");
  EXPECT_TRUE(contains(unknown, "voodoo2")) << unknown;
  EXPECT_TRUE(contains(unknown, "mi300x")) << unknown;  // what there is instead
  EXPECT_TRUE(contains(said("0x mi300x"), "1 to")) << said("0x mi300x");
  EXPECT_TRUE(contains(said("navi31,fast"), "fast"));
  EXPECT_TRUE(contains(said("navi31,kfd=2.0"), "kfd="));
  EXPECT_TRUE(contains(said("navi31,skew=lots"), "skew="));
}

TEST(Instance, AcceptsEveryNameOfAGpu) {
  for (const char* name : {"mi300x", "gfx942", "navi31", "rx7900xtx", "gfx1100", "GFX1100", "mi210",
                           "gfx90a", "navi21", "gfx1030"}) {
    Machine machine(name);
    EXPECT_EQ(machine.gpu_count(), 1u) << name;
  }
}

TEST(Messenger, HearsOnlyWhatItAskedFor) {
  Machine machine("navi31");
  Heard errors, warnings, gone;
  KilnDebugMessenger messengers[3] = {};
  KilnDebugMessengerCreateInfo infos[3] = {
      errors.info(VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT),
      warnings.info(VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT), gone.info(kAllSeverities)};
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(kilnCreateDebugMessenger(machine.instance(), &infos[i], nullptr, &messengers[i]),
              VK_SUCCESS);
  kilnDestroyDebugMessenger(machine.instance(), messengers[2], nullptr);
  auto queue = make<KilnDeviceQueueCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
  queue.queueFamilyIndex = 42;
  queue.queueCount = 1;
  auto info = make<KilnDeviceCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  KilnDevice device = nullptr;
  EXPECT_EQ(kilnCreateDevice(machine.gpu(), &info, nullptr, &device),
            VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(device, nullptr);
  ASSERT_EQ(errors.messages.size(), 1u);
  EXPECT_EQ(errors.messages[0].result, VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_TRUE(contains(errors.messages[0].text, "queue family 42")) << errors.messages[0].text;
  EXPECT_TRUE(warnings.messages.empty());
  EXPECT_TRUE(gone.messages.empty());
  for (int i = 0; i < 2; ++i) kilnDestroyDebugMessenger(machine.instance(), messengers[i], nullptr);
}

TEST(ProcAddr, FindsEveryEntryPoint) {
  Machine machine("navi31");
  Device device(machine);
  enum Level { Global, Instance, Device };
  const struct {
    const char* name;
    Level level;
    PFN_vkVoidFunction function;
  } entries[] = {
#define KILN_ENTRY(name, level) \
  {"kiln" #name, level, reinterpret_cast<PFN_vkVoidFunction>(&kiln##name)},
#include "api/entrypoints.def"
#undef KILN_ENTRY
  };
  for (const auto& entry : entries) {
    EXPECT_EQ(kilnGetInstanceProcAddr(machine.instance(), entry.name), entry.function)
        << entry.name;
    EXPECT_EQ(kilnGetInstanceProcAddr(nullptr, entry.name),
              entry.level == Global ? entry.function : nullptr)
        << entry.name;
    EXPECT_EQ(kilnGetDeviceProcAddr(device.handle(), entry.name),
              entry.level == Device ? entry.function : nullptr)
        << entry.name;
  }
}

TEST(ProcAddr, KnowsNothingElse) {
  Machine machine("navi31");
  for (const char* name : {"kilnNothing", "vkCreateInstance", "", "kilnCreateInstanc"})
    EXPECT_EQ(kilnGetInstanceProcAddr(machine.instance(), name), nullptr) << name;
  EXPECT_EQ(kilnGetInstanceProcAddr(machine.instance(), nullptr), nullptr);
  EXPECT_EQ(kilnGetDeviceProcAddr(nullptr, "kilnQueueSubmit"), nullptr);
}

TEST(Instance, NullHandlesAreIgnoredWhenDestroyed) {
  Machine machine("navi31");
  Device device(machine);
  kilnDestroyInstance(nullptr, nullptr);
  kilnDestroyDebugMessenger(machine.instance(), nullptr, nullptr);
  kilnDestroyDevice(nullptr, nullptr);
  kilnFreeMemory(device.handle(), nullptr, nullptr);
  kilnDestroyModule(device.handle(), nullptr, nullptr);
  kilnDestroyCommandPool(device.handle(), nullptr, nullptr);
  kilnDestroySemaphore(device.handle(), nullptr, nullptr);
}

}  // namespace
}  // namespace api_test

#include "core/instance.hpp"

#include <cstdlib>

#include "core/text.hpp"
#include "core/vgpu_loader.hpp"
#include "gpu/target.hpp"

namespace kiln::core {
Result<Instance*> Instance::create(const KilnInstanceCreateInfo& info,
                                   const VkAllocationCallbacks* callbacks) {
  // A messenger in the chain hears of the creation itself, and only of that.
  Messengers early;
  const auto* messenger_info = find_in_chain<KilnDebugMessengerCreateInfo>(
      info.pNext, KILN_STRUCTURE_TYPE_DEBUG_MESSENGER_CREATE_INFO);
  std::unique_ptr<DebugMessenger> early_messenger;
  if (messenger_info != nullptr && messenger_info->callback != nullptr) {
    early_messenger = std::make_unique<DebugMessenger>(*messenger_info);
    early.add(early_messenger.get());
  }
  auto refuse = [&](Error error) -> std::unexpected<Error> {
    early.report(error);
    return std::unexpected<Error>(std::move(error));
  };

  if (info.apiVersion > kApiVersion)
    return refuse(
        {VK_ERROR_INCOMPATIBLE_DRIVER,
         strf("apiVersion %u.%u.%u is newer than this library's %u.%u.%u",
              VK_API_VERSION_MAJOR(info.apiVersion), VK_API_VERSION_MINOR(info.apiVersion),
              VK_API_VERSION_PATCH(info.apiVersion), VK_API_VERSION_MAJOR(kApiVersion),
              VK_API_VERSION_MINOR(kApiVersion), VK_API_VERSION_PATCH(kApiVersion))});
  if (info.enabledLayerCount > 0)
    return refuse(
        {VK_ERROR_LAYER_NOT_PRESENT,
         strf("layer %s is not present: this version has none", info.ppEnabledLayerNames[0])});
  if (info.enabledExtensionCount > 0)
    return refuse(
        {VK_ERROR_EXTENSION_NOT_PRESENT, strf("extension %s is not present: this version has none",
                                              info.ppEnabledExtensionNames[0])});

  auto made = make_object<Instance>(callbacks);
  if (!made) return made;
  Instance* instance = *made;
  const char* virtual_gpu =
      info.pVirtualGpu != nullptr ? info.pVirtualGpu : std::getenv("KILN_VGPU");
  Status status = instance->open_driver(virtual_gpu);
  if (status) status = instance->find_devices();
  if (!status) {
    destroy_object(callbacks, instance);
    return refuse(std::move(status.error()));
  }
  for (const kmd::Unusable& unusable : instance->unusable_)
    early.tell(VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT, unusable.code,
               unusable.name + ": " + unusable.reason);
  return instance;
}

Status Instance::open_driver(const char* virtual_gpu) {
  if (virtual_gpu != nullptr && *virtual_gpu != '\0') {
    KILN_ASSIGN(virtual_os_, load_virtual_gpu(virtual_gpu));
    kmd_ = kmd::make_kfd(*virtual_os_);
  } else {
    kmd_ = kmd::make_kfd(kmd::linux_os());
  }
  return {};
}

Status Instance::find_devices() {
  std::vector<kmd::GpuInfo> gpus;
  KILN_TRY(kmd_->enumerate(&gpus, &unusable_));
  for (const kmd::GpuInfo& info : gpus) {
    const gpu::Target* target = gpu::find_target(info.gfx_ip);
    const std::string name = strf("%s (node %u)", gpu::to_string(info.gfx_ip).c_str(), info.node);
    if (target == nullptr || target->ops == nullptr) {
      unusable_.push_back({name, VK_ERROR_INCOMPATIBLE_DRIVER,
                           target == nullptr ? "this GPU target is not known to Kiln"
                                             : "this GPU target is known but has no backend yet"});
      continue;
    }
    devices_.push_back(std::make_unique<PhysicalDevice>(*this, info, *target));
  }
  // A virtual GPU is never chosen silently, but whoever has none should know of it.
  if (devices_.empty() && virtual_os_ == nullptr)
    for (kmd::Unusable& unusable : unusable_)
      unusable.reason += ". For a virtual GPU set KILN_VGPU=mi300x or KILN_VGPU=navi31";
  return {};
}

VkResult Instance::enumerate_physical_devices(std::uint32_t* count, KilnPhysicalDevice* devices) {
  return enumerate(devices_.size(), count, devices != nullptr,
                   [&](std::size_t i) { devices[i] = to_handle(devices_[i].get()); });
}

VkResult Instance::enumerate_unusable_devices(std::uint32_t* count,
                                              KilnUnusableDevice* devices) const {
  return enumerate(unusable_.size(), count, devices != nullptr, [&](std::size_t i) {
    devices[i].result = unusable_[i].code;
    copy_text(devices[i].name, unusable_[i].name);
    copy_text(devices[i].reason, unusable_[i].reason);
  });
}

}  // namespace kiln::core

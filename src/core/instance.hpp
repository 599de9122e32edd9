// Owns: an instance: the driver behind it, the GPUs found and the messengers.
// Does not own: what a GPU is (physical_device.*), the driver (kmd/).
// Threading: immutable after creation, but for the messengers, which lock.
#pragma once

#include <kiln/kiln.h>

#include <memory>
#include <vector>

#include "base/result.hpp"
#include "core/messenger.hpp"
#include "core/object.hpp"
#include "core/physical_device.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

/// The version of this library.
inline constexpr std::uint32_t kApiVersion = KILN_HEADER_VERSION;

class Instance {
 public:
  static Result<Instance*> create(const KilnInstanceCreateInfo& info,
                                  const VkAllocationCallbacks* callbacks);
  Instance() = default;
  Instance(const Instance&) = delete;

  Messengers& messengers() { return messengers_; }
  kmd::Kmd& kmd() { return *kmd_; }

  VkResult enumerate_physical_devices(std::uint32_t* count, KilnPhysicalDevice* devices);
  VkResult enumerate_unusable_devices(std::uint32_t* count, KilnUnusableDevice* devices) const;

 private:
  Status open_driver(const char* virtual_gpu);
  Status find_devices();

  Messengers messengers_;
  std::unique_ptr<kmd::Os> virtual_os_;  // destroyed after everything that uses it
  std::unique_ptr<kmd::Kmd> kmd_;
  std::vector<std::unique_ptr<PhysicalDevice>> devices_;
  std::vector<kmd::Unusable> unusable_;
};

}  // namespace kiln::core

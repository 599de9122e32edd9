// Owns: a code object on the GPU: its image in memory, its kernels and globals.
// Does not own: reading it (gpu/code_object.*), launching (kernel.*, command_buffer.*).
// Threading: immutable after creation.
#pragma once

#include <kiln/kiln.h>

#include <memory>
#include <vector>

#include "base/result.hpp"
#include "core/object.hpp"
#include "gpu/code_object.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

class Module {
 public:
  static Result<Module*> create(Device& device, const KilnModuleCreateInfo& info,
                                const VkAllocationCallbacks* callbacks);
  Module(Device& device, gpu::CodeObject code);
  ~Module();
  Module(const Module&) = delete;

  Device& device() const { return device_; }
  VkResult enumerate_kernels(std::uint32_t* count, const char** names) const;
  Result<Kernel*> find_kernel(const char* name) const;
  Status find_global(const char* name, VkDeviceAddress* address, VkDeviceSize* size) const;

 private:
  Status load();

  Device& device_;
  gpu::CodeObject code_;
  kmd::Memory image_{};
  std::vector<std::unique_ptr<Kernel>> kernels_;
};

}  // namespace kiln::core

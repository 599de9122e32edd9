// Owns: a kernel ready to launch: its register image, its argument block, its limits.
// Does not own: the code (module.*), the packets (gpu/dispatch.*).
// Threading: immutable.
#pragma once

#include <kiln/kiln.h>

#include <array>
#include <memory>
#include <span>
#include <string>

#include "base/result.hpp"
#include "core/object.hpp"
#include "gpu/code_object.hpp"
#include "gpu/dispatch.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

class Kernel;

/// What the hidden arguments of a dispatch depend on.
struct LaunchShape {
  const Kernel* kernel = nullptr;
  std::array<std::uint32_t, 3> groups{}, group_size{}, threads{};
  std::uint32_t dynamic_lds = 0;

  bool operator==(const LaunchShape&) const = default;
};

class Kernel {
 public:
  /// `info` lives in the module. Fails if the target cannot do what the kernel asks for.
  static Result<std::unique_ptr<Kernel>> create(Device& device, const gpu::KernelInfo& info,
                                                kmd::Va image_address);
  Kernel(Device& device, const gpu::KernelInfo& info, kmd::Va image_address, gpu::KernelImage image,
         gpu::ScratchNeeds scratch);

  Device& device() const { return device_; }
  const std::string& name() const { return info_.name; }
  const gpu::KernelImage& image() const { return image_; }
  /// Zero bytes_per_wave: the kernel uses no scratch.
  const gpu::ScratchNeeds& scratch() const { return scratch_; }
  std::uint32_t argument_block_bytes() const { return info_.kernarg_size; }

  /// Everything about a launch that can be refused on the host.
  Status check_launch(const KilnDispatchInfo& info, bool indirect) const;
  LaunchShape shape_of(const KilnDispatchInfo& info) const;
  /// Explicit arguments from the application, hidden ones from the launch. `alike`, if not null, is
  /// the argument block of a launch of the same shape.
  void write_arguments(const KilnDispatchInfo& info, std::span<std::byte> block,
                       const std::byte* alike) const;
  /// The AQL packet that kernels which ask for a dispatch pointer read (code object v4).
  void write_dispatch_packet(const KilnDispatchInfo& info, kmd::Va arguments, void* packet) const;

  VkResult get_properties(KilnKernelProperties* properties) const;
  VkResult get_arguments(std::uint32_t* count, KilnKernelArgument* arguments) const;
  Result<std::uint32_t> get_occupancy(std::uint32_t invocations, std::uint64_t dynamic_lds) const;

 private:
  Device& device_;
  const gpu::KernelInfo& info_;
  kmd::Va descriptor_address_;
  gpu::KernelImage image_;
  gpu::ScratchNeeds scratch_;
};

}  // namespace kiln::core

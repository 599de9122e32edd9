#include "core/module.hpp"

#include <cstring>

#include "core/device.hpp"
#include "core/kernel.hpp"
#include "core/physical_device.hpp"

namespace kiln::core {

Result<Module*> Module::create(Device& device, const KilnModuleCreateInfo& info,
                               const VkAllocationCallbacks* callbacks) {
  KILN_TRY(device.check_alive());
  const std::span file(static_cast<const std::byte*>(info.pCode), info.codeSize);
  const kmd::GpuInfo& gpu_info = device.physical().info();
  KILN_ASSIGN(gpu::CodeObject code,
              gpu::open_code_object(
                  file, gpu::DeviceIsa{gpu_info.gfx_ip, device.gpu().xnack(), gpu_info.sramecc}));
  auto made = make_object<Module>(callbacks, device, std::move(code));
  if (!made) return made;
  if (Status loaded = (*made)->load(); !loaded) {
    destroy_object(callbacks, *made);
    return forward_error(loaded);
  }
  return made;
}

Module::Module(Device& device, gpu::CodeObject code) : device_(device), code_(std::move(code)) {}

Module::~Module() {
  if (image_.address != 0) (void)device_.gpu().free(image_);
}

Status Module::load() {
  kmd::MemoryDesc desc;
  desc.size = code_.image_bytes;
  desc.alignment = gpu::kImageAlignment;
  desc.heap = kmd::Heap::Vram;
  desc.host_visible = desc.executable = true;
  auto image = device_.gpu().allocate(desc, {});
  if (!image) {
    // No room in the PCI aperture: code also runs from system memory, if slower.
    desc.heap = kmd::Heap::System;
    image = device_.gpu().allocate(desc, {});
    if (!image) return forward_error(image);
  }
  image_ = *image;
  KILN_TRY(code_.load({static_cast<std::byte*>(image_.host), image_.desc.size}, image_.address));
  device_.flush_hdp();
  // Instruction caches: every command buffer begins by invalidating them.

  for (const gpu::KernelInfo& info : code_.kernels) {
    KILN_ASSIGN(std::unique_ptr<Kernel> kernel, Kernel::create(device_, info, image_.address));
    kernels_.push_back(std::move(kernel));
  }
  return {};
}

VkResult Module::enumerate_kernels(std::uint32_t* count, const char** names) const {
  return enumerate(kernels_.size(), count, names != nullptr,
                   [&](std::size_t i) { names[i] = kernels_[i]->name().c_str(); });
}

Result<Kernel*> Module::find_kernel(const char* name) const {
  for (const auto& kernel : kernels_)
    if (kernel->name() == name) return kernel.get();
  std::string known;
  for (const auto& kernel : kernels_) known += (known.empty() ? "" : ", ") + kernel->name();
  return fail(VK_ERROR_UNKNOWN, strf("no kernel %s in this module; it has: %s", name,
                                     known.empty() ? "none" : known.c_str()));
}

Status Module::find_global(const char* name, VkDeviceAddress* address, VkDeviceSize* size) const {
  const gpu::GlobalSymbol* global = code_.find_global(name);
  if (global == nullptr) {
    *address = 0;
    *size = 0;
    return fail(
        VK_ERROR_UNKNOWN,
        strf("no global %s in this module (unused ones are dropped by the compiler unless they "
             "are externally visible)",
             name));
  }
  *address = image_.address + global->offset;
  *size = global->bytes;
  return {};
}

}  // namespace kiln::core

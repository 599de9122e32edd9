#include "core/vgpu_loader.hpp"

#include <dlfcn.h>

#include <string>

namespace kiln::core {
namespace {

constexpr const char* kEngine = "libkiln-vgpu-engine.so.0";

/// The engine lies beside libkiln; a system-wide one is the fallback.
void* open_engine(std::string* why) {
  Dl_info self{};
  if (dladdr(reinterpret_cast<void*>(&load_virtual_gpu), &self) != 0 && self.dli_fname != nullptr) {
    std::string path = self.dli_fname;
    const std::size_t slash = path.rfind('/');
    if (slash != std::string::npos) {
      path = path.substr(0, slash + 1) + kEngine;
      if (void* engine = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return engine;
    }
  }
  void* engine = dlopen(kEngine, RTLD_NOW | RTLD_LOCAL);
  if (engine == nullptr) *why = dlerror();
  return engine;
}

}  // namespace

Result<std::unique_ptr<kmd::Os>> load_virtual_gpu(const char* spec) {
  std::string why;
  // Never closed: its code must outlive every virtual machine.
  void* engine = open_engine(&why);
  if (engine == nullptr)
    return fail(
        VK_ERROR_INITIALIZATION_FAILED,
        strf("a virtual GPU (%s) was asked for, but its engine cannot be loaded: %s. Install "
             "%s next to libkiln, or build with -Dvgpu=enabled",
             spec, why.c_str(), kEngine));
  auto create = reinterpret_cast<kmd::VgpuCreateFn>(dlsym(engine, "kiln_vgpu_create"));
  if (create == nullptr)
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                strf("%s has no kiln_vgpu_create: it is not of this version of Kiln", kEngine));
  char error[512] = "";
  kmd::Os* os = create(spec, error, sizeof error);
  if (os == nullptr) return fail(VK_ERROR_INITIALIZATION_FAILED, error);
  return std::unique_ptr<kmd::Os>(os);
}

}  // namespace kiln::core

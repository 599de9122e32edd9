// Owns: the entries of libkiln-vgpu-engine.so: making a machine (kmd/os.hpp VgpuCreateFn), and the
//   count of executed instructions.
// Does not own: anything behind it.
// Threading: may be called from any thread; each call makes a machine of its own.
#include <stdio.h>

#include <exception>

#include "vgpu/os.hpp"

extern "C" __attribute__((visibility("default"))) kiln::kmd::Os* kiln_vgpu_create(
    const char* spec, char* error, std::size_t error_size) {
  using namespace kiln;
  std::string message;
  try {
    auto parsed = vgpu::parse_spec(spec != nullptr ? spec : "");
    if (parsed) {
      auto os = vgpu::VirtualOs::create(std::move(*parsed), vgpu::make_engines);
      if (os) return os->release();
      message = std::move(os.error().message);
    } else {
      message = std::move(parsed.error().message);
    }
  } catch (const std::exception& exception) {  // out of memory
    message = std::string("virtual GPU: ") + exception.what();
  }
  if (error != nullptr && error_size != 0) snprintf(error, error_size, "%s", message.c_str());
  return nullptr;
}

extern "C" __attribute__((visibility("default"))) std::uint64_t kiln_vgpu_wave_instructions() {
  return kiln::vgpu::total_wave_instructions();
}

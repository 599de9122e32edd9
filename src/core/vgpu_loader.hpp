// Owns: finding and loading the virtual GPU's shared object on first use.
// Does not own: the virtual GPU.
// Threading: any thread.
#pragma once

#include <memory>

#include "base/result.hpp"
#include "kmd/os.hpp"

namespace kiln::core {

/// A virtual machine as `spec` (the text of KILN_VGPU) describes it.
/// VK_ERROR_INITIALIZATION_FAILED: the engine is not installed, or does not understand `spec`.
Result<std::unique_ptr<kmd::Os>> load_virtual_gpu(const char* spec);

}  // namespace kiln::core

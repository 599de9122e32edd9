// Owns: libFuzzer's way into the code object reader.
// Does not own: a corpus; start from tests/kernels' and tests/unit/objects' files.
// Threading: none.
#include <cstdint>

#include "gpu/hidden_arguments.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kiln::gpu;
  const auto code = open_code_object(std::as_bytes(std::span(data, size)), {{9, 4, 2}, {}, {}});
  if (!code || code->image_bytes > (1u << 20)) return 0;
  std::vector<std::byte> image(code->image_bytes);
  (void)code->load(image, 0x7f0000000000);
  for (const KernelInfo& kernel : code->kernels) {
    if (kernel.kernarg_size > (1u << 16)) continue;
    std::vector<std::byte> block(kernel.kernarg_size);
    (void)fill_hidden_arguments(kernel, {}, block);
  }
  return 0;
}

// Owns: what all cases share: argument packing, guards, the list.
// Does not own: the cases (cases_*.cpp).
// Threading: pure functions.
#include "cases.hpp"

#include <algorithm>

#include "case_builder.hpp"

namespace kiln::kernels {

Bytes KernelCase::pack_arguments(std::span<const std::uint64_t> buffer_addresses) const {
  Bytes block;
  for (const Argument& argument : arguments) {
    Bytes value = argument.value;
    if (argument.buffer >= 0)
      value = to_bytes(
          std::vector<std::uint64_t>{buffer_addresses[static_cast<std::size_t>(argument.buffer)]});
    block.resize((block.size() + value.size() - 1) / value.size() * value.size());
    block.insert(block.end(), value.begin(), value.end());
  }
  return block;
}

std::optional<std::string> KernelCase::verify(const Outputs& outputs) const {
  if (outputs.buffers.size() != buffers.size() || outputs.globals.size() != global_reads.size())
    return "the runner brought back the wrong number of buffers";
  for (std::size_t i = 0; i < buffers.size(); i++) {
    const Buffer& buffer = buffers[i];
    const Bytes& seen = outputs.buffers[i];
    if (seen.size() != buffer.initial.size()) return buffer.name + " came back with another size";
    const auto guard = seen.end() - static_cast<std::ptrdiff_t>(kGuardBytes);
    if (!std::all_of(guard, seen.end(), [](std::byte b) { return b == kGuard; }))
      return "the kernel wrote behind the end of " + buffer.name;
    if (!buffer.output && seen != buffer.initial)
      return "the kernel wrote its input " + buffer.name;
  }
  for (std::size_t i = 0; i < global_reads.size(); i++)
    if (outputs.globals[i].size() != global_reads[i].bytes)
      return global_reads[i].symbol + " came back with another size";
  return reference(outputs);
}

std::vector<KernelCase> kernel_cases(const CaseOptions& options) {
  std::vector<KernelCase> cases;
  add_memory_cases(options, &cases);
  add_math_cases(options, &cases);
  add_wave_cases(options, &cases);
  return cases;
}

}  // namespace kiln::kernels

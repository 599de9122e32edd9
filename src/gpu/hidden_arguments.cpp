// Owns: which value each kind of hidden argument gets.
// Does not own: where they lie (the metadata says).
// Threading: pure functions.
#include "gpu/hidden_arguments.hpp"

#include <cstring>

namespace kiln::gpu {
namespace {

std::uint64_t value_of(ArgumentKind kind, const HiddenValues& values) {
  // Whole blocks only, and the size of the partial one behind them, 0 if there is none.
  auto block_count = [&](int d) { return values.threads[d] / values.group_size[d]; };
  auto remainder = [&](int d) { return values.threads[d] % values.group_size[d]; };
  switch (kind) {
    case ArgumentKind::HiddenBlockCountX:
      return block_count(0);
    case ArgumentKind::HiddenBlockCountY:
      return block_count(1);
    case ArgumentKind::HiddenBlockCountZ:
      return block_count(2);
    case ArgumentKind::HiddenGroupSizeX:
      return values.group_size[0];
    case ArgumentKind::HiddenGroupSizeY:
      return values.group_size[1];
    case ArgumentKind::HiddenGroupSizeZ:
      return values.group_size[2];
    case ArgumentKind::HiddenRemainderX:
      return remainder(0);
    case ArgumentKind::HiddenRemainderY:
      return remainder(1);
    case ArgumentKind::HiddenRemainderZ:
      return remainder(2);
    case ArgumentKind::HiddenGlobalOffsetX:
      return values.global_offset[0];
    case ArgumentKind::HiddenGlobalOffsetY:
      return values.global_offset[1];
    case ArgumentKind::HiddenGlobalOffsetZ:
      return values.global_offset[2];
    case ArgumentKind::HiddenGridDims:
      return values.dimensions;
    case ArgumentKind::HiddenPrintfBuffer:
      return values.printf_buffer;
    case ArgumentKind::HiddenHostcallBuffer:
      return values.hostcall_buffer;
    case ArgumentKind::HiddenDefaultQueue:
      return values.default_queue;
    case ArgumentKind::HiddenCompletionAction:
      return values.completion_action;
    case ArgumentKind::HiddenMultigridSyncArg:
      return values.multigrid_sync;
    case ArgumentKind::HiddenToolCorrelationId:
      return values.tool_correlation_id;
    case ArgumentKind::HiddenHeapV1:
      return values.heap;
    case ArgumentKind::HiddenDynamicLdsSize:
      return values.dynamic_lds_size;
    // Apertures are 4 GiB aligned; kernels prepend the high half to a 32-bit offset.
    case ArgumentKind::HiddenPrivateBase:
      return values.private_aperture >> 32;
    case ArgumentKind::HiddenSharedBase:
      return values.shared_aperture >> 32;
    case ArgumentKind::HiddenQueuePtr:
      return values.queue_ptr;
    case ArgumentKind::HiddenNone:
    case ArgumentKind::ByValue:
    case ArgumentKind::GlobalBuffer:
    case ArgumentKind::DynamicSharedPointer:
    case ArgumentKind::Sampler:
    case ArgumentKind::Image:
    case ArgumentKind::Pipe:
    case ArgumentKind::Queue:
      return 0;
  }
  return 0;
}

}  // namespace

Status fill_hidden_arguments(const KernelInfo& kernel, const HiddenValues& values,
                             std::span<std::byte> kernarg) {
  if (kernarg.size() < kernel.kernarg_size)
    return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                strf("kernel %s needs an argument block of %u bytes, not %zu", kernel.name.c_str(),
                     kernel.kernarg_size, kernarg.size()));
  for (int d = 0; d < 3; d++)
    if (values.group_size[d] == 0)
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  strf("kernel %s: a workgroup of size 0", kernel.name.c_str()));
  // parse_code_object() checked that every hidden argument lies inside and has 1 to 8 bytes.
  for (const HiddenArgument& argument : kernel.hidden) {
    const std::uint64_t value = value_of(argument.kind, values);
    std::memcpy(kernarg.data() + argument.offset, &value, argument.size);
  }
  return {};
}

}  // namespace kiln::gpu

// Owns: what a code object says about its kernels in the NT_AMDGPU_METADATA note: resources, limits
//   and the argument table.
// Does not own: the ELF file around it (code_object.*), the values of hidden arguments
//   (hidden_arguments.*).
// Threading: values only.
//
// Source: LLVM AMDGPUUsage, "Code Object V3 Metadata" to "V5 Metadata".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace kiln::gpu {

/// `.value_kind` of a kernel argument. Everything from HiddenNone on is filled by the runtime.
enum class ArgumentKind : std::uint8_t {
  ByValue,
  GlobalBuffer,
  DynamicSharedPointer,
  Sampler,
  Image,
  Pipe,
  Queue,
  HiddenNone,
  HiddenGlobalOffsetX,
  HiddenGlobalOffsetY,
  HiddenGlobalOffsetZ,
  HiddenPrintfBuffer,
  HiddenHostcallBuffer,
  HiddenDefaultQueue,
  HiddenCompletionAction,
  HiddenMultigridSyncArg,
  HiddenBlockCountX,
  HiddenBlockCountY,
  HiddenBlockCountZ,
  HiddenGroupSizeX,
  HiddenGroupSizeY,
  HiddenGroupSizeZ,
  HiddenRemainderX,
  HiddenRemainderY,
  HiddenRemainderZ,
  HiddenToolCorrelationId,
  HiddenGridDims,
  HiddenHeapV1,
  HiddenDynamicLdsSize,
  HiddenPrivateBase,
  HiddenSharedBase,
  HiddenQueuePtr,
};
/// As the metadata spells it: "by_value", "hidden_block_count_x".
std::string_view to_string(ArgumentKind kind);
constexpr bool is_hidden(ArgumentKind kind) {
  return kind >= ArgumentKind::HiddenNone;
}

struct KernelArgument {
  std::string name;       ///< may be empty
  std::string type_name;  ///< may be empty
  ArgumentKind kind = ArgumentKind::ByValue;
  std::uint32_t offset = 0, size = 0;  ///< bytes in the argument block
  std::uint32_t pointee_align = 0;     ///< of dynamic LDS pointers; 0: not said
};

struct KernelMetadata {
  std::string name;    ///< what users ask for
  std::string symbol;  ///< of the descriptor, "NAME.kd"
  std::uint32_t kernarg_size = 0, kernarg_align = 0;
  std::uint32_t group_segment_fixed_size = 0, private_segment_fixed_size = 0;
  std::uint32_t wavefront_size = 0;
  std::uint32_t sgpr_count = 0, vgpr_count = 0, agpr_count = 0;
  std::uint32_t max_flat_workgroup_size = 0;
  std::array<std::uint32_t, 3> required_workgroup_size{};  ///< 0: any
  bool uses_dynamic_stack = false;
  bool workgroup_processor_mode = false;
  std::vector<KernelArgument> arguments;
};

struct Metadata {
  std::uint32_t version_major = 0, version_minor = 0;
  std::string target;  ///< "amdgcn-amd-amdhsa--gfx942"; empty if not said
  std::vector<KernelMetadata> kernels;
};

/// Reads the note's MessagePack document. Every failure is an error that says what was wrong.
Result<Metadata> parse_metadata(std::span<const std::byte> note);

}  // namespace kiln::gpu

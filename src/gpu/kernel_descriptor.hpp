// Owns: the 64-byte kernel descriptor of code objects (symbol NAME.kd) and its property bits.
// Does not own: finding it in an ELF (code_object.*), what becomes of it (dispatch.*).
// Threading: plain data.
//
// Source: LLVM AMDGPUUsage, "Kernel Descriptor".
#pragma once

#include <cstddef>
#include <cstdint>

namespace kiln::gpu {

struct KernelDescriptor {
  std::uint32_t group_segment_fixed_size;    ///< static LDS, bytes
  std::uint32_t private_segment_fixed_size;  ///< scratch, bytes per lane
  std::uint32_t kernarg_size;
  std::uint32_t reserved0;
  std::int64_t kernel_code_entry_byte_offset;  ///< from the descriptor itself
  std::uint32_t reserved1[5];
  std::uint32_t compute_pgm_rsrc3;
  std::uint32_t compute_pgm_rsrc1;
  std::uint32_t compute_pgm_rsrc2;
  std::uint16_t kernel_code_properties;
  std::uint16_t kernarg_preload;  ///< length in dwords 6:0, offset in dwords 15:7
  std::uint32_t reserved2;

  constexpr std::uint32_t preload_length() const { return kernarg_preload & 0x7Fu; }
  constexpr std::uint32_t preload_offset() const { return kernarg_preload >> 7; }
};
static_assert(sizeof(KernelDescriptor) == 64);
static_assert(offsetof(KernelDescriptor, kernel_code_entry_byte_offset) == 16);
static_assert(offsetof(KernelDescriptor, compute_pgm_rsrc3) == 44);
static_assert(offsetof(KernelDescriptor, compute_pgm_rsrc1) == 48);
static_assert(offsetof(KernelDescriptor, compute_pgm_rsrc2) == 52);
static_assert(offsetof(KernelDescriptor, kernel_code_properties) == 56);
static_assert(offsetof(KernelDescriptor, kernarg_preload) == 58);

/// kernel_code_properties; the first seven ask for user SGPRs, in this order.
enum KernelProperty : std::uint16_t {
  kPropPrivateSegmentBuffer = 1u << 0,
  kPropDispatchPtr = 1u << 1,
  kPropQueuePtr = 1u << 2,
  kPropKernargSegmentPtr = 1u << 3,
  kPropDispatchId = 1u << 4,
  kPropFlatScratchInit = 1u << 5,
  kPropPrivateSegmentSize = 1u << 6,
  kPropWavefrontSize32 = 1u << 10,
  kPropUsesDynamicStack = 1u << 11,
};

/// Code that preloads kernel arguments begins with 256 bytes that load them itself, for firmware
/// that does not; whoever fills the SGPRs starts behind them (AMDGPUUsage, "Preloaded Kernel
/// Arguments").
inline constexpr std::uint32_t kPreloadPrologueBytes = 256;

}  // namespace kiln::gpu

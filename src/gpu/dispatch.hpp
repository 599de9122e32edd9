// Owns: turning a kernel descriptor, a grid and arguments into registers and packets: prebuilt
//   register images, user SGPRs in ABI order, LDS, scratch, partial workgroups, and leaving out
//   what the queue's registers already hold.
// Does not own: kernel arguments' contents (core), code objects (code_object.*).
// Threading: a KernelImage is constant once built; a DispatchState belongs to one stream.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string>

#include "gpu/commands.hpp"
#include "gpu/kernel_descriptor.hpp"
#include "gpu/target.hpp"

namespace kiln::gpu {

/// Who a user SGPR pair or single is for, in the order of the ABI (AMDGPUUsage, "Initial Kernel
/// Execution State").
enum class UserSgpr : std::uint8_t {
  PrivateSegmentBuffer,  ///< four: a buffer descriptor of the scratch memory
  DispatchPtr,
  QueuePtr,
  KernargPtr,
  DispatchId,
  FlatScratchInit,  ///< the scratch memory's address
  PrivateSegmentSize,
};

struct ImageOptions {
  /// KFD queues: firmware sets bits for AQL dispatches that PM4 dispatches must set themselves.
  bool kfd = true;
};

/// The registers of one kernel, built once at kernel creation.
struct KernelImage {
  const Target* target = nullptr;
  Va entry = 0;                                   ///< first instruction; 256-byte aligned
  std::uint32_t rsrc1 = 0, rsrc2 = 0, rsrc3 = 0;  ///< rsrc2 with LDS_SIZE 0
  std::uint32_t initiator = 0;
  std::uint32_t static_lds = 0;     ///< bytes
  std::uint32_t private_bytes = 0;  ///< scratch per lane; the least, if `dynamic_stack`
  std::uint32_t kernarg_bytes = 0;
  bool dynamic_stack = false;
  std::uint8_t wave_size = 64;
  std::array<UserSgpr, 8> user{};  ///< in order
  std::uint8_t user_count = 0;
  std::uint8_t user_dwords = 0;                ///< of those
  std::uint8_t preload_dwords = 0;             ///< kernel arguments after them
  std::uint16_t preload_offset = 0;            ///< dwords into the argument block
  std::uint32_t scratch_descriptor_word3 = 0;  ///< where it asks for a private segment buffer

  bool uses(UserSgpr what) const {
    for (std::uint8_t i = 0; i < user_count; ++i)
      if (user[i] == what) return true;
    return false;
  }
};

/// `descriptor_address` is where the descriptor lies in GPU memory. The error says which demand of
/// the kernel the target cannot meet.
std::expected<KernelImage, std::string> make_kernel_image(const Target& target,
                                                          const KernelDescriptor& descriptor,
                                                          Va descriptor_address,
                                                          const ImageOptions& options = {});

/// Scratch as bound to a queue. Each XCC has its own part.
struct ScratchBinding {
  /// Of XCC 0; 256-byte aligned. 0: not known yet. Then emit_scratch_base sets it elsewhere, or,
  /// where kernels get it in user SGPRs, apply() puts it into the dwords of
  /// DispatchState::scratch_words.
  Va base = 0;
  std::uint64_t xcc_stride = 0;  ///< to the part of the next XCC
  std::uint32_t tmpring_size = 0;
  std::uint32_t bytes_per_wave = 0;
  bool operator==(const ScratchBinding&) const = default;
};

struct ScratchNeeds {
  std::uint32_t bytes_per_wave = 0;  ///< rounded to the granule
  std::uint32_t tmpring_size = 0;
  std::uint64_t bytes_per_xcc = 0;
};

/// What a kernel with `private_bytes` a lane needs at most. `cu_per_xcc`, `slots_per_cu` and
/// `shader_engines_per_xcc` are the chip's. The error: more than WAVESIZE can say.
std::expected<ScratchNeeds, std::string> scratch_needs(
    const Target& target, std::uint32_t private_bytes, std::uint32_t wave_size,
    std::uint32_t cu_per_xcc, std::uint32_t slots_per_cu, std::uint32_t shader_engines_per_xcc);

struct DispatchArgs {
  std::uint32_t groups[3] = {1, 1, 1};   ///< workgroups; ignored by the indirect form
  std::uint32_t threads[3] = {1, 1, 1};  ///< of a full workgroup
  std::uint32_t partial[3] = {0, 0, 0};  ///< of the last workgroup in each dimension; 0: full
  std::uint32_t dynamic_lds = 0;         ///< bytes on top of the kernel's own
  Va kernarg = 0;
  /// The argument block's bytes, to preload arguments. Null: the kernel loads them itself, and the
  /// block may still be changed after recording.
  const std::uint32_t* kernarg_data = nullptr;
  Va dispatch_packet = 0;  ///< an AQL kernel dispatch packet, where asked for
  Va queue = 0;            ///< an amd_queue_t, where asked for
  std::uint64_t dispatch_id = 0;
  ScratchBinding scratch;  ///< where the kernel uses scratch
};

/// A dword of a stream that holds part of the scratch memory's address.
struct ScratchWord {
  enum Part : std::uint8_t { None, Low, High, DescriptorHigh };
  std::uint32_t position = 0;  ///< in the writer's memory
  Part part = None;
};
/// What belongs there.
std::uint32_t scratch_word(ScratchWord::Part part, Va base);

/// What the queue's registers hold at this point of the stream. A fresh one knows nothing.
struct DispatchState {
  bool constants_known = false;  ///< START, RESTART, RESOURCE_LIMITS and the like
  bool program_known = false;
  bool scratch_known = false;
  std::uint16_t user_known = 0;  ///< bit i: user_data[i] is what the register holds
  Va program = 0;
  std::uint32_t rsrc1 = 0, rsrc2 = 0, rsrc3 = 0;
  std::array<std::uint32_t, 3> num_thread{};
  ScratchBinding scratch;
  std::array<std::uint32_t, 16> user_data{};
  std::array<ScratchWord::Part, 16> user_scratch{};  ///< which of them are parts of an address

  /// Of the dispatch emitted last: the dwords that await the scratch address.
  std::array<ScratchWord, 4> scratch_words{};
  std::uint8_t scratch_word_count = 0;

  void forget() { *this = DispatchState{}; }
};

/// Whether `args` can run: sizes in range, LDS within the limit, addresses that the kernel needs
/// are there. Empty if so, else the reason.
std::string check_dispatch(const KernelImage& image, const DispatchArgs& args);

/// Upper bound of emit_dispatch and emit_dispatch_indirect.
constexpr std::uint32_t max_dispatch_dwords(std::uint32_t xcc_count) {
  // START+NUM_THREAD+2 (10), RESTART+TT (6), RESOURCE_LIMITS (3), PGM (4), RSRC1/2 (4), RSRC3 (3),
  // idle (2), TMPRING (3), scratch base (4, or 6 per XCC), USER_DATA (18), DISPATCH_DIRECT (5).
  return 58 + (xcc_count > 1 ? 6 * xcc_count : 4);
}

void emit_dispatch(DwordWriter& writer, const QueueContext& queue, const KernelImage& image,
                   const DispatchArgs& args, DispatchState& state);
void emit_dispatch_indirect(DwordWriter& writer, const QueueContext& queue,
                            const KernelImage& image, const DispatchArgs& args, Va grid,
                            DispatchState& state);

/// Only the base address, where a register holds it (ScratchScheme::ArchitectedFlat), which stays
/// until it is set again: for streams that are recorded before it is known which queue, and so
/// which memory, they will run on.
void emit_scratch_base(DwordWriter& writer, const QueueContext& queue,
                       const ScratchBinding& scratch);
inline constexpr std::uint32_t kScratchBaseDwords = 4;
constexpr std::uint32_t max_scratch_base_dwords(std::uint32_t xcc_count) {
  return xcc_count > 1 ? (2 + kScratchBaseDwords) * xcc_count : kScratchBaseDwords;
}

/// LDS_SIZE units for `bytes`.
std::uint32_t lds_units(const Target& target, std::uint32_t bytes);

}  // namespace kiln::gpu

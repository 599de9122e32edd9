// Owns: kernel images, scratch sizes, and the registers and packets of a dispatch.
// Does not own: barriers between dispatches (cache.*).
// Threading: functions of their arguments.
#include "gpu/dispatch.hpp"

#include <algorithm>
#include <cassert>

#include "base/result.hpp"
#include "gpu/cache.hpp"
#include "gpu/pm4.hpp"
#include "gpu/registers.hpp"

namespace kiln::gpu {
namespace {

std::uint32_t dwords_of(UserSgpr what) {
  switch (what) {
    case UserSgpr::PrivateSegmentBuffer:
      return 4;
    case UserSgpr::PrivateSegmentSize:
      return 1;
    default:
      return 2;
  }
}

/// Values of USER_DATA_0.. and which of them are parts of the scratch memory's address.
struct UserData {
  std::array<std::uint32_t, 16> values{};
  std::array<ScratchWord::Part, 16> parts{};
  std::uint32_t count = 0;

  void add(std::uint32_t value, ScratchWord::Part part = ScratchWord::None) {
    values[count] = value;
    parts[count++] = part;
  }
  void add64(std::uint64_t value) {
    add(static_cast<std::uint32_t>(value));
    add(static_cast<std::uint32_t>(value >> 32));
  }
  void add_scratch(ScratchWord::Part part, Va base) { add(scratch_word(part, base), part); }
};

void put_registers(DwordWriter& writer, std::uint32_t first, const std::uint32_t* values,
                   std::uint32_t count) {
  writer.put(
      Packet<pm4::SetShReg>{}.set<pm4::SetShReg::reg_offset>(first - pm4::kShRegBase).tail(count));
  writer.put(values, count);
}

void put_address(DwordWriter& writer, std::uint32_t first, Va address) {
  // 40 bits of address >> 8 in two registers.
  const std::uint32_t halves[] = {static_cast<std::uint32_t>(address >> 8),
                                  static_cast<std::uint32_t>(address >> 40) & 0xFF};
  put_registers(writer, first, halves, 2);
}

void put_scratch(DwordWriter& writer, const QueueContext& queue, const ScratchBinding& scratch) {
  // A wave's place is its slot's number times WAVESIZE: waves of an earlier dispatch with another
  // size, in the same memory, would overlap with the new ones (Mesa ac_gpu_info.c,
  // ac_get_scratch_tmpring_size: constant while the GPU uses the buffer). They end first.
  emit_idle(writer);
  put_registers(writer, reg::TmpringSizeGfx9::kOffset, &scratch.tmpring_size, 1);
  if (scratch.base != 0) emit_scratch_base(writer, queue, scratch);
}

/// In ABI order.
UserData user_data_of(const KernelImage& image, const DispatchArgs& args) {
  UserData user;
  for (std::uint8_t i = 0; i < image.user_count; ++i) {
    switch (image.user[i]) {
      case UserSgpr::PrivateSegmentBuffer:
        user.add_scratch(ScratchWord::Low, args.scratch.base);
        user.add_scratch(ScratchWord::DescriptorHigh, args.scratch.base);
        // As many records as there can be: the base moves by the wave's offset, a size would not
        // (LLVM, Mesa and tinygrad; ROCr writes the size).
        user.add(~0u);
        user.add(image.scratch_descriptor_word3);
        break;
      case UserSgpr::DispatchPtr:
        user.add64(args.dispatch_packet);
        break;
      case UserSgpr::QueuePtr:
        user.add64(args.queue);
        break;
      case UserSgpr::KernargPtr:
        user.add64(args.kernarg);
        break;
      case UserSgpr::DispatchId:
        user.add64(args.dispatch_id);
        break;
      case UserSgpr::FlatScratchInit:
        // gfx9 and gfx10: the base itself, to which the kernel adds its wave's offset (AMDGPUUsage,
        // "Flat Scratch", absolute).
        user.add_scratch(ScratchWord::Low, args.scratch.base);
        user.add_scratch(ScratchWord::High, args.scratch.base);
        break;
      case UserSgpr::PrivateSegmentSize:
        user.add(image.dynamic_stack ? args.scratch.bytes_per_wave / image.wave_size
                                     : image.private_bytes);
        break;
    }
  }
  if (args.kernarg_data != nullptr)
    for (std::uint32_t i = 0; i < image.preload_dwords; ++i)
      user.add(args.kernarg_data[image.preload_offset + i]);
  return user;
}

/// One packet from the first to the last register that changes.
void put_user_data(DwordWriter& writer, const KernelImage& image, const DispatchArgs& args,
                   DispatchState& state) {
  const UserData user = user_data_of(image, args);
  std::uint32_t first = user.count, last = 0;
  for (std::uint32_t i = 0; i < user.count; ++i) {
    const bool same = (state.user_known >> i & 1) != 0 && state.user_data[i] == user.values[i] &&
                      state.user_scratch[i] == user.parts[i];
    if (same) continue;
    first = std::min(first, i);
    last = i;
    state.user_data[i] = user.values[i];
    state.user_scratch[i] = user.parts[i];
    state.user_known = static_cast<std::uint16_t>(state.user_known | 1u << i);
  }
  state.scratch_word_count = 0;
  if (first == user.count) return;
  put_registers(writer, reg::UserData0::kOffset + first, user.values.data() + first,
                last - first + 1);
  if (args.scratch.base != 0) return;
  const std::uint32_t begin = writer.position() - (last - first + 1);
  for (std::uint32_t i = first; i <= last; ++i)
    if (user.parts[i] != ScratchWord::None)
      state.scratch_words[state.scratch_word_count++] = {begin + i - first, user.parts[i]};
}

std::uint32_t put_state(DwordWriter& writer, const QueueContext& queue, const KernelImage& image,
                        const DispatchArgs& args, DispatchState& state) {
  using Initiator = RegisterValue<reg::DispatchInitiator>;
  const bool partial = (args.partial[0] | args.partial[1] | args.partial[2]) != 0;
  std::array<std::uint32_t, 3> num_thread;
  for (int i = 0; i < 3; ++i) {
    RegisterValue<reg::NumThreadX> value;
    value.set<reg::NumThreadX::full>(args.threads[i]);
    // With partial workgroups on, a dimension that divides evenly repeats its full size (Mesa
    // radv_emit_dispatch_packets).
    if (partial)
      value.set<reg::NumThreadX::partial>(args.partial[i] != 0 ? args.partial[i] : args.threads[i]);
    num_thread[i] = value.value;
  }
  if (!state.constants_known) {
    // START_X..Z, NUM_THREAD_X..Z, PIPELINESTAT_ENABLE, PERFCOUNT_ENABLE lie side by side.
    const std::uint32_t start[] = {0, 0, 0, num_thread[0], num_thread[1], num_thread[2], 0, 0};
    put_registers(writer, reg::StartX::kOffset, start, 8);
    const std::uint32_t zero[3] = {};
    put_registers(writer, reg::RestartX::kOffset, zero, 3);
    put_registers(writer, reg::ResourceLimits::kOffset, zero, 1);
    state.constants_known = true;
  } else if (state.num_thread != num_thread) {
    put_registers(writer, reg::NumThreadX::kOffset, num_thread.data(), 3);
  }
  state.num_thread = num_thread;

  const Va program = args.kernarg_data != nullptr && image.preload_dwords != 0
                         ? image.entry + kPreloadPrologueBytes
                         : image.entry;
  const std::uint32_t lds = lds_units(*image.target, image.static_lds + args.dynamic_lds);
  const std::uint32_t rsrc2 =
      RegisterValue<reg::PgmRsrc2>{image.rsrc2}.set<reg::PgmRsrc2::lds_size>(lds).value;
  if (!state.program_known || state.program != program)
    put_address(writer, reg::PgmLo::kOffset, program);
  if (!state.program_known || state.rsrc1 != image.rsrc1 || state.rsrc2 != rsrc2) {
    const std::uint32_t values[] = {image.rsrc1, rsrc2};
    put_registers(writer, reg::PgmRsrc1::kOffset, values, 2);
  }
  if (!state.program_known || state.rsrc3 != image.rsrc3)
    put_registers(writer, image.target->dispatch.rsrc3_register, &image.rsrc3, 1);
  state.program_known = true;
  state.program = program;
  state.rsrc1 = image.rsrc1;
  state.rsrc2 = rsrc2;
  state.rsrc3 = image.rsrc3;

  const bool uses_scratch = RegisterValue<reg::PgmRsrc2>{rsrc2}.get<reg::PgmRsrc2::scratch_en>();
  if (uses_scratch && (!state.scratch_known || state.scratch != args.scratch)) {
    put_scratch(writer, queue, args.scratch);
    state.scratch_known = true;
    state.scratch = args.scratch;
  }
  put_user_data(writer, image, args, state);
  return Initiator{image.initiator}.set<reg::DispatchInitiator::partial_tg_en>(partial).value;
}

}  // namespace

std::uint32_t scratch_word(ScratchWord::Part part, Va base) {
  // Of the descriptor's second dword, 16 bits are address; SWIZZLE_ENABLE is bit 31 (ROCr
  // AqlQueue::FillBufRsrcWord1).
  constexpr std::uint32_t kSwizzle = 1u << 31;
  switch (part) {
    case ScratchWord::Low:
      return static_cast<std::uint32_t>(base);
    case ScratchWord::High:
      return static_cast<std::uint32_t>(base >> 32);
    case ScratchWord::DescriptorHigh:
      return (static_cast<std::uint32_t>(base >> 32) & 0xFFFF) | kSwizzle;
    case ScratchWord::None:
      break;
  }
  return 0;
}

void emit_scratch_base(DwordWriter& writer, const QueueContext& queue,
                       const ScratchBinding& scratch) {
  if (queue.target->scratch.scheme != ScratchScheme::ArchitectedFlat) return;
  if (queue.xcc_count <= 1) {
    put_address(writer, reg::DispatchScratchBaseLo::kOffset, scratch.base);
    return;
  }
  for (std::uint32_t xcc = 0; xcc < queue.xcc_count; ++xcc) {
    writer.put(Packet<pm4::PredExec>{}
                   .set<pm4::PredExec::exec_count>(kScratchBaseDwords)
                   .set<pm4::PredExec::virtual_xcc_mask>(1u << xcc));
    put_address(writer, reg::DispatchScratchBaseLo::kOffset,
                scratch.base + xcc * scratch.xcc_stride);
  }
}

std::uint32_t lds_units(const Target& target, std::uint32_t bytes) {
  return (bytes + target.lds.granule - 1) / target.lds.granule;
}

std::expected<KernelImage, std::string> make_kernel_image(const Target& target,
                                                          const KernelDescriptor& descriptor,
                                                          Va descriptor_address,
                                                          const ImageOptions& options) {
  const std::string name(target.name);
  const std::uint16_t properties = descriptor.kernel_code_properties;
  KernelImage image;
  image.target = &target;
  image.entry =
      descriptor_address + static_cast<std::uint64_t>(descriptor.kernel_code_entry_byte_offset);
  if (image.entry % 256 != 0)
    return std::unexpected(strf("the kernel's code at 0x%llx is not aligned to 256 bytes",
                                static_cast<unsigned long long>(image.entry)));
  if ((properties & kPropWavefrontSize32) != 0 && !target.wave.wave32)
    return std::unexpected("the kernel is for waves of 32 lanes, which " + name + " has not");
  image.wave_size = (properties & kPropWavefrontSize32) != 0 ? 32 : 64;
  if (image.wave_size == 64 && !target.wave.wave64)
    return std::unexpected("the kernel is for waves of 64 lanes, which " + name + " has not");
  if (target.scratch.scheme == ScratchScheme::ArchitectedFlat &&
      (properties & (kPropPrivateSegmentBuffer | kPropFlatScratchInit)) != 0)
    return std::unexpected(
        "the kernel asks for a private segment buffer or flat scratch init, which " + name +
        " has not: its scratch is architected");

  auto ask = [&](std::uint16_t property, UserSgpr what) {
    if ((properties & property) == 0) return;
    image.user[image.user_count++] = what;
    image.user_dwords = static_cast<std::uint8_t>(image.user_dwords + dwords_of(what));
  };
  ask(kPropPrivateSegmentBuffer, UserSgpr::PrivateSegmentBuffer);
  ask(kPropDispatchPtr, UserSgpr::DispatchPtr);
  ask(kPropQueuePtr, UserSgpr::QueuePtr);
  ask(kPropKernargSegmentPtr, UserSgpr::KernargPtr);
  ask(kPropDispatchId, UserSgpr::DispatchId);
  ask(kPropFlatScratchInit, UserSgpr::FlatScratchInit);
  ask(kPropPrivateSegmentSize, UserSgpr::PrivateSegmentSize);
  if (descriptor.preload_length() != 0 && !target.dispatch.kernarg_preload)
    return std::unexpected("the kernel wants its arguments preloaded, which " + name +
                           " cannot do");
  image.preload_dwords = static_cast<std::uint8_t>(descriptor.preload_length());
  image.preload_offset = static_cast<std::uint16_t>(descriptor.preload_offset());
  const std::uint32_t user = image.user_dwords + image.preload_dwords;
  const std::uint32_t declared =
      RegisterValue<reg::PgmRsrc2>{descriptor.compute_pgm_rsrc2}.get<reg::PgmRsrc2::user_sgpr>();
  if (user > reg::kUserDataCount || user > declared)
    return std::unexpected(
        strf("the kernel's properties ask for %u user SGPRs, its RSRC2 has %u, "
             "the hardware 16",
             user, declared));

  image.rsrc1 = descriptor.compute_pgm_rsrc1;
  image.rsrc2 = RegisterValue<reg::PgmRsrc2>{descriptor.compute_pgm_rsrc2}
                    .set<reg::PgmRsrc2::lds_size>(0)
                    .value;
  image.rsrc3 = descriptor.compute_pgm_rsrc3;
  if (options.kfd) {
    image.rsrc1 |= target.dispatch.kfd_rsrc1_or;
    image.rsrc2 |= target.dispatch.kfd_rsrc2_or;
  }
  image.initiator = target.dispatch.initiator;
  if (image.wave_size == 32 && target.dispatch.wave32_initiator_bit)
    image.initiator = RegisterValue<reg::DispatchInitiator>{image.initiator}
                          .set<reg::DispatchInitiator::cs_w32_en>(1)
                          .value;
  image.static_lds = descriptor.group_segment_fixed_size;
  if (image.static_lds > target.lds.max_per_workgroup)
    return std::unexpected(strf("the kernel uses %u bytes of LDS, %s has %u for a workgroup",
                                image.static_lds, name.c_str(), target.lds.max_per_workgroup));
  image.private_bytes = descriptor.private_segment_fixed_size;
  image.kernarg_bytes = descriptor.kernarg_size;
  image.dynamic_stack = (properties & kPropUsesDynamicStack) != 0;
  // Lanes of a wave lie dword by dword side by side: INDEX_STRIDE, bits 22:21, 2 for 32 and 3 for
  // 64 (Mesa aco load_scratch_resource).
  image.scratch_descriptor_word3 =
      target.scratch.descriptor_word3 | (image.wave_size == 32 ? 2u : 3u) << 21;
  return image;
}

std::expected<ScratchNeeds, std::string> scratch_needs(
    const Target& target, std::uint32_t private_bytes, std::uint32_t wave_size,
    std::uint32_t cu_per_xcc, std::uint32_t slots_per_cu, std::uint32_t shader_engines_per_xcc) {
  const ScratchRow& row = target.scratch;
  const std::uint64_t units =
      (std::uint64_t{private_bytes} * wave_size + row.wave_granule - 1) / row.wave_granule;
  const std::uint64_t max_units = (std::uint64_t{1} << row.wavesize_bits) - 1;
  if (units > max_units)
    return std::unexpected(
        strf("%u bytes of scratch a lane: a wave can have %llu bytes on %s", private_bytes,
             static_cast<unsigned long long>(max_units * row.wave_granule), target.name.data()));
  constexpr std::uint32_t kMaxWaves = 0xFFF;  // TMPRING_SIZE.WAVES has 12 bits
  const std::uint32_t domains =
      row.waves == ScratchWaves::PerShaderEngine ? std::max(shader_engines_per_xcc, 1u) : 1;
  std::uint32_t waves = std::min(cu_per_xcc * slots_per_cu / domains, kMaxWaves);
  // A count for all shader engines is shared out evenly (ROCr AqlQueue::FillComputeTmpRingSize).
  if (domains == 1) waves -= waves % std::max(shader_engines_per_xcc, 1u);
  ScratchNeeds needs;
  needs.bytes_per_wave = static_cast<std::uint32_t>(units * row.wave_granule);
  needs.bytes_per_xcc = std::uint64_t{needs.bytes_per_wave} * waves * domains;
  needs.tmpring_size =
      RegisterValue<reg::TmpringSizeGfx9>{}.set<reg::TmpringSizeGfx9::waves>(waves).value |
      static_cast<std::uint32_t>(units) << 12;
  return needs;
}

std::string check_dispatch(const KernelImage& image, const DispatchArgs& args) {
  const Target& target = *image.target;
  std::uint64_t threads = 1;
  for (int i = 0; i < 3; ++i) {
    if (args.threads[i] == 0 || args.threads[i] > target.dispatch.max_workgroup_threads)
      return strf("%u threads in dimension %d of a workgroup: 1 to %u are possible",
                  args.threads[i], i, target.dispatch.max_workgroup_threads);
    if (args.groups[i] == 0) return strf("no workgroups in dimension %d", i);
    if (args.partial[i] >= args.threads[i] && args.partial[i] != 0)
      return strf("a partial workgroup of %u threads in dimension %d, of %u", args.partial[i], i,
                  args.threads[i]);
    threads *= args.threads[i];
  }
  if (threads > target.dispatch.max_workgroup_threads)
    return strf("%llu threads in a workgroup: %u are possible",
                static_cast<unsigned long long>(threads), target.dispatch.max_workgroup_threads);
  const std::uint64_t lds = std::uint64_t{image.static_lds} + args.dynamic_lds;
  if (lds > target.lds.max_per_workgroup)
    return strf("%llu bytes of LDS, %u of them dynamic: %s has %u for a workgroup",
                static_cast<unsigned long long>(lds), args.dynamic_lds, target.name.data(),
                target.lds.max_per_workgroup);
  if (image.uses(UserSgpr::KernargPtr) && image.kernarg_bytes != 0 && args.kernarg == 0)
    return "the kernel takes arguments and there is no argument block";
  if (image.uses(UserSgpr::DispatchPtr) && args.dispatch_packet == 0)
    return "the kernel reads its dispatch packet and there is none";
  if (image.uses(UserSgpr::QueuePtr) && args.queue == 0)
    return "the kernel reads its queue and there is none";
  if (RegisterValue<reg::PgmRsrc2>{image.rsrc2}.get<reg::PgmRsrc2::scratch_en>() != 0) {
    if (args.scratch.tmpring_size == 0) return "the kernel uses scratch and there is none";
    if (args.scratch.base % 256 != 0 || args.scratch.xcc_stride % 256 != 0)
      return "scratch is not aligned to 256 bytes";
    if (args.scratch.bytes_per_wave < std::uint64_t{image.private_bytes} * image.wave_size)
      return strf("the kernel needs %u bytes of scratch a lane, a wave's %u bytes do not suffice",
                  image.private_bytes, args.scratch.bytes_per_wave);
  }
  return {};
}

void emit_dispatch(DwordWriter& writer, const QueueContext& queue, const KernelImage& image,
                   const DispatchArgs& args, DispatchState& state) {
  const std::uint32_t initiator = put_state(writer, queue, image, args, state);
  writer.put(Packet<pm4::DispatchDirect>{}
                 .set<pm4::DispatchDirect::dim_x>(args.groups[0])
                 .set<pm4::DispatchDirect::dim_y>(args.groups[1])
                 .set<pm4::DispatchDirect::dim_z>(args.groups[2])
                 .set<pm4::DispatchDirect::initiator>(initiator));
}

void emit_dispatch_indirect(DwordWriter& writer, const QueueContext& queue,
                            const KernelImage& image, const DispatchArgs& args, Va grid,
                            DispatchState& state) {
  const std::uint32_t initiator = put_state(writer, queue, image, args, state);
  writer.put(Packet<pm4::DispatchIndirect>{}
                 .set<pm4::DispatchIndirect::address>(grid)
                 .set<pm4::DispatchIndirect::initiator>(initiator));
}

}  // namespace kiln::gpu

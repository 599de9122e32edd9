// Owns: from COMPUTE_* registers to a dispatch in flight.
// Does not own: running it (shader_array.*), what its waves start with (isa/launch.cpp).
// Threading: the command processor's step.
//
// Sources: Linux gc_9_4_3 and gc_11_0_0 sh_mask headers, Mesa radv_emit_dispatch_packets (START and
// partial workgroups), PAL gfx9ComputeCmdBuffer.cpp.
#include "base/result.hpp"
#include "gpu/pm4.hpp"
#include "gpu/registers.hpp"
#include "vgpu/command_processor.hpp"

namespace kiln::vgpu {

namespace pm4 = gpu::pm4;
namespace reg_ = gpu::reg;

namespace {

isa::Arch arch_of(gpu::Generation generation) {
  switch (generation) {
    case gpu::Generation::Cdna2:
      return isa::Arch::Cdna2;
    case gpu::Generation::Cdna3:
      return isa::Arch::Cdna3;
    case gpu::Generation::Rdna2:
      return isa::Arch::Rdna2;
    case gpu::Generation::Rdna3:
    case gpu::Generation::Rdna4:
      break;
  }
  return isa::Arch::Rdna3;
}

/// KFD sets SPI's trap_en to 0 on GC 11.0.0 to 11.0.3 (kfd_device_queue_manager_v11.c), so that no
/// handler runs there.
bool runs_trap_handlers(const ChipSpec& chip) {
  return chip.gc.major < 11;
}

}  // namespace

std::uint32_t& CommandProcessor::reg(std::uint32_t offset) {
  return sh_registers_[offset - pm4::kShRegBase];
}

CommandProcessor::Result CommandProcessor::dispatch_indirect(const gpu::PacketView& view) {
  std::uint32_t dims[3];
  if (!port_.read(view.get(pm4::DispatchIndirect::address), dims, sizeof dims))
    return memory_fault();
  return dispatch(dims, static_cast<std::uint32_t>(view.get(pm4::DispatchIndirect::initiator)));
}

CommandProcessor::Result CommandProcessor::dispatch(const std::uint32_t (&dims)[3],
                                                    std::uint32_t initiator_value) {
  // A dispatch that no shader array can start waits for ever, and the queue with it; nothing
  // reports that.
  auto never_starts = [&](const std::string& why) {
    queue_->hang("dispatch: " + why);
    return Result::Stopped;
  };
  const gpu::Target& target = context_.target;
  const gpu::RegisterValue<reg_::DispatchInitiator> initiator{initiator_value};
  const gpu::RegisterValue<reg_::PgmRsrc2> rsrc2{reg(reg_::PgmRsrc2::kOffset)};
  isa::Dispatch d;
  d.arch = arch_of(target.generation);
  if (initiator.get<reg_::DispatchInitiator::compute_shader_en>() == 0)
    return never_starts("COMPUTE_SHADER_EN is 0");
  d.wave32 = initiator.get<reg_::DispatchInitiator::cs_w32_en>() != 0;
  if (d.wave32 ? !target.wave.wave32 : !target.wave.wave64)
    return never_starts("the wave size is not the chip's");

  d.program = Va{reg(reg_::PgmLo::kOffset)} << 8 | Va{reg(reg_::PgmHi::kOffset) & 0xFF} << 40;
  d.rsrc1 = reg(reg_::PgmRsrc1::kOffset);
  d.rsrc2 = rsrc2.value;
  d.rsrc3 = reg(target.dispatch.rsrc3_register);
  d.user_sgprs = rsrc2.get<reg_::PgmRsrc2::user_sgpr>();
  if (d.user_sgprs > reg_::kUserDataCount) return never_starts("more than 16 user SGPRs");
  for (std::uint32_t i = 0; i < reg_::kUserDataCount; ++i)
    d.user_data[i] = reg(reg_::UserData0::kOffset + i);

  const bool partial = initiator.get<reg_::DispatchInitiator::partial_tg_en>() != 0;
  const bool from_zero = initiator.get<reg_::DispatchInitiator::force_start_at_000>() != 0;
  const bool in_threads = initiator.get<reg_::DispatchInitiator::use_thread_dimensions>() != 0;
  std::uint64_t threads = 1;
  bool empty = false;
  for (std::uint32_t axis = 0; axis < 3; ++axis) {
    const gpu::RegisterValue<reg_::NumThreadX> size{reg(reg_::NumThreadX::kOffset + axis)};
    d.threads[axis] = size.get<reg_::NumThreadX::full>();
    threads *= d.threads[axis];
    if (threads == 0 || threads > target.dispatch.max_workgroup_threads)
      return never_starts(
          strf("%llu threads in a workgroup", static_cast<unsigned long long>(threads)));
    d.start[axis] = from_zero ? 0 : reg(reg_::StartX::kOffset + axis);
    std::uint32_t end = dims[axis];
    if (in_threads) {
      d.partial[axis] = dims[axis] % d.threads[axis];
      end = dims[axis] / d.threads[axis] + (d.partial[axis] != 0 ? 1 : 0);
    } else if (partial) {
      d.partial[axis] = size.get<reg_::NumThreadX::partial>();
      if (d.partial[axis] == 0 || d.partial[axis] > d.threads[axis])
        return never_starts(
            strf("a partial workgroup of %u threads, of %u", d.partial[axis], d.threads[axis]));
    }
    // DIM_* are the end, not the number, of workgroups.
    d.groups[axis] = end > d.start[axis] ? end - d.start[axis] : 0;
    empty |= d.groups[axis] == 0;
  }
  d.lds_bytes = rsrc2.get<reg_::PgmRsrc2::lds_size>() * target.lds.granule;
  if (d.lds_bytes > context_.chip.lds_kb * 1024)
    return never_starts(strf("%u bytes of LDS", d.lds_bytes));
  d.shared_aperture = kSharedAperture;
  d.private_aperture = kPrivateAperture;
  d.space = queue_->config.space;
  d.process = queue_->config.process;
  d.queue_id = queue_->config.id;
  d.doorbell_id = queue_->config.doorbell_id;
  if (runs_trap_handlers(context_.chip)) d.trap_handler = queue_->config.trap_handler;
  d.packet = reg(reg_::DispatchPktAddrLo::kOffset) | Va{reg(reg_::DispatchPktAddrHi::kOffset)}
                                                         << 32;
  d.dispatch_id = static_cast<std::uint32_t>(next_serial_);

  std::shared_ptr<ScratchPool> scratch;
  if (rsrc2.get<reg_::PgmRsrc2::scratch_en>() != 0) {
    const Va base = Va{reg(reg_::DispatchScratchBaseLo::kOffset)} << 8 |
                    Va{reg(reg_::DispatchScratchBaseHi::kOffset) & 0xFF} << 40;
    scratch = scratch_pool(d, reg(reg_::TmpringSizeGfx9::kOffset), base);
  }
  if (empty) return Result::Done;

  const DispatchRun::Share share{place_.xcc, place_.logical, place_.count};
  auto run = std::make_shared<DispatchRun>(context_, queue_->tasks, d, share, std::move(scratch),
                                           queue_->enabled_cus(place_.xcc));
  in_flight_.push_back({next_serial_++, run});
  run->start();
  return Result::Done;
}

/// Slots are numbered per scratch memory: a new one starts afresh.
std::shared_ptr<ScratchPool> CommandProcessor::scratch_pool(isa::Dispatch& d, std::uint32_t tmpring,
                                                            Va base) {
  const gpu::ScratchRow& row = context_.target.scratch;
  const std::uint32_t waves = tmpring & 0xFFF;
  const std::uint32_t size = tmpring >> 12 & ((1u << row.wavesize_bits) - 1);
  const std::uint32_t domains = row.waves == gpu::ScratchWaves::PerShaderEngine
                                    ? context_.chip.shader_engines / context_.chip.xcc_count
                                    : 1;
  d.tmpring_size = tmpring;
  d.scratch_base = base;
  d.scratch_wave_bytes = size * row.wave_granule;
  d.scratch_slots = waves * domains;
  if (scratch_ == nullptr || base != scratch_base_ || tmpring != scratch_tmpring_) {
    scratch_ = std::make_shared<ScratchPool>(d.scratch_slots);
    scratch_base_ = base;
    scratch_tmpring_ = tmpring;
  }
  return scratch_;
}

}  // namespace kiln::vgpu

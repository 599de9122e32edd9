// Owns: branches, calls, barriers, waits, halts, messages, s_getreg/s_setreg and VGPR index mode.
// Does not own: arithmetic (salu.cpp), how a workgroup answers a wave's state (run.cpp).
// Threading: the wave's host thread.
//
// Sources: AMD CDNA3 and RDNA3 ISA documents, "SOPP instructions" and "hardware registers".
#include <cstdio>

#include "vgpu/isa/dispatch.hpp"
#include "vgpu/isa/salu.hpp"
#include "vgpu/isa/scalar.hpp"
#include "vgpu/isa/trap.hpp"

namespace kiln::vgpu::isa {
namespace {

void halt_numbered(Wave& w, const char* format, unsigned number) {
  char text[96];
  std::snprintf(text, sizeof text, format, number);
  w.halt(text);
}

// ---- Branches. simm16 counts dwords from the next instruction, where `pc` already stands.

void take(Wave& w, const Instruction& i) {
  w.pc += static_cast<std::uint64_t>(std::int64_t{static_cast<std::int16_t>(i.offset)} * 4);
}
void branch(Wave& w, const Instruction& i) {
  take(w, i);
}
template <auto Condition>
void branch_if(Wave& w, const Instruction& i) {
  if (Condition(w)) take(w, i);
}
void get_pc(Wave& w, const Instruction& i) {
  set_scalar64(w, i.dst, w.pc);
}
void set_pc(Wave& w, const Instruction& i) {
  w.pc = scalar64(w, i, i.src[0]);
}
void swap_pc(Wave& w, const Instruction& i) {
  const Va target = scalar64(w, i, i.src[0]);
  set_scalar64(w, i.dst, w.pc);
  w.pc = target;
}
void call(Wave& w, const Instruction& i) {
  set_scalar64(w, i.dst, w.pc);
  take(w, i);
}

// ---- Waits and hints. Memory answers at once, so every counter is zero already.

void nothing(Wave&, const Instruction&) {}

void sleep(Wave& w, const Instruction&) {
  w.state = WaveState::Yielded;
}
void barrier(Wave& w, const Instruction&) {
  w.state = WaveState::AtBarrier;
}
void end_program(Wave& w, const Instruction&) {
  w.state = WaveState::Done;
}

// ---- Halts.

void set_halt(Wave& w, const Instruction& i) {
  if ((i.offset & 1) != 0) w.halt("s_sethalt");
}
void trap(Wave& w, const Instruction& i) {
  take_trap(w, static_cast<unsigned>(i.offset) & 0xff, w.pc - 4);
}
void return_from_exception(Wave& w, const Instruction& i) {
  return_from_trap(w, scalar64(w, i, i.src[0]));
}
void code_end(Wave& w, const Instruction&) {
  w.halt("execution reached s_code_end");
}

// ---- Messages (LLVM AMDGPUUsage, SIDefines.h: message ids).

constexpr unsigned kMessageInterrupt = 1;
constexpr unsigned kMessageDeallocVgprs = 3;  // gfx11
constexpr unsigned kMessageGetDoorbell = 10;  // gfx9 and gfx10

void send_message(Wave& w, const Instruction& i) {
  const unsigned id = static_cast<unsigned>(i.offset) & (w.arch == Arch::Rdna3 ? 0xffu : 0xfu);
  if (id == kMessageInterrupt)
    w.group->environment->interrupt(*w.group, w.s[kM0], w.in_trap);
  else if (w.in_trap && id == kMessageGetDoorbell)
    w.s[kExecLo] = w.group->doorbell_id;  // bit 31 falls when the answer is there
  else if (!(w.arch == Arch::Rdna3 && id == kMessageDeallocVgprs))
    halt_numbered(w, "s_sendmsg with message %u, which compute waves do not have", id);
}
void send_message_halt(Wave& w, const Instruction& i) {
  send_message(w, i);
  if (w.state == WaveState::Running) w.halt("s_sendmsghalt");
}

/// gfx11: the message id stands in the source field itself, which the decoder gives as `offset`.
template <unsigned kDwords>
void send_message_return(Wave& w, const Instruction& i) {
  constexpr int kGetRealtime = 131;
  if (i.offset != kGetRealtime) {
    halt_numbered(w, "s_sendmsg_rtn with message %u", static_cast<unsigned>(i.offset));
    return;
  }
  const std::uint64_t now = w.group->environment->clock();
  if constexpr (kDwords == 2)
    set_scalar64(w, i.dst, now);
  else
    set_scalar32(w, i.dst, static_cast<std::uint32_t>(now));
}

// ---- Hardware registers.

enum HardwareRegister : unsigned {
  kMode = 1,
  kStatus = 2,
  kTrapsts = 3,
  kHwIdGfx9 = 4,
  kGprAlloc = 5,
  kLdsAlloc = 6,
  kIbSts = 7,
  kShMemBases = 15,
  kTbaLo = 16,
  kTbaHi = 17,
  kTmaLoGfx9 = 18,
  kTmaHiGfx9 = 19,
  kXccIdGfx942 = 20,
  kFlatScratchLo10 = 20,
  kFlatScratchHi10 = 21,
  kHwId1Gfx11 = 23,
  kHwId2Gfx11 = 24,
  kShaderCyclesGfx11 = 29,
};

}  // namespace

std::uint32_t status_register(const Wave& w) {
  // SCC 0, EXECZ 9, VCCZ 10, IN_TG 11, IN_BARRIER 12, VALID 16.
  std::uint32_t status = w.status & ~0x00001e01u;
  status |= w.scc ? 1u : 0u;
  status |= (w.exec() == 0 ? 1u : 0u) << 9 | (w.vcc() == 0 ? 1u : 0u) << 10;
  status |= (w.group->waves.size() > 1 ? 1u : 0u) << 11 | 1u << 16;
  return status;
}

namespace {

bool read_register(const Wave& w, unsigned id, std::uint32_t* value) {
  const bool gfx9 = is_cdna(w.arch);
  switch (id) {
    case kMode:
      *value = w.mode;
      return true;
    case kStatus:
      *value = status_register(w);
      return true;
    case kTrapsts:
      *value = w.trapsts;
      return true;
    case kGprAlloc:
      *value = 0;
      return true;   // bases; sizes are not guaranteed by any document
    case kLdsAlloc:  // LDS_BASE 0, LDS_SIZE in 512-byte units from bit 12
      *value = static_cast<std::uint32_t>((w.group->lds.size() + 511) / 512) << 12;
      return true;
    case kIbSts:
      *value = 0;
      return true;     // all counters are zero
    case kShMemBases:  // PRIVATE_BASE 15:0, SHARED_BASE 31:16: address bits 63:48
      *value = static_cast<std::uint32_t>(w.group->private_aperture >> 48) |
               static_cast<std::uint32_t>(w.group->shared_aperture >> 48) << 16;
      return true;
    case kTbaLo:
    case kTbaHi:
      *value = 0;
      return true;  // no trap handler
    default:
      break;
  }
  if (gfx9) {
    switch (id) {
      case kHwIdGfx9:
        *value = w.hw_id;
        return true;
      case kXccIdGfx942:
        *value = w.xcc_id;
        return true;
      case kTmaLoGfx9:
      case kTmaHiGfx9:
        *value = 0;
        return true;
      default:
        return false;
    }
  }
  switch (id) {
    case kFlatScratchLo10:
      *value = static_cast<std::uint32_t>(w.scratch_base);
      return true;
    case kFlatScratchHi10:
      *value = static_cast<std::uint32_t>(w.scratch_base >> 32);
      return true;
    case kHwId1Gfx11:
      *value = w.hw_id;
      return true;
    case kHwId2Gfx11:
      *value = 0;
      return true;
    case kShaderCyclesGfx11:
      // 20 bits of shader clock; about 25 shader cycles pass in one tick of the 100 MHz clock.
      *value = static_cast<std::uint32_t>(w.group->environment->clock() * 25) & 0xfffff;
      return true;
    default:
      return false;
  }
}

struct RegisterField {
  unsigned id, offset, width;
  explicit RegisterField(const Instruction& i)
      : id(i.offset & 0x3f), offset(i.offset >> 6 & 0x1f), width((i.offset >> 11 & 0x1f) + 1) {}
  std::uint32_t mask() const { return width == 32 ? ~0u : (1u << width) - 1; }
};

void get_register(Wave& w, const Instruction& i) {
  const RegisterField field(i);
  std::uint32_t value = 0;
  if (!read_register(w, field.id, &value)) {
    halt_numbered(w, "s_getreg_b32 of hardware register %u, which is not modelled", field.id);
    return;
  }
  set_scalar32(w, i.dst, value >> field.offset & field.mask());
}

void write_register(Wave& w, const Instruction& i, std::uint32_t value) {
  const RegisterField field(i);
  const std::uint32_t mask = field.mask() << field.offset;
  const std::uint32_t bits = value << field.offset & mask;
  switch (field.id) {
    case kMode: {
      w.mode = (w.mode & ~mask) | bits;
      if (is_cdna(w.arch)) w.state = w.running_state();
      return;
    }
    case kTrapsts:
      w.trapsts = (w.trapsts & ~mask) | bits;
      return;
    case kStatus:
      // What a handler restores; PRIV, EXECZ and the like follow what they show.
      if (!w.in_trap) return;  // read-only elsewhere
      w.status = (w.status & ~(mask & kStatusHalt)) | (bits & kStatusHalt);
      if ((mask & 1) != 0) w.scc = (bits & 1) != 0;
      return;
    case kIbSts:
      if (w.in_trap) return;  // replay counters: nothing is replayed
      halt_numbered(w, "s_setreg of hardware register %u outside of a trap handler", field.id);
      return;
    case kFlatScratchLo10:
    case kFlatScratchHi10:
      if (w.arch == Arch::Rdna2) {
        const unsigned shift = field.id == kFlatScratchHi10 ? 32 : 0;
        w.scratch_base = (w.scratch_base & ~(Va{mask} << shift)) | Va{bits} << shift;
        return;
      }
      [[fallthrough]];
    default:
      halt_numbered(w, "s_setreg of hardware register %u, which a shader may not write", field.id);
  }
}
void set_register(Wave& w, const Instruction& i) {
  write_register(w, i, scalar32(w, i, i.src[0]));
}
void set_register_literal(Wave& w, const Instruction& i) {
  write_register(w, i, i.literal);
}

void round_mode(Wave& w, const Instruction& i) {
  w.mode = (w.mode & ~0xfu) | (static_cast<std::uint32_t>(i.offset) & 0xf);
}
void denorm_mode(Wave& w, const Instruction& i) {
  w.mode = (w.mode & ~0xf0u) | (static_cast<std::uint32_t>(i.offset) & 0xf) << 4;
}

// ---- VGPR index mode of gfx9: M0[7:0] is the index, M0[15:12] says which operands it moves.

void index_on(Wave& w, const Instruction& i) {
  const std::uint32_t enables = static_cast<std::uint32_t>(i.offset) & 0xf;  // the field itself
  w.s[kM0] = (w.s[kM0] & ~0xf0ffu) | (scalar32(w, i, i.src[0]) & 0xff) | enables << 12;
  w.mode |= kModeGprIdxEn;
  w.state = WaveState::Indexing;
}
void index_off(Wave& w, const Instruction&) {
  w.mode &= ~kModeGprIdxEn;
  w.state = WaveState::Running;
}
void index_mode(Wave& w, const Instruction& i) {
  w.s[kM0] = (w.s[kM0] & ~0xf000u) | (static_cast<std::uint32_t>(i.offset) & 0xf) << 12;
}
void index_index(Wave& w, const Instruction& i) {
  w.s[kM0] = (w.s[kM0] & ~0xffu) | (scalar32(w, i, i.src[0]) & 0xff);
}

void invalidate_instructions(Wave& w, const Instruction&) {
  invalidate_code(w.group->port->space());
  if (w.group->port->caches() != nullptr)
    w.group->port->caches()->acquire(Client::Fetch, Scope::Agent);
  w.state = WaveState::Yielded;  // the loop looks its code page up again
}

#define ROW(name, ...) Semantics(name, Handler(__VA_ARGS__))
constexpr Semantics kRows[] = {
    ROW("s_branch", branch),
    ROW("s_cbranch_scc0", branch_if<[](const Wave& w) { return !w.scc; }>),
    ROW("s_cbranch_scc1", branch_if<[](const Wave& w) { return w.scc; }>),
    ROW("s_cbranch_vccz", branch_if<[](const Wave& w) { return w.vcc() == 0; }>),
    ROW("s_cbranch_vccnz", branch_if<[](const Wave& w) { return w.vcc() != 0; }>),
    ROW("s_cbranch_execz", branch_if<[](const Wave& w) { return w.exec() == 0; }>),
    ROW("s_cbranch_execnz", branch_if<[](const Wave& w) { return w.exec() != 0; }>),
    // The debugger's condition bits are never set.
    ROW("s_cbranch_cdbgsys", nothing),
    ROW("s_cbranch_cdbguser", nothing),
    ROW("s_cbranch_cdbgsys_or_user", nothing),
    ROW("s_cbranch_cdbgsys_and_user", nothing),
    ROW("s_getpc_b64", get_pc),
    ROW("s_setpc_b64", set_pc),
    ROW("s_swappc_b64", swap_pc),
    ROW("s_call_b64", call),
    ROW("s_nop", nothing),
    ROW("s_version", nothing),
    ROW("s_clause", nothing),
    ROW("s_delay_alu", nothing),
    ROW("s_set_inst_prefetch_distance", nothing),
    ROW("s_setprio", nothing),
    ROW("s_setkill", nothing),
    ROW("s_wakeup", nothing),
    ROW("s_incperflevel", nothing),
    ROW("s_decperflevel", nothing),
    ROW("s_ttracedata", nothing),
    ROW("s_ttracedata_imm", nothing),
    ROW("s_waitcnt", nothing),
    ROW("s_waitcnt_depctr", nothing),
    ROW("s_waitcnt_vscnt", nothing),
    ROW("s_waitcnt_vmcnt", nothing),
    ROW("s_waitcnt_expcnt", nothing),
    ROW("s_waitcnt_lgkmcnt", nothing),
    ROW("s_wait_idle", nothing),
    ROW("s_wait_event", nothing),
    ROW("s_sleep", sleep),
    ROW("s_barrier", barrier),
    ROW("s_endpgm", end_program),
    ROW("s_endpgm_saved", end_program),
    ROW("s_sethalt", set_halt),
    ROW("s_trap", trap),
    ROW("s_rfe_b64", return_from_exception),
    ROW("s_code_end", code_end),
    ROW("s_sendmsg", send_message),
    ROW("s_sendmsghalt", send_message_halt),
    ROW("s_sendmsg_rtn_b32", send_message_return<1>),
    ROW("s_sendmsg_rtn_b64", send_message_return<2>),
    ROW("s_getreg_b32", get_register),
    ROW("s_setreg_b32", set_register),
    ROW("s_setreg_imm32_b32", set_register_literal),
    ROW("s_round_mode", round_mode),
    ROW("s_denorm_mode", denorm_mode),
    ROW("s_set_gpr_idx_on", index_on),
    ROW("s_set_gpr_idx_off", index_off),
    ROW("s_set_gpr_idx_mode", index_mode),
    ROW("s_set_gpr_idx_idx", index_index),
    ROW("s_icache_inv", invalidate_instructions),
};

}  // namespace

void control_semantics(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa

// Owns: see trap.hpp. The driver's first-level handler runs here natively: it saves no context, so
//   all that is left of it is the way to the second-level one.
// Does not own: see trap.hpp.
// Threading: see trap.hpp.
//
// Sources: Linux cwsr_trap_handler_gfx9.asm and _gfx10.asm (what the first level does and leaves in
// TTMPs), ROCr trap_handler.s (what the second level expects), AMD's CDNA2 and RDNA2 ISA documents
// ("Trap handler", "Hardware registers").
#include "vgpu/isa/trap.hpp"

#include <cstdio>
#include <utility>

#include "vgpu/engines.hpp"

namespace kiln::vgpu::isa {
namespace {

constexpr Va kPcMask = 0xffff'ffff'ffff;
constexpr unsigned kTrapIdShift = 48;  // of the PC pair: TrapId 55:48, HostTrap 56

/// Jumps to the second level; false where there is none or traps are off.
bool enter(Wave& w, unsigned id, Va pc, std::uint32_t extra_status) {
  const TrapHandler* handler = w.group->trap_handler;
  if (handler == nullptr || (w.status & kStatusTrapEn) == 0) return false;
  const Va code = handler->code.load(std::memory_order_acquire);
  const Va memory = handler->memory.load(std::memory_order_acquire);
  if (code == 0) return false;
  const std::uint64_t where = (pc & kPcMask) | std::uint64_t{id} << kTrapIdShift;
  auto pair = [&](unsigned ttmp, std::uint64_t value) {
    std::memcpy(&w.s[kTtmp0 + ttmp], &value, 8);
  };
  pair(0, where);
  w.s[kTtmp0 + 12] = status_register(w) | extra_status;
  pair(14, memory);
  // TTMP11[31:26] take IB_STS's replay state, which is zero here: nothing is replayed.
  w.s[kTtmp0 + 11] &= 0x03ff'ffffu;
  w.status |= kStatusPriv;
  w.pc = code;
  return true;
}

}  // namespace

void take_trap(Wave& w, unsigned id, Va at) {
  // In a handler, and with traps off, the instruction does nothing; the first level without a
  // second one steps over it (cwsr_trap_handler_gfx9.asm L_NO_NEXT_TRAP).
  if (w.in_trap) return;
  w.in_trap = enter(w, id, at, 0);
}

void take_exception(Wave& w, std::uint32_t trapsts_bit, Va at, std::string reason) {
  w.trapsts |= trapsts_bit;
  // The first level sets HALT and rewinds the PC by two instructions, so that a halted wave never
  // stands at s_endpgm.
  if (!w.in_trap && enter(w, 0, at - 8, kStatusHalt)) {
    w.in_trap = true;
    return;
  }
  w.halt(std::move(reason));
}

void return_from_trap(Wave& w, Va pc) {
  if (!w.in_trap) {
    w.halt("s_rfe_b64 outside of a trap handler");
    return;
  }
  w.in_trap = false;
  w.status &= ~kStatusPriv;
  w.pc = pc & kPcMask;
  if ((w.status & kStatusHalt) == 0) return;
  char text[64];
  std::snprintf(text, sizeof text, "halted by its trap handler at 0x%llx",
                static_cast<unsigned long long>(w.pc));
  w.halt(text);
}

}  // namespace kiln::vgpu::isa

// Owns: the interpreter's inner loop, and how the waves of a workgroup take turns.
// Does not own: starting a workgroup (launch.cpp), the order of workgroups (scheduler).
// Threading: a workgroup is run by one host thread at a time.
#include <algorithm>

#include "vgpu/isa/code_cache.hpp"
#include "vgpu/isa/dispatch.hpp"
#include "vgpu/isa/semantics.hpp"

namespace kiln::vgpu::isa {
namespace {

/// Instructions a wave may run before its neighbours get their turn. Long enough that switching
/// costs nothing, short enough that a spin on a neighbour's flag in LDS ends soon.
constexpr std::uint64_t kSlice = 2048;

/// Operand codes moved by M0[7:0], for the operands that M0[15:12] names (CDNA3 ISA, "VGPR
/// indexing"): source 0, 1, 2 and destination.
Instruction indexed(const Instruction& instruction, std::uint32_t m0) {
  Instruction moved = instruction;
  const std::uint16_t index = m0 & 0xff;
  const auto is_vgpr = [](std::uint16_t code) { return code >= kVgpr0 && code < kAgpr0; };
  for (unsigned source = 0; source < 3; ++source)
    if ((m0 >> (12 + source) & 1) != 0 && is_vgpr(moved.src[source])) moved.src[source] += index;
  if ((m0 >> 15 & 1) != 0 && is_vgpr(moved.dst)) moved.dst += index;
  return moved;
}

bool is_valu(Format format) {
  switch (format) {
    case Format::Vop1:
    case Format::Vop2:
    case Format::Vopc:
    case Format::Vop3:
    case Format::Vop3sd:
    case Format::Vop3p:
      return true;
    default:
      return false;
  }
}

/// One instruction while VGPR index mode is on: VALU operands move, everything else is as it was.
void step_indexed(Wave& wave, const Instruction& instruction) {
  if (!is_valu(instruction.format)) {
    instruction.execute(wave, instruction);
    return;
  }
  Instruction moved = indexed(instruction, wave.s[kM0]);
  for (std::uint16_t code : {moved.src[0], moved.src[1], moved.src[2], moved.dst})
    if (code >= kAgpr0 && code != kNoOperand && code < kAgpr0 + 256 && instruction.dst < kAgpr0 &&
        instruction.src[0] < kAgpr0) {
      halt_at(wave, instruction, "VGPR index past the last register in");
      return;
    }
  resolve(moved);
  if (moved.execute == nullptr) make_unknown(moved);
  moved.execute(wave, moved);
}

/// Runs one wave for at most `slice` instructions or until its state changes.
std::uint64_t run_wave(Workgroup& group, Wave& wave, std::uint64_t slice) {
  std::uint64_t left = slice;
  while (left > 0) {
    CodePage* page = group.code->page(wave.pc, wave.arch, *group.port);
    if (page == nullptr) {
      wave.fault();
      break;
    }
    const Va begin = page->begin();
    const WaveState running = wave.state;
    while (left > 0) {
      const std::uint64_t offset = wave.pc - begin;
      if (offset >= kPageBytes) [[unlikely]]
        break;
      const Instruction* instruction = page->at(offset);
      if (instruction == nullptr) [[unlikely]] {
        instruction = page->decode_at(offset, *group.port);
        if (instruction == nullptr) {
          wave.fault();
          return slice - left;
        }
      }
      wave.pc += instruction->dwords * 4u;
      --left;
      if (running == WaveState::Running) [[likely]]
        instruction->execute(wave, *instruction);
      else
        step_indexed(wave, *instruction);
      if (wave.state != running) [[unlikely]]
        break;
    }
    if (wave.state != WaveState::Running && wave.state != WaveState::Indexing) break;
  }
  return slice - left;
}

bool runnable(const Wave& wave) {
  return wave.state == WaveState::Running || wave.state == WaveState::Indexing;
}

struct Census {
  unsigned running = 0, sleeping = 0, at_barrier = 0, done = 0, halted = 0;
};

Census count(const Workgroup& group) {
  Census census;
  for (const auto& wave : group.waves) {
    switch (wave->state) {
      case WaveState::Running:
      case WaveState::Indexing:
        ++census.running;
        break;
      case WaveState::Yielded:
        ++census.sleeping;
        break;
      case WaveState::AtBarrier:
        ++census.at_barrier;
        break;
      case WaveState::Done:
        ++census.done;
        break;
      case WaveState::Halted:
      case WaveState::Faulted:
        ++census.halted;
        break;
    }
  }
  return census;
}

}  // namespace

RunStatus run(Workgroup& group, std::uint64_t budget, std::uint64_t* executed) {
  const std::size_t waves = group.waves.size();
  // Who slept through the last call tries again in this one.
  for (auto& wave : group.waves)
    if (wave->state == WaveState::Yielded) wave->state = wave->running_state();

  while (true) {
    for (std::size_t turn = 0; turn < waves && budget > 0; ++turn) {
      Wave& wave = *group.waves[group.next_wave];
      group.next_wave = static_cast<std::uint32_t>((group.next_wave + 1) % waves);
      if (!runnable(wave)) continue;
      const std::uint64_t ran = run_wave(group, wave, std::min(budget, kSlice));
      wave.instructions += ran;
      *executed += ran;
      budget -= std::min(budget, ran);
      if (wave.state == WaveState::Faulted) return RunStatus::Faulted;
    }
    const Census census = count(group);
    if (census.done == waves) return RunStatus::Done;
    if (census.at_barrier > 0 && census.at_barrier + census.done == waves) {
      for (auto& wave : group.waves)
        if (wave->state == WaveState::AtBarrier) wave->state = wave->running_state();
      if (budget == 0) return RunStatus::Yielded;
      continue;
    }
    if (census.running > 0) {
      if (budget == 0) return RunStatus::Yielded;
      continue;
    }
    return census.sleeping > 0 ? RunStatus::Waiting : RunStatus::Halted;
  }
}

std::string halt_reason(const Workgroup& group) {
  for (const auto& wave : group.waves)
    if (!wave->halt_reason.empty()) return wave->halt_reason;
  return {};
}

}  // namespace kiln::vgpu::isa

// Owns: the architectural state of a wave and a workgroup.
// Does not own: how it is run (run.*), memory (vgpu/memory.hpp).
// Threading: a workgroup and its waves are run by one host thread at a time.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "vgpu/isa/instruction.hpp"
#include "vgpu/memory.hpp"

namespace kiln::vgpu::isa {

inline constexpr unsigned kMaxLanes = 64;

/// One vector register: all lanes, whatever the wave size (wave32 uses the first 32).
struct alignas(64) VectorRegister {
  std::uint32_t lane[kMaxLanes];
};

/// Why a wave does not simply go on to its next instruction.
enum class WaveState : std::uint8_t {
  Running,
  AtBarrier,   ///< waits for its workgroup
  Yielded,     ///< s_sleep, or its time slice is over
  Done,        ///< s_endpgm
  Halted,      ///< s_sethalt, trap without handler, illegal instruction: hung as on hardware
  Faulted,     ///< a memory access without a mapping; `port.fault()` says where
};

struct Workgroup;

struct Wave {
  // Scalar state. s[] is indexed by Operand codes 0..127, so VCC, M0, TTMPs and EXEC live in it.
  alignas(8) std::uint32_t s[128] = {};
  bool scc = false;
  WaveState state = WaveState::Running;
  Arch arch = Arch::Cdna3;
  std::uint8_t lanes = 64;             ///< 32 or 64
  std::uint32_t mode = 0;              ///< MODE: FP_ROUND 3:0, FP_DENORM 7:4, DX10_CLAMP 8, IEEE 9, ...
  std::uint32_t status = 0, trapsts = 0;
  Va pc = 0;                           ///< of the next instruction
  VectorRegister* v = nullptr;         ///< 0..255 architectural, 256..511 accumulation registers
  std::uint32_t vgpr_count = 0;        ///< allocated; an access past it is the guest's error
  Workgroup* group = nullptr;
  std::uint32_t index = 0;             ///< in its workgroup
  std::uint32_t hw_id = 0, xcc_id = 0; ///< for s_getreg
  Va scratch_base = 0;                 ///< flat scratch base of this wave (architected or from SGPRs)
  std::uint32_t scratch_lane_bytes = 0;
  std::uint64_t instructions = 0;      ///< executed so far
  std::string halt_reason;             ///< for the debug switch and the report

  std::uint64_t exec() const {
    std::uint64_t mask;
    std::memcpy(&mask, &s[kExecLo], 8);
    return lanes == 32 ? mask & 0xffffffffu : mask;
  }
  void set_exec(std::uint64_t mask) { std::memcpy(&s[kExecLo], &mask, lanes == 32 ? 4 : 8); }
  std::uint64_t vcc() const {
    std::uint64_t mask;
    std::memcpy(&mask, &s[kVccLo], 8);
    return lanes == 32 ? mask & 0xffffffffu : mask;
  }
  void set_vcc(std::uint64_t mask) { std::memcpy(&s[kVccLo], &mask, lanes == 32 ? 4 : 8); }

  bool fp32_denormals() const { return (mode & 0x30) != 0; }   ///< simplified: both directions
  bool fp64_16_denormals() const { return (mode & 0xc0) != 0; }
  bool ieee() const { return (mode & (1u << 9)) != 0; }
  bool dx10_clamp() const { return (mode & (1u << 8)) != 0; }

  void halt(std::string reason) {
    state = WaveState::Halted;
    halt_reason = std::move(reason);
  }
};

/// A workgroup in flight: its waves, its LDS, its barrier and its port to memory.
struct Workgroup {
  std::vector<std::unique_ptr<Wave>> waves;
  std::vector<VectorRegister> registers;     ///< backing of every wave's `v`
  std::vector<std::byte> lds;                ///< exactly what was allocated
  std::unique_ptr<MemoryPort> port;
  Va shared_aperture = 0, private_aperture = 0;
  std::uint32_t id[3] = {};                  ///< workgroup coordinates
};

}  // namespace kiln::vgpu::isa

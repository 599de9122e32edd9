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

namespace kiln::vgpu {
struct TrapHandler;
}

namespace kiln::vgpu::isa {

inline constexpr unsigned kMaxLanes = 64;

/// One vector register: all lanes, whatever the wave size (wave32 uses the first 32).
struct alignas(64) VectorRegister {
  std::uint32_t lane[kMaxLanes];
};

/// Why a wave does not simply go on to its next instruction.
enum class WaveState : std::uint8_t {
  Running,
  AtBarrier,  ///< waits for its workgroup
  Yielded,    ///< s_sleep, or its time slice is over
  Done,       ///< s_endpgm
  Halted,     ///< s_sethalt, trap without handler, illegal instruction: hung as on hardware
  Faulted,    ///< a memory access without a mapping; `port.fault()` says where
  Indexing,   ///< running with s_set_gpr_idx_on (gfx9): VGPR operands move by M0
};

/// MODE.GPR_IDX_EN (CDNA3 ISA, MODE register).
inline constexpr std::uint32_t kModeGprIdxEn = 1u << 27;

/// FLAT_SCRATCH of gfx9 among the SGPRs.
inline constexpr unsigned kFlatScratchLo = 102;

/// Rows behind Wave::v: a tuple that starts at the last register may run past it by 31.
inline constexpr unsigned kRegisterRows = 512 + 32;

struct Workgroup;

struct Wave {
  // Small functions are always inlined: files compiled for AVX2 use them too (semantics.hpp).
  // Scalar state. s[] is indexed by Operand codes 0..127, so VCC, M0, TTMPs and EXEC live in it.
  alignas(8) std::uint32_t s[128] = {};
  bool scc = false;
  WaveState state = WaveState::Running;
  Arch arch = Arch::Cdna3;
  std::uint8_t lanes = 64;  ///< 32 or 64
  std::uint32_t mode = 0;   ///< MODE: FP_ROUND 3:0, FP_DENORM 7:4, DX10_CLAMP 8, IEEE 9, ...
  std::uint32_t status = 0, trapsts = 0;
  Va pc = 0;                     ///< of the next instruction
  VectorRegister* v = nullptr;   ///< 0..255 architectural, 256..511 accumulation registers
  std::uint32_t vgpr_count = 0;  ///< allocated; an access past it is the guest's error
  Workgroup* group = nullptr;
  std::uint32_t index = 0;              ///< in its workgroup
  std::uint32_t hw_id = 0, xcc_id = 0;  ///< for s_getreg
  Va scratch_base = 0;  ///< FLAT_SCRATCH, gfx90a's excepted: there it is SGPRs 102 and 103
  std::uint32_t scratch_lane_bytes = 0;
  bool in_trap = false;            ///< runs its trap handler
  std::uint64_t instructions = 0;  ///< executed so far
  std::string halt_reason;         ///< for the debug switch and the report

  [[gnu::always_inline]] std::uint64_t exec() const {
    std::uint64_t mask;
    std::memcpy(&mask, &s[kExecLo], 8);
    return lanes == 32 ? mask & 0xffffffffu : mask;
  }
  [[gnu::always_inline]] void set_exec(std::uint64_t mask) {
    std::memcpy(&s[kExecLo], &mask, lanes == 32 ? 4 : 8);
  }
  [[gnu::always_inline]] std::uint64_t vcc() const {
    std::uint64_t mask;
    std::memcpy(&mask, &s[kVccLo], 8);
    return lanes == 32 ? mask & 0xffffffffu : mask;
  }
  [[gnu::always_inline]] void set_vcc(std::uint64_t mask) {
    std::memcpy(&s[kVccLo], &mask, lanes == 32 ? 4 : 8);
  }

  /// The 64-bit address of the wave's private segment, as flat and scratch instructions use it.
  [[gnu::always_inline]] Va flat_scratch() const {
    if (arch != Arch::Cdna2) return scratch_base;
    Va base;
    std::memcpy(&base, &s[kFlatScratchLo], 8);
    return base;
  }

  /// The state to go on with after a yield or a barrier.
  WaveState running_state() const {
    return (mode & kModeGprIdxEn) != 0 ? WaveState::Indexing : WaveState::Running;
  }

  [[gnu::always_inline]] bool fp32_denormals() const {
    return (mode & 0x30) != 0;
  }  ///< simplified: both directions
  [[gnu::always_inline]] bool fp64_16_denormals() const { return (mode & 0xc0) != 0; }
  [[gnu::always_inline]] bool ieee() const { return (mode & (1u << 9)) != 0; }
  [[gnu::always_inline]] bool dx10_clamp() const { return (mode & (1u << 8)) != 0; }

  void halt(std::string reason) {
    state = WaveState::Halted;
    halt_reason = std::move(reason);
  }
  /// A memory access failed: Workgroup::port->fault() says where.
  void fault() { state = WaveState::Faulted; }
};

class Environment;
class CodeView;

/// Rows for one wave, recycled: allocating them anew for each wave would cost page faults.
class RegisterFile {
 public:
  RegisterFile();  ///< contents are whatever an earlier wave left, as on hardware
  ~RegisterFile();
  RegisterFile(RegisterFile&& from) noexcept : rows_(from.rows_) { from.rows_ = nullptr; }
  RegisterFile& operator=(RegisterFile&&) = delete;
  VectorRegister* rows() const { return rows_; }

 private:
  VectorRegister* rows_;
};

/// A workgroup in flight: its waves, its LDS, its barrier and its port to memory.
struct Workgroup {
  std::vector<std::unique_ptr<Wave>> waves;
  std::vector<RegisterFile> registers;  ///< backing of every wave's `v`
  std::vector<std::byte> lds;           ///< exactly what was allocated
  std::unique_ptr<MemoryPort> port;
  Va shared_aperture = 0, private_aperture = 0;
  std::uint32_t id[3] = {};  ///< workgroup coordinates
  Environment* environment = nullptr;
  std::uint64_t process = 0;  ///< token, for whoever gets its interrupts
  std::uint32_t queue_id = 0;
  std::uint32_t doorbell_id = 0;              ///< of its queue, as MSG_GET_DOORBELL tells
  const TrapHandler* trap_handler = nullptr;  ///< null: the chip runs none
  std::unique_ptr<CodeView> code;             ///< this workgroup's way to decoded code
  std::uint32_t next_wave = 0;                ///< whose turn it is in run()

  Workgroup();
  ~Workgroup();
};

}  // namespace kiln::vgpu::isa

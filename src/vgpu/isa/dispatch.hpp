// Owns: the seam between the command processor and the shader array: a dispatch as the SPI sees it,
//   and running its workgroups.
// Does not own: packets and registers (command_processor.*), scheduling of workgroups
// (scheduler.*). Threading: launch() and run() of different workgroups may run on different
// threads.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vgpu/isa/wave.hpp"

namespace kiln::vgpu::isa {

/// The COMPUTE_* registers and what else decides how a dispatch starts its waves.
struct Dispatch {
  Arch arch = Arch::Cdna3;
  bool wave32 = false;
  Va program = 0;  ///< COMPUTE_PGM_LO/HI << 8
  std::uint32_t rsrc1 = 0, rsrc2 = 0, rsrc3 = 0;
  std::array<std::uint32_t, 32>
      user_data{};                       ///< COMPUTE_USER_DATA_0.. (16), then preloaded kernargs
  std::uint32_t user_sgprs = 0;          ///< how many of user_data are loaded
  std::uint32_t threads[3] = {1, 1, 1};  ///< COMPUTE_NUM_THREAD_*: full workgroup size
  std::uint32_t partial[3] = {0, 0, 0};  ///< size of the last workgroup in each dimension, 0: full
  std::uint32_t start[3] = {};           ///< COMPUTE_START_*
  std::uint32_t groups[3] = {1, 1, 1};   ///< number of workgroups
  std::uint32_t lds_bytes = 0;           ///< from RSRC2.LDS_SIZE and the chip's granule
  std::uint32_t tmpring_size = 0;        ///< COMPUTE_TMPRING_SIZE
  Va scratch_base = 0;                   ///< COMPUTE_DISPATCH_SCRATCH_BASE << 8, of this XCC
  std::uint32_t scratch_wave_bytes = 0;  ///< WAVESIZE in bytes
  std::uint32_t scratch_slots = 0;       ///< WAVES: at most that many waves with scratch at once
  Va shared_aperture = 0, private_aperture = 0;
  const AddressSpace* space = nullptr;
  std::uint32_t dispatch_id = 0;
  std::uint64_t process = 0;  ///< token of the process, of which Workgroup tells
  Va packet = 0;              ///< COMPUTE_DISPATCH_PKT_ADDR: the AQL packet
  std::uint32_t queue_id = 0, doorbell_id = 0;
  const TrapHandler* trap_handler = nullptr;  ///< null: the chip runs none
};

/// What workgroups read of the machine around them.
class Environment {
 public:
  virtual ~Environment() = default;
  virtual std::uint64_t clock() = 0;  ///< s_memrealtime: 100 MHz
  /// s_sendmsg(MSG_INTERRUPT) of a wave in `group`; `in_trap`: its trap handler sends it.
  virtual void interrupt(const Workgroup& group, std::uint32_t m0, bool in_trap) = 0;
};

/// Where a workgroup was placed.
struct Placement {
  std::uint32_t xcc = 0, shader_engine = 0, cu = 0;
  std::uint32_t first_scratch_slot = 0;  ///< one slot a wave
  CacheModel* caches = nullptr;          ///< of that CU; null: coherent
};

enum class RunStatus : std::uint8_t {
  Yielded,  ///< more to do; call again
  Waiting,  ///< every wave sleeps or spins; call again later
  Done,
  Halted,   ///< a wave hangs as on hardware; nothing more will happen
  Faulted,  ///< VM fault: fault() of the workgroup's port
};

/// Builds a workgroup with its initial SGPRs and VGPRs as the ABI bits of RSRC1/2 ask. `group` is
/// what the workgroup id SGPRs show: it counts from `start`; the last one is start + groups - 1.
std::unique_ptr<Workgroup> launch(const Dispatch& dispatch, const std::uint32_t (&group)[3],
                                  const Placement& placement, Environment& environment);

/// Runs up to about `budget` wave-instructions. `executed` grows by how many ran.
RunStatus run(Workgroup& group, std::uint64_t budget, std::uint64_t* executed);

/// Number of waves that a workgroup of this dispatch has.
std::uint32_t waves_per_group(const Dispatch& dispatch);

/// Forgets decoded code (I-cache invalidate), in the process `space` belongs to.
void invalidate_code(const AddressSpace& space);

/// The first halt reason since start, for the debug switch; empty if none.
std::string halt_reason(const Workgroup& group);

}  // namespace kiln::vgpu::isa

// Owns: the table of GPU targets: one row each, with where each group of values comes from.
// Does not own: packets made from the rows (cache, signal, dispatch, copy).
// Threading: constants only.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "gpu/commands.hpp"
#include "gpu/gfxip.hpp"

namespace kiln::gpu {

enum class Generation : std::uint8_t { Cdna2, Cdna3, Rdna2, Rdna3, Rdna4 };
std::string_view to_string(Generation generation);

/// How far a value can be trusted, and who says so.
struct Provenance {
  enum Level : std::uint8_t { Documented, ReadInSource, SeenOnHardware, Recalled } level;
  const char* source;
};
std::string_view to_string(Provenance::Level level);

struct WaveRow {
  std::uint8_t default_size;
  bool wave32, wave64;
  std::uint8_t simds_per_cu;
  std::uint8_t max_waves_per_simd;
  /// VGPRs: allocation granule and file size per SIMD lane, by wave size (0: no such waves).
  std::uint16_t vgpr_granule_wave32, vgpr_total_wave32, vgpr_granule_wave64, vgpr_total_wave64;
  bool unified_agprs;  ///< AccVGPRs share the file, from accum_offset on
  Provenance provenance;
};

struct DispatchRow {
  std::uint32_t rsrc3_register;  ///< absolute dword offset
  std::uint32_t kfd_rsrc1_or;    ///< bits to or into the descriptor's values on KFD queues;
  std::uint32_t kfd_rsrc2_or;    ///<   nothing is added on DRM queues
  std::uint32_t initiator;       ///< COMPUTE_DISPATCH_INITIATOR without wave32, partial
  bool wave32_initiator_bit;
  bool kernarg_preload;
  std::uint32_t max_workgroup_threads;
  std::uint32_t forbidden_first, forbidden_last;  ///< registers that no stream may write; 0: none
  Provenance provenance;
};

/// ArchitectedFlat: a register holds the base, hardware gives it to every wave. FlatScratchInit:
/// the base is in user SGPRs, as an address and as a buffer descriptor, and kernels add their
/// wave's offset.
enum class ScratchScheme : std::uint8_t { ArchitectedFlat, FlatScratchInit };
/// What TMPRING_SIZE.WAVES counts.
enum class ScratchWaves : std::uint8_t { PerXcc, PerShaderEngine, PerChip };

struct ScratchRow {
  ScratchScheme scheme;
  ScratchWaves waves;
  std::uint16_t wave_granule;  ///< bytes that one WAVESIZE unit means
  std::uint8_t wavesize_bits;
  /// FlatScratchInit: last dword of the buffer descriptor that kernels get, without its index
  /// stride, which is the kernel's wave size.
  std::uint32_t descriptor_word3;
  Provenance provenance;
};

struct LdsRow {
  std::uint32_t granule, max_per_workgroup;
  Provenance provenance;
};

enum class CacheFlavour : std::uint8_t { CpCoherCntl, GcrCntl };
enum class L2Domain : std::uint8_t { Device, Xcc };

struct CacheRow {
  CacheFlavour flavour;
  L2Domain l2_domain;
  bool sdma_through_l2;  ///< false: compute <-> SDMA needs Scope::System
  Provenance provenance;
};

struct SdmaRow {
  std::uint8_t major, minor, stepping;
  std::uint8_t count_bits;  ///< of a linear copy's and a fill's byte count
  std::uint32_t copy_max_bytes, fill_max_bytes, write_max_dwords;
  std::uint32_t rect_max_x, rect_max_y, rect_max_z;  ///< elements per packet
  std::uint32_t rect_max_pitch, rect_max_slice;      ///< elements
  std::uint8_t fence_mtype;
  bool gcr;
  bool hdp_flush;
  std::uint8_t timestamp_align;
  std::uint8_t ib_align_dwords;
  std::uint32_t trap_context_bits;
  Provenance provenance;
};

enum class RingFormat : std::uint8_t { Pm4, Aql };

struct Target {
  GfxIp ip;
  std::string_view name;     ///< "gfx942"
  std::string_view product;  ///< "Instinct MI300X"
  Generation generation;
  WaveRow wave;
  DispatchRow dispatch;
  ScratchRow scratch;
  LdsRow lds;
  CacheRow cache;
  SdmaRow sdma;
  bool wait_reg_mem64;     ///< 64-bit waits inside PM4 streams
  bool aql_barrier_value;  ///< and as an AQL packet
  Provenance wait_provenance;
  const Ops* ops;  ///< null: no backend yet
  const SdmaOps* sdma_ops;

  /// A queue that reaches several XCCs must be AQL: a PM4 queue is bound to one (hardware rule 1).
  RingFormat ring_format(std::uint32_t xcc_count) const {
    return xcc_count > 1 ? RingFormat::Aql : RingFormat::Pm4;
  }
  bool supported() const { return ops != nullptr; }
};

/// All rows, those without a backend included.
std::span<const Target> targets();
/// The row of exactly this stepping, or null.
const Target* find_target(GfxIp ip);
/// By name, "gfx942"; null if unknown.
const Target* find_target(std::string_view name);

/// Name of the environment variable by which a person runs an unknown stepping as a known one, and
/// the supported names it takes, separated by spaces; for the message that refuses a GPU.
inline constexpr const char* kOverrideVariable = "KILN_OVERRIDE_GFX";
std::string_view supported_target_names();
/// Two targets with the same generation may stand in for each other, others never.
bool override_allowed(GfxIp actual, const Target& as);

}  // namespace kiln::gpu

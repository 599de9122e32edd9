// Owns: the facts of each GPU that can be played, one row per product, each with its source.
// Does not own: how the facts are shown (sysfs.*, drm_node.*) or used (engines).
// Threading: constant data.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/gfxip.hpp"

namespace kiln::vgpu {

/// An IP block's version as the card's discovery table and sysfs ip_discovery name it.
struct IpVersion {
  std::uint8_t major = 0, minor = 0, revision = 0;
  auto operator<=>(const IpVersion&) const = default;
};

/// One GPU product. Counts are of the whole GPU unless a name says otherwise; sizes are bytes
/// unless a name says otherwise.
struct ChipSpec {
  std::string_view product;                 ///< "mi300x", as KILN_VGPU names it
  std::array<std::string_view, 4> aliases;  ///< chip and further product names
  std::string_view marketing_name;          ///< what libdrm's amdgpu.ids calls it
  gpu::GfxIp gfx_ip;                        ///< the instruction set
  IpVersion gc, sdma, nbio;                 ///< hardware blocks; gc differs from gfx_ip on gfx942

  std::uint32_t xcc_count;
  std::uint32_t shader_engines;  ///< all XCCs together
  std::uint32_t arrays_per_engine;
  std::uint32_t cu_per_array;  ///< physical ones, as the driver reports
  std::uint32_t cu_count;      ///< active ones, all XCCs together
  std::uint32_t simd_per_cu;
  std::uint32_t max_waves_per_simd;
  std::uint32_t wave_size;
  std::uint32_t lds_kb;  ///< of a CU (of half a WGP on RDNA)
  std::uint32_t scratch_slots_per_cu;

  std::uint32_t vl1_kb, sl1d_kb, sl1i_kb;  ///< caches, KiB; line sizes below
  std::uint32_t cu_per_scalar_cache;
  std::uint32_t gl1_kb;    ///< RDNA's cache of a shader array, else 0
  std::uint32_t l2_kb;     ///< of one L2
  std::uint32_t l2_count;  ///< gfx942: one an XCC
  std::uint32_t mall_kb;   ///< Infinity Cache, 0 without
  std::uint32_t vl1_line, scalar_line, l2_line;

  std::uint64_t vram_bytes;
  std::uint32_t vram_bus_bits;
  std::uint32_t max_engine_clock_mhz, max_memory_clock_mhz;
  std::uint32_t drm_family, drm_vram_type;  ///< amdgpu_drm.h AMDGPU_FAMILY_*, AMDGPU_VRAM_TYPE_*

  std::uint32_t sdma_engines, sdma_xgmi_engines, sdma_queues_per_engine;
  std::uint32_t num_cp_queues;
  std::uint32_t device_id, pci_revision;
  std::uint32_t mec_firmware, sdma_firmware;
  std::uint32_t capability, debug_prop;  ///< topology words (kfd_topology.h HSA_CAP_*)
  std::uint64_t unique_id;               ///< of the first such GPU; the n-th adds n
  bool xgmi;                             ///< linked to its neighbours by XGMI, else PCIe
  std::uint32_t gb_addr_config;
  bool topology_only = false;  ///< shown, and refused by name where a queue is asked for

  /// The chip's own name, the last of the aliases.
  std::string_view name() const {
    std::string_view last;
    for (const std::string_view alias : aliases)
      if (!alias.empty()) last = alias;
    return last;
  }
  std::uint32_t cu_per_xcc() const { return cu_count / xcc_count; }
  std::uint32_t simd_count() const { return cu_count * simd_per_cu; }
  std::uint32_t array_count() const { return shader_engines * arrays_per_engine; }
};

/// Sizes of the buffers of a compute queue, as KFD computes them (kfd_queue.c
/// kfd_queue_ctx_save_restore_size).
struct QueueSizes {
  std::uint32_t control_stack = 0;  ///< ctl_stack_size
  std::uint32_t save_area = 0;      ///< cwsr_size, of one XCC
  std::uint32_t debug = 0;          ///< debug memory of one XCC
  std::uint32_t eop = 4096;
  std::uint64_t total(std::uint32_t xcc_count) const;  ///< what the save area's mapping must span
};
QueueSizes queue_sizes(const ChipSpec& chip);

/// Flat apertures of the shared (LDS) and private (scratch) segments of KFD processes on gfx9 and
/// later; each spans 4 GiB (kfd_flat_memory.c).
inline constexpr std::uint64_t kSharedAperture = 0x1000000000000ull;
inline constexpr std::uint64_t kPrivateAperture = 0x2000000000000ull;

std::span<const ChipSpec> all_chips();
/// Those of them that run nothing (chips_topology_only.cpp).
std::span<const ChipSpec> topology_only_chips();
/// By product, alias or target name ("gfx1100"), any case; null if unknown.
const ChipSpec* find_chip(std::string_view name);
/// "mi300x (gfx942), navi31 = rx7900xtx (gfx1100), ..." for messages and --list.
std::string chip_names();

}  // namespace kiln::vgpu

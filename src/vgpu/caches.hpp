// Owns: strict memory: the caches that hardware does not keep coherent, as a CacheModel for every
// CU,
//   command processor and SDMA engine, and the cache actions of packets.
// Does not own: which packet bit means which action (command_processor, sdma_engine), which
//   instruction which (isa).
// Threading: safe from any thread; one mutex per L2 and everything above it.
//
// Levels. gfx9.4.3: vector L1 (a CU), scalar and instruction caches (two CUs), an L2 for each XCC.
// gfx11: vector L0 (a CU), scalar and instruction caches (a WGP), L1 (a shader array) in front of
// all three, one L2. Only an L2 holds written data back, by bytes. Lines are tagged with the memory
// behind them, as hardware's are. Eviction is legal at any time: it happens by capacity and, with a
// seed, at random.
//
// Sources: LLVM AMDGPUUsage "Memory Model GFX942" and "GFX10-GFX11", AMD CDNA3 and RDNA3 ISA
// "Memory scopes", Linux soc15d.h (CP_COHER_CNTL) and nvd.h (GCR_CNTL).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "vgpu/chips.hpp"
#include "vgpu/memory.hpp"
#include "vgpu/scheduler.hpp"

namespace kiln::vgpu {

/// What a packet asks of the caches that its XCC sees.
struct CacheActions {
  bool icache = false;         ///< invalidate
  bool scalar = false;         ///< invalidate
  bool vector = false;         ///< invalidate the CUs' caches: TCP, GL0
  bool gl1 = false;            ///< invalidate
  bool l2_invalidate = false;  ///< what was not written back before is lost
  bool l2_write_back = false;
  bool only_non_coherent = false;  ///< L2: only pages of MTYPE NC (TC_NC_ACTION_ENA)
  Va begin = 0, end = ~Va{0};      ///< other addresses are left alone

  bool any() const { return icache || scalar || vector || gl1 || l2_invalidate || l2_write_back; }
  bool everywhere() const { return begin == 0 && end == ~Va{0}; }
};

namespace cache {
class Domain;
}

/// All caches of a GPU.
class CacheSystem {
 public:
  CacheSystem(const ChipSpec& chip, std::uint64_t seed);
  ~CacheSystem();

  /// What a workgroup on that CU sees; `cu` counts within the XCC.
  std::unique_ptr<CacheModel> of_cu(const AddressSpace& space, unsigned xcc, unsigned cu);
  /// What the command processor of an XCC sees: its L2.
  std::unique_ptr<CacheModel> of_command_processor(const AddressSpace& space, unsigned xcc);
  /// What SDMA sees: the L2 from gfx10 on; on gfx9 null, memory itself.
  std::unique_ptr<CacheModel> of_sdma(const AddressSpace& space);

  void perform(unsigned xcc, const CacheActions& actions);
  /// Before an address space loses its last queue: all that belongs to it is written back.
  void flush(const AddressSpace& space);

 private:
  const ChipSpec& chip_;
  std::vector<std::unique_ptr<cache::Domain>> domains_;
};

}  // namespace kiln::vgpu

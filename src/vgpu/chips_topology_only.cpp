// Owns: rows of GPUs that are shown but run nothing: what tools that list GPUs must know by name.
// Does not own: the GPUs that run (chips.cpp).
// Threading: constant data.
//
// Sources. Shader engines, arrays and compute units: AMD's product pages and white papers (Vega,
// Vega 7nm, CDNA, RDNA). Cache sizes, lines and the compute units that share one: the tables of
// kfd_crat.c (vega10, vega20 for Arcturus too, navi10). Block versions and SDMA instances:
// amdgpu_discovery.c amdgpu_discovery_set_ip_blocks. Queues per SDMA engine: kfd_device.c
// kfd_device_info_set_sdma_info. Waves per SIMD: the ISA documents (10 on Vega and CDNA, 20 on
// RDNA 1). PCI ids, revisions and names: libdrm's amdgpu.ids. Recalled, not looked up (only
// shown): firmware versions.
#include "vgpu/chips.hpp"

namespace kiln::vgpu {

namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
// As in chips.cpp: watch points, doorbells of 64 bits; kfd_topology.h.
constexpr std::uint32_t kCapability = 1u << 7 | 2u << 8 | 2u << 12;
constexpr std::uint32_t kDebugProp = 7u | 29u << 4;
// Memory and SRAM with ECC, and events of it (hsakmttypes.h HSA_CAPABILITY): ROCr's "sramecc+".
constexpr std::uint32_t kEcc = 1u << 20 | 1u << 21 | 1u << 26;
constexpr std::uint32_t kFamilyAi = 141, kFamilyNv = 143;  // amdgpu_drm.h
constexpr std::uint32_t kVramHbm = 6, kVramGddr6 = 9;

/// What the gfx9 ones have in common.
constexpr ChipSpec vega() {
  ChipSpec chip{};
  chip.xcc_count = 1;
  chip.arrays_per_engine = 1;
  chip.cu_per_array = 16;
  chip.simd_per_cu = 4;
  chip.max_waves_per_simd = 10;
  chip.wave_size = 64;
  chip.lds_kb = 64;
  chip.scratch_slots_per_cu = 32;
  chip.vl1_kb = 16;
  chip.sl1d_kb = 16;
  chip.sl1i_kb = 32;
  chip.cu_per_scalar_cache = 3;
  chip.l2_count = 1;
  chip.vl1_line = chip.scalar_line = chip.l2_line = 64;
  chip.drm_family = kFamilyAi;
  chip.drm_vram_type = kVramHbm;
  chip.sdma_engines = 2;
  chip.num_cp_queues = 24;
  chip.capability = kCapability;
  chip.debug_prop = kDebugProp;
  return chip;
}

constexpr ChipSpec vega10() {
  ChipSpec chip = vega();
  chip.product = "mi25";
  chip.aliases = {"vega10"};
  chip.marketing_name = "AMD Radeon Instinct MI25";
  chip.gfx_ip = {9, 0, 0};
  chip.gc = {9, 0, 1};
  chip.sdma = {4, 0, 0};
  chip.nbio = {6, 1, 0};
  chip.shader_engines = 4;
  chip.cu_count = 64;
  chip.l2_kb = 4096;
  chip.vram_bytes = 16368 * kMiB;
  chip.vram_bus_bits = 2048;
  chip.max_engine_clock_mhz = 1500;
  chip.max_memory_clock_mhz = 945;
  chip.sdma_queues_per_engine = 2;
  chip.device_id = 0x6860;
  chip.pci_revision = 1;
  chip.mec_firmware = 468;
  chip.sdma_firmware = 430;
  chip.unique_id = 0x21510b6c7d3e4004ull;
  return chip;
}

constexpr ChipSpec vega20() {
  ChipSpec chip = vega();
  chip.product = "mi50";
  chip.aliases = {"mi60", "vega20"};
  chip.marketing_name = "AMD Instinct MI60 / MI50";
  chip.gfx_ip = {9, 0, 6};
  chip.gc = {9, 4, 0};
  chip.sdma = {4, 2, 0};
  chip.nbio = {7, 4, 0};
  chip.shader_engines = 4;
  chip.cu_count = 60;  // an MI60 has all 64
  chip.l2_kb = 8192;   // so kfd_crat.c; the white paper says 4 MiB
  chip.vram_bytes = 16368 * kMiB;
  chip.vram_bus_bits = 4096;
  chip.max_engine_clock_mhz = 1725;
  chip.max_memory_clock_mhz = 1000;
  chip.sdma_queues_per_engine = 8;
  chip.device_id = 0x66a1;
  chip.pci_revision = 2;
  chip.mec_firmware = 468;
  chip.sdma_firmware = 145;
  chip.capability = kCapability | kEcc;
  chip.unique_id = 0x3a5c98e2172f5005ull;
  return chip;
}

constexpr ChipSpec arcturus() {
  ChipSpec chip = vega();
  chip.product = "mi100";
  chip.aliases = {"arcturus"};
  chip.marketing_name = "AMD Instinct MI100";
  chip.gfx_ip = {9, 0, 8};
  chip.gc = {9, 4, 1};
  chip.sdma = {4, 2, 2};
  chip.nbio = {7, 4, 1};
  chip.shader_engines = 8;
  chip.cu_count = 120;
  chip.l2_kb = 8192;
  chip.vram_bytes = 32752 * kMiB;
  chip.vram_bus_bits = 4096;
  chip.max_engine_clock_mhz = 1502;
  chip.max_memory_clock_mhz = 1200;
  chip.sdma_xgmi_engines = 6;
  chip.sdma_queues_per_engine = 8;
  chip.device_id = 0x738c;
  chip.pci_revision = 1;
  chip.mec_firmware = 67;
  chip.sdma_firmware = 18;
  chip.capability = kCapability | kEcc | 2u << 22;  // ASIC revision 2
  chip.unique_id = 0x4be17f0359da6006ull;
  chip.xgmi = true;
  return chip;
}

constexpr ChipSpec navi10() {
  ChipSpec chip{};
  chip.product = "rx5700xt";
  chip.aliases = {"navi10"};
  chip.marketing_name = "AMD Radeon RX 5700 XT";
  chip.gfx_ip = {10, 1, 0};
  chip.gc = {10, 1, 10};
  chip.sdma = {5, 0, 0};
  chip.nbio = {2, 3, 0};
  chip.xcc_count = 1;
  chip.shader_engines = 2;
  chip.arrays_per_engine = 2;
  chip.cu_per_array = 10;
  chip.cu_count = 40;
  chip.simd_per_cu = 2;
  chip.max_waves_per_simd = 20;
  chip.wave_size = 32;
  chip.lds_kb = 64;
  chip.scratch_slots_per_cu = 32;
  chip.vl1_kb = 16;
  chip.sl1d_kb = 16;
  chip.sl1i_kb = 32;
  chip.cu_per_scalar_cache = 2;
  chip.gl1_kb = 128;
  chip.l2_kb = 4096;
  chip.l2_count = 1;
  chip.vl1_line = chip.l2_line = 128;
  chip.scalar_line = 64;
  chip.vram_bytes = 8176 * kMiB;
  chip.vram_bus_bits = 256;
  chip.max_engine_clock_mhz = 2100;
  chip.max_memory_clock_mhz = 875;
  chip.drm_family = kFamilyNv;
  chip.drm_vram_type = kVramGddr6;
  chip.sdma_engines = 2;
  chip.sdma_queues_per_engine = 8;
  chip.num_cp_queues = 8;
  chip.device_id = 0x731f;
  chip.pci_revision = 0xc1;
  chip.mec_firmware = 151;
  chip.sdma_firmware = 35;
  chip.capability = kCapability;
  chip.debug_prop = kDebugProp;
  chip.unique_id = 0x7e42d08bb6137007ull;
  return chip;
}

constexpr ChipSpec kChips[] = {vega10(), vega20(), arcturus(), navi10()};

}  // namespace

std::span<const ChipSpec> topology_only_chips() {
  return kChips;
}

}  // namespace kiln::vgpu

// Owns: the rows of chips.hpp.
// Does not own: see chips.hpp.
// Threading: constant data.
//
// Sources. Topology counts of the MI300X and the RX 7900 XTX are those that published node
// "properties" files of such cards show (simd_count 1216, array_count 32, caches_count 626;
// simd_count 192, array_count 12, caches_count 206, fw_version 2140, sdma_fw_version 20). Cache
// sizes: tables of kfd_crat.c and AMD's CDNA 3 and RDNA 3 white papers. Memory, bus and clocks:
// AMD's product pages. PCI ids: amdgpu_drv.c and libdrm's amdgpu.ids. Block versions: the chips' IP
// discovery tables, as amdgpu_discovery.c lists them. Engines and queues per engine: kfd_device.c.
// Recalled, not looked up (only shown, nothing computes with them): memory clocks, firmware
// versions of mi210 and navi21.
#include "vgpu/chips.hpp"

#include <algorithm>
#include <cctype>

namespace kiln::vgpu {

namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

// Bits of the topology's capability word (kfd_topology.h): four watch points (7, 8..11), doorbells
// of 64 bits (12..13 = 2). A published RX 7900 XTX shows 0x2807a280: this and the bits of SVM and
// the debugger, which are absent here because the driver played is built without them.
constexpr std::uint32_t kCapability = 1u << 7 | 2u << 8 | 2u << 12;
// Memory and SRAM with ECC, and events of it (hsakmttypes.h HSA_CAPABILITY): ROCr's "sramecc+",
// which published rocminfo outputs of these cards show.
constexpr std::uint32_t kEcc = 1u << 20 | 1u << 21 | 1u << 26;
// Watch address mask bits 7..29 (kfd_topology.c); bit 10: dispatch information always valid, gfx11.
constexpr std::uint32_t kDebugProp = 7u | 29u << 4;
// amdgpu_drm.h; 145 is GC 11.0.0.
constexpr std::uint32_t kFamilyAi = 141, kFamilyNv = 143, kFamilyGc1100 = 145;
constexpr std::uint32_t kVramHbm = 6, kVramGddr6 = 9;

constexpr ChipSpec kChips[] = {
    {
        .product = "mi300x",
        .aliases = {"aqua_vanjaram"},
        .marketing_name = "AMD Instinct MI300X",
        .gfx_ip = {9, 4, 2},
        .gc = {9, 4, 3},
        .sdma = {4, 4, 2},
        .nbio = {7, 9, 0},
        .xcc_count = 8,  // 38 of 40 CUs active in each
        .shader_engines = 32,
        .arrays_per_engine = 1,
        .cu_per_array = 10,
        .cu_count = 304,
        .simd_per_cu = 4,
        .max_waves_per_simd = 8,
        .wave_size = 64,
        .lds_kb = 64,
        .scratch_slots_per_cu = 32,
        .vl1_kb = 32,
        .sl1d_kb = 16,
        .sl1i_kb = 64,
        .cu_per_scalar_cache = 2,
        .gl1_kb = 0,
        .l2_kb = 4096,
        .l2_count = 8,
        .mall_kb = 256 * 1024,
        .vl1_line = 128,
        .scalar_line = 64,
        .l2_line = 128,
        .vram_bytes = 196592 * kMiB,  // what is left of 192 GiB
        .vram_bus_bits = 8192,
        .max_engine_clock_mhz = 2100,
        .max_memory_clock_mhz = 1300,
        .drm_family = kFamilyAi,
        .drm_vram_type = kVramHbm,
        .sdma_engines = 2,
        .sdma_xgmi_engines = 14,
        .sdma_queues_per_engine = 8,
        .num_cp_queues = 24,
        .device_id = 0x74a1,
        .pci_revision = 0,
        .mec_firmware = 192,
        .sdma_firmware = 25,
        .capability = kCapability | kEcc | 1u << 22,  // ASIC revision 1
        .debug_prop = kDebugProp,
        .unique_id = 0x5c8f2b1d7a3e9001ull,
        .xgmi = true,
        .gb_addr_config = 0x2a114042,  // gfx_v9_4_3.c, golden value
    },
    {
        .product = "navi31",
        .aliases = {"rx7900xtx", "plum_bonito"},
        .marketing_name = "AMD Radeon RX 7900 XTX",
        .gfx_ip = {11, 0, 0},
        .gc = {11, 0, 0},
        .sdma = {6, 0, 0},
        .nbio = {4, 3, 0},
        .xcc_count = 1,
        .shader_engines = 6,
        .arrays_per_engine = 2,
        .cu_per_array = 8,
        .cu_count = 96,
        .simd_per_cu = 2,
        .max_waves_per_simd = 16,
        .wave_size = 32,
        .lds_kb = 64,
        .scratch_slots_per_cu = 32,
        .vl1_kb = 32,
        .sl1d_kb = 16,
        .sl1i_kb = 32,
        .cu_per_scalar_cache = 2,
        .gl1_kb = 256,
        .l2_kb = 6144,
        .l2_count = 1,
        .mall_kb = 96 * 1024,
        .vl1_line = 128,
        .scalar_line = 64,
        .l2_line = 128,
        .vram_bytes = 24560 * kMiB,  // what is left of 24 GiB
        .vram_bus_bits = 384,
        .max_engine_clock_mhz = 2482,
        .max_memory_clock_mhz = 1249,
        .drm_family = kFamilyGc1100,
        .drm_vram_type = kVramGddr6,
        .sdma_engines = 2,
        .sdma_xgmi_engines = 0,
        .sdma_queues_per_engine = 6,
        .num_cp_queues = 8,
        .device_id = 0x744c,
        .pci_revision = 0xc8,
        .mec_firmware = 2140,
        .sdma_firmware = 20,
        .capability = kCapability,
        .debug_prop = kDebugProp | 1u << 10,
        .unique_id = 0xa2013c48ad1c0b40ull,
        .xgmi = false,
        .gb_addr_config = 0,  // image tiling only: not modelled
    },
    {
        .product = "mi210",
        .aliases = {"aldebaran"},
        .marketing_name = "AMD Instinct MI210",
        .gfx_ip = {9, 0, 10},
        .gc = {9, 4, 2},
        .sdma = {4, 4, 0},
        .nbio = {7, 4, 4},
        .xcc_count = 1,
        .shader_engines = 8,
        .arrays_per_engine = 1,
        .cu_per_array = 14,
        .cu_count = 104,
        .simd_per_cu = 4,
        .max_waves_per_simd = 8,
        .wave_size = 64,
        .lds_kb = 64,
        .scratch_slots_per_cu = 32,
        .vl1_kb = 16,
        .sl1d_kb = 16,
        .sl1i_kb = 32,
        .cu_per_scalar_cache = 2,
        .gl1_kb = 0,
        .l2_kb = 8192,
        .l2_count = 1,
        .mall_kb = 0,
        .vl1_line = 64,
        .scalar_line = 64,
        .l2_line = 128,
        .vram_bytes = 65520 * kMiB,
        .vram_bus_bits = 4096,
        .max_engine_clock_mhz = 1700,
        .max_memory_clock_mhz = 1600,
        .drm_family = kFamilyAi,
        .drm_vram_type = kVramHbm,
        .sdma_engines = 2,
        .sdma_xgmi_engines = 3,
        .sdma_queues_per_engine = 8,
        .num_cp_queues = 24,
        .device_id = 0x740f,
        .pci_revision = 2,
        .mec_firmware = 71,
        .sdma_firmware = 8,
        .capability = kCapability | kEcc | 1u << 22,
        .debug_prop = kDebugProp,
        .unique_id = 0x2b7c90d4e1f35002ull,
        .xgmi = true,
        .gb_addr_config = 0,
    },
    {
        .product = "navi21",
        .aliases = {"rx6900xt", "sienna_cichlid"},
        .marketing_name = "AMD Radeon RX 6900 XT",
        .gfx_ip = {10, 3, 0},
        .gc = {10, 3, 0},
        .sdma = {5, 2, 0},
        .nbio = {3, 3, 0},
        .xcc_count = 1,
        .shader_engines = 4,
        .arrays_per_engine = 2,
        .cu_per_array = 10,
        .cu_count = 80,
        .simd_per_cu = 2,
        .max_waves_per_simd = 16,
        .wave_size = 32,
        .lds_kb = 64,
        .scratch_slots_per_cu = 32,
        .vl1_kb = 16,
        .sl1d_kb = 16,
        .sl1i_kb = 32,
        .cu_per_scalar_cache = 2,
        .gl1_kb = 128,
        .l2_kb = 4096,
        .l2_count = 1,
        .mall_kb = 128 * 1024,
        .vl1_line = 128,
        .scalar_line = 64,
        .l2_line = 128,
        .vram_bytes = 16368 * kMiB,
        .vram_bus_bits = 256,
        .max_engine_clock_mhz = 2660,
        .max_memory_clock_mhz = 1000,
        .drm_family = kFamilyNv,
        .drm_vram_type = kVramGddr6,
        .sdma_engines = 4,
        .sdma_xgmi_engines = 0,
        .sdma_queues_per_engine = 8,
        .num_cp_queues = 8,
        .device_id = 0x73bf,
        .pci_revision = 0xc0,
        .mec_firmware = 117,
        .sdma_firmware = 83,
        .capability = kCapability,
        .debug_prop = kDebugProp,
        .unique_id = 0x9d11e6a7042f7003ull,
        .xgmi = false,
        .gb_addr_config = 0,
    },
};

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

}  // namespace

std::uint64_t QueueSizes::total(std::uint32_t xcc_count) const {
  return align_up((std::uint64_t{save_area} + debug) * xcc_count, 4096);
}

QueueSizes queue_sizes(const ChipSpec& chip) {
  // kfd_queue.c kfd_queue_ctx_save_restore_size and the constants above it.
  const std::uint32_t version = chip.gfx_ip.to_kfd();
  std::uint64_t vgprs = 0x40000;
  if (version == 90402 || version == 90010 || version == 90008 || version == 90500)
    vgprs = 0x80000;
  else if (version == 110000 || version == 110001 || version == 120000 || version == 120001)
    vgprs = 0x60000;
  const std::uint64_t lds = version == 90500 ? std::uint64_t{chip.lds_kb} * 1024 : 0x10000;
  const std::uint64_t per_cu = vgprs + 0x4000 /* SGPRs */ + lds + 0x1000 /* hardware registers */;

  const std::uint32_t cus = chip.cu_per_xcc();
  const bool before_navi = version < 100100;
  const std::uint32_t waves =
      before_navi ? std::min(cus * 40, chip.shader_engines / chip.xcc_count * 512) : cus * 32;
  std::uint64_t stack = align_up(40 + waves * (before_navi ? 8u : 12u) + 8, 4096);
  if (version / 10000 == 10) stack = std::min<std::uint64_t>(stack, 0x7000);

  QueueSizes sizes;
  sizes.control_stack = static_cast<std::uint32_t>(stack);
  sizes.debug = static_cast<std::uint32_t>(align_up(waves * 32, 64));
  sizes.save_area = static_cast<std::uint32_t>(stack + align_up(cus * per_cu, 4096));
  return sizes;
}

std::span<const ChipSpec> all_chips() {
  static const std::vector<ChipSpec> all = [] {
    std::vector<ChipSpec> chips(std::begin(kChips), std::end(kChips));
    for (const ChipSpec& chip : topology_only_chips()) {
      chips.push_back(chip);
      chips.back().topology_only = true;
    }
    return chips;
  }();
  return all;
}

const ChipSpec* find_chip(std::string_view name) {
  for (const ChipSpec& chip : all_chips()) {
    if (same_name(name, chip.product) || same_name(name, gpu::to_string(chip.gfx_ip))) return &chip;
    for (std::string_view alias : chip.aliases)
      if (!alias.empty() && same_name(name, alias)) return &chip;
  }
  return nullptr;
}

std::string chip_names() {
  std::string text;
  for (const ChipSpec& chip : all_chips()) {
    if (!text.empty()) text += ", ";
    text += chip.product;
    for (std::string_view alias : chip.aliases)
      if (!alias.empty()) (text += " = ") += alias;
    text += " = " + gpu::to_string(chip.gfx_ip);
    if (chip.topology_only) text += " (no queues)";
  }
  return text;
}

}  // namespace kiln::vgpu

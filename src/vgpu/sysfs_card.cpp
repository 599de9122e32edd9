// Owns: a card's files under its PCI device: identity, configuration space, memory, link, clocks,
//   sensors and the table of its blocks.
// Does not own: KFD's topology (sysfs.cpp), nodes and links between folders (preload_tree.cpp).
// Threading: see sysfs.hpp.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>

#include "vgpu/sysfs.hpp"

namespace kiln::vgpu {

namespace {

constexpr std::uint32_t kVendor = 0x1002;
constexpr IpVersion kVega10{9, 0, 1}, kMi300{9, 4, 3};

std::string number_line(std::uint64_t value) {
  return std::to_string(value) + "\n";
}
std::string hex_line(std::uint32_t value, int digits) {
  return strf("0x%0*x\n", digits, value);
}

/// Accelerators have a class of their own from MI300 on; before, those without a display are
/// display controllers that are not VGA (what lspci shows of such cards).
std::uint32_t pci_class(const ChipSpec& chip) {
  constexpr std::uint32_t kHbm = 6;
  if (chip.gc == kMi300) return 0x120000;
  return chip.drm_vram_type == kHbm && chip.gc != kVega10 ? 0x038000 : 0x030000;
}

/// PCI Express generation: 3 for Vega 10, 5 for MI300, else 4 (AMD's product pages).
unsigned link_generation(const ChipSpec& chip) {
  return chip.gc == kVega10 ? 3 : chip.gc == kMi300 ? 5 : 4;
}
/// As pci_speed_string names them.
const char* link_speed(const ChipSpec& chip) {
  constexpr std::array kSpeeds = {"2.5", "5.0", "8.0", "16.0", "32.0"};
  return kSpeeds[link_generation(chip) - 1];
}
constexpr unsigned kLinkWidth = 16;

/// Base addresses: all of VRAM (a resized BAR 0), the doorbells, the registers. Places that no
/// host gives: a window of 1 TiB for each GPU, far above its memory.
struct Bars {
  std::uint64_t vram, vram_bytes, doorbells, registers;
};
constexpr std::uint64_t kDoorbellBytes = 2ull << 20, kRegisterBytes = 512ull << 10;
Bars bars(const VirtualGpu& gpu) {
  Bars bars{};
  bars.vram = (0x20ull + gpu.index()) << 40;
  bars.vram_bytes = std::bit_ceil(gpu.vram_bytes());
  bars.doorbells = bars.vram + (512ull << 30);
  bars.registers = 0xd0000000ull + gpu.index() * (1ull << 20);
  return bars;
}

/// The 256 bytes of pci_regs.h, little endian.
std::string config_space(const VirtualGpu& gpu) {
  const ChipSpec& chip = gpu.chip();
  const Bars places = bars(gpu);
  std::string bytes(256, '\0');
  auto put = [&](std::size_t at, std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<char>(value >> 8 * i);
  };
  put(0x00, kVendor, 2);
  put(0x02, chip.device_id, 2);
  put(0x04, 0x0406, 2);  // memory, bus master, no INTx
  put(0x06, 0x0010, 2);  // has capabilities
  put(0x08, chip.pci_revision | pci_class(chip) << 8, 4);
  put(0x10, places.vram | 0xc, 8);  // 64 bits, prefetchable
  put(0x18, places.doorbells | 0xc, 8);
  put(0x24, places.registers, 4);
  put(0x2c, kVendor, 2);
  put(0x2e, chip.device_id, 2);
  put(0x34, 0x50, 1);    // the first capability
  put(0x3d, 1, 1);       // INTA
  put(0x50, 0x6401, 2);  // power management, version 3; then 0x64
  put(0x52, 0x0003, 2);
  put(0x64, 0xa010, 2);  // PCI Express, version 2, a legacy endpoint as GPUs are; then 0xa0
  put(0x66, 0x0012, 2);
  put(0x70, link_generation(chip) | kLinkWidth << 4, 4);  // what the link could do
  put(0x76, link_generation(chip) | kLinkWidth << 4, 2);  // and does
  put(0x94, link_generation(chip), 2);
  put(0xa0, 0x0005, 2);  // MSI, the last; on, 64 bits
  put(0xa2, 0x0081, 2);
  return bytes;
}

/// pci-sysfs.c resource_show: begin, end and flags (ioport.h) of each base address, the ROM and
/// six more that only bridges and virtual functions have.
std::string resources(const VirtualGpu& gpu) {
  const Bars places = bars(gpu);
  constexpr std::uint64_t kMemory = 0x40200, kWide = 0x14220c;
  std::string text;
  auto add = [&](std::uint64_t begin, std::uint64_t bytes, std::uint64_t flags) {
    text += strf("0x%016llx 0x%016llx 0x%016llx\n", static_cast<unsigned long long>(begin),
                 static_cast<unsigned long long>(bytes == 0 ? 0 : begin + bytes - 1),
                 static_cast<unsigned long long>(flags));
  };
  add(places.vram, places.vram_bytes, kWide);
  add(0, 0, 0);
  add(places.doorbells, kDoorbellBytes, kWide);
  add(0, 0, 0);
  add(0, 0, 0);
  add(places.registers, kRegisterBytes, kMemory);
  for (int rest = 6; rest < 13; ++rest) add(0, 0, 0);
  return text;
}

/// The CPUs that are near: all.
std::string cpu_list(unsigned cpus) {
  return cpus == 1 ? "0\n" : strf("0-%u\n", cpus - 1);
}
/// The same as a mask, in words of 32 bits from the highest (bitmap_print_to_pagebuf).
std::string cpu_mask(unsigned cpus) {
  std::string text;
  for (unsigned word = (cpus + 31) / 32; word-- > 0;) {
    const unsigned left = cpus - word * 32;
    const unsigned bits = left >= 32 ? ~0u : (1u << left) - 1;
    text += text.empty() ? strf("%x", bits) : strf(",%08x", bits);
  }
  return text + "\n";
}

/// A clock's levels as amdgpu_pm.c prints them: asleep at the lower one.
std::string levels(std::uint32_t low, std::uint32_t high) {
  return strf("0: %uMhz *\n1: %uMhz\n", low, high);
}

}  // namespace

std::string pci_slot(const VirtualGpu& gpu) {
  return strf("0000:%02x:00.0", gpu.pci_bus());
}

void Sysfs::add_device(VirtualGpu& gpu) {
  const ChipSpec& chip = gpu.chip();
  const std::string device =
      "/sys/class/drm/renderD" + std::to_string(gpu.render_minor()) + "/device";
  auto add = [&](const char* name, std::string text) {
    files_[device + "/" + name] = std::move(text);
  };
  const std::uint32_t kind = pci_class(chip);
  add("vendor", hex_line(kVendor, 4));
  add("device", hex_line(chip.device_id, 4));
  add("subsystem_vendor", hex_line(kVendor, 4));
  add("subsystem_device", hex_line(chip.device_id, 4));
  add("revision", hex_line(chip.pci_revision, 2));
  add("class", hex_line(kind, 6));
  add("modalias", strf("pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n", kVendor, chip.device_id,
                       kVendor, chip.device_id, kind >> 16, kind >> 8 & 0xff, kind & 0xff));
  add("uevent", strf("DRIVER=amdgpu\nPCI_CLASS=%X\nPCI_ID=1002:%04X\nPCI_SUBSYS_ID=1002:%04X\n"
                     "PCI_SLOT_NAME=%s\n",
                     kind, chip.device_id, chip.device_id, pci_slot(gpu).c_str()));
  add("config", config_space(gpu));
  add("resource", resources(gpu));
  add("irq", number_line(0));
  add("enable", number_line(1));
  add("power_state", "D0\n");
  add("numa_node", "-1\n");
  const auto cpus = static_cast<unsigned>(std::max(1l, sysconf(_SC_NPROCESSORS_ONLN)));
  add("local_cpulist", cpu_list(cpus));
  add("local_cpus", cpu_mask(cpus));
  for (const char* name : {"current_link_speed", "max_link_speed"})
    add(name, strf("%s GT/s PCIe\n", link_speed(chip)));
  for (const char* name : {"current_link_width", "max_link_width"})
    add(name, number_line(kLinkWidth));

  add("product_name", std::string(chip.marketing_name) + "\n");
  add("unique_id", strf("%016llx\n", static_cast<unsigned long long>(gpu.unique_id())));
  add("vbios_version", "KILN-VIRTUAL\n");
  // What is in use changes: who shows these files writes those two anew.
  add("mem_info_vram_total", number_line(gpu.vram_bytes()));
  add("mem_info_vis_vram_total", number_line(gpu.vram_bytes()));
  add("mem_info_gtt_total", number_line(gpu.gtt_bytes()));
  for (const char* name : {"mem_info_vram_used", "mem_info_vis_vram_used"})
    add(name, number_line(gpu.vram_bytes() - gpu.free_vram()));
  add("mem_info_gtt_used", number_line(gpu.gtt_bytes() - gpu.free_gtt()));
  add("fw_version/mec_fw_version", hex_line(chip.mec_firmware, 8));
  for (const char* name : {"fw_version/sdma_fw_version", "fw_version/sdma2_fw_version"})
    add(name, hex_line(chip.sdma_firmware, 8));
  if (chip.xcc_count > 1) add("current_compute_partition", "SPX\n");

  // A virtual GPU has neither load, clocks nor warmth: it shows one that rests.
  add("gpu_busy_percent", number_line(0));
  add("mem_busy_percent", number_line(0));
  add("power_dpm_force_performance_level", "auto\n");
  add("power_dpm_state", "performance\n");
  constexpr std::uint32_t kRestingMhz = 100;
  add("pp_dpm_sclk", levels(kRestingMhz, chip.max_engine_clock_mhz));
  add("pp_dpm_mclk", levels(kRestingMhz, chip.max_memory_clock_mhz));
  add("pp_dpm_pcie", strf("0: %sGT/s, x%u *\n", link_speed(chip), kLinkWidth));
  const std::string sensors = "hwmon/hwmon" + std::to_string(gpu.index()) + "/";
  for (const auto& [name, text] :
       {std::pair{"name", "amdgpu"}, std::pair{"temp1_input", "30000"},
        std::pair{"temp1_label", "edge"}, std::pair{"temp1_crit", "100000"},
        std::pair{"power1_average", "0"}, std::pair{"power1_label", "PPT"},
        std::pair{"power1_cap", "300000000"}, std::pair{"freq1_input", "100000000"},
        std::pair{"freq1_label", "sclk"}, std::pair{"freq2_input", "100000000"},
        std::pair{"freq2_label", "mclk"}})
    add((sensors + name).c_str(), std::string(text) + "\n");

  // amdgpu_discovery.c: die/0/HARDWARE_ID/INSTANCE. Ids of soc15_hw_ip.h.
  auto add_block = [&](std::uint32_t hardware_id, std::uint32_t instances, IpVersion version) {
    for (std::uint32_t instance = 0; instance < instances; ++instance) {
      const std::string block = device + strf("/ip_discovery/die/0/%u/%u/", hardware_id, instance);
      files_[block + "hw_id"] = number_line(hardware_id);
      files_[block + "num_instance"] = number_line(instance);
      files_[block + "major"] = number_line(version.major);
      files_[block + "minor"] = number_line(version.minor);
      files_[block + "revision"] = number_line(version.revision);
      files_[block + "harvest"] = "0x0\n";
    }
  };
  constexpr std::uint32_t kGc = 11, kSdma0 = 42, kNbif = 108;
  add_block(kGc, chip.xcc_count, chip.gc);
  add_block(kSdma0, chip.sdma_engines + chip.sdma_xgmi_engines, chip.sdma);
  add_block(kNbif, 1, chip.nbio);
}

}  // namespace kiln::vgpu

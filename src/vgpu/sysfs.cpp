#include "vgpu/sysfs.hpp"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>

#include "kmd/uapi/kfd_ioctl.hpp"

namespace kiln::vgpu {

namespace {

constexpr char kTopology[] = "/sys/devices/virtual/kfd/kfd/topology";
// The same folders under other names: what the left begins is found at the right.
constexpr struct {
  std::string_view alias, canonical;
} kAliases[] = {
    {"/sys/class/kfd/kfd", "/sys/devices/virtual/kfd/kfd"},
    {"/sys/dev/char/226:", "/sys/class/drm/renderD"},
};
constexpr std::string_view kOwned[] = {"/sys/devices/virtual/kfd", "/sys/class/kfd",
                                       "/sys/class/drm",
                                       "/sys/dev/char/226:", "/sys/module/amdgpu"};

// Values of kfd_crat.h and include/uapi/linux/kfd_sysfs.h.
constexpr std::uint32_t kLinkPcie = 2, kLinkXgmi = 11;
constexpr std::uint32_t kLinkEnabled = 1;
constexpr std::uint32_t kWeightHost = 20, kWeightXgmi = 15, kWeightPeer = 40;
constexpr std::uint32_t kHeapSystem = 0, kHeapFramebufferPublic = 1;
constexpr std::uint32_t kCacheData = 1, kCacheInstruction = 2, kCacheSimd = 8;
// Recalled: MB/s of PCIe 4.0 and 5.0 x16 and of one XGMI link between two MI300X.
constexpr std::uint32_t kPcieBandwidth = 64000, kXgmiBandwidth = 50000, kLeastBandwidth = 312;

/// Lines of "name value", as sysfs_show_32bit_prop and its 64-bit twin print (kfd_topology.c).
class Lines {
 public:
  Lines& add(const char* name, std::uint64_t value) {
    text_ += strf("%s %llu\n", name, static_cast<unsigned long long>(value));
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string number_line(std::uint64_t value) {
  return std::to_string(value) + "\n";
}

std::string link_text(const Machine& machine, std::uint32_t type, std::uint32_t from,
                      std::uint32_t to, std::uint32_t weight, std::uint32_t bandwidth,
                      std::uint32_t sdma_mask) {
  Lines lines;  // kfd_topology.c iolink_show
  lines.add("type", type)
      .add("version_major", 0)
      .add("version_minor", 0)
      .add("node_from", from)
      .add("node_to", to)
      .add("weight", weight)
      .add("min_latency", 0)
      .add("max_latency", 0)
      .add("min_bandwidth", bandwidth == 0 ? 0 : kLeastBandwidth)
      .add("max_bandwidth", bandwidth)
      .add("recommended_transfer_size", 0);
  if (machine.kfd_minor() >= kmd::uapi::kMinorSdmaByEngine)
    lines.add("recommended_sdma_engine_id_mask", sdma_mask);
  lines.add("flags", kLinkEnabled);
  return lines.text();
}

std::string memory_text(std::uint32_t heap, std::uint64_t bytes, std::uint32_t width,
                        std::uint32_t clock) {
  Lines lines;  // mem_show
  lines.add("heap_type", heap)
      .add("size_in_bytes", bytes)
      .add("flags", 0)
      .add("width", width)
      .add("mem_clk_max", clock);
  return lines.text();
}

/// Bytes of host memory, as the CPU node's bank shows them.
std::uint64_t host_memory() {
  struct sysinfo info{};
  if (sysinfo(&info) != 0) return 8ull << 30;
  return std::uint64_t{info.totalram} * info.mem_unit;
}

std::string canonical(std::string_view path) {
  std::string clean;
  for (const char c : path)
    if (c != '/' || clean.empty() || clean.back() != '/') clean += c;
  while (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  for (const auto& [alias, to] : kAliases) {
    if (!clean.starts_with(alias)) continue;
    clean.replace(0, alias.size(), to);
    break;
  }
  return clean;
}

}  // namespace

Sysfs::Sysfs(Machine& machine) {
  const std::string topology = kTopology;
  files_[topology + "/generation_id"] = number_line(2);
  files_[topology + "/system_properties"] =
      Lines().add("platform_oem", 0).add("platform_id", 0).add("platform_rev", 0).text();
  add_cpu_node(machine);
  for (std::size_t index = 0; index < machine.gpu_count(); ++index) {
    add_gpu_node(machine, machine.gpu(index));
    add_device(machine.gpu(index));
  }
  files_["/sys/module/amdgpu/initstate"] = "live\n";
  files_["/sys/module/amdgpu/refcnt"] = number_line(1);
  files_["/sys/module/amdgpu/parameters/noretry"] = number_line(1);
  files_["/sys/module/amdgpu/parameters/no_system_mem_limit"] = "N\n";
}

void Sysfs::add_cpu_node(Machine& machine) {
  const std::string node = std::string(kTopology) + "/nodes/0";
  files_[node + "/gpu_id"] = number_line(0);
  files_[node + "/name"] = "\n";
  std::size_t links = 0;
  for (std::size_t index = 0; index < machine.gpu_count(); ++index)
    files_[node + "/io_links/" + std::to_string(links++) + "/properties"] =
        link_text(machine, kLinkPcie, 0, machine.gpu(index).node(), kWeightHost, kPcieBandwidth, 0);
  files_[node + "/mem_banks/0/properties"] = memory_text(kHeapSystem, host_memory(), 64, 3200);
  const long cores = std::max(1l, sysconf(_SC_NPROCESSORS_ONLN));
  Lines lines;  // node_show; everything of a GPU is 0
  lines.add("cpu_cores_count", static_cast<std::uint64_t>(cores))
      .add("simd_count", 0)
      .add("mem_banks_count", 1)
      .add("caches_count", 0)  // libhsakmt reads CPU caches elsewhere
      .add("io_links_count", links)
      .add("p2p_links_count", 0);
  for (const char* name : {"cpu_core_id_base",
                           "simd_id_base",
                           "max_waves_per_simd",
                           "lds_size_in_kb",
                           "gds_size_in_kb",
                           "num_gws",
                           "wave_front_size",
                           "array_count",
                           "simd_arrays_per_engine",
                           "cu_per_simd_array",
                           "simd_per_cu",
                           "max_slots_scratch_cu",
                           "gfx_target_version",
                           "vendor_id",
                           "device_id",
                           "location_id",
                           "domain",
                           "drm_render_minor",
                           "hive_id",
                           "num_sdma_engines",
                           "num_sdma_xgmi_engines",
                           "num_sdma_queues_per_engine",
                           "num_cp_queues"})
    lines.add(name, 0);
  if (machine.kfd_minor() >= kmd::uapi::kMinorCreateProcess)
    lines.add("cwsr_size", 0).add("ctl_stack_size", 0);
  lines.add("max_engine_clk_ccompute", 3000);
  files_[node + "/properties"] = lines.text();
}

void Sysfs::add_caches(const std::string& node, const ChipSpec& chip) {
  // kfd_topology.c kfd_fill_cache_non_crat_info: L1 of each active CU; scalar caches of each group
  // of CUs of which one is active (with 38 of 40 CUs no pair is empty); GL1 of each array; then one
  // L2 and one memory-side cache.
  std::size_t index = 0;
  constexpr std::uint32_t kSiblings = 1024;  // CACHE_SIBLINGMAP_SIZE * 8
  auto add = [&](std::uint32_t level, std::uint32_t kb, std::uint32_t line, std::uint32_t type,
                 std::uint32_t first, std::uint32_t siblings) {
    Lines lines;
    lines.add("processor_id_low", 0x80001000u + first)
        .add("level", level)
        .add("size", kb)
        .add("cache_line_size", line)
        .add("cache_lines_per_tag", 1)
        .add("association", 0)
        .add("latency", 0)
        .add("type", type | kCacheSimd);
    std::string map = "sibling_map ";
    for (std::uint32_t cu = 0; cu < kSiblings; ++cu)
      map += cu >= first && cu < first + siblings ? "1," : "0,";
    map.back() = '\n';
    files_[node + "/caches/" + std::to_string(index++) + "/properties"] = lines.text() + map;
  };
  for (std::uint32_t cu = 0; cu < chip.cu_count; ++cu)
    add(1, chip.vl1_kb, chip.vl1_line, kCacheData, cu, 1);
  for (const auto& [kb, type] :
       {std::pair{chip.sl1i_kb, kCacheInstruction}, std::pair{chip.sl1d_kb, kCacheData}})
    for (std::uint32_t array = 0; array < chip.array_count(); ++array)
      for (std::uint32_t cu = 0; cu < chip.cu_per_array; cu += chip.cu_per_scalar_cache)
        add(1, kb, chip.scalar_line, type, array * chip.cu_per_array + cu,
            std::min(chip.cu_per_scalar_cache, chip.cu_per_array - cu));
  if (chip.gl1_kb != 0)
    for (std::uint32_t array = 0; array < chip.array_count(); ++array)
      add(1, chip.gl1_kb, chip.vl1_line, kCacheData, array * chip.cu_per_array, chip.cu_per_array);
  add(2, chip.l2_kb, chip.l2_line, kCacheData, 0, chip.cu_per_xcc());
  if (chip.mall_kb != 0) add(3, chip.mall_kb, 64, kCacheData, 0, chip.cu_count);
}

void Sysfs::add_links(Machine& machine, VirtualGpu& gpu, std::size_t* io_links,
                      std::size_t* p2p_links) {
  const std::string node = std::string(kTopology) + "/nodes/" + std::to_string(gpu.node());
  const ChipSpec& chip = gpu.chip();
  *io_links = *p2p_links = 0;
  // kfd_crat.c: plain SDMA engines serve the host, each XGMI engine one neighbour.
  const std::uint32_t host_engines = chip.xgmi ? (1u << chip.sdma_engines) - 1 : 0;
  files_[node + "/io_links/0/properties"] =
      link_text(machine, kLinkPcie, gpu.node(), 0, kWeightHost, kPcieBandwidth, host_engines);
  ++*io_links;
  std::uint32_t neighbour = 0;
  for (std::size_t index = 0; index < machine.gpu_count(); ++index) {
    VirtualGpu& peer = machine.gpu(index);
    if (&peer == &gpu) continue;
    if (chip.xgmi && &peer.chip() == &chip) {
      const std::uint32_t engine = chip.sdma_engines + neighbour++ % chip.sdma_xgmi_engines;
      files_[node + "/io_links/" + std::to_string((*io_links)++) + "/properties"] = link_text(
          machine, kLinkXgmi, gpu.node(), peer.node(), kWeightXgmi, kXgmiBandwidth, 1u << engine);
    } else {
      files_[node + "/p2p_links/" + std::to_string((*p2p_links)++) + "/properties"] =
          link_text(machine, kLinkPcie, gpu.node(), peer.node(), kWeightPeer, kPcieBandwidth, 0);
    }
  }
}

void Sysfs::add_gpu_node(Machine& machine, VirtualGpu& gpu) {
  const std::string node = std::string(kTopology) + "/nodes/" + std::to_string(gpu.node());
  const ChipSpec& chip = gpu.chip();
  add_caches(node, chip);
  std::size_t io_links = 0, p2p_links = 0;
  add_links(machine, gpu, &io_links, &p2p_links);
  files_[node + "/mem_banks/0/properties"] = memory_text(
      kHeapFramebufferPublic, gpu.vram_bytes(), chip.vram_bus_bits, chip.max_memory_clock_mhz);
  files_[node + "/gpu_id"] = number_line(gpu.gpu_id());
  // Chips found by their discovery table have no name of their own (kfd_device.c).
  const bool discovered = chip.gc.major >= 11 || chip.gc == IpVersion{9, 4, 3};
  files_[node + "/name"] = discovered ? "ip discovery\n" : std::string(chip.name()) + "\n";
  const std::string caches = node + "/caches/";
  const auto cache_files = std::ranges::count_if(
      files_, [&](const auto& file) { return file.first.starts_with(caches); });

  Lines lines;  // node_show, in its order
  lines.add("cpu_cores_count", 0)
      .add("simd_count", chip.simd_count())
      .add("mem_banks_count", 1)
      .add("caches_count", static_cast<std::uint64_t>(cache_files))
      .add("io_links_count", io_links)
      .add("p2p_links_count", p2p_links)
      .add("cpu_core_id_base", 0)
      .add("simd_id_base", 0x80001000u)
      .add("max_waves_per_simd", chip.max_waves_per_simd)
      .add("lds_size_in_kb", chip.lds_kb)
      .add("gds_size_in_kb", 0)
      .add("num_gws", 0)  // needs firmware that is not played
      .add("wave_front_size", chip.wave_size)
      .add("array_count", chip.array_count())
      .add("simd_arrays_per_engine", chip.arrays_per_engine)
      .add("cu_per_simd_array", chip.cu_per_array)
      .add("simd_per_cu", chip.simd_per_cu)
      .add("max_slots_scratch_cu", chip.scratch_slots_per_cu)
      .add("gfx_target_version", chip.gfx_ip.to_kfd())
      .add("vendor_id", 0x1002)
      .add("device_id", chip.device_id)
      .add("location_id", gpu.location_id())
      .add("domain", 0)
      .add("drm_render_minor", gpu.render_minor())
      .add("hive_id", gpu.hive_id())
      .add("num_sdma_engines", chip.sdma_engines)
      .add("num_sdma_xgmi_engines", chip.sdma_xgmi_engines)
      .add("num_sdma_queues_per_engine", chip.sdma_queues_per_engine)
      .add("num_cp_queues", chip.num_cp_queues);
  if (machine.kfd_minor() >= kmd::uapi::kMinorCreateProcess) {
    const QueueSizes sizes = gpu.queue_sizes();
    lines.add("cwsr_size", sizes.save_area).add("ctl_stack_size", sizes.control_stack);
  }
  lines.add("max_engine_clk_fcompute", chip.max_engine_clock_mhz)
      .add("local_mem_size", 0)
      .add("fw_version", chip.mec_firmware)
      .add("capability", chip.capability)
      .add("debug_prop", chip.debug_prop)
      .add("sdma_fw_version", chip.sdma_firmware)
      .add("unique_id", gpu.unique_id())
      .add("num_xcc", chip.xcc_count)
      .add("max_engine_clk_ccompute", 3000);
  files_[node + "/properties"] = lines.text();
}

bool Sysfs::owns(std::string_view path) {
  std::string clean;
  for (const char c : path)
    if (c != '/' || clean.empty() || clean.back() != '/') clean += c;
  return std::ranges::any_of(kOwned, [&](std::string_view root) {
    return clean.starts_with(root) &&
           (clean.size() == root.size() || root.back() == ':' || clean[root.size()] == '/');
  });
}

int Sysfs::read(std::string_view path, std::string* text) const {
  const std::string name = canonical(path);
  if (const auto file = files_.find(name); file != files_.end()) {
    *text = file->second;
    return 0;
  }
  const auto below = files_.lower_bound(name + "/");
  return below != files_.end() && below->first.starts_with(name + "/") ? -EISDIR : -ENOENT;
}

int Sysfs::list(std::string_view path, std::vector<std::string>* names) const {
  names->clear();
  const std::string name = canonical(path);
  if (files_.contains(name)) return -ENOTDIR;
  const std::string prefix = name + "/";
  for (auto file = files_.lower_bound(prefix);
       file != files_.end() && file->first.starts_with(prefix); ++file) {
    const std::string_view rest = std::string_view(file->first).substr(prefix.size());
    const std::string_view child = rest.substr(0, rest.find('/'));
    if (names->empty() || names->back() != child) names->emplace_back(child);
  }
  std::ranges::sort(*names);
  names->erase(std::unique(names->begin(), names->end()), names->end());
  // Folders of a node exist even when empty, as p2p_links of a single GPU.
  if (names->empty() &&
      !(name.starts_with(std::string(kTopology) + "/nodes/") &&
        (name.ends_with("/caches") || name.ends_with("/p2p_links") || name.ends_with("/io_links"))))
    return -ENOENT;
  return 0;
}

}  // namespace kiln::vgpu

// Owns: reading and interpreting topology text.
// Does not own: see topology.hpp.
// Threading: stateless.
#include "kmd/topology.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace kiln::kmd {
namespace {

constexpr const char* kRoot = "/sys/devices/virtual/kfd/kfd/topology";

// include/uapi/linux/kfd_sysfs.h and kfd_crat.h.
constexpr std::uint64_t kHeapFramebufferPublic = 1, kHeapFramebufferPrivate = 2;
constexpr std::uint64_t kLinkPcie = 2, kLinkXgmi = 11;
constexpr std::uint64_t kLinkNo32BitAtomics = 1u << 2, kLinkNo64BitAtomics = 1u << 3;

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

int read_number(Os& os, const std::string& path, std::uint64_t* value) {
  std::string text;
  if (const int status = os.read_file(path.c_str(), &text); status < 0) return status;
  char* end = nullptr;
  *value = std::strtoull(text.c_str(), &end, 10);
  return end == text.c_str() ? -EINVAL : 0;
}

/// Of a directory that is named by a number.
std::uint32_t number_of(const std::string& name) {
  return static_cast<std::uint32_t>(std::strtoul(name.c_str(), nullptr, 10));
}

/// The `properties` files of the numbered directories below `path`; none if there is no such place.
std::vector<Properties> read_group(Os& os, const std::string& path) {
  std::vector<Properties> group;
  std::vector<std::string> names;
  if (os.list_directory(path.c_str(), &names) < 0) return group;
  std::sort(names.begin(), names.end(),
            [](const std::string& a, const std::string& b) { return number_of(a) < number_of(b); });
  for (const std::string& name : names) {
    std::string text;
    if (os.read_file(strf("%s/%s/properties", path.c_str(), name.c_str()).c_str(), &text) == 0)
      group.push_back(parse_properties(text));
  }
  return group;
}

TopologyNode read_node(Os& os, std::uint32_t number) {
  TopologyNode node;
  node.node = number;
  const std::string path = std::string(kRoot) + "/nodes/" + std::to_string(number);
  std::uint64_t gpu_id = 0;
  // Each node's own gpu_id file pairs it with KFD's ids; positions do not (nodes sort as text, and
  // nodes that a device cgroup hides still count).
  if (const int status = read_number(os, path + "/gpu_id", &gpu_id); status < 0) {
    node.hidden = status;
    return node;
  }
  node.gpu_id = static_cast<std::uint32_t>(gpu_id);
  std::string text;
  // kfd_topology.c node_show: -EPERM for a GPU that the device cgroup keeps from this process.
  if (const int status = os.read_file((path + "/properties").c_str(), &text); status < 0) {
    node.hidden = status;
    return node;
  }
  node.properties = parse_properties(text);
  if (os.read_file((path + "/name").c_str(), &node.name) == 0)
    while (!node.name.empty() && (node.name.back() == '\n' || node.name.back() == ' '))
      node.name.pop_back();
  node.memory_banks = read_group(os, path + "/mem_banks");
  node.caches = read_group(os, path + "/caches");
  node.io_links = read_group(os, path + "/io_links");
  node.p2p_links = read_group(os, path + "/p2p_links");
  return node;
}

std::uint64_t value_of(const Properties& properties, std::string_view key,
                       std::uint64_t otherwise = 0) {
  const auto found = properties.find(key);
  return found == properties.end() ? otherwise : found->second;
}

Link describe_link(const Properties& properties) {
  Link link;
  auto get32 = [&](std::string_view key) {
    return static_cast<std::uint32_t>(value_of(properties, key));
  };
  link.to_node = get32("node_to");
  const std::uint64_t type = value_of(properties, "type");
  link.kind = type == kLinkXgmi   ? LinkKind::Xgmi
              : type == kLinkPcie ? LinkKind::Pcie
                                  : LinkKind::None;
  link.weight = get32("weight");
  link.min_bandwidth_mbs = get32("min_bandwidth");
  link.max_bandwidth_mbs = get32("max_bandwidth");
  link.recommended_sdma_engines = get32("recommended_sdma_engine_id_mask");
  const std::uint64_t flags = value_of(properties, "flags");
  link.atomics_32 = (flags & kLinkNo32BitAtomics) == 0;
  link.atomics_64 = (flags & kLinkNo64BitAtomics) == 0;
  return link;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  const auto last = text.find_last_not_of(" \t\r\n");
  return first == std::string::npos ? std::string() : text.substr(first, last - first + 1);
}

/// libdrm's list has lines "device id, revision id, product name", both ids in hex.
std::string name_from_id_list(const std::string& list, std::uint32_t device,
                              std::uint32_t revision) {
  std::size_t at = 0;
  while (at < list.size()) {
    std::size_t end = list.find('\n', at);
    if (end == std::string::npos) end = list.size();
    const std::string line = list.substr(at, end - at);
    at = end + 1;
    const std::size_t comma = line.find(',');
    const std::size_t second = comma == std::string::npos ? comma : line.find(',', comma + 1);
    if (line.empty() || line[0] == '#' || second == std::string::npos) continue;
    if (std::strtoul(line.c_str(), nullptr, 16) == device &&
        std::strtoul(line.c_str() + comma + 1, nullptr, 16) == revision)
      return trimmed(line.substr(second + 1));
  }
  return {};
}

std::string product_name(Os& os, const GpuInfo& info) {
  const std::string device =
      "/sys/class/drm/renderD" + std::to_string(info.drm_render_minor) + "/device/";
  std::string text;
  // amdgpu_fru_eeprom.c: boards with a FRU chip name themselves.
  if (os.read_file((device + "product_name").c_str(), &text) == 0 && !trimmed(text).empty())
    return trimmed(text);
  std::string list;
  if (os.read_file((device + "revision").c_str(), &text) == 0 &&
      os.read_file("/usr/share/libdrm/amdgpu.ids", &list) == 0) {
    const auto revision = static_cast<std::uint32_t>(std::strtoul(text.c_str(), nullptr, 16));
    if (std::string name = name_from_id_list(list, info.device_id, revision); !name.empty())
      return name;
  }
  return gpu::to_string(info.gfx_ip);
}

}  // namespace

Properties parse_properties(const std::string& text) {
  Properties properties;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    const std::size_t space = text.find(' ', at);
    if (space < end) {
      char* stop = nullptr;
      const std::uint64_t value = std::strtoull(text.c_str() + space + 1, &stop, 10);
      if (stop != text.c_str() + space + 1) properties[text.substr(at, space - at)] = value;
    }
    at = end + 1;
  }
  return properties;
}

std::uint64_t TopologyNode::get(std::string_view key, std::uint64_t otherwise) const {
  return value_of(properties, key, otherwise);
}

Result<std::vector<TopologyNode>> read_topology(Os& os) {
  const std::string generation_path = std::string(kRoot) + "/generation_id";
  const std::string nodes_path = std::string(kRoot) + "/nodes";
  // The driver counts the generation up whenever nodes come or go (kfd_topology.c); a snapshot
  // counts only if it did not change meanwhile.
  for (int attempt = 0; attempt < 8; ++attempt) {
    std::uint64_t before = 0, after = 0;
    if (const int status = read_number(os, generation_path, &before); status < 0)
      return fail(VK_ERROR_INITIALIZATION_FAILED,
                  strf("%s cannot be read (%s): the amdgpu module's compute part (KFD) is not "
                       "active; load amdgpu, or in a container mount /sys",
                       generation_path.c_str(), std::strerror(-status)));
    std::vector<std::string> names;
    if (const int status = os.list_directory(nodes_path.c_str(), &names); status < 0)
      return fail(VK_ERROR_INITIALIZATION_FAILED,
                  strf("%s cannot be listed (%s)", nodes_path.c_str(), std::strerror(-status)));
    std::vector<TopologyNode> nodes;
    for (const std::string& name : names)
      if (name.find_first_not_of("0123456789") == std::string::npos)
        nodes.push_back(read_node(os, number_of(name)));
    std::sort(nodes.begin(), nodes.end(),
              [](const TopologyNode& a, const TopologyNode& b) { return a.node < b.node; });
    if (read_number(os, generation_path, &after) == 0 && before == after) return nodes;
  }
  return fail(
      VK_ERROR_INITIALIZATION_FAILED,
      strf("%s changed each of the 8 times it was read: GPUs keep coming and going", kRoot));
}

SaveAreaSizes compute_save_area(const TopologyNode& node) {
  // Constants of kfd_queue.c; it derives them per target version, not per architecture.
  constexpr std::uint32_t kSgprPerCu = 0x4000, kLdsPerCu = 0x10000, kHwRegistersPerCu = 0x1000;
  constexpr std::uint32_t kHeaderBytes = 40, kDebugPerWave = 32, kDebugAlign = 64;
  constexpr std::uint64_t kPage = 4096;

  SaveAreaSizes sizes;
  const auto version = static_cast<std::uint32_t>(node.get("gfx_target_version"));
  const std::uint64_t xccs = std::max<std::uint64_t>(node.get("num_xcc", 1), 1);
  const std::uint64_t simds_per_cu = std::max<std::uint64_t>(node.get("simd_per_cu"), 1);
  const std::uint64_t cus = node.get("simd_count") / simds_per_cu / xccs;
  if (version < 80001 || cus == 0) return sizes;

  std::uint64_t waves = cus * 32;
  if (version < 100100) {
    // sysfs prints array_count times the XCC count, the formula is per XCC.
    const std::uint64_t arrays = node.get("array_count") / xccs;
    const std::uint64_t per_engine =
        std::max<std::uint64_t>(node.get("simd_arrays_per_engine", 1), 1);
    waves = std::min(cus * 40, arrays / per_engine * 512);
  }
  std::uint32_t vgpr_per_cu = 0x40000;
  switch (version) {
    case 90402:
    case 90010:
    case 90008:
    case 90500:
      vgpr_per_cu = 0x80000;
      break;
    case 110000:
    case 110001:
    case 120000:
    case 120001:
      vgpr_per_cu = 0x60000;
      break;
    default:
      break;
  }
  const std::uint64_t lds_per_cu =
      version == 90500 ? node.get("lds_size_in_kb") * 1024 : std::uint64_t{kLdsPerCu};
  const std::uint64_t workgroup_data =
      align_up(cus * (vgpr_per_cu + kSgprPerCu + lds_per_cu + kHwRegistersPerCu), kPage);
  const std::uint64_t stack_per_wave = version >= 100100 ? 12 : 8;
  std::uint64_t stack = align_up(kHeaderBytes + waves * stack_per_wave + 8, kPage);
  if (version / 10000 == 10) stack = std::min<std::uint64_t>(stack, 0x7000);

  sizes.control_stack_bytes = static_cast<std::uint32_t>(stack);
  sizes.context_bytes = static_cast<std::uint32_t>(stack + workgroup_data);
  sizes.debug_bytes = static_cast<std::uint32_t>(align_up(waves * kDebugPerWave, kDebugAlign));
  return sizes;
}

GpuInfo describe_gpu(Os& os, const TopologyNode& node, const std::vector<TopologyNode>& nodes) {
  GpuInfo info;
  auto get32 = [&](std::string_view key, std::uint64_t otherwise = 0) {
    return static_cast<std::uint32_t>(node.get(key, otherwise));
  };
  info.gfx_ip = gpu::GfxIp::from_kfd(get32("gfx_target_version"));
  info.node = node.node;
  info.gpu_id = node.gpu_id;
  const std::uint64_t minor = node.get("drm_render_minor");
  info.drm_render_minor = minor >= 128 && minor < 4096 ? static_cast<std::int32_t>(minor) : -1;
  info.vendor_id = get32("vendor_id");
  info.device_id = get32("device_id");
  // location_id is the PCI device id: bus 15:8, device 7:3, function 2:0; above that the partition
  // of a spatially divided GPU (kfd_topology.c).
  const std::uint32_t location = get32("location_id");
  info.pci_domain = get32("domain");
  info.pci_bus = location >> 8 & 0xff;
  info.pci_device = location >> 3 & 0x1f;
  info.pci_function = location & 7;

  info.xcc_count = std::max(get32("num_xcc", 1), 1u);
  info.simd_per_cu = std::max(get32("simd_per_cu"), 1u);
  info.cu_count = get32("simd_count") / info.simd_per_cu;
  info.max_waves_per_simd = get32("max_waves_per_simd");
  info.shader_arrays_per_engine = std::max(get32("simd_arrays_per_engine", 1), 1u);
  info.shader_engines = get32("array_count") / info.shader_arrays_per_engine;
  info.cu_per_shader_array = get32("cu_per_simd_array");
  info.max_scratch_slots_per_cu = get32("max_slots_scratch_cu", 32);
  info.lds_bytes = get32("lds_size_in_kb", 64) * 1024;
  info.wavefront_size = get32("wave_front_size", 64);
  info.max_engine_clock_mhz = get32("max_engine_clk_fcompute");
  info.sdma_engines = get32("num_sdma_engines");
  info.sdma_xgmi_engines = get32("num_sdma_xgmi_engines");
  info.sdma_queues_per_engine = get32("num_sdma_queues_per_engine");
  info.compute_queue_slots = get32("num_cp_queues");

  for (const Properties& bank : node.memory_banks) {
    const std::uint64_t heap = value_of(bank, "heap_type"), size = value_of(bank, "size_in_bytes");
    if (heap != kHeapFramebufferPublic && heap != kHeapFramebufferPrivate) continue;
    info.vram_bytes += size;
    // The framebuffer is one public bank when the BAR covers it, else one private bank
    // (kfd_crat.c), and then KFD maps none of it to the host.
    if (heap == kHeapFramebufferPublic) info.visible_vram_bytes += size;
  }
  for (const Properties& cache : node.caches)
    if (value_of(cache, "level") == 2)
      info.l2_cache_bytes =
          std::max(info.l2_cache_bytes, static_cast<std::uint32_t>(value_of(cache, "size") * 1024));

  const SaveAreaSizes computed = compute_save_area(node);
  // The driver's own figures where it prints them (Linux 6.18 and stable branches).
  info.cwsr_bytes = get32("cwsr_size", computed.context_bytes);
  info.control_stack_bytes = get32("ctl_stack_size", computed.control_stack_bytes);
  info.debug_area_bytes = computed.debug_bytes;
  info.eop_bytes = 4096;
  // HSA_CAP_SRAM_EDCSUPPORTED (kfd_topology.h), which ROCr takes for "sramecc+"; of the GPUs in
  // the target table, those of gfx9 have the choice (LLVM AMDGPUUsage, "Target Features").
  if (info.gfx_ip.major == 9) info.sramecc = (get32("capability") >> 26 & 1) != 0;

  info.is_virtual = os.is_virtual();
  for (const auto* group : {&node.io_links, &node.p2p_links})
    for (const Properties& properties : *group) info.links.push_back(describe_link(properties));
  for (const Link& link : info.links)
    for (const TopologyNode& other : nodes)
      if (other.node == link.to_node && !other.is_gpu() && other.hidden == 0 &&
          link.kind == LinkKind::Xgmi)
        info.hdp_flush_needed = false;  // the host reaches VRAM coherently, not through a BAR

  // unique_id is 0 where fuses hold none; then the PCI address keeps two GPUs of a host apart.
  const std::uint64_t unique = node.get("unique_id");
  std::memcpy(info.uuid.data(), &unique, 8);
  const std::uint32_t place[2] = {unique != 0 ? 0 : info.pci_domain << 16 | (location & 0xffff),
                                  unique != 0 ? info.gpu_id : info.device_id};
  std::memcpy(info.uuid.data() + 8, place, 8);
  info.marketing_name = product_name(os, info);
  return info;
}

}  // namespace kiln::kmd

// Owns: kiln-info: which GPUs there are, what they are, and why others cannot be used.
// Does not own: finding them (the library), the self-checks of --probe (probe.*).
// Threading: one thread.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "probe.hpp"
#include "session.hpp"

namespace {

using nlohmann::ordered_json;

const char* family_name(KilnQueueFamilyKind kind) {
  switch (kind) {
    case KILN_QUEUE_FAMILY_COMPUTE:
      return "compute";
    case KILN_QUEUE_FAMILY_SDMA:
      return "sdma";
    case KILN_QUEUE_FAMILY_SDMA_XGMI:
      return "sdma_xgmi";
    default:
      return "unknown";
  }
}

std::string uuid_text(const std::uint8_t (&uuid)[VK_UUID_SIZE]) {
  std::string text;
  char hex[3];
  for (std::uint8_t byte : uuid) {
    std::snprintf(hex, sizeof hex, "%02x", byte);
    text += hex;
  }
  return text;
}

ordered_json memory_types(KilnPhysicalDevice gpu) {
  KilnPhysicalDeviceMemoryProperties memory{};
  memory.sType = KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES;
  kilnGetPhysicalDeviceMemoryProperties(gpu, &memory);
  ordered_json types = ordered_json::array();
  for (std::uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
    const VkMemoryPropertyFlags flags = memory.memoryTypes[i].propertyFlags;
    std::string text;
    auto add = [&](VkMemoryPropertyFlags bit, const char* name) {
      if ((flags & bit) != 0) text += (text.empty() ? "" : " ") + std::string(name);
    };
    add(VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, "device-local");
    add(VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT, "host-visible");
    add(VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, "coherent");
    add(VK_MEMORY_PROPERTY_HOST_CACHED_BIT, "cached");
    add(VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD, "uncached-by-device");
    types.push_back({{"type", i},
                     {"properties", text},
                     {"heap_bytes", memory.memoryHeaps[memory.memoryTypes[i].heapIndex].size}});
  }
  return types;
}

ordered_json queue_families(KilnPhysicalDevice gpu) {
  std::uint32_t count = 0;
  kilnGetPhysicalDeviceQueueFamilyProperties(gpu, &count, nullptr);
  std::vector<KilnQueueFamilyProperties> families(count);
  for (auto& family : families) family.sType = KILN_STRUCTURE_TYPE_QUEUE_FAMILY_PROPERTIES;
  kilnGetPhysicalDeviceQueueFamilyProperties(gpu, &count, families.data());
  ordered_json all = ordered_json::array();
  for (std::uint32_t i = 0; i < count; ++i)
    all.push_back({{"family", i},
                   {"kind", family_name(families[i].kind)},
                   {"queues", families[i].queueCount},
                   {"engines", families[i].engineCount}});
  return all;
}

ordered_json describe(KilnPhysicalDevice gpu) {
  KilnPhysicalDeviceProperties p{};
  p.sType = KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES;
  kilnGetPhysicalDeviceProperties(gpu, &p);
  char pci[32];
  std::snprintf(pci, sizeof pci, "%04x:%02x:%02x.%x", p.pciDomain, p.pciBus, p.pciDevice,
                p.pciFunction);
  std::string waves = p.waveSizes == 96 ? "32 64" : std::to_string(p.waveSizes);
  return {{"name", p.deviceName},
          {"target", p.targetName},
          {"virtual", p.isVirtual != 0},
          {"driver", p.driverName},
          {"pci", pci},
          {"vendor_id", p.vendorId},
          {"device_id", p.deviceId},
          {"uuid", uuid_text(p.deviceUuid)},
          {"xccs", p.xccCount},
          {"compute_units", p.computeUnitCount},
          {"shader_engines", p.shaderEngineCount},
          {"wave_sizes", waves},
          {"lds_bytes_per_workgroup", p.maxLdsPerWorkgroup},
          {"l2_bytes", p.l2CacheBytes},
          {"max_clock_mhz", p.maxEngineClockMHz},
          {"timestamp_hz", p.timestampFrequencyHz},
          {"memory_types", memory_types(gpu)},
          {"queue_families", queue_families(gpu)}};
}

void print_gpu(std::size_t index, const ordered_json& gpu) {
  std::printf("GPU %zu: %s\n", index, gpu["name"].get<std::string>().c_str());
  for (const auto& [key, value] : gpu.items()) {
    if (key == "name" || value.is_array()) continue;
    std::printf("  %-24s %s\n", key.c_str(),
                value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
  for (const auto& type : gpu["memory_types"])
    std::printf("  memory type %u            %s (%.1f GiB)\n", type["type"].get<unsigned>(),
                type["properties"].get<std::string>().c_str(),
                static_cast<double>(type["heap_bytes"].get<std::uint64_t>()) / (1 << 30));
  for (const auto& family : gpu["queue_families"])
    std::printf("  queue family %u           %s, %u queues on %u engines\n",
                family["family"].get<unsigned>(), family["kind"].get<std::string>().c_str(),
                family["queues"].get<unsigned>(), family["engines"].get<unsigned>());
}

bool first_is_real(const tools::Instance& instance) {
  if (instance.gpus().empty()) return false;
  KilnPhysicalDeviceProperties p{};
  p.sType = KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES;
  kilnGetPhysicalDeviceProperties(instance.gpus()[0], &p);
  return !p.isVirtual;
}

/// What to type next; the last line of the text form.
std::string advice(const ordered_json& report) {
  if (report["gpus"].empty())
    return "Next: KILN_VGPU=mi300x kiln-info  (a virtual GPU; kiln-vgpu --list shows all)";
  if (report["gpus"][0]["virtual"].get<bool>())
    return "Next: kiln-info --probe  (self-checks on this GPU)";
  return "Next: kiln-info --probe report.json  (self-checks; attach the file to a bug report)";
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Shows the GPUs that Kiln can use, and why it cannot use others."};
  bool json = false;
  std::string probe_file;
  app.add_flag("--json", json, "print one JSON document");
  auto* probe = app.add_option("--probe", probe_file,
                               "run the first-contact checks on GPU 0 and write a report (default "
                               "kiln-probe.json)")
                    ->expected(0, 1)
                    ->default_str("kiln-probe.json");
  bool real_only = false;
  app.add_flag("--real-only", real_only,
               "with --probe: exit with 77 (skipped) unless GPU 0 is a real one");
  CLI11_PARSE(app, argc, argv);

  tools::Instance instance;
  if (!instance.ok()) {
    std::fprintf(stderr, "kiln-info: %s\n", instance.error().c_str());
    return 1;
  }
  if (probe->count() > 0 && real_only && !first_is_real(instance)) return 77;
  if (probe->count() > 0)
    return tools::run_probe(instance, probe_file.empty() ? "kiln-probe.json" : probe_file);

  ordered_json report = {{"version", KILN_HEADER_VERSION},
                         {"gpus", ordered_json::array()},
                         {"unusable", ordered_json::array()}};
  for (KilnPhysicalDevice gpu : instance.gpus()) report["gpus"].push_back(describe(gpu));
  for (const KilnUnusableDevice& unusable : instance.unusable())
    report["unusable"].push_back({{"name", unusable.name}, {"reason", unusable.reason}});
  report["next"] = advice(report);

  if (json) {
    std::printf("%s\n", report.dump(2).c_str());
    return 0;
  }
  for (std::size_t i = 0; i < report["gpus"].size(); ++i) print_gpu(i, report["gpus"][i]);
  if (report["gpus"].empty()) std::printf("No usable GPU.\n");
  for (const auto& unusable : report["unusable"])
    std::printf("Not usable: %s: %s\n", unusable["name"].get<std::string>().c_str(),
                unusable["reason"].get<std::string>().c_str());
  std::printf("%s\n", report["next"].get<std::string>().c_str());
  return 0;
}

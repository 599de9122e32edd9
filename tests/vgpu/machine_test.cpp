// The text of KILN_VGPU, the chips' figures, and the sysfs tree.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "kfd_fixture.hpp"

namespace kiln::vgpu::test {
namespace {

std::map<std::string, unsigned long long> properties(const std::string& text) {
  std::map<std::string, unsigned long long> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    char name[64];
    unsigned long long value;
    if (std::sscanf(line.c_str(), "%63s %llu", name, &value) == 2) values[name] = value;
  }
  return values;
}

TEST(Spec, NamesByProductChipAndTarget) {
  for (const char* name : {"mi300x", "MI300X", "gfx942", "aqua_vanjaram"})
    EXPECT_EQ(find_chip(name), find_chip("mi300x")) << name;
  for (const char* name : {"navi31", "rx7900xtx", "gfx1100"})
    EXPECT_EQ(find_chip(name), find_chip("navi31")) << name;
  EXPECT_EQ(find_chip("gfx90a"), find_chip("mi210"));
  EXPECT_EQ(find_chip("gfx1030"), find_chip("navi21"));
  // Shown only.
  for (const auto& [name, target] :
       {std::pair{"vega10", "gfx900"}, std::pair{"mi60", "gfx906"}, std::pair{"arcturus", "gfx908"},
        std::pair{"navi10", "gfx1010"}}) {
    ASSERT_NE(find_chip(name), nullptr) << name;
    EXPECT_EQ(find_chip(name), find_chip(target)) << name;
    EXPECT_TRUE(find_chip(name)->topology_only) << name;
  }
  EXPECT_NE(chip_names().find("gfx908 (no queues)"), std::string::npos);
  EXPECT_FALSE(find_chip("mi210")->topology_only);
  EXPECT_NE(find_chip("mi300x"), nullptr);
  EXPECT_EQ(find_chip("gfx9"), nullptr);
  EXPECT_EQ(find_chip(""), nullptr);
}

TEST(Spec, CountsOptionsAndMixedMachines) {
  auto two = parse_spec("2x mi300x,strict,seed=7,skew=max,kfd=1.14,threads=3,vram=4G,debug");
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_EQ(two->gpus.size(), 2u);
  EXPECT_TRUE(two->engine.strict_memory);
  EXPECT_TRUE(two->engine.debug);
  EXPECT_EQ(two->engine.seed, 7u);
  EXPECT_EQ(two->engine.skew, 100u);
  EXPECT_EQ(two->engine.threads, 3u);
  EXPECT_EQ(two->kfd_minor, 14u);
  EXPECT_EQ(two->vram_bytes, 4ull << 30);
  auto mixed = parse_spec(" mi300x , gfx1100 , skew=20");
  ASSERT_TRUE(mixed) << mixed.error().message;
  ASSERT_EQ(mixed->gpus.size(), 2u);
  EXPECT_EQ(mixed->gpus[1]->product, "navi31");
  EXPECT_EQ(mixed->kfd_minor, kNewestKfdMinor);
}

TEST(Spec, ErrorsSayWhatIsWrongAndWhatThereIs) {
  const std::pair<const char*, const char*> cases[] = {{"", "mi300x"},
                                                       {"h100", "navi31"},
                                                       {"0x mi300x", "1 to 16"},
                                                       {"x mi300x", "1 to 16"},
                                                       {"17x mi300x", "1 to 16"},
                                                       {"mi300x,fast", "strict"},
                                                       {"mi300x,kfd=2.1", "1.11"},
                                                       {"mi300x,kfd=1.10", "1.11"},
                                                       {"mi300x,skew=101", "0..100"},
                                                       {"mi300x,vram=1", "16M"},
                                                       {"mi300x,seed=", "seed=NUMBER"},
                                                       {"mi300x,strict=1", "no value"},
                                                       {"mi300x,,strict", "strict"}};
  for (const auto& [text, part] : cases) {
    auto spec = parse_spec(text);
    ASSERT_FALSE(spec) << text;
    EXPECT_NE(spec.error().message.find(part), std::string::npos)
        << text << ": " << spec.error().message;
  }
}

TEST(Chips, QueueSizesAreThoseOfTheKernelsFormula) {
  // kfd_queue.c kfd_queue_ctx_save_restore_size, worked out independently for these topologies
  // (tinygrad's and libhsakmt's copies of the formula give the same).
  const struct {
    const char* name;
    std::uint32_t stack, save, debug;
    std::uint64_t total;
  } cases[] = {{"mi300x", 0x3000, 0x1621000, 0xbe00, 186019840},
               {"gfx1100", 0xa000, 0x2bea000, 0x18000, 46145536},
               {"gfx1030", 0x7000, 0x1a97000, 0x14000, 27963392}};
  for (const auto& expected : cases) {
    const ChipSpec& chip = *find_chip(expected.name);
    const QueueSizes sizes = queue_sizes(chip);
    EXPECT_EQ(sizes.control_stack, expected.stack) << expected.name;
    EXPECT_EQ(sizes.save_area, expected.save) << expected.name;
    EXPECT_EQ(sizes.debug, expected.debug) << expected.name;
    EXPECT_EQ(sizes.total(chip.xcc_count), expected.total) << expected.name;
  }
}

TEST(Sysfs, NodesShowWhatPublishedCardsShow) {
  // Figures of "properties" files that owners of an MI300X and an RX 7900 XTX have published.
  Client client("mi300x,navi31");
  const auto nodes = "/sys/devices/virtual/kfd/kfd/topology/nodes/";
  std::string text;
  ASSERT_EQ(client.os->read_file((nodes + std::string("1/properties")).c_str(), &text), 0);
  auto mi300x = properties(text);
  EXPECT_EQ(mi300x["simd_count"], 1216u);
  EXPECT_EQ(mi300x["caches_count"], 626u);
  EXPECT_EQ(mi300x["array_count"], 32u);
  EXPECT_EQ(mi300x["gfx_target_version"], 90402u);
  EXPECT_EQ(mi300x["device_id"], 29857u);
  EXPECT_EQ(mi300x["num_xcc"], 8u);
  EXPECT_EQ(mi300x["num_cp_queues"], 24u);
  EXPECT_EQ(mi300x["num_sdma_engines"] + mi300x["num_sdma_xgmi_engines"], 16u);
  ASSERT_EQ(client.os->read_file((nodes + std::string("2/properties")).c_str(), &text), 0);
  auto navi31 = properties(text);
  EXPECT_EQ(navi31["simd_count"], 192u);
  EXPECT_EQ(navi31["caches_count"], 206u);
  EXPECT_EQ(navi31["array_count"], 12u);
  EXPECT_EQ(navi31["gfx_target_version"], 110000u);
  EXPECT_EQ(navi31["device_id"], 29772u);
  EXPECT_EQ(navi31["wave_front_size"], 32u);
  EXPECT_EQ(navi31["debug_prop"], 1495u);
}

TEST(Sysfs, ScalarCachesAreSharedWithinAnArray) {
  // kfd_crat.c: with 16 CUs in an array and 3 at a cache, the sixth cache serves one CU; never one
  // of the next array.
  Client client("vega10");
  const std::string node = "/sys/devices/virtual/kfd/kfd/topology/nodes/1";
  std::string text;
  ASSERT_EQ(client.os->read_file((node + "/properties").c_str(), &text), 0);
  EXPECT_EQ(properties(text)["caches_count"], 64u + 2 * 4 * 6 + 1);
  ASSERT_EQ(client.os->read_file((node + "/caches/69/properties").c_str(), &text), 0);
  EXPECT_EQ(properties(text)["size"], 32u);
  const std::string map = text.substr(text.find("sibling_map ") + 12);
  EXPECT_EQ(std::ranges::count(map, '1'), 1);
  EXPECT_EQ(map[2 * 15], '1');
  ASSERT_EQ(client.os->read_file((node + "/name").c_str(), &text), 0);
  EXPECT_EQ(text, "vega10\n");
}

TEST(Sysfs, ConfigurationSpaceAgreesWithTheFiles) {
  // Offsets of include/uapi/linux/pci_regs.h.
  Client client("mi210,navi21");
  const std::string device = "/sys/class/drm/renderD129/device/";
  std::string bytes, text;
  ASSERT_EQ(client.os->read_file((device + "config").c_str(), &bytes), 0);
  ASSERT_EQ(bytes.size(), 256u);
  auto word = [&](std::size_t at, std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;)
      value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
  };
  EXPECT_EQ(word(0x00, 2), 0x1002u);
  EXPECT_EQ(word(0x02, 2), 0x73bfu);
  EXPECT_EQ(word(0x08, 4), 0x030000c0u);  // class and revision
  ASSERT_EQ(client.os->read_file((device + "resource").c_str(), &text), 0);
  EXPECT_EQ(std::stoull(text, nullptr, 16), word(0x10, 8) & ~15ull);
  // The list of capabilities ends, and PCI Express (16) is on it.
  bool has_express = false;
  int steps = 0;
  for (std::uint64_t at = word(0x34, 1); at != 0 && steps < 16; at = word(at + 1, 1), ++steps)
    has_express |= word(at, 1) == 0x10;
  EXPECT_TRUE(has_express);
  EXPECT_EQ(steps, 3);
}

TEST(Sysfs, CountsMatchFolders) {
  Client client("2x mi300x,navi31,vega10,2x mi100");
  for (int node = 0; node < 7; ++node) {
    const std::string base = "/sys/class/kfd/kfd/topology/nodes/" + std::to_string(node);
    std::string text;
    ASSERT_EQ(client.os->read_file((base + "/properties").c_str(), &text), 0);
    auto values = properties(text);
    for (const char* what : {"caches", "mem_banks", "io_links", "p2p_links"}) {
      std::vector<std::string> names;
      ASSERT_EQ(client.os->list_directory((base + "/" + what).c_str(), &names), 0) << what;
      EXPECT_EQ(names.size(), values[std::string(what) + "_count"]) << node << what;
    }
  }
}

TEST(Sysfs, GpuIdsAreOfNodesNotOfPositions) {
  Client client("2x mi300x,2x navi31");
  std::vector<unsigned long> ids;
  for (int node = 0; node < 5; ++node) {
    std::string text;
    const std::string path =
        "/sys/devices/virtual/kfd/kfd/topology/nodes/" + std::to_string(node) + "/gpu_id";
    ASSERT_EQ(client.os->read_file(path.c_str(), &text), 0);
    ids.push_back(std::stoul(text));
  }
  EXPECT_EQ(ids[0], 0u);
  for (int gpu = 0; gpu < 4; ++gpu) EXPECT_EQ(ids[gpu + 1], client.id(gpu));
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
  EXPECT_LT(ids.back(), 0x10000u);  // fits KFD's mmap offsets (kfd_priv.h)
}

TEST(Sysfs, XgmiBetweenTwinsPcieToOthers) {
  Client client("2x mi300x,navi31");
  auto links = [&](int node, const char* group) {
    std::vector<std::string> names;
    const std::string base =
        "/sys/devices/virtual/kfd/kfd/topology/nodes/" + std::to_string(node) + "/" + group;
    client.os->list_directory(base.c_str(), &names);
    std::map<unsigned long long, unsigned long long> type_by_node;
    for (const std::string& name : names) {
      std::string text;
      client.os->read_file((base + "/" + name + "/properties").c_str(), &text);
      auto values = properties(text);
      type_by_node[values["node_to"]] = values["type"];
    }
    return type_by_node;
  };
  using Links = std::map<unsigned long long, unsigned long long>;
  EXPECT_EQ(links(1, "io_links"), (Links{{0, 2}, {2, 11}}));
  EXPECT_EQ(links(1, "p2p_links"), (Links{{3, 2}}));
  EXPECT_EQ(links(3, "io_links"), (Links{{0, 2}}));
  EXPECT_EQ(links(3, "p2p_links"), (Links{{1, 2}, {2, 2}}));
}

TEST(Sysfs, DiscoveryNamesTheBlocks) {
  Client client("mi300x");
  auto read = [&](const std::string& path) {
    std::string text;
    EXPECT_EQ(client.os->read_file(
                  ("/sys/class/drm/renderD128/device/ip_discovery/die/0/" + path).c_str(), &text),
              0)
        << path;
    return text;
  };
  EXPECT_EQ(read("11/0/major") + read("11/0/minor") + read("11/0/revision"), "9\n4\n3\n");
  EXPECT_EQ(read("42/0/major") + read("42/0/minor") + read("42/0/revision"), "4\n4\n2\n");
  EXPECT_EQ(read("108/0/major"), "7\n");
}

TEST(Sysfs, QueueSizesAppearOnNewKernelsOnly) {
  for (const auto& [spec, present] : {std::pair{"mi300x,kfd=1.18", false}, {"mi300x", true}}) {
    Client client(spec);
    std::string text;
    ASSERT_EQ(
        client.os->read_file("/sys/devices/virtual/kfd/kfd/topology/nodes/1/properties", &text), 0);
    auto values = properties(text);
    EXPECT_EQ(values.contains("cwsr_size"), present) << spec;
    if (present) {
      EXPECT_EQ(values["cwsr_size"], 0x1621000u);
    }
  }
}

TEST(Sysfs, PathsThatAreNotThere) {
  Client client("mi300x");
  std::string text;
  std::vector<std::string> names;
  EXPECT_EQ(client.os->read_file("/sys/devices/virtual/kfd/kfd/topology/nodes/2/gpu_id", &text),
            -ENOENT);
  EXPECT_EQ(client.os->read_file("/sys/devices/virtual/kfd/kfd/topology/nodes", &text), -EISDIR);
  EXPECT_EQ(client.os->list_directory("/sys/class/drm/renderD129", &names), -ENOENT);
  EXPECT_EQ(client.os->open("/dev/dri/renderD129", 0), -ENOENT);
  EXPECT_EQ(client.os->open("/dev/dri/card0", 0), -ENOENT);
  EXPECT_EQ(client.os->read_file("/proc/self/cmdline", &text), 0);  // the host's own
}

TEST(Memory, RangesMergeAndAlign) {
  RangeAllocator ranges(4096, 16 << 20);
  const std::uint64_t all = ranges.free_bytes();
  std::uint64_t a = 0, b = 0, c = 0, d = 0;
  ASSERT_TRUE(ranges.allocate(4096, 4096, &a));
  ASSERT_TRUE(ranges.allocate(2 << 20, 2 << 20, &b));
  EXPECT_EQ(b % (2 << 20), 0u);
  ASSERT_TRUE(ranges.allocate(4096, 4096, &c));
  EXPECT_LT(c, b);  // the gap that alignment left is used
  EXPECT_FALSE(ranges.allocate(16 << 20, 4096, &d));
  ranges.free(a, 4096);
  ranges.free(c, 4096);
  ranges.free(b, 2 << 20);
  EXPECT_EQ(ranges.free_bytes(), all);
  ASSERT_TRUE(ranges.allocate(all, 4096, &d));  // one range again
}

TEST(Memory, ClockRunsAt100MHz) {
  // Two clocks of one machine, read around each other: no measured duration is asserted.
  Client client("mi300x");
  uapi::GetClockCounters args{};
  args.gpu_id = client.id();
  const std::uint64_t before = Machine::clock();
  ASSERT_EQ(client.call(uapi::kIocGetClockCounters, args), 0);
  const std::uint64_t after = Machine::clock();
  EXPECT_LE(before, args.gpu_clock_counter);
  EXPECT_GE(after, args.gpu_clock_counter);
  EXPECT_LE(args.gpu_clock_counter, args.cpu_clock_counter / 10);
  EXPECT_LE(args.cpu_clock_counter / 10, after);
  EXPECT_EQ(args.system_clock_freq, 1'000'000'000u);
  args.gpu_id = 1;  // no such GPU: as kfd_ioctl_get_clock_counters, no error, no counter
  ASSERT_EQ(client.call(uapi::kIocGetClockCounters, args), 0);
  EXPECT_EQ(args.gpu_clock_counter, 0u);
}

}  // namespace
}  // namespace kiln::vgpu::test

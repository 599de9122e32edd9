// Owns: tests of reading KFD's topology and of the save area formula.
// Does not own: opening GPUs (kfd_open_test).
// Threading: none.
#include <gtest/gtest.h>

#include <cstring>

#include "kfd_fake_os.hpp"
#include "kmd/topology.hpp"

namespace kiln::kmd {
namespace {

using testing::FakeOs;

TopologyNode node_with(const std::string& properties) {
  TopologyNode node;
  node.properties = parse_properties(properties);
  return node;
}

struct SaveAreaRow {
  const char* name;
  const char* properties;
  std::uint32_t control_stack, context, debug;
  std::uint64_t whole;  ///< a queue's buffer, all XCCs
};

// Values by the kernel's formula as another program computes it (TheRock's user-space driver,
// topology.py); the last column is its allocation for one queue.
constexpr SaveAreaRow kSaveAreas[] = {
    {"MI300X SPX",
     "gfx_target_version 90402\nsimd_count 1216\nsimd_per_cu 4\nnum_xcc 8\narray_count 32\n"
     "simd_arrays_per_engine 1\n",
     0x3000, 0x1621000, 0xbe00, 186019840},
    {"MI300X CPX",
     "gfx_target_version 90402\nsimd_count 152\nsimd_per_cu 4\nnum_xcc 1\narray_count 4\n"
     "simd_arrays_per_engine 1\n",
     0x3000, 0x1621000, 0xbe00, 23252992},
    {"MI250X GCD",
     "gfx_target_version 90010\nsimd_count 440\nsimd_per_cu 4\nnum_xcc 1\narray_count 8\n"
     "simd_arrays_per_engine 1\n",
     0x9000, 0x400f000, 0x20000, 67301376},
    {"gfx1030",
     "gfx_target_version 100300\nsimd_count 160\nsimd_per_cu 2\nnum_xcc 1\narray_count 8\n"
     "simd_arrays_per_engine 2\n",
     0x7000, 0x1a97000, 0x14000, 27963392},
    {"gfx1100",
     "gfx_target_version 110000\nsimd_count 192\nsimd_per_cu 2\nnum_xcc 1\narray_count 12\n"
     "simd_arrays_per_engine 2\n",
     0xa000, 0x2bea000, 0x18000, 46145536},
    {"gfx1201",
     "gfx_target_version 120001\nsimd_count 128\nsimd_per_cu 2\nnum_xcc 1\narray_count 8\n"
     "simd_arrays_per_engine 2\n",
     0x7000, 0x1d47000, 0x10000, 30765056},
};

TEST(KfdTopology, SaveAreaFollowsTheKernelsFormula) {
  for (const SaveAreaRow& row : kSaveAreas) {
    const TopologyNode node = node_with(row.properties);
    const SaveAreaSizes sizes = compute_save_area(node);
    EXPECT_EQ(sizes.control_stack_bytes, row.control_stack) << row.name;
    EXPECT_EQ(sizes.context_bytes, row.context) << row.name;
    EXPECT_EQ(sizes.debug_bytes, row.debug) << row.name;
    const std::uint64_t whole =
        (std::uint64_t{sizes.context_bytes} + sizes.debug_bytes) * node.get("num_xcc", 1);
    EXPECT_EQ((whole + 4095) / 4096 * 4096, row.whole) << row.name;
  }
}

TEST(KfdTopology, SaveAreaIsNothingForANodeWithoutComputeUnits) {
  EXPECT_EQ(compute_save_area(node_with("gfx_target_version 90402\nsimd_count 0\n")).context_bytes,
            0u);
}

TEST(KfdTopology, Gfx950CountsItsLargerLds) {
  const char* base =
      "gfx_target_version 90500\nsimd_count 128\nsimd_per_cu 4\nnum_xcc 1\narray_count 4\n"
      "simd_arrays_per_engine 1\n";
  const auto small = compute_save_area(node_with(std::string(base) + "lds_size_in_kb 64\n"));
  const auto large = compute_save_area(node_with(std::string(base) + "lds_size_in_kb 160\n"));
  EXPECT_EQ(large.context_bytes - small.context_bytes, 32u * 96 * 1024);
}

TEST(KfdTopology, PropertiesSkipWhatIsNoNumber) {
  const Properties properties =
      parse_properties("a 1\nbad\nb x\nunique_id 18446744073709551615\nc 3");
  EXPECT_EQ(properties.size(), 3u);
  EXPECT_EQ(properties.at("unique_id"), ~std::uint64_t{0});
  EXPECT_EQ(properties.at("c"), 3u);
}

TEST(KfdTopology, NodesPairWithTheirOwnGpuIdInNumericOrder) {
  FakeOs os;
  os.add_cpu(0);
  os.add_gpu(2, 222, 128, FakeOs::mi300x());
  os.add_gpu(10, 1010, 129, FakeOs::navi31());  // as text "10" sorts before "2"
  auto nodes = read_topology(os);
  ASSERT_TRUE(nodes) << nodes.error().message;
  ASSERT_EQ(nodes->size(), 3u);
  EXPECT_EQ((*nodes)[1].node, 2u);
  EXPECT_EQ((*nodes)[1].gpu_id, 222u);
  EXPECT_EQ((*nodes)[2].node, 10u);
  EXPECT_EQ((*nodes)[2].gpu_id, 1010u);
  EXPECT_FALSE((*nodes)[0].is_gpu());
}

TEST(KfdTopology, ASnapshotThatChangedIsReadAgain) {
  FakeOs os;
  os.add_cpu(0);
  int reads = 0;
  os.on_read = [&](const std::string& path) {
    // Between the first reading of the generation and the second, a GPU appears.
    if (path.ends_with("nodes/0/properties") && reads++ == 0) {
      os.set_generation(3);
      os.add_gpu(1, 11, 128, FakeOs::navi31());
    }
  };
  auto nodes = read_topology(os);
  ASSERT_TRUE(nodes);
  EXPECT_EQ(reads, 2);
  EXPECT_EQ(nodes->size(), 2u);
}

TEST(KfdTopology, ATopologyThatNeverSettlesIsAnError) {
  FakeOs os;
  os.add_cpu(0);
  int generation = 10;
  os.on_read = [&](const std::string& path) {
    if (path.ends_with("nodes/0/properties")) os.set_generation(++generation);
  };
  auto nodes = read_topology(os);
  ASSERT_FALSE(nodes);
  EXPECT_NE(nodes.error().message.find("changed"), std::string::npos);
}

TEST(KfdTopology, DescribesAnMi300x) {
  FakeOs os;
  os.add_cpu(0);
  os.add_gpu(1, 4711, 128, FakeOs::mi300x());
  const std::string path = FakeOs::node_path(1);
  os.files[path + "/mem_banks/0/properties"] =
      "heap_type 1\nsize_in_bytes 206141652992\nflags 0\nwidth 8192\nmem_clk_max 1300\n";
  os.files[path + "/caches/0/properties"] = "level 1\nsize 32\n";
  os.files[path + "/caches/1/properties"] = "level 2\nsize 4096\n";
  os.files[path + "/io_links/0/properties"] =
      "type 2\nnode_from 1\nnode_to 0\nweight 20\nmin_bandwidth 312\nmax_bandwidth 64000\nflags "
      "1\n";
  os.files[path + "/io_links/1/properties"] =
      "type 11\nnode_from 1\nnode_to 2\nweight 15\nmax_bandwidth 50000\n"
      "recommended_sdma_engine_id_mask 16\nflags 13\n";
  os.add_gpu(2, 4712, 129, FakeOs::mi300x());
  os.files["/sys/class/drm/renderD128/device/product_name"] = "AMD Instinct MI300X OAM\n";
  auto nodes = read_topology(os);
  ASSERT_TRUE(nodes);
  const GpuInfo info = describe_gpu(os, (*nodes)[1], *nodes);
  EXPECT_EQ(info.gfx_ip, (gpu::GfxIp{9, 4, 2}));
  EXPECT_EQ(info.gpu_id, 4711u);
  EXPECT_EQ(info.cu_count, 304u);
  EXPECT_EQ(info.xcc_count, 8u);
  EXPECT_EQ(info.shader_engines, 32u);
  EXPECT_EQ(info.lds_bytes, 65536u);
  EXPECT_EQ(info.vram_bytes, 206141652992u);
  EXPECT_EQ(info.visible_vram_bytes, 206141652992u);
  EXPECT_EQ(info.l2_cache_bytes, 4u << 20);
  EXPECT_EQ(info.cwsr_bytes, 0x1621000u);
  EXPECT_EQ(info.control_stack_bytes, 0x3000u);
  EXPECT_EQ(info.debug_area_bytes, 0xbe00u);
  EXPECT_EQ(info.sdma_xgmi_engines, 14u);
  EXPECT_EQ(info.marketing_name, "AMD Instinct MI300X OAM");
  // location_id 33536 = 0x8300: bus 0x83, device 0, function 0.
  EXPECT_EQ(info.pci_domain, 1u);
  EXPECT_EQ(info.pci_bus, 0x83u);
  EXPECT_EQ(info.pci_device, 0u);
  std::uint64_t unique = 0;
  std::memcpy(&unique, info.uuid.data(), 8);
  EXPECT_EQ(unique, 81985529216486895u);
  ASSERT_EQ(info.links.size(), 2u);
  EXPECT_EQ(info.links[0].kind, LinkKind::Pcie);
  EXPECT_TRUE(info.links[0].atomics_64);
  EXPECT_EQ(info.links[1].kind, LinkKind::Xgmi);
  EXPECT_EQ(info.links[1].recommended_sdma_engines, 16u);
  EXPECT_FALSE(info.links[1].atomics_32);
  EXPECT_FALSE(info.links[1].atomics_64);
  EXPECT_TRUE(info.hdp_flush_needed);
}

TEST(KfdTopology, TheDriversOwnQueueSizesWin) {
  FakeOs os;
  os.add_gpu(1, 1, 128, FakeOs::navi31() + "cwsr_size 46000000\nctl_stack_size 45056\n");
  auto nodes = read_topology(os);
  ASSERT_TRUE(nodes);
  const GpuInfo info = describe_gpu(os, (*nodes)[0], *nodes);
  EXPECT_EQ(info.cwsr_bytes, 46000000u);
  EXPECT_EQ(info.control_stack_bytes, 45056u);
  EXPECT_EQ(info.debug_area_bytes, 0x18000u);
}

TEST(KfdTopology, AnXgmiHostNeedsNoHdpFlush) {
  FakeOs os;
  os.add_cpu(0);
  os.add_gpu(1, 1, 128, FakeOs::mi300x());
  os.files[FakeOs::node_path(1) + "/io_links/0/properties"] = "type 11\nnode_from 1\nnode_to 0\n";
  auto nodes = read_topology(os);
  ASSERT_TRUE(nodes);
  EXPECT_FALSE(describe_gpu(os, (*nodes)[1], *nodes).hdp_flush_needed);
}

TEST(KfdTopology, EccOfSramIsTheCapabilityBitOnGfx9) {
  // hsakmttypes.h HSA_CAPABILITY: SRAM_EDCSupport is bit 26, the bit 19 of old drivers is not used.
  const auto sramecc = [](const std::string& properties) {
    FakeOs os;
    os.add_gpu(1, 1, 128, properties);
    auto nodes = read_topology(os);
    return describe_gpu(os, (*nodes)[0], *nodes).sramecc;
  };
  EXPECT_EQ(sramecc(FakeOs::mi300x() + "capability 67108864\n"), true);
  EXPECT_EQ(sramecc(FakeOs::mi300x() + "capability 524288\n"), false);
  EXPECT_EQ(sramecc(FakeOs::navi31() + "capability 67108864\n"), std::nullopt);
}

TEST(KfdTopology, ASmallBarShowsNoVramToTheHost) {
  FakeOs os;
  os.add_gpu(1, 1, 128, FakeOs::navi31());
  os.files[FakeOs::node_path(1) + "/mem_banks/0/properties"] =
      "heap_type 2\nsize_in_bytes 25753026560\n";
  auto nodes = read_topology(os);
  ASSERT_TRUE(nodes);
  const GpuInfo info = describe_gpu(os, (*nodes)[0], *nodes);
  EXPECT_EQ(info.vram_bytes, 25753026560u);
  EXPECT_EQ(info.visible_vram_bytes, 0u);
}

TEST(KfdTopology, NamesComeFromLibdrmsListByDeviceAndRevision) {
  FakeOs os;
  os.add_gpu(1, 1, 128, FakeOs::navi31());
  os.files["/sys/class/drm/renderD128/device/revision"] = "0xc8\n";
  os.files["/usr/share/libdrm/amdgpu.ids"] =
      "# List of AMDGPU IDs\n1.0.0\n744C,\tC0,\tWrong revision\n"
      "744C,\tC8,\tAMD Radeon RX 7900 XTX\n";
  auto nodes = read_topology(os);
  ASSERT_TRUE(nodes);
  EXPECT_EQ(describe_gpu(os, (*nodes)[0], *nodes).marketing_name, "AMD Radeon RX 7900 XTX");
  os.files.erase("/usr/share/libdrm/amdgpu.ids");
  EXPECT_EQ(describe_gpu(os, (*nodes)[0], *nodes).marketing_name, "gfx1100");
}

TEST(KfdTopology, TwoGpusWithoutUniqueIdStillDiffer) {
  FakeOs os;
  os.add_gpu(1, 1, 128, FakeOs::navi31());
  os.add_gpu(2, 2, 129, FakeOs::navi31() + "location_id 1024\n");
  auto nodes = read_topology(os);
  ASSERT_TRUE(nodes);
  EXPECT_NE(describe_gpu(os, (*nodes)[0], *nodes).uuid, describe_gpu(os, (*nodes)[1], *nodes).uuid);
}

}  // namespace
}  // namespace kiln::kmd

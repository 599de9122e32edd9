// Owns: tests of modules and kernels: loading, names, properties, arguments, globals, occupancy,
// and
//   code objects that must be refused.
// Does not own: running kernels (dispatch_test.cpp, kernels_test.cpp).
// Threading: none.
#include <algorithm>
#include <cstring>

#include "fixture.hpp"

namespace api_test {
namespace {

class ModuleTest : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>(spec());
    device_ = std::make_unique<Device>(*machine_, nullptr, DeviceOptions{1, 1, 0});
    code_ = tools::read_file(probe_path(device_->properties().targetName));
  }
  VkResult load(std::span<const std::byte> code, KilnModule* module) {
    auto info = make<KilnModuleCreateInfo>(KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO);
    info.codeSize = code.size();
    info.pCode = code.data();
    *module = reinterpret_cast<KilnModule>(1);
    return kilnCreateModule(device_->handle(), &info, nullptr, module);
  }
  std::string refusal(std::span<const std::byte> code) {
    KilnModule module = nullptr;
    EXPECT_EQ(load(code, &module), VK_ERROR_INVALID_SHADER_NV);
    EXPECT_EQ(module, nullptr);
    return machine_->said();
  }
  KilnKernelProperties properties_of(KilnKernel kernel) {
    auto properties = make<KilnKernelProperties>(KILN_STRUCTURE_TYPE_KERNEL_PROPERTIES);
    EXPECT_EQ(kilnGetKernelProperties(kernel, &properties), VK_SUCCESS);
    return properties;
  }

  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;
  std::vector<std::byte> code_;
};
KILN_EACH_GPU(ModuleTest);

TEST_P(ModuleTest, EnumeratesKernels) {
  KilnModule module = nullptr;
  ASSERT_EQ(load(code_, &module), VK_SUCCESS) << machine_->said();
  std::uint32_t count = 0;
  ASSERT_EQ(kilnEnumerateModuleKernels(module, &count, nullptr), VK_SUCCESS);
  ASSERT_EQ(count, 13u);  // kernels/probes.hip
  std::vector<const char*> names(count, nullptr);
  std::uint32_t two = 2;
  EXPECT_EQ(kilnEnumerateModuleKernels(module, &two, names.data()), VK_INCOMPLETE);
  EXPECT_EQ(two, 2u);
  EXPECT_EQ(names[2], nullptr);
  ASSERT_EQ(kilnEnumerateModuleKernels(module, &count, names.data()), VK_SUCCESS);
  for (const char* wanted : {"fill", "mirror_add", "endless", "where", "arguments"})
    EXPECT_TRUE(std::ranges::any_of(names, [&](const char* name) {
      return std::strcmp(name, wanted) == 0;
    })) << wanted;
  for (const char* name : names) {
    KilnKernel kernel = nullptr;
    EXPECT_EQ(kilnGetModuleKernel(module, name, &kernel), VK_SUCCESS);
    EXPECT_STREQ(properties_of(kernel).pName, name);
  }
  kilnDestroyModule(device_->handle(), module, nullptr);
}

TEST_P(ModuleTest, UnknownKernelsAndGlobalsAreNamed) {
  KilnModule module = nullptr;
  ASSERT_EQ(load(code_, &module), VK_SUCCESS);
  KilnKernel kernel = reinterpret_cast<KilnKernel>(1);
  EXPECT_EQ(kilnGetModuleKernel(module, "fil", &kernel), VK_ERROR_UNKNOWN);
  EXPECT_EQ(kernel, nullptr);
  const std::string said = machine_->said();
  EXPECT_NE(said.find("kernel fil "), std::string::npos) << said;
  EXPECT_NE(said.find("mirror_add"), std::string::npos) << said;  // what there is instead
  VkDeviceAddress address = 1;
  VkDeviceSize size = 1;
  EXPECT_EQ(kilnGetModuleGlobal(module, "nowhere", &address, &size), VK_ERROR_UNKNOWN);
  EXPECT_EQ(address, 0u);
  EXPECT_EQ(size, 0u);
  EXPECT_NE(machine_->said().find("nowhere"), std::string::npos);
  kilnDestroyModule(device_->handle(), module, nullptr);
}

TEST_P(ModuleTest, KernelProperties) {
  const KilnKernelProperties fill = properties_of(device_->probe("fill"));
  EXPECT_EQ(fill.waveSize, device_->is_cdna() ? 64u : 32u);
  EXPECT_EQ(fill.argumentsSize, 12u);
  EXPECT_EQ(fill.argumentsAlignment, 8u);
  EXPECT_GT(fill.vgprCount, 0u);
  EXPECT_GT(fill.sgprCount, 0u);
  EXPECT_EQ(fill.ldsBytes, 0u);
  EXPECT_EQ(fill.scratchBytesPerLane, 0u);
  EXPECT_EQ(fill.maxWorkgroupInvocations, 1024u);
  const KilnKernelProperties lds = properties_of(device_->probe("lds_16k"));
  EXPECT_EQ(lds.ldsBytes, 16384u);
  EXPECT_EQ(lds.maxWorkgroupInvocations, 128u);
  const KilnKernelProperties scratch =
      properties_of(device_->kernel("scratch_calls", "scratch_calls"));
  EXPECT_TRUE(scratch.scratchBytesPerLane > 0 || scratch.usesDynamicStack);
}

TEST_P(ModuleTest, ArgumentTable) {
  KilnKernel kernel = device_->probe("arguments");
  std::uint32_t count = 0;
  ASSERT_EQ(kilnGetKernelArguments(kernel, &count, nullptr), VK_SUCCESS);
  ASSERT_GE(count, 6u);
  std::vector<KilnKernelArgument> table(
      count, make<KilnKernelArgument>(KILN_STRUCTURE_TYPE_KERNEL_ARGUMENT));
  std::uint32_t one = 1;
  EXPECT_EQ(kilnGetKernelArguments(kernel, &one, table.data()), VK_INCOMPLETE);
  ASSERT_EQ(kilnGetKernelArguments(kernel, &count, table.data()), VK_SUCCESS);
  // Natural alignment, in the order of the source: pointer, u8, u16, u32, u64, float.
  const std::uint32_t offsets[] = {0, 8, 10, 12, 16, 24}, sizes[] = {8, 1, 2, 4, 8, 4};
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(table[i].offset, offsets[i]) << i;
    EXPECT_EQ(table[i].size, sizes[i]) << i;
    EXPECT_EQ(table[i].kind, i == 0 ? KILN_ARGUMENT_POINTER : KILN_ARGUMENT_BY_VALUE) << i;
  }
  for (std::uint32_t i = 6; i < count; ++i)
    EXPECT_EQ(table[i].kind, KILN_ARGUMENT_HIDDEN) << table[i].pName;
  EXPECT_EQ(properties_of(kernel).argumentsSize, 28u);
}

TEST_P(ModuleTest, GlobalsHaveAddressAndSize) {
  const std::string path = kernel_path(device_->properties().targetName, "globals");
  KilnModule module = nullptr;
  ASSERT_EQ(load(tools::read_file(path), &module), VK_SUCCESS) << machine_->said();
  VkDeviceAddress table = 0, scale = 0;
  VkDeviceSize size = 0;
  ASSERT_EQ(kilnGetModuleGlobal(module, "table", &table, &size), VK_SUCCESS) << machine_->said();
  EXPECT_EQ(size, 256u);
  ASSERT_EQ(kilnGetModuleGlobal(module, "scale", &scale, &size), VK_SUCCESS);
  EXPECT_EQ(size, 4u);
  // They hold what the compiler put there.
  Buffer seen = device_->allocate(4096, kHostCached);
  KilnCommandBuffer commands = device_->record(1);
  device_->check(kilnCmdCopyMemory(commands, seen.address, table, 256), "copying");
  device_->check(kilnCmdCopyMemory(commands, seen.address + 256, scale, 4), "copying");
  ASSERT_EQ(device_->run(device_->sdma(), commands), VK_SUCCESS) << machine_->said();
  const std::uint32_t expected[] = {1, 2, 3, 4, 0, 0};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(words(seen)[i], expected[i]) << i;
  EXPECT_EQ(words(seen)[64], 1u);
  kilnDestroyModule(device_->handle(), module, nullptr);
}

TEST_P(ModuleTest, OccupancyFollowsWavesAndLds) {
  KilnKernel fill = device_->probe("fill"), lds = device_->probe("lds_16k");
  std::uint32_t groups = 0;
  // A CU holds 32 waves of 64 (4 SIMDs x 8) on CDNA; 32 of 32 (2 x 16) on RDNA.
  ASSERT_EQ(kilnGetKernelOccupancy(fill, 1024, 0, &groups), VK_SUCCESS);
  EXPECT_EQ(groups, device_->is_cdna() ? 2u : 1u);
  ASSERT_EQ(kilnGetKernelOccupancy(fill, 64, 0, &groups), VK_SUCCESS);
  EXPECT_EQ(groups, device_->is_cdna() ? 32u : 16u);
  // 64 KiB of LDS: four times 16 KiB, twice 16 + 16 KiB.
  ASSERT_EQ(kilnGetKernelOccupancy(lds, 64, 0, &groups), VK_SUCCESS);
  EXPECT_EQ(groups, 4u);
  ASSERT_EQ(kilnGetKernelOccupancy(lds, 64, 16384, &groups), VK_SUCCESS);
  EXPECT_EQ(groups, 2u);
  EXPECT_EQ(kilnGetKernelOccupancy(lds, 64, 65536, &groups), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnGetKernelOccupancy(fill, 0, 0, &groups), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnGetKernelOccupancy(fill, 2048, 0, &groups), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnGetKernelOccupancy(fill, 64, VkDeviceSize{1} << 32, &groups),
            VK_ERROR_VALIDATION_FAILED_EXT);
}

TEST_P(ModuleTest, RefusesTheOtherGpusCode) {
  const char* other = device_->is_gfx942() ? "gfx1100" : "gfx942";
  const std::string said = refusal(tools::read_file(probe_path(other)));
  EXPECT_NE(said.find(other), std::string::npos) << said;
  EXPECT_NE(said.find(device_->properties().targetName), std::string::npos) << said;
}

TEST(Features, CodeForXnackIsRefusedWhereItIsOff) {
  Machine machine("mi210");
  Device device(machine);
  const std::vector<std::byte> code = tools::read_file(probe_path("gfx90a-xnack"));
  auto info = make<KilnModuleCreateInfo>(KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO);
  info.codeSize = code.size();
  info.pCode = code.data();
  KilnModule module = nullptr;
  EXPECT_LT(kilnCreateModule(device.handle(), &info, nullptr, &module), 0);
  const std::string said = machine.said();
  // What the code is for, what the GPU is, what to do.
  EXPECT_NE(said.find("gfx90a:xnack+"), std::string::npos) << said;
  EXPECT_NE(said.find("gfx90a:sramecc+:xnack-"), std::string::npos) << said;
  EXPECT_NE(said.find("compile with xnack-"), std::string::npos) << said;
}

TEST_P(ModuleTest, RefusesWhatIsNoCodeObject) {
  EXPECT_NE(refusal({}), "");
  std::vector<std::byte> text(1000, std::byte{'x'});
  EXPECT_NE(refusal(text), "");
  // An ELF for this host.
  EXPECT_NE(refusal(tools::read_file("/proc/self/exe")), "");
}

TEST_P(ModuleTest, RefusesEveryTruncation) {
  for (std::size_t keep : {std::size_t{1}, std::size_t{16}, std::size_t{63}, std::size_t{64},
                           std::size_t{200}, code_.size() / 4, code_.size() / 2, code_.size() - 1})
    EXPECT_NE(refusal(std::span(code_).first(keep)), "") << keep;
}

TEST_P(ModuleTest, ManyModulesLeaveNothingBehind) {
  auto budget = make<KilnMemoryBudget>(KILN_STRUCTURE_TYPE_MEMORY_BUDGET);
  ASSERT_EQ(kilnGetMemoryBudget(device_->handle(), &budget), VK_SUCCESS);
  const std::uint64_t before = budget.heapBudget[0];
  for (int i = 0; i < 50; ++i) {
    KilnModule module = nullptr;
    ASSERT_EQ(load(code_, &module), VK_SUCCESS);
    kilnDestroyModule(device_->handle(), module, nullptr);
    ASSERT_NE(load(std::span(code_).first(code_.size() / 2), &module), VK_SUCCESS);
  }
  kilnGetMemoryBudget(device_->handle(), &budget);
  EXPECT_EQ(budget.heapBudget[0], before);
}

}  // namespace
}  // namespace api_test

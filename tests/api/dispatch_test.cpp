// Owns: tests of dispatches: arguments, partial groups, indirect counts, where workgroups run, wave
//   sizes, stream cost, and launches that must be refused.
// Does not own: what kernels compute (kernels_test.cpp).
// Threading: none.
#include <cstring>
#include <set>

#include "fixture.hpp"

namespace api_test {
namespace {

class DispatchTest : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>(spec("strict"));
    device_ = std::make_unique<Device>(*machine_);
  }
  void run(KilnCommandBuffer commands) {
    ASSERT_EQ(device_->run(device_->compute(), commands), VK_SUCCESS) << machine_->said();
  }
  std::string refusal(const KilnDispatchInfo& info, std::uint32_t family = 0) {
    machine_->take();
    EXPECT_EQ(kilnCmdDispatch(device_->record(family), &info), VK_ERROR_VALIDATION_FAILED_EXT);
    return machine_->said();
  }
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;
};
KILN_EACH_GPU(DispatchTest);

TEST_P(DispatchTest, ArgumentsOfEverySizeArrive) {
  Buffer out = device_->allocate(4096, kHostUncached);
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, device_->probe("arguments"), 1, 64,
           Arguments(out.address, std::uint8_t{0xab}, std::uint16_t{0xcdef}, 0x12345678u,
                     std::uint64_t{0x123456789abcdef0u}, 2.5f));
  run(commands);
  const auto* seen = reinterpret_cast<const std::uint64_t*>(out.host);
  EXPECT_EQ(seen[0], 0xabu);
  EXPECT_EQ(seen[1], 0xcdefu);
  EXPECT_EQ(seen[2], 0x12345678u);
  EXPECT_EQ(seen[3], 0x123456789abcdef0u);
  EXPECT_EQ(seen[4], 10u);
}

TEST_P(DispatchTest, ArgumentsAreCopiedWhenRecorded) {
  Buffer out = device_->allocate(4096, kHostUncached);
  KilnCommandBuffer commands = device_->record(0);
  {
    Arguments arguments(out.address, 0x600du);
    const KilnDispatchInfo info = dispatch_info(device_->probe("fill"), 1, 64, arguments);
    device_->check(kilnCmdDispatch(commands, &info), "recording");
    std::memset(const_cast<void*>(arguments.data()), 0, arguments.size());
  }
  run(commands);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(words(out)[i], 0x600du);
}

/// A dispatch of the same shape as the one before takes its hidden arguments from there.
TEST_P(DispatchTest, ShapesMayChangeFromDispatchToDispatch) {
  constexpr std::uint32_t kRegion = 1024;  // words
  const struct {
    std::uint32_t groups, group_size, threads;
  } shapes[] = {{2, 256, 0},  {2, 256, 0}, {8, 64, 0},  {8, 64, 0},    {8, 64, 500},
                {8, 64, 490}, {8, 64, 0},  {2, 256, 0}, {4, 256, 800}, {4, 256, 800}};
  Buffer out = device_->allocate(std::size(shapes) * kRegion * 4, kHostUncached);
  for (std::uint32_t& word : words(out)) word = 0;
  KilnCommandBuffer commands = device_->record(0);
  for (std::uint32_t i = 0; i < std::size(shapes); ++i) {
    const Arguments arguments(out.address + i * kRegion * 4, i + 1);
    KilnDispatchInfo info =
        dispatch_info(device_->probe("fill"), shapes[i].groups, shapes[i].group_size, arguments);
    info.threadCount[0] = shapes[i].threads;
    device_->check(kilnCmdDispatch(commands, &info), "recording");
  }
  run(commands);
  for (std::uint32_t i = 0; i < std::size(shapes); ++i) {
    const std::uint32_t threads =
        shapes[i].threads != 0 ? shapes[i].threads : shapes[i].groups * shapes[i].group_size;
    for (std::uint32_t word = 0; word < kRegion; ++word)
      ASSERT_EQ(words(out)[i * kRegion + word], word < threads ? i + 1 : 0) << i << " " << word;
  }
}

TEST_P(DispatchTest, ExactThreadCountsMakePartialGroups) {
  Buffer out = device_->allocate(8192, kHostUncached);
  for (std::uint32_t threads : {1u, 31u, 32u, 33u, 63u, 65u, 200u, 256u, 257u, 1000u}) {
    for (std::uint32_t& word : words(out)) word = 0;
    const std::uint32_t groups = (threads + 255) / 256;
    const Arguments arguments(out.address, 7u);
    KilnDispatchInfo info = dispatch_info(device_->probe("fill"), groups, 256, arguments);
    info.threadCount[0] = threads;
    KilnCommandBuffer commands = device_->record(0);
    device_->check(kilnCmdDispatch(commands, &info), "recording");
    run(commands);
    for (std::uint32_t i = 0; i < 2048; ++i)
      ASSERT_EQ(words(out)[i], i < threads ? 7u : 0u) << i << " of " << threads;
  }
}

TEST_P(DispatchTest, WorkgroupsRunOnEveryXcc) {
  constexpr std::uint32_t kGroups = 304;
  Buffer xcc = device_->allocate(4096, kHostUncached),
         waves = device_->allocate(4096, kHostUncached);
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, device_->probe("where"), kGroups, 64,
           Arguments(xcc.address, waves.address));
  run(commands);
  std::set<std::uint32_t> used;
  for (std::uint32_t i = 0; i < kGroups; ++i) {
    used.insert(words(xcc)[i]);
    EXPECT_EQ(words(waves)[i], device_->is_cdna() ? 64u : 32u);
  }
  // An AQL queue of MI300X runs on all eight XCCs (kfd_mqd_manager_v9.c), a PM4 queue on one.
  EXPECT_EQ(used.size(), device_->properties().xccCount);
  EXPECT_EQ(used.size(), device_->is_gfx942() ? 8u : 1u);
}

TEST_P(DispatchTest, Wave64KernelsRunOnRdna) {
  if (device_->is_cdna()) GTEST_SKIP() << "it has no other wave size";
  constexpr std::uint32_t kCount = 1000;
  const std::vector<std::byte> code = tools::read_file(kernel_path(
      (std::string(device_->properties().targetName) + "-wave64").c_str(), "vector_add"));
  auto info = make<KilnModuleCreateInfo>(KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO);
  info.codeSize = code.size();
  info.pCode = code.data();
  KilnModule module = nullptr;
  ASSERT_EQ(kilnCreateModule(device_->handle(), &info, nullptr, &module), VK_SUCCESS);
  KilnKernel kernel = nullptr;
  ASSERT_EQ(kilnGetModuleKernel(module, "vector_add", &kernel), VK_SUCCESS);
  auto properties = make<KilnKernelProperties>(KILN_STRUCTURE_TYPE_KERNEL_PROPERTIES);
  kilnGetKernelProperties(kernel, &properties);
  EXPECT_EQ(properties.waveSize, 64u);
  Buffer data = device_->allocate(3 * 4096, kHostUncached);
  auto* floats = reinterpret_cast<float*>(data.host);
  for (std::uint32_t i = 0; i < kCount; ++i) {
    floats[i] = static_cast<float>(i);
    floats[1024 + i] = 0.5f;
  }
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, kernel, 4, 256,
           Arguments(data.address, data.address + 4096, data.address + 8192, kCount));
  run(commands);
  for (std::uint32_t i = 0; i < kCount; ++i)
    ASSERT_EQ(floats[2048 + i], static_cast<float>(i) + 0.5f);
  kilnDestroyModule(device_->handle(), module, nullptr);
}

TEST_P(DispatchTest, IndirectCountsAreReadByTheGpu) {
  Buffer counts = device_->allocate(4096, kHostUncached),
         out = device_->allocate(8192, kHostUncached);
  const Arguments arguments(out.address, 3u);
  KilnDispatchInfo info = dispatch_info(device_->probe("fill"), 0, 64, arguments);
  info.workgroupCount[1] = info.workgroupCount[2] = 0;
  KilnCommandBuffer commands = device_->record(0);
  device_->check(kilnCmdDispatchIndirect(commands, &info, counts.address + 16), "recording");
  device_->end(commands);
  KilnSemaphore done = device_->semaphore();
  std::uint64_t value = 0;
  for (std::uint32_t groups : {1u, 5u, 0u, 20u}) {
    for (std::uint32_t& word : words(out)) word = 0;
    words(counts)[4] = groups;
    words(counts)[5] = words(counts)[6] = 1;
    device_->submit(device_->compute(), {}, {commands}, {{done, ++value}});
    ASSERT_EQ(device_->wait(done, value), VK_SUCCESS) << machine_->said();
    for (std::uint32_t i = 0; i < 2048; ++i)
      ASSERT_EQ(words(out)[i], i < groups * 64 ? 3u : 0u) << i << " of " << groups << " groups";
  }
  machine_->take();
  EXPECT_EQ(kilnCmdDispatchIndirect(device_->record(0), &info, counts.address + 2),
            VK_ERROR_VALIDATION_FAILED_EXT);
}

TEST_P(DispatchTest, IndirectCountsWrittenByTheGpuNeedABarrierOnly) {
  Buffer counts = device_->allocate(4096, kDeviceLocal),
         out = device_->allocate(8192, kHostUncached);
  for (std::uint32_t& word : words(out)) word = 0;
  const Arguments arguments(out.address, 11u);
  KilnDispatchInfo info = dispatch_info(device_->probe("fill"), 0, 64, arguments);
  info.workgroupCount[1] = info.workgroupCount[2] = 0;
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, device_->probe("fill"), 1, 3, Arguments(counts.address, 2u));
  barrier(*device_, commands);
  device_->check(kilnCmdDispatchIndirect(commands, &info, counts.address), "recording");
  run(commands);
  // 2 x 2 x 2 workgroups; the kernel looks at x only.
  for (std::uint32_t i = 0; i < 256; ++i) EXPECT_EQ(words(out)[i], i < 128 ? 11u : 0u) << i;
}

TEST_P(DispatchTest, WrongArgumentBlocksAreRefused) {
  Buffer out = device_->allocate(4096, kHostUncached);
  KilnKernel fill = device_->probe("fill");
  const Arguments small(out.address), exact(out.address, 1u);
  std::vector<std::byte> large(4096);
  KilnDispatchInfo info = dispatch_info(fill, 1, 64, small);
  std::string said = refusal(info);
  EXPECT_NE(said.find("8 bytes"), std::string::npos) << said;
  EXPECT_NE(said.find("12"), std::string::npos) << said;
  info = dispatch_info(fill, 1, 64, exact);
  info.pArguments = large.data();
  info.argumentsSize = large.size();
  said = refusal(info);
  EXPECT_NE(said.find("4096"), std::string::npos) << said;
  info = dispatch_info(fill, 1, 64, exact);
  info.pArguments = nullptr;
  EXPECT_NE(refusal(info).find("pArguments"), std::string::npos);
  info = dispatch_info(nullptr, 1, 64, exact);
  EXPECT_NE(refusal(info).find("kernel"), std::string::npos);
}

TEST_P(DispatchTest, WrongShapesAreRefused) {
  Buffer out = device_->allocate(1 << 20, kDeviceLocal);
  KilnKernel fill = device_->probe("fill"), lds = device_->probe("lds_16k");
  const Arguments arguments(out.address, 1u), one(out.address);
  EXPECT_NE(refusal(dispatch_info(fill, 1, 1025, arguments)).find("at most 1024"),
            std::string::npos);
  KilnDispatchInfo info = dispatch_info(fill, 1, 512, arguments);
  info.workgroupSize[1] = 4;
  EXPECT_NE(refusal(info).find("2048"), std::string::npos);
  EXPECT_NE(refusal(dispatch_info(lds, 1, 129, one)).find("at most 128"), std::string::npos);
  EXPECT_NE(refusal(dispatch_info(fill, 0, 64, arguments)).find("zero"), std::string::npos);
  EXPECT_NE(refusal(dispatch_info(fill, 1, 0, arguments)).find("zero"), std::string::npos);
  info = dispatch_info(fill, 1, 64, arguments);
  info.workgroupCount[2] = 65536;
  EXPECT_NE(refusal(info).find("65535"), std::string::npos);
  EXPECT_NE(refusal(dispatch_info(fill, 1u << 31, 64, arguments)).find("2^32"), std::string::npos);
  // Exact thread counts lie in the last workgroup.
  for (std::uint32_t threads : {64u, 129u}) {
    info = dispatch_info(fill, 2, 64, arguments);
    info.threadCount[0] = threads;
    EXPECT_NE(refusal(info).find("threadCount"), std::string::npos) << threads;
  }
  // LDS: 16 KiB static and 48 KiB fit, a byte more does not.
  info = dispatch_info(lds, 1, 64, one);
  info.dynamicLdsBytes = 49153;
  EXPECT_NE(refusal(info).find("LDS"), std::string::npos);
  info.dynamicLdsBytes = 49152;
  EXPECT_EQ(kilnCmdDispatch(device_->record(0), &info), VK_SUCCESS);
}

TEST_P(DispatchTest, NotOnCopyQueues) {
  Buffer out = device_->allocate(4096, kDeviceLocal);
  const Arguments arguments(out.address, 1u);
  const std::string said = refusal(dispatch_info(device_->probe("fill"), 1, 64, arguments), 1);
  EXPECT_NE(said.find("compute queue family"), std::string::npos) << said;
}

TEST_P(DispatchTest, NotWithAKernelOfAnotherDevice) {
  Device other(*machine_);
  Buffer out = device_->allocate(4096, kDeviceLocal);
  const Arguments arguments(out.address, 1u);
  EXPECT_NE(refusal(dispatch_info(other.probe("fill"), 1, 64, arguments)).find("another device"),
            std::string::npos);
}

TEST_P(DispatchTest, StaticLds) {
  Buffer out = device_->allocate(65536, kHostUncached);
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, device_->probe("lds_16k"), 32, 128, Arguments(out.address));
  run(commands);
  for (std::uint32_t i = 0; i < 32 * 128; ++i) ASSERT_EQ(words(out)[i], (4095 - i % 128) * 3) << i;
}

TEST_P(DispatchTest, RepeatedDispatchesCostFewDwords) {
  // vector_add with 4 arguments and blocks of 256, only the arguments differ.
  Buffer data = device_->allocate(1 << 20, kDeviceLocal);
  KilnKernel add = device_->kernel("vector_add", "vector_add");
  KilnCommandBuffer commands = device_->record(0);
  auto dwords = [&] {
    auto made = make<KilnCommandBufferStatistics>(KILN_STRUCTURE_TYPE_COMMAND_BUFFER_STATISTICS);
    kilnGetCommandBufferStatistics(commands, &made);
    return made.streamDwords;
  };
  std::uint64_t before = 0, cost = 0;
  for (std::uint64_t i = 0; i < 3; ++i) {
    before = dwords();
    dispatch(*device_, commands, add, 4, 256,
             Arguments(data.address + i * 4096, data.address + 65536, data.address + 131072,
                       static_cast<std::uint32_t>(100 + i)));
    cost = dwords() - before;
  }
  RecordProperty("dwords_per_dispatch", static_cast<int>(cost));
  EXPECT_LE(cost, device_->is_gfx942() ? 40u : 12u);
}

}  // namespace
}  // namespace api_test

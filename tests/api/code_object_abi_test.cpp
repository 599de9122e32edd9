// Owns: tests of what kernels of each code object version (4, 5, 6) are handed on each target: user
//   SGPRs, dispatch packet, queue block, apertures, preloaded arguments.
// Does not own: reading code objects (tests/unit), what the streams look like (tests/golden).
// Threading: none.
#include <cstring>

#include "fixture.hpp"

namespace api_test {
namespace {

/// abi.TARGET.VARIANT.hsaco on a machine of its own.
class AbiKernels {
 public:
  AbiKernels(const char* gpu, const std::string& variant) : machine_(gpu), device_(machine_) {
    const std::string path = std::string(KILN_PROBE_DIRECTORY) + "/abi." +
                             device_.properties().targetName + "." + variant + ".hsaco";
    const std::vector<std::byte> code = tools::read_file(path);
    auto info = make<KilnModuleCreateInfo>(KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO);
    info.codeSize = code.size();
    info.pCode = code.data();
    device_.check(kilnCreateModule(device_.handle(), &info, nullptr, &module_), "loading");
    out_ = device_.allocate(4096, kHostUncached);
  }
  ~AbiKernels() { kilnDestroyModule(device_.handle(), module_, nullptr); }

  Device& device() { return device_; }
  const Buffer& out() const { return out_; }
  std::uint64_t value(int i) const {
    std::uint64_t found;
    std::memcpy(&found, static_cast<const std::byte*>(out_.host) + 8 * i, 8);
    return found;
  }
  void run(const char* name, std::uint32_t groups, std::uint32_t size, const Arguments& arguments) {
    KilnKernel kernel = nullptr;
    device_.check(kilnGetModuleKernel(module_, name, &kernel), "finding a kernel");
    KilnCommandBuffer commands = device_.record(0);
    dispatch(device_, commands, kernel, groups, size, arguments);
    ASSERT_EQ(device_.run(device_.compute(), commands), VK_SUCCESS) << machine_.said();
  }

 private:
  Machine machine_;
  Device device_;
  KilnModule module_ = nullptr;
  Buffer out_;
};

using Variant = std::tuple<const char*, const char*>;
std::string name_of(const testing::TestParamInfo<Variant>& info) {
  return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
}

class CodeObjectAbi : public testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Versions, CodeObjectAbi,
                         testing::Combine(testing::ValuesIn(kEachGpu),
                                          testing::Values("v4", "v5", "v6")),
                         name_of);

TEST_P(CodeObjectAbi, KernelsFindPacketQueueLdsAndScratch) {
  AbiKernels kernels(std::get<0>(GetParam()), std::get<1>(GetParam()));
  kernels.run("abi", 1, 64, Arguments(kernels.out().address));
  EXPECT_EQ(kernels.value(0), 64u) << "workgroup size";
  EXPECT_EQ(kernels.value(1), 64u) << "grid size";
  EXPECT_EQ(kernels.value(2), 1u);
  // amd_queue_t says the same of the apertures as the target's registers do.
  EXPECT_NE(kernels.value(3), 0u);
  EXPECT_NE(kernels.value(3), kernels.value(4));
  EXPECT_EQ(kernels.value(3), kernels.value(5)) << "LDS";
  EXPECT_EQ(kernels.value(4), kernels.value(6)) << "scratch";
  EXPECT_EQ(kernels.value(7), 103u + (3u << 8)) << "what lies there";
}

class PreloadedArguments : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Gpus, PreloadedArguments, testing::Values("mi300x", "mi210"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(PreloadedArguments, Arrive) {
  AbiKernels kernels(GetParam(), "preload");
  kernels.run("preloaded", 2, 64,
              Arguments(kernels.out().address, 11u, 22u, std::uint64_t{0x4'0000'0033}, 55u));
  const std::uint32_t expected[] = {11, 22, 0x33, 4, 55};
  for (int i = 0; i < 5; ++i) EXPECT_EQ(words(kernels.out())[i], expected[i]) << i;
}

}  // namespace
}  // namespace api_test

// Owns: every kernel of tests/kernels, run and checked against its reference on every target.
// Does not own: the kernels, the references (tests/kernels) and the runner (tools/case_runner).
// Threading: none.
#include <gtest/gtest.h>

#include "case_runner.hpp"
#include "fixture.hpp"

namespace api_test {
namespace {

struct Target {
  const char* gpu;
  const char* directory;  ///< of code objects
  std::uint32_t wave_size;
};
constexpr Target kTargets[] = {{"mi300x", "gfx942", 64},         {"navi31", "gfx1100", 32},
                               {"mi210", "gfx90a", 64},          {"navi21", "gfx1030", 32},
                               {"navi31", "gfx1100-wave64", 64}, {"navi21", "gfx1030-wave64", 64}};

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const auto& each : kiln::kernels::kernel_cases({})) names.push_back(each.name);
  return names;
}

class KernelTest : public testing::TestWithParam<std::tuple<int, std::string>> {
 protected:
  const Target& target() const { return kTargets[std::get<0>(GetParam())]; }
  kiln::kernels::KernelCase the_case() const {
    for (auto& each : kiln::kernels::kernel_cases({target().wave_size, 1}))
      if (each.name == std::get<1>(GetParam())) return each;
    throw std::runtime_error("no such case");
  }
  std::vector<std::byte> code() const {
    return tools::read_file(kernel_path(target().directory, std::get<1>(GetParam()).c_str()));
  }
};
INSTANTIATE_TEST_SUITE_P(All, KernelTest,
                         testing::Combine(testing::Range(0, 6), testing::ValuesIn(kernel_names())),
                         [](const auto& info) {
                           std::string name = kTargets[std::get<0>(info.param)].directory;
                           for (char& c : name)
                             if (c == '-') c = '_';
                           return name + "_" + std::get<1>(info.param);
                         });

TEST_P(KernelTest, MatchesItsReference) {
  tools::Instance instance(target().gpu);
  ASSERT_TRUE(instance.ok()) << instance.error();
  tools::Device device(instance, instance.gpus().at(0));
  const tools::CaseRun run = tools::run_case(device, the_case(), code());
  EXPECT_FALSE(run.mismatch.has_value()) << *run.mismatch;
  EXPECT_GT(run.stream_dwords, 0u);
}

TEST_P(KernelTest, MatchesItsReferenceUnderStrictMemoryAndSkew) {
  tools::Instance instance((std::string(target().gpu) + ",strict,skew=max,seed=11").c_str());
  ASSERT_TRUE(instance.ok()) << instance.error();
  tools::Device device(instance, instance.gpus().at(0));
  const tools::CaseRun run = tools::run_case(device, the_case(), code());
  EXPECT_FALSE(run.mismatch.has_value()) << *run.mismatch;
}

TEST(Kernels, ThereAreEighteen) {
  EXPECT_EQ(kernel_names().size(), 18u);
}

TEST(Kernels, ACorruptedInputIsNoticed) {
  for (int i = 0; i < 4; ++i) {
    tools::Instance instance(kTargets[i].gpu);
    tools::Device device(instance, instance.gpus().at(0));
    tools::CaseFaults faults;
    faults.input = [](kiln::kernels::KernelCase& changed) {
      changed.buffers[0].initial[5] ^= std::byte{1};
    };
    const auto cases = kiln::kernels::kernel_cases({kTargets[i].wave_size, 1});
    const tools::CaseRun run = tools::run_case(
        device, cases.front(),
        tools::read_file(kernel_path(kTargets[i].directory, cases.front().name.c_str())), faults);
    EXPECT_TRUE(run.mismatch.has_value());
  }
}

}  // namespace
}  // namespace api_test

// Owns: tests of the kernel cases themselves: they fit the code objects, and their checks can fail.
// Does not own: running kernels (API tests, the demo).
// Threading: none.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include "cases.hpp"
#include "gpu/code_object.hpp"

namespace kiln::kernels {
namespace {

struct Target {
  const char* folder;
  gpu::DeviceIsa isa;
  std::uint32_t wave_size;
};
constexpr Target kTargets[] = {{"gfx90a", {{9, 0, 10}, {}, {}}, 64},
                               {"gfx942", {{9, 4, 2}, {}, {}}, 64},
                               {"gfx1030", {{10, 3, 0}, {}, {}}, 32},
                               {"gfx1100", {{11, 0, 0}, {}, {}}, 32},
                               {"gfx1100-wave64", {{11, 0, 0}, {}, {}}, 64}};

Bytes read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  const std::vector<char> chars((std::istreambuf_iterator<char>(stream)), {});
  Bytes bytes(chars.size());
  if (!bytes.empty()) std::memcpy(bytes.data(), chars.data(), chars.size());
  return bytes;
}

Outputs untouched(const KernelCase& kernel) {
  Outputs outputs;
  for (const Buffer& buffer : kernel.buffers) outputs.buffers.push_back(buffer.initial);
  for (const GlobalRead& read : kernel.global_reads) outputs.globals.emplace_back(read.bytes);
  return outputs;
}

TEST(KernelCases, ThereAreEighteenWithNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const KernelCase& kernel : kernel_cases({})) names.insert(kernel.name);
  EXPECT_EQ(names.size(), 18u);
}

// Arguments, limits and variables against what the compiler wrote into the code objects.
TEST(KernelCases, FitTheCodeObjects) {
  for (const Target& target : kTargets) {
    for (const KernelCase& kernel : kernel_cases({target.wave_size, 1})) {
      SCOPED_TRACE(std::string(target.folder) + "/" + kernel.name);
      const auto code =
          gpu::open_code_object(read_file(std::string(KILN_KERNEL_DIR "/") + target.folder + "/" +
                                          kernel.name + ".hsaco"),
                                target.isa);
      ASSERT_TRUE(code) << code.error().message;
      const gpu::KernelInfo* info = code->find_kernel(kernel.kernel);
      ASSERT_NE(info, nullptr);
      EXPECT_EQ(info->wavefront_size, target.wave_size);
      EXPECT_LE(kernel.block.x * kernel.block.y * kernel.block.z, info->max_flat_workgroup_size);
      EXPECT_LE(info->group_segment_fixed_size + kernel.dynamic_lds, 65536u);

      std::vector<std::uint64_t> addresses;
      for (std::size_t i = 0; i < kernel.buffers.size(); i++)
        addresses.push_back(0x1111111111111111 * (i + 1));
      const Bytes block = kernel.pack_arguments(addresses);
      EXPECT_EQ(block.size(), info->explicit_size);
      std::size_t index = 0;
      for (const gpu::KernelArgument& argument : info->arguments) {
        if (gpu::is_hidden(argument.kind)) continue;
        ASSERT_LT(index, kernel.arguments.size());
        const Argument& ours = kernel.arguments[index++];
        EXPECT_EQ(ours.buffer >= 0, argument.kind == gpu::ArgumentKind::GlobalBuffer);
        ASSERT_EQ(argument.size, ours.buffer >= 0 ? 8 : ours.value.size());
        const void* expected = ours.buffer >= 0
                                   ? static_cast<const void*>(&addresses[std::size_t(ours.buffer)])
                                   : ours.value.data();
        EXPECT_EQ(std::memcmp(block.data() + argument.offset, expected, argument.size), 0)
            << "argument " << index;
      }
      EXPECT_EQ(index, kernel.arguments.size());
      for (const GlobalWrite& write : kernel.global_writes) {
        const gpu::GlobalSymbol* symbol = code->find_global(write.symbol);
        ASSERT_NE(symbol, nullptr) << write.symbol;
        EXPECT_EQ(symbol->bytes, write.value.size());
      }
      for (const GlobalRead& read : kernel.global_reads) {
        const gpu::GlobalSymbol* symbol = code->find_global(read.symbol);
        ASSERT_NE(symbol, nullptr) << read.symbol;
        EXPECT_EQ(symbol->bytes, read.bytes);
      }
    }
  }
}

TEST(KernelCases, AKernelThatDoesNothingIsNoticed) {
  for (const KernelCase& kernel : kernel_cases({}))
    EXPECT_TRUE(kernel.verify(untouched(kernel))) << kernel.name;
}

TEST(KernelCases, StrayWritesAreNoticed) {
  for (const KernelCase& kernel : kernel_cases({})) {
    for (std::size_t i = 0; i < kernel.buffers.size(); i++) {
      Outputs behind = untouched(kernel);
      behind.buffers[i].back() ^= std::byte{1};
      const auto message = kernel.verify(behind);
      ASSERT_TRUE(message) << kernel.name;
      EXPECT_NE(message->find("behind the end of " + kernel.buffers[i].name), std::string::npos)
          << *message;
      if (kernel.buffers[i].output) continue;
      Outputs input = untouched(kernel);
      input.buffers[i].front() ^= std::byte{1};
      ASSERT_TRUE(kernel.verify(input));
      EXPECT_NE(kernel.verify(input)->find("input"), std::string::npos) << *kernel.verify(input);
    }
  }
}

// vector_add by hand: the right answer passes, one wrong bit does not.
TEST(KernelCases, OneWrongBitIsNoticed) {
  const KernelCase kernel = kernel_cases({}).front();
  ASSERT_EQ(kernel.name, "vector_add");
  Outputs outputs = untouched(kernel);
  std::uint32_t count = 0;
  std::memcpy(&count, kernel.arguments[3].value.data(), 4);
  for (std::uint32_t i = 0; i < count; i++) {
    float a, b;
    std::memcpy(&a, outputs.buffers[0].data() + 4 * i, 4);
    std::memcpy(&b, outputs.buffers[1].data() + 4 * i, 4);
    const float sum = a + b;
    std::memcpy(outputs.buffers[2].data() + 4 * i, &sum, 4);
  }
  EXPECT_EQ(kernel.verify(outputs), std::nullopt);
  outputs.buffers[2][4 * (count - 1)] ^= std::byte{1};
  ASSERT_TRUE(kernel.verify(outputs));
  EXPECT_NE(kernel.verify(outputs)->find("c[" + std::to_string(count - 1) + "]"),
            std::string::npos);
}

TEST(KernelCases, ScaleGrowsThem) {
  const auto small = kernel_cases({64, 1}), large = kernel_cases({64, 2});
  for (std::size_t i = 0; i < small.size(); i++) {
    std::size_t a = 0, b = 0;
    for (const Buffer& buffer : small[i].buffers) a += buffer.initial.size();
    for (const Buffer& buffer : large[i].buffers) b += buffer.initial.size();
    EXPECT_GT(b, a) << small[i].name;
  }
}

}  // namespace
}  // namespace kiln::kernels

// Owns: tests of code objects: what clang 22 writes is read right, anything else is refused in
// words. Does not own: running what was loaded (API tests). Threading: none.
#include "gpu/code_object.hpp"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "gpu/bundle.hpp"
#include "gpu/hidden_arguments.hpp"

namespace kiln::gpu {
namespace {

using Bytes = std::vector<std::byte>;

constexpr Va kLoadAddress = 0x7f1234560000;
const DeviceIsa kMi300x{{9, 4, 2}, false, true};
const DeviceIsa kNavi31{{11, 0, 0}, std::nullopt, std::nullopt};

Bytes read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  const std::vector<char> chars((std::istreambuf_iterator<char>(stream)), {});
  Bytes bytes(chars.size());
  if (!bytes.empty()) std::memcpy(bytes.data(), chars.data(), chars.size());
  return bytes;
}

Bytes object(const std::string& name) {
  return read_file(KILN_TEST_OBJECTS "/" + name);
}

CodeObject parsed(const Bytes& file, const DeviceIsa* device = nullptr) {
  Result<CodeObject> result = parse_code_object(file, device);
  EXPECT_TRUE(result) << result.error().message;
  return result ? std::move(*result) : CodeObject{};
}

std::string error_of(const Bytes& file, const DeviceIsa* device = nullptr) {
  const Result<CodeObject> result = parse_code_object(file, device);
  if (result) return "(no error)";
  EXPECT_EQ(result.error().code, VK_ERROR_INVALID_SHADER_NV);
  return result.error().message;
}

template <class T>
T value_at(const Bytes& bytes, std::uint64_t offset) {
  T value{};
  EXPECT_LE(offset + sizeof(T), bytes.size());
  if (offset + sizeof(T) <= bytes.size()) std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <class T>
void set_at(Bytes* bytes, std::uint64_t offset, T value) {
  ASSERT_LE(offset + sizeof(T), bytes->size());
  std::memcpy(bytes->data() + offset, &value, sizeof(T));
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

struct Build {
  const char* arch;
  std::uint32_t version;
  std::uint32_t wave_size;
};

class Probe : public testing::TestWithParam<Build> {
 protected:
  Bytes file() const {
    return object(std::string("probe-") + GetParam().arch + "-v" +
                  std::to_string(GetParam().version) + ".hsaco");
  }
};

// What clang was asked for, and the argument list of probe.cl under the C ABI of the target.
TEST_P(Probe, SaysWhatClangWasAskedFor) {
  const CodeObject code = parsed(file());
  EXPECT_EQ(code.version, GetParam().version);
  EXPECT_EQ(to_string(code.target), GetParam().arch);
  ASSERT_EQ(code.kernels.size(), 1u);
  const KernelInfo* kernel = code.find_kernel("probe");
  ASSERT_NE(kernel, nullptr);
  EXPECT_EQ(kernel->symbol, "probe.kd");
  EXPECT_EQ(kernel->wavefront_size, GetParam().wave_size);
  EXPECT_EQ(kernel->required_workgroup_size, (std::array<std::uint32_t, 3>{8, 4, 2}));
  EXPECT_EQ(kernel->max_flat_workgroup_size, 64u);
  EXPECT_EQ(kernel->kernarg_align, 8u);
  EXPECT_EQ(kernel->explicit_size, 38u);
  EXPECT_FALSE(kernel->uses_dynamic_stack);
  EXPECT_GT(kernel->vgpr_count, 0u);
  EXPECT_GT(kernel->sgpr_count, 0u);
  EXPECT_EQ(kernel->code_offset % 256, 0u);
  EXPECT_EQ(code.find_kernel("probe.kd"), nullptr);
  EXPECT_EQ(code.find_kernel(""), nullptr);

  struct Row {
    const char *name, *type;
    ArgumentKind kind;
    std::uint32_t offset, size;
  };
  static constexpr Row kRows[] = {
      {"out", "int*", ArgumentKind::GlobalBuffer, 0, 8},
      {"small", "char", ArgumentKind::ByValue, 8, 1},
      {"pair", "struct Pair", ArgumentKind::ByValue, 16, 16},
      {"scratch", "int*", ArgumentKind::DynamicSharedPointer, 32, 4},
      {"last", "short", ArgumentKind::ByValue, 36, 2},
  };
  ASSERT_GT(kernel->arguments.size(), std::size(kRows));
  for (std::size_t i = 0; i < std::size(kRows); i++) {
    const KernelArgument& argument = kernel->arguments[i];
    EXPECT_EQ(argument.name, kRows[i].name);
    EXPECT_EQ(argument.type_name, kRows[i].type);
    EXPECT_EQ(argument.kind, kRows[i].kind) << to_string(argument.kind);
    EXPECT_EQ(argument.offset, kRows[i].offset);
    EXPECT_EQ(argument.size, kRows[i].size);
  }
  EXPECT_EQ(kernel->arguments[3].pointee_align, 4u);
}

TEST_P(Probe, ImageIsTheFilesSegments) {
  const CodeObject code = parsed(file());
  EXPECT_EQ(code.image_bytes % 4096, 0u);
  Bytes image(code.image_bytes, std::byte{0xCC});
  ASSERT_TRUE(code.load(image, kLoadAddress));
  const KernelInfo& kernel = code.kernels[0];
  // The descriptor is in the image, and points at the code, which begins an instruction.
  EXPECT_EQ(std::memcmp(image.data() + kernel.descriptor_offset, &kernel.descriptor, 64), 0);
  EXPECT_EQ(kernel.descriptor_offset + static_cast<std::uint64_t>(value_at<std::int64_t>(
                                           image, kernel.descriptor_offset + 16)),
            kernel.code_offset);
  EXPECT_NE(value_at<std::uint32_t>(image, kernel.code_offset), 0u);
  bool code_is_executable = false;
  for (const Segment& segment : code.segments) {
    const bool here =
        kernel.code_offset >= segment.offset && kernel.code_offset < segment.offset + segment.bytes;
    code_is_executable |= here && segment.executable && !segment.writable;
  }
  EXPECT_TRUE(code_is_executable);
  // Between and behind the segments nothing of the old content is left.
  std::uint64_t end = 0;
  for (const Segment& segment : code.segments) {
    for (std::uint64_t at = end; at < segment.offset; at++)
      ASSERT_EQ(image[at], std::byte{0}) << at;
    end = segment.offset + segment.bytes;
  }
  for (std::uint64_t at = end; at < image.size(); at++) ASSERT_EQ(image[at], std::byte{0}) << at;
}

HiddenValues distinct_values() {
  HiddenValues values;
  values.threads = {8 * 5 + 3, 4 * 7, 2 * 9 + 1};
  values.group_size = {8, 4, 2};
  values.dimensions = 3;
  values.global_offset = {0x1111111111111111, 0x2222222222222222, 0x3333333333333333};
  values.dynamic_lds_size = 0x4444;
  values.shared_aperture = 0x0001000000000000;
  values.private_aperture = 0x0002000000000000;
  values.queue_ptr = 0x5555555555555555;
  values.printf_buffer = 0x6666666666666666;
  values.hostcall_buffer = 0x7777777777777777;
  values.heap = 0x8888888888888888;
  values.default_queue = 0x9999999999999999;
  values.completion_action = 0xaaaaaaaaaaaaaaaa;
  values.multigrid_sync = 0xbbbbbbbbbbbbbbbb;
  return values;
}

// Offsets in the implicit block: LLVM AMDGPUUsage, code object v5 implicit argument layout (also
// AMDGPU::ImplicitArg::Offset_COV5), and the seven 8-byte slots of v4 before it.
TEST_P(Probe, HiddenArgumentsAreWhereTheAbiPutsThem) {
  const CodeObject code = parsed(file());
  const KernelInfo& kernel = code.kernels[0];
  const HiddenValues values = distinct_values();
  constexpr std::byte kUntouched{0xEE};
  Bytes block(kernel.kernarg_size, kUntouched);
  ASSERT_TRUE(fill_hidden_arguments(kernel, values, block));

  for (std::size_t i = 0; i < 40; i++) EXPECT_EQ(block[i], kUntouched) << "explicit byte " << i;
  constexpr std::uint64_t kImplicit = 40;
  auto u16 = [&](std::uint64_t at) { return value_at<std::uint16_t>(block, kImplicit + at); };
  auto u32 = [&](std::uint64_t at) { return value_at<std::uint32_t>(block, kImplicit + at); };
  auto u64 = [&](std::uint64_t at) { return value_at<std::uint64_t>(block, kImplicit + at); };
  if (code.version == 4) {
    EXPECT_EQ(kernel.kernarg_size, kImplicit + 56);
    EXPECT_EQ(u64(0), values.global_offset[0]);
    EXPECT_EQ(u64(8), values.global_offset[1]);
    EXPECT_EQ(u64(16), values.global_offset[2]);
    EXPECT_EQ(u64(24), values.hostcall_buffer);
    EXPECT_EQ(u64(32), values.default_queue);
    EXPECT_EQ(u64(40), values.completion_action);
    EXPECT_EQ(u64(48), values.multigrid_sync);
    return;
  }
  EXPECT_EQ(kernel.kernarg_size, kImplicit + 256);
  EXPECT_EQ(u32(0), 5u);  // whole groups
  EXPECT_EQ(u32(4), 7u);
  EXPECT_EQ(u32(8), 9u);
  EXPECT_EQ(u16(12), 8u);  // group sizes
  EXPECT_EQ(u16(14), 4u);
  EXPECT_EQ(u16(16), 2u);
  EXPECT_EQ(u16(18), 3u);  // sizes of the partial groups
  EXPECT_EQ(u16(20), 0u);
  EXPECT_EQ(u16(22), 1u);
  EXPECT_EQ(u64(40), values.global_offset[0]);
  EXPECT_EQ(u64(48), values.global_offset[1]);
  EXPECT_EQ(u64(56), values.global_offset[2]);
  EXPECT_EQ(u16(64), 3u);
  EXPECT_EQ(u64(80), values.hostcall_buffer);
  EXPECT_EQ(u64(88), values.multigrid_sync);
  EXPECT_EQ(u64(96), values.heap);
  EXPECT_EQ(u64(104), values.default_queue);
  EXPECT_EQ(u64(112), values.completion_action);
  EXPECT_EQ(u32(120), values.dynamic_lds_size);
  EXPECT_EQ(u64(200), values.queue_ptr);
  // Slots that the metadata does not name stay as they were.
  EXPECT_EQ(u64(24), 0xEEEEEEEEEEEEEEEE);
  EXPECT_EQ(u32(124), 0xEEEEEEEE);
}

TEST_P(Probe, RefusesASmallArgumentBlock) {
  const CodeObject code = parsed(file());
  Bytes block(code.kernels[0].kernarg_size - 1);
  const Status status = fill_hidden_arguments(code.kernels[0], HiddenValues{}, block);
  ASSERT_FALSE(status);
  EXPECT_TRUE(contains(status.error().message, "probe")) << status.error().message;
  HiddenValues empty;
  empty.group_size[1] = 0;
  Bytes enough(code.kernels[0].kernarg_size);
  EXPECT_FALSE(fill_hidden_arguments(code.kernels[0], empty, enough));
}

INSTANTIATE_TEST_SUITE_P(
    Clang22, Probe,
    testing::Values(Build{"gfx90a", 4, 64}, Build{"gfx90a", 5, 64}, Build{"gfx90a", 6, 64},
                    Build{"gfx942", 4, 64}, Build{"gfx942", 5, 64}, Build{"gfx942", 6, 64},
                    Build{"gfx1030", 4, 32}, Build{"gfx1030", 5, 32}, Build{"gfx1030", 6, 32},
                    Build{"gfx1100", 4, 32}, Build{"gfx1100", 5, 32}, Build{"gfx1100", 6, 32}),
    [](const auto& info) {
      return std::string(info.param.arch) + "_v" + std::to_string(info.param.version);
    });

// The apertures are in no code that clang makes for these targets (they have registers for them),
// so the metadata is written by hand.
TEST(HiddenArguments, AperturesAreHighHalves) {
  KernelInfo kernel;
  kernel.kernarg_size = 24;
  kernel.hidden = {{ArgumentKind::HiddenPrivateBase, 4, 0},
                   {ArgumentKind::HiddenSharedBase, 4, 4},
                   {ArgumentKind::HiddenPrintfBuffer, 8, 8},
                   {ArgumentKind::HiddenNone, 8, 16}};
  Bytes block(24, std::byte{0xEE});
  ASSERT_TRUE(fill_hidden_arguments(kernel, distinct_values(), block));
  EXPECT_EQ(value_at<std::uint32_t>(block, 0), 0x00020000u);
  EXPECT_EQ(value_at<std::uint32_t>(block, 4), 0x00010000u);
  EXPECT_EQ(value_at<std::uint64_t>(block, 8), 0x6666666666666666u);
  EXPECT_EQ(value_at<std::uint64_t>(block, 16), 0u);
}

class Data : public testing::TestWithParam<const char*> {
 protected:
  Bytes file() const { return object(std::string("data-") + GetParam() + ".hsaco"); }
};

TEST_P(Data, GlobalsBssAndPointers) {
  const CodeObject code = parsed(file());
  const GlobalSymbol* initialised = code.find_global("initialised");
  const GlobalSymbol* zeroed = code.find_global("zeroed");
  const GlobalSymbol* pointers = code.find_global("pointers");
  ASSERT_TRUE(initialised && zeroed && pointers);
  EXPECT_EQ(initialised->bytes, 12u);
  EXPECT_EQ(zeroed->bytes, 400u);
  EXPECT_EQ(pointers->bytes, 16u);
  EXPECT_TRUE(initialised->writable);
  EXPECT_EQ(code.find_global("data"), nullptr) << "a function is no variable";
  EXPECT_EQ(code.find_global("data.kd"), nullptr) << "nor is a kernel descriptor";

  Bytes image(code.image_bytes, std::byte{0xCC});
  ASSERT_TRUE(code.load(image, kLoadAddress));
  EXPECT_EQ(value_at<int>(image, initialised->offset), 7);
  EXPECT_EQ(value_at<int>(image, initialised->offset + 8), 9);
  for (int i = 0; i < 100; i++) EXPECT_EQ(value_at<int>(image, zeroed->offset + 4 * i), 0);
  // &initialised[1] and &zeroed[50]
  EXPECT_EQ(value_at<std::uint64_t>(image, pointers->offset),
            kLoadAddress + initialised->offset + 4);
  EXPECT_EQ(value_at<std::uint64_t>(image, pointers->offset + 8),
            kLoadAddress + zeroed->offset + 200);
}

TEST_P(Data, LoadChecksItsRoomAndAddress) {
  const CodeObject code = parsed(file());
  Bytes small(code.image_bytes - 1);
  EXPECT_FALSE(code.load(small, kLoadAddress));
  EXPECT_FALSE(code.relocate(std::span(small).first(16), kLoadAddress));
  Bytes image(code.image_bytes);
  EXPECT_FALSE(code.load(image, kLoadAddress + 4096));
}

INSTANTIATE_TEST_SUITE_P(Clang22, Data, testing::Values("gfx942", "gfx1100"),
                         [](const auto& info) { return std::string(info.param); });

// The two RELATIVE64 entries of the data object, found through its section headers.
std::uint64_t rela_offset(const Bytes& file) {
  const auto header = value_at<Elf64_Ehdr>(file, 0);
  for (unsigned i = 0; i < header.e_shnum; i++) {
    const auto section = value_at<Elf64_Shdr>(file, header.e_shoff + i * sizeof(Elf64_Shdr));
    if (section.sh_type == SHT_RELA) return section.sh_offset;
  }
  ADD_FAILURE() << "no relocations";
  return 0;
}

// Calculations: LLVM AMDGPUUsage, "Relocation Records": S symbol, A addend, P place, B load
// address.
TEST(Relocations, EveryTypeOfLlvmsTable) {
  const Bytes original = object("data-gfx942.hsaco");
  const CodeObject code = parsed(original);
  const std::uint64_t place = code.find_global("pointers")->offset;
  const std::uint64_t symbol = code.find_global("initialised")->offset;
  const std::uint64_t s_plus_a = kLoadAddress + symbol + 0x10;
  const std::uint64_t distance = s_plus_a - (kLoadAddress + place);
  std::uint32_t index = 0;  // of `initialised` in the symbol table that llvm-readelf shows
  {
    // Kept in step with the object by trying all: only one index gives the right address.
    for (std::uint32_t candidate = 1; candidate < 7 && index == 0; candidate++) {
      Bytes file = original;
      set_at(&file, rela_offset(original) + 8, std::uint64_t{candidate} << 32 | 3);
      set_at(&file, rela_offset(original) + 16, std::uint64_t{0x10});
      const CodeObject patched = parsed(file);
      if (!patched.relocations.empty() && patched.relocations[0].value == symbol + 0x10)
        index = candidate;
    }
    ASSERT_NE(index, 0u);
  }
  struct Row {
    std::uint32_t type;
    const char* name;
    unsigned bytes;
    std::uint64_t expected;
  };
  const Row rows[] = {
      {1, "R_AMDGPU_ABS32_LO", 4, s_plus_a & 0xffffffff},
      {2, "R_AMDGPU_ABS32_HI", 4, s_plus_a >> 32},
      {3, "R_AMDGPU_ABS64", 8, s_plus_a},
      {4, "R_AMDGPU_REL32", 4, distance & 0xffffffff},
      {5, "R_AMDGPU_REL64", 8, distance},
      {10, "R_AMDGPU_REL32_LO", 4, distance & 0xffffffff},
      {11, "R_AMDGPU_REL32_HI", 4, distance >> 32},
      {13, "R_AMDGPU_RELATIVE64", 8, kLoadAddress + 0x10},
  };
  for (const Row& row : rows) {
    Bytes file = original;
    set_at(&file, rela_offset(original) + 8, std::uint64_t{index} << 32 | row.type);
    set_at(&file, rela_offset(original) + 16, std::uint64_t{0x10});
    const CodeObject patched = parsed(file);
    Bytes image(patched.image_bytes);
    ASSERT_TRUE(patched.load(image, kLoadAddress)) << row.name;
    std::uint64_t seen = value_at<std::uint64_t>(image, place);
    if (row.bytes == 4) {
      EXPECT_EQ(seen >> 32, 0u) << row.name << " wrote more than 4 bytes";
      seen &= 0xffffffff;
    }
    EXPECT_EQ(seen, row.expected) << row.name;
  }
  // NONE leaves the place alone, ABS32 cannot hold a 47-bit address.
  Bytes file = original;
  set_at(&file, rela_offset(original) + 8, std::uint64_t{index} << 32 | 0);
  set_at(&file, rela_offset(original) + 16, std::uint64_t{0x10});
  Bytes image(code.image_bytes);
  ASSERT_TRUE(parsed(file).load(image, kLoadAddress));
  EXPECT_EQ(value_at<std::uint64_t>(image, place), 0u);
  set_at(&file, rela_offset(original) + 8, std::uint64_t{index} << 32 | 6);
  Status status = parsed(file).load(image, kLoadAddress);
  ASSERT_FALSE(status);
  EXPECT_TRUE(contains(status.error().message, "32-bit")) << status.error().message;
  ASSERT_TRUE(parsed(file).load(image, 0x10000));
  EXPECT_EQ(value_at<std::uint64_t>(image, place), 0x10000 + symbol + 0x10);
}

TEST(Relocations, BadOnesAreRefused) {
  const Bytes original = object("data-gfx942.hsaco");
  const std::uint64_t rela = rela_offset(original);
  Bytes file = original;
  set_at(&file, rela + 8, std::uint64_t{99});
  EXPECT_TRUE(contains(error_of(file), "type 99")) << error_of(file);
  file = original;
  set_at(&file, rela, std::uint64_t{0x12345678});
  EXPECT_TRUE(contains(error_of(file), "no segment")) << error_of(file);
  file = original;
  set_at(&file, rela + 8, std::uint64_t{1000} << 32 | 3);
  EXPECT_TRUE(contains(error_of(file), "symbol")) << error_of(file);
}

TEST(Refusals, WrongTargetNamesBoth) {
  const std::string message = error_of(object("probe-gfx942-v6.hsaco"), &kNavi31);
  EXPECT_TRUE(contains(message, "gfx942") && contains(message, "gfx1100")) << message;
  EXPECT_TRUE(parse_code_object(object("probe-gfx942-v6.hsaco"), &kMi300x));
  EXPECT_TRUE(parse_code_object(object("probe-gfx1100-v4.hsaco"), &kNavi31));
}

TEST(Refusals, FeaturesAndGenericTargets) {
  const std::string message = error_of(object("probe-xnack.hsaco"), &kMi300x);
  EXPECT_TRUE(contains(message, "gfx942:sramecc+:xnack+") && contains(message, "XNACK")) << message;
  DeviceIsa with_xnack = kMi300x;
  with_xnack.xnack = true;
  EXPECT_TRUE(parse_code_object(object("probe-xnack.hsaco"), &with_xnack));
  with_xnack.sramecc = false;
  EXPECT_TRUE(contains(error_of(object("probe-xnack.hsaco"), &with_xnack), "SRAMECC"));

  const DeviceIsa mi210{{9, 0, 10}, false, true};
  const std::string off = error_of(object("probe-gfx90a-xnack.hsaco"), &mi210);
  EXPECT_TRUE(contains(off, "gfx90a:xnack+") && contains(off, "gfx90a:sramecc+:xnack-") &&
              contains(off, "XNACK is off; compile with xnack-"))
      << off;
  EXPECT_TRUE(parse_code_object(object("probe-gfx90a-v5.hsaco"), &mi210));

  const CodeObject generic = parsed(object("probe-generic.hsaco"), &kNavi31);
  EXPECT_EQ(generic.target.name, "gfx11-generic");
  EXPECT_EQ(generic.target.generic_version, 1);
  EXPECT_TRUE(contains(error_of(object("probe-generic.hsaco"), &kMi300x), "gfx11-generic"));
}

TEST(Refusals, ForeignFiles) {
  EXPECT_TRUE(contains(error_of(read_file("/proc/self/exe")), "x86-64"));
  EXPECT_TRUE(contains(error_of(object("probe-unlinked.relocatable")), "unlinked"));
  EXPECT_TRUE(contains(error_of({}), "not an ELF"));
  EXPECT_TRUE(contains(error_of(Bytes(5000, std::byte{0x5A})), "not an ELF"));

  const Bytes original = object("probe-gfx942-v5.hsaco");
  Bytes file = original;
  file[EI_CLASS] = std::byte{1};
  EXPECT_TRUE(contains(error_of(file), "64-bit"));
  file = original;
  file[EI_OSABI] = std::byte{65};
  EXPECT_TRUE(contains(error_of(file), "OS ABI"));
  file = original;
  file[EI_ABIVERSION] = std::byte{1};
  EXPECT_TRUE(contains(error_of(file), "version 3")) << error_of(file);
  file = original;
  file[EI_ABIVERSION] = std::byte{5};
  EXPECT_TRUE(contains(error_of(file), "version 7")) << error_of(file);
  file = original;
  set_at(&file, offsetof(Elf64_Ehdr, e_flags), std::uint32_t{0x5ee});
  EXPECT_TRUE(contains(error_of(file), "0x5ee")) << error_of(file);
}

TEST(Refusals, MetadataThatContradictsTheDescriptor) {
  Bytes file = object("probe-gfx942-v5.hsaco");
  const CodeObject code = parsed(file);
  const Segment& first = code.segments[0];
  const std::uint64_t at = code.kernels[0].descriptor_offset - first.offset + first.file_offset;
  set_at(&file, at, std::uint32_t{4096});  // group_segment_fixed_size
  EXPECT_TRUE(contains(error_of(file), "contradict")) << error_of(file);
}

TEST(Refusals, MetadataThatIsNotMetadata) {
  auto message = [](std::initializer_list<int> note) {
    Bytes bytes;
    for (int value : note) bytes.push_back(static_cast<std::byte>(value));
    const Result<Metadata> result = parse_metadata(bytes);
    return result ? std::string("(no error)") : result.error().message;
  };
  EXPECT_TRUE(contains(message({}), "MessagePack")) << message({});
  EXPECT_TRUE(contains(message({0xc1}), "MessagePack"));
  EXPECT_TRUE(contains(message({0x93, 1, 2, 3}), "not a map"));
  EXPECT_TRUE(contains(message({0x80}), "amdhsa.version"));
  // A list that claims 4 G elements in a note of 5 bytes, and maps 40 deep.
  EXPECT_TRUE(contains(message({0xdd, 0xff, 0xff, 0xff, 0xff}), "MessagePack"));
  Bytes deep(40, std::byte{0x91});
  deep.push_back(std::byte{0});
  EXPECT_FALSE(parse_metadata(deep));
}

// Whatever is missing or wrong: an error or a code object that can be loaded, never worse. (Under
// the sanitizers this finds every unchecked read.)
void survive(const Bytes& file) {
  const Result<CodeObject> result = parse_code_object(file, nullptr);
  if (!result) {
    EXPECT_FALSE(result.error().message.empty());
    return;
  }
  if (result->image_bytes > (std::uint64_t{1} << 20)) return;
  Bytes image(result->image_bytes);
  (void)result->load(image, kLoadAddress);
  for (const KernelInfo& kernel : result->kernels) {
    if (kernel.kernarg_size > (1u << 20)) continue;
    Bytes block(kernel.kernarg_size);
    EXPECT_TRUE(fill_hidden_arguments(kernel, HiddenValues{}, block));
  }
}

TEST(Damage, EveryTruncation) {
  for (const char* name : {"data-gfx942.hsaco", "probe-gfx1100-v5.hsaco"}) {
    const Bytes whole = object(name);
    const std::uint64_t loaded = [&] {
      std::uint64_t end = 0;
      for (const Segment& s : parsed(whole).segments)
        end = std::max(end, s.file_offset + s.file_bytes);
      return end;
    }();
    for (std::size_t bytes = 0; bytes < whole.size(); bytes++) {
      // A copy of its own, so that a read behind it is a read behind an allocation.
      const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
      survive(part);
      EXPECT_TRUE(bytes >= loaded || !parse_code_object(part, nullptr)) << bytes;
    }
  }
}

TEST(Damage, EveryByteOfTheTables) {
  const Bytes whole = object("data-gfx942.hsaco");
  const std::size_t tables = std::min<std::size_t>(whole.size(), 4096);
  for (std::size_t at = 0; at < tables; at++) {
    for (int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      Bytes file = whole;
      file[at] = static_cast<std::byte>(value);
      survive(file);
    }
  }
}

TEST(Bundles, TheRightEntryIsPicked) {
  const Bytes file = object("data.bundle");
  for (const DeviceIsa& device : {kMi300x, kNavi31}) {
    const Result<CodeObject> code = open_code_object(file, device);
    ASSERT_TRUE(code) << code.error().message;
    EXPECT_EQ(code->target.ip, device.ip);
  }
  for (bool xnack : {false, true}) {
    const Result<CodeObject> code = open_code_object(file, DeviceIsa{{9, 0, 10}, xnack, true});
    ASSERT_TRUE(code) << code.error().message;
    EXPECT_EQ(to_string(code->target), xnack ? "gfx90a:xnack+" : "gfx90a:xnack-");
  }
}

TEST(Bundles, NoEntryFits) {
  const Result<CodeObject> code =
      open_code_object(object("data.bundle"), DeviceIsa{{12, 0, 1}, {}, {}});
  ASSERT_FALSE(code);
  EXPECT_TRUE(contains(code.error().message, "gfx1201")) << code.error().message;
  EXPECT_TRUE(contains(code.error().message, "gfx90a:xnack-")) << code.error().message;
}

TEST(Bundles, CompressedOnesAreRefusedWithTheWayOut) {
  const Result<CodeObject> code = open_code_object(object("data.compressed"), kMi300x);
  ASSERT_FALSE(code);
  EXPECT_TRUE(contains(code.error().message, "clang-offload-bundler")) << code.error().message;
}

TEST(Bundles, BareObjectsPassThroughAndOthersDoNot) {
  EXPECT_TRUE(open_code_object(object("data-gfx942.hsaco"), kMi300x));
  EXPECT_FALSE(open_code_object(Bytes(100), kMi300x));
  EXPECT_FALSE(open_code_object({}, kMi300x));
}

TEST(Bundles, EveryTruncationOfTheTable) {
  const Bytes whole = object("data.bundle");
  for (std::size_t bytes = 0; bytes < 600; bytes++) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_FALSE(select_code_object(part, kMi300x)) << bytes;
  }
  Bytes huge = whole;
  set_at(&huge, 24, ~std::uint64_t{0});
  EXPECT_FALSE(select_code_object(huge, kMi300x));
}

TEST(TargetIds, TextAndFlags) {
  // e_flags: facts of LLVM's ELF.h: 0x4c | xnack any | sramecc any.
  EXPECT_EQ(to_string(*target_id_from_flags(0x54c)), "gfx942");
  EXPECT_EQ(to_string(*target_id_from_flags(0xd4c)), "gfx942:sramecc+");
  EXPECT_EQ(to_string(*target_id_from_flags(0x04c | 2 << 8 | 2 << 10)), "gfx942:sramecc-:xnack-");
  EXPECT_EQ(to_string(*target_id_from_flags(0x041)), "gfx1100");
  EXPECT_FALSE(target_id_from_flags(0x0ff));
  EXPECT_TRUE(parse_target_id("gfx90a:sramecc+:xnack-"));
  EXPECT_EQ(parse_target_id("gfx9-4-generic")->generic_version, 1);
  for (const char* bad :
       {"", "gfx", "gfx942:", "gfx942:xnack", "gfx942:colour+", "sm_90", ":xnack+"})
    EXPECT_FALSE(parse_target_id(bad)) << bad;
}

}  // namespace
}  // namespace kiln::gpu

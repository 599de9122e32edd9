// Owns: kiln-demo: every kernel of tests/kernels on a GPU, verified, as a table; and its self-test.
// Does not own: running a case (case_runner.*).
// Threading: one thread.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "case_runner.hpp"
#include "session.hpp"

namespace {

namespace kernels = kiln::kernels;

std::string extent(const kernels::Extent& e) {
  return std::to_string(e.x) + "x" + std::to_string(e.y) + "x" + std::to_string(e.z);
}

std::vector<std::byte> code_of(const std::string& directory, const std::string& target,
                               const std::string& name) {
  return tools::read_file(directory + "/" + target + "/" + name + ".hsaco");
}

/// Where a kernel is not what its name says.
const char* remark(const std::string& target, const std::string& name) {
  return target.starts_with("gfx10") && name == "matmul_matrix"
             ? " (no matrix cores: by dot products)"
             : "";
}

struct Tally {
  int verified = 0, mismatched = 0, unsupported = 0;
  std::uint64_t instructions = 0;
  double seconds = 0;
};

/// One GPU: all kernels. A failure ends only its own row: the device is made anew after one.
Tally run_all(tools::Instance& instance, KilnPhysicalDevice gpu, const std::string& directory) {
  Tally tally;
  auto device = std::make_unique<tools::Device>(instance, gpu);
  const std::string target = device->properties().targetName;
  std::printf("%-16s %-8s %-13s %-11s %7s %13s %10s %10s\n", "kernel", "target", "grid (threads)",
              "block", "dwords", "wave-instr.", "record us", "submit us");
  for (const kernels::KernelCase& c :
       kernels::kernel_cases({device->properties().defaultWaveSize, 1})) {
    std::printf("%-16s %-8s %-14s %-11s ", c.name.c_str(), target.c_str(),
                extent(c.threads).c_str(), extent(c.block).c_str());
    try {
      const auto begin = std::chrono::steady_clock::now();
      const tools::CaseRun run = tools::run_case(*device, c, code_of(directory, target, c.name));
      tally.seconds +=
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      tally.instructions += run.wave_instructions;
      std::printf("%7llu %13s %10.1f %10.1f  ", static_cast<unsigned long long>(run.stream_dwords),
                  run.wave_instructions != 0 ? std::to_string(run.wave_instructions).c_str() : "-",
                  run.record_us, run.submit_us);
      if (run.mismatch) {
        std::printf("%s: MISMATCH\n", run.mismatch->c_str());
        ++tally.mismatched;
      } else {
        std::printf("verified%s\n", remark(target, c.name));
        ++tally.verified;
      }
    } catch (const std::exception& error) {
      std::printf("unsupported: %s: %s\n", c.name.c_str(), error.what());
      ++tally.unsupported;
      device.reset();
      device = std::make_unique<tools::Device>(instance, gpu);
    }
    std::fflush(stdout);
  }
  return tally;
}

/// Turns vector_add's addition into a subtraction: VOP2 opcodes 1 and 2 on CDNA, 3 and 4 on RDNA
/// (AMD ISA documents, V_ADD_F32 and V_SUB_F32).
void corrupt_instruction(std::vector<std::byte>& code) {
  auto read = [&]<class T>(std::size_t at, T) {
    T value;
    std::memcpy(&value, code.data() + at, sizeof value);
    return value;
  };
  // ELF64: e_phoff 0x20, e_flags 0x30, e_phnum 0x38; EF_AMDGPU_MACH_AMDGCN_GFX90A is 0x3f, _GFX942
  // 0x4c.
  const std::uint32_t machine = read(0x30, 0u) & 0xff;
  const bool cdna = machine == 0x3f || machine == 0x4c;
  const std::uint32_t add = (cdna ? 1u : 3u) << 25, sub = (cdna ? 2u : 4u) << 25;
  const std::size_t headers = read(0x20, std::uint64_t{});
  for (std::size_t i = 0; i < read(0x38, std::uint16_t{}); ++i) {
    const std::size_t header = headers + i * 56;  // p_type 0, p_flags 4, p_offset 8, p_filesz 32
    constexpr std::uint32_t kLoad = 1, kExecutable = 1;
    if (read(header, 0u) != kLoad || (read(header + 4, 0u) & kExecutable) == 0) continue;
    const std::size_t begin = read(header + 8, std::uint64_t{}),
                      size = read(header + 32, std::uint64_t{});
    for (std::size_t at = begin; at + 4 <= begin + size; at += 4) {
      const std::uint32_t dword = read(at, 0u);
      if ((dword & 0xfe000000u) != add) continue;
      const std::uint32_t changed = (dword & 0x01ffffffu) | sub;
      std::memcpy(code.data() + at, &changed, 4);
      return;
    }
  }
}

void corrupt_input(kernels::KernelCase& c) {
  c.buffers[0].initial[4 * 100 + 2] ^= std::byte{0x40};
}

/// True if the corruption was noticed.
bool report(const char* what, const tools::CaseRun* run, const char* error) {
  const bool noticed = error != nullptr || run->mismatch.has_value();
  std::printf("self-test, %-24s %s\n", what,
              error != nullptr ? (std::string("noticed: ") + error).c_str()
              : run->mismatch  ? ("noticed: MISMATCH " + *run->mismatch).c_str()
                               : "NOT NOTICED");
  return noticed;
}

template <class Run>
bool attempt(const char* what, Run run) {
  try {
    const tools::CaseRun result = run();
    return report(what, &result, nullptr);
  } catch (const std::exception& error) {
    return report(what, nullptr, error.what());
  }
}

int self_test(const std::string& virtual_gpu, const std::string& directory) {
  auto vector_add = [&](const std::string& spec, const tools::CaseFaults& faults) {
    tools::Instance instance(spec.c_str());
    if (!instance.ok() || instance.gpus().empty())
      throw tools::Failure(VK_ERROR_UNKNOWN, instance.error());
    // A deadline, since a corrupted stream may well never end.
    tools::Device device(instance, instance.gpus()[0], 2'000'000'000);
    const auto cases = kernels::kernel_cases({device.properties().defaultWaveSize, 1});
    return tools::run_case(device, cases[0],
                           code_of(directory, device.properties().targetName, cases[0].name),
                           faults);
  };
  bool ok = !vector_add(virtual_gpu, {}).mismatch;
  std::printf("self-test, %-24s %s\n", "nothing changed:", ok ? "verified" : "MISMATCH");
  ok &= attempt("one dword of a stream:",
                [&] { return vector_add(virtual_gpu + ",flip-dispatch", {}); });
  ok &= attempt("one instruction:",
                [&] { return vector_add(virtual_gpu, {&corrupt_instruction, nullptr}); });
  ok &= attempt("one input:", [&] { return vector_add(virtual_gpu, {nullptr, &corrupt_input}); });
  std::printf("%s\n", ok ? "self-test passed" : "SELF-TEST FAILED");
  return ok ? 0 : 1;
}

int run(int argc, char** argv) {
  CLI::App app{"Runs every demonstration kernel and checks all outputs against the CPU."};
  std::string directory = KILN_KERNEL_DIRECTORY;
  std::vector<std::string> virtual_gpus{"mi300x", "mi210", "navi31", "navi21"};
  bool want_self_test = false;
  app.add_option("--kernels", directory, "folder with <target>/<kernel>.hsaco");
  app.add_option("--virtual", virtual_gpus, "virtual GPUs to use where no real one opens")
      ->delimiter(';');
  app.add_flag("--self-test", want_self_test,
               "corrupt a stream, an instruction and an input, and expect each to show");
  CLI11_PARSE(app, argc, argv);
  if (want_self_test) {
    int failed = 0;
    for (const std::string& gpu : virtual_gpus) failed |= self_test(gpu, directory);
    return failed;
  }

  // Real ones first, if there are any; else virtual ones.
  std::vector<std::unique_ptr<tools::Instance>> instances;
  instances.push_back(std::make_unique<tools::Instance>());
  if (instances[0]->ok() && instances[0]->gpus().empty()) {
    instances.clear();
    for (const std::string& gpu : virtual_gpus)
      instances.push_back(std::make_unique<tools::Instance>(gpu.c_str()));
  }
  Tally total;
  for (auto& instance : instances) {
    if (!instance->ok()) throw tools::Failure(VK_ERROR_UNKNOWN, instance->error());
    for (KilnPhysicalDevice gpu : instance->gpus()) {
      KilnPhysicalDeviceProperties properties{};
      properties.sType = KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES;
      kilnGetPhysicalDeviceProperties(gpu, &properties);
      std::printf("%s GPU: %s (%s, %u XCC, %u CUs), driver %s\n",
                  properties.isVirtual ? "virtual" : "real", properties.deviceName,
                  properties.targetName, properties.xccCount, properties.computeUnitCount,
                  properties.driverName);
      const Tally tally = run_all(*instance, gpu, directory);
      total.verified += tally.verified;
      total.mismatched += tally.mismatched;
      total.unsupported += tally.unsupported;
      total.instructions += tally.instructions;
      total.seconds += tally.seconds;
    }
  }
  std::printf("%d verified, %d mismatched, %d unsupported\n", total.verified, total.mismatched,
              total.unsupported);
  if (total.instructions > 0)
    std::printf("virtual GPU: %.1f million wave-instructions, %.1f million a second\n",
                static_cast<double>(total.instructions) / 1e6,
                static_cast<double>(total.instructions) / 1e6 / total.seconds);
  return total.mismatched + total.unsupported == 0 && total.verified > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kiln-demo: %s\n", error.what());
    return 1;
  }
}

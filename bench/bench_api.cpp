// Owns: the benchmark program: which GPUs its rows run on, and what its output says of them.
// Does not own: the rows.
// Threading: one thread.
//
// With KILN_VGPU set rows run on that machine's first GPU; else on the first real GPU; without one
// on both virtual ones. Real and virtual numbers never stand in one output.
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <list>

#include "stand.hpp"

namespace bench {
namespace {

std::list<GpuChoice> find_gpus() {
  const char* wish = std::getenv("KILN_VGPU");
  std::list<GpuChoice> choices;
  auto look = [&](const char* spec) {
    tools::Instance instance(spec);
    if (!instance.ok()) throw tools::Failure(VK_ERROR_INITIALIZATION_FAILED, instance.error());
    if (instance.gpus().empty()) return false;
    auto properties =
        make<KilnPhysicalDeviceProperties>(KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES);
    instance.check(kilnGetPhysicalDeviceProperties(instance.gpus().front(), &properties),
                   "reading the GPU's properties");
    choices.push_back({properties.targetName, spec != nullptr ? spec : "", properties.deviceName,
                       properties.isVirtual == VK_TRUE});
    return true;
  };
  if (look(wish)) return choices;
  for (const char* name : {"mi300x", "navi31"}) look(name);
  return choices;
}

void system_call(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(syscall(SYS_getppid));
}

void run(int argc, char** argv) {
  const std::list<GpuChoice> gpus = find_gpus();
  std::string names;
  for (const GpuChoice& gpu : gpus) names += (names.empty() ? "" : "; ") + gpu.description;
  benchmark::AddCustomContext("gpu", names);
  benchmark::AddCustomContext("virtual", gpus.front().is_virtual ? "yes" : "no");
  if (!cost_of(1, [] {}).system_calls)
    benchmark::AddCustomContext("system_calls", "not counted: no seccomp notifications here");

  // What rows of this run are compared with.
  benchmark::RegisterBenchmark("peer/getppid", system_call);
  for (const GpuChoice& gpu : gpus) {
    add_record_rows(gpu);
    add_submit_rows(gpu);
    add_device_rows(gpu);
    add_execution_rows(gpu);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) exit(2);
  benchmark::RunSpecifiedBenchmarks();
  close_stand();
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    bench::run(argc, argv);
  } catch (const std::exception& failure) {
    fprintf(stderr, "kiln-bench: %s\n", failure.what());
    return 1;
  }
  return bench::failed_rows() == 0 ? 0 : 1;
}

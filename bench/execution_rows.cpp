// Owns: rows that run whole kernels: on a virtual GPU how many wave-instructions a second it
//   executes, and the wall time of a large matrix multiplication.
// Does not own: the kernels and their checks (tests/kernels).
// Threading: one thread; a virtual GPU executes on threads of its own.
#include <algorithm>
#include <cstring>

#include "case_runner.hpp"
#include "stand.hpp"

namespace bench {
namespace {

namespace kernels = kiln::kernels;

/// A case whose buffers are on the GPU and whose dispatch is recorded: it can run again and again.
class Launch {
 public:
  Launch(Stand& stand, const kernels::KernelCase& the_case)
      : stand_(stand), commands_(stand, 1), timeline_(stand.semaphore()) {
    std::vector<std::uint64_t> addresses;
    for (const kernels::Buffer& buffer : the_case.buffers) {
      buffers_.push_back(stand.device().allocate(buffer.initial.size(), tools::kDeviceVisible));
      std::memcpy(buffers_.back().host, buffer.initial.data(), buffer.initial.size());
      addresses.push_back(buffers_.back().address);
    }
    const kernels::Bytes arguments = the_case.pack_arguments(addresses);
    const kernels::Extent groups = the_case.groups(), block = the_case.block,
                          threads = the_case.threads;
    auto info = make<KilnDispatchInfo>(KILN_STRUCTURE_TYPE_DISPATCH_INFO);
    info.kernel = stand.kernel(the_case.name.c_str(), the_case.kernel.c_str());
    std::ranges::copy(std::initializer_list{groups.x, groups.y, groups.z}, info.workgroupCount);
    std::ranges::copy(std::initializer_list{block.x, block.y, block.z}, info.workgroupSize);
    std::ranges::copy(std::initializer_list{threads.x, threads.y, threads.z}, info.threadCount);
    info.dynamicLdsBytes = the_case.dynamic_lds;
    info.argumentsSize = arguments.size();
    info.pArguments = arguments.data();
    stand.begin(commands_[0]);
    stand.check(kilnCmdDispatch(commands_[0], &info), "recording a dispatch");
    stand.end(commands_[0]);
  }

  void run() {
    stand_.submit(stand_.queue(false), {}, commands_[0], {timeline_, ++value_});
    stand_.wait(timeline_, value_);
  }

 private:
  Stand& stand_;
  std::vector<tools::Buffer> buffers_;
  CommandBuffers commands_;
  KilnSemaphore timeline_;
  std::uint64_t value_ = 0;
};

/// The first run of a kernel is checked; speed without right results is worth nothing.
void execute(Row& row, const kernels::KernelCase& the_case) {
  const tools::CaseRun checked =
      tools::run_case(row.stand.device(), the_case, row.stand.code_object(the_case.name.c_str()));
  if (checked.mismatch) throw tools::Failure(VK_ERROR_UNKNOWN, *checked.mismatch);
  Launch launch(row.stand, the_case);
  double spent = 0;
  const std::uint64_t executed_before = tools::wave_instructions();
  row.time(
      1,
      [&](std::uint32_t) {
        const auto begin = Clock::now();
        launch.run();
        spent += seconds(begin, Clock::now());
      },
      [] {});
  const auto executed = static_cast<double>(tools::wave_instructions() - executed_before);
  if (executed == 0) return;  // a real GPU does not tell
  row.counter("wave_instructions", executed / static_cast<double>(row.state.iterations()));
  row.counter("wave_instructions_per_second", executed / spent);
}

kernels::KernelCase find_case(const char* name, std::uint32_t wave_size) {
  // Large enough that starting up does not count.
  for (kernels::KernelCase& each : kernels::kernel_cases({wave_size, 8}))
    if (each.name == name) return std::move(each);
  throw tools::Failure(VK_ERROR_UNKNOWN, std::string("no kernel case is called ") + name);
}

}  // namespace

void add_execution_rows(const GpuChoice& gpu) {
  for (const char* name : {"vector_add", "hash_i64", "nbody", "mandelbrot", "convolution",
                           "histogram", "dot_f64", "matmul_matrix"})
    add_row(gpu, std::string("execute/") + name, [name](Row& row) {
      execute(row, find_case(name, row.stand.device().properties().defaultWaveSize));
    })->Unit(benchmark::kMillisecond);
  add_row(gpu, "execute/matmul_lds_512x512x512",
          [](Row& row) { execute(row, kernels::matmul_lds_case(512, 512, 512)); })
      ->Unit(benchmark::kMillisecond)
      ->Iterations(3);
}

}  // namespace bench

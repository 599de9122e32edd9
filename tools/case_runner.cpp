#include "case_runner.hpp"

#include <dlfcn.h>

#include <chrono>
#include <cstring>

namespace tools {
namespace {

namespace kernels = kiln::kernels;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kTimeoutNs = 120'000'000'000;

double microseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::micro>(to - from).count();
}

/// Buffers of a case in device memory, and one host buffer that they are copied through.
struct Placement {
  Buffer staging, times;
  std::vector<Buffer> buffers;
  std::vector<std::size_t> offsets;  // of each buffer, then of each global read, in `staging`
  std::vector<std::uint64_t> addresses;
};

Placement place(Device& device, const kernels::KernelCase& c) {
  Placement placement;
  std::size_t total = 0;
  auto reserve = [&](std::size_t size) {
    placement.offsets.push_back(total);
    total += (size + 63) / 64 * 64;
  };
  for (const kernels::Buffer& buffer : c.buffers) reserve(buffer.initial.size());
  for (const kernels::GlobalRead& read : c.global_reads) reserve(read.bytes);
  for (const kernels::GlobalWrite& write : c.global_writes) reserve(write.value.size());
  placement.staging = device.allocate(total + 64, kHostCached);
  placement.times = device.allocate(64, kHostUncached);
  for (std::size_t i = 0; i < c.buffers.size(); ++i) {
    const kernels::Bytes& initial = c.buffers[i].initial;
    placement.buffers.push_back(device.allocate(initial.size(), kDeviceLocal));
    placement.addresses.push_back(placement.buffers.back().address);
    std::memcpy(placement.staging.host + placement.offsets[i], initial.data(), initial.size());
  }
  return placement;
}

VkDeviceAddress global_address(Device& device, KilnModule module, const std::string& name) {
  VkDeviceAddress address = 0;
  VkDeviceSize size = 0;
  device.check(kilnGetModuleGlobal(module, name.c_str(), &address, &size), "finding a global");
  return address;
}

}  // namespace

std::uint64_t wave_instructions() {
  void* engine = dlopen("libkiln-vgpu-engine.so.0", RTLD_NOW | RTLD_NOLOAD);
  if (engine == nullptr) return 0;
  auto count = reinterpret_cast<std::uint64_t (*)()>(dlsym(engine, "kiln_vgpu_wave_instructions"));
  const std::uint64_t executed = count != nullptr ? count() : 0;
  dlclose(engine);
  return executed;
}

CaseRun run_case(Device& device, kernels::KernelCase c, std::vector<std::byte> code_object,
                 const CaseFaults& faults) {
  if (faults.code != nullptr) faults.code(code_object);
  Placement placement = place(device, c);
  if (faults.input != nullptr) {
    kernels::KernelCase changed = c;
    faults.input(changed);
    for (std::size_t i = 0; i < c.buffers.size(); ++i)
      std::memcpy(placement.staging.host + placement.offsets[i], changed.buffers[i].initial.data(),
                  changed.buffers[i].initial.size());
  }
  KilnModule module = device.load(code_object);
  KilnKernel kernel = device.kernel(module, c.kernel.c_str());
  const bool sdma = device.has_sdma();
  const std::size_t first_write = c.buffers.size() + c.global_reads.size();

  // In: the DMA engine copies inputs and sets globals.
  KilnCommandBuffer in = device.begin(sdma);
  auto copy = [&](KilnCommandBuffer commands, VkDeviceAddress to, VkDeviceAddress from,
                  std::size_t size) {
    device.check(kilnCmdCopyMemory(commands, to, from, size), "recording a copy");
  };
  for (std::size_t i = 0; i < c.buffers.size(); ++i)
    copy(in, placement.addresses[i], placement.staging.address + placement.offsets[i],
         c.buffers[i].initial.size());
  for (std::size_t i = 0; i < c.global_writes.size(); ++i) {
    const kernels::Bytes& value = c.global_writes[i].value;
    const std::size_t offset = placement.offsets[first_write + i];
    std::memcpy(placement.staging.host + offset, value.data(), value.size());
    copy(in, global_address(device, module, c.global_writes[i].symbol),
         placement.staging.address + offset, value.size());
  }
  std::uint64_t done = device.submit(in, sdma);
  // The same command buffer is recorded again below where there is no DMA engine.
  if (!sdma) device.wait(done, kTimeoutNs);

  // The kernel.
  CaseRun run;
  const std::uint64_t executed_before = wave_instructions();
  const kernels::Bytes arguments = c.pack_arguments(placement.addresses);
  const kernels::Extent groups = c.groups();
  KilnDispatchInfo info{};
  info.sType = KILN_STRUCTURE_TYPE_DISPATCH_INFO;
  info.kernel = kernel;
  const std::uint32_t group_counts[3] = {groups.x, groups.y, groups.z},
                      sizes[3] = {c.block.x, c.block.y, c.block.z},
                      threads[3] = {c.threads.x, c.threads.y, c.threads.z};
  for (int i = 0; i < 3; ++i) {
    info.workgroupCount[i] = group_counts[i];
    info.workgroupSize[i] = sizes[i];
    info.threadCount[i] = threads[i];
  }
  info.dynamicLdsBytes = c.dynamic_lds;
  info.argumentsSize = arguments.size();
  info.pArguments = arguments.data();

  const auto begin = Clock::now();
  KilnCommandBuffer compute = device.begin();
  device.check(kilnCmdWriteTimestamp(compute, placement.times.address), "recording a timestamp");
  device.check(kilnCmdDispatch(compute, &info), "recording the dispatch");
  device.check(kilnCmdBarrier(compute, nullptr), "recording a barrier");
  device.check(kilnCmdWriteTimestamp(compute, placement.times.address + 32),
               "recording a timestamp");
  const auto recorded = Clock::now();
  done = device.submit(compute, false, done);
  const auto submitted = Clock::now();
  KilnCommandBufferStatistics statistics{};
  statistics.sType = KILN_STRUCTURE_TYPE_COMMAND_BUFFER_STATISTICS;
  device.check(kilnGetCommandBufferStatistics(compute, &statistics), "reading statistics");
  run.stream_dwords = statistics.streamDwords;
  run.record_us = microseconds(begin, recorded);
  run.submit_us = microseconds(recorded, submitted);

  // Out: wait for the kernel on the GPU, not on the host.
  if (!sdma)
    device.wait(done, kTimeoutNs);
  else
    device.wait(done - 1, kTimeoutNs);  // the first SDMA command buffer is recorded again
  KilnCommandBuffer out = device.begin(sdma);
  for (std::size_t i = 0; i < c.buffers.size(); ++i)
    copy(out, placement.staging.address + placement.offsets[i], placement.addresses[i],
         c.buffers[i].initial.size());
  for (std::size_t i = 0; i < c.global_reads.size(); ++i)
    copy(out, placement.staging.address + placement.offsets[c.buffers.size() + i],
         global_address(device, module, c.global_reads[i].symbol), c.global_reads[i].bytes);
  done = device.submit(out, sdma, done);
  device.wait(done, kTimeoutNs);
  run.wave_instructions = wave_instructions() - executed_before;

  std::uint64_t times[2];
  std::memcpy(&times[0], placement.times.host, 8);
  std::memcpy(&times[1], placement.times.host + 32, 8);
  run.device_us = static_cast<double>(times[1] - times[0]) * 1e6 /
                  static_cast<double>(device.properties().timestampFrequencyHz);

  kernels::Outputs outputs;
  for (std::size_t i = 0; i < c.buffers.size(); ++i) {
    const std::byte* from = placement.staging.host + placement.offsets[i];
    outputs.buffers.emplace_back(from, from + c.buffers[i].initial.size());
  }
  for (std::size_t i = 0; i < c.global_reads.size(); ++i) {
    const std::byte* from = placement.staging.host + placement.offsets[c.buffers.size() + i];
    outputs.globals.emplace_back(from, from + c.global_reads[i].bytes);
  }
  run.mismatch = c.verify(outputs);
  device.unload(module);
  return run;
}

}  // namespace tools

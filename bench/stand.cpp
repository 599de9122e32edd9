#include "stand.hpp"

#include <exception>
#include <utility>

namespace bench {
namespace {

int failures = 0;

std::unique_ptr<Stand> open_stand;
const GpuChoice* open_choice = nullptr;

/// Only one GPU is open at a time: an idle virtual GPU still wakes up to look at its doorbells.
Stand& stand_for(const GpuChoice& choice) {
  if (open_choice != &choice) {
    close_stand();
    open_stand = std::make_unique<Stand>(choice);
    open_choice = &choice;
  }
  return *open_stand;
}

}  // namespace

void close_stand() {
  open_stand.reset();
  open_choice = nullptr;
}

int failed_rows() {
  return failures;
}

Stand::Stand(const GpuChoice& choice)
    : instance_(choice.spec.empty() ? nullptr : choice.spec.c_str()) {
  if (!instance_.ok() || instance_.gpus().empty())
    throw tools::Failure(VK_ERROR_INITIALIZATION_FAILED,
                         choice.name + " does not open: " + instance_.error());
  device_ = std::make_unique<tools::Device>(instance_, gpu());
  target_ = device_->properties().targetName;
  for (std::uint32_t family = 0; family < (device_->has_sdma() ? 2u : 1u); ++family) {
    auto info = make<KilnCommandPoolCreateInfo>(KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
    info.queueFamilyIndex = family;
    check(kilnCreateCommandPool(device_->handle(), &info, nullptr, &pools_[family]),
          "making a command pool");
  }
}

Stand::~Stand() {
  if (device_ == nullptr) return;
  (void)kilnDeviceWaitIdle(device_->handle());
  for (KilnSemaphore semaphore : semaphores_)
    kilnDestroySemaphore(device_->handle(), semaphore, nullptr);
  for (KilnCommandPool pool : pools_) kilnDestroyCommandPool(device_->handle(), pool, nullptr);
  for (const auto& [file, module] : modules_) device_->unload(module);
}

std::vector<std::byte> Stand::code_object(const char* file) const {
  return tools::read_file(std::string(KILN_KERNEL_DIRECTORY) + "/" + target_ + "/" + file +
                          ".hsaco");
}

KilnKernel Stand::kernel(const char* file, const char* name) {
  auto found = modules_.find(file);
  if (found == modules_.end())
    found = modules_.emplace(file, device_->load(code_object(file))).first;
  return device_->kernel(found->second, name);
}

KilnCommandBufferStatistics Stand::statistics(KilnCommandBuffer commands) {
  auto statistics =
      make<KilnCommandBufferStatistics>(KILN_STRUCTURE_TYPE_COMMAND_BUFFER_STATISTICS);
  check(kilnGetCommandBufferStatistics(commands, &statistics), "reading statistics");
  return statistics;
}

KilnSemaphore Stand::semaphore(VkFlags flags) {
  auto info = make<KilnSemaphoreCreateInfo>(KILN_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO);
  info.flags = flags;
  KilnSemaphore semaphore = nullptr;
  check(kilnCreateSemaphore(device_->handle(), &info, nullptr, &semaphore), "making a semaphore");
  semaphores_.push_back(semaphore);
  return semaphore;
}

void Stand::submit(KilnQueue queue, KilnSemaphoreValue wait, KilnCommandBuffer commands,
                   KilnSemaphoreValue signal) {
  auto info = make<KilnSubmitInfo>(KILN_STRUCTURE_TYPE_SUBMIT_INFO);
  info.waitCount = wait.semaphore != nullptr ? 1 : 0;
  info.pWaits = &wait;
  info.commandBufferCount = 1;
  info.pCommandBuffers = &commands;
  info.signalCount = signal.semaphore != nullptr ? 1 : 0;
  info.pSignals = &signal;
  check(kilnQueueSubmit(queue, 1, &info), "submitting");
}

void Stand::wait(KilnSemaphore semaphore, std::uint64_t value) {
  auto info = make<KilnSemaphoreWaitInfo>(KILN_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO);
  info.semaphoreCount = 1;
  info.pSemaphores = &semaphore;
  info.pValues = &value;
  check(kilnWaitSemaphores(device_->handle(), &info, 120'000'000'000), "waiting for the GPU");
}

CommandBuffers::CommandBuffers(Stand& stand, std::uint32_t count, bool sdma)
    : stand_(stand), pool_(stand.pool(sdma)), buffers_(count) {
  auto info = make<KilnCommandBufferAllocateInfo>(KILN_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
  info.commandPool = pool_;
  info.commandBufferCount = count;
  stand.check(kilnAllocateCommandBuffers(stand.device().handle(), &info, buffers_.data()),
              "making command buffers");
}

CommandBuffers::~CommandBuffers() {
  const KilnDevice device = stand_.device().handle();
  (void)kilnDeviceWaitIdle(device);
  kilnFreeCommandBuffers(device, pool_, static_cast<std::uint32_t>(buffers_.size()),
                         buffers_.data());
}

VectorAdd::VectorAdd(Stand& stand)
    : stand_(stand), data_(stand.device().allocate(1 << 20, tools::kDeviceLocal)) {
  info_.sType = KILN_STRUCTURE_TYPE_DISPATCH_INFO;
  info_.kernel = stand.kernel("vector_add", "vector_add");
  for (int i = 0; i < 3; ++i) info_.workgroupCount[i] = info_.workgroupSize[i] = 1;
  info_.workgroupSize[0] = 256;
  info_.argumentsSize = 28;  // three addresses and a count
  info_.pArguments = &arguments_;
  arguments_ = {data_.address, data_.address + 0x40000, data_.address + 0x80000, 256};
}

void VectorAdd::record(KilnCommandBuffer commands) {
  const VkDeviceAddress offset = (arguments_.a - data_.address + 1024) % 0x40000;
  arguments_.a = data_.address + offset;
  arguments_.b = data_.address + 0x40000 + offset;
  arguments_.c = data_.address + 0x80000 + offset;
  stand_.check(kilnCmdDispatch(commands, &info_), "recording a dispatch");
}

void Row::count(std::uint32_t repeats, const std::function<void()>& operation, bool must_be_free) {
  const Cost cost = cost_of(repeats, operation);
  counter("allocations", cost.allocations);
  if (cost.system_calls) counter("system_calls", *cost.system_calls);
  if (must_be_free && (cost.allocations != 0 || cost.system_calls.value_or(0) != 0))
    throw tools::Failure(VK_ERROR_UNKNOWN, "it should make no system call and no allocation");
}

void Row::compare(const char* name, const std::function<void()>& peer) {
  constexpr int kBatches = 50, kRepeats = 500;
  double best = std::numeric_limits<double>::infinity();
  for (int batch = 0; batch < kBatches; ++batch) {
    const auto begin = Clock::now();
    for (int i = 0; i < kRepeats; ++i) peer();
    best = std::min(best, seconds(begin, Clock::now()) / kRepeats);
  }
  counter(name, best_ / best);
}

benchmark::internal::Benchmark* add_row(const GpuChoice& gpu, const std::string& name,
                                        std::function<void(Row&)> body) {
  auto run = [&gpu, body = std::move(body)](benchmark::State& state) {
    try {
      Row row(state, stand_for(gpu));
      body(row);
      state.SetLabel(gpu.is_virtual ? "virtual" : "real");
    } catch (const std::exception& failure) {
      ++failures;
      state.SkipWithError(failure.what());
    }
  };
  return benchmark::RegisterBenchmark((name + "/" + gpu.name).c_str(), run)->UseManualTime();
}

}  // namespace bench

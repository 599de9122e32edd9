// Owns: the GPU that rows run on: one device at a time, its kernels, command buffers and timelines;
//   how a row is registered, timed in batches and given its counters.
// Does not own: the rows.
// Threading: one thread.
#pragma once

#include <benchmark/benchmark.h>
#include <kiln/kiln.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cost.hpp"
#include "session.hpp"

namespace bench {

using Clock = std::chrono::steady_clock;

/// A structure with its sType set and everything else zero.
template <class T>
T make(KilnStructureType type) {
  T info{};
  info.sType = type;
  return info;
}

inline double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// What a row may run on: a virtual machine by its name, or the first real GPU.
struct GpuChoice {
  std::string name;         ///< in row names: "mi300x", "gfx1100"
  std::string spec;         ///< KilnInstanceCreateInfo::pVirtualGpu; empty: none
  std::string description;  ///< the product's name
  bool is_virtual = true;
};

class Stand {
 public:
  explicit Stand(const GpuChoice& choice);
  ~Stand();
  Stand(const Stand&) = delete;

  tools::Instance& instance() { return instance_; }
  KilnPhysicalDevice gpu() const { return instance_.gpus().front(); }
  tools::Device& device() { return *device_; }
  KilnQueue queue(bool sdma) { return sdma ? device_->sdma() : device_->compute(); }
  void check(VkResult result, const char* what) { instance_.check(result, what); }

  /// A kernel of tests/kernels, which stays loaded.
  KilnKernel kernel(const char* file, const char* name);
  std::vector<std::byte> code_object(const char* file) const;
  void begin(KilnCommandBuffer commands) {
    check(kilnBeginCommandBuffer(commands, nullptr), "beginning a command buffer");
  }
  void end(KilnCommandBuffer commands) {
    check(kilnEndCommandBuffer(commands), "ending a command buffer");
  }
  /// Ends what is being recorded, to record from the start again.
  void begin_again(KilnCommandBuffer commands) {
    end(commands);
    begin(commands);
  }
  KilnCommandPool pool(bool sdma) const { return pools_[sdma]; }
  KilnCommandBufferStatistics statistics(KilnCommandBuffer commands);

  KilnSemaphore semaphore(VkFlags flags = 0);
  /// Either of wait and signal may have a null semaphore; then there is none.
  void submit(KilnQueue queue, KilnSemaphoreValue wait, KilnCommandBuffer commands,
              KilnSemaphoreValue signal);
  void wait(KilnSemaphore semaphore, std::uint64_t value);

 private:
  std::string target_;
  tools::Instance instance_;
  std::unique_ptr<tools::Device> device_;
  std::map<std::string, KilnModule> modules_;
  KilnCommandPool pools_[2] = {};
  std::vector<KilnSemaphore> semaphores_;
};

/// Command buffers that free themselves once the GPU is done with them.
class CommandBuffers {
 public:
  CommandBuffers(Stand& stand, std::uint32_t count, bool sdma = false);
  ~CommandBuffers();
  CommandBuffers(const CommandBuffers&) = delete;
  KilnCommandBuffer operator[](std::size_t index) const { return buffers_[index]; }
  auto begin() const { return buffers_.begin(); }
  auto end() const { return buffers_.end(); }

 private:
  Stand& stand_;
  KilnCommandPool pool_;
  std::vector<KilnCommandBuffer> buffers_;
};

/// A vector addition of one block of 256, with four arguments: the dispatch that rows repeat.
class VectorAdd {
 public:
  explicit VectorAdd(Stand& stand);
  /// With arguments that no other call had.
  void record(KilnCommandBuffer commands);

 private:
  struct Arguments {
    VkDeviceAddress a, b, c;
    std::uint32_t count;
  };
  Stand& stand_;
  tools::Buffer data_;
  KilnDispatchInfo info_{};
  Arguments arguments_{};
};

/// One run of a row by Google Benchmark, on the GPU it is for.
class Row {
 public:
  Row(benchmark::State& state, Stand& stand) : state(state), stand(stand) {}

  benchmark::State& state;
  Stand& stand;

  void counter(const char* name, double value) { state.counters[name] = value; }
  /// Times `body` in batches of `batch` operations, with `between` untimed after each. The counter
  /// best_ns is the time of an operation in the quickest batch: what a busy machine changes least.
  template <class Body, class Between>
  void time(std::uint32_t batch, Body body, Between between) {
    while (state.KeepRunningBatch(batch)) {
      const auto begin = Clock::now();
      for (std::uint32_t i = 0; i < batch; ++i) body(i);
      const double took = seconds(begin, Clock::now());
      state.SetIterationTime(took);
      best_ = std::min(best_, took / batch);
      between();
    }
    counter("best_ns", best_ * 1e9);
  }
  /// Counts what an operation costs; `must_be_free`: the row fails if that is not nothing.
  void count(std::uint32_t repeats, const std::function<void()>& operation,
             bool must_be_free = false);
  /// Compares with a peer measured right now, best with best: counter `name` = this row's time /
  /// the peer's.
  void compare(const char* name, const std::function<void()>& peer);

 private:
  double best_ = std::numeric_limits<double>::infinity();  // seconds
};

/// Registers NAME/GPU, timed by Row::time.
benchmark::internal::Benchmark* add_row(const GpuChoice& gpu, const std::string& name,
                                        std::function<void(Row&)> body);
/// Rows that have failed in this process.
int failed_rows();
/// Closes the GPU that the last row used.
void close_stand();

void add_record_rows(const GpuChoice& gpu);
void add_submit_rows(const GpuChoice& gpu);
void add_device_rows(const GpuChoice& gpu);
void add_execution_rows(const GpuChoice& gpu);

}  // namespace bench

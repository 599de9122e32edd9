// Owns: rows that submit and wait, on one queue and across queues, and timelines on the host.
// Does not own: recording (record_rows.cpp).
// Threading: one thread.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stand.hpp"

namespace bench {
namespace {

/// Submissions in a row before the host waits for them: far below what a ring holds.
constexpr std::uint32_t kBatch = 64;
/// Of rows that only submit: the untimed wait for the GPU takes far longer than what is timed, so
/// the number is not left to the time.
constexpr std::uint32_t kSubmissions = 200 * kBatch;

void compare_with_getppid(Row& row) {
  row.compare("x_getppid", [] { benchmark::DoNotOptimize(syscall(SYS_getppid)); });
}

/// What queues are given to run: a small vector addition, or a copy of 4 KiB.
class Work {
 public:
  explicit Work(Stand& stand)
      : stand_(stand),
        vector_add_(stand),
        data_(stand.device().allocate(8192, tools::kDeviceLocal)) {}

  void record(KilnCommandBuffer commands, bool sdma) {
    stand_.begin(commands);
    if (sdma)
      stand_.check(kilnCmdCopyMemory(commands, data_.address + 4096, data_.address, 4096),
                   "recording a copy");
    else
      vector_add_.record(commands);
  }

 private:
  Stand& stand_;
  VectorAdd vector_add_;
  tools::Buffer data_;
};

void submit_prerecorded(Row& row, bool sdma) {
  Stand& stand = row.stand;
  Work work(stand);
  CommandBuffers commands(stand, 1, sdma);
  work.record(commands[0], sdma);
  stand.end(commands[0]);
  const KilnSemaphore timeline = stand.semaphore();
  const KilnQueue queue = stand.queue(sdma);
  std::uint64_t value = 0;
  auto submit = [&] { stand.submit(queue, {}, commands[0], {timeline, ++value}); };
  auto before = make<KilnQueueStatistics>(KILN_STRUCTURE_TYPE_QUEUE_STATISTICS), after = before;
  stand.check(kilnGetQueueStatistics(queue, &before), "reading statistics");
  row.time(kBatch, [&](std::uint32_t) { submit(); }, [&] { stand.wait(timeline, value); });
  stand.check(kilnGetQueueStatistics(queue, &after), "reading statistics");
  row.counter("ring_dwords", static_cast<double>(after.ringDwords - before.ringDwords) /
                                 static_cast<double>(after.submitCount - before.submitCount));
  compare_with_getppid(row);
  row.count(kBatch, submit, true);
  stand.wait(timeline, value);
}

void end_and_submit(Row& row) {
  Stand& stand = row.stand;
  Work work(stand);
  CommandBuffers commands(stand, kBatch);
  const KilnSemaphore timeline = stand.semaphore();
  std::uint64_t value = 0;
  auto record_all = [&] {
    if (value != 0) stand.wait(timeline, value);
    for (KilnCommandBuffer each : commands) work.record(each, false);
  };
  auto end_and_submit_one = [&](std::uint32_t i) {
    stand.end(commands[i]);
    stand.submit(stand.queue(false), {}, commands[i], {timeline, ++value});
  };
  record_all();
  row.time(kBatch, end_and_submit_one, record_all);
  std::uint32_t next = 0;
  row.count(kBatch - 1, [&] { end_and_submit_one(next++); }, true);
  stand.wait(timeline, value);
}

enum class Waiting {
  InDriver,  ///< kilnWaitSemaphores, which spins briefly and then sleeps until an interrupt
  Spinning,  ///< reads the counter until it is there
};

void submit_and_wait(Row& row, bool sdma, Waiting waiting) {
  Stand& stand = row.stand;
  Work work(stand);
  CommandBuffers commands(stand, 1, sdma);
  work.record(commands[0], sdma);
  stand.end(commands[0]);
  VkFlags flags = 0;
  if (waiting == Waiting::Spinning) flags = KILN_SEMAPHORE_CREATE_NO_INTERRUPT_BIT;
  const KilnSemaphore timeline = stand.semaphore(flags);
  std::uint64_t value = 0;
  auto operation = [&] {
    stand.submit(stand.queue(sdma), {}, commands[0], {timeline, ++value});
    if (waiting == Waiting::InDriver) return stand.wait(timeline, value);
    for (std::uint64_t now = 0; now < value;)
      stand.check(kilnGetSemaphoreCounterValue(stand.device().handle(), timeline, &now),
                  "reading a counter");
  };
  row.time(1, [&](std::uint32_t) { operation(); }, [] {});
  row.count(kBatch, operation);
}

/// Compute -> SDMA -> compute by timeline, and the host waits for the last.
void chain(Row& row) {
  Stand& stand = row.stand;
  if (!stand.device().has_sdma())
    throw tools::Failure(VK_ERROR_FEATURE_NOT_PRESENT, "the GPU has no DMA engine");
  Work work(stand);
  CommandBuffers compute(stand, 2), sdma(stand, 1, true);
  for (KilnCommandBuffer each : compute) {
    work.record(each, false);
    stand.end(each);
  }
  work.record(sdma[0], true);
  stand.end(sdma[0]);
  const KilnSemaphore timeline = stand.semaphore();
  std::uint64_t value = 0;
  auto submit = [&] {
    const KilnQueue compute_queue = stand.queue(false), sdma_queue = stand.queue(true);
    stand.submit(compute_queue, {}, compute[0], {timeline, value + 1});
    stand.submit(sdma_queue, {timeline, value + 1}, sdma[0], {timeline, value + 2});
    stand.submit(compute_queue, {timeline, value + 2}, compute[1], {timeline, value + 3});
    value += 3;
  };
  row.time(
      1,
      [&](std::uint32_t) {
        submit();
        stand.wait(timeline, value);
      },
      [] {});
  row.count(kBatch / 4, submit);
  stand.wait(timeline, value);
}

/// After 5 ms without work. A virtual GPU then looks at its doorbells once a millisecond, which is
/// what this row shows of it; a real one may have gone to a lower power state.
void wake_up(Row& row) {
  Stand& stand = row.stand;
  Work work(stand);
  CommandBuffers commands(stand, 1);
  work.record(commands[0], false);
  stand.end(commands[0]);
  const KilnSemaphore timeline = stand.semaphore();
  std::uint64_t value = 0;
  auto rest = [] {
    const timespec pause{0, 5'000'000};
    nanosleep(&pause, nullptr);
  };
  rest();
  row.time(
      1,
      [&](std::uint32_t) {
        stand.submit(stand.queue(false), {}, commands[0], {timeline, ++value});
        stand.wait(timeline, value);
      },
      rest);
}

enum class Host { Signal, Query, WaitReached };

void host_timeline(Row& row, Host what, VkFlags flags) {
  Stand& stand = row.stand;
  const KilnDevice device = stand.device().handle();
  const KilnSemaphore timeline = stand.semaphore(flags);
  std::uint64_t value = 0;
  auto signal = [&] { stand.check(kilnSignalSemaphore(device, timeline, ++value), "signalling"); };
  signal();
  auto operation = [&] {
    std::uint64_t now = 0;
    switch (what) {
      case Host::Signal:
        return signal();
      case Host::Query:
        stand.check(kilnGetSemaphoreCounterValue(device, timeline, &now), "reading a counter");
        benchmark::DoNotOptimize(now);
        return;
      case Host::WaitReached:
        return stand.wait(timeline, value);
    }
  };
  row.time(1000, [&](std::uint32_t) { operation(); }, [] {});
  compare_with_getppid(row);
  row.count(kBatch, operation);
}

}  // namespace

void add_submit_rows(const GpuChoice& gpu) {
  add_row(gpu, "submit/prerecorded/compute", [](Row& row) {
    submit_prerecorded(row, false);
  })->Iterations(kSubmissions);
  add_row(gpu, "submit/prerecorded/sdma", [](Row& row) {
    submit_prerecorded(row, true);
  })->Iterations(kSubmissions);
  add_row(gpu, "submit/end+submit", end_and_submit)->Iterations(kSubmissions);
  for (const bool sdma : {false, true}) {
    const std::string queue = sdma ? "/sdma" : "/compute";
    add_row(gpu, "submit+wait/spin" + queue,
            [sdma](Row& row) { submit_and_wait(row, sdma, Waiting::Spinning); });
    add_row(gpu, "submit+wait/driver" + queue,
            [sdma](Row& row) { submit_and_wait(row, sdma, Waiting::InDriver); });
  }
  add_row(gpu, "submit+wait/compute-sdma-compute", chain);
  add_row(gpu, "submit+wait/after_idle_5ms", wake_up)->Iterations(100);
  add_row(gpu, "timeline/host_signal", [](Row& row) { host_timeline(row, Host::Signal, 0); });
  add_row(gpu, "timeline/host_signal_no_interrupt", [](Row& row) {
    host_timeline(row, Host::Signal, KILN_SEMAPHORE_CREATE_NO_INTERRUPT_BIT);
  });
  add_row(gpu, "timeline/host_query", [](Row& row) { host_timeline(row, Host::Query, 0); });
  add_row(gpu, "timeline/host_wait_reached",
          [](Row& row) { host_timeline(row, Host::WaitReached, 0); });
}

}  // namespace bench

// Owns: tests of timelines: host waits and signals, waits that block, wait before signal, 2^32.
// Does not own: long chains (chain_test.cpp), several GPUs (multi_gpu_test.cpp).
// Threading: some tests signal from a second thread.
#include <time.h>

#include <thread>

#include "fixture.hpp"

namespace api_test {
namespace {

constexpr std::uint64_t kEpoch = std::uint64_t{1} << 32;
constexpr std::uint64_t kBlink = 20'000'000;  // long enough to see that something did not happen

class SyncTest : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>(spec("strict,skew=max,seed=3"));
    device_ = std::make_unique<Device>(*machine_);
  }
  VkResult wait_many(std::vector<KilnSemaphore> semaphores, std::vector<std::uint64_t> values,
                     VkFlags flags, std::uint64_t timeout) {
    auto info = make<KilnSemaphoreWaitInfo>(KILN_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO);
    info.flags = flags;
    info.semaphoreCount = static_cast<std::uint32_t>(semaphores.size());
    info.pSemaphores = semaphores.data();
    info.pValues = values.data();
    return kilnWaitSemaphores(device_->handle(), &info, timeout);
  }
  VkResult signal(KilnSemaphore semaphore, std::uint64_t value) {
    return kilnSignalSemaphore(device_->handle(), semaphore, value);
  }
  void nap() {
    const timespec pause{0, static_cast<long>(kBlink)};
    nanosleep(&pause, nullptr);
  }
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;
};
KILN_EACH_GPU(SyncTest);

TEST_P(SyncTest, HostSignalsAndReads) {
  KilnSemaphore line = device_->semaphore(5);
  EXPECT_EQ(device_->counter(line), 5u);
  EXPECT_EQ(signal(line, 9), VK_SUCCESS);
  EXPECT_EQ(device_->counter(line), 9u);
  for (std::uint64_t old : {9u, 8u, 0u}) {
    machine_->take();
    EXPECT_EQ(signal(line, old), VK_ERROR_VALIDATION_FAILED_EXT);
    EXPECT_NE(machine_->said().find("only grows"), std::string::npos);
  }
  EXPECT_EQ(signal(line, 7 * kEpoch + 1), VK_SUCCESS);
  EXPECT_EQ(device_->counter(line), 7 * kEpoch + 1);
}

TEST_P(SyncTest, HostWaitsTimeOut) {
  KilnSemaphore line = device_->semaphore(5);
  EXPECT_EQ(device_->wait(line, 5, 0), VK_SUCCESS);
  EXPECT_EQ(device_->wait(line, 6, 0), VK_TIMEOUT);
  EXPECT_EQ(device_->wait(line, 6, 1), VK_TIMEOUT);
  timespec before{}, after{};
  clock_gettime(CLOCK_MONOTONIC, &before);
  EXPECT_EQ(device_->wait(line, 6, kBlink), VK_TIMEOUT);
  clock_gettime(CLOCK_MONOTONIC, &after);
  const std::int64_t waited =
      (after.tv_sec - before.tv_sec) * 1'000'000'000 + after.tv_nsec - before.tv_nsec;
  EXPECT_GE(waited, static_cast<std::int64_t>(kBlink));  // never early
}

TEST_P(SyncTest, WaitAnyAndAll) {
  KilnSemaphore a = device_->semaphore(1), b = device_->semaphore(1);
  const VkFlags any = VK_SEMAPHORE_WAIT_ANY_BIT;
  EXPECT_EQ(wait_many({a, b}, {2, 2}, any, kBlink), VK_TIMEOUT);
  EXPECT_EQ(wait_many({a, b}, {2, 1}, 0, kBlink), VK_TIMEOUT);
  EXPECT_EQ(wait_many({a, b}, {2, 1}, any, kBlink), VK_SUCCESS);
  EXPECT_EQ(signal(a, 2), VK_SUCCESS);
  EXPECT_EQ(wait_many({a, b}, {2, 1}, 0, kBlink), VK_SUCCESS);
  EXPECT_EQ(wait_many({a, b}, {2, 2}, any, 0), VK_SUCCESS);
  EXPECT_EQ(wait_many({}, {}, any, 0), VK_SUCCESS);
  EXPECT_EQ(wait_many({}, {}, 0, 0), VK_SUCCESS);
}

TEST_P(SyncTest, AWaitingThreadWakesOnHostAndGpuSignals) {
  KilnSemaphore a = device_->semaphore(), b = device_->semaphore();
  for (bool from_gpu : {false, true}) {
    const std::uint64_t value = from_gpu ? 2 : 1;
    std::thread other([&] {
      nap();
      if (from_gpu)
        device_->submit(device_->compute(), {}, {}, {{b, value}});
      else
        signal(b, value);
    });
    EXPECT_EQ(wait_many({a, b}, {9, value}, VK_SEMAPHORE_WAIT_ANY_BIT, kLong), VK_SUCCESS);
    other.join();
  }
}

TEST_P(SyncTest, SeveralThreadsWaitForOneSignal) {
  // An auto-reset event would wake one of them only (kfd_events.c).
  KilnSemaphore line = device_->semaphore();
  VkResult results[4] = {};
  std::vector<std::thread> threads;
  for (VkResult& result : results) threads.emplace_back([&] { result = device_->wait(line, 1); });
  nap();
  device_->submit(device_->sdma(), {}, {}, {{line, 1}});
  for (std::thread& thread : threads) thread.join();
  for (VkResult result : results) EXPECT_EQ(result, VK_SUCCESS);
}

TEST_P(SyncTest, DriversWithoutEventAgesWakeEveryThreadToo) {
  Machine old(spec("kfd=1.11"));
  if (old.gpu_count() == 0) GTEST_SKIP() << "that version does not know this GPU";
  Device device(old);
  KilnSemaphore line = device.semaphore();
  VkResult results[4] = {};
  std::vector<std::thread> threads;
  for (VkResult& result : results) threads.emplace_back([&] { result = device.wait(line, 1); });
  nap();
  device.submit(device.compute(), {}, {}, {{line, 1}});
  for (std::thread& thread : threads) thread.join();
  for (VkResult result : results) EXPECT_EQ(result, VK_SUCCESS);
}

TEST_P(SyncTest, WithoutInterrupts) {
  KilnSemaphore line = device_->semaphore(0, {}, KILN_SEMAPHORE_CREATE_NO_INTERRUPT_BIT);
  EXPECT_EQ(device_->wait(line, 1, kBlink), VK_TIMEOUT);
  device_->submit(device_->compute(), {}, {}, {{line, 1}});
  EXPECT_EQ(device_->wait(line, 1), VK_SUCCESS);
  device_->submit(device_->sdma(), {{line, 1}}, {}, {{line, 2}});
  EXPECT_EQ(device_->wait(line, 2), VK_SUCCESS);
}

/// Consumer first, then the producer: host, the other queue of its family, a queue of the other.
TEST_P(SyncTest, WaitBeforeSignalReallyBlocks) {
  Buffer flag = device_->allocate(4096, kHostUncached);
  std::uint64_t value = 0;
  KilnSemaphore line = device_->semaphore(), done = device_->semaphore();
  for (std::uint32_t consumer : {0u, 1u})
    for (int producer = 0; producer < 3; ++producer) {
      ++value;
      words(flag)[0] = 0;
      KilnCommandBuffer commands = device_->record(consumer);
      device_->check(kilnCmdFillMemory(commands, flag.address, 4, 0x600d, 4), "filling");
      device_->end(commands);
      device_->submit(device_->queue(consumer, 0), {{line, value}}, {commands}, {{done, value}});
      EXPECT_EQ(device_->wait(done, value, kBlink), VK_TIMEOUT);
      EXPECT_EQ(words(flag)[0], 0u);
      EXPECT_EQ(device_->counter(done), value - 1);
      if (producer == 0)
        ASSERT_EQ(signal(line, value), VK_SUCCESS);
      else
        device_->submit(device_->queue(producer == 1 ? consumer : 1 - consumer, 1), {}, {},
                        {{line, value}});
      ASSERT_EQ(device_->wait(done, value), VK_SUCCESS) << consumer << producer << machine_->said();
      EXPECT_EQ(words(flag)[0], 0x600du);
    }
  for (KilnQueue queue :
       {device_->compute(0), device_->compute(1), device_->sdma(0), device_->sdma(1)})
    EXPECT_EQ(device_->statistics(queue).deferredCount, 0u);
}

TEST_P(SyncTest, WaitsForSeveralTimelinesNeedAll) {
  KilnSemaphore a = device_->semaphore(), b = device_->semaphore(), c = device_->semaphore();
  KilnSemaphore done = device_->semaphore();
  for (std::uint32_t family : {0u, 1u}) {
    const std::uint64_t value = family + 1;
    device_->submit(device_->queue(family, 0), {{a, value}, {b, value}, {c, value}}, {},
                    {{done, value}});
    for (KilnSemaphore each : {c, a, b}) {
      EXPECT_EQ(device_->wait(done, value, kBlink / 4), VK_TIMEOUT);
      ASSERT_EQ(signal(each, value), VK_SUCCESS);
    }
    ASSERT_EQ(device_->wait(done, value), VK_SUCCESS) << machine_->said();
  }
}

TEST_P(SyncTest, OneSubmissionSignalsSeveral) {
  KilnSemaphore a = device_->semaphore(), b = device_->semaphore(kEpoch - 2);
  for (std::uint32_t family : {0u, 1u}) {
    device_->submit(device_->queue(family, 0), {}, {}, {{a, family + 1}, {b, kEpoch - 1 + family}});
    EXPECT_EQ(wait_many({a, b}, {family + 1, kEpoch - 1 + family}, 0, kLong), VK_SUCCESS);
  }
}

TEST_P(SyncTest, AKernelWaitsForATimeline) {
  Buffer seen = device_->allocate(4096, kHostUncached);
  auto* value = reinterpret_cast<std::atomic<std::uint64_t>*>(seen.host);
  value->store(0);
  KilnSemaphore line = device_->semaphore(3), done = device_->semaphore();
  const VkDeviceAddress payload = kilnGetSemaphoreDeviceAddress(device_->handle(), line);
  ASSERT_NE(payload, 0u);
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, device_->probe("wait_timeline"), 1, 1,
           Arguments(payload, kEpoch + 4, seen.address));
  device_->end(commands);
  device_->submit(device_->compute(), {}, {commands}, {{done, 1}});
  EXPECT_EQ(device_->wait(done, 1, kBlink), VK_TIMEOUT);
  // The low half alone is large enough now; a 32-bit look would be fooled.
  ASSERT_EQ(signal(line, kEpoch - 1), VK_SUCCESS);
  EXPECT_EQ(device_->wait(done, 1, kBlink), VK_TIMEOUT);
  device_->submit(device_->sdma(), {}, {}, {{line, kEpoch + 6}});
  ASSERT_EQ(device_->wait(done, 1), VK_SUCCESS) << machine_->said();
  EXPECT_EQ(value->load(), kEpoch + 6);
}

TEST_P(SyncTest, ForeignTimelinesAreRefused) {
  Device other(*machine_);
  KilnSemaphore foreign = other.semaphore();
  EXPECT_EQ(device_->try_submit(device_->compute(), {{foreign, 1}}, {}, {}),
            VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(device_->try_submit(device_->compute(), {}, {}, {{foreign, 1}}),
            VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(device_->try_submit(device_->compute(), {{nullptr, 1}}, {}, {}),
            VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(device_->wait(foreign, 1, 0), VK_ERROR_VALIDATION_FAILED_EXT);
}

// Past 2^32: compute queues compare 64 bits and defer nothing.
TEST_P(SyncTest, ComputeWaitsCompare64Bits) {
  KilnSemaphore line = device_->semaphore(7), done = device_->semaphore();
  device_->submit(device_->compute(0), {{line, kEpoch + 5}}, {}, {{done, 1}});
  EXPECT_EQ(device_->wait(done, 1, kBlink), VK_TIMEOUT);  // 7 >= 5 in the low half
  ASSERT_EQ(signal(line, kEpoch - 1), VK_SUCCESS);
  EXPECT_EQ(device_->wait(done, 1, kBlink), VK_TIMEOUT);
  device_->submit(device_->compute(1), {}, {}, {{line, kEpoch + 5}});
  ASSERT_EQ(device_->wait(done, 1), VK_SUCCESS) << machine_->said();
  EXPECT_EQ(device_->statistics(device_->compute(0)).deferredCount, 0u);
  EXPECT_EQ(device_->statistics(device_->compute(1)).deferredCount, 0u);
}

// SDMA polls 32 bits: a target past a wrap would pass early, so the submission is held back.
TEST_P(SyncTest, SdmaWaitsPastAWrapAreHeldBack) {
  KilnSemaphore line = device_->semaphore(7), done = device_->semaphore();
  device_->submit(device_->sdma(), {{line, kEpoch + 5}}, {}, {{done, 1}});
  KilnQueueStatistics statistics = device_->statistics(device_->sdma());
  EXPECT_EQ(statistics.deferredCount, 1u);
  EXPECT_EQ(statistics.epochDeferredCount, 1u);
  EXPECT_EQ(device_->wait(done, 1, kBlink), VK_TIMEOUT);
  ASSERT_EQ(signal(line, kEpoch + 2), VK_SUCCESS);  // into the epoch: the GPU polls from here
  EXPECT_EQ(device_->wait(done, 1, kBlink), VK_TIMEOUT);
  device_->submit(device_->compute(), {}, {}, {{line, kEpoch + 5}});
  ASSERT_EQ(device_->wait(done, 1), VK_SUCCESS) << machine_->said();
  statistics = device_->statistics(device_->sdma());
  EXPECT_EQ(statistics.deferredCount, 1u);
  EXPECT_EQ(statistics.retiredCount, statistics.submitCount);
}

// A signal must not leave the epoch while a 32-bit poll still looks at it: the poll would hang.
TEST_P(SyncTest, SignalsOutOfAnEpochWaitForItsPolls) {
  for (bool from_host : {false, true}) {
    KilnSemaphore gate = device_->semaphore(), line = device_->semaphore(1),
                  done = device_->semaphore();
    // The poll for 5 sits in the ring behind a closed gate.
    device_->submit(device_->sdma(), {{gate, 1}}, {}, {});
    device_->submit(device_->sdma(), {{line, 5}}, {}, {{done, 1}});
    const KilnQueueStatistics before = device_->statistics(device_->compute());
    if (from_host)
      ASSERT_EQ(signal(line, kEpoch + 7), VK_SUCCESS);
    else
      device_->submit(device_->compute(), {}, {}, {{line, kEpoch + 7}});
    EXPECT_EQ(device_->wait(line, kEpoch + 7, kBlink), VK_TIMEOUT);
    EXPECT_LT(device_->counter(line), kEpoch);  // still in the poll's epoch
    EXPECT_EQ(device_->wait(line, 5), VK_SUCCESS);
    EXPECT_EQ(device_->wait(done, 1, kBlink), VK_TIMEOUT);
    ASSERT_EQ(signal(gate, 1), VK_SUCCESS);
    ASSERT_EQ(device_->wait(done, 1), VK_SUCCESS) << machine_->said();
    ASSERT_EQ(device_->wait(line, kEpoch + 7), VK_SUCCESS) << machine_->said();
    EXPECT_EQ(device_->counter(line), kEpoch + 7);
    const KilnQueueStatistics after = device_->statistics(device_->compute());
    EXPECT_EQ(after.epochDeferredCount - before.epochDeferredCount, from_host ? 0u : 1u);
    EXPECT_EQ(after.deferredCount - before.deferredCount, from_host ? 0u : 1u);
    ASSERT_EQ(kilnDeviceWaitIdle(device_->handle()), VK_SUCCESS);
  }
}

// Whatever is submitted behind something held back stays behind it.
TEST_P(SyncTest, OrderIsKeptBehindHeldBackSubmissions) {
  Buffer data = device_->allocate(4096, kHostUncached);
  words(data)[0] = 0;
  KilnSemaphore line = device_->semaphore(7), done = device_->semaphore();
  KilnCommandBuffer commands[3];
  for (std::uint32_t i = 0; i < 3; ++i) {
    commands[i] = device_->record(1);
    device_->check(kilnCmdFillMemory(commands[i], data.address, 4, i + 1, 4), "filling");
    device_->end(commands[i]);
  }
  device_->submit(device_->sdma(), {{line, kEpoch + 5}}, {commands[0]}, {{done, 1}});
  device_->submit(device_->sdma(), {}, {commands[1]}, {{done, 2}});
  device_->submit(device_->sdma(), {}, {commands[2]}, {{done, 3}});
  EXPECT_EQ(kilnResetCommandBuffer(commands[2]), VK_ERROR_VALIDATION_FAILED_EXT);  // pending
  EXPECT_EQ(device_->wait(done, 1, kBlink), VK_TIMEOUT);
  EXPECT_EQ(words(data)[0], 0u);
  ASSERT_EQ(signal(line, kEpoch + 5), VK_SUCCESS);
  ASSERT_EQ(device_->wait(done, 3), VK_SUCCESS) << machine_->said();
  EXPECT_EQ(words(data)[0], 3u);
  const KilnQueueStatistics statistics = device_->statistics(device_->sdma());
  EXPECT_EQ(statistics.deferredCount, 3u);
  EXPECT_EQ(statistics.epochDeferredCount, 1u);
}

// A timeline that crosses 2^32 step by step, waited for by SDMA at each step.
TEST_P(SyncTest, SdmaFollowsATimelineAcrossTheEpoch) {
  KilnSemaphore line = device_->semaphore(kEpoch - 6), echo = device_->semaphore(kEpoch - 6);
  for (std::uint64_t value = kEpoch - 5; value < kEpoch + 6; ++value) {
    device_->submit(device_->sdma(), {{line, value}}, {}, {{echo, value}});
    EXPECT_EQ(device_->wait(echo, value, 2'000'000), VK_TIMEOUT) << value;
    device_->submit(device_->compute(), {}, {}, {{line, value}});
    ASSERT_EQ(device_->wait(echo, value), VK_SUCCESS) << value << machine_->said();
  }
  const KilnQueueStatistics statistics = device_->statistics(device_->sdma());
  EXPECT_EQ(statistics.deferredCount, 1u);  // the wait for 2^32 itself, from 2^32 - 1
  EXPECT_EQ(statistics.epochDeferredCount, 1u);
  EXPECT_EQ(device_->statistics(device_->compute()).deferredCount, 0u);
}

/// A DMA engine writes 64 bits in two halves. Whoever waits for the low one may have gone on to the
/// next multiple of 2^32 before the high one lands.
TEST_P(SyncTest, TheLastSdmaSignalOfAnEpochDoesNotUndoTheNext) {
  // With the next value on its way the poll for this one would be held back, hence a second line.
  KilnSemaphore ready = device_->semaphore(0);
  for (std::uint64_t round = 1; round <= 200; ++round) {
    KilnSemaphore line = device_->semaphore(kEpoch - 2);
    device_->submit(device_->compute(), {{line, kEpoch - 1}}, {}, {{line, kEpoch}});
    device_->submit(device_->sdma(), {{ready, round}}, {}, {{line, kEpoch - 1}});
    device_->submit(device_->compute(1), {}, {}, {{ready, round}});
    ASSERT_EQ(device_->wait(line, kEpoch), VK_SUCCESS) << round << machine_->said();
    ASSERT_EQ(kilnDeviceWaitIdle(device_->handle()), VK_SUCCESS);
    ASSERT_EQ(device_->counter(line), kEpoch) << round;
  }
}

}  // namespace
}  // namespace api_test

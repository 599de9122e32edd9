// Owns: tests of queues: many submissions, ring wrap, several infos, statistics, back-pressure
// behind
//   a stuck queue, concurrent queues.
// Does not own: semaphores (sync_test.cpp).
// Threading: some tests submit to several queues from several threads.
#include <thread>

#include "fixture.hpp"

namespace api_test {
namespace {

class QueueTest : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>(spec());
    device_ = std::make_unique<Device>(*machine_);
  }
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;
};
KILN_EACH_RING(QueueTest);

TEST_P(QueueTest, RingsWrap) {
  // More than any ring holds: 4096 AQL packets, 64 Ki dwords of PM4, 256 Ki dwords of SDMA.
  Buffer counter = device_->allocate(4096, kDeviceVisible);
  words(counter)[0] = 0;
  KilnCommandBuffer count = device_->record(0);
  dispatch(*device_, count, device_->probe("count_up"), 1, 32, Arguments(counter.address));
  device_->end(count);
  Buffer data = device_->allocate(65536, kHostCached);
  KilnCommandBuffer fill = device_->record(1);
  for (std::uint32_t i = 0; i < 64; ++i)
    device_->check(kilnCmdFillMemory(fill, data.address + i * 4, 4, i, 4), "filling");
  device_->end(fill);

  constexpr std::uint64_t kSubmits = 3000;
  KilnSemaphore done[2] = {device_->semaphore(), device_->semaphore()};
  for (std::uint64_t i = 1; i <= kSubmits; ++i) {
    device_->submit(device_->compute(), {}, {count}, {{done[0], i}});
    device_->submit(device_->sdma(), {}, {fill}, {{done[1], i}});
  }
  ASSERT_EQ(device_->wait(done[0], kSubmits), VK_SUCCESS) << machine_->said();
  ASSERT_EQ(device_->wait(done[1], kSubmits), VK_SUCCESS) << machine_->said();
  for (std::uint32_t i = 0; i < 64; ++i) EXPECT_EQ(words(data)[i], i);
  Buffer seen = device_->allocate(4096, kHostCached);
  KilnCommandBuffer read = device_->record(1);
  device_->check(kilnCmdCopyMemory(read, seen.address, counter.address, 4), "reading");
  ASSERT_EQ(device_->run(device_->sdma(), read), VK_SUCCESS);
  EXPECT_EQ(words(seen)[0], kSubmits * 32);
  for (KilnQueue queue : {device_->compute(), device_->sdma()}) {
    const KilnQueueStatistics statistics = device_->statistics(queue);
    EXPECT_GE(statistics.submitCount, kSubmits);
    EXPECT_EQ(statistics.retiredCount, statistics.submitCount);
    EXPECT_EQ(statistics.deferredCount, 0u);
    EXPECT_GT(statistics.ringDwords, kSubmits * 8);
  }
}

TEST_P(QueueTest, SeveralInfosInOneCall) {
  Buffer data = device_->allocate(4096, kHostUncached);
  words(data)[0] = 0;
  KilnKernel add = device_->probe("mirror_add");
  KilnCommandBuffer steps[3];
  for (std::uint64_t i = 0; i < 3; ++i) {
    steps[i] = device_->record(0);
    dispatch(*device_, steps[i], add, 1, 32,
             Arguments(data.address + i * 4, data.address + (i + 1) * 4, 1u, 10u));
    device_->end(steps[i]);
  }
  KilnSemaphore line = device_->semaphore();
  KilnSemaphoreValue values[4];
  KilnSubmitInfo infos[3];
  for (std::uint64_t i = 0; i < 3; ++i) {
    values[i] = {line, i};
    values[i + 1] = {line, i + 1};
    infos[i] = make<KilnSubmitInfo>(KILN_STRUCTURE_TYPE_SUBMIT_INFO);
    infos[i].waitCount = 1;
    infos[i].pWaits = &values[i];
    infos[i].commandBufferCount = 1;
    infos[i].pCommandBuffers = &steps[i];
    infos[i].signalCount = 1;
    infos[i].pSignals = &values[i + 1];
  }
  ASSERT_EQ(kilnQueueSubmit(device_->compute(), 3, infos), VK_SUCCESS) << machine_->said();
  ASSERT_EQ(device_->wait(line, 3), VK_SUCCESS) << machine_->said();
  EXPECT_EQ(words(data)[3], 30u);
  EXPECT_EQ(kilnQueueSubmit(device_->compute(), 0, nullptr), VK_SUCCESS);
}

TEST_P(QueueTest, AWrongInfoTakesNoneOfTheCall) {
  KilnSemaphore line = device_->semaphore();
  KilnCommandBuffer good = device_->record(0), bad = device_->record(0);
  device_->end(good);
  const KilnSemaphoreValue signal = {line, 1};
  KilnSubmitInfo infos[2] = {make<KilnSubmitInfo>(KILN_STRUCTURE_TYPE_SUBMIT_INFO),
                             make<KilnSubmitInfo>(KILN_STRUCTURE_TYPE_SUBMIT_INFO)};
  infos[0].commandBufferCount = infos[1].commandBufferCount = 1;
  infos[0].pCommandBuffers = &good;
  infos[0].signalCount = 1;
  infos[0].pSignals = &signal;
  infos[1].pCommandBuffers = &bad;
  const std::uint64_t before = device_->statistics(device_->compute()).submitCount;
  EXPECT_EQ(kilnQueueSubmit(device_->compute(), 2, infos), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(device_->statistics(device_->compute()).submitCount, before);
  EXPECT_EQ(device_->wait(line, 1, 10'000'000), VK_TIMEOUT);
}

TEST_P(QueueTest, AFullRingBehindAStuckQueueIsReportedAndRecovers) {
  // All four rings at once: each reports after a bounded wait (2 s).
  KilnQueue queues[] = {device_->compute(0), device_->compute(1), device_->sdma(0),
                        device_->sdma(1)};
  KilnSemaphore gate = device_->semaphore(), done[4];
  VkResult last[4] = {};
  std::uint64_t taken[4] = {};
  std::vector<std::thread> threads;
  for (int q = 0; q < 4; ++q) done[q] = device_->semaphore();
  for (int q = 0; q < 4; ++q)
    threads.emplace_back([&, q] {
      device_->try_submit(queues[q], {{gate, 1}}, {}, {});
      while (taken[q] < 100'000) {
        last[q] = device_->try_submit(queues[q], {}, {}, {{done[q], taken[q] + 1}});
        if (last[q] != VK_SUCCESS) break;
        ++taken[q];
      }
    });
  for (std::thread& thread : threads) thread.join();
  const std::string said = machine_->said();
  EXPECT_NE(said.find("ring stayed full"), std::string::npos) << said;
  EXPECT_NE(said.find("submissions finished"), std::string::npos) << said;
  EXPECT_EQ(kilnGetDeviceStatus(device_->handle()), VK_SUCCESS);
  ASSERT_EQ(kilnSignalSemaphore(device_->handle(), gate, 1), VK_SUCCESS);
  for (int q = 0; q < 4; ++q) {
    EXPECT_EQ(last[q], VK_ERROR_OUT_OF_DEVICE_MEMORY) << q;
    EXPECT_GT(taken[q], 100u) << q;
    ASSERT_EQ(device_->wait(done[q], taken[q]), VK_SUCCESS) << q << machine_->said();
    // What was refused left nothing behind: the next one is number taken + 1.
    device_->submit(queues[q], {}, {}, {{done[q], taken[q] + 1}});
    EXPECT_EQ(device_->wait(done[q], taken[q] + 1), VK_SUCCESS) << q << machine_->said();
  }
}

TEST_P(QueueTest, ASubmissionTooLargeForTheRingIsRefused) {
  std::vector<KilnSemaphoreValue> waits;
  KilnSemaphore never = device_->semaphore();
  for (std::uint64_t i = 0; i < 70'000; ++i) waits.push_back({never, i + 1});
  for (KilnQueue queue : {device_->compute(), device_->sdma()}) {
    auto info = make<KilnSubmitInfo>(KILN_STRUCTURE_TYPE_SUBMIT_INFO);
    info.waitCount = static_cast<std::uint32_t>(waits.size());
    info.pWaits = waits.data();
    EXPECT_EQ(kilnQueueSubmit(queue, 1, &info), VK_ERROR_VALIDATION_FAILED_EXT);
    EXPECT_NE(machine_->said().find("does not fit"), std::string::npos);
  }
  EXPECT_EQ(kilnDeviceWaitIdle(device_->handle()), VK_SUCCESS);
}

TEST_P(QueueTest, QueuesOfManyThreadsAreIndependent) {
  Buffer data = device_->allocate(4 * 65536, kHostCached);
  std::vector<std::thread> threads;
  KilnQueue queues[] = {device_->compute(0), device_->compute(1), device_->sdma(0),
                        device_->sdma(1)};
  KilnCommandBuffer commands[4];
  KilnSemaphore done[4];
  for (std::uint32_t q = 0; q < 4; ++q) {
    commands[q] = device_->record(q / 2);
    device_->check(kilnCmdFillMemory(commands[q], data.address + q * 65536, 65536, 0xa0 + q, 4),
                   "filling");
    device_->end(commands[q]);
    done[q] = device_->semaphore();
  }
  VkResult results[4] = {};
  for (std::uint32_t q = 0; q < 4; ++q)
    threads.emplace_back([&, q] {
      for (std::uint64_t i = 1; i <= 50 && results[q] == VK_SUCCESS; ++i) {
        results[q] = device_->try_submit(queues[q], {}, {commands[q]}, {{done[q], i}});
        if (results[q] == VK_SUCCESS) results[q] = device_->wait(done[q], i);
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (std::uint32_t q = 0; q < 4; ++q) {
    EXPECT_EQ(results[q], VK_SUCCESS) << q << machine_->said();
    for (std::uint32_t i = 0; i < 16384; ++i)
      ASSERT_EQ(words(data)[q * 16384 + i], 0xa0 + q) << q << " " << i;
  }
}

TEST_P(QueueTest, WaitIdleWaits) {
  Buffer out = device_->allocate(1 << 20, kHostUncached);
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, device_->probe("busy"), 64, 64, Arguments(out.address, 1u, 500u));
  device_->end(commands);
  for (int i = 0; i < 3; ++i) device_->submit(device_->compute(), {}, {commands}, {});
  ASSERT_EQ(kilnDeviceWaitIdle(device_->handle()), VK_SUCCESS);
  const KilnQueueStatistics statistics = device_->statistics(device_->compute());
  EXPECT_GE(statistics.submitCount, 3u);  // and what Kiln adds
  EXPECT_EQ(statistics.retiredCount, statistics.submitCount);
}

TEST_P(QueueTest, DestroyWhileQueuesWait) {
  {
    Device own(*machine_);
    KilnSemaphore gate = own.semaphore();
    for (KilnQueue queue : {own.compute(0), own.compute(1), own.sdma(0)})
      own.submit(queue, {{gate, 1}}, {}, {});
    EXPECT_EQ(own.wait(gate, 1, 10'000'000), VK_TIMEOUT);
  }
  Device next(*machine_);
  EXPECT_EQ(next.run(next.compute(), next.record(0)), VK_SUCCESS) << machine_->said();
}

}  // namespace
}  // namespace api_test

// Owns: tests of command pools and buffers: states, errors kept while recording, statistics,
// replay,
//   reset, timestamps, values written and waited for.
// Does not own: dispatches (dispatch_test.cpp), copies (copy_test.cpp).
// Threading: none.
#include "fixture.hpp"

namespace api_test {
namespace {

class CommandTest : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>(spec("strict"));
    device_ = std::make_unique<Device>(*machine_);
  }
  KilnCommandBufferStatistics statistics(KilnCommandBuffer commands) {
    auto made = make<KilnCommandBufferStatistics>(KILN_STRUCTURE_TYPE_COMMAND_BUFFER_STATISTICS);
    EXPECT_EQ(kilnGetCommandBufferStatistics(commands, &made), VK_SUCCESS);
    return made;
  }
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;
};
KILN_EACH_GPU(CommandTest);

TEST_P(CommandTest, StatesAreChecked) {
  KilnCommandBuffer commands = device_->command_buffer(0);
  EXPECT_EQ(kilnEndCommandBuffer(commands), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnCmdBarrier(commands, nullptr), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(device_->try_submit(device_->compute(), {}, {commands}, {}),
            VK_ERROR_VALIDATION_FAILED_EXT);
  ASSERT_EQ(kilnBeginCommandBuffer(commands, nullptr), VK_SUCCESS);
  EXPECT_EQ(kilnBeginCommandBuffer(commands, nullptr), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(device_->try_submit(device_->compute(), {}, {commands}, {}),
            VK_ERROR_VALIDATION_FAILED_EXT);
  ASSERT_EQ(kilnEndCommandBuffer(commands), VK_SUCCESS);
  EXPECT_EQ(device_->try_submit(device_->compute(), {}, {commands}, {}), VK_SUCCESS);
  EXPECT_EQ(kilnQueueWaitIdle(device_->compute()), VK_SUCCESS);
  // Beginning again resets.
  auto begin = make<KilnCommandBufferBeginInfo>(KILN_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
  begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  EXPECT_EQ(kilnBeginCommandBuffer(commands, &begin), VK_SUCCESS);
  EXPECT_EQ(kilnResetCommandBuffer(commands), VK_SUCCESS);
  EXPECT_EQ(kilnEndCommandBuffer(commands), VK_ERROR_VALIDATION_FAILED_EXT);
}

TEST_P(CommandTest, AnErrorWhileRecordingComesBackAtTheEnd) {
  Buffer buffer = device_->allocate(4096, kHostCached);
  KilnCommandBuffer commands = device_->record(1);
  EXPECT_EQ(kilnCmdFillMemory(commands, buffer.address, 64, 1, 3), VK_ERROR_VALIDATION_FAILED_EXT);
  machine_->take();
  EXPECT_EQ(kilnCmdFillMemory(commands, buffer.address, 64, 1, 4), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnEndCommandBuffer(commands), VK_ERROR_VALIDATION_FAILED_EXT);
  const std::string said = machine_->said();
  EXPECT_NE(said.find("kilnCmdFillMemory"), std::string::npos) << said;
  EXPECT_NE(said.find("3 bytes"), std::string::npos) << said;
  EXPECT_EQ(device_->try_submit(device_->sdma(), {}, {commands}, {}),
            VK_ERROR_VALIDATION_FAILED_EXT);
  // It can be recorded anew.
  ASSERT_EQ(kilnBeginCommandBuffer(commands, nullptr), VK_SUCCESS);
  device_->check(kilnCmdFillMemory(commands, buffer.address, 64, 6, 4), "filling");
  EXPECT_EQ(device_->run(device_->sdma(), commands), VK_SUCCESS);
  EXPECT_EQ(words(buffer)[15], 6u);
}

TEST_P(CommandTest, AnEmptyOneRuns) {
  for (std::uint32_t family : {0u, 1u})
    EXPECT_EQ(device_->run(device_->queue(family, 0), device_->record(family)), VK_SUCCESS)
        << machine_->said();
}

TEST_P(CommandTest, IsRefusedOnAQueueOfAnotherFamily) {
  KilnCommandBuffer commands = device_->record(0);
  device_->end(commands);
  EXPECT_EQ(device_->try_submit(device_->sdma(), {}, {commands}, {}),
            VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_NE(machine_->said().find("family"), std::string::npos);
}

TEST_P(CommandTest, PoolsAreChecked) {
  auto info = make<KilnCommandPoolCreateInfo>(KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
  info.queueFamilyIndex = 9;
  KilnCommandPool pool = reinterpret_cast<KilnCommandPool>(1);
  EXPECT_EQ(kilnCreateCommandPool(device_->handle(), &info, nullptr, &pool),
            VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(pool, nullptr);
}

TEST_P(CommandTest, PoolResetResetsAll) {
  auto info = make<KilnCommandPoolCreateInfo>(KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
  KilnCommandPool pool = nullptr;
  ASSERT_EQ(kilnCreateCommandPool(device_->handle(), &info, nullptr, &pool), VK_SUCCESS);
  auto allocate =
      make<KilnCommandBufferAllocateInfo>(KILN_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
  allocate.commandPool = pool;
  allocate.commandBufferCount = 3;
  KilnCommandBuffer buffers[3] = {};
  ASSERT_EQ(kilnAllocateCommandBuffers(device_->handle(), &allocate, buffers), VK_SUCCESS);
  for (KilnCommandBuffer buffer : buffers) {
    ASSERT_EQ(kilnBeginCommandBuffer(buffer, nullptr), VK_SUCCESS);
    ASSERT_EQ(kilnEndCommandBuffer(buffer), VK_SUCCESS);
  }
  EXPECT_EQ(kilnResetCommandPool(device_->handle(), pool), VK_SUCCESS);
  for (KilnCommandBuffer buffer : buffers)
    EXPECT_EQ(device_->try_submit(device_->compute(), {}, {buffer}, {}),
              VK_ERROR_VALIDATION_FAILED_EXT);
  kilnFreeCommandBuffers(device_->handle(), pool, 2, buffers);
  kilnDestroyCommandPool(device_->handle(), pool, nullptr);
}

TEST_P(CommandTest, PendingOnesAreNotReset) {
  KilnSemaphore gate = device_->semaphore();
  for (std::uint32_t family : {0u, 1u}) {
    KilnCommandBuffer commands = device_->record(family);
    device_->end(commands);
    device_->submit(device_->queue(family, 0), {{gate, family + 1}}, {commands}, {});
    EXPECT_EQ(kilnResetCommandBuffer(commands), VK_ERROR_VALIDATION_FAILED_EXT);
    EXPECT_EQ(kilnBeginCommandBuffer(commands, nullptr), VK_ERROR_VALIDATION_FAILED_EXT);
    // Nor may it be pending on a second queue.
    EXPECT_EQ(device_->try_submit(device_->queue(family, 1), {}, {commands}, {}),
              VK_ERROR_VALIDATION_FAILED_EXT);
    ASSERT_EQ(kilnSignalSemaphore(device_->handle(), gate, family + 1), VK_SUCCESS);
    ASSERT_EQ(kilnQueueWaitIdle(device_->queue(family, 0)), VK_SUCCESS);
    EXPECT_EQ(kilnResetCommandBuffer(commands), VK_SUCCESS);
  }
}

TEST_P(CommandTest, StatisticsCount) {
  Buffer buffer = device_->allocate(65536, kDeviceLocal);
  KilnCommandBuffer commands = device_->record(0);
  EXPECT_EQ(statistics(commands).dispatchCount, 0u);
  dispatch(*device_, commands, device_->probe("fill"), 4, 64, Arguments(buffer.address, 1u));
  const KilnCommandBufferStatistics first = statistics(commands);
  EXPECT_EQ(first.dispatchCount, 1u);
  EXPECT_GT(first.streamDwords, 0u);
  EXPECT_GE(first.argumentBytes, 12u);
  barrier(*device_, commands);
  device_->check(kilnCmdFillMemory(commands, buffer.address, 4096, 1, 4), "filling");
  device_->check(kilnCmdCopyMemory(commands, buffer.address + 8192, buffer.address, 4096),
                 "copying");
  device_->end(commands);
  const KilnCommandBufferStatistics all = statistics(commands);
  EXPECT_EQ(all.dispatchCount, 1u);
  EXPECT_EQ(all.copyCount, 2u);
  EXPECT_EQ(all.barrierCount, 1u);
  EXPECT_GT(all.streamDwords, first.streamDwords);
}

TEST_P(CommandTest, ReplayRunsTheSameAgain) {
  Buffer counter = device_->allocate(4096, kHostUncached);
  for (std::uint32_t& word : words(counter)) word = 0;
  Buffer copies = device_->allocate(4096, kDeviceVisible);
  KilnCommandBuffer count = device_->record(0);
  dispatch(*device_, count, device_->probe("count_up"), 8, 64, Arguments(copies.address));
  device_->end(count);
  words(copies)[0] = 0;
  KilnSemaphore done = device_->semaphore();
  // Several times in one submission, and pending several times.
  for (std::uint64_t i = 1; i <= 10; ++i)
    device_->submit(device_->compute(), {}, {count, count}, {{done, i}});
  ASSERT_EQ(device_->wait(done, 10), VK_SUCCESS) << machine_->said();
  KilnCommandBuffer read = device_->record(1);
  device_->check(kilnCmdCopyMemory(read, counter.address, copies.address, 4), "copying");
  ASSERT_EQ(device_->run(device_->sdma(), read), VK_SUCCESS);
  EXPECT_EQ(words(counter)[0], 8u * 64 * 20);
}

TEST_P(CommandTest, LongOnesTakeSeveralParts) {
  // More stream than a part holds, with a dependency from each command to the next.
  constexpr std::uint32_t kSteps = 400;
  Buffer a = device_->allocate(4096, kHostUncached), b = device_->allocate(4096, kHostUncached);
  words(a)[0] = 0;
  KilnKernel add = device_->probe("mirror_add");
  KilnCommandBuffer commands = device_->record(0);
  for (std::uint32_t i = 0; i < kSteps; ++i) {
    const bool odd = i % 2 != 0;
    dispatch(*device_, commands, add, 1, 64,
             Arguments(odd ? b.address : a.address, odd ? a.address : b.address, 1u, 1u));
    barrier(*device_, commands);
  }
  ASSERT_EQ(device_->run(device_->compute(), commands), VK_SUCCESS) << machine_->said();
  EXPECT_EQ(words(a)[0], kSteps);
}

TEST_P(CommandTest, TimestampsGrow) {
  Buffer times = device_->allocate(4096, kHostUncached);
  Buffer data = device_->allocate(1 << 20, kDeviceLocal);
  for (std::uint32_t family : {0u, 1u}) {
    std::uint64_t before, after, host, deviation;
    ASSERT_EQ(kilnGetCalibratedTimestamps(device_->handle(), &before, &host, &deviation),
              VK_SUCCESS);
    KilnCommandBuffer commands = device_->record(family);
    device_->check(kilnCmdWriteTimestamp(commands, times.address), "timestamp");
    device_->check(kilnCmdFillMemory(commands, data.address, data.size, 3, 4), "filling");
    barrier(*device_, commands);
    device_->check(kilnCmdWriteTimestamp(commands, times.address + 64), "timestamp");
    ASSERT_EQ(device_->run(device_->queue(family, 0), commands), VK_SUCCESS) << machine_->said();
    ASSERT_EQ(kilnGetCalibratedTimestamps(device_->handle(), &after, &host, &deviation),
              VK_SUCCESS);
    const auto* ticks = reinterpret_cast<const std::uint64_t*>(times.host);
    EXPECT_GE(ticks[0], before) << family;
    EXPECT_GT(ticks[8], ticks[0]) << family;
    EXPECT_LE(ticks[8], after) << family;
  }
  KilnCommandBuffer commands = device_->record(0);
  EXPECT_EQ(kilnCmdWriteTimestamp(commands, times.address + 4), VK_ERROR_VALIDATION_FAILED_EXT);
}

TEST_P(CommandTest, ValuesAreWrittenAfterWhatCameBefore) {
  Buffer data = device_->allocate(1 << 20, kHostCached),
         flag = device_->allocate(4096, kHostUncached);
  auto* value = reinterpret_cast<std::atomic<std::uint64_t>*>(flag.host);
  for (std::uint32_t family : {0u, 1u}) {
    const std::uint64_t expected = 0x1'0000'0005u + family;
    value->store(0);
    KilnCommandBuffer commands = device_->record(family);
    device_->check(kilnCmdFillMemory(commands, data.address, data.size, 0x55 + family, 4), "fill");
    device_->check(kilnCmdWriteValue(commands, flag.address, expected), "writing a value");
    device_->end(commands);
    device_->submit(device_->queue(family, 0), {}, {commands}, {});
    while (value->load(std::memory_order_acquire) != expected) {
      ASSERT_EQ(kilnGetDeviceStatus(device_->handle()), VK_SUCCESS) << machine_->said();
      sched_yield();
    }
    EXPECT_EQ(words(data)[data.size / 4 - 1], 0x55u + family);
    ASSERT_EQ(kilnQueueWaitIdle(device_->queue(family, 0)), VK_SUCCESS);
  }
  KilnCommandBuffer commands = device_->record(0);
  EXPECT_EQ(kilnCmdWriteValue(commands, flag.address + 4, 1), VK_ERROR_VALIDATION_FAILED_EXT);
}

TEST_P(CommandTest, WaitingForAValueBlocks) {
  Buffer data = device_->allocate(4096, kHostCached), flag = device_->allocate(4096, kHostUncached);
  auto* value = reinterpret_cast<std::atomic<std::uint64_t>*>(flag.host);
  KilnSemaphore done = device_->semaphore();
  for (std::uint32_t family : {0u, 1u}) {
    // 64 bits on compute queues, where the low half alone would already be enough.
    const std::uint64_t target = family == 0 ? 0x1'0000'0001u : 0x7fff'ffffu;
    value->store(5);
    words(data)[0] = 0;
    KilnCommandBuffer commands = device_->record(family);
    device_->check(kilnCmdWaitValue(commands, flag.address, target), "waiting for a value");
    device_->check(kilnCmdFillMemory(commands, data.address, 64, 9, 4), "filling");
    device_->end(commands);
    device_->submit(device_->queue(family, 0), {}, {commands}, {{done, family + 1}});
    EXPECT_EQ(device_->wait(done, family + 1, 30'000'000), VK_TIMEOUT);
    EXPECT_EQ(words(data)[0], 0u);
    value->store(target, std::memory_order_release);
    ASSERT_EQ(device_->wait(done, family + 1), VK_SUCCESS) << machine_->said();
    EXPECT_EQ(words(data)[0], 9u);
  }
}

TEST_P(CommandTest, SdmaRefusesToWaitForMoreThan32Bits) {
  Buffer flag = device_->allocate(4096, kHostUncached);
  KilnCommandBuffer commands = device_->record(1);
  EXPECT_EQ(kilnCmdWaitValue(commands, flag.address, 0x1'0000'0000u), VK_ERROR_FEATURE_NOT_PRESENT);
  commands = device_->record(0);
  EXPECT_EQ(kilnCmdWaitValue(commands, flag.address + 4, 1), VK_ERROR_VALIDATION_FAILED_EXT);
}

}  // namespace
}  // namespace api_test

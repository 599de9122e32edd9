// Owns: tests of scratch memory: it belongs to a queue, grows, and command buffers find it wherever
//   they run.
// Does not own: its layout (tests/vgpu), its sizes and descriptors (tests/golden).
// Threading: none.
#include <cstring>
#include <memory>

#include "fixture.hpp"

namespace api_test {
namespace {

constexpr std::uint32_t kGroups = 40, kGroup = 128, kThreads = kGroups * kGroup;

class ScratchTest : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>(spec());
    device_ = std::make_unique<Device>(*machine_);
  }
  /// Filled with what no count of errors is.
  Buffer results() {
    Buffer buffer = device_->allocate(kThreads * 4, kHostUncached);
    std::memset(buffer.host, 0xEE, kThreads * 4);
    return buffer;
  }
  void add(KilnCommandBuffer commands, const char* kernel, const Buffer& wrong, std::uint32_t seed,
           std::uint32_t rounds = 2) {
    dispatch(*device_, commands, device_->probe(kernel), kGroups, kGroup,
             Arguments(wrong.address, seed, rounds));
  }
  static void expect_right(const Buffer& wrong) {
    std::uint32_t bad = 0;
    for (std::uint32_t i = 0; i < kThreads; ++i) bad += words(wrong)[i] != 0;
    EXPECT_EQ(bad, 0u) << "lanes whose scratch was not their own";
  }
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;
};
KILN_EACH_GPU(ScratchTest);

TEST_P(ScratchTest, ACommandBufferMovesFromQueueToQueue) {
  // While another one keeps the queue that it left busy in its scratch.
  Buffer moving = results(), staying[2] = {results(), results()};
  KilnCommandBuffer commands = device_->record(0), others[2];
  add(commands, "scratch_small", moving, 1, 6);
  device_->end(commands);
  for (std::uint32_t i = 0; i < 2; ++i) {
    others[i] = device_->record(0);
    add(others[i], "scratch_small", staying[i], 50 + i, 6);
    device_->end(others[i]);
  }
  KilnSemaphore gate = device_->semaphore(),
                lines[2] = {device_->semaphore(), device_->semaphore()};
  for (std::uint64_t round = 1; round <= 4; ++round) {
    const std::uint32_t here = round % 2, there = 1 - here;
    for (const Buffer* each : {&moving, &staying[there]})
      std::memset(each->host, 0xEE, kThreads * 4);
    device_->submit(device_->compute(here), {{gate, round}}, {commands}, {{lines[here], round}});
    device_->submit(device_->compute(there), {{gate, round}}, {others[there]},
                    {{lines[there], round}});
    ASSERT_EQ(kilnSignalSemaphore(device_->handle(), gate, round), VK_SUCCESS);
    for (KilnSemaphore line : lines)
      ASSERT_EQ(device_->wait(line, round), VK_SUCCESS) << machine_->said();
    expect_right(moving);
    expect_right(staying[there]);
  }
}

TEST_P(ScratchTest, TwoQueuesHaveTheirOwn) {
  // At the same time, with different data in the same places of each queue's memory.
  Buffer wrong[2] = {results(), results()};
  KilnSemaphore lines[2] = {device_->semaphore(), device_->semaphore()};
  for (std::uint32_t i = 0; i < 2; ++i) {
    KilnCommandBuffer commands = device_->record(0);
    add(commands, "scratch_small", wrong[i], 100 + i, 6);
    device_->end(commands);
    device_->submit(device_->compute(i), {}, {commands}, {{lines[i], 1}});
  }
  for (std::uint32_t i = 0; i < 2; ++i) {
    ASSERT_EQ(device_->wait(lines[i], 1), VK_SUCCESS) << machine_->said();
    expect_right(wrong[i]);
  }
}

TEST_P(ScratchTest, ItGrowsUnderACommandBufferThatIsPending) {
  Buffer small = results(), large = results();
  KilnSemaphore gate = device_->semaphore(), line = device_->semaphore();
  KilnCommandBuffer first = device_->record(0), second = device_->record(0);
  add(first, "scratch_small", small, 3);
  device_->end(first);
  add(second, "scratch_large", large, 4);
  device_->end(second);
  // The first waits on the GPU while the second makes the queue's memory grow, and is then
  // submitted again: its dwords may be read at any moment.
  device_->submit(device_->compute(), {{gate, 1}}, {first}, {{line, 1}});
  device_->submit(device_->compute(), {}, {second}, {{line, 2}});
  device_->submit(device_->compute(), {}, {first, second, first}, {{line, 3}});
  ASSERT_EQ(kilnSignalSemaphore(device_->handle(), gate, 1), VK_SUCCESS);
  ASSERT_EQ(device_->wait(line, 3), VK_SUCCESS) << machine_->said();
  expect_right(small);
  expect_right(large);
  // All of it has retired: the next submission finds the new memory.
  std::memset(small.host, 0xEE, kThreads * 4);
  device_->submit(device_->compute(), {}, {first}, {{line, 4}});
  ASSERT_EQ(device_->wait(line, 4), VK_SUCCESS) << machine_->said();
  expect_right(small);
}

TEST_P(ScratchTest, KernelsWithAndWithoutTakeTurns) {
  Buffer small = results(), large = results(),
         plain = device_->allocate(kThreads * 4, kHostUncached);
  KilnCommandBuffer commands = device_->record(0);
  for (std::uint32_t round = 0; round < 3; ++round) {
    add(commands, "scratch_small", small, 7 + round);
    dispatch(*device_, commands, device_->probe("fill"), kGroups, kGroup,
             Arguments(plain.address, 5u + round));
    add(commands, "scratch_large", large, 9 + round);
    barrier(*device_, commands);
  }
  ASSERT_EQ(device_->run(device_->compute(), commands), VK_SUCCESS) << machine_->said();
  expect_right(small);
  expect_right(large);
  EXPECT_EQ(words(plain)[kThreads - 1], 7u);
}

}  // namespace
}  // namespace api_test

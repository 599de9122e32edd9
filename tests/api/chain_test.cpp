// Owns: the two long-run bars: two dependent dispatches in one command buffer, and the chain
//   compute -> SDMA -> compute -> host, many times under maximal skew and strict memory, across
//   2^32, in half the runs with the consumer submitted first.
// Does not own: single steps (sync_test.cpp).
// Threading: none.
#include "fixture.hpp"

namespace api_test {
namespace {

constexpr std::uint64_t kEpoch = std::uint64_t{1} << 32;
constexpr std::uint32_t kCount = 1024;  // words, 16 workgroups: two to each XCC
constexpr std::uint32_t kGroup = 64;

/// First: the GPU. Second: the seed of the skew.
class ChainTest : public testing::TestWithParam<std::tuple<const char*, int>> {
 protected:
  void SetUp() override {
    machine_ =
        std::make_unique<Machine>(std::string(std::get<0>(GetParam())) + ",strict,skew=max,seed=" +
                                  std::to_string(std::get<1>(GetParam())));
    device_ = std::make_unique<Device>(*machine_);
  }
  std::uint64_t seed() const { return static_cast<std::uint64_t>(std::get<1>(GetParam())); }
  /// What each of the two tests does a share of.
  static std::uint32_t rounds() { return (repeats() + kSeeds - 1) / kSeeds; }

  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;

 public:
  static constexpr int kSeeds = 3;
};
INSTANTIATE_TEST_SUITE_P(Seeds, ChainTest,
                         testing::Combine(testing::ValuesIn(kEachGpu),
                                          testing::Range(1, 1 + ChainTest::kSeeds)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_seed" +
                                  std::to_string(std::get<1>(info.param));
                         });

TEST_P(ChainTest, TwoDependentDispatchesInOneCommandBuffer) {
  Buffer a = device_->allocate(kCount * 4, kHostCached),
         b = device_->allocate(kCount * 4, kDeviceLocal);
  for (std::uint32_t i = 0; i < kCount; ++i) words(a)[i] = i;
  KilnKernel add = device_->probe("mirror_add");
  KilnCommandBuffer commands = device_->record(0);
  // Element i comes from element n-1-i: from another workgroup, on another XCC.
  dispatch(*device_, commands, add, kCount / kGroup, kGroup,
           Arguments(a.address, b.address, kCount, 1u));
  device_->check(kilnCmdBarrier(commands, nullptr), "barrier");
  dispatch(*device_, commands, add, kCount / kGroup, kGroup,
           Arguments(b.address, a.address, kCount, 1u));
  device_->end(commands);

  const std::uint32_t n = rounds();
  const std::uint64_t start = kEpoch - n / 2 - seed();
  KilnSemaphore gate = device_->semaphore(start), done = device_->semaphore(start);
  for (std::uint32_t round = 1; round <= n; ++round) {
    const std::uint64_t value = start + round;
    if (round % 2 == 0) {
      ASSERT_EQ(kilnSignalSemaphore(device_->handle(), gate, value), VK_SUCCESS);
      device_->submit(device_->compute(), {{gate, value}}, {commands}, {{done, value}});
    } else {  // what it waits for comes later
      device_->submit(device_->compute(), {{gate, value}}, {commands}, {{done, value}});
      device_->submit(device_->compute(1), {}, {}, {{gate, value}});
    }
    ASSERT_EQ(device_->wait(done, value), VK_SUCCESS) << round << machine_->said();
    for (std::uint32_t i = 0; i < kCount; ++i)
      ASSERT_EQ(words(a)[i], i + 2 * round) << "word " << i << " in round " << round;
  }
  for (KilnQueue queue : {device_->compute(0), device_->compute(1)})
    EXPECT_EQ(device_->statistics(queue).deferredCount, 0u);
}

/// The same without its barrier, so that the test above is known to be able to fail.
TEST_P(ChainTest, WithoutTheBarrierItGoesWrong) {
  Buffer a = device_->allocate(kCount * 4, kHostCached),
         b = device_->allocate(kCount * 4, kDeviceLocal);
  KilnKernel add = device_->probe("mirror_add");
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, add, kCount / kGroup, kGroup,
           Arguments(a.address, b.address, kCount, 1u));
  dispatch(*device_, commands, add, kCount / kGroup, kGroup,
           Arguments(b.address, a.address, kCount, 1u));
  device_->end(commands);
  KilnSemaphore done = device_->semaphore();
  bool wrong = false;
  for (std::uint32_t round = 1; round <= 500 && !wrong; ++round) {
    for (std::uint32_t i = 0; i < kCount; ++i) words(a)[i] = i + round;
    device_->submit(device_->compute(), {}, {commands}, {{done, round}});
    ASSERT_EQ(device_->wait(done, round), VK_SUCCESS) << machine_->said();
    for (std::uint32_t i = 0; i < kCount; ++i) wrong = wrong || words(a)[i] != i + round + 2;
  }
  EXPECT_TRUE(wrong);
}

TEST_P(ChainTest, ComputeSdmaComputeHost) {
  Buffer in = device_->allocate(kCount * 4, kHostCached),
         first = device_->allocate(kCount * 4, kDeviceLocal),
         copied = device_->allocate(kCount * 4, kDeviceLocal),
         out = device_->allocate(kCount * 4, kHostCached);
  KilnKernel add = device_->probe("mirror_add");
  KilnCommandBuffer produce = device_->record(0), move = device_->record(1),
                    consume = device_->record(0);
  dispatch(*device_, produce, add, kCount / kGroup, kGroup,
           Arguments(in.address, first.address, kCount, 3u));
  device_->end(produce);
  device_->check(kilnCmdCopyMemory(move, copied.address, first.address, kCount * 4), "copying");
  device_->end(move);
  dispatch(*device_, consume, add, kCount / kGroup, kGroup,
           Arguments(copied.address, out.address, kCount, 5u));
  device_->end(consume);

  const std::uint32_t n = rounds();
  const std::uint64_t start = kEpoch - (n / 2) * 3 - seed();
  KilnSemaphore line = device_->semaphore(start);
  for (std::uint32_t round = 0; round < n; ++round) {
    for (std::uint32_t i = 0; i < kCount; ++i) words(in)[i] = i * 7 + round * 4096;
    const std::uint64_t value = start + 3 * round;
    auto step = [&](int which) {
      if (which == 0)
        device_->submit(device_->compute(0), {}, {produce}, {{line, value + 1}});
      else if (which == 1)
        device_->submit(device_->sdma(), {{line, value + 1}}, {move}, {{line, value + 2}});
      else
        device_->submit(device_->compute(1), {{line, value + 2}}, {consume}, {{line, value + 3}});
    };
    const bool consumer_first = round % 2 != 0;
    for (int i = 0; i < 3; ++i) step(consumer_first ? 2 - i : i);
    ASSERT_EQ(device_->wait(line, value + 3), VK_SUCCESS) << round << machine_->said();
    for (std::uint32_t i = 0; i < kCount; ++i)
      ASSERT_EQ(words(out)[i], i * 7 + round * 4096 + 8) << "word " << i << " in round " << round;
  }
  ASSERT_EQ(kilnDeviceWaitIdle(device_->handle()), VK_SUCCESS);
  // Only in the one round that crosses 2^32, and only for the sake of the engine that polls 32
  // bits: its own submission, or the signal that would leave the epoch under its poll.
  std::uint64_t deferred = 0;
  for (KilnQueue queue : {device_->compute(0), device_->compute(1), device_->sdma()}) {
    const KilnQueueStatistics statistics = device_->statistics(queue);
    EXPECT_EQ(statistics.deferredCount, statistics.epochDeferredCount);
    deferred += statistics.deferredCount;
  }
  EXPECT_LE(deferred, 1u);
  EXPECT_GT(device_->counter(line), kEpoch);
}

}  // namespace
}  // namespace api_test

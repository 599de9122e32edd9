// Owns: tests of sleeping for KFD events, with ages and without, and of faults that arrive as
//   events.
// Does not own: queue error payloads (kfd_queue_test).
// Threading: starts threads that sleep in wait().
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "kfd_fake_os.hpp"

namespace kiln::kmd {
namespace {

using testing::FakeOs;

constexpr unsigned kCreateEvent = 0x08, kWaitEvents = 0x0c;
constexpr std::uint64_t kLong = 60'000'000'000;

/// The same behaviour on a KFD that wakes by age (newest, 1.14) and on one that does not (1.11).
class KfdEvent : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  KfdEvent() : os_(GetParam()) {}
  void SetUp() override {
    os_.add_gpu(1, 11, 128, FakeOs::mi300x());
    os_.add_gpu(2, 22, 129, FakeOs::mi300x());
    kmd_ = make_kfd(os_);
    std::vector<Unusable> unusable;
    ASSERT_TRUE(kmd_->enumerate(&infos_, &unusable));
    for (const GpuInfo& info : infos_) {
      auto gpu = kmd_->open(info);
      ASSERT_TRUE(gpu) << gpu.error().message;
      gpus_.push_back(std::move(*gpu));
    }
  }
  Gpu& gpu(std::size_t index = 0) { return *gpus_[index]; }
  bool ages() const { return GetParam() >= 14; }

  /// Sleeps as core does: age, own condition, wait; until `done` is set.
  WaitResult sleep_until(Gpu& gpu, const Event& event, const std::atomic<bool>& done) {
    for (;;) {
      const std::uint64_t age = gpu.event_age(event);
      if (done.load()) return WaitResult::Woken;
      if (gpu.wait(event, age, kLong) == WaitResult::Faulted) return WaitResult::Faulted;
    }
  }

  FakeOs os_;
  std::unique_ptr<Kmd> kmd_;
  std::vector<GpuInfo> infos_;
  std::vector<std::unique_ptr<Gpu>> gpus_;
};

TEST_P(KfdEvent, TheMailboxIsTheEventsSlotOfTheSignalPage) {
  auto first = gpu().create_event();
  auto second = gpu(1).create_event();
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->id, 0u);  // KFD drops interrupts with context id 0
  const auto page = os_.calls_of<uapi::AllocMemoryOfGpu>(0x16).at(0);
  EXPECT_EQ(first->mailbox, page.va_addr + first->id * 8);
  EXPECT_EQ(second->mailbox, page.va_addr + second->id * 8);
  EXPECT_TRUE(gpu().destroy_event(*first));
  EXPECT_FALSE(gpu().destroy_event(*first));
}

TEST_P(KfdEvent, AnInterruptBeforeTheSleepIsNotLost) {
  auto event = gpu().create_event();
  ASSERT_TRUE(event);
  for (int round = 0; round < 20; ++round) {
    const std::uint64_t age = gpu().event_age(*event);
    os_.fire(event->id);
    WaitResult result = WaitResult::TimedOut;
    // A call sleeps 200 ms at most, which a loaded machine may use up before the other thread ran.
    for (int call = 0; call < 100 && result != WaitResult::Woken; ++call)
      result = gpu().wait(*event, age, kLong);
    ASSERT_EQ(result, WaitResult::Woken) << round;
  }
}

TEST_P(KfdEvent, OneInterruptWakesEverySleeper) {
  auto event = gpu().create_event();
  ASSERT_TRUE(event);
  std::atomic<bool> done{false};
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 4; ++i)
    sleepers.emplace_back([&, i] { sleep_until(gpu(i % 2), *event, done); });
  os_.await_waiter(event->id);
  done = true;
  os_.fire(event->id);
  for (std::thread& sleeper : sleepers) sleeper.join();
}

TEST_P(KfdEvent, SetEventWakesASleeper) {
  auto event = gpu().create_event();
  ASSERT_TRUE(event);
  std::atomic<bool> done{false};
  std::thread sleeper([&] { sleep_until(gpu(), *event, done); });
  os_.await_waiter(event->id);
  done = true;
  EXPECT_TRUE(gpu().set_event(*event));
  sleeper.join();
}

TEST_P(KfdEvent, NoSleepIsLongerThan200MillisecondsForKfd) {
  auto event = gpu().create_event();
  ASSERT_TRUE(event);
  const std::uint64_t age = gpu().event_age(*event);
  (void)gpu().wait(*event, age, kLong);
  EXPECT_EQ(gpu().wait(*event, gpu().event_age(*event), 0), WaitResult::TimedOut);
  for (const auto& call : os_.calls_of<uapi::WaitEvents>(kWaitEvents)) {
    EXPECT_LE(call.timeout, 200u);
    EXPECT_EQ(call.wait_for_all, 0u);
  }
}

TEST_P(KfdEvent, AMemoryFaultLosesItsGpuAndWakesItsSleepers) {
  auto event = gpu().create_event();
  ASSERT_TRUE(event);
  std::atomic<bool> done{false};
  WaitResult result = WaitResult::TimedOut;
  std::thread sleeper([&] { result = sleep_until(gpu(0), *event, done); });
  os_.await_waiter(event->id);
  os_.fire_memory_fault(
      {.failure = {1, 0, 0, 1}, .va = 0x7f1234567000, .gpu_id = 11, .error_type = 0});
  sleeper.join();
  EXPECT_EQ(result, WaitResult::Faulted);
  const FaultInfo fault = gpu(0).fault();
  EXPECT_EQ(fault.kind, FaultKind::MemoryFault);
  EXPECT_EQ(fault.address, 0x7f1234567000u);
  EXPECT_TRUE(fault.not_present);
  EXPECT_FALSE(fault.read_only);
  EXPECT_NE(fault.text.find("0x7f1234567000"), std::string::npos);
  EXPECT_NE(fault.text.find("nothing is mapped"), std::string::npos);
  EXPECT_NE(fault.text.find("approximate"), std::string::npos);

  // The other GPU goes on, and so do its sleeps, although KFD's fault event stays signalled.
  EXPECT_EQ(gpu(1).fault().kind, FaultKind::None);
  EXPECT_EQ(gpu(1).wait(*event, gpu(1).event_age(*event), 1'000'000), WaitResult::TimedOut);

  // The process is evicted from the GPU for good: no queue, no new device there.
  auto queue = gpu(0).create_queue({.ring_bytes = 4096});
  ASSERT_FALSE(queue);
  EXPECT_EQ(queue.error().code, VK_ERROR_DEVICE_LOST);
  gpus_[0].reset();
  auto again = kmd_->open(infos_[0]);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, VK_ERROR_DEVICE_LOST);
  EXPECT_NE(again.error().message.find("for good"), std::string::npos);
  EXPECT_NE(again.error().message.find("0x7f1234567000"), std::string::npos);
  EXPECT_TRUE(kmd_->open(infos_[1]));
}

TEST_P(KfdEvent, TheFirstFaultStaysAndASecondGpusIsSeenToo) {
  os_.fire_memory_fault({.failure = {0, 1, 0, 0}, .va = 0x1000, .gpu_id = 11, .error_type = 0});
  EXPECT_EQ(gpu(0).fault().address, 0x1000u);
  EXPECT_TRUE(gpu(0).fault().read_only);
  os_.fire_memory_fault({.failure = {1, 0, 0, 0}, .va = 0x2000, .gpu_id = 22, .error_type = 0});
  EXPECT_EQ(gpu(1).fault().address, 0x2000u);
  os_.fire_memory_fault({.failure = {1, 0, 0, 0}, .va = 0x3000, .gpu_id = 11, .error_type = 0});
  EXPECT_EQ(gpu(0).fault().address, 0x1000u);
}

TEST_P(KfdEvent, AResetSaysWhatWasReset) {
  os_.fire_reset({.reset_type = 0, .reset_cause = 0, .memory_lost = 1, .gpu_id = 22});
  EXPECT_EQ(gpu(0).fault().kind, FaultKind::None);
  const FaultInfo fault = gpu(1).fault();
  EXPECT_EQ(fault.kind, FaultKind::HardwareReset);
  EXPECT_NE(fault.text.find("after a hang"), std::string::npos);
  EXPECT_NE(fault.text.find("lost"), std::string::npos);
}

TEST_P(KfdEvent, AResetWithoutDataConcernsEveryGpu) {
  os_.fire_reset({});  // before Linux 6.8 the data of this event was not passed on
  EXPECT_EQ(gpu(0).fault().kind, FaultKind::HardwareReset);
  EXPECT_EQ(gpu(1).fault().kind, FaultKind::HardwareReset);
}

TEST_P(KfdEvent, EventsRunOutInWords) {
  os_.answers[kCreateEvent] = [](void*) { return -ENOSPC; };
  auto event = gpu().create_event();
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().code, VK_ERROR_TOO_MANY_OBJECTS);
  EXPECT_NE(event.error().message.find("4096"), std::string::npos);
}

TEST_P(KfdEvent, TheSignalEventCarriesItsAgeOnlyWhereKfdKnowsAges) {
  auto event = gpu().create_event();
  ASSERT_TRUE(event);
  std::vector<std::uint64_t> passed;
  std::mutex mutex;
  os_.answers[kWaitEvents] = [&](void* argument) {
    const auto& args = *static_cast<uapi::WaitEvents*>(argument);
    const auto* data = reinterpret_cast<const uapi::EventData*>(args.events_ptr);
    const std::lock_guard lock(mutex);
    for (std::uint32_t i = 0; i < args.num_events; ++i)
      if (data[i].event_id == event->id) passed.push_back(data[i].signal_event_data.last_event_age);
    return FakeOs::kDefault;
  };
  os_.fire(event->id);
  EXPECT_NE(gpu().wait(*event, gpu().event_age(*event), 100'000'000), WaitResult::Faulted);
  gpus_.clear();  // ends the thread that sleeps without ages
  os_.answers.erase(kWaitEvents);
  ASSERT_FALSE(passed.empty());
  EXPECT_EQ(passed.front(), ages() ? 1u : 0u);  // kfd_event_create: ages start at 1
}

INSTANTIATE_TEST_SUITE_P(Versions, KfdEvent, ::testing::Values(11u, 14u, uapi::kMinorNewest),
                         [](const auto& info) { return "kfd_1_" + std::to_string(info.param); });

}  // namespace
}  // namespace kiln::kmd

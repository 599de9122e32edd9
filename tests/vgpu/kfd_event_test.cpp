// Events of the virtual KFD: kfd_events.c and kfd_int_process_v9.c are what is checked against.
#include <atomic>
#include <thread>

#include "kfd_fixture.hpp"

namespace kiln::vgpu::test {
namespace {

constexpr std::uint32_t kForever = 0xffffffff;

/// A client with the event page that real clients make, and one compute queue so that there are
/// engines to raise interrupts.
class EventTest : public ::testing::Test {
 protected:
  void start(const std::string& spec, std::uint32_t queue_type = uapi::kQueueComputeAql) {
    client = std::make_unique<Client>(spec);
    client->acquire_all();
    page = client->buffer(kGttFlags, uapi::kSignalPageBytes);
    uapi::CreateEvent args{};
    args.event_page_offset = page.handle;
    args.event_type = uapi::kEventSignal;
    ASSERT_EQ(client->call(uapi::kIocCreateEvent, args), 0);
    first = args;
    auto queue = client->queue_args(queue_type);
    ASSERT_EQ(client->create(queue), 0);
    engines = client->noted.at(0);
    process = engines->queues.at(queue.queue_id).process;
  }
  std::uint64_t& slot(std::uint32_t id) { return reinterpret_cast<std::uint64_t*>(page.host)[id]; }
  std::uint32_t poll(std::uint32_t id, std::uint64_t* age = nullptr) {
    std::vector<uapi::EventData> events{event_data(id, age != nullptr ? *age : 0)};
    std::uint32_t result = 99;
    EXPECT_EQ(client->wait(events, false, 0, &result), 0);
    if (age != nullptr) *age = events[0].signal_event_data.last_event_age;
    return result;
  }

  std::unique_ptr<Client> client;
  Buffer page;
  uapi::CreateEvent first{};
  NotingEngines* engines = nullptr;
  std::uint64_t process = 0;
};

TEST_F(EventTest, IdsSlotsAndThePage) {
  start("mi300x");
  EXPECT_EQ(first.event_id, 1u);  // 0 is kept for interrupts without a context id
  EXPECT_EQ(first.event_slot_index, first.event_id);
  EXPECT_EQ(first.event_trigger_data, first.event_id);
  EXPECT_EQ(slot(first.event_id), ~0ull);
  EXPECT_EQ(client->event(uapi::kEventSignal).event_id, 2u);
  const auto memory = client->event(uapi::kEventMemory);
  EXPECT_GE(memory.event_id, 0x40000000u);  // KFD_FIRST_NONSIGNAL_EVENT_ID
  // A second page is refused: kfd_kmap_event_page looks first and says EINVAL.
  const Buffer other = client->buffer(kGttFlags, uapi::kSignalPageBytes);
  uapi::CreateEvent args{};
  args.event_page_offset = other.handle;
  EXPECT_EQ(client->call(uapi::kIocCreateEvent, args), -EINVAL);
  // The page cannot be freed while events live on it (kfd_ioctl_free_memory_of_gpu).
  EXPECT_EQ(client->unmap(page, {client->id()}), 0);
  EXPECT_EQ(client->free(page), -EPERM);
}

TEST_F(EventTest, PageMustBeSystemMemoryOfTheProcess) {
  Client other("mi300x");
  other.acquire_all();
  const Buffer vram = other.buffer(kVramFlags, uapi::kSignalPageBytes);
  const Buffer small = other.buffer(kGttFlags, 4096);
  for (const std::uint64_t handle :
       {vram.handle, small.handle, vram.handle + 77, std::uint64_t{0x77777777}}) {
    uapi::CreateEvent args{};
    args.event_page_offset = handle;
    EXPECT_EQ(other.call(uapi::kIocCreateEvent, args), -EINVAL) << handle;
  }
}

TEST_F(EventTest, SignalEventsRunOutAtTheLimit) {
  start("mi300x");
  uapi::CreateEvent args{};
  auto create = [&] {
    args = {};  // the mmap offset of the last one would be taken for a page's handle
    return client->call(uapi::kIocCreateEvent, args);
  };
  for (std::uint32_t i = 2; i < uapi::kSignalEventLimit; ++i) ASSERT_EQ(create(), 0) << i;
  EXPECT_EQ(create(), -ENOSPC);
  uapi::DestroyEvent destroy{17, 0};
  EXPECT_EQ(client->call(uapi::kIocDestroyEvent, destroy), 0);
  EXPECT_EQ(client->call(uapi::kIocDestroyEvent, destroy), -EINVAL);
  EXPECT_EQ(create(), 0);
  EXPECT_EQ(args.event_id, 17u);
}

TEST_F(EventTest, OwnPageOfTheDriverIsMappedFromDevKfd) {
  // Without a page from user space: kfd_event_mmap, and 256 slots until it is mapped.
  Client other("navi31");
  auto made = other.event(uapi::kEventSignal);
  void* at = nullptr;
  ASSERT_EQ(other.os->mmap(&at, nullptr, 32768, PROT_READ | PROT_WRITE, MAP_SHARED, other.kfd,
                           static_cast<off_t>(made.event_page_offset)),
            0);
  EXPECT_EQ(static_cast<std::uint64_t*>(at)[made.event_slot_index], ~0ull);
  EXPECT_EQ(other.os->mmap(&at, nullptr, 65536, PROT_READ, MAP_SHARED, other.kfd,
                           static_cast<off_t>(made.event_page_offset)),
            -EINVAL);
}

TEST_F(EventTest, InterruptNeedsTheSlotWritten) {
  start("mi300x");
  const std::uint32_t id = first.event_id;
  engines->host.interrupt(process, id);
  EXPECT_EQ(poll(id), uapi::kWaitTimeout) << "the slot still says unsignalled";
  slot(id) = id;
  engines->host.interrupt(process, id);
  EXPECT_EQ(slot(id), ~0ull) << "KFD takes the slot back";
  EXPECT_EQ(poll(id), uapi::kWaitComplete);
}

TEST_F(EventTest, ContextIdZeroIsDroppedOnGfx9AndSearchesOnGfx11) {
  start("mi300x");
  slot(first.event_id) = 1;
  engines->host.interrupt(process, 0);
  EXPECT_EQ(poll(first.event_id), uapi::kWaitTimeout);
  EXPECT_EQ(slot(first.event_id), 1u);

  start("navi31");
  slot(first.event_id) = 1;
  engines->host.interrupt(process, 0);
  EXPECT_EQ(poll(first.event_id), uapi::kWaitComplete);
}

TEST_F(EventTest, WrongContextIdFindsWhateverIsSignalled) {
  start("mi300x");
  const auto second = client->event(uapi::kEventSignal);
  slot(second.event_id) = 5;
  engines->host.interrupt(process, 4000);  // "assume that the event ID was invalid"
  EXPECT_EQ(poll(first.event_id), uapi::kWaitTimeout);
  EXPECT_EQ(poll(second.event_id), uapi::kWaitComplete);
}

TEST_F(EventTest, ManualResetStaysAutoResetIsConsumed) {
  start("mi300x");
  const auto manual = client->event(uapi::kEventSignal, false);
  const auto automatic = client->event(uapi::kEventSignal, true);
  ASSERT_EQ(client->set(manual.event_id), 0);
  ASSERT_EQ(client->set(automatic.event_id), 0);
  EXPECT_EQ(poll(manual.event_id), uapi::kWaitComplete);
  EXPECT_EQ(poll(manual.event_id), uapi::kWaitComplete);
  EXPECT_EQ(poll(automatic.event_id), uapi::kWaitComplete);
  EXPECT_EQ(poll(automatic.event_id), uapi::kWaitTimeout);
  uapi::ResetEvent reset{manual.event_id, 0};
  ASSERT_EQ(client->call(uapi::kIocResetEvent, reset), 0);
  EXPECT_EQ(poll(manual.event_id), uapi::kWaitTimeout);
  // Only signal events can be set or reset by the host.
  const auto memory = client->event(uapi::kEventMemory);
  EXPECT_EQ(client->set(memory.event_id), -EINVAL);
  EXPECT_EQ(client->set(12345), -EINVAL);
}

TEST_F(EventTest, AnyAndAll) {
  start("mi300x");
  const auto a = client->event(uapi::kEventSignal), b = client->event(uapi::kEventSignal);
  ASSERT_EQ(client->set(a.event_id), 0);
  std::vector<uapi::EventData> both{event_data(a.event_id), event_data(b.event_id)};
  std::uint32_t result = 99;
  EXPECT_EQ(client->wait(both, false, 0, &result), 0);
  EXPECT_EQ(result, uapi::kWaitComplete);
  EXPECT_EQ(client->wait(both, true, 0, &result), 0);
  EXPECT_EQ(result, uapi::kWaitTimeout);
  ASSERT_EQ(client->set(b.event_id), 0);
  EXPECT_EQ(client->wait(both, true, 0, &result), 0);
  EXPECT_EQ(result, uapi::kWaitComplete);
}

TEST_F(EventTest, EveryKindCanBeMadeAndWaitedFor) {
  // kfd_events.c kfd_event_create: signal and debug events have a slot, all others, known or not,
  // a number from KFD_FIRST_NONSIGNAL_EVENT_ID on.
  start("mi300x");
  for (const std::uint32_t type : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 99u}) {
    const auto event = client->event(type);
    const bool has_slot = type == uapi::kEventSignal || type == uapi::kEventDebug;
    EXPECT_EQ(event.event_id < uapi::kSignalEventLimit, has_slot) << type;
    EXPECT_EQ(event.event_page_offset, has_slot ? 2ull << 62 : 0) << type;
    EXPECT_EQ(event.event_trigger_data, event.event_id);
    EXPECT_EQ(poll(event.event_id), uapi::kWaitTimeout) << type;
    // The GPU can signal what has a slot, the host only signal events.
    EXPECT_EQ(client->set(event.event_id), type == uapi::kEventSignal ? 0 : -EINVAL) << type;
    if (type != uapi::kEventDebug) continue;
    slot(event.event_id) = 1;
    engines->host.interrupt(process, event.event_id);
    EXPECT_EQ(poll(event.event_id), uapi::kWaitComplete);
  }
}

TEST_F(EventTest, NumbersOfDestroyedEventsComeAgain) {
  // idr_alloc: the lowest free one, in both ranges.
  start("mi300x");
  const auto a = client->event(uapi::kEventSignal), b = client->event(uapi::kEventSignal);
  const auto memory = client->event(uapi::kEventMemory), queue = client->event(uapi::kEventQueue);
  EXPECT_EQ(queue.event_id, memory.event_id + 1);
  for (const std::uint32_t id : {a.event_id, memory.event_id}) {
    uapi::DestroyEvent destroy{id, 0};
    ASSERT_EQ(client->call(uapi::kIocDestroyEvent, destroy), 0);
  }
  EXPECT_EQ(client->event(uapi::kEventDebug).event_id, a.event_id);
  EXPECT_EQ(client->event(uapi::kEventHwException).event_id, memory.event_id);
  EXPECT_EQ(client->event(uapi::kEventSignal).event_id, b.event_id + 1);
}

TEST_F(EventTest, WaitsThatEndWithoutTheEvent) {
  start("mi300x");
  const auto event = client->event(uapi::kEventSignal);
  for (const std::uint32_t timeout_ms : {0u, 1u, 5u}) {
    std::vector<uapi::EventData> events{event_data(event.event_id)};
    std::uint32_t result = 99;
    EXPECT_EQ(client->wait(events, true, timeout_ms, &result), 0);
    EXPECT_EQ(result, uapi::kWaitTimeout);
  }
  // No events at all are all there (test_event_condition).
  std::vector<uapi::EventData> none;
  std::uint32_t result = 99;
  EXPECT_EQ(client->wait(none, false, kForever, &result), 0);
  EXPECT_EQ(result, uapi::kWaitComplete);
}

TEST_F(EventTest, AutoResetIsConsumedEvenByAWaitThatFails) {
  // init_event_waiter takes the signal; only a wait that a Unix signal broke gives it back
  // (free_waiters).
  start("mi300x");
  const auto event = client->event(uapi::kEventSignal, true);
  ASSERT_EQ(client->set(event.event_id), 0);
  std::vector<uapi::EventData> twice{event_data(event.event_id), event_data(event.event_id)};
  std::uint32_t result = 99;
  EXPECT_EQ(client->wait(twice, true, 0, &result), 0);
  EXPECT_EQ(result, uapi::kWaitTimeout) << "the first took it from the second";
  EXPECT_EQ(poll(event.event_id), uapi::kWaitTimeout);
  ASSERT_EQ(client->set(event.event_id), 0);
  std::vector<uapi::EventData> with_unknown{event_data(event.event_id), event_data(3999)};
  EXPECT_EQ(client->wait(with_unknown, false, 0, &result), -EINVAL);
  EXPECT_EQ(result, uapi::kWaitFail);
  EXPECT_EQ(poll(event.event_id), uapi::kWaitTimeout);
}

TEST_F(EventTest, ErrorsOfWaiting) {
  start("mi300x");
  std::vector<uapi::EventData> unknown{event_data(3999)};
  std::uint32_t result = 99;
  EXPECT_EQ(client->wait(unknown, false, 0, &result), -EINVAL);
  EXPECT_EQ(result, uapi::kWaitFail);
  uapi::WaitEvents args{};
  args.num_events = 1;
  args.events_ptr = 8;  // not a pointer
  EXPECT_EQ(client->call(uapi::kIocWaitEvents, args), -EFAULT);
}

TEST_F(EventTest, SleepersWakeByInterruptAndBySet) {
  start("mi300x");
  for (const bool by_interrupt : {true, false}) {
    const auto event = client->event(uapi::kEventSignal, true);
    std::atomic<bool> woken{false};
    std::uint32_t result = 99;
    int error = -1;
    std::thread sleeper([&] {
      std::vector<uapi::EventData> events{event_data(event.event_id)};
      error = client->wait(events, false, kForever, &result);
      woken = true;
    });
    // Until the event is signalled nothing may end the wait, however long this thread dawdles.
    for (int i = 0; i < 100; ++i) std::this_thread::yield();
    EXPECT_FALSE(woken);
    if (by_interrupt) {
      std::atomic_ref(slot(event.event_id)).store(event.event_id);
      engines->host.interrupt(process, event.event_id);
    } else {
      EXPECT_EQ(client->set(event.event_id), 0);
    }
    sleeper.join();
    EXPECT_EQ(error, 0);
    EXPECT_EQ(result, uapi::kWaitComplete);
  }
}

TEST_F(EventTest, DestroyEndsTheWaitWithEio) {
  start("mi300x");
  const auto event = client->event(uapi::kEventSignal);
  std::uint32_t result = 99;
  int error = 0;
  std::atomic<bool> started{false};
  std::thread sleeper([&] {
    std::vector<uapi::EventData> events{event_data(first.event_id), event_data(event.event_id)};
    started = true;
    error = client->wait(events, false, kForever, &result);
  });
  while (!started) std::this_thread::yield();
  uapi::DestroyEvent destroy{event.event_id, 0};
  ASSERT_EQ(client->call(uapi::kIocDestroyEvent, destroy), 0);
  sleeper.join();
  EXPECT_EQ(result, uapi::kWaitFail);
  // Before the wait looked the event up it is EINVAL, afterwards EIO.
  EXPECT_TRUE(error == -EIO || error == -EINVAL) << error;
}

TEST_F(EventTest, AgeTellsAMissedSignal) {
  start("mi300x");
  const auto event = client->event(uapi::kEventSignal, true);
  std::uint64_t age = 1;  // the first age of an event
  EXPECT_EQ(poll(event.event_id, &age), uapi::kWaitTimeout);
  age = 1;
  ASSERT_EQ(client->set(event.event_id), 0);
  EXPECT_EQ(poll(event.event_id), uapi::kWaitComplete) << "somebody else consumes it";
  EXPECT_EQ(poll(event.event_id, &age), uapi::kWaitComplete) << "but the age moved on";
  EXPECT_EQ(age, 2u);
  EXPECT_EQ(poll(event.event_id, &age), uapi::kWaitTimeout);
}

TEST_F(EventTest, BeforeKfd114ThereAreNoAges) {
  start("mi300x,kfd=1.13");
  const auto event = client->event(uapi::kEventSignal, true);
  std::uint64_t age = 1;
  ASSERT_EQ(client->set(event.event_id), 0);
  EXPECT_EQ(poll(event.event_id), uapi::kWaitComplete);
  EXPECT_EQ(poll(event.event_id, &age), uapi::kWaitTimeout) << "the lost wake-up of old kernels";
  EXPECT_EQ(age, 1u);
}

TEST_F(EventTest, VmFaultReportsAndEvictsForGood) {
  start("mi300x");
  const auto memory = client->event(uapi::kEventMemory);
  MemoryFault fault;
  fault.address = 0x7f0000001234;
  fault.access = Access::Store;
  fault.not_present = false;
  engines->host.vm_fault(process, fault);
  EXPECT_EQ(engines->evicted, std::vector<std::uint64_t>{process});
  std::vector<uapi::EventData> events{event_data(memory.event_id)};
  std::uint32_t result = 99;
  ASSERT_EQ(client->wait(events, false, 0, &result), 0);
  ASSERT_EQ(result, uapi::kWaitComplete);
  EXPECT_EQ(events[0].memory_exception_data.gpu_id, client->id());
  EXPECT_EQ(events[0].memory_exception_data.va, 0x7f0000001000u);  // the page
  EXPECT_EQ(events[0].memory_exception_data.failure.read_only, 1u);
  EXPECT_EQ(events[0].memory_exception_data.failure.not_present, 0u);
  // Queues made later are created, but never reach the hardware (create_queue_cpsch).
  const auto before = engines->queues.size();
  auto late = client->queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client->create(late), 0);
  EXPECT_EQ(engines->queues.size(), before);
  EXPECT_EQ(client->destroy_queue(late.queue_id), 0);
}

TEST_F(EventTest, QueueExceptionNeedsTheRuntime) {
  for (const bool enabled : {false, true}) {
    client = std::make_unique<Client>("mi300x");
    client->acquire_all();
    if (enabled) {
      uapi::RuntimeEnable runtime{};
      runtime.mode_mask = uapi::kRuntimeEnable;
      ASSERT_EQ(client->call(uapi::kIocRuntimeEnable, runtime), 0);
    }
    const auto event = client->event(uapi::kEventSignal);
    auto args = client->queue_args(uapi::kQueueComputeAql);
    std::uint64_t payload = 1;
    uapi::SaveAreaHeader header{};
    header.err_payload_addr = reinterpret_cast<std::uint64_t>(&payload);
    header.err_event_id = event.event_id;
    std::memcpy(client->save_area.host, &header, sizeof header);
    ASSERT_EQ(client->create(args), 0);
    const QueueConfig config = client->noted.at(0)->queues.at(args.queue_id);
    EXPECT_EQ(config.runtime_enabled, enabled);
    const std::uint64_t code = uapi::exception_mask(uapi::kEcQueuePacketUnsupported);
    client->noted.at(0)->host.queue_exception(config.process, args.queue_id, code);
    EXPECT_EQ(payload, enabled ? 1 | code : 1);
    EXPECT_EQ(poll(event.event_id), enabled ? uapi::kWaitComplete : uapi::kWaitTimeout);
  }
}

TEST_F(EventTest, TrapHandlersReachTheRuntimeOrAnEvent) {
  // kfd_int_process_v9.c: from a trap handler, bits 9:0 are a doorbell and 19:10 exceptions, if a
  // runtime wants to hear of them; else 24 bits of an event's number.
  for (const bool enabled : {false, true}) {
    client = std::make_unique<Client>("mi210");
    client->acquire_all();
    if (enabled) {
      uapi::RuntimeEnable runtime{};
      runtime.mode_mask = uapi::kRuntimeEnable;
      ASSERT_EQ(client->call(uapi::kIocRuntimeEnable, runtime), 0);
    }
    const auto reported = client->event(uapi::kEventSignal);
    auto args = client->queue_args(uapi::kQueueComputeAql);
    std::uint64_t payload = 0;
    uapi::SaveAreaHeader header{};
    header.err_payload_addr = reinterpret_cast<std::uint64_t>(&payload);
    header.err_event_id = reported.event_id;
    std::memcpy(client->save_area.host, &header, sizeof header);
    ASSERT_EQ(client->create(args), 0);
    const QueueConfig config = client->noted.at(0)->queues.at(args.queue_id);
    EXPECT_EQ(config.doorbell_id, args.doorbell_offset % 8192 / 8);
    WaveInterrupt interrupt{config.process, config.id, config.doorbell_id,
                            config.doorbell_id | 1u << 13, true};
    EngineHost& host = client->noted.at(0)->host;
    host.wave_interrupt(interrupt);
    EXPECT_EQ(payload, enabled ? uapi::exception_mask(uapi::kEcQueueWaveIllegalInstruction) : 0u);
    EXPECT_EQ(poll(reported.event_id), enabled ? uapi::kWaitComplete : uapi::kWaitTimeout);
    // A shader's own message is an event's number, whatever the runtime.
    payload = 0;
    interrupt.in_trap = false;
    host.wave_interrupt(interrupt);
    EXPECT_EQ(payload, 0u);
  }
  // ROCr's handler for drivers without such a runtime sends 0: every written slot is looked at, on
  // gfx9 too.
  start("mi210");
  slot(first.event_id) = 1;
  engines->host.wave_interrupt({process, 1, 0, 0, true});
  EXPECT_EQ(poll(first.event_id), uapi::kWaitComplete);
}

TEST_F(EventTest, InterruptsOfAnEndedProcessGoNowhere) {
  start("mi300x");
  engines->host.interrupt(process + 1000, 1);
  engines->host.vm_fault(process + 1000, MemoryFault{});
  engines->host.queue_exception(process + 1000, 0, 1);
  EXPECT_TRUE(engines->evicted.empty());
}

}  // namespace
}  // namespace kiln::vgpu::test

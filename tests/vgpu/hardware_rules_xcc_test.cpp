// Rules about several XCCs and about 64-bit timelines, each broken on purpose: sections 1 and 2 of
// the table in hardware_rules_test.cpp.
#include <array>

#include "hardware_rules.hpp"

namespace kiln::vgpu::testing {
namespace {

namespace aql = gpu::aql;
namespace pm4 = gpu::pm4;
namespace sdma = gpu::sdma;

using pm4::Compare;

constexpr std::uint64_t kEpoch = std::uint64_t{1} << 32;
constexpr std::uint32_t kLastXcc = 1u << 7;
constexpr std::uint32_t kWaitDwords = 7, kSignalDwords = 8;

/// The last XCC stands still until the host sets `gate`.
void hold_last_xcc(Stream& stream, Va gate) {
  on_xccs(stream, kLastXcc, kWaitDwords).wait32(gate, 1, Compare::Eq);
}

// ---- 1. several XCCs

/// A signal by XCC 0 while XCC 7 has not begun: what does whoever sees it find of XCC 7's work?
struct EarlySignal {
  EarlySignal() : out(gpu.uncached(64)), gate(gpu.uncached(8)), done(gpu.uncached(8)) {}
  void submit(const std::function<void(Stream&)>& signal) {
    Stream stream;
    hold_last_xcc(stream, gate);
    gpu.dispatch(stream, gpu.code(gfx942::kStoreIndex), {out}, 8);
    stream.idle();
    signal(stream);
    queue->indirect(stream);
  }
  EngineFixture gpu{"mi300x"};
  std::unique_ptr<TestQueue> queue = gpu.queue(QueueType::Aql);
  Va out, gate, done;
};

TEST(HardwareRules1, SignalWithoutAJoinIsEarly) {
  EarlySignal test;
  test.submit([&](Stream& stream) { on_xccs(stream, 1, kSignalDwords).signal(test.done, 1); });
  ASSERT_TRUE(test.gpu.reaches(test.done, 1));
  EXPECT_EQ(test.gpu.at<std::uint32_t>(test.out)[7], 0u);  // done, and yet not written
}

TEST(HardwareRules1, SignalBehindTheJoinIsNot) {
  EarlySignal test;
  const gpu::QueueContext context{&test.gpu.target, 8, test.gpu.uncached(512)};
  const gpu::SignalOp signal{test.done, 1, 0, 0};
  test.submit([&](Stream& stream) {
    stream.emit([&](gpu::DwordWriter& writer) {
      gpu::emit_signals(writer, context, gpu::Scope::System, {&signal, 1});
    });
  });
  settle(test.gpu);
  EXPECT_EQ(test.gpu.load<std::uint64_t>(test.done), 0u);
  test.gpu.store<std::uint32_t>(test.gate, 1);
  ASSERT_TRUE(test.gpu.reaches(test.done, 1));
  EXPECT_EQ(test.gpu.at<std::uint32_t>(test.out)[7], 8u);
}

TEST(HardwareRules1, ReleaseMemWaitsForItsOwnXccOnly) {
  // Every XCC writes the signal; the first of them comes while another still runs a wave.
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Aql);
  const Va flag = gpu.uncached(8), done = gpu.uncached(8), completion = gpu.uncached(64);
  gpu.store<std::int64_t>(completion + 8, 1);
  Stream stream;
  gpu.dispatch(stream, gpu.code(gfx942::kSpin), {flag}, 1);  // on XCC 0
  stream.signal(done, 1);
  queue->indirect(stream, false, completion);
  ASSERT_TRUE(gpu.reaches(done, 1));
  EXPECT_EQ(gpu.load<std::int64_t>(completion + 8), 1);  // the packet as a whole has not ended
  gpu.store<std::uint32_t>(flag, 1);
  EXPECT_TRUE(gpu.reaches(completion + 8, 0));
}

/// A rendezvous; between its arrival and its look the last XCC waits for `gate`, if there is one.
void rendezvous(Stream& stream, Va counter, Va gate = 0) {
  using A = pm4::AtomicMem;
  stream.put(gpu::Packet<A>{}
                 .set<A::atomic>(pm4::kAtomicAddRtn32)
                 .set<A::address>(counter)
                 .set<A::source>(1));
  if (gate != 0) hold_last_xcc(stream, gate);
  stream.put(gpu::Packet<pm4::WaitRegMem>{}
                 .set<pm4::WaitRegMem::function>(static_cast<std::uint32_t>(Compare::Eq))
                 .set<pm4::WaitRegMem::mem_space>(pm4::kMemSpaceMemory)
                 .set<pm4::WaitRegMem::address>(counter)
                 .set<pm4::WaitRegMem::mask>(7));
}

TEST(HardwareRules1, OneCounterIsNotEnoughForTwoJoins) {
  for (const bool two_counters : {false, true}) {
    EngineFixture gpu("mi300x");
    auto queue = gpu.queue(QueueType::Aql);
    const Va counters = gpu.uncached(512), gate = gpu.uncached(8), completion = gpu.uncached(64);
    gpu.store<std::int64_t>(completion + 8, 1);
    Stream stream;
    rendezvous(stream, counters, gate);
    if (two_counters) rendezvous(stream, counters + 256);
    rendezvous(stream, counters);
    if (two_counters) rendezvous(stream, counters + 256);
    queue->indirect(stream, false, completion);
    // Somebody has left the first rendezvous and stands at the next one.
    const Va next = two_counters ? counters + 256 : counters;
    const std::uint32_t arrived = two_counters ? 7 : 9;
    ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(next) >= arrived; }));
    gpu.store<std::uint32_t>(gate, 1);
    if (two_counters) {
      EXPECT_TRUE(gpu.reaches(completion + 8, 0));
      continue;
    }
    // The slowest looks when the counter has moved on: it never leaves.
    settle(gpu);
    EXPECT_NE(gpu.load<std::uint32_t>(counters) % 8, 0u);
    EXPECT_EQ(gpu.load<std::int64_t>(completion + 8), 1);
    expect_silence(gpu);
  }
}

TEST(HardwareRules1, AWaitConcernsTheXccThatMakesIt) {
  // The others run on past a wait under PRED_EXEC; a wait of all needs no join.
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Aql);
  const Va out = gpu.uncached(64), gate = gpu.uncached(8), completion = gpu.uncached(64);
  gpu.store<std::int64_t>(completion + 8, 1);
  Stream stream;
  hold_last_xcc(stream, gate);
  gpu.dispatch(stream, gpu.code(gfx942::kStoreIndex), {out}, 8);
  stream.wait64(gate, 2, Compare::Ge);
  gpu.dispatch(stream, gpu.code(gfx942::kStoreIndex), {out + 32}, 8);
  queue->indirect(stream, false, completion);
  for (std::uint32_t xcc = 0; xcc < 7; ++xcc)
    ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out + 4 * xcc) == xcc + 1; }));
  EXPECT_EQ(gpu.load<std::uint32_t>(out + 28), 0u);
  gpu.store<std::uint32_t>(gate, 1);
  ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out + 28) == 8; }));
  settle(gpu);
  for (std::uint32_t xcc = 0; xcc < 8; ++xcc)
    EXPECT_EQ(gpu.load<std::uint32_t>(out + 32 + 4 * xcc), 0u);
  gpu.store<std::uint64_t>(gate, 2);
  EXPECT_TRUE(gpu.reaches(completion + 8, 0));
}

// ---- 2. 64-bit timelines

TEST(HardwareRules2, A32BitWaitPassesEarlyPastAWrap) {
  for (const char* chip : {"mi300x", "navi31"}) {
    EngineFixture gpu(chip);
    auto narrow = gpu.queue(QueueType::Pm4), wide = gpu.queue(QueueType::Pm4);
    const Va line = gpu.uncached(8), out = gpu.uncached(16);
    const std::uint64_t target = kEpoch + 5;
    gpu.store<std::uint64_t>(line, 7);
    narrow->submit(
        Stream{}.wait32(line, static_cast<std::uint32_t>(target), Compare::Ge).write(out, 1));
    wide->submit(Stream{}.wait64(line, target, Compare::Ge).write(out + 4, 1));
    ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out) == 1; }));
    settle(gpu);
    EXPECT_EQ(gpu.load<std::uint32_t>(out + 4), 0u);
    gpu.store(line, target);
    EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out + 4) == 1; }));
  }
}

/// SDMA: poll a gate, poll the low half of a timeline for `target`, then fence.
void submit_poll(EngineFixture& gpu, TestQueue& queue, Va gate, Va line, std::uint64_t target,
                 Va out) {
  Stream stream;
  stream.emit([&](gpu::DwordWriter& writer) {
    const gpu::SdmaOps& ops = *gpu.target.sdma_ops;
    ops.emit_poll(writer, gpu.target, {gate, 1, ~0u, Compare::Ge});
    ops.emit_poll(writer, gpu.target, {line, static_cast<std::uint32_t>(target), ~0u, Compare::Ge});
    ops.emit_signal(writer, gpu.target, {out, 1, 0, 0});
  });
  queue.submit(stream);
}

TEST(HardwareRules2, AnSdmaPollPassesEarlyPastAWrap) {
  for (const char* chip : {"mi300x", "navi31"}) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Sdma);
    const Va gate = gpu.uncached(8), line = gpu.uncached(8), out = gpu.uncached(8);
    gpu.store<std::uint32_t>(gate, 1);
    gpu.store<std::uint64_t>(line, 7);
    submit_poll(gpu, *queue, gate, line, kEpoch + 5, out);
    EXPECT_TRUE(gpu.reaches(out, 1));
    EXPECT_EQ(gpu.load<std::uint64_t>(line), 7u);
  }
}

TEST(HardwareRules2, AnSdmaPollHangsWhenThePayloadLeavesItsEpoch) {
  for (const char* chip : {"mi300x", "navi31"}) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Sdma);
    const Va gate = gpu.uncached(8), line = gpu.uncached(8), out = gpu.uncached(8);
    gpu.store<std::uint64_t>(line, 1);
    submit_poll(gpu, *queue, gate, line, 5, out);
    gpu.store<std::uint64_t>(line, kEpoch + 2);  // reached, but the low half is 2
    gpu.store<std::uint32_t>(gate, 1);
    settle(gpu);
    EXPECT_EQ(gpu.load<std::uint64_t>(out), 0u);
    expect_silence(gpu);
    // Stopping at the epoch's last value first lets every poll of it through.
    gpu.store<std::uint64_t>(line, kEpoch - 1);
    EXPECT_TRUE(gpu.reaches(out, 1));
  }
}

TEST(HardwareRules2, HighHalfFirstShowsAValueFromTheFuture) {
  constexpr std::uint64_t kBefore = kEpoch - 1, kTarget = kEpoch + 3;
  for (const bool low_first : {false, true}) {
    EngineFixture gpu("mi300x");
    auto queue = gpu.queue(QueueType::Sdma);
    const Va gate = gpu.uncached(8), line = gpu.uncached(8);
    gpu.store(line, kBefore);
    auto half = [&](bool high) {
      return gpu::Packet<sdma::Fence4>{}
          .set<sdma::Fence4::address>(line + (high ? 4 : 0))
          .set<sdma::Fence4::data>(static_cast<std::uint32_t>(high ? kTarget >> 32 : kTarget));
    };
    Stream stream;
    stream.put(half(!low_first));
    stream.emit([&](gpu::DwordWriter& writer) {
      gpu.target.sdma_ops->emit_poll(writer, gpu.target, {gate, 1, ~0u, Compare::Ge});
    });
    stream.put(half(low_first));
    queue->submit(stream);
    ASSERT_TRUE(eventually([&] { return gpu.load<std::uint64_t>(line) != kBefore; }));
    const std::uint64_t between = gpu.load<std::uint64_t>(line);
    if (low_first)
      EXPECT_LE(between, kTarget);
    else
      EXPECT_GT(between, kTarget);
    gpu.store<std::uint32_t>(gate, 1);
    EXPECT_TRUE(gpu.reaches(line, kTarget));
  }
}

TEST(HardwareRules2, BarrierValueTakesTheSignalObjectNotItsValue) {
  for (const bool object : {false, true}) {
    EngineFixture gpu("mi300x");
    auto queue = gpu.queue(QueueType::Aql);
    const Va signal = gpu.uncached(64), done = gpu.uncached(64);
    const Va value = signal + offsetof(aql::Signal, value);
    gpu.store<std::uint64_t>(value, kEpoch + 5);
    gpu.store<std::int64_t>(done + 8, 1);
    aql::BarrierValuePacket packet{};
    packet.header = aql::header(aql::PacketType::VendorSpecific, true, aql::FenceScope::System,
                                aql::FenceScope::None);
    packet.format = aql::AmdFormat::BarrierValue;
    packet.signal = object ? signal : value;
    packet.value = kEpoch + 5;
    packet.mask = -1;
    packet.condition = aql::Condition::Gte;
    packet.completion_signal = done;
    queue->packet(packet);
    if (object) {
      EXPECT_TRUE(gpu.reaches(done + 8, 0));
      continue;
    }
    settle(gpu);
    EXPECT_EQ(gpu.load<std::int64_t>(done + 8), 1);
  }
}

}  // namespace
}  // namespace kiln::vgpu::testing

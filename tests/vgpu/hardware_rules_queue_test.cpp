// Rules about AQL rings and SDMA queues, each broken on purpose: sections 9 and 10 of the table in
// hardware_rules_test.cpp.
#include <array>
#include <bit>

#include "hardware_rules.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"

namespace kiln::vgpu::testing {
namespace {

namespace aql = gpu::aql;
namespace pm4 = gpu::pm4;
namespace sdma = gpu::sdma;
namespace uapi = kmd::uapi;

using PacketDwords = std::array<std::uint32_t, 16>;

// ---- 9. AQL rings

/// An AQL queue whose slots and doorbell are written by hand.
struct RawAql {
  explicit RawAql(const char* chip = "mi300x") : gpu(chip), out(gpu.uncached(64)) {}
  /// A vendor packet whose buffer writes 1 to the n-th word of `out`.
  PacketDwords writes(std::uint32_t n) {
    Stream stream;
    on_xccs(stream, 1, 5).write(out + 4 * n, 1);
    aql::Pm4IbPacket packet{};
    packet.header = aql::header(aql::PacketType::VendorSpecific, true, aql::FenceScope::System,
                                aql::FenceScope::System);
    packet.format = aql::AmdFormat::Pm4Ib;
    const auto ib = gpu::Packet<pm4::IndirectBuffer>{}
                        .set<pm4::IndirectBuffer::address>(gpu.buffer(stream))
                        .set<pm4::IndirectBuffer::size>(stream.dwords.size())
                        .set<pm4::IndirectBuffer::valid>(1);
    std::memcpy(packet.indirect_buffer, ib.dwords.data(), 16);
    packet.dwords_remaining = 10;
    return std::bit_cast<PacketDwords>(packet);
  }
  void body(std::uint32_t slot, const PacketDwords& packet) {
    std::memcpy(gpu.host(queue->config.ring + 64 * slot) + 4, &packet[1], 60);
  }
  void header(std::uint32_t slot, const PacketDwords& packet) {
    gpu.store(queue->config.ring + 64 * slot, packet[0]);
  }
  void ring(std::uint64_t last) { queue->doorbell.store(last, std::memory_order_release); }
  bool written(std::uint32_t n) {
    return eventually([&] { return gpu.load<std::uint32_t>(out + 4 * n) == 1; });
  }
  std::uint32_t word(std::uint32_t n) { return gpu.load<std::uint32_t>(out + 4 * n); }
  void expect_exception(std::uint32_t code) {
    ASSERT_TRUE(eventually([&] { return !gpu.host_side.exceptions().empty(); }));
    EXPECT_EQ(gpu.host_side.exceptions()[0].codes, uapi::exception_mask(code));
  }

  EngineFixture gpu;
  Va out;
  std::unique_ptr<TestQueue> queue = gpu.queue(QueueType::Aql, 64 * 16);
};

TEST(HardwareRules9, SlotsStartInvalid) {
  // The doorbell runs ahead of the packets, as with several producers.
  RawAql good;
  good.ring(1);
  settle(good.gpu);
  good.gpu.store<std::uint32_t>(good.queue->config.ring + 64, 1);  // still INVALID
  const PacketDwords first = good.writes(0), second = good.writes(1);
  good.body(0, first);
  good.header(0, first);
  ASSERT_TRUE(good.written(0));
  settle(good.gpu);
  EXPECT_EQ(good.word(1), 0u);
  good.body(1, second);
  good.header(1, second);
  EXPECT_TRUE(good.written(1));
  EXPECT_TRUE(good.gpu.host_side.exceptions().empty());

  // A slot of zeroes is a vendor packet of format 0.
  RawAql bad;
  std::memset(bad.gpu.host(bad.queue->config.ring), 0, 64 * 16);
  bad.ring(1);
  bad.expect_exception(uapi::kEcQueuePacketVendorUnsupported);
}

TEST(HardwareRules9, TheFirstDwordGoesInLast) {
  RawAql good;
  good.ring(0);
  const PacketDwords packet = good.writes(0);
  good.body(0, packet);
  settle(good.gpu);
  EXPECT_EQ(good.word(0), 0u);
  good.header(0, packet);
  EXPECT_TRUE(good.written(0));

  RawAql bad;
  bad.ring(0);
  bad.header(0, bad.writes(0));  // valid at once, its body is not there yet
  bad.expect_exception(uapi::kEcQueuePacketVendorUnsupported);
}

TEST(HardwareRules9, TheDoorbellHoldsTheIndexOfTheLastPacket) {
  RawAql test;
  for (std::uint32_t slot : {0u, 1u, 2u}) {
    const PacketDwords packet = test.writes(slot);
    test.body(slot, packet);
    test.header(slot, packet);
  }
  settle(test.gpu);
  EXPECT_EQ(test.word(0), 0u);
  test.ring(1);  // as if the packet in front had been the last
  ASSERT_TRUE(test.written(1));
  settle(test.gpu);
  EXPECT_EQ(test.word(2), 0u);
  test.ring(2);
  EXPECT_TRUE(test.written(2));
}

TEST(HardwareRules9, WithoutTheBarrierBitPacketsOverlap) {
  EngineFixture gpu("mi300x");
  for (const bool barrier : {false, true}) {
    auto queue = gpu.queue(QueueType::Aql);
    const Va flag = gpu.uncached(8), out = gpu.uncached(8);
    Stream spin, mark;
    gpu.dispatch(spin, gpu.code(gfx942::kSpin), {flag}, 8);
    on_xccs(mark, 1, 5).write(out, 1);
    queue->indirect(spin);
    queue->indirect(mark, barrier);
    if (barrier) {
      settle(gpu);
      EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
      gpu.store<std::uint32_t>(flag, 1);
    }
    EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out) == 1; }));
    gpu.store<std::uint32_t>(flag, 1);
  }
}

TEST(HardwareRules9, AnIndirectBufferEndsWithItsSizeField) {
  // An indirect buffer is as long as its size field says: a packet cut off by it is an error.
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4);
  const Va out = gpu.uncached(8);
  Stream inner, outer;
  inner.write(out, 1);
  outer.put(gpu::Packet<pm4::IndirectBuffer>{}
                .set<pm4::IndirectBuffer::address>(gpu.buffer(inner))
                .set<pm4::IndirectBuffer::size>(inner.dwords.size() - 1)
                .set<pm4::IndirectBuffer::valid>(1));
  queue->submit(outer);
  ASSERT_TRUE(eventually([&] { return !gpu.host_side.exceptions().empty(); }));
  EXPECT_EQ(gpu.host_side.exceptions()[0].codes,
            uapi::exception_mask(uapi::kEcQueuePacketUnsupported));
  EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
}

TEST(HardwareRules9, Pm4DoorbellsCountDwordsNotPackets) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4);
  const Va out = gpu.uncached(8);
  Stream stream;
  stream.write(out, 1).write(out + 4, 1);  // five dwords each
  std::memcpy(gpu.host(queue->config.ring), stream.dwords.data(), stream.dwords.size() * 4);
  queue->doorbell.store(9);  // the index of the last dword, as AQL would have it
  ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out) == 1; }));
  settle(gpu);
  EXPECT_EQ(gpu.load<std::uint32_t>(out + 4), 0u);
  queue->doorbell.store(10);
  EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out + 4) == 1; }));
}

// ---- 10. SDMA

TEST(HardwareRules10, AProvisionalWritePointerRunsWhatIsNotThere) {
  // gfx10 and gfx11 read the write pointer's memory by themselves (F32_WPTR_POLL_ENABLE); gfx9 does
  // not.
  for (const auto& [chip, polls] : {std::pair{"navi31", true}, std::pair{"mi300x", false},
                                    std::pair{"navi21", true}, std::pair{"mi210", false}}) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Sdma);
    const Va out = gpu.uncached(8);
    Stream fence;
    fence.put(
        gpu::Packet<sdma::Fence4>{}.set<sdma::Fence4::address>(out).set<sdma::Fence4::data>(1));
    // What an earlier lap left in the ring.
    std::memset(gpu.host(queue->config.ring), 0xFF, 64);
    gpu.store<std::uint64_t>(queue->config.write_pointer, 16);  // reserved, not written
    settle(gpu);
    std::memcpy(gpu.host(queue->config.ring), fence.dwords.data(), 16);
    queue->doorbell.store(16);
    if (polls) {
      settle(gpu);
      EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u) << chip;  // stopped at the rubbish
    } else {
      EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out) == 1; })) << chip;
    }
    expect_silence(gpu);
  }
}

TEST(HardwareRules10, CountsHave22BitsOn442AndMoreElsewhere) {
  constexpr std::uint32_t kCount = 0x40'0000;  // 4 MiB + 1, bit 22 alone
  for (const auto& [chip, copies] : {std::pair{"mi300x", false}, std::pair{"navi31", true},
                                     std::pair{"mi210", true}, std::pair{"navi21", true}}) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Sdma);
    const Va from = gpu.cached(kCount + 8), to = gpu.cached(kCount + 8), done = gpu.uncached(8);
    gpu.host(from)[kCount] = std::byte{0x5A};
    Stream stream;
    stream.put({1, kCount, 0, static_cast<std::uint32_t>(from),
                static_cast<std::uint32_t>(from >> 32), static_cast<std::uint32_t>(to),
                static_cast<std::uint32_t>(to >> 32)});
    stream.emit([&](gpu::DwordWriter& writer) {
      gpu.target.sdma_ops->emit_signal(writer, gpu.target, {done, 1, 0, 0});
    });
    queue->submit(stream);
    if (copies) {
      ASSERT_TRUE(gpu.reaches(done, 1));
      EXPECT_EQ(gpu.host(to)[kCount], std::byte{0x5A});
    } else {
      settle(gpu);
      EXPECT_EQ(gpu.load<std::uint64_t>(done), 0u);
    }
    expect_silence(gpu);
  }
}

TEST(HardwareRules10, CountsAreOneLess) {
  // A count that was not lowered by one copies a byte too much.
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Sdma);
    const Va from = gpu.cached(64), to = gpu.cached(64), done = gpu.uncached(8);
    for (int i = 0; i < 64; ++i) gpu.host(from)[i] = std::byte{1};
    Stream stream;
    stream.put({1, 16, 0, static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(from >> 32),
                static_cast<std::uint32_t>(to), static_cast<std::uint32_t>(to >> 32)});
    stream.emit([&](gpu::DwordWriter& writer) {
      gpu.target.sdma_ops->emit_copy(writer, gpu.target, {from, to + 32, 16});
      gpu.target.sdma_ops->emit_signal(writer, gpu.target, {done, 1, 0, 0});
    });
    queue->submit(stream);
    ASSERT_TRUE(gpu.reaches(done, 1));
    EXPECT_EQ(gpu.host(to)[16], std::byte{1});
    EXPECT_EQ(gpu.host(to)[47], std::byte{1});
    EXPECT_EQ(gpu.host(to)[48], std::byte{0});
  }
}

TEST(HardwareRules10, WritePointersAreBytesNotDwords) {
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Sdma);
  const Va out = gpu.uncached(8);
  Stream fence;
  fence.put(gpu::Packet<sdma::Fence4>{}.set<sdma::Fence4::address>(out).set<sdma::Fence4::data>(1));
  std::memcpy(gpu.host(queue->config.ring), fence.dwords.data(), 16);
  queue->doorbell.store(4);  // dwords: the engine sees the header only
  settle(gpu);
  EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
  queue->doorbell.store(16);
  EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out) == 1; }));
}

}  // namespace
}  // namespace kiln::vgpu::testing

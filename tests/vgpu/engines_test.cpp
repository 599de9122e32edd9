// What queues do, by streams written here: rings, waits between queues, XCCs that nothing joins,
// errors as KFD reports them, and queues destroyed in every state.
#include <array>
#include <bit>

#include "engine_fixture.hpp"
#include "engine_kernels.hpp"
#include "gpu/kernel_descriptor.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"

namespace kiln::vgpu::testing {
namespace {

namespace aql = gpu::aql;
namespace pm4 = gpu::pm4;
namespace reg = gpu::reg;
namespace sdma = gpu::sdma;
namespace uapi = kmd::uapi;

using pm4::Compare;

EngineOptions skewed(std::uint64_t seed) {
  EngineOptions options;
  options.seed = seed;
  options.skew = 100;
  return options;
}

gpu::Packet<pm4::IndirectBuffer> indirect_buffer(Va address, std::uint32_t dwords,
                                                 bool chain = false) {
  return gpu::Packet<pm4::IndirectBuffer>{}
      .set<pm4::IndirectBuffer::address>(address)
      .set<pm4::IndirectBuffer::size>(dwords)
      .set<pm4::IndirectBuffer::chain>(chain)
      .set<pm4::IndirectBuffer::valid>(1);
}

gpu::Packet<pm4::PredExec> pred_exec(std::uint32_t mask, std::uint32_t dwords) {
  return gpu::Packet<pm4::PredExec>{}
      .set<pm4::PredExec::exec_count>(dwords)
      .set<pm4::PredExec::virtual_xcc_mask>(mask);
}

// ---- rings

TEST(Pm4Queue, RingWrapsAtAnyPosition) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4, 4096);
  const Va out = gpu.uncached(4 * 1000);
  // Five dwords a packet and 1024 a ring: every remainder comes by.
  for (std::uint32_t i = 0; i < 1000; ++i) {
    Stream stream;
    stream.write(out + 4 * i, i + 1);
    queue->submit(stream);
    if (i % 100 == 99) {
      ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out + 4 * i) == i + 1; }));
    }
  }
  for (std::uint32_t i = 0; i < 1000; ++i) ASSERT_EQ(gpu.load<std::uint32_t>(out + 4 * i), i + 1);
  // The read pointer is reported in dwords and wraps with the ring (KFDTest PM4Queue.cpp).
  EXPECT_TRUE(eventually([&] { return queue->read_pointer() == 5000 % 1024; }));
}

TEST(Pm4Queue, PacketWrittenInPartsRunsWhenComplete) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4);
  auto other = gpu.queue(QueueType::Pm4);
  const Va out = gpu.uncached(8), marker = gpu.uncached(8);
  Stream stream;
  stream.write(out, 9);
  queue->submit(std::span(stream.dwords).first(2));
  Stream mark;
  mark.write(marker, 1);
  other->submit(mark);
  ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(marker) == 1; }));
  EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
  queue->submit(std::span(stream.dwords).subspan(2));
  EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out) == 9; }));
  EXPECT_TRUE(gpu.host_side.exceptions().empty());
}

TEST(AqlQueue, RingWrapsAndSlotsBecomeInvalid) {
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Aql, 64 * 8);
  const Va signal = gpu.uncached(64);
  gpu.store<std::int64_t>(signal + 8, 100);
  for (int i = 0; i < 100; ++i) {
    aql::BarrierPacket packet{};
    packet.header = aql::header(aql::PacketType::BarrierAnd, true, aql::FenceScope::None,
                                aql::FenceScope::None);
    packet.completion_signal = signal;
    queue->packet(packet);
  }
  EXPECT_TRUE(gpu.reaches(signal + 8, 0));
  EXPECT_TRUE(eventually([&] { return queue->read_pointer() == 100; }));
  for (Va slot = queue->config.ring; slot < queue->config.ring + 64 * 8; slot += 64)
    EXPECT_EQ(gpu.load<std::uint32_t>(slot), 1u);
}

TEST(SdmaQueue, RingTailIsPaddedWithNops) {
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Sdma, 4096);
    const Va out = gpu.uncached(4 * 600);
    std::uint64_t dwords = 0;
    for (std::uint32_t i = 0; i < 600; ++i) {
      Stream stream;
      if (1024 - dwords % 1024 < 4) {
        const std::uint64_t pad = 1024 - dwords % 1024;
        stream.dwords.assign(pad, 0);
        dwords += pad;
      }
      stream.put(gpu::Packet<sdma::Fence4>{}
                     .set<sdma::Fence4::address>(out + 4 * i)
                     .set<sdma::Fence4::data>(i + 1));
      dwords += 4;
      queue->submit(stream);
      if (i % 50 == 49) {
        ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out + 4 * i) == i + 1; }));
      }
    }
    for (std::uint32_t i = 0; i < 600; ++i) ASSERT_EQ(gpu.load<std::uint32_t>(out + 4 * i), i + 1);
    EXPECT_TRUE(eventually([&] { return queue->read_pointer() == queue->write_pointer; }));
  }
}

TEST(SdmaQueue, PacketOverTheEndOfTheRingStopsTheEngine) {
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Sdma, 4096);
  auto other = gpu.queue(QueueType::Sdma, 4096);
  const Va out = gpu.uncached(64);
  queue->submit(std::vector<std::uint32_t>(1022, 0u));
  ASSERT_TRUE(eventually([&] { return queue->read_pointer() == 1022 * 4; }));
  Stream stream;
  stream.put(
      gpu::Packet<sdma::Fence4>{}.set<sdma::Fence4::address>(out).set<sdma::Fence4::data>(1));
  queue->submit(stream);
  Stream marker;
  marker.put(
      gpu::Packet<sdma::Fence4>{}.set<sdma::Fence4::address>(out + 8).set<sdma::Fence4::data>(1));
  for (int i = 1; i <= 3; ++i) {
    other->submit(marker);
    ASSERT_TRUE(eventually([&] { return other->read_pointer() == 16u * i; }));
  }
  queue->destroy();
  EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
  EXPECT_TRUE(gpu.host_side.exceptions().empty());  // KFD hears nothing of it
}

TEST(SdmaQueue, Gfx10PollsTheWritePointerWithoutADoorbell) {
  for (const auto& [chip, runs] : {std::pair{"navi31", true}, std::pair{"mi300x", false},
                                   std::pair{"navi21", true}, std::pair{"mi210", false}}) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Sdma);
    auto other = gpu.queue(QueueType::Sdma);
    const Va out = gpu.uncached(64);
    Stream stream;
    stream.put(
        gpu::Packet<sdma::Fence4>{}.set<sdma::Fence4::address>(out).set<sdma::Fence4::data>(5));
    std::memcpy(gpu.host(queue->config.ring), stream.dwords.data(), 16);
    gpu.store<std::uint64_t>(queue->config.write_pointer, 16);
    if (runs) {
      EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out) == 5; }));
    } else {
      for (int i = 0; i < 50; ++i) {
        other->submit(std::vector<std::uint32_t>(8, 0u));
        ASSERT_TRUE(eventually([&] { return other->read_pointer() == other->write_pointer; }));
      }
      EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
    }
  }
}

// ---- SDMA packets

/// The whole of a stream, then a fence.
void run_sdma(EngineFixture& gpu, TestQueue& queue, Stream stream) {
  const Va done = gpu.uncached(8);
  stream.put(
      gpu::Packet<sdma::Fence4>{}.set<sdma::Fence4::address>(done).set<sdma::Fence4::data>(1));
  queue.submit(stream);
  ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(done) == 1; }));
}

TEST(SdmaPackets, CopiesOfEveryEdgeSize) {
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip, skewed(9));
    auto queue = gpu.queue(QueueType::Sdma);
    constexpr std::uint64_t kRoom = 9 << 20;
    const Va from = gpu.cached(kRoom), to = gpu.cached(kRoom);
    for (std::uint64_t i = 0; i < kRoom; ++i)
      gpu.host(from)[i] = static_cast<std::byte>(i * 7 + (i >> 8) + (i >> 16) + 1);
    const std::uint64_t limit = 0x3F'FFE0;  // one packet of a 22-bit count (ROCr kMaxSize_)
    for (const std::uint64_t bytes : {std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{4097},
                                      limit - 1, limit, limit + 1, 2 * limit + 5}) {
      std::memset(gpu.host(to), 0, kRoom);
      Stream stream;
      stream.emit([&](gpu::DwordWriter& writer) {
        gpu.target.sdma_ops->emit_copy(writer, gpu.target, {from + 1, to + 3, bytes});
      });
      run_sdma(gpu, *queue, stream);
      EXPECT_EQ(std::memcmp(gpu.host(to + 3), gpu.host(from + 1), bytes), 0) << bytes;
      EXPECT_EQ(gpu.host(to)[2], std::byte{0});
      EXPECT_EQ(gpu.host(to)[3 + bytes], std::byte{0}) << bytes;
    }
  }
}

TEST(SdmaPackets, FullCountOf22BitsIs4MiB) {
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Sdma);
  const Va to = gpu.cached((4 << 20) + 8);
  run_sdma(gpu, *queue,
           Stream{}.put(gpu::Packet<sdma::ConstFill4>{}
                            .set<sdma::ConstFill4::fill_size>(sdma::kFillBytes)
                            .set<sdma::ConstFill4::destination>(to)
                            .set<sdma::ConstFill4::data>(0xAB)
                            .set<sdma::ConstFill4::count>(0x3F'FFFF)));
  EXPECT_EQ(gpu.host(to)[0], std::byte{0xAB});
  EXPECT_EQ(gpu.host(to)[(4 << 20) - 1], std::byte{0xAB});
  EXPECT_EQ(gpu.host(to)[4 << 20], std::byte{0});
}

TEST(SdmaPackets, FillsWritesAtomicsTrapsAndTimestamps) {
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Sdma);
    const Va m = gpu.uncached(4096);
    const std::uint32_t data[] = {11, 22, 33};
    gpu.store<std::uint64_t>(m + 256, 0xFFFF'FFFF);
    Stream stream;
    stream.emit([&](gpu::DwordWriter& writer) {
      const gpu::SdmaOps& ops = *gpu.target.sdma_ops;
      EXPECT_TRUE(ops.emit_fill(writer, gpu.target, {m, 12, 0x01020304}));
      EXPECT_TRUE(ops.emit_fill(writer, gpu.target, {m + 33, 7, 0x55555555}));
      ops.emit_update(writer, gpu.target, m + 64, data, 12);
      ops.emit_timestamp(writer, gpu.target, m + 128);
      ops.emit_hdp_flush(writer, gpu.target);
      ops.emit_signal(writer, gpu.target, {m + 192, 0x9'8765'4321, m + 200, 0x0FFF'FFFF});
    });
    stream.put(gpu::Packet<sdma::Atomic4>{}
                   .set<sdma::Atomic4::atomic_op>(sdma::kAtomicSwap64)
                   .set<sdma::Atomic4::address>(m + 264)
                   .set<sdma::Atomic4::source>(0x5'0000'0007));
    stream.put(gpu::Packet<sdma::Atomic4>{}
                   .set<sdma::Atomic4::atomic_op>(sdma::kAtomicAdd64)
                   .set<sdma::Atomic4::address>(m + 256)
                   .set<sdma::Atomic4::source>(3));
    run_sdma(gpu, *queue, stream);
    const auto* words = gpu.at<std::uint32_t>(m);
    EXPECT_EQ(words[0], 0x01020304u);
    EXPECT_EQ(words[2], 0x01020304u);
    EXPECT_EQ(words[3], 0u);
    EXPECT_EQ(gpu.host(m)[32], std::byte{0});
    for (int i = 33; i < 40; ++i) EXPECT_EQ(gpu.host(m)[i], std::byte{0x55});
    EXPECT_EQ(gpu.host(m)[40], std::byte{0});
    EXPECT_EQ(words[16], 11u);
    EXPECT_EQ(words[18], 33u);
    EXPECT_EQ(words[19], 0u);
    EXPECT_NE(gpu.load<std::uint64_t>(m + 128), 0u);
    EXPECT_EQ(gpu.load<std::uint64_t>(m + 192), 0x9'8765'4321u);
    EXPECT_EQ(gpu.load<std::uint64_t>(m + 256), 0x1'0000'0002u);
    EXPECT_EQ(gpu.load<std::uint64_t>(m + 264), 0x5'0000'0007u);
    EXPECT_EQ(gpu.host_side.interrupts(), std::vector<std::uint32_t>{0x0FFF'FFFF});
  }
}

TEST(SdmaPackets, RectanglesWithPitchAndSlice) {
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip, skewed(4));
    auto queue = gpu.queue(QueueType::Sdma);
    const Va from = gpu.cached(1 << 20), to = gpu.cached(1 << 20);
    for (int i = 0; i < 1 << 20; ++i) gpu.host(from)[i] = static_cast<std::byte>(i * 13 + (i >> 9));
    gpu::RectOp rect{from + 2, to + 6, 300, 6000, 260, 9360, 21, 17, 5};
    Stream stream;
    stream.emit([&](gpu::DwordWriter& writer) {
      EXPECT_TRUE(gpu.target.sdma_ops->emit_rect(writer, gpu.target, rect));
    });
    run_sdma(gpu, *queue, stream);
    std::uint64_t moved = 0;
    for (std::uint64_t z = 0; z < 5; ++z) {
      for (std::uint64_t y = 0; y < 17; ++y) {
        const Va source = from + 2 + y * 300 + z * 6000, target = to + 6 + y * 260 + z * 9360;
        EXPECT_EQ(std::memcmp(gpu.host(target), gpu.host(source), 21), 0) << z << ' ' << y;
        EXPECT_EQ(gpu.host(target)[21], std::byte{0});
        moved += 21;
      }
    }
    EXPECT_EQ(moved, 21u * 17 * 5);
  }
}

TEST(SdmaPackets, IndirectBufferEndsOnEightDwords) {
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Sdma);
  const Va m = gpu.uncached(64);
  auto fence = [&](Va to) {
    return gpu::Packet<sdma::Fence4>{}.set<sdma::Fence4::address>(to).set<sdma::Fence4::data>(1);
  };
  auto call = [](Va address, std::uint32_t dwords) {
    return gpu::Packet<sdma::Indirect>{}
        .set<sdma::Indirect::address>(address)
        .set<sdma::Indirect::size>(dwords);
  };
  Stream inner;
  inner.put(fence(m)).put({0, 0, 0, 0});
  run_sdma(gpu, *queue, Stream{}.put(call(gpu.buffer(inner), 8)));
  EXPECT_EQ(gpu.load<std::uint32_t>(m), 1u);
  queue->submit(Stream{}.put(call(gpu.buffer(inner), 4)).put(fence(m + 4)));
  auto other = gpu.queue(QueueType::Sdma);
  run_sdma(gpu, *other, Stream{});
  queue->destroy();
  EXPECT_EQ(gpu.load<std::uint32_t>(m + 4), 0u);
}

// ---- waits between queues

TEST(Queues, PollEachOtherOnOneHostThread) {
  EngineOptions options;
  options.threads = 1;
  EngineFixture gpu("navi31", options);
  auto ping = gpu.queue(QueueType::Pm4), pong = gpu.queue(QueueType::Pm4);
  const Va a = gpu.uncached(8), b = gpu.uncached(8);
  // Past 2^32, where a 32-bit comparison would go wrong.
  const std::uint64_t base = 0xFFFF'FF00;
  gpu.store(a, base);
  gpu.store(b, base);
  for (std::uint64_t i = 1; i <= 500; ++i) {
    Stream first, second;
    first.wait64(b, base + i - 1, Compare::Ge).signal(a, base + i);
    second.wait64(a, base + i, Compare::Ge).signal(b, base + i);
    pong->submit(second);  // the waiter first
    ping->submit(first);
    if (i % 100 == 0) {
      ASSERT_TRUE(gpu.reaches(b, base + i));
    }
  }
  EXPECT_TRUE(gpu.reaches(b, base + 500));
}

TEST(Queues, ComputeAndSdmaChain) {
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip, skewed(3));
    auto compute = gpu.queue(QueueType::Pm4), copy = gpu.queue(QueueType::Sdma);
    const Va code = gpu.code(kernels_of(gpu.target).store_index);
    const Va a = gpu.uncached(256), b = gpu.uncached(256), steps = gpu.uncached(64);
    Stream dispatch;
    gpu.dispatch(dispatch, code, {a}, 64);
    dispatch.signal(steps, 1);
    Stream move;
    move.emit([&](gpu::DwordWriter& writer) {
      gpu.target.sdma_ops->emit_poll(writer, gpu.target, {steps, 1, ~0u, Compare::Ge});
      gpu.target.sdma_ops->emit_copy(writer, gpu.target, {a, b, 256});
      gpu.target.sdma_ops->emit_signal(writer, gpu.target, {steps + 8, 1, 0, 0});
    });
    copy->submit(move);
    compute->submit(dispatch);
    ASSERT_TRUE(gpu.reaches(steps + 8, 1));
    for (std::uint32_t i = 0; i < 64; ++i) EXPECT_EQ(gpu.at<std::uint32_t>(b)[i], i + 1);
  }
}

TEST(Queues, CommandProcessorGoesOnWhileAReleaseWaits) {
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Pm4);
  const Va flag = gpu.uncached(8), signal = gpu.uncached(8), marker = gpu.uncached(8);
  Stream stream;
  gpu.dispatch(stream, gpu.code(gfx942::kSpin), {flag}, 1);
  stream.signal(signal, 1, 42);
  stream.write(marker, 1);
  queue->submit(stream);
  ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(marker) == 1; }));
  EXPECT_EQ(gpu.load<std::uint64_t>(signal), 0u);
  EXPECT_TRUE(gpu.host_side.interrupts().empty());
  gpu.store<std::uint32_t>(flag, 1);
  ASSERT_TRUE(gpu.reaches(signal, 1));
  ASSERT_TRUE(eventually([&] { return !gpu.host_side.interrupts().empty(); }));
  EXPECT_EQ(gpu.host_side.interrupts().front(), 42u);
}

TEST(Queues, PartialFlushWaitsForDispatches) {
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Pm4), other = gpu.queue(QueueType::Pm4);
  const Va flag = gpu.uncached(8), marker = gpu.uncached(8);
  Stream stream;
  gpu.dispatch(stream, gpu.code(gfx942::kSpin), {flag}, 4);
  stream.idle().write(marker, 1);
  queue->submit(stream);
  for (std::uint32_t i = 1; i <= 20; ++i) {
    Stream mark;
    mark.write(marker + 4, i);
    other->submit(mark);
    ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(marker + 4) == i; }));
  }
  EXPECT_EQ(gpu.load<std::uint32_t>(marker), 0u);
  gpu.store<std::uint32_t>(flag, 1);
  EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(marker) == 1; }));
}

TEST(Queues, WorkgroupsThatWaitForALaterOneGetIt) {
  for (const char* chip : kEveryChip) {
    EngineOptions options;
    options.threads = 1;
    EngineFixture gpu(chip, options);
    auto queue = gpu.queue(QueueType::Pm4);
    const Va flag = gpu.uncached(8), done = gpu.uncached(8);
    const Va code = gpu.code(kernels_of(gpu.target).last_releases);
    Stream stream;
    gpu.dispatch(stream, code, {flag}, 64, 32);
    stream.signal(done, 1);
    queue->submit(stream);
    EXPECT_TRUE(gpu.reaches(done, 1)) << chip;
  }
}

TEST(Queues, PausedQueueRunsOnWhenResumed) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4), other = gpu.queue(QueueType::Pm4);
  const Va out = gpu.uncached(8);
  const QueueConfig& config = queue->config;
  gpu.engines->update_queue(kProcess, config.id, config.ring, config.ring_bytes, 0, 7);
  Stream stream, mark;
  stream.write(out, 1);
  mark.write(out + 4, 1);
  queue->submit(stream);
  other->submit(mark);
  ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out + 4) == 1; }));
  EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
  gpu.engines->update_queue(kProcess, config.id, config.ring, config.ring_bytes, 100, 7);
  EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out) == 1; }));
}

// ---- PM4 packets

TEST(Pm4Packets, WritesCopiesAtomicsAndConditions) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4);
  const Va m = gpu.uncached(256), done = gpu.uncached(8);
  gpu.store<std::uint64_t>(m, 0xFFFF'FFFF);
  gpu.store<std::uint32_t>(m + 8, 0);
  using A = pm4::AtomicMem;
  using C = pm4::CopyData;
  Stream stream;
  stream.put(
      gpu::Packet<A>{}.set<A::atomic>(pm4::kAtomicAddRtn64).set<A::address>(m).set<A::source>(2));
  stream.put(gpu::Packet<A>{}
                 .set<A::atomic>(pm4::kAtomicIncRtn32)
                 .set<A::address>(m + 8)
                 .set<A::source>(0));  // wraps at its source
  stream.put(gpu::Packet<C>{}
                 .set<C::src_sel>(1)
                 .set<C::dst_sel>(pm4::kSelMemory)
                 .set<C::count_64>(1)
                 .set<C::source>(m)
                 .set<C::destination>(m + 16));
  stream.put(gpu::Packet<C>{}
                 .set<C::src_sel>(pm4::kSelGpuClock)
                 .set<C::dst_sel>(pm4::kSelMemory)
                 .set<C::count_64>(1)
                 .set<C::destination>(m + 24));
  // COND_EXEC: zero skips the next five dwords.
  stream.put(gpu::Packet<pm4::CondExec>{}
                 .set<pm4::CondExec::address>(m + 8)
                 .set<pm4::CondExec::exec_count>(5));
  stream.write(m + 32, 1);
  stream.put(
      gpu::Packet<pm4::CondExec>{}.set<pm4::CondExec::address>(m).set<pm4::CondExec::exec_count>(
          5));
  stream.write(m + 36, 1);
  stream.put(gpu::Packet<pm4::DmaData>{}
                 .set<pm4::DmaData::src_sel>(pm4::kDmaSrcData)
                 .set<pm4::DmaData::dst_sel>(pm4::kDmaDstL2)
                 .set<pm4::DmaData::source>(0xABCD1234)
                 .set<pm4::DmaData::destination>(m + 64)
                 .set<pm4::DmaData::byte_count>(16));
  stream.signal(done, 1);
  queue->submit(stream);
  ASSERT_TRUE(gpu.reaches(done, 1));
  EXPECT_EQ(gpu.load<std::uint64_t>(m), 0x1'0000'0001u);
  EXPECT_EQ(gpu.load<std::uint32_t>(m + 8), 0u);
  EXPECT_EQ(gpu.load<std::uint64_t>(m + 16), 0x1'0000'0001u);
  EXPECT_NE(gpu.load<std::uint64_t>(m + 24), 0u);
  EXPECT_EQ(gpu.load<std::uint32_t>(m + 32), 0u);
  EXPECT_EQ(gpu.load<std::uint32_t>(m + 36), 1u);
  for (Va at = m + 64; at < m + 80; at += 4) EXPECT_EQ(gpu.load<std::uint32_t>(at), 0xABCD1234u);
  EXPECT_EQ(gpu.load<std::uint32_t>(m + 80), 0u);
  EXPECT_TRUE(gpu.host_side.exceptions().empty());
}

TEST(Pm4Packets, IndirectBuffersReturnAndChainsDoNot) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4);
  const Va m = gpu.uncached(64);
  Stream last;
  last.write(m + 4, 2);
  const Va last_va = gpu.buffer(last);
  Stream inner;
  inner.write(m, 1);
  inner.put(indirect_buffer(last_va, static_cast<std::uint32_t>(last.dwords.size()), true));
  inner.write(m + 8, 3);  // behind a chain: never
  Stream outer;
  outer.put(indirect_buffer(gpu.buffer(inner), static_cast<std::uint32_t>(inner.dwords.size())));
  outer.write(m + 12, 4);
  queue->submit(outer);
  ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(m + 12) == 4; }));
  EXPECT_EQ(gpu.load<std::uint32_t>(m), 1u);
  EXPECT_EQ(gpu.load<std::uint32_t>(m + 4), 2u);
  EXPECT_EQ(gpu.load<std::uint32_t>(m + 8), 0u);
}

TEST(Pm4Packets, StreamsOfTheEncoderRun) {
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Pm4);
    const gpu::QueueContext context{&gpu.target, 1, 0};
    const Va m = gpu.uncached(256);
    const std::uint64_t value = 0x1'2345'6789;
    Stream stream;
    stream.emit([&](gpu::DwordWriter& writer) {
      gpu.target.ops->emit_timestamp(writer, context, m + 64, gpu::PipeStage::Top);
      gpu.target.ops->emit_write_value(writer, context, {m, value, true, gpu::PipeStage::Bottom});
      gpu.target.ops->emit_wait(writer, context, {m, value, ~std::uint64_t{0}, Compare::Ge});
      gpu.target.ops->emit_barrier(writer, context,
                                   {true, gpu::Scope::System, gpu::Scope::System, true});
      gpu.target.ops->emit_copy(writer, context, {m, m + 128, 16});
      gpu.target.ops->emit_timestamp(writer, context, m + 72, gpu::PipeStage::Bottom);
      const gpu::SignalOp signal{m + 8, value + 1, m + 16, 77};
      gpu.target.ops->emit_signals(writer, context, gpu::Scope::System, {&signal, 1});
    });
    queue->submit(stream);
    ASSERT_TRUE(gpu.reaches(m + 8, value + 1));
    ASSERT_TRUE(eventually([&] { return gpu.host_side.interrupts().size() == 1; }));
    EXPECT_EQ(gpu.host_side.interrupts()[0], 77u);
    EXPECT_EQ(gpu.load<std::uint64_t>(m + 16), 77u);
    EXPECT_EQ(gpu.load<std::uint64_t>(m + 128), value);
    EXPECT_LE(gpu.load<std::uint64_t>(m + 64), gpu.load<std::uint64_t>(m + 72));
    EXPECT_TRUE(gpu.host_side.exceptions().empty());
  }
}

// ---- several XCCs

TEST(Xccs, AqlQueueUsesAllInTurnAndPm4QueueOne) {
  EngineFixture gpu("mi300x", skewed(11));
  auto queue = gpu.queue(QueueType::Aql);
  const Va out = gpu.uncached(4 * 40), signal = gpu.uncached(64), code = gpu.code(gfx942::kXccId);
  gpu.store<std::int64_t>(signal + 8, 1);
  std::memset(gpu.host(out), 0xFF, 4 * 40);
  Stream stream;
  gpu.dispatch(stream, code, {out}, 40);
  queue->indirect(stream, false, signal);
  ASSERT_TRUE(gpu.reaches(signal + 8, 0));
  for (std::uint32_t i = 0; i < 40; ++i) EXPECT_EQ(gpu.at<std::uint32_t>(out)[i], i % 8);

  auto single = gpu.queue(QueueType::Pm4, 65536, 3);
  const Va done = gpu.uncached(8);
  Stream alone;
  gpu.dispatch(alone, code, {out}, 40);
  alone.signal(done, 1);
  single->submit(alone);
  ASSERT_TRUE(gpu.reaches(done, 1));
  for (std::uint32_t i = 0; i < 40; ++i) EXPECT_EQ(gpu.at<std::uint32_t>(out)[i], 3u);
}

/// Two dependent dispatches in one buffer, `rounds` times: how often did an XCC read too early?
std::uint32_t early_reads(EngineFixture& gpu, bool join, std::uint32_t rounds) {
  auto queue = gpu.queue(QueueType::Aql);
  const Va store = gpu.code(gfx942::kStoreIndex), copy = gpu.code(gfx942::kVectorCopy);
  const Va counters = gpu.uncached(512), signal = gpu.uncached(64);
  const gpu::QueueContext context{&gpu.target, 8, counters};
  const Va in = gpu.uncached(32 * rounds), out = gpu.uncached(32 * rounds);
  gpu.store<std::int64_t>(signal + 8, rounds);
  for (std::uint32_t round = 0; round < rounds; ++round) {
    Stream stream;
    gpu.dispatch(stream, store, {in + 32 * round}, 8);
    stream.idle();
    if (join) stream.emit([&](gpu::DwordWriter& writer) { gpu::emit_xcc_join(writer, context); });
    // Everyone reads what XCC 7 wrote.
    gpu.dispatch(stream, copy, {in + 32 * round + 28, out + 32 * round}, 8);
    queue->indirect(stream, false, signal);
  }
  EXPECT_TRUE(gpu.reaches(signal + 8, 0));
  EXPECT_EQ(gpu.load<std::uint32_t>(counters) % 8, 0u);
  std::uint32_t early = 0;
  for (std::uint32_t i = 0; i < 8 * rounds; ++i) early += gpu.at<std::uint32_t>(out)[i] != 8;
  return early;
}

TEST(Xccs, NothingJoinsThemInsideABuffer) {
  EngineFixture gpu("mi300x", skewed(21));
  EXPECT_GT(early_reads(gpu, false, 200), 0u);
}

TEST(Xccs, RendezvousJoinsThemAThousandTimes) {
  EngineFixture gpu("mi300x", skewed(22));
  EXPECT_EQ(early_reads(gpu, true, 1000), 0u);
}

TEST(Xccs, BarrierBitJoinsThem) {
  EngineFixture gpu("mi300x", skewed(23));
  auto queue = gpu.queue(QueueType::Aql);
  const Va store = gpu.code(gfx942::kStoreIndex), copy = gpu.code(gfx942::kVectorCopy);
  constexpr std::uint32_t kRounds = 300;
  const Va in = gpu.uncached(32 * kRounds), out = gpu.uncached(32 * kRounds);
  const Va signal = gpu.uncached(64);
  gpu.store<std::int64_t>(signal + 8, kRounds);
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    Stream first, second;
    gpu.dispatch(first, store, {in + 32 * round}, 8);
    gpu.dispatch(second, copy, {in + 32 * round + 28, out + 32 * round}, 8);
    queue->indirect(first);
    queue->indirect(second, true, signal);
  }
  ASSERT_TRUE(gpu.reaches(signal + 8, 0));
  for (std::uint32_t i = 0; i < 8 * kRounds; ++i) ASSERT_EQ(gpu.at<std::uint32_t>(out)[i], 8u) << i;
}

TEST(Xccs, PredExecChoosesThem) {
  EngineFixture gpu("mi300x", skewed(5));
  auto queue = gpu.queue(QueueType::Aql);
  const Va counter = gpu.uncached(8), signal = gpu.uncached(64);
  gpu.store<std::int64_t>(signal + 8, 1);
  using A = pm4::AtomicMem;
  const auto add = gpu::Packet<A>{}.set<A::atomic>(pm4::kAtomicAddRtn32).set<A::address>(counter);
  auto with = [&](std::uint32_t amount) {
    auto packet = add;
    packet.set<A::source>(amount);
    return packet;
  };
  Stream stream;
  stream.put(with(1));
  stream.put(pred_exec(0b1000'0001, 9)).put(with(0x100));
  stream.put(pred_exec(0, 9)).put(with(0x10000));
  queue->indirect(stream, false, signal);
  ASSERT_TRUE(gpu.reaches(signal + 8, 0));
  EXPECT_EQ(gpu.load<std::uint32_t>(counter), 8u + 2 * 0x100);
}

// ---- AQL packets

/// A kernel descriptor with its code behind it.
Va kernel_object(EngineFixture& gpu, std::span<const std::uint32_t> code) {
  const Va object = gpu.uncached(4096, 256);
  gpu::KernelDescriptor descriptor{};
  descriptor.kernel_code_entry_byte_offset = 256;
  descriptor.compute_pgm_rsrc1 = 3;
  using Rsrc2 = reg::PgmRsrc2;
  descriptor.compute_pgm_rsrc2 =
      gpu::RegisterValue<Rsrc2>{}.set<Rsrc2::user_sgpr>(2).set<Rsrc2::tgid_x_en>(1).value;
  descriptor.kernel_code_properties = gpu::kPropKernargSegmentPtr;
  if (gpu.chip.gc.major != 9) descriptor.kernel_code_properties |= gpu::kPropWavefrontSize32;
  std::memcpy(gpu.host(object), &descriptor, sizeof descriptor);
  std::memcpy(gpu.host(object + 256), code.data(), code.size_bytes());
  return object;
}

aql::KernelDispatchPacket kernel_packet(Va object, Va kernarg, std::uint32_t items,
                                        std::uint16_t group) {
  aql::KernelDispatchPacket packet{};
  packet.header = aql::header(aql::PacketType::KernelDispatch, false, aql::FenceScope::System,
                              aql::FenceScope::System);
  packet.setup = 1;
  packet.workgroup_size_x = group;
  packet.workgroup_size_y = packet.workgroup_size_z = 1;
  packet.grid_size_x = items;
  packet.grid_size_y = packet.grid_size_z = 1;
  packet.kernel_object = object;
  packet.kernarg_address = kernarg;
  return packet;
}

TEST(AqlPackets, KernelDispatchAndSignalWithEvent) {
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Aql);
    auto* amd_queue = gpu.at<aql::Queue>(queue->config.read_pointer - 128);
    amd_queue->queue_properties = aql::kQueueEnableProfiling;
    const Va object = kernel_object(gpu, kernels_of(gpu.target).store_index);
    const Va out = gpu.uncached(256), signal = gpu.uncached(64), mailbox = gpu.uncached(8);
    auto* amd_signal = gpu.at<aql::Signal>(signal);
    amd_signal->value = 1;
    amd_signal->event_mailbox_ptr = mailbox;
    amd_signal->event_id = 31;
    auto packet = kernel_packet(object, out, 64 * 20 + 5, 64);  // the last workgroup is partial
    packet.completion_signal = signal;
    queue->packet(packet);
    ASSERT_TRUE(gpu.reaches(signal + 8, 0));
    ASSERT_TRUE(eventually([&] { return queue->read_pointer() == 1; }));
    for (std::uint32_t i = 0; i < 21; ++i) EXPECT_EQ(gpu.at<std::uint32_t>(out)[i], i + 1);
    EXPECT_EQ(gpu.at<std::uint32_t>(out)[21], 0u);
    EXPECT_EQ(gpu.load<std::uint64_t>(mailbox), 31u);
    EXPECT_EQ(gpu.host_side.interrupts(), std::vector<std::uint32_t>{31});
    EXPECT_NE(amd_signal->start_ts, 0u);
    EXPECT_LE(amd_signal->start_ts, amd_signal->end_ts);
  }
}

TEST(AqlPackets, BarriersWaitForSignalsAndValues) {
  EngineFixture gpu("mi300x");
  auto queue = gpu.queue(QueueType::Aql);
  auto other = gpu.queue(QueueType::Pm4);
  const Va first = gpu.uncached(64), second = gpu.uncached(64), done = gpu.uncached(64);
  gpu.store<std::int64_t>(first + 8, 1);
  gpu.store<std::int64_t>(second + 8, 1);
  gpu.store<std::int64_t>(done + 8, 3);
  auto barrier = [&](aql::PacketType type) {
    aql::BarrierPacket packet{};
    packet.header = aql::header(type, false, aql::FenceScope::None, aql::FenceScope::None);
    packet.dependency[1] = first;
    packet.dependency[4] = second;
    packet.completion_signal = done;
    return packet;
  };
  aql::BarrierValuePacket value{};
  value.header = aql::header(aql::PacketType::VendorSpecific, false, aql::FenceScope::None,
                             aql::FenceScope::None);
  value.format = aql::AmdFormat::BarrierValue;
  value.signal = first;
  value.value = 0x1'0000'0000;
  value.mask = -1;
  value.condition = aql::Condition::Gte;
  value.completion_signal = done;
  queue->packet(barrier(aql::PacketType::BarrierOr));
  queue->packet(barrier(aql::PacketType::BarrierAnd));
  queue->packet(value);
  auto settle = [&] {  // the other queue has come round several times
    for (std::uint32_t i = 0; i < 10; ++i) {
      Stream nop;
      nop.put({pm4::kNopPad});
      other->submit(nop);
      const std::uint64_t expected = other->write_pointer;
      ASSERT_TRUE(eventually([&] { return other->read_pointer() == expected; }));
    }
  };
  settle();
  EXPECT_EQ(gpu.load<std::int64_t>(done + 8), 3);
  gpu.store<std::int64_t>(second + 8, 0);
  ASSERT_TRUE(gpu.reaches(done + 8, 2));  // OR
  settle();
  EXPECT_EQ(gpu.load<std::int64_t>(done + 8), 2);
  gpu.store<std::int64_t>(first + 8, 0);
  ASSERT_TRUE(gpu.reaches(done + 8, 1));  // AND
  gpu.store<std::int64_t>(first + 8, 0xFFFF'FFFF);
  settle();
  EXPECT_EQ(gpu.load<std::int64_t>(done + 8), 1);
  gpu.store<std::int64_t>(first + 8, 0x1'0000'0000);
  ASSERT_TRUE(gpu.reaches(done + 8, 0));  // VALUE, 64 bits wide
}

// ---- errors

std::uint64_t wait_for_exception(EngineFixture& gpu, const TestQueue& queue) {
  EXPECT_TRUE(eventually([&] { return !gpu.host_side.exceptions().empty(); }));
  const auto exceptions = gpu.host_side.exceptions();
  EXPECT_EQ(exceptions.size(), 1u);
  if (exceptions.empty()) return 0;
  EXPECT_EQ(exceptions[0].queue, queue.config.id);
  return exceptions[0].codes;
}

std::uint64_t exception_of(const char* chip, const Stream& stream) {
  EngineFixture gpu(chip);
  auto queue = gpu.queue(QueueType::Pm4);
  const Va after = gpu.uncached(8);
  Stream whole = stream;
  whole.write(after, 1);
  queue->submit(whole);
  const std::uint64_t codes = wait_for_exception(gpu, *queue);
  EXPECT_EQ(gpu.load<std::uint32_t>(after), 0u) << "the queue went on";
  return codes;
}

TEST(Errors, BadPm4PacketsAreQueueExceptions) {
  const std::uint64_t unsupported = uapi::exception_mask(uapi::kEcQueuePacketUnsupported);
  EXPECT_EQ(exception_of("navi31", Stream{}.put({gpu::pm4_header(0x99, 2), 0})), unsupported);
  EXPECT_EQ(exception_of("navi31", Stream{}.put({0x12345678u})), unsupported);  // not type 3
  // A reserved bit of EVENT_WRITE.
  Stream reserved;
  reserved.idle();
  reserved.dwords[1] |= 1u << 31;
  EXPECT_EQ(exception_of("navi31", reserved), unsupported);
  // PRED_EXEC in a ring; on gfx11 there is no such packet at all.
  EXPECT_EQ(exception_of("mi300x", Stream{}.put(pred_exec(1, 0))), unsupported);
  EXPECT_EQ(exception_of("navi31", Stream{}.put(pred_exec(1, 0))), unsupported);
}

TEST(Errors, NestedIndirectBuffer) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4);
  Stream inner;
  inner.write(gpu.uncached(8), 1);
  Stream middle;
  middle.put(indirect_buffer(gpu.buffer(inner), static_cast<std::uint32_t>(inner.dwords.size())));
  Stream outer;
  outer.put(indirect_buffer(gpu.buffer(middle), static_cast<std::uint32_t>(middle.dwords.size())));
  queue->submit(outer);
  EXPECT_EQ(wait_for_exception(gpu, *queue), uapi::exception_mask(uapi::kEcQueuePacketUnsupported));
}

TEST(Errors, ForbiddenRegisters) {
  const std::uint64_t invalid = uapi::exception_mask(uapi::kEcQueuePacketDispatchRegisterInvalid);
  // COMPUTE_STATIC_THREAD_MGMT_SE4 of gfx9 is CURRENT_LOGIC_XCC_ID on gfx942, a plain mask on
  // gfx11.
  EXPECT_EQ(exception_of("mi300x", Stream{}.registers(0x2E25, {~0u})), invalid);
  EXPECT_EQ(exception_of("mi300x", Stream{}.registers(0x2E24, {0, ~0u})), invalid);
  // Graphics registers.
  EXPECT_EQ(exception_of("navi31", Stream{}.registers(0x2C08, {0})), invalid);
  // Bits that no field of COMPUTE_PGM_RSRC2 covers.
  EXPECT_EQ(exception_of("navi31", Stream{}.registers(reg::PgmRsrc2::kOffset, {1u << 31})),
            invalid);
}

TEST(Errors, UnmappedMemoryIsAVmFaultThatEvictsEverything) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4), other = gpu.queue(QueueType::Pm4);
  Stream stream;
  stream.put(indirect_buffer(0x7000'0000'0000, 16));
  queue->submit(stream);
  ASSERT_TRUE(eventually([&] { return !gpu.host_side.faults().empty(); }));
  EXPECT_EQ(gpu.host_side.faults()[0].address, 0x7000'0000'0000u);
  EXPECT_TRUE(gpu.host_side.faults()[0].not_present);
  const Va out = gpu.uncached(8);
  Stream mark;
  mark.write(out, 1);
  other->submit(mark);
  queue->destroy();
  other->destroy();
  EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
  EXPECT_TRUE(gpu.host_side.exceptions().empty());
}

TEST(Errors, WaveThatTouchesNothingMapped) {
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Pm4);
    const Va code = gpu.code(kernels_of(gpu.target).store_index);
    const Va signal = gpu.uncached(8);
    Stream stream;
    gpu.dispatch(stream, code, {0x6000'0000'0000}, 1);
    stream.signal(signal, 1);
    queue->submit(stream);
    ASSERT_TRUE(eventually([&] { return !gpu.host_side.faults().empty(); }));
    EXPECT_EQ(gpu.host_side.faults()[0].address, 0x6000'0000'0000u);
    EXPECT_EQ(gpu.host_side.faults()[0].access, Access::Store);
    queue->destroy();
    EXPECT_EQ(gpu.load<std::uint64_t>(signal), 0u);
  }
}

TEST(Errors, AqlPackets) {
  auto codes_of = [](const auto& make) {
    EngineFixture gpu("mi300x");
    auto queue = gpu.queue(QueueType::Aql);
    queue->packet(make(gpu));
    return wait_for_exception(gpu, *queue);
  };
  const auto mask = [](std::uint32_t code) { return uapi::exception_mask(code); };
  EXPECT_EQ(codes_of([](EngineFixture&) {
              aql::BarrierPacket packet{};
              packet.header = static_cast<std::uint16_t>(aql::PacketType::AgentDispatch);
              return packet;
            }),
            mask(uapi::kEcQueuePacketUnsupported));
  EXPECT_EQ(codes_of([](EngineFixture& gpu) {  // PM4, but no indirect buffer
              aql::Pm4IbPacket packet{};
              packet.format = aql::AmdFormat::Pm4Ib;
              Stream nop;
              nop.put({gpu::pm4_header(0x10, 4), 0, 0, 0});
              std::memcpy(packet.indirect_buffer, nop.dwords.data(), 16);
              packet.dwords_remaining = 10;
              (void)gpu;
              return packet;
            }),
            mask(uapi::kEcQueuePacketVendorUnsupported));
  EXPECT_EQ(codes_of([](EngineFixture& gpu) {
              return kernel_packet(kernel_object(gpu, gfx942::kStoreIndex), 0, 0, 64);
            }),
            mask(uapi::kEcQueuePacketDispatchDimInvalid));
  EXPECT_EQ(codes_of([](EngineFixture& gpu) {
              return kernel_packet(kernel_object(gpu, gfx942::kStoreIndex), 0, 64, 1025);
            }),
            mask(uapi::kEcQueuePacketDispatchWorkGroupSizeInvalid));
  EXPECT_EQ(codes_of([](EngineFixture& gpu) {
              auto packet = kernel_packet(kernel_object(gpu, gfx942::kStoreIndex), 0, 64, 64);
              packet.group_segment_size = 65537;
              return packet;
            }),
            mask(uapi::kEcQueuePacketDispatchGroupSegmentSizeInvalid));
  EXPECT_EQ(codes_of([](EngineFixture&) { return kernel_packet(0, 0, 64, 64); }),
            mask(uapi::kEcQueuePacketDispatchCodeInvalid));
}

TEST(Errors, BadSdmaPacketStopsThatQueueOnly) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Sdma), other = gpu.queue(QueueType::Sdma);
  const Va out = gpu.uncached(16);
  auto fence = [&](Va to) {
    return gpu::Packet<sdma::Fence6>{}.set<sdma::Fence6::address>(to).set<sdma::Fence6::data>(1);
  };
  queue->submit(Stream{}.put({0x000000FFu}).put(fence(out)));
  other->submit(Stream{}.put(fence(out + 4)));
  ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out + 4) == 1; }));
  queue->destroy();
  EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
  EXPECT_TRUE(gpu.host_side.exceptions().empty());
  EXPECT_TRUE(gpu.host_side.faults().empty());
}

// ---- the end of queues

TEST(Destroy, WhileWaitingSpinningOrHung) {
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip);
    const Va flag = gpu.uncached(8), marker = gpu.uncached(64);
    auto waiting = gpu.queue(QueueType::Pm4);
    waiting->submit(Stream{}.write(marker, 1).wait32(flag, 1, Compare::Eq));
    auto spinning = gpu.queue(QueueType::Pm4);
    Stream spin;
    gpu.dispatch(spin, gpu.code(kernels_of(gpu.target).spin), {flag}, 16);
    spin.write(marker + 4, 1).idle();
    spinning->submit(spin);
    auto hung = gpu.queue(QueueType::Pm4);
    const std::uint32_t illegal[] = {0xFFFFFFFF, 0xFFFFFFFF};
    Stream hang;
    gpu.dispatch(hang, gpu.code(illegal), {flag}, 4);
    hang.write(marker + 8, 1).idle().write(marker + 12, 1);
    hung->submit(hang);
    auto polling = gpu.queue(QueueType::Sdma);
    Stream poll;
    poll.emit([&](gpu::DwordWriter& writer) {
      gpu.target.sdma_ops->emit_poll(writer, gpu.target, {flag, 1, ~0u, Compare::Eq});
    });
    polling->submit(poll);
    for (Va at = marker; at < marker + 12; at += 4) {
      ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(at) == 1; }));
    }
    waiting->destroy();
    spinning->destroy();
    polling->destroy();
    hung->destroy();
    EXPECT_EQ(gpu.load<std::uint32_t>(marker + 12), 0u);
    EXPECT_TRUE(gpu.host_side.faults().empty());  // an illegal instruction is not reported
    EXPECT_TRUE(gpu.host_side.exceptions().empty());
    // The compute units are free again.
    auto queue = gpu.queue(QueueType::Pm4);
    const Va out = gpu.uncached(256), done = gpu.uncached(8);
    Stream work;
    gpu.dispatch(work, gpu.code(kernels_of(gpu.target).store_index), {out}, 64);
    work.signal(done, 1);
    queue->submit(work);
    EXPECT_TRUE(gpu.reaches(done, 1));
  }
}

TEST(Destroy, EnginesWithQueuesStillRunning) {
  EngineFixture gpu("mi300x");
  const Va flag = gpu.uncached(8), marker = gpu.uncached(8);
  auto queue = std::make_unique<TestQueue>(gpu, QueueType::Aql, 4096, 0, true);
  Stream spin;
  gpu.dispatch(spin, gpu.code(gfx942::kSpin), {flag}, 64);
  spin.put(pred_exec(1, 5)).write(marker, 1);
  queue->indirect(spin);
  ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(marker) == 1; }));
  queue.reset();
}

}  // namespace
}  // namespace kiln::vgpu::testing

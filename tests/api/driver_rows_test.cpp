// Owns: the conformance rows that any AMD compute driver must pass on one and two GPUs: opening,
//   memory, queues, dispatch, copies, overlap of engines, long compute, saturation. Each looks at
//   all of its data.
// Does not own: rows that other files hold already (copies of every size: copy_test.cpp).
// Threading: none.
#include <cstring>
#include <memory>
#include <numeric>
#include <set>

#include "fixture.hpp"

namespace api_test {
namespace {

class Rows : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>(spec());
    device_ = std::make_unique<Device>(*machine_);
  }
  void run(KilnQueue queue, KilnCommandBuffer commands) {
    ASSERT_EQ(device_->run(queue, commands), VK_SUCCESS) << machine_->said();
  }
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;
};
KILN_EACH_GPU(Rows);

std::uint32_t busy_value(std::uint32_t seed, std::uint32_t rounds) {
  for (std::uint32_t i = 0; i < rounds; ++i) seed = seed * 2654435761u + 1;
  return seed;
}

// Memory.

TEST_P(Rows, TenBuffersHoldTheirOwnBytes) {
  std::vector<Buffer> buffers;
  for (int i = 0; i < 10; ++i) {
    buffers.push_back(device_->allocate(65536, i % 2 == 0 ? kDeviceVisible : kHostCached));
    std::memset(buffers.back().host, 0x10 + i, 65536);
  }
  Buffer gathered = device_->allocate(10 * 65536, kHostCached);
  KilnCommandBuffer commands = device_->record(1);
  for (std::size_t i = 0; i < 10; ++i)
    device_->check(
        kilnCmdCopyMemory(commands, gathered.address + i * 65536, buffers[i].address, 65536),
        "copying");
  run(device_->sdma(), commands);
  for (std::size_t i = 0; i < 10 * 65536; ++i)
    ASSERT_EQ(gathered.host[i], static_cast<std::byte>(0x10 + i / 65536)) << i;
}

TEST_P(Rows, PartialReadAtAnOffset) {
  Buffer buffer = device_->allocate(4096, kDeviceVisible);
  for (int i = 0; i < 256; ++i) buffer.host[i] = static_cast<std::byte>(i);
  EXPECT_EQ(buffer.host[100], std::byte{100});
  EXPECT_EQ(buffer.host[255], std::byte{255});
}

TEST_P(Rows, SixteenMegabytes) {
  Buffer large = device_->allocate(16u << 20, kDeviceLocal),
         page = device_->allocate(4096, kHostCached);
  KilnCommandBuffer commands = device_->record(1);
  device_->check(kilnCmdFillMemory(commands, large.address, large.size, 0x16161616, 4), "filling");
  barrier(*device_, commands);
  device_->check(kilnCmdCopyMemory(commands, page.address, large.address + large.size - 4096, 4096),
                 "copying");
  run(device_->sdma(), commands);
  for (std::uint32_t word : words(page)) ASSERT_EQ(word, 0x16161616u);
}

// Dispatch.

TEST_P(Rows, FillKernel) {
  for (std::uint32_t groups : {4u, 1u}) {
    Buffer out = device_->allocate(4096, kHostUncached);
    words(out)[groups * 64] = 0x5a5a5a5a;
    KilnCommandBuffer commands = device_->record(0);
    dispatch(*device_, commands, device_->probe("fill"), groups, 64,
             Arguments(out.address, 0xdeadbeefu));
    run(device_->compute(), commands);
    for (std::uint32_t i = 0; i < groups * 64; ++i) ASSERT_EQ(words(out)[i], 0xdeadbeefu) << i;
    EXPECT_EQ(words(out)[groups * 64], 0x5a5a5a5au);
  }
}

// Copies.

TEST_P(Rows, CopiesBetweenAllKindsOfMemory) {
  const MemoryType kinds[] = {kDeviceLocal, kDeviceVisible, kHostCached, kHostUncached};
  Buffer from = device_->allocate(4096, kHostCached), to = device_->allocate(4096, kHostCached);
  for (MemoryType a : kinds)
    for (MemoryType b : kinds) {
      Buffer first = device_->allocate(4096, a), second = device_->allocate(4096, b);
      scramble({from.host, 4096}, static_cast<std::uint32_t>(a * 4 + b));
      KilnCommandBuffer commands = device_->record(1);
      for (auto [destination, source] : {std::pair{first.address, from.address},
                                         {second.address, first.address},
                                         {to.address, second.address}}) {
        device_->check(kilnCmdCopyMemory(commands, destination, source, 4096), "copying");
        barrier(*device_, commands);
      }
      run(device_->sdma(), commands);
      ASSERT_EQ(std::memcmp(from.host, to.host, 4096), 0) << a << b;
    }
}

TEST_P(Rows, AllByteValuesAndAlternatingBits) {
  Buffer from = device_->allocate(8192, kHostCached), to = device_->allocate(8192, kHostCached);
  for (std::size_t i = 0; i < 4096; ++i) {
    from.host[i] = static_cast<std::byte>(i);
    from.host[4096 + i] = i % 2 == 0 ? std::byte{0x55} : std::byte{0xaa};
  }
  KilnCommandBuffer commands = device_->record(1);
  device_->check(kilnCmdCopyMemory(commands, to.address, from.address, 8192), "copying");
  run(device_->sdma(), commands);
  EXPECT_EQ(std::memcmp(from.host, to.host, 8192), 0);
}

TEST_P(Rows, FourIndependentPairsAndOneWait) {
  std::vector<Buffer> from, to;
  KilnSemaphore done = device_->semaphore();
  for (std::uint32_t i = 0; i < 4; ++i) {
    from.push_back(device_->allocate(65536, kHostCached));
    to.push_back(device_->allocate(65536, kHostCached));
    scramble({from[i].host, 65536}, i);
    KilnCommandBuffer commands = device_->record(1);
    device_->check(kilnCmdCopyMemory(commands, to[i].address, from[i].address, 65536), "copying");
    device_->end(commands);
    device_->submit(device_->sdma(), {}, {commands}, {{done, i + 1}});
  }
  ASSERT_EQ(device_->wait(done, 4), VK_SUCCESS);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(std::memcmp(from[i].host, to[i].host, 65536), 0) << i;
}

// Overlap on one GPU.

TEST_P(Rows, ComputeAndCopiesInterleaved) {
  constexpr std::uint32_t kEach = 4;
  constexpr std::size_t kBytes = 1u << 20;
  std::vector<Buffer> outs, from, to;
  KilnSemaphore computed = device_->semaphore(), copied = device_->semaphore();
  for (std::uint32_t i = 0; i < kEach; ++i) {
    outs.push_back(device_->allocate(64 * 64 * 4, kHostCached));
    from.push_back(device_->allocate(kBytes, kHostCached));
    to.push_back(device_->allocate(kBytes, kHostCached));
    scramble({from[i].host, kBytes}, i);
  }
  for (std::uint32_t i = 0; i < kEach; ++i) {
    KilnCommandBuffer compute = device_->record(0), copy = device_->record(1);
    dispatch(*device_, compute, device_->probe("busy"), 64, 64,
             Arguments(outs[i].address, i * 1000, 100u));
    device_->end(compute);
    device_->check(kilnCmdCopyMemory(copy, to[i].address, from[i].address, kBytes), "copying");
    device_->end(copy);
    device_->submit(device_->compute(), {}, {compute}, {{computed, i + 1}});
    device_->submit(device_->sdma(), {}, {copy}, {{copied, i + 1}});
  }
  ASSERT_EQ(device_->wait(computed, kEach), VK_SUCCESS) << machine_->said();
  ASSERT_EQ(device_->wait(copied, kEach), VK_SUCCESS) << machine_->said();
  for (std::uint32_t i = 0; i < kEach; ++i) {
    EXPECT_EQ(std::memcmp(from[i].host, to[i].host, kBytes), 0) << i;
    for (std::uint32_t t = 0; t < 4096; ++t)
      ASSERT_EQ(words(outs[i])[t], busy_value(i * 1000 + t, 100)) << i << " " << t;
  }
}

TEST_P(Rows, SdmaWaitsForComputeThenCopiesItsResult) {
  constexpr std::uint32_t kCount = 4096;
  Buffer made = device_->allocate(kCount * 4, kDeviceLocal),
         seen = device_->allocate(kCount * 4, kHostCached);
  KilnSemaphore line = device_->semaphore();
  KilnCommandBuffer compute = device_->record(0), copy = device_->record(1);
  dispatch(*device_, compute, device_->probe("busy"), kCount / 64, 64,
           Arguments(made.address, 5u, 50u));
  device_->end(compute);
  device_->check(kilnCmdCopyMemory(copy, seen.address, made.address, kCount * 4), "copying");
  device_->end(copy);
  device_->submit(device_->sdma(), {{line, 1}}, {copy}, {{line, 2}});
  device_->submit(device_->compute(), {}, {compute}, {{line, 1}});
  ASSERT_EQ(device_->wait(line, 2), VK_SUCCESS) << machine_->said();
  for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_EQ(words(seen)[i], busy_value(5 + i, 50)) << i;
}

TEST_P(Rows, ComputeWaitsForAWordThatSdmaWrites) {
  // In VRAM and in system memory: command processors must poll both.
  for (MemoryType where : {kDeviceVisible, kHostUncached}) {
    Buffer flag = device_->allocate(4096, where), out = device_->allocate(4096, kHostUncached);
    std::memset(flag.host, 0, 4096);
    words(out)[0] = 0;
    KilnCommandBuffer compute = device_->record(0), copy = device_->record(1);
    device_->check(kilnCmdWaitValue(compute, flag.address, 7), "waiting");
    dispatch(*device_, compute, device_->probe("fill"), 1, 64, Arguments(out.address, 3u));
    device_->end(compute);
    device_->check(kilnCmdWriteValue(copy, flag.address, 7), "writing");
    device_->end(copy);
    KilnSemaphore done = device_->semaphore();
    device_->submit(device_->compute(), {}, {compute}, {{done, 1}});
    EXPECT_EQ(device_->wait(done, 1, 15'000'000), VK_TIMEOUT);
    EXPECT_EQ(words(out)[0], 0u);
    device_->submit(device_->sdma(), {}, {copy}, {});
    ASSERT_EQ(device_->wait(done, 1), VK_SUCCESS) << where << machine_->said();
    EXPECT_EQ(words(out)[63], 3u);
    ASSERT_EQ(kilnDeviceWaitIdle(device_->handle()), VK_SUCCESS);
  }
}

TEST_P(Rows, SdmaWaitsForAWordThatTheHostWroteBefore) {
  Buffer flag = device_->allocate(4096, kHostUncached), out = device_->allocate(4096, kHostCached);
  words(flag)[0] = 9;
  words(flag)[1] = 0;
  KilnCommandBuffer copy = device_->record(1);
  device_->check(kilnCmdWaitValue(copy, flag.address, 9), "waiting");
  device_->check(kilnCmdFillMemory(copy, out.address, 4096, 4, 4), "filling");
  run(device_->sdma(), copy);
  EXPECT_EQ(words(out)[1023], 4u);
}

TEST_P(Rows, DoubleBuffering) {
  // Compute into one half while the other half is sent away.
  constexpr std::uint32_t kCount = 4096, kTurns = 8;
  Buffer halves[2] = {device_->allocate(kCount * 4, kDeviceLocal),
                      device_->allocate(kCount * 4, kDeviceLocal)};
  Buffer seen = device_->allocate(kTurns * kCount * 4, kHostCached);
  KilnSemaphore computed = device_->semaphore(), sent = device_->semaphore();
  for (std::uint32_t turn = 0; turn < kTurns; ++turn) {
    const Buffer& half = halves[turn % 2];
    KilnCommandBuffer compute = device_->record(0), copy = device_->record(1);
    dispatch(*device_, compute, device_->probe("busy"), kCount / 64, 64,
             Arguments(half.address, turn * 100'000, 20u));
    device_->end(compute);
    device_->check(
        kilnCmdCopyMemory(copy, seen.address + turn * kCount * 4, half.address, kCount * 4),
        "copying");
    device_->end(copy);
    // The half is free once what it held two turns ago has left.
    device_->submit(device_->compute(), {{sent, turn < 2 ? 0 : turn - 1}}, {compute},
                    {{computed, turn + 1}});
    device_->submit(device_->sdma(), {{computed, turn + 1}}, {copy}, {{sent, turn + 1}});
  }
  ASSERT_EQ(device_->wait(sent, kTurns), VK_SUCCESS) << machine_->said();
  for (std::uint32_t turn = 0; turn < kTurns; ++turn)
    for (std::uint32_t i = 0; i < kCount; i += 7)
      ASSERT_EQ(words(seen)[turn * kCount + i], busy_value(turn * 100'000 + i, 20)) << turn;
}

// Long compute.

TEST_P(Rows, ManyThreadsManyRounds) {
  constexpr std::uint32_t kThreads = 65536, kRounds = 1000;
  Buffer out = device_->allocate(kThreads * 4, kHostCached);
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, device_->probe("busy"), kThreads / 256, 256,
           Arguments(out.address, 77u, kRounds));
  run(device_->compute(), commands);
  for (std::uint32_t i = 0; i < kThreads; i += 61)
    ASSERT_EQ(words(out)[i], busy_value(77 + i, kRounds)) << i;
}

TEST_P(Rows, ReduceWithDistinctData) {
  constexpr std::uint32_t kCount = 256 * 1024, kPerThread = 256;
  Buffer in = device_->allocate(kCount * 4, kHostCached),
         out = device_->allocate(4096, kHostCached);
  for (std::uint32_t i = 0; i < kCount; ++i) words(in)[i] = i;
  KilnCommandBuffer commands = device_->record(0);
  dispatch(*device_, commands, device_->probe("sum_runs"), kCount / kPerThread / 64, 64,
           Arguments(in.address, out.address, kCount, kPerThread));
  run(device_->compute(), commands);
  for (std::uint32_t i = 0; i < kCount / kPerThread; ++i) {
    const std::uint32_t first = i * kPerThread;
    ASSERT_EQ(words(out)[i], first * kPerThread + kPerThread * (kPerThread - 1) / 2) << i;
  }
}

// Saturation.

TEST_P(Rows, EightLargeDispatchesBackToBackAndALargeCopy) {
  constexpr std::uint32_t kCount = 512 * 1024;
  constexpr std::size_t kBytes = 32u << 20;
  Buffer out = device_->allocate(kCount * 4, kHostCached);
  Buffer from = device_->allocate(kBytes, kHostCached), to = device_->allocate(kBytes, kHostCached);
  scramble({from.host, kBytes}, 1);
  KilnCommandBuffer compute = device_->record(0), copy = device_->record(1);
  for (std::uint32_t i = 0; i < 8; ++i) {
    dispatch(*device_, compute, device_->probe("fill"), kCount / 256, 256,
             Arguments(out.address, 100 + i));
    barrier(*device_, compute);
  }
  device_->end(compute);
  device_->check(kilnCmdCopyMemory(copy, to.address, from.address, kBytes), "copying");
  device_->end(copy);
  KilnSemaphore computed = device_->semaphore(), copied = device_->semaphore();
  device_->submit(device_->sdma(), {}, {copy}, {{copied, 1}});
  device_->submit(device_->compute(), {}, {compute}, {{computed, 1}});
  ASSERT_EQ(device_->wait(computed, 1), VK_SUCCESS) << machine_->said();
  ASSERT_EQ(device_->wait(copied, 1), VK_SUCCESS) << machine_->said();
  for (std::uint32_t word : words(out)) ASSERT_EQ(word, 107u);
  EXPECT_EQ(std::memcmp(from.host, to.host, kBytes), 0);
}

// Two GPUs.

class TwoGpuRows : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>("2x " + spec());
    for (std::size_t i = 0; i < 2; ++i)
      devices_[i] = std::make_unique<Device>(*machine_, machine_->gpu(i));
  }
  Device& device(std::size_t index) { return *devices_[index]; }
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> devices_[2];
};
KILN_EACH_RING(TwoGpuRows);

TEST_P(TwoGpuRows, EachHasItsOwnMemory) {
  Buffer buffers[2];
  for (std::size_t i = 0; i < 2; ++i) {
    buffers[i] = device(i).allocate(16u << 20, kDeviceVisible);
    KilnCommandBuffer commands = device(i).record(1);
    device(i).check(kilnCmdFillMemory(commands, buffers[i].address, buffers[i].size, 0xa0 + i, 4),
                    "filling");
    ASSERT_EQ(device(i).run(device(i).sdma(), commands), VK_SUCCESS) << machine_->said();
  }
  for (std::size_t i = 0; i < 2; ++i)
    for (std::uint32_t word : words(buffers[i])) ASSERT_EQ(word, 0xa0 + i);
}

TEST_P(TwoGpuRows, ThreeQueuesOnEach) {
  std::set<KilnQueue> queues;
  for (std::size_t i = 0; i < 2; ++i) {
    Device third(*machine_, machine_->gpu(i), {3, 1, 0});
    for (std::uint32_t q = 0; q < 3; ++q) {
      ASSERT_NE(third.compute(q), nullptr);
      EXPECT_EQ(third.run(third.compute(q), third.record(0)), VK_SUCCESS) << machine_->said();
    }
  }
}

TEST_P(TwoGpuRows, ThereAndBack) {
  constexpr std::size_t kBytes = 1u << 20;
  Buffer from = device(0).allocate(kBytes, kHostCached),
         to = device(0).allocate(kBytes, kHostCached);
  Buffer on[2] = {device(0).allocate(kBytes, kDeviceLocal, {device(1).handle()}),
                  device(1).allocate(kBytes, kDeviceLocal, {device(0).handle()})};
  Buffer last = device(0).allocate(kBytes, kDeviceLocal, {device(1).handle()});
  scramble({from.host, kBytes}, 8);
  KilnSemaphore line = device(0).semaphore(0, {device(1).handle()});
  const struct {
    std::size_t by;
    VkDeviceAddress to, from;
  } hops[] = {{0, on[0].address, from.address},
              {0, on[1].address, on[0].address},
              {1, last.address, on[1].address},
              {0, to.address, last.address}};
  std::uint64_t value = 0;
  for (const auto& hop : hops) {
    KilnCommandBuffer commands = device(hop.by).record(1);
    device(hop.by).check(kilnCmdCopyMemory(commands, hop.to, hop.from, kBytes), "copying");
    device(hop.by).end(commands);
    device(hop.by).submit(device(hop.by).sdma(), {{line, value}}, {commands}, {{line, value + 1}});
    ++value;
  }
  ASSERT_EQ(device(0).wait(line, value), VK_SUCCESS) << machine_->said();
  EXPECT_EQ(std::memcmp(from.host, to.host, kBytes), 0);
}

TEST_P(TwoGpuRows, BothDirectionsAtOnceWhileBothCompute) {
  constexpr std::size_t kBytes = 4u << 20;
  constexpr std::uint32_t kThreads = 16384;
  Buffer source[2], target[2], seen[2], out[2];
  KilnSemaphore copied[2], computed[2];
  for (std::size_t i = 0; i < 2; ++i) {
    source[i] = device(i).allocate(kBytes, kHostCached);
    scramble({source[i].host, kBytes}, 30 + static_cast<std::uint32_t>(i));
    target[i] = device(i).allocate(kBytes, kDeviceLocal, {device(1 - i).handle()});
    seen[i] = device(i).allocate(kBytes, kHostCached);
    out[i] = device(i).allocate(kThreads * 4, kHostCached);
    copied[i] = device(i).semaphore();
    computed[i] = device(i).semaphore();
  }
  for (std::size_t i = 0; i < 2; ++i) {
    Device& d = device(i);
    KilnCommandBuffer copy = d.record(1), compute = d.record(0);
    d.check(kilnCmdCopyMemory(copy, target[1 - i].address, source[i].address, kBytes), "copying");
    d.end(copy);
    dispatch(d, compute, d.probe("busy"), kThreads / 256, 256,
             Arguments(out[i].address, static_cast<std::uint32_t>(i * 1'000'000), 200u));
    d.end(compute);
    d.submit(d.compute(), {}, {compute}, {{computed[i], 1}});
    d.submit(d.sdma(), {}, {copy}, {{copied[i], 1}});
  }
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(device(i).wait(copied[i], 1), VK_SUCCESS) << machine_->said();
    ASSERT_EQ(device(i).wait(computed[i], 1), VK_SUCCESS) << machine_->said();
  }
  for (std::size_t i = 0; i < 2; ++i) {
    Device& d = device(i);
    KilnCommandBuffer back = d.record(1);
    d.check(kilnCmdCopyMemory(back, seen[i].address, target[i].address, kBytes), "copying");
    ASSERT_EQ(d.run(d.sdma(), back), VK_SUCCESS);
    EXPECT_EQ(std::memcmp(seen[i].host, source[1 - i].host, kBytes), 0) << i;
    for (std::uint32_t t = 0; t < kThreads; t += 13)
      ASSERT_EQ(words(out[i])[t], busy_value(static_cast<std::uint32_t>(i * 1'000'000) + t, 200));
  }
}

TEST_P(TwoGpuRows, TenRepeatsOnTheSameBuffers) {
  constexpr std::size_t kBytes = 256 * 1024;
  Buffer from = device(0).allocate(kBytes, kHostCached);
  Buffer there = device(1).allocate(kBytes, kDeviceLocal, {device(0).handle()});
  Buffer to = device(0).allocate(kBytes, kHostCached);
  for (std::uint32_t round = 0; round < 10; ++round) {
    scramble({from.host, kBytes}, round);
    KilnCommandBuffer commands = device(0).record(1);
    device(0).check(kilnCmdCopyMemory(commands, there.address, from.address, kBytes), "copying");
    barrier(device(0), commands, KILN_SCOPE_SYSTEM);
    device(0).check(kilnCmdCopyMemory(commands, to.address, there.address, kBytes), "copying");
    ASSERT_EQ(device(0).run(device(0).sdma(), commands), VK_SUCCESS) << machine_->said();
    ASSERT_EQ(std::memcmp(from.host, to.host, kBytes), 0) << round;
  }
}

TEST_P(TwoGpuRows, XgmiQueuesCopyWhereTheyExist) {
  std::uint32_t count = 0;
  kilnGetPhysicalDeviceQueueFamilyProperties(machine_->gpu(), &count, nullptr);
  if (std::string(GetParam()) == "navi31") {
    EXPECT_EQ(count, 2u);  // it has none
    return;
  }
  ASSERT_EQ(count, 3u);
  constexpr std::size_t kBytes = 1u << 20;
  auto queues = make<KilnDeviceQueueCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
  queues.queueFamilyIndex = 2;
  queues.queueCount = 1;
  auto info = make<KilnDeviceCreateInfo>(KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queues;
  KilnDevice by = nullptr;
  ASSERT_EQ(kilnCreateDevice(machine_->gpu(0), &info, nullptr, &by), VK_SUCCESS);
  KilnQueue queue = nullptr;
  kilnGetDeviceQueue(by, 2, 0, &queue);
  ASSERT_NE(queue, nullptr);
  Buffer from = device(0).allocate(kBytes, kHostCached, {by}),
         there = device(1).allocate(kBytes, kDeviceLocal, {by}),
         to = device(1).allocate(kBytes, kHostCached);
  scramble({from.host, kBytes}, 4);
  auto pool_info = make<KilnCommandPoolCreateInfo>(KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
  pool_info.queueFamilyIndex = 2;
  KilnCommandPool pool = nullptr;
  ASSERT_EQ(kilnCreateCommandPool(by, &pool_info, nullptr, &pool), VK_SUCCESS);
  auto buffer_info =
      make<KilnCommandBufferAllocateInfo>(KILN_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
  buffer_info.commandPool = pool;
  buffer_info.commandBufferCount = 1;
  KilnCommandBuffer commands = nullptr;
  ASSERT_EQ(kilnAllocateCommandBuffers(by, &buffer_info, &commands), VK_SUCCESS);
  ASSERT_EQ(kilnBeginCommandBuffer(commands, nullptr), VK_SUCCESS);
  ASSERT_EQ(kilnCmdCopyMemory(commands, there.address, from.address, kBytes), VK_SUCCESS);
  ASSERT_EQ(kilnEndCommandBuffer(commands), VK_SUCCESS);
  auto submit = make<KilnSubmitInfo>(KILN_STRUCTURE_TYPE_SUBMIT_INFO);
  submit.commandBufferCount = 1;
  submit.pCommandBuffers = &commands;
  ASSERT_EQ(kilnQueueSubmit(queue, 1, &submit), VK_SUCCESS) << machine_->said();
  ASSERT_EQ(kilnQueueWaitIdle(queue), VK_SUCCESS) << machine_->said();
  KilnCommandBuffer back = device(1).record(1);
  device(1).check(kilnCmdCopyMemory(back, to.address, there.address, kBytes), "copying");
  ASSERT_EQ(device(1).run(device(1).sdma(), back), VK_SUCCESS) << machine_->said();
  EXPECT_EQ(std::memcmp(from.host, to.host, kBytes), 0);
  from = Buffer{};
  there = Buffer{};
  kilnDestroyCommandPool(by, pool, nullptr);
  kilnDestroyDevice(by, nullptr);
}

}  // namespace
}  // namespace api_test

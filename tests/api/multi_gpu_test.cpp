// Owns: tests of two GPUs in one process: memory mapped to both, copies and timelines between them,
//   kernels that read a peer, and faults where nothing is mapped.
// Does not own: what one GPU does.
// Threading: none.
#include <cstring>

#include "fixture.hpp"

namespace api_test {
namespace {

constexpr std::uint64_t kEpoch = std::uint64_t{1} << 32;

class TwoGpus : public EachGpu {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>("2x " + spec("strict,seed=5,skew=max"));
    a_ = std::make_unique<Device>(*machine_, machine_->gpu(0));
    b_ = std::make_unique<Device>(*machine_, machine_->gpu(1));
  }
  void copy(Device& by, std::uint32_t family, VkDeviceAddress to, VkDeviceAddress from,
            std::size_t bytes) {
    KilnCommandBuffer commands = by.record(family);
    by.check(kilnCmdCopyMemory(commands, to, from, bytes), "copying");
    ASSERT_EQ(by.run(by.queue(family, 0), commands), VK_SUCCESS) << machine_->said();
  }
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> a_, b_;
};
KILN_EACH_RING(TwoGpus);

TEST_P(TwoGpus, MemoryMappedToBothHasOneAddress) {
  constexpr std::size_t kBytes = 64 * 1024;
  Buffer host = a_->allocate(kBytes, kHostCached, {b_->handle()}),
         back = b_->allocate(kBytes, kHostCached, {a_->handle()});
  for (MemoryType type : {kDeviceLocal, kDeviceVisible, kHostCached, kHostUncached}) {
    Buffer shared = a_->allocate(kBytes, type, {b_->handle()});
    scramble({host.host, kBytes}, static_cast<std::uint32_t>(type));
    copy(*a_, 1, shared.address, host.address, kBytes);  // written by one
    copy(*b_, 1, back.address, shared.address, kBytes);  // read by the other
    EXPECT_EQ(std::memcmp(host.host, back.host, kBytes), 0) << type;
    scramble({host.host, kBytes}, 50 + static_cast<std::uint32_t>(type));
    copy(*b_, 0, shared.address, host.address, kBytes);
    copy(*a_, 0, back.address, shared.address, kBytes);
    EXPECT_EQ(std::memcmp(host.host, back.host, kBytes), 0) << type;
  }
}

TEST_P(TwoGpus, MappedLater) {
  constexpr std::size_t kBytes = 4096;
  Buffer mine = a_->allocate(kBytes, kDeviceLocal), theirs = b_->allocate(kBytes, kHostCached);
  scramble({theirs.host, kBytes}, 1);
  for (int i = 0; i < 2; ++i)  // twice is once
    ASSERT_EQ(kilnMapMemoryToDevice(a_->handle(), mine.memory, b_->handle()), VK_SUCCESS)
        << machine_->said();
  ASSERT_EQ(kilnMapMemoryToDevice(a_->handle(), mine.memory, a_->handle()), VK_SUCCESS);
  copy(*b_, 1, mine.address, theirs.address, kBytes);
  Buffer back = b_->allocate(kBytes, kHostCached);
  copy(*b_, 1, back.address, mine.address, kBytes);
  EXPECT_EQ(std::memcmp(back.host, theirs.host, kBytes), 0);
}

TEST_P(TwoGpus, PeerCopiesInBothDirections) {
  constexpr std::size_t kBytes = (9u << 20) + 12;  // several SDMA packets
  Buffer from = a_->allocate(kBytes, kHostCached), to = a_->allocate(kBytes, kHostCached),
         on_a = a_->allocate(kBytes, kDeviceLocal, {b_->handle()}),
         on_b = b_->allocate(kBytes, kDeviceLocal, {a_->handle()});
  scramble({from.host, kBytes}, 2);
  copy(*a_, 1, on_a.address, from.address, kBytes);
  copy(*a_, 1, on_b.address, on_a.address, kBytes);  // pushed
  KilnCommandBuffer wipe = a_->record(1);
  a_->check(kilnCmdFillMemory(wipe, on_a.address, kBytes, 0, 4), "filling");
  ASSERT_EQ(a_->run(a_->sdma(), wipe), VK_SUCCESS);
  copy(*a_, 1, on_a.address, on_b.address, kBytes);  // pulled back
  copy(*a_, 1, to.address, on_a.address, kBytes);
  EXPECT_EQ(std::memcmp(from.host, to.host, kBytes), 0);
}

TEST_P(TwoGpus, KernelsReadThePeersMemory) {
  constexpr std::uint32_t kCount = 4096;
  Buffer on_a = a_->allocate(kCount * 4, kDeviceLocal, {b_->handle()}),
         out = b_->allocate(kCount * 4, kHostCached);
  KilnSemaphore line = a_->semaphore(kEpoch - 3, {b_->handle()});
  KilnCommandBuffer make = a_->record(0), use = b_->record(0);
  dispatch(*a_, make, a_->probe("fill"), kCount / 64, 64, Arguments(on_a.address, 1000u));
  a_->end(make);
  dispatch(*b_, use, b_->probe("mirror_add"), kCount / 64, 64,
           Arguments(on_a.address, out.address, kCount, 23u));
  b_->end(use);
  std::uint64_t value = kEpoch - 3;
  for (int round = 0; round < 4; ++round) {
    for (std::uint32_t& word : words(out)) word = 0;
    // The consumer first in every second round.
    auto consume = [&] {
      b_->submit(b_->compute(), {{line, value + 1}}, {use}, {{line, value + 2}});
    };
    if (round % 2 != 0) consume();
    a_->submit(a_->compute(), {}, {make}, {{line, value + 1}});
    if (round % 2 == 0) consume();
    value += 2;
    ASSERT_EQ(b_->wait(line, value), VK_SUCCESS) << machine_->said();
    for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_EQ(words(out)[i], 1023u) << i;
  }
}

TEST_P(TwoGpus, ATimelineIsPolledAcrossGpus) {
  KilnSemaphore line = a_->semaphore(0, {b_->handle()}), done = b_->semaphore();
  std::uint64_t value = 0;
  for (std::uint32_t consumer : {0u, 1u})
    for (std::uint32_t producer : {0u, 1u}) {
      ++value;
      b_->submit(b_->queue(consumer, 0), {{line, value}}, {}, {{done, value}});
      EXPECT_EQ(b_->wait(done, value, 15'000'000), VK_TIMEOUT);
      a_->submit(a_->queue(producer, 0), {}, {}, {{line, value}});
      ASSERT_EQ(b_->wait(done, value), VK_SUCCESS) << consumer << producer << machine_->said();
    }
  // And the other way round, with a host that waits on either device.
  KilnSemaphore back = b_->semaphore(0, {a_->handle()});
  b_->submit(b_->sdma(), {}, {}, {{back, 1}});
  EXPECT_EQ(a_->wait(back, 1), VK_SUCCESS);
  EXPECT_EQ(b_->wait(back, 1), VK_SUCCESS);
}

TEST_P(TwoGpus, AChainOverBothGpus) {
  // Computed on A, sent by A's SDMA, computed on again by B, read by the host; one timeline.
  constexpr std::uint32_t kCount = 1024;
  Buffer in = a_->allocate(kCount * 4, kHostCached), made = a_->allocate(kCount * 4, kDeviceLocal),
         received = b_->allocate(kCount * 4, kDeviceLocal, {a_->handle()}),
         out = b_->allocate(kCount * 4, kHostCached);
  KilnSemaphore line = a_->semaphore(kEpoch - 31, {b_->handle()});
  KilnCommandBuffer produce = a_->record(0), send = a_->record(1), consume = b_->record(0);
  dispatch(*a_, produce, a_->probe("mirror_add"), kCount / 64, 64,
           Arguments(in.address, made.address, kCount, 2u));
  a_->end(produce);
  a_->check(kilnCmdCopyMemory(send, received.address, made.address, kCount * 4), "sending");
  a_->end(send);
  dispatch(*b_, consume, b_->probe("mirror_add"), kCount / 64, 64,
           Arguments(received.address, out.address, kCount, 4u));
  b_->end(consume);
  std::uint64_t value = kEpoch - 31;
  for (std::uint32_t round = 0; round < 20; ++round, value += 3) {
    for (std::uint32_t i = 0; i < kCount; ++i) words(in)[i] = i * 5 + round;
    auto step = [&](int which) {
      if (which == 0) a_->submit(a_->compute(), {}, {produce}, {{line, value + 1}});
      if (which == 1) a_->submit(a_->sdma(), {{line, value + 1}}, {send}, {{line, value + 2}});
      if (which == 2)
        b_->submit(b_->compute(), {{line, value + 2}}, {consume}, {{line, value + 3}});
    };
    for (int i = 0; i < 3; ++i) step(round % 2 == 0 ? i : 2 - i);
    ASSERT_EQ(b_->wait(line, value + 3), VK_SUCCESS) << round << machine_->said();
    for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_EQ(words(out)[i], i * 5 + round + 6);
  }
}

TEST_P(TwoGpus, AccessWithoutAMappingFaultsOnTheGpuThatMadeIt) {
  Buffer on_a = a_->allocate(4096, kDeviceLocal), host = b_->allocate(4096, kHostCached);
  KilnSemaphore done = b_->semaphore();
  KilnCommandBuffer commands = b_->record(1);
  b_->check(kilnCmdCopyMemory(commands, host.address, on_a.address, 4096), "copying");
  b_->end(commands);
  b_->submit(b_->sdma(), {}, {commands}, {{done, 1}});
  EXPECT_EQ(b_->wait(done, 1), VK_ERROR_DEVICE_LOST);
  auto fault = make<KilnDeviceFaultInfo>(KILN_STRUCTURE_TYPE_DEVICE_FAULT_INFO);
  ASSERT_EQ(kilnGetDeviceFaultInfo(b_->handle(), &fault), VK_SUCCESS);
  EXPECT_EQ(fault.kind, KILN_FAULT_MEMORY);
  EXPECT_EQ(fault.address & ~VkDeviceAddress{4095}, on_a.address);
  // The other GPU is well.
  EXPECT_EQ(kilnGetDeviceStatus(a_->handle()), VK_SUCCESS) << machine_->said();
  EXPECT_EQ(a_->run(a_->compute(), a_->record(0)), VK_SUCCESS) << machine_->said();
}

TEST_P(TwoGpus, ALostPeerPoisonsSharedTimelines) {
  KilnSemaphore line = a_->semaphore(0, {b_->handle()});
  KilnCommandBuffer commands = b_->record(1);
  b_->check(kilnCmdFillMemory(commands, 0x30000, 4096, 1, 4), "filling");
  b_->end(commands);
  b_->submit(b_->sdma(), {}, {commands}, {{line, 1}});
  EXPECT_EQ(b_->wait(line, 1), VK_ERROR_DEVICE_LOST);
  EXPECT_EQ(a_->wait(line, 1), VK_ERROR_DEVICE_LOST);  // it will never be signalled
  EXPECT_EQ(kilnGetDeviceStatus(a_->handle()), VK_SUCCESS);
}

TEST(TwoKinds, GpusOfDifferentKindsWorkTogether) {
  Machine machine("mi300x,navi31,strict");
  ASSERT_EQ(machine.gpu_count(), 2u);
  Device a(machine, machine.gpu(0)), b(machine, machine.gpu(1));
  EXPECT_STRNE(a.properties().targetName, b.properties().targetName);
  Buffer shared = a.allocate(4096, kHostUncached, {b.handle()});
  KilnSemaphore line = a.semaphore(0, {b.handle()});
  words(shared)[0] = 5;
  KilnCommandBuffer first = a.record(0), second = b.record(0);
  dispatch(a, first, a.probe("mirror_add"), 1, 64,
           Arguments(shared.address, shared.address + 4, 1u, 10u));
  a.end(first);
  dispatch(b, second, b.probe("mirror_add"), 1, 64,
           Arguments(shared.address + 4, shared.address + 8, 1u, 100u));
  b.end(second);
  b.submit(b.compute(), {{line, 1}}, {second}, {{line, 2}});
  a.submit(a.compute(), {}, {first}, {{line, 1}});
  ASSERT_EQ(b.wait(line, 2), VK_SUCCESS) << machine.said();
  EXPECT_EQ(words(shared)[2], 115u);
}

TEST(TwoInstances, DevicesOfDifferentInstancesDoNotMix) {
  Machine first("navi31"), second("navi31");
  Device a(first), b(second);
  Buffer mine = a.allocate(4096, kDeviceLocal);
  EXPECT_EQ(kilnMapMemoryToDevice(a.handle(), mine.memory, b.handle()),
            VK_ERROR_VALIDATION_FAILED_EXT);
}

}  // namespace
}  // namespace api_test

// Rules of real hardware and of KFD that a program can break without noticing on a kind simulator.
// Each is broken on purpose somewhere, and the virtual GPU must answer as hardware would. This
// table says where: HardwareRulesN in hardware_rules_*_test.cpp, other suites in other files of
// this folder, unit/, golden/ and api/ in the folders beside it. What the virtual GPU does not play
// is said in brackets.
//
// clang-format off
// 1 Several XCCs
//   AQL queues run on every XCC, PM4 queues on one:
//     Xccs.AqlQueueUsesAllInTurnAndPm4QueueOne
//   nothing joins XCCs inside a buffer:
//     Xccs.NothingJoinsThemInsideABuffer
//   waits and releases are an XCC's own:
//     HardwareRules1.ReleaseMemWaitsForItsOwnXccOnly
//     HardwareRules1.AWaitConcernsTheXccThatMakesIt
//   a join in front of every signal:
//     HardwareRules1.SignalWithoutAJoinIsEarly
//     HardwareRules1.SignalBehindTheJoinIsNot
//   two counters, under any skew, replayed:
//     HardwareRules1.OneCounterIsNotEnoughForTwoJoins
//     Xccs.RendezvousJoinsThemAThousandTimes
//     golden/Join.HoldsUnderAnySkewWithoutPatching
//   release in front of the join, acquire behind it:
//     StrictXccs.AgentBarrierReachesTheOthersAndNothingLess
//     StrictXccs.AcquireOfTheWriterIsNoRelease
//     golden/Cache.BarriersOnEightXccsJoinBetweenReleaseAndAcquire
//   AQL's barrier bit joins them:
//     Xccs.BarrierBitJoinsThem
//     StrictAql.BarrierPacketsWithFencesJoinCaches
//   PRED_EXEC chooses XCCs, in buffers only:
//     Xccs.PredExecChoosesThem
//     Errors.BadPm4PacketsAreQueueExceptions
// 2 64-bit timelines
//   compute waits compare 64 bits:
//     HardwareRules2.A32BitWaitPassesEarlyPastAWrap
//     Queues.PollEachOtherOnOneHostThread
//     api/SyncTest.ComputeWaitsCompare64Bits
//   a 32-bit poll passes early past a wrap:
//     HardwareRules2.AnSdmaPollPassesEarlyPastAWrap
//     api/SyncTest.SdmaWaitsPastAWrapAreHeldBack
//   and hangs when the payload leaves its epoch:
//     HardwareRules2.AnSdmaPollHangsWhenThePayloadLeavesItsEpoch
//     api/SyncTest.SignalsOutOfAnEpochWaitForItsPolls
//   low half first:
//     HardwareRules2.HighHalfFirstShowsAValueFromTheFuture
//     golden/Sdma.SignalIsTwoFencesLowHalfFirstThenTheInterrupt
//   64-bit atomics of SDMA:
//     SdmaPackets.FillsWritesAtomicsTrapsAndTimestamps
//   payloads are signal objects:
//     HardwareRules2.BarrierValueTakesTheSignalObjectNotItsValue
//     AqlPackets.BarriersWaitForSignalsAndValues
// 3 Caches
//   each bit of an acquire and a release, with and without it:
//     StrictGfx942.*
//     StrictGfx1100.*
//     StrictRelease.*
//     StrictCode.*
//   scope and target give the bits:
//     golden/Cache.ReleaseTable
//     golden/Cache.AcquireTable
//   SDMA goes past the L2 or through it:
//     StrictSdma.Gfx9GoesPastTheL2AndGfx11ThroughIt
//     StrictSdma.Gfx11CopyStaysInTheL2UntilGcrWritesItBack
// 4 CREATE_QUEUE
//   separate buffers of exact sizes, by version, held while the queue lives:
//     QueueBuffers.EveryDeviationIsRefused
//     KfdQueue.NewKernelsAllowALargerSaveArea
//     KfdQueue.OldKernelsCheckOnlyTheWritePointerOfMes
//   the save area's headers, MADV_DONTFORK:
//     unit/KfdQueue.AqlOnEightXccs
//     unit/KfdUapi.FieldsLieWhereTheKernelHasThem
// 5 Events and interrupts
//   the context id is the event's, the slot is written first:
//     HardwareRules5.InterruptsNeedIdAndSlot
//     EventTest.ContextIdZeroIsDroppedOnGfx9AndSearchesOnGfx11
//     EventTest.InterruptNeedsTheSlotWritten
//   auto-reset events lose wake-ups; ages do not:
//     EventTest.BeforeKfd114ThereAreNoAges
//     EventTest.AgeTellsAMissedSignal
//     unit/KfdEvent.OneInterruptWakesEverySleeper
//   every sleep is bounded:
//     unit/KfdEvent.NoSleepIsLongerThan200MillisecondsForKfd
//   one signal page a process:
//     EventTest.IdsSlotsAndThePage
//     unit/KfdOpen.AnotherRuntimeHasTheSignalPage
// 6 RUNTIME_ENABLE
//   mode 0 disables; once; before queues:
//     KfdNode.RuntimeEnable
//   without it nobody hears of bad packets:
//     HardwareRules6.BadPacketsAreHeardOfWhenEnabled
//     EventTest.QueueExceptionNeedsTheRuntime
// 7 What is not reported
//   illegal instructions and traps are silent hangs; a trap handler's code is not played:
//     HardwareRules7.IllegalInstructionsHangAndTrapsAreSteppedOver
//     Destroy.WhileWaitingSpinningOrHung
//   a fault evicts its process, and no other:
//     HardwareRules7.AFaultConcernsItsProcessOnly
//     Errors.UnmappedMemoryIsAVmFaultThatEvictsEverything
//   queues made after a fault never run:
//     EventTest.VmFaultReportsAndEvictsForGood
//     api/FreedMemory.LosesTheDeviceWithTheAddress
//   the watchdog finds what hangs:
//     api/FaultTest.TheWatchdogFindsAnEndlessKernel
// 8 Bits and registers
//   PRIV and TRAP_PRESENT (without them nothing shows until a wave is saved, which is not
//   played):
//     golden/Image.Gfx1100OnKfdSetsPrivAndTrapPresentAndWave32
//     golden/Image.Gfx942OnKfdSetsTrapPresentOnly
//     golden/Image.NothingIsAddedOnDrm
//   a fence in place of CS_PARTIAL_FLUSH:
//     HardwareRules8.IdleByFenceWaitsAtEachReplay
//   registers that tell the XCCs apart are never written:
//     Errors.ForbiddenRegisters
//   CU masks by SET_CU_MASK:
//     HardwareRules8.CuMaskLimitsWhereWorkgroupsRun
//     KfdQueue.CuMask
// 9 AQL rings
//   a vendor packet holds one indirect buffer:
//     Errors.AqlPackets
//   slots start INVALID; the first dword goes in last:
//     HardwareRules9.SlotsStartInvalid
//     HardwareRules9.TheFirstDwordGoesInLast
//   the doorbell is the last index; on PM4 it counts dwords:
//     HardwareRules9.TheDoorbellHoldsTheIndexOfTheLastPacket
//     HardwareRules9.Pm4DoorbellsCountDwordsNotPackets
//   packets overlap without the barrier bit:
//     HardwareRules9.WithoutTheBarrierBitPacketsOverlap
//   the read index is for space:
//     AqlQueue.RingWrapsAndSlotsBecomeInvalid
//   20 bits of size, no nesting, chains do not return:
//     HardwareRules9.AnIndirectBufferEndsWithItsSizeField
//     Errors.NestedIndirectBuffer
//     Pm4Packets.IndirectBuffersReturnAndChainsDoNot
//     golden/Pm4.FieldsRefuseWhatDoesNotFit
// 10 SDMA
//   gfx9 takes the doorbell, gfx11 polls the write pointer, so never a provisional one:
//     SdmaQueue.Gfx11PollsTheWritePointerWithoutADoorbell
//     HardwareRules10.AProvisionalWritePointerRunsWhatIsNotThere
//   write pointers are bytes:
//     HardwareRules10.WritePointersAreBytesNotDwords
//   counts: 22 bits on 4.x, one less:
//     HardwareRules10.CountsHave22BitsOn4AndMoreOn6
//     HardwareRules10.CountsAreOneLess
//   no packet over the ring's end; indirect buffers end on 8 dwords:
//     SdmaQueue.PacketOverTheEndOfTheRingStopsTheEngine
//     SdmaPackets.IndirectBufferEndsOnEightDwords
//   engines and their queues:
//     KfdQueue.SdmaQueuesGoRoundTheEnginesAndRunOut
// 11 Memory
//   the page that flushes HDP may be refused (held-back stores are not played):
//     unit/KfdOpen.WithoutTheHdpPageTheCallerMustFlush
//   addresses within reach, free, aligned:
//     KfdMemory.AddressesMustBeFreeAndAligned
//     unit/KfdMemory.AddressesOutsideTheGpusReachAreRefused
//   apertures come from the driver:
//     KfdNode.AperturesOldAndNew
//     unit/KfdOpen.AperturesComeByGpuIdNotByPosition
//   one context a process, none in a child:
//     KfdNode.AcquireVm
//     VirtualOs.AChildHasNoDevices
//     api/ForkTest.TheChildsDeviceIsLostAndTheParentsIsNot
//   the LDS granule:
//     golden/Dispatch.LdsIsCountedInGranulesOf512
//   kernel versions:
//     KfdNode.VersionsChangeWhatExists
//     unit/KfdOpen.VersionsDecideWhatIsUsedAndSaid
// 12 Over-subscription
//   SDMA queues run out:
//     KfdQueue.SdmaQueuesGoRoundTheEnginesAndRunOut
//   compute queues that outnumber the slots take turns, and a waiter holds its slot:
//     HardwareRules12.AWaiterWithASlotKeepsItsProducerOut
//     HardwareRules12.QueuesTakeTurnsWhenTheirQuantumIsOver
//   no more compute queues than slots:
//     api/DeviceTest.EveryQueueOfEveryFamilyCanBeMade
// clang-format on
#include "hardware_rules.hpp"

#include <algorithm>
#include <array>

#include "gpu/cache.hpp"
#include "kmd/kmd.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"
#include "vgpu/os.hpp"

namespace kiln::vgpu::testing {
namespace {

namespace pm4 = gpu::pm4;
namespace reg = gpu::reg;

constexpr std::uint64_t kBlinkNs = 30'000'000;

/// Kiln's driver part over a whole virtual machine: queues by ioctl, events that wake, and rings
/// written here.
class Opened {
 public:
  explicit Opened(const char* spec) {
    auto parsed = parse_spec(spec);
    EXPECT_TRUE(parsed);
    os_ = std::move(*VirtualOs::create(std::move(*parsed), make_engines));
    kmd_ = kmd::make_kfd(*os_);
    std::vector<kmd::GpuInfo> gpus;
    std::vector<kmd::Unusable> unusable;
    EXPECT_TRUE(kmd_->enumerate(&gpus, &unusable));
    gpu = std::move(*kmd_->open(gpus.at(0)));
    kmd::QueueDesc desc;
    desc.kind = kmd::QueueKind::ComputePm4;
    desc.ring_bytes = 65536;
    queue = std::move(*gpu->create_queue(desc));
  }
  ~Opened() {
    EXPECT_TRUE(gpu->destroy_queue(*queue));
    queue.reset();
    gpu.reset();
  }
  void submit(const Stream& stream) {
    std::memcpy(queue->ring + head_, stream.dwords.data(), stream.dwords.size() * 4);
    head_ += stream.dwords.size();
    queue->write_pointer->store(head_);
    queue->doorbell->store(head_);
  }

 private:
  std::unique_ptr<VirtualOs> os_;
  std::unique_ptr<kmd::Kmd> kmd_;
  std::uint64_t head_ = 0;

 public:
  std::unique_ptr<kmd::Gpu> gpu;
  std::unique_ptr<kmd::HwQueue> queue;
};

// ---- 5. events and interrupts

TEST(HardwareRules5, InterruptsNeedIdAndSlot) {
  struct Case {
    bool write_slot, context;
    bool wakes_gfx9, wakes_gfx11;
  };
  // Without an id KFD drops the interrupt on GC 9.4 and looks through all slots on gfx11; without
  // the slot written it finds nobody (kfd_int_process_v9.c, _v11.c, kfd_events.c).
  constexpr Case kCases[] = {
      {true, true, true, true}, {true, false, false, true}, {false, true, false, false}};
  for (const char* chip : {"mi300x", "navi31"}) {
    for (const Case& c : kCases) {
      Opened opened(chip);
      const kmd::Event event = *opened.gpu->create_event();
      kmd::MemoryDesc desc;
      desc.size = 4096;
      desc.heap = kmd::Heap::System;
      desc.host_visible = desc.uncached = desc.coherent = true;
      const kmd::Memory page = *opened.gpu->allocate(desc, {});
      auto* seen = new (page.host) std::atomic<std::uint64_t>(0);
      const std::uint64_t age = opened.gpu->event_age(event);
      Stream stream;
      stream.put(
          gpu::Packet<pm4::ReleaseMemGfx9>{}
              .set<pm4::ReleaseMemGfx9::event_type>(pm4::kEventCacheFlushAndInvTs)
              .set<pm4::ReleaseMemGfx9::event_index>(pm4::kEventIndexEndOfPipe)
              .set<pm4::ReleaseMemGfx9::int_sel>(pm4::kIntAfterWriteConfirm)
              .set<pm4::ReleaseMemGfx9::data_sel>(pm4::kData64)
              .set<pm4::ReleaseMemGfx9::address>(c.write_slot ? event.mailbox : page.address + 64)
              .set<pm4::ReleaseMemGfx9::data>(event.id)
              .set<pm4::ReleaseMemGfx9::int_ctxid>(c.context ? event.id : 0));
      stream.signal(page.address, 1);
      opened.submit(stream);
      ASSERT_TRUE(eventually([&] { return seen->load() == 1; }));
      const bool wakes = *chip == 'm' ? c.wakes_gfx9 : c.wakes_gfx11;
      EXPECT_EQ(opened.gpu->wait(event, age, wakes ? 200'000'000 : kBlinkNs),
                wakes ? kmd::WaitResult::Woken : kmd::WaitResult::TimedOut)
          << chip << c.write_slot << c.context;
      EXPECT_TRUE(opened.gpu->free(page));
      EXPECT_TRUE(opened.gpu->destroy_event(event));
    }
  }
}

// ---- 6. RUNTIME_ENABLE

TEST(HardwareRules6, BadPacketsAreHeardOfWhenEnabled) {
  // On KFD 1.11 there is no RUNTIME_ENABLE; the same bad packet then is a queue that stands still.
  for (const auto& [spec, heard] :
       {std::pair{"navi31,kfd=1.18", true}, std::pair{"navi31,kfd=1.11", false}}) {
    Opened opened(spec);
    opened.submit(Stream{}.put({gpu::pm4_header(0x99, 2), 0}));
    const auto error = [&] { return opened.gpu->fault().kind == kmd::FaultKind::QueueError; };
    if (heard) {
      EXPECT_TRUE(eventually(error));
      continue;
    }
    for (int i = 0; i < 20; ++i) {
      const timespec pause{0, 1'000'000};
      nanosleep(&pause, nullptr);
      EXPECT_FALSE(error());
    }
  }
}

// ---- 7. what is not reported

TEST(HardwareRules7, IllegalInstructionsHangAndTrapsAreSteppedOver) {
  // llvm-mc: s_trap 2, s_endpgm; and an encoding that is none. Without a second-level handler the
  // first level halts for the one and goes on behind the other (cwsr_trap_handler_gfx9.asm).
  constexpr std::uint32_t kTrap9[] = {0xbf920002, 0xbf810000};
  constexpr std::uint32_t kTrap11[] = {0xbf900002, 0xbfb00000};
  constexpr std::uint32_t kIllegal[] = {0xFFFFFFFF, 0xFFFFFFFF};
  for (const char* chip : kEveryChip) {
    for (const bool trap : {true, false}) {
      EngineFixture gpu(chip);
      const std::span<const std::uint32_t> trap_code =
          gpu.chip.gc.major == 11 ? std::span(kTrap11) : std::span(kTrap9);
      auto queue = gpu.queue(QueueType::Pm4);
      const Va begun = gpu.uncached(8), done = gpu.uncached(8);
      Stream stream;
      gpu.dispatch(stream, gpu.code(trap ? trap_code : std::span(kIllegal)), {begun}, 1);
      stream.write(begun, 1).signal(done, 1);
      queue->submit(stream);
      ASSERT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(begun) == 1; }));
      if (trap) {
        EXPECT_TRUE(gpu.reaches(done, 1)) << chip;
      } else {
        settle(gpu);
        EXPECT_EQ(gpu.load<std::uint64_t>(done), 0u) << chip;
      }
      expect_silence(gpu);
    }
  }
}

TEST(HardwareRules7, AFaultConcernsItsProcessOnly) {
  EngineFixture gpu("mi300x");
  constexpr std::uint64_t kOther = kProcess + 1;
  TestQueue unharmed(gpu, QueueType::Sdma, 4096, 0, false);
  unharmed.config.process = kOther;
  gpu.engines->create_queue(unharmed.config);
  auto queue = gpu.queue(QueueType::Pm4), brother = gpu.queue(QueueType::Sdma);
  const Va out = gpu.uncached(16);
  queue->submit(Stream{}.write(0x6000'0000'0000, 1));
  ASSERT_TRUE(eventually([&] { return !gpu.host_side.faults().empty(); }));
  auto fence = [&](Va to) {
    return Stream{}.put(gpu::Packet<gpu::sdma::Fence4>{}
                            .set<gpu::sdma::Fence4::address>(to)
                            .set<gpu::sdma::Fence4::data>(1));
  };
  brother->submit(fence(out));
  unharmed.submit(fence(out + 4));
  EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out + 4) == 1; }));
  EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u);
  gpu.engines->destroy_queue(kOther, unharmed.config.id);
}

// ---- 8. bits and registers

TEST(HardwareRules8, IdleByFenceWaitsAtEachReplay) {
  // The same buffer twice: a fence that is not cleared would let the second run through.
  for (const char* chip : kEveryChip) {
    EngineFixture gpu(chip);
    auto queue = gpu.queue(QueueType::Pm4);
    const Va flag = gpu.uncached(8), fence = gpu.uncached(8), out = gpu.uncached(8);
    const gpu::QueueContext context{&gpu.target, 1, 0};
    Stream buffer;
    gpu.dispatch(buffer, gpu.code(kernels_of(gpu.target).spin), {flag}, 4);
    buffer.emit([&](gpu::DwordWriter& w) { gpu::emit_idle_by_fence(w, context, fence); });
    buffer.write(out, 1);
    Stream call;
    call.put(gpu::Packet<pm4::IndirectBuffer>{}
                 .set<pm4::IndirectBuffer::address>(gpu.buffer(buffer))
                 .set<pm4::IndirectBuffer::size>(buffer.dwords.size())
                 .set<pm4::IndirectBuffer::valid>(1));
    for (int replay = 0; replay < 2; ++replay) {
      gpu.store<std::uint32_t>(flag, 0);
      gpu.store<std::uint32_t>(out, 0);
      queue->submit(call);
      settle(gpu);
      EXPECT_EQ(gpu.load<std::uint32_t>(out), 0u) << replay;
      gpu.store<std::uint32_t>(flag, 1);
      EXPECT_TRUE(eventually([&] { return gpu.load<std::uint32_t>(out) == 1; }));
    }
  }
}

TEST(HardwareRules8, CuMaskLimitsWhereWorkgroupsRun) {
  EngineFixture gpu("navi31");
  auto queue = gpu.queue(QueueType::Pm4);
  const Va out = gpu.uncached(4 * 256), done = gpu.uncached(8);
  std::uint64_t runs = 0;
  // Places (SE, SA and WGP of HW_ID1) at which 256 workgroups ran.
  auto places = [&] {
    Stream stream;
    gpu.dispatch(stream, gpu.code(gfx1100::kXccId), {out}, 256, 32);
    stream.signal(done, ++runs);
    queue->submit(stream);
    EXPECT_TRUE(gpu.reaches(done, runs));
    std::vector<std::uint32_t> seen;
    for (int i = 0; i < 256; ++i) {
      const std::uint32_t place = gpu.at<std::uint32_t>(out)[i] >> 10 & 0x7FF;
      if (std::ranges::find(seen, place) == seen.end()) seen.push_back(place);
    }
    return seen.size();
  };
  EXPECT_GT(places(), 1u);
  const std::uint32_t one_wgp[] = {0, 0b1100};
  gpu.engines->set_cu_mask(kProcess, queue->config.id, one_wgp, 2);
  EXPECT_EQ(places(), 1u);
}

// ---- 12. over-subscription

/// As many queues as there are slots wait for a word that one more is to write.
struct Crowd {
  explicit Crowd(const EngineOptions& options) : gpu("navi31", options) {
    for (std::uint32_t i = 0; i <= gpu.chip.num_cp_queues; ++i)
      queues.push_back(gpu.queue(QueueType::Pm4));
    for (std::size_t i = 0; i + 1 < queues.size(); ++i)
      queues[i]->submit(Stream{}.wait32(word, 1, pm4::Compare::Eq).write(out + 4 * i, 1));
    queues.back()->submit(Stream{}.write(word, 1));
  }
  bool waiters_end(std::size_t from) {
    return eventually([&] {
      for (std::size_t i = from; i + 1 < queues.size(); ++i)
        if (gpu.load<std::uint32_t>(out + 4 * i) != 1) return false;
      return true;
    });
  }
  EngineFixture gpu;
  Va word = gpu.uncached(8), out = gpu.uncached(256);
  std::vector<std::unique_ptr<TestQueue>> queues;
};

TEST(HardwareRules12, AWaiterWithASlotKeepsItsProducerOut) {
  EngineOptions options;
  options.quantum_us = ~0u;  // more than an hour
  Crowd crowd(options);
  auto copies = crowd.gpu.queue(QueueType::Sdma);  // engines of their own
  for (int i = 1; i <= 25; ++i) {
    copies->submit(std::vector<std::uint32_t>(8, 0u));
    ASSERT_TRUE(eventually([&] { return copies->read_pointer() == 32u * i; }));
  }
  EXPECT_EQ(crowd.gpu.load<std::uint32_t>(crowd.word), 0u);
  crowd.queues.front()->destroy();  // a slot comes free
  EXPECT_TRUE(crowd.waiters_end(1));
}

TEST(HardwareRules12, QueuesTakeTurnsWhenTheirQuantumIsOver) {
  Crowd crowd({});
  EXPECT_TRUE(crowd.waiters_end(0));
}

}  // namespace
}  // namespace kiln::vgpu::testing

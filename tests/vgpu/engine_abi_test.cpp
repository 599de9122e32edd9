// Owns: tests of what waves start with on chips without architected flat scratch, of scratch that
//   an AQL queue asks its runtime for, and of trap handlers.
// Does not own: the machine code (abi_kernels.hpp).
// Threading: single-threaded; engines run beside.
#include "abi_kernels.hpp"
#include "engine_fixture.hpp"
#include "gpu/kernel_descriptor.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"

namespace kiln::vgpu::testing {
namespace {

namespace aql = gpu::aql;
namespace reg = gpu::reg;

constexpr const char* kChips[] = {"mi210", "navi21"};

/// An AQL queue with the fields of amd_queue_t that a runtime fills.
struct RuntimeQueue {
  explicit RuntimeQueue(const char* chip)
      : gpu(chip),
        wave32(gpu.chip.gc.major != 9),
        queue(gpu.queue(QueueType::Aql)),
        amd(*gpu.at<aql::Queue>(queue->config.read_pointer -
                                offsetof(aql::Queue, read_dispatch_id))),
        inactive(gpu.uncached(64)),
        mailbox(gpu.uncached(8)) {
    gpu.at<aql::Signal>(inactive)->event_mailbox_ptr = mailbox;
    gpu.at<aql::Signal>(inactive)->event_id = 77;
    amd.queue_inactive_signal = inactive;
  }

  Va object(std::span<const std::uint32_t> code, std::uint16_t properties, std::uint32_t user,
            bool scratch) {
    const Va va = gpu.uncached(4096, 256);
    gpu::KernelDescriptor descriptor{};
    descriptor.kernel_code_entry_byte_offset = 256;
    descriptor.compute_pgm_rsrc1 = 3;
    descriptor.compute_pgm_rsrc3 = wave32 ? 0 : 3;  // gfx90a: 16 VGPRs before the first AccVGPR
    using Rsrc2 = reg::PgmRsrc2;
    descriptor.compute_pgm_rsrc2 = gpu::RegisterValue<Rsrc2>{}
                                       .set<Rsrc2::user_sgpr>(user)
                                       .set<Rsrc2::tgid_x_en>(1)
                                       .set<Rsrc2::tidig_comp_cnt>(2)
                                       .set<Rsrc2::scratch_en>(scratch)
                                       .value;
    descriptor.kernel_code_properties = static_cast<std::uint16_t>(
        properties | (wave32 ? gpu::kPropWavefrontSize32 : gpu::KernelProperty{}));
    std::memcpy(gpu.host(va), &descriptor, sizeof descriptor);
    std::memcpy(gpu.host(va + 256), code.data(), code.size_bytes());
    return va;
  }

  /// 4 x 4 x 4 work-items a workgroup.
  aql::KernelDispatchPacket packet(Va kernel, Va kernarg, std::uint32_t groups,
                                   std::uint32_t private_bytes) {
    aql::KernelDispatchPacket p{};
    p.header = aql::header(aql::PacketType::KernelDispatch, false, aql::FenceScope::System,
                           aql::FenceScope::System);
    p.setup = 3;
    p.workgroup_size_x = p.workgroup_size_y = p.workgroup_size_z = 4;
    p.grid_size_x = 4 * groups;
    p.grid_size_y = p.grid_size_z = 4;
    p.private_segment_size = private_bytes;
    p.kernel_object = kernel;
    p.kernarg_address = kernarg;
    p.completion_signal = gpu.uncached(64);
    gpu.store<std::int64_t>(p.completion_signal + 8, 1);
    return p;
  }

  std::int64_t inactive_value() { return gpu.load<std::int64_t>(inactive + 8); }
  bool told(std::int64_t value) {
    return eventually([&] { return inactive_value() == value; });
  }
  /// What ROCr's InitScratchSRD fills in (amd_aql_queue.cpp), for `slots` waves of `wave_bytes`.
  void give_scratch(Va base, std::uint32_t slots, std::uint32_t wave_bytes) {
    amd.scratch_backing_memory_location = base;
    amd.scratch_backing_memory_byte_size = std::uint64_t{slots} * wave_bytes;
    amd.compute_tmpring_size = slots | wave_bytes / 1024 << 12;
    amd.scratch_resource_descriptor[0] = static_cast<std::uint32_t>(base);
    amd.scratch_resource_descriptor[1] = static_cast<std::uint32_t>(base >> 32) | 1u << 31;
    amd.scratch_resource_descriptor[2] = slots * wave_bytes;
    amd.scratch_resource_descriptor[3] = wave32 ? 0x21814fac : 0x00ea4fac;
    gpu.store<std::int64_t>(inactive + 8, 0);
  }

  EngineFixture gpu;
  const bool wave32;
  std::unique_ptr<TestQueue> queue;
  aql::Queue& amd;
  const Va inactive, mailbox;
};

constexpr std::uint16_t kEverySgpr = gpu::kPropPrivateSegmentBuffer | gpu::kPropDispatchPtr |
                                     gpu::kPropQueuePtr | gpu::kPropKernargSegmentPtr |
                                     gpu::kPropDispatchId | gpu::kPropFlatScratchInit |
                                     gpu::kPropPrivateSegmentSize;

std::span<const std::uint32_t> abi_code(bool wave32) {
  return wave32 ? std::span<const std::uint32_t>(gfx1030::kAbi) : gfx90a::kAbi;
}

TEST(LaunchAbi, ScratchIsAskedForAndSgprsStandInOrder) {
  for (const char* chip : kChips) {
    RuntimeQueue q(chip);
    EngineFixture& gpu = q.gpu;
    constexpr std::uint32_t kPrivate = 48;  // bytes a work-item
    const Va out = gpu.uncached(4096), kernarg = gpu.uncached(64);
    gpu.store<Va>(kernarg, out);
    auto packet =
        q.packet(q.object(abi_code(q.wave32), kEverySgpr, 15, true), kernarg, 1, kPrivate);
    q.queue->packet(packet);
    // amd_aql_queue.cpp DynamicScratchHandler: 1 for waves of 64 lanes, 0x400 for those of 32.
    ASSERT_TRUE(q.told(q.wave32 ? 0x400 : 1)) << chip;
    EXPECT_TRUE(eventually([&] { return gpu.host_side.interrupts().size() == 1; }));
    EXPECT_EQ(gpu.host_side.interrupts().at(0), 77u);
    EXPECT_EQ(gpu.load<std::uint64_t>(q.mailbox), 77u);
    EXPECT_EQ(q.queue->read_pointer(), 0u);  // where the runtime looks for the packet

    const std::uint32_t lanes = q.wave32 ? 32 : 64, waves = 64 / lanes;
    const std::uint32_t wave_bytes = 4096;
    const Va scratch = gpu.uncached(16 * wave_bytes, 4096);
    q.give_scratch(scratch, 16, wave_bytes);
    ASSERT_TRUE(gpu.reaches(packet.completion_signal + 8, 0)) << chip;
    const auto* s = gpu.at<std::uint32_t>(out);
    auto pair = [&](int i) { return s[i] | std::uint64_t{s[i + 1]} << 32; };
    EXPECT_EQ(s[0], static_cast<std::uint32_t>(scratch));
    EXPECT_EQ(s[2], 16 * wave_bytes);
    // The firmware fills INDEX_STRIDE in on gfx10: 2 is 32 lanes; on gfx9 it is the runtime's 3.
    EXPECT_EQ(s[3] >> 21 & 3, q.wave32 ? 2u : 3u) << chip;
    EXPECT_EQ(pair(4), q.queue->config.ring);
    EXPECT_EQ(pair(6), q.queue->config.read_pointer - offsetof(aql::Queue, read_dispatch_id));
    EXPECT_EQ(pair(8), kernarg);
    EXPECT_EQ(pair(10), 0u);
    EXPECT_EQ(pair(12), scratch);
    EXPECT_EQ(s[14], kPrivate);
    EXPECT_EQ(s[15], 0u);
    // Both waves of gfx10 store theirs; whoever was last is there.
    EXPECT_EQ(s[16] % wave_bytes, 0u);
    EXPECT_LT(s[16], 16 * wave_bytes);
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
      const std::uint32_t* ids = gpu.at<std::uint32_t>(out + 128 + 16 * lane);
      if (!q.wave32) {  // AMDGPUUsage: packed, ten bits each
        EXPECT_EQ(ids[0], lane % 4 | lane / 4 % 4 << 10 | lane / 16 << 20);
      } else {
        EXPECT_EQ(ids[0], lane % 4);
        EXPECT_EQ(ids[1], lane / 4 % 4);
        EXPECT_EQ(ids[2] % 2, lane / 16);  // waves 0 and 1 are z 0..1 and 2..3
      }
      // Dword 1 of all lanes lies side by side behind dword 0 of all lanes.
      for (std::uint32_t wave = 0; wave < waves; ++wave)
        EXPECT_EQ(gpu.load<std::uint32_t>(scratch + wave * wave_bytes + (lanes + lane) * 4),
                  16 * lane + 7)
            << chip << " lane " << lane << " wave " << wave;
    }
    EXPECT_TRUE(gpu.host_side.exceptions().empty());
  }
}

TEST(LaunchAbi, ScratchForOneDispatchGoesBack) {
  for (const char* chip : kChips) {
    RuntimeQueue q(chip);
    EngineFixture& gpu = q.gpu;
    const Va out = gpu.uncached(4096), kernarg = gpu.uncached(64);
    gpu.store<Va>(kernarg, out);
    const Va object = q.object(abi_code(q.wave32), kEverySgpr, 15, true);
    q.give_scratch(gpu.uncached(16 * 4096, 4096), 16, 4096);
    q.amd.queue_properties |= aql::kQueueUseScratchOnce;
    const auto first = q.packet(object, kernarg, 1, 8), second = q.packet(object, kernarg, 1, 8);
    q.queue->packet(first);
    q.queue->packet(second);
    ASSERT_TRUE(q.told(512)) << chip;  // amd_aql_queue.cpp: large scratch reclaim
    EXPECT_EQ(gpu.load<std::int64_t>(first.completion_signal + 8), 0);
    EXPECT_EQ(gpu.load<std::int64_t>(second.completion_signal + 8), 1);
    // The runtime takes the memory, clears the signal, then the property.
    q.amd.compute_tmpring_size = 0;
    gpu.store<std::int64_t>(q.inactive + 8, 0);
    std::atomic_ref<std::uint32_t>(q.amd.queue_properties) &= ~aql::kQueueUseScratchOnce;
    ASSERT_TRUE(q.told(q.wave32 ? 0x400 : 1)) << chip;
    // It may well be for once again, and goes back without a further packet.
    q.amd.queue_properties |= aql::kQueueUseScratchOnce;
    q.give_scratch(gpu.uncached(16 * 4096, 4096), 16, 4096);
    EXPECT_TRUE(gpu.reaches(second.completion_signal + 8, 0));
    EXPECT_TRUE(q.told(512)) << chip;
  }
}

TEST(LaunchAbi, ErrorsStandInTheInactiveSignal) {
  namespace uapi = kmd::uapi;
  struct Case {
    void (*spoil)(aql::KernelDispatchPacket&);
    std::int64_t value;
    std::uint32_t exception;
  };
  // Values: amd_aql_queue.cpp DynamicScratchHandler; exceptions: kfd_ioctl.h.
  const Case cases[] = {
      {[](auto& p) { p.grid_size_x = 0; }, 2, uapi::kEcQueuePacketDispatchDimInvalid},
      {[](auto& p) { p.group_segment_size = 1 << 20; }, 4,
       uapi::kEcQueuePacketDispatchGroupSegmentSizeInvalid},
      {[](auto& p) { p.kernel_object = 0; }, 8, uapi::kEcQueuePacketDispatchCodeInvalid},
      {[](auto& p) { p.header = 9; }, 32, uapi::kEcQueuePacketUnsupported},
      {[](auto& p) { p.workgroup_size_x = 1025; }, 64,
       uapi::kEcQueuePacketDispatchWorkGroupSizeInvalid},
      {[](auto& p) { p.header = 0; }, 256, uapi::kEcQueuePacketVendorUnsupported},
  };
  for (const char* chip : kChips) {
    for (const Case& c : cases) {
      RuntimeQueue q(chip);
      auto packet = q.packet(q.object(abi_code(q.wave32), 0, 0, false), 0, 1, 0);
      c.spoil(packet);
      q.queue->packet(packet);
      EXPECT_TRUE(q.told(c.value)) << chip << " " << c.value << " " << q.inactive_value();
      ASSERT_EQ(q.gpu.host_side.exceptions().size(), 1u);
      EXPECT_EQ(q.gpu.host_side.exceptions()[0].codes, uapi::exception_mask(c.exception));
    }
  }
}

TEST(LaunchAbi, ASmallerDoorbellTakesNothingBack) {
  // Two producers: the later packet is announced first.
  RuntimeQueue q("mi210");
  EngineFixture& gpu = q.gpu;
  aql::BarrierPacket barrier{};
  barrier.header =
      aql::header(aql::PacketType::BarrierAnd, false, aql::FenceScope::None, aql::FenceScope::None);
  barrier.completion_signal = gpu.uncached(64);
  gpu.store<std::int64_t>(barrier.completion_signal + 8, 3);
  const auto dwords = std::bit_cast<std::array<std::uint32_t, 16>>(barrier);
  auto put = [&](std::uint32_t index) {
    const Va slot = q.queue->config.ring + index * aql::kPacketBytes;
    std::memcpy(gpu.host(slot) + 4, &dwords[1], 60);
    gpu.store(slot, dwords[0]);
  };
  put(0);
  q.queue->doorbell.store(2);
  ASSERT_TRUE(gpu.reaches(barrier.completion_signal + 8, 2));  // and now it waits for slot 1
  put(2);
  put(1);
  q.queue->doorbell.store(1);
  EXPECT_TRUE(gpu.reaches(barrier.completion_signal + 8, 0));
}

// ---- trap handlers

std::span<const std::uint32_t> handler_code(bool wave32) {
  return wave32 ? std::span<const std::uint32_t>(gfx1030::kTrapHandler) : gfx90a::kTrapHandler;
}

TEST(TrapHandlers, STrapRunsTheHandlerAndReturns) {
  for (const char* chip : kChips) {
    for (const bool installed : {true, false}) {
      RuntimeQueue q(chip);
      EngineFixture& gpu = q.gpu;
      if (installed) gpu.trap_handler.code = gpu.code(handler_code(q.wave32));
      const Va out = gpu.uncached(64), kernarg = gpu.uncached(64);
      gpu.store<Va>(kernarg, out);
      const std::span<const std::uint32_t> code =
          q.wave32 ? std::span<const std::uint32_t>(gfx1030::kTrapThenStore)
                   : gfx90a::kTrapThenStore;
      auto packet = q.packet(q.object(code, gpu::kPropKernargSegmentPtr, 2, false), kernarg, 1, 0);
      packet.workgroup_size_z = 2;  // one wave
      packet.grid_size_z = 2;
      q.queue->packet(packet);
      ASSERT_TRUE(gpu.reaches(packet.completion_signal + 8, 0)) << chip;
      EXPECT_EQ(gpu.load<std::uint32_t>(out), 9u) << chip;
      const auto seen = gpu.host_side.wave_interrupts();
      ASSERT_EQ(seen.size(), installed ? 1u : 0u);
      if (!installed) continue;
      EXPECT_EQ(seen[0].data, (1u << 10 | q.queue->config.doorbell_id));
      EXPECT_EQ(seen[0].queue_id, q.queue->config.id);
      EXPECT_TRUE(seen[0].in_trap);
    }
  }
}

TEST(TrapHandlers, IllegalInstructionIsReportedAndHalts) {
  constexpr std::uint32_t kIllegal[] = {0xFFFFFFFF, 0xFFFFFFFF};
  for (const char* chip : kChips) {
    RuntimeQueue q(chip);
    EngineFixture& gpu = q.gpu;
    gpu.trap_handler.code = gpu.code(handler_code(q.wave32));
    auto packet = q.packet(q.object(kIllegal, 0, 0, false), 0, 1, 0);
    packet.workgroup_size_z = 2;
    packet.grid_size_z = 2;
    q.queue->packet(packet);
    ASSERT_TRUE(eventually([&] { return gpu.host_side.wave_interrupts().size() == 1; })) << chip;
    EXPECT_EQ(gpu.host_side.wave_interrupts()[0].data, (1u << 13 | q.queue->config.doorbell_id));
    q.queue->destroy();
    EXPECT_EQ(gpu.load<std::int64_t>(packet.completion_signal + 8), 1) << chip;
  }
}

}  // namespace
}  // namespace kiln::vgpu::testing

// Owns: the golden table {scope x target -> bits}, whole barriers, and the join of XCCs, run by
//   simulated XCCs in random order.
// Does not own: the strict-memory virtual GPU, which needs every bit of it too.
// Threading: single-threaded tests.
//
// Sources: clang's code for __scoped_atomic fences on gfx942 (buffer_wbl2 sc1, buffer_inv sc1 at
// agent scope), gfx90a (buffer_wbinvl1_vol at agent scope; buffer_wbl2, buffer_invl2 at system
// scope), gfx1030 (buffer_gl0_inv, buffer_gl1_inv) and gfx1100; KFDTest PM4Packet.cpp; Linux
// soc15d.h and nvd.h for bit positions; IREE pm4_barrier_test.cc for the shape; tinygrad commits
// 1798ce7e52 and 75678b2cbe for the rendezvous.
#include "gpu/cache.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <random>

#include "golden.hpp"
#include "gpu/decode.hpp"
#include "gpu/pm4.hpp"
#include "gpu/signal.hpp"

namespace kiln::gpu::golden {
namespace {

// gfx9 CP_COHER_CNTL
constexpr std::uint32_t kTcWb = 1u << 18, kTcl1 = 1u << 22, kTc = 1u << 23, kKcache = 1u << 27,
                        kIcache = 1u << 29;
// gfx11 GCR_CNTL
constexpr std::uint32_t kGliAll = 1u << 0, kGlkInv = 1u << 7, kGlvInv = 1u << 8, kGl1Inv = 1u << 9,
                        kGl2Inv = 1u << 14, kGl2Wb = 1u << 15;

TEST(Cache, ReleaseTable) {
  EXPECT_EQ(release_bits(gfx942(), Scope::None), 0u);
  EXPECT_EQ(release_bits(gfx942(), Scope::Agent), kTcWb);
  EXPECT_EQ(release_bits(gfx942(), Scope::System), kTcWb);
  EXPECT_EQ(release_bits(gfx1100(), Scope::None), 0u);
  EXPECT_EQ(release_bits(gfx1100(), Scope::Agent), 0u);
  EXPECT_EQ(release_bits(gfx1100(), Scope::System), kGl2Wb);
  // One L2: nothing to write back before the edge of the GPU.
  EXPECT_EQ(release_bits(gfx90a(), Scope::Agent), 0u);
  EXPECT_EQ(release_bits(gfx90a(), Scope::System), kTcWb);
  EXPECT_EQ(release_bits(gfx1030(), Scope::Agent), 0u);
  EXPECT_EQ(release_bits(gfx1030(), Scope::System), kGl2Wb);
}

TEST(Cache, AcquireTable) {
  EXPECT_EQ(acquire_bits(gfx942(), Scope::None, false), 0u);
  EXPECT_EQ(acquire_bits(gfx942(), Scope::Agent, false), kTc | kTcWb | kTcl1 | kKcache);
  EXPECT_EQ(acquire_bits(gfx942(), Scope::System, false), kTc | kTcWb | kTcl1 | kKcache);
  EXPECT_EQ(acquire_bits(gfx1100(), Scope::None, false), 0u);
  EXPECT_EQ(acquire_bits(gfx1100(), Scope::Agent, false), kGlkInv | kGlvInv | kGl1Inv);
  EXPECT_EQ(acquire_bits(gfx1100(), Scope::System, false),
            kGlkInv | kGlvInv | kGl1Inv | kGl2Inv | kGl2Wb);
  EXPECT_EQ(acquire_bits(gfx90a(), Scope::None, false), 0u);
  EXPECT_EQ(acquire_bits(gfx90a(), Scope::Agent, false), kTcl1 | kKcache);
  EXPECT_EQ(acquire_bits(gfx90a(), Scope::System, false), kTc | kTcWb | kTcl1 | kKcache);
  EXPECT_EQ(acquire_bits(gfx1030(), Scope::Agent, false), kGlkInv | kGlvInv | kGl1Inv);
  EXPECT_EQ(acquire_bits(gfx1030(), Scope::System, false),
            kGlkInv | kGlvInv | kGl1Inv | kGl2Inv | kGl2Wb);
}

TEST(Cache, ChangedCodeInvalidatesInstructionCaches) {
  // IREE's CONSERVATIVE on gfx9 and tinygrad's 0x28c40000 are the same five bits.
  EXPECT_EQ(acquire_bits(gfx942(), Scope::Agent, true), 0x28C40000u);
  EXPECT_EQ(acquire_bits(gfx942(), Scope::None, true), 0x28C40000u);
  EXPECT_EQ(acquire_bits(gfx942(), Scope::Agent, true) & ~kIcache,
            acquire_bits(gfx942(), Scope::Agent, false));
  EXPECT_EQ(acquire_bits(gfx1100(), Scope::None, true), kGliAll | kGlkInv | kGlvInv | kGl1Inv);
  // tinygrad's 0xc3f1 without the metadata cache (bits 4, 5) and the scalar write-back (bit 6),
  // which RDNA3 has no stores for.
  EXPECT_EQ(acquire_bits(gfx1100(), Scope::System, true), 0xC3F1u & ~0x70u);
  // KFDTest's 0x28c00000 (AI) and 1<<14|1<<9|1<<8|1<<7|1 (NV) before a dispatch, and the L2 written
  // back, without which it would lose other queues' dirty lines.
  EXPECT_EQ(acquire_bits(gfx90a(), Scope::System, true), 0x28C00000u | kTcWb);
  EXPECT_EQ(acquire_bits(gfx90a(), Scope::None, true), kTcl1 | kKcache | kIcache);
  EXPECT_EQ(acquire_bits(gfx1030(), Scope::System, true), 0x4381u | kGl2Wb);
}

TEST(Cache, ReleaseInsideReleaseMem) {
  EXPECT_EQ(release_mem_bits(gfx942(), Scope::None), 0u);
  EXPECT_EQ(release_mem_bits(gfx942(), Scope::Agent), 1u << 15);
  EXPECT_EQ(release_mem_bits(gfx942(), Scope::System), 1u << 15);
  EXPECT_EQ(release_mem_bits(gfx1100(), Scope::Agent), 0u);
  EXPECT_EQ(release_mem_bits(gfx1100(), Scope::System), 1u << 21);
  EXPECT_EQ(release_mem_bits(gfx90a(), Scope::Agent), 0u);
  EXPECT_EQ(release_mem_bits(gfx90a(), Scope::System), 1u << 15);
  // KFDTest's NV form has the same bit: 9 of the GCR bits that begin at 12.
  EXPECT_EQ(release_mem_bits(gfx1030(), Scope::Agent), 0u);
  EXPECT_EQ(release_mem_bits(gfx1030(), Scope::System), 1u << (12 + 9));
}

const Dwords kIdle = {0xC0004600, 0x407};
Dwords acquire9(std::uint32_t bits) {
  return {0xC0055800, bits, 0xFFFFFFFF, 0x00FFFFFF, 0, 0, 0x0A};  // IREE's gfx9 packet
}
Dwords acquire11(std::uint32_t bits) {
  return {0xC0065800, 0, 0xFFFFFFFF, 0x01FFFFFF, 0, 0, 0x0A, bits};  // IREE's gfx10 packet
}
Dwords rendezvous(std::uint32_t counter) {
  // tinygrad xcc_barrier(): TC_OP_ATOMIC_ADD_RTN_32, loop 0x10; == 0 under mask 7, poll 0x80.
  return {0xC0071E00, 15,   counter, 0, 1, 0, 0,   0, 0x10,  //
          0xC0053C00, 0x13, counter, 0, 0, 7, 0x80};
}
const Dwords kJoin = rendezvous(0x4000) + rendezvous(0x4100);

Dwords barrier(const Target& target, std::uint32_t xcc_count, const Barrier& barrier) {
  const QueueContext queue{&target, xcc_count, xcc_count > 1 ? Va{0x4000} : 0};
  return emitted(kMaxBarrierDwords, [&](DwordWriter& w) { emit_barrier(w, queue, barrier); });
}

TEST(Cache, EmptyBarrierIsNothing) {
  EXPECT_TRUE(barrier(gfx942(), 8, {}).empty());
  EXPECT_TRUE(barrier(gfx1100(), 1, {}).empty());
}

TEST(Cache, BarriersOnOneXcc) {
  expect_dwords(barrier(gfx1100(), 1, {.execute = true}), kIdle);
  expect_dwords(
      barrier(gfx1100(), 1, {.execute = true, .release = Scope::Agent, .acquire = Scope::Agent}),
      kIdle + acquire11(0x380));
  expect_dwords(barrier(gfx1100(), 1, {.release = Scope::System}), kIdle + acquire11(0x8000));
  expect_dwords(barrier(gfx1100(), 1, {.release = Scope::Agent}), kIdle);
  expect_dwords(barrier(gfx1100(), 1, {.acquire = Scope::Agent}), acquire11(0x380));
  expect_dwords(
      barrier(gfx942(), 1, {.execute = true, .release = Scope::Agent, .acquire = Scope::Agent}),
      kIdle + acquire9(0x08C40000));
  expect_dwords(barrier(gfx942(), 1, {.code_changed = true}), acquire9(0x28C40000));
  const Barrier agent{.execute = true, .release = Scope::Agent, .acquire = Scope::Agent};
  const Barrier system{.execute = true, .release = Scope::System, .acquire = Scope::System};
  expect_dwords(barrier(gfx90a(), 1, agent), kIdle + acquire9(0x08400000));
  expect_dwords(barrier(gfx90a(), 1, system), kIdle + acquire9(0x08C40000));
  expect_dwords(barrier(gfx90a(), 1, {.release = Scope::System}), kIdle + acquire9(0x00040000));
  expect_dwords(barrier(gfx1030(), 1, agent), kIdle + acquire11(0x380));
  expect_dwords(barrier(gfx1030(), 1, system), kIdle + acquire11(0xC380));
}

TEST(Cache, BarriersOnEightXccsJoinBetweenReleaseAndAcquire) {
  expect_dwords(
      barrier(gfx942(), 8, {.execute = true, .release = Scope::Agent, .acquire = Scope::Agent}),
      kIdle + acquire9(0x00040000) + kJoin + acquire9(0x08C40000));
  expect_dwords(barrier(gfx942(), 8, {.execute = true}), kIdle + kJoin);
  expect_dwords(barrier(gfx942(), 8, {.release = Scope::System}),
                kIdle + acquire9(0x00040000) + kJoin);
  // Nothing to wait for: each XCC invalidates for itself.
  expect_dwords(barrier(gfx942(), 8, {.acquire = Scope::System}), acquire9(0x08C40000));
}

TEST(Cache, NoBarrierIsLongerThanPromised) {
  EXPECT_EQ(kJoin.size(), kXccJoinDwords);
  for (const Target* target : {&gfx942(), &gfx1100()})
    EXPECT_LE(barrier(*target, target == &gfx942() ? 8 : 1,
                      {.execute = true,
                       .release = Scope::System,
                       .acquire = Scope::System,
                       .code_changed = true})
                  .size(),
              kMaxBarrierDwords);
}

TEST(Cache, SignalOfEightXccsIsOneWriteAfterTheJoin) {
  const QueueContext queue{&gfx942(), 8, 0x4000};
  const SignalOp signal{0x1000, 9, 0x2008, 17};
  expect_dwords(
      emitted(max_signals_dwords(1),
              [&](DwordWriter& w) { emit_signals(w, queue, Scope::System, {&signal, 1}); }),
      kIdle + acquire9(0x00040000) + kJoin +
          Dwords{0xC0002300, 0x01000010,  // XCC 0: the next sixteen dwords
                 0xC0064900, 0x514, 0x43000000, 0x1000, 0, 9, 0, 0,  //
                 0xC0064900, 0x514, 0x42000000, 0x2008, 0, 17, 0, 17});
}

TEST(Cache, TimestampOfEightXccsWaitsForAll) {
  const QueueContext queue{&gfx942(), 8, 0x4000};
  expect_dwords(
      emitted(kMaxTimestampDwords,
              [&](DwordWriter& w) { emit_timestamp(w, queue, 0x1000, PipeStage::Bottom); }),
      kIdle + kJoin +
          Dwords{0xC0002300, 0x01000008, 0xC0064900, 0x514, 0x63000000, 0x1000, 0, 0, 0, 0});
}

TEST(Cache, IdleByFenceIsKfdtestsForm) {
  // Dispatch.cpp: RELEASE_MEM with 32-bit data and int_sel 3, then WAIT_REG_MEM == with poll 4.
  // Kiln clears the fence first, so that the stream can be replayed.
  const QueueContext queue{&gfx1100(), 1, 0};
  expect_dwords(
      emitted(kIdleByFenceDwords, [&](DwordWriter& w) { emit_idle_by_fence(w, queue, 0x3000); }),
      {0xC0033700, 0x00100500, 0x3000,     0,      0,             //
       0xC0064900, 0x514,      0x23000000, 0x3000, 0, 1,   0, 0,  //
       0xC0053C00, 0x13,       0x3000,     0,      1, ~0u, 4});
}

TEST(Barrier, Merge) {
  Barrier a{.execute = false, .release = Scope::Agent, .acquire = Scope::None};
  a.merge({.execute = true, .release = Scope::None, .acquire = Scope::System});
  EXPECT_TRUE(a.execute);
  EXPECT_EQ(a.release, Scope::Agent);
  EXPECT_EQ(a.acquire, Scope::System);
  EXPECT_FALSE(a.code_changed);
}

/// XCCs that run the join packet by packet, in an order that a seed decides.
class Xccs {
 public:
  explicit Xccs(std::uint32_t count) : count_(count), at_(count), round_(count) {
    const QueueContext queue{&gfx942(), count, 0x4000};
    stream_ = emitted(kXccJoinDwords, [&](DwordWriter& w) { emit_xcc_join(w, queue); });
  }
  /// Runs until every XCC made `rounds` joins. False: stuck, or one ran ahead.
  bool run(std::uint32_t rounds, std::uint32_t seed) {
    std::mt19937 random(seed);
    for (std::uint64_t idle = 0; idle < 10'000;) {
      // A run of steps by one XCC: fast ones get far ahead.
      const std::uint32_t xcc = random() % count_;
      bool moved = false;
      for (std::uint32_t burst = random() % 9; burst > 0 && round_[xcc] < rounds; --burst)
        if (!step(xcc))
          break;
        else
          moved = true;
      if (!in_step()) return false;
      idle = moved ? 0 : idle + 1;
      if (std::all_of(round_.begin(), round_.end(), [&](auto r) { return r == rounds; }))
        return true;
    }
    return false;
  }

 private:
  bool in_step() const {
    const auto [low, high] = std::minmax_element(round_.begin(), round_.end());
    if (*high - *low > 1) return false;
    // Past the join means that all have entered it.
    for (std::uint32_t i = 0; i < count_; ++i)
      if (round_[i] < *high && at_[i] == 0) return false;
    return true;
  }
  bool step(std::uint32_t xcc) {
    const Decoded decoded =
        decode_one(Dialect::Pm4Gfx9, stream_.data() + at_[xcc], stream_.size() - at_[xcc]);
    EXPECT_EQ(decoded.problem, Problem::None);
    const PacketView& view = decoded.view;
    if (view.is<pm4::AtomicMem>()) {
      std::uint32_t& cell = memory_[view.get(pm4::AtomicMem::address)];
      const auto source = static_cast<std::uint32_t>(view.get(pm4::AtomicMem::source));
      // TC_OP_ATOMIC_ADD_RTN_32 and TC_OP_ATOMIC_INC_RTN_32 (wraps at source), vega10_enum.h.
      if (view.get(pm4::AtomicMem::atomic) == 15)
        cell += source;
      else if (view.get(pm4::AtomicMem::atomic) == 24)
        cell = cell >= source ? 0 : cell + 1;
      else
        ADD_FAILURE() << "an atomic that no join needs";
    } else if (view.is<pm4::WaitRegMem>()) {
      const std::uint32_t cell = memory_[view.get(pm4::WaitRegMem::address)];
      if ((cell & view.get(pm4::WaitRegMem::mask)) != view.get(pm4::WaitRegMem::reference))
        return false;
    } else {
      ADD_FAILURE() << "a packet that no join needs";
    }
    at_[xcc] += view.count;
    if (at_[xcc] == stream_.size()) {
      at_[xcc] = 0;
      ++round_[xcc];
    }
    return true;
  }

  std::uint32_t count_;
  Dwords stream_;
  std::vector<std::size_t> at_;
  std::vector<std::uint32_t> round_;
  std::map<Va, std::uint32_t> memory_;
};

TEST(Join, HoldsUnderAnySkewWithoutPatching) {
  for (std::uint32_t count : {2u, 4u, 6u, 8u})
    for (std::uint32_t seed = 1; seed <= 50; ++seed)
      EXPECT_TRUE(Xccs(count).run(40, seed)) << count << " XCCs, seed " << seed;
}

TEST(Join, NothingForASingleXcc) {
  const QueueContext queue{&gfx942(), 1, 0};
  EXPECT_TRUE(emitted(32, [&](DwordWriter& w) { emit_xcc_join(w, queue); }).empty());
}

}  // namespace
}  // namespace kiln::gpu::golden

// Strict memory: for each cache action a pair, with it and without it. Without it a stale value is
// seen, or a written one is not; that is what makes a missing barrier show.
#include "engine_fixture.hpp"
#include "engine_kernels.hpp"
#include "vgpu/caches.hpp"

namespace kiln::vgpu::testing {
namespace {

namespace pm4 = gpu::pm4;
namespace reg = gpu::reg;
namespace sdma = gpu::sdma;

using Acquire9 = pm4::AcquireMemGfx9;
using Acquire11 = pm4::AcquireMemGfx10;

constexpr std::uint64_t kAll = (std::uint64_t{1} << 56) - 1;
constexpr std::uint32_t kOld = 0x0ddba11, kNew = 0x600df00d;

EngineOptions strict(std::uint64_t seed = 0) {
  EngineOptions options;
  options.strict_memory = true;
  options.seed = seed;
  options.skew = seed != 0 ? 50 : 0;
  return options;
}

gpu::Packet<Acquire9> acquire9() {
  return gpu::Packet<Acquire9>{}.set<Acquire9::size_256>(kAll);
}
gpu::Packet<Acquire11> acquire11() {
  return gpu::Packet<Acquire11>{}.set<Acquire11::size_256>(kAll);
}

/// The chip's kernels in its memory.
struct Kernels {
  explicit Kernels(EngineFixture& gpu) {
    store = gpu.code(kernels_of(gpu.target).store_index);
    vector_copy = gpu.code(kernels_of(gpu.target).vector_copy);
    scalar_copy = gpu.code(kernels_of(gpu.target).scalar_copy);
    atomic_add = gpu.code(kernels_of(gpu.target).atomic_add);
  }
  Va store, vector_copy, scalar_copy, atomic_add;
};

std::uint32_t wave(const EngineFixture& gpu) {
  return gpu.chip.gc.major == 9 ? 64 : 32;
}

/// A kernel reads a word, somebody writes it anew, `acquire` is executed, the kernel reads again:
/// what does it see? The kernels' results go to uncached memory.
template <class P>
std::uint32_t read_again(EngineFixture& gpu, Va kernel, Va word, const gpu::Packet<P>* acquire,
                         bool by_host) {
  auto queue = gpu.queue(QueueType::Pm4);
  const Va out = gpu.uncached(256), steps = gpu.uncached(64);
  gpu.store(word, kOld);
  Stream stream;
  gpu.dispatch(stream, kernel, {word, out}, 64, wave(gpu));
  stream.idle().signal(steps, 1).wait32(steps + 8, 1, pm4::Compare::Eq);
  if (!by_host) stream.write(word, kNew);
  if (acquire != nullptr) stream.put(*acquire);
  gpu.dispatch(stream, kernel, {word, out + 128}, 1, wave(gpu));
  stream.signal(steps, 2);
  queue->submit(stream);
  EXPECT_TRUE(gpu.reaches(steps, 1));
  EXPECT_EQ(gpu.load<std::uint32_t>(out), kOld);
  if (by_host) gpu.store(word, kNew);  // through the BAR or by SDMA: past every cache
  gpu.store<std::uint32_t>(steps + 8, 1);
  EXPECT_TRUE(gpu.reaches(steps, 2));
  return gpu.load<std::uint32_t>(out + 128);
}

// ---- acquire, gfx942 and gfx90a

TEST(StrictGfx9, VectorCacheNeedsTcl1) {
  for (const char* chip : {"mi300x", "mi210"}) {
    EngineFixture gpu(chip, strict());
    const Kernels kernels(gpu);
    const auto with = acquire9().set<Acquire9::tcl1>(1),
               without = acquire9().set<Acquire9::kcache>(1);
    for (const Va word : {gpu.cached(256), gpu.uncached(256)}) {
      EXPECT_EQ(read_again(gpu, kernels.vector_copy, word, &with, false), kNew);
      EXPECT_EQ(read_again(gpu, kernels.vector_copy, word, &without, false), kOld);
    }
  }
}

TEST(StrictGfx9, ScalarCacheNeedsKcache) {
  for (const char* chip : {"mi300x", "mi210"}) {
    EngineFixture gpu(chip, strict());
    const Kernels kernels(gpu);
    const auto with = acquire9().set<Acquire9::kcache>(1),
               without = acquire9().set<Acquire9::tcl1>(1);
    for (const Va word : {gpu.cached(256), gpu.uncached(256)}) {
      EXPECT_EQ(read_again(gpu, kernels.scalar_copy, word, &with, false), kNew);
      EXPECT_EQ(read_again(gpu, kernels.scalar_copy, word, &without, false), kOld);
    }
  }
}

TEST(StrictGfx9, L2NeedsTcForWhatOthersWrote) {
  for (const char* chip : {"mi300x", "mi210"}) {
    EngineFixture gpu(chip, strict());
    const Kernels kernels(gpu);
    const auto with = acquire9().set<Acquire9::tcl1>(1).set<Acquire9::tc>(1),
               without = acquire9().set<Acquire9::tcl1>(1);
    EXPECT_EQ(read_again(gpu, kernels.vector_copy, gpu.cached(256), &with, true), kNew);
    EXPECT_EQ(read_again(gpu, kernels.vector_copy, gpu.cached(256), &without, true), kOld);
    // Uncached memory is not in the L2.
    EXPECT_EQ(read_again(gpu, kernels.vector_copy, gpu.uncached(256), &without, true), kNew);
  }
}

TEST(StrictGfx9, RangeLimitsTheAcquire) {
  for (const char* chip : {"mi300x", "mi210"}) {
    EngineFixture gpu(chip, strict());
    const Kernels kernels(gpu);
    const Va word = gpu.cached(256);
    auto hit = acquire9().set<Acquire9::tcl1>(1).set<Acquire9::tc>(1).set<Acquire9::size_256>(1);
    auto miss = hit;
    hit.set<Acquire9::base_256>(word >> 8);
    miss.set<Acquire9::base_256>((word >> 8) + 1);
    EXPECT_EQ(read_again(gpu, kernels.vector_copy, word, &hit, true), kNew);
    EXPECT_EQ(read_again(gpu, kernels.vector_copy, word, &miss, true), kOld);
  }
}

// ---- acquire, gfx1100 and gfx1030

TEST(StrictGfx10, VectorCachesNeedGlvAndGl1) {
  for (const char* chip : {"navi31", "navi21"}) {
    EngineFixture gpu(chip, strict());
    const Kernels kernels(gpu);
    const auto both = acquire11().set<Acquire11::glv_inv>(1).set<Acquire11::gl1_inv>(1);
    const auto glv = acquire11().set<Acquire11::glv_inv>(1);
    const auto gl1 = acquire11().set<Acquire11::gl1_inv>(1);
    for (const Va word : {gpu.cached(256), gpu.uncached(256)}) {
      EXPECT_EQ(read_again(gpu, kernels.vector_copy, word, &both, false), kNew);
      EXPECT_EQ(read_again(gpu, kernels.vector_copy, word, &glv, false), kOld);
      EXPECT_EQ(read_again(gpu, kernels.vector_copy, word, &gl1, false), kOld);
    }
  }
}

TEST(StrictGfx10, ScalarCacheNeedsGlkAndGl1) {
  for (const char* chip : {"navi31", "navi21"}) {
    EngineFixture gpu(chip, strict());
    const Kernels kernels(gpu);
    const auto both = acquire11().set<Acquire11::glk_inv>(1).set<Acquire11::gl1_inv>(1);
    const auto glk = acquire11().set<Acquire11::glk_inv>(1);
    const auto gl1 = acquire11().set<Acquire11::gl1_inv>(1);
    for (const Va word : {gpu.cached(256), gpu.uncached(256)}) {
      EXPECT_EQ(read_again(gpu, kernels.scalar_copy, word, &both, false), kNew);
      EXPECT_EQ(read_again(gpu, kernels.scalar_copy, word, &glk, false), kOld);
      EXPECT_EQ(read_again(gpu, kernels.scalar_copy, word, &gl1, false), kOld);
    }
  }
}

TEST(StrictGfx10, L2NeedsGl2ForWhatTheHostWrote) {
  for (const char* chip : {"navi31", "navi21"}) {
    EngineFixture gpu(chip, strict());
    const Kernels kernels(gpu);
    const auto near = acquire11().set<Acquire11::glv_inv>(1).set<Acquire11::gl1_inv>(1);
    auto all = near;
    all.set<Acquire11::gl2_inv>(1);
    EXPECT_EQ(read_again(gpu, kernels.vector_copy, gpu.cached(256), &all, true), kNew);
    EXPECT_EQ(read_again(gpu, kernels.vector_copy, gpu.cached(256), &near, true), kOld);
  }
}

// LLVM AMDGPUUsage, memory model gfx90a: a system acquire is buffer_invl2 and buffer_wbinvl1_vol;
// it drops lines of other agents' memory (MTYPE NC), not those of the GPU's own (RW).
TEST(StrictGfx9, SystemAcquireOfGfx90aDropsWhatBelongsToOthers) {
  for (const Mtype mtype : {Mtype::NonCoherent, Mtype::ReadWrite}) {
    AddressSpace space;
    CacheSystem caches(*find_chip("mi210"), 0);
    alignas(4096) static std::byte memory[4096];
    std::memset(memory, 1, sizeof memory);
    Mapping mapping;
    mapping.begin = 0x10000;
    mapping.end = mapping.begin + sizeof memory;
    mapping.host = memory;
    mapping.mtype = mtype;
    ASSERT_TRUE(space.map(mapping));
    const auto port = caches.of_cu(space, 0, 0);
    Mapping found;
    ASSERT_TRUE(space.find(0x10000, &found));
    auto load = [&] {
      std::uint8_t value = 0;
      port->load(Client::Vector, Scope::Wave, found, 0x10000, &value, 1);
      return value;
    };
    EXPECT_EQ(load(), 1u);
    std::memset(memory, 2, sizeof memory);  // another agent's store
    port->acquire(Client::Vector, Scope::Agent);
    EXPECT_EQ(load(), 1u) << "the L2 has it";
    port->acquire(Client::Vector, Scope::System);
    EXPECT_EQ(load(), mtype == Mtype::NonCoherent ? 2u : 1u);
  }
}

// ---- release

/// A kernel writes cached memory; then `packet`, then the end. What does the host see?
template <class P>
std::uint32_t seen_by_host(EngineFixture& gpu, std::initializer_list<gpu::Packet<P>> packets) {
  const Kernels kernels(gpu);
  auto queue = gpu.queue(QueueType::Pm4);
  const Va out = gpu.cached(256), done = gpu.uncached(8);
  Stream stream;
  gpu.dispatch(stream, kernels.store, {out}, 1, wave(gpu));
  stream.idle();
  for (const auto& packet : packets) stream.put(packet);
  stream.signal(done, 1);
  queue->submit(stream);
  EXPECT_TRUE(gpu.reaches(done, 1));
  return gpu.load<std::uint32_t>(out);
}

TEST(StrictRelease, HostSeesWhatWasWrittenBack) {
  for (const char* chip : {"mi300x", "mi210"}) {
    EngineFixture gpu(chip, strict());
    EXPECT_EQ(seen_by_host(gpu, {acquire9().set<Acquire9::tc_wb>(1)}), 1u);
    EXPECT_EQ(seen_by_host(gpu, {acquire9()}), 0u);
    EXPECT_EQ(seen_by_host(gpu, {acquire9().set<Acquire9::tcl1>(1)}), 0u);
  }
  for (const char* chip : {"navi31", "navi21"}) {
    EngineFixture gpu(chip, strict());
    EXPECT_EQ(seen_by_host(gpu, {acquire11().set<Acquire11::gl2_wb>(1)}), 1u);
    EXPECT_EQ(seen_by_host(gpu, {acquire11()}), 0u);
    EXPECT_EQ(seen_by_host(gpu, {acquire11().set<Acquire11::glk_wb>(1)}), 0u);
  }
}

TEST(StrictRelease, InvalidateWithoutWriteBackLosesData) {
  for (const char* chip : {"mi300x", "mi210"}) {
    EngineFixture gpu(chip, strict());
    const auto invalidate = acquire9().set<Acquire9::tc>(1);
    auto both = invalidate;
    both.set<Acquire9::tc_wb>(1);
    const auto write_back = acquire9().set<Acquire9::tc_wb>(1);
    EXPECT_EQ(seen_by_host(gpu, {invalidate, write_back}), 0u);
    EXPECT_EQ(seen_by_host(gpu, {both, write_back}), 1u);
  }
  for (const char* chip : {"navi31", "navi21"}) {
    EngineFixture gpu(chip, strict());
    const auto invalidate = acquire11().set<Acquire11::gl2_inv>(1);
    auto both = invalidate;
    both.set<Acquire11::gl2_wb>(1);
    const auto write_back = acquire11().set<Acquire11::gl2_wb>(1);
    EXPECT_EQ(seen_by_host(gpu, {invalidate, write_back}), 0u);
    EXPECT_EQ(seen_by_host(gpu, {both, write_back}), 1u);
  }
}

TEST(StrictRelease, ReleaseMemWritesBackBeforeItsValue) {
  for (const char* chip : kEveryChip) {
    for (const gpu::Scope scope : {gpu::Scope::System, gpu::Scope::None}) {
      EngineFixture gpu(chip, strict());
      const Kernels kernels(gpu);
      auto queue = gpu.queue(QueueType::Pm4);
      const Va out = gpu.cached(256), done = gpu.uncached(8);
      const gpu::QueueContext context{&gpu.target, 1, 0};
      Stream stream;
      gpu.dispatch(stream, kernels.store, {out}, 1, wave(gpu));
      stream.emit([&](gpu::DwordWriter& writer) {
        const gpu::SignalOp signal{done, 1, 0, 0};
        gpu::emit_signals(writer, context, scope, {&signal, 1});
      });
      queue->submit(stream);
      ASSERT_TRUE(gpu.reaches(done, 1));
      EXPECT_EQ(gpu.load<std::uint32_t>(out), scope == gpu::Scope::System ? 1u : 0u) << chip;
    }
  }
}

// ---- XCCs with an L2 each

/// XCC 7 writes, all read after `barrier`. How many see it?
std::uint32_t see_the_other_xcc(EngineFixture& gpu, const gpu::Barrier& barrier, bool warm) {
  const Kernels kernels(gpu);
  auto queue = gpu.queue(QueueType::Aql);
  const Va word = gpu.cached(256), out = gpu.uncached(64), signal = gpu.uncached(64);
  const Va counters = gpu.uncached(512), scrap = gpu.uncached(64);
  const gpu::QueueContext context{&gpu.target, 8, counters};
  gpu.store<std::int64_t>(signal + 8, 1);
  Stream stream;
  if (warm) gpu.dispatch(stream, kernels.vector_copy, {word + 28, scrap}, 8);
  stream.emit(
      [&](gpu::DwordWriter& writer) { gpu::emit_barrier(writer, context, {.execute = true}); });
  gpu.dispatch(stream, kernels.store, {word}, 8);
  stream.emit([&](gpu::DwordWriter& writer) { gpu::emit_barrier(writer, context, barrier); });
  gpu.dispatch(stream, kernels.vector_copy, {word + 28, out}, 8);
  queue->indirect(stream, false, signal);
  EXPECT_TRUE(gpu.reaches(signal + 8, 0));
  std::uint32_t seen = 0;
  for (std::uint32_t i = 0; i < 8; ++i) seen += gpu.at<std::uint32_t>(out)[i] == 8;
  return seen;
}

TEST(StrictXccs, AgentBarrierReachesTheOthersAndNothingLess) {
  EngineFixture gpu("mi300x", strict());
  using gpu::Scope;
  for (const bool warm : {false, true}) {
    EXPECT_EQ(see_the_other_xcc(gpu, {true, Scope::Agent, Scope::Agent, false}, warm), 8u);
    EXPECT_LT(see_the_other_xcc(gpu, {true, Scope::None, Scope::None, false}, warm), 8u);
  }
  // A copy from before must go: the acquire.
  EXPECT_LT(see_the_other_xcc(gpu, {true, Scope::Agent, Scope::None, false}, true), 8u);
}

TEST(StrictXccs, AcquireOfTheWriterIsNoRelease) {
  // It writes back as well, but some XCC reads before XCC 7 gets there.
  EngineFixture gpu("mi300x", strict(5));
  std::uint32_t seen = 0;
  constexpr std::uint32_t kRounds = 200;
  for (std::uint32_t i = 0; i < kRounds; ++i)
    seen += see_the_other_xcc(gpu, {true, gpu::Scope::None, gpu::Scope::Agent, false}, false);
  EXPECT_LT(seen, 8 * kRounds);
}

TEST(StrictXccs, DeviceAtomicsMeetInMemory) {
  EngineFixture gpu("mi300x", strict(17));
  const Kernels kernels(gpu);
  auto queue = gpu.queue(QueueType::Aql);
  const Va counter = gpu.cached(256), signal = gpu.uncached(64);
  gpu.store<std::int64_t>(signal + 8, 1);
  Stream stream;
  gpu.dispatch(stream, kernels.atomic_add, {counter}, 800);
  queue->indirect(stream, false, signal);
  ASSERT_TRUE(gpu.reaches(signal + 8, 0));
  EXPECT_EQ(gpu.load<std::uint32_t>(counter), 800u);
}

TEST(StrictXccs, BarriersHoldWithEvictionsAndSkew) {
  EngineFixture gpu("mi300x", strict(99));
  for (int i = 0; i < 200; ++i)
    ASSERT_EQ(see_the_other_xcc(gpu, {true, gpu::Scope::Agent, gpu::Scope::Agent, false}, i % 2),
              8u);
}

// ---- AQL fences

TEST(StrictAql, BarrierPacketsWithFencesJoinCaches) {
  for (const bool fenced : {true, false}) {
    EngineFixture gpu("mi300x", strict());
    const Kernels kernels(gpu);
    auto queue = gpu.queue(QueueType::Aql);
    const Va word = gpu.cached(256), signal = gpu.uncached(64);
    gpu.store<std::int64_t>(signal + 8, 1);
    Stream stream;
    gpu.dispatch(stream, kernels.store, {word}, 8);
    gpu::aql::Pm4IbPacket packet{};
    using gpu::aql::FenceScope;
    packet.header = gpu::aql::header(gpu::aql::PacketType::VendorSpecific, false, FenceScope::None,
                                     fenced ? FenceScope::System : FenceScope::None);
    packet.format = gpu::aql::AmdFormat::Pm4Ib;
    const auto ib = gpu::Packet<pm4::IndirectBuffer>{}
                        .set<pm4::IndirectBuffer::address>(gpu.buffer(stream))
                        .set<pm4::IndirectBuffer::size>(stream.dwords.size())
                        .set<pm4::IndirectBuffer::valid>(1);
    std::memcpy(packet.indirect_buffer, ib.dwords.data(), 16);
    packet.dwords_remaining = 10;
    packet.completion_signal = signal;
    queue->packet(packet);
    ASSERT_TRUE(gpu.reaches(signal + 8, 0));
    for (std::uint32_t i = 0; i < 8; ++i)
      EXPECT_EQ(gpu.at<std::uint32_t>(word)[i], fenced ? i + 1 : 0u);
  }
}

// HIP's kernels release to agent scope; a barrier-AND packet with system scope follows before a
// copy by SDMA.
TEST(StrictAql, BarrierAndPacketsHaveFencesToo) {
  for (const bool fenced : {true, false}) {
    EngineFixture gpu("mi210", strict());
    const Kernels kernels(gpu);
    auto queue = gpu.queue(QueueType::Aql);
    const Va word = gpu.cached(256), signal = gpu.uncached(64);
    gpu.store<std::int64_t>(signal + 8, 1);
    Stream stream;
    gpu.dispatch(stream, kernels.store, {word}, 1);
    gpu::aql::Pm4IbPacket packet{};
    using gpu::aql::FenceScope;
    packet.header = gpu::aql::header(gpu::aql::PacketType::VendorSpecific, false, FenceScope::None,
                                     FenceScope::Agent);
    packet.format = gpu::aql::AmdFormat::Pm4Ib;
    const auto ib = gpu::Packet<pm4::IndirectBuffer>{}
                        .set<pm4::IndirectBuffer::address>(gpu.buffer(stream))
                        .set<pm4::IndirectBuffer::size>(stream.dwords.size())
                        .set<pm4::IndirectBuffer::valid>(1);
    std::memcpy(packet.indirect_buffer, ib.dwords.data(), 16);
    packet.dwords_remaining = 10;
    queue->packet(packet);
    gpu::aql::BarrierPacket barrier{};
    barrier.header = gpu::aql::header(gpu::aql::PacketType::BarrierAnd, true, FenceScope::None,
                                      fenced ? FenceScope::System : FenceScope::None);
    barrier.completion_signal = signal;
    queue->packet(barrier);
    ASSERT_TRUE(gpu.reaches(signal + 8, 0));
    EXPECT_EQ(gpu.at<std::uint32_t>(word)[0], fenced ? 1u : 0u);
  }
}

// ---- SDMA

/// A kernel writes, SDMA copies: what arrives? `release` between them on the compute queue.
std::uint32_t copied_by_sdma(const char* chip, bool release) {
  EngineFixture gpu(chip, strict());
  const Kernels kernels(gpu);
  auto compute = gpu.queue(QueueType::Pm4), copy = gpu.queue(QueueType::Sdma);
  const Va from = gpu.cached(256), to = gpu.uncached(256), steps = gpu.uncached(64);
  const gpu::QueueContext context{&gpu.target, 1, 0};
  Stream stream;
  gpu.dispatch(stream, kernels.store, {from}, 1, wave(gpu));
  stream.emit([&](gpu::DwordWriter& writer) {
    const gpu::SignalOp signal{steps, 1, 0, 0};
    gpu::emit_signals(writer, context, release ? gpu::Scope::System : gpu::Scope::None,
                      {&signal, 1});
  });
  compute->submit(stream);
  EXPECT_TRUE(gpu.reaches(steps, 1));
  Stream move;
  move.emit([&](gpu::DwordWriter& writer) {
    gpu.target.sdma_ops->emit_copy(writer, gpu.target, {from, to, 256});
    gpu.target.sdma_ops->emit_signal(writer, gpu.target, {steps + 8, 1, 0, 0});
  });
  copy->submit(move);
  EXPECT_TRUE(gpu.reaches(steps + 8, 1));
  return gpu.load<std::uint32_t>(to);
}

TEST(StrictSdma, Gfx9GoesPastTheL2AndGfx10ThroughIt) {
  for (const char* chip : kEveryChip) {
    EXPECT_EQ(copied_by_sdma(chip, true), 1u) << chip;
    EXPECT_EQ(copied_by_sdma(chip, false), find_chip(chip)->gc.major == 9 ? 0u : 1u) << chip;
  }
}

TEST(StrictSdma, Gfx10CopyStaysInTheL2UntilGcrWritesItBack) {
  for (const char* chip : {"navi31", "navi21"}) {
    for (const bool release : {true, false}) {
      EngineFixture gpu(chip, strict());
      auto copy = gpu.queue(QueueType::Sdma);
      const Va from = gpu.uncached(256), to = gpu.cached(256), done = gpu.uncached(8);
      gpu.store<std::uint32_t>(from, kNew);
      Stream move;
      move.emit([&](gpu::DwordWriter& writer) {
        gpu.target.sdma_ops->emit_copy(writer, gpu.target, {from, to, 256});
        if (release) gpu.target.sdma_ops->emit_release(writer, gpu.target);
        gpu.target.sdma_ops->emit_signal(writer, gpu.target, {done, 1, 0, 0});
      });
      copy->submit(move);
      ASSERT_TRUE(gpu.reaches(done, 1));
      EXPECT_EQ(gpu.load<std::uint32_t>(to), release ? kNew : 0u);
    }
  }
}

// ---- code

TEST(StrictCode, NewCodeNeedsAnInstructionCacheInvalidate) {
  for (const char* chip : kEveryChip) {
    for (const bool is_strict : {true, false}) {
      for (const bool invalidate : {true, false}) {
        EngineFixture gpu(chip, is_strict ? strict() : EngineOptions{});
        auto queue = gpu.queue(QueueType::Pm4);
        const Va code = gpu.uncached(256), out = gpu.uncached(256), done = gpu.uncached(8);
        auto load_code = [&](std::span<const std::uint32_t> dwords) {
          std::memcpy(gpu.host(code), dwords.data(), dwords.size_bytes());
        };
        load_code(kernels_of(gpu.target).store_index);
        Stream first;
        gpu.dispatch(first, code, {out}, 8, wave(gpu));
        first.signal(done, 1);
        queue->submit(first);
        ASSERT_TRUE(gpu.reaches(done, 1));
        EXPECT_EQ(gpu.load<std::uint32_t>(out), 1u);
        gpu.store<std::uint32_t>(out, 0);
        load_code(kernels_of(gpu.target).atomic_add);
        Stream second;
        second.emit([&](gpu::DwordWriter& writer) {
          const gpu::QueueContext context{&gpu.target, 1, 0};
          gpu::emit_barrier(writer, context,
                            {true, gpu::Scope::Agent, gpu::Scope::Agent, invalidate});
        });
        gpu.dispatch(second, code, {out}, 8, wave(gpu));
        second.signal(done, 2);
        queue->submit(second);
        ASSERT_TRUE(gpu.reaches(done, 2));
        // Old code stores 1, new code counts 8 workgroups (where memory has them).
        queue->destroy();
        EXPECT_EQ(gpu.load<std::uint32_t>(out), invalidate ? 8u : 1u)
            << chip << (is_strict ? " strict" : "");
      }
    }
  }
}

// ---- memory that comes and goes

TEST(StrictMemory, DirtyLinesOfUnmappedMemoryAreForgotten) {
  EngineFixture gpu("mi300x", strict());
  const Kernels kernels(gpu);
  auto queue = gpu.queue(QueueType::Pm4);
  std::vector<std::byte> room(3 * kPageBytes);
  auto* page = reinterpret_cast<std::byte*>(
      (reinterpret_cast<std::uintptr_t>(room.data()) + kPageBytes - 1) & ~(kPageBytes - 1));
  Mapping mapping;
  mapping.begin = 0x30'0000'0000;
  mapping.end = mapping.begin + kPageBytes;
  mapping.host = page;
  ASSERT_TRUE(gpu.space.map(mapping));
  const Va done = gpu.uncached(8);
  Stream stream;
  gpu.dispatch(stream, kernels.store, {mapping.begin}, 1);
  stream.signal(done, 1);
  queue->submit(stream);
  ASSERT_TRUE(gpu.reaches(done, 1));
  ASSERT_TRUE(gpu.space.unmap(mapping.begin));
  ASSERT_TRUE(gpu.space.map(mapping));  // somebody else's allocation, at the same place
  Stream write_back;
  write_back.put(acquire9().set<Acquire9::tc_wb>(1)).signal(done, 2);
  queue->submit(write_back);
  ASSERT_TRUE(gpu.reaches(done, 2));
  queue->destroy();
  EXPECT_EQ(static_cast<int>(page[0]), 0);
}

}  // namespace
}  // namespace kiln::vgpu::testing

// Owns: golden dwords of SDMA packets and of what copy.cpp makes of copies, fills, boxes, updates,
//   signals and polls.
// Does not own: the engines (vgpu).
// Threading: single-threaded tests.
//
// Sources: KFDTest SDMAPacket.cpp and sdma_pkt_struct.h, ROCr sdma_registers.h and
// amd_blit_sdma.cpp, Linux sdma_v4_0 and sdma_v6_0_0_pkt_open.h, tinygrad AMDCopyQueue.
#include "gpu/sdma.hpp"

#include <map>
#include <random>

#include "golden.hpp"
#include "gpu/copy.hpp"
#include "gpu/decode.hpp"

namespace kiln::gpu::golden {
namespace {

constexpr Va kSource = 0x7F00'1234'5678, kDestination = 0x7E00'8765'4320;

struct Sdma : testing::TestWithParam<const char*> {
  const Target& target = *find_target(std::string_view(GetParam()));
  const SdmaOps& ops = *target.sdma_ops;
  bool new_format = target.sdma.major >= 5;
};
INSTANTIATE_TEST_SUITE_P(Targets, Sdma, testing::Values("gfx90a", "gfx942", "gfx1030", "gfx1100"));

TEST_P(Sdma, CopyMatchesKfdtest) {
  expect_dwords(
      emitted(7,
              [&](DwordWriter& w) { ops.emit_copy(w, target, {kSource, kDestination, 0x200000}); }),
      {1, 0x1FFFFF, 0, 0x12345678, 0x7F00, 0x87654320, 0x7E00});
}

TEST_P(Sdma, CopiesAreSplitAtTheCountFieldsLimit) {
  // 22 bits on gfx942 (ROCr kMaxSize_ 0x3fffe0), 30 on the others (GpuAgent::CreateBlitSdma).
  const std::uint64_t most = target.name == "gfx942" ? 0x3FFFE0 : 0x3FFFFFE0;
  EXPECT_EQ(target.sdma.copy_max_bytes, most);
  EXPECT_EQ(sdma_copy_dwords(target, 0), 0u);
  EXPECT_EQ(sdma_copy_dwords(target, most), 7u);
  EXPECT_EQ(sdma_copy_dwords(target, most + 1), 14u);
  const std::uint64_t bytes = 2 * most + 5;
  const Dwords stream = emitted(
      21, [&](DwordWriter& w) { ops.emit_copy(w, target, {kSource, kDestination, bytes}); });
  ASSERT_EQ(stream.size(), 21u);
  EXPECT_EQ(stream[1], most - 1);
  EXPECT_EQ(stream[8], most - 1);
  EXPECT_EQ(stream[15], 4u);
  const std::uint64_t last = kSource + 2 * most;
  EXPECT_EQ(stream[17], static_cast<std::uint32_t>(last));
  EXPECT_EQ(stream[18], static_cast<std::uint32_t>(last >> 32));
}

TEST_P(Sdma, FillMatchesRocrAndKfdtest) {
  // Dwords: fillsize 2 << 30, count (n - 1) * 4. Bytes: fillsize 0, count n - 1.
  expect_dwords(emitted(5,
                        [&](DwordWriter& w) {
                          EXPECT_TRUE(ops.emit_fill(w, target, {kDestination, 64, 0xAABBCCDD}));
                        }),
                {0x8000000B, 0x87654320, 0x7E00, 0xAABBCCDD, 60});
  expect_dwords(emitted(5,
                        [&](DwordWriter& w) {
                          EXPECT_TRUE(ops.emit_fill(w, target, {kDestination + 1, 63, 0x77777777}));
                        }),
                {0x0000000B, 0x87654321, 0x7E00, 0x77777777, 62});
}

TEST_P(Sdma, FillRefusesAPatternThatItCannotPlace) {
  EXPECT_TRUE(emitted(5, [&](DwordWriter& w) {
                EXPECT_FALSE(ops.emit_fill(w, target, {kDestination + 1, 64, 0xAABBCCDD}));
              }).empty());
}

TEST_P(Sdma, FillsAreSplit) {
  EXPECT_EQ(sdma_fill_dwords(target, 0x3FFFE0), 5u);
  const Dwords stream = emitted(10, [&](DwordWriter& w) {
    EXPECT_TRUE(ops.emit_fill(w, target, {kDestination, 0x3FFFE0 + 4, 1}));
  });
  EXPECT_EQ(stream[4], 0x3FFFDCu);
  EXPECT_EQ(stream[9], 0u);
}

TEST_P(Sdma, UpdateMatchesKfdtestWriteData) {
  const std::uint32_t data[] = {0xA, 0xB, 0xC};
  expect_dwords(
      emitted(7,
              [&](DwordWriter& w) { ops.emit_update(w, target, kDestination, data, sizeof data); }),
      {2, 0x87654320, 0x7E00, 2, 0xA, 0xB, 0xC});
  EXPECT_EQ(sdma_update_dwords(target, 12), 7u);
}

TEST_P(Sdma, LongUpdatesAreSplit) {
  const std::vector<std::uint32_t> data(target.sdma.write_max_dwords + 1, 3);
  const auto bytes = static_cast<std::uint32_t>(4 * data.size());
  const std::uint64_t size = sdma_update_dwords(target, bytes);
  EXPECT_EQ(size, data.size() + 8);
  const Dwords stream = emitted(static_cast<std::uint32_t>(size), [&](DwordWriter& w) {
    ops.emit_update(w, target, kDestination, data.data(), bytes);
  });
  EXPECT_EQ(stream.size(), size);
  EXPECT_EQ(stream[3], target.sdma.write_max_dwords - 1);
  EXPECT_EQ(stream[stream.size() - 2], 0u) << "one dword in the second packet";
}

TEST_P(Sdma, SignalIsTwoFencesLowHalfFirstThenTheInterrupt) {
  // FENCE 5, MTYPE 3 at bit 16 from gfx10 on (ROCr BuildFenceCommand); TRAP 6.
  const std::uint32_t fence = new_format ? 0x00030005 : 0x00000005;
  expect_dwords(emitted(kSdmaMaxSignalDwords,
                        [&](DwordWriter& w) {
                          ops.emit_signal(w, target,
                                          {0x1'0000'1008, 0x7'0000'0002, 0x2'0000'2010, 33});
                        }),
                {fence, 0x1008, 1, 2, fence, 0x100C, 1, 7, fence, 0x2010, 2, 33, 6, 33});
  EXPECT_EQ(emitted(8, [&](DwordWriter& w) { ops.emit_signal(w, target, {8, 1, 0, 0}); }).size(),
            8u);
}

TEST_P(Sdma, SignalLeavesAHighHalfThatStands) {
  expect_dwords(
      emitted(kSdmaMaxSignalDwords,
              [&](DwordWriter& w) { ops.emit_signal(w, target, {8, 0x7'0000'0002, 0, 0, true}); }),
      {new_format ? 0x00030005u : 0x00000005u, 8, 0, 2});
}

TEST(SdmaAtomic, MatchesRocr) {
  // sdma_registers.h: op 10, operation at bit 25, ADD64 is 47 = TC_OP_ATOMIC_ADD_RTN_64.
  const auto packet = Packet<sdma::Atomic4>{}
                          .set<sdma::Atomic4::atomic_op>(sdma::kAtomicAdd64)
                          .set<sdma::Atomic4::address>(0x1'0000'1008)
                          .set<sdma::Atomic4::source>(0x7'0000'0002);
  expect_dwords({packet.dwords.begin(), packet.dwords.end()},
                {10u | 47u << 25, 0x1008, 1, 2, 7, 0, 0, 0});
}

TEST_P(Sdma, PollMatchesRocr) {
  expect_dwords(emitted(6,
                        [&](DwordWriter& w) {
                          ops.emit_poll(w, target, {kSource, 42, ~0u, pm4::Compare::Eq});
                        }),
                {0xB0000008, 0x12345678, 0x7F00, 42, ~0u, 0x0FFF0004});
  // tinygrad waits with GEQ: func 5.
  EXPECT_EQ(emitted(6, [&](DwordWriter& w) { ops.emit_poll(w, target, {kSource, 42}); })[0],
            0xD0000008u);
}

TEST_P(Sdma, TimestampMatchesKfdtest) {
  expect_dwords(emitted(3, [&](DwordWriter& w) { ops.emit_timestamp(w, target, kDestination); }),
                {13 | 2 << 8, 0x87654320, 0x7E00});
  EXPECT_EQ(target.sdma.timestamp_align, 32) << "SDMATimePacket warns below";
}

TEST_P(Sdma, HdpFlushIsRocrsHdpFlushCmd) {
  expect_dwords(emitted(6, [&](DwordWriter& w) { ops.emit_hdp_flush(w, target); }),
                {0x8, 0x0, 0x80000000, 0x0, 0x0, 0x0});
}

TEST_P(Sdma, GcrMatchesRocr) {
  // BuildGCRCommand(true) and (false), bits as SDMA_PKT_GCR lays them out; none before SDMA 5.
  const Dwords acquire = emitted(5, [&](DwordWriter& w) { ops.emit_acquire(w, target); });
  const Dwords release = emitted(5, [&](DwordWriter& w) { ops.emit_release(w, target); });
  if (!new_format) {
    EXPECT_TRUE(acquire.empty() && release.empty());
    return;
  }
  expect_dwords(acquire, {17 | 1 << 8, 0, 1u << 31 | 1u << 30 | 15u << 22, 0, 0});
  expect_dwords(release, {17 | 1 << 8, 0, 1u << 31 | 1u << 22, 0, 0});
}

TEST_P(Sdma, PaddingIsZeroDwords) {
  expect_dwords(emitted(16,
                        [&](DwordWriter& w) {
                          w.put(6u);
                          w.put(33u);
                          EXPECT_EQ(sdma_pad(w, target.sdma.ib_align_dwords), 6u);
                          EXPECT_EQ(sdma_pad(w, target.sdma.ib_align_dwords), 0u);
                        }),
                {6, 33, 0, 0, 0, 0, 0, 0});
}

TEST_P(Sdma, BoxMatchesRocr) {
  // BuildCopyRectCommand for 64 x 3 x 2 bytes, all multiples of 16: element 4; sizes minus one.
  const RectOp rect{0x1'0000'1000, 0x2'0000'2000, 256, 1024, 512, 4096, 64, 3, 2};
  EXPECT_EQ(sdma_rect_dwords(target, rect), 13u);
  expect_dwords(emitted(13, [&](DwordWriter& w) { EXPECT_TRUE(ops.emit_rect(w, target, rect)); }),
                {1u | 4u << 8 | 4u << 29, 0x1000, 1, 0, 15u << 13, 63, 0x2000, 2, 0, 31u << 13, 255,
                 3u | 2u << 16, 1});
}

TEST_P(Sdma, OddBoxStartsInsideADword) {
  // Source byte 2 of its dword: elements of two bytes, first element 1.
  const RectOp rect{0x1002, 0x2000, 100, 0, 104, 0, 6, 2, 1};
  expect_dwords(emitted(13, [&](DwordWriter& w) { EXPECT_TRUE(ops.emit_rect(w, target, rect)); }),
                {1u | 4u << 8 | 1u << 29, 0x1000, 0, 1, 49u << 13, 0, 0x2000, 0, 0, 51u << 13, 0,
                 2u | 1u << 16, 0});
}

TEST_P(Sdma, OneRowIsALinearCopy) {
  const RectOp rect{0x1001, 0x2003, 0, 0, 0, 0, 77, 1, 1};
  expect_dwords(emitted(7, [&](DwordWriter& w) { EXPECT_TRUE(ops.emit_rect(w, target, rect)); }),
                {1, 76, 0, 0x1001, 0, 0x2003, 0});
}

TEST_P(Sdma, BoxBeyondThePitchFieldIsRefused) {
  const RectOp rect{0x1000, 0x2000, (1u << 19) + 1, 0, 1u << 19, 0, 3, 2, 1};
  EXPECT_EQ(sdma_rect_dwords(target, rect), 0u);
  EXPECT_TRUE(
      emitted(13, [&](DwordWriter& w) { EXPECT_FALSE(ops.emit_rect(w, target, rect)); }).empty());
}

/// Runs COPY_LINEAR and COPY_LINEAR_SUBWIN byte by byte: destination -> source.
std::map<Va, Va> run_copies(Dialect dialect, const Dwords& stream) {
  std::map<Va, Va> copied;
  auto copy = [&](Va destination, Va source) {
    EXPECT_TRUE(copied.emplace(destination, source).second) << "a byte was written twice";
  };
  std::size_t at = 0;
  while (at < stream.size()) {
    const Decoded decoded = decode_one(dialect, stream.data() + at, stream.size() - at);
    if (decoded.problem != Problem::None) {
      ADD_FAILURE() << to_string(decoded.problem);
      break;
    }
    const std::uint32_t* d = stream.data() + at;
    if ((d[0] >> 8 & 0xFF) == 0) {
      const Va source = d[3] | Va{d[4]} << 32, destination = d[5] | Va{d[6]} << 32;
      for (Va i = 0; i <= d[1]; ++i) copy(destination + i, source + i);
    } else {
      // Fields by hand, from sdma_registers.h.
      const Va element = 1u << (d[0] >> 29);
      const Va source = d[1] | Va{d[2]} << 32, destination = d[6] | Va{d[7]} << 32;
      for (Va z = 0; z <= (d[12] & 0x7FF); ++z)
        for (Va y = 0; y <= (d[11] >> 16 & 0x3FFF); ++y)
          for (Va x = 0; x <= (d[11] & 0x3FFF); ++x)
            for (Va b = 0; b < element; ++b)
              copy(destination + b +
                       element * ((d[8] & 0x3FFF) + x + y * ((d[9] >> 13) + 1) +
                                  z * ((d[10] & 0xFFFFFFF) + Va{1})),
                   source + b +
                       element * ((d[3] & 0x3FFF) + x + y * ((d[4] >> 13) + 1) +
                                  z * ((d[5] & 0xFFFFFFF) + Va{1})));
    }
    at += decoded.view.count;
  }
  return copied;
}

TEST_P(Sdma, RandomBoxesCopyEachByteOnceAndNoOther) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    auto below = [&](std::uint32_t n) { return random() % n; };
    RectOp rect;
    const std::uint32_t align = 1u << below(6);
    rect.width_bytes = 1 + below(90);
    rect.height = 1 + below(5);
    rect.depth = 1 + below(4);
    rect.source_pitch = (rect.width_bytes + below(40) + align - 1) / align * align;
    rect.destination_pitch = (rect.width_bytes + below(40) + align - 1) / align * align;
    rect.source_slice = rect.source_pitch * (rect.height + below(3));
    rect.destination_slice = rect.destination_pitch * (rect.height + below(3));
    rect.source = 0x10'0000 + below(32);
    rect.destination = 0x7000'0000'0000 + below(32);
    const std::uint64_t size = sdma_rect_dwords(target, rect);
    const Dwords stream = emitted(static_cast<std::uint32_t>(size), [&](DwordWriter& w) {
      EXPECT_TRUE(ops.emit_rect(w, target, rect));
    });
    EXPECT_EQ(stream.size(), size);
    std::map<Va, Va> expected;
    for (Va z = 0; z < rect.depth; ++z)
      for (Va y = 0; y < rect.height; ++y)
        for (Va x = 0; x < rect.width_bytes; ++x)
          expected[rect.destination + x + y * rect.destination_pitch + z * rect.destination_slice] =
              rect.source + x + y * rect.source_pitch + z * rect.source_slice;
    ASSERT_EQ(run_copies(sdma_dialect(target), stream), expected) << "round " << round;
  }
}

TEST_P(Sdma, WideBoxesAreTiled) {
  const RectOp rect{0x1000, 0x90'0000, 20000, 0, 20000, 0, 17001, 2, 1};
  const std::uint64_t size = sdma_rect_dwords(target, rect);
  EXPECT_GT(size, 13u);
  const Dwords stream = emitted(static_cast<std::uint32_t>(size), [&](DwordWriter& w) {
    EXPECT_TRUE(ops.emit_rect(w, target, rect));
  });
  EXPECT_EQ(run_copies(sdma_dialect(target), stream).size(), 2u * 17001u);
}

}  // namespace
}  // namespace kiln::gpu::golden

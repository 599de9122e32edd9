// Owns: decoding and printing: streams of others, broken streams, indirect buffers.
// Does not own: encoders.
// Threading: single-threaded tests.
#include "gpu/decode.hpp"

#include <map>
#include <random>

#include "golden.hpp"
#include "gpu/pm4.hpp"
#include "gpu/sdma.hpp"

namespace kiln::gpu::golden {
namespace {

constexpr Dialect kAll[] = {Dialect::Pm4Gfx9, Dialect::Pm4Gfx11, Dialect::Sdma4, Dialect::Sdma6,
                            Dialect::Aql};

Decoded decode(Dialect dialect, const Dwords& dwords) {
  return decode_one(dialect, dwords.data(), dwords.size());
}

TEST(Decode, TakesForeignPackets) {
  // tinygrad's acquire_mem on gfx9 and gfx11, with sizes of 2^64 - 1; its release_mem.
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xC0055800, 0x28C40000, ~0u, ~0u, 0, 0, 0xA}).problem,
            Problem::None);
  EXPECT_EQ(decode(Dialect::Pm4Gfx11, {0xC0065800, 0, ~0u, ~0u, 0, 0, 0, 0xC3F1}).problem,
            Problem::None);
  EXPECT_EQ(
      decode(Dialect::Pm4Gfx9, {0xC0064900, 0x00088514, 0x22000000, 0x1000, 0, 1, 0, 0}).problem,
      Problem::None);
  EXPECT_EQ(
      decode(Dialect::Pm4Gfx11, {0xC0064900, 0x0070F514, 0x22000000, 0x1000, 0, 1, 0, 0}).problem,
      Problem::None);
  // KFDTest sets the shader-type bit and an uncached policy.
  const Dwords write = {0xC0033702, 0x04100500, 0x1000, 0, 42};
  const Decoded decoded = decode(Dialect::Pm4Gfx9, write);
  EXPECT_EQ(decoded.problem, Problem::None);
  ASSERT_TRUE(decoded.view.is<pm4::WriteData>());
  EXPECT_EQ(decoded.view.get(pm4::WriteData::cache_policy), 2u);
  EXPECT_EQ(decoded.view.tail().size(), 1u);
  EXPECT_EQ(decoded.view.tail()[0], 42u);
  // KFDTest's SDMA fence on gfx10 and up: system, snooped, uncached.
  EXPECT_EQ(decode(Dialect::Sdma6, {1u << 22 | 1u << 20 | 3u << 16 | 5u, 0x1000, 0, 1}).problem,
            Problem::None);
}

TEST(Decode, SameOpcodeReadsByGeneration) {
  const Dwords release = {0xC0064900, 0x00200514, 0, 0, 0, 0, 0, 0};
  EXPECT_TRUE(decode(Dialect::Pm4Gfx11, release).view.is<pm4::ReleaseMemGfx11>());
  EXPECT_TRUE(decode(Dialect::Pm4Gfx9, release).view.is<pm4::ReleaseMemGfx9>());
  // GCR's GL2_INV bit means nothing to gfx9 at 18 of RELEASE_MEM.
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xC0064900, 0x00040514, 0, 0, 0, 0, 0, 0}).problem,
            Problem::ReservedBits);
  // Seven dwords are gfx9's ACQUIRE_MEM, eight gfx11's.
  EXPECT_EQ(decode(Dialect::Pm4Gfx11, {0xC0055800, 0, 0, 0, 0, 0, 0}).problem, Problem::BadLength);
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xC0065800, 0, 0, 0, 0, 0, 0, 0}).problem,
            Problem::BadLength);
  // MTYPE in FENCE came with SDMA 5.
  EXPECT_EQ(decode(Dialect::Sdma4, {0x00030005, 0, 0, 0}).problem, Problem::ReservedBits);
  EXPECT_EQ(decode(Dialect::Sdma4, {17 | 1 << 8, 0, 0, 0, 0}).problem, Problem::UnknownOpcode);
  EXPECT_EQ(decode(Dialect::Pm4Gfx11, {0xC0002300, 0x01000001}).problem, Problem::UnknownOpcode);
}

TEST(Decode, NamesEveryKindOfDamage) {
  EXPECT_EQ(decode_one(Dialect::Pm4Gfx9, nullptr, 0).problem, Problem::Truncated);
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0x00000000}).problem, Problem::BadType);
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0x80000000}).problem, Problem::BadType);
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xC0000C00, 0}).problem, Problem::UnknownOpcode);
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xC0031500, 1, 1, 1}).problem, Problem::Truncated);
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xC0041500, 1, 1, 1, 5, 0}).problem, Problem::BadLength);
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xC0007600, 0x240}).problem, Problem::BadLength)
      << "a register write without a value";
  EXPECT_EQ(decode(Dialect::Sdma4, {0xFF}).problem, Problem::UnknownOpcode);
  EXPECT_EQ(decode(Dialect::Sdma4, {1, 5}).problem, Problem::Truncated);
  EXPECT_EQ(decode(Dialect::Sdma4, {2, 0, 0, 1, 7}).problem, Problem::Truncated);
  const Decoded decoded = decode(Dialect::Pm4Gfx9, {0xC0004600, 0x10407});
  EXPECT_EQ(decoded.problem, Problem::ReservedBits);
  EXPECT_EQ(decoded.bad_dword, 1u);
  EXPECT_EQ(decoded.bad_bits, 0x10000u);
  EXPECT_EQ(decoded.view.count, 2u) << "a lenient reader may go on";
}

TEST(Decode, MisalignedAddressesAreReservedBits) {
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xC0079300, 0x15, 0x1004, 0, 0, 0, 0, 0, 4}).problem,
            Problem::ReservedBits);
  EXPECT_EQ(decode(Dialect::Sdma4, {5, 0x1002, 0, 0}).problem, Problem::ReservedBits);
}

TEST(Decode, NopsOfAllLengths) {
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xFFFF1000}).view.count, 1u);
  EXPECT_EQ(decode(Dialect::Pm4Gfx9, {0xC0001000, 9}).view.count, 2u);
  EXPECT_EQ(decode(Dialect::Sdma4, {0}).view.count, 1u);
  EXPECT_EQ(decode(Dialect::Sdma4, {2u << 16, 0, 0}).view.count, 3u);
}

TEST(Decode, VariableSdmaPackets) {
  // Broadcast copies have a second destination (KFDTest).
  EXPECT_EQ(decode(Dialect::Sdma4, {1 | 1u << 27, 3, 0, 0, 0, 0, 0, 0, 0}).view.count, 9u);
  EXPECT_EQ(decode(Dialect::Sdma6, {2, 0, 0, 2, 7, 8, 9}).view.count, 7u);
}

TEST(Decode, EachReservedBitOfEachPacketIsFound) {
  for (Dialect dialect : kAll) {
    for (const PacketInfo* info : packets(dialect)) {
      Dwords good(info->dwords + 1u, 0);
      const bool pm4 = info->family == Family::Pm4;
      std::uint32_t total = info->dwords;
      if (info->length == Length::Pm4Tail || info->length == Length::SdmaData) ++total;
      const std::uint32_t sub_shift = dialect == Dialect::Aql ? 16 : 8;
      good[0] = pm4 ? 3u << 30 | (total - 2) << 16 | std::uint32_t{info->opcode} << 8
                    : info->opcode | std::uint32_t{info->sub_opcode} << sub_shift;
      ASSERT_EQ(decode(dialect, good).problem, Problem::None) << info->name;
      const bool free_slot = dialect == Dialect::Aql && info->opcode == 1;
      for (std::uint32_t i = 0; i < info->dwords && !free_slot; ++i) {
        for (std::uint32_t bit = 0; bit < 32; ++bit) {
          if ((info->reserved_bits(i) >> bit & 1) == 0) continue;
          Dwords bad = good;
          bad[i] |= 1u << bit;
          const Decoded decoded = decode(dialect, bad);
          EXPECT_EQ(decoded.problem, Problem::ReservedBits) << info->name << ' ' << i << ' ' << bit;
          EXPECT_EQ(decoded.bad_dword, i);
          EXPECT_EQ(decoded.bad_bits, 1u << bit);
        }
      }
    }
  }
}

TEST(Decode, FieldsSurviveARoundTrip) {
  std::mt19937_64 random(3);
  for (Dialect dialect : kAll) {
    for (const PacketInfo* info : packets(dialect)) {
      for (const Field& field : info->fields) {
        const std::uint64_t low = (std::uint64_t{1} << field.zero_bits) - 1;
        const std::uint64_t value = random() & field.max() & ~low;
        Dwords dwords(info->dwords, 0);
        set_field(dwords.data(), field, value);
        EXPECT_EQ(get_field(dwords.data(), field), value) << info->name << ' ' << field.name;
        for (std::uint32_t i = 0; i < info->dwords; ++i)
          EXPECT_EQ(dwords[i] & ~field.bits_in(i), 0u) << info->name << ' ' << field.name;
        // Writing again replaces.
        set_field(dwords.data(), field, 0);
        EXPECT_EQ(dwords, Dwords(info->dwords, 0));
      }
    }
  }
}

TEST(Decode, OpcodesAreUniqueInADialect) {
  for (Dialect dialect : kAll) {
    std::map<int, int> seen;
    for (const PacketInfo* info : packets(dialect))
      EXPECT_EQ(seen[info->opcode | info->sub_opcode << 8]++, 0) << info->name;
  }
}

TEST(Decode, RandomDwordsNeverReadPastTheEnd) {
  std::mt19937 random(11);
  for (int round = 0; round < 20000; ++round) {
    // Exactly as large as it says, so that a sanitizer sees one dword too far.
    Dwords dwords(1 + random() % 12);
    for (std::uint32_t& dword : dwords) dword = static_cast<std::uint32_t>(random());
    const Dialect dialect = kAll[round % 4 + round % 3 / 2];
    if (round % 2 == 0) {
      const auto known = packets(dialect);
      const PacketInfo& info = *known[random() % known.size()];
      dwords[0] = info.family == Family::Pm4
                      ? 3u << 30 | (random() % 12) << 16 | std::uint32_t{info.opcode} << 8
                      : info.opcode | std::uint32_t{info.sub_opcode} << 8;
    }
    const Decoded decoded = decode(dialect, dwords);
    if (decoded.problem == Problem::None) {
      EXPECT_LE(decoded.view.count, dwords.size());
      EXPECT_FALSE(describe(dialect, decoded.view).empty());
    }
  }
}

struct Recorder : StreamVisitor {
  std::vector<std::string> seen;
  std::map<Va, Dwords> memory;
  Dialect dialect = Dialect::Pm4Gfx9;

  bool packet(const PacketView& view) override {
    seen.push_back(std::to_string(view.depth) + ":" + view.info->name +
                   strf("@%llx", static_cast<unsigned long long>(view.address)));
    return true;
  }
  bool problem(const Decoded& decoded) override {
    seen.push_back(std::string("! ") + to_string(decoded.problem));
    return true;
  }
  std::span<const std::uint32_t> fetch(Va address, std::uint32_t) override {
    const auto found = memory.find(address);
    return found == memory.end() ? std::span<const std::uint32_t>{} : found->second;
  }
};

TEST(Walk, FollowsIndirectBuffers) {
  Recorder recorder;
  recorder.memory[0x8000] = {0xC0004600, 0x407, 0xFFFF1000};
  // tinygrad: INDIRECT_BUFFER, size | VALID (bit 23).
  const Dwords stream = {0xC0023F00, 0x8000, 0, 3 | 1u << 23, 0xFFFF1000};
  EXPECT_TRUE(walk(Dialect::Pm4Gfx9, stream, 0x100, {}, recorder));
  EXPECT_EQ(recorder.seen, (std::vector<std::string>{"0:INDIRECT_BUFFER@100", "1:EVENT_WRITE@8000",
                                                     "1:NOP@8008", "0:NOP@110"}));
}

TEST(Walk, ReportsWhatItCannotFollow) {
  Recorder recorder;
  recorder.memory[0x8000] = {0xC0023F00, 0x8000, 0, 4 | 1u << 23};
  const Dwords stream = {0xC0023F00, 0x8000, 0, 4 | 1u << 23, 0xC0023F00, 0x9000, 0, 1 | 1u << 23};
  EXPECT_TRUE(walk(Dialect::Pm4Gfx9, stream, 0, {}, recorder));
  EXPECT_EQ(recorder.seen,
            (std::vector<std::string>{"0:INDIRECT_BUFFER@0", "1:INDIRECT_BUFFER@8000",
                                      "! an indirect buffer inside an indirect buffer",
                                      "0:INDIRECT_BUFFER@10",
                                      "! no memory at the indirect buffer's address"}));
}

TEST(Walk, StopsWhereLengthsAreLost) {
  Recorder recorder;
  EXPECT_FALSE(walk(Dialect::Pm4Gfx9, Dwords{0xC0004600, 0x407, 0, 0xFFFF1000}, 0, {}, recorder));
  EXPECT_EQ(recorder.seen, (std::vector<std::string>{"0:EVENT_WRITE@0", "! not a type 3 header"}));
}

TEST(Walk, FollowsSdmaIndirect) {
  Recorder recorder;
  recorder.memory[0x8000] = {6, 33};
  EXPECT_TRUE(walk(Dialect::Sdma4, Dwords{4, 0x8000, 0, 2, 0, 0}, 0, {}, recorder));
  EXPECT_EQ(recorder.seen, (std::vector<std::string>{"0:INDIRECT@0", "1:TRAP@8000"}));
}

TEST(Print, FieldsAndRegistersByName) {
  auto text = [](Dialect dialect, const Dwords& dwords) {
    return describe(dialect, decode(dialect, dwords).view);
  };
  EXPECT_EQ(text(Dialect::Pm4Gfx9, {0xC0004600, 0x407}), "EVENT_WRITE event_type=7 event_index=4");
  EXPECT_EQ(text(Dialect::Pm4Gfx9, {0xC0027600, 0x212, 0xAF0040, 0x84}),
            "SET_SH_REG COMPUTE_PGM_RSRC1=0xaf0040 COMPUTE_PGM_RSRC2=0x84");
  EXPECT_EQ(text(Dialect::Pm4Gfx9, {0xC0027600, 0x242, 1, 2}),
            "SET_SH_REG COMPUTE_USER_DATA_2=0x1 COMPUTE_USER_DATA_3=0x2");
  EXPECT_EQ(text(Dialect::Pm4Gfx9, {0xC0017600, 0x22D, 1}), "SET_SH_REG COMPUTE_PGM_RSRC3=0x1");
  EXPECT_EQ(text(Dialect::Pm4Gfx11, {0xC0017600, 0x22D, 1}), "SET_SH_REG 0x2e2d=0x1");
  EXPECT_EQ(text(Dialect::Sdma4, {2, 0x1000, 0, 1, 7, 8}),
            "WRITE_LINEAR destination=0x1000 count=1 data=0x7,0x8");
  EXPECT_EQ(text(Dialect::Pm4Gfx9, {0xC0001000, 9}), "NOP skips=1");
}

TEST(Print, IsCutToFit) {
  const Dwords dwords = {0xC0004600, 0x407};
  char text[12];
  EXPECT_EQ(print(Dialect::Pm4Gfx9, decode(Dialect::Pm4Gfx9, dwords).view, text), 38u);
  EXPECT_STREQ(text, "EVENT_WRITE");
}

}  // namespace
}  // namespace kiln::gpu::golden

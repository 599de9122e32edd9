// Owns: the target table, AQL layouts, and the writer.
// Does not own: streams.
// Threading: single-threaded tests.
#include "gpu/target.hpp"

#include <cstring>

#include "golden.hpp"
#include "gpu/aql.hpp"
#include "gpu/decode.hpp"
#include "gpu/pm4.hpp"

namespace kiln::gpu::golden {
namespace {

TEST(Targets, AllFifteenAreFoundAndFourHaveABackend) {
  const char* const names[] = {"gfx90a",  "gfx942",  "gfx1030", "gfx1031", "gfx1032",
                               "gfx1033", "gfx1034", "gfx1035", "gfx1036", "gfx1100",
                               "gfx1101", "gfx1102", "gfx1103", "gfx1200", "gfx1201"};
  EXPECT_EQ(targets().size(), std::size(names));
  for (const char* name : names) {
    const auto ip = parse_gfx_ip(name);
    ASSERT_TRUE(ip.has_value());
    const Target* target = find_target(*ip);
    ASSERT_NE(target, nullptr) << name;
    EXPECT_EQ(target->name, name);
    EXPECT_EQ(to_string(target->ip), name);
    EXPECT_EQ(target, find_target(std::string_view(name)));
    EXPECT_EQ(target->supported(), target->name == "gfx90a" || target->name == "gfx942" ||
                                       target->name == "gfx1030" || target->name == "gfx1100")
        << name;
    EXPECT_EQ(target->supported(), target->sdma_ops != nullptr);
  }
}

TEST(Targets, UnknownSteppingsAreNotGuessed) {
  EXPECT_EQ(find_target(GfxIp{9, 4, 0}), nullptr);
  EXPECT_EQ(find_target(GfxIp{11, 0, 5}), nullptr);
  EXPECT_EQ(find_target(std::string_view("gfx999")), nullptr);
}

TEST(Targets, OverridesStayInTheirGeneration) {
  EXPECT_TRUE(override_allowed({11, 0, 1}, gfx1100()));
  EXPECT_FALSE(override_allowed({11, 5, 0}, gfx1100()));
  EXPECT_FALSE(override_allowed({9, 4, 2}, gfx1100()));
  EXPECT_FALSE(override_allowed({11, 0, 1}, *find_target("gfx1102"))) << "no backend";
  for (const Target& target : targets())
    EXPECT_EQ(supported_target_names().find(target.name) != std::string_view::npos,
              target.supported());
}

TEST(Targets, ValuesFromTheirSources) {
  EXPECT_EQ(gfx942().dispatch.rsrc3_register, 0x2E2Du);
  EXPECT_EQ(gfx1100().dispatch.rsrc3_register, 0x2E28u);
  EXPECT_EQ(gfx942().cache.l2_domain, L2Domain::Xcc);
  EXPECT_EQ(gfx1100().cache.l2_domain, L2Domain::Device);
  EXPECT_FALSE(gfx942().cache.sdma_through_l2);
  EXPECT_TRUE(gfx1100().cache.sdma_through_l2);
  EXPECT_EQ(gfx942().ring_format(8), RingFormat::Aql);
  EXPECT_EQ(gfx942().ring_format(1), RingFormat::Pm4);
  EXPECT_EQ(gfx1100().ring_format(1), RingFormat::Pm4);
  EXPECT_EQ(gfx1100().wave.default_size, 32);
  EXPECT_EQ(gfx942().wave.default_size, 64);
  // LLVM: gfx1100 has 1536 VGPRs per SIMD in granules of 24, gfx942 512 in granules of 8.
  EXPECT_EQ(gfx1100().wave.vgpr_granule_wave32, 24);
  EXPECT_EQ(gfx1100().wave.vgpr_total_wave64, 768);
  EXPECT_EQ(gfx942().wave.vgpr_granule_wave64, 8);
  EXPECT_EQ(gfx942().wave.vgpr_total_wave64, 512);
  // Linux sdma_v4_0.c (4.4.0: 1 << 30), sdma_v4_4_2.c (0x400000), sdma_v5_2.c (1 << 30).
  EXPECT_EQ(gfx90a().sdma.count_bits, 30);
  EXPECT_EQ(gfx942().sdma.count_bits, 22);
  EXPECT_EQ(gfx1030().sdma.count_bits, 30);
  for (const Target& target : targets()) {
    EXPECT_LE(target.sdma.copy_max_bytes, 1u << target.sdma.count_bits) << target.name;
    EXPECT_LE(target.sdma.fill_max_bytes, 1u << target.sdma.count_bits) << target.name;
  }
  // KFD sets SE4..7 of the thread management registers per XCC.
  EXPECT_LE(gfx942().dispatch.forbidden_first, 0x2E27u);
  EXPECT_GE(gfx942().dispatch.forbidden_last, 0x2E27u);
}

TEST(Targets, Gfx90aFromItsSources) {
  EXPECT_EQ(gfx90a().dispatch.rsrc3_register, 0x2E2Du);  // KFDTest Dispatch.cpp
  EXPECT_EQ(gfx90a().dispatch.forbidden_first, 0u);
  EXPECT_TRUE(gfx90a().dispatch.kernarg_preload);
  EXPECT_EQ(gfx90a().cache.l2_domain, L2Domain::Device);
  EXPECT_FALSE(gfx90a().cache.sdma_through_l2);
  EXPECT_EQ(gfx90a().ring_format(1), RingFormat::Pm4);
  EXPECT_EQ(gfx90a().wave.default_size, 64);
  EXPECT_FALSE(gfx90a().wave.wave32);
  EXPECT_EQ(gfx90a().wave.vgpr_granule_wave64, 8);
  EXPECT_EQ(gfx90a().wave.vgpr_total_wave64, 512);
  EXPECT_EQ(gfx90a().scratch.scheme, ScratchScheme::FlatScratchInit);
  EXPECT_FALSE(gfx90a().sdma.gcr);
}

TEST(Targets, Gfx1030FromItsSources) {
  EXPECT_EQ(gfx1030().dispatch.rsrc3_register, 0x2E28u);  // PAL, libdrm shader_test_util.c (0x228)
  EXPECT_EQ(gfx1030().dispatch.kfd_rsrc1_or, 0u) << "PRIV is gfx11's";
  EXPECT_FALSE(gfx1030().dispatch.kernarg_preload);
  EXPECT_EQ(gfx1030().cache.flavour, CacheFlavour::GcrCntl);
  EXPECT_TRUE(gfx1030().cache.sdma_through_l2);
  EXPECT_EQ(gfx1030().ring_format(1), RingFormat::Pm4);
  EXPECT_EQ(gfx1030().wave.default_size, 32);
  // LLVM getVGPRAllocGranule and getTotalNumVGPRs for GFX10_3.
  EXPECT_EQ(gfx1030().wave.vgpr_granule_wave32, 16);
  EXPECT_EQ(gfx1030().wave.vgpr_granule_wave64, 8);
  EXPECT_EQ(gfx1030().wave.vgpr_total_wave32, 1024);
  EXPECT_EQ(gfx1030().scratch.scheme, ScratchScheme::FlatScratchInit);
  EXPECT_EQ(gfx1030().sdma.fence_mtype, 3);
  EXPECT_TRUE(gfx1030().sdma.gcr);
}

TEST(Aql, HeadersMatchTinygrad) {
  using aql::FenceScope;
  using aql::PacketType;
  EXPECT_EQ(aql::header(PacketType::KernelDispatch, true, FenceScope::System, FenceScope::System),
            0x1502);
  EXPECT_EQ(aql::header(PacketType::VendorSpecific, true, FenceScope::System, FenceScope::System),
            0x1500);
}

TEST(Aql, VendorPacketMatchesTinygradDwordForDword) {
  aql::Pm4IbPacket packet{};
  packet.header = aql::header(aql::PacketType::VendorSpecific, true, aql::FenceScope::System,
                              aql::FenceScope::System);
  packet.format = aql::AmdFormat::Pm4Ib;
  const auto ib = Packet<pm4::IndirectBuffer>{}
                      .set<pm4::IndirectBuffer::address>(0x2'0000'1000)
                      .set<pm4::IndirectBuffer::size>(100)
                      .set<pm4::IndirectBuffer::valid>(1);
  std::memcpy(packet.indirect_buffer, ib.dwords.data(), sizeof packet.indirect_buffer);
  packet.dwords_remaining = 10;
  Dwords dwords(16);
  std::memcpy(dwords.data(), &packet, 64);
  expect_dwords(dwords, {0x00011500, 0xC0023F00, 0x1000, 2, 100 | 1u << 23, 10, 0, 0, 0, 0, 0, 0, 0,
                         0, 0, 0});
}

TEST(Aql, BarrierValueLayout) {
  aql::BarrierValuePacket packet{};
  packet.header = aql::header(aql::PacketType::VendorSpecific, true, aql::FenceScope::None,
                              aql::FenceScope::None);
  packet.format = aql::AmdFormat::BarrierValue;
  packet.signal = 0x1'0000'0040;
  packet.value = 7;
  packet.mask = -1;
  packet.condition = aql::Condition::Gte;
  Dwords dwords(16);
  std::memcpy(dwords.data(), &packet, 64);
  // hsa_amd_barrier_value_packet_t: format 2; HSA_SIGNAL_CONDITION_GTE is 3.
  expect_dwords(dwords, {0x00020100, 0, 0x40, 1, 7, 0, ~0u, ~0u, 3, 0, 0, 0, 0, 0, 0, 0});
}

/// The structures and the tables describe the same bytes.
template <class Struct>
PacketView view_of(const Struct& packet, Dwords& memory) {
  memory.resize(16);
  std::memcpy(memory.data(), &packet, 64);
  const Decoded decoded = decode_one(Dialect::Aql, memory.data(), memory.size());
  EXPECT_EQ(decoded.problem, Problem::None) << decoded.bad_dword << ' ' << decoded.bad_bits;
  return decoded.view;
}

TEST(Aql, DecoderReadsKernelDispatch) {
  aql::KernelDispatchPacket packet{};
  packet.header = 0x1502;
  packet.setup = 3;
  packet.workgroup_size_x = 1;
  packet.workgroup_size_y = 2;
  packet.workgroup_size_z = 3;
  packet.grid_size_x = 4;
  packet.grid_size_y = 5;
  packet.grid_size_z = 6;
  packet.private_segment_size = 7;
  packet.group_segment_size = 8;
  packet.kernel_object = 0x1'0000'0040;
  packet.kernarg_address = 0x2'0000'0010;
  packet.completion_signal = 0x3'0000'0080;
  Dwords memory;
  const PacketView view = view_of(packet, memory);
  using K = aql::KernelDispatch;
  ASSERT_TRUE(view.is<K>());
  EXPECT_EQ(view.get(K::barrier), 1u);
  EXPECT_EQ(view.get(K::acquire), 2u);
  EXPECT_EQ(view.get(K::release), 2u);
  EXPECT_EQ(view.get(K::dimensions), 3u);
  EXPECT_EQ(view.get(K::workgroup_x), 1u);
  EXPECT_EQ(view.get(K::workgroup_y), 2u);
  EXPECT_EQ(view.get(K::workgroup_z), 3u);
  EXPECT_EQ(view.get(K::grid_x), 4u);
  EXPECT_EQ(view.get(K::grid_y), 5u);
  EXPECT_EQ(view.get(K::grid_z), 6u);
  EXPECT_EQ(view.get(K::private_bytes), 7u);
  EXPECT_EQ(view.get(K::group_bytes), 8u);
  EXPECT_EQ(view.get(K::kernel_object), packet.kernel_object);
  EXPECT_EQ(view.get(K::kernarg), packet.kernarg_address);
  EXPECT_EQ(view.get(K::completion_signal), packet.completion_signal);
}

TEST(Aql, DecoderReadsVendorAndBarrierPackets) {
  Dwords memory;
  aql::Pm4IbPacket ib{};
  ib.header = 0x1500;
  ib.format = aql::AmdFormat::Pm4Ib;
  ib.indirect_buffer[1] = 0x1000;
  ib.dwords_remaining = 10;
  PacketView view = view_of(ib, memory);
  ASSERT_TRUE(view.is<aql::Pm4Ib>());
  EXPECT_EQ(view.get(aql::Pm4Ib::ib_address), 0x1000u);
  EXPECT_EQ(view.get(aql::Pm4Ib::dwords_remaining), 10u);

  aql::BarrierValuePacket value{};
  value.format = aql::AmdFormat::BarrierValue;
  value.signal = 0x40;
  value.value = 7;
  value.mask = -1;
  value.condition = aql::Condition::Gte;
  view = view_of(value, memory);
  ASSERT_TRUE(view.is<aql::BarrierValue>());
  EXPECT_EQ(view.get(aql::BarrierValue::signal), 0x40u);
  EXPECT_EQ(view.get(aql::BarrierValue::value), 7u);
  EXPECT_EQ(view.get(aql::BarrierValue::mask), ~0ull);
  EXPECT_EQ(view.get(aql::BarrierValue::condition), 3u);

  aql::BarrierPacket barrier{};
  barrier.header = 5;
  barrier.dependency[4] = 0x100;
  view = view_of(barrier, memory);
  ASSERT_TRUE(view.is<aql::BarrierOr>());
  EXPECT_EQ(view.get(aql::BarrierOr::dependency4), 0x100u);
  EXPECT_EQ(describe(Dialect::Aql, view), "BARRIER_OR dependency4=0x100");
}

TEST(Aql, DamageIsNamed) {
  Dwords slot(16, 0);
  auto problem = [&] { return decode_one(Dialect::Aql, slot.data(), slot.size()).problem; };
  slot[0] = 1;
  slot[5] = 0xDEADBEEF;
  EXPECT_EQ(problem(), Problem::None) << "an invalid slot may hold anything";
  slot[0] = 0x00030000;
  EXPECT_EQ(problem(), Problem::UnknownOpcode) << "vendor format 3";
  slot = Dwords(16, 0);
  slot[0] = 2;
  slot[12] = 1;
  EXPECT_EQ(problem(), Problem::ReservedBits);
  EXPECT_EQ(decode_one(Dialect::Aql, slot.data(), 15).problem, Problem::Truncated);
}

TEST(Writer, ReservesWritesAndCommits) {
  Dwords room(4);
  DwordWriter writer(room);
  EXPECT_FALSE(writer.reserve(5)) << "nothing is written without room";
  ASSERT_TRUE(writer.reserve(3));
  writer.put(1u);
  writer.put64(0x3'0000'0002);
  EXPECT_EQ(writer.size(), 0u);
  EXPECT_EQ(writer.commit(), 3u);
  EXPECT_EQ(writer.size(), 3u);
  EXPECT_EQ(writer.room(), 1u);
  EXPECT_FALSE(writer.reserve(2));
  ASSERT_TRUE(writer.reserve(1));
  writer.put(9u);
  writer.rollback();
  EXPECT_EQ(writer.size(), 3u);
  EXPECT_EQ(room[2], 3u);
}

TEST(WriterDeathTest, MoreThanReservedIsCaughtInDebugBuilds) {
#ifdef NDEBUG
  GTEST_SKIP() << "assertions are off";
#else
  Dwords room(4);
  DwordWriter writer(room);
  ASSERT_TRUE(writer.reserve(1));
  writer.put(1u);
  EXPECT_DEATH(writer.put(2u), "reserved");
#endif
}

}  // namespace
}  // namespace kiln::gpu::golden

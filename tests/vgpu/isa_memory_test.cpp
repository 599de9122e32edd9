// Owns: what vector memory instructions do: GLOBAL, FLAT, SCRATCH, MUBUF, DS with atomics and lane
//   exchanges, faults, cache control scopes.
// Does not own: scalar loads (isa_salu_test.cpp).
// Threading: one thread.
//
// Expected values are worked out from the ISA documents' pseudocode and LLVM's AMDGPUUsage.
#include <bit>

#include "isa_harness.hpp"

namespace kiln::vgpu::isa::test {
namespace {

using U8 = std::uint8_t;
using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

constexpr U64 kEveryThird = 0x9249249249249249;
constexpr U32 kUntouched = 0xabababab;

bool active(U64 mask, unsigned lane) {
  return (mask >> lane & 1) != 0;
}

/// Every byte of data memory distinct enough to tell places apart, with high bits set often.
void fill_data(Machine& m) {
  for (std::size_t i = 0; i < Machine::kDataBytes; ++i)
    m.set_data<U8>(i, static_cast<U8>(i * 181 + (i >> 8) * 7 + 3));
}

template <class F>
void expect_lanes(Machine& m, unsigned reg, U64 mask, F expected) {
  for (unsigned lane = 0; lane < m.lanes(); ++lane)
    EXPECT_EQ(m.v(reg)[lane], active(mask, lane) ? static_cast<U32>(expected(lane)) : kUntouched)
        << "v" << reg << " lane " << lane;
}

void all_loads(const Code& code, U64 mask, const auto& address_of, bool flat_offset) {
  Machine m(code);
  fill_data(m);
  m.start();
  for (unsigned reg = 10; reg < 40; ++reg) m.fill(reg, [](unsigned) { return kUntouched; });
  m.fill64(2, [&](unsigned lane) { return Machine::kData + address_of(lane); });
  m.wave().set_exec(mask);
  m.expect_done();
  mask = m.wave().exec();
  const auto at = [&](unsigned lane, int offset) { return address_of(lane) + offset; };
  expect_lanes(m, 10, mask, [&](unsigned l) { return m.data<U8>(at(l, 1)); });
  expect_lanes(m, 11, mask,
               [&](unsigned l) { return m.data<std::int8_t>(at(l, flat_offset ? 3 : -3)); });
  expect_lanes(m, 12, mask, [&](unsigned l) { return m.data<U16>(at(l, 2)); });
  expect_lanes(m, 13, mask, [&](unsigned l) { return m.data<std::int16_t>(at(l, 4)); });
  expect_lanes(m, 14, mask, [&](unsigned l) { return m.data<U32>(at(l, 0)); });
  for (unsigned k = 0; k < 2; ++k)
    expect_lanes(m, 16 + k, mask, [&](unsigned l) { return m.data<U32>(at(l, 8 + 4 * k)); });
  for (unsigned k = 0; k < 3; ++k)
    expect_lanes(m, 20 + k, mask, [&](unsigned l) { return m.data<U32>(at(l, 12 + 4 * k)); });
  for (unsigned k = 0; k < 4; ++k)
    expect_lanes(m, 24 + k, mask, [&](unsigned l) { return m.data<U32>(at(l, 16 + 4 * k)); });
  expect_lanes(m, 28, mask,
               [&](unsigned l) { return (kUntouched & 0xffff0000) | m.data<U16>(at(l, 0)); });
  expect_lanes(m, 29, mask, [&](unsigned l) {
    return U32{m.data<U16>(at(l, 2))} << 16 | (kUntouched & 0xffff);
  });
  expect_lanes(m, 30, mask,
               [&](unsigned l) { return (kUntouched & 0xffff0000) | m.data<U8>(at(l, 5)); });
  expect_lanes(m, 31, mask,
               [&](unsigned l) { return U32{m.data<U8>(at(l, 6))} << 16 | (kUntouched & 0xffff); });
  expect_lanes(m, 32, mask, [&](unsigned l) {
    return (kUntouched & 0xffff0000) |
           static_cast<U16>(std::int16_t{m.data<std::int8_t>(at(l, 7))});
  });
  expect_lanes(m, 33, mask, [&](unsigned l) {
    return static_cast<U32>(static_cast<U16>(std::int16_t{m.data<std::int8_t>(at(l, 8))})) << 16 |
           (kUntouched & 0xffff);
  });
}

const Code kGlobalLoads942 = gfx942(R"(global_load_ubyte v10, v[2:3], off offset:1
global_load_sbyte v11, v[2:3], off offset:-3
global_load_ushort v12, v[2:3], off offset:2
global_load_sshort v13, v[2:3], off offset:4
global_load_dword v14, v[2:3], off
global_load_dwordx2 v[16:17], v[2:3], off offset:8
global_load_dwordx3 v[20:22], v[2:3], off offset:12
global_load_dwordx4 v[24:27], v[2:3], off offset:16
global_load_short_d16 v28, v[2:3], off
global_load_short_d16_hi v29, v[2:3], off offset:2
global_load_ubyte_d16 v30, v[2:3], off offset:5
global_load_ubyte_d16_hi v31, v[2:3], off offset:6
global_load_sbyte_d16 v32, v[2:3], off offset:7
global_load_sbyte_d16_hi v33, v[2:3], off offset:8)");
const Code kGlobalLoads1100 = gfx1100(R"(global_load_u8 v10, v[2:3], off offset:1
global_load_i8 v11, v[2:3], off offset:-3
global_load_u16 v12, v[2:3], off offset:2
global_load_i16 v13, v[2:3], off offset:4
global_load_b32 v14, v[2:3], off
global_load_b64 v[16:17], v[2:3], off offset:8
global_load_b96 v[20:22], v[2:3], off offset:12
global_load_b128 v[24:27], v[2:3], off offset:16
global_load_d16_b16 v28, v[2:3], off
global_load_d16_hi_b16 v29, v[2:3], off offset:2
global_load_d16_u8 v30, v[2:3], off offset:5
global_load_d16_hi_u8 v31, v[2:3], off offset:6
global_load_d16_i8 v32, v[2:3], off offset:7
global_load_d16_hi_i8 v33, v[2:3], off offset:8)");
const Code kFlatLoads942 = gfx942(R"(flat_load_ubyte v10, v[2:3] offset:1
flat_load_sbyte v11, v[2:3] offset:3
flat_load_ushort v12, v[2:3] offset:2
flat_load_sshort v13, v[2:3] offset:4
flat_load_dword v14, v[2:3]
flat_load_dwordx2 v[16:17], v[2:3] offset:8
flat_load_dwordx3 v[20:22], v[2:3] offset:12
flat_load_dwordx4 v[24:27], v[2:3] offset:16
flat_load_short_d16 v28, v[2:3]
flat_load_short_d16_hi v29, v[2:3] offset:2
flat_load_ubyte_d16 v30, v[2:3] offset:5
flat_load_ubyte_d16_hi v31, v[2:3] offset:6
flat_load_sbyte_d16 v32, v[2:3] offset:7
flat_load_sbyte_d16_hi v33, v[2:3] offset:8)");

TEST(IsaMemory, GlobalAndFlatLoadsOfEveryWidth) {
  // Scattered and misaligned; consecutive dwords; one address for all.
  const auto scattered = [](unsigned lane) { return 64u + (lane * 37 % 64) * 52 + lane % 3; };
  const auto consecutive = [](unsigned lane) { return 64u + lane * 4; };
  const auto same = [](unsigned) { return 128u; };
  for (U64 mask : {~U64{0}, kEveryThird, U64{1} << 31}) {
    all_loads(kGlobalLoads942, mask, scattered, false);
    all_loads(kGlobalLoads942, mask, consecutive, false);
    all_loads(kGlobalLoads942, mask, same, false);
    all_loads(kGlobalLoads1100, mask & 0xffffffff, scattered, false);
    all_loads(kGlobalLoads1100, mask & 0xffffffff, consecutive, false);
    all_loads(kFlatLoads942, mask, scattered, true);
    all_loads(kFlatLoads942, mask, consecutive, true);
  }
}

TEST(IsaMemory, ScalarBaseAndAccumulationRegisters) {
  Machine m(gfx942(R"(global_load_dword v10, v4, s[2:3] offset:8
global_load_dwordx2 a[4:5], v4, s[2:3]
global_store_dwordx2 v4, a[4:5], s[2:3] offset:2048)"));
  fill_data(m);
  m.start();
  m.set_s64(2, Machine::kData + 256);
  m.fill(4, [](unsigned lane) { return lane * 12; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.v(10)[lane], m.data<U32>(256 + lane * 12 + 8));
    EXPECT_EQ(m.v(256 + 4)[lane], m.data<U32>(256 + lane * 12));
    EXPECT_EQ(m.data<U64>(256 + 2048 + lane * 12) & 0xffffffff, m.v(256 + 4)[lane]);
  }

  // The 32-bit offset is unsigned.
  Machine n(gfx1100(R"(global_load_b32 v10, v4, s[2:3])"));
  n.set_data<U32>(64, 0x55667788);
  n.start();
  n.set_s64(2, Machine::kData + 64 - 0xfffffff0u);
  n.fill(4, [](unsigned) { return 0xfffffff0u; });
  n.expect_done();
  EXPECT_EQ(n.v(10)[5], 0x55667788u);
}

TEST(IsaMemory, StoresOfEveryWidth) {
  const Code codes[] = {gfx942(R"(global_store_byte v[2:3], v10, off
global_store_byte_d16_hi v[2:3], v10, off offset:1
global_store_short v[2:3], v10, off offset:2
global_store_short_d16_hi v[2:3], v10, off offset:4
global_store_dword v[2:3], v10, off offset:8
global_store_dwordx2 v[2:3], v[10:11], off offset:12
global_store_dwordx3 v[2:3], v[10:12], off offset:20
global_store_dwordx4 v[2:3], v[10:13], off offset:32)"),
                        gfx1100(R"(global_store_b8 v[2:3], v10, off
global_store_d16_hi_b8 v[2:3], v10, off offset:1
global_store_b16 v[2:3], v10, off offset:2
global_store_d16_hi_b16 v[2:3], v10, off offset:4
global_store_b32 v[2:3], v10, off offset:8
global_store_b64 v[2:3], v[10:11], off offset:12
global_store_b96 v[2:3], v[10:12], off offset:20
global_store_b128 v[2:3], v[10:13], off offset:32)")};
  for (const Code& code : codes) {
    for (U64 mask : {~U64{0}, kEveryThird}) {
      Machine m(code);
      m.start();
      m.fill64(2, [](unsigned lane) { return Machine::kData + lane * 64; });
      for (unsigned k = 0; k < 4; ++k)
        m.fill(10 + k, [&](unsigned lane) { return 0x10203040u * (k + 1) + lane * 0x01010101; });
      m.wave().set_exec(mask);
      m.expect_done();
      for (unsigned lane = 0; lane < m.lanes(); ++lane) {
        const auto value = [&](unsigned k) { return active(mask, lane) ? m.v(10 + k)[lane] : 0; };
        const unsigned at = lane * 64;
        EXPECT_EQ(m.data<U8>(at), value(0) & 0xff);
        EXPECT_EQ(m.data<U8>(at + 1), value(0) >> 16 & 0xff);
        EXPECT_EQ(m.data<U16>(at + 2), value(0) & 0xffff);
        EXPECT_EQ(m.data<U16>(at + 4), value(0) >> 16);
        EXPECT_EQ(m.data<U16>(at + 6), 0u);
        EXPECT_EQ(m.data<U32>(at + 8), value(0));
        for (unsigned k = 0; k < 2; ++k) EXPECT_EQ(m.data<U32>(at + 12 + 4 * k), value(k));
        for (unsigned k = 0; k < 3; ++k) EXPECT_EQ(m.data<U32>(at + 20 + 4 * k), value(k));
        for (unsigned k = 0; k < 4; ++k) EXPECT_EQ(m.data<U32>(at + 32 + 4 * k), value(k));
        EXPECT_EQ(m.data<U32>(at + 48), 0u);
      }
    }
  }
}

TEST(IsaMemory, TheHighestLaneWinsAStoreToOneAddress) {
  Machine m(gfx942(R"(global_store_dword v[2:3], v10, off)"));
  m.start();
  m.fill64(2, [](unsigned) { return Machine::kData; });
  m.fill(10, [](unsigned lane) { return lane; });
  m.expect_done();
  EXPECT_EQ(m.data<U32>(0), 63u);
}

TEST(IsaMemory, Faults) {
  {
    Machine m(gfx1100(R"(global_load_b64 v[10:11], v[2:3], off)"));
    m.start();
    m.fill64(2, [](unsigned lane) {
      return Machine::kData + Machine::kDataBytes - 4 - (31 - lane) * 8;
    });
    EXPECT_EQ(m.finish(), RunStatus::Faulted);
    EXPECT_EQ(m.group->port->fault().address, Machine::kData + Machine::kDataBytes);
    EXPECT_EQ(m.group->port->fault().access, Access::Load);
    EXPECT_TRUE(m.group->port->fault().not_present);
    EXPECT_EQ(m.wave().state, WaveState::Faulted);
  }
  {
    // An inactive lane's address does not matter.
    Machine m(gfx942(R"(global_load_dword v10, v[2:3], off
global_store_dword v[2:3], v10, off)"));
    m.start();
    m.fill64(2, [](unsigned lane) { return lane == 9 ? U64{0xdead} : Machine::kData + 4 * lane; });
    m.wave().set_exec(~(U64{1} << 9));
    m.expect_done();
  }
  {
    alignas(64) static std::byte page[kPageBytes];
    Machine m(gfx942(R"(global_store_dword v[2:3], v10, off)"));
    m.map(0x7f4000000000, page, sizeof page, false);
    m.start();
    m.fill64(2, [](unsigned lane) { return 0x7f4000000000 + 4 * lane; });
    EXPECT_EQ(m.finish(), RunStatus::Faulted);
    EXPECT_EQ(m.group->port->fault().address, 0x7f4000000000u);
    EXPECT_EQ(m.group->port->fault().access, Access::Store);
    EXPECT_FALSE(m.group->port->fault().not_present);
  }
  {
    Machine m(gfx942(R"(global_atomic_add v[2:3], v10, off)"));
    m.start();
    m.fill64(2, [](unsigned) { return Machine::kData + 2; });
    EXPECT_EQ(m.finish(), RunStatus::Halted);
    EXPECT_NE(halt_reason(*m.group).find("misaligned address in global_atomic_add"),
              std::string::npos)
        << halt_reason(*m.group);
  }
}

TEST(IsaMemory, LanesInSeveralMappings) {
  alignas(64) static std::byte first[kPageBytes], second[kPageBytes];
  Machine m(gfx942(R"(global_load_dwordx2 v[10:11], v[2:3], off
global_store_dwordx2 v[2:3], v[12:13], off)"));
  m.map(0x7f5000000000, first, sizeof first);
  m.map(0x7f5000001000, second, sizeof second);
  const U32 before[2] = {0x11111111, 0x22222222};
  std::memcpy(first + kPageBytes - 4, &before[0], 4);
  std::memcpy(second, &before[1], 4);
  m.start();
  // Lane 7 straddles the two mappings.
  m.fill64(2, [](unsigned lane) { return 0x7f5000000000 + kPageBytes - 4 + (lane - U64{7}) * 8; });
  m.fill(12, [](unsigned lane) { return lane; });
  m.fill(13, [](unsigned lane) { return lane + 100; });
  m.expect_done();
  EXPECT_EQ(m.v(10)[7], 0x11111111u);
  EXPECT_EQ(m.v(11)[7], 0x22222222u);
  U32 value;
  std::memcpy(&value, first + kPageBytes - 4, 4);
  EXPECT_EQ(value, 7u);
  std::memcpy(&value, second, 4);
  EXPECT_EQ(value, 107u);
  std::memcpy(&value, second + 4, 4);
  EXPECT_EQ(value, 8u);
}

// ---- Atomics. Lane n works on its own cell: old[n % 4] with data[n / 4 % 4], so that every
// combination occurs.

struct AtomicCase {
  Code code;
  std::array<U64, 4> old, data;
  std::array<U64, 16> after;  ///< [old * 4 + data]
  U64 second = 0;             ///< comparand, or the second data value
  unsigned bytes = 4;
};

void check_atomic(const AtomicCase& test, bool lds, const std::string& what) {
  SCOPED_TRACE(what);
  Machine m(test.code);
  m.start();
  const unsigned rows = test.bytes / 4;
  m.fill64(2, [&](unsigned lane) { return Machine::kData + lane * 8; });
  m.fill(8, [&](unsigned lane) { return lane * 8; });
  for (unsigned lane = 0; lane < m.lanes(); ++lane) {
    const U64 values[2] = {test.data[lane / 4 % 4], test.second};
    for (unsigned operand = 0; operand < 2; ++operand)
      for (unsigned row = 0; row < rows; ++row)
        m.v(10 + operand * rows + row)[lane] = static_cast<U32>(values[operand] >> (32 * row));
    if (lds)
      m.set_lds<U64>(lane * 8, test.old[lane % 4] | (rows == 1 ? 0xeeeeeeee00000000 : 0));
    else
      m.set_data<U64>(lane * 8, test.old[lane % 4] | (rows == 1 ? 0xeeeeeeee00000000 : 0));
  }
  m.expect_done();
  for (unsigned lane = 0; lane < m.lanes(); ++lane) {
    const U64 mask = rows == 1 ? 0xffffffff : ~U64{0};
    const U64 cell = lds ? m.lds<U64>(lane * 8) : m.data<U64>(lane * 8);
    EXPECT_EQ(cell & mask, test.after[lane % 4 * 4 + lane / 4 % 4]) << "lane " << lane;
    if (rows == 1) {
      EXPECT_EQ(cell >> 32, 0xeeeeeeeeu);
    }
    U64 returned = m.v(20)[lane];
    if (rows == 2) returned |= U64{m.v(21)[lane]} << 32;
    EXPECT_EQ(returned, test.old[lane % 4]) << "returned, lane " << lane;
  }
}

constexpr U64 kM = 0xffffffff;  // -1 as 32 bits
constexpr std::array<U64, 4> kOld = {0, 5, 0x80000000, kM};
constexpr std::array<U64, 4> kData = {0, 3, 7, kM};

TEST(IsaMemory, GlobalIntegerAtomics) {
  const AtomicCase cases[] = {
      {gfx942(R"(global_atomic_swap v20, v[2:3], v10, off sc0)"),
       kOld,
       kData,
       {0, 3, 7, kM, 0, 3, 7, kM, 0, 3, 7, kM, 0, 3, 7, kM}},
      {gfx942(R"(global_atomic_add v20, v[2:3], v10, off sc0)"),
       kOld,
       kData,
       {0, 3, 7, kM, 5, 8, 12, 4, 0x80000000, 0x80000003, 0x80000007, 0x7fffffff, kM, 2, 6,
        kM - 1}},
      {gfx1100(R"(global_atomic_sub_u32 v20, v[2:3], v10, off glc)"),
       kOld,
       kData,
       {0, kM - 2, kM - 6, 1, 5, 2, kM - 1, 6, 0x80000000, 0x7ffffffd, 0x7ffffff9, 0x80000001, kM,
        kM - 3, kM - 7, 0}},
      {gfx942(R"(global_atomic_smin v20, v[2:3], v10, off sc0)"),
       kOld,
       kData,
       {0, 0, 0, kM, 0, 3, 5, kM, 0x80000000, 0x80000000, 0x80000000, 0x80000000, kM, kM, kM, kM}},
      {gfx942(R"(global_atomic_umin v20, v[2:3], v10, off sc0)"),
       kOld,
       kData,
       {0, 0, 0, 0, 0, 3, 5, 5, 0, 3, 7, 0x80000000, 0, 3, 7, kM}},
      {gfx1100(R"(global_atomic_max_i32 v20, v[2:3], v10, off glc)"),
       kOld,
       kData,
       {0, 3, 7, 0, 5, 5, 7, 5, 0, 3, 7, kM, 0, 3, 7, kM}},
      {gfx1100(R"(global_atomic_max_u32 v20, v[2:3], v10, off glc)"),
       kOld,
       kData,
       {0, 3, 7, kM, 5, 5, 7, kM, 0x80000000, 0x80000000, 0x80000000, kM, kM, kM, kM, kM}},
      {gfx942(R"(global_atomic_and v20, v[2:3], v10, off sc0)"),
       kOld,
       kData,
       {0, 0, 0, 0, 0, 1, 5, 5, 0, 0, 0, 0x80000000, 0, 3, 7, kM}},
      {gfx942(R"(global_atomic_or v20, v[2:3], v10, off sc0)"),
       kOld,
       kData,
       {0, 3, 7, kM, 5, 7, 7, kM, 0x80000000, 0x80000003, 0x80000007, kM, kM, kM, kM, kM}},
      {gfx1100(R"(global_atomic_xor_b32 v20, v[2:3], v10, off glc)"),
       kOld,
       kData,
       {0, 3, 7, kM, 5, 6, 2, kM - 5, 0x80000000, 0x80000003, 0x80000007, 0x7fffffff, kM, kM - 3,
        kM - 7, 0}},
      {gfx942(R"(global_atomic_inc v20, v[2:3], v10, off sc0)"),
       kOld,
       kData,
       {0, 1, 1, 1, 0, 0, 6, 6, 0, 0, 0, 0x80000001, 0, 0, 0, 0}},
      {gfx942(R"(global_atomic_dec v20, v[2:3], v10, off sc0)"),
       kOld,
       kData,
       {0, 3, 7, kM, 0, 3, 4, 4, 0, 3, 7, 0x7fffffff, 0, 3, 7, kM - 1}},
      {gfx1100(R"(global_atomic_csub_u32 v20, v[2:3], v10, off glc)"),
       kOld,
       kData,
       {0, 0, 0, 0, 5, 2, 0, 0, 0x80000000, 0x7ffffffd, 0x7ffffff9, 0, kM, kM - 3, kM - 7, 0}},
      {gfx942(R"(global_atomic_cmpswap v20, v[2:3], v[10:11], off sc0)"),
       kOld,
       kData,
       {0, 0, 0, 0, 0, 3, 7, kM, 0x80000000, 0x80000000, 0x80000000, 0x80000000, kM, kM, kM, kM},
       5},
      {gfx942(R"(flat_atomic_add v20, v[2:3], v10 sc0)"),
       kOld,
       kData,
       {0, 3, 7, kM, 5, 8, 12, 4, 0x80000000, 0x80000003, 0x80000007, 0x7fffffff, kM, 2, 6,
        kM - 1}},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i)
    check_atomic(cases[i], false, "case " + std::to_string(i));
}

constexpr U64 kTop = U64{1} << 63, kAll = ~U64{0};
constexpr std::array<U64, 4> kOld64 = {0, 0x500000000, kTop, kAll};
constexpr std::array<U64, 4> kData64 = {0, 0x300000000, 0x700000001, kAll};

TEST(IsaMemory, GlobalIntegerAtomicsOf64Bits) {
  const AtomicCase cases[] = {
      {gfx942(R"(global_atomic_add_x2 v[20:21], v[2:3], v[10:11], off sc0)"),
       kOld64,
       kData64,
       {0, 0x300000000, 0x700000001, kAll, 0x500000000, 0x800000000, 0xc00000001, 0x4ffffffff, kTop,
        kTop + 0x300000000, kTop + 0x700000001, kTop - 1, kAll, 0x2ffffffff, 0x700000000, kAll - 1},
       0,
       8},
      {gfx1100(R"(global_atomic_min_i64 v[20:21], v[2:3], v[10:11], off glc)"),
       kOld64,
       kData64,
       {0, 0, 0, kAll, 0, 0x300000000, 0x500000000, kAll, kTop, kTop, kTop, kTop, kAll, kAll, kAll,
        kAll},
       0,
       8},
      {gfx942(R"(global_atomic_umax_x2 v[20:21], v[2:3], v[10:11], off sc0)"),
       kOld64,
       kData64,
       {0, 0x300000000, 0x700000001, kAll, 0x500000000, 0x500000000, 0x700000001, kAll, kTop, kTop,
        kTop, kAll, kAll, kAll, kAll, kAll},
       0,
       8},
      {gfx942(R"(global_atomic_cmpswap_x2 v[20:21], v[2:3], v[10:13], off sc0)"),
       kOld64,
       kData64,
       {0, 0, 0, 0, 0, 0x300000000, 0x700000001, kAll, kTop, kTop, kTop, kTop, kAll, kAll, kAll,
        kAll},
       0x500000000,
       8},
      {gfx1100(R"(global_atomic_dec_u64 v[20:21], v[2:3], v[10:11], off glc)"),
       kOld64,
       kData64,
       {0, 0x300000000, 0x700000001, kAll, 0, 0x300000000, 0x4ffffffff, 0x4ffffffff, 0, 0x300000000,
        0x700000001, kTop - 1, 0, 0x300000000, 0x700000001, kAll - 1},
       0,
       8},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i)
    check_atomic(cases[i], false, "case " + std::to_string(i));
}

U64 f(float value) {
  return std::bit_cast<U32>(value);
}
U64 d(double value) {
  return std::bit_cast<U64>(value);
}

TEST(IsaMemory, FloatAtomics) {
  const std::array<U64, 4> old = {f(0), f(1.5f), f(-2), f(1e30f)};
  const std::array<U64, 4> data = {f(0.25f), f(-1.5f), f(1e30f), f(-0.0f)};
  const std::array<U64, 16> sums = {f(0.25f), f(-1.5f), f(1e30f),  f(0.0f),  f(1.75f), f(0),
                                    f(1e30f), f(1.5f),  f(-1.75f), f(-3.5f), f(1e30f), f(-2),
                                    f(1e30f), f(1e30f), f(2e30f),  f(1e30f)};
  check_atomic({gfx942(R"(global_atomic_add_f32 v20, v[2:3], v10, off sc0)"), old, data, sums},
               false, "add f32");
  check_atomic({gfx1100(R"(global_atomic_add_f32 v20, v[2:3], v10, off glc)"), old, data, sums},
               false, "add f32");
  check_atomic({gfx942(R"(ds_add_rtn_f32 v20, v8, v10)"), old, data, sums}, true, "ds add f32");
  check_atomic({gfx1100(R"(global_atomic_min_f32 v20, v[2:3], v10, off glc)"),
                old,
                data,
                {f(0), f(-1.5f), f(0), f(0), f(0.25f), f(-1.5f), f(1.5f), f(-0.0f), f(-2), f(-2),
                 f(-2), f(-2), f(0.25f), f(-1.5f), f(1e30f), f(-0.0f)}},
               false, "min f32");
  check_atomic({gfx1100(R"(global_atomic_cmpswap_f32 v20, v[2:3], v[10:11], off glc)"),
                old,
                data,
                // -0 equals the old 0.
                {f(0.25f), f(-1.5f), f(1e30f), f(-0.0f), f(1.5f), f(1.5f), f(1.5f), f(1.5f), f(-2),
                 f(-2), f(-2), f(-2), f(1e30f), f(1e30f), f(1e30f), f(1e30f)},
                f(-0.0f)},
               false, "cmpswap f32");

  const std::array<U64, 4> old64 = {d(0), d(1.5), d(-2), d(1e300)};
  const std::array<U64, 4> data64 = {d(0.25), d(-1.5), d(1e300), d(3)};
  check_atomic({gfx942(R"(global_atomic_add_f64 v[20:21], v[2:3], v[10:11], off sc0)"),
                old64,
                data64,
                {d(0.25), d(-1.5), d(1e300), d(3), d(1.75), d(0), d(1e300), d(4.5), d(-1.75),
                 d(-3.5), d(1e300), d(1), d(1e300), d(1e300), d(2e300), d(1e300)},
                0,
                8},
               false, "add f64");
  check_atomic({gfx942(R"(ds_max_rtn_f64 v[20:21], v8, v[10:11])"),
                old64,
                data64,
                {d(0.25), d(0), d(1e300), d(3), d(1.5), d(1.5), d(1e300), d(3), d(0.25), d(-1.5),
                 d(1e300), d(3), d(1e300), d(1e300), d(1e300), d(1e300)},
                0,
                8},
               true, "ds max f64");

  // IEEE halves: 0x3c00 1, 0x4000 2, 0x0001 2^-24, 0x7bff 65504, 0x3c01 1 + 2^-10, 0xc000 -2.
  check_atomic({gfx942(R"(global_atomic_pk_add_f16 v20, v[2:3], v10, off sc0)"),
                {0x3c004000, 0x00010001, 0x7bff3c00, 0x3c013c01},
                {0x3c003c00, 0x00010001, 0x7bff1000, 0xc000c000},
                {0x40004200, 0x3c004000, 0x7bff4000, 0xbc000000,  // 65505 and 2 + 2^-11 round down
                 0x3c003c00, 0x00020002, 0x7bff1000, 0xc000c000, 0x7bff4000, 0x7bff3c00, 0x7c003c00,
                 0x7bffbc00, 0x40004000, 0x3c013c01, 0x7bff3c02, 0xbbfebbfe}},
               false, "pk_add_f16");
  // bfloats: 0x3f80 1, 0x4000 2, 0x3f81 1 + 2^-7, 0x3b80 2^-8, 0x7f7f the largest.
  check_atomic({gfx942(R"(global_atomic_pk_add_bf16 v20, v[2:3], v10, off sc0)"),
                {0x3f803f81, 0x40000000, 0x7f7f3f80, 0x80008000},
                {0x3b803b80, 0x3f803f80, 0x7f7f3f80, 0x00008000},
                {0x3f803f82, 0x40004000, 0x7f7f4000, 0x3f803f81, 0x40003b80, 0x40403f80, 0x7f7f3f80,
                 0x40000000, 0x7f7f3f80, 0x7f7f4000, 0x7f804000, 0x7f7f3f80, 0x3b803b80, 0x3f803f80,
                 0x7f7f3f80, 0x00008000}},
               false, "pk_add_bf16");
}

TEST(IsaMemory, ContendedAtomicsAreServedInLaneOrder) {
  Machine m(gfx942(R"(global_atomic_add v20, v2, v10, s[2:3] sc0
global_atomic_add v2, v10, s[2:3])"));
  m.set_data<U32>(0, 1000);
  m.start();
  m.set_s64(2, Machine::kData);
  m.fill(2, [](unsigned) { return 0; });
  m.fill(10, [](unsigned lane) { return lane + 1; });
  m.wave().set_exec(kEveryThird);
  m.expect_done();
  U32 expected = 1000;
  for (unsigned lane = 0; lane < 64; ++lane)
    if (active(kEveryThird, lane)) {
      EXPECT_EQ(m.v(20)[lane], expected);
      expected += lane + 1;
    }
  EXPECT_EQ(m.data<U32>(0), 1000 + 2 * (expected - 1000));
}

// ---- Scratch and FLAT.

/// LLVM AMDGPUUsage, private address space: base + (a / 4) * wave size * 4 + lane * 4 + a % 4.
std::size_t private_place(const Machine& m, unsigned lane, U32 address) {
  return address / 4 * m.lanes() * 4 + lane * 4 + address % 4;
}

TEST(IsaMemory, ScratchAddressesAndLayout) {
  const Code codes[] = {gfx942(R"(scratch_store_dword v2, v10, off offset:4
scratch_store_dwordx3 off, v[10:12], s4 offset:16
scratch_store_byte v2, v11, s4 offset:65
scratch_store_dword off, v12, off offset:128
scratch_load_dword v20, v2, off offset:4
scratch_load_dwordx3 v[30:32], off, s4 offset:16
scratch_load_ubyte v24, v2, s4 offset:65
scratch_load_dword v25, off, off offset:128
scratch_store_dwordx2 v3, v[10:11], off offset:256
scratch_load_dwordx2 v[26:27], v3, off offset:256)"),
                        gfx1100(R"(scratch_store_b32 v2, v10, off offset:4
scratch_store_b96 off, v[10:12], s4 offset:16
scratch_store_b8 v2, v11, s4 offset:65
scratch_store_b32 off, v12, off offset:128
scratch_load_b32 v20, v2, off offset:4
scratch_load_b96 v[30:32], off, s4 offset:16
scratch_load_u8 v24, v2, s4 offset:65
scratch_load_b32 v25, off, off offset:128
scratch_store_b64 v3, v[10:11], off offset:256
scratch_load_b64 v[26:27], v3, off offset:256)")};
  for (const Code& code : codes) {
    Machine m(code);
    m.start();
    m.s(4) = 16;
    m.fill(2, [](unsigned lane) { return lane % 4 * 4; });
    m.fill(3, [](unsigned lane) { return lane % 5 + 1; });  // misaligned
    for (unsigned k = 0; k < 3; ++k)
      m.fill(10 + k, [&](unsigned lane) { return 0x01234567u * (k + 1) + lane; });
    m.expect_done();
    for (unsigned lane = 0; lane < m.lanes(); ++lane) {
      const U32 v2 = lane % 4 * 4;
      EXPECT_EQ(m.scratch<U32>(private_place(m, lane, v2 + 4)), m.v(10)[lane]);
      EXPECT_EQ(m.v(20)[lane], m.v(10)[lane]);
      for (unsigned k = 0; k < 3; ++k) {
        EXPECT_EQ(m.scratch<U32>(private_place(m, lane, 32 + 4 * k)), m.v(10 + k)[lane]);
        EXPECT_EQ(m.v(30 + k)[lane], m.v(10 + k)[lane]);
      }
      EXPECT_EQ(m.scratch<U8>(private_place(m, lane, v2 + 16 + 65)), m.v(11)[lane] & 0xff);
      EXPECT_EQ(m.v(24)[lane], m.v(11)[lane] & 0xff);
      EXPECT_EQ(m.scratch<U32>(private_place(m, lane, 128)), m.v(12)[lane]);
      EXPECT_EQ(m.v(25)[lane], m.v(12)[lane]);
      EXPECT_EQ(m.v(26)[lane], m.v(10)[lane]);
      EXPECT_EQ(m.v(27)[lane], m.v(11)[lane]);
      EXPECT_EQ(m.scratch<U8>(private_place(m, lane, 256 + lane % 5 + 1 + 4)),
                m.v(11)[lane] & 0xff);
    }
  }
}

TEST(IsaMemory, ScratchOverrunHalts) {
  Machine m(gfx942(R"(scratch_store_dword v2, v10, off)"));
  m.start();
  m.fill(2, [](unsigned) { return static_cast<U32>(Machine::kScratchWaveBytes / 64); });
  EXPECT_EQ(m.finish(), RunStatus::Halted);
  EXPECT_NE(halt_reason(*m.group).find("scratch_store_dword"), std::string::npos);
}

TEST(IsaMemory, FlatReachesAllThreeSegments) {
  const Code codes[] = {gfx942(R"(flat_store_dwordx2 v[2:3], v[10:11] offset:8
flat_load_dwordx2 v[20:21], v[2:3] offset:8
scratch_load_dword v22, v4, off
flat_atomic_add v23, v[2:3], v12 offset:8 sc0)"),
                        gfx1100(R"(flat_store_b64 v[2:3], v[10:11] offset:8
flat_load_b64 v[20:21], v[2:3] offset:8
scratch_load_b32 v22, v4, off
flat_atomic_add_u32 v23, v[2:3], v12 offset:8 glc)")};
  for (const Code& code : codes) {
    Machine m(code);
    m.start();
    m.fill64(2, [](unsigned lane) {
      const U64 bases[] = {Machine::kData, Machine::kShared, Machine::kPrivate};
      return bases[lane % 3] + lane * 16;
    });
    m.fill(4, [](unsigned lane) { return lane * 16 + 8; });
    m.fill(10, [](unsigned lane) { return 5000 + lane; });
    m.fill(11, [](unsigned lane) { return 9000 + lane; });
    m.fill(12, [](unsigned lane) { return lane; });
    m.expect_done();
    for (unsigned lane = 0; lane < m.lanes(); ++lane) {
      EXPECT_EQ(m.v(20)[lane], 5000 + lane);
      EXPECT_EQ(m.v(21)[lane], 9000 + lane);
      EXPECT_EQ(m.v(22)[lane], lane % 3 == 2 ? 5000 + lane : 0);
      EXPECT_EQ(m.v(23)[lane], 5000 + lane);
      const std::size_t at = lane * 16 + 8;
      const U32 stored = lane % 3 == 0   ? m.data<U32>(at)
                         : lane % 3 == 1 ? m.lds<U32>(at)
                                         : m.scratch<U32>(private_place(m, lane, lane * 16 + 8));
      EXPECT_EQ(stored, 5000 + 2 * lane);
    }
  }
}

TEST(IsaMemory, GlobalLoadToLds) {
  Machine m(gfx942(R"(s_mov_b32 m0, 512
global_load_lds_dword v[2:3], off offset:16
global_load_lds_sbyte v[2:3], off offset:1024)"));
  fill_data(m);
  m.start();
  m.fill64(2, [](unsigned lane) { return Machine::kData + lane * 20; });
  m.wave().set_exec(kEveryThird);
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.lds<U32>(512 + 16 + lane * 4),
              active(kEveryThird, lane) ? m.data<U32>(lane * 20 + 16) : 0);
    EXPECT_EQ(m.lds<std::int32_t>(512 + 1024 + lane * 4),
              active(kEveryThird, lane) ? m.data<std::int8_t>(lane * 20 + 1024) : 0);
  }
}

// ---- DS.

TEST(IsaLds, LoadsAndStores) {
  const Code codes[] = {gfx942(R"(ds_write_b8 v2, v10
ds_write_b8_d16_hi v2, v10 offset:1
ds_write_b16 v2, v10 offset:2
ds_write_b16_d16_hi v2, v10 offset:4
ds_write_b64 v2, v[10:11] offset:8
ds_write2_b32 v2, v12, v13 offset0:4 offset1:6
ds_write2_b64 v2, v[10:11], v[12:13] offset0:4 offset1:5
ds_write_b96 v2, v[10:12] offset:48
ds_read_u8 v20, v2
ds_read_i8 v21, v2 offset:1
ds_read_u16 v22, v2 offset:2
ds_read_i16 v23, v2 offset:4
ds_read2_b32 v[24:25], v2 offset0:4 offset1:6
ds_read2_b64 v[26:29], v2 offset0:4 offset1:5
ds_read_b96 v[30:32], v2 offset:48
ds_read_b128 v[34:37], v2 offset:32
ds_read_u16_d16 v38, v2 offset:2
ds_read_u8_d16_hi v39, v2 offset:1)"),
                        gfx1100(R"(ds_store_b8 v2, v10
ds_store_b8_d16_hi v2, v10 offset:1
ds_store_b16 v2, v10 offset:2
ds_store_b16_d16_hi v2, v10 offset:4
ds_store_b64 v2, v[10:11] offset:8
ds_store_2addr_b32 v2, v12, v13 offset0:4 offset1:6
ds_store_2addr_b64 v2, v[10:11], v[12:13] offset0:4 offset1:5
ds_store_b96 v2, v[10:12] offset:48
ds_load_u8 v20, v2
ds_load_i8 v21, v2 offset:1
ds_load_u16 v22, v2 offset:2
ds_load_i16 v23, v2 offset:4
ds_load_2addr_b32 v[24:25], v2 offset0:4 offset1:6
ds_load_2addr_b64 v[26:29], v2 offset0:4 offset1:5
ds_load_b96 v[30:32], v2 offset:48
ds_load_b128 v[34:37], v2 offset:32
ds_load_u16_d16 v38, v2 offset:2
ds_load_u8_d16_hi v39, v2 offset:1)")};
  for (const Code& code : codes) {
    for (U64 mask : {~U64{0}, kEveryThird}) {
      Machine m(code);
      m.start();
      m.fill(2, [](unsigned lane) { return lane * 64; });
      for (unsigned k = 0; k < 4; ++k)
        m.fill(10 + k, [&](unsigned lane) { return 0xf1e2d3c4u * (k + 1) + lane * 0x01010101; });
      for (unsigned reg = 20; reg < 40; ++reg) m.fill(reg, [](unsigned) { return kUntouched; });
      m.wave().set_exec(mask);
      m.expect_done();
      mask = m.wave().exec();
      const auto in = [&](unsigned k) {
        return [&m, k](unsigned lane) { return m.v(10 + k)[lane]; };
      };
      expect_lanes(m, 20, mask, [&](unsigned l) { return m.v(10)[l] & 0xff; });
      expect_lanes(m, 21, mask,
                   [&](unsigned l) { return static_cast<std::int8_t>(m.v(10)[l] >> 16); });
      expect_lanes(m, 22, mask, [&](unsigned l) { return m.v(10)[l] & 0xffff; });
      expect_lanes(m, 23, mask,
                   [&](unsigned l) { return static_cast<std::int16_t>(m.v(10)[l] >> 16); });
      expect_lanes(m, 24, mask, in(2));
      expect_lanes(m, 25, mask, in(3));
      for (unsigned k = 0; k < 4; ++k) expect_lanes(m, 26 + k, mask, in(k));
      for (unsigned k = 0; k < 3; ++k) expect_lanes(m, 30 + k, mask, in(k));
      for (unsigned k = 0; k < 4; ++k) expect_lanes(m, 34 + k, mask, in(k));
      expect_lanes(m, 38, mask,
                   [&](unsigned l) { return (kUntouched & 0xffff0000) | (m.v(10)[l] & 0xffff); });
      expect_lanes(m, 39, mask, [&](unsigned l) {
        return (m.v(10)[l] >> 16 & 0xff) << 16 | (kUntouched & 0xffff);
      });
    }
  }
}

TEST(IsaLds, ConsecutiveBroadcastAndStride64) {
  Machine m(gfx942(R"(ds_write_b32 v2, v10 offset:256
ds_read_b32 v20, v2 offset:256
ds_read_b32 v21, v3 offset:256
ds_read_b64 v[22:23], v3 offset:256
ds_read2st64_b32 v[24:25], v2 offset0:1 offset1:2
ds_write2st64_b64 v2, v[10:11], v[10:11] offset0:2 offset1:3)"));
  m.start();
  m.fill(2, [](unsigned lane) { return lane * 4; });
  m.fill(3, [](unsigned) { return 20; });
  m.fill(10, [](unsigned lane) { return 7000 + lane; });
  m.fill(11, [](unsigned lane) { return 8000 + lane; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.v(20)[lane], 7000 + lane);
    EXPECT_EQ(m.v(21)[lane], 7005u);
    EXPECT_EQ(m.v(22)[lane], 7005u);
    EXPECT_EQ(m.v(23)[lane], 7006u);
    EXPECT_EQ(m.v(24)[lane], 7000 + lane);
    EXPECT_EQ(m.v(25)[lane], 0u);
    // Eight bytes every four: each lane's high dword is overwritten by the next lane's low one.
    EXPECT_EQ(m.lds<U32>(1024 + lane * 4), 7000 + lane);
    EXPECT_EQ(m.lds<U32>(1536 + lane * 4), 7000 + lane);
  }
  EXPECT_EQ(m.lds<U32>(1536 + 64 * 4), 8063u);
}

TEST(IsaLds, OutOfRangeReadsZeroAndDropsWrites) {
  Machine m(gfx1100(R"(ds_store_b64 v2, v[10:11]
ds_load_b64 v[20:21], v2
ds_add_rtn_u32 v22, v3, v10)"));
  m.dispatch.lds_bytes = 512;
  m.start();
  for (std::size_t i = 0; i < 512; i += 4) m.set_lds<U32>(i, 0x77777777);
  // Lane 31's second dword is past the end, later ones do not exist; lane 0 wraps to below zero.
  m.fill(2, [](unsigned lane) { return lane == 0 ? 0xfffffff8u : 508 - (31 - lane) * 8; });
  m.fill(3, [](unsigned lane) { return lane * 512; });
  m.fill(10, [](unsigned lane) { return lane + 1; });
  m.fill(11, [](unsigned lane) { return lane + 1001; });
  m.expect_done();
  EXPECT_EQ(m.v(20)[0], 0u);
  EXPECT_EQ(m.v(21)[0], 0u);
  EXPECT_EQ(m.v(20)[31], 32u);
  EXPECT_EQ(m.v(21)[31], 0u);
  for (unsigned lane = 1; lane < 31; ++lane) {
    EXPECT_EQ(m.v(20)[lane], lane + 1);
    EXPECT_EQ(m.v(21)[lane], lane + 1001);
  }
  EXPECT_EQ(m.v(22)[0], 0x77777777u);
  EXPECT_EQ(m.lds<U32>(0), 0x77777778u);
  for (unsigned lane = 1; lane < 32; ++lane) EXPECT_EQ(m.v(22)[lane], 0u);
}

TEST(IsaLds, Atomics) {
  const AtomicCase cases[] = {
      {gfx942(R"(ds_rsub_rtn_u32 v20, v8, v10)"),
       kOld,
       kData,
       {0, 3, 7, kM, kM - 4, kM - 1, 2, kM - 5, 0x80000000, 0x80000003, 0x80000007, 0x7fffffff, 1,
        4, 8, 0}},
      {gfx942(R"(ds_mskor_rtn_b32 v20, v8, v10, v11)"),
       kOld,
       kData,
       {0x10, 0x10, 0x10, 0x10, 0x15, 0x14, 0x10, 0x10, 0x80000010, 0x80000010, 0x80000010, 0x10,
        kM, kM - 3, kM - 7, 0x10},
       0x10},
      // gfx9: the first operand is compared, the second stored; gfx11 the other way round.
      {gfx942(R"(ds_cmpst_rtn_b32 v20, v8, v10, v11)"),
       kOld,
       {0, 5, 0x80000000, 1},
       {99, 0, 0, 0, 5, 99, 5, 5, 0x80000000, 0x80000000, 99, 0x80000000, kM, kM, kM, kM},
       99},
      {gfx1100(R"(ds_cmpstore_rtn_b32 v20, v8, v10, v11)"),
       kOld,
       kData,
       {0, 0, 0, 0, 0, 3, 7, kM, 0x80000000, 0x80000000, 0x80000000, 0x80000000, kM, kM, kM, kM},
       5},
      {gfx1100(R"(ds_wrap_rtn_b32 v20, v8, v10, v11)"),
       kOld,
       kData,
       {0, 100, 100, 100, 5, 2, 105, 105, 0x80000000, 0x7ffffffd, 0x7ffffff9, 0x80000064, kM,
        kM - 3, kM - 7, 0},
       100},
      {gfx942(R"(ds_wrxchg_rtn_b64 v[20:21], v8, v[10:11])"),
       kOld64,
       kData64,
       {kData64[0], kData64[1], kData64[2], kData64[3], kData64[0], kData64[1], kData64[2],
        kData64[3], kData64[0], kData64[1], kData64[2], kData64[3], kData64[0], kData64[1],
        kData64[2], kData64[3]},
       0,
       8},
      {gfx1100(R"(ds_max_rtn_i64 v[20:21], v8, v[10:11])"),
       kOld64,
       kData64,
       {0, 0x300000000, 0x700000001, 0, 0x500000000, 0x500000000, 0x700000001, 0x500000000, 0,
        0x300000000, 0x700000001, kAll, 0, 0x300000000, 0x700000001, kAll},
       0,
       8},
  };
  for (std::size_t i = 0; i < std::size(cases); ++i)
    check_atomic(cases[i], true, "case " + std::to_string(i));
}

TEST(IsaLds, AtomicsWithoutReturnAndExchangeOfTwo) {
  Machine m(gfx942(R"(ds_add_u32 v2, v10
ds_wrxchg2_rtn_b32 v[20:21], v3, v10, v11 offset0:1 offset1:3)"));
  m.start();
  m.set_lds<U32>(0, 5);
  for (unsigned lane = 0; lane < 64; ++lane)
    for (unsigned k = 1; k < 4; ++k) m.set_lds<U32>(64 + lane * 16 + k * 4, lane * 10 + k);
  m.fill(2, [](unsigned) { return 0; });
  m.fill(3, [](unsigned lane) { return 64 + lane * 16; });
  m.fill(10, [](unsigned lane) { return lane; });
  m.fill(11, [](unsigned lane) { return lane + 500; });
  m.expect_done();
  EXPECT_EQ(m.lds<U32>(0), 5u + 63 * 64 / 2);
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.v(20)[lane], lane * 10 + 1);
    EXPECT_EQ(m.v(21)[lane], lane * 10 + 3);
    EXPECT_EQ(m.lds<U32>(64 + lane * 16 + 4), lane);
    EXPECT_EQ(m.lds<U32>(64 + lane * 16 + 8), lane * 10 + 2);
    EXPECT_EQ(m.lds<U32>(64 + lane * 16 + 12), lane + 500);
  }
}

TEST(IsaLds, AppendConsumeAndThreadIdAddresses) {
  Machine m(gfx942(R"(s_mov_b32 m0, 64
ds_append v20 offset:8
ds_consume v21 offset:12
ds_write_addtid_b32 v10 offset:128
ds_read_addtid_b32 v22 offset:128)"));
  m.start();
  m.set_lds<U32>(72, 1000);
  m.set_lds<U32>(76, 2000);
  m.fill(10, [](unsigned lane) { return lane * 3; });
  for (unsigned reg = 20; reg < 23; ++reg) m.fill(reg, [](unsigned) { return kUntouched; });
  m.wave().set_exec(kEveryThird);
  m.expect_done();
  const auto count = static_cast<U32>(std::popcount(kEveryThird));
  EXPECT_EQ(m.lds<U32>(72), 1000 + count);
  EXPECT_EQ(m.lds<U32>(76), 2000 - count);
  expect_lanes(m, 20, kEveryThird, [](unsigned) { return 1000; });
  expect_lanes(m, 21, kEveryThird, [](unsigned) { return 2000; });
  expect_lanes(m, 22, kEveryThird, [](unsigned lane) { return lane * 3; });
  EXPECT_EQ(m.lds<U32>(64 + 128 + 3 * 4), 9u);
}

void exchange(const Code& code, U64 mask, const auto& selector, const auto& expected) {
  Machine m(code);
  m.start();
  m.fill(2, selector);
  m.fill(10, [](unsigned lane) { return 100 + lane; });
  m.fill(20, [](unsigned) { return kUntouched; });
  m.wave().set_exec(mask);
  m.expect_done();
  expect_lanes(m, 20, m.wave().exec(), expected);
}

TEST(IsaLds, PermutesAcrossTheWave) {
  const auto reverse = [](unsigned lane) {
    return (63 - lane) * 4 + 256;
  };  // high bits are ignored
  exchange(gfx942(R"(ds_bpermute_b32 v20, v2, v10)"), ~U64{0}, reverse,
           [](unsigned lane) { return 163 - lane; });
  exchange(gfx942(R"(ds_bpermute_b32 v20, v2, v10 offset:4)"), ~U64{0}, reverse,
           [](unsigned lane) { return 100 + (64 - lane) % 64; });
  // An inactive source gives 0.
  exchange(gfx942(R"(ds_bpermute_b32 v20, v2, v10)"), 0xffffffff, reverse,
           [](unsigned) { return 0; });
  // Pushing: pairs collide, the higher lane wins; lanes that nobody chose get 0.
  exchange(
      gfx942(R"(ds_permute_b32 v20, v2, v10)"), ~U64{0},
      [](unsigned lane) { return (lane & ~1u) * 4; },
      [](unsigned lane) { return lane % 2 == 0 ? 101 + lane : 0; });
  // gfx11 exchanges within halves of 32 lanes, in wave64 as well.
  exchange(gfx1100(R"(ds_bpermute_b32 v20, v2, v10)"), 0xffffffff, reverse,
           [](unsigned lane) { return 131 - lane; });
  exchange(gfx1100_wave64(R"(ds_bpermute_b32 v20, v2, v10)"), ~U64{0}, reverse,
           [](unsigned lane) { return 100 + (lane & 32) + (31 - lane % 32); });
  exchange(gfx1100_wave64(R"(ds_permute_b32 v20, v2, v10)"), ~U64{0}, reverse,
           [](unsigned lane) { return 100 + (lane & 32) + (31 - lane % 32); });
}

TEST(IsaLds, SwizzlePatterns) {
  const auto none = [](unsigned) { return 0; };
  // Names and encodings as in LLVM's "swizzle" operand: the macros say what is meant.
  exchange(gfx942(R"(ds_swizzle_b32 v20, v10 offset:swizzle(QUAD_PERM,3,0,2,1))"), ~U64{0}, none,
           [](unsigned lane) {
             const unsigned order[] = {3, 0, 2, 1};
             return 100 + (lane & ~3u) + order[lane & 3];
           });
  exchange(gfx942(R"(ds_swizzle_b32 v20, v10 offset:swizzle(SWAP,8))"), ~U64{0}, none,
           [](unsigned lane) { return 100 + (lane ^ 8); });
  exchange(gfx1100(R"(ds_swizzle_b32 v20, v10 offset:swizzle(REVERSE,32))"), 0xffffffff, none,
           [](unsigned lane) { return 100 + (lane ^ 31); });
  exchange(gfx1100(R"(ds_swizzle_b32 v20, v10 offset:swizzle(BROADCAST,16,5))"), 0xffffffff, none,
           [](unsigned lane) { return 100 + (lane & ~15u) + 5; });
  exchange(gfx942(R"(ds_swizzle_b32 v20, v10 offset:swizzle(SWAP,16))"), 0x0000ffff0000ffff, none,
           [](unsigned) { return 0; });
  // RDNA3 ISA: 0xc000 | direction 10 | distance 9:5 | mask 4:0. Rotate by 3 within all 32 lanes.
  exchange(gfx1100(R"(ds_swizzle_b32 v20, v10 offset:0xc060)"), 0xffffffff, none,
           [](unsigned lane) { return 100 + (lane + 3) % 32; });
  exchange(gfx1100(R"(ds_swizzle_b32 v20, v10 offset:0xc460)"), 0xffffffff, none,
           [](unsigned lane) { return 100 + (lane + 29) % 32; });
  // FFT with mask 0x1f is the identity, with mask 0 the bit-reversed order.
  exchange(gfx942(R"(ds_swizzle_b32 v20, v10 offset:0xe01f)"), ~U64{0}, none,
           [](unsigned lane) { return 100 + lane; });
  exchange(gfx942(R"(ds_swizzle_b32 v20, v10 offset:0xe000)"), ~U64{0}, none, [](unsigned lane) {
    unsigned reversed = 0;
    for (unsigned bit = 0; bit < 5; ++bit) reversed |= (lane >> bit & 1) << (4 - bit);
    return 100 + (lane & 32) + reversed;
  });
}

// ---- Buffers.

constexpr U32 kRaw942 = 0x00027000, kRaw1100 = 0x31027000;  // what LLVM's and HIP's headers use

TEST(IsaBuffer, RawOffsetsAndRange) {
  const Code codes[] = {gfx942(R"(buffer_load_dword v20, v2, s[4:7], s8 offen offset:4
buffer_load_dwordx4 v[24:27], v2, s[4:7], 0 offen
buffer_store_dwordx2 v[10:11], v2, s[12:15], 0 offen offset:8
buffer_load_sbyte v21, off, s[4:7], s8 offset:7)"),
                        gfx1100(R"(buffer_load_b32 v20, v2, s[4:7], s8 offen offset:4
buffer_load_b128 v[24:27], v2, s[4:7], 0 offen
buffer_store_b64 v[10:11], v2, s[12:15], 0 offen offset:8
buffer_load_i8 v21, off, s[4:7], s8 offset:7)")};
  for (const Code& code : codes) {
    Machine m(code);
    fill_data(m);
    m.start();
    constexpr U32 kRecords = 16 * 20 + 8;
    m.set_s64(4, Machine::kData);
    m.s(6) = kRecords;
    m.s(7) = m.dispatch.arch == Arch::Cdna3 ? kRaw942 : kRaw1100;
    m.set_s64(12, Machine::kData + 8192);
    m.s(14) = 160 + 12;
    m.s(15) = m.s(7);
    m.s(8) = 8;
    m.fill(2, [](unsigned lane) { return lane * 16; });
    m.fill(10, [](unsigned lane) { return 70000 + lane; });
    m.fill(11, [](unsigned lane) { return 80000 + lane; });
    std::vector<U32> before;
    for (unsigned i = 0; i < 600; ++i) before.push_back(m.data<U32>(8192 + i * 4));
    m.expect_done();
    for (unsigned lane = 0; lane < m.lanes(); ++lane) {
      // The scalar offset shifts the address and shortens the range alike.
      EXPECT_EQ(m.v(20)[lane], lane * 16 + 4 + 4 <= kRecords - 8 ? m.data<U32>(lane * 16 + 12) : 0)
          << lane;
      for (unsigned k = 0; k < 4; ++k)
        EXPECT_EQ(m.v(24 + k)[lane],
                  lane * 16 + k * 4 + 4 <= kRecords ? m.data<U32>(lane * 16 + k * 4) : 0);
      EXPECT_EQ(static_cast<std::int32_t>(m.v(21)[lane]), m.data<std::int8_t>(15));
      for (unsigned k = 0; k < 2; ++k) {
        const unsigned at = lane * 16 + 8 + k * 4;
        EXPECT_EQ(m.data<U32>(8192 + at), at + 4 <= 172 ? m.v(10 + k)[lane] : before[at / 4]);
      }
    }
  }
}

TEST(IsaBuffer, StructuredIndexAndSwizzle) {
  {
    // Stride 24, five records: index in v2, offset in v3.
    Machine m(gfx942(R"(buffer_load_dwordx2 v[20:21], v[2:3], s[4:7], 0 idxen offen offset:4)"));
    fill_data(m);
    m.start();
    m.set_s64(4, Machine::kData | U64{24} << 48);
    m.s(6) = 5;
    m.s(7) = kRaw942;
    m.fill(2, [](unsigned lane) { return lane % 8; });
    m.fill(3, [](unsigned lane) { return lane / 8 % 2 * 8; });
    m.expect_done();
    for (unsigned lane = 0; lane < 64; ++lane)
      for (unsigned k = 0; k < 2; ++k) {
        const unsigned at = lane % 8 * 24 + lane / 8 % 2 * 8 + 4 + k * 4;
        EXPECT_EQ(m.v(20 + k)[lane], lane % 8 < 5 ? m.data<U32>(at) : 0);
      }
  }
  {
    // gfx11, swizzled by 4 bytes, index stride 8: ISA formula
    // (index / 8 * stride + offset / 4 * 4) * 8 + index % 8 * 4 + offset % 4.
    Machine m(gfx1100(R"(buffer_load_b64 v[20:21], v2, s[4:7], 0 idxen offset:4)"));
    fill_data(m);
    m.start();
    m.set_s64(4, Machine::kData | U64{16} << 48 | U64{1} << 62);
    m.s(6) = 30;
    m.s(7) = 1u << 28;  // index stride 8, OOB_SELECT 1: the index alone
    m.fill(2, [](unsigned lane) { return lane; });
    m.expect_done();
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned k = 0; k < 2; ++k) {
        const unsigned at = (lane / 8 * 16 + 4 + k * 4) * 8 + lane % 8 * 4;
        EXPECT_EQ(m.v(20 + k)[lane], lane < 30 ? m.data<U32>(at) : 0) << lane;
      }
  }
}

TEST(IsaBuffer, AtomicsSkipLanesOutOfRange) {
  Machine m(gfx942(R"(buffer_atomic_add v10, v2, s[4:7], 0 offen sc0)"));
  m.start();
  for (unsigned i = 0; i < 64; ++i) m.set_data<U32>(i * 4, 500 + i);
  m.set_s64(4, Machine::kData);
  m.s(6) = 40 * 4;
  m.s(7) = kRaw942;
  m.fill(2, [](unsigned lane) { return lane * 4; });
  m.fill(10, [](unsigned lane) { return lane; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.data<U32>(lane * 4), 500 + lane + (lane < 40 ? lane : 0));
    EXPECT_EQ(m.v(10)[lane], lane < 40 ? 500 + lane : 0);
  }
}

TEST(IsaBuffer, LoadToLds) {
  Machine m(gfx942(R"(s_mov_b32 m0, 256
buffer_load_dword v2, s[4:7], 0 offen offset:4 lds)"));
  fill_data(m);
  m.start();
  m.set_s64(4, Machine::kData);
  m.s(6) = 4096;
  m.s(7) = kRaw942;
  m.fill(2, [](unsigned lane) { return lane * 12; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane)
    EXPECT_EQ(m.lds<U32>(256 + 4 + lane * 4), m.data<U32>(lane * 12 + 4));
}

// ---- Cache control and scopes, seen by a cache model.

struct RecordingCaches : CacheModel {
  std::vector<std::string> seen;
  std::byte cell[8] = {};
  static std::string text(Client client, Scope scope) {
    const char* const clients[] = {"vector", "scalar", "fetch", "cp", "sdma"};
    const char* const scopes[] = {"wave", "workgroup", "agent", "system"};
    return std::string(clients[static_cast<int>(client)]) + " " + scopes[static_cast<int>(scope)];
  }
  void load(Client client, Scope scope, const Mapping& mapping, Va va, void* to,
            std::size_t bytes) override {
    if (client != Client::Fetch) seen.push_back("load " + text(client, scope));
    std::memcpy(to, mapping.host + (va - mapping.begin), bytes);
  }
  void store(Client client, Scope scope, const Mapping& mapping, Va va, const void* from,
             std::size_t bytes) override {
    seen.push_back("store " + text(client, scope));
    std::memcpy(mapping.host + (va - mapping.begin), from, bytes);
  }
  std::byte* begin_atomic(Client client, Scope scope, const Mapping& mapping, Va va,
                          std::size_t) override {
    seen.push_back("atomic " + text(client, scope));
    return mapping.host + (va - mapping.begin);
  }
  void end_atomic(Va, std::size_t) override { seen.push_back("end"); }
  void release(Client client, Scope scope) override {
    seen.push_back("release " + text(client, scope));
  }
  void acquire(Client client, Scope scope) override {
    seen.push_back("acquire " + text(client, scope));
  }
};

TEST(IsaMemory, ScopesOfGfx942) {
  Machine m(gfx942(R"(global_load_dword v10, v2, s[2:3]
global_load_dword v10, v2, s[2:3] sc0
global_load_dword v10, v2, s[2:3] sc1
global_load_dword v10, v2, s[2:3] sc0 sc1
global_store_dword v2, v10, s[2:3] sc0 sc1
global_atomic_add v2, v10, s[2:3]
global_atomic_add v11, v2, v10, s[2:3] sc0 sc1
buffer_wbl2 sc1
buffer_wbl2 sc0 sc1
buffer_inv sc0
buffer_inv sc1
s_load_dword s4, s[2:3], 0x0
s_dcache_inv)"));
  RecordingCaches caches;
  m.placement.caches = &caches;
  m.start();
  m.set_s64(2, Machine::kData);
  m.fill(2, [](unsigned) { return 0; });
  m.wave().set_exec(1);
  m.expect_done();
  const std::vector<std::string> expected = {"load vector wave",
                                             "load vector workgroup",
                                             "load vector agent",
                                             "load vector system",
                                             "store vector system",
                                             "atomic vector agent",
                                             "end",
                                             "atomic vector system",
                                             "end",
                                             "release vector agent",
                                             "release vector system",
                                             "acquire vector workgroup",
                                             "acquire vector agent",
                                             "load scalar wave",
                                             "acquire scalar agent"};
  EXPECT_EQ(caches.seen, expected);
}

TEST(IsaMemory, ScopesOfGfx90a) {
  Machine m(gfx90a(R"(buffer_wbl2
global_store_dword v2, v10, s[2:3]
global_load_dword v10, v2, s[2:3]
global_load_dword v10, v2, s[2:3] glc
global_load_dword v10, v2, s[2:3] glc scc
buffer_invl2
buffer_wbinvl1_vol
buffer_wbinvl1
global_atomic_add v2, v10, s[2:3]
global_atomic_add v2, v10, s[2:3] scc)"));
  RecordingCaches caches;
  m.placement.caches = &caches;
  m.start();
  m.set_s64(2, Machine::kData);
  m.fill(2, [](unsigned) { return 0; });
  m.wave().set_exec(1);
  m.expect_done();
  const std::vector<std::string> expected = {"release vector system", "store vector wave",
                                             "load vector wave",      "load vector agent",
                                             "load vector system",    "acquire vector system",
                                             "acquire vector agent",  "acquire vector agent",
                                             "atomic vector agent",   "end",
                                             "atomic vector system",  "end"};
  EXPECT_EQ(caches.seen, expected);
}

TEST(IsaMemory, ScopesOfGfx1100) {
  Machine m(gfx1100(R"(global_load_b32 v10, v2, s[2:3]
global_load_b32 v10, v2, s[2:3] glc
global_store_b32 v2, v10, s[2:3]
global_atomic_add_u32 v11, v2, v10, s[2:3] glc
buffer_gl0_inv
buffer_gl1_inv
s_load_b32 s4, s[2:3], 0x0 glc
s_gl1_inv
s_dcache_inv)"));
  RecordingCaches caches;
  m.placement.caches = &caches;
  m.start();
  m.set_s64(2, Machine::kData);
  m.fill(2, [](unsigned) { return 0; });
  m.wave().set_exec(1);
  m.expect_done();
  const std::vector<std::string> expected = {"load vector wave",
                                             "load vector agent",
                                             "store vector wave",
                                             "atomic vector agent",
                                             "end",
                                             "acquire vector workgroup",
                                             "acquire vector agent",
                                             "load scalar agent",
                                             "acquire vector agent",
                                             "acquire scalar agent"};
  EXPECT_EQ(caches.seen, expected);
}

/// With a cache model every path goes lane by lane; results must not differ.
TEST(IsaMemory, ModelledCachesGiveTheSameResults) {
  Machine m(kGlobalLoads942);
  RecordingCaches caches;
  m.placement.caches = &caches;
  fill_data(m);
  m.start();
  m.fill64(2, [](unsigned lane) { return Machine::kData + 64 + lane * 4; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.v(14)[lane], m.data<U32>(64 + lane * 4));
    for (unsigned k = 0; k < 4; ++k)
      EXPECT_EQ(m.v(24 + k)[lane], m.data<U32>(64 + 16 + lane * 4 + 4 * k));
  }
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

// Owns: what gfx90a's machine code does and gfx942's does not: scratch by descriptor and by the
//   FLAT_SCRATCH registers, loads to LDS by a bit, scalar stores and atomics, v_mad_f32.
// Does not own: matrix instructions (isa_matrix_test.cpp), what both have (isa_memory_test.cpp).
// Threading: none.
#include <cmath>

#include "isa_harness.hpp"

namespace kiln::vgpu::isa::test {
namespace {

using U32 = std::uint32_t;
using U64 = std::uint64_t;

/// The private segment's descriptor as ROCr builds it for gfx9 (amd_aql_queue.cpp, InitScratchSRD;
/// registers.h): swizzled, no stride, thread ids added, index stride 64; num_records counts the
/// whole of the queue's scratch.
void set_private_descriptor(Machine& m, unsigned first, U32 bytes) {
  m.set_s64(first, Machine::kScratch | U64{1} << 63);
  m.s(first + 2) = bytes;
  m.s(first + 3) =
      4 | 5u << 3 | 6u << 6 | 7u << 9 | 4u << 12 | 4u << 15 | 1u << 19 | 3u << 21 | 1u << 23;
}

/// Byte `at` of a lane's private segment, in the second wave's slot of 64 KiB (LLVM AMDGPUUsage,
/// "Private": dwords of the lanes lie side by side).
std::size_t slot(unsigned lane, unsigned at) {
  return 65536 + at / 4 * 256 + lane * 4 + at % 4;
}

TEST(IsaGfx90a, PrivateSegmentByDescriptor) {
  Machine m(gfx90a(R"(buffer_store_dword v10, off, s[4:7], s8 offset:16
buffer_store_dword v11, v2, s[4:7], s8 offen offset:4
buffer_store_byte v10, off, s[4:7], s8 offset:41
buffer_store_short v10, off, s[4:7], s8 offset:46
buffer_store_dwordx4 v[12:15], off, s[4:7], s8 offset:64
buffer_load_dword v20, off, s[4:7], s8 offset:16
buffer_load_dword v21, v2, s[4:7], s8 offen offset:4
buffer_load_ubyte v22, off, s[4:7], s8 offset:41
buffer_load_ushort v23, off, s[4:7], s8 offset:46
buffer_load_dwordx2 v[24:25], off, s[4:7], s8 offset:72)"));
  m.start();
  set_private_descriptor(m, 4, 16 * Machine::kScratchWaveBytes);
  m.s(8) = 65536;  // the wave's offset, which is not swizzled
  for (unsigned reg = 10; reg < 16; ++reg)
    m.fill(reg, [&](unsigned lane) { return 0x01000000u * reg + 0x10000u * lane + lane * 3 + 7; });
  m.fill(2, [](unsigned lane) { return 128 + lane % 4 * 4; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.scratch<U32>(slot(lane, 16)), m.v(10)[lane]);
    EXPECT_EQ(m.scratch<U32>(slot(lane, 132 + lane % 4 * 4)), m.v(11)[lane]);
    EXPECT_EQ(m.scratch<std::uint8_t>(slot(lane, 41)), m.v(10)[lane] & 0xff);
    EXPECT_EQ(m.scratch<std::uint16_t>(slot(lane, 46)), m.v(10)[lane] & 0xffff);
    for (unsigned k = 0; k < 4; ++k)
      EXPECT_EQ(m.scratch<U32>(slot(lane, 64 + 4 * k)), m.v(12 + k)[lane]);
    EXPECT_EQ(m.v(20)[lane], m.v(10)[lane]);
    EXPECT_EQ(m.v(21)[lane], m.v(11)[lane]);
    EXPECT_EQ(m.v(22)[lane], m.v(10)[lane] & 0xff);
    EXPECT_EQ(m.v(23)[lane], m.v(10)[lane] & 0xffff);
    EXPECT_EQ(m.v(24)[lane], m.v(14)[lane]);
    EXPECT_EQ(m.v(25)[lane], m.v(15)[lane]);
  }
}

/// Past num_records a load gives 0 and a store does nothing; what counts is the swizzled offset.
TEST(IsaGfx90a, PrivateSegmentEndsAtItsRecords) {
  Machine m(gfx90a(R"(buffer_store_dword v10, off, s[4:7], s8 offset:4
buffer_load_dword v20, off, s[4:7], s8 offset:4)"));
  m.start();
  set_private_descriptor(m, 4, 65536 + 256 + 40 * 4);  // dword 1 of 40 lanes
  m.s(8) = 65536;
  m.fill(10, [](unsigned lane) { return 900 + lane; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.scratch<U32>(slot(lane, 4)), lane < 40 ? 900 + lane : 0);
    EXPECT_EQ(m.v(20)[lane], lane < 40 ? 900 + lane : 0);
  }
}

TEST(IsaGfx90a, ScratchByFlatScratchRegisters) {
  Machine m(gfx90a(R"(s_add_u32 flat_scratch_lo, s4, s8
s_addc_u32 flat_scratch_hi, s5, 0
scratch_store_dword off, v10, s9 offset:8
scratch_store_dwordx2 v2, v[10:11], off
v_mov_b32_e32 v4, v2
v_mov_b32_e32 v5, s11
flat_load_dword v20, v[4:5] offset:4
scratch_load_dword v21, off, s9 offset:8)"));
  m.start();
  m.set_s64(4, Machine::kScratch);
  m.s(8) = 65536;
  m.s(9) = 32;
  m.s(11) = static_cast<U32>(Machine::kPrivate >> 32);
  m.fill(10, [](unsigned lane) { return 1000 + lane; });
  m.fill(11, [](unsigned lane) { return 2000 + lane; });
  m.fill(2, [](unsigned lane) { return lane % 3 * 8 + 64; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.scratch<U32>(slot(lane, 40)), 1000 + lane);
    EXPECT_EQ(m.scratch<U32>(slot(lane, 64 + lane % 3 * 8)), 1000 + lane);
    EXPECT_EQ(m.v(20)[lane], 2000 + lane);
    EXPECT_EQ(m.v(21)[lane], 1000 + lane);
  }
}

TEST(IsaGfx90a, GlobalLoadsToLdsByABit) {
  Machine m(gfx90a(R"(s_mov_b32 m0, 128
global_load_dword v[2:3], off offset:8 lds
s_mov_b32 m0, 1024
global_load_ubyte v4, s[4:5] lds)"));
  m.start();
  for (unsigned i = 0; i < 1024; ++i) m.set_data<U32>(i * 4, i * 0x01010101u + 5);
  m.set_s64(4, Machine::kData);
  m.fill64(2, [](unsigned lane) { return Machine::kData + lane * 12; });
  m.fill(4, [](unsigned lane) { return lane * 5; });
  m.expect_done();
  for (unsigned lane = 0; lane < 64; ++lane) {
    EXPECT_EQ(m.lds<U32>(128 + 8 + lane * 4), m.data<U32>(lane * 12 + 8));
    EXPECT_EQ(m.lds<U32>(1024 + lane * 4), m.data<std::uint8_t>(lane * 5));
  }
}

TEST(IsaGfx90a, ScalarStoresAndAtomics) {
  Machine m(gfx90a(R"(s_store_dword s10, s[2:3], 0x8
s_store_dwordx4 s[12:15], s[2:3], s20 offset:0x10
s_buffer_store_dwordx2 s[12:13], s[4:7], 0x40
s_atomic_add s16, s[2:3], 0x100 glc
s_atomic_swap_x2 s[18:19], s[2:3], 0x108
s_atomic_cmpswap s[22:23], s[2:3], 0x110 glc
s_buffer_atomic_umax s11, s[4:7], 0x100
s_load_dword s24, s[2:3], 0x100)"));
  m.start();
  m.set_data<U32>(0x100, 70);
  m.set_data<U32>(0x110, 5);
  m.set_data<U32>(0x44, 77);
  m.set_s64(2, Machine::kData);
  m.set_s64(4, Machine::kData);
  m.s(6) = 0x44;  // the second dword of the buffer store and the buffer atomic lie outside
  m.s(10) = 0x1234;
  m.s(11) = 0xffffffff;
  for (unsigned k = 0; k < 4; ++k) m.s(12 + k) = 100 + k;
  m.s(16) = 8;
  m.set_s64(18, 0x123456789abcdef0);
  m.s(20) = 0x20;
  m.s(22) = 99;  // new value, then what to compare with
  m.s(23) = 5;
  m.expect_done();
  EXPECT_EQ(m.data<U32>(8), 0x1234u);
  for (unsigned k = 0; k < 4; ++k) EXPECT_EQ(m.data<U32>(0x30 + 4 * k), 100 + k);
  EXPECT_EQ(m.data<U32>(0x40), 100u);
  EXPECT_EQ(m.data<U32>(0x44), 77u);
  EXPECT_EQ(m.data<U32>(0x100), 78u);
  EXPECT_EQ(m.s(16), 70u);
  EXPECT_EQ(m.data<U64>(0x108), 0x123456789abcdef0u);
  EXPECT_EQ(m.s64(18), 0x123456789abcdef0u);  // without glc nothing returns
  EXPECT_EQ(m.data<U32>(0x110), 99u);
  EXPECT_EQ(m.s(22), 5u);
  EXPECT_EQ(m.s(24), 78u);
}

/// v_mad_f32 rounds the product and knows no denormals, whatever MODE says; v_fma_f32 does neither.
TEST(IsaGfx90a, MultiplyAddRoundsTwice) {
  Machine m(gfx90a(R"(v_mad_f32 v20, v2, v3, v4
v_fma_f32 v21, v2, v3, v4
v_mov_b32_e32 v22, v4
v_mac_f32_e32 v22, v2, v3
v_madak_f32 v23, v2, v3, 0xbf800000
v_madmk_f32 v24, v2, 0x3f800001, v4
v_mad_legacy_f32 v25, v5, v6, v4)"));
  const float near_one = std::nextafter(1.0f, 2.0f);  // its square is 1 + 2^-22 + 2^-46
  m.start();
  const auto all = [&](unsigned reg, float value) {
    m.fill(reg, [&](unsigned) { return std::bit_cast<U32>(value); });
  };
  all(2, near_one);
  all(3, near_one);
  all(4, -1.0f);
  all(5, 0.0f);
  all(6, INFINITY);
  m.expect_done();
  const auto result = [&](unsigned reg) { return std::bit_cast<float>(m.v(reg)[63]); };
  EXPECT_EQ(result(20), 0x1p-22f);
  EXPECT_EQ(result(21), 0x1p-22f + 0x1p-46f);
  EXPECT_EQ(result(22), 0x1p-22f);
  EXPECT_EQ(result(23), 0x1p-22f);
  EXPECT_EQ(result(24), 0x1p-22f);
  EXPECT_EQ(result(25), -1.0f);  // 0 times infinity is 0
}
TEST(IsaGfx90a, MultiplyAddFlushesDenormals) {
  Machine m(gfx90a(R"(v_mad_f32 v20, v2, v3, v4
v_mad_f32 v21, v5, v3, v5
v_fma_f32 v22, v2, v3, v4)"));
  m.start();
  const auto all = [&](unsigned reg, float value) {
    m.fill(reg, [&](unsigned) { return std::bit_cast<U32>(value); });
  };
  all(2, 0x1p-100f);
  all(3, 0x1p-40f);
  all(4, 0.0f);
  all(5, 0x1p-130f);
  m.expect_done();
  EXPECT_EQ(m.v(20)[0], 0u);
  EXPECT_EQ(m.v(21)[0], 0u);
  EXPECT_EQ(m.v(22)[0], std::bit_cast<U32>(0x1p-140f));
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

// Owns: 16-bit integer operations and packed pairs of them.
// Does not own: binary16 arithmetic (valu_float.cpp).
// Threading: pure lane functions.
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

constexpr u16 clamp_u16(i32 v) {
  return static_cast<u16>(v < 0 ? 0 : v > 0xffff ? 0xffff : v);
}
constexpr i16 clamp_i16(i32 v) {
  return static_cast<i16>(v < -0x8000 ? -0x8000 : v > 0x7fff ? 0x7fff : v);
}

constexpr u16 add(u16 a, u16 b) {
  return static_cast<u16>(a + b);
}
constexpr u16 sub(u16 a, u16 b) {
  return static_cast<u16>(a - b);
}
constexpr u16 subrev(u16 a, u16 b) {
  return static_cast<u16>(b - a);
}
constexpr u16 add_sat(u16 a, u16 b) {
  return clamp_u16(a + b);
}
constexpr u16 sub_sat(u16 a, u16 b) {
  return clamp_u16(a - b);
}
constexpr u16 subrev_sat(u16 a, u16 b) {
  return clamp_u16(b - a);
}
constexpr i16 add_sat_i(i16 a, i16 b) {
  return clamp_i16(a + b);
}
constexpr i16 sub_sat_i(i16 a, i16 b) {
  return clamp_i16(a - b);
}
constexpr u16 mul_lo(u16 a, u16 b) {
  return static_cast<u16>(u32{a} * b);
}
constexpr u16 mul_lo_sat(u16 a, u16 b) {
  const u32 product = u32{a} * b;
  return static_cast<u16>(product > 0xffff ? 0xffff : product);
}
constexpr u16 mad(u16 a, u16 b, u16 c) {
  return static_cast<u16>(u32{a} * b + c);
}
constexpr u16 mad_sat_u(u16 a, u16 b, u16 c) {
  const u32 sum = u32{a} * b + c;
  return static_cast<u16>(sum > 0xffff ? 0xffff : sum);
}
constexpr i16 mad_sat_i(i16 a, i16 b, i16 c) {
  return clamp_i16(i32{a} * b + c);
}
constexpr u16 min_u(u16 a, u16 b) {
  return a < b ? a : b;
}
constexpr u16 max_u(u16 a, u16 b) {
  return a > b ? a : b;
}
constexpr i16 min_i(i16 a, i16 b) {
  return a < b ? a : b;
}
constexpr i16 max_i(i16 a, i16 b) {
  return a > b ? a : b;
}
constexpr u16 shift_left(u16 s, u16 v) {
  return static_cast<u16>(v << (s & 15));
}
constexpr u16 shift_right(u16 s, u16 v) {
  return static_cast<u16>(v >> (s & 15));
}
constexpr i16 shift_arithmetic(u16 s, i16 v) {
  return static_cast<i16>(v >> (s & 15));
}

KILN_ALWAYS_INLINE u32 pack_halves(half a, half b) {
  return half_bits_nearest(bits_of(a.value)) | half_bits_nearest(bits_of(b.value)) << 16;
}
constexpr u32 clamp_u32(u64 v) {
  return v > 0xffffffffu ? 0xffffffffu : static_cast<u32>(v);
}
constexpr i32 clamp_i32(i64 v) {
  return static_cast<i32>(v < -0x80000000ll ? -0x80000000ll : v > 0x7fffffffll ? 0x7fffffffll : v);
}

constexpr Semantics kRows[] = {
    {"v_add_nc_u16", lanes<add, 0, add_sat>},
    {"v_sub_nc_u16", lanes<sub, 0, sub_sat>},
    {"v_subrev_nc_u16", lanes<subrev, 0, subrev_sat>},
    {"v_add_nc_i16", lanes<add, kKeepHigh, add_sat_i>},
    {"v_sub_nc_i16", lanes<sub, kKeepHigh, sub_sat_i>},
    {"v_mul_lo_u16", lanes<mul_lo, 0, mul_lo_sat>},
    {"v_mad_u16", lanes<mad, 0, mad_sat_u>},
    {"v_mad_i16", lanes<mad, 0, mad_sat_i>},
    {"v_mad_legacy_u16", lanes<mad, 0, mad_sat_u>},
    {"v_mad_legacy_i16", lanes<mad, 0, mad_sat_i>},
    {"v_lshlrev_b16", lanes<shift_left>},
    {"v_lshrrev_b16", lanes<shift_right>},
    {"v_ashrrev_i16", lanes<shift_arithmetic>},
    {"v_min_u16", lanes<min_u>},
    {"v_max_u16", lanes<max_u>},
    {"v_min_i16", lanes<min_i>},
    {"v_max_i16", lanes<max_i>},
    {"v_min3_u16", lanes<[](u16 a, u16 b, u16 c) { return min_u(min_u(a, b), c); }, kKeepHigh>},
    {"v_max3_u16", lanes<[](u16 a, u16 b, u16 c) { return max_u(max_u(a, b), c); }, kKeepHigh>},
    {"v_min3_i16", lanes<[](i16 a, i16 b, i16 c) { return min_i(min_i(a, b), c); }, kKeepHigh>},
    {"v_max3_i16", lanes<[](i16 a, i16 b, i16 c) { return max_i(max_i(a, b), c); }, kKeepHigh>},
    {"v_med3_u16",
     lanes<[](u16 a, u16 b, u16 c) { return max_u(min_u(a, b), min_u(max_u(a, b), c)); },
           kKeepHigh>},
    {"v_med3_i16",
     lanes<[](i16 a, i16 b, i16 c) { return max_i(min_i(a, b), min_i(max_i(a, b), c)); },
           kKeepHigh>},
    {"v_and_b16", lanes<[](u16 a, u16 b) { return static_cast<u16>(a & b); }>},
    {"v_or_b16", lanes<[](u16 a, u16 b) { return static_cast<u16>(a | b); }>},
    {"v_xor_b16", lanes<[](u16 a, u16 b) { return static_cast<u16>(a ^ b); }>},
    {"v_not_b16", lanes<[](u16 a) { return static_cast<u16>(~a); }>},
    {"v_mov_b16", lanes<[](u16 a) { return a; }>},
    {"v_pack_b32_f16", lanes<pack_halves, kRaw | kRoundEven>},
    {"v_mad_u32_u16", lanes<[](u16 a, u16 b, u32 c) { return u32{a} * b + c; }, 0,
                            [](u16 a, u16 b, u32 c) { return clamp_u32(u64{u32{a} * b} + c); }>},
    {"v_mad_i32_i16", lanes<[](i16 a, i16 b, u32 c) { return static_cast<u32>(a * b) + c; }, 0,
                            [](i16 a, i16 b, i32 c) { return clamp_i32(i64{a * b} + c); }>},

    {"v_pk_mad_i16", packed<mad, 0, mad_sat_i>},
    {"v_pk_mad_u16", packed<mad, 0, mad_sat_u>},
    {"v_pk_mul_lo_u16", packed<mul_lo>},
    {"v_pk_add_i16", packed<add, 0, add_sat_i>},
    {"v_pk_sub_i16", packed<sub, 0, sub_sat_i>},
    {"v_pk_add_u16", packed<add, 0, add_sat>},
    {"v_pk_sub_u16", packed<sub, 0, sub_sat>},
    {"v_pk_lshlrev_b16", packed<shift_left>},
    {"v_pk_lshrrev_b16", packed<shift_right>},
    {"v_pk_ashrrev_i16", packed<shift_arithmetic>},
    {"v_pk_max_i16", packed<max_i>},
    {"v_pk_min_i16", packed<min_i>},
    {"v_pk_max_u16", packed<max_u>},
    {"v_pk_min_u16", packed<min_u>},
};

}  // namespace

void short_rows(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

// Owns: 32-bit and 64-bit integer and bit operations.
// Does not own: 16-bit and packed ones (valu_short.cpp), comparisons, dot products.
// Threading: pure lane functions.
//
// Shift counts use their low 5 or 6 bits; all widths wrap unless the instruction says clamp.
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

constexpr i64 kLeastI32 = -0x80000000ll, kMostI32 = 0x7fffffffll;

constexpr u32 clamp_u32(i64 v) {
  return static_cast<u32>(v < 0 ? 0 : v > 0xffffffffll ? 0xffffffffll : v);
}
constexpr i32 clamp_i32(i64 v) {
  return static_cast<i32>(v < kLeastI32 ? kLeastI32 : v > kMostI32 ? kMostI32 : v);
}
constexpr i32 i24(u32 v) {
  return static_cast<i32>(v << 8) >> 8;
}
constexpr u32 u24(u32 v) {
  return v & 0xffffff;
}
constexpr u32 low32(i64 v) {
  return static_cast<u32>(v);
}

constexpr u32 add(u32 a, u32 b) {
  return a + b;
}
constexpr u32 sub(u32 a, u32 b) {
  return a - b;
}
constexpr u32 subrev(u32 a, u32 b) {
  return b - a;
}
constexpr u32 add_sat(u32 a, u32 b) {
  return clamp_u32(i64{a} + b);
}
constexpr u32 sub_sat(u32 a, u32 b) {
  return a > b ? a - b : 0;
}
constexpr u32 subrev_sat(u32 a, u32 b) {
  return b > a ? b - a : 0;
}

constexpr WithMask<u32> add_co(u32 a, u32 b) {
  return {a + b, a + b < a};
}
constexpr WithMask<u32> sub_co(u32 a, u32 b) {
  return {a - b, b > a};
}
constexpr WithMask<u32> subrev_co(u32 a, u32 b) {
  return {b - a, a > b};
}
constexpr WithMask<u32> add_ci(u32 a, u32 b, bool c) {
  const u32 sum = a + b, all = sum + static_cast<u32>(c);
  return {all, static_cast<bool>((sum < a) | (all < sum))};
}
constexpr WithMask<u32> sub_ci(u32 a, u32 b, bool c) {
  const u32 carry = static_cast<u32>(c);
  return {a - b - carry, static_cast<bool>((b > a) | ((b == a) & (carry != 0)))};
}
constexpr WithMask<u32> subrev_ci(u32 a, u32 b, bool c) {
  return sub_ci(b, a, c);
}
constexpr WithMask<u32> add_co_sat(u32 a, u32 b) {
  const auto r = add_co(a, b);
  return {r.mask ? ~0u : r.value, r.mask};
}
constexpr WithMask<u32> sub_co_sat(u32 a, u32 b) {
  const auto r = sub_co(a, b);
  return {r.mask ? 0u : r.value, r.mask};
}
constexpr WithMask<u32> subrev_co_sat(u32 a, u32 b) {
  return sub_co_sat(b, a);
}
constexpr WithMask<u32> add_ci_sat(u32 a, u32 b, bool c) {
  const auto r = add_ci(a, b, c);
  return {r.mask ? ~0u : r.value, r.mask};
}
constexpr WithMask<u32> sub_ci_sat(u32 a, u32 b, bool c) {
  const auto r = sub_ci(a, b, c);
  return {r.mask ? 0u : r.value, r.mask};
}
constexpr WithMask<u32> subrev_ci_sat(u32 a, u32 b, bool c) {
  return sub_ci_sat(b, a, c);
}

constexpr u32 min_u(u32 a, u32 b) {
  return a < b ? a : b;
}
constexpr u32 max_u(u32 a, u32 b) {
  return a > b ? a : b;
}
constexpr i32 min_i(i32 a, i32 b) {
  return a < b ? a : b;
}
constexpr i32 max_i(i32 a, i32 b) {
  return a > b ? a : b;
}

constexpr u32 bfe_u(u32 v, u32 at, u32 width) {
  return (v >> (at & 31)) & ((1u << (width & 31)) - 1);
}
constexpr i32 bfe_i(i32 v, u32 at, u32 width) {
  const u32 field = static_cast<u32>(v >> (at & 31)) & ((1u << (width & 31)) - 1);
  const u32 sign = (1u << (width & 31)) >> 1;
  return static_cast<i32>((field ^ sign) - sign);
}
constexpr u32 bit_reverse(u32 v) {
  v = (v >> 1 & 0x55555555u) | (v & 0x55555555u) << 1;
  v = (v >> 2 & 0x33333333u) | (v & 0x33333333u) << 2;
  v = (v >> 4 & 0x0f0f0f0fu) | (v & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(v);
}
constexpr u32 count_bits(u32 v) {
  v -= v >> 1 & 0x55555555u;
  v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
  return ((v + (v >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
}

constexpr u32 byte_of(u32 v, unsigned n) {
  return v >> (8 * n) & 0xff;
}
constexpr u32 difference(u32 a, u32 b) {
  return a > b ? a - b : b - a;
}

constexpr u32 sad_u8(u32 a, u32 b, u32 c) {
  for (unsigned n = 0; n < 4; ++n) c += difference(byte_of(a, n), byte_of(b, n));
  return c;
}
constexpr u32 msad_u8(u32 a, u32 b, u32 c) {
  for (unsigned n = 0; n < 4; ++n) {
    c += byte_of(b, n) == 0 ? 0 : difference(byte_of(a, n), byte_of(b, n));
  }
  return c;
}
template <auto kSad>
constexpr u64 quad_sad(u64 a, u32 b, u64 c) {
  u64 result = 0;
  for (unsigned n = 0; n < 4; ++n) {
    const u32 sum =
        kSad(static_cast<u32>(a >> (8 * n)), b, static_cast<u32>(c >> (16 * n)) & 0xffff);
    result |= u64{sum & 0xffff} << (16 * n);
  }
  return result;
}
template <auto kSad>
constexpr u64 quad_sad_clamped(u64 a, u32 b, u64 c) {
  u64 result = 0;
  for (unsigned n = 0; n < 4; ++n) {
    const u32 sum =
        kSad(static_cast<u32>(a >> (8 * n)), b, static_cast<u32>(c >> (16 * n)) & 0xffff);
    result |= u64{min_u(sum, 0xffff)} << (16 * n);
  }
  return result;
}

constexpr u32 lerp_u8(u32 a, u32 b, u32 c) {
  u32 result = 0;
  for (unsigned n = 0; n < 4; ++n) {
    const u32 sum = byte_of(a, n) + byte_of(b, n) + (c >> (8 * n) & 1);
    result |= (sum >> 1) << (8 * n);
  }
  return result;
}

// v_perm_b32 numbers the bytes of {S0, S1} from S1's lowest; 8..11 spread the sign of a byte.
constexpr u32 perm(u32 a, u32 b, u32 select) {
  const u64 data = u64{a} << 32 | b;
  u32 result = 0;
  for (unsigned n = 0; n < 4; ++n) {
    const u32 s = byte_of(select, n);
    u32 byte;
    if (s >= 13)
      byte = 0xff;
    else if (s == 12)
      byte = 0;
    else if (s >= 8)
      byte = (data >> ((s - 8) * 16 + 15) & 1) != 0 ? 0xff : 0;
    else
      byte = static_cast<u32>(data >> (8 * s)) & 0xff;
    result |= byte << (8 * n);
  }
  return result;
}

WithMask<u64> mad_u64_u32(u32 a, u32 b, u64 c) {
  const u64 product = u64{a} * b;
  return {product + c, product + c < product};
}
WithMask<i64> mad_i64_i32(i32 a, i32 b, i64 c) {
  // The mask is bit 64 of the 65-bit signed sum.
  const i64 product = i64{a} * b;
  const u64 sum = static_cast<u64>(product) + static_cast<u64>(c);
  const bool overflow = ((static_cast<u64>(product) ^ sum) & (static_cast<u64>(c) ^ sum)) >> 63;
  return {static_cast<i64>(sum), overflow != (sum >> 63 != 0)};
}

constexpr Semantics kRows[] = {
    {"v_add_nc_u32", lanes<add, 0, add_sat>},
    {"v_sub_nc_u32", lanes<sub, 0, sub_sat>},
    {"v_subrev_nc_u32", lanes<subrev, 0, subrev_sat>},
    {"v_add_nc_i32", lanes<add, 0, [](i32 a, i32 b) { return clamp_i32(i64{a} + b); }>},
    {"v_sub_nc_i32", lanes<sub, 0, [](i32 a, i32 b) { return clamp_i32(i64{a} - b); }>},
    {"v_add_co_u32", lanes<add_co, 0, add_co_sat>},
    {"v_sub_co_u32", lanes<sub_co, 0, sub_co_sat>},
    {"v_subrev_co_u32", lanes<subrev_co, 0, subrev_co_sat>},
    {"v_add_co_ci_u32", lanes<add_ci, 0, add_ci_sat>},
    {"v_sub_co_ci_u32", lanes<sub_ci, 0, sub_ci_sat>},
    {"v_subrev_co_ci_u32", lanes<subrev_ci, 0, subrev_ci_sat>},
    {"v_add3_u32", lanes<[](u32 a, u32 b, u32 c) { return a + b + c; }>},
    {"v_lshl_add_u32", lanes<[](u32 a, u32 b, u32 c) { return (a << (b & 31)) + c; }>},
    {"v_add_lshl_u32", lanes<[](u32 a, u32 b, u32 c) { return (a + b) << (c & 31); }>},
    {"v_lshl_or_b32", lanes<[](u32 a, u32 b, u32 c) { return a << (b & 31) | c; }>},
    {"v_and_or_b32", lanes<[](u32 a, u32 b, u32 c) { return (a & b) | c; }>},
    {"v_or3_b32", lanes<[](u32 a, u32 b, u32 c) { return a | b | c; }>},
    {"v_xor3_b32", lanes<[](u32 a, u32 b, u32 c) { return a ^ b ^ c; }>},
    {"v_xad_u32", lanes<[](u32 a, u32 b, u32 c) { return (a ^ b) + c; }>},
    {"v_lshl_add_u64", lanes<[](u64 a, u32 b, u64 c) { return (a << (b & 7)) + c; }>},

    {"v_mul_i32_i24", lanes<[](u32 a, u32 b) { return low32(i64{i24(a)} * i24(b)); }>},
    {"v_mul_hi_i32_i24", lanes<[](u32 a, u32 b) { return low32((i64{i24(a)} * i24(b)) >> 32); }>},
    {"v_mul_u32_u24", lanes<[](u32 a, u32 b) { return u24(a) * u24(b); }>},
    {"v_mul_hi_u32_u24",
     lanes<[](u32 a, u32 b) { return static_cast<u32>((u64{u24(a)} * u24(b)) >> 32); }>},
    {"v_mad_i32_i24",
     lanes<[](u32 a, u32 b, u32 c) { return low32(i64{i24(a)} * i24(b)) + c; }, 0,
           [](u32 a, u32 b, i32 c) { return clamp_i32(i64{i24(a)} * i24(b) + c); }>},
    {"v_mad_u32_u24",
     lanes<[](u32 a, u32 b, u32 c) { return u24(a) * u24(b) + c; }, 0,
           [](u32 a, u32 b, u32 c) { return clamp_u32(i64{u24(a)} * u24(b) + c); }>},
    {"v_mul_lo_u32", lanes<[](u32 a, u32 b) { return a * b; }>},
    {"v_mul_hi_u32", lanes<[](u32 a, u32 b) { return static_cast<u32>((u64{a} * b) >> 32); }>},
    {"v_mul_hi_i32", lanes<[](i32 a, i32 b) { return low32((i64{a} * b) >> 32); }>},
    {"v_mad_u64_u32", lanes<mad_u64_u32>},
    {"v_mad_i64_i32", lanes<mad_i64_i32>},

    {"v_min_i32", lanes<min_i>},
    {"v_max_i32", lanes<max_i>},
    {"v_min_u32", lanes<min_u>},
    {"v_max_u32", lanes<max_u>},
    {"v_min3_i32", lanes<[](i32 a, i32 b, i32 c) { return min_i(min_i(a, b), c); }>},
    {"v_max3_i32", lanes<[](i32 a, i32 b, i32 c) { return max_i(max_i(a, b), c); }>},
    {"v_min3_u32", lanes<[](u32 a, u32 b, u32 c) { return min_u(min_u(a, b), c); }>},
    {"v_max3_u32", lanes<[](u32 a, u32 b, u32 c) { return max_u(max_u(a, b), c); }>},
    {"v_med3_i32",
     lanes<[](i32 a, i32 b, i32 c) { return max_i(min_i(a, b), min_i(max_i(a, b), c)); }>},
    {"v_med3_u32",
     lanes<[](u32 a, u32 b, u32 c) { return max_u(min_u(a, b), min_u(max_u(a, b), c)); }>},
    {"v_maxmin_i32", lanes<[](i32 a, i32 b, i32 c) { return min_i(max_i(a, b), c); }>},
    {"v_minmax_i32", lanes<[](i32 a, i32 b, i32 c) { return max_i(min_i(a, b), c); }>},
    {"v_maxmin_u32", lanes<[](u32 a, u32 b, u32 c) { return min_u(max_u(a, b), c); }>},
    {"v_minmax_u32", lanes<[](u32 a, u32 b, u32 c) { return max_u(min_u(a, b), c); }>},

    {"v_lshlrev_b32", lanes<[](u32 s, u32 v) { return v << (s & 31); }>},
    {"v_lshrrev_b32", lanes<[](u32 s, u32 v) { return (v >> (s & 31)); }>},
    {"v_ashrrev_i32", lanes<[](u32 s, i32 v) { return (v >> (s & 31)); }>},
    {"v_lshlrev_b64", lanes<[](u32 s, u64 v) { return v << (s & 63); }>},
    {"v_lshrrev_b64", lanes<[](u32 s, u64 v) { return (v >> (s & 63)); }>},
    {"v_ashrrev_i64", lanes<[](u32 s, i64 v) { return (v >> (s & 63)); }>},
    {"v_and_b32", lanes<[](u32 a, u32 b) { return a & b; }>},
    {"v_or_b32", lanes<[](u32 a, u32 b) { return a | b; }>},
    {"v_xor_b32", lanes<[](u32 a, u32 b) { return a ^ b; }>},
    {"v_xnor_b32", lanes<[](u32 a, u32 b) { return ~(a ^ b); }>},
    {"v_not_b32", lanes<[](u32 a) { return ~a; }>},
    {"v_bfrev_b32", lanes<bit_reverse>},
    {"v_bfe_u32", lanes<bfe_u>},
    {"v_bfe_i32", lanes<bfe_i>},
    {"v_bfi_b32", lanes<[](u32 a, u32 b, u32 c) { return (a & b) | (~a & c); }>},
    {"v_bfm_b32", lanes<[](u32 a, u32 b) { return ((1u << (a & 31)) - 1) << (b & 31); }>},
    {"v_bcnt_u32_b32", lanes<[](u32 a, u32 b) { return count_bits(a) + b; }>},
    {"v_clz_i32_u32", lanes<[](u32 a) { return a == 0 ? -1 : __builtin_clz(a | 1); }>},
    {"v_ctz_i32_b32", lanes<[](u32 a) { return a == 0 ? -1 : __builtin_ctz(a | 0x80000000u); }>},
    {"v_cls_i32", lanes<[](i32 a) {
       const u32 v = static_cast<u32>(a ^ (a >> 31));
       return v == 0 ? -1 : __builtin_clz(v | 1);
     }>},
    {"v_alignbit_b32",
     lanes<[](u32 a, u32 b, u32 c) { return static_cast<u32>((u64{a} << 32 | b) >> (c & 31)); }>},
    {"v_alignbyte_b32", lanes<[](u32 a, u32 b, u32 c) {
       return static_cast<u32>((u64{a} << 32 | b) >> (8 * (c & 3)));
     }>},
    {"v_perm_b32", lanes<perm>},
    {"v_lerp_u8", lanes<lerp_u8>},
    {"v_sad_u8",
     lanes<sad_u8, 0, [](u32 a, u32 b, u32 c) { return clamp_u32(i64{sad_u8(a, b, 0)} + c); }>},
    {"v_sad_hi_u8",
     lanes<[](u32 a, u32 b, u32 c) { return (sad_u8(a, b, 0) << 16) + c; }, 0,
           [](u32 a, u32 b, u32 c) { return clamp_u32((i64{sad_u8(a, b, 0)} << 16) + c); }>},
    {"v_sad_u16", lanes<[](u32 a, u32 b, u32 c) {
       return difference(a & 0xffff, b & 0xffff) + difference(a >> 16, b >> 16) + c;
     },
                        0,
                        [](u32 a, u32 b, u32 c) {
                          return clamp_u32(i64{difference(a & 0xffff, b & 0xffff)} +
                                           difference(a >> 16, b >> 16) + c);
                        }>},
    {"v_sad_u32", lanes<[](u32 a, u32 b, u32 c) { return difference(a, b) + c; }, 0,
                        [](u32 a, u32 b, u32 c) { return clamp_u32(i64{difference(a, b)} + c); }>},
    {"v_msad_u8",
     lanes<msad_u8, 0, [](u32 a, u32 b, u32 c) { return clamp_u32(i64{msad_u8(a, b, 0)} + c); }>},
    {"v_qsad_pk_u16_u8", lanes<quad_sad<sad_u8>, 0, quad_sad_clamped<sad_u8>>},
    {"v_mqsad_pk_u16_u8", lanes<quad_sad<msad_u8>, 0, quad_sad_clamped<msad_u8>>},
};

}  // namespace

void integer_rows(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

// Owns: binary64 arithmetic, functions and division steps.
// Does not own: conversions (valu_convert.cpp).
// Threading: pure lane functions.
//
// v_rcp_f64, v_rsq_f64 and v_sqrt_f64 are documented as approximations that code refines; here they
// are the host's division and square root.
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

KILN_ALWAYS_INLINE double add(double a, double b) {
  return a + b;
}
KILN_ALWAYS_INLINE double mul(double a, double b) {
  return a * b;
}
KILN_ALWAYS_INLINE double fma(double a, double b, double c) {
  return __builtin_fma(a, b, c);
}
KILN_ALWAYS_INLINE double minimum(double a, double b, const Env& e) {
  return choose_number<false>(a, b, e);
}
KILN_ALWAYS_INLINE double maximum(double a, double b, const Env& e) {
  return choose_number<true>(a, b, e);
}
KILN_ALWAYS_INLINE double round_even(double x) {
  const double magnitude = __builtin_fabs(x);
  const double rounded = (magnitude + 0x1p52) - 0x1p52;
  const double result = magnitude < 0x1p52 ? rounded : magnitude;
  const double with_sign = double_of(bits_of(result) | (bits_of(x) & (1ull << 63)));
  return x != x ? x + x : with_sign;
}
KILN_ALWAYS_INLINE double fract(double x) {
  const double f = x - __builtin_floor(x);
  return f >= 1.0 ? 0x1.fffffffffffffp-1 : f;
}

KILN_ALWAYS_INLINE int exponent_of(double x) {
  return static_cast<int>(bits_of(x) >> 52 & 0x7ff);
}
KILN_ALWAYS_INLINE bool is_special(double x) {
  return (x == 0) | !(__builtin_fabs(x) < __builtin_inf());
}
i32 frexp_exponent(double x) {
  if (is_special(x)) return 0;
  if (exponent_of(x) != 0) return exponent_of(x) - 1022;
  return exponent_of(x * 0x1p64) - 1022 - 64;
}
double frexp_mantissa(double x) {
  if (is_special(x)) return x != x ? x + x : x;
  const double normal = exponent_of(x) != 0 ? x : x * 0x1p64;
  return double_of((bits_of(normal) & 0x800fffffffffffffull) | 0x3fe0000000000000ull);
}

/// x * 2^power, rounded once.
double scale(double x, i32 power) {
  if (is_special(x)) return x + x;
  i64 p = power > 3000 ? 3000 : power < -3000 ? -3000 : power;
  // Upwards nothing is lost; downwards only the last step may round.
  while (p > 1000) {
    x *= 0x1p1000;
    p -= 1000;
  }
  if (p >= -1000 && exponent_of(x) + p > 0) {
    return x * double_of(static_cast<u64>(p + 1023) << 52);
  }
  // The result is denormal, or x is: bring x to exponent 0 exactly, then step down once.
  const int offset = exponent_of(x) != 0 ? 0 : 64;
  const double normal = offset != 0 ? x * 0x1p64 : x;
  const i64 exponent = exponent_of(normal) - 1023;
  const double mantissa =
      double_of((bits_of(normal) & 0x800fffffffffffffull) | 0x3ff0000000000000ull);
  const i64 target = exponent - offset + p;
  if (target >= -1022) {
    if (target > 1023) return mantissa * 0x1p1023 * 2.0;
    return mantissa * double_of(static_cast<u64>(target + 1023) << 52);
  }
  const i64 below = target < -1100 ? -1100 : target;
  // 2^-1022 times a normal factor rounds once, at the denormal's last place.
  return mantissa * double_of(static_cast<u64>(below + 1022 + 1023) << 52) * 0x1p-1022;
}

WithMask<double> div_scale(double s0, double s1, double s2) {
  if (s2 == 0 || s1 == 0) return {double_of(0x7ff8000000000000ull), false};
  const double quotient = s2 / s1;
  const bool tiny_quotient = __builtin_fabs(quotient) < 0x1p-1022;
  const bool tiny_reciprocal = __builtin_fabs(s1) > 0x1p1022;
  const bool denormal_divisor = exponent_of(s1) == 0;
  if (exponent_of(s2) - exponent_of(s1) >= 768) return {s0 == s1 ? scale(s0, 128) : s0, true};
  if (denormal_divisor) return {scale(s0, 128), false};
  if (tiny_reciprocal && tiny_quotient) return {s0 == s1 ? scale(s0, -128) : s0, true};
  if (tiny_reciprocal) return {scale(s0, -128), false};
  if (tiny_quotient) return {s0 == s2 ? scale(s0, 128) : s0, true};
  if (exponent_of(s2) <= 53) return {scale(s0, 128), false};
  return {s0, false};
}

double div_fmas(double a, double b, double c, bool scaled) {
  if (!scaled) return __builtin_fma(a, b, c);
  // One rounding for all of it, also where the quotient ends up denormal. (Rare, hence the slow
  // 113-bit arithmetic.)
  const __float128 power = exponent_of(c) > 1023 ? 0x1p128 : 0x1p-128;
  return static_cast<double>((static_cast<__float128>(a) * b + c) * power);
}

double div_fixup(double q, double d, double n) {
  const u64 sign = (bits_of(d) ^ bits_of(n)) & (1ull << 63);
  if (n != n) return n + n;
  if (d != d) return d + d;
  const double inf = __builtin_inf();
  const bool d_inf = __builtin_fabs(d) == inf, n_inf = __builtin_fabs(n) == inf;
  if ((d == 0 && n == 0) || (d_inf && n_inf)) return double_of(0xfff8000000000000ull);
  if (d == 0 || n_inf) return double_of(sign | bits_of(inf));
  if (d_inf || n == 0) return double_of(sign);
  if (exponent_of(n) - exponent_of(d) < -1075) return double_of(sign);
  // Refinement steps of a quotient that overflows end in a NaN.
  if (q != q) return double_of(sign | bits_of(inf));
  return double_of((bits_of(q) & ~(1ull << 63)) | sign);
}

/// 2/pi after the binary point, most significant bits first: 1201 of them are enough for any
/// binary64 argument (AMD ISA pseudocode of V_TRIG_PREOP_F64).
constexpr u64 kTwoOverPi[] = {
    0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
    0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484,
    0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d, 0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b0000};

double trig_preop(double x, u32 segment) {
  int shift = static_cast<int>(segment & 31) * 53;
  const int exponent = exponent_of(x);
  if (exponent > 1077) shift += exponent - 1077;
  // Bits [shift, shift + 53) after the point.
  constexpr int kBits = 1201;
  u64 window = 0;
  for (int n = 0; n < 53; ++n) {
    const int at = shift + n;
    const bool one = at < kBits && (kTwoOverPi[at / 64] >> (63 - at % 64) & 1) != 0;
    window = window << 1 | static_cast<u64>(one);
  }
  int power = -53 - shift;
  if (exponent >= 1968) power += 128;
  return scale(static_cast<double>(window), power);
}

constexpr Semantics kRows[] = {
    {"v_add_f64", lanes<add>},
    {"v_mul_f64", lanes<mul>},
    {"v_fma_f64", lanes<fma>},
    {"v_fmac_f64", lanes<fma, kAccumulate>},
    {"v_min_f64", lanes<minimum>},
    {"v_max_f64", lanes<maximum>},
    {"v_rcp_f64", lanes<[](double x) { return 1.0 / x; }, kRoundEven>},
    {"v_rsq_f64", lanes<[](double x) { return 1.0 / __builtin_sqrt(x); }, kRoundEven>},
    {"v_sqrt_f64", lanes<[](double x) { return __builtin_sqrt(x); }, kRoundEven>},
    {"v_trunc_f64", lanes<[](double x) { return __builtin_trunc(x); }, kRoundEven>},
    {"v_ceil_f64", lanes<[](double x) { return __builtin_ceil(x); }, kRoundEven>},
    {"v_floor_f64", lanes<[](double x) { return __builtin_floor(x); }, kRoundEven>},
    {"v_rndne_f64", lanes<round_even, kRoundEven>},
    {"v_fract_f64", lanes<fract, kRoundEven>},
    {"v_frexp_exp_i32_f64", lanes<frexp_exponent>},
    {"v_frexp_mant_f64", lanes<frexp_mantissa>},
    {"v_ldexp_f64", lanes<scale>},
    {"v_div_scale_f64", lanes<div_scale>},
    {"v_div_fmas_f64", lanes<div_fmas>},
    {"v_div_fixup_f64", lanes<div_fixup>},
    {"v_trig_preop_f64", lanes<trig_preop>},
};

}  // namespace

void double_rows(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

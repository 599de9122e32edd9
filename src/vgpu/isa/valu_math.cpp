// Owns: binary32 and binary16 functions of one operand (rounding, reciprocals, exponentials,
//   trigonometry), exponent handling, and the steps of division.
// Does not own: add and multiply (valu_float.cpp), binary64 (valu_double.cpp).
// Threading: pure lane functions.
//
// Accuracy: AMD documents 1 ulp for v_rcp, v_rsq, v_sqrt, v_exp, v_log in binary32, with binary32
// denormals flushed on the way in and out whatever MODE says (as Mesa's ACO and LLVM's lowering
// assume when they scale denormals by hand). Here:
//   v_rcp v_sqrt   host division and square root, correctly rounded
//   v_rsq          the same in binary64, rounded once
//   v_exp v_log v_sin v_cos   polynomials in binary64 below, rounded once (errors under 0.51 ulp;
//                             v_sin and v_cos take turns, and give 0 and 1 outside [-256, 256])
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

constexpr double kRoundMagic = 0x1.8p52;  // adding it rounds a double to an integer

KILN_ALWAYS_INLINE float quiet(float f) {
  return f + f;
}

KILN_ALWAYS_INLINE float exp2_lane(float x) {
  double v = x;
  v = v < -200.0 ? -200.0 : v;
  v = v > 200.0 ? 200.0 : v;
  const double shifted = v + kRoundMagic;
  const double f = v - (shifted - kRoundMagic);
  // Taylor series of 2^f on [-0.5, 0.5]: terms are ln(2)^k / k!.
  double p = 7.054911620801123e-09;
  p = p * f + 1.01780860092396997e-07;
  p = p * f + 1.32154867901443095e-06;
  p = p * f + 1.52527338040598403e-05;
  p = p * f + 1.54035303933816099e-04;
  p = p * f + 1.33335581464284434e-03;
  p = p * f + 9.61812910762847716e-03;
  p = p * f + 5.55041086648215800e-02;
  p = p * f + 2.40226506959100712e-01;
  p = p * f + 6.93147180559945309e-01;
  p = p * f + 1.0;
  // The integer sits in the low bits of `shifted`; as an exponent it scales p.
  const double result = double_of(bits_of(p) + (bits_of(shifted) << 52));
  return x != x ? quiet(x) : static_cast<float>(result);
}

KILN_ALWAYS_INLINE float log2_lane(float x) {
  const double v = x;
  // Mantissa in [sqrt(1/2), sqrt(2)); doubles have no trouble with binary32 denormals.
  const u64 from_half = bits_of(v) - 0x3fe6a09e667f3bcdull;
  const i64 exponent = static_cast<i64>(from_half & 0xfff0000000000000ull);
  const double m = double_of(bits_of(v) - static_cast<u64>(exponent));
  const double e = double_of(bits_of(kRoundMagic) + ((static_cast<u64>(exponent) >> 52) & 0xfff));
  double k = e - kRoundMagic;
  k = k > 2047.0 ? k - 4096.0 : k;
  // log2 m = 2/ln 2 * atanh s, with s = (m - 1) / (m + 1), |s| < 0.1716.
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 1.0 / 19.0;
  p = p * z + 1.0 / 17.0;
  p = p * z + 1.0 / 15.0;
  p = p * z + 1.0 / 13.0;
  p = p * z + 1.0 / 11.0;
  p = p * z + 1.0 / 9.0;
  p = p * z + 1.0 / 7.0;
  p = p * z + 1.0 / 5.0;
  p = p * z + 1.0 / 3.0;
  p = p * z + 1.0;
  const double value = k + s * p * 2.885390081777926815;
  float result = static_cast<float>(value);
  result = x < 0.0f ? float_of(0x7fc00000u) : result;
  result = x == 0.0f ? -__builtin_inff() : result;
  result = x == __builtin_inff() ? x : result;
  return x != x ? quiet(x) : result;
}

/// sin(2 pi turns) for |turns| <= 1/2.
KILN_ALWAYS_INLINE double sin_turns(double turns) {
  const double fold = turns > 0.25 ? 0.5 - turns : turns < -0.25 ? -0.5 - turns : turns;
  const double y = fold * 6.283185307179586477;
  const double z = y * y;
  double p = 2.8114572543455207632e-15;   // 1/17!
  p = p * z - 7.6471637318198164759e-13;  // 1/15!
  p = p * z + 1.6059043836821614599e-10;
  p = p * z - 2.5052108385441718775e-08;
  p = p * z + 2.7557319223985890653e-06;
  p = p * z - 1.9841269841269841270e-04;
  p = p * z + 8.3333333333333333333e-03;
  p = p * z - 1.6666666666666666667e-01;
  return y * (1.0 + z * p);
}

KILN_ALWAYS_INLINE double to_half_turn(double turns) {
  return turns - ((turns + kRoundMagic) - kRoundMagic);
}

KILN_ALWAYS_INLINE float sin_lane(float x) {
  const float result = static_cast<float>(sin_turns(to_half_turn(x)));
  const float magnitude = __builtin_fabsf(x);
  const float outside = magnitude == __builtin_inff() ? float_of(0x7fc00000u) : 0.0f;
  const float finite = magnitude > 256.0f ? outside : result;
  return x != x ? quiet(x) : finite;
}
KILN_ALWAYS_INLINE float cos_lane(float x) {
  const double turns = __builtin_fabs(to_half_turn(x));
  const float result = static_cast<float>(sin_turns(0.25 - turns));
  const float magnitude = __builtin_fabsf(x);
  const float outside = magnitude == __builtin_inff() ? float_of(0x7fc00000u) : 1.0f;
  const float finite = magnitude > 256.0f ? outside : result;
  return x != x ? quiet(x) : finite;
}

KILN_ALWAYS_INLINE float rcp(float x) {
  return 1.0f / x;
}
KILN_ALWAYS_INLINE float square_root(float x) {
  return __builtin_sqrtf(x);
}
KILN_ALWAYS_INLINE float rsq(float x) {
  return static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(x)));
}

KILN_ALWAYS_INLINE float trunc(float x) {
  return __builtin_truncf(x);
}
KILN_ALWAYS_INLINE float ceil(float x) {
  return __builtin_ceilf(x);
}
KILN_ALWAYS_INLINE float floor(float x) {
  return __builtin_floorf(x);
}
KILN_ALWAYS_INLINE float round_even(float x) {
  const float magnitude = __builtin_fabsf(x);
  const float rounded = (magnitude + 0x1p23f) - 0x1p23f;
  const float result = magnitude < 0x1p23f ? rounded : magnitude;
  const float with_sign = float_of(bits_of(result) | (bits_of(x) & 0x80000000u));
  return x != x ? quiet(x) : with_sign;
}
/// x - floor(x), but always below 1 (the result for tiny negative x would round up to it).
template <auto kBelowOne>
KILN_ALWAYS_INLINE float fract_below(float x) {
  const float f = x - __builtin_floorf(x);
  return f >= 1.0f ? float_of(kBelowOne) : f;
}
KILN_ALWAYS_INLINE float fract(float x) {
  return fract_below<0x3f7fffffu>(x);
}
KILN_ALWAYS_INLINE float fract16(float x) {
  return fract_below<0x3f7fe000u>(x);
}

KILN_ALWAYS_INLINE i32 frexp_exponent(float x) {
  // Through binary64, where every binary32 number is normal.
  const u64 bits = bits_of(static_cast<double>(x));
  const i32 exponent = static_cast<i32>(bits >> 52 & 0x7ff) - 1022;
  const bool special = (x == 0.0f) | !(__builtin_fabsf(x) < __builtin_inff());
  return special ? 0 : exponent;
}
KILN_ALWAYS_INLINE float frexp_mantissa(float x) {
  const u64 bits = bits_of(static_cast<double>(x));
  const float m =
      static_cast<float>(double_of((bits & 0x800fffffffffffffull) | 0x3fe0000000000000ull));
  const bool special = (x == 0.0f) | !(__builtin_fabsf(x) < __builtin_inff());
  const float passed = x != x ? quiet(x) : x;
  return special ? passed : m;
}
KILN_ALWAYS_INLINE float scale(float x, i32 power) {
  // One rounding: binary64 holds x * 2^power exactly wherever it is not 0 or infinite anyway.
  const i32 high = power > 300 ? 300 : power;
  const i32 bounded = high < -300 ? -300 : high;
  const double factor = double_of(static_cast<u64>(static_cast<i64>(bounded) + 1023) << 52);
  return static_cast<float>(static_cast<double>(x) * factor);
}

KILN_ALWAYS_INLINE u32 exponent_of(float x) {
  return bits_of(x) >> 23 & 0xff;
}
KILN_ALWAYS_INLINE bool is_denormal(float x) {
  return exponent_of(x) == 0 && (bits_of(x) & 0x7fffffu) != 0;
}

// v_div_scale: S0 is the value to scale (S1 or S2), S1 the denominator, S2 the numerator. A huge
// denominator under a tiny quotient is scaled down: the pseudocode's 2^64 would overflow it, and
// v_div_fmas takes 2^64 back from small quotients.
WithMask<float> div_scale(float s0, float s1, float s2) {
  if (s2 == 0.0f || s1 == 0.0f) return {float_of(0x7fc00000u), false};
  const int gap = static_cast<int>(exponent_of(s2)) - static_cast<int>(exponent_of(s1));
  const double quotient = static_cast<double>(s2) / static_cast<double>(s1);
  const bool tiny_quotient = __builtin_fabs(quotient) < 0x1p-126;
  const bool tiny_reciprocal = __builtin_fabsf(s1) > 0x1p126f;  // 1 / S1 is denormal
  if (gap >= 96) return {s0 == s1 ? scale(s0, 64) : s0, true};
  if (is_denormal(s1)) return {scale(s0, 64), false};
  if (tiny_reciprocal && tiny_quotient) return {s0 == s1 ? scale(s0, -64) : s0, true};
  if (tiny_reciprocal) return {scale(s0, -64), false};
  if (tiny_quotient) return {s0 == s2 ? scale(s0, 64) : s0, true};
  if (exponent_of(s2) <= 23) return {scale(s0, 64), false};
  return {s0, false};
}

// The pseudocode's 2^32 is a slip: what v_div_scale moved by 2^64 has to come back, up for large
// quotients and down for small ones (S2 is the quotient so far).
float div_fmas(float a, float b, float c, bool scaled) {
  if (!scaled) return __builtin_fmaf(a, b, c);
  // One rounding for all of it, also where the quotient ends up denormal. (Rare, hence the slow
  // 113-bit arithmetic.)
  const __float128 power = exponent_of(c) > 127 ? 0x1p64f : 0x1p-64f;
  return static_cast<float>((static_cast<__float128>(a) * b + c) * power);
}

template <class F>
KILN_ALWAYS_INLINE F div_fixup(F q, F denominator, F numerator) {
  using Format = FloatFormat<F>;
  using Bits = typename Format::Bits;
  const Bits d = std::bit_cast<Bits>(denominator), n = std::bit_cast<Bits>(numerator);
  const Bits sign = (d ^ n) & Format::kSign;
  const Bits dm = d & ~Format::kSign, nm = n & ~Format::kSign;
  if (nm > Format::kInf) return std::bit_cast<F>(n | Format::kQuiet);
  if (dm > Format::kInf) return std::bit_cast<F>(d | Format::kQuiet);
  if ((dm == 0 && nm == 0) || (dm == Format::kInf && nm == Format::kInf)) {
    return std::bit_cast<F>(Format::kSign | Format::kInf | Format::kQuiet);
  }
  if (dm == 0 || nm == Format::kInf) return std::bit_cast<F>(sign | Format::kInf);
  if (dm == Format::kInf || nm == 0) return std::bit_cast<F>(sign);
  // Refinement steps of a quotient that overflows end in a NaN.
  if (q != q) return std::bit_cast<F>(sign | Format::kInf);
  return std::bit_cast<F>((std::bit_cast<Bits>(q) & ~Format::kSign) | sign);
}
float div_fixup32(float q, float d, float n) {
  const bool special = d == 0 || n == 0 || !(d - d == 0) || !(n - n == 0);
  if (!special) {
    const u32 sign = (bits_of(d) ^ bits_of(n)) & 0x80000000u;
    const int gap = static_cast<int>(exponent_of(n)) - static_cast<int>(exponent_of(d));
    // Far below the smallest denormal.
    if (gap < -150) return float_of(sign);
  }
  return div_fixup(q, d, n);
}
half div_fixup16(half q, half d, half n) {
  return {div_fixup(q.value, d.value, n.value)};
}

template <auto F>
KILN_ALWAYS_INLINE half as_half(half x) {
  return {F(x.value)};
}
KILN_ALWAYS_INLINE half scale_half(half x, i16 power) {
  return {scale(x.value, power)};
}
KILN_ALWAYS_INLINE i16 frexp_exponent_half(half x) {
  return static_cast<i16>(frexp_exponent(x.value));
}

constexpr unsigned kMathFlags = kFlushAlways | kRoundEven;

constexpr Semantics kRows[] = {
    {"v_rcp_f32", lanes<rcp, kMathFlags>},
    {"v_rcp_iflag_f32", lanes<rcp, kMathFlags>},
    {"v_rsq_f32", lanes<rsq, kMathFlags>},
    {"v_sqrt_f32", lanes<square_root, kMathFlags>},
    {"v_exp_f32", lanes<exp2_lane, kMathFlags>},
    {"v_log_f32", lanes<log2_lane, kMathFlags>},
    {"v_exp_legacy_f32", lanes<exp2_lane, kMathFlags>},
    {"v_log_legacy_f32", lanes<log2_lane, kMathFlags>},
    {"v_sin_f32", lanes<sin_lane, kMathFlags>},
    {"v_cos_f32", lanes<cos_lane, kMathFlags>},
    {"v_trunc_f32", lanes<trunc, kRoundEven>},
    {"v_ceil_f32", lanes<ceil, kRoundEven>},
    {"v_floor_f32", lanes<floor, kRoundEven>},
    {"v_rndne_f32", lanes<round_even, kRoundEven>},
    {"v_fract_f32", lanes<fract, kRoundEven>},
    {"v_frexp_exp_i32_f32", lanes<frexp_exponent>},
    {"v_frexp_mant_f32", lanes<frexp_mantissa>},
    {"v_ldexp_f32", lanes<scale>},
    {"v_div_scale_f32", lanes<div_scale>},
    {"v_div_fmas_f32", lanes<div_fmas>},
    {"v_div_fixup_f32", lanes<div_fixup32>},

    {"v_rcp_f16", lanes<as_half<rcp>, kRoundEven>},
    {"v_rsq_f16", lanes<as_half<rsq>, kRoundEven>},
    {"v_sqrt_f16", lanes<as_half<square_root>, kRoundEven>},
    {"v_exp_f16", lanes<as_half<exp2_lane>, kRoundEven>},
    {"v_log_f16", lanes<as_half<log2_lane>, kRoundEven>},
    {"v_sin_f16", lanes<as_half<sin_lane>, kRoundEven>},
    {"v_cos_f16", lanes<as_half<cos_lane>, kRoundEven>},
    {"v_trunc_f16", lanes<as_half<trunc>, kRoundEven>},
    {"v_ceil_f16", lanes<as_half<ceil>, kRoundEven>},
    {"v_floor_f16", lanes<as_half<floor>, kRoundEven>},
    {"v_rndne_f16", lanes<as_half<round_even>, kRoundEven>},
    {"v_fract_f16", lanes<as_half<fract16>, kRoundEven>},
    {"v_frexp_mant_f16", lanes<as_half<frexp_mantissa>>},
    {"v_frexp_exp_i16_f16", lanes<frexp_exponent_half>},
    {"v_ldexp_f16", lanes<scale_half>},
    {"v_div_fixup_f16", lanes<div_fixup16>},
    {"v_div_fixup_legacy_f16", lanes<div_fixup16>},
};

}  // namespace

void math_rows(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

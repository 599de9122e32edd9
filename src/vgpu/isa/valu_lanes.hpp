// Owns: small lane-level helpers several files of lane functions share.
// Does not own: rows; anything about registers.
// Threading: pure functions.
#pragma once

#include "vgpu/isa/valu.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {

using u16 = std::uint16_t;
using i16 = std::int16_t;
using u32 = std::uint32_t;
using i32 = std::int32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;

KILN_ALWAYS_INLINE std::uint32_t bits_of(float f) {
  return std::bit_cast<std::uint32_t>(f);
}
KILN_ALWAYS_INLINE std::uint64_t bits_of(double f) {
  return std::bit_cast<std::uint64_t>(f);
}
KILN_ALWAYS_INLINE float float_of(std::uint32_t b) {
  return std::bit_cast<float>(b);
}
KILN_ALWAYS_INLINE double double_of(std::uint64_t b) {
  return std::bit_cast<double>(b);
}

/// binary16 <-> binary32 as bits, rounding to nearest even. Signalling NaNs stay signalling.
KILN_ALWAYS_INLINE std::uint32_t float_bits_of_half(std::uint32_t h) {
  const std::uint32_t magnitude = (h & 0x7fff) << 13;
  const std::uint32_t exponent = h & 0x7c00;
  // 2^-14 is binary16's smallest normal number; the subtraction is exact.
  const float small =
      std::bit_cast<float>(magnitude + 0x38800000u) - std::bit_cast<float>(0x38800000u);
  std::uint32_t bits = magnitude + (exponent == 0x7c00 ? 0x70000000u : 0x38000000u);
  bits = exponent == 0 ? std::bit_cast<std::uint32_t>(small) : bits;
  return bits | (h & 0x8000) << 16;
}

KILN_ALWAYS_INLINE std::uint32_t half_bits_nearest(std::uint32_t f) {
  const std::uint32_t magnitude = f & 0x7fffffff;
  const std::uint32_t sign = (f >> 16) & 0x8000;
  // Normal: add half a unit (and the odd bit, for ties), then drop 13 bits.
  std::uint32_t bits = (magnitude - 0x38000000u + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Below 2^-14: adding 0.5 lets the float adder round at 2^-24.
  const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
  bits = magnitude < 0x38800000u ? std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u : bits;
  bits = magnitude >= 0x477ff000u ? 0x7c00u : bits;
  const std::uint32_t payload = (magnitude >> 13) & 0x3ff;
  const std::uint32_t nan = 0x7c00u | (payload == 0 ? 0x200u : payload);
  bits = magnitude > 0x7f800000u ? nan : bits;
  return bits | sign;
}

template <class F>
struct FloatFormat;
template <>
struct FloatFormat<float> {
  using Bits = std::uint32_t;
  static constexpr Bits kSign = 0x80000000u, kQuiet = 0x00400000u, kInf = 0x7f800000u;
};
template <>
struct FloatFormat<double> {
  using Bits = std::uint64_t;
  static constexpr Bits kSign = 1ull << 63, kQuiet = 1ull << 51, kInf = 0x7ffull << 52;
};

/// v_min and v_max: IEEE 754-2008 minNum and maxNum with -0 < +0. One NaN operand yields the other
/// operand; of two, RDNA takes the first and CDNA the second; in IEEE mode a signalling NaN wins,
/// quieted (pseudocode of V_MIN_F32 and V_MAX_F32 in both ISA documents).
template <bool kMaximum, class F>
KILN_ALWAYS_INLINE F choose_number(F a, F b, const Env& e) {
  using Format = FloatFormat<F>;
  using Bits = typename Format::Bits;
  const Bits x = std::bit_cast<Bits>(a), y = std::bit_cast<Bits>(b);
  const bool nan_a = a != a, nan_b = b != b;
  const bool first_zero = kMaximum ? x == 0 && y == Format::kSign : x == Format::kSign && y == 0;
  const bool before = (kMaximum ? a > b : a < b) | first_zero;
  const bool take_a = e.rdna ? nan_b | (before & (!nan_a)) : (!nan_a) & (nan_b | before);
  Bits result = take_a ? x : y;
  const bool signal_a = nan_a & ((x & Format::kQuiet) == 0) & e.ieee;
  const bool signal_b = nan_b & ((y & Format::kQuiet) == 0) & e.ieee;
  result = signal_b ? y | Format::kQuiet : result;
  result = signal_a ? x | Format::kQuiet : result;
  return std::bit_cast<F>(result);
}

KILN_ALWAYS_INLINE float min_number(float a, float b, const Env& e) {
  return choose_number<false>(a, b, e);
}
KILN_ALWAYS_INLINE float max_number(float a, float b, const Env& e) {
  return choose_number<true>(a, b, e);
}

/// a * b + c for binary16 values, such that rounding the result to binary16 rounds once. The
/// product is exact; the sum is rounded to odd, with the error that two-sum finds (Boldo and
/// Melquiond, "Emulation of FMA and correctly rounded sums"). Directed roundings compose as they
/// are.
KILN_ALWAYS_INLINE float fma_to_odd(float a, float b, float c, const Env& e) {
  const float p = a * b;
  const float s = p + c;
  const float t = s - p;
  const float error = (p - (s - t)) + (c - t);
  const std::uint32_t bits = bits_of(s);
  const bool up = error > 0.0f, down = error < 0.0f;
  const bool negative = (bits >> 31) != 0;
  const bool towards_zero = (up & negative) | (down & (!negative));
  const std::uint32_t odd = (towards_zero ? bits - 1 : bits) | 1;
  return e.round16 == 0 && (up | down) ? float_of(odd) : s;
}

/// Rounds a binary32 value to binary16's precision and range, under the mode the loop runs in.
KILN_ALWAYS_INLINE float round_to_half(float f, const Env&) {
  const std::uint32_t magnitude = bits_of(f) & 0x7fffffffu;
  const std::uint32_t sign = bits_of(f) & 0x80000000u;
  // Adding and subtracting 2^13 times the value's power of two leaves 11 bits of it; below 2^-14
  // the last place is 2^-24.
  std::uint32_t exponent = magnitude & 0x7f800000u;
  exponent = exponent < 0x38800000u ? 0x38800000u : exponent;
  const float big = float_of(exponent + (13u << 23)) * 1.5f;
  const float signed_big = float_of(bits_of(big) | sign);
  const float rounded = (f + signed_big) - signed_big;
  std::uint32_t result = (bits_of(rounded) & 0x7fffffffu) | sign;
  result = (result & 0x7fffffffu) >= 0x47800000u ? sign | 0x7f800000u : result;
  return magnitude >= 0x7f800000u ? f : float_of(result);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

// Owns: binary32 and binary16 arithmetic: add, multiply, fused multiply-add, minimum, maximum,
//   median, and their packed forms.
// Does not own: transcendental and division steps (valu_math.cpp), binary64 (valu_double.cpp).
// Threading: pure lane functions.
//
// binary16 is computed in binary32 and rounded once more at the end: with 24 >= 2*11+2 bits the
// second rounding of a sum, product or quotient is innocuous. A fused multiply-add needs the first
// step rounded to odd.
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

constexpr float add(float a, float b) {
  return a + b;
}
constexpr float sub(float a, float b) {
  return a - b;
}
constexpr float subrev(float a, float b) {
  return b - a;
}
constexpr float mul(float a, float b) {
  return a * b;
}
KILN_ALWAYS_INLINE float fma(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}

/// gfx9's v_mad_f32: the product is rounded, and no step knows denormals (LLVM's
/// SIISelLowering.cpp takes it only where binary32 denormals are flushed).
KILN_ALWAYS_INLINE float mad(float a, float b, float c) {
  const float product = a * b;
  return (__builtin_fabsf(product) < 0x1p-126f ? product * 0.0f : product) + c;
}

// "DX9 rules": 0 times anything is +0.
KILN_ALWAYS_INLINE float mul_zero(float a, float b) {
  const bool zero = (a == 0.0f) | (b == 0.0f);
  return zero ? 0.0f : a * b;
}
KILN_ALWAYS_INLINE float fma_zero(float a, float b, float c) {
  const bool zero = (a == 0.0f) | (b == 0.0f);
  return zero ? c : __builtin_fmaf(a, b, c);
}
KILN_ALWAYS_INLINE float mad_zero(float a, float b, float c) {
  const bool zero = (a == 0.0f) | (b == 0.0f);
  return zero ? c : mad(a, b, c);
}

KILN_ALWAYS_INLINE float min3(float a, float b, float c, const Env& e) {
  return min_number(min_number(a, b, e), c, e);
}
KILN_ALWAYS_INLINE float max3(float a, float b, float c, const Env& e) {
  return max_number(max_number(a, b, e), c, e);
}
KILN_ALWAYS_INLINE float maxmin(float a, float b, float c, const Env& e) {
  return min_number(max_number(a, b, e), c, e);
}
KILN_ALWAYS_INLINE float minmax(float a, float b, float c, const Env& e) {
  return max_number(min_number(a, b, e), c, e);
}
KILN_ALWAYS_INLINE float med3(float a, float b, float c, const Env& e) {
  const float most = max3(a, b, c, e);
  const float least = min3(a, b, c, e);
  float middle = max_number(a, b, e);
  middle = most == b ? max_number(a, c, e) : middle;
  middle = most == a ? max_number(b, c, e) : middle;
  const bool any_nan = (a != a) | (b != b) | (c != c);
  return any_nan ? least : middle;
}
KILN_ALWAYS_INLINE float mullit(float a, float b, float c) {
  constexpr float kMost = -3.40282347e38f;
  const bool dark = (b <= kMost) | (b != b) | !(c > 0.0f);
  return dark ? kMost : a * b;
}

KILN_ALWAYS_INLINE half add_half(half a, half b) {
  return {a.value + b.value};
}
KILN_ALWAYS_INLINE half sub_half(half a, half b) {
  return {a.value - b.value};
}
KILN_ALWAYS_INLINE half subrev_half(half a, half b) {
  return {b.value - a.value};
}
KILN_ALWAYS_INLINE half mul_half(half a, half b) {
  return {a.value * b.value};
}
KILN_ALWAYS_INLINE half fma_half(half a, half b, half c, const Env& e) {
  return {fma_to_odd(a.value, b.value, c.value, e)};
}
KILN_ALWAYS_INLINE half mac_half(half a, half b, half c, const Env& e) {
  // Unfused on gfx9: the product is rounded to binary16 first.
  return {round_to_half(a.value * b.value, e) + c.value};
}
KILN_ALWAYS_INLINE half min_half(half a, half b, const Env& e) {
  return {min_number(a.value, b.value, e)};
}
KILN_ALWAYS_INLINE half max_half(half a, half b, const Env& e) {
  return {max_number(a.value, b.value, e)};
}
KILN_ALWAYS_INLINE half min3_half(half a, half b, half c, const Env& e) {
  return {min3(a.value, b.value, c.value, e)};
}
KILN_ALWAYS_INLINE half max3_half(half a, half b, half c, const Env& e) {
  return {max3(a.value, b.value, c.value, e)};
}
KILN_ALWAYS_INLINE half med3_half(half a, half b, half c, const Env& e) {
  return {med3(a.value, b.value, c.value, e)};
}
KILN_ALWAYS_INLINE half maxmin_half(half a, half b, half c, const Env& e) {
  return {maxmin(a.value, b.value, c.value, e)};
}
KILN_ALWAYS_INLINE half minmax_half(half a, half b, half c, const Env& e) {
  return {minmax(a.value, b.value, c.value, e)};
}

constexpr Semantics kRows[] = {
    {"v_add_f32", lanes<add>},
    {"v_sub_f32", lanes<sub>},
    {"v_subrev_f32", lanes<subrev>},
    {"v_mul_f32", lanes<mul>},
    {"v_mul_dx9_zero_f32", lanes<mul_zero>},
    {"v_fma_dx9_zero_f32", lanes<fma_zero>},
    {"v_fmac_dx9_zero_f32", lanes<fma_zero, kAccumulate>},
    {"v_fma_f32", lanes<fma>},
    {"v_fmac_f32", lanes<fma, kAccumulate>},
    {"v_fmaak_f32", lanes<fma>},
    {"v_fmamk_f32", lanes<fma>},
    {"v_mad_f32", lanes<mad, kFlushAlways>},
    {"v_mac_f32", lanes<mad, kFlushAlways | kAccumulate>},
    {"v_madak_f32", lanes<mad, kFlushAlways>},
    {"v_madmk_f32", lanes<mad, kFlushAlways>},
    {"v_mad_legacy_f32", lanes<mad_zero, kFlushAlways>},
    {"v_min_f32", lanes<min_number>},
    {"v_max_f32", lanes<max_number>},
    {"v_min3_f32", lanes<min3>},
    {"v_max3_f32", lanes<max3>},
    {"v_med3_f32", lanes<med3>},
    {"v_maxmin_f32", lanes<maxmin>},
    {"v_minmax_f32", lanes<minmax>},
    {"v_mullit_f32", lanes<mullit>},

    {"v_add_f16", lanes<add_half>},
    {"v_sub_f16", lanes<sub_half>},
    {"v_subrev_f16", lanes<subrev_half>},
    {"v_mul_f16", lanes<mul_half>},
    {"v_fma_f16", lanes<fma_half>},
    {"v_fma_legacy_f16", lanes<fma_half>},
    {"v_fmac_f16", lanes<fma_half, kAccumulate>},
    {"v_fmaak_f16", lanes<fma_half>},
    {"v_fmamk_f16", lanes<fma_half>},
    {"v_mad_f16", lanes<mac_half>},
    {"v_mad_legacy_f16", lanes<mac_half>},
    {"v_mac_f16", lanes<mac_half, kAccumulate | kKeepHigh>},
    {"v_madak_f16", lanes<mac_half, kKeepHigh>},
    {"v_madmk_f16", lanes<mac_half, kKeepHigh>},
    {"v_min_f16", lanes<min_half>},
    {"v_max_f16", lanes<max_half>},
    {"v_min3_f16", lanes<min3_half, kKeepHigh>},
    {"v_max3_f16", lanes<max3_half, kKeepHigh>},
    {"v_med3_f16", lanes<med3_half, kKeepHigh>},
    {"v_maxmin_f16", lanes<maxmin_half>},
    {"v_minmax_f16", lanes<minmax_half>},

    {"v_pk_add_f16", packed<add_half>},
    {"v_pk_mul_f16", packed<mul_half>},
    {"v_pk_fma_f16", packed<fma_half>},
    {"v_pk_fmac_f16", packed<fma_half, kAccumulate>},
    {"v_pk_min_f16", packed<min_half>},
    {"v_pk_max_f16", packed<max_half>},
    {"v_pk_add_f32", packed<add>},
    {"v_pk_mul_f32", packed<mul>},
    {"v_pk_fma_f32", packed<fma>},
};

}  // namespace

void float_rows(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

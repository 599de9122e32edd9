// Owns: comparisons and class tests of every type, their EXEC-writing forms, and v_cndmask.
// Does not own: how lane masks are packed and written (valu_operands.cpp, valu_run.cpp).
// Threading: pure lane functions.
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

template <class T>
KILN_ALWAYS_INLINE T number(T v) {
  return v;
}
KILN_ALWAYS_INLINE float number(half v) {
  return v.value;
}

template <class T>
KILN_ALWAYS_INLINE bool never(T, T) {
  return false;
}
template <class T>
KILN_ALWAYS_INLINE bool always(T, T) {
  return true;
}
template <class T>
KILN_ALWAYS_INLINE bool lt(T a, T b) {
  return number(a) < number(b);
}
template <class T>
KILN_ALWAYS_INLINE bool eq(T a, T b) {
  return number(a) == number(b);
}
template <class T>
KILN_ALWAYS_INLINE bool le(T a, T b) {
  return number(a) <= number(b);
}
template <class T>
KILN_ALWAYS_INLINE bool gt(T a, T b) {
  return number(a) > number(b);
}
template <class T>
KILN_ALWAYS_INLINE bool ge(T a, T b) {
  return number(a) >= number(b);
}
template <class T>
KILN_ALWAYS_INLINE bool ne(T a, T b) {
  return number(a) != number(b);
}
template <class T>
KILN_ALWAYS_INLINE bool nlt(T a, T b) {
  return !(number(a) < number(b));
}
template <class T>
KILN_ALWAYS_INLINE bool nle(T a, T b) {
  return !(number(a) <= number(b));
}
template <class T>
KILN_ALWAYS_INLINE bool ngt(T a, T b) {
  return !(number(a) > number(b));
}
template <class T>
KILN_ALWAYS_INLINE bool nge(T a, T b) {
  return !(number(a) >= number(b));
}
template <class T>
KILN_ALWAYS_INLINE bool unordered(T a, T b) {
  return __builtin_isunordered(number(a), number(b));
}
template <class T>
KILN_ALWAYS_INLINE bool ordered(T a, T b) {
  return !unordered(a, b);
}
template <class T>
KILN_ALWAYS_INLINE bool lg(T a, T b) {
  return __builtin_islessgreater(number(a), number(b));
}
template <class T>
KILN_ALWAYS_INLINE bool nlg(T a, T b) {
  return !lg(a, b);
}

/// Bit of v_cmp_class's mask: 0 signalling NaN, 1 quiet NaN, 2..5 -inf, -normal, -denormal, -0,
/// 6..9 the same positive, upwards.
template <class Bits>
constexpr u32 class_bit(Bits v, Bits sign, Bits infinity, Bits least_normal, Bits quiet) {
  const Bits magnitude = v & ~sign;
  const bool negative = (v & sign) != 0;
  u32 bit = negative ? 3 : 8;
  bit = magnitude < least_normal ? (negative ? 4 : 7) : bit;
  bit = magnitude == 0 ? (negative ? 5 : 6) : bit;
  bit = magnitude == infinity ? (negative ? 2 : 9) : bit;
  const u32 nan = (magnitude & quiet) != 0 ? 1 : 0;
  return magnitude > infinity ? nan : bit;
}
KILN_ALWAYS_INLINE bool class_f32(float v, u32 mask) {
  return (mask >> class_bit<u32>(bits_of(v), 0x80000000u, 0x7f800000u, 0x00800000u, 0x00400000u) &
          1) != 0;
}
KILN_ALWAYS_INLINE bool class_f64(double v, u32 mask) {
  return (mask >> class_bit<u64>(bits_of(v), 1ull << 63, 0x7ffull << 52, 1ull << 52, 1ull << 51) &
          1) != 0;
}
KILN_ALWAYS_INLINE bool class_f16(half v, u32 mask) {
  const u32 bits = half_bits_nearest(bits_of(v.value));
  return (mask >> class_bit<u32>(bits, 0x8000u, 0x7c00u, 0x0400u, 0x0200u) & 1) != 0;
}

#define KILN_COMPARE(name, type, function)       \
  {"v_cmp_" name, lanes<function<type>>}, {      \
    "v_cmpx_" name, lanes<function<type>, kCmpx> \
  }
#define KILN_INTEGER_COMPARES(suffix, type)                                       \
  KILN_COMPARE("f_" suffix, type, never), KILN_COMPARE("lt_" suffix, type, lt),   \
      KILN_COMPARE("eq_" suffix, type, eq), KILN_COMPARE("le_" suffix, type, le), \
      KILN_COMPARE("gt_" suffix, type, gt), KILN_COMPARE("ne_" suffix, type, ne), \
      KILN_COMPARE("ge_" suffix, type, ge), KILN_COMPARE("t_" suffix, type, always)
#define KILN_FLOAT_COMPARES(suffix, type)                                                 \
  KILN_COMPARE("f_" suffix, type, never), KILN_COMPARE("lt_" suffix, type, lt),           \
      KILN_COMPARE("eq_" suffix, type, eq), KILN_COMPARE("le_" suffix, type, le),         \
      KILN_COMPARE("gt_" suffix, type, gt), KILN_COMPARE("lg_" suffix, type, lg),         \
      KILN_COMPARE("ge_" suffix, type, ge), KILN_COMPARE("o_" suffix, type, ordered),     \
      KILN_COMPARE("u_" suffix, type, unordered), KILN_COMPARE("nge_" suffix, type, nge), \
      KILN_COMPARE("nlg_" suffix, type, nlg), KILN_COMPARE("ngt_" suffix, type, ngt),     \
      KILN_COMPARE("nle_" suffix, type, nle), KILN_COMPARE("neq_" suffix, type, ne),      \
      KILN_COMPARE("nlt_" suffix, type, nlt), KILN_COMPARE("t_" suffix, type, always)

constexpr Semantics kRows[] = {
    KILN_FLOAT_COMPARES("f16", half),
    KILN_FLOAT_COMPARES("f32", float),
    KILN_FLOAT_COMPARES("f64", double),
    KILN_INTEGER_COMPARES("i16", i16),
    KILN_INTEGER_COMPARES("u16", u16),
    KILN_INTEGER_COMPARES("i32", i32),
    KILN_INTEGER_COMPARES("u32", u32),
    KILN_INTEGER_COMPARES("i64", i64),
    KILN_INTEGER_COMPARES("u64", u64),
    {"v_cmp_class_f16", lanes<class_f16, kRaw>},
    {"v_cmpx_class_f16", lanes<class_f16, kRaw | kCmpx>},
    {"v_cmp_class_f32", lanes<class_f32, kRaw>},
    {"v_cmpx_class_f32", lanes<class_f32, kRaw | kCmpx>},
    {"v_cmp_class_f64", lanes<class_f64, kRaw>},
    {"v_cmpx_class_f64", lanes<class_f64, kRaw | kCmpx>},
    {"v_cndmask_b32", lanes<[](u32 a, u32 b, bool pick) { return pick ? b : a; }, kSignModifiers>},
    {"v_cndmask_b16", lanes<[](u16 a, u16 b, bool pick) { return pick ? b : a; }>},
};

}  // namespace

void compare_rows(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

// Owns: conversions between number formats, packing ones included.
// Does not own: rounding to integers in float format (valu_math.cpp).
// Threading: pure lane functions.
//
// Float to integer conversions truncate, saturate and turn NaN into 0. The 8-bit floats of gfx942
// are the FNUZ kinds: one NaN (0x80), no infinities, no -0; exponent biases 8 (E4M3) and 16 (E5M2).
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

KILN_ALWAYS_INLINE float quiet(float f) {
  return f != f ? float_of(bits_of(f) | 0x00400000u) : f;
}

KILN_ALWAYS_INLINE i32 to_i32(float f) {
  float v = f != f ? 0.0f : f;
  v = v < -2147483648.0f ? -2147483648.0f : v;
  const bool over = v >= 2147483648.0f;
  v = over ? 0.0f : v;
  const i32 result = static_cast<i32>(v);
  return over ? 0x7fffffff : result;
}
KILN_ALWAYS_INLINE u32 to_u32(float f) {
  float v = f > 0.0f ? f : 0.0f;
  const bool over = v >= 4294967296.0f;
  v = over ? 0.0f : v;
  const bool upper = v >= 2147483648.0f;
  const float low = upper ? v - 2147483648.0f : v;
  const u32 result = static_cast<u32>(static_cast<i32>(low)) ^ (upper ? 0x80000000u : 0u);
  return over ? 0xffffffffu : result;
}
KILN_ALWAYS_INLINE i32 to_i32(double d) {
  double v = d != d ? 0.0 : d;
  v = v < -2147483648.0 ? -2147483648.0 : v;
  v = v > 2147483647.0 ? 2147483647.0 : v;
  return static_cast<i32>(v);
}
KILN_ALWAYS_INLINE u32 to_u32(double d) {
  double v = d > 0.0 ? d : 0.0;
  v = v > 4294967295.0 ? 4294967295.0 : v;
  return static_cast<u32>(static_cast<i64>(v));
}
KILN_ALWAYS_INLINE i32 to_range(float f, i32 least, i32 most) {
  float v = f != f ? 0.0f : f;
  v = v < static_cast<float>(least) ? static_cast<float>(least) : v;
  v = v > static_cast<float>(most) ? static_cast<float>(most) : v;
  return static_cast<i32>(v);
}
KILN_ALWAYS_INLINE u32 pair(i32 low, i32 high) {
  return (static_cast<u32>(low) & 0xffff) | static_cast<u32>(high) << 16;
}

KILN_ALWAYS_INLINE i32 to_i32_floor(float f) {
  return to_i32(__builtin_floorf(f));
}
KILN_ALWAYS_INLINE i32 to_i32_nearest(float f) {
  // Halves go up; binary64 keeps the sum exact.
  return to_i32(__builtin_floor(static_cast<double>(f) + 0.5));
}

template <unsigned kByte>
KILN_ALWAYS_INLINE float from_ubyte(u32 v) {
  return static_cast<float>(static_cast<i32>(v >> (8 * kByte) & 0xff));
}

KILN_ALWAYS_INLINE i32 snorm(float f) {
  float v = f != f ? 0.0f : f;
  v = v < -1.0f ? -1.0f : v > 1.0f ? 1.0f : v;
  return static_cast<i32>(__builtin_floorf(v * 32767.0f + 0.5f));
}
KILN_ALWAYS_INLINE i32 unorm(float f) {
  float v = f > 0.0f ? f : 0.0f;
  v = v > 1.0f ? 1.0f : v;
  return static_cast<i32>(__builtin_floorf(v * 65535.0f + 0.5f));
}

KILN_ALWAYS_INLINE u32 half_bits_to_zero(float f) {
  const u32 magnitude = bits_of(f) & 0x7fffffffu;
  const u32 sign = bits_of(f) >> 16 & 0x8000u;
  u32 bits = (magnitude - 0x38000000u) >> 13;
  const float small = magnitude < 0x38800000u ? float_of(magnitude) : 0.0f;
  bits = magnitude < 0x38800000u ? static_cast<u32>(static_cast<i32>(small * 0x1p24f)) : bits;
  bits = magnitude >= 0x47800000u ? 0x7bffu : bits;
  bits = magnitude == 0x7f800000u ? 0x7c00u : bits;
  bits = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x3ff) : bits;
  return sign | bits;
}
KILN_ALWAYS_INLINE u32 pack_to_zero(float a, float b) {
  return half_bits_to_zero(a) | half_bits_to_zero(b) << 16;
}

KILN_ALWAYS_INLINE u32 insert_byte(float f, u32 which, u32 rest) {
  const u32 shift = 8 * (which & 3);
  return (rest & ~(0xffu << shift)) | static_cast<u32>(to_range(f, 0, 255)) << shift;
}
KILN_ALWAYS_INLINE i32 saturate_i16(i32 v) {
  return v < -0x8000 ? -0x8000 : v > 0x7fff ? 0x7fff : v;
}
KILN_ALWAYS_INLINE u32 saturate_u16(u32 v) {
  return v > 0xffff ? 0xffff : v;
}
KILN_ALWAYS_INLINE u32 saturate_u8(i32 v) {
  return static_cast<u32>(v < 0 ? 0 : v > 255 ? 255 : v);
}

struct Fp8 {
  static constexpr int kMantissa = 3, kBias = 8;
};
struct Bf8 {
  static constexpr int kMantissa = 2, kBias = 16;
};

template <class Format>
KILN_ALWAYS_INLINE float from_float8(u32 byte) {
  constexpr int kM = Format::kMantissa;
  const u32 magnitude = byte & 0x7f;
  const u32 mantissa = magnitude & ((1u << kM) - 1);
  const u32 exponent = magnitude >> kM;
  const u32 sign = (byte & 0x80) << 24;
  const u32 scale_exponent = (exponent == 0 ? 1u : exponent) + 127 - Format::kBias - kM;
  const i32 integer = static_cast<i32>(mantissa + (exponent == 0 ? 0u : 1u << kM));
  const float value = static_cast<float>(integer) * float_of(scale_exponent << 23);
  return byte == 0x80 ? float_of(0x7fc00000u) : float_of(bits_of(value) | sign);
}

enum class Rounding { Nearest, Down };

/// NaN and infinity give NaN; so does overflow, except under MODE.FP16_OVFL.
template <class Format, Rounding kRounding>
u32 to_float8(float f, const Env& env) {
  constexpr int kM = Format::kMantissa;
  const u32 magnitude = bits_of(f) & 0x7fffffffu;
  const u32 sign = bits_of(f) >> 24 & 0x80;
  if (magnitude >= 0x7f800000u) return 0x80;
  if (magnitude < 0x00800000u) return 0;
  int exponent = static_cast<int>(magnitude >> 23) - 127;
  const u32 mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  const int least = 1 - Format::kBias;
  const int drop = 23 - kM + (exponent < least ? least - exponent : 0);
  exponent = exponent < least ? least : exponent;
  if (drop > 25) return 0;
  u32 units = mantissa >> drop;
  if (kRounding == Rounding::Nearest) {
    const u32 rest = mantissa & ((1u << drop) - 1), tie = 1u << (drop - 1);
    if (rest > tie || (rest == tie && (units & 1) != 0)) ++units;
  }
  const int bits = ((exponent + Format::kBias - 1) << kM) + static_cast<int>(units);
  if (units == 0) return 0;
  if (bits > 0x7f) return env.fp16_overflow_clamps ? sign | 0x7f : 0x80;
  return sign | static_cast<u32>(bits);
}

template <class Format, unsigned kHigh>
u32 pack_float8(float a, float b, u32 old, const Env& env) {
  const u32 both = to_float8<Format, Rounding::Nearest>(a, env) |
                   to_float8<Format, Rounding::Nearest>(b, env) << 8;
  return kHigh != 0 ? (old & 0xffff) | both << 16 : (old & 0xffff0000u) | both;
}

/// Stochastic rounding: S1's top bits are added below the kept mantissa, then it is cut off.
template <class Format, unsigned kByte>
u32 stochastic_float8(float f, u32 random, u32 old, const Env& env) {
  const u32 magnitude = bits_of(f) & 0x7fffffffu;
  u32 bits = bits_of(f);
  if (magnitude < 0x7f800000u) bits += random >> (9 + Format::kMantissa);
  const u32 byte = to_float8<Format, Rounding::Down>(float_of(bits), env);
  return (old & ~(0xffu << (8 * kByte))) | byte << (8 * kByte);
}

template <class Format>
u64 unpack_float8(u32 pair_of_bytes) {
  return bits_of(from_float8<Format>(pair_of_bytes & 0xff)) |
         u64{bits_of(from_float8<Format>(pair_of_bytes >> 8 & 0xff))} << 32;
}

// The destination byte or half comes from op_sel, known at decode.
template <class Format>
Handler pack_select(Instruction& i) {
  const bool high = (i.op_sel & 8) != 0;
  return high ? lanes<pack_float8<Format, 1>, kAccumulate | kRoundEven>(i)
              : lanes<pack_float8<Format, 0>, kAccumulate | kRoundEven>(i);
}
template <class Format>
Handler stochastic_select(Instruction& i) {
  constexpr unsigned kFlags = kAccumulate | kRoundEven;
  switch (i.op_sel >> 2 & 3) {
    case 0:
      return lanes<stochastic_float8<Format, 0>, kFlags>(i);
    case 1:
      return lanes<stochastic_float8<Format, 1>, kFlags>(i);
    case 2:
      return lanes<stochastic_float8<Format, 2>, kFlags>(i);
    default:
      return lanes<stochastic_float8<Format, 3>, kFlags>(i);
  }
}

constexpr Semantics kRows[] = {
    {"v_cvt_i32_f32", lanes<[](float f) { return to_i32(f); }>},
    {"v_cvt_u32_f32", lanes<[](float f) { return to_u32(f); }>},
    {"v_cvt_i32_f64", lanes<[](double d) { return to_i32(d); }>},
    {"v_cvt_u32_f64", lanes<[](double d) { return to_u32(d); }>},
    {"v_cvt_floor_i32_f32", lanes<to_i32_floor, kRoundEven>},
    {"v_cvt_nearest_i32_f32", lanes<to_i32_nearest, kRoundEven>},
    {"v_cvt_f32_i32", lanes<[](i32 v) { return static_cast<float>(v); }>},
    {"v_cvt_f32_u32", lanes<[](u32 v) { return static_cast<float>(v); }>},
    {"v_cvt_f64_i32", lanes<[](i32 v) { return static_cast<double>(v); }>},
    {"v_cvt_f64_u32", lanes<[](u32 v) { return static_cast<double>(v); }>},
    {"v_cvt_f32_f64", lanes<[](double d) { return static_cast<float>(d); }>},
    {"v_cvt_f64_f32", lanes<[](float f) { return static_cast<double>(f); }>},
    {"v_cvt_f16_f32", lanes<[](float f) { return half{quiet(f)}; }>},
    {"v_cvt_f32_f16", lanes<[](half h) { return quiet(h.value); }>},
    {"v_cvt_f16_u16", lanes<[](u16 v) { return half{static_cast<float>(v)}; }>},
    {"v_cvt_f16_i16", lanes<[](i16 v) { return half{static_cast<float>(v)}; }>},
    {"v_cvt_u16_f16",
     lanes<[](half h) { return static_cast<u16>(to_range(h.value, 0, 0xffff)); }, kKeepHigh>},
    {"v_cvt_i16_f16",
     lanes<[](half h) { return static_cast<i16>(to_range(h.value, -0x8000, 0x7fff)); }, kKeepHigh>},
    {"v_cvt_i32_i16", lanes<[](i16 v) { return i32{v}; }>},
    {"v_cvt_u32_u16", lanes<[](u16 v) { return u32{v}; }>},
    {"v_cvt_f32_ubyte0", lanes<from_ubyte<0>>},
    {"v_cvt_f32_ubyte1", lanes<from_ubyte<1>>},
    {"v_cvt_f32_ubyte2", lanes<from_ubyte<2>>},
    {"v_cvt_f32_ubyte3", lanes<from_ubyte<3>>},
    {"v_cvt_off_f32_i4",
     lanes<[](u32 v) { return static_cast<float>((static_cast<i32>(v << 28) >> 28)) * 0.0625f; }>},
    {"v_cvt_norm_i16_f16",
     lanes<[](half h) { return static_cast<i16>(snorm(h.value)); }, kKeepHigh | kRoundEven>},
    {"v_cvt_norm_u16_f16",
     lanes<[](half h) { return static_cast<u16>(unorm(h.value)); }, kKeepHigh | kRoundEven>},
    {"v_cvt_pk_norm_i16_f32",
     lanes<[](float a, float b) { return pair(snorm(a), snorm(b)); }, kRoundEven>},
    {"v_cvt_pk_norm_u16_f32",
     lanes<[](float a, float b) { return pair(unorm(a), unorm(b)); }, kRoundEven>},
    {"v_cvt_pk_norm_i16_f16",
     lanes<[](half a, half b) { return pair(snorm(a.value), snorm(b.value)); }, kRoundEven>},
    {"v_cvt_pk_norm_u16_f16",
     lanes<[](half a, half b) { return pair(unorm(a.value), unorm(b.value)); }, kRoundEven>},
    {"v_cvt_pk_rtz_f16_f32", lanes<pack_to_zero, kRoundEven>},
    {"v_cvt_pk_i16_f32", lanes<[](float a, float b) {
       return pair(to_range(a, -0x8000, 0x7fff), to_range(b, -0x8000, 0x7fff));
     }>},
    {"v_cvt_pk_u16_f32",
     lanes<[](float a, float b) { return pair(to_range(a, 0, 0xffff), to_range(b, 0, 0xffff)); }>},
    {"v_cvt_pk_i16_i32",
     lanes<[](i32 a, i32 b) { return pair(saturate_i16(a), saturate_i16(b)); }>},
    {"v_cvt_pk_u16_u32",
     lanes<[](u32 a, u32 b) { return saturate_u16(a) | saturate_u16(b) << 16; }>},
    {"v_cvt_pk_u8_f32", lanes<insert_byte>},
    {"v_cvt_pkaccum_u8_f32", lanes<insert_byte, kAccumulate>},
    {"v_sat_pk_u8_i16", lanes<[](u32 v) {
       const i32 low = static_cast<i16>(v), high = (static_cast<i32>(v) >> 16);
       return static_cast<u16>(saturate_u8(low) | saturate_u8(high) << 8);
     }>},

    {"v_cvt_f32_fp8", lanes<[](u32 v) { return from_float8<Fp8>(v & 0xff); }>},
    {"v_cvt_f32_bf8", lanes<[](u32 v) { return from_float8<Bf8>(v & 0xff); }>},
    {"v_cvt_pk_f32_fp8", lanes<unpack_float8<Fp8>>},
    {"v_cvt_pk_f32_bf8", lanes<unpack_float8<Bf8>>},
    {"v_cvt_pk_fp8_f32", pack_select<Fp8>},
    {"v_cvt_pk_bf8_f32", pack_select<Bf8>},
    {"v_cvt_sr_fp8_f32", stochastic_select<Fp8>},
    {"v_cvt_sr_bf8_f32", stochastic_select<Bf8>},
};

}  // namespace

void convert_rows(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

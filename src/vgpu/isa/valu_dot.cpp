// Owns: dot products and the mixed-precision fused multiply-adds.
// Does not own: matrix instructions (matrix*).
// Threading: the wave's host thread.
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_forms.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

KILN_ALWAYS_INLINE float low_half(u32 v) {
  return float_of(float_bits_of_half(v & 0xffff));
}
KILN_ALWAYS_INLINE float high_half(u32 v) {
  return float_of(float_bits_of_half(v >> 16));
}
KILN_ALWAYS_INLINE float low_bf16(u32 v) {
  return float_of(v << 16);
}
KILN_ALWAYS_INLINE float high_bf16(u32 v) {
  return float_of(v & 0xffff0000u);
}

// Products are exact in binary32; the sums are rounded one after the other, low element first.
KILN_ALWAYS_INLINE float dot2_f16(u32 a, u32 b, float c) {
  return (c + low_half(a) * low_half(b)) + high_half(a) * high_half(b);
}
KILN_ALWAYS_INLINE float dot2_bf16(u32 a, u32 b, float c) {
  return (c + low_bf16(a) * low_bf16(b)) + high_bf16(a) * high_bf16(b);
}

KILN_ALWAYS_INLINE half dot2_f16_f16(u32 a, u32 b, half c, const Env& e) {
  const float first = round_to_half(fma_to_odd(low_half(a), low_half(b), c.value, e), e);
  return {fma_to_odd(high_half(a), high_half(b), first, e)};
}
KILN_ALWAYS_INLINE u32 round_bf16(float f) {
  const u32 bits = bits_of(f);
  const u32 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return f != f ? bits >> 16 | 0x40 : rounded;
}
KILN_ALWAYS_INLINE u16 dot2_bf16_bf16(u32 a, u32 b, u16 c) {
  const float first = float_of(round_bf16(low_bf16(c) + low_bf16(a) * low_bf16(b)) << 16);
  return static_cast<u16>(round_bf16(first + high_bf16(a) * high_bf16(b)));
}

// Sums of 4-bit and 8-bit products fit 32 bits.
template <unsigned kBits>
using Sum = std::conditional_t<kBits == 16, i64, i32>;

template <unsigned kBits, bool kSigned>
KILN_ALWAYS_INLINE Sum<kBits> element(u32 v, unsigned n) {
  const u32 top = v << (32 - kBits * (n + 1));
  if constexpr (kSigned) return static_cast<i32>(top) >> (32 - kBits);
  return static_cast<Sum<kBits>>(top >> (32 - kBits));
}
template <unsigned kBits, bool kSignedA, bool kSignedB>
KILN_ALWAYS_INLINE Sum<kBits> dot(u32 a, u32 b) {
  Sum<kBits> sum = 0;
  for (unsigned n = 0; n < 32 / kBits; ++n) {
    sum += element<kBits, kSignedA>(a, n) * element<kBits, kSignedB>(b, n);
  }
  return sum;
}
template <unsigned kBits, bool kSignedA, bool kSignedB>
KILN_ALWAYS_INLINE i32 dot_signed(u32 a, u32 b, i32 c) {
  return static_cast<i32>(static_cast<u32>(dot<kBits, kSignedA, kSignedB>(a, b)) +
                          static_cast<u32>(c));
}
template <unsigned kBits, bool kSignedA, bool kSignedB>
KILN_ALWAYS_INLINE i32 dot_signed_sat(u32 a, u32 b, i32 c) {
  const i64 sum = i64{dot<kBits, kSignedA, kSignedB>(a, b)} + c;
  return static_cast<i32>(sum < -0x80000000ll  ? -0x80000000ll
                          : sum > 0x7fffffffll ? 0x7fffffffll
                                               : sum);
}
template <unsigned kBits>
KILN_ALWAYS_INLINE u32 dot_unsigned(u32 a, u32 b, u32 c) {
  return static_cast<u32>(dot<kBits, false, false>(a, b)) + c;
}
template <unsigned kBits>
KILN_ALWAYS_INLINE u32 dot_unsigned_sat(u32 a, u32 b, u32 c) {
  const u64 sum = static_cast<u64>(dot<kBits, false, false>(a, b)) + c;
  return sum > 0xffffffffu ? 0xffffffffu : static_cast<u32>(sum);
}

/// Source 0 or 1 with the halves that op_sel and op_sel_hi pick, negated by neg_lo and neg_hi.
const void* halves(const Wave& w, const Instruction& i, unsigned k, bool floating,
                   std::uint64_t& enabled, LaneBuffer& room) {
  const void* bits = packed_bits(w, i, k, floating ? Type::F16 : Type::B32, enabled, room);
  const unsigned low = (i.op_sel >> k & 1) != 0 ? 16 : 0;
  const unsigned high = (i.op_sel_hi >> k & 1) != 0 ? 16 : 0;
  u32 flip = 0;
  if (floating)
    flip = ((i.neg >> k & 1) != 0 ? 0x8000u : 0) | ((i.abs >> k & 1) != 0 ? 1u << 31 : 0);
  if (low == 0 && high == 16 && flip == 0) return bits;
  const auto* in = static_cast<const Bits32*>(bits);
  auto* out = reinterpret_cast<Bits32*>(&room);
  for (std::size_t n = 0; n < kMaxLanes; ++n) {
    out[n] = ((in[n] >> low & 0xffff) | (in[n] >> high) << 16) ^ flip;
  }
  return out;
}

void clamp_floats(LaneBuffer& values, const Env& env) {
  for (std::size_t n = 0; n < kMaxLanes; ++n) {
    const float v = load_lane<float>(&values, n);
    const float nan = env.dx10_clamp ? 0.0f : v;
    store_lane(&values, n, v != v ? nan : v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v);
  }
}

template <auto F, bool kFloating, auto kSaturated>
void vop3p_dot(Wave& w, const Instruction& i) {
  const Env env(w);
  std::uint64_t enabled = w.exec();
  LaneBuffer room[3], out;
  const void* src[3] = {halves(w, i, 0, kFloating, enabled, room[0]),
                        halves(w, i, 1, kFloating, enabled, room[1]), nullptr};
  src[2] = source_bits(w, i, 2, Type::F32, enabled, room[2]);
  if (kFloating && ((i.neg | i.abs) & 4) != 0) {
    const auto* in = static_cast<const Bits32*>(src[2]);
    auto* negated = reinterpret_cast<Bits32*>(&room[2]);
    const u32 flip = ((i.neg ^ i.abs) & 4) != 0 ? 1u << 31 : 0;
    for (std::size_t n = 0; n < kMaxLanes; ++n) negated[n] = in[n] ^ flip;
    src[2] = negated;
  }
  if constexpr (kFloating) {
    Described<F>::core(&out, nullptr, src, env, w.lanes);
    if (i.clamp) clamp_floats(out, env);
  } else {
    const Core core = i.clamp ? &Described<kSaturated>::core : &Described<F>::core;
    core(&out, nullptr, src, env, w.lanes);
  }
  store32(vgpr(w, i.dst), &out, enabled, w.lanes);
}

template <auto F, bool kFloating, auto kSaturated = F>
constexpr Handler kDot = vop3p_dot<F, kFloating, kSaturated>;

/// v_dot4_i32_iu8, v_dot8_i32_iu4: the neg bits say which source is signed.
template <unsigned kBits>
Handler mixed_signs(Instruction& i) {
  switch (i.neg & 3) {
    case 0:
      return kDot<dot_signed<kBits, false, false>, false, dot_signed_sat<kBits, false, false>>;
    case 1:
      return kDot<dot_signed<kBits, true, false>, false, dot_signed_sat<kBits, true, false>>;
    case 2:
      return kDot<dot_signed<kBits, false, true>, false, dot_signed_sat<kBits, false, true>>;
    default:
      return kDot<dot_signed<kBits, true, true>, false, dot_signed_sat<kBits, true, true>>;
  }
}

enum class MixResult { Float, Low, High };

/// v_fma_mix: op_sel_hi says which sources are binary16, op_sel in which half.
template <MixResult kResult>
void fma_mix(Wave& w, const Instruction& i) {
  const Env env(w);
  std::uint64_t enabled = w.exec();
  LaneBuffer room[3], out;
  const void* src[3];
  for (unsigned k = 0; k < 3; ++k) {
    const bool is_half = (i.op_sel_hi >> k & 1) != 0;
    const u32 clear = (i.abs >> k & 1) != 0 ? 1u << 31 : 0;
    const u32 flip = (i.neg >> k & 1) != 0 ? 1u << 31 : 0;
    const bool flush = !is_half && (env.denorm32 & 1) == 0;
    src[k] = packed_bits(w, i, k, is_half ? Type::F16 : Type::F32, enabled, room[k]);
    auto* values = reinterpret_cast<Bits32*>(&room[k]);
    if (is_half) {
      halves_to_floats(values, src[k], (i.op_sel >> k & 1) != 0 ? 16 : 0, w.lanes);
      src[k] = values;
    }
    if (clear == 0 && flip == 0 && !flush) continue;
    const auto* in = static_cast<const Bits32*>(src[k]);
    for (std::size_t n = 0; n < kMaxLanes; ++n) {
      u32 bits = in[n];
      if (flush && (bits & 0x7fffffffu) < 0x00800000u) bits &= 1u << 31;
      values[n] = (bits & ~clear) ^ flip;
    }
    src[k] = values;
  }
  using Fma = Described<[](float a, float b, float c) { return __builtin_fmaf(a, b, c); }>;
  Fma::core(&out, nullptr, src, env, w.lanes);
  if (i.clamp) clamp_floats(out, env);
  if constexpr (kResult == MixResult::Float) {
    if ((env.denorm32 & 2) == 0) {
      auto* bits = reinterpret_cast<Bits32*>(&out);
      for (std::size_t n = 0; n < kMaxLanes; ++n) {
        if ((bits[n] & 0x7fffffffu) < 0x00800000u) bits[n] &= 1u << 31;
      }
    }
    store32(vgpr(w, i.dst), &out, enabled, w.lanes);
  } else {
    floats_to_halves(&out, &out, env.round16, w.lanes);
    store16(w, i.dst, &out, enabled, kResult == MixResult::High, true);
  }
}

constexpr Semantics kRows[] = {
    {"v_dot2_f32_f16", kDot<dot2_f16, true>},
    {"v_dot2_f32_bf16", kDot<dot2_bf16, true>},
    {"v_dot2acc_f32_f16", lanes<dot2_f16, kAccumulate>},
    {"v_dot2acc_f32_bf16", lanes<dot2_bf16, kAccumulate>},
    {"v_dot2_f16_f16", lanes<dot2_f16_f16>},
    {"v_dot2_bf16_bf16", lanes<dot2_bf16_bf16>},
    {"v_dot2_i32_i16", kDot<dot_signed<16, true, true>, false, dot_signed_sat<16, true, true>>},
    {"v_dot2_u32_u16", kDot<dot_unsigned<16>, false, dot_unsigned_sat<16>>},
    {"v_dot4_i32_i8", kDot<dot_signed<8, true, true>, false, dot_signed_sat<8, true, true>>},
    {"v_dot4_u32_u8", kDot<dot_unsigned<8>, false, dot_unsigned_sat<8>>},
    {"v_dot8_i32_i4", kDot<dot_signed<4, true, true>, false, dot_signed_sat<4, true, true>>},
    {"v_dot8_u32_u4", kDot<dot_unsigned<4>, false, dot_unsigned_sat<4>>},
    {"v_dot4_i32_iu8", mixed_signs<8>},
    {"v_dot8_i32_iu4", mixed_signs<4>},
    {"v_dot2c_i32_i16",
     lanes<dot_signed<16, true, true>, kAccumulate, dot_signed_sat<16, true, true>>},
    {"v_dot4c_i32_i8",
     lanes<dot_signed<8, true, true>, kAccumulate, dot_signed_sat<8, true, true>>},
    {"v_dot8c_i32_i4",
     lanes<dot_signed<4, true, true>, kAccumulate, dot_signed_sat<4, true, true>>},
    {"v_fma_mix_f32", fma_mix<MixResult::Float>},
    {"v_fma_mixlo_f16", fma_mix<MixResult::Low>},
    {"v_fma_mixhi_f16", fma_mix<MixResult::High>},
};

}  // namespace

void dot_rows(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

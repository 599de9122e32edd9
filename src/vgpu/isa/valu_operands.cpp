// Owns: moving operands and results between registers and lane loops: broadcasts, register pairs,
//   binary16 conversion, lane masks, stores under EXEC.
// Does not own: modifiers, SDWA, DPP (valu_run.cpp).
// Threading: the wave's host thread.
#include <immintrin.h>

#include "vgpu/isa/scalar.hpp"
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

// Testing a bit against a table vectorises everywhere; a shift by the lane number needs AVX2.
struct BitTable {
  alignas(64) std::uint32_t bit[32];
  consteval BitTable() : bit{} {
    for (std::size_t n = 0; n < 32; ++n) bit[n] = 1u << n;
  }
};
constexpr BitTable kLaneBit;

// Inline constants 0.5 -0.5 1 -1 2 -2 4 -4 1/(2 pi) as binary16 (AMD ISA documents).
constexpr std::uint16_t kInlineF16[9] = {0x3800, 0xb800, 0x3c00, 0xbc00, 0x4000,
                                         0xc000, 0x4400, 0xc400, 0x3118};

/// Rounding by MODE: 1 towards +inf, 2 towards -inf, 3 towards zero.
std::uint32_t half_bits_directed(std::uint32_t f, unsigned rounding) {
  const std::uint32_t magnitude = f & 0x7fffffff;
  const std::uint32_t sign = (f >> 16) & 0x8000;
  if (magnitude >= 0x7f800000u || magnitude == 0) return half_bits_nearest(f);
  const bool away = (rounding == 1 && sign == 0) || (rounding == 2 && sign != 0);
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent > 15) return sign | (away ? 0x7c00u : 0x7bffu);
  const std::uint32_t mantissa =
      (magnitude & 0x7fffff) | (magnitude >= 0x00800000u ? 0x00800000u : 0u);
  // Units of the result: 2^-24 below 2^-14, else 2^(exponent - 10).
  const int drop = exponent < -14 ? -1 - exponent : 13;
  const std::uint32_t kept = drop > 24 ? 0 : mantissa >> drop;
  const bool inexact = drop > 24 ? true : (mantissa & ((1u << drop) - 1)) != 0;
  std::uint32_t bits =
      exponent < -14 ? kept : (static_cast<std::uint32_t>(exponent + 14) << 10) + kept;
  if (inexact && away) ++bits;
  return sign | bits;
}

}  // namespace

std::uint64_t scalar_bits(const Wave& w, const Instruction& i, unsigned operand, Type type) {
  const bool inline_float = operand >= kHalf && operand <= kInv2Pi;
  switch (type) {
    case Type::F64:
      if (operand == kLiteral) return std::uint64_t{i.literal} << 32;
      return scalar64(w, i, operand);
    case Type::B64:
      return scalar64(w, i, operand);
    case Type::I64:
      return scalar64(w, i, operand, true);
    case Type::F16:
    case Type::U16:
    case Type::I16:
      return inline_float ? kInlineF16[operand - kHalf] : scalar32(w, i, operand);
    default:
      return scalar32(w, i, operand);
  }
}

const void* broadcast(const Wave& w, const Instruction& i, unsigned operand, Type type,
                      LaneBuffer& room) {
  const auto bits = static_cast<std::uint32_t>(scalar_bits(w, i, operand, type));
  auto* to = reinterpret_cast<Bits32*>(&room);
  for (std::size_t n = 0; n < kMaxLanes; ++n) to[n] = bits;
  return &room;
}

const void* fetch64(const Wave& w, const Instruction& i, unsigned operand, Type type,
                    LaneBuffer& room) {
  auto* to = reinterpret_cast<Bits64*>(&room);
  if (operand < kVgpr0) {
    const std::uint64_t bits = scalar_bits(w, i, operand, type);
    for (std::size_t n = 0; n < kMaxLanes; ++n) to[n] = bits;
    return &room;
  }
  const Bits32* low = w.v[operand - kVgpr0].lane;
  const Bits32* high = w.v[operand - kVgpr0 + 1].lane;
  for (std::size_t base = 0; base < w.lanes; base += 32) {
    KILN_LANE_LOOP
    for (std::size_t n = 0; n < 32; ++n) {
      to[base + n] = low[base + n] | std::uint64_t{high[base + n]} << 32;
    }
  }
  return &room;
}

const void* fetch_half(const Wave& w, const Instruction& i, unsigned operand, LaneBuffer& room) {
  if (operand >= kVgpr0) {
    halves_to_floats(&room, w.v[operand - kVgpr0].lane, 0, w.lanes);
    return &room;
  }
  const auto bits = static_cast<std::uint32_t>(scalar_bits(w, i, operand, Type::F16));
  const std::uint32_t value = float_bits_of_half(bits);
  auto* to = reinterpret_cast<Bits32*>(&room);
  for (std::size_t n = 0; n < kMaxLanes; ++n) to[n] = value;
  return &room;
}

std::uint64_t read_mask(const Wave& w, unsigned operand) {
  if (operand >= kInt0) return operand <= kInt0 + 64 ? operand - kInt0 : ~std::uint64_t{0};
  if (operand == kNull) return 0;
  const std::uint64_t low = w.s[operand];
  // The last register has no pair: only wave32 code names it.
  if (w.lanes == 32 || operand + 1 >= kInt0) return low;
  return low | std::uint64_t{w.s[operand + 1]} << 32;
}

void write_mask(Wave& w, unsigned operand, std::uint64_t bits) {
  if (operand >= kInt0 || operand == kNull) return;
  w.s[operand] = static_cast<std::uint32_t>(bits);
  if (w.lanes == 64 && operand + 1 < kInt0)
    w.s[operand + 1] = static_cast<std::uint32_t>(bits >> 32);
}

const void* fetch_mask(const Wave& w, unsigned operand, LaneBuffer& room) {
  const std::uint64_t bits = read_mask(w, operand);
  auto* to = reinterpret_cast<Bits32*>(&room);
  for (std::size_t base = 0; base < kMaxLanes; base += 32) {
    const auto word = static_cast<std::uint32_t>(bits >> base);
    for (std::size_t n = 0; n < 32; ++n) to[base + n] = word & kLaneBit.bit[n];
  }
  return &room;
}

std::uint64_t pack_mask(const Bits32* mask, unsigned lanes) {
  std::uint64_t bits = 0;
  for (std::size_t n = 0; n < lanes; n += 4) {
    const __m128 four = _mm_load_ps(reinterpret_cast<const float*>(mask + n));
    bits |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_ps(four))) << n;
  }
  return bits;
}

void store32(Bits32* dst, const void* result, std::uint64_t exec, unsigned lanes) {
  const auto* from = static_cast<const Bits32*>(result);
  for (std::size_t base = 0; base < lanes; base += 32) {
    const auto word = static_cast<std::uint32_t>(exec >> base);
    KILN_LANE_LOOP
    for (std::size_t n = 0; n < 32; ++n) {
      const std::uint32_t keep = (word & kLaneBit.bit[n]) == 0 ? ~0u : 0u;
      dst[base + n] = (dst[base + n] & keep) | (from[base + n] & ~keep);
    }
  }
}

void store64(Wave& w, unsigned dst, const void* result, std::uint64_t exec) {
  const auto* from = static_cast<const Bits64*>(result);
  alignas(64) std::uint32_t low[kMaxLanes], high[kMaxLanes];
  for (std::size_t base = 0; base < w.lanes; base += 32) {
    for (std::size_t n = 0; n < 32; ++n) low[base + n] = static_cast<std::uint32_t>(from[base + n]);
    for (std::size_t n = 0; n < 32; ++n) {
      high[base + n] = static_cast<std::uint32_t>(from[base + n] >> 32);
    }
  }
  store32(vgpr(w, dst), low, exec, w.lanes);
  store32(vgpr(w, dst + 1), high, exec, w.lanes);
}

void store16(Wave& w, unsigned dst, const void* result, std::uint64_t exec, bool high,
             bool keep_other) {
  const auto* from = static_cast<const Bits32*>(result);
  Bits32* to = vgpr(w, dst);
  alignas(64) std::uint32_t whole[kMaxLanes];
  const unsigned shift = high ? 16 : 0;
  const std::uint32_t kept = !high && !keep_other ? 0u : high ? 0xffffu : 0xffff0000u;
  for (std::size_t n = 0; n < kMaxLanes; ++n) {
    whole[n] = (to[n] & kept) | (from[n] & 0xffff) << shift;
  }
  store32(to, whole, exec, w.lanes);
}

void floats_to_halves(void* out, const void* in, unsigned rounding, unsigned lanes) {
  auto* to = static_cast<Bits32*>(out);
  const auto* from = static_cast<const Bits32*>(in);
  if (rounding != 0) {
    for (std::size_t n = 0; n < lanes; ++n) to[n] = half_bits_directed(from[n], rounding);
    return;
  }
  for (std::size_t base = 0; base < lanes; base += 32) {
    KILN_LANE_LOOP
    for (std::size_t n = 0; n < 32; ++n) to[base + n] = half_bits_nearest(from[base + n]);
  }
}

void halves_to_floats(void* out, const void* in, unsigned shift, unsigned lanes) {
  auto* to = static_cast<Bits32*>(out);
  const auto* from = static_cast<const Bits32*>(in);
  for (std::size_t base = 0; base < lanes; base += 32) {
    KILN_LANE_LOOP
    for (std::size_t n = 0; n < 32; ++n) {
      to[base + n] = float_bits_of_half((from[base + n] >> shift) & 0xffff);
    }
  }
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

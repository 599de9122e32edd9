// Owns: the atomic operations as functions of old value and data, and applying one for each lane to
//   guest memory or LDS.
// Does not own: addresses (memory_*.cpp), atomicity itself (MemoryPort::atomic).
// Threading: the wave's host thread. Hot: included by files that are compiled in both flavours.
//
// Sources: CDNA3 and RDNA3 ISA documents, pseudocode of the FLAT, MUBUF and DS atomics.
#pragma once

#include "vgpu/isa/lane_memory.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS::mem {

using I32 = std::int32_t;
using I64 = std::int64_t;

/// What an operation may use: the register data of one lane and the wave's denormal mode.
template <class T>
struct AtomicData {
  T first, second;
  bool flush32 = false;  ///< LDS float operations flush f32 denormals as MODE says
};

KILN_ALWAYS_INLINE float as_float(U32 bits) {
  return std::bit_cast<float>(bits);
}
KILN_ALWAYS_INLINE double as_double(U64 bits) {
  return std::bit_cast<double>(bits);
}

KILN_ALWAYS_INLINE U32 flushed(U32 bits, bool flush) {
  return flush && (bits & 0x7f800000u) == 0 ? bits & 0x80000000u : bits;
}

/// Half precision without the host's help, so that both flavours agree to the bit.
KILN_ALWAYS_INLINE float half_to_float(U32 half) {
  const U32 sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return as_float(std::bit_cast<U32>(magnitude) | sign);
  }
  if (exponent == 31) return as_float(sign | 0x7f800000u | fraction << 13);
  return as_float(sign | (exponent + 112) << 23 | fraction << 13);
}

/// Rounds to nearest even.
KILN_ALWAYS_INLINE U32 float_to_half(float value) {
  const U32 bits = std::bit_cast<U32>(value);
  const U32 sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u | (magnitude >> 13 & 0x3ff);
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                        // below 2^-14: counts of 2^-24
    // Adding 0.5 puts the wanted bits at the bottom of the fraction, rounded by the addition.
    const float shifted = as_float(magnitude) + 0.5f;
    return sign | (std::bit_cast<U32>(shifted) - 0x3f000000u);
  }
  const U32 odd = magnitude >> 13 & 1;
  return sign | ((magnitude + 0xfffu + odd - (112u << 23)) >> 13);
}

KILN_ALWAYS_INLINE U32 float_to_bfloat(float value) {
  const U32 bits = std::bit_cast<U32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40u;
  return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

// Sums of two 11-bit or 8-bit significands rounded first to 24 bits and then again are correctly
// rounded (24 >= 2p + 2), so that float arithmetic serves for both.
KILN_ALWAYS_INLINE U32 add_half(U32 a, U32 b) {
  return float_to_half(half_to_float(a) + half_to_float(b));
}
KILN_ALWAYS_INLINE U32 add_bfloat(U32 a, U32 b) {
  return float_to_bfloat(as_float(a << 16) + as_float(b << 16));
}

// T is the type in memory, always unsigned; a comparison or sum in another type converts inside.
#define KILN_ATOMIC(Name, expression)                                            \
  struct Name {                                                                  \
    template <class T>                                                           \
    KILN_ALWAYS_INLINE static T apply(T old, const AtomicData<T>& data) {        \
      using S = std::make_signed_t<T>;                                           \
      [[maybe_unused]] const T a = data.first;                                   \
      [[maybe_unused]] const S sa = static_cast<S>(a), so = static_cast<S>(old); \
      return static_cast<T>(expression);                                         \
    }                                                                            \
  };
KILN_ATOMIC(Swap, a)
KILN_ATOMIC(Add, old + a)
KILN_ATOMIC(Sub, old - a)
KILN_ATOMIC(ReverseSub, a - old)
KILN_ATOMIC(ClampedSub, old < a ? 0 : old - a)
KILN_ATOMIC(MinSigned, sa < so ? a : old)
KILN_ATOMIC(MinUnsigned, a < old ? a : old)
KILN_ATOMIC(MaxSigned, sa >= so ? a : old)
KILN_ATOMIC(MaxUnsigned, a >= old ? a : old)
KILN_ATOMIC(And, old& a)
KILN_ATOMIC(Or, old | a)
KILN_ATOMIC(Xor, old ^ a)
KILN_ATOMIC(Inc, old >= a ? 0 : old + 1)
KILN_ATOMIC(Dec, old == 0 || old > a ? a : old - 1)
KILN_ATOMIC(Wrap, old >= a ? old - a : old + data.second)
KILN_ATOMIC(MaskOr, (old & ~a) | data.second)
KILN_ATOMIC(CompareSwap, old == data.second ? a : old)
#undef KILN_ATOMIC

#define KILN_FLOAT_ATOMIC(Name, on_float, on_double)                                \
  struct Name {                                                                     \
    KILN_ALWAYS_INLINE static U32 apply(U32 old, const AtomicData<U32>& data) {     \
      const float o = as_float(flushed(old, data.flush32));                         \
      [[maybe_unused]] const float a = as_float(flushed(data.first, data.flush32)); \
      return on_float;                                                              \
    }                                                                               \
    KILN_ALWAYS_INLINE static U64 apply(U64 old, const AtomicData<U64>& data) {     \
      [[maybe_unused]] const double o = as_double(old), a = as_double(data.first);  \
      return on_double;                                                             \
    }                                                                               \
  };
KILN_FLOAT_ATOMIC(AddFloat, flushed(std::bit_cast<U32>(o + a), data.flush32),
                  std::bit_cast<U64>(o + a))
KILN_FLOAT_ATOMIC(MinFloat, a < o ? data.first : old, a < o ? data.first : old)
KILN_FLOAT_ATOMIC(MaxFloat, a > o ? data.first : old, a > o ? data.first : old)
KILN_FLOAT_ATOMIC(CompareSwapFloat,
                  o == as_float(flushed(data.second, data.flush32)) ? data.first : old,
                  o == as_double(data.second) ? data.first : old)
#undef KILN_FLOAT_ATOMIC

struct PackedAddHalf {
  KILN_ALWAYS_INLINE static U32 apply(U32 old, const AtomicData<U32>& data) {
    return add_half(old & 0xffff, data.first & 0xffff) | add_half(old >> 16, data.first >> 16)
                                                             << 16;
  }
};
struct PackedAddBfloat {
  KILN_ALWAYS_INLINE static U32 apply(U32 old, const AtomicData<U32>& data) {
    return add_bfloat(old & 0xffff, data.first & 0xffff) | add_bfloat(old >> 16, data.first >> 16)
                                                               << 16;
  }
};

/// One lane's value out of one row or two.
template <class T>
KILN_ALWAYS_INLINE T lane_value(const VectorRegister* rows, unsigned lane) {
  if constexpr (sizeof(T) == 4)
    return rows[0].lane[lane];
  else
    return rows[0].lane[lane] | static_cast<U64>(rows[1].lane[lane]) << 32;
}
template <class T>
KILN_ALWAYS_INLINE void set_lane_value(VectorRegister* rows, unsigned lane, T value) {
  rows[0].lane[lane] = static_cast<U32>(value);
  if constexpr (sizeof(T) == 8) rows[1].lane[lane] = static_cast<U32>(value >> 32);
}

/// Scope at which a vector atomic executes. gfx942: sc1 asks for system, gfx90a: scc. gfx11 has no
/// bit for it; the page's MTYPE decides there.
KILN_ALWAYS_INLINE Scope atomic_scope(const Wave& w, const Instruction& i) {
  static_assert(kCacheSc1 == kCacheScc);
  return is_cdna(w.arch) && (i.cache & kCacheSc1) != 0 ? Scope::System : Scope::Agent;
}

/// Lane by lane in order, as one wave's atomics to one address are served. Data rows hold the
/// value, then the comparand. False: fault, or an address that is not naturally aligned.
template <class T, class Op>
bool atomic_lanes(Wave& w, const Instruction& i, const Addresses& a, U64 mask,
                  const VectorRegister* data, VectorRegister* result) {
  MemoryPort& port = *w.group->port;
  const Scope scope = atomic_scope(w, i);
  constexpr unsigned kRows = sizeof(T) / 4;
  for (; mask != 0; mask &= mask - 1) {
    const unsigned lane = static_cast<unsigned>(std::countr_zero(mask));
    if (a.va[lane] % sizeof(T) != 0) {
      halt_at(w, i, "misaligned address in");
      return false;
    }
    AtomicData<T> operands{lane_value<T>(data, lane), lane_value<T>(data + kRows, lane)};
    T old;
    if (!port.atomic<T>(
            a.va[lane],
            [&operands](T seen)
                __attribute__((always_inline)) { return Op::apply(seen, operands); },
            &old, Client::Vector, scope)) {
      w.fault();
      return false;
    }
    if (result != nullptr) set_lane_value<T>(result, lane, old);
  }
  return true;
}

/// The same in LDS. Out of range: nothing is written and 0 is returned.
template <class T, class Op>
bool lds_atomic_lanes(Wave& w, const Instruction& i, const Offsets& a, U64 mask,
                      const VectorRegister* first, const VectorRegister* second,
                      VectorRegister* result) {
  std::byte* lds = w.group->lds.data();
  const U64 size = w.group->lds.size();
  const bool flush = !w.fp32_denormals();
  for (; mask != 0; mask &= mask - 1) {
    const unsigned lane = static_cast<unsigned>(std::countr_zero(mask));
    const U32 at = a.at[lane];
    if (at % sizeof(T) != 0) {
      halt_at(w, i, "misaligned LDS address in");
      return false;
    }
    T old = 0;
    if (U64{at} + sizeof(T) <= size) {
      const AtomicData<T> operands{lane_value<T>(first, lane), lane_value<T>(second, lane), flush};
      std::memcpy(&old, lds + at, sizeof(T));
      const T value = Op::apply(old, operands);
      std::memcpy(lds + at, &value, sizeof(T));
    }
    if (result != nullptr) set_lane_value<T>(result, lane, old);
  }
  return true;
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS::mem

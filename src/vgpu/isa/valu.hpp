// Owns: the machinery under every vector ALU row: what a lane function is, how its operands are
//   fetched and its results written, and which handler an instruction gets.
// Does not own: the lane functions (valu_*.cpp), the registry (semantics.*).
// Threading: none of its own; a wave is run by one thread at a time.
//
// A lane function is a constexpr function of one lane's typed operands, e.g.
//     [](float a, float b) { return a + b; }
// Its C++ types say everything else: `half` operands are binary16 values held in a float, `bool`
// operands come from a lane mask in SGPRs, a `bool` result is a lane mask, `WithMask` is both.
// `plain` handlers serve instructions without modifiers in the default float mode; everything
// else goes through run_operation(), which prepares and finishes whole registers around the same
// lane loop.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "vgpu/isa/semantics.hpp"
#include "vgpu/isa/wave.hpp"

// In a lane loop lane i reads and writes index i only, so source and destination may be the same
// register but never overlap otherwise.
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed"
#define KILN_LANE_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define KILN_LANE_LOOP _Pragma("GCC ivdep")
#endif

namespace kiln::vgpu::isa::KILN_ISA_NS {

typedef std::uint32_t __attribute__((may_alias)) Bits32;
typedef std::uint64_t __attribute__((may_alias)) Bits64;

/// A binary16 value, exactly held in binary32. Signalling NaNs stay signalling.
struct half {
  float value;
};

/// A result together with a bit of a lane mask (carries, v_div_scale).
template <class T>
struct WithMask {
  T value;
  bool mask;
};

enum class Type : std::uint8_t { None, B32, F32, B64, I64, F64, U16, I16, F16, Mask };

/// Room for one operand or result of all lanes, up to 64 bits a lane.
struct alignas(64) LaneBuffer {
  std::byte bytes[kMaxLanes * 8];
};

/// What lane functions may ask of the wave and the instruction.
struct Env {
  bool ieee;  ///< MODE.IEEE
  bool rdna;  ///< RDNA3 rules where generations differ
  bool dx10_clamp;
  bool fp16_overflow_clamps;        ///< MODE.FP16_OVFL
  std::uint8_t round32, round16;    ///< MODE.FP_ROUND: 0 even, 1 +inf, 2 -inf, 3 zero
  std::uint8_t denorm32, denorm16;  ///< MODE.FP_DENORM: bit 0 keeps inputs, bit 1 keeps outputs

  KILN_ALWAYS_INLINE explicit Env(const Wave& w)
      : ieee((w.mode & 0x200) != 0),
        rdna(!is_cdna(w.arch)),
        dx10_clamp((w.mode & 0x100) != 0),
        fp16_overflow_clamps((w.mode & 0x800000) != 0),
        round32(w.mode & 3),
        round16((w.mode >> 2) & 3),
        denorm32((w.mode >> 4) & 3),
        denorm16((w.mode >> 6) & 3) {}
};

using Core = void (*)(void* out, Bits32* mask, const void* const* src, const Env& env,
                      unsigned lanes);

/// Properties of an operation beyond its types.
enum Flag : unsigned {
  kAccumulate = 1,       ///< the destination is also the last source (v_fmac, v_dot2c)
  kRaw = 2,              ///< float operands and results pass without denormal flush (moves, class)
  kFlushAlways = 4,      ///< binary32 denormals are flushed whatever MODE says
  kKeepHigh = 8,         ///< gfx9: a 16-bit result leaves the other half alone
  kVccSource = 16,       ///< the mask operand is VCC where the encoding names none
  kCmpx = 32,            ///< the mask result goes to EXEC
  kRoundEven = 64,       ///< ignores MODE.FP_ROUND
  kSignModifiers = 128,  ///< 32-bit integers that take abs and neg all the same (v_cndmask_b32)
};

/// One operation as data: what run_operation needs to know of it.
struct Operation {
  Core core = nullptr;
  Core saturated = nullptr;  ///< replaces core when the instruction says clamp (integers)
  Type result = Type::None;
  bool mask = false;  ///< there is a lane-mask result
  std::uint8_t sources = 0;
  Type source[4] = {Type::None, Type::None, Type::None, Type::None};
  unsigned flags = 0;
};

// --- Shared helpers, in valu_operands.cpp -----------------------------------------------------

/// Bits that a scalar operand (SGPR, constant, literal) shows to a source of `type`.
std::uint64_t scalar_bits(const Wave& w, const Instruction& i, unsigned operand, Type type);
/// Operand of 32 bits a lane: a register itself, or the scalar copied to all lanes of `room`.
const void* broadcast(const Wave& w, const Instruction& i, unsigned operand, Type type,
                      LaneBuffer& room);
const void* fetch64(const Wave& w, const Instruction& i, unsigned operand, Type type,
                    LaneBuffer& room);
const void* fetch_half(const Wave& w, const Instruction& i, unsigned operand, LaneBuffer& room);
const void* fetch_mask(const Wave& w, unsigned operand, LaneBuffer& room);

std::uint64_t read_mask(const Wave& w, unsigned operand);
void write_mask(Wave& w, unsigned operand, std::uint64_t bits);
/// Bit i of the result: lane i of `mask` has its sign bit set.
std::uint64_t pack_mask(const Bits32* mask, unsigned lanes);

void store32(Bits32* dst, const void* result, std::uint64_t exec, unsigned lanes);
void store64(Wave& w, unsigned dst, const void* result, std::uint64_t exec);
void store16(Wave& w, unsigned dst, const void* result, std::uint64_t exec, bool high,
             bool keep_other);
/// binary32 lanes that hold binary16 values or results -> binary16 bits, in place allowed.
void floats_to_halves(void* out, const void* in, unsigned rounding, unsigned lanes);
void halves_to_floats(void* out, const void* in, unsigned shift, unsigned lanes);

/// Any form of an operation: modifiers, SDWA, DPP, float modes.
void run_operation(Wave& w, const Instruction& i, const Operation& op);
/// VOP3P: the operation on both halves (16-bit sources) or both registers (binary32 sources).
void run_packed(Wave& w, const Instruction& i, const Operation& op);

/// The MODE bits under which plain handlers are right: round to even, denormals kept, binary16
/// overflows to infinity.
inline constexpr std::uint32_t kPlainMode = 0xf0, kModeFloatBits = 0x8000ff;
KILN_ALWAYS_INLINE bool in_plain_mode(const Wave& w) {
  return (w.mode & kModeFloatBits) == kPlainMode;
}

/// Whether an instruction has no modifiers at all.
bool is_plain(const Instruction& i);
/// Completes implied operands: accumulators, VCC, mandatory literals in their place.
void complete_operands(Instruction& i, const Operation& op);

// --- From a lane function to a handler ---------------------------------------------------------

template <class T>
inline constexpr Type kTypeOf = Type::None;
template <>
inline constexpr Type kTypeOf<float> = Type::F32;
template <>
inline constexpr Type kTypeOf<double> = Type::F64;
template <>
inline constexpr Type kTypeOf<std::uint32_t> = Type::B32;
template <>
inline constexpr Type kTypeOf<std::int32_t> = Type::B32;
template <>
inline constexpr Type kTypeOf<std::uint64_t> = Type::B64;
template <>
inline constexpr Type kTypeOf<std::int64_t> = Type::I64;
template <>
inline constexpr Type kTypeOf<std::uint16_t> = Type::U16;
template <>
inline constexpr Type kTypeOf<std::int16_t> = Type::I16;
template <>
inline constexpr Type kTypeOf<half> = Type::F16;
template <>
inline constexpr Type kTypeOf<bool> = Type::Mask;

template <class R>
struct ResultOf {
  using Value = R;
  static constexpr bool kMask = false;
  static constexpr Type kType = kTypeOf<R>;
};
template <>
struct ResultOf<bool> {
  using Value = bool;
  static constexpr bool kMask = true;
  static constexpr Type kType = Type::None;
};
template <class T>
struct ResultOf<WithMask<T>> {
  using Value = T;
  static constexpr bool kMask = true;
  static constexpr Type kType = kTypeOf<T>;
};

template <class T>
KILN_ALWAYS_INLINE T load_lane(const void* from, std::size_t lane) {
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<T>(std::uint64_t{static_cast<const Bits64*>(from)[lane]});
  } else {
    const std::uint32_t bits = static_cast<const Bits32*>(from)[lane];
    if constexpr (std::is_same_v<T, bool>)
      return bits != 0;
    else if constexpr (std::is_same_v<T, half>)
      return half{std::bit_cast<float>(bits)};
    else if constexpr (sizeof(T) == 2)
      return static_cast<T>(bits);
    else
      return std::bit_cast<T>(bits);
  }
}

template <class T>
KILN_ALWAYS_INLINE void store_lane(void* to, std::size_t lane, T value) {
  if constexpr (sizeof(T) == 8) {
    static_cast<Bits64*>(to)[lane] = std::bit_cast<std::uint64_t>(value);
  } else if constexpr (std::is_same_v<T, half>) {
    static_cast<Bits32*>(to)[lane] = std::bit_cast<std::uint32_t>(value.value);
  } else if constexpr (sizeof(T) == 2) {
    static_cast<Bits32*>(to)[lane] = static_cast<std::uint16_t>(value);
  } else {
    static_cast<Bits32*>(to)[lane] = std::bit_cast<std::uint32_t>(value);
  }
}

template <class T>
KILN_ALWAYS_INLINE void store_result(void* out, Bits32* mask, std::size_t lane, T result) {
  if constexpr (std::is_same_v<T, bool>) {
    mask[lane] = 0u - static_cast<std::uint32_t>(result);
  } else {
    store_lane(out, lane, result);
  }
}
template <class T>
KILN_ALWAYS_INLINE void store_result(void* out, Bits32* mask, std::size_t lane,
                                     WithMask<T> result) {
  store_lane(out, lane, result.value);
  mask[lane] = 0u - static_cast<std::uint32_t>(result.mask);
}

template <class... A>
struct Arguments {};

template <auto F, class R, bool kEnv, class... A>
struct LaneFunction {
  using Result = ResultOf<R>;
  using Args = Arguments<A...>;
  static constexpr std::size_t kSources = sizeof...(A);

  template <class... P>
  KILN_ALWAYS_INLINE static void loop(void* out, Bits32* mask, const Env env, unsigned lanes,
                                      P... src) {
    // Halves of 32 lanes: a wave32 has one of them, and the trip count is a constant.
    for (std::size_t half_wave = 0; half_wave < lanes; half_wave += 32) {
      KILN_LANE_LOOP
      for (std::size_t n = 0; n < 32; ++n) {
        const std::size_t lane = half_wave + n;
        if constexpr (kEnv)
          store_result(out, mask, lane, F(load_lane<A>(src, lane)..., env));
        else
          store_result(out, mask, lane, F(load_lane<A>(src, lane)...));
      }
    }
  }

  template <std::size_t... I>
  KILN_ALWAYS_INLINE static void spread(void* out, Bits32* mask, const void* const* src,
                                        const Env& env, unsigned lanes, std::index_sequence<I...>) {
    loop(out, mask, env, lanes, src[I]...);
  }

  [[gnu::noinline]] static void core(void* out, Bits32* mask, const void* const* src,
                                     const Env& env, unsigned lanes) {
    spread(out, mask, src, env, lanes, std::make_index_sequence<kSources>());
  }

  static constexpr Operation operation(unsigned flags) {
    Operation op;
    op.core = &core;
    op.result = Result::kType;
    op.mask = Result::kMask;
    op.sources = static_cast<std::uint8_t>(kSources);
    const Type types[] = {kTypeOf<A>..., Type::None};
    for (std::size_t n = 0; n < kSources; ++n) op.source[n] = types[n];
    op.flags = flags;
    return op;
  }
};

template <auto F, class R, class... A>
LaneFunction<F, R, false, A...> describe(R (*)(A...));
template <auto F, class R, class A>
LaneFunction<F, R, true, A> describe(R (*)(A, const Env&));
template <auto F, class R, class A, class B>
LaneFunction<F, R, true, A, B> describe(R (*)(A, B, const Env&));
template <auto F, class R, class A, class B, class C>
LaneFunction<F, R, true, A, B, C> describe(R (*)(A, B, C, const Env&));
template <auto F, class R, class A, class B, class C, class D>
LaneFunction<F, R, true, A, B, C, D> describe(R (*)(A, B, C, D, const Env&));

/// Lambdas without captures are turned into function pointers for their signature only.
template <auto F>
using Described = decltype(describe<F>(+F));

template <auto F, unsigned kFlags, auto kSaturated>
consteval Operation make_operation() {
  Operation op = Described<F>::operation(kFlags);
  if constexpr (!std::is_same_v<decltype(kSaturated), std::nullptr_t>) {
    op.saturated = &Described<kSaturated>::core;
  }
  return op;
}

template <auto F, unsigned kFlags = 0, auto kSaturated = nullptr>
inline constexpr Operation kOperation = make_operation<F, kFlags, kSaturated>();

KILN_ALWAYS_INLINE Bits32* vgpr(Wave& w, unsigned operand) {
  return w.v[operand - kVgpr0].lane;
}

template <class T>
KILN_ALWAYS_INLINE const void* fetch(const Wave& w, const Instruction& i, unsigned operand,
                                     LaneBuffer& room) {
  if constexpr (std::is_same_v<T, bool>) {
    return fetch_mask(w, operand, room);
  } else if constexpr (std::is_same_v<T, half>) {
    return fetch_half(w, i, operand, room);
  } else if constexpr (sizeof(T) == 8) {
    return fetch64(w, i, operand, kTypeOf<T>, room);
  } else {
    if (operand >= kVgpr0) return w.v[operand - kVgpr0].lane;
    return broadcast(w, i, operand, kTypeOf<T>, room);
  }
}

template <class T>
inline constexpr bool kIsFloat =
    std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, half>;

/// Writes what the core made of a plain instruction.
template <class D, unsigned kFlags>
KILN_ALWAYS_INLINE void finish_plain(Wave& w, const Instruction& i, LaneBuffer& out,
                                     LaneBuffer& mask, std::uint64_t exec) {
  using Result = typename D::Result;
  if constexpr (Result::kType == Type::F16) {
    floats_to_halves(&out, &out, 0, w.lanes);
    store16(w, i.dst, &out, exec, false, !is_cdna(w.arch) || (kFlags & kKeepHigh) != 0);
  } else if constexpr (Result::kType == Type::U16 || Result::kType == Type::I16) {
    store16(w, i.dst, &out, exec, false, !is_cdna(w.arch) || (kFlags & kKeepHigh) != 0);
  } else if constexpr (Result::kType != Type::None && sizeof(typename Result::Value) == 8) {
    store64(w, i.dst, &out, exec);
  }
  if constexpr (Result::kMask) {
    const std::uint64_t bits = pack_mask(reinterpret_cast<Bits32*>(&mask), w.lanes) & exec;
    if constexpr ((kFlags & kCmpx) != 0) {
      w.set_exec(bits);
      if (is_cdna(w.arch)) write_mask(w, i.sdst, bits);
    } else {
      write_mask(w, i.sdst, bits);
    }
  }
}

template <auto F, unsigned kFlags, auto kSaturated, class... A>
KILN_ALWAYS_INLINE void plain_body(Wave& w, const Instruction& i, Arguments<A...>) {
  using D = Described<F>;
  using Result = typename D::Result;
  constexpr bool kFloat = (kIsFloat<A> || ...) || kIsFloat<typename Result::Value>;
  if constexpr (kFloat && (kFlags & kRaw) == 0) {
    if (!in_plain_mode(w)) [[unlikely]] {
      return run_operation(w, i, kOperation<F, kFlags, kSaturated>);
    }
  }
  const std::uint64_t exec = w.exec();
  const std::uint64_t all = w.lanes == 64 ? ~std::uint64_t{0} : 0xffffffffu;
  LaneBuffer room[sizeof...(A)], out, mask;
  const Env env(w);
  unsigned n = 0, m = 0;
  const void* src[] = {fetch<A>(w, i, i.src[n++], room[m++])...};
  if constexpr (Result::kType == Type::B32 || Result::kType == Type::F32) {
    Bits32* dst = vgpr(w, i.dst);
    const bool whole = exec == all;
    D::core(whole ? static_cast<void*>(dst) : &out, reinterpret_cast<Bits32*>(&mask), src, env,
            w.lanes);
    if (!whole) store32(dst, &out, exec, w.lanes);
  } else {
    D::core(&out, reinterpret_cast<Bits32*>(&mask), src, env, w.lanes);
  }
  finish_plain<D, kFlags>(w, i, out, mask, exec);
}

template <auto F, unsigned kFlags, auto kSaturated>
void plain(Wave& w, const Instruction& i) {
  plain_body<F, kFlags, kSaturated>(w, i, typename Described<F>::Args());
}

template <auto F, unsigned kFlags, auto kSaturated>
void general(Wave& w, const Instruction& i) {
  run_operation(w, i, kOperation<F, kFlags, kSaturated>);
}

/// Row for a lane function in any VOP1, VOP2, VOPC or VOP3 form.
template <auto F, unsigned kFlags = 0, auto kSaturated = nullptr>
Handler lanes(Instruction& i) {
  complete_operands(i, kOperation<F, kFlags, kSaturated>);
  // Transcendentals flush denormals: only the general path does that.
  const bool can_be_plain = (kFlags & kFlushAlways) == 0 && is_plain(i);
  if (can_be_plain) return &plain<F, kFlags, kSaturated>;
  return &general<F, kFlags, kSaturated>;
}

template <auto F, unsigned kFlags, auto kSaturated>
void packed_handler(Wave& w, const Instruction& i) {
  run_packed(w, i, kOperation<F, kFlags, kSaturated>);
}

/// Row for a VOP3P instruction that does `F` to both halves.
template <auto F, unsigned kFlags = 0, auto kSaturated = nullptr>
Handler packed(Instruction& i) {
  complete_operands(i, kOperation<F, kFlags, kSaturated>);
  return &packed_handler<F, kFlags, kSaturated>;
}

// --- The tables, one per file ------------------------------------------------------------------

void float_rows(SemanticsSink& sink);
void math_rows(SemanticsSink& sink);
void double_rows(SemanticsSink& sink);
void integer_rows(SemanticsSink& sink);
void short_rows(SemanticsSink& sink);
void compare_rows(SemanticsSink& sink);
void convert_rows(SemanticsSink& sink);
void dot_rows(SemanticsSink& sink);
void lane_rows(SemanticsSink& sink);
void dual_rows(SemanticsSink& sink);

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

// Owns: running an operation in all its forms: source and output modifiers, op_sel, SDWA, DPP,
//   float modes, packed math.
// Does not own: lane functions, plain forms (valu.hpp).
// Threading: the wave's host thread; MXCSR is changed only around a lane loop.
//
// Sources: AMD "CDNA3 Instruction Set Architecture" and "RDNA3 Instruction Set Architecture",
// chapters on vector ALU operations (modifiers, SDWA, DPP) and the MODE register.
#include <immintrin.h>

#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_forms.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

/// Host rounding as MODE.FP_ROUND asks, for the time of a lane loop.
class HostRounding {
 public:
  explicit HostRounding(unsigned rounding) : saved_(_mm_getcsr()) {
    // MODE counts even, up, down, zero; MXCSR.RC even, down, up, zero.
    static constexpr unsigned kRc[4] = {0, 2, 1, 3};
    _mm_setcsr((saved_ & ~0x6000u) | kRc[rounding] << 13);
  }
  ~HostRounding() { _mm_setcsr(saved_); }
  HostRounding(const HostRounding&) = delete;
  HostRounding& operator=(const HostRounding&) = delete;

 private:
  unsigned saved_;
};

bool is16or64(Type type) {
  return type == Type::F16 || type == Type::F64;
}

struct SignBits {
  std::uint32_t clear = 0, flip = 0;
  SignBits(bool absolute, bool negate)
      : clear(absolute ? 0x80000000u : 0), flip(negate ? 0x80000000u : 0) {}
  bool any() const { return (clear | flip) != 0; }
};

const void* modify32(const void* from, SignBits sign, bool flush, std::uint32_t least,
                     LaneBuffer& room) {
  const auto* in = static_cast<const Bits32*>(from);
  auto* out = reinterpret_cast<Bits32*>(&room);
  KILN_LANE_LOOP
  for (std::size_t n = 0; n < kMaxLanes; ++n) {
    std::uint32_t bits = in[n];
    bits = flush && (bits & 0x7fffffffu) < least ? bits & 0x80000000u : bits;
    out[n] = (bits & ~sign.clear) ^ sign.flip;
  }
  return &room;
}

void modify64(LaneBuffer& values, SignBits sign, bool flush) {
  auto* at = reinterpret_cast<Bits64*>(&values);
  const std::uint64_t clear = std::uint64_t{sign.clear} << 32;
  const std::uint64_t flip = std::uint64_t{sign.flip} << 32;
  for (std::size_t n = 0; n < kMaxLanes; ++n) {
    std::uint64_t bits = at[n];
    if (flush && (bits & 0x7fffffffffffffffu) < 0x0010000000000000u) bits &= 1ull << 63;
    at[n] = (bits & ~clear) ^ flip;
  }
}

/// Everything that shapes the result of a float operation, for one result type.
struct OutputRules {
  unsigned omod = 0;
  bool clamp = false, flush = false, nan_to_zero = false;

  OutputRules(const Instruction& i, const Env& env, Type type, unsigned flags)
      : clamp(i.clamp), nan_to_zero(env.dx10_clamp) {
    const unsigned denorm = is16or64(type) ? env.denorm16 : env.denorm32;
    flush = ((denorm & 2) == 0 && (flags & kRaw) == 0) ||
            (type == Type::F32 && (flags & kFlushAlways) != 0);
    // Output modifiers are ignored in IEEE mode and where denormal results are kept.
    if (!env.ieee && (denorm & 2) == 0) omod = i.omod;
  }
  bool any() const { return omod != 0 || clamp || flush; }
};

template <class F>
KILN_ALWAYS_INLINE F shape(F value, const OutputRules& rules, F least) {
  if (rules.omod != 0) {
    const F factor[4] = {1, 2, 4, F(0.5)};
    value *= factor[rules.omod];
    if (value == 0) value = 0;  // output modifiers turn -0 into +0
  }
  if (rules.flush && value < least && value > -least) value = value < 0 ? F(-0.0) : value * 0;
  if (rules.clamp) {
    if (value != value) return rules.nan_to_zero ? F(0) : value;
    value = value > 0 ? (value < 1 ? value : F(1)) : F(0);
  }
  return value;
}

void shape32(LaneBuffer& values, const OutputRules& rules, float least) {
  for (std::size_t n = 0; n < kMaxLanes; ++n) {
    store_lane(&values, n, shape(load_lane<float>(&values, n), rules, least));
  }
}

/// MODE.FP16_OVFL: finite results beyond binary16's range become its largest number.
void clamp_halves(LaneBuffer& values) {
  for (std::size_t n = 0; n < kMaxLanes; ++n) {
    const float v = load_lane<float>(&values, n);
    const bool over = v >= 65520.0f || v <= -65520.0f;
    const bool finite = v - v == 0.0f;
    if (over && finite) store_lane(&values, n, v > 0 ? 65504.0f : -65504.0f);
  }
}

void shape64(LaneBuffer& values, const OutputRules& rules) {
  for (std::size_t n = 0; n < kMaxLanes; ++n) {
    store_lane(&values, n, shape(load_lane<double>(&values, n), rules, 0x1p-1022));
  }
}

void call_core(const Instruction& i, const Operation& op, void* out, Bits32* mask,
               const void* const* src, const Env& env, unsigned lanes) {
  const Core core = i.clamp && op.saturated != nullptr ? op.saturated : op.core;
  bool wide = is16or64(op.result);
  if (op.result != Type::F32) {
    for (const Type type : op.source) wide = wide || is16or64(type);
  }
  const unsigned rounding = wide ? env.round16 : env.round32;
  if (rounding == 0 || (op.flags & kRoundEven) != 0) {
    core(out, mask, src, env, lanes);
  } else {
    const HostRounding guard(rounding);
    core(out, mask, src, env, lanes);
  }
}

/// One source of run_operation, ready for the lane loop.
const void* prepare(const Wave& w, const Instruction& i, const Operation& op, const Env& env,
                    unsigned k, std::uint64_t& enabled, LaneBuffer& room) {
  const Type type = op.source[k];
  const unsigned operand = i.src[k];
  if (type == Type::Mask) return fetch_mask(w, operand, room);
  const SignBits sign(((i.abs >> k) & 1) != 0, ((i.neg >> k) & 1) != 0);
  const bool raw = (op.flags & kRaw) != 0;
  LaneBuffer low_room, high_room;
  if (type == Type::B64 || type == Type::I64 || type == Type::F64) {
    if (operand >= kVgpr0 && k == 0 && i.lanes != Lanes::Plain) {
      const auto* low = static_cast<const Bits32*>(
          select_lanes(w, i, w.v[operand - kVgpr0].lane, enabled, low_room));
      const auto* high = static_cast<const Bits32*>(
          select_lanes(w, i, w.v[operand - kVgpr0 + 1].lane, enabled, high_room));
      auto* to = reinterpret_cast<Bits64*>(&room);
      for (std::size_t n = 0; n < kMaxLanes; ++n) to[n] = low[n] | std::uint64_t{high[n]} << 32;
    } else {
      fetch64(w, i, operand, type, room);
    }
    const bool flush = type == Type::F64 && !raw && (env.denorm16 & 1) == 0;
    if (type == Type::F64 && (sign.any() || flush)) modify64(room, sign, flush);
    return &room;
  }
  const void* bits = source_bits(w, i, k, type, enabled, low_room);
  const bool high = ((i.op_sel >> k) & 1) != 0;
  switch (type) {
    case Type::F16: {
      halves_to_floats(&room, bits, high ? 16 : 0, w.lanes);
      const bool flush = !raw && (env.denorm16 & 1) == 0;
      if (sign.any() || flush) modify32(&room, sign, flush, 0x38800000u, room);
      return &room;
    }
    case Type::U16:
    case Type::I16:
      if (high) {
        const auto* in = static_cast<const Bits32*>(bits);
        auto* out = reinterpret_cast<Bits32*>(&room);
        for (std::size_t n = 0; n < kMaxLanes; ++n) out[n] = in[n] >> 16;
        return &room;
      }
      break;
    case Type::F32: {
      const bool flush = (!raw && (env.denorm32 & 1) == 0) || (op.flags & kFlushAlways) != 0;
      if (sign.any() || flush) return modify32(bits, sign, flush, 0x00800000u, room);
      break;
    }
    default:
      if ((op.flags & kSignModifiers) != 0 && sign.any()) {
        return modify32(bits, sign, false, 0, room);
      }
      break;
  }
  if (bits == &low_room) {
    room = low_room;
    return &room;
  }
  return bits;
}

void write_mask_result(Wave& w, const Instruction& i, const Operation& op, LaneBuffer& mask,
                       std::uint64_t enabled) {
  const std::uint64_t bits = pack_mask(reinterpret_cast<Bits32*>(&mask), w.lanes) & enabled;
  if ((op.flags & kCmpx) != 0) {
    w.set_exec(bits);
    if (!is_cdna(w.arch)) return;
  }
  write_mask(w, i.sdst, bits);
}

}  // namespace

bool is_plain(const Instruction& i) {
  return i.lanes == Lanes::Plain && i.neg == 0 && i.abs == 0 && i.omod == 0 && i.op_sel == 0 &&
         !i.clamp;
}

void complete_operands(Instruction& i, const Operation& op) {
  if ((op.flags & kAccumulate) != 0) i.src[op.sources - 1] = i.dst;
  for (unsigned k = 0; k < op.sources; ++k) {
    if (op.source[k] == Type::Mask && i.src[k] == kNoOperand) i.src[k] = kVccLo;
  }
  if (op.mask && i.sdst == kNoOperand) {
    const bool compare = op.result == Type::None;
    i.sdst = compare && i.dst != kNoOperand ? i.dst : std::uint16_t{kVccLo};
  }
}

void run_operation(Wave& w, const Instruction& i, const Operation& op) {
  const Env env(w);
  std::uint64_t enabled = w.exec();
  LaneBuffer room[4], out, mask;
  const void* src[4] = {};
  for (unsigned k = 0; k < op.sources; ++k) {
    src[k] = prepare(w, i, op, env, k, enabled, room[k]);
  }
  call_core(i, op, &out, reinterpret_cast<Bits32*>(&mask), src, env, w.lanes);

  const OutputRules rules(i, env, op.result, op.flags);
  const bool keep = !is_cdna(w.arch) || (op.flags & kKeepHigh) != 0;
  const bool high = (i.op_sel & 8) != 0;
  switch (op.result) {
    case Type::None:
    case Type::Mask:
      break;
    case Type::B64:
    case Type::I64:
    case Type::F64:
      if (op.result == Type::F64 && rules.any()) shape64(out, rules);
      store64(w, i.dst, &out, enabled);
      break;
    case Type::F16:
      if (rules.any()) shape32(out, rules, 0x1p-14f);
      if (env.fp16_overflow_clamps) clamp_halves(out);
      floats_to_halves(&out, &out, (op.flags & kRoundEven) != 0 ? 0 : env.round16, w.lanes);
      if (store_sdwa(w, i, out, enabled)) break;
      store16(w, i.dst, &out, enabled, high, keep);
      break;
    case Type::U16:
    case Type::I16:
      if (store_sdwa(w, i, out, enabled)) break;
      store16(w, i.dst, &out, enabled, high, keep);
      break;
    case Type::F32:
      if (rules.any()) shape32(out, rules, 0x1p-126f);
      [[fallthrough]];
    case Type::B32:
      if (store_sdwa(w, i, out, enabled)) break;
      store32(vgpr(w, i.dst), &out, enabled, w.lanes);
      break;
  }
  if (op.mask) write_mask_result(w, i, op, mask, enabled);
}

void run_packed(Wave& w, const Instruction& i, const Operation& op) {
  const Env env(w);
  std::uint64_t enabled = w.exec();
  const bool vop3p = i.format == Format::Vop3p;
  const unsigned select[2] = {vop3p ? i.op_sel : 0u, vop3p ? i.op_sel_hi : 7u};
  const unsigned negate[2] = {i.neg, vop3p ? i.abs : i.neg};
  const bool pairs = op.source[0] == Type::F32;
  const OutputRules rules(i, env, op.result, op.flags);
  const std::uint32_t least = pairs ? 0x00800000u : 0x38800000u;
  const bool flush =
      pairs ? (env.denorm32 & 1) == 0 : op.source[0] == Type::F16 && (env.denorm16 & 1) == 0;
  LaneBuffer bits[3], room[3], out[2];
  for (unsigned part = 0; part < 2; ++part) {
    const void* src[3] = {};
    for (unsigned k = 0; k < op.sources; ++k) {
      const bool high = ((select[part] >> k) & 1) != 0;
      const SignBits sign(false, ((negate[part] >> k) & 1) != 0);
      if (pairs) {
        const void* from = pair_half(w, i, k, high, bits[k]);
        src[k] = sign.any() || flush ? modify32(from, sign, flush, least, room[k]) : from;
        continue;
      }
      const void* from = packed_bits(w, i, k, op.source[k], enabled, bits[k]);
      if (op.source[k] == Type::F16) {
        halves_to_floats(&room[k], from, high ? 16 : 0, w.lanes);
        if (sign.any() || flush) modify32(&room[k], sign, flush, least, room[k]);
        src[k] = &room[k];
      } else if (high) {
        auto* to = reinterpret_cast<Bits32*>(&room[k]);
        const auto* in = static_cast<const Bits32*>(from);
        for (std::size_t n = 0; n < kMaxLanes; ++n) to[n] = in[n] >> 16;
        src[k] = to;
      } else {
        src[k] = from;
      }
    }
    call_core(i, op, &out[part], nullptr, src, env, w.lanes);
    if (op.result == Type::F16) {
      if (rules.any()) shape32(out[part], rules, 0x1p-14f);
      if (env.fp16_overflow_clamps) clamp_halves(out[part]);
      floats_to_halves(&out[part], &out[part], env.round16, w.lanes);
    } else if (op.result == Type::F32 && rules.any()) {
      shape32(out[part], rules, 0x1p-126f);
    }
  }
  if (pairs) {
    store32(vgpr(w, i.dst), &out[0], enabled, w.lanes);
    store32(vgpr(w, i.dst + 1u), &out[1], enabled, w.lanes);
    return;
  }
  auto* low = reinterpret_cast<Bits32*>(&out[0]);
  const auto* high = reinterpret_cast<const Bits32*>(&out[1]);
  for (std::size_t n = 0; n < kMaxLanes; ++n) low[n] = (low[n] & 0xffff) | high[n] << 16;
  store32(vgpr(w, i.dst), low, enabled, w.lanes);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

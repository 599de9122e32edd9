// Owns: what scalar ALU instructions do (SOP1, SOP2, SOPC, SOPK arithmetic).
// Does not own: branches, waits, messages and hardware registers (salu_control.cpp), SMEM
// (smem.cpp). Threading: the wave's host thread.
//
// Sources: AMD CDNA3 and RDNA3 ISA documents, chapters "SOP2/SOPK/SOP1/SOPC instructions".
#include "vgpu/isa/salu.hpp"

#include "vgpu/isa/scalar.hpp"

namespace kiln::vgpu::isa {
namespace {

using U32 = std::uint32_t;
using I32 = std::int32_t;
using U64 = std::uint64_t;
using I64 = std::int64_t;

template <class T>
T source(const Wave& w, const Instruction& i, unsigned index) {
  if constexpr (sizeof(T) == 4)
    return static_cast<T>(scalar32(w, i, i.src[index]));
  else
    return static_cast<T>(scalar64(w, i, i.src[index], std::is_signed_v<T>));
}

template <class T>
void write(Wave& w, const Instruction& i, T value) {
  if constexpr (sizeof(T) == 4)
    set_scalar32(w, i.dst, static_cast<U32>(value));
  else
    set_scalar64(w, i.dst, static_cast<U64>(value));
}

template <class T>
T old_destination(const Wave& w, const Instruction& i) {
  if constexpr (sizeof(T) == 4)
    return static_cast<T>(scalar32(w, i, i.dst));
  else
    return static_cast<T>(scalar64(w, i, i.dst));
}

enum class Scc { Keep, NonZero };

/// D = f(S0, S1); shift counts and selectors stand in S1 as 32 bits even for 64-bit data.
template <class D, class A, class B, auto F, Scc kScc>
void binary(Wave& w, const Instruction& i) {
  const D value = static_cast<D>(F(source<A>(w, i, 0), source<B>(w, i, 1)));
  write<D>(w, i, value);
  if constexpr (kScc == Scc::NonZero) w.scc = value != 0;
}

template <class D, class A, auto F, Scc kScc>
void unary(Wave& w, const Instruction& i) {
  const D value = static_cast<D>(F(source<A>(w, i, 0)));
  write<D>(w, i, value);
  if constexpr (kScc == Scc::NonZero) w.scc = value != 0;
}

/// F gets the wave for SCC in and out.
template <class T, auto F>
void with_scc(Wave& w, const Instruction& i) {
  bool scc = w.scc;
  const T value = F(source<T>(w, i, 0), source<T>(w, i, 1), scc);
  write<T>(w, i, value);
  w.scc = scc;
}

template <class A, class B, auto F>
void compare(Wave& w, const Instruction& i) {
  w.scc = F(source<A>(w, i, 0), source<B>(w, i, 1));
}

/// S_CMPK: the constant is simm16, zero-extended for the unsigned forms.
template <class T, auto F>
void compare_constant(Wave& w, const Instruction& i) {
  const T constant = std::is_signed_v<T> ? static_cast<T>(static_cast<std::int16_t>(i.offset))
                                         : static_cast<T>(static_cast<std::uint16_t>(i.offset));
  w.scc = F(source<T>(w, i, 0), constant);
}

template <class T>
constexpr T bit_field(T value, U32 selector) {
  using U = std::make_unsigned_t<T>;
  constexpr unsigned kBits = sizeof(T) * 8;
  const unsigned offset = selector & (kBits - 1), width = selector >> 16 & 0x7f;
  if (width == 0) return 0;
  T field = static_cast<T>(value >> offset);
  if (width >= kBits) return field;
  const U mask = (U{1} << width) - 1;
  field = static_cast<T>(static_cast<U>(field) & mask);
  if constexpr (std::is_signed_v<T>)
    if ((static_cast<U>(field) >> (width - 1) & 1) != 0)
      field = static_cast<T>(static_cast<U>(field) | ~mask);
  return field;
}

template <class T>
constexpr T bit_field_mask(T width, T offset) {
  constexpr T kWrap = sizeof(T) * 8 - 1;
  return ((T{1} << (width & kWrap)) - 1) << (offset & kWrap);
}

template <class T>
constexpr I32 leading_zeros(T value) {
  return value == 0 ? -1 : std::countl_zero(value);
}
template <class T>
constexpr I32 trailing_zeros(T value) {
  return value == 0 ? -1 : std::countr_zero(value);
}
/// Position from the top of the first bit that differs from the sign bit.
template <class T>
constexpr I32 leading_signs(T value) {
  using U = std::make_unsigned_t<T>;
  const U folded = static_cast<U>(value < 0 ? ~value : value);
  return folded == 0 ? -1 : std::countl_zero(folded);
}

template <class T>
constexpr T reverse_bits(T value) {
  T result = 0;
  for (unsigned bit = 0; bit < sizeof(T) * 8; ++bit, value >>= 1)
    result = static_cast<T>(result << 1 | (value & 1));
  return result;
}

template <class T>
constexpr T whole_quads(T value) {
  T result = 0;
  for (unsigned quad = 0; quad < sizeof(T) * 8; quad += 4)
    if ((value >> quad & 15) != 0) result |= T{15} << quad;
  return result;
}
template <class T>
constexpr T quad_mask(T value) {
  T result = 0;
  for (unsigned quad = 0; quad < sizeof(T) * 2; ++quad)
    if ((value >> (quad * 4) & 15) != 0) result |= T{1} << quad;
  return result;
}

constexpr U64 replicate_bits(U32 value) {
  U64 result = 0;
  for (unsigned bit = 0; bit < 32; ++bit) result |= U64{3} * (value >> bit & 1) << (bit * 2);
  return result;
}

constexpr U32 add_carry(U64 sum, bool& scc) {
  scc = sum >> 32 != 0;
  return static_cast<U32>(sum);
}
template <unsigned kShift>
constexpr U32 shift_add(U32 a, U32 b, bool& scc) {
  return add_carry((U64{a} << kShift) + b, scc);
}

/// EXEC = F(S0, EXEC); D = the old EXEC (saveexec) or the new one (wrexec).
template <class T, auto F, bool kSave>
void exec_op(Wave& w, const Instruction& i) {
  const T before = sizeof(T) == 4 ? static_cast<T>(w.s[kExecLo]) : static_cast<T>(w.exec());
  const T operand = source<T>(w, i, 0);
  const T after = static_cast<T>(F(operand, before));
  std::memcpy(&w.s[kExecLo], &after, sizeof(T));
  write<T>(w, i, kSave ? before : after);
  w.scc = after != 0;
}

template <class T>
void conditional_move(Wave& w, const Instruction& i) {
  if (w.scc) write<T>(w, i, source<T>(w, i, 0));
}
template <class T>
void select(Wave& w, const Instruction& i) {
  write<T>(w, i, source<T>(w, i, w.scc ? 0 : 1));
}
template <class T, bool kSet>
void bit_set(Wave& w, const Instruction& i) {
  const T bit = T{1} << (source<U32>(w, i, 0) & (sizeof(T) * 8 - 1));
  const T old = old_destination<T>(w, i);
  write<T>(w, i, kSet ? (old | bit) : (old & ~bit));
}

/// SGPR indexed by M0, checked: past the file the wave is in error on hardware as well.
template <class T, bool kSource, bool kDestination>
void move_relative(Wave& w, const Instruction& i) {
  U32 from = i.src[0], to = i.dst;
  if constexpr (kSource && kDestination) {  // s_movrelsd_2_b32 has an index for each
    from += w.s[kM0] & 0x3ff;
    to += w.s[kM0] >> 16 & 0x3ff;
  } else {
    if constexpr (kSource) from += w.s[kM0];
    if constexpr (kDestination) to += w.s[kM0];
  }
  constexpr U32 kLast = kVccHi - (sizeof(T) / 4 - 1);
  if ((kSource && from > kLast) || (kDestination && to > kLast)) {
    w.halt("scalar register index out of range");
    return;
  }
  const T value =
      sizeof(T) == 4 ? static_cast<T>(scalar32(w, i, from)) : static_cast<T>(scalar64(w, i, from));
  if constexpr (sizeof(T) == 4)
    set_scalar32(w, to, static_cast<U32>(value));
  else
    set_scalar64(w, to, value);
}

void movk(Wave& w, const Instruction& i) {
  write<I32>(w, i, static_cast<std::int16_t>(i.offset));
}
void cmovk(Wave& w, const Instruction& i) {
  if (w.scc) movk(w, i);
}
void addk(Wave& w, const Instruction& i) {
  I32 sum;
  w.scc = __builtin_add_overflow(old_destination<I32>(w, i),
                                 I32{static_cast<std::int16_t>(i.offset)}, &sum);
  write<I32>(w, i, sum);
}
void mulk(Wave& w, const Instruction& i) {
  write<U32>(
      w, i,
      old_destination<U32>(w, i) * static_cast<U32>(I32{static_cast<std::int16_t>(i.offset)}));
}

// Rows. S_BIN32("x", a & b): both sources and the result of one type, SCC = result != 0.
#define ROW(name, ...) Semantics(name, Handler(__VA_ARGS__))
#define OP2(T, expr) [](T a, T b) { return (expr); }
#define OP1(T, expr) [](T a) { return (expr); }
#define LOGIC(name, expr)                                                     \
  ROW("s_" name "_b32", binary<U32, U32, U32, OP2(U32, expr), Scc::NonZero>), \
      ROW("s_" name "_b64", binary<U64, U64, U64, OP2(U64, expr), Scc::NonZero>)
#define SHIFT(name, T, op, bits) \
  ROW(name,                      \
      binary<T, T, U32, [](T a, U32 b) { return static_cast<T>(a op(b & bits)); }, Scc::NonZero>)
#define SCC2(name, T, expr) ROW(name, with_scc<T, [](T a, T b, bool& scc) { return (expr); }>)
#define MINMAX(name, T, cmp) SCC2(name, T, (scc = a cmp b) ? a : b)
#define CMP(name, T, expr) ROW(name, compare<T, T, OP2(T, expr)>)
#define CMPK(name, T, expr) ROW(name, compare_constant<T, OP2(T, expr)>)
#define EXEC_PAIR(name, expr, save)                          \
  ROW("s_" name "_b32", exec_op<U32, OP2(U32, expr), save>), \
      ROW("s_" name "_b64", exec_op<U64, OP2(U64, expr), save>)
#define UNARY(name, D, A, expr, scc) ROW(name, unary<D, A, OP1(A, expr), Scc::scc>)

constexpr Semantics kRows[] = {
    SCC2("s_add_u32", U32, add_carry(U64{a} + b, scc)),
    SCC2("s_addc_u32", U32, add_carry(U64{a} + b + (scc ? 1 : 0), scc)),
    SCC2("s_sub_u32", U32, (scc = b > a, a - b)),
    ROW("s_subb_u32", with_scc<U32,
                               [](U32 a, U32 b, bool& scc) {
                                 const U32 borrow = scc ? 1 : 0;
                                 scc = (U64{b} + borrow > a);
                                 return a - b - borrow;
                               }>),
    ROW("s_add_i32", with_scc<I32,
                              [](I32 a, I32 b, bool& scc) {
                                I32 sum;
                                scc = __builtin_add_overflow(a, b, &sum);
                                return sum;
                              }>),
    ROW("s_sub_i32", with_scc<I32,
                              [](I32 a, I32 b, bool& scc) {
                                I32 difference;
                                scc = __builtin_sub_overflow(a, b, &difference);
                                return difference;
                              }>),
    SCC2("s_lshl1_add_u32", U32, shift_add<1>(a, b, scc)),
    SCC2("s_lshl2_add_u32", U32, shift_add<2>(a, b, scc)),
    SCC2("s_lshl3_add_u32", U32, shift_add<3>(a, b, scc)),
    SCC2("s_lshl4_add_u32", U32, shift_add<4>(a, b, scc)),
    // The ISA wraps before it takes the absolute value.
    ROW("s_absdiff_i32", binary<I32, U32, U32,
                                [](U32 a, U32 b) {
                                  const U32 d = a - b;
                                  return ((d >> 31) != 0 ? 0u - d : d);
                                },
                                Scc::NonZero>),
    MINMAX("s_min_i32", I32, <),
    MINMAX("s_min_u32", U32, <),
    MINMAX("s_max_i32", I32, >=),
    MINMAX("s_max_u32", U32, >=),
    LOGIC("and", a& b),
    LOGIC("or", a | b),
    LOGIC("xor", a ^ b),
    LOGIC("nand", ~(a& b)),
    LOGIC("nor", ~(a | b)),
    LOGIC("xnor", ~(a ^ b)),
    LOGIC("and_not1", a & ~b),
    LOGIC("or_not1", a | ~b),
    SHIFT("s_lshl_b32", U32, <<, 31),
    SHIFT("s_lshl_b64", U64, <<, 63),
    SHIFT("s_lshr_b32", U32, >>, 31),
    SHIFT("s_lshr_b64", U64, >>, 63),
    SHIFT("s_ashr_i32", I32, >>, 31),
    SHIFT("s_ashr_i64", I64, >>, 63),
    ROW("s_bfe_u32", binary<U32, U32, U32, bit_field<U32>, Scc::NonZero>),
    ROW("s_bfe_i32", binary<I32, I32, U32, bit_field<I32>, Scc::NonZero>),
    ROW("s_bfe_u64", binary<U64, U64, U32, bit_field<U64>, Scc::NonZero>),
    ROW("s_bfe_i64", binary<I64, I64, U32, bit_field<I64>, Scc::NonZero>),
    ROW("s_bfm_b32", binary<U32, U32, U32, bit_field_mask<U32>, Scc::Keep>),
    ROW("s_bfm_b64",
        binary<U64, U32, U32, [](U32 a, U32 b) { return bit_field_mask<U64>(a, b); }, Scc::Keep>),
    ROW("s_mul_i32", binary<U32, U32, U32, OP2(U32, a* b), Scc::Keep>),
    ROW("s_mul_hi_u32", binary<U32, U32, U32, OP2(U32, U64{a} * b >> 32), Scc::Keep>),
    ROW("s_mul_hi_i32", binary<I32, I32, I32, OP2(I32, I64{a} * b >> 32), Scc::Keep>),
    ROW("s_cselect_b32", select<U32>),
    ROW("s_cselect_b64", select<U64>),
    ROW("s_pack_ll_b32_b16", binary<U32, U32, U32, OP2(U32, b << 16 | (a & 0xffff)), Scc::Keep>),
    ROW("s_pack_lh_b32_b16",
        binary<U32, U32, U32, OP2(U32, (b & 0xffff0000) | (a & 0xffff)), Scc::Keep>),
    ROW("s_pack_hh_b32_b16",
        binary<U32, U32, U32, OP2(U32, (b & 0xffff0000) | a >> 16), Scc::Keep>),
    ROW("s_pack_hl_b32_b16", binary<U32, U32, U32, OP2(U32, b << 16 | a >> 16), Scc::Keep>),

    UNARY("s_mov_b32", U32, U32, a, Keep),
    UNARY("s_mov_b64", U64, U64, a, Keep),
    ROW("s_cmov_b32", conditional_move<U32>),
    ROW("s_cmov_b64", conditional_move<U64>),
    UNARY("s_not_b32", U32, U32, ~a, NonZero),
    UNARY("s_not_b64", U64, U64, ~a, NonZero),
    UNARY("s_wqm_b32", U32, U32, whole_quads(a), NonZero),
    UNARY("s_wqm_b64", U64, U64, whole_quads(a), NonZero),
    UNARY("s_quadmask_b32", U32, U32, quad_mask(a), NonZero),
    UNARY("s_quadmask_b64", U64, U64, quad_mask(a), NonZero),
    UNARY("s_brev_b32", U32, U32, reverse_bits(a), Keep),
    UNARY("s_brev_b64", U64, U64, reverse_bits(a), Keep),
    UNARY("s_bcnt0_i32_b32", U32, U32, std::popcount(~a), NonZero),
    UNARY("s_bcnt0_i32_b64", U32, U64, std::popcount(~a), NonZero),
    UNARY("s_bcnt1_i32_b32", U32, U32, std::popcount(a), NonZero),
    UNARY("s_bcnt1_i32_b64", U32, U64, std::popcount(a), NonZero),
    UNARY("s_ff0_i32_b32", I32, U32, trailing_zeros(~a), Keep),
    UNARY("s_ff0_i32_b64", I32, U64, trailing_zeros(~a), Keep),
    UNARY("s_ctz_i32_b32", I32, U32, trailing_zeros(a), Keep),
    UNARY("s_ctz_i32_b64", I32, U64, trailing_zeros(a), Keep),
    UNARY("s_clz_i32_u32", I32, U32, leading_zeros(a), Keep),
    UNARY("s_clz_i32_u64", I32, U64, leading_zeros(a), Keep),
    UNARY("s_cls_i32", I32, I32, leading_signs(a), Keep),
    UNARY("s_cls_i32_i64", I32, I64, leading_signs(a), Keep),
    UNARY("s_sext_i32_i8", I32, U32, static_cast<std::int8_t>(a), Keep),
    UNARY("s_sext_i32_i16", I32, U32, static_cast<std::int16_t>(a), Keep),
    UNARY("s_abs_i32", U32, U32, a >> 31 != 0 ? 0u - a : a, NonZero),
    UNARY("s_bitreplicate_b64_b32", U64, U32, replicate_bits(a), Keep),
    ROW("s_bitset0_b32", bit_set<U32, false>),
    ROW("s_bitset0_b64", bit_set<U64, false>),
    ROW("s_bitset1_b32", bit_set<U32, true>),
    ROW("s_bitset1_b64", bit_set<U64, true>),
    ROW("s_movrels_b32", move_relative<U32, true, false>),
    ROW("s_movrels_b64", move_relative<U64, true, false>),
    ROW("s_movreld_b32", move_relative<U32, false, true>),
    ROW("s_movreld_b64", move_relative<U64, false, true>),
    ROW("s_movrelsd_2_b32", move_relative<U32, true, true>),

    EXEC_PAIR("and_saveexec", a& b, true),
    EXEC_PAIR("or_saveexec", a | b, true),
    EXEC_PAIR("xor_saveexec", a ^ b, true),
    EXEC_PAIR("nand_saveexec", ~(a& b), true),
    EXEC_PAIR("nor_saveexec", ~(a | b), true),
    EXEC_PAIR("xnor_saveexec", ~(a ^ b), true),
    EXEC_PAIR("and_not0_saveexec", ~a& b, true),
    EXEC_PAIR("or_not0_saveexec", ~a | b, true),
    EXEC_PAIR("and_not1_saveexec", a & ~b, true),
    EXEC_PAIR("or_not1_saveexec", a | ~b, true),
    EXEC_PAIR("and_not0_wrexec", ~a& b, false),
    EXEC_PAIR("and_not1_wrexec", a & ~b, false),

    CMP("s_cmp_eq_i32", I32, a == b),
    CMP("s_cmp_lg_i32", I32, a != b),
    CMP("s_cmp_gt_i32", I32, a > b),
    CMP("s_cmp_ge_i32", I32, a >= b),
    CMP("s_cmp_lt_i32", I32, a < b),
    CMP("s_cmp_le_i32", I32, a <= b),
    CMP("s_cmp_eq_u32", U32, a == b),
    CMP("s_cmp_lg_u32", U32, a != b),
    CMP("s_cmp_gt_u32", U32, a > b),
    CMP("s_cmp_ge_u32", U32, a >= b),
    CMP("s_cmp_lt_u32", U32, a < b),
    CMP("s_cmp_le_u32", U32, a <= b),
    CMP("s_cmp_eq_u64", U64, a == b),
    CMP("s_cmp_lg_u64", U64, a != b),
    ROW("s_bitcmp0_b32",
        compare<U32, U32, [](U32 a, U32 b) { return ((a >> (b & 31)) & 1) == 0; }>),
    ROW("s_bitcmp1_b32",
        compare<U32, U32, [](U32 a, U32 b) { return ((a >> (b & 31)) & 1) != 0; }>),
    ROW("s_bitcmp0_b64",
        compare<U64, U32, [](U64 a, U32 b) { return ((a >> (b & 63)) & 1) == 0; }>),
    ROW("s_bitcmp1_b64",
        compare<U64, U32, [](U64 a, U32 b) { return ((a >> (b & 63)) & 1) != 0; }>),

    ROW("s_movk_i32", movk),
    ROW("s_cmovk_i32", cmovk),
    ROW("s_addk_i32", addk),
    ROW("s_mulk_i32", mulk),
    CMPK("s_cmpk_eq_i32", I32, a == b),
    CMPK("s_cmpk_lg_i32", I32, a != b),
    CMPK("s_cmpk_gt_i32", I32, a > b),
    CMPK("s_cmpk_ge_i32", I32, a >= b),
    CMPK("s_cmpk_lt_i32", I32, a < b),
    CMPK("s_cmpk_le_i32", I32, a <= b),
    CMPK("s_cmpk_eq_u32", U32, a == b),
    CMPK("s_cmpk_lg_u32", U32, a != b),
    CMPK("s_cmpk_gt_u32", U32, a > b),
    CMPK("s_cmpk_ge_u32", U32, a >= b),
    CMPK("s_cmpk_lt_u32", U32, a < b),
    CMPK("s_cmpk_le_u32", U32, a <= b),
};

}  // namespace

std::uint32_t special_operand32(const Wave& wave, const Instruction& instruction, unsigned code) {
  if (code >= kIntMinus1 && code <= (kIntMinus1 + 15)) return 0u - (code - kIntMinus1 + 1);
  if (code >= kHalf && code <= kInv2Pi) return kInlineF32[code - kHalf];
  switch (code) {
    case kVccz:
      return wave.vcc() == 0;
    case kExecz:
      return wave.exec() == 0;
    case kScc:
      return wave.scc;
    case kLiteral:
      return instruction.literal;
    default:
      break;
  }
  return static_cast<std::uint32_t>(special_operand64(wave, instruction, code, false));
}

std::uint64_t special_operand64(const Wave& wave, const Instruction& instruction, unsigned code,
                                bool signed_literal) {
  if (code >= kIntMinus1 && code <= (kIntMinus1 + 15)) return U64{0} - (code - kIntMinus1 + 1);
  if (code >= kHalf && code <= kInv2Pi) return kInlineF64[code - kHalf];
  constexpr U64 kApertureBytes = U64{1} << 32;
  switch (code) {
    case kLiteral:
      return signed_literal ? static_cast<U64>(I64{static_cast<std::int32_t>(instruction.literal)})
                            : instruction.literal;
    case kSharedBase:
      return wave.group->shared_aperture;
    case kSharedLimit:
      return wave.group->shared_aperture + kApertureBytes - 1;
    case kPrivateBase:
      return wave.group->private_aperture;
    case kPrivateLimit:
      return wave.group->private_aperture + kApertureBytes - 1;
    case kVccz:
    case kExecz:
    case kScc:
      return special_operand32(wave, instruction, code);
    default:
      return 0;
  }
}

void salu_semantics(SemanticsSink& sink) {
  sink.add(kRows);
  control_semantics(sink);
  smem_semantics(sink);
  smem_write_semantics(sink);
}

}  // namespace kiln::vgpu::isa

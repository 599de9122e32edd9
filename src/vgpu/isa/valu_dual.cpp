// Owns: VOPD, two operations in one instruction.
// Does not own: the single forms of the same operations.
// Threading: the wave's host thread.
//
// Both halves read all their sources before either writes (AMD RDNA3 ISA, "Dual issue VALU"). The
// handler of X computes, then runs the handler of Y, which reads and writes, and only then writes.
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

KILN_ALWAYS_INLINE float dot2_f16(u32 a, u32 b, float c) {
  const float low =
      float_of(float_bits_of_half(a & 0xffff)) * float_of(float_bits_of_half(b & 0xffff));
  const float high = float_of(float_bits_of_half(a >> 16)) * float_of(float_bits_of_half(b >> 16));
  return (c + low) + high;
}
KILN_ALWAYS_INLINE float dot2_bf16(u32 a, u32 b, float c) {
  return (c + float_of(a << 16) * float_of(b << 16)) +
         float_of(a & 0xffff0000u) * float_of(b & 0xffff0000u);
}

template <auto F, class... A>
KILN_ALWAYS_INLINE void compute(const Wave& w, const Instruction& i, const std::uint16_t* operands,
                                LaneBuffer& out, Arguments<A...>) {
  LaneBuffer room[sizeof...(A)];
  const Env env(w);
  unsigned n = 0, m = 0;
  const void* src[] = {fetch<A>(w, i, operands[n++], room[m++])...};
  Described<F>::core(&out, nullptr, src, env, w.lanes);
}

/// In unusual float modes: each half alone, as a plain instruction, with X's result held back.
[[gnu::noinline]] void run_apart(Wave& w, const Instruction& i, const Operation& x) {
  Instruction single = i;
  single.format = Format::Vop3;
  alignas(64) u32 old[kMaxLanes], result[kMaxLanes];
  Bits32* dst = vgpr(w, i.dst);
  for (std::size_t n = 0; n < kMaxLanes; ++n) old[n] = dst[n];
  run_operation(w, single, x);
  for (std::size_t n = 0; n < kMaxLanes; ++n) result[n] = dst[n];
  for (std::size_t n = 0; n < kMaxLanes; ++n) dst[n] = old[n];
  i.execute_y(w, i);
  store32(dst, result, w.exec(), w.lanes);
}

template <auto F>
void half_x(Wave& w, const Instruction& i) {
  if (!in_plain_mode(w)) [[unlikely]]
    return run_apart(w, i, kOperation<F>);
  LaneBuffer out;
  compute<F>(w, i, i.src, out, typename Described<F>::Args());
  i.execute_y(w, i);
  store32(vgpr(w, i.dst), &out, w.exec(), w.lanes);
}

template <auto F>
void half_y(Wave& w, const Instruction& i) {
  if (!in_plain_mode(w)) [[unlikely]] {
    Instruction single = i;
    single.format = Format::Vop3;
    for (unsigned k = 0; k < 3; ++k) single.src[k] = i.src_y[k];
    single.dst = i.sdst;
    return run_operation(w, single, kOperation<F>);
  }
  LaneBuffer out;
  compute<F>(w, i, i.src_y, out, typename Described<F>::Args());
  store32(vgpr(w, i.sdst), &out, w.exec(), w.lanes);
}

struct Row {
  std::string_view name;
  Handler x, y;
  bool accumulates;
};

template <auto F>
constexpr Row row(std::string_view name, bool accumulates = false) {
  return {name, half_x<F>, half_y<F>, accumulates};
}

KILN_ALWAYS_INLINE float fma(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}

constexpr Row kRows[] = {
    row<fma>("v_fmac_f32", true),
    row<fma>("v_fmaak_f32"),
    row<fma>("v_fmamk_f32"),
    row<[](float a, float b) { return a * b; }>("v_mul_f32"),
    row<[](float a, float b) { return a + b; }>("v_add_f32"),
    row<[](float a, float b) { return a - b; }>("v_sub_f32"),
    row<[](float a, float b) { return b - a; }>("v_subrev_f32"),
    row<[](float a, float b) {
      const bool zero = (a == 0.0f) | (b == 0.0f);
      return zero ? 0.0f : a * b;
    }>("v_mul_dx9_zero_f32"),
    row<[](u32 v) { return v; }>("v_mov_b32"),
    row<[](u32 a, u32 b, bool pick) { return pick ? b : a; }>("v_cndmask_b32"),
    row<max_number>("v_max_f32"),
    row<min_number>("v_min_f32"),
    row<dot2_f16>("v_dot2acc_f32_f16", true),
    row<dot2_bf16>("v_dot2acc_f32_bf16", true),
    row<[](u32 a, u32 b) { return a + b; }>("v_add_nc_u32"),
    row<[](u32 s, u32 v) { return v << (s & 31); }>("v_lshlrev_b32"),
    row<[](u32 a, u32 b) { return a & b; }>("v_and_b32"),
};

const Row* find(const Opcode* opcode) {
  if (opcode == nullptr) return nullptr;
  for (const Row& candidate : kRows) {
    if (candidate.name == opcode->semantics) return &candidate;
  }
  return nullptr;
}

Handler select_dual(Instruction& i) {
  const Row* x = find(i.opcode);
  const Row* y = find(i.opcode_y);
  if (x == nullptr || y == nullptr) return nullptr;
  if (x->accumulates) i.src[2] = i.dst;
  if (y->accumulates) i.src_y[2] = i.sdst;
  i.execute_y = y->y;
  return x->x;
}

constexpr Semantics kTable[] = {{"v_dual", select_dual}};

}  // namespace

void dual_rows(SemanticsSink& sink) {
  sink.add(kTable);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

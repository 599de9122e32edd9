// Owns: what the vector memory files share when they lay out their rows, and loads that go to LDS.
// Does not own: the rows.
// Threading: the wave's host thread. Hot: included by files that are compiled in both flavours.
#pragma once

#include "vgpu/isa/lane_atomics.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS::mem {

void flat_semantics(SemanticsSink& sink);
void buffer_semantics(SemanticsSink& sink);
void ds_semantics(SemanticsSink& sink);

/// LDS-direct loads of gfx9: lane n's dwords land at M0 + inst_offset + n * bytes.
template <class Widen, unsigned kCount>
void store_rows_to_lds(Wave& w, const Instruction& i, U64 mask, VectorRegister (&rows)[kCount],
                       Widen widen) {
  Offsets to;
  const U32 base = (w.s[kM0] & 0xffff) + static_cast<U32>(i.offset);
  for (unsigned lane = 0; lane < kMaxLanes; ++lane) {
    to.at[lane] = base + lane * 4 * kCount;
    for (unsigned k = 0; k < kCount; ++k)
      if (has_lane(mask, lane)) rows[k].lane[lane] = widen(rows[k].lane[lane]);
  }
  lds_scatter<4, kCount>(w, to, mask, rows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS::mem

#define KILN_ROW(name, ...) Semantics(name, Handler(__VA_ARGS__))

/// The atomics that FLAT, GLOBAL and MUBUF have in common; form(T, Op) is the handler.
#define KILN_VECTOR_ATOMICS(prefix, form)                                  \
  KILN_ROW(prefix "_atomic_swap_b32", form(U32, Swap)),                    \
      KILN_ROW(prefix "_atomic_cmpswap_b32", form(U32, CompareSwap)),      \
      KILN_ROW(prefix "_atomic_add_u32", form(U32, Add)),                  \
      KILN_ROW(prefix "_atomic_sub_u32", form(U32, Sub)),                  \
      KILN_ROW(prefix "_atomic_csub_u32", form(U32, ClampedSub)),          \
      KILN_ROW(prefix "_atomic_min_i32", form(U32, MinSigned)),            \
      KILN_ROW(prefix "_atomic_min_u32", form(U32, MinUnsigned)),          \
      KILN_ROW(prefix "_atomic_max_i32", form(U32, MaxSigned)),            \
      KILN_ROW(prefix "_atomic_max_u32", form(U32, MaxUnsigned)),          \
      KILN_ROW(prefix "_atomic_and_b32", form(U32, And)),                  \
      KILN_ROW(prefix "_atomic_or_b32", form(U32, Or)),                    \
      KILN_ROW(prefix "_atomic_xor_b32", form(U32, Xor)),                  \
      KILN_ROW(prefix "_atomic_inc_u32", form(U32, Inc)),                  \
      KILN_ROW(prefix "_atomic_dec_u32", form(U32, Dec)),                  \
      KILN_ROW(prefix "_atomic_cmpswap_f32", form(U32, CompareSwapFloat)), \
      KILN_ROW(prefix "_atomic_min_f32", form(U32, MinFloat)),             \
      KILN_ROW(prefix "_atomic_max_f32", form(U32, MaxFloat)),             \
      KILN_ROW(prefix "_atomic_add_f32", form(U32, AddFloat)),             \
      KILN_ROW(prefix "_atomic_pk_add_f16", form(U32, PackedAddHalf)),     \
      KILN_ROW(prefix "_atomic_pk_add_bf16", form(U32, PackedAddBfloat)),  \
      KILN_ROW(prefix "_atomic_swap_b64", form(U64, Swap)),                \
      KILN_ROW(prefix "_atomic_cmpswap_b64", form(U64, CompareSwap)),      \
      KILN_ROW(prefix "_atomic_add_u64", form(U64, Add)),                  \
      KILN_ROW(prefix "_atomic_sub_u64", form(U64, Sub)),                  \
      KILN_ROW(prefix "_atomic_min_i64", form(U64, MinSigned)),            \
      KILN_ROW(prefix "_atomic_min_u64", form(U64, MinUnsigned)),          \
      KILN_ROW(prefix "_atomic_max_i64", form(U64, MaxSigned)),            \
      KILN_ROW(prefix "_atomic_max_u64", form(U64, MaxUnsigned)),          \
      KILN_ROW(prefix "_atomic_and_b64", form(U64, And)),                  \
      KILN_ROW(prefix "_atomic_or_b64", form(U64, Or)),                    \
      KILN_ROW(prefix "_atomic_xor_b64", form(U64, Xor)),                  \
      KILN_ROW(prefix "_atomic_inc_u64", form(U64, Inc)),                  \
      KILN_ROW(prefix "_atomic_dec_u64", form(U64, Dec)),                  \
      KILN_ROW(prefix "_atomic_cmpswap_f64", form(U64, CompareSwapFloat)), \
      KILN_ROW(prefix "_atomic_add_f64", form(U64, AddFloat)),             \
      KILN_ROW(prefix "_atomic_min_f64", form(U64, MinFloat)),             \
      KILN_ROW(prefix "_atomic_max_f64", form(U64, MaxFloat))

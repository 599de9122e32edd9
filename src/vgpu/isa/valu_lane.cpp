// Owns: moves, and operations in which lanes are not independent: lane reads and writes, permutes,
//   mask bit counts, indexed and swapping moves.
// Does not own: DPP (valu_forms.cpp), LDS permutes (memory_ds.cpp).
// Threading: the wave's host thread.
//
// Source: AMD CDNA3 and RDNA3 ISA documents, pseudocode of each instruction.
#include "vgpu/isa/scalar.hpp"
#include "vgpu/isa/valu.hpp"
#include "vgpu/isa/valu_forms.hpp"
#include "vgpu/isa/valu_lanes.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

KILN_ALWAYS_INLINE bool active(std::uint64_t exec, std::size_t lane) {
  return (exec >> lane & 1) != 0;
}

void no_operation(Wave&, const Instruction&) {}

u32 lane_value(const Wave& w, const Instruction& i, unsigned operand, unsigned lane) {
  return operand >= kVgpr0 ? w.v[operand - kVgpr0].lane[lane] : scalar32(w, i, operand);
}

void read_first_lane(Wave& w, const Instruction& i) {
  const std::uint64_t exec = w.exec();
  // With EXEC = 0 it is lane 0.
  const unsigned lane = exec == 0 ? 0 : static_cast<unsigned>(__builtin_ctzll(exec));
  set_scalar32(w, i.dst, lane_value(w, i, i.src[0], lane));
}
void read_lane(Wave& w, const Instruction& i) {
  const unsigned lane = scalar32(w, i, i.src[1]) & (w.lanes - 1u);
  set_scalar32(w, i.dst, lane_value(w, i, i.src[0], lane));
}
void write_lane(Wave& w, const Instruction& i) {
  const unsigned lane = scalar32(w, i, i.src[1]) & (w.lanes - 1u);
  vgpr(w, i.dst)[lane] = scalar32(w, i, i.src[0]);  // whatever EXEC says
}

void permute_rows(Wave& w, const Instruction& i, unsigned flip_row) {
  const std::uint64_t exec = w.exec();
  const bool fetch_inactive = (i.op_sel & 1) != 0, bound_ctrl = (i.op_sel & 2) != 0;
  const u64 selectors = scalar32(w, i, i.src[1]) | u64{scalar32(w, i, i.src[2])} << 32;
  LaneBuffer room;
  std::uint64_t enabled = exec;
  const auto* from = static_cast<const Bits32*>(source_bits(w, i, 0, Type::B32, enabled, room));
  alignas(64) u32 out[kMaxLanes] = {};
  for (unsigned lane = 0; lane < w.lanes; ++lane) {
    const unsigned row = (lane & ~15u) ^ flip_row;
    const unsigned source = row | static_cast<unsigned>(selectors >> (4 * (lane & 15)) & 15);
    if (fetch_inactive || active(exec, source))
      out[lane] = from[source];
    else if (!bound_ctrl)
      enabled &= ~(std::uint64_t{1} << lane);
  }
  store32(vgpr(w, i.dst), out, enabled, w.lanes);
}
void permlane16(Wave& w, const Instruction& i) {
  permute_rows(w, i, 0);
}
void permlanex16(Wave& w, const Instruction& i) {
  permute_rows(w, i, 16);
}

void permlane64(Wave& w, const Instruction& i) {
  if (w.lanes != 64) return;  // a no-operation in wave32
  alignas(64) u32 out[kMaxLanes];
  for (unsigned lane = 0; lane < 64; ++lane) out[lane] = lane_value(w, i, i.src[0], lane ^ 32);
  store32(vgpr(w, i.dst), out, w.exec(), 64);
}

/// v_mbcnt_lo counts over lanes 0..31, v_mbcnt_hi over 32..63: how many bits of S0 below this lane.
template <bool kHigh>
void mask_count(Wave& w, const Instruction& i) {
  std::uint64_t enabled = w.exec();
  LaneBuffer room[2];
  const auto* bits = static_cast<const Bits32*>(source_bits(w, i, 0, Type::B32, enabled, room[0]));
  const auto* base = static_cast<const Bits32*>(source_bits(w, i, 1, Type::B32, enabled, room[1]));
  alignas(64) u32 out[kMaxLanes];
  for (unsigned lane = 0; lane < w.lanes; ++lane) {
    const u64 below = (u64{1} << lane) - 1;
    const u32 mask = static_cast<u32>(kHigh ? below >> 32 : below);
    out[lane] = base[lane] + static_cast<u32>(__builtin_popcount(bits[lane] & mask));
  }
  store32(vgpr(w, i.dst), out, enabled, w.lanes);
}

void swap_registers(Bits32* a, Bits32* b, std::uint64_t exec, unsigned lanes) {
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    if (!active(exec, lane)) continue;
    const u32 keep = a[lane];
    a[lane] = b[lane];
    b[lane] = keep;
  }
}
void swap32(Wave& w, const Instruction& i) {
  swap_registers(vgpr(w, i.dst), vgpr(w, i.src[0]), w.exec(), w.lanes);
}
void swap16(Wave& w, const Instruction& i) {
  const unsigned to = (i.op_sel & 8) != 0 ? 16 : 0, from = (i.op_sel & 1) != 0 ? 16 : 0;
  Bits32 *a = vgpr(w, i.dst), *b = vgpr(w, i.src[0]);
  const std::uint64_t exec = w.exec();
  for (std::size_t lane = 0; lane < w.lanes; ++lane) {
    if (!active(exec, lane)) continue;
    const u32 x = a[lane] >> to & 0xffff, y = b[lane] >> from & 0xffff;
    a[lane] = (a[lane] & ~(0xffffu << to)) | y << to;
    b[lane] = (b[lane] & ~(0xffffu << from)) | x << from;
  }
}

/// A VGPR moved by an index from M0; outside of the wave's registers it is v0, as on hardware.
Bits32* indexed(Wave& w, unsigned operand, u32 index) {
  const u32 number = operand - kVgpr0 + index;
  return w.v[number < 256 ? number : 0].lane;
}
void move_rows(Wave& w, Bits32* to, const Bits32* from) {
  alignas(64) u32 copy[kMaxLanes];
  for (std::size_t n = 0; n < kMaxLanes; ++n) copy[n] = from[n];
  store32(to, copy, w.exec(), w.lanes);
}
void movreld(Wave& w, const Instruction& i) {
  LaneBuffer room;
  std::uint64_t enabled = w.exec();
  const void* from = source_bits(w, i, 0, Type::B32, enabled, room);
  move_rows(w, indexed(w, i.dst, w.s[kM0]), static_cast<const Bits32*>(from));
}
void movrels(Wave& w, const Instruction& i) {
  move_rows(w, vgpr(w, i.dst), indexed(w, i.src[0], w.s[kM0]));
}
void movrelsd(Wave& w, const Instruction& i) {
  move_rows(w, indexed(w, i.dst, w.s[kM0]), indexed(w, i.src[0], w.s[kM0]));
}
void movrelsd2(Wave& w, const Instruction& i) {
  const u32 m0 = w.s[kM0];
  move_rows(w, indexed(w, i.dst, m0 >> 16 & 0x3ff), indexed(w, i.src[0], m0 & 0x3ff));
}
void swaprel(Wave& w, const Instruction& i) {
  const u32 m0 = w.s[kM0];
  swap_registers(indexed(w, i.dst, m0 >> 16 & 0x3ff), indexed(w, i.src[0], m0 & 0x3ff), w.exec(),
                 w.lanes);
}

/// v_pk_mov_b32: low result from S0, high result from S1, each half chosen by op_sel.
void packed_move(Wave& w, const Instruction& i) {
  LaneBuffer room[2];
  alignas(64) u32 out[2][kMaxLanes];
  for (unsigned k = 0; k < 2; ++k) {
    const bool high = (i.op_sel >> k & 1) != 0;
    const auto* from = static_cast<const Bits32*>(pair_half(w, i, k, high, room[k]));
    for (std::size_t n = 0; n < kMaxLanes; ++n) out[k][n] = from[n];
  }
  for (unsigned k = 0; k < 2; ++k) store32(vgpr(w, i.dst + k), out[k], w.exec(), w.lanes);
}

/// Four masked sums of absolute differences over a sliding window, 32 bits each.
void masked_quad_sad32(Wave& w, const Instruction& i) {
  LaneBuffer window, reference;
  std::uint64_t enabled = w.exec();
  fetch64(w, i, i.src[0], Type::B64, window);
  const auto* bytes =
      static_cast<const Bits32*>(source_bits(w, i, 1, Type::B32, enabled, reference));
  alignas(64) u32 out[4][kMaxLanes];
  for (std::size_t n = 0; n < w.lanes; ++n) {
    const u64 data = load_lane<u64>(&window, n);
    for (unsigned part = 0; part < 4; ++part) {
      const unsigned operand = i.src[2];
      u64 sum = operand >= kVgpr0
                    ? u64{w.v[operand - kVgpr0 + part].lane[n]}
                    : scalar32(w, i, part == 0 || operand < 128 ? operand + part : unsigned{kInt0});
      for (unsigned byte = 0; byte < 4; ++byte) {
        const u32 a = static_cast<u32>(data >> (8 * (part + byte))) & 0xff;
        const u32 b = bytes[n] >> (8 * byte) & 0xff;
        if (b != 0) sum += a > b ? a - b : b - a;
      }
      out[part][n] = i.clamp && sum > 0xffffffffu ? 0xffffffffu : static_cast<u32>(sum);
    }
  }
  for (unsigned part = 0; part < 4; ++part) {
    store32(vgpr(w, i.dst + part), out[part], enabled, w.lanes);
  }
}

constexpr u32 same32(u32 v) {
  return v;
}

constexpr Semantics kRows[] = {
    {"v_nop", no_operation},
    {"v_pipeflush", no_operation},
    {"v_clrexcp", no_operation},
    {"v_mov_b32", lanes<same32>},
    {"v_mov_b64", lanes<[](u64 v) { return v; }>},
    {"v_accvgpr_read_b32", lanes<same32>},
    {"v_accvgpr_write_b32", lanes<same32>},
    {"v_accvgpr_mov_b32", lanes<same32>},
    {"v_pk_mov_b32", packed_move},
    {"v_readfirstlane_b32", read_first_lane},
    {"v_readlane_b32", read_lane},
    {"v_writelane_b32", write_lane},
    {"v_permlane16_b32", permlane16},
    {"v_permlanex16_b32", permlanex16},
    {"v_permlane64_b32", permlane64},
    {"v_mbcnt_lo_u32_b32", mask_count<false>},
    {"v_mbcnt_hi_u32_b32", mask_count<true>},
    {"v_swap_b32", swap32},
    {"v_swap_b16", swap16},
    {"v_movreld_b32", movreld},
    {"v_movrels_b32", movrels},
    {"v_movrelsd_b32", movrelsd},
    {"v_movrelsd_2_b32", movrelsd2},
    {"v_swaprel_b32", swaprel},
    {"v_mqsad_u32_u8", masked_quad_sad32},
};

}  // namespace

void lane_rows(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

// Owns: SDWA and DPP selection, and the sources of packed instructions.
// Does not own: modifiers and results (valu_run.cpp).
// Threading: the wave's host thread.
//
// Sources: AMD "CDNA3 ISA" (SDWA, DPP) and AMD "RDNA3 ISA" (DPP16, DPP8); names of the DPP controls
// as in LLVM's SIDefines.h.
#include "vgpu/isa/valu_forms.hpp"

#include "vgpu/isa/scalar.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

constexpr unsigned kNoLane = 0xff;

/// Lane that `lane` reads under a DPP16 control, kNoLane if that is outside.
unsigned dpp16_source(unsigned control, unsigned lane, unsigned lanes, bool rdna) {
  const unsigned row = lane & ~15u, in_row = lane & 15u;
  const unsigned n = control & 15u;
  if (control < 0x100) return (lane & ~3u) | ((control >> (2 * (lane & 3))) & 3);  // quad_perm
  switch (control & 0x1f0) {
    case 0x100:  // row_shl
      return in_row + n < 16 ? lane + n : kNoLane;
    case 0x110:  // row_shr
      return in_row >= n ? lane - n : kNoLane;
    case 0x120:  // row_ror
      return row | ((in_row - n) & 15);
    case 0x150:  // row_newbcast, row_share
      return row | n;
    case 0x160:  // row_xmask
      return rdna ? row | (in_row ^ n) : kNoLane;
    default:
      break;
  }
  switch (control) {
    case 0x130:  // wave_shl:1
      return lane + 1 < lanes ? lane + 1 : kNoLane;
    case 0x134:  // wave_rol:1
      return (lane + 1) % lanes;
    case 0x138:  // wave_shr:1
      return lane >= 1 ? lane - 1 : kNoLane;
    case 0x13c:  // wave_ror:1
      return (lane + lanes - 1) % lanes;
    case 0x140:  // row_mirror
      return row | (15 - in_row);
    case 0x141:  // row_half_mirror
      return (lane & ~7u) | (7 - (lane & 7));
    case 0x142:  // row_bcast:15, each row's last lane to the next row
      return row >= 16 ? row - 1 : kNoLane;
    case 0x143:  // row_bcast:31
      return row >= 32 ? 31 : kNoLane;
    default:
      return kNoLane;
  }
}

}  // namespace

const void* select_lanes(const Wave& w, const Instruction& i, const void* from,
                         std::uint64_t& enabled, LaneBuffer& room) {
  if (i.lanes != Lanes::Dpp16 && i.lanes != Lanes::Dpp8) return from;
  const auto* in = static_cast<const Bits32*>(from);
  LaneBuffer moved;
  auto* out = reinterpret_cast<Bits32*>(&moved);
  const std::uint64_t exec = w.exec();
  const bool rdna = !is_cdna(w.arch);
  for (unsigned lane = 0; lane < w.lanes; ++lane) {
    unsigned source;
    bool writes = true;
    if (i.lanes == Lanes::Dpp8) {
      source = (lane & ~7u) | ((i.dpp >> (3 * (lane & 7))) & 7);
    } else {
      source = dpp16_source(i.dpp & 0x1ff, lane, w.lanes, rdna);
      writes =
          ((i.row_mask >> (lane >> 4)) & 1) != 0 && ((i.bank_mask >> ((lane >> 2) & 3)) & 1) != 0;
    }
    const bool valid = source != kNoLane && (i.fetch_inactive || ((exec >> source) & 1) != 0);
    // Without a valid source lane: zero where bound_ctrl (and DPP8) asks for it, else no write.
    if (!valid && !i.bound_ctrl && i.lanes == Lanes::Dpp16) writes = false;
    out[lane] = valid ? in[source] : 0;
    if (!writes) enabled &= ~(std::uint64_t{1} << lane);
  }
  room = moved;
  return &room;
}

const void* source_bits(const Wave& w, const Instruction& i, unsigned k, Type type,
                        std::uint64_t& enabled, LaneBuffer& room) {
  const unsigned operand = i.src[k];
  const void* bits =
      operand >= kVgpr0 ? w.v[operand - kVgpr0].lane : broadcast(w, i, operand, type, room);
  if (i.lanes == Lanes::Plain) return bits;
  if (i.lanes != Lanes::Sdwa) {
    return k == 0 ? select_lanes(w, i, bits, enabled, room) : bits;
  }
  if (k >= 2 || i.sdwa_src_sel[k] >= 6) return bits;
  const unsigned select = i.sdwa_src_sel[k];
  const bool word = select >= 4;
  const unsigned up = word ? (select == 4 ? 16 : 0) : 24 - 8 * select;
  const unsigned down = word ? 16 : 24;
  const bool extend = ((i.sdwa_sext >> k) & 1) != 0;
  const auto* in = static_cast<const Bits32*>(bits);
  auto* out = reinterpret_cast<Bits32*>(&room);
  for (std::size_t n = 0; n < kMaxLanes; ++n) {
    const std::uint32_t top = in[n] << up;
    out[n] =
        extend ? static_cast<std::uint32_t>(static_cast<std::int32_t>(top) >> down) : top >> down;
  }
  return &room;
}

const void* packed_bits(const Wave& w, const Instruction& i, unsigned k, Type type,
                        std::uint64_t& enabled, LaneBuffer& room) {
  const unsigned operand = i.src[k];
  if (operand >= kVgpr0) {
    const void* bits = w.v[operand - kVgpr0].lane;
    return k == 0 ? select_lanes(w, i, bits, enabled, room) : bits;
  }
  return broadcast(w, i, operand, type == Type::F16 ? Type::F16 : Type::B32, room);
}

const void* pair_half(const Wave& w, const Instruction& i, unsigned k, bool high,
                      LaneBuffer& room) {
  const unsigned operand = i.src[k] + (high && (i.src[k] < kInt0 || i.src[k] >= kVgpr0) ? 1u : 0u);
  if (operand >= kVgpr0) return w.v[operand - kVgpr0].lane;
  return broadcast(w, i, operand, Type::F32, room);
}

bool store_sdwa(Wave& w, const Instruction& i, LaneBuffer& result, std::uint64_t enabled) {
  if (i.lanes != Lanes::Sdwa) return false;
  Bits32* to = vgpr(w, i.dst);
  auto* bits = reinterpret_cast<Bits32*>(&result);
  if (i.sdwa_dst_sel < 6) {
    const bool word = i.sdwa_dst_sel >= 4;
    const unsigned shift = word ? (i.sdwa_dst_sel - 4u) * 16 : i.sdwa_dst_sel * 8u;
    const std::uint32_t field = (word ? 0xffffu : 0xffu) << shift;
    const std::uint32_t sign = word ? 0x8000u : 0x80u;
    for (std::size_t n = 0; n < kMaxLanes; ++n) {
      std::uint32_t rest = 0;
      // dst_unused: 0 pad with zeros, 1 extend the sign upwards, 2 preserve.
      if (i.sdwa_dst_unused == 1 && (bits[n] & sign) != 0) rest = ~(field | (field - 1));
      if (i.sdwa_dst_unused == 2) rest = to[n] & ~field;
      bits[n] = (bits[n] << shift & field) | rest;
    }
  }
  store32(to, bits, enabled, w.lanes);
  return true;
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

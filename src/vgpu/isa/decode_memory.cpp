// Owns: SMEM, DS, FLAT/GLOBAL/SCRATCH, MUBUF and MTBUF.
// Does not own: operand codes (decode_fields.*).
// Threading: pure functions.
//
// Sources: AMD CDNA3, RDNA2 and RDNA3 ISA, "Microcode Formats": "Scalar Memory", "LDS and GDS",
// "Flat, Scratch and Global", "Vector Memory Buffer".
#include "vgpu/isa/decode_fields.hpp"

namespace kiln::vgpu::isa {
namespace {

constexpr std::uint32_t kGlobalSegment = 2, kScratchSegment = 1;

/// A data register: a VGPR, or on gfx9 with the acc bit an AGPR.
bool data(Reader& in, const OperandShape& shape, std::uint32_t field, bool agpr,
          std::uint16_t* code) {
  return !shape.present() || in.vgpr(shape.dwords, field, code, agpr);
}

std::uint8_t cache_bits(bool glc, bool slc_or_nt, bool dlc_or_sc1) {
  return static_cast<std::uint8_t>((glc ? kCacheGlc : 0) | (slc_or_nt ? kCacheSlc : 0) |
                                   (dlc_or_sc1 ? kCacheDlc : 0));
}

}  // namespace

DecodeStatus decode_smem(Reader& in, Instruction& out) {
  if (!in.opcode(Format::Smem, in.bits(18, 8), out)) return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  in.bits(32, 32);
  const std::uint32_t sdata = in.bits(6, 7);
  if (!in.scalar_destination(shape.dst, sdata, &out.dst)) return DecodeStatus::Unknown;
  if (out.dst == kM0 || out.dst == kExecLo || out.dst == kExecHi) return DecodeStatus::Unknown;
  if (shape.src[0].present()) {
    if (!in.sgprs(shape.src[0].dwords, in.bits(0, 6) << 1, &out.src[0]))
      return DecodeStatus::Unknown;
  } else {  // cache control, s_memtime
    const bool reserved = in.gfx9() ? in.bit(17) : in.gfx11() && in.bits(13, 2) != 0;
    return reserved ? DecodeStatus::Unknown : in.finish(out);
  }
  if (shape.src[1].kind == OperandKind::Number) {
    out.offset1 = static_cast<std::uint8_t>(sdata);  // s_atc_probe
    if (in.gfx11() && in.bits(13, 2) != 0) return DecodeStatus::Unknown;
  } else if (shape.src[1].present() && !in.scalar_destination(shape.src[1], sdata, &out.src[2])) {
    return DecodeStatus::Unknown;
  }
  const std::uint16_t stored = out.src[2];
  if (stored == kM0 || stored == kExecLo || stored == kExecHi) return DecodeStatus::Unknown;
  const std::uint32_t soffset = in.bits(57, 7);
  if (!in.gfx9()) {
    out.cache = in.gfx11() ? cache_bits(in.bit(14), false, in.bit(13))
                           : cache_bits(in.bit(16), false, in.bit(14));
    if (!shape.dst.present()) out.cache = 0;  // s_atc_probe
    out.offset = in.signed_bits(32, 21);
    if (!in.sgprs(1, soffset, &out.src[1])) return DecodeStatus::Unknown;
    if (out.src[1] == kNull) out.src[1] = kNoOperand;
    return in.finish(out);
  }
  out.cache =
      cache_bits(in.bit(16) && (shape.dst.present() || out.src[2] != kNoOperand), false, false);
  const bool imm = in.bit(17), register_offset = in.bit(14);
  if (imm) out.offset = in.signed_bits(32, 21);
  if (register_offset && !in.sgprs(1, soffset, &out.src[1])) return DecodeStatus::Unknown;
  // Without either the SGPR stands in the low bits of the offset.
  if (!imm && !register_offset && !in.sgprs(1, in.bits(32, 7), &out.src[1]))
    return DecodeStatus::Unknown;
  return in.finish(out);
}

DecodeStatus decode_ds(Reader& in, Instruction& out) {
  const bool gfx9 = in.gfx9();
  if (!in.opcode(Format::Ds, gfx9 ? in.bits(17, 8) : in.bits(18, 8), out))
    return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  out.gds = in.bit(gfx9 ? 16 : 17);
  const bool agpr = gfx9 && in.bit(25);
  if (shape.has(out.gds ? kShapeLdsOnly : kShapeGdsOnly)) return DecodeStatus::Unknown;
  const bool reserved = (!shape.dst.present() && in.bits(56, 8) != 0) ||
                        (!shape.src[0].present() && in.bits(32, 8) != 0) ||
                        (!shape.src[1].present() && in.bits(40, 8) != 0) ||
                        (!shape.src[2].present() && in.bits(48, 8) != 0);
  if (reserved) return DecodeStatus::Unknown;
  if (!data(in, shape.dst, in.bits(56, 8), agpr, &out.dst) ||
      !data(in, shape.src[0], in.bits(32, 8), false, &out.src[0]) ||
      !data(in, shape.src[1], in.bits(40, 8), agpr, &out.src[1]) ||
      !data(in, shape.src[2], in.bits(48, 8), agpr, &out.src[2]))
    return DecodeStatus::Unknown;
  if (shape.has(kShapeTwoOffsets)) {
    out.offset = static_cast<std::int32_t>(in.bits(0, 8));
    out.offset1 = static_cast<std::uint8_t>(in.bits(8, 8));
  } else {
    out.offset = static_cast<std::int32_t>(in.bits(0, 16));
  }
  if (agpr && !shape.dst.present() && !shape.src[1].present()) return DecodeStatus::Unknown;
  const bool empty = !shape.dst.present() && !shape.src[0].present() && !shape.src[1].present();
  if (empty && !out.gds && out.offset != 0) return DecodeStatus::Unknown;  // ds_nop
  return in.finish(out);
}

DecodeStatus decode_flat(Reader& in, Instruction& out) {
  const bool gfx10 = in.gfx10(), gfx11 = in.gfx11();
  const std::uint32_t segment = gfx11 ? in.bits(16, 2) : in.bits(14, 2);
  if (segment == 3) return DecodeStatus::Unknown;
  const Format format = segment == kGlobalSegment    ? Format::Global
                        : segment == kScratchSegment ? Format::Scratch
                                                     : Format::Flat;
  // gfx90a and gfx10: bit 13 sends a load to LDS; scratch takes a VGPR where there is no SGPR.
  const bool either = in.arch() == Arch::Cdna2 || gfx10;
  out.lds = either && in.bit(13);
  if (out.lds && format == Format::Flat) return DecodeStatus::Unknown;
  if (!in.opcode(format, in.bits(18, 7) | (out.lds ? kLdsForm : 0u), out))
    return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  out.cache = gfx11 ? cache_bits(in.bit(14), in.bit(15), in.bit(13))
                    : cache_bits(in.bit(16), in.bit(17), in.bit(gfx10 ? 12 : 25));
  const bool agpr = in.gfx9() && in.bit(55);
  const std::uint32_t saddr = in.bits(48, 7);
  // What SADDR says where there is none: null, on gfx9 the last code. By that one gfx10's scratch
  // means that there is no VGPR either.
  const std::uint32_t off = gfx11 ? 0x7c : gfx10 ? 0x7d : 0x7f;
  const bool no_address = gfx10 && format == Format::Scratch && saddr == 0x7f;
  const bool vector_address = gfx11    ? in.bit(55)
                              : either ? format == Format::Scratch && saddr == off
                                       : in.bit(13);
  // FLAT addresses have no sign: the offset cannot be negative.
  const unsigned offset_bits = gfx10 ? 12 : 13;
  const bool reserved = format == Format::Flat ? in.bit(offset_bits - 1) || vector_address ||
                                                     (saddr != (in.gfx9() ? 0u : off))
                                               : format == Format::Global && vector_address;
  if (reserved || (gfx10 && in.bit(55)) ||
      (agpr && !shape.dst.present() && !shape.src[1].present()))
    return DecodeStatus::Unknown;
  out.offset = format == Format::Flat ? static_cast<std::int32_t>(in.bits(0, offset_bits))
                                      : in.signed_bits(0, offset_bits);
  const bool scalar_address = format != Format::Flat && saddr != off && !no_address;
  if (scalar_address && !in.sgprs(format == Format::Scratch ? 1 : 2, saddr, &out.src[2]))
    return DecodeStatus::Unknown;
  if (out.src[2] == (format == Format::Scratch ? kExecHi : kExecLo)) return DecodeStatus::Unknown;

  // Fields that the form does not use are ignored.
  const std::uint32_t vaddr = in.bits(32, 8);
  if (format == Format::Scratch) {
    if (vector_address) in.vgpr(1, vaddr, &out.src[0]);
  } else if (shape.src[0].present() && !in.vgpr(scalar_address ? 1 : 2, vaddr, &out.src[0])) {
    return DecodeStatus::Unknown;
  }
  const bool returns = !shape.has(kShapeReturns) || (out.cache & kCacheGlc) != 0;
  if (!data(in, shape.src[1], in.bits(40, 8), agpr, &out.src[1]) ||
      (returns && !data(in, shape.dst, in.bits(56, 8), agpr, &out.dst)))
    return DecodeStatus::Unknown;
  return in.finish(out);
}

namespace {

/// What MUBUF and MTBUF share: address, data, descriptor and scalar offset.
DecodeStatus take_buffer(Reader& in, Instruction& out) {
  const bool gfx11 = in.gfx11();
  const Shape& shape = out.opcode->shape;
  out.offset = static_cast<std::int32_t>(in.bits(0, 12));
  out.offen = in.bit(gfx11 ? 54 : 12);
  out.idxen = in.bit(gfx11 ? 55 : 13);
  out.tfe = gfx11 ? in.bit(53) : in.gfx10() && in.bit(55);
  const bool agpr = in.gfx9() && in.bit(55);
  if (out.lds && (agpr || out.tfe)) return DecodeStatus::Unknown;
  const unsigned addresses = (out.offen ? 1u : 0u) + (out.idxen ? 1u : 0u);
  if (addresses != 0 && !in.vgpr(addresses, in.bits(32, 8), &out.src[0]))
    return DecodeStatus::Unknown;
  OperandShape register_shape = shape.dst.present() ? shape.dst : shape.src[1];
  if (out.tfe && shape.has(kShapeReturns)) return DecodeStatus::Unknown;
  if (out.tfe) ++register_shape.dwords;
  std::uint16_t vdata = kNoOperand;
  if (!out.lds && !in.vgpr(register_shape.dwords, in.bits(40, 8), &vdata, agpr))
    return DecodeStatus::Unknown;
  if (shape.dst.present()) {
    out.dst = vdata;
  } else {
    out.src[1] = vdata;
    if (shape.has(kShapeReturns) && (out.cache & kCacheGlc) != 0) out.dst = vdata;
  }
  if (!in.sgprs(4, in.bits(48, 5) << 2, &out.src[2])) return DecodeStatus::Unknown;
  const OperandShape offset{OperandKind::ScalarNoLiteral, 1, false};
  if (!in.scalar_source(offset, in.bits(56, 8), &out.src[3])) return DecodeStatus::Unknown;
  return in.finish(out);
}

}  // namespace

DecodeStatus decode_mubuf(Reader& in, Instruction& out) {
  const bool gfx10 = in.gfx10(), gfx11 = in.gfx11();
  const std::uint32_t number = gfx11   ? in.bits(18, 8)
                               : gfx10 ? in.bits(18, 7) | in.bits(25, 1) << 7
                                       : in.bits(18, 7);
  if (!in.opcode(Format::Mubuf, number, out)) return DecodeStatus::Unknown;
  out.cache = gfx11 ? cache_bits(in.bit(14), in.bit(12), in.bit(13))
                    : cache_bits(in.bit(14), in.bit(gfx10 ? 54 : 17), in.bit(15));
  out.lds = !gfx11 && in.bit(16);
  const Shape& shape = out.opcode->shape;
  if (out.lds && !shape.has(kShapeLds)) return DecodeStatus::Unknown;
  if (gfx10 && shape.has(kShapeReturns) && in.bit(15)) return DecodeStatus::Unknown;  // no dlc
  if (shape.dst.present() || shape.src[1].present()) return take_buffer(in, out);
  // buffer_inv and the like
  const bool scopes = in.arch() == Arch::Cdna3;
  const bool free = scopes || out.opcode->name == "buffer_wbl2";  // bits 14 and 15
  const bool reserved = gfx11   ? in.bits(13, 2) != 0 || in.bits(53, 3) != 0
                        : gfx10 ? in.bits(12, 5) != 0 || in.bit(55)
                                : in.bits(12, free ? 2 : 4) != 0 || in.bit(16) || in.bit(55);
  in.bits(32, 32);
  out.cache = static_cast<std::uint8_t>(out.cache & (scopes ? kCacheSc0 | kCacheSc1 : 0));
  return reserved ? DecodeStatus::Unknown : in.finish(out);
}

DecodeStatus decode_mtbuf(Reader& in, Instruction& out) {
  const bool gfx10 = in.gfx10(), gfx11 = in.gfx11();
  const std::uint32_t number = gfx10 ? in.bits(16, 3) | in.bits(53, 1) << 3 : in.bits(15, 4);
  if (!in.opcode(Format::Mtbuf, number, out)) return DecodeStatus::Unknown;
  out.cache = gfx11 ? cache_bits(in.bit(14), in.bit(12), in.bit(13))
                    : cache_bits(in.bit(14), in.bit(54), in.bit(gfx10 ? 15 : 53));
  if ((gfx11 && in.bit(53)) || (gfx10 && in.bit(55))) return DecodeStatus::Unknown;
  out.buffer_format = static_cast<std::uint8_t>(in.bits(19, 7));
  return take_buffer(in, out);
}

}  // namespace kiln::vgpu::isa

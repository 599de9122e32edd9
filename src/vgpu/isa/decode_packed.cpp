// Owns: VOP3P, its DPP forms, and MAI (the matrix formats of CDNA3).
// Does not own: the other vector formats (decode_vector.cpp), operand codes (decode_fields.*).
// Threading: pure functions.
//
// Sources: AMD CDNA3 ISA "VOP3P", "VOP3P-MAI"; AMD RDNA2 ISA, RDNA3 ISA "VOP3P".
#include "vgpu/isa/decode_fields.hpp"

namespace kiln::vgpu::isa {
namespace {

/// The registers of a matrix operand that surely exist. GFX11's accumulators are half as long in
/// wave64, and the decoder does not know how wide the wave is.
unsigned least_dwords(Reader& in, const OperandShape& shape) {
  return in.gfx11() ? shape.dwords / 2u : shape.dwords;
}

/// A matrix operand: VGPRs or AGPRs by `agpr`, or for some an inline constant.
bool matrix_source(Reader& in, const OperandShape& shape, std::uint32_t field, bool agpr,
                   std::uint16_t* code) {
  if (field >= kVgpr0)
    return in.vgpr(least_dwords(in, shape), field - kVgpr0, code,
                   agpr && shape.kind != OperandKind::Vgpr);
  if (shape.kind != OperandKind::DataOrConstant) return false;
  *code = static_cast<std::uint16_t>(field);
  return (field >= kInt0 && field <= 208) || (field >= kHalf && field <= kInv2Pi);
}

DecodeStatus decode_mai(Reader& in, Instruction& out) {
  const Shape& shape = out.opcode->shape;
  if (shape.sources() == 1) {  // v_accvgpr_read, v_accvgpr_write
    if (in.bits(8, 6) != 0 || in.bits(61, 3) != 0) return DecodeStatus::Unknown;
    const bool read = shape.src[0].kind == OperandKind::Agpr;
    const std::uint32_t field = in.bits(32, 9);
    if (!in.vgpr(1, in.bits(0, 8), &out.dst, !read)) return DecodeStatus::Unknown;
    const bool good = read ? field >= kVgpr0 && in.vgpr(1, field - kVgpr0, &out.src[0], true)
                           : in.vector_source(shape.src[0], field, &out.src[0], false);
    return good ? in.finish(out) : DecodeStatus::Unknown;
  }
  const bool acc_cd = in.bit(15);
  if (!in.vgpr(shape.dst.dwords, in.bits(0, 8), &out.dst, acc_cd)) return DecodeStatus::Unknown;
  for (unsigned i = 0; i < 3; ++i) {
    const bool agpr = i == 2 ? acc_cd : in.bit(59 + i);
    if (!matrix_source(in, shape.src[i], in.bits(32 + 9 * i, 9), agpr, &out.src[i]))
      return DecodeStatus::Unknown;
  }
  out.cbsz = static_cast<std::uint8_t>(in.bits(8, 3));
  out.abid = static_cast<std::uint8_t>(in.bits(11, 4));
  out.blgp = static_cast<std::uint8_t>(in.bits(61, 3));
  const bool sparse = shape.src[2].kind == OperandKind::Vgpr;  // v_smfmac: src2 is the index
  if (sparse && out.blgp != 0) return DecodeStatus::Unknown;
  return in.finish(out);
}

}  // namespace

DecodeStatus decode_vop3p(Reader& in, Instruction& out) {
  const std::uint32_t number = in.bits(16, 7);
  if (!in.gfx9()) {
    if (in.bit(23)) return DecodeStatus::Unknown;
  } else if (in.opcode(Format::Mai, number, out)) {
    return decode_mai(in, out);
  }
  if (!in.opcode(Format::Vop3p, number, out)) return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  const bool matrix = shape.src[2].kind == OperandKind::DataOrConstant;  // v_wmma
  const unsigned dwords = matrix ? least_dwords(in, shape.dst) : shape.dst.dwords;
  if (!in.vgpr(dwords, in.bits(0, 8), &out.dst)) return DecodeStatus::Unknown;
  const std::uint32_t src0 = in.bits(32, 9);
  const bool dpp16 = in.gfx11() && src0 == 250;
  const bool dpp8 = in.gfx11() && (src0 == 233 || src0 == 234);
  for (unsigned i = 0; i < 3; ++i) {
    if (i == 0 && (dpp16 || dpp8)) continue;
    const std::uint32_t field = in.bits(32 + 9 * i, 9);
    const OperandShape& source = shape.src[i];
    const bool good =
        source.kind == OperandKind::DataOrConstant
            ? matrix_source(in, source, field, false, &out.src[i])
            : in.vector_source(source, field, &out.src[i], !in.gfx9() && !dpp16 && !dpp8);
    if (!good) return DecodeStatus::Unknown;
  }
  out.neg = static_cast<std::uint8_t>(in.bits(61, 3));
  out.abs = static_cast<std::uint8_t>(in.bits(8, 3));
  if (((out.neg | out.abs) >> shape.sources()) != 0) return DecodeStatus::Unknown;
  out.op_sel = static_cast<std::uint8_t>(in.bits(11, 3));
  const unsigned op_sel_bits = shape.has(kShapeOpSel) ? (1u << shape.sources()) - 1 : 0;
  if ((out.op_sel & ~op_sel_bits) != 0) return DecodeStatus::Unknown;
  out.op_sel_hi = static_cast<std::uint8_t>(in.bits(59, 2) | in.bits(14, 1) << 2);
  out.clamp = in.bit(15);
  if (out.clamp && !shape.has(kShapeClamp)) return DecodeStatus::Unknown;
  if (!dpp16 && !dpp8) return in.finish(out);

  if (!shape.has(dpp16 ? kShapeDpp16 : kShapeDpp8)) return DecodeStatus::Unknown;
  out.lanes = dpp16 ? Lanes::Dpp16 : Lanes::Dpp8;
  if (dpp16) {
    out.dpp = in.bits(72, 9);
    if (!known_dpp_control(in.arch(), shape, out.dpp)) return DecodeStatus::Unknown;
    out.fetch_inactive = in.bit(82);
    out.bound_ctrl = in.bit(83);
    out.bank_mask = static_cast<std::uint8_t>(in.bits(88, 4));
    out.row_mask = static_cast<std::uint8_t>(in.bits(92, 4));
  } else {
    out.dpp = in.bits(72, 24);
    out.fetch_inactive = src0 == 234;
  }
  in.vgpr(1, in.bits(64, 8), &out.src[0]);
  return in.finish(out);
}

}  // namespace kiln::vgpu::isa

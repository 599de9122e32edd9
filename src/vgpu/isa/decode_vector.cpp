// Owns: VOP1, VOP2, VOPC and their SDWA and DPP forms; VOP3 and VOP3SD with DPP; VOPD.
// Does not own: VOP3P and MAI (decode_packed.cpp), operand codes (decode_fields.*).
// Threading: pure functions.
//
// Sources: AMD CDNA3, RDNA2 and RDNA3 ISA, "Microcode Formats: Vector ALU formats".
#include "vgpu/isa/decode_fields.hpp"

namespace kiln::vgpu::isa {
namespace {

constexpr std::uint32_t kSrcDpp8 = 233, kSrcDpp8FetchInactive = 234, kSrcSdwa = 249,
                        kSrcDpp16 = 250;

bool is_dpp8(std::uint32_t field) {
  return field == kSrcDpp8 || field == kSrcDpp8FetchInactive;
}

/// VGPR fields of GFX11's 16-bit operations: the top bit of the eight chooses the high half.
bool vgpr_or_half(Reader& in, const OperandShape& shape, std::uint32_t field, unsigned op_sel_bit,
                  Instruction& out, std::uint16_t* code) {
  if (!shape.half) return in.vgpr(shape.dwords, field, code);
  if ((field & 0x80) != 0) out.op_sel = static_cast<std::uint8_t>(out.op_sel | 1u << op_sel_bit);
  return in.vgpr(1, field & 0x7f, code);
}

/// neg and abs are written where a source takes them; elsewhere they must be zero, or be ignored.
bool take_modifiers(const Shape& shape, unsigned neg, unsigned abs, Instruction& out) {
  for (unsigned i = 0; i < 3; ++i) {
    const OperandKind kind = shape.src[i].kind;
    const bool set = ((neg | abs) >> i & 1) != 0;
    if (kind == OperandKind::VectorFloat) {
      out.neg = static_cast<std::uint8_t>(out.neg | (neg & 1u << i));
      out.abs = static_cast<std::uint8_t>(out.abs | (abs & 1u << i));
    } else if (set && kind != OperandKind::VectorIgnored && !shape.has(kShapeByteSelect)) {
      return false;
    }
  }
  return true;
}

/// The DPP16 dword at `at`.
void take_dpp16(Reader& in, unsigned at, Instruction& out, unsigned* neg, unsigned* abs) {
  out.lanes = Lanes::Dpp16;
  out.dpp = in.bits(at + 8, 9);
  out.fetch_inactive = !in.gfx9() && in.bit(at + 18);
  out.bound_ctrl = in.bit(at + 19);
  *neg = in.bits(at + 20, 1) | in.bits(at + 22, 1) << 1;
  *abs = in.bits(at + 21, 1) | in.bits(at + 23, 1) << 1;
  out.bank_mask = static_cast<std::uint8_t>(in.bits(at + 24, 4));
  out.row_mask = static_cast<std::uint8_t>(in.bits(at + 28, 4));
}

void take_dpp8(Reader& in, unsigned at, std::uint32_t source, Instruction& out) {
  out.lanes = Lanes::Dpp8;
  out.dpp = in.bits(at + 8, 24);
  out.fetch_inactive = source == kSrcDpp8FetchInactive;
}

/// An SDWA source: a VGPR, or with `scalar` an SGPR or constant.
bool sdwa_source(Reader& in, const OperandShape& shape, std::uint32_t field, bool scalar,
                 std::uint16_t* code) {
  return in.vector_source(shape, scalar ? field : field + kVgpr0, code, false);
}

/// The SDWA dword; it replaces every field but the opcode, vdst and vsrc1.
bool take_sdwa(Reader& in, const Shape& shape, Instruction& out) {
  out.lanes = Lanes::Sdwa;
  const bool compare = out.format == Format::Vopc;
  if (!sdwa_source(in, shape.src[0], in.bits(32, 8), in.bit(55), &out.src[0])) return false;
  if (shape.src[1].present() &&
      !sdwa_source(in, shape.src[1], in.bits(9, 8), in.bit(63), &out.src[1]))
    return false;
  if (compare) {
    out.dst = shape.dst.present() ? kVccLo : kExecLo;
    if (in.bit(47) && !shape.dst.present()) return false;
    if (in.bit(47) && !in.mask(in.bits(40, 7), &out.dst)) return false;
  } else {
    out.sdwa_dst_sel = static_cast<std::uint8_t>(in.bits(40, 3));
    out.sdwa_dst_unused = static_cast<std::uint8_t>(in.bits(43, 2));
    out.clamp = in.bit(45);
    out.omod = static_cast<std::uint8_t>(in.bits(46, 2));
    if (out.omod != 0 && (!shape.has(kShapeOmod) || shape.has(kShapeSdwaNoOmod))) return false;
    if (shape.has(kShapeWholeDst)) {
      if (out.sdwa_dst_sel != 6) return false;
      out.sdwa_dst_unused = 0;
    }
  }
  out.sdwa_src_sel[0] = static_cast<std::uint8_t>(in.bits(48, 3));
  unsigned neg = in.bits(52, 1), abs = in.bits(53, 1), sext = in.bits(51, 1);
  if (!shape.src[1].present()) {
    if ((in.bits(56, 8) & ~0x40u) != 0) return false;  // bit 62 is reserved and ignored
  } else {
    out.sdwa_src_sel[1] = static_cast<std::uint8_t>(in.bits(56, 3));
    neg |= in.bits(60, 1) << 1;
    abs |= in.bits(61, 1) << 1;
    sext |= in.bits(59, 1) << 1;
  }
  out.sdwa_sext = static_cast<std::uint8_t>(sext);
  // Selectors 0..6 are bytes, words and the dword; a fourth dst_unused does not exist.
  if (out.sdwa_dst_sel > 6 || out.sdwa_dst_unused > 2 || out.sdwa_src_sel[0] > 6 ||
      out.sdwa_src_sel[1] > 6)
    return false;
  // Floats have neg and abs, integers have sign extension.
  for (unsigned i = 0; i < 2; ++i)
    if ((sext >> i & 1) != 0 && shape.src[i].kind == OperandKind::VectorFloat) return false;
  for (unsigned i = 0; i < 2; ++i)
    if (((neg | abs) >> i & 1) != 0 && shape.src[i].kind != OperandKind::VectorFloat) return false;
  return take_modifiers(shape, neg, abs, out);
}

/// src0 of the one-dword vector formats, with the dword that SDWA, DPP or a literal adds.
bool take_src0(Reader& in, const Shape& shape, Instruction& out) {
  const std::uint32_t field = in.bits(0, 9);
  const OperandShape& source = shape.src[0];
  if (field == kSrcSdwa) return !in.gfx11() && shape.has(kShapeSdwa) && take_sdwa(in, shape, out);
  if (field == kSrcDpp16 || (!in.gfx9() && is_dpp8(field))) {
    if (!shape.has(field == kSrcDpp16 ? kShapeDpp16 : kShapeDpp8)) return false;
    unsigned neg = 0, abs = 0;
    if (field == kSrcDpp16) {
      take_dpp16(in, 32, out, &neg, &abs);
      if (!known_dpp_control(in.arch(), shape, out.dpp)) return false;
    } else {
      take_dpp8(in, 32, field, out);
    }
    return take_modifiers(shape, neg, abs, out) &&
           vgpr_or_half(in, source, in.bits(32, 8), 0, out, &out.src[0]);
  }
  if (source.half && field >= kVgpr0)
    return vgpr_or_half(in, source, field - kVgpr0, 0, out, &out.src[0]);
  return in.vector_source(source, field, &out.src[0], true);
}

/// The op_sel bits that stand for something in a VOP3 instruction.
unsigned op_sel_bits(const Shape& shape) {
  if (shape.has(kShapeByteSelect)) return 15;
  return ((1u << shape.sources()) - 1) | (shape.dst.kind == OperandKind::Vgpr ? 8 : 0);
}

}  // namespace

DecodeStatus decode_vop1(Reader& in, Instruction& out) {
  if (!in.opcode(Format::Vop1, in.bits(9, 8), out)) return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  const std::uint32_t dst = in.bits(17, 8);
  if (!shape.src[0].present()) {  // v_nop
    const std::uint32_t src0 = in.bits(0, 9);
    const bool longer = src0 == kSrcSdwa || src0 == kSrcDpp16 || is_dpp8(src0);
    return dst == 0 && !longer ? in.finish(out) : DecodeStatus::Unknown;
  }
  if (shape.dst.kind == OperandKind::Sgpr) {
    if (dst >= 128 || !in.sgprs(1, dst, &out.dst) || out.dst == kM0) return DecodeStatus::Unknown;
  } else if (shape.dst.kind == OperandKind::Agpr) {
    if (!in.vgpr(1, dst, &out.dst, true)) return DecodeStatus::Unknown;
  } else if (!vgpr_or_half(in, shape.dst, dst, 3, out, &out.dst)) {
    return DecodeStatus::Unknown;
  }
  if (shape.src[0].kind == OperandKind::Agpr) {
    if (in.bits(0, 9) < kVgpr0 || !in.vgpr(1, in.bits(0, 8), &out.src[0], true))
      return DecodeStatus::Unknown;
    return in.finish(out);
  }
  return take_src0(in, shape, out) ? in.finish(out) : DecodeStatus::Unknown;
}

DecodeStatus decode_vop2(Reader& in, Instruction& out) {
  if (!in.opcode(Format::Vop2, in.bits(25, 6), out)) return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  if (!vgpr_or_half(in, shape.dst, in.bits(17, 8), 3, out, &out.dst)) return DecodeStatus::Unknown;
  // fmaak: src0 * src1 + literal; fmamk: src0 * literal + src1.
  const unsigned second = shape.src[1].kind == OperandKind::Literal ? 2 : 1;
  if (!take_src0(in, shape, out)) return DecodeStatus::Unknown;
  if (out.lanes != Lanes::Sdwa &&
      !vgpr_or_half(in, shape.src[second], in.bits(9, 8), second, out, &out.src[second]))
    return DecodeStatus::Unknown;
  for (unsigned i = 1; i < 3; ++i) {
    if (shape.src[i].kind == OperandKind::Literal) out.src[i] = in.literal();
    if (shape.src[i].kind == OperandKind::Mask) out.src[i] = kVccLo;
  }
  if (shape.dst2.present()) out.sdst = kVccLo;
  return in.finish(out);
}

DecodeStatus decode_vopc(Reader& in, Instruction& out) {
  if (!in.opcode(Format::Vopc, in.bits(17, 8), out)) return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  if (!take_src0(in, shape, out)) return DecodeStatus::Unknown;
  if (out.lanes != Lanes::Sdwa) {
    out.dst = shape.dst.present() ? kVccLo : kExecLo;
    if (!vgpr_or_half(in, shape.src[1], in.bits(9, 8), 1, out, &out.src[1]))
      return DecodeStatus::Unknown;
  }
  return in.finish(out);
}

DecodeStatus decode_vop3(Reader& in, Instruction& out) {
  const std::uint32_t number = in.bits(16, 10);
  if (!in.opcode(Format::Vop3, number, out) && !in.opcode(Format::Vop3sd, number, out))
    return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;

  const std::uint32_t dst = in.bits(0, 8);
  switch (shape.dst.kind) {
    case OperandKind::Vgpr:
      if (!in.vgpr(shape.dst.dwords, dst, &out.dst)) return DecodeStatus::Unknown;
      break;
    case OperandKind::Mask:
      if (!in.mask(dst, &out.dst)) return DecodeStatus::Unknown;
      break;
    case OperandKind::Sgpr:
      if (dst >= 128 || !in.sgprs(1, dst, &out.dst) || out.dst == kM0) return DecodeStatus::Unknown;
      break;
    default:  // v_cmpx of RDNA writes EXEC, whatever the field says; v_nop nothing
      if (shape.src[0].present()) {
        out.dst = kExecLo;
      } else if (dst != 0) {
        return DecodeStatus::Unknown;
      }
  }

  unsigned neg = in.bits(61, 3), abs = 0;
  if (out.format == Format::Vop3sd) {
    if (!in.mask(in.bits(8, 7), &out.sdst)) return DecodeStatus::Unknown;
  } else {
    abs = in.bits(8, 3);
    if (shape.has(kShapeOpSel)) out.op_sel = static_cast<std::uint8_t>(in.bits(11, 4));
    if (shape.src[1].kind == OperandKind::Scalar) out.op_sel &= 3;  // v_permlane16: fi and bc
    // v_dot2_f16_f16 and v_dot2_bf16_bf16 take both halves of their first two sources.
    if (out.opcode->name.starts_with("v_dot2_")) out.op_sel &= 12;
    if ((out.op_sel & ~op_sel_bits(shape)) != 0) return DecodeStatus::Unknown;
  }
  if (!take_modifiers(shape, neg, abs, out)) return DecodeStatus::Unknown;
  out.clamp = in.bit(15);
  out.omod = static_cast<std::uint8_t>(in.bits(59, 2));
  if ((out.clamp && !shape.has(kShapeClamp)) || (out.omod != 0 && !shape.has(kShapeOmod)))
    return DecodeStatus::Unknown;

  if (shape.sources() == 0) {  // v_nop
    in.bits(32, 32);
    return in.finish(out);
  }
  const std::uint32_t src0 = in.bits(32, 9);
  const bool dpp16 = in.gfx11() && src0 == kSrcDpp16;
  const bool dpp8 = in.gfx11() && is_dpp8(src0);
  for (unsigned i = 0; i < 3; ++i) {
    const OperandShape& source = shape.src[i];
    const std::uint32_t field = in.bits(32 + 9 * i, 9);
    if (!source.present()) continue;
    if (i == 0 && (dpp16 || dpp8)) continue;
    bool good;
    if (source.kind == OperandKind::Mask) {
      good = in.mask(field, &out.src[i]);
    } else if (source.kind == OperandKind::LaneSelect ||
               source.kind == OperandKind::ScalarNoLiteral) {
      good = field < kVgpr0 && in.vector_source(source, field, &out.src[i], false);
    } else if (source.kind == OperandKind::Scalar) {
      good = field < kVgpr0 && in.scalar_source(source, field, &out.src[i]);
    } else {
      good = in.vector_source(source, field, &out.src[i], !in.gfx9() && !dpp16 && !dpp8);
    }
    if (!good) return DecodeStatus::Unknown;
  }
  if (!dpp16 && !dpp8) return in.finish(out);

  if (!shape.has(dpp16 ? kShapeDpp16 : kShapeDpp8)) return DecodeStatus::Unknown;
  if (dpp16) {
    unsigned dpp_neg = 0, dpp_abs = 0;  // the modifiers are those of VOP3
    take_dpp16(in, 64, out, &dpp_neg, &dpp_abs);
    if (!known_dpp_control(in.arch(), shape, out.dpp)) return DecodeStatus::Unknown;
  } else {
    take_dpp8(in, 64, src0, out);
  }
  if (!in.vgpr(1, in.bits(64, 8), &out.src[0])) return DecodeStatus::Unknown;
  return in.finish(out);
}

DecodeStatus decode_vopd(Reader& in, Instruction& out) {
  out.format = Format::Vopd;
  const std::uint32_t x = in.bits(22, 4), y = in.bits(17, 5);
  out.opcode = find_opcode(in.arch(), Format::Vopd, x);
  out.opcode_y = find_opcode(in.arch(), Format::Vopd, y);
  if (out.opcode == nullptr || out.opcode_y == nullptr) return DecodeStatus::Unknown;

  const auto half = [&](const Shape& shape, std::uint32_t src0, std::uint32_t src1,
                        std::uint16_t* src) {
    if (!in.vector_source(shape.src[0], src0, &src[0], true)) return false;
    const unsigned second = shape.src[1].kind == OperandKind::Literal ? 2 : 1;
    if (!shape.src[second].present()) return src1 == 0;  // v_dual_mov_b32
    if (!in.vgpr(1, src1, &src[second])) return false;
    for (unsigned i = 1; i < 3; ++i) {
      if (shape.src[i].kind == OperandKind::Literal) src[i] = in.literal();
      if (shape.src[i].kind == OperandKind::Mask) src[i] = kVccLo;
    }
    return true;
  };
  if (!half(out.opcode->shape, in.bits(0, 9), in.bits(9, 8), out.src) ||
      !half(out.opcode_y->shape, in.bits(32, 9), in.bits(41, 8), out.src_y))
    return DecodeStatus::Unknown;
  in.vgpr(1, in.bits(56, 8), &out.dst);
  // The Y destination has seven bits: its lowest is the complement of X's.
  in.vgpr(1, in.bits(49, 7) << 1 | (in.bits(56, 1) ^ 1), &out.sdst);
  return in.finish(out);
}

}  // namespace kiln::vgpu::isa

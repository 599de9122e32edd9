// Owns: which encoding a dword begins, the scalar formats, and the dispatch to the others.
// Does not own: vector formats (decode_vector.cpp), memory formats (decode_memory.cpp), the opcode
//   tables (tables_*), operand codes (decode_fields.hpp).
// Threading: pure functions.
//
// Sources: AMD CDNA3, RDNA2 and RDNA3 ISA, chapters "Microcode Formats". Reserved encodings are
// refused exactly where LLVM's disassembler refuses them.
#include "vgpu/isa/decode.hpp"

#include "vgpu/isa/decode_fields.hpp"

namespace kiln::vgpu::isa {
namespace {

DecodeStatus decode_sop2(Reader& in, Instruction& out) {
  if (!in.opcode(Format::Sop2, in.bits(23, 7), out)) return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  if (!in.scalar_source(shape.src[0], in.bits(0, 8), &out.src[0]) ||
      !in.scalar_source(shape.src[1], in.bits(8, 8), &out.src[1]))
    return DecodeStatus::Unknown;
  if (!in.scalar_destination(shape.dst, in.bits(16, 7), &out.dst)) return DecodeStatus::Unknown;
  return in.finish(out);
}

DecodeStatus decode_sop1(Reader& in, Instruction& out) {
  if (!in.opcode(Format::Sop1, in.bits(8, 8), out)) return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  if (shape.src[0].kind == OperandKind::Number) {  // s_sendmsg_rtn
    out.offset = static_cast<std::int32_t>(in.bits(0, 8));
  } else if (!in.scalar_source(shape.src[0], in.bits(0, 8), &out.src[0])) {
    return DecodeStatus::Unknown;
  }
  if (!in.scalar_destination(shape.dst, in.bits(16, 7), &out.dst)) return DecodeStatus::Unknown;
  return in.finish(out);
}

DecodeStatus decode_sopc(Reader& in, Instruction& out) {
  if (!in.opcode(Format::Sopc, in.bits(16, 7), out)) return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  if (!in.scalar_source(shape.src[0], in.bits(0, 8), &out.src[0])) return DecodeStatus::Unknown;
  if (shape.src[1].kind == OperandKind::Number) {  // s_set_gpr_idx_on
    out.offset = static_cast<std::int32_t>(in.bits(8, 8));
  } else if (!in.scalar_source(shape.src[1], in.bits(8, 8), &out.src[1])) {
    return DecodeStatus::Unknown;
  }
  return in.finish(out);
}

DecodeStatus decode_sopk(Reader& in, Instruction& out) {
  if (!in.opcode(Format::Sopk, in.bits(23, 5), out)) return DecodeStatus::Unknown;
  const Shape& shape = out.opcode->shape;
  out.offset = static_cast<std::int16_t>(in.bits(0, 16));
  if (shape.src[0].kind == OperandKind::Scalar) {  // s_setreg_imm32_b32
    out.src[0] = in.literal();
  } else if (!in.scalar_destination(shape.src[0], in.bits(16, 7), &out.src[0])) {
    return DecodeStatus::Unknown;
  }
  if (!in.scalar_destination(shape.dst, in.bits(16, 7), &out.dst)) return DecodeStatus::Unknown;
  return in.finish(out);
}

DecodeStatus decode_sopp(Reader& in, Instruction& out) {
  if (!in.opcode(Format::Sopp, in.bits(16, 7), out)) return DecodeStatus::Unknown;
  out.offset = static_cast<std::int16_t>(in.bits(0, 16));
  if (out.opcode->shape.has(kShapeNoImmediate) && out.offset != 0) return DecodeStatus::Unknown;
  return in.finish(out);
}

DecodeStatus decode_one(Reader& in, Instruction& out) {
  const bool gfx9 = in.gfx9();
  if (in.bits(31, 1) == 0) {
    if (in.bits(25, 6) == 0x3f) return decode_vop1(in, out);
    if (in.bits(25, 6) == 0x3e) return decode_vopc(in, out);
    return decode_vop2(in, out);
  }
  if (in.bits(30, 2) == 2) {
    switch (in.bits(23, 9)) {
      case 0x17d:
        return decode_sop1(in, out);
      case 0x17e:
        return decode_sopc(in, out);
      case 0x17f:
        return decode_sopp(in, out);
    }
    return in.bits(28, 2) == 3 ? decode_sopk(in, out) : decode_sop2(in, out);
  }
  switch (in.bits(26, 6)) {
    case 0x30:
      return gfx9 ? decode_smem(in, out) : DecodeStatus::Unknown;
    case 0x3d:
      return gfx9 ? DecodeStatus::Unknown : decode_smem(in, out);
    case 0x32:
      return in.gfx11() ? decode_vopd(in, out) : DecodeStatus::Unknown;
    case 0x33:  // VINTERP (0xcd) and LDSDIR (0xce) belong to pixel shaders
      return !gfx9 && in.bits(24, 2) == 0 ? decode_vop3p(in, out) : DecodeStatus::Unknown;
    case 0x34:
      if (!gfx9) return DecodeStatus::Unknown;
      return in.bits(23, 3) == 7 ? decode_vop3p(in, out) : decode_vop3(in, out);
    case 0x35:
      return gfx9 ? DecodeStatus::Unknown : decode_vop3(in, out);
    case 0x36:
      return decode_ds(in, out);
    case 0x37:
      return decode_flat(in, out);
    case 0x38:
      return decode_mubuf(in, out);
    case 0x3a:
      return decode_mtbuf(in, out);
  }
  return DecodeStatus::Unknown;  // MIMG, EXP, and what is reserved
}

}  // namespace

DecodeStatus decode(Arch arch, const std::uint32_t* code, std::size_t available_dwords,
                    Instruction* out) {
  *out = {};
  if (available_dwords == 0) return DecodeStatus::Truncated;
  Reader in(arch, code, available_dwords);
  const DecodeStatus status = decode_one(in, *out);
  // What was read past the end says nothing about the operands.
  return out->opcode != nullptr && in.past_end() ? DecodeStatus::Truncated : status;
}

}  // namespace kiln::vgpu::isa

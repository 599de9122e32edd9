// Owns: instructions as text.
// Does not own: decoding (decode.*).
// Threading: pure functions.
//
// The syntax is LLVM's where that costs nothing (decode_oracle_test.cpp compares the two);
// immediates that LLVM spells out (s_waitcnt, hwreg, sendmsg, s_delay_alu, tbuffer formats) stay
// numbers.
#include "vgpu/isa/print.hpp"

#include <bit>
#include <cstdio>
#include <iterator>

namespace kiln::vgpu::isa {
namespace {

std::string hex(std::uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%x", value);
  return text;
}

std::string registers(const char* prefix, unsigned first, unsigned dwords) {
  if (dwords <= 1) return prefix + std::to_string(first);
  return std::string(prefix) + "[" + std::to_string(first) + ":" +
         std::to_string(first + dwords - 1) + "]";
}

/// The registers and constants that have a name.
const char* special_name(Arch arch, std::uint16_t code, unsigned dwords) {
  const bool pair = dwords >= 2;
  if (is_cdna(arch)) {
    switch (code) {
      case 102:
        return pair ? "flat_scratch" : "flat_scratch_lo";
      case 103:
        return "flat_scratch_hi";
      case 104:
        return pair ? "xnack_mask" : "xnack_mask_lo";
      case 105:
        return "xnack_mask_hi";
    }
  }
  switch (code) {
    case kVccLo:
      return pair ? "vcc" : "vcc_lo";
    case kVccHi:
      return "vcc_hi";
    case kNull:
      return "null";
    case kM0:
      return "m0";
    case kExecLo:
      return pair ? "exec" : "exec_lo";
    case kExecHi:
      return "exec_hi";
    case kSharedBase:
      return "src_shared_base";
    case kSharedLimit:
      return "src_shared_limit";
    case kPrivateBase:
      return "src_private_base";
    case kPrivateLimit:
      return "src_private_limit";
    case kPopsExiting:
      return "src_pops_exiting_wave_id";
    case kVccz:
      return "src_vccz";
    case kExecz:
      return "src_execz";
    case kScc:
      return "src_scc";
    case 240:
      return "0.5";
    case 241:
      return "-0.5";
    case 242:
      return "1.0";
    case 243:
      return "-1.0";
    case 244:
      return "2.0";
    case 245:
      return "-2.0";
    case 246:
      return "4.0";
    case 247:
      return "-4.0";
    case kInv2Pi:
      return dwords == 2 ? "0.15915494309189532" : "0.15915494";
  }
  return nullptr;
}

/// Collects the words of one instruction.
class Line {
 public:
  explicit Line(std::string mnemonic) : text_(std::move(mnemonic)) {}

  void operand(const std::string& text) {
    text_ += first_ ? " " : ", ";
    text_ += text;
    first_ = false;
  }
  void word(const std::string& text) {
    text_ += ' ';
    text_ += text;
  }
  void flag(bool set, const char* text) {
    if (set) word(text);
  }
  /// " name:[1,0,1]" of the low `count` bits.
  void bits(const char* name, unsigned value, unsigned count) {
    text_ += std::string(" ") + name + ":[";
    for (unsigned i = 0; i < count; ++i) {
      if (i != 0) text_ += ',';
      text_ += (value >> i & 1) != 0 ? '1' : '0';
    }
    text_ += ']';
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
  bool first_ = true;
};

class Printer {
 public:
  Printer(Arch arch, const Instruction& in, Va pc)
      : arch_(arch),
        in_(in),
        shape_(in.opcode->shape),
        pc_(pc),
        line_(std::string(in.opcode->name) + suffix()) {}

  std::string run() {
    switch (in_.format) {
      case Format::Sop2:
      case Format::Sop1:
      case Format::Sopc:
        scalar();
        break;
      case Format::Sopk:
        sopk();
        break;
      case Format::Sopp:
        sopp();
        break;
      case Format::Smem:
        smem();
        break;
      case Format::Vopd:
        vopd();
        break;
      case Format::Ds:
        ds();
        break;
      case Format::Flat:
      case Format::Global:
      case Format::Scratch:
        flat();
        break;
      case Format::Mubuf:
      case Format::Mtbuf:
        buffer();
        break;
      case Format::Mai:
        matrix();
        break;
      case Format::Vop3p:
        packed();
        break;
      default:
        vector();
        break;
    }
    return line_.take();
  }

 private:
  std::string suffix() const {
    const bool vop3 = in_.format == Format::Vop3 || in_.format == Format::Vop3sd;
    const bool e32 =
        in_.format == Format::Vop1 || in_.format == Format::Vop2 || in_.format == Format::Vopc;
    if (in_.lanes == Lanes::Sdwa) return "_sdwa";
    if (in_.lanes != Lanes::Plain) return vop3 || in_.format == Format::Vop3p ? "_e64_dpp" : "_dpp";
    return vop3 ? "_e64" : e32 ? "_e32" : "";
  }

  std::string name(std::uint16_t code, unsigned dwords) const {
    return print_operand(arch_, code, dwords, in_.literal);
  }
  /// Width of a lane mask: of wave64 on CDNA, of wave32 on RDNA, where the code does not tell.
  unsigned mask_dwords() const { return is_cdna(arch_) ? 2 : 1; }
  unsigned width(const OperandShape& shape) const {
    return shape.kind == OperandKind::Mask ? mask_dwords() : shape.dwords;
  }

  void scalar() {
    if (shape_.dst.present()) line_.operand(name(in_.dst, shape_.dst.dwords));
    for (unsigned i = 0; i < 2; ++i) {
      if (shape_.src[i].kind == OperandKind::Number) {
        line_.operand(hex(static_cast<std::uint32_t>(in_.offset)));
      } else if (shape_.src[i].present()) {
        line_.operand(name(in_.src[i], shape_.src[i].dwords));
      }
    }
  }

  std::string target() const {
    const Va to = pc_ + 4 + static_cast<Va>(static_cast<std::int64_t>(in_.offset) * 4);
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(to));
    return text;
  }
  std::string immediate() const { return hex(static_cast<std::uint32_t>(in_.offset) & 0xffff); }

  void sopk() {
    if (shape_.dst.present()) line_.operand(name(in_.dst, shape_.dst.dwords));
    if (shape_.src[0].present() && shape_.src[0].kind != OperandKind::Scalar)
      line_.operand(name(in_.src[0], shape_.src[0].dwords));
    line_.operand(shape_.has(kShapeBranch) ? target() : immediate());
    if (shape_.src[0].kind == OperandKind::Scalar) line_.operand(hex(in_.literal));
  }
  void sopp() {
    if (shape_.has(kShapeBranch)) {
      line_.operand(target());
    } else if (shape_.has(kShapeImmediate) && (in_.offset != 0 || in_.opcode->name != "s_endpgm")) {
      line_.operand(immediate());
    }
  }

  void cache() {
    if (arch_ == Arch::Cdna3 && in_.format != Format::Smem) {
      line_.flag((in_.cache & kCacheSc0) != 0, "sc0");
      line_.flag((in_.cache & kCacheNt) != 0, "nt");
      line_.flag((in_.cache & kCacheSc1) != 0, "sc1");
    } else {
      line_.flag((in_.cache & kCacheGlc) != 0, "glc");
      line_.flag((in_.cache & kCacheSlc) != 0, "slc");
      line_.flag((in_.cache & kCacheDlc) != 0, arch_ == Arch::Cdna2 ? "scc" : "dlc");
    }
  }
  std::string offset_word() const { return "offset:" + std::to_string(in_.offset); }

  void smem() {
    if (shape_.dst.present()) line_.operand(name(in_.dst, shape_.dst.dwords));
    if (shape_.src[1].kind == OperandKind::Number) {
      line_.operand(std::to_string(in_.offset1));
    } else if (shape_.src[1].present()) {
      line_.operand(name(in_.src[2], shape_.src[1].dwords));
    }
    if (shape_.src[0].present()) {
      line_.operand(name(in_.src[0], shape_.src[0].dwords));
      const bool negative = in_.offset < 0;
      const std::uint32_t size = static_cast<std::uint32_t>(negative ? -in_.offset : in_.offset);
      const std::string offset = (negative ? "-" : "") + hex(size);
      if (in_.src[1] == kNoOperand) {
        line_.operand(!is_cdna(arch_) && in_.offset == 0 ? "null" : offset);
      } else {
        line_.operand(name(in_.src[1], 1));
        if (in_.offset != 0) line_.word("offset:" + offset);
      }
    }
    cache();
  }

  /// A VALU register or constant; 16-bit halves of GFX11 carry .l or .h.
  std::string value(const OperandShape& shape, std::uint16_t code, bool high) const {
    std::string text = name(code, width(shape));
    if (shape.half && code >= kVgpr0 && code != kLiteral) text += high ? ".h" : ".l";
    return text;
  }
  std::string source(unsigned i) const {
    const OperandShape& shape = shape_.src[i];
    if (shape.kind == OperandKind::Literal) return hex(in_.literal);
    std::string text = value(shape, in_.src[i], (in_.op_sel >> i & 1) != 0);
    if ((in_.abs >> i & 1) != 0) text = "|" + text + "|";
    if ((in_.neg >> i & 1) != 0) {
      // "-1" is a constant of its own, so a negated constant is spelt out.
      const bool constant = (in_.src[i] >= kInt0 && in_.src[i] <= kInv2Pi &&
                             (in_.src[i] <= 208 || in_.src[i] >= kHalf)) ||
                            in_.src[i] == kLiteral;
      text = constant && text[0] != '|' ? "neg(" + text + ")" : "-" + text;
    }
    if ((in_.sdwa_sext >> i & 1) != 0) text = "sext(" + text + ")";
    return text;
  }

  void vector() {
    const bool swap = in_.dst == kNoOperand && shape_.sources() == 0;
    if (swap) return;  // v_nop
    const bool compare_exec = !shape_.dst.present();
    if (!compare_exec) line_.operand(value(shape_.dst, in_.dst, (in_.op_sel & 8) != 0));
    if (shape_.dst2.present()) line_.operand(name(in_.sdst, mask_dwords()));
    for (unsigned i = 0; i < shape_.sources(); ++i) line_.operand(source(i));
    if (in_.format == Format::Vop3 && in_.op_sel != 0) op_sel();
    line_.flag(in_.clamp, "clamp");
    static constexpr const char* kOmod[] = {"", "mul:2", "mul:4", "div:2"};
    if (in_.omod != 0) line_.word(kOmod[in_.omod]);
    if (in_.lanes == Lanes::Sdwa) sdwa();
    dpp();
  }

  /// One bit a source, then the destination's; an accumulator counts as a source.
  void op_sel() {
    if (shape_.has(kShapeByteSelect)) return line_.bits("op_sel", in_.op_sel, 4);
    const bool accumulates = in_.opcode->name.starts_with("v_fmac");
    const unsigned sources = shape_.sources() + (accumulates ? 1 : 0);
    const unsigned low = in_.op_sel & ((1u << shape_.sources()) - 1);
    line_.bits("op_sel", low | (in_.op_sel >> 3 & 1u) << sources, sources + 1);
  }

  void sdwa() {
    static constexpr const char* kSelect[] = {"BYTE_0", "BYTE_1", "BYTE_2", "BYTE_3",
                                              "WORD_0", "WORD_1", "DWORD"};
    static constexpr const char* kUnused[] = {"UNUSED_PAD", "UNUSED_SEXT", "UNUSED_PRESERVE"};
    if (in_.format != Format::Vopc && !shape_.has(kShapeWholeDst)) {
      line_.word(std::string("dst_sel:") + kSelect[in_.sdwa_dst_sel]);
      line_.word(std::string("dst_unused:") + kUnused[in_.sdwa_dst_unused]);
    }
    line_.word(std::string("src0_sel:") + kSelect[in_.sdwa_src_sel[0]]);
    if (shape_.src[1].present())
      line_.word(std::string("src1_sel:") + kSelect[in_.sdwa_src_sel[1]]);
  }

  void dpp() {
    if (in_.lanes == Lanes::Dpp8) {
      std::string text = "dpp8:[";
      for (unsigned i = 0; i < 8; ++i)
        text += (i == 0 ? "" : ",") + std::to_string(in_.dpp >> 3 * i & 7);
      line_.word(text + "]");
    } else if (in_.lanes == Lanes::Dpp16) {
      line_.word(control());
      line_.word("row_mask:" + hex(in_.row_mask));
      line_.word("bank_mask:" + hex(in_.bank_mask));
      line_.flag(in_.bound_ctrl, "bound_ctrl:1");
    }
    line_.flag(in_.fetch_inactive, "fi:1");
  }

  /// DPP_CTRL (AMD CDNA3 ISA and RDNA3 ISA, "DPP").
  std::string control() const {
    const std::uint32_t value = in_.dpp, low = value & 15;
    if (value < 0x100) {
      std::string text = "quad_perm:[";
      for (unsigned i = 0; i < 4; ++i)
        text += (i == 0 ? "" : ",") + std::to_string(value >> 2 * i & 3);
      return text + "]";
    }
    const std::string count = std::to_string(low);
    const bool rdna = !is_cdna(arch_);
    switch (value >> 4) {
      case 0x10:
        if (low != 0) return "row_shl:" + count;
        break;
      case 0x11:
        if (low != 0) return "row_shr:" + count;
        break;
      case 0x12:
        if (low != 0) return "row_ror:" + count;
        break;
      case 0x15:
        return (rdna ? "row_share:" : "row_newbcast:") + count;
      case 0x16:
        if (rdna) return "row_xmask:" + count;
        break;
    }
    if (!rdna) {
      switch (value) {
        case 0x130:
          return "wave_shl:1";
        case 0x134:
          return "wave_rol:1";
        case 0x138:
          return "wave_shr:1";
        case 0x13c:
          return "wave_ror:1";
        case 0x142:
          return "row_bcast:15";
        case 0x143:
          return "row_bcast:31";
      }
    }
    if (value == 0x140) return "row_mirror";
    if (value == 0x141) return "row_half_mirror";
    return "dpp_ctrl:" + hex(value);
  }

  void packed() {
    line_.operand(value(shape_.dst, in_.dst, false));
    const unsigned count = shape_.sources(), all = (1u << count) - 1;
    const bool mix = in_.opcode->name.starts_with("v_fma_mix");
    for (unsigned i = 0; i < count; ++i)
      line_.operand(mix ? source(i) : name(in_.src[i], shape_.src[i].dwords));
    if (in_.op_sel != 0) line_.bits("op_sel", in_.op_sel, count);
    const unsigned hi = in_.op_sel_hi & all;
    if (shape_.has(kShapeOpSel) && hi != (mix ? 0u : all)) line_.bits("op_sel_hi", hi, count);
    if (!mix && in_.neg != 0) line_.bits("neg_lo", in_.neg, count);
    if (!mix && in_.abs != 0) line_.bits("neg_hi", in_.abs, count);
    line_.flag(in_.clamp, "clamp");
    dpp();
  }

  void matrix() {
    const bool f64 = in_.opcode->name.starts_with("v_mfma_f64");
    const bool negates = f64 && arch_ == Arch::Cdna3;
    line_.operand(name(in_.dst, shape_.dst.dwords));
    for (unsigned i = 0; i < shape_.sources(); ++i)
      line_.operand(name(in_.src[i], in_.src[i] < kVgpr0 && f64 ? 2 : shape_.src[i].dwords));
    if (in_.cbsz != 0) line_.word("cbsz:" + std::to_string(in_.cbsz));
    if (in_.abid != 0) line_.word("abid:" + std::to_string(in_.abid));
    if (in_.blgp == 0) return;
    if (negates) {
      line_.bits("neg", in_.blgp, 3);
    } else {
      line_.word("blgp:" + std::to_string(in_.blgp));
    }
  }

  void vopd() {
    half(in_.opcode->shape, in_.dst, in_.src);
    line_.word(":: " + std::string(in_.opcode_y->name));
    Line second("");
    std::swap(second, line_);
    half(in_.opcode_y->shape, in_.sdst, in_.src_y);
    const std::string y = line_.take();
    line_ = Line(second.take() + y);
  }
  void half(const Shape& shape, std::uint16_t dst, const std::uint16_t* src) {
    line_.operand(name(dst, 1));
    for (unsigned i = 0; i < shape.sources(); ++i)
      if (shape.src[i].kind != OperandKind::Mask) line_.operand(name(src[i], 1));
  }

  void ds() {
    if (shape_.dst.present()) line_.operand(name(in_.dst, shape_.dst.dwords));
    for (unsigned i = 0; i < 3; ++i)
      if (shape_.src[i].present()) line_.operand(name(in_.src[i], shape_.src[i].dwords));
    if (shape_.has(kShapeTwoOffsets)) {
      if (in_.offset != 0) line_.word("offset0:" + std::to_string(in_.offset));
      if (in_.offset1 != 0) line_.word("offset1:" + std::to_string(in_.offset1));
    } else if (in_.offset != 0) {
      line_.word(offset_word());
    }
    line_.flag(in_.gds, "gds");
  }

  void flat() {
    if (in_.dst != kNoOperand) line_.operand(name(in_.dst, shape_.dst.dwords));
    if (in_.src[0] != kNoOperand) {
      const bool offset = in_.format == Format::Scratch || in_.src[2] != kNoOperand;
      line_.operand(name(in_.src[0], offset ? 1 : 2));
    } else if (in_.format == Format::Scratch) {
      line_.operand("off");
    }
    if (shape_.src[1].present()) line_.operand(name(in_.src[1], shape_.src[1].dwords));
    if (in_.format != Format::Flat)
      line_.operand(in_.src[2] == kNoOperand
                        ? "off"
                        : name(in_.src[2], in_.format == Format::Scratch ? 1 : 2));
    if (in_.offset != 0) line_.word(offset_word());
    cache();
    line_.flag(in_.lds, "lds");
  }

  void buffer() {
    const OperandShape& data = shape_.dst.present() ? shape_.dst : shape_.src[1];
    if (data.present()) {
      const std::uint16_t code = shape_.dst.present() ? in_.dst : in_.src[1];
      if (!in_.lds) line_.operand(name(code, data.dwords + (in_.tfe ? 1u : 0u)));
      const unsigned addresses = (in_.offen ? 1u : 0u) + (in_.idxen ? 1u : 0u);
      line_.operand(addresses == 0 ? "off" : name(in_.src[0], addresses));
      line_.operand(name(in_.src[2], 4));
      line_.operand(name(in_.src[3], 1));
    }
    if (in_.format == Format::Mtbuf) line_.word("format:" + std::to_string(in_.buffer_format));
    line_.flag(in_.idxen, "idxen");
    line_.flag(in_.offen, "offen");
    if (in_.offset != 0) line_.word(offset_word());
    cache();
    line_.flag(in_.tfe, "tfe");
    line_.flag(in_.lds, "lds");
  }

  Arch arch_;
  const Instruction& in_;
  const Shape& shape_;
  Va pc_;
  Line line_;
};

}  // namespace

std::string print_operand(Arch arch, std::uint16_t code, unsigned dwords, std::uint32_t literal) {
  if (code == kNoOperand) return "?";
  if (code >= kAgpr0) return registers("a", code - kAgpr0, dwords);
  if (code >= kVgpr0) return registers("v", code - kVgpr0, dwords);
  if (code == kLiteral) return hex(literal);
  if (const char* text = special_name(arch, code, dwords); text != nullptr) return text;
  if (code < kVccLo) return registers("s", code, dwords);
  if (code < kNull) return registers("ttmp", code - kTtmp0, dwords);
  if (code <= 192) return std::to_string(code - 128);
  return "-" + std::to_string(code - 192);
}

std::string print(Arch arch, const Instruction& instruction, Va pc) {
  if (instruction.opcode == nullptr) return "?";
  return Printer(arch, instruction, pc).run();
}

}  // namespace kiln::vgpu::isa

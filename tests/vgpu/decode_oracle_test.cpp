// Owns: the decoder against LLVM's MC layer: random encodings of every row, and every kernel of the
//   corpus: same acceptance, length, mnemonic, operands and modifiers.
// Does not own: running LLVM (llvm_oracle.*), hand-checked encodings (decode_golden_test.cpp).
// Threading: none.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "llvm_oracle.hpp"
#include "vgpu/isa/decode.hpp"
#include "vgpu/isa/print.hpp"

namespace kiln::vgpu::isa {
namespace {

using Code = std::array<std::uint32_t, 4>;

/// LLVM's name of the chip whose encodings these are.
const char* processor(Arch arch) {
  switch (arch) {
    case Arch::Cdna2:
      return "gfx90a";
    case Arch::Cdna3:
      return "gfx942";
    case Arch::Rdna2:
      return "gfx1030";
    case Arch::Rdna3:
      return "gfx1100";
  }
  return "";
}

struct Encoding {
  std::uint32_t bits = 0, fixed = 0;  ///< of the first dword: what says which row it is
};

/// The first dword of a row (AMD CDNA3 and RDNA3 ISA, "Microcode Formats").
Encoding encoding_of(Arch arch, const Opcode& opcode) {
  const bool gfx11 = arch == Arch::Rdna3, gfx10 = arch == Arch::Rdna2, rdna = gfx10 || gfx11;
  const std::uint32_t n = opcode.number;
  switch (opcode.format) {
    case Format::Sop2:
      return {0x80000000 | n << 23, 0xff800000};
    case Format::Sopk:
      return {0xb0000000 | n << 23, 0xff800000};
    case Format::Sop1:
      return {0xbe800000 | n << 8, 0xff80ff00};
    case Format::Sopc:
      return {0xbf000000 | n << 16, 0xffff0000};
    case Format::Sopp:
      return {0xbf800000 | n << 16, 0xffff0000};
    case Format::Smem:
      return {(rdna ? 0xf4000000 : 0xc0000000) | n << 18, 0xfffc0000};
    case Format::Vop2:
      return {n << 25, 0xfe000000};
    case Format::Vop1:
      return {0x7e000000 | n << 9, 0xfe01fe00};
    case Format::Vopc:
      return {0x7c000000 | n << 17, 0xfffe0000};
    case Format::Vop3:
    case Format::Vop3sd:
      return {(rdna ? 0xd4000000 : 0xd0000000) | n << 16, 0xffff0000};
    case Format::Vop3p:
    case Format::Mai:
      return {(rdna ? 0xcc000000 : 0xd3800000) | n << 16, 0xffff0000};
    case Format::Vopd:
      return {0xc8000000 | (n & 15) << 22, 0xffc00000};
    case Format::Ds:
      return rdna ? Encoding{0xd8000000 | n << 18, 0xfffc0000}
                  : Encoding{0xd8000000 | n << 17, 0xfdfe0000};
    case Format::Flat:
    case Format::Global:
    case Format::Scratch: {
      const std::uint32_t segment = opcode.format == Format::Flat     ? 0
                                    : opcode.format == Format::Global ? 2
                                                                      : 1;
      const std::uint32_t lds = (n & kLdsForm) != 0 ? 0x2000 : 0;  // the LDS bit
      return gfx11
                 ? Encoding{0xdc000000 | n << 18 | segment << 16, 0xfdff0000}
                 : Encoding{0xdc000000 | (n & 0x7f) << 18 | segment << 14 | lds, 0xfdfcc000 | lds};
    }
    case Format::Mubuf:
      if (gfx10) return {0xe0000000 | (n & 0x7f) << 18 | n >> 7 << 25, 0xfffc0000};
      return {0xe0000000 | n << 18, gfx11 ? 0xfffc0000 : 0xfdfc0000};
    case Format::Mtbuf:
      if (gfx10) return {0xe8000000 | (n & 7) << 16, 0xfc070000};  // and bit 53
      return {0xe8000000 | n << 15, 0xfc078000};
    default:
      return {};
  }
}

bool one_dword_vector(Format format) {
  return format == Format::Vop1 || format == Format::Vop2 || format == Format::Vopc;
}
bool two_dword_vector(Format format) {
  return format == Format::Vop3 || format == Format::Vop3sd || format == Format::Vop3p ||
         format == Format::Mai;
}

/// Random fields; half of the time sparse, so that encodings with few modifiers, small registers
/// and zero reserved bits come up, and with a taste for operand codes that mean something special.
Code random_code(Arch arch, const Opcode& opcode, std::mt19937& random) {
  const Encoding encoding = encoding_of(arch, opcode);
  Code code;
  for (std::uint32_t& dword : code) dword = random();
  const unsigned sparse = random() % 5;
  for (unsigned i = 0; i < sparse; ++i) {
    code[0] &= random();
    code[1] &= random();
  }
  code[0] = encoding.bits | (code[0] & ~encoding.fixed);
  if (arch == Arch::Rdna2 && opcode.format == Format::Mtbuf)
    code[1] = (code[1] & ~0x200000u) | (opcode.number >> 3 & 1u) << 21;
  static constexpr std::uint32_t kCodes[] = {102, 103, 104, 105, 106, 107, 124, 125, 126, 127, 208,
                                             209, 233, 234, 235, 239, 240, 248, 249, 250, 253, 255};
  const std::uint32_t special = kCodes[random() % std::size(kCodes)];
  const bool use = random() % 3 == 0;
  const Format format = opcode.format;
  if (use && one_dword_vector(format)) code[0] = (code[0] & ~0x1ffu) | special;
  if (use && (two_dword_vector(format) || format == Format::Vopd)) {
    const unsigned shift = 9 * (random() % 3);
    code[1] = (code[1] & ~(0x1ffu << shift)) | special << shift;
  }
  if (use && (format == Format::Sop1 || format == Format::Sop2 || format == Format::Sopc))
    code[0] = (code[0] & ~0xffu) | special;
  const bool clean = random() % 2 == 0;
  if (clean && (format == Format::Vop3 || format == Format::Vop3sd)) {
    code[1] &= 0x07ffffff;  // no neg, no omod
    code[0] &= ~0x8700u;    // no clamp, no abs
  }
  if (clean && (format == Format::Flat || format == Format::Global || format == Format::Scratch))
    code[1] = (code[1] & ~0x7f0000u) | (random() % 2 == 0     ? 0x7f0000u
                                        : arch == Arch::Rdna2 ? 0x7d0000u
                                                              : 0x7c0000u);
  if (clean && format == Format::Flat && is_cdna(arch)) code[1] &= ~0x7f0000u;
  if (clean && format == Format::Ds) {
    const Shape& shape = opcode.shape;
    if (!shape.dst.present()) code[1] &= 0x00ffffff;
    if (!shape.src[2].present()) code[1] &= 0xff00ffff;
    if (!shape.src[1].present()) code[1] &= 0xffff00ff;
    if (!shape.src[0].present()) code[1] &= 0xffffff00;
  }
  return code;
}

std::uint32_t field(const Code& code, unsigned first, unsigned count) {
  return code[first / 32] >> first % 32 & ((1u << count) - 1);
}

/// Encodings on which LLVM 22 itself crashes (llvm_unreachable in a release build). Kiln refuses
/// them; that they are refused is checked without asking LLVM.
bool crashes_llvm(Arch arch, const Opcode& opcode, const Code& code) {
  const bool gfx9 = is_cdna(arch);
  const Format format = opcode.format;
  if (gfx9 && two_dword_vector(format))  // a literal where gfx9 has none
    for (unsigned i = 0; i < 3; ++i)
      if (opcode.shape.src[i].present() && field(code, 32 + 9 * i, 9) == kLiteral) return true;
  if ((format == Format::Vop3 || format == Format::Vop3sd) && field(code, 0, 8) == 0xff &&
      opcode.shape.dst.present() && opcode.shape.dst.kind != OperandKind::Vgpr)
    return true;  // a literal as destination
  if ((format == Format::Mubuf || format == Format::Mtbuf) && field(code, 56, 8) == kLiteral)
    return true;
  if (arch != Arch::Rdna3 && one_dword_vector(format) &&
      field(code, 0, 9) == 249) {  // SDWA selectors
    if (format != Format::Vopc && (field(code, 40, 3) == 7 || field(code, 43, 2) == 3)) return true;
    return field(code, 48, 3) == 7 || field(code, 56, 3) == 7;
  }
  return false;
}

/// Where Kiln and LLVM differ on purpose, and why. LLVM's disassembler is lenient: it prints what
/// its own assembler refuses. Returns null if the two must agree.
const char* deliberate_difference(Arch arch, const Opcode& opcode, const Code& code,
                                  const LlvmInstruction& llvm) {
  const bool gfx9 = is_cdna(arch);
  const Format format = opcode.format;
  const Shape& shape = opcode.shape;
  const std::string& text = llvm.text;
  const auto says = [&](const char* part) { return text.find(part) != std::string::npos; };
  const auto is = [&](const char* name) { return opcode.name.starts_with(name); };

  if (says("lds_direct")) return "LDS_DIRECT as a source exists on neither chip";
  if (says("src_flat_scratch_base")) return "operand codes of later generations";
  if (gfx9 && says("null")) return "gfx9 has no null register";
  if (llvm.opcode.find("fake16") != std::string::npos)
    return "op_sel bits of absent operands make LLVM fall back to its pre-true16 opcodes";
  // Registers past the end of the file, which LLVM prints as v[255:256].
  for (std::size_t at = text.find(':'); at != std::string::npos; at = text.find(':', at + 1)) {
    const int last = std::atoi(text.c_str() + at + 1);
    if (last > 255 && last < 300 && text.find('[') < at) return "register tuples end at 255";
  }
  for (std::size_t at = text.find("a["); at != std::string::npos; at = text.find("a[", at + 1))
    if (std::atoi(text.c_str() + at + 2) % 2 != 0) return "CDNA tuples begin at even registers";
  if (gfx9 && format == Format::Mtbuf && field(code, 12, 2) == 3 && field(code, 32, 1) != 0)
    return "CDNA tuples begin at even registers";
  // A field for registers of one kind only, in which LLVM lets special codes pass.
  const auto special = [](std::uint32_t value) { return value < kVgpr0; };
  if (one_dword_vector(format) &&
      (shape.src[0].kind == OperandKind::Vgpr || shape.src[0].kind == OperandKind::Agpr) &&
      special(field(code, 0, 9)))
    return "a scalar code in a VGPR field";
  if (format == Format::Sop1 && shape.src[0].kind == OperandKind::Sgpr && field(code, 7, 1) != 0)
    return "a constant in an SGPR field";
  if (two_dword_vector(format))
    for (unsigned i = 0; i < 3; ++i) {
      const std::uint32_t value = field(code, 32 + 9 * i, 9);
      const OperandKind kind = shape.src[i].kind;
      const bool vgpr_only =
          kind == OperandKind::Vgpr || kind == OperandKind::Data || kind == OperandKind::Agpr;
      if (vgpr_only && special(value)) return "a scalar code in a VGPR field";
      if (kind == OperandKind::DataOrConstant && value < kVgpr0 &&
          (value < 128 || (value > 208 && value < 240) || value > 248))
        return "a special register as a matrix operand";
      if (kind == OperandKind::Mask && value >= 128) return "a lane mask that is not in SGPRs";
      if (kind == OperandKind::LaneSelect && value == kLiteral)
        return "a lane select is no literal";
    }
  if ((format == Format::Vop3 || format == Format::Vop3sd || format == Format::Vop1) &&
      shape.dst.kind != OperandKind::Vgpr && shape.dst.present() &&
      field(code, format == Format::Vop1 ? 17 : 0, 8) >= 128)
    return "a constant as destination";
  if (!gfx9 && two_dword_vector(format)) {
    const std::uint32_t src0 = field(code, 32, 9);
    const bool dpp = src0 == 250 || src0 == 233 || src0 == 234;
    if (dpp && (field(code, 41, 9) == kLiteral || field(code, 50, 9) == kLiteral))
      return "DPP and a literal want the same dword";
    if (dpp && is("v_fma_mix") && special(field(code, 41, 9)))
      return "LLVM knows v_fma_mix DPP with VGPR sources only";
    if (is("v_wmma") && (dpp || src0 == kLiteral || field(code, 50, 9) == kLiteral))
      return "WMMA has neither DPP nor a literal";
    const bool at_the_end = field(code, 0, 8) > 248 || (field(code, 50, 9) & 0xff) > 248 ||
                            (field(code, 32, 9) & 0xff) > 248 || (field(code, 41, 9) & 0xff) > 248;
    if (is("v_wmma") && llvm.bytes == 0 && at_the_end)
      return "WMMA accumulators are half as long in wave64";
  }
  if (shape.sources() == 0 && one_dword_vector(format) && field(code, 0, 9) >= 233 &&
      field(code, 0, 9) < kVgpr0)
    return "v_nop whose unused source asks for another dword";
  if (format == Format::Global && field(code, 48, 7) == kExecLo) return "EXEC as an address";
  if (format == Format::Flat && field(code, arch == Arch::Rdna2 ? 11 : 12, 1) != 0)
    return "FLAT offsets have no sign bit";
  const bool float_atomic =
      shape.has(kShapeReturns) && opcode.name.find("_f") != std::string_view::npos;
  if (arch == Arch::Cdna2 && float_atomic && llvm.bytes == 0 &&
      field(code, format == Format::Mubuf ? 15 : 25, 1) != 0)
    return "LLVM knows gfx90a's floating-point atomics without scc";
  if (gfx9 && is("ds_gws") && field(code, 25, 1) != 0) return "GWS with an AGPR";
  if (!gfx9 && is("ds_bvh_stack") && field(code, 17, 1) != 0) return "LDS instruction with GDS";
  if (gfx9 && shape.has(kShapeReturns) && field(code, 55, 1) != 0 &&
      (says("") && (is("flat_atomic") || is("global_atomic"))) && llvm.bytes == 0)
    return "LLVM has no AGPR form of the floating-point atomics";
  return nullptr;
}

/// LLVM marks in a comment what it printed but its assembler would refuse.
bool marked_invalid(const std::string& text) {
  for (const char* mark : {"/*Invalid", "/* Invalid dpp", "/* DP ALU", "is not supported"})
    if (text.find(mark) != std::string::npos) return true;
  return false;
}

/// One instruction in words: mnemonic and operands in order, then the modifiers sorted.
struct Words {
  std::string mnemonic;
  std::vector<std::string> operands, modifiers;
};

Words words_of(std::string text) {
  for (std::size_t at; (at = text.find("/*")) != std::string::npos;) {
    const std::size_t end = text.find("*/", at);
    text.erase(at, end == std::string::npos ? end : end + 2 - at);
  }
  std::vector<std::string> all;
  std::string word;
  int depth = 0;
  for (const char c : text + " ") {
    if (c == '[' || c == '(') ++depth;
    if (c == ']' || c == ')') --depth;
    if (depth == 0 && (c == ' ' || c == ',')) {
      if (!word.empty()) all.push_back(word);
      word.clear();
    } else if (c != ' ') {
      word += c;
    }
  }
  Words words;
  static const std::set<std::string> kFlags = {
      "clamp", "offen", "idxen", "glc", "slc", "dlc",        "sc0",
      "sc1",   "nt",    "gds",   "lds", "tfe", "row_mirror", "row_half_mirror"};
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::string item = all[i];
    if (i == 0) {
      for (const std::string_view suffix : {"_e64_dpp", "_e32", "_e64", "_dpp", "_sdwa"})
        if (item.ends_with(suffix)) {
          item.resize(item.size() - suffix.size());
          break;
        }
      words.mnemonic = item;
      continue;
    }
    const std::size_t name =
        std::find_if(
            item.begin(), item.end(),
            [](char c) { return std::islower(c) == 0 && std::isdigit(c) == 0 && c != '_'; }) -
        item.begin();
    if (kFlags.contains(item) || (name < item.size() && item[name] == ':' && item != "::")) {
      // Trailing zeros of op_sel belong to operands some forms do not print.
      if (item.starts_with("op_sel:"))
        while (item.ends_with(",0]")) item.replace(item.size() - 3, 3, "]");
      if (item != "offset:0x0" && !item.starts_with("format:")) words.modifiers.push_back(item);
    } else {
      words.operands.push_back(item);
    }
  }
  std::sort(words.modifiers.begin(), words.modifiers.end());
  return words;
}

/// The number an operand word stands for, as 32 bits; false if it is none.
bool number(std::string word, std::uint32_t* value) {
  for (const char* prefix : {"neg(", "lit("})
    if (word.starts_with(prefix)) word = word.substr(4, word.size() - 5);
  if (word.starts_with("-|")) word.erase(0, 1);
  if (word.size() > 1 && word.front() == '|') word = word.substr(1, word.size() - 2);
  char* end = nullptr;
  if (word.find('.') == std::string::npos) {
    const bool negative = word.starts_with("-");
    const std::uint64_t magnitude = std::strtoull(word.c_str() + (negative ? 1 : 0), &end, 0);
    *value = static_cast<std::uint32_t>(negative ? 0 - magnitude : magnitude);
  } else {
    *value = std::bit_cast<std::uint32_t>(std::strtof(word.c_str(), &end));
  }
  return end != nullptr && *end == 0 && end != word.c_str();
}

/// Same operand? Numbers may be written differently: LLVM prints 16-bit literals with 16 bits,
/// floats of inline constants as bits where the operand is a 16-bit integer, and the high half of
/// a 64-bit float literal as the whole number.
bool same_operand(const std::string& ours, const std::string& theirs) {
  if (ours == theirs) return true;
  const auto sign = [](const std::string& word) {
    return std::pair(word.find("neg(") != std::string::npos || word.starts_with("-|"),
                     word.find('|') != std::string::npos);
  };
  if (sign(ours) != sign(theirs)) return false;
  std::uint32_t a = 0, b = 0;
  if (!number(ours, &a) || !number(theirs, &b)) return false;
  if (a == b) return true;
  if (b <= 0xffff && (a & 0xffff) == b) return true;
  if (theirs.find('.') != std::string::npos) {
    char* end = nullptr;
    const double whole = std::strtod(theirs.c_str() + (theirs.starts_with("lit(") ? 4 : 0), &end);
    if (std::bit_cast<std::uint64_t>(whole) >> 32 == a) return true;
    return std::strtof(ours.c_str(), &end) == static_cast<float>(whole);
  }
  const float value = std::bit_cast<float>(a);  // 0.5 against 0x3800
  return ours.find('.') != std::string::npos &&
         std::bit_cast<std::uint16_t>(static_cast<_Float16>(value)) == b;
}

/// Operands that LLVM writes symbolically; their immediate is compared as a number.
bool symbolic(const Instruction& instruction) {
  return instruction.format == Format::Sopp || instruction.format == Format::Sopk ||
         instruction.opcode->name.starts_with("s_sendmsg_rtn") ||
         instruction.opcode->name == "s_set_gpr_idx_on";
}

/// What differs between the two, or nothing.
std::string difference(Arch arch, const Instruction& ours, const LlvmInstruction& theirs) {
  if (ours.dwords * 4u != theirs.bytes) return "length";
  const Words mine = words_of(print(arch, ours, 0));
  const Words llvm = words_of(theirs.text);
  if (mine.mnemonic != llvm.mnemonic) return "mnemonic";
  if (symbolic(ours)) {
    if (!theirs.has_immediate || ours.opcode->name.starts_with("s_setreg_imm32")) return {};
    const std::uint32_t mask =
        ours.format == Format::Sop1 || ours.format == Format::Sopc ? 0xff : 0xffff;
    return ((static_cast<std::uint32_t>(theirs.immediate) ^
             static_cast<std::uint32_t>(ours.offset)) &
            mask) == 0
               ? ""
               : "immediate";
  }
  if (mine.operands.size() != llvm.operands.size()) return "number of operands";
  for (std::size_t i = 0; i < mine.operands.size(); ++i)
    if (!same_operand(mine.operands[i], llvm.operands[i])) return "operand";
  Words a = mine, b = llvm;
  if (ours.format == Format::Ds) {
    // LLVM leaves "gds" out of some forms, and spells out the swizzle patterns.
    std::erase(a.modifiers, "gds");
    std::erase(b.modifiers, "gds");
    if (ours.opcode->name == "ds_swizzle_b32") return {};
  }
  if (ours.opcode->name == "v_cndmask_b16") {  // LLVM does not print its op_sel
    const auto op_sel = [](const std::string& word) { return word.starts_with("op_sel"); };
    std::erase_if(a.modifiers, op_sel);
    std::erase_if(b.modifiers, op_sel);
  }
  return a.modifiers == b.modifiers ? "" : "modifiers";
}

/// LLVM 22 reads KIMM literals and DPP8 selectors below 256 as if they were operand codes, and
/// prints something else. It prints the constants of v_fmac's VOP3 DPP form as codes, and leaves
/// the modifiers of v_pk_fmac_f16's SDWA form out.
bool misprinted(const Instruction& instruction) {
  const std::string_view name = instruction.opcode->name;
  if (instruction.lanes == Lanes::Sdwa && name == "v_pk_fmac_f16") return true;
  const bool constant = instruction.src[1] < kVgpr0;
  if (instruction.lanes != Lanes::Plain && name.starts_with("v_fmac") && constant) return true;
  if (instruction.lanes == Lanes::Dpp8) return instruction.dpp < 0x200;
  const bool literal_field = instruction.opcode->shape.src[1].kind == OperandKind::Literal ||
                             instruction.opcode->shape.src[2].kind == OperandKind::Literal;
  return (literal_field || instruction.format == Format::Vopd) && instruction.literal < 0x200;
}

class Comparison {
 public:
  Comparison(Arch arch, const std::string& features = {})
      : arch_(arch), llvm_(processor(arch), features), wave64_(!features.empty()) {}

  /// With `texts` false only acceptance and length are compared (another wave size prints
  /// otherwise).
  void compare(const Opcode& row, const Code& code, bool texts) {
    Instruction ours;
    const DecodeStatus status = decode(arch_, code.data(), code.size(), &ours);
    const bool accepted = status == DecodeStatus::Ok;
    if (crashes_llvm(arch_, row, code)) {
      if (accepted) report(row, code, "accepted, and crashes LLVM", {});
      return;
    }
    LlvmInstruction theirs = llvm_.disassemble(code);
    if (marked_invalid(theirs.text)) theirs.bytes = 0;
    if (accepted != (theirs.bytes != 0)) {
      const char* reason = deliberate_difference(arch_, row, code, theirs);
      // The decoder serves both wave sizes: masks may be odd SGPRs, and VOPD exists, as in wave32.
      const bool masks = row.shape.dst.kind == OperandKind::Mask || row.shape.dst2.present() ||
                         row.shape.src[2].kind == OperandKind::Mask;
      if (wave64_ && accepted &&
          (masks || row.format == Format::Vopd || row.name.starts_with("v_wmma")))
        reason = "legal in wave32 only";
      if (reason == nullptr) {
        report(row, code, accepted ? "LLVM refuses" : "LLVM accepts", theirs.text);
      } else {
        ++excused_[reason];
      }
      return;
    }
    if (!accepted) return;
    ++agreed_;
    std::string what = ours.dwords * 4u != theirs.bytes ? "length" : "";
    if (texts && what.empty() && !misprinted(ours)) what = difference(arch_, ours, theirs);
    if (what == "number of operands" || what == "operand" || what == "length")
      if (deliberate_difference(arch_, row, code, theirs) != nullptr) return;
    if (!what.empty())
      report(row, code, what, theirs.text + "\n    ours: " + print(arch_, ours, 0));
  }
  std::size_t agreed() const { return agreed_; }
  const std::map<std::string, std::size_t>& excused() const { return excused_; }
  std::size_t failures() const { return failures_; }

 private:
  void report(const Opcode& row, const Code& code, const std::string& what,
              const std::string& text) {
    if (++failures_ > 20) return;
    char dwords[48];
    std::snprintf(dwords, sizeof dwords, "%08x %08x %08x", code[0], code[1], code[2]);
    ADD_FAILURE() << row.name << " " << dwords << ": " << what << "\n    LLVM: " << text;
  }

  Arch arch_;
  LlvmOracle llvm_;
  bool wave64_;
  std::size_t agreed_ = 0, failures_ = 0;
  std::map<std::string, std::size_t> excused_;
};

void compare_random(Arch arch, unsigned per_row, const std::string& features, bool texts,
                    std::uint32_t seed) {
  Comparison comparison(arch, features);
  std::mt19937 random(seed);
  for (const Opcode& row : opcodes(arch))
    for (unsigned i = 0; i < per_row; ++i)
      comparison.compare(row, random_code(arch, row, random), texts);
  EXPECT_EQ(comparison.failures(), 0u);
  EXPECT_GT(comparison.agreed(), opcodes(arch).size() * per_row / 4) << "the encodings are no good";
  for (const auto& [reason, count] : comparison.excused())
    std::printf("  %8zu excused: %s\n", count, reason.c_str());
}

TEST(DecodeOracle, RandomCdna2) {
  compare_random(Arch::Cdna2, 160, "", true, 6);
}
TEST(DecodeOracle, RandomCdna3) {
  compare_random(Arch::Cdna3, 160, "", true, 1);
}
TEST(DecodeOracle, RandomRdna2) {
  compare_random(Arch::Rdna2, 160, "", true, 8);
}
TEST(DecodeOracle, RandomRdna3) {
  compare_random(Arch::Rdna3, 160, "", true, 2);
}
TEST(DecodeOracle, Wave64Rdna2) {
  compare_random(Arch::Rdna2, 40, "+wavefrontsize64,-wavefrontsize32", false, 9);
}
TEST(DecodeOracle, Wave64Rdna3) {
  compare_random(Arch::Rdna3, 40, "+wavefrontsize64,-wavefrontsize32", false, 3);
}

/// Bits that make no row of ours: LLVM must not know them either, but for the formats we leave out.
void compare_unknown(Arch arch, std::uint32_t seed) {
  LlvmOracle llvm(processor(arch));
  std::mt19937 random(seed);
  std::size_t refused = 0;
  for (unsigned i = 0; i < 60000; ++i) {
    const Code code = {static_cast<std::uint32_t>(random()), 0x00020104, 0, 0};
    // Only numbers without a row: what has one is compared above.
    bool has_row = false;
    for (const Opcode& row : opcodes(arch)) {
      const Encoding encoding = encoding_of(arch, row);
      has_row = has_row || (code[0] & encoding.fixed) == encoding.bits;
    }
    if (has_row) continue;
    const std::uint32_t top = code[0] >> 26;
    const bool image = top == 0x3c, exported = top == 0x3e || (is_cdna(arch) && top == 0x31);
    const std::uint32_t vop3 = code[0] >> 16;  // v_interp_p1ll_f16, p1lv_f16, p2_f16
    // gfx9's buffer_store_lds_dword, which no compiler has a way to ask for.
    if (is_cdna(arch) && top == 0x38 && (code[0] >> 18 & 0x7f) == 0x3d) continue;
    const bool interpolation = arch == Arch::Rdna3
                                   ? code[0] >> 24 == 0xcd || code[0] >> 24 == 0xce
                                   : arch == Arch::Rdna2 && (top == 0x32 || vop3 == 0xd742 ||
                                                             vop3 == 0xd743 || vop3 == 0xd75a);
    if (image || exported || interpolation) continue;  // graphics: deliberately unknown
    // LLVM decodes gfx9's v_fma_mix on RDNA as well.
    if (!is_cdna(arch) && top == 0x34) continue;
    Instruction ours;
    EXPECT_NE(decode(arch, code.data(), 4, &ours), DecodeStatus::Ok) << std::hex << code[0];
    const LlvmInstruction theirs = llvm.disassemble(code);
    EXPECT_TRUE(theirs.bytes == 0 || marked_invalid(theirs.text))
        << std::hex << code[0] << " " << theirs.text;
    ++refused;
  }
  EXPECT_GT(refused, 1000u);
}

TEST(DecodeOracle, UnknownCdna2) {
  compare_unknown(Arch::Cdna2, 7);
}
TEST(DecodeOracle, UnknownCdna3) {
  compare_unknown(Arch::Cdna3, 4);
}
TEST(DecodeOracle, UnknownRdna2) {
  compare_unknown(Arch::Rdna2, 10);
}
TEST(DecodeOracle, UnknownRdna3) {
  compare_unknown(Arch::Rdna3, 5);
}

/// The bytes of .text of an AMDGPU ELF file.
std::vector<std::uint32_t> text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const auto read = [&]<class T>(std::size_t at, T) {
    T value{};
    if (at + sizeof value <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  const std::uint64_t headers = read(0x28, std::uint64_t{});
  const unsigned count = read(0x3c, std::uint16_t{}), names = read(0x3e, std::uint16_t{});
  const std::uint64_t strings = read(headers + names * 64 + 0x18, std::uint64_t{});
  for (unsigned i = 0; i < count; ++i) {
    const std::uint64_t header = headers + i * 64;
    const std::uint64_t name = strings + read(header, std::uint32_t{});
    if (name + 6 > bytes.size() || std::strcmp(bytes.data() + name, ".text") != 0) continue;
    const std::uint64_t at = read(header + 0x18, std::uint64_t{}),
                        size = read(header + 0x20, std::uint64_t{});
    if (at + size > bytes.size()) return {};
    std::vector<std::uint32_t> code(size / 4);
    std::memcpy(code.data(), bytes.data() + at, code.size() * 4);
    return code;
  }
  return {};
}

/// Every instruction of every kernel under KILN_TEST_KERNELS (the build tree's tests/kernels).
TEST(DecodeOracle, CorpusKernels) {
  const char* root = std::getenv("KILN_TEST_KERNELS");
  if (root == nullptr) GTEST_SKIP() << "KILN_TEST_KERNELS is not set";
  std::size_t kernels = 0, instructions = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const std::string path = entry.path().string();
    if (!path.ends_with(".hsaco")) continue;
    Arch arch = Arch::Rdna3;
    for (const Arch other : {Arch::Cdna2, Arch::Cdna3, Arch::Rdna2})
      if (path.find(processor(other)) != std::string::npos) arch = other;
    const bool wave64 = path.find("wave64") != std::string::npos;
    LlvmOracle llvm(processor(arch), wave64 ? "+wavefrontsize64,-wavefrontsize32" : "");
    const std::vector<std::uint32_t> code = text_of(entry.path());
    ASSERT_FALSE(code.empty()) << path;
    ++kernels;
    for (std::size_t at = 0; at < code.size();) {
      Instruction ours;
      const std::size_t left = code.size() - at;
      const LlvmInstruction theirs =
          llvm.disassemble(std::span(code).subspan(at, std::min<std::size_t>(left, 4)));
      const DecodeStatus status = decode(arch, &code[at], left, &ours);
      if (theirs.bytes == 0) {  // padding between functions
        ++at;
        continue;
      }
      ASSERT_EQ(status, DecodeStatus::Ok) << path << " " << theirs.text;
      if (!misprinted(ours) && !wave64) {
        ASSERT_EQ(difference(arch, ours, theirs), "")
            << path << "\n  LLVM: " << theirs.text << "\n  ours: " << print(arch, ours, 0);
      }
      ASSERT_EQ(ours.dwords * 4u, theirs.bytes) << path << " " << theirs.text;
      at += ours.dwords;
      ++instructions;
    }
  }
  EXPECT_GT(kernels, 0u);
  std::printf("  %zu kernels, %zu instructions\n", kernels, instructions);
}

}  // namespace
}  // namespace kiln::vgpu::isa

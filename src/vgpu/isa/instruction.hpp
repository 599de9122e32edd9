// Owns: what one decoded machine instruction is, for every generation.
// Does not own: how bits become one (decode.*), what it does (semantics in salu/valu/memory files).
// Threading: values only.
#pragma once

#include <cstdint>
#include <string_view>

#include "vgpu/isa/shape.hpp"

namespace kiln::vgpu::isa {

struct Wave;
struct Instruction;

/// The instruction encodings the decoder knows. More generations are more values and more tables.
enum class Arch : std::uint8_t { Cdna2, Cdna3, Rdna2, Rdna3 };

/// The CDNA generations: the gfx9 encodings, accumulation registers, wave64 only.
constexpr bool is_cdna(Arch arch) {
  return arch == Arch::Cdna2 || arch == Arch::Cdna3;
}

enum class Format : std::uint8_t {
  Sop2,
  Sopk,
  Sop1,
  Sopc,
  Sopp,
  Smem,
  Vop2,
  Vop1,
  Vopc,
  Vop3,
  Vop3sd,
  Vop3p,
  Mai,
  Vopd,
  Vinterp,
  Ds,
  Flat,
  Global,
  Scratch,
  Mubuf,
  Mtbuf,
  Mimg,
  Exp,
};

/// Executes one instruction for all lanes of a wave. `wave.pc` is already the next instruction.
using Handler = void (*)(Wave&, const Instruction&);

/// One row of a generation's opcode table.
struct Opcode {
  Format format;
  std::uint16_t number;   ///< in that format's opcode field
  std::string_view name;  ///< as this generation's assembler writes it, without _e32/_e64
  /// The name under which the semantics stand: the GFX11 spelling where generations differ only in
  /// the name (global_load_b32, ds_load_b32, v_add_nc_u32), else `name`.
  std::string_view semantics;
  Shape shape = {};  ///< operands, widths and modifiers it has
};

/// Operand codes, the same for all generations. The decoder moves what differs (m0, null).
enum Operand : std::uint16_t {
  kSgpr0 = 0,  ///< 0..105 SGPRs (gfx9: 102..105 are flat_scratch and xnack_mask)
  kVccLo = 106,
  kVccHi = 107,
  kTtmp0 = 108,  ///< 108..123
  kNull = 124,   ///< reads 0, writes nothing (gfx9 has none)
  kM0 = 125,     ///< gfx9 encodes 124, the decoder moves it here
  kExecLo = 126,
  kExecHi = 127,
  kInt0 = 128,       ///< 128..192: 0..64
  kIntMinus1 = 193,  ///< 193..208: -1..-16
  kSharedBase = 235,
  kSharedLimit = 236,
  kPrivateBase = 237,
  kPrivateLimit = 238,
  kPopsExiting = 239,
  kHalf = 240,  ///< 240..247: 0.5 -0.5 1 -1 2 -2 4 -4
  kInv2Pi = 248,
  kVccz = 251,
  kExecz = 252,
  kScc = 253,
  kLiteral = 255,  ///< `literal`
  kVgpr0 = 256,    ///< 256..511
  kAgpr0 = 512,    ///< 512..767
  kNoOperand = 0xffff,
};

/// Sub-dword and cross-lane forms of VOP1/VOP2/VOPC (and VOP3 on GFX11).
enum class Lanes : std::uint8_t { Plain, Sdwa, Dpp16, Dpp8 };

struct Instruction {
  Handler execute = nullptr;  ///< null: no semantics; the wave stops and names `opcode->name`
  const Opcode* opcode = nullptr;
  std::uint32_t literal = 0;  ///< the 32-bit literal, where an operand is kLiteral
  std::int32_t offset =
      0;  ///< simm16, DS offset0 (or 16 bits), FLAT/MUBUF/SMEM offset, sign-extended
  std::uint16_t dst = kNoOperand;  ///< vdst or sdst
  std::uint16_t sdst =
      kNoOperand;  ///< second destination: VOP3SD carry, VOPC e64 mask, VOPD's Y destination
  std::uint16_t src[4] = {kNoOperand, kNoOperand, kNoOperand, kNoOperand};
  ///< VALU: src0 src1 src2. DS: addr data0 data1. FLAT/GLOBAL/SCRATCH: vaddr
  ///< data saddr. MUBUF: vaddr vdata srsrc soffset. SMEM: sbase soffset
  ///< data (of stores and atomics). Loads have their data in dst, atomics that
  ///< return in both; VOP2/VOPC give implied VCC as an operand.
  std::uint8_t dwords = 1;
  Format format = Format::Sop2;
  Lanes lanes = Lanes::Plain;
  std::uint8_t neg = 0;     ///< bit i: negate src i (VOP3P: neg_lo)
  std::uint8_t abs = 0;     ///< bit i: |src i| (VOP3P: neg_hi)
  std::uint8_t omod = 0;    ///< 0 none, 1 *2, 2 *4, 3 /2
  std::uint8_t op_sel = 0;  ///< bit 0..2 sources, bit 3 destination
  std::uint8_t op_sel_hi = 0;
  bool clamp = false;
  std::uint8_t cache = 0;    ///< kCacheGlc.. below
  std::uint8_t offset1 = 0;  ///< DS two-address forms
  bool gds = false, lds = false, idxen = false, offen = false, addr64 = false;
  // DPP: dpp_ctrl (9 bits) or the 8 lane selectors (24 bits); SDWA selectors and flags.
  std::uint32_t dpp = 0;
  std::uint8_t row_mask = 0xf, bank_mask = 0xf;
  bool bound_ctrl = false, fetch_inactive = false;
  std::uint8_t sdwa_dst_sel = 6, sdwa_dst_unused = 0, sdwa_src_sel[2] = {6, 6}, sdwa_sext = 0;
  std::uint8_t cbsz = 0, abid = 0, blgp = 0;  ///< MAI (MFMA)
  bool tfe = false;                  ///< GFX11 buffer loads: a status dword follows the data
  std::uint8_t buffer_format = 0;    ///< MTBUF: gfx9 dfmt | nfmt << 4, GFX11 the unified format
  const Opcode* opcode_y = nullptr;  ///< VOPD's second half; its sources are src_y
  Handler execute_y = nullptr;
  std::uint16_t src_y[3] = {kNoOperand, kNoOperand, kNoOperand};
};

/// Opcode::number of gfx90a's GLOBAL and SCRATCH loads whose LDS bit is set has this bit.
inline constexpr std::uint16_t kLdsForm = 0x80;

/// Bits of Instruction::cache. gfx90a: glc slc scc; gfx942: sc0 nt sc1; gfx11: glc slc dlc.
inline constexpr std::uint8_t kCacheGlc = 1, kCacheSlc = 2, kCacheDlc = 4;
inline constexpr std::uint8_t kCacheSc0 = 1, kCacheNt = 2, kCacheSc1 = 4;
inline constexpr std::uint8_t kCacheScc = 4;

}  // namespace kiln::vgpu::isa

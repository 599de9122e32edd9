// Owns: matrix instructions: MFMA of CDNA2 and CDNA3, WMMA of RDNA3.
// Does not own: AccVGPR moves (valu_*), the sparse SMFMAC (no semantics yet: they stop by name).
// Threading: the wave's host thread. Compiled twice (semantics.hpp).
//
// Sources: AMD CDNA3 ISA "Matrix Arithmetic Instructions" and "Matrix fused-multiply-add" layouts;
// AMD RDNA3 ISA "Wave Matrix Multiply Accumulate"; the amd_matrix_instruction_calculator's register
// maps. The order in which hardware sums products, and its internal precision, are not documented:
// here each element is a chain of fused multiply-adds over k, in order.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "vgpu/isa/scalar.hpp"
#include "vgpu/isa/semantics.hpp"
#include "vgpu/isa/wave.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS {
namespace {

// ---- element types -----------------------------------------------------------------------------

KILN_ALWAYS_INLINE float as_float(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}

struct F16 {
  static constexpr unsigned kBits = 16;
  static constexpr float kLeastNormal = 0x1p-14f;
  using Value = float;
  KILN_ALWAYS_INLINE static float value(std::uint32_t bits) {
    return static_cast<float>(std::bit_cast<_Float16>(static_cast<std::uint16_t>(bits)));
  }
};
struct Bf16 {
  static constexpr unsigned kBits = 16;
  static constexpr float kLeastNormal = 0x1p-126f;
  using Value = float;
  KILN_ALWAYS_INLINE static float value(std::uint32_t bits) { return as_float(bits << 16); }
};
struct F32 {
  static constexpr unsigned kBits = 32;
  using Value = float;
  KILN_ALWAYS_INLINE static float value(std::uint32_t bits) { return as_float(bits); }
};
/// XF32 takes f32 registers and multiplies with ten bits of mantissa.
struct Xf32 {
  static constexpr unsigned kBits = 32;
  using Value = float;
  KILN_ALWAYS_INLINE static float value(std::uint32_t bits) { return as_float(bits & 0xffffe000u); }
};
/// 8-bit floats of gfx942: no infinities, no negative zero; 0x80 is NaN (CDNA3 ISA, "FP8 and BF8").
template <unsigned kMantissa, int kBias>
struct Float8 {
  static constexpr unsigned kBits = 8;
  using Value = float;
  KILN_ALWAYS_INLINE static float value(std::uint32_t bits) {
    if (bits == 0x80) return std::bit_cast<float>(0x7fc00000u);
    const std::uint32_t mantissa = bits & ((1u << kMantissa) - 1);
    const std::uint32_t exponent = bits >> kMantissa & ((1u << (7 - kMantissa)) - 1);
    const std::uint32_t sign = (bits & 0x80) << 24;
    if (exponent != 0)
      return as_float(sign | (exponent + 127 - kBias) << 23 | mantissa << (23 - kMantissa));
    // Denormal: mantissa * 2^(1 - bias - mantissa bits), exact in f32.
    const float scale =
        as_float(static_cast<std::uint32_t>(127 + 1 - kBias - static_cast<int>(kMantissa)) << 23);
    return as_float(std::bit_cast<std::uint32_t>(static_cast<float>(mantissa) * scale) | sign);
  }
};
using Fp8 = Float8<3, 8>;
using Bf8 = Float8<2, 16>;
struct I8 {
  static constexpr unsigned kBits = 8;
  using Value = std::int32_t;
  KILN_ALWAYS_INLINE static std::int32_t value(std::uint32_t bits) {
    return static_cast<std::int8_t>(bits);
  }
};

KILN_ALWAYS_INLINE float multiply_add(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
KILN_ALWAYS_INLINE std::int32_t multiply_add(std::int32_t a, std::int32_t b, std::int32_t c) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) * static_cast<std::uint32_t>(b) +
                                   static_cast<std::uint32_t>(c));
}

// ---- MFMA --------------------------------------------------------------------------------------

/// Element `e` of a lane's part of an input matrix.
template <class T>
KILN_ALWAYS_INLINE std::uint32_t element_bits(const VectorRegister* row, unsigned lane,
                                              unsigned e) {
  constexpr unsigned kPerDword = 32 / T::kBits;
  const std::uint32_t dword = row[e / kPerDword].lane[lane];
  if constexpr (T::kBits == 32)
    return dword;
  else
    return dword >> (e % kPerDword * T::kBits) & ((1u << T::kBits) - 1);
}

/// The lane whose B data `lane` uses (CDNA3 ISA, BLGP).
KILN_ALWAYS_INLINE unsigned blgp_lane(unsigned blgp, unsigned lane) {
  switch (blgp) {
    case 1:
      return lane % 32;
    case 2:
      return lane % 32 + 32;
    case 3:
      return (lane + 16) % 64;
    case 4:
      return lane % 16;
    case 5:
      return lane % 16 + 16;
    case 6:
      return lane % 16 + 32;
    case 7:
      return lane % 16 + 48;
    default:
      return lane;
  }
}

/// With `flush`, subnormals of type T become zero.
template <class T>
KILN_ALWAYS_INLINE float flushed_if(bool flush, float value) {
  return flush && __builtin_fabsf(value) < T::kLeastNormal ? value * 0.0f : value;
}

/// D = A (kM x kK) * B (kK x kN) + C for kB blocks, kM == kN, one wave of 64. EXEC is ignored.
/// Inputs: lane = i + kM * (block + kB * group), each lane holding kPerLane consecutive k. Results:
/// lane % kN is the column; groups of four rows go to consecutive registers.
template <unsigned kM, unsigned kK, unsigned kB, class A, class B>
void mfma(Wave& wave, const Instruction& in) {
  using Value = typename A::Value;
  constexpr unsigned kPerLane = kM * kK * kB / 64;
  constexpr unsigned kRegisters = kM * kM * kB / 64;
  constexpr unsigned kPerBlock = kRegisters / kB > 0 ? kRegisters / kB : 1;
  const VectorRegister* a_row = wave.v + (in.src[0] - kVgpr0);
  const VectorRegister* b_row = wave.v + (in.src[1] - kVgpr0);
  // MI200's 16-bit forms flush subnormal inputs and results (MIOpen's documentation, "MI200 MFMA
  // behavior specifics"; PyTorch's numerical_accuracy.rst).
  constexpr bool kSixteenBits = A::kBits == 16;
  [[maybe_unused]] const bool flush = wave.arch == Arch::Cdna2;

  Value a[kB][kM][kK], b[kB][kK][kM];
  for (unsigned lane = 0; lane < 64; ++lane) {
    const unsigned i = lane % kM, block = lane / kM % kB, group = lane / kM / kB;
    // CBSZ: 2^cbsz neighbouring blocks all take the A of one of them, number ABID.
    const unsigned a_block = (block & ~((1u << in.cbsz) - 1)) + in.abid;
    const unsigned a_lane = in.cbsz == 0 ? lane : i + kM * (a_block % kB + kB * group);
    const unsigned b_lane = blgp_lane(in.blgp, lane);
    for (unsigned e = 0; e < kPerLane; ++e) {
      a[block][i][group * kPerLane + e] = A::value(element_bits<A>(a_row, a_lane, e));
      b[block][group * kPerLane + e][i] = B::value(element_bits<B>(b_row, b_lane, e));
      if constexpr (kSixteenBits) {
        Value& a_value = a[block][i][group * kPerLane + e];
        Value& b_value = b[block][group * kPerLane + e][i];
        a_value = flushed_if<A>(flush, a_value);
        b_value = flushed_if<B>(flush, b_value);
      }
    }
  }

  const bool c_is_register = in.src[2] >= kVgpr0;
  const VectorRegister* c_row = c_is_register ? wave.v + (in.src[2] - kVgpr0) : nullptr;
  const auto constant = std::bit_cast<Value>(c_is_register ? 0u : scalar32(wave, in, in.src[2]));
  VectorRegister result[kRegisters];
  for (unsigned block = 0; block < kB; ++block) {
    for (unsigned i = 0; i < kM; ++i) {
      // 4x4: a block is four lanes wide, rows in registers. 16x16, 32x32: four rows in registers,
      // the next four in the next 16 or 32 lanes, and so on round.
      unsigned reg, first_lane;
      if constexpr (kM == 4) {
        reg = i;
        first_lane = block * 4;
      } else {
        constexpr unsigned kLaneGroups = 64 / kM;
        reg = block * kPerBlock + i / (4 * kLaneGroups) * 4 + i % 4;
        first_lane = i / 4 % kLaneGroups * kM;
      }
      Value sum[kM];
      for (unsigned j = 0; j < kM; ++j)
        sum[j] =
            c_row != nullptr ? std::bit_cast<Value>(c_row[reg].lane[first_lane + j]) : constant;
      if constexpr (kSixteenBits)  // C and D are binary32, whose exponents bfloat16 has
        for (unsigned j = 0; j < kM; ++j) sum[j] = flushed_if<Bf16>(flush, sum[j]);
      for (unsigned k = 0; k < kK; ++k) {
        const Value factor = a[block][i][k];
        for (unsigned j = 0; j < kM; ++j) sum[j] = multiply_add(factor, b[block][k][j], sum[j]);
      }
      if constexpr (kSixteenBits)
        for (unsigned j = 0; j < kM; ++j) sum[j] = flushed_if<Bf16>(flush, sum[j]);
      for (unsigned j = 0; j < kM; ++j)
        result[reg].lane[first_lane + j] = std::bit_cast<std::uint32_t>(sum[j]);
    }
  }
  std::memcpy(wave.v + (in.dst - kVgpr0), result, sizeof result);
}

KILN_ALWAYS_INLINE double double_at(const VectorRegister* row, unsigned lane) {
  return std::bit_cast<double>(std::uint64_t{row[1].lane[lane]} << 32 | row[0].lane[lane]);
}

/// The f64 forms: one k a lane, rows go round the lane groups one by one; BLGP negates A, B, C.
template <unsigned kM, unsigned kB>
void mfma_f64(Wave& wave, const Instruction& in) {
  constexpr unsigned kGroups = 64 / kM / kB;  // lane groups, 4 in both forms, each with one k
  constexpr unsigned kPairs = kM * kM * kB / 64;
  const VectorRegister* a_row = wave.v + (in.src[0] - kVgpr0);
  const VectorRegister* b_row = wave.v + (in.src[1] - kVgpr0);
  const bool c_is_register = in.src[2] >= kVgpr0;
  const VectorRegister* c_row = c_is_register ? wave.v + (in.src[2] - kVgpr0) : nullptr;
  const auto constant =
      std::bit_cast<double>(c_is_register ? std::uint64_t{0} : scalar64(wave, in, in.src[2]));
  const double sign_a = (in.blgp & 1) != 0 ? -1.0 : 1.0;
  const double sign_b = (in.blgp & 2) != 0 ? -1.0 : 1.0;
  const double sign_c = (in.blgp & 4) != 0 ? -1.0 : 1.0;
  VectorRegister result[2 * kPairs];
  for (unsigned lane = 0; lane < 64; ++lane) {
    const unsigned j = lane % kM, block = lane / kM % kB, group = lane / kM / kB;
    for (unsigned pair = 0; pair < kPairs; ++pair) {
      const unsigned i = pair * kGroups + group;
      double sum = sign_c * (c_row != nullptr ? double_at(c_row + 2 * pair, lane) : constant);
      for (unsigned k = 0; k < kGroups; ++k)
        sum = __builtin_fma(sign_a * double_at(a_row, i + kM * (block + kB * k)),
                            sign_b * double_at(b_row, j + kM * (block + kB * k)), sum);
      const auto bits = std::bit_cast<std::uint64_t>(sum);
      result[2 * pair].lane[lane] = static_cast<std::uint32_t>(bits);
      result[2 * pair + 1].lane[lane] = static_cast<std::uint32_t>(bits >> 32);
    }
  }
  std::memcpy(wave.v + (in.dst - kVgpr0), result, sizeof result);
}

/// gfx90a documents no CBSZ, ABID or BLGP for these: with one of them the wave stops by name.
template <unsigned kM, unsigned kB>
Handler mfma_f64_gfx90a(Instruction& in) {
  return in.cbsz == 0 && in.abid == 0 && in.blgp == 0 ? &mfma_f64<kM, kB> : nullptr;
}

// ---- WMMA --------------------------------------------------------------------------------------

constexpr unsigned kTile = 16;

/// A row of A or a column of B lies whole in one of the first 16 lanes (the others repeat it).
/// NEG_LO and NEG_HI negate even and odd k.
template <class T>
KILN_ALWAYS_INLINE void load_wmma_floats(const Wave& wave, const Instruction& in, unsigned operand,
                                         float (&to)[kTile][kTile]) {
  const VectorRegister* row = wave.v + (in.src[operand] - kVgpr0);
  const bool negate_even = (in.neg >> operand & 1) != 0, negate_odd = (in.abs >> operand & 1) != 0;
  for (unsigned i = 0; i < kTile; ++i)
    for (unsigned k = 0; k < kTile; ++k) {
      const float value = T::value(element_bits<T>(row, i, k));
      to[i][k] = (k % 2 == 0 ? negate_even : negate_odd) ? -value : value;
    }
}

/// Where element (i, j) of the result lies: rows go round the lane groups one by one.
struct WmmaPlace {
  unsigned reg, lane;
};
KILN_ALWAYS_INLINE WmmaPlace wmma_place(const Wave& wave, unsigned i, unsigned j) {
  const unsigned groups = wave.lanes / kTile;
  return {i / groups, i % groups * kTile + j};
}

template <class T>
void wmma_f32(Wave& wave, const Instruction& in) {
  float a[kTile][kTile], b[kTile][kTile];
  load_wmma_floats<T>(wave, in, 0, a);
  load_wmma_floats<T>(wave, in, 1, b);
  const bool c_is_register = in.src[2] >= kVgpr0;
  const float constant = as_float(c_is_register ? 0u : scalar32(wave, in, in.src[2]));
  float d[kTile][kTile];
  for (unsigned i = 0; i < kTile; ++i)
    for (unsigned j = 0; j < kTile; ++j) {
      const WmmaPlace at = wmma_place(wave, i, j);
      float sum =
          c_is_register ? as_float(wave.v[in.src[2] - kVgpr0 + at.reg].lane[at.lane]) : constant;
      if ((in.abs & 4) != 0) sum = __builtin_fabsf(sum);
      if ((in.neg & 4) != 0) sum = -sum;
      for (unsigned k = 0; k < kTile; ++k) sum = multiply_add(a[i][k], b[j][k], sum);
      d[i][j] = sum;
    }
  for (unsigned i = 0; i < kTile; ++i)
    for (unsigned j = 0; j < kTile; ++j) {
      const WmmaPlace at = wmma_place(wave, i, j);
      wave.v[in.dst - kVgpr0 + at.reg].lane[at.lane] = std::bit_cast<std::uint32_t>(d[i][j]);
    }
}

KILN_ALWAYS_INLINE std::uint16_t to_16_bits(F16, float value) {
  return std::bit_cast<std::uint16_t>(static_cast<_Float16>(value));
}
KILN_ALWAYS_INLINE std::uint16_t to_16_bits(Bf16, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >>
                                    16);  // to nearest, ties to even
}

/// 16-bit results go to one half of each register, OP_SEL[2] says which; the other half stays.
template <class T>
void wmma_16(Wave& wave, const Instruction& in) {
  float a[kTile][kTile], b[kTile][kTile];
  load_wmma_floats<T>(wave, in, 0, a);
  load_wmma_floats<T>(wave, in, 1, b);
  const unsigned shift = (in.op_sel & 4) != 0 ? 16 : 0;
  const bool c_is_register = in.src[2] >= kVgpr0;
  const std::uint32_t constant = c_is_register ? 0u : scalar32(wave, in, in.src[2]);
  std::uint16_t d[kTile][kTile];
  for (unsigned i = 0; i < kTile; ++i)
    for (unsigned j = 0; j < kTile; ++j) {
      const WmmaPlace at = wmma_place(wave, i, j);
      const std::uint32_t bits =
          c_is_register ? wave.v[in.src[2] - kVgpr0 + at.reg].lane[at.lane] >> shift : constant;
      float sum = T::value(bits & 0xffff);
      if ((in.abs & 4) != 0) sum = __builtin_fabsf(sum);
      if ((in.neg & 4) != 0) sum = -sum;
      for (unsigned k = 0; k < kTile; ++k) sum = multiply_add(a[i][k], b[j][k], sum);
      d[i][j] = to_16_bits(T{}, sum);
    }
  for (unsigned i = 0; i < kTile; ++i)
    for (unsigned j = 0; j < kTile; ++j) {
      const WmmaPlace at = wmma_place(wave, i, j);
      std::uint32_t& dword = wave.v[in.dst - kVgpr0 + at.reg].lane[at.lane];
      dword = (dword & ~(0xffffu << shift)) | std::uint32_t{d[i][j]} << shift;
    }
}

/// Integer inputs of kBits; NEG_LO says which are signed; CLAMP saturates.
template <unsigned kBits>
void wmma_i32(Wave& wave, const Instruction& in) {
  auto element = [&](unsigned operand, unsigned i, unsigned k) -> std::int32_t {
    constexpr unsigned kPerDword = 32 / kBits;
    const std::uint32_t dword = wave.v[in.src[operand] - kVgpr0 + k / kPerDword].lane[i];
    const std::uint32_t bits = dword >> (k % kPerDword * kBits) & ((1u << kBits) - 1);
    const bool is_signed = (in.neg >> operand & 1) != 0;
    return is_signed ? static_cast<std::int32_t>(bits << (32 - kBits)) >> (32 - kBits)
                     : static_cast<std::int32_t>(bits);
  };
  const bool c_is_register = in.src[2] >= kVgpr0;
  const auto constant =
      static_cast<std::int32_t>(c_is_register ? 0u : scalar32(wave, in, in.src[2]));
  std::int32_t d[kTile][kTile];
  for (unsigned i = 0; i < kTile; ++i)
    for (unsigned j = 0; j < kTile; ++j) {
      const WmmaPlace at = wmma_place(wave, i, j);
      std::int64_t sum =
          c_is_register
              ? static_cast<std::int32_t>(wave.v[in.src[2] - kVgpr0 + at.reg].lane[at.lane])
              : constant;
      for (unsigned k = 0; k < kTile; ++k) sum += std::int64_t{element(0, i, k)} * element(1, j, k);
      if (in.clamp) sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
      d[i][j] = static_cast<std::int32_t>(sum);
    }
  for (unsigned i = 0; i < kTile; ++i)
    for (unsigned j = 0; j < kTile; ++j) {
      const WmmaPlace at = wmma_place(wave, i, j);
      wave.v[in.dst - kVgpr0 + at.reg].lane[at.lane] = static_cast<std::uint32_t>(d[i][j]);
    }
}

const Semantics kMatrix[] = {
    {"v_mfma_f32_32x32x1_2b_f32", &mfma<32, 1, 2, F32, F32>},
    {"v_mfma_f32_16x16x1_4b_f32", &mfma<16, 1, 4, F32, F32>},
    {"v_mfma_f32_4x4x1_16b_f32", &mfma<4, 1, 16, F32, F32>},
    {"v_mfma_f32_32x32x2_f32", &mfma<32, 2, 1, F32, F32>},
    {"v_mfma_f32_16x16x4_f32", &mfma<16, 4, 1, F32, F32>},
    {"v_mfma_f32_32x32x4_xf32", &mfma<32, 4, 1, Xf32, Xf32>},
    {"v_mfma_f32_16x16x8_xf32", &mfma<16, 8, 1, Xf32, Xf32>},
    {"v_mfma_f32_32x32x4_2b_f16", &mfma<32, 4, 2, F16, F16>},
    {"v_mfma_f32_16x16x4_4b_f16", &mfma<16, 4, 4, F16, F16>},
    {"v_mfma_f32_4x4x4_16b_f16", &mfma<4, 4, 16, F16, F16>},
    {"v_mfma_f32_32x32x8_f16", &mfma<32, 8, 1, F16, F16>},
    {"v_mfma_f32_16x16x16_f16", &mfma<16, 16, 1, F16, F16>},
    {"v_mfma_f32_32x32x4_2b_bf16", &mfma<32, 4, 2, Bf16, Bf16>},
    {"v_mfma_f32_16x16x4_4b_bf16", &mfma<16, 4, 4, Bf16, Bf16>},
    {"v_mfma_f32_4x4x4_16b_bf16", &mfma<4, 4, 16, Bf16, Bf16>},
    {"v_mfma_f32_32x32x8_bf16", &mfma<32, 8, 1, Bf16, Bf16>},
    {"v_mfma_f32_16x16x16_bf16", &mfma<16, 16, 1, Bf16, Bf16>},
    {"v_mfma_i32_32x32x4_2b_i8", &mfma<32, 4, 2, I8, I8>},
    {"v_mfma_i32_16x16x4_4b_i8", &mfma<16, 4, 4, I8, I8>},
    {"v_mfma_i32_4x4x4_16b_i8", &mfma<4, 4, 16, I8, I8>},
    {"v_mfma_i32_32x32x8i8", &mfma<32, 8, 1, I8, I8>},
    {"v_mfma_i32_16x16x16i8", &mfma<16, 16, 1, I8, I8>},
    {"v_mfma_f32_32x32x2bf16", &mfma<32, 2, 2, Bf16, Bf16>},
    {"v_mfma_f32_16x16x2bf16", &mfma<16, 2, 4, Bf16, Bf16>},
    {"v_mfma_f32_4x4x2bf16", &mfma<4, 2, 16, Bf16, Bf16>},
    {"v_mfma_f32_32x32x4bf16", &mfma<32, 4, 1, Bf16, Bf16>},
    {"v_mfma_f32_16x16x8bf16", &mfma<16, 8, 1, Bf16, Bf16>},
    {"v_mfma_i32_32x32x16_i8", &mfma<32, 16, 1, I8, I8>},
    {"v_mfma_i32_16x16x32_i8", &mfma<16, 32, 1, I8, I8>},
    {"v_mfma_f32_16x16x32_bf8_bf8", &mfma<16, 32, 1, Bf8, Bf8>},
    {"v_mfma_f32_16x16x32_bf8_fp8", &mfma<16, 32, 1, Bf8, Fp8>},
    {"v_mfma_f32_16x16x32_fp8_bf8", &mfma<16, 32, 1, Fp8, Bf8>},
    {"v_mfma_f32_16x16x32_fp8_fp8", &mfma<16, 32, 1, Fp8, Fp8>},
    {"v_mfma_f32_32x32x16_bf8_bf8", &mfma<32, 16, 1, Bf8, Bf8>},
    {"v_mfma_f32_32x32x16_bf8_fp8", &mfma<32, 16, 1, Bf8, Fp8>},
    {"v_mfma_f32_32x32x16_fp8_bf8", &mfma<32, 16, 1, Fp8, Bf8>},
    {"v_mfma_f32_32x32x16_fp8_fp8", &mfma<32, 16, 1, Fp8, Fp8>},
    {"v_mfma_f64_16x16x4_f64", &mfma_f64<16, 1>},
    {"v_mfma_f64_4x4x4_4b_f64", &mfma_f64<4, 4>},
    {"v_mfma_f64_16x16x4f64", &mfma_f64_gfx90a<16, 1>},
    {"v_mfma_f64_4x4x4f64", &mfma_f64_gfx90a<4, 4>},
    {"v_wmma_f32_16x16x16_f16", &wmma_f32<F16>},
    {"v_wmma_f32_16x16x16_bf16", &wmma_f32<Bf16>},
    {"v_wmma_f16_16x16x16_f16", &wmma_16<F16>},
    {"v_wmma_bf16_16x16x16_bf16", &wmma_16<Bf16>},
    {"v_wmma_i32_16x16x16_iu8", &wmma_i32<8>},
    {"v_wmma_i32_16x16x16_iu4", &wmma_i32<4>},
};

}  // namespace

void matrix_semantics(SemanticsSink& sink) {
  sink.add(kMatrix);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

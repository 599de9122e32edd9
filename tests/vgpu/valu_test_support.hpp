// Owns: a wave without a machine around it, and instructions built by hand, for vector ALU tests.
// Does not own: decoding (the decoder has tests of its own).
// Threading: one test at a time.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <deque>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "vgpu/isa/semantics.hpp"
#include "vgpu/isa/wave.hpp"

namespace kiln::vgpu::isa::test {

inline constexpr std::uint16_t v(unsigned n) {
  return static_cast<std::uint16_t>(kVgpr0 + n);
}
inline constexpr std::uint16_t s(unsigned n) {
  return static_cast<std::uint16_t>(kSgpr0 + n);
}

inline std::uint32_t bits(float f) {
  return std::bit_cast<std::uint32_t>(f);
}
inline std::uint64_t bits(double d) {
  return std::bit_cast<std::uint64_t>(d);
}
inline float as_float(std::uint32_t b) {
  return std::bit_cast<float>(b);
}
inline double as_double(std::uint64_t b) {
  return std::bit_cast<double>(b);
}

/// MODE as compute kernels start: round to even, all denormals, DX10_CLAMP, IEEE.
inline constexpr std::uint32_t kComputeMode = 0x3f0;

class TestWave {
 public:
  explicit TestWave(Arch arch = Arch::Cdna3, unsigned lanes = 64) : rows_(kRegisterRows) {
    wave.arch = arch;
    wave.lanes = static_cast<std::uint8_t>(lanes);
    wave.mode = kComputeMode;
    wave.v = rows_.data();
    wave.vgpr_count = 512;
    wave.set_exec(~std::uint64_t{0});
  }

  std::uint32_t& reg(unsigned n, unsigned lane) { return rows_[n].lane[lane]; }
  std::uint64_t reg64(unsigned n, unsigned lane) {
    return rows_[n].lane[lane] | std::uint64_t{rows_[n + 1].lane[lane]} << 32;
  }
  void set64(unsigned n, unsigned lane, std::uint64_t value) {
    rows_[n].lane[lane] = static_cast<std::uint32_t>(value);
    rows_[n + 1].lane[lane] = static_cast<std::uint32_t>(value >> 32);
  }
  void fill(unsigned n, std::uint32_t value) {
    for (auto& lane : rows_[n].lane) lane = value;
  }
  std::vector<VectorRegister>& rows() { return rows_; }

  Wave wave;

 private:
  std::vector<VectorRegister> rows_;
};

/// The opcode row stays alive as long as the process: instructions point to it.
inline const Opcode* opcode(const std::string& name, Format format) {
  static std::deque<std::string> names;
  static std::deque<Opcode> rows;
  names.push_back(name);
  rows.push_back(Opcode{format, 0, names.back(), names.back()});
  return &rows.back();
}

inline Instruction make(const std::string& name, std::uint16_t dst,
                        std::initializer_list<std::uint16_t> sources,
                        Format format = Format::Vop3) {
  Instruction i;
  i.opcode = opcode(name, format);
  i.format = format;
  i.dst = dst;
  unsigned k = 0;
  for (const std::uint16_t source : sources) i.src[k++] = source;
  if (format == Format::Vop3p) i.op_sel_hi = 7;
  return i;
}

inline std::vector<Flavour> flavours() {
  std::vector<Flavour> all{Flavour::Base};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all.push_back(Flavour::Avx2);
  return all;
}

inline void run(TestWave& t, Instruction i, Flavour which) {
  const Handler handler = find_handler(which, i);
  ASSERT_NE(handler, nullptr) << i.opcode->semantics;
  i.execute = handler;
  handler(t.wave, i);
}

/// Numbers that break things, then random bits, a different one for each call.
class Inputs {
 public:
  explicit Inputs(std::uint32_t seed) : random_(seed) {}
  std::uint32_t f32() {
    static constexpr std::uint32_t kCorners[] = {
        0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x00000001,
        0x807fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x3f000000, 0x4b000001, 0xcf000000,
        0x4f000000, 0x4f800000, 0x33800000, 0x477fe000, 0x477ff000, 0x38800000, 0x387fc000};
    const std::uint32_t pick = random_() % 8;
    if (pick == 0) return kCorners[random_() % std::size(kCorners)];
    if (pick < 5) return bits((static_cast<float>(random_() % 2000001) - 1000000.0f) / 997.0f);
    const std::uint32_t any = random_();
    return (any & 0x7fffffff) > 0x7f800000 ? any & 0xbfffffff : any;
  }
  std::uint64_t f64() {
    if (random_() % 2 != 0) return bits(static_cast<double>(as_float(f32())) * 1.0000000001);
    const std::uint64_t any = u64();
    return (any & 0x7fffffffffffffff) > 0x7ff0000000000000 ? any & 0xbfffffffffffffff : any;
  }
  std::uint16_t f16() {
    static constexpr std::uint16_t kCorners[] = {0x0000, 0x8000, 0x3c00, 0xbc00, 0x7c00, 0xfc00,
                                                 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfbff, 0x3800};
    if (random_() % 8 == 0) return kCorners[random_() % std::size(kCorners)];
    const auto any = static_cast<std::uint16_t>(random_());
    return (any & 0x7fff) > 0x7c00 ? static_cast<std::uint16_t>(any & 0xbfff) : any;
  }
  std::uint32_t u32() {
    const std::uint32_t pick = random_() % 8;
    if (pick == 0) return random_() % 2 != 0 ? 0x7fffffffu : 0x80000000u;
    if (pick == 1) return random_() % 2 != 0 ? 0 : 0xffffffffu;
    if (pick < 4) return random_() % 100;
    return random_();
  }
  std::uint64_t u64() { return u32() | std::uint64_t{u32()} << 32; }
  std::uint32_t raw() { return random_(); }

 private:
  std::mt19937 random_;
};

inline constexpr std::uint64_t kSomeLanes = 0xa5c3f00f9600ff5a;  // a partial EXEC

}  // namespace kiln::vgpu::isa::test

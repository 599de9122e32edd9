// Owns: binary32, binary16 and binary64 arithmetic against references in wider arithmetic.
// Does not own: modifiers and modes (valu_forms_test.cpp).
// Threading: one test at a time.
#include <algorithm>
#include <cmath>
#include <functional>

#include "valu_test_support.hpp"

namespace kiln::vgpu::isa::test {
namespace {

using Quad = __float128;  // 113 bits: sums and products of binary64 round once more harmlessly

/// Rounds to a format of `precision` bits and least exponent `least`, to even; independent of the
/// code under test and of the host's conversions.
Quad round_to(Quad x, int precision, int least) {
  if (x != x || x == 0 || x - x != 0) return x;
  Quad magnitude = x < 0 ? -x : x;
  int exponent = 0;
  while (magnitude >= 2) magnitude /= 2, ++exponent;
  while (magnitude < 1) magnitude *= 2, --exponent;
  if (exponent < least) {
    for (int n = exponent; n < least; ++n) magnitude /= 2;
    exponent = least;
  }
  for (int n = 1; n < precision; ++n) magnitude *= 2;  // an integer and a fraction
  auto whole = static_cast<unsigned __int128>(magnitude);
  const Quad rest = magnitude - static_cast<Quad>(whole);
  if (rest > Quad(0.5) || (rest == Quad(0.5) && (whole & 1) != 0)) ++whole;
  Quad result = static_cast<Quad>(whole);
  for (int n = 1; n < precision; ++n) result /= 2;
  for (int n = 0; n < exponent; ++n) result *= 2;
  for (int n = exponent; n < 0; ++n) result /= 2;
  return x < 0 ? -result : result;
}

std::uint32_t to_f32(Quad x) {
  const Quad r = round_to(x, 24, -126);
  if (r > Quad(3.4028234663852886e38)) return 0x7f800000;
  if (r < Quad(-3.4028234663852886e38)) return 0xff800000;
  return bits(static_cast<float>(r));
}
std::uint16_t to_f16(Quad x) {
  if (x != x) return 0x7e00;
  const Quad r = round_to(x, 11, -14);
  const bool negative = std::signbit(static_cast<double>(x));
  const double magnitude = std::fabs(static_cast<double>(r));
  const std::uint16_t sign = negative ? 0x8000 : 0;
  if (magnitude > 65504.0) return sign | 0x7c00;
  if (magnitude < 0x1p-14)
    return static_cast<std::uint16_t>(sign | static_cast<int>(magnitude * 0x1p24));
  int exponent = 0;
  const double m = std::frexp(magnitude, &exponent);
  return static_cast<std::uint16_t>(sign | (exponent + 14) << 10 |
                                    (static_cast<int>(m * 2048) & 0x3ff));
}
double of_f16(std::uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 0x3ff;
  double m = exponent == 0    ? std::ldexp(mantissa, -24)
             : exponent == 31 ? (mantissa == 0 ? INFINITY : NAN)
                              : std::ldexp(mantissa + 1024, exponent - 25);
  return (h & 0x8000) != 0 ? -m : m;
}

template <class Ref>
void check_f32(const char* name, unsigned sources, Ref reference) {
  for (const Flavour which : flavours()) {
    for (unsigned round = 0; round < 40; ++round) {
      TestWave t(round % 2 != 0 ? Arch::Rdna3 : Arch::Cdna3);
      Inputs in(round + 11);
      t.wave.set_exec(round % 4 == 0 ? ~std::uint64_t{0} : kSomeLanes);
      t.wave.s[5] = in.f32();
      for (unsigned lane = 0; lane < 64; ++lane) {
        for (unsigned n = 0; n < 3; ++n) t.reg(n, lane) = in.f32();
        t.reg(9, lane) = 0xdead0000 + lane;
      }
      const bool scalar = round % 8 == 3;
      const std::uint16_t first = scalar ? s(5) : v(0);
      Instruction i = make(name, v(9), {});
      const std::uint16_t operands[] = {first, v(1), v(2)};
      for (unsigned k = 0; k < sources; ++k) i.src[k] = operands[k];
      run(t, i, which);
      for (unsigned lane = 0; lane < 64; ++lane) {
        if ((t.wave.exec() >> lane & 1) == 0) {
          ASSERT_EQ(t.reg(9, lane), 0xdead0000 + lane) << name << ": inactive lane written";
          continue;
        }
        const float a = as_float(scalar ? t.wave.s[5] : t.reg(0, lane));
        const float b = as_float(t.reg(1, lane)), c = as_float(t.reg(2, lane));
        const std::uint32_t expected = reference(a, b, c);
        const std::uint32_t got = t.reg(9, lane);
        if (std::isnan(as_float(expected))) {
          ASSERT_TRUE(std::isnan(as_float(got))) << name << " " << a << " " << b << " " << c;
        } else {
          ASSERT_EQ(got, expected) << name << " " << a << " " << b << " " << c;
        }
      }
    }
  }
}

/// The sum of signed zeros and infinities is the host's affair; the rounding is ours.
Quad sum(Quad a, Quad b) {
  return a + b;
}

TEST(ValuF32, AddSubtractMultiply) {
  check_f32("v_add_f32", 2,
            [](float a, float b, float) { return a + b == 0 ? bits(a + b) : to_f32(sum(a, b)); });
  check_f32("v_sub_f32", 2, [](float a, float b, float) {
    return a - b == 0 ? bits(a - b) : to_f32(sum(a, -Quad(b)));
  });
  check_f32("v_subrev_f32", 2, [](float a, float b, float) {
    return b - a == 0 ? bits(b - a) : to_f32(sum(b, -Quad(a)));
  });
  check_f32("v_mul_f32", 2, [](float a, float b, float) {
    return a * b == 0 ? bits(a * b) : to_f32(Quad(a) * Quad(b));
  });
}

TEST(ValuF32, FusedMultiplyAdd) {
  const auto fma = [](float a, float b, float c) {
    const Quad exact = Quad(a) * b + c;
    if (exact == 0 || exact - exact != 0) return bits(std::fma(a, b, c));
    return to_f32(exact);
  };
  check_f32("v_fma_f32", 3, fma);
  check_f32("v_fmaak_f32", 3, fma);
}

TEST(ValuF32, AccumulatorIsTheDestination) {
  for (const Flavour which : flavours()) {
    TestWave t;
    for (unsigned lane = 0; lane < 64; ++lane) {
      t.reg(0, lane) = bits(static_cast<float>(lane));
      t.reg(1, lane) = bits(3.0f);
      t.reg(2, lane) = bits(1000.0f - static_cast<float>(lane));
    }
    run(t, make("v_fmac_f32", v(2), {v(0), v(1)}, Format::Vop2), which);
    for (unsigned lane = 0; lane < 64; ++lane) {
      EXPECT_EQ(as_float(t.reg(2, lane)), 1000.0f + 2.0f * static_cast<float>(lane));
    }
  }
}

TEST(ValuF32, LegacyZero) {
  // DX9 rules (AMD RDNA3 ISA, V_MUL_DX9_ZERO_F32): 0 * anything is +0, NaN and infinity included.
  check_f32("v_mul_dx9_zero_f32", 2, [](float a, float b, float) {
    return a == 0 || b == 0 ? 0u : a * b == 0 ? bits(a * b) : to_f32(Quad(a) * b);
  });
  for (const Flavour which : flavours()) {
    TestWave t(Arch::Rdna3);
    t.fill(0, 0x7fc00000);
    t.fill(1, 0x80000000);
    run(t, make("v_mul_dx9_zero_f32", v(2), {v(0), v(1)}), which);
    EXPECT_EQ(t.reg(2, 7), 0u);
    t.fill(3, bits(-7.0f));
    run(t, make("v_fma_dx9_zero_f32", v(2), {v(0), v(1), v(3)}), which);
    EXPECT_EQ(t.reg(2, 7), bits(-7.0f));
  }
}

struct MinMax {
  std::uint32_t a, b, min, max;
  bool ieee;
  Arch arch;
};

TEST(ValuF32, MinimumAndMaximumOfSpecials) {
  // From the pseudocode of V_MIN_F32 and V_MAX_F32 in the CDNA3 and RDNA3 ISA documents.
  constexpr std::uint32_t kQuiet = 0x7fc00001, kOther = 0x7fc00002, kSignal = 0x7f800001;
  constexpr std::uint32_t kOne = 0x3f800000, kMinusZero = 0x80000000;
  constexpr Arch kC = Arch::Cdna3, kR = Arch::Rdna3;
  const MinMax rows[] = {
      {kQuiet, kOne, kOne, kOne, true, kC},
      {kOne, kQuiet, kOne, kOne, true, kC},
      {kQuiet, kOne, kOne, kOne, true, kR},
      {kOne, kQuiet, kOne, kOne, true, kR},
      {kSignal, kOne, 0x7fc00001, 0x7fc00001, true, kC},
      {kOne, kSignal, 0x7fc00001, 0x7fc00001, true, kR},
      {kSignal, kOne, kOne, kOne, false, kC},
      {kOne, kSignal, kOne, kOne, false, kR},
      {kQuiet, kOther, kOther, kOther, true, kC},
      {kQuiet, kOther, kQuiet, kQuiet, true, kR},
      {0, kMinusZero, kMinusZero, 0, true, kC},
      {kMinusZero, 0, kMinusZero, 0, true, kR},
      {0xff800000, kOne, 0xff800000, kOne, true, kC},
      {0x00000001, 0x80000001, 0x80000001, 0x00000001, true, kC},
  };
  for (const Flavour which : flavours()) {
    for (const MinMax& row : rows) {
      TestWave t(row.arch);
      t.wave.mode = row.ieee ? 0x3f0 : 0x1f0;
      t.fill(0, row.a);
      t.fill(1, row.b);
      run(t, make("v_min_f32", v(2), {v(0), v(1)}), which);
      run(t, make("v_max_f32", v(3), {v(0), v(1)}), which);
      EXPECT_EQ(t.reg(2, 5), row.min) << std::hex << row.a << " " << row.b;
      EXPECT_EQ(t.reg(3, 5), row.max) << std::hex << row.a << " " << row.b;
    }
  }
}

TEST(ValuF32, ThreeOperandOrder) {
  const auto order = [](float a, float b, float c) {
    std::array<float, 3> all{a, b, c};
    std::sort(all.begin(), all.end(), [](float x, float y) {
      return x < y || (x == y && std::signbit(x) && !std::signbit(y));
    });
    return all;
  };
  check_f32("v_min3_f32", 3, [&](float a, float b, float c) { return bits(order(a, b, c)[0]); });
  check_f32("v_max3_f32", 3, [&](float a, float b, float c) { return bits(order(a, b, c)[2]); });
  check_f32("v_minmax_f32", 3,
            [&](float a, float b, float c) { return bits(order(order(a, b, b)[0], c, c)[2]); });
  check_f32("v_maxmin_f32", 3,
            [&](float a, float b, float c) { return bits(order(order(a, b, b)[2], c, c)[0]); });
}

TEST(ValuF32, Median) {
  for (const Flavour which : flavours()) {
    TestWave t;
    const float rows[][4] = {
        {1, 2, 3, 2}, {3, 1, 2, 2}, {2, 3, 1, 2}, {5, 5, 1, 5}, {-1, 7, -9, -1}};
    for (unsigned n = 0; n < 5; ++n) {
      for (unsigned k = 0; k < 3; ++k) t.reg(k, n) = bits(rows[n][k]);
    }
    t.reg(0, 5) = 0x7fc00000, t.reg(1, 5) = bits(4.0f), t.reg(2, 5) = bits(-4.0f);
    run(t, make("v_med3_f32", v(3), {v(0), v(1), v(2)}), which);
    for (unsigned n = 0; n < 5; ++n) EXPECT_EQ(as_float(t.reg(3, n)), rows[n][3]) << n;
    EXPECT_EQ(as_float(t.reg(3, 5)), -4.0f);  // with a NaN it is the minimum
  }
}

template <class Ref>
void check_f16(const char* name, unsigned sources, Ref reference) {
  for (const Flavour which : flavours()) {
    for (unsigned round = 0; round < 200; ++round) {
      TestWave t(round % 2 != 0 ? Arch::Rdna3 : Arch::Cdna3);
      Inputs in(round + 77);
      for (unsigned lane = 0; lane < 64; ++lane) {
        for (unsigned n = 0; n < 3; ++n) t.reg(n, lane) = in.f16() | 0xabcd0000;
        // Sums near a tie of the product: what a second rounding would get wrong.
        if (round % 4 == 0) t.reg(2, lane) = 0xabcd0001 + (in.raw() & 0x8003);
        t.reg(9, lane) = 0x12345678;
      }
      Instruction i = make(name, v(9), {});
      const std::uint16_t operands[] = {v(0), v(1), v(2)};
      for (unsigned k = 0; k < sources; ++k) i.src[k] = operands[k];
      run(t, i, which);
      for (unsigned lane = 0; lane < 64; ++lane) {
        const double a = of_f16(static_cast<std::uint16_t>(t.reg(0, lane)));
        const double b = of_f16(static_cast<std::uint16_t>(t.reg(1, lane)));
        const double c = of_f16(static_cast<std::uint16_t>(t.reg(2, lane)));
        const double exact = reference(a, b, c);  // exact, or inf, NaN, signed zero
        const std::uint32_t got = t.reg(9, lane);
        // gfx9 clears the upper half, gfx11 keeps it (LLVM, zeroesHigh16BitsOfDest).
        ASSERT_EQ(got >> 16, t.wave.arch == Arch::Cdna3 ? 0u : 0x1234u);
        if (std::isnan(exact)) {
          ASSERT_GT(got & 0x7fff, 0x7c00u) << name;
        } else {
          const std::uint16_t expected =
              std::isinf(exact) ? (exact > 0 ? 0x7c00 : 0xfc00) : to_f16(exact);
          ASSERT_EQ(got & 0xffff, expected) << name << " " << a << " " << b << " " << c;
        }
      }
    }
  }
}

TEST(ValuF16, Arithmetic) {
  check_f16("v_add_f16", 2, [](double a, double b, double) { return a + b; });
  check_f16("v_sub_f16", 2, [](double a, double b, double) { return a - b; });
  check_f16("v_subrev_f16", 2, [](double a, double b, double) { return b - a; });
  check_f16("v_mul_f16", 2, [](double a, double b, double) { return a * b; });
  check_f16("v_min_f16", 2, [](double a, double b, double) {
    return a < b || (a == b && std::signbit(a)) ? a : b;
  });
  check_f16("v_floor_f16", 1, [](double a, double, double) { return std::floor(a); });
  check_f16("v_rndne_f16", 1, [](double a, double, double) { return std::nearbyint(a); });
}

TEST(ValuF16, FusedMultiplyAddRoundsOnce) {
  for (const Flavour which : flavours()) {
    std::mt19937 random(5);
    for (unsigned round = 0; round < 2000; ++round) {
      TestWave t(Arch::Rdna3);
      Inputs in(round);
      for (unsigned lane = 0; lane < 64; ++lane) {
        for (unsigned n = 0; n < 3; ++n) t.reg(n, lane) = in.f16();
      }
      run(t, make("v_fma_f16", v(9), {v(0), v(1), v(2)}), which);
      for (unsigned lane = 0; lane < 64; ++lane) {
        const Quad a = of_f16(static_cast<std::uint16_t>(t.reg(0, lane)));
        const Quad b = of_f16(static_cast<std::uint16_t>(t.reg(1, lane)));
        const Quad c = of_f16(static_cast<std::uint16_t>(t.reg(2, lane)));
        const Quad exact = a * b + c;
        const std::uint32_t got = t.reg(9, lane) & 0xffff;
        if (exact != exact) {
          ASSERT_GT(got & 0x7fff, 0x7c00u);
        } else if (exact == 0) {
          ASSERT_EQ(got & 0x7fff, 0u);
        } else {
          ASSERT_EQ(got, to_f16(exact)) << static_cast<double>(a) << " * " << static_cast<double>(b)
                                        << " + " << static_cast<double>(c);
        }
      }
    }
  }
}

TEST(ValuF64, Arithmetic) {
  struct Row {
    const char* name;
    unsigned sources;
    std::function<double(double, double, double)> reference;
  };
  const Row rows[] = {
      {"v_add_f64", 2, [](double a, double b, double) { return static_cast<double>(Quad(a) + b); }},
      {"v_mul_f64", 2, [](double a, double b, double) { return static_cast<double>(Quad(a) * b); }},
      {"v_fma_f64", 3, [](double a, double b, double c) { return std::fma(a, b, c); }},
      {"v_floor_f64", 1, [](double a, double, double) { return std::floor(a); }},
      {"v_ceil_f64", 1, [](double a, double, double) { return std::ceil(a); }},
      {"v_trunc_f64", 1, [](double a, double, double) { return std::trunc(a); }},
      {"v_rndne_f64", 1, [](double a, double, double) { return std::nearbyint(a); }},
      {"v_sqrt_f64", 1, [](double a, double, double) { return std::sqrt(a); }},
      {"v_rcp_f64", 1, [](double a, double, double) { return 1 / a; }},
      {"v_max_f64", 2,
       [](double a, double b, double) { return a > b || (a == b && !std::signbit(a)) ? a : b; }},
      {"v_frexp_mant_f64", 1,
       [](double a, double, double) {
         int e;
         return std::frexp(a, &e);
       }},
  };
  for (const Flavour which : flavours()) {
    for (const Row& row : rows) {
      for (unsigned round = 0; round < 20; ++round) {
        TestWave t;
        Inputs in(round + 3);
        t.wave.set_exec(round % 2 != 0 ? kSomeLanes : ~std::uint64_t{0});
        for (unsigned lane = 0; lane < 64; ++lane) {
          for (unsigned n = 0; n < 8; n += 2) t.set64(n, lane, in.f64());
        }
        const TestWave before = t;
        Instruction i = make(row.name, v(6), {});
        const std::uint16_t operands[] = {v(0), v(2), v(4)};
        for (unsigned k = 0; k < row.sources; ++k) i.src[k] = operands[k];
        run(t, i, which);
        for (unsigned lane = 0; lane < 64; ++lane) {
          if ((t.wave.exec() >> lane & 1) == 0) {
            ASSERT_EQ(t.reg64(6, lane), const_cast<TestWave&>(before).reg64(6, lane));
            continue;
          }
          const double a = as_double(t.reg64(0, lane)), b = as_double(t.reg64(2, lane));
          const double c = as_double(t.reg64(4, lane));
          const double expected = row.reference(a, b, c);
          if (std::isnan(expected)) {
            ASSERT_TRUE(std::isnan(as_double(t.reg64(6, lane)))) << row.name << " " << a;
          } else {
            ASSERT_EQ(t.reg64(6, lane), bits(expected)) << row.name << " " << a << " " << b;
          }
        }
      }
    }
  }
}

TEST(ValuPacked, HalvesWithSelectionAndNegation) {
  for (const Flavour which : flavours()) {
    TestWave t;
    t.fill(0, 0x40003c00);  // 2, 1
    t.fill(1, 0x45004200);  // 5, 3
    Instruction i = make("v_pk_add_f16", v(2), {v(0), v(1)}, Format::Vop3p);
    i.op_sel = 1;     // low: S0.high + S1.low
    i.op_sel_hi = 2;  // high: S0.low + S1.high
    i.neg = 2;        // low: - S1
    i.abs = 1;        // high: - S0
    run(t, i, which);
    EXPECT_EQ(t.reg(2, 63), 0x4400bc00u);  // 5 - 1 = 4, 2 - 3 = -1

    // Constants: a binary16 constant is in the low half, so op_sel_hi = 0 repeats it.
    Instruction k = make("v_pk_mul_f16", v(3), {v(0), std::uint16_t{kHalf + 4}}, Format::Vop3p);
    k.op_sel_hi = 1;
    run(t, k, which);
    EXPECT_EQ(t.reg(3, 0), 0x44004000u);  // 4, 2

    Instruction m = make("v_pk_fma_f16", v(4), {v(0), v(1), v(1)}, Format::Vop3p);
    run(t, m, which);
    EXPECT_EQ(t.reg(4, 9), 0x4b804600u);  // 2*5+5 = 15, 1*3+3 = 6
  }
}

TEST(ValuPacked, PairsOfBinary32) {
  for (const Flavour which : flavours()) {
    TestWave t;
    for (unsigned lane = 0; lane < 64; ++lane) {
      t.reg(0, lane) = bits(1.0f + static_cast<float>(lane));
      t.reg(1, lane) = bits(100.0f);
      t.reg(2, lane) = bits(10.0f);
      t.reg(3, lane) = bits(20.0f);
    }
    t.wave.set_exec(~std::uint64_t{0} ^ 2);
    // In place: the second half must not see the first half's result.
    Instruction i = make("v_pk_add_f32", v(0), {v(0), v(2)}, Format::Vop3p);
    i.op_sel_hi = 2;  // high: S0.low + S1.high
    i.neg = 2;        // low: S0.low - S1.low
    run(t, i, which);
    EXPECT_EQ(as_float(t.reg(0, 5)), 6.0f - 10.0f);
    EXPECT_EQ(as_float(t.reg(1, 5)), 6.0f + 20.0f);
    EXPECT_EQ(as_float(t.reg(0, 1)), 2.0f);
    EXPECT_EQ(as_float(t.reg(1, 1)), 100.0f);
    t.wave.s[4] = bits(2.0f), t.wave.s[5] = bits(3.0f);
    run(t, make("v_pk_mul_f32", v(6), {v(2), s(4)}, Format::Vop3p), which);
    EXPECT_EQ(as_float(t.reg(6, 0)), 20.0f);
    EXPECT_EQ(as_float(t.reg(7, 0)), 60.0f);
    Instruction move = make("v_pk_mov_b32", v(2), {v(2), v(0)}, Format::Vop3p);
    move.op_sel = 1;  // low: S0.high, high: S1.low
    run(t, move, which);
    EXPECT_EQ(as_float(t.reg(2, 5)), 20.0f);
    EXPECT_EQ(as_float(t.reg(3, 5)), -4.0f);
  }
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

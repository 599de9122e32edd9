// Owns: functions of one operand within their documented accuracy, exponent handling, and division
//   as compilers expand it.
// Does not own: add and multiply (valu_float_test.cpp).
// Threading: one test at a time.
#include <cmath>

#include "valu_test_support.hpp"

namespace kiln::vgpu::isa::test {
namespace {

bool flushed(float f) {
  return f != 0 && std::fabs(f) < 0x1p-126f;
}

/// Within one unit in the last place of the exact value, which is given to long double precision.
void expect_close(const char* name, float x, float got, long double exact) {
  if (std::isnan(static_cast<double>(exact))) {
    EXPECT_TRUE(std::isnan(got)) << name << " " << x;
    return;
  }
  const float nearest = static_cast<float>(exact);
  if (std::isinf(nearest) || nearest == 0) {
    EXPECT_EQ(got, nearest) << name << " " << x;
    return;
  }
  if (flushed(nearest)) {
    EXPECT_LE(std::fabs(got), 0x1p-126f) << name << " " << x;
    return;
  }
  const long double ulp = std::ldexp(1.0L, std::max(std::ilogb(nearest), -126) - 23);
  EXPECT_LE(std::fabs(got - exact), ulp) << name << " " << x << " " << got;
}

struct Function {
  const char* name;
  long double (*exact)(long double);
  float low, high;
};

TEST(ValuMath, WithinOneUlp) {
  const Function rows[] = {
      {"v_rcp_f32", [](long double x) { return 1 / x; }, -1e30f, 1e30f},
      {"v_rsq_f32", [](long double x) { return 1 / std::sqrt(x); }, 0.0f, 1e30f},
      {"v_sqrt_f32", [](long double x) { return std::sqrt(x); }, 0.0f, 1e30f},
      {"v_exp_f32", [](long double x) { return std::exp2(x); }, -140.0f, 135.0f},
      {"v_log_f32", [](long double x) { return std::log2(x); }, 0.0f, 1e30f},
  };
  for (const Flavour which : flavours()) {
    for (const Function& row : rows) {
      std::mt19937 random(3);
      for (unsigned round = 0; round < 100; ++round) {
        TestWave t;
        for (unsigned lane = 0; lane < 64; ++lane) {
          const float u = static_cast<float>(random()) / 4294967296.0f;
          float x = row.low + (row.high - row.low) * u;
          if (lane % 2 != 0) x = std::ldexp(u + 0.5f, static_cast<int>(random() % 60) - 30);
          if (lane % 8 == 3) x = 1.0f + (u - 0.5f) * 0x1p-10f;  // where log2 cancels
          t.reg(0, lane) = bits(x);
        }
        run(t, make(row.name, v(1), {v(0)}), which);
        for (unsigned lane = 0; lane < 64; ++lane) {
          const float x = as_float(t.reg(0, lane));
          expect_close(row.name, x, as_float(t.reg(1, lane)), row.exact(x));
        }
      }
    }
  }
}

TEST(ValuMath, SpecialValues) {
  constexpr std::uint32_t kInf = 0x7f800000, kNan = 0x7fc00000, kMinusInf = 0xff800000;
  constexpr std::uint32_t kMinusZero = 0x80000000, kOne = 0x3f800000;
  struct Row {
    const char* name;
    std::uint32_t in, out;
  };
  const Row rows[] = {
      {"v_rcp_f32", 0, kInf},
      {"v_rcp_f32", kMinusZero, kMinusInf},
      {"v_rcp_f32", kInf, 0},
      {"v_rcp_f32", kMinusInf, kMinusZero},
      {"v_rcp_f32", kNan, kNan},
      {"v_rcp_f32", 0x40000000, 0x3f000000},
      {"v_rcp_f32", 0x00000001, kInf},  // a denormal counts as zero
      {"v_rsq_f32", 0, kInf},
      {"v_rsq_f32", kMinusZero, kMinusInf},
      {"v_rsq_f32", 0xbf800000, kNan},
      {"v_rsq_f32", kInf, 0},
      {"v_sqrt_f32", 0, 0},
      {"v_sqrt_f32", kMinusZero, kMinusZero},
      {"v_sqrt_f32", 0xbf800000, kNan},
      {"v_sqrt_f32", kInf, kInf},
      {"v_exp_f32", 0, kOne},
      {"v_exp_f32", kMinusInf, 0},
      {"v_exp_f32", kInf, kInf},
      {"v_exp_f32", kNan, kNan},
      {"v_exp_f32", 0x43000000, kInf},
      {"v_exp_f32", 0xc3180000, 0},
      {"v_exp_f32", 0x40400000, 0x41000000},
      {"v_log_f32", 0, kMinusInf},
      {"v_log_f32", kMinusZero, kMinusInf},
      {"v_log_f32", kOne, 0},
      {"v_log_f32", kInf, kInf},
      {"v_log_f32", 0xbf800000, kNan},
      {"v_log_f32", 0x41000000, 0x40400000},
      {"v_sin_f32", 0, 0},
      {"v_sin_f32", kMinusZero, kMinusZero},
      {"v_sin_f32", 0x3e800000, kOne},
      {"v_sin_f32", 0x3f000000, 0},
      {"v_sin_f32", kInf, kNan},
      {"v_cos_f32", 0, kOne},
      {"v_cos_f32", 0x3f000000, 0xbf800000},
      {"v_cos_f32", 0x3e800000, 0},
      {"v_cos_f32", 0x44000000, kOne},
      {"v_sin_f32", 0x44000000, 0},  // beyond 256 turns
      {"v_fract_f32", 0xbe800000, 0x3f400000},
      {"v_fract_f32", 0x80000001, 0x3f7fffff},
      {"v_trunc_f32", 0xbf000000, kMinusZero},
      {"v_ceil_f32", 0xbf000000, kMinusZero},
      {"v_floor_f32", 0x80000001, 0xbf800000},
      {"v_rndne_f32", 0x3f000000, 0},
      {"v_rndne_f32", 0x3fc00000, 0x40000000},
      {"v_rndne_f32", 0xc0200000, 0xc0000000},
      {"v_rndne_f32", 0x4b000001, 0x4b000001},
      {"v_frexp_mant_f32", 0xc0400000, 0xbf400000},
      {"v_frexp_mant_f32", 0, 0},
      {"v_frexp_mant_f32", 1, 0x3f000000},
      {"v_frexp_mant_f32", kMinusInf, kNan | 1u << 31},
      {"v_frexp_exp_i32_f32", 0xc0400000, 2},
      {"v_frexp_exp_i32_f32", 0, 0},
      {"v_frexp_exp_i32_f32", 1, 0xffffff6c},
      {"v_frexp_exp_i32_f32", kInf, 0},
  };
  for (const Flavour which : flavours()) {
    for (const Row& row : rows) {
      TestWave t;
      t.fill(0, row.in);
      run(t, make(row.name, v(1), {v(0)}), which);
      const std::uint32_t got = t.reg(1, 31);
      if (std::string(row.name) == "v_frexp_mant_f32" && row.in == kMinusInf) {
        EXPECT_EQ(got, kMinusInf);  // infinities and NaNs pass
      } else if (row.out == kNan) {
        EXPECT_TRUE(std::isnan(as_float(got))) << row.name << std::hex << " " << row.in;
      } else {
        EXPECT_EQ(got, row.out) << row.name << std::hex << " " << row.in;
      }
    }
  }
}

TEST(ValuMath, TrigonometryInTurns) {
  const long double two_pi = 6.283185307179586476925286766559L;
  for (const Flavour which : flavours()) {
    std::mt19937 random(9);
    for (unsigned round = 0; round < 50; ++round) {
      TestWave t;
      for (unsigned lane = 0; lane < 64; ++lane) {
        const float u = static_cast<float>(random()) / 4294967296.0f * 2 - 1;
        t.reg(0, lane) = bits(lane % 3 == 0 ? u * 256.0f : u);
      }
      run(t, make("v_sin_f32", v(1), {v(0)}), which);
      run(t, make("v_cos_f32", v(2), {v(0)}), which);
      for (unsigned lane = 0; lane < 64; ++lane) {
        const long double x = as_float(t.reg(0, lane));
        const long double turn = x - std::nearbyint(x);
        EXPECT_NEAR(as_float(t.reg(1, lane)), static_cast<double>(std::sin(turn * two_pi)),
                    0x1p-24);
        EXPECT_NEAR(as_float(t.reg(2, lane)), static_cast<double>(std::cos(turn * two_pi)),
                    0x1p-24);
      }
    }
  }
}

TEST(ValuMath, LoadExponentRoundsOnce) {
  for (const Flavour which : flavours()) {
    for (unsigned round = 0; round < 100; ++round) {
      TestWave t;
      Inputs in(round);
      for (unsigned lane = 0; lane < 64; ++lane) {
        t.reg(0, lane) = in.f32();
        t.set64(2, lane, in.f64());
        t.reg(1, lane) = static_cast<std::uint32_t>(static_cast<int>(in.raw() % 700) - 350);
        t.reg(6, lane) = static_cast<std::uint32_t>(static_cast<int>(in.raw() % 4400) - 2200);
      }
      t.reg(1, 0) = 0x7fffffff, t.reg(1, 1) = 0x80000000;
      t.reg(6, 0) = 0x7fffffff, t.reg(6, 1) = 0x80000000;
      run(t, make("v_ldexp_f32", v(8), {v(0), v(1)}), which);
      run(t, make("v_ldexp_f64", v(10), {v(2), v(6)}), which);
      for (unsigned lane = 0; lane < 64; ++lane) {
        const int power = static_cast<int>(t.reg(1, lane)), wide = static_cast<int>(t.reg(6, lane));
        ASSERT_EQ(t.reg(8, lane), bits(std::ldexp(as_float(t.reg(0, lane)), power)))
            << as_float(t.reg(0, lane)) << " " << power;
        ASSERT_EQ(t.reg64(10, lane), bits(std::ldexp(as_double(t.reg64(2, lane)), wide)))
            << as_double(t.reg64(2, lane)) << " " << wide;
      }
    }
  }
}

// The sequences LLVM makes of an IEEE division (SITargetLowering::LowerFDIV32 and LowerFDIV64): if
// v_div_scale, v_div_fmas and v_div_fixup fit together, the quotient is correctly rounded.
void divide32(TestWave& t, Flavour which) {
  const auto neg0 = [](Instruction i) {
    i.neg = 1;
    return i;
  };
  Instruction denominator = make("v_div_scale_f32", v(2), {v(1), v(1), v(0)});
  denominator.sdst = s(40);
  run(t, denominator, which);
  Instruction numerator = make("v_div_scale_f32", v(3), {v(0), v(1), v(0)});
  numerator.sdst = kVccLo;
  run(t, numerator, which);
  run(t, make("v_rcp_f32", v(4), {v(2)}), which);
  run(t, neg0(make("v_fma_f32", v(5), {v(2), v(4), std::uint16_t{kHalf + 2}})), which);
  run(t, make("v_fma_f32", v(6), {v(5), v(4), v(4)}), which);
  run(t, make("v_mul_f32", v(7), {v(3), v(6)}), which);
  run(t, neg0(make("v_fma_f32", v(8), {v(2), v(7), v(3)})), which);
  run(t, make("v_fma_f32", v(9), {v(8), v(6), v(7)}), which);
  run(t, neg0(make("v_fma_f32", v(10), {v(2), v(9), v(3)})), which);
  run(t, make("v_div_fmas_f32", v(11), {v(10), v(6), v(9)}), which);
  run(t, make("v_div_fixup_f32", v(12), {v(11), v(1), v(0)}), which);
}

void divide64(TestWave& t, Flavour which) {
  const auto neg0 = [](Instruction i) {
    i.neg = 1;
    return i;
  };
  const std::uint16_t one = kHalf + 2;
  Instruction denominator = make("v_div_scale_f64", v(4), {v(2), v(2), v(0)});
  denominator.sdst = s(40);
  run(t, denominator, which);
  run(t, make("v_rcp_f64", v(6), {v(4)}), which);
  run(t, neg0(make("v_fma_f64", v(8), {v(4), v(6), one})), which);
  run(t, make("v_fma_f64", v(6), {v(6), v(8), v(6)}), which);
  run(t, neg0(make("v_fma_f64", v(8), {v(4), v(6), one})), which);
  run(t, make("v_fma_f64", v(6), {v(6), v(8), v(6)}), which);
  Instruction numerator = make("v_div_scale_f64", v(8), {v(0), v(2), v(0)});
  numerator.sdst = kVccLo;
  run(t, numerator, which);
  run(t, make("v_mul_f64", v(10), {v(8), v(6)}), which);
  run(t, neg0(make("v_fma_f64", v(4), {v(4), v(10), v(8)})), which);
  run(t, make("v_div_fmas_f64", v(4), {v(4), v(6), v(10)}), which);
  run(t, make("v_div_fixup_f64", v(12), {v(4), v(2), v(0)}), which);
}

TEST(ValuDivision, Binary32IsCorrectlyRounded) {
  for (const Flavour which : flavours()) {
    std::mt19937 random(17);
    for (unsigned round = 0; round < 600; ++round) {
      TestWave t;
      Inputs in(round);
      for (unsigned lane = 0; lane < 64; ++lane) {
        t.reg(0, lane) = in.f32();
        t.reg(1, lane) = in.f32();
        if (lane % 4 == 0) t.reg(0, lane) = (random() & 0x80ffffff) | 0x00000001;  // tiny
        if (lane % 8 == 1) t.reg(1, lane) = (random() & 0x80ffffff) | 0x7e000000;  // huge
      }
      divide32(t, which);
      for (unsigned lane = 0; lane < 64; ++lane) {
        const float a = as_float(t.reg(0, lane)), b = as_float(t.reg(1, lane));
        if (std::isnan(a / b)) {
          ASSERT_TRUE(std::isnan(as_float(t.reg(12, lane)))) << a << " / " << b;
        } else {
          ASSERT_EQ(t.reg(12, lane), bits(a / b)) << a << " / " << b;
        }
      }
    }
  }
}

TEST(ValuDivision, Binary64IsCorrectlyRounded) {
  for (const Flavour which : flavours()) {
    std::mt19937_64 random(23);
    for (unsigned round = 0; round < 300; ++round) {
      TestWave t;
      Inputs in(round);
      for (unsigned lane = 0; lane < 64; ++lane) {
        t.set64(0, lane, in.f64());
        t.set64(2, lane, in.f64());
        if (lane % 4 == 0) t.set64(0, lane, (random() & 0x807fffffffffffff) | 1);
        if (lane % 8 == 1) t.set64(2, lane, (random() & 0x801fffffffffffff) | 0x7fc0000000000000);
      }
      divide64(t, which);
      for (unsigned lane = 0; lane < 64; ++lane) {
        const double a = as_double(t.reg64(0, lane)), b = as_double(t.reg64(2, lane));
        if (std::isnan(a / b)) {
          ASSERT_TRUE(std::isnan(as_double(t.reg64(12, lane)))) << a << " / " << b;
        } else {
          ASSERT_EQ(t.reg64(12, lane), bits(a / b)) << a << " / " << b;
        }
      }
    }
  }
}

TEST(ValuMath, TrigPreopGivesTwoOverPi) {
  // Segment n holds bits 53n..53n+52 of 2/pi; the first three rebuild it to 159 bits.
  for (const Flavour which : flavours()) {
    TestWave t;
    for (unsigned lane = 0; lane < 64; ++lane) t.set64(0, lane, bits(1.0));
    long double sum = 0;
    for (unsigned segment = 0; segment < 3; ++segment) {
      run(t, make("v_trig_preop_f64", v(4), {v(0), static_cast<std::uint16_t>(kInt0 + segment)}),
          which);
      sum += as_double(t.reg64(4, 3));
    }
    EXPECT_EQ(sum, 0.63661977236758134307553505349005744813783858296182579L);
  }
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

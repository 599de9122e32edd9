// Owns: integer, bit, 16-bit, packed, dot-product and comparison semantics against plain
// references. Does not own: operand forms (valu_forms_test.cpp). Threading: one test at a time.
#include <algorithm>
#include <cmath>
#include <functional>

#include "valu_test_support.hpp"

namespace kiln::vgpu::isa::test {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;
using i32 = std::int32_t;

struct Row {
  const char* name;
  unsigned sources;
  std::function<u32(u32, u32, u32)> reference;
  bool clamp = false;
  Format format = Format::Vop3;
};

i64 s24(u32 v) {
  return static_cast<i32>(v << 8) >> 8;
}
u32 saturate(i64 v) {
  return v < 0 ? 0 : v > 0xffffffffll ? 0xffffffffu : static_cast<u32>(v);
}
u32 saturate_signed(i64 v) {
  return static_cast<u32>(std::clamp<i64>(v, -0x80000000ll, 0x7fffffffll));
}
i64 sx(u32 v) {
  return static_cast<i32>(v);
}
u32 sad8(u32 a, u32 b, bool masked) {
  u32 sum = 0;
  for (int n = 0; n < 32; n += 8) {
    const int x = a >> n & 255, y = b >> n & 255;
    if (!masked || y != 0) sum += static_cast<u32>(std::abs(x - y));
  }
  return sum;
}
u32 dot(u32 a, u32 b, int width, bool sa, bool sb, u32 c) {
  i64 sum = 0;
  for (int n = 0; n < 32; n += width) {
    i64 x = a >> n & ((1u << width) - 1), y = b >> n & ((1u << width) - 1);
    if (sa && (x >> (width - 1)) != 0) x -= i64{1} << width;
    if (sb && (y >> (width - 1)) != 0) y -= i64{1} << width;
    sum += x * y;
  }
  return static_cast<u32>(static_cast<u64>(sum)) + c;
}
// A pair of 16-bit results from a function of the two halves.
template <class F>
u32 both(u32 a, u32 b, u32 c, F f) {
  return (f(a & 0xffff, b & 0xffff, c & 0xffff) & 0xffff) | f(a >> 16, b >> 16, c >> 16) << 16;
}
i32 sh(u32 v) {
  return static_cast<std::int16_t>(v);
}

const Row kRows[] = {
    {"v_add_nc_u32", 2, [](u32 a, u32 b, u32) { return a + b; }},
    {"v_add_nc_u32", 2, [](u32 a, u32 b, u32) { return saturate(i64{a} + b); }, true},
    {"v_sub_nc_u32", 2, [](u32 a, u32 b, u32) { return saturate(i64{a} - b); }, true},
    {"v_subrev_nc_u32", 2, [](u32 a, u32 b, u32) { return b - a; }},
    {"v_add_nc_i32", 2, [](u32 a, u32 b, u32) { return saturate_signed(sx(a) + sx(b)); }, true},
    {"v_sub_nc_i32", 2, [](u32 a, u32 b, u32) { return saturate_signed(sx(a) - sx(b)); }, true},
    {"v_add3_u32", 3, [](u32 a, u32 b, u32 c) { return a + b + c; }},
    {"v_lshl_add_u32", 3, [](u32 a, u32 b, u32 c) { return (a << b % 32) + c; }},
    {"v_add_lshl_u32", 3, [](u32 a, u32 b, u32 c) { return (a + b) << c % 32; }},
    {"v_lshl_or_b32", 3, [](u32 a, u32 b, u32 c) { return (a << b % 32) | c; }},
    {"v_and_or_b32", 3, [](u32 a, u32 b, u32 c) { return (a & b) | c; }},
    {"v_xad_u32", 3, [](u32 a, u32 b, u32 c) { return (a ^ b) + c; }},
    {"v_mul_i32_i24", 2, [](u32 a, u32 b, u32) { return static_cast<u32>(s24(a) * s24(b)); }},
    {"v_mul_hi_i32_i24", 2,
     [](u32 a, u32 b, u32) { return static_cast<u32>(s24(a) * s24(b) >> 32); }},
    {"v_mul_u32_u24", 2, [](u32 a, u32 b, u32) { return (a % 0x1000000) * (b % 0x1000000); }},
    {"v_mad_u32_u24", 3, [](u32 a, u32 b, u32 c) { return (a % 0x1000000) * (b % 0x1000000) + c; }},
    {"v_mad_i32_i24", 3, [](u32 a, u32 b, u32 c) { return static_cast<u32>(s24(a) * s24(b)) + c; }},
    {"v_mad_i32_i24", 3,
     [](u32 a, u32 b, u32 c) { return saturate_signed(s24(a) * s24(b) + sx(c)); }, true},
    {"v_mul_lo_u32", 2, [](u32 a, u32 b, u32) { return a * b; }},
    {"v_mul_hi_u32", 2,
     [](u32 a, u32 b, u32) { return static_cast<u32>(u64{a} * b / 0x100000000ull); }},
    {"v_mul_hi_i32", 2, [](u32 a, u32 b, u32) { return static_cast<u32>(sx(a) * sx(b) >> 32); }},
    {"v_min_i32", 2, [](u32 a, u32 b, u32) { return static_cast<u32>(std::min(sx(a), sx(b))); }},
    {"v_max_u32", 2, [](u32 a, u32 b, u32) { return std::max(a, b); }},
    {"v_med3_i32", 3,
     [](u32 a, u32 b, u32 c) {
       std::array<i64, 3> all{sx(a), sx(b), sx(c)};
       std::sort(all.begin(), all.end());
       return static_cast<u32>(all[1]);
     }},
    {"v_med3_u32", 3,
     [](u32 a, u32 b, u32 c) {
       std::array<u32, 3> all{a, b, c};
       std::sort(all.begin(), all.end());
       return all[1];
     }},
    {"v_lshlrev_b32", 2, [](u32 a, u32 b, u32) { return b << a % 32; }},
    {"v_lshrrev_b32", 2, [](u32 a, u32 b, u32) { return b >> a % 32; }},
    {"v_ashrrev_i32", 2, [](u32 a, u32 b, u32) { return static_cast<u32>(sx(b) >> a % 32); }},
    {"v_xnor_b32", 2, [](u32 a, u32 b, u32) { return ~(a ^ b); }},
    {"v_bfrev_b32", 1,
     [](u32 a, u32, u32) {
       u32 r = 0;
       for (int n = 0; n < 32; ++n) r |= (a >> n & 1) << (31 - n);
       return r;
     }},
    {"v_bfe_u32", 3,
     [](u32 a, u32 b, u32 c) {
       return static_cast<u32>((a >> b % 32) & ((u64{1} << c % 32) - 1));
     }},
    {"v_bfe_i32", 3,
     [](u32 a, u32 b, u32 c) {
       const unsigned width = c % 32;
       if (width == 0) return 0u;
       const i64 shifted = sx(a) >> b % 32;
       return static_cast<u32>(static_cast<i64>(static_cast<u64>(shifted) << (64 - width)) >>
                               (64 - width));
     }},
    {"v_bfi_b32", 3, [](u32 a, u32 b, u32 c) { return c ^ (a & (b ^ c)); }},
    {"v_bfm_b32", 2, [](u32 a, u32 b, u32) { return ((1u << a % 32) - 1) << b % 32; }},
    {"v_bcnt_u32_b32", 2, [](u32 a, u32 b, u32) { return static_cast<u32>(std::popcount(a)) + b; }},
    {"v_clz_i32_u32", 1,
     [](u32 a, u32, u32) { return a == 0 ? ~0u : static_cast<u32>(std::countl_zero(a)); }},
    {"v_ctz_i32_b32", 1,
     [](u32 a, u32, u32) { return a == 0 ? ~0u : static_cast<u32>(std::countr_zero(a)); }},
    {"v_cls_i32", 1,
     [](u32 a, u32, u32) {
       for (u32 n = 1; n < 32; ++n) {
         if ((a >> (31 - n) & 1) != a >> 31) return n;
       }
       return ~0u;
     }},
    {"v_alignbit_b32", 3,
     [](u32 a, u32 b, u32 c) { return c % 32 == 0 ? b : b >> c % 32 | a << (32 - c % 32); }},
    {"v_alignbyte_b32", 3,
     [](u32 a, u32 b, u32 c) {
       return c % 4 == 0 ? b : b >> 8 * (c % 4) | a << (32 - 8 * (c % 4));
     }},
    {"v_sad_u8", 3, [](u32 a, u32 b, u32 c) { return sad8(a, b, false) + c; }},
    {"v_sad_hi_u8", 3, [](u32 a, u32 b, u32 c) { return (sad8(a, b, false) << 16) + c; }},
    {"v_msad_u8", 3, [](u32 a, u32 b, u32 c) { return sad8(a, b, true) + c; }},
    {"v_sad_u16", 3,
     [](u32 a, u32 b, u32 c) {
       return c + static_cast<u32>(
                      std::abs(static_cast<i32>(a & 0xffff) - static_cast<i32>(b & 0xffff)) +
                      std::abs(static_cast<i32>(a >> 16) - static_cast<i32>(b >> 16)));
     }},
    {"v_sad_u32", 3, [](u32 a, u32 b, u32 c) { return (std::max(a, b) - std::min(a, b)) + c; }},
    {"v_lerp_u8", 3,
     [](u32 a, u32 b, u32 c) {
       u32 r = 0;
       for (int n = 0; n < 32; n += 8)
         r |= ((a >> n & 255) + (b >> n & 255) + (c >> n & 1)) / 2 << n;
       return r;
     }},
    {"v_mad_u32_u16", 3, [](u32 a, u32 b, u32 c) { return (a & 0xffff) * (b & 0xffff) + c; }},
    {"v_mad_i32_i16", 3, [](u32 a, u32 b, u32 c) { return static_cast<u32>(sh(a) * sh(b)) + c; }},
    {"v_pk_add_u16", 2,
     [](u32 a, u32 b, u32) { return both(a, b, 0, [](u32 x, u32 y, u32) { return x + y; }); },
     false, Format::Vop3p},
    {"v_pk_add_u16", 2,
     [](u32 a, u32 b, u32) {
       return both(a, b, 0, [](u32 x, u32 y, u32) { return std::min(x + y, 0xffffu); });
     },
     true, Format::Vop3p},
    {"v_pk_sub_i16", 2,
     [](u32 a, u32 b, u32) {
       return both(a, b, 0, [](u32 x, u32 y, u32) {
         return static_cast<u32>(std::clamp(sh(x) - sh(y), -0x8000, 0x7fff)) & 0xffff;
       });
     },
     true, Format::Vop3p},
    {"v_pk_mad_i16", 3,
     [](u32 a, u32 b, u32 c) {
       return both(a, b, c, [](u32 x, u32 y, u32 z) { return x * y + z; });
     },
     false, Format::Vop3p},
    {"v_pk_ashrrev_i16", 2,
     [](u32 a, u32 b, u32) {
       return both(a, b, 0,
                   [](u32 x, u32 y, u32) { return static_cast<u32>(sh(y) >> x % 16) & 0xffff; });
     },
     false, Format::Vop3p},
    {"v_pk_min_i16", 2,
     [](u32 a, u32 b, u32) {
       return both(a, b, 0, [](u32 x, u32 y, u32) { return sh(x) < sh(y) ? x : y; });
     },
     false, Format::Vop3p},
    {"v_dot4_i32_i8", 3, [](u32 a, u32 b, u32 c) { return dot(a, b, 8, true, true, c); }, false,
     Format::Vop3p},
    {"v_dot4_u32_u8", 3, [](u32 a, u32 b, u32 c) { return dot(a, b, 8, false, false, c); }, false,
     Format::Vop3p},
    {"v_dot8_i32_i4", 3, [](u32 a, u32 b, u32 c) { return dot(a, b, 4, true, true, c); }, false,
     Format::Vop3p},
    {"v_dot8_u32_u4", 3, [](u32 a, u32 b, u32 c) { return dot(a, b, 4, false, false, c); }, false,
     Format::Vop3p},
    {"v_dot2_i32_i16", 3, [](u32 a, u32 b, u32 c) { return dot(a, b, 16, true, true, c); }, false,
     Format::Vop3p},
    {"v_cvt_pk_i16_i32", 2,
     [](u32 a, u32 b, u32) {
       const auto c = [](i64 x) {
         return static_cast<u32>(std::clamp<i64>(x, -0x8000, 0x7fff)) & 0xffff;
       };
       return c(sx(a)) | c(sx(b)) << 16;
     }},
    {"v_cvt_pk_u16_u32", 2,
     [](u32 a, u32 b, u32) { return std::min(a, 0xffffu) | std::min(b, 0xffffu) << 16; }},
    {"v_sat_pk_u8_i16", 1,
     [](u32 a, u32, u32) {
       return static_cast<u32>(std::clamp(sh(a), 0, 255) | std::clamp(sh(a >> 16), 0, 255) << 8);
     }},
};

TEST(ValuInteger, AgainstReferences) {
  for (const Flavour which : flavours()) {
    for (const Row& row : kRows) {
      for (unsigned round = 0; round < 30; ++round) {
        TestWave t;
        Inputs in(round + 1);
        t.wave.set_exec(round % 2 != 0 ? kSomeLanes : ~u64{0});
        for (unsigned lane = 0; lane < 64; ++lane) {
          for (unsigned n = 0; n < 3; ++n) t.reg(n, lane) = in.u32();
          t.reg(9, lane) = 0;
        }
        Instruction i = make(row.name, v(9), {}, row.format);
        const std::uint16_t operands[] = {v(0), v(1), v(2)};
        for (unsigned k = 0; k < row.sources; ++k) i.src[k] = operands[k];
        i.clamp = row.clamp;
        run(t, i, which);
        for (unsigned lane = 0; lane < 64; ++lane) {
          const u32 a = t.reg(0, lane), b = t.reg(1, lane), c = t.reg(2, lane);
          const bool active = (t.wave.exec() >> lane & 1) != 0;
          ASSERT_EQ(t.reg(9, lane), active ? row.reference(a, b, c) : 0u)
              << row.name << (row.clamp ? " clamp " : " ") << std::hex << a << " " << b << " " << c;
        }
      }
    }
  }
}

TEST(ValuInteger, Wide) {
  for (const Flavour which : flavours()) {
    for (unsigned round = 0; round < 30; ++round) {
      TestWave t;
      Inputs in(round + 5);
      for (unsigned lane = 0; lane < 64; ++lane) {
        for (unsigned n = 0; n < 6; n += 2) t.set64(n, lane, in.u64());
        t.reg(6, lane) = in.u32(), t.reg(7, lane) = in.u32();
      }
      run(t, make("v_lshlrev_b64", v(10), {v(6), v(0)}), which);
      run(t, make("v_ashrrev_i64", v(12), {v(6), v(0)}), which);
      run(t, make("v_lshl_add_u64", v(14), {v(0), v(6), v(2)}), which);
      Instruction mad = make("v_mad_u64_u32", v(16), {v(6), v(7), v(4)}, Format::Vop3sd);
      mad.sdst = s(20);
      run(t, mad, which);
      Instruction signed_mad = make("v_mad_i64_i32", v(18), {v(6), v(7), v(4)}, Format::Vop3sd);
      signed_mad.sdst = s(22);
      run(t, signed_mad, which);
      for (unsigned lane = 0; lane < 64; ++lane) {
        const u64 a = t.reg64(0, lane), b = t.reg64(2, lane), c = t.reg64(4, lane);
        const u32 x = t.reg(6, lane), y = t.reg(7, lane);
        ASSERT_EQ(t.reg64(10, lane), a << x % 64);
        ASSERT_EQ(t.reg64(12, lane), static_cast<u64>(static_cast<i64>(a) >> x % 64));
        ASSERT_EQ(t.reg64(14, lane), (a << x % 8) + b);
        const auto sum = static_cast<unsigned __int128>(x) * y + c;
        ASSERT_EQ(t.reg64(16, lane), static_cast<u64>(sum));
        ASSERT_EQ(t.wave.s[20 + lane / 32] >> lane % 32 & 1, static_cast<u32>(sum >> 64));
        const __int128 signed_sum = static_cast<__int128>(sx(x)) * sx(y) + static_cast<i64>(c);
        ASSERT_EQ(t.reg64(18, lane), static_cast<u64>(signed_sum));
        ASSERT_EQ(t.wave.s[22 + lane / 32] >> lane % 32 & 1,
                  static_cast<u32>(signed_sum >> 64 & 1));
      }
    }
  }
}

TEST(ValuInteger, CarriesChainTo64Bits) {
  for (const Flavour which : flavours()) {
    for (const unsigned lanes : {32u, 64u}) {
      TestWave t(Arch::Rdna3, lanes);
      Inputs in(lanes);
      t.wave.set_exec(kSomeLanes);
      t.wave.s[kVccLo] = t.wave.s[kVccHi] = 0xffffffff;
      for (unsigned lane = 0; lane < 64; ++lane) {
        t.set64(0, lane, in.u64());
        t.set64(2, lane, in.u64());
      }
      Instruction low = make("v_add_co_u32", v(4), {v(0), v(2)}, Format::Vop3sd);
      low.sdst = kVccLo;
      run(t, low, which);
      const u64 active = kSomeLanes & (lanes == 64 ? ~u64{0} : 0xffffffffu);
      EXPECT_EQ(t.wave.vcc() & ~active, 0u);  // inactive lanes get 0
      // wave32 leaves the upper half alone
      if (lanes == 32) {
        EXPECT_EQ(t.wave.s[kVccHi], 0xffffffffu);
      }
      Instruction high = make("v_add_co_ci_u32", v(5), {v(1), v(3), kVccLo}, Format::Vop2);
      high.sdst = kVccLo;
      run(t, high, which);
      Instruction sub = make("v_sub_co_u32", v(6), {v(0), v(2)}, Format::Vop3sd);
      sub.sdst = s(10);
      run(t, sub, which);
      Instruction borrow = make("v_sub_co_ci_u32", v(7), {v(1), v(3), s(10)}, Format::Vop3sd);
      borrow.sdst = s(12);
      run(t, borrow, which);
      for (unsigned lane = 0; lane < lanes; ++lane) {
        if ((active >> lane & 1) == 0) continue;
        const u64 a = t.reg64(0, lane), b = t.reg64(2, lane);
        ASSERT_EQ(t.reg64(4, lane), a + b);
        ASSERT_EQ(t.wave.vcc() >> lane & 1, static_cast<u64>(a + b < a));
        ASSERT_EQ(t.reg64(6, lane), a - b);
        ASSERT_EQ(t.wave.s[12 + lane / 32] >> lane % 32 & 1, static_cast<u32>(b > a));
      }
    }
  }
}

TEST(ValuInteger, BytePermute) {
  // Selector values of V_PERM_B32: 0..3 bytes of S1, 4..7 of S0, 8..11 signs, 12 zero, 13.. ones.
  const u32 rows[][2] = {{0x03020100, 0x44332291},
                         {0x07060504, 0x88e76655},
                         {0x0c0d0b0a, 0x00ffff00},
                         {0x09080004, 0x00009155},
                         {0x00040105, 0x91552266}};
  for (const Flavour which : flavours()) {
    for (const auto& row : rows) {
      TestWave t;
      t.fill(0, 0x88e76655);
      t.fill(1, 0x44332291);
      t.fill(2, row[0]);
      run(t, make("v_perm_b32", v(3), {v(0), v(1), v(2)}), which);
      EXPECT_EQ(t.reg(3, 12), row[1]) << std::hex << row[0];
    }
  }
}

TEST(ValuInteger, MixedSignDots) {
  for (const Flavour which : flavours()) {
    for (unsigned neg = 0; neg < 4; ++neg) {
      TestWave t(Arch::Rdna3);
      Inputs in(neg);
      for (unsigned lane = 0; lane < 64; ++lane) {
        for (unsigned n = 0; n < 3; ++n) t.reg(n, lane) = in.raw();
      }
      Instruction four = make("v_dot4_i32_iu8", v(4), {v(0), v(1), v(2)}, Format::Vop3p);
      Instruction eight = make("v_dot8_i32_iu4", v(5), {v(0), v(1), v(2)}, Format::Vop3p);
      four.neg = eight.neg = static_cast<std::uint8_t>(neg);
      run(t, four, which);
      run(t, eight, which);
      for (unsigned lane = 0; lane < 64; ++lane) {
        const u32 a = t.reg(0, lane), b = t.reg(1, lane), c = t.reg(2, lane);
        ASSERT_EQ(t.reg(4, lane), dot(a, b, 8, (neg & 1) != 0, (neg & 2) != 0, c));
        ASSERT_EQ(t.reg(5, lane), dot(a, b, 4, (neg & 1) != 0, (neg & 2) != 0, c));
      }
    }
  }
}

TEST(ValuInteger, QuadSums) {
  for (const Flavour which : flavours()) {
    TestWave t;
    Inputs in(4);
    for (unsigned lane = 0; lane < 64; ++lane) {
      t.set64(0, lane, in.u64());
      t.reg(2, lane) = in.u32();
      t.set64(4, lane, in.u64());
      t.set64(6, lane, in.u64());
    }
    run(t, make("v_qsad_pk_u16_u8", v(10), {v(0), v(2), v(4)}), which);
    run(t, make("v_mqsad_u32_u8", v(12), {v(0), v(2), v(4)}), which);
    for (unsigned lane = 0; lane < 64; ++lane) {
      const u64 window = t.reg64(0, lane);
      for (unsigned n = 0; n < 4; ++n) {
        const auto bytes = static_cast<u32>(window >> (8 * n));
        const u32 base = static_cast<u32>(t.reg64(4, lane) >> (16 * n)) & 0xffff;
        ASSERT_EQ(t.reg64(10, lane) >> (16 * n) & 0xffff,
                  (sad8(bytes, t.reg(2, lane), false) + base) & 0xffff);
        ASSERT_EQ(t.reg(12 + n, lane), sad8(bytes, t.reg(2, lane), true) + t.reg(4 + n, lane));
      }
    }
  }
}

// --- Comparisons ---------------------------------------------------------------------------------

template <class T>
void check_compares(const char* suffix, bool floating,
                    std::function<T(TestWave&, unsigned, unsigned)> get,
                    std::function<void(TestWave&, Inputs&, unsigned, unsigned)> put) {
  struct Compare {
    const char* name;
    bool (*of)(T, T);
  };
  const Compare integer[] = {
      {"f", [](T, T) { return false; }},       {"lt", [](T a, T b) { return a < b; }},
      {"eq", [](T a, T b) { return a == b; }}, {"le", [](T a, T b) { return a <= b; }},
      {"gt", [](T a, T b) { return a > b; }},  {"ne", [](T a, T b) { return a != b; }},
      {"ge", [](T a, T b) { return a >= b; }}, {"t", [](T, T) { return true; }}};
  const Compare real[] = {{"f", [](T, T) { return false; }},
                          {"lt", [](T a, T b) { return a < b; }},
                          {"eq", [](T a, T b) { return a == b; }},
                          {"le", [](T a, T b) { return a <= b; }},
                          {"gt", [](T a, T b) { return a > b; }},
                          {"lg", [](T a, T b) { return a < b || a > b; }},
                          {"ge", [](T a, T b) { return a >= b; }},
                          {"o", [](T a, T b) { return a == a && b == b; }},
                          {"u", [](T a, T b) { return a != a || b != b; }},
                          {"nge", [](T a, T b) { return !(a >= b); }},
                          {"nlg", [](T a, T b) { return !(a < b || a > b); }},
                          {"ngt", [](T a, T b) { return !(a > b); }},
                          {"nle", [](T a, T b) { return !(a <= b); }},
                          {"neq", [](T a, T b) { return a != b; }},
                          {"nlt", [](T a, T b) { return !(a < b); }},
                          {"t", [](T, T) { return true; }}};
  const auto all = floating ? std::span<const Compare>(real) : std::span<const Compare>(integer);
  for (const Flavour which : flavours()) {
    for (const Compare& compare : all) {
      for (unsigned form = 0; form < 6; ++form) {
        const bool cmpx = form >= 3;
        const Arch arch = form % 3 == 0 ? Arch::Cdna3 : Arch::Rdna3;
        TestWave t(arch, form % 3 == 1 ? 32 : 64);
        Inputs in(form + 100);
        t.wave.set_exec(kSomeLanes);
        t.wave.s[30] = t.wave.s[31] = 0xffffffff;
        for (unsigned lane = 0; lane < 64; ++lane) {
          put(t, in, 0, lane);
          if (lane % 3 == 0)
            t.reg(2, lane) = t.reg(0, lane), t.reg(3, lane) = t.reg(1, lane);
          else
            put(t, in, 2, lane);
        }
        u64 expected = 0;
        for (unsigned lane = 0; lane < t.wave.lanes; ++lane) {
          if ((kSomeLanes >> lane & 1) != 0 && compare.of(get(t, 0, lane), get(t, 2, lane))) {
            expected |= u64{1} << lane;
          }
        }
        const std::string name =
            std::string(cmpx ? "v_cmpx_" : "v_cmp_") + compare.name + "_" + suffix;
        Instruction i = make(name, cmpx && arch == Arch::Rdna3 ? std::uint16_t{kExecLo} : s(30),
                             {v(0), v(2)}, Format::Vopc);
        const u64 before = t.wave.exec();
        run(t, i, which);
        u64 mask = t.wave.s[30];
        if (t.wave.lanes == 64) {
          mask |= u64{t.wave.s[31]} << 32;
        } else {
          EXPECT_EQ(t.wave.s[31], 0xffffffffu);
        }
        if (!cmpx || arch == Arch::Cdna3) {
          ASSERT_EQ(mask, expected) << name;
        }
        ASSERT_EQ(t.wave.exec(), cmpx ? expected : before) << name;
      }
    }
  }
}

TEST(ValuCompare, Integers) {
  const auto put = [](TestWave& t, Inputs& in, unsigned n, unsigned lane) {
    t.set64(n, lane, in.u64());
  };
  check_compares<u32>(
      "u32", false, [](TestWave& t, unsigned n, unsigned l) { return t.reg(n, l); }, put);
  check_compares<i32>(
      "i32", false,
      [](TestWave& t, unsigned n, unsigned l) { return static_cast<i32>(t.reg(n, l)); }, put);
  check_compares<u64>(
      "u64", false, [](TestWave& t, unsigned n, unsigned l) { return t.reg64(n, l); }, put);
  check_compares<i64>(
      "i64", false,
      [](TestWave& t, unsigned n, unsigned l) { return static_cast<i64>(t.reg64(n, l)); }, put);
  check_compares<std::uint16_t>(
      "u16", false,
      [](TestWave& t, unsigned n, unsigned l) { return static_cast<std::uint16_t>(t.reg(n, l)); },
      put);
  check_compares<std::int16_t>(
      "i16", false,
      [](TestWave& t, unsigned n, unsigned l) { return static_cast<std::int16_t>(t.reg(n, l)); },
      put);
}

TEST(ValuCompare, Floats) {
  check_compares<float>(
      "f32", true, [](TestWave& t, unsigned n, unsigned l) { return as_float(t.reg(n, l)); },
      [](TestWave& t, Inputs& in, unsigned n, unsigned lane) {
        t.reg(n, lane) = lane % 7 == 1 ? 0x7fc00000 : in.f32();
      });
  check_compares<double>(
      "f64", true, [](TestWave& t, unsigned n, unsigned l) { return as_double(t.reg64(n, l)); },
      [](TestWave& t, Inputs& in, unsigned n, unsigned lane) {
        t.set64(n, lane, lane % 7 == 1 ? 0x7ff8000000000000 : in.f64());
      });
  check_compares<float>(
      "f16", true,
      [](TestWave& t, unsigned n, unsigned l) {
        const u32 h = t.reg(n, l) & 0xffff;
        const float m = (h & 0x7c00) == 0x7c00 ? ((h & 0x3ff) != 0 ? NAN : INFINITY)
                        : (h & 0x7c00) == 0    ? std::ldexp(static_cast<float>(h & 0x3ff), -24)
                                               : std::ldexp(static_cast<float>((h & 0x3ff) | 0x400),
                                                            static_cast<int>(h >> 10 & 31) - 25);
        return (h & 0x8000) != 0 ? -m : m;
      },
      [](TestWave& t, Inputs& in, unsigned n, unsigned lane) {
        t.reg(n, lane) = lane % 7 == 1 ? 0x7e01 : in.f16();
      });
}

TEST(ValuCompare, Classes) {
  // Bits of V_CMP_CLASS: sNaN qNaN -inf -normal -denormal -0 +0 +denormal +normal +inf.
  const u32 f32[] = {0x7f800001, 0xffc00000, 0xff800000, 0xbf800000, 0x80000001,
                     0x80000000, 0x00000000, 0x007fffff, 0x00800000, 0x7f800000};
  const u64 f64[] = {0x7ff0000000000001,
                     0xfff8000000000000,
                     0xfff0000000000000,
                     0xbff0000000000000,
                     0x8000000000000001,
                     0x8000000000000000,
                     0,
                     0x000fffffffffffff,
                     0x0010000000000000,
                     0x7ff0000000000000};
  const u32 f16[] = {0x7c01, 0xfe00, 0xfc00, 0xbc00, 0x8001, 0x8000, 0, 0x03ff, 0x0400, 0x7c00};
  for (const Flavour which : flavours()) {
    TestWave t;
    t.wave.mode = 0x300;  // denormals flushed elsewhere are still denormals here
    for (unsigned lane = 0; lane < 64; ++lane) {
      t.reg(0, lane) = f32[lane % 10];
      t.set64(2, lane, f64[lane % 10]);
      t.reg(4, lane) = f16[lane % 10];
      t.reg(5, lane) = 1u << (lane / 10 + lane % 3);
    }
    run(t, make("v_cmp_class_f32", s(10), {v(0), v(5)}, Format::Vopc), which);
    run(t, make("v_cmp_class_f64", s(12), {v(2), v(5)}, Format::Vopc), which);
    run(t, make("v_cmp_class_f16", s(14), {v(4), v(5)}, Format::Vopc), which);
    for (unsigned lane = 0; lane < 64; ++lane) {
      const u32 expected = lane % 10 == lane / 10 + lane % 3 ? 1 : 0;
      EXPECT_EQ(t.wave.s[10 + lane / 32] >> lane % 32 & 1, expected) << lane;
      EXPECT_EQ(t.wave.s[12 + lane / 32] >> lane % 32 & 1, expected) << lane;
      EXPECT_EQ(t.wave.s[14 + lane / 32] >> lane % 32 & 1, expected) << lane;
    }
  }
}

TEST(ValuCompare, MaskInTheLastScalarRegisterStaysInside) {
  for (const Flavour which : flavours()) {
    TestWave t(Arch::Rdna3);
    run(t, make("v_cmp_t_u32", kExecHi, {v(0), v(0)}, Format::Vopc), which);
    EXPECT_EQ(t.wave.s[kExecHi], 0xffffffffu);
    EXPECT_FALSE(t.wave.scc);  // what follows the registers in a Wave
    EXPECT_EQ(t.wave.state, WaveState::Running);
    EXPECT_EQ(t.wave.lanes, 64);
  }
}

TEST(ValuCompare, ConditionalMove) {
  for (const Flavour which : flavours()) {
    TestWave t;
    for (unsigned lane = 0; lane < 64; ++lane) t.reg(0, lane) = lane, t.reg(1, lane) = bits(1.5f);
    t.wave.s[10] = 0xf0f0f0f0, t.wave.s[11] = 0x12345678;
    run(t, make("v_cndmask_b32", v(2), {v(0), v(1), s(10)}), which);
    Instruction negated = make("v_cndmask_b32", v(3), {v(0), v(1), s(10)});
    negated.neg = 2;
    run(t, negated, which);
    for (unsigned lane = 0; lane < 64; ++lane) {
      const bool pick = (t.wave.s[10 + lane / 32] >> lane % 32 & 1) != 0;
      EXPECT_EQ(t.reg(2, lane), pick ? bits(1.5f) : lane);
      EXPECT_EQ(t.reg(3, lane), pick ? bits(-1.5f) : lane);
    }
  }
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

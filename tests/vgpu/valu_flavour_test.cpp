// Owns: the claim that the portable and the AVX2 build of the vector ALU give the same bits, for
//   every row of the tables.
// Does not own: whether those bits are right (the other valu tests).
// Threading: one test at a time.
#include "valu_test_support.hpp"

namespace kiln::vgpu::isa::test {
namespace {

class Names final : public SemanticsSink {
 public:
  void add(std::span<const Semantics> table) override {
    for (const Semantics& row : table) names.emplace_back(row.name);
  }
  std::vector<std::string> names;
};

bool starts_with(const std::string& name, const char* prefix) {
  return name.rfind(prefix, 0) == 0;
}

Instruction generic(const std::string& name) {
  const bool packed = starts_with(name, "v_pk_") || starts_with(name, "v_fma_mix") ||
                      starts_with(name, "v_dot2_") || starts_with(name, "v_dot4_") ||
                      starts_with(name, "v_dot8_");
  Instruction i = make(name, v(20), {v(0), v(2), v(4)}, packed ? Format::Vop3p : Format::Vop3);
  if (starts_with(name, "v_read")) i.dst = s(30);
  if (starts_with(name, "v_readlane") || starts_with(name, "v_writelane")) i.src[1] = s(8);
  if (starts_with(name, "v_writelane")) i.src[0] = s(9);
  if (starts_with(name, "v_permlane")) i.src[1] = s(8), i.src[2] = s(9);
  if (starts_with(name, "v_cmp")) i.dst = s(32);
  if (name.find("_ci_u32") != std::string::npos || starts_with(name, "v_cndmask")) i.src[2] = s(10);
  if (name.find("_co_") != std::string::npos || starts_with(name, "v_div_scale") ||
      starts_with(name, "v_mad_u64") || starts_with(name, "v_mad_i64")) {
    i.sdst = s(34);
  }
  return i;
}

void fill_registers(TestWave& t, Inputs& in, unsigned kind) {
  for (unsigned n = 0; n < 40; n += 2) {
    for (unsigned lane = 0; lane < 64; ++lane) {
      switch (kind) {
        case 0:
          t.reg(n, lane) = in.f32();
          t.reg(n + 1, lane) = in.f32();
          break;
        case 1:
          t.reg(n, lane) = in.f16() | std::uint32_t{in.f16()} << 16;
          t.reg(n + 1, lane) = in.f16() | std::uint32_t{in.f16()} << 16;
          break;
        case 2:
          t.set64(n, lane, in.f64());
          break;
        default:
          t.reg(n, lane) = in.u32();
          t.reg(n + 1, lane) = in.u32();
          break;
      }
    }
  }
  for (unsigned n = 0; n < 104; ++n) t.wave.s[n] = in.raw();
  t.wave.s[kVccLo] = in.raw();
  t.wave.s[kVccHi] = in.raw();
  t.wave.s[kM0] = in.raw() & 0x000f000f;
}

// Which NaN an addition of two NaNs returns depends on operand order inside it, which compilers are
// free to choose: such results must agree in being NaN, for whatever float format it was.
bool nan16(std::uint32_t a) {
  return (a & 0x7fff) > 0x7c00;
}
bool nan32(std::uint32_t a) {
  return (a & 0x7fffffff) > 0x7f800000;
}
bool nan64(std::uint32_t high) {
  return (high & 0x7fffffff) >= 0x7ff00000;
}
bool same_half(std::uint32_t a, std::uint32_t b) {
  return (a & 0xffff) == (b & 0xffff) || (nan16(a) && nan16(b));
}
bool same(std::uint32_t a, std::uint32_t b, std::uint32_t a_next, std::uint32_t b_next) {
  return a == b || (nan32(a) && nan32(b)) || (same_half(a, b) && same_half(a >> 16, b >> 16)) ||
         (nan64(a_next) && nan64(b_next));
}

TEST(ValuFlavours, GiveTheSameBits) {
  if (flavours().size() < 2) GTEST_SKIP() << "no AVX2 here";
  Names names;
  base::valu_semantics(names);
  ASSERT_GT(names.names.size(), 400u);
  std::uint32_t seed = 1;
  for (const std::string& name : names.names) {
    if (name == "v_dual") continue;  // valu_dual_test.cpp
    for (const Arch arch : {Arch::Cdna3, Arch::Rdna3}) {
      for (unsigned form = 0; form < 12; ++form) {
        Inputs in(++seed);
        TestWave first(arch, arch == Arch::Rdna3 && form % 2 != 0 ? 32 : 64);
        fill_registers(first, in, form % 4);
        first.wave.set_exec(form < 4 ? ~std::uint64_t{0} : kSomeLanes);
        if (form >= 8) first.wave.mode = 0x300 | (in.raw() & 0xff);
        Instruction i = generic(name);
        if (form >= 6) {
          i.neg = static_cast<std::uint8_t>(in.raw() & 7);
          i.abs = static_cast<std::uint8_t>(in.raw() & 7);
          i.clamp = in.raw() % 2 != 0;
          i.omod = static_cast<std::uint8_t>(in.raw() & 3);
          if (i.format != Format::Vop3p) i.op_sel = static_cast<std::uint8_t>(in.raw() & 15);
        }
        TestWave second(arch, first.wave.lanes);
        second.rows() = first.rows();
        std::memcpy(second.wave.s, first.wave.s, sizeof first.wave.s);
        second.wave.mode = first.wave.mode;
        run(first, i, Flavour::Base);
        run(second, i, Flavour::Avx2);
        for (unsigned n = 0; n < 40; ++n) {
          for (unsigned lane = 0; lane < 64; ++lane) {
            ASSERT_TRUE(same(first.reg(n, lane), second.reg(n, lane), first.reg(n + 1, lane),
                             second.reg(n + 1, lane)))
                << name << " form " << form << " v" << n << " lane " << lane << std::hex << ": "
                << first.reg(n, lane) << " and " << second.reg(n, lane);
          }
        }
        ASSERT_EQ(std::memcmp(first.wave.s, second.wave.s, sizeof first.wave.s), 0) << name;
      }
    }
  }
}

}  // namespace
}  // namespace kiln::vgpu::isa::test

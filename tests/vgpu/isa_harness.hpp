// Owns: running small assembled programs on one workgroup over hand-made guest memory.
// Does not own: the programs (the tests), their encodings (isa_programs.inc, made by assemble.py).
// Threading: one test, one thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vgpu/isa/dispatch.hpp"

namespace kiln::vgpu::isa::test {

struct Code {
  Arch arch = Arch::Cdna3;
  bool wave32 = false;
  std::vector<std::uint32_t> dwords;
};

struct Encoded {
  std::string_view target, text;
  std::vector<std::uint32_t> dwords;
};
const std::vector<Encoded>& encoded();  ///< isa_harness.cpp

inline Code find_code(std::string_view target, std::string_view text) {
  Code code;
  code.arch = target.starts_with("gfx90a")    ? Arch::Cdna2
              : target.starts_with("gfx942")  ? Arch::Cdna3
              : target.starts_with("gfx1030") ? Arch::Rdna2
                                              : Arch::Rdna3;
  code.wave32 = !is_cdna(code.arch) && !target.ends_with("_wave64");
  for (const Encoded& entry : encoded())
    if (entry.target == target && entry.text == text) code.dwords = entry.dwords;
  EXPECT_FALSE(code.dwords.empty()) << "run tests/vgpu/assemble.py: " << target << " " << text;
  return code;
}
inline Code gfx90a(std::string_view text) {
  return find_code("gfx90a", text);
}
inline Code gfx942(std::string_view text) {
  return find_code("gfx942", text);
}
inline Code gfx1030(std::string_view text) {
  return find_code("gfx1030", text);
}
inline Code gfx1030_wave64(std::string_view text) {
  return find_code("gfx1030_wave64", text);
}
inline Code gfx1100(std::string_view text) {
  return find_code("gfx1100", text);
}
inline Code gfx1100_wave64(std::string_view text) {
  return find_code("gfx1100_wave64", text);
}

/// s_endpgm (llvm-mc 22).
inline std::uint32_t end_program(Arch arch) {
  return arch == Arch::Rdna3 ? 0xbfb00000 : 0xbf810000;
}

struct TestEnvironment : Environment {
  std::uint64_t now = 0x123456789abc;
  std::vector<std::uint32_t> messages;
  std::uint64_t clock() override { return now; }
  void interrupt(const Workgroup&, std::uint32_t m0, bool) override { messages.push_back(m0); }
};

/// Guest memory with code, data and scratch, and a workgroup to run on it.
class Machine {
 public:
  static constexpr Va kCode = 0x7f0000000000, kData = 0x7f1000000000, kScratch = 0x7f2000000000;
  static constexpr Va kShared = 0x0001000000000000, kPrivate = 0x0002000000000000;
  static constexpr std::size_t kDataBytes = 1 << 16, kScratchWaveBytes = 1 << 16;

  explicit Machine(const Code& code)
      : code_(code), text_(16384 / 4), data_(kDataBytes), scratch_(kScratchWaveBytes * 16) {
    std::copy(code.dwords.begin(), code.dwords.end(), text_.begin());
    text_[code.dwords.size()] = end_program(code.arch);
    map(kCode, text_.data(), text_.size() * 4);
    map(kData, data_.data(), data_.size());
    map(kScratch, scratch_.data(), scratch_.size());
    dispatch.arch = code.arch;
    dispatch.wave32 = code.wave32;
    dispatch.program = kCode;
    dispatch.rsrc1 = 0x3f | 0xf0 << 12;  // many VGPRs, denormals on
    dispatch.rsrc2 = 1 | 1 << 7;         // scratch, workgroup id x
    dispatch.rsrc3 = is_cdna(code.arch) ? 63 : 0;
    dispatch.threads[0] = code.wave32 ? 32 : 64;
    dispatch.lds_bytes = 4096;
    dispatch.scratch_base = kScratch;
    dispatch.scratch_wave_bytes = kScratchWaveBytes;
    dispatch.shared_aperture = kShared;
    dispatch.private_aperture = kPrivate;
    dispatch.space = &space;
  }

  void map(Va va, void* host, std::size_t bytes, bool writable = true) {
    Mapping mapping;
    mapping.begin = va;
    mapping.end = va + bytes;
    mapping.host = static_cast<std::byte*>(host);
    mapping.writable = writable;
    ASSERT_TRUE(space.map(mapping));
  }

  void start() { group = launch(dispatch, {0, 0, 0}, placement, environment); }
  Wave& wave(unsigned index = 0) { return *group->waves[index]; }
  std::uint32_t* v(unsigned number) { return wave().v[number].lane; }
  std::uint32_t& s(unsigned number) { return wave().s[number]; }
  void set_s64(unsigned number, std::uint64_t value) { std::memcpy(&wave().s[number], &value, 8); }
  std::uint64_t s64(unsigned number) {
    std::uint64_t value;
    std::memcpy(&value, &wave().s[number], 8);
    return value;
  }
  template <class F>
  void fill(unsigned number, F f) {
    for (unsigned lane = 0; lane < 64; ++lane) v(number)[lane] = f(lane);
  }
  template <class F>
  void fill64(unsigned number, F f) {
    for (unsigned lane = 0; lane < 64; ++lane) {
      const std::uint64_t value = f(lane);
      v(number)[lane] = static_cast<std::uint32_t>(value);
      v(number + 1)[lane] = static_cast<std::uint32_t>(value >> 32);
    }
  }

  RunStatus finish(std::uint64_t limit = 1 << 20) {
    RunStatus status = RunStatus::Yielded;
    executed = 0;
    while ((status == RunStatus::Yielded || status == RunStatus::Waiting) && executed < limit)
      status = run(*group, 10000, &executed);
    return status;
  }
  /// The usual end: everything ran.
  void expect_done() {
    const RunStatus status = finish();
    EXPECT_EQ(status, RunStatus::Done)
        << halt_reason(*group) << " fault at 0x" << std::hex << group->port->fault().address;
  }

  template <class T>
  T data(std::size_t offset) const {
    T value;
    std::memcpy(&value, data_.data() + offset, sizeof value);
    return value;
  }
  template <class T>
  void set_data(std::size_t offset, T value) {
    std::memcpy(data_.data() + offset, &value, sizeof value);
  }
  template <class T>
  T scratch(std::size_t offset) const {
    T value;
    std::memcpy(&value, scratch_.data() + offset, sizeof value);
    return value;
  }
  template <class T>
  T lds(std::size_t offset) const {
    T value;
    std::memcpy(&value, group->lds.data() + offset, sizeof value);
    return value;
  }
  template <class T>
  void set_lds(std::size_t offset, T value) {
    std::memcpy(group->lds.data() + offset, &value, sizeof value);
  }
  unsigned lanes() const { return code_.wave32 ? 32 : 64; }

  Dispatch dispatch;
  Placement placement;
  TestEnvironment environment;
  AddressSpace space;
  std::unique_ptr<Workgroup> group;
  std::uint64_t executed = 0;

 private:
  Code code_;
  std::vector<std::uint32_t> text_;
  std::vector<std::byte> data_, scratch_;
};

}  // namespace kiln::vgpu::isa::test

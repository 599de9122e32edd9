// Owns: what the golden tests share: a writer with memory behind it, and comparing dwords.
// Does not own: any expected value.
// Threading: one test, one thread.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "gpu/target.hpp"
#include "gpu/writer.hpp"

namespace kiln::gpu::golden {

using Dwords = std::vector<std::uint32_t>;

inline const Target& gfx90a() {
  return *find_target("gfx90a");
}
inline const Target& gfx1030() {
  return *find_target("gfx1030");
}
inline const Target& gfx942() {
  return *find_target("gfx942");
}
inline const Target& gfx1100() {
  return *find_target("gfx1100");
}

/// Runs `emit(writer)` with room for `most` dwords and returns what it put.
template <class Emit>
Dwords emitted(std::uint32_t most, Emit emit) {
  Dwords room(most, 0xDEADBEEF);
  DwordWriter writer(room);
  EXPECT_TRUE(writer.reserve(most));
  emit(writer);
  writer.commit();
  return {writer.committed().begin(), writer.committed().end()};
}

inline std::string hex(const Dwords& dwords) {
  std::string text;
  for (std::uint32_t dword : dwords) text += strf("%08x ", dword);
  return text;
}

/// Readable on failure: hexadecimal, all of it.
inline void expect_dwords(const Dwords& actual, const Dwords& expected) {
  EXPECT_EQ(hex(actual), hex(expected));
}

inline Dwords operator+(Dwords a, const Dwords& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace kiln::gpu::golden

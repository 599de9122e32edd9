// Owns: the small tools that cases are made with: buffers, arguments, random content, comparison.
// Does not own: any case.
// Threading: values only.
#pragma once

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <type_traits>

#include "cases.hpp"

namespace kiln::kernels {

inline constexpr std::size_t kGuardBytes = 256;
inline constexpr std::byte kGuard{0xA5};
/// What outputs hold before the kernel runs, so that an element left out shows.
inline constexpr std::byte kUnwritten{0xEE};

/// Deterministic, the same on every host (the constants are those of splitmix64, S. Vigna).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint32_t u32() { return static_cast<std::uint32_t>(next() >> 32); }
  /// In [-1, 1), a multiple of 2^-23.
  float unit() { return static_cast<float>(static_cast<std::int32_t>(u32()) >> 8) * 0x1p-23f; }
  /// A whole number in [-limit, limit].
  std::int32_t whole(std::int32_t limit) {
    return static_cast<std::int32_t>(u32() % static_cast<std::uint32_t>(2 * limit + 1)) - limit;
  }

 private:
  std::uint64_t state_;
};

template <class T>
Bytes to_bytes(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

template <class T>
std::vector<T> from_bytes(const Bytes& bytes, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<T> values(count);
  std::memcpy(values.data(), bytes.data(), count * sizeof(T));
  return values;
}

/// Adds buffers and arguments in the order of the kernel's parameters.
class CaseBuilder {
 public:
  CaseBuilder(const char* name, Extent threads, Extent block) {
    case_.name = case_.kernel = name;
    case_.threads = threads;
    case_.block = block;
  }

  template <class T>
  CaseBuilder& input(const char* name, const std::vector<T>& content) {
    return buffer(name, to_bytes(content), false);
  }
  /// An output that the kernel reads first.
  template <class T>
  CaseBuilder& in_out(const char* name, const std::vector<T>& content) {
    return buffer(name, to_bytes(content), true);
  }
  CaseBuilder& output(const char* name, std::size_t bytes) {
    return buffer(name, Bytes(bytes, kUnwritten), true);
  }
  template <class T>
  CaseBuilder& value(T content) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    case_.arguments.push_back({-1, to_bytes(std::vector<T>{content})});
    return *this;
  }
  KernelCase done(std::function<std::optional<std::string>(const Outputs&)> reference) {
    case_.reference = std::move(reference);
    return std::move(case_);
  }
  KernelCase& raw() { return case_; }

 private:
  CaseBuilder& buffer(const char* name, Bytes content, bool output) {
    content.insert(content.end(), kGuardBytes, kGuard);
    case_.arguments.push_back({static_cast<int>(case_.buffers.size()), {}});
    case_.buffers.push_back({name, std::move(content), output});
    return *this;
  }

  KernelCase case_;
};

inline std::string number_text(std::int64_t value) {
  return std::to_string(value);
}
inline std::string number_text(std::int32_t value) {
  return std::to_string(value);
}
inline std::string number_text(std::uint32_t value) {
  return std::to_string(value);
}
inline std::string number_text(std::uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof(text), "0x%016" PRIx64, value);
  return text;
}
inline std::string number_text(double value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.17g (%a)", value, value);
  return text;
}
inline std::string number_text(float value) {
  return number_text(static_cast<double>(value));
}

/// The same bits, except that any NaN equals any other.
template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a && b != b) return true;
  }
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

template <class T>
std::optional<std::string> expect_one(const std::string& what, T seen, T expected) {
  if (same(seen, expected)) return std::nullopt;
  return what + " is " + number_text(seen) + ", expected " + number_text(expected);
}

/// Compares exactly; names the first difference and counts them.
template <class T>
std::optional<std::string> expect_all(const char* name, const Bytes& output,
                                      const std::vector<T>& expected) {
  const std::vector<T> seen = from_bytes<T>(output, expected.size());
  std::optional<std::string> first;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < expected.size(); i++) {
    if (same(seen[i], expected[i])) continue;
    if (wrong++ == 0)
      first = expect_one(std::string(name) + "[" + std::to_string(i) + "]", seen[i], expected[i]);
  }
  if (wrong > 1)
    *first += " (" + std::to_string(wrong) + " of " + std::to_string(expected.size()) + " differ)";
  return first;
}

// One per source file; kernel_cases() joins them.
void add_memory_cases(const CaseOptions& options, std::vector<KernelCase>* cases);
void add_math_cases(const CaseOptions& options, std::vector<KernelCase>* cases);
void add_wave_cases(const CaseOptions& options, std::vector<KernelCase>* cases);

}  // namespace kiln::kernels

// Owns: what every program here does with HIP's error codes and with its own results.
// Does not own: the programs.
// Threading: the main thread's.
#pragma once

#include <hip/hip_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define HIP_CHECK(call)                                                  \
  do {                                                                   \
    const hipError_t error_ = (call);                                    \
    if (error_ != hipSuccess) {                                          \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, \
                   hipGetErrorString(error_));                           \
      std::exit(1);                                                      \
    }                                                                    \
  } while (0)

/// Counts comparisons; the last line of each program's output comes from finish().
class Checker {
 public:
  void that(bool holds, const char* what, double seen, double wanted) {
    checks_++;
    if (holds) return;
    if (failures_++ < 10) std::fprintf(stderr, "%s: %.17g, not %.17g\n", what, seen, wanted);
  }
  template <class T>
  void same(const char* what, T seen, T wanted) {
    that(seen == wanted, what, static_cast<double>(seen), static_cast<double>(wanted));
  }
  /// |seen - wanted| <= relative * |wanted| + absolute; a NaN is near nothing.
  void near(const char* what, double seen, double wanted, double relative, double absolute = 0) {
    that(std::abs(seen - wanted) <= relative * std::abs(wanted) + absolute, what, seen, wanted);
  }
  int finish(const char* program) const {
    std::printf("%s: %s %llu checks, %llu failures\n", program, failures_ == 0 ? "PASS" : "FAIL",
                static_cast<unsigned long long>(checks_),
                static_cast<unsigned long long>(failures_));
    return failures_ != 0;
  }

 private:
  std::uint64_t checks_ = 0, failures_ = 0;
};

/// Device memory that frees itself.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t count) : count_(count) {
    HIP_CHECK(hipMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)));
  }
  explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) {
    HIP_CHECK(hipMemcpy(data_, values.data(), bytes(), hipMemcpyHostToDevice));
  }
  Buffer(const Buffer&) = delete;
  ~Buffer() { (void)hipFree(data_); }

  T* get() const { return data_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    HIP_CHECK(hipMemcpy(values.data(), data_, bytes(), hipMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

/// The same numbers on every machine.
class Lcg {
 public:
  explicit Lcg(std::uint64_t seed) : state_(seed) {}
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<std::uint32_t>(state_ >> 32);
  }
  float unit() { return static_cast<float>(next() >> 8) * 0x1p-24f; }

 private:
  std::uint64_t state_;
};

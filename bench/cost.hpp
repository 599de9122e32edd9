// Owns: what an operation costs beside time: system calls and allocations of the thread that does
//   it.
// Does not own: the operations (*_rows.cpp).
// Threading: cost_of makes a thread of its own; allocations are counted per thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

namespace bench {

struct Cost {
  double allocations = 0;  ///< per operation
  std::optional<double>
      system_calls;  ///< per operation; nothing where the kernel does not let count
};

/// Runs `operation` once so that pages are touched and symbols bound, then `repeats` times while
/// counting. An exception from it is thrown again here.
Cost cost_of(std::uint32_t repeats, const std::function<void()>& operation);

}  // namespace bench

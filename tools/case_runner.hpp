// Owns: running one kernel case on a device: SDMA in, dispatch, SDMA out, chained by a timeline,
// and the
//   check of what came back.
// Does not own: the cases (tests/kernels), the device (session.*).
// Threading: one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cases.hpp"
#include "session.hpp"

namespace tools {

/// What a run cost, beside its result.
struct CaseRun {
  std::optional<std::string> mismatch;  ///< nothing: verified
  std::uint64_t stream_dwords = 0;      ///< of the dispatch's command buffer
  std::uint64_t wave_instructions = 0;  ///< 0 on a real GPU, which does not tell
  double record_us = 0, submit_us = 0;  ///< host time
  double device_us = 0;                 ///< between two timestamps around the dispatch
};

/// Changes what is loaded, to see whether the check notices; either may be null.
struct CaseFaults {
  void (*code)(std::vector<std::byte>& code_object) = nullptr;
  void (*input)(kiln::kernels::KernelCase& the_case) = nullptr;
};

/// Throws Failure where Kiln refuses something.
CaseRun run_case(Device& device, kiln::kernels::KernelCase the_case,
                 std::vector<std::byte> code_object, const CaseFaults& faults = {});

/// Wave-instructions that virtual GPUs of this process have executed so far; 0 without any.
std::uint64_t wave_instructions();

}  // namespace tools

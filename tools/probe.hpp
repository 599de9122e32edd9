// Owns: the first-contact kit: ordered self-checks of a GPU, each with a deadline, and one report
// file. Does not own: what is checked (the library and the GPU). Threading: one thread, but for the
// interrupt check, which waits in a second one.
#pragma once

#include <string>

#include "session.hpp"

namespace tools {

/// Runs the checks on GPU 0, prints a line each and writes the JSON report. Returns the exit code.
/// A check that fails does not stop those that do not need it.
int run_probe(Instance& instance, const std::string& report_file);

}  // namespace tools

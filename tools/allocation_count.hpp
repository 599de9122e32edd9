// Owns: how many calls of malloc and its family a thread has made, for tests and benchmarks that
// count. Does not own: what is done with the count. Threading: each thread has a count of its own.
#pragma once

#include <cstdint>

namespace tools {

/// 0 under sanitizers, which have their own allocator behind these names. Only programs that
/// compile allocation_count.cpp into themselves have it.
std::uint64_t allocations_of_this_thread();

}  // namespace tools

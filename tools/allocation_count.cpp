// Owns: the C allocator's names in this program, counted per thread; the memory is glibc's. Every
//   library of the process meets these first, so operator new of any of them counts too.
// Does not own: what is done with the count.
// Threading: any.
#include "allocation_count.hpp"

#include <cerrno>
#include <cstddef>

namespace {
thread_local std::uint64_t count = 0;
}

namespace tools {
std::uint64_t allocations_of_this_thread() {
  return count;
}
}  // namespace tools

// A sanitizer has its own allocator behind these names: nothing is counted there.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {

void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

#define KILN_VISIBLE __attribute__((visibility("default")))

KILN_VISIBLE void* malloc(std::size_t bytes) {
  ++count;
  return __libc_malloc(bytes);
}
KILN_VISIBLE void* calloc(std::size_t members, std::size_t bytes) {
  ++count;
  return __libc_calloc(members, bytes);
}
KILN_VISIBLE void* realloc(void* memory, std::size_t bytes) {
  ++count;
  return __libc_realloc(memory, bytes);
}
KILN_VISIBLE void* memalign(std::size_t alignment, std::size_t bytes) {
  ++count;
  return __libc_memalign(alignment, bytes);
}
KILN_VISIBLE void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  ++count;
  return __libc_memalign(alignment, bytes);
}
KILN_VISIBLE int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  ++count;
  void* const made = __libc_memalign(alignment, bytes);
  if (made == nullptr) return ENOMEM;
  *memory = made;
  return 0;
}

}  // extern "C"
#endif

// Owns: the one error type of the tree and the helpers that make it.
// Does not own: reporting (core/messenger does that).
// Threading: values only.
#pragma once

#include <vulkan/vulkan_core.h>

#include <cstdarg>
#include <cstdio>
#include <expected>
#include <string>
#include <utility>

namespace kiln {

/// Why something failed: the code a caller branches on and the sentence a person reads.
struct Error {
  VkResult code = VK_ERROR_UNKNOWN;
  std::string message;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

/// printf-style text. (g++ 12 has no <format>.)
[[gnu::format(printf, 1, 2)]] inline std::string strf(const char* format, ...) {
  va_list args;
  va_start(args, format);
  va_list copy;
  va_copy(copy, args);
  const int length = std::vsnprintf(nullptr, 0, format, args);
  va_end(args);
  std::string text(length > 0 ? static_cast<std::size_t>(length) : 0, '\0');
  if (length > 0) std::vsnprintf(text.data(), text.size() + 1, format, copy);
  va_end(copy);
  return text;
}

/// `return fail(VK_ERROR_..., "what, where, what to do")` from any function that returns a Result.
[[nodiscard]] inline std::unexpected<Error> fail(VkResult code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message)});
}

/// Passes an error of another Result on unchanged.
template <class T>
[[nodiscard]] std::unexpected<Error> forward_error(Result<T>& from) {
  return std::unexpected<Error>(std::move(from.error()));
}

}  // namespace kiln

/// Leaves the enclosing function with the error of `expression`, a Status or Result whose value is
/// not needed.
#define KILN_TRY(expression)                                   \
  do {                                                         \
    if (auto kiln_try_result = (expression); !kiln_try_result) \
      return ::kiln::forward_error(kiln_try_result);           \
  } while (0)

/// `KILN_ASSIGN(auto fd, os.open(path));` declares `fd` or leaves with the error.
#define KILN_CONCAT_(a, b) a##b
#define KILN_CONCAT(a, b) KILN_CONCAT_(a, b)
#define KILN_ASSIGN_(temporary, declaration, expression)   \
  auto temporary = (expression);                           \
  if (!temporary) return ::kiln::forward_error(temporary); \
  declaration = std::move(*temporary)
#define KILN_ASSIGN(declaration, expression) \
  KILN_ASSIGN_(KILN_CONCAT(kiln_assign_, __LINE__), declaration, expression)

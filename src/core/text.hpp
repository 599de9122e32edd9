// Owns: copying text into the fixed arrays of public structures.
// Does not own: the text.
// Threading: values only.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

namespace kiln::core {

/// Copies as much as fits and always ends with a zero.
template <std::size_t kSize>
void copy_text(char (&to)[kSize], std::string_view from) {
  const std::size_t length = std::min(kSize - 1, from.size());
  std::memcpy(to, from.data(), length);
  to[length] = '\0';
}

}  // namespace kiln::core

#include "core/messenger.hpp"

#include <algorithm>

namespace kiln::core {

void Messengers::add(const DebugMessenger* messenger) {
  std::lock_guard lock(mutex_);
  all_.push_back(messenger);
}

void Messengers::remove(const DebugMessenger* messenger) {
  std::lock_guard lock(mutex_);
  std::erase(all_, messenger);
}

VkResult Messengers::report(const Error& error) const {
  tell(VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT, error.code, error.message);
  return error.code;
}

void Messengers::tell(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkResult result,
                      const std::string& text) const {
  // Called under the lock, so that a messenger is not destroyed while it is being told; a callback
  // must not call Kiln (kiln.h).
  std::lock_guard lock(mutex_);
  for (const DebugMessenger* messenger : all_) messenger->tell(severity, result, text);
}

}  // namespace kiln::core

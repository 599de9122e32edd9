// Owns: the debug messengers of an instance and telling them.
// Does not own: the messages.
// Threading: messengers may be added, removed and told from any thread.
#pragma once

#include <kiln/kiln.h>

#include <mutex>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace kiln::core {

/// One application callback.
class DebugMessenger {
 public:
  explicit DebugMessenger(const KilnDebugMessengerCreateInfo& info)
      : severities_(info.severities), callback_(info.callback), user_data_(info.pUserData) {}

  void tell(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkResult result,
            const std::string& text) const {
    if ((severities_ & severity) != 0) callback_(severity, result, text.c_str(), user_data_);
  }

 private:
  VkDebugUtilsMessageSeverityFlagsEXT severities_;
  KilnDebugCallback callback_;
  void* user_data_;
};

/// All of them.
class Messengers {
 public:
  void add(const DebugMessenger* messenger);
  void remove(const DebugMessenger* messenger);

  /// Tells an error and gives back its result, so that entry points can `return report(...)`.
  VkResult report(const Error& error) const;
  void tell(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkResult result,
            const std::string& text) const;

 private:
  mutable std::mutex mutex_;
  std::vector<const DebugMessenger*> all_;
};

}  // namespace kiln::core

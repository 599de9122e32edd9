// Owns: who listens to a GPU's system management events, and the lines that they are sent
//   (kfd_smi_events.c).
// Does not own: when something happens that is worth a line (kfd_engines.cpp).
// Threading: safe from any thread; calls out to nothing but the host kernel.
#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

namespace kiln::vgpu {

/// The descriptor a listener gets is one end of a socket pair, so that it can be polled, read,
/// written, passed on and closed like any other. What differs from KFD's: a write of fewer than 8
/// bytes is ignored here and EFAULT there, and the socket may hold more unread lines than KFD's
/// queue does (1 KiB, later 8 KiB).
class SmiListeners {
 public:
  SmiListeners() = default;
  ~SmiListeners();
  SmiListeners(const SmiListeners&) = delete;
  SmiListeners& operator=(const SmiListeners&) = delete;

  /// A new listener's descriptor, or -errno. It hears nothing until it has written a mask of events
  /// (KFD_SMI_EVENT_MASK_FROM_INDEX: bit number minus 1).
  int open();
  /// "EVENT TEXT\n", the number in hex (kfd_smi_event_add), to whoever asked for that event.
  void send(std::uint32_t event, std::string_view text);

 private:
  struct Listener {
    int socket = -1;  ///< our end
    std::uint64_t events = 0;
  };
  /// Takes in the masks that were written; false once the other end is closed.
  static bool update_mask(Listener& listener);

  std::mutex mutex_;
  std::vector<Listener> listeners_;
};

}  // namespace kiln::vgpu

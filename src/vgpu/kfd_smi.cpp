// Owns: see kfd_smi.hpp.
// Does not own: see kfd_smi.hpp.
// Threading: see kfd_smi.hpp.
#include "vgpu/kfd_smi.hpp"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace kiln::vgpu {

SmiListeners::~SmiListeners() {
  for (const Listener& listener : listeners_) ::close(listener.socket);
}

int SmiListeners::open() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return -errno;
  // kfd_smi_event_open: O_RDWR alone, so the descriptor lives on through exec.
  (void)fcntl(ends[0], F_SETFD, 0);
  std::lock_guard lock(mutex_);
  std::erase_if(listeners_, [](Listener& listener) {
    if (update_mask(listener)) return false;
    ::close(listener.socket);
    return true;
  });
  listeners_.push_back({ends[1], 0});
  return ends[0];
}

bool SmiListeners::update_mask(Listener& listener) {
  std::array<std::byte, 512> written;
  while (true) {
    const ssize_t got = recv(listener.socket, written.data(), written.size(), MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    // The last mask counts (kfd_smi_ev_write).
    const auto whole = static_cast<std::size_t>(got) / sizeof listener.events;
    if (whole != 0)
      memcpy(&listener.events, written.data() + (whole - 1) * sizeof listener.events,
             sizeof listener.events);
  }
}

void SmiListeners::send(std::uint32_t event, std::string_view text) {
  char line[96];  // KFD_SMI_EVENT_MSG_SIZE
  const int length =
      snprintf(line, sizeof line, "%x %.*s\n", event, static_cast<int>(text.size()), text.data());
  const auto bytes = std::min<std::size_t>(static_cast<std::size_t>(length), sizeof line - 1);
  std::lock_guard lock(mutex_);
  std::erase_if(listeners_, [&](Listener& listener) {
    if (!update_mask(listener)) {
      ::close(listener.socket);
      return true;
    }
    // A line for which there is no room is lost, as in add_event_to_kfifo.
    if ((listener.events >> (event - 1) & 1) != 0)
      (void)::send(listener.socket, line, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    return false;
  });
}

}  // namespace kiln::vgpu

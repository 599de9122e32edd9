// Owns: libc's names that read, write, seek and poll, where the descriptor is of a device of the
//   machine: the memory behind it must not answer for it.
// Does not own: ioctl and mmap (preload.cpp).
// Threading: as libc's own functions.
//
// /dev/kfd has none of these operations (kfd_chardev.c kfd_fops): reads and writes are EINVAL, a
// file without llseek is not one to seek in (open.c do_dentry_open), and it is always ready, which
// memory is too. Render and card nodes (amdgpu_drv.c amdgpu_driver_kms_fops) read events of
// displays (drm_file.c drm_read), of which there are none; they cannot be written, and stay where
// they are (noop_llseek).
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vgpu/preload_hook.hpp"

using namespace kiln::vgpu;
using namespace kiln::vgpu::preload;

namespace {

ssize_t refuse(int error) {
  errno = error;
  return -1;
}

ssize_t read_device(int fd, off_t device) {
  if (!is_render_or_card(device)) return refuse(EINVAL);
  if ((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0) return refuse(EAGAIN);
  pause();  // for an event that does not come: until a signal ends it
  return refuse(EINTR);
}

off_t seek_device(off_t device) {
  return is_render_or_card(device) ? 0 : refuse(ESPIPE);
}

}  // namespace

HOOK(ssize_t, read, int fd, void* data, size_t size) {
  if (const off_t device = device_of(fd); device != 0) return read_device(fd, device);
  return NEXT(read)(fd, data, size);
}
HOOK(ssize_t, __read_chk, int fd, void* data, size_t size, size_t room) {
  if (const off_t device = device_of(fd); device != 0) return read_device(fd, device);
  return NEXT(__read_chk)(fd, data, size, room);
}
HOOK(ssize_t, pread, int fd, void* data, size_t size, off_t offset) {
  if (const off_t device = device_of(fd); device != 0) return read_device(fd, device);
  return NEXT(pread)(fd, data, size, offset);
}
HOOK(ssize_t, pread64, int fd, void* data, size_t size, off_t offset) {
  if (const off_t device = device_of(fd); device != 0) return read_device(fd, device);
  return NEXT(pread64)(fd, data, size, offset);
}
HOOK(ssize_t, readv, int fd, const iovec* parts, int count) {
  if (const off_t device = device_of(fd); device != 0) return read_device(fd, device);
  return NEXT(readv)(fd, parts, count);
}
HOOK(ssize_t, write, int fd, const void* data, size_t size) {
  if (device_of(fd) != 0) return refuse(EINVAL);
  return NEXT(write)(fd, data, size);
}
HOOK(ssize_t, pwrite, int fd, const void* data, size_t size, off_t offset) {
  if (device_of(fd) != 0) return refuse(EINVAL);
  return NEXT(pwrite)(fd, data, size, offset);
}
HOOK(ssize_t, pwrite64, int fd, const void* data, size_t size, off_t offset) {
  if (device_of(fd) != 0) return refuse(EINVAL);
  return NEXT(pwrite64)(fd, data, size, offset);
}
HOOK(ssize_t, writev, int fd, const iovec* parts, int count) {
  if (device_of(fd) != 0) return refuse(EINVAL);
  return NEXT(writev)(fd, parts, count);
}
HOOK(off_t, lseek, int fd, off_t offset, int whence) {
  if (const off_t device = device_of(fd); device != 0) return seek_device(device);
  return NEXT(lseek)(fd, offset, whence);
}
HOOK(off_t, lseek64, int fd, off_t offset, int whence) {
  if (const off_t device = device_of(fd); device != 0) return seek_device(device);
  return NEXT(lseek64)(fd, offset, whence);
}
HOOK(int, ftruncate, int fd, off_t size) {
  if (device_of(fd) != 0) return static_cast<int>(refuse(EINVAL));  // not a regular file
  return NEXT(ftruncate)(fd, size);
}
HOOK(int, ftruncate64, int fd, off_t size) {
  if (device_of(fd) != 0) return static_cast<int>(refuse(EINVAL));
  return NEXT(ftruncate64)(fd, size);
}

// ---- poll: a node without events is not ready, the memory behind it always

namespace {

bool is_node(int fd) {
  return is_render_or_card(device_of(fd));
}

/// `call` polls the descriptors that it is given, which are `waits` without the nodes.
template <class Call>
int poll_without_nodes(pollfd* waits, nfds_t count, Call call) {
  nfds_t first = 0;
  if (machine() != nullptr)
    while (first < count && !is_node(waits[first].fd)) ++first;
  if (machine() == nullptr || first == count) return call(waits);
  constexpr nfds_t kFew = 64;
  pollfd few[kFew];
  pollfd* others = count <= kFew ? few : static_cast<pollfd*>(malloc(count * sizeof *others));
  if (others == nullptr) return answer(-ENOMEM);
  memcpy(others, waits, count * sizeof *others);
  for (nfds_t i = first; i < count; ++i)
    if (is_node(others[i].fd)) others[i].fd = -1;
  const int result = call(others);
  if (result >= 0)
    for (nfds_t i = 0; i < count; ++i) waits[i].revents = others[i].revents;
  if (others != few) free(others);
  return result;
}

/// The sets come back without them, as for descriptors that are not ready.
void drop_nodes(int count, fd_set* read, fd_set* write, fd_set* except) {
  if (machine() == nullptr) return;
  for (int fd = 0; fd < count && fd < FD_SETSIZE; ++fd) {
    if (!is_node(fd)) continue;
    if (read != nullptr) FD_CLR(fd, read);
    if (write != nullptr) FD_CLR(fd, write);
    if (except != nullptr) FD_CLR(fd, except);
  }
}

}  // namespace

HOOK(int, poll, pollfd* waits, nfds_t count, int timeout) {
  return poll_without_nodes(waits, count,
                            [&](pollfd* others) { return NEXT(poll)(others, count, timeout); });
}
HOOK(int, __poll_chk, pollfd* waits, nfds_t count, int timeout, size_t room) {
  return poll_without_nodes(waits, count, [&](pollfd* others) {
    return NEXT(__poll_chk)(others, count, timeout, others == waits ? room : ~size_t{0});
  });
}
HOOK(int, ppoll, pollfd* waits, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  return poll_without_nodes(
      waits, count, [&](pollfd* others) { return NEXT(ppoll)(others, count, timeout, mask); });
}
HOOK(int, __ppoll_chk, pollfd* waits, nfds_t count, const timespec* timeout, const sigset_t* mask,
     size_t room) {
  return poll_without_nodes(waits, count, [&](pollfd* others) {
    return NEXT(__ppoll_chk)(others, count, timeout, mask, others == waits ? room : ~size_t{0});
  });
}
HOOK(int, select, int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout) {
  drop_nodes(count, read, write, except);
  return NEXT(select)(count, read, write, except, timeout);
}
HOOK(int, pselect, int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout,
     const sigset_t* mask) {
  drop_nodes(count, read, write, except);
  return NEXT(pselect)(count, read, write, except, timeout, mask);
}
// /dev/kfd cannot be polled (EPERM, as memory); nodes can, and have nothing to tell.
HOOK(int, epoll_ctl, int epoll, int operation, int fd, epoll_event* event) {
  if (is_node(fd) && fcntl(epoll, F_GETFD) >= 0) return 0;
  return NEXT(epoll_ctl)(epoll, operation, fd, event);
}

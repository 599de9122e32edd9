#include "vgpu/user_memory.hpp"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <memory>

namespace kiln::vgpu {

namespace {

/// Moves bytes through the kernel, which checks both ends. Where that call is forbidden (a strict
/// seccomp filter) the copy is a plain one: a bad pointer then crashes its owner.
bool transfer(bool read, std::uint64_t user, void* own, std::size_t bytes) {
  if (bytes == 0) return true;
  if (!access_ok(user)) return false;
  struct iovec local{own, bytes};
  struct iovec remote{reinterpret_cast<void*>(user), bytes};
  const ssize_t done = read ? process_vm_readv(getpid(), &local, 1, &remote, 1, 0)
                            : process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
  if (done == static_cast<ssize_t>(bytes)) return true;
  if (done < 0 && (errno == EPERM || errno == ENOSYS) && user != 0) {
    if (read)
      memcpy(own, reinterpret_cast<const void*>(user), bytes);
    else
      memcpy(reinterpret_cast<void*>(user), own, bytes);
    return true;
  }
  return false;
}

}  // namespace

bool copy_from_user(void* to, std::uint64_t from, std::size_t bytes) {
  return transfer(true, from, to, bytes);
}

bool copy_to_user(std::uint64_t to, const void* from, std::size_t bytes) {
  return transfer(false, to, const_cast<void*>(from), bytes);
}

HostAccess host_access(std::uint64_t address, std::uint64_t bytes) {
  if (!access_ok(address) || address + bytes < address) return HostAccess::None;
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(fopen("/proc/self/maps", "re"), fclose);
  if (maps == nullptr) return HostAccess::ReadWrite;  // no /proc: cannot be checked
  std::uint64_t at = address;
  const std::uint64_t end = address + bytes;
  char line[512];
  bool line_start = true;
  while (at < end && fgets(line, sizeof line, maps.get()) != nullptr) {
    const bool parse = line_start;
    line_start = strchr(line, '\n') != nullptr;
    unsigned long first = 0, last = 0;
    char rights[5] = {};
    if (!parse || sscanf(line, "%lx-%lx %4s", &first, &last, rights) != 3) continue;
    if (last <= at) continue;
    // What GPUs have of their own is not pages of the process (VM_PFNMAP: hmm_vma_walk_test).
    if (first > at || rights[0] != 'r' || strstr(line, " /memfd:kiln-vgpu-") != nullptr)
      return HostAccess::None;
    if (rights[1] != 'w') return HostAccess::ReadOnly;
    at = last;
  }
  return at >= end ? HostAccess::ReadWrite : HostAccess::None;
}

}  // namespace kiln::vgpu

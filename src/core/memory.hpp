// Owns: an allocation as the application sees it.
// Does not own: how the driver allocates (kmd/), which allocations a device has (device.*).
// Threading: immutable, but for the list of devices, which locks.
#pragma once

#include <kiln/kiln.h>

#include <mutex>
#include <vector>

#include "base/result.hpp"
#include "core/object.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

class Memory {
 public:
  static Result<Memory*> create(Device& device, const KilnMemoryAllocateInfo& info,
                                const VkAllocationCallbacks* callbacks);
  Memory(Device& device, kmd::Memory allocation, std::uint32_t type);
  ~Memory();
  Memory(const Memory&) = delete;

  Result<void*> map() const;
  Status map_to(Device& peer);
  Result<int> export_fd() const;
  const kmd::Memory& allocation() const { return allocation_; }
  std::uint32_t type() const { return type_; }

 private:
  Device& device_;
  kmd::Memory allocation_;
  std::uint32_t type_;
  std::mutex mutex_;
};

}  // namespace kiln::core

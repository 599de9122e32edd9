// Owns: the GPU-visible blocks that command buffers of one queue family record into, and those
// command
//   buffers.
// Does not own: recording (command_buffer.*).
// Threading: a pool and its command buffers are externally synchronised together.
#pragma once

#include <kiln/kiln.h>

#include <memory>
#include <vector>

#include "base/result.hpp"
#include "core/object.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

/// Uncached system memory that the host writes and the GPU reads.
using Block = kmd::Memory;

class CommandPool {
 public:
  static Result<CommandPool*> create(Device& device, const KilnCommandPoolCreateInfo& info,
                                     const VkAllocationCallbacks* callbacks);
  CommandPool(Device& device, std::uint32_t family, const VkAllocationCallbacks* callbacks);
  ~CommandPool();
  CommandPool(const CommandPool&) = delete;

  Device& device() const { return device_; }
  std::uint32_t family() const { return family_; }
  KilnQueueFamilyKind kind() const;

  Status allocate_buffers(std::uint32_t count, KilnCommandBuffer* buffers);
  void free_buffers(std::uint32_t count, const KilnCommandBuffer* buffers);
  Status reset();

  /// A block of at least `bytes`, for as long as the caller keeps it.
  Result<Block> take_block(std::uint64_t bytes);
  void give_back(const Block& block);
  /// Two zeroed counters for the XCC join of one command buffer, in uncached VRAM; 0 with one XCC.
  Result<kmd::Va> take_join_counters();

 private:
  Device& device_;
  std::uint32_t family_;
  const VkAllocationCallbacks* callbacks_;
  VkAllocationCallbacks callbacks_copy_{};
  std::vector<CommandBuffer*> buffers_;
  std::vector<Block> free_blocks_;  // of the standard size
  std::vector<kmd::Memory> counters_;
  std::uint64_t next_counter_ = 0;
  std::vector<kmd::Va> free_counters_;

  friend class CommandBuffer;
};

}  // namespace kiln::core

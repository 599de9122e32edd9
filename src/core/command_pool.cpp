#include "core/command_pool.hpp"

#include <algorithm>
#include <cstring>

#include "core/command_buffer.hpp"
#include "core/device.hpp"
#include "core/physical_device.hpp"

namespace kiln::core {
namespace {

constexpr std::uint64_t kBlockBytes = 64 * 1024;
constexpr std::uint64_t kCounterPageBytes = 64 * 1024;
constexpr std::uint64_t kCounterBytes = 512;  // two dwords 256 bytes apart

}  // namespace

Result<CommandPool*> CommandPool::create(Device& device, const KilnCommandPoolCreateInfo& info,
                                         const VkAllocationCallbacks* callbacks) {
  KILN_TRY(device.check_alive());
  const std::size_t families = device.physical().families().size();
  if (info.queueFamilyIndex >= families)
    return fail(
        VK_ERROR_VALIDATION_FAILED_EXT,
        strf("queue family %u does not exist: there are %zu", info.queueFamilyIndex, families));
  return make_object<CommandPool>(callbacks, device, info.queueFamilyIndex, callbacks);
}

CommandPool::CommandPool(Device& device, std::uint32_t family,
                         const VkAllocationCallbacks* callbacks)
    : device_(device), family_(family), callbacks_(nullptr) {
  if (callbacks != nullptr) {
    callbacks_copy_ = *callbacks;
    callbacks_ = &callbacks_copy_;
  }
}

CommandPool::~CommandPool() {
  for (CommandBuffer* buffer : buffers_) destroy_object(callbacks_, buffer);
  for (const Block& block : free_blocks_) (void)device_.gpu().free(block);
  for (const kmd::Memory& page : counters_) (void)device_.gpu().free(page);
}

KilnQueueFamilyKind CommandPool::kind() const {
  return device_.physical().families()[family_].kind;
}

Status CommandPool::allocate_buffers(std::uint32_t count, KilnCommandBuffer* buffers) {
  for (std::uint32_t i = 0; i < count; ++i) buffers[i] = nullptr;
  for (std::uint32_t i = 0; i < count; ++i) {
    Status made = [&]() -> Status {
      KILN_ASSIGN(const kmd::Va counters, take_join_counters());
      KILN_ASSIGN(CommandBuffer * buffer, make_object<CommandBuffer>(callbacks_, *this, counters));
      buffers_.push_back(buffer);
      buffers[i] = to_handle(buffer);
      return {};
    }();
    if (!made) {
      free_buffers(i, buffers);
      for (std::uint32_t j = 0; j < i; ++j) buffers[j] = nullptr;
      return made;
    }
  }
  return {};
}

void CommandPool::free_buffers(std::uint32_t count, const KilnCommandBuffer* buffers) {
  for (std::uint32_t i = 0; i < count; ++i) {
    CommandBuffer* buffer = from(buffers[i]);
    if (buffer == nullptr) continue;
    std::erase(buffers_, buffer);
    if (buffer->join_counters() != 0) free_counters_.push_back(buffer->join_counters());
    destroy_object(callbacks_, buffer);
  }
}

Status CommandPool::reset() {
  for (CommandBuffer* buffer : buffers_) KILN_TRY(buffer->reset());
  return {};
}

Result<Block> CommandPool::take_block(std::uint64_t bytes) {
  if (bytes <= kBlockBytes && !free_blocks_.empty()) {
    const Block block = free_blocks_.back();
    free_blocks_.pop_back();
    return block;
  }
  kmd::MemoryDesc desc;
  desc.size = std::max(bytes, kBlockBytes);
  desc.heap = kmd::Heap::System;
  desc.host_visible = desc.uncached = desc.coherent = desc.executable = true;
  return device_.gpu().allocate(desc, {});
}

void CommandPool::give_back(const Block& block) {
  if (block.desc.size == kBlockBytes)
    free_blocks_.push_back(block);
  else
    (void)device_.gpu().free(block);
}

Result<kmd::Va> CommandPool::take_join_counters() {
  if (kind() != KILN_QUEUE_FAMILY_COMPUTE || device_.physical().info().xcc_count <= 1)
    return kmd::Va{0};
  if (!free_counters_.empty()) {
    const kmd::Va counters = free_counters_.back();
    free_counters_.pop_back();
    return counters;
  }
  if (counters_.empty() || next_counter_ + kCounterBytes > kCounterPageBytes) {
    // VRAM, because the command processors add to them atomically and a host bridge may not support
    // that (KFD's topology flag NO_ATOMICS).
    kmd::MemoryDesc desc;
    desc.size = kCounterPageBytes;
    desc.heap = kmd::Heap::Vram;
    desc.host_visible = desc.uncached = desc.coherent = true;
    KILN_ASSIGN(kmd::Memory page, device_.gpu().allocate(desc, {}));
    std::memset(page.host, 0, page.desc.size);
    device_.flush_hdp();
    counters_.push_back(page);
    next_counter_ = 0;
  }
  const kmd::Va counters = counters_.back().address + next_counter_;
  next_counter_ += kCounterBytes;
  return counters;
}

}  // namespace kiln::core

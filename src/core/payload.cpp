#include "core/payload.hpp"

#include <cstring>

#include "core/limits.hpp"

namespace kiln::core {
namespace {

constexpr std::uint64_t kObjectBytes = 64;
constexpr std::uint64_t kPoolPageBytes = 16 * kPageBytes;

// amd_hsa_signal.h, amd_signal_t: kind at 0 (1 = AMD_SIGNAL_KIND_USER), value at 8,
// event_mailbox_ptr at 16, event_id at 24.
struct SignalObject {
  std::int64_t kind;
  std::uint64_t value;
  std::uint64_t event_mailbox_ptr;
  std::uint32_t event_id;
  std::uint32_t reserved[9];
};
static_assert(sizeof(SignalObject) == kObjectBytes && offsetof(SignalObject, value) == 8);

}  // namespace

Payload init_payload(void* host, kmd::Va address, std::uint64_t initial, const kmd::Event& event) {
  auto* object = new (host) SignalObject{};
  object->kind = 1;
  object->value = initial;
  object->event_mailbox_ptr = event.mailbox;
  object->event_id = event.id;
  return {reinterpret_cast<std::atomic<std::uint64_t>*>(&object->value), address,
          address + offsetof(SignalObject, value)};
}

PayloadPool::~PayloadPool() {
  for (const kmd::Memory& page : pages_) (void)gpu_.free(page);
}

Result<Payload> PayloadPool::allocate(std::uint64_t initial, const kmd::Event& event) {
  std::lock_guard lock(mutex_);
  if (free_.empty()) {
    kmd::MemoryDesc desc;
    desc.size = kPoolPageBytes;
    desc.heap = kmd::Heap::System;
    desc.host_visible = true;
    desc.uncached = true;
    desc.coherent = true;
    KILN_ASSIGN(kmd::Memory page, gpu_.allocate(desc, {}));
    pages_.push_back(page);
    for (std::uint64_t offset = 0; offset < kPoolPageBytes; offset += kObjectBytes)
      free_.push_back(
          init_payload(static_cast<std::byte*>(page.host) + offset, page.address + offset, 0, {}));
  }
  const Payload taken = free_.back();
  free_.pop_back();
  void* host = reinterpret_cast<std::byte*>(taken.value) - offsetof(SignalObject, value);
  return init_payload(host, taken.object, initial, event);
}

void PayloadPool::free(const Payload& payload) {
  std::lock_guard lock(mutex_);
  free_.push_back(payload);
}

}  // namespace kiln::core

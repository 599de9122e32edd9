#include "vgpu/memory.hpp"

#include <algorithm>
#include <mutex>

namespace kiln::vgpu {

bool AddressSpace::map(const Mapping& mapping) {
  std::unique_lock lock(mutex_);
  auto next = by_begin_.lower_bound(mapping.begin);
  if (next != by_begin_.end() && next->second.begin < mapping.end) return false;
  if (next != by_begin_.begin() && std::prev(next)->second.end > mapping.begin) return false;
  static std::atomic<std::uint64_t> serial{0};
  by_begin_.emplace_hint(next, mapping.begin, mapping)->second.serial = ++serial;
  generation_.fetch_add(1, std::memory_order_release);
  return true;
}

bool AddressSpace::unmap(Va begin) {
  std::unique_lock lock(mutex_);
  if (by_begin_.erase(begin) == 0) return false;
  generation_.fetch_add(1, std::memory_order_release);
  return true;
}

bool AddressSpace::keep_out_of_l2(const std::byte* host, std::uint64_t bytes) {
  std::unique_lock lock(mutex_);
  bool any = false;
  for (auto& [begin, mapping] : by_begin_) {
    if (mapping.host >= host + bytes || mapping.host + (mapping.end - begin) <= host) continue;
    mapping.mtype = Mtype::Uncached;
    any = true;
  }
  if (any) generation_.fetch_add(1, std::memory_order_release);
  return any;
}

bool AddressSpace::find(Va va, Mapping* mapping) const {
  std::shared_lock lock(mutex_);
  auto next = by_begin_.upper_bound(va);
  if (next == by_begin_.begin()) return false;
  const Mapping& candidate = std::prev(next)->second;
  if (va >= candidate.end) return false;
  *mapping = candidate;
  return true;
}

void MemoryPort::refill(Entry& entry, Va va) {
  // The generation is read first: a change in between makes the entry stale, never wrong for long.
  entry.generation = space_->generation();
  entry.page = va / kPageBytes;
  if (!space_->find(va, &entry.mapping)) entry.mapping = Mapping{};
}

void MemoryPort::record_fault(Va va, std::size_t bytes, Access access, const Mapping& mapping) {
  const bool present = va >= mapping.begin && va < mapping.end;
  fault_.access = access;
  fault_.not_present = !present || permits(mapping, access);
  // An access that starts inside a mapping and runs over its end faults at the end.
  fault_.address = present && va + bytes > mapping.end ? mapping.end : va;
}

bool MemoryPort::load(Va va, void* to, std::size_t bytes, Client client, Scope scope,
                      Access access) {
  auto* out = static_cast<std::byte*>(to);
  while (bytes > 0) {
    const Entry& entry = entry_of(va);
    const bool inside = va >= entry.mapping.begin && va < entry.mapping.end;
    const std::size_t run = inside ? std::min<std::size_t>(bytes, entry.mapping.end - va) : bytes;
    const std::byte* host = translate(va, run, access);
    if (host == nullptr) return false;
    if (caches_ != nullptr)
      caches_->load(client, scope, entry.mapping, va, out, run);
    else
      guest_copy(out, host, run);
    va += run;
    out += run;
    bytes -= run;
  }
  return true;
}

bool MemoryPort::store(Va va, const void* from, std::size_t bytes, Client client, Scope scope) {
  auto* in = static_cast<const std::byte*>(from);
  while (bytes > 0) {
    const Entry& entry = entry_of(va);
    const bool inside = va >= entry.mapping.begin && va < entry.mapping.end;
    const std::size_t run = inside ? std::min<std::size_t>(bytes, entry.mapping.end - va) : bytes;
    std::byte* host = translate(va, run, Access::Store);
    if (host == nullptr) return false;
    if (caches_ != nullptr)
      caches_->store(client, scope, entry.mapping, va, in, run);
    else
      guest_copy(host, in, run);
    va += run;
    in += run;
    bytes -= run;
  }
  return true;
}

}  // namespace kiln::vgpu

// Owns: how command processors and SDMA engines reach guest memory: copies, aligned words that
// other
//   threads poll, and the atomics that packets name.
// Does not own: translation and caches (memory.hpp, caches.hpp).
// Threading: a port belongs to one engine; words are read and written whole, with acquire and
// release
//   order, so that whoever sees a signal sees what was written before it.
#pragma once

#include <bit>
#include <memory>

#include "vgpu/memory.hpp"

namespace kiln::vgpu {

/// TC_OP numbers of vega10_enum.h, as ATOMIC_MEM and SDMA's ATOMIC carry them: 32-bit forms that
/// return at 0x00, 64-bit ones 0x20 higher, forms without a return value 0x40 higher.
enum class TcOp : std::uint8_t {
  Swap = 0x07,
  CompareSwap = 0x08,
  Add = 0x0f,
  Sub = 0x10,
  SignedMin = 0x11,
  UnsignedMin = 0x12,
  SignedMax = 0x13,
  UnsignedMax = 0x14,
  And = 0x15,
  Or = 0x16,
  Xor = 0x17,
  Inc = 0x18,
  Dec = 0x19,
};

inline bool is_known_atomic(std::uint32_t op) {
  op &= 0x1f;
  return op == 0x07 || op == 0x08 || (op >= 0x0f && op <= 0x19);
}
inline bool is_64_bit_atomic(std::uint32_t op) {
  return (op & 0x20) != 0;
}

template <class T>
T apply_atomic(std::uint32_t op, T old, T source, T compare) {
  using S = std::make_signed_t<T>;
  const auto less = [](T a, T b) { return static_cast<S>(a) < static_cast<S>(b); };
  switch (static_cast<TcOp>(op & 0x1f)) {
    case TcOp::Swap:
      return source;
    case TcOp::CompareSwap:
      return old == compare ? source : old;
    case TcOp::Add:
      return old + source;
    case TcOp::Sub:
      return old - source;
    case TcOp::SignedMin:
      return less(source, old) ? source : old;
    case TcOp::UnsignedMin:
      return source < old ? source : old;
    case TcOp::SignedMax:
      return less(old, source) ? source : old;
    case TcOp::UnsignedMax:
      return old < source ? source : old;
    case TcOp::And:
      return old & source;
    case TcOp::Or:
      return old | source;
    case TcOp::Xor:
      return old ^ source;
    case TcOp::Inc:
      return old >= source ? 0 : old + 1;
    case TcOp::Dec:
      return old == 0 || old > source ? source : old - 1;
  }
  return old;
}

class EnginePort {
 public:
  /// `caches` null: memory itself.
  EnginePort(const AddressSpace& space, std::unique_ptr<CacheModel> caches, Client client)
      : caches_(std::move(caches)), port_(space, caches_.get()), client_(client) {}

  bool read(Va va, void* to, std::size_t bytes, Scope scope = Scope::Wave) {
    return port_.load(va, to, bytes, client_, scope);
  }
  bool write(Va va, const void* from, std::size_t bytes, Scope scope = Scope::Wave) {
    return port_.store(va, from, bytes, client_, scope);
  }

  /// A naturally aligned word; polls and signals. Scope System: memory, not a cache's copy.
  template <class T>
  bool read_word(Va va, T* value, Scope scope = Scope::System) {
    if (cell_is_memory(va, sizeof(T))) {
      std::byte* host = port_.translate(va, sizeof(T), Access::Load);
      if (host == nullptr) return false;
      *value = std::atomic_ref<T>(*reinterpret_cast<T*>(host)).load(std::memory_order_acquire);
      return true;
    }
    return port_.load(va, value, sizeof(T), client_, scope);
  }
  template <class T>
  bool write_word(Va va, T value, Scope scope = Scope::System) {
    if (cell_is_memory(va, sizeof(T))) {
      std::byte* host = port_.translate(va, sizeof(T), Access::Store);
      if (host == nullptr) return false;
      std::atomic_ref<T>(*reinterpret_cast<T*>(host)).store(value, std::memory_order_release);
      return true;
    }
    return port_.store(va, &value, sizeof(T), client_, scope);
  }

  /// The operation a packet names, on 4 or 8 bytes; `old` may be null.
  template <class T>
  bool atomic(std::uint32_t op, Va va, T source, T compare, T* old) {
    return port_.atomic<T>(
        va, [=](T before) { return apply_atomic<T>(op, before, source, compare); }, old, client_,
        Scope::Agent);
  }

  /// Host bytes, where no cache model stands between; null without one or when not mapped.
  std::byte* direct(Va va, std::size_t bytes, Access access) {
    return port_.strict() ? nullptr : port_.translate(va, bytes, access);
  }
  /// Bytes from `va` to the end of its mapping; 0 where nothing is mapped.
  std::uint64_t room(Va va, Access access) {
    const Mapping* mapping = port_.mapping_at(va, access);
    return mapping != nullptr ? mapping->end - va : 0;
  }
  bool strict() const { return port_.strict(); }
  const MemoryFault& fault() const { return port_.fault(); }

 private:
  bool cell_is_memory(Va va, std::size_t bytes) {
    if (va % bytes != 0) return false;
    if (!port_.strict()) return true;
    const Mapping* mapping = port_.mapping_at(va, Access::Load);
    return mapping != nullptr &&
           (mapping->mtype == Mtype::Uncached || mapping->mtype == Mtype::Coherent);
  }

  std::unique_ptr<CacheModel> caches_;
  MemoryPort port_;
  Client client_;
};

}  // namespace kiln::vgpu

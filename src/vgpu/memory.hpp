// Owns: the virtual GPU's view of memory: page mappings of one process on one GPU, and the port
//   through which every engine and every wave reaches guest memory, with host atomics where the
//   guest's are atomic.
// Does not own: allocation (machine.*), the incoherent cache model behind `CacheModel` (caches.*).
// Threading: AddressSpace is safe from any thread; a MemoryPort is used by one thread at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <shared_mutex>

namespace kiln::vgpu {

namespace isa {
class CodeCache;
}

using Va = std::uint64_t;

inline constexpr Va kPageBytes = 4096;

/// How a page behaves in the L2 (AMDGPU MTYPE): Uncached and Coherent are never kept there,
/// ReadWrite and NonCoherent stay until a write-back or invalidate. The caches of a CU, which never
/// hold written data back, keep pages of every kind (LLVM AMDGPUUsage, memory model gfx942: the
/// kernarg segment is MTYPE UC and the scalar cache is invalidated all the same).
enum class Mtype : std::uint8_t { NonCoherent, ReadWrite, Coherent, Uncached };

enum class Access : std::uint8_t { Load, Store, Atomic, Execute };

/// A range of guest addresses with one host backing. The backing outlives the mapping: an access
/// that races with an unmap reads stale bytes, it never crashes the host.
struct Mapping {
  Va begin = 0, end = 0;
  std::byte* host = nullptr;  ///< of `begin`
  bool writable = true, executable = true;
  Mtype mtype = Mtype::ReadWrite;
  bool local = true;         ///< this GPU's own VRAM
  bool host_memory = false;  ///< system memory (GTT, userptr)
  std::uint64_t serial = 0;  ///< set by AddressSpace::map: no other mapping ever had it
};

struct MemoryFault {
  Va address = 0;
  Access access = Access::Load;
  bool not_present = true;  ///< false: present, but without that permission
};

/// The GPU page table of one process on one GPU.
class AddressSpace {
 public:
  /// Adds a mapping; false if it overlaps one.
  bool map(const Mapping& mapping);
  /// Removes the mapping that begins at `begin`; false if there is none.
  bool unmap(Va begin);
  /// From now on no L2 keeps what lies in [host, host + bytes): another process has a GPU of its
  /// own over the same memory, where hardware has one L2 for both. True if anything is mapped of
  /// it.
  bool keep_out_of_l2(const std::byte* host, std::uint64_t bytes);
  /// The mapping that holds `va`, or false.
  bool find(Va va, Mapping* mapping) const;
  /// Changes whenever a cached translation may be wrong.
  [[gnu::always_inline]] std::uint64_t generation() const {
    return generation_.load(std::memory_order_acquire);
  }
  /// Decoded machine code of this space; made at first use (isa/code_cache.cpp) and dropped with
  /// it.
  isa::CodeCache& code() const;

 private:
  mutable std::shared_mutex mutex_;
  mutable std::shared_ptr<isa::CodeCache> code_;
  std::map<Va, Mapping> by_begin_;
  std::atomic<std::uint64_t> generation_{1};
};

/// Who asks, for the cache model: a vector access, a scalar load, an instruction fetch, the command
/// processor, an SDMA engine.
enum class Client : std::uint8_t { Vector, Scalar, Fetch, CommandProcessor, Sdma };

/// How far an access or a fence must be seen. Wave: any cache may serve it.
enum class Scope : std::uint8_t { Wave, Workgroup, Agent, System };

/// Strict memory: the caches that hardware does not keep coherent. Null in a port means coherent.
class CacheModel {
 public:
  virtual ~CacheModel() = default;
  virtual void load(Client client, Scope scope, const Mapping& mapping, Va va, void* to,
                    std::size_t bytes) = 0;
  virtual void store(Client client, Scope scope, const Mapping& mapping, Va va, const void* from,
                     std::size_t bytes) = 0;
  /// Makes `va` current at the point where an atomic of `scope` executes, and returns the host
  /// bytes to operate on under the model's lock, which `end_atomic` releases.
  virtual std::byte* begin_atomic(Client client, Scope scope, const Mapping& mapping, Va va,
                                  std::size_t bytes) = 0;
  virtual void end_atomic(Va va, std::size_t bytes) = 0;
  /// The fence instructions of kernels (buffer_wbl2, buffer_inv, buffer_gl0_inv, s_dcache_inv,
  /// ...).
  virtual void release(Client client, Scope scope) = 0;
  virtual void acquire(Client client, Scope scope) = 0;
};

/// Copies to and from guest memory where no cache model stands between. Guests race by design (spin
/// locks, flags in shared buffers); this is the one place where ThreadSanitizer learns so.
#if defined(__SANITIZE_THREAD__)
#define KILN_GUEST_RACES 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KILN_GUEST_RACES 1
#endif
#endif
#ifdef KILN_GUEST_RACES
inline void guest_copy(void* to, const void* from, std::size_t bytes) {
  auto* out = static_cast<unsigned char*>(to);
  auto* in = static_cast<const unsigned char*>(from);
  for (std::size_t i = 0; i < bytes; ++i)
    __atomic_store_n(out + i, __atomic_load_n(in + i, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}
#else
[[gnu::always_inline]] inline void guest_copy(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}
#endif

/// One client's way to memory, with a small translation cache.
class MemoryPort {
 public:
  MemoryPort(const AddressSpace& space, CacheModel* caches) : space_(&space), caches_(caches) {}

  const AddressSpace& space() const { return *space_; }
  bool strict() const { return caches_ != nullptr; }
  CacheModel* caches() const { return caches_; }

  /// Host bytes of [va, va + bytes) if mapped for `access` by one mapping; else null and fault().
  /// Only for coherent ports, or for callers that go through the cache model afterwards.
  [[gnu::always_inline]] std::byte* translate(Va va, std::size_t bytes, Access access) {
    const Entry& entry = entry_of(va);
    if (va >= entry.mapping.begin && va + bytes <= entry.mapping.end && va + bytes > va &&
        permits(entry.mapping, access)) [[likely]]
      return entry.mapping.host + (va - entry.mapping.begin);
    record_fault(va, bytes, access, entry.mapping);
    return nullptr;
  }

  /// Copies; an access over several mappings is split. False: fault() says where.
  bool load(Va va, void* to, std::size_t bytes, Client client = Client::Vector,
            Scope scope = Scope::Wave, Access access = Access::Load);
  bool store(Va va, const void* from, std::size_t bytes, Client client = Client::Vector,
             Scope scope = Scope::Wave);

  /// Applies `op(T old) -> T` atomically with respect to every other client and the host. `va` must
  /// be naturally aligned (the caller checks).
  template <class T, class Op>
  bool atomic(Va va, Op op, T* old, Client client = Client::Vector, Scope scope = Scope::Agent) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    std::byte* host = translate(va, sizeof(T), Access::Atomic);
    if (host == nullptr) return false;
    const bool modelled = caches_ != nullptr;
    if (modelled) host = caches_->begin_atomic(client, scope, entry_of(va).mapping, va, sizeof(T));
    std::atomic_ref<T> cell(*reinterpret_cast<T*>(host));
    T seen = cell.load(std::memory_order_relaxed);
    while (!cell.compare_exchange_weak(seen, op(seen), std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
    }
    if (modelled) caches_->end_atomic(va, sizeof(T));
    if (old != nullptr) *old = seen;
    return true;
  }

  const MemoryFault& fault() const { return fault_; }

  /// The mapping that holds `va` if it permits `access`, else null; records no fault. Valid until
  /// the next call on this port.
  [[gnu::always_inline]] const Mapping* mapping_at(Va va, Access access) {
    const Mapping& mapping = entry_of(va).mapping;
    return va >= mapping.begin && va < mapping.end && permits(mapping, access) ? &mapping : nullptr;
  }

 private:
  struct Entry {
    Va page = ~Va{0};
    std::uint64_t generation = 0;
    Mapping mapping;
  };

  [[gnu::always_inline]] static bool permits(const Mapping& mapping, Access access) {
    switch (access) {
      case Access::Load:
        return true;
      case Access::Store:
      case Access::Atomic:
        return mapping.writable;
      case Access::Execute:
        return mapping.executable;
    }
    return false;
  }
  [[gnu::always_inline]] const Entry& entry_of(Va va) {
    const Va page = va / kPageBytes;
    Entry& entry = entries_[page % entries_.size()];
    if (entry.page != page || entry.generation != space_->generation()) [[unlikely]]
      refill(entry, va);
    return entry;
  }
  void refill(Entry& entry, Va va);
  void record_fault(Va va, std::size_t bytes, Access access, const Mapping& mapping);

  const AddressSpace* space_;
  CacheModel* caches_;
  MemoryFault fault_;
  std::array<Entry, 64> entries_;
};

}  // namespace kiln::vgpu

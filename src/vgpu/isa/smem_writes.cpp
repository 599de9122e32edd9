// Owns: what gfx9's scalar unit writes: s_store, s_buffer_store, s_atomic, s_buffer_atomic.
// Does not own: scalar loads and cache control (smem.cpp), the operations (lane_atomics.hpp).
// Threading: the wave's host thread.
//
// Sources: AMD CDNA2 ISA, "Scalar memory operations". Stores go to the L2 at once here, so that a
// missing s_dcache_wb does not show; the scalar cache forgets what it holds.
#include <algorithm>

#include "vgpu/isa/lane_atomics.hpp"
#include "vgpu/isa/salu.hpp"
#include "vgpu/isa/scalar.hpp"

namespace kiln::vgpu::isa {
namespace {

namespace ops = KILN_ISA_NS::mem;

/// Immediate and SGPR offset; addresses ignore their low two bits.
std::int64_t offset_of(const Wave& w, const Instruction& i) {
  std::int64_t offset = i.offset & ~3;
  if (i.src[1] != kNoOperand) offset += scalar32(w, i, i.src[1]) & ~3u;
  return offset;
}

/// Where an access begins, and how many bytes the resource has from there.
struct Target {
  Va va;
  std::uint64_t inside;
};

/// From an SGPR pair, or from a resource: base 47:0, stride 61:48, num_records in the third dword.
template <bool kBuffer>
Target target_of(const Wave& w, const Instruction& i) {
  const std::uint64_t low = scalar64(w, i, i.src[0]);
  const auto offset = static_cast<std::uint64_t>(offset_of(w, i));
  if constexpr (!kBuffer) return {(low & ~Va{3}) + offset, ~std::uint64_t{0}};
  const std::uint64_t records = scalar32(w, i, i.src[0] + 2u), stride = low >> 48 & 0x3fff;
  const std::uint64_t size = stride == 0 ? records : records * stride;
  return {(low & 0x0000fffffffffffcu) + offset, size > offset ? size - offset : 0};
}

template <unsigned kDwords, bool kBuffer>
void store(Wave& w, const Instruction& i) {
  const Target to = target_of<kBuffer>(w, i);
  if (i.src[2] + kDwords > 128) return w.halt("scalar store past the last scalar register");
  const std::uint64_t bytes = std::min<std::uint64_t>(kDwords * 4, to.inside & ~std::uint64_t{3});
  if (bytes == 0) return;
  if (!w.group->port->store(to.va, &w.s[i.src[2]], bytes, Client::Scalar, Scope::Wave)) w.fault();
  if (CacheModel* caches = w.group->port->caches()) caches->acquire(Client::Scalar, Scope::Agent);
}

/// GLC returns the old value in the data registers. Data is the value, then the comparand.
template <class T, class Op, bool kBuffer>
void atomic(Wave& w, const Instruction& i) {
  const Target to = target_of<kBuffer>(w, i);
  if (to.va % sizeof(T) != 0) return w.halt("misaligned address in a scalar atomic");
  const auto data = [&](unsigned index) {
    T value;
    std::memcpy(&value, &w.s[(i.src[2] + index * sizeof(T) / 4) & 127], sizeof value);
    return value;
  };
  T old = 0;
  if (to.inside >= sizeof(T)) {
    const ops::AtomicData<T> operands{data(0), data(1)};
    const auto apply = [&operands](T seen) { return Op::apply(seen, operands); };
    if (!w.group->port->atomic<T>(to.va, apply, &old, Client::Scalar, Scope::Agent))
      return w.fault();
  }
  if ((i.cache & kCacheGlc) == 0) return;
  if constexpr (sizeof(T) == 8)
    set_scalar64(w, i.src[2], old);
  else
    set_scalar32(w, i.src[2], old);
}

#define ROW(name, ...) Semantics(name, Handler(__VA_ARGS__))
#define STORES(prefix, buffer)                                                                  \
  ROW(prefix "_store_dword", store<1, buffer>), ROW(prefix "_store_dwordx2", store<2, buffer>), \
      ROW(prefix "_store_dwordx4", store<4, buffer>)
#define ATOMICS(prefix, suffix, T, buffer)                                       \
  ROW(prefix "_atomic_swap" suffix, atomic<T, ops::Swap, buffer>),               \
      ROW(prefix "_atomic_cmpswap" suffix, atomic<T, ops::CompareSwap, buffer>), \
      ROW(prefix "_atomic_add" suffix, atomic<T, ops::Add, buffer>),             \
      ROW(prefix "_atomic_sub" suffix, atomic<T, ops::Sub, buffer>),             \
      ROW(prefix "_atomic_smin" suffix, atomic<T, ops::MinSigned, buffer>),      \
      ROW(prefix "_atomic_umin" suffix, atomic<T, ops::MinUnsigned, buffer>),    \
      ROW(prefix "_atomic_smax" suffix, atomic<T, ops::MaxSigned, buffer>),      \
      ROW(prefix "_atomic_umax" suffix, atomic<T, ops::MaxUnsigned, buffer>),    \
      ROW(prefix "_atomic_and" suffix, atomic<T, ops::And, buffer>),             \
      ROW(prefix "_atomic_or" suffix, atomic<T, ops::Or, buffer>),               \
      ROW(prefix "_atomic_xor" suffix, atomic<T, ops::Xor, buffer>),             \
      ROW(prefix "_atomic_inc" suffix, atomic<T, ops::Inc, buffer>),             \
      ROW(prefix "_atomic_dec" suffix, atomic<T, ops::Dec, buffer>)

constexpr Semantics kRows[] = {
    STORES("s", false),
    STORES("s_buffer", true),
    ATOMICS("s", "", std::uint32_t, false),
    ATOMICS("s", "_x2", std::uint64_t, false),
    ATOMICS("s_buffer", "", std::uint32_t, true),
    ATOMICS("s_buffer", "_x2", std::uint64_t, true),
};

}  // namespace

void smem_write_semantics(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa

// Owns: scalar memory instructions: s_load, s_buffer_load, scalar cache control, clocks.
// Does not own: vector memory (memory_*.cpp).
// Threading: the wave's host thread.
//
// Sources: AMD CDNA3 and RDNA3 ISA documents, "Scalar memory operations".
#include "vgpu/isa/dispatch.hpp"
#include "vgpu/isa/salu.hpp"
#include "vgpu/isa/scalar.hpp"

namespace kiln::vgpu::isa {
namespace {

/// Byte offset of immediate and SGPR; addresses ignore their low two bits.
std::int64_t offset_of(const Wave& w, const Instruction& i) {
  std::int64_t offset = i.offset & ~3;
  if (i.src[1] != kNoOperand) offset += scalar32(w, i, i.src[1]) & ~3u;
  return offset;
}

Scope scope_of(const Instruction& i) {
  return (i.cache & kCacheGlc) != 0 ? Scope::Agent : Scope::Wave;
}

template <unsigned kDwords>
void load(Wave& w, const Instruction& i) {
  const Va base = scalar64(w, i, i.src[0]) & ~Va{3};
  const Va va = base + static_cast<std::uint64_t>(offset_of(w, i));
  std::uint32_t data[kDwords];
  if (!w.group->port->load(va, data, sizeof data, Client::Scalar, scope_of(i))) {
    w.fault();
    return;
  }
  if (i.dst == kNull) return;
  if (i.dst + kDwords > 128) {
    w.halt("scalar load past the last scalar register");
    return;
  }
  std::memcpy(&w.s[i.dst], data, sizeof data);
}

/// Base 47:0, stride 61:48 of the first two dwords; num_records the third. Dwords beyond the end
/// read 0.
template <unsigned kDwords>
void buffer_load(Wave& w, const Instruction& i) {
  const std::uint64_t low = scalar64(w, i, i.src[0]);
  const std::uint64_t records = scalar32(w, i, i.src[0] + 2u);
  const Va base = low & 0x0000fffffffffffcu;
  const std::uint64_t stride = low >> 48 & 0x3fff;
  const std::uint64_t bytes = stride == 0 ? records : records * stride;
  const std::uint64_t offset = static_cast<std::uint64_t>(offset_of(w, i));
  std::uint32_t data[kDwords] = {};
  unsigned inside = 0;
  while (inside < kDwords && offset + inside * 4 + 4 <= bytes) ++inside;
  if (inside > 0 &&
      !w.group->port->load(base + offset, data, inside * 4u, Client::Scalar, scope_of(i))) {
    w.fault();
    return;
  }
  if (i.dst == kNull) return;
  if (i.dst + kDwords > 128) {
    w.halt("scalar load past the last scalar register");
    return;
  }
  std::memcpy(&w.s[i.dst], data, sizeof data);
}

template <Client kClient, Scope kScope>
void invalidate(Wave& w, const Instruction&) {
  if (CacheModel* caches = w.group->port->caches()) caches->acquire(kClient, kScope);
}
void write_back(Wave& w, const Instruction&) {
  if (CacheModel* caches = w.group->port->caches()) caches->release(Client::Scalar, Scope::Agent);
}

void real_time(Wave& w, const Instruction& i) {
  set_scalar64(w, i.dst, w.group->environment->clock());
}
/// Shader cycles: 21 to a tick of 100 MHz at the MI300X's peak clock of 2100 MHz.
void shader_time(Wave& w, const Instruction& i) {
  set_scalar64(w, i.dst, w.group->environment->clock() * 21);
}

#define ROW(name, ...) Semantics(name, Handler(__VA_ARGS__))
constexpr Semantics kRows[] = {
    ROW("s_load_b32", load<1>),
    ROW("s_load_b64", load<2>),
    ROW("s_load_b128", load<4>),
    ROW("s_load_b256", load<8>),
    ROW("s_load_b512", load<16>),
    ROW("s_buffer_load_b32", buffer_load<1>),
    ROW("s_buffer_load_b64", buffer_load<2>),
    ROW("s_buffer_load_b128", buffer_load<4>),
    ROW("s_buffer_load_b256", buffer_load<8>),
    ROW("s_buffer_load_b512", buffer_load<16>),
    ROW("s_dcache_inv", invalidate<Client::Scalar, Scope::Agent>),
    ROW("s_dcache_inv_vol", invalidate<Client::Scalar, Scope::Agent>),
    ROW("s_gl1_inv", invalidate<Client::Vector, Scope::Agent>),
    ROW("s_dcache_wb", write_back),
    ROW("s_dcache_wb_vol", write_back),
    ROW("s_memrealtime", real_time),
    ROW("s_memtime", shader_time),
};

}  // namespace

void smem_semantics(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa

// Owns: MUBUF instructions: buffer resources, their range checks and swizzle, loads, stores,
// atomics
//   and the cache control instructions of that format.
// Does not own: format conversion (buffer_load_format_*, MTBUF): those stop with their name.
// Threading: the wave's host thread. Hot: compiled in both flavours.
//
// Sources: CDNA2, CDNA3 ISA "Memory buffer instructions", RDNA2, RDNA3 ISA "Buffer addressing";
// Mesa's ac_descriptors.c for the unit of num_records; LLVM's SIInstrInfo.cpp
// (getScratchRsrcWords23) for the fields of the private segment's descriptor.
#include "vgpu/isa/memory_tables.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS::mem {
namespace {

/// A buffer resource (V#): base 47:0, stride 61:48, num_records 95:64, flags 127:96.
struct Resource {
  Va base;
  U32 stride, records, flags;
  bool swizzle;
  U32 element;  ///< bytes that stay together when swizzled

  Resource(const Wave& w, const Instruction& i) {
    const U64 low = scalar64(w, i, i.src[2]);
    base = low & 0xffffffffffffu;
    stride = static_cast<U32>(low >> 48 & 0x3fff);
    records = scalar32(w, i, i.src[2] + 2u);
    flags = scalar32(w, i, i.src[2] + 3u);
    const U32 mode = static_cast<U32>(low >> 62);
    if (w.arch != Arch::Rdna3) {  // bit 63 swizzles, by dwords
      swizzle = (mode & 2) != 0;
      element = 4;
      // gfx9: with ADD_TID_ENABLE the data format is stride 17:14.
      if (is_cdna(w.arch) && add_thread_id()) stride |= (flags >> 15 & 0xf) << 14;
    } else {
      swizzle = mode != 0;
      element = mode == 0 ? 4 : 2u << mode;  // 1: 4 bytes, 2: 8, 3: 16
    }
  }
  U32 index_stride() const { return 8u << (flags >> 21 & 3); }
  bool add_thread_id() const { return (flags >> 23 & 1) != 0; }
};

/// How an offset is checked against num_records.
enum class Check : std::uint8_t { Bytes, Index, IndexAndOffset, ZeroOnly };

Check check_of(const Wave& w, const Instruction& i, const Resource& r) {
  if (is_cdna(w.arch))  // GFX9: elements if IDXEN and a stride, else bytes
    return i.idxen && r.stride != 0 ? Check::Index : Check::Bytes;
  switch (r.flags >> 28 & 3) {  // GFX10+: OOB_SELECT
    case 0:
      return Check::IndexAndOffset;
    case 1:
      return Check::Index;
    case 2:
      return Check::ZeroOnly;
    default:
      return Check::Bytes;
  }
}

/// Addresses of one access of all lanes and which lanes' dwords are in range.
struct BufferLanes {
  U64 active = 0;
  U64 inside[4] = {};  ///< for each dword (or the one element)
  bool whole = true;   ///< every active lane is inside with everything, in one piece
  Addresses at[4];     ///< at[0] always; the others unless `whole`
};

template <unsigned kElement, unsigned kCount>
void buffer_addresses(const Wave& w, const Instruction& i, BufferLanes& lanes) {
  const Resource r(w, i);
  const Check check = check_of(w, i, r);
  const U32 soffset = i.src[3] == kNoOperand || i.src[3] == kNull ? 0 : scalar32(w, i, i.src[3]);
  lanes.active = w.exec();
  const U32* index_row = i.idxen ? vgpr(w, i.src[0])->lane : nullptr;
  const U32* offset_row = i.offen ? vgpr(w, i.src[0])[i.idxen ? 1 : 0].lane : nullptr;
  // Swizzling needs no stride: the private segment's descriptor has none (ROCr's aql_queue.cpp,
  // InitScratchSRD), its thread ids stay inside one group.
  // num_records counts from the base, the scalar offset is outside of it.
  const U64 bytes = r.records > soffset ? r.records - soffset : 0;
  for_each_lane(lanes.active, [&](unsigned lane) {
    const U64 index =
        U64{index_row != nullptr ? index_row[lane] : 0} + (r.add_thread_id() ? lane : 0);
    const U64 offset =
        U64{static_cast<U32>(i.offset)} + (offset_row != nullptr ? offset_row[lane] : 0);
    for (unsigned k = 0; k < kCount; ++k) {
      const U64 within = offset + k * kElement;
      U64 linear = index * r.stride + within;
      if (r.swizzle) {
        const U64 group = r.index_stride();
        linear = (index / group * r.stride + within / r.element * r.element) * group +
                 index % group * r.element + within % r.element;
      }
      bool inside = true;
      switch (check) {
        case Check::Bytes:  // gfx9 compares what it swizzled
          inside = (is_cdna(w.arch) ? linear : index * r.stride + within) + kElement <= bytes;
          break;
        case Check::Index:
          inside = index < r.records;
          break;
        case Check::IndexAndOffset:
          inside = index < r.records && (r.stride == 0 || within + kElement <= r.stride);
          break;
        case Check::ZeroOnly:
          inside = r.records != 0;
          break;
      }
      lanes.at[k].va[lane] = r.base + soffset + linear;
      if (inside) lanes.inside[k] |= U64{1} << lane;
      lanes.whole &= inside;
    }
  });
  lanes.whole &= !r.swizzle || kCount == 1;
}

template <class Kind>
bool read(Wave& w, const Instruction& i, BufferLanes& lanes, VectorRegister* rows) {
  buffer_addresses<Kind::kElement, Kind::kCount>(w, i, lanes);
  if (lanes.active == 0) return false;
  if (lanes.whole)
    return gather<Kind::kElement, Kind::kCount>(w, i, lanes.at[0], lanes.active, rows);
  for (unsigned k = 0; k < Kind::kCount; ++k) {
    // Out of range reads 0.
    for_each_lane(lanes.active & ~lanes.inside[k], [&](unsigned lane) { rows[k].lane[lane] = 0; });
    if (lanes.inside[k] != 0 &&
        !gather<Kind::kElement, 1>(w, i, lanes.at[k], lanes.inside[k], rows + k))
      return false;
  }
  return true;
}

template <class Kind>
void load(Wave& w, const Instruction& i) {
  BufferLanes lanes;
  if (i.lds) {
    VectorRegister rows[Kind::kCount];
    if (read<Kind>(w, i, lanes, rows))
      store_rows_to_lds(w, i, lanes.active, rows, [](U32 raw) { return Kind::widen(raw, 0); });
    return;
  }
  VectorRegister* to = vgpr(w, i.dst);
  Kind::into(w, to, w.exec(), [&](VectorRegister* rows) { return read<Kind>(w, i, lanes, rows); });
  // TFE: one more register tells of pages that are not resident; there are none of those.
  if (i.tfe) for_each_lane(lanes.active, [&](unsigned lane) { to[Kind::kCount].lane[lane] = 0; });
}

template <class Kind>
void store(Wave& w, const Instruction& i) {
  BufferLanes lanes;
  buffer_addresses<Kind::kElement, Kind::kCount>(w, i, lanes);
  if (lanes.active == 0) return;
  VectorRegister spare;
  const VectorRegister* rows = Kind::from(vgpr(w, i.src[1]), &spare);
  if (lanes.whole) {
    scatter<Kind::kElement, Kind::kCount>(w, i, lanes.at[0], lanes.active, rows);
    return;
  }
  for (unsigned k = 0; k < Kind::kCount; ++k)
    if (lanes.inside[k] != 0 &&
        !scatter<Kind::kElement, 1>(w, i, lanes.at[k], lanes.inside[k], rows + k))
      return;
}

template <class T, class Op>
void atomic(Wave& w, const Instruction& i) {
  BufferLanes lanes;
  buffer_addresses<sizeof(T), 1>(w, i, lanes);
  const VectorRegister* data = vgpr(w, i.src[1]);
  VectorRegister* result = is_vgpr(i.dst) ? vgpr(w, i.dst) : nullptr;
  if (atomic_lanes<T, Op>(w, i, lanes.at[0], lanes.inside[0], data, result) && result != nullptr)
    for_each_lane(lanes.active & ~lanes.inside[0],
                  [&](unsigned lane) { set_lane_value<T>(result, lane, T{0}); });
}

// ---- Cache control (LLVM AMDGPUUsage, memory models of gfx90a, gfx942 and gfx11).

void write_back(Wave& w, const Instruction& i) {
  if (CacheModel* caches = w.group->port->caches())
    caches->release(Client::Vector, access_scope(w, i));
}
void invalidate(Wave& w, const Instruction& i) {
  if (CacheModel* caches = w.group->port->caches())
    caches->acquire(Client::Vector, access_scope(w, i));
}
template <Scope kScope>
void invalidate_level(Wave& w, const Instruction&) {
  if (CacheModel* caches = w.group->port->caches()) caches->acquire(Client::Vector, kScope);
}

void write_back_all(Wave& w, const Instruction&) {
  if (CacheModel* caches = w.group->port->caches()) caches->release(Client::Vector, Scope::System);
}

#define BUFFER_ATOMIC(T, Op) atomic<T, Op>

constexpr Semantics kRows[] = {
    KILN_ROW("buffer_load_u8", load<LoadU8>),
    KILN_ROW("buffer_load_i8", load<LoadI8>),
    KILN_ROW("buffer_load_u16", load<LoadU16>),
    KILN_ROW("buffer_load_i16", load<LoadI16>),
    KILN_ROW("buffer_load_b32", load<LoadB32>),
    KILN_ROW("buffer_load_b64", load<LoadB64>),
    KILN_ROW("buffer_load_b96", load<LoadB96>),
    KILN_ROW("buffer_load_b128", load<LoadB128>),
    KILN_ROW("buffer_load_d16_u8", load<LoadD16U8>),
    KILN_ROW("buffer_load_d16_i8", load<LoadD16I8>),
    KILN_ROW("buffer_load_d16_b16", load<LoadD16B16>),
    KILN_ROW("buffer_load_d16_hi_u8", load<LoadD16HiU8>),
    KILN_ROW("buffer_load_d16_hi_i8", load<LoadD16HiI8>),
    KILN_ROW("buffer_load_d16_hi_b16", load<LoadD16HiB16>),
    KILN_ROW("buffer_store_b8", store<StoreB8>),
    KILN_ROW("buffer_store_b16", store<StoreB16>),
    KILN_ROW("buffer_store_b32", store<StoreB32>),
    KILN_ROW("buffer_store_b64", store<StoreB64>),
    KILN_ROW("buffer_store_b96", store<StoreB96>),
    KILN_ROW("buffer_store_b128", store<StoreB128>),
    KILN_ROW("buffer_store_d16_hi_b8", store<StoreD16HiB8>),
    KILN_ROW("buffer_store_d16_hi_b16", store<StoreD16HiB16>),
    KILN_VECTOR_ATOMICS("buffer", BUFFER_ATOMIC),
    KILN_ROW("buffer_wbl2", write_back),
    KILN_ROW("buffer_inv", invalidate),
    KILN_ROW("buffer_wbl2_system", write_back_all),
    KILN_ROW("buffer_invl2", invalidate_level<Scope::System>),
    KILN_ROW("buffer_wbinvl1", invalidate_level<Scope::Agent>),
    KILN_ROW("buffer_wbinvl1_vol", invalidate_level<Scope::Agent>),
    KILN_ROW("buffer_gl0_inv", invalidate_level<Scope::Workgroup>),
    KILN_ROW("buffer_gl1_inv", invalidate_level<Scope::Agent>),
};

}  // namespace

void buffer_semantics(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS::mem

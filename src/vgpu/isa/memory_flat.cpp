// Owns: FLAT, GLOBAL and SCRATCH instructions: addresses, apertures, loads, stores, atomics.
// Does not own: buffers (memory_buffer.cpp), DS (memory_ds.cpp), moving the data (lane_memory.hpp).
// Threading: the wave's host thread. Hot: compiled in both flavours.
//
// Sources: CDNA3 ISA "Flat memory instructions", RDNA3 ISA "Flat memory instructions"; LLVM
// AMDGPUUsage "Address spaces" for the scratch swizzle.
#include "vgpu/isa/lane_atomics.hpp"
#include "vgpu/isa/memory_tables.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS::mem {
namespace {

bool absent(unsigned operand) {
  return operand == kNoOperand || operand == kNull;
}

/// 64-bit VGPR pair, or SGPR pair plus 32-bit VGPR; inst_offset is signed.
void global_addresses(const Wave& w, const Instruction& i, Addresses& a) {
  const U64 offset = static_cast<U64>(I64{i.offset});
  if (!absent(i.src[2])) {
    const U64 base = scalar64(w, i, i.src[2]) + offset;
    if (absent(i.src[0])) {
      for (unsigned lane = 0; lane < kMaxLanes; ++lane) a.va[lane] = base;
      return;
    }
    const U32* low = vgpr(w, i.src[0])->lane;
    for (unsigned lane = 0; lane < kMaxLanes; ++lane) a.va[lane] = base + low[lane];
    return;
  }
  const U32* low = vgpr(w, i.src[0])[0].lane;
  const U32* high = vgpr(w, i.src[0])[1].lane;
  for (unsigned lane = 0; lane < kMaxLanes; ++lane)
    a.va[lane] = (static_cast<U64>(high[lane]) << 32 | low[lane]) + offset;
}

/// Byte offsets in the lane's private segment: VGPR, SGPR and inst_offset, each of which may be
/// off.
void scratch_offsets(const Wave& w, const Instruction& i, Offsets& a) {
  U32 base = static_cast<U32>(i.offset);
  if (!absent(i.src[2])) base += scalar32(w, i, i.src[2]);
  if (absent(i.src[0])) {
    for (unsigned lane = 0; lane < kMaxLanes; ++lane) a.at[lane] = base;
    return;
  }
  const U32* at = vgpr(w, i.src[0])->lane;
  for (unsigned lane = 0; lane < kMaxLanes; ++lane) a.at[lane] = at[lane] + base;
}

/// Address of private byte `at` of a lane: dwords of all lanes lie side by side.
KILN_ALWAYS_INLINE Va swizzled(const Wave& w, Va base, U32 at, unsigned lane) {
  return base + static_cast<U64>(at & ~3u) * w.lanes + lane * 4u + (at & 3);
}

/// Halts unless every active lane's [at, at + bytes) is inside its private segment. `aligned` tells
/// whether each element stays inside its dword.
bool check_scratch(Wave& w, const Instruction& i, const Offsets& a, U64 mask, U32 bytes,
                   U32 element, bool* aligned) {
  *aligned = true;
  for (; mask != 0; mask &= mask - 1) {
    const U32 at = a.at[std::countr_zero(mask)];
    if (U64{at} + bytes > w.scratch_lane_bytes) {
      violation_at(w, i, "private segment overrun by");
      return false;
    }
    *aligned &= (at & 3) + element <= 4;
  }
  return true;
}

template <class Kind>
bool scratch_read(Wave& w, const Instruction& i, const Offsets& at, U64 mask,
                  VectorRegister* rows) {
  constexpr U32 kBytes = Kind::kElement * Kind::kCount;
  bool aligned;
  if (!check_scratch(w, i, at, mask, kBytes, Kind::kElement, &aligned)) return false;
  const Va base = w.flat_scratch();
  Addresses a;
  if (aligned) {
    for (unsigned lane = 0; lane < kMaxLanes; ++lane)
      a.va[lane] = swizzled(w, base, at.at[lane], lane);
    return gather<Kind::kElement, Kind::kCount>(w, i, a, mask, rows, w.lanes * 4u);
  }
  for (U64 rest = mask; rest != 0; rest &= rest - 1) {
    const unsigned lane = static_cast<unsigned>(std::countr_zero(rest));
    for (unsigned k = 0; k < Kind::kCount; ++k) rows[k].lane[lane] = 0;
    for (U32 byte = 0; byte < kBytes; ++byte) {
      U8 value;
      if (!w.group->port->load(swizzled(w, base, at.at[lane] + byte, lane), &value, 1,
                               Client::Vector, access_scope(w, i))) {
        w.fault();
        return false;
      }
      rows[byte / 4].lane[lane] |= static_cast<U32>(value) << (byte % 4 * 8);
    }
  }
  return true;
}

template <class Kind>
bool scratch_write(Wave& w, const Instruction& i, const Offsets& at, U64 mask,
                   const VectorRegister* rows) {
  constexpr U32 kBytes = Kind::kElement * Kind::kCount;
  bool aligned;
  if (!check_scratch(w, i, at, mask, kBytes, Kind::kElement, &aligned)) return false;
  const Va base = w.flat_scratch();
  Addresses a;
  if (aligned) {
    for (unsigned lane = 0; lane < kMaxLanes; ++lane)
      a.va[lane] = swizzled(w, base, at.at[lane], lane);
    return scatter<Kind::kElement, Kind::kCount>(w, i, a, mask, rows, w.lanes * 4u);
  }
  for (U64 rest = mask; rest != 0; rest &= rest - 1) {
    const unsigned lane = static_cast<unsigned>(std::countr_zero(rest));
    for (U32 byte = 0; byte < kBytes; ++byte) {
      const U8 value = static_cast<U8>(rows[byte / 4].lane[lane] >> (byte % 4 * 8));
      if (!w.group->port->store(swizzled(w, base, at.at[lane] + byte, lane), &value, 1)) {
        w.fault();
        return false;
      }
    }
  }
  return true;
}

/// FLAT: the top half of an address chooses between LDS, private and global memory.
struct FlatLanes {
  U64 global, lds, scratch;
  Offsets at;  ///< of LDS and private lanes
};
void classify(const Wave& w, const Addresses& a, U64 mask, FlatLanes& f) {
  const U64 shared = w.group->shared_aperture >> 32, priv = w.group->private_aperture >> 32;
  U64 lds = 0, scratch = 0;
  for (unsigned lane = 0; lane < w.lanes; ++lane) {
    const U64 high = a.va[lane] >> 32;
    lds |= static_cast<U64>(high == shared) << lane;
    scratch |= static_cast<U64>(high == priv) << lane;
    f.at.at[lane] = static_cast<U32>(a.va[lane]);
  }
  f.lds = lds & mask;
  f.scratch = scratch & mask;
  f.global = mask & ~(f.lds | f.scratch);
}

enum class Segment : std::uint8_t { Flat, Global, Scratch };

template <class Kind, Segment kSegment>
void load(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0) return;
  VectorRegister* to = vgpr(w, i.dst);
  Kind::into(w, to, mask, [&](VectorRegister* rows) -> bool {
    if constexpr (kSegment == Segment::Scratch) {
      Offsets at;
      scratch_offsets(w, i, at);
      return scratch_read<Kind>(w, i, at, mask, rows);
    } else {
      Addresses a;
      global_addresses(w, i, a);
      if constexpr (kSegment == Segment::Global) {
        return gather<Kind::kElement, Kind::kCount>(w, i, a, mask, rows);
      } else {
        FlatLanes f;
        classify(w, a, mask, f);
        if (f.scratch != 0 && !scratch_read<Kind>(w, i, f.at, f.scratch, rows)) return false;
        if (f.lds != 0) lds_gather<Kind::kElement, Kind::kCount>(w, f.at, f.lds, rows);
        return f.global == 0 || gather<Kind::kElement, Kind::kCount>(w, i, a, f.global, rows);
      }
    }
  });
}

template <class Kind, Segment kSegment>
void store(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0) return;
  VectorRegister spare;
  const VectorRegister* rows = Kind::from(vgpr(w, i.src[1]), &spare);
  if constexpr (kSegment == Segment::Scratch) {
    Offsets at;
    scratch_offsets(w, i, at);
    scratch_write<Kind>(w, i, at, mask, rows);
  } else {
    Addresses a;
    global_addresses(w, i, a);
    if constexpr (kSegment == Segment::Global) {
      scatter<Kind::kElement, Kind::kCount>(w, i, a, mask, rows);
    } else {
      FlatLanes f;
      classify(w, a, mask, f);
      if (f.scratch != 0 && !scratch_write<Kind>(w, i, f.at, f.scratch, rows)) return;
      if (f.lds != 0) lds_scatter<Kind::kElement, Kind::kCount>(w, f.at, f.lds, rows);
      if (f.global != 0) scatter<Kind::kElement, Kind::kCount>(w, i, a, f.global, rows);
    }
  }
}

template <class T, class Op, Segment kSegment>
void atomic(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0) return;
  Addresses a;
  global_addresses(w, i, a);
  const VectorRegister* data = vgpr(w, i.src[1]);
  VectorRegister* result = is_vgpr(i.dst) ? vgpr(w, i.dst) : nullptr;
  if constexpr (kSegment == Segment::Global) {
    atomic_lanes<T, Op>(w, i, a, mask, data, result);
  } else {
    FlatLanes f;
    classify(w, a, mask, f);
    if (f.scratch != 0) {
      // Private memory belongs to one lane, so that swizzling the address is all it takes; a 64-bit
      // atomic would straddle two lanes' dwords and hardware has none there.
      bool aligned;
      if (sizeof(T) != 4) {
        violation_at(w, i, "private address in");
        return;
      }
      if (!check_scratch(w, i, f.at, f.scratch, 4, 4, &aligned)) return;
      const Va base = w.flat_scratch();
      for_each_lane(f.scratch,
                    [&](unsigned lane) { a.va[lane] = swizzled(w, base, f.at.at[lane], lane); });
    }
    if (f.lds != 0 &&
        !lds_atomic_lanes<T, Op>(w, i, f.at, f.lds, data, data + sizeof(T) / 4, result))
      return;
    atomic_lanes<T, Op>(w, i, a, f.global | f.scratch, data, result);
  }
}

/// global_load_lds: the data goes to LDS at M0 + inst_offset + 4 * lane (CDNA3 ISA, "Memory to
/// LDS").
template <class Kind, Segment kSegment>
void load_to_lds(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0) return;
  VectorRegister rows[Kind::kCount];
  bool ok;
  if constexpr (kSegment == Segment::Scratch) {
    Offsets at;
    scratch_offsets(w, i, at);
    ok = scratch_read<Kind>(w, i, at, mask, rows);
  } else {
    Addresses a;
    global_addresses(w, i, a);
    ok = gather<Kind::kElement, Kind::kCount>(w, i, a, mask, rows);
  }
  if (ok) store_rows_to_lds(w, i, mask, rows, [](U32 raw) { return Kind::widen(raw, 0); });
}

/// GLOBAL_*_ADDTID: address = SGPR base + inst_offset + 4 * lane.
void addtid_addresses(const Wave& w, const Instruction& i, Addresses& a) {
  U64 base = static_cast<U64>(I64{i.offset});
  if (!absent(i.src[2])) base += scalar64(w, i, i.src[2]);
  for (unsigned lane = 0; lane < kMaxLanes; ++lane) a.va[lane] = base + lane * 4u;
}
void load_addtid(Wave& w, const Instruction& i) {
  Addresses a;
  addtid_addresses(w, i, a);
  if (w.exec() != 0) gather<4, 1>(w, i, a, w.exec(), vgpr(w, i.dst));
}
void store_addtid(Wave& w, const Instruction& i) {
  Addresses a;
  addtid_addresses(w, i, a);
  if (w.exec() != 0) scatter<4, 1>(w, i, a, w.exec(), vgpr(w, i.src[1]));
}

#define LOADS(prefix, segment)                                           \
  KILN_ROW(prefix "_load_u8", load<LoadU8, segment>),                    \
      KILN_ROW(prefix "_load_i8", load<LoadI8, segment>),                \
      KILN_ROW(prefix "_load_u16", load<LoadU16, segment>),              \
      KILN_ROW(prefix "_load_i16", load<LoadI16, segment>),              \
      KILN_ROW(prefix "_load_b32", load<LoadB32, segment>),              \
      KILN_ROW(prefix "_load_b64", load<LoadB64, segment>),              \
      KILN_ROW(prefix "_load_b96", load<LoadB96, segment>),              \
      KILN_ROW(prefix "_load_b128", load<LoadB128, segment>),            \
      KILN_ROW(prefix "_load_d16_u8", load<LoadD16U8, segment>),         \
      KILN_ROW(prefix "_load_d16_i8", load<LoadD16I8, segment>),         \
      KILN_ROW(prefix "_load_d16_b16", load<LoadD16B16, segment>),       \
      KILN_ROW(prefix "_load_d16_hi_u8", load<LoadD16HiU8, segment>),    \
      KILN_ROW(prefix "_load_d16_hi_i8", load<LoadD16HiI8, segment>),    \
      KILN_ROW(prefix "_load_d16_hi_b16", load<LoadD16HiB16, segment>),  \
      KILN_ROW(prefix "_store_b8", store<StoreB8, segment>),             \
      KILN_ROW(prefix "_store_b16", store<StoreB16, segment>),           \
      KILN_ROW(prefix "_store_b32", store<StoreB32, segment>),           \
      KILN_ROW(prefix "_store_b64", store<StoreB64, segment>),           \
      KILN_ROW(prefix "_store_b96", store<StoreB96, segment>),           \
      KILN_ROW(prefix "_store_b128", store<StoreB128, segment>),         \
      KILN_ROW(prefix "_store_d16_hi_b8", store<StoreD16HiB8, segment>), \
      KILN_ROW(prefix "_store_d16_hi_b16", store<StoreD16HiB16, segment>)
#define LDS_LOADS(prefix, segment)                                     \
  KILN_ROW(prefix "_load_lds_u8", load_to_lds<LoadU8, segment>),       \
      KILN_ROW(prefix "_load_lds_i8", load_to_lds<LoadI8, segment>),   \
      KILN_ROW(prefix "_load_lds_u16", load_to_lds<LoadU16, segment>), \
      KILN_ROW(prefix "_load_lds_i16", load_to_lds<LoadI16, segment>), \
      KILN_ROW(prefix "_load_lds_b32", load_to_lds<LoadB32, segment>)
#define FLAT_ATOMIC(T, Op) atomic<T, Op, Segment::Flat>
#define GLOBAL_ATOMIC(T, Op) atomic<T, Op, Segment::Global>

constexpr Semantics kRows[] = {
    LOADS("flat", Segment::Flat),
    LOADS("global", Segment::Global),
    LOADS("scratch", Segment::Scratch),
    LDS_LOADS("global", Segment::Global),
    LDS_LOADS("scratch", Segment::Scratch),
    KILN_VECTOR_ATOMICS("flat", FLAT_ATOMIC),
    KILN_VECTOR_ATOMICS("global", GLOBAL_ATOMIC),
    KILN_ROW("global_load_addtid_b32", load_addtid),
    KILN_ROW("global_store_addtid_b32", store_addtid),
};

}  // namespace

void flat_semantics(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS::mem

namespace kiln::vgpu::isa::KILN_ISA_NS {

void memory_semantics(SemanticsSink& sink) {
  mem::flat_semantics(sink);
  mem::buffer_semantics(sink);
  mem::ds_semantics(sink);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS

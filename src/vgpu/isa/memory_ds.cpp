// Owns: DS instructions: LDS loads, stores and atomics, and the lane exchanges that go through the
//   LDS crossbar (permute, bpermute, swizzle).
// Does not own: FLAT accesses that end in LDS (memory_flat.cpp); GDS and GWS, which no supported
//   target offers to compute queues by default: they stop with their name.
// Threading: the wave's host thread. Hot: compiled in both flavours.
//
// Sources: CDNA3 and RDNA3 ISA documents, "Data share operations" and the DS pseudocode.
#include "vgpu/isa/memory_tables.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS::mem {
namespace {

/// VGPR address plus an unsigned offset, wrapping at 32 bits.
KILN_ALWAYS_INLINE void lds_addresses(const Wave& w, const Instruction& i, U32 offset, Offsets& a) {
  const U32* at = vgpr(w, i.src[0])->lane;
  for (unsigned lane = 0; lane < kMaxLanes; ++lane) a.at[lane] = at[lane] + offset;
}

KILN_ALWAYS_INLINE bool global_data_share(Wave& w, const Instruction& i) {
  if (i.gds) [[unlikely]]
    halt_at(w, i, "no global data share for");
  return i.gds;
}

template <class Kind>
void load(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0 || global_data_share(w, i)) return;
  Offsets a;
  lds_addresses(w, i, static_cast<U32>(i.offset), a);
  Kind::into(w, vgpr(w, i.dst), mask, [&](VectorRegister* rows) {
    lds_gather<Kind::kElement, Kind::kCount>(w, a, mask, rows);
    return true;
  });
}

template <class Kind>
void store(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0 || global_data_share(w, i)) return;
  Offsets a;
  lds_addresses(w, i, static_cast<U32>(i.offset), a);
  VectorRegister spare;
  lds_scatter<Kind::kElement, Kind::kCount>(w, a, mask, Kind::from(vgpr(w, i.src[1]), &spare));
}

/// Two addresses, each offset counting elements (times 64 in the stride64 forms).
template <unsigned kDwords, unsigned kStride>
void load_two(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0 || global_data_share(w, i)) return;
  constexpr U32 kScale = kDwords * 4 * kStride;
  Offsets first, second;
  // Both before either result: the destination may hold the address.
  lds_addresses(w, i, static_cast<U32>(i.offset & 0xff) * kScale, first);
  lds_addresses(w, i, i.offset1 * kScale, second);
  lds_gather<4, kDwords>(w, first, mask, vgpr(w, i.dst));
  lds_gather<4, kDwords>(w, second, mask, vgpr(w, i.dst) + kDwords);
}

template <unsigned kDwords, unsigned kStride>
void store_two(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0 || global_data_share(w, i)) return;
  constexpr U32 kScale = kDwords * 4 * kStride;
  Offsets a;
  lds_addresses(w, i, static_cast<U32>(i.offset & 0xff) * kScale, a);
  lds_scatter<4, kDwords>(w, a, mask, vgpr(w, i.src[1]));
  lds_addresses(w, i, i.offset1 * kScale, a);
  lds_scatter<4, kDwords>(w, a, mask, vgpr(w, i.src[2]));
}

/// kSwapped: gfx9's ds_cmpst has the comparand first, gfx11's ds_cmpstore the new value.
template <class T, class Op, bool kSwapped = false>
void atomic(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0 || global_data_share(w, i)) return;
  Offsets a;
  lds_addresses(w, i, static_cast<U32>(i.offset), a);
  const VectorRegister* first = vgpr(w, i.src[1]);
  const VectorRegister* second = is_vgpr(i.src[2]) ? vgpr(w, i.src[2]) : first;
  if constexpr (kSwapped) std::swap(first, second);
  lds_atomic_lanes<T, Op>(w, i, a, mask, first, second, is_vgpr(i.dst) ? vgpr(w, i.dst) : nullptr);
}

template <class T, unsigned kStride>
void exchange_two(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0 || global_data_share(w, i)) return;
  constexpr U32 kScale = sizeof(T) * kStride;
  Offsets first, second;
  lds_addresses(w, i, static_cast<U32>(i.offset & 0xff) * kScale, first);
  lds_addresses(w, i, i.offset1 * kScale, second);
  // Data is read before a result may overwrite it.
  constexpr unsigned kRows = sizeof(T) / 4;
  VectorRegister data[kRows * 2];
  std::memcpy(data, vgpr(w, i.src[1]), sizeof(VectorRegister) * kRows);
  std::memcpy(data + kRows, vgpr(w, i.src[2]), sizeof(VectorRegister) * kRows);
  VectorRegister* to = vgpr(w, i.dst);
  if (lds_atomic_lanes<T, Swap>(w, i, first, mask, data, data, to))
    lds_atomic_lanes<T, Swap>(w, i, second, mask, data + kRows, data + kRows, to + kRows);
}

/// Each half's top bit says whether that dword is stored (without the bit).
void conditional_exchange(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0 || global_data_share(w, i)) return;
  const U64 size = w.group->lds.size();
  std::byte* lds = w.group->lds.data();
  const VectorRegister* data = vgpr(w, i.src[1]);
  VectorRegister* to = vgpr(w, i.dst);
  for_each_lane(mask, [&](unsigned lane) {
    const U32 base = (vgpr(w, i.src[0])->lane[lane] + static_cast<U32>(i.offset)) & 0xfff8;
    const U32 values[2] = {data[0].lane[lane], data[1].lane[lane]};
    for (unsigned half = 0; half < 2; ++half) {
      const U32 at = base + half * 4;
      U32 old = 0;
      if (at + 4 <= size) {
        std::memcpy(&old, lds + at, 4);
        const U32 value = values[half] & 0x7fffffff;
        if (values[half] >> 31 != 0) std::memcpy(lds + at, &value, 4);
      }
      to[half].lane[lane] = old;
    }
  });
}

/// One counter for the wave: LDS[M0 + offset] changes by the number of active lanes.
template <bool kAppend>
void count_lanes(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  if (mask == 0 || global_data_share(w, i)) return;
  const U64 at = (w.s[kM0] & 0xffff) + static_cast<U32>(i.offset);
  U32 old = 0;
  if (at + 4 <= w.group->lds.size()) {
    std::byte* counter = w.group->lds.data() + at;
    std::memcpy(&old, counter, 4);
    const U32 lanes = static_cast<U32>(std::popcount(mask));
    const U32 value = kAppend ? old + lanes : old - lanes;
    std::memcpy(counter, &value, 4);
  }
  U32* to = vgpr(w, i.dst)->lane;
  for_each_lane(mask, [&](unsigned lane) { to[lane] = old; });
}

KILN_ALWAYS_INLINE void thread_addresses(const Wave& w, const Instruction& i, Offsets& a) {
  const U32 base = (w.s[kM0] & 0xffff) + static_cast<U32>(i.offset);
  for (unsigned lane = 0; lane < kMaxLanes; ++lane) a.at[lane] = base + lane * 4;
}
void load_addtid(Wave& w, const Instruction& i) {
  Offsets a;
  thread_addresses(w, i, a);
  if (w.exec() != 0) lds_gather<4, 1>(w, a, w.exec(), vgpr(w, i.dst));
}
void store_addtid(Wave& w, const Instruction& i) {
  Offsets a;
  thread_addresses(w, i, a);
  if (w.exec() != 0) lds_scatter<4, 1>(w, a, w.exec(), vgpr(w, i.src[1]));
}

// ---- Lane exchanges. GFX10 and GFX11 wave64 exchange within each half of 32 lanes only (LLVM
// GCNSubtarget::supportsWaveWideBPermute).

KILN_ALWAYS_INLINE unsigned partner(const Wave& w, unsigned lane, U32 byte_address) {
  if (!is_cdna(w.arch)) return (lane & 32) | (byte_address >> 2 & 31);
  return byte_address >> 2 & 63;
}

void permute(Wave& w, const Instruction& i) {
  const U64 mask = w.exec();
  VectorRegister result{};
  const U32* at = vgpr(w, i.src[0])->lane;
  const U32* data = vgpr(w, i.src[1])->lane;
  // The highest-numbered source lane wins, which is the last one written here.
  for_each_lane(mask, [&](unsigned lane) {
    result.lane[partner(w, lane, at[lane] + static_cast<U32>(i.offset))] = data[lane];
  });
  U32* to = vgpr(w, i.dst)->lane;
  for_each_lane(mask, [&](unsigned lane) { to[lane] = result.lane[lane]; });
}

/// to[lane] = from[source(lane)], 0 where the source lane is inactive.
template <class Source>
KILN_ALWAYS_INLINE void pull(Wave& w, const Instruction& i, unsigned data_operand, Source source) {
  const U64 mask = w.exec();
  const VectorRegister data = *vgpr(w, data_operand);
  VectorRegister from;
  for (unsigned lane = 0; lane < w.lanes; ++lane) from.lane[lane] = source(lane);
  U32* to = vgpr(w, i.dst)->lane;
  for_each_lane(mask, [&](unsigned lane) {
    const unsigned other = from.lane[lane];
    to[lane] = has_lane(mask, other) ? data.lane[other] : 0;
  });
}

void backward_permute(Wave& w, const Instruction& i) {
  const U32* at = vgpr(w, i.src[0])->lane;
  pull(w, i, i.src[1],
       [&](unsigned lane) { return partner(w, lane, at[lane] + static_cast<U32>(i.offset)); });
}

KILN_ALWAYS_INLINE unsigned reverse5(unsigned value) {
  return (value & 1) << 4 | (value & 2) << 2 | (value & 4) | (value & 8) >> 2 | (value & 16) >> 4;
}

/// Offset 15: groups of four with two selector bits a lane; 0xe000: FFT order; 0xc000: rotation;
/// else and, or, xor masks of five bits on the lane number. All within 32 lanes.
void swizzle(Wave& w, const Instruction& i) {
  const U32 control = static_cast<U32>(i.offset) & 0xffff;
  const auto source = [control](unsigned lane) -> unsigned {
    const unsigned half = lane & 32, in = lane & 31;
    const unsigned mask = control & 31;
    if (control >= 0xe000) {
      const unsigned turned = reverse5(in) >> std::popcount(mask);
      return half | ((turned | (in & mask)) & 31);
    }
    if (control >= 0xc000) {
      unsigned distance = control >> 5 & 31;
      if ((control >> 10 & 1) != 0) distance = 32 - distance;
      return half | (in & mask) | ((in + distance) & ~mask & 31);
    }
    if (control >= 0x8000) return half | (in & 28) | (control >> ((in & 3) * 2) & 3);
    return half | ((((in & mask) | (control >> 5 & 31)) ^ (control >> 10 & 31)) & 31);
  };
  pull(w, i, i.src[0], source);
}

void nothing(Wave&, const Instruction&) {}

#define BOTH(name, suffix, T, Op) \
  KILN_ROW("ds_" name "_" suffix, atomic<T, Op>), KILN_ROW("ds_" name "_rtn_" suffix, atomic<T, Op>)
#define COMPARE(suffix, T, Op)                               \
  KILN_ROW("ds_cmpst_" suffix, atomic<T, Op, true>),         \
      KILN_ROW("ds_cmpst_rtn_" suffix, atomic<T, Op, true>), \
      KILN_ROW("ds_cmpstore_" suffix, atomic<T, Op>),        \
      KILN_ROW("ds_cmpstore_rtn_" suffix, atomic<T, Op>)

constexpr Semantics kRows[] = {
    KILN_ROW("ds_nop", nothing),
    KILN_ROW("ds_load_u8", load<LoadU8>),
    KILN_ROW("ds_load_i8", load<LoadI8>),
    KILN_ROW("ds_load_u16", load<LoadU16>),
    KILN_ROW("ds_load_i16", load<LoadI16>),
    KILN_ROW("ds_load_b32", load<LoadB32>),
    KILN_ROW("ds_load_b64", load<LoadB64>),
    KILN_ROW("ds_load_b96", load<LoadB96>),
    KILN_ROW("ds_load_b128", load<LoadB128>),
    KILN_ROW("ds_load_u8_d16", load<LoadD16U8>),
    KILN_ROW("ds_load_i8_d16", load<LoadD16I8>),
    KILN_ROW("ds_load_u16_d16", load<LoadD16B16>),
    KILN_ROW("ds_load_u8_d16_hi", load<LoadD16HiU8>),
    KILN_ROW("ds_load_i8_d16_hi", load<LoadD16HiI8>),
    KILN_ROW("ds_load_u16_d16_hi", load<LoadD16HiB16>),
    KILN_ROW("ds_store_b8", store<StoreB8>),
    KILN_ROW("ds_store_b16", store<StoreB16>),
    KILN_ROW("ds_store_b32", store<StoreB32>),
    KILN_ROW("ds_store_b64", store<StoreB64>),
    KILN_ROW("ds_store_b96", store<StoreB96>),
    KILN_ROW("ds_store_b128", store<StoreB128>),
    KILN_ROW("ds_store_b8_d16_hi", store<StoreD16HiB8>),
    KILN_ROW("ds_store_b16_d16_hi", store<StoreD16HiB16>),
    KILN_ROW("ds_load_2addr_b32", load_two<1, 1>),
    KILN_ROW("ds_load_2addr_b64", load_two<2, 1>),
    KILN_ROW("ds_load_2addr_stride64_b32", load_two<1, 64>),
    KILN_ROW("ds_load_2addr_stride64_b64", load_two<2, 64>),
    KILN_ROW("ds_store_2addr_b32", store_two<1, 1>),
    KILN_ROW("ds_store_2addr_b64", store_two<2, 1>),
    KILN_ROW("ds_store_2addr_stride64_b32", store_two<1, 64>),
    KILN_ROW("ds_store_2addr_stride64_b64", store_two<2, 64>),
    KILN_ROW("ds_load_addtid_b32", load_addtid),
    KILN_ROW("ds_store_addtid_b32", store_addtid),
    BOTH("add", "u32", U32, Add),
    BOTH("sub", "u32", U32, Sub),
    BOTH("rsub", "u32", U32, ReverseSub),
    BOTH("inc", "u32", U32, Inc),
    BOTH("dec", "u32", U32, Dec),
    BOTH("min", "i32", U32, MinSigned),
    BOTH("max", "i32", U32, MaxSigned),
    BOTH("min", "u32", U32, MinUnsigned),
    BOTH("max", "u32", U32, MaxUnsigned),
    BOTH("and", "b32", U32, And),
    BOTH("or", "b32", U32, Or),
    BOTH("xor", "b32", U32, Xor),
    BOTH("mskor", "b32", U32, MaskOr),
    BOTH("min", "f32", U32, MinFloat),
    BOTH("max", "f32", U32, MaxFloat),
    BOTH("add", "f32", U32, AddFloat),
    BOTH("pk_add", "f16", U32, PackedAddHalf),
    BOTH("pk_add", "bf16", U32, PackedAddBfloat),
    BOTH("add", "u64", U64, Add),
    BOTH("sub", "u64", U64, Sub),
    BOTH("rsub", "u64", U64, ReverseSub),
    BOTH("inc", "u64", U64, Inc),
    BOTH("dec", "u64", U64, Dec),
    BOTH("min", "i64", U64, MinSigned),
    BOTH("max", "i64", U64, MaxSigned),
    BOTH("min", "u64", U64, MinUnsigned),
    BOTH("max", "u64", U64, MaxUnsigned),
    BOTH("and", "b64", U64, And),
    BOTH("or", "b64", U64, Or),
    BOTH("xor", "b64", U64, Xor),
    BOTH("mskor", "b64", U64, MaskOr),
    BOTH("min", "f64", U64, MinFloat),
    BOTH("max", "f64", U64, MaxFloat),
    BOTH("add", "f64", U64, AddFloat),
    COMPARE("b32", U32, CompareSwap),
    COMPARE("b64", U64, CompareSwap),
    COMPARE("f32", U32, CompareSwapFloat),
    COMPARE("f64", U64, CompareSwapFloat),
    KILN_ROW("ds_storexchg_rtn_b32", atomic<U32, Swap>),
    KILN_ROW("ds_storexchg_rtn_b64", atomic<U64, Swap>),
    KILN_ROW("ds_storexchg_2addr_rtn_b32", exchange_two<U32, 1>),
    KILN_ROW("ds_storexchg_2addr_rtn_b64", exchange_two<U64, 1>),
    KILN_ROW("ds_storexchg_2addr_stride64_rtn_b32", exchange_two<U32, 64>),
    KILN_ROW("ds_storexchg_2addr_stride64_rtn_b64", exchange_two<U64, 64>),
    KILN_ROW("ds_wrap_rtn_b32", atomic<U32, Wrap>),
    KILN_ROW("ds_condxchg32_rtn_b64", conditional_exchange),
    KILN_ROW("ds_append", count_lanes<true>),
    KILN_ROW("ds_consume", count_lanes<false>),
    KILN_ROW("ds_permute_b32", permute),
    KILN_ROW("ds_bpermute_b32", backward_permute),
    KILN_ROW("ds_swizzle_b32", swizzle),
};

}  // namespace

void ds_semantics(SemanticsSink& sink) {
  sink.add(kRows);
}

}  // namespace kiln::vgpu::isa::KILN_ISA_NS::mem

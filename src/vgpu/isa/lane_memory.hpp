// Owns: moving data between registers and memory for all lanes of a wave: gathers and scatters over
//   guest addresses and over LDS, with the fast cases (one mapping, consecutive lanes).
// Does not own: forming the addresses (memory_*.cpp), atomics (lane_atomics.hpp).
// Threading: the wave's host thread. Hot: included by files that are compiled in both flavours.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "vgpu/isa/code_cache.hpp"
#include "vgpu/isa/scalar.hpp"
#include "vgpu/isa/semantics.hpp"
#include "vgpu/isa/wave.hpp"

namespace kiln::vgpu::isa::KILN_ISA_NS::mem {

using U8 = std::uint8_t;
using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

/// One address a lane. Lanes outside the mask hold anything.
struct alignas(64) Addresses {
  Va va[kMaxLanes];
};
struct alignas(64) Offsets {
  U32 at[kMaxLanes];
};

KILN_ALWAYS_INLINE VectorRegister* vgpr(const Wave& w, unsigned operand) {
  return w.v + (operand - kVgpr0);
}
KILN_ALWAYS_INLINE bool is_vgpr(unsigned operand) {
  return operand >= kVgpr0 && operand < kAgpr0 + 256;
}
KILN_ALWAYS_INLINE bool has_lane(U64 mask, unsigned lane) {
  return (mask >> lane & 1) != 0;
}

template <class F>
KILN_ALWAYS_INLINE void for_each_lane(U64 mask, F f) {
  for (; mask != 0; mask &= mask - 1) f(static_cast<unsigned>(std::countr_zero(mask)));
}

/// OR of f(lane) over all lanes of the wave. Constant trip counts let the compiler vectorise at
/// -O2.
template <class F>
KILN_ALWAYS_INLINE auto or_lanes(const Wave& w, F f) {
  decltype(f(0u)) all = 0;
  if (w.lanes == 64)
    for (unsigned lane = 0; lane < 64; ++lane) all |= f(lane);
  else
    for (unsigned lane = 0; lane < 32; ++lane) all |= f(lane);
  return all;
}

/// Scope of a load or store. gfx942: sc0 and sc1 count wave, workgroup, agent, system. gfx90a and
/// gfx11: glc bypasses the CU's and the array's cache; gfx10: glc the CU's, with dlc the array's
/// too; stores always write through. gfx90a's scc
/// asks for coherence with the system (LLVM AMDGPUUsage, "Memory model gfx90a", "gfx942",
/// "gfx10-gfx11"; AMD CDNA2 ISA, "SCC").
KILN_ALWAYS_INLINE Scope access_scope(const Wave& w, const Instruction& i) {
  if (w.arch == Arch::Cdna3) {
    const unsigned sc0 = (i.cache & kCacheSc0) != 0, sc1 = (i.cache & kCacheSc1) != 0;
    return static_cast<Scope>(sc1 * 2 + sc0);
  }
  if (w.arch == Arch::Cdna2 && (i.cache & kCacheScc) != 0) return Scope::System;
  if (w.arch == Arch::Rdna2 && (i.cache & (kCacheGlc | kCacheDlc)) == kCacheGlc)
    return Scope::Workgroup;
  return (i.cache & kCacheGlc) != 0 ? Scope::Agent : Scope::Wave;
}

/// Guest addresses of one mapping as host addresses, by their distance (0 where both are the same).
struct HostView {
  bool valid = false;
  std::uintptr_t distance = 0;

  KILN_ALWAYS_INLINE explicit operator bool() const { return valid; }
  KILN_ALWAYS_INLINE std::byte* at(Va va) const {
    return reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(va) + distance);
  }
};

/// Valid if every active lane's [va, va + bytes) lies in one mapping that permits `access` and no
/// cache model stands between. Inactive lanes' addresses are overwritten by an active one's.
KILN_ALWAYS_INLINE HostView host_view(Wave& w, Addresses& a, U64 mask, U64 bytes, Access access) {
  MemoryPort& port = *w.group->port;
  if (port.strict()) return {};
  const Va first = a.va[std::countr_zero(mask)];
  const Mapping* mapping = port.mapping_at(first, access);
  if (mapping == nullptr || mapping->end - mapping->begin < bytes) return {};
  if (mask != lane_mask(w))
    for (unsigned lane = 0; lane < kMaxLanes; ++lane)
      a.va[lane] = has_lane(mask, lane) ? a.va[lane] : first;
  const Va begin = mapping->begin, limit = mapping->end - mapping->begin - bytes;
  // The top bit gathers every lane below `begin` or above the limit.
  const Va outside = or_lanes(w, [&](unsigned lane) {
    const Va offset = a.va[lane] - begin;
    return offset | (limit - offset);
  });
  if (outside >> 63 != 0) return {};
  return {true, reinterpret_cast<std::uintptr_t>(mapping->host) - begin};
}

/// Whether the lanes' addresses follow one another `step` bytes apart.
KILN_ALWAYS_INLINE bool consecutive(const Wave& w, const Addresses& a, U64 step) {
  return or_lanes(w, [&](unsigned lane) { return (a.va[lane] - a.va[0]) ^ (lane * step); }) == 0;
}

template <unsigned kBytes>
struct Element;  // the unsigned type of one memory access
template <>
struct Element<1> {
  using type = U8;
};
template <>
struct Element<2> {
  using type = U16;
};
template <>
struct Element<4> {
  using type = U32;
};

/// Four dwords, and what turns four lanes' memory into four rows and back.
using Quad [[gnu::vector_size(16)]] = U32;
struct Quads {
  Quad q[4];
};
KILN_ALWAYS_INLINE Quads transposed(const Quads& in) {
  const Quad low01 = __builtin_shufflevector(in.q[0], in.q[1], 0, 4, 1, 5);
  const Quad high01 = __builtin_shufflevector(in.q[0], in.q[1], 2, 6, 3, 7);
  const Quad low23 = __builtin_shufflevector(in.q[2], in.q[3], 0, 4, 1, 5);
  const Quad high23 = __builtin_shufflevector(in.q[2], in.q[3], 2, 6, 3, 7);
  return {{__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
           __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
           __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
           __builtin_shufflevector(high01, high23, 2, 3, 6, 7)}};
}

/// Every lane's kDwords consecutive dwords from at(lane) into rows; `copy` moves the bytes.
template <unsigned kDwords, class At, class Copy>
KILN_ALWAYS_INLINE void rows_from(VectorRegister* rows, unsigned lanes, At at, Copy copy) {
  if constexpr (kDwords == 1) {
    for (unsigned lane = 0; lane < lanes; ++lane) copy(&rows->lane[lane], at(lane), 4);
  } else {
    for (unsigned lane = 0; lane < lanes; lane += 4) {
      Quads in{};
#pragma GCC unroll 4
      for (unsigned n = 0; n < 4; ++n) copy(&in.q[n], at(lane + n), kDwords * 4);
      const Quads out = transposed(in);
#pragma GCC unroll 4
      for (unsigned k = 0; k < kDwords; ++k) std::memcpy(&rows[k].lane[lane], &out.q[k], 16);
    }
  }
}

/// The reverse, in lane order.
template <unsigned kDwords, class At, class Copy>
KILN_ALWAYS_INLINE void rows_to(const VectorRegister* rows, unsigned lanes, At at, Copy copy) {
  if constexpr (kDwords == 1) {
    for (unsigned lane = 0; lane < lanes; ++lane) copy(at(lane), &rows->lane[lane], 4);
  } else {
    for (unsigned lane = 0; lane < lanes; lane += 4) {
      Quads in{};
#pragma GCC unroll 4
      for (unsigned k = 0; k < kDwords; ++k) std::memcpy(&in.q[k], &rows[k].lane[lane], 16);
      const Quads out = transposed(in);
#pragma GCC unroll 4
      for (unsigned n = 0; n < 4; ++n) copy(at(lane + n), &out.q[n], kDwords * 4);
    }
  }
}

/// `copy` for guest memory and for LDS. The sizes are constants wherever it is called.
struct GuestCopy {
  KILN_ALWAYS_INLINE void operator()(void* to, const void* from, std::size_t bytes) const {
    guest_copy(to, from, bytes);
  }
};
struct LdsCopy {
  KILN_ALWAYS_INLINE void operator()(void* to, const void* from, std::size_t bytes) const {
    std::memcpy(to, from, bytes);
  }
};

/// Loads kDwords elements of kBytes (1, 2 or 4) for each active lane, zero-extended into
/// consecutive rows; dword k lies `stride * k` bytes after the lane's address. False: the wave has
/// faulted.
template <unsigned kBytes, unsigned kDwords>
bool gather(Wave& w, const Instruction& i, Addresses& a, U64 mask, VectorRegister* rows,
            U64 stride = 4) {
  using T = typename Element<kBytes>::type;
  if (const HostView host = host_view(w, a, mask, stride * (kDwords - 1) + kBytes, Access::Load)) {
    const bool all = mask == lane_mask(w);
    if constexpr (kBytes == 4) {
      if (all && (kDwords == 1 || stride != 4) && consecutive(w, a, 4)) {
        for (unsigned k = 0; k < kDwords; ++k)
          guest_copy(rows[k].lane, host.at(a.va[0] + stride * k), w.lanes * 4u);
        return true;
      }
    }
    if constexpr (kBytes == 4) {
      if (all && stride == 4) {
        rows_from<kDwords>(
            rows, w.lanes, [&](unsigned lane) { return host.at(a.va[lane]); }, GuestCopy{});
        return true;
      }
    }
    if (all) {
      for (unsigned lane = 0; lane < w.lanes; ++lane)
        for (unsigned k = 0; k < kDwords; ++k) {
          T value;
          guest_copy(&value, host.at(a.va[lane] + stride * k), kBytes);
          rows[k].lane[lane] = value;
        }
      return true;
    }
    for_each_lane(mask, [&](unsigned lane) {
      for (unsigned k = 0; k < kDwords; ++k) {
        T value;
        guest_copy(&value, host.at(a.va[lane] + stride * k), kBytes);
        rows[k].lane[lane] = value;
      }
    });
    return true;
  }
  const Scope scope = access_scope(w, i);
  MemoryPort& port = *w.group->port;
  for (; mask != 0; mask &= mask - 1) {
    const unsigned lane = static_cast<unsigned>(std::countr_zero(mask));
    T value[kDwords];
    bool ok = true;
    if (stride == 4)
      ok = port.load(a.va[lane], value, sizeof value, Client::Vector, scope);
    else
      for (unsigned k = 0; k < kDwords && ok; ++k)
        ok = port.load(a.va[lane] + stride * k, &value[k], kBytes, Client::Vector, scope);
    if (!ok) {
      w.fault();
      return false;
    }
    for (unsigned k = 0; k < kDwords; ++k) rows[k].lane[lane] = value[k];
  }
  return true;
}

/// The reverse: stores the low kBytes of each row's lane, in lane order.
template <unsigned kBytes, unsigned kDwords>
bool scatter(Wave& w, const Instruction& i, Addresses& a, U64 mask, const VectorRegister* rows,
             U64 stride = 4) {
  using T = typename Element<kBytes>::type;
  if (const HostView host = host_view(w, a, mask, stride * (kDwords - 1) + kBytes, Access::Store)) {
    const bool all = mask == lane_mask(w);
    if constexpr (kBytes == 4) {
      if (all && (kDwords == 1 || stride != 4) && consecutive(w, a, 4)) {
        for (unsigned k = 0; k < kDwords; ++k)
          guest_copy(host.at(a.va[0] + stride * k), rows[k].lane, w.lanes * 4u);
        return true;
      }
      if (all && stride == 4) {
        rows_to<kDwords>(
            rows, w.lanes, [&](unsigned lane) { return host.at(a.va[lane]); }, GuestCopy{});
        return true;
      }
    }
    for_each_lane(mask, [&](unsigned lane) {
      for (unsigned k = 0; k < kDwords; ++k) {
        const T value = static_cast<T>(rows[k].lane[lane]);
        guest_copy(host.at(a.va[lane] + stride * k), &value, kBytes);
      }
    });
    return true;
  }
  const Scope scope = is_cdna(w.arch) ? access_scope(w, i) : Scope::Wave;
  MemoryPort& port = *w.group->port;
  for (; mask != 0; mask &= mask - 1) {
    const unsigned lane = static_cast<unsigned>(std::countr_zero(mask));
    T value[kDwords];
    for (unsigned k = 0; k < kDwords; ++k) value[k] = static_cast<T>(rows[k].lane[lane]);
    bool ok = true;
    if (stride == 4)
      ok = port.store(a.va[lane], value, sizeof value, Client::Vector, scope);
    else
      for (unsigned k = 0; k < kDwords && ok; ++k)
        ok = port.store(a.va[lane] + stride * k, &value[k], kBytes, Client::Vector, scope);
    if (!ok) {
      w.fault();
      return false;
    }
  }
  return true;
}

// ---- LDS: a plain array, touched by this host thread only. Reads past its end give 0, writes
// there are dropped (CDNA3 ISA, "LDS: out-of-range"). Offsets wrap at 32 bits before the check.

/// Whether every active lane's [at, at + bytes) lies inside; inactive lanes' offsets become 0.
KILN_ALWAYS_INLINE bool lds_inside(const Wave& w, Offsets& a, U64 mask, U32 bytes) {
  const U64 size = w.group->lds.size();
  if (size < bytes) return false;
  if (mask != lane_mask(w))
    for (unsigned lane = 0; lane < kMaxLanes; ++lane)
      a.at[lane] = has_lane(mask, lane) ? a.at[lane] : 0;
  const U32 limit = static_cast<U32>(size) - bytes;
  const U32 outside = or_lanes(w, [&](unsigned lane) { return a.at[lane] | (limit - a.at[lane]); });
  return outside >> 31 == 0;
}

KILN_ALWAYS_INLINE bool lds_consecutive(const Wave& w, const Offsets& a) {
  return or_lanes(w, [&](unsigned lane) { return (a.at[lane] - a.at[0]) ^ (lane * 4); }) == 0;
}

template <unsigned kBytes, unsigned kDwords>
void lds_gather(Wave& w, Offsets& a, U64 mask, VectorRegister* rows) {
  using T = typename Element<kBytes>::type;
  const std::byte* lds = w.group->lds.data();
  const auto one = [&](unsigned lane) {
    T value[kDwords];
    std::memcpy(value, lds + a.at[lane], sizeof value);
    for (unsigned k = 0; k < kDwords; ++k) rows[k].lane[lane] = value[k];
  };
  if (lds_inside(w, a, mask, kBytes * kDwords)) {
    if (mask != lane_mask(w)) {
      for_each_lane(mask, one);
      return;
    }
    if constexpr (kBytes == 4) {
      // A whole wave that reads one place, or consecutive dwords, is what tiled loops do.
      if (or_lanes(w, [&](unsigned lane) { return a.at[lane] ^ a.at[0]; }) == 0) {
        T value[kDwords];
        std::memcpy(value, lds + a.at[0], sizeof value);
        for (unsigned k = 0; k < kDwords; ++k)
          for (unsigned lane = 0; lane < w.lanes; ++lane) rows[k].lane[lane] = value[k];
        return;
      }
      if (kDwords == 1 && lds_consecutive(w, a)) {
        std::memcpy(rows[0].lane, lds + a.at[0], w.lanes * 4u);
        return;
      }
      rows_from<kDwords>(rows, w.lanes, [&](unsigned lane) { return lds + a.at[lane]; }, LdsCopy{});
      return;
    }
    for (unsigned lane = 0; lane < w.lanes; ++lane) one(lane);
    return;
  }
  const U64 size = w.group->lds.size();
  for_each_lane(mask, [&](unsigned lane) {
    for (unsigned k = 0; k < kDwords; ++k) {
      const U64 at = U64{a.at[lane]} + k * kBytes;
      T value = 0;
      if (at + kBytes <= size) std::memcpy(&value, lds + at, kBytes);
      rows[k].lane[lane] = value;
    }
  });
}

template <unsigned kBytes, unsigned kDwords>
void lds_scatter(Wave& w, Offsets& a, U64 mask, const VectorRegister* rows) {
  using T = typename Element<kBytes>::type;
  std::byte* lds = w.group->lds.data();
  if (lds_inside(w, a, mask, kBytes * kDwords)) {
    if constexpr (kBytes == 4 && kDwords == 1) {
      if (mask == lane_mask(w)) {
        U32 next = 0;
        for (unsigned lane = 0; lane < w.lanes; ++lane) next |= (a.at[lane] - a.at[0]) ^ (lane * 4);
        if (next == 0) {
          std::memcpy(lds + a.at[0], rows[0].lane, w.lanes * 4u);
          return;
        }
      }
    }
    for_each_lane(mask, [&](unsigned lane) {
      T value[kDwords];
      for (unsigned k = 0; k < kDwords; ++k) value[k] = static_cast<T>(rows[k].lane[lane]);
      std::memcpy(lds + a.at[lane], value, sizeof value);
    });
    return;
  }
  const U64 size = w.group->lds.size();
  for_each_lane(mask, [&](unsigned lane) {
    for (unsigned k = 0; k < kDwords; ++k) {
      const U64 at = U64{a.at[lane]} + k * kBytes;
      const T value = static_cast<T>(rows[k].lane[lane]);
      if (at + kBytes <= size) std::memcpy(lds + at, &value, kBytes);
    }
  });
}

// ---- What a load does with what it read. Whole dwords go straight to their rows.

enum class Widen : std::uint8_t { None, Signed, Low16, Low16Signed, High16, High16Signed };

/// `Low16`: the D16 forms keep the other half of the register (gfx942 with SRAM ECC too: LLVM keeps
/// the register tied there as well).
template <unsigned kBytes, unsigned kDwords, Widen kWiden>
struct LoadKind {
  static constexpr unsigned kElement = kBytes, kCount = kDwords;
  static constexpr bool kDirect = kWiden == Widen::None;

  KILN_ALWAYS_INLINE static U32 widen(U32 raw, U32 old) {
    constexpr unsigned kShift = 32 - kBytes * 8;
    const U32 extended = static_cast<U32>(static_cast<std::int32_t>(raw << kShift) >> kShift);
    switch (kWiden) {
      case Widen::None:
        return raw;
      case Widen::Signed:
        return extended;
      case Widen::Low16:
        return (old & 0xffff0000u) | raw;
      case Widen::Low16Signed:
        return (old & 0xffff0000u) | (extended & 0xffffu);
      case Widen::High16:
        return (old & 0xffffu) | raw << 16;
      case Widen::High16Signed:
        return (old & 0xffffu) | extended << 16;
    }
    return raw;
  }

  /// Runs `read(rows)` into the destination, or into a spare row that is then widened.
  template <class Read>
  KILN_ALWAYS_INLINE static void into(Wave&, VectorRegister* to, U64 mask, Read read) {
    if constexpr (kDirect) {
      read(to);
    } else {
      VectorRegister raw;
      if (!read(&raw)) return;
      for_each_lane(mask,
                    [&](unsigned lane) { to->lane[lane] = widen(raw.lane[lane], to->lane[lane]); });
    }
  }
};

using LoadU8 = LoadKind<1, 1, Widen::None>;
using LoadI8 = LoadKind<1, 1, Widen::Signed>;
using LoadU16 = LoadKind<2, 1, Widen::None>;
using LoadI16 = LoadKind<2, 1, Widen::Signed>;
using LoadB32 = LoadKind<4, 1, Widen::None>;
using LoadB64 = LoadKind<4, 2, Widen::None>;
using LoadB96 = LoadKind<4, 3, Widen::None>;
using LoadB128 = LoadKind<4, 4, Widen::None>;
using LoadD16U8 = LoadKind<1, 1, Widen::Low16>;
using LoadD16I8 = LoadKind<1, 1, Widen::Low16Signed>;
using LoadD16B16 = LoadKind<2, 1, Widen::Low16>;
using LoadD16HiU8 = LoadKind<1, 1, Widen::High16>;
using LoadD16HiI8 = LoadKind<1, 1, Widen::High16Signed>;
using LoadD16HiB16 = LoadKind<2, 1, Widen::High16>;

/// What a store takes from its data register.
template <unsigned kBytes, unsigned kDwords, bool kHigh>
struct StoreKind {
  static constexpr unsigned kElement = kBytes, kCount = kDwords;

  /// The rows to store: the data itself, or its upper halves in `spare`.
  KILN_ALWAYS_INLINE static const VectorRegister* from(const VectorRegister* data,
                                                       VectorRegister* spare) {
    if constexpr (!kHigh) {
      return data;
    } else {
      for (unsigned lane = 0; lane < kMaxLanes; ++lane) spare->lane[lane] = data->lane[lane] >> 16;
      return spare;
    }
  }
};

using StoreB8 = StoreKind<1, 1, false>;
using StoreB16 = StoreKind<2, 1, false>;
using StoreB32 = StoreKind<4, 1, false>;
using StoreB64 = StoreKind<4, 2, false>;
using StoreB96 = StoreKind<4, 3, false>;
using StoreB128 = StoreKind<4, 4, false>;
using StoreD16HiB8 = StoreKind<1, 1, true>;
using StoreD16HiB16 = StoreKind<2, 1, true>;

}  // namespace kiln::vgpu::isa::KILN_ISA_NS::mem

// Owns: the layouts that the AQL packet processor shares with user space: 64-byte packets,
//   amd_queue_t, amd_signal_t.
// Does not own: rings (core), events (kmd).
// Threading: plain data; who writes which field when is the HSA queue protocol.
//
// Sources: HSA Runtime Specification 2.8 to 2.9, ROCr amd_hsa_queue.h, amd_hsa_signal.h,
// hsa_ext_amd.h, amd_aql_queue.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gpu/field.hpp"

// The tables below are laid out by hand: a row a field.
// clang-format off

namespace kiln::gpu::aql {

inline constexpr std::uint32_t kPacketBytes = 64;

enum class PacketType : std::uint8_t {
  VendorSpecific = 0,
  Invalid = 1,
  KernelDispatch = 2,
  BarrierAnd = 3,
  AgentDispatch = 4,
  BarrierOr = 5,
};
enum class FenceScope : std::uint8_t { None = 0, Agent = 1, System = 2 };
/// The byte after the header of a vendor packet.
enum class AmdFormat : std::uint8_t { Pm4Ib = 1, BarrierValue = 2 };
/// HSA signal conditions, as BARRIER_VALUE takes them.
enum class Condition : std::uint32_t { Eq = 0, Ne = 1, Lt = 2, Gte = 3 };

/// Header of a packet: type 7:0, barrier 8, acquire scope 10:9, release scope 12:11.
constexpr std::uint16_t header(PacketType type, bool barrier, FenceScope acquire,
                               FenceScope release) {
  return static_cast<std::uint16_t>(static_cast<unsigned>(type) | unsigned{barrier} << 8 |
                                    static_cast<unsigned>(acquire) << 9 |
                                    static_cast<unsigned>(release) << 11);
}

struct alignas(64) KernelDispatchPacket {
  std::uint16_t header, setup;
  std::uint16_t workgroup_size_x, workgroup_size_y, workgroup_size_z, reserved0;
  std::uint32_t grid_size_x, grid_size_y, grid_size_z;  ///< in work-items
  std::uint32_t private_segment_size, group_segment_size;
  std::uint64_t kernel_object;  ///< address of the kernel descriptor
  std::uint64_t kernarg_address;
  std::uint64_t reserved2;
  std::uint64_t completion_signal;
};
static_assert(sizeof(KernelDispatchPacket) == 64);
static_assert(offsetof(KernelDispatchPacket, grid_size_x) == 12);
static_assert(offsetof(KernelDispatchPacket, kernel_object) == 32);
static_assert(offsetof(KernelDispatchPacket, completion_signal) == 56);

/// barrier-AND and barrier-OR.
struct alignas(64) BarrierPacket {
  std::uint16_t header, reserved0;
  std::uint32_t reserved1;
  std::uint64_t dependency[5];
  std::uint64_t reserved2;
  std::uint64_t completion_signal;
};
static_assert(sizeof(BarrierPacket) == 64 && offsetof(BarrierPacket, dependency) == 8);

/// Carries an indirect buffer of PM4; nothing else fits (amd_aql_queue.cpp).
struct alignas(64) Pm4IbPacket {
  std::uint16_t header;
  AmdFormat format;
  std::uint8_t reserved0;
  std::uint32_t indirect_buffer[4];
  std::uint32_t dwords_remaining;  ///< 10
  std::uint32_t reserved[8];
  std::uint64_t completion_signal;
};
static_assert(sizeof(Pm4IbPacket) == 64 && offsetof(Pm4IbPacket, dwords_remaining) == 20);
static_assert(offsetof(Pm4IbPacket, completion_signal) == 56);

/// Waits until (signal.value & mask) compares true, 64 bits wide.
struct alignas(64) BarrierValuePacket {
  std::uint16_t header;
  AmdFormat format;
  std::uint8_t reserved0;
  std::uint32_t reserved1;
  std::uint64_t signal;
  std::int64_t value, mask;
  Condition condition;
  std::uint32_t reserved2;
  std::uint64_t reserved3, reserved4;
  std::uint64_t completion_signal;
};
static_assert(sizeof(BarrierValuePacket) == 64 && offsetof(BarrierValuePacket, condition) == 32);

enum class SignalKind : std::int64_t { Invalid = 0, User = 1, Doorbell = -1 };

/// amd_signal_t: Kiln's timeline payloads have this shape.
struct alignas(64) Signal {
  std::int64_t kind;
  std::int64_t value;
  std::uint64_t event_mailbox_ptr;
  std::uint32_t event_id;
  std::uint32_t reserved1;
  std::uint64_t start_ts, end_ts;
  std::uint64_t queue_ptr;
  std::uint32_t reserved3[2];
};
static_assert(sizeof(Signal) == 64 && offsetof(Signal, value) == 8);
static_assert(offsetof(Signal, event_mailbox_ptr) == 16 && offsetof(Signal, event_id) == 24);
static_assert(offsetof(Signal, start_ts) == 32 && offsetof(Signal, queue_ptr) == 48);

/// amd_queue_t, the part that the firmware reads and writes (V1; V2 keeps these offsets).
struct alignas(64) Queue {
  // hsa_queue_t
  std::uint32_t type, features;
  std::uint64_t base_address, doorbell_signal;
  std::uint32_t size, reserved_hsa;
  std::uint64_t id;
  std::uint32_t caps, reserved1[3];
  std::uint64_t write_dispatch_id;
  std::uint32_t group_segment_aperture_base_hi, private_segment_aperture_base_hi;
  std::uint32_t max_cu_id, max_wave_id;
  std::uint64_t max_legacy_doorbell_dispatch_id_plus_1;
  std::uint32_t legacy_doorbell_lock, reserved2[9];
  std::uint64_t read_dispatch_id;
  std::uint32_t read_dispatch_id_field_base_byte_offset;
  std::uint32_t compute_tmpring_size;
  std::uint32_t scratch_resource_descriptor[4];
  std::uint64_t scratch_backing_memory_location;
  std::uint64_t scratch_backing_memory_byte_size;
  std::uint32_t scratch_wave64_lane_byte_size;
  std::uint32_t queue_properties;
  std::uint64_t scratch_max_use_index;
  std::uint64_t queue_inactive_signal;
  std::uint32_t reserved5[14];
};
static_assert(sizeof(Queue) == 256);
static_assert(offsetof(Queue, write_dispatch_id) == 56);
static_assert(offsetof(Queue, max_cu_id) == 72);
static_assert(offsetof(Queue, read_dispatch_id) == 128);
static_assert(offsetof(Queue, read_dispatch_id_field_base_byte_offset) == 136);
static_assert(offsetof(Queue, compute_tmpring_size) == 140);
static_assert(offsetof(Queue, scratch_backing_memory_location) == 160);
static_assert(offsetof(Queue, scratch_wave64_lane_byte_size) == 176);
static_assert(offsetof(Queue, queue_inactive_signal) == 192);

// amd_queue_properties
inline constexpr std::uint32_t kQueueEnableTrapHandler = 1u << 0, kQueueIsPtr64 = 1u << 1,
                               kQueueEnableProfiling = 1u << 3,
                               kQueueUseScratchOnce = 1u << 4;

// The same packets for decoder and printer; tests hold them against the structures above.
#define KILN_HEADER(X) X(barrier, 0, 8, 1, 0) X(acquire, 0, 9, 2, 0) X(release, 0, 11, 2, 0)

#define KILN_LIST(X)                                                                              \
  KILN_HEADER(X)                                                                                  \
  X(dimensions, 0, 16, 2, 0)                                                                      \
  X(workgroup_x, 1, 0, 16, 0) X(workgroup_y, 1, 16, 16, 0) X(workgroup_z, 2, 0, 16, 0)            \
      X(grid_x, 3, 0, 32, 0) X(grid_y, 4, 0, 32, 0) X(grid_z, 5, 0, 32, 0)                        \
          X(private_bytes, 6, 0, 32, 0) X(group_bytes, 7, 0, 32, 0) X(kernel_object, 8, 0, 64, 6) \
              X(kernarg, 10, 0, 64, 0) X(completion_signal, 14, 0, 64, 6)
KILN_PACKET(KernelDispatch, "KERNEL_DISPATCH", Aql, 2, 0, 16, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                  \
  KILN_HEADER(X)                                                                      \
  X(dependency0, 2, 0, 64, 6)                                                         \
  X(dependency1, 4, 0, 64, 6) X(dependency2, 6, 0, 64, 6) X(dependency3, 8, 0, 64, 6) \
      X(dependency4, 10, 0, 64, 6) X(completion_signal, 14, 0, 64, 6)
KILN_PACKET(BarrierAnd, "BARRIER_AND", Aql, 3, 0, 16, Fixed, KILN_LIST);
KILN_PACKET(BarrierOr, "BARRIER_OR", Aql, 5, 0, 16, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                              \
  KILN_HEADER(X)                                                                  \
  X(format, 0, 16, 8, 0)                                                          \
  X(ib_header, 1, 0, 32, 0) X(ib_address, 2, 0, 64, 2) X(ib_control, 4, 0, 32, 0) \
      X(dwords_remaining, 5, 0, 32, 0) X(completion_signal, 14, 0, 64, 6)
KILN_PACKET(Pm4Ib, "PM4_IB", Aql, 0, 1, 16, Fixed, KILN_LIST);
#undef KILN_LIST

#define KILN_LIST(X)                                                                          \
  KILN_HEADER(X)                                                                              \
  X(format, 0, 16, 8, 0)                                                                      \
  X(signal, 2, 0, 64, 6) X(value, 4, 0, 64, 0) X(mask, 6, 0, 64, 0) X(condition, 8, 0, 32, 0) \
      X(completion_signal, 14, 0, 64, 6)
KILN_PACKET(BarrierValue, "BARRIER_VALUE", Aql, 0, 2, 16, Fixed, KILN_LIST);
#undef KILN_LIST

// A free slot: whatever is left in it means nothing.
#define KILN_LIST(X) KILN_HEADER(X)
KILN_PACKET(Invalid, "INVALID", Aql, 1, 0, 16, Fixed, KILN_LIST);
#undef KILN_LIST
#undef KILN_HEADER

}  // namespace kiln::gpu::aql

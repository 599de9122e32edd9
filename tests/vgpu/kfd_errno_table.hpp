// Owns: the rows of the table of errnos: what a row is, and the calls that rows make.
// Does not own: the rows (kfd_errno_*_rows.cpp), running them (kfd_errno_test.cpp).
// Threading: one thread.
#pragma once

#include <errno.h>
#include <unistd.h>

#include <functional>
#include <span>

#include "kfd_fixture.hpp"

namespace kiln::vgpu::test {

/// One wrong (or surprisingly right) call.
struct Row {
  const char* ioctl;
  const char* condition;
  int result;  ///< positive errno, 0: success
  const char* source;
  const char* spec;
  int (*run)(Client&);
};

inline constexpr const char* kMi300 = "mi300x,vram=256M";
inline constexpr const char* kNavi = "navi31,vram=256M";

/// The table, in three parts.
std::span<const Row> errno_rows_of_queues();
std::span<const Row> errno_rows_of_events();
std::span<const Row> errno_rows_of_processes();

namespace errno_table {

inline constexpr int kEnotsupp = 524;  // the kernel's own ENOTSUPP, without a name in user space
inline constexpr std::uint64_t kKernelAddress = ~0ull << 48;
inline constexpr std::uint32_t kNoGpu = 1, kNoQueue = 77, kNoEvent = 3999;
inline constexpr const char* kChardev = "kfd_chardev.c kfd_ioctl";

/// A call and the answer as a positive errno.
inline int create_queue(Client& client, const std::function<void(uapi::CreateQueue&)>& change,
                        std::uint32_t type = uapi::kQueueComputeAql) {
  client.acquire_all();
  uapi::CreateQueue args = client.queue_args(type);
  change(args);
  return -client.create(args);
}

inline std::uint32_t new_queue(Client& client, std::uint32_t type = uapi::kQueueComputeAql) {
  client.acquire_all();
  uapi::CreateQueue args = client.queue_args(type);
  EXPECT_EQ(client.create(args), 0);
  return args.queue_id;
}

/// An UPDATE_QUEUE that changes nothing but what `change` does.
inline int update_queue(Client& client, const std::function<void(uapi::UpdateQueue&)>& change) {
  uapi::UpdateQueue args{};
  args.queue_id = new_queue(client);
  args.ring_base_address = client.ring.va;
  args.ring_size = 65536;
  args.queue_percentage = 100;
  args.queue_priority = 7;
  change(args);
  return -client.call(uapi::kIocUpdateQueue, args);
}

inline int set_cu_mask(Client& client, std::uint32_t queue, std::uint32_t bits, const void* words) {
  uapi::SetCuMask args{queue, bits, reinterpret_cast<std::uint64_t>(words)};
  return -client.call(uapi::kIocSetCuMask, args);
}

inline int wave_state(Client& client, std::uint32_t queue) {
  uapi::GetQueueWaveState args{};
  args.queue_id = queue;
  return -client.call(uapi::kIocGetQueueWaveState, args);
}

inline void stop_queue(Client& client, std::uint32_t queue) {
  uapi::UpdateQueue args{};
  args.queue_id = queue;
  args.ring_base_address = client.ring.va;
  args.ring_size = 65536;
  EXPECT_EQ(client.call(uapi::kIocUpdateQueue, args), 0);
}

inline int memory_policy(Client& client,
                         const std::function<void(uapi::SetMemoryPolicy&)>& change) {
  uapi::SetMemoryPolicy args{};
  args.gpu_id = client.id();
  change(args);
  return -client.call(uapi::kIocSetMemoryPolicy, args);
}

inline int apertures(Client& client, std::uint32_t room, std::uint64_t pointer = 0) {
  std::vector<uapi::ProcessDeviceApertures> list(room);
  uapi::GetProcessAperturesNew args{};
  args.apertures_ptr = pointer != 0 ? pointer : reinterpret_cast<std::uint64_t>(list.data());
  args.num_of_nodes = room;
  return -client.call(uapi::kIocGetProcessAperturesNew, args);
}

inline int create_event(Client& client, std::uint64_t page) {
  uapi::CreateEvent args{};
  args.event_page_offset = page;
  return -client.call(uapi::kIocCreateEvent, args);
}

template <class Args>
int with_event(Client& client, unsigned long request, std::uint32_t id) {
  Args args{id, 0};
  return -client.call(request, args);
}

inline int wait_events(Client& client, std::uint32_t count, const void* events) {
  uapi::WaitEvents args{};
  args.num_events = count;
  args.events_ptr = reinterpret_cast<std::uint64_t>(events);
  return -client.call(uapi::kIocWaitEvents, args);
}

inline int tile_config(Client& client, std::uint32_t gpu, const void* tiles,
                       const void* macro_tiles) {
  uapi::GetTileConfig args{};
  args.gpu_id = gpu;
  args.tile_config_ptr = reinterpret_cast<std::uint64_t>(tiles);
  args.macro_tile_config_ptr = reinterpret_cast<std::uint64_t>(macro_tiles);
  args.num_tile_configs = args.num_macro_tile_configs = 4;
  return -client.call(uapi::kIocGetTileConfig, args);
}

inline int xnack(Client& client, std::int32_t mode) {
  uapi::SetXnackMode args{mode};
  return -client.call(uapi::kIocSetXnackMode, args);
}

inline int runtime(Client& client, std::uint32_t mode) {
  uapi::RuntimeEnable args{};
  args.mode_mask = mode;
  return -client.call(uapi::kIocRuntimeEnable, args);
}

inline int debug_trap(Client& client, std::uint32_t pid, std::uint32_t op) {
  uapi::DbgTrap args{};
  args.pid = pid;
  args.op = op;
  return -client.call(uapi::kIocDbgTrap, args);
}

inline int profiler(Client& client, std::uint32_t op, std::uint32_t gpu = 0,
                    std::uint32_t enable = 0) {
  uapi::Profiler args{};
  args.op = op;
  args.ptl = {gpu, enable};
  return -client.call(uapi::kIocProfiler, args);
}

inline int map(Client& client, std::uint64_t bytes, std::uint64_t kind, std::uint64_t gpu) {
  void* at = nullptr;
  const int result = client.os->mmap(&at, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                                     client.kfd, static_cast<off_t>(kind << 62 | gpu << 46));
  if (result == 0) client.os->munmap(at, bytes);
  return -result;
}

template <class Args>
int of_gpu(Client& client, unsigned long request, std::uint32_t gpu) {
  Args args{};
  args.gpu_id = gpu;
  return -client.call(request, args);
}

}  // namespace errno_table
}  // namespace kiln::vgpu::test

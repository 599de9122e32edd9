// Owns: what engine tests need around the engines: guest memory of two kinds, a host that notes
// what
//   is reported, queues with rings, and little streams.
// Does not own: expectations.
// Threading: tests are single-threaded; TestHost is called by engine threads.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "gpu/aql.hpp"
#include "gpu/cache.hpp"
#include "gpu/copy.hpp"
#include "gpu/pm4.hpp"
#include "gpu/registers.hpp"
#include "gpu/sdma.hpp"
#include "gpu/signal.hpp"
#include "gpu/target.hpp"
#include "vgpu/chips.hpp"
#include "vgpu/engines.hpp"

namespace kiln::vgpu::testing {

inline constexpr std::uint64_t kProcess = 7;

struct Exception {
  std::uint32_t queue;
  std::uint64_t codes;
};

/// Evicts on a VM fault, as KFD does.
class TestHost final : public EngineHost {
 public:
  void interrupt(std::uint64_t process, std::uint32_t context_id) override;
  void wave_interrupt(const WaveInterrupt& interrupt) override;
  void vm_fault(std::uint64_t process, const MemoryFault& fault) override;
  void queue_exception(std::uint64_t process, std::uint32_t queue_id, std::uint64_t codes) override;
  std::uint64_t clock() override;

  std::vector<std::uint32_t> interrupts() const;
  std::vector<WaveInterrupt> wave_interrupts() const;
  std::vector<MemoryFault> faults() const;
  std::vector<Exception> exceptions() const;

  Engines* engines = nullptr;

 private:
  mutable std::mutex mutex_;
  std::vector<std::uint32_t> interrupts_;
  std::vector<WaveInterrupt> wave_interrupts_;
  std::vector<MemoryFault> faults_;
  std::vector<Exception> exceptions_;
};

/// Waits until it holds. False after a minute: something hangs that must not.
bool eventually(const std::function<bool()>& holds);

/// Dwords of a stream under construction.
class Stream {
 public:
  template <class P>
  Stream& put(const gpu::Packet<P>& packet) {
    return append(packet.dwords);
  }
  Stream& put(std::initializer_list<std::uint32_t> values) {
    return append({values.begin(), values.size()});
  }
  Stream& append(std::span<const std::uint32_t> values);
  /// Whatever an emit function of gpu/ writes.
  Stream& emit(const std::function<void(gpu::DwordWriter&)>& emitter);

  Stream& write(Va address, std::uint32_t value);  ///< WRITE_DATA to memory
  Stream& registers(std::uint32_t first, std::initializer_list<std::uint32_t> values);
  Stream& idle();  ///< CS_PARTIAL_FLUSH
  Stream& wait32(Va address, std::uint32_t value, gpu::pm4::Compare compare);
  Stream& wait64(Va address, std::uint64_t value, gpu::pm4::Compare compare);
  /// RELEASE_MEM of a 64-bit value without cache actions.
  Stream& signal(Va address, std::uint64_t value, std::uint32_t context = 0);

  std::vector<std::uint32_t> dwords;
};

class EngineFixture;

/// A queue with its ring, pointers and doorbell.
class TestQueue {
 public:
  TestQueue(EngineFixture& fixture, QueueType type, std::uint64_t ring_bytes, std::uint32_t xcc,
            bool start);
  ~TestQueue();

  /// PM4 and SDMA: appends to the ring, wrapping, and rings the doorbell.
  void submit(std::span<const std::uint32_t> dwords);
  void submit(const Stream& stream) { submit(stream.dwords); }
  /// AQL: one packet.
  void packet(const std::array<std::uint32_t, 16>& dwords);
  template <class P>
  void packet(const P& packet_struct) {
    packet(std::bit_cast<std::array<std::uint32_t, 16>>(packet_struct));
  }
  /// AQL: the stream as an indirect buffer in a vendor packet.
  void indirect(const Stream& stream, bool barrier = false, Va completion = 0);

  std::uint64_t read_pointer() const;
  void destroy();

  QueueConfig config;
  std::atomic<std::uint64_t> doorbell{0};
  std::uint64_t write_pointer = 0;  ///< dwords (PM4), bytes (SDMA), packets (AQL)

 private:
  EngineFixture& fixture_;
  bool alive_ = false;
};

/// One GPU with two arenas: uncached memory, and local memory that caches may keep.
class EngineFixture {
 public:
  explicit EngineFixture(const char* chip, EngineOptions options = {});
  ~EngineFixture();

  Va uncached(std::uint64_t bytes, std::uint64_t align = 256);
  Va cached(std::uint64_t bytes, std::uint64_t align = 256);
  /// Host view of guest memory.
  template <class T>
  T* at(Va va) {
    return reinterpret_cast<T*>(host(va));
  }
  std::byte* host(Va va);
  template <class T>
  T load(Va va) {
    return std::atomic_ref<T>(*at<T>(va)).load(std::memory_order_acquire);
  }
  template <class T>
  void store(Va va, T value) {
    std::atomic_ref<T>(*at<T>(va)).store(value, std::memory_order_release);
  }
  /// Puts machine code into memory.
  Va code(std::span<const std::uint32_t> dwords);
  Va buffer(const Stream& stream);

  /// Registers and DISPATCH_DIRECT of a one-wave-a-group kernel with `user` as user SGPRs.
  void dispatch(Stream& stream, Va program, std::initializer_list<Va> user, std::uint32_t groups,
                std::uint32_t threads = 64);

  std::unique_ptr<TestQueue> queue(QueueType type, std::uint64_t ring_bytes = 65536,
                                   std::uint32_t xcc = 0) {
    return std::make_unique<TestQueue>(*this, type, ring_bytes, xcc, true);
  }
  bool reaches(Va address, std::uint64_t value) {
    return eventually([&] { return load<std::uint64_t>(address) == value; });
  }

  const ChipSpec& chip;
  const gpu::Target& target;
  TestHost host_side;
  AddressSpace space;
  std::unique_ptr<Engines> engines;
  std::uint32_t next_queue_id = 0;
  TrapHandler trap_handler;  ///< of every queue

  static constexpr Va kUncached = 0x10'0000'0000, kCached = 0x20'0000'0000;
  static constexpr std::uint64_t kArenaBytes = 64 << 20;

 private:
  std::byte* arena_[2];
  std::uint64_t used_[2] = {};
};

}  // namespace kiln::vgpu::testing

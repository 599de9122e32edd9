// Owns: the words in memory behind timelines and progress counters: 64-byte, signal-shaped,
// uncached,
//   seen by the host and by GPUs.
// Does not own: what the values mean (semaphore.*, queue.*).
// Threading: PayloadPool locks; a Payload's words are atomic.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/result.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

/// An object shaped like amd_signal_t (amd_hsa_signal.h), so that AQL packets can wait for it too.
struct Payload {
  std::atomic<std::uint64_t>* value = nullptr;  ///< host address of the 64-bit value
  kmd::Va object = 0;                           ///< GPU address of the 64-byte object
  kmd::Va address = 0;                          ///< GPU address of the value, object + 8

  std::uint64_t load() const { return value->load(std::memory_order_acquire); }
};

class PayloadPool {
 public:
  explicit PayloadPool(kmd::Gpu& gpu) : gpu_(gpu) {}
  ~PayloadPool();
  PayloadPool(const PayloadPool&) = delete;

  /// A payload with `initial` as its value and `event` (may be id 0) as its interrupt.
  Result<Payload> allocate(std::uint64_t initial, const kmd::Event& event);
  void free(const Payload& payload);

 private:
  kmd::Gpu& gpu_;
  std::mutex mutex_;
  std::vector<kmd::Memory> pages_;
  std::vector<Payload> free_;
};

/// Writes a fresh signal object at `host`; the value's place in it is given back.
Payload init_payload(void* host, kmd::Va address, std::uint64_t initial, const kmd::Event& event);

}  // namespace kiln::core

// Owns: putting one submission into a hardware ring: room, wrap, packets around the recorded
// streams,
//   publishing with a single doorbell.
// Does not own: which submissions, in which order (queue.*).
// Threading: a ring belongs to its queue.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "core/command_buffer.hpp"
#include "core/payload.hpp"
#include "gpu/commands.hpp"
#include "gpu/dispatch.hpp"
#include "kmd/kmd.hpp"

namespace kiln::core {

/// A 64-bit wait for a payload.
struct PayloadWait {
  kmd::Va object = 0;   ///< of the signal-shaped object
  kmd::Va address = 0;  ///< of its value
  std::uint64_t value = 0;
};

/// Everything that goes into the ring for one submission.
struct Plan {
  std::span<const PayloadWait> waits;
  /// Written when the waits are over, for watchdogs; address 0: not asked for.
  gpu::WriteOp started;
  bool flush_hdp = false;  ///< host writes through the PCI aperture must be flushed by the GPU
  const gpu::ScratchBinding* scratch = nullptr;  ///< null: no kernel of it uses scratch
  std::span<const StreamPart> parts;
  std::span<const gpu::SignalOp> signals;  ///< the queue's own progress counter among them
};

/// A circular buffer whose begin is freed by submissions that have retired. Positions only grow.
class RingSpace {
 public:
  explicit RingSpace(std::uint64_t size = 0) : size_(size) {}

  std::uint64_t size() const { return size_; }
  std::uint64_t head() const { return head_; }
  std::uint64_t offset() const { return head_ % size_; }
  std::uint64_t free() const { return size_ - (head_ - tail_); }
  std::uint64_t to_end() const { return size_ - offset(); }
  void advance(std::uint64_t amount) { head_ += amount; }
  void free_up_to(std::uint64_t position) { tail_ = position; }

 private:
  std::uint64_t size_, head_ = 0, tail_ = 0;
};

class Ring {
 public:
  /// A submission in flight holds one of these; more in flight than that count as a full ring.
  static constexpr std::uint32_t kMaxInFlight = 4096;

  static Result<std::unique_ptr<Ring>> create(Device& device, kmd::HwQueue& hw);
  Ring(Device& device, kmd::HwQueue& hw);
  virtual ~Ring() = default;
  Ring(const Ring&) = delete;

  /// VK_ERROR_VALIDATION_FAILED_EXT if the plan could not fit even in an empty ring.
  virtual Status check_size(const Plan& plan) const = 0;
  /// Writes and publishes submission number `submission` (they count up from 1). False: no room
  /// yet, nothing changed.
  bool write(const Plan& plan, std::uint64_t submission, std::uint64_t retired);
  std::uint64_t dwords_written() const { return dwords_written_; }

 protected:
  struct Mark {
    std::uint64_t ring = 0, side = 0;  ///< where the submission's use of each buffer ended
  };
  /// Writes the whole plan, or nothing and returns false.
  virtual bool write_plan(const Plan& plan) = 0;

  Device& device_;
  kmd::HwQueue& hw_;
  RingSpace ring_;  // in the ring's own unit: dwords, or packets
  RingSpace side_;  // dwords of small streams beside an AQL ring
  std::uint64_t dwords_written_ = 0;

 private:
  std::vector<Mark> marks_{kMaxInFlight};
  std::uint64_t freed_ = 0;  // submissions whose room was taken back
};

std::unique_ptr<Ring> make_pm4_ring(Device& device, kmd::HwQueue& hw);
Result<std::unique_ptr<Ring>> make_aql_ring(Device& device, kmd::HwQueue& hw);
std::unique_ptr<Ring> make_sdma_ring(Device& device, kmd::HwQueue& hw);

}  // namespace kiln::core

// Owns: machine code decoded once per page, and a workgroup's quick way to it.
// Does not own: decoding (decode.*), what instructions do (semantics.*).
// Threading: CodeCache and CodePage from any thread; a CodeView belongs to one workgroup.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "vgpu/isa/instruction.hpp"
#include "vgpu/isa/wave.hpp"
#include "vgpu/memory.hpp"

namespace kiln::vgpu::isa {

/// The instructions that start in one page of guest memory. An instruction is decoded when a wave
/// first reaches it, so that what is decoded is also what has run.
class CodePage {
 public:
  CodePage(Va begin, Arch arch, const std::byte* host) : begin_(begin), arch_(arch), host_(host) {}

  Va begin() const { return begin_; }
  const std::byte* host() const { return host_; }

  /// Null: not decoded yet.
  const Instruction* at(std::uint64_t offset) const {
    return at_[offset / 4].load(std::memory_order_acquire);
  }
  /// Decodes the instruction at `offset`; null if it cannot be fetched (port.fault()). Code that is
  /// no instruction, or has no semantics, becomes an instruction that halts the wave.
  const Instruction* decode_at(std::uint64_t offset, MemoryPort& port);

 private:
  const Va begin_;
  const Arch arch_;
  const std::byte* const host_;  ///< where the page stood; another place means other code
  std::array<std::atomic<const Instruction*>, kPageBytes / 4> at_{};
  std::mutex mutex_;
  std::deque<Instruction> storage_;
};

/// All decoded pages of an address space.
class CodeCache {
 public:
  std::shared_ptr<CodePage> page(Va va, Arch arch, const std::byte* host);
  void invalidate();
  /// Changes at every invalidate.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

 private:
  std::mutex mutex_;
  std::unordered_map<Va, std::shared_ptr<CodePage>> pages_;
  std::atomic<std::uint64_t> version_{1};
};

/// The pages a workgroup runs in, without a lock while nothing changes.
class CodeView {
 public:
  explicit CodeView(const AddressSpace& space) : space_(&space), cache_(&space.code()) {}

  /// The page of `pc`; null if it is not mapped executable (port.fault()).
  CodePage* page(Va pc, Arch arch, MemoryPort& port);

 private:
  struct Slot {
    Va begin = ~Va{0};
    std::uint64_t generation = 0, version = 0;
    std::shared_ptr<CodePage> page;
  };

  const AddressSpace* space_;
  CodeCache* cache_;
  std::array<Slot, 16> slots_;
};

/// Sets `execute` to a handler that halts the wave and names what is wrong.
void make_unknown(Instruction& instruction);

/// Halts with `reason`, the instruction's name and its address.
[[gnu::cold]] void halt_at(Wave& wave, const Instruction& instruction, const char* reason);

/// The same for an access outside of its aperture, which a trap handler is told of (MEM_VIOL).
[[gnu::cold]] void violation_at(Wave& wave, const Instruction& instruction, const char* reason);

}  // namespace kiln::vgpu::isa

// Owns: one SDMA queue: ring, indirect buffer, packets of engines 4.4, 5.2 and 6.0.
// Does not own: layouts (gpu/sdma.hpp), caches (caches.*).
// Threading: a task.
//
// KFD hears nothing of a bad SDMA packet: the engine stops, and with it the queue (a hang, found by
// a watchdog). The debug switch says why. On gfx9 the engine goes past the compute caches; from
// gfx10 on it is a client of the L2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vgpu/command_processor.hpp"

namespace kiln::vgpu {

class SdmaEngine final : public Task {
 public:
  explicit SdmaEngine(std::shared_ptr<QueueState> queue);

  Outcome step(Random& random) override;

 private:
  enum class Result : std::uint8_t { Done, More, Blocked, Idle, Stopped };

  struct Buffer {
    Va address = 0;
    std::uint32_t dwords = 0, position = 0;
  };

  Result advance(std::uint64_t slice);
  Result decode(Va address, std::uint64_t available, gpu::PacketView* view);
  Result execute(const gpu::PacketView& view, std::uint64_t slice);
  template <class S>
  Result execute_as(const gpu::PacketView& view, std::uint64_t slice);

  template <class P>
  Result copy_linear(const gpu::PacketView& view, std::uint64_t slice);
  template <class P>
  Result copy_rect(const gpu::PacketView& view, std::uint64_t slice);
  template <class P>
  Result write_linear(const gpu::PacketView& view);
  template <class P>
  Result const_fill(const gpu::PacketView& view, std::uint64_t slice);
  template <class P>
  Result fence(const gpu::PacketView& view);
  template <class P>
  Result poll(const gpu::PacketView& view);
  template <class P>
  Result atomic(const gpu::PacketView& view);
  Result cache_request(const gpu::PacketView& view);
  Result indirect(const gpu::PacketView& view);

  bool copy(Va from, Va to, std::uint64_t bytes);
  Result refuse(const gpu::PacketView& view, const char* why);
  Result memory_fault();
  std::uint64_t write_pointer(bool* mapped);

  const std::shared_ptr<QueueState> queue_;
  EngineContext& context_;
  const gpu::Dialect dialect_;
  EnginePort port_;
  std::uint64_t read_pointer_ = 0;  ///< bytes, counting on
  bool in_buffer_ = false;
  Buffer buffer_;
  std::vector<std::uint32_t> packet_;
  std::vector<std::byte> slice_;
  std::uint64_t done_ = 0;    ///< of the packet under way: bytes or rows
  std::uint32_t polled_ = 0;  ///< tries of the poll under way
};

}  // namespace kiln::vgpu

// Owns: writing dwords into memory that the caller gives, with room checked once per command.
// Does not own: the memory, or what is written.
// Threading: one writer, one thread.
#pragma once

#include <cassert>
#include <cstdint>
#include <cstring>
#include <span>

#include "gpu/field.hpp"

namespace kiln::gpu {

/// reserve(n), then put() at most n dwords, then commit(). Never allocates. What lies between
/// commits is not part of the stream yet, so a failure half-way leaves no half command: rollback().
class DwordWriter {
 public:
  explicit DwordWriter(std::span<std::uint32_t> room) : room_(room) {}

  /// False: no room for `dwords` more; nothing changed.
  [[nodiscard]] bool reserve(std::uint32_t dwords) {
    assert(position_ == committed_ && "the command before was not committed");
    if (room_.size() - committed_ < dwords) return false;
    limit_ = committed_ + dwords;
    return true;
  }
  void put(std::uint32_t dword) {
    assert(position_ < limit_ && "more dwords than reserved");
    room_[position_++] = dword;
  }
  void put(const std::uint32_t* dwords, std::uint32_t count) {
    assert(position_ + count <= limit_ && "more dwords than reserved");
    std::memcpy(room_.data() + position_, dwords, count * sizeof(std::uint32_t));
    position_ += count;
  }
  template <class P>
  void put(const Packet<P>& packet) {
    put(packet.dwords.data(), static_cast<std::uint32_t>(packet.dwords.size()));
  }
  /// A 64-bit value, low half first.
  void put64(std::uint64_t value) {
    put(static_cast<std::uint32_t>(value));
    put(static_cast<std::uint32_t>(value >> 32));
  }
  /// Accepts what was put since reserve() and returns how many dwords that was.
  std::uint32_t commit() {
    const std::uint32_t written = position_ - committed_;
    committed_ = position_;
    limit_ = position_;
    return written;
  }
  void rollback() { position_ = limit_ = committed_; }

  /// Dwords put so far, committed or not.
  std::uint32_t position() const { return position_; }
  std::uint32_t size() const { return committed_; }
  std::uint32_t room() const { return static_cast<std::uint32_t>(room_.size()) - committed_; }
  std::span<const std::uint32_t> committed() const { return room_.first(committed_); }
  /// Start of the memory, for a size that is known only afterwards (PRED_EXEC's count).
  std::uint32_t& at(std::uint32_t index) {
    assert(index < position_);
    return room_[index];
  }

 private:
  std::span<std::uint32_t> room_;
  std::uint32_t committed_ = 0, position_ = 0, limit_ = 0;
};

}  // namespace kiln::gpu

// Owns: the evidence report of a process, as the environment asks: KILN_VGPU_REPORT=FILE ("%p" in
//   it is the process id). JSON: which instructions ran and how well, which packets, what stopped.
// Does not own: what instructions ran (isa/census.*).
// Threading: safe from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "gpu/decode.hpp"

namespace kiln::vgpu {

class Report {
 public:
  /// Null unless the environment asked for a report when this was first called. Written when the
  /// process ends, when a virtual GPU is closed, and at every problem, so that a killed process
  /// leaves one too.
  static Report* active();

  explicit Report(std::string path);
  ~Report();
  Report(const Report&) = delete;

  void gpu(std::string_view product);
  /// A packet that was carried out.
  void packet(const gpu::Target& target, const gpu::PacketInfo& info);
  /// A queue that stopped, a wave that hangs, a fault.
  void problem(std::string_view product, const std::string& text);
  /// Replaces the file; says on stderr if it cannot. A forked child leaves its parent's alone.
  void write() noexcept;

  std::string json() const;

 private:
  using Key = std::tuple<std::string_view, gpu::Family, std::string_view>;  // target, engine, name

  const std::string path_;
  const int process_;
  mutable std::mutex mutex_;
  std::set<std::string, std::less<>> gpus_;
  std::map<Key, std::uint64_t> packets_;
  std::vector<std::string> problems_;
  std::uint64_t problems_left_out_ = 0;
  std::mutex file_mutex_;
};

}  // namespace kiln::vgpu

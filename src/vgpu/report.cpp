// Owns: the text of the report and when it is written.
// Does not own: see report.hpp.
// Threading: file_mutex_ orders writers; mutex_ guards what they read.
#include "vgpu/report.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "vgpu/engines.hpp"
#include "vgpu/isa/census.hpp"

namespace kiln::vgpu {
namespace {

constexpr std::size_t kMaxProblems = 100;

const char* to_string(gpu::Family family) {
  switch (family) {
    case gpu::Family::Pm4:
      return "PM4";
    case gpu::Family::Sdma:
      return "SDMA";
    case gpu::Family::Aql:
      return "AQL";
  }
  return "?";
}

/// Arguments with a space between them.
std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  std::string line = std::move(text).str();
  while (!line.empty() && line.back() == '\0') line.pop_back();
  for (char& c : line)
    if (c == '\0') c = ' ';
  return line;
}

std::string with_process_id(std::string path) {
  if (const std::size_t at = path.find("%p"); at != std::string::npos)
    path.replace(at, 2, std::to_string(getpid()));
  return path;
}

std::unique_ptr<Report> from_environment() {
  const char* path = std::getenv("KILN_VGPU_REPORT");
  if (path == nullptr || *path == '\0') return nullptr;
  return std::make_unique<Report>(with_process_id(path));
}

}  // namespace

Report* Report::active() {
  // Its destructor runs when the process ends.
  static const std::unique_ptr<Report> instance = from_environment();
  return instance.get();
}

Report::Report(std::string path) : path_(std::move(path)), process_(getpid()) {}

Report::~Report() {
  write();
}

void Report::gpu(std::string_view product) {
  std::lock_guard lock(mutex_);
  gpus_.emplace(product);
}

void Report::packet(const gpu::Target& target, const gpu::PacketInfo& info) {
  std::lock_guard lock(mutex_);
  ++packets_[{target.name, info.family, info.name}];
}

void Report::problem(std::string_view product, const std::string& text) {
  {
    std::lock_guard lock(mutex_);
    if (problems_.size() < kMaxProblems)
      problems_.push_back(std::string(product) + ": " + text);
    else
      ++problems_left_out_;
  }
  write();
}

std::string Report::json() const {
  using Json = nlohmann::ordered_json;
  Json instructions = Json::array(), packets = Json::array();
  std::map<isa::Standing, std::uint64_t> summary;
  for (const isa::Reached& one : isa::reached()) {
    ++summary[one.standing];
    instructions.push_back({{"generation", isa::to_string(one.arch)},
                            {"name", one.name},
                            {"standing", isa::to_string(one.standing)},
                            {"sites", one.sites}});
  }
  Json counts = Json::object();
  for (const isa::Standing standing :
       {isa::Standing::Exact, isa::Standing::Approximate, isa::Standing::Unsupported})
    counts[isa::to_string(standing)] = summary[standing];

  std::lock_guard lock(mutex_);
  for (const auto& [key, count] : packets_) {
    const auto& [target, family, name] = key;
    packets.push_back(
        {{"target", target}, {"engine", to_string(family)}, {"name", name}, {"count", count}});
  }
  const Json report = {{"schema", "kiln-vgpu-report/1"},
                       {"program", command_line()},
                       {"process", process_},
                       {"gpus", gpus_},
                       {"wave_instructions", total_wave_instructions()},
                       {"opcodes", counts},
                       {"instructions", instructions},
                       {"packets", packets},
                       {"problems", problems_},
                       {"problems_left_out", problems_left_out_}};
  return report.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void Report::write() noexcept {
  if (getpid() != process_) return;
  try {
    const std::string text = json();
    std::lock_guard lock(file_mutex_);
    // Whoever reads it while this runs sees the old one or the new one.
    const std::string next = path_ + ".part";
    std::FILE* file = std::fopen(next.c_str(), "w");
    bool good = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
    if (file != nullptr) good = std::fclose(file) == 0 && good;
    if (!good || std::rename(next.c_str(), path_.c_str()) != 0)
      std::fprintf(stderr, "kiln vgpu: KILN_VGPU_REPORT: cannot write %s\n", path_.c_str());
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "kiln vgpu: KILN_VGPU_REPORT: %s\n", exception.what());
  }
}

}  // namespace kiln::vgpu

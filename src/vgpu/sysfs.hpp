// Owns: the text files under /sys that a machine with these GPUs shows: KFD's topology, the cards'
//   device folders (sysfs_card.cpp), the amdgpu module.
// Does not own: the facts (chips.*, machine.*).
// Threading: immutable once made.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "vgpu/machine.hpp"

namespace kiln::vgpu {

/// "0000:05:00.0"
std::string pci_slot(const VirtualGpu& gpu);

class Sysfs {
 public:
  explicit Sysfs(Machine& machine);

  /// True when `path` lies where this tree answers, even if nothing is there.
  static bool owns(std::string_view path);
  /// The text of a file: 0, -ENOENT, or -EISDIR.
  int read(std::string_view path, std::string* text) const;
  /// The names in a folder, sorted: 0, -ENOENT, or -ENOTDIR.
  int list(std::string_view path, std::vector<std::string>* names) const;
  /// Every file, by its canonical path: for those that serve the same tree by other means.
  const std::map<std::string, std::string, std::less<>>& files() const { return files_; }

 private:
  void add_cpu_node(Machine& machine);
  void add_gpu_node(Machine& machine, VirtualGpu& gpu);
  void add_caches(const std::string& node, const ChipSpec& chip);
  void add_links(Machine& machine, VirtualGpu& gpu, std::size_t* io_links, std::size_t* p2p_links);
  void add_device(VirtualGpu& gpu);

  std::map<std::string, std::string, std::less<>> files_;
};

}  // namespace kiln::vgpu

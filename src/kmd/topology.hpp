// Owns: KFD's topology as sysfs tells it, read consistently, and the sizes a queue needs.
// Does not own: whether a GPU can be opened (kfd.cpp).
// Threading: values only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "kmd/kmd.hpp"
#include "kmd/os.hpp"

namespace kiln::kmd {

/// "name value" lines of a sysfs file.
using Properties = std::map<std::string, std::uint64_t, std::less<>>;
Properties parse_properties(const std::string& text);

/// One directory below topology/nodes.
struct TopologyNode {
  std::uint32_t node = 0;
  std::uint32_t gpu_id = 0;  ///< 0: a CPU
  int hidden = 0;            ///< -errno when the kernel does not let this process see the node
  std::string name;          ///< the driver's code name
  Properties properties;
  std::vector<Properties> memory_banks, caches, io_links, p2p_links;

  std::uint64_t get(std::string_view key, std::uint64_t otherwise = 0) const;
  bool is_gpu() const { return gpu_id != 0; }
};

/// All nodes, by number. Read again when the driver changed them meanwhile.
Result<std::vector<TopologyNode>> read_topology(Os& os);

/// What CREATE_QUEUE wants of a GPU's queues, per XCC.
struct SaveAreaSizes {
  std::uint32_t context_bytes = 0;  ///< control stack and workgroup data
  std::uint32_t control_stack_bytes = 0;
  std::uint32_t debug_bytes = 0;
};
/// The driver's own formula (kfd_queue.c, kfd_queue_ctx_save_restore_size).
SaveAreaSizes compute_save_area(const TopologyNode& node);

/// A GPU node in Kiln's terms. `nodes` are all nodes, for what its links lead to.
GpuInfo describe_gpu(Os& os, const TopologyNode& node, const std::vector<TopologyNode>& nodes);

}  // namespace kiln::kmd

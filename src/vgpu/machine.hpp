// Owns: the virtual machine: its GPUs, the memory behind them and the clock; what lasts as long as
//   the machine and has no owner among processes.
// Does not own: processes, queues, events (kfd_process.*), the files (os.*), execution (engines).
// Threading: everything here is safe from any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "kmd/uapi/kfd_ioctl.hpp"
#include "vgpu/chips.hpp"
#include "vgpu/engines.hpp"
#include "vgpu/memory.hpp"

namespace kiln::vgpu {

/// What KILN_VGPU asks for: "2x mi300x,strict,seed=7,skew=max,kfd=1.14,threads=2,debug,vram=4G".
struct MachineSpec {
  std::vector<const ChipSpec*> gpus;
  EngineOptions engine;
  std::uint32_t kfd_minor = 0;   ///< 0: the newest
  std::uint64_t vram_bytes = 0;  ///< 0: as the product has
  bool no_hdp_page = false;      ///< the driver refuses the MMIO remap page, as under SR-IOV
  std::string text;              ///< as given
};
inline constexpr std::uint32_t kNewestKfdMinor = kmd::uapi::kMinorNewest;
inline constexpr std::uint32_t kOldestKfdMinor = 11;

Result<MachineSpec> parse_spec(std::string_view text);

/// A sparse shared memory file with one mapping of the whole, which stays where it is until the
/// Region dies: pointers into it are valid even for freed ranges (they read as zero).
class Region {
 public:
  static Result<std::unique_ptr<Region>> create(const char* name, std::uint64_t bytes);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  int fd() const { return fd_; }
  std::byte* host() const { return host_; }
  std::uint64_t bytes() const { return bytes_; }
  /// Gives the pages of a freed range back; they read as zero afterwards.
  void discard(std::uint64_t offset, std::uint64_t bytes);

 private:
  Region(int fd, std::byte* host, std::uint64_t bytes) : fd_(fd), host_(host), bytes_(bytes) {}
  int fd_;
  std::byte* host_;
  std::uint64_t bytes_;
};

/// First fit over [begin, end), neighbours merged on free.
class RangeAllocator {
 public:
  RangeAllocator(std::uint64_t begin, std::uint64_t end);
  /// False if nothing fits. `bytes` and `alignment` are multiples of a page.
  bool allocate(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t* offset);
  void free(std::uint64_t offset, std::uint64_t bytes);
  std::uint64_t free_bytes() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> free_;  ///< offset -> bytes
  std::uint64_t free_bytes_;
};

enum class Domain : std::uint8_t { Vram, Gtt };

/// Memory of one allocation. Once exported it lives in a file of its own (buffers.hpp) and only its
/// place in the GPU's mapping stays the same.
struct Storage {
  Domain domain = Domain::Vram;
  std::uint32_t gpu = 0;
  std::uint64_t offset = 0;  ///< in the GPU's region, which is also its mmap offset
  std::uint64_t bytes = 0;
  std::byte* host = nullptr;
};

/// One GPU. Its region holds VRAM in [0, vram) and its share of system memory (GTT) behind that, so
/// that offsets of the render node's mmap are offsets in the file behind it.
class VirtualGpu {
 public:
  const ChipSpec& chip() const { return *chip_; }
  std::uint32_t index() const { return index_; }
  std::uint32_t node() const { return index_ + 1; }  ///< topology node; 0 is the CPU
  std::uint32_t gpu_id() const { return gpu_id_; }
  std::uint32_t render_minor() const { return 128 + index_; }
  std::uint32_t pci_bus() const { return pci_bus_; }
  std::uint32_t location_id() const { return pci_bus_ << 8; }
  std::uint64_t unique_id() const { return chip_->unique_id + index_; }
  std::uint64_t hive_id() const;
  std::uint64_t vram_bytes() const { return vram_bytes_; }
  std::uint64_t gtt_bytes() const { return gtt_bytes_; }
  Region& region() { return *region_; }
  QueueSizes queue_sizes() const { return vgpu::queue_sizes(*chip_); }

  bool allocate(Domain domain, std::uint64_t bytes, Storage* storage);
  void free(const Storage& storage);
  std::uint64_t free_vram() const { return vram_.free_bytes(); }
  std::uint64_t free_gtt() const { return gtt_.free_bytes(); }
  /// What AVAILABLE_MEMORY says: every allocation counts whole pieces of 2 MiB.
  std::uint64_t available_vram() const;

 private:
  friend class Machine;
  VirtualGpu(const ChipSpec& chip, std::uint32_t index, std::uint64_t vram, std::uint64_t gtt,
             std::unique_ptr<Region> region);

  const ChipSpec* chip_;
  std::uint32_t index_, gpu_id_, pci_bus_;
  std::uint64_t vram_bytes_, gtt_bytes_;
  std::uint64_t page_tables_ = 0;  ///< VRAM kept back for them
  std::atomic<std::uint64_t> vram_pieces_{0};
  std::unique_ptr<Region> region_;
  RangeAllocator vram_, gtt_;
};

class Machine {
 public:
  static Result<std::unique_ptr<Machine>> create(MachineSpec spec);

  const MachineSpec& spec() const { return spec_; }
  std::uint32_t kfd_minor() const { return spec_.kfd_minor; }
  std::size_t gpu_count() const { return gpus_.size(); }
  VirtualGpu& gpu(std::size_t index) { return *gpus_[index]; }
  VirtualGpu* gpu_by_id(std::uint32_t gpu_id);
  VirtualGpu* gpu_by_render_minor(std::uint32_t minor);

  /// The 100 MHz counter that all GPUs share; ticks of CLOCK_MONOTONIC_RAW / 10 ns.
  static std::uint64_t clock();

 private:
  explicit Machine(MachineSpec spec) : spec_(std::move(spec)) {}
  MachineSpec spec_;
  std::vector<std::unique_ptr<VirtualGpu>> gpus_;
};

}  // namespace kiln::vgpu

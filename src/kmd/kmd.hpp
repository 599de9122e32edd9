// Owns: the seam between Kiln's objects and a Linux driver: what core may ask of a GPU.
// Does not own: packets (gpu/), policy (core/).
// Threading: a Gpu's methods may be called from any thread; a HwQueue belongs to its caller.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "gpu/gfxip.hpp"
#include "kmd/os.hpp"

namespace kiln::kmd {

using Va = std::uint64_t;

enum class LinkKind : std::uint8_t { None, Pcie, Xgmi };

/// A direct way from one GPU to another or to the host, from io_links and p2p_links.
struct Link {
  std::uint32_t to_node = 0;  ///< topology node at the other end
  LinkKind kind = LinkKind::None;
  std::uint32_t weight = 0;  ///< the driver's distance measure
  std::uint32_t min_bandwidth_mbs = 0;
  std::uint32_t max_bandwidth_mbs = 0;
  std::uint32_t recommended_sdma_engines = 0;  ///< bit mask, KFD 1.17; 0 = no advice
  bool atomics_32 = true, atomics_64 = true;
};

/// What the driver says about one GPU, as read; sizes in bytes.
struct GpuInfo {
  gpu::GfxIp gfx_ip;
  std::uint32_t node = 0;    ///< KFD topology node
  std::uint32_t gpu_id = 0;  ///< KFD's id of that node, from its own file
  std::int32_t drm_render_minor = -1;
  std::string marketing_name;  ///< product name, or "gfx942" where none is known
  std::array<std::uint8_t, 16> uuid{};
  std::uint32_t pci_domain = 0, pci_bus = 0, pci_device = 0, pci_function = 0;
  std::uint32_t vendor_id = 0, device_id = 0;
  std::uint32_t xcc_count = 1;
  std::uint32_t cu_count = 0;  ///< all XCCs together
  std::uint32_t simd_per_cu = 4;
  std::uint32_t max_waves_per_simd = 0;
  std::uint32_t shader_engines = 0;  ///< all XCCs together
  std::uint32_t shader_arrays_per_engine = 1;
  std::uint32_t cu_per_shader_array = 0;
  std::uint32_t max_scratch_slots_per_cu = 32;
  std::uint32_t lds_bytes = 65536;
  std::uint32_t wavefront_size = 64;
  std::uint32_t max_engine_clock_mhz = 0;
  std::uint64_t vram_bytes = 0;
  std::uint64_t visible_vram_bytes = 0;  ///< the part the host can map
  std::uint32_t l2_cache_bytes = 0;
  std::uint32_t sdma_engines = 0;  ///< engines for plain SDMA queues
  std::uint32_t sdma_xgmi_engines = 0;
  std::uint32_t sdma_queues_per_engine = 0;
  std::uint32_t compute_queue_slots = 0;  ///< hardware slots before over-subscription
  std::uint32_t cwsr_bytes = 0, control_stack_bytes = 0, eop_bytes = 4096;  ///< queue buffer sizes
  std::uint32_t debug_area_bytes = 0;  ///< debugger's part of a save area, per XCC
  std::uint64_t timestamp_hz = 100'000'000;
  /// ECC of registers and LDS, which code can be compiled for; none where the target has no such
  /// choice.
  std::optional<bool> sramecc;
  bool is_virtual = false;
  bool hdp_flush_needed = true;  ///< false on XGMI hosts
  std::vector<Link> links;
};

/// A GPU found but not usable, or the reason why none was found, in words.
struct Unusable {
  std::string name;  ///< "gfx1036 (node 2)", or "/dev/kfd"
  VkResult code = VK_ERROR_INCOMPATIBLE_DRIVER;
  std::string reason;  ///< what, where, what to do
};

enum class Heap : std::uint8_t { Vram, System, HostImport };

struct MemoryDesc {
  std::uint64_t size = 0;
  std::uint64_t alignment = 0;  ///< of the address; 0 = page
  Heap heap = Heap::Vram;
  bool host_visible = false;  ///< Vram only: through the BAR; System always is
  bool uncached = false;      ///< MTYPE UC: payloads, rings, event page
  bool coherent = false;      ///< fine-grained
  bool executable = false;
  bool read_only = false;        ///< for the GPU
  void* host_pointer = nullptr;  ///< HostImport: whole pages, address and size
};

/// Memory at one address for the host (where visible) and every GPU it is mapped to.
struct Memory {
  Va address = 0;
  std::uint64_t size = 0;    ///< rounded to what was allocated
  void* host = nullptr;      ///< null: not visible to the host
  std::uint64_t handle = 0;  ///< the driver's own
  MemoryDesc desc;
};

enum class QueueKind : std::uint8_t { ComputePm4, ComputeAql, Sdma, SdmaXgmi };

struct QueueDesc {
  QueueKind kind = QueueKind::ComputePm4;
  std::uint32_t ring_bytes = 0;            ///< power of two
  std::int32_t priority = 7;               ///< 0 (low) .. 15 (high), as KFD
  std::int32_t sdma_engine = -1;           ///< >= 0: that engine (KFD 1.17)
  const std::uint32_t* cu_mask = nullptr;  ///< null: all
  std::uint32_t cu_mask_words = 0;
};

/// A user-mode queue. Pointers are host addresses of GPU-visible memory.
struct HwQueue {
  std::uint32_t id = 0;
  QueueKind kind = QueueKind::ComputePm4;
  std::uint32_t* ring = nullptr;
  std::uint32_t ring_bytes = 0;
  Va ring_address = 0;
  std::atomic<std::uint64_t>* write_pointer = nullptr;
  std::atomic<std::uint64_t>* read_pointer = nullptr;  ///< for space only, never for completion
  std::atomic<std::uint64_t>* doorbell = nullptr;
  void* aql_queue = nullptr;  ///< amd_queue_t, AQL only
  Va aql_queue_address = 0;
  bool write_pointer_polled =
      false;  ///< hardware reads write_pointer by itself: never store a provisional one
};

/// A hardware interrupt target. The GPU writes `id` to `mailbox` and raises an interrupt with
/// context id `id`.
struct Event {
  std::uint32_t id = 0;
  Va mailbox = 0;
};

enum class FaultKind : std::uint8_t { None, MemoryFault, HardwareReset, QueueError, ProcessLost };

struct FaultInfo {
  FaultKind kind = FaultKind::None;
  Va address = 0;  ///< MemoryFault
  bool read_only = false, not_present = false, no_execute = false;
  std::uint32_t queue_id = 0;    ///< QueueError
  std::uint64_t error_bits = 0;  ///< QueueError: KFD's exception mask
  std::string text;              ///< the whole of it in words
};

enum class WaitResult : std::uint8_t { Woken, TimedOut, Faulted };

/// One opened GPU: a process address space on it, its memory and its queues.
class Gpu {
 public:
  virtual ~Gpu() = default;
  virtual const GpuInfo& info() const = 0;

  // Memory. `share` lists further GPUs (of the same driver) that see the memory at the same
  // address.
  virtual Result<Memory> allocate(const MemoryDesc& desc, const std::vector<Gpu*>& share) = 0;
  virtual Status map_to(const Memory& memory, const std::vector<Gpu*>& share) = 0;
  virtual Status free(const Memory& memory) = 0;
  virtual Result<std::uint64_t> available_memory() = 0;
  virtual Result<int> export_dmabuf(const Memory& memory) = 0;
  virtual Result<Memory> import_dmabuf(int fd) = 0;

  // Queues.
  virtual Result<std::unique_ptr<HwQueue>> create_queue(const QueueDesc& desc) = 0;
  virtual Status destroy_queue(HwQueue& queue) = 0;
  /// Restricts a compute queue to the CUs whose bits are set; `count` words of 32.
  virtual Status set_cu_mask(HwQueue& queue, const std::uint32_t* words, std::uint32_t count) = 0;

  // Events. wait() returns when `event` fired since `age` was read, a fault arrived, or time ran
  // out; it is a hint, the caller rechecks its own condition. At most 200 ms a call.
  virtual Result<Event> create_event() = 0;
  virtual Status destroy_event(const Event& event) = 0;
  virtual std::uint64_t event_age(const Event& event) = 0;
  virtual WaitResult wait(const Event& event, std::uint64_t age, std::uint64_t timeout_ns) = 0;
  /// Wakes host threads in wait(): what a host signal does.
  virtual Status set_event(const Event& event) = 0;

  /// The first fault of this GPU in this process; sticky. Polls the driver without blocking.
  virtual FaultInfo fault() = 0;

  /// GPU and host clocks read together (ns for the host's CLOCK_MONOTONIC).
  virtual Status clocks(std::uint64_t* gpu_ticks, std::uint64_t* host_ns) = 0;
  /// Makes host writes through the BAR visible to the GPU. False: no such page, flush by packet.
  virtual bool flush_hdp() = 0;
  /// Whether kernels of this process may fault and retry, which code can be compiled for. None: the
  /// target knows no such choice, or the driver does not say.
  virtual std::optional<bool> xnack() = 0;
  /// Aperture bases for queue_ptr-less address space casts, from the driver, never constants.
  virtual Va shared_aperture() const = 0;
  virtual Va private_aperture() const = 0;
};

/// A Linux driver: finds GPUs and opens them.
class Kmd {
 public:
  virtual ~Kmd() = default;
  /// Every GPU of a known target; the others and every other hindrance go to `unusable`.
  virtual Status enumerate(std::vector<GpuInfo>* gpus, std::vector<Unusable>* unusable) = 0;
  /// Opens for use. The same GPU may be opened again; the process state is shared.
  virtual Result<std::unique_ptr<Gpu>> open(const GpuInfo& info) = 0;
  virtual std::string version() const = 0;  ///< "KFD 1.14"
  /// What Kiln does without on this driver version, a sentence each. Valid after enumerate().
  virtual std::vector<std::string> limitations() const { return {}; }
};

/// KFD over `os`. `os` must outlive the Kmd.
std::unique_ptr<Kmd> make_kfd(Os& os);

}  // namespace kiln::kmd

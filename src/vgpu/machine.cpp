#include "vgpu/machine.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace kiln::vgpu {

namespace {

constexpr std::uint64_t kHugePage = 2ull << 20;

/// VRAM_AVAILABLITY_ALIGN of amdgpu_amdkfd_gpuvm.c.
constexpr std::uint64_t pieces(std::uint64_t bytes) {
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

std::uint64_t host_memory_bytes() {
  struct sysinfo info{};
  if (sysinfo(&info) != 0) return 8ull << 30;
  return std::uint64_t{info.totalram} * info.mem_unit;
}

/// 16 bits that say nothing about the position (kfd_topology.c kfd_generate_gpu_id hashes the
/// card's properties likewise), never 0 and never that of another GPU of the machine.
std::uint32_t make_gpu_id(const ChipSpec& chip, std::uint32_t bus) {
  std::uint64_t hash = chip.unique_id ^ (std::uint64_t{bus} * 0x9e3779b97f4a7c15ull);
  hash ^= hash >> 29;
  hash *= 0xbf58476d1ce4e5b9ull;
  hash ^= hash >> 32;
  return static_cast<std::uint32_t>(hash & 0xfff0) | 0x8000u | (bus & 15u);
}

}  // namespace

Result<std::unique_ptr<Region>> Region::create(const char* name, std::uint64_t bytes) {
  int fd = memfd_create(name, MFD_CLOEXEC);
  if (fd < 0)
    return fail(VK_ERROR_OUT_OF_HOST_MEMORY,
                strf("virtual GPU: memfd_create: %s", strerror(errno)));
  // Out of the way: programs, shells above all, give low numbers to files of their own.
  constexpr int kOutOfTheWay = 512;
  if (const int high = fcntl(fd, F_DUPFD_CLOEXEC, kOutOfTheWay); high >= 0) {
    close(fd);
    fd = high;
  }
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    const int error = errno;
    close(fd);
    return fail(VK_ERROR_OUT_OF_HOST_MEMORY,
                strf("virtual GPU: a sparse file of %llu MiB: %s; try a smaller vram=SIZE",
                     static_cast<unsigned long long>(bytes >> 20), strerror(error)));
  }
  void* host = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (host == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return fail(VK_ERROR_OUT_OF_HOST_MEMORY,
                strf("virtual GPU: mapping %llu MiB of address space: %s; try a smaller vram=SIZE",
                     static_cast<unsigned long long>(bytes >> 20), strerror(error)));
  }
  // Sparse in core dumps and not copied by fork: a child has no use of the devices.
  ::madvise(host, bytes, MADV_DONTDUMP);
  ::madvise(host, bytes, MADV_DONTFORK);
  return std::unique_ptr<Region>(new Region(fd, static_cast<std::byte*>(host), bytes));
}

Region::~Region() {
  ::munmap(host_, bytes_);
  ::close(fd_);
}

void Region::discard(std::uint64_t offset, std::uint64_t bytes) {
  if (fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(bytes)) != 0)
    memset(host_ + offset, 0, bytes);
}

RangeAllocator::RangeAllocator(std::uint64_t begin, std::uint64_t end) : free_bytes_(end - begin) {
  free_.emplace(begin, end - begin);
}

bool RangeAllocator::allocate(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t* offset) {
  std::lock_guard lock(mutex_);
  for (auto range = free_.begin(); range != free_.end(); ++range) {
    const std::uint64_t begin = range->first, length = range->second;
    const std::uint64_t at = (begin + alignment - 1) / alignment * alignment;
    const std::uint64_t skipped = at - begin;
    if (skipped > length || length - skipped < bytes) continue;
    free_.erase(range);
    if (skipped != 0) free_.emplace(begin, skipped);
    if (length - skipped != bytes) free_.emplace(at + bytes, length - skipped - bytes);
    free_bytes_ -= bytes;
    *offset = at;
    return true;
  }
  return false;
}

void RangeAllocator::free(std::uint64_t offset, std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  free_bytes_ += bytes;
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && offset + bytes == next->first) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  }
  free_.emplace(offset, bytes);
}

std::uint64_t RangeAllocator::free_bytes() const {
  std::lock_guard lock(mutex_);
  return free_bytes_;
}

VirtualGpu::VirtualGpu(const ChipSpec& chip, std::uint32_t index, std::uint64_t vram,
                       std::uint64_t gtt, std::unique_ptr<Region> region)
    : chip_(&chip),
      index_(index),
      pci_bus_(0x05 + index * 0x11),
      vram_bytes_(vram),
      gtt_bytes_(gtt),
      region_(std::move(region)),
      vram_(kHugePage, vram),  // the first 2 MiB are the firmware's; no mmap offset is 0
      gtt_(vram, vram + gtt) {
  gpu_id_ = make_gpu_id(chip, index);
}

std::uint64_t VirtualGpu::hive_id() const {
  // GPUs of a kind linked by XGMI form one hive; its id is that of a member (amdgpu_xgmi.c).
  return chip_->xgmi ? chip_->unique_id : 0;
}

bool VirtualGpu::allocate(Domain domain, std::uint64_t bytes, Storage* storage) {
  const std::uint64_t alignment = bytes >= kHugePage ? kHugePage
                                  : bytes >= 65536   ? 65536
                                                     : kPageBytes;
  RangeAllocator& from = domain == Domain::Vram ? vram_ : gtt_;
  // amdgpu_amdkfd_reserve_mem_limit: not from what page tables may need.
  if (domain == Domain::Vram && from.free_bytes() < bytes + page_tables_) return false;
  if (!from.allocate(bytes, alignment, &storage->offset)) return false;
  if (domain == Domain::Vram) vram_pieces_ += pieces(bytes);
  storage->domain = domain;
  storage->gpu = index_;
  storage->bytes = bytes;
  storage->host = region_->host() + storage->offset;
  return true;
}

std::uint64_t VirtualGpu::available_vram() const {
  // amdgpu_amdkfd_get_available_memory
  const std::uint64_t used = vram_pieces_ + page_tables_;
  return used < vram_bytes_ ? (vram_bytes_ - used) / kHugePage * kHugePage : 0;
}

void VirtualGpu::free(const Storage& storage) {
  region_->discard(storage.offset, storage.bytes);
  if (storage.domain == Domain::Vram) vram_pieces_ -= pieces(storage.bytes);
  (storage.domain == Domain::Vram ? vram_ : gtt_).free(storage.offset, storage.bytes);
}

Result<std::unique_ptr<Machine>> Machine::create(MachineSpec spec) {
  std::unique_ptr<Machine> machine(new Machine(std::move(spec)));
  const MachineSpec& wanted = machine->spec_;
  // TTM lets a GPU have half of system memory by default (ttm_device.c); never less than 1 GiB
  // here, since the pages are the host's anyway and sparse.
  const std::uint64_t gtt =
      std::max<std::uint64_t>(host_memory_bytes() / 2, 1ull << 30) / kHugePage * kHugePage;
  for (std::uint32_t index = 0; index < wanted.gpus.size(); ++index) {
    const ChipSpec& chip = *wanted.gpus[index];
    const std::uint64_t vram = wanted.vram_bytes != 0 ? wanted.vram_bytes : chip.vram_bytes;
    // Descriptors of the render node are of this file: what /proc/self/fd says tells which.
    const std::string name = strf("kiln-vgpu-renderD%u", 128 + index);
    KILN_ASSIGN(auto region, Region::create(name.c_str(), vram + gtt));
    machine->gpus_.emplace_back(new VirtualGpu(chip, index, vram, gtt, std::move(region)));
  }
  // ESTIMATE_PT_SIZE (amdgpu_amdkfd_gpuvm.c) of all memory that GPUs can reach, at least
  // AMDGPU_VM_RESERVED_VRAM; never much of the little that tests ask for.
  std::uint64_t reachable = host_memory_bytes();
  for (auto& gpu : machine->gpus_) reachable += gpu->vram_bytes();
  for (auto& gpu : machine->gpus_)
    gpu->page_tables_ =
        std::min(std::max<std::uint64_t>(reachable >> 14, 8ull << 20), gpu->vram_bytes() / 8);
  return machine;
}

VirtualGpu* Machine::gpu_by_id(std::uint32_t gpu_id) {
  for (auto& gpu : gpus_)
    if (gpu->gpu_id() == gpu_id) return gpu.get();
  return nullptr;
}

VirtualGpu* Machine::gpu_by_render_minor(std::uint32_t minor) {
  for (auto& gpu : gpus_)
    if (gpu->render_minor() == minor) return gpu.get();
  return nullptr;
}

std::uint64_t Machine::clock() {
  struct timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 100'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec) / 10u;
}

}  // namespace kiln::vgpu

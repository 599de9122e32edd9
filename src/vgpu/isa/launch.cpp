// Owns: the state a workgroup's waves start with: SGPRs, VGPRs, MODE, EXEC, LDS, scratch.
// Does not own: running them (run.cpp), reading COMPUTE_* registers out of packets.
// Threading: workgroups may be launched from several threads.
//
// Sources: LLVM AMDGPUUsage ("Initial Kernel Execution State", compute_pgm_rsrc1..3, "Target
// Properties" for who has packed work-item ids and architected flat scratch), AMD CDNA2, CDNA3,
// RDNA2 and RDNA3 ISA documents ("Wave state", "Hardware registers").
#include <algorithm>
#include <mutex>

#include "vgpu/isa/code_cache.hpp"
#include "vgpu/isa/dispatch.hpp"

namespace kiln::vgpu::isa {
namespace {

/// Register blocks of finished waves. The cap bounds what an idle virtual GPU keeps.
class RegisterPool {
 public:
  VectorRegister* take() {
    {
      std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        VectorRegister* rows = free_.back().release();
        free_.pop_back();
        return rows;
      }
    }
    return std::make_unique<VectorRegister[]>(kRegisterRows).release();
  }
  void give(VectorRegister* rows) {
    std::unique_ptr<VectorRegister[]> owned(rows);
    std::lock_guard lock(mutex_);
    if (free_.size() < kKept) free_.push_back(std::move(owned));
  }
  static RegisterPool& instance() {
    static RegisterPool* pool = new RegisterPool;  // outlives every static workgroup
    return *pool;
  }

 private:
  static constexpr std::size_t kKept = 256;
  std::mutex mutex_;
  std::vector<std::unique_ptr<VectorRegister[]>> free_;
};

std::uint32_t bits(std::uint32_t value, unsigned low, unsigned width) {
  return value >> low & ((1u << width) - 1);
}

/// COMPUTE_PGM_RSRC1..3 as far as a wave's start depends on them.
struct Resources {
  std::uint32_t vgprs, agprs;
  std::uint32_t mode, status;
  bool group_id[3], group_info, scratch;
  unsigned item_id_components;

  explicit Resources(const Dispatch& d) {
    const std::uint32_t granulated = bits(d.rsrc1, 0, 6) + 1;
    if (is_cdna(d.arch)) {
      const std::uint32_t total = granulated * 8;
      vgprs = std::min((bits(d.rsrc3, 0, 6) + 1) * 4, total);  // ACCUM_OFFSET
      agprs = std::min(total - vgprs, 256u);
    } else {
      vgprs = std::min(granulated * (d.wave32 ? 8u : 4u), 256u);
      agprs = 0;
    }
    // FLOAT_MODE 19:12, DX10_CLAMP 21, IEEE_MODE 23; EXCP_EN is RSRC2 30:24 and MODE 18:12.
    mode = bits(d.rsrc1, 12, 8) | bits(d.rsrc1, 21, 1) << 8 | bits(d.rsrc1, 23, 1) << 9 |
           bits(d.rsrc2, 24, 7) << 12;
    mode |= bits(d.rsrc1, 26, 1) << 23;                             // FP16_OVFL
    status = bits(d.rsrc1, 20, 1) << 5 | bits(d.rsrc2, 6, 1) << 6;  // PRIV, TRAP_EN
    scratch = bits(d.rsrc2, 0, 1) != 0;
    for (unsigned axis = 0; axis < 3; ++axis) group_id[axis] = bits(d.rsrc2, 7 + axis, 1) != 0;
    group_info = bits(d.rsrc2, 10, 1) != 0;
    item_id_components = std::min(bits(d.rsrc2, 11, 2), 2u) + 1;
  }
};

/// HW_ID of gfx9: WAVE 3:0, SIMD 5:4, CU 11:8, SE 15:13, TG 19:16.
/// HW_ID1 of gfx10 and gfx11: WAVE 4:0, SIMD 9:8, WGP 13:10, SA 16, SE 20:18.
std::uint32_t hardware_id(const Dispatch& d, const Placement& p, std::uint32_t wave) {
  if (is_cdna(d.arch))
    return (wave / 4 & 15) | (wave & 3) << 4 | (p.cu & 15) << 8 | (p.shader_engine & 7) << 13;
  return (wave / 4 & 31) | (wave & 3) << 8 | (p.cu / 2 & 15) << 10 | (p.shader_engine & 7) << 18;
}

/// Whether the hardware sets FLAT_SCRATCH up; elsewhere the kernel's prologue does, from the offset
/// that stands behind the workgroup's SGPRs.
bool has_architected_flat_scratch(Arch arch) {
  return arch == Arch::Cdna3 || arch == Arch::Rdna3;
}

/// SGPRs in the order of the ABI.
void set_sgprs(Wave& wave, const Dispatch& d, const Resources& r, const std::uint32_t (&group)[3],
               std::uint32_t waves, std::uint32_t scratch_offset) {
  unsigned next =
      std::min<std::uint32_t>(d.user_sgprs, static_cast<std::uint32_t>(d.user_data.size()));
  std::copy_n(d.user_data.begin(), next, wave.s);
  for (unsigned axis = 0; axis < 3; ++axis)
    if (r.group_id[axis]) wave.s[next++] = group[axis];
  // Workgroup info: number of waves 5:0, ordered-append term 16:6, first wave 31.
  if (r.group_info) wave.s[next++] = waves | (wave.index == 0 ? 1u << 31 : 0u);
  // Where this wave's scratch begins, in bytes from the beginning of the queue's.
  if (r.scratch && !has_architected_flat_scratch(d.arch)) wave.s[next++] = scratch_offset;
  // What a trap handler or debugger finds (ROCdbgapi): the dispatch packet, workgroup ids
  // and the wave's place.
  std::memcpy(&wave.s[kTtmp0 + 6], &d.packet, 8);
  for (unsigned axis = 0; axis < 3; ++axis) wave.s[kTtmp0 + 8 + axis] = group[axis];
  wave.s[kTtmp0 + 11] = wave.index & 0x3f;
}

/// Work-item ids: packed ten bits each into v0 on gfx90a and later and on gfx11, where components
/// beyond TIDIG_COMP_CNT are zero; in v0, v1 and v2 on gfx10. Lanes past the workgroup's end are
/// inactive.
void set_work_items(Wave& wave, const Resources& r, const std::uint32_t (&size)[3]) {
  const bool packed_ids = wave.arch != Arch::Rdna2;
  const std::uint32_t items = size[0] * size[1] * size[2];
  const std::uint32_t first = wave.index * wave.lanes;
  std::uint64_t mask = 0;
  std::uint32_t x = first % size[0], y = first / size[0] % size[1], z = first / (size[0] * size[1]);
  for (unsigned lane = 0; lane < wave.lanes && first + lane < items; ++lane) {
    std::uint32_t first_id = x;
    if (r.item_id_components > 1) (packed_ids ? first_id |= y << 10 : wave.v[1].lane[lane] = y);
    if (r.item_id_components > 2) (packed_ids ? first_id |= z << 20 : wave.v[2].lane[lane] = z);
    wave.v[0].lane[lane] = first_id;
    mask |= std::uint64_t{1} << lane;
    if (++x == size[0]) {
      x = 0;
      if (++y == size[1]) {
        y = 0;
        ++z;
      }
    }
  }
  wave.set_exec(mask);
}

/// Actual size of this workgroup: the last one of a dimension may be smaller.
void group_size(const Dispatch& d, const std::uint32_t (&group)[3], std::uint32_t (&size)[3]) {
  for (unsigned axis = 0; axis < 3; ++axis) {
    const bool last = group[axis] + 1 == d.start[axis] + d.groups[axis];
    size[axis] = last && d.partial[axis] != 0 ? d.partial[axis] : d.threads[axis];
    size[axis] = std::max(size[axis], 1u);
  }
}

std::uint32_t wave_count(const std::uint32_t (&size)[3], bool wave32) {
  const std::uint32_t lanes = wave32 ? 32 : 64;
  return (size[0] * size[1] * size[2] + lanes - 1) / lanes;
}

}  // namespace

RegisterFile::RegisterFile() : rows_(RegisterPool::instance().take()) {}
RegisterFile::~RegisterFile() {
  if (rows_ != nullptr) RegisterPool::instance().give(rows_);
}

Workgroup::Workgroup() = default;
Workgroup::~Workgroup() = default;

std::uint32_t waves_per_group(const Dispatch& dispatch) {
  const std::uint32_t size[3] = {std::max(dispatch.threads[0], 1u),
                                 std::max(dispatch.threads[1], 1u),
                                 std::max(dispatch.threads[2], 1u)};
  return wave_count(size, dispatch.wave32);
}

std::unique_ptr<Workgroup> launch(const Dispatch& dispatch, const std::uint32_t (&group)[3],
                                  const Placement& placement, Environment& environment) {
  const Resources resources(dispatch);
  auto made = std::make_unique<Workgroup>();
  made->lds.resize(dispatch.lds_bytes);
  made->port = std::make_unique<MemoryPort>(*dispatch.space, placement.caches);
  made->code = std::make_unique<CodeView>(*dispatch.space);
  made->shared_aperture = dispatch.shared_aperture;
  made->private_aperture = dispatch.private_aperture;
  made->environment = &environment;
  made->process = dispatch.process;
  made->queue_id = dispatch.queue_id;
  made->doorbell_id = dispatch.doorbell_id;
  made->trap_handler = dispatch.trap_handler;
  std::copy_n(group, 3, made->id);

  std::uint32_t size[3];
  group_size(dispatch, group, size);
  const std::uint32_t waves = wave_count(size, dispatch.wave32);
  made->waves.reserve(waves);
  made->registers.reserve(waves);
  for (std::uint32_t index = 0; index < waves; ++index) {
    made->registers.emplace_back();
    auto wave = std::make_unique<Wave>();
    wave->v = made->registers.back().rows();
    wave->vgpr_count = resources.vgprs;
    std::fill_n(wave->v, resources.vgprs, VectorRegister{});
    std::fill_n(wave->v + 256, resources.agprs, VectorRegister{});
    wave->arch = dispatch.arch;
    wave->lanes = dispatch.wave32 ? 32 : 64;
    wave->mode = resources.mode;
    wave->status = resources.status;
    wave->pc = dispatch.program;
    wave->group = made.get();
    wave->index = index;
    wave->hw_id = hardware_id(dispatch, placement, index);
    wave->xcc_id = placement.xcc & 0xf;
    std::uint32_t scratch_offset = 0;
    if (resources.scratch) {
      scratch_offset = (placement.first_scratch_slot + index) * dispatch.scratch_wave_bytes;
      if (has_architected_flat_scratch(dispatch.arch))
        wave->scratch_base = dispatch.scratch_base + scratch_offset;
      wave->scratch_lane_bytes = dispatch.scratch_wave_bytes / wave->lanes;
    }
    set_sgprs(*wave, dispatch, resources, group, waves, scratch_offset);
    set_work_items(*wave, resources, size);
    // gfx942 shows the architected flat scratch base as SGPRs 102 and 103.
    if (dispatch.arch == Arch::Cdna3) std::memcpy(&wave->s[102], &wave->scratch_base, 8);
    made->waves.push_back(std::move(wave));
  }
  return made;
}

}  // namespace kiln::vgpu::isa

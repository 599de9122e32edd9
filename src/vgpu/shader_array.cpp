// Owns: see shader_array.hpp.
// Does not own: see shader_array.hpp.
// Threading: see shader_array.hpp.
#include "vgpu/shader_array.hpp"

#include <algorithm>
#include <cstdio>

#include "base/result.hpp"

namespace kiln::vgpu {
namespace {

/// Of all machines, for whoever prints rates.
std::atomic<std::uint64_t> process_instructions{0};

/// Wave-instructions of a step: about a millisecond, short enough for spin locks between
/// workgroups.
constexpr std::uint64_t kBudget = 8192;
/// Register files of waves are large on the host; real occupancy would need gigabytes.
constexpr std::uint32_t kMostResidentWaves = 4096;
/// Steps without any workgroup ending after which more become resident: they may wait for those.
constexpr std::uint32_t kTiredAfter = 4;

constexpr std::size_t kUnitsInTurn = 4;

}  // namespace

std::uint64_t total_wave_instructions() {
  return process_instructions.load();
}

ShaderArray::ShaderArray(const ChipSpec& chip, const gpu::Target& target)
    : cu_per_engine_(std::max(1u, chip.cu_per_array * chip.arrays_per_engine)) {
  // The file is counted in rows of the narrowest wave that the chip has.
  const std::uint32_t file =
      target.wave.wave32 ? target.wave.vgpr_total_wave32 : target.wave.vgpr_total_wave64;
  cus_.assign(chip.cu_per_xcc(), Cu{chip.simd_per_cu * chip.max_waves_per_simd, chip.lds_kb * 1024,
                                    chip.simd_per_cu * file});
}

std::uint32_t ShaderArray::vgprs_per_wave(std::uint32_t rsrc1) {
  // GRANULATED_WORKITEM_VGPR_COUNT (AMDGPUUsage): units of 8 rows; wave64 on gfx10 and up has units
  // of 4, each of which takes two rows of 32 lanes.
  return ((rsrc1 & 63) + 1) * 8;
}

bool ShaderArray::place(const GroupNeeds& needs, const std::vector<bool>* enabled,
                        std::uint32_t* cu) {
  std::lock_guard lock(mutex_);
  // A few units in turn: enough that workgroups meet in different caches, few enough that a later
  // dispatch finds what an earlier one left there.
  const std::size_t start = next_++ % std::min(kUnitsInTurn, cus_.size());
  for (std::size_t i = 0; i < cus_.size(); ++i) {
    const std::size_t at = (start + i) % cus_.size();
    Cu& unit = cus_[at];
    if (enabled != nullptr && !(*enabled)[at]) continue;
    if (unit.waves < needs.waves || unit.lds_bytes < needs.lds_bytes || unit.vgprs < needs.vgprs)
      continue;
    unit.waves -= needs.waves;
    unit.lds_bytes -= needs.lds_bytes;
    unit.vgprs -= needs.vgprs;
    *cu = static_cast<std::uint32_t>(at);
    return true;
  }
  return false;
}

void ShaderArray::leave(const GroupNeeds& needs, std::uint32_t cu) {
  std::lock_guard lock(mutex_);
  cus_[cu].waves += needs.waves;
  cus_[cu].lds_bytes += needs.lds_bytes;
  cus_[cu].vgprs += needs.vgprs;
}

bool ScratchPool::take(std::uint32_t count, std::uint32_t* first) {
  std::lock_guard lock(mutex_);
  std::uint32_t run = 0;
  for (std::uint32_t i = 0; i < used_.size(); ++i) {
    run = used_[i] ? 0 : run + 1;
    if (run < count) continue;
    *first = i + 1 - count;
    std::fill_n(used_.begin() + *first, count, true);
    return true;
  }
  return false;
}

void ScratchPool::give(std::uint32_t first, std::uint32_t count) {
  std::lock_guard lock(mutex_);
  std::fill_n(used_.begin() + first, count, false);
}

EngineContext::EngineContext(const ChipSpec& chip_in, const gpu::Target& target_in,
                             const EngineOptions& options_in, EngineHost& host_in)
    : chip(chip_in),
      target(target_in),
      options(options_in),
      host(host_in),
      scheduler(options_in.threads, options_in.seed, options_in.skew),
      slots(chip_in.num_cp_queues, std::chrono::microseconds(options_in.quantum_us)) {
  if (report != nullptr) report->gpu(chip.product);
  if (options.strict_memory) caches = std::make_unique<CacheSystem>(chip, options.seed);
  for (std::uint32_t i = 0; i < chip.xcc_count; ++i)
    xccs.push_back(std::make_unique<ShaderArray>(chip, target));
}

void EngineContext::interrupt(const isa::Workgroup& group, std::uint32_t m0, bool in_trap) {
  host.wave_interrupt({group.process, group.queue_id, group.doorbell_id, m0, in_trap});
}

EngineContext::~EngineContext() {
  if (report != nullptr) report->write();
}

void EngineContext::explain(const std::string& text) const {
  if (report != nullptr) report->problem(chip.product, text);
  if (options.debug) std::fprintf(stderr, "kiln vgpu: %s: %s\n", chip.product.data(), text.c_str());
}

/// A place for one workgroup after another.
class GroupSlot final : public Task, public std::enable_shared_from_this<GroupSlot> {
 public:
  explicit GroupSlot(std::shared_ptr<DispatchRun> run)
      : Task(run->tasks_, run->share_.xcc), run_(std::move(run)) {}
  ~GroupSlot() override { leave(); }

  Outcome step(Random& random) override {
    EngineContext& context = run_->context_;
    std::uint64_t budget = kBudget;
    if (context.scheduler.skew() != 0) budget = 1 + random.below(kBudget);
    std::uint64_t executed = 0;
    const Outcome outcome = advance(budget, &executed);
    context.instructions.fetch_add(executed, std::memory_order_relaxed);
    process_instructions.fetch_add(executed, std::memory_order_relaxed);
    return outcome;
  }

 private:
  Outcome advance(std::uint64_t budget, std::uint64_t* executed) {
    while (*executed < budget) {
      if (group_ == nullptr) {
        if (!has_index_ && !run_->take(&index_)) return Outcome::Retired;
        has_index_ = true;
        if (!enter()) return Outcome::Waiting;
        has_index_ = false;
      }
      switch (isa::run(*group_, budget - *executed, executed)) {
        case isa::RunStatus::Done:
          leave();
          run_->ended();
          break;
        case isa::RunStatus::Yielded:
          run_->tired();
          return Outcome::Yielded;
        case isa::RunStatus::Waiting:
          run_->tired();
          return Outcome::Waiting;
        case isa::RunStatus::Halted:
          run_->context_.explain("a wave hangs: " + isa::halt_reason(*group_));
          return hang();
        case isa::RunStatus::Faulted: {
          const MemoryFault fault = group_->port->fault();
          run_->context_.explain(strf("a wave's memory fault at 0x%llx",
                                      static_cast<unsigned long long>(fault.address)));
          run_->context_.host.vm_fault(run_->dispatch_.process, fault);
          return hang();
        }
      }
    }
    return Outcome::Progress;
  }

  Outcome hang() {
    run_->hang(shared_from_this());
    return Outcome::Parked;
  }

  bool enter() {
    EngineContext& context = run_->context_;
    ShaderArray& array = *context.xccs[run_->share_.xcc];
    const GroupNeeds& needs = run_->needs_;
    // At least one workgroup an XCC, however large.
    if (context.resident_waves.fetch_add(needs.waves) + needs.waves > kMostResidentWaves &&
        run_->slots_.load() > 1) {
      context.resident_waves.fetch_sub(needs.waves);
      return false;
    }
    if (!array.place(needs, run_->enabled_cus_.get(), &cu_)) {
      context.resident_waves.fetch_sub(needs.waves);
      return false;
    }
    placed_ = true;
    isa::Placement placement;
    placement.xcc = run_->share_.xcc;
    placement.cu = cu_;
    placement.shader_engine = array.shader_engine(cu_);
    if (run_->scratch_ != nullptr) {
      if (!run_->scratch_->take(needs.waves, &scratch_slot_)) {
        leave();
        return false;
      }
      has_scratch_ = true;
      placement.first_scratch_slot = scratch_slot_;
    }
    const isa::Dispatch& dispatch = run_->dispatch_;
    if (context.caches != nullptr) {
      caches_ = context.caches->of_cu(*dispatch.space, run_->share_.xcc, cu_);
      placement.caches = caches_.get();
    }
    const std::uint64_t x = dispatch.groups[0], y = dispatch.groups[1];
    const std::uint32_t group[3] = {dispatch.start[0] + static_cast<std::uint32_t>(index_ % x),
                                    dispatch.start[1] + static_cast<std::uint32_t>(index_ / x % y),
                                    dispatch.start[2] + static_cast<std::uint32_t>(index_ / x / y)};
    group_ = isa::launch(dispatch, group, placement, context);
    return true;
  }

  void leave() {
    group_.reset();
    caches_.reset();
    if (has_scratch_) run_->scratch_->give(scratch_slot_, run_->needs_.waves);
    has_scratch_ = false;
    if (!placed_) return;
    placed_ = false;
    run_->context_.xccs[run_->share_.xcc]->leave(run_->needs_, cu_);
    run_->context_.resident_waves.fetch_sub(run_->needs_.waves);
  }

  const std::shared_ptr<DispatchRun> run_;
  std::unique_ptr<CacheModel> caches_;  // outlives the port in group_
  std::unique_ptr<isa::Workgroup> group_;
  std::uint64_t index_ = 0;
  std::uint32_t cu_ = 0, scratch_slot_ = 0;
  bool has_index_ = false, placed_ = false, has_scratch_ = false;
};

DispatchRun::DispatchRun(EngineContext& context, std::shared_ptr<TaskGroup> tasks,
                         isa::Dispatch dispatch, Share share, std::shared_ptr<ScratchPool> scratch,
                         std::shared_ptr<const std::vector<bool>> enabled_cus)
    : context_(context),
      tasks_(std::move(tasks)),
      dispatch_(std::move(dispatch)),
      share_(share),
      scratch_(std::move(scratch)),
      enabled_cus_(std::move(enabled_cus)),
      next_(share.first) {
  needs_.waves = isa::waves_per_group(dispatch_);
  needs_.lds_bytes = dispatch_.lds_bytes;
  needs_.vgprs = needs_.waves * ShaderArray::vgprs_per_wave(dispatch_.rsrc1);
  total_ = std::uint64_t{dispatch_.groups[0]} * dispatch_.groups[1] * dispatch_.groups[2];
  left_ = total_ > share.first ? (total_ - share.first + share.stride - 1) / share.stride : 0;
}

void DispatchRun::start() {
  const std::uint64_t groups = left_.load();
  const std::uint32_t threads = context_.scheduler.threads();
  const std::uint32_t sharers = std::max(1u, share_.stride);
  const std::uint64_t wanted = std::max(1u, (threads + sharers - 1) / sharers);
  add_slots(static_cast<std::uint32_t>(std::min(groups, wanted)));
}

void DispatchRun::add_slots(std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    slots_.fetch_add(1);
    context_.scheduler.add(std::make_shared<GroupSlot>(shared_from_this()));
  }
}

bool DispatchRun::take(std::uint64_t* index) {
  *index = next_.fetch_add(share_.stride);
  return *index < total_;
}

void DispatchRun::ended() {
  slices_.store(0, std::memory_order_relaxed);
  if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) context_.scheduler.stir();
}

void DispatchRun::tired() {
  const std::uint32_t slots = slots_.load();
  if (slices_.fetch_add(1, std::memory_order_relaxed) + 1 < kTiredAfter * slots) return;
  slices_.store(0, std::memory_order_relaxed);
  const std::uint64_t next = next_.load();
  if (next >= total_) return;
  const std::uint64_t waiting = (total_ - next + share_.stride - 1) / share_.stride;
  // Twice as many each time, up to what the compute units could hold.
  if (context_.resident_waves.load() + needs_.waves > kMostResidentWaves) return;
  add_slots(static_cast<std::uint32_t>(std::min<std::uint64_t>(slots, waiting)));
}

void DispatchRun::hang(std::shared_ptr<Task> slot) {
  std::lock_guard lock(mutex_);
  hung_.push_back(std::move(slot));
}

void DispatchRun::abandon() {
  std::vector<std::shared_ptr<Task>> gone;
  std::lock_guard lock(mutex_);
  gone.swap(hung_);
}

}  // namespace kiln::vgpu

#include "core/ring.hpp"

#include "core/device.hpp"

namespace kiln::core {

Result<std::unique_ptr<Ring>> Ring::create(Device& device, kmd::HwQueue& hw) {
  switch (hw.kind) {
    case kmd::QueueKind::ComputePm4:
      return make_pm4_ring(device, hw);
    case kmd::QueueKind::ComputeAql:
      return make_aql_ring(device, hw);
    case kmd::QueueKind::Sdma:
    case kmd::QueueKind::SdmaXgmi:
      break;
  }
  return make_sdma_ring(device, hw);
}

Ring::Ring(Device& device, kmd::HwQueue& hw) : device_(device), hw_(hw) {}

bool Ring::write(const Plan& plan, std::uint64_t submission, std::uint64_t retired) {
  // Room is taken back by submissions that have retired, not by the read pointer: what has been
  // fetched may still be executed from the side buffer. The last to retire may still be writing its
  // signals, so it keeps its room until the next has retired.
  const std::uint64_t past = retired > 0 ? retired - 1 : 0;
  if (past > freed_) {
    const Mark& mark = marks_[past % kMaxInFlight];
    ring_.free_up_to(mark.ring);
    side_.free_up_to(mark.side);
    freed_ = past;
  }
  if (submission - freed_ >= kMaxInFlight) return false;
  if (!write_plan(plan)) return false;
  marks_[submission % kMaxInFlight] = {ring_.head(), side_.head()};
  return true;
}

}  // namespace kiln::core

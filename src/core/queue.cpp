#include "core/queue.hpp"

#include <algorithm>
#include <cmath>

#include "core/command_buffer.hpp"
#include "core/device.hpp"
#include "core/host_wait.hpp"
#include "core/physical_device.hpp"
#include "core/semaphore.hpp"

namespace kiln::core {
namespace {

constexpr std::uint32_t kPm4RingBytes = 256 * 1024;
constexpr std::uint32_t kAqlRingBytes = 256 * 1024;  // 4096 packets
constexpr std::uint32_t kSdmaRingBytes = 1024 * 1024;
/// How long a submit waits for room in the ring before it reports a stuck queue.
constexpr std::uint64_t kRoomTimeoutNs = 2'000'000'000;

unsigned long long number(std::uint64_t value) {
  return value;
}

}  // namespace

Result<std::unique_ptr<Queue>> Queue::create(Device& device, const KilnDeviceQueueCreateInfo& info,
                                             std::uint32_t which, std::uint32_t index) {
  auto queue = std::make_unique<Queue>(device, info.queueFamilyIndex, index);
  KILN_TRY(queue->open(info, which));
  return queue;
}

Queue::Queue(Device& device, std::uint32_t family, std::uint32_t index)
    : device_(device), family_(family), index_(index) {}

Queue::~Queue() {
  if (hw_ != nullptr) (void)device_.gpu().destroy_queue(*hw_);
  ring_.reset();
  for (const OldScratch& old : old_scratch_) (void)device_.gpu().free(old.memory);
  if (scratch_.address != 0) (void)device_.gpu().free(scratch_);
  if (progress_.value != nullptr) device_.payloads().free(progress_);
  if (started_.value != nullptr) device_.payloads().free(started_);
}

bool Queue::is_compute() const {
  return device_.physical().families()[family_].kind == KILN_QUEUE_FAMILY_COMPUTE;
}

Status Queue::open(const KilnDeviceQueueCreateInfo& info, std::uint32_t which) {
  const QueueFamily& family = device_.physical().families()[family_];
  kmd::QueueDesc desc;
  switch (family.kind) {
    case KILN_QUEUE_FAMILY_SDMA:
      desc.kind = kmd::QueueKind::Sdma;
      break;
    case KILN_QUEUE_FAMILY_SDMA_XGMI:
      desc.kind = kmd::QueueKind::SdmaXgmi;
      break;
    default:
      desc.kind =
          device_.target().ring_format(device_.physical().info().xcc_count) == gpu::RingFormat::Aql
              ? kmd::QueueKind::ComputeAql
              : kmd::QueueKind::ComputePm4;
  }
  desc.ring_bytes = desc.kind == kmd::QueueKind::ComputePm4   ? kPm4RingBytes
                    : desc.kind == kmd::QueueKind::ComputeAql ? kAqlRingBytes
                                                              : kSdmaRingBytes;
  const float priority = info.pQueuePriorities != nullptr ? info.pQueuePriorities[which] : 0.5f;
  if (!(priority >= 0.0f && priority <= 1.0f))
    return fail(VK_ERROR_VALIDATION_FAILED_EXT, "a queue priority is not between 0 and 1");
  desc.priority = static_cast<std::int32_t>(std::lround(priority * 15.0f));  // KFD: 0 to 15
  if (info.cuMaskWordCount > 0) {
    if (!is_compute())
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  "a compute unit mask on a queue that does not compute");
    desc.cu_mask = info.pCuMask;
    desc.cu_mask_words = info.cuMaskWordCount;
  }
  KILN_ASSIGN(hw_, device_.gpu().create_queue(desc));
  KILN_ASSIGN(ring_, Ring::create(device_, *hw_));
  KILN_ASSIGN(progress_, device_.payloads().allocate(0, device_.completion_event()));
  if (device_.watchdog_ns() != 0) {
    KILN_ASSIGN(started_, device_.payloads().allocate(0, {}));
  }
  return {};
}

Status Queue::check(const KilnSubmitInfo& info) const {
  for (std::uint32_t i = 0; i < info.commandBufferCount; ++i) {
    const CommandBuffer* buffer = from(info.pCommandBuffers[i]);
    if (buffer == nullptr || buffer->state() != CommandBuffer::State::Executable)
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  strf("command buffer %u is not executable: end it first", i));
    if (&buffer->device() != &device_ || buffer->family() != family_)
      return fail(VK_ERROR_VALIDATION_FAILED_EXT, strf("command buffer %u is of queue family %u or "
                                                       "another device; this queue is of family %u",
                                                       i, buffer->family(), family_));
    if (buffer->last_queue() != nullptr && buffer->last_queue() != this && buffer->pending())
      return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                  strf("command buffer %u is pending on another queue", i));
  }
  auto check_semaphores = [&](const KilnSemaphoreValue* values, std::uint32_t count,
                              const char* what) -> Status {
    for (std::uint32_t i = 0; i < count; ++i)
      if (values[i].semaphore == nullptr || !from(values[i].semaphore)->reaches(device_))
        return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                    strf("the semaphore of %s %u was not made for this device", what, i));
    return {};
  };
  KILN_TRY(check_semaphores(info.pWaits, info.waitCount, "wait"));
  return check_semaphores(info.pSignals, info.signalCount, "signal");
}

Status Queue::submit(std::uint32_t count, const KilnSubmitInfo* submits) {
  KILN_TRY(device_.check_alive());
  for (std::uint32_t i = 0; i < count; ++i) KILN_TRY(check(submits[i]));
  // What the host wrote through the PCI aperture sits in the host data path until flushed.
  if (device_.has_visible_vram()) device_.flush_hdp();
  for (std::uint32_t i = 0; i < count; ++i) {
    const KilnSubmitInfo& info = submits[i];
    const View view{{info.pWaits, info.waitCount},
                    {info.pSignals, info.signalCount},
                    {info.pCommandBuffers, info.commandBufferCount}};
    Status taken = take(view);
    if (!taken) {
      // Earlier infos of this call are on their way; saying otherwise would be a lie.
      if (i > 0)
        taken.error().message += strf(" (the first %u of %u submit-infos were taken)", i, count);
      return taken;
    }
  }
  return {};
}

Status Queue::take(const View& view) {
  if (held_back_.load(std::memory_order_acquire)) {
    std::lock_guard lock(deferred_mutex_);
    if (!deferred_.empty()) {
      defer(view);
      return {};
    }
  }
  std::uint64_t waited_since = 0;
  for (;;) {
    KILN_ASSIGN(const Outcome outcome, try_submit(view));
    if (outcome == Outcome::Submitted) break;
    if (outcome == Outcome::Defer) {
      std::lock_guard lock(deferred_mutex_);
      ++epoch_deferred_count_;
      defer(view);
      return {};
    }
    // No room: the ring frees as submissions retire.
    const std::uint64_t now = monotonic_ns();
    if (waited_since == 0) waited_since = now;
    device_.look_for_fault();
    KILN_TRY(device_.check_alive());
    if (now - waited_since > kRoomTimeoutNs)
      return fail(VK_ERROR_OUT_OF_DEVICE_MEMORY,
                  strf("the ring stayed full for %llu ms behind a stuck queue:%s",
                       number(kRoomTimeoutNs / 1'000'000), describe_progress().c_str()));
    const timespec pause{0, 20'000};
    nanosleep(&pause, nullptr);
  }
  if (!held_signals_.empty()) {
    // These may only be written once 32-bit polls of the old epoch are through: a submission of its
    // own, which the monitor thread hands over.
    std::lock_guard lock(deferred_mutex_);
    ++epoch_deferred_count_;
    defer({{}, held_signals_, {}});
  }
  return {};
}

Queue::Submission Queue::copy_of(const View& view) {
  Submission copy;
  copy.waits.assign(view.waits.begin(), view.waits.end());
  copy.signals.assign(view.signals.begin(), view.signals.end());
  copy.buffers.assign(view.buffers.begin(), view.buffers.end());
  return copy;
}

/// Under deferred_mutex_.
void Queue::defer(const View& view) {
  deferred_.push_back(copy_of(view));
  // Pending without a number yet: none ever retires that far.
  for (KilnCommandBuffer buffer : view.buffers) from(buffer)->submitted({this, UINT64_MAX});
  ++deferred_count_;
  held_back_.store(true, std::memory_order_release);
  device_.monitor().start();
}

bool Queue::submit_deferred() {
  if (!held_back_.load(std::memory_order_acquire)) return false;
  std::lock_guard lock(deferred_mutex_);
  while (!deferred_.empty() && !device_.lost()) {
    const Submission& next = deferred_.front();
    auto outcome = try_submit({next.waits, next.signals, next.buffers});
    if (!outcome) {
      device_.lose(
          {KILN_FAULT_QUEUE, 0, 0,
           "a submission that had been held back could not be made: " + outcome.error().message});
      break;
    }
    if (*outcome == Outcome::Defer && next.waits.empty() && next.buffers.empty() &&
        flushed_ != submitted_.load()) {
      const auto flushed = try_submit({});
      if (flushed && *flushed == Outcome::Submitted) flushed_ = submitted_.load();
    }
    if (*outcome != Outcome::Submitted) return true;
    deferred_.pop_front();
    if (!held_signals_.empty()) {
      // Before whatever came later: timelines only grow.
      deferred_.push_front(copy_of({{}, held_signals_, {}}));
      ++deferred_count_;
      ++epoch_deferred_count_;
    }
  }
  if (device_.lost()) deferred_.clear();
  held_back_.store(false, std::memory_order_release);
  return false;
}

/// What the GPU cannot be left to wait for. Compute queues compare 64 bits and wait for anything;
/// DMA engines compare 32.
Queue::Outcome Queue::admit_waits(const View& view, std::uint64_t submission) {
  plan_waits_.clear();
  polled_.clear();
  for (const KilnSemaphoreValue& wait : view.waits) {
    Semaphore& semaphore = *from(wait.semaphore);
    if (is_compute()) {
      if (semaphore.value() >= wait.value) continue;
    } else {
      switch (semaphore.admit_poll(wait.value, *this, submission)) {
        case PollAdmission::Reached:
          continue;
        case PollAdmission::Poll:
          polled_.push_back(&semaphore);
          break;
        case PollAdmission::Defer:
          return Outcome::Defer;
      }
    }
    plan_waits_.push_back({semaphore.payload().object, semaphore.payload().address, wait.value});
  }
  return Outcome::Submitted;
}

/// Those that must stay in their epoch for now go to held_signals_, all others to plan_signals_.
Queue::Outcome Queue::admit_signals(const View& view) {
  const bool only_signals = view.waits.empty() && view.buffers.empty();
  for (const KilnSemaphoreValue& signal : view.signals) {
    Semaphore& semaphore = *from(signal.semaphore);
    const bool follows = std::ranges::any_of(view.waits, [&](const KilnSemaphoreValue& wait) {
      return wait.semaphore == signal.semaphore && wait.value >> 32 == signal.value >> 32;
    });
    if (follows) {
      semaphore.note_signal(signal.value);
    } else if (semaphore.admit_signal(signal.value, this) == SignalAdmission::Hold) {
      held_signals_.push_back(signal);
      continue;
    }
    // Values only grow: whatever comes before this signal stays between the payload and it.
    gpu::SignalOp op{semaphore.payload().address, signal.value, 0, 0,
                     semaphore.value() >> 32 == signal.value >> 32};
    if (semaphore.interrupts()) {
      const kmd::Event& event = semaphore.device().completion_event();
      op.mailbox = event.mailbox;
      op.event_id = event.id;
    }
    plan_signals_.push_back(op);
  }
  if (!only_signals || held_signals_.empty()) return Outcome::Submitted;
  // Their turn comes when all signals in front of them are out, which an empty submission behind
  // those tells (submit_deferred): then the polls may be waiting for nothing but these.
  if (flushed_ == submitted_.load() && retired(flushed_))
    for (const KilnSemaphoreValue& signal : held_signals_)
      from(signal.semaphore)->release_polls(signal.value);
  held_signals_.clear();
  return Outcome::Defer;
}

/// Writes one submission to the ring. Unless it is, whatever it registered is taken back.
Result<Queue::Outcome> Queue::try_submit(const View& view) {
  // Numbers follow the order in the ring, so that "retired up to" has a meaning.
  const std::uint64_t submission = submitted_.load(std::memory_order_relaxed) + 1;
  auto outcome = write_submission(view, submission);
  if (!outcome || *outcome != Outcome::Submitted)
    for (Semaphore* semaphore : polled_) semaphore->withdraw_poll(*this, submission);
  return outcome;
}

Result<Queue::Outcome> Queue::write_submission(const View& view, std::uint64_t submission) {
  if (Outcome outcome = admit_waits(view, submission); outcome != Outcome::Submitted)
    return outcome;

  std::uint64_t scratch_bytes = 0;
  plan_parts_.clear();
  for (KilnCommandBuffer handle : view.buffers) {
    const CommandBuffer& buffer = *from(handle);
    plan_parts_.insert(plan_parts_.end(), buffer.parts().begin(), buffer.parts().end());
    scratch_bytes = std::max(scratch_bytes, buffer.scratch_bytes_per_xcc());
  }
  if (scratch_bytes > 0) KILN_TRY(bind_scratch(scratch_bytes));

  plan_signals_.clear();
  held_signals_.clear();
  // The queue's own progress is written first: whoever sees a signal finds its command buffers
  // retired.
  plan_signals_.push_back(
      {progress_.address, submission, 0, 0, static_cast<std::uint32_t>(submission) != 0});
  if (Outcome outcome = admit_signals(view); outcome != Outcome::Submitted) return outcome;

  Plan plan;
  plan.waits = plan_waits_;
  plan.parts = plan_parts_;
  plan.signals = plan_signals_;
  if (started_.value != nullptr)
    plan.started = {started_.address, submission, true, gpu::PipeStage::Top};
  plan.flush_hdp = device_.flushes_hdp_by_packet();
  if (scratch_bytes > 0) plan.scratch = &scratch_binding_;
  KILN_TRY(ring_->check_size(plan));
  if (scratch_bytes > 0)
    for (KilnCommandBuffer handle : view.buffers) put_scratch_into(*from(handle), submission);
  // Known to the command buffers before the GPU can be through with them.
  former_uses_.clear();
  for (KilnCommandBuffer handle : view.buffers)
    former_uses_.push_back(from(handle)->submitted({this, submission}));
  if (!ring_->write(plan, submission, progress_.load())) {
    for (std::size_t i = view.buffers.size(); i-- > 0;)
      from(view.buffers[i])->submitted(former_uses_[i]);
    return Outcome::NoRoom;
  }
  submitted_.store(submission, std::memory_order_release);
  if (!old_scratch_.empty()) free_retired_scratch();
  return Outcome::Submitted;
}

Status Queue::bind_scratch(std::uint64_t bytes_per_xcc) {
  if (bytes_per_xcc <= scratch_binding_.xcc_stride) return {};
  kmd::MemoryDesc desc;
  desc.size = bytes_per_xcc * device_.physical().info().xcc_count;
  desc.heap = kmd::Heap::Vram;
  KILN_ASSIGN(kmd::Memory memory, device_.gpu().allocate(desc, {}));
  if (scratch_.address != 0) old_scratch_.push_back({scratch_, submitted_.load()});
  scratch_ = std::move(memory);
  scratch_binding_.base = scratch_.address;
  scratch_binding_.xcc_stride = bytes_per_xcc;
  return {};
}

void Queue::put_scratch_into(CommandBuffer& buffer, std::uint64_t submission) {
  if (buffer.scratch_bytes_per_xcc() == 0) return;
  const kmd::Va used = buffer.bind_scratch(scratch_binding_.base, {this, submission});
  for (OldScratch& old : old_scratch_)
    if (old.memory.address == used) old.last_user = submission;
}

void Queue::free_retired_scratch() {
  std::erase_if(old_scratch_, [&](const OldScratch& old) {
    if (!retired(old.last_user)) return false;
    (void)device_.gpu().free(old.memory);
    return true;
  });
}

Result<VkResult> Queue::wait_idle() {
  auto retire_all = [&] {
    auto idle = [&] {
      return !held_back_.load(std::memory_order_acquire) && retired(submitted_.load());
    };
    return host_wait(device_, UINT64_MAX, false, idle, [] { return false; });
  };
  KILN_TRY(retire_all());
  // Progress stands in front of the signals; an empty submission behind them tells when they are
  // out.
  KILN_TRY(take({}));
  return retire_all();
}

VkResult Queue::get_statistics(KilnQueueStatistics* statistics) const {
  std::lock_guard lock(deferred_mutex_);
  statistics->submitCount = submitted_.load() + deferred_.size();
  statistics->retiredCount = progress_.load();
  statistics->deferredCount = deferred_count_.load();
  statistics->epochDeferredCount = epoch_deferred_count_.load();
  statistics->ringDwords = ring_->dwords_written();
  return VK_SUCCESS;
}

std::string Queue::describe_progress() const {
  const std::uint64_t submitted = submitted_.load(), done = progress_.load();
  const bool held_back = held_back_.load();
  if (done >= submitted && !held_back) return {};
  std::string text = strf("\n  queue %u of family %u: %llu of %llu submissions finished", index_,
                          family_, number(done), number(submitted));
  if (started_.value != nullptr && done < submitted)
    text += strf(started_.load() > done ? ", number %llu was running"
                                        : ", number %llu waited for its semaphores",
                 number(done + 1));
  if (held_back) text += ", more held back on the host";
  return text;
}

void Queue::check_deadline(std::uint64_t now_ns, std::uint64_t limit_ns) {
  const std::uint64_t done = progress_.load(), started = started_.load();
  // The oldest unfinished submission runs once its waits are over; its time begins when that is
  // seen.
  const std::uint64_t running = started > done ? done + 1 : 0;
  if (running != watched_) {
    watched_ = running;
    watched_since_ns_ = now_ns;
    return;
  }
  if (running == 0 || now_ns - watched_since_ns_ <= limit_ns || retired(running)) return;
  device_.look_for_fault();
  device_.lose(
      {KILN_FAULT_WATCHDOG, 0, 0,
       strf("submission %llu of queue %u, family %u, ran longer than the watchdog's %llu ms",
            number(running), index_, family_, number(limit_ns / 1'000'000))});
}

}  // namespace kiln::core

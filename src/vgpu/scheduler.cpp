// Owns: see scheduler.hpp.
// Does not own: see scheduler.hpp.
// Threading: see scheduler.hpp. One mutex; held for list handling only.
#include "vgpu/scheduler.hpp"

#include <sys/prctl.h>

#include <algorithm>

namespace kiln::vgpu {
namespace {

using std::chrono::microseconds;

constexpr microseconds kSpin{50};  // after progress, poll without sleeping
constexpr microseconds kFirstSleep{20};
constexpr microseconds kLongestSleep{1000};
constexpr microseconds kPollWhileBusy{50};  // waiting tasks are asked between steps of running ones
constexpr std::uint32_t kLongestStall = 4000;  // picks, at maximal skew

}  // namespace

Scheduler::Scheduler(unsigned threads, std::uint64_t seed, unsigned skew)
    : thread_count_(threads != 0 ? threads : std::max(1u, std::thread::hardware_concurrency())),
      skew_(std::min(skew, 100u)),
      seed_(seed) {}

Scheduler::~Scheduler() {
  // Whoever started it has stopped it; what is left in the lists goes with it.
}

void Scheduler::start() {
  std::lock_guard lock(mutex_);
  if (users_++ != 0) return;
  stopping_ = false;
  last_progress_ = last_poll_ = Clock::now();
  for (unsigned i = 0; i < thread_count_; ++i) threads_.emplace_back([this, i] { work(i); });
}

void Scheduler::stop() {
  std::vector<std::thread> ended;
  {
    std::lock_guard lock(mutex_);
    if (--users_ != 0) return;
    stopping_ = true;
    ended.swap(threads_);
    work_cv_.notify_all();
  }
  for (std::thread& thread : ended) thread.join();
}

void Scheduler::add(TaskRef task) {
  std::lock_guard lock(mutex_);
  if (task->group_->dropped_) return;
  task->listed_ = true;
  ready_.push_back(std::move(task));
  if (asleep_ > 0) work_cv_.notify_one();
}

void Scheduler::wake(const TaskRef& task) {
  std::lock_guard lock(mutex_);
  if (task->group_->dropped_) return;
  if (task->stepping_) {
    task->woken_ = true;  // its step may have looked before the reason for this call came
    return;
  }
  if (task->listed_) {
    poll_waiting();
  } else {
    task->listed_ = true;
    ready_.push_back(task);
  }
  if (asleep_ > 0) work_cv_.notify_one();
}

void Scheduler::stir() {
  std::lock_guard lock(mutex_);
  last_progress_ = Clock::now();
  backoff_ = microseconds{0};
  polls_without_progress_ = 0;
  poll_waiting();
  if (asleep_ > 0) work_cv_.notify_one();
}

void Scheduler::pause(TaskGroup& group) {
  std::unique_lock lock(mutex_);
  group.paused_ = true;
  quiet_cv_.wait(lock, [&] { return group.running_ == 0; });
}

void Scheduler::resume(TaskGroup& group) {
  std::lock_guard lock(mutex_);
  group.paused_ = false;
  poll_waiting();
  work_cv_.notify_all();
}

void Scheduler::drop(TaskGroup& group, bool wait) {
  std::vector<TaskRef> dropped;  // destroyed after the lock: a task's end may call back
  std::unique_lock lock(mutex_);
  group.dropped_ = true;
  auto collect = [&](auto& list) {
    std::erase_if(list, [&](TaskRef& task) {
      if (task->group_.get() != &group) return false;
      task->listed_ = false;
      dropped.push_back(std::move(task));
      return true;
    });
  };
  collect(ready_);
  collect(waiting_);
  if (wait) quiet_cv_.wait(lock, [&] { return group.running_ == 0; });
  lock.unlock();
}

void Scheduler::poll_waiting() {
  if (waiting_.empty()) return;
  // Tasks of paused groups stay: nothing wakes them but resume().
  std::erase_if(waiting_, [&](TaskRef& task) {
    if (task->group_->paused_) return false;
    ready_.push_back(std::move(task));
    return true;
  });
}

Scheduler::TaskRef Scheduler::pick(Random& random) {
  while (true) {
    TaskRef task;
    if (skew_ != 0) {
      task = pick_skewed(random);
    } else if (!ready_.empty()) {
      task = std::move(ready_.front());
      ready_.pop_front();
    }
    if (task == nullptr || !task->group_->paused_) return task;
    waiting_.push_back(std::move(task));
  }
}

Scheduler::TaskRef Scheduler::pick_skewed(Random& random) {
  ++picks_;
  if (!ready_.empty() && random.below(1000) < skew_) {
    // Stalls of very different lengths; a whole lane, so that a single XCC falls behind.
    const std::uint32_t longest = std::max(1u, kLongestStall * skew_ / 100);
    const TaskRef& victim = ready_[random.below(static_cast<std::uint32_t>(ready_.size()))];
    stalled_until_[victim->lane_] = picks_ + (longest >> random.below(12));
  }
  for (unsigned attempt = 0; attempt < 2; ++attempt) {
    const std::size_t count = ready_.size();
    const std::size_t start = count != 0 ? random.below(static_cast<std::uint32_t>(count)) : 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = (start + i) % count;
      if (stalled_until_[ready_[at]->lane_] > picks_) continue;
      TaskRef task = std::move(ready_[at]);
      ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(at));
      return task;
    }
    // Only stalled lanes could run. Those that wait are asked first: a stall lasts as long as
    // others get on.
    if (attempt == 0 && polls_without_progress_ < 2) {
      ++polls_without_progress_;
      poll_waiting();
    }
  }
  if (ready_.empty()) return nullptr;
  const std::size_t at = random.below(static_cast<std::uint32_t>(ready_.size()));
  TaskRef task = std::move(ready_[at]);
  ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(at));
  stalled_until_[task->lane_] = 0;
  return task;
}

void Scheduler::settle(TaskRef task, Outcome outcome) {
  TaskGroup& group = *task->group_;
  task->stepping_ = false;
  const bool woken = task->woken_;
  task->woken_ = false;
  if (--group.running_ == 0 && (group.paused_ || group.dropped_)) quiet_cv_.notify_all();
  if (outcome == Outcome::Progress || outcome == Outcome::Retired || woken) {
    last_progress_ = Clock::now();
    backoff_ = microseconds{0};
    polls_without_progress_ = 0;
  }
  task->listed_ = false;
  if (group.dropped_ || outcome == Outcome::Retired) return;
  if (outcome == Outcome::Parked && !woken) return;
  task->listed_ = true;
  if (outcome == Outcome::Waiting && !woken) {
    waiting_.push_back(std::move(task));
    return;
  }
  ready_.push_back(std::move(task));
  if (asleep_ > 0 && ready_.size() > 1) work_cv_.notify_one();
}

void Scheduler::rest(std::unique_lock<std::mutex>& lock) {
  if (waiting_.empty() || polling_) {
    ++asleep_;
    work_cv_.wait(lock);
    --asleep_;
    return;
  }
  polling_ = true;
  if (Clock::now() - last_progress_ < kSpin) {
    lock.unlock();
    std::this_thread::yield();
    lock.lock();
  } else {
    backoff_ = std::clamp(backoff_ * 2, kFirstSleep, kLongestSleep);
    ++asleep_;
    work_cv_.wait_for(lock, backoff_);
    --asleep_;
  }
  polling_ = false;
  poll_waiting();
}

void Scheduler::work(unsigned index) {
  prctl(PR_SET_NAME, "kiln-vgpu");
  prctl(PR_SET_TIMERSLACK, 1000ul);  // the default 50 us would blur the short sleeps
  Random random(seed_ * 31 + index + 1);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!waiting_.empty() && !ready_.empty()) {
      const Clock::time_point now = Clock::now();
      if (now - last_poll_ > kPollWhileBusy) {
        last_poll_ = now;
        poll_waiting();
      }
    }
    TaskRef task = pick(random);
    if (task == nullptr) {
      rest(lock);
      continue;
    }
    task->stepping_ = true;
    ++task->group_->running_;
    lock.unlock();
    const Outcome outcome = task->step(random);
    lock.lock();
    // The last reference may go here; a task's end may call back, so not under the lock.
    TaskRef keep = task;
    settle(std::move(task), outcome);
    if (keep.use_count() == 1) {
      lock.unlock();
      keep.reset();
      lock.lock();
    }
  }
}

}  // namespace kiln::vgpu

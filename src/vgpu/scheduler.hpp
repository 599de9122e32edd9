// Owns: the host threads of a virtual GPU and whose turn it is on them: command processors, SDMA
//   engines and resident workgroups, each a Task that is run step by step.
// Does not own: what a step does.
// Threading: every method of Scheduler may be called from any thread. A Task is stepped by one
// thread
//   at a time, with no lock held.
//
// Waiting. A task that waits (for memory to change, for a doorbell) says so and is asked again
// later: at once while others make progress, then after 20 us, doubling up to 1 ms while nothing
// happens. An idle virtual GPU therefore costs a thousand short wake-ups a second and no more, and
// notices a doorbell within 1 ms (within tens of microseconds right after activity).
//
// Skew. Above 0, the order of tasks and the length of their steps are random, and whole lanes
// (an XCC, an SDMA engine) stand still now and then while the others run on, up to thousands of
// steps.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace kiln::vgpu {

/// xorshift64*: enough for choosing victims.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull | 1) {}
  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Dull;
  }
  /// 0 .. bound - 1.
  std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>((next() >> 32) * bound >> 32);
  }

 private:
  std::uint64_t state_;
};

/// What a task says after a step.
enum class Outcome : std::uint8_t {
  Progress,  ///< did something, has more to do
  Yielded,   ///< has more to do, but nobody waits for what it did
  Waiting,   ///< ask again later
  Parked,    ///< not before wake()
  Retired,   ///< never again
};

/// Tasks that are paused and dropped together: those of one queue.
class TaskGroup {
 private:
  friend class Scheduler;
  bool paused_ = false, dropped_ = false;
  unsigned running_ = 0;
};

class Task {
 public:
  Task(std::shared_ptr<TaskGroup> group, unsigned lane) : group_(std::move(group)), lane_(lane) {}
  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  /// Does a bounded amount of work. `random` belongs to the thread.
  virtual Outcome step(Random& random) = 0;

  const std::shared_ptr<TaskGroup>& group() const { return group_; }
  unsigned lane() const { return lane_; }

 private:
  friend class Scheduler;
  std::shared_ptr<TaskGroup> group_;
  unsigned lane_;
  bool listed_ = false, stepping_ = false, woken_ = false;
};

/// Lanes that can stand still by themselves.
inline constexpr unsigned kLanes = 64;

class Scheduler {
 public:
  /// `threads` 0: as many as the host has. `skew` 0 (fixed order) .. 100.
  Scheduler(unsigned threads, std::uint64_t seed, unsigned skew);
  ~Scheduler();

  /// Threads run from the first start() to the stop() that matches it.
  void start();
  void stop();
  unsigned threads() const { return thread_count_; }
  /// 0: steps are as long as they like.
  unsigned skew() const { return skew_; }

  void add(std::shared_ptr<Task> task);
  /// Runs a parked or waiting task again.
  void wake(const std::shared_ptr<Task>& task);
  /// Something happened that waiting tasks may wait for.
  void stir();

  /// Returns when no task of the group is in a step, and none starts one before resume().
  void pause(TaskGroup& group);
  void resume(TaskGroup& group);
  /// Ends all tasks of the group. Steps under way end by themselves; with `wait`, returns after
  /// them.
  void drop(TaskGroup& group, bool wait);

 private:
  using Clock = std::chrono::steady_clock;
  using TaskRef = std::shared_ptr<Task>;

  void work(unsigned index);
  TaskRef pick(Random& random);
  TaskRef pick_skewed(Random& random);
  void poll_waiting();
  void settle(TaskRef task, Outcome outcome);
  void rest(std::unique_lock<std::mutex>& lock);

  const unsigned thread_count_, skew_;
  const std::uint64_t seed_;

  std::mutex mutex_;
  std::condition_variable work_cv_;   ///< threads without work
  std::condition_variable quiet_cv_;  ///< pause() and drop()
  std::vector<std::thread> threads_;
  unsigned users_ = 0;
  bool stopping_ = false;

  std::deque<TaskRef> ready_;
  std::vector<TaskRef> waiting_;
  unsigned asleep_ = 0;
  bool polling_ = false;  ///< one thread at a time watches waiting tasks
  Clock::time_point last_progress_, last_poll_;
  std::chrono::microseconds backoff_{0};

  std::array<std::uint64_t, kLanes> stalled_until_{};  ///< in picks
  std::uint64_t picks_ = 0;
  unsigned polls_without_progress_ = 0;
};

}  // namespace kiln::vgpu

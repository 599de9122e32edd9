#include "vgpu/kfd_events.hpp"

#include <errno.h>
#include <string.h>

#include <atomic>
#include <chrono>

#include "vgpu/user_memory.hpp"

// Function names in comments are those of kfd_events.c.

namespace kiln::vgpu {

namespace uapi = kmd::uapi;

namespace {

constexpr std::uint64_t kUnsignaled = ~std::uint64_t{0};  // UNSIGNALED_EVENT_SLOT
constexpr std::uint32_t kFirstOtherId = 0x40000000;       // KFD_FIRST_NONSIGNAL_EVENT_ID
constexpr std::uint64_t kOldestUserPageBytes = 256 * 8;   // before user space maps the page
constexpr std::uint32_t kTimeoutInfinite = 0xffffffff;

bool gpu_can_signal(std::uint32_t type) {
  return type == uapi::kEventSignal || type == uapi::kEventDebug;
}

}  // namespace

std::uint64_t Events::load_slot(std::uint32_t id) const {
  return std::atomic_ref(reinterpret_cast<std::uint64_t*>(page_)[id])
      .load(std::memory_order_acquire);
}

void Events::store_slot(std::uint32_t id, std::uint64_t value) const {
  std::atomic_ref(reinterpret_cast<std::uint64_t*>(page_)[id])
      .store(value, std::memory_order_release);
}

Events::Event* Events::find(std::uint32_t id) {
  const auto found = events_.find(id);
  return found == events_.end() ? nullptr : found->second.get();
}

bool Events::has_page() const {
  std::lock_guard lock(mutex_);
  return page_ != nullptr;
}

std::uint64_t Events::page_handle() const {
  std::lock_guard lock(mutex_);
  return page_handle_;
}

int Events::set_page(std::byte* page, std::uint64_t bytes, std::uint64_t handle) {
  std::lock_guard lock(mutex_);
  // kfd_kmap_event_page looks before kfd_event_page_set (-EBUSY) can, and says -EINVAL.
  if (page_ != nullptr) return -EINVAL;
  if (bytes < uapi::kSignalPageBytes) return -EINVAL;
  page_ = page;
  page_bytes_ = bytes;
  page_handle_ = handle;
  for (std::uint32_t id = 0; id < uapi::kSignalEventLimit; ++id) store_slot(id, kUnsignaled);
  return 0;
}

int Events::page_fd(std::uint64_t wanted_bytes) {
  std::lock_guard lock(mutex_);
  if (own_page_ == nullptr || wanted_bytes > uapi::kSignalPageBytes) return -1;
  page_bytes_ = wanted_bytes;  // kfd_event_mmap: slots up to there may be used
  return own_page_->fd();
}

int Events::create_signal_event(Event& event) {
  if (page_ == nullptr) {  // allocate_signal_page
    auto page = Region::create("kiln-vgpu-events", uapi::kSignalPageBytes);
    if (!page) return -ENOMEM;
    own_page_ = std::move(*page);
    page_ = own_page_->host();
    page_bytes_ = kOldestUserPageBytes;
    for (std::uint32_t id = 0; id < uapi::kSignalEventLimit; ++id) store_slot(id, kUnsignaled);
  }
  const std::uint64_t limit = std::min<std::uint64_t>(page_bytes_ / 8, uapi::kSignalEventLimit);
  if (signal_count_ == limit) return -ENOSPC;
  for (std::uint32_t id = 1; id < limit; ++id) {
    if (events_.contains(id)) continue;
    event.id = id;
    store_slot(id, kUnsignaled);
    ++signal_count_;
    return 0;
  }
  return -ENOSPC;
}

int Events::create(uapi::CreateEvent* args) {
  auto event = std::make_unique<Event>();
  event->type = args->event_type;
  event->auto_reset = args->auto_reset != 0;
  args->event_page_offset = 0;
  std::lock_guard lock(mutex_);
  if (gpu_can_signal(event->type)) {
    if (const int error = create_signal_event(*event); error != 0) return error;
    args->event_page_offset = std::uint64_t{2} << 62;  // KFD_MMAP_TYPE_EVENTS
    args->event_slot_index = event->id;
  } else {  // create_other_event
    event->id = kFirstOtherId;
    while (events_.contains(event->id)) ++event->id;
  }
  args->event_id = event->id;
  args->event_trigger_data = event->id;
  events_.emplace(event->id, std::move(event));
  return 0;
}

void Events::remove(Event& event) {
  for (Waiter* waiter : event.waiters) waiter->event = nullptr;
  if (gpu_can_signal(event.type)) --signal_count_;
  events_.erase(event.id);
}

int Events::destroy(std::uint32_t id) {
  std::lock_guard lock(mutex_);
  Event* event = find(id);
  if (event == nullptr) return -EINVAL;
  remove(*event);
  changed_.notify_all();
  return 0;
}

void Events::set_locked(Event& event) {
  // An auto-reset event that wakes somebody is spent at once (set_event).
  event.signaled = !event.auto_reset || event.waiters.empty();
  if (++event.age == 0) event.age = 2;
  for (Waiter* waiter : event.waiters) waiter->activated = true;
  changed_.notify_all();
}

int Events::set(std::uint32_t id) {
  std::lock_guard lock(mutex_);
  Event* event = find(id);
  if (event == nullptr || event->type != uapi::kEventSignal) return -EINVAL;
  set_locked(*event);
  return 0;
}

int Events::reset(std::uint32_t id) {
  std::lock_guard lock(mutex_);
  Event* event = find(id);
  if (event == nullptr || event->type != uapi::kEventSignal) return -EINVAL;
  event->signaled = false;
  return 0;
}

std::uint32_t Events::test(bool all, const std::vector<Waiter>& waiters) {
  std::size_t activated = 0;
  for (const Waiter& waiter : waiters) {
    if (waiter.event == nullptr) return uapi::kWaitFail;
    if (!waiter.activated) continue;
    if (!all) return uapi::kWaitComplete;
    ++activated;
  }
  return activated == waiters.size() ? uapi::kWaitComplete : uapi::kWaitTimeout;
}

int Events::copy_data(const std::vector<Waiter>& waiters, std::uint64_t user_events) {
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    const Event* event = waiters[i].event;
    if (event == nullptr) return -EINVAL;
    if (!waiters[i].activated) continue;
    const std::uint64_t to = user_events + i * sizeof(uapi::EventData);  // the union is first
    bool good = true;
    if (event->type == uapi::kEventMemory)
      good = copy_to_user(to, &event->memory, sizeof event->memory);
    else if (event->type == uapi::kEventHwException)
      good = copy_to_user(to, &event->hardware, sizeof event->hardware);
    else if (event->type == uapi::kEventSignal && waiters[i].age_enabled)
      good = copy_to_user(to, &event->age, sizeof event->age);
    if (!good) return -EFAULT;
  }
  return 0;
}

int Events::wait(uapi::WaitEvents* args) {
  // kfd_wait_on_events. The lock is held except while asleep, which stands for event_mutex and the
  // events' own locks together.
  if (args->num_events > most_waiters_) return args->wait_result = uapi::kWaitFail, -ENOMEM;
  std::vector<uapi::EventData> wanted(args->num_events);
  std::vector<Waiter> waiters(args->num_events);
  const bool all = args->wait_for_all != 0;
  int error =
      copy_from_user(wanted.data(), args->events_ptr, wanted.size() * sizeof(uapi::EventData))
          ? 0
          : -EFAULT;
  std::unique_lock lock(mutex_);
  for (std::size_t i = 0; error == 0 && i < waiters.size(); ++i) {  // init_event_waiter
    Event* event = find(wanted[i].event_id);
    if (event == nullptr) {
      error = -EINVAL;
      break;
    }
    Waiter& waiter = waiters[i];
    waiter.event = event;
    waiter.activated = event->signaled;
    event->signaled = event->signaled && !event->auto_reset;
    const std::uint64_t known_age = wanted[i].signal_event_data.last_event_age;
    if (ages_ && event->type == uapi::kEventSignal && known_age != 0) {
      waiter.age_enabled = true;
      if (event->age != known_age) waiter.activated = true;
    }
    if (!waiter.activated) event->waiters.push_back(&waiter);
  }

  std::uint32_t result = uapi::kWaitFail;
  if (error == 0) {
    auto done = [&] { return (result = test(all, waiters)) != uapi::kWaitTimeout; };
    if (args->timeout == kTimeoutInfinite)
      changed_.wait(lock, done);
    else
      changed_.wait_for(lock, std::chrono::milliseconds(args->timeout), done);
    if (result == uapi::kWaitComplete) error = copy_data(waiters, args->events_ptr);
  }
  for (Waiter& waiter : waiters)  // free_waiters
    if (waiter.event != nullptr) std::erase(waiter.event->waiters, &waiter);
  if (error != 0)
    result = uapi::kWaitFail;
  else if (result == uapi::kWaitFail)
    error = -EIO;
  args->wait_result = result;
  return error;
}

void Events::signal_from_interrupt(Event& event) {
  // set_event_from_interrupt: the slot is taken back before the event is set.
  if (!gpu_can_signal(event.type)) return;
  store_slot(event.id, kUnsignaled);
  set_locked(event);
}

void Events::interrupt(std::uint32_t context_id) {
  std::lock_guard lock(mutex_);
  if (page_ == nullptr) return;
  // 28 or more valid bits, so the id is whole (lookup_signaled_event_by_partial_id). Its slot must
  // have been written first; otherwise every signalled slot is looked at.
  if (context_id < uapi::kSignalEventLimit && load_slot(context_id) != kUnsignaled) {
    if (Event* event = find(context_id); event != nullptr) return signal_from_interrupt(*event);
  }
  for (auto& [id, event] : events_) {
    if (id >= uapi::kSignalEventLimit) break;
    if (load_slot(id) != kUnsignaled) signal_from_interrupt(*event);
  }
}

void Events::memory_exception(const uapi::MemoryExceptionData& data) {
  // kfd_signal_vm_fault_event: every memory event of the process.
  std::lock_guard lock(mutex_);
  for (auto& [id, event] : events_) {
    if (event->type != uapi::kEventMemory) continue;
    event->memory = data;
    set_locked(*event);
  }
}

void Events::shut_down() {
  std::lock_guard lock(mutex_);
  while (!events_.empty()) remove(*events_.begin()->second);
  changed_.notify_all();
}

}  // namespace kiln::vgpu

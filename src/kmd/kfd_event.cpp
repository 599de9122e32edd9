// Owns: see kfd_event.hpp.
// Does not own: see kfd_event.hpp.
// Threading: everything from any thread.
#include "kmd/kfd_event.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace kiln::kmd {
namespace {

/// Once a GPU of the process has faulted, KFD's fault events stay signalled (they are not reset, or
/// a second GPU's fault could be lost), so sleeps leave them out and look at them between naps.
constexpr std::uint64_t kNapAfterFaultNs = 20'000'000;

std::uint32_t whole_milliseconds(std::uint64_t nanoseconds) {
  return static_cast<std::uint32_t>((nanoseconds + 999'999) / 1'000'000);
}

uapi::EventData plain(std::uint32_t id) {
  uapi::EventData data{};
  data.event_id = id;
  return data;
}

uapi::EventData aged(std::uint32_t id, std::uint64_t age) {
  uapi::EventData data = plain(id);
  data.signal_event_data.last_event_age = age;
  return data;
}

/// Ages only grow, whoever stores last.
void raise(std::atomic<std::uint64_t>& age, std::uint64_t seen) {
  std::uint64_t known = age.load(std::memory_order_relaxed);
  while (seen > known && !age.compare_exchange_weak(known, seen)) {
  }
}

FaultInfo describe_memory_fault(const uapi::MemoryExceptionData& data) {
  FaultInfo fault;
  fault.kind = FaultKind::MemoryFault;
  fault.address = data.va;
  fault.read_only = data.failure.read_only != 0;
  fault.not_present = data.failure.not_present != 0;
  fault.no_execute = data.failure.no_execute != 0;
  if (data.error_type != uapi::kMemoryErrorNoRas) {
    static constexpr const char* kErrors[] = {"", "an uncorrectable SRAM error", "poisoned memory",
                                              "a GPU hang"};
    fault.kind = FaultKind::HardwareReset;
    fault.text = strf("hardware error: %s",
                      data.error_type < 4 ? kErrors[data.error_type] : "of an unknown kind");
    return fault;
  }
  const char* why = fault.not_present  ? "nothing is mapped there"
                    : fault.read_only  ? "a write to read-only memory"
                    : fault.no_execute ? "instructions fetched from memory that is not executable"
                                       : "no reason given";
  fault.text =
      strf("memory fault at address 0x%llx: %s%s", static_cast<unsigned long long>(data.va), why,
           data.failure.imprecise != 0 ? " (the address is approximate)" : "");
  return fault;
}

FaultInfo describe_reset(const uapi::HwExceptionData& data) {
  FaultInfo fault;
  fault.kind = FaultKind::HardwareReset;
  fault.text = strf("the GPU was reset (%s) after %s%s",
                    data.reset_type == uapi::kResetWholeGpu ? "all of it" : "one engine",
                    data.reset_cause == uapi::kResetGpuHang ? "a hang" : "a memory (ECC) error",
                    data.memory_lost != 0 ? "; the contents of its memory are lost" : "");
  return fault;
}

}  // namespace

Result<uapi::CreateEvent> EventHub::create_kfd_event(std::uint32_t type, bool auto_reset,
                                                     std::uint64_t page_handle) {
  uapi::CreateEvent args{};
  args.event_page_offset = page_handle;
  args.event_type = type;
  args.auto_reset = auto_reset;
  const int status = os_.ioctl(fd_, uapi::kIocCreateEvent, &args);
  if (status >= 0) return args;
  if (status == -EBUSY && page_handle != 0)
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                "KFD has a signal page of this process already (CREATE_EVENT: EBUSY): another KFD "
                "runtime (HIP, ROCr, OpenCL) is active in it; run Kiln in a process of its own");
  if (status == -ENOSPC || status == -ENOMEM)
    return fail(VK_ERROR_TOO_MANY_OBJECTS,
                strf("KFD has no event left of the %u a process may have (CREATE_EVENT: %s)",
                     uapi::kSignalEventLimit, std::strerror(-status)));
  return fail(
      VK_ERROR_INITIALIZATION_FAILED,
      strf("KFD gives no event of type %u (CREATE_EVENT: %s)", type, std::strerror(-status)));
}

Status EventHub::start(std::uint64_t page_handle, Va page_address) {
  page_address_ = page_address;
  KILN_ASSIGN(const uapi::CreateEvent error,
              create_kfd_event(uapi::kEventSignal, true, page_handle));
  error_event_ = error.event_id;
  if (!ages_) {
    KILN_ASSIGN(const uapi::CreateEvent control, create_kfd_event(uapi::kEventSignal, true, 0));
    control_event_ = control.event_id;
  }
  // Not reset when a waiter sees them, so that every waiter does.
  KILN_ASSIGN(const uapi::CreateEvent memory, create_kfd_event(uapi::kEventMemory, false, 0));
  KILN_ASSIGN(const uapi::CreateEvent hardware,
              create_kfd_event(uapi::kEventHwException, false, 0));
  memory_event_ = memory.event_id;
  hardware_event_ = hardware.event_id;
  return {};
}

Result<Event> EventHub::create() {
  KILN_ASSIGN(const uapi::CreateEvent args, create_kfd_event(uapi::kEventSignal, true, 0));
  if (args.event_slot_index >= uapi::kSignalEventLimit)
    return fail(VK_ERROR_UNKNOWN, strf("KFD gave signal slot %u of %u", args.event_slot_index,
                                       uapi::kSignalEventLimit));
  Event event;
  event.id = args.event_id;
  event.mailbox = page_address_ + std::uint64_t{args.event_slot_index} * 8;
  ages_by_slot_[args.event_slot_index].store(1, std::memory_order_relaxed);
  if (!ages_) {
    {
      const std::lock_guard lock(waiter_mutex_);
      live_.push_back(event.id);
    }
    KILN_TRY(set({control_event_, 0}));  // the thread sleeps for the new one too
  }
  return event;
}

Status EventHub::destroy(const Event& event) {
  if (!ages_) {
    const std::lock_guard lock(waiter_mutex_);
    std::erase(live_, event.id);
  }
  uapi::DestroyEvent args{event.id, 0};
  if (const int status = os_.ioctl(fd_, uapi::kIocDestroyEvent, &args); status < 0)
    return fail(VK_ERROR_UNKNOWN,
                strf("event %u cannot be destroyed (%s)", event.id, std::strerror(-status)));
  return {};
}

std::uint64_t EventHub::age(const Event& event) const {
  if (ages_) return ages_by_slot_[slot_of(event)].load(std::memory_order_acquire);
  const std::lock_guard lock(waiter_mutex_);
  return broadcasts_;
}

Status EventHub::set(const Event& event) {
  uapi::SetEvent args{event.id, 0};
  if (const int status = os_.ioctl(fd_, uapi::kIocSetEvent, &args); status < 0)
    return fail(VK_ERROR_UNKNOWN,
                strf("event %u cannot be set (%s)", event.id, std::strerror(-status)));
  return {};
}

int EventHub::wait_kfd(uapi::EventData* events, std::uint32_t count, std::uint32_t timeout_ms,
                       bool* completed) {
  uapi::WaitEvents args{};
  args.events_ptr = reinterpret_cast<std::uintptr_t>(events);
  args.num_events = count;
  args.timeout = timeout_ms;
  const int status = os_.ioctl(fd_, uapi::kIocWaitEvents, &args);
  *completed = status >= 0 && args.wait_result == uapi::kWaitComplete;
  return status;
}

bool EventHub::wait(const Event& event, std::uint64_t age, std::uint64_t timeout_ns) {
  timeout_ns = std::min(timeout_ns, kLongestSleepNs);
  return ages_ ? sleep_by_age(event, age, timeout_ns) : sleep_by_thread(age, timeout_ns);
}

bool EventHub::sleep_by_age(const Event& event, std::uint64_t age, std::uint64_t timeout_ns) {
  const bool faulted = any_fault_.load(std::memory_order_acquire);
  if (faulted) timeout_ns = std::min(timeout_ns, kNapAfterFaultNs);
  const std::uint64_t error_age = error_age_.load(std::memory_order_acquire);
  uapi::EventData data[4] = {aged(event.id, age), aged(error_event_, error_age),
                             plain(memory_event_), plain(hardware_event_)};
  bool completed = false;
  const int status = wait_kfd(data, faulted ? 2 : 4, whole_milliseconds(timeout_ns), &completed);
  if (status < 0) {
    // -EIO: an event was destroyed meanwhile; anything else must not become a busy loop of the
    // caller's.
    if (status != -EIO) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return true;
  }
  if (!completed) return false;
  // KFD copies a signal event's age back when that event is among those that fired.
  const std::uint64_t new_age = data[0].signal_event_data.last_event_age;
  const std::uint64_t new_error_age = data[1].signal_event_data.last_event_age;
  raise(ages_by_slot_[slot_of(event)], new_age);
  raise(error_age_, new_error_age);
  if (!faulted && new_age == age && new_error_age == error_age) poll();
  return true;
}

bool EventHub::sleep_by_thread(std::uint64_t age, std::uint64_t timeout_ns) {
  std::unique_lock lock(waiter_mutex_);
  return woken_.wait_for(lock, std::chrono::nanoseconds(timeout_ns),
                         [&] { return broadcasts_ != age; });
}

void EventHub::run_waiter(const std::stop_token& stop) {
  std::vector<uapi::EventData> data;
  while (!stop.stop_requested()) {
    const bool faulted = any_fault_.load(std::memory_order_acquire);
    data.clear();
    data.push_back(plain(control_event_));
    data.push_back(plain(error_event_));
    if (!faulted) {
      data.push_back(plain(memory_event_));
      data.push_back(plain(hardware_event_));
    }
    {
      const std::lock_guard lock(waiter_mutex_);
      for (const std::uint32_t id : live_) data.push_back(plain(id));
    }
    bool completed = false;
    const int status =
        wait_kfd(data.data(), static_cast<std::uint32_t>(data.size()),
                 whole_milliseconds(faulted ? kNapAfterFaultNs : kLongestSleepNs), &completed);
    if (status < 0 && status != -EIO) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (completed || status < 0) {
      if (!faulted) poll();
      {
        const std::lock_guard lock(waiter_mutex_);
        ++broadcasts_;
      }
      woken_.notify_all();
    }
  }
}

void EventHub::device_opened() {
  if (ages_) return;
  const std::lock_guard lock(waiter_mutex_);
  if (devices_++ == 0)
    waiter_ = std::jthread([this](const std::stop_token& stop) { run_waiter(stop); });
}

void EventHub::device_closed() {
  if (ages_) return;
  std::jthread ended;
  {
    const std::lock_guard lock(waiter_mutex_);
    if (--devices_ > 0) return;
    ended = std::move(waiter_);
  }
  ended.request_stop();
  (void)set({control_event_, 0});
}

void EventHub::note(std::uint32_t gpu_id, FaultInfo fault) {
  const std::lock_guard lock(fault_mutex_);
  faults_.emplace(gpu_id, std::move(fault));  // the first of a GPU stays
  any_fault_.store(true, std::memory_order_release);
}

void EventHub::poll() {
  // One event a call, so that "completed" says which fired. All fault events of a process get every
  // fault (kfd_signal_vm_fault_event); the id in the data says whose it is.
  bool completed = false;
  uapi::EventData memory = plain(memory_event_);
  if (wait_kfd(&memory, 1, 0, &completed) >= 0 && completed)
    if (const auto& data = memory.memory_exception_data; data.gpu_id != 0)
      note(data.gpu_id, describe_memory_fault(data));
  uapi::EventData hardware = plain(hardware_event_);
  if (wait_kfd(&hardware, 1, 0, &completed) >= 0 && completed) {
    const auto& data = hardware.hw_exception_data;
    // Before Linux 6.8 copy_signaled_event_data (kfd_events.c) left the data of this event out.
    if (data.gpu_id != 0)
      note(data.gpu_id, describe_reset(data));
    else
      note(0, {.kind = FaultKind::HardwareReset,
               .text = "a GPU of this process was reset (this driver version does not say which)"});
  }
}

FaultInfo EventHub::known_fault(std::uint32_t gpu_id) const {
  if (!any_fault_.load(std::memory_order_acquire)) return {};
  const std::lock_guard lock(fault_mutex_);
  auto found = faults_.find(gpu_id);
  if (found == faults_.end()) found = faults_.find(0);
  return found == faults_.end() ? FaultInfo{} : found->second;
}

FaultInfo EventHub::poll_fault(std::uint32_t gpu_id) {
  FaultInfo known = known_fault(gpu_id);
  if (known.kind != FaultKind::None) return known;
  poll();
  return known_fault(gpu_id);
}

}  // namespace kiln::kmd

#include "core/semaphore.hpp"

#include <algorithm>

#include "core/device.hpp"
#include "core/host_wait.hpp"
#include "core/limits.hpp"
#include "core/queue.hpp"

namespace kiln::core {
namespace {

std::uint32_t epoch_of(std::uint64_t value) {
  return static_cast<std::uint32_t>(value >> 32);
}

}  // namespace

Result<Semaphore*> Semaphore::create(Device& device, const KilnSemaphoreCreateInfo& info,
                                     const VkAllocationCallbacks* callbacks) {
  KILN_TRY(device.check_alive());
  const bool interrupts = (info.flags & KILN_SEMAPHORE_CREATE_NO_INTERRUPT_BIT) == 0;
  const kmd::Event event = interrupts ? device.completion_event() : kmd::Event{};
  std::vector<Device*> peers;
  std::vector<kmd::Gpu*> share;
  for (std::uint32_t i = 0; i < info.peerDeviceCount; ++i) {
    Device* peer = from(info.pPeerDevices[i]);
    KILN_TRY(device.check_peer(*peer));
    if (peer == &device) continue;
    peers.push_back(peer);
    share.push_back(&peer->gpu());
  }
  if (share.empty()) {
    KILN_ASSIGN(Payload payload, device.payloads().allocate(info.initialValue, event));
    auto made = make_object<Semaphore>(callbacks, device, payload, nullptr, interrupts, peers);
    if (!made) device.payloads().free(payload);
    return made;
  }
  kmd::MemoryDesc desc;
  desc.size = kPageBytes;
  desc.heap = kmd::Heap::System;
  desc.host_visible = desc.uncached = desc.coherent = true;
  KILN_ASSIGN(kmd::Memory page, device.gpu().allocate(desc, share));
  const Payload payload = init_payload(page.host, page.address, info.initialValue, event);
  auto made = make_object<Semaphore>(callbacks, device, payload, &page, interrupts, peers);
  if (!made) (void)device.gpu().free(page);
  return made;
}

Semaphore::Semaphore(Device& device, Payload payload, const kmd::Memory* own_page, bool interrupts,
                     std::vector<Device*> peers)
    : device_(device),
      payload_(payload),
      own_page_(own_page != nullptr ? *own_page : kmd::Memory{}),
      has_own_page_(own_page != nullptr),
      interrupts_(interrupts),
      peers_(std::move(peers)) {}

Semaphore::~Semaphore() {
  device_.monitor().forget(*this);
  if (has_own_page_)
    (void)device_.gpu().free(own_page_);
  else
    device_.payloads().free(payload_);
}

bool Semaphore::reaches(const Device& device) const {
  if (&device == &device_) return true;
  for (const Device* peer : peers_)
    if (peer == &device) return true;
  return false;
}

bool Semaphore::poisoned() const {
  if (device_.lost()) return true;
  for (const Device* peer : peers_)
    if (peer->lost()) return true;
  return false;
}

void Semaphore::drop_retired_polls() {
  std::erase_if(polls_, [](const Poll& poll) { return poll.queue->retired(poll.submission); });
}

PollAdmission Semaphore::admit_poll(std::uint64_t target, const Queue& queue,
                                    std::uint64_t submission) {
  if (value() >= target) return PollAdmission::Reached;
  std::lock_guard lock(epoch_mutex_);
  const std::uint64_t now = value();
  if (now >= target) return PollAdmission::Reached;
  // Not there yet, or a signal already on its way could leave the epoch before the poll looks.
  if (epoch_of(now) != epoch_of(target) || epoch_of(furthest_signal_) > epoch_of(target))
    return PollAdmission::Defer;
  drop_retired_polls();
  const auto known = std::ranges::find(polls_, &queue, &Poll::queue);
  if (known != polls_.end())
    known->submission = submission;
  else
    polls_.push_back({&queue, submission});
  return PollAdmission::Poll;
}

void Semaphore::withdraw_poll(const Queue& queue, std::uint64_t submission) {
  std::lock_guard lock(epoch_mutex_);
  for (Poll& poll : polls_)
    if (poll.queue == &queue && poll.submission == submission) --poll.submission;
}

SignalAdmission Semaphore::admit_signal(std::uint64_t value, const Queue* queue) {
  // Staying in the payload's epoch can hurt no poll; the payload never goes back.
  if (epoch_of(value) == epoch_of(this->value())) return SignalAdmission::Go;
  std::lock_guard lock(epoch_mutex_);
  drop_retired_polls();
  for (const Poll& poll : polls_)
    if (poll.queue != queue) return SignalAdmission::Hold;
  furthest_signal_ = std::max(furthest_signal_, value);
  return SignalAdmission::Go;
}

void Semaphore::note_signal(std::uint64_t value) {
  if (epoch_of(value) == epoch_of(this->value())) return;
  std::lock_guard lock(epoch_mutex_);
  furthest_signal_ = std::max(furthest_signal_, value);
}

void Semaphore::release_polls(std::uint64_t value) {
  const std::uint64_t now = this->value();
  if (epoch_of(now) < epoch_of(value)) raise(now | 0xffffffffu);
}

void Semaphore::raise(std::uint64_t value) {
  std::uint64_t now = payload_.load();
  while (now < value)
    if (payload_.value->compare_exchange_weak(now, value, std::memory_order_acq_rel)) {
      if (interrupts_) (void)device_.gpu().set_event(device_.completion_event());
      return;
    }
}

Status Semaphore::signal_from_host(std::uint64_t value) {
  if (value <= this->value())
    return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                strf("host signal of %llu: the counter is at %llu already and only grows",
                     static_cast<unsigned long long>(value),
                     static_cast<unsigned long long>(this->value())));
  if (device_.lost()) return device_.check_alive();
  if (admit_signal(value, nullptr) == SignalAdmission::Hold) {
    // The polls of this epoch are let through first; the monitor writes the rest.
    release_polls(value);
    device_.monitor().signal_later(*this, value);
    return {};
  }
  raise(value);
  return {};
}

Result<VkResult> wait_semaphores(Device& device, const KilnSemaphoreWaitInfo& info,
                                 std::uint64_t timeout_ns) {
  bool interrupts = true;
  for (std::uint32_t i = 0; i < info.semaphoreCount; ++i) {
    const Semaphore& semaphore = *from(info.pSemaphores[i]);
    if (!semaphore.reaches(device))
      return fail(
          VK_ERROR_VALIDATION_FAILED_EXT,
          strf("semaphore %u of the wait belongs to another device and was not made for this one",
               i));
    // Interrupts go to the event of the semaphore's own device.
    interrupts = interrupts && semaphore.interrupts() && &semaphore.device() == &device;
  }
  const bool any = (info.flags & VK_SEMAPHORE_WAIT_ANY_BIT) != 0;
  auto reached = [&] {
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < info.semaphoreCount; ++i)
      if (from(info.pSemaphores[i])->value() >= info.pValues[i]) ++count;
    return any ? count > 0 || info.semaphoreCount == 0 : count == info.semaphoreCount;
  };
  auto poisoned = [&] {
    for (std::uint32_t i = 0; i < info.semaphoreCount; ++i)
      if (from(info.pSemaphores[i])->poisoned()) return true;
    return false;
  };
  auto result = host_wait(device, timeout_ns, interrupts, reached, poisoned);
  if (result && *result == VK_SUCCESS && device.has_visible_vram()) device.flush_hdp();
  return result;
}

}  // namespace kiln::core

// The table of errnos: events and mmap of /dev/kfd.
#include "kfd_errno_table.hpp"

namespace kiln::vgpu::test {
namespace {

using namespace errno_table;

constexpr const char* kEventPage = "kfd_events.c kfd_kmap_event_page";
constexpr const char* kSetEvent = "kfd_events.c kfd_set_event";
constexpr const char* kResetEvent = "kfd_events.c kfd_reset_event";
constexpr const char* kWait = "kfd_events.c kfd_wait_on_events";
constexpr const char* kMmap = "kfd_chardev.c kfd_mmap";

const Row kRows[] = {
    // ---- Events
    {"CREATE_EVENT", "second page", EINVAL, kEventPage, kMi300,
     [](Client& c) {
       c.acquire_all();
       EXPECT_EQ(create_event(c, c.buffer(kGttFlags, uapi::kSignalPageBytes).handle), 0);
       return create_event(c, c.buffer(kGttFlags, uapi::kSignalPageBytes).handle);
     }},
    {"CREATE_EVENT", "page of an unknown GPU", EINVAL, kEventPage, kMi300,
     [](Client& c) {
       c.acquire_all();
       return create_event(c, make_handle(kNoGpu, 1));
     }},
    {"CREATE_EVENT", "page before a VM was acquired", ENODEV, kEventPage, kMi300,
     [](Client& c) { return create_event(c, make_handle(c.id(), 1)); }},
    {"CREATE_EVENT", "page is no allocation", EINVAL, kEventPage, kMi300,
     [](Client& c) {
       c.acquire_all();
       return create_event(c, make_handle(c.id(), 99));
     }},
    {"CREATE_EVENT", "page in VRAM", EINVAL,
     "amdgpu_amdkfd_gpuvm.c amdgpu_amdkfd_gpuvm_map_bo_to_kernel", kMi300,
     [](Client& c) {
       c.acquire_all();
       return create_event(c, c.buffer(kVramFlags, uapi::kSignalPageBytes).handle);
     }},
    {"CREATE_EVENT", "page too small", EINVAL, "kfd_events.c kfd_event_page_set", kMi300,
     [](Client& c) {
       c.acquire_all();
       return create_event(c, c.buffer(kGttFlags, 4096).handle);
     }},
    {"CREATE_EVENT", "4096th signal event", ENOSPC, "kfd_events.c create_signal_event", kMi300,
     [](Client& c) {
       c.acquire_all();
       EXPECT_EQ(create_event(c, c.buffer(kGttFlags, uapi::kSignalPageBytes).handle), 0);
       for (std::uint32_t i = 2; i < uapi::kSignalEventLimit; ++i) EXPECT_EQ(create_event(c, 0), 0);
       return create_event(c, 0);
     }},
    {"CREATE_EVENT", "256th on a page never mapped", ENOSPC,
     "kfd_events.c allocate_event_notification_slot", kMi300,
     [](Client& c) {
       for (int i = 1; i < 256; ++i) EXPECT_EQ(create_event(c, 0), 0);
       return create_event(c, 0);
     }},
    {"DESTROY_EVENT", "unknown event", EINVAL, "kfd_events.c kfd_event_destroy", kMi300,
     [](Client& c) { return with_event<uapi::DestroyEvent>(c, uapi::kIocDestroyEvent, kNoEvent); }},
    {"DESTROY_EVENT", "number 0, which KFD keeps", EINVAL, "kfd_events.c kfd_event_init_process",
     kMi300,
     [](Client& c) { return with_event<uapi::DestroyEvent>(c, uapi::kIocDestroyEvent, 0); }},
    {"SET_EVENT", "unknown event", EINVAL, kSetEvent, kMi300,
     [](Client& c) { return with_event<uapi::SetEvent>(c, uapi::kIocSetEvent, kNoEvent); }},
    {"SET_EVENT", "memory event", EINVAL, kSetEvent, kMi300,
     [](Client& c) {
       return with_event<uapi::SetEvent>(c, uapi::kIocSetEvent,
                                         c.event(uapi::kEventMemory).event_id);
     }},
    {"SET_EVENT", "debug event", EINVAL, kSetEvent, kMi300,
     [](Client& c) {
       return with_event<uapi::SetEvent>(c, uapi::kIocSetEvent,
                                         c.event(uapi::kEventDebug).event_id);
     }},
    {"RESET_EVENT", "unknown event", EINVAL, kResetEvent, kMi300,
     [](Client& c) { return with_event<uapi::ResetEvent>(c, uapi::kIocResetEvent, kNoEvent); }},
    {"RESET_EVENT", "hardware exception event", EINVAL, kResetEvent, kMi300,
     [](Client& c) {
       return with_event<uapi::ResetEvent>(c, uapi::kIocResetEvent,
                                           c.event(uapi::kEventHwException).event_id);
     }},
    {"WAIT_EVENTS", "unknown event", EINVAL, "kfd_events.c init_event_waiter", kMi300,
     [](Client& c) {
       const auto event = event_data(kNoEvent);
       return wait_events(c, 1, &event);
     }},
    {"WAIT_EVENTS", "destroyed event", EINVAL, "kfd_events.c init_event_waiter", kMi300,
     [](Client& c) {
       const auto event = event_data(c.event(uapi::kEventSignal).event_id);
       EXPECT_EQ(with_event<uapi::DestroyEvent>(c, uapi::kIocDestroyEvent, event.event_id), 0);
       return wait_events(c, 1, &event);
     }},
    {"WAIT_EVENTS", "list cannot be read", EFAULT, kWait, kMi300,
     [](Client& c) { return wait_events(c, 1, reinterpret_cast<void*>(8)); }},
    {"WAIT_EVENTS", "no events", 0, "kfd_events.c test_event_condition", kMi300,
     [](Client& c) { return wait_events(c, 0, nullptr); }},
    {"WAIT_EVENTS", "more than there can be", ENOMEM, "kfd_events.c alloc_event_waiters", kMi300,
     [](Client& c) { return wait_events(c, uapi::kSignalEventLimit + 1, nullptr); }},
    {"WAIT_EVENTS", "the same event more often, before that was checked", 0,
     "kfd_events.c alloc_event_waiters", "mi300x,vram=256M,kfd=1.22",
     [](Client& c) {
       const std::vector<uapi::EventData> many(uapi::kSignalEventLimit + 1,
                                               event_data(c.event(uapi::kEventSignal).event_id));
       return wait_events(c, uapi::kSignalEventLimit + 1, many.data());
     }},

    // ---- mmap of /dev/kfd
    {"mmap", "one page of doorbells", EINVAL, "kfd_doorbell.c kfd_doorbell_mmap", kMi300,
     [](Client& c) { return map(c, 4096, 3, c.id()); }},
    {"mmap", "doorbells of an unknown GPU", ENODEV, kMmap, kMi300,
     [](Client& c) { return map(c, 8192, 3, 0); }},
    {"mmap", "two pages of MMIO", EINVAL, "kfd_chardev.c kfd_mmio_mmap", kMi300,
     [](Client& c) { return map(c, 8192, 0, c.id()); }},
    {"mmap", "MMIO of an unknown GPU", ENODEV, kMmap, kMi300,
     [](Client& c) { return map(c, 4096, 0, kNoGpu); }},
    {"mmap", "reserved memory", EINVAL, kMmap, kMi300,
     [](Client& c) { return map(c, 4096, 1, c.id()); }},
    {"mmap", "events before there are any", EINVAL, "kfd_events.c kfd_event_mmap", kMi300,
     [](Client& c) { return map(c, uapi::kSignalPageBytes, 2, 0); }},
    {"mmap", "more than the event page", EINVAL, "kfd_events.c kfd_event_mmap", kMi300,
     [](Client& c) {
       c.event(uapi::kEventSignal);
       return map(c, uapi::kSignalPageBytes * 2, 2, 0);
     }},
};

}  // namespace

std::span<const Row> errno_rows_of_events() {
  return kRows;
}

}  // namespace kiln::vgpu::test

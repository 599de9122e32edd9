// The table of errnos: queues.
#include "kfd_errno_table.hpp"

namespace kiln::vgpu::test {
namespace {

using namespace errno_table;

constexpr const char* kProperties = "kfd_chardev.c set_queue_properties_from_user";
constexpr const char* kCreate = "kfd_chardev.c kfd_ioctl_create_queue";
constexpr const char* kBuffers = "kfd_queue.c kfd_queue_acquire_buffers";
constexpr const char* kUpdate = "kfd_chardev.c kfd_ioctl_update_queue";
constexpr const char* kUpdateManager = "kfd_process_queue_manager.c pqm_update_queue_properties";
constexpr const char* kCuMask = "kfd_chardev.c kfd_ioctl_set_cu_mask";
constexpr const char* kUpdateMqd = "kfd_process_queue_manager.c pqm_update_mqd";
constexpr const char* kWaveState = "kfd_device_queue_manager.c get_wave_state";

const Row kRows[] = {
    // ---- CREATE_QUEUE: properties, in the order of their checks
    {"CREATE_QUEUE", "percentage above 100", EINVAL, kProperties, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) {
         q.queue_percentage = 101;
         q.ring_base_address = kKernelAddress;
       });
     }},
    {"CREATE_QUEUE", "XCC number in the percentage", 0, kProperties, kMi300,
     [](Client& c) {
       return create_queue(
           c, [](auto& q) { q.queue_percentage = 3 << 8 | 100; }, uapi::kQueueCompute);
     }},
    {"CREATE_QUEUE", "XCC number before gfx942 was known", EINVAL, kProperties,
     "mi300x,vram=256M,kfd=1.12",
     [](Client& c) {
       return create_queue(
           c, [](auto& q) { q.queue_percentage = 3 << 8 | 100; }, uapi::kQueueCompute);
     }},
    {"CREATE_QUEUE", "priority above 15", EINVAL, kProperties, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) {
         q.queue_priority = 16;
         q.ring_base_address = kKernelAddress;
       });
     }},
    {"CREATE_QUEUE", "ring at a kernel address", EFAULT, kProperties, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) {
         q.ring_base_address = kKernelAddress;
         q.ring_size = 3;
       });
     }},
    {"CREATE_QUEUE", "ring size no power of two", EINVAL, kProperties, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) {
         q.ring_size = 65536 + 4096;
         q.read_pointer_address = kKernelAddress;
       });
     }},
    {"CREATE_QUEUE", "metadata ring no power of two", EINVAL, kProperties,
     "mi300x,vram=256M,kfd=1.22",
     [](Client& c) {
       return create_queue(c, [](auto& q) {
         q.metadata_ring_size = 3;
         q.read_pointer_address = kKernelAddress;
       });
     }},
    {"CREATE_QUEUE", "metadata ring where it is padding", 0, kProperties,
     "mi300x,vram=256M,kfd=1.21",
     [](Client& c) { return create_queue(c, [](auto& q) { q.metadata_ring_size = 3; }); }},
    {"CREATE_QUEUE", "metadata ring not mapped behind the ring", EINVAL, kBuffers,
     "mi300x,vram=256M,kfd=1.22",
     [](Client& c) { return create_queue(c, [](auto& q) { q.metadata_ring_size = 65536; }); }},
    {"CREATE_QUEUE", "metadata ring behind the ring", 0, kBuffers, "mi300x,vram=256M,kfd=1.22",
     [](Client& c) {
       return create_queue(c, [](auto& q) { q.ring_size = q.metadata_ring_size = 32768; });
     }},
    {"CREATE_QUEUE", "read pointer at a kernel address", EFAULT, kProperties, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) { q.read_pointer_address = kKernelAddress; });
     }},
    {"CREATE_QUEUE", "write pointer at a kernel address", EFAULT, kProperties, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) { q.write_pointer_address = kKernelAddress; });
     }},
    {"CREATE_QUEUE", "EOP buffer at a kernel address", EFAULT, kProperties, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) { q.eop_buffer_address = kKernelAddress; });
     }},
    {"CREATE_QUEUE", "save area at a kernel address", EFAULT, kProperties, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) {
         q.ctx_save_restore_address = kKernelAddress;
         q.queue_type = 9;
       });
     }},
    {"CREATE_QUEUE", "unknown type", kEnotsupp, kProperties, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) {
         q.queue_type = 5;
         q.gpu_id = kNoGpu;
       });
     }},
    {"CREATE_QUEUE", "SDMA by engine before 1.17", kEnotsupp, kProperties,
     "mi300x,vram=256M,kfd=1.16",
     [](Client& c) {
       return create_queue(
           c, [](auto& q) { q.queue_type = uapi::kQueueSdmaByEngine; }, uapi::kQueueSdma);
     }},
    {"CREATE_QUEUE", "ring size 0 is made the smallest", EINVAL, kBuffers, "mi300x,vram=256M",
     [](Client& c) {
       return create_queue(c, [](auto& q) {
         q.ring_size = 0;
         q.ring_base_address = 0;
       });
     }},

    // ---- CREATE_QUEUE: the device, buffers, limits
    {"CREATE_QUEUE", "unknown GPU", EINVAL, kCreate, kMi300,
     [](Client& c) { return create_queue(c, [](auto& q) { q.gpu_id = kNoGpu; }); }},
    {"CREATE_QUEUE", "no VM acquired", ESRCH, kCreate, kMi300,
     [](Client& c) {
       uapi::CreateQueue q{};
       q.gpu_id = c.id();
       return -c.create(q);
     }},
    {"CREATE_QUEUE", "no VM acquired and no such engine", ESRCH, kCreate, kMi300,
     [](Client& c) {
       uapi::CreateQueue q{};
       q.gpu_id = c.id();
       q.queue_type = uapi::kQueueSdmaByEngine;
       q.sdma_engine_id = 99;
       return -c.create(q);
     }},
    {"CREATE_QUEUE", "no such SDMA engine", EINVAL, kCreate, kMi300,
     [](Client& c) {
       return create_queue(
           c,
           [](auto& q) {
             q.queue_type = uapi::kQueueSdmaByEngine;
             q.sdma_engine_id = 16;
           },
           uapi::kQueueSdma);
     }},
    {"CREATE_QUEUE", "write pointer not mapped", EINVAL, kBuffers, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) { q.write_pointer_address = 0x7d0000000000; });
     }},
    {"CREATE_QUEUE", "no read pointer", EINVAL, kBuffers, kMi300,
     [](Client& c) { return create_queue(c, [](auto& q) { q.read_pointer_address = 0; }); }},
    {"CREATE_QUEUE", "ring inside a mapping", EINVAL, kBuffers, kMi300,
     [](Client& c) { return create_queue(c, [](auto& q) { q.ring_base_address += 4096; }); }},
    {"CREATE_QUEUE", "no EOP buffer", 0, kBuffers, kMi300,
     [](Client& c) {
       return create_queue(c, [](auto& q) {
         q.eop_buffer_address = 0;
         q.eop_buffer_size = 77;
       });
     }},
    {"CREATE_QUEUE", "EOP buffer of another size", EINVAL, kBuffers, kMi300,
     [](Client& c) { return create_queue(c, [](auto& q) { q.eop_buffer_size = 8192; }); }},
    {"CREATE_QUEUE", "control stack of another size", EINVAL, kBuffers, kMi300,
     [](Client& c) { return create_queue(c, [](auto& q) { q.ctl_stack_size += 4096; }); }},
    {"CREATE_QUEUE", "save area too small", EINVAL, kBuffers, kMi300,
     [](Client& c) { return create_queue(c, [](auto& q) { q.ctx_save_restore_size -= 4096; }); }},
    {"CREATE_QUEUE", "SDMA queue without EOP and save area", 0, kBuffers, kMi300,
     [](Client& c) { return create_queue(c, [](auto&) {}, uapi::kQueueSdma); }},
    {"CREATE_QUEUE", "XGMI engine where there is none", ENOMEM,
     "kfd_device_queue_manager.c allocate_sdma_queue", kNavi,
     [](Client& c) {
       return create_queue(
           c, [](auto& q) { q.queue_type = uapi::kQueueSdmaXgmi; }, uapi::kQueueSdma);
     }},
    {"CREATE_QUEUE", "all SDMA queues taken", ENOMEM,
     "kfd_device_queue_manager.c allocate_sdma_queue", kNavi,
     [](Client& c) {
       c.acquire_all();
       const uapi::CreateQueue good = c.queue_args(uapi::kQueueSdma);
       for (int i = 0; i < 12; ++i) {
         auto q = good;
         EXPECT_EQ(c.create(q), 0);
       }
       auto q = good;
       return -c.create(q);
     }},
    {"CREATE_QUEUE", "128th of a process on a GPU", ENOSPC,
     "kfd_process_queue_manager.c pqm_create_queue", kMi300,
     [](Client& c) {
       c.acquire_all();
       const uapi::CreateQueue good = c.queue_args(uapi::kQueueComputeAql);
       for (int i = 0; i < 127; ++i) {
         auto q = good;
         EXPECT_EQ(c.create(q), 0);
       }
       auto q = good;
       return -c.create(q);
     }},

    // ---- The other ioctls of queues
    {"DESTROY_QUEUE", "unknown queue", EINVAL, "kfd_process_queue_manager.c pqm_destroy_queue",
     kMi300, [](Client& c) { return -c.destroy_queue(kNoQueue); }},
    {"DESTROY_QUEUE", "destroyed before", EINVAL, "kfd_process_queue_manager.c pqm_destroy_queue",
     kMi300,
     [](Client& c) {
       const auto q = new_queue(c);
       EXPECT_EQ(c.destroy_queue(q), 0);
       return -c.destroy_queue(q);
     }},
    {"UPDATE_QUEUE", "percentage above 100", EINVAL, kUpdate, kMi300,
     [](Client& c) {
       return update_queue(c, [](auto& q) {
         q.queue_percentage = 101;
         q.queue_id = kNoQueue;
       });
     }},
    {"UPDATE_QUEUE", "priority above 15", EINVAL, kUpdate, kMi300,
     [](Client& c) {
       return update_queue(c, [](auto& q) {
         q.queue_priority = 16;
         q.ring_base_address = kKernelAddress;
       });
     }},
    {"UPDATE_QUEUE", "ring at a kernel address", EFAULT, kUpdate, kMi300,
     [](Client& c) {
       return update_queue(c, [](auto& q) {
         q.ring_base_address = kKernelAddress;
         q.ring_size = 3;
       });
     }},
    {"UPDATE_QUEUE", "ring size no power of two", EINVAL, kUpdate, kMi300,
     [](Client& c) {
       return update_queue(c, [](auto& q) {
         q.ring_size = 3 << 12;
         q.queue_id = kNoQueue;
       });
     }},
    {"UPDATE_QUEUE", "unknown queue", EFAULT, kUpdateManager, kMi300,
     [](Client& c) { return update_queue(c, [](auto& q) { q.queue_id = kNoQueue; }); }},
    {"UPDATE_QUEUE", "ring not mapped", EFAULT, kUpdateManager, kMi300,
     [](Client& c) {
       return update_queue(c, [](auto& q) { q.ring_base_address = 0x7d0000000000; });
     }},
    {"UPDATE_QUEUE", "ring not mapped, before 1.17", 0, kUpdateManager, "mi300x,vram=256M,kfd=1.16",
     [](Client& c) {
       return update_queue(c, [](auto& q) { q.ring_base_address = 0x7d0000000000; });
     }},
    {"UPDATE_QUEUE", "no ring stops the queue", 0, kUpdateManager, kMi300,
     [](Client& c) {
       return update_queue(c, [](auto& q) {
         q.ring_base_address = 0;
         q.ring_size = 0;
       });
     }},
    {"SET_CU_MASK", "no bits", EINVAL, kCuMask, kMi300,
     [](Client& c) { return set_cu_mask(c, kNoQueue, 0, nullptr); }},
    {"SET_CU_MASK", "count no multiple of 32", EINVAL, kCuMask, kMi300,
     [](Client& c) { return set_cu_mask(c, kNoQueue, 40, nullptr); }},
    {"SET_CU_MASK", "mask cannot be read", EFAULT, kCuMask, kMi300,
     [](Client& c) { return set_cu_mask(c, new_queue(c), 32, reinterpret_cast<void*>(8)); }},
    {"SET_CU_MASK", "unknown queue", EFAULT, kUpdateMqd, kMi300,
     [](Client& c) {
       const std::uint32_t all = ~0u;
       return set_cu_mask(c, kNoQueue, 32, &all);
     }},
    {"SET_CU_MASK", "half a WGP", EINVAL, kUpdateMqd, kNavi,
     [](Client& c) {
       const std::uint32_t one = 1;
       return set_cu_mask(c, new_queue(c), 32, &one);
     }},
    {"SET_CU_MASK", "a single CU where there are no WGPs", 0, kUpdateMqd, kMi300,
     [](Client& c) {
       const std::uint32_t one = 1;
       return set_cu_mask(c, new_queue(c), 32, &one);
     }},
    {"SET_CU_MASK", "bits past 1024 are not even read", 0, kCuMask, kMi300,
     [](Client& c) {
       static std::uint32_t words[32];
       return set_cu_mask(c, new_queue(c), 1u << 20, words);
     }},
    {"GET_QUEUE_WAVE_STATE", "unknown queue", EFAULT,
     "kfd_process_queue_manager.c pqm_get_wave_state", kMi300,
     [](Client& c) { return wave_state(c, kNoQueue); }},
    {"GET_QUEUE_WAVE_STATE", "running queue", EINVAL, kWaveState, kMi300,
     [](Client& c) { return wave_state(c, new_queue(c)); }},
    {"GET_QUEUE_WAVE_STATE", "SDMA queue", EINVAL, kWaveState, kMi300,
     [](Client& c) {
       const auto q = new_queue(c, uapi::kQueueSdma);
       stop_queue(c, q);
       return wave_state(c, q);
     }},
    {"GET_QUEUE_WAVE_STATE", "stopped queue", 0, kWaveState, kMi300,
     [](Client& c) {
       const auto q = new_queue(c);
       stop_queue(c, q);
       return wave_state(c, q);
     }},
    {"GET_QUEUE_WAVE_STATE", "save area not mapped by the host", EFAULT,
     "kfd_mqd_manager_v9.c get_wave_state", kMi300,
     [](Client& c) {
       const auto q = new_queue(c);
       stop_queue(c, q);
       EXPECT_EQ(c.os->munmap(c.save_area.host, c.save_area.bytes), 0);
       return wave_state(c, q);
     }},
    {"ALLOC_QUEUE_GWS", "unknown queue", EINVAL, "kfd_chardev.c kfd_ioctl_alloc_queue_gws", kMi300,
     [](Client& c) {
       uapi::AllocQueueGws a{kNoQueue, 1, 0, 0};
       return -c.call(uapi::kIocAllocQueueGws, a);
     }},
    {"ALLOC_QUEUE_GWS", "GPU without", ENODEV, "kfd_chardev.c kfd_ioctl_alloc_queue_gws", kMi300,
     [](Client& c) {
       uapi::AllocQueueGws a{new_queue(c), 1, 0, 0};
       return -c.call(uapi::kIocAllocQueueGws, a);
     }},
};

}  // namespace

std::span<const Row> errno_rows_of_queues() {
  return kRows;
}

}  // namespace kiln::vgpu::test

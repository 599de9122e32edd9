/* The part of KFD's interface that plain_client.c uses, as a program outside the kernel's tree
 * would copy it: Debian's <linux/kfd_ioctl.h> wants <drm/drm.h>, which no package of Debian 12 has
 * there, and ends at 1.11. Owns: those structures and numbers, under the kernel's names, from
 * include/uapi/linux/kfd_ioctl.h. Does not own: Kiln's own copy, which it must not share: each is
 * the other's check. Threading: values only.
 */
#ifndef PLAIN_KFD_H
#define PLAIN_KFD_H

#include <stdint.h>
#include <sys/ioctl.h>

struct kfd_ioctl_get_version_args {
  uint32_t major_version, minor_version;
};

struct kfd_ioctl_create_queue_args { /* as of 1.17 */
  uint64_t ring_base_address, write_pointer_address, read_pointer_address, doorbell_offset;
  uint32_t ring_size, gpu_id, queue_type, queue_percentage, queue_priority, queue_id;
  uint64_t eop_buffer_address, eop_buffer_size, ctx_save_restore_address;
  uint32_t ctx_save_restore_size, ctl_stack_size, sdma_engine_id, pad;
};
#define KFD_IOC_QUEUE_TYPE_COMPUTE 0x0
#define KFD_IOC_QUEUE_TYPE_SDMA 0x1
#define KFD_IOC_QUEUE_TYPE_COMPUTE_AQL 0x2

struct kfd_ioctl_destroy_queue_args {
  uint32_t queue_id, pad;
};

#define KFD_SIGNAL_EVENT_LIMIT 4096
#define KFD_IOC_EVENT_SIGNAL 0
#define KFD_IOC_WAIT_RESULT_COMPLETE 0

struct kfd_ioctl_create_event_args {
  uint64_t event_page_offset;
  uint32_t event_trigger_data, event_type, auto_reset, node_id, event_id, event_slot_index;
};

struct kfd_ioctl_destroy_event_args {
  uint32_t event_id, pad;
};

struct kfd_event_data {
  uint8_t exception_or_age[32];
  uint64_t kfd_event_data_ext;
  uint32_t event_id, pad;
};

struct kfd_ioctl_wait_events_args {
  uint64_t events_ptr;
  uint32_t num_events, wait_for_all, timeout, wait_result;
};

struct kfd_ioctl_acquire_vm_args {
  uint32_t drm_fd, gpu_id;
};

#define KFD_IOC_ALLOC_MEM_FLAGS_VRAM (1u << 0)
#define KFD_IOC_ALLOC_MEM_FLAGS_GTT (1u << 1)
#define KFD_IOC_ALLOC_MEM_FLAGS_UNCACHED (1u << 25)
#define KFD_IOC_ALLOC_MEM_FLAGS_COHERENT (1u << 26)
#define KFD_IOC_ALLOC_MEM_FLAGS_NO_SUBSTITUTE (1u << 28)
#define KFD_IOC_ALLOC_MEM_FLAGS_PUBLIC (1u << 29)
#define KFD_IOC_ALLOC_MEM_FLAGS_EXECUTABLE (1u << 30)
#define KFD_IOC_ALLOC_MEM_FLAGS_WRITABLE (1u << 31)

struct kfd_ioctl_alloc_memory_of_gpu_args {
  uint64_t va_addr, size, handle, mmap_offset;
  uint32_t gpu_id, flags;
};

struct kfd_ioctl_free_memory_of_gpu_args {
  uint64_t handle;
};

struct kfd_ioctl_map_memory_to_gpu_args {
  uint64_t handle, device_ids_array_ptr;
  uint32_t n_devices, n_success;
};

struct kfd_ioctl_unmap_memory_from_gpu_args {
  uint64_t handle, device_ids_array_ptr;
  uint32_t n_devices, n_success;
};

struct kfd_ioctl_import_dmabuf_args {
  uint64_t va_addr, handle;
  uint32_t gpu_id, dmabuf_fd;
};

struct kfd_ioctl_export_dmabuf_args { /* as of 1.12 */
  uint64_t handle;
  uint32_t flags, dmabuf_fd;
};

struct kfd_ioctl_runtime_enable_args { /* as of 1.13 */
  uint64_t r_debug;
  uint32_t mode_mask, capabilities_mask;
};
#define KFD_RUNTIME_ENABLE_MODE_ENABLE_MASK 1

#define AMDKFD_IOCTL_BASE 'K'
#define AMDKFD_IOR(nr, type) _IOR(AMDKFD_IOCTL_BASE, nr, type)
#define AMDKFD_IOW(nr, type) _IOW(AMDKFD_IOCTL_BASE, nr, type)
#define AMDKFD_IOWR(nr, type) _IOWR(AMDKFD_IOCTL_BASE, nr, type)

#define AMDKFD_IOC_GET_VERSION AMDKFD_IOR(0x01, struct kfd_ioctl_get_version_args)
#define AMDKFD_IOC_CREATE_QUEUE AMDKFD_IOWR(0x02, struct kfd_ioctl_create_queue_args)
#define AMDKFD_IOC_DESTROY_QUEUE AMDKFD_IOWR(0x03, struct kfd_ioctl_destroy_queue_args)
#define AMDKFD_IOC_CREATE_EVENT AMDKFD_IOWR(0x08, struct kfd_ioctl_create_event_args)
#define AMDKFD_IOC_DESTROY_EVENT AMDKFD_IOW(0x09, struct kfd_ioctl_destroy_event_args)
#define AMDKFD_IOC_WAIT_EVENTS AMDKFD_IOWR(0x0c, struct kfd_ioctl_wait_events_args)
#define AMDKFD_IOC_ACQUIRE_VM AMDKFD_IOW(0x15, struct kfd_ioctl_acquire_vm_args)
#define AMDKFD_IOC_ALLOC_MEMORY_OF_GPU AMDKFD_IOWR(0x16, struct kfd_ioctl_alloc_memory_of_gpu_args)
#define AMDKFD_IOC_FREE_MEMORY_OF_GPU AMDKFD_IOW(0x17, struct kfd_ioctl_free_memory_of_gpu_args)
#define AMDKFD_IOC_MAP_MEMORY_TO_GPU AMDKFD_IOWR(0x18, struct kfd_ioctl_map_memory_to_gpu_args)
#define AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU \
  AMDKFD_IOWR(0x19, struct kfd_ioctl_unmap_memory_from_gpu_args)
#define AMDKFD_IOC_IMPORT_DMABUF AMDKFD_IOWR(0x1d, struct kfd_ioctl_import_dmabuf_args)
#define AMDKFD_IOC_EXPORT_DMABUF AMDKFD_IOWR(0x24, struct kfd_ioctl_export_dmabuf_args)
#define AMDKFD_IOC_RUNTIME_ENABLE AMDKFD_IOWR(0x25, struct kfd_ioctl_runtime_enable_args)

#endif

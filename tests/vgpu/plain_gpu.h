/* What the plain C clients of KFD share: topology, memory, queues, packets written by hand.
 * Owns: those helpers, and the process's one GPU. Does not own: tests; the ioctls' structures
 * (plain_kfd.h). Threading: one thread.
 *
 * Sources: include/uapi/linux/kfd_ioctl.h; KFDTest's PM4Packet.cpp, SDMAPacket.cpp and their
 * structures (pm4_pkt_struct_ai.h, _nv.h, sdma_pkt_struct.h) for packets; ROCr amd_aql_queue.cpp
 * for the vendor packet; libhsakmt queues.c and the kernel's kfd_queue.c for the sizes of buffers.
 */
#ifndef PLAIN_GPU_H
#define PLAIN_GPU_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "plain_kfd.h"

#define SHARED static __attribute__((unused))
#define TOPOLOGY "/sys/class/kfd/kfd/topology/nodes"
#define PAGE 4096u
#define RING 65536u
#define DATA (1u << 20)
#define DOORBELLS 8192u

#define CHECK(condition, ...)                                       \
  do {                                                              \
    if (!(condition)) {                                             \
      fprintf(stderr, "line %d: %s: ", __LINE__, #condition);       \
      fprintf(stderr, __VA_ARGS__);                                 \
      fprintf(stderr, " (errno %d, %s)\n", errno, strerror(errno)); \
      exit(1);                                                      \
    }                                                               \
  } while (0)

struct gpu {
  unsigned long long id, target, minor, xccs, simds, simds_per_cu, arrays, arrays_per_engine;
  unsigned long long save_area, control_stack;
};

struct buffer {
  volatile uint32_t* host;
  uint64_t va, bytes, handle;
};

struct queue {
  struct buffer ring, read, write, eop, save;
  char* doorbells; /* of all queues of the process on this GPU */
  volatile uint64_t* doorbell;
  uint32_t id;
  uint64_t put; /* dwords; packets of an AQL queue */
};

static int kfd, render;
static struct gpu gpu;
static struct buffer made[32];
static unsigned made_count;

SHARED void read_node(int node, struct gpu* found) {
  char path[256], name[64];
  unsigned long long value;
  snprintf(path, sizeof path, TOPOLOGY "/%d/gpu_id", node);
  FILE* file = fopen(path, "r");
  CHECK(file != NULL, "%s", path);
  CHECK(fscanf(file, "%llu", &found->id) == 1, "%s", path);
  fclose(file);
  snprintf(path, sizeof path, TOPOLOGY "/%d/properties", node);
  file = fopen(path, "r");
  CHECK(file != NULL, "%s", path);
  found->xccs = 1;
  while (fscanf(file, "%63s %llu", name, &value) == 2) {
    if (strcmp(name, "gfx_target_version") == 0) found->target = value;
    if (strcmp(name, "drm_render_minor") == 0) found->minor = value;
    if (strcmp(name, "num_xcc") == 0) found->xccs = value;
    if (strcmp(name, "simd_count") == 0) found->simds = value;
    if (strcmp(name, "simd_per_cu") == 0) found->simds_per_cu = value;
    if (strcmp(name, "array_count") == 0) found->arrays = value;
    if (strcmp(name, "simd_arrays_per_engine") == 0) found->arrays_per_engine = value;
    if (strcmp(name, "cwsr_size") == 0) found->save_area = value;
    if (strcmp(name, "ctl_stack_size") == 0) found->control_stack = value;
  }
  fclose(file);
}

SHARED void find_gpu(void) {
  DIR* nodes = opendir(TOPOLOGY);
  CHECK(nodes != NULL, TOPOLOGY);
  struct dirent* entry;
  while (gpu.id == 0 && (entry = readdir(nodes)) != NULL) {
    struct gpu found;
    memset(&found, 0, sizeof found);
    if (entry->d_name[0] == '.') continue;
    read_node(atoi(entry->d_name), &found);
    if (found.id != 0) gpu = found;
  }
  closedir(nodes);
  CHECK(gpu.id != 0, "no node is a GPU");
}

/* Memory at an address of the process, mapped to the GPU; `flags` say of what kind. */
SHARED struct buffer allocate(uint64_t bytes, uint32_t flags) {
  struct buffer buffer;
  void* at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(at != MAP_FAILED, "address range");
  struct kfd_ioctl_alloc_memory_of_gpu_args args = {
      .va_addr = (uint64_t)at,
      .size = bytes,
      .gpu_id = gpu.id,
      .flags = flags | KFD_IOC_ALLOC_MEM_FLAGS_WRITABLE | KFD_IOC_ALLOC_MEM_FLAGS_EXECUTABLE |
               KFD_IOC_ALLOC_MEM_FLAGS_PUBLIC | KFD_IOC_ALLOC_MEM_FLAGS_NO_SUBSTITUTE,
  };
  CHECK(ioctl(kfd, AMDKFD_IOC_ALLOC_MEMORY_OF_GPU, &args) == 0, "%llu bytes",
        (unsigned long long)bytes);
  void* host = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, render,
                    (off_t)args.mmap_offset);
  CHECK(host == at, "mmap of a buffer");
  uint32_t ids[1] = {gpu.id};
  struct kfd_ioctl_map_memory_to_gpu_args map = {
      .handle = args.handle, .device_ids_array_ptr = (uint64_t)ids, .n_devices = 1};
  CHECK(ioctl(kfd, AMDKFD_IOC_MAP_MEMORY_TO_GPU, &map) == 0 && map.n_success == 1, "map");
  buffer.host = host;
  buffer.va = (uint64_t)at;
  buffer.bytes = bytes;
  buffer.handle = args.handle;
  made[made_count++] = buffer;
  return buffer;
}

SHARED struct buffer system_memory(uint64_t bytes) {
  return allocate(bytes, KFD_IOC_ALLOC_MEM_FLAGS_GTT | KFD_IOC_ALLOC_MEM_FLAGS_COHERENT |
                             KFD_IOC_ALLOC_MEM_FLAGS_UNCACHED);
}

SHARED void release_memory(const struct buffer* buffer) {
  uint32_t ids[1] = {gpu.id};
  struct kfd_ioctl_unmap_memory_from_gpu_args unmap = {
      .handle = buffer->handle, .device_ids_array_ptr = (uint64_t)ids, .n_devices = 1};
  CHECK(ioctl(kfd, AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU, &unmap) == 0, "unmap");
  CHECK(munmap((void*)buffer->va, buffer->bytes) == 0, "munmap");
  struct kfd_ioctl_free_memory_of_gpu_args args = {.handle = buffer->handle};
  CHECK(ioctl(kfd, AMDKFD_IOC_FREE_MEMORY_OF_GPU, &args) == 0, "free");
}

/* The save area's mapping: save area and debugger's part of each XCC (kfd_queue.c). */
SHARED uint64_t save_area_bytes(void) {
  const uint64_t cus = gpu.simds / gpu.simds_per_cu / gpu.xccs;
  const uint64_t engines = gpu.arrays / gpu.arrays_per_engine;
  uint64_t waves = cus * 32;
  if (gpu.target < 100100) waves = cus * 40 < engines * 512 ? cus * 40 : engines * 512;
  const uint64_t debugger = (waves * 32 + 63) / 64 * 64;
  return ((gpu.save_area + debugger) * gpu.xccs + PAGE - 1) / PAGE * PAGE;
}

SHARED struct queue create_queue(uint32_t type) {
  struct queue queue;
  memset(&queue, 0, sizeof queue);
  queue.ring = system_memory(RING);
  queue.read = system_memory(PAGE);
  queue.write = system_memory(PAGE);
  struct kfd_ioctl_create_queue_args args = {
      .ring_base_address = queue.ring.va,
      .write_pointer_address = queue.write.va,
      .read_pointer_address = queue.read.va,
      .ring_size = RING,
      .gpu_id = gpu.id,
      .queue_type = type,
      .queue_percentage = 100,
      .queue_priority = 7,
  };
  if (type == KFD_IOC_QUEUE_TYPE_COMPUTE_AQL)
    for (unsigned slot = 0; slot < RING / 64; ++slot) queue.ring.host[slot * 16] = 1; /* INVALID */
  if (type != KFD_IOC_QUEUE_TYPE_SDMA) {
    queue.eop = allocate(PAGE, KFD_IOC_ALLOC_MEM_FLAGS_VRAM);
    queue.save = system_memory(save_area_bytes());
    args.eop_buffer_address = queue.eop.va;
    args.eop_buffer_size = PAGE;
    args.ctx_save_restore_address = queue.save.va;
    args.ctx_save_restore_size = gpu.save_area;
    args.ctl_stack_size = gpu.control_stack;
    /* A size that is not the node's is refused, and leaves nothing behind. */
    struct kfd_ioctl_create_queue_args wrong = args;
    wrong.ctl_stack_size += PAGE;
    CHECK(ioctl(kfd, AMDKFD_IOC_CREATE_QUEUE, &wrong) == -1 && errno == EINVAL, "wrong size");
  }
  CHECK(ioctl(kfd, AMDKFD_IOC_CREATE_QUEUE, &args) == 0, "queue of type %u", type);
  const uint64_t page = args.doorbell_offset & ~(uint64_t)(DOORBELLS - 1);
  queue.doorbells = mmap(NULL, DOORBELLS, PROT_READ | PROT_WRITE, MAP_SHARED, kfd, (off_t)page);
  CHECK(queue.doorbells != MAP_FAILED, "doorbells");
  queue.doorbell = (volatile uint64_t*)(queue.doorbells + (args.doorbell_offset & (DOORBELLS - 1)));
  queue.id = args.queue_id;
  return queue;
}

SHARED void destroy_queue(struct queue* queue) {
  struct kfd_ioctl_destroy_queue_args args = {.queue_id = queue->id};
  CHECK(ioctl(kfd, AMDKFD_IOC_DESTROY_QUEUE, &args) == 0, "queue %u", queue->id);
  CHECK(munmap(queue->doorbells, DOORBELLS) == 0, "doorbells");
}

SHARED void put(struct queue* queue, const uint32_t* dwords, unsigned count) {
  for (unsigned i = 0; i < count; ++i) queue->ring.host[queue->put++ % (RING / 4)] = dwords[i];
}

/* Write pointer first, then the doorbell: dwords for PM4, bytes for SDMA. */
SHARED void ring(struct queue* queue, uint64_t value) {
  __atomic_store_n((volatile uint64_t*)queue->write.host, value, __ATOMIC_RELEASE);
  __atomic_store_n(queue->doorbell, value, __ATOMIC_RELEASE);
}

/* Until a 64-bit word holds a value. Ten minutes are for a very busy machine. */
SHARED void wait_for(volatile uint32_t* words, uint64_t value, const char* what) {
  const time_t end = time(NULL) + 600;
  while (__atomic_load_n((volatile uint64_t*)words, __ATOMIC_ACQUIRE) != value) {
    CHECK(time(NULL) < end, "%s never came: %llx", what,
          (unsigned long long)*(volatile uint64_t*)words);
    usleep(50);
  }
}

SHARED void wait_event(uint32_t id) {
  struct kfd_event_data event;
  memset(&event, 0, sizeof event);
  event.event_id = id;
  struct kfd_ioctl_wait_events_args args = {
      .events_ptr = (uint64_t)&event, .num_events = 1, .wait_for_all = 1, .timeout = 600000};
  CHECK(ioctl(kfd, AMDKFD_IOC_WAIT_EVENTS, &args) == 0, "event %u", id);
  CHECK(args.wait_result == KFD_IOC_WAIT_RESULT_COMPLETE, "wait result %u", args.wait_result);
}

#define LOW(va) (uint32_t)(va)
#define HIGH(va) (uint32_t)((uint64_t)(va) >> 32)

/* COPY_LINEAR: operation 1, bytes - 1. */
SHARED void sdma_copy(struct queue* queue, uint64_t to, uint64_t from, uint32_t bytes) {
  const uint32_t packet[] = {0x00000001, bytes - 1, 0, LOW(from), HIGH(from), LOW(to), HIGH(to)};
  put(queue, packet, 7);
}

/* FENCE: operation 5; from gfx10 on with uncached memory type and snooping (KFDTest InitPacketNV).
 */
SHARED void sdma_fence(struct queue* queue, uint64_t to, uint32_t value) {
  const uint32_t header = gpu.target < 100000 ? 0x00000005 : 0x00530005;
  const uint32_t packet[] = {header, LOW(to), HIGH(to), value};
  put(queue, packet, 4);
}

/* TRAP: operation 6, the context that the interrupt carries. */
SHARED void sdma_trap(struct queue* queue, uint32_t context) {
  const uint32_t packet[] = {0x00000006, context};
  put(queue, packet, 2);
}

/* The header is written last: it gives the slot to the packet processor. */
SHARED void put_aql(struct queue* queue, const uint32_t packet[16]) {
  volatile uint32_t* slot = queue->ring.host + queue->put % (RING / 64) * 16;
  for (unsigned i = 1; i < 16; ++i) slot[i] = packet[i];
  __atomic_store_n(slot, packet[0], __ATOMIC_RELEASE);
  ++queue->put;
  __atomic_store_n((volatile uint64_t*)queue->write.host, queue->put, __ATOMIC_RELEASE);
  __atomic_store_n(queue->doorbell, queue->put - 1, __ATOMIC_RELEASE);
}

/* amd_signal_t: kind 1 (user), value at 8, event mailbox at 16, event id at 24. */
SHARED void init_signal(volatile uint32_t* signal, uint64_t mailbox, uint32_t event) {
  memset((void*)signal, 0, 64);
  signal[0] = 1;
  signal[2] = 1;
  signal[4] = LOW(mailbox);
  signal[5] = HIGH(mailbox);
  signal[6] = event;
}

/* Opens the first GPU and takes its VM. */
SHARED void open_gpu(void) {
  kfd = open("/dev/kfd", O_RDWR | O_CLOEXEC);
  CHECK(kfd >= 0, "/dev/kfd");
  find_gpu();
  char path[64];
  snprintf(path, sizeof path, "/dev/dri/renderD%llu", gpu.minor);
  render = open(path, O_RDWR | O_CLOEXEC);
  CHECK(render >= 0, "%s", path);
  struct kfd_ioctl_acquire_vm_args vm = {.drm_fd = render, .gpu_id = gpu.id};
  CHECK(ioctl(kfd, AMDKFD_IOC_ACQUIRE_VM, &vm) == 0, "VM");
}

#endif

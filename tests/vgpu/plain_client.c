/* A client of KFD in plain C: libc, the ioctls' structures and dwords written by hand; no
 * line of Kiln.
 * Owns: what such a client needs to see, on any GPU: topology, memory, events, an AQL, a PM4 and an
 *   SDMA queue, and their results. Exit code 0 if all came out right, else a message and 1.
 * Does not own: what answers it: a kernel with such a card, or kiln-vgpu.
 * Threading: one thread.
 *
 * Sources: include/uapi/linux/kfd_ioctl.h; KFDTest's PM4Packet.cpp, SDMAPacket.cpp and their
 * structures (pm4_pkt_struct_ai.h, _nv.h, sdma_pkt_struct.h) for packets; ROCr amd_aql_queue.cpp
 * for the vendor packet; libhsakmt queues.c and the kernel's kfd_queue.c for the sizes of buffers.
 */
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

static void read_node(int node, struct gpu* found) {
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

static void find_gpu(void) {
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
static struct buffer allocate(uint64_t bytes, uint32_t flags) {
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

static struct buffer system_memory(uint64_t bytes) {
  return allocate(bytes, KFD_IOC_ALLOC_MEM_FLAGS_GTT | KFD_IOC_ALLOC_MEM_FLAGS_COHERENT |
                             KFD_IOC_ALLOC_MEM_FLAGS_UNCACHED);
}

static void release_memory(const struct buffer* buffer) {
  uint32_t ids[1] = {gpu.id};
  struct kfd_ioctl_unmap_memory_from_gpu_args unmap = {
      .handle = buffer->handle, .device_ids_array_ptr = (uint64_t)ids, .n_devices = 1};
  CHECK(ioctl(kfd, AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU, &unmap) == 0, "unmap");
  CHECK(munmap((void*)buffer->va, buffer->bytes) == 0, "munmap");
  struct kfd_ioctl_free_memory_of_gpu_args args = {.handle = buffer->handle};
  CHECK(ioctl(kfd, AMDKFD_IOC_FREE_MEMORY_OF_GPU, &args) == 0, "free");
}

/* The save area's mapping: save area and debugger's part of each XCC (kfd_queue.c). */
static uint64_t save_area_bytes(void) {
  const uint64_t cus = gpu.simds / gpu.simds_per_cu / gpu.xccs;
  const uint64_t engines = gpu.arrays / gpu.arrays_per_engine;
  uint64_t waves = cus * 32;
  if (gpu.target < 100100) waves = cus * 40 < engines * 512 ? cus * 40 : engines * 512;
  const uint64_t debugger = (waves * 32 + 63) / 64 * 64;
  return ((gpu.save_area + debugger) * gpu.xccs + PAGE - 1) / PAGE * PAGE;
}

static struct queue create_queue(uint32_t type) {
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

static void destroy_queue(struct queue* queue) {
  struct kfd_ioctl_destroy_queue_args args = {.queue_id = queue->id};
  CHECK(ioctl(kfd, AMDKFD_IOC_DESTROY_QUEUE, &args) == 0, "queue %u", queue->id);
  CHECK(munmap(queue->doorbells, DOORBELLS) == 0, "doorbells");
}

static void put(struct queue* queue, const uint32_t* dwords, unsigned count) {
  for (unsigned i = 0; i < count; ++i) queue->ring.host[queue->put++ % (RING / 4)] = dwords[i];
}

/* Write pointer first, then the doorbell: dwords for PM4, bytes for SDMA. */
static void ring(struct queue* queue, uint64_t value) {
  __atomic_store_n((volatile uint64_t*)queue->write.host, value, __ATOMIC_RELEASE);
  __atomic_store_n(queue->doorbell, value, __ATOMIC_RELEASE);
}

/* Until a 64-bit word holds a value. Ten minutes are for a very busy machine. */
static void wait_for(volatile uint32_t* words, uint64_t value, const char* what) {
  const time_t end = time(NULL) + 600;
  while (__atomic_load_n((volatile uint64_t*)words, __ATOMIC_ACQUIRE) != value) {
    CHECK(time(NULL) < end, "%s never came: %llx", what,
          (unsigned long long)*(volatile uint64_t*)words);
    usleep(50);
  }
}

static void wait_event(uint32_t id) {
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
static void sdma_copy(struct queue* queue, uint64_t to, uint64_t from, uint32_t bytes) {
  const uint32_t packet[] = {0x00000001, bytes - 1, 0, LOW(from), HIGH(from), LOW(to), HIGH(to)};
  put(queue, packet, 7);
}

/* FENCE: operation 5; from gfx10 on with uncached memory type and snooping (KFDTest InitPacketNV).
 */
static void sdma_fence(struct queue* queue, uint64_t to, uint32_t value) {
  const uint32_t header = gpu.target < 100000 ? 0x00000005 : 0x00530005;
  const uint32_t packet[] = {header, LOW(to), HIGH(to), value};
  put(queue, packet, 4);
}

/* TRAP: operation 6, the context that the interrupt carries. */
static void sdma_trap(struct queue* queue, uint32_t context) {
  const uint32_t packet[] = {0x00000006, context};
  put(queue, packet, 2);
}

static void test_sdma(uint32_t event, uint64_t slot) {
  struct queue queue = create_queue(KFD_IOC_QUEUE_TYPE_SDMA);
  struct buffer from = system_memory(DATA), to = system_memory(DATA);
  struct buffer vram = allocate(DATA, KFD_IOC_ALLOC_MEM_FLAGS_VRAM);
  struct buffer fence = system_memory(PAGE);
  for (unsigned i = 0; i < DATA / 4; ++i) from.host[i] = i * 2654435761u;
  sdma_copy(&queue, vram.va, from.va, DATA);
  sdma_copy(&queue, to.va, vram.va, DATA);
  sdma_fence(&queue, fence.va, 0x5d4a0001);
  sdma_fence(&queue, slot, event); /* the event page's slot must not hold ~0 */
  sdma_trap(&queue, event);
  ring(&queue, queue.put * 4);
  wait_event(event);
  CHECK(fence.host[0] == 0x5d4a0001, "fence %x", fence.host[0]);
  for (unsigned i = 0; i < DATA / 4; ++i)
    CHECK(to.host[i] == i * 2654435761u, "dword %u: %x", i, to.host[i]);
  wait_for(queue.read.host, queue.put * 4, "SDMA read pointer");
  destroy_queue(&queue);
}

/* WRITE_DATA (0x37) of one dword: to memory, confirmed, as KFDTest writes it. */
static void write_data(uint32_t packet[5], uint64_t to, uint32_t value) {
  packet[0] = 0xc0033702;
  packet[1] = 5u << 8 | 1u << 20;
  packet[2] = LOW(to);
  packet[3] = HIGH(to);
  packet[4] = value;
}

/* RELEASE_MEM (0x49): CACHE_FLUSH_AND_INV_TS at the end of the pipe, L2 written back and emptied
 * (gfx9: TC_WB, TC; gfx10: GCR_CNTL), 64 bits of data, interrupt after the write with `context`, or
 * none where that is 0. */
static void release_mem(uint32_t packet[8], uint64_t to, uint64_t value, uint32_t context) {
  const uint32_t gcr = 1u << 10 | 1u << 9 | 1u << 8 | 1u << 3 | 1u << 2;
  const uint32_t caches = gpu.target < 100000 ? 1u << 15 | 1u << 17 : gcr << 12;
  packet[0] = 0xc0064902;
  packet[1] = 0x14 | 5u << 8 | caches;
  packet[2] = (context != 0 ? 2u : 3u) << 24 | 2u << 29;
  packet[3] = LOW(to);
  packet[4] = HIGH(to);
  packet[5] = LOW(value);
  packet[6] = HIGH(value);
  packet[7] = context;
}

/* ATOMIC_MEM (0x1e): TC_OP_ATOMIC_ADD_64 (0x6f), once. */
static void atomic_add(uint32_t packet[9], uint64_t to, uint64_t value) {
  const uint32_t words[9] = {0xc0071e00, 0x6f, LOW(to), HIGH(to), LOW(value), HIGH(value), 0, 0, 0};
  memcpy(packet, words, sizeof words);
}

static void test_pm4(uint32_t event, uint64_t slot) {
  struct queue queue = create_queue(KFD_IOC_QUEUE_TYPE_COMPUTE);
  struct buffer result = system_memory(PAGE);
  uint32_t packet[9];
  const uint64_t fence = 0x123456789abcdef0;
  write_data(packet, result.va, 0xcafe0001);
  put(&queue, packet, 5);
  atomic_add(packet, result.va + 16, 1);
  put(&queue, packet, 9);
  release_mem(packet, result.va + 8, fence, 0);
  put(&queue, packet, 8);
  release_mem(packet, slot, event, event);
  put(&queue, packet, 8);
  ring(&queue, queue.put);
  wait_event(event);
  wait_for(result.host + 2, fence, "PM4 fence");
  CHECK(result.host[0] == 0xcafe0001, "WRITE_DATA: %x", result.host[0]);
  CHECK(result.host[4] == 1, "%u XCCs ran a PM4 queue", result.host[4]);
  wait_for(queue.read.host, queue.put, "PM4 read pointer");
  destroy_queue(&queue);
}

/* The header is written last: it gives the slot to the packet processor. */
static void put_aql(struct queue* queue, const uint32_t packet[16]) {
  volatile uint32_t* slot = queue->ring.host + queue->put % (RING / 64) * 16;
  for (unsigned i = 1; i < 16; ++i) slot[i] = packet[i];
  __atomic_store_n(slot, packet[0], __ATOMIC_RELEASE);
  ++queue->put;
  __atomic_store_n((volatile uint64_t*)queue->write.host, queue->put, __ATOMIC_RELEASE);
  __atomic_store_n(queue->doorbell, queue->put - 1, __ATOMIC_RELEASE);
}

/* amd_signal_t: kind 1 (user), value at 8, event mailbox at 16, event id at 24. */
static void init_signal(volatile uint32_t* signal, uint64_t mailbox, uint32_t event) {
  memset((void*)signal, 0, 64);
  signal[0] = 1;
  signal[2] = 1;
  signal[4] = LOW(mailbox);
  signal[5] = HIGH(mailbox);
  signal[6] = event;
}

static void test_aql(uint32_t event, uint64_t slot) {
  struct queue queue = create_queue(KFD_IOC_QUEUE_TYPE_COMPUTE_AQL);
  struct buffer result = system_memory(PAGE), commands = system_memory(PAGE);
  const unsigned signal_a = 64, signal_b = 128; /* dwords into the result */
  init_signal(result.host + signal_a, 0, 0);
  init_signal(result.host + signal_b, slot, event);

  uint32_t packet[16] = {0};
  packet[0] = 0x1503; /* barrier-AND, barrier bit, system fences */
  packet[14] = LOW(result.va + signal_a * 4);
  packet[15] = HIGH(result.va + signal_a * 4);
  put_aql(&queue, packet);
  wait_for(result.host + signal_a + 2, 0, "barrier packet's signal");

  uint32_t stream[14];
  write_data(stream, result.va, 0xcafe0002);
  atomic_add(stream + 5, result.va + 16, 1);
  for (unsigned i = 0; i < 14; ++i) commands.host[i] = stream[i];
  memset(packet, 0, sizeof packet);
  packet[0] = 0x00011500; /* vendor packet, format 1: carries PM4 */
  packet[1] = 0xc0023f00; /* INDIRECT_BUFFER */
  packet[2] = LOW(commands.va);
  packet[3] = HIGH(commands.va);
  packet[4] = 14u | 1u << 23; /* dwords, valid */
  packet[5] = 10;             /* dwords that follow */
  packet[14] = LOW(result.va + signal_b * 4);
  packet[15] = HIGH(result.va + signal_b * 4);
  put_aql(&queue, packet);
  wait_event(event);
  CHECK(result.host[signal_b + 2] == 0, "signal %u", result.host[signal_b + 2]);
  CHECK(result.host[0] == 0xcafe0002, "WRITE_DATA: %x", result.host[0]);
  CHECK(result.host[4] == gpu.xccs, "%u of %llu XCCs ran the buffer", result.host[4], gpu.xccs);
  wait_for(queue.read.host, queue.put, "AQL read index");
  destroy_queue(&queue);
}

int main(int argc, char** argv) {
  kfd = open("/dev/kfd", O_RDWR | O_CLOEXEC);
  CHECK(kfd >= 0, "/dev/kfd");
  struct kfd_ioctl_get_version_args version;
  CHECK(ioctl(kfd, AMDKFD_IOC_GET_VERSION, &version) == 0, "version");
  CHECK(version.major_version == 1 && version.minor_version >= 13, "KFD %u.%u",
        version.major_version, version.minor_version);
  CHECK(ioctl(kfd, _IO(AMDKFD_IOCTL_BASE, 0x7e), NULL) == -1 && errno == ENOTTY, "unknown ioctl");

  find_gpu();
  CHECK(argc < 2 || gpu.target == strtoull(argv[1], NULL, 10), "target %llu", gpu.target);
  char path[64];
  struct stat status;
  snprintf(path, sizeof path, "/dev/dri/renderD%llu", gpu.minor);
  render = open(path, O_RDWR | O_CLOEXEC);
  CHECK(render >= 0, "%s", path);
  CHECK(fstat(render, &status) == 0 && S_ISCHR(status.st_mode), "%s", path);
  CHECK(major(status.st_rdev) == 226 && minor(status.st_rdev) == gpu.minor, "%s", path);

  struct kfd_ioctl_acquire_vm_args vm = {.drm_fd = render, .gpu_id = gpu.id};
  CHECK(ioctl(kfd, AMDKFD_IOC_ACQUIRE_VM, &vm) == 0, "VM");
  struct kfd_ioctl_runtime_enable_args runtime = {.mode_mask = KFD_RUNTIME_ENABLE_MODE_ENABLE_MASK};
  CHECK(ioctl(kfd, AMDKFD_IOC_RUNTIME_ENABLE, &runtime) == 0, "runtime");
  CHECK(gpu.save_area != 0 && gpu.control_stack != 0, "sizes of the save area");

  struct buffer page = system_memory(8 * KFD_SIGNAL_EVENT_LIMIT);
  struct kfd_ioctl_create_event_args event = {
      .event_page_offset = page.handle, .event_type = KFD_IOC_EVENT_SIGNAL, .auto_reset = 1};
  CHECK(ioctl(kfd, AMDKFD_IOC_CREATE_EVENT, &event) == 0, "event");
  const uint64_t slot = page.va + 8 * event.event_slot_index;

  test_sdma(event.event_id, slot);
  test_pm4(event.event_id, slot);
  test_aql(event.event_id, slot);

  struct kfd_ioctl_destroy_event_args gone = {.event_id = event.event_id};
  CHECK(ioctl(kfd, AMDKFD_IOC_DESTROY_EVENT, &gone) == 0, "event");
  /* The event page stays in the kernel's hands for as long as the process lives. */
  for (unsigned i = made_count; i-- > 1;) release_memory(&made[i]);
  CHECK(close(render) == 0 && close(kfd) == 0, "close");
  printf("ok: gfx target %llu, KFD %u.%u\n", gpu.target, version.major_version,
         version.minor_version);
  return 0;
}

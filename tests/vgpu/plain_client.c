/* A client of KFD in plain C: libc, the ioctls' structures and dwords written by hand; no
 * line of Kiln.
 * Owns: what such a client needs to see, on any GPU: topology, memory, events, an AQL, a PM4 and an
 *   SDMA queue, and their results. Exit code 0 if all came out right, else a message and 1.
 * Does not own: what answers it: a kernel with such a card, or kiln-vgpu.
 * Threading: one thread.
 * Sources: see plain_gpu.h.
 */
#include "plain_gpu.h"

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
  open_gpu();
  struct kfd_ioctl_get_version_args version;
  CHECK(ioctl(kfd, AMDKFD_IOC_GET_VERSION, &version) == 0, "version");
  CHECK(version.major_version == 1 && version.minor_version >= 13, "KFD %u.%u",
        version.major_version, version.minor_version);
  CHECK(ioctl(kfd, _IO(AMDKFD_IOCTL_BASE, 0x7e), NULL) == -1 && errno == ENOTTY, "unknown ioctl");

  CHECK(argc < 2 || gpu.target == strtoull(argv[1], NULL, 10), "target %llu", gpu.target);
  struct stat status;
  CHECK(fstat(render, &status) == 0 && S_ISCHR(status.st_mode), "render node");
  CHECK(major(status.st_rdev) == 226 && minor(status.st_rdev) == gpu.minor, "render node");

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

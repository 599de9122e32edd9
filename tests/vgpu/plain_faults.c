/* What a GPU may not do with memory, in plain C: no line of Kiln.
 * Owns: one process for each forbidden access, and what KFD says of it: a memory exception with the
 *   page and the reason. plain-faults TARGET: exit code 0 if all came out right, else a message.
 * Does not own: the helpers (plain_gpu.h), what answers.
 * Threading: one thread in each process.
 *
 * Sources: see plain_gpu.h; kfd_events.c kfd_signal_vm_fault_event and the structure of the
 * exception in include/uapi/linux/kfd_ioctl.h.
 */
#include <signal.h>
#include <sys/wait.h>

#include "plain_gpu.h"

#define KFD_IOC_EVENT_MEMORY 8
#define KFD_IOC_ALLOC_MEM_FLAGS_USERPTR (1u << 2)
#define ABSENT 0x7d0000000000ull

struct exception {
  uint32_t not_present, read_only, no_execute, imprecise;
  uint64_t va;
  uint32_t gpu_id, error_type;
};

static const uint32_t s_endpgm[2] = {0xbf810000, 0xbfb00000}; /* gfx9; gfx11 */

/* Memory with just these flags, at `at` or wherever; nothing of it is for the host. */
static struct buffer exactly(void* at, uint64_t bytes, uint32_t flags) {
  if (at == NULL) at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(at != MAP_FAILED, "address range");
  struct kfd_ioctl_alloc_memory_of_gpu_args args = {
      .va_addr = (uint64_t)at, .size = bytes, .gpu_id = gpu.id, .flags = flags};
  if ((flags & KFD_IOC_ALLOC_MEM_FLAGS_USERPTR) != 0) args.mmap_offset = (uint64_t)at;
  CHECK(ioctl(kfd, AMDKFD_IOC_ALLOC_MEMORY_OF_GPU, &args) == 0, "flags %x", flags);
  uint32_t ids[1] = {gpu.id};
  struct kfd_ioctl_map_memory_to_gpu_args map = {
      .handle = args.handle, .device_ids_array_ptr = (uint64_t)ids, .n_devices = 1};
  CHECK(ioctl(kfd, AMDKFD_IOC_MAP_MEMORY_TO_GPU, &map) == 0, "map");
  if ((flags & KFD_IOC_ALLOC_MEM_FLAGS_USERPTR) == 0) {
    void* host = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, render,
                      (off_t)args.mmap_offset);
    CHECK(host == at, "mmap of a buffer");
  }
  return (struct buffer){.host = at, .va = (uint64_t)at, .bytes = bytes, .handle = args.handle};
}

static uint32_t event;

static void start(void) {
  open_gpu();
  struct buffer page = system_memory(8 * KFD_SIGNAL_EVENT_LIMIT);
  struct kfd_ioctl_create_event_args args = {.event_page_offset = page.handle,
                                             .event_type = KFD_IOC_EVENT_MEMORY};
  CHECK(ioctl(kfd, AMDKFD_IOC_CREATE_EVENT, &args) == 0, "event");
  event = args.event_id;
}

static void expect(uint64_t va, const struct exception* wanted) {
  struct kfd_event_data data;
  memset(&data, 0, sizeof data);
  data.event_id = event;
  struct kfd_ioctl_wait_events_args args = {
      .events_ptr = (uint64_t)&data, .num_events = 1, .wait_for_all = 1, .timeout = 600000};
  CHECK(ioctl(kfd, AMDKFD_IOC_WAIT_EVENTS, &args) == 0, "event");
  struct exception got;
  memcpy(&got, data.exception_or_age, sizeof got);
  CHECK(got.gpu_id == gpu.id && got.va == va, "GPU %x, page %llx, not %llx", got.gpu_id,
        (unsigned long long)got.va, (unsigned long long)va);
  CHECK(got.not_present == wanted->not_present && got.read_only == wanted->read_only &&
            got.no_execute == wanted->no_execute,
        "not present %u, read-only %u, no execute %u", got.not_present, got.read_only,
        got.no_execute);
}

static void copy(uint64_t to, uint64_t from) {
  struct queue queue = create_queue(KFD_IOC_QUEUE_TYPE_SDMA);
  sdma_copy(&queue, to, from, PAGE);
  ring(&queue, queue.put * 4);
}

static void run(uint64_t descriptor) {
  struct queue queue = create_queue(KFD_IOC_QUEUE_TYPE_COMPUTE_AQL);
  uint32_t packet[16] = {0};
  packet[0] = 0x1502 | 1u << 16; /* dispatch, barrier bit, system fences; one dimension */
  packet[1] = 64 | 1u << 16;
  packet[2] = 1;
  packet[3] = 64;
  packet[4] = packet[5] = 1;
  packet[8] = LOW(descriptor);
  packet[9] = HIGH(descriptor);
  put_aql(&queue, packet);
}

static const struct exception absent = {.not_present = 1}, read_only = {.read_only = 1},
                              no_execute = {.no_execute = 1};

static void load_from_nowhere(void) {
  copy(system_memory(PAGE).va, ABSENT);
  expect(ABSENT, &absent);
}

static void store_to_read_only(void) {
  const struct buffer target = exactly(NULL, PAGE, KFD_IOC_ALLOC_MEM_FLAGS_GTT);
  copy(target.va, system_memory(PAGE).va);
  expect(target.va, &read_only);
  CHECK(target.host[0] == 0, "stored all the same");
}

static void run_what_is_data(void) {
  const struct buffer code =
      exactly(NULL, PAGE, KFD_IOC_ALLOC_MEM_FLAGS_GTT | KFD_IOC_ALLOC_MEM_FLAGS_WRITABLE);
  code.host[4] = 256; /* where the code is, from the descriptor on */
  code.host[14] = gpu.target < 100000 ? 0 : 1u << 10;
  code.host[64] = s_endpgm[gpu.target >= 110000];
  run(code.va);
  expect(code.va, &no_execute);
}

static void load_from_unmapped_user_memory(void) {
  void* at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  exactly(at, 4 * PAGE, KFD_IOC_ALLOC_MEM_FLAGS_USERPTR | KFD_IOC_ALLOC_MEM_FLAGS_WRITABLE);
  const struct buffer to = system_memory(PAGE);
  struct queue queue = create_queue(KFD_IOC_QUEUE_TYPE_SDMA); /* before others take the address */
  CHECK(munmap(at, PAGE) == 0, "munmap");
  sdma_copy(&queue, to.va, (uint64_t)at, PAGE);
  ring(&queue, queue.put * 4);
  expect((uint64_t)at, &absent);
}

static void load_after_unmap(void) {
  struct buffer from = system_memory(PAGE), to = system_memory(PAGE);
  uint32_t ids[1] = {gpu.id};
  struct kfd_ioctl_unmap_memory_from_gpu_args args = {
      .handle = from.handle, .device_ids_array_ptr = (uint64_t)ids, .n_devices = 1};
  CHECK(ioctl(kfd, AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU, &args) == 0, "unmap");
  copy(to.va, from.va);
  expect(from.va, &absent);
}

/* A GPU that a fork inherits is nobody's; the child opens its own (kfd_ioctl, -EBADF). */
static void use_it_in_a_child(void) {
  const pid_t child = fork();
  if (child == 0) {
    struct kfd_ioctl_get_version_args version;
    CHECK(ioctl(kfd, AMDKFD_IOC_GET_VERSION, &version) == -1 && errno == EBADF, "inherited");
    kfd = open("/dev/kfd", O_RDWR | O_CLOEXEC);
    CHECK(kfd >= 0 && ioctl(kfd, AMDKFD_IOC_GET_VERSION, &version) == 0, "its own");
    exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0, "child: %x", status);
  /* And the parent's goes on. */
  struct buffer from = system_memory(PAGE), to = system_memory(PAGE);
  from.host[7] = 77;
  copy(to.va, from.va);
  while (__atomic_load_n(&to.host[7], __ATOMIC_ACQUIRE) != 77) usleep(50);
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*run)(void);
  } cases[] = {{"load from nowhere", load_from_nowhere},
               {"store to read-only memory", store_to_read_only},
               {"run what is data", run_what_is_data},
               {"load from unmapped user memory", load_from_unmapped_user_memory},
               {"load after unmap", load_after_unmap},
               {"use it in a child", use_it_in_a_child}};
  int failed = 0;
  for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    const pid_t child = fork();
    CHECK(child >= 0, "fork");
    if (child == 0) {
      alarm(900);
      start();
      CHECK(argc < 2 || gpu.target == strtoull(argv[1], NULL, 10), "target %llu", gpu.target);
      cases[i].run();
      exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child, "wait");
    printf("%s: %s\n", cases[i].name, status == 0 ? "ok" : "FAILED");
    fflush(stdout);
    failed += status != 0;
  }
  return failed != 0;
}

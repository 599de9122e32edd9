/* A program on AMD's own HSA runtime: agents, pools, a queue, dispatches, signals, copies, errors.
 * Owns: what is asked of the runtime, and checking every byte that comes back.
 * Does not own: the GPU under it; kernels.hip.
 * Threading: one thread; the runtime calls the handlers on its own.
 *
 * client KERNELS            everything that succeeds
 * client KERNELS fault      a kernel that writes where nothing is: the event handler is told
 * client KERNELS bad-packet a packet of a kind that no GPU queue takes: the queue's callback is
 * told
 */
#include <hsa/hsa.h>
#include <hsa/hsa_ext_amd.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call)                                                        \
  do {                                                                     \
    const hsa_status_t status_ = (call);                                   \
    if (status_ != HSA_STATUS_SUCCESS && status_ != HSA_STATUS_INFO_BREAK) \
      die(#call, status_, __LINE__);                                       \
  } while (0)

static void die(const char* what, hsa_status_t status, int line) {
  const char* text = "?";
  hsa_status_string(status, &text);
  fprintf(stderr, "line %d: %s: 0x%x %s\n", line, what, (unsigned)status, text);
  exit(1);
}

static unsigned checks, failures;
static void expect(bool holds, const char* what, uint64_t seen, uint64_t wanted) {
  checks++;
  if (holds) return;
  if (failures++ < 20)
    fprintf(stderr, "%s: 0x%" PRIx64 ", not 0x%" PRIx64 "\n", what, seen, wanted);
}

/* --- what is there ---------------------------------------------------------------------------- */

static hsa_agent_t cpu, gpu;
static hsa_amd_memory_pool_t system_pool, kernarg_pool, video_pool;

static hsa_status_t take_agent(hsa_agent_t agent, void* data) {
  hsa_device_type_t type;
  (void)data;
  CHECK(hsa_agent_get_info(agent, HSA_AGENT_INFO_DEVICE, &type));
  if (type == HSA_DEVICE_TYPE_CPU && cpu.handle == 0) cpu = agent;
  if (type == HSA_DEVICE_TYPE_GPU && gpu.handle == 0) gpu = agent;
  return HSA_STATUS_SUCCESS;
}

static hsa_status_t take_pool(hsa_amd_memory_pool_t pool, void* data) {
  hsa_amd_segment_t segment;
  uint32_t flags = 0;
  CHECK(hsa_amd_memory_pool_get_info(pool, HSA_AMD_MEMORY_POOL_INFO_SEGMENT, &segment));
  if (segment != HSA_AMD_SEGMENT_GLOBAL) return HSA_STATUS_SUCCESS;
  CHECK(hsa_amd_memory_pool_get_info(pool, HSA_AMD_MEMORY_POOL_INFO_GLOBAL_FLAGS, &flags));
  if (data != NULL) {
    if (video_pool.handle == 0 && (flags & HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_COARSE_GRAINED))
      video_pool = pool;
  } else if (flags & HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_KERNARG_INIT) {
    kernarg_pool = pool;
  } else if (flags & HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_FINE_GRAINED) {
    system_pool = pool;
  }
  return HSA_STATUS_SUCCESS;
}

static void* allocate(hsa_amd_memory_pool_t pool, size_t bytes) {
  void* memory = NULL;
  CHECK(hsa_amd_memory_pool_allocate(pool, bytes, 0, &memory));
  if (pool.handle != video_pool.handle) CHECK(hsa_amd_agents_allow_access(1, &gpu, NULL, memory));
  return memory;
}

static hsa_signal_t signal_of(int64_t value) {
  hsa_signal_t signal;
  CHECK(hsa_signal_create(value, 0, NULL, &signal));
  return signal;
}

static void wait_for(hsa_signal_t signal) {
  while (hsa_signal_wait_scacquire(signal, HSA_SIGNAL_CONDITION_LT, 1, UINT64_MAX,
                                   HSA_WAIT_STATE_BLOCKED) >= 1)
    continue;
}

/* --- kernels ---------------------------------------------------------------------------------- */

struct kernel {
  uint64_t object;
  uint32_t group_bytes, private_bytes, kernarg_bytes;
};
static hsa_executable_t executable;

static void load(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    exit(1);
  }
  hsa_code_object_reader_t reader;
  CHECK(hsa_code_object_reader_create_from_file(fileno(file), &reader));
  CHECK(hsa_executable_create_alt(HSA_PROFILE_FULL, HSA_DEFAULT_FLOAT_ROUNDING_MODE_DEFAULT, NULL,
                                  &executable));
  CHECK(hsa_executable_load_agent_code_object(executable, gpu, reader, NULL, NULL));
  CHECK(hsa_executable_freeze(executable, NULL));
  CHECK(hsa_code_object_reader_destroy(reader));
  fclose(file);
}

static struct kernel find(const char* name) {
  struct kernel kernel;
  hsa_executable_symbol_t symbol;
  char text[80];
  snprintf(text, sizeof text, "%s.kd", name);
  CHECK(hsa_executable_get_symbol_by_name(executable, text, &gpu, &symbol));
  CHECK(hsa_executable_symbol_get_info(symbol, HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_OBJECT,
                                       &kernel.object));
  CHECK(hsa_executable_symbol_get_info(symbol, HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_GROUP_SEGMENT_SIZE,
                                       &kernel.group_bytes));
  CHECK(hsa_executable_symbol_get_info(
      symbol, HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_PRIVATE_SEGMENT_SIZE, &kernel.private_bytes));
  CHECK(hsa_executable_symbol_get_info(
      symbol, HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_KERNARG_SEGMENT_SIZE, &kernel.kernarg_bytes));
  return kernel;
}

/* --- packets ---------------------------------------------------------------------------------- */

static hsa_queue_t* queue;
static char* kernarg_blocks;  // 256 bytes for each slot of the queue

static uint64_t reserve(void) {
  const uint64_t index = hsa_queue_add_write_index_relaxed(queue, 1);
  while (index - hsa_queue_load_read_index_scacquire(queue) >= queue->size) continue;
  return index;
}

static void* slot(uint64_t index) {
  return (char*)queue->base_address + index % queue->size * 64;
}

static uint16_t header_of(hsa_packet_type_t type, bool barrier) {
  return (uint16_t)(type << HSA_PACKET_HEADER_TYPE |
                    (barrier ? 1 : 0) << HSA_PACKET_HEADER_BARRIER |
                    HSA_FENCE_SCOPE_SYSTEM << HSA_PACKET_HEADER_SCACQUIRE_FENCE_SCOPE |
                    HSA_FENCE_SCOPE_SYSTEM << HSA_PACKET_HEADER_SCRELEASE_FENCE_SCOPE);
}

/* The header makes the packet valid: it is stored last, together with the half-word beside it. */
static void publish(uint64_t index, uint16_t header, uint16_t setup) {
  atomic_store_explicit((_Atomic uint32_t*)slot(index), header | (uint32_t)setup << 16,
                        memory_order_release);
  hsa_signal_store_screlease(queue->doorbell_signal, (int64_t)index);
}

struct shape {
  uint16_t group[3];
  uint32_t grid[3];
};
static struct shape line(uint32_t threads) {
  const struct shape shape = {{256, 1, 1}, {threads, 1, 1}};
  return shape;
}

static void dispatch(struct kernel kernel, struct shape shape, const void* arguments, size_t bytes,
                     bool barrier, hsa_signal_t done) {
  const uint64_t index = reserve();
  hsa_kernel_dispatch_packet_t* packet = slot(index);
  char* block = kernarg_blocks + index % queue->size * 256;
  memcpy(block, arguments, bytes);
  packet->workgroup_size_x = shape.group[0];
  packet->workgroup_size_y = shape.group[1];
  packet->workgroup_size_z = shape.group[2];
  packet->reserved0 = 0;
  packet->grid_size_x = shape.grid[0];
  packet->grid_size_y = shape.grid[1];
  packet->grid_size_z = shape.grid[2];
  packet->private_segment_size = kernel.private_bytes;
  packet->group_segment_size = kernel.group_bytes;
  packet->kernel_object = kernel.object;
  packet->kernarg_address = block;
  packet->reserved2 = 0;
  packet->completion_signal = done;
  const uint16_t dimensions = shape.grid[2] > 1 ? 3 : shape.grid[1] > 1 ? 2 : 1;
  publish(index, header_of(HSA_PACKET_TYPE_KERNEL_DISPATCH, barrier), dimensions);
}

static void barrier_packet(hsa_packet_type_t type, const hsa_signal_t* on, unsigned count,
                           hsa_signal_t done) {
  const uint64_t index = reserve();
  hsa_barrier_and_packet_t* packet = slot(index);
  packet->reserved0 = 0;
  packet->reserved1 = 0;
  for (unsigned i = 0; i < 5; i++) packet->dep_signal[i].handle = i < count ? on[i].handle : 0;
  packet->reserved2 = 0;
  packet->completion_signal = done;
  publish(index, header_of(type, true), 0);
}

/* --- the parts -------------------------------------------------------------------------------- */

enum { kCount = 10000 };
static const hsa_signal_t no_signal = {0};

struct chain_arguments {
  uint32_t* data;
  uint32_t count, factor, addend;
};

/* Each step has the barrier bit, so they run one after the other, longer than the queue is. */
static void test_chain(struct kernel chain) {
  uint32_t* data = allocate(system_pool, kCount * sizeof *data);
  for (uint32_t i = 0; i < kCount; i++) data[i] = i;
  const uint32_t steps = queue->size + 40;
  hsa_signal_t done = signal_of(1);
  for (uint32_t step = 0; step < steps; step++) {
    const struct chain_arguments arguments = {data, kCount, step | 1, step * 77 + 5};
    dispatch(chain, line(kCount), &arguments, sizeof arguments, true,
             step + 1 == steps ? done : no_signal);
  }
  wait_for(done);
  for (uint32_t i = 0; i < kCount; i++) {
    uint32_t value = i;
    for (uint32_t step = 0; step < steps; step++) value = value * (step | 1) + step * 77 + 5;
    expect(data[i] == value, "chain", data[i], value);
  }
  CHECK(hsa_signal_destroy(done));
  CHECK(hsa_amd_memory_pool_free(data));
}

/* Without the barrier bit, over parts of their own; one signal counts them all down. */
static void test_parallel(struct kernel chain) {
  enum { kParts = 50, kPart = kCount / kParts };
  uint32_t* data = allocate(system_pool, kCount * sizeof *data);
  for (uint32_t i = 0; i < kCount; i++) data[i] = i * 3;
  hsa_signal_t done = signal_of(kParts);
  for (uint32_t part = 0; part < kParts; part++) {
    const struct chain_arguments arguments = {data + part * kPart, kPart, 9, part};
    dispatch(chain, line(kPart), &arguments, sizeof arguments, false, done);
  }
  wait_for(done);
  expect(hsa_signal_load_scacquire(done) == 0, "parallel signal",
         (uint64_t)hsa_signal_load_scacquire(done), 0);
  for (uint32_t i = 0; i < kCount; i++) {
    const uint32_t value = i * 3 * 9 + i / kPart;
    expect(data[i] == value, "parallel", data[i], value);
  }
  CHECK(hsa_signal_destroy(done));
  CHECK(hsa_amd_memory_pool_free(data));
}

/* Up through SDMA, a kernel in video memory, down through SDMA: chained by signals on the GPU. */
static void test_copies(struct kernel rotate) {
  const size_t bytes = kCount * sizeof(uint32_t);
  uint32_t* host = allocate(system_pool, bytes);
  uint32_t* result = allocate(system_pool, bytes);
  uint32_t* from = allocate(video_pool, bytes);
  uint32_t* to = allocate(video_pool, bytes);
  for (uint32_t i = 0; i < kCount; i++) host[i] = i * 2654435761u;
  memset(result, 0xEE, bytes);
  hsa_signal_t up = signal_of(1), ran = signal_of(1), down = signal_of(1);
  CHECK(hsa_amd_memory_async_copy(to, gpu, host, cpu, bytes, 0, NULL, up));
  wait_for(up);
  hsa_signal_store_relaxed(up, 1);
  CHECK(hsa_amd_memory_async_copy(from, gpu, to, gpu, bytes, 0, NULL, up));
  CHECK(hsa_amd_memory_async_copy(result, cpu, to, gpu, bytes, 1, &ran, down));
  barrier_packet(HSA_PACKET_TYPE_BARRIER_AND, &up, 1, no_signal);
  const struct {
    const uint32_t* in;
    uint32_t* out;
    uint32_t count, by;
  } arguments = {from, to, kCount, 13};
  dispatch(rotate, line(kCount), &arguments, sizeof arguments, true, ran);
  wait_for(down);
  for (uint32_t i = 0; i < kCount; i++) {
    const uint32_t first = i / 256 * 256;
    const uint32_t size = kCount - first < 256 ? kCount - first : 256;
    const uint32_t value = (first + (i - first + 13) % size) * 2654435761u;
    expect(result[i] == value, "copies", result[i], value);
  }
  CHECK(hsa_amd_memory_fill(to, 0xC0FFEE11, kCount));
  hsa_signal_store_relaxed(down, 1);
  CHECK(hsa_amd_memory_async_copy(result, cpu, to, gpu, bytes, 0, NULL, down));
  wait_for(down);
  for (uint32_t i = 0; i < kCount; i++)
    expect(result[i] == 0xC0FFEE11, "fill", result[i], 0xC0FFEE11);
  CHECK(hsa_signal_destroy(up));
  CHECK(hsa_signal_destroy(ran));
  CHECK(hsa_signal_destroy(down));
  CHECK(hsa_amd_memory_pool_free(host));
  CHECK(hsa_amd_memory_pool_free(result));
  CHECK(hsa_amd_memory_pool_free(from));
  CHECK(hsa_amd_memory_pool_free(to));
}

/* Nothing behind a barrier packet runs until the host has said so, five signals for all, one for
 * any. */
static void test_barriers(struct kernel chain) {
  uint32_t* data = allocate(system_pool, sizeof *data * 2);
  data[0] = data[1] = 1;
  hsa_signal_t gates[5], started = signal_of(1), passed = signal_of(1), done = signal_of(1);
  for (int i = 0; i < 5; i++) gates[i] = signal_of(1);
  const struct chain_arguments first = {data, 1, 10, 3}, second = {data + 1, 1, 100, 7};
  dispatch(chain, line(1), &first, sizeof first, true, started);
  barrier_packet(HSA_PACKET_TYPE_BARRIER_AND, gates, 5, passed);
  dispatch(chain, line(1), &second, sizeof second, true, done);
  wait_for(started);
  expect(data[0] == 13, "before the barrier", data[0], 13);
  for (int i = 0; i < 5; i++) {
    expect(hsa_signal_load_scacquire(passed) == 1, "barrier-AND holds", 0, 1);
    expect(__atomic_load_n(&data[1], __ATOMIC_ACQUIRE) == 1, "behind barrier-AND", data[1], 1);
    hsa_signal_subtract_screlease(gates[i], 1);
  }
  wait_for(done);
  expect(data[1] == 107, "after barrier-AND", data[1], 107);

  for (int i = 0; i < 5; i++) hsa_signal_store_relaxed(gates[i], 1);
  hsa_signal_store_relaxed(done, 1);
  barrier_packet(HSA_PACKET_TYPE_BARRIER_OR, gates, 5, no_signal);
  dispatch(chain, line(1), &second, sizeof second, true, done);
  expect(hsa_signal_load_scacquire(done) == 1, "barrier-OR holds", 0, 1);
  hsa_signal_store_screlease(gates[3], 0);
  wait_for(done);
  expect(data[1] == 10707, "after barrier-OR", data[1], 10707);
  for (int i = 0; i < 5; i++) CHECK(hsa_signal_destroy(gates[i]));
  CHECK(hsa_signal_destroy(started));
  CHECK(hsa_signal_destroy(passed));
  CHECK(hsa_signal_destroy(done));
  CHECK(hsa_amd_memory_pool_free(data));
}

/* The first of these makes the runtime find scratch memory while the packet waits. */
static void test_scratch(struct kernel walk) {
  uint32_t* in = allocate(system_pool, kCount * sizeof *in);
  uint32_t* out = allocate(system_pool, kCount * sizeof *out);
  for (uint32_t i = 0; i < kCount; i++) in[i] = i * 0x9E3779B9u;
  const struct {
    const uint32_t* in;
    uint32_t* out;
    uint32_t count;
  } arguments = {in, out, kCount};
  expect(walk.private_bytes >= 256, "private bytes", walk.private_bytes, 256);
  for (int round = 0; round < 3; round++) {
    memset(out, 0, kCount * sizeof *out);
    hsa_signal_t done = signal_of(1);
    dispatch(walk, line(kCount), &arguments, sizeof arguments, true, done);
    wait_for(done);
    CHECK(hsa_signal_destroy(done));
    for (uint32_t i = 0; i < kCount; i++) {
      uint32_t slots[64], value = in[i];
      for (uint32_t s = 0; s < 64; s++) slots[s] = value + s * 0x01000193u;
      for (uint32_t s = 0; s < 256; s++) {
        const uint32_t at = value % 64;
        value = value * 1664525u + slots[at];
        slots[at] = value ^ s;
      }
      expect(out[i] == value, "scratch", out[i], value);
    }
  }
  CHECK(hsa_amd_memory_pool_free(in));
  CHECK(hsa_amd_memory_pool_free(out));
}

static void test_grid(struct kernel where) {
  enum { kWidth = 37, kHeight = 11, kDepth = 5 };
  uint32_t* out = allocate(system_pool, kWidth * kHeight * kDepth * sizeof *out);
  memset(out, 0xFF, kWidth * kHeight * kDepth * sizeof *out);
  const struct {
    uint32_t *out, width, height, depth;
  } arguments = {out, kWidth, kHeight, kDepth};
  const struct shape shape = {{16, 4, 2}, {kWidth, kHeight, kDepth}};
  hsa_signal_t done = signal_of(1);
  dispatch(where, shape, &arguments, sizeof arguments, true, done);
  wait_for(done);
  for (uint32_t z = 0; z < kDepth; z++)
    for (uint32_t y = 0; y < kHeight; y++)
      for (uint32_t x = 0; x < kWidth; x++) {
        const uint32_t seen = out[(z * kHeight + y) * kWidth + x];
        expect(seen == (x | y << 10 | z << 20), "grid", seen, x | y << 10 | z << 20);
      }
  CHECK(hsa_signal_destroy(done));
  CHECK(hsa_amd_memory_pool_free(out));
}

/* Two queues on one counter in video memory. */
static void test_atomics(struct kernel count_up) {
  enum { kThreads = 2048, kTimes = 5 };
  uint32_t* counter = allocate(video_pool, sizeof *counter);
  uint32_t* seen = allocate(system_pool, sizeof *seen);
  CHECK(hsa_amd_memory_fill(counter, 0, 1));
  const struct {
    uint32_t *counter, times;
  } arguments = {counter, kTimes};
  hsa_queue_t* const first = queue;
  hsa_queue_t* second;
  CHECK(
      hsa_queue_create(gpu, 64, HSA_QUEUE_TYPE_MULTI, NULL, NULL, UINT32_MAX, UINT32_MAX, &second));
  hsa_signal_t done = signal_of(2);
  dispatch(count_up, line(kThreads), &arguments, sizeof arguments, true, done);
  char* const blocks = kernarg_blocks;
  queue = second;
  kernarg_blocks = allocate(kernarg_pool, 64 * 256);
  dispatch(count_up, line(kThreads), &arguments, sizeof arguments, true, done);
  wait_for(done);
  hsa_signal_store_relaxed(done, 1);
  CHECK(hsa_amd_memory_async_copy(seen, cpu, counter, gpu, sizeof *seen, 0, NULL, done));
  wait_for(done);
  expect(*seen == 2u * kThreads * kTimes, "atomics", *seen, 2u * kThreads * kTimes);
  CHECK(hsa_queue_destroy(second));
  CHECK(hsa_amd_memory_pool_free(kernarg_blocks));
  queue = first;
  kernarg_blocks = blocks;
  CHECK(hsa_signal_destroy(done));
  CHECK(hsa_amd_memory_pool_free(counter));
  CHECK(hsa_amd_memory_pool_free(seen));
}

/* --- errors ----------------------------------------------------------------------------------- */

static hsa_signal_t told;
static _Atomic uint64_t told_address;
static _Atomic uint32_t told_status;

static hsa_status_t on_event(const hsa_amd_event_t* event, void* data) {
  (void)data;
  if (event->event_type != HSA_AMD_GPU_MEMORY_FAULT_EVENT) return HSA_STATUS_ERROR;
  told_address = event->memory_fault.virtual_address;
  hsa_signal_store_screlease(told, 0);
  return HSA_STATUS_SUCCESS;
}

static void on_queue_error(hsa_status_t status, hsa_queue_t* source, void* data) {
  (void)data;
  if (source == queue) told_status = status;
  hsa_signal_store_screlease(told, 0);
}

static void test_fault(struct kernel chain) {
  const uint64_t nowhere = 0x123456789000;
  const struct chain_arguments arguments = {(uint32_t*)nowhere, 1, 1, 1};
  dispatch(chain, line(1), &arguments, sizeof arguments, true, no_signal);
  wait_for(told);
  expect(told_address == nowhere, "fault address", told_address, nowhere);
}

static void test_bad_packet(void) {
  const uint64_t index = reserve();
  memset((char*)slot(index) + 4, 0, 60);
  publish(index, header_of(HSA_PACKET_TYPE_AGENT_DISPATCH, true), 0);
  wait_for(told);
  expect(told_status == HSA_STATUS_ERROR_INVALID_PACKET_FORMAT, "queue error", told_status,
         HSA_STATUS_ERROR_INVALID_PACKET_FORMAT);
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: client KERNELS [fault|bad-packet]\n");
    return 2;
  }
  const char* mode = argc > 2 ? argv[2] : "";
  CHECK(hsa_init());
  CHECK(hsa_iterate_agents(take_agent, NULL));
  if (gpu.handle == 0) {
    fprintf(stderr, "no GPU\n");
    return 1;
  }
  CHECK(hsa_amd_agent_iterate_memory_pools(cpu, take_pool, NULL));
  CHECK(hsa_amd_agent_iterate_memory_pools(gpu, take_pool, &gpu));
  char name[64] = "";
  uint32_t size = 0;
  CHECK(hsa_agent_get_info(gpu, HSA_AGENT_INFO_NAME, name));
  CHECK(hsa_agent_get_info(gpu, HSA_AGENT_INFO_QUEUE_MAX_SIZE, &size));
  expect(size >= 4096, "largest queue", size, 4096);
  told = signal_of(1);
  CHECK(hsa_amd_register_system_event_handler(on_event, NULL));
  CHECK(hsa_queue_create(gpu, 256, HSA_QUEUE_TYPE_MULTI, on_queue_error, NULL, UINT32_MAX,
                         UINT32_MAX, &queue));
  kernarg_blocks = allocate(kernarg_pool, (size_t)queue->size * 256);
  load(argv[1]);

  if (strcmp(mode, "fault") == 0) {
    test_fault(find("chain_step"));
  } else if (strcmp(mode, "bad-packet") == 0) {
    test_bad_packet();
  } else {
    test_chain(find("chain_step"));
    test_parallel(find("chain_step"));
    test_grid(find("where_am_i"));
    test_barriers(find("chain_step"));
    test_copies(find("rotate_blocks"));
    test_scratch(find("private_walk"));
    test_atomics(find("count_up"));
  }

  CHECK(hsa_queue_destroy(queue));
  CHECK(hsa_amd_memory_pool_free(kernarg_blocks));
  CHECK(hsa_signal_destroy(told));
  CHECK(hsa_executable_destroy(executable));
  CHECK(hsa_shut_down());
  printf("%s: %s %u checks, %u failures\n", name, failures == 0 ? "PASS" : "FAIL", checks,
         failures);
  return failures != 0;
}

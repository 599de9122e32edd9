/* Owns: a dispatch packet written by hand on an HSA queue, and its doorbell: the floor.
 * Does not own: timing (clock.h), the table (peers.py).
 * Threading: one thread.
 *
 * hsa_peer CODE_OBJECT: vector_add of tests/kernels, code object version 4 or older. */
#include <hsa/hsa.h>
#include <hsa/hsa_ext_amd.h>
#include <stdatomic.h>

#include "clock.h"

#define CHECK(call)                                                          \
  do {                                                                       \
    const hsa_status_t status_ = (call);                                     \
    if (status_ != HSA_STATUS_SUCCESS && status_ != HSA_STATUS_INFO_BREAK) { \
      fprintf(stderr, "%s: 0x%x\n", #call, (unsigned)status_);               \
      exit(1);                                                               \
    }                                                                        \
  } while (0)

static hsa_agent_t gpu, cpu;
static hsa_amd_memory_pool_t pool;

static hsa_status_t take_agent(hsa_agent_t agent, void* data) {
  hsa_device_type_t type;
  (void)data;
  CHECK(hsa_agent_get_info(agent, HSA_AGENT_INFO_DEVICE, &type));
  *(type == HSA_DEVICE_TYPE_GPU ? &gpu : &cpu) = agent;
  return HSA_STATUS_SUCCESS;
}
static hsa_status_t take_pool(hsa_amd_memory_pool_t each, void* data) {
  uint32_t flags = 0;
  (void)data;
  CHECK(hsa_amd_memory_pool_get_info(each, HSA_AMD_MEMORY_POOL_INFO_GLOBAL_FLAGS, &flags));
  if (flags & HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_KERNARG_INIT) pool = each;
  return HSA_STATUS_SUCCESS;
}

struct arguments {
  float *a, *b, *c;
  uint32_t count;
};
struct context {
  hsa_queue_t* queue;
  hsa_signal_t done;
  uint64_t object;
  char* kernarg;
  float* data;
};

static void submit(struct context* context, hsa_signal_t done) {
  hsa_queue_t* queue = context->queue;
  const uint64_t index = hsa_queue_add_write_index_relaxed(queue, 1);
  while (index - hsa_queue_load_read_index_scacquire(queue) >= queue->size) continue;
  hsa_kernel_dispatch_packet_t* packet =
      (hsa_kernel_dispatch_packet_t*)queue->base_address + index % queue->size;
  struct arguments* arguments = (struct arguments*)(context->kernarg + index % queue->size * 128);
  arguments->a = context->data;
  arguments->b = context->data + 256;
  arguments->c = context->data + 512;
  arguments->count = 256;
  packet->workgroup_size_x = 256;
  packet->workgroup_size_y = packet->workgroup_size_z = 1;
  packet->grid_size_x = 256;
  packet->grid_size_y = packet->grid_size_z = 1;
  packet->private_segment_size = packet->group_segment_size = 0;
  packet->kernel_object = context->object;
  packet->kernarg_address = arguments;
  packet->completion_signal = done;
  const uint32_t header = HSA_PACKET_TYPE_KERNEL_DISPATCH << HSA_PACKET_HEADER_TYPE |
                          1 << HSA_PACKET_HEADER_BARRIER |
                          HSA_FENCE_SCOPE_SYSTEM << HSA_PACKET_HEADER_SCACQUIRE_FENCE_SCOPE |
                          HSA_FENCE_SCOPE_SYSTEM << HSA_PACKET_HEADER_SCRELEASE_FENCE_SCOPE;
  atomic_store_explicit((_Atomic uint32_t*)packet, header | 1u << 16, memory_order_release);
  hsa_signal_store_screlease(queue->doorbell_signal, (hsa_signal_value_t)index);
}

static void plain(void* context) {
  const hsa_signal_t none = {0};
  submit(context, none);
}
static void settle(void* opaque) {
  struct context* context = opaque;
  hsa_signal_store_relaxed(context->done, 1);
  submit(context, context->done);
  while (hsa_signal_wait_scacquire(context->done, HSA_SIGNAL_CONDITION_LT, 1, UINT64_MAX,
                                   HSA_WAIT_STATE_BLOCKED) >= 1)
    continue;
}

int main(int argc, char** argv) {
  struct context context;
  FILE* file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL) return fprintf(stderr, "usage: hsa_peer CODE_OBJECT\n"), 2;
  CHECK(hsa_init());
  CHECK(hsa_iterate_agents(take_agent, NULL));
  if (gpu.handle == 0) return fprintf(stderr, "no GPU\n"), 1;
  CHECK(hsa_amd_agent_iterate_memory_pools(cpu, take_pool, NULL));
  CHECK(hsa_queue_create(gpu, 1024, HSA_QUEUE_TYPE_SINGLE, NULL, NULL, UINT32_MAX, UINT32_MAX,
                         &context.queue));
  CHECK(hsa_signal_create(1, 0, NULL, &context.done));
  CHECK(hsa_amd_memory_pool_allocate(pool, (size_t)context.queue->size * 128, 0,
                                     (void**)&context.kernarg));
  CHECK(hsa_amd_agents_allow_access(1, &gpu, NULL, context.kernarg));
  CHECK(hsa_amd_memory_pool_allocate(pool, 4096, 0, (void**)&context.data));
  CHECK(hsa_amd_agents_allow_access(1, &gpu, NULL, context.data));
  memset(context.data, 0, 4096);
  memset(context.kernarg, 0, (size_t)context.queue->size * 128);

  hsa_code_object_reader_t reader;
  hsa_executable_t executable;
  hsa_executable_symbol_t symbol;
  CHECK(hsa_code_object_reader_create_from_file(fileno(file), &reader));
  CHECK(hsa_executable_create_alt(HSA_PROFILE_FULL, HSA_DEFAULT_FLOAT_ROUNDING_MODE_DEFAULT, NULL,
                                  &executable));
  CHECK(hsa_executable_load_agent_code_object(executable, gpu, reader, NULL, NULL));
  CHECK(hsa_executable_freeze(executable, NULL));
  CHECK(hsa_executable_get_symbol_by_name(executable, "vector_add.kd", &gpu, &symbol));
  CHECK(hsa_executable_symbol_get_info(symbol, HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_OBJECT,
                                       &context.object));
  peer_time("AQL packet by hand on ROCr", "the doorbell is stored", plain, settle, &context);
  peer_time("AQL packet by hand + wait", "the GPU is done, emulated", settle, settle, &context);
  fclose(file);
  return 0;
}

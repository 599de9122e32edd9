/* Owns: what a Kiln program pays: record and submit, and submitting what is recorded.
 * Does not own: timing (clock.h), the table (peers.py).
 * Threading: one thread.
 *
 * kiln_peer CODE_OBJECT: vector_add of tests/kernels. */
#include <kiln/kiln.h>

#include "clock.h"

#define CHECK(call)                                \
  do {                                             \
    const VkResult result_ = (call);               \
    if (result_ != VK_SUCCESS) {                   \
      fprintf(stderr, "%s: %d\n", #call, result_); \
      exit(1);                                     \
    }                                              \
  } while (0)

struct context {
  KilnDevice device;
  KilnQueue queue;
  KilnKernel kernel;
  KilnCommandBuffer prepared, fresh[kPeerBatch * 2];
  KilnSemaphore timeline;
  uint64_t value;
  unsigned next;
  VkDeviceAddress data;
};

static void submit_one(struct context* context, KilnCommandBuffer commands) {
  const KilnSemaphoreValue signal = {context->timeline, ++context->value};
  const KilnSubmitInfo submit = {.sType = KILN_STRUCTURE_TYPE_SUBMIT_INFO,
                                 .commandBufferCount = 1,
                                 .pCommandBuffers = &commands,
                                 .signalCount = 1,
                                 .pSignals = &signal};
  CHECK(kilnQueueSubmit(context->queue, 1, &submit));
}

static void record(struct context* context, KilnCommandBuffer commands) {
  const struct {
    VkDeviceAddress a, b, c;
    uint32_t count;
  } arguments = {context->data, context->data + 1024, context->data + 2048, 256};
  const KilnDispatchInfo dispatch = {.sType = KILN_STRUCTURE_TYPE_DISPATCH_INFO,
                                     .kernel = context->kernel,
                                     .workgroupCount = {1, 1, 1},
                                     .workgroupSize = {256, 1, 1},
                                     .argumentsSize = 28,
                                     .pArguments = &arguments};
  CHECK(kilnBeginCommandBuffer(commands, NULL));
  CHECK(kilnCmdDispatch(commands, &dispatch));
  CHECK(kilnEndCommandBuffer(commands));
}

static void prepared(void* opaque) {
  struct context* context = opaque;
  submit_one(context, context->prepared);
}
static void record_and_submit(void* opaque) {
  struct context* context = opaque;
  KilnCommandBuffer commands = context->fresh[context->next++ % (kPeerBatch * 2)];
  record(context, commands);
  submit_one(context, commands);
}
static void settle(void* opaque) {
  struct context* context = opaque;
  const KilnSemaphoreWaitInfo wait = {.sType = KILN_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &context->timeline,
                                      .pValues = &context->value};
  CHECK(kilnWaitSemaphores(context->device, &wait, 60000000000ull));
}
static void submit_and_wait(void* opaque) {
  prepared(opaque);
  settle(opaque);
}

int main(int argc, char** argv) {
  FILE* file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL) return fprintf(stderr, "usage: kiln_peer CODE_OBJECT\n"), 2;
  static char code[1 << 20];
  const size_t code_size = fread(code, 1, sizeof code, file);
  fclose(file);

  static struct context context;
  const KilnInstanceCreateInfo instance_info = {.sType = KILN_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
  KilnInstance instance;
  CHECK(kilnCreateInstance(&instance_info, NULL, &instance));
  uint32_t count = 1;
  KilnPhysicalDevice gpu = NULL;
  kilnEnumeratePhysicalDevices(instance, &count, &gpu);
  if (count == 0) return fprintf(stderr, "no GPU\n"), 1;
  const KilnDeviceQueueCreateInfo queue_info = {
      .sType = KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
      .queueFamilyIndex = 0,
      .queueCount = 1};
  const KilnDeviceCreateInfo device_info = {.sType = KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                            .queueCreateInfoCount = 1,
                                            .pQueueCreateInfos = &queue_info};
  CHECK(kilnCreateDevice(gpu, &device_info, NULL, &context.device));
  kilnGetDeviceQueue(context.device, 0, 0, &context.queue);
  const KilnMemoryAllocateInfo memory_info = {
      .sType = KILN_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .size = 4096, .memoryTypeIndex = 2};
  KilnMemory memory;
  CHECK(kilnAllocateMemory(context.device, &memory_info, NULL, &memory));
  context.data = kilnGetMemoryDeviceAddress(context.device, memory);
  const KilnModuleCreateInfo module_info = {
      .sType = KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO, .codeSize = code_size, .pCode = code};
  KilnModule module;
  CHECK(kilnCreateModule(context.device, &module_info, NULL, &module));
  CHECK(kilnGetModuleKernel(module, "vector_add", &context.kernel));
  const KilnCommandPoolCreateInfo pool_info = {.sType =
                                                   KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  KilnCommandPool pool;
  CHECK(kilnCreateCommandPool(context.device, &pool_info, NULL, &pool));
  KilnCommandBufferAllocateInfo buffer_info = {
      .sType = KILN_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
      .commandPool = pool,
      .commandBufferCount = 1};
  CHECK(kilnAllocateCommandBuffers(context.device, &buffer_info, &context.prepared));
  buffer_info.commandBufferCount = kPeerBatch * 2;
  CHECK(kilnAllocateCommandBuffers(context.device, &buffer_info, context.fresh));
  const KilnSemaphoreCreateInfo semaphore_info = {.sType =
                                                      KILN_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
  CHECK(kilnCreateSemaphore(context.device, &semaphore_info, NULL, &context.timeline));
  record(&context, context.prepared);

  peer_time("Kiln submit, prepared", "the doorbell is stored", prepared, settle, &context);
  peer_time("Kiln record + submit", "the doorbell is stored", record_and_submit, settle, &context);
  peer_time("Kiln submit + wait", "the GPU is done, emulated", submit_and_wait, settle, &context);
  settle(&context);
  kilnDestroySemaphore(context.device, context.timeline, NULL);
  kilnDestroyCommandPool(context.device, pool, NULL);
  kilnDestroyModule(context.device, module, NULL);
  kilnFreeMemory(context.device, memory, NULL);
  kilnDestroyDevice(context.device, NULL);
  kilnDestroyInstance(instance, NULL);
  return 0;
}

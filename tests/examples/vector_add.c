/* Adds two vectors on the first GPU. Usage: vector_add CODE_OBJECT
 * CODE_OBJECT is the kernel vector_add of tests/kernels, compiled for that GPU's target. */
#include <kiln/kiln.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 100000, BLOCK = 256 };

static void check(VkResult result, const char* what) {
  if (result == VK_SUCCESS) return;
  fprintf(stderr, "%s failed: %d\n", what, result);
  exit(1);
}
#define CHECK(call) check((call), #call)

static void on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkResult result,
                       const char* message, void* user) {
  (void)severity, (void)result, (void)user;
  fprintf(stderr, "kiln: %s\n", message);
}

int main(int argc, char** argv) {
  FILE* file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL) return fprintf(stderr, "usage: %s CODE_OBJECT\n", argv[0]), 1;
  static char code[1 << 20];
  const size_t code_size = fread(code, 1, sizeof code, file);
  fclose(file);

  KilnDebugMessengerCreateInfo messenger = {
      .sType = KILN_STRUCTURE_TYPE_DEBUG_MESSENGER_CREATE_INFO,
      .severities = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                    VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
      .callback = on_message};
  KilnInstanceCreateInfo instance_info = {.sType = KILN_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                          .pNext = &messenger};
  KilnInstance instance;
  CHECK(kilnCreateInstance(&instance_info, NULL, &instance));
  KilnDebugMessenger told;
  CHECK(kilnCreateDebugMessenger(instance, &messenger, NULL, &told));

  uint32_t count = 1;
  KilnPhysicalDevice gpu = NULL;
  kilnEnumeratePhysicalDevices(instance, &count, &gpu);
  if (count == 0) return fprintf(stderr, "no usable GPU; try KILN_VGPU=mi300x\n"), 1;
  KilnPhysicalDeviceProperties properties = {.sType = KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES};
  CHECK(kilnGetPhysicalDeviceProperties(gpu, &properties));

  KilnDeviceQueueCreateInfo queue_info = {.sType = KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                          .queueFamilyIndex = 0, .queueCount = 1};
  KilnDeviceCreateInfo device_info = {.sType = KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                      .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue_info};
  KilnDevice device;
  CHECK(kilnCreateDevice(gpu, &device_info, NULL, &device));
  KilnQueue queue;
  kilnGetDeviceQueue(device, 0, 0, &queue);

  /* One allocation for a, b and c: type 2 is cached host memory, which the GPU reads and writes. */
  KilnMemoryAllocateInfo memory_info = {.sType = KILN_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                        .size = 3 * COUNT * sizeof(float), .memoryTypeIndex = 2};
  KilnMemory memory;
  CHECK(kilnAllocateMemory(device, &memory_info, NULL, &memory));
  float* data;
  CHECK(kilnMapMemory(device, memory, (void**)&data));
  for (int i = 0; i < COUNT; ++i) data[i] = (float)i, data[COUNT + i] = 0.5f * (float)i;

  KilnModuleCreateInfo module_info = {.sType = KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO,
                                      .codeSize = code_size, .pCode = code};
  KilnModule module;
  CHECK(kilnCreateModule(device, &module_info, NULL, &module));
  KilnKernel kernel;
  CHECK(kilnGetModuleKernel(module, "vector_add", &kernel));

  KilnCommandPoolCreateInfo pool_info = {.sType = KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  KilnCommandPool pool;
  CHECK(kilnCreateCommandPool(device, &pool_info, NULL, &pool));
  KilnCommandBufferAllocateInfo buffer_info = {
      .sType = KILN_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool, .commandBufferCount = 1};
  KilnCommandBuffer commands;
  CHECK(kilnAllocateCommandBuffers(device, &buffer_info, &commands));

  const VkDeviceAddress address = kilnGetMemoryDeviceAddress(device, memory);
  struct { VkDeviceAddress a, b, c; uint32_t count; } arguments = {
      address, address + COUNT * sizeof(float), address + 2 * COUNT * sizeof(float), COUNT};
  KilnDispatchInfo dispatch = {.sType = KILN_STRUCTURE_TYPE_DISPATCH_INFO, .kernel = kernel,
                               .workgroupCount = {(COUNT + BLOCK - 1) / BLOCK, 1, 1},
                               .workgroupSize = {BLOCK, 1, 1},
                               .argumentsSize = 28, .pArguments = &arguments};
  CHECK(kilnBeginCommandBuffer(commands, NULL));
  CHECK(kilnCmdDispatch(commands, &dispatch));
  CHECK(kilnEndCommandBuffer(commands));

  KilnSemaphoreCreateInfo semaphore_info = {.sType = KILN_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
  KilnSemaphore done;
  CHECK(kilnCreateSemaphore(device, &semaphore_info, NULL, &done));
  KilnSemaphoreValue signal = {done, 1};
  KilnSubmitInfo submit = {.sType = KILN_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1,
                           .pCommandBuffers = &commands, .signalCount = 1, .pSignals = &signal};
  CHECK(kilnQueueSubmit(queue, 1, &submit));
  KilnSemaphoreWaitInfo wait = {.sType = KILN_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO, .semaphoreCount = 1,
                                .pSemaphores = &done, .pValues = &signal.value};
  CHECK(kilnWaitSemaphores(device, &wait, 10000000000ull));

  int wrong = 0;
  for (int i = 0; i < COUNT; ++i) wrong += data[2 * COUNT + i] != 1.5f * (float)i;
  printf("%s: %d sums, %d wrong\n", properties.deviceName, COUNT, wrong);

  kilnDestroySemaphore(device, done, NULL);
  kilnDestroyCommandPool(device, pool, NULL);
  kilnDestroyModule(device, module, NULL);
  kilnFreeMemory(device, memory, NULL);
  kilnDestroyDevice(device, NULL);
  kilnDestroyDebugMessenger(instance, told, NULL);
  kilnDestroyInstance(instance, NULL);
  return wrong != 0;
}

/* Owns: the public header as a C11 program sees it, included first and alone.
 * Does not own: the comparison with C++ (abi_test.cpp).
 * Threading: none. */
#include "abi_test.h"

#include <kiln/kiln.h>

#include "abi_structures.h"

_Static_assert(sizeof(KilnStructureType) == 4, "enumerations are ints");
_Static_assert(sizeof(KilnInstance) == sizeof(void*), "handles are pointers");
_Static_assert(offsetof(KilnInstanceCreateInfo, pNext) == 8, "sType, then pNext");
_Static_assert(offsetof(KilnSubmitInfo, pNext) == 8, "sType, then pNext");
_Static_assert(sizeof(KilnSemaphoreValue) == 16, "a handle and 64 bits");
_Static_assert(KILN_STRUCTURE_TYPE_INSTANCE_CREATE_INFO > 1000999999, "clear of Vulkan's range");

#define KILN_SIZE(name) {#name, sizeof(name)},
const struct abi_size abi_sizes_from_c[] = {KILN_STRUCTURES(KILN_SIZE){NULL, 0}};

uint32_t abi_version_from_c(void) {
  uint32_t version = 0;
  return kilnEnumerateInstanceVersion(&version) == VK_SUCCESS ? version : 0;
}

/* 0 if a virtual GPU is found; the number of the step that failed otherwise. */
int abi_instance_from_c(void) {
  const KilnInstanceCreateInfo info = {.sType = KILN_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pVirtualGpu = "navi31"};
  KilnInstance instance = VK_NULL_HANDLE;
  if (kilnCreateInstance(&info, NULL, &instance) != VK_SUCCESS) return 1;
  uint32_t count = 0;
  VkResult result = kilnEnumeratePhysicalDevices(instance, &count, NULL);
  kilnDestroyInstance(instance, NULL);
  if (result != VK_SUCCESS) return 2;
  return count == 1 ? 0 : 3;
}

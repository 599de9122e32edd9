/* Owns: the list of kiln.h's structures, for C and C++ alike: X(name).
 * Does not own: their contents.
 * Threading: none. */
#define KILN_STRUCTURES(X)              \
  X(KilnLayerProperties)                \
  X(KilnExtensionProperties)            \
  X(KilnInstanceCreateInfo)             \
  X(KilnDebugMessengerCreateInfo)       \
  X(KilnUnusableDevice)                 \
  X(KilnPhysicalDeviceProperties)       \
  X(KilnPhysicalDeviceMemoryProperties) \
  X(KilnMemoryBudget)                   \
  X(KilnQueueFamilyProperties)          \
  X(KilnPeerProperties)                 \
  X(KilnDeviceQueueCreateInfo)          \
  X(KilnDeviceCreateInfo)               \
  X(KilnDeviceFaultInfo)                \
  X(KilnMemoryAllocateInfo)             \
  X(KilnAddressInfo)                    \
  X(KilnModuleCreateInfo)               \
  X(KilnKernelProperties)               \
  X(KilnKernelArgument)                 \
  X(KilnCommandPoolCreateInfo)          \
  X(KilnCommandBufferAllocateInfo)      \
  X(KilnCommandBufferBeginInfo)         \
  X(KilnCommandBufferStatistics)        \
  X(KilnDispatchInfo)                   \
  X(KilnCopyRectInfo)                   \
  X(KilnBarrierInfo)                    \
  X(KilnSemaphoreCreateInfo)            \
  X(KilnSemaphoreWaitInfo)              \
  X(KilnSemaphoreValue)                 \
  X(KilnSubmitInfo)                     \
  X(KilnQueueStatistics)

/* Kiln: explicit compute on AMD GPUs, in the style of Vulkan.
 *
 * This is the only public header. It is C11 and C++ clean and takes its vocabulary (VkResult,
 * VkDeviceSize, VkAllocationCallbacks, ...) from the Vulkan headers; nothing of libvulkan is
 * linked.
 *
 * Conventions kept from Vulkan
 *   - Structures with `sType` must carry their value and a `pNext` chain; unknown members of a
 * chain are ignored.
 *   - Two-call enumeration: with a null array the count is written, else at most *pCount elements
 *     are, and VK_INCOMPLETE says that there were more.
 *   - Objects are externally synchronised where a function's comment says so; everything else may
 *     be called from any thread.
 *   - A null handle passed to a Destroy or Free function is ignored.
 *   - Results: VK_SUCCESS, or a positive status (VK_TIMEOUT, VK_NOT_READY, VK_INCOMPLETE), or a
 *     negative error. Each error is also told in words to the instance's debug messengers.
 * Functions list the errors peculiar to them; every one that creates may also return
 *     VK_ERROR_OUT_OF_HOST_MEMORY, and every one that reaches the GPU VK_ERROR_DEVICE_LOST.
 *   - Sizes and offsets are bytes, times are nanoseconds unless a name says otherwise.
 */
#ifndef KILN_KILN_H_
#define KILN_KILN_H_

#include <stddef.h>
#include <stdint.h>
#include <vulkan/vulkan_core.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KILN_API __attribute__((visibility("default")))
#else
#define KILN_API
#endif

/* The version of this header, as VK_MAKE_API_VERSION(0, major, minor, patch). */
#define KILN_HEADER_VERSION VK_MAKE_API_VERSION(0, 0, 1, 0)

#define KILN_MAX_NAME_SIZE 256
#define KILN_MAX_DESCRIPTION_SIZE 1024
#define KILN_MAX_MEMORY_TYPES 8
#define KILN_MAX_MEMORY_HEAPS 4

typedef struct KilnInstance_T* KilnInstance;
typedef struct KilnPhysicalDevice_T* KilnPhysicalDevice;
typedef struct KilnDebugMessenger_T* KilnDebugMessenger;
typedef struct KilnDevice_T* KilnDevice;
typedef struct KilnQueue_T* KilnQueue;
typedef struct KilnMemory_T* KilnMemory;
typedef struct KilnModule_T* KilnModule;
typedef struct KilnKernel_T* KilnKernel;
typedef struct KilnCommandPool_T* KilnCommandPool;
typedef struct KilnCommandBuffer_T* KilnCommandBuffer;
typedef struct KilnSemaphore_T* KilnSemaphore;

/* Kiln's own range, clear of every VkStructureType. */
typedef enum KilnStructureType {
  KILN_STRUCTURE_TYPE_INSTANCE_CREATE_INFO = 0x4b4c0001,
  KILN_STRUCTURE_TYPE_DEBUG_MESSENGER_CREATE_INFO = 0x4b4c0002,
  KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES = 0x4b4c0003,
  KILN_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES = 0x4b4c0004,
  KILN_STRUCTURE_TYPE_QUEUE_FAMILY_PROPERTIES = 0x4b4c0005,
  KILN_STRUCTURE_TYPE_PEER_PROPERTIES = 0x4b4c0006,
  KILN_STRUCTURE_TYPE_UNUSABLE_DEVICE = 0x4b4c0007,
  KILN_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO = 0x4b4c0008,
  KILN_STRUCTURE_TYPE_DEVICE_CREATE_INFO = 0x4b4c0009,
  KILN_STRUCTURE_TYPE_DEVICE_FAULT_INFO = 0x4b4c000a,
  KILN_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO = 0x4b4c000b,
  KILN_STRUCTURE_TYPE_ADDRESS_INFO = 0x4b4c000c,
  KILN_STRUCTURE_TYPE_MODULE_CREATE_INFO = 0x4b4c000d,
  KILN_STRUCTURE_TYPE_KERNEL_PROPERTIES = 0x4b4c000e,
  KILN_STRUCTURE_TYPE_KERNEL_ARGUMENT = 0x4b4c000f,
  KILN_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO = 0x4b4c0010,
  KILN_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO = 0x4b4c0011,
  KILN_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO = 0x4b4c0012,
  KILN_STRUCTURE_TYPE_DISPATCH_INFO = 0x4b4c0013,
  KILN_STRUCTURE_TYPE_COPY_RECT_INFO = 0x4b4c0014,
  KILN_STRUCTURE_TYPE_BARRIER_INFO = 0x4b4c0015,
  KILN_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO = 0x4b4c0016,
  KILN_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO = 0x4b4c0017,
  KILN_STRUCTURE_TYPE_SUBMIT_INFO = 0x4b4c0018,
  KILN_STRUCTURE_TYPE_COMMAND_BUFFER_STATISTICS = 0x4b4c0019,
  KILN_STRUCTURE_TYPE_QUEUE_STATISTICS = 0x4b4c001a,
  KILN_STRUCTURE_TYPE_MEMORY_BUDGET = 0x4b4c001b,
  KILN_STRUCTURE_TYPE_MAX_ENUM = 0x7fffffff
} KilnStructureType;

/* --------------------------------------------------------------------------------------------- */
/* Version, layers, extensions                                                                    */

typedef struct KilnLayerProperties {
  char layerName[KILN_MAX_NAME_SIZE];
  uint32_t specVersion;
  char description[KILN_MAX_NAME_SIZE];
} KilnLayerProperties;

typedef struct KilnExtensionProperties {
  char extensionName[KILN_MAX_NAME_SIZE];
  uint32_t specVersion;
} KilnExtensionProperties;

/* Writes the version of the loaded library. Never fails. */
KILN_API VkResult kilnEnumerateInstanceVersion(uint32_t* pApiVersion);

/* Lists the layers that KilnInstanceCreateInfo may name. */
KILN_API VkResult kilnEnumerateInstanceLayerProperties(uint32_t* pCount,
                                                       KilnLayerProperties* pProperties);

/* Lists the extensions of the library (pLayerName null) or of a layer.
 * VK_ERROR_LAYER_NOT_PRESENT: no such layer. */
KILN_API VkResult kilnEnumerateInstanceExtensionProperties(const char* pLayerName, uint32_t* pCount,
                                                           KilnExtensionProperties* pProperties);

/* --------------------------------------------------------------------------------------------- */
/* Instance                                                                                       */

typedef struct KilnInstanceCreateInfo {
  KilnStructureType sType;
  const void* pNext;
  const char* pApplicationName; /* may be null */
  uint32_t apiVersion;          /* the lowest the application accepts; 0 = any */
  uint32_t enabledLayerCount;
  const char* const* ppEnabledLayerNames;
  uint32_t enabledExtensionCount;
  const char* const* ppEnabledExtensionNames;
  /* A virtual machine instead of the real one: "mi300x", "2x navi31", "gfx1100". Null: the
   * environment variable KILN_VGPU decides; with neither, real GPUs only. */
  const char* pVirtualGpu;
} KilnInstanceCreateInfo;

/* Opens the driver and looks for GPUs. Succeeds without any: kilnEnumeratePhysicalDevices then
 * writes 0 and kilnEnumerateUnusableDevices says why.
 * VK_ERROR_LAYER_NOT_PRESENT, VK_ERROR_EXTENSION_NOT_PRESENT, VK_ERROR_INCOMPATIBLE_DRIVER
 * (apiVersion above the library's), VK_ERROR_INITIALIZATION_FAILED (the virtual GPU cannot be
 * made). */
KILN_API VkResult kilnCreateInstance(const KilnInstanceCreateInfo* pCreateInfo,
                                     const VkAllocationCallbacks* pAllocator,
                                     KilnInstance* pInstance);

/* All devices and messengers of the instance must be gone. */
KILN_API void kilnDestroyInstance(KilnInstance instance, const VkAllocationCallbacks* pAllocator);

/* The function of that name, as this instance (null: global functions only) would call it, or null.
 */
KILN_API PFN_vkVoidFunction kilnGetInstanceProcAddr(KilnInstance instance, const char* pName);

/* What is told to a messenger, and how it is told. `severity` is one of
 * VK_DEBUG_UTILS_MESSAGE_SEVERITY_{VERBOSE,INFO,WARNING,ERROR}_BIT_EXT. Called on the thread that
 * caused the message; it must not call Kiln. */
typedef void (*KilnDebugCallback)(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkResult result,
                                  const char* pMessage, void* pUserData);

/* May also stand in the pNext chain of KilnInstanceCreateInfo, to hear of kilnCreateInstance
 * itself. */
typedef struct KilnDebugMessengerCreateInfo {
  KilnStructureType sType;
  const void* pNext;
  VkDebugUtilsMessageSeverityFlagsEXT severities;
  KilnDebugCallback callback;
  void* pUserData;
} KilnDebugMessengerCreateInfo;

KILN_API VkResult kilnCreateDebugMessenger(KilnInstance instance,
                                           const KilnDebugMessengerCreateInfo* pCreateInfo,
                                           const VkAllocationCallbacks* pAllocator,
                                           KilnDebugMessenger* pMessenger);
KILN_API void kilnDestroyDebugMessenger(KilnInstance instance, KilnDebugMessenger messenger,
                                        const VkAllocationCallbacks* pAllocator);

/* --------------------------------------------------------------------------------------------- */
/* Physical devices                                                                               */

KILN_API VkResult kilnEnumeratePhysicalDevices(KilnInstance instance, uint32_t* pCount,
                                               KilnPhysicalDevice* pPhysicalDevices);

/* A GPU that is there and cannot be used, or a reason why none was found. */
typedef struct KilnUnusableDevice {
  KilnStructureType sType;
  void* pNext;
  VkResult result;
  char name[KILN_MAX_NAME_SIZE];          /* "gfx906 (node 2)", "/dev/kfd" */
  char reason[KILN_MAX_DESCRIPTION_SIZE]; /* what, where, what to do */
} KilnUnusableDevice;

KILN_API VkResult kilnEnumerateUnusableDevices(KilnInstance instance, uint32_t* pCount,
                                               KilnUnusableDevice* pDevices);

typedef struct KilnPhysicalDeviceProperties {
  KilnStructureType sType;
  void* pNext;
  char deviceName[KILN_MAX_NAME_SIZE]; /* product name; a virtual GPU says so in it */
  char targetName[16];                 /* "gfx942" */
  char driverName[KILN_MAX_NAME_SIZE]; /* "KFD 1.18" */
  VkBool32 isVirtual;
  uint32_t vendorId, deviceId;
  uint32_t pciDomain, pciBus, pciDevice, pciFunction;
  uint8_t deviceUuid[VK_UUID_SIZE];
  uint32_t xccCount;         /* accelerator complex dies that share a dispatch */
  uint32_t computeUnitCount; /* of all XCCs */
  uint32_t shaderEngineCount;
  uint32_t simdPerComputeUnit;
  uint32_t maxWavesPerSimd;
  uint32_t waveSizes; /* sum of the sizes: 64, or 32 + 64 */
  uint32_t defaultWaveSize;
  uint32_t maxEngineClockMHz;
  VkDeviceSize l2CacheBytes;
  VkDeviceSize maxLdsPerWorkgroup;
  uint32_t maxWorkgroupInvocations; /* product of the three sizes */
  uint32_t maxWorkgroupSize[3];
  uint32_t maxWorkgroupCount[3];
  VkDeviceSize maxDispatchArgumentsSize; /* of explicit and hidden arguments together */
  uint64_t timestampFrequencyHz;
  VkDeviceSize minMemoryAlignment; /* of every allocation's device address */
  uint64_t maxUpdateSize;          /* kilnCmdUpdateMemory */
} KilnPhysicalDeviceProperties;

KILN_API VkResult kilnGetPhysicalDeviceProperties(KilnPhysicalDevice physicalDevice,
                                                  KilnPhysicalDeviceProperties* pProperties);

typedef struct KilnPhysicalDeviceMemoryProperties {
  KilnStructureType sType;
  void* pNext;
  uint32_t memoryTypeCount;
  VkMemoryType memoryTypes[KILN_MAX_MEMORY_TYPES];
  uint32_t memoryHeapCount;
  VkMemoryHeap memoryHeaps[KILN_MAX_MEMORY_HEAPS];
} KilnPhysicalDeviceMemoryProperties;

/* Memory types, best first for their purpose: device-local; device-local and host-visible (through
 * the PCI aperture, where there is one; coherent because Kiln flushes HDP at submits and host
 * waits); host-visible, coherent and cached system memory; the same uncached, for words that host
 * and GPU both poll. */
KILN_API VkResult kilnGetPhysicalDeviceMemoryProperties(
    KilnPhysicalDevice physicalDevice, KilnPhysicalDeviceMemoryProperties* pProperties);

typedef struct KilnMemoryBudget {
  KilnStructureType sType;
  void* pNext;
  VkDeviceSize heapBudget[KILN_MAX_MEMORY_HEAPS]; /* what could be allocated now */
} KilnMemoryBudget;

typedef enum KilnQueueFamilyKind {
  KILN_QUEUE_FAMILY_COMPUTE = 0,   /* dispatches, and all that a copy queue can */
  KILN_QUEUE_FAMILY_SDMA = 1,      /* copies and fills by a DMA engine */
  KILN_QUEUE_FAMILY_SDMA_XGMI = 2, /* the same, by engines next to the GPU-to-GPU links */
  KILN_QUEUE_FAMILY_KIND_MAX_ENUM = 0x7fffffff
} KilnQueueFamilyKind;

typedef struct KilnQueueFamilyProperties {
  KilnStructureType sType;
  void* pNext;
  KilnQueueFamilyKind kind;
  VkQueueFlags queueFlags;     /* VK_QUEUE_COMPUTE_BIT, VK_QUEUE_TRANSFER_BIT */
  uint32_t queueCount;         /* that can be made; each is a hardware queue of its own */
  uint32_t residentQueueCount; /* that run at the same time without time slicing */
  uint32_t engineCount;        /* DMA engines of that kind, or 1 */
  uint32_t timestampValidBits;
} KilnQueueFamilyProperties;

KILN_API VkResult kilnGetPhysicalDeviceQueueFamilyProperties(
    KilnPhysicalDevice physicalDevice, uint32_t* pCount, KilnQueueFamilyProperties* pProperties);

typedef enum KilnLinkKind {
  KILN_LINK_NONE = 0,
  KILN_LINK_PCIE = 1,
  KILN_LINK_XGMI = 2,
  KILN_LINK_KIND_MAX_ENUM = 0x7fffffff
} KilnLinkKind;

typedef struct KilnPeerProperties {
  KilnStructureType sType;
  void* pNext;
  VkBool32 accessible; /* memory of the peer can be mapped */
  VkBool32 atomics;    /* and 32 and 64-bit atomics work on it */
  KilnLinkKind link;
  uint32_t weight;          /* the driver's distance */
  uint32_t maxBandwidthMBs; /* as the driver states it; 0 unknown */
} KilnPeerProperties;

/* What `physicalDevice` can do with memory of `peer`. Both of one instance. */
KILN_API VkResult kilnGetPhysicalDevicePeerProperties(KilnPhysicalDevice physicalDevice,
                                                      KilnPhysicalDevice peer,
                                                      KilnPeerProperties* pProperties);

/* --------------------------------------------------------------------------------------------- */
/* Device and queues                                                                              */

typedef struct KilnDeviceQueueCreateInfo {
  KilnStructureType sType;
  const void* pNext;
  uint32_t queueFamilyIndex;
  uint32_t queueCount;
  const float* pQueuePriorities; /* 0.0 .. 1.0 each; null: 0.5 */
  uint32_t cuMaskWordCount;      /* compute only; 0: all compute units */
  const uint32_t* pCuMask;       /* bit i: compute unit i may run this queue's workgroups */
} KilnDeviceQueueCreateInfo;

typedef struct KilnDeviceCreateInfo {
  KilnStructureType sType;
  const void* pNext;
  uint32_t queueCreateInfoCount;
  const KilnDeviceQueueCreateInfo* pQueueCreateInfos;
  /* A submission that has not finished this long after it could start makes the device lost.
   * 0: no watchdog. */
  uint64_t watchdogTimeoutNs;
} KilnDeviceCreateInfo;

/* Takes the GPU into use in this process and makes all queues.
 * VK_ERROR_INITIALIZATION_FAILED (the messenger has the reason; among them: another KFD runtime
 * holds this process's address space, or an earlier memory fault took the GPU from this process),
 * VK_ERROR_TOO_MANY_OBJECTS (more queues than the family has), VK_ERROR_OUT_OF_DEVICE_MEMORY. */
KILN_API VkResult kilnCreateDevice(KilnPhysicalDevice physicalDevice,
                                   const KilnDeviceCreateInfo* pCreateInfo,
                                   const VkAllocationCallbacks* pAllocator, KilnDevice* pDevice);

/* Always returns, also for a lost or hung device. Objects made from it must be gone. */
KILN_API void kilnDestroyDevice(KilnDevice device, const VkAllocationCallbacks* pAllocator);

KILN_API PFN_vkVoidFunction kilnGetDeviceProcAddr(KilnDevice device, const char* pName);

/* Queue `queueIndex` of a family, numbered over all create-infos of that family in order.
 * *pQueue is null if there is none. */
KILN_API void kilnGetDeviceQueue(KilnDevice device, uint32_t queueFamilyIndex, uint32_t queueIndex,
                                 KilnQueue* pQueue);

/* Waits until every queue has finished what was submitted. */
KILN_API VkResult kilnDeviceWaitIdle(KilnDevice device);

/* VK_SUCCESS or VK_ERROR_DEVICE_LOST, without waiting. */
KILN_API VkResult kilnGetDeviceStatus(KilnDevice device);

typedef enum KilnFaultKind {
  KILN_FAULT_NONE = 0,
  KILN_FAULT_MEMORY = 1,   /* an access without a mapping or permission: `address` */
  KILN_FAULT_QUEUE = 2,    /* the GPU refused a packet or stopped a queue: `queueError` */
  KILN_FAULT_RESET = 3,    /* the driver reset the GPU */
  KILN_FAULT_WATCHDOG = 4, /* a submission passed its deadline */
  KILN_FAULT_FORKED = 5,   /* this process is a fork of the one that made the device */
  KILN_FAULT_KIND_MAX_ENUM = 0x7fffffff
} KilnFaultKind;

typedef struct KilnDeviceFaultInfo {
  KilnStructureType sType;
  void* pNext;
  KilnFaultKind kind;
  VkDeviceAddress address;
  uint64_t queueError;                         /* KFD's exception bits */
  char description[KILN_MAX_DESCRIPTION_SIZE]; /* what happened, what ran and what waited */
} KilnDeviceFaultInfo;

/* Why the device was lost. VK_NOT_READY: it is not. */
KILN_API VkResult kilnGetDeviceFaultInfo(KilnDevice device, KilnDeviceFaultInfo* pFaultInfo);

/* The GPU's clock (in ticks) and the host's CLOCK_MONOTONIC (in ns), read together; pMaxDeviation
 * (ns) bounds how far apart. */
KILN_API VkResult kilnGetCalibratedTimestamps(KilnDevice device, uint64_t* pDeviceTicks,
                                              uint64_t* pHostNs, uint64_t* pMaxDeviation);

KILN_API VkResult kilnGetMemoryBudget(KilnDevice device, KilnMemoryBudget* pBudget);

/* --------------------------------------------------------------------------------------------- */
/* Memory                                                                                         */

typedef struct KilnMemoryAllocateInfo {
  KilnStructureType sType;
  const void* pNext;
  VkDeviceSize size;
  uint32_t memoryTypeIndex;
  VkDeviceSize alignment;   /* of the address, a power of two; 0: page */
  uint32_t peerDeviceCount; /* further devices that see the memory at the same address */
  const KilnDevice* pPeerDevices;
  void* pHostPointer; /* not null: this page-aligned host range is used instead */
} KilnMemoryAllocateInfo;

/* VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_OUT_OF_HOST_MEMORY, VK_ERROR_INVALID_EXTERNAL_HANDLE
 * (pHostPointer cannot be pinned), VK_ERROR_FEATURE_NOT_PRESENT (a peer without access). */
KILN_API VkResult kilnAllocateMemory(KilnDevice device, const KilnMemoryAllocateInfo* pAllocateInfo,
                                     const VkAllocationCallbacks* pAllocator, KilnMemory* pMemory);

/* The GPU must be done with it. */
KILN_API void kilnFreeMemory(KilnDevice device, KilnMemory memory,
                             const VkAllocationCallbacks* pAllocator);

/* The host address of a host-visible allocation; it is mapped for its whole life.
 * VK_ERROR_MEMORY_MAP_FAILED: not host-visible. */
KILN_API VkResult kilnMapMemory(KilnDevice device, KilnMemory memory, void** ppData);

/* The GPU address, the same on every device the memory is mapped to. */
KILN_API VkDeviceAddress kilnGetMemoryDeviceAddress(KilnDevice device, KilnMemory memory);

/* Maps the memory to one more device. VK_ERROR_FEATURE_NOT_PRESENT: no access between the two. */
KILN_API VkResult kilnMapMemoryToDevice(KilnDevice device, KilnMemory memory, KilnDevice peer);

typedef struct KilnAddressInfo {
  KilnStructureType sType;
  void* pNext;
  KilnMemory memory;
  VkDeviceSize offset; /* of the address in it */
  VkDeviceSize size;   /* of the allocation */
  uint32_t memoryTypeIndex;
  void* pHostPointer; /* of the address; null if not host-visible */
} KilnAddressInfo;

/* What an address belongs to. VK_ERROR_UNKNOWN: to no allocation of this device. */
KILN_API VkResult kilnGetAddressInfo(KilnDevice device, VkDeviceAddress address,
                                     KilnAddressInfo* pInfo);

/* A dma-buf of the allocation, for other devices and processes; the caller closes it. */
KILN_API VkResult kilnExportMemoryFd(KilnDevice device, KilnMemory memory, int* pFd);

/* --------------------------------------------------------------------------------------------- */
/* Modules and kernels                                                                            */

typedef struct KilnModuleCreateInfo {
  KilnStructureType sType;
  const void* pNext;
  size_t codeSize;
  const void*
      pCode; /* an AMDGPU code object (ELF) or a clang offload bundle with one for this GPU */
} KilnModuleCreateInfo;

/* Loads code and data to the GPU and resolves relocations.
 * VK_ERROR_INVALID_SHADER_NV: not a code object, damaged, or for another target (the messenger has
 * which). VK_ERROR_OUT_OF_DEVICE_MEMORY. */
KILN_API VkResult kilnCreateModule(KilnDevice device, const KilnModuleCreateInfo* pCreateInfo,
                                   const VkAllocationCallbacks* pAllocator, KilnModule* pModule);
KILN_API void kilnDestroyModule(KilnDevice device, KilnModule module,
                                const VkAllocationCallbacks* pAllocator);

/* Names of the kernels; valid as long as the module. */
KILN_API VkResult kilnEnumerateModuleKernels(KilnModule module, uint32_t* pCount,
                                             const char** ppNames);

/* A kernel by its name; it lives as long as the module. VK_ERROR_UNKNOWN: none of that name. */
KILN_API VkResult kilnGetModuleKernel(KilnModule module, const char* pName, KilnKernel* pKernel);

/* Address and size of a global or __constant__ variable. VK_ERROR_UNKNOWN: none of that name. */
KILN_API VkResult kilnGetModuleGlobal(KilnModule module, const char* pName,
                                      VkDeviceAddress* pAddress, VkDeviceSize* pSize);

typedef struct KilnKernelProperties {
  KilnStructureType sType;
  void* pNext;
  const char* pName;
  uint32_t waveSize;
  uint32_t vgprCount, agprCount, sgprCount;
  uint32_t ldsBytes;            /* static */
  uint32_t scratchBytesPerLane; /* static; more with dynamic stack */
  VkBool32 usesDynamicStack;
  uint32_t argumentsSize; /* explicit arguments, as kilnCmdDispatch takes them */
  uint32_t argumentsAlignment;
  uint32_t maxWorkgroupInvocations;
  uint32_t requiredWorkgroupSize[3]; /* 0: any */
} KilnKernelProperties;

KILN_API VkResult kilnGetKernelProperties(KilnKernel kernel, KilnKernelProperties* pProperties);

typedef enum KilnArgumentKind {
  KILN_ARGUMENT_BY_VALUE = 0,
  KILN_ARGUMENT_POINTER = 1,     /* to device memory */
  KILN_ARGUMENT_LDS_POINTER = 2, /* an offset in dynamic LDS */
  KILN_ARGUMENT_HIDDEN = 3,      /* filled by Kiln */
  KILN_ARGUMENT_KIND_MAX_ENUM = 0x7fffffff
} KilnArgumentKind;

typedef struct KilnKernelArgument {
  KilnStructureType sType;
  void* pNext;
  const char* pName; /* may be empty */
  const char* pType; /* may be empty */
  KilnArgumentKind kind;
  uint32_t offset, size;
} KilnKernelArgument;

KILN_API VkResult kilnGetKernelArguments(KilnKernel kernel, uint32_t* pCount,
                                         KilnKernelArgument* pArguments);

/* Workgroups of that size and dynamic LDS that fit on one compute unit at once. */
KILN_API VkResult kilnGetKernelOccupancy(KilnKernel kernel, uint32_t workgroupInvocations,
                                         VkDeviceSize dynamicLdsBytes, uint32_t* pWorkgroups);

/* --------------------------------------------------------------------------------------------- */
/* Command buffers                                                                                */

typedef struct KilnCommandPoolCreateInfo {
  KilnStructureType sType;
  const void* pNext;
  uint32_t queueFamilyIndex;
} KilnCommandPoolCreateInfo;

/* A pool and its command buffers are externally synchronised together. */
KILN_API VkResult kilnCreateCommandPool(KilnDevice device,
                                        const KilnCommandPoolCreateInfo* pCreateInfo,
                                        const VkAllocationCallbacks* pAllocator,
                                        KilnCommandPool* pCommandPool);
/* Frees its command buffers; none may be pending. */
KILN_API void kilnDestroyCommandPool(KilnDevice device, KilnCommandPool commandPool,
                                     const VkAllocationCallbacks* pAllocator);
/* Brings all its command buffers back to the initial state; none may be pending. */
KILN_API VkResult kilnResetCommandPool(KilnDevice device, KilnCommandPool commandPool);

typedef struct KilnCommandBufferAllocateInfo {
  KilnStructureType sType;
  const void* pNext;
  KilnCommandPool commandPool;
  uint32_t commandBufferCount;
} KilnCommandBufferAllocateInfo;

KILN_API VkResult kilnAllocateCommandBuffers(KilnDevice device,
                                             const KilnCommandBufferAllocateInfo* pAllocateInfo,
                                             KilnCommandBuffer* pCommandBuffers);
KILN_API void kilnFreeCommandBuffers(KilnDevice device, KilnCommandPool commandPool, uint32_t count,
                                     const KilnCommandBuffer* pCommandBuffers);

typedef struct KilnCommandBufferBeginInfo {
  KilnStructureType sType;
  const void* pNext;
  VkCommandBufferUsageFlags flags; /* ONE_TIME_SUBMIT is a hint. A command buffer may
                                      be pending several times on one queue, never on two */
} KilnCommandBufferBeginInfo;

/* Starts recording, from the initial or (resetting it) the executable state. pBeginInfo may be
 * null. VK_ERROR_VALIDATION_FAILED_EXT: it is recording already, or pending. */
KILN_API VkResult kilnBeginCommandBuffer(KilnCommandBuffer commandBuffer,
                                         const KilnCommandBufferBeginInfo* pBeginInfo);

/* Ends recording. An error met while recording (out of memory, a command that was refused) is
 * returned here again, and the command buffer cannot be submitted. */
KILN_API VkResult kilnEndCommandBuffer(KilnCommandBuffer commandBuffer);
KILN_API VkResult kilnResetCommandBuffer(KilnCommandBuffer commandBuffer);

typedef struct KilnCommandBufferStatistics {
  KilnStructureType sType;
  void* pNext;
  uint64_t streamDwords;  /* of packets recorded */
  uint64_t argumentBytes; /* of kernel arguments and inline data */
  uint32_t dispatchCount, copyCount, barrierCount;
} KilnCommandBufferStatistics;

KILN_API VkResult kilnGetCommandBufferStatistics(KilnCommandBuffer commandBuffer,
                                                 KilnCommandBufferStatistics* pStatistics);

typedef struct KilnDispatchInfo {
  KilnStructureType sType;
  const void* pNext;
  KilnKernel kernel;
  uint32_t workgroupCount[3];
  uint32_t workgroupSize[3];
  /* Exact number of threads in each dimension, at most workgroupCount * workgroupSize; the last
   * workgroup is then partial. 0: all full. */
  uint32_t threadCount[3];
  uint32_t dynamicLdsBytes;
  size_t argumentsSize;   /* of pArguments: KilnKernelProperties::argumentsSize, or more */
  const void* pArguments; /* explicit arguments at their offsets; copied now */
} KilnDispatchInfo;

/* Records a dispatch. Dispatches of one command buffer, and of consecutive ones, overlap unless a
 * barrier stands between them. Compute queues only.
 * VK_ERROR_VALIDATION_FAILED_EXT: the argument block is too small, the workgroup or its LDS over
 * the limit, a count is zero, the pool is not of a compute family, or it is not recording. */
KILN_API VkResult kilnCmdDispatch(KilnCommandBuffer commandBuffer,
                                  const KilnDispatchInfo* pDispatchInfo);

/* The same with the workgroup counts read by the GPU from three 32-bit words at `address`;
 * pDispatchInfo's counts are ignored, and kernels see them only through hidden arguments if they
 * are left zero there. */
KILN_API VkResult kilnCmdDispatchIndirect(KilnCommandBuffer commandBuffer,
                                          const KilnDispatchInfo* pDispatchInfo,
                                          VkDeviceAddress address);

/* Copies bytes; the ranges may not overlap. Any alignment. On a compute queue the command processor
 * copies, on an SDMA queue the DMA engine. */
KILN_API VkResult kilnCmdCopyMemory(KilnCommandBuffer commandBuffer, VkDeviceAddress destination,
                                    VkDeviceAddress source, VkDeviceSize size);

typedef struct KilnCopyRectInfo {
  KilnStructureType sType;
  const void* pNext;
  VkDeviceAddress destination, source;
  VkDeviceSize destinationPitch, sourcePitch; /* bytes from row to row */
  VkDeviceSize rowBytes;
  uint32_t rowCount;
} KilnCopyRectInfo;

KILN_API VkResult kilnCmdCopyMemoryRect(KilnCommandBuffer commandBuffer,
                                        const KilnCopyRectInfo* pInfo);

/* Repeats a pattern of 1, 2, 4 or 8 bytes; `size` is a multiple of it and `destination` aligned to
 * it. */
KILN_API VkResult kilnCmdFillMemory(KilnCommandBuffer commandBuffer, VkDeviceAddress destination,
                                    VkDeviceSize size, uint64_t pattern, uint32_t patternSize);

/* Writes host data that is copied now; destination and size are multiples of 4, size at most
 * KilnPhysicalDeviceProperties::maxUpdateSize. */
KILN_API VkResult kilnCmdUpdateMemory(KilnCommandBuffer commandBuffer, VkDeviceAddress destination,
                                      VkDeviceSize size, const void* pData);

/* What a barrier orders. Stages are of commands in this queue; the host waits by semaphore. */
typedef enum KilnStageFlagBits {
  KILN_STAGE_NONE = 0,
  KILN_STAGE_COMPUTE_BIT = 0x1,
  KILN_STAGE_COPY_BIT = 0x2,    /* copies, fills, updates, value writes */
  KILN_STAGE_COMMAND_BIT = 0x4, /* reading indirect counts, waiting for values */
  KILN_STAGE_HOST_BIT = 0x8,
  KILN_STAGE_ALL_BIT = 0xf,
  KILN_STAGE_MAX_ENUM = 0x7fffffff
} KilnStageFlagBits;
typedef VkFlags64 KilnStageFlags;

typedef enum KilnAccessFlagBits {
  KILN_ACCESS_NONE = 0,
  KILN_ACCESS_READ_BIT = 0x1,
  KILN_ACCESS_WRITE_BIT = 0x2,
  KILN_ACCESS_CODE_BIT = 0x4, /* instructions: code written by the GPU will be run */
  KILN_ACCESS_MAX_ENUM = 0x7fffffff
} KilnAccessFlagBits;
typedef VkFlags64 KilnAccessFlags;

/* How far writes must be seen. */
typedef enum KilnScope {
  KILN_SCOPE_DEVICE = 0, /* commands of this GPU's compute queues */
  KILN_SCOPE_SYSTEM = 1, /* also the host, DMA engines, other GPUs */
  KILN_SCOPE_MAX_ENUM = 0x7fffffff
} KilnScope;

typedef struct KilnBarrierInfo {
  KilnStructureType sType;
  const void* pNext;
  KilnStageFlags srcStages, dstStages;
  KilnAccessFlags srcAccess, dstAccess;
  KilnScope scope;
} KilnBarrierInfo;

/* Commands after it that are in dstStages start when those before it in srcStages have finished;
 * with WRITE in srcAccess their writes are seen by READ or WRITE in dstAccess. pBarrierInfo null:
 * all stages, all accesses, device scope. */
KILN_API VkResult kilnCmdBarrier(KilnCommandBuffer commandBuffer,
                                 const KilnBarrierInfo* pBarrierInfo);

/* Writes the GPU clock (64 bits, ticks of timestampFrequencyHz) to `address` (8-byte aligned) when
 * all earlier commands of this queue have finished. */
KILN_API VkResult kilnCmdWriteTimestamp(KilnCommandBuffer commandBuffer, VkDeviceAddress address);

/* Writes 64 bits (8-byte aligned) when all earlier commands have finished and their writes are seen
 * system-wide. */
KILN_API VkResult kilnCmdWriteValue(KilnCommandBuffer commandBuffer, VkDeviceAddress address,
                                    uint64_t value);

/* Later commands start when the 64-bit word at `address` (8-byte aligned, uncached memory) is at
 * least `value`. On SDMA queues only the low 32 bits are compared: VK_ERROR_FEATURE_NOT_PRESENT if
 * `value` does not fit. */
KILN_API VkResult kilnCmdWaitValue(KilnCommandBuffer commandBuffer, VkDeviceAddress address,
                                   uint64_t value);

/* --------------------------------------------------------------------------------------------- */
/* Timeline semaphores and submission                                                             */

typedef enum KilnSemaphoreCreateFlagBits {
  /* No interrupt at a signal: cheaper; host waits spin and then poll with short sleeps. */
  KILN_SEMAPHORE_CREATE_NO_INTERRUPT_BIT = 0x1,
  KILN_SEMAPHORE_CREATE_MAX_ENUM = 0x7fffffff
} KilnSemaphoreCreateFlagBits;

typedef struct KilnSemaphoreCreateInfo {
  KilnStructureType sType;
  const void* pNext;
  VkFlags flags;
  uint64_t initialValue;
  uint32_t peerDeviceCount; /* further devices whose queues wait for or signal it; they must
                               outlive it */
  const KilnDevice* pPeerDevices;
} KilnSemaphoreCreateInfo;

/* A 64-bit counter that only grows. Any number of waits and signals may be pending, in any order of
 * submission; signals of one semaphore must take effect in growing order. */
KILN_API VkResult kilnCreateSemaphore(KilnDevice device, const KilnSemaphoreCreateInfo* pCreateInfo,
                                      const VkAllocationCallbacks* pAllocator,
                                      KilnSemaphore* pSemaphore);
/* No pending submission may use it. */
KILN_API void kilnDestroySemaphore(KilnDevice device, KilnSemaphore semaphore,
                                   const VkAllocationCallbacks* pAllocator);

KILN_API VkResult kilnGetSemaphoreCounterValue(KilnDevice device, KilnSemaphore semaphore,
                                               uint64_t* pValue);

/* The payload's address: kernels may load it (system scope, uncached) and wait for it. */
KILN_API VkDeviceAddress kilnGetSemaphoreDeviceAddress(KilnDevice device, KilnSemaphore semaphore);

typedef struct KilnSemaphoreWaitInfo {
  KilnStructureType sType;
  const void* pNext;
  VkSemaphoreWaitFlags flags; /* VK_SEMAPHORE_WAIT_ANY_BIT, else all */
  uint32_t semaphoreCount;
  const KilnSemaphore* pSemaphores;
  const uint64_t* pValues;
} KilnSemaphoreWaitInfo;

/* Waits on the host for counters to reach values, for at most `timeout` ns. VK_TIMEOUT;
 * VK_ERROR_DEVICE_LOST also while waiting. Spins briefly, then sleeps in the driver. */
KILN_API VkResult kilnWaitSemaphores(KilnDevice device, const KilnSemaphoreWaitInfo* pWaitInfo,
                                     uint64_t timeout);

/* Sets the counter from the host. VK_ERROR_VALIDATION_FAILED_EXT: not above the current value. */
KILN_API VkResult kilnSignalSemaphore(KilnDevice device, KilnSemaphore semaphore, uint64_t value);

typedef struct KilnSemaphoreValue {
  KilnSemaphore semaphore;
  uint64_t value;
} KilnSemaphoreValue;

typedef struct KilnSubmitInfo {
  KilnStructureType sType;
  const void* pNext;
  uint32_t waitCount;
  const KilnSemaphoreValue* pWaits; /* before any of the command buffers start */
  uint32_t commandBufferCount;
  const KilnCommandBuffer* pCommandBuffers;
  uint32_t signalCount;
  const KilnSemaphoreValue* pSignals; /* when all of them have finished, system-wide visible */
} KilnSubmitInfo;

/* Hands work to the GPU, in order. No system call, allocation or lock on the usual path. The queue
 * is externally synchronised. Either all of the infos are taken or, on error, none.
 * VK_ERROR_OUT_OF_DEVICE_MEMORY: the ring stayed full behind a queue that makes no progress.
 * VK_ERROR_VALIDATION_FAILED_EXT: a command buffer is not executable, or of another family. */
KILN_API VkResult kilnQueueSubmit(KilnQueue queue, uint32_t submitCount,
                                  const KilnSubmitInfo* pSubmits);

KILN_API VkResult kilnQueueWaitIdle(KilnQueue queue);

typedef struct KilnQueueStatistics {
  KilnStructureType sType;
  void* pNext;
  uint64_t submitCount;   /* submissions made, those that Kiln split off included */
  uint64_t retiredCount;  /* and finished */
  uint64_t deferredCount; /* held back on the host because a wait could not be left to the GPU */
  uint64_t epochDeferredCount; /* of these: because a 32-bit poll would have crossed a multiple of
                                  2^32 */
  uint64_t ringDwords;         /* written to the ring */
} KilnQueueStatistics;

KILN_API VkResult kilnGetQueueStatistics(KilnQueue queue, KilnQueueStatistics* pStatistics);

#ifdef __cplusplus
}
#endif

#endif /* KILN_KILN_H_ */

// Owns: the proof that uapi/kfd_ioctl.hpp has the layout of the kernel's own header, where this
//   system has that header (KFD 1.11 on Debian 12). Needs tests/unit on the include path, for
//   drm/drm.h.
// Does not own: what is newer; its sizes are asserted in the header from the kernel's text.
// Threading: none.
#include <gtest/gtest.h>
#include <linux/kfd_ioctl.h>

#include <cstddef>

#include "kmd/uapi/kfd_ioctl.hpp"

namespace {

namespace uapi = kiln::kmd::uapi;

#define SAME_SIZE(ours, theirs) EXPECT_EQ(sizeof(uapi::ours), sizeof(struct theirs)) << #ours
#define SAME_PLACE(ours, our_field, theirs, their_field)                           \
  EXPECT_EQ(offsetof(uapi::ours, our_field), offsetof(struct theirs, their_field)) \
      << #ours "::" #our_field

TEST(KfdUapi, CommandNumbersAndSizesAreTheKernels) {
  EXPECT_EQ(uapi::kIocGetVersion, AMDKFD_IOC_GET_VERSION);
  EXPECT_EQ(uapi::kIocDestroyQueue, AMDKFD_IOC_DESTROY_QUEUE);
  EXPECT_EQ(uapi::kIocSetMemoryPolicy, AMDKFD_IOC_SET_MEMORY_POLICY);
  EXPECT_EQ(uapi::kIocGetClockCounters, AMDKFD_IOC_GET_CLOCK_COUNTERS);
  EXPECT_EQ(uapi::kIocGetProcessApertures, AMDKFD_IOC_GET_PROCESS_APERTURES);
  EXPECT_EQ(uapi::kIocUpdateQueue, AMDKFD_IOC_UPDATE_QUEUE);
  EXPECT_EQ(uapi::kIocCreateEvent, AMDKFD_IOC_CREATE_EVENT);
  EXPECT_EQ(uapi::kIocDestroyEvent, AMDKFD_IOC_DESTROY_EVENT);
  EXPECT_EQ(uapi::kIocSetEvent, AMDKFD_IOC_SET_EVENT);
  EXPECT_EQ(uapi::kIocResetEvent, AMDKFD_IOC_RESET_EVENT);
  EXPECT_EQ(uapi::kIocWaitEvents, AMDKFD_IOC_WAIT_EVENTS);
  EXPECT_EQ(uapi::kIocDbgRegister, AMDKFD_IOC_DBG_REGISTER_DEPRECATED);
  EXPECT_EQ(uapi::kIocDbgUnregister, AMDKFD_IOC_DBG_UNREGISTER_DEPRECATED);
  EXPECT_EQ(uapi::kIocDbgAddressWatch, AMDKFD_IOC_DBG_ADDRESS_WATCH_DEPRECATED);
  EXPECT_EQ(uapi::kIocDbgWaveControl, AMDKFD_IOC_DBG_WAVE_CONTROL_DEPRECATED);
  EXPECT_EQ(uapi::kIocSetScratchBackingVa, AMDKFD_IOC_SET_SCRATCH_BACKING_VA);
  EXPECT_EQ(uapi::kIocGetTileConfig, AMDKFD_IOC_GET_TILE_CONFIG);
  EXPECT_EQ(uapi::kIocSetTrapHandler, AMDKFD_IOC_SET_TRAP_HANDLER);
  EXPECT_EQ(uapi::kIocGetProcessAperturesNew, AMDKFD_IOC_GET_PROCESS_APERTURES_NEW);
  EXPECT_EQ(uapi::kIocAcquireVm, AMDKFD_IOC_ACQUIRE_VM);
  EXPECT_EQ(uapi::kIocAllocMemoryOfGpu, AMDKFD_IOC_ALLOC_MEMORY_OF_GPU);
  EXPECT_EQ(uapi::kIocFreeMemoryOfGpu, AMDKFD_IOC_FREE_MEMORY_OF_GPU);
  EXPECT_EQ(uapi::kIocMapMemoryToGpu, AMDKFD_IOC_MAP_MEMORY_TO_GPU);
  EXPECT_EQ(uapi::kIocUnmapMemoryFromGpu, AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU);
  EXPECT_EQ(uapi::kIocSetCuMask, AMDKFD_IOC_SET_CU_MASK);
  EXPECT_EQ(uapi::kIocGetQueueWaveState, AMDKFD_IOC_GET_QUEUE_WAVE_STATE);
  EXPECT_EQ(uapi::kIocGetDmabufInfo, AMDKFD_IOC_GET_DMABUF_INFO);
  EXPECT_EQ(uapi::kIocImportDmabuf, AMDKFD_IOC_IMPORT_DMABUF);
  EXPECT_EQ(uapi::kIocAllocQueueGws, AMDKFD_IOC_ALLOC_QUEUE_GWS);
  EXPECT_EQ(uapi::kIocSmiEvents, AMDKFD_IOC_SMI_EVENTS);
  EXPECT_EQ(uapi::kIocSvm, AMDKFD_IOC_SVM);
  EXPECT_EQ(uapi::kIocSetXnackMode, AMDKFD_IOC_SET_XNACK_MODE);
  EXPECT_EQ(uapi::kIocCriu, AMDKFD_IOC_CRIU_OP);
  EXPECT_EQ(uapi::kIocAvailableMemory, AMDKFD_IOC_AVAILABLE_MEMORY);
  // CREATE_QUEUE has grown since (sdma_engine_id, 1.17); its number has not changed.
  EXPECT_EQ(uapi::ioctl_number(uapi::kIocCreateQueue),
            static_cast<unsigned>(_IOC_NR(AMDKFD_IOC_CREATE_QUEUE)));
}

TEST(KfdUapi, FieldsLieWhereTheKernelHasThem) {
  SAME_PLACE(CreateQueue, doorbell_offset, kfd_ioctl_create_queue_args, doorbell_offset);
  SAME_PLACE(CreateQueue, ring_size, kfd_ioctl_create_queue_args, ring_size);
  SAME_PLACE(CreateQueue, queue_type, kfd_ioctl_create_queue_args, queue_type);
  SAME_PLACE(CreateQueue, queue_id, kfd_ioctl_create_queue_args, queue_id);
  SAME_PLACE(CreateQueue, eop_buffer_address, kfd_ioctl_create_queue_args, eop_buffer_address);
  SAME_PLACE(CreateQueue, ctx_save_restore_address, kfd_ioctl_create_queue_args,
             ctx_save_restore_address);
  SAME_PLACE(CreateQueue, ctl_stack_size, kfd_ioctl_create_queue_args, ctl_stack_size);
  EXPECT_EQ(offsetof(uapi::CreateQueue, sdma_engine_id),
            sizeof(struct kfd_ioctl_create_queue_args));
  SAME_SIZE(ProcessDeviceApertures, kfd_process_device_apertures);
  SAME_PLACE(ProcessDeviceApertures, gpuvm_limit, kfd_process_device_apertures, gpuvm_limit);
  SAME_PLACE(ProcessDeviceApertures, gpu_id, kfd_process_device_apertures, gpu_id);
  SAME_PLACE(CreateEvent, event_type, kfd_ioctl_create_event_args, event_type);
  SAME_PLACE(CreateEvent, event_slot_index, kfd_ioctl_create_event_args, event_slot_index);
  SAME_SIZE(EventData, kfd_event_data);
  SAME_PLACE(EventData, event_id, kfd_event_data, event_id);
  SAME_PLACE(MemoryExceptionData, va, kfd_hsa_memory_exception_data, va);
  SAME_PLACE(MemoryExceptionData, gpu_id, kfd_hsa_memory_exception_data, gpu_id);
  SAME_SIZE(HwExceptionData, kfd_hsa_hw_exception_data);
  SAME_PLACE(WaitEvents, timeout, kfd_ioctl_wait_events_args, timeout);
  SAME_PLACE(WaitEvents, wait_result, kfd_ioctl_wait_events_args, wait_result);
  SAME_PLACE(AllocMemoryOfGpu, handle, kfd_ioctl_alloc_memory_of_gpu_args, handle);
  SAME_PLACE(AllocMemoryOfGpu, mmap_offset, kfd_ioctl_alloc_memory_of_gpu_args, mmap_offset);
  SAME_PLACE(AllocMemoryOfGpu, flags, kfd_ioctl_alloc_memory_of_gpu_args, flags);
  SAME_PLACE(MapMemoryToGpu, n_success, kfd_ioctl_map_memory_to_gpu_args, n_success);
  SAME_PLACE(GetDmabufInfo, dmabuf_fd, kfd_ioctl_get_dmabuf_info_args, dmabuf_fd);
  SAME_PLACE(ImportDmabuf, gpu_id, kfd_ioctl_import_dmabuf_args, gpu_id);
  SAME_PLACE(GetAvailableMemory, gpu_id, kfd_ioctl_get_available_memory_args, gpu_id);
  SAME_PLACE(SetCuMask, cu_mask_ptr, kfd_ioctl_set_cu_mask_args, cu_mask_ptr);
  SAME_SIZE(Criu, kfd_ioctl_criu_args);
  SAME_PLACE(Criu, op, kfd_ioctl_criu_args, op);
}

TEST(KfdUapi, FlagsAreTheKernels) {
  EXPECT_EQ(static_cast<unsigned>(uapi::kAllocMmioRemap),
            static_cast<unsigned>(KFD_IOC_ALLOC_MEM_FLAGS_MMIO_REMAP));
  EXPECT_EQ(static_cast<unsigned>(uapi::kAllocWritable),
            static_cast<unsigned>(KFD_IOC_ALLOC_MEM_FLAGS_WRITABLE));
  EXPECT_EQ(static_cast<unsigned>(uapi::kAllocExecutable),
            static_cast<unsigned>(KFD_IOC_ALLOC_MEM_FLAGS_EXECUTABLE));
  EXPECT_EQ(static_cast<unsigned>(uapi::kAllocPublic),
            static_cast<unsigned>(KFD_IOC_ALLOC_MEM_FLAGS_PUBLIC));
  EXPECT_EQ(static_cast<unsigned>(uapi::kAllocNoSubstitute),
            static_cast<unsigned>(KFD_IOC_ALLOC_MEM_FLAGS_NO_SUBSTITUTE));
  EXPECT_EQ(static_cast<unsigned>(uapi::kAllocCoherent),
            static_cast<unsigned>(KFD_IOC_ALLOC_MEM_FLAGS_COHERENT));
  EXPECT_EQ(static_cast<unsigned>(uapi::kAllocUncached),
            static_cast<unsigned>(KFD_IOC_ALLOC_MEM_FLAGS_UNCACHED));
  EXPECT_EQ(static_cast<unsigned>(uapi::kQueueSdmaXgmi),
            static_cast<unsigned>(KFD_IOC_QUEUE_TYPE_SDMA_XGMI));
  EXPECT_EQ(static_cast<unsigned>(uapi::kEventMemory), static_cast<unsigned>(KFD_IOC_EVENT_MEMORY));
  EXPECT_EQ(uapi::kSignalEventLimit, static_cast<unsigned>(KFD_SIGNAL_EVENT_LIMIT));
  EXPECT_EQ(static_cast<unsigned>(uapi::kHdpMemFlushOffset),
            static_cast<unsigned>(KFD_MMIO_REMAP_HDP_MEM_FLUSH_CNTL));
}

}  // namespace

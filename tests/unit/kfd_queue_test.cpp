// Owns: tests of queues over KFD: the exact buffers and arguments of CREATE_QUEUE, what a failure
//   gives back, errors that a queue reports.
// Does not own: ring contents (core).
// Threading: none.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "gpu/aql.hpp"
#include "kfd_fake_os.hpp"

namespace kiln::kmd {
namespace {

using testing::FakeOs;

constexpr unsigned kCreateQueue = 0x02, kDestroyQueue = 0x03, kAlloc = 0x16, kSetCuMask = 0x1a;

struct Machine {
  explicit Machine(const std::string& properties, std::uint32_t minor = uapi::kMinorNewest)
      : os(minor) {
    os.add_gpu(1, 11, 128, properties);
    kmd = make_kfd(os);
    std::vector<GpuInfo> infos;
    std::vector<Unusable> unusable;
    if (!kmd->enumerate(&infos, &unusable) || infos.empty()) return;
    info = infos[0];
    if (auto opened = kmd->open(info)) gpu = std::move(*opened);
    before = os.live_allocations();
    os.clear_calls();
  }
  std::map<Va, uapi::AllocMemoryOfGpu> allocations() {
    std::map<Va, uapi::AllocMemoryOfGpu> by_address;
    for (const auto& call : os.calls_of<uapi::AllocMemoryOfGpu>(kAlloc))
      by_address[call.va_addr] = call;
    return by_address;
  }

  FakeOs os;
  std::unique_ptr<Kmd> kmd;
  GpuInfo info;
  std::unique_ptr<Gpu> gpu;
  std::size_t before = 0;
};

TEST(KfdQueue, AqlOnEightXccs) {
  Machine machine(FakeOs::mi300x());
  ASSERT_TRUE(machine.gpu);
  auto queue = machine.gpu->create_queue(
      {.kind = QueueKind::ComputeAql, .ring_bytes = 65536, .priority = 9});
  ASSERT_TRUE(queue) << queue.error().message;
  const auto args = machine.os.calls_of<uapi::CreateQueue>(kCreateQueue).at(0);
  EXPECT_EQ(args.queue_type, 2u);
  EXPECT_EQ(args.gpu_id, 11u);
  EXPECT_EQ(args.ring_size, 65536u);
  EXPECT_EQ(args.queue_percentage, 100u);
  EXPECT_EQ(args.queue_priority, 9u);
  // kfd_queue.c's sizes of MI300X, per XCC; no end-of-pipe buffer for AQL on gfx9.4 (libhsakmt).
  EXPECT_EQ(args.ctx_save_restore_size, 0x1621000u);
  EXPECT_EQ(args.ctl_stack_size, 0x3000u);
  EXPECT_EQ(args.eop_buffer_address, 0u);
  EXPECT_EQ(args.eop_buffer_size, 0u);

  auto buffers = machine.allocations();
  ASSERT_EQ(buffers.size(), 3u);
  ASSERT_EQ(buffers.count(args.ring_base_address), 1u);
  EXPECT_EQ(buffers[args.ring_base_address].size, 65536u);
  EXPECT_EQ(buffers[args.ring_base_address].flags, 0xd6000002u);
  // Both pointers lie in amd_queue_t at the start of a page of its own (amd_hsa_queue.h offsets).
  const Va page = args.write_pointer_address - 56;
  EXPECT_EQ(args.read_pointer_address, page + 128);
  ASSERT_EQ(buffers.count(page), 1u);
  EXPECT_EQ(buffers[page].size, 4096u);
  EXPECT_EQ(buffers[page].flags, 0xd6000002u);
  ASSERT_EQ(buffers.count(args.ctx_save_restore_address), 1u);
  EXPECT_EQ(buffers[args.ctx_save_restore_address].size, 186019840u);
  EXPECT_EQ(buffers[args.ctx_save_restore_address].flags, 0xd4000002u);
  EXPECT_EQ(machine.os.madvised, std::vector<int>{MADV_DONTFORK});

  // One header per XCC: +16 debug offset, +20 debug size, +24 error payload, +32 error event.
  const auto* area = reinterpret_cast<const std::byte*>(args.ctx_save_restore_address);
  for (unsigned xcc = 0; xcc < 8; ++xcc) {
    const std::byte* header = area + std::size_t{xcc} * 0x1621000;
    std::uint32_t debug[2], event = 0;
    std::uint64_t payload = 0;
    std::memcpy(debug, header + 16, 8);
    std::memcpy(&payload, header + 24, 8);
    std::memcpy(&event, header + 32, 4);
    EXPECT_EQ(debug[0], (8 - xcc) * 0x1621000u) << xcc;
    EXPECT_EQ(debug[1], 8 * 0xbe00u) << xcc;
    EXPECT_EQ(payload, page + 2048) << xcc;
    EXPECT_EQ(event, 1u) << xcc;  // the process's first event
  }

  const auto* aql = static_cast<const gpu::aql::Queue*>((*queue)->aql_queue);
  ASSERT_EQ(reinterpret_cast<std::uintptr_t>(aql), page);
  EXPECT_EQ(aql->base_address, args.ring_base_address);
  EXPECT_EQ(aql->size, 1024u);
  EXPECT_EQ(aql->read_dispatch_id_field_base_byte_offset, 128u);
  EXPECT_EQ(aql->max_cu_id, 303u);
  EXPECT_EQ(aql->max_wave_id, 31u);
  EXPECT_EQ(aql->group_segment_aperture_base_hi, 0x10000u);
  EXPECT_EQ(aql->private_segment_aperture_base_hi, 0x20000u);
  for (unsigned slot = 0; slot < 1024; ++slot) ASSERT_EQ((*queue)->ring[slot * 16], 1u) << slot;

  EXPECT_TRUE((*queue)->write_pointer_polled);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>((*queue)->write_pointer), page + 56);
  EXPECT_TRUE(machine.gpu->destroy_queue(**queue));
  EXPECT_EQ(machine.os.live_allocations(), machine.before);
  EXPECT_FALSE(machine.gpu->destroy_queue(**queue));
}

TEST(KfdQueue, Pm4OnNavi31) {
  Machine machine(FakeOs::navi31());
  ASSERT_TRUE(machine.gpu);
  auto queue = machine.gpu->create_queue({.kind = QueueKind::ComputePm4, .ring_bytes = 16384});
  ASSERT_TRUE(queue) << queue.error().message;
  const auto args = machine.os.calls_of<uapi::CreateQueue>(kCreateQueue).at(0);
  EXPECT_EQ(args.queue_type, 0u);
  EXPECT_EQ(args.ctx_save_restore_size, 0x2bea000u);
  EXPECT_EQ(args.ctl_stack_size, 0xa000u);
  EXPECT_EQ(args.eop_buffer_size, 4096u);
  auto buffers = machine.allocations();
  ASSERT_EQ(buffers.size(), 4u);
  EXPECT_EQ(buffers[args.eop_buffer_address].size, 4096u);
  EXPECT_EQ(buffers[args.eop_buffer_address].flags, 0xd0000001u);
  EXPECT_EQ(buffers[args.ctx_save_restore_address].size, 0x2c02000u);
  EXPECT_EQ((*queue)->aql_queue, nullptr);
  EXPECT_TRUE((*queue)->write_pointer_polled);
}

TEST(KfdQueue, Pm4OnMi300xKeepsItsEndOfPipeBuffer) {
  Machine machine(FakeOs::mi300x());
  auto queue = machine.gpu->create_queue({.kind = QueueKind::ComputePm4, .ring_bytes = 16384});
  ASSERT_TRUE(queue);
  EXPECT_EQ(machine.os.calls_of<uapi::CreateQueue>(kCreateQueue).at(0).eop_buffer_size, 4096u);
}

TEST(KfdQueue, SdmaHasRingAndPointersOnly) {
  Machine machine(FakeOs::mi300x());
  auto queue = machine.gpu->create_queue({.kind = QueueKind::Sdma, .ring_bytes = 16384});
  ASSERT_TRUE(queue);
  auto xgmi = machine.gpu->create_queue({.kind = QueueKind::SdmaXgmi, .ring_bytes = 16384});
  ASSERT_TRUE(xgmi);
  const auto calls = machine.os.calls_of<uapi::CreateQueue>(kCreateQueue);
  EXPECT_EQ(calls.at(0).queue_type, 1u);
  EXPECT_EQ(calls.at(1).queue_type, 3u);
  EXPECT_EQ(calls.at(0).ctx_save_restore_address, 0u);
  EXPECT_EQ(calls.at(0).ctx_save_restore_size, 0u);
  EXPECT_EQ(calls.at(0).eop_buffer_address, 0u);
  EXPECT_EQ(machine.allocations().size(), 4u);
  EXPECT_FALSE((*queue)->write_pointer_polled);  // kfd_mqd_manager_v9.c sets no poll enable
  Machine navi(FakeOs::navi31());
  auto polled = navi.gpu->create_queue({.kind = QueueKind::Sdma, .ring_bytes = 16384});
  ASSERT_TRUE(polled);
  EXPECT_TRUE((*polled)->write_pointer_polled);  // kfd_mqd_manager_v11.c does
}

TEST(KfdQueue, AnEngineIsChosenFrom117On) {
  Machine machine(FakeOs::mi300x());
  auto queue =
      machine.gpu->create_queue({.kind = QueueKind::Sdma, .ring_bytes = 16384, .sdma_engine = 5});
  ASSERT_TRUE(queue);
  const auto args = machine.os.calls_of<uapi::CreateQueue>(kCreateQueue).at(0);
  EXPECT_EQ(args.queue_type, 4u);
  EXPECT_EQ(args.sdma_engine_id, 5u);
  Machine old(FakeOs::mi300x(), 16);
  auto refused =
      old.gpu->create_queue({.kind = QueueKind::Sdma, .ring_bytes = 16384, .sdma_engine = 5});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, VK_ERROR_FEATURE_NOT_PRESENT);
  EXPECT_NE(refused.error().message.find("SDMA engine 5 needs KFD 1.17"), std::string::npos);
}

TEST(KfdQueue, DoorbellsOfAGpuAreMappedOnceFromKfd) {
  Machine machine(FakeOs::navi31());
  auto first = machine.gpu->create_queue({.kind = QueueKind::Sdma, .ring_bytes = 4096});
  auto second = machine.gpu->create_queue({.kind = QueueKind::Sdma, .ring_bytes = 4096});
  ASSERT_TRUE(first && second);
  std::vector<FakeOs::Mapping> doorbells;
  for (const auto& mapping : machine.os.mappings)
    if (mapping.fd == FakeOs::kKfd && mapping.length == 8192) doorbells.push_back(mapping);
  ASSERT_EQ(doorbells.size(), 1u);
  // 8 KiB at the offset's page, the doorbell inside it by the low bits.
  EXPECT_EQ(static_cast<std::uint64_t>(doorbells[0].offset), 0xc000000000042000u);
  auto* base = static_cast<std::byte*>(doorbells[0].address);
  EXPECT_EQ(reinterpret_cast<std::byte*>((*first)->doorbell), base + 0x40);
  EXPECT_EQ(reinterpret_cast<std::byte*>((*second)->doorbell), base + 0x48);
}

TEST(KfdQueue, AFailureGivesEverythingBackAndSaysWhat) {
  Machine machine(FakeOs::mi300x());
  machine.os.answers[kCreateQueue] = [](void*) { return -ENOMEM; };
  auto queue = machine.gpu->create_queue({.kind = QueueKind::Sdma, .ring_bytes = 16384});
  ASSERT_FALSE(queue);
  EXPECT_EQ(queue.error().code, VK_ERROR_TOO_MANY_OBJECTS);
  EXPECT_NE(queue.error().message.find("all SDMA queues are taken"), std::string::npos);
  EXPECT_NE(queue.error().message.find("gfx942 (node 1)"), std::string::npos);
  EXPECT_EQ(machine.os.live_allocations(), machine.before);
  machine.os.answers[kCreateQueue] = [](void*) { return -EINVAL; };
  EXPECT_FALSE(machine.gpu->create_queue({.kind = QueueKind::ComputeAql, .ring_bytes = 16384}));
  EXPECT_EQ(machine.os.live_allocations(), machine.before);
  // And when memory runs out half way.
  int left = 2;
  machine.os.answers[kAlloc] = [&](void*) { return left-- > 0 ? FakeOs::kDefault : -ENOMEM; };
  EXPECT_FALSE(machine.gpu->create_queue({.kind = QueueKind::ComputePm4, .ring_bytes = 16384}));
  EXPECT_EQ(machine.os.live_allocations(), machine.before);
}

TEST(KfdQueue, BadSizesAndPrioritiesAreRefusedBeforeKfd) {
  Machine machine(FakeOs::navi31());
  for (const std::uint32_t bytes : {0u, 2048u, 4096u + 1, 12288u})
    EXPECT_FALSE(machine.gpu->create_queue({.ring_bytes = bytes})) << bytes;
  EXPECT_FALSE(machine.gpu->create_queue({.ring_bytes = 4096, .priority = 16}));
  EXPECT_FALSE(machine.gpu->create_queue({.ring_bytes = 4096, .priority = -1}));
  EXPECT_TRUE(machine.os.calls.empty());
}

TEST(KfdQueue, ACuMaskIsSetAndItsRefusalEndsTheQueue) {
  Machine machine(FakeOs::navi31());
  const std::uint32_t mask[3] = {0xffffffff, 0xffff, 0};
  auto queue = machine.gpu->create_queue({.ring_bytes = 4096, .cu_mask = mask, .cu_mask_words = 3});
  ASSERT_TRUE(queue);
  const auto call = machine.os.calls_of<uapi::SetCuMask>(kSetCuMask).at(0);
  EXPECT_EQ(call.num_cu_mask, 96u);
  EXPECT_EQ(call.cu_mask_ptr, reinterpret_cast<std::uintptr_t>(mask));
  EXPECT_TRUE(machine.gpu->destroy_queue(**queue));
  machine.os.answers[kSetCuMask] = [](void*) { return -EINVAL; };
  auto refused =
      machine.gpu->create_queue({.ring_bytes = 4096, .cu_mask = mask, .cu_mask_words = 3});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("CU mask of 96 bits"), std::string::npos);
  EXPECT_EQ(machine.os.count(kDestroyQueue), 2u);
  EXPECT_EQ(machine.os.live_allocations(), machine.before);
}

TEST(KfdQueue, ClosingTheGpuEndsItsQueues) {
  Machine machine(FakeOs::navi31());
  auto queue = machine.gpu->create_queue({.ring_bytes = 4096});
  ASSERT_TRUE(queue);
  machine.gpu.reset();
  EXPECT_EQ(machine.os.count(kDestroyQueue), 1u);
  EXPECT_EQ(machine.os.live_allocations(), machine.before);
}

TEST(KfdQueue, AnErrorPayloadBecomesAFaultInWords) {
  Machine machine(FakeOs::mi300x());
  auto fine = machine.gpu->create_queue({.kind = QueueKind::ComputeAql, .ring_bytes = 4096});
  auto bad = machine.gpu->create_queue({.kind = QueueKind::ComputeAql, .ring_bytes = 4096});
  ASSERT_TRUE(fine && bad);
  EXPECT_EQ(machine.gpu->fault().kind, FaultKind::None);
  // What KFD does: the exception mask to the address in the header (kfd_debug.c).
  const auto args = machine.os.calls_of<uapi::CreateQueue>(kCreateQueue).at(1);
  std::uint64_t payload = 0;
  std::memcpy(&payload, reinterpret_cast<const std::byte*>(args.ctx_save_restore_address) + 24, 8);
  *reinterpret_cast<std::uint64_t*>(payload) = (1u << 3) | (1u << 19);
  const FaultInfo fault = machine.gpu->fault();
  EXPECT_EQ(fault.kind, FaultKind::QueueError);
  EXPECT_EQ(fault.queue_id, (*bad)->id);
  EXPECT_EQ(fault.error_bits, (1u << 3) | (1u << 19));
  EXPECT_NE(fault.text.find("illegal instruction"), std::string::npos);
  EXPECT_NE(fault.text.find("hardware does not support"), std::string::npos);
  // Sticky for this device, even when the queue is gone; a new device starts afresh.
  EXPECT_TRUE(machine.gpu->destroy_queue(**bad));
  EXPECT_EQ(machine.gpu->fault().kind, FaultKind::QueueError);
  auto none = machine.gpu->create_queue({.ring_bytes = 4096});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, VK_ERROR_DEVICE_LOST);
  auto again = machine.kmd->open(machine.info);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->fault().kind, FaultKind::None);
}

}  // namespace
}  // namespace kiln::kmd

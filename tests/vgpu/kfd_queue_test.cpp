// The queue ioctls of the virtual KFD against the kernel's checks. Comments name the function that
// makes the check (amdkfd/kfd_queue.c, kfd_process_queue_manager.c, kfd_chardev.c).
#include <atomic>
#include <functional>

#include "kfd_fixture.hpp"

namespace kiln::vgpu::test {
namespace {

constexpr int kErrNotSupported = 524;  // the kernel's ENOTSUPP

class QueueBuffers : public ::testing::TestWithParam<std::tuple<const char*, std::uint32_t>> {};

TEST_P(QueueBuffers, EveryDeviationIsRefused) {
  // kfd_queue.c kfd_queue_acquire_buffers since Linux 6.12 (KFD 1.17).
  const auto& [chip, type] = GetParam();
  Client client(std::string(chip) + ",kfd=1.18");
  client.acquire_all();
  const uapi::CreateQueue good = client.queue_args(type);
  const bool compute = type == uapi::kQueueCompute || type == uapi::kQueueComputeAql;
  const QueueSizes sizes = client.gpu().queue_sizes();
  const Buffer two_pages = client.buffer(kGttFlags, 8192);
  struct Change {
    const char* what;
    bool compute_only;
    std::function<void(uapi::CreateQueue&)> apply;
  };
  const Change changes[] = {
      {"ring not mapped", false, [](auto& q) { q.ring_base_address = 0x7d0000000000; }},
      {"ring inside a mapping", false, [](auto& q) { q.ring_base_address += 4096; }},
      {"ring smaller than its mapping", false, [](auto& q) { q.ring_size /= 2; }},
      {"ring larger than its mapping", false, [](auto& q) { q.ring_size *= 2; }},
      {"write pointer in a larger buffer", false,
       [&](auto& q) { q.write_pointer_address = two_pages.va; }},
      {"read pointer on a second page", false,
       [&](auto& q) { q.read_pointer_address = two_pages.va + 4096; }},
      {"read pointer not mapped", false, [](auto& q) { q.read_pointer_address = 0x7d0000000000; }},
      {"EOP size", true, [](auto& q) { q.eop_buffer_size = 8192; }},
      {"EOP in a larger buffer", true, [&](auto& q) { q.eop_buffer_address = two_pages.va; }},
      {"control stack", true, [](auto& q) { q.ctl_stack_size += 4096; }},
      {"save area smaller", true, [](auto& q) { q.ctx_save_restore_size -= 4096; }},
      {"save area larger", true, [](auto& q) { q.ctx_save_restore_size += 4096; }},
      {"save area elsewhere", true, [](auto& q) { q.ctx_save_restore_address += 4096; }},
      {"save area without the debugger's part", true,
       [&](auto& q) {
         q.ctx_save_restore_address =
             client
                 .buffer(kGttFlags, std::uint64_t{sizes.save_area} * client.gpu().chip().xcc_count)
                 .va;
       }},
  };
  for (const Change& change : changes) {
    if (change.compute_only && !compute) continue;
    uapi::CreateQueue args = good;
    change.apply(args);
    EXPECT_EQ(client.create(args), -EINVAL) << change.what;
  }
  EXPECT_TRUE(client.noted.empty() || client.noted[0]->queues.empty());
  // No reference was left behind: the buffers can be unmapped, and still make a queue.
  EXPECT_EQ(client.unmap(client.ring, {client.id()}), 0);
  EXPECT_EQ(client.map(client.ring, {client.id()}), 0);
  uapi::CreateQueue args = good;
  ASSERT_EQ(client.create(args), 0);
  // While it lives its buffers stay (amdgpu_amdkfd_gpuvm_unmap_memory_from_gpu, queue_refcount).
  EXPECT_EQ(client.unmap(client.ring, {client.id()}), -EBUSY);
  EXPECT_EQ(client.unmap(client.pointers, {client.id()}), -EBUSY);
  if (compute) {
    EXPECT_EQ(client.unmap(client.save_area, {client.id()}), -EBUSY);
    EXPECT_EQ(client.unmap(client.eop, {client.id()}), -EBUSY);
  }
  ASSERT_EQ(client.destroy_queue(args.queue_id), 0);
  EXPECT_EQ(client.unmap(client.ring, {client.id()}), 0);
  EXPECT_EQ(client.unmap(client.pointers, {client.id()}), 0);
}

INSTANTIATE_TEST_SUITE_P(Chips, QueueBuffers,
                         ::testing::Combine(::testing::Values("mi300x", "navi31"),
                                            ::testing::Values(uapi::kQueueCompute,
                                                              uapi::kQueueComputeAql,
                                                              uapi::kQueueSdma)));

TEST(KfdQueue, NewKernelsAllowALargerSaveArea) {
  Client client("navi31");
  client.acquire_all();
  auto args = client.queue_args(uapi::kQueueCompute);
  QueueSizes larger = client.gpu().queue_sizes();
  larger.save_area += 65536;
  args.ctx_save_restore_size = larger.save_area;
  EXPECT_EQ(client.create(args), -EINVAL) << "the mapping must grow with it";
  args.ctx_save_restore_address = client.buffer(kGttFlags, larger.total(1)).va;
  EXPECT_EQ(client.create(args), 0);
  args.ctl_stack_size += 4096;
  EXPECT_EQ(client.create(args), -EINVAL) << "the control stack still must be equal";
}

TEST(KfdQueue, OldKernelsCheckOnlyTheWritePointerOfMes) {
  for (const char* chip : {"mi300x", "navi31"}) {
    Client client(std::string(chip) + ",kfd=1.14");
    client.acquire_all();
    auto args = client.queue_args(uapi::kQueueCompute);
    args.ring_size = 1 << 20;  // more than is mapped: fails when it runs, not here
    args.ctx_save_restore_size = 0;
    EXPECT_EQ(client.create(args), 0) << chip;
    args.write_pointer_address = client.buffer(kGttFlags, 8192).va;
    EXPECT_EQ(client.create(args), std::string(chip) == "navi31" ? -EINVAL : 0) << chip;
  }
}

TEST(KfdQueue, ArgumentErrors) {
  Client client("mi300x");
  client.acquire_all();
  const uapi::CreateQueue good = client.queue_args(uapi::kQueueComputeAql);
  const struct {
    const char* what;
    std::function<void(uapi::CreateQueue&)> apply;
    int result;
  } cases[] = {
      {"percentage", [](auto& q) { q.queue_percentage = 101; }, -EINVAL},
      {"priority", [](auto& q) { q.queue_priority = 16; }, -EINVAL},
      {"ring not a power of two", [](auto& q) { q.ring_size = 65536 + 4096; }, -EINVAL},
      {"kernel address", [](auto& q) { q.ring_base_address = ~0ull << 48; }, -EFAULT},
      {"pointer address", [](auto& q) { q.write_pointer_address = 1ull << 60; }, -EFAULT},
      {"unknown type", [](auto& q) { q.queue_type = 5; }, -kErrNotSupported},
      {"unknown GPU", [](auto& q) { q.gpu_id = 1; }, -EINVAL},
      {"no such engine",
       [](auto& q) {
         q.queue_type = uapi::kQueueSdmaByEngine;
         q.sdma_engine_id = 16;
       },
       -EINVAL},
  };
  for (const auto& bad : cases) {
    uapi::CreateQueue args = good;
    bad.apply(args);
    EXPECT_EQ(client.create(args), bad.result) << bad.what;
  }
  EXPECT_EQ(client.destroy_queue(0), -EINVAL);  // pqm_destroy_queue
  Client old("mi300x,kfd=1.16");
  old.acquire_all();
  auto by_engine = old.queue_args(uapi::kQueueSdma);
  by_engine.queue_type = uapi::kQueueSdmaByEngine;
  EXPECT_EQ(old.create(by_engine), -kErrNotSupported);
}

TEST(KfdQueue, WhatTheEngineIsTold) {
  Client client("mi300x");
  client.acquire_all();
  auto aql = client.queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client.create(aql), 0);
  const QueueConfig config = client.noted.at(0)->queues.at(aql.queue_id);
  EXPECT_EQ(config.type, QueueType::Aql);
  EXPECT_EQ(config.ring, aql.ring_base_address);
  EXPECT_EQ(config.ring_bytes, 65536u);
  EXPECT_EQ(config.read_pointer, aql.read_pointer_address);
  EXPECT_EQ(config.write_pointer, aql.write_pointer_address);
  EXPECT_EQ(config.save_area, aql.ctx_save_restore_address);
  EXPECT_EQ(config.save_area_bytes, 186019840u);
  EXPECT_EQ(config.doorbell->load(), ~0ull) << "never rung: the index before packet 0";
  auto pm4 = client.queue_args(uapi::kQueueCompute);
  pm4.queue_percentage = 100 | 3 << 8;
  ASSERT_EQ(client.create(pm4), 0);
  EXPECT_EQ(client.noted[0]->queues.at(pm4.queue_id).target_xcc, 3u);
  EXPECT_EQ(client.noted[0]->queues.at(pm4.queue_id).doorbell->load(), 0u);
  EXPECT_NE(pm4.queue_id, aql.queue_id);
}

TEST(KfdQueue, TheDoorbellIsAPlainStore) {
  Client client("mi300x");
  client.acquire_all();
  std::vector<uapi::CreateQueue> queues;
  for (const std::uint32_t type : {uapi::kQueueComputeAql, uapi::kQueueSdma, uapi::kQueueCompute}) {
    queues.push_back(client.queue_args(type));
    ASSERT_EQ(client.create(queues.back()), 0);
  }
  // As tinygrad: the page is at the offset without its low 13 bits; all queues share it.
  void* page = nullptr;
  const std::uint64_t base = queues[0].doorbell_offset & ~0x1fffull;
  ASSERT_EQ(client.os->mmap(&page, nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, client.kfd,
                            static_cast<off_t>(base)),
            0);
  for (std::size_t i = 0; i < queues.size(); ++i) {
    EXPECT_EQ(queues[i].doorbell_offset & ~0x1fffull, base);
    auto* slot = reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(page) +
                                                  (queues[i].doorbell_offset & 0x1fff));
    std::atomic_ref(*slot).store(100 + i);
  }
  for (std::size_t i = 0; i < queues.size(); ++i)
    EXPECT_EQ(client.noted[0]->queues.at(queues[i].queue_id).doorbell->load(), 100 + i);
}

TEST(KfdQueue, SdmaQueuesGoRoundTheEnginesAndRunOut) {
  Client client("mi300x");
  client.acquire_all();
  const uapi::CreateQueue good = client.queue_args(uapi::kQueueSdma);
  std::map<std::int32_t, int> by_engine;
  for (int i = 0; i < 16; ++i) {  // 2 engines of 8 queues
    uapi::CreateQueue args = good;
    ASSERT_EQ(client.create(args), 0) << i;
    ++by_engine[client.noted[0]->queues.at(args.queue_id).sdma_engine];
  }
  EXPECT_EQ(by_engine, (std::map<std::int32_t, int>{{0, 8}, {1, 8}}));
  uapi::CreateQueue args = good;
  EXPECT_EQ(client.create(args), -ENOMEM);
  args.queue_type = uapi::kQueueSdmaXgmi;
  ASSERT_EQ(client.create(args), 0);
  EXPECT_EQ(client.noted[0]->queues.at(args.queue_id).sdma_engine, 2);
  EXPECT_EQ(client.noted[0]->queues.at(args.queue_id).type, QueueType::SdmaXgmi);
  args = good;
  args.queue_type = uapi::kQueueSdmaByEngine;
  args.sdma_engine_id = 15;
  ASSERT_EQ(client.create(args), 0);
  EXPECT_EQ(client.noted[0]->queues.at(args.queue_id).sdma_engine, 15);
  ASSERT_EQ(client.destroy_queue(3), 0);
  args = good;
  EXPECT_EQ(client.create(args), 0);
  EXPECT_EQ(args.queue_id, 3u);

  Client navi("navi31");
  navi.acquire_all();
  auto xgmi = navi.queue_args(uapi::kQueueSdma);
  xgmi.queue_type = uapi::kQueueSdmaXgmi;
  EXPECT_EQ(navi.create(xgmi), -ENOMEM) << "it has no such engine";
}

TEST(KfdQueue, AtMost127OfAProcessOnAGpu) {
  Client client("mi300x");
  client.acquire_all();
  const uapi::CreateQueue good = client.queue_args(uapi::kQueueComputeAql);
  for (int i = 0; i < 127; ++i) {
    uapi::CreateQueue args = good;
    ASSERT_EQ(client.create(args), 0) << i;
  }
  uapi::CreateQueue args = good;
  EXPECT_EQ(client.create(args), -ENOSPC);  // pqm_create_queue: HWS limit
  ASSERT_EQ(client.destroy_queue(5), 0);
  EXPECT_EQ(client.create(args), 0);
}

TEST(KfdQueue, Update) {
  Client client("mi300x");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client.create(queue), 0);
  uapi::UpdateQueue args{};
  args.queue_id = queue.queue_id;
  args.ring_base_address = queue.ring_base_address;
  args.ring_size = queue.ring_size;
  args.queue_percentage = 0;
  args.queue_priority = 3;
  ASSERT_EQ(client.call(uapi::kIocUpdateQueue, args), 0);
  EXPECT_EQ(client.noted[0]->updates.back().percentage, 0u);
  EXPECT_EQ(client.noted[0]->updates.back().priority, 3u);
  // Paused, its waves can be asked for; running not (get_wave_state).
  uapi::GetQueueWaveState state{};
  state.queue_id = queue.queue_id;
  EXPECT_EQ(client.call(uapi::kIocGetQueueWaveState, state), 0);
  args.queue_percentage = 100;
  ASSERT_EQ(client.call(uapi::kIocUpdateQueue, args), 0);
  EXPECT_EQ(client.call(uapi::kIocGetQueueWaveState, state), -EINVAL);
  // Another ring takes the old one's place.
  const Buffer old_ring = client.ring, new_ring = client.buffer(kGttFlags, 131072);
  args.ring_base_address = new_ring.va;
  EXPECT_EQ(client.call(uapi::kIocUpdateQueue, args), -EFAULT) << "size differs from the mapping";
  args.ring_size = 131072;
  ASSERT_EQ(client.call(uapi::kIocUpdateQueue, args), 0);
  EXPECT_EQ(client.unmap(old_ring, {client.id()}), 0);
  EXPECT_EQ(client.unmap(new_ring, {client.id()}), -EBUSY);
  args.queue_id = 77;
  EXPECT_EQ(client.call(uapi::kIocUpdateQueue, args), -EFAULT);
  args.queue_priority = 16;
  EXPECT_EQ(client.call(uapi::kIocUpdateQueue, args), -EINVAL);
  state.queue_id = 77;
  EXPECT_EQ(client.call(uapi::kIocGetQueueWaveState, state), -EFAULT);
}

TEST(KfdQueue, DoorbellsHaveTheirPlaces) {
  // kfd_device_queue_manager.c allocate_doorbell: compute queues take the lowest free one, SDMA
  // queues that of their engine and number, in two ranges 512 apart.
  Client client("mi300x");
  client.acquire_all();
  const uapi::CreateQueue aql = client.queue_args(uapi::kQueueComputeAql);
  auto place = [&](uapi::CreateQueue args) {
    EXPECT_EQ(client.create(args), 0);
    return (args.doorbell_offset & 0x1fff) / 8;
  };
  EXPECT_EQ(place(aql), 0u);
  EXPECT_EQ(place(aql), 1u);
  const uapi::CreateQueue sdma = client.queue_args(uapi::kQueueSdma);
  EXPECT_EQ(place(sdma), 256u);        // engine 0, queue 0
  EXPECT_EQ(place(sdma), 266u);        // engine 1, queue 0
  EXPECT_EQ(place(sdma), 256u + 512);  // engine 0, queue 1
  EXPECT_EQ(place(sdma), 266u + 512);
  EXPECT_EQ(place(sdma), 257u);  // engine 0, queue 2
  uapi::CreateQueue by_engine = sdma;
  by_engine.queue_type = uapi::kQueueSdmaByEngine;
  by_engine.sdma_engine_id = 15;
  EXPECT_EQ(place(by_engine), 256u + 150);
  EXPECT_EQ(client.destroy_queue(0), 0);
  EXPECT_EQ(place(aql), 0u);
}

TEST(KfdQueue, RingSizesBelowTheSmallestAreRaised) {
  // kfd_chardev.c KFD_MIN_QUEUE_RING_SIZE; the caller sees the size that it got.
  for (const std::uint32_t size : {0u, 64u, 512u}) {
    Client client("mi300x");
    client.acquire_all();
    auto args = client.queue_args(uapi::kQueueComputeAql);
    args.ring_size = size;
    ASSERT_EQ(client.create(args), 0);
    EXPECT_EQ(args.ring_size, 1024u);
    EXPECT_EQ(client.noted.at(0)->queues.at(args.queue_id).ring_bytes, 1024u);
  }
  Client old("mi300x,kfd=1.17");
  old.acquire_all();
  auto args = old.queue_args(uapi::kQueueComputeAql);
  args.ring_size = 0;
  ASSERT_EQ(old.create(args), 0);
  EXPECT_EQ(args.ring_size, 0u);
  EXPECT_EQ(old.noted.at(0)->updates.back().percentage, 0u) << "without a ring it does not run";
}

TEST(KfdQueue, StoppedByPercentageOrRingAndStartedAgain) {
  // kfd_priv.h QUEUE_IS_ACTIVE.
  Client client("mi300x");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client.create(queue), 0);
  auto update = [&](std::uint64_t ring, std::uint32_t size, std::uint32_t percentage) {
    uapi::UpdateQueue args{ring, queue.queue_id, size, percentage, 7};
    EXPECT_EQ(client.call(uapi::kIocUpdateQueue, args), 0);
    return client.noted.at(0)->updates.back().percentage;
  };
  EXPECT_EQ(update(client.ring.va, 65536, 0), 0u);
  EXPECT_EQ(update(client.ring.va, 65536, 50), 50u);
  EXPECT_EQ(update(0, 0, 100), 0u);
  EXPECT_EQ(update(client.ring.va, 65536, 100), 100u);
  EXPECT_EQ(client.noted.at(0)->updates.back().ring, client.ring.va);
  // Made stopped, too.
  auto stopped = client.queue_args(uapi::kQueueComputeAql);
  stopped.queue_percentage = 0;
  ASSERT_EQ(client.create(stopped), 0);
  EXPECT_EQ(client.noted.at(0)->updates.back().id, stopped.queue_id);
  EXPECT_EQ(client.noted.at(0)->updates.back().percentage, 0u);
}

TEST(KfdQueue, WaveStateOfAStoppedQueueIsEmptyInEveryXcc) {
  // kfd_mqd_manager_v9.c get_wave_state_v9_4_3: a header at each XCC's part.
  Client client("mi300x");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client.create(queue), 0);
  std::memset(client.save_area.host, 0xff, 64);
  uapi::UpdateQueue update{client.ring.va, queue.queue_id, 65536, 0, 7};
  ASSERT_EQ(client.call(uapi::kIocUpdateQueue, update), 0);
  uapi::GetQueueWaveState state{};
  state.queue_id = queue.queue_id;
  state.ctl_stack_used_size = state.save_area_used_size = 77;
  ASSERT_EQ(client.call(uapi::kIocGetQueueWaveState, state), 0);
  EXPECT_EQ(state.ctl_stack_used_size, 0u);
  EXPECT_EQ(state.save_area_used_size, 0u);
  for (std::uint64_t xcc = 0; xcc < 8; ++xcc) {
    uapi::SaveAreaHeader header{};
    std::memcpy(&header, client.save_area.host + xcc * queue.ctx_save_restore_size, sizeof header);
    EXPECT_EQ(header.control_stack_offset, queue.ctl_stack_size) << xcc;
    EXPECT_EQ(header.control_stack_size, 0u);
    EXPECT_EQ(header.wave_state_offset, queue.ctl_stack_size);
    EXPECT_EQ(header.wave_state_size, 0u);
    // What the runtime put there stays: only the firmware's four words are KFD's.
    EXPECT_EQ(header.debug_offset, xcc == 0 ? ~0u : 0u);
  }
}

TEST(KfdQueue, CuMask) {
  for (const char* chip : {"mi300x", "navi31"}) {
    Client client(chip);
    client.acquire_all();
    auto queue = client.queue_args(uapi::kQueueCompute);
    ASSERT_EQ(client.create(queue), 0);
    const std::uint32_t pairs[3] = {0xffffffff, 0x0000000c, 0x30000000};
    const std::uint32_t single[1] = {0x00000001};
    auto set = [&](const std::uint32_t* words, std::uint32_t bits, std::uint32_t id) {
      uapi::SetCuMask args{id, bits, reinterpret_cast<std::uint64_t>(words)};
      return client.call(uapi::kIocSetCuMask, args);
    };
    EXPECT_EQ(set(pairs, 96, queue.queue_id), 0);
    EXPECT_EQ(client.noted[0]->cu_masks.at(queue.queue_id),
              std::vector<std::uint32_t>(pairs, pairs + 3));
    EXPECT_EQ(set(pairs, 0, queue.queue_id), -EINVAL);
    EXPECT_EQ(set(pairs, 40, queue.queue_id), -EINVAL);
    EXPECT_EQ(set(reinterpret_cast<const std::uint32_t*>(8), 32, queue.queue_id), -EFAULT);
    EXPECT_EQ(set(pairs, 32, 99), -EFAULT);
    // pqm_update_mqd: both CUs of a WGP or none, where there are WGPs.
    EXPECT_EQ(set(single, 32, queue.queue_id), std::string(chip) == "navi31" ? -EINVAL : 0);
  }
}

TEST(KfdQueue, GlobalWaveSync) {
  Client client("mi300x");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client.create(queue), 0);
  uapi::AllocQueueGws args{queue.queue_id, 1, 0, 0};
  EXPECT_EQ(client.call(uapi::kIocAllocQueueGws, args), -ENODEV);
  args.queue_id = 50;
  EXPECT_EQ(client.call(uapi::kIocAllocQueueGws, args), -EINVAL);
}

TEST(KfdQueue, EndOfTheMachineEndsTheQueues) {
  auto client = std::make_unique<Client>("mi300x");
  client->acquire_all();
  auto queue = client->queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client->create(queue), 0);
  client.reset();  // destroys queues, engines, mappings; sanitizers would tell
}

}  // namespace
}  // namespace kiln::vgpu::test

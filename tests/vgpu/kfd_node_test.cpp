// The ioctls of the virtual KFD other than memory's and queues', and its files, against the
// kernel's checks. Comments name the function that makes the check; files are of
// drivers/gpu/drm/amd (amdkfd/kfd_chardev.c where none is given).
#include <amdgpu_drm.h>
#include <drm.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "kfd_fixture.hpp"

namespace kiln::vgpu::test {
namespace {

TEST(KfdNode, VersionsChangeWhatExists) {
  const struct {
    const char* name;
    unsigned long request;
    std::uint32_t since;
  } commands[] = {{"export", uapi::kIocExportDmabuf, 12},
                  {"runtime", uapi::kIocRuntimeEnable, 13},
                  {"debug", uapi::kIocDbgTrap, 13},
                  {"create process", uapi::kIocCreateProcess, 19}};
  for (const std::uint32_t minor : {11u, 14u, 18u, kNewestKfdMinor}) {
    Client client("mi300x,kfd=1." + std::to_string(minor));
    uapi::GetVersion version{};
    ASSERT_EQ(client.call(uapi::kIocGetVersion, version), 0);
    EXPECT_EQ(version.major_version, 1u);
    EXPECT_EQ(version.minor_version, minor);
    for (const auto& command : commands) {
      std::byte data[64]{};
      const int result = client.os->ioctl(client.kfd, command.request, data);
      EXPECT_EQ(result == -ENOTTY, minor < command.since) << command.name << minor;
    }
  }
}

TEST(KfdNode, UnknownCommandsAreEnotty) {
  Client client("mi300x");
  std::byte data[256]{};
  EXPECT_EQ(client.os->ioctl(client.kfd, _IOWR('K', 0x80, char[16]), data), -ENOTTY);
  EXPECT_EQ(client.os->ioctl(client.kfd, _IOWR('K', 0x00, char[16]), data), -ENOTTY);
  // The number alone decides: what isatty() asks of a descriptor is GET_VERSION without room.
  EXPECT_EQ(client.os->ioctl(client.kfd, TCGETS, data), 0);
  EXPECT_EQ(data[0], std::byte{0});
}

TEST(KfdNode, SizesOfOlderAndNewerCallers) {
  // kfd_ioctl copies what the caller has and reads the rest as zero.
  Client client("mi300x");
  struct {
    std::uint32_t major = 77, guard = 88;
  } small;
  EXPECT_EQ(client.os->ioctl(client.kfd, _IOR('K', 0x01, char[4]), &small), 0);
  EXPECT_EQ(small.major, 1u);
  EXPECT_EQ(small.guard, 88u);
  EXPECT_EQ(client.os->ioctl(client.kfd, uapi::kIocGetVersion, nullptr), -EFAULT);
  EXPECT_EQ(client.os->ioctl(client.kfd, uapi::kIocCreateQueue, reinterpret_cast<void*>(16)),
            -EFAULT);
}

TEST(KfdNode, AperturesOldAndNew) {
  Client client("2x mi300x");
  uapi::GetProcessAperturesNew count{};
  ASSERT_EQ(client.call(uapi::kIocGetProcessAperturesNew, count), 0);
  ASSERT_EQ(count.num_of_nodes, 2u);
  uapi::ProcessDeviceApertures list[4]{};
  uapi::GetProcessAperturesNew args{reinterpret_cast<std::uint64_t>(list), 3, 0};
  ASSERT_EQ(client.call(uapi::kIocGetProcessAperturesNew, args), 0);
  ASSERT_EQ(args.num_of_nodes, 2u);
  EXPECT_EQ(list[1].gpu_id, client.id(1));
  EXPECT_EQ(list[0].lds_base, 0x1000000000000u);  // kfd_flat_memory.c MAKE_LDS_APP_BASE_V9
  EXPECT_EQ(list[0].scratch_base, 0x2000000000000u);
  EXPECT_EQ(list[0].lds_limit, 0x10000ffffffffu);
  EXPECT_EQ(list[0].gpuvm_limit, 0x7fffffffffffu);
  uapi::GetProcessApertures old{};
  ASSERT_EQ(client.call(uapi::kIocGetProcessApertures, old), 0);
  EXPECT_EQ(old.num_of_nodes, 2u);
  EXPECT_EQ(std::memcmp(&old.process_apertures[1], &list[1], sizeof list[1]), 0);
  args.apertures_ptr = 8;
  EXPECT_EQ(client.call(uapi::kIocGetProcessAperturesNew, args), -EFAULT);
}

TEST(KfdNode, BeforeAcquireVmNothingBinds) {
  // kfd_bind_process_to_device: -ENODEV without a VM; some callers make -ESRCH of it.
  Client client("mi300x");
  Buffer buffer;
  EXPECT_EQ(client.alloc(kGttFlags, 4096, &buffer), -ENODEV);
  uapi::SetTrapHandler trap{0, 0, client.id(), 0};
  EXPECT_EQ(client.call(uapi::kIocSetTrapHandler, trap), -ESRCH);
  uapi::SetMemoryPolicy policy{};
  policy.gpu_id = client.id();
  EXPECT_EQ(client.call(uapi::kIocSetMemoryPolicy, policy), -ESRCH);
  policy.default_policy = 2;
  EXPECT_EQ(client.call(uapi::kIocSetMemoryPolicy, policy), -EINVAL);
  uapi::SetScratchBackingVa scratch{0, client.id(), 0};
  EXPECT_EQ(client.call(uapi::kIocSetScratchBackingVa, scratch), -ENODEV);
  uapi::CreateQueue queue{};
  queue.gpu_id = client.id();
  EXPECT_EQ(client.create(queue), -ESRCH);
  client.acquire_all();
  EXPECT_EQ(client.call(uapi::kIocSetTrapHandler, trap), 0);
  EXPECT_EQ(client.call(uapi::kIocSetScratchBackingVa, scratch), 0);
  policy.default_policy = 1;
  EXPECT_EQ(client.call(uapi::kIocSetMemoryPolicy, policy), 0);
  trap.gpu_id = 1;
  EXPECT_EQ(client.call(uapi::kIocSetTrapHandler, trap), -EINVAL);
}

TEST(KfdNode, AcquireVm) {
  Client client("2x mi300x");
  const int other = client.os->open("/dev/dri/renderD128", 0);
  auto acquire = [&](int fd, std::uint32_t id) {
    uapi::AcquireVm args{static_cast<std::uint32_t>(fd), id};
    return client.call(uapi::kIocAcquireVm, args);
  };
  EXPECT_EQ(acquire(client.render[0], 1), -EINVAL);             // no such GPU
  EXPECT_EQ(acquire(client.kfd, client.id(0)), -EINVAL);        // not a render node
  EXPECT_EQ(acquire(999, client.id(0)), -EINVAL);               // fget
  EXPECT_EQ(acquire(client.render[0], client.id(1)), -EINVAL);  // another card's
  EXPECT_EQ(acquire(client.render[0], client.id(0)), 0);
  EXPECT_EQ(acquire(client.render[0], client.id(0)), 0);  // the same again
  EXPECT_EQ(acquire(other, client.id(0)), -EBUSY);
  // The process keeps its state when its files are closed (kfd_process.c): still busy.
  client.os->close(client.kfd);
  client.kfd = client.os->open("/dev/kfd", 0);
  EXPECT_EQ(acquire(other, client.id(0)), -EBUSY);
}

TEST(KfdNode, CreateProcessIsASecondContext) {
  Client client("mi300x");
  client.acquire_all();
  const int second = client.os->open("/dev/kfd", 0);
  const int render = client.os->open("/dev/dri/renderD128", 0);
  ASSERT_EQ(client.os->ioctl(second, uapi::kIocCreateProcess, nullptr), 0);
  EXPECT_EQ(client.os->ioctl(second, uapi::kIocCreateProcess, nullptr), -EINVAL);
  uapi::AcquireVm args{static_cast<std::uint32_t>(client.render[0]), client.id()};
  // A VM that is a compute VM already (amdgpu_amdkfd_gpuvm_acquire_process_vm).
  EXPECT_EQ(client.os->ioctl(second, uapi::kIocAcquireVm, &args), -EINVAL);
  args.drm_fd = static_cast<std::uint32_t>(render);
  EXPECT_EQ(client.os->ioctl(second, uapi::kIocAcquireVm, &args), 0);
  EXPECT_EQ(client.os->close(second), 0);
}

TEST(KfdNode, RuntimeEnable) {
  Client client("mi300x");
  client.acquire_all();
  uapi::RuntimeEnable args{};
  EXPECT_EQ(client.call(uapi::kIocRuntimeEnable, args), 0);  // mode 0 disables what is off
  auto queue = client.queue_args(uapi::kQueueSdma);
  ASSERT_EQ(client.create(queue), 0);
  args.mode_mask = uapi::kRuntimeEnable | uapi::kRuntimeTtmpSave;
  EXPECT_EQ(client.call(uapi::kIocRuntimeEnable, args), -EEXIST);
  ASSERT_EQ(client.destroy_queue(queue.queue_id), 0);
  EXPECT_EQ(client.call(uapi::kIocRuntimeEnable, args), 0);
  EXPECT_EQ(client.call(uapi::kIocRuntimeEnable, args), -EBUSY);
  args.mode_mask = 0;
  EXPECT_EQ(client.call(uapi::kIocRuntimeEnable, args), 0);
  args.mode_mask = uapi::kRuntimeEnable;
  EXPECT_EQ(client.call(uapi::kIocRuntimeEnable, args), 0);
}

TEST(KfdNode, XnackIsOffUntilAProcessChooses) {
  // kfd_process.c kfd_process_xnack_mode: per process on 9.4.2 and 9.4.3, never from gfx10 on.
  for (const char* chip : {"mi300x", "mi210", "navi31", "navi21"}) {
    Client client(chip);
    const bool chooses = client.gpu().chip().gc.major == 9;
    auto ask = [&](std::int32_t* mode) {
      uapi::SetXnackMode args{*mode};
      const int result = client.call(uapi::kIocSetXnackMode, args);
      *mode = args.xnack_enabled;
      return result;
    };
    std::int32_t mode = -1;
    EXPECT_EQ(ask(&mode), 0) << chip;
    EXPECT_EQ(mode, 0) << chip;
    mode = 1;
    EXPECT_EQ(ask(&mode), chooses ? 0 : -EPERM) << chip;
    mode = -1;
    EXPECT_EQ(ask(&mode), 0);
    EXPECT_EQ(mode, chooses ? 1 : 0) << chip;
    mode = 0;
    EXPECT_EQ(ask(&mode), 0) << chip;
  }
}

TEST(KfdNode, ClocksAreSaneAndNeverGoBack) {
  Client client("2x mi300x");
  uapi::GetClockCounters last{}, now{};
  last.gpu_id = client.id(1);
  ASSERT_EQ(client.call(uapi::kIocGetClockCounters, last), 0);
  EXPECT_EQ(last.system_clock_freq, 1'000'000'000u);
  for (int i = 0; i < 1000; ++i) {
    now.gpu_id = client.id(i % 2);
    ASSERT_EQ(client.call(uapi::kIocGetClockCounters, now), 0);
    EXPECT_GE(now.gpu_clock_counter, last.gpu_clock_counter) << "one clock for all GPUs";
    EXPECT_GE(now.cpu_clock_counter, last.cpu_clock_counter);
    EXPECT_GE(now.system_clock_counter, last.system_clock_counter);
    last = now;
  }
  // The clocks that the header names (ktime_get_raw_ns, ktime_get_boottime_ns), read around a call.
  auto nanoseconds = [](clockid_t clock) {
    struct timespec time{};
    clock_gettime(clock, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(time.tv_nsec);
  };
  const std::uint64_t raw = nanoseconds(CLOCK_MONOTONIC_RAW), boot = nanoseconds(CLOCK_BOOTTIME);
  ASSERT_EQ(client.call(uapi::kIocGetClockCounters, now), 0);
  EXPECT_GE(now.cpu_clock_counter, raw);
  EXPECT_LE(now.cpu_clock_counter, nanoseconds(CLOCK_MONOTONIC_RAW));
  EXPECT_GE(now.system_clock_counter, boot);
  EXPECT_LE(now.system_clock_counter, nanoseconds(CLOCK_BOOTTIME));
  // A node without a GPU has no GPU clock; the others go on.
  now.gpu_id = 0;
  ASSERT_EQ(client.call(uapi::kIocGetClockCounters, now), 0);
  EXPECT_EQ(now.gpu_clock_counter, 0u);
  EXPECT_NE(now.cpu_clock_counter, 0u);
}

TEST(KfdNode, QueuesKnowWhereTheTrapHandlerIs) {
  // kfd_process.c kfd_process_set_trap_handler: also of queues made before, and per GPU.
  Client client("2x mi300x");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client.create(queue), 0);
  const QueueConfig config = client.noted.at(0)->queues.at(queue.queue_id);
  EXPECT_EQ(config.trap_handler->code, 0u);
  uapi::SetTrapHandler args{0x700000001000, 0x700000002000, client.id(0), 0};
  ASSERT_EQ(client.call(uapi::kIocSetTrapHandler, args), 0);
  EXPECT_EQ(config.trap_handler->code, 0x700000001000u);
  EXPECT_EQ(config.trap_handler->memory, 0x700000002000u);
  auto other = client.queue_args(uapi::kQueueComputeAql, 1);
  ASSERT_EQ(client.create(other), 0);
  EXPECT_EQ(client.noted.at(1)->queues.at(other.queue_id).trap_handler->code, 0u);
}

TEST(KfdNode, ProcessOutlivesItsFiles) {
  // kfd_process.c: the process ends with its address space, not with the last close.
  Client client("mi300x");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client.create(queue), 0);
  const auto event = client.event(uapi::kEventSignal);
  const int second = client.os->open("/dev/kfd", 0);
  ASSERT_EQ(client.os->close(client.kfd), 0);
  EXPECT_EQ(client.noted.at(0)->queues.size(), 1u);
  client.kfd = second;
  EXPECT_EQ(client.set(event.event_id), 0);
  ASSERT_EQ(client.os->close(client.kfd), 0);
  client.kfd = client.os->open("/dev/kfd", 0);
  EXPECT_EQ(client.destroy_queue(queue.queue_id), 0);
  EXPECT_TRUE(client.noted.at(0)->queues.empty());
}

TEST(KfdNode, SecondContextHasQueuesEventsAndAnEndOfItsOwn) {
  Client client("mi300x");
  client.acquire_all();
  auto first = client.queue_args(uapi::kQueueComputeAql);
  ASSERT_EQ(client.create(first), 0);
  const auto event = client.event(uapi::kEventSignal);
  const int primary_file = client.kfd, primary_render = client.render[0];
  client.kfd = client.os->open("/dev/kfd", 0);
  client.render[0] = client.os->open("/dev/dri/renderD128", 0);
  ASSERT_EQ(client.os->ioctl(client.kfd, uapi::kIocCreateProcess, nullptr), 0);
  EXPECT_EQ(client.destroy_queue(first.queue_id), -EINVAL);
  EXPECT_EQ(client.set(event.event_id), -EINVAL);
  ASSERT_EQ(client.acquire(), 0);
  auto second = client.queue_args(uapi::kQueueCompute);
  ASSERT_EQ(client.create(second), 0);
  EXPECT_EQ(second.queue_id, first.queue_id) << "numbers are a process's own";
  // NotingEngines keeps the last queue of a number: the second context's, which goes with its file.
  EXPECT_EQ(client.noted.at(0)->queues.at(0).type, QueueType::Pm4);
  ASSERT_EQ(client.os->close(client.kfd), 0);
  EXPECT_TRUE(client.noted.at(0)->queues.empty());
  client.kfd = primary_file;
  client.render[0] = primary_render;
  EXPECT_EQ(client.set(event.event_id), 0);
  EXPECT_EQ(client.destroy_queue(first.queue_id), 0);
}

TEST(KfdNode, TileConfig) {
  Client client("mi300x");
  std::uint32_t tiles[40];
  std::memset(tiles, 0xff, sizeof tiles);
  uapi::GetTileConfig args{};
  args.gpu_id = client.id();
  args.tile_config_ptr = args.macro_tile_config_ptr = reinterpret_cast<std::uint64_t>(tiles);
  args.num_tile_configs = args.num_macro_tile_configs = 40;
  ASSERT_EQ(client.call(uapi::kIocGetTileConfig, args), 0);
  EXPECT_EQ(args.num_tile_configs, 32u);
  EXPECT_EQ(args.num_macro_tile_configs, 16u);
  EXPECT_EQ(tiles[31], 0u);
  EXPECT_EQ(tiles[32], ~0u);
  args.tile_config_ptr = 8;
  EXPECT_EQ(client.call(uapi::kIocGetTileConfig, args), -EFAULT);
  args.gpu_id = 1;
  EXPECT_EQ(client.call(uapi::kIocGetTileConfig, args), -EINVAL);
}

TEST(VirtualOs, AChildHasNoDevices) {
  Client client("mi300x");
  client.acquire_all();
  const pid_t child = fork();
  if (child == 0) {
    int failures = 0;
    uapi::GetVersion version{};
    failures += client.call(uapi::kIocGetVersion, version) != -EBADF;
    failures += client.os->open("/dev/kfd", 0) != -ENODEV;
    failures += client.os->ioctl(client.render[0], DRM_IOCTL_VERSION, &version) != -EBADF;
    std::string text;
    failures += client.os->read_file("/sys/class/kfd/kfd/topology/generation_id", &text) != 0;
    _exit(failures);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(VirtualOs, HostFilesPassThrough) {
  Client client("mi300x");
  const int fd = client.os->open("/dev/null", O_RDWR);
  ASSERT_GE(fd, 0);
  int unused = 0;
  EXPECT_EQ(client.os->ioctl(fd, uapi::kIocGetVersion, &unused), -ENOTTY);
  EXPECT_EQ(client.os->close(fd), 0);
  EXPECT_EQ(client.os->close(fd), -EBADF);
  EXPECT_EQ(client.os->open("/no/such/file", O_RDONLY), -ENOENT);
  EXPECT_TRUE(client.os->is_virtual());
  EXPECT_EQ(client.os->description(), "mi300x");
}

TEST(VirtualOs, RenderNodeAnswersLibdrm) {
  Client client("navi31");
  char name[16] = {}, date[16] = {}, description[16] = {};
  drm_version version{};
  ASSERT_EQ(client.os->ioctl(client.render[0], DRM_IOCTL_VERSION, &version), 0);
  ASSERT_EQ(version.name_len, 6u);
  ASSERT_GT(version.date_len, 0u);  // libdrm duplicates all three: none may be missing
  ASSERT_GT(version.desc_len, 0u);
  version.name = name;
  version.date = date;
  version.desc = description;
  version.date_len = version.desc_len = 15;
  ASSERT_EQ(client.os->ioctl(client.render[0], DRM_IOCTL_VERSION, &version), 0);
  EXPECT_STREQ(name, "amdgpu");
  EXPECT_EQ(version.version_major, 3);

  std::uint32_t working = 0;
  drm_amdgpu_info info{};
  info.return_pointer = reinterpret_cast<std::uint64_t>(&working);
  info.return_size = sizeof working;
  info.query = AMDGPU_INFO_ACCEL_WORKING;
  EXPECT_EQ(client.os->ioctl(client.render[0], DRM_IOCTL_AMDGPU_INFO, &info), 0);
  EXPECT_EQ(working, 1u);
  drm_amdgpu_info_device device{};
  info.return_pointer = reinterpret_cast<std::uint64_t>(&device);
  info.return_size = sizeof device;
  info.query = AMDGPU_INFO_DEV_INFO;
  ASSERT_EQ(client.os->ioctl(client.render[0], DRM_IOCTL_AMDGPU_INFO, &info), 0);
  EXPECT_EQ(device.device_id, 0x744cu);
  EXPECT_EQ(device.cu_active_number, 96u);
  int cus = 0;
  for (const auto& row : device.cu_bitmap)
    for (const std::uint32_t bits : row) cus += __builtin_popcount(bits);
  EXPECT_EQ(cus, 96);
  info.query = 0xff;
  EXPECT_EQ(client.os->ioctl(client.render[0], DRM_IOCTL_AMDGPU_INFO, &info), -EINVAL);
  info.return_pointer = 8;
  info.query = AMDGPU_INFO_DEV_INFO;
  EXPECT_EQ(client.os->ioctl(client.render[0], DRM_IOCTL_AMDGPU_INFO, &info), -EFAULT);
}

TEST(VirtualOs, ManyThreadsAtOnce) {
  // Everything that may run at the same time does: allocation, export, queues, waits, interrupts of
  // engines, a VM fault. Sanitizers judge; here only that each thread's own calls succeed.
  Client client("2x mi300x,vram=256M");
  client.acquire_all();
  auto queue = client.queue_args(uapi::kQueueSdma);
  const uapi::CreateQueue queue_args = queue;
  ASSERT_EQ(client.create(queue), 0);
  NotingEngines& engines = *client.noted.at(0);
  const std::uint64_t process = engines.queues.at(queue.queue_id).process;
  const auto event = client.event(uapi::kEventSignal, true);
  constexpr int kRounds = 200;
  std::atomic<int> failures{0};
  std::atomic<bool> done{false};
  auto expect = [&](bool good) { failures += good ? 0 : 1; };
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        Buffer buffer;
        expect(client.alloc(kVramFlags, 65536, &buffer, t) == 0);
        expect(client.host_map(&buffer, t) == 0);
        expect(client.map(buffer, {client.id(0), client.id(1)}) == 0);
        buffer.host[0] = std::byte{1};
        if (i % 8 == 0) {
          uapi::ExportDmabuf exported{};
          exported.handle = buffer.handle;
          expect(client.call(uapi::kIocExportDmabuf, exported) == 0);
          expect(buffer.host[0] == std::byte{1});
          ::close(static_cast<int>(exported.dmabuf_fd));
        }
        expect(client.unmap(buffer, {client.id(0), client.id(1)}) == 0);
        expect(client.os->munmap(buffer.host, buffer.bytes) == 0);
        expect(client.free(buffer) == 0);
      }
    });
  threads.emplace_back([&] {
    for (int i = 0; i < kRounds; ++i) {
      uapi::CreateQueue args = queue_args;
      expect(client.create(args) == 0);
      expect(client.destroy_queue(args.queue_id) == 0);
    }
  });
  threads.emplace_back([&] {
    while (!done) engines.host.interrupt(process, event.event_id);
    engines.host.vm_fault(process, MemoryFault{});
  });
  threads.emplace_back([&] {
    for (int i = 0; i < kRounds; ++i) expect(client.set(event.event_id) == 0);
  });
  std::thread waiter([&] {
    while (!done) {
      std::vector<uapi::EventData> events{event_data(event.event_id)};
      std::uint32_t result = 99;
      expect(client.wait(events, false, 1, &result) == 0);
    }
  });
  for (std::size_t i = 0; i < threads.size(); ++i)
    if (i != 3) threads[i].join();
  done = true;
  threads[3].join();
  waiter.join();
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace kiln::vgpu::test

// Owns: tests of finding and opening GPUs over KFD: what is done once per process and in which
//   order, each reason for a GPU that cannot be used, versions, fork.
// Does not own: memory, queues, events of an opened GPU (their own tests).
// Threading: none.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "kfd_fake_os.hpp"
#include "kmd/kfd_process.hpp"

namespace kiln::kmd {
namespace {

using testing::FakeOs;

constexpr unsigned kCreateEvent = 0x08, kAcquireVm = 0x15, kAlloc = 0x16, kMap = 0x18,
                   kRuntimeEnable = 0x25;

class KfdOpen : public ::testing::Test {
 protected:
  void SetUp() override { unsetenv("KILN_OVERRIDE_GFX"); }
  void TearDown() override { unsetenv("KILN_OVERRIDE_GFX"); }

  /// Enumerates and expects exactly one reason and no GPU.
  Unusable only_reason(Os& os) {
    auto kmd = make_kfd(os);
    std::vector<GpuInfo> gpus;
    std::vector<Unusable> unusable;
    const Status status = kmd->enumerate(&gpus, &unusable);
    EXPECT_TRUE(status) << status.error().message;
    EXPECT_TRUE(gpus.empty());
    EXPECT_EQ(unusable.size(), 1u);
    return unusable.empty() ? Unusable{} : unusable.front();
  }
  static bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
  static std::vector<GpuInfo> gpus_of(Kmd& kmd) {
    std::vector<GpuInfo> gpus;
    std::vector<Unusable> unusable;
    EXPECT_TRUE(kmd.enumerate(&gpus, &unusable));
    for (const Unusable& entry : unusable) ADD_FAILURE() << entry.name << ": " << entry.reason;
    return gpus;
  }
};

#define EXPECT_CONTAINS(text, part) EXPECT_TRUE(contains(text, part)) << text

TEST_F(KfdOpen, NoDevice) {
  FakeOs os;
  os.open_results["/dev/kfd"] = -ENOENT;
  const Unusable reason = only_reason(os);
  EXPECT_EQ(reason.name, "/dev/kfd");
  EXPECT_EQ(reason.code, VK_ERROR_INCOMPATIBLE_DRIVER);
  EXPECT_CONTAINS(reason.reason, "amdgpu kernel module is not loaded");
  EXPECT_CONTAINS(reason.reason, "--device=/dev/kfd");
}

TEST_F(KfdOpen, NoPermissionNamesTheGroup) {
  FakeOs os;
  os.open_results["/dev/kfd"] = -EACCES;
  os.groups["/dev/kfd"] = "render";
  const Unusable reason = only_reason(os);
  EXPECT_CONTAINS(reason.reason, "belongs to the group render");
  EXPECT_CONTAINS(reason.reason, "usermod -a -G render");
}

TEST_F(KfdOpen, NoPermissionForTheRenderNodeNamesItsGroup) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  os.open_results["/dev/dri/renderD128"] = -EACCES;
  os.groups["/dev/dri/renderD128"] = "video";
  const Unusable reason = only_reason(os);
  EXPECT_EQ(reason.name, "gfx1100 (node 1)");
  EXPECT_CONTAINS(reason.reason, "/dev/dri/renderD128");
  EXPECT_CONTAINS(reason.reason, "group video");
}

TEST_F(KfdOpen, OldKfd) {
  FakeOs os(10);
  EXPECT_CONTAINS(only_reason(os).reason, "speaks version 1.10, Kiln needs 1.11");
}

TEST_F(KfdOpen, AnotherMajorVersion) {
  FakeOs os;
  os.answers[0x01] = [](void* argument) {
    *static_cast<uapi::GetVersion*>(argument) = {2, 0};
    return 0;
  };
  EXPECT_CONTAINS(only_reason(os).reason, "speaks version 2.0");
}

TEST_F(KfdOpen, NoRenderNode) {
  FakeOs os;
  os.add_gpu(1, 11, 0, FakeOs::navi31());
  EXPECT_CONTAINS(only_reason(os).reason, "no DRM render node");
}

TEST_F(KfdOpen, ARenderNodeOfAnotherDriver) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  os.drm_drivers[2128] = "i915";
  EXPECT_CONTAINS(only_reason(os).reason, "belongs to the driver i915");
}

TEST_F(KfdOpen, AKnownTargetWithoutBackend) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31() + "gfx_target_version 100301\n");
  const Unusable reason = only_reason(os);
  EXPECT_EQ(reason.name, "gfx1031 (node 1)");
  EXPECT_EQ(reason.code, VK_ERROR_INCOMPATIBLE_DRIVER);
  EXPECT_CONTAINS(reason.reason, "no backend");
  for (const char* name : {"gfx90a", "gfx942", "gfx1030", "gfx1100"})
    EXPECT_CONTAINS(reason.reason, name);
}

TEST_F(KfdOpen, AnUnknownTargetNamesTheOverride) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31() + "gfx_target_version 110009\n");
  const Unusable reason = only_reason(os);
  EXPECT_EQ(reason.name, "gfx1109 (node 1)");
  EXPECT_CONTAINS(reason.reason, "KILN_OVERRIDE_GFX");
}

TEST_F(KfdOpen, TheOverrideOfAnotherGenerationIsRefused) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31() + "gfx_target_version 110009\n");
  setenv("KILN_OVERRIDE_GFX", "gfx942", 1);
  EXPECT_CONTAINS(only_reason(os).reason, "does not fit gfx1109");
}

TEST_F(KfdOpen, ANodeHiddenByADeviceCgroup) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  os.read_errors[FakeOs::node_path(1) + "/properties"] = -EPERM;
  const Unusable reason = only_reason(os);
  EXPECT_EQ(reason.name, "node 1");
  EXPECT_CONTAINS(reason.reason, "cgroup");
}

TEST_F(KfdOpen, NoGpuAtAll) {
  FakeOs os;
  os.add_cpu(0);
  EXPECT_CONTAINS(only_reason(os).reason, "no GPU for compute");
}

TEST_F(KfdOpen, AnotherRuntimeHoldsTheAddressSpace) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  os.answers[kAcquireVm] = [](void*) { return -EBUSY; };
  auto kmd = make_kfd(os);
  const auto gpus = gpus_of(*kmd);
  ASSERT_EQ(gpus.size(), 1u);
  auto gpu = kmd->open(gpus[0]);
  ASSERT_FALSE(gpu);
  EXPECT_CONTAINS(gpu.error().message, "another KFD runtime in this process");
  EXPECT_CONTAINS(gpu.error().message, "gfx1100 (node 1)");
  // Known from now on without asking.
  EXPECT_CONTAINS(only_reason(os).reason, "another KFD runtime in this process");
  EXPECT_EQ(os.count(kAcquireVm), 1u);
}

TEST_F(KfdOpen, AnotherRuntimeHasTheSignalPage) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  os.answers[kCreateEvent] = [](void*) { return -EBUSY; };
  auto kmd = make_kfd(os);
  auto gpu = kmd->open(gpus_of(*kmd).at(0));
  ASSERT_FALSE(gpu);
  EXPECT_CONTAINS(gpu.error().message, "signal page");
  EXPECT_EQ(os.live_allocations(), 0u);
}

TEST_F(KfdOpen, EnumeratingAcquiresNothing) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::mi300x());
  auto kmd = make_kfd(os);
  EXPECT_EQ(gpus_of(*kmd).size(), 1u);
  EXPECT_EQ(os.count(kAcquireVm), 0u);
  EXPECT_EQ(kmd->version(), "KFD 1.23");
}

TEST_F(KfdOpen, XnackIsTheProcesssModeOnGfx9) {
  constexpr unsigned kSetXnackMode = 0x21;
  const auto xnack = [&](std::uint32_t minor, const std::string& properties, int status,
                         std::int32_t mode) {
    FakeOs os(minor);
    os.add_gpu(1, 11, 128, properties);
    os.answers[kSetXnackMode] = [=](void* argument) {
      auto& args = *static_cast<uapi::SetXnackMode*>(argument);
      EXPECT_EQ(args.xnack_enabled, -1) << "asks, and changes nothing";
      args.xnack_enabled = mode;
      return status;
    };
    auto kmd = make_kfd(os);
    auto gpu = kmd->open(gpus_of(*kmd).at(0));
    EXPECT_TRUE(gpu);
    return (*gpu)->xnack();
  };
  EXPECT_EQ(xnack(23, FakeOs::mi300x(), 0, 0), false);
  EXPECT_EQ(xnack(11, FakeOs::mi300x(), 0, 1), true);
  // A kernel without shared virtual memory (kfd_chardev.c: EPERM), and a target without the choice.
  EXPECT_EQ(xnack(23, FakeOs::mi300x(), -EPERM, 1), std::nullopt);
  EXPECT_EQ(xnack(23, FakeOs::navi31(), 0, 1), std::nullopt);
}

TEST_F(KfdOpen, TheProcessIsSetUpOnceForAllGpusInTheOrderKfdWants) {
  FakeOs os;
  os.add_cpu(0);
  os.add_gpu(1, 11, 128, FakeOs::mi300x());
  os.add_gpu(2, 22, 129, FakeOs::mi300x());
  auto kmd = make_kfd(os);
  const auto gpus = gpus_of(*kmd);
  ASSERT_EQ(gpus.size(), 2u);
  auto first = kmd->open(gpus[0]);
  ASSERT_TRUE(first) << first.error().message;

  const auto acquired = os.calls_of<uapi::AcquireVm>(kAcquireVm);
  ASSERT_EQ(acquired.size(), 2u);
  EXPECT_EQ(acquired[0].drm_fd, 2128u);
  EXPECT_EQ(acquired[0].gpu_id, 11u);
  EXPECT_EQ(acquired[1].drm_fd, 2129u);
  EXPECT_EQ(acquired[1].gpu_id, 22u);

  // The signal page: libhsakmt's flags (0xd6000002) and size, on both GPUs, by handle.
  const auto page = os.calls_of<uapi::AllocMemoryOfGpu>(kAlloc).at(0);
  EXPECT_EQ(page.flags, 0xd6000002u);
  EXPECT_EQ(page.size, 32768u);
  EXPECT_EQ(os.calls_of<uapi::MapMemoryToGpu>(kMap).at(0).n_devices, 2u);
  const auto events = os.calls_of<uapi::CreateEvent>(kCreateEvent);
  EXPECT_EQ(events.at(0).event_page_offset, 0x100000001u);
  for (std::size_t i = 1; i < events.size(); ++i) EXPECT_EQ(events[i].event_page_offset, 0u);

  const auto runtime = os.calls_of<uapi::RuntimeEnable>(kRuntimeEnable);
  ASSERT_EQ(runtime.size(), 1u);
  EXPECT_EQ(runtime[0].mode_mask, 3u);
  std::size_t last_acquire = 0, enable = 0;
  for (std::size_t i = 0; i < os.calls.size(); ++i) {
    if (os.calls[i].number == kAcquireVm) last_acquire = i;
    if (os.calls[i].number == kRuntimeEnable) enable = i;
  }
  EXPECT_LT(last_acquire, enable);

  auto second = kmd->open(gpus[1]);
  auto again = kmd->open(gpus[0]);
  auto other_kmd = make_kfd(os);
  auto other = other_kmd->open(gpus[0]);
  ASSERT_TRUE(second && again && other);
  EXPECT_EQ(os.count(kAcquireVm), 2u);
  EXPECT_EQ(os.count(kRuntimeEnable), 1u);
  EXPECT_EQ(os.opened[FakeOs::kKfd], 1);
  EXPECT_EQ(os.opened[2128], 1);
}

TEST_F(KfdOpen, EverythingClosedAndOpenedAgainUsesTheSameFiles) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  for (int round = 0; round < 2; ++round) {
    auto kmd = make_kfd(os);
    auto gpu = kmd->open(gpus_of(*kmd).at(0));
    ASSERT_TRUE(gpu) << gpu.error().message;
  }
  // A second ACQUIRE_VM with another file would be EBUSY (kfd_process_device_init_vm).
  EXPECT_EQ(os.count(kAcquireVm), 1u);
  EXPECT_EQ(os.opened[2128], 1);
}

TEST_F(KfdOpen, AperturesComeByGpuIdNotByPosition) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::mi300x());
  os.add_gpu(2, 22, 129, FakeOs::mi300x());
  os.answers[0x14] = [](void* argument) {
    auto& args = *static_cast<uapi::GetProcessAperturesNew*>(argument);
    if (args.num_of_nodes == 2) {
      auto* out = reinterpret_cast<uapi::ProcessDeviceApertures*>(args.apertures_ptr);
      out[0] = {0x7000000000000, 0, 0x8000000000000, 0, 0x1000, 0x7fffffffffff, 22, 0};
      out[1] = {0x1000000000000, 0, 0x2000000000000, 0, 0x1000, 0x7fffffffffff, 11, 0};
    }
    args.num_of_nodes = 2;
    return 0;
  };
  auto kmd = make_kfd(os);
  const auto gpus = gpus_of(*kmd);
  auto gpu = kmd->open(gpus[0]);
  ASSERT_TRUE(gpu) << gpu.error().message;
  EXPECT_EQ((*gpu)->shared_aperture(), 0x1000000000000u);
  EXPECT_EQ((*gpu)->private_aperture(), 0x2000000000000u);
}

TEST_F(KfdOpen, TheHdpPageIsMappedFromKfdAndFlushed) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  auto kmd = make_kfd(os);
  auto gpu = kmd->open(gpus_of(*kmd).at(0));
  ASSERT_TRUE(gpu);
  // rocminfo asks for it with 0x94000010.
  const auto allocations = os.calls_of<uapi::AllocMemoryOfGpu>(kAlloc);
  ASSERT_EQ(allocations.size(), 2u);
  EXPECT_EQ(allocations[1].flags, 0x94000010u);
  EXPECT_EQ(allocations[1].size, 4096u);
  EXPECT_EQ(os.mappings.back().fd, FakeOs::kKfd);
  EXPECT_TRUE((*gpu)->flush_hdp());
  EXPECT_EQ(*static_cast<std::uint32_t*>(os.mappings.back().address), 1u);
}

TEST_F(KfdOpen, WithoutTheHdpPageTheCallerMustFlush) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  os.answers[kAlloc] = [](void* argument) {
    return static_cast<uapi::AllocMemoryOfGpu*>(argument)->flags & uapi::kAllocMmioRemap
               ? -ENOMEM
               : FakeOs::kDefault;
  };
  auto kmd = make_kfd(os);
  auto gpu = kmd->open(gpus_of(*kmd).at(0));
  ASSERT_TRUE(gpu) << gpu.error().message;
  EXPECT_FALSE((*gpu)->flush_hdp());
}

TEST_F(KfdOpen, VersionsDecideWhatIsUsedAndSaid) {
  struct Row {
    std::uint32_t minor;
    std::size_t limitations, runtime_calls;
  };
  for (const Row& row : {Row{11, 4, 0}, Row{13, 2, 1}, Row{14, 1, 1}, Row{18, 0, 1},
                         Row{uapi::kMinorNewest, 0, 1}}) {
    FakeOs os(row.minor);
    os.add_gpu(1, 11, 128, FakeOs::navi31());
    auto kmd = make_kfd(os);
    auto gpu = kmd->open(gpus_of(*kmd).at(0));
    ASSERT_TRUE(gpu) << "1." << row.minor << ": " << gpu.error().message;
    EXPECT_EQ(kmd->limitations().size(), row.limitations) << row.minor;
    EXPECT_EQ(os.count(kRuntimeEnable), row.runtime_calls) << row.minor;
    EXPECT_EQ(kmd->version(), "KFD 1." + std::to_string(row.minor));
    auto dmabuf = (*gpu)->export_dmabuf(Memory{});
    EXPECT_EQ(bool(dmabuf), row.minor >= 12) << row.minor;
    if (!dmabuf) {
      EXPECT_EQ(dmabuf.error().code, VK_ERROR_FEATURE_NOT_PRESENT);
    }
  }
}

TEST_F(KfdOpen, ClocksAreReadTogether) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  auto kmd = make_kfd(os);
  auto gpu = kmd->open(gpus_of(*kmd).at(0));
  ASSERT_TRUE(gpu);
  timespec before{}, after{};
  clock_gettime(CLOCK_MONOTONIC, &before);
  std::uint64_t ticks = 0, ns = 0;
  ASSERT_TRUE((*gpu)->clocks(&ticks, &ns));
  clock_gettime(CLOCK_MONOTONIC, &after);
  const auto in_ns = [](const timespec& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(time.tv_nsec);
  };
  EXPECT_EQ(ticks, 777u);
  // CLOCK_MONOTONIC, although KFD speaks of the raw clock; the pair read for the difference may be
  // a preemption apart.
  EXPECT_GE(ns + 1'000'000'000, in_ns(before));
  EXPECT_LE(ns, in_ns(after) + 1'000'000'000);
}

TEST_F(KfdOpen, AChildOfForkLosesItsDevicesAndMayOpenItsOwn) {
  FakeOs os;
  os.add_gpu(1, 11, 128, FakeOs::navi31());
  auto kmd = make_kfd(os);
  const auto gpus = gpus_of(*kmd);
  auto gpu = kmd->open(gpus.at(0));
  ASSERT_TRUE(gpu);
  auto event = (*gpu)->create_event();
  ASSERT_TRUE(event);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int wrong = 0;
    os.clear_calls();
    if ((*gpu)->fault().kind != FaultKind::ProcessLost) wrong |= 1;
    if ((*gpu)->wait(*event, 1, 1'000'000'000) != WaitResult::Faulted) wrong |= 2;
    if (auto memory = (*gpu)->allocate({.size = 4096}, {});
        memory || memory.error().code != VK_ERROR_DEVICE_LOST)
      wrong |= 4;
    if (auto queue = (*gpu)->create_queue({.ring_bytes = 4096}); queue) wrong |= 8;
    if (!os.calls.empty()) wrong |= 16;  // nothing reaches the parent's file
    gpu->reset();
    if (!os.calls.empty()) wrong |= 16;
    auto own = make_kfd(os);
    auto own_gpu = own->open(gpus.at(0));
    if (!own_gpu || os.opened[FakeOs::kKfd] != 2 || os.count(kAcquireVm) != 1) wrong |= 32;
    _exit(wrong);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ((*gpu)->fault().kind, FaultKind::None);  // the parent goes on
}

}  // namespace
}  // namespace kiln::kmd

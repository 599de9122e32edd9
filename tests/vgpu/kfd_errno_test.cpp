// What each ioctl of the virtual KFD answers to a wrong call, in one table: the ioctl, what is
// wrong, the kernel's answer, and where its source gives it (drivers/gpu/drm/amd/amdkfd). Memory
// ioctls have a table of their own (kfd_memory_test.cpp).
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "kfd_errno_table.hpp"

namespace kiln::vgpu::test {
namespace {

std::vector<Row> whole_table() {
  std::vector<Row> table;
  for (const auto part :
       {errno_rows_of_queues(), errno_rows_of_events(), errno_rows_of_processes()})
    table.insert(table.end(), part.begin(), part.end());
  return table;
}

class KfdErrno : public ::testing::TestWithParam<Row> {};

TEST_P(KfdErrno, AsInTheSource) {
  const Row& row = GetParam();
  Client client(row.spec);
  EXPECT_EQ(row.run(client), row.result)
      << row.ioctl << ", " << row.condition << ": see " << row.source;
}

INSTANTIATE_TEST_SUITE_P(Table, KfdErrno, ::testing::ValuesIn(whole_table()), [](const auto& row) {
  std::string name = std::string(row.param.ioctl) + "_" + row.param.condition;
  std::ranges::replace_if(name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

TEST(KfdErrnoOfDevice, QueuesOfAllProcessesTogetherHaveALimit) {
  // kfd_device_queue_manager.c create_queue_cpsch: total_queue_count against
  // max_num_of_queues_per_device, 4096 unless the module is told otherwise.
  Client client("navi31,vram=2G");
  auto fill = [&](std::uint32_t queues) {
    uapi::CreateQueue args{};
    const QueueSizes sizes = client.gpu().queue_sizes();
    const Buffer ring = client.buffer(kVramFlags, 4096), pointers = client.buffer(kVramFlags, 4096);
    const Buffer save = client.buffer(kVramFlags, sizes.total(1));
    args.gpu_id = client.id();
    args.queue_type = uapi::kQueueCompute;
    args.queue_percentage = 100;
    args.ring_base_address = ring.va;
    args.ring_size = 4096;
    args.write_pointer_address = args.read_pointer_address = pointers.va;
    args.ctx_save_restore_address = save.va;
    args.ctx_save_restore_size = sizes.save_area;
    args.ctl_stack_size = sizes.control_stack;
    int result = 0;
    for (std::uint32_t i = 0; result == 0 && i < queues; ++i) result = client.create(args);
    return result;
  };
  std::vector<int> files;
  for (int context = 0; context < 32; ++context) {  // 32 x 127 = 4064
    client.kfd = client.os->open("/dev/kfd", 0);
    ASSERT_EQ(client.os->ioctl(client.kfd, uapi::kIocCreateProcess, nullptr), 0);
    client.render[0] = client.os->open("/dev/dri/renderD128", 0);
    ASSERT_EQ(client.acquire(), 0);
    ASSERT_EQ(fill(127), 0) << context;
    files.push_back(client.kfd);
  }
  client.kfd = client.os->open("/dev/kfd", 0);
  ASSERT_EQ(client.os->ioctl(client.kfd, uapi::kIocCreateProcess, nullptr), 0);
  client.render[0] = client.os->open("/dev/dri/renderD128", 0);
  ASSERT_EQ(client.acquire(), 0);
  EXPECT_EQ(fill(32), 0);
  EXPECT_EQ(fill(1), -EPERM);
  // A context's end gives its queues back.
  EXPECT_EQ(client.os->close(files.front()), 0);
  EXPECT_EQ(fill(1), 0);
}

TEST(KfdErrnoOfChild, NothingOfTheParentsWorks) {
  // kfd_chardev.c kfd_ioctl and kfd_mmap: lead_thread is not this process's.
  Client client(kMi300);
  client.acquire_all();
  const pid_t child = fork();
  if (child == 0) {
    int failures = 0;
    uapi::GetVersion version{};
    failures += client.call(uapi::kIocGetVersion, version) != -EBADF;
    failures += errno_table::map(client, 8192, 3, client.id()) != EBADF;
    _exit(failures);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace kiln::vgpu::test

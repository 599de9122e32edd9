// System management events of the virtual KFD (kfd_smi_events.c): a descriptor to poll, read and
// write.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "kfd_fixture.hpp"

namespace kiln::vgpu::test {
namespace {

constexpr std::uint64_t mask_of(std::uint32_t event) {
  return std::uint64_t{1} << (event - 1);  // KFD_SMI_EVENT_MASK_FROM_INDEX
}

class SmiTest : public ::testing::Test {
 protected:
  void start(const std::string& spec) {
    client = std::make_unique<Client>(spec);
    client->acquire_all();
    auto queue = client->queue_args(uapi::kQueueComputeAql);
    ASSERT_EQ(client->create(queue), 0);
    engines = client->noted.at(0);
    process = engines->queues.at(queue.queue_id).process;
  }
  int listen(std::size_t gpu = 0) {
    uapi::SmiEvents args{client->id(gpu), 0};
    EXPECT_EQ(client->call(uapi::kIocSmiEvents, args), 0);
    return static_cast<int>(args.anon_fd);
  }
  static void choose(int fd, std::uint64_t mask) {
    EXPECT_EQ(write(fd, &mask, sizeof mask), static_cast<ssize_t>(sizeof mask));
  }
  static bool readable(int fd) {
    struct pollfd wanted{fd, POLLIN, 0};
    return ::poll(&wanted, 1, 0) == 1 && (wanted.revents & POLLIN) != 0;
  }
  static std::string read_all(int fd) {
    char text[256];
    const ssize_t got = read(fd, text, sizeof text);
    return got > 0 ? std::string(text, static_cast<std::size_t>(got)) : std::string();
  }
  static std::string expected_fault() {
    std::string name;
    std::getline(std::ifstream("/proc/self/comm"), name);
    char text[64];
    snprintf(text, sizeof text, "1 %x:%s\n", static_cast<unsigned>(getpid()), name.c_str());
    return text;
  }

  std::unique_ptr<Client> client;
  NotingEngines* engines = nullptr;
  std::uint64_t process = 0;
};

TEST_F(SmiTest, VmFaultNamesTheProcess) {
  start("mi300x");
  const int fd = listen();
  choose(fd, mask_of(uapi::kSmiVmFault));
  EXPECT_FALSE(readable(fd));
  char byte;
  EXPECT_EQ(read(fd, &byte, 1), -1) << "never blocks";
  EXPECT_EQ(errno, EAGAIN);
  engines->host.vm_fault(process, MemoryFault{});
  EXPECT_TRUE(readable(fd));
  EXPECT_EQ(read_all(fd), expected_fault());
  EXPECT_FALSE(readable(fd));
  ::close(fd);
}

TEST_F(SmiTest, OnlyWhatWasAskedFor) {
  start("mi300x");
  const int none = listen(), others = listen(), changed = listen(), short_write = listen();
  choose(others, mask_of(uapi::kSmiThermalThrottle) | mask_of(uapi::kSmiGpuPreReset) |
                     mask_of(uapi::kSmiGpuPostReset));
  choose(changed, mask_of(uapi::kSmiVmFault));
  choose(changed, 0);                               // the last mask counts
  EXPECT_EQ(write(short_write, "\xff\xff", 2), 2);  // KFD: EFAULT
  engines->host.vm_fault(process, MemoryFault{});
  EXPECT_FALSE(readable(none));
  EXPECT_FALSE(readable(others));
  EXPECT_FALSE(readable(changed));
  EXPECT_FALSE(readable(short_write));
  for (const int fd : {none, others, changed, short_write}) ::close(fd);
}

TEST_F(SmiTest, EachListenerOfTheGpuGetsItsOwnCopy) {
  start("2x mi300x");
  const int first = listen(), second = listen(), other_gpu = listen(1), closed = listen();
  for (const int fd : {first, second, other_gpu, closed}) choose(fd, ~0ull);
  const int moved = dup(second);  // as any descriptor
  ::close(second);
  ::close(closed);
  engines->host.vm_fault(process, MemoryFault{});
  EXPECT_EQ(read_all(first), expected_fault());
  EXPECT_EQ(read_all(moved), expected_fault());
  EXPECT_FALSE(readable(other_gpu));
  for (const int fd : {first, moved, other_gpu}) ::close(fd);
}

TEST_F(SmiTest, ReadInPieces) {
  start("mi300x");
  const int fd = listen();
  choose(fd, mask_of(uapi::kSmiVmFault));
  engines->host.vm_fault(process, MemoryFault{});
  std::string text;
  char byte;
  while (read(fd, &byte, 1) == 1) text += byte;
  EXPECT_EQ(text, expected_fault());
  ::close(fd);
}

TEST_F(SmiTest, DescriptorsDoNotOutliveTheMachine) {
  start("mi300x");
  const int fd = listen();
  EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << "anon_inode_getfd(O_RDWR)";
  client.reset();
  char byte;
  EXPECT_EQ(read(fd, &byte, 1), 0) << "nobody left to write";
  ::close(fd);
}

}  // namespace
}  // namespace kiln::vgpu::test

// Owns: tests of copies, rectangles, fills and updates on compute and SDMA queues.
// Does not own: ordering between queues (sync_test.cpp).
// Threading: none.
#include <algorithm>
#include <cstring>

#include "fixture.hpp"

namespace api_test {
namespace {

/// On each GPU (first) and each queue family (second).
class CopyTest : public testing::TestWithParam<std::tuple<const char*, std::uint32_t>> {
 protected:
  void SetUp() override {
    machine_ = std::make_unique<Machine>(std::string(std::get<0>(GetParam())) + ",strict");
    device_ = std::make_unique<Device>(*machine_);
  }
  std::uint32_t family() const { return std::get<1>(GetParam()); }
  KilnCommandBuffer record() { return device_->record(family()); }
  void run(KilnCommandBuffer commands) {
    ASSERT_EQ(device_->run(device_->queue(family(), 0), commands), VK_SUCCESS) << machine_->said();
  }

  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Device> device_;
};
INSTANTIATE_TEST_SUITE_P(Queues, CopyTest,
                         testing::Combine(testing::ValuesIn(kEachGpu), testing::Values(0u, 1u)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) == 0 ? "_compute" : "_sdma");
                         });

TEST_P(CopyTest, AnySizeAtAnyAlignment) {
  constexpr std::size_t kBytes = (1 << 20) + 4096;
  Buffer from = device_->allocate(kBytes, kHostCached), to = device_->allocate(kBytes, kHostCached);
  scramble({from.host, kBytes}, 3);
  std::vector<std::byte> expected(kBytes);
  for (std::size_t size :
       {1u,  2u,   3u,   4u,    5u,    7u,    8u,    15u,    31u,     63u,      64u,
        65u, 127u, 255u, 1000u, 4095u, 4096u, 4097u, 65521u, 262144u, 1048575u, 1048576u})
    for (auto [source, destination] : {std::pair<std::size_t, std::size_t>{0, 0},
                                       {0, 1},
                                       {1, 0},
                                       {3, 2},
                                       {5, 7},
                                       {64, 60},
                                       {13, 129}}) {
      if (size > 70'000 && source + destination > 1 && source != 5) continue;
      std::memset(to.host, 0xcc, kBytes);
      std::memset(expected.data(), 0xcc, kBytes);
      std::memcpy(expected.data() + 256 + destination, from.host + source, size);
      KilnCommandBuffer commands = record();
      device_->check(
          kilnCmdCopyMemory(commands, to.address + 256 + destination, from.address + source, size),
          "copying");
      run(commands);
      // Everything around it is untouched.
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), to.host))
          << size << " bytes from +" << source << " to +" << destination;
    }
}

TEST_P(CopyTest, LongerThanOnePacket) {
  // SDMA 4.4.2 copies 4 MiB - 32 a packet, CP DMA 2 MiB - 32 or more.
  constexpr std::size_t kBytes = (9u << 20) + 5;
  Buffer from = device_->allocate(kBytes + 64, kHostCached),
         through = device_->allocate(kBytes + 64, kDeviceLocal),
         to = device_->allocate(kBytes + 64, kHostCached);
  scramble({from.host, from.size}, 4);
  std::memset(to.host, 0xcc, to.size);
  KilnCommandBuffer commands = record();
  device_->check(kilnCmdCopyMemory(commands, through.address + 3, from.address, kBytes), "copying");
  barrier(*device_, commands, KILN_SCOPE_SYSTEM);
  device_->check(kilnCmdCopyMemory(commands, to.address + 16, through.address + 3, kBytes),
                 "copying");
  run(commands);
  EXPECT_EQ(std::memcmp(to.host + 16, from.host, kBytes), 0);
  EXPECT_TRUE(std::all_of(to.host, to.host + 16, [](std::byte b) { return b == std::byte{0xcc}; }));
  EXPECT_TRUE(std::all_of(to.host + 16 + kBytes, to.host + to.size,
                          [](std::byte b) { return b == std::byte{0xcc}; }));
}

TEST_P(CopyTest, NothingIsCopiedForSizeZero) {
  Buffer buffer = device_->allocate(4096, kHostCached);
  scramble({buffer.host, 4096}, 5);
  const std::vector<std::byte> before(buffer.host, buffer.host + 4096);
  KilnCommandBuffer commands = record();
  EXPECT_EQ(kilnCmdCopyMemory(commands, buffer.address, buffer.address, 0), VK_SUCCESS);
  EXPECT_EQ(kilnCmdFillMemory(commands, buffer.address, 0, 1, 4), VK_SUCCESS);
  EXPECT_EQ(kilnCmdUpdateMemory(commands, buffer.address, 0, nullptr), VK_SUCCESS);
  run(commands);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), buffer.host));
}

TEST_P(CopyTest, OverlappingRangesAreRefused) {
  Buffer buffer = device_->allocate(8192, kHostCached);
  for (auto [to, from] : {std::pair<int, int>{0, 0}, {0, 99}, {99, 0}}) {
    KilnCommandBuffer commands = record();
    EXPECT_EQ(kilnCmdCopyMemory(commands, buffer.address + to, buffer.address + from, 100),
              VK_ERROR_VALIDATION_FAILED_EXT);
    EXPECT_NE(machine_->said().find("overlap"), std::string::npos);
  }
  KilnCommandBuffer commands = record();  // neighbours are fine
  EXPECT_EQ(kilnCmdCopyMemory(commands, buffer.address, buffer.address + 100, 100), VK_SUCCESS);
  run(commands);
}

TEST_P(CopyTest, DependentCopiesInOneCommandBuffer) {
  constexpr std::size_t kBytes = 64 * 1024;
  constexpr int kLinks = 9;
  std::vector<Buffer> chain;
  for (int i = 0; i < kLinks; ++i) chain.push_back(device_->allocate(kBytes, kDeviceLocal));
  Buffer from = device_->allocate(kBytes, kHostCached), to = device_->allocate(kBytes, kHostCached);
  scramble({from.host, kBytes}, 6);
  KilnCommandBuffer commands = record();
  VkDeviceAddress last = from.address;
  for (const Buffer& link : chain) {
    device_->check(kilnCmdCopyMemory(commands, link.address, last, kBytes), "copying");
    barrier(*device_, commands);
    last = link.address;
  }
  device_->check(kilnCmdCopyMemory(commands, to.address, last, kBytes), "copying");
  device_->end(commands);
  KilnSemaphore done = device_->semaphore();
  for (std::uint64_t round = 1; round <= 5; ++round) {
    scramble({from.host, kBytes}, 60 + static_cast<std::uint32_t>(round));
    device_->submit(device_->queue(family(), 0), {}, {commands}, {{done, round}});
    ASSERT_EQ(device_->wait(done, round), VK_SUCCESS) << machine_->said();
    ASSERT_EQ(std::memcmp(to.host, from.host, kBytes), 0) << round;
  }
}

struct Rect {
  std::size_t source, source_pitch, destination, destination_pitch, row;
  std::uint32_t rows;
};

TEST_P(CopyTest, Rectangles) {
  constexpr std::size_t kBytes = 512 * 1024;
  Buffer from = device_->allocate(kBytes, kHostCached), to = device_->allocate(kBytes, kHostCached);
  scramble({from.host, kBytes}, 7);
  std::vector<std::byte> expected(kBytes);
  const Rect rects[] = {{0, 256, 0, 512, 128, 16},   {4, 1024, 8, 256, 64, 33},
                        {1, 100, 3, 101, 99, 20},    {0, 4096, 0, 4096, 4096, 8},
                        {16, 16384, 64, 64, 64, 31}, {5, 333, 6, 777, 1, 50},
                        {0, 64, 128, 64, 64, 1},     {0, 131072, 0, 16384, 16383, 4}};
  for (const Rect& r : rects) {
    std::memset(to.host, 0xcc, kBytes);
    std::memset(expected.data(), 0xcc, kBytes);
    for (std::uint32_t y = 0; y < r.rows; ++y)
      std::memcpy(expected.data() + r.destination + y * r.destination_pitch,
                  from.host + r.source + y * r.source_pitch, r.row);
    auto info = make<KilnCopyRectInfo>(KILN_STRUCTURE_TYPE_COPY_RECT_INFO);
    info.source = from.address + r.source;
    info.sourcePitch = r.source_pitch;
    info.destination = to.address + r.destination;
    info.destinationPitch = r.destination_pitch;
    info.rowBytes = r.row;
    info.rowCount = r.rows;
    KilnCommandBuffer commands = record();
    device_->check(kilnCmdCopyMemoryRect(commands, &info), "copying a rectangle");
    run(commands);
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(), to.host))
        << "row " << r.row << " x " << r.rows << " at " << r.source << " / " << r.source_pitch;
  }
  auto info = make<KilnCopyRectInfo>(KILN_STRUCTURE_TYPE_COPY_RECT_INFO);
  info.source = from.address;
  info.destination = to.address;
  info.sourcePitch = 64;
  info.destinationPitch = 32;
  info.rowBytes = 48;
  info.rowCount = 2;
  EXPECT_EQ(kilnCmdCopyMemoryRect(record(), &info), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_NE(machine_->said().find("pitch"), std::string::npos);
  info.rowCount = 0;
  KilnCommandBuffer commands = record();
  EXPECT_EQ(kilnCmdCopyMemoryRect(commands, &info), VK_SUCCESS);  // nothing to do
  run(commands);
}

TEST_P(CopyTest, FillsWithPatternsOfEverySize) {
  constexpr std::size_t kBytes = 128 * 1024;
  constexpr std::uint64_t kPattern = 0x8877665544332211u;
  Buffer buffer = device_->allocate(kBytes, kHostCached);
  std::vector<std::byte> expected(kBytes);
  for (std::uint32_t width : {1u, 2u, 4u, 8u})
    for (std::size_t count : {1u, 3u, 511u, 512u, 513u, 2048u, 5000u, 12001u})
      for (std::size_t skip : {0u, 1u, 7u}) {
        const std::size_t at = 64 + skip * width, size = count * width;
        std::memset(buffer.host, 0xcc, kBytes);
        std::memset(expected.data(), 0xcc, kBytes);
        for (std::size_t i = 0; i < size; ++i)
          expected[at + i] = static_cast<std::byte>(kPattern >> (8 * (i % width)));
        KilnCommandBuffer commands = record();
        device_->check(kilnCmdFillMemory(commands, buffer.address + at, size, kPattern, width),
                       "filling");
        run(commands);
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(), buffer.host))
            << count << " x " << width << " bytes at +" << at;
      }
}

TEST_P(CopyTest, FillsMoreThanOnePacket) {
  constexpr std::size_t kBytes = 9u << 20;
  Buffer buffer = device_->allocate(kBytes + 64, kHostCached);
  std::memset(buffer.host, 0xcc, buffer.size);
  KilnCommandBuffer commands = record();
  device_->check(kilnCmdFillMemory(commands, buffer.address + 4, kBytes, 0xfeedface, 4), "filling");
  run(commands);
  const std::span<std::uint32_t> seen = words(buffer);
  EXPECT_EQ(seen[0], 0xccccccccu);
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 0xfeedfaceu),
            static_cast<std::ptrdiff_t>(kBytes / 4));
  EXPECT_EQ(seen[1 + kBytes / 4], 0xccccccccu);
}

TEST_P(CopyTest, FillRefusesWhatDoesNotFit) {
  Buffer buffer = device_->allocate(4096, kHostCached);
  EXPECT_EQ(kilnCmdFillMemory(record(), buffer.address, 16, 0, 3), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnCmdFillMemory(record(), buffer.address, 16, 0, 16), VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnCmdFillMemory(record(), buffer.address + 2, 16, 0, 4),
            VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnCmdFillMemory(record(), buffer.address, 18, 0, 4), VK_ERROR_VALIDATION_FAILED_EXT);
}

TEST_P(CopyTest, UpdatesCarryTheirData) {
  constexpr std::size_t kMost = 65536;
  Buffer buffer = device_->allocate(4 * kMost, kHostCached);
  std::vector<std::byte> data(kMost), expected(4 * kMost, std::byte{0xcc});
  std::memset(buffer.host, 0xcc, buffer.size);
  KilnCommandBuffer commands = record();
  std::size_t at = 4;
  std::uint32_t seed = 0;
  for (std::size_t size : {std::size_t{4}, std::size_t{8}, std::size_t{100}, std::size_t{4096},
                           std::size_t{50'000}, kMost}) {
    scramble(std::span(data).first(size), ++seed);
    std::memcpy(expected.data() + at, data.data(), size);
    device_->check(kilnCmdUpdateMemory(commands, buffer.address + at, size, data.data()),
                   "updating");
    at += size + 8;
  }
  std::ranges::fill(data, std::byte{0});  // it was copied when recorded
  run(commands);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), buffer.host));
}

TEST_P(CopyTest, UpdateRefusesWhatDoesNotFit) {
  Buffer buffer = device_->allocate(1 << 18, kHostCached);
  std::vector<std::byte> data(1 << 18);
  const std::uint64_t most = device_->properties().maxUpdateSize;
  EXPECT_EQ(kilnCmdUpdateMemory(record(), buffer.address, most + 4, data.data()),
            VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnCmdUpdateMemory(record(), buffer.address + 2, 4, data.data()),
            VK_ERROR_VALIDATION_FAILED_EXT);
  EXPECT_EQ(kilnCmdUpdateMemory(record(), buffer.address, 6, data.data()),
            VK_ERROR_VALIDATION_FAILED_EXT);
}

}  // namespace
}  // namespace api_test

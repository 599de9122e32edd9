// Owns: rows that record commands: no GPU takes part in what they time.
// Does not own: submission (submit_rows.cpp).
// Threading: one thread.
#include <cstring>

#include "stand.hpp"

namespace bench {
namespace {

constexpr std::uint32_t kBatch = 1000;

using Command = std::function<void(KilnCommandBuffer)>;

/// Records `command` over and over. Stream dwords are those of one more command in a long list: the
/// first of a command buffer also sets what the next ones find set.
void record(Row& row, bool sdma, const Command& command) {
  Stand& stand = row.stand;
  CommandBuffers commands(stand, 1, sdma);
  auto batch_statistics = [&](std::uint32_t count) {
    stand.begin(commands[0]);
    for (std::uint32_t i = 0; i < count; ++i) command(commands[0]);
    stand.end(commands[0]);
    return stand.statistics(commands[0]);
  };
  const KilnCommandBufferStatistics few = batch_statistics(10),
                                    many = batch_statistics(10 + kBatch);
  const double dwords = static_cast<double>(many.streamDwords - few.streamDwords) / kBatch;
  const double data = static_cast<double>(many.argumentBytes - few.argumentBytes) / kBatch;
  row.counter("stream_dwords", dwords);
  row.counter("argument_bytes", data);

  stand.begin(commands[0]);
  row.time(
      kBatch, [&](std::uint32_t) { command(commands[0]); },
      [&] { stand.begin_again(commands[0]); });

  // Memory as command buffers use it, written through as they are.
  const auto bytes = static_cast<std::size_t>(dwords * 4 + data);
  const tools::Buffer to = stand.device().allocate(1 << 20, tools::kHostUncached);
  std::memset(to.host, 0, to.size);  // its pages are there, as those of command buffers are
  std::vector<std::byte> from(bytes);
  std::size_t at = 0;
  row.compare("x_memcpy", [&] {
    benchmark::DoNotOptimize(from.data());
    std::memcpy(to.host + at, from.data(), bytes);
    at = at + 2 * bytes < to.size ? at + bytes : 0;
  });
  // A whole batch on memory that the pool already has.
  stand.begin_again(commands[0]);
  row.count(kBatch / 2, [&] { command(commands[0]); });
  stand.end(commands[0]);
}

void record_dispatch(Row& row) {
  VectorAdd vector_add(row.stand);
  record(row, false, [&](KilnCommandBuffer commands) { vector_add.record(commands); });
}

/// Barriers in a row are merged, so each needs a command behind it.
void record_barrier(Row& row) {
  VectorAdd vector_add(row.stand);
  record(row, false, [&](KilnCommandBuffer commands) {
    row.stand.check(kilnCmdBarrier(commands, nullptr), "recording a barrier");
    vector_add.record(commands);
  });
}

void record_copy(Row& row, bool sdma) {
  const tools::Buffer data = row.stand.device().allocate(1 << 20, tools::kDeviceLocal);
  VkDeviceAddress at = 0;
  record(row, sdma, [&](KilnCommandBuffer commands) {
    row.stand.check(
        kilnCmdCopyMemory(commands, data.address + 0x80000 + at, data.address + at, 4096),
        "recording a copy");
    at = (at + 4096) % 0x80000;
  });
}

/// An empty command buffer from begin to end.
void begin_and_end(Row& row) {
  CommandBuffers commands(row.stand, 1);
  auto operation = [&] {
    row.stand.begin(commands[0]);
    row.stand.end(commands[0]);
  };
  row.time(kBatch, [&](std::uint32_t) { operation(); }, [] {});
  row.counter("stream_dwords", static_cast<double>(row.stand.statistics(commands[0]).streamDwords));
  row.count(kBatch, operation);
}

}  // namespace

void add_record_rows(const GpuChoice& gpu) {
  add_row(gpu, "record/dispatch", record_dispatch);
  add_row(gpu, "record/barrier+dispatch", record_barrier);
  add_row(gpu, "record/copy_4K/compute", [](Row& row) { record_copy(row, false); });
  add_row(gpu, "record/copy_4K/sdma", [](Row& row) { record_copy(row, true); });
  add_row(gpu, "record/begin+end", begin_and_end);
}

}  // namespace bench

// Owns: cases about threads together and about where they are: reduce, wave_scan, scratch_calls,
//   grid3d, spin_lock.
// Does not own: running them.
// Threading: pure functions.
#include <algorithm>
#include <array>
#include <limits>

#include "case_builder.hpp"

namespace kiln::kernels {
namespace {

using U32 = std::vector<std::uint32_t>;
using I32 = std::vector<std::int32_t>;

struct ReduceResult {
  std::uint32_t sum;
  std::int32_t maximum;
  float float_sum;
  std::uint32_t blocks;
};

KernelCase reduce(std::uint32_t scale) {
  const std::uint32_t count = 3000 * scale, blocks = 5;
  Random random(20);
  I32 values;
  std::vector<float> floats;
  ReduceResult expected{0, std::numeric_limits<std::int32_t>::min(), 0, blocks};
  for (std::uint32_t i = 0; i < count; i++) {
    values.push_back(static_cast<std::int32_t>(random.u32() | 0x80000000u) + 5);  // negative
    floats.push_back(static_cast<float>(random.whole(100)) / 4);  // sums are exact in any order
    expected.sum += static_cast<std::uint32_t>(values[i]);
    expected.maximum = std::max(expected.maximum, values[i]);
    expected.float_sum += floats[i];
  }
  const ReduceResult initial{0, std::numeric_limits<std::int32_t>::min(), 0, 0};
  CaseBuilder builder("reduce", {blocks * 256}, {256});
  builder.input("values", values).input("floats", floats);
  builder.in_out("result", std::vector<ReduceResult>{initial}).value(count);
  return builder.done([expected](const Outputs& o) -> std::optional<std::string> {
    const ReduceResult seen = from_bytes<ReduceResult>(o.buffers[2], 1)[0];
    if (auto bad = expect_one("sum", seen.sum, expected.sum)) return bad;
    if (auto bad = expect_one("maximum", seen.maximum, expected.maximum)) return bad;
    if (auto bad = expect_one("float_sum", seen.float_sum, expected.float_sum)) return bad;
    return expect_one("blocks", seen.blocks, expected.blocks);
  });
}

KernelCase wave_scan(std::uint32_t wave_size, std::uint32_t scale) {
  const std::uint32_t count = 3 * 256 * scale;
  Random random(21);
  I32 in;
  for (std::uint32_t i = 0; i < count; i++) in.push_back(random.whole(1000000));
  I32 of_wave(count), of_block(count), sum32(count), odd_rank(count);
  for (std::uint32_t i = 0; i < count; i++) {
    const bool wave_begin = i % wave_size == 0;
    of_wave[i] = in[i] + (wave_begin ? 0 : of_wave[i - 1]);
    of_block[i] = in[i] + (i % 256 == 0 ? 0 : of_block[i - 1]);
    odd_rank[i] = wave_begin ? 0 : odd_rank[i - 1] + (in[i - 1] & 1);
    for (std::uint32_t other = i / 32 * 32; other < i / 32 * 32 + 32; other++)
      sum32[i] += in[other];
  }
  CaseBuilder builder("wave_scan", {count}, {256});
  builder.input("in", in);
  for (const char* name : {"by_permute", "by_dpp", "of_block", "sum32", "odd_rank"})
    builder.output(name, count * 4);
  return builder.done([=](const Outputs& o) -> std::optional<std::string> {
    if (auto bad = expect_all("by_permute", o.buffers[1], of_wave)) return bad;
    if (auto bad = expect_all("by_dpp", o.buffers[2], of_wave)) return bad;
    if (auto bad = expect_all("of_block", o.buffers[3], of_block)) return bad;
    if (auto bad = expect_all("sum32", o.buffers[4], sum32)) return bad;
    return expect_all("odd_rank", o.buffers[5], odd_rank);
  });
}

std::uint32_t apply_step(std::uint32_t which, std::uint32_t value) {
  switch (which % 3) {
    case 0:
      return value + 0x9e3779b9u;
    case 1:
      return value * 2654435761u;
    default:
      return value << 7 | value >> 25;
  }
}

KernelCase scratch_calls(std::uint32_t scale) {
  const std::uint32_t count = 500 * scale, which = 2;
  Random random(22);
  U32 in, out;
  for (std::uint32_t i = 0; i < count; i++) {
    const std::uint32_t value = random.u32();
    in.push_back(value);
    std::array<std::uint32_t, 32> slots;
    for (std::uint32_t s = 0; s < 32; s++) slots[s] = value ^ (s * 0x01010101u);
    for (std::uint32_t s = 0; s < 32; s++) std::swap(slots[s], slots[(value >> (s % 24)) % 32]);
    const std::uint32_t salt[6] = {value, i, value + i, value ^ i, ~value, 7};
    std::uint32_t folded = value;
    for (std::uint32_t s = 0; s < 6; s++)
      folded = folded * 31 + (salt[s] ^ slots[((value >> 5) + s) % 32]);
    out.push_back(apply_step(value, apply_step(which, folded)));
  }
  CaseBuilder builder("scratch_calls", {(count + 127) / 128 * 128}, {128});
  builder.input("in", in).output("out", count * 4).value(count).value(which);
  return builder.done([out](const Outputs& o) { return expect_all("out", o.buffers[1], out); });
}

KernelCase grid3d(std::uint32_t scale) {
  const Extent threads{21 * scale, 10 * scale, 7}, block{8, 4, 3};
  CaseBuilder builder("grid3d", threads, block);
  const Extent groups = builder.raw().groups();
  // As struct Where of grid3d.hip: 15 words a thread.
  U32 expected;
  for (std::uint32_t z = 0; z < threads.z; z++)
    for (std::uint32_t y = 0; y < threads.y; y++)
      for (std::uint32_t x = 0; x < threads.x; x++) {
        const Extent at{x / block.x, y / block.y, z / block.z};
        const Extent size{std::min(block.x, threads.x - at.x * block.x),
                          std::min(block.y, threads.y - at.y * block.y),
                          std::min(block.z, threads.z - at.z * block.z)};
        const std::uint32_t linear_block = (at.z * groups.y + at.y) * groups.x + at.x;
        const std::uint32_t linear_thread =
            (z % block.z * size.y + y % block.y) * size.x + x % block.x;
        for (std::uint32_t word :
             {linear_block, linear_thread, size.x, size.y, size.z, groups.x, groups.y, groups.z,
              threads.x, threads.y, threads.z, block.x, block.y, block.z, 3u})
          expected.push_back(word);
      }
  builder.output("out", expected.size() * 4).value(threads.x).value(threads.y);
  return builder.done([=](const Outputs& o) -> std::optional<std::string> {
    static constexpr const char* kNames[15] = {"linear_block",
                                               "linear_thread",
                                               "block_size.x",
                                               "block_size.y",
                                               "block_size.z",
                                               "blocks.x",
                                               "blocks.y",
                                               "blocks.z",
                                               "packet_threads.x",
                                               "packet_threads.y",
                                               "packet_threads.z",
                                               "packet_block_size.x",
                                               "packet_block_size.y",
                                               "packet_block_size.z",
                                               "dimensions"};
    const U32 seen = from_bytes<std::uint32_t>(o.buffers[0], expected.size());
    for (std::size_t i = 0; i < expected.size(); i++)
      if (seen[i] != expected[i])
        return expect_one("thread " + std::to_string(i / 15) + ": " + kNames[i % 15], seen[i],
                          expected[i]);
    return std::nullopt;
  });
}

struct Protected {
  std::uint32_t lock;
  std::uint32_t pad[63];
  std::uint32_t turns, sum, last_block;
};

KernelCase spin_lock(std::uint32_t scale) {
  const std::uint32_t blocks = 12 * scale, rounds = 5, turns = blocks * rounds;
  CaseBuilder builder("spin_lock", {blocks * 64}, {64});
  builder.in_out("shared", std::vector<Protected>{Protected{}});
  builder.output("turn_of_block", turns * 4).value(rounds);
  return builder.done([=](const Outputs& o) -> std::optional<std::string> {
    const Protected seen = from_bytes<Protected>(o.buffers[0], 1)[0];
    const U32 turn_of_block = from_bytes<std::uint32_t>(o.buffers[1], turns);
    if (auto bad = expect_one("lock", seen.lock, 0u)) return bad;
    if (auto bad = expect_one("turns", seen.turns, turns)) return bad;
    // Every turn was taken once, and each block saw its own turns in order.
    U32 block_of_turn(turns, ~0u);
    for (std::uint32_t i = 0; i < turns; i++) {
      const std::string what = "turn_of_block[" + std::to_string(i) + "]";
      if (turn_of_block[i] >= turns || block_of_turn[turn_of_block[i]] != ~0u)
        return what + " is " + std::to_string(turn_of_block[i]) + ", which is taken or impossible";
      if (i % rounds != 0 && turn_of_block[i] <= turn_of_block[i - 1])
        return what + " is not after the block's previous turn";
      block_of_turn[turn_of_block[i]] = i / rounds;
    }
    std::uint32_t sum = 0;
    for (std::uint32_t turn = 0; turn < turns; turn++) sum += turn ^ block_of_turn[turn];
    if (auto bad = expect_one("sum", seen.sum, sum)) return bad;
    return expect_one("last_block", seen.last_block, block_of_turn[turns - 1]);
  });
}

}  // namespace

void add_wave_cases(const CaseOptions& options, std::vector<KernelCase>* cases) {
  cases->push_back(reduce(options.scale));
  cases->push_back(wave_scan(options.wave_size, options.scale));
  cases->push_back(scratch_calls(options.scale));
  cases->push_back(grid3d(options.scale));
  cases->push_back(spin_lock(options.scale));
}

}  // namespace kiln::kernels

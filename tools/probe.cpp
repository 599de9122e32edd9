#include "probe.hpp"

#include <sys/utsname.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <vector>

namespace tools {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kDeadlineNs = 5'000'000'000;

/// What a check saw, for the report; throws Failure or std::runtime_error if it went wrong.
using Check = std::function<ordered_json()>;

[[noreturn]] void wrong(const std::string& text) {
  throw std::runtime_error(text);
}

std::string hex(std::uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

class Probe {
 public:
  Probe(Instance& instance, KilnPhysicalDevice gpu) : instance_(instance), gpu_(gpu) {}

  bool run(ordered_json* report) {
    add("open", [this] { return open(); });
    if (device_ == nullptr) return finish(report);
    add("memory by CPU", [this] { return memory_by_cpu(); });
    add("SDMA fence", [this] { return sdma_fence(); });
    add("SDMA copy", [this] { return sdma_copy(); });
    add("compute write", [this] { return compute_write(); });
    add("timestamps", [this] { return timestamps(); });
    add("interrupt", [this] { return interrupt(); });
    add("64-bit wait", [this] { return wait_64(); });
    add("HDP", [this] { return hdp(); });
    add("vector add", [this] { return vector_add(); });
    add("XCC ids and join", [this] { return xcc_ids(); });
    add("close", [this] { return close(); });
    return finish(report);
  }

 private:
  void add(const char* name, const Check& check) {
    const auto begin = Clock::now();
    ordered_json row = {{"check", name}};
    std::string text;
    try {
      row["seen"] = check();
      row["ok"] = true;
      text = row["seen"].dump();
    } catch (const std::exception& error) {
      row["ok"] = false;
      row["error"] = text = error.what();
      all_ok_ = false;
    }
    row["seconds"] = std::chrono::duration<double>(Clock::now() - begin).count();
    std::printf("%-18s %-6s %s\n", name, row["ok"].get<bool>() ? "ok" : "FAILED", text.c_str());
    std::fflush(stdout);
    rows_.push_back(std::move(row));
  }
  bool finish(ordered_json* report) {
    (*report)["checks"] = std::move(rows_);
    (*report)["ok"] = all_ok_;
    return all_ok_;
  }

  ordered_json open() {
    device_ = std::make_unique<Device>(instance_, gpu_, kDeadlineNs);
    const KilnPhysicalDeviceProperties& p = device_->properties();
    return {{"driver", p.driverName},     {"name", p.deviceName},
            {"target", p.targetName},     {"virtual", p.isVirtual != 0},
            {"xccs", p.xccCount},         {"compute_units", p.computeUnitCount},
            {"sdma", device_->has_sdma()}};
  }

  ordered_json memory_by_cpu() {
    ordered_json addresses;
    for (MemoryType type : {kDeviceVisible, kHostCached, kHostUncached}) {
      Buffer buffer = device_->allocate(1 << 16, type);
      auto* words = reinterpret_cast<volatile std::uint32_t*>(buffer.host);
      for (std::uint32_t i = 0; i < buffer.size / 4; ++i) words[i] = i * 2654435761u;
      for (std::uint32_t i = 0; i < buffer.size / 4; ++i)
        if (words[i] != i * 2654435761u)
          wrong("memory type " + std::to_string(type) + ": word " + std::to_string(i) +
                " reads back " + hex(words[i]));
      addresses.push_back(hex(buffer.address));
    }
    addresses.push_back(hex(device_->allocate(1 << 16, kDeviceLocal).address));
    return {{"addresses", addresses}};
  }

  ordered_json sdma_fence() {
    if (!device_->has_sdma()) return "no SDMA engine";
    Buffer word = device_->allocate(4096, kHostUncached);
    std::memset(word.host, 0, 64);
    KilnCommandBuffer commands = device_->begin(true);
    device_->check(kilnCmdWriteValue(commands, word.address, 0x1122334455667788),
                   "recording a write");
    device_->submit_and_wait(commands, true, kDeadlineNs);
    return expect_word(word, 0x1122334455667788);
  }

  ordered_json sdma_copy() {
    if (!device_->has_sdma()) return "no SDMA engine";
    constexpr std::size_t kSize =
        (9 << 20) + 20;  // over two packets of 4 MiB (SDMA 4.4), odd at the end
    Buffer from = device_->allocate(kSize, kHostCached),
           local = device_->allocate(kSize, kDeviceLocal),
           to = device_->allocate(kSize, kHostCached);
    auto* source = reinterpret_cast<std::uint32_t*>(from.host);
    for (std::uint32_t i = 0; i < kSize / 4; ++i) source[i] = i * 2246822519u + 7;
    std::memset(to.host, 0, kSize);
    KilnCommandBuffer commands = device_->begin(true);
    device_->check(kilnCmdCopyMemory(commands, local.address, from.address, kSize),
                   "recording a copy");
    device_->check(kilnCmdBarrier(commands, nullptr), "recording a barrier");
    device_->check(kilnCmdCopyMemory(commands, to.address, local.address, kSize),
                   "recording a copy");
    device_->submit_and_wait(commands, true, kDeadlineNs);
    for (std::size_t i = 0; i < kSize; ++i)
      if (from.host[i] != to.host[i])
        wrong("byte " + std::to_string(i) + " differs after host -> VRAM -> host");
    return {{"bytes", kSize}};
  }

  ordered_json compute_write() {
    Buffer word = device_->allocate(4096, kHostUncached);
    std::memset(word.host, 0, 64);
    KilnCommandBuffer commands = device_->begin();
    device_->check(kilnCmdWriteValue(commands, word.address, 0x8877665544332211),
                   "recording a write");
    device_->submit_and_wait(commands, false, kDeadlineNs);
    return expect_word(word, 0x8877665544332211);
  }

  ordered_json timestamps() {
    Buffer words = device_->allocate(4096, kHostUncached);
    KilnCommandBuffer commands = device_->begin();
    device_->check(kilnCmdWriteTimestamp(commands, words.address), "recording a timestamp");
    device_->check(kilnCmdWriteTimestamp(commands, words.address + 32), "recording a timestamp");
    device_->submit_and_wait(commands, false, kDeadlineNs);
    std::uint64_t first, second, now, host_ns, deviation;
    std::memcpy(&first, words.host, 8);
    std::memcpy(&second, words.host + 32, 8);
    device_->check(kilnGetCalibratedTimestamps(device_->handle(), &now, &host_ns, &deviation),
                   "reading clocks");
    if (first == 0 || second < first || now < second)
      wrong("the clock does not go forward: " + hex(first) + ", " + hex(second) + ", then " +
            hex(now));
    return {{"apart_ticks", second - first},
            {"until_host_read_ticks", now - second},
            {"hz", device_->properties().timestampFrequencyHz}};
  }

  KilnSemaphore make_semaphore(std::uint64_t initial) {
    KilnSemaphoreCreateInfo info{};
    info.sType = KILN_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
    info.initialValue = initial;
    KilnSemaphore semaphore = nullptr;
    device_->check(kilnCreateSemaphore(device_->handle(), &info, nullptr, &semaphore),
                   "making a semaphore");
    return semaphore;
  }

  VkResult wait_for(KilnSemaphore semaphore, std::uint64_t value, std::uint64_t timeout_ns) {
    KilnSemaphoreWaitInfo info{};
    info.sType = KILN_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
    info.semaphoreCount = 1;
    info.pSemaphores = &semaphore;
    info.pValues = &value;
    return kilnWaitSemaphores(device_->handle(), &info, timeout_ns);
  }

  void submit_edge(KilnSemaphore wait, std::uint64_t wait_value, KilnSemaphore signal,
                   std::uint64_t signal_value) {
    const KilnSemaphoreValue w{wait, wait_value}, s{signal, signal_value};
    KilnSubmitInfo info{};
    info.sType = KILN_STRUCTURE_TYPE_SUBMIT_INFO;
    info.waitCount = 1;
    info.pWaits = &w;
    info.signalCount = 1;
    info.pSignals = &s;
    device_->check(kilnQueueSubmit(device_->compute(), 1, &info), "submitting");
  }

  /// A host thread sleeps on a semaphore that the GPU signals 50 ms later. Without working
  /// interrupts it would wake only when the driver's bounded sleep of 200 ms is over.
  ordered_json interrupt() {
    KilnSemaphore gate = make_semaphore(0), done = make_semaphore(0);
    submit_edge(gate, 1, done, 1);
    VkResult result = VK_NOT_READY;
    Clock::time_point woken;
    std::thread waiter([&] {
      result = wait_for(done, 1, kDeadlineNs);
      woken = Clock::now();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto signalled = Clock::now();
    const VkResult signal_result = kilnSignalSemaphore(device_->handle(), gate, 1);
    waiter.join();
    kilnDestroySemaphore(device_->handle(), done, nullptr);
    kilnDestroySemaphore(device_->handle(), gate, nullptr);
    device_->check(signal_result, "signalling from the host");
    device_->check(result, "waiting");
    const double ms = std::chrono::duration<double, std::milli>(woken - signalled).count();
    if (ms > 120)
      wrong("the sleeper woke " + std::to_string(ms) +
            " ms after the signal: no interrupt arrives");
    return {{"wake_up_ms", ms}};
  }

  /// The wait must hold at values whose low half would already pass a 32-bit compare.
  ordered_json wait_64() {
    KilnSemaphore gate = make_semaphore(0xffffffffull), done = make_semaphore(0);
    submit_edge(gate, 0x100000002ull, done, 1);
    const VkResult early = wait_for(done, 1, 50'000'000);
    const VkResult signalled = kilnSignalSemaphore(device_->handle(), gate, 0x100000002ull);
    const VkResult late = wait_for(done, 1, kDeadlineNs);
    kilnDestroySemaphore(device_->handle(), done, nullptr);
    kilnDestroySemaphore(device_->handle(), gate, nullptr);
    if (early != VK_TIMEOUT)
      wrong("a wait for 0x100000002 ended at 0xffffffff: only 32 bits are compared");
    device_->check(signalled, "signalling from the host");
    device_->check(late, "waiting");
    return {{"blocked_at", "0xffffffff"}, {"passed_at", "0x100000002"}};
  }

  /// Host writes through the PCI aperture must be what the GPU copies, also the second time.
  ordered_json hdp() {
    Buffer visible = device_->allocate(4096, kDeviceVisible),
           to = device_->allocate(4096, kHostCached);
    for (std::uint32_t round = 1; round <= 16; ++round) {
      for (std::uint32_t i = 0; i < 1024; ++i) {
        const std::uint32_t value = round << 16 | i;
        std::memcpy(visible.host + i * 4, &value, 4);
      }
      KilnCommandBuffer commands = device_->begin();
      device_->check(kilnCmdCopyMemory(commands, to.address, visible.address, 4096),
                     "recording a copy");
      device_->submit_and_wait(commands, false, kDeadlineNs);
      if (std::memcmp(visible.host, to.host, 4096) != 0)
        wrong("round " + std::to_string(round) + ": the GPU copied what was there before");
    }
    return {{"rounds", 16}};
  }

  std::vector<std::byte> kernel_code(const char* name) {
    std::string tried;
    for (const std::string& directory :
         {std::string(KILN_KERNEL_DIRECTORY), std::string(KILN_INSTALLED_KERNELS)}) {
      const std::string path =
          directory + "/" + device_->properties().targetName + "/" + name + ".hsaco";
      if (std::ifstream(path).good()) return read_file(path);
      tried += " " + path;
    }
    wrong("no code object found; looked at" + tried);
  }

  void dispatch(const char* name, std::uint32_t groups, std::uint32_t block, const void* arguments,
                std::size_t size) {
    KilnModule module = device_->load(kernel_code(name));
    KilnDispatchInfo info{};
    info.sType = KILN_STRUCTURE_TYPE_DISPATCH_INFO;
    info.kernel = device_->kernel(module, name);
    for (int i = 0; i < 3; ++i) info.workgroupCount[i] = info.workgroupSize[i] = 1;
    info.workgroupCount[0] = groups;
    info.workgroupSize[0] = block;
    info.argumentsSize = size;
    info.pArguments = arguments;
    KilnCommandBuffer commands = device_->begin();
    device_->check(kilnCmdDispatch(commands, &info), "recording the dispatch");
    device_->submit_and_wait(commands, false, kDeadlineNs);
    device_->unload(module);
  }

  ordered_json vector_add() {
    constexpr std::uint32_t kCount = 100'003;
    Buffer data = device_->allocate(3 * kCount * sizeof(float), kHostCached);
    auto* values = reinterpret_cast<float*>(data.host);
    for (std::uint32_t i = 0; i < kCount; ++i) {
      values[i] = static_cast<float>(i);
      values[kCount + i] = 0.5f * static_cast<float>(i);
      values[2 * kCount + i] = -1.0f;
    }
    struct {
      std::uint64_t a, b, c;
      std::uint32_t count;
    } arguments{data.address, data.address + kCount * 4, data.address + kCount * 8, kCount};
    dispatch("vector_add", (kCount + 255) / 256, 256, &arguments, 28);
    for (std::uint32_t i = 0; i < kCount; ++i)
      if (values[2 * kCount + i] != 1.5f * static_cast<float>(i))
        wrong("sum " + std::to_string(i) + " is " + std::to_string(values[2 * kCount + i]));
    return {{"sums", kCount}};
  }

  /// Every workgroup says which XCC it ran on; a second dispatch behind a barrier reads what all
  /// wrote.
  ordered_json xcc_ids() {
    constexpr std::uint32_t kGroups = 256;
    Buffer ids = device_->allocate(kGroups * 4, kHostCached);
    std::memset(ids.host, 0xff, ids.size);
    const std::uint64_t arguments = ids.address;
    dispatch("xcc_ids", kGroups, 64, &arguments, sizeof arguments);
    std::set<std::uint32_t> seen;
    for (std::uint32_t i = 0; i < kGroups; ++i) {
      std::uint32_t id;
      std::memcpy(&id, ids.host + i * 4, 4);
      if (id == ~0u) wrong("workgroup " + std::to_string(i) + " did not write before the signal");
      seen.insert(id);
    }
    if (seen.size() != device_->properties().xccCount)
      wrong("workgroups ran on " + std::to_string(seen.size()) + " XCCs of " +
            std::to_string(device_->properties().xccCount));
    return {{"xccs_used", seen.size()}};
  }

  ordered_json close() {
    device_.reset();
    return "ok";
  }

  static ordered_json expect_word(const Buffer& word, std::uint64_t expected) {
    std::uint64_t seen;
    std::memcpy(&seen, word.host, 8);
    if (seen != expected) wrong("the word is " + hex(seen) + " instead of " + hex(expected));
    return {{"word", hex(seen)}};
  }

  Instance& instance_;
  KilnPhysicalDevice gpu_;
  std::unique_ptr<Device> device_;
  ordered_json rows_ = ordered_json::array();
  bool all_ok_ = true;
};

}  // namespace

int run_probe(Instance& instance, const std::string& report_file) {
  ordered_json report = {{"kind", "kiln first-contact report"}, {"kiln", KILN_HEADER_VERSION}};
  utsname kernel{};
  if (uname(&kernel) == 0) report["kernel"] = std::string(kernel.sysname) + " " + kernel.release;
  bool ok = false;
  if (instance.gpus().empty()) {
    report["checks"] = ordered_json::array();
    for (const KilnUnusableDevice& unusable : instance.unusable()) {
      report["unusable"].push_back({{"name", unusable.name}, {"reason", unusable.reason}});
      std::printf("not usable: %s: %s\n", unusable.name, unusable.reason);
    }
    report["ok"] = false;
  } else {
    ok = Probe(instance, instance.gpus()[0]).run(&report);
  }
  std::ofstream(report_file) << report.dump(2) << "\n";
  std::printf("%s; report in %s\n", ok ? "all checks passed" : "something failed",
              report_file.c_str());
  return ok ? 0 : 1;
}

}  // namespace tools

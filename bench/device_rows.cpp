// Owns: rows of what is done seldom: opening a GPU, allocating memory, loading modules.
// Does not own: commands (record_rows.cpp, submit_rows.cpp).
// Threading: one thread.
#include "stand.hpp"

namespace bench {
namespace {

/// Instance and discovery; with a virtual GPU also the making of its machine.
void make_instance(Row& row, const GpuChoice& gpu) {
  auto operation = [&] {
    const tools::Instance instance(gpu.spec.empty() ? nullptr : gpu.spec.c_str());
    if (instance.gpus().empty())
      throw tools::Failure(VK_ERROR_INITIALIZATION_FAILED, instance.error());
  };
  row.time(1, [&](std::uint32_t) { operation(); }, [] {});
  row.count(3, operation);
}

/// A device with one queue of each family, beside the one that is open: what the driver does once
/// for a process has been done.
void open_and_close(Row& row) {
  auto operation = [&] { const tools::Device device(row.stand.instance(), row.stand.gpu()); };
  row.time(1, [&](std::uint32_t) { operation(); }, [] {});
  row.count(3, operation);
}

void allocate_and_free(Row& row, std::size_t bytes, tools::MemoryType type) {
  auto operation = [&] { (void)row.stand.device().allocate(bytes, type); };
  row.time(1, [&](std::uint32_t) { operation(); }, [] {});
  row.count(16, operation);
}

void load_module(Row& row, const char* file) {
  tools::Device& device = row.stand.device();
  const std::vector<std::byte> code = row.stand.code_object(file);
  auto operation = [&] { device.unload(device.load(code)); };
  row.time(1, [&](std::uint32_t) { operation(); }, [] {});
  row.counter("code_bytes", static_cast<double>(code.size()));
  row.count(4, operation);
}

}  // namespace

void add_device_rows(const GpuChoice& gpu) {
  add_row(gpu, "instance/make+destroy", [&gpu](Row& row) { make_instance(row, gpu); });
  add_row(gpu, "device/open+close", open_and_close);
  const struct {
    const char* name;
    std::size_t bytes;
  } sizes[] = {{"4K", 4096}, {"64K", 65536}, {"2M", 2 << 20}, {"64M", 64 << 20}};
  for (const auto& size : sizes) {
    add_row(gpu, std::string("memory/allocate+free/device_local/") + size.name,
            [size](Row& row) { allocate_and_free(row, size.bytes, tools::kDeviceLocal); });
    add_row(gpu, std::string("memory/allocate+free/host_cached/") + size.name,
            [size](Row& row) { allocate_and_free(row, size.bytes, tools::kHostCached); });
  }
  for (const char* file : {"vector_add", "matmul_matrix"})
    add_row(gpu, std::string("module/load+unload/") + file,
            [file](Row& row) { load_module(row, file); });
}

}  // namespace bench

// Owns: the engine's side of the preload library: a machine of its own behind PreloadPort.
// Does not own: the machine's answers (os.*), the tree (preload_tree.*).
// Threading: see preload_port.hpp.
#include "vgpu/preload_port.hpp"

#include <errno.h>
#include <stdio.h>

#include <exception>

#include "vgpu/os.hpp"
#include "vgpu/preload_tree.hpp"

namespace kiln::vgpu {

namespace {

class Port final : public PreloadPort {
 public:
  explicit Port(std::unique_ptr<VirtualOs> os) : os_(std::move(os)) {}

  int open(const char* path, int flags) override {
    // A primary node answers as the render node: there is nothing to display.
    unsigned card = 0;
    char render[32];
    if (sscanf(path, "/dev/dri/card%u", &card) == 1) {
      snprintf(render, sizeof render, "/dev/dri/renderD%u", 128 + card);
      path = render;
    }
    return guarded([&] { return os_->open(path, flags); });
  }
  int close(int fd) override {
    return guarded([&] { return os_->close(fd); });
  }
  void duplicate(int fd, int source) override {
    guarded([&] {
      os_->duplicate(fd, source);
      return 0;
    });
  }
  int ioctl(int fd, unsigned long request, void* argument) override {
    return guarded([&] { return os_->ioctl(fd, request, argument); });
  }
  int mmap(void** address, void* hint, size_t length, int protection, int flags, int fd,
           off_t offset) override {
    return guarded([&] { return os_->mmap(address, hint, length, protection, flags, fd, offset); });
  }
  int munmap(void* address, size_t length) override {
    return guarded([&] { return os_->munmap(address, length); });
  }
  int mprotect(void* address, size_t length, int protection) override {
    return guarded([&] { return os_->mprotect(address, length, protection); });
  }
  int mremap(void** address, size_t old_length, size_t length, int flags, void* to) override {
    return guarded([&] { return os_->mremap(address, old_length, length, flags, to); });
  }
  int write_tree(const char* root) override {
    return guarded([&] { return vgpu::write_tree(*os_, root); });
  }
  int refresh(const char* path) override {
    return guarded([&] { return vgpu::refresh_file(*os_, path); });
  }

 private:
  /// The caller has no C++ library to catch with: the one exception left is lack of memory.
  template <class Call>
  static int guarded(Call call) {
    try {
      return call();
    } catch (const std::exception&) {
      return -ENOMEM;
    }
  }

  std::unique_ptr<VirtualOs> os_;
};

}  // namespace

}  // namespace kiln::vgpu

extern "C" __attribute__((visibility("default"))) kiln::vgpu::PreloadPort* kiln_vgpu_preload(
    const char* spec, char* error, size_t error_size) {
  using namespace kiln::vgpu;
  std::string message;
  try {
    auto parsed = parse_spec(spec);
    if (parsed) {
      auto os = VirtualOs::create(std::move(*parsed), make_engines);
      if (os) return new Port(std::move(*os));
      message = std::move(os.error().message);
    } else {
      message = std::move(parsed.error().message);
    }
  } catch (const std::exception& exception) {
    message = std::string("virtual GPU: ") + exception.what();
  }
  snprintf(error, error_size, "%s", message.c_str());
  return nullptr;
}

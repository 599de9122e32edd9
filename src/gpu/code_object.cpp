// Owns: putting a parsed code object's image into memory and relocating it.
// Does not own: reading the file (code_object_reader.cpp).
// Threading: constant functions of a constant object.
#include "gpu/code_object.hpp"

#include <cstring>
#include <limits>

#include "gpu/bundle.hpp"
#include "gpu/code_object_elf.hpp"

namespace kiln::gpu {
namespace {

template <class T>
void put(std::span<std::byte> image, std::uint64_t offset, T value) {
  std::memcpy(image.data() + offset, &value, sizeof(value));
}

}  // namespace

const KernelInfo* CodeObject::find_kernel(std::string_view name) const {
  for (const KernelInfo& kernel : kernels)
    if (kernel.name == name) return &kernel;
  return nullptr;
}

const GlobalSymbol* CodeObject::find_global(std::string_view name) const {
  for (const GlobalSymbol& global : globals)
    if (global.name == name) return &global;
  return nullptr;
}

Status CodeObject::load(std::span<std::byte> image, Va load_address) const {
  if (image.size() < image_bytes)
    return fail(VK_ERROR_INITIALIZATION_FAILED, strf("%zu bytes for an image of %llu", image.size(),
                                                     static_cast<unsigned long long>(image_bytes)));
  std::uint64_t done = 0;
  for (const Segment& segment : segments) {
    std::memset(image.data() + done, 0, segment.offset - done);
    std::memcpy(image.data() + segment.offset, file.data() + segment.file_offset,
                segment.file_bytes);
    done = segment.offset + segment.file_bytes;
  }
  std::memset(image.data() + done, 0, image.size() - done);
  return relocate(image, load_address);
}

Status CodeObject::relocate(std::span<std::byte> image, Va load_address) const {
  if (load_address % kImageAlignment != 0)
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                "a load address that is not aligned: " + hex_address(load_address));
  for (const Relocation& relocation : relocations) {
    const unsigned bytes = relocation_bytes(relocation.type);
    if (relocation.offset > image.size() || bytes > image.size() - relocation.offset)
      return fail(VK_ERROR_INITIALIZATION_FAILED, "the image is smaller than its relocations");
    const std::uint64_t value = relocation.value + (relocation.in_image ? load_address : 0);
    const std::uint64_t distance = value - (load_address + relocation.offset);
    switch (relocation.type) {
      case kRelocAbs64:
      case kRelocRelative64:
        put(image, relocation.offset, value);
        break;
      case kRelocRel64:
        put(image, relocation.offset, distance);
        break;
      case kRelocAbs32Lo:
        put(image, relocation.offset, static_cast<std::uint32_t>(value));
        break;
      case kRelocAbs32Hi:
        put(image, relocation.offset, static_cast<std::uint32_t>(value >> 32));
        break;
      case kRelocRel32Lo:
        put(image, relocation.offset, static_cast<std::uint32_t>(distance));
        break;
      case kRelocRel32Hi:
        put(image, relocation.offset, static_cast<std::uint32_t>(distance >> 32));
        break;
      case kRelocAbs32:
        if (value > std::numeric_limits<std::uint32_t>::max())
          return invalid_code("a 32-bit relocation cannot hold the address " + hex_address(value));
        put(image, relocation.offset, static_cast<std::uint32_t>(value));
        break;
      case kRelocRel32: {
        const auto near = static_cast<std::int32_t>(distance);
        if (static_cast<std::uint64_t>(static_cast<std::int64_t>(near)) != distance)
          return invalid_code("a 32-bit relocation cannot hold the distance " +
                              hex_address(distance));
        put(image, relocation.offset, near);
        break;
      }
      default:
        return invalid_code(strf("relocation type %u is not known", relocation.type));
    }
  }
  return {};
}

Result<CodeObject> open_code_object(std::span<const std::byte> file, const DeviceIsa& device) {
  KILN_ASSIGN(const std::span<const std::byte> code, select_code_object(file, device));
  return parse_code_object(code, &device);
}

}  // namespace kiln::gpu

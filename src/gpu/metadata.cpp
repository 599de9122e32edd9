// Owns: reading the MessagePack document of a code object's metadata note.
// Does not own: judging it against the rest of the file (code_object.cpp).
// Threading: pure functions. Exceptions of the MessagePack library end here.
#include "gpu/metadata.hpp"

#define MSGPACK_NO_BOOST
#include <limits>
#include <msgpack.hpp>

namespace kiln::gpu {
namespace {

struct KindName {
  ArgumentKind kind;
  std::string_view name;
};
constexpr KindName kKindNames[] = {
    {ArgumentKind::ByValue, "by_value"},
    {ArgumentKind::GlobalBuffer, "global_buffer"},
    {ArgumentKind::DynamicSharedPointer, "dynamic_shared_pointer"},
    {ArgumentKind::Sampler, "sampler"},
    {ArgumentKind::Image, "image"},
    {ArgumentKind::Pipe, "pipe"},
    {ArgumentKind::Queue, "queue"},
    {ArgumentKind::HiddenNone, "hidden_none"},
    {ArgumentKind::HiddenGlobalOffsetX, "hidden_global_offset_x"},
    {ArgumentKind::HiddenGlobalOffsetY, "hidden_global_offset_y"},
    {ArgumentKind::HiddenGlobalOffsetZ, "hidden_global_offset_z"},
    {ArgumentKind::HiddenPrintfBuffer, "hidden_printf_buffer"},
    {ArgumentKind::HiddenHostcallBuffer, "hidden_hostcall_buffer"},
    {ArgumentKind::HiddenDefaultQueue, "hidden_default_queue"},
    {ArgumentKind::HiddenCompletionAction, "hidden_completion_action"},
    {ArgumentKind::HiddenMultigridSyncArg, "hidden_multigrid_sync_arg"},
    {ArgumentKind::HiddenBlockCountX, "hidden_block_count_x"},
    {ArgumentKind::HiddenBlockCountY, "hidden_block_count_y"},
    {ArgumentKind::HiddenBlockCountZ, "hidden_block_count_z"},
    {ArgumentKind::HiddenGroupSizeX, "hidden_group_size_x"},
    {ArgumentKind::HiddenGroupSizeY, "hidden_group_size_y"},
    {ArgumentKind::HiddenGroupSizeZ, "hidden_group_size_z"},
    {ArgumentKind::HiddenRemainderX, "hidden_remainder_x"},
    {ArgumentKind::HiddenRemainderY, "hidden_remainder_y"},
    {ArgumentKind::HiddenRemainderZ, "hidden_remainder_z"},
    {ArgumentKind::HiddenToolCorrelationId, "hidden_tool_correlation_id"},
    {ArgumentKind::HiddenGridDims, "hidden_grid_dims"},
    {ArgumentKind::HiddenHeapV1, "hidden_heap_v1"},
    {ArgumentKind::HiddenDynamicLdsSize, "hidden_dynamic_lds_size"},
    {ArgumentKind::HiddenPrivateBase, "hidden_private_base"},
    {ArgumentKind::HiddenSharedBase, "hidden_shared_base"},
    {ArgumentKind::HiddenQueuePtr, "hidden_queue_ptr"},
};

std::unexpected<Error> invalid(std::string message) {
  return fail(VK_ERROR_INVALID_SHADER_NV, "kernel metadata: " + std::move(message));
}

const msgpack::object* find(const msgpack::object& map, std::string_view key) {
  for (std::uint32_t i = 0; i < map.via.map.size; i++) {
    const msgpack::object_kv& pair = map.via.map.ptr[i];
    if (pair.key.type == msgpack::type::STR &&
        std::string_view(pair.key.via.str.ptr, pair.key.via.str.size) == key)
      return &pair.val;
  }
  return nullptr;
}

// Reads fields of one map; the first failure sticks and names the field and where it is.
class MapReader {
 public:
  MapReader(const msgpack::object& map, std::string where) : map_(map), where_(std::move(where)) {
    if (map.type != msgpack::type::MAP) error_ = where_ + " is not a map";
  }

  void text(std::string_view key, bool required, std::string* out) {
    const msgpack::object* value = field(key, required);
    if (!value) return;
    if (value->type != msgpack::type::STR) return wrong(key, "text");
    out->assign(value->via.str.ptr, value->via.str.size);
  }

  void number(std::string_view key, bool required, std::uint32_t* out) {
    const msgpack::object* value = field(key, required);
    if (value && !as_u32(*value, out)) wrong(key, "a 32-bit number");
  }

  // LLVM writes some flags as booleans and others as 0 or 1.
  void flag(std::string_view key, bool* out) {
    const msgpack::object* value = field(key, false);
    if (!value) return;
    std::uint32_t number = 0;
    if (value->type == msgpack::type::BOOLEAN) {
      *out = value->via.boolean;
    } else if (as_u32(*value, &number) && number <= 1) {
      *out = number == 1;
    } else {
      wrong(key, "a flag");
    }
  }

  template <std::size_t N>
  void numbers(std::string_view key, bool required, std::array<std::uint32_t, N>* out) {
    const msgpack::object* value = field(key, required);
    if (!value) return;
    if (value->type != msgpack::type::ARRAY || value->via.array.size != N)
      return wrong(key, "a list of the right length");
    for (std::size_t i = 0; i < N; i++)
      if (!as_u32(value->via.array.ptr[i], &(*out)[i])) return wrong(key, "a list of numbers");
  }

  // Null if absent.
  const msgpack::object_array* list(std::string_view key, bool required) {
    const msgpack::object* value = field(key, required);
    if (!value) return nullptr;
    if (value->type != msgpack::type::ARRAY) {
      wrong(key, "a list");
      return nullptr;
    }
    return &value->via.array;
  }

  bool failed() const { return !error_.empty(); }
  const std::string& error() const { return error_; }

 private:
  static bool as_u32(const msgpack::object& value, std::uint32_t* out) {
    if (value.type != msgpack::type::POSITIVE_INTEGER ||
        value.via.u64 > std::numeric_limits<std::uint32_t>::max())
      return false;
    *out = static_cast<std::uint32_t>(value.via.u64);
    return true;
  }

  const msgpack::object* field(std::string_view key, bool required) {
    if (failed()) return nullptr;
    const msgpack::object* value = find(map_, key);
    if (!value && required) error_ = where_ + " has no " + std::string(key);
    return value;
  }

  void wrong(std::string_view key, const char* what) {
    if (!failed()) error_ = std::string(key) + " of " + where_ + " is not " + what;
  }

  const msgpack::object& map_;
  std::string where_;
  std::string error_;
};

bool is_power_of_two(std::uint32_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

Result<KernelArgument> read_argument(const msgpack::object& object, const KernelMetadata& kernel,
                                     std::uint32_t index) {
  const std::string where = "argument " + std::to_string(index) + " of kernel " + kernel.name;
  MapReader reader(object, where);
  KernelArgument argument;
  std::string kind;
  reader.text(".name", false, &argument.name);
  reader.text(".type_name", false, &argument.type_name);
  reader.text(".value_kind", true, &kind);
  reader.number(".offset", true, &argument.offset);
  reader.number(".size", true, &argument.size);
  reader.number(".pointee_align", false, &argument.pointee_align);
  if (reader.failed()) return invalid(reader.error());

  bool known = false;
  for (const KindName& row : kKindNames) {
    if (row.name != kind) continue;
    argument.kind = row.kind;
    known = true;
  }
  if (!known) return invalid(where + " is of kind \"" + kind + "\", which Kiln does not know");
  if (argument.offset > kernel.kernarg_size ||
      argument.size > kernel.kernarg_size - argument.offset)
    return invalid(where + " lies outside the argument block of " +
                   std::to_string(kernel.kernarg_size) + " bytes");
  if (is_hidden(argument.kind) && (argument.size == 0 || argument.size > 8))
    return invalid(where + ", " + kind + ", has " + std::to_string(argument.size) + " bytes");
  return argument;
}

Result<KernelMetadata> read_kernel(const msgpack::object& object, std::uint32_t index) {
  MapReader reader(object, "kernel " + std::to_string(index));
  KernelMetadata kernel;
  reader.text(".name", true, &kernel.name);
  reader.text(".symbol", true, &kernel.symbol);
  reader.number(".kernarg_segment_size", true, &kernel.kernarg_size);
  reader.number(".kernarg_segment_align", true, &kernel.kernarg_align);
  reader.number(".group_segment_fixed_size", true, &kernel.group_segment_fixed_size);
  reader.number(".private_segment_fixed_size", true, &kernel.private_segment_fixed_size);
  reader.number(".wavefront_size", true, &kernel.wavefront_size);
  reader.number(".sgpr_count", true, &kernel.sgpr_count);
  reader.number(".vgpr_count", true, &kernel.vgpr_count);
  reader.number(".agpr_count", false, &kernel.agpr_count);
  reader.number(".max_flat_workgroup_size", true, &kernel.max_flat_workgroup_size);
  reader.numbers(".reqd_workgroup_size", false, &kernel.required_workgroup_size);
  reader.flag(".uses_dynamic_stack", &kernel.uses_dynamic_stack);
  reader.flag(".workgroup_processor_mode", &kernel.workgroup_processor_mode);
  const msgpack::object_array* arguments = reader.list(".args", false);
  if (reader.failed()) return invalid(reader.error());

  if (!is_power_of_two(kernel.kernarg_align))
    return invalid("the argument block of kernel " + kernel.name + " is aligned to " +
                   std::to_string(kernel.kernarg_align));
  if (kernel.wavefront_size != 32 && kernel.wavefront_size != 64)
    return invalid("kernel " + kernel.name + " has waves of " +
                   std::to_string(kernel.wavefront_size));
  if (kernel.max_flat_workgroup_size == 0)
    return invalid("kernel " + kernel.name + " allows workgroups of 0 work-items only");
  for (std::uint32_t i = 0; arguments && i < arguments->size; i++) {
    KILN_ASSIGN(KernelArgument argument, read_argument(arguments->ptr[i], kernel, i));
    kernel.arguments.push_back(std::move(argument));
  }
  return kernel;
}

Result<Metadata> read_document(const msgpack::object& object) {
  MapReader reader(object, "the document");
  Metadata metadata;
  std::array<std::uint32_t, 2> version{};
  reader.numbers("amdhsa.version", true, &version);
  reader.text("amdhsa.target", false, &metadata.target);
  const msgpack::object_array* kernels = reader.list("amdhsa.kernels", false);
  if (reader.failed()) return invalid(reader.error());
  metadata.version_major = version[0];
  metadata.version_minor = version[1];
  if (metadata.version_major != 1)
    return invalid("version " + std::to_string(version[0]) + "." + std::to_string(version[1]) +
                   ", Kiln reads 1.x");
  for (std::uint32_t i = 0; kernels && i < kernels->size; i++) {
    KILN_ASSIGN(KernelMetadata kernel, read_kernel(kernels->ptr[i], i));
    metadata.kernels.push_back(std::move(kernel));
  }
  return metadata;
}

}  // namespace

std::string_view to_string(ArgumentKind kind) {
  for (const KindName& row : kKindNames)
    if (row.kind == kind) return row.name;
  return "?";
}

Result<Metadata> parse_metadata(std::span<const std::byte> note) {
  // A list cannot have more elements than the note has bytes: without these limits a few bytes
  // could ask the library for gigabytes.
  const std::size_t bytes = note.size();
  constexpr std::size_t kMaxDepth = 16;
  const msgpack::unpack_limit limit(bytes, bytes, bytes, bytes, bytes, kMaxDepth);
  try {
    const msgpack::object_handle document =
        msgpack::unpack(reinterpret_cast<const char*>(note.data()), bytes, nullptr, nullptr, limit);
    return read_document(document.get());
  } catch (const msgpack::unpack_error& error) {
    return invalid(std::string("not a MessagePack document: ") + error.what());
  }
}

}  // namespace kiln::gpu

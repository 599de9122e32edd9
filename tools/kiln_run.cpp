// Owns: kiln-run: one kernel of any code object from the command line, with typed arguments and
// buffers
//   from and to files.
// Does not own: loading and launching (the library).
// Threading: one thread.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "session.hpp"

namespace {

const char* const kArgumentHelp = R"(Arguments, in the kernel's order:
  i8: i16: i32: i64: u8: u16: u32: u64: f32: f64:   a number, e.g. u32:100 or f32:-1.5
  in:FILE          a buffer with the file's contents
  out:FILE:BYTES   a zeroed buffer, written to the file afterwards
  inout:FILE       a buffer with the file's contents, written back afterwards
  zero:BYTES       a zeroed buffer
  hex:BYTES        a zeroed buffer, shown in hexadecimal afterwards)";

/// A parsed argument: bytes for the argument block, and what to do with its buffer afterwards.
struct Argument {
  std::vector<std::byte> value;
  tools::Buffer buffer;
  std::string output_file;
  bool show = false;
};

[[noreturn]] void refuse(const std::string& text) {
  throw tools::Failure(VK_ERROR_UNKNOWN, text);
}

template <class T>
std::vector<std::byte> number(const std::string& text) {
  T value{};
  const char* begin = text.data();
  int base = 10;
  if constexpr (std::is_integral_v<T>)
    if (text.starts_with("0x")) begin += 2, base = 16;
  std::from_chars_result result;
  if constexpr (std::is_integral_v<T>)
    result = std::from_chars(begin, text.data() + text.size(), value, base);
  else
    result = std::from_chars(begin, text.data() + text.size(), value);
  if (result.ec != std::errc{} || result.ptr != text.data() + text.size())
    refuse("'" + text + "' is not a number of that type");
  std::vector<std::byte> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::uint64_t byte_count(const std::string& text) {
  std::uint64_t bytes = 0;
  const auto parsed = number<std::uint64_t>(text);
  std::memcpy(&bytes, parsed.data(), sizeof bytes);
  return bytes;
}

void fill_buffer(tools::Device& device, Argument& argument, std::span<const std::byte> content,
                 std::uint64_t size) {
  argument.buffer = device.allocate(std::max<std::uint64_t>(size, 4), tools::kHostCached);
  std::memset(argument.buffer.host, 0, argument.buffer.size);
  if (!content.empty()) std::memcpy(argument.buffer.host, content.data(), content.size());
  argument.value.resize(8);
  std::memcpy(argument.value.data(), &argument.buffer.address, 8);
}

Argument parse(tools::Device& device, const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) refuse("'" + text + "' has no type\n" + kArgumentHelp);
  const std::string type = text.substr(0, colon), rest = text.substr(colon + 1);
  Argument argument;
  if (type == "i8")
    argument.value = number<std::int8_t>(rest);
  else if (type == "u8")
    argument.value = number<std::uint8_t>(rest);
  else if (type == "i16")
    argument.value = number<std::int16_t>(rest);
  else if (type == "u16")
    argument.value = number<std::uint16_t>(rest);
  else if (type == "i32")
    argument.value = number<std::int32_t>(rest);
  else if (type == "u32")
    argument.value = number<std::uint32_t>(rest);
  else if (type == "i64")
    argument.value = number<std::int64_t>(rest);
  else if (type == "u64")
    argument.value = number<std::uint64_t>(rest);
  else if (type == "f32")
    argument.value = number<float>(rest);
  else if (type == "f64")
    argument.value = number<double>(rest);
  else if (type == "in" || type == "inout") {
    const std::vector<std::byte> content = tools::read_file(rest);
    fill_buffer(device, argument, content, content.size());
    if (type == "inout") argument.output_file = rest;
  } else if (type == "out") {
    const std::size_t last = rest.rfind(':');
    if (last == std::string::npos) refuse("'" + text + "': out:FILE:BYTES");
    fill_buffer(device, argument, {}, byte_count(rest.substr(last + 1)));
    argument.output_file = rest.substr(0, last);
  } else if (type == "zero" || type == "hex") {
    fill_buffer(device, argument, {}, byte_count(rest));
    argument.show = type == "hex";
  } else {
    refuse("unknown argument type '" + type + "'\n" + kArgumentHelp);
  }
  return argument;
}

/// The explicit argument block: each value at the offset the kernel's table says.
std::vector<std::byte> make_block(KilnKernel kernel, const std::vector<Argument>& arguments) {
  KilnKernelProperties properties{};
  properties.sType = KILN_STRUCTURE_TYPE_KERNEL_PROPERTIES;
  kilnGetKernelProperties(kernel, &properties);
  std::uint32_t count = 0;
  kilnGetKernelArguments(kernel, &count, nullptr);
  std::vector<KilnKernelArgument> table(count);
  for (auto& row : table) row.sType = KILN_STRUCTURE_TYPE_KERNEL_ARGUMENT;
  kilnGetKernelArguments(kernel, &count, table.data());
  std::erase_if(table,
                [](const KilnKernelArgument& row) { return row.kind == KILN_ARGUMENT_HIDDEN; });
  if (table.size() != arguments.size())
    refuse("the kernel takes " + std::to_string(table.size()) + " arguments, " +
           std::to_string(arguments.size()) + " were given");
  std::vector<std::byte> block(properties.argumentsSize);
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].size != arguments[i].value.size())
      refuse("argument " + std::to_string(i) + " ('" + table[i].pName + "') is " +
             std::to_string(table[i].size) + " bytes, the value given is " +
             std::to_string(arguments[i].value.size()));
    std::memcpy(block.data() + table[i].offset, arguments[i].value.data(), table[i].size);
  }
  return block;
}

void list_kernels(KilnModule module) {
  std::uint32_t count = 0;
  kilnEnumerateModuleKernels(module, &count, nullptr);
  std::vector<const char*> names(count);
  kilnEnumerateModuleKernels(module, &count, names.data());
  for (const char* name : names) std::printf("%s\n", name);
}

void show(const tools::Buffer& buffer) {
  for (std::size_t i = 0; i < buffer.size; ++i)
    std::printf("%02x%s", static_cast<unsigned>(buffer.host[i]),
                i % 16 == 15 || i + 1 == buffer.size ? "\n" : " ");
}

/// "2", "2,3" or "2,3,4" in one word: a list option of CLI11 would eat the file's name behind it.
void extent_option(CLI::App& app, const char* name, std::vector<std::uint32_t>& extent,
                   const char* help) {
  auto parse = [&extent, name](const std::string& text) {
    extent.clear();
    for (const std::string& part : CLI::detail::split(text, ',')) {
      std::uint32_t value = 0;
      if (!CLI::detail::lexical_cast(part, value) || extent.size() == 3)
        throw CLI::ValidationError(name, "'" + text + "' is not one to three numbers as 8,4,1");
      extent.push_back(value);
    }
    extent.resize(3, 1);
  };
  app.add_option_function<std::string>(name, parse, help)->type_name("UINT[,UINT[,UINT]]");
}

int run(int argc, char** argv) {
  CLI::App app{"Runs one kernel of a code object and writes its buffers."};
  std::string file, kernel_name;
  std::vector<std::uint32_t> grid{1, 1, 1}, block{64, 1, 1};
  std::vector<std::string> texts;
  std::uint32_t lds = 0, gpu = 0, timeout_s = 60;
  bool list = false;
  app.footer(kArgumentHelp);
  app.add_option("code_object", file, "code object or offload bundle")->required();
  app.add_option("kernel", kernel_name, "kernel name");
  app.add_option("arguments", texts, "kernel arguments");
  extent_option(app, "--grid", grid, "workgroups in x,y,z");
  extent_option(app, "--block", block, "threads of a workgroup in x,y,z");
  app.add_option("--lds", lds, "dynamic LDS in bytes");
  app.add_option("--gpu", gpu, "which GPU, as kiln-info numbers them");
  app.add_option("--timeout", timeout_s, "seconds before the kernel counts as hung");
  app.add_flag("--list", list, "list the kernels and stop");
  CLI11_PARSE(app, argc, argv);

  tools::Instance instance;
  if (!instance.ok()) refuse(instance.error());
  if (gpu >= instance.gpus().size())
    refuse("there is no GPU " + std::to_string(gpu) + "; kiln-info lists them");
  tools::Device device(instance, instance.gpus()[gpu], std::uint64_t{timeout_s} * 1'000'000'000);
  KilnModule module = device.load(tools::read_file(file));
  if (list || kernel_name.empty()) {
    list_kernels(module);
    device.unload(module);
    return 0;
  }
  KilnKernel kernel = device.kernel(module, kernel_name.c_str());
  std::vector<Argument> arguments;
  for (const std::string& text : texts) arguments.push_back(parse(device, text));
  const std::vector<std::byte> argument_block = make_block(kernel, arguments);

  tools::Buffer times = device.allocate(64, tools::kHostUncached);
  KilnDispatchInfo info{};
  info.sType = KILN_STRUCTURE_TYPE_DISPATCH_INFO;
  info.kernel = kernel;
  for (int i = 0; i < 3; ++i) {
    info.workgroupCount[i] = grid[i];
    info.workgroupSize[i] = block[i];
  }
  info.dynamicLdsBytes = lds;
  info.argumentsSize = argument_block.size();
  info.pArguments = argument_block.data();
  KilnCommandBuffer commands = device.begin();
  device.check(kilnCmdWriteTimestamp(commands, times.address), "recording a timestamp");
  device.check(kilnCmdDispatch(commands, &info), "recording the dispatch");
  device.check(kilnCmdBarrier(commands, nullptr), "recording a barrier");
  device.check(kilnCmdWriteTimestamp(commands, times.address + 32), "recording a timestamp");
  device.submit_and_wait(commands, false, std::uint64_t{timeout_s} * 2'000'000'000);

  std::uint64_t begin, end;
  std::memcpy(&begin, times.host, 8);
  std::memcpy(&end, times.host + 32, 8);
  std::printf("%s on %s: %.3f us device time%s\n", kernel_name.c_str(),
              device.properties().deviceName,
              static_cast<double>(end - begin) * 1e6 /
                  static_cast<double>(device.properties().timestampFrequencyHz),
              device.properties().isVirtual ? " (emulated)" : "");
  for (const Argument& argument : arguments) {
    if (argument.show) show(argument.buffer);
    if (argument.output_file.empty()) continue;
    std::ofstream out(argument.output_file, std::ios::binary);
    out.write(reinterpret_cast<const char*>(argument.buffer.host),
              static_cast<std::streamsize>(argument.buffer.size));
    if (!out) refuse("cannot write " + argument.output_file);
  }
  device.unload(module);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kiln-run: %s\n", error.what());
    return 1;
  }
}

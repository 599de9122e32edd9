// kiln-vgpu: runs any program with a virtual GPU behind /dev/kfd and /dev/dri.
// Owns: the command line, finding libkiln-vgpu.so, the environment of the program.
// Does not own: the machine (src/vgpu), what the program does.
// Threading: one thread.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "vgpu/chips.hpp"
#include "vgpu/machine.hpp"

namespace {

namespace fs = std::filesystem;
using namespace kiln;

constexpr char kLibrary[] = "libkiln-vgpu.so.0";
// As shells answer where a program cannot be run, or is not there.
constexpr int kCannotRun = 126, kNotFound = 127, kUsage = 2;

void list() {
  printf("%-9s %-16s %-8s %s\n", "PRODUCT", "CHIP", "TARGET", "DESCRIPTION");
  for (const vgpu::ChipSpec& chip : vgpu::all_chips()) {
    std::string also;  // further products
    for (const std::string_view alias : chip.aliases)
      if (!alias.empty() && alias != chip.name()) also += ", also " + std::string(alias);
    printf("%-9s %-16s %-8s %s, %u CUs, %llu MiB%s%s\n", chip.product.data(), chip.name().data(),
           gpu::to_string(chip.gfx_ip).c_str(), chip.marketing_name.data(), chip.cu_count,
           static_cast<unsigned long long>(chip.vram_bytes >> 20), also.c_str(),
           chip.topology_only ? "; topology only, no queues" : "");
  }
}

/// The library beside this program: in its build tree, or as installed. "" if in neither.
std::string find_library() {
  char self[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0) return {};
  const fs::path folder =
      fs::path(std::string(self, static_cast<std::size_t>(length))).parent_path();
  for (const fs::path& place : {folder / "../src/vgpu", folder / ".." / KILN_LIBRARY_FOLDER,
                                folder / "../lib", fs::path(KILN_LIBRARY_PATH)}) {
    std::error_code error;
    const fs::path path = fs::canonical(place / kLibrary, error);
    if (!error) return path.string();
  }
  return {};
}

int complain(int code, const std::string& message) {
  fprintf(stderr, "kiln-vgpu: %s\n", message.c_str());
  return code;
}

int run(const std::string& gpu, const std::vector<std::string>& command) {
  const std::string library = find_library();
  if (library.empty())
    return complain(kCannotRun, std::string(kLibrary) +
                                    " is neither in this program's build tree "
                                    "nor in its installation");
  // ld.so takes both as separators, and has no way to quote them.
  if (library.find_first_of(" :") != std::string::npos)
    return complain(kCannotRun,
                    "LD_PRELOAD cannot name a path with a space or a colon: " + library);
  std::string preload = library;
  if (const char* more = getenv("LD_PRELOAD"); more != nullptr && *more != '\0')
    preload += std::string(":") + more;
  if (setenv("KILN_VGPU", gpu.c_str(), 1) != 0 || setenv("LD_PRELOAD", preload.c_str(), 1) != 0)
    return complain(kCannotRun, strerror(errno));
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  const int error = errno;
  return complain(error == ENOENT ? kNotFound : kCannotRun,
                  "cannot run " + command[0] + ": " + strerror(error));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Runs a program with a virtual AMD GPU: it finds /dev/kfd, /dev/dri and their files in "
      "/sys.\n"
      "  kiln-vgpu --gpu NAME[,OPTION...] -- COMMAND [ARGUMENT...]\n"
      "  kiln-vgpu --list",
      "kiln-vgpu"};
  app.footer(
      "Options of a machine: strict, seed=N, skew=max|N, kfd=1.N, threads=N, vram=SIZE, debug;\n"
      "several GPUs: '2x mi300x' or 'mi300x,navi31'. Programs that are linked statically, run "
      "setuid\n"
      "or call the kernel past libc (as Go's do) do not see it; nor do those that a program below "
      "it\n"
      "starts with KILN_VGPU set to nothing.");
  std::string gpu;
  bool wants_list = false;
  app.add_option("--gpu", gpu, "the machine, as in KILN_VGPU (which is its default)");
  app.add_flag("--list", wants_list, "print the GPUs there are");
  app.prefix_command();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  if (wants_list) {
    list();
    return 0;
  }
  std::vector<std::string> command = app.remaining();
  if (!command.empty() && command[0] == "--") command.erase(command.begin());
  if (gpu.empty())
    if (const char* set = getenv("KILN_VGPU"); set != nullptr) gpu = set;
  if (gpu.empty())
    return complain(kUsage, "--gpu NAME is missing; there are: " + vgpu::chip_names());
  if (const auto spec = vgpu::parse_spec(gpu); !spec) return complain(kUsage, spec.error().message);
  if (command.empty()) return complain(kUsage, "no command given: kiln-vgpu --gpu NAME -- COMMAND");
  return run(gpu, command);
}

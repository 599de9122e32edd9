#include "vgpu/preload_tree.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "vgpu/preload_port.hpp"

namespace kiln::vgpu {

namespace {

namespace fs = std::filesystem;

// All below throw std::filesystem::filesystem_error.

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush())
    throw fs::filesystem_error("write", path, std::error_code(ENOSPC, std::generic_category()));
}

void link(const fs::path& path, const fs::path& target) {
  fs::create_directories(path.parent_path());
  fs::create_directory_symlink(target, path);
}

void make_device(const fs::path& path, unsigned major, unsigned minor) {
  write_text(path, {});
  fs::resize_file(path, static_cast<std::uintmax_t>(device_file_size(major, minor)));
  fs::permissions(path, static_cast<fs::perms>(S_ISVTX | 0660));
}

/// Copies what the machine shows at `from` and below to `to`.
void copy(VirtualOs& os, const std::string& from, const fs::path& to) {
  std::string text;
  const int error = os.read_file(from.c_str(), &text);
  if (error == 0) {
    write_text(to, text);
    return;
  }
  // A folder, or one that is empty and therefore has no file below it.
  fs::create_directories(to);
  std::vector<std::string> names;
  if (os.list_directory(from.c_str(), &names) != 0) return;
  for (const std::string& name : names) copy(os, from + "/" + name, to / name);
}

/// The bus address that a card's uevent text names.
std::string slot_of(VirtualOs& os, const std::string& device) {
  std::string text, line;
  os.read_file((device + "/uevent").c_str(), &text);
  std::istringstream lines(text);
  constexpr std::string_view kName = "PCI_SLOT_NAME=";
  while (std::getline(lines, line))
    if (line.starts_with(kName)) return line.substr(kName.size());
  throw fs::filesystem_error("uevent", device, std::error_code(ENODEV, std::generic_category()));
}

void write_card(VirtualOs& os, const fs::path& root, const std::string& node) {
  const unsigned minor = static_cast<unsigned>(std::stoul(node.substr(strlen("renderD"))));
  const std::string device = "/sys/class/drm/" + node + "/device";
  const std::string slot = slot_of(os, device);
  const fs::path pci = root / "sys/devices/pci0000:00" / slot;
  copy(os, device, pci);
  link(pci / "subsystem", "../../../bus/pci");
  link(pci / "driver", "../../../bus/pci/drivers/amdgpu");
  const fs::path drm = pci / "drm" / node;
  const std::string number = std::to_string(kDrmMajor) + ":" + std::to_string(minor);
  write_text(drm / "dev", number + "\n");
  write_text(drm / "uevent", "MAJOR=" + std::to_string(kDrmMajor) +
                                 "\nMINOR=" + std::to_string(minor) + "\nDEVNAME=dri/" + node +
                                 "\nDEVTYPE=drm_minor\n");
  link(drm / "device", "../../../" + slot);
  link(drm / "subsystem", "../../../../../class/drm");
  const fs::path from_class = fs::path("../../devices/pci0000:00") / slot / "drm" / node;
  link(root / "sys/class/drm" / node, from_class);
  link(root / "sys/dev/char" / number, from_class);
  link(root / "sys/bus/pci/devices" / slot, "../../../devices/pci0000:00/" + slot);
  link(root / "sys/bus/pci/drivers/amdgpu" / slot, "../../../../devices/pci0000:00/" + slot);
  make_device(root / "dev/dri" / node, kDrmMajor, minor);
}

/// /proc/modules of the host with amdgpu in it, as rocminfo looks for by way of lsmod.
void write_modules(const fs::path& root) {
  constexpr char kSize[] = "19660800";
  std::string text = std::string("amdgpu ") + kSize + " 1 - Live 0x0000000000000000\n";
  std::ifstream host("/proc/modules");
  for (std::string line; std::getline(host, line);)
    if (!line.starts_with("amdgpu ")) text += line + "\n";
  write_text(root / "proc/modules", text);
  write_text(root / "sys/module/amdgpu/coresize", std::string(kSize) + "\n");
  fs::create_directories(root / "sys/module/amdgpu/holders");
}

}  // namespace

int write_tree(VirtualOs& os, const std::string& root_name) try {
  const fs::path root = root_name;
  const std::string kfd = "/sys/devices/virtual/kfd/kfd";
  copy(os, kfd, root.string() + kfd);
  write_text(root.string() + kfd + "/dev", std::to_string(kKfdMajor) + ":0\n");
  link(root / "sys/class/kfd/kfd", "../../devices/virtual/kfd/kfd");
  copy(os, "/sys/module/amdgpu", root / "sys/module/amdgpu");
  write_modules(root);
  make_device(root / "dev/kfd", kKfdMajor, 0);
  std::vector<std::string> nodes;
  if (const int error = os.list_directory("/dev/dri", &nodes); error != 0) return error;
  for (const std::string& node : nodes) write_card(os, root, node);
  return 0;
} catch (const fs::filesystem_error& error) {
  return error.code().value() != 0 ? -error.code().value() : -EIO;
}

}  // namespace kiln::vgpu

#include "vgpu/preload_tree.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "vgpu/preload_port.hpp"

namespace kiln::vgpu {

namespace {

namespace fs = std::filesystem;

// All below throw std::filesystem::filesystem_error, except refresh_file.

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

/// A card's primary or render node.
void write_node(const fs::path& root, const std::string& slot, const std::string& node,
                unsigned minor) {
  const fs::path pci = root / "sys/devices/pci0000:00" / slot;
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
  make_device(root / "dev/dri" / node, kDrmMajor, minor);
  const std::string kind = node.starts_with("card") ? "-card" : "-render";
  link(root / "dev/dri/by-path" / ("pci-" + slot + kind), "../" + node);
}

/// One GPU: its PCI device, its nodes, its sensors under a number that no sensor of the host has.
void write_card(VirtualOs& os, const fs::path& root, const VirtualGpu& gpu, unsigned sensors) {
  const std::string render = "renderD" + std::to_string(gpu.render_minor());
  const std::string device = "/sys/class/drm/" + render + "/device";
  const std::string slot = pci_slot(gpu);
  const fs::path pci = root / "sys/devices/pci0000:00" / slot;
  copy(os, device, pci);
  link(pci / "subsystem", "../../../bus/pci");
  link(pci / "driver", "../../../bus/pci/drivers/amdgpu");
  link(root / "sys/bus/pci/devices" / slot, "../../../devices/pci0000:00/" + slot);
  link(root / "sys/bus/pci/drivers/amdgpu" / slot, "../../../../devices/pci0000:00/" + slot);
  write_node(root, slot, render, gpu.render_minor());
  write_node(root, slot, "card" + std::to_string(gpu.index()), gpu.index());
  const std::string name = "hwmon" + std::to_string(sensors);
  fs::rename(pci / "hwmon" / ("hwmon" + std::to_string(gpu.index())), pci / "hwmon" / name);
  link(pci / "hwmon" / name / "device", "../../../" + slot);
  link(pci / "hwmon" / name / "subsystem", "../../../../../class/hwmon");
  link(root / "sys/class/hwmon" / name,
       fs::path("../../devices/pci0000:00") / slot / "hwmon" / name);
}

/// The links that the host has in a folder, beside those of the machine, and what they lead to.
void merge(const fs::path& root, const char* folder) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const fs::path place = root / entry.path().relative_path();
    if (fs::symlink_status(place).type() != fs::file_type::not_found) continue;  // the machine's
    const fs::path target = fs::canonical(entry.path(), error);
    if (error) continue;
    fs::create_directories(place.parent_path());
    if (!entry.is_symlink()) {  // a device file
      fs::create_symlink(entry.path(), place);
      continue;
    }
    fs::create_symlink(fs::read_symlink(entry.path()), place);
    const fs::path behind = root / target.relative_path();
    if (fs::exists(behind)) continue;  // also below one of these links
    fs::create_directories(behind.parent_path());
    fs::create_directory_symlink(target, behind);
  }
}

/// The first number that no sensor of the host has.
unsigned first_free_sensor() {
  unsigned number = 0;
  std::error_code error;
  while (fs::exists("/sys/class/hwmon/hwmon" + std::to_string(number), error)) ++number;
  return number;
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
  Machine& machine = os.machine();
  const unsigned sensors = first_free_sensor();
  for (std::size_t index = 0; index < machine.gpu_count(); ++index)
    write_card(os, root, machine.gpu(index), sensors + static_cast<unsigned>(index));
  for (const char* folder :
       {"/sys/bus/pci/devices", "/sys/class/drm", "/sys/class/hwmon", "/dev/dri"})
    merge(root, folder);
  return 0;
} catch (const fs::filesystem_error& error) {
  return error.code().value() != 0 ? -error.code().value() : -EIO;
}

int refresh_file(VirtualOs& os, const std::string& path) {
  // .../sys/devices/pci0000:00/SLOT/mem_info_KIND_used, wherever a link to it was.
  std::error_code error;
  const fs::path file = fs::canonical(path, error);
  if (error) return -error.value();
  const std::string slot = file.parent_path().filename(), name = file.filename();
  Machine& machine = os.machine();
  for (std::size_t index = 0; index < machine.gpu_count(); ++index) {
    VirtualGpu& gpu = machine.gpu(index);
    if (slot != pci_slot(gpu)) continue;
    const std::uint64_t used = name == "mem_info_gtt_used" ? gpu.gtt_bytes() - gpu.free_gtt()
                                                           : gpu.vram_bytes() - gpu.free_vram();
    std::ofstream(file) << used << "\n";
    return 0;
  }
  return -ENOENT;
}

}  // namespace kiln::vgpu

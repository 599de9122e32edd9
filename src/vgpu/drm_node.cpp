#include "vgpu/drm_node.hpp"

#include <amdgpu_drm.h>
#include <drm.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "vgpu/user_memory.hpp"

namespace kiln::vgpu {

namespace {

// drm_ioctl.c drm_copy_field: as much as fits; the length is always the whole.
bool copy_text(const char* text, char* user, __kernel_size_t* room) {
  const std::size_t length = strlen(text), fits = std::min<std::size_t>(length, *room);
  *room = length;
  return user == nullptr || copy_to_user(reinterpret_cast<std::uint64_t>(user), text, fits);
}

int version(void* data) {
  // amdgpu_drv.c: 3.54 is of Linux 6.5, the first with MI300.
  auto& args = *static_cast<drm_version*>(data);
  args.version_major = 3;
  args.version_minor = 54;
  args.version_patchlevel = 0;
  return copy_text("amdgpu", args.name, &args.name_len) &&
                 copy_text("20150101", args.date, &args.date_len) &&
                 copy_text("AMD GPU", args.desc, &args.desc_len)
             ? 0
             : -EFAULT;
}

int get_client(void* data) {
  // drm_ioctl.c drm_getclient: client 0 is the caller itself.
  auto& args = *static_cast<drm_client*>(data);
  if (args.idx != 0) return -EINVAL;
  args.auth = 1;
  args.pid = static_cast<unsigned long>(getpid());
  args.uid = getuid();
  args.magic = args.iocs = 0;
  return 0;
}

int get_capability(void* data) {
  auto& args = *static_cast<drm_get_cap*>(data);
  switch (args.capability) {
    case DRM_CAP_PRIME:
      args.value = DRM_PRIME_CAP_IMPORT | DRM_PRIME_CAP_EXPORT;
      return 0;
    case DRM_CAP_SYNCOBJ:
    case DRM_CAP_SYNCOBJ_TIMELINE:
    case DRM_CAP_TIMESTAMP_MONOTONIC:
      args.value = 1;
      return 0;
    default:
      return -EINVAL;
  }
}

drm_amdgpu_info_device device_info(const VirtualGpu& gpu) {
  // amdgpu_kms.c amdgpu_info_ioctl, AMDGPU_INFO_DEV_INFO. One XCC's shape where a chip has several.
  const ChipSpec& chip = gpu.chip();
  drm_amdgpu_info_device info{};
  info.device_id = chip.device_id;
  info.chip_rev = chip.capability >> 22 & 15;
  info.external_rev = info.chip_rev + 1;
  info.pci_rev = chip.pci_revision;
  info.family = chip.drm_family;
  info.num_shader_engines = chip.shader_engines / chip.xcc_count;
  info.num_shader_arrays_per_engine = chip.arrays_per_engine;
  info.gpu_counter_freq = 100'000;
  info.max_engine_clock = std::uint64_t{chip.max_engine_clock_mhz} * 1000;
  info.max_memory_clock = std::uint64_t{chip.max_memory_clock_mhz} * 1000;
  info.cu_active_number = chip.cu_count;
  std::uint32_t left = chip.cu_per_xcc();
  for (std::uint32_t engine = 0; engine < info.num_shader_engines; ++engine)
    for (std::uint32_t array = 0; array < chip.arrays_per_engine; ++array) {
      const std::uint32_t arrays_left =
          (info.num_shader_engines - engine) * chip.arrays_per_engine - array;
      const std::uint32_t cus = (left + arrays_left - 1) / arrays_left;
      // Engines past the fourth sit in the upper columns (amdgpu_gfx.c).
      info.cu_bitmap[engine % 4][array + engine / 4 * 2] = (1u << cus) - 1;
      left -= cus;
    }
  info.num_hw_gfx_contexts = 8;
  info.virtual_address_offset = 0x200000;
  info.virtual_address_max = 0x800000000000;
  info.virtual_address_alignment = 4096;
  info.pte_fragment_size = 2 << 20;
  info.gart_page_size = 4096;
  info.vram_type = chip.drm_vram_type;
  info.vram_bit_width = chip.vram_bus_bits;
  info.wave_front_size = chip.wave_size;
  info.num_shader_visible_vgprs = chip.gc.major >= 10 ? 1024 : 256;
  info.num_cu_per_sh = chip.cu_per_array;
  info.num_tcc_blocks = 16;
  info.high_va_offset = 0xffff800000000000;
  info.high_va_max = 0xffffffffffe00000;
  return info;
}

drm_amdgpu_memory_info memory_info(const VirtualGpu& gpu) {
  drm_amdgpu_memory_info info{};
  info.vram.total_heap_size = gpu.vram_bytes();
  info.vram.usable_heap_size = gpu.vram_bytes();
  info.vram.heap_usage = gpu.vram_bytes() - gpu.free_vram();
  info.vram.max_allocation = gpu.vram_bytes() / 4 * 3;
  info.cpu_accessible_vram = info.vram;
  info.gtt.total_heap_size = gpu.gtt_bytes();
  info.gtt.usable_heap_size = gpu.gtt_bytes();
  info.gtt.heap_usage = gpu.gtt_bytes() - gpu.free_gtt();
  info.gtt.max_allocation = gpu.gtt_bytes() / 4 * 3;
  return info;
}

int info(VirtualGpu& gpu, void* data) {
  const auto& args = *static_cast<drm_amdgpu_info*>(data);
  if (args.return_size == 0 || args.return_pointer == 0) return -EINVAL;
  auto answer = [&](const void* from, std::size_t bytes) {
    bytes = std::min<std::size_t>(bytes, args.return_size);
    return copy_to_user(args.return_pointer, from, bytes) ? 0 : -EFAULT;
  };
  auto value = [&](auto number) { return answer(&number, sizeof number); };
  switch (args.query) {
    case AMDGPU_INFO_ACCEL_WORKING:
      return value(std::uint32_t{1});
    case AMDGPU_INFO_DEV_INFO: {
      const drm_amdgpu_info_device device = device_info(gpu);
      return answer(&device, sizeof device);
    }
    case AMDGPU_INFO_MEMORY: {
      const drm_amdgpu_memory_info memory = memory_info(gpu);
      return answer(&memory, sizeof memory);
    }
    case AMDGPU_INFO_VRAM_GTT: {
      drm_amdgpu_info_vram_gtt sizes{};
      sizes.vram_size = sizes.vram_cpu_accessible_size = gpu.vram_bytes();
      sizes.gtt_size = gpu.gtt_bytes();
      return answer(&sizes, sizeof sizes);
    }
    case AMDGPU_INFO_VRAM_USAGE:
    case AMDGPU_INFO_VIS_VRAM_USAGE:
      return value(gpu.vram_bytes() - gpu.free_vram());
    case AMDGPU_INFO_GTT_USAGE:
      return value(gpu.gtt_bytes() - gpu.free_gtt());
    case AMDGPU_INFO_TIMESTAMP:
      return value(Machine::clock());
    case AMDGPU_INFO_READ_MMR_REG: {
      // libdrm reads tiling registers at start: zeros, as tiling is not modelled.
      if (args.read_mmr_reg.count == 0 || args.read_mmr_reg.count > 128) return -EINVAL;
      const std::array<std::uint32_t, 128> registers{};
      return answer(registers.data(), args.read_mmr_reg.count * 4);
    }
    case AMDGPU_INFO_HW_IP_COUNT:
      return value(std::uint32_t{0});  // no rings to submit to
    case AMDGPU_INFO_HW_IP_INFO: {
      const drm_amdgpu_info_hw_ip none{};
      return answer(&none, sizeof none);
    }
    case AMDGPU_INFO_FW_VERSION: {
      drm_amdgpu_info_firmware firmware{};
      if (args.query_fw.fw_type == AMDGPU_INFO_FW_GFX_MEC) firmware.ver = gpu.chip().mec_firmware;
      if (args.query_fw.fw_type == AMDGPU_INFO_FW_SDMA) firmware.ver = gpu.chip().sdma_firmware;
      return answer(&firmware, sizeof firmware);
    }
    default:
      return -EINVAL;
  }
}

}  // namespace

int drm_ioctl(VirtualGpu& gpu, DrmGem& gem, OpenFile& file, unsigned long request, void* argument) {
  // drm_ioctl.c: by number; the size copied is the caller's, the rest reads as zero.
  alignas(8) std::array<std::byte, 512> data{};
  const std::size_t bytes = std::min<std::size_t>(_IOC_SIZE(request), data.size());
  const auto user = reinterpret_cast<std::uint64_t>(argument);
  if (_IOC_TYPE(request) != DRM_IOCTL_BASE) return -ENOTTY;
  if ((_IOC_DIR(request) & _IOC_WRITE) != 0 && !copy_from_user(data.data(), user, bytes))
    return -EFAULT;
  int result = -EINVAL;
  switch (_IOC_NR(request)) {
    case _IOC_NR(DRM_IOCTL_VERSION):
      result = version(data.data());
      break;
    case _IOC_NR(DRM_IOCTL_GET_CLIENT):
      result = get_client(data.data());
      break;
    case _IOC_NR(DRM_IOCTL_GET_CAP):
      result = get_capability(data.data());
      break;
    case _IOC_NR(DRM_IOCTL_AMDGPU_INFO):
      result = info(gpu, data.data());
      break;
    default:  // contexts and command submission are not served: compute goes by KFD
      result = gem.ioctl(file, _IOC_NR(request), data.data());
      break;
  }
  if ((_IOC_DIR(request) & _IOC_READ) != 0 && !copy_to_user(user, data.data(), bytes))
    return -EFAULT;
  return result;
}

}  // namespace kiln::vgpu

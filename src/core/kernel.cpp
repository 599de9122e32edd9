#include "core/kernel.hpp"

#include <algorithm>
#include <cstring>

#include "core/device.hpp"
#include "core/limits.hpp"
#include "core/physical_device.hpp"
#include "gpu/aql.hpp"
#include "gpu/hidden_arguments.hpp"

namespace kiln::core {
namespace {

/// What a kernel with calls the compiler cannot see through gets on top of its own frame: HIP's
/// default stack limit.
constexpr std::uint32_t kDynamicStackBytes = 1024;

std::uint32_t exact_threads(const KilnDispatchInfo& info, int dimension) {
  return info.threadCount[dimension] != 0
             ? info.threadCount[dimension]
             : info.workgroupCount[dimension] * info.workgroupSize[dimension];
}

std::uint32_t round_up(std::uint32_t value, std::uint32_t granule) {
  return (value + granule - 1) / granule * granule;
}

}  // namespace

Result<std::unique_ptr<Kernel>> Kernel::create(Device& device, const gpu::KernelInfo& info,
                                               kmd::Va image_address) {
  auto image = gpu::make_kernel_image(device.target(), info.descriptor,
                                      image_address + info.descriptor_offset);
  if (!image) return fail(VK_ERROR_INVALID_SHADER_NV, "kernel " + info.name + ": " + image.error());
  gpu::ScratchNeeds scratch;
  const std::uint32_t lane_bytes =
      image->private_bytes + (image->dynamic_stack ? kDynamicStackBytes : 0);
  if (lane_bytes > 0) {
    const kmd::GpuInfo& gpu_info = device.physical().info();
    auto needs = gpu::scratch_needs(
        device.target(), lane_bytes, image->wave_size, gpu_info.cu_count / gpu_info.xcc_count,
        gpu_info.max_scratch_slots_per_cu, gpu_info.shader_engines / gpu_info.xcc_count);
    if (!needs)
      return fail(VK_ERROR_INVALID_SHADER_NV, "kernel " + info.name + ": " + needs.error());
    scratch = *needs;
  }
  return std::make_unique<Kernel>(device, info, image_address, *image, scratch);
}

Kernel::Kernel(Device& device, const gpu::KernelInfo& info, kmd::Va image_address,
               gpu::KernelImage image, gpu::ScratchNeeds scratch)
    : device_(device),
      info_(info),
      descriptor_address_(image_address + info.descriptor_offset),
      image_(std::move(image)),
      scratch_(scratch) {}

Status Kernel::check_launch(const KilnDispatchInfo& info, bool indirect) const {
  auto refuse = [&](std::string why) {
    return fail(VK_ERROR_VALIDATION_FAILED_EXT, "kernel " + info_.name + ": " + std::move(why));
  };
  if (info.argumentsSize < info_.explicit_size)
    return refuse(strf("an argument block of %zu bytes: %u are needed", info.argumentsSize,
                       info_.explicit_size));
  if (info.argumentsSize > std::max(info_.explicit_size, info_.kernarg_size))
    return refuse(strf("an argument block of %zu bytes: it takes %u", info.argumentsSize,
                       info_.explicit_size));
  if (info_.explicit_size > 0 && info.pArguments == nullptr) return refuse("pArguments is null");

  std::uint64_t invocations = 1;
  for (int i = 0; i < 3; ++i) {
    const std::uint32_t size = info.workgroupSize[i];
    if (size == 0) return refuse(strf("workgroupSize[%d] is zero", i));
    if (info_.required_workgroup_size[0] != 0 && size != info_.required_workgroup_size[i])
      return refuse(strf("workgroupSize[%d] is %u: the kernel was compiled for %u", i, size,
                         info_.required_workgroup_size[i]));
    invocations *= size;
    if (indirect) continue;
    const std::uint32_t count = info.workgroupCount[i];
    if (count == 0) return refuse(strf("workgroupCount[%d] is zero", i));
    if (i > 0 && count > kMaxWorkgroupCountYz)
      return refuse(strf("workgroupCount[%d] is %u: at most %u", i, count, kMaxWorkgroupCountYz));
    const std::uint64_t threads = std::uint64_t{count} * size;
    if (threads > UINT32_MAX) return refuse(strf("dimension %d has 2^32 threads or more", i));
    const std::uint32_t exact = info.threadCount[i];
    if (exact != 0 && (exact > threads || exact <= threads - size))
      return refuse(strf("threadCount[%d] is %u: not within the last of %u workgroups of %u", i,
                         exact, count, size));
  }
  const std::uint32_t limit =
      info_.max_flat_workgroup_size != 0 ? info_.max_flat_workgroup_size : kMaxWorkgroupInvocations;
  if (invocations > limit)
    return refuse(strf("a workgroup of %llu: at most %u",
                       static_cast<unsigned long long>(invocations), limit));
  const std::uint64_t lds = std::uint64_t{info_.group_segment_fixed_size} + info.dynamicLdsBytes;
  if (lds > device_.physical().info().lds_bytes)
    return refuse(strf("%llu bytes of LDS (%u static, %u dynamic): the limit is %u",
                       static_cast<unsigned long long>(lds), info_.group_segment_fixed_size,
                       info.dynamicLdsBytes, device_.physical().info().lds_bytes));
  return {};
}

LaunchShape Kernel::shape_of(const KilnDispatchInfo& info) const {
  return {this, std::to_array(info.workgroupCount), std::to_array(info.workgroupSize),
          std::to_array(info.threadCount), info.dynamicLdsBytes};
}

void Kernel::write_arguments(const KilnDispatchInfo& info, std::span<std::byte> block,
                             const std::byte* alike) const {
  const std::size_t given = std::min<std::size_t>(info.argumentsSize, info_.explicit_size);
  if (given > 0) std::memcpy(block.data(), info.pArguments, given);
  if (alike != nullptr) {
    // Some twenty values, six of them quotients: half of what recording a dispatch would cost.
    std::memcpy(block.data() + given, alike + given, block.size() - given);
    return;
  }
  std::memset(block.data() + given, 0, block.size() - given);
  if (info_.hidden.empty()) return;
  gpu::HiddenValues values;
  values.dimensions = 1;
  for (int i = 0; i < 3; ++i) {
    values.threads[i] = exact_threads(info, i);
    values.group_size[i] = static_cast<std::uint16_t>(info.workgroupSize[i]);
    if (values.threads[i] > 1) values.dimensions = static_cast<std::uint16_t>(i + 1);
  }
  values.dynamic_lds_size = info.dynamicLdsBytes;
  values.shared_aperture = device_.gpu().shared_aperture();
  values.private_aperture = device_.gpu().private_aperture();
  values.queue_ptr = device_.queue_block();
  // It can only fail for a block that is too small, and this one is the kernel's own size.
  (void)gpu::fill_hidden_arguments(info_, values, block);
}

void Kernel::write_dispatch_packet(const KilnDispatchInfo& info, kmd::Va arguments,
                                   void* to) const {
  gpu::aql::KernelDispatchPacket packet{};
  packet.header = gpu::aql::header(gpu::aql::PacketType::KernelDispatch, false,
                                   gpu::aql::FenceScope::None, gpu::aql::FenceScope::None);
  packet.setup = 3;
  packet.workgroup_size_x = static_cast<std::uint16_t>(info.workgroupSize[0]);
  packet.workgroup_size_y = static_cast<std::uint16_t>(info.workgroupSize[1]);
  packet.workgroup_size_z = static_cast<std::uint16_t>(info.workgroupSize[2]);
  packet.grid_size_x = exact_threads(info, 0);
  packet.grid_size_y = exact_threads(info, 1);
  packet.grid_size_z = exact_threads(info, 2);
  packet.private_segment_size = image_.private_bytes;
  packet.group_segment_size = info_.group_segment_fixed_size + info.dynamicLdsBytes;
  packet.kernel_object = descriptor_address_;
  packet.kernarg_address = arguments;
  std::memcpy(to, &packet, sizeof packet);
}

VkResult Kernel::get_properties(KilnKernelProperties* p) const {
  p->pName = info_.name.c_str();
  p->waveSize = image_.wave_size;
  p->vgprCount = info_.vgpr_count;
  p->agprCount = info_.agpr_count;
  p->sgprCount = info_.sgpr_count;
  p->ldsBytes = info_.group_segment_fixed_size;
  p->scratchBytesPerLane = info_.private_segment_fixed_size;
  p->usesDynamicStack = info_.uses_dynamic_stack;
  p->argumentsSize = info_.explicit_size;
  p->argumentsAlignment = info_.kernarg_align;
  p->maxWorkgroupInvocations = info_.max_flat_workgroup_size;
  for (int i = 0; i < 3; ++i) p->requiredWorkgroupSize[i] = info_.required_workgroup_size[i];
  return VK_SUCCESS;
}

VkResult Kernel::get_arguments(std::uint32_t* count, KilnKernelArgument* arguments) const {
  return enumerate(info_.arguments.size(), count, arguments != nullptr, [&](std::size_t i) {
    const gpu::KernelArgument& from = info_.arguments[i];
    KilnKernelArgument& to = arguments[i];
    to.pName = from.name.c_str();
    to.pType = from.type_name.c_str();
    to.kind = gpu::is_hidden(from.kind)                              ? KILN_ARGUMENT_HIDDEN
              : from.kind == gpu::ArgumentKind::GlobalBuffer         ? KILN_ARGUMENT_POINTER
              : from.kind == gpu::ArgumentKind::DynamicSharedPointer ? KILN_ARGUMENT_LDS_POINTER
                                                                     : KILN_ARGUMENT_BY_VALUE;
    to.offset = from.offset;
    to.size = from.size;
  });
}

Result<std::uint32_t> Kernel::get_occupancy(std::uint32_t invocations,
                                            std::uint64_t dynamic_lds) const {
  const kmd::GpuInfo& gpu_info = device_.physical().info();
  const gpu::WaveRow& row = device_.target().wave;
  if (invocations == 0 || invocations > kMaxWorkgroupInvocations ||
      dynamic_lds >
          gpu_info.lds_bytes - std::min(gpu_info.lds_bytes, info_.group_segment_fixed_size))
    return fail(VK_ERROR_VALIDATION_FAILED_EXT,
                strf("a workgroup of %u with %u bytes of static and %llu of dynamic LDS cannot run "
                     "at all",
                     invocations, info_.group_segment_fixed_size,
                     static_cast<unsigned long long>(dynamic_lds)));
  const std::uint64_t lds =
      round_up(info_.group_segment_fixed_size + static_cast<std::uint32_t>(dynamic_lds),
               device_.target().lds.granule);
  const bool wave32 = image_.wave_size == 32;
  const std::uint32_t granule = wave32 ? row.vgpr_granule_wave32 : row.vgpr_granule_wave64;
  const std::uint32_t total = wave32 ? row.vgpr_total_wave32 : row.vgpr_total_wave64;
  // vgpr_count already includes accumulation registers where they share the file (LLVM,
  // AMDGPUResourceUsageAnalysis: getTotalNumVGPRs).
  const std::uint32_t by_registers = total / std::max(granule, round_up(info_.vgpr_count, granule));
  const std::uint32_t waves_per_simd =
      std::min<std::uint32_t>(row.max_waves_per_simd, by_registers);
  const std::uint32_t waves = (invocations + image_.wave_size - 1) / image_.wave_size;
  std::uint32_t groups = waves_per_simd * row.simds_per_cu / waves;
  if (lds > 0)
    groups = std::min<std::uint32_t>(groups, static_cast<std::uint32_t>(gpu_info.lds_bytes / lds));
  return groups;
}

}  // namespace kiln::core

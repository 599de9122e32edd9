// Owns: the rows of the target table.
// Does not own: what is made of them.
// Threading: constants.
#include "gpu/target.hpp"

#include "gpu/cache.hpp"
#include "gpu/copy.hpp"
#include "gpu/dispatch.hpp"
#include "gpu/registers.hpp"
#include "gpu/signal.hpp"

namespace kiln::gpu {
namespace {

using enum Provenance::Level;

// The compute micro engines of gfx9.0.10, gfx9.4, gfx10.3 and gfx11 differ in caches, scratch and
// register places only, which the rows say.
constexpr Ops kMecOps = {emit_barrier, emit_xcc_join, emit_dispatch,  emit_dispatch_indirect,
                         emit_signals, emit_wait,     emit_timestamp, emit_write_value,
                         emit_copy,    emit_fill};

constexpr std::uint32_t kInitiator = RegisterValue<reg::DispatchInitiator>{}
                                         .set<reg::DispatchInitiator::compute_shader_en>(1)
                                         .set<reg::DispatchInitiator::force_start_at_000>(1)
                                         .value;
constexpr std::uint32_t kPriv = RegisterValue<reg::PgmRsrc1>{}.set<reg::PgmRsrc1::priv>(1).value;
constexpr std::uint32_t kTrapPresent =
    RegisterValue<reg::PgmRsrc2>{}.set<reg::PgmRsrc2::trap_present>(1).value;

constexpr WaveRow kWaveCdna = {
    64,
    false,
    true,
    4,
    8,
    0,
    0,
    8,
    512,
    true,
    {ReadInSource,
     "LLVM AMDGPUBaseInfo.cpp getVGPRAllocGranule, getTotalNumVGPRs (gfx90a and up)"}};
constexpr WaveRow wave_rdna(std::uint16_t granule32, std::uint16_t total32) {
  return {32,
          true,
          true,
          2,
          16,
          granule32,
          total32,
          static_cast<std::uint16_t>(granule32 / 2),
          static_cast<std::uint16_t>(total32 / 2),
          false,
          {ReadInSource, "LLVM AMDGPUBaseInfo.cpp getVGPRAllocGranule, getTotalNumVGPRs"}};
}

constexpr DispatchRow kDispatchCdna3 = {
    reg::PgmRsrc3Gfx9::kOffset,
    0,
    kTrapPresent,
    kInitiator,
    false,
    true,
    1024,
    reg::kForbiddenGfx942First,
    reg::kForbiddenGfx942Last,
    {ReadInSource, "gc_9_4_3_offset.h, KFDTest Dispatch.cpp, kfd_mqd_manager_v9.c"}};
constexpr DispatchRow kDispatchCdna2 = {reg::PgmRsrc3Gfx9::kOffset,
                                        0,
                                        kTrapPresent,
                                        kInitiator,
                                        false,
                                        true,
                                        1024,
                                        0,
                                        0,
                                        {ReadInSource, "gc_9_4_2_offset.h, KFDTest Dispatch.cpp"}};
/// PRIV keeps hardware traps away while a wave is saved, on the chips that KFDTest names: 11.0.0 to
/// 11.0.2, 11.0.5, and 11.0.3 with several arrays.
constexpr DispatchRow dispatch_rdna(std::uint32_t rsrc1_or, std::uint32_t rsrc2_or,
                                    const char* source) {
  return {reg::PgmRsrc3Gfx11::kOffset, rsrc1_or, rsrc2_or, kInitiator, true, false, 1024, 0, 0,
          {ReadInSource, source}};
}

constexpr ScratchRow kScratchCdna3 = {
    ScratchScheme::ArchitectedFlat,
    ScratchWaves::PerXcc,
    1024,
    13,
    0,
    {ReadInSource, "gc_9_4_3_sh_mask.h, LLVM AMDGPUUsage, tinygrad ops_amd.py"}};
// Both have DISPATCH_SCRATCH_BASE too, but nothing that waves see comes from it.
//
// The descriptor's last dword on gfx9 is ADD_TID_ENABLE (bit 23) and nothing else: with it
// DATA_FORMAT holds stride bits, which LLVM (SIInstrInfo::getScratchRsrcWords23) and Mesa (aco
// load_scratch_resource) leave clear. ROCr (AqlQueue::FillBufRsrcWord3) names a 32-bit format
// there; with 64 lanes and an index stride of 64 the stride never takes part.
constexpr std::uint32_t kAddTid = 1u << 23;
constexpr ScratchRow kScratchCdna2 = {
    ScratchScheme::FlatScratchInit,
    ScratchWaves::PerXcc,
    1024,
    13,
    kAddTid,
    {ReadInSource, "LLVM AMDGPUUsage, SIInstrInfo.cpp; ROCr amd_aql_queue.cpp; Mesa aco"}};
// gfx10: DST_SEL x, y, z, w (4 to 7), FORMAT 32_UINT (20), RESOURCE_LEVEL (bit 24), OOB_SELECT 2:
// no bounds check while NUM_RECORDS is not zero (ROCr AqlQueue::FillBufRsrcWord3_Gfx10).
constexpr std::uint32_t kSelectXyzw = 4u | 5u << 3 | 6u << 6 | 7u << 9;
constexpr ScratchRow kScratchRdna2 = {
    ScratchScheme::FlatScratchInit,
    ScratchWaves::PerChip,
    1024,
    13,
    kSelectXyzw | 20u << 12 | kAddTid | 1u << 24 | 2u << 28,
    {ReadInSource, "PAL gfx9ShaderRing.cpp, gfx9_plus_merged_registers.h; ROCr amd_aql_queue.cpp"}};
constexpr ScratchRow kScratchRdna3 = {
    ScratchScheme::ArchitectedFlat,
    ScratchWaves::PerShaderEngine,
    256,
    15,
    0,
    {ReadInSource, "PAL gfx9ShaderRing.cpp, gc_11_0_0_sh_mask.h"}};
constexpr ScratchRow kScratchRdna4 = {
    ScratchScheme::ArchitectedFlat,       ScratchWaves::PerShaderEngine, 256, 18, 0,
    {ReadInSource, "gc_12_0_0_sh_mask.h"}};

constexpr LdsRow kLds64K = {512, 65536, {Documented, "LLVM AMDGPUUsage, GRANULATED_LDS_SIZE"}};

constexpr CacheRow kCacheCdna3 = {
    CacheFlavour::CpCoherCntl,
    L2Domain::Xcc,
    false,
    {ReadInSource, "LLVM SIMemoryLegalizer (buffer_wbl2 sc1 at agent scope), Linux soc15d.h"}};
constexpr CacheRow kCacheCdna2 = {CacheFlavour::CpCoherCntl,
                                  L2Domain::Device,
                                  false,
                                  {ReadInSource, "LLVM SIMemoryLegalizer, Linux soc15d.h"}};
constexpr CacheRow kCacheRdna = {
    CacheFlavour::GcrCntl,
    L2Domain::Device,
    true,
    {ReadInSource, "LLVM SIMemoryLegalizer, Linux nvd.h, AMD RDNA3 ISA 'Memory scopes'"}};

constexpr std::uint32_t kSdmaMax22 = 0x3F'FFE0;    // ROCr SDMA_PKT_COPY_LINEAR::kMaxSize_
constexpr std::uint32_t kSdmaMax30 = 0x3FFF'FFE0;  // 30-bit count, kept a multiple of 32
constexpr std::uint32_t kSdmaWriteMax = 1u << 14;  // of the 20-bit count; keeps packets short
/// Fills keep the 22-bit limit everywhere, which is all that ROCr relies on.
constexpr SdmaRow sdma4(std::uint8_t stepping, std::uint8_t count_bits, const char* source) {
  return {4,
          4,
          stepping,
          count_bits,
          count_bits == 30 ? kSdmaMax30 : kSdmaMax22,
          kSdmaMax22,
          kSdmaWriteMax,
          1u << 14,
          1u << 14,
          1u << 11,
          1u << 19,
          1u << 28,
          0,
          false,
          true,
          32,
          8,
          28,
          {ReadInSource, source}};
}
constexpr SdmaRow sdma_gcr(std::uint8_t major, std::uint8_t minor, const char* source) {
  return {major,
          minor,
          0,
          30,
          kSdmaMax30,
          kSdmaMax22,
          kSdmaWriteMax,
          1u << 14,
          1u << 14,
          1u << 11,
          1u << 19,
          1u << 28,
          3,
          true,
          true,
          32,
          8,
          28,
          {ReadInSource, source}};
}
constexpr const char* kSdma6Source = "sdma_v6_0_0_pkt_open.h, ROCr amd_blit_sdma.cpp";

// PAL of January 2018 knew no later chips than gfx9, and packs the packet for their MEC.
constexpr Provenance kWaitGfx9 = {
    ReadInSource,
    "WAIT_REG_MEM64: PAL 2018 gfx9_plus_merged_f32_mec_pm4_packets.h; BARRIER_VALUE: "
    "hsa_ext_amd.h, IREE physical_device_capabilities.c"};
constexpr Provenance kWaitGfx10 = {
    ReadInSource, "WAIT_REG_MEM64: PAL gfx9_plus_merged_f32_mec_pm4_packets.h, Linux nvd.h"};
constexpr Provenance kWaitGfx11 = {
    SeenOnHardware, "IREE physical_device_capabilities.c (WAIT_REG_MEM64 validated on gfx1100)"};
constexpr Provenance kWaitOther = {Recalled, "no backend"};

constexpr Target rdna2(std::uint8_t stepping, std::string_view name, std::string_view product,
                       const Ops* ops, const SdmaOps* sdma_ops) {
  return {{10, 3, stepping},
          name,
          product,
          Generation::Rdna2,
          wave_rdna(16, 1024),
          dispatch_rdna(0, kTrapPresent,
                        "gc_10_3_0_offset.h, PAL gfx9_plus_merged_offset.h, KFDTest Dispatch.cpp"),
          kScratchRdna2,
          kLds64K,
          kCacheRdna,
          sdma_gcr(5, 2, "navi10_sdma_pkt_open.h, sdma_v5_2.c, ROCr amd_blit_sdma.cpp"),
          true,
          false,
          kWaitGfx10,
          ops,
          sdma_ops};
}
constexpr const char* kDispatchGfx11Source = "gc_11_0_0_offset.h, KFDTest Dispatch.cpp";
constexpr Target rdna3(std::uint8_t stepping, std::string_view name, std::string_view product,
                       WaveRow wave, std::uint32_t rsrc1_or, const Ops* ops,
                       const SdmaOps* sdma_ops, Provenance wait) {
  return {{11, 0, stepping},
          name,
          product,
          Generation::Rdna3,
          wave,
          dispatch_rdna(rsrc1_or, kTrapPresent, kDispatchGfx11Source),
          kScratchRdna3,
          kLds64K,
          kCacheRdna,
          sdma_gcr(6, 0, kSdma6Source),
          true,
          false,
          wait,
          ops,
          sdma_ops};
}
constexpr Target rdna4(std::uint8_t stepping, std::string_view name, std::string_view product) {
  return {{12, 0, stepping},
          name,
          product,
          Generation::Rdna4,
          wave_rdna(24, 1536),
          dispatch_rdna(0, 0, kDispatchGfx11Source),
          kScratchRdna4,
          kLds64K,
          kCacheRdna,
          sdma_gcr(7, 0, kSdma6Source),
          true,
          false,
          kWaitOther,
          nullptr,
          nullptr};
}

constexpr Target kTargets[] = {
    {{9, 0, 10},
     "gfx90a",
     "Instinct MI210/MI250X",
     Generation::Cdna2,
     kWaveCdna,
     kDispatchCdna2,
     kScratchCdna2,
     kLds64K,
     kCacheCdna2,
     sdma4(0, 30, "vega10_sdma_pkt_open.h, sdma_v4_0.c, ROCr sdma_registers.h, amd_gpu_agent.cpp"),
     true,
     true,
     kWaitGfx9,
     &kMecOps,
     &kSdma4Ops},
    {{9, 4, 2},
     "gfx942",
     "Instinct MI300X",
     Generation::Cdna3,
     kWaveCdna,
     kDispatchCdna3,
     kScratchCdna3,
     kLds64K,
     kCacheCdna3,
     sdma4(2, 22, "sdma_v4_4_2, ROCr sdma_registers.h, KFDTest SDMAPacket.cpp"),
     true,
     true,
     kWaitGfx9,
     &kMecOps,
     &kSdma4Ops},
    rdna2(0, "gfx1030", "Radeon RX 6800/6900 XT", &kMecOps, &kSdma6Ops),
    rdna2(1, "gfx1031", "Radeon RX 6700 XT", nullptr, nullptr),
    rdna2(2, "gfx1032", "Radeon RX 6600 XT", nullptr, nullptr),
    rdna2(3, "gfx1033", "Van Gogh", nullptr, nullptr),
    rdna2(4, "gfx1034", "Radeon RX 6500 XT", nullptr, nullptr),
    rdna2(5, "gfx1035", "Rembrandt", nullptr, nullptr),
    rdna2(6, "gfx1036", "Raphael", nullptr, nullptr),
    rdna3(0, "gfx1100", "Radeon RX 7900 XTX", wave_rdna(24, 1536), kPriv, &kMecOps, &kSdma6Ops,
          kWaitGfx11),
    rdna3(1, "gfx1101", "Radeon RX 7800 XT", wave_rdna(24, 1536), kPriv, nullptr, nullptr,
          kWaitOther),
    rdna3(2, "gfx1102", "Radeon RX 7600", wave_rdna(16, 1024), kPriv, nullptr, nullptr, kWaitOther),
    rdna3(3, "gfx1103", "Phoenix", wave_rdna(16, 1024), 0, nullptr, nullptr, kWaitOther),
    rdna4(0, "gfx1200", "Radeon RX 9060 XT"),
    rdna4(1, "gfx1201", "Radeon RX 9070 XT"),
};

}  // namespace

std::string_view to_string(Generation generation) {
  switch (generation) {
    case Generation::Cdna2:
      return "CDNA2";
    case Generation::Cdna3:
      return "CDNA3";
    case Generation::Rdna2:
      return "RDNA2";
    case Generation::Rdna3:
      return "RDNA3";
    case Generation::Rdna4:
      return "RDNA4";
  }
  return "?";
}

std::string_view to_string(Provenance::Level level) {
  switch (level) {
    case Documented:
      return "documented";
    case ReadInSource:
      return "read in source";
    case SeenOnHardware:
      return "seen on hardware";
    case Recalled:
      return "recalled";
  }
  return "?";
}

std::span<const Target> targets() {
  return kTargets;
}

const Target* find_target(GfxIp ip) {
  for (const Target& target : kTargets)
    if (target.ip == ip) return &target;
  return nullptr;
}

const Target* find_target(std::string_view name) {
  for (const Target& target : kTargets)
    if (target.name == name) return &target;
  return nullptr;
}

std::string_view supported_target_names() {
  return "gfx90a gfx942 gfx1030 gfx1100";
}

bool override_allowed(GfxIp actual, const Target& as) {
  // Same instruction set generation, supported, and the same first two parts of the version.
  return as.supported() && actual.major == as.ip.major && actual.minor == as.ip.minor;
}

}  // namespace kiln::gpu

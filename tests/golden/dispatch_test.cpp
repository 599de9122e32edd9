// Owns: golden registers of kernel images and golden streams of dispatches.
// Does not own: kernels that really run (tests/kernels).
// Threading: single-threaded tests.
//
// Sources: tinygrad ops_amd.py exec() (register order, initiators 0x8005 and 5, scratch sizes),
// KFDTest Dispatch.cpp (TRAP_PRESENT, PRIV), LLVM AMDGPUUsage (user SGPR order, LDS granule,
// preload), ROCr amd_aql_queue.cpp, Mesa aco and LLVM SIInstrInfo.cpp (scratch descriptors), Mesa
// radv_emit_dispatch_packets (partial workgroups), gc_9_4_3 and gc_11_0_0 offsets.
#include "gpu/dispatch.hpp"

#include "golden.hpp"
#include "gpu/registers.hpp"

namespace kiln::gpu::golden {
namespace {

constexpr Va kDescriptor = 0x7F12'3456'7800;
constexpr std::uint32_t kRsrc1 = 0x00AF0040,
                        kRsrc2 = 0x84;  // a fill kernel's: 2 user SGPRs, tgid_x

KernelDescriptor simple(std::uint16_t extra = 0) {
  KernelDescriptor kd{};
  kd.kernarg_size = 32;
  kd.kernel_code_entry_byte_offset = 0x1100;
  kd.compute_pgm_rsrc1 = kRsrc1;
  kd.compute_pgm_rsrc2 = kRsrc2;
  kd.compute_pgm_rsrc3 = 1;
  kd.kernel_code_properties = static_cast<std::uint16_t>(kPropKernargSegmentPtr | extra);
  return kd;
}

KernelImage image_of(const Target& target, const KernelDescriptor& kd, bool kfd = true) {
  auto image = make_kernel_image(target, kd, kDescriptor, {kfd});
  EXPECT_TRUE(image.has_value()) << image.error();
  return *image;
}

std::string refusal(const Target& target, const KernelDescriptor& kd) {
  auto image = make_kernel_image(target, kd, kDescriptor);
  EXPECT_FALSE(image.has_value());
  return image.has_value() ? "" : image.error();
}

DispatchArgs grid(std::uint32_t x, std::uint32_t block, Va kernarg) {
  DispatchArgs args;
  args.groups[0] = x;
  args.threads[0] = block;
  args.kernarg = kernarg;
  return args;
}

struct Stream {
  const Target& target;
  std::uint32_t xcc_count = 1;
  DispatchState state = {};

  Dwords dispatch(const KernelImage& image, const DispatchArgs& args) {
    EXPECT_EQ(check_dispatch(image, args), "");
    const QueueContext queue{&target, xcc_count, xcc_count > 1 ? Va{0x4000} : 0};
    return emitted(max_dispatch_dwords(xcc_count),
                   [&](DwordWriter& w) { emit_dispatch(w, queue, image, args, state); });
  }
};

TEST(Image, Gfx1100OnKfdSetsPrivAndTrapPresentAndWave32) {
  const KernelImage image = image_of(gfx1100(), simple(kPropWavefrontSize32));
  EXPECT_EQ(image.entry, kDescriptor + 0x1100);
  EXPECT_EQ(image.rsrc1, kRsrc1 | 1u << 20);
  EXPECT_EQ(image.rsrc2, kRsrc2 | 1u << 6);
  EXPECT_EQ(image.initiator, 0x8005u);  // tinygrad
  EXPECT_EQ(image.wave_size, 32);
}

TEST(Image, Gfx1100RunsWave64WithoutTheBit) {
  EXPECT_EQ(image_of(gfx1100(), simple()).initiator, 0x5u);
}

TEST(Image, Gfx942OnKfdSetsTrapPresentOnly) {
  const KernelImage image = image_of(gfx942(), simple());
  EXPECT_EQ(image.rsrc1, kRsrc1);
  EXPECT_EQ(image.rsrc2, kRsrc2 | 1u << 6);
  EXPECT_EQ(image.initiator, 0x5u);  // tinygrad
}

TEST(Image, Gfx90aAndGfx1030OnKfdSetTrapPresentOnly) {
  EXPECT_EQ(image_of(gfx90a(), simple()).rsrc1, kRsrc1);
  EXPECT_EQ(image_of(gfx90a(), simple()).rsrc2, kRsrc2 | 1u << 6);
  EXPECT_EQ(image_of(gfx90a(), simple()).initiator, 0x5u);
  const KernelImage wave32 = image_of(gfx1030(), simple(kPropWavefrontSize32));
  EXPECT_EQ(wave32.rsrc1, kRsrc1);
  EXPECT_EQ(wave32.rsrc2, kRsrc2 | 1u << 6);
  EXPECT_EQ(wave32.initiator, 0x8005u);  // CS_W32_EN: KFDTest, PAL COMPUTE_DISPATCH_INITIATOR
  EXPECT_EQ(image_of(gfx1030(), simple()).initiator, 0x5u);
}

TEST(Image, NothingIsAddedOnDrm) {
  EXPECT_EQ(image_of(gfx1100(), simple(), false).rsrc1, kRsrc1);
  EXPECT_EQ(image_of(gfx1100(), simple(), false).rsrc2, kRsrc2);
}

TEST(Image, RefusesWhatTheTargetCannotDo) {
  EXPECT_NE(refusal(gfx942(), simple(kPropWavefrontSize32)).find("gfx942"), std::string::npos);
  EXPECT_NE(refusal(gfx942(), simple(kPropPrivateSegmentBuffer)).find("architected"),
            std::string::npos);
  EXPECT_NE(refusal(gfx1100(), simple(kPropFlatScratchInit)).find("gfx1100"), std::string::npos);
  KernelDescriptor kd = simple();
  kd.kernarg_preload = 2;
  EXPECT_NE(refusal(gfx1100(), kd).find("preloaded"), std::string::npos);
  kd = simple();
  kd.kernel_code_entry_byte_offset = 0x1104;
  EXPECT_NE(refusal(gfx942(), kd).find("256"), std::string::npos);
  kd = simple();
  kd.group_segment_fixed_size = 65537;
  EXPECT_NE(refusal(gfx942(), kd).find("LDS"), std::string::npos);
  // More SGPRs asked for than RSRC2 counts.
  EXPECT_NE(refusal(gfx942(), simple(kPropDispatchPtr)).find("user SGPRs"), std::string::npos);
}

const Va kCode = kDescriptor + 0x1100;

TEST(Dispatch, FirstOneOnGfx1100) {
  Stream stream{gfx1100()};
  const KernelImage image = image_of(gfx1100(), simple(kPropWavefrontSize32));
  expect_dwords(stream.dispatch(image, grid(1000, 256, 0x7F00'0000'1000)),
                {0xC0087600,
                 0x204,
                 0,
                 0,
                 0,
                 256,
                 1,
                 1,
                 0,
                 0,  //
                 0xC0037600,
                 0x21B,
                 0,
                 0,
                 0,  //
                 0xC0017600,
                 0x215,
                 0,  //
                 0xC0027600,
                 0x20C,
                 static_cast<std::uint32_t>(kCode >> 8),
                 kCode >> 40,  //
                 0xC0027600,
                 0x212,
                 kRsrc1 | 1u << 20,
                 kRsrc2 | 1u << 6,  //
                 0xC0017600,
                 0x228,
                 1,  //
                 0xC0027600,
                 0x240,
                 0x00001000,
                 0x7F00,  //
                 0xC0031500,
                 1000,
                 1,
                 1,
                 0x8005});
}

TEST(Dispatch, Rsrc3IsElsewhereOnGfx942) {
  Stream stream{gfx942(), 8};
  const Dwords dwords = stream.dispatch(image_of(gfx942(), simple()), grid(1000, 256, 0x1000));
  // tinygrad: 22D on gfx9, 228 on gfx11 and up, relative to 0x2C00.
  EXPECT_NE(hex(dwords).find("c0017600 0000022d 00000001"), std::string::npos);
  EXPECT_EQ(hex(dwords).find("c0017600 00000228"), std::string::npos);
}

TEST(Dispatch, Rsrc3IsWhereKfdtestAndPalHaveIt) {
  Stream cdna{gfx90a()}, rdna{gfx1030()};
  EXPECT_NE(hex(cdna.dispatch(image_of(gfx90a(), simple()), grid(1, 64, 0x1000)))
                .find("c0017600 0000022d 00000001"),
            std::string::npos);
  EXPECT_NE(hex(rdna.dispatch(image_of(gfx1030(), simple()), grid(1, 64, 0x1000)))
                .find("c0017600 00000228 00000001"),
            std::string::npos);
}

TEST(Dispatch, RepeatedOneCostsNineDwordsOnEveryTarget) {
  for (const Target* target : {&gfx90a(), &gfx942(), &gfx1030(), &gfx1100()}) {
    Stream stream{*target, target == &gfx942() ? 8u : 1u};
    const KernelImage image = image_of(*target, simple());
    stream.dispatch(image, grid(1000, 256, 0x7F00'0000'1000));
    // Arguments in the next 4 GiB: both halves change.
    const Dwords again = stream.dispatch(image, grid(1000, 256, 0x7F01'0000'2000));
    expect_dwords(again, {0xC0027600, 0x240, 0x2000, 0x7F01, 0xC0031500, 1000, 1, 1, 5});
    EXPECT_LE(again.size(), 12u);
    // Only the low half changes; nothing changes.
    EXPECT_EQ(stream.dispatch(image, grid(1000, 256, 0x7F01'0000'3000)).size(), 8u);
    EXPECT_EQ(stream.dispatch(image, grid(7, 256, 0x7F01'0000'3000)).size(), 5u);
  }
}

TEST(Dispatch, OnlyWhatChangesIsWritten) {
  Stream stream{gfx1100()};
  const KernelImage a = image_of(gfx1100(), simple());
  KernelDescriptor kd = simple();
  kd.kernel_code_entry_byte_offset = 0x2100;
  const KernelImage b = image_of(gfx1100(), kd);
  stream.dispatch(a, grid(1, 64, 0x1000));
  // Another kernel with the same resources: its address only.
  EXPECT_EQ(stream.dispatch(b, grid(1, 64, 0x1000)).size(), 4u + 5u);
  // Another block size.
  expect_dwords(stream.dispatch(b, grid(1, 128, 0x1000)),
                {0xC0037600, 0x207, 128, 1, 1, 0xC0031500, 1, 1, 1, 5});
  stream.state.forget();
  EXPECT_GT(stream.dispatch(b, grid(1, 128, 0x1000)).size(), 30u);
}

TEST(Dispatch, PartialWorkgroupsAreRadvs) {
  Stream stream{gfx1100()};
  const KernelImage image = image_of(gfx1100(), simple());
  DispatchArgs args = grid(4, 64, 0x1000);
  stream.dispatch(image, args);
  args.threads[1] = 4;
  args.groups[1] = 2;
  args.partial[0] = 10;
  // Dimensions that divide evenly repeat the full size; PARTIAL_TG_EN is bit 1.
  expect_dwords(stream.dispatch(image, args),
                {0xC0037600, 0x207, 64 | 10u << 16, 4 | 4u << 16, 1 | 1u << 16,  //
                 0xC0031500, 4, 2, 1, 7});
}

TEST(Dispatch, IndirectReadsItsGrid) {
  Stream stream{gfx1100()};
  const KernelImage image = image_of(gfx1100(), simple(kPropWavefrontSize32));
  stream.dispatch(image, grid(1, 64, 0x1000));
  const QueueContext queue{&gfx1100(), 1, 0};
  expect_dwords(emitted(max_dispatch_dwords(1),
                        [&](DwordWriter& w) {
                          emit_dispatch_indirect(w, queue, image, grid(0, 64, 0x1000),
                                                 0x1'0000'0040, stream.state);
                        }),
                {0xC0021600, 0x40, 1, 0x8005});
}

TEST(Dispatch, LdsIsCountedInGranulesOf512) {
  // tinygrad: ceil(bytes / 512) << 15.
  KernelDescriptor kd = simple();
  kd.group_segment_fixed_size = 1000;
  const KernelImage image = image_of(gfx942(), kd);
  DispatchArgs args = grid(1, 64, 0x1000);
  auto rsrc2 = [&](std::uint32_t dynamic) {
    args.dynamic_lds = dynamic;
    Stream stream{gfx942()};
    stream.dispatch(image, args);
    return stream.state.rsrc2;
  };
  EXPECT_EQ(rsrc2(0), (kRsrc2 | 1u << 6) | 2u << 15);
  EXPECT_EQ(rsrc2(24), (kRsrc2 | 1u << 6) | 2u << 15);
  EXPECT_EQ(rsrc2(25), (kRsrc2 | 1u << 6) | 3u << 15);
  EXPECT_EQ(rsrc2(65536 - 1000), (kRsrc2 | 1u << 6) | 128u << 15);
  args.dynamic_lds = 65536 - 999;
  EXPECT_NE(check_dispatch(image, args).find("LDS"), std::string::npos);
}

TEST(Dispatch, UserSgprsStandInAbiOrder) {
  KernelDescriptor kd =
      simple(kPropDispatchPtr | kPropQueuePtr | kPropDispatchId | kPropPrivateSegmentSize);
  kd.compute_pgm_rsrc2 = 9u << 1;
  kd.private_segment_fixed_size = 48;
  const KernelImage image = image_of(gfx942(), kd);
  EXPECT_EQ(image.user_dwords, 9);
  DispatchArgs args = grid(1, 64, 0x3'0000'0030);
  args.dispatch_packet = 0x1'0000'0010;
  args.queue = 0x2'0000'0020;
  args.dispatch_id = 0x4'0000'0040;
  Stream stream{gfx942()};
  stream.dispatch(image, args);
  const Dwords user(stream.state.user_data.begin(), stream.state.user_data.begin() + 9);
  expect_dwords(user, {0x10, 1, 0x20, 2, 0x30, 3, 0x40, 4, 48});
  EXPECT_EQ(stream.state.user_known, 0x1FF);
}

TEST(Dispatch, PreloadedArgumentsFollowAndSkipThePrologue) {
  KernelDescriptor kd = simple();
  kd.compute_pgm_rsrc2 = 5u << 1;
  kd.kernarg_preload = 3 | 1u << 7;  // three dwords from dword 1 on
  const KernelImage image = image_of(gfx942(), kd);
  const std::uint32_t data[] = {10, 11, 12, 13, 14};
  DispatchArgs args = grid(1, 64, 0x1000);
  args.kernarg_data = data;
  Stream stream{gfx942()};
  stream.dispatch(image, args);
  EXPECT_EQ(stream.state.program, kCode + 256);
  const Dwords user(stream.state.user_data.begin(), stream.state.user_data.begin() + 5);
  expect_dwords(user, {0x1000, 0, 11, 12, 13});
  // Left to the kernel: from its first instruction, arguments may still change.
  args.kernarg_data = nullptr;
  Stream later{gfx942()};
  later.dispatch(image, args);
  EXPECT_EQ(later.state.program, kCode);
  EXPECT_EQ(later.state.user_known, 0x3);
}

TEST(Scratch, SizesMatchTinygrads) {
  // 128 bytes a lane, waves of 64: 96 CUs in 6 shader engines give 0x20200, 38 CUs a XCC 0x84c0.
  const auto navi31 = scratch_needs(gfx1100(), 128, 64, 96, 32, 6);
  ASSERT_TRUE(navi31.has_value());
  EXPECT_EQ(navi31->tmpring_size, 0x20200u);
  EXPECT_EQ(navi31->bytes_per_wave, 8192u);
  EXPECT_EQ(navi31->bytes_per_xcc, 8192u * 96 * 32);
  const auto mi300 = scratch_needs(gfx942(), 128, 64, 38, 32, 4);
  ASSERT_TRUE(mi300.has_value());
  EXPECT_EQ(mi300->tmpring_size, 0x84C0u);
  EXPECT_EQ(mi300->bytes_per_xcc, 8192u * 38 * 32);
}

TEST(Scratch, SizesMatchRocrsFormula) {
  // AqlQueue::FillComputeTmpRingSize: CUs times slots waves on the whole chip, units of 1 KiB.
  const auto mi210 = scratch_needs(gfx90a(), 128, 64, 104, 32, 8);
  ASSERT_TRUE(mi210.has_value());
  EXPECT_EQ(mi210->tmpring_size, 104u * 32 | 8u << 12);
  EXPECT_EQ(mi210->bytes_per_xcc, 8192u * 104 * 32);
  const auto navi21 = scratch_needs(gfx1030(), 128, 32, 80, 32, 4);
  ASSERT_TRUE(navi21.has_value());
  EXPECT_EQ(navi21->tmpring_size, 80u * 32 | 4u << 12);
  // Its assertion: WAVES divides by the number of shader engines, also where 12 bits cut it off.
  EXPECT_EQ(scratch_needs(gfx90a(), 16, 64, 128, 32, 8)->tmpring_size & 0xFFF, 0xFF8u);
}

/// What a compiler asks for where scratch is not architected: all seven, 15 user SGPRs.
KernelDescriptor scratch_by_sgprs(std::uint16_t extra = 0) {
  KernelDescriptor kd = simple(static_cast<std::uint16_t>(
      extra | kPropPrivateSegmentBuffer | kPropDispatchPtr | kPropQueuePtr | kPropDispatchId |
      kPropFlatScratchInit | kPropPrivateSegmentSize));
  kd.compute_pgm_rsrc2 = 15u << 1 | 1;
  kd.private_segment_fixed_size = 128;
  return kd;
}
DispatchArgs with_scratch(Va base) {
  DispatchArgs args = grid(1, 64, 0x3'0000'0030);
  args.dispatch_packet = 0x1'0000'0010;
  args.queue = 0x2'0000'0020;
  args.dispatch_id = 0x4'0000'0040;
  args.scratch = {base, 0, 0x8D00, 8192};
  return args;
}

TEST(Scratch, ByResourceDescriptorInAbiOrder) {
  const auto user_data = [](const Target& target, std::uint16_t extra) {
    Stream stream{target};
    stream.dispatch(image_of(target, scratch_by_sgprs(extra)), with_scratch(0x7F12'3456'7000));
    return Dwords(stream.state.user_data.begin(), stream.state.user_data.begin() + 15);
  };
  // SWIZZLE_ENABLE is bit 31 of the second dword (ROCr FillBufRsrcWord1), and NUM_RECORDS all ones
  // (Mesa, LLVM, tinygrad). Last dword on gfx9: ADD_TID_ENABLE and INDEX_STRIDE 64, as Mesa and
  // LLVM.
  const Dwords rest = {0x10, 1, 0x20, 2, 0x30, 3, 0x40, 4, 0x34567000, 0x7F12, 128};
  expect_dwords(user_data(gfx90a(), 0),
                Dwords{0x34567000, 0x80007F12, ~0u, 1u << 23 | 3u << 21} + rest);
  // ROCr FillBufRsrcWord3_Gfx10; INDEX_STRIDE, which it leaves to firmware, from Mesa.
  const std::uint32_t rocr = 4 | 5 << 3 | 6 << 6 | 7 << 9 | 20 << 12 | 1 << 23 | 1 << 24 | 2 << 28;
  expect_dwords(user_data(gfx1030(), kPropWavefrontSize32),
                Dwords{0x34567000, 0x80007F12, ~0u, rocr | 2u << 21} + rest);
  expect_dwords(user_data(gfx1030(), 0),
                Dwords{0x34567000, 0x80007F12, ~0u, rocr | 3u << 21} + rest);
  // tinygrad's 0x20c14000 for waves of 32 is that without selectors and resource level.
  EXPECT_EQ((rocr | 2u << 21) & ~0xFFFu & ~(1u << 24), 0x20C14000u);
}

TEST(Scratch, SgprSchemeSetsTheRingSizeAndNoBaseRegister) {
  for (const Target* target : {&gfx90a(), &gfx1030()}) {
    Stream stream{*target};
    const std::string text =
        hex(stream.dispatch(image_of(*target, scratch_by_sgprs()), with_scratch(0x7F12'3456'7000)));
    EXPECT_NE(text.find("c0004600 00000407 c0017600 00000218 00008d00"), std::string::npos) << text;
    EXPECT_EQ(text.find("00000210"), std::string::npos) << text;
    EXPECT_EQ(stream.state.scratch_word_count, 0) << "nothing awaits an address";
    const QueueContext queue{target, 1, 0};
    EXPECT_TRUE(emitted(4, [&](DwordWriter& w) {
                  emit_scratch_base(w, queue, {0x10000, 0, 0x8D00, 8192});
                }).empty());
  }
}

TEST(Scratch, AddressesThatComeLaterFindTheirDwords) {
  constexpr Va kBase = 0x7F12'3456'7000;
  Stream late{gfx1030()}, early{gfx1030()};
  const KernelImage image = image_of(gfx1030(), scratch_by_sgprs(kPropWavefrontSize32));
  Dwords patched = late.dispatch(image, with_scratch(0));
  ASSERT_EQ(late.state.scratch_word_count, 4);
  for (const ScratchWord& word : late.state.scratch_words)
    patched.at(word.position) = scratch_word(word.part, kBase);
  expect_dwords(patched, early.dispatch(image, with_scratch(kBase)));
  // The same kernel again: its SGPRs stand, nothing new waits for the address.
  late.dispatch(image, with_scratch(0));
  EXPECT_EQ(late.state.scratch_word_count, 0);
}

TEST(Scratch, AValueThatLooksLikeAMissingAddressIsNotTakenForOne) {
  // A kernel whose first SGPRs are zero by themselves, then one that has scratch there.
  Stream stream{gfx90a()};
  KernelDescriptor kd = simple(kPropDispatchId);
  kd.kernel_code_properties = kPropDispatchId;
  kd.compute_pgm_rsrc2 = 2u << 1;
  stream.dispatch(image_of(gfx90a(), kd), grid(1, 64, 0));
  EXPECT_EQ(stream.state.user_data[0], 0u);
  stream.dispatch(image_of(gfx90a(), scratch_by_sgprs()), with_scratch(0));
  EXPECT_EQ(stream.state.scratch_word_count, 4);
}

TEST(Scratch, TooMuchIsRefusedWithTheLimit) {
  // 13 bits of 1024 bytes.
  EXPECT_TRUE(scratch_needs(gfx942(), 131056, 64, 38, 32, 4).has_value());
  const auto refused = scratch_needs(gfx942(), 131072, 64, 38, 32, 4);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().find("8387584"), std::string::npos) << refused.error();
}

TEST(Scratch, EachXccGetsItsOwnBase) {
  KernelDescriptor kd = simple();
  kd.compute_pgm_rsrc2 |= 1;
  kd.private_segment_fixed_size = 128;
  const KernelImage image = image_of(gfx942(), kd);
  DispatchArgs args = grid(1, 64, 0x1000);
  args.scratch = {0x5'0000'0000, 0x1'0000'0000, 0x84C0, 8192};
  Stream two{gfx942(), 2};
  const std::string text = hex(two.dispatch(image, args));
  // CS_PARTIAL_FLUSH and TMPRING_SIZE, then PRED_EXEC of four dwords with one XCC each.
  EXPECT_NE(text.find("c0004600 00000407 c0017600 00000218 000084c0 "
                      "c0002300 01000004 c0027600 00000210 05000000 00000000 "
                      "c0002300 02000004 c0027600 00000210 06000000 00000000"),
            std::string::npos)
      << text;
  // Bound once.
  EXPECT_EQ(two.dispatch(image, args).size(), 5u);
  args.scratch.base += 0x100;
  EXPECT_EQ(two.dispatch(image, args).size(), 2u + 3u + 12u + 5u);

  Stream one{gfx942(), 1};
  EXPECT_NE(hex(one.dispatch(image, args)).find("c0027600 00000210 05000001 00000000"),
            std::string::npos);
}

TEST(Scratch, AnotherWaveSizeWaitsForTheWavesOfTheLast) {
  // Two kernels without a barrier in between would have their waves' scratch overlap.
  KernelDescriptor kd = simple();
  kd.compute_pgm_rsrc2 |= 1;
  kd.private_segment_fixed_size = 128;
  const KernelImage image = image_of(gfx1100(), kd);
  DispatchArgs args = grid(1, 64, 0x1000);
  const std::string idle = "c0004600 00000407 c0017600 00000218 ";
  Stream stream{gfx1100()};
  // The first one of a buffer too: an earlier submission may still run.
  args.scratch = {0, 0, 0x20200, 8192};
  EXPECT_NE(hex(stream.dispatch(image, args)).find(idle + "00020200"), std::string::npos);
  EXPECT_EQ(hex(stream.dispatch(image, args)).find("c0004600"), std::string::npos);
  args.scratch = {0, 0, 0x40200, 16384};
  EXPECT_NE(hex(stream.dispatch(image, args)).find(idle + "00040200"), std::string::npos);
}

TEST(Scratch, TheBaseCanComeLater) {
  KernelDescriptor kd = simple();
  kd.compute_pgm_rsrc2 |= 1;
  kd.private_segment_fixed_size = 128;
  DispatchArgs args = grid(1, 64, 0x1000);
  args.scratch = {0, 0, 0x84C0, 8192};
  Stream two{gfx942(), 2};
  const std::string text = hex(two.dispatch(image_of(gfx942(), kd), args));
  EXPECT_NE(text.find("c0017600 00000218 000084c0"), std::string::npos);
  EXPECT_EQ(text.find("00000210"), std::string::npos);
  args.scratch.base = 0x5'0000'0000;
  args.scratch.xcc_stride = 0x1000;
  const QueueContext queue{&gfx942(), 2, 0x4000};
  EXPECT_EQ(max_scratch_base_dwords(2), 12u);
  EXPECT_EQ(max_scratch_base_dwords(1), 4u);
  expect_dwords(emitted(max_scratch_base_dwords(2),
                        [&](DwordWriter& w) { emit_scratch_base(w, queue, args.scratch); }),
                {0xC0002300, 0x01000004, 0xC0027600, 0x210, 0x05000000, 0,  //
                 0xC0002300, 0x02000004, 0xC0027600, 0x210, 0x05000010, 0});
}

TEST(Dispatch, BadArgumentsAreNamed) {
  KernelDescriptor kd = simple(kPropDispatchPtr);
  kd.compute_pgm_rsrc2 = 4u << 1 | 1;
  kd.private_segment_fixed_size = 64;
  const KernelImage image = image_of(gfx942(), kd);
  DispatchArgs good = grid(1, 64, 0x1000);
  good.dispatch_packet = 0x2000;
  good.scratch = {0x10000, 0, 0x1000, 4096};
  EXPECT_EQ(check_dispatch(image, good), "");
  auto complaint = [&](auto change) {
    DispatchArgs args = good;
    change(args);
    return check_dispatch(image, args);
  };
  EXPECT_NE(complaint([](auto& a) { a.threads[0] = 1025; }), "");
  EXPECT_NE(complaint([](auto& a) { a.threads[0] = 0; }), "");
  EXPECT_NE(complaint([](auto& a) { a.threads[1] = 17; }), "") << "64 * 17 > 1024";
  EXPECT_NE(complaint([](auto& a) { a.groups[2] = 0; }), "");
  EXPECT_NE(complaint([](auto& a) { a.partial[0] = 64; }), "");
  EXPECT_NE(complaint([](auto& a) { a.kernarg = 0; }), "");
  EXPECT_NE(complaint([](auto& a) { a.dispatch_packet = 0; }), "");
  EXPECT_NE(complaint([](auto& a) { a.scratch.tmpring_size = 0; }), "");
  EXPECT_NE(complaint([](auto& a) { a.scratch.base = 0x10010; }), "");
  EXPECT_NE(complaint([](auto& a) { a.scratch.bytes_per_wave = 4095; }), "");
}

TEST(Dispatch, NoStreamIsLongerThanPromised) {
  KernelDescriptor kd =
      simple(kPropDispatchPtr | kPropQueuePtr | kPropDispatchId | kPropPrivateSegmentSize);
  kd.compute_pgm_rsrc2 = 16u << 1 | 1;
  kd.kernarg_preload = 7;
  const std::uint32_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  const KernelImage image = image_of(gfx942(), kd);
  DispatchArgs args = grid(1, 64, 0x1000);
  args.dispatch_packet = args.queue = 0x2000;
  args.scratch = {0x10000, 0, 0x1000, 4096};
  args.kernarg_data = data;
  for (std::uint32_t xccs : {1u, 6u, 8u}) {
    Stream stream{gfx942(), xccs};
    EXPECT_EQ(stream.dispatch(image, args).size() + 1, max_dispatch_dwords(xccs));
  }
}

TEST(Registers, FieldsMatchTheKernelHeaders) {
  // gc_9_4_3_sh_mask.h and gc_11_0_0_sh_mask.h.
  EXPECT_EQ(RegisterValue<reg::PgmRsrc1>{}.set<reg::PgmRsrc1::priv>(1).value, 0x00100000u);
  EXPECT_EQ(RegisterValue<reg::PgmRsrc1>{}.set<reg::PgmRsrc1::wgp_mode>(1).value, 0x20000000u);
  EXPECT_EQ(RegisterValue<reg::PgmRsrc1>{}.set<reg::PgmRsrc1::float_mode>(0xFF).value, 0xFF000u);
  EXPECT_EQ(RegisterValue<reg::PgmRsrc2>{}.set<reg::PgmRsrc2::user_sgpr>(31).value, 0x3Eu);
  EXPECT_EQ(RegisterValue<reg::PgmRsrc2>{}.set<reg::PgmRsrc2::trap_present>(1).value, 0x40u);
  EXPECT_EQ(RegisterValue<reg::PgmRsrc2>{}.set<reg::PgmRsrc2::lds_size>(0x1FF).value, 0xFF8000u);
  EXPECT_EQ(RegisterValue<reg::PgmRsrc2>{}.set<reg::PgmRsrc2::tidig_comp_cnt>(3).value, 0x1800u);
  EXPECT_EQ(RegisterValue<reg::TmpringSizeGfx9>{}.set<reg::TmpringSizeGfx9::wavesize>(0x1FFF).value,
            0x1FFF000u);
  EXPECT_EQ(
      RegisterValue<reg::TmpringSizeGfx11>{}.set<reg::TmpringSizeGfx11::wavesize>(0x7FFF).value,
      0x7FFF000u);
  EXPECT_EQ(RegisterValue<reg::PgmRsrc3Gfx9>{}.set<reg::PgmRsrc3Gfx9::tg_split>(1).value, 0x10000u);
  EXPECT_EQ(RegisterValue<reg::PgmRsrc3Gfx11>{}.set<reg::PgmRsrc3Gfx11::inst_pref_size>(63).value,
            0x3F0u);
  EXPECT_EQ(RegisterValue<reg::DispatchInitiator>{}.set<reg::DispatchInitiator::cs_w32_en>(1).value,
            0x8000u);
}

TEST(Registers, OffsetsMatchTheKernelHeaders) {
  EXPECT_EQ(reg::DispatchInitiator::kOffset, 0x2E00u);
  EXPECT_EQ(reg::StartX::kOffset, 0x2E04u);
  EXPECT_EQ(reg::NumThreadX::kOffset, 0x2E07u);
  EXPECT_EQ(reg::PgmLo::kOffset, 0x2E0Cu);
  EXPECT_EQ(reg::DispatchScratchBaseLo::kOffset, 0x2E10u);
  EXPECT_EQ(reg::PgmRsrc1::kOffset, 0x2E12u);
  EXPECT_EQ(reg::ResourceLimits::kOffset, 0x2E15u);
  EXPECT_EQ(reg::TmpringSizeGfx9::kOffset, 0x2E18u);
  EXPECT_EQ(reg::RestartX::kOffset, 0x2E1Bu);
  EXPECT_EQ(reg::PgmRsrc3Gfx11::kOffset, 0x2E28u);  // PAL has it there for gfx10 too
  EXPECT_EQ(reg::PgmRsrc3Gfx9::kOffset, 0x2E2Du);
  EXPECT_EQ(reg::UserData0::kOffset, 0x2E40u);
}

}  // namespace
}  // namespace kiln::gpu::golden

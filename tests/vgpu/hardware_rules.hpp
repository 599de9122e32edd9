// Owns: what the tests of hardware rules share beyond the engine fixture.
// Does not own: the rules (the table in hardware_rules_test.cpp says where each is tested).
// Threading: as engine_fixture.hpp.
#pragma once

#include "engine_fixture.hpp"
#include "engine_kernels.hpp"

namespace kiln::vgpu::testing {

/// Lets the engines come round many times, so that whoever can go on has done so.
inline void settle(EngineFixture& gpu) {
  auto other = gpu.queue(QueueType::Pm4);
  for (int i = 0; i < 25; ++i) {
    Stream nop;
    nop.put({gpu::pm4::kNopPad});
    other->submit(nop);
    const std::uint64_t expected = other->write_pointer;
    ASSERT_TRUE(eventually([&] { return other->read_pointer() == expected; }));
  }
}

/// Nobody was told of anything: what is wrong shows as a hang only.
inline void expect_silence(const EngineFixture& gpu) {
  EXPECT_TRUE(gpu.host_side.exceptions().empty());
  EXPECT_TRUE(gpu.host_side.faults().empty());
  EXPECT_TRUE(gpu.host_side.interrupts().empty());
}

/// The next `dwords` dwords only on the XCCs in `mask`.
inline Stream& on_xccs(Stream& stream, std::uint32_t mask, std::uint32_t dwords) {
  return stream.emit([&](gpu::DwordWriter& writer) {
    writer.put(gpu::Packet<gpu::pm4::PredExec>{}
                   .set<gpu::pm4::PredExec::exec_count>(dwords)
                   .set<gpu::pm4::PredExec::virtual_xcc_mask>(mask));
  });
}

}  // namespace kiln::vgpu::testing

// Owns: the AQL packet processor of a queue: reads 64-byte packets, hands their work to the command
//   processors of all XCCs, and joins them: barrier bits, completion signals, read_dispatch_id.
// Does not own: what an XCC does with its share (command_processor.*).
// Threading: a task; talks to the command processors through their submit() and AqlRecord.
//
// Sources: HSA Platform System Architecture 2.8 and 2.9, ROCr amd_aql_queue.cpp, amd_hsa_queue.h,
// amd_hsa_signal.h, hsa_ext_amd.h.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "gpu/aql.hpp"
#include "gpu/kernel_descriptor.hpp"
#include "vgpu/command_processor.hpp"

namespace kiln::vgpu {

class AqlProcessor final : public Task {
 public:
  AqlProcessor(std::shared_ptr<QueueState> queue,
               std::vector<std::shared_ptr<CommandProcessor>> xccs);

  Outcome step(Random& random) override;

 private:
  enum class Result : std::uint8_t { Done, Blocked, Stopped };

  Result next();
  Result execute(const std::array<std::uint32_t, 16>& dwords, Va address);
  Result vendor(const std::array<std::uint32_t, 16>& dwords);
  Result barrier_value(const std::array<std::uint32_t, 16>& dwords);
  Result barrier(const std::array<std::uint32_t, 16>& dwords, bool all);
  Result kernel(const std::array<std::uint32_t, 16>& dwords, Va packet);
  /// Registers that a kernel dispatch packet stands for.
  Result kernel_registers(const gpu::aql::KernelDispatchPacket& packet,
                          const gpu::KernelDescriptor& descriptor, Va packet_address,
                          AqlWork* work);
  Result scratch(const gpu::aql::KernelDispatchPacket& packet, bool wave32, std::uint32_t* tmpring);
  Result give_scratch_back();
  Result tell_inactive(const gpu::aql::Queue& queue, std::int64_t value);
  void distribute(const AqlWork& work, Va completion_signal);
  void fence_only(std::uint32_t header, Va completion_signal);
  void accept(Va completion_signal);

  bool retire(bool* progress);
  bool complete(AqlRecord& record);
  bool has_amd_queue(gpu::aql::Queue* queue, Va* address);

  Result raise(std::uint32_t code, const std::string& why);
  Result memory_fault();

  const std::shared_ptr<QueueState> queue_;
  EngineContext& context_;
  const std::vector<std::shared_ptr<CommandProcessor>> xccs_;
  EnginePort port_;
  std::uint64_t next_ = 0, retired_ = 0;  ///< packet indices
  std::uint64_t limit_ = 0;               ///< packets below it have been announced by a doorbell
  std::deque<std::shared_ptr<AqlRecord>> records_;
  std::array<Va, 16> scratch_bases_{};
  Va waits_for_ = 0;               ///< queue_inactive_signal, until the runtime sets it back to 0
  bool scratch_returned_ = false;  ///< to be, once the kernel that has it is done
  bool scratch_told_ = false;      ///< and the runtime knows
};

}  // namespace kiln::vgpu

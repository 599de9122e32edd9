// Owns: LLVM's AMDGPU disassembler as the tests use it: one instruction at a time, as text.
// Does not own: the comparison (decode_oracle_test.cpp).
// Threading: one oracle per thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace kiln::vgpu::isa {

struct LlvmInstruction {
  unsigned bytes = 0;          ///< 0: LLVM refuses the encoding
  std::string opcode;          ///< LLVM's name of the opcode: V_ADD_F32_e32_vi
  std::string text;            ///< "v_add_f32_e32 v0, v1, v2"
  std::int64_t immediate = 0;  ///< the last immediate operand (SOPP and SOPK have one)
  bool has_immediate = false;
};

class LlvmOracle {
 public:
  /// `cpu` is "gfx942"; `features` as in "+wavefrontsize64,-wavefrontsize32".
  explicit LlvmOracle(const std::string& cpu, const std::string& features = {});
  ~LlvmOracle();
  LlvmInstruction disassemble(std::span<const std::uint32_t> code);

 private:
  struct Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace kiln::vgpu::isa

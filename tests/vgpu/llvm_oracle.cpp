// Owns: LLVM's AMDGPU disassembler as the tests use it. Compiled on its own, because LLVM's headers
//   do not pass our warnings.
// Does not own: the comparison (decode_oracle_test.cpp).
// Threading: one oracle per thread.
#include "llvm_oracle.hpp"

#include <llvm/MC/MCAsmInfo.h>
#include <llvm/MC/MCContext.h>
#include <llvm/MC/MCDisassembler/MCDisassembler.h>
#include <llvm/MC/MCInst.h>
#include <llvm/MC/MCInstPrinter.h>
#include <llvm/MC/MCInstrInfo.h>
#include <llvm/MC/MCRegisterInfo.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/MCTargetOptions.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/raw_ostream.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>

extern "C" {
void LLVMInitializeAMDGPUTargetInfo();
void LLVMInitializeAMDGPUTargetMC();
void LLVMInitializeAMDGPUDisassembler();
}

namespace kiln::vgpu::isa {

struct LlvmOracle::Machine {
  llvm::MCTargetOptions options;
  std::unique_ptr<llvm::MCRegisterInfo> registers;
  std::unique_ptr<llvm::MCAsmInfo> assembler;
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget;
  std::unique_ptr<llvm::MCInstrInfo> instructions;
  std::unique_ptr<llvm::MCContext> context;
  std::unique_ptr<llvm::MCDisassembler> disassembler;
  std::unique_ptr<llvm::MCInstPrinter> printer;
};

LlvmOracle::LlvmOracle(const std::string& cpu, const std::string& features)
    : machine_(std::make_unique<Machine>()) {
  LLVMInitializeAMDGPUTargetInfo();
  LLVMInitializeAMDGPUTargetMC();
  LLVMInitializeAMDGPUDisassembler();
  const llvm::Triple triple("amdgcn-amd-amdhsa");
  std::string error;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, error);
  if (target == nullptr) throw std::runtime_error("LLVM has no AMDGPU target: " + error);
  Machine& m = *machine_;
  m.registers.reset(target->createMCRegInfo(triple));
  m.assembler.reset(target->createMCAsmInfo(*m.registers, triple, m.options));
  m.subtarget.reset(target->createMCSubtargetInfo(triple, cpu, features));
  m.instructions.reset(target->createMCInstrInfo());
  m.context = std::make_unique<llvm::MCContext>(triple, m.assembler.get(), m.registers.get(),
                                                m.subtarget.get());
  m.disassembler.reset(target->createMCDisassembler(*m.subtarget, *m.context));
  m.printer.reset(
      target->createMCInstPrinter(triple, 0, *m.assembler, *m.instructions, *m.registers));
}

LlvmOracle::~LlvmOracle() = default;

LlvmInstruction LlvmOracle::disassemble(std::span<const std::uint32_t> code) {
  Machine& m = *machine_;
  llvm::MCInst instruction;
  std::uint64_t size = 0;
  std::string comments;
  llvm::raw_string_ostream comment_stream(comments);
  const llvm::ArrayRef<std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(code.data()),
                                           code.size_bytes());
  const auto status = m.disassembler->getInstruction(instruction, size, bytes, 0, comment_stream);
  LlvmInstruction result;
  if (status == llvm::MCDisassembler::Fail) return result;
  for (const llvm::MCOperand& operand : instruction)
    if (!operand.isValid()) return result;  // LLVM itself could not name an operand
  result.bytes = static_cast<unsigned>(size);
  result.opcode = m.instructions->getName(instruction.getOpcode()).str();
  llvm::raw_string_ostream text(result.text);
  m.printer->printInst(&instruction, 0, "", *m.subtarget, text);
  text.flush();
  std::replace(result.text.begin(), result.text.end(), '\t', ' ');
  result.text.erase(0, result.text.find_first_not_of(' '));
  for (const llvm::MCOperand& operand : instruction) {
    if (!operand.isImm()) continue;
    result.immediate = operand.getImm();
    result.has_immediate = true;
  }
  return result;
}

}  // namespace kiln::vgpu::isa

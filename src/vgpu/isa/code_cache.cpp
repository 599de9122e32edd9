// Owns: fetching and decoding code pages, sharing them between workgroups, invalidation.
// Does not own: when to invalidate (command processor, s_icache_inv).
// Threading: see the header. Decoding holds the page's lock; running waves read without one.
#include "vgpu/isa/code_cache.hpp"

#include <cstdio>

#include "vgpu/isa/census.hpp"
#include "vgpu/isa/decode.hpp"
#include "vgpu/isa/dispatch.hpp"
#include "vgpu/isa/semantics.hpp"
#include "vgpu/isa/trap.hpp"

namespace kiln::vgpu::isa {
namespace {

/// The first dword of what could not be decoded stands in `literal`.
void illegal_instruction(Wave& wave, const Instruction& instruction) {
  char text[80];
  std::snprintf(text, sizeof text, "illegal instruction 0x%08x at 0x%llx", instruction.literal,
                static_cast<unsigned long long>(wave.pc - 4));
  take_exception(wave, kTrapstsIllegalInst, wave.pc - 4, text);
}

void no_semantics(Wave& wave, const Instruction& instruction) {
  halt_at(wave, instruction, "no semantics for");
}

std::string with_place(const Wave& wave, const Instruction& instruction, const char* reason) {
  char text[192];
  const std::string_view name =
      instruction.opcode != nullptr ? instruction.opcode->name : std::string_view("?");
  const std::string_view second =
      instruction.opcode_y != nullptr ? instruction.opcode_y->name : std::string_view();
  std::snprintf(text, sizeof text, "%s %.*s%s%.*s at 0x%llx", reason, static_cast<int>(name.size()),
                name.data(), second.empty() ? "" : " :: ", static_cast<int>(second.size()),
                second.data(), static_cast<unsigned long long>(wave.pc - instruction.dwords * 4u));
  return text;
}

}  // namespace

void halt_at(Wave& wave, const Instruction& instruction, const char* reason) {
  wave.halt(with_place(wave, instruction, reason));
}

void violation_at(Wave& wave, const Instruction& instruction, const char* reason) {
  take_exception(wave, kTrapstsMemViol, wave.pc - instruction.dwords * 4u,
                 with_place(wave, instruction, reason));
}

void make_unknown(Instruction& instruction) {
  instruction.execute = no_semantics;
}

const Instruction* CodePage::decode_at(std::uint64_t offset, MemoryPort& port) {
  std::lock_guard lock(mutex_);
  std::atomic<const Instruction*>& slot = at_[offset / 4];
  if (const Instruction* decoded = slot.load(std::memory_order_relaxed)) return decoded;

  // An instruction near the end of a mapping may be shorter than the longest one.
  std::uint32_t code[kMaxDwords] = {};
  std::size_t available = 0;
  const Va va = begin_ + offset;
  while (available < kMaxDwords && port.load(va + available * 4, &code[available], 4, Client::Fetch,
                                             Scope::Wave, Access::Execute))
    ++available;
  if (available == 0) return nullptr;

  Instruction instruction;
  switch (decode(arch_, code, available, &instruction)) {
    case DecodeStatus::Ok:
      resolve(instruction);
      note_reached(arch_, instruction);
      if (instruction.execute == nullptr) make_unknown(instruction);
      break;
    case DecodeStatus::Truncated:
      // The rest of it lies where nothing is mapped; fault there.
      port.load(va + available * 4, code, 4, Client::Fetch, Scope::Wave, Access::Execute);
      return nullptr;
    case DecodeStatus::Unknown:
      note_illegal(arch_, code[0]);
      instruction = Instruction{};
      instruction.literal = code[0];
      instruction.execute = illegal_instruction;
      break;
  }
  storage_.push_back(instruction);
  slot.store(&storage_.back(), std::memory_order_release);
  return &storage_.back();
}

std::shared_ptr<CodePage> CodeCache::page(Va va, Arch arch, const std::byte* host) {
  const Va begin = va & ~(kPageBytes - 1);
  std::lock_guard lock(mutex_);
  // One space belongs to one GPU; the low bits keep tests with two generations apart.
  std::shared_ptr<CodePage>& page = pages_[begin | static_cast<Va>(arch)];
  if (page == nullptr || page->host() != host) page = std::make_shared<CodePage>(begin, arch, host);
  return page;
}

void CodeCache::invalidate() {
  std::lock_guard lock(mutex_);
  pages_.clear();
  version_.fetch_add(1, std::memory_order_release);
}

CodePage* CodeView::page(Va pc, Arch arch, MemoryPort& port) {
  const Va begin = pc & ~(kPageBytes - 1);
  Slot& slot = slots_[begin / kPageBytes % slots_.size()];
  const std::uint64_t generation = space_->generation(), version = cache_->version();
  if (slot.begin == begin && slot.generation == generation && slot.version == version)
    return slot.page.get();
  const std::byte* host = port.translate(pc & ~Va{3}, 4, Access::Execute);
  if (host == nullptr) return nullptr;
  slot = Slot{begin, generation, version,
              cache_->page(pc, arch, host - (pc & (kPageBytes - 1) & ~Va{3}))};
  return slot.page.get();
}

void invalidate_code(const AddressSpace& space) {
  space.code().invalidate();
}

}  // namespace kiln::vgpu::isa

namespace kiln::vgpu {

isa::CodeCache& AddressSpace::code() const {
  {
    std::shared_lock lock(mutex_);
    if (code_ != nullptr) return *code_;
  }
  std::unique_lock lock(mutex_);
  if (code_ == nullptr) code_ = std::make_shared<isa::CodeCache>();
  return *code_;
}

}  // namespace kiln::vgpu

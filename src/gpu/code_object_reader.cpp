// Owns: the ELF file of a code object: checking it, laying out its image, finding what it defines.
// Does not own: its metadata note (metadata.cpp), loading and relocating (code_object.cpp).
// Threading: pure functions.
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "gpu/code_object.hpp"
#include "gpu/code_object_elf.hpp"

namespace kiln::gpu {
namespace {

constexpr std::uint64_t kPage = 4096;
// Far above any real object, far below what would make sums overflow.
constexpr std::uint64_t kMaxImageBytes = std::uint64_t{1} << 32;
constexpr std::uint64_t kCodeAlignment = 256;  // entries are stored >> 8 in COMPUTE_PGM_LO

std::string machine_name(unsigned machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64 code (the GPU code of a HIP program is in its .hip_fatbin section)";
    case EM_386:
      return "x86 code";
    case EM_AARCH64:
      return "AArch64 code";
    case EM_CUDA:
      return "NVIDIA code";
    case EM_RISCV:
      return "RISC-V code";
    default:
      return "code for ELF machine " + std::to_string(machine);
  }
}

struct Symbol {
  std::string_view name;
  std::uint64_t value = 0, bytes = 0;
  unsigned type = STT_NOTYPE;
  bool defined = false, weak = false, absolute = false, local = false;
};

// What PT_DYNAMIC points at, as virtual addresses.
struct Dynamic {
  std::uint64_t symbols = 0, strings = 0, string_bytes = 0, hash = 0;
  std::uint64_t rela = 0, rela_bytes = 0;
};

class Reader {
 public:
  Reader(std::span<const std::byte> file, const DeviceIsa* device) : file_(file), device_(device) {}

  Result<CodeObject> read() {
    KILN_TRY(read_header());
    KILN_TRY(read_segments());
    KILN_TRY(read_metadata());
    if (dynamic_segment_) {
      KILN_TRY(read_dynamic());
      KILN_TRY(read_symbols());
      KILN_TRY(read_relocations());
    }
    KILN_TRY(read_kernels());
    read_globals();
    object_.file.assign(file_.begin(), file_.end());
    return std::move(object_);
  }

 private:
  template <class T>
  bool get(std::uint64_t at, T* out) const {
    if (at > file_.size() || file_.size() - at < sizeof(T)) return false;
    std::memcpy(out, file_.data() + at, sizeof(T));
    return true;
  }

  // The file's bytes behind a virtual address; nothing if any of them is not in the file.
  std::optional<std::span<const std::byte>> at_address(std::uint64_t va,
                                                       std::uint64_t bytes) const {
    const Segment* segment = find_segment(va);
    if (!segment) return std::nullopt;
    const std::uint64_t inside = va - base_ - segment->offset;
    if (inside > segment->file_bytes || bytes > segment->file_bytes - inside) return std::nullopt;
    return file_.subspan(segment->file_offset + inside, bytes);
  }

  const Segment* find_segment(std::uint64_t va) const {
    if (va < base_) return nullptr;
    const std::uint64_t offset = va - base_;
    for (const Segment& segment : object_.segments)
      if (offset >= segment.offset && offset - segment.offset < segment.bytes) return &segment;
    return nullptr;
  }

  // Whether [offset, offset + bytes) of the image lies in one segment, .bss included.
  bool in_one_segment(std::uint64_t va, std::uint64_t bytes) const {
    const Segment* segment = find_segment(va);
    return segment && bytes <= segment->bytes - (va - base_ - segment->offset);
  }

  Status read_header() {
    if (file_.size() < EI_NIDENT || std::memcmp(file_.data(), ELFMAG, SELFMAG) != 0)
      return invalid_code("not an ELF file");
    if (!get(0, &header_)) return invalid_code("the ELF file is cut off in its header");
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_ident[EI_DATA] != ELFDATA2LSB)
      return invalid_code("not a 64-bit little-endian ELF file");
    if (header_.e_machine != kMachineAmdgpu)
      return invalid_code("not AMD GPU code but " + machine_name(header_.e_machine));
    if (header_.e_ident[EI_OSABI] != kOsAbiAmdgpuHsa)
      return invalid_code(
          strf("AMD GPU code for another OS ABI than HSA (%u): compile for amdgcn-amd-amdhsa",
               header_.e_ident[EI_OSABI]));
    const unsigned abi = header_.e_ident[EI_ABIVERSION];
    if (abi < kAbiVersionV4 || abi > kAbiVersionV6)
      return invalid_code(
          strf("code object version %u, Kiln reads 4, 5 and 6: compile with "
               "-mcode-object-version=5",
               abi + 2));
    object_.version = abi + 2;
    if (header_.e_type == ET_REL)
      return invalid_code("an unlinked object file: link it with ld.lld -shared");
    if (header_.e_type != ET_DYN)
      return invalid_code(strf("ELF type %u, code objects are shared objects", header_.e_type));
    // Nothing here reads section headers, but linkers write them last: they show a file cut short.
    const std::uint64_t section_headers = std::uint64_t{header_.e_shnum} * header_.e_shentsize;
    if (header_.e_shoff > file_.size() || section_headers > file_.size() - header_.e_shoff)
      return invalid_code("the ELF file is cut off in its section headers");

    std::optional<TargetId> target = target_id_from_flags(header_.e_flags);
    if (!target)
      return invalid_code("code for an AMD GPU that Kiln does not know (e_flags " +
                          hex_address(header_.e_flags) + ")");
    object_.target = std::move(*target);
    if (device_) {
      std::string why = incompatibility(object_.target, *device_);
      if (!why.empty()) return invalid_code(std::move(why));
    }
    return {};
  }

  Result<Elf64_Phdr> program_header(unsigned index) const {
    Elf64_Phdr program;
    const std::uint64_t at = header_.e_phoff + std::uint64_t{index} * sizeof(program);
    if (at < header_.e_phoff || !get(at, &program))
      return invalid_code("the ELF file is cut off in its program headers");
    if (program.p_type != PT_LOAD && program.p_type != PT_DYNAMIC && program.p_type != PT_NOTE)
      return program;
    if (program.p_offset > file_.size() || program.p_filesz > file_.size() - program.p_offset)
      return invalid_code(strf("the ELF file is cut off: segment %u ends behind it", index));
    if (program.p_type == PT_LOAD) {
      if (program.p_filesz > program.p_memsz)
        return invalid_code(strf("segment %u has more bytes in the file than in memory", index));
      if (program.p_memsz > kMaxImageBytes || program.p_vaddr > ~kMaxImageBytes)
        return invalid_code(strf("segment %u is too large", index));
      if (program.p_align > kImageAlignment)
        return invalid_code(strf("segment %u wants an alignment of more than 64 KiB", index));
    }
    return program;
  }

  Status read_segments() {
    if (header_.e_phnum != 0 && header_.e_phentsize != sizeof(Elf64_Phdr))
      return invalid_code("program headers of a strange size");
    bool first = true;
    std::uint64_t end = 0;
    for (unsigned i = 0; i < header_.e_phnum; i++) {
      KILN_ASSIGN(const Elf64_Phdr program, program_header(i));
      if (program.p_type == PT_DYNAMIC) dynamic_segment_ = program;
      if (program.p_type == PT_NOTE) notes_.push_back(program);
      if (program.p_type != PT_LOAD || program.p_memsz == 0) continue;
      // The ELF specification sorts loadable segments by address.
      if (first) base_ = program.p_vaddr / kImageAlignment * kImageAlignment;
      if (!first && program.p_vaddr < end)
        return invalid_code(strf("segment %u overlaps another", i));
      first = false;
      end = program.p_vaddr + program.p_memsz;
      if (end - base_ > kMaxImageBytes) return invalid_code("the image is larger than 4 GiB");
      object_.segments.push_back({program.p_vaddr - base_, program.p_memsz, program.p_offset,
                                  program.p_filesz, (program.p_flags & PF_W) != 0,
                                  (program.p_flags & PF_X) != 0});
    }
    if (object_.segments.empty()) return invalid_code("the code object has nothing to load");
    object_.image_bytes = (end - base_ + kPage - 1) / kPage * kPage;
    return {};
  }

  Status read_metadata() {
    for (const Elf64_Phdr& program : notes_) {
      std::uint64_t at = program.p_offset;
      const std::uint64_t end = program.p_offset + program.p_filesz;
      Elf64_Nhdr note;
      while (end - at >= sizeof(note) && get(at, &note)) {
        at += sizeof(note);
        const std::uint64_t name_bytes = (std::uint64_t{note.n_namesz} + 3) / 4 * 4;
        const std::uint64_t padded = (std::uint64_t{note.n_descsz} + 3) / 4 * 4;
        if (name_bytes > end - at || note.n_descsz > end - at - name_bytes)
          return invalid_code("a note of the code object is cut off");
        const bool amdgpu = note.n_namesz == sizeof("AMDGPU") &&
                            std::memcmp(file_.data() + at, "AMDGPU", sizeof("AMDGPU")) == 0;
        at += name_bytes;
        if (amdgpu && note.n_type == kNoteAmdgpuMetadata) {
          KILN_ASSIGN(metadata_, parse_metadata(file_.subspan(at, note.n_descsz)));
          return {};
        }
        at += std::min(padded, end - at);
      }
    }
    return invalid_code("the code object has no AMDGPU metadata note");
  }

  Status read_dynamic() {
    const Elf64_Phdr& program = *dynamic_segment_;
    for (std::uint64_t at = 0; program.p_filesz - at >= sizeof(Elf64_Dyn);
         at += sizeof(Elf64_Dyn)) {
      Elf64_Dyn entry;
      if (!get(program.p_offset + at, &entry)) return invalid_code("the dynamic table is cut off");
      const std::uint64_t value = entry.d_un.d_val;
      switch (entry.d_tag) {
        case DT_NULL:
          return {};
        case DT_SYMTAB:
          dynamic_.symbols = value;
          break;
        case DT_STRTAB:
          dynamic_.strings = value;
          break;
        case DT_STRSZ:
          dynamic_.string_bytes = value;
          break;
        case DT_HASH:
          dynamic_.hash = value;
          break;
        case DT_RELA:
          dynamic_.rela = value;
          break;
        case DT_RELASZ:
          dynamic_.rela_bytes = value;
          break;
        case DT_SYMENT:
          if (value != sizeof(Elf64_Sym)) return invalid_code("symbols of a strange size");
          break;
        case DT_RELAENT:
          if (value != sizeof(Elf64_Rela)) return invalid_code("relocations of a strange size");
          break;
        case DT_NEEDED:
          return invalid_code("the code object needs another one, which is not supported");
        case DT_REL:
        case DT_RELR:
        case DT_JMPREL:
          return invalid_code(
              "the code object has relocations of a form that the AMDGPU ABI lacks");
        default:
          break;
      }
    }
    return {};
  }

  Status read_symbols() {
    if (dynamic_.symbols == 0) return {};
    // Only DT_HASH says how many symbols there are (its second word); lld always writes it.
    const auto hash = at_address(dynamic_.hash, 8);
    if (!hash) return invalid_code("the code object has no DT_HASH table");
    std::uint32_t count = 0;
    std::memcpy(&count, hash->data() + 4, 4);
    const auto table = at_address(dynamic_.symbols, std::uint64_t{count} * sizeof(Elf64_Sym));
    const auto strings = at_address(dynamic_.strings, dynamic_.string_bytes);
    if (!table || !strings) return invalid_code("the symbol table lies outside the file");
    const std::string_view text(reinterpret_cast<const char*>(strings->data()), strings->size());
    symbols_.reserve(count);
    for (std::uint32_t i = 0; i < count; i++) {
      Elf64_Sym raw;
      std::memcpy(&raw, table->data() + std::size_t{i} * sizeof(raw), sizeof(raw));
      if (i != 0 && raw.st_name >= text.size())
        return invalid_code(strf("symbol %u has no name", i));
      Symbol symbol;
      symbol.name = text.substr(std::min<std::size_t>(raw.st_name, text.size()));
      const std::size_t name_end = symbol.name.find('\0');
      if (i != 0 && name_end == std::string_view::npos)
        return invalid_code(strf("the name of symbol %u is cut off", i));
      symbol.name = symbol.name.substr(0, name_end);
      symbol.value = raw.st_value;
      symbol.bytes = raw.st_size;
      symbol.type = ELF64_ST_TYPE(raw.st_info);
      symbol.defined = raw.st_shndx != SHN_UNDEF;
      symbol.absolute = raw.st_shndx == SHN_ABS;
      symbol.weak = ELF64_ST_BIND(raw.st_info) == STB_WEAK;
      symbol.local = ELF64_ST_BIND(raw.st_info) == STB_LOCAL;
      symbols_.push_back(symbol);
      if (symbol.defined && !symbol.local) by_name_.emplace(symbol.name, i);
    }
    return {};
  }

  Status read_relocations() {
    if (dynamic_.rela_bytes == 0) return {};
    const auto table = at_address(dynamic_.rela, dynamic_.rela_bytes);
    if (!table) return invalid_code("the relocation table lies outside the file");
    for (std::size_t at = 0; table->size() - at >= sizeof(Elf64_Rela); at += sizeof(Elf64_Rela)) {
      Elf64_Rela raw;
      std::memcpy(&raw, table->data() + at, sizeof(raw));
      Relocation relocation;
      relocation.type = ELF64_R_TYPE(raw.r_info);
      if (relocation.type == kRelocNone) continue;
      const unsigned bytes = relocation_bytes(relocation.type);
      if (bytes == 0) return invalid_code(strf("relocation type %u is not known", relocation.type));
      if (!in_one_segment(raw.r_offset, bytes))
        return invalid_code("a relocation of " + hex_address(raw.r_offset) +
                            ", which is in no segment");
      relocation.offset = raw.r_offset - base_;
      relocation.value = static_cast<std::uint64_t>(raw.r_addend);
      if (relocation.type == kRelocRelative64) {
        relocation.value -= base_;
      } else {
        KILN_TRY(resolve(ELF64_R_SYM(raw.r_info), &relocation));
      }
      object_.relocations.push_back(relocation);
    }
    return {};
  }

  Status resolve(std::uint64_t index, Relocation* relocation) const {
    if (index >= symbols_.size())
      return invalid_code("a relocation with a symbol that is not there");
    const Symbol& symbol = symbols_[index];
    if (!symbol.defined && !symbol.weak && index != 0)
      return invalid_code("undefined symbol " + std::string(symbol.name));
    relocation->in_image = symbol.defined && !symbol.absolute;
    relocation->value += symbol.value - (relocation->in_image ? base_ : 0);
    return {};
  }

  Status read_kernels() {
    for (KernelMetadata& metadata : metadata_.kernels) {
      KernelInfo kernel;
      static_cast<KernelMetadata&>(kernel) = std::move(metadata);
      KILN_TRY(read_descriptor(&kernel));
      for (const KernelArgument& argument : kernel.arguments) {
        if (is_hidden(argument.kind)) {
          kernel.hidden.push_back(
              {argument.kind, static_cast<std::uint8_t>(argument.size), argument.offset});
        } else {
          kernel.explicit_size = std::max(kernel.explicit_size, argument.offset + argument.size);
        }
      }
      object_.kernels.push_back(std::move(kernel));
    }
    return {};
  }

  Status read_descriptor(KernelInfo* kernel) const {
    const auto found = by_name_.find(kernel->symbol);
    if (found == by_name_.end())
      return invalid_code("kernel " + kernel->name + " has no descriptor: no symbol " +
                          kernel->symbol);
    const std::uint64_t va = symbols_[found->second].value;
    const auto bytes = at_address(va, sizeof(KernelDescriptor));
    if (!bytes)
      return invalid_code("the descriptor of kernel " + kernel->name + " lies outside the file");
    KernelDescriptor& descriptor = kernel->descriptor;
    std::memcpy(&descriptor, bytes->data(), sizeof(descriptor));
    const std::uint64_t code =
        va + static_cast<std::uint64_t>(descriptor.kernel_code_entry_byte_offset);
    const Segment* segment = find_segment(code);
    if (!segment || !segment->executable || (code - base_) % kCodeAlignment != 0)
      return invalid_code("the code of kernel " + kernel->name + " would begin at " +
                          hex_address(code) + ", where no code can be");
    kernel->descriptor_offset = va - base_;
    kernel->code_offset = code - base_;

    const bool wave32 = (descriptor.kernel_code_properties & kPropWavefrontSize32) != 0;
    if (wave32 != (kernel->wavefront_size == 32) ||
        descriptor.group_segment_fixed_size != kernel->group_segment_fixed_size ||
        descriptor.private_segment_fixed_size != kernel->private_segment_fixed_size ||
        descriptor.kernarg_size != kernel->kernarg_size)
      return invalid_code("metadata and descriptor of kernel " + kernel->name +
                          " contradict each other");
    return {};
  }

  void read_globals() {
    for (const Symbol& symbol : symbols_) {
      if (symbol.type != STT_OBJECT || !symbol.defined || symbol.local || symbol.absolute) continue;
      if (symbol.name.ends_with(".kd") || !in_one_segment(symbol.value, symbol.bytes)) continue;
      object_.globals.push_back({std::string(symbol.name), symbol.value - base_, symbol.bytes,
                                 find_segment(symbol.value)->writable});
    }
  }

  std::span<const std::byte> file_;
  const DeviceIsa* device_;
  CodeObject object_;
  Metadata metadata_;
  Elf64_Ehdr header_{};
  std::uint64_t base_ = 0;  // virtual address of the image's begin
  std::optional<Elf64_Phdr> dynamic_segment_;
  std::vector<Elf64_Phdr> notes_;
  Dynamic dynamic_;
  std::vector<Symbol> symbols_;
  std::unordered_map<std::string_view, std::uint32_t> by_name_;
};

}  // namespace

Result<CodeObject> parse_code_object(std::span<const std::byte> file, const DeviceIsa* device) {
  return Reader(file, device).read();
}

}  // namespace kiln::gpu

// Owns: tests of the shared object: what it exports, needs and weighs, and of the header's layout.
// Does not own: the C side (abi_test.c).
// Threading: none.
#include "abi_test.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "abi_structures.h"
#include "fixture.hpp"

namespace api_test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kInstrumented = true;
#else
constexpr bool kInstrumented = false;
#endif

/// libkiln.so as a file.
class SharedObject {
 public:
  SharedObject() {
    Dl_info self{};
    if (dladdr(reinterpret_cast<void*>(&kilnCreateInstance), &self) == 0)
      throw std::runtime_error("libkiln is not loaded");
    file_ = tools::read_file(self.dli_fname);
    for (const Elf64_Shdr& section : sections()) {
      if (section.sh_type == SHT_DYNAMIC) dynamic_ = &section;
      if (section.sh_type == SHT_DYNSYM) symbols_ = &section;
    }
  }
  const Elf64_Ehdr& header() const { return at<Elf64_Ehdr>(0); }
  std::span<const Elf64_Shdr> sections() const {
    return {&at<Elf64_Shdr>(header().e_shoff), header().e_shnum};
  }
  std::span<const Elf64_Phdr> segments() const {
    return {&at<Elf64_Phdr>(header().e_phoff), header().e_phnum};
  }
  std::vector<std::string> dynamic_strings(Elf64_Sxword tag) const {
    std::vector<std::string> found;
    for (std::size_t i = 0; i < dynamic_->sh_size / sizeof(Elf64_Dyn); ++i) {
      const auto& entry = at<Elf64_Dyn>(dynamic_->sh_offset + i * sizeof(Elf64_Dyn));
      if (entry.d_tag == tag) found.push_back(text(*dynamic_, entry.d_un.d_val));
    }
    return found;
  }
  std::vector<std::string> exported() const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < symbols_->sh_size / sizeof(Elf64_Sym); ++i) {
      const auto& symbol = at<Elf64_Sym>(symbols_->sh_offset + i * sizeof(Elf64_Sym));
      if (symbol.st_shndx != SHN_UNDEF && ELF64_ST_BIND(symbol.st_info) != STB_LOCAL)
        names.push_back(text(*symbols_, symbol.st_name));
    }
    return names;
  }

 private:
  template <class T>
  const T& at(std::size_t offset) const {
    return *reinterpret_cast<const T*>(file_.data() + offset);
  }
  std::string text(const Elf64_Shdr& owner, std::size_t offset) const {
    return &at<char>(sections()[owner.sh_link].sh_offset + offset);
  }
  std::vector<std::byte> file_;
  const Elf64_Shdr* dynamic_ = nullptr;
  const Elf64_Shdr* symbols_ = nullptr;
};

TEST(Abi, HeaderIsTheSameInC) {
#define KILN_SIZE(name) {#name, sizeof(name)},
  const abi_size ours[] = {KILN_STRUCTURES(KILN_SIZE){nullptr, 0}};
  std::size_t i = 0;
  for (; abi_sizes_from_c[i].name != nullptr; ++i) {
    EXPECT_STREQ(abi_sizes_from_c[i].name, ours[i].name);
    EXPECT_EQ(abi_sizes_from_c[i].bytes, ours[i].bytes) << ours[i].name;
  }
  EXPECT_EQ(i + 1, std::size(ours));
}

TEST(Abi, WorksFromC) {
  EXPECT_EQ(abi_version_from_c(), KILN_HEADER_VERSION);
  EXPECT_EQ(abi_instance_from_c(), 0);
}

TEST(Abi, NeedsOnlyWhatItSays) {
  if (kInstrumented) GTEST_SKIP() << "a sanitizer's runtime is linked in";
  const std::set<std::string> allowed = {"libc.so.6",      "libm.so.6",   "libgcc_s.so.1",
                                         "libstdc++.so.6", "libdrm.so.2", "ld-linux-x86-64.so.2"};
  for (const std::string& needed : SharedObject().dynamic_strings(DT_NEEDED))
    EXPECT_TRUE(allowed.contains(needed)) << needed;
}

TEST(Abi, SonameCarriesTheVersion) {
  EXPECT_EQ(SharedObject().dynamic_strings(DT_SONAME), std::vector<std::string>{"libkiln.so.0"});
}

TEST(Abi, StrippedSizeIsBelowTwoMegabytes) {
  if (kInstrumented) GTEST_SKIP() << "instrumented code is larger";
  const SharedObject object;
  std::size_t loaded = 0;  // strip leaves what is loaded, and a table of section headers
  for (const Elf64_Phdr& segment : object.segments())
    if (segment.p_type == PT_LOAD)
      loaded = std::max<std::size_t>(loaded, segment.p_offset + segment.p_filesz);
  EXPECT_LT(loaded + object.header().e_shnum * sizeof(Elf64_Shdr), 2u << 20);
}

TEST(Abi, ExportsExactlyTheEntryPoints) {
  std::vector<std::string> expected = {
#define KILN_ENTRY(name, level) "kiln" #name,
#include "api/entrypoints.def"
#undef KILN_ENTRY
  };
  std::vector<std::string> exported = SharedObject().exported();
  std::erase_if(exported, [](const std::string& name) {  // put there by some linkers
    return name == "_init" || name == "_fini" || name == "__bss_start" || name == "_edata" ||
           name == "_end";
  });
  std::ranges::sort(expected);
  std::ranges::sort(exported);
  EXPECT_EQ(exported, expected);
}

}  // namespace
}  // namespace api_test

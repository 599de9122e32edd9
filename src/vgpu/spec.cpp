// Owns: the text of KILN_VGPU -> MachineSpec.
// Does not own: chip names (chips.*).
// Threading: pure.
#include <charconv>
#include <limits>

#include "vgpu/machine.hpp"

namespace kiln::vgpu {

namespace {

constexpr std::size_t kMaxGpus = 16;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

/// A whole decimal number; false for anything else.
bool parse_number(std::string_view text, std::uint64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

bool parse_size(std::string_view text, std::uint64_t* bytes) {
  unsigned shift = 0;
  if (!text.empty()) {
    switch (text.back()) {
      case 'k':
      case 'K':
        shift = 10;
        break;
      case 'm':
      case 'M':
        shift = 20;
        break;
      case 'g':
      case 'G':
        shift = 30;
        break;
      default:
        break;
    }
  }
  if (shift != 0) text.remove_suffix(1);
  if (!parse_number(text, bytes)) return false;
  if (*bytes > std::numeric_limits<std::uint64_t>::max() >> shift) return false;
  *bytes <<= shift;
  return true;
}

Status parse_gpus(std::string_view text, MachineSpec* spec) {
  std::uint64_t count = 1;
  if (const std::size_t space = text.find(' '); space != std::string_view::npos) {
    std::string_view times = text.substr(0, space);
    if (times.size() < 2 || times.back() != 'x' ||
        !parse_number(times.substr(0, times.size() - 1), &count) || count < 1 || count > kMaxGpus)
      return fail(VK_ERROR_INITIALIZATION_FAILED,
                  "virtual GPU: " + quoted(text) +
                      " should read NAME or COUNTx NAME with a count of 1 to " +
                      std::to_string(kMaxGpus) + ", as in '2x mi300x'");
    text = trim(text.substr(space));
  }
  const ChipSpec* chip = find_chip(text);
  if (chip == nullptr)
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                "virtual GPU: no GPU is called " + quoted(text) + "; there are: " + chip_names());
  spec->gpus.insert(spec->gpus.end(), count, chip);
  if (spec->gpus.size() > kMaxGpus)
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                "virtual GPU: at most " + std::to_string(kMaxGpus) + " GPUs in one machine");
  return {};
}

Status parse_option(std::string_view text, MachineSpec* spec) {
  const std::size_t equals = text.find('=');
  const std::string_view key = trim(text.substr(0, equals));
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view{} : trim(text.substr(equals + 1));
  auto bad = [&](const char* expected) {
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                "virtual GPU: option " + quoted(text) + ": expected " + expected);
  };
  std::uint64_t number = 0;
  if (key == "strict" || key == "debug" || key == "flip-dispatch" || key == "no-hdp-page") {
    if (equals != std::string_view::npos) return bad("no value");
    (key == "strict"        ? spec->engine.strict_memory
     : key == "debug"       ? spec->engine.debug
     : key == "no-hdp-page" ? spec->no_hdp_page
                            : spec->engine.flip_dispatch) = true;
  } else if (key == "seed") {
    if (!parse_number(value, &spec->engine.seed)) return bad("seed=NUMBER");
  } else if (key == "skew") {
    if (value == "max")
      number = 100;
    else if (!parse_number(value, &number) || number > 100)
      return bad("skew=max or skew=0..100");
    spec->engine.skew = static_cast<std::uint32_t>(number);
  } else if (key == "threads") {
    if (!parse_number(value, &number) || number < 1 || number > 256) return bad("threads=1..256");
    spec->engine.threads = static_cast<std::uint32_t>(number);
  } else if (key == "kfd") {
    if (!value.starts_with("1.") || !parse_number(value.substr(2), &number) ||
        number < kOldestKfdMinor || number > kNewestKfdMinor)
      return bad("kfd=1.11 to kfd=1.23");
    spec->kfd_minor = static_cast<std::uint32_t>(number);
  } else if (key == "vram") {
    if (!parse_size(value, &number) || number < 16ull << 20 || number > 1ull << 40)
      return bad("vram=SIZE from 16M to 1024G");
    spec->vram_bytes = number & ~((2ull << 20) - 1);
  } else {
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                "virtual GPU: no option is called " + quoted(key) +
                    "; there are: strict, seed=N, skew=max|N, kfd=1.N, threads=N, vram=SIZE, "
                    "debug, no-hdp-page, flip-dispatch");
  }
  return {};
}

}  // namespace

Result<MachineSpec> parse_spec(std::string_view text) {
  static_assert(kOldestKfdMinor == 11 && kNewestKfdMinor == 23, "the message above names them");
  MachineSpec spec;
  spec.text = trim(text);
  spec.kfd_minor = kNewestKfdMinor;
  if (spec.text.empty())
    return fail(VK_ERROR_INITIALIZATION_FAILED,
                "virtual GPU: no name given; there are: " + chip_names());
  // Words between commas: a word is a GPU until the first that is not, so "mi300x,navi31,strict".
  std::string_view rest = spec.text;
  bool first = true;
  while (first || !rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view word = trim(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const bool names_gpu =
        first || find_chip(word) != nullptr || word.find("x ") != std::string_view::npos;
    KILN_TRY(names_gpu ? parse_gpus(word, &spec) : parse_option(word, &spec));
    first = false;
  }
  return spec;
}

}  // namespace kiln::vgpu

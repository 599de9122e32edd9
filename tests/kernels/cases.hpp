// Owns: the kernels of this folder as runnable cases: launch shape, inputs, and a check of the
//   outputs against plain C++ that shares nothing with the kernels.
// Does not own: how a case is run. Nothing here knows Kiln: the demo, tests, benches and other
//   people's runtimes can all run these.
// Threading: cases are constant once made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace kiln::kernels {

using Bytes = std::vector<std::byte>;

struct Extent {
  std::uint32_t x = 1, y = 1, z = 1;
};

/// Device memory of a case. Every buffer ends in guard bytes that no kernel may touch.
struct Buffer {
  std::string name;
  Bytes initial;        ///< what it holds before the kernel runs; its size is the buffer's
  bool output = false;  ///< otherwise the kernel must leave it as it was
};

/// A kernel argument: the address of a buffer, or a value.
struct Argument {
  int buffer = -1;  ///< index into `buffers`, or -1
  Bytes value;      ///< 4 or 8 bytes
};

/// A __device__ or __constant__ variable that the host writes before, or reads after the kernel.
struct GlobalWrite {
  std::string symbol;
  Bytes value;
};
struct GlobalRead {
  std::string symbol;
  std::size_t bytes = 0;
};

/// What memory holds after the kernel.
struct Outputs {
  std::vector<Bytes> buffers;  ///< all of them, in the order of KernelCase::buffers
  std::vector<Bytes> globals;  ///< in the order of KernelCase::global_reads
};

struct KernelCase {
  std::string name;    ///< also the file's: NAME.hip, NAME.hsaco
  std::string kernel;  ///< as the code object calls it
  Extent threads;      ///< of the whole grid, exact: edge blocks may be partial
  Extent block;
  std::uint32_t dynamic_lds = 0;  ///< bytes
  std::vector<Buffer> buffers;
  std::vector<Argument> arguments;
  std::vector<GlobalWrite> global_writes;
  std::vector<GlobalRead> global_reads;
  /// The check of one kernel; use verify(), which also looks at guards and inputs.
  std::function<std::optional<std::string>(const Outputs&)> reference;

  Extent groups() const {
    return {(threads.x + block.x - 1) / block.x, (threads.y + block.y - 1) / block.y,
            (threads.z + block.z - 1) / block.z};
  }
  /// Nothing if all is right, else what differs first.
  std::optional<std::string> verify(const Outputs& outputs) const;
  /// The explicit arguments, naturally aligned, as the code object's metadata lays them out.
  Bytes pack_arguments(std::span<const std::uint64_t> buffer_addresses) const;
};

struct CaseOptions {
  std::uint32_t wave_size = 64;  ///< the code object's: 64 on gfx942, 32 on gfx1100 by default
  std::uint32_t scale = 1;       ///< 1 runs in moments on an emulator; linear sizes grow with it
};

/// All 18 kernels.
std::vector<KernelCase> kernel_cases(const CaseOptions& options);

/// matmul_lds of a chosen size; 512 x 512 x 512 is what benches use.
KernelCase matmul_lds_case(std::uint32_t m, std::uint32_t n, std::uint32_t k);

}  // namespace kiln::kernels

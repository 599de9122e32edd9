// Memory in every direction: pageable, pinned and mapped host memory, 2D copies, fills, copies on
// the device, device symbols, managed by hand; each against what the host would have done.
#include <cstring>

#include "check.hpp"

__device__ int table[1000];
__device__ float scale = 2.5f;

__global__ void add_from_table(int* data, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] = static_cast<int>(data[i] * scale) + table[i % 1000];
}

// Writes host memory itself, with a system-wide atomic beside it.
__global__ void write_mapped(volatile int* out, unsigned* counter, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  out[i] = i * 7 - 3;
  __threadfence_system();
  atomicAdd_system(counter, 1u);
}

static std::vector<unsigned char> pattern(std::size_t bytes, unsigned seed) {
  std::vector<unsigned char> data(bytes);
  for (std::size_t i = 0; i < bytes; i++)
    data[i] = static_cast<unsigned char>(i * 31 + seed + (i >> 8));
  return data;
}

static void linear(Checker& check, hipStream_t stream) {
  // Sizes about the limits that a runtime may choose its way by: staging, pinning in place,
  // engines.
  for (std::size_t bytes : {1ul, 3ul, 64ul, 4095ul, 16'384ul, 70'001ul, 1'048'577ul, 5'000'003ul}) {
    const auto data = pattern(bytes, static_cast<unsigned>(bytes));
    std::vector<unsigned char> back(bytes, 0xEE);
    Buffer<unsigned char> a(bytes), b(bytes + 64);
    HIP_CHECK(hipMemcpy(a.get(), data.data(), bytes, hipMemcpyHostToDevice));
    HIP_CHECK(hipMemcpy(b.get() + 5, a.get(), bytes, hipMemcpyDeviceToDevice));  // unaligned
    HIP_CHECK(hipMemcpy(back.data(), b.get() + 5, bytes, hipMemcpyDeviceToHost));
    check.that(back == data, "pageable", static_cast<double>(bytes), static_cast<double>(bytes));

    unsigned char* pinned = nullptr;
    HIP_CHECK(hipHostMalloc(reinterpret_cast<void**>(&pinned), 2 * bytes, hipHostMallocDefault));
    std::memcpy(pinned, data.data(), bytes);
    std::memset(pinned + bytes, 0, bytes);
    HIP_CHECK(hipMemsetAsync(a.get(), 0, bytes, stream));
    HIP_CHECK(hipMemcpyAsync(a.get(), pinned, bytes, hipMemcpyHostToDevice, stream));
    HIP_CHECK(hipMemcpyAsync(b.get(), a.get(), bytes, hipMemcpyDeviceToDevice, stream));
    HIP_CHECK(hipMemcpyAsync(pinned + bytes, b.get(), bytes, hipMemcpyDeviceToHost, stream));
    HIP_CHECK(hipStreamSynchronize(stream));
    check.that(std::memcmp(pinned, pinned + bytes, bytes) == 0, "pinned",
               static_cast<double>(bytes), static_cast<double>(bytes));
    HIP_CHECK(hipMemcpyAsync(a.get(), data.data(), bytes, hipMemcpyDefault, stream));
    HIP_CHECK(hipMemcpyAsync(back.data(), a.get(), bytes, hipMemcpyDefault, stream));
    HIP_CHECK(hipStreamSynchronize(stream));
    check.that(back == data, "by address", static_cast<double>(bytes), static_cast<double>(bytes));
    HIP_CHECK(hipHostFree(pinned));
  }
}

static void rectangles(Checker& check, hipStream_t stream) {
  constexpr std::size_t kWidth = 301, kHeight = 57, kHostPitch = 320;
  unsigned char* device = nullptr;
  std::size_t pitch = 0;
  HIP_CHECK(hipMallocPitch(reinterpret_cast<void**>(&device), &pitch, kWidth, kHeight));
  check.that(pitch >= kWidth, "pitch", static_cast<double>(pitch), kWidth);
  const auto data = pattern(kHostPitch * kHeight, 9);
  std::vector<unsigned char> back(kHostPitch * kHeight, 0x55);
  HIP_CHECK(
      hipMemcpy2D(device, pitch, data.data(), kHostPitch, kWidth, kHeight, hipMemcpyHostToDevice));
  HIP_CHECK(hipMemset2DAsync(device + 10 * pitch + 100, pitch, 0xA7, 50, 20, stream));
  HIP_CHECK(hipMemcpy2DAsync(back.data(), kHostPitch, device, pitch, kWidth, kHeight,
                             hipMemcpyDeviceToHost, stream));
  HIP_CHECK(hipStreamSynchronize(stream));
  for (std::size_t y = 0; y < kHeight; y++)
    for (std::size_t x = 0; x < kHostPitch; x++) {
      const bool set = y >= 10 && y < 30 && x >= 100 && x < 150;
      const int wanted = x >= kWidth ? 0x55 : set ? 0xA7 : data[y * kHostPitch + x];
      check.same("2D", static_cast<int>(back[y * kHostPitch + x]), wanted);
    }
  HIP_CHECK(hipFree(device));
}

static void fills(Checker& check) {
  constexpr int kCount = 4099;
  Buffer<unsigned> words(kCount);
  HIP_CHECK(hipMemset(words.get(), 0x3C, words.bytes()));
  HIP_CHECK(hipMemsetD32(words.get() + 100, static_cast<int>(0xDEADBEEF), 1000));
  // From an address that is a multiple of 16: HIP 5.2.3 fills without end where fewer bytes are
  // asked for than lie before the next one.
  HIP_CHECK(hipMemset(words.get() + 2000, 0xFF, 5));
  const auto seen = words.read();
  for (int i = 0; i < kCount; i++) {
    unsigned wanted = i >= 100 && i < 1100 ? 0xDEADBEEF : 0x3C3C3C3C;
    if (i == 2000) wanted = 0xFFFFFFFF;
    if (i == 2001) wanted = 0x3C3C3CFF;
    check.same("fill", seen[i], wanted);
  }
}

static void symbols(Checker& check) {
  constexpr int kCount = 3000;
  std::vector<int> numbers(1000), values(kCount);
  for (int i = 0; i < 1000; i++) numbers[i] = i * i - 400;
  for (int i = 0; i < kCount; i++) values[i] = i - 1500;
  HIP_CHECK(hipMemcpyToSymbol(HIP_SYMBOL(table), numbers.data(), sizeof(int) * 1000));
  const float twice = 2.0f;
  Buffer<int> data(values);
  add_from_table<<<(kCount + 255) / 256, 256>>>(data.get(), kCount);  // with the initial 2.5
  const auto first = data.read();
  HIP_CHECK(hipMemcpyToSymbol(HIP_SYMBOL(scale), &twice, sizeof twice));
  const int patch[2] = {-7, -8};
  HIP_CHECK(hipMemcpyToSymbol(HIP_SYMBOL(table), patch, sizeof patch, 10 * sizeof(int),
                              hipMemcpyHostToDevice));
  add_from_table<<<(kCount + 255) / 256, 256>>>(data.get(), kCount);
  const auto second = data.read();
  for (int i = 0; i < kCount; i++) {
    const int once = static_cast<int>(values[i] * 2.5f) + numbers[i % 1000];
    check.same("symbol", first[i], once);
    const int at = i % 1000 == 10 ? -7 : i % 1000 == 11 ? -8 : numbers[i % 1000];
    check.same("symbol again", second[i], once * 2 + at);
  }
  void* address = nullptr;
  std::size_t size = 0;
  HIP_CHECK(hipGetSymbolAddress(&address, HIP_SYMBOL(table)));
  HIP_CHECK(hipGetSymbolSize(&size, HIP_SYMBOL(table)));
  check.same("symbol size", size, sizeof(int) * 1000);
  int eleven = 0;
  HIP_CHECK(
      hipMemcpy(&eleven, static_cast<int*>(address) + 11, sizeof eleven, hipMemcpyDeviceToHost));
  check.same("symbol address", eleven, -8);
}

static void mapped(Checker& check, hipStream_t stream) {
  constexpr int kCount = 5000;
  int *host = nullptr, *device = nullptr;
  unsigned *counter = nullptr, *device_counter = nullptr;
  HIP_CHECK(
      hipHostMalloc(reinterpret_cast<void**>(&host), sizeof(int) * kCount, hipHostMallocMapped));
  HIP_CHECK(hipHostMalloc(reinterpret_cast<void**>(&counter), sizeof *counter,
                          hipHostMallocMapped | hipHostMallocCoherent));
  HIP_CHECK(hipHostGetDevicePointer(reinterpret_cast<void**>(&device), host, 0));
  HIP_CHECK(hipHostGetDevicePointer(reinterpret_cast<void**>(&device_counter), counter, 0));
  *counter = 0;
  write_mapped<<<(kCount + 127) / 128, 128, 0, stream>>>(device, device_counter, kCount);
  HIP_CHECK(hipGetLastError());
  HIP_CHECK(hipStreamSynchronize(stream));
  check.same("mapped counter", *counter, static_cast<unsigned>(kCount));
  for (int i = 0; i < kCount; i++) check.same("mapped", host[i], i * 7 - 3);
  HIP_CHECK(hipHostFree(host));
  HIP_CHECK(hipHostFree(counter));

  // An ordinary vector, registered for the time being.
  std::vector<int> own(kCount, -1);
  HIP_CHECK(hipHostRegister(own.data(), sizeof(int) * kCount, hipHostRegisterMapped));
  HIP_CHECK(hipHostGetDevicePointer(reinterpret_cast<void**>(&device), own.data(), 0));
  Buffer<unsigned> count(std::vector<unsigned>{0});
  write_mapped<<<(kCount + 127) / 128, 128, 0, stream>>>(device, count.get(), kCount);
  HIP_CHECK(hipStreamSynchronize(stream));
  for (int i = 0; i < kCount; i++) check.same("registered", own[i], i * 7 - 3);
  HIP_CHECK(hipHostUnregister(own.data()));
}

static void properties(Checker& check) {
  hipDeviceProp_t device;
  HIP_CHECK(hipGetDeviceProperties(&device, 0));
  std::printf("%s %s: %d CUs, %zu MiB, wave %d\n", device.name, device.gcnArchName,
              device.multiProcessorCount, device.totalGlobalMem >> 20, device.warpSize);
  check.that(device.warpSize == 32 || device.warpSize == 64, "wave size", device.warpSize, 64);
  check.same("threads per block", device.maxThreadsPerBlock, 1024);
  check.same("LDS", device.sharedMemPerBlock, std::size_t{65536});
  std::size_t free_bytes = 0, total = 0;
  HIP_CHECK(hipMemGetInfo(&free_bytes, &total));
  check.that(free_bytes <= total && free_bytes > total / 2, "free memory",
             static_cast<double>(free_bytes), static_cast<double>(total));
  void* memory = nullptr;
  check.same("too much", hipMalloc(&memory, device.totalGlobalMem * 4), hipErrorOutOfMemory);
  (void)hipGetLastError();
}

int main() {
  Checker check;
  hipStream_t stream;
  HIP_CHECK(hipStreamCreate(&stream));
  properties(check);
  linear(check, stream);
  rectangles(check, stream);
  fills(check);
  symbols(check);
  mapped(check, stream);
  HIP_CHECK(hipStreamDestroy(stream));
  return check.finish("copies");
}

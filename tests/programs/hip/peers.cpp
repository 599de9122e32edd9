// Two GPUs: halves of a field on each, rims exchanged by peer copies and by kernels that read the
// other GPU's memory; events of one GPU waited for on the other.
#include "check.hpp"

__global__ void fill(int* data, int count, int start) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] = start + i;
}
__global__ void add_other(int* own, const int* other, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) own[i] += 3 * other[count - 1 - i];
}

// Each cell becomes the sum of its neighbours; the rims lie at 0 and count + 1.
__global__ void step(const unsigned* in, unsigned* out, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x + 1;
  if (i <= count) out[i] = in[i - 1] + in[i + 1] + (in[i] >> 3);
}

static void exchange(Checker& check) {
  constexpr int kHalf = 3000, kSteps = 8;
  std::vector<unsigned> now(2 * kHalf + 2, 0);
  Lcg random(44);
  for (int i = 1; i <= 2 * kHalf; i++) now[i] = random.next();
  unsigned* field[2][2];
  hipStream_t stream[2];
  hipEvent_t done[2];
  for (int gpu = 0; gpu < 2; gpu++) {
    HIP_CHECK(hipSetDevice(gpu));
    HIP_CHECK(hipStreamCreate(&stream[gpu]));
    HIP_CHECK(hipEventCreateWithFlags(&done[gpu], hipEventDisableTiming));
    for (unsigned*& buffer : field[gpu]) {
      HIP_CHECK(hipMalloc(reinterpret_cast<void**>(&buffer), sizeof(unsigned) * (kHalf + 2)));
      HIP_CHECK(hipMemset(buffer, 0, sizeof(unsigned) * (kHalf + 2)));
    }
    HIP_CHECK(hipMemcpy(field[gpu][0], now.data() + gpu * kHalf, sizeof(unsigned) * (kHalf + 2),
                        hipMemcpyHostToDevice));
    HIP_CHECK(hipDeviceSynchronize());
  }
  for (int s = 0; s < kSteps; s++) {
    const int from = s % 2, to = 1 - from;
    for (int gpu = 0; gpu < 2; gpu++) {
      HIP_CHECK(hipSetDevice(gpu));
      step<<<(kHalf + 255) / 256, 256, 0, stream[gpu]>>>(field[gpu][from], field[gpu][to], kHalf);
      HIP_CHECK(hipGetLastError());
      HIP_CHECK(hipEventRecord(done[gpu], stream[gpu]));
    }
    HIP_CHECK(hipSetDevice(0));
    HIP_CHECK(hipStreamWaitEvent(stream[0], done[1], 0));
    HIP_CHECK(hipMemcpyPeerAsync(field[0][to] + kHalf + 1, 0, field[1][to] + 1, 1, sizeof(unsigned),
                                 stream[0]));
    HIP_CHECK(
        hipMemcpyPeerAsync(field[1][to], 1, field[0][to] + kHalf, 0, sizeof(unsigned), stream[0]));
    HIP_CHECK(hipEventRecord(done[0], stream[0]));
    HIP_CHECK(hipSetDevice(1));
    HIP_CHECK(hipStreamWaitEvent(stream[1], done[0], 0));
  }
  std::vector<unsigned> next(now.size(), 0);
  for (int s = 0; s < kSteps; s++) {
    for (int i = 1; i <= 2 * kHalf; i++) next[i] = now[i - 1] + now[i + 1] + (now[i] >> 3);
    now.swap(next);
  }
  for (int gpu = 0; gpu < 2; gpu++) {
    HIP_CHECK(hipSetDevice(gpu));
    HIP_CHECK(hipDeviceSynchronize());
    std::vector<unsigned> result(kHalf);
    HIP_CHECK(hipMemcpy(result.data(), field[gpu][kSteps % 2] + 1, sizeof(unsigned) * kHalf,
                        hipMemcpyDeviceToHost));
    for (int i = 0; i < kHalf; i++) check.same("exchange", result[i], now[gpu * kHalf + i + 1]);
    for (unsigned* buffer : field[gpu]) HIP_CHECK(hipFree(buffer));
    HIP_CHECK(hipEventDestroy(done[gpu]));
    HIP_CHECK(hipStreamDestroy(stream[gpu]));
  }
}

int main() {
  Checker check;
  int gpus = 0;
  HIP_CHECK(hipGetDeviceCount(&gpus));
  if (gpus < 2) {
    std::fprintf(stderr, "needs two GPUs, found %d\n", gpus);
    return 1;
  }
  for (int gpu = 0; gpu < 2; gpu++) {
    int can = 0;
    HIP_CHECK(hipDeviceCanAccessPeer(&can, gpu, 1 - gpu));
    check.same("can access peer", can, 1);
    HIP_CHECK(hipSetDevice(gpu));
    HIP_CHECK(hipDeviceEnablePeerAccess(1 - gpu, 0));
  }
  constexpr int kCount = 100'000;
  int* data[2];
  for (int gpu = 0; gpu < 2; gpu++) {
    HIP_CHECK(hipSetDevice(gpu));
    HIP_CHECK(hipMalloc(reinterpret_cast<void**>(&data[gpu]), sizeof(int) * kCount));
    fill<<<(kCount + 255) / 256, 256>>>(data[gpu], kCount, gpu * 1000);
    HIP_CHECK(hipDeviceSynchronize());
  }
  HIP_CHECK(hipSetDevice(0));
  add_other<<<(kCount + 255) / 256, 256>>>(data[0], data[1], kCount);
  HIP_CHECK(hipDeviceSynchronize());
  HIP_CHECK(hipMemcpyPeer(data[1], 1, data[0], 0, sizeof(int) * kCount));
  std::vector<int> seen(kCount);
  HIP_CHECK(hipSetDevice(1));
  HIP_CHECK(hipMemcpy(seen.data(), data[1], sizeof(int) * kCount, hipMemcpyDeviceToHost));
  for (int i = 0; i < kCount; i++) check.same("peer", seen[i], i + 3 * (1000 + kCount - 1 - i));
  for (int* buffer : data) HIP_CHECK(hipFree(buffer));
  exchange(check);
  return check.finish("peers");
}

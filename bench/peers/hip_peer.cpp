// Owns: what a HIP program pays for a launch, a copy, an event and an empty synchronisation.
// Does not own: timing (clock.h), the table (peers.py).
// Threading: one thread.
#include <hip/hip_runtime.h>

#include "clock.h"

#define HIP_CHECK(call)                                                   \
  do {                                                                    \
    const hipError_t error_ = (call);                                     \
    if (error_ != hipSuccess) {                                           \
      std::fprintf(stderr, "%s: %s\n", #call, hipGetErrorString(error_)); \
      std::exit(1);                                                       \
    }                                                                     \
  } while (0)

__global__ void vector_add(const float* a, const float* b, float* c, unsigned count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) c[i] = a[i] + b[i];
}

namespace {

struct Context {
  hipStream_t stream;
  hipEvent_t event;
  float *device, *host;
};

Context* of(void* context) {
  return static_cast<Context*>(context);
}
void settle(void* context) {
  HIP_CHECK(hipStreamSynchronize(of(context)->stream));
}
void launch(void* context) {
  const float *a = of(context)->device, *b = a + 256;
  float* c = of(context)->device + 512;
  unsigned count = 256;
  void* arguments[] = {&a, &b, &c, &count};
  HIP_CHECK(hipLaunchKernel(reinterpret_cast<const void*>(vector_add), dim3(1), dim3(256),
                            arguments, 0, of(context)->stream));
}
void copy(void* context) {
  HIP_CHECK(hipMemcpyAsync(of(context)->device, of(context)->host, 1024, hipMemcpyHostToDevice,
                           of(context)->stream));
}
void record(void* context) {
  HIP_CHECK(hipEventRecord(of(context)->event, of(context)->stream));
}

}  // namespace

int main() {
  Context context;
  HIP_CHECK(hipStreamCreate(&context.stream));
  HIP_CHECK(hipEventCreateWithFlags(&context.event, hipEventDisableTiming));
  HIP_CHECK(hipMalloc(reinterpret_cast<void**>(&context.device), 4096));
  HIP_CHECK(hipHostMalloc(reinterpret_cast<void**>(&context.host), 4096, hipHostMallocDefault));
  HIP_CHECK(hipMemset(context.device, 0, 4096));
  peer_time("hipLaunchKernel", "the call returns", launch, settle, &context);
  peer_time("hipMemcpyAsync 1 KiB", "the call returns", copy, settle, &context);
  peer_time("hipEventRecord", "the call returns", record, settle, &context);
  peer_time("hipStreamSynchronize, idle", "the call returns", settle, settle, &context);
  peer_time(
      "hipLaunchKernel + hipStreamSynchronize", "the GPU is done, emulated",
      [](void* c) {
        launch(c);
        settle(c);
      },
      settle, &context);
  return 0;
}

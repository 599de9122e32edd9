// What each version of code objects hands to a kernel, as the kernel finds it. Nothing here takes the
// implicit argument block for granted, whose layout differs.
#include "../../kernels/kiln_hip.h"

using Words = const __attribute__((address_space(4))) uint32_t*;

extern "C" __global__ void abi(uint64_t* out) {
  __shared__ uint32_t shared[64];
  volatile uint32_t local[8];
  for (uint32_t k = 0; k < 8; k++) local[(k + threadIdx.x) % 8] = k;
  shared[threadIdx.x] = 100 + local[(threadIdx.x + 3) % 8];
  __syncthreads();
  if (threadIdx.x != 0) return;
  // hsa_kernel_dispatch_packet_t: workgroup sizes from byte 4, grid sizes from byte 12.
  const Words packet = (Words)__builtin_amdgcn_dispatch_ptr();
  out[0] = packet[1] & 0xffff;
  out[1] = packet[3];
  out[2] = packet[4];
  // amd_queue_t: group_segment_aperture_base_hi at byte 64, private at byte 68.
  const Words queue = (Words)__builtin_amdgcn_queue_ptr();
  out[3] = queue[16];
  out[4] = queue[17];
  // Where generic pointers to LDS and to scratch lie, by whatever means the target has.
  out[5] = (uint64_t)(uint32_t*)shared >> 32;
  out[6] = (uint64_t)(uint32_t*)local >> 32;
  // Through generic pointers to both.
  uint32_t* const places[2] = {shared + 9, const_cast<uint32_t*>(local) + 3};
  uint32_t sum = 0;
  for (int i = 0; i < 2; i++) sum += *(volatile uint32_t*)places[(i + packet[3]) % 2] << 8 * i;
  out[7] = sum;
}

/// Arguments in SGPRs where the compiler is told to preload them.
extern "C" __global__ void preloaded(uint32_t* out, uint32_t a, uint32_t b, uint64_t c, uint32_t d) {
  if (threadIdx.x != 0) return;
  out[0] = a;
  out[1] = b;
  out[2] = (uint32_t)c;
  out[3] = (uint32_t)(c >> 32);
  out[4] = d;
}

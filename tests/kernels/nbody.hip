// Gravitational acceleration of every body by all others, positions staged through LDS.
#include "kiln_hip.h"

using Float4 = float __attribute__((ext_vector_type(4)));  // x, y, z, mass

extern "C" __global__ void __launch_bounds__(64)
    nbody(const Float4* bodies, Float4* accelerations, uint32_t count, float softening) {
  __shared__ Float4 tile[64];
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  const Float4 nowhere = {0, 0, 0, 0};
  const Float4 self = i < count ? bodies[i] : nowhere;
  float ax = 0, ay = 0, az = 0, potential = 0;
  for (uint32_t first = 0; first < count; first += blockDim.x) {
    const uint32_t mine = first + threadIdx.x;
    tile[threadIdx.x] = mine < count ? bodies[mine] : nowhere;
    __syncthreads();
    for (uint32_t j = 0; j < blockDim.x; j++) {
      const Float4 other = tile[j];
      const float dx = other.x - self.x, dy = other.y - self.y, dz = other.z - self.z;
      const float squared =
          __builtin_fmaf(dx, dx, __builtin_fmaf(dy, dy, __builtin_fmaf(dz, dz, softening)));
      const float inverse = __builtin_amdgcn_rsqf(squared);
      const float weight = other.w * inverse;
      const float scale = weight * inverse * inverse;
      ax = __builtin_fmaf(dx, scale, ax);
      ay = __builtin_fmaf(dy, scale, ay);
      az = __builtin_fmaf(dz, scale, az);
      potential -= weight;
    }
    __syncthreads();
  }
  if (i < count) accelerations[i] = Float4{ax, ay, az, potential};
}

// C = A * B on the matrix cores: f16 in, f32 out, row major, sizes in multiples of 16. A wave makes
// 16 x 16 tiles of C, one after the other. RDNA2 has no matrix cores: there a lane makes its elements of
// the tile by dot products of two (v_dot2_f32_f16).
//
// Which lane holds what: AMD CDNA3 ISA 7 (v_mfma_f32_16x16x16_f16; CDNA2's is the same) and RDNA3 ISA 7.9
// (WMMA).
#include "kiln_hip.h"

#if defined(__GFX10__)
using Pair = _Float16 __attribute__((ext_vector_type(2)));
constexpr int kSum = 256 / kWaveSize;
using Sum = float __attribute__((ext_vector_type(kSum)));
#elif defined(__GFX9__)
using Fragment = _Float16 __attribute__((ext_vector_type(4)));
using Sum = float __attribute__((ext_vector_type(4)));
constexpr int kFragment = 4, kSum = 4;
#elif defined(KILN_WAVE64)
using Fragment = _Float16 __attribute__((ext_vector_type(16)));
using Sum = float __attribute__((ext_vector_type(4)));
constexpr int kFragment = 16, kSum = 4;
#else
using Fragment = _Float16 __attribute__((ext_vector_type(16)));
using Sum = float __attribute__((ext_vector_type(8)));
constexpr int kFragment = 16, kSum = 8;
#endif

#if defined(__GFX10__)
/// Adds 16 products to each of a lane's elements: rows `part`, `part` + 2 (wave64: 4), ... of column
/// `within`.
__device__ __forceinline__ Sum multiply_add(const _Float16* a, const _Float16* b, uint32_t n,
                                            uint32_t k, uint32_t part, uint32_t within, Sum sum) {
#pragma unroll
  for (int j = 0; j < 16; j += 2) {
    const Pair right = {b[j * n + within], b[(j + 1) * n + within]};
#pragma unroll
    for (int i = 0; i < kSum; i++) {
      const _Float16* left = a + (i * (kWaveSize / 16) + part) * k + j;
      sum[i] = __builtin_amdgcn_fdot2(Pair{left[0], left[1]}, right, sum[i], false);
    }
  }
  return sum;
}
#else
__device__ __forceinline__ Sum multiply_add(Fragment a, Fragment b, Sum c) {
#if defined(__GFX9__)
  return __builtin_amdgcn_mfma_f32_16x16x16f16(a, b, c, 0, 0, 0);
#elif defined(KILN_WAVE64)
  return __builtin_amdgcn_wmma_f32_16x16x16_f16_w64(a, b, c);
#else
  return __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(a, b, c);
#endif
}
#endif

extern "C" __global__ void __launch_bounds__(256)
    matmul_matrix(const _Float16* a, const _Float16* b, float* c, uint32_t m, uint32_t n,
                  uint32_t k) {
  // One wave, one tile: the index must be uniform so that no lane is masked off in the products.
  const uint32_t thread = blockIdx.x * blockDim.x + threadIdx.x;
  const uint32_t wave = __builtin_amdgcn_readfirstlane(thread / kWaveSize);
  const uint32_t waves = gridDim.x * blockDim.x / kWaveSize;
  const uint32_t lane = lane_id(), within = lane % 16, part = lane / 16;
#if !defined(__GFX10__)
  // On CDNA the four groups of 16 lanes hold different k; on RDNA3 they all hold the same 16.
  const uint32_t first_k = kFragment == 4 ? part * 4 : 0;
#endif

  for (uint32_t tile = wave; tile < (m / 16) * (n / 16); tile += waves) {
    const uint32_t row0 = tile / (n / 16) * 16, column0 = tile % (n / 16) * 16;
    Sum sum = {};
    for (uint32_t k0 = 0; k0 < k; k0 += 16) {
#if defined(__GFX10__)
      sum = multiply_add(a + row0 * k + k0, b + k0 * n + column0, n, k, part, within, sum);
#else
      Fragment left, right;
#pragma unroll
      for (int i = 0; i < kFragment; i++) {
        left[i] = a[(row0 + within) * k + k0 + first_k + i];
        right[i] = b[(k0 + first_k + i) * n + column0 + within];
      }
      sum = multiply_add(left, right, sum);
#endif
    }
#pragma unroll
    for (int i = 0; i < kSum; i++) {
#if defined(__GFX9__)
      const uint32_t row = part * 4 + i;
#else
      const uint32_t row = i * (kWaveSize / 16) + part;
#endif
      c[(row0 + row) * n + column0 + within] = sum[i];
    }
  }
}

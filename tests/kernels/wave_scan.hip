// Inclusive prefix sums of each wave, once through LDS-style permutes and once through DPP; then of
// each block from the waves' totals. Also a butterfly through ds_swizzle and ranks through ballots.
#include "kiln_hip.h"

__device__ __forceinline__ int scan_by_permute(int value) {
  const int lane = lane_id(), within = lane % 32;
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = shuffle32(value, lane - distance);
    if (within >= distance) value += other;
  }
  if (kWaveSize == 64) {
    const int lower_half = read_lane(value, 31);
    if (lane >= 32) value += lower_half;
  }
  return value;
}

// DPP controls (CDNA3 ISA 13.3.9, RDNA3 ISA 15.7): 0x110 + n shifts a row of 16 right by n.
template <int kControl, int kRows>
__device__ __forceinline__ int add_dpp(int value) {
  return value + __builtin_amdgcn_update_dpp(0, value, kControl, kRows, 0xf, false);
}

__device__ __forceinline__ int scan_by_dpp(int value) {
  value = add_dpp<0x111, 0xf>(value);
  value = add_dpp<0x112, 0xf>(value);
  value = add_dpp<0x114, 0xf>(value);
  value = add_dpp<0x118, 0xf>(value);
#if defined(__GFX9__)
  value = add_dpp<0x142, 0xa>(value);  // lane 15 of a row to the next row, into rows 1 and 3
  value = add_dpp<0x143, 0xc>(value);  // lane 31 to rows 2 and 3
#else
  const int lane = lane_id();
  const int other = __builtin_amdgcn_permlanex16(value, value, -1, -1, false, false);
  if (lane % 32 >= 16) value += other;  // lane 15 of the other row
  if (kWaveSize == 64) {
    const int lower_half = read_lane(value, 31);
    if (lane >= 32) value += lower_half;
  }
#endif
  return value;
}

__device__ __forceinline__ int butterfly_sum32(int value) {
  // Bit-mask mode: and 0x1f, or 0, xor 1, 2, 4, 8, 16 (ds_swizzle offset 14:10 is the xor mask).
  value += __builtin_amdgcn_ds_swizzle(value, 0x041f);
  value += __builtin_amdgcn_ds_swizzle(value, 0x081f);
  value += __builtin_amdgcn_ds_swizzle(value, 0x101f);
  value += __builtin_amdgcn_ds_swizzle(value, 0x201f);
  value += __builtin_amdgcn_ds_swizzle(value, 0x401f);
  return value;
}

extern "C" __global__ void __launch_bounds__(256)
    wave_scan(const int32_t* in, int32_t* by_permute, int32_t* by_dpp, int32_t* of_block,
              int32_t* sum32, int32_t* odd_rank) {
  __shared__ int32_t totals[256 / kWaveSize];
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  const uint32_t wave = threadIdx.x / kWaveSize;
  const int value = in[i];

  const int scanned = scan_by_permute(value);
  by_permute[i] = scanned;
  by_dpp[i] = scan_by_dpp(value);
  sum32[i] = butterfly_sum32(value);
  odd_rank[i] = count_before(ballot((value & 1) != 0));

  if (lane_id() == kWaveSize - 1) totals[wave] = scanned;
  __syncthreads();
  int before = 0;
  for (uint32_t other = 0; other < wave; other++) before += totals[other];
  of_block[i] = before + scanned;
}

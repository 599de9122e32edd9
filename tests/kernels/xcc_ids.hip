// out[workgroup] = number of the accelerator complex die (XCC) it runs on; 0 where there is but one.
#include "kiln_hip.h"

extern "C" __global__ void xcc_ids(uint32_t* out) {
#ifdef __gfx942__
  // HW_REG_XCC_ID is register 20, XCC_ID its low four bits (CDNA3 ISA, hardware registers).
  constexpr int kXccId = 20 | 0 << 6 | (4 - 1) << 11;
  const uint32_t id = static_cast<uint32_t>(__builtin_amdgcn_s_getreg(kXccId));
#else
  const uint32_t id = 0;
#endif
  if (threadIdx.x == 0) out[blockIdx.x] = id;
}

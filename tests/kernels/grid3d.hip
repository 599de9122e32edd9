// Every thread says where it believes to be, in three dimensions with partial blocks at the far
// edges, from the three sources that kernels have: registers, hidden arguments, dispatch packet.
#include "kiln_hip.h"

struct Where {
  uint32_t linear_block, linear_thread;
  uint32_t block_size[3];  // of this very block: smaller at the edges
  uint32_t blocks[3];
  uint32_t packet_threads[3];      // grid_size of the AQL dispatch packet
  uint32_t packet_block_size[3];   // workgroup_size of the same
  uint32_t dimensions;
};

/// The part of hsa_kernel_dispatch_packet_t that kernels may read (HSA System Architecture 2.9.6).
struct DispatchPacket {
  uint16_t header, setup;
  uint16_t workgroup_size[3];
  uint16_t reserved;
  uint32_t grid_size[3];
};
using PacketPointer = const __attribute__((address_space(4))) DispatchPacket*;

extern "C" __global__ void grid3d(Where* out, uint32_t width, uint32_t height) {
  const KilnImplicitPointer hidden = kiln_implicit_arguments();
  const PacketPointer packet = (PacketPointer)__builtin_amdgcn_dispatch_ptr();
  const uint32_t x = blockIdx.x * blockDim.x + threadIdx.x;
  const uint32_t y = blockIdx.y * blockDim.y + threadIdx.y;
  const uint32_t z = blockIdx.z * blockDim.z + threadIdx.z;
  const uint32_t block[3] = {blockIdx.x, blockIdx.y, blockIdx.z};
  Where where;
  for (int d = 0; d < 3; d++) {
    where.block_size[d] =
        block[d] < hidden->block_count[d] ? hidden->group_size[d] : hidden->remainder[d];
    where.packet_threads[d] = packet->grid_size[d];
    where.packet_block_size[d] = packet->workgroup_size[d];
  }
  where.blocks[0] = gridDim.x;
  where.blocks[1] = gridDim.y;
  where.blocks[2] = gridDim.z;
  where.linear_block = (block[2] * gridDim.y + block[1]) * gridDim.x + block[0];
  where.linear_thread =
      (threadIdx.z * where.block_size[1] + threadIdx.y) * where.block_size[0] + threadIdx.x;
  where.dimensions = hidden->grid_dims;
  out[(z * height + y) * width + x] = where;
}

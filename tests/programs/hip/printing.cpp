// printf, assertions that hold, and counters from kernels: what a person debugging one would write.
#include <cassert>
#include <cstring>

#include "check.hpp"

__global__ void hello(const char* who, int lines) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int block = blockIdx.x;
  if (i < lines)
    printf("line %d of %d from block %d: %s %.3f %llx%%\n", i, lines, block, who, i * 0.125,
           0xFEEDFACE00000000ull + i);
}

__global__ void careful(const int* data, int count, int* sum) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  assert(data[i] >= 0);
  if (data[i] == 41) printf("found 41 at %d\n", i);
  atomicAdd(sum, data[i]);
}

int main() {
  Checker check;
  char* name = nullptr;
  HIP_CHECK(hipHostMalloc(reinterpret_cast<void**>(&name), 32, hipHostMallocDefault));
  std::strcpy(name, "a device");
  hello<<<3, 4>>>(name, 10);
  HIP_CHECK(hipGetLastError());
  HIP_CHECK(hipDeviceSynchronize());

  std::vector<int> values(300);
  int wanted = 0;
  for (int i = 0; i < 300; i++) wanted += values[i] = i == 123 ? 41 : i % 40;
  Buffer<int> data(values), sum(std::vector<int>{0});
  careful<<<5, 64>>>(data.get(), 300, sum.get());
  HIP_CHECK(hipGetLastError());
  check.same("sum", sum.read()[0], wanted);
  HIP_CHECK(hipHostFree(name));
  return check.finish("printing");
}

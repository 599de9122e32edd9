// A module with .data, .bss and a table of addresses that only the loader can fill in.
#define __device__ __attribute__((device))

extern "C" {
__device__ int initialised[3] = {7, 8, 9};
__device__ int zeroed[100];
__device__ int* pointers[2] = {&initialised[1], &zeroed[50]};

__attribute__((global)) void data(int** out) {
  out[0] = pointers[0];
  out[1] = pointers[1];
  zeroed[1] = initialised[2];
}
}

/* Owns: what abi_test.c tells abi_test.cpp.
 * Does not own: the checks.
 * Threading: none. */
#ifndef KILN_TESTS_API_ABI_TEST_H_
#define KILN_TESTS_API_ABI_TEST_H_
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
uint32_t abi_version_from_c(void);
int abi_instance_from_c(void);
/* Sizes of the public structures as a C compiler lays them out; ends with a null name. */
struct abi_size {
  const char* name;
  size_t bytes;
};
extern const struct abi_size abi_sizes_from_c[];
#ifdef __cplusplus
}
#endif
#endif

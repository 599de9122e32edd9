// A kernel whose metadata has all that a code object can say: names and types of arguments, LDS
// given at launch, a required group size, and every hidden argument.
struct Pair {
  long first;
  int second;
};

__constant int table[4] = {11, 22, 33, 44};

__kernel __attribute__((reqd_work_group_size(8, 4, 2))) void probe(
    __global int* out, char small, struct Pair pair, __local int* scratch, short last) {
  const size_t lane = __builtin_amdgcn_workitem_id_x();
  scratch[lane] = small;
  // An index that the compiler cannot know: it must keep the whole implicit block.
  __constant int* implicit = (__constant int*)__builtin_amdgcn_implicitarg_ptr();
  out[lane] = scratch[lane ^ 1] + (int)pair.first + table[pair.second & 3] + implicit[last];
}

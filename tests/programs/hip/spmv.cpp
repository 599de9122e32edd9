// Sparse matrix times vector in CSR (a thread per row, and a wave per row), and conjugate gradients
// on a 2D Laplacian with them.
#include "check.hpp"

struct Csr {
  std::vector<int> starts, columns;
  std::vector<double> values;
  int rows() const { return static_cast<int>(starts.size()) - 1; }
};

__global__ void multiply_by_thread(int rows, const int* starts, const int* columns,
                                   const double* values, const double* x, double* y) {
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  double sum = 0;
  for (int k = starts[row]; k < starts[row + 1]; k++) sum = fma(values[k], x[columns[k]], sum);
  y[row] = sum;
}

__global__ void multiply_by_wave(int rows, const int* starts, const int* columns,
                                 const double* values, const double* x, double* y) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / warpSize;
  const int lane = threadIdx.x % warpSize;
  if (row >= rows) return;
  double sum = 0;
  for (int k = starts[row] + lane; k < starts[row + 1]; k += warpSize)
    sum += values[k] * x[columns[k]];
  for (int offset = warpSize / 2; offset > 0; offset /= 2) sum += __shfl_xor(sum, offset);
  if (lane == 0) y[row] = sum;
}

__global__ void dot(int count, const double* a, const double* b, double* result) {
  __shared__ double tile[256];
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += 256) sum += a[i] * b[i];
  tile[threadIdx.x] = sum;
  for (int step = 128; step > 0; step /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < step) tile[threadIdx.x] += tile[threadIdx.x + step];
  }
  if (threadIdx.x == 0) *result = tile[0];
}

// x += (rr / pAp) p, r -= (rr / pAp) Ap
__global__ void advance(int count, const double* rr, const double* pap, const double* p,
                        const double* ap, double* x, double* r) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const double alpha = *rr / *pap;
  x[i] += alpha * p[i];
  r[i] -= alpha * ap[i];
}

__global__ void turn(int count, const double* now, const double* before, const double* r,
                     double* p) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) p[i] = fma(*now / *before, p[i], r[i]);
}

static Csr laplacian(int side) {
  Csr matrix;
  matrix.starts.push_back(0);
  auto put = [&](int row, double value) {
    matrix.columns.push_back(row);
    matrix.values.push_back(value);
  };
  for (int y = 0; y < side; y++)
    for (int x = 0; x < side; x++) {
      const int row = y * side + x;
      if (y > 0) put(row - side, -1);
      if (x > 0) put(row - 1, -1);
      put(row, 4);
      if (x < side - 1) put(row + 1, -1);
      if (y < side - 1) put(row + side, -1);
      matrix.starts.push_back(static_cast<int>(matrix.columns.size()));
    }
  return matrix;
}

static Csr scattered(int rows) {
  Csr matrix;
  matrix.starts.push_back(0);
  Lcg random(5);
  for (int row = 0; row < rows; row++) {
    const unsigned count = row % 17 == 0 ? 0 : random.next() % (row % 50 == 1 ? 300 : 12);
    for (unsigned k = 0; k < count; k++) {
      matrix.columns.push_back(static_cast<int>(random.next() % static_cast<unsigned>(rows)));
      matrix.values.push_back(random.unit() * 2 - 1);
    }
    matrix.starts.push_back(static_cast<int>(matrix.columns.size()));
  }
  return matrix;
}

static void product(Checker& check, const Csr& matrix) {
  const int rows = matrix.rows();
  std::vector<double> x(rows);
  Lcg random(6);
  for (double& value : x) value = random.unit();
  Buffer<int> starts(matrix.starts), columns(matrix.columns);
  Buffer<double> values(matrix.values), in(x), out(rows);
  int wave = 0;
  HIP_CHECK(hipDeviceGetAttribute(&wave, hipDeviceAttributeWarpSize, 0));
  for (const bool by_wave : {false, true}) {
    HIP_CHECK(hipMemset(out.get(), 0xFF, out.bytes()));
    if (by_wave)
      multiply_by_wave<<<(rows * wave + 255) / 256, 256>>>(rows, starts.get(), columns.get(),
                                                           values.get(), in.get(), out.get());
    else
      multiply_by_thread<<<(rows + 127) / 128, 128>>>(rows, starts.get(), columns.get(),
                                                      values.get(), in.get(), out.get());
    HIP_CHECK(hipGetLastError());
    const auto result = out.read();
    for (int row = 0; row < rows; row++) {
      double sum = 0;
      for (int k = matrix.starts[row]; k < matrix.starts[row + 1]; k++)
        sum += matrix.values[k] * x[matrix.columns[k]];
      check.near("product", result[row], sum, 1e-12, 1e-12);
    }
  }
}

static void solve(Checker& check) {
  constexpr int kSide = 24, kRows = kSide * kSide, kSteps = 120;
  const Csr matrix = laplacian(kSide);
  std::vector<double> answer(kRows), b(kRows);
  Lcg random(8);
  for (double& value : answer) value = random.unit() - 0.5;
  for (int row = 0; row < kRows; row++)
    for (int k = matrix.starts[row]; k < matrix.starts[row + 1]; k++)
      b[row] += matrix.values[k] * answer[matrix.columns[k]];
  Buffer<int> starts(matrix.starts), columns(matrix.columns);
  Buffer<double> values(matrix.values), x(kRows), r(b), p(b), ap(kRows), scalars(3);
  double* rr[2] = {scalars.get(), scalars.get() + 1};
  double* pap = scalars.get() + 2;
  HIP_CHECK(hipMemset(x.get(), 0, x.bytes()));
  const int blocks = (kRows + 255) / 256;
  dot<<<1, 256>>>(kRows, r.get(), r.get(), rr[0]);
  for (int step = 0; step < kSteps; step++) {
    multiply_by_thread<<<blocks, 256>>>(kRows, starts.get(), columns.get(), values.get(), p.get(),
                                        ap.get());
    dot<<<1, 256>>>(kRows, p.get(), ap.get(), pap);
    advance<<<blocks, 256>>>(kRows, rr[step % 2], pap, p.get(), ap.get(), x.get(), r.get());
    dot<<<1, 256>>>(kRows, r.get(), r.get(), rr[1 - step % 2]);
    turn<<<blocks, 256>>>(kRows, rr[1 - step % 2], rr[step % 2], r.get(), p.get());
  }
  HIP_CHECK(hipGetLastError());
  const auto result = x.read();
  for (int i = 0; i < kRows; i++) check.near("solution", result[i], answer[i], 1e-6, 1e-6);
}

int main() {
  Checker check;
  product(check, laplacian(40));
  product(check, scattered(1500));
  solve(check);
  return check.finish("spmv");
}

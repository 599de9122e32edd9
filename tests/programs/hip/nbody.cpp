// Gravity between some hundred bodies: fast reciprocal roots against exact ones, constants in
// device symbols, tiles in LDS, energy and momentum as a second opinion.
#include "check.hpp"

struct Constants {
  float gravity, softening, step;
  int bodies;
};
__constant__ Constants constants;
__device__ float4 centre;  // written by a kernel, read by the host
__device__ unsigned int tiles_seen;

constexpr int kTile = 64;

template <bool kFast>
__global__ void move(const float4* at, const float4* speed, float4* next_at, float4* next_speed) {
  __shared__ float4 tile[kTile];
  const int i = blockIdx.x * kTile + threadIdx.x;
  const float4 own = at[i];
  float ax = 0, ay = 0, az = 0;
  for (int base = 0; base < constants.bodies; base += kTile) {
    tile[threadIdx.x] = at[base + threadIdx.x];
    __syncthreads();
#pragma unroll 8
    for (int j = 0; j < kTile; j++) {
      const float dx = tile[j].x - own.x, dy = tile[j].y - own.y, dz = tile[j].z - own.z;
      const float square = dx * dx + dy * dy + dz * dz + constants.softening;
      const float root = kFast ? __frsqrt_rn(square) : 1.0f / sqrtf(square);
      const float pull = constants.gravity * tile[j].w * root * root * root;
      ax += dx * pull;
      ay += dy * pull;
      az += dz * pull;
    }
    __syncthreads();
    if (threadIdx.x == 0) atomicInc(&tiles_seen, 0xFFFFFFFFu);
  }
  float4 v = speed[i];
  v.x += ax * constants.step;
  v.y += ay * constants.step;
  v.z += az * constants.step;
  next_speed[i] = v;
  next_at[i] = make_float4(own.x + v.x * constants.step, own.y + v.y * constants.step,
                           own.z + v.z * constants.step, own.w);
}

__global__ void find_centre(const float4* at) {
  __shared__ float4 sums[256];
  float4 sum = make_float4(0, 0, 0, 0);
  for (int i = threadIdx.x; i < constants.bodies; i += 256) {
    sum.x += at[i].x * at[i].w;
    sum.y += at[i].y * at[i].w;
    sum.z += at[i].z * at[i].w;
    sum.w += at[i].w;
  }
  sums[threadIdx.x] = sum;
  for (int step = 128; step > 0; step /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < step) sums[threadIdx.x] += sums[threadIdx.x + step];
  }
  if (threadIdx.x == 0)
    centre =
        make_float4(sums[0].x / sums[0].w, sums[0].y / sums[0].w, sums[0].z / sums[0].w, sums[0].w);
}

int main() {
  constexpr int kBodies = 512, kSteps = 5;
  Checker check;
  const Constants values = {0.5f, 0.01f, 0.01f, kBodies};
  HIP_CHECK(hipMemcpyToSymbol(HIP_SYMBOL(constants), &values, sizeof values));
  std::vector<float4> at(kBodies), speed(kBodies, make_float4(0, 0, 0, 0));
  Lcg random(21);
  for (float4& body : at)
    body = make_float4(random.unit() * 2 - 1, random.unit() * 2 - 1, random.unit() * 2 - 1,
                       random.unit() + 0.1f);

  struct Body {
    double x[3], v[3], mass;
  };
  std::vector<Body> bodies(kBodies);
  for (int i = 0; i < kBodies; i++) bodies[i] = {{at[i].x, at[i].y, at[i].z}, {0, 0, 0}, at[i].w};
  for (int step = 0; step < kSteps; step++) {
    std::vector<Body> next = bodies;
    for (int i = 0; i < kBodies; i++) {
      double a[3] = {};
      for (const Body& other : bodies) {
        double d[3], square = values.softening;
        for (int k = 0; k < 3; k++) square += (d[k] = other.x[k] - bodies[i].x[k]) * d[k];
        const double pull = values.gravity * other.mass / (square * std::sqrt(square));
        for (int k = 0; k < 3; k++) a[k] += d[k] * pull;
      }
      for (int k = 0; k < 3; k++) {
        next[i].v[k] += a[k] * values.step;
        next[i].x[k] += next[i].v[k] * values.step;
      }
    }
    bodies = next;
  }

  for (const bool fast : {false, true}) {
    const unsigned zero = 0;
    HIP_CHECK(hipMemcpyToSymbol(HIP_SYMBOL(tiles_seen), &zero, sizeof zero));
    Buffer<float4> at_a(at), at_b(kBodies), speed_a(speed), speed_b(kBodies);
    float4 *from = at_a.get(), *to = at_b.get(), *from_speed = speed_a.get(),
           *to_speed = speed_b.get();
    for (int step = 0; step < kSteps; step++) {
      if (fast)
        move<true><<<kBodies / kTile, kTile>>>(from, from_speed, to, to_speed);
      else
        move<false><<<kBodies / kTile, kTile>>>(from, from_speed, to, to_speed);
      HIP_CHECK(hipGetLastError());
      std::swap(from, to);
      std::swap(from_speed, to_speed);
    }
    find_centre<<<1, 256>>>(from);
    std::vector<float4> result(kBodies), moving(kBodies);
    HIP_CHECK(hipMemcpy(result.data(), from, sizeof(float4) * kBodies, hipMemcpyDeviceToHost));
    HIP_CHECK(
        hipMemcpy(moving.data(), from_speed, sizeof(float4) * kBodies, hipMemcpyDeviceToHost));
    double momentum = 0, middle = 0, mass = 0;
    for (int i = 0; i < kBodies; i++) {
      check.near("x", result[i].x, bodies[i].x[0], 1e-4, 1e-4);
      check.near("y", result[i].y, bodies[i].x[1], 1e-4, 1e-4);
      check.near("z", result[i].z, bodies[i].x[2], 1e-4, 1e-4);
      check.near("vx", moving[i].x, bodies[i].v[0], 1e-3, 1e-3);
      momentum += static_cast<double>(moving[i].x) * result[i].w;
      middle += static_cast<double>(result[i].x) * result[i].w;
      mass += result[i].w;
    }
    check.near("momentum", momentum, 0, 0, 0.05);
    float4 found;
    unsigned tiles = 0;
    HIP_CHECK(hipMemcpyFromSymbol(&found, HIP_SYMBOL(centre), sizeof found));
    HIP_CHECK(hipMemcpyFromSymbol(&tiles, HIP_SYMBOL(tiles_seen), sizeof tiles));
    check.near("centre", found.x, middle / mass, 1e-4, 1e-5);
    check.near("mass", found.w, mass, 1e-5);
    check.same("tiles", tiles,
               static_cast<unsigned>(kSteps * (kBodies / kTile) * (kBodies / kTile)));
  }
  return check.finish("nbody");
}

#pragma once

#include <cstdint>

// Gated DeltaNet (Yang et al., "Gated Delta Networks", 2024), token by token, the state in registers. A
// column of a head's state (one value element, 128 key elements) never meets another one, so a block takes 32
// columns of a head and eight lanes share a column: element 4 * (lane % 8) + 32 * j + i is at s[4 * j + i].
// Arithmetic is spelled in intrinsics, so that a replay repeats the first run's bits.

namespace inlay::cuda {

inline constexpr uint32_t kState = 128;   // elements of a key and of a value
inline constexpr uint32_t kColumns = 32;  // of a block
inline constexpr uint32_t kTaps = 4;

struct Key {
  float4 part[4];
};

__device__ inline Key load_key(const float* key, uint32_t part) {
  Key k;
#pragma unroll
  for (int j = 0; j < 4; ++j) k.part[j] = *reinterpret_cast<const float4*>(key + 4 * part + 32 * j);
  return k;
}

__device__ inline float column_dot(const float (&s)[16], const Key& k) {
  float sum[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    sum[j] = __fmul_rn(s[4 * j], k.part[j].x);
    sum[j] = __fmaf_rn(s[4 * j + 1], k.part[j].y, sum[j]);
    sum[j] = __fmaf_rn(s[4 * j + 2], k.part[j].z, sum[j]);
    sum[j] = __fmaf_rn(s[4 * j + 3], k.part[j].w, sum[j]);
  }
  float all = __fadd_rn(__fadd_rn(sum[0], sum[1]), __fadd_rn(sum[2], sum[3]));
#pragma unroll
  for (int step = 4; step > 0; step /= 2) all = __fadd_rn(all, __shfl_xor_sync(~0u, all, step));
  return all;
}

/// One token: the column decays, then learns the part of v that it did not predict.
__device__ inline void advance(float (&s)[16], const Key& k, float v, float decay, float beta) {
#pragma unroll
  for (float& element : s) element = __fmul_rn(element, decay);
  const float d = __fmul_rn(beta, __fsub_rn(v, column_dot(s, k)));
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    s[4 * j] = __fmaf_rn(k.part[j].x, d, s[4 * j]);
    s[4 * j + 1] = __fmaf_rn(k.part[j].y, d, s[4 * j + 1]);
    s[4 * j + 2] = __fmaf_rn(k.part[j].z, d, s[4 * j + 2]);
    s[4 * j + 3] = __fmaf_rn(k.part[j].w, d, s[4 * j + 3]);
  }
}

__device__ inline float silu(float x) { return __fdiv_rn(x, __fadd_rn(1.0f, expf(-x))); }

__device__ inline float warp_sum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = __fadd_rn(x, __shfl_xor_sync(~0u, x, step));
  return x;
}

/// Normalises a head's 128 elements, four a lane, and multiplies them by `scale`.
__device__ inline void normalise(float (&x)[4], float epsilon, float scale) {
  float sum = 0.0f;
#pragma unroll
  for (float element : x) sum = __fmaf_rn(element, element, sum);
  const float factor = __fmul_rn(scale, __frsqrt_rn(__fadd_rn(warp_sum(sum), epsilon)));
#pragma unroll
  for (float& element : x) element = __fmul_rn(element, factor);
}

/// The logarithm of a token's decay, and beta, from what the projections say.
__device__ inline float2 log_decay_and_beta(float alpha, float beta, float dt_bias, float a) {
  const float x = __fadd_rn(alpha, dt_bias);
  const float softplus = x > 20.0f ? x : log1pf(expf(x));
  return make_float2(__fmul_rn(softplus, a), __fdiv_rn(1.0f, __fadd_rn(1.0f, expf(-beta))));
}

__device__ inline float2 decay_and_beta(float alpha, float beta, float dt_bias, float a) {
  const float2 gate = log_decay_and_beta(alpha, beta, dt_bias, a);
  return make_float2(expf(gate.x), gate.y);
}

}  // namespace inlay::cuda

#pragma once

#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/delta_net.cuh"
#include "kernels/cuda/delta_net.h"
#include "kernels/cuda/tensor_core.cuh"

// Gated DeltaNet over many tokens, in chunks (Yang et al., "Parallelizing Linear Transformers with the Delta
// Rule over Sequence Length", 2024, and "Gated Delta Networks"). For a chunk that begins with the state S,
// with g(t) the logarithm of the decay from there to token t, the tokens' corrections D solve
//   (I + A) D = R,  A[t][s] = beta[t] exp(g(t) - g(s)) k[t].k[s] for s < t,
//                   R[t] = beta[t] (v[t] - exp(g(t)) S k[t]),
// and with T = (I + A)^-1 and P[t][s] = exp(g(t) - g(s)) q[t].k[s] for s <= t
//   D = T R,  o[t] = exp(g(t)) S q[t] + (P D)[t],  S' = exp(g(end)) S + sum of exp(g(end) - g(s)) k[s] D[s].
// T and P know nothing of the state: one kernel makes them for all chunks at once, the other goes from chunk
// to chunk with the state in registers.
//
// Operands are F16, sums and the state are float. Keys and queries have length 1 and are rounded once, as
// they are stored; the entries of T and P are at most 1. What meets T or P, and these themselves, are two
// halves each, of about 22 bits, since o is the difference of two larger sums where the keys are alike. The
// state and the values are multiplied by a power of two for which no F16 can overflow.

namespace inlay::cuda {

inline constexpr uint32_t kChunk = DeltaNetWide::kChunk;
inline constexpr uint32_t kEdge = 16;  // of a tile of T and P
inline constexpr uint32_t kEdges = kChunk / kEdge;
inline constexpr uint32_t kTiles = kEdges * (kEdges + 1) / 2;  // on and below the diagonal
inline constexpr uint32_t kVectors = kState / 8;               // 16-byte vectors of a row of keys

__device__ constexpr uint32_t tile_index(uint32_t row, uint32_t column) {
  return row * (row + 1) / 2 + column;
}

/// Where a vector of a row of a chunk's keys lies, in shared memory as in DeltaNetWide: any eight rows' are
/// in different banks.
__device__ inline uint32_t vector_at(uint32_t row, uint32_t vector) {
  return row * kVectors + (vector ^ (row % 8));
}

__device__ inline uint32_t pack(float x, float y) {
  const __half2 halves = __floats2half2_rn(x, y);
  return *reinterpret_cast<const uint32_t*>(&halves);
}

/// Operands of a tensor core: what F16 keeps of floats, and what it keeps of the rest.
struct Split {
  uint32_t high[4], low[4];

  __device__ void set(uint32_t i, float x, float y) {
    high[i] = pack(x, y);
    const float2 kept = __half22float2(*reinterpret_cast<const __half2*>(&high[i]));
    low[i] = pack(x - kept.x, y - kept.y);
  }
  /// From two tiles of 16 x 8 sums; as an operand the tile of 16 x 16 stands on the left.
  __device__ void set_left(const float (&x)[4], const float (&y)[4]) {
    set(0, x[0], x[1]), set(1, x[2], x[3]), set(2, y[0], y[1]), set(3, y[2], y[3]);
  }
  /// The same transposed, as an operand on the right.
  __device__ void set_right(const float (&x)[4], const float (&y)[4]) {
    set(0, x[0], x[1]), set(1, y[0], y[1]), set(2, x[2], x[3]), set(3, y[2], y[3]);
  }
  __device__ void read(const uint4& x, const uint4& y) {
    high[0] = x.x, high[1] = x.y, high[2] = x.z, high[3] = x.w;
    low[0] = y.x, low[1] = y.y, low[2] = y.z, low[3] = y.w;
  }
  __device__ void write(uint4* to_high, uint4* to_low) const {
    *to_high = make_uint4(high[0], high[1], high[2], high[3]);
    *to_low = make_uint4(low[0], low[1], low[2], low[3]);
  }
};

/// x, y += a * b: two tiles of 16 x 8 that are neighbours; without the product of the lower halves.
__device__ inline void multiply_add(float (&x)[4], float (&y)[4], const Split& a, const uint4& high,
                                    const uint4& low) {
  multiply_add_16x8x16(x, a.high, high.x, high.y);
  multiply_add_16x8x16(y, a.high, high.z, high.w);
  multiply_add_16x8x16(x, a.low, high.x, high.y);
  multiply_add_16x8x16(y, a.low, high.z, high.w);
  multiply_add_16x8x16(x, a.high, low.x, low.y);
  multiply_add_16x8x16(y, a.high, low.z, low.w);
}

__device__ inline uint32_t transpose(uint32_t x) {
  uint32_t y;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
  return y;
}

/// Queues kBytes for shared memory; 128 threads.
template <uint32_t kBytes>
__device__ inline void fetch_bytes(void* to, const void* from, uint32_t thread) {
  auto* to_bytes = static_cast<std::byte*>(to) + thread * 16;
  const auto* from_bytes = static_cast<const std::byte*>(from) + thread * 16;
#pragma unroll
  for (uint32_t i = 0; i < kBytes; i += 128 * 16) {
    if (kBytes - i >= 128 * 16 || thread * 16 < kBytes - i) fetch_async(to_bytes + i, from_bytes + i, true);
  }
}

/// A chunk's queries and, behind them, keys.
__device__ inline const __half* keys_of(const DeltaNetWide& wide, uint32_t key_head, uint32_t chunks,
                                        uint32_t chunk) {
  return wide.keys + (uint64_t{key_head} * chunks + chunk) * 2 * kChunk * kState;
}

}  // namespace inlay::cuda

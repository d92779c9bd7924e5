#pragma once

#include <immintrin.h>

#include "kernels/cpu/matmul_internal.h"

// What the narrow AVX-512 products share: the activations' form and how weights are fetched ahead.

namespace inlay::cpu {
namespace {

/// A chunk of a row of X: x = scale * code. Chunk c of row r lies at place c * kMaxNarrowRows + r, so that
/// the rows' chunks are at fixed distances.
struct NarrowChunk {
  alignas(64) int16_t codes[kChunkColumns];  // of each 64 columns the even ones, then the odd ones
  float sums16[16];                          // of x, as the codes have it, over each 16 columns
  float sums32[16];                          // over each 32 columns, all eight twice
  float scale;
};

static_assert(sizeof(NarrowChunk) <= kActivationChunkBytes);

/// Types that narrow_integer_avx512 is for.
constexpr bool has_integer_scales(TensorType type) {
  return type == TensorType::Q2_K || type == TensorType::Q3_K || type == TensorType::Q4_K ||
         type == TensorType::Q5_K || type == TensorType::Q6_K || type == TensorType::IQ4_XS;
}

/// Asks for the cache lines of kBytes bytes from `from` on.
template <size_t kBytes>
INLAY_INLINE void prefetch_bytes(const std::byte* from) {
  INLAY_UNROLL
  for (size_t i = 0; i < (kBytes + 63) / 64; ++i) {
    _mm_prefetch(reinterpret_cast<const char*>(from + 64 * i), _MM_HINT_T0);
  }
}

/// What the loop, which asks for bytes `distance` ahead, leaves out.
inline void prefetch_first(const std::byte* from, size_t bytes, size_t distance) {
  const size_t count = bytes < distance ? bytes : distance;
  for (size_t i = 0; i < count; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(from + i), _MM_HINT_T0);
  }
}

}  // namespace
}  // namespace inlay::cpu

#pragma once

#include "kernels/cpu/matmul_avx512_wide.h"

// Quantised weights in bfloat16, two columns an element: weights and activations are each rounded once, which
// costs less accuracy than the usual 8-bit activations, and needs no scales in the loop.

namespace inlay::cpu {
namespace {

struct Bfloat16Arithmetic {
  using Activation = uint32_t;  // a pair of columns
  static constexpr uint32_t kColumnsPerElement = 2;

  static __m512 broadcast(const uint32_t* x) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int32_t>(*x)));
  }
  static __m512 multiply_add(__m512 x, const std::byte* weights, __m512 sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)_mm512_load_ps(weights));
  }
  static constexpr size_t kStepBytes = 64 * 2;
  static void store(const __m512 (&weights)[4], std::byte* out) {
    INLAY_UNROLL
    for (int i = 0; i < 2; ++i) {
      const __m512bh pairs = _mm512_cvtne2ps_pbh(weights[2 * i + 1], weights[2 * i]);
      _mm512_store_si512(out + 64 * i, (__m512i)pairs);
    }
  }
};

/// A row's bytes; the odd cache line keeps the rows of a tile apart in the L1 cache.
inline size_t bfloat16_row_stride(uint32_t columns) { return chunk_count(columns) * kChunkColumns * 2 + 64; }

}  // namespace
}  // namespace inlay::cpu

#include "kernels/cpu/matmul_avx512_wide.h"

// The wide products of quantised weights in bfloat16, two columns a step: weights and activations are each
// rounded once, which costs less accuracy than the usual 8-bit activations, and needs no scales in the loop.

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
  static constexpr int kElementsPerStep = 2;
  static void elements(const __m512 (&weights)[4], __m512i (&out)[kElementsPerStep]) {
    INLAY_UNROLL
    for (int i = 0; i < 2; ++i) out[i] = (__m512i)_mm512_cvtne2ps_pbh(weights[2 * i + 1], weights[2 * i]);
  }
};

/// A row's bytes; the odd cache line keeps the rows of a tile apart in the L1 cache.
size_t row_stride(uint32_t columns) { return chunk_count(columns) * kChunkColumns * 2 + 64; }

void prepare_wide(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end, uint32_t columns,
                  void* prepared) {
  for (uint32_t row = row_begin; row < row_end; ++row) {
    std::byte* to = static_cast<std::byte*>(prepared) + row * row_stride(columns);
    for (uint32_t k = 0; k < columns; k += 16) {
      const uint32_t left = columns - k;
      const __mmask16 mask = static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xFFFF);
      const __m512 values = _mm512_maskz_loadu_ps(mask, x + row * stride + k);
      _mm256_store_si256(reinterpret_cast<__m256i*>(to + 2 * k), (__m256i)_mm512_cvtneps_pbh(values));
    }
  }
}

template <TensorType T>
void wide(const MatmulArguments& a) {
  multiply_wide<Bfloat16Arithmetic, T>(a, static_cast<const std::byte*>(a.prepared),
                                       row_stride(a.weights.columns));
}

void wide_bf16(const MatmulArguments& a) {
  switch (a.weights.type) {
    case TensorType::F32:
    case TensorType::F16:
    case TensorType::BF16: return wide_avx512(a);
#define INLAY_WIDE(name) \
  case TensorType::name: return wide<TensorType::name>(a);
      INLAY_FOR_EACH_BLOCK_TYPE(INLAY_WIDE)
#undef INLAY_WIDE
  }
}

}  // namespace

const MatmulKernels kAvx512Bf16Matmul = {"avx512-bf16", prepare_narrow_avx512,
                                         prepare_wide,  narrow_avx512,
                                         wide_bf16,     kWideScratchBytes<FloatArithmetic>};

}  // namespace inlay::cpu

#include "kernels/cpu/matmul_avx512_bf16.h"

// The wide products of quantised weights with VDPBF16PS.

namespace inlay::cpu {
namespace {

template <TensorType T>
void wide(const MatmulArguments& a) {
  multiply_wide<Bfloat16Arithmetic, T>(a, static_cast<const std::byte*>(a.prepared),
                                       bfloat16_row_stride(a.weights.columns));
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
    case TensorType::FP8: return multiply_fp8_avx512(a);
  }
}

}  // namespace

void prepare_wide_bfloat16(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end,
                           uint32_t columns, void* prepared) {
  for (uint32_t row = row_begin; row < row_end; ++row) {
    std::byte* to = static_cast<std::byte*>(prepared) + row * bfloat16_row_stride(columns);
    for (uint32_t k = 0; k < columns; k += 16) {
      const uint32_t left = columns - k;
      const __mmask16 mask = static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xFFFF);
      const __m512 values = _mm512_maskz_loadu_ps(mask, x + row * stride + k);
      _mm256_store_si256(reinterpret_cast<__m256i*>(to + 2 * k), (__m256i)_mm512_cvtneps_pbh(values));
    }
  }
}

const MatmulKernels kAvx512Bf16Matmul = {"avx512-bf16",
                                         prepare_narrow_avx512,
                                         prepare_wide_bfloat16,
                                         narrow_avx512,
                                         wide_bf16,
                                         kWideScratchBytes<FloatArithmetic>};

}  // namespace inlay::cpu

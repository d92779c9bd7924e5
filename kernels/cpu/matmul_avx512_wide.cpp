#include "kernels/cpu/matmul_avx512_wide.h"

namespace inlay::cpu {
namespace {

void prepare_nothing(const float*, size_t, uint32_t, uint32_t, uint32_t, void*) {}

template <TensorType T>
void wide(const MatmulArguments& a) {
  multiply_wide<FloatArithmetic, T>(a, reinterpret_cast<const std::byte*>(a.x), a.x_stride * sizeof(float));
}

}  // namespace

void wide_avx512(const MatmulArguments& a) {
  switch (a.weights.type) {
#define INLAY_WIDE(name, number, elements, bytes) \
  case TensorType::name: return wide<TensorType::name>(a);
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_WIDE)
#undef INLAY_WIDE
    case TensorType::FP8: return multiply_fp8_avx512(a);
  }
}

const MatmulKernels kAvx512Matmul = {"avx512",        prepare_narrow_avx512,
                                     prepare_nothing, narrow_avx512,
                                     wide_avx512,     kWideScratchBytes<FloatArithmetic>};

}  // namespace inlay::cpu

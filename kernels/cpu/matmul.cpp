#include "kernels/cpu/matmul.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/matmul_internal.h"

namespace inlay::cpu {

size_t activation_bytes(uint32_t rows, uint32_t columns) {
  const uint32_t groups = (rows + kPreparedRowGroup - 1) / kPreparedRowGroup;
  return groups * kPreparedRowGroup * prepared_stride(columns);
}

std::span<const MatmulKernels* const> available_kernels([[maybe_unused]] const CpuFeatures& features) {
  // A processor that can run one of these can run all that follow it: its kernels are a tail of the list.
#if defined(__x86_64__) || defined(_M_X64)
  static constexpr std::array kKernels = {&kAmxMatmul, &kAvx512Bf16Matmul, &kAvx512Matmul, &kAvx2Matmul,
                                          &kScalarMatmul};
  const std::array runs = {features.amx_bf16, features.avx512_bf16, features.avx512, features.avx2, true};
#elif defined(__aarch64__) || defined(_M_ARM64)
  static constexpr std::array kKernels = {&kNeonDotMatmul, &kNeonMatmul, &kScalarMatmul};
  const std::array runs = {features.neon_dot, features.neon, true};
#else
  static constexpr std::array kKernels = {&kScalarMatmul};
  const std::array runs = {true};
#endif
  const auto first = std::find(runs.begin(), runs.end(), true) - runs.begin();
  return std::span(kKernels).subspan(static_cast<size_t>(first));
}

}  // namespace inlay::cpu

#include "kernels/cpu/matmul.h"

#include <array>

#include "kernels/cpu/matmul_internal.h"

namespace inlay::cpu {

size_t activation_bytes(uint32_t rows, uint32_t columns) { return rows * prepared_stride(columns); }

#if defined(__x86_64__) || defined(_M_X64)
std::span<const MatmulKernels* const> available_kernels(const CpuFeatures& features) {
  static constexpr std::array<const MatmulKernels*, 3> kKernels = {&kAvx512Bf16Matmul, &kAvx512Matmul,
                                                                   &kScalarMatmul};
  // A processor with one of these has all that follow it, so what it can run is a tail of the list.
  const std::array<bool, kKernels.size()> runs = {features.avx512_bf16, features.avx512, true};
  size_t first = 0;
  while (!runs[first]) ++first;
  return std::span(kKernels).subspan(first);
}
#else
std::span<const MatmulKernels* const> available_kernels(const CpuFeatures&) {
  static constexpr std::array<const MatmulKernels*, 1> kKernels = {&kScalarMatmul};
  return kKernels;
}
#endif

}  // namespace inlay::cpu

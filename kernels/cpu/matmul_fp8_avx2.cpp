#include "kernels/cpu/matmul_fp8_impl.h"

namespace inlay::cpu {

void multiply_fp8_avx2(const MatmulArguments& arguments) { multiply(arguments); }

}  // namespace inlay::cpu

#include "kernels/cpu/ops_impl.h"

namespace inlay::cpu {

const Ops kAvx512Ops = make_ops("avx512");

}  // namespace inlay::cpu

#include "kernels/cpu/ops_impl.h"

namespace inlay::cpu {

const Ops kAvx2Ops = make_ops("avx2");

}  // namespace inlay::cpu

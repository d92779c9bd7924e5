#include "kernels/cpu/ops_impl.h"

namespace inlay::cpu {

const Ops kBaselineOps = make_ops("baseline");

}  // namespace inlay::cpu

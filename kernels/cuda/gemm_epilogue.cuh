#pragma once

#include "kernels/cuda/gemm.h"

namespace inlay::cuda {

/// What kAdd adds to at two neighbouring outputs (column even).
__device__ inline float2 gemm_before(const GemmArguments& g, uint32_t row, uint32_t column) {
  if (column >= g.outputs) return make_float2(0.0f, 0.0f);
  return *reinterpret_cast<const float2*>(g.out + uint64_t{row} * g.out_stride + column);
}

/// Writes two neighbouring outputs (column even) of a row < g.rows; `up` is for kSwiGlu, `before` for kAdd.
template <GemmEpilogue kEpilogue>
__device__ inline void gemm_write(const GemmArguments& g, uint32_t row, uint32_t column, float2 x, float2 up,
                                  float2 before) {
  if (column >= g.outputs) return;
  if constexpr (kEpilogue == GemmEpilogue::kSwiGlu) {
    const float first = g.factor * (x.x / (1.0f + __expf(-x.x)) * up.x);
    const float second = g.factor * (x.y / (1.0f + __expf(-x.y)) * up.y);
    auto* out = reinterpret_cast<__half2*>(g.half_out + uint64_t{row} * g.out_stride + column);
    *out = __floats2half2_rn(fminf(fmaxf(first, -65504.0f), 65504.0f),
                             fminf(fmaxf(second, -65504.0f), 65504.0f));
  } else {
    auto* out = reinterpret_cast<float2*>(g.out + uint64_t{row} * g.out_stride + column);
    *out = make_float2(__fmaf_rn(g.factor, x.x, before.x), __fmaf_rn(g.factor, x.y, before.y));
  }
}

}  // namespace inlay::cuda

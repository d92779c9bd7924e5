#include <algorithm>

#include "formats/dequantize.h"
#include "kernels/cpu/matmul_internal.h"

// The portable kernels: weights are dequantised a chunk at a time and multiplied in float, with the
// activations as they are. They run where no other kernels do, and are the plainest statement of what the
// others compute.

namespace inlay::cpu {
namespace {

constexpr uint32_t kLanes = 8;
constexpr uint32_t kRowGroup = 8;

/// Adds the products of `count` columns to `lanes`, column i to lane i % kLanes.
void accumulate(const float* w, const float* x, uint32_t count, float* lanes) {
  const uint32_t whole = count / kLanes * kLanes;
  for (uint32_t i = 0; i < whole; i += kLanes) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) lanes[lane] += w[i + lane] * x[i + lane];
  }
  for (uint32_t i = whole; i < count; ++i) lanes[i - whole] += w[i] * x[i];
}

float sum(const float* lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

void multiply_row_group(const MatmulArguments& a, uint32_t row_begin, uint32_t row_end) {
  const WeightMatrix& w = a.weights;
  const uint64_t w_stride = row_bytes(w.type, w.columns);
  for (uint32_t n = a.n_begin; n < a.n_end; ++n) {
    float lanes[kRowGroup][kLanes] = {};
    for (uint32_t k = 0; k < w.columns; k += kChunkColumns) {
      const uint32_t count = std::min(kChunkColumns, w.columns - k);
      float weights[kChunkColumns];
      dequantize_row(w.type, w.data + n * w_stride + row_bytes(w.type, k), count, weights);
      for (uint32_t row = row_begin; row < row_end; ++row) {
        accumulate(weights, a.x + row * a.x_stride + k, count, lanes[row - row_begin]);
      }
    }
    for (uint32_t row = row_begin; row < row_end; ++row) {
      a.out[row * a.out_stride + n] = w.scale * sum(lanes[row - row_begin]);
    }
  }
}

void multiply(const MatmulArguments& a) {
  for (uint32_t row = 0; row < a.rows; row += kRowGroup) {
    multiply_row_group(a, row, std::min(row + kRowGroup, a.rows));
  }
}

void prepare(const float*, size_t, uint32_t, uint32_t, uint32_t, void*) {}

}  // namespace

const MatmulKernels kScalarMatmul = {"scalar", prepare, prepare, multiply, multiply, 0};

}  // namespace inlay::cpu

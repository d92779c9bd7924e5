#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/tensor_type.h"

namespace inlay {

/// Whether quantize_row makes this type: Q8_0, Q2_K to Q6_K, FP8 and NVFP4.
bool can_quantize(TensorType type);

/// Quantises the `columns` weights at `row`, a whole number of blocks, into `out`. The codes and scales of a
/// block are chosen together to make the sum of importance * (weight - result)^2 small; `importance`, where
/// not null, has a number of 0 or more for every column, the mean square of what the column is multiplied
/// with. Weights have to be finite. `tensor_scale` is NVFP4's scale of the whole tensor, which the weights
/// are divided by; see nvfp4_tensor_scale. Q8_0 is the plain rounding of ggml, which no importance changes.
/// Deterministic.
void quantize_row(TensorType type, const float* row, uint64_t columns, const float* importance,
                  float tensor_scale, std::byte* out);

/// The scale that lets the largest weight of a tensor, by magnitude, be reached with the largest block scale.
float nvfp4_tensor_scale(float largest_magnitude);

}  // namespace inlay

#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/tensor_type.h"

namespace inlay {

/// Writes the `columns` weights that start at `row` as floats: the definition of each type, which every
/// kernel is tested against. `row` needs no alignment; `columns` is a whole number of blocks.
void dequantize_row(TensorType type, const std::byte* row, uint64_t columns, float* out);

}  // namespace inlay

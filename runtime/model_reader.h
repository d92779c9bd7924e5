#pragma once

#include "kernels/model_weights.h"
#include "runtime/layout.h"
#include "runtime/model_source.h"

namespace inlay {

/// The model's numbers, from its source's and the embedding's shape. Throws
/// INLAY_ERROR_UNSUPPORTED for another architecture or a shape outside the family, INLAY_ERROR_CORRUPT_FILE
/// for missing or contradicting numbers.
ModelShape read_model_shape(const ModelSource& file);

/// Finds every tensor, checks its shape, and fills in `weights`: matrices as they lie in the mapping (or, of
/// a file that is not mapped, copied into the layout), small vectors as aligned floats in the layout. Run
/// once with a counting layout, once with a placing one: while counting nothing of the tensors' data is read.
/// `layers` is room for shape.layers of them. Takes no memory but the layout's. Throws
/// INLAY_ERROR_CORRUPT_FILE for a missing tensor or a wrong shape.
void read_model_weights(const ModelSource& file, const ModelShape& shape, Layout& layout,
                        LayerWeights* layers, ModelWeights* weights);

}  // namespace inlay

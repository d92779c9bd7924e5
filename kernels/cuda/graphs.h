#pragma once

#include "kernels/cuda/pass.h"

// The passes that run as graphs: recorded and made ready once, when the scratch is made.

namespace inlay::cuda {

/// Makes the scratch's graphs. Also records the passes that have none, and forgets them: that is when the
/// driver takes memory for the code of their kernels, which must not happen later. Throws Error.
void make_graphs(const PassDevice& device, CudaScratch& scratch);
void free_graphs(CudaScratch& scratch);

/// Queues the copy of what changes from pass to pass; the first node of a graph.
void queue_params(CudaScratch& scratch, Queue& queue);

}  // namespace inlay::cuda

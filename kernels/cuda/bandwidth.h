#pragma once

#include <cuda_runtime_api.h>

namespace inlay::cuda {

/// Bytes a second that a plain streaming read of device memory reaches, the best of a few runs over a buffer
/// much larger than the caches, taken for the while. Throws Error.
double measure_read_bandwidth(int multiprocessors, cudaStream_t stream);

}  // namespace inlay::cuda

#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "formats/tiles.h"

// Weight matrices as the CUDA kernels read them: in tiles (formats/tiles.h). A warp of the matvec kernel
// reads one stretch of a column of tiles.

namespace inlay::cuda {

/// A packed matrix in memory that the device reads, aligned to kTilesAlignment. Copied into kernel
/// parameters.
struct PackedMatrix {
  const void* data = nullptr;
  TensorType type = TensorType::F32;
  uint32_t rows = 0;     // outputs
  uint32_t columns = 0;  // inputs: a whole number of the type's blocks, and of 32
  float scale = 1.0f;    // multiplies every result
};

/// Packs rows [row_begin, row_begin + rows) of a matrix of `matrix_rows` rows and `columns` columns. `blocks`
/// is those rows as a GGUF file has them, in device memory at any alignment; `packed` is the whole
/// destination. `row_begin` is a multiple of 8, and so is `rows` unless these are the matrix's last rows.
/// Queued on `stream`.
cudaError_t repack(TensorType type, const void* blocks, uint32_t row_begin, uint32_t rows,
                   uint32_t matrix_rows, uint32_t columns, void* packed, cudaStream_t stream);

/// Rows [row_begin, row_begin + rows) as F16, times the matrix's scale, row-major in `out` [rows][columns].
/// `row_begin` is a multiple of 8. Queued on `stream`.
cudaError_t dequantise(const PackedMatrix& matrix, uint32_t row_begin, uint32_t rows, __half* out,
                       cudaStream_t stream);

/// Row row_ids[i] (device memory) as float32 to out + i * stride, for i < count. Queued on `stream`; waits
/// for the kernel before it where that one was launched as its programmatic predecessor.
cudaError_t dequantise_rows(const PackedMatrix& matrix, const int32_t* row_ids, uint32_t count, float* out,
                            uint32_t stride, cudaStream_t stream);

/// Reads `bytes` bytes (a multiple of 16) once, as fast as a kernel that does nothing else can: what the
/// bandwidth of other kernels is measured against. `sink` is a float that may be written.
cudaError_t read_memory(const void* data, uint64_t bytes, float* sink, cudaStream_t stream);

}  // namespace inlay::cuda

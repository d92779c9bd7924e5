#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/repack.h"

// Packed matrices times 1 to 8 rows of activations. One kernel serves every width, and the order in which a
// row's products are added depends on the matrix's type and columns alone: a row gives the same bits at every
// width and in every place.

namespace inlay::cuda {

inline constexpr uint32_t kMatvecMaxRows = 8;
inline constexpr uint32_t kMatvecMaxMatrices = 4;

/// Activations are F16, divided by kActivationDivisor (so that outliers up to 5e5 fit), 32 values in an order
/// that suits the matrix instructions (matvec.cuh has activation_index and the stores). Rows are
/// activation_stride(columns) values apart; a buffer is aligned to 16 bytes.
inline constexpr float kActivationDivisor = 8.0f;
constexpr uint32_t activation_stride(uint32_t columns) { return (columns + 31) / 32 * 32; }
constexpr uint64_t activation_bytes(uint32_t columns, uint32_t rows) {
  return uint64_t{rows} * activation_stride(columns) * sizeof(__half);
}

enum class Epilogue : uint8_t {
  kStore,   // outputs[m][r][i] = (matrix m times row r)[i]
  kAdd,     // outputs[m][r][i] += ...
  kSwiGlu,  // two matrices of the same shape, gate and up: activation_output[r][i] = silu(gate) * up
};

struct MatvecLaunch {
  PackedMatrix matrices[kMatvecMaxMatrices];  // all of the same columns; types may differ
  uint32_t count = 0;
  const __half* activations = nullptr;  // [rows][activation_stride(columns)]
  uint32_t rows = 0;                    // 1..kMatvecMaxRows
  Epilogue epilogue = Epilogue::kStore;
  float* outputs[kMatvecMaxMatrices] = {};           // kStore, kAdd: [rows] rows of matrices[m].rows floats
  uint32_t output_strides[kMatvecMaxMatrices] = {};  // floats from one of these rows to the next
  __half* activation_output =
      nullptr;        // kSwiGlu: [rows][activation_stride(matrices[0].rows)], as activations
  PackedMatrix next;  // of a later launch, or none: brought near (to the second-level cache) by those who
                      // have nothing left to fetch, for the time in which the kernels between read little
  bool programmatic =
      false;  // launch as the programmatic dependent of the kernel before it in the stream:
              // weights are fetched at once, nothing else is read or written before that one ends
};

/// What launches need to know of a device; made once by prepare_matvec.
struct MatvecDevice {
  uint32_t multiprocessors = 0;
  uint32_t shared_bytes = 0;  // that a block may take
  bool programmatic = false;  // programmatic dependent launch works (compute capability 9.0 and up)
};

/// Reads the current device's limits and raises the kernels' shared-memory limit. Allocates nothing on the
/// device beyond the kernels' code.
cudaError_t prepare_matvec(MatvecDevice* out_device);

/// Queues one kernel on `stream`; may be captured in a graph.
cudaError_t matvec(const MatvecDevice& device, const MatvecLaunch& launch, cudaStream_t stream);

/// Float rows [rows] of `columns` values, `stride` floats apart, to activations. Queued on `stream`.
cudaError_t quantise_rows(const float* x, uint32_t stride, uint32_t columns, uint32_t rows,
                          __half* activations, bool programmatic, cudaStream_t stream);

}  // namespace inlay::cuda

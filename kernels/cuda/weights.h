#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/matvec.h"
#include "kernels/device.h"
#include "runtime/layout.h"

namespace inlay::cuda {

/// Every block of device memory is a multiple of this, which is what the driver hands out: a plan in whole
/// granules is what the device's free memory goes down by.
inline constexpr uint64_t kDeviceGranule = uint64_t{2} << 20;
constexpr uint64_t device_granules(uint64_t bytes) {
  return (bytes + kDeviceGranule - 1) / kDeviceGranule * kDeviceGranule;
}

/// Takes device memory; throws Error that says how much is missing where there is too little.
std::byte* take_device_memory(uint64_t bytes, const char* what);

/// A model's weights in device memory, in one block: `model` is the file's ModelWeights with packed matrices
/// and vectors there instead of the file's.
struct CudaWeights final : DeviceWeights {
  ModelWeights model;
  const double* frequencies = nullptr;  // [rope_length / 2]: half turns a token
  std::byte* memory = nullptr;
  uint64_t bytes = 0;
};

/// Where everything lies: `to` may be null while counting.
void lay_out_weights(const ModelWeights& from, Layout& layout, CudaWeights* to);

/// Copies and packs the weights into `to.memory`. Throws Error; INLAY_ERROR_CANCELLED where progress says so.
void upload_weights(const ModelWeights& from, CudaWeights& to, cudaStream_t stream,
                    inlay_progress_fn progress, void* progress_user_data);

inline PackedMatrix packed(const WeightMatrix& matrix) {
  return {matrix.data, matrix.type, matrix.rows, matrix.columns, matrix.scale};
}

}  // namespace inlay::cuda

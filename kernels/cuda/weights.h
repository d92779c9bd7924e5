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

/// Where matrices go that may stay where they are.
enum class WeightPlacement : uint8_t {
  kCopied,  // to the device
  kPinned,  // nowhere: the device reads the host's memory once it is page-locked
  kDirect,  // nowhere: the device reads the host's memory as it is
};

/// Memory of the host's that the device reads.
struct HostRange {
  const std::byte* begin = nullptr;
  uint64_t bytes = 0;
  const std::byte* device = nullptr;  // what the device calls `begin`
  bool pinned = false;                // by this model, which has to give it back

  const std::byte* on_device(const std::byte* data) const { return device + (data - begin); }
  bool same_memory(const HostRange& other) const { return begin == other.begin && bytes == other.bytes; }
};

/// A model's weights, in one block of device memory but for what stays with the host: `model` is the file's
/// ModelWeights with matrices and vectors as the device reads them instead of the file's.
struct CudaWeights final : DeviceWeights {
  ModelWeights model;
  WeightPlacement placement = WeightPlacement::kCopied;
  HostRange in_place;
  CudaWeights* next = nullptr;          // of those that the device has made
  const double* frequencies = nullptr;  // [rope_length / 2]: half turns a token
  std::byte* memory = nullptr;
  uint64_t bytes = 0;
};

/// From the first to behind the last byte of what stays with the host; nothing where nothing does.
HostRange in_place_range(const ModelWeights& weights, WeightPlacement placement);

/// Page-locks the range for the device to read; what the host has page-locked itself is used so. Throws
/// Error.
void pin(HostRange& range);
void unpin(const HostRange& range);

/// Where everything lies: `to` may be null while counting.
void lay_out_weights(const ModelWeights& from, WeightPlacement placement, Layout& layout, CudaWeights* to);

/// Copies the weights into `to.memory`, and packs those that are not in tiles. Throws Error;
/// INLAY_ERROR_CANCELLED where progress says so.
void upload_weights(const ModelWeights& from, CudaWeights& to, cudaStream_t stream,
                    inlay_progress_fn progress, void* progress_user_data);

inline PackedMatrix packed(const WeightMatrix& matrix) {
  return {matrix.data, matrix.type, matrix.rows, matrix.columns, matrix.scale};
}

}  // namespace inlay::cuda

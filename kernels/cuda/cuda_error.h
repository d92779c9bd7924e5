#pragma once

#include <cuda_runtime.h>

#include "inlay/inlay.h"

// Every CUDA call's result goes through one of these: `check` throws on the paths that make objects,
// `to_status` is for the step path, where nothing throws.

namespace inlay::cuda {

/// Throws Error with the call's name and CUDA's words; INLAY_ERROR_OUT_OF_MEMORY where memory was short.
void check(cudaError_t error, const char* call);

inline inlay_status to_status(cudaError_t error) {
  return error == cudaSuccess ? INLAY_OK : INLAY_ERROR_DEVICE;
}

/// Makes a device current for a scope and puts the former one back.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) {
    if (cudaGetDevice(&former_) != cudaSuccess) former_ = device;
    if (former_ != device) error_ = cudaSetDevice(device);
    device_ = device;
  }
  ~CurrentDevice() {
    if (former_ != device_) (void)cudaSetDevice(former_);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

  cudaError_t error() const { return error_; }

 private:
  int former_ = 0;
  int device_ = 0;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace inlay::cuda

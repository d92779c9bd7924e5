#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "inlay/inlay.h"

// Every CUDA call's result goes through one of these: `check` throws on the paths that make objects,
// `to_status` is for the step path, where nothing throws.

namespace inlay::cuda {

/// Throws Error with the call's name and CUDA's words; INLAY_ERROR_OUT_OF_MEMORY where memory was short.
void check(cudaError_t error, const char* call);

/// The same for calls that take memory of the device: the message says how many of `bytes` are missing. 0
/// where only the driver knows how many.
void check_memory(cudaError_t error, const char* what, uint64_t bytes);
/// And for page-locked memory of the host.
void check_pinned(cudaError_t error, const char* what, uint64_t bytes);

/// Also forgets the error, so that the host's own next look at the thread's last error does not find it.
inline inlay_status to_status(cudaError_t error) {
  if (error == cudaSuccess) return INLAY_OK;
  (void)cudaGetLastError();
  return INLAY_ERROR_DEVICE;
}

/// Makes a device current for a scope and puts the former one back.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) {
    error_ = cudaGetDevice(&former_);
    if (error_ != cudaSuccess) former_ = device;
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

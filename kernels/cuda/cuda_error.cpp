#include "kernels/cuda/cuda_error.h"

#include <string>

#include "runtime/error.h"

namespace inlay::cuda {

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  const inlay_status status =
      error == cudaErrorMemoryAllocation ? INLAY_ERROR_OUT_OF_MEMORY : INLAY_ERROR_DEVICE;
  (void)cudaGetLastError();
  throw Error(status, std::string("CUDA: ") + call + ": " + cudaGetErrorString(error));
}

void check_memory(cudaError_t error, const char* what, uint64_t bytes) {
  if (error != cudaErrorMemoryAllocation) return check(error, what);
  (void)cudaGetLastError();
  size_t free_bytes = 0, total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) free_bytes = 0;
  const std::string free = std::to_string(free_bytes) + " of the device's " + std::to_string(total_bytes);
  if (bytes == 0) {
    throw Error(INLAY_ERROR_OUT_OF_MEMORY, std::string("device memory for ") + what +
                                               ": the driver has too little, " + free + " bytes are free");
  }
  throw Error(INLAY_ERROR_OUT_OF_MEMORY,
              std::string("device memory for ") + what + ": " + std::to_string(bytes) +
                  " bytes are needed, " + free + " are free, " +
                  std::to_string(bytes > free_bytes ? bytes - free_bytes : 0) + " are missing");
}

void check_pinned(cudaError_t error, const char* what, uint64_t bytes) {
  if (error != cudaErrorMemoryAllocation) return check(error, what);
  (void)cudaGetLastError();
  throw Error(INLAY_ERROR_OUT_OF_MEMORY, std::string("page-locked host memory for ") + what + ": " +
                                             std::to_string(bytes) + " bytes are needed and not to be had");
}

}  // namespace inlay::cuda

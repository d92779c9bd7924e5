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

}  // namespace inlay::cuda

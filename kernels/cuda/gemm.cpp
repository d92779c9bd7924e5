#include "kernels/cuda/gemm.h"

#include "kernels/cuda/cuda_error.h"

namespace inlay::cuda {

GemmDevice make_gemm_device(int device) {
  GemmDevice result;
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&result.multiprocessors, cudaDevAttrMultiProcessorCount, device),
        "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute");
  if (major != 9 || minor != 0 || !gemm_hopper_built()) return result;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &result.encode_tensor_map, 12000,
                                         cudaEnableDefault, &found),
        "cudaGetDriverEntryPointByVersion");
  result.hopper = found == cudaDriverEntryPointSuccess;
  return result;
}

void launch_gemm(Queue& queue, const GemmDevice& device, const GemmArguments& arguments) {
  if (device.hopper && arguments.columns % 8 == 0) {
    launch_gemm_hopper(queue, device, arguments);
  } else {
    launch_gemm_mma(queue, arguments);
  }
}

}  // namespace inlay::cuda

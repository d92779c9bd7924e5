#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace inlay::cuda {

/// Where a pass's kernels go: into a stream that runs, or one that is captured into a graph.
struct Queue {
  cudaStream_t stream = nullptr;
  bool programmatic = false;        // the device has programmatic dependent launch (sm_90 and later)
  cudaError_t error = cudaSuccess;  // the first that a launch met

  void note(cudaError_t result) {
    if (error == cudaSuccess) error = result;
  }
};

/// Launches a kernel that calls wait_for_earlier() before it reads what earlier kernels wrote, and may start
/// before they have ended. Every kernel of a queue does, so a kernel that has waited sees all earlier ones.
template <typename... Parameters, typename... Arguments>
void launch(Queue& queue, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            Arguments... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = queue.stream;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = queue.programmatic ? 1 : 0;
  queue.note(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

#ifdef __CUDACC__
/// Until every earlier kernel of the queue has ended and its writes can be seen.
__device__ inline void wait_for_earlier() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel of the queue start its part before wait_for_earlier().
__device__ inline void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
#endif

}  // namespace inlay::cuda

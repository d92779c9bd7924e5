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

/// Of a multiprocessor's memory, what is to be shared memory and not first-level cache. All kernels of a pass
/// ask for the same share, since a multiprocessor must run empty before it can change it.
inline constexpr unsigned kSharedMemoryPercent = 72;

/// Launches a kernel that calls wait_for_earlier() before it reads what earlier kernels wrote, and may start
/// before they have ended. Every kernel of a queue does, so a kernel that has waited sees all earlier ones.
/// `cluster` blocks that are neighbours in x run together and see each other's shared memory (sm_90 and
/// later).
template <typename... Parameters, typename... Arguments>
void launch_clusters(Queue& queue, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                     unsigned cluster, Arguments... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = queue.stream;
  cudaLaunchAttribute attributes[3] = {};
  attributes[0].id = cudaLaunchAttributePreferredSharedMemoryCarveout;
  attributes[0].val.sharedMemCarveout = kSharedMemoryPercent;
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  config.attrs = attributes;
  config.numAttrs = queue.programmatic ? 2 : 1;
  if (cluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster;
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  }
  queue.note(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

template <typename... Parameters, typename... Arguments>
void launch(Queue& queue, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
            Arguments... arguments) {
  launch_clusters(queue, kernel, grid, block, shared_bytes, 1, arguments...);
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

#include <algorithm>

#include "kernels/cuda/bandwidth.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/weights.h"

namespace inlay::cuda {
namespace {

constexpr uint32_t kThreads = 512;
constexpr uint32_t kUnroll = 8;
constexpr uint64_t kBytes = uint64_t{2} << 30;

__global__ void __launch_bounds__(kThreads) read_kernel(const uint4* from, uint64_t vectors, uint32_t* sink) {
  const uint64_t stride = uint64_t{gridDim.x} * kThreads;
  uint32_t seen = 0;
  for (uint64_t i = uint64_t{blockIdx.x} * kThreads + threadIdx.x; i + stride * (kUnroll - 1) < vectors;
       i += stride * kUnroll) {
    uint4 x[kUnroll];
#pragma unroll
    for (uint32_t u = 0; u < kUnroll; ++u) x[u] = __ldcs(from + i + u * stride);
#pragma unroll
    for (uint32_t u = 0; u < kUnroll; ++u) seen ^= x[u].x ^ x[u].y ^ x[u].z ^ x[u].w;
  }
  if (seen == 1) *sink = seen;  // keeps the reads alive; the buffer is zeros
}

struct Measurement {
  std::byte* memory = nullptr;
  cudaEvent_t start = nullptr, end = nullptr;
  ~Measurement() {
    if (memory != nullptr) (void)cudaFree(memory);
    if (start != nullptr) (void)cudaEventDestroy(start);
    if (end != nullptr) (void)cudaEventDestroy(end);
  }
};

}  // namespace

double measure_read_bandwidth(int multiprocessors, cudaStream_t stream) {
  Measurement m;
  m.memory = take_device_memory(kBytes, "the bandwidth's measurement");
  check(cudaEventCreate(&m.start), "cudaEventCreate");
  check(cudaEventCreate(&m.end), "cudaEventCreate");
  check(cudaMemsetAsync(m.memory, 0, kBytes, stream), "cudaMemsetAsync");
  float best = 0.0f;
  for (int run = 0; run < 6; ++run) {
    check(cudaEventRecord(m.start, stream), "cudaEventRecord");
    read_kernel<<<static_cast<unsigned>(multiprocessors) * 4, kThreads, 0, stream>>>(
        reinterpret_cast<const uint4*>(m.memory), kBytes / sizeof(uint4),
        reinterpret_cast<uint32_t*>(m.memory));
    check(cudaGetLastError(), "read_kernel");
    check(cudaEventRecord(m.end, stream), "cudaEventRecord");
    check(cudaEventSynchronize(m.end), "cudaEventSynchronize");
    float milliseconds = 0.0f;
    check(cudaEventElapsedTime(&milliseconds, m.start, m.end), "cudaEventElapsedTime");
    if (run > 0) best = std::max(best, static_cast<float>(kBytes) / (milliseconds * 1e-3f));
  }
  return best;
}

}  // namespace inlay::cuda

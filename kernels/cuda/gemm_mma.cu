#include "kernels/cuda/gemm.h"
#include "kernels/cuda/gemm_epilogue.cuh"
#include "kernels/cuda/tensor_core.cuh"

// The portable product: 128 x 128 outputs a block, three cp.async stages of 32 k, mma.sync m16n8k16.

namespace inlay::cuda {
namespace {

constexpr uint32_t kTile = 128;
constexpr uint32_t kDepth = 32;
constexpr uint32_t kStages = 3;
constexpr uint32_t kStride = kDepth + 8;  // halves of a row in shared memory: ldmatrix without conflicts
constexpr uint32_t kThreads = 256;

struct Stage {
  __half a[kTile][kStride];
  __half b[kTile][kStride];
};

/// Outputs of a tile. For SwiGLU it holds 64 gates and their ups, eight of each in turn, so that a thread has
/// both.
template <GemmEpilogue kEpilogue>
constexpr uint32_t kTileOutputs = kEpilogue == GemmEpilogue::kSwiGlu ? kTile / 2 : kTile;

template <GemmEpilogue kEpilogue>
__device__ void fetch_stage(const GemmArguments& g, Stage& stage, uint32_t row, uint32_t output, uint32_t k) {
#pragma unroll
  for (uint32_t i = threadIdx.x; i < kTile * kDepth / 8; i += kThreads) {
    const uint32_t r = i / (kDepth / 8), c = i % (kDepth / 8) * 8;
    const bool a_valid = row + r < g.rows;
    fetch_async(&stage.a[r][c], g.a + (a_valid ? uint64_t{row + r} * g.columns + k + c : 0), a_valid);
    uint32_t from = output + r, offset = 0;
    if constexpr (kEpilogue == GemmEpilogue::kSwiGlu) {
      from = output + r / 16 * 8 + r % 8;
      offset = r / 8 % 2 * g.outputs;
    }
    const bool b_valid = from < g.outputs;
    fetch_async(&stage.b[r][c], g.b + (b_valid ? uint64_t{from + offset} * g.columns + k + c : 0), b_valid);
  }
}

/// A warp: 64 rows x 32 outputs of the tile.
__device__ void multiply_stage(const Stage& stage, uint32_t warp, uint32_t lane, float (&c)[4][4][4]) {
  const uint32_t row = warp / 4 * 64, output = warp % 4 * 32;
#pragma unroll
  for (uint32_t k = 0; k < kDepth; k += 16) {
    uint32_t a[4][4], b[2][4];
#pragma unroll
    for (uint32_t m = 0; m < 4; ++m)
      load_matrices(a[m], &stage.a[row + 16 * m + lane % 16][k + lane / 16 * 8]);
#pragma unroll
    for (uint32_t n = 0; n < 2; ++n) {
      load_matrices(b[n], &stage.b[output + 16 * n + lane % 8 + lane / 16 * 8][k + lane / 8 % 2 * 8]);
    }
#pragma unroll
    for (uint32_t m = 0; m < 4; ++m) {
#pragma unroll
      for (uint32_t n = 0; n < 4; ++n) {
        multiply_add_16x8x16(c[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
      }
    }
  }
}

template <GemmEpilogue kEpilogue>
__global__ void __launch_bounds__(kThreads) gemm_kernel(GemmArguments g) {
  extern __shared__ __align__(16) std::byte memory[];
  auto* stages = reinterpret_cast<Stage*>(memory);
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t row = blockIdx.x * kTile, output = blockIdx.y * kTileOutputs<kEpilogue>;
  const uint32_t steps = g.columns / kDepth;
  wait_for_earlier();
  float c[4][4][4] = {};
  for (uint32_t s = 0; s + 1 < kStages; ++s) {
    if (s < steps) fetch_stage<kEpilogue>(g, stages[s], row, output, s * kDepth);
    commit_fetches();
  }
  for (uint32_t step = 0; step < steps; ++step) {
    wait_fetches<kStages - 2>();
    __syncthreads();
    const uint32_t next = step + kStages - 1;
    if (next < steps) fetch_stage<kEpilogue>(g, stages[next % kStages], row, output, next * kDepth);
    commit_fetches();
    multiply_stage(stages[step % kStages], warp, lane, c);
  }
  constexpr bool kPairs = kEpilogue == GemmEpilogue::kSwiGlu;
#pragma unroll
  for (uint32_t m = 0; m < 4; ++m) {
#pragma unroll
    for (uint32_t n = 0; n < 4; n += kPairs ? 2 : 1) {
      const uint32_t r = row + warp / 4 * 64 + 16 * m + lane / 4;
      const uint32_t o = output + (warp % 4 * 32 + 8 * n) / (kPairs ? 2 : 1) + 2 * (lane % 4);
      const auto& up = c[m][kPairs ? n + 1 : n];
#pragma unroll
      for (uint32_t h = 0; h < 2; ++h) {
        if (r + 8 * h >= g.rows) break;
        float2 before = {};
        if constexpr (kEpilogue == GemmEpilogue::kAdd) before = gemm_before(g, r + 8 * h, o);
        gemm_write<kEpilogue>(g, r + 8 * h, o, make_float2(c[m][n][2 * h], c[m][n][2 * h + 1]),
                              make_float2(up[2 * h], up[2 * h + 1]), before);
      }
    }
  }
}

template <GemmEpilogue kEpilogue>
void run(Queue& queue, const GemmArguments& g) {
  const auto kernel = gemm_kernel<kEpilogue>;
  constexpr size_t kBytes = kStages * sizeof(Stage);
  queue.note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const dim3 grid((g.rows + kTile - 1) / kTile,
                  (g.outputs + kTileOutputs<kEpilogue> - 1) / kTileOutputs<kEpilogue>);
  launch(queue, kernel, grid, dim3(kThreads), kBytes, g);
}

}  // namespace

void launch_gemm_mma(Queue& queue, const GemmArguments& g) {
  switch (g.epilogue) {
    case GemmEpilogue::kStore: return run<GemmEpilogue::kStore>(queue, g);
    case GemmEpilogue::kAdd: return run<GemmEpilogue::kAdd>(queue, g);
    case GemmEpilogue::kSwiGlu: return run<GemmEpilogue::kSwiGlu>(queue, g);
  }
}

}  // namespace inlay::cuda

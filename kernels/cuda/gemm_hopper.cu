#include <cuda.h>

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/gemm_epilogue.cuh"

// The product on Hopper: clusters of two blocks that share one tile of b (each fetches half of it for both),
// 128 x 256 outputs a block, a producer warp that keeps four TMA stages of 64 k in flight, and two consumer
// warpgroups of 64 rows each with their sums in registers. Blocks are persistent.

namespace inlay::cuda {
namespace {

constexpr uint32_t kRows = 128;
constexpr uint32_t kOutputs = 256;
constexpr uint32_t kDepth = 64;  // 128 bytes: one swizzle span
constexpr uint32_t kStages = 4;
constexpr uint32_t kCluster = 2;
constexpr uint32_t kThreads = 3 * 128;

struct Stage {
  __half a[kRows * kDepth];
  __half b[kOutputs * kDepth];
};
struct Shared {
  Stage stages[kStages];
  uint64_t full[kStages];
  uint64_t empty[kStages];
};
constexpr size_t kSharedBytes = sizeof(Shared) + 1024;  // swizzled tiles start at multiples of 1,024

}  // namespace

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
namespace {

__device__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ void barrier_init(uint64_t* barrier, uint32_t count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count));
}

__device__ void barrier_expect(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(bytes)
               : "memory");
}

__device__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred p;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
      "@!p bra again;\n}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

/// Arrives on the same barrier of block `rank` of the cluster.
__device__ void barrier_arrive_at(uint64_t* barrier, uint32_t rank) {
  asm volatile(
      "{\n.reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}

__device__ void fetch_tile(void* shared, const CUtensorMap* map, uint64_t* barrier, uint32_t k,
                           uint32_t row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
      "%4}], [%2];" ::"r"(shared_address(shared)),
      "l"(map), "r"(shared_address(barrier)), "r"(k), "r"(row)
      : "memory");
}

__device__ void fetch_tile_for_both(void* shared, const CUtensorMap* map, uint64_t* barrier, uint32_t k,
                                    uint32_t row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(shared)),
      "l"(map), "r"(shared_address(barrier)), "r"(k), "r"(row), "h"(static_cast<uint16_t>(3))
      : "memory");
}

/// A K-major tile with rows of 128 bytes, swizzled: eight rows every 1,024 bytes.
__device__ uint64_t tile_descriptor(const void* tile) {
  const uint64_t address = (shared_address(tile) & 0x3ffff) >> 4;
  return address | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}

__device__ void multiply_add(float (&c)[128], uint64_t a, uint64_t b, bool accumulate) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
      "}, %128, %129, p, 1, 1, 0, 0;\n}"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7]),
        "+f"(c[8]), "+f"(c[9]), "+f"(c[10]), "+f"(c[11]), "+f"(c[12]), "+f"(c[13]), "+f"(c[14]), "+f"(c[15]),
        "+f"(c[16]), "+f"(c[17]), "+f"(c[18]), "+f"(c[19]), "+f"(c[20]), "+f"(c[21]), "+f"(c[22]),
        "+f"(c[23]), "+f"(c[24]), "+f"(c[25]), "+f"(c[26]), "+f"(c[27]), "+f"(c[28]), "+f"(c[29]),
        "+f"(c[30]), "+f"(c[31]), "+f"(c[32]), "+f"(c[33]), "+f"(c[34]), "+f"(c[35]), "+f"(c[36]),
        "+f"(c[37]), "+f"(c[38]), "+f"(c[39]), "+f"(c[40]), "+f"(c[41]), "+f"(c[42]), "+f"(c[43]),
        "+f"(c[44]), "+f"(c[45]), "+f"(c[46]), "+f"(c[47]), "+f"(c[48]), "+f"(c[49]), "+f"(c[50]),
        "+f"(c[51]), "+f"(c[52]), "+f"(c[53]), "+f"(c[54]), "+f"(c[55]), "+f"(c[56]), "+f"(c[57]),
        "+f"(c[58]), "+f"(c[59]), "+f"(c[60]), "+f"(c[61]), "+f"(c[62]), "+f"(c[63]), "+f"(c[64]),
        "+f"(c[65]), "+f"(c[66]), "+f"(c[67]), "+f"(c[68]), "+f"(c[69]), "+f"(c[70]), "+f"(c[71]),
        "+f"(c[72]), "+f"(c[73]), "+f"(c[74]), "+f"(c[75]), "+f"(c[76]), "+f"(c[77]), "+f"(c[78]),
        "+f"(c[79]), "+f"(c[80]), "+f"(c[81]), "+f"(c[82]), "+f"(c[83]), "+f"(c[84]), "+f"(c[85]),
        "+f"(c[86]), "+f"(c[87]), "+f"(c[88]), "+f"(c[89]), "+f"(c[90]), "+f"(c[91]), "+f"(c[92]),
        "+f"(c[93]), "+f"(c[94]), "+f"(c[95]), "+f"(c[96]), "+f"(c[97]), "+f"(c[98]), "+f"(c[99]),
        "+f"(c[100]), "+f"(c[101]), "+f"(c[102]), "+f"(c[103]), "+f"(c[104]), "+f"(c[105]), "+f"(c[106]),
        "+f"(c[107]), "+f"(c[108]), "+f"(c[109]), "+f"(c[110]), "+f"(c[111]), "+f"(c[112]), "+f"(c[113]),
        "+f"(c[114]), "+f"(c[115]), "+f"(c[116]), "+f"(c[117]), "+f"(c[118]), "+f"(c[119]), "+f"(c[120]),
        "+f"(c[121]), "+f"(c[122]), "+f"(c[123]), "+f"(c[124]), "+f"(c[125]), "+f"(c[126]), "+f"(c[127])
      : "l"(a), "l"(b), "r"(accumulate ? 1 : 0));
}

__device__ void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/// Outputs of a tile. For SwiGLU its first half are gates (the first block of a cluster fetches them), its
/// second half their ups, so that a thread has both.
template <GemmEpilogue kEpilogue>
constexpr uint32_t kTileOutputs = kEpilogue == GemmEpilogue::kSwiGlu ? kOutputs / 2 : kOutputs;

/// The order of the tiles: down the rows, two blocks' at once, in panels whose part of a stays in L2.
template <GemmEpilogue kEpilogue>
struct Tiles {
  static constexpr uint32_t kPanel = 8;  // pairs of row tiles: 2,048 rows
  uint32_t pairs;
  uint32_t outputs;
  __device__ explicit Tiles(const GemmArguments& g)
      : pairs((g.rows + kCluster * kRows - 1) / (kCluster * kRows)),
        outputs((g.outputs + kTileOutputs<kEpilogue> - 1) / kTileOutputs<kEpilogue>) {}
  __device__ uint32_t count() const { return pairs * outputs; }
  __device__ uint32_t panel_pairs(uint32_t panel) const { return min(kPanel, pairs - panel * kPanel); }
  __device__ uint32_t row(uint32_t tile, uint32_t rank) const {
    const uint32_t panel = tile / (kPanel * outputs), pair = tile % (kPanel * outputs) % panel_pairs(panel);
    return ((panel * kPanel + pair) * kCluster + rank) * kRows;
  }
  __device__ uint32_t output(uint32_t tile) const {
    const uint32_t panel = tile / (kPanel * outputs);
    return tile % (kPanel * outputs) / panel_pairs(panel) * kTileOutputs<kEpilogue>;
  }
};

template <GemmEpilogue kEpilogue>
__device__ void produce(const GemmArguments& g, const CUtensorMap* a, const CUtensorMap* b, Shared& shared,
                        uint32_t rank) {
  const Tiles<kEpilogue> tiles(g);
  const uint32_t steps = (g.columns + kDepth - 1) / kDepth;
  uint32_t stage = 0, phase = 0;
  for (uint32_t tile = blockIdx.x / kCluster; tile < tiles.count(); tile += gridDim.x / kCluster) {
    const uint32_t row = tiles.row(tile, rank), output = tiles.output(tile);
    for (uint32_t step = 0; step < steps; ++step) {
      barrier_wait(&shared.empty[stage], phase ^ 1);
      barrier_expect(&shared.full[stage], sizeof(Stage));
      fetch_tile(shared.stages[stage].a, a, &shared.full[stage], step * kDepth, row);
      const uint32_t half = kEpilogue == GemmEpilogue::kSwiGlu ? g.outputs : kOutputs / 2;
      fetch_tile_for_both(shared.stages[stage].b + rank * (kOutputs / 2) * kDepth, b, &shared.full[stage],
                          step * kDepth, output + rank * half);
      if (++stage == kStages) stage = 0, phase ^= 1;
    }
  }
}

/// A thread's sums of rows `row` and row + 8. What is added to is fetched ahead, eight columns apart at a
/// time.
template <GemmEpilogue kEpilogue>
__device__ void write_tile(const GemmArguments& g, uint32_t row, uint32_t output, const float (&c)[128]) {
  constexpr uint32_t kColumns = kTileOutputs<kEpilogue> / 8;
  constexpr uint32_t kUp = kEpilogue == GemmEpilogue::kSwiGlu ? kColumns : 0;
  constexpr uint32_t kBatch = 8;
#pragma unroll
  for (uint32_t h = 0; h < 2; ++h) {
    const uint32_t r = row + 8 * h;
    if (r >= g.rows) return;
#pragma unroll
    for (uint32_t first = 0; first < kColumns; first += kBatch) {
      float2 before[kBatch] = {};
      if constexpr (kEpilogue == GemmEpilogue::kAdd) {
#pragma unroll
        for (uint32_t i = 0; i < kBatch; ++i) before[i] = gemm_before(g, r, output + 8 * (first + i));
      }
#pragma unroll
      for (uint32_t i = 0; i < kBatch; ++i) {
        const uint32_t n = 4 * (first + i) + 2 * h, up = n + 4 * kUp;
        gemm_write<kEpilogue>(g, r, output + 8 * (first + i), make_float2(c[n], c[n + 1]),
                              make_float2(c[up], c[up + 1]), before[i]);
      }
    }
  }
}

template <GemmEpilogue kEpilogue>
__device__ void consume(const GemmArguments& g, Shared& shared, uint32_t rank, uint32_t group) {
  const Tiles<kEpilogue> tiles(g);
  const uint32_t steps = (g.columns + kDepth - 1) / kDepth;
  const uint32_t warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32, thread = threadIdx.x % 128;
  uint32_t stage = 0, phase = 0;
  float c[128];
  for (uint32_t tile = blockIdx.x / kCluster; tile < tiles.count(); tile += gridDim.x / kCluster) {
    for (uint32_t step = 0; step < steps; ++step) {
      barrier_wait(&shared.full[stage], phase);
      const uint64_t a = tile_descriptor(shared.stages[stage].a + group * 64 * kDepth);
      const uint64_t b = tile_descriptor(shared.stages[stage].b);
#pragma unroll
      for (int i = 0; i < 128; ++i) asm volatile("" : "+f"(c[i])::"memory");
      asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
      for (uint32_t k = 0; k < kDepth / 16; ++k) multiply_add(c, a + 2 * k, b + 2 * k, step + k > 0);
      asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
      // The stage before this one has been read once all but the newest group are done.
      asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
      if (step > 0 && thread < kCluster)
        barrier_arrive_at(&shared.empty[(stage + kStages - 1) % kStages], thread);
      if (++stage == kStages) stage = 0, phase ^= 1;
    }
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
    for (int i = 0; i < 128; ++i) asm volatile("" : "+f"(c[i])::"memory");
    if (thread < kCluster) barrier_arrive_at(&shared.empty[(stage + kStages - 1) % kStages], thread);
    const uint32_t row = tiles.row(tile, rank) + group * 64 + warp * 16 + lane / 4;
    const uint32_t output = tiles.output(tile) + 2 * (lane % 4);
    write_tile<kEpilogue>(g, row, output, c);
  }
}

}  // namespace
#endif

namespace {

template <GemmEpilogue kEpilogue>
__global__ void __launch_bounds__(kThreads, 1)
    gemm_kernel(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b,
                GemmArguments g) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::byte memory[];
  auto& shared = *reinterpret_cast<Shared*>((reinterpret_cast<uintptr_t>(memory) + 1023) / 1024 * 1024);
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  if (threadIdx.x == 0) {
    for (uint32_t s = 0; s < kStages; ++s) {
      barrier_init(&shared.full[s], 1);
      barrier_init(&shared.empty[s], 2 * kCluster);  // each consumer warpgroup of each block
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  cluster_sync();
  wait_for_earlier();
  const uint32_t group = threadIdx.x / 128;
  if (group == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x == 0) produce<kEpilogue>(g, &a, &b, shared, rank);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    consume<kEpilogue>(g, shared, rank, group - 1);
  }
  __syncwarp();
  cluster_sync();  // a block that left could not take what its neighbour still sends
#endif
}

CUresult encode(const GemmDevice& device, CUtensorMap* map, const __half* data, uint64_t rows,
                uint64_t columns, uint32_t box_rows) {
  const cuuint64_t sizes[2] = {columns, rows};
  const cuuint64_t strides[1] = {columns * sizeof(__half)};
  const cuuint32_t box[2] = {kDepth, box_rows};
  const cuuint32_t steps[2] = {1, 1};
  const auto function = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(device.encode_tensor_map);
  return function(map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, const_cast<__half*>(data), sizes, strides, box,
                  steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

template <GemmEpilogue kEpilogue>
void run(Queue& queue, const GemmDevice& device, const GemmArguments& g) {
  CUtensorMap a, b;
  if (encode(device, &a, g.a, g.rows, g.columns, kRows) != CUDA_SUCCESS ||
      encode(device, &b, g.b, g.outputs * (kEpilogue == GemmEpilogue::kSwiGlu ? 2 : 1), g.columns,
             kOutputs / 2) != CUDA_SUCCESS) {
    return queue.note(cudaErrorInvalidValue);
  }
  const auto kernel = gemm_kernel<kEpilogue>;
  queue.note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(device.multiprocessors) / kCluster * kCluster);
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = kSharedBytes;
  config.stream = queue.stream;
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim.x = kCluster;
  attributes[0].val.clusterDim.y = attributes[0].val.clusterDim.z = 1;
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  config.attrs = attributes;
  config.numAttrs = queue.programmatic ? 2 : 1;
  queue.note(cudaLaunchKernelEx(&config, kernel, a, b, g));
}

}  // namespace

bool gemm_hopper_built() {
#if defined(INLAY_CUDA_SM90A)
  return true;
#else
  return false;
#endif
}

void launch_gemm_hopper(Queue& queue, const GemmDevice& device, const GemmArguments& g) {
  switch (g.epilogue) {
    case GemmEpilogue::kStore: return run<GemmEpilogue::kStore>(queue, device, g);
    case GemmEpilogue::kAdd: return run<GemmEpilogue::kAdd>(queue, device, g);
    case GemmEpilogue::kSwiGlu: return run<GemmEpilogue::kSwiGlu>(queue, device, g);
  }
}

}  // namespace inlay::cuda

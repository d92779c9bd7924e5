#include "kernels/cuda/matvec.h"

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/matvec.cuh"
#include "kernels/cuda/matvec_unit.cuh"
#include "kernels/cuda/matvec_work.cuh"

// How the work is cut:
// - A block takes a range of the launch's tile rows (8 rows each) and multiplies them two at a time, as the
// 16
//   rows of a matrix instruction: two neighbours of one matrix, or for SwiGLU the same rows of gate and up.
// - The W warps of a block share the columns: warp w takes tiles w, w + W, ... of a tile row. W follows from
//   the number of columns alone. So does the order of every sum: within a tile, over a warp's tiles in order,
//   over the warps in order.
// - Each warp draws its tiles through a ring of its own in shared memory, in the order of use, from the
// kernel's
//   first instruction on: weights do not wait for the kernel before, and no warp waits for another's.
// - The warps' partial sums of a pair of tile rows wait in a slot of shared memory until all are there; one
//   warp, each pair another, then adds them and hands the results out. Where a warp has several tiles of a
//   tile row, it takes them for a row block of several pairs at a time, and so reads the activations once for
//   all.

namespace inlay::cuda {
namespace {

constexpr uint32_t kMaxWarps = 20;
constexpr uint32_t kMaxBlocks = 4;  // of a multiprocessor
constexpr uint32_t kMaxDepth = 6;   // stages of a ring
constexpr uint32_t kRowBlock =
    4;                          // pairs, where a warp has several tiles of a tile row; else there is no limit
constexpr uint32_t kSlots = 4;  // then

__device__ __forceinline__ float silu(float x) { return __fdiv_rn(x, 1.0f + expf(-x)); }

/// Rows g and g + 8 of a pair, one column: sums over the warps and hands them out.
__device__ __forceinline__ void finish(const Work& work, const MatrixWork& matrix, const float* partials,
                                       uint32_t warps, uint32_t tile, uint32_t end, uint32_t index) {
  const uint32_t g = index / 2 % 8, column = index / 16 * 2 + index % 2;
  const float* from = partials + index / 2 * 4 + index % 2;
  const uint32_t stride = work.partial_bytes / sizeof(float);
  float first = 0.0f, second = 0.0f;
#pragma unroll 4
  for (uint32_t w = 0; w < warps; ++w) {
    first += from[w * stride];
    second += from[w * stride + 2];
  }
  if (column >= work.rows) return;
  const uint32_t row = tile * kTileRows + g;
  if (work.epilogue == Epilogue::kSwiGlu) {
    const float gate = __fmul_rn(first, matrix.scale), up = __fmul_rn(second, matrix.second_scale);
    if (row < matrix.rows) {
      work.activation_output[uint64_t{column} * work.output_stride + activation_index(row)] =
          to_activation(__fmul_rn(silu(gate), up));
    }
    return;
  }
  float* out = matrix.out + uint64_t{column} * matrix.out_stride + row;
  first = __fmul_rn(first, matrix.scale);
  second = __fmul_rn(second, matrix.scale);
  const bool add = work.epilogue == Epilogue::kAdd;
  if (row < matrix.rows) out[0] = add ? __fadd_rn(out[0], first) : first;
  if (tile + 1 < end && row + kTileRows < matrix.rows) out[8] = add ? __fadd_rn(out[8], second) : second;
}

/// What a warp carries from matrix to matrix. All warps of a block move through it alike.
struct Progress {
  Cursor slot;            // of the row block's first pair
  uint32_t reducer = 0;   // which warp takes the sums of that pair
  uint32_t filled = ~0u;  // the tile column whose activations the warp's copy holds
  uint32_t stage = 0;
  uint32_t drawn = 0;  // units of the next matrix that are in the ring
};

struct SharedMemory {
  uint32_t ring;  // this warp's stages
  const char* stages;
  char* partials;
  char* copy;  // this warp's activations
  const char* zeros;
  uint32_t slot_full, slot_empty;  // barriers: all warps have their sums in a slot; they have been taken
};

/// Takes the sums of one pair of tile rows when all warps have theirs.
__device__ __forceinline__ void take_sums(const Work& work, const MatrixWork& matrix, const Place& at,
                                          const SharedMemory& shared, const Cursor& slot, uint32_t tile,
                                          uint32_t end) {
  barrier_wait(shared.slot_full + slot.slot * 8, slot.parity);
  const float* sums =
      reinterpret_cast<const float*>(shared.partials + slot.slot * at.warps * work.partial_bytes);
  for (uint32_t i = at.lane; i < work.partial_bytes / 8; i += 32) {
    finish(work, matrix, sums, at.warps, tile, end, i);
  }
  __syncwarp();
  if (at.lane == 0) barrier_arrive(shared.slot_empty + slot.slot * 8);
}

/// This block's part of matrix m. kSingle: a warp has one tile of a tile row.
template <TensorType type, bool kSingle>
__device__ __forceinline__ void multiply(const Work& work, uint32_t m, const Part& part, const Place& at,
                                         const SharedMemory& shared, Progress& progress) {
  using F = Format<type>;
  constexpr uint32_t kUnitBytes = F::kTileBytes / F::kUnits;
  const MatrixWork& matrix = work.matrices[m];
  const Operand x(shared.copy, shared.zeros, work.rows, at.lane);
  Sums<F> sums(work.zero);
  bool summed = false;
  Cursor pending_slot;
  uint32_t pending_tile = ~0u;

  const int64_t second = second_offset(work, matrix);
  const uint32_t pair_stride = part.step * work.tile_columns * F::kTileBytes;
  const uint32_t slot_stride = at.warps * work.partial_bytes;
  char* sums_of_lane = shared.partials + at.warp * work.partial_bytes + (at.lane % 4 * 8 + at.lane / 4) * 16;
  const bool column_there = at.lane % 4 * 2 < work.rows;
  const bool beyond =
      part.units >= work.depth && m + 1 < work.count;  // draw the next matrix's first units too
  uint32_t drawn = progress.drawn;
  Stretch stretch = locate(work, m, part, drawn, at);
  const auto draw = [&](uint32_t stage) {
    if (stretch.left == 0) [[unlikely]]
      stretch = locate(work, m, part, drawn, at);
    if (stretch.left != 0) [[likely]] {
      const bool last_odd = stretch.odd && stretch.left <= F::kUnits;
      copy_unit<kUnitBytes>(shared.ring + stage * work.stage_bytes, stretch.next,
                            stretch.next + (last_odd ? 0 : second), at.lane);
      --stretch.left;
      if constexpr (F::kUnits == 1) {
        stretch.next += pair_stride;
      } else {
        stretch.next += kUnitBytes;
        if (stretch.left % F::kUnits == 0) stretch.next += pair_stride - F::kTileBytes;
      }
    } else if (beyond && drawn >= part.units) {
      draw_any(work, m + 1, drawn - part.units, shared.ring + stage * work.stage_bytes, at);
    }
    commit_copies();
    ++drawn;
  };
#pragma unroll 1
  for (uint32_t stage = progress.stage + drawn; drawn < work.depth; ++stage) {
    draw(stage < work.depth ? stage : stage - work.depth);
  }

  const uint32_t row_block = kSingle ? kWholePart : work.row_block;
  for (uint32_t block_tile = part.begin; block_tile < part.end; block_tile += row_block * part.step) {
    const uint32_t block_end = min(block_tile + row_block * part.step, part.end);
    const Cursor block_slot = progress.slot;
    const uint32_t block_reducer = progress.reducer;
    for (uint32_t round = 0; round < (kSingle ? 1 : work.tile_columns); round += at.warps) {
      const uint32_t s = round + at.warp;
      const bool there = kSingle || s < work.tile_columns;
      const bool last_round = kSingle || round + at.warps >= work.tile_columns;
      if (there && (s != progress.filled || !summed)) {
        if (progress.filled == ~0u) wait_for_earlier();
        if (s != progress.filled) {
          Operand::fill(shared.copy, work.activations, work.stride, work.rows, work.groups, s, at.lane);
        }
        progress.filled = s;
        sums.compute(x, at.lane);
        summed = true;
      }
      progress.slot = block_slot;
      progress.reducer = block_reducer;
#pragma unroll 1
      for (uint32_t tile = block_tile; tile < block_end; tile += part.step) {
        float acc[4] = {};
        if (there) {
#pragma unroll
          for (int unit = 0; unit < F::kUnits; ++unit) {
            wait_for_copies(work.depth - 1);
            __syncwarp();
            const char* stage = shared.stages + progress.stage * work.stage_bytes;
            multiply_unit<F>(stage, stage + kUnitBytes, x, sums, unit, at.lane, acc);
            __syncwarp();
            draw(progress.stage);
            progress.stage = progress.stage + 1 == work.depth ? 0 : progress.stage + 1;
          }
        }
        const Cursor slot = progress.slot;
        if (kSingle || round == 0) barrier_wait(shared.slot_empty + slot.slot * 8, slot.parity ^ 1);
        if (there && column_there) {
          float4* to = reinterpret_cast<float4*>(sums_of_lane + slot.slot * slot_stride);
          float4 sum = make_float4(acc[0], acc[1], acc[2], acc[3]);
          if (!kSingle && round != 0) {
            const float4 before = *to;
            sum = make_float4(before.x + sum.x, before.y + sum.y, before.z + sum.z, before.w + sum.w);
          }
          *to = sum;
        }
        if (last_round) {
          __syncwarp();
          if (at.lane == 0) barrier_arrive(shared.slot_full + slot.slot * 8);
          if (pending_tile != ~0u) [[unlikely]] {  // a pair late: by now the other warps have theirs
            take_sums(work, matrix, at, shared, pending_slot, pending_tile, part.end);
            pending_tile = ~0u;
          }
          if (progress.reducer == at.warp) {
            pending_slot = slot;
            pending_tile = tile;
          }
        }
        progress.slot.next(work.slots);
        progress.reducer = progress.reducer + 1 == at.warps ? 0 : progress.reducer + 1;
      }
    }
    if (pending_tile != ~0u) take_sums(work, matrix, at, shared, pending_slot, pending_tile, part.end);
    pending_tile = ~0u;
  }
  progress.drawn = beyond ? work.depth : 0;
}

/// For launches of these types only: a kernel for all would spill registers.
template <TensorType... kTypes>
__global__ void __launch_bounds__(kMaxWarps * 32, 1) matvec_kernel(const __grid_constant__ Work work) {
  extern __shared__ __align__(128) char dynamic[];
  const Place at = {kept(threadIdx.x / 32), blockDim.x / 32, kept(threadIdx.x % 32)};
  SharedMemory shared;
  shared.stages = dynamic + at.warp * work.depth * work.stage_bytes;
  shared.ring = shared_address(shared.stages) + at.lane * 16;
  shared.partials = dynamic + at.warps * work.depth * work.stage_bytes;
  char* copies = shared.partials + work.slots * at.warps * work.partial_bytes;
  char* zeros = copies + at.warps * work.rows * Operand::kRowBytes;
  shared.copy = copies + at.warp * work.rows * Operand::kRowBytes;
  shared.zeros = zeros;
  shared.slot_full = shared_address(zeros + Operand::kRowBytes);
  shared.slot_empty = shared.slot_full + work.slots * 8;
  for (uint32_t i = threadIdx.x; i < Operand::kRowBytes / 16; i += blockDim.x) {
    reinterpret_cast<uint4*>(zeros)[i] = make_uint4(0, 0, 0, 0);
  }
  if (threadIdx.x < work.slots) {
    barrier_init(shared.slot_full + threadIdx.x * 8, at.warps);
    barrier_init(shared.slot_empty + threadIdx.x * 8, 1);
  }
  __syncthreads();
  let_next_start();

  Progress progress;
  for (uint32_t m = 0; m < work.count; ++m) {
    const Part part(work, m, at);
    if (part.begin == part.end) continue;
    const TensorType here = work.matrices[m].type;
    const auto multiply_if = [&]<TensorType type>() {
      if (here != type) return;
      if (work.row_block == kWholePart) {
        multiply<type, true>(work, m, part, at, shared, progress);
      } else {
        multiply<type, false>(work, m, part, at, shared, progress);
      }
    };
    (multiply_if.template operator()<kTypes>(), ...);
  }
  if (progress.filled == ~0u)
    wait_for_earlier();  // a kernel that waits for this one waits for the earlier too
#if __CUDA_ARCH__ >= 900
  // Each block draws its share of what comes next into L2.
  if (at.warp == 0 && work.prefetch_bytes != 0) {
    const uint64_t part = (work.prefetch_bytes / gridDim.x / 32 + 15) / 16 * 16;
    const uint64_t from = (uint64_t{blockIdx.x} * 32 + at.lane) * part;
    if (from + part <= work.prefetch_bytes) prefetch_bulk(work.prefetch + from, static_cast<uint32_t>(part));
  }
#endif
}

__global__ void __launch_bounds__(256) quantise_rows_kernel(const float* x, uint32_t stride, uint32_t columns,
                                                            __half* activations, uint32_t to_stride) {
  let_next_start();
  wait_for_earlier();
  const uint32_t k = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
  if (k >= columns) return;
  const float* row = x + uint64_t{blockIdx.y} * stride + k;
  store_activations(activations + uint64_t{blockIdx.y} * to_stride, k,
                    make_float4(row[0], row[1], row[2], row[3]));
}

using Kernel = void (*)(Work);

struct KernelOfTypes {
  uint32_t types;  // bit n: TensorType n
  Kernel kernel;
};

template <TensorType... kTypes>
constexpr KernelOfTypes kernel_of() {
  return {((1u << static_cast<uint32_t>(kTypes)) | ...), matvec_kernel<kTypes...>};
}

/// In order of preference: the first that has a launch's types is taken.
constexpr KernelOfTypes kKernels[] = {
    kernel_of<TensorType::Q4_K>(),
    kernel_of<TensorType::Q5_K>(),
    kernel_of<TensorType::Q6_K>(),
    kernel_of<TensorType::Q8_0>(),
    kernel_of<TensorType::Q2_K>(),
    kernel_of<TensorType::Q3_K>(),
    kernel_of<TensorType::NVFP4>(),
    kernel_of<TensorType::BF16, TensorType::FP8>(),
    kernel_of<TensorType::Q4_K, TensorType::Q5_K>(),
    kernel_of<TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K, TensorType::Q8_0>(),
    kernel_of<TensorType::Q2_K, TensorType::Q3_K, TensorType::Q4_K, TensorType::Q6_K>(),
    kernel_of<TensorType::MXFP4, TensorType::IQ4_XS, TensorType::IQ4_NL>(),
    kernel_of<TensorType::Q4_0, TensorType::Q4_1, TensorType::Q5_0, TensorType::Q5_1, TensorType::F16,
              TensorType::F32>(),
    kernel_of<TensorType::F32, TensorType::F16, TensorType::BF16, TensorType::Q4_0, TensorType::Q4_1,
              TensorType::Q5_0, TensorType::Q5_1, TensorType::Q8_0, TensorType::Q2_K, TensorType::Q3_K,
              TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K, TensorType::IQ4_NL, TensorType::IQ4_XS,
              TensorType::MXFP4, TensorType::NVFP4, TensorType::FP8>(),
};

Kernel kernel_for(const Work& work) {
  uint32_t types = 0;
  for (uint32_t m = 0; m < work.count; ++m) types |= 1u << static_cast<uint32_t>(work.matrices[m].type);
  for (const KernelOfTypes& candidate : kKernels) {
    if ((types & ~candidate.types) == 0) return candidate.kernel;
  }
  return nullptr;
}

/// How many warps share the columns: enough that the tiles are dealt out evenly. Less shared memory holds the
/// stages of fewer warps.
uint32_t warps_of(const MatvecDevice& device, uint32_t tile_columns) {
  const uint32_t most =
      device.shared_bytes >= 200 * 1024 ? kMaxWarps : std::max(device.shared_bytes / (16 * 1024), 1u);
  const uint32_t rounds = (tile_columns + most - 1) / most;
  return (tile_columns + rounds - 1) / rounds;
}

cudaError_t describe(const MatvecLaunch& launch, Work* work, uint32_t* out_tile_rows) {
  const bool paired = launch.epilogue == Epilogue::kSwiGlu;
  const PackedMatrix& first = launch.matrices[0];
  if (launch.count == 0 || launch.count > kMatvecMaxMatrices || launch.rows == 0 ||
      launch.rows > kMatvecMaxRows || first.columns % 32 != 0 || (paired && launch.count != 2)) {
    return cudaErrorInvalidValue;
  }
  *work = {};
  *out_tile_rows = 0;
  for (uint32_t m = 0; m < launch.count; ++m) {
    const PackedMatrix& matrix = launch.matrices[m];
    const TileShape shape = tile_shape(matrix.type);
    if (matrix.columns != first.columns) return cudaErrorInvalidValue;
    work->stage_bytes = std::max(work->stage_bytes, 2 * shape.bytes / shape.units);
    if (paired && m == 1) {
      if (matrix.type != first.type || matrix.rows != first.rows) return cudaErrorNotSupported;
      work->matrices[0].second = static_cast<const char*>(matrix.data);
      work->matrices[0].second_scale = matrix.scale * kActivationDivisor;
      continue;
    }
    MatrixWork& to = work->matrices[m];
    to.data = static_cast<const char*>(matrix.data);
    to.out = launch.outputs[m];
    to.rows = matrix.rows;
    to.tile_rows = (matrix.rows + kTileRows - 1) / kTileRows;
    to.tile_bytes = shape.bytes;
    to.unit_bytes = shape.bytes / shape.units;
    to.units = shape.units;
    to.out_stride = launch.output_strides[m];
    to.scale = matrix.scale * kActivationDivisor;
    to.type = matrix.type;
    to.first_tile_row = *out_tile_rows;
    *out_tile_rows += to.tile_rows;
    ++work->count;
  }
  work->activations = launch.activations;
  work->activation_output = launch.activation_output;
  work->prefetch = static_cast<const char*>(launch.prefetch);
  work->prefetch_bytes = launch.prefetch_bytes;
  work->tile_columns = (first.columns + kTileColumns - 1) / kTileColumns;
  work->groups = first.columns / 32;
  work->stride = activation_stride(first.columns);
  work->output_stride = activation_stride(first.rows);
  work->rows = launch.rows;
  work->epilogue = launch.epilogue;
  work->partial_bytes = (launch.rows + 1) / 2 * 128;
  return cudaSuccess;
}

}  // namespace

cudaError_t prepare_matvec(MatvecDevice* out_device) {
  *out_device = {};
  int device = 0, multiprocessors = 0, shared_bytes = 0, major = 0;
  cudaError_t error = cudaGetDevice(&device);
  const auto read = [&](int* value, cudaDeviceAttr attribute) {
    if (error == cudaSuccess) error = cudaDeviceGetAttribute(value, attribute, device);
  };
  read(&multiprocessors, cudaDevAttrMultiProcessorCount);
  read(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  read(&major, cudaDevAttrComputeCapabilityMajor);
  for (const KernelOfTypes& each : kKernels) {
    cudaFuncAttributes attributes = {};
    if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, each.kernel);
    const auto set = [&](cudaFuncAttribute attribute, int value) {
      if (error == cudaSuccess) error = cudaFuncSetAttribute(each.kernel, attribute, value);
    };
    set(cudaFuncAttributeMaxDynamicSharedMemorySize,
        shared_bytes - static_cast<int>(attributes.sharedSizeBytes));
    set(cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
  }
  if (error != cudaSuccess) return error;
  out_device->multiprocessors = static_cast<uint32_t>(multiprocessors);
  out_device->shared_bytes = static_cast<uint32_t>(shared_bytes);
  out_device->programmatic = major >= 9;
  return cudaSuccess;
}

cudaError_t matvec(const MatvecDevice& device, const MatvecLaunch& launch, cudaStream_t stream) {
  Work work;
  uint32_t tile_rows = 0;
  const cudaError_t error = describe(launch, &work, &tile_rows);
  if (error != cudaSuccess) return error;
  const uint32_t warps = warps_of(device, work.tile_columns);
  const uint32_t blocks_per_multiprocessor = std::min(kMaxWarps / warps, kMaxBlocks);
  const uint32_t blocks = std::min(tile_rows, device.multiprocessors * blocks_per_multiprocessor);
  work.block_rows = tile_rows / blocks;
  work.longer_blocks = tile_rows % blocks;
  const bool single = warps == work.tile_columns;
  const uint32_t pairs = (tile_rows / blocks + 2) / 2;  // of a block, about
  work.row_block = single ? kWholePart : std::min(pairs, kRowBlock);
  work.slots = single ? (launch.rows <= 4 ? kSlots : 2) : work.row_block;
  const uint32_t fixed_bytes =
      work.slots * (warps * work.partial_bytes + 16) + (warps * work.rows + 1) * Operand::kRowBytes;
  const uint32_t shared_bytes = device.shared_bytes / blocks_per_multiprocessor - 1024;
  if (fixed_bytes + warps * work.stage_bytes > shared_bytes) return cudaErrorInvalidConfiguration;
  work.depth = std::min((shared_bytes - fixed_bytes) / (warps * work.stage_bytes), kMaxDepth);

  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(warps * 32);
  config.dynamicSmemBytes = fixed_bytes + work.depth * warps * work.stage_bytes;
  config.stream = stream;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = launch.programmatic && device.programmatic ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel_for(work), work);
}

cudaError_t quantise_rows(const float* x, uint32_t stride, uint32_t columns, uint32_t rows,
                          __half* activations, bool programmatic, cudaStream_t stream) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3((columns / 4 + 255) / 256, rows);
  config.blockDim = dim3(256);
  config.stream = stream;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = programmatic ? 1 : 0;
  return cudaLaunchKernelEx(&config, quantise_rows_kernel, x, stride, columns, activations,
                            activation_stride(columns));
}

}  // namespace inlay::cuda

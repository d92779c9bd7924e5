#include "kernels/cuda/matvec.h"

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/matvec.cuh"
#include "kernels/cuda/matvec_unit.cuh"
#include "kernels/cuda/matvec_work.cuh"

// How the work is cut:
// - One block a multiprocessor. Each takes a range of tile rows (8 rows each) of one matrix and multiplies
//   them two at a time, as the 16 rows of a matrix instruction: two neighbours, or for SwiGLU the same rows
//   of gate and up.
// - The tile columns are dealt out to slots, column s to slot s % slots, and the slots to the warps. How many
//   slots there are follows from the number of columns alone. So does the order of every sum: within a tile,
//   over a slot's columns in order, over the slots in order.
// - Each warp draws its tiles through a ring of its own, from the kernel's first instruction on: weights do
//   not wait for the kernel before, and no warp waits for another's.
// - The warps leave the slots' sums of a batch of pairs in shared memory, and after it all threads add them
//   and hand the results out.

namespace inlay::cuda {
namespace {

constexpr uint32_t kGoodBatch = 4;    // pairs
constexpr uint32_t kZeroBytes = 640;  // a row of zeros; what follows is aligned as copies like it
constexpr uint64_t kMostBrought = uint64_t{24} << 20;  // half of a large second-level cache
constexpr uint32_t kMaxSlots = 20;                     // as many warps have 96 registers each
constexpr uint32_t kFewRows = 4;       // of activations, for which small codes have another path
constexpr uint32_t kSlotsAtOnce = 10;  // that are read before they are added

__device__ __forceinline__ float silu(float x) { return __fdiv_rn(x, 1.0f + expf(-x)); }

/// Rows g and g + 8 of a pair, one column: sums over the slots and hands them out.
__device__ __forceinline__ void finish(const Work& work, const MatrixWork& matrix, const char* partials,
                                       uint32_t tile, bool single, uint32_t index) {
  const uint32_t g = index / 2 % 8, column = index / 16 * 2 + index % 2, row = tile * kTileRows + g;
  if (column >= work.rows) return;
  const bool swiglu = work.epilogue == Epilogue::kSwiGlu;
  const bool first_there = row < matrix.rows, second_there = !single && row + kTileRows < matrix.rows;
  float* out = matrix.out + uint64_t{column} * matrix.out_stride + row;
  float first_before = 0.0f, second_before = 0.0f;
  if (work.epilogue == Epilogue::kAdd) {
    if (first_there) first_before = out[0];
    if (second_there) second_before = out[8];
  }
  const float* from = reinterpret_cast<const float*>(partials) + index / 2 * 4 + index % 2;
  const uint32_t stride = work.partial_bytes / sizeof(float);
  float first = 0.0f, second = 0.0f;
#pragma unroll 1
  for (uint32_t slot = 0; slot < work.slots; slot += kSlotsAtOnce) {
    float a[kSlotsAtOnce], b[kSlotsAtOnce];
#pragma unroll
    for (uint32_t i = 0; i < kSlotsAtOnce; ++i) {
      const bool there = slot + i < work.slots;
      a[i] = there ? from[(slot + i) * stride] : 0.0f;
      b[i] = there ? from[(slot + i) * stride + 2] : 0.0f;
    }
#pragma unroll
    for (uint32_t i = 0; i < kSlotsAtOnce; ++i) first += a[i], second += b[i];
  }
  first = __fmul_rn(first, matrix.scale);
  second = __fmul_rn(second, swiglu ? matrix.second_scale : matrix.scale);
  if (swiglu) {
    if (first_there) {
      work.activation_output[uint64_t{column} * work.output_stride + activation_index(row)] =
          to_activation(__fmul_rn(silu(first), second));
    }
  } else {
    if (first_there) out[0] = __fadd_rn(first_before, first);
    if (second_there) out[8] = __fadd_rn(second_before, second);
  }
}

/// A block's shared memory, as one of its warps sees it: a row of zeros, sums [batch][slots], rings,
/// activations.
struct SharedMemory {
  char* zeros;
  char* sums;
  char* stages;
  char* activations;

  __device__ __forceinline__ SharedMemory(const Work& work, const Place& at, char* shared) {
    zeros = shared;
    sums = zeros + kZeroBytes;
    stages = sums + work.batch * work.slots * work.partial_bytes;
    activations =
        stages + at.warps * work.ring_bytes + at.warp * work.kept_columns * work.rows * work.row_bytes;
    stages += at.warp * work.ring_bytes;
  }
};

/// Multiplies a batch's tiles of one column, from `tile` on, and adds the products to its slot's sums.
template <typename F, bool kFew>
__device__ __forceinline__ void multiply_column(const Work& work, const Place& at, Ring<F>& ring,
                                                const SharedMemory& shared, const char* copy, uint32_t tile,
                                                uint32_t pairs, char* sums, bool first_column) {
  const auto column = ColumnOperands::of<F, kFew>(copy, shared.zeros, work.rows, at.lane);
  // Lane 4 g + t has results of rows g and g + 8, in columns 2 t and 2 t + 1, or in column t alone.
  constexpr bool kAlone = kFew && F::kFamily == Family::kSmall;
  const uint32_t g = at.lane / 4, t = at.lane % 4;
  const bool column_there = (kAlone ? t : t * 2) < work.rows;
  char* to = sums + (kAlone ? (t / 2 * 8 + g) * 16 + t % 2 * 4 : (t * 8 + g) * 16);
#pragma unroll 1
  while (pairs != 0) {
    const uint32_t count = min(pairs, Ring<F>::kPairs);
    if (F::kUnits == 1) ring.wait();
#pragma unroll 1
    for (uint32_t pair = 0; pair < count; ++pair) {
      float acc[4] = {};
#pragma unroll
      for (int unit = 0; unit < F::kUnits; ++unit) {
        if (F::kUnits != 1) ring.wait();
        multiply_unit<F>(ring.first(tile, pair), ring.second(tile, pair), column, unit, at.lane, acc);
        if (F::kUnits != 1) ring.next();
      }
      if (column_there && kAlone) {
        float* results = reinterpret_cast<float*>(to);
        results[0] = first_column ? acc[0] : results[0] + acc[0];
        results[2] = first_column ? acc[2] : results[2] + acc[2];
      } else if (column_there) {
        float4 sum = make_float4(acc[0], acc[1], acc[2], acc[3]);
        if (!first_column) {
          const float4 before = *reinterpret_cast<const float4*>(to);
          sum = make_float4(before.x + sum.x, before.y + sum.y, before.z + sum.z, before.w + sum.w);
        }
        *reinterpret_cast<float4*>(to) = sum;
      }
      to += work.slots * work.partial_bytes;
    }
    if (F::kUnits == 1) ring.next();
    pairs -= count;
    tile += Ring<F>::kPairs * ring.step();
  }
}

/// A warp's share of what a later launch reads, to the second-level cache.
__device__ __forceinline__ void bring_next(const Work& work, const Place& at) {
#if __CUDA_ARCH__ >= 900
  if (work.next_bytes == 0 || at.lane != 0) return;
  const char* from = work.next + uint64_t{blockIdx.x * at.warps + at.warp} * work.next_bytes;
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(from)),
               "r"(work.next_bytes)
               : "memory");
#endif
}

/// This block's part of its matrix.
template <TensorType type, bool kFew>
__device__ __forceinline__ void multiply(const Work& work, const MatrixWork& matrix, const Place& at,
                                         const SharedMemory& shared) {
  using F = Format<type>;
  const Part part(work, matrix);
  Ring<F> ring(work, matrix, part, at, shared.stages);
  if (threadIdx.x < kZeroBytes / 16) {
    reinterpret_cast<uint4*>(shared.zeros)[threadIdx.x] = make_uint4(0, 0, 0, 0);
  }
  __syncthreads();
  wait_for_earlier();
  const auto fill = [&](uint32_t s, uint32_t end) {
    const Wanted wanted = {work.activations, work.stride, work.rows, work.groups, s, at.warps, end};
    fill_operands<F>(shared.activations, wanted, at.lane);
  };
  if (work.kept) fill(at.warp, work.tile_columns);

  for (uint32_t begin = 0; begin < part.pairs; begin += work.batch) {
    const uint32_t pairs = min(work.batch, part.pairs - begin);
    const char* copy = shared.activations;
    for (uint32_t slot = at.warp; slot < work.slots; slot += at.warps) {
      for (uint32_t s = slot; s < work.tile_columns; s += work.slots) {
        if (!work.kept) fill(s, s + 1);
        multiply_column<F, kFew>(work, at, ring, shared, copy,
                                 s * matrix.tile_rows + part.begin + begin * part.step, pairs,
                                 shared.sums + slot * work.partial_bytes, s == slot);
        if (work.kept) copy += work.rows * operand_row_bytes<F>();
      }
    }
    if (begin + work.batch >= part.pairs) bring_next(work, at);
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < pairs << work.result_shift; i += blockDim.x) {
      const uint32_t pair = i >> work.result_shift;
      finish(work, matrix, shared.sums + pair * work.slots * work.partial_bytes,
             part.begin + (begin + pair) * part.step, part.odd && begin + pair + 1 == part.pairs,
             i & ((1u << work.result_shift) - 1));
    }
    if (begin + work.batch < part.pairs) __syncthreads();
  }
}

/// For launches of these types only: a kernel for all would need more registers, and instruction cache.
template <bool kFew, TensorType... kTypes>
__global__ void __launch_bounds__(kMaxSlots * 32, 1) matvec_kernel(const __grid_constant__ Work work) {
  extern __shared__ __align__(128) char dynamic[];
  let_next_start();
  const Place at = {kept(threadIdx.x / 32), blockDim.x / 32, kept(threadIdx.x % 32)};
  const SharedMemory shared(work, at, dynamic);
  uint32_t m = 0;
  while (m + 1 < work.count && blockIdx.x >= work.matrices[m + 1].first_block) ++m;
  const MatrixWork& matrix = work.matrices[m];
  const auto multiply_if = [&]<TensorType type>() {
    if (matrix.type != type) return false;
    multiply<type, kFew>(work, matrix, at, shared);
    return true;
  };
  (void)(multiply_if.template operator()<kTypes>() || ...);  // nothing is kept for the types behind
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
  uint32_t rows;   // of activations, at the most
  Kernel kernel;
};

template <TensorType... kTypes>
constexpr KernelOfTypes kernel_of() {
  return {((1u << static_cast<uint32_t>(kTypes)) | ...), kMatvecMaxRows, matvec_kernel<false, kTypes...>};
}
template <TensorType... kTypes>
constexpr KernelOfTypes kernel_of_few_rows() {
  return {((1u << static_cast<uint32_t>(kTypes)) | ...), kFewRows, matvec_kernel<true, kTypes...>};
}

/// In order of preference: the first that has a launch's types and rows is taken.
constexpr KernelOfTypes kKernels[] = {
    kernel_of_few_rows<TensorType::Q2_K>(),
    kernel_of_few_rows<TensorType::Q3_K>(),
    kernel_of_few_rows<TensorType::Q2_K, TensorType::Q3_K>(),
    kernel_of<TensorType::Q4_K>(),
    kernel_of<TensorType::Q5_K>(),
    kernel_of<TensorType::Q6_K>(),
    kernel_of<TensorType::Q8_0>(),
    kernel_of<TensorType::Q2_K>(),
    kernel_of<TensorType::Q3_K>(),
    kernel_of<TensorType::NVFP4>(),
    kernel_of<TensorType::BF16, TensorType::FP8>(),
    kernel_of<TensorType::Q4_K, TensorType::Q5_K>(),
    kernel_of<TensorType::Q2_K, TensorType::Q3_K>(),
    kernel_of<TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K, TensorType::Q8_0>(),
    kernel_of_few_rows<TensorType::Q2_K, TensorType::Q3_K, TensorType::Q4_K, TensorType::Q6_K>(),
    kernel_of<TensorType::Q2_K, TensorType::Q3_K, TensorType::Q4_K, TensorType::Q6_K>(),
    kernel_of<TensorType::MXFP4, TensorType::IQ4_XS, TensorType::IQ4_NL>(),
    kernel_of<TensorType::Q4_0, TensorType::Q4_1, TensorType::Q5_0, TensorType::Q5_1, TensorType::F16,
              TensorType::F32>(),
    kernel_of<TensorType::F32, TensorType::F16, TensorType::BF16, TensorType::Q4_0, TensorType::Q4_1,
              TensorType::Q5_0, TensorType::Q5_1, TensorType::Q8_0, TensorType::Q2_K, TensorType::Q3_K,
              TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K, TensorType::IQ4_NL, TensorType::IQ4_XS,
              TensorType::MXFP4, TensorType::NVFP4, TensorType::FP8>(),
};

Kernel kernel_for(const MatvecLaunch& launch) {
  uint32_t types = 0;
  for (uint32_t m = 0; m < launch.count; ++m) types |= 1u << static_cast<uint32_t>(launch.matrices[m].type);
  for (const KernelOfTypes& candidate : kKernels) {
    if ((types & ~candidate.types) == 0 && launch.rows <= candidate.rows) return candidate.kernel;
  }
  return nullptr;
}

/// Bytes of shared memory.
struct Needs {
  uint32_t ring;  // of a warp
  uint32_t row;   // of a row of activations in a tile column
};

constexpr Needs needs_of(TensorType type) {
  switch (type) {
#define INLAY_NEEDS(name, number, elements, bytes) \
  case TensorType::name:                           \
    return {Ring<Format<TensorType::name>>::kBytes, operand_row_bytes<Format<TensorType::name>>()};
    INLAY_FOR_EACH_PACKED_TYPE(INLAY_NEEDS)
#undef INLAY_NEEDS
  }
  return {};
}

/// Deals the blocks out among the matrices, each to the one whose blocks have most to read.
uint32_t deal_blocks(Work& work, uint32_t blocks) {
  for (uint32_t m = 0; m < work.count; ++m) work.matrices[m].blocks = 1;
  uint32_t dealt = work.count;
  for (; dealt < blocks; ++dealt) {
    MatrixWork* most = nullptr;
    uint32_t most_bytes = 0;
    for (uint32_t m = 0; m < work.count; ++m) {
      MatrixWork& matrix = work.matrices[m];
      const uint32_t tile_rows = (matrix.tile_rows + matrix.blocks - 1) / matrix.blocks;
      const uint32_t bytes = tile_rows * tile_shape(matrix.type).bytes;
      if (tile_rows > 1 && bytes > most_bytes) most = &matrix, most_bytes = bytes;
    }
    if (most == nullptr) break;
    ++most->blocks;
  }
  for (uint32_t m = 0; m < work.count; ++m) {
    MatrixWork& matrix = work.matrices[m];
    matrix.each = matrix.tile_rows / matrix.blocks;
    matrix.more = matrix.tile_rows % matrix.blocks;
  }
  for (uint32_t m = 1; m < work.count; ++m) {
    work.matrices[m].first_block = work.matrices[m - 1].first_block + work.matrices[m - 1].blocks;
  }
  return dealt;
}

cudaError_t describe(const MatvecLaunch& launch, Work* work) {
  const bool paired = launch.epilogue == Epilogue::kSwiGlu;
  const PackedMatrix& first = launch.matrices[0];
  if (launch.count == 0 || launch.count > kMatvecMaxMatrices || launch.rows == 0 ||
      launch.rows > kMatvecMaxRows || first.columns % 32 != 0 || (paired && launch.count != 2)) {
    return cudaErrorInvalidValue;
  }
  *work = {};
  for (uint32_t m = 0; m < launch.count; ++m) {
    const PackedMatrix& matrix = launch.matrices[m];
    const float scale = matrix.scale * kActivationDivisor * tile_shape(matrix.type).result;
    if (matrix.columns != first.columns) return cudaErrorInvalidValue;
    if (paired && m == 1) {
      if (matrix.type != first.type || matrix.rows != first.rows) return cudaErrorNotSupported;
      work->matrices[0].second = static_cast<const char*>(matrix.data);
      work->matrices[0].second_scale = scale;
      continue;
    }
    MatrixWork& to = work->matrices[m];
    to.data = static_cast<const char*>(matrix.data);
    to.out = launch.outputs[m];
    to.rows = matrix.rows;
    to.tile_rows = (matrix.rows + kTileRows - 1) / kTileRows;
    to.out_stride = launch.output_strides[m];
    to.scale = scale;
    to.type = matrix.type;
    const Needs needs = needs_of(matrix.type);
    work->ring_bytes = std::max(work->ring_bytes, needs.ring);
    work->row_bytes = std::max(work->row_bytes, needs.row);
    ++work->count;
  }
  work->activations = launch.activations;
  work->activation_output = launch.activation_output;
  work->tile_columns = (first.columns + kTileColumns - 1) / kTileColumns;
  const uint32_t rounds = (work->tile_columns + kMaxSlots - 1) / kMaxSlots;
  work->slots = (work->tile_columns + rounds - 1) / rounds;
  if (rounds > 1) work->slots = (work->slots + 3) / 4 * 4;  // as much for each of the four schedulers
  work->groups = first.columns / 32;
  work->stride = activation_stride(first.columns);
  work->output_stride = activation_stride(first.rows);
  work->rows = launch.rows;
  work->epilogue = launch.epilogue;
  work->partial_bytes = (launch.rows + 1) / 2 * 128;
  work->result_shift = launch.rows <= 2 ? 4 : launch.rows <= 4 ? 5 : 6;
  return cudaSuccess;
}

/// Pairs of tile rows that a block has at the most.
uint32_t most_pairs(const Work& work) {
  uint32_t pairs = 0;
  for (uint32_t m = 0; m < work.count; ++m) {
    const uint32_t tile_rows =
        (work.matrices[m].tile_rows + work.matrices[m].blocks - 1) / work.matrices[m].blocks;
    pairs = std::max(pairs, work.epilogue == Epilogue::kSwiGlu ? tile_rows : (tile_rows + 1) / 2);
  }
  return pairs;
}

/// A block's warps, and how they divide its shared memory: as many warps as slots if there is room for that
/// and a few pairs, then room for all pairs, then for all activations at once. Returns the bytes, 0 if they
/// do not fit.
uint32_t divide_memory(Work& work, uint32_t shared_bytes, uint32_t* out_warps) {
  const uint32_t pairs = most_pairs(work), pair_bytes = work.slots * work.partial_bytes;
  for (uint32_t slots_each = 1; slots_each <= work.slots; ++slots_each) {
    const uint32_t warps = (work.slots + slots_each - 1) / slots_each;
    const uint32_t copy_bytes = warps * work.rows * work.row_bytes;  // of a tile column of each warp
    const uint32_t columns = (work.tile_columns + warps - 1) / warps;
    work.batch = warps == 1 ? 1 : std::min(pairs, kGoodBatch);
    uint32_t bytes = kZeroBytes + warps * work.ring_bytes + copy_bytes + work.batch * pair_bytes;
    if (bytes > shared_bytes) continue;
    const uint32_t more = std::min(pairs - work.batch, (shared_bytes - bytes) / pair_bytes);
    const uint32_t batches = (pairs + work.batch + more - 1) / (work.batch + more);
    bytes += ((pairs + batches - 1) / batches - work.batch) * pair_bytes;
    work.batch = (pairs + batches - 1) / batches;
    const bool in_order = warps == work.slots || work.tile_columns <= work.slots;
    work.kept = in_order && bytes + (columns - 1) * copy_bytes <= shared_bytes;
    work.kept_columns = work.kept ? columns : 1;
    *out_warps = warps;
    return work.kept ? bytes + (columns - 1) * copy_bytes : bytes;
  }
  return 0;
}

cudaLaunchAttribute programmatic_attribute() {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  return attribute;
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
    const auto set = [&](cudaFuncAttribute attribute, int value) {
      if (error == cudaSuccess) error = cudaFuncSetAttribute(each.kernel, attribute, value);
    };
    set(cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
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
  const cudaError_t error = describe(launch, &work);
  if (error != cudaSuccess) return error;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(deal_blocks(work, device.multiprocessors));
  uint32_t warps = 0;
  config.dynamicSmemBytes = divide_memory(work, device.shared_bytes, &warps);
  if (config.dynamicSmemBytes == 0) return cudaErrorInvalidConfiguration;
  config.blockDim = dim3(warps * 32);
  if (launch.next.data != nullptr) {
    const uint64_t bytes = bytes_in_tiles(launch.next.type, launch.next.rows, launch.next.columns);
    work.next = static_cast<const char*>(launch.next.data);
    work.next_bytes =
        static_cast<uint32_t>(std::min(bytes, kMostBrought) / (config.gridDim.x * warps) / 128 * 128);
  }
  config.stream = stream;
  cudaLaunchAttribute attribute = programmatic_attribute();
  config.attrs = &attribute;
  config.numAttrs = launch.programmatic && device.programmatic ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel_for(launch), work);
}

cudaError_t quantise_rows(const float* x, uint32_t stride, uint32_t columns, uint32_t rows,
                          __half* activations, bool programmatic, cudaStream_t stream) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3((columns / 4 + 255) / 256, rows);
  config.blockDim = dim3(256);
  config.stream = stream;
  cudaLaunchAttribute attribute = programmatic_attribute();
  config.attrs = &attribute;
  config.numAttrs = programmatic ? 1 : 0;
  return cudaLaunchKernelEx(&config, quantise_rows_kernel, x, stride, columns, activations,
                            activation_stride(columns));
}

}  // namespace inlay::cuda

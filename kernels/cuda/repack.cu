#include "kernels/cuda/repack.h"

#include <algorithm>

#include "formats/tile_packing.h"
#include "kernels/cuda/matvec.cuh"
#include "kernels/cuda/matvec_formats.cuh"

namespace inlay::cuda {
namespace {

constexpr uint32_t kThreads = 128;  // four warps, a tile each

constexpr uint32_t tiles_of(uint64_t n, uint32_t tile) {
  return static_cast<uint32_t>((n + tile - 1) / tile);
}

// --- packing
// -------------------------------------------------------------------------------------------------

template <TensorType type>
__global__ void __launch_bounds__(kThreads)
    pack_kernel(const uint8_t* blocks, uint32_t rows, uint32_t columns, uint64_t source_stride,
                uint32_t tile_rows, char* packed) {
  const uint32_t tile_columns = (columns + kTileColumns - 1) / kTileColumns;
  const uint32_t lane = threadIdx.x % 32, s = blockIdx.x * (kThreads / 32) + threadIdx.x / 32;
  if (s >= tile_columns) return;
  const uint32_t row = blockIdx.y * kTileRows + lane / 4;
  const uint32_t valid = row < rows ? min(columns - s * kTileColumns, kTileColumns) : 0u;
  static_assert(tile_bytes(type) == Format<type>::kTileBytes);
  constexpr uint64_t kRowBytes = row_bytes(type, kTileColumns);
  const uint8_t* source = blocks + row * source_stride + s * kRowBytes;
  char* tile = packed + (uint64_t{s} * tile_rows + blockIdx.y) * Format<type>::kTileBytes;
  tiles::pack_lane<type>(source, valid, tile, lane);
}

// --- and back
// ------------------------------------------------------------------------------------------------

/// Part j of the weights that a lane holds of a tile: four from F::column(t, j) on, then four kHalfApart on.
template <TensorType type>
__device__ __forceinline__ void decode_group(const char* tile, uint32_t lane, int j, float (&w)[8]) {
  using F = Format<type>;
  if constexpr (F::kFamily == Family::kSmall) {
    const typename F::T row(tile, static_cast<int>(lane));
    uint32_t words[16];
    row.operands(words);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float byte = byte_float(words[2 * j + i / 4], i % 4) - F::T::kExcess;
      w[i] = row.slope() * (byte * F::kResult) - row.min_slope() * row.min(j / 2);
    }
  } else if constexpr (F::kFamily == Family::kBlocks) {
    using C = typename F::C;
    using S = typename F::S;
    const Codes<C::kWords> codes = load_code_words<C::kWords>(tile, lane);
    const auto scales = S::load(tile, lane / 4);
    uint32_t a[4];
    C::fragment(codes, j, a);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int part = S::kFine ? 2 * j + i / 4 : j;
      const float half = i % 2 ? high_float(a[i / 2]) : low_float(a[i / 2]);
      const float code = half * (1.0f / (C::weight(part) * kHalfStep)) - F::kOffset;
      w[i] = S::slope(scales) * (S::scale(scales, part) / S::kUnit) * code -
             S::min_slope(scales) * S::min(scales, part);
    }
  } else {
    const __half* high = reinterpret_cast<const __half*>(tile + j * (F::kSplit ? 1024 : 512) + lane * 16);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      w[i] = __half2float(high[i]) * F::kResult;
      if constexpr (F::kSplit) w[i] += __half2float(high[256 + i]) * (1.0f / 2048.0f);
    }
  }
}

template <TensorType type>
__global__ void __launch_bounds__(kThreads)
    dequantise_kernel(const char* packed, uint32_t tile_rows, uint32_t rows, uint32_t columns, float scale,
                      __half* out) {
  const uint32_t tile_columns = (columns + kTileColumns - 1) / kTileColumns;
  const uint32_t lane = threadIdx.x % 32, s = blockIdx.x * (kThreads / 32) + threadIdx.x / 32;
  if (s >= tile_columns) return;
  const uint32_t row = blockIdx.y * kTileRows + lane / 4;
  if (row >= rows) return;
  const char* tile = packed + (uint64_t{s} * tile_rows + blockIdx.y) * Format<type>::kTileBytes;
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const uint32_t k = s * kTileColumns + Format<type>::column(lane % 4, j);
    if (k >= columns) break;
    float w[8];
    decode_group<type>(tile, lane, j, w);
    __half* to = out + uint64_t{row} * columns + k;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      union {
        __half2 pairs[2];
        uint2 bits;
      } v;
      v.pairs[0] = __floats2half2_rn(w[4 * h] * scale, w[4 * h + 1] * scale);
      v.pairs[1] = __floats2half2_rn(w[4 * h + 2] * scale, w[4 * h + 3] * scale);
      *reinterpret_cast<uint2*>(to + Format<type>::kHalfApart * h) = v.bits;
    }
  }
}

/// One block a row; a warp of which only the lanes of that row work takes a tile.
template <TensorType type>
__global__ void __launch_bounds__(kThreads)
    dequantise_rows_kernel(const char* packed, const int32_t* row_ids, uint32_t rows, uint32_t columns,
                           float scale, float* out, uint32_t stride) {
  release_successor();
  wait_for_predecessor();
  const uint32_t tile_rows = (rows + kTileRows - 1) / kTileRows;
  const uint32_t row = min(static_cast<uint32_t>(max(row_ids[blockIdx.x], 0)), rows - 1);
  const uint32_t t = threadIdx.x % 4;
  for (uint32_t group = threadIdx.x / 4; group * 32 < columns; group += kThreads / 4) {
    const uint32_t s = group / 8;
    const char* tile = packed + (uint64_t{s} * tile_rows + row / kTileRows) * Format<type>::kTileBytes;
    float w[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      if (j == static_cast<int>(group % 8)) decode_group<type>(tile, row % kTileRows * 4 + t, j, w);
    }
    float* to = out + uint64_t{blockIdx.x} * stride + s * kTileColumns + Format<type>::column(t, group % 8);
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i / 4 * Format<type>::kHalfApart + i % 4] = w[i] * scale;
  }
}

__global__ void __launch_bounds__(512) read_kernel(const uint4* data, uint64_t count, float* sink) {
  uint32_t mixed = 0;
  const uint64_t stride = uint64_t{gridDim.x} * blockDim.x;
  uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (; i + 3 * stride < count; i += 4 * stride) {
    uint4 v[4];
#pragma unroll
    for (int n = 0; n < 4; ++n) v[n] = __ldcs(data + i + n * stride);
#pragma unroll
    for (int n = 0; n < 4; ++n) mixed ^= v[n].x ^ v[n].y ^ v[n].z ^ v[n].w;
  }
  for (; i < count; i += stride) mixed ^= data[i].x ^ data[i].y ^ data[i].z ^ data[i].w;
  if (mixed == 0x9E3779B9u) *sink = 0.0f;  // keeps the loads
}

dim3 tile_grid(uint32_t rows, uint32_t columns) {
  return dim3(tiles_of(tiles_of(columns, kTileColumns), kThreads / 32), tiles_of(rows, kTileRows));
}

constexpr uint32_t kMaxGridRows =
    65535 / kTileRows * kTileRows * kTileRows;  // rows that one launch's grid covers

}  // namespace

cudaError_t repack(TensorType type, const void* blocks, uint32_t row_begin, uint32_t rows,
                   uint32_t matrix_rows, uint32_t columns, void* packed, cudaStream_t stream) {
  const uint64_t stride = row_bytes(type, columns);
  const uint32_t tile_rows = tiles_of(matrix_rows, kTileRows);
  const auto* source = static_cast<const uint8_t*>(blocks);
  char* to = static_cast<char*>(packed) + uint64_t{row_begin} / kTileRows * tile_shape(type).bytes;
  while (rows != 0) {
    const uint32_t part = std::min(rows, kMaxGridRows);
    const dim3 grid = tile_grid(part, columns);
    switch (type) {
#define INLAY_PACK(name, number, elements, bytes)                                      \
  case TensorType::name:                                                               \
    pack_kernel<TensorType::name>                                                      \
        <<<grid, kThreads, 0, stream>>>(source, part, columns, stride, tile_rows, to); \
    break;
      INLAY_FOR_EACH_PACKED_TYPE(INLAY_PACK)
#undef INLAY_PACK
    }
    source += part * stride;
    to += uint64_t{part} / kTileRows * tile_shape(type).bytes;
    rows -= part;
  }
  return cudaGetLastError();
}

cudaError_t dequantise(const PackedMatrix& matrix, uint32_t row_begin, uint32_t rows, __half* out,
                       cudaStream_t stream) {
  const uint32_t tile_rows = tiles_of(matrix.rows, kTileRows);
  const char* packed =
      static_cast<const char*>(matrix.data) + uint64_t{row_begin} / kTileRows * tile_shape(matrix.type).bytes;
  while (rows != 0) {
    const uint32_t part = std::min(rows, kMaxGridRows);
    const dim3 grid = tile_grid(part, matrix.columns);
    switch (matrix.type) {
#define INLAY_DEQUANTISE(name, number, elements, bytes)                                              \
  case TensorType::name:                                                                             \
    dequantise_kernel<TensorType::name>                                                              \
        <<<grid, kThreads, 0, stream>>>(packed, tile_rows, part, matrix.columns, matrix.scale, out); \
    break;
      INLAY_FOR_EACH_PACKED_TYPE(INLAY_DEQUANTISE)
#undef INLAY_DEQUANTISE
    }
    packed += uint64_t{part} / kTileRows * tile_shape(matrix.type).bytes;
    out += uint64_t{part} * matrix.columns;
    rows -= part;
  }
  return cudaGetLastError();
}

cudaError_t dequantise_rows(const PackedMatrix& matrix, const int32_t* row_ids, uint32_t count, float* out,
                            uint32_t stride, cudaStream_t stream) {
  const char* packed = static_cast<const char*>(matrix.data);
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(count);
  config.blockDim = dim3(kThreads);
  config.stream = stream;
  switch (matrix.type) {
#define INLAY_DEQUANTISE_ROWS(name, number, elements, bytes)                                      \
  case TensorType::name:                                                                          \
    return cudaLaunchKernelEx(&config, dequantise_rows_kernel<TensorType::name>, packed, row_ids, \
                              matrix.rows, matrix.columns, matrix.scale, out, stride);
    INLAY_FOR_EACH_PACKED_TYPE(INLAY_DEQUANTISE_ROWS)
#undef INLAY_DEQUANTISE_ROWS
  }
  return cudaErrorInvalidValue;
}

cudaError_t read_memory(const void* data, uint64_t bytes, float* sink, cudaStream_t stream) {
  int device = 0, multiprocessors = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  }
  if (error != cudaSuccess) return error;
  read_kernel<<<multiprocessors * 4, 512, 0, stream>>>(static_cast<const uint4*>(data), bytes / 16, sink);
  return cudaGetLastError();
}

}  // namespace inlay::cuda

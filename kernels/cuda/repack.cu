#include "kernels/cuda/repack.h"

#include <algorithm>

#include "kernels/cuda/matvec.cuh"
#include "kernels/cuda/matvec_formats.cuh"
#include "kernels/cuda/repack_codes.cuh"

namespace inlay::cuda {
namespace {

constexpr uint32_t kThreads = 128;  // four warps, a tile each

constexpr uint32_t tiles_of(uint64_t n, uint32_t tile) {
  return static_cast<uint32_t>((n + tile - 1) / tile);
}

// --- packing
// -------------------------------------------------------------------------------------------------

template <TensorType type>
struct SourceTile {
  static constexpr uint32_t kBlockColumns = traits(type).block_elements;
  static constexpr uint32_t kBlockBytes = traits(type).block_bytes;
  static constexpr uint32_t kRowBytes = kTileColumns / kBlockColumns * kBlockBytes;
};

/// One row's 256 columns of a file, `valid` of them there.
template <TensorType type>
struct SourceRow {
  static constexpr uint32_t kBlockColumns = SourceTile<type>::kBlockColumns;
  const typename Block<type>::Type* blocks;
  uint32_t valid;

  __device__ uint32_t code(uint32_t k) const {
    return k < valid ? Block<type>::code(blocks[k / kBlockColumns], k % kBlockColumns) : 0u;
  }
  /// The pair i of the four columns of group j, half h, that lane t holds.
  __device__ uint32_t pair(uint32_t t, int j, int h, int i) const {
    const uint32_t k = 32 * j + 16 * h + 4 * t + 2 * i;
    return code(k) | code(k + 1) << 16;
  }
};

__device__ void store_byte(char* p, uint32_t v) { *reinterpret_cast<uint8_t*>(p) = static_cast<uint8_t>(v); }
__device__ void store_half(char* p, uint32_t v) {
  *reinterpret_cast<uint16_t*>(p) = static_cast<uint16_t>(v);
}

/// Writes the scales of one row, `part` of 4 (a lane each).
template <TensorType type>
__device__ void pack_scales(const SourceRow<type>& row, char* tile, uint32_t g, uint32_t t) {
  const auto* b = row.blocks;
  const bool there = row.valid != 0;
  if constexpr (type == TensorType::Q4_K || type == TensorType::Q5_K) {
    char* to = tile + (type == TensorType::Q4_K ? 1024 : 1280) + g * 16;
    uint32_t s0 = 0, s1 = 0, m0 = 0, m1 = 0;
    if (there) {
      s0 = scale_k32(b->scales, 0, t), s1 = scale_k32(b->scales, 0, t + 4);
      m0 = scale_k32(b->scales, 1, t), m1 = scale_k32(b->scales, 1, t + 4);
    }
    store_byte(to + t, s0 | m0 >> 4 << 6);
    store_byte(to + 4 + t, s1 | m1 >> 4 << 6);
    store_byte(to + 8 + t, (m0 & 15u) | (m1 & 15u) << 4);
    if (t < 2) store_half(to + 12 + 2 * t, !there ? 0u : t == 0 ? bits_of(b->d) : bits_of(b->dmin));
  } else if constexpr (type == TensorType::Q6_K) {
    for (uint32_t i = t; i < 16; i += 4) {
      store_byte(tile + 1536 + g * 16 + i, (there ? static_cast<uint8_t>(b->scales[i]) : 0u) ^ 0x80u);
    }
    if (t == 0) store_half(tile + 1664 + g * 2, there ? bits_of(b->d) : 0u);
  } else if constexpr (type == TensorType::Q2_K) {
    for (uint32_t i = t; i < 16; i += 4) store_byte(tile + 512 + g * 16 + i, there ? b->scales[i] : 0u);
    if (t < 2)
      store_half(tile + 640 + g * 4 + 2 * t, !there ? 0u : t == 0 ? bits_of(b->d) : bits_of(b->dmin));
  } else if constexpr (type == TensorType::Q3_K) {
    uint32_t s[4];
    for (uint32_t i = 0; i < 4; ++i) s[i] = there ? Block<type>::scale(*b, 4 * i + t) : 32u;
    store_byte(tile + 768 + g * 8 + t, (s[0] & 15u) | (s[1] & 15u) << 4);
    store_byte(tile + 768 + g * 8 + 4 + t, (s[2] & 15u) | (s[3] & 15u) << 4);
    store_byte(tile + 832 + g * 4 + t, s[0] >> 4 | s[1] >> 4 << 2 | s[2] >> 4 << 4 | s[3] >> 4 << 6);
    if (t == 0) store_half(tile + 864 + g * 2, there ? bits_of(b->d) : 0u);
  } else if constexpr (type == TensorType::IQ4_XS) {
    for (uint32_t i = t; i < 8; i += 4) {
      store_byte(tile + 1024 + g * 8 + i, there ? Block<type>::scale(*b, i) : 32u);
    }
    if (t == 0) store_half(tile + 1088 + g * 2, there ? bits_of(b->d) : 0u);
  } else if constexpr (type == TensorType::MXFP4) {
    for (uint32_t i = t; i < 8; i += 4) store_byte(tile + 1024 + g * 8 + i, 32 * i < row.valid ? b[i].e : 0u);
  } else if constexpr (type == TensorType::NVFP4) {
    for (uint32_t i = t; i < 16; i += 4) {
      const uint32_t e = 16 * i < row.valid ? b[i / 4].d[i % 4] & 0x7Fu : 0u;
      store_byte(tile + 1024 + g * 16 + i, e == 0x7Fu ? 0u : e);  // NaN counts as 0
    }
  } else {
    constexpr uint32_t offset = Format<type>::C::kWords * 128;
    for (uint32_t i = t; i < 8; i += 4) {
      char* to = tile + offset + g * 16 + i % 4 * 4 + i / 4 * 2;
      store_half(to, 32 * i < row.valid ? Block<type>::d(b[i]) : 0u);
      if constexpr (Format<type>::S::kMins) {
        store_half(to + 128, 32 * i < row.valid ? Block<type>::m(b[i]) : 0u);
      }
    }
  }
}

/// Stores word n of a lane's codes where load_code_words looks for it.
template <int kWords>
__device__ void store_code_word(char* tile, uint32_t lane, int n, uint32_t word) {
  const bool last_pair = kWords % 4 == 2 && n >= kWords - 2;
  const uint32_t at = last_pair ? (kWords - 2) * 128 + lane * 8 + (n - (kWords - 2)) * 4
                                : n / 4 * 512 + lane * 16 + n % 4 * 4;
  *reinterpret_cast<uint32_t*>(tile + at) = word;
}

template <TensorType type>
__device__ void pack_blocks(const uint8_t* source, uint32_t valid, char* tile, uint32_t lane) {
  using F = Format<type>;
  const uint32_t g = lane / 4, t = lane % 4;
  const SourceRow<type> row = {reinterpret_cast<const typename Block<type>::Type*>(source), valid};
  if constexpr (F::kFamily == Family::kSmall) {
    const auto code = [&](uint32_t c) { return row.code(64 * t + c); };
    for (int n = 0; n < F::T::kWords; ++n) {
      store_code_word<F::T::kWords>(tile, lane, n, PackSmall<typename F::T, decltype(code)>::word(code, n));
    }
  } else {
    const auto pair = [&](int j, int h, int i) { return row.pair(t, j, h, i); };
    for (int n = 0; n < F::C::kWords; ++n) {
      store_code_word<F::C::kWords>(tile, lane, n, PackWord<typename F::C, decltype(pair)>::word(pair, n));
    }
  }
  pack_scales<type>(row, tile, g, t);
}

/// E4M3 without its scale; the upper bits are F16's, 2^8 too small.
__device__ __forceinline__ float e4m3_float(uint8_t q) {
  const uint16_t bits = static_cast<uint16_t>((q & 0x80u) << 8 | (q & 0x7Fu) << 7);
  return __half2float(__ushort_as_half(bits)) * 256.0f;
}

/// F16, BF16, FP8, F32: 8 columns a lane and group.
template <TensorType type>
__device__ void pack_floats(const uint8_t* source, uint32_t valid, char* tile, uint32_t lane) {
  const uint32_t t = lane % 4;
  for (uint32_t n = 0; n < 64; ++n) {
    const uint32_t j = n / 8, i = n % 8, k = 32 * j + i / 4 * 16 + 4 * t + i % 4;
    if constexpr (type == TensorType::F32) {
      const float w = k < valid ? __uint_as_float(word_at(source + 4 * k)) : 0.0f;
      const __half high = __float2half_rn(w);
      const __half low = __float2half_rn((w - __half2float(high)) * 2048.0f);
      __half* to = reinterpret_cast<__half*>(tile + j * 1024 + lane * 16) + i;
      to[0] = high;
      to[256] = low;
    } else if constexpr (type == TensorType::FP8) {
      float w = 0.0f;
      if (k < valid) {
        const uint8_t* block = source + k / 128 * SourceTile<type>::kBlockBytes;
        w = __uint_as_float(word_at(block)) * e4m3_float(block[4 + k % 128]);
      }
      reinterpret_cast<__half*>(tile + j * 512 + lane * 16)[i] = __float2half_rn(w * 64.0f);
    } else {
      const uint16_t bits = k < valid ? source[2 * k] | source[2 * k + 1] << 8 : 0;
      const __half w = type == TensorType::F16
                           ? __ushort_as_half(bits)
                           : __float2half_rn(__uint_as_float(static_cast<uint32_t>(bits) << 16) * 64.0f);
      reinterpret_cast<__half*>(tile + j * 512 + lane * 16)[i] = w;
    }
  }
}

template <TensorType type>
__global__ void __launch_bounds__(kThreads)
    pack_kernel(const uint8_t* blocks, uint32_t rows, uint32_t columns, uint64_t source_stride,
                uint32_t tile_rows, char* packed) {
  const uint32_t tile_columns = (columns + kTileColumns - 1) / kTileColumns;
  const uint32_t lane = threadIdx.x % 32, s = blockIdx.x * (kThreads / 32) + threadIdx.x / 32;
  if (s >= tile_columns) return;
  const uint32_t row = blockIdx.y * kTileRows + lane / 4;
  const uint32_t valid = row < rows ? min(columns - s * kTileColumns, kTileColumns) : 0u;
  const uint8_t* source = blocks + row * source_stride + uint64_t{s} * SourceTile<type>::kRowBytes;
  char* tile = packed + (uint64_t{s} * tile_rows + blockIdx.y) * Format<type>::kTileBytes;
  if constexpr (Format<type>::kFamily == Family::kFloats) {
    pack_floats<type>(source, valid, tile, lane);
  } else {
    pack_blocks<type>(source, valid, tile, lane);
  }
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

uint64_t packed_bytes(TensorType type, uint64_t rows, uint64_t columns) {
  const uint64_t tiles = uint64_t{tiles_of(rows, kTileRows)} * tiles_of(columns, kTileColumns);
  return (tiles * tile_shape(type).bytes + 255) / 256 * 256;
}

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

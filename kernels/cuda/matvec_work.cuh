#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/matvec.h"
#include "kernels/cuda/matvec_formats.cuh"
#include "kernels/cuda/matvec_mma.cuh"

// What a matvec launch is told, and how a block's tiles come to shared memory.

namespace inlay::cuda {

constexpr uint32_t kWholePart = 1u << 24;

struct MatrixWork {
  const char* data;
  const char* second;  // SwiGLU: up
  float* out;
  uint32_t rows;
  uint32_t first_tile_row;  // of the launch's
  uint32_t tile_rows;
  uint32_t tile_bytes;
  uint32_t unit_bytes;
  uint32_t units;
  uint32_t out_stride;
  float scale;
  float second_scale;
  TensorType type;
};

struct Work {
  MatrixWork matrices[kMatvecMaxMatrices];
  const __half* activations;
  __half* activation_output;
  const char* prefetch;
  uint64_t prefetch_bytes;
  uint32_t count;
  uint32_t block_rows;  // tile rows of a block; the first `longer_blocks` blocks have one more
  uint32_t longer_blocks;
  uint32_t tile_columns;   // tiles in a tile row
  uint32_t groups;         // columns / 32
  uint32_t stride;         // of activations
  uint32_t output_stride;  // of activation_output
  uint32_t rows;
  uint32_t depth;  // stages of the ring
  uint32_t stage_bytes;
  uint32_t row_block;      // pairs, or kWholePart where a warp has one tile of a tile row
  uint32_t slots;          // pairs whose partial sums there is room for
  uint32_t partial_bytes;  // of one warp and pair: what the present columns take
  uint32_t zero;           // 0 (see Exponents)
  Epilogue epilogue;
};

struct Place {
  uint32_t warp, warps, lane;
};

/// A block's part of one matrix, as one of its warps sees it.
struct Part {
  uint32_t begin, end;  // tile rows
  uint32_t step;        // tile rows of a pair that belong to the matrix
  uint32_t rounds;      // tiles of a tile row that are this warp's
  uint32_t units;       // that this warp multiplies, all in all

  __device__ __forceinline__ Part(const Work& work, uint32_t m, const Place& at) {
    const MatrixWork& matrix = work.matrices[m];
    const uint32_t low = blockIdx.x * work.block_rows + min(blockIdx.x, work.longer_blocks);
    const uint32_t high = low + work.block_rows + (blockIdx.x < work.longer_blocks ? 1 : 0);
    const uint32_t last = matrix.first_tile_row + matrix.tile_rows;
    begin = min(max(low, matrix.first_tile_row), last) - matrix.first_tile_row;
    end = min(max(high, matrix.first_tile_row), last) - matrix.first_tile_row;
    step = work.epilogue == Epilogue::kSwiGlu ? 1 : 2;
    rounds = work.row_block == kWholePart ? 1 : (work.tile_columns - at.warp + at.warps - 1) / at.warps;
    units = (end - begin + step - 1) / step * rounds * matrix.units;
  }
};

/// A place in a ring of `depth` things with a barrier each.
struct Cursor {
  uint32_t slot = 0;
  uint32_t parity = 0;

  __device__ __forceinline__ void next(uint32_t depth) {
    if (++slot == depth) {
      slot = 0;
      parity ^= 1;
    }
  }
};

/// Where a warp's next units lie: pair after pair of a row block in one tile column.
struct Stretch {
  const char* next = nullptr;  // what this lane copies first
  uint32_t left = 0;           // units
  bool odd = false;            // the last pair has one tile row only, which then stands for both
};

/// Unit `k` of a warp's part of matrix m and those that follow it pair by pair. The order is that of use: row
/// block, tile column, pair, unit.
__device__ __forceinline__ Stretch locate(const Work& work, uint32_t m, const Part& part, uint32_t k,
                                          const Place& at) {
  Stretch stretch;
  if (k >= part.units) return stretch;
  const MatrixWork& matrix = work.matrices[m];
  uint32_t tile = part.begin, pairs = (part.end - tile + part.step - 1) / part.step, s = at.warp;
  if (work.row_block != kWholePart) {
    pairs = min(pairs, work.row_block);
    while (k >= pairs * part.rounds * matrix.units) {
      k -= pairs * part.rounds * matrix.units;
      tile += pairs * part.step;
      pairs = min((part.end - tile + part.step - 1) / part.step, work.row_block);
    }
    for (; k >= pairs * matrix.units; k -= pairs * matrix.units) s += at.warps;
  }
  stretch.left = pairs * matrix.units - k;
  stretch.odd = part.step == 2 && tile + 2 * pairs > part.end;
  uint32_t pair = k, unit = 0;
  if (matrix.units != 1) {
    pair = k / matrix.units;
    unit = k % matrix.units;
  }
  stretch.next = matrix.data +
                 (uint64_t{tile + pair * part.step} * work.tile_columns + s) * matrix.tile_bytes +
                 unit * matrix.unit_bytes + at.lane * 16;
  return stretch;
}

/// Copies one unit of both tiles of a pair to a stage, 16 bytes a lane at a time.
template <uint32_t kBytes>
__device__ __forceinline__ void copy_unit(uint32_t to, const char* first, const char* second, uint32_t lane) {
#pragma unroll
  for (uint32_t i = 0; i + 512 <= kBytes; i += 512) {
    copy_16(to + i, first + i);
    copy_16(to + kBytes + i, second + i);
  }
  if constexpr (kBytes % 512 != 0) {
    constexpr uint32_t i = kBytes / 512 * 512;
    copy_16_if(lane < kBytes % 512 / 16, to + i, first + i);
    copy_16_if(lane < kBytes % 512 / 16, to + kBytes + i, second + i);
  }
}

/// The distance from a pair's first tile to its second.
__device__ __forceinline__ int64_t second_offset(const Work& work, const MatrixWork& matrix) {
  return work.epilogue == Epilogue::kSwiGlu ? matrix.second - matrix.data
                                            : static_cast<int64_t>(work.tile_columns * matrix.tile_bytes);
}

/// Draws unit k of matrix m, whatever its type: for beginnings, and over the border to the next matrix.
__device__ __forceinline__ void draw_any(const Work& work, uint32_t m, uint32_t k, uint32_t to,
                                         const Place& at) {
  const Stretch stretch = locate(work, m, Part(work, m, at), k, at);
  if (stretch.left == 0) return;
  const MatrixWork& matrix = work.matrices[m];
  const char* second =
      stretch.next + (stretch.odd && stretch.left <= matrix.units ? 0 : second_offset(work, matrix));
#pragma unroll 1
  for (uint32_t i = 0; i + at.lane * 16 < matrix.unit_bytes; i += 512) {
    copy_16(to + i, stretch.next + i);
    copy_16(to + matrix.unit_bytes + i, second + i);
  }
}

}  // namespace inlay::cuda

#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/matvec.h"
#include "kernels/cuda/matvec_formats.cuh"
#include "kernels/cuda/matvec_mma.cuh"

// What a matvec launch is told, and how a warp's tiles come to shared memory.

namespace inlay::cuda {

struct MatrixWork {
  const char* data;
  const char* second;  // SwiGLU: up
  float* out;
  uint32_t rows;
  uint32_t tile_rows;
  uint32_t first_block;
  uint32_t blocks;
  uint32_t out_stride;
  float scale;
  float second_scale;
  TensorType type;
};

struct Work {
  MatrixWork matrices[kMatvecMaxMatrices];
  const __half* activations;
  __half* activation_output;
  const char* next;
  uint32_t next_bytes;  // for each warp
  uint32_t count;
  uint32_t tile_columns;   // tiles in a tile row
  uint32_t slots;          // sums of a pair of tile rows: column s is added to slot s % slots
  uint32_t groups;         // columns / 32
  uint32_t stride;         // of activations
  uint32_t output_stride;  // of activation_output
  uint32_t rows;
  uint32_t batch;          // pairs whose sums there is room for
  uint32_t ring_bytes;     // of one warp
  uint32_t partial_bytes;  // of one slot and pair: what the present columns take
  bool kept;               // a warp holds the activations of all its tile columns at once
  Epilogue epilogue;
};

struct Place {
  uint32_t warp, warps, lane;
};

/// A block's part of its matrix, in pairs of tile rows.
struct Part {
  uint32_t begin;  // tile row
  uint32_t step;   // tile rows of a pair that belong to the matrix
  uint32_t pairs;
  bool odd;  // the last pair has its first tile row only

  __device__ __forceinline__ Part(const Work& work, const MatrixWork& matrix) {
    const uint32_t block = blockIdx.x - matrix.first_block;
    begin = matrix.tile_rows * block / matrix.blocks;
    const uint32_t tile_rows = matrix.tile_rows * (block + 1) / matrix.blocks - begin;
    step = work.epilogue == Epilogue::kSwiGlu ? 1 : 2;
    pairs = (tile_rows + step - 1) / step;
    odd = tile_rows % step != 0;
  }
};

/// A warp's tiles, drawn through a ring of stages in shared memory in the order of use: batch of pairs, slot,
/// tile column, pair, unit. A stage is one unit of both tiles of a pair.
template <typename F>
class Ring {
 public:
  static constexpr uint32_t kUnitBytes = F::kTileBytes / F::kUnits;
  // A tile lies in shared memory as in the matrix, as far from a multiple of 128 bytes: copies are faster so.
  static constexpr bool kAligned = kUnitBytes % 128 == 0;
  static constexpr uint32_t kRoom = kAligned ? kUnitBytes : (kUnitBytes + 112 + 127) / 128 * 128;
  static constexpr uint32_t kStageBytes = 2 * kRoom;
  static constexpr uint32_t kDepth = kStageBytes < 2000 ? 4 : kStageBytes < 3000 ? 3 : 2;
  static constexpr uint32_t kBytes = kDepth * kStageBytes;

  __device__ __forceinline__ Ring(const Work& work, const MatrixWork& matrix, const Part& part,
                                  const Place& at, const char* stages)
      : work_(work),
        matrix_(matrix),
        part_(part),
        at_(at),
        stages_(stages),
        second_(work.epilogue == Epilogue::kSwiGlu ? matrix.second - matrix.data : F::kTileBytes),
        pair_stride_(part.step * F::kTileBytes),
        column_(at.warp) {
    start_column();
#pragma unroll 1
    for (uint32_t stage = 0; stage < kBytes; stage += kStageBytes) draw(stage);
  }

  __device__ __forceinline__ uint32_t step() const { return part_.step; }

  /// Until the next unit is there.
  __device__ __forceinline__ void wait() const {
    wait_for_copies<kDepth - 1>();
    __syncwarp();
  }

  /// Its tiles; `index` is the first one's number in the matrix.
  __device__ __forceinline__ const char* first(uint32_t index) const {
    return stages_ + stage_ + offset(index);
  }
  __device__ __forceinline__ const char* second(uint32_t index) const {
    return stages_ + stage_ + kRoom + offset(index + part_.step - 1);
  }

  /// That unit has been read; another is drawn in its place.
  __device__ __forceinline__ void next() {
    __syncwarp();
    draw(stage_);
    stage_ = stage_ == kBytes - kStageBytes ? 0 : stage_ + kStageBytes;
  }

 private:
  __device__ __forceinline__ void start_column() {
    left_ = 0;
    if (first_ >= part_.pairs) return;
    const uint32_t pairs = min(work_.batch, part_.pairs - first_);
    left_ = pairs * F::kUnits;
    single_ = part_.odd && first_ + pairs == part_.pairs ? F::kUnits : 0;
    const uint32_t tile_row = part_.begin + first_ * part_.step;
    from_ = matrix_.data + (uint64_t{column_} * matrix_.tile_rows + tile_row) * F::kTileBytes + at_.lane * 16;
  }

  __device__ __forceinline__ void next_column() {
    column_ += work_.slots;
    if (column_ >= work_.tile_columns) {
      column_ = column_ % work_.slots + at_.warps;  // the next slot
      if (column_ >= work_.slots) column_ = at_.warp, first_ += work_.batch;
    }
    start_column();
  }

  __device__ __forceinline__ void draw(uint32_t stage) {
    if (left_ != 0) {
      const uint32_t to = shared_address(stages_) + stage + at_.lane * 16;
      copy(true, to, from_);
      copy(left_ > single_, to + kRoom, from_ + second_);
      --left_;
      from_ += F::kUnits == 1 ? pair_stride_ : kUnitBytes;
      if (F::kUnits != 1 && left_ % F::kUnits == 0) from_ += pair_stride_ - F::kTileBytes;
      if (left_ == 0) next_column();
    }
    commit_copies();
  }

  static __device__ __forceinline__ uint32_t offset(uint32_t index) {
    return kAligned ? 0 : index * F::kTileBytes % 128;
  }

  __device__ __forceinline__ void copy(bool there, uint32_t to, const char* from) const {
    if (!kAligned) to += (static_cast<uint32_t>(reinterpret_cast<uintptr_t>(from)) - at_.lane * 16) % 128;
#pragma unroll
    for (uint32_t i = 0; i + 512 <= kUnitBytes; i += 512) copy_16_if(there, to + i, from + i);
    constexpr uint32_t kRest = kUnitBytes % 512;
    if constexpr (kRest != 0) {
      copy_16_if(there && at_.lane < kRest / 16, to + kUnitBytes - kRest, from + kUnitBytes - kRest);
    }
  }

  const Work& work_;
  const MatrixWork& matrix_;
  const Part& part_;
  const Place& at_;
  const char* stages_;
  const int64_t second_;        // from a pair's first tile to its second
  const uint32_t pair_stride_;  // from a pair to the next

  uint32_t stage_ = 0;  // bytes: the stage to be used next
  // What is drawn next:
  uint32_t first_ = 0;  // the batch's first pair
  uint32_t column_;
  uint32_t left_ = 0;    // units of that column in the batch
  uint32_t single_ = 0;  // the last so many have one tile only
  const char* from_ = nullptr;
};

}  // namespace inlay::cuda

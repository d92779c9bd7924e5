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
  uint32_t each;  // tile rows of a block; the first `more` blocks have one more
  uint32_t more;
  uint32_t out_stride;
  float scale;
  float second_scale;
  TensorType type;
};

struct Work {
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
  uint32_t row_bytes;      // of a row of activations in a tile column
  uint32_t partial_bytes;  // of one slot and pair: what the present columns take
  uint32_t kept_columns;   // of activations that a warp holds at once
  uint32_t result_shift;   // a pair of tile rows has at most 1 << result_shift results of both its tiles
  bool kept;               // a warp holds the activations of all its tile columns at once
  Epilogue epilogue;
  MatrixWork matrices[kMatvecMaxMatrices];  // last: most launches then need fewer lines of constants
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
    begin = block * matrix.each + min(block, matrix.more);
    const uint32_t tile_rows = matrix.each + (block < matrix.more);
    const bool swiglu = work.epilogue == Epilogue::kSwiGlu;
    step = swiglu ? 1 : 2;
    pairs = swiglu ? tile_rows : (tile_rows + 1) / 2;
    odd = !swiglu && tile_rows % 2 != 0;
  }
};

/// A warp's tiles, drawn through a ring of stages in shared memory in the order of use: batch of pairs, slot,
/// tile column, pair, unit. A stage has room for two runs of kPairs tiles, or for a unit of two tiles: a run
/// of gate and one of up, or two runs that follow each other.
template <typename F>
class Ring {
 public:
  static constexpr uint32_t kUnitBytes = F::kTileBytes / F::kUnits;
  static constexpr uint32_t kPairs = F::kPairs;
  static constexpr uint32_t kRunBytes = kPairs * kUnitBytes;
  // A run lies in shared memory as in the matrix, as far from a multiple of 128 bytes: copies are faster so.
  static constexpr bool kAligned = kUnitBytes % 128 == 0;
  static constexpr uint32_t kRoom = kAligned ? kRunBytes : (kRunBytes + 112 + 127) / 128 * 128;
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
        second_(part.step == 1 ? matrix.second - matrix.data : kPairs * F::kTileBytes),
        column_(at.warp) {
    start_column();
#pragma unroll 1
    for (uint32_t stage = 0; stage < kBytes; stage += kStageBytes) draw(stage);
  }

  __device__ __forceinline__ uint32_t step() const { return part_.step; }

  /// Until the next stage is there.
  __device__ __forceinline__ void wait() const {
    wait_for_copies<kDepth - 1>();
    __syncwarp();
  }

  /// Tiles of its pair `pair`; `index` is the number in the matrix of the stage's first tile.
  __device__ __forceinline__ const char* first(uint32_t index, uint32_t pair) const {
    const char* stage = stages_ + stage_ + offset(index);
    if (kPairs == 1 || pair == 0) return stage;
    return part_.step == 1 ? stage + F::kTileBytes : stages_ + stage_ + kRoom + offset(index + kPairs);
  }
  __device__ __forceinline__ const char* second(uint32_t index, uint32_t pair) const {
    if (kPairs == 1) return stages_ + stage_ + kRoom + offset(index + part_.step - 1);
    return first(index, pair) + (part_.step == 1 ? kRoom : F::kTileBytes);
  }

  /// That stage has been read; another is drawn in its place.
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
    left_ = pairs * part_.step - (part_.odd && first_ + pairs == part_.pairs);
    const uint32_t tile_row = part_.begin + first_ * part_.step;
    from_ = matrix_.data + (uint64_t{column_} * matrix_.tile_rows + tile_row) * F::kTileBytes + at_.lane * 16;
  }

  __device__ __forceinline__ void next_column() {
    column_ += work_.slots;
    if (column_ >= work_.tile_columns) {
      while (column_ >= work_.slots) column_ -= work_.slots;
      column_ += at_.warps;  // the next slot
      if (column_ >= work_.slots) column_ = at_.warp, first_ += work_.batch;
    }
    start_column();
  }

  __device__ __forceinline__ void draw(uint32_t stage) {
    if (left_ != 0) {
      const uint32_t to = shared_address(stages_) + stage + at_.lane * 16;
      const uint32_t first = min(left_, kPairs);
      const uint32_t second = part_.step == 1 ? first : min(left_ - first, kPairs);
      copy(first * kUnitBytes, to, from_);
      copy(second * kUnitBytes, to + kRoom, from_ + second_);
      bool done = true;
      if constexpr (F::kUnits != 1) {
        done = ++unit_ == F::kUnits;
        from_ += kUnitBytes;
        if (done) unit_ = 0, from_ -= F::kTileBytes;
      }
      if (done) {
        from_ += part_.step * kPairs * F::kTileBytes;
        left_ -= part_.step == 1 ? first : first + second;
        if (left_ == 0) next_column();
      }
    }
    commit_copies();
  }

  static __device__ __forceinline__ uint32_t offset(uint32_t index) {
    return kAligned ? 0 : index * F::kTileBytes % 128;
  }

  __device__ __forceinline__ void copy(uint32_t bytes, uint32_t to, const char* from) const {
    if (!kAligned) to += (static_cast<uint32_t>(reinterpret_cast<uintptr_t>(from)) - at_.lane * 16) % 128;
#pragma unroll
    for (uint32_t i = 0; i < kRunBytes; i += 512) {
      copy_16_if(i + 512 <= kUnitBytes ? bytes != 0 : at_.lane * 16 + i < bytes, to + i, from + i);
    }
  }

  const Work& work_;
  const MatrixWork& matrix_;
  const Part& part_;
  const Place& at_;
  const char* stages_;
  const int64_t second_;  // from a stage's first run to its second

  uint32_t stage_ = 0;  // bytes: the stage to be used next
  // What is drawn next:
  uint32_t first_ = 0;  // the batch's first pair
  uint32_t column_;
  uint32_t unit_ = 0;
  uint32_t left_ = 0;  // tiles of that column in the batch; of gate alone for SwiGLU
  const char* from_ = nullptr;
};

}  // namespace inlay::cuda

#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/matvec_formats.cuh"
#include "kernels/cuda/matvec_mma.cuh"
#include "kernels/cuda/matvec_planes.cuh"

// One tile column of two tile rows, times the same columns of up to 8 rows of activations.

namespace inlay::cuda {

/// 256 columns of the activations, a warp's own copy in shared memory: row after row, kRowBytes apart so that
/// the lanes of two rows meet no bank twice. Lanes of rows that are not there read a row of zeros.
struct Operand {
  static constexpr uint32_t kRowBytes = 512 + 64;

  const char* from;  // lane 4 g + t: row g, 16 t bytes on

  __device__ __forceinline__ Operand(const char* copy, const char* zeros, uint32_t rows, uint32_t lane)
      : from((lane / 4 < rows ? copy + lane / 4 * kRowBytes : zeros) + lane % 4 * 16) {}

  /// The operands of group j: two registers for either half.
  __device__ __forceinline__ uint4 group(int j) const {
    return *reinterpret_cast<const uint4*>(from + j * 64);
  }
};

template <typename F>
constexpr uint32_t operand_row_bytes() {
  return F::kFamily == Family::kSmall ? PlaneRow::kBytes : Operand::kRowBytes;
}

/// Brings what is wanted to the copy, one column after the other. A whole warp calls it.
template <typename F>
__device__ __forceinline__ void fill_operands(char* copy, Wanted wanted, uint32_t lane) {
  if constexpr (F::kFamily == Family::kSmall) return PlaneRow::fill<F::T::kExcess>(copy, wanted, lane);
  constexpr int kAtOnce = 4;
  __syncwarp();
  while (wanted.more()) {
    uint4 v[kAtOnce];
    int count = 0;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      v[i] = make_uint4(0, 0, 0, 0);
      if (!wanted.more()) continue;
      v[i] = wanted.take(lane);
      ++count;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (i < count) *reinterpret_cast<uint4*>(copy + i * Operand::kRowBytes + lane * 16) = v[i];
    }
    copy += kAtOnce * Operand::kRowBytes;
  }
  __syncwarp();
}

__device__ __forceinline__ uint32_t half_bits(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

/// Sums of the activations over groups t, t + 4 (and half groups t + 8, t + 12) of row g, divided by
/// kDivisor, as second operands: each as a half and what that leaves.
struct GroupSums {
  static constexpr float kDivisor = 32.0f;  // of at most 32 halves: the sum cannot overflow

  uint32_t high[2], low[2];

  template <bool kFine>
  __device__ __forceinline__ void compute(const Operand& x, uint32_t lane) {
    // The activations as a product's first operand: of row g, and as row g + 8, either pair of its columns.
    // The second operand's column n takes one group (or half group).
    float d[2][4] = {};
#pragma unroll
    for (uint32_t j = 0; j < 8; ++j) {
      const uint4 v = x.group(j);
      const auto taken = [&](uint32_t group) {
        return lane / 4 == (group < 4 ? 2 * group : 2 * group - 7) ? 0x3C003C00u : 0u;
      };
      if (kFine) {
        mma_f16(d[j / 4], v.x, v.y, v.z, v.w, taken(2 * j % 8), taken(2 * j % 8 + 1));
      } else {
        mma_f16(d[j / 4], v.x, v.y, v.z, v.w, taken(j), taken(j));
      }
    }
    if (!kFine) {
#pragma unroll
      for (int i = 0; i < 4; ++i) d[0][i] += d[1][i];
    }
#pragma unroll
    for (int q = 0; q < (kFine ? 2 : 1); ++q) {
      const float first = (d[q][0] + d[q][2]) / kDivisor, second = (d[q][1] + d[q][3]) / kDivisor;
      high[q] = half_bits(first, second);
      low[q] = half_bits(first - low_float(high[q]), second - high_float(high[q]));
    }
  }
};

/// acc += the product; acc[0], acc[1] are row g of `first` in activation rows 2 t, 2 t + 1; acc[2], acc[3] of
/// `second`.
template <typename F>
__device__ __forceinline__ void multiply_blocks(const char* first, const char* second, const Operand& x,
                                                const GroupSums& sums, int lane, float (&acc)[4]) {
  using C = typename F::C;
  using S = typename F::S;
  const int g = lane / 4, t = lane % 4;
  const Codes<C::kWords> codes_a = load_code_words<C::kWords>(first, lane);
  const Codes<C::kWords> codes_b = load_code_words<C::kWords>(second, lane);
  const auto scales_a = S::load(first, g);
  const auto scales_b = S::load(second, g);

  // Products of groups whose codes weigh the same are summed together.
  constexpr int kClasses = C::kClasses;
  float d[kClasses][4] = {}, taken[4] = {};
  if constexpr (F::kTakesOff) {
    uint32_t a[S::kFine ? 2 : 1], b[S::kFine ? 2 : 1];
    S::coefficients(scales_a, first, g, t, a);
    S::coefficients(scales_b, second, g, t, b);
    if constexpr (S::kFine) {
      mma_f16(taken, a[0], b[0], a[1], b[1], sums.high[0], sums.high[1]);
      mma_f16(taken, a[0], b[0], a[1], b[1], sums.low[0], sums.low[1]);
    } else {
      mma_f16(taken, a[0], b[0], a[0], b[0], sums.high[0], sums.low[0]);
    }
  }
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    uint32_t a[4], b[4];
    C::fragment(codes_a, j, a);
    C::fragment(codes_b, j, b);
    const uint4 v = x.group(j);
    float c[4] = {};
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      mma_f16(c, a[2 * h], b[2 * h], a[2 * h + 1], b[2 * h + 1], h ? v.z : v.x, h ? v.w : v.y);
      if (S::kFine || h == 1) {
        const int i = S::kFine ? 2 * j + h : j;
        const float scale_a = S::scale(scales_a, i), scale_b = S::scale(scales_b, i);
        float(&sum)[4] = d[i % kClasses];
        sum[0] = fmaf(scale_a, c[0], sum[0]), sum[1] = fmaf(scale_a, c[1], sum[1]);
        sum[2] = fmaf(scale_b, c[2], sum[2]), sum[3] = fmaf(scale_b, c[3], sum[3]);
        c[0] = c[1] = c[2] = c[3] = 0.0f;
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kClasses; ++k) {
    if (k == kClasses - 1) break;  // the last weighs most
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      d[kClasses - 1][i] = fmaf(C::kWeight / C::weight(k), d[k][i], d[kClasses - 1][i]);
    }
  }
  float(&sum)[4] = d[kClasses - 1];
  const float slope_a = S::slope(scales_a), slope_b = S::slope(scales_b);
  if constexpr (F::kTakesOff) {
    constexpr float kUnit = GroupSums::kDivisor / S::kCoefficientUnit / F::kResult;
    if constexpr (S::kMins) {
      const float min_a = S::min_slope(scales_a) * -kUnit, min_b = S::min_slope(scales_b) * -kUnit;
      acc[0] = fmaf(min_a, taken[0], acc[0]), acc[1] = fmaf(min_a, taken[1], acc[1]);
      acc[2] = fmaf(min_b, taken[2], acc[2]), acc[3] = fmaf(min_b, taken[3], acc[3]);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] = fmaf(-kUnit * F::kOffset, taken[i], sum[i]);
    }
  }
  acc[0] = fmaf(slope_a, sum[0], acc[0]), acc[1] = fmaf(slope_a, sum[1], acc[1]);
  acc[2] = fmaf(slope_b, sum[2], acc[2]), acc[3] = fmaf(slope_b, sum[3], acc[3]);
}

__device__ __forceinline__ void multiply_group(const char* first, const char* second, const uint4& x,
                                               int lane, float (&d)[4]) {
  const uint4 a = *reinterpret_cast<const uint4*>(first + lane * 16);
  const uint4 b = *reinterpret_cast<const uint4*>(second + lane * 16);
  mma_f16(d, a.x, b.x, a.y, b.y, x.x, x.y);
  mma_f16(d, a.z, b.z, a.w, b.w, x.z, x.w);
}

/// What is the same of a column of the activations for all pairs of tile rows.
struct ColumnOperands {
  Operand x;
  GroupSums sums;

  template <typename F, bool kFewRows>
  static __device__ __forceinline__ auto of(const char* copy, const char* zeros, uint32_t rows,
                                            uint32_t lane) {
    if constexpr (F::kFamily == Family::kSmall && kFewRows) {
      return FewPlaneOperands(copy, zeros, rows, lane);
    } else if constexpr (F::kFamily == Family::kSmall) {
      return PlaneOperands(copy, zeros, rows, lane);
    } else {
      ColumnOperands column = {Operand(copy, zeros, rows, lane), {}};
      if constexpr (F::kFamily == Family::kBlocks) {
        if constexpr (F::kTakesOff) column.sums.compute<F::S::kFine>(column.x, lane);
      }
      return column;
    }
  }
};

/// One unit of a tile column; `unit` is a constant where this is inlined.
template <typename F, typename Column>
__device__ __forceinline__ void multiply_unit(const char* first, const char* second, const Column& column,
                                              int unit, int lane, float (&acc)[4]) {
  if constexpr (F::kFamily == Family::kSmall) {
    multiply_small<F>(first, second, column, lane, acc);
  } else if constexpr (F::kFamily == Family::kBlocks) {
    multiply_blocks<F>(first, second, column.x, column.sums, lane, acc);
  } else {
    constexpr int kGroups = 8 / F::kUnits;
    float d[4] = {}, low[4] = {};
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      const uint4 v = column.x.group(unit * kGroups + i);
      multiply_group(first + i * 512, second + i * 512, v, lane, d);
      if constexpr (F::kSplit) multiply_group(first + 512, second + 512, v, lane, low);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (F::kSplit) d[i] = fmaf(low[i], 1.0f / 2048.0f, d[i]);
      acc[i] += d[i];
    }
  }
}

}  // namespace inlay::cuda

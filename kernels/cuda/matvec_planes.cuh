#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/matvec_formats.cuh"
#include "kernels/cuda/matvec_mma.cuh"

// Activations as two planes of bytes, and products of small codes with them. Of 256 columns, each is
// scale * (256 high + low), the largest being kLargest: sums of their products are exact integers until the
// whole tile is added up.

namespace inlay::cuda {

/// Tile columns column, column + step, ... below `end` of `rows` rows of activations, row after row.
struct Wanted {
  const __half* activations;
  uint32_t stride, rows, groups, column, step, end;
  uint32_t row = 0;

  __device__ __forceinline__ bool more() const { return column < end; }
  /// A lane's 16 bytes of the next row; zeros beyond the last group.
  __device__ __forceinline__ uint4 take(uint32_t lane) {
    uint4 v = make_uint4(0, 0, 0, 0);
    if (column * 8 + lane / 4 < groups) {
      v = *reinterpret_cast<const uint4*>(activations + row * stride + column * 256 + lane * 8);
    }
    if (++row == rows) row = 0, column += step;
    return v;
  }
};

/// A row's 256 columns in shared memory: 64 bytes for each matrix instruction, of which a lane's 16 are its
/// two words of the high plane and of the low one; then 16 bytes for each t, the sums over groups 4 t, 4 t +
/// 2 and 4 t + 1, 4 t + 3 divided by kSumDivisor, as halves and as what these leave; then the scale, and
/// minus kExcess times the sum of all.
struct PlaneRow {
  static constexpr uint32_t kBytes = 512 + 64 + 16;
  static constexpr int kLargest = 127 * 256;
  static constexpr float kSumDivisor = 32.0f;  // of 16 columns: a half can hold the sum

  /// Brings what is wanted to the copy. A whole warp calls it.
  template <int Excess>
  static __device__ __forceinline__ void fill(char* copy, Wanted wanted, uint32_t lane) {
    uint4 halves = wanted.take(lane);
    __syncwarp();
#pragma unroll 1
    for (bool more = true; more; copy += kBytes) {
      more = wanted.more();
      const uint4 now = halves;
      if (more) halves = wanted.take(lane);
      store<Excess>(copy, now, lane);
    }
    __syncwarp();
  }

 private:
  /// Eight activations of lane 4 j + t: columns 32 j + 4 t .. + 3, and 16 on.
  template <int Excess>
  static __device__ __forceinline__ void store(char* row, const uint4& halves, uint32_t lane) {
    const uint32_t words[4] = {halves.x, halves.y, halves.z, halves.w};
    const __half2* pairs = reinterpret_cast<const __half2*>(words);
    const __half2 larger =
        __hmax2(__hmax2(__habs2(pairs[0]), __habs2(pairs[1])), __hmax2(__habs2(pairs[2]), __habs2(pairs[3])));
    const uint32_t largest = __half_as_ushort(__hmax(__low2half(larger), __high2half(larger)));
    const float most = low_float(__reduce_max_sync(0xFFFFFFFFu, largest));  // ordered as integers are
    const float factor = most == 0.0f ? 0.0f : __fdividef(static_cast<float>(kLargest), most);
    // Adding this rounds to the nearest integer and leaves it, and 128, in the lower bits.
    constexpr float kRounder = 12582912.0f + 128.0f;
    constexpr uint32_t kRounderBits = 0x4B400000u + 128u;
    const uint32_t j = lane / 4, t = lane % 4;
    char* to = row + (j % 2 * 4 + t / 2) * 64 + j / 2 * 16 + t % 2 * 4;
    int sums[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      uint32_t v[4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        v[2 * i] = __float_as_uint(fmaf(low_float(words[2 * h + i]), factor, kRounder));
        v[2 * i + 1] = __float_as_uint(fmaf(high_float(words[2 * h + i]), factor, kRounder));
      }
      const uint32_t first = __byte_perm(v[0], v[1], 0x5140), second = __byte_perm(v[2], v[3], 0x5140);
      *reinterpret_cast<uint32_t*>(to + h * 128) = __byte_perm(first, second, 0x7632);
      *reinterpret_cast<uint32_t*>(to + h * 128 + 8) = __byte_perm(first, second, 0x5410) ^ 0x80808080u;
      sums[h] = static_cast<int>(v[0] + v[1] + v[2] + v[3] - 4u * kRounderBits);
    }
    int less = 0;
    if constexpr (Excess != 0) {
      less = -Excess * __reduce_add_sync(0xFFFFFFFFu, sums[0] + sums[1]);
    } else {
      store_sums(row, sums, lane);
    }
    if (lane == 0) {
      *reinterpret_cast<float2*>(row + 576) = make_float2(most * (1.0f / kLargest), __int_as_float(less));
    }
  }

  static __device__ __forceinline__ void store_sums(char* row, int (&sums)[2], uint32_t lane) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      sums[h] += __shfl_xor_sync(0xFFFFFFFFu, sums[h], 1);
      sums[h] += __shfl_xor_sync(0xFFFFFFFFu, sums[h], 2);
    }
    const uint32_t j = lane / 4, t = lane % 4;  // groups 2 j and 2 j + 1: a lane writes half t % 2 of t / 2's
    const float sum = static_cast<float>(t / 2 ? sums[1] : sums[0]) * (1.0f / kSumDivisor);
    const __half high = __float2half_rn(sum);
    const __half low = __float2half_rn(sum - __half2float(high));
    *reinterpret_cast<__half*>(row + 512 + j / 2 * 16 + t % 2 * 8 + t / 2 * 4 + j % 2 * 2) =
        t % 2 ? low : high;
  }
};

/// What a lane holds of 256 columns of the activations, for all pairs of tile rows.
struct PlaneOperands {
  static constexpr bool kFew = false;
  static constexpr int kHeld = 6;  // more, and registers would not do

  const char* from;    // of row g, 16 t bytes on
  uint4 words[kHeld];  // high, high, low, low
  float scale[2];      // of rows 2 t, 2 t + 1
  int excess[2];       // of these too: what the low plane's sums begin with

  __device__ __forceinline__ PlaneOperands(const char* copy, const char* zeros, uint32_t rows,
                                           uint32_t lane) {
    const uint32_t g = lane / 4, t = lane % 4;
    from = (g < rows ? copy + g * PlaneRow::kBytes : zeros) + t * 16;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) words[i] = at(i);
#pragma unroll
    for (uint32_t i = 0; i < 2; ++i) {
      const uint32_t row = 2 * t + i;
      const char* last = (row < rows ? copy + row * PlaneRow::kBytes : zeros) + 576;
      const float2 v = *reinterpret_cast<const float2*>(last);
      scale[i] = v.x, excess[i] = __float_as_int(v.y);
    }
  }
  __device__ __forceinline__ uint4 sums() const { return at(8); }
  /// The operands of instruction i.
  __device__ __forceinline__ uint4 at(int i) const { return *reinterpret_cast<const uint4*>(from + i * 64); }
};

/// The same for up to four rows: their two planes are neighbours among the columns of one matrix instruction,
/// so that lane 4 g + t has both sums of row t.
struct FewPlaneOperands {
  static constexpr bool kFew = true;

  const char* from;  // of row g / 2, 16 t bytes on
  uint2 words[8];    // of its high plane for even g, of the low one for odd
  float scale;       // of row t
  int excess;

  __device__ __forceinline__ FewPlaneOperands(const char* copy, const char* zeros, uint32_t rows,
                                              uint32_t lane) {
    const uint32_t g = lane / 4, t = lane % 4;
    from = (g / 2 < rows ? copy + g / 2 * PlaneRow::kBytes : zeros) + t * 16;
#pragma unroll
    for (int i = 0; i < 8; ++i) words[i] = *reinterpret_cast<const uint2*>(from + g % 2 * 8 + i * 64);
    const float2 v = *reinterpret_cast<const float2*>((t < rows ? copy + t * PlaneRow::kBytes : zeros) + 576);
    scale = v.x, excess = __float_as_int(v.y);
  }
  __device__ __forceinline__ uint4 sums() const { return *reinterpret_cast<const uint4*>(from + 512); }
};

/// acc += the product, as multiply_blocks has it; of few rows, acc[0] and acc[2] are those of row t.
template <typename F, typename Planes>
__device__ __forceinline__ void multiply_small(const char* first, const char* second, const Planes& x,
                                               int lane, float (&acc)[4]) {
  using T = typename F::T;
  const T a(first, lane), b(second, lane);
  uint32_t a_words[16], b_words[16];
  a.operands(a_words);
  b.operands(b_words);
  int high[4] = {}, low[4] = {};
  if constexpr (Planes::kFew) {
    int both[4] = {0, x.excess, 0, x.excess};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      mma_u8(both, a_words[2 * i], b_words[2 * i], a_words[2 * i + 1], b_words[2 * i + 1], x.words[i].x,
             x.words[i].y);
    }
    high[0] = both[0], low[0] = both[1], high[2] = both[2], low[2] = both[3];
  } else {
    if constexpr (T::kExcess != 0) low[0] = low[2] = x.excess[0], low[1] = low[3] = x.excess[1];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint4 v = i < Planes::kHeld ? x.words[i] : x.at(i);
      mma_u8(high, a_words[2 * i], b_words[2 * i], a_words[2 * i + 1], b_words[2 * i + 1], v.x, v.y);
      mma_u8(low, a_words[2 * i], b_words[2 * i], a_words[2 * i + 1], b_words[2 * i + 1], v.z, v.w);
    }
  }
  constexpr int kStep = Planes::kFew ? 2 : 1;
  float sum[4];
#pragma unroll
  for (int i = 0; i < 4; i += kStep) {
    sum[i] = static_cast<float>(high[i] * 256 + low[i]) * (i < 2 ? a.slope() : b.slope());
  }
  if constexpr (T::kMins) {
    const uint4 sums = x.sums();
    float taken[4] = {};
    mma_f16(taken, a.even_mins(), b.even_mins(), a.odd_mins(), b.odd_mins(), sums.x, sums.y);
    mma_f16(taken, a.even_mins(), b.even_mins(), a.odd_mins(), b.odd_mins(), sums.z, sums.w);
    constexpr float kUnit = PlaneRow::kSumDivisor / T::kMinUnit * T::kWeight;
    const float min_a = a.min_slope() * -kUnit, min_b = b.min_slope() * -kUnit;
#pragma unroll
    for (int i = 0; i < 4; i += kStep) sum[i] = fmaf(i < 2 ? min_a : min_b, taken[i], sum[i]);
  }
#pragma unroll
  for (int i = 0; i < 4; i += kStep) {
    if constexpr (Planes::kFew) {
      acc[i] = fmaf(x.scale, sum[i], acc[i]);
    } else {
      acc[i] = fmaf(x.scale[i % 2], sum[i], acc[i]);
    }
  }
}

}  // namespace inlay::cuda

#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/matvec_formats.cuh"
#include "kernels/cuda/matvec_mma.cuh"

// One tile column of two tile rows, times the same columns of up to 8 rows of activations.

namespace inlay::cuda {

/// 256 columns of the activations, a warp's own copy in shared memory: row after row, kRowBytes apart so that
/// the lanes of two rows meet no bank twice. Lanes of rows that are not there read a row of zeros.
struct Operand {
  static constexpr uint32_t kRowBytes = 512 + 64;

  const char* from;  // lane 4 g + t: row g, 16 t bytes on

  __device__ __forceinline__ Operand(const char* copy, const char* zeros, uint32_t rows, uint32_t lane)
      : from((lane / 4 < rows ? copy + lane / 4 * kRowBytes : zeros) + lane % 4 * 16) {}

  /// Brings tile column `s` to the copy. A whole warp calls it.
  static __device__ __forceinline__ void fill(char* copy, const __half* activations, uint32_t stride,
                                              uint32_t rows, uint32_t groups, uint32_t s, uint32_t lane) {
    __syncwarp();
    const __half* source = activations + s * 256 + lane * 8;
    const bool there = s * 8 + lane / 4 < groups;
#pragma unroll 4
    for (uint32_t row = 0; row < rows; ++row) {
      uint4 v = make_uint4(0, 0, 0, 0);
      if (there) v = *reinterpret_cast<const uint4*>(source + row * stride);
      *reinterpret_cast<uint4*>(copy + row * kRowBytes + lane * 16) = v;
    }
    __syncwarp();
  }

  /// The operands of group j: two registers for either half.
  __device__ __forceinline__ uint4 group(int j) const {
    return *reinterpret_cast<const uint4*>(from + j * 64);
  }
};

/// A float as the sum of two that TF32 holds exactly (the second to within 2^-22 of the whole).
struct Split {
  float high, low;
};
__device__ __forceinline__ Split split(float x) {
  const float high = __uint_as_float(__float_as_uint(x) & 0xFFFFE000u);
  return {high, x - high};
}

/// Sums of the activations over groups (or half groups) t, t + 4 (, t + 8, t + 12) of row g, as the second
/// operand of TF32 instructions. Where minima need the plain sums the base is multiplied in on the other
/// side.
template <typename F, bool Blocks = F::kBlocks>
struct Sums {
  static constexpr int kCount = F::S::kFine ? 4 : 2;
  static constexpr bool kUsed = F::C::kOffset || F::S::kMins;
  Split v[kUsed ? kCount : 1];
  decltype(F::C::exponents(0)) exponents;

  uint32_t byte_exponent;

  explicit __device__ __forceinline__ Sums(uint32_t zero)
      : exponents(F::C::exponents(zero)), byte_exponent(kByteExponent + zero) {}

  static __device__ __forceinline__ float base(uint32_t t) { return -(F::C::lane_base(t) + F::S::kExcess); }

  __device__ __forceinline__ void compute(const Operand& x, uint32_t lane) {
    const uint32_t g = lane / 4, t = lane % 4;
    if constexpr (kUsed) {
      // The activations as a product's first operand: of row g, and as row g + 8, either half of its columns.
      // The second operand's column n takes one group (or half group).
      float d[2][4] = {};
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const uint4 v = x.group(j);
        const auto column = [](int part) {
          return static_cast<uint32_t>(part < 4 ? 2 * part : 2 * (part - 4) + 1);
        };
        const uint32_t first = g == column(F::S::kFine ? 2 * j % 8 : j) ? 0x3C003C00u : 0u;
        const uint32_t second = F::S::kFine ? (g == column((2 * j + 1) % 8) ? 0x3C003C00u : 0u) : first;
        mma_f16(d[F::S::kFine ? j / 4 : 0], v.x, v.y, v.z, v.w, first, second);
      }
      const float factor = F::S::kMins ? 1.0f : base(t);
#pragma unroll
      for (int q = 0; q < kCount; ++q) v[q] = split((d[q / 2][q % 2] + d[q / 2][q % 2 + 2]) * factor);
    }
  }
};

template <typename F>
struct Sums<F, false> {
  explicit __device__ __forceinline__ Sums(uint32_t) {}
  __device__ __forceinline__ void compute(const Operand&, uint32_t) {}
};

/// d += sum over groups of first (rows g) and second (rows g + 8) lane values times the sums.
template <int Count>
__device__ __forceinline__ void add_sums(float (&d)[4], const float (&first)[Count],
                                         const float (&second)[Count], const Split (&v)[Count]) {
#pragma unroll
  for (int q = 0; q < Count; q += 2) {
    mma_tf32(d, first[q], second[q], first[q + 1], second[q + 1], v[q].high, v[q + 1].high);
    mma_tf32(d, first[q], second[q], first[q + 1], second[q + 1], v[q].low, v[q + 1].low);
  }
}

/// acc += the product; acc[0], acc[1] are row g of `first` in activation rows 2 t, 2 t + 1; acc[2], acc[3] of
/// `second`.
template <typename F>
__device__ __forceinline__ void multiply_blocks(const char* first, const char* second, const Operand& x,
                                                const Sums<F>& sums, int lane, float (&acc)[4]) {
  using C = typename F::C;
  using S = typename F::S;
  constexpr int kCount = S::kFine ? 4 : 2;
  const int g = lane / 4, t = lane % 4;
  const Codes<C::kWords> codes_a = load_code_words<C::kWords>(first, lane);
  const Codes<C::kWords> codes_b = load_code_words<C::kWords>(second, lane);
  const auto scales_a = S::load(first, g, t, sums.byte_exponent);
  const auto scales_b = S::load(second, g, t, sums.byte_exponent);

  float d[4] = {};
  if constexpr (C::kOffset) {
    float a[kCount], b[kCount];
    S::lane_scales(scales_a, t, a);
    S::lane_scales(scales_b, t, b);
    if constexpr (S::kMins) {
      const float base = Sums<F>::base(t);
#pragma unroll
      for (int q = 0; q < kCount; ++q) a[q] *= base, b[q] *= base;
    }
    add_sums(d, a, b, sums.v);
  }
  if constexpr (S::kMins) {
    float a[kCount], b[kCount], m[4] = {};
    S::lane_mins(scales_a, t, a);
    S::lane_mins(scales_b, t, b);
    add_sums(m, a, b, sums.v);
    const float slope_a = S::min_slope(scales_a), slope_b = S::min_slope(scales_b);
    acc[0] = fmaf(-slope_a, m[0], acc[0]), acc[1] = fmaf(-slope_a, m[1], acc[1]);
    acc[2] = fmaf(-slope_b, m[2], acc[2]), acc[3] = fmaf(-slope_b, m[3], acc[3]);
  }
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    uint32_t a[4], b[4];
    C::fragment(codes_a, j, sums.exponents, a);
    C::fragment(codes_b, j, sums.exponents, b);
    const uint4 v = x.group(j);
    float c[4] = {};
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      mma_f16(c, a[2 * h], b[2 * h], a[2 * h + 1], b[2 * h + 1], h ? v.z : v.x, h ? v.w : v.y);
      if (S::kFine || h == 1) {
        const int i = S::kFine ? 2 * j + h : j;
        const float scale_a = S::scale(scales_a, i), scale_b = S::scale(scales_b, i);
        d[0] = fmaf(scale_a, c[0], d[0]), d[1] = fmaf(scale_a, c[1], d[1]);
        d[2] = fmaf(scale_b, c[2], d[2]), d[3] = fmaf(scale_b, c[3], d[3]);
        c[0] = c[1] = c[2] = c[3] = 0.0f;
      }
    }
  }
  const float slope_a = S::slope(scales_a), slope_b = S::slope(scales_b);
  acc[0] = fmaf(slope_a, d[0], acc[0]), acc[1] = fmaf(slope_a, d[1], acc[1]);
  acc[2] = fmaf(slope_b, d[2], acc[2]), acc[3] = fmaf(slope_b, d[3], acc[3]);
}

__device__ __forceinline__ void multiply_group(const char* first, const char* second, const uint4& x,
                                               int lane, float (&d)[4]) {
  const uint4 a = *reinterpret_cast<const uint4*>(first + lane * 16);
  const uint4 b = *reinterpret_cast<const uint4*>(second + lane * 16);
  mma_f16(d, a.x, b.x, a.y, b.y, x.x, x.y);
  mma_f16(d, a.z, b.z, a.w, b.w, x.z, x.w);
}

/// One unit of a tile column; `unit` is a constant where this is inlined.
template <typename F>
__device__ __forceinline__ void multiply_unit(const char* first, const char* second, const Operand& x,
                                              const Sums<F>& sums, int unit, int lane, float (&acc)[4]) {
  if constexpr (F::kBlocks) {
    multiply_blocks<F>(first, second, x, sums, lane, acc);
  } else {
    constexpr int kGroups = 8 / F::kUnits;
    float d[4] = {}, low[4] = {};
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      const uint4 v = x.group(unit * kGroups + i);
      multiply_group(first + i * 512, second + i * 512, v, lane, d);
      if constexpr (F::kSplit) multiply_group(first + 512, second + 512, v, lane, low);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (F::kSplit) d[i] = fmaf(low[i], 1.0f / 2048.0f, d[i]);
      acc[i] = fmaf(F::kSlope, d[i], acc[i]);
    }
  }
}

}  // namespace inlay::cuda

#pragma once

#include <arm_neon.h>

#include <cstring>

#include "kernels/cpu/matmul_internal.h"
#include "kernels/cpu/matmul_neon_unpack.h"

// The narrow products with NEON, as matmul_avx512.cpp does them. Dot says how codes are multiplied and how
// the activations are stored for it. Included by the NEON sources alone.

namespace inlay::cpu {
namespace {

/// Asks for the cache lines from line `kBegin` to line `kEnd` behind `from`.
template <size_t kBegin, size_t kEnd>
INLAY_INLINE void prefetch(const std::byte* from) {
  INLAY_UNROLL
  for (size_t i = kBegin; i < kEnd; ++i) __builtin_prefetch(from + 64 * i);
}

/// Where the weights to fetch next are: a fixed distance ahead of those in use, to the end of the call's own.
/// The first of them are asked for at once.
class Ahead {
 public:
  INLAY_INLINE Ahead(const std::byte* from, const std::byte* end, size_t group_bytes) : end_(end) {
    const size_t distance = prefetch_distance(group_bytes);
    const size_t own = static_cast<size_t>(end - from);
    const size_t first = own < distance ? own : distance;
    for (size_t i = 0; i < first; i += 64) __builtin_prefetch(from + i);
    next_ = from + distance;
  }
  /// Passes over `bytes` bytes, which the caller asks for; at the end, a place that is there already.
  INLAY_INLINE const std::byte* pass(size_t bytes, const std::byte* in_use) {
    const std::byte* next = next_ < end_ ? next_ : in_use;
    next_ += bytes;
    return next;
  }

 private:
  const std::byte* next_;
  const std::byte* end_;
};

/// One step of 32 columns for all rows, and an eighth of the `kLines` cache lines to fetch.
template <typename Dot, int S, size_t kLines, int kRows, typename Weights>
INLAY_INLINE void multiply_step(const Weights& weights, const std::byte* next,
                                const ActivationChunk* const (&chunks)[kRows], float32x4_t (&sums)[kRows]) {
  prefetch<S * kLines / 8, (S + 1) * kLines / 8>(next);
  const typename Dot::Operand codes = Dot::operand(weights.template codes<S>());
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) {
    if constexpr (Weights::kGroup == 32) {
      const float32x4_t products = vcvtq_f32_s32(Dot::both(codes, chunks[row]->codes, S));
      sums[row] = vfmaq_n_f32(sums[row], products, weights.scales[S]);
    } else {
      const float32x4_t first = vcvtq_f32_s32(Dot::first(codes, chunks[row]->codes, S));
      const float32x4_t second = vcvtq_f32_s32(Dot::second(codes, chunks[row]->codes, S));
      sums[row] = vfmaq_n_f32(sums[row], first, weights.scales[2 * S]);
      sums[row] = vfmaq_n_f32(sums[row], second, weights.scales[2 * S + 1]);
    }
  }
}

template <TensorType T>
inline constexpr size_t kChunkBytes = kChunkColumns / traits(T).block_elements* traits(T).block_bytes;

/// Adds a chunk of one row of W, times a chunk of each row of X, to `totals`; fetches the bytes at `next`.
template <typename Dot, TensorType T, int kRows>
INLAY_INLINE void multiply_chunk(const std::byte* from, const std::byte* next,
                                 const ActivationChunk* const (&chunks)[kRows],
                                 float32x4_t (&totals)[kRows]) {
  constexpr size_t kLines = (kChunkBytes<T> + 63) / 64;
  const Unpack<T> weights(from);
  float32x4_t sums[kRows];
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) sums[row] = vdupq_n_f32(0.0f);
  multiply_step<Dot, 0, kLines>(weights, next, chunks, sums);
  multiply_step<Dot, 1, kLines>(weights, next, chunks, sums);
  multiply_step<Dot, 2, kLines>(weights, next, chunks, sums);
  multiply_step<Dot, 3, kLines>(weights, next, chunks, sums);
  multiply_step<Dot, 4, kLines>(weights, next, chunks, sums);
  multiply_step<Dot, 5, kLines>(weights, next, chunks, sums);
  multiply_step<Dot, 6, kLines>(weights, next, chunks, sums);
  multiply_step<Dot, 7, kLines>(weights, next, chunks, sums);
  if constexpr (Unpack<T>::kMinimums) {
    constexpr uint32_t kGroups = kChunkColumns / Unpack<T>::kGroup;
    for (uint32_t i = 0; i < kGroups; i += 4) {
      const float32x4_t minimums = vld1q_f32(weights.minimums + i);
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) {
        const float* x = kGroups == 16 ? chunks[row]->sums16 : chunks[row]->sums32 + 8;
        sums[row] = vfmsq_f32(sums[row], minimums, vld1q_f32(x + i));
      }
    }
  }
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) totals[row] = vfmaq_n_f32(totals[row], sums[row], chunks[row]->scale);
}

/// Rows of W that are taken together, as in matmul_avx512.cpp.
constexpr uint32_t kWeightRows = 8;

template <typename Dot, TensorType T, int kRows>
void narrow_blocks(const MatmulArguments& a) {
  constexpr TensorTypeTraits kType = traits(T);
  const uint32_t whole_chunks = a.weights.columns / kChunkColumns;
  const size_t w_stride = static_cast<size_t>(a.weights.columns / kType.block_elements) * kType.block_bytes;
  const size_t tail_bytes = w_stride - whole_chunks * kChunkBytes<T>;
  const size_t x_stride = prepared_stride(a.weights.columns);

  Ahead ahead(a.weights.data + a.n_begin * w_stride, a.weights.data + a.n_end * w_stride,
              kWeightRows * w_stride);
  for (uint32_t n = a.n_begin; n < a.n_end; n += kWeightRows) {
    const uint32_t count = a.n_end - n < kWeightRows ? a.n_end - n : kWeightRows;
    const ActivationChunk* chunks[kRows];
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      chunks[row] = reinterpret_cast<const ActivationChunk*>(static_cast<const std::byte*>(a.prepared) +
                                                             row * x_stride);
    }
    float32x4_t totals[kWeightRows][kRows];
    for (uint32_t i = 0; i < count; ++i) {
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) totals[i][row] = vdupq_n_f32(0.0f);
    }
    const std::byte* w = a.weights.data + n * w_stride;
    for (uint32_t chunk = 0; chunk < whole_chunks; ++chunk, w += kChunkBytes<T>) {
      for (uint32_t i = 0; i < count; ++i) {
        INLAY_UNROLL
        for (int row = 0; row < kRows; ++row) INLAY_FORGET(chunks[row]);
        const std::byte* from = w + i * w_stride;
        multiply_chunk<Dot, T>(from, ahead.pass(kChunkBytes<T>, from), chunks, totals[i]);
      }
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) ++chunks[row];
    }
    if (tail_bytes != 0) {
      for (uint32_t i = 0; i < count; ++i) {
        std::byte tail[kChunkBytes<T>] = {};
        std::memcpy(tail, w + i * w_stride, tail_bytes);
        multiply_chunk<Dot, T>(tail, ahead.pass(tail_bytes, tail), chunks, totals[i]);
      }
    }
    for (uint32_t i = 0; i < count; ++i) {
      for (int row = 0; row < kRows; ++row) {
        a.out[row * a.out_stride + n + i] = vaddvq_f32(totals[i][row]) * a.weights.scale;
      }
    }
  }
}

/// Adds the products of `columns` columns, those of even and of odd groups of 4 apart; fetches the as many
/// weights at `next`.
template <TensorType T, int kRows>
INLAY_INLINE void multiply_floats(const std::byte* w, const std::byte* next, const float* x, size_t x_stride,
                                  uint32_t columns, float32x4_t (&even)[kRows], float32x4_t (&odd)[kRows]) {
  constexpr size_t kBytes = traits(T).block_bytes;
  uint32_t k = 0;
  for (; k + 8 <= columns; k += 8) {
    if (k * kBytes % 64 == 0) prefetch<0, 1>(next + k * kBytes);
    const float32x4_t first = load_floats<T>(w + k * kBytes);
    const float32x4_t second = load_floats<T>(w + (k + 4) * kBytes);
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      const float* x_row = x + row * x_stride + k;
      even[row] = vfmaq_f32(even[row], first, vld1q_f32(x_row));
      odd[row] = vfmaq_f32(odd[row], second, vld1q_f32(x_row + 4));
    }
  }
  if (k == columns) return;
  const uint32_t left = columns - k;
  std::byte w_tail[8 * kBytes] = {};
  std::memcpy(w_tail, w + k * kBytes, left * kBytes);
  const float32x4_t first = load_floats<T>(w_tail);
  const float32x4_t second = load_floats<T>(w_tail + 4 * kBytes);
  for (int row = 0; row < kRows; ++row) {
    float x_tail[8] = {};
    std::memcpy(x_tail, x + row * x_stride + k, left * sizeof(float));
    even[row] = vfmaq_f32(even[row], first, vld1q_f32(x_tail));
    odd[row] = vfmaq_f32(odd[row], second, vld1q_f32(x_tail + 4));
  }
}

template <TensorType T, int kRows>
void narrow_floats(const MatmulArguments& a) {
  constexpr size_t kBytes = traits(T).block_bytes;
  const uint32_t columns = a.weights.columns;
  const size_t w_stride = columns * kBytes;
  Ahead ahead(a.weights.data + a.n_begin * w_stride, a.weights.data + a.n_end * w_stride,
              kWeightRows * w_stride);
  for (uint32_t n = a.n_begin; n < a.n_end; n += kWeightRows) {
    const uint32_t count = a.n_end - n < kWeightRows ? a.n_end - n : kWeightRows;
    float32x4_t even[kWeightRows][kRows];
    float32x4_t odd[kWeightRows][kRows];
    for (uint32_t i = 0; i < count; ++i) {
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) even[i][row] = odd[i][row] = vdupq_n_f32(0.0f);
    }
    const std::byte* w = a.weights.data + n * w_stride;
    for (uint32_t k = 0; k < columns; k += kChunkColumns) {
      const uint32_t part = columns - k < kChunkColumns ? columns - k : kChunkColumns;
      for (uint32_t i = 0; i < count; ++i) {
        const std::byte* from = w + i * w_stride + k * kBytes;
        const std::byte* next = ahead.pass(part * kBytes, from);
        multiply_floats<T>(from, next, a.x + k, a.x_stride, part, even[i], odd[i]);
      }
    }
    for (uint32_t i = 0; i < count; ++i) {
      for (int row = 0; row < kRows; ++row) {
        a.out[row * a.out_stride + n + i] =
            vaddvq_f32(vaddq_f32(even[i][row], odd[i][row])) * a.weights.scale;
      }
    }
  }
}

template <typename Dot, TensorType T, int kRows>
void narrow(const MatmulArguments& a) {
  if constexpr (is_float(T)) {
    narrow_floats<T, kRows>(a);
  } else {
    narrow_blocks<Dot, T, kRows>(a);
  }
}

using NarrowFunction = void (*)(const MatmulArguments&);

#define INLAY_NARROW_ROWS(name, number, elements, bytes)                                                 \
  {narrow<Dot, TensorType::name, 1>, narrow<Dot, TensorType::name, 2>, narrow<Dot, TensorType::name, 3>, \
   narrow<Dot, TensorType::name, 4>, narrow<Dot, TensorType::name, 5>, narrow<Dot, TensorType::name, 6>, \
   narrow<Dot, TensorType::name, 7>, narrow<Dot, TensorType::name, 8>},
template <typename Dot>
constexpr NarrowFunction kNarrow[kTensorTypeCount][kMaxNarrowRows] = {
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_NARROW_ROWS)};
#undef INLAY_NARROW_ROWS

/// Codes, sums and scale of the 256 columns at `x`. Codes stay a little below 2^15, so that they can be
/// stored as two signed bytes.
template <typename Dot>
void prepare_chunk(const float* x, ActivationChunk& chunk) {
  constexpr float kLargestCode = 32512.0f;
  uint32x4_t magnitude = vdupq_n_u32(0);
  for (uint32_t i = 0; i < kChunkColumns; i += 4) {
    const uint32x4_t bits = vreinterpretq_u32_f32(vld1q_f32(x + i));
    magnitude = vmaxq_u32(magnitude, vandq_u32(bits, vdupq_n_u32(0x7FFFFFFF)));
  }
  // Compared as integers, magnitudes order as floats do, with infinities and NaNs last.
  const uint32_t largest = vmaxvq_u32(magnitude);
  float amax;
  std::memcpy(&amax, &largest, sizeof(amax));
  const bool finite = amax < __builtin_inff();
  const bool tiny = amax < 0x1p-100f;
  const float inverse = finite && !tiny ? kLargestCode / amax : 0.0f;
  chunk.scale = !finite ? __builtin_nanf("") : tiny ? 0.0f : amax / kLargestCode;

  for (uint32_t group = 0; group < 8; ++group) {
    int16x8_t codes[4];
    int32_t sums[4];
    for (int i = 0; i < 4; ++i) {
      const float* from = x + 32 * group + 8 * i;
      const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(from), inverse));
      const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(from + 4), inverse));
      sums[i] = vaddvq_s32(vaddq_s32(low, high));
      codes[i] = vcombine_s16(vmovn_s32(low), vmovn_s32(high));
    }
    chunk.sums16[2 * group] = static_cast<float>(sums[0] + sums[1]);
    chunk.sums16[2 * group + 1] = static_cast<float>(sums[2] + sums[3]);
    chunk.sums32[group] = 0.0f;
    chunk.sums32[8 + group] = static_cast<float>(sums[0] + sums[1] + sums[2] + sums[3]);
    Dot::store(codes, chunk.codes, group);
  }
}

template <typename Dot>
void prepare_rows(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end, uint32_t columns,
                  void* prepared) {
  for (uint32_t row = row_begin; row < row_end; ++row) {
    std::byte* to = static_cast<std::byte*>(prepared) + row * prepared_stride(columns);
    ActivationChunk* chunk = reinterpret_cast<ActivationChunk*>(to);
    for (uint32_t k = 0; k < columns; k += kChunkColumns, ++chunk) {
      const float* from = x + row * stride + k;
      if (columns - k >= kChunkColumns) {
        prepare_chunk<Dot>(from, *chunk);
      } else {
        float tail[kChunkColumns] = {};
        std::memcpy(tail, from, (columns - k) * sizeof(float));
        prepare_chunk<Dot>(tail, *chunk);
      }
    }
  }
}

}  // namespace
}  // namespace inlay::cpu

#pragma once

#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/matmul_avx512_unpack.h"
#include "kernels/cpu/matmul_internal.h"

// The wide products' frame, for float and for bfloat16 arithmetic. A panel of up to 64 rows of W and 256
// columns is decoded into scratch, transposed so that a register's lanes are 16 rows of W, and multiplied
// with all rows of X; sums wait in `out` from one panel of columns to the next. An output is summed column
// by column whatever the tile that it falls in.

namespace inlay::cpu {
namespace {

inline constexpr uint32_t kPanelVectors = 4;  // of 16 rows of W
inline constexpr uint32_t kPanelRows = 16 * kPanelVectors;
inline constexpr uint32_t kTileRows = 6;  // of X: 24 sums and 4 weights stay in registers

/// 16 x 16: vector i's lane j becomes vector j's lane i.
INLAY_INLINE void transpose(__m512i (&v)[16]) {
  __m512i t[16];
  INLAY_UNROLL
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  INLAY_UNROLL
  for (int i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  INLAY_UNROLL
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(v[i], v[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(v[i], v[4 + i], 0xDD);
    t[8 + i] = _mm512_shuffle_i32x4(v[8 + i], v[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(v[8 + i], v[12 + i], 0xDD);
  }
  INLAY_UNROLL
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    v[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    v[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xDD);
    v[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xDD);
  }
}

/// A step's 64 weights as floats, in order.
template <int S, typename Weights>
INLAY_INLINE void decode_step(const Weights& weights, const float* minimums, __m512 (&out)[4]) {
  alignas(64) int8_t codes[64];
  alignas(64) float scales[16];
  _mm512_store_si512(codes, weights.template codes<S>());
  _mm512_store_ps(scales, weights.template scales<S>());
  INLAY_UNROLL
  for (int i = 0; i < 4; ++i) {
    const __m128i group = _mm_load_si128(reinterpret_cast<const __m128i*>(codes + 16 * i));
    const __m512 values = Weights::kSignedCodes ? signed_bytes_to_floats(group) : bytes_to_floats(group);
    const __m512 scale = _mm512_set1_ps(scales[4 * i]);
    if constexpr (Weights::kMinimums == Minimums::kNone) {
      out[i] = _mm512_mul_ps(values, scale);
    } else {
      const int group_index = Weights::kMinimums == Minimums::kEach16 ? 4 * S + i : 8 + 2 * S + i / 2;
      out[i] = _mm512_fmsub_ps(values, scale, _mm512_set1_ps(minimums[group_index]));
    }
  }
}

/// Arithmetic in float: an element of the panel is one column's weight.
struct FloatArithmetic {
  using Activation = float;
  static constexpr uint32_t kColumnsPerElement = 1;

  static __m512 broadcast(const float* x) { return _mm512_set1_ps(*x); }
  static __m512 multiply_add(__m512 x, const std::byte* weights, __m512 sum) {
    return _mm512_fmadd_ps(x, _mm512_load_ps(weights), sum);
  }
  /// 64 columns of a row.
  static constexpr size_t kStepBytes = 64 * sizeof(float);
  static void store(const __m512 (&weights)[4], std::byte* out) {
    INLAY_UNROLL
    for (int i = 0; i < 4; ++i) _mm512_store_ps(out + 64 * i, weights[i]);
  }
};

template <typename Arithmetic>
inline constexpr size_t kPanelVectorBytes = kChunkColumns / Arithmetic::kColumnsPerElement * 64;

template <typename Arithmetic>
inline constexpr size_t kWideScratchBytes = kPanelVectors* kPanelVectorBytes<Arithmetic>;

/// 256 weights of one row, as elements in order.
template <typename Arithmetic, typename Weights>
INLAY_INLINE void decode_row(const std::byte* w, std::byte* out) {
  const Weights weights(w);
  alignas(64) float minimums[16];
  if constexpr (Weights::kMinimums != Minimums::kNone) _mm512_store_ps(minimums, weights.minimums());
  __m512 values[4];
  decode_step<0>(weights, minimums, values);
  Arithmetic::store(values, out);
  decode_step<1>(weights, minimums, values);
  Arithmetic::store(values, out + Arithmetic::kStepBytes);
  decode_step<2>(weights, minimums, values);
  Arithmetic::store(values, out + 2 * Arithmetic::kStepBytes);
  decode_step<3>(weights, minimums, values);
  Arithmetic::store(values, out + 3 * Arithmetic::kStepBytes);
}

/// 256 columns of up to 16 rows of W; absent rows become zeros.
template <typename Arithmetic, TensorType T>
void decode_panel(const std::byte* w, size_t w_stride, uint32_t rows, std::byte* panel) {
  constexpr size_t kRowBytes = 4 * Arithmetic::kStepBytes;
  alignas(64) std::byte decoded[16][kRowBytes];
  for (uint32_t row = 0; row < rows; ++row)
    decode_row<Arithmetic, Unpack<T>>(w + row * w_stride, decoded[row]);
  if (rows < 16) std::memset(decoded[rows], 0, (16 - rows) * kRowBytes);
  for (size_t k = 0; k < kRowBytes; k += 64, panel += 16 * 64) {
    __m512i elements[16];
    INLAY_UNROLL
    for (int row = 0; row < 16; ++row) elements[row] = _mm512_load_si512(decoded[row] + k);
    transpose(elements);
    INLAY_UNROLL
    for (int i = 0; i < 16; ++i) _mm512_store_si512(panel + i * 64, elements[i]);
  }
}

/// `columns` columns of up to 16 rows of float weights, for arithmetic in float.
template <TensorType T>
void decode_float_panel(const std::byte* w, size_t w_stride, uint32_t rows, uint32_t columns,
                        std::byte* panel) {
  for (uint32_t k = 0; k < columns; k += 16, panel += 16 * 64) {
    const uint32_t left = columns - k;
    const __mmask16 mask = static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xFFFF);
    __m512i elements[16];
    for (uint32_t row = 0; row < 16; ++row) {
      const __mmask16 row_mask = row < rows ? mask : __mmask16{0};
      const std::byte* from = w + (row < rows ? row : 0) * w_stride + k * traits(T).block_bytes;
      elements[row] = _mm512_castps_si512(load_floats<T>(from, row_mask));
    }
    transpose(elements);
    INLAY_UNROLL
    for (int j = 0; j < 16; ++j) _mm512_store_si512(panel + j * 64, elements[j]);
  }
}

struct Tile {
  const std::byte* x;  // kRows rows of activations, at the panel's first column
  size_t x_stride;     // bytes
  const std::byte* panel;
  uint32_t elements;  // of the panel, along its columns
  float* out;
  size_t out_stride;
  uint32_t n;  // outputs, at most 16 kVectors
  bool first;  // panel of columns: `out` holds nothing yet
  bool last;   // apply `scale`
  float scale;
};

template <typename Arithmetic, uint32_t kRows, uint32_t kVectors>
void multiply_tile(const Tile& tile) {
  __m512 sums[kRows][kVectors];
  const __mmask16 last_mask = static_cast<__mmask16>(0xFFFF >> (16 * kVectors - tile.n));
  INLAY_UNROLL
  for (uint32_t row = 0; row < kRows; ++row) {
    INLAY_UNROLL
    for (uint32_t v = 0; v < kVectors; ++v) {
      const __mmask16 mask = tile.first ? __mmask16{0} : v + 1 == kVectors ? last_mask : __mmask16{0xFFFF};
      sums[row][v] = _mm512_maskz_loadu_ps(mask, tile.out + row * tile.out_stride + 16 * v);
    }
  }
  using Activation = typename Arithmetic::Activation;
  for (uint32_t i = 0; i < tile.elements; ++i) {
    INLAY_UNROLL
    for (uint32_t row = 0; row < kRows; ++row) {
      const __m512 x =
          Arithmetic::broadcast(reinterpret_cast<const Activation*>(tile.x + row * tile.x_stride) + i);
      INLAY_UNROLL
      for (uint32_t v = 0; v < kVectors; ++v) {
        const std::byte* weights = tile.panel + v * kPanelVectorBytes<Arithmetic> + i * 64;
        sums[row][v] = Arithmetic::multiply_add(x, weights, sums[row][v]);
      }
    }
  }
  INLAY_UNROLL
  for (uint32_t row = 0; row < kRows; ++row) {
    INLAY_UNROLL
    for (uint32_t v = 0; v < kVectors; ++v) {
      const __m512 sum = tile.last ? _mm512_mul_ps(sums[row][v], _mm512_set1_ps(tile.scale)) : sums[row][v];
      const __mmask16 mask = v + 1 == kVectors ? last_mask : __mmask16{0xFFFF};
      _mm512_mask_storeu_ps(tile.out + row * tile.out_stride + 16 * v, mask, sum);
    }
  }
}

template <typename Arithmetic, uint32_t kRows>
void multiply_rows(const Tile& tile) {
  switch ((tile.n + 15) / 16) {
    case 1: return multiply_tile<Arithmetic, kRows, 1>(tile);
    case 2: return multiply_tile<Arithmetic, kRows, 2>(tile);
    case 3: return multiply_tile<Arithmetic, kRows, 3>(tile);
    default: return multiply_tile<Arithmetic, kRows, 4>(tile);
  }
}

/// All rows of X with one panel; `tile` stands at row 0.
template <typename Arithmetic>
void multiply_panel(Tile tile, uint32_t rows) {
  for (; rows >= kTileRows; rows -= kTileRows) {
    multiply_rows<Arithmetic, kTileRows>(tile);
    tile.x += kTileRows * tile.x_stride;
    tile.out += kTileRows * tile.out_stride;
  }
  switch (rows) {
    case 1: return multiply_rows<Arithmetic, 1>(tile);
    case 2: return multiply_rows<Arithmetic, 2>(tile);
    case 3: return multiply_rows<Arithmetic, 3>(tile);
    case 4: return multiply_rows<Arithmetic, 4>(tile);
    case 5: return multiply_rows<Arithmetic, 5>(tile);
    default: return;
  }
}

/// Decodes the panel of W's rows [n, n + count) and columns [k, k + columns); each 16 rows begin
/// `vector_stride` bytes behind the 16 before.
template <typename Arithmetic, TensorType T>
void decode(const WeightMatrix& weights, uint32_t n, uint32_t count, uint32_t k, uint32_t columns,
            std::byte* panel, size_t vector_stride) {
  constexpr TensorTypeTraits kType = traits(T);
  const size_t w_stride = static_cast<size_t>(weights.columns / kType.block_elements) * kType.block_bytes;
  const std::byte* w = weights.data + n * w_stride + k / kType.block_elements * kType.block_bytes;
  for (uint32_t done = 0; done < count; done += 16, w += 16 * w_stride, panel += vector_stride) {
    const uint32_t rows = count - done < 16 ? count - done : 16;
    if constexpr (is_float(T)) {
      decode_float_panel<T>(w, w_stride, rows, columns, panel);
    } else if (columns == kChunkColumns) {
      decode_panel<Arithmetic, T>(w, w_stride, rows, panel);
    } else {
      // A row's last blocks are copied so that nothing behind the row is read.
      constexpr size_t kChunkBytes = kChunkColumns / kType.block_elements * kType.block_bytes;
      std::byte tail[16 * kChunkBytes] = {};
      const size_t bytes = columns / kType.block_elements * kType.block_bytes;
      for (uint32_t row = 0; row < rows; ++row)
        std::memcpy(tail + row * kChunkBytes, w + row * w_stride, bytes);
      decode_panel<Arithmetic, T>(tail, kChunkBytes, rows, panel);
    }
  }
}

/// X at `x`, a row every `x_stride` bytes, its elements as Arithmetic takes them.
template <typename Arithmetic, TensorType T>
void multiply_wide(const MatmulArguments& a, const std::byte* x, size_t x_stride) {
  constexpr uint32_t kPerElement = Arithmetic::kColumnsPerElement;
  for (uint32_t n = a.n_begin; n < a.n_end; n += kPanelRows) {
    const uint32_t count = a.n_end - n < kPanelRows ? a.n_end - n : kPanelRows;
    for (uint32_t k = 0; k < a.weights.columns; k += kChunkColumns) {
      const uint32_t left = a.weights.columns - k;
      const uint32_t columns = left < kChunkColumns ? left : kChunkColumns;
      decode<Arithmetic, T>(a.weights, n, count, k, columns, a.scratch, kPanelVectorBytes<Arithmetic>);
      const Tile tile = {.x = x + k / kPerElement * sizeof(typename Arithmetic::Activation),
                         .x_stride = x_stride,
                         .panel = a.scratch,
                         .elements = columns / kPerElement,
                         .out = a.out + n,
                         .out_stride = a.out_stride,
                         .n = count,
                         .first = k == 0,
                         .last = columns == left,
                         .scale = a.weights.scale};
      multiply_panel<Arithmetic>(tile, a.rows);
    }
  }
}

}  // namespace
}  // namespace inlay::cpu

#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/matmul_avx2_unpack.h"
#include "kernels/cpu/matmul_internal.h"

// The wide products with AVX2, in float: AVX2's integer products would be no faster. The frame is that of
// matmul_avx512_wide.h; a panel is 16 rows of W by 256 columns.

namespace inlay::cpu {
namespace {

constexpr uint32_t kPanelRows = 16;
constexpr uint32_t kTileRows = 6;  // of X: 12 sums, 2 weights and an activation stay in registers
constexpr size_t kPanelFloats = size_t{kPanelRows} * kChunkColumns;  // [column][row of W]

/// 8 x 8: vector i's lane j becomes vector j's lane i.
INLAY_INLINE void transpose(__m256 (&v)[8]) {
  __m256 t[8];
  INLAY_UNROLL
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
  INLAY_UNROLL
  for (int i = 0; i < 8; i += 4) {
    v[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    v[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
    v[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    v[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
  }
  INLAY_UNROLL
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(v[i], v[4 + i], 0x20);
    t[4 + i] = _mm256_permute2f128_ps(v[i], v[4 + i], 0x31);
  }
  INLAY_UNROLL
  for (int i = 0; i < 8; ++i) v[i] = t[i];
}

/// Writes 8 columns of 8 rows of W, a vector a row, to their place in a panel.
INLAY_INLINE void store_transposed(__m256 (&rows)[8], float* panel) {
  transpose(rows);
  INLAY_UNROLL
  for (int i = 0; i < 8; ++i) _mm256_store_ps(panel + i * kPanelRows, rows[i]);
}

/// A step's 32 weights as floats, in order.
template <int S, typename Weights>
INLAY_INLINE void decode_step(const Weights& weights, const float* minimums, float* out) {
  alignas(32) int8_t codes[32];
  alignas(32) float scales[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(codes), weights.template codes<S>());
  _mm256_store_ps(scales, weights.template scales<S>());
  INLAY_UNROLL
  for (int i = 0; i < 4; ++i) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + 8 * i));
    const __m256i wide = Weights::kSignedCodes ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
    const __m256 scale = _mm256_set1_ps(scales[2 * i]);
    __m256 values;
    if constexpr (Weights::kMinimums == Minimums::kNone) {
      values = _mm256_mul_ps(_mm256_cvtepi32_ps(wide), scale);
    } else {
      const int group = Weights::kMinimums == Minimums::kEach16 ? 2 * S + i / 2 : S;
      values = _mm256_fmsub_ps(_mm256_cvtepi32_ps(wide), scale, _mm256_set1_ps(minimums[group]));
    }
    _mm256_store_ps(out + 8 * i, values);
  }
}

/// 256 weights of one row.
template <TensorType T>
void decode_row(const std::byte* from, float* out) {
  const Unpack<T> weights(from);
  alignas(32) float minimums[16];
  if constexpr (Unpack<T>::kMinimums != Minimums::kNone) {
    _mm256_store_ps(minimums, weights.template minimums<0>());
    if constexpr (Unpack<T>::kMinimums == Minimums::kEach16) {
      _mm256_store_ps(minimums + 8, weights.template minimums<1>());
    }
  }
  decode_step<0>(weights, minimums, out);
  decode_step<1>(weights, minimums, out + 32);
  decode_step<2>(weights, minimums, out + 64);
  decode_step<3>(weights, minimums, out + 96);
  decode_step<4>(weights, minimums, out + 128);
  decode_step<5>(weights, minimums, out + 160);
  decode_step<6>(weights, minimums, out + 192);
  decode_step<7>(weights, minimums, out + 224);
}

/// `columns` columns of the row at `from`; zeros behind them.
template <TensorType T>
void decode_part(const std::byte* from, uint32_t columns, float* out) {
  constexpr TensorTypeTraits kType = traits(T);
  constexpr size_t kChunkBytes = kChunkColumns / kType.block_elements * kType.block_bytes;
  // A short row's last blocks are copied so that nothing behind the row is read.
  std::byte copy[kChunkBytes];
  if (columns < kChunkColumns) {
    const size_t bytes = columns / kType.block_elements * kType.block_bytes;
    std::memset(copy, 0, sizeof(copy));
    std::memcpy(copy, from, bytes);
    from = copy;
  }
  if constexpr (is_float(T)) {
    for (uint32_t k = 0; k < kChunkColumns; k += 8) {
      _mm256_store_ps(out + k, load_floats<T>(from + k * kType.block_bytes));
    }
  } else {
    decode_row<T>(from, out);
  }
}

/// Decodes `columns` columns of up to 16 rows of W into `panel`; absent rows become zeros.
template <TensorType T>
void decode_panel(const std::byte* w, size_t w_stride, uint32_t rows, uint32_t columns, float* panel) {
  for (uint32_t first = 0; first < kPanelRows; first += 8) {
    alignas(32) float decoded[8][kChunkColumns];
    for (uint32_t i = 0; i < 8; ++i) {
      if (first + i < rows) {
        decode_part<T>(w + (first + i) * w_stride, columns, decoded[i]);
      } else {
        std::memset(decoded[i], 0, sizeof(decoded[i]));
      }
    }
    for (uint32_t k = 0; k < columns; k += 8) {
      __m256 vectors[8];
      INLAY_UNROLL
      for (int i = 0; i < 8; ++i) vectors[i] = _mm256_load_ps(decoded[i] + k);
      store_transposed(vectors, panel + k * kPanelRows + first);
    }
  }
}

struct Tile {
  const float* x;  // rows of activations, at the panel's first column
  size_t x_stride;
  const float* panel;
  uint32_t columns;
  float* out;
  size_t out_stride;
  uint32_t n;   // outputs, at most 16
  bool first;   // panel of columns: `out` holds nothing yet
  float scale;  // 1 but for the last panel
};

/// Outputs [0, n) of a tile's row, or 16 through a copy where there are fewer.
INLAY_INLINE void load_outputs(const Tile& tile, uint32_t row, __m256 (&sums)[2]) {
  const float* from = tile.out + row * tile.out_stride;
  alignas(32) float copy[kPanelRows] = {};
  if (tile.n < kPanelRows) {
    std::memcpy(copy, from, tile.n * sizeof(float));
    from = copy;
  }
  sums[0] = _mm256_loadu_ps(from);
  sums[1] = _mm256_loadu_ps(from + 8);
}

INLAY_INLINE void store_outputs(const Tile& tile, uint32_t row, const __m256 (&sums)[2]) {
  float* to = tile.out + row * tile.out_stride;
  alignas(32) float copy[kPanelRows];
  float* target = tile.n < kPanelRows ? copy : to;
  _mm256_storeu_ps(target, _mm256_mul_ps(sums[0], _mm256_set1_ps(tile.scale)));
  _mm256_storeu_ps(target + 8, _mm256_mul_ps(sums[1], _mm256_set1_ps(tile.scale)));
  if (tile.n < kPanelRows) std::memcpy(to, copy, tile.n * sizeof(float));
}

template <uint32_t kRows>
void multiply_tile(const Tile& tile) {
  __m256 sums[kRows][2];
  INLAY_UNROLL
  for (uint32_t row = 0; row < kRows; ++row) sums[row][0] = sums[row][1] = _mm256_setzero_ps();
  if (!tile.first) {
    INLAY_UNROLL
    for (uint32_t row = 0; row < kRows; ++row) load_outputs(tile, row, sums[row]);
  }
  for (uint32_t k = 0; k < tile.columns; ++k) {
    const __m256 first = _mm256_load_ps(tile.panel + k * kPanelRows);
    const __m256 second = _mm256_load_ps(tile.panel + k * kPanelRows + 8);
    INLAY_UNROLL
    for (uint32_t row = 0; row < kRows; ++row) {
      const __m256 x = _mm256_broadcast_ss(tile.x + row * tile.x_stride + k);
      sums[row][0] = _mm256_fmadd_ps(x, first, sums[row][0]);
      sums[row][1] = _mm256_fmadd_ps(x, second, sums[row][1]);
    }
  }
  INLAY_UNROLL
  for (uint32_t row = 0; row < kRows; ++row) store_outputs(tile, row, sums[row]);
}

void multiply_panel(Tile tile, uint32_t rows) {
  for (; rows >= kTileRows; rows -= kTileRows) {
    multiply_tile<kTileRows>(tile);
    tile.x += kTileRows * tile.x_stride;
    tile.out += kTileRows * tile.out_stride;
  }
  switch (rows) {
    case 1: return multiply_tile<1>(tile);
    case 2: return multiply_tile<2>(tile);
    case 3: return multiply_tile<3>(tile);
    case 4: return multiply_tile<4>(tile);
    case 5: return multiply_tile<5>(tile);
    default: return;
  }
}

template <TensorType T>
void wide(const MatmulArguments& a) {
  constexpr TensorTypeTraits kType = traits(T);
  const size_t w_stride = static_cast<size_t>(a.weights.columns / kType.block_elements) * kType.block_bytes;
  float* panel = reinterpret_cast<float*>(a.scratch);
  for (uint32_t n = a.n_begin; n < a.n_end; n += kPanelRows) {
    const uint32_t count = a.n_end - n < kPanelRows ? a.n_end - n : kPanelRows;
    for (uint32_t k = 0; k < a.weights.columns; k += kChunkColumns) {
      const uint32_t left = a.weights.columns - k;
      const uint32_t columns = left < kChunkColumns ? left : kChunkColumns;
      const std::byte* w = a.weights.data + n * w_stride + k / kType.block_elements * kType.block_bytes;
      decode_panel<T>(w, w_stride, count, columns, panel);
      multiply_panel({.x = a.x + k,
                      .x_stride = a.x_stride,
                      .panel = panel,
                      .columns = columns,
                      .out = a.out + n,
                      .out_stride = a.out_stride,
                      .n = count,
                      .first = k == 0,
                      .scale = columns == left ? a.weights.scale : 1.0f},
                     a.rows);
    }
  }
}

void wide_avx2(const MatmulArguments& a) {
  switch (a.weights.type) {
#define INLAY_WIDE(name, number, elements, bytes) \
  case TensorType::name: return wide<TensorType::name>(a);
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_WIDE)
#undef INLAY_WIDE
    case TensorType::FP8: return multiply_fp8_avx2(a);
  }
}

void prepare_nothing(const float*, size_t, uint32_t, uint32_t, uint32_t, void*) {}

}  // namespace

const MatmulKernels kAvx2Matmul = {"avx2",      prepare_narrow_avx2, prepare_nothing,
                                   narrow_avx2, wide_avx2,           kPanelFloats * sizeof(float)};

}  // namespace inlay::cpu

#include <immintrin.h>

#include <atomic>
#include <cstring>

#include "kernels/cpu/matmul_avx512_bf16.h"

// The wide products of quantised weights with AMX: TDPBF16PS takes panels of W as matmul_avx512_bf16.cpp
// decodes them, 16 outputs by 32 columns a tile, and 16 rows of X by 32 columns where they lie.
//
// Tiles: sums 0..3 (rows of X x outputs, 2 x 2), activations 4 and 5, weights 6 and 7.

namespace inlay::cpu {
namespace {

constexpr uint32_t kTileEdge = 16;     // rows of X, and outputs
constexpr uint32_t kTileColumns = 32;  // of bfloat16
constexpr uint32_t kTileBytes = 64;    // a tile's row
constexpr uint32_t kPanelChunks = 4;   // decoded before they are used: sums are fetched and stored less often
constexpr size_t kVectorBytes = kPanelChunks * kPanelVectorBytes<Bfloat16Arithmetic>;
constexpr size_t kPanelBytes = kPanelVectors * kVectorBytes;
constexpr size_t kScratchBytes = kPanelBytes + kTileEdge * kTileBytes;

struct TileConfiguration {
  alignas(64) uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);

struct Block {
  const std::byte* x;  // rows of activations, at the panel's first column
  size_t x_stride;     // bytes
  const std::byte* panel;
  uint32_t tiles;  // of columns
  float* out;
  size_t out_stride;
  uint32_t rows;  // of X, at most two tiles
  uint32_t n;     // outputs, at most two tiles
  bool first;     // panel of columns: `out` holds nothing yet
  float* copy;    // a tile's sums, for tiles that are not whole
};

/// The part of `out` that sums tile (kRow, kColumn) of a block covers.
struct Covered {
  float* out;
  uint32_t rows;
  uint32_t n;
  bool whole() const { return rows == kTileEdge && n == kTileEdge; }
};

INLAY_INLINE Covered covered(const Block& block, uint32_t row, uint32_t column) {
  const uint32_t rows = block.rows - row * kTileEdge;
  const uint32_t n = block.n - column * kTileEdge;
  return {block.out + row * kTileEdge * block.out_stride + column * kTileEdge,
          rows < kTileEdge ? rows : kTileEdge, n < kTileEdge ? n : kTileEdge};
}

// The intrinsics want their tile as a literal.
template <int kTile>
void zero_tile();
template <int kTile>
void load_tile(const void* from, size_t stride);
template <int kTile>
void store_tile(void* to, size_t stride);

#define INLAY_SUM_TILE(tile)                                           \
  template <>                                                          \
  INLAY_INLINE void zero_tile<tile>() {                                \
    _tile_zero(tile);                                                  \
  }                                                                    \
  template <>                                                          \
  INLAY_INLINE void load_tile<tile>(const void* from, size_t stride) { \
    _tile_loadd(tile, from, stride);                                   \
  }                                                                    \
  template <>                                                          \
  INLAY_INLINE void store_tile<tile>(void* to, size_t stride) {        \
    _tile_stored(tile, to, stride);                                    \
  }
INLAY_SUM_TILE(0)
INLAY_SUM_TILE(1)
INLAY_SUM_TILE(2)
INLAY_SUM_TILE(3)
#undef INLAY_SUM_TILE

/// GCC's tile intrinsics do not say that they read and write memory: nothing may move across this.
INLAY_INLINE void order_memory() { std::atomic_signal_fence(std::memory_order_seq_cst); }

template <int kTile>
INLAY_INLINE void load_sums(const Block& block, const Covered& part) {
  if (block.first) {
    zero_tile<kTile>();
  } else if (part.whole()) {
    load_tile<kTile>(part.out, block.out_stride * sizeof(float));
  } else {
    for (uint32_t row = 0; row < part.rows; ++row) {
      std::memcpy(block.copy + row * kTileEdge, part.out + row * block.out_stride, part.n * sizeof(float));
    }
    order_memory();
    load_tile<kTile>(block.copy, kTileBytes);
    order_memory();
  }
}

template <int kTile>
INLAY_INLINE void store_sums(const Block& block, const Covered& part) {
  if (part.whole()) {
    store_tile<kTile>(part.out, block.out_stride * sizeof(float));
    return;
  }
  store_tile<kTile>(block.copy, kTileBytes);
  order_memory();
  for (uint32_t row = 0; row < part.rows; ++row) {
    std::memcpy(part.out + row * block.out_stride, block.copy + row * kTileEdge, part.n * sizeof(float));
  }
  order_memory();
}

/// Two tiles of rows, or one; two tiles of outputs, or one.
template <bool kTwoRows, bool kTwoOutputs>
void multiply_block(const Block& block) {
  order_memory();
  load_sums<0>(block, covered(block, 0, 0));
  if constexpr (kTwoOutputs) load_sums<1>(block, covered(block, 0, 1));
  if constexpr (kTwoRows) load_sums<2>(block, covered(block, 1, 0));
  if constexpr (kTwoRows && kTwoOutputs) load_sums<3>(block, covered(block, 1, 1));
  const std::byte* x = block.x;
  const std::byte* w = block.panel;
  for (uint32_t i = 0; i < block.tiles; ++i, x += kTileColumns * 2, w += kTileEdge * kTileBytes) {
    _tile_loadd(4, x, block.x_stride);
    _tile_loadd(6, w, kTileBytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kTwoOutputs) {
      _tile_loadd(7, w + kVectorBytes, kTileBytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kTwoRows) {
      _tile_loadd(5, x + kTileEdge * block.x_stride, block.x_stride);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kTwoOutputs) _tile_dpbf16ps(3, 5, 7);
    }
  }
  store_sums<0>(block, covered(block, 0, 0));
  if constexpr (kTwoOutputs) store_sums<1>(block, covered(block, 0, 1));
  if constexpr (kTwoRows) store_sums<2>(block, covered(block, 1, 0));
  if constexpr (kTwoRows && kTwoOutputs) store_sums<3>(block, covered(block, 1, 1));
  order_memory();
}

/// All rows of X with the panel in scratch: `count` outputs from n on, `columns` columns from k on.
void multiply_panel(const MatmulArguments& a, uint32_t n, uint32_t count, uint32_t k, uint32_t columns) {
  const size_t x_stride = bfloat16_row_stride(a.weights.columns);
  const std::byte* x = static_cast<const std::byte*>(a.prepared) + k * 2;
  for (uint32_t row = 0; row < a.rows; row += 2 * kTileEdge) {
    for (uint32_t i = 0; i < count; i += 2 * kTileEdge) {
      const uint32_t rows_left = a.rows - row;
      const uint32_t n_left = count - i;
      const Block block = {.x = x + row * x_stride,
                           .x_stride = x_stride,
                           .panel = a.scratch + i / kTileEdge * kVectorBytes,
                           .tiles = columns / kTileColumns,
                           .out = a.out + row * a.out_stride + n + i,
                           .out_stride = a.out_stride,
                           .rows = rows_left < 2 * kTileEdge ? rows_left : 2 * kTileEdge,
                           .n = n_left < 2 * kTileEdge ? n_left : 2 * kTileEdge,
                           .first = k == 0,
                           .copy = reinterpret_cast<float*>(a.scratch + kPanelBytes)};
      const bool two_rows = block.rows > kTileEdge;
      const bool two_outputs = block.n > kTileEdge;
      if (two_rows) {
        two_outputs ? multiply_block<true, true>(block) : multiply_block<true, false>(block);
      } else {
        two_outputs ? multiply_block<false, true>(block) : multiply_block<false, false>(block);
      }
    }
  }
}

void scale_outputs(const MatmulArguments& a, uint32_t n, uint32_t count) {
  if (a.weights.scale == 1.0f) return;
  for (uint32_t row = 0; row < a.rows; ++row) {
    for (uint32_t i = n; i < n + count; ++i) a.out[row * a.out_stride + i] *= a.weights.scale;
  }
}

template <TensorType T>
void wide(const MatmulArguments& a) {
  const TileConfiguration configuration;
  _tile_loadconfig(&configuration);
  for (uint32_t n = a.n_begin; n < a.n_end; n += kPanelRows) {
    const uint32_t count = a.n_end - n < kPanelRows ? a.n_end - n : kPanelRows;
    for (uint32_t k = 0; k < a.weights.columns; k += kPanelChunks * kChunkColumns) {
      const uint32_t left = a.weights.columns - k;
      const uint32_t columns = left < kPanelChunks * kChunkColumns ? left : kPanelChunks * kChunkColumns;
      for (uint32_t chunk = 0; chunk < columns; chunk += kChunkColumns) {
        const uint32_t part = columns - chunk < kChunkColumns ? columns - chunk : kChunkColumns;
        decode<Bfloat16Arithmetic, T>(a.weights, n, count, k + chunk, part,
                                      a.scratch + chunk / 2 * kTileBytes, kVectorBytes);
      }
      multiply_panel(a, n, count, k, columns);
    }
    scale_outputs(a, n, count);
  }
  _tile_release();
}

void wide_amx(const MatmulArguments& a) {
  switch (a.weights.type) {
    case TensorType::F32:
    case TensorType::F16:
    case TensorType::BF16: return wide_avx512(a);
#define INLAY_WIDE(name) \
  case TensorType::name: return wide<TensorType::name>(a);
      INLAY_FOR_EACH_BLOCK_TYPE(INLAY_WIDE)
#undef INLAY_WIDE
    case TensorType::FP8: return multiply_fp8_avx512(a);
  }
}

}  // namespace

const MatmulKernels kAmxMatmul = {"amx",    prepare_narrow_avx512, prepare_wide_bfloat16, narrow_avx512,
                                  wide_amx, kScratchBytes};

}  // namespace inlay::cpu

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "formats/tensor_type.h"

// Matrices as CUDA's kernels read them: tiles of 8 rows by 256 columns, each contiguous, those of a column of
// tiles one after another. Within a tile, the bits lie so that a warp's 16-byte loads are operands of matrix
// instructions: tile_packing.h. Only the last rows and columns are padded, to whole tiles.

namespace inlay {

/// What a package calls this layout. Bytes that mean anything else take another name: their number goes up.
inline constexpr std::string_view kTilesLayout = "cuda-tiles-1";

inline constexpr uint32_t kTileRows = 8;
inline constexpr uint32_t kTileColumns = 256;

/// Bytes of a tile: those of the file's blocks that it holds, but for FP8, which is F16 there, and for
/// IQ4_XS, whose scales are whole bytes.
constexpr uint32_t tile_bytes(TensorType type) {
  if (type == TensorType::IQ4_XS) return kTileRows * (128 + 8 + 2);
  const TensorType stored = type == TensorType::FP8 ? TensorType::F16 : type;
  return kTileRows * static_cast<uint32_t>(row_bytes(stored, kTileColumns));
}

/// Bytes of a matrix in tiles, a multiple of kTilesAlignment, which is where it begins too.
inline constexpr uint64_t kTilesAlignment = 256;
constexpr uint64_t bytes_in_tiles(TensorType type, uint64_t rows, uint64_t columns) {
  const uint64_t tiles = ((rows + kTileRows - 1) / kTileRows) * ((columns + kTileColumns - 1) / kTileColumns);
  return (tiles * tile_bytes(type) + kTilesAlignment - 1) / kTilesAlignment * kTilesAlignment;
}

/// Brings rows [row_begin, row_begin + rows) of a matrix of `matrix_rows` rows and `columns` columns to their
/// tiles. `blocks` is those rows as a GGUF file has them, at any alignment, `tiles` the whole destination,
/// aligned to 4 bytes. `row_begin` is a multiple of 8, and so is `rows` unless these are the last. Bytes
/// behind the last tile are left alone.
void pack_tiles(TensorType type, const std::byte* blocks, uint64_t row_begin, uint64_t rows,
                uint64_t matrix_rows, uint64_t columns, std::byte* tiles);

}  // namespace inlay

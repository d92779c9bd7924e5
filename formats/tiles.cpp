#include "formats/tiles.h"

#include <algorithm>

#include "formats/tile_packing.h"

namespace inlay {
namespace {

constexpr uint32_t kLanes = 32;

template <TensorType type>
void pack(const std::byte* blocks, uint64_t row_begin, uint64_t rows, uint64_t matrix_rows, uint64_t columns,
          std::byte* tiles) {
  const uint64_t stride = row_bytes(type, columns);
  const uint64_t tile_rows = (matrix_rows + kTileRows - 1) / kTileRows;
  const uint64_t tile_columns = (columns + kTileColumns - 1) / kTileColumns;
  const auto* source = reinterpret_cast<const uint8_t*>(blocks);
  for (uint64_t r = 0; r * kTileRows < rows; ++r) {
    for (uint64_t s = 0; s < tile_columns; ++s) {
      const uint64_t tile = s * tile_rows + row_begin / kTileRows + r;
      const auto there = static_cast<uint32_t>(std::min<uint64_t>(columns - s * kTileColumns, kTileColumns));
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        const uint64_t row = r * kTileRows + lane / 4;
        // A row that is not there is not read; its address must not be made up either.
        const uint64_t offset = row < rows ? row * stride + s * row_bytes(type, kTileColumns) : 0;
        tiles::pack_lane<type>(source + offset, row < rows ? there : 0,
                               reinterpret_cast<char*>(tiles) + tile * tile_bytes(type), lane);
      }
    }
  }
}

}  // namespace

void pack_tiles(TensorType type, const std::byte* blocks, uint64_t row_begin, uint64_t rows,
                uint64_t matrix_rows, uint64_t columns, std::byte* tiles) {
  switch (type) {
#define INLAY_PACK_TILES(name, number, elements, bytes) \
  case TensorType::name: pack<TensorType::name>(blocks, row_begin, rows, matrix_rows, columns, tiles); break;
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_PACK_TILES)
    INLAY_FOR_EACH_OWN_TENSOR_TYPE(INLAY_PACK_TILES)
#undef INLAY_PACK_TILES
  }
}

}  // namespace inlay

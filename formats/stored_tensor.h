#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "formats/tensor_type.h"
#include "formats/tiles.h"

namespace inlay {

/// How a tensor's blocks lie.
enum class TensorLayout : uint8_t {
  kRows,     // row after row, as in a GGUF file
  kColumns,  // a matrix of floats, column after column
  kTiles,    // as formats/tiles.h says; has no rows of its own
};

/// One tensor as a file has it, whatever the file's format. A row is dimensions[0] elements in whole blocks.
struct StoredTensor {
  std::string_view name;  // lives as long as the file
  TensorType type = TensorType::F32;
  TensorLayout layout = TensorLayout::kRows;
  uint32_t dimension_count = 0;
  std::array<uint64_t, 4> dimensions = {1, 1, 1, 1};  // innermost first, as in the file; 1 beyond the count
  uint32_t part = 0;                                  // which file of a split model holds it
  uint64_t offset = 0;                                // of its first byte in that file
  uint64_t bytes = 0;
  const std::byte* data = nullptr;  // at any alignment; null where the file is not mapped

  uint64_t elements() const { return dimensions[0] * dimensions[1] * dimensions[2] * dimensions[3]; }
  uint64_t rows() const { return dimensions[1] * dimensions[2] * dimensions[3]; }
  uint64_t bytes_a_row() const { return row_bytes(type, dimensions[0]); }
  /// What a tensor of this shape, type and layout takes.
  uint64_t stored_bytes() const {
    return layout == TensorLayout::kTiles ? bytes_in_tiles(type, rows(), dimensions[0])
                                          : rows() * bytes_a_row();
  }
};

}  // namespace inlay

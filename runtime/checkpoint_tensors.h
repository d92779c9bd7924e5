#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/safetensors.h"
#include "formats/tensor_type.h"

// How a checkpoint's tensors become those of a GGUF file of the architecture. What the two differ in: value
// heads of the DeltaNet layers, which checkpoints group by their key head and GGUF files tile over the key
// heads; norms, which checkpoints keep as weight - 1; the decay, kept as the logarithm of its negative.

namespace inlay {

/// Units (heads of `length` elements) from `begin` on are reordered from grouped to tiled.
struct HeadOrder {
  uint64_t begin = 0;
  uint64_t length = 0;  // 0: nothing is reordered
  uint64_t key_heads = 1;
  uint64_t value_heads = 1;

  /// Where in the checkpoint element `index` of the result is.
  uint64_t source(uint64_t index) const {
    if (length == 0 || index < begin) return index;
    const uint64_t tiled = (index - begin) / length;
    const uint64_t grouped = tiled % key_heads * (value_heads / key_heads) + tiled / key_heads;
    return begin + grouped * length + (index - begin) % length;
  }
};

/// How one tensor of the result is made from the checkpoint's; all of them are mapped.
struct TensorConversion {
  enum class Kind : uint8_t {
    kCopy,        // the elements as they are
    kFloat,       // as float32
    kPlusOne,     // as float32, plus one
    kMinusExp,    // as float32, -exp of it
    kFp8,         // E4M3 codes and their scales as FP8 blocks
    kNvfp4,       // E2M1 codes and their E4M3 scales as NVFP4 blocks
    kFp8Float,    // E4M3 codes times their scales as float32, where rows are no whole blocks
    kNvfp4Float,  // likewise E2M1 codes, without the tensor's own scale
    kFactor,      // the one number `factor`
  };

  Kind kind = Kind::kCopy;
  const SafetensorsTensor* weights = nullptr;
  const SafetensorsTensor* scales = nullptr;
  uint64_t rows = 0;
  uint64_t columns = 0;
  HeadOrder row_order;
  HeadOrder column_order;
  uint64_t scale_rows = 1;     // rows that share a scale
  uint64_t scale_columns = 1;  // columns that do
  uint64_t scale_stride = 1;   // scales of a row of scales
  float factor = 1.0f;

  /// Writes `count` rows from `first` on. Throws INLAY_ERROR_CORRUPT_FILE for codes that are not numbers.
  void convert(uint64_t first, uint64_t count, std::byte* destination) const;
  /// What the result is stored as.
  TensorType type() const;
};

/// Element `index` of a tensor of floating-point numbers.
float element(const SafetensorsTensor& tensor, uint64_t index);

}  // namespace inlay

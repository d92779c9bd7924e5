#include "runtime/checkpoint_tensors.h"

#include <cmath>
#include <cstring>
#include <string>

#include "formats/blocks.h"
#include "formats/gguf_header.h"
#include "runtime/error.h"

namespace inlay {
namespace {

constexpr uint64_t kFp8Columns = traits(TensorType::FP8).block_elements;
constexpr uint64_t kNvfp4Columns = traits(TensorType::NVFP4).block_elements;
constexpr uint64_t kNvfp4Group = 16;

uint8_t byte_at(const SafetensorsTensor& tensor, uint64_t index) {
  return static_cast<uint8_t>(tensor.data[index]);
}

[[noreturn]] void refuse_code(const SafetensorsTensor& tensor) {
  throw Error(INLAY_ERROR_CORRUPT_FILE, "tensor " + quoted(tensor.name) + ": an element is not a number");
}

uint8_t checked_e4m3(const SafetensorsTensor& tensor, uint64_t index) {
  const uint8_t code = byte_at(tensor, index);
  if ((code & 0x7F) == 0x7F) refuse_code(tensor);
  return code;
}

/// Code `column` of a row of packed E2M1 codes, two a byte, the first in the low nibble.
uint8_t e2m1_at(const SafetensorsTensor& tensor, uint64_t row_begin, uint64_t column) {
  return (byte_at(tensor, row_begin + column / 2) >> (column % 2 * 4)) & 15;
}

/// The rows of one conversion, one after another.
class RowConverter {
 public:
  explicit RowConverter(const TensorConversion& conversion) : c_(conversion) {}

  void copy(uint64_t row, std::byte* to) const {
    const uint64_t bytes = element_bytes(c_.weights->type);
    const std::byte* from = c_.weights->data + c_.row_order.source(row) * c_.columns * bytes;
    if (c_.column_order.length == 0) {
      std::memcpy(to, from, static_cast<size_t>(c_.columns * bytes));
      return;
    }
    for (uint64_t column = 0; column < c_.columns; ++column) {
      std::memcpy(to + column * bytes, from + c_.column_order.source(column) * bytes,
                  static_cast<size_t>(bytes));
    }
  }

  template <typename F>
  void floats(uint64_t row, std::byte* to, const F& value_of) const {
    const uint64_t from = c_.row_order.source(row);
    for (uint64_t column = 0; column < c_.columns; ++column) {
      const float value = value_of(from, c_.column_order.source(column));
      std::memcpy(to + column * sizeof value, &value, sizeof value);
    }
  }

  float plain(uint64_t row, uint64_t column) const { return element(*c_.weights, row * c_.columns + column); }
  float fp8(uint64_t row, uint64_t column) const {
    return scale(row, column) * e4m3_to_float(checked_e4m3(*c_.weights, row * c_.columns + column));
  }
  float nvfp4(uint64_t row, uint64_t column) const {
    const uint64_t begin = row * (c_.columns / 2);
    return 0.5f * scale(row, column) *
           static_cast<float>(kDoubledE2M1Values[e2m1_at(*c_.weights, begin, column)]);
  }

  /// A block's columns stand side by side in the checkpoint too, and share a scale there.
  void fp8_blocks(uint64_t row, std::byte* to) const {
    const uint64_t from = c_.row_order.source(row);
    auto* block = reinterpret_cast<BlockFP8*>(to);
    for (uint64_t column = 0; column < c_.columns; column += kFp8Columns, ++block) {
      const uint64_t source = c_.column_order.source(column);
      const float d = scale(from, source);
      std::memcpy(block->d, &d, sizeof d);
      for (uint64_t i = 0; i < kFp8Columns; ++i) {
        block->qs[i] = checked_e4m3(*c_.weights, from * c_.columns + source + i);
      }
    }
  }

  void nvfp4_blocks(uint64_t row, std::byte* destination) const {
    const uint64_t from = c_.row_order.source(row);
    const uint64_t begin = from * (c_.columns / 2);
    auto* block = reinterpret_cast<BlockNVFP4*>(destination);
    for (uint64_t column = 0; column < c_.columns; column += kNvfp4Columns, ++block) {
      const uint64_t source = c_.column_order.source(column);
      for (uint64_t group = 0; group < kNvfp4Columns / kNvfp4Group; ++group) {
        const uint64_t group_column = source + group * kNvfp4Group;
        const uint8_t d = checked_e4m3(*c_.scales, from * c_.scale_stride + group_column / kNvfp4Group);
        // A block's scale has no sign: its codes have it instead.
        const unsigned signs = d >= 0x80 ? 0x88 : 0;
        block->d[group] = d & 0x7F;
        // There two neighbours share a byte, here those that are eight apart.
        for (uint64_t i = 0; i < kNvfp4Group / 4; ++i) {
          const unsigned first = byte_at(*c_.weights, begin + group_column / 2 + i);
          const unsigned eighth = byte_at(*c_.weights, begin + group_column / 2 + i + kNvfp4Group / 4);
          uint8_t* to = block->qs + group * 8 + 2 * i;
          to[0] = static_cast<uint8_t>(((first & 15) | (eighth & 15) << 4) ^ signs);
          to[1] = static_cast<uint8_t>((first >> 4 | (eighth & 0xF0)) ^ signs);
        }
      }
    }
  }

 private:
  float scale(uint64_t row, uint64_t column) const {
    return element(*c_.scales, row / c_.scale_rows * c_.scale_stride + column / c_.scale_columns);
  }

  const TensorConversion& c_;
};

}  // namespace

float element(const SafetensorsTensor& tensor, uint64_t index) {
  const std::byte* at = tensor.data + index * element_bytes(tensor.type);
  uint16_t half = 0;
  switch (tensor.type) {
    case SafetensorsType::kF32: {
      float value;
      std::memcpy(&value, at, sizeof value);
      return value;
    }
    case SafetensorsType::kF16: std::memcpy(&half, at, sizeof half); return half_to_float(half);
    case SafetensorsType::kBF16: std::memcpy(&half, at, sizeof half); return bfloat16_to_float(half);
    case SafetensorsType::kF8E4M3: return e4m3_to_float(checked_e4m3(tensor, index));
    default:
      throw Error(INLAY_ERROR_UNSUPPORTED, "tensor " + quoted(tensor.name) + ": its dtype is no number here");
  }
}

TensorType TensorConversion::type() const {
  switch (kind) {
    case Kind::kCopy:
      switch (weights->type) {
        case SafetensorsType::kF16: return TensorType::F16;
        case SafetensorsType::kBF16: return TensorType::BF16;
        default: return TensorType::F32;
      }
    case Kind::kFp8: return TensorType::FP8;
    case Kind::kNvfp4: return TensorType::NVFP4;
    default: return TensorType::F32;
  }
}

void TensorConversion::convert(uint64_t first, uint64_t count, std::byte* destination) const {
  const RowConverter converter(*this);
  const uint64_t row_size = row_bytes(type(), columns);
  for (uint64_t row = first; row < first + count; ++row, destination += row_size) {
    switch (kind) {
      case Kind::kCopy: converter.copy(row, destination); break;
      case Kind::kFloat:
        converter.floats(row, destination, [&](uint64_t r, uint64_t c) { return converter.plain(r, c); });
        break;
      case Kind::kPlusOne:
        converter.floats(row, destination,
                         [&](uint64_t r, uint64_t c) { return converter.plain(r, c) + 1.0f; });
        break;
      case Kind::kMinusExp:
        converter.floats(row, destination,
                         [&](uint64_t r, uint64_t c) { return -std::exp(converter.plain(r, c)); });
        break;
      case Kind::kFp8: converter.fp8_blocks(row, destination); break;
      case Kind::kNvfp4: converter.nvfp4_blocks(row, destination); break;
      case Kind::kFp8Float:
        converter.floats(row, destination, [&](uint64_t r, uint64_t c) { return converter.fp8(r, c); });
        break;
      case Kind::kNvfp4Float:
        converter.floats(row, destination, [&](uint64_t r, uint64_t c) { return converter.nvfp4(r, c); });
        break;
      case Kind::kFactor: std::memcpy(destination, &factor, sizeof factor); break;
    }
  }
}

}  // namespace inlay

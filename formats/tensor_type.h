#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace inlay {

// Every storage type of a tensor in GGUF files, listed once: this list feeds the enumeration, the size
// tables, the dequantisers, the dot products, their tests and their benchmarks. Columns: name, number in a
// GGUF file, elements a block, bytes a block. Source: the GGUF specification and ggml's block layouts
// (ggml-common.h describes the same bytes).
#define INLAY_FOR_EACH_TENSOR_TYPE(X) \
  X(F32, 0, 1, 4)                     \
  X(F16, 1, 1, 2)                     \
  X(BF16, 30, 1, 2)                   \
  X(Q4_0, 2, 32, 18)                  \
  X(Q4_1, 3, 32, 20)                  \
  X(Q5_0, 6, 32, 22)                  \
  X(Q5_1, 7, 32, 24)                  \
  X(Q8_0, 8, 32, 34)                  \
  X(Q2_K, 10, 256, 84)                \
  X(Q3_K, 11, 256, 110)               \
  X(Q4_K, 12, 256, 144)               \
  X(Q5_K, 13, 256, 176)               \
  X(Q6_K, 14, 256, 210)               \
  X(IQ4_NL, 20, 32, 18)               \
  X(IQ4_XS, 23, 256, 136)             \
  X(MXFP4, 39, 32, 17)                \
  X(NVFP4, 40, 64, 36)

// Types of packages alone, for published checkpoints. Columns as above; the numbers are Inlay's own.
#define INLAY_FOR_EACH_OWN_TENSOR_TYPE(X) X(FP8, 1000, 128, 132)

enum class TensorType : uint8_t {
#define INLAY_ENUMERATE(name, number, elements, bytes) name,
  INLAY_FOR_EACH_TENSOR_TYPE(INLAY_ENUMERATE) INLAY_FOR_EACH_OWN_TENSOR_TYPE(INLAY_ENUMERATE)
#undef INLAY_ENUMERATE
};

#define INLAY_COUNT(name, number, elements, bytes) +1
inline constexpr int kTensorTypeCount =
    0 INLAY_FOR_EACH_TENSOR_TYPE(INLAY_COUNT) INLAY_FOR_EACH_OWN_TENSOR_TYPE(INLAY_COUNT);
#undef INLAY_COUNT

struct TensorTypeTraits {
  std::string_view name;
  uint32_t gguf_number;
  uint32_t block_elements;
  uint32_t block_bytes;
};

constexpr TensorTypeTraits traits(TensorType type) {
  switch (type) {
#define INLAY_TRAITS(name, number, elements, bytes) \
  case TensorType::name: return {#name, number, elements, bytes};
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_TRAITS)
    INLAY_FOR_EACH_OWN_TENSOR_TYPE(INLAY_TRAITS)
#undef INLAY_TRAITS
  }
  return {};
}

/// GGUF files do not use the numbers from here on.
inline constexpr uint32_t kFirstOwnTypeNumber = 1000;

/// The type that a package means by `number`; empty for one that this library does not know.
constexpr std::optional<TensorType> tensor_type_from_number(uint32_t number) {
  switch (number) {
#define INLAY_FROM_NUMBER(name, its_number, elements, bytes) \
  case its_number: return TensorType::name;
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_FROM_NUMBER)
    INLAY_FOR_EACH_OWN_TENSOR_TYPE(INLAY_FROM_NUMBER)
#undef INLAY_FROM_NUMBER
  }
  return std::nullopt;
}

/// The type that a GGUF file means by `number`; empty for one that Inlay does not read.
constexpr std::optional<TensorType> tensor_type_from_gguf(uint32_t number) {
  return number < kFirstOwnTypeNumber ? tensor_type_from_number(number) : std::nullopt;
}

/// Bytes of a row of `columns` elements; `columns` must be a whole number of blocks.
constexpr uint64_t row_bytes(TensorType type, uint64_t columns) {
  const TensorTypeTraits t = traits(type);
  return columns / t.block_elements * t.block_bytes;
}

}  // namespace inlay

#include "formats/tensor_type.h"

#include <doctest/doctest.h>

namespace inlay {

TEST_CASE("tensor types keep their numbers in a GGUF file") {
  for (int i = 0; i < kTensorTypeCount; ++i) {
    const auto type = static_cast<TensorType>(i);
    const uint32_t number = traits(type).gguf_number;
    CHECK(tensor_type_from_number(number) == type);
    CHECK(tensor_type_from_gguf(number).has_value() == (number < kFirstOwnTypeNumber));
  }
  CHECK(!tensor_type_from_gguf(4).has_value());
  CHECK(!tensor_type_from_gguf(0xFFFFFFFFu).has_value());
}

TEST_CASE("a row is a whole number of blocks") {
  CHECK(row_bytes(TensorType::F32, 3) == 12);
  CHECK(row_bytes(TensorType::Q4_K, 512) == 288);
  CHECK(row_bytes(TensorType::NVFP4, 128) == 72);
}

}  // namespace inlay

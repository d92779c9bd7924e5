#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/gguf_writer.h"

namespace inlay::test {

inline std::vector<std::byte> read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

/// A good GGUF file taken apart, to be put together again with one thing wrong.
class GgufParts {
 public:
  struct Value {
    std::string key;
    uint32_t type;
    std::string bytes;
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dimensions;
    TensorType type;
    std::string bytes;
  };
  std::vector<Value> values;
  std::vector<Tensor> tensors;

  explicit GgufParts(const std::filesystem::path& path) : file_(read_bytes(path)) {
    at_ = 8;
    const auto tensor_count = take<uint64_t>();
    const auto value_count = take<uint64_t>();
    for (uint64_t i = 0; i < value_count; ++i) {
      Value value{take_string(), take<uint32_t>(), {}};
      const size_t begin = at_;
      skip(value.type);
      value.bytes = text(begin, at_ - begin);
      values.push_back(std::move(value));
    }
    std::vector<uint64_t> offsets;
    for (uint64_t i = 0; i < tensor_count; ++i) {
      Tensor tensor{take_string(), std::vector<uint64_t>(take<uint32_t>()), TensorType::F32, {}};
      for (uint64_t& dimension : tensor.dimensions) dimension = take<uint64_t>();
      tensor.type = *tensor_type_from_gguf(take<uint32_t>());
      offsets.push_back(take<uint64_t>());
      tensors.push_back(std::move(tensor));
    }
    const size_t data = (at_ + 31) / 32 * 32;
    for (size_t i = 0; i < tensors.size(); ++i) {
      Tensor& tensor = tensors[i];
      uint64_t rows = 1;
      for (size_t d = 1; d < tensor.dimensions.size(); ++d) rows *= tensor.dimensions[d];
      tensor.bytes = text(data + offsets[i], rows * row_bytes(tensor.type, tensor.dimensions[0]));
    }
  }

  std::vector<std::byte> build() const {
    GgufWriter writer;
    for (const Value& value : values) writer.raw(value.key, value.type, value.bytes);
    for (const Tensor& tensor : tensors)
      writer.tensor(tensor.name, tensor.dimensions, tensor.type, tensor.bytes);
    return writer.build();
  }

  Value& value(std::string_view key) {
    for (Value& value : values) {
      if (value.key == key) return value;
    }
    throw std::runtime_error("no key " + std::string(key));
  }

 private:
  std::string text(size_t at, size_t bytes) const {
    return {reinterpret_cast<const char*>(file_.data()) + at, bytes};
  }
  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, file_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string take_string() {
    const auto bytes = take<uint64_t>();
    at_ += bytes;
    return text(at_ - bytes, bytes);
  }
  void skip(uint32_t type) {
    switch (static_cast<GgufType>(type)) {
      case GgufType::Uint8:
      case GgufType::Int8:
      case GgufType::Bool: at_ += 1; return;
      case GgufType::Uint16:
      case GgufType::Int16: at_ += 2; return;
      case GgufType::Uint32:
      case GgufType::Int32:
      case GgufType::Float32: at_ += 4; return;
      case GgufType::String: take_string(); return;
      case GgufType::Array: {
        const auto element = take<uint32_t>();
        for (auto count = take<uint64_t>(); count > 0; --count) skip(element);
        return;
      }
      default: at_ += 8; return;
    }
  }

  std::vector<std::byte> file_;
  size_t at_ = 0;
};

}  // namespace inlay::test

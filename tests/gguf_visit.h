#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "runtime/error.h"

namespace inlay::test {
namespace visiting {

/// Sums bytes up, so that each is touched.
inline uint64_t sum(const void* data, uint64_t bytes) {
  uint64_t total = bytes;
  for (uint64_t i = 0; i < bytes; ++i) total = total * 31 + static_cast<const unsigned char*>(data)[i];
  return total;
}

/// Whatever kind of value the key has, one of the calls gives it and the others refuse it.
template <typename Get>
uint64_t ask(const Get& get) {
  try {
    return get();
  } catch (const Error&) {
    return 1;
  }
}

inline uint64_t visit_value(const GgufFile& file, std::string_view key) {
  uint64_t total = sum(key.data(), key.size());
  total += ask([&] { return file.unsigned_value(key).value(); });
  total += ask([&] { return static_cast<uint64_t>(file.signed_value(key).value()); });
  total += ask([&] { return uint64_t{file.real_value(key).value() > 0}; });
  total += ask([&] { return uint64_t{file.bool_value(key).value()}; });
  total += ask([&] { return sum(file.string_value(key)->data(), file.string_value(key)->size()); });
  total += ask([&] {
    uint64_t all = 0;
    const GgufNumbers numbers = file.integer_array(key).value();
    for (uint64_t i = 0; i < numbers.size(); ++i) all += static_cast<uint64_t>(numbers.integer(i));
    return all;
  });
  total += ask([&] {
    uint64_t all = 0;
    const GgufNumbers numbers = file.real_array(key).value();
    for (uint64_t i = 0; i < numbers.size(); ++i) all += uint64_t{numbers.real(i) > 0};
    return all;
  });
  total += ask([&] {
    uint64_t all = 0;
    const GgufStrings strings = file.string_array(key).value();
    for (const std::string_view text : strings) all += sum(text.data(), text.size());
    return all;
  });
  return total;
}

}  // namespace visiting

/// Uses everything that an opened file gives, as its readers would, and gives a number that depends on it
/// all; what is out of bounds then shows under a sanitizer.
inline uint64_t visit(const GgufFile& file) {
  uint64_t total = file.version() + file.part_count() + file.file_bytes();
  for (uint64_t i = 0; i < file.key_count(); ++i) total += visiting::visit_value(file, file.key(i));
  std::vector<char> copy;
  for (const GgufTensor& tensor : file.tensors()) {
    total += visiting::sum(tensor.name.data(), tensor.name.size());
    total += file.find_tensor(tensor.name) == &tensor ? tensor.elements() : 1;
    if (tensor.data != nullptr) total += visiting::sum(tensor.data, tensor.bytes);
    copy.resize(tensor.bytes);
    file.read(tensor, copy.data());
  }
  return total;
}

}  // namespace inlay::test

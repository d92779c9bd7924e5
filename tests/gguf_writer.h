#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "formats/gguf.h"

namespace inlay::test {

/// Writes a GGUF file into memory, right or wrong as the test wants it.
class GgufWriter {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;    // of the data; the key general.alignment is the test's to add
  uint64_t extra_values = 0;  // counted in the header, not written
  uint64_t extra_tensors = 0;

  template <typename T>
  static void append(std::string& out, T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  static void append_string(std::string& out, std::string_view text) {
    append<uint64_t>(out, text.size());
    out.append(text);
  }

  /// An entry whose value's bytes are given.
  GgufWriter& raw(std::string_view key, uint32_t type, std::string_view bytes) {
    append_string(values_, key);
    append(values_, type);
    values_.append(bytes);
    ++value_count_;
    return *this;
  }
  template <typename T>
  GgufWriter& value(std::string_view key, GgufType type, T scalar) {
    std::string bytes;
    append(bytes, scalar);
    return raw(key, static_cast<uint32_t>(type), bytes);
  }
  GgufWriter& text(std::string_view key, std::string_view text) {
    std::string bytes;
    append_string(bytes, text);
    return raw(key, static_cast<uint32_t>(GgufType::String), bytes);
  }
  GgufWriter& uint32(std::string_view key, uint32_t scalar) { return value(key, GgufType::Uint32, scalar); }
  template <typename T>
  GgufWriter& array(std::string_view key, GgufType element, const std::vector<T>& elements) {
    std::string bytes = array_start(static_cast<uint32_t>(element), elements.size());
    for (const T& e : elements) append(bytes, e);
    return raw(key, static_cast<uint32_t>(GgufType::Array), bytes);
  }
  GgufWriter& strings(std::string_view key, const std::vector<std::string>& elements) {
    std::string bytes = array_start(static_cast<uint32_t>(GgufType::String), elements.size());
    for (const std::string& e : elements) append_string(bytes, e);
    return raw(key, static_cast<uint32_t>(GgufType::Array), bytes);
  }
  static std::string array_start(uint32_t element, uint64_t count) {
    std::string bytes;
    append(bytes, element);
    append(bytes, count);
    return bytes;
  }

  /// A tensor's entry alone, its data wherever `offset` says.
  GgufWriter& entry(std::string_view name, const std::vector<uint64_t>& dimensions, uint32_t type,
                    uint64_t offset) {
    append_string(tensors_, name);
    append(tensors_, static_cast<uint32_t>(dimensions.size()));
    for (const uint64_t d : dimensions) append(tensors_, d);
    append(tensors_, type);
    append(tensors_, offset);
    ++tensor_count_;
    return *this;
  }
  /// A tensor and its bytes, behind those there are.
  GgufWriter& tensor(std::string_view name, const std::vector<uint64_t>& dimensions, TensorType type,
                     std::string_view bytes) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment, '\0');
    entry(name, dimensions, traits(type).gguf_number, data_.size());
    data_.append(bytes);
    return *this;
  }

  std::vector<std::byte> build() const {
    std::string out = "GGUF";
    append(out, version);
    append(out, tensor_count_ + extra_tensors);
    append(out, value_count_ + extra_values);
    out += values_ + tensors_;
    if (!data_.empty()) out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    out += data_;
    const auto* begin = reinterpret_cast<const std::byte*>(out.data());
    return {begin, begin + out.size()};
  }

 private:
  std::string values_, tensors_, data_;
  uint64_t value_count_ = 0, tensor_count_ = 0;
};

/// A host's I/O table over bytes in memory.
class HostFile {
 public:
  explicit HostFile(std::span<const std::byte> content) : content_(content) {}

  inlay_io table(bool mapped) {
    inlay_io io = INLAY_IO_INIT;
    io.user_data = this;
    io.size = [](void* user_data, uint64_t* out_bytes) {
      *out_bytes = of(user_data).content_.size();
      return of(user_data).size_status;
    };
    io.read_at = [](void* user_data, uint64_t offset, void* destination, size_t bytes) {
      HostFile& file = of(user_data);
      ++file.reads;
      file.bytes_read += bytes;
      if (file.read_status == INLAY_OK) std::memcpy(destination, file.content_.data() + offset, bytes);
      return file.read_status;
    };
    if (mapped) {
      io.map = [](void* user_data, const void** out_base) {
        HostFile& file = of(user_data);
        *out_base = file.null_map ? nullptr : file.content_.data();
        return file.map_status;
      };
    }
    io.close = [](void* user_data) { ++of(user_data).closes; };
    return io;
  }

  int reads = 0, closes = 0;
  uint64_t bytes_read = 0;
  inlay_status size_status = INLAY_OK, map_status = INLAY_OK, read_status = INLAY_OK;
  bool null_map = false;

 private:
  static HostFile& of(void* user_data) { return *static_cast<HostFile*>(user_data); }

  std::span<const std::byte> content_;
};

}  // namespace inlay::test

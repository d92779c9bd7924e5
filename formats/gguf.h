#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory_resource>
#include <optional>
#include <string_view>
#include <vector>

#include "formats/byte_source.h"
#include "formats/gguf_header.h"
#include "formats/name_index.h"

namespace inlay {

/// An array of integers, booleans or floating-point numbers, where it lies in the file, at any alignment.
class GgufNumbers {
 public:
  GgufNumbers(GgufType type, uint64_t size, const std::byte* data) : type_(type), size_(size), data_(data) {}

  GgufType type() const { return type_; }
  uint64_t size() const { return size_; }

  /// Element `index` < size() of integer_array; of a uint64 beyond INT64_MAX, the same bits.
  int64_t integer(uint64_t index) const;
  /// Element `index` < size() of real_array.
  double real(uint64_t index) const;

 private:
  GgufType type_;
  uint64_t size_;
  const std::byte* data_;
};

/// An array of strings, where they lie in the file. Walking it allocates nothing; there is no access by
/// index, for each string's place depends on those before it. The views live as long as the GgufFile.
class GgufStrings {
 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::string_view*;
    using reference = std::string_view;

    Iterator() = default;
    Iterator(const std::byte* at, uint64_t left) : at_(at), left_(left) {}

    std::string_view operator*() const {
      return {reinterpret_cast<const char*>(at_) + sizeof(uint64_t), static_cast<size_t>(length())};
    }
    Iterator& operator++() {
      at_ += sizeof(uint64_t) + length();
      --left_;
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(const Iterator& other) const { return left_ == other.left_; }

   private:
    uint64_t length() const {
      uint64_t value;
      std::memcpy(&value, at_, sizeof(value));
      return value;
    }

    const std::byte* at_ = nullptr;
    uint64_t left_ = 0;
  };

  GgufStrings(uint64_t size, const std::byte* data) : size_(size), data_(data) {}

  uint64_t size() const { return size_; }
  Iterator begin() const { return {data_, size_}; }
  Iterator end() const { return {}; }

 private:
  uint64_t size_;
  const std::byte* data_;
};

/// A GGUF model, of one file or of a split set: its metadata, and where its tensors lie. Immutable: any
/// number of threads may use one. Where the source is mapped, names, strings, arrays and tensors are views
/// into the mapping; where it is not, the header is read into memory, and the tensors' bytes are the caller's
/// to read. Opening touches no page but the header's, and allocates a few fixed-size entries for each key and
/// tensor, nothing for an array's elements. Everything is checked then, so that nothing need be checked in
/// use.
///
/// Opening throws INLAY_ERROR_IO where a file cannot be read, INLAY_ERROR_CORRUPT_FILE where it ends early or
/// contradicts itself, INLAY_ERROR_UNSUPPORTED where it is well formed and not for Inlay. The message says
/// which file, at what byte, which key or tensor, and what was expected.
class GgufFile {
 public:
  /// The file at `path` (UTF-8). Of a split model, `path` is the first part's, NAME-00001-of-0000N.gguf, and
  /// the others are found beside it.
  static GgufFile open(std::string_view path, std::pmr::memory_resource* memory);

  /// One file from any source; a part of a split model is INLAY_ERROR_UNSUPPORTED here.
  static GgufFile open(ByteSourcePointer source, std::pmr::memory_resource* memory);

  GgufFile(GgufFile&&) = default;
  GgufFile& operator=(GgufFile&&) = delete;

  uint32_t version() const { return parts_.front().version; }
  uint32_t part_count() const { return static_cast<uint32_t>(parts_.size()); }
  const ByteSourcePointer& source(uint32_t part) const { return parts_[part].source; }
  /// Of all parts.
  uint64_t file_bytes() const;

  // Metadata; that of the first part, where the model is split. A key that is not there gives nothing; a
  // value of another kind than the call's, or out of its range, throws INLAY_ERROR_CORRUPT_FILE. A call costs
  // a look-up by hash.

  uint64_t key_count() const { return parts_.front().values.size(); }
  /// In the file's order; `index` < key_count().
  std::string_view key(uint64_t index) const;
  bool has(std::string_view key) const { return parts_.front().find(key) != nullptr; }

  /// Any integer type.
  std::optional<uint64_t> unsigned_value(std::string_view key) const;
  std::optional<int64_t> signed_value(std::string_view key) const;
  /// Any floating-point or integer type.
  std::optional<double> real_value(std::string_view key) const;
  std::optional<bool> bool_value(std::string_view key) const;
  std::optional<std::string_view> string_value(std::string_view key) const;
  /// An array of any integer type or of booleans.
  std::optional<GgufNumbers> integer_array(std::string_view key) const;
  /// An array of either floating-point type.
  std::optional<GgufNumbers> real_array(std::string_view key) const;
  /// To be kept in a variable while it is walked: `for (auto s : *file.string_array(k))` is of a dead
  /// temporary.
  std::optional<GgufStrings> string_array(std::string_view key) const;

  /// Of all parts, in their order.
  const std::pmr::vector<GgufTensor>& tensors() const { return tensors_; }
  /// Null where there is none of that name. Costs a look-up by hash.
  const GgufTensor* find_tensor(std::string_view name) const;

  /// Copies the tensor's bytes, mapped or not; INLAY_ERROR_IO where they cannot be read.
  void read(const GgufTensor& tensor, void* destination) const;

 private:
  explicit GgufFile(std::pmr::memory_resource* memory)
      : parts_(memory), tensors_(memory), tensor_index_(memory) {}

  void open_other_parts(std::string_view first_path, uint64_t count, std::pmr::memory_resource* memory);
  void index_tensors();
  /// The array of that key, its elements of a type that `accepts`; null where there is no such key.
  const GgufValue* find_array(std::string_view key, bool (*accepts)(GgufType),
                              std::string_view expected) const;

  std::pmr::vector<GgufHeader> parts_;
  std::pmr::vector<GgufTensor> tensors_;
  NameIndex tensor_index_;
};

}  // namespace inlay

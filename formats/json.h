#pragma once

#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inlay/inlay.h"

namespace inlay {

/// A JSON text (RFC 8259), read whole: what describes safetensors and checkpoints. Values are kept in the
/// text's order, one node each, so that an object or array is walked without looking anything up.
class JsonDocument {
 public:
  enum class Type : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

 private:
  struct Node {
    Type type = Type::kNull;
    bool is_integer = false;  // a number that `integer` holds exactly
    uint32_t end = 0;         // the node after this one and all that is in it
    uint64_t key = 0;         // of a member: its name in `text`
    uint32_t key_bytes = 0;
    uint32_t text_bytes = 0;  // of a string
    union {
      bool truth;
      uint64_t text;
      int64_t integer;
      double real;
    };
  };

 public:
  /// A value in the document, valid as long as that is. A value that is not there is like null.
  class Value {
   public:
    Value() = default;

    explicit operator bool() const { return document_ != nullptr; }
    Type type() const { return document_ == nullptr ? Type::kNull : node().type; }
    bool is_object() const { return type() == Type::kObject; }
    bool is_array() const { return type() == Type::kArray; }

    std::optional<std::string_view> text() const;
    std::optional<bool> truth() const;
    std::optional<uint64_t> unsigned_integer() const;
    std::optional<int64_t> integer() const;
    std::optional<double> real() const;

    /// The member of that name of an object, the last of several; nothing where there is none.
    Value operator[](std::string_view name) const;
    /// Element or member number `index` costs a walk over those before it.
    Value at(uint32_t index) const;

    /// Members of an object and elements of an array, in order: for (auto v = x.first(); v; v = v.next()).
    Value first() const;
    Value next() const;
    std::string_view key() const;
    bool is_same(Value other) const { return document_ == other.document_ && index_ == other.index_; }

   private:
    friend class JsonDocument;
    Value(const JsonDocument* document, uint32_t index, uint32_t end)
        : document_(document), index_(index), end_(end) {}
    const Node& node() const { return document_->nodes_[index_]; }

    const JsonDocument* document_ = nullptr;
    uint32_t index_ = 0;
    uint32_t end_ = 0;  // of the object or array that it is in
  };

  /// Throws INLAY_ERROR_CORRUPT_FILE, with `name` and the place in the text, for what is no JSON, goes deeper
  /// than 64 levels, has strings that are not UTF-8, or goes on after its value.
  JsonDocument(std::string_view text, std::string_view name, std::pmr::memory_resource* memory);

  Value root() const { return {this, 0, static_cast<uint32_t>(nodes_.size())}; }

 private:
  friend class JsonBuilder;

  std::pmr::vector<Node> nodes_;
  std::pmr::string text_;  // of all strings and names, one after another
};

}  // namespace inlay

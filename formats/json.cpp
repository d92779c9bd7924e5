#include "formats/json.h"

#include <charconv>
#include <limits>
#include <string_view>

#include "runtime/error.h"

// An input that the parser's author did not think of becomes an error, not the end of the process.
#define RAPIDJSON_ASSERT(x) \
  ((x) ? static_cast<void>(0) : throw inlay::Error(INLAY_ERROR_INTERNAL, "the JSON parser failed: " #x))
#define RAPIDJSON_ASSERT_THROWS 1
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

namespace inlay {
namespace {

constexpr size_t kDeepest = 64;
constexpr size_t kMostNodes = std::numeric_limits<int32_t>::max();

/// RapidJSON's allocator interface over a memory resource; its Free is static, so each piece knows its own.
class ParserMemory {
 public:
  [[maybe_unused]] static constexpr bool kNeedFree = true;

  explicit ParserMemory(std::pmr::memory_resource* memory = nullptr) : memory_(memory) {}

  // NOLINTBEGIN(readability-identifier-naming): RapidJSON gives these names.
  void* Malloc(size_t bytes) {
    if (bytes == 0) return nullptr;
    auto* head = static_cast<Head*>(memory_->allocate(sizeof(Head) + bytes, alignof(Head)));
    *head = {memory_, bytes};
    return head + 1;
  }
  void* Realloc(void* old, size_t old_bytes, size_t bytes) {
    void* fresh = Malloc(bytes);
    if (old != nullptr && fresh != nullptr) std::memcpy(fresh, old, std::min(old_bytes, bytes));
    Free(old);
    return fresh;
  }
  static void Free(void* piece) {
    if (piece == nullptr) return;
    Head* head = static_cast<Head*>(piece) - 1;
    head->memory->deallocate(head, sizeof(Head) + head->bytes, alignof(Head));
  }
  // NOLINTEND(readability-identifier-naming)

 private:
  struct alignas(16) Head {
    std::pmr::memory_resource* memory;
    size_t bytes;
  };

  std::pmr::memory_resource* memory_;
};

}  // namespace

/// Receives the parser's events. Returning false ends the parse.
class JsonBuilder {
 public:
  explicit JsonBuilder(JsonDocument& document) : document_(document) {}

  // NOLINTBEGIN(readability-identifier-naming): RapidJSON gives these names.
  bool Null() { return add(JsonDocument::Type::kNull) != nullptr; }
  bool Bool(bool truth) {
    auto* node = add(JsonDocument::Type::kBool);
    if (node != nullptr) node->truth = truth;
    return node != nullptr;
  }
  // Never sent, for numbers come as text: the parser's own conversion is either inexact or undefined for
  // 0e-69.
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(int64_t) { return false; }
  bool Uint64(uint64_t) { return false; }
  bool Double(double) { return false; }
  bool RawNumber(const char* text, rapidjson::SizeType bytes, bool) {
    auto* node = add(JsonDocument::Type::kNumber);
    if (node == nullptr) return false;
    const char* end = text + bytes;
    const auto whole = std::from_chars(text, end, node->integer);
    node->is_integer = whole.ec == std::errc() && whole.ptr == end;
    if (node->is_integer) return true;
    double value = 0.0;
    if (std::from_chars(text, end, value).ec == std::errc::result_out_of_range) {
      const std::string_view number(text, bytes);
      const size_t exponent = number.find_first_of("eE");
      const bool small = exponent != number.npos ? number[exponent + 1] == '-'
                                                 : number.substr(number[0] == '-').starts_with("0.");
      if (!small) {
        refusal_ = "a number is too big";
        return false;
      }
      value = 0.0;
    }
    node->real = value;
    return true;
  }
  bool String(const char* text, rapidjson::SizeType bytes, bool) {
    const uint64_t at = keep(text, bytes);
    auto* node = add(JsonDocument::Type::kString);
    if (node == nullptr) return false;
    node->text = at;
    node->text_bytes = bytes;
    return true;
  }
  bool Key(const char* text, rapidjson::SizeType bytes, bool) {
    key_ = keep(text, bytes);
    key_bytes_ = bytes;
    return true;
  }
  bool StartObject() { return open(JsonDocument::Type::kObject); }
  bool StartArray() { return open(JsonDocument::Type::kArray); }
  bool EndObject(rapidjson::SizeType) { return close(); }
  bool EndArray(rapidjson::SizeType) { return close(); }
  // NOLINTEND(readability-identifier-naming)

  const char* refusal() const { return refusal_; }

 private:
  uint64_t keep(const char* text, size_t bytes) {
    const uint64_t at = document_.text_.size();
    document_.text_.append(text, bytes);
    return at;
  }
  JsonDocument::Node* add(JsonDocument::Type type) {
    if (document_.nodes_.size() >= kMostNodes) {
      refusal_ = "it has too many values";
      return nullptr;
    }
    JsonDocument::Node& node = document_.nodes_.emplace_back();
    node.type = type;
    node.key = key_;
    node.key_bytes = key_bytes_;
    node.end = static_cast<uint32_t>(document_.nodes_.size());
    key_bytes_ = 0;
    return &node;
  }
  bool open(JsonDocument::Type type) {
    if (depth_ == kDeepest) {
      refusal_ = "it is nested more than 64 deep";
      return false;
    }
    open_[depth_++] = static_cast<uint32_t>(document_.nodes_.size());
    return add(type) != nullptr;
  }
  bool close() {
    document_.nodes_[open_[--depth_]].end = static_cast<uint32_t>(document_.nodes_.size());
    return true;
  }

  JsonDocument& document_;
  uint64_t key_ = 0;
  uint32_t key_bytes_ = 0;
  uint32_t open_[kDeepest] = {};
  size_t depth_ = 0;
  const char* refusal_ = nullptr;
};

JsonDocument::JsonDocument(std::string_view text, std::string_view name, std::pmr::memory_resource* memory)
    : nodes_(memory), text_(memory) {
  ParserMemory parser_memory(memory);
  JsonBuilder builder(*this);
  rapidjson::MemoryStream stream(text.data(), text.size());
  rapidjson::GenericReader<rapidjson::UTF8<>, rapidjson::UTF8<>, ParserMemory> reader(&parser_memory);
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag |
                              rapidjson::kParseNumbersAsStringsFlag;
  const rapidjson::ParseResult result = reader.Parse<kFlags>(stream, builder);
  if (result.IsError()) {
    const char* what =
        builder.refusal() != nullptr ? builder.refusal() : rapidjson::GetParseError_En(result.Code());
    throw Error(INLAY_ERROR_CORRUPT_FILE,
                std::string(name) + ": JSON, byte " + std::to_string(result.Offset()) + ": " + what);
  }
}

std::optional<std::string_view> JsonDocument::Value::text() const {
  if (type() != Type::kString) return std::nullopt;
  return std::string_view(document_->text_).substr(static_cast<size_t>(node().text), node().text_bytes);
}

std::optional<bool> JsonDocument::Value::truth() const {
  return type() == Type::kBool ? std::optional<bool>(node().truth) : std::nullopt;
}

std::optional<uint64_t> JsonDocument::Value::unsigned_integer() const {
  if (type() != Type::kNumber || !node().is_integer || node().integer < 0) return std::nullopt;
  return static_cast<uint64_t>(node().integer);
}

std::optional<int64_t> JsonDocument::Value::integer() const {
  if (type() != Type::kNumber || !node().is_integer) return std::nullopt;
  return node().integer;
}

std::optional<double> JsonDocument::Value::real() const {
  if (type() != Type::kNumber) return std::nullopt;
  return node().is_integer ? static_cast<double>(node().integer) : node().real;
}

JsonDocument::Value JsonDocument::Value::operator[](std::string_view name) const {
  Value found;
  if (!is_object()) return found;
  for (Value member = first(); member; member = member.next()) {
    if (member.key() == name) found = member;
  }
  return found;
}

JsonDocument::Value JsonDocument::Value::at(uint32_t index) const {
  Value value = first();
  while (value && index > 0) {
    value = value.next();
    --index;
  }
  return value;
}

JsonDocument::Value JsonDocument::Value::first() const {
  if (!is_object() && !is_array()) return {};
  return index_ + 1 < node().end ? Value(document_, index_ + 1, node().end) : Value();
}

JsonDocument::Value JsonDocument::Value::next() const {
  return node().end < end_ ? Value(document_, node().end, end_) : Value();
}

std::string_view JsonDocument::Value::key() const {
  return std::string_view(document_->text_).substr(static_cast<size_t>(node().key), node().key_bytes);
}

}  // namespace inlay

#include "formats/gguf.h"

#include <string>
#include <utility>

#include "runtime/error.h"

namespace inlay {
namespace {

template <typename T>
T load(const std::byte* data, uint64_t index = 0) {
  T value;
  std::memcpy(&value, data + index * sizeof(T), sizeof(T));
  return value;
}

int64_t load_integer(GgufType type, const std::byte* data, uint64_t index) {
  switch (type) {
    case GgufType::Bool:
    case GgufType::Uint8: return load<uint8_t>(data, index);
    case GgufType::Int8: return load<int8_t>(data, index);
    case GgufType::Uint16: return load<uint16_t>(data, index);
    case GgufType::Int16: return load<int16_t>(data, index);
    case GgufType::Uint32: return load<uint32_t>(data, index);
    case GgufType::Int32: return load<int32_t>(data, index);
    case GgufType::Uint64:
    case GgufType::Int64: return load<int64_t>(data, index);
    default: return 0;
  }
}

double load_real(GgufType type, const std::byte* data, uint64_t index) {
  return type == GgufType::Float32 ? static_cast<double>(load<float>(data, index))
                                   : load<double>(data, index);
}

[[noreturn]] void refuse(const GgufHeader& part, const GgufValue& value, std::string_view expected) {
  std::string is(type_name(value.type));
  if (value.type == GgufType::Array) is += " of " + std::string(type_name(value.element_type));
  if (is_integer(value.type)) {
    const int64_t integer = load_integer(value.type, part.header + value.offset, 0);
    is += " " + (value.type == GgufType::Uint64 ? std::to_string(static_cast<uint64_t>(integer))
                                                : std::to_string(integer));
  }
  throw Error(INLAY_ERROR_CORRUPT_FILE, std::string(part.source->name()) + ": byte " +
                                            std::to_string(value.offset) + ", key " +
                                            quoted(part.key(value)) + ": its value is " + is + ", " +
                                            std::string(expected) + " was expected");
}

std::optional<uint64_t> unsigned_of(const GgufHeader& part, std::string_view key) {
  const GgufValue* value = part.find(key);
  if (value == nullptr) return std::nullopt;
  if (!is_integer(value->type)) refuse(part, *value, "an integer");
  const int64_t integer = load_integer(value->type, part.header + value->offset, 0);
  if (integer < 0 && value->type != GgufType::Uint64) refuse(part, *value, "an integer of 0 or more");
  return static_cast<uint64_t>(integer);
}

bool is_integer_or_bool(GgufType type) { return is_integer(type) || type == GgufType::Bool; }
bool is_real(GgufType type) { return type == GgufType::Float32 || type == GgufType::Float64; }
bool is_string(GgufType type) { return type == GgufType::String; }

[[noreturn]] void fail(inlay_status status, std::string_view file, const std::string& what) {
  throw Error(status, std::string(file) + ": " + what);
}

/// "-00002-of-00005.gguf": how the name of a split model's part ends; parts count from 1 here, from 0 in
/// their metadata.
std::string part_suffix(uint64_t number, uint64_t count) {
  const auto five_digits = [](uint64_t value) {
    const std::string digits = std::to_string(value);
    return std::string(5 - digits.size(), '0') + digits;
  };
  return "-" + five_digits(number) + "-of-" + five_digits(count) + ".gguf";
}

std::string part_of(uint64_t number, uint64_t count) {
  return "part " + std::to_string(number) + " of " + std::to_string(count);
}

}  // namespace

int64_t GgufNumbers::integer(uint64_t index) const { return load_integer(type_, data_, index); }
double GgufNumbers::real(uint64_t index) const { return load_real(type_, data_, index); }

GgufFile GgufFile::open(std::string_view path, std::pmr::memory_resource* memory) {
  GgufFile file(memory);
  file.parts_.push_back(read_gguf_header(open_path(path, memory), 0, file.tensors_, memory));
  const uint64_t count = file.unsigned_value("split.count").value_or(1);
  if (count > 1) file.open_other_parts(path, count, memory);
  file.index_tensors();
  return file;
}

GgufFile GgufFile::open(ByteSourcePointer source, std::pmr::memory_resource* memory) {
  GgufFile file(memory);
  file.parts_.push_back(read_gguf_header(std::move(source), 0, file.tensors_, memory));
  const uint64_t count = file.unsigned_value("split.count").value_or(1);
  if (count > 1) {
    const uint64_t number = file.unsigned_value("split.no").value_or(0) + 1;
    fail(INLAY_ERROR_UNSUPPORTED, file.source(0)->name(),
         "it is " + part_of(number, count) + " of a split model, which opens from a path only");
  }
  file.index_tensors();
  return file;
}

void GgufFile::open_other_parts(std::string_view first_path, uint64_t count,
                                std::pmr::memory_resource* memory) {
  constexpr uint64_t kMostParts = 65535;  // split.count is a uint16
  if (count > kMostParts) {
    fail(INLAY_ERROR_CORRUPT_FILE, first_path,
         "split.count is " + std::to_string(count) + ", at most " + std::to_string(kMostParts) +
             " was expected");
  }
  const uint64_t first = unsigned_value("split.no").value_or(0);
  if (first != 0) {
    fail(INLAY_ERROR_UNSUPPORTED, first_path,
         "it is " + part_of(first + 1, count) + " of a split model, which opens from its first part");
  }
  const std::string suffix = part_suffix(1, count);
  if (!first_path.ends_with(suffix)) {
    fail(INLAY_ERROR_UNSUPPORTED, first_path,
         "it is " + part_of(1, count) + " of a split model, whose parts are found by a name that ends in " +
             suffix);
  }
  const std::string stem(first_path.substr(0, first_path.size() - suffix.size()));
  parts_.reserve(static_cast<size_t>(count));
  for (uint64_t i = 1; i < count; ++i) {
    const std::string path = stem + part_suffix(i + 1, count);
    try {
      parts_.push_back(read_gguf_header(open_path(path, memory), static_cast<uint32_t>(i), tensors_, memory));
    } catch (const Error& error) {
      throw Error(error.status(), part_of(i + 1, count) + " of the split model: " + error.what());
    }
    const std::optional<uint64_t> its_count = unsigned_of(parts_.back(), "split.count");
    const std::optional<uint64_t> its_number = unsigned_of(parts_.back(), "split.no");
    if (its_count != count || its_number != i) {
      fail(INLAY_ERROR_CORRUPT_FILE, path,
           "it says that it is " + part_of(its_number.value_or(0) + 1, its_count.value_or(1)) +
               " of a model, " + part_of(i + 1, count) + " was expected");
    }
  }
  const std::optional<uint64_t> total = unsigned_value("split.tensors.count");
  if (total && *total != tensors_.size()) {
    fail(INLAY_ERROR_CORRUPT_FILE, first_path,
         "split.tensors.count is " + std::to_string(*total) + ", the parts have " +
             std::to_string(tensors_.size()) + " tensors");
  }
}

void GgufFile::index_tensors() {
  const auto name_of = [this](uint32_t tensor) { return tensors_[tensor].name; };
  tensor_index_.reset(static_cast<uint32_t>(tensors_.size()));
  for (uint32_t i = 0; i < tensors_.size(); ++i) {
    const uint32_t earlier = tensor_index_.insert(tensors_[i].name, i, name_of);
    if (earlier == NameIndex::kNone) continue;
    std::string what = "tensor " + quoted(tensors_[i].name) + " is there twice";
    if (tensors_[earlier].part != tensors_[i].part) {
      what += ", first in " + std::string(source(tensors_[earlier].part)->name());
    }
    fail(INLAY_ERROR_CORRUPT_FILE, source(tensors_[i].part)->name(), what);
  }
}

uint64_t GgufFile::file_bytes() const {
  uint64_t bytes = 0;
  for (const GgufHeader& part : parts_) bytes += part.source->size();
  return bytes;
}

std::string_view GgufFile::key(uint64_t index) const {
  const GgufHeader& part = parts_.front();
  return part.key(part.values[static_cast<size_t>(index)]);
}

std::optional<uint64_t> GgufFile::unsigned_value(std::string_view key) const {
  return unsigned_of(parts_.front(), key);
}

std::optional<int64_t> GgufFile::signed_value(std::string_view key) const {
  const GgufHeader& part = parts_.front();
  const GgufValue* value = part.find(key);
  if (value == nullptr) return std::nullopt;
  if (!is_integer(value->type)) refuse(part, *value, "an integer");
  const int64_t integer = load_integer(value->type, part.header + value->offset, 0);
  if (integer < 0 && value->type == GgufType::Uint64) refuse(part, *value, "an integer below 2^63");
  return integer;
}

std::optional<double> GgufFile::real_value(std::string_view key) const {
  const GgufHeader& part = parts_.front();
  const GgufValue* value = part.find(key);
  if (value == nullptr) return std::nullopt;
  const std::byte* data = part.header + value->offset;
  if (is_real(value->type)) return load_real(value->type, data, 0);
  if (!is_integer(value->type)) refuse(part, *value, "a number");
  if (value->type == GgufType::Uint64) return static_cast<double>(load<uint64_t>(data));
  return static_cast<double>(load_integer(value->type, data, 0));
}

std::optional<bool> GgufFile::bool_value(std::string_view key) const {
  const GgufHeader& part = parts_.front();
  const GgufValue* value = part.find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::Bool) refuse(part, *value, "a boolean");
  return load<uint8_t>(part.header + value->offset) != 0;
}

std::optional<std::string_view> GgufFile::string_value(std::string_view key) const {
  const GgufHeader& part = parts_.front();
  const GgufValue* value = part.find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::String) refuse(part, *value, "a string");
  return part.text(value->offset, value->bytes);
}

const GgufValue* GgufFile::find_array(std::string_view key, bool (*accepts)(GgufType),
                                      std::string_view expected) const {
  const GgufHeader& part = parts_.front();
  const GgufValue* value = part.find(key);
  if (value == nullptr) return nullptr;
  if (value->type != GgufType::Array || !accepts(value->element_type)) refuse(part, *value, expected);
  return value;
}

std::optional<GgufNumbers> GgufFile::integer_array(std::string_view key) const {
  const GgufValue* value = find_array(key, is_integer_or_bool, "an array of integers");
  if (value == nullptr) return std::nullopt;
  return GgufNumbers(value->element_type, value->count, parts_.front().header + value->offset);
}

std::optional<GgufNumbers> GgufFile::real_array(std::string_view key) const {
  const GgufValue* value = find_array(key, is_real, "an array of floating-point numbers");
  if (value == nullptr) return std::nullopt;
  return GgufNumbers(value->element_type, value->count, parts_.front().header + value->offset);
}

std::optional<GgufStrings> GgufFile::string_array(std::string_view key) const {
  const GgufValue* value = find_array(key, is_string, "an array of strings");
  if (value == nullptr) return std::nullopt;
  return GgufStrings(value->count, parts_.front().header + value->offset);
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const uint32_t found = tensor_index_.find(name, [this](uint32_t i) { return tensors_[i].name; });
  return found == NameIndex::kNone ? nullptr : &tensors_[found];
}

void GgufFile::read(const GgufTensor& tensor, void* destination) const {
  source(tensor.part)->read(tensor.offset, destination, static_cast<size_t>(tensor.bytes));
}

}  // namespace inlay

#include "formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "formats/gguf_header.h"
#include "formats/json.h"
#include "runtime/error.h"

namespace inlay {
namespace {

constexpr uint64_t kMostHeaderBytes = 100'000'000;
constexpr uint32_t kMostTensors = 65536;
constexpr uint64_t kMostElements = uint64_t{1} << 60;

std::optional<SafetensorsType> type_of(std::string_view name) {
  struct Named {
    std::string_view name;
    SafetensorsType type;
  };
  constexpr Named kTypes[] = {
      {"BOOL", SafetensorsType::kBool},      {"U8", SafetensorsType::kU8},
      {"I8", SafetensorsType::kI8},          {"F8_E4M3", SafetensorsType::kF8E4M3},
      {"F8_E5M2", SafetensorsType::kF8E5M2}, {"F16", SafetensorsType::kF16},
      {"BF16", SafetensorsType::kBF16},      {"I16", SafetensorsType::kOther16},
      {"U16", SafetensorsType::kOther16},    {"F32", SafetensorsType::kF32},
      {"I32", SafetensorsType::kOther32},    {"U32", SafetensorsType::kOther32},
      {"F64", SafetensorsType::kOther64},    {"I64", SafetensorsType::kOther64},
      {"U64", SafetensorsType::kOther64},
  };
  for (const Named& entry : kTypes) {
    if (entry.name == name) return entry.type;
  }
  return std::nullopt;
}

/// Reads one file's header.
class HeaderReader {
 public:
  explicit HeaderReader(const ByteSource& source) : source_(source) {}

  [[noreturn]] void fail(inlay_status status, const std::string& what) const {
    throw Error(status, std::string(source_.name()) + ": " + what);
  }

  /// The header's bytes, copied.
  std::pmr::vector<char> header(std::pmr::memory_resource* memory) const {
    uint64_t bytes = 0;
    if (source_.size() < sizeof bytes)
      fail(INLAY_ERROR_CORRUPT_FILE, "not a safetensors file: it is too short");
    source_.read(0, &bytes, sizeof bytes);
    if (bytes > kMostHeaderBytes || bytes > source_.size() - sizeof bytes) {
      fail(INLAY_ERROR_CORRUPT_FILE,
           "not a safetensors file: a header of " + std::to_string(bytes) + " bytes");
    }
    std::pmr::vector<char> header(static_cast<size_t>(bytes), memory);
    source_.read(sizeof bytes, header.data(), header.size());
    return header;
  }

  SafetensorsTensor tensor(JsonDocument::Value entry, uint64_t data_offset) const {
    SafetensorsTensor tensor;
    tensor.name = entry.key();
    const auto corrupt = [&](const char* what) {
      fail(INLAY_ERROR_CORRUPT_FILE, "tensor " + quoted(tensor.name) + ": " + what);
    };
    const auto dtype = entry["dtype"].text();
    if (!dtype) corrupt("it has no dtype");
    const auto type = type_of(*dtype);
    if (!type) fail(INLAY_ERROR_UNSUPPORTED, "tensor " + quoted(tensor.name) + ": dtype " + quoted(*dtype));
    tensor.type = *type;
    const JsonDocument::Value shape = entry["shape"];
    if (!shape.is_array()) corrupt("it has no shape");
    uint64_t elements = 1;
    for (auto length = shape.first(); length; length = length.next()) {
      const auto value = length.unsigned_integer();
      if (!value || *value == 0 || *value > kMostElements / elements) corrupt("its shape is out of range");
      if (tensor.dimension_count == tensor.dimensions.size()) corrupt("it has too many dimensions");
      elements *= *value;
      tensor.dimensions[tensor.dimension_count++] = *value;
    }
    const JsonDocument::Value offsets = entry["data_offsets"];
    const auto begin = offsets.at(0).unsigned_integer();
    const auto end = offsets.at(1).unsigned_integer();
    if (!offsets.is_array() || !begin || !end || offsets.at(2))
      corrupt("its data_offsets are not two numbers");
    const uint64_t room = source_.size() - data_offset;
    if (*begin > *end || *end > room) corrupt("its data_offsets are not within the file");
    if (*end - *begin != elements * element_bytes(tensor.type))
      corrupt("its bytes do not fit its shape and dtype");
    tensor.offset = data_offset + *begin;
    tensor.bytes = *end - *begin;
    if (source_.data() != nullptr) tensor.data = source_.data() + tensor.offset;
    return tensor;
  }

  void check_overlaps(const std::pmr::vector<SafetensorsTensor>& tensors,
                      std::pmr::memory_resource* memory) const {
    std::pmr::vector<const SafetensorsTensor*> order(memory);
    order.reserve(tensors.size());
    for (const SafetensorsTensor& tensor : tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i]->offset - order[i - 1]->offset < order[i - 1]->bytes) {
        fail(INLAY_ERROR_CORRUPT_FILE,
             "tensors " + quoted(order[i - 1]->name) + " and " + quoted(order[i]->name) + " overlap");
      }
    }
  }

 private:
  const ByteSource& source_;
};

}  // namespace

uint32_t element_bytes(SafetensorsType type) {
  switch (type) {
    case SafetensorsType::kBool:
    case SafetensorsType::kU8:
    case SafetensorsType::kI8:
    case SafetensorsType::kF8E4M3:
    case SafetensorsType::kF8E5M2: return 1;
    case SafetensorsType::kF16:
    case SafetensorsType::kBF16:
    case SafetensorsType::kOther16: return 2;
    case SafetensorsType::kF32:
    case SafetensorsType::kOther32: return 4;
    case SafetensorsType::kOther64: return 8;
  }
  return 8;
}

SafetensorsFile::SafetensorsFile(ByteSourcePointer source, std::pmr::memory_resource* memory)
    : source_(std::move(source)), names_(memory), tensors_(memory), index_(memory) {}

SafetensorsFile SafetensorsFile::open(ByteSourcePointer source, std::pmr::memory_resource* memory) {
  SafetensorsFile file(std::move(source), memory);
  const HeaderReader reader(*file.source_);
  const std::pmr::vector<char> header = reader.header(memory);
  const JsonDocument json({header.data(), header.size()}, file.source_->name(), memory);
  if (!json.root().is_object()) reader.fail(INLAY_ERROR_CORRUPT_FILE, "its header is no JSON object");
  uint32_t count = 0;
  size_t name_bytes = 0;
  for (auto entry = json.root().first(); entry; entry = entry.next()) {
    ++count;
    name_bytes += entry.key().size();
  }
  if (count > kMostTensors)
    reader.fail(INLAY_ERROR_UNSUPPORTED, std::to_string(count) + " tensors are too many");
  file.tensors_.reserve(count);
  file.names_.reserve(name_bytes);
  file.index_.reset(count);
  const auto name_of = [&](uint32_t i) { return file.tensors_[i].name; };
  for (auto entry = json.root().first(); entry; entry = entry.next()) {
    if (entry.key() == "__metadata__") continue;
    SafetensorsTensor tensor = reader.tensor(entry, sizeof(uint64_t) + header.size());
    const char* name = file.names_.data() + file.names_.size();
    file.names_.insert(file.names_.end(), tensor.name.begin(), tensor.name.end());
    tensor.name = {name, tensor.name.size()};
    file.tensors_.push_back(tensor);
    const auto number = static_cast<uint32_t>(file.tensors_.size() - 1);
    if (file.index_.insert(tensor.name, number, name_of) != NameIndex::kNone) {
      reader.fail(INLAY_ERROR_CORRUPT_FILE, "tensor " + quoted(tensor.name) + " is there twice");
    }
  }
  reader.check_overlaps(file.tensors_, memory);
  return file;
}

const SafetensorsTensor* SafetensorsFile::find(std::string_view name) const {
  const uint32_t found = index_.find(name, [this](uint32_t i) { return tensors_[i].name; });
  return found == NameIndex::kNone ? nullptr : &tensors_[found];
}

}  // namespace inlay

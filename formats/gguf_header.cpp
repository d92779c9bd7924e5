#include "formats/gguf_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "runtime/error.h"

namespace inlay {
namespace {

constexpr uint64_t kMaxEntries = 16384;  // names made to collide in the index then cost seconds at most
constexpr uint64_t kMaxNameBytes = 65535;
constexpr uint64_t kMaxAlignment = uint64_t{1} << 20;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxElements = uint64_t{1} << 60;
constexpr uint64_t kSmallestEntry = 8 + 1 + 4 + 1;           // name, type, a one-byte value
constexpr uint64_t kSmallestTensor = 8 + 1 + 4 + 8 + 4 + 8;  // name, dimension count, one, type, offset
constexpr uint64_t kFirstRead = uint64_t{64} << 10;
constexpr uint64_t kMaxCopy = uint64_t{1} << 30;

/// ggml's name of a tensor type that Inlay does not read; "" of a number that ggml does not use.
std::string_view foreign_type_name(uint32_t number) {
  switch (number) {
    case 9: return "Q8_1";
    case 15: return "Q8_K";
    case 16: return "IQ2_XXS";
    case 17: return "IQ2_XS";
    case 18: return "IQ3_XXS";
    case 19: return "IQ1_S";
    case 21: return "IQ3_S";
    case 22: return "IQ2_S";
    case 24: return "I8";
    case 25: return "I16";
    case 26: return "I32";
    case 27: return "I64";
    case 28: return "F64";
    case 29: return "IQ1_M";
    case 34: return "TQ1_0";
    case 35: return "TQ2_0";
    default: return "";
  }
}

std::string number(uint64_t value) { return std::to_string(value); }

/// Reads one file's header from front to back. Where the source is not mapped, it copies as much of the file
/// as it has come to need, so places are kept as offsets until the end.
class HeaderReader {
 public:
  HeaderReader(GgufHeader& header, uint32_t part, std::pmr::vector<GgufTensor>& tensors,
               std::pmr::memory_resource* memory)
      : header_(header),
        source_(*header.source),
        size_(source_.size()),
        available_(source_.data() != nullptr ? size_ : 0),
        part_(part),
        tensors_(tensors),
        first_tensor_(tensors.size()),
        memory_(memory) {
    header_.header = source_.data();
  }

  void read() {
    read_start();
    read_values();
    const uint64_t alignment = read_alignment();
    read_tensors();
    finish(alignment);
  }

 private:
  struct Place {
    uint64_t offset;
    uint64_t length;
  };

  [[noreturn]] void fail(inlay_status status, uint64_t offset, const std::string& what) const {
    std::string message(source_.name());
    message += ": byte " + number(offset);
    if (item_kind_ != nullptr) {
      message += std::string(", ") + item_kind_ + " " + number(item_);
      if (item_name_) message += " " + quoted(text(*item_name_));
    }
    throw Error(status, message + ": " + what);
  }
  [[noreturn]] void corrupt(uint64_t offset, const std::string& what) const {
    fail(INLAY_ERROR_CORRUPT_FILE, offset, what);
  }

  std::string_view text(const Place& place) const { return header_.text(place.offset, place.length); }

  /// Makes sure that the next `bytes` bytes are in the file, and in reach.
  void need(uint64_t bytes, const char* what) {
    if (bytes > size_ - position_) {
      corrupt(position_, std::string(what) + " of " + number(bytes) + " bytes was expected, the file ends " +
                             number(size_ - position_) + " bytes on");
    }
    if (position_ + bytes > available_) copy_up_to(position_ + bytes);
  }

  void copy_up_to(uint64_t end) {
    if (end > kMaxCopy) {
      fail(INLAY_ERROR_UNSUPPORTED, position_,
           "a header of more than " + number(kMaxCopy) + " bytes is read only where the file is mapped");
    }
    const uint64_t wanted = std::min(size_, std::max({end, available_ * 2, kFirstRead}));
    header_.copy.resize(static_cast<size_t>(wanted));
    source_.read(available_, header_.copy.data() + available_, static_cast<size_t>(wanted - available_));
    header_.header = header_.copy.data();
    available_ = wanted;
  }

  template <typename T>
  T take(const char* what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, header_.header + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  Place take_string(const char* what) {
    const uint64_t length = take<uint64_t>("a string's length");
    need(length, what);
    const Place place = {position_, length};
    position_ += length;
    return place;
  }

  Place take_name(const char* what) {
    const uint64_t start = position_;
    const uint64_t length = take<uint64_t>("a string's length");
    if (length == 0 || length > kMaxNameBytes) {
      corrupt(start, std::string(what) + " of " + number(length) + " bytes, 1 to " + number(kMaxNameBytes) +
                         " were expected");
    }
    position_ = start;
    return take_string(what);
  }

  uint64_t take_count(const char* what, uint64_t smallest) {
    const uint64_t start = position_;
    const auto count = take<uint64_t>(what);
    const uint64_t left = size_ - position_;
    if (count > left / smallest) {
      corrupt(start, std::string(what) + " is " + number(count) + ", the " + number(left) +
                         " bytes that follow hold " + number(left / smallest) + " at most");
    }
    if (count > kMaxEntries) {
      fail(INLAY_ERROR_UNSUPPORTED, start,
           std::string(what) + " is " + number(count) + ", Inlay reads " + number(kMaxEntries) + " at most");
    }
    return count;
  }

  void read_start() {
    need(4, "the magic");
    if (std::memcmp(header_.header, "GGUF", 4) != 0)
      corrupt(0, "not a GGUF file: it does not begin with GGUF");
    position_ = 4;
    header_.version = take<uint32_t>("the version");
    const uint32_t swapped = (header_.version >> 24) | ((header_.version >> 8) & 0xff00U);
    if ((header_.version & 0xffffU) == 0 && swapped >= 1 && swapped <= 3) {
      fail(INLAY_ERROR_UNSUPPORTED, 4,
           "GGUF version " + number(swapped) + ", big endian; Inlay reads little-endian files");
    }
    if (header_.version == 0) corrupt(4, "GGUF version 0, 2 or 3 was expected");
    if (header_.version != 2 && header_.version != 3) {
      fail(INLAY_ERROR_UNSUPPORTED, 4, "GGUF version " + number(header_.version) + ", Inlay reads 2 and 3");
    }
    tensor_count_ = take_count("the number of tensors", kSmallestTensor);
    value_count_ = take_count("the number of metadata entries", kSmallestEntry);
  }

  void read_values() {
    header_.values.reserve(static_cast<size_t>(value_count_));
    for (uint64_t i = 0; i < value_count_; ++i) {
      begin_item("metadata entry", i);
      const Place key = take_name("a key");
      item_name_ = key;
      header_.values.push_back(read_value(key));
    }
    item_kind_ = nullptr;
    const auto name_of = [this](uint32_t entry) { return header_.key(header_.values[entry]); };
    header_.value_index.reset(static_cast<uint32_t>(value_count_));
    for (uint32_t i = 0; i < value_count_; ++i) {
      const GgufValue& value = header_.values[i];
      if (header_.value_index.insert(header_.key(value), i, name_of) != NameIndex::kNone) {
        corrupt(value.key_offset, "key " + quoted(header_.key(value)) + " is there twice");
      }
    }
  }

  GgufType take_type() {
    const uint64_t start = position_;
    const auto type = take<uint32_t>("a value's type");
    if (type > static_cast<uint32_t>(GgufType::Float64)) {
      corrupt(start, "value type " + number(type) + ", 0 to 12 were expected");
    }
    return static_cast<GgufType>(type);
  }

  GgufValue read_value(const Place& key) {
    const GgufType type = take_type();
    GgufValue value = {key.offset, key.length, type, type, 1, position_, type_bytes(type)};
    if (type == GgufType::String) {
      const Place place = take_string("a string");
      value.offset = place.offset;
      value.bytes = place.length;
    } else if (type == GgufType::Array) {
      read_array(value);
    } else {
      need(value.bytes, "a value");
      const auto first = static_cast<uint8_t>(header_.header[position_]);
      if (type == GgufType::Bool && first > 1) {
        corrupt(position_, "a boolean is " + number(first) + ", 0 or 1 was expected");
      }
      position_ += value.bytes;
    }
    return value;
  }

  void read_array(GgufValue& value) {
    const uint64_t start = position_;
    value.element_type = take_type();
    if (value.element_type == GgufType::Array) {
      fail(INLAY_ERROR_UNSUPPORTED, start,
           "an array of arrays, Inlay reads arrays of scalars and of strings");
    }
    const uint64_t count_at = position_;
    value.count = take<uint64_t>("an array's length");
    const bool strings = value.element_type == GgufType::String;
    const uint64_t smallest = strings ? sizeof(uint64_t) : type_bytes(value.element_type);
    const uint64_t left = size_ - position_;
    if (value.count > left / smallest) {
      corrupt(count_at, "an array of " + number(value.count) + " elements, the " + number(left) +
                            " bytes that follow hold " + number(left / smallest) + " at most");
    }
    value.offset = position_;
    if (strings) {
      for (uint64_t i = 0; i < value.count; ++i) take_string("a string of the array");
    } else {
      need(value.count * smallest, "the array's elements");
      position_ += value.count * smallest;
    }
    value.bytes = position_ - value.offset;
  }

  uint64_t read_alignment() const {
    const GgufValue* value = header_.find("general.alignment");
    if (value == nullptr) return kDefaultAlignment;
    uint64_t alignment = 0;
    const bool is_unsigned = value->type == GgufType::Uint32 || value->type == GgufType::Uint64;
    if (is_unsigned) {
      std::memcpy(&alignment, header_.header + value->offset, static_cast<size_t>(value->bytes));
    }
    if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
      const std::string is =
          is_unsigned ? number(alignment) : "of type " + std::string(type_name(value->type));
      corrupt(value->offset, "general.alignment is " + is + ", a power of two up to " +
                                 number(kMaxAlignment) + " was expected");
    }
    return alignment;
  }

  void read_tensors() {
    tensors_.reserve(static_cast<size_t>(first_tensor_ + tensor_count_));
    names_.reserve(static_cast<size_t>(tensor_count_));
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      begin_item("tensor", i);
      const Place name = take_name("a tensor's name");
      item_name_ = name;
      names_.push_back(name);
      tensors_.push_back(read_tensor());
    }
    item_kind_ = nullptr;
  }

  GgufTensor read_tensor() {
    GgufTensor tensor;
    tensor.part = part_;
    const uint64_t count_at = position_;
    tensor.dimension_count = take<uint32_t>("the number of dimensions");
    if (tensor.dimension_count < 1 || tensor.dimension_count > 4) {
      corrupt(count_at, number(tensor.dimension_count) + " dimensions, 1 to 4 were expected");
    }
    uint64_t elements = 1;
    for (uint32_t i = 0; i < tensor.dimension_count; ++i) {
      const uint64_t at = position_;
      const auto dimension = take<uint64_t>("a dimension");
      if (dimension == 0 || dimension > kMaxElements / elements) {
        corrupt(at, "dimension " + number(i) + " is " + number(dimension) +
                        ", at least 1 and at most 2^60 elements in all were expected");
      }
      elements *= dimension;
      tensor.dimensions[i] = dimension;
    }
    const uint64_t type_at = position_;
    const auto type = take<uint32_t>("the tensor's type");
    const std::optional<TensorType> known = tensor_type_from_gguf(type);
    if (!known) {
      const std::string_view foreign = foreign_type_name(type);
      fail(INLAY_ERROR_UNSUPPORTED, type_at,
           "tensor type " + number(type) + (foreign.empty() ? "" : " (" + std::string(foreign) + ")") +
               ", which Inlay does not read");
    }
    tensor.type = *known;
    const TensorTypeTraits type_traits = traits(*known);
    if (tensor.dimensions[0] % type_traits.block_elements != 0) {
      corrupt(type_at, "rows of " + number(tensor.dimensions[0]) + " elements, " +
                           std::string(type_traits.name) + " needs a multiple of " +
                           number(type_traits.block_elements));
    }
    tensor.bytes = elements / type_traits.block_elements * type_traits.block_bytes;
    tensor.offset = take<uint64_t>("the tensor's offset");
    return tensor;
  }

  /// The header has ended, so its place and the tensors' section's are known: from here on, pointers.
  void finish(uint64_t alignment) {
    header_.bytes = position_;
    header_.data_offset = (position_ + alignment - 1) / alignment * alignment;
    if (source_.data() == nullptr) {
      header_.copy.resize(static_cast<size_t>(position_));
      header_.copy.shrink_to_fit();
      header_.header = header_.copy.data();
    }
    const uint64_t section = size_ - std::min(size_, header_.data_offset);
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      GgufTensor& tensor = tensors_[static_cast<size_t>(first_tensor_ + i)];
      begin_item("tensor", i);
      item_name_ = names_[static_cast<size_t>(i)];
      tensor.name = text(*item_name_);
      if (tensor.offset % alignment != 0) {
        corrupt(item_name_->offset, "its offset " + number(tensor.offset) +
                                        " is no multiple of the alignment, " + number(alignment));
      }
      if (tensor.offset > section || tensor.bytes > section - tensor.offset) {
        corrupt(item_name_->offset, "its " + number(tensor.bytes) + " bytes at offset " +
                                        number(tensor.offset) + " end beyond the file's data, which has " +
                                        number(section) + " bytes");
      }
      tensor.offset += header_.data_offset;
      if (source_.data() != nullptr) tensor.data = source_.data() + tensor.offset;
    }
    item_kind_ = nullptr;
    check_overlaps();
  }

  void check_overlaps() const {
    std::pmr::vector<const GgufTensor*> order(memory_);
    order.reserve(static_cast<size_t>(tensor_count_));
    for (size_t i = static_cast<size_t>(first_tensor_); i < tensors_.size(); ++i)
      order.push_back(&tensors_[i]);
    std::sort(order.begin(), order.end(),
              [](const GgufTensor* a, const GgufTensor* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i]->offset - order[i - 1]->offset < order[i - 1]->bytes) {
        corrupt(order[i]->offset,
                "tensors " + quoted(order[i - 1]->name) + " and " + quoted(order[i]->name) + " overlap");
      }
    }
  }

  void begin_item(const char* kind, uint64_t index) {
    item_kind_ = kind;
    item_ = index;
    item_name_.reset();
  }

  GgufHeader& header_;
  const ByteSource& source_;
  const uint64_t size_;
  uint64_t available_;  // bytes of the file that header_.header reaches
  uint64_t position_ = 0;
  const uint32_t part_;
  std::pmr::vector<GgufTensor>& tensors_;
  const uint64_t first_tensor_;
  std::pmr::memory_resource* memory_;
  std::pmr::vector<Place> names_{memory_};
  uint64_t tensor_count_ = 0;
  uint64_t value_count_ = 0;

  // What messages say about where the reader is.
  const char* item_kind_ = nullptr;
  uint64_t item_ = 0;
  std::optional<Place> item_name_;
};

}  // namespace

std::string_view type_name(GgufType type) {
  constexpr std::string_view kNames[] = {"uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                         "bool",  "string", "array",  "uint64", "int64",  "float64"};
  return kNames[static_cast<uint32_t>(type)];
}

uint32_t type_bytes(GgufType type) {
  switch (type) {
    case GgufType::Uint8:
    case GgufType::Int8:
    case GgufType::Bool: return 1;
    case GgufType::Uint16:
    case GgufType::Int16: return 2;
    case GgufType::Uint32:
    case GgufType::Int32:
    case GgufType::Float32: return 4;
    case GgufType::Uint64:
    case GgufType::Int64:
    case GgufType::Float64: return 8;
    case GgufType::String:
    case GgufType::Array: return 0;
  }
  return 0;
}

bool is_integer(GgufType type) {
  return type_bytes(type) != 0 && type != GgufType::Bool && type != GgufType::Float32 &&
         type != GgufType::Float64;
}

const GgufValue* GgufHeader::find(std::string_view key) const {
  const uint32_t entry = value_index.find(key, [this](uint32_t i) { return this->key(values[i]); });
  return entry == NameIndex::kNone ? nullptr : &values[entry];
}

GgufHeader read_gguf_header(ByteSourcePointer source, uint32_t part, std::pmr::vector<GgufTensor>& tensors,
                            std::pmr::memory_resource* memory) {
  GgufHeader header(std::move(source), memory);
  HeaderReader(header, part, tensors, memory).read();
  return header;
}

std::string quoted(std::string_view name) {
  constexpr size_t kLongest = 80;
  std::string text = "\"";
  for (const char c : name.substr(0, kLongest)) text += c >= ' ' && c <= '~' ? c : '?';
  text += name.size() > kLongest ? "...\"" : "\"";
  return text;
}

}  // namespace inlay

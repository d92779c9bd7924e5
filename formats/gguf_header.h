#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/byte_source.h"
#include "formats/name_index.h"
#include "formats/stored_tensor.h"

// The header of one GGUF file, version 2 or 3, little endian.
// Source: the GGUF specification (docs/gguf.md of ggml). Where it is silent this reader decides: a key or a
// tensor name has 1 to 65,535 bytes and does not repeat; a file has at most 16,384 keys and as many tensors;
// arrays do not nest; an alignment is a power of two up to 1 MiB; a tensor has 1 to 4 dimensions, none of
// them zero, whole blocks in a row, and bytes of its own (gaps between tensors are allowed, overlaps are
// not).

namespace inlay {

/// Types of metadata values, by their numbers in the file.
enum class GgufType : uint32_t {
  Uint8 = 0,
  Int8 = 1,
  Uint16 = 2,
  Int16 = 3,
  Uint32 = 4,
  Int32 = 5,
  Float32 = 6,
  Bool = 7,
  String = 8,
  Array = 9,
  Uint64 = 10,
  Int64 = 11,
  Float64 = 12,
};

/// The type's name in messages, "uint32" for example.
std::string_view type_name(GgufType type);

/// Bytes of a value; 0 of a string, of an array and of a number that is no type.
uint32_t type_bytes(GgufType type);

bool is_integer(GgufType type);

/// A metadata entry, by its place in the file.
struct GgufValue {
  uint64_t key_offset;
  uint64_t key_length;
  GgufType type;
  GgufType element_type;  // of an array; else the same as type
  uint64_t count;         // elements of an array; else 1
  uint64_t offset;        // the first byte of a scalar, of a string's text, of an array's first element
  uint64_t bytes;         // from there
};

using GgufTensor = StoredTensor;

/// One file's header. Places in it are offsets from `header`, the file's first bytes.
struct GgufHeader {
  GgufHeader(ByteSourcePointer file, std::pmr::memory_resource* memory)
      : source(std::move(file)), copy(memory), values(memory), value_index(memory) {}

  ByteSourcePointer source;
  std::pmr::vector<std::byte> copy;   // of the header, where the source is not mapped
  const std::byte* header = nullptr;  // the mapping, or the copy
  uint64_t bytes = 0;                 // of the header
  uint32_t version = 0;
  uint64_t data_offset = 0;  // where the tensors' section begins
  std::pmr::vector<GgufValue> values;
  NameIndex value_index;

  std::string_view text(uint64_t offset, uint64_t length) const {
    return {reinterpret_cast<const char*>(header) + offset, static_cast<size_t>(length)};
  }
  std::string_view key(const GgufValue& value) const { return text(value.key_offset, value.key_length); }

  /// Null where there is no such key.
  const GgufValue* find(std::string_view key) const;
};

/// Reads and checks the header of the file number `part` of a model, and appends its tensors to `tensors`.
/// Touches the header only. Throws as GgufFile::open says.
GgufHeader read_gguf_header(ByteSourcePointer source, uint32_t part, std::pmr::vector<GgufTensor>& tensors,
                            std::pmr::memory_resource* memory);

/// A name from a file as a message may carry it: in quotation marks, shortened, without control characters.
std::string quoted(std::string_view name);

}  // namespace inlay

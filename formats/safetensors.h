#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <string_view>
#include <vector>

#include "formats/byte_source.h"
#include "formats/name_index.h"

namespace inlay {

/// Element types of safetensors files.
enum class SafetensorsType : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E4M3,
  kF8E5M2,
  kF16,
  kBF16,
  kOther16,
  kF32,
  kOther32,
  kOther64
};

uint32_t element_bytes(SafetensorsType type);

/// A tensor of a safetensors file.
struct SafetensorsTensor {
  std::string_view name;  // lives as long as the file
  SafetensorsType type = SafetensorsType::kF32;
  uint32_t dimension_count = 0;
  std::array<uint64_t, 6> dimensions = {1, 1, 1, 1, 1, 1};  // outermost first, as in the file; 1 beyond
  uint64_t offset = 0;                                      // of its first byte in the file
  uint64_t bytes = 0;
  const std::byte* data = nullptr;  // at any alignment; null where the file is not mapped

  uint64_t elements() const {
    uint64_t product = 1;
    for (const uint64_t dimension : dimensions) product *= dimension;
    return product;
  }
};

/// One safetensors file, opened: a length, a JSON header, the tensors' bytes. Immutable.
/// Source: the format's description in the safetensors repository. Where it is silent this reader decides: a
/// header has at most 100 MB (as its own library has it), at most 65,536 tensors of at most 6 dimensions,
/// none of them zero; tensors may leave gaps, and do not overlap.
class SafetensorsFile {
 public:
  /// Throws INLAY_ERROR_IO where the source cannot be read, INLAY_ERROR_CORRUPT_FILE where the file ends
  /// early or contradicts itself, INLAY_ERROR_UNSUPPORTED for an element type that the format does not have.
  static SafetensorsFile open(ByteSourcePointer source, std::pmr::memory_resource* memory);

  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = delete;

  const ByteSourcePointer& source() const { return source_; }
  const std::pmr::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  /// Null where there is none of that name. Costs a look-up by hash.
  const SafetensorsTensor* find(std::string_view name) const;

 private:
  SafetensorsFile(ByteSourcePointer source, std::pmr::memory_resource* memory);

  ByteSourcePointer source_;
  std::pmr::vector<char> names_;
  std::pmr::vector<SafetensorsTensor> tensors_;
  NameIndex index_;
};

}  // namespace inlay

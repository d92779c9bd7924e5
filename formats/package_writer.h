#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checksum.h"
#include "formats/model_numbers.h"
#include "formats/stored_tensor.h"
#include "runtime/platform.h"

namespace inlay {

/// What a package says of its tokenizer, beside the tables.
struct PackageTokenizer {
  uint32_t version = 0;
  uint32_t tokens = 0;
  uint32_t specials = 0;
  uint32_t merges = 0;
  uint32_t text_bytes = 0;
  std::string_view pre_tokenizer;
  int32_t end_of_text = -1;
  int32_t end_of_turn = -1;
  int32_t begin_of_text = -1;
  int32_t padding = -1;
  bool add_begin_of_text = false;
  uint64_t table_bytes = 0;
};

/// What a package is to hold. The views have to live until the package is written.
struct PackageContents {
  explicit PackageContents(std::pmr::memory_resource* memory) : tensors(memory) {}

  std::string_view architecture;
  std::string_view name;
  std::string_view chat_template;
  std::array<uint32_t, kModelNumbers> numbers{};  // 0 where there is none
  std::array<float, kModelReals> reals{};
  uint32_t kv_type = 0;
  std::optional<PackageTokenizer> tokenizer;
  std::pmr::vector<StoredTensor> tensors;  // offsets and bytes are the writer's to fill in
};

/// Writes a package: the tensors' bytes in their order, then the tokenizer's tables, in pieces of any size.
/// The file is called PATH.partial until finish() has everything on disk and gives it its name in one step;
/// without finish() the destructor removes it, and what a killed program leaves the next writer of PATH
/// replaces.
class PackageWriter {
 public:
  /// Throws INLAY_ERROR_IO where the file cannot be made, where the disk has too little room, and where
  /// another program is writing the same package; INLAY_ERROR_UNSUPPORTED for a header too large.
  PackageWriter(std::string_view path, PackageContents& contents, std::pmr::memory_resource* memory);

  uint64_t file_bytes() const { return file_bytes_; }

  /// The next bytes of the segment at hand; segments begin where the one before is complete.
  void write(const void* data, size_t bytes);

  /// Everything has to be written. Throws INLAY_ERROR_IO.
  void finish();

 private:
  struct Segment {
    uint64_t offset;
    uint64_t bytes;
    uint64_t checksum;
  };

  void lay_out(uint64_t header_bytes);
  std::pmr::vector<std::byte> serialise() const;

  std::pmr::memory_resource* memory_;
  std::pmr::string path_;
  PackageContents& contents_;
  std::pmr::vector<Segment> segments_;
  uint64_t header_bytes_ = 0;
  uint64_t file_bytes_ = 0;
  std::optional<platform::OutputFile> file_;
  size_t segment_ = 0;
  uint64_t written_ = 0;  // of the segment at hand
  Checksum checksum_;
};

}  // namespace inlay

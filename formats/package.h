#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

#include "formats/byte_source.h"
#include "formats/name_index.h"
#include "formats/stored_tensor.h"

namespace inlay {

namespace package {
struct Model;
}

/// The first bytes of a package, little endian; the header, a FlatBuffer as package.fbs describes, follows.
struct PackagePreamble {
  static constexpr char kMagic[9] = "INLAYPKG";
  static constexpr uint32_t kVersion = 1;

  char magic[8];
  uint32_t version;
  uint32_t zero;
  uint64_t header_bytes;
  uint64_t header_checksum;  // XXH3, 64 bits
  uint64_t file_bytes;
  uint64_t zeros[3];
};
static_assert(sizeof(PackagePreamble) == 64);

/// Tensors of at least a page begin at a multiple of it, smaller ones share pages.
inline constexpr uint64_t kPackagePage = 4096;
inline constexpr uint64_t kPackageAlignment = 64;

/// What the header calls TensorLayout::kColumns; kTiles is kTilesLayout there, of kRows it says nothing.
inline constexpr std::string_view kColumnsLayout = "columns";

/// A package, opened: its header, and where its segments lie. Immutable: any number of threads may use one.
/// Where the source is mapped and aligned, everything is a view into the mapping, else the header is a copy.
/// Opening touches the header's pages alone, and allocates an entry a tensor. What is in the header is
/// checked then, so that nothing need be checked in use; the segments' bytes are checked by verify().
class PackageFile {
 public:
  /// Throws INLAY_ERROR_IO where the source cannot be read, INLAY_ERROR_CORRUPT_FILE where the file ends
  /// early or contradicts itself, INLAY_ERROR_UNSUPPORTED where it is of a later version.
  static PackageFile open(ByteSourcePointer source, std::pmr::memory_resource* memory);

  PackageFile(PackageFile&&) = default;
  PackageFile& operator=(PackageFile&&) = delete;

  const ByteSourcePointer& source() const { return source_; }
  const package::Model& model() const { return *model_; }
  const std::pmr::vector<StoredTensor>& tensors() const { return tensors_; }
  /// Null where there is none of that name. Costs a look-up by hash.
  const StoredTensor* find_tensor(std::string_view name) const;

  /// Reads every segment and compares its checksum. Throws INLAY_ERROR_CORRUPT_FILE naming the first that
  /// differs; INLAY_ERROR_CANCELLED where `progress` (may be null) wants it. `memory` gives a buffer of a few
  /// MiB where the source is not mapped.
  void verify(inlay_progress_fn progress, void* user_data, std::pmr::memory_resource* memory) const;

 private:
  PackageFile(ByteSourcePointer source, std::pmr::memory_resource* memory);

  void read_header();
  void read_tensors();
  void check_tokenizer(uint64_t end_of_tensors) const;
  [[noreturn]] void fail(inlay_status status, const std::string& what) const;

  ByteSourcePointer source_;
  std::pmr::vector<uint64_t> copy_;  // of the header, where it cannot be used in place
  const std::byte* header_ = nullptr;
  uint64_t header_bytes_ = 0;
  const package::Model* model_ = nullptr;
  std::pmr::vector<StoredTensor> tensors_;
  NameIndex tensor_index_;
};

}  // namespace inlay

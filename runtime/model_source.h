#pragma once

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/byte_source.h"
#include "formats/model_numbers.h"
#include "formats/stored_tensor.h"
#include "inlay/inlay.h"
#include "runtime/vocabulary.h"

namespace inlay {

class PackageFile;

inline constexpr std::string_view kArchitecture = "qwen35";

/// A tokenizer's tables as a package keeps them, in the layout that Tokenizer works in.
struct StoredTokenizer {
  Vocabulary vocabulary;  // without tokens, merges and types
  uint32_t version = 0;
  uint32_t tokens = 0;
  uint32_t specials = 0;
  uint32_t merges = 0;
  uint32_t text_bytes = 0;
  uint32_t part = 0;
  uint64_t offset = 0;  // of the tables in the file
  uint64_t bytes = 0;
  const std::byte* data = nullptr;  // at any alignment; null where the file is not mapped
};

/// What a model is loaded from and packed from, whatever format it is in: numbers, tensors with the names and
/// conventions of a GGUF file, a tokenizer, a chat template. Immutable: any number of threads may use one.
/// Strings and tensors live as long as the source. What is not there is nothing or ""; what is there and
/// wrong throws INLAY_ERROR_CORRUPT_FILE or INLAY_ERROR_UNSUPPORTED when it is asked for.
class ModelSource {
 public:
  ModelSource() = default;
  ModelSource(const ModelSource&) = delete;
  ModelSource& operator=(const ModelSource&) = delete;
  virtual ~ModelSource() = default;

  virtual std::string_view architecture() const = 0;
  virtual std::string_view name() const = 0;
  virtual std::string_view chat_template() const = 0;
  virtual std::optional<uint64_t> number(ModelNumber number) const = 0;
  virtual std::optional<double> real(ModelReal real) const = 0;
  /// How the model wants its keys and values stored where the host has no wish.
  virtual inlay_kv_type kv_type() const { return INLAY_KV_F16; }

  virtual const std::pmr::vector<StoredTensor>& tensors() const = 0;
  /// Null where there is none of that name. Costs a look-up by hash.
  virtual const StoredTensor* find_tensor(std::string_view name) const = 0;
  /// Copies `rows` of the tensor's rows from `first` on. Throws INLAY_ERROR_IO.
  virtual void read_rows(const StoredTensor& tensor, uint64_t first, uint64_t rows,
                         std::byte* destination) const;
  void read(const StoredTensor& tensor, void* destination) const {
    read_rows(tensor, 0, tensor.rows(), static_cast<std::byte*>(destination));
  }

  /// What becomes of a tensor's pages, where its rows are made from a mapping; a hint.
  virtual void advise(const StoredTensor&, platform::MemoryAdvice) const noexcept {}

  virtual uint32_t part_count() const = 0;
  virtual const ByteSourcePointer& part(uint32_t index) const = 0;
  uint64_t file_bytes() const;
  /// Whether a part was cut short while it was mapped, where that is watched. Any thread; allocates nothing.
  bool lost() const noexcept;

  /// Nothing where the model has no tokenizer, or has it as tables.
  virtual std::optional<Vocabulary> vocabulary() const { return std::nullopt; }
  virtual std::optional<StoredTokenizer> tokenizer() const { return std::nullopt; }

  /// What a person should know of how it was read, "the vision tower is left out" for example; "" mostly.
  virtual std::string_view notes() const { return ""; }

  /// Where the model is a package: only there its bytes can be checked.
  virtual const PackageFile* package() const { return nullptr; }
};

/// INLAY_ERROR_IO: what was read is not the file's.
[[noreturn]] void refuse_lost_file();

using ModelSourcePointer = std::shared_ptr<const ModelSource>;

/// The model in a file of any format that Inlay runs, told by its first bytes. Throws what GgufFile::open and
/// PackageFile::open throw, INLAY_ERROR_UNSUPPORTED for any other file.
ModelSourcePointer open_model(const inlay_source& source, std::pmr::memory_resource* memory);

/// The checkpoint in a folder, or in the folder of a safetensors file, as a source of conversions: no tensor
/// of it is mapped. Throws as open_model does.
ModelSourcePointer open_checkpoint(std::string_view path, std::pmr::memory_resource* memory);

}  // namespace inlay

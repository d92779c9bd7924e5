#pragma once

#include "formats/gguf.h"
#include "runtime/model_source.h"

namespace inlay {

/// A GGUF file as a model.
class GgufModel final : public ModelSource {
 public:
  explicit GgufModel(GgufFile file) : file_(std::move(file)) {}

  std::string_view architecture() const override { return text("general.architecture"); }
  std::string_view name() const override { return text("general.name"); }
  std::string_view chat_template() const override { return text("tokenizer.chat_template"); }
  std::optional<uint64_t> number(ModelNumber number) const override;
  std::optional<double> real(ModelReal real) const override;
  const std::pmr::vector<StoredTensor>& tensors() const override { return file_.tensors(); }
  const StoredTensor* find_tensor(std::string_view name) const override { return file_.find_tensor(name); }
  uint32_t part_count() const override { return file_.part_count(); }
  const ByteSourcePointer& part(uint32_t index) const override { return file_.source(index); }
  std::optional<Vocabulary> vocabulary() const override { return read_vocabulary(file_); }

 private:
  std::string_view text(std::string_view key) const { return file_.string_value(key).value_or(""); }

  GgufFile file_;
};

}  // namespace inlay

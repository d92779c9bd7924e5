#pragma once

#include "formats/package.h"
#include "runtime/model_source.h"

namespace inlay {

/// A package as a model.
class PackageModel final : public ModelSource {
 public:
  explicit PackageModel(PackageFile file) : file_(std::move(file)) {}

  const PackageFile& file() const { return file_; }

  std::string_view architecture() const override;
  std::string_view name() const override;
  std::string_view chat_template() const override;
  std::optional<uint64_t> number(ModelNumber number) const override;
  std::optional<double> real(ModelReal real) const override;
  inlay_kv_type kv_type() const override;
  const std::pmr::vector<StoredTensor>& tensors() const override { return file_.tensors(); }
  const StoredTensor* find_tensor(std::string_view name) const override { return file_.find_tensor(name); }
  uint32_t part_count() const override { return 1; }
  const ByteSourcePointer& part(uint32_t) const override { return file_.source(); }
  std::optional<StoredTokenizer> tokenizer() const override;
  const PackageFile* package() const override { return &file_; }

 private:
  PackageFile file_;
};

}  // namespace inlay

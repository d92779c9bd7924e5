#pragma once

#include <deque>
#include <memory_resource>
#include <optional>
#include <string>

#include "formats/name_index.h"
#include "formats/safetensors.h"
#include "runtime/checkpoint_config.h"
#include "runtime/checkpoint_tensors.h"
#include "runtime/checkpoint_tokenizer.h"
#include "runtime/model_source.h"

namespace inlay {

/// A checkpoint as it is published (a folder of config.json, safetensors and a tokenizer) as a model: its
/// tensors under the names and in the conventions of a GGUF file, each converted when it is read. Quantised
/// weights stay what they are, in blocks of the same codes and scales. The vision tower is left out.
class Checkpoint final : public ModelSource {
 public:
  /// Throws INLAY_ERROR_IO, INLAY_ERROR_CORRUPT_FILE and INLAY_ERROR_UNSUPPORTED as its readers do.
  Checkpoint(std::string_view folder, std::pmr::memory_resource* memory);

  std::string_view architecture() const override { return kArchitecture; }
  std::string_view name() const override { return name_; }
  std::string_view chat_template() const override;
  std::optional<uint64_t> number(ModelNumber number) const override;
  std::optional<double> real(ModelReal real) const override;
  inlay_kv_type kv_type() const override { return config_.fp8_kv ? INLAY_KV_FP8 : INLAY_KV_F16; }
  const std::pmr::vector<StoredTensor>& tensors() const override { return tensors_; }
  const StoredTensor* find_tensor(std::string_view name) const override;
  void read_rows(const StoredTensor& tensor, uint64_t first, uint64_t rows,
                 std::byte* destination) const override;
  void advise(const StoredTensor& tensor, platform::MemoryAdvice advice) const noexcept override;
  uint32_t part_count() const override { return static_cast<uint32_t>(files_.size()); }
  const ByteSourcePointer& part(uint32_t index) const override { return files_[index].source(); }
  std::optional<Vocabulary> vocabulary() const override;
  std::string_view notes() const override { return notes_; }

 private:
  [[noreturn]] void fail(inlay_status status, const std::string& what) const;
  std::string path_of(std::string_view file) const { return folder_ + "/" + std::string(file); }
  bool has_file(std::string_view file) const { return platform::exists(path_of(file).c_str()); }

  void open_files();
  void open_file(std::string_view name);
  void read_config();
  void find_prefixes();
  const SafetensorsTensor* find(const std::string& name) const;
  const SafetensorsTensor& need(const std::string& name) const;

  void add_all();
  void add_layer(const std::string& to, const std::string& from, bool attention);
  void add_mtp();
  void add(const std::string& name, const TensorConversion& conversion);
  void add_matrix(const std::string& to, const std::string& from, HeadOrder rows = {},
                  HeadOrder columns = {});
  void add_vector(const std::string& to, const std::string& from, TensorConversion::Kind kind,
                  HeadOrder order = {});
  void add_convolution(const std::string& to, const std::string& from);
  float set_quantised(TensorConversion& conversion, const std::string& from) const;
  void set_fp8(TensorConversion& conversion, const std::string& from) const;
  HeadOrder value_heads(uint64_t begin, uint64_t length) const;
  void note_what_is_left();

  std::pmr::memory_resource* memory_;
  std::string folder_;
  std::string name_;
  std::string notes_;
  std::pmr::deque<SafetensorsFile> files_;
  CheckpointConfig config_;
  std::optional<CheckpointTokenizer> tokenizer_;
  std::string text_prefix_;  // of the text model's tensors
  std::string mtp_prefix_;
  std::pmr::deque<std::string> names_;
  std::pmr::vector<StoredTensor> tensors_;
  std::pmr::vector<TensorConversion> conversions_;  // of tensors_, in their order
  std::pmr::vector<const SafetensorsTensor*> used_;
  NameIndex index_;
};

}  // namespace inlay

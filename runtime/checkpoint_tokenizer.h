#pragma once

#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>

#include "formats/json.h"
#include "runtime/vocabulary.h"

namespace inlay {

/// The text of a file; nothing where there is no such file. Throws INLAY_ERROR_IO where it cannot be read.
std::optional<std::pmr::string> read_text(const std::string& path, std::pmr::memory_resource* memory);

/// The tokenizer and the chat template in a checkpoint's folder: tokenizer.json, or vocab.json with
/// merges.txt; tokenizer_config.json, chat_template.jinja.
class CheckpointTokenizer {
 public:
  /// Throws INLAY_ERROR_CORRUPT_FILE for files that contradict themselves, INLAY_ERROR_UNSUPPORTED for a
  /// tokenizer that is not byte-level BPE.
  CheckpointTokenizer(const std::string& folder, std::pmr::memory_resource* memory);

  /// Nothing where the folder has none; its views live as long as this object.
  std::optional<Vocabulary> vocabulary() const;
  std::string_view chat_template() const { return chat_template_; }

 private:
  void read_tokenizer(const std::string& path, JsonDocument::Value root);
  void read_vocabulary_and_merges(const std::string& folder);
  void read_settings(const std::string& folder, JsonDocument::Value settings);
  void read_template(const std::string& folder, JsonDocument::Value settings);
  void add_merge(std::string_view left_and_right);
  void set_token(std::string_view path, uint64_t id, std::string_view text, TokenType type);
  void set_added_token(std::string_view path, JsonDocument::Value token, std::optional<uint64_t> id);
  int32_t token_named(std::string_view text) const;
  void finish();

  struct Token {
    uint64_t text = 0;  // in texts_
    uint32_t bytes = 0;
    TokenType type = TokenType::kUnused;
  };

  std::pmr::memory_resource* memory_;
  std::pmr::string texts_;
  std::pmr::vector<Token> tokens_;
  std::pmr::string token_strings_;  // as GGUF files have an array of strings
  std::pmr::string merge_strings_;
  std::pmr::vector<uint8_t> types_;
  uint64_t merges_ = 0;
  std::string pre_tokenizer_ = "qwen35";
  std::pmr::string chat_template_;
  Vocabulary ends_;
};

}  // namespace inlay

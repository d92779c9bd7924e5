#include "runtime/vocabulary.h"

#include <string>

#include "runtime/error.h"

namespace inlay {
namespace {

int32_t token_value(const GgufFile& file, std::string_view key, uint64_t token_count) {
  const std::optional<uint64_t> value = file.unsigned_value(key);
  if (!value) return -1;
  if (*value >= token_count) {
    throw Error(INLAY_ERROR_CORRUPT_FILE, std::string(key) + ": token " + std::to_string(*value) +
                                              " is outside the vocabulary of " + std::to_string(token_count));
  }
  return static_cast<int32_t>(*value);
}

}  // namespace

std::optional<Vocabulary> read_vocabulary(const GgufFile& file) {
  const std::optional<std::string_view> model = file.string_value("tokenizer.ggml.model");
  if (!model || *model == "none" || *model == "no_vocab") return std::nullopt;
  if (*model != "gpt2") {
    throw Error(INLAY_ERROR_UNSUPPORTED, "tokenizer.ggml.model: the tokenizer is '" + std::string(*model) +
                                             "', expected 'gpt2' (byte-level BPE)");
  }
  const std::optional<GgufStrings> tokens = file.string_array("tokenizer.ggml.tokens");
  if (!tokens || tokens->size() == 0) {
    throw Error(INLAY_ERROR_CORRUPT_FILE, "tokenizer.ggml.tokens: missing or empty, expected the vocabulary");
  }
  if (tokens->size() > INT32_MAX) {
    throw Error(INLAY_ERROR_CORRUPT_FILE, "tokenizer.ggml.tokens: " + std::to_string(tokens->size()) +
                                              " tokens, expected fewer than 2^31");
  }
  Vocabulary vocabulary;
  vocabulary.tokens = *tokens;
  if (const auto merges = file.string_array("tokenizer.ggml.merges")) vocabulary.merges = *merges;
  vocabulary.types = file.integer_array("tokenizer.ggml.token_type");
  vocabulary.pre_tokenizer = file.string_value("tokenizer.ggml.pre").value_or("");
  vocabulary.end_of_text = token_value(file, "tokenizer.ggml.eos_token_id", tokens->size());
  vocabulary.end_of_turn = token_value(file, "tokenizer.ggml.eot_token_id", tokens->size());
  vocabulary.begin_of_text = token_value(file, "tokenizer.ggml.bos_token_id", tokens->size());
  vocabulary.padding = token_value(file, "tokenizer.ggml.padding_token_id", tokens->size());
  vocabulary.add_begin_of_text = file.bool_value("tokenizer.ggml.add_bos_token").value_or(false);
  return vocabulary;
}

}  // namespace inlay

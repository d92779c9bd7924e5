#include "runtime/vocabulary.h"

#include <doctest/doctest.h>

#include <cstring>
#include <memory_resource>
#include <string>
#include <vector>

#include "runtime/error.h"

namespace inlay {
namespace {

/// A GGUF file of metadata alone, made in memory.
class Metadata {
 public:
  Metadata& string(const std::string& key, const std::string& value) {
    entry(key, GgufType::String);
    put_string(value);
    return *this;
  }
  Metadata& token(const std::string& key, uint32_t value) {
    entry(key, GgufType::Uint32);
    put(value);
    return *this;
  }
  Metadata& strings(const std::string& key, const std::vector<std::string>& values) {
    entry(key, GgufType::Array);
    put(GgufType::String);
    put(uint64_t{values.size()});
    for (const std::string& value : values) put_string(value);
    return *this;
  }
  GgufFile open() {
    file_ = "GGUF";
    const uint32_t version = 3;
    file_.append(reinterpret_cast<const char*>(&version), sizeof version);
    const uint64_t counts[] = {0, entries_};  // tensors, keys
    file_.append(reinterpret_cast<const char*>(counts), sizeof counts);
    file_ += body_;
    std::pmr::memory_resource* const memory = std::pmr::new_delete_resource();
    return GgufFile::open(open_memory(file_.data(), file_.size(), memory), memory);
  }

 private:
  template <typename T>
  void put(T value) {
    body_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_string(const std::string& text) {
    put(uint64_t{text.size()});
    body_ += text;
  }
  void entry(const std::string& key, GgufType type) {
    put_string(key);
    put(type);
    ++entries_;
  }

  std::string body_, file_;
  uint64_t entries_ = 0;
};

Metadata qwen() {
  Metadata metadata;
  metadata.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "qwen35");
  metadata.strings("tokenizer.ggml.tokens", {"a", "b", "ab"});
  return metadata;
}

inlay_status status_of(Metadata& metadata) {
  try {
    read_vocabulary(metadata.open());
    return INLAY_OK;
  } catch (const Error& error) {
    CHECK(std::strlen(error.what()) > 20);
    return error.status();
  }
}

}  // namespace

TEST_CASE("a vocabulary is read from a GGUF file's keys") {
  Metadata metadata = qwen();
  metadata.strings("tokenizer.ggml.merges", {"a b"}).token("tokenizer.ggml.eos_token_id", 2);
  metadata.token("tokenizer.ggml.padding_token_id", 0);
  const GgufFile file = metadata.open();
  const std::optional<Vocabulary> vocabulary = read_vocabulary(file);
  REQUIRE(vocabulary);
  CHECK(vocabulary->tokens.size() == 3);
  CHECK(*vocabulary->tokens.begin() == "a");
  CHECK(*vocabulary->merges.begin() == "a b");
  CHECK(!vocabulary->types);
  CHECK(vocabulary->pre_tokenizer == "qwen35");
  CHECK(vocabulary->end_of_text == 2);
  CHECK(vocabulary->end_of_turn == -1);
  CHECK(vocabulary->padding == 0);
  CHECK(!vocabulary->add_begin_of_text);
}

TEST_CASE("a file without a tokenizer has no vocabulary") {
  Metadata none, named;
  none.string("general.architecture", "qwen35");
  named.string("tokenizer.ggml.model", "none");
  CHECK(!read_vocabulary(none.open()));
  CHECK(!read_vocabulary(named.open()));
}

TEST_CASE("other tokenizers and broken keys are refused") {
  Metadata llama, empty, outside;
  llama.string("tokenizer.ggml.model", "llama");
  CHECK(status_of(llama) == INLAY_ERROR_UNSUPPORTED);
  empty.string("tokenizer.ggml.model", "gpt2");
  CHECK(status_of(empty) == INLAY_ERROR_CORRUPT_FILE);
  outside = qwen().token("tokenizer.ggml.eos_token_id", 3);
  CHECK(status_of(outside) == INLAY_ERROR_CORRUPT_FILE);
  Metadata wrong_kind = qwen().string("tokenizer.ggml.merges", "a b");
  CHECK(status_of(wrong_kind) == INLAY_ERROR_CORRUPT_FILE);
}

}  // namespace inlay

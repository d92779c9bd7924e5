#include <doctest/doctest.h>

#include <set>
#include <string>

#include "tests/gguf_parts.h"
#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay;
using namespace inlay::test;

// Well-formed files that are not models of this family, or not whole ones.

namespace {

/// What becomes of it, with the words after an error.
inlay_status create(const std::vector<std::byte>& bytes, std::string* words) {
  CountingAllocator allocator;
  inlay_status status = INLAY_OK;
  {
    const Handle<inlay_runtime> runtime = make_runtime({.allocator = &allocator, .memory_limit = 512u << 20});
    const uint64_t before = memory_of(runtime.get());
    inlay_source source = INLAY_SOURCE_INIT;
    source.data = bytes.data();
    source.data_size = bytes.size();
    inlay_file* file = nullptr;
    inlay_model* model = nullptr;
    REQUIRE(inlay_file_open(runtime.get(), &source, &file) == INLAY_OK);
    inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
    const inlay_status planned = inlay_file_plan(file, nullptr, &plan);
    status = inlay_model_create(file, nullptr, &model);
    CHECK(planned == status);
    CHECK((model == nullptr) == (status != INLAY_OK));
    *words = message_of(runtime.get());
    inlay_model_destroy(model);
    inlay_file_destroy(file);
    CHECK(memory_of(runtime.get()) == before);
  }
  CHECK(allocator.live_blocks() == 0);
  return status;
}

void set_uint32(GgufParts& parts, const std::string& key, uint32_t number) {
  GgufParts::Value& value = parts.value(key);
  value.type = static_cast<uint32_t>(GgufType::Uint32);
  value.bytes.assign(reinterpret_cast<const char*>(&number), sizeof number);
}

}  // namespace

TEST_CASE("a file put together again is the model it was") {
  for (const std::filesystem::path& path : own_models()) {
    std::string words;
    CHECK(create(GgufParts(path).build(), &words) == INLAY_OK);
  }
}

TEST_CASE("a missing tensor is named") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const GgufParts whole(path);
    for (size_t i = 0; i < whole.tensors.size(); ++i) {
      const std::string& name = whole.tensors[i].name;
      CAPTURE(name);
      GgufParts parts = whole;
      parts.tensors.erase(parts.tensors.begin() + static_cast<ptrdiff_t>(i));
      std::string words;
      const inlay_status status = create(parts.build(), &words);
      // A head of its own, a second scale and the MTP block's own tables are not every model's.
      const bool optional = name == "output.weight" || name.ends_with("scale") ||
                            name.find("nextn.shared_head") != std::string::npos ||
                            name.find("nextn.embed_tokens") != std::string::npos;
      CHECK(status == (optional ? INLAY_OK : INLAY_ERROR_CORRUPT_FILE));
      if (!optional) CHECK(words.find("tensor " + name + " is missing") != std::string::npos);
    }
  }
}

TEST_CASE("a tensor of another shape is named") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const GgufParts whole(path);
    for (size_t i = 0; i < whole.tensors.size(); ++i) {
      const std::string& name = whole.tensors[i].name;
      // Scales of activations are not read, and the rows of a tied embedding are the vocabulary's size.
      if (name.ends_with(".input_scale")) continue;
      if (name == "token_embd.weight" && path != own_models().front()) continue;
      CAPTURE(name);
      for (const int change : {0, 1, 2}) {
        CAPTURE(change);
        GgufParts parts = whole;
        GgufParts::Tensor& tensor = parts.tensors[i];
        if (change == 0) {  // twice the rows
          tensor.bytes += tensor.bytes;
          tensor.dimensions.size() == 1 ? tensor.dimensions.push_back(2)
                                        : void(tensor.dimensions.back() *= 2);
        } else if (change == 1) {  // a row for each pair of rows, twice as long
          if (tensor.dimensions.size() < 2 || tensor.dimensions[1] % 2 != 0) continue;
          tensor.dimensions[0] *= 2;
          tensor.dimensions[1] /= 2;
        } else {  // half of it
          if (tensor.dimensions.back() % 2 != 0 ||
              (tensor.dimensions.size() == 1 && tensor.type != TensorType::F32))
            continue;
          tensor.dimensions.back() /= 2;
          tensor.bytes.resize(tensor.bytes.size() / 2);
        }
        std::string words;
        const inlay_status status = create(parts.build(), &words);
        CHECK(status == INLAY_ERROR_CORRUPT_FILE);
        // The embedding's rows are the vocabulary's size: it is the head that differs then, or the tokenizer.
        if (name != "token_embd.weight")
          CHECK(words.find("tensor " + name + " has shape") != std::string::npos);
      }
    }
  }
}

TEST_CASE("numbers of the architecture that are missing or absurd are named") {
  const GgufParts whole(own_data("blocks32.gguf"));
  const std::set<std::string> optional = {"qwen35.nextn_predict_layers", "qwen35.full_attention_interval",
                                          "qwen35.attention.value_length", "qwen35.context_length",
                                          "qwen35.rope.dimension_sections"};
  int keys = 0;
  for (size_t i = 0; i < whole.values.size(); ++i) {
    const std::string& key = whole.values[i].key;
    if (!key.starts_with("qwen35.")) continue;
    CAPTURE(key);
    ++keys;
    std::string words;
    GgufParts without = whole;
    without.values.erase(without.values.begin() + static_cast<ptrdiff_t>(i));
    const inlay_status status = create(without.build(), &words);
    if (!optional.contains(key)) {
      CHECK(status == INLAY_ERROR_CORRUPT_FILE);
      CHECK(words.find(key) != std::string::npos);
    }
    for (const uint32_t number : {0u, 1u, 3u, 1u << 20, UINT32_MAX}) {
      CAPTURE(number);
      GgufParts absurd = whole;
      set_uint32(absurd, key, number);
      const inlay_status outcome = create(absurd.build(), &words);
      const bool harmless = outcome == INLAY_OK;
      CHECK((harmless || outcome == INLAY_ERROR_CORRUPT_FILE || outcome == INLAY_ERROR_UNSUPPORTED));
      if (!harmless) CHECK(words.size() > 10);
    }
    GgufParts text = whole;
    text.values[i].type = static_cast<uint32_t>(GgufType::String);
    text.values[i].bytes.assign("\3\0\0\0\0\0\0\0abc", 11);
    const inlay_status outcome = create(text.build(), &words);
    if (outcome != INLAY_OK) CHECK(words.find(key) != std::string::npos);
  }
  CHECK(keys > 12);
}

TEST_CASE("another architecture is refused by its name") {
  GgufParts parts(own_data("floats.gguf"));
  parts.value("general.architecture").bytes.assign("\5\0\0\0\0\0\0\0llama", 13);
  std::string words;
  CHECK(create(parts.build(), &words) == INLAY_ERROR_UNSUPPORTED);
  CHECK(words.find("\"llama\"") != std::string::npos);
  CHECK(words.find("\"qwen35\"") != std::string::npos);
  std::erase_if(parts.values,
                [](const GgufParts::Value& value) { return value.key == "general.architecture"; });
  CHECK(create(parts.build(), &words) == INLAY_ERROR_UNSUPPORTED);
}

TEST_CASE("a file without weights is no model, and says so") {
  GgufParts parts(own_data("blocks32.gguf"));
  parts.tensors.clear();
  std::string words;
  CHECK(create(parts.build(), &words) == INLAY_ERROR_CORRUPT_FILE);
  CHECK(words.find("token_embd.weight") != std::string::npos);
  // Its tokenizer can be had all the same.
  const std::vector<std::byte> bytes = parts.build();
  const Handle<inlay_runtime> runtime = make_runtime();
  inlay_source source = INLAY_SOURCE_INIT;
  source.data = bytes.data();
  source.data_size = bytes.size();
  inlay_file* opened = nullptr;
  REQUIRE(inlay_file_open(runtime.get(), &source, &opened) == INLAY_OK);
  const Handle<inlay_file> file(opened);
  inlay_model_info info = INLAY_MODEL_INFO_INIT;
  REQUIRE(inlay_file_get_info(opened, &info) == INLAY_OK);
  CHECK(info.has_weights == 0);
  CHECK(info.has_tokenizer == 1);
  inlay_tokenizer* made = nullptr;
  REQUIRE(inlay_tokenizer_create(opened, &made) == INLAY_OK);
  const Handle<inlay_tokenizer> tokenizer(made);
  CHECK(inlay_tokenizer_size(made) == 256);
}

TEST_CASE("a progress callback sees the loading and can stop it") {
  const std::string path = own_data("blocks32.gguf").string();
  const Handle<inlay_runtime> runtime = make_runtime();
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = path.c_str();
  inlay_file* opened = nullptr;
  REQUIRE(inlay_file_open(runtime.get(), &source, &opened) == INLAY_OK);
  const Handle<inlay_file> file(opened);
  struct Progress {
    uint64_t done = 0, total = 0;
    int calls = 0, stop_at = 0;
  } progress;
  inlay_model_params params = INLAY_MODEL_PARAMS_INIT;
  params.read_ahead = 1;
  params.progress_user_data = &progress;
  params.progress = [](void* self, uint64_t done, uint64_t total) {
    auto* p = static_cast<Progress*>(self);
    CHECK(done >= p->done);
    CHECK(done <= total);
    p->done = done;
    p->total = total;
    return ++p->calls == p->stop_at ? INLAY_END : INLAY_OK;
  };
  inlay_model* model = nullptr;
  REQUIRE(inlay_model_create(opened, &params, &model) == INLAY_OK);
  inlay_model_destroy(model);
  CHECK(progress.calls > 1);
  CHECK(progress.done == progress.total);
  const uint64_t before = memory_of(runtime.get());
  for (progress.stop_at = 1; progress.stop_at < 4; ++progress.stop_at) {
    progress.done = 0;
    progress.calls = 0;
    CHECK(inlay_model_create(opened, &params, &model) == INLAY_ERROR_CANCELLED);
    CHECK(model == nullptr);
    CHECK(progress.calls == progress.stop_at);
    CHECK(memory_of(runtime.get()) == before);
  }
}

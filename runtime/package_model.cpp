#include "runtime/package_model.h"

#include "package_generated.h"

namespace inlay {
namespace {

std::string_view view(const flatbuffers::String* text) {
  return text == nullptr ? std::string_view() : std::string_view(text->c_str(), text->size());
}

}  // namespace

std::string_view PackageModel::architecture() const { return view(file_.model().architecture()); }
std::string_view PackageModel::name() const { return view(file_.model().name()); }
std::string_view PackageModel::chat_template() const { return view(file_.model().chat_template()); }

std::optional<uint64_t> PackageModel::number(ModelNumber number) const {
  const package::Configuration& configuration = *file_.model().configuration();
  uint32_t value = 0;
  switch (number) {
#define INLAY_NUMBER(name, field, key) \
  case ModelNumber::name: value = configuration.field(); break;
    INLAY_FOR_EACH_MODEL_NUMBER(INLAY_NUMBER)
#undef INLAY_NUMBER
  }
  return value == 0 ? std::nullopt : std::optional<uint64_t>(value);
}

std::optional<double> PackageModel::real(ModelReal real) const {
  const package::Configuration& configuration = *file_.model().configuration();
  float value = 0;
  switch (real) {
#define INLAY_REAL(name, field, key) \
  case ModelReal::name: value = configuration.field(); break;
    INLAY_FOR_EACH_MODEL_REAL(INLAY_REAL)
#undef INLAY_REAL
  }
  return value == 0 ? std::nullopt : std::optional<double>(value);
}

inlay_kv_type PackageModel::kv_type() const {
  switch (file_.model().kv_type()) {
    case INLAY_KV_FP8: return INLAY_KV_FP8;
    case INLAY_KV_Q8: return INLAY_KV_Q8;
    default: return INLAY_KV_F16;
  }
}

std::optional<StoredTokenizer> PackageModel::tokenizer() const {
  const package::Tokenizer* from = file_.model().tokenizer();
  if (from == nullptr) return std::nullopt;
  StoredTokenizer stored;
  stored.vocabulary.pre_tokenizer = view(from->pre_tokenizer());
  stored.vocabulary.end_of_text = from->end_of_text();
  stored.vocabulary.end_of_turn = from->end_of_turn();
  stored.vocabulary.begin_of_text = from->begin_of_text();
  stored.vocabulary.padding = from->padding();
  stored.vocabulary.add_begin_of_text = from->add_begin_of_text();
  stored.version = from->version();
  stored.tokens = from->tokens();
  stored.specials = from->specials();
  stored.merges = from->merges();
  stored.text_bytes = from->text_bytes();
  stored.offset = from->tables()->offset();
  stored.bytes = from->tables()->bytes();
  const std::byte* mapped = file_.source()->data();
  if (mapped != nullptr) stored.data = mapped + stored.offset;
  return stored;
}

}  // namespace inlay

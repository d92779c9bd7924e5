#include "runtime/checkpoint_tokenizer.h"

#include "formats/byte_source.h"
#include "formats/gguf_header.h"
#include "runtime/error.h"

namespace inlay {
namespace {

using Value = JsonDocument::Value;

constexpr uint64_t kMostTextBytes = uint64_t{1} << 30;
constexpr uint64_t kMostTokens = uint64_t{1} << 24;

[[noreturn]] void corrupt(std::string_view path, const std::string& what) {
  throw Error(INLAY_ERROR_CORRUPT_FILE, std::string(path) + ": " + what);
}

void append_string(std::pmr::string& strings, std::string_view text) {
  const uint64_t bytes = text.size();
  strings.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  strings.append(text);
}

/// A token in tokenizer_config.json: its text, or an object that has it.
std::string_view token_text(Value token) {
  return token.text().value_or(token["content"].text().value_or(""));
}

/// The pattern that text is split by, wherever in the pre-tokenizer it stands.
std::string_view split_pattern(Value pre_tokenizer) {
  if (const auto pattern = pre_tokenizer["pattern"]["Regex"].text()) return *pattern;
  for (Value part = pre_tokenizer["pretokenizers"].first(); part; part = part.next()) {
    if (const auto pattern = part["pattern"]["Regex"].text()) return *pattern;
  }
  return "";
}

}  // namespace

std::optional<std::pmr::string> read_text(const std::string& path, std::pmr::memory_resource* memory) {
  if (!platform::exists(path.c_str())) return std::nullopt;
  const platform::File file(path.c_str());
  if (file.size() > kMostTextBytes) throw Error(INLAY_ERROR_UNSUPPORTED, path + ": is too large for a text");
  std::pmr::string text(static_cast<size_t>(file.size()), '\0', memory);
  file.read_at(0, text.data(), text.size());
  return text;
}

CheckpointTokenizer::CheckpointTokenizer(const std::string& folder, std::pmr::memory_resource* memory)
    : memory_(memory),
      texts_(memory),
      tokens_(memory),
      token_strings_(memory),
      merge_strings_(memory),
      types_(memory),
      chat_template_(memory) {
  const std::string path = folder + "/tokenizer.json";
  if (const auto text = read_text(path, memory_)) {
    const JsonDocument json(*text, path, memory_);
    read_tokenizer(path, json.root());
  } else {
    read_vocabulary_and_merges(folder);
  }
  const std::string settings_path = folder + "/tokenizer_config.json";
  const auto settings_text = read_text(settings_path, memory_);
  const JsonDocument settings(settings_text ? std::string_view(*settings_text) : "{}", settings_path,
                              memory_);
  if (!tokens_.empty()) read_settings(folder, settings.root());
  read_template(folder, settings.root());
  finish();
}

void CheckpointTokenizer::set_token(std::string_view path, uint64_t id, std::string_view text,
                                    TokenType type) {
  if (id >= kMostTokens) corrupt(path, "token " + quoted(text) + " has the id " + std::to_string(id));
  if (id >= tokens_.size()) tokens_.resize(static_cast<size_t>(id) + 1);
  Token& token = tokens_[static_cast<size_t>(id)];
  token = {texts_.size(), static_cast<uint32_t>(text.size()), type};
  texts_ += text;
}

void CheckpointTokenizer::set_added_token(std::string_view path, Value token, std::optional<uint64_t> id) {
  const auto text = token["content"].text();
  if (!id || !text) corrupt(path, "an added token has no id or no content");
  const bool special = token["special"].truth().value_or(false);
  set_token(path, *id, *text, special ? TokenType::kControl : TokenType::kUserDefined);
}

void CheckpointTokenizer::add_merge(std::string_view left_and_right) {
  append_string(merge_strings_, left_and_right);
  ++merges_;
}

void CheckpointTokenizer::read_tokenizer(const std::string& path, Value root) {
  const Value model = root["model"];
  if (!model["vocab"].is_object() || model["type"].text().value_or("BPE") != "BPE") {
    throw Error(INLAY_ERROR_UNSUPPORTED, path + ": the tokenizer is not byte-level BPE");
  }
  for (Value token = model["vocab"].first(); token; token = token.next()) {
    const auto id = token.unsigned_integer();
    if (!id) corrupt(path, "token " + quoted(token.key()) + " has no id");
    set_token(path, *id, token.key(), TokenType::kNormal);
  }
  std::string pair;
  for (Value merge = model["merges"].first(); merge; merge = merge.next()) {
    if (const auto both = merge.text()) {
      add_merge(*both);
      continue;
    }
    const auto left = merge.at(0).text();
    const auto right = merge.at(1).text();
    if (!left || !right) corrupt(path, "a merge is not two tokens");
    pair.assign(*left).append(" ").append(*right);
    add_merge(pair);
  }
  for (Value token = root["added_tokens"].first(); token; token = token.next()) {
    set_added_token(path, token, token["id"].unsigned_integer());
  }
  // Qwen 3.5 counts marks as parts of words, its forerunners do not.
  const std::string_view pattern = split_pattern(root["pre_tokenizer"]);
  if (!pattern.empty() && pattern.find("\\p{M}") == std::string_view::npos) pre_tokenizer_ = "qwen2";
}

void CheckpointTokenizer::read_vocabulary_and_merges(const std::string& folder) {
  const std::string path = folder + "/vocab.json";
  const auto text = read_text(path, memory_);
  if (!text) return;
  const std::string merges_path = folder + "/merges.txt";
  const auto merges = read_text(merges_path, memory_);
  if (!merges) corrupt(path, "there is no merges.txt beside it");
  const JsonDocument json(*text, path, memory_);
  for (Value token = json.root().first(); token; token = token.next()) {
    const auto id = token.unsigned_integer();
    if (!id) corrupt(path, "token " + quoted(token.key()) + " has no id");
    set_token(path, *id, token.key(), TokenType::kNormal);
  }
  for (std::string_view left = *merges; !left.empty();) {
    const size_t end = std::min(left.find('\n'), left.size());
    std::string_view line = left.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty() && !line.starts_with("#version")) add_merge(line);
    left.remove_prefix(std::min(end + 1, left.size()));
  }
}

int32_t CheckpointTokenizer::token_named(std::string_view text) const {
  if (text.empty()) return -1;
  for (size_t i = tokens_.size(); i-- > 0;) {
    const Token& token = tokens_[i];
    if (token.bytes == text.size() && std::string_view(texts_).substr(token.text, token.bytes) == text) {
      return static_cast<int32_t>(i);
    }
  }
  return -1;
}

void CheckpointTokenizer::read_settings(const std::string& folder, Value settings) {
  const std::string path = folder + "/tokenizer_config.json";
  for (Value token = settings["added_tokens_decoder"].first(); token; token = token.next()) {
    uint64_t id = 0;
    for (const char digit : token.key()) {
      if (digit < '0' || digit > '9' || id > kMostTokens)
        corrupt(path, "an added token's id is " + quoted(token.key()));
      id = id * 10 + static_cast<uint64_t>(digit - '0');
    }
    set_added_token(path, token, id);
  }
  ends_.end_of_text = token_named(token_text(settings["eos_token"]));
  ends_.begin_of_text = token_named(token_text(settings["bos_token"]));
  ends_.padding = token_named(token_text(settings["pad_token"]));
  ends_.add_begin_of_text = settings["add_bos_token"].truth().value_or(false);
}

void CheckpointTokenizer::read_template(const std::string& folder, Value settings) {
  if (auto text = read_text(folder + "/chat_template.jinja", memory_)) {
    chat_template_ = std::move(*text);
    return;
  }
  const Value entry = settings["chat_template"];
  if (const auto text = entry.text()) {
    chat_template_ = *text;
    return;
  }
  for (Value one = entry.first(); one; one = one.next()) {
    if (one["name"].text() == "default") chat_template_ = one["template"].text().value_or("");
  }
}

/// Lays the tokens out as a GGUF file would.
void CheckpointTokenizer::finish() {
  types_.reserve(tokens_.size());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const Token& token = tokens_[i];
    types_.push_back(static_cast<uint8_t>(token.type));
    if (token.type == TokenType::kUnused) {
      append_string(token_strings_, "[PAD" + std::to_string(i) + "]");
    } else {
      append_string(token_strings_, std::string_view(texts_).substr(token.text, token.bytes));
    }
  }
}

std::optional<Vocabulary> CheckpointTokenizer::vocabulary() const {
  if (tokens_.empty()) return std::nullopt;
  Vocabulary vocabulary = ends_;
  vocabulary.tokens = GgufStrings(tokens_.size(), reinterpret_cast<const std::byte*>(token_strings_.data()));
  vocabulary.merges = GgufStrings(merges_, reinterpret_cast<const std::byte*>(merge_strings_.data()));
  vocabulary.types =
      GgufNumbers(GgufType::Uint8, types_.size(), reinterpret_cast<const std::byte*>(types_.data()));
  vocabulary.pre_tokenizer = pre_tokenizer_;
  return vocabulary;
}

}  // namespace inlay

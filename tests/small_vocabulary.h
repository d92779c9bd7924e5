#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/tokenizer.h"
#include "runtime/utf8.h"
#include "runtime/vocabulary.h"

namespace inlay::test {

/// A vocabulary made in a test: the 256 bytes, in order, and whatever is added.
class SmallVocabulary {
 public:
  SmallVocabulary() {
    for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)), TokenType::kNormal);
  }

  uint32_t add(const std::string& bytes, TokenType type) {
    const std::string text = type == TokenType::kNormal ? encoded(bytes) : bytes;
    return add_stored(text, static_cast<int32_t>(type), bytes);
  }
  /// A token as it stands in the file, right or wrong.
  uint32_t add_stored(const std::string& text, int32_t type, const std::string& bytes = "") {
    put(tokens_, text);
    types_.push_back(type);
    const auto token = static_cast<uint32_t>(types_.size() - 1);
    ids_.emplace(bytes, token);
    return token;
  }
  void set_type(uint32_t token, int32_t type) { types_[token] = type; }
  /// A merge, and the token that it makes; false where it is there already.
  bool merge(const std::string& left, const std::string& right) {
    if (!ranks_.emplace(std::pair(left, right), merge_count_).second) return false;
    if (!ids_.contains(left + right)) add(left + right, TokenType::kNormal);
    add_stored_merge(encoded(left) + " " + encoded(right));
    return true;
  }
  void add_stored_merge(const std::string& text) {
    put(merges_, text);
    ++merge_count_;
  }

  /// Adds merges of the most frequent pair of neighbours inside a word of the text, `count` times.
  void train(std::string_view text, size_t count) {
    std::vector<std::string> symbols;
    for (const char byte : text) symbols.emplace_back(1, byte);
    while (count-- != 0) {
      std::map<std::pair<std::string, std::string>, size_t> pairs;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        if (symbols[i + 1].front() != ' ') ++pairs[{symbols[i], symbols[i + 1]}];
      }
      auto best = pairs.begin();
      for (auto pair = pairs.begin(); pair != pairs.end(); ++pair) {
        if (pair->second > best->second) best = pair;
      }
      if (best == pairs.end() || best->second < 2) return;
      const auto [left, right] = best->first;
      merge(left, right);
      apply(symbols, left, right);
    }
  }

  /// What merging gives by its definition: the best pair, the leftmost of equals, again and again.
  std::vector<int32_t> merged_by_definition(std::string_view word) const {
    std::vector<std::string> symbols;
    for (const char byte : word) symbols.emplace_back(1, byte);
    for (;;) {
      size_t best = symbols.size();
      uint64_t best_rank = UINT64_MAX;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto rank = ranks_.find({symbols[i], symbols[i + 1]});
        if (rank != ranks_.end() && rank->second < best_rank) {
          best = i;
          best_rank = rank->second;
        }
      }
      if (best == symbols.size()) break;
      symbols[best] += symbols[best + 1];
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    std::vector<int32_t> tokens;
    tokens.reserve(symbols.size());
    for (const std::string& symbol : symbols) tokens.push_back(static_cast<int32_t>(ids_.at(symbol)));
    return tokens;
  }

  /// Views of this object's memory.
  Vocabulary view() const {
    Vocabulary vocabulary;
    vocabulary.tokens = GgufStrings(types_.size(), reinterpret_cast<const std::byte*>(tokens_.data()));
    vocabulary.merges = GgufStrings(merge_count_, reinterpret_cast<const std::byte*>(merges_.data()));
    vocabulary.types =
        GgufNumbers(GgufType::Int32, types_.size(), reinterpret_cast<const std::byte*>(types_.data()));
    vocabulary.pre_tokenizer = "qwen35";
    return vocabulary;
  }

  /// Bytes in GPT-2's alphabet.
  static std::string encoded(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
      const auto byte = static_cast<uint8_t>(c);
      char32_t code_point = byte;
      if (byte < 0x21) code_point = 0x100u + byte;
      if (byte >= 0x7F && byte <= 0xA0) code_point = 0x121u + byte - 0x7Fu;
      if (byte == 0xAD) code_point = 0x143;
      char utf8[4];
      text.append(utf8, write_utf8(code_point, utf8));
    }
    return text;
  }

 private:
  static void put(std::string& strings, const std::string& text) {
    const uint64_t length = text.size();
    strings.append(reinterpret_cast<const char*>(&length), sizeof length);
    strings += text;
  }
  static void apply(std::vector<std::string>& symbols, const std::string& left, const std::string& right) {
    size_t kept = 0;
    for (size_t i = 0; i < symbols.size(); ++i, ++kept) {
      const bool pair = i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right;
      symbols[kept] = pair ? left + right : symbols[i];
      i += pair;
    }
    symbols.resize(kept);
  }

  std::string tokens_, merges_;
  std::vector<int32_t> types_;
  uint64_t merge_count_ = 0;
  std::map<std::string, uint32_t> ids_;
  std::map<std::pair<std::string, std::string>, uint64_t> ranks_;
};

/// A tokenizer with memory of its own, and calls that return what they write.
class OwnedTokenizer {
 public:
  explicit OwnedTokenizer(const Vocabulary& vocabulary)
      : counts_(Tokenizer::count(vocabulary)),
        block_(Tokenizer::bytes(counts_)),
        tokenizer_(vocabulary, counts_, block_.span()) {}

  const Tokenizer& operator*() const { return tokenizer_; }
  const Tokenizer* operator->() const { return &tokenizer_; }

  std::vector<int32_t> encode(std::string_view text, bool parse_special = false) const {
    std::vector<int32_t> tokens(text.size() * 3);  // normalisation at most triples a text
    tokens.resize(tokenizer_.encode(text, parse_special, tokens, std::pmr::new_delete_resource()));
    return tokens;
  }
  std::string decode(std::span<const int32_t> tokens, bool show_special = true) const {
    std::string text(tokenizer_.decode(tokens, show_special, {}), '\0');
    tokenizer_.decode(tokens, show_special, text);
    return text;
  }

 private:
  class Block {
   public:
    explicit Block(uint64_t size)
        : size_(size), data_(static_cast<std::byte*>(::operator new (size, std::align_val_t{kCacheLine}))) {}
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    ~Block() { ::operator delete (data_, std::align_val_t{kCacheLine}); }
    std::span<std::byte> span() const { return {data_, size_}; }

   private:
    uint64_t size_;
    std::byte* data_;
  };

  Tokenizer::Counts counts_;
  Block block_;
  Tokenizer tokenizer_;
};

}  // namespace inlay::test

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

namespace inlay {

class Tokenizer;

/// A vocabulary's tokens by their bytes, as a tree in one array: a node is followed by what is below it.
/// Tokens that are no text (control tokens, unused ones) are left out, as is all but the first of tokens with
/// the same bytes. About 30 bytes a token, and twice that while it is made; immutable.
///
/// Most of a vocabulary is plain: whole characters that stand in a JSON string as they are. What is plain up
/// to some number of characters is there as a mask, and each node says whether all below it is, so that where
/// any plain text may come only the rest of the tree has to be walked.
class VocabularyTrie {
 public:
  struct Node {
    uint32_t skip;  // the next node that is not below this one
    int32_t token;  // that ends here; -1 where none does
    uint8_t byte;
    uint8_t depth;       // from 0
    uint8_t characters;  // of the longest token here and below; kNotPlain where one is not plain
  };                     // siblings come with the most characters first
  static constexpr size_t kLongest = 255;  // bytes; longer tokens are left out
  static constexpr uint8_t kNotPlain = 255;
  static constexpr uint8_t kAnyLength = 254;  // characters
  static constexpr uint8_t kMostCut = 24;

  /// Takes about 0.13 s for 250,000 tokens.
  VocabularyTrie(const Tokenizer& tokenizer, std::pmr::memory_resource* memory);

  const Node* nodes() const { return nodes_.data(); }
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }
  /// Whether this is a token of the tree.
  bool has(int32_t token) const { return (tokens_[token / 32] >> (token % 32) & 1) != 0; }

  /// The tokens that are plain and have at most `characters`, [(vocabulary + 31) / 32] words: 1 to kMostCut,
  /// or any length.
  std::span<const uint32_t> plain(uint8_t characters) const {
    return std::span(plain_).subspan(std::min(characters - 1u, uint32_t{kMostCut}) * words_, words_);
  }

  /// The characters of a plain text; kNotPlain where it is none, or has more than kAnyLength.
  static uint8_t plain_characters(std::string_view text);

 private:
  void add_tokens(const Tokenizer& tokenizer, std::span<const int32_t> tokens);
  void sort_siblings();
  void mark_plain(const Tokenizer& tokenizer, std::span<const int32_t> tokens);

  std::pmr::vector<Node> nodes_;
  std::pmr::vector<uint32_t> tokens_;
  std::pmr::vector<uint32_t> plain_;  // [kMostCut + 1][words]
  size_t words_ = 0;
};

}  // namespace inlay

#pragma once

#include <cstdint>
#include <memory_resource>
#include <vector>

namespace inlay {

class Tokenizer;

/// A vocabulary's tokens by their bytes, as a tree in one array: a node is followed by what is below it.
/// Tokens that are no text (control tokens, unused ones) are left out, as is all but the first of tokens with
/// the same bytes. About 46 bytes a token; immutable.
class VocabularyTrie {
 public:
  struct Node {
    uint32_t skip;  // the next node that is not below this one
    int32_t token;  // that ends here; -1 where none does
    uint8_t byte;
    uint8_t depth;  // from 0
  };
  static constexpr size_t kLongest = 255;  // bytes; longer tokens are left out

  /// Takes about 0.13 s for 250,000 tokens.
  VocabularyTrie(const Tokenizer& tokenizer, std::pmr::memory_resource* memory);

  const Node* nodes() const { return nodes_.data(); }
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }

 private:
  std::pmr::vector<Node> nodes_;
};

}  // namespace inlay

#include "runtime/vocabulary_trie.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "runtime/tokenizer.h"

namespace inlay {

VocabularyTrie::VocabularyTrie(const Tokenizer& tokenizer, std::pmr::memory_resource* memory)
    : nodes_(memory) {
  std::pmr::vector<int32_t> tokens(memory);
  tokens.reserve(tokenizer.size());
  for (uint32_t i = 0; i < tokenizer.size(); ++i) {
    const auto token = static_cast<int32_t>(i);
    const TokenType type = tokenizer.type(token);
    const bool is_text =
        type == TokenType::kNormal || type == TokenType::kUserDefined || type == TokenType::kByte;
    const size_t bytes = tokenizer.token_bytes(token).size();
    if (is_text && bytes > 0 && bytes <= kLongest && !tokenizer.is_end_of_generation(token)) {
      tokens.push_back(token);
    }
  }
  std::sort(tokens.begin(), tokens.end(), [&](int32_t a, int32_t b) {
    const int order = tokenizer.token_bytes(a).compare(tokenizer.token_bytes(b));
    return order != 0 ? order < 0 : a < b;
  });
  size_t count = 0;
  std::string_view previous;
  const auto common = [&](std::string_view text) {
    const auto differ = std::mismatch(text.begin(), text.end(), previous.begin(), previous.end());
    return static_cast<size_t>(differ.first - text.begin());
  };
  for (const int32_t token : tokens) {
    const std::string_view text = tokenizer.token_bytes(token);
    count += text.size() - common(text);
    previous = text;
  }
  nodes_.reserve(count);
  previous = {};
  std::array<uint32_t, kLongest + 1> open{};  // by depth, the node on the way to the last token
  const auto close = [&](size_t depth) {
    for (size_t d = depth; d < previous.size(); ++d) nodes_[open[d]].skip = size();
  };
  for (const int32_t token : tokens) {
    const std::string_view text = tokenizer.token_bytes(token);
    const size_t shared = common(text);
    close(shared);
    for (size_t d = shared; d < text.size(); ++d) {
      open[d] = size();
      nodes_.push_back({0, -1, static_cast<uint8_t>(text[d]), static_cast<uint8_t>(d)});
    }
    Node& last = nodes_[open[text.size() - 1]];
    if (last.token < 0) last.token = token;
    previous = text;
  }
  close(0);
}

}  // namespace inlay

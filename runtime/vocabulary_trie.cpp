#include "runtime/vocabulary_trie.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "runtime/tokenizer.h"

namespace inlay {
namespace {

/// Bytes of the character at the front, if it is whole and plain; 0 else. See table 3-7 of the Unicode
/// standard.
size_t plain_character(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
  const auto follows = [&](size_t i, uint32_t low = 0x80, uint32_t high = 0xBF) {
    return byte(i) >= low && byte(i) <= high;
  };
  const uint32_t first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != '"' && first != '\\' ? 1 : 0;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool second = follows(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool second = follows(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

uint8_t VocabularyTrie::plain_characters(std::string_view text) {
  uint32_t count = 0;
  while (!text.empty()) {
    const size_t bytes = plain_character(text);
    if (bytes == 0 || ++count > kAnyLength) return kNotPlain;
    text.remove_prefix(bytes);
  }
  return static_cast<uint8_t>(count);
}

VocabularyTrie::VocabularyTrie(const Tokenizer& tokenizer, std::pmr::memory_resource* memory)
    : nodes_(memory), tokens_(memory), plain_(memory), words_((tokenizer.size() + 31) / 32) {
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
  const auto last = std::unique(tokens.begin(), tokens.end(), [&](int32_t a, int32_t b) {
    return tokenizer.token_bytes(a) == tokenizer.token_bytes(b);
  });
  tokens.erase(last, tokens.end());
  add_tokens(tokenizer, tokens);
  sort_siblings();
  mark_plain(tokenizer, tokens);
}

/// Tokens in the order of their bytes.
void VocabularyTrie::add_tokens(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
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
    const uint8_t characters = plain_characters(text);
    close(shared);
    for (size_t d = shared; d < text.size(); ++d) {
      open[d] = size();
      nodes_.push_back({0, -1, static_cast<uint8_t>(text[d]), static_cast<uint8_t>(d), 0});
    }
    for (size_t d = 0; d < text.size(); ++d) {
      uint8_t& most = nodes_[open[d]].characters;
      most = std::max(most, characters);
    }
    nodes_[open[text.size() - 1]].token = token;
    previous = text;
  }
  close(0);
}

void VocabularyTrie::sort_siblings() {
  std::pmr::vector<Node> sorted(nodes_.get_allocator());
  sorted.reserve(nodes_.size());
  std::pmr::vector<uint32_t> waiting(nodes_.get_allocator());  // the next to come last
  const auto wait_for = [&](uint32_t begin, uint32_t end) {
    const auto first = static_cast<std::ptrdiff_t>(waiting.size());
    for (uint32_t i = begin; i < end; i = nodes_[i].skip) waiting.push_back(i);
    std::reverse(waiting.begin() + first, waiting.end());
    std::stable_sort(waiting.begin() + first, waiting.end(),
                     [&](uint32_t a, uint32_t b) { return nodes_[a].characters < nodes_[b].characters; });
  };
  wait_for(0, size());
  while (!waiting.empty()) {
    const uint32_t at = waiting.back();
    waiting.pop_back();
    const uint32_t end = nodes_[at].skip;
    sorted.push_back(nodes_[at]);
    sorted.back().skip = static_cast<uint32_t>(sorted.size()) + end - at - 1;
    wait_for(at + 1, end);
  }
  nodes_.swap(sorted);
}

void VocabularyTrie::mark_plain(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  tokens_.resize(words_);
  plain_.resize((kMostCut + size_t{1}) * words_);
  for (const int32_t token : tokens) {
    const auto word = static_cast<size_t>(token) / 32;
    const uint32_t bit = 1u << (token % 32);
    tokens_[word] |= bit;
    const uint8_t characters = plain_characters(tokenizer.token_bytes(token));
    if (characters == kNotPlain) continue;
    for (size_t cut = std::min<size_t>(characters - size_t{1}, kMostCut); cut <= kMostCut; ++cut) {
      plain_[cut * words_ + word] |= bit;
    }
  }
}

}  // namespace inlay

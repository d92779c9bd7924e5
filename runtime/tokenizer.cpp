#include "runtime/tokenizer.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "runtime/error.h"
#include "runtime/nfc.h"
#include "runtime/token_hash.h"

namespace inlay {
namespace {

// Words up to this length are merged on the stack, by looking for the best pair again after each merge.
constexpr size_t kShortWord = 128;

constexpr uint32_t kNoRank = UINT32_MAX;

void check_length(std::string_view text) {
  if (text.size() <= INT32_MAX) return;
  throw Error(INLAY_ERROR_INVALID_ARGUMENT,
              "text: " + std::to_string(text.size()) + " bytes, expected fewer than 2^31");
}

}  // namespace

/// The caller's buffer, and the count of what would be in it were it long enough.
class Tokenizer::Output {
 public:
  explicit Output(std::span<int32_t> tokens) : tokens_(tokens) {}

  void add(uint32_t token) {
    if (count_ < tokens_.size()) tokens_[count_] = static_cast<int32_t>(token);
    ++count_;
  }
  size_t count() const { return count_; }

 private:
  std::span<int32_t> tokens_;
  size_t count_ = 0;
};

size_t Tokenizer::encode(std::string_view text, bool parse_special, std::span<int32_t> out,
                         std::pmr::memory_resource* scratch) const {
  check_length(text);
  Output output(out);
  const uint8_t wanted = kUserDefinedBit | (parse_special ? kControlBit : 0);
  size_t plain = 0;  // where the text since the last special token begins
  for (size_t at = 0; at < text.size();) {
    int32_t special = -1;
    if (special_openers_[static_cast<uint8_t>(text[at])] & wanted) {
      special = match_special(text.substr(at), parse_special);
    }
    if (special < 0) {
      ++at;
      continue;
    }
    encode_text(text.substr(plain, at - plain), output, scratch);
    output.add(static_cast<uint32_t>(special));
    plain = at += token_bytes(special).size();
  }
  encode_text(text.substr(plain), output, scratch);
  return output.count();
}

size_t Tokenizer::encode(std::string_view text, std::span<const Range> special, std::span<int32_t> out,
                         std::pmr::memory_resource* scratch) const {
  check_length(text);
  Output output(out);
  size_t plain = 0;  // where the text since the last special token begins
  for (const Range& range : special) {
    for (size_t at = range.begin; at < range.end;) {
      int32_t found = -1;
      if (special_openers_[static_cast<uint8_t>(text[at])] != 0) {
        found = match_special(text.substr(at, range.end - at), true);
      }
      if (found < 0) {
        ++at;
        continue;
      }
      encode_text(text.substr(plain, at - plain), output, scratch);
      output.add(static_cast<uint32_t>(found));
      plain = at += token_bytes(found).size();
    }
  }
  encode_text(text.substr(plain), output, scratch);
  return output.count();
}

/// The longest special token that the text begins with; -1 where there is none.
int32_t Tokenizer::match_special(std::string_view text, bool parse_special) const {
  // Names are sorted, so those that share the first i bytes with the text are a range that narrows with i.
  const uint32_t* first = specials_;
  const uint32_t* last = specials_ + counts_.specials;
  int32_t longest = -1;
  for (size_t i = 0; i < text.size() && first != last; ++i) {
    const auto next_byte = static_cast<uint8_t>(text[i]);
    const auto byte_at = [&](uint32_t token) {
      const std::string_view name = token_bytes(static_cast<int32_t>(token));
      return i < name.size() ? static_cast<uint8_t>(name[i]) : -1;
    };
    first = std::partition_point(first, last, [&](uint32_t token) { return byte_at(token) < next_byte; });
    last = std::partition_point(first, last, [&](uint32_t token) { return byte_at(token) == next_byte; });
    // The shorter come first: a name that ends here can only stand at the front of the range.
    for (const uint32_t* token = first; token != last; ++token) {
      const auto id = static_cast<int32_t>(*token);
      if (token_bytes(id).size() != i + 1) break;
      if (parse_special || !is_control(id)) {
        longest = id;
        break;
      }
    }
  }
  return longest;
}

void Tokenizer::encode_text(std::string_view text, Output& out, std::pmr::memory_resource* scratch) const {
  std::pmr::string storage(scratch);
  const std::string_view normal = normalize_nfc(text, storage);
  for (size_t at = 0; at < normal.size();) {
    const size_t end = next_piece(pre_tokenizer_, normal, at);
    const std::string_view word = normal.substr(at, end - at);
    if (word.size() <= kShortWord) {
      merge_short_word(word, out);
    } else {
      merge_long_word(word, out, scratch);
    }
    at = end;
  }
}

const Tokenizer::Merge* Tokenizer::find_merge(uint32_t left, uint32_t right) const {
  uint32_t slot = first_slot(hash_of(left, right), merge_slot_count_);
  while (merge_slots_[slot].left != kNone) {
    const Merge& merge = merge_slots_[slot];
    if (merge.left == left && merge.right == right) return &merge;
    slot = next_slot(slot, merge_slot_count_);
  }
  return nullptr;
}

/// Merges the pair of lowest rank, the leftmost among equals, until no pair of neighbours is in the table.
void Tokenizer::merge_short_word(std::string_view word, Output& out) const {
  uint32_t tokens[kShortWord];
  const Merge* merges[kShortWord];  // [i] of tokens i and i + 1
  size_t count = word.size();
  for (size_t i = 0; i < count; ++i) tokens[i] = byte_tokens_[static_cast<uint8_t>(word[i])];
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = find_merge(tokens[i], tokens[i + 1]);
  for (;;) {
    size_t best = count;
    uint32_t best_rank = kNoRank;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (merges[i] != nullptr && merges[i]->rank < best_rank) {
        best_rank = merges[i]->rank;
        best = i;
      }
    }
    if (best == count) break;
    tokens[best] = merges[best]->merged;
    std::copy(tokens + best + 2, tokens + count, tokens + best + 1);
    if (best + 2 < count) std::copy(merges + best + 2, merges + count - 1, merges + best + 1);
    --count;
    if (best > 0) merges[best - 1] = find_merge(tokens[best - 1], tokens[best]);
    if (best + 1 < count) merges[best] = find_merge(tokens[best], tokens[best + 1]);
  }
  for (size_t i = 0; i < count; ++i) out.add(tokens[i]);
}

/// The same with a heap of the pairs, in O(n log n).
void Tokenizer::merge_long_word(std::string_view word, Output& out,
                                std::pmr::memory_resource* scratch) const {
  struct Node {
    uint32_t token;
    uint32_t next;  // index of the neighbour; the size where there is none
    uint32_t previous;
    uint32_t rank;  // of the merge with the next, kNoRank where there is none
  };
  const auto size = static_cast<uint32_t>(word.size());
  std::pmr::vector<Node> nodes(size, scratch);
  // Rank above, place below: the order in which pairs merge. Entries that a merge outdates stay until they
  // come up; the node then tells another rank.
  std::pmr::vector<uint64_t> heap(scratch);
  heap.reserve(size);
  const auto rank_of = [this](uint32_t left, uint32_t right) {
    const Merge* const merge = find_merge(left, right);
    return merge == nullptr ? kNoRank : merge->rank;
  };
  const auto entry = [](uint32_t rank, uint32_t place) { return uint64_t{rank} << 32 | place; };
  for (uint32_t i = 0; i < size; ++i) {
    nodes[i] = {byte_tokens_[static_cast<uint8_t>(word[i])], i + 1, i == 0 ? size : i - 1, kNoRank};
  }
  for (uint32_t i = 0; i + 1 < size; ++i) {
    nodes[i].rank = rank_of(nodes[i].token, nodes[i + 1].token);
    if (nodes[i].rank != kNoRank) heap.push_back(entry(nodes[i].rank, i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto update = [&](uint32_t i) {
    Node& node = nodes[i];
    node.rank = node.next == size ? kNoRank : rank_of(node.token, nodes[node.next].token);
    if (node.rank == kNoRank) return;
    heap.push_back(entry(node.rank, i));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto place = static_cast<uint32_t>(heap.back());
    const auto rank = static_cast<uint32_t>(heap.back() >> 32);
    heap.pop_back();
    Node& node = nodes[place];
    if (node.rank != rank) continue;
    Node& gone = nodes[node.next];
    node.token = find_merge(node.token, gone.token)->merged;
    node.next = gone.next;
    if (node.next != size) nodes[node.next].previous = place;
    gone.rank = kNoRank;
    update(place);
    if (node.previous != size) update(node.previous);
  }
  for (uint32_t i = 0; i != size; i = nodes[i].next) out.add(nodes[i].token);
}

size_t Tokenizer::decode(std::span<const int32_t> tokens, bool show_special, std::span<char> out) const {
  size_t size = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!contains(tokens[i])) {
      throw Error(INLAY_ERROR_INVALID_ARGUMENT,
                  "tokens[" + std::to_string(i) + "]: " + std::to_string(tokens[i]) +
                      " is outside the vocabulary of " + std::to_string(this->size()));
    }
    const std::string_view bytes = visible_bytes(tokens[i], show_special);
    if (size < out.size()) bytes.copy(out.data() + size, out.size() - size);
    size += bytes.size();
  }
  return size;
}

int32_t Tokenizer::find(std::string_view bytes) const {
  uint32_t slot = first_slot(hash_of(bytes), token_slot_count_);
  for (; token_slots_[slot] != kNone; slot = next_slot(slot, token_slot_count_)) {
    const auto token = static_cast<int32_t>(token_slots_[slot]);
    if (token_bytes(token) == bytes) return token;
  }
  return -1;
}

std::string_view Tokenizer::chat_bytes(int32_t token) const {
  const std::string_view bytes = token_bytes(token);
  if (!is_hidden(token)) return bytes;
  for (const std::string_view tag : {"<think>", "</think>", "<tool_call>", "</tool_call>"}) {
    if (bytes == tag) return bytes;
  }
  return {};
}

bool Tokenizer::is_end_of_generation(int32_t token) const {
  return token >= 0 && std::find(ends_.begin(), ends_.end(), token) != ends_.end();
}

}  // namespace inlay

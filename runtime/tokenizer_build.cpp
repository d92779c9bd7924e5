#include <algorithm>
#include <string>

#include "runtime/byte_alphabet.h"
#include "runtime/error.h"
#include "runtime/token_hash.h"
#include "runtime/tokenizer.h"

namespace inlay {
namespace {

[[noreturn]] void corrupt(const std::string& message) { throw Error(INLAY_ERROR_CORRUPT_FILE, message); }

TokenType type_of(const Vocabulary& vocabulary, uint32_t token) {
  if (!vocabulary.types) return TokenType::kNormal;
  const int64_t type = vocabulary.types->integer(token);
  if (type < 1 || type > 6) {
    corrupt("tokenizer.ggml.token_type: token " + std::to_string(token) + " has type " +
            std::to_string(type) + ", expected 1 to 6");
  }
  return static_cast<TokenType>(type);
}

bool is_special(TokenType type) { return type == TokenType::kControl || type == TokenType::kUserDefined; }

/// Table slots for so many entries: at most two thirds get filled, so that searches end early.
uint32_t slots_for(uint32_t entries) {
  return static_cast<uint32_t>(std::min<uint64_t>(uint64_t{entries} * 3 / 2 + 1, UINT32_MAX));
}

/// Number of bytes that a token stands for.
uint64_t decoded_size(std::string_view text, TokenType type, uint32_t token) {
  if (type != TokenType::kNormal) return text.size();
  uint64_t size = 0;
  while (!text.empty()) {
    if (take_byte(text) < 0) {
      corrupt("tokenizer.ggml.tokens: token " + std::to_string(token) +
              " has a character that stands for no byte, expected GPT-2's byte alphabet");
    }
    ++size;
  }
  return size;
}

/// A merge's two halves, as they stand in the file.
struct Halves {
  std::string_view left, right;
};

Halves split_merge(std::string_view text, uint32_t rank) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == text.size()) {
    corrupt("tokenizer.ggml.merges: merge " + std::to_string(rank) + " is '" +
            std::string(text.substr(0, 64)) + "', expected two tokens with a space between");
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

void add_encoded(ByteHash& hash, std::string_view encoded, uint32_t rank) {
  while (!encoded.empty()) {
    const int byte = take_byte(encoded);
    if (byte < 0) {
      corrupt("tokenizer.ggml.merges: merge " + std::to_string(rank) +
              " has a character that stands for no byte, expected GPT-2's byte alphabet");
    }
    hash.add(static_cast<uint8_t>(byte));
  }
}

/// Takes `encoded` off the front of `bytes`; false where it does not stand there.
bool take_encoded(std::string_view& bytes, std::string_view encoded) {
  while (!encoded.empty()) {
    if (bytes.empty() || take_byte(encoded) != static_cast<uint8_t>(bytes.front())) return false;
    bytes.remove_prefix(1);
  }
  return true;
}

}  // namespace

Tokenizer::Counts Tokenizer::count(const Vocabulary& vocabulary) {
  if (!pre_tokenizer_of(vocabulary.pre_tokenizer)) {
    throw Error(INLAY_ERROR_UNSUPPORTED, "tokenizer.ggml.pre: the pre-tokenizer is '" +
                                             std::string(vocabulary.pre_tokenizer.substr(0, 64)) +
                                             "', expected 'qwen35' or 'qwen2'");
  }
  if (vocabulary.tokens.size() > INT32_MAX || vocabulary.merges.size() > INT32_MAX) {
    corrupt("tokenizer.ggml.tokens: " + std::to_string(vocabulary.tokens.size()) + " tokens and " +
            std::to_string(vocabulary.merges.size()) + " merges, expected fewer than 2^31 of each");
  }
  if (vocabulary.types && vocabulary.types->size() != vocabulary.tokens.size()) {
    corrupt("tokenizer.ggml.token_type: " + std::to_string(vocabulary.types->size()) +
            " types, expected one for each of the " + std::to_string(vocabulary.tokens.size()) + " tokens");
  }
  Counts counts;
  counts.merges = static_cast<uint32_t>(vocabulary.merges.size());
  uint64_t text_bytes = 0;
  for (const std::string_view text : vocabulary.tokens) {
    const TokenType type = type_of(vocabulary, counts.tokens);
    text_bytes += decoded_size(text, type, counts.tokens);
    counts.specials += is_special(type);
    ++counts.tokens;
  }
  if (text_bytes > UINT32_MAX) {
    corrupt("tokenizer.ggml.tokens: " + std::to_string(text_bytes) +
            " bytes of text, expected fewer than 2^32");
  }
  counts.text_bytes = static_cast<uint32_t>(text_bytes);
  return counts;
}

uint64_t Tokenizer::bytes(const Counts& counts) {
  Layout layout;
  return Tokenizer(counts).lay_out(layout);
}

uint64_t Tokenizer::lay_out(Layout& layout) {
  token_slot_count_ = slots_for(counts_.tokens);
  merge_slot_count_ = slots_for(counts_.merges);
  text_ = layout.take<char>(counts_.text_bytes);
  text_offsets_ = layout.take<uint32_t>(uint64_t{counts_.tokens} + 1);
  types_ = layout.take<TokenType>(counts_.tokens);
  specials_ = layout.take<uint32_t>(counts_.specials);
  token_slots_ = layout.take<uint32_t>(token_slot_count_);
  merge_slots_ = layout.take<Merge>(merge_slot_count_);
  return layout.bytes();
}

Tokenizer::Tokenizer(const Vocabulary& vocabulary, const Counts& counts, std::span<std::byte> memory)
    : Tokenizer(counts) {
  if (memory.size() < bytes(counts)) {
    throw Error(INLAY_ERROR_MEMORY_LIMIT, "tokenizer: " + std::to_string(memory.size()) +
                                              " bytes of memory, needs " + std::to_string(bytes(counts)));
  }
  Layout layout(memory.data(), memory.size());
  lay_out(layout);
  pre_tokenizer_ = *pre_tokenizer_of(vocabulary.pre_tokenizer);
  read_tokens(vocabulary);
  read_merges(vocabulary);
  read_ends(vocabulary);
}

void Tokenizer::read_tokens(const Vocabulary& vocabulary) {
  std::fill_n(token_slots_, token_slot_count_, kNone);
  byte_tokens_.fill(kNone);
  uint32_t offset = 0, token = 0, special = 0;
  for (std::string_view text : vocabulary.tokens) {
    const TokenType type = type_of(vocabulary, token);
    text_offsets_[token] = offset;
    types_[token] = type;
    if (type == TokenType::kNormal) {
      while (!text.empty()) text_[offset++] = static_cast<char>(take_byte(text));
    } else {
      offset += static_cast<uint32_t>(text.copy(text_ + offset, text.size()));
    }
    text_offsets_[token + 1] = offset;
    if (is_special(type)) specials_[special++] = token;
    note_token(token);
    add_token(token);
    ++token;
  }
  check_bytes();
  std::sort(specials_, specials_ + counts_.specials, [this](uint32_t a, uint32_t b) {
    const std::string_view left = token_bytes(static_cast<int32_t>(a)),
                           right = token_bytes(static_cast<int32_t>(b));
    return left != right ? left < right : a < b;
  });
}

/// What is kept beside the tables.
void Tokenizer::note_token(uint32_t token) {
  const std::string_view bytes = token_bytes(static_cast<int32_t>(token));
  const TokenType type = types_[token];
  longest_token_ = std::max(longest_token_, static_cast<uint32_t>(bytes.size()));
  if (is_special(type) && !bytes.empty()) {
    special_openers_[static_cast<uint8_t>(bytes[0])] |=
        type == TokenType::kControl ? kControlBit : kUserDefinedBit;
  }
  if (type == TokenType::kNormal && bytes.size() == 1) {
    uint32_t& byte_token = byte_tokens_[static_cast<uint8_t>(bytes[0])];
    byte_token = std::min(byte_token, token);
  }
}

void Tokenizer::check_bytes() const {
  for (size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
    if (byte_tokens_[byte] == kNone) {
      corrupt("the tokenizer's tokens: byte " + std::to_string(byte) +
              " has no token, expected one for each byte");
    }
  }
}

void Tokenizer::read_merges(const Vocabulary& vocabulary) {
  std::fill_n(merge_slots_, merge_slot_count_, Merge{kNone, kNone, kNone, kNone});
  const auto find = [this](uint64_t hash, std::string_view left, std::string_view right) {
    for (uint32_t slot = first_slot(hash, token_slot_count_);; slot = next_slot(slot, token_slot_count_)) {
      const uint32_t token = token_slots_[slot];
      if (token == kNone) return kNone;
      std::string_view bytes = token_bytes(static_cast<int32_t>(token));
      if (take_encoded(bytes, left) && take_encoded(bytes, right) && bytes.empty()) return token;
    }
  };
  uint32_t rank = 0;
  for (const std::string_view text : vocabulary.merges) {
    const Halves halves = split_merge(text, rank);
    ByteHash left_hash;
    add_encoded(left_hash, halves.left, rank);
    ByteHash right_hash, merged_hash = left_hash;
    add_encoded(right_hash, halves.right, rank);
    add_encoded(merged_hash, halves.right, rank);
    const Merge merge = {find(left_hash.value(), halves.left, {}), find(right_hash.value(), halves.right, {}),
                         rank, find(merged_hash.value(), halves.left, halves.right)};
    if (merge.left == kNone || merge.right == kNone || merge.merged == kNone) {
      corrupt("tokenizer.ggml.merges: merge " + std::to_string(rank) + ", '" +
              std::string(text.substr(0, 64)) + "', expected that both halves and what they give are tokens");
    }
    add_merge(merge);
    ++rank;
  }
}

Tokenizer::Tokenizer(const Vocabulary& vocabulary, const Counts& counts, const std::byte* tables,
                     uint64_t table_bytes)
    : Tokenizer(counts) {
  // A layout places what can be written; these tables are only read from here on.
  Layout layout(const_cast<std::byte*>(tables), table_bytes);
  if (counts.tokens > INT32_MAX || counts.merges > INT32_MAX || lay_out(layout) != table_bytes) {
    corrupt("the tokenizer's tables: " + std::to_string(table_bytes) +
            " bytes do not agree with their counts");
  }
  const std::optional<PreTokenizer> pre_tokenizer = pre_tokenizer_of(vocabulary.pre_tokenizer);
  if (!pre_tokenizer) corrupt("the tokenizer's pre-tokenizer is unknown");
  pre_tokenizer_ = *pre_tokenizer;
  check_tokens();
  check_slots();
  byte_tokens_.fill(kNone);
  for (uint32_t token = 0; token < counts_.tokens; ++token) note_token(token);
  check_bytes();
  read_ends(vocabulary);
}

void Tokenizer::check_tokens() const {
  bool good = text_offsets_[0] == 0 && text_offsets_[counts_.tokens] == counts_.text_bytes;
  for (uint32_t i = 0; i < counts_.tokens; ++i) {
    const auto type = static_cast<uint8_t>(types_[i]);
    good &= text_offsets_[i] <= text_offsets_[i + 1];
    good &= type >= 1 && type <= 6;
  }
  for (uint32_t i = 0; i < counts_.specials; ++i) good &= specials_[i] < counts_.tokens;
  if (!good) corrupt("the tokenizer's tables: a token lies outside the text, or is of no type");
}

/// Every entry is in range, and each table has an empty slot, at which a search ends.
void Tokenizer::check_slots() const {
  bool good = true;
  bool empty_token = false;
  bool empty_merge = false;
  for (uint32_t i = 0; i < token_slot_count_; ++i) {
    good &= token_slots_[i] < counts_.tokens || token_slots_[i] == kNone;
    empty_token |= token_slots_[i] == kNone;
  }
  for (uint32_t i = 0; i < merge_slot_count_; ++i) {
    const Merge& merge = merge_slots_[i];
    good &= merge.merged < counts_.tokens || merge.left == kNone;
    empty_merge |= merge.left == kNone;
  }
  if (!good || !empty_token || !empty_merge) corrupt("the tokenizer's tables: a slot holds what is no token");
}

void Tokenizer::read_ends(const Vocabulary& vocabulary) {
  const auto checked = [this](int32_t token, const char* name) {
    if (token != -1 && !contains(token)) {
      corrupt(std::string("tokenizer: the ") + name + " token " + std::to_string(token) +
              " is outside the vocabulary of " + std::to_string(size()));
    }
    return token;
  };
  end_of_text_ = checked(vocabulary.end_of_text, "end-of-text");
  end_of_turn_ = checked(vocabulary.end_of_turn, "end-of-turn");
  begin_of_text_ = checked(vocabulary.begin_of_text, "begin-of-text");
  padding_ = checked(vocabulary.padding, "padding");
  add_begin_of_text_ = vocabulary.add_begin_of_text && begin_of_text_ >= 0;
  const auto control = [this](std::string_view name) {
    const int32_t token = find(name);
    return token >= 0 && is_control(token) ? token : -1;
  };
  ends_ = {end_of_text_, end_of_turn_, control("<|im_end|>"), control("<|endoftext|>")};
}

void Tokenizer::add_token(uint32_t token) {
  const std::string_view bytes = token_bytes(static_cast<int32_t>(token));
  uint32_t slot = first_slot(hash_of(bytes), token_slot_count_);
  while (token_slots_[slot] != kNone) {
    if (token_bytes(static_cast<int32_t>(token_slots_[slot])) == bytes) return;
    slot = next_slot(slot, token_slot_count_);
  }
  token_slots_[slot] = token;
}

void Tokenizer::add_merge(const Merge& merge) {
  uint32_t slot = first_slot(hash_of(merge.left, merge.right), merge_slot_count_);
  while (merge_slots_[slot].left != kNone) {
    if (merge_slots_[slot].left == merge.left && merge_slots_[slot].right == merge.right) return;
    slot = next_slot(slot, merge_slot_count_);
  }
  merge_slots_[slot] = merge;
}

}  // namespace inlay

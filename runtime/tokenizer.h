#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>

#include "runtime/layout.h"
#include "runtime/pretokenizer.h"
#include "runtime/vocabulary.h"

namespace inlay {

/// Byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909, over bytes as in GPT-2) with a pre-tokenizer of
/// the Qwen family. All of it lies in one block of memory that the owner hands over, and nothing refers to
/// the vocabulary after the build. Immutable: any thread, any number at once.
class Tokenizer {
 public:
  /// What the size of the block depends on; known from a file's header.
  struct Counts {
    uint32_t tokens = 0;
    uint32_t specials = 0;  // control and user-defined tokens
    uint32_t merges = 0;
    uint32_t text_bytes = 0;  // of all tokens, after decoding
  };

  /// Checks the vocabulary's tokens and counts. Throws INLAY_ERROR_CORRUPT_FILE and INLAY_ERROR_UNSUPPORTED.
  static Counts count(const Vocabulary& vocabulary);
  /// Bytes of memory that a tokenizer with these counts takes.
  static uint64_t bytes(const Counts& counts);

  /// Builds into `memory`, aligned to 64 bytes, which stays the owner's and has to outlive the tokenizer.
  /// Takes about 60 ms for 250,000 tokens and as many merges. Throws INLAY_ERROR_CORRUPT_FILE where the
  /// vocabulary contradicts itself, INLAY_ERROR_MEMORY_LIMIT where `memory` is too small.
  Tokenizer(const Vocabulary& vocabulary, const Counts& counts, std::span<std::byte> memory);

  /// Takes tables that a tokenizer of the same counts was built into, aligned to 4 bytes; they are only read,
  /// and have to outlive the tokenizer. Of `vocabulary` only the pre-tokenizer and the single tokens are
  /// used. Checks everything that a later call relies on, in about a millisecond for 250,000 tokens. Throws
  /// INLAY_ERROR_CORRUPT_FILE.
  Tokenizer(const Vocabulary& vocabulary, const Counts& counts, const std::byte* tables,
            uint64_t table_bytes);

  /// The layout and the meaning of the tables, which packages keep: it changes whenever one of them does.
  static constexpr uint32_t kTablesVersion = 1;

  uint32_t size() const { return counts_.tokens; }
  /// Bytes of the longest token.
  uint32_t longest_token() const { return longest_token_; }
  bool contains(int32_t token) const { return token >= 0 && static_cast<uint32_t>(token) < counts_.tokens; }

  /// Writes the text's tokens to the front of `out`, as many as it holds, and returns how many there are.
  /// The text is normalised to NFC first. Bytes that are not UTF-8 are kept: they count as symbols and become
  /// the tokens of their bytes. User-defined tokens ("<think>") are found in any text, as in the published
  /// tokenizers; control tokens ("<|im_end|>") only with `parse_special`, without it they stay text. Where
  /// several begin at one place the longest is taken; normalisation and merging stop at special tokens.
  ///
  /// `scratch` is used, and given back, where text is not in NFC and for words of more than 128 bytes; it may
  /// throw std::bad_alloc. O(n log n) for any text; throws INLAY_ERROR_INVALID_ARGUMENT from 2 GiB on.
  size_t encode(std::string_view text, bool parse_special, std::span<int32_t> out,
                std::pmr::memory_resource* scratch) const;

  /// A stretch of a text, in bytes.
  struct Range {
    size_t begin = 0;
    size_t end = 0;
  };
  /// The same where special tokens of every kind are found in these stretches of the text, which are in order
  /// and apart from each other, and nowhere else: what lies between is text, whatever it looks like.
  size_t encode(std::string_view text, std::span<const Range> special, std::span<int32_t> out,
                std::pmr::memory_resource* scratch) const;

  /// Writes the tokens' bytes to the front of `out`, as many as it holds, and returns how many there are.
  /// They are exactly what the tokens stand for, and so need not be UTF-8: TextStream mends that. Throws
  /// INLAY_ERROR_INVALID_ARGUMENT for a token outside the vocabulary. Allocates nothing.
  size_t decode(std::span<const int32_t> tokens, bool show_special, std::span<char> out) const;

  /// The bytes that the token stands for; of a special token, its name. contains(token) has to hold.
  std::string_view token_bytes(int32_t token) const {
    return {text_ + text_offsets_[token], text_offsets_[token + 1] - text_offsets_[token]};
  }
  /// What a reader of the text sees of the token: nothing of a control, unknown or unused one, unless shown.
  std::string_view visible_bytes(int32_t token, bool show_special) const {
    return show_special || !is_hidden(token) ? token_bytes(token) : std::string_view();
  }

  /// What a chat's parser sees of the token: as visible_bytes, and the tags of the format in any case, which
  /// some files have as control tokens.
  std::string_view chat_bytes(int32_t token) const;

  /// The token whose bytes, or special name, these are; -1 where there is none. Constant time.
  int32_t find(std::string_view bytes) const;

  TokenType type(int32_t token) const { return types_[token]; }
  bool is_control(int32_t token) const { return types_[token] == TokenType::kControl; }
  /// Whether text ends at this token: the file's end of text or of turn, <|im_end|> or <|endoftext|>.
  bool is_end_of_generation(int32_t token) const;

  /// The tokens at which text ends; -1 where there are fewer.
  std::span<const int32_t> ends() const { return ends_; }

  /// Each of these -1 where the file names none.
  int32_t end_of_text() const { return end_of_text_; }
  int32_t end_of_turn() const { return end_of_turn_; }
  int32_t begin_of_text() const { return begin_of_text_; }
  int32_t padding() const { return padding_; }
  bool add_begin_of_text() const { return add_begin_of_text_; }

 private:
  /// Two tokens that may become one. The table is open-addressed by (left, right).
  struct Merge {
    uint32_t left;  // kNone where the slot is empty
    uint32_t right;
    uint32_t rank;  // the lower goes first
    uint32_t merged;
  };
  class Output;

  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint8_t kControlBit = 1;
  static constexpr uint8_t kUserDefinedBit = 2;

  explicit Tokenizer(const Counts& counts) : counts_(counts) {}

  uint64_t lay_out(Layout& layout);
  void read_tokens(const Vocabulary& vocabulary);
  void read_merges(const Vocabulary& vocabulary);
  void read_ends(const Vocabulary& vocabulary);
  void check_tokens() const;
  void check_slots() const;
  void check_bytes() const;
  void note_token(uint32_t token);
  void add_token(uint32_t token);
  void add_merge(const Merge& merge);
  const Merge* find_merge(uint32_t left, uint32_t right) const;
  bool is_hidden(int32_t token) const {
    const TokenType type = types_[token];
    return type == TokenType::kControl || type == TokenType::kUnknown || type == TokenType::kUnused;
  }

  int32_t match_special(std::string_view text, bool parse_special) const;
  void encode_text(std::string_view text, Output& out, std::pmr::memory_resource* scratch) const;
  void merge_short_word(std::string_view word, Output& out) const;
  void merge_long_word(std::string_view word, Output& out, std::pmr::memory_resource* scratch) const;

  Counts counts_;
  PreTokenizer pre_tokenizer_ = PreTokenizer::kQwen35;
  // In the block of memory:
  char* text_ = nullptr;              // [text_bytes] the tokens' bytes, one after the other
  uint32_t* text_offsets_ = nullptr;  // [tokens + 1]
  TokenType* types_ = nullptr;        // [tokens]
  uint32_t* specials_ = nullptr;      // [specials] ordered by their names' bytes
  uint32_t* token_slots_ = nullptr;   // [token_slot_count_] tokens by the hash of their bytes
  Merge* merge_slots_ = nullptr;      // [merge_slot_count_]

  uint32_t token_slot_count_ = 0;
  uint32_t merge_slot_count_ = 0;
  uint32_t longest_token_ = 0;
  std::array<uint32_t, 256> byte_tokens_;       // the token of each byte
  std::array<uint8_t, 256> special_openers_{};  // by first byte, which kinds of special token begin so
  std::array<int32_t, 4> ends_{-1, -1, -1, -1};
  int32_t end_of_text_ = -1;
  int32_t end_of_turn_ = -1;
  int32_t begin_of_text_ = -1;
  int32_t padding_ = -1;
  bool add_begin_of_text_ = false;
};

}  // namespace inlay

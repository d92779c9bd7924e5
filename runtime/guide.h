#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "inlay/inlay.h"
#include "runtime/chat_stream.h"
#include "runtime/layout.h"
#include "runtime/repetition_guard.h"
#include "runtime/stop_strings.h"
#include "runtime/text_stream.h"

namespace inlay {

class GrammarMatcher;
class GrammarObject;
class Tokenizer;

/// What an answer has to keep to, beside what the model likes.
struct GuideWish {
  bool chat = false;           // the text is a chat's answer: reasoning, answer, calls
  bool thinks = false;         // it begins inside a thought
  bool calls_anywhere = true;  // see ChatStream
  uint64_t think_budget = 0;   // tokens of reasoning, then `closing` is forced; 0: no limit
  std::span<const int32_t> closing;
  StopStrings stops;                       // of the answer, not of reasoning or arguments
  uint32_t repetition_limit = 0;           // tokens that a loop may last; 0: any number
  const GrammarObject* grammar = nullptr;  // that the text, of a chat its answer, is of; outlives the answer
  bool same_grammar = false;               // as the last answer's, and held since
  bool may_call = false;                   // instead of what the grammar says
  const GrammarObject* calls = nullptr;    // that tool calls are of; outlives the conversation
};

/// Says of each token of an answer what may be there, in step with a generator that tries tokens and takes
/// them back: push() is tentative until commit(). Everything it says is a function of the tokens alone, so an
/// answer is the same with drafts and without. Allocates nothing.
class Guide {
 public:
  static constexpr size_t kLongestClosing = 64;  // tokens

  struct Shape {
    uint32_t vocabulary = 0;
    uint32_t longest_token = 0;  // bytes
    bool masks = false;          // a mask callback or grammars will be used
  };

  Guide(const Shape& shape, const Tokenizer* tokenizer, const inlay_mask* mask, Layout& layout);
  static void lay_out(const Shape& shape, Layout& layout);

  /// What follows the grammars of answers and of calls for this guide; have to outlive their use, and are
  /// needed where a wish has such a grammar.
  void set_matcher(GrammarMatcher* matcher) { matcher_ = matcher; }
  void set_call_matcher(GrammarMatcher* matcher) { call_matcher_ = matcher; }

  /// A new answer. Nothing may be tentative.
  void begin(const GuideWish& wish);

  void rewind() { now_ = certain_; }
  void commit() { certain_ = now_; }
  void push(int32_t token);

  /// The token that has to come next, whatever is likely; -1 where there is none.
  int32_t forced() const;
  /// Whether the tokens pushed end the answer: INLAY_STOP_STRING, INLAY_STOP_REPETITION, else NONE.
  inlay_stop stop() const { return now_.stop; }

  /// Whether the grammar lets this token follow those pushed, `left` more fit: what a mask would say of it.
  bool may_follow(int32_t token, uint64_t left);
  /// Finds what may follow the tokens pushed, for row `row` of a round: `timeline` has them all, `left` more
  /// fit. INLAY_ERROR_CALLBACK where the host's callback failed.
  inlay_status find_allowed(uint32_t row, std::span<const int32_t> timeline, uint64_t left);
  /// By the last find_allowed of this row. Null: all may.
  const uint32_t* allowed(uint32_t row) const { return masked_[row] ? mask_of(row) : nullptr; }
  bool allows(uint32_t row, int32_t token) const {
    return !masked_[row] || (mask_of(row)[token / 32] >> (token % 32) & 1) != 0;
  }

  /// Tokens of reasoning so far, and whether they were cut short.
  uint64_t thought_tokens() const { return certain_.thought; }
  bool closed_thought() const { return certain_.closed; }
  ChatPlace place() const { return certain_.stream.place(); }

 private:
  struct State {
    TextStream text;
    ChatStream stream;
    StopWatch watch;
    RepetitionGuard repetition;
    uint64_t thought = 0;
    uint32_t closing_at = 0;  // of the closing tokens, the next; 0: none is forced
    bool closed = false;      // they were
    inlay_stop stop = INLAY_STOP_NONE;
    bool in_grammar = false;  // what comes is of the grammar
    bool calls = false;       // a tool call has come instead
    uint32_t place = 0;       // in the grammar
    bool in_call = false;     // what comes is of the calls' grammar
    uint32_t call_place = 0;  // in that
  };

  uint32_t words() const { return (shape_.vocabulary + 31) / 32; }
  uint32_t* mask_of(uint32_t row) const { return masks_ + uint64_t{row} * words(); }
  bool must_close() const;
  void begin_grammar(bool after_thought);
  void push_grammar(std::string_view bytes, bool is_call_tag);
  struct Bounds {
    bool text = false;  // some of the grammar may come
    bool end = false;   // the token that ends the text may
    bool call = false;  // the token that begins a call may
    uint32_t most = 0;  // bytes to the end after it
  };
  Bounds grammar_bounds(uint64_t left);
  void mask_grammar(uint64_t left, uint32_t* mask);
  void push_call(std::string_view bytes);
  void push_text(std::string_view bytes);
  bool follows() const { return now_.in_call || now_.in_grammar; }
  GrammarMatcher& matcher() const { return now_.in_call ? *call_matcher_ : *matcher_; }
  uint32_t place_in_grammar() const { return now_.in_call ? now_.call_place : now_.place; }
  void make_room();

  Shape shape_;
  const Tokenizer* tokenizer_;
  GrammarMatcher* matcher_ = nullptr;
  GrammarMatcher* call_matcher_ = nullptr;
  inlay_mask mask_{};
  uint32_t* masks_ = nullptr;  // [kMaxWidth][words]
  char* text_ = nullptr;       // [most bytes of a token's text]
  size_t text_bytes_ = 0;
  std::array<bool, INLAY_MAX_WIDTH> masked_{};

  GuideWish wish_;
  std::array<int32_t, kLongestClosing> closing_{};
  uint32_t closing_count_ = 0;
  int32_t call_tag_ = -1;  // the token <tool_call>
  State certain_;
  State now_;
};

}  // namespace inlay

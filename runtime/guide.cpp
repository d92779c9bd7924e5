#include "runtime/guide.h"

#include <algorithm>

#include "runtime/grammar_matcher.h"
#include "runtime/grammar_object.h"
#include "runtime/tokenizer.h"

namespace inlay {

Guide::Guide(const Shape& shape, const Tokenizer* tokenizer, const inlay_mask* mask, Layout& layout)
    : shape_(shape), tokenizer_(tokenizer) {
  if (tokenizer != nullptr) call_tag_ = tokenizer->find("<tool_call>");
  if (mask != nullptr) mask_ = *mask;
  text_bytes_ = TextStream::most_bytes(shape.longest_token);
  text_ = layout.take<char>(text_bytes_);
  if (shape.masks) masks_ = layout.take<uint32_t>(uint64_t{INLAY_MAX_WIDTH} * words());
}

void Guide::lay_out(const Shape& shape, Layout& layout) {
  layout.take<char>(TextStream::most_bytes(shape.longest_token));
  if (shape.masks) layout.take<uint32_t>(uint64_t{INLAY_MAX_WIDTH} * ((shape.vocabulary + 31) / 32));
}

void Guide::begin(const GuideWish& wish) {
  wish_ = wish;
  closing_count_ = static_cast<uint32_t>(std::min(wish.closing.size(), kLongestClosing));
  std::copy_n(wish.closing.begin(), closing_count_, closing_.begin());
  wish_.closing = {};
  certain_ = {};
  certain_.stream = ChatStream(wish.thinks, wish.calls_anywhere);
  now_ = certain_;
  masked_ = {};
  if (wish_.calls != nullptr && call_matcher_->grammar() != &wish_.calls->grammar()) {
    call_matcher_->use(wish_.calls->grammar(), wish_.calls->trie());
  }
  if (wish_.grammar == nullptr) return;
  if (!wish.same_grammar || matcher_->grammar() != &wish_.grammar->grammar()) {
    matcher_->use(wish_.grammar->grammar(), wish_.grammar->trie());
  }
  if (!wish.chat || !wish.thinks) begin_grammar(false);
  certain_ = now_;
}

void Guide::begin_grammar(bool after_thought) {
  now_.in_grammar = true;
  now_.place = matcher_->start(after_thought);
}

/// Whether the thought has taken all that it may, and stands where it can be closed: not in the middle of a
/// character, nor of what may be a tag.
bool Guide::must_close() const {
  return wish_.think_budget > 0 && closing_count_ > 0 && !now_.closed &&
         now_.stream.place() == ChatPlace::kReasoning && now_.thought >= wish_.think_budget &&
         now_.text.held() == 0;
}

int32_t Guide::forced() const {
  if (now_.closing_at > 0 || must_close()) return closing_[now_.closing_at];
  return -1;
}

void Guide::push(int32_t token) {
  if (forced() == token) {
    ++now_.closing_at;
    if (now_.closing_at == closing_count_) {
      now_.closing_at = 0;
      now_.closed = true;
    }
  } else {
    now_.closing_at = 0;
  }
  if (wish_.chat && now_.stream.place() == ChatPlace::kReasoning) ++now_.thought;
  now_.repetition.push(token);
  if (wish_.repetition_limit > 0 && now_.repetition.looped() >= wish_.repetition_limit) {
    now_.stop = INLAY_STOP_REPETITION;
  }
  if (tokenizer_ == nullptr || !tokenizer_->contains(token) || tokenizer_->is_end_of_generation(token))
    return;
  const std::string_view bytes = tokenizer_->chat_bytes(token);
  const bool thought = wish_.chat && now_.stream.place() == ChatPlace::kReasoning;
  if (now_.in_grammar) push_grammar(bytes, token == call_tag_);
  if (now_.in_call) {
    push_call(bytes);
    push_text(bytes);
  } else {
    push_text(bytes);
    if (wish_.calls != nullptr && !now_.in_grammar && now_.stream.place() == ChatPlace::kCallHead) {
      now_.in_call = true;
      now_.call_place = call_matcher_->start(false);
      push_call(now_.stream.call_head());
    }
  }
  if (wish_.grammar == nullptr || !thought || now_.stream.place() == ChatPlace::kReasoning) return;
  // The thought is over: by its tag, or by a call that did not wait for it.
  if (now_.stream.place() == ChatPlace::kAnswer) {
    begin_grammar(true);
  } else {
    now_.calls = true;
  }
}

void Guide::push_grammar(std::string_view bytes, bool is_call_tag) {
  if (is_call_tag && wish_.may_call && !now_.stream.has_answered()) {
    now_.in_grammar = false;
    now_.calls = true;
    return;
  }
  make_room();
  now_.place = matcher_->push(now_.place, bytes);
}

void Guide::push_call(std::string_view bytes) {
  make_room();
  now_.call_place = call_matcher_->push(now_.call_place, bytes);
  now_.in_call = !call_matcher_->accepts(now_.call_place);
}

/// Where both grammars stand may be renumbered.
void Guide::make_room() {
  if (matcher_ != nullptr && wish_.grammar != nullptr) {
    uint32_t* const live[] = {&certain_.place, &now_.place};
    matcher_->make_room(live);
  }
  if (wish_.calls != nullptr) {
    uint32_t* const live[] = {&certain_.call_place, &now_.call_place};
    call_matcher_->make_room(live);
  }
}

void Guide::push_text(std::string_view bytes) {
  const std::string_view text(text_, now_.text.push(bytes, {text_, text_bytes_}));
  const auto watch = [&](std::string_view piece) {
    if (now_.watch.push(wish_.stops, piece, [](std::string_view) {})) now_.stop = INLAY_STOP_STRING;
  };
  if (!wish_.chat) {
    watch(text);
    return;
  }
  now_.stream.push(text, [&](ChatPart part, std::string_view piece) {
    if (part == ChatPart::kAnswer) {
      watch(piece);
    } else if (part != ChatPart::kMarkup) {
      now_.watch.finish([](std::string_view) {});
    }
  });
}

inlay_status Guide::find_allowed(uint32_t row, std::span<const int32_t> timeline, uint64_t left) {
  masked_[row] = false;
  if (masks_ == nullptr || forced() >= 0) return INLAY_OK;
  uint32_t* mask = mask_of(row);
  if (follows()) {
    mask_grammar(left, mask);
    masked_[row] = true;
  }
  if (mask_.allow == nullptr) return INLAY_OK;
  if (!masked_[row]) std::fill_n(mask, words(), UINT32_MAX);
  const inlay_status status =
      mask_.allow(mask_.user_data, timeline.data(), timeline.size(), mask, shape_.vocabulary);
  if (status < 0) return INLAY_ERROR_CALLBACK;
  masked_[row] = masked_[row] || status == INLAY_OK;
  return INLAY_OK;
}

/// What may come such that the grammar's text can still come to its end in the tokens that are left.
Guide::Bounds Guide::grammar_bounds(uint64_t left) {
  make_room();
  const uint32_t place = place_in_grammar();
  const uint32_t distance = matcher().distance(place);
  const bool dead = place == GrammarMatcher::kDead;
  Bounds bounds;
  // This token, and the one that ends the text; each of the rest brings the end a byte nearer at least. Where
  // that is too few, each token at least has to bring it nearer.
  const uint64_t most = std::max<uint64_t>(left < 2 ? 0 : left - 2, distance == 0 ? 0 : distance - 1);
  bounds.most = static_cast<uint32_t>(std::min<uint64_t>(most, Grammar::kFar));
  bounds.text = !dead && (distance > 0 || left >= 2);
  // A text that is none of the grammar's any more, which only forced words can bring about, ends.
  bounds.end = dead || matcher().accepts(place);
  bounds.call = !now_.in_call && wish_.may_call && !now_.stream.has_answered() && left > 2;
  return bounds;
}

bool Guide::may_follow(int32_t token, uint64_t left) {
  if (!follows()) return true;
  const Bounds bounds = grammar_bounds(left);
  if (bounds.call && token == call_tag_) return true;
  if (!tokenizer_->contains(token)) return false;
  if (tokenizer_->is_end_of_generation(token)) return bounds.end;
  const GrammarObject& grammar = now_.in_call ? *wish_.calls : *wish_.grammar;
  if (!bounds.text || !grammar.trie().has(token)) return false;
  const GrammarMatcher::Place place = matcher().push(place_in_grammar(), tokenizer_->token_bytes(token));
  return place != GrammarMatcher::kDead && matcher().distance(place) <= bounds.most;
}

void Guide::mask_grammar(uint64_t left, uint32_t* mask) {
  const Bounds bounds = grammar_bounds(left);
  if (bounds.text) {
    matcher().mask(place_in_grammar(), bounds.most, mask);
  } else {
    std::fill_n(mask, words(), 0u);
  }
  const auto allow = [&](int32_t token) {
    if (token >= 0 && static_cast<uint32_t>(token) < shape_.vocabulary) {
      mask[token / 32] |= 1u << (token % 32);
    }
  };
  if (bounds.end) {
    for (const int32_t token : tokenizer_->ends()) allow(token);
  }
  if (bounds.call) allow(call_tag_);
}

}  // namespace inlay

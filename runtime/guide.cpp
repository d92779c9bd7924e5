#include "runtime/guide.h"

#include <algorithm>

#include "runtime/tokenizer.h"

namespace inlay {

Guide::Guide(const Shape& shape, const Tokenizer* tokenizer, const inlay_mask* mask, Layout& layout)
    : shape_(shape), tokenizer_(tokenizer) {
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
  push_text(tokenizer_->chat_bytes(token));
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
  static_cast<void>(left);
  masked_[row] = false;
  if (mask_.allow == nullptr) return INLAY_OK;
  uint32_t* mask = mask_of(row);
  std::fill_n(mask, words(), UINT32_MAX);
  const inlay_status status =
      mask_.allow(mask_.user_data, timeline.data(), timeline.size(), mask, shape_.vocabulary);
  if (status < 0) return INLAY_ERROR_CALLBACK;
  masked_[row] = status == INLAY_OK;
  return INLAY_OK;
}

}  // namespace inlay

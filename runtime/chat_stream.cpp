#include "runtime/chat_stream.h"

#include <algorithm>
#include <initializer_list>

namespace inlay {
namespace {

constexpr std::string_view kThink = "<think>";
constexpr std::string_view kEndThink = "</think>";
constexpr std::string_view kCall = "<tool_call>";
constexpr std::string_view kEndCall = "</tool_call>";
constexpr std::string_view kFunction = "<function=";
constexpr std::string_view kEndFunction = "</function>";
constexpr std::string_view kParameter = "<parameter=";
constexpr std::string_view kEndParameter = "</parameter>";

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

size_t leading_space(std::string_view text) {
  size_t count = 0;
  while (count < text.size() && is_space(text[count])) ++count;
  return count;
}

/// Line ends at the end of the text, `most` at most.
size_t trailing_lines(std::string_view text, size_t most) {
  size_t count = 0;
  while (count < most && count < text.size() && text[text.size() - 1 - count] == '\n') ++count;
  return count;
}

enum class Match : uint8_t { kNo, kPartly, kWhole };

/// Whether the text begins with the tag, or is the beginning of it.
Match match(std::string_view text, std::string_view tag) {
  if (text.starts_with(tag)) return Match::kWhole;
  return tag.starts_with(text) ? Match::kPartly : Match::kNo;
}

struct Found {
  size_t at = 0;
  std::string_view tag;  // empty where it is one of several that is not whole yet
  bool found = false;
};

/// The first place where one of the tags stands or may come to stand.
Found find_tag(std::string_view text, std::initializer_list<std::string_view> tags, bool ends) {
  for (size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at + 1)) {
    bool partly = false;
    for (const std::string_view tag : tags) {
      if (tag.empty()) continue;
      const Match matched = match(text.substr(at), tag);
      if (matched == Match::kWhole) return {at, tag, true};
      partly = partly || matched == Match::kPartly;
    }
    if (partly && !ends) return {at, {}, true};
  }
  return {text.size(), {}, false};
}

/// "<word=NAME>" at the front.
struct Head {
  Match match = Match::kNo;
  size_t name_begin = 0;
  size_t name_bytes = 0;
  size_t bytes = 0;
};

Head read_head(std::string_view text, std::string_view opening) {
  Head head;
  head.match = match(text, opening);
  if (head.match != Match::kWhole) return head;
  const size_t end = text.find_first_of("><\n", opening.size());
  if (end == std::string_view::npos) {
    head.match = Match::kPartly;
  } else if (text[end] != '>' || end == opening.size()) {
    head.match = Match::kNo;
  } else {
    head.name_begin = opening.size();
    head.name_bytes = end - opening.size();
    head.bytes = end + 1;
  }
  return head;
}

}  // namespace

size_t ChatStream::whole_characters(std::string_view text, size_t most) {
  if (text.size() <= most) return text.size();
  while (most > 0 && (static_cast<uint8_t>(text[most]) & 0xC0) == 0x80) --most;
  return most;
}

size_t ChatStream::take(std::string_view text) {
  const size_t taken = whole_characters(text, kMostHeld - held_count_);
  text.copy(held_.data() + held_count_, taken);
  held_count_ = static_cast<uint8_t>(held_count_ + taken);
  return taken;
}

void ChatStream::drop(size_t bytes) {
  std::copy(held_.begin() + static_cast<std::ptrdiff_t>(bytes), held_.begin() + held_count_, held_.begin());
  held_count_ = static_cast<uint8_t>(held_count_ - bytes);
  std::fill(held_.begin() + held_count_, held_.end(), '\0');
}

ChatStream::Step ChatStream::next(std::string_view text, bool ends) {
  if (text.empty()) return ends ? end_of_call() : Step{};
  if (plain_bytes_ > 0) {
    const size_t bytes = plain_bytes_;
    plain_bytes_ = 0;
    fresh_ = false;
    const bool thinks = place_ == ChatPlace::kReasoning;
    answered_ = answered_ || !thinks;
    return {Step::Kind::kGive, thinks ? ChatPart::kReasoning : ChatPart::kAnswer, bytes};
  }
  switch (place_) {
    case ChatPlace::kReasoning:
    case ChatPlace::kAnswer: return next_in_text(text, ends);
    case ChatPlace::kCallHead: return next_in_head(text, ends);
    case ChatPlace::kCallBody: return next_in_body(text, ends);
    case ChatPlace::kCallValue: return next_in_value(text, ends);
    case ChatPlace::kCallTail: return next_in_tail(text, ends);
  }
  return {};
}

ChatStream::Step ChatStream::next_in_text(std::string_view text, bool ends) {
  const bool thinks = place_ == ChatPlace::kReasoning;
  const ChatPart part = thinks ? ChatPart::kReasoning : ChatPart::kAnswer;
  if (fresh_ && text.front() == '\n') {
    const size_t lines = std::min(text.find_first_not_of('\n'), text.size());
    return {Step::Kind::kGive, ChatPart::kMarkup, lines};
  }
  // A tag that opens or closes a thought counts in an answer only before it has said anything.
  const bool may_think = fresh_ && (thinks || !answered_);
  const bool may_call = calls_anywhere_ || thinks || (fresh_ && !answered_);
  const Found found =
      find_tag(text,
               {thinks || may_think ? kEndThink : std::string_view(), may_think ? kThink : std::string_view(),
                may_call ? kCall : std::string_view()},
               ends);
  const size_t lines = found.found || !ends ? trailing_lines(text.substr(0, found.at), 2) : 0;
  if (const size_t plain = found.at - lines; plain > 0) {
    fresh_ = false;
    answered_ = answered_ || !thinks;
    return {Step::Kind::kGive, part, plain};
  }
  if (found.tag.empty()) return {};
  if (found.tag == kCall) {
    from_thought_ = thinks;
    place_ = ChatPlace::kCallHead;
    return {Step::Kind::kGive, ChatPart::kMarkup, 0};
  }
  place_ = found.tag == kThink ? ChatPlace::kReasoning : ChatPlace::kAnswer;
  fresh_ = true;
  return {Step::Kind::kGive, ChatPart::kMarkup, found.at + found.tag.size()};
}

std::string_view ChatStream::call_head() const {
  const std::string_view text(held_.data(), held_count_);
  const size_t tag = text.find(kCall);
  return tag == std::string_view::npos ? std::string_view() : text.substr(tag + kCall.size());
}

/// What was taken for a call is none; the first `plain` bytes of what is held are text.
ChatStream::Step ChatStream::break_call(size_t plain) {
  place_ = place_ == ChatPlace::kCallHead && from_thought_ ? ChatPlace::kReasoning : ChatPlace::kAnswer;
  plain_bytes_ = static_cast<uint8_t>(plain);
  fresh_ = false;
  return {Step::Kind::kEvent, ChatPart::kCallBroken};
}

/// The answer ends where a call may be open.
ChatStream::Step ChatStream::end_of_call() {
  if (place_ <= ChatPlace::kAnswer) return {};
  if (place_ != ChatPlace::kCallTail) return break_call(0);
  place_ = ChatPlace::kAnswer;
  fresh_ = true;
  return {Step::Kind::kEvent, ChatPart::kCallEnd};
}

ChatStream::Step ChatStream::next_in_head(std::string_view text, bool ends) {
  const size_t tag = text.find(kCall) + kCall.size();
  const size_t begin = tag + leading_space(text.substr(tag));
  Head head = read_head(text.substr(begin), kFunction);
  if (head.match == Match::kPartly && (ends || text.size() > kLongestHead)) head.match = Match::kNo;
  if (begin + head.bytes > kLongestHead) head.match = Match::kNo;
  if (head.match == Match::kNo) return break_call(tag);
  if (head.match == Match::kPartly) return {};
  place_ = ChatPlace::kCallBody;
  return {Step::Kind::kEvent, ChatPart::kCallBegin, begin + head.bytes, begin + head.name_begin,
          head.name_bytes};
}

ChatStream::Step ChatStream::next_in_body(std::string_view text, bool ends) {
  if (const size_t space = leading_space(text); space > 0) {
    return {Step::Kind::kGive, ChatPart::kMarkup, space};
  }
  const Head head = read_head(text, kParameter);
  const Match end = match(text, kEndFunction);
  const Match end_call = match(text, kEndCall);
  if (head.match == Match::kWhole && head.bytes <= kLongestHead) {
    place_ = ChatPlace::kCallValue;
    value_began_ = false;
    return {Step::Kind::kEvent, ChatPart::kArgument, head.bytes, head.name_begin, head.name_bytes};
  }
  if (end == Match::kWhole) {
    place_ = ChatPlace::kCallTail;
    return {Step::Kind::kGive, ChatPart::kMarkup, kEndFunction.size()};
  }
  if (end_call == Match::kWhole) {
    place_ = ChatPlace::kCallTail;
    return {Step::Kind::kGive, ChatPart::kMarkup, 0};
  }
  const bool partly = head.match == Match::kPartly || end == Match::kPartly || end_call == Match::kPartly;
  if (partly && !ends && text.size() <= kLongestHead) return {};
  return break_call(0);
}

ChatStream::Step ChatStream::next_in_value(std::string_view text, bool ends) {
  if (!value_began_) {
    value_began_ = true;
    if (text.front() == '\n') return {Step::Kind::kGive, ChatPart::kMarkup, 1};
  }
  const Found found = find_tag(text, {kEndParameter}, ends);
  const size_t lines = found.found || !ends ? trailing_lines(text.substr(0, found.at), 1) : 0;
  if (const size_t plain = found.at - lines; plain > 0) {
    return {Step::Kind::kGive, ChatPart::kArgumentText, plain};
  }
  if (found.tag.empty()) return {};
  place_ = ChatPlace::kCallBody;
  return {Step::Kind::kGive, ChatPart::kMarkup, found.at + found.tag.size()};
}

ChatStream::Step ChatStream::next_in_tail(std::string_view text, bool ends) {
  if (const size_t space = leading_space(text); space > 0) {
    return {Step::Kind::kGive, ChatPart::kMarkup, space};
  }
  const Match end = match(text, kEndCall);
  if (end == Match::kPartly && !ends) return {};
  place_ = ChatPlace::kAnswer;
  fresh_ = true;
  const size_t bytes = end == Match::kWhole ? kEndCall.size() : 0;
  return {Step::Kind::kEvent, ChatPart::kCallEnd, bytes, bytes, 0};
}

}  // namespace inlay

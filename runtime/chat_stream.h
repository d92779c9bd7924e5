#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace inlay {

/// What a stretch of an answer is.
enum class ChatPart : uint8_t {
  kReasoning,     // text that was thought
  kAnswer,        // text that is said
  kMarkup,        // tags and the line ends that belong to them: shown to nobody
  kCallBegin,     // a tool call; the text is the tool's name
  kArgument,      // an argument of it begins; the text is its name
  kArgumentText,  // of its value
  kCallEnd,       // the call is whole
  kCallBroken,    // what looked like a call, or began as one, is none: what follows is text again
};

/// Where an answer stands.
enum class ChatPlace : uint8_t {
  kReasoning,
  kAnswer,
  kCallHead,   // after <tool_call>, before the function's name is whole
  kCallBody,   // between arguments
  kCallValue,  // in an argument's value
  kCallTail,   // after </function>
};

/// Takes an answer's text apart as it comes: reasoning, answer, tool calls. Text is given out as soon as it
/// cannot be part of a tag any more, so no reader sees half a tag; tags may come in any number of pieces.
/// What models get wrong is taken as well as it can be: a thought that is not closed before a call, a call
/// without its closing tags, what is no call at all. Every byte comes out once and in order, as text, name or
/// markup.
///
/// The state is a value: it is copied and saved as it is. Nothing here allocates or throws.
class ChatStream {
 public:
  static constexpr size_t kMostHeld = 192;     // bytes
  static constexpr size_t kLongestHead = 180;  // of a call or an argument; leaves room for a character more

  ChatStream() = default;
  /// Begins inside a thought, as the generation prompt says. `calls`: tool calls are looked for; else only an
  /// answer that begins with one is (its other text is the grammar's business).
  explicit ChatStream(bool thinks, bool calls_anywhere = true)
      : place_(thinks ? ChatPlace::kReasoning : ChatPlace::kAnswer), calls_anywhere_(calls_anywhere) {}

  /// Takes bytes of the front of the text, which is whole UTF-8 characters, as many as there is room for;
  /// returns how many. There is room for some when step() has nothing more to give.
  size_t take(std::string_view text);
  /// Gives out the next stretch that is certain, give(ChatPart, std::string_view); false where there is none.
  /// `ends`: nothing more will come, all that is held back is given out.
  template <typename Give>
  bool step(bool ends, Give&& give) {
    const std::string_view text(held_.data(), held_count_);
    const Step step = next(text, ends);
    if (step.kind == Step::Kind::kWait) return false;
    const std::string_view taken = text.substr(0, step.bytes);
    if (step.kind == Step::Kind::kGive) {
      if (step.bytes > 0) give(step.part, taken);
    } else {
      const size_t after = step.name_begin + step.name_bytes;
      if (step.name_begin > 0) give(ChatPart::kMarkup, taken.substr(0, step.name_begin));
      give(step.part, taken.substr(step.name_begin, step.name_bytes));
      if (after < step.bytes) give(ChatPart::kMarkup, taken.substr(after));
    }
    drop(step.bytes);
    return true;
  }
  /// All of a text, and all that is certain after it.
  template <typename Give>
  void push(std::string_view text, Give&& give) {
    while (!text.empty()) {
      text.remove_prefix(take(text));
      while (step(false, give)) {
      }
    }
  }
  template <typename Give>
  void finish(Give&& give) {
    while (step(true, give)) {
    }
  }

  ChatPlace place() const { return place_; }
  /// Whether text other than line ends was said.
  bool has_answered() const { return answered_; }
  /// At kCallHead: what has come after the call's tag.
  std::string_view call_head() const;
  /// Bytes that are held back.
  size_t held() const { return held_count_; }

  bool operator==(const ChatStream&) const = default;

 private:
  /// What the front of the held text is.
  struct Step {
    enum class Kind : uint8_t { kWait, kGive, kEvent } kind = Kind::kWait;
    ChatPart part = ChatPart::kMarkup;
    size_t bytes = 0;       // that it takes
    size_t name_begin = 0;  // of kEvent: the name in them
    size_t name_bytes = 0;
  };

  static size_t whole_characters(std::string_view text, size_t most);
  void drop(size_t bytes);
  Step next(std::string_view text, bool ends);
  Step next_in_text(std::string_view text, bool ends);
  Step next_in_head(std::string_view text, bool ends);
  Step next_in_body(std::string_view text, bool ends);
  Step next_in_value(std::string_view text, bool ends);
  Step next_in_tail(std::string_view text, bool ends);
  Step break_call(size_t plain);
  Step end_of_call();

  std::array<char, kMostHeld> held_{};
  uint8_t held_count_ = 0;
  ChatPlace place_ = ChatPlace::kAnswer;
  bool calls_anywhere_ = true;
  bool fresh_ = true;          // nothing but line ends since the part began
  bool answered_ = false;      // an answer has text
  bool from_thought_ = false;  // the call's head came inside a thought
  bool value_began_ = false;   // the line end after an argument's head is behind
  uint8_t plain_bytes_ = 0;    // at the front of what is held: text, whatever it looks like
};

static_assert(std::is_trivially_copyable_v<ChatStream>);

}  // namespace inlay

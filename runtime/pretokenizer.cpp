#include "runtime/pretokenizer.h"

#include <utf8proc.h>

#include <array>

#include "runtime/utf8.h"

namespace inlay {
namespace {

enum class Kind : uint8_t { kLetter, kMark, kNumber, kSpace, kNewline, kSymbol };

struct Character {
  Kind kind;
  uint8_t length;
};

constexpr std::array<Kind, 128> make_ascii_kinds() {
  std::array<Kind, 128> kinds{};
  for (size_t c = 0; c < kinds.size(); ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      kinds[c] = Kind::kLetter;
    } else if (c >= '0' && c <= '9') {
      kinds[c] = Kind::kNumber;
    } else if (c == '\r' || c == '\n') {
      kinds[c] = Kind::kNewline;
    } else if (c == ' ' || c == '\t' || c == '\v' || c == '\f') {
      kinds[c] = Kind::kSpace;
    } else {
      kinds[c] = Kind::kSymbol;
    }
  }
  return kinds;
}

constexpr std::array<Kind, 128> kAsciiKinds = make_ascii_kinds();

Kind kind_of(PreTokenizer rule, char32_t code_point) {
  switch (utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point))->category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return Kind::kLetter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return rule == PreTokenizer::kQwen35 ? Kind::kMark : Kind::kSymbol;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return Kind::kNumber;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return Kind::kSpace;
    default:
      return code_point == 0x85 ? Kind::kSpace : Kind::kSymbol;  // U+0085 is a control with White_Space
  }
}

Character read(PreTokenizer rule, std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {kAsciiKinds[lead], 1};
  const Utf8Step step = read_utf8(text.substr(at));
  if (step.state != Utf8State::kValid) return {Kind::kSymbol, step.length};
  return {kind_of(rule, step.code_point), step.length};
}

bool is_word(Kind kind) { return kind == Kind::kLetter || kind == Kind::kMark; }
bool is_white(Kind kind) { return kind == Kind::kSpace || kind == Kind::kNewline; }

/// The end of the characters from `at` on that `matches` holds for.
template <typename Predicate>
size_t skip(PreTokenizer rule, std::string_view text, size_t at, Predicate matches) {
  while (at < text.size()) {
    const Character character = read(rule, text, at);
    if (!matches(character.kind)) break;
    at += character.length;
  }
  return at;
}

/// Length of the English contraction that begins with the apostrophe at `at`, 0 where there is none.
/// Ignoring case takes the long s (U+017F) for an s.
size_t contraction(std::string_view text, size_t at) {
  const std::string_view tail = text.substr(at + 1, 2);
  if (tail == "\xC5\xBF") return 3;
  const auto lower = [&](size_t i) { return i < tail.size() ? static_cast<char>(tail[i] | 0x20) : '\0'; };
  switch (lower(0)) {
    case 's':
    case 't':
    case 'm':
    case 'd': return 2;
    case 'r':
    case 'v': return lower(1) == 'e' ? 3 : 0;
    case 'l': return lower(1) == 'l' ? 3 : 0;
    default: return 0;
  }
}

/// The end of the piece of white space at `at`: up to the last line break of the run; where it has none, all
/// but the last character, which goes to the word that follows.
size_t white_space_piece(PreTokenizer rule, std::string_view text, size_t at) {
  size_t end = at, last = at, after_break = at;
  while (end < text.size()) {
    const Character character = read(rule, text, end);
    if (!is_white(character.kind)) break;
    last = end;
    end += character.length;
    if (character.kind == Kind::kNewline) after_break = end;
  }
  if (after_break > at) return after_break;
  return end == text.size() || last == at ? end : last;
}

}  // namespace

std::optional<PreTokenizer> pre_tokenizer_of(std::string_view name) {
  if (name == "qwen35") return PreTokenizer::kQwen35;
  if (name == "qwen2") return PreTokenizer::kQwen2;
  return std::nullopt;
}

size_t next_piece(PreTokenizer rule, std::string_view text, size_t at) {
  if (text[at] == '\'') {
    if (const size_t length = contraction(text, at); length != 0) return at + length;
  }
  const Character first = read(rule, text, at);
  const size_t second_at = at + first.length;
  if (is_word(first.kind)) return skip(rule, text, second_at, is_word);
  if (first.kind == Kind::kNumber) return second_at;
  const Kind second = second_at < text.size() ? read(rule, text, second_at).kind : Kind::kNewline;
  if (first.kind != Kind::kNewline && is_word(second)) return skip(rule, text, second_at, is_word);
  if (first.kind == Kind::kSymbol || (text[at] == ' ' && second == Kind::kSymbol)) {
    const size_t end = skip(rule, text, second_at, [](Kind kind) { return kind == Kind::kSymbol; });
    return skip(rule, text, end, [](Kind kind) { return kind == Kind::kNewline; });
  }
  return white_space_piece(rule, text, at);
}

}  // namespace inlay

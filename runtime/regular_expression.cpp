#include "runtime/regular_expression.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "runtime/error.h"
#include "runtime/utf8.h"

namespace inlay {
namespace {

using Piece = GrammarBuilder::Piece;
using CodePoints = GrammarBuilder::CodePoints;
using Set = std::pmr::vector<CodePoints>;

constexpr uint64_t kMostRepeats = 10000;
constexpr size_t kDeepest = 64;

/// A part of an expression: it is made anew each time that it repeats.
struct Part {
  enum class Kind : uint8_t { kSet, kThen, kEither } kind = Kind::kThen;
  explicit Part(std::pmr::memory_resource* memory) : set(memory), parts(memory) {}
  Set set;
  std::pmr::vector<Part> parts;
  uint64_t least = 1;
  uint64_t most = 1;
};

/// An outer alternative with its anchors.
struct Alternative {
  explicit Alternative(std::pmr::memory_resource* memory) : part(memory) {}
  Part part;
  bool from_start = false;
  bool to_end = false;
};

class Parser {
 public:
  Parser(std::string_view text, std::pmr::memory_resource* memory)
      : memory_(memory), text_(text), rest_(text) {}

  std::pmr::vector<Alternative> parse() {
    std::pmr::vector<Alternative> alternatives(memory_);
    do {
      Alternative one(memory_);
      while (take('^')) one.from_start = true;
      one.part = sequence(0);
      while (take('$')) one.to_end = true;
      alternatives.push_back(std::move(one));
    } while (take('|'));
    if (!rest_.empty()) fail(INLAY_ERROR_INVALID_ARGUMENT, "a bracket is closed that was not opened");
    return alternatives;
  }

 private:
  [[noreturn]] void fail(inlay_status status, const char* what) const {
    throw Error(status, "pattern \"" + std::string(text_) + "\", byte " +
                            std::to_string(text_.size() - rest_.size()) + ": " + what);
  }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  char32_t take_character() {
    if (rest_.empty()) fail(INLAY_ERROR_INVALID_ARGUMENT, "it ends too early");
    const Utf8Step step = read_utf8(rest_);
    if (step.state != Utf8State::kValid) fail(INLAY_ERROR_INVALID_ARGUMENT, "not UTF-8");
    rest_.remove_prefix(step.length);
    return step.code_point;
  }

  Part either(size_t depth) {
    Part part(memory_);
    part.kind = Part::Kind::kEither;
    do part.parts.push_back(sequence(depth));
    while (take('|'));
    return part;
  }

  Part sequence(size_t depth) {
    if (depth > kDeepest) fail(INLAY_ERROR_UNSUPPORTED, "groups are nested too deep");
    Part part(memory_);
    while (!rest_.empty() && rest_.front() != '|' && rest_.front() != ')') {
      if (rest_.front() == '$') {
        if (depth == 0 && (rest_.size() == 1 || rest_[1] == '|')) break;
        fail(INLAY_ERROR_UNSUPPORTED, "$ that is not at the end");
      }
      Part one = atom(depth);
      quantify(one);
      part.parts.push_back(std::move(one));
    }
    return part;
  }

  Part atom(size_t depth) {
    if (take('(')) {
      if (take('?') && !take(':')) fail(INLAY_ERROR_UNSUPPORTED, "a group that looks around or has a name");
      Part part = either(depth + 1);
      if (!take(')')) fail(INLAY_ERROR_INVALID_ARGUMENT, "a group is not closed");
      return part;
    }
    Part part(memory_);
    part.kind = Part::Kind::kSet;
    if (take('[')) {
      part.set = bracket();
    } else if (take('.')) {
      part.set = complement(set({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}));
    } else if (take('\\')) {
      part.set = escape();
    } else {
      const char c = rest_.front();
      if (c == '^') fail(INLAY_ERROR_UNSUPPORTED, "^ that is not at the front");
      if (c == '*' || c == '+' || c == '?') fail(INLAY_ERROR_INVALID_ARGUMENT, "there is nothing to repeat");
      const char32_t character = take_character();
      part.set = set({{character, character}});
    }
    return part;
  }

  Set set(std::initializer_list<CodePoints> ranges) const { return {ranges, memory_}; }
  Set digits() const { return set({{'0', '9'}}); }
  Set words() const { return set({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}); }
  Set spaces() const { return set({{'\t', '\r'}, {' ', ' '}}); }
  /// What dialects agree is outside of a set: other ASCII characters.
  Set outside(Set inside) const {
    const Set all = complement(std::move(inside));
    Set ascii(memory_);
    for (const CodePoints& range : all) {
      // Separators that some dialects call white space are left out, too.
      if (range.low < 0x7F && range.low <= range.high) {
        ascii.push_back({std::max<char32_t>(range.low, 0x20), std::min<char32_t>(range.high, 0x7E)});
      }
    }
    std::erase_if(ascii, [](const CodePoints& range) { return range.low > range.high; });
    return ascii;
  }

  Set escape() {
    const char32_t c = take_character();
    switch (c) {
      case 'd': return digits();
      case 'w': return words();
      case 's': return spaces();
      case 'D': return outside(digits());
      case 'W': return outside(words());
      case 'S': return outside(spaces());
      case 'n': return set({{'\n', '\n'}});
      case 'r': return set({{'\r', '\r'}});
      case 't': return set({{'\t', '\t'}});
      case 'f': return set({{'\f', '\f'}});
      case 'v': return set({{'\v', '\v'}});
      case 'x': return hexadecimal(2);
      case 'u': return hexadecimal(4);
      default: break;
    }
    const bool is_word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_word) fail(INLAY_ERROR_UNSUPPORTED, "an escape that is not known here");
    return set({{c, c}});
  }

  Set hexadecimal(int count) {
    char32_t value = 0;
    for (int i = 0; i < count; ++i) {
      const char32_t c = take_character();
      const bool digit = c >= '0' && c <= '9';
      const char32_t lower = c | 0x20;
      if (!digit && !(lower >= 'a' && lower <= 'f')) {
        fail(INLAY_ERROR_INVALID_ARGUMENT, "hexadecimal digits were expected");
      }
      value = value * 16 + (digit ? c - '0' : lower - 'a' + 10);
    }
    return set({{value, value}});
  }

  Set bracket() {
    const bool negative = take('^');
    Set all(memory_);
    bool first = true;
    while (!take(']')) {
      if (rest_.empty()) fail(INLAY_ERROR_INVALID_ARGUMENT, "a class is not closed");
      if (!first && rest_.starts_with("--")) fail(INLAY_ERROR_UNSUPPORTED, "a difference of classes");
      first = false;
      Set one = bracket_part();
      const bool single = one.size() == 1 && one[0].low == one[0].high;
      if (single && rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']') {
        take('-');
        const Set last = bracket_part();
        if (last.size() != 1 || last[0].low != last[0].high || last[0].low < one[0].low) {
          fail(INLAY_ERROR_INVALID_ARGUMENT, "a range of characters runs backwards");
        }
        one[0].high = last[0].low;
      }
      all.insert(all.end(), one.begin(), one.end());
    }
    return negative ? complement(std::move(all)) : all;
  }

  Set bracket_part() {
    if (!take('\\')) {
      const char32_t c = take_character();
      return set({{c, c}});
    }
    if (take('b')) return set({{'\b', '\b'}});
    return escape();
  }

  void quantify(Part& part) {
    uint64_t least = 1;
    uint64_t most = 1;
    if (take('*')) {
      least = 0;
      most = GrammarBuilder::kAnyNumber;
    } else if (take('+')) {
      most = GrammarBuilder::kAnyNumber;
    } else if (take('?')) {
      least = 0;
    } else if (!rest_.empty() && rest_.front() == '{') {
      take('{');
      least = number();
      most = least;
      if (take(',')) most = !rest_.empty() && rest_.front() == '}' ? GrammarBuilder::kAnyNumber : number();
      if (!take('}') || most < least) fail(INLAY_ERROR_INVALID_ARGUMENT, "a number of repeats was expected");
    } else {
      return;
    }
    if (!rest_.empty() && (rest_.front() == '+' || rest_.front() == '*' || rest_.front() == '{')) {
      fail(INLAY_ERROR_UNSUPPORTED, "a repeat of a repeat");
    }
    take('?');  // lazy or not, the strings are the same
    part.least = least;
    part.most = most;
  }

  uint64_t number() {
    uint64_t value = 0;
    size_t digits = 0;
    while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
      value = value * 10 + static_cast<uint64_t>(rest_.front() - '0');
      rest_.remove_prefix(1);
      if (++digits > 6 || value > kMostRepeats) fail(INLAY_ERROR_UNSUPPORTED, "too many repeats");
    }
    if (digits == 0) fail(INLAY_ERROR_INVALID_ARGUMENT, "a number was expected");
    return value;
  }

  std::pmr::memory_resource* memory_;
  std::string_view text_;
  std::string_view rest_;
};

class Maker {
 public:
  Maker(GrammarBuilder& builder, CharacterMaker& characters) : builder_(builder), characters_(characters) {}

  Piece make(const Part& part) const {
    if (part.least == 1 && part.most == 1) return make_once(part);
    return builder_.repeat([&] { return make_once(part); }, part.least, part.most);
  }
  Piece anything() const {
    const CodePoints all[] = {{0, 0x10FFFF}};
    return builder_.repeat([&] { return characters_.make_character(all); }, 0, GrammarBuilder::kAnyNumber);
  }

 private:
  Piece make_once(const Part& part) const {
    if (part.kind == Part::Kind::kSet) return characters_.make_character(part.set);
    if (part.kind == Part::Kind::kEither) {
      std::pmr::vector<Piece> pieces(builder_.memory());
      for (const Part& one : part.parts) pieces.push_back(make(one));
      return builder_.either(pieces);
    }
    Piece piece = builder_.nothing();
    for (const Part& one : part.parts) piece = builder_.then(piece, make(one));
    return piece;
  }

  GrammarBuilder& builder_;
  CharacterMaker& characters_;
};

}  // namespace

std::pmr::vector<CodePoints> complement(std::pmr::vector<CodePoints> set) {
  std::sort(set.begin(), set.end(), [](const CodePoints& a, const CodePoints& b) { return a.low < b.low; });
  std::pmr::vector<CodePoints> rest(set.get_allocator());
  char32_t next = 0;
  for (const CodePoints& range : set) {
    if (range.low > next) rest.push_back({next, range.low - 1});
    next = std::max<char32_t>(next, range.high + 1);
  }
  if (next <= 0x10FFFF) rest.push_back({next, 0x10FFFF});
  return rest;
}

Piece make_regular_expression(GrammarBuilder& builder, std::string_view expression,
                              CharacterMaker& characters) {
  const std::pmr::vector<Alternative> alternatives = Parser(expression, builder.memory()).parse();
  const Maker maker(builder, characters);
  std::pmr::vector<Piece> pieces(builder.memory());
  for (const Alternative& one : alternatives) {
    Piece piece = maker.make(one.part);
    if (!one.from_start) piece = builder.then(maker.anything(), piece);
    if (!one.to_end) piece = builder.then(piece, maker.anything());
    pieces.push_back(piece);
  }
  return builder.either(pieces);
}

}  // namespace inlay

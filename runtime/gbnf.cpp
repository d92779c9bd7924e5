#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "runtime/grammar.h"
#include "runtime/regular_expression.h"
#include "runtime/utf8.h"

namespace inlay {
namespace {

using Piece = GrammarBuilder::Piece;
using CodePoints = GrammarBuilder::CodePoints;

constexpr uint64_t kMostRepeats = 10000;
constexpr size_t kDeepest = 64;

/// Part of a rule: it is made anew each time that it repeats.
struct Part {
  enum class Kind : uint8_t { kText, kSet, kRule, kThen, kEither } kind = Kind::kThen;
  explicit Part(std::pmr::memory_resource* memory) : text(memory), set(memory), parts(memory) {}
  std::pmr::string text;
  std::pmr::vector<CodePoints> set;
  uint32_t rule = 0;
  std::pmr::vector<Part> parts;
  uint64_t least = 1;
  uint64_t most = 1;
};

/// Rules "name ::= …" of strings, classes, names, groups, "|", "*", "+", "?" and "{m,n}"; "#" begins a
/// comment.
class GbnfParser {
 public:
  GbnfParser(std::string_view text, std::pmr::memory_resource* memory)
      : memory_(memory), text_(text), rest_(text), builder_(memory), rules_(memory) {}

  Grammar parse() {
    skip_space();
    while (!rest_.empty()) {
      const std::string_view name = take_name();
      if (name.empty() || !take("::=")) fail("a rule was expected: name ::= …");
      const uint32_t rule = rule_of(name);
      if (builder_.is_defined(rule)) fail("a rule is defined twice");
      builder_.define(rule, make(either(0)));
    }
    const uint32_t root = rule_of("root");
    for (const auto& [name, rule] : rules_) {
      if (!builder_.is_defined(rule)) {
        throw Error(INLAY_ERROR_INVALID_ARGUMENT, "grammar: there is no rule " + std::string(name));
      }
    }
    return builder_.finish(root);
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT,
                "grammar, byte " + std::to_string(text_.size() - rest_.size()) + ": " + what);
  }
  void skip_space() {
    while (!rest_.empty()) {
      if (rest_.front() == '#') {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else if (rest_.front() == ' ' || rest_.front() == '\n' || rest_.front() == '\t' ||
                 rest_.front() == '\r') {
        rest_.remove_prefix(1);
      } else {
        return;
      }
    }
  }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    skip_space();
    return true;
  }
  static bool in_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }
  std::string_view take_name() {
    size_t size = 0;
    while (size < rest_.size() && in_name(rest_[size])) ++size;
    const std::string_view name = rest_.substr(0, size);
    rest_.remove_prefix(size);
    skip_space();
    return name;
  }
  /// Whether a name that stands here begins the next rule.
  bool rule_begins() {
    const std::string_view here = rest_;
    const bool begins = !take_name().empty() && rest_.starts_with("::=");
    rest_ = here;
    return begins;
  }
  uint32_t rule_of(std::string_view name) {
    for (const auto& [known, rule] : rules_) {
      if (known == name) return rule;
    }
    rules_.emplace_back(name, builder_.declare());
    return rules_.back().second;
  }

  Part either(size_t depth) {
    if (depth > kDeepest) fail("groups are nested too deep");
    Part part(memory_);
    part.kind = Part::Kind::kEither;
    do part.parts.push_back(sequence(depth));
    while (take("|"));
    return part;
  }

  Part sequence(size_t depth) {
    Part part(memory_);
    while (!rest_.empty() && rest_.front() != '|' && rest_.front() != ')') {
      if (in_name(rest_.front()) && rule_begins()) break;
      Part one = atom(depth);
      quantify(one);
      part.parts.push_back(std::move(one));
    }
    return part;
  }

  Part atom(size_t depth) {
    Part part(memory_);
    if (rest_.front() == '"') {
      rest_.remove_prefix(1);
      part.kind = Part::Kind::kText;
      while (rest_.empty() || rest_.front() != '"') {
        char bytes[4];
        part.text.append(bytes, write_utf8(take_character(), bytes));
      }
      rest_.remove_prefix(1);
      skip_space();
    } else if (rest_.front() == '[') {
      part.kind = Part::Kind::kSet;
      part.set = take_class();
      skip_space();
    } else if (take(".")) {
      part.kind = Part::Kind::kSet;
      part.set.push_back({0, 0x10FFFF});
    } else if (take("(")) {
      part = either(depth + 1);
      if (!take(")")) fail("a group is not closed");
    } else if (in_name(rest_.front())) {
      part.kind = Part::Kind::kRule;
      part.rule = rule_of(take_name());
    } else {
      fail("a string, a class, a name or a group was expected");
    }
    return part;
  }

  char32_t take_character() {
    if (rest_.empty()) fail("the text ends too early");
    const Utf8Step step = read_utf8(rest_);
    if (step.state != Utf8State::kValid) fail("not UTF-8");
    rest_.remove_prefix(step.length);
    if (step.code_point != '\\') return step.code_point;
    if (rest_.empty()) fail("the text ends too early");
    const char c = rest_.front();
    rest_.remove_prefix(1);
    switch (c) {
      case 'n': return '\n';
      case 'r': return '\r';
      case 't': return '\t';
      case 'x': return hexadecimal(2);
      case 'u': return hexadecimal(4);
      case 'U': return hexadecimal(8);
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^': return static_cast<char32_t>(c);
      default: fail("an escape that is not known");
    }
  }

  char32_t hexadecimal(size_t digits) {
    char32_t value = 0;
    if (rest_.size() < digits) fail("hexadecimal digits were expected");
    for (const char c : rest_.substr(0, digits)) {
      const char lower = static_cast<char>(c | 0x20);
      const bool letter = lower >= 'a' && lower <= 'f';
      if (!letter && (c < '0' || c > '9')) fail("hexadecimal digits were expected");
      value = value * 16 + static_cast<char32_t>(letter ? lower - 'a' + 10 : c - '0');
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) fail("no such character");
    rest_.remove_prefix(digits);
    return value;
  }

  std::pmr::vector<CodePoints> take_class() {
    rest_.remove_prefix(1);
    const bool negative = rest_.starts_with("^");
    if (negative) rest_.remove_prefix(1);
    std::pmr::vector<CodePoints> set(memory_);
    while (!rest_.starts_with("]")) {
      CodePoints range;
      range.low = range.high = take_character();
      if (rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']') {
        rest_.remove_prefix(1);
        range.high = take_character();
        if (range.high < range.low) fail("a range of characters runs backwards");
      }
      set.push_back(range);
    }
    rest_.remove_prefix(1);
    return negative ? complement(std::move(set)) : set;
  }

  void quantify(Part& part) {
    uint64_t least = 1;
    uint64_t most = 1;
    if (take("*")) {
      least = 0;
      most = GrammarBuilder::kAnyNumber;
    } else if (take("+")) {
      most = GrammarBuilder::kAnyNumber;
    } else if (take("?")) {
      least = 0;
    } else if (take("{")) {
      least = most = number();
      if (take(",")) most = rest_.starts_with("}") ? GrammarBuilder::kAnyNumber : number();
      if (!take("}") || most < least) fail("a number of repeats was expected");
    } else {
      return;
    }
    Part inside = std::move(part);
    part = Part(memory_);
    part.parts.push_back(std::move(inside));
    part.least = least;
    part.most = most;
    quantify(part);
  }

  uint64_t number() {
    uint64_t value = 0;
    size_t digits = 0;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; ++digits) {
      value = value * 10 + static_cast<uint64_t>(rest_.front() - '0');
      rest_.remove_prefix(1);
      if (value > kMostRepeats) fail("too many repeats");
    }
    skip_space();
    if (digits == 0) fail("a number was expected");
    return value;
  }

  Piece make(const Part& part) {
    if (part.least == 1 && part.most == 1) return make_once(part);
    return builder_.repeat([&] { return make_once(part); }, part.least, part.most);
  }
  Piece make_once(const Part& part) {
    switch (part.kind) {
      case Part::Kind::kText: return builder_.text(part.text);
      case Part::Kind::kSet: return builder_.characters(part.set);
      case Part::Kind::kRule: return builder_.use(part.rule);
      case Part::Kind::kEither: {
        std::pmr::vector<Piece> ways(memory_);
        for (const Part& one : part.parts) ways.push_back(make(one));
        return builder_.either(ways);
      }
      case Part::Kind::kThen: break;
    }
    Piece piece = builder_.nothing();
    for (const Part& one : part.parts) piece = builder_.then(piece, make(one));
    return piece;
  }

  std::pmr::memory_resource* memory_;
  std::string_view text_;
  std::string_view rest_;
  GrammarBuilder builder_;
  std::pmr::vector<std::pair<std::string_view, uint32_t>> rules_;
};

}  // namespace

Grammar Grammar::from_gbnf(std::string_view text, std::pmr::memory_resource* memory) {
  return GbnfParser(text, memory).parse();
}

}  // namespace inlay

#include "runtime/number_range.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "runtime/error.h"

namespace inlay {
namespace {

using Piece = GrammarBuilder::Piece;

constexpr int64_t kLargest = 999'999'999'999'999;  // exact as a double
constexpr int kUsualDecimals = 3;
constexpr int kMostDecimals = 9;

/// Digit strings of one length between two of that length, with a point before the last `decimals` digits.
class Digits {
 public:
  Digits(GrammarBuilder& builder, size_t decimals) : builder_(builder), decimals_(decimals) {}

  Piece between(const std::string& low, const std::string& high, size_t at = 0) {
    if (at == low.size()) return builder_.nothing();
    const auto next = at + 1;
    if (low[at] == high[at]) return then(digit(low[at], high[at], at, low.size()), between(low, high, next));
    std::pmr::vector<Piece> ways(builder_.memory());
    ways.push_back(then(digit(low[at], low[at], at, low.size()), bounded(low, next, true)));
    if (high[at] - low[at] > 1) {
      ways.push_back(
          then(digit(static_cast<char>(low[at] + 1), static_cast<char>(high[at] - 1), at, low.size()),
               any(next, low.size())));
    }
    ways.push_back(then(digit(high[at], high[at], at, low.size()), bounded(high, next, false)));
    return builder_.either(ways);
  }

 private:
  Piece then(Piece a, Piece b) { return builder_.then(a, b); }
  Piece digit(char low, char high, size_t at, size_t size) {
    const Piece piece = builder_.bytes(static_cast<uint8_t>(low), static_cast<uint8_t>(high));
    return decimals_ > 0 && at == size - decimals_ ? then(builder_.text("."), piece) : piece;
  }
  Piece any(size_t at, size_t size) {
    Piece piece = builder_.nothing();
    for (; at < size; ++at) piece = then(piece, digit('0', '9', at, size));
    return piece;
  }
  /// The rest of a string that is at least, or at most, what the bound has there.
  Piece bounded(const std::string& bound, size_t at, bool at_least) {
    if (at == bound.size()) return builder_.nothing();
    const char c = bound[at];
    std::pmr::vector<Piece> ways(builder_.memory());
    ways.push_back(then(digit(c, c, at, bound.size()), bounded(bound, at + 1, at_least)));
    if (at_least && c < '9') {
      ways.push_back(then(digit(static_cast<char>(c + 1), '9', at, bound.size()), any(at + 1, bound.size())));
    }
    if (!at_least && c > '0') {
      ways.push_back(then(digit('0', static_cast<char>(c - 1), at, bound.size()), any(at + 1, bound.size())));
    }
    return builder_.either(ways);
  }

  GrammarBuilder& builder_;
  size_t decimals_;
};

/// Numbers low / 10^decimals to high / 10^decimals, neither negative.
void add_unsigned(GrammarBuilder& builder, int64_t low, int64_t high, size_t decimals, bool negative,
                  std::pmr::vector<Piece>& ways) {
  size_t size = decimals + 1;
  int64_t first = 0;  // of the strings of this size
  for (int64_t end = static_cast<int64_t>(std::llround(std::pow(10.0, static_cast<double>(size))));
       first <= high; first = end, end *= 10, ++size) {
    if (low >= end) continue;
    std::string from = std::to_string(std::max(low, first));
    std::string to = std::to_string(std::min(high, end - 1));
    from.insert(0, size - from.size(), '0');
    to.insert(0, size - to.size(), '0');
    Piece piece = Digits(builder, decimals).between(from, to);
    if (negative) piece = builder.then(builder.text("-"), piece);
    ways.push_back(piece);
  }
}

bool fits(double value, const NumberRange& range) {
  if (range.least_excluded ? value <= range.least : value < range.least) return false;
  return range.most_excluded ? value < range.most : value <= range.most;
}

/// Adds what has so many decimals and lies in the range; whether there is any.
bool add_signed(GrammarBuilder& builder, const NumberRange& range, int decimals,
                std::pmr::vector<Piece>& ways) {
  const double scale = std::pow(10.0, decimals);
  const double largest = static_cast<double>(kLargest);
  if (range.least * scale > largest || range.most * scale < -largest) return false;
  auto low = static_cast<int64_t>(std::ceil(std::max(range.least * scale, -largest)));
  auto high = static_cast<int64_t>(std::floor(std::min(range.most * scale, largest)));
  // What is printed counts, and it is read as the nearest number: so are its bounds.
  const auto value = [&](int64_t scaled) { return static_cast<double>(scaled) / scale; };
  while (low - 1 >= -kLargest && fits(value(low - 1), range)) --low;
  while (low <= high && !fits(value(low), range)) ++low;
  while (high + 1 <= kLargest && fits(value(high + 1), range)) ++high;
  while (high >= low && !fits(value(high), range)) --high;
  if (low > high) return false;
  const auto digits = static_cast<size_t>(decimals);
  if (high >= 0) add_unsigned(builder, std::max<int64_t>(low, 0), high, digits, false, ways);
  if (low < 0) add_unsigned(builder, std::max<int64_t>(-high, 1), -low, digits, true, ways);
  return true;
}

[[noreturn]] void refuse() {
  throw Error(INLAY_ERROR_INVALID_ARGUMENT, "schema: no number lies between minimum and maximum");
}

Piece free_integer(GrammarBuilder& builder, uint64_t digits) {
  const Piece more = builder.repeat([&] { return builder.bytes('0', '9'); }, 0, digits - 1);
  const Piece number = builder.either({builder.text("0"), builder.then(builder.bytes('1', '9'), more)});
  return builder.then(builder.maybe(builder.text("-")), number);
}

bool is_free(const NumberRange& range) { return std::isinf(range.least) && std::isinf(range.most); }

}  // namespace

Piece make_integer(GrammarBuilder& builder, const NumberRange& range) {
  if (is_free(range)) return free_integer(builder, 15);
  std::pmr::vector<Piece> ways(builder.memory());
  if (!add_signed(builder, range, 0, ways)) refuse();
  return builder.either(ways);
}

Piece make_number(GrammarBuilder& builder, const NumberRange& range) {
  if (is_free(range)) {
    const auto digit = [&] { return builder.bytes('0', '9'); };
    const Piece fraction = builder.then(builder.text("."), builder.repeat(digit, 1, 15));
    const Piece sign = builder.maybe(builder.either({builder.text("+"), builder.text("-")}));
    const Piece letter = builder.either({builder.text("e"), builder.text("E")});
    const Piece exponent = builder.then(builder.then(letter, sign), builder.repeat(digit, 1, 2));
    const Piece number = builder.then(free_integer(builder, 15), builder.maybe(fraction));
    return builder.then(number, builder.maybe(exponent));
  }
  std::pmr::vector<Piece> ways(builder.memory());
  for (int decimals = 0; decimals <= kMostDecimals; ++decimals) {
    if (decimals > kUsualDecimals && !ways.empty()) break;
    add_signed(builder, range, decimals, ways);
  }
  if (ways.empty()) refuse();
  return builder.either(ways);
}

}  // namespace inlay

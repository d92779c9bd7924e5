#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

#include "formats/json.h"

namespace inlay {

/// A language of byte strings: states with edges over bytes, which may call other rules and go on where they
/// return (a recursive transition network; Woods, 1970). Immutable: any thread, any number at once.
class Grammar {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kMostStates = 1u << 18;
  static constexpr uint32_t kFar = 1u << 30;  // a distance that is none

  struct Edge {
    uint8_t low;
    uint8_t high;
    uint32_t to;
  };
  struct Call {
    uint32_t rule;  // its first state
    uint32_t to;    // where it returns
  };
  struct State {
    uint32_t edge_begin = 0;
    uint32_t edge_end = 0;
    uint32_t call_begin = 0;
    uint32_t call_end = 0;
    uint32_t distance = kFar;  // bytes to the end of the state's rule, at least
    bool accepts = false;      // the rule may end here
  };

  /// Of a JSON Schema, or in the notation of GBNF. Throws INLAY_ERROR_INVALID_ARGUMENT for what is no such
  /// text or has no string, INLAY_ERROR_UNSUPPORTED, with the word, for what a schema says beyond what is
  /// known here. See inlay_grammar_create.
  static Grammar from_json_schema(std::string_view schema, std::pmr::memory_resource* memory);
  static Grammar from_gbnf(std::string_view text, std::pmr::memory_resource* memory);
  /// What stands between <tool_call> and the end of </tool_call> in calls of these tools: an array of
  /// definitions. Throws as from_json_schema.
  static Grammar from_tools(JsonDocument::Value tools, std::pmr::memory_resource* memory);

  uint32_t start() const { return start_; }
  /// The same behind up to two line ends, as they stand between a thought and an answer.
  uint32_t start_after_thought() const { return start_after_thought_; }
  const State& state(uint32_t state) const { return states_[state]; }
  const Edge* edges() const { return edges_.data(); }
  const Call* calls() const { return calls_.data(); }
  size_t size() const { return states_.size(); }
  /// Bytes that no edge tells apart are of one class, and lie side by side; classes are numbered from 0.
  uint8_t byte_class(uint8_t byte) const { return byte_classes_[byte]; }

 private:
  friend class GrammarBuilder;
  explicit Grammar(std::pmr::memory_resource* memory) : states_(memory), edges_(memory), calls_(memory) {}

  std::pmr::vector<State> states_;
  std::pmr::vector<Edge> edges_;
  std::pmr::vector<Call> calls_;
  std::array<uint8_t, 256> byte_classes_{};
  uint32_t start_ = 0;
  uint32_t start_after_thought_ = 0;
};

/// Puts a grammar together from pieces, each with one way in and one way out.
class GrammarBuilder {
 public:
  static constexpr uint64_t kAnyNumber = UINT64_MAX;

  struct Piece {
    uint32_t in = 0;
    uint32_t out = 0;
  };
  struct CodePoints {
    char32_t low = 0;
    char32_t high = 0;
  };
  explicit GrammarBuilder(std::pmr::memory_resource* memory);

  std::pmr::memory_resource* memory() const { return memory_; }

  uint32_t state();
  void edge(uint32_t from, uint8_t low, uint8_t high, uint32_t to);
  void skip(uint32_t from, uint32_t to);
  void call(uint32_t from, uint32_t rule, uint32_t to);

  Piece nothing();
  Piece text(std::string_view bytes);
  Piece bytes(uint8_t low, uint8_t high);
  /// One character of these, as UTF-8.
  Piece characters(std::span<const CodePoints> set);
  Piece then(Piece first, Piece second);
  Piece either(std::span<const Piece> pieces);
  Piece either(std::initializer_list<Piece> pieces) {
    return either(std::span(pieces.begin(), pieces.size()));
  }
  Piece maybe(Piece piece);
  /// `least` to `most` of what make() makes, or any number from `least` on; each time it makes it anew.
  template <typename Make>
  Piece repeat(Make&& make, uint64_t least, uint64_t most) {
    Piece piece = nothing();
    for (uint64_t i = 0; i < least; ++i) piece = then(piece, make());
    if (most == kAnyNumber) {
      const Piece again = make();
      const Piece loop{state(), state()};
      skip(loop.in, loop.out);
      skip(loop.in, again.in);
      skip(again.out, loop.in);
      return then(piece, loop);
    }
    const uint32_t end = state();
    skip(piece.out, end);
    for (uint64_t i = least; i < most; ++i) {
      piece = then(piece, make());
      skip(piece.out, end);
    }
    return {piece.in, end};
  }

  /// A rule, to be called before or after it is defined.
  uint32_t declare();
  void define(uint32_t rule, Piece piece);
  bool is_defined(uint32_t rule) const { return rules_[rule].in != Grammar::kNone; }
  Piece use(uint32_t rule);

  /// Throws INLAY_ERROR_INVALID_ARGUMENT for rules that begin with themselves, and where there is no string.
  Grammar finish(uint32_t root);

 private:
  struct Node {
    std::pmr::vector<Grammar::Edge> edges;
    std::pmr::vector<uint32_t> skips;
    std::pmr::vector<std::pair<uint32_t, uint32_t>> calls;  // rule, return
    explicit Node(std::pmr::memory_resource* memory) : edges(memory), skips(memory), calls(memory) {}
  };
  void add_utf8(uint32_t from, uint32_t to, char32_t low, char32_t high);
  void reach(uint32_t from, std::pmr::vector<uint32_t>& reached, std::pmr::vector<uint8_t>& seen) const;
  static void classify_bytes(Grammar& grammar);
  static void measure(Grammar& grammar);
  static void refuse_left_recursion(const Grammar& grammar);

  std::pmr::memory_resource* memory_;
  std::pmr::vector<Node> nodes_;
  std::pmr::vector<Piece> rules_;
};

}  // namespace inlay

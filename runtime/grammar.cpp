#include "runtime/grammar.h"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/error.h"
#include "runtime/utf8.h"

namespace inlay {

using Piece = GrammarBuilder::Piece;

namespace {

constexpr size_t kMostEdges = 1u << 20;
constexpr size_t kMostWork = 1u << 24;  // nodes that are looked at, to find what can be reached

}  // namespace

GrammarBuilder::GrammarBuilder(std::pmr::memory_resource* memory)
    : memory_(memory), nodes_(memory), rules_(memory) {}

uint32_t GrammarBuilder::state() {
  if (nodes_.size() >= Grammar::kMostStates) {
    throw Error(INLAY_ERROR_UNSUPPORTED,
                "grammar: it takes more than " + std::to_string(Grammar::kMostStates) + " states");
  }
  nodes_.emplace_back(memory_);
  return static_cast<uint32_t>(nodes_.size() - 1);
}

void GrammarBuilder::edge(uint32_t from, uint8_t low, uint8_t high, uint32_t to) {
  nodes_[from].edges.push_back({low, high, to});
}

void GrammarBuilder::skip(uint32_t from, uint32_t to) { nodes_[from].skips.push_back(to); }

void GrammarBuilder::call(uint32_t from, uint32_t rule, uint32_t to) {
  nodes_[from].calls.emplace_back(rule, to);
}

Piece GrammarBuilder::nothing() {
  const uint32_t at = state();
  return {at, at};
}

Piece GrammarBuilder::text(std::string_view bytes) {
  Piece piece = nothing();
  for (const char c : bytes) {
    const uint32_t next = state();
    edge(piece.out, static_cast<uint8_t>(c), static_cast<uint8_t>(c), next);
    piece.out = next;
  }
  return piece;
}

Piece GrammarBuilder::bytes(uint8_t low, uint8_t high) {
  const Piece piece{state(), state()};
  edge(piece.in, low, high, piece.out);
  return piece;
}

Piece GrammarBuilder::characters(std::span<const CodePoints> set) {
  const Piece piece{state(), state()};
  for (const CodePoints& range : set) {
    // Surrogates are no characters.
    if (range.low < 0xD800) add_utf8(piece.in, piece.out, range.low, std::min<char32_t>(range.high, 0xD7FF));
    if (range.high > 0xDFFF) {
      add_utf8(piece.in, piece.out, std::max<char32_t>(range.low, 0xE000),
               std::min<char32_t>(range.high, 0x10FFFF));
    }
  }
  return piece;
}

/// Paths for the UTF-8 of a range of characters: cut until all bytes but a common front run through all of
/// their own range.
void GrammarBuilder::add_utf8(uint32_t from, uint32_t to, char32_t low, char32_t high) {
  if (low > high) return;
  for (const char32_t last : {0x7Fu, 0x7FFu, 0xFFFFu}) {
    if (low <= last && high > last) {
      add_utf8(from, to, low, last);
      add_utf8(from, to, last + 1, high);
      return;
    }
  }
  for (const uint32_t bits : {6u, 12u, 18u}) {
    const char32_t mask = (char32_t{1} << bits) - 1;
    if ((low & ~mask) == (high & ~mask)) break;
    if ((low & mask) != 0) {
      add_utf8(from, to, low, low | mask);
      add_utf8(from, to, (low | mask) + 1, high);
      return;
    }
    if ((high & mask) != mask) {
      add_utf8(from, to, low, (high & ~mask) - 1);
      add_utf8(from, to, high & ~mask, high);
      return;
    }
  }
  char first[4];
  char last[4];
  const size_t count = write_utf8(low, first);
  write_utf8(high, last);
  for (size_t i = 0; i < count; ++i) {
    const uint32_t next = i + 1 == count ? to : state();
    edge(from, static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i]), next);
    from = next;
  }
}

Piece GrammarBuilder::then(Piece first, Piece second) {
  skip(first.out, second.in);
  return {first.in, second.out};
}

Piece GrammarBuilder::either(std::span<const Piece> pieces) {
  const Piece piece{state(), state()};
  for (const Piece& one : pieces) {
    skip(piece.in, one.in);
    skip(one.out, piece.out);
  }
  return piece;
}

Piece GrammarBuilder::maybe(Piece piece) { return either({piece, nothing()}); }

uint32_t GrammarBuilder::declare() {
  rules_.push_back({Grammar::kNone, Grammar::kNone});
  return static_cast<uint32_t>(rules_.size() - 1);
}

void GrammarBuilder::define(uint32_t rule, Piece piece) { rules_[rule] = piece; }

Piece GrammarBuilder::use(uint32_t rule) {
  const Piece piece{state(), state()};
  call(piece.in, rule, piece.out);
  return piece;
}

/// All that can be reached without a byte or a call.
void GrammarBuilder::reach(uint32_t from, std::pmr::vector<uint32_t>& reached,
                           std::pmr::vector<uint8_t>& seen) const {
  reached.assign(1, from);
  seen[from] = 1;
  for (size_t i = 0; i < reached.size(); ++i) {
    for (const uint32_t next : nodes_[reached[i]].skips) {
      if (seen[next] != 0) continue;
      seen[next] = 1;
      reached.push_back(next);
    }
  }
  for (const uint32_t node : reached) seen[node] = 0;
}

Grammar GrammarBuilder::finish(uint32_t root) {
  const uint32_t after_thought = declare();
  define(after_thought, then(repeat([this] { return text("\n"); }, 0, 2), use(root)));

  Grammar grammar(memory_);
  std::pmr::vector<uint32_t> states(nodes_.size(), Grammar::kNone, memory_);  // of nodes
  std::pmr::vector<uint32_t> order(memory_);                                  // nodes that became states
  const auto state_of = [&](uint32_t node) {
    if (states[node] == Grammar::kNone) {
      states[node] = static_cast<uint32_t>(order.size());
      order.push_back(node);
    }
    return states[node];
  };
  std::pmr::vector<uint8_t> ends(nodes_.size(), 0, memory_);
  for (const Piece& rule : rules_) ends[rule.out] = 1;
  grammar.start_ = state_of(rules_[root].in);
  grammar.start_after_thought_ = state_of(rules_[after_thought].in);
  std::pmr::vector<uint32_t> reached(memory_);
  std::pmr::vector<uint8_t> seen(nodes_.size(), 0, memory_);
  size_t work = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    reach(order[i], reached, seen);
    work += reached.size();
    if (work > kMostWork || grammar.edges_.size() + grammar.calls_.size() > kMostEdges) {
      throw Error(INLAY_ERROR_UNSUPPORTED,
                  "grammar: too many of its parts may be left out one after another");
    }
    Grammar::State state;
    state.edge_begin = static_cast<uint32_t>(grammar.edges_.size());
    state.call_begin = static_cast<uint32_t>(grammar.calls_.size());
    for (const uint32_t node : reached) {
      state.accepts = state.accepts || ends[node] != 0;
      for (const Grammar::Edge& edge : nodes_[node].edges) {
        grammar.edges_.push_back({edge.low, edge.high, state_of(edge.to)});
      }
      for (const auto& [rule, to] : nodes_[node].calls) {
        const uint32_t start = state_of(rules_[rule].in);
        grammar.calls_.push_back({start, state_of(to)});
      }
    }
    state.edge_end = static_cast<uint32_t>(grammar.edges_.size());
    state.call_end = static_cast<uint32_t>(grammar.calls_.size());
    grammar.states_.push_back(state);
  }
  classify_bytes(grammar);
  measure(grammar);
  refuse_left_recursion(grammar);
  if (grammar.states_[grammar.start_].distance >= Grammar::kFar) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT, "grammar: nothing satisfies it");
  }
  return grammar;
}

void GrammarBuilder::classify_bytes(Grammar& grammar) {
  std::array<bool, 257> begins{};
  for (const Grammar::Edge& edge : grammar.edges_) begins[edge.low] = begins[edge.high + 1] = true;
  for (size_t byte = 1; byte < 256; ++byte) {
    grammar.byte_classes_[byte] =
        static_cast<uint8_t>(grammar.byte_classes_[byte - 1] + (begins[byte] ? 1 : 0));
  }
}

/// Finds each state's distance to the end of its rule.
void GrammarBuilder::measure(Grammar& grammar) {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = grammar.states_.size(); i-- > 0;) {
      Grammar::State& state = grammar.states_[i];
      uint32_t distance = state.accepts ? 0 : Grammar::kFar;
      for (uint32_t e = state.edge_begin; e < state.edge_end; ++e) {
        distance = std::min(distance, 1 + grammar.states_[grammar.edges_[e].to].distance);
      }
      for (uint32_t c = state.call_begin; c < state.call_end; ++c) {
        const Grammar::Call& call = grammar.calls_[c];
        distance =
            std::min(distance, grammar.states_[call.rule].distance + grammar.states_[call.to].distance);
      }
      distance = std::min(distance, Grammar::kFar);
      changed = changed || distance != state.distance;
      state.distance = distance;
    }
  }
}

/// A rule that could call itself before any byte would never come to one.
void GrammarBuilder::refuse_left_recursion(const Grammar& grammar) {
  // A graph of the rules' first states: who can begin with whom. What nobody begins with is taken away until
  // nothing is left, or a ring.
  const size_t count = grammar.states_.size();
  std::pmr::memory_resource* memory = grammar.states_.get_allocator().resource();
  std::pmr::vector<uint8_t> is_rule(count, 0, memory);
  for (const Grammar::Call& call : grammar.calls_) is_rule[call.rule] = 1;
  std::pmr::vector<std::pair<uint32_t, uint32_t>> begins(memory);
  std::pmr::vector<uint32_t> waiting(memory);
  std::pmr::vector<uint32_t> seen(count, Grammar::kNone, memory);
  for (uint32_t rule = 0; rule < count; ++rule) {
    if (is_rule[rule] == 0) continue;
    waiting.assign(1, rule);
    seen[rule] = rule;
    while (!waiting.empty()) {
      const Grammar::State& state = grammar.states_[waiting.back()];
      waiting.pop_back();
      for (uint32_t c = state.call_begin; c < state.call_end; ++c) {
        const Grammar::Call& call = grammar.calls_[c];
        begins.emplace_back(rule, call.rule);
        if (grammar.states_[call.rule].distance == 0 && seen[call.to] != rule) {
          seen[call.to] = rule;
          waiting.push_back(call.to);
        }
      }
    }
  }
  std::sort(begins.begin(), begins.end());
  begins.erase(std::unique(begins.begin(), begins.end()), begins.end());
  std::pmr::vector<uint32_t> users(count, 0, memory);
  for (const auto& [rule, first] : begins) ++users[first];
  size_t left = begins.size();
  for (uint32_t rule = 0; rule < count; ++rule) {
    if (is_rule[rule] != 0 && users[rule] == 0) waiting.push_back(rule);
  }
  while (!waiting.empty()) {
    const uint32_t rule = waiting.back();
    waiting.pop_back();
    auto it = std::lower_bound(begins.begin(), begins.end(), std::pair<uint32_t, uint32_t>(rule, 0));
    for (; it != begins.end() && it->first == rule; ++it, --left) {
      if (--users[it->second] == 0) waiting.push_back(it->second);
    }
  }
  if (left > 0) throw Error(INLAY_ERROR_INVALID_ARGUMENT, "grammar: a rule begins with itself");
}

}  // namespace inlay

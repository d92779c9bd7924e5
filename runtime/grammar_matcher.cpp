#include "runtime/grammar_matcher.h"

#include <algorithm>

namespace inlay {
namespace {

/// A plain character's bytes, as VocabularyTrie has it: ranges of the first, the second and so on, and an
/// end.
constexpr uint8_t kPlainCharacters[][5][2] = {{{0x20, 0x21}},
                                              {{0x23, 0x5B}},
                                              {{0x5D, 0x7F}},
                                              {{0xC2, 0xDF}, {0x80, 0xBF}},
                                              {{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}},
                                              {{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}},
                                              {{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}},
                                              {{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}},
                                              {{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
                                              {{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
                                              {{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}}};

uint32_t slot_of(uint64_t key, uint32_t slots) {
  return static_cast<uint32_t>((key * 0x9E3779B97F4A7C15u) >> 40) % slots;
}

}  // namespace

void GrammarMatcher::Parts::lay_out(Layout& layout, uint32_t vocabulary) {
  nodes = layout.take<Node>(kNodes);
  node_slots = layout.take<uint32_t>(kSlots);
  sets = layout.take<Set>(kSets);
  set_slots = layout.take<uint32_t>(kSlots);
  set_nodes = layout.take<uint32_t>(kSetNodes);
  steps = layout.take<uint16_t>(uint64_t{kSets} * 256);
  masks = layout.take<uint32_t>(uint64_t{kMasks} * ((vocabulary + 31) / 32));
  live = layout.take<uint32_t>(kLive);
}

GrammarMatcher::GrammarMatcher(uint32_t vocabulary, std::pmr::memory_resource* memory)
    : vocabulary_(vocabulary) {
  Layout counting;
  Parts().lay_out(counting, vocabulary);
  block_ = Block(memory, counting.bytes());
  Layout placing(block_.data(), block_.bytes());
  parts_.lay_out(placing, vocabulary);
  clear();
}

void GrammarMatcher::use(const Grammar& grammar, const VocabularyTrie& trie) {
  grammar_ = &grammar;
  trie_ = &trie;
  clear();
}

void GrammarMatcher::clear() {
  std::fill_n(parts_.node_slots, kSlots, kNoNode);
  std::fill_n(parts_.set_slots, kSlots, kNoNode);
  node_count_ = 0;
  set_node_count_ = 0;
  // The first set is the empty one, from which nothing leads anywhere.
  set_count_ = 1;
  parts_.sets[kDead] = {0, 0, Grammar::kFar, kNoNode, false, kNotAll, {}};
  std::fill_n(parts_.steps, 256, static_cast<uint16_t>(kDead + 1));
  full_ = false;
  kept_ = {};
}

/// The number of a stack, found or made; kNoNode where it is too deep, leads nowhere or finds no room.
uint32_t GrammarMatcher::node(uint32_t state, uint32_t below) {
  const uint32_t slot = slot_of(uint64_t{state} << 32 | below, kSlots);
  for (uint32_t at = parts_.node_slots[slot]; at != kNoNode; at = parts_.nodes[at].next) {
    if (parts_.nodes[at].state == state && parts_.nodes[at].below == below) return at;
  }
  uint64_t distance = grammar_->state(state).distance;
  uint32_t depth = 1;
  if (below != kNoNode) {
    distance += parts_.nodes[below].distance;
    depth += parts_.nodes[below].depth;
  }
  if (depth > kDeepest || distance >= Grammar::kFar) return kNoNode;
  if (node_count_ == kNodes) {
    full_ = true;
    return kNoNode;
  }
  parts_.nodes[node_count_] = {state, below, static_cast<uint32_t>(distance), depth, parts_.node_slots[slot]};
  parts_.node_slots[slot] = node_count_;
  return node_count_++;
}

/// Adds to the set being made what this stack comes to without a byte.
void GrammarMatcher::expand(uint32_t first) {
  uint32_t waiting = 0;
  const auto add = [&](uint32_t node) {
    if (node == kNoNode) return;
    const auto end = seen_.begin() + seen_count_;
    if (std::find(seen_.begin(), end, node) != end) return;
    if (seen_count_ == seen_.size() || waiting == waiting_.size()) return;
    seen_[seen_count_++] = node;
    waiting_[waiting++] = node;
  };
  add(first);
  while (waiting > 0) {
    const uint32_t at = waiting_[--waiting];
    const Node top = parts_.nodes[at];
    const Grammar::State& state = grammar_->state(top.state);
    if (state.edge_begin != state.edge_end && top_count_ < tops_.size()) tops_[top_count_++] = at;
    if (state.accepts) {
      if (top.below == kNoNode) {
        accepts_ = true;
      } else {
        add(top.below);
      }
    }
    for (uint32_t c = state.call_begin; c < state.call_end; ++c) {
      const Grammar::Call& call = grammar_->calls()[c];
      const Grammar::State& to = grammar_->state(call.to);
      // Where nothing is left to do after a call, what is below is where it returns: lists stay flat.
      const bool last = to.accepts && to.edge_begin == to.edge_end && to.call_begin == to.call_end;
      const uint32_t below = last ? top.below : node(call.to, top.below);
      if (!last && below == kNoNode) continue;
      add(node(call.rule, below));
    }
  }
}

/// The number of the set that was made, found or new.
GrammarMatcher::Place GrammarMatcher::finish_set() {
  std::sort(tops_.begin(), tops_.begin() + top_count_);
  if (top_count_ == 0 && !accepts_) return kDead;
  uint64_t key = accepts_ ? 1 : 0;
  uint32_t distance = accepts_ ? 0 : Grammar::kFar;
  for (uint32_t i = 0; i < top_count_; ++i) {
    key = (key ^ tops_[i]) * 0x100000001B3u;
    distance = std::min(distance, parts_.nodes[tops_[i]].distance);
  }
  const uint32_t slot = slot_of(key, kSlots);
  for (uint32_t at = parts_.set_slots[slot]; at != kNoNode; at = parts_.sets[at].next) {
    const Set& set = parts_.sets[at];
    if (set.count == top_count_ && set.accepts == accepts_ &&
        std::equal(tops_.begin(), tops_.begin() + top_count_, parts_.set_nodes + set.begin)) {
      return at;
    }
  }
  if (set_count_ == kSets || set_node_count_ + top_count_ > kSetNodes) {
    full_ = true;
    return kDead;
  }
  parts_.sets[set_count_] = {set_node_count_, top_count_, distance, parts_.set_slots[slot],
                             accepts_,        kNotKnown,  {}};
  parts_.set_slots[slot] = set_count_;
  std::copy_n(tops_.begin(), top_count_, parts_.set_nodes + set_node_count_);
  std::fill_n(parts_.steps + uint64_t{set_count_} * 256, 256, uint16_t{0});
  set_node_count_ += top_count_;
  return set_count_++;
}

GrammarMatcher::Place GrammarMatcher::start(bool after_thought) {
  top_count_ = seen_count_ = 0;
  accepts_ = false;
  expand(node(after_thought ? grammar_->start_after_thought() : grammar_->start(), kNoNode));
  return finish_set();
}

GrammarMatcher::Place GrammarMatcher::find_step(Place place, uint8_t byte) {
  top_count_ = seen_count_ = 0;
  accepts_ = false;
  const Set set = parts_.sets[place];
  for (uint32_t i = 0; i < set.count; ++i) {
    const Node top = parts_.nodes[parts_.set_nodes[set.begin + i]];
    const Grammar::State& state = grammar_->state(top.state);
    for (uint32_t e = state.edge_begin; e < state.edge_end; ++e) {
      const Grammar::Edge& edge = grammar_->edges()[e];
      if (byte >= edge.low && byte <= edge.high) expand(node(edge.to, top.below));
    }
  }
  const bool was_full = full_;
  full_ = false;
  const Place next = finish_set();
  // What found no room is not known; it is tried again when there is some.
  if (!full_ && !was_full) {
    parts_.steps[uint64_t{place} * 256 + grammar_->byte_class(byte)] = static_cast<uint16_t>(next + 1);
  }
  full_ = full_ || was_full;
  return next;
}

GrammarMatcher::Place GrammarMatcher::step(Place place, uint8_t byte) {
  const uint16_t known = parts_.steps[uint64_t{place} * 256 + grammar_->byte_class(byte)];
  return known != 0 ? known - 1u : find_step(place, byte);
}

GrammarMatcher::Place GrammarMatcher::push(Place place, std::string_view bytes) {
  for (const char c : bytes) {
    if (place == kDead) break;
    place = step(place, static_cast<uint8_t>(c));
  }
  return place;
}

/// Adds where strings of these bytes lead; `ends`: one led nowhere. False where that is not the same for all.
bool GrammarMatcher::follow(Place place, const uint8_t (*ranges)[2], Set& into, bool& ends) {
  const auto [low, high] = *ranges;
  for (uint32_t byte = low; byte <= high; ++byte) {
    const auto b = static_cast<uint8_t>(byte);
    if (byte > low && grammar_->byte_class(b) == grammar_->byte_class(static_cast<uint8_t>(byte - 1)))
      continue;
    const Place next = step(place, b);
    if (next == kDead) {
      ends = true;
    } else if (ranges[1][1] != 0) {
      if (!follow(next, ranges + 1, into, ends)) return false;
    } else if (const auto end = into.after.begin() + into.after_count;
               std::find(into.after.begin(), end, next) == end) {
      if (into.after_count == kMostAfter) return false;
      into.after[into.after_count++] = static_cast<uint16_t>(next);
    }
    if (ends && into.after_count > 0) return false;
  }
  return true;
}

void GrammarMatcher::find_after(Place place) {
  Set found = parts_.sets[place];
  found.after_count = 0;
  bool ends = false;
  for (const auto& ranges : kPlainCharacters) {
    if (follow(place, ranges, found, ends)) continue;
    found.after_count = kNotAll;
    break;
  }
  if (full_) return;  // it is tried again when there is room
  parts_.sets[place].after_count = found.after_count;
  parts_.sets[place].after = found.after;
}

/// All places that plain text leads to, a character at a time, as long as it is the same to all of it: it may
/// come, or may not, be it for its distance.
GrammarMatcher::Plain GrammarMatcher::plain_from(Place place, uint32_t most_left) {
  Plain plain;
  met_[0] = place;
  uint32_t count = 1;
  uint32_t begin = 0;
  bool may_come = true;
  bool again = false;  // a place was met twice: what is said of it has to hold at any distance from here
  while (begin < count && plain.same < VocabularyTrie::kMostCut) {
    const uint32_t end = count;
    uint32_t distance = plain.distance;
    uint32_t ways = 0;   // from all the places
    uint32_t close = 0;  // of them those to a place from which the end can be reached
    bool none = false;
    for (; begin < end; ++begin) {
      const Place at = met_[begin];
      if (parts_.sets[at].after_count == kNotKnown) find_after(at);
      const Set& set = parts_.sets[at];
      if (set.after_count > kMostAfter) return plain;
      none = none || set.after_count == 0;
      for (uint32_t i = 0; i < set.after_count; ++i) {
        const Place next = set.after[i];
        ++ways;
        close += parts_.sets[next].distance <= most_left;
        distance = std::max(distance, parts_.sets[next].distance);
        if (std::find(met_.begin(), met_.begin() + count, next) != met_.begin() + count) {
          again = true;
          continue;
        }
        if (count == met_.size()) return plain;
        met_[count++] = next;
      }
    }
    const bool all = close == ways && !none && ways > 0;
    // Once nothing may come, be it too far or nowhere, it has to stay so.
    if (!all && (close > 0 || (again && plain.may_come > 0))) return plain;
    may_come = may_come && all;
    if (all && !may_come) return plain;
    plain.cut = plain.cut || close < ways;
    ++plain.same;
    if (!all) continue;
    plain.may_come = plain.same;
    plain.distance = distance;
  }
  if (begin < count) return plain;
  plain.same = VocabularyTrie::kAnyLength;
  if (may_come) plain.may_come = plain.same;
  return plain;
}

/// Walks the vocabulary as far as the grammar goes along, but for what is plain where that makes no
/// difference.
GrammarMatcher::Walked GrammarMatcher::walk(Place place, uint32_t most_left, uint32_t* out) {
  const Plain plain = plain_from(place, most_left);
  Walked walked;
  walked.distance = plain.distance;
  walked.cut = plain.cut;
  std::fill_n(out, words(), 0u);
  if (plain.may_come > 0) {
    const std::span<const uint32_t> mask = trie_->plain(plain.may_come);
    std::copy_n(mask.begin(), std::min<size_t>(mask.size(), words()), out);
  }
  const VocabularyTrie::Node* nodes = trie_->nodes();
  const uint32_t size = trie_->size();
  path_[0] = place;
  ends_[0] = size;
  for (uint32_t i = 0; i < size;) {
    const VocabularyTrie::Node& node = nodes[i];
    if (node.characters <= plain.same) {
      i = ends_[node.depth];
      continue;
    }
    const Place next = step(path_[node.depth], node.byte);
    if (next == kDead) {
      i = node.skip;
      continue;
    }
    if (node.token >= 0) {
      const uint32_t distance = parts_.sets[next].distance;
      if (distance <= most_left) {
        out[node.token / 32] |= 1u << (node.token % 32);
        walked.distance = std::max(walked.distance, distance);
      } else {
        walked.cut = true;
      }
    }
    path_[node.depth + 1] = next;
    ends_[node.depth + 1] = node.skip;
    ++i;
  }
  return walked;
}

void GrammarMatcher::mask(Place place, uint32_t most_left, uint32_t* out) {
  ++clock_;
  KeptMask* oldest = &kept_[0];
  for (KeptMask& kept : kept_) {
    if (kept.place == place && place != kDead && kept.most_distance <= most_left) {
      kept.used = clock_;
      std::copy_n(parts_.masks + static_cast<size_t>(&kept - kept_.data()) * words(), words(), out);
      return;
    }
    if (kept.used < oldest->used) oldest = &kept;
  }
  const Walked walked = walk(place, most_left, out);
  // What the end's nearness has cut is not worth keeping.
  if (full_ || walked.cut) return;
  *oldest = {place, walked.distance, clock_};
  std::copy_n(out, words(), parts_.masks + static_cast<size_t>(oldest - kept_.data()) * words());
}

void GrammarMatcher::make_room(std::span<Place* const> live) {
  const bool crowded =
      node_count_ > kNodes / 4 * 3 || set_count_ > kSets / 4 * 3 || set_node_count_ > kSetNodes / 4 * 3;
  if (!full_ && !crowded) return;
  // The stacks of the live places, from the bottom up, each as its count and its states.
  uint32_t* out = parts_.live;
  uint32_t* const end = parts_.live + kLive;
  for (const Place* place : live) {
    const Set& set = parts_.sets[*place];
    uint32_t* head = out;
    if (end - out < 2) break;
    *out++ = 0;
    *out++ = set.accepts ? 1 : 0;
    for (uint32_t i = 0; i < set.count; ++i) {
      const uint32_t top = parts_.set_nodes[set.begin + i];
      const uint32_t depth = parts_.nodes[top].depth;
      if (end - out < static_cast<std::ptrdiff_t>(depth) + 1) break;  // fewer ways are followed from now on
      *out = depth;
      uint32_t at = top;
      for (uint32_t d = depth; d > 0; --d) {
        out[d] = parts_.nodes[at].state;
        at = parts_.nodes[at].below;
      }
      out += depth + 1;
      ++*head;
    }
  }
  const uint32_t* const written = out;
  clear();
  const uint32_t* in = parts_.live;
  for (Place* place : live) {
    if (in == written) {
      *place = kDead;
      continue;
    }
    const uint32_t count = *in++;
    top_count_ = seen_count_ = 0;
    accepts_ = *in++ != 0;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t depth = *in++;
      uint32_t below = kNoNode;
      for (uint32_t d = 0; d < depth; ++d) below = node(*in++, below);
      if (below != kNoNode && top_count_ < tops_.size()) tops_[top_count_++] = below;
    }
    *place = finish_set();
  }
}

}  // namespace inlay

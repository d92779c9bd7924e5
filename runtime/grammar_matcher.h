#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>

#include "runtime/grammar.h"
#include "runtime/host_memory.h"
#include "runtime/layout.h"
#include "runtime/vocabulary_trie.h"

namespace inlay {

/// Follows a grammar through bytes, and finds the tokens that may come next. Where a text stands is a set of
/// stacks; sets that were met are kept, numbered, with where each byte leads from them (a deterministic
/// automaton that is made as it is needed), and so are the masks found lately. All of its memory is taken at
/// once; when it is used up, all that was kept is dropped but for the places still in use, and it begins
/// anew.
///
/// Nesting deeper than kDeepest, and more than kWidest ways to read a text at once, are not followed: fewer
/// strings are then allowed, never more. One thread at a time.
class GrammarMatcher {
 public:
  using Place = uint32_t;
  static constexpr Place kDead = 0;  // no string of the grammar goes on so

  static constexpr uint32_t kDeepest = 400;
  static constexpr uint32_t kWidest = 128;

  GrammarMatcher(uint32_t vocabulary, std::pmr::memory_resource* memory);

  /// Starts over with a grammar and its vocabulary, which outlive the use; places of before are gone.
  void use(const Grammar& grammar, const VocabularyTrie& trie);
  const Grammar* grammar() const { return grammar_; }

  Place start(bool after_thought);
  Place push(Place place, std::string_view bytes);
  /// Whether a string of the grammar ends here.
  bool accepts(Place place) const { return parts_.sets[place].accepts; }
  /// Bytes to the end of the shortest string from here.
  uint32_t distance(Place place) const { return parts_.sets[place].distance; }

  /// Sets the bits of tokens that may come, and after which the end is at most `most_left` bytes away.
  /// [(vocabulary + 31) / 32] words.
  void mask(Place place, uint32_t most_left, uint32_t* out);

  /// To be called before push and mask, with all places that are still in use: they may be renumbered.
  void make_room(std::span<Place* const> live);

 private:
  struct Node {  // of a stack: where its top stands, and what is below
    uint32_t state;
    uint32_t below;
    uint32_t distance;
    uint32_t depth;
    uint32_t next;  // in its slot of the table
  };
  static constexpr uint8_t kMostAfter = 4;
  static constexpr uint8_t kNotKnown = kMostAfter + 1;
  static constexpr uint8_t kNotAll = kMostAfter + 2;
  struct Set {
    uint32_t begin;  // its nodes
    uint32_t count;
    uint32_t distance;
    uint32_t next;  // in its slot
    bool accepts;
    // Where any one plain character leads: to so many places; 0 where none may come, kNotAll where some may
    // not, or the places are more.
    uint8_t after_count = kNotKnown;
    std::array<uint16_t, kMostAfter> after{};
  };
  /// How far a place is the same to any plain text of so many characters.
  struct Plain {
    uint8_t same = 0;       // to all of so many characters
    uint8_t may_come = 0;   // of them: these may come, longer ones not
    bool cut = false;       // some may not come for its distance
    uint32_t distance = 0;  // the greatest after what may come
  };
  struct Walked {
    uint32_t distance = 0;  // the greatest after a token that is allowed, or more
    bool cut = false;       // tokens were left out for their distance
  };
  struct KeptMask {
    Place place = kDead;
    uint32_t most_distance = 0;  // after any of its tokens
    uint64_t used = 0;
  };
  struct Parts {
    Node* nodes = nullptr;
    uint32_t* node_slots = nullptr;
    Set* sets = nullptr;
    uint32_t* set_slots = nullptr;
    uint32_t* set_nodes = nullptr;
    uint16_t* steps = nullptr;  // [sets][256 classes]: 0 not known yet, else one more than the place
    uint32_t* masks = nullptr;  // [kMasks][words]
    uint32_t* live = nullptr;   // room to carry stacks over
    void lay_out(Layout& layout, uint32_t vocabulary);
  };
  static constexpr uint32_t kNodes = 1u << 15;
  static constexpr uint32_t kSlots = 1u << 15;
  static constexpr uint32_t kSets = 1u << 12;
  static constexpr uint32_t kSetNodes = 1u << 16;
  static constexpr uint32_t kMasks = 48;
  static constexpr uint32_t kLive = 1u << 15;
  static constexpr uint32_t kNoNode = UINT32_MAX;

  uint32_t words() const { return (vocabulary_ + 31) / 32; }
  void clear();
  uint32_t node(uint32_t state, uint32_t below);
  void expand(uint32_t node);
  Place finish_set();
  Place step(Place place, uint8_t byte);
  Place find_step(Place place, uint8_t byte);
  bool follow(Place place, const uint8_t (*ranges)[2], Set& into, bool& ends);
  void find_after(Place place);
  Plain plain_from(Place place, uint32_t most_left);
  Walked walk(Place place, uint32_t most_left, uint32_t* out);

  uint32_t vocabulary_;
  Block block_;
  Parts parts_;
  const Grammar* grammar_ = nullptr;
  const VocabularyTrie* trie_ = nullptr;
  uint32_t node_count_ = 0;
  uint32_t set_count_ = 0;
  uint32_t set_node_count_ = 0;
  bool full_ = false;  // something did not fit since the last make_room

  // The set being made.
  std::array<uint32_t, kWidest> tops_{};
  uint32_t top_count_ = 0;
  std::array<uint32_t, 4 * kWidest> waiting_{};
  std::array<uint32_t, 4 * kWidest> seen_{};
  uint32_t seen_count_ = 0;
  bool accepts_ = false;

  std::array<Place, VocabularyTrie::kLongest + 2> path_{};
  std::array<uint32_t, VocabularyTrie::kLongest + 2> ends_{};  // by depth, the end of the siblings
  std::array<Place, 64> met_{};                                // by plain text
  std::array<KeptMask, kMasks> kept_{};
  uint64_t clock_ = 0;
};

}  // namespace inlay

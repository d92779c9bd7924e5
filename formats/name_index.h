#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string_view>
#include <vector>

namespace inlay {

/// Finds the number of a name: a hash table with open addressing, at most half full, over names that are kept
/// elsewhere. `name_of(number)` gives the name of an entry.
class NameIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit NameIndex(std::pmr::memory_resource* memory) : slots_(memory) {}

  /// Makes room for `count` names (at most 2^30) and forgets what it held.
  void reset(uint32_t count) { slots_.assign(std::bit_ceil(uint64_t{count} * 2 + 1), Slot{0, kNone}); }

  /// Adds entry `number`; gives the entry that has that name already, and adds nothing, or kNone.
  template <typename NameOf>
  uint32_t insert(std::string_view name, uint32_t number, const NameOf& name_of) {
    Slot& slot = slots_[find_slot(name, name_of)];
    if (slot.number != kNone) return slot.number;
    slot = {hash(name), number};
    return kNone;
  }

  /// The entry of that name, or kNone.
  template <typename NameOf>
  uint32_t find(std::string_view name, const NameOf& name_of) const {
    return slots_.empty() ? kNone : slots_[find_slot(name, name_of)].number;
  }

 private:
  struct Slot {
    uint32_t hash;
    uint32_t number;
  };

  // FNV-1a, its halves folded.
  static uint32_t hash(std::string_view name) {
    uint64_t value = 0xcbf29ce484222325U;
    for (const char c : name) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return static_cast<uint32_t>(value ^ (value >> 32));
  }

  template <typename NameOf>
  size_t find_slot(std::string_view name, const NameOf& name_of) const {
    const uint32_t wanted = hash(name);
    const size_t mask = slots_.size() - 1;
    size_t at = wanted & mask;
    while (slots_[at].number != kNone && (slots_[at].hash != wanted || name_of(slots_[at].number) != name)) {
      at = (at + 1) & mask;
    }
    return at;
  }

  std::pmr::vector<Slot> slots_;
};

}  // namespace inlay

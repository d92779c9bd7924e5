#pragma once

#include <cstdint>
#include <string_view>

namespace inlay {

/// A hash of bytes that arrive one at a time (FNV-1a, draft-eastlake-fnv).
class ByteHash {
 public:
  void add(uint8_t byte) { state_ = (state_ ^ byte) * 0x100000001B3u; }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0xCBF29CE484222325u;
};

inline uint64_t hash_of(std::string_view bytes) {
  ByteHash hash;
  for (const char byte : bytes) hash.add(static_cast<uint8_t>(byte));
  return hash.value();
}

inline uint64_t hash_of(uint32_t left, uint32_t right) {
  return (uint64_t{left} << 32 | right) * 0xFF51AFD7ED558CCDu;
}

/// Where a search in a table of `slots` slots, a power of two or not, begins.
inline uint32_t first_slot(uint64_t hash, uint32_t slots) {
  const uint64_t mixed = (hash ^ hash >> 29) * 0x9E3779B97F4A7C15u;
  return static_cast<uint32_t>((mixed >> 32) * slots >> 32);
}

inline uint32_t next_slot(uint32_t slot, uint32_t slots) { return slot + 1 == slots ? 0 : slot + 1; }

}  // namespace inlay

#pragma once

#include <cstddef>
#include <cstdint>

namespace inlay {

/// XXH3 (Collet), 64 bits, seed 0, of bytes that arrive in pieces.
class Checksum {
 public:
  Checksum();
  void add(const void* data, size_t bytes);
  uint64_t value() const;

 private:
  alignas(64) std::byte state_[576];
};

uint64_t checksum_of(const void* data, size_t bytes);

}  // namespace inlay

#include "formats/checksum.h"

#include <new>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace inlay {

static_assert(sizeof(XXH3_state_t) <= 576 && alignof(XXH3_state_t) <= 64);

Checksum::Checksum() { XXH3_64bits_reset(new (state_) XXH3_state_t); }

void Checksum::add(const void* data, size_t bytes) {
  XXH3_64bits_update(reinterpret_cast<XXH3_state_t*>(state_), data, bytes);
}

uint64_t Checksum::value() const { return XXH3_64bits_digest(reinterpret_cast<const XXH3_state_t*>(state_)); }

uint64_t checksum_of(const void* data, size_t bytes) { return XXH3_64bits(data, bytes); }

}  // namespace inlay

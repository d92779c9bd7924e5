#pragma once

#include <cstdint>

namespace inlay::test {

/// Whether this build can see allocations that do not go through Inlay's allocator.
bool can_count_allocations();

/// Between these, every allocation of any thread by malloc and its kin, operator new included, is counted.
void begin_counting();
uint64_t end_counting();

}  // namespace inlay::test

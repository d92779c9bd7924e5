#pragma once

#include <cstdint>

namespace inlay::test {

/// Whether this build can see allocations that do not go through Inlay's allocator.
bool can_count_allocations();

/// Between these, every allocation of any thread by malloc and its kin, operator new included, is counted.
void begin_counting();
uint64_t end_counting();

/// The call-th allocation from now on, 1 being the next, gives null; 0: none. False where this build cannot
/// do it.
bool fail_allocation(uint64_t call);
/// Whether it has come to that.
bool allocation_has_failed();

}  // namespace inlay::test

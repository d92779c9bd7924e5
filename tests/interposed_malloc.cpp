#include "tests/interposed_malloc.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

// With glibc the C library's functions are replaced; elsewhere, and under a sanitizer, which replaces them
// itself, there is nothing to count with, and these tests are not built.

namespace {

std::atomic<bool> counting{false};
std::atomic<uint64_t> allocations{0};

std::atomic<int64_t> calls_to_failure{0};

[[maybe_unused]] void note() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

/// Notes the call; false where it is the one that has to fail.
[[maybe_unused]] bool may_allocate() {
  note();
  if (calls_to_failure.load(std::memory_order_relaxed) <= 0) return true;
  return calls_to_failure.fetch_sub(1, std::memory_order_relaxed) != 1;
}

}  // namespace

#if defined(__GLIBC__)

// Exported, so that the C++ library's calls come here too.
#pragma GCC visibility push(default)
extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming): glibc's names.
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming)

void* malloc(size_t size) { return may_allocate() ? __libc_malloc(size) : nullptr; }
void* calloc(size_t count, size_t size) { return may_allocate() ? __libc_calloc(count, size) : nullptr; }
void* realloc(void* memory, size_t size) { return may_allocate() ? __libc_realloc(memory, size) : nullptr; }
void* aligned_alloc(size_t alignment, size_t size) {
  return may_allocate() ? __libc_memalign(alignment, size) : nullptr;
}
void* memalign(size_t alignment, size_t size) {
  return may_allocate() ? __libc_memalign(alignment, size) : nullptr;
}
int posix_memalign(void** out, size_t alignment, size_t size) {
  *out = may_allocate() ? __libc_memalign(alignment, size) : nullptr;
  return *out == nullptr ? ENOMEM : 0;
}

}  // extern "C"
#pragma GCC visibility pop

bool inlay::test::can_count_allocations() { return true; }

#else

bool inlay::test::can_count_allocations() { return false; }

#endif

bool inlay::test::fail_allocation([[maybe_unused]] uint64_t call) {
#if !defined(__GLIBC__)
  return false;
#else
  calls_to_failure = static_cast<int64_t>(call);
  return true;
#endif
}

bool inlay::test::allocation_has_failed() { return calls_to_failure <= 0; }

void inlay::test::begin_counting() {
  allocations = 0;
  counting = true;
}

uint64_t inlay::test::end_counting() {
  counting = false;
  return allocations;
}

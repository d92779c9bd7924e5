#pragma once

#include <cstddef>
#include <cstdint>

namespace inlay {

inline constexpr size_t kCacheLine = 64;

/// Lays an object's parts out in one block of memory. Every object's layout function runs twice: with no
/// base it counts, with a base it places, so what was planned and what is taken cannot drift apart.
class Layout {
 public:
  Layout() = default;
  Layout(void* base, size_t capacity) : base_(static_cast<std::byte*>(base)), capacity_(capacity) {}

  bool counting() const { return base_ == nullptr; }

  /// Room for `count` objects of T; null while counting. The memory is not initialised.
  template <typename T>
  T* take(uint64_t count, size_t alignment = kCacheLine) {
    offset_ = (offset_ + alignment - 1) / alignment * alignment;
    const uint64_t at = offset_;
    offset_ += count * sizeof(T);  // NOLINT(bugprone-sizeof-expression): T may be a pointer
    if (base_ == nullptr) return nullptr;
    return offset_ <= capacity_ ? reinterpret_cast<T*>(base_ + at) : nullptr;
  }

  /// Bytes taken so far, rounded up to a cache line so that layouts can follow each other.
  uint64_t bytes() const { return (offset_ + kCacheLine - 1) / kCacheLine * kCacheLine; }

 private:
  std::byte* base_ = nullptr;
  uint64_t capacity_ = 0;
  uint64_t offset_ = 0;
};

}  // namespace inlay

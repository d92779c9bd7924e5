#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory_resource>

#include "inlay/inlay.h"

namespace inlay {

/// What memory is for; figures are kept for each.
enum class MemoryKind : uint8_t { kOther, kModel, kState, kScratch };
inline constexpr size_t kMemoryKinds = 4;

/// The host's allocator as what containers and arenas take their memory from. Counts every byte and keeps to
/// the limit. Any thread. Throws Error: INLAY_ERROR_MEMORY_LIMIT beyond the limit, INLAY_ERROR_OUT_OF_MEMORY
/// where the allocator has none.
class HostMemory final : public std::pmr::memory_resource {
 public:
  /// A null allocator is the C library's. A limit of 0 is none. `held` bytes have been taken already.
  HostMemory(const inlay_allocator* allocator, uint64_t limit, uint64_t held = 0);

  const inlay_allocator& allocator() const { return allocator_; }

  uint64_t now() const { return count_.now(); }
  uint64_t high_water() const { return count_.high_water(); }
  void reset_high_water() { count_.reset(); }

  /// The same memory, counted as of that kind too.
  std::pmr::memory_resource* of(MemoryKind kind) { return &kinds_[static_cast<size_t>(kind)]; }
  uint64_t now(MemoryKind kind) const { return kinds_[static_cast<size_t>(kind)].count.now(); }
  uint64_t high_water(MemoryKind kind) const { return kinds_[static_cast<size_t>(kind)].count.high_water(); }
  void reset_high_water(MemoryKind kind) { kinds_[static_cast<size_t>(kind)].count.reset(); }

 private:
  /// Bytes held, and the most at once.
  class Count {
   public:
    explicit Count(uint64_t held = 0) : now_(held), high_water_(held) {}
    uint64_t now() const { return now_.load(std::memory_order_relaxed); }
    uint64_t high_water() const { return high_water_.load(std::memory_order_relaxed); }
    void reset() { high_water_.store(now(), std::memory_order_relaxed); }
    uint64_t add(uint64_t bytes) { return now_.fetch_add(bytes, std::memory_order_relaxed) + bytes; }
    void remove(uint64_t bytes) { now_.fetch_sub(bytes, std::memory_order_relaxed); }
    void raise(uint64_t now);

   private:
    std::atomic<uint64_t> now_;
    std::atomic<uint64_t> high_water_;
  };
  class Kind final : public std::pmr::memory_resource {
   public:
    HostMemory* memory = nullptr;
    Count count;

   private:
    void* do_allocate(size_t bytes, size_t alignment) override;
    void do_deallocate(void* memory, size_t bytes, size_t alignment) override;
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
      return this == &other;
    }
  };

  void* do_allocate(size_t bytes, size_t alignment) override;
  void do_deallocate(void* memory, size_t bytes, size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  inlay_allocator allocator_;
  uint64_t limit_;
  Count count_;
  Kind kinds_[kMemoryKinds];
};

/// One block of memory, given back when it goes: what arenas are laid out in. May be the host's own memory,
/// which is then left alone.
class Block {
 public:
  Block() = default;
  Block(std::pmr::memory_resource* resource, uint64_t bytes);
  /// The host's memory of `bytes`; throws INLAY_ERROR_MEMORY_LIMIT where fewer than `needed`,
  /// INLAY_ERROR_INVALID_ARGUMENT where it is not aligned. `what` names it in the message.
  Block(void* memory, uint64_t bytes, uint64_t needed, const char* what);
  Block(Block&& other) noexcept;
  Block& operator=(Block&& other) noexcept;
  ~Block();

  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  std::pmr::memory_resource* resource_ = nullptr;
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace inlay

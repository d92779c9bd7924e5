#include "runtime/host_memory.h"

#include <cstdlib>
#include <string>
#include <utility>

#include "runtime/error.h"
#include "runtime/layout.h"

namespace inlay {
namespace {

void* default_allocate(void*, size_t size, size_t alignment) {
  if (alignment <= alignof(std::max_align_t)) return std::malloc(size);
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void default_release(void*, void* memory, size_t, size_t) { std::free(memory); }

}  // namespace

HostMemory::HostMemory(const inlay_allocator* allocator, uint64_t limit, uint64_t held)
    : allocator_{sizeof(inlay_allocator), nullptr, default_allocate, default_release},
      limit_(limit == 0 ? UINT64_MAX : limit),
      count_(held) {
  if (allocator != nullptr) allocator_ = *allocator;
  for (Kind& kind : kinds_) kind.memory = this;
}

void HostMemory::Count::raise(uint64_t now) {
  uint64_t high = high_water();
  while (now > high && !high_water_.compare_exchange_weak(high, now, std::memory_order_relaxed)) {
  }
}

void* HostMemory::do_allocate(size_t bytes, size_t alignment) {
  const uint64_t now = count_.add(bytes);
  if (now > limit_) {
    count_.remove(bytes);
    throw Error(INLAY_ERROR_MEMORY_LIMIT, std::to_string(bytes) + " bytes more would make " +
                                              std::to_string(now) + ", over the runtime's memory limit of " +
                                              std::to_string(limit_));
  }
  void* memory = allocator_.allocate(allocator_.user_data, bytes, alignment);
  if (memory == nullptr) {
    count_.remove(bytes);
    throw Error(INLAY_ERROR_OUT_OF_MEMORY, "the allocator has no " + std::to_string(bytes) + " bytes");
  }
  count_.raise(now);
  return memory;
}

void HostMemory::do_deallocate(void* memory, size_t bytes, size_t alignment) {
  allocator_.release(allocator_.user_data, memory, bytes, alignment);
  count_.remove(bytes);
}

void* HostMemory::Kind::do_allocate(size_t bytes, size_t alignment) {
  void* taken = memory->allocate(bytes, alignment);
  count.raise(count.add(bytes));
  return taken;
}

void HostMemory::Kind::do_deallocate(void* taken, size_t bytes, size_t alignment) {
  memory->deallocate(taken, bytes, alignment);
  count.remove(bytes);
}

Block::Block(std::pmr::memory_resource* resource, uint64_t bytes)
    : resource_(resource),
      data_(static_cast<std::byte*>(resource->allocate(bytes, kCacheLine))),
      bytes_(bytes) {}

Block::Block(void* memory, uint64_t bytes, uint64_t needed, const char* what)
    : data_(static_cast<std::byte*>(memory)), bytes_(needed) {
  if (reinterpret_cast<uintptr_t>(memory) % kCacheLine != 0) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT,
                std::string(what) + " is not aligned to " + std::to_string(kCacheLine) + " bytes");
  }
  if (bytes < needed) {
    throw Error(INLAY_ERROR_MEMORY_LIMIT, std::string(what) + " has " + std::to_string(bytes) + " bytes, " +
                                              std::to_string(needed) + " are needed");
  }
}

Block::Block(Block&& other) noexcept
    : resource_(std::exchange(other.resource_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Block& Block::operator=(Block&& other) noexcept {
  std::swap(resource_, other.resource_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Block::~Block() {
  if (resource_ != nullptr) resource_->deallocate(data_, bytes_, kCacheLine);
}

}  // namespace inlay

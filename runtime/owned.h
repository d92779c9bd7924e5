#pragma once

#include <cstdint>
#include <new>
#include <span>
#include <utility>

#include "runtime/counted.h"
#include "runtime/model.h"

namespace inlay {

/// A tokenizer behind a handle: a model's own, or one that stands alone and owns its block.
class TokenizerObject {
 public:
  /// The model's, which it is a part of.
  TokenizerObject(const Tokenizer* tokenizer, HostMemory* memory) : tokenizer_(tokenizer), memory_(memory) {}
  /// Throws INLAY_ERROR_UNSUPPORTED where the file has none.
  static TokenizerObject* create(File& file);
  /// Does nothing to a model's.
  void destroy();

  const Tokenizer& operator*() const { return *tokenizer_; }
  const Tokenizer* operator->() const { return tokenizer_; }
  HostMemory* memory() const { return memory_; }

 private:
  const Tokenizer* tokenizer_;
  HostMemory* memory_;
  ModelSourcePointer tables_;  // a package's may be used in place
  Held<Runtime> runtime_;
  uint64_t block_bytes_ = 0;  // 0: a part of a model
};

/// An object that works for one parent, in one block with the memory that it works in.
template <typename T, typename Parent>
class Owned {
 public:
  /// T(arguments..., memory) with `bytes` of memory.
  template <typename... Arguments>
  static Owned* create(Parent& parent, HostMemory* memory, uint64_t bytes, const Arguments&... arguments) {
    Layout counting;
    counting.take<Owned>(1);
    counting.take<std::byte>(bytes);
    const uint64_t all = counting.bytes();
    void* block = memory->allocate(all, kCacheLine);
    try {
      Layout layout(block, all);
      void* place = layout.take<Owned>(1);
      auto* arena = layout.take<std::byte>(bytes);
      return new (place) Owned(parent, memory, all, std::span<std::byte>(arena, bytes), arguments...);
    } catch (...) {
      memory->deallocate(block, all, kCacheLine);
      throw;
    }
  }
  void destroy() {
    const Held<Parent> parent(std::move(parent_));
    HostMemory* memory = memory_;
    const uint64_t bytes = bytes_;
    this->~Owned();
    memory->deallocate(this, bytes, kCacheLine);
  }

  T& operator*() { return object_; }
  T* operator->() { return &object_; }
  const T* operator->() const { return &object_; }
  Parent& parent() const { return *parent_; }

 private:
  template <typename... Arguments>
  Owned(Parent& parent, HostMemory* memory, uint64_t bytes, std::span<std::byte> arena,
        const Arguments&... arguments)
      : parent_(&parent), memory_(memory), bytes_(bytes), object_(arguments..., arena) {}
  ~Owned() = default;

  Held<Parent> parent_;
  HostMemory* memory_;
  uint64_t bytes_;
  T object_;
};

}  // namespace inlay

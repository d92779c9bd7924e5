#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace inlay {

/// Base of the objects behind handles: each lives until its handle is destroyed and no child needs it.
class Counted {
 public:
  void retain() { count_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }

 protected:
  ~Counted() = default;

 private:
  /// Ends the object and gives its memory back.
  virtual void destroy() = 0;

  std::atomic<uint32_t> count_{1};
};

/// A share in a Counted object.
template <typename T>
class Held {
 public:
  Held() = default;
  explicit Held(T* object) : object_(object) { object->retain(); }
  /// Takes over the share that a create gave.
  static Held adopt(T* object) {
    Held held;
    held.object_ = object;
    return held;
  }
  Held(const Held&) = delete;
  Held(Held&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Held& operator=(const Held&) = delete;
  Held& operator=(Held&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Held() {
    if (object_ != nullptr) object_->release();
  }

  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }

 private:
  T* object_ = nullptr;
};

}  // namespace inlay

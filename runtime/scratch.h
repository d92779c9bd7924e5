#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kernels/device.h"
#include "runtime/counted.h"
#include "runtime/host_memory.h"
#include "runtime/model.h"
#include "runtime/slice_costs.h"

namespace inlay {

class Session;

/// What passes of a model's sessions work in: one block, shared by sessions that one thread drives, with what
/// their slices cost. At most one of them has work under way.
class Scratch final : public Counted {
 public:
  static uint64_t bytes(const ModelWeights& weights, const SessionShape& shape, const Device& device);
  /// In the arena where it is not null; the one that already lives there where there is one. Throws Error.
  static Scratch* create(Model& model, const SessionShape& shape, void* arena, uint64_t arena_bytes);

  DeviceScratch& device() const { return *device_; }
  std::byte* staging() const { return staging_; }
  bool fits(const Model& model, const SessionShape& shape) const {
    return model_.get() == &model && shape_ == shape;
  }
  SliceCosts& costs() { return costs_; }
  const SliceCosts& costs() const { return costs_; }
  /// Whether one slice of each kind has been timed.
  bool probed() const { return probed_; }
  void set_probed() { probed_ = true; }

  /// Takes the scratch for a session's work; false where another one has work under way.
  bool enter(const Session* session) {
    const Session* nobody = nullptr;
    if (!user_.compare_exchange_strong(nobody, session, std::memory_order_acquire)) return nobody == session;
    return true;
  }
  void leave() { user_.store(nullptr, std::memory_order_release); }
  bool busy() const { return user_.load(std::memory_order_relaxed) != nullptr; }
  bool is_held_by(const Session* session) const { return user_.load(std::memory_order_relaxed) == session; }

  /// Passes so far that overwrote the logits: a session's are there as long as the number is that of its own.
  uint64_t logits_pass() const { return logits_pass_.load(std::memory_order_relaxed); }
  uint64_t begin_logits() { return logits_pass_.fetch_add(1, std::memory_order_relaxed) + 1; }

 private:
  friend class ScratchList;
  struct Parts;

  Scratch(Model& model, const SessionShape& shape, Block& block, const Parts& parts);
  ~Scratch();
  void destroy() override;

  Held<Model> model_;
  Block block_;
  SessionShape shape_;
  DeviceScratch* device_ = nullptr;
  std::byte* staging_ = nullptr;
  std::atomic<const Session*> user_{nullptr};
  std::atomic<uint64_t> logits_pass_{0};
  SliceCosts costs_;
  bool probed_ = false;
  bool in_arena_ = false;
  Scratch* next_ = nullptr;  // of those in arenas of the host
};

/// Bytes of the largest part of a saved state: what staging has room for.
uint64_t largest_state_part(const ModelShape& shape, const SessionShape& session);

}  // namespace inlay

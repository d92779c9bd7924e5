#pragma once

#include <atomic>
#include <cstdint>

#include "kernels/device.h"
#include "runtime/counted.h"
#include "runtime/host_memory.h"
#include "runtime/model.h"

namespace inlay {

/// KV pages for a model's sessions, counted when it is made. Sessions share the full pages of what they have
/// in common: a page goes back when the last of them lets go of it. Any thread; takes and gives are a scan of
/// counters, without a lock.
class Pool final : public Counted {
 public:
  static Pool* create(Model& model, const inlay_pool_params& params);
  static inlay_pool_plan plan(const ModelShape& shape, const inlay_model_info& info, const Device& device,
                              const inlay_pool_params& params);
  /// What of a session's shape has to be the pool's.
  static SessionShape shape_of(const inlay_pool_params& params, const ModelShape& shape,
                               const inlay_model_info& info);

  Model& model() const { return *model_; }
  const SessionShape& shape() const { return shape_; }
  DevicePool& device() const { return *device_; }
  uint32_t pages() const { return pages_; }
  uint32_t free_pages() const { return free_.load(std::memory_order_relaxed); }

  static constexpr uint32_t kNone = UINT32_MAX;
  /// A page of nobody's, which now has one owner; kNone where there is none.
  uint32_t take();
  void share(uint32_t page) { counts_[page].fetch_add(1, std::memory_order_relaxed); }
  void give_back(uint32_t page);
  /// Whether this owner is the only one: then nobody else can come, for pages are shared by owners alone.
  bool is_sole(uint32_t page) const { return counts_[page].load(std::memory_order_acquire) == 1; }

 private:
  struct Parts;

  Pool(Model& model, const SessionShape& shape, uint32_t pages, Block& block, const Parts& parts);
  ~Pool();
  void destroy() override;

  Held<Model> model_;
  Block block_;
  SessionShape shape_;
  uint32_t pages_;
  std::atomic<uint32_t>* counts_;  // [pages] owners
  std::atomic<uint32_t> free_;
  std::atomic<uint32_t> next_{0};  // where the next search begins
  DevicePool* device_ = nullptr;
};

}  // namespace inlay

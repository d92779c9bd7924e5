#include "runtime/pool.h"

#include <algorithm>
#include <new>
#include <string>

#include "runtime/error.h"

namespace inlay {
namespace {

uint32_t pages_of(const inlay_pool_params& params) {
  constexpr uint64_t kMostTokens = 1ull << 32;
  if (params.tokens == 0 || params.tokens > kMostTokens) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT, "inlay_pool_params.tokens is " + std::to_string(params.tokens) +
                                                  ", expected 1 to " + std::to_string(kMostTokens));
  }
  return static_cast<uint32_t>((params.tokens + kPageTokens - 1) / kPageTokens);
}

}  // namespace

struct Pool::Parts {
  Parts(const DeviceBytes& device, uint32_t pages, Layout& layout)
      : object(layout.take<Pool>(1)),
        counts(layout.take<std::atomic<uint32_t>>(pages)),
        device_block(layout.take<std::byte>(device.host)) {}

  void* object;
  std::atomic<uint32_t>* counts;
  std::byte* device_block;
};

SessionShape Pool::shape_of(const inlay_pool_params& params, const ModelShape& shape,
                            const inlay_model_info& info) {
  SessionShape session;
  session.pooled = true;
  session.kv_type = kv_type_of(params.kv_type, info);
  session.mtp = params.mtp != 0;
  if (session.mtp && !shape.mtp) {
    throw Error(INLAY_ERROR_UNSUPPORTED, "the pool asks for mtp, and the model has no MTP head");
  }
  return session;
}

inlay_pool_plan Pool::plan(const ModelShape& shape, const inlay_model_info& info, const Device& device,
                           const inlay_pool_params& params) {
  if (!device.has_pools()) throw Error(INLAY_ERROR_UNSUPPORTED, "this device has no pools of KV pages yet");
  const SessionShape session = shape_of(params, shape, info);
  const uint32_t pages = pages_of(params);
  const DeviceBytes bytes = device.plan_pool(shape, session, pages);
  Layout layout;
  Parts(bytes, pages, layout);
  inlay_pool_plan plan = INLAY_POOL_PLAN_INIT;
  plan.host = layout.bytes();
  plan.device = bytes.device;
  plan.pages = pages;
  plan.page_tokens = kPageTokens;
  return plan;
}

Pool* Pool::create(Model& model, const inlay_pool_params& params) {
  const inlay_pool_plan needed = plan(model.shape(), model.info(), model.device(), params);
  Block block = params.arena == nullptr
                    ? Block(model.runtime().memory(MemoryKind::kState), needed.host)
                    : Block(params.arena, params.arena_bytes, needed.host, "inlay_pool_params.arena");
  const SessionShape shape = shape_of(params, model.shape(), model.info());
  Layout layout(block.data(), block.bytes());
  const auto pages = static_cast<uint32_t>(needed.pages);
  const Parts parts(model.device().plan_pool(model.shape(), shape, pages), pages, layout);
  return new (parts.object) Pool(model, shape, pages, block, parts);
}

Pool::Pool(Model& model, const SessionShape& shape, uint32_t pages, Block& block, const Parts& parts)
    : model_(&model), shape_(shape), pages_(pages), counts_(parts.counts), free_(pages) {
  for (uint32_t page = 0; page < pages; ++page) new (counts_ + page) std::atomic<uint32_t>(0);
  device_ = model.device().create_pool(model.device_weights(), shape, pages, parts.device_block);
  block_ = std::move(block);
}

Pool::~Pool() { model_->device().release_pool(device_); }

void Pool::destroy() {
  const Held<Model> model(model_.get());
  const Block block(std::move(block_));
  this->~Pool();
}

uint32_t Pool::take() {
  const uint32_t start = next_.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < pages_ && free_pages() > 0; ++i) {
    const uint32_t page = (start + i) % pages_;
    uint32_t nobody = 0;
    if (counts_[page].load(std::memory_order_relaxed) == 0 &&
        counts_[page].compare_exchange_strong(nobody, 1, std::memory_order_acq_rel)) {
      free_.fetch_sub(1, std::memory_order_relaxed);
      next_.store((page + 1) % pages_, std::memory_order_relaxed);
      return page;
    }
  }
  return kNone;
}

void Pool::give_back(uint32_t page) {
  if (counts_[page].fetch_sub(1, std::memory_order_acq_rel) == 1) {
    free_.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace inlay

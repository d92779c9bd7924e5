#include "runtime/scratch.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <string>

#include "runtime/error.h"
#include "runtime/runtime.h"

namespace inlay {

uint64_t largest_state_part(const ModelShape& shape, const SessionShape& session) {
  const uint64_t floats = std::max<uint64_t>(
      {shape.embedding, uint64_t{shape.state_length} * shape.state_length, shape.conv_channels(),
       shape.vocabulary, shape.key_length() + shape.value_length() + 2 * shape.value_heads});
  return std::max({floats * sizeof(float), shape.delta_net_layers() * sizeof(uint64_t),
                   uint64_t{kPageTokens} * kv_row_bytes(session.kv_type, shape.head_length)});
}

struct Scratch::Parts {
  Parts(const ModelWeights& weights, const SessionShape& shape, const Device& device, Layout& layout)
      : object(layout.take<Scratch>(1)),
        staging(layout.take<std::byte>(largest_state_part(weights.shape, shape))),
        device_block(layout.take<std::byte>(device.plan_scratch(weights, shape).host)) {}

  void* object;
  std::byte* staging;
  std::byte* device_block;
};

uint64_t Scratch::bytes(const ModelWeights& weights, const SessionShape& shape, const Device& device) {
  Layout layout;
  Parts(weights, shape, device, layout);
  return layout.bytes();
}

/// The scratches in arenas: a second session that is given an arena finds the first one's there.
class ScratchList {
 public:
  explicit ScratchList(Runtime& runtime) : runtime_(runtime), lock_(runtime.arena_mutex()) {}

  Scratch* find(const void* arena) const {
    for (Scratch* scratch = runtime_.arena_scratches(); scratch != nullptr; scratch = scratch->next_) {
      if (scratch == arena) return scratch;
    }
    return nullptr;
  }
  void add(Scratch* scratch) {
    scratch->next_ = runtime_.arena_scratches();
    runtime_.arena_scratches() = scratch;
  }
  void remove(const Scratch* scratch) {
    Scratch** at = &runtime_.arena_scratches();
    while (*at != scratch) at = &(*at)->next_;
    *at = scratch->next_;
  }

 private:
  Runtime& runtime_;
  std::lock_guard<std::mutex> lock_;
};

Scratch* Scratch::create(Model& model, const SessionShape& shape, void* arena, uint64_t arena_bytes) {
  const uint64_t needed = bytes(model.weights(), shape, model.device());
  Runtime& runtime = model.runtime();
  if (arena == nullptr) {
    Block block(runtime.memory(MemoryKind::kScratch), needed);
    Layout layout(block.data(), block.bytes());
    const Parts parts(model.weights(), shape, model.device(), layout);
    return new (parts.object) Scratch(model, shape, block, parts);
  }
  Block block(arena, arena_bytes, needed, "scratch_arena");
  ScratchList list(runtime);
  if (Scratch* there = list.find(arena); there != nullptr) {
    if (!there->fits(model, shape)) {
      throw Error(INLAY_ERROR_WRONG_STATE,
                  "scratch_arena is in use by a session of another model or other parameters");
    }
    there->retain();
    return there;
  }
  Layout layout(block.data(), block.bytes());
  const Parts parts(model.weights(), shape, model.device(), layout);
  auto* scratch = new (parts.object) Scratch(model, shape, block, parts);
  scratch->in_arena_ = true;
  list.add(scratch);
  return scratch;
}

Scratch::Scratch(Model& model, const SessionShape& shape, Block& block, const Parts& parts)
    : model_(&model), shape_(shape), staging_(parts.staging) {
  device_ = model.device().create_scratch(model.device_weights(), shape, parts.device_block);
  block_ = std::move(block);
}

Scratch::~Scratch() { model_->device().release(device_); }

void Scratch::destroy() {
  const Held<Model> model(model_.get());
  if (in_arena_) {
    ScratchList list(model->runtime());
    list.remove(this);
    this->~Scratch();
    return;
  }
  const Block block(std::move(block_));
  this->~Scratch();
}

}  // namespace inlay

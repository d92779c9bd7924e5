#include "runtime/owned.h"

#include "runtime/error.h"
#include "runtime/tokenizer_plan.h"

namespace inlay {

TokenizerObject* TokenizerObject::create(File& file) {
  const auto plan = TokenizerPlan::of(file.model(), file.runtime().guards_mappings());
  if (!plan) throw Error(INLAY_ERROR_UNSUPPORTED, "the file has no tokenizer");
  const uint64_t table_bytes = plan->bytes();
  Layout counting;
  counting.take<TokenizerObject>(1);
  counting.take<Tokenizer>(1);
  counting.take<std::byte>(table_bytes);
  HostMemory* memory = file.runtime().memory();
  void* block = memory->allocate(counting.bytes(), kCacheLine);
  try {
    Layout layout(block, counting.bytes());
    void* place = layout.take<TokenizerObject>(1);
    void* tokenizer_place = layout.take<Tokenizer>(1);
    auto* tables = layout.take<std::byte>(table_bytes);
    const auto* tokenizer = plan->make(tokenizer_place, {tables, table_bytes});
    auto* object = new (place) TokenizerObject(tokenizer, memory);
    object->tables_ = file.model_pointer();
    object->runtime_ = Held<Runtime>(&file.runtime());
    object->block_bytes_ = counting.bytes();
    if (file.model().lost()) {
      object->tables_.reset();
      object->runtime_ = {};
      refuse_lost_file();
    }
    return object;
  } catch (...) {
    memory->deallocate(block, counting.bytes(), kCacheLine);
    throw;
  }
}

void TokenizerObject::destroy() {
  if (block_bytes_ == 0) return;
  const Held<Runtime> runtime(std::move(runtime_));
  HostMemory* memory = memory_;
  const uint64_t bytes = block_bytes_;
  this->~TokenizerObject();
  memory->deallocate(this, bytes, kCacheLine);
}

}  // namespace inlay

#include "runtime/tokenizer_plan.h"

#include <new>
#include <string>

#include "runtime/error.h"

namespace inlay {

std::optional<TokenizerPlan> TokenizerPlan::of(const ModelSource& source, bool copied) {
  TokenizerPlan plan(source);
  plan.stored_ = source.tokenizer();
  if (plan.stored_) {
    const StoredTokenizer& stored = *plan.stored_;
    plan.counts_ = {stored.tokens, stored.specials, stored.merges, stored.text_bytes};
    if (stored.version != Tokenizer::kTablesVersion) {
      throw Error(INLAY_ERROR_UNSUPPORTED, "the tokenizer's tables are of version " +
                                               std::to_string(stored.version) + ", Inlay reads version " +
                                               std::to_string(Tokenizer::kTablesVersion));
    }
    if (stored.bytes != Tokenizer::bytes(plan.counts_)) {
      throw Error(INLAY_ERROR_CORRUPT_FILE, "the tokenizer's tables have " + std::to_string(stored.bytes) +
                                                " bytes, " + std::to_string(Tokenizer::bytes(plan.counts_)) +
                                                " were expected for its counts");
    }
    plan.vocabulary_ = stored.vocabulary;
    plan.in_place_ = !copied && stored.data != nullptr &&
                     reinterpret_cast<uintptr_t>(stored.data) % alignof(uint32_t) == 0;
    return plan;
  }
  const std::optional<Vocabulary> vocabulary = source.vocabulary();
  if (!vocabulary) return std::nullopt;
  plan.vocabulary_ = *vocabulary;
  plan.counts_ = Tokenizer::count(*vocabulary);
  return plan;
}

Tokenizer* TokenizerPlan::make(void* place, std::span<std::byte> memory) const {
  if (!stored_) return new (place) Tokenizer(vocabulary_, counts_, memory);
  if (in_place_) return new (place) Tokenizer(vocabulary_, counts_, stored_->data, stored_->bytes);
  source_->part(stored_->part)->read(stored_->offset, memory.data(), static_cast<size_t>(stored_->bytes));
  return new (place) Tokenizer(vocabulary_, counts_, memory.data(), stored_->bytes);
}

}  // namespace inlay

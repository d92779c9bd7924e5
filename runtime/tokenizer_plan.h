#pragma once

#include <optional>

#include "runtime/model_source.h"
#include "runtime/tokenizer.h"

namespace inlay {

/// How a model's tokenizer comes to be: built from a vocabulary; or from a package's tables, which are used
/// where they lie if they are mapped and aligned, else copied. Known before anything is taken.
class TokenizerPlan {
 public:
  /// Nothing where the source has no tokenizer. `copied`: tables are not used in place, for the file may be
  /// cut short. Throws as Tokenizer::count does.
  static std::optional<TokenizerPlan> of(const ModelSource& source, bool copied = false);

  uint32_t tokens() const { return counts_.tokens; }
  /// Of the memory that make() wants, aligned to a cache line.
  uint64_t bytes() const { return in_place_ ? 0 : Tokenizer::bytes(counts_); }

  /// The tokenizer at `place`, its tables in `memory`. Where they are used in place, the source's parts have
  /// to outlive it. Throws as Tokenizer's constructors do.
  Tokenizer* make(void* place, std::span<std::byte> memory) const;

 private:
  explicit TokenizerPlan(const ModelSource& source) : source_(&source) {}

  const ModelSource* source_;
  Vocabulary vocabulary_;
  std::optional<StoredTokenizer> stored_;
  Tokenizer::Counts counts_;
  bool in_place_ = false;
};

}  // namespace inlay

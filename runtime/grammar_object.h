#pragma once

#include <memory_resource>
#include <string_view>

#include "runtime/counted.h"
#include "runtime/grammar.h"
#include "runtime/model.h"

namespace inlay {

/// A grammar behind a handle, with the vocabulary that it is used with.
class GrammarObject final : public Counted {
 public:
  /// `kind` is an inlay_grammar_kind. Throws Error.
  static GrammarObject* create(Model& model, int32_t kind, std::string_view text);

  /// Of calls of these tools, an array. Throws Error.
  static GrammarObject* create_calls(Model& model, JsonDocument::Value tools);

  const Grammar& grammar() const { return grammar_; }
  const VocabularyTrie& trie() const { return trie_; }
  const Model& model() const { return *model_; }

 private:
  GrammarObject(Model& model, Grammar grammar)
      : model_(&model), grammar_(std::move(grammar)), trie_(model.vocabulary_trie()) {}
  static GrammarObject* place(Model& model, Grammar grammar);
  ~GrammarObject() = default;
  void destroy() override;

  Held<Model> model_;
  Grammar grammar_;
  const VocabularyTrie& trie_;
};

}  // namespace inlay

#include "runtime/grammar_object.h"

#include <new>

#include "runtime/error.h"

namespace inlay {

GrammarObject* GrammarObject::create(Model& model, int32_t kind, std::string_view text) {
  std::pmr::memory_resource* memory = model.runtime().memory();
  if (kind != INLAY_GRAMMAR_JSON_SCHEMA && kind != INLAY_GRAMMAR_GBNF) {
    throw Error(INLAY_ERROR_INVALID_ARGUMENT, "grammar: kind is not one of inlay_grammar_kind");
  }
  model.vocabulary_trie();
  return place(model, kind == INLAY_GRAMMAR_GBNF ? Grammar::from_gbnf(text, memory)
                                                 : Grammar::from_json_schema(text, memory));
}

GrammarObject* GrammarObject::create_calls(Model& model, JsonDocument::Value tools) {
  model.vocabulary_trie();
  return place(model, Grammar::from_tools(tools, model.runtime().memory()));
}

GrammarObject* GrammarObject::place(Model& model, Grammar grammar) {
  void* room = model.runtime().memory()->allocate(sizeof(GrammarObject), alignof(GrammarObject));
  return new (room) GrammarObject(model, std::move(grammar));
}

void GrammarObject::destroy() {
  const Held<Model> model(model_.get());
  this->~GrammarObject();
  model->runtime().memory()->deallocate(this, sizeof(GrammarObject), alignof(GrammarObject));
}

}  // namespace inlay

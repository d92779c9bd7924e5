// Any text as a schema, as rules or as tools: it is refused with a status, or it is a grammar whose masks
// lead to its end.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory_resource>
#include <string_view>
#include <vector>

#include "../small_vocabulary.h"
#include "runtime/error.h"
#include "runtime/grammar.h"
#include "runtime/grammar_matcher.h"

namespace inlay {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

const test::OwnedTokenizer& tokenizer() {
  static const test::OwnedTokenizer built = [] {
    test::SmallVocabulary vocabulary;
    vocabulary.train("{\"name\": \"fox\", \"age\": 12, \"tags\": [\"a\"], \"x\": true} null, false \xC3\xA9 ",
                     40);
    return test::OwnedTokenizer(vocabulary.view());
  }();
  return built;
}

/// Takes tokens as the input says, and then those that lead to the end.
void walk(const Grammar& grammar, std::string_view choices) {
  static std::pmr::memory_resource* const heap = std::pmr::new_delete_resource();
  static const VocabularyTrie trie(*tokenizer(), heap);
  static GrammarMatcher matcher(tokenizer()->size(), heap);
  matcher.use(grammar, trie);
  GrammarMatcher::Place place = matcher.start(choices.size() % 2 == 0);
  require(place != GrammarMatcher::kDead);
  std::vector<uint32_t> mask((tokenizer()->size() + 31) / 32);
  for (size_t step = 0; step < 300; ++step) {
    GrammarMatcher::Place* const live[] = {&place};
    matcher.make_room(live);
    const uint32_t distance = matcher.distance(place);
    if (distance > 2000 || (step >= choices.size() && distance == 0)) return;
    const bool free = step < choices.size();
    matcher.mask(place, free ? 4000 : distance - 1, mask.data());
    int32_t chosen = -1;
    size_t skip = free ? static_cast<uint8_t>(choices[step]) : 0;
    for (uint32_t token = 0; token < tokenizer()->size(); ++token) {
      if ((mask[token / 32] >> (token % 32) & 1) == 0) continue;
      chosen = static_cast<int32_t>(token);
      if (skip-- == 0) break;
    }
    if (chosen < 0) {
      require(matcher.accepts(place));
      return;
    }
    place = matcher.push(place, tokenizer()->token_bytes(chosen));
    require(place != GrammarMatcher::kDead);
    require(free || matcher.distance(place) < distance);
  }
}

Grammar read(uint8_t kind, std::string_view text) {
  std::pmr::memory_resource* memory = std::pmr::new_delete_resource();
  if (kind % 3 == 0) return Grammar::from_json_schema(text, memory);
  if (kind % 3 == 1) return Grammar::from_gbnf(text, memory);
  return Grammar::from_tools(JsonDocument(text, "tools", memory).root(), memory);
}

}  // namespace
}  // namespace inlay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace inlay;
  if (size < 2) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t text_end = std::min(all.find('\0', 1), all.size());
  const std::string_view text = all.substr(1, text_end - 1);
  try {
    const Grammar grammar = read(data[0], text);
    walk(grammar, all.substr(std::min(text_end + 1, all.size())));
  } catch (const Error&) {
  }
  return 0;
}

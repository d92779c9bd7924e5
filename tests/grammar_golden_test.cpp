#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory_resource>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "runtime/gguf_model.h"
#include "runtime/grammar.h"
#include "runtime/grammar_matcher.h"
#include "tests/host.h"
#include "tests/small_vocabulary.h"
#include "tests/test_data.h"

using namespace inlay;
using namespace inlay::test;

namespace {

/// Follows random texts; compares a mask now and then with what every token comes to, and notes the times in
/// microseconds.
void follow(const Grammar& grammar, const Tokenizer& tokenizer, const VocabularyTrie& trie, Random& random,
            std::vector<double>& times) {
  GrammarMatcher matcher(tokenizer.size(), std::pmr::new_delete_resource());
  matcher.use(grammar, trie);
  std::vector<uint32_t> mask((tokenizer.size() + 31) / 32);
  GrammarMatcher::Place place = matcher.start(false);
  for (uint32_t left = 70; left > 0; --left) {
    GrammarMatcher::Place* const live[] = {&place};
    const auto begin = std::chrono::steady_clock::now();
    matcher.make_room(live);
    const uint32_t distance = matcher.distance(place);
    const uint32_t most = std::max(left, distance == 0 ? 0 : distance - 1);
    matcher.mask(place, most, mask.data());
    times.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
    std::vector<int32_t> allowed;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < tokenizer.size(); ++i) {
      const auto token = static_cast<int32_t>(i);
      const bool set = (mask[i / 32] >> (i % 32) & 1) != 0;
      if (set) allowed.push_back(token);
      if (left % 23 != 1 || !trie.has(token)) {
        wrong += set && !trie.has(token);
        continue;
      }
      const GrammarMatcher::Place next = matcher.push(place, tokenizer.token_bytes(token));
      wrong += set != (next != GrammarMatcher::kDead && matcher.distance(next) <= most);
    }
    REQUIRE(wrong == 0);
    if (allowed.empty()) break;
    place = matcher.push(place,
                         tokenizer.token_bytes(allowed[random.below(static_cast<uint32_t>(allowed.size()))]));
  }
}

}  // namespace

TEST_CASE("masks of the published vocabulary are right and take microseconds") {
  INLAY_SHARED_DATA(vocabulary_path, "text/qwen35-vocab.gguf");
  std::pmr::memory_resource* const memory = std::pmr::new_delete_resource();
  const GgufFile file = GgufFile::open(vocabulary_path.string(), memory);
  const OwnedTokenizer tokenizer(*read_vocabulary(file));
  const VocabularyTrie trie(*tokenizer, memory);
  Random random(1);
  std::vector<double> times;
  for (
      const char* schema :
      {R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","maximum":130},"tags":{"type":"array","items":{"type":"string"}}},"required":["name","age","tags"]})",
       R"({"type":"array","items":{"type":"string","minLength":3,"maxLength":60}})",
       R"({"type":"array","items":{"type":"string","pattern":"^[a-z]+ \\w*$"}})", "{}"}) {
    const Grammar grammar = Grammar::from_json_schema(schema, memory);
    for (int text = 0; text < 4; ++text) follow(grammar, *tokenizer, trie, random, times);
  }
  const Grammar lines = Grammar::from_gbnf("root ::= (line \"\\n\")+\nline ::= [^\\n]+", memory);
  for (int text = 0; text < 4; ++text) follow(lines, *tokenizer, trie, random, times);
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const double most = times[times.size() * 9 / 10];
  MESSAGE(times.size() << " masks: median " << median << " us, nine of ten below " << most << " us");
  if (!full_speed()) return;
  CHECK(median < 50);
  CHECK(most < 1000);
}

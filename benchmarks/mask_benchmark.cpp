// How long the mask of a vocabulary takes under a grammar, at every token of texts that the grammar allows.
// Usage: inlay_mask_benchmark MODEL [SCHEMAS]    SCHEMAS: JSON Schemas, one a line; none: a few of its own
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory_resource>
#include <string>
#include <utility>
#include <vector>

#include "../tests/small_vocabulary.h"
#include "formats/gguf.h"
#include "runtime/error.h"
#include "runtime/gguf_model.h"
#include "runtime/grammar.h"
#include "runtime/grammar_matcher.h"
#include "runtime/tokenizer.h"

namespace {

using namespace inlay;

constexpr int kTexts = 20;  // of each grammar
constexpr uint32_t kMostTokens = 300;

struct Named {
  std::string name;
  std::string text;
  bool rules = false;
};

const Named kOwn[] = {
    {"character sheet",
     R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":130},"bio":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}},"alive":{"type":"boolean"}},"required":["name","age","bio","tags","alive"]})"},
    {"lengths",
     R"({"type":"object","properties":{"title":{"type":"string","minLength":3,"maxLength":40},"text":{"type":"string","maxLength":200}},"required":["title","text"]})"},
    {"patterns",
     R"({"type":"array","items":{"type":"object","properties":{"id":{"type":"string","pattern":"^[a-z]+$"},"word":{"type":"string","pattern":"^\\w+$"}},"required":["id","word"]}})"},
    {"any JSON", "{}"},
    {"enum", R"({"type":"array","items":{"enum":["north","south","east","west","wait"]},"minItems":3})"},
    {"rules: lines", "root ::= (line \"\\n\")+\nline ::= [^\\n]+", true},
    {"rules: quotes", "root ::= (word \" \")* \"'\" [^'\\\\]* \"'\"\nword ::= [A-Za-z]+", true},
};

struct Times {
  std::vector<double> us;
  void print(const char* name) {
    if (us.empty()) return;
    std::sort(us.begin(), us.end());
    const auto at = [&](double share) {
      return us[static_cast<size_t>(share * static_cast<double>(us.size() - 1))];
    };
    std::printf("%-18s %8zu %9.1f %9.1f %9.1f %9.1f\n", name, us.size(), at(0.5), at(0.9), at(0.99),
                us.back());
  }
};

/// Texts of the grammar, token by token: of two tokens at random the one after which the end is nearer.
void measure(const Grammar& grammar, const Tokenizer& tokenizer, const VocabularyTrie& trie, int texts,
             Times& times) {
  GrammarMatcher matcher(tokenizer.size(), std::pmr::new_delete_resource());
  matcher.use(grammar, trie);
  std::vector<uint32_t> mask((tokenizer.size() + 31) / 32);
  uint64_t random = 1;
  for (int text = 0; text < texts; ++text) {
    GrammarMatcher::Place place = matcher.start(false);
    for (uint32_t left = kMostTokens; left > 0; --left) {
      GrammarMatcher::Place* const live[] = {&place};
      const auto begin = std::chrono::steady_clock::now();
      matcher.make_room(live);
      const uint32_t distance = matcher.distance(place);
      const uint32_t most = std::max(left, distance == 0 ? 0 : distance - 1);
      matcher.mask(place, most, mask.data());
      const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - begin;
      times.us.push_back(spent.count());
      std::vector<int32_t> allowed;
      for (uint32_t i = 0; i < tokenizer.size(); ++i) {
        if ((mask[i / 32] >> (i % 32) & 1) != 0) allowed.push_back(static_cast<int32_t>(i));
      }
      if (allowed.empty()) break;
      GrammarMatcher::Place best = GrammarMatcher::kDead;
      for (int candidate = 0; candidate < 2; ++candidate) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const int32_t token = allowed[(random >> 33) % allowed.size()];
        const GrammarMatcher::Place next = matcher.push(place, tokenizer.token_bytes(token));
        if (best == GrammarMatcher::kDead || matcher.distance(next) < matcher.distance(best)) best = next;
      }
      place = best;
    }
  }
}

int run(const std::string& model, const char* schemas) {
  std::pmr::memory_resource* memory = std::pmr::new_delete_resource();
  const GgufFile file = GgufFile::open(model, memory);
  const auto vocabulary = read_vocabulary(file);
  if (!vocabulary) return 1;
  const test::OwnedTokenizer tokenizer(*vocabulary);
  const auto begin = std::chrono::steady_clock::now();
  const VocabularyTrie trie(*tokenizer, memory);
  const std::chrono::duration<double> built = std::chrono::steady_clock::now() - begin;
  std::printf("%u tokens, %u nodes, built in %.2f s\n\n", tokenizer->size(), trie.size(), built.count());
  std::printf("%-18s %8s %9s %9s %9s %9s\n", "grammar, us", "masks", "p50", "p90", "p99", "max");
  Times all;
  const auto take = [&](const Named& one, int texts, bool show) {
    try {
      const Grammar grammar =
          one.rules ? Grammar::from_gbnf(one.text, memory) : Grammar::from_json_schema(one.text, memory);
      Times times;
      measure(grammar, *tokenizer, trie, texts, times);
      all.us.insert(all.us.end(), times.us.begin(), times.us.end());
      if (show) times.print(one.name.c_str());
    } catch (const Error&) {  // what is not known here is not measured
    }
  };
  if (schemas == nullptr) {
    for (const Named& one : kOwn) take(one, kTexts, true);
  } else {
    std::ifstream lines(schemas);
    for (std::string line; std::getline(lines, line);) take({"", line}, 1, false);
  }
  all.print("all");
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count < 2 || count > 3) {
    std::fprintf(stderr, "usage: inlay_mask_benchmark MODEL [SCHEMAS]\n");
    return 1;
  }
  try {
    return run(words[1], count == 3 ? words[2] : nullptr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/error.h"
#include "runtime/grammar.h"
#include "runtime/grammar_matcher.h"
#include "tests/host.h"
#include "tests/small_vocabulary.h"
#include "tests/test_data.h"

using namespace inlay;
using namespace inlay::test;

namespace {

std::pmr::memory_resource* heap() { return std::pmr::new_delete_resource(); }

const OwnedTokenizer& tokenizer() {
  static const OwnedTokenizer built = [] {
    SmallVocabulary vocabulary;
    vocabulary.train(
        "{\"name\": \"the quick brown fox\", \"age\": 12345, \"tags\": [\"a\", \"b\"], \"x\": true} null, "
        "false, 0.5 \xC3\xA9\xE9\x85\x92 {\"name\":\"x\"}",
        60);
    vocabulary.add("<|im_end|>", TokenType::kControl);
    vocabulary.add("<think>", TokenType::kUserDefined);
    return OwnedTokenizer(vocabulary.view());
  }();
  return built;
}

const VocabularyTrie& trie() {
  static const VocabularyTrie built(*tokenizer(), heap());
  return built;
}

/// Whether the grammar has the text.
bool matches(const Grammar& grammar, const std::string& text) {
  GrammarMatcher matcher(tokenizer()->size(), heap());
  matcher.use(grammar, trie());
  const GrammarMatcher::Place place = matcher.push(matcher.start(false), text);
  return place != GrammarMatcher::kDead && matcher.accepts(place);
}

Grammar schema(const std::string& text) { return Grammar::from_json_schema(text, heap()); }
Grammar gbnf(const std::string& text) { return Grammar::from_gbnf(text, heap()); }

inlay_status refusal(const std::string& text, bool is_schema = true) {
  try {
    is_schema ? schema(text) : gbnf(text);
  } catch (const Error& error) {
    return error.status();
  }
  return INLAY_OK;
}

constexpr char kPerson[] =
    R"({"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":5},
        "age":{"type":"integer","minimum":-12,"maximum":130},
        "tags":{"type":"array","items":{"enum":["a","b",3]},"minItems":1,"maxItems":2},
        "plate":{"type":"string","pattern":"^[A-Z]{2}-\\d+$"},
        "x":{"type":"number","minimum":0.5,"exclusiveMaximum":2.25},
        "tree":{"$ref":"#/$defs/tree"}},
        "required":["name","age"],
        "$defs":{"tree":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/tree"}}},
                         "required":["kids"],"additionalProperties":false}}})";

}  // namespace

TEST_CASE("a schema's grammar has what satisfies it") {
  const Grammar person = schema(kPerson);
  for (const char* text : {R"({"name": "bob", "age": 5})", R"({"name":"bob","age":-12})",
                           R"({"name":"b","age":130,"tags":["a", 3]})",
                           "{\"name\":\"\xE9\x85\x92\xC3\xA9\\\"\\u00e9x\",\"age\":0}",
                           R"({"name":"b","age":1,"plate":"AB-77"})", R"({"name":"b","age":1,"x":0.5})",
                           R"({"name":"b","age":1,"x":2.249})", R"({"name":"b","age":1,"x":2})",
                           R"({"name":"b","age":1,"tree":{"kids":[{"kids":[]},{"kids": []}]}})",
                           "{\n  \"name\": \"b\",\n  \"age\": 99\n}"}) {
    CAPTURE(text);
    CHECK(matches(person, text));
  }
  for (const char* text :
       {"", "{}", R"({"age":1})", R"({"name":"bob","age":131})", R"({"name":"bob","age":-13})",
        R"({"name":"","age":1})", R"({"name":"toolong","age":1})", R"({"name":"b","age":01})",
        R"({"name":"b","age":1,"tags":[]})", R"({"name":"b","age":1,"plate":"AB-"})",
        R"({"name":"b","age":1,"x":2.25})", R"({"name":"b","age":1,"x":0.499})", R"({"name":"b","age":1,})",
        R"({"name":"b","age":1,"tree":{}})", R"({"name":"b","age":1} )", "{\"name\":\"\n\",\"age\":1}",
        R"({"name":"\ud800","age":1})", "{\"name\":\"\xFF\",\"age\":1}"}) {
    CAPTURE(text);
    CHECK_FALSE(matches(person, text));
  }
  const Grammar any = schema("true");
  for (const char* text : {"{}", "[]", "[1, {\"a\": [true, null]}]", "-0.5e+10", "\"\"", "0"}) {
    CAPTURE(text);
    CHECK(matches(any, text));
  }
  CHECK_FALSE(matches(any, "[1,]"));
  CHECK_FALSE(matches(any, "01"));
}

TEST_CASE("what a schema says beyond what is known is refused, by name") {
  CHECK(refusal(R"({"type":"integer","multipleOf":3})") == INLAY_ERROR_UNSUPPORTED);
  CHECK(refusal(R"({"not":{"type":"null"}})") == INLAY_ERROR_UNSUPPORTED);
  CHECK(refusal(R"({"type":"array","uniqueItems":true})") == INLAY_ERROR_UNSUPPORTED);
  CHECK(refusal(R"({"anyOf":[{}],"minimum":3})") == INLAY_ERROR_UNSUPPORTED);
  CHECK(refusal(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})") == INLAY_ERROR_UNSUPPORTED);
  CHECK(refusal(R"({"oneOf":[{"type":"integer"},{"type":"string"}]})") == INLAY_OK);
  CHECK(refusal(R"~({"type":"string","pattern":"(?=a)"})~") == INLAY_ERROR_UNSUPPORTED);
  CHECK(refusal(R"~({"type":"string","pattern":"(a"})~") == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal(R"({"type":"integer","minimum":5,"maximum":4})") == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal(R"({"type":"wizard"})") == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal(R"({"$ref":"#/nowhere"})") == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal(R"({"$ref":"#"})") == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal("false") == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal("{") != INLAY_OK);
}

TEST_CASE("rules are read and followed") {
  const Grammar sums = gbnf(
      "# sums\nroot ::= sum \"\\n\"?\nsum ::= part ((\"+\" | \"-\") part)*\n"
      "part ::= [0-9]{1,3} | \"(\" sum \")\" | name\nname ::= [a-z\xC3\xA9-\xC3\xBC_]+ | \"\\u9152\"");
  for (const char* text : {"1+2", "(1+(22-x))",
                           "\xC3\xA9"
                           "a",
                           "\xE9\x85\x92\n"})
    CHECK(matches(sums, text));
  for (const char* text : {"", "1+", "1234", "(1", "\xC3\xBD"}) CHECK_FALSE(matches(sums, text));
  CHECK(matches(gbnf("root ::= [^a] . \"x\""), "b\nx"));
  CHECK_FALSE(matches(gbnf("root ::= [^a]"), "a"));
  CHECK(refusal("root ::= root \"a\" | \"b\"", false) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal("root ::= a? root \"a\"\na ::= \"b\"", false) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal("root ::= a", false) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal("a ::= \"b\"", false) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal("root ::= \"a", false) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(refusal("root ::= \"a\" a\na ::= \"b\" a", false) == INLAY_ERROR_INVALID_ARGUMENT);
}

namespace {

/// Follows random texts of the grammar, and compares each mask with what every token comes to.
void check_masks(const Grammar& grammar, uint32_t most_tokens) {
  GrammarMatcher matcher(tokenizer()->size(), heap());
  matcher.use(grammar, trie());
  std::vector<uint32_t> mask((tokenizer()->size() + 31) / 32);
  Random random(2);
  for (int run = 0; run < 40; ++run) {
    GrammarMatcher::Place place = matcher.start(run % 2 == 0);
    for (uint32_t left = most_tokens;; --left) {
      GrammarMatcher::Place* const live[] = {&place};
      matcher.make_room(live);
      const uint32_t most = std::max(left, matcher.distance(place) == 0 ? 0 : matcher.distance(place) - 1);
      matcher.mask(place, most, mask.data());
      std::vector<int32_t> allowed;
      for (uint32_t i = 0; i < tokenizer()->size(); ++i) {
        const auto token = static_cast<int32_t>(i);
        const GrammarMatcher::Place next = matcher.push(place, tokenizer()->token_bytes(token));
        const bool is_text = tokenizer()->type(token) != TokenType::kControl;
        const bool fits = is_text && next != GrammarMatcher::kDead && matcher.distance(next) <= most;
        const bool set = (mask[i / 32] >> (i % 32) & 1) != 0;
        REQUIRE(set == fits);
        if (set) allowed.push_back(token);
      }
      if (allowed.empty()) {
        CHECK(matcher.accepts(place));
        break;
      }
      if (matcher.accepts(place) && random.below(3) == 0) break;
      place = matcher.push(
          place, tokenizer()->token_bytes(allowed[random.below(static_cast<uint32_t>(allowed.size()))]));
      if (left == 1) break;
    }
  }
}

}  // namespace

TEST_CASE("a mask has the tokens that the grammar goes on with, and no others") {
  check_masks(schema(kPerson), 120);
  check_masks(schema("{}"), 40);
  // Any plain text may come, up to a length, from a length on, or none.
  for (const char* text :
       {R"({"type":"string","maxLength":30})", R"({"type":"string","minLength":25})",
        R"({"type":"string","minLength":3,"maxLength":7})", R"({"type":"string","pattern":"^.{4}x?y*$"})",
        R"({"anyOf":[{"type":"string","maxLength":4},{"const":"the quick brown"},{"enum":["e","fox"]}]})"}) {
    CAPTURE(text);
    check_masks(schema(text), 20);
  }
  check_masks(gbnf("root ::= [^x]+ \"x\""), 20);
  check_masks(gbnf("root ::= (.{2} | \"qui\")* \"\\n\""), 20);
}

TEST_CASE("what is kept may be dropped at any time") {
  // Strings of many lengths make many places: the matcher runs out of room again and again.
  const Grammar long_one = schema(R"({"type":"array","items":{"type":"string","maxLength":3000}})");
  GrammarMatcher matcher(tokenizer()->size(), heap());
  matcher.use(long_one, trie());
  GrammarMatcher::Place place = matcher.push(matcher.start(false), "[");
  Random random(3);
  for (int item = 0; item < 12; ++item) {
    std::string text = item > 0 ? ",\"" : "\"";
    for (uint32_t i = 0; i < 1200 + random.below(1800); ++i)
      text += static_cast<char>('a' + random.below(26));
    text += '"';
    for (const char c : text) {
      GrammarMatcher::Place* const live[] = {&place};
      matcher.make_room(live);
      place = matcher.push(place, {&c, 1});
      REQUIRE(place != GrammarMatcher::kDead);
    }
  }
  place = matcher.push(place, "]");
  CHECK(matcher.accepts(place));
}

TEST_CASE("deep nesting ends, and does no harm") {
  const Grammar any = schema("{}");
  GrammarMatcher matcher(tokenizer()->size(), heap());
  matcher.use(any, trie());
  GrammarMatcher::Place place = matcher.start(false);
  uint32_t depth = 0;
  for (; depth < 1000 && place != GrammarMatcher::kDead; ++depth) place = matcher.push(place, "[");
  CHECK(depth > 100);
  CHECK(depth < 1000);
}

TEST_CASE("answers keep to a grammar, drafts or not, and end in time") {
  const auto path = bundled_model();
  REQUIRE(path);
  const OpenModel model(*path);
  inlay_grammar* made = nullptr;
  const std::string text = kPerson;
  REQUIRE(inlay_grammar_create(model.get(), INLAY_GRAMMAR_JSON_SCHEMA, text.data(), text.size(), &made) ==
          INLAY_OK);
  const Handle<inlay_grammar> grammar(made);
  const Grammar own = schema(text);
  for (const float temperature : {0.0f, 0.6f, 50.0f}) {
    std::string plain;
    for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP, INLAY_DRAFT_LOOKUP_MTP}) {
      inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
      sampler.temperature = temperature;
      sampler.seed = 9;
      inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
      params.sampler = &sampler;
      params.draft = draft;
      params.draft_length = 3;
      params.max_tokens = 60;
      params.grammar = grammar.get();
      const Handle<inlay_session> session = model.session(session_params(256, true));
      inlay_generator* generator = nullptr;
      REQUIRE(inlay_generator_create(session.get(), &params, &generator) == INLAY_OK);
      const Handle<inlay_generator> owner(generator);
      REQUIRE(inlay_generator_prompt_text(generator, "Guest:", 6, 0) == INLAY_OK);
      std::string said;
      inlay_output output = INLAY_OUTPUT_INIT;
      inlay_status status = INLAY_OK;
      while (status == INLAY_OK) {
        status = inlay_generator_next(generator, INLAY_NO_BUDGET, &output);
        REQUIRE(status >= INLAY_OK);
        said.append(output.text, output.text_bytes);
      }
      CAPTURE(said);
      CHECK(output.stop == INLAY_STOP_END_OF_TEXT);
      CHECK(matches(own, said));
      if (draft == INLAY_DRAFT_NONE) plain = said;
      CHECK(said == plain);
    }
  }
}

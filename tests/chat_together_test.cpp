#include <doctest/doctest.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "formats/json.h"
#include "tests/talk.h"

using namespace inlay;
using namespace inlay::test;

// All that guides an answer at once: a budget for thinking, a grammar, tools, masks, with drafts and without.

namespace {

constexpr char kSchema[] =
    R"({"type":"object","properties":{"say":{"type":"string","minLength":1,"maxLength":40},"price":{"type":"integer","minimum":0,"maximum":99},"mood":{"enum":["glad","gruff"]}},"required":["say","price","mood"]})";
constexpr char kRules[] = "root ::= word (\" \" word){1,7} (\".\" | \"!\")\nword ::= [A-Za-z]+ | [0-9]{1,2}";

Handle<inlay_grammar> make_grammar(const OpenModel& model, inlay_grammar_kind kind, const std::string& text) {
  inlay_grammar* made = nullptr;
  const inlay_status status = inlay_grammar_create(model.get(), kind, text.data(), text.size(), &made);
  CAPTURE(message_of(model.runtime()));
  REQUIRE(status == INLAY_OK);
  return Handle<inlay_grammar>(made);
}

JsonDocument json(const std::string& text) {
  return JsonDocument(text, "answer", std::pmr::new_delete_resource());
}

/// What kSchema says, in other words.
bool satisfies(const std::string& text) {
  try {
    const JsonDocument document = json(text);
    const auto root = document.root();
    const auto say = root["say"].text();
    const auto price = root["price"].integer();
    const auto mood = root["mood"].text();
    return say && !say->empty() && price && *price >= 0 && *price <= 99 && mood &&
           (*mood == "glad" || *mood == "gruff");
  } catch (const std::exception&) {
    return false;
  }
}

struct Way {
  int32_t draft;
  uint32_t length;
  uint64_t budget_us;
};
constexpr Way kWays[] = {{INLAY_DRAFT_NONE, 0, INLAY_NO_BUDGET},
                         {INLAY_DRAFT_MTP, 3, INLAY_NO_BUDGET},
                         {INLAY_DRAFT_LOOKUP, 4, INLAY_NO_BUDGET},
                         {INLAY_DRAFT_LOOKUP_MTP, 0, 400}};
constexpr const char* kPrompts[] = {"Two ales and a bowl of stew, please.",
                                    "What does the ale cost today? Look it up.", "Roll a d20 for me!"};
constexpr size_t kClosingTokensAtMost = 8;

struct Seen {
  int closed = 0;
  int answers = 0;
  int calls = 0;
  std::vector<std::string> events;
  bool operator==(const Seen& other) const { return events == other.events; }
};

/// A conversation in which each answer is thought about, called for or of the grammar.
Seen converse(const OpenModel& model, const Way& way, float temperature, uint64_t seed,
              inlay_grammar* grammar, bool is_schema, bool strict, const char* nudge) {
  Wish wish{way.draft, way.length, temperature, kTools, 120, nullptr, way.budget_us, seed};
  Talk talk(model, wish);
  inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
  params.thinking = INLAY_THINKING_ON;
  params.think_budget = 6;
  params.think_closing = nudge;
  params.grammar = grammar;
  params.strict_calls = strict;
  Seen seen;
  const auto take = [&](const Answer& answer) {
    CAPTURE(answer.events);
    seen.events.push_back(answer.events);
    // The thought is closed once, by no more than its closing, and neither it nor the nudge is in a call.
    if (answer.end.thought_closed != 0) {
      ++seen.closed;
      CHECK(answer.end.reasoning_tokens >= 6);
      CHECK(answer.end.reasoning_tokens <= 6 + 4 + kClosingTokensAtMost);
      if (nudge != nullptr) CHECK(answer.reasoning.ends_with(nudge));
      if (nudge != nullptr) CHECK(answer.reasoning.find(nudge) == answer.reasoning.rfind(nudge));
    }
    CHECK(answer.events.find("think>") == std::string::npos);
    for (const std::string& call : answer.calls) {
      ++seen.calls;
      if (nudge != nullptr) CHECK(call.find(nudge) == std::string::npos);
      const bool known = call.starts_with("look_up_price(item=") || call.starts_with("roll_dice(sides=");
      if (strict) CHECK((known || answer.end.stop != INLAY_STOP_END_OF_TEXT));
    }
    if (!answer.calls.empty() || answer.end.stop != INLAY_STOP_END_OF_TEXT) return;
    ++seen.answers;
    if (grammar != nullptr && is_schema) CHECK(satisfies(answer.text));
    if (grammar != nullptr && !is_schema) CHECK((answer.text.ends_with('.') || answer.text.ends_with('!')));
  };
  for (const char* prompt : kPrompts) {
    talk.say("user", prompt);
    Answer answer = talk.answer(params);
    take(answer);
    for (int more = 0; !answer.calls.empty() && more < 2; ++more) {
      talk.say("tool", "12 coppers");
      answer = talk.answer(params);
      take(answer);
    }
  }
  return seen;
}

}  // namespace

TEST_CASE("a budget of thought, a grammar and tools at once: the same text with every way of drafting") {
  const OpenModel model = tavern();
  const Handle<inlay_grammar> schema = make_grammar(model, INLAY_GRAMMAR_JSON_SCHEMA, kSchema);
  const Handle<inlay_grammar> rules = make_grammar(model, INLAY_GRAMMAR_GBNF, kRules);
  int closed = 0;
  int answers = 0;
  int calls = 0;
  for (const bool is_schema : {true, false}) {
    inlay_grammar* grammar = is_schema ? schema.get() : rules.get();
    for (const float temperature : {0.0f, 0.6f}) {
      for (uint64_t seed = 1; seed <= (temperature > 0 ? 3u : 1u); ++seed) {
        const bool strict = seed % 2 == 1;
        const char* nudge = seed == 2 ? " Enough of that." : nullptr;
        const Seen plain = converse(model, kWays[0], temperature, seed, grammar, is_schema, strict, nudge);
        for (const Way& way : std::span(kWays).subspan(1)) {
          CAPTURE(temperature);
          CAPTURE(seed);
          CAPTURE(way.draft);
          CHECK(converse(model, way, temperature, seed, grammar, is_schema, strict, nudge).events ==
                plain.events);
        }
        closed += plain.closed;
        answers += plain.answers;
        calls += plain.calls;
      }
    }
  }
  MESSAGE(closed << " thoughts closed, " << answers << " answers of the grammar, " << calls << " calls");
  CHECK(closed > 10);
  CHECK(answers > 5);
  CHECK(calls > 3);
}

TEST_CASE("strict calls are of the tools, whatever the weights would say") {
  const OpenModel model = tavern();
  const char* tools =
      R"([{"type":"function","function":{"name":"order","parameters":{"type":"object","properties":{)"
      R"("dish":{"type":"string","enum":["stew","bread & cheese"]},"count":{"type":"integer","minimum":1,"maximum":12},)"
      R"("note":{"type":"string"},"table":{"type":"string","pattern":"^[A-C][1-9]$"},)"
      R"("extras":{"type":"array","items":{"enum":["salt","<b>"]},"maxItems":2}},"required":["dish","count","table"]}}},)"
      R"({"type":"function","function":{"name":"wait"}}])";
  // A host that lets nothing but a call begin.
  struct Host {
    int32_t call;
    size_t begin = 0;
  } host{inlay_tokenizer_find(inlay_model_tokenizer(model.get()), "<tool_call>", 11)};
  REQUIRE(host.call >= 0);
  inlay_mask mask = INLAY_MASK_INIT;
  mask.user_data = &host;
  mask.allow = [](void* user_data, const int32_t*, size_t count, uint32_t* allowed, uint32_t vocabulary) {
    auto& host = *static_cast<Host*>(user_data);
    if (host.begin == 0) host.begin = count;
    if (count != host.begin) return static_cast<inlay_status>(1);
    for (uint32_t i = 0; i < (vocabulary + 31) / 32; ++i) allowed[i] = 0;
    allowed[host.call / 32] |= 1u << (host.call % 32);
    return INLAY_OK;
  };
  int whole = 0;
  int waits = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    std::string plain;
    for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP}) {
      host.begin = 0;
      // Hot: the weights hardly matter.
      Wish wish{draft,           3,   seed % 3 == 0 ? 0.0f : seed % 3 == 1 ? 2.0f : 50.0f, tools, 140, &mask,
                INLAY_NO_BUDGET, seed};
      Talk talk(model, wish);
      talk.say("user", seed % 2 == 0 ? "Three bowls of stew, please." : "Let us wait.");
      inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
      params.thinking = INLAY_THINKING_OFF;
      params.strict_calls = 1;
      const Answer answer = talk.answer(params);
      CAPTURE(answer.events);
      REQUIRE_FALSE(answer.calls.empty());
      const std::string& call = answer.calls[0];
      if (draft == INLAY_DRAFT_NONE) plain = answer.events;
      CHECK(answer.events == plain);
      if (!call.ends_with(")")) {
        CHECK(answer.end.stop == INLAY_STOP_MAX_TOKENS);
        continue;
      }
      ++whole;
      if (call == "wait()") {
        ++waits;
        continue;
      }
      const std::string stew = "order(dish=stewcount=";
      const std::string bread = "order(dish=bread & cheesecount=";
      REQUIRE((call.starts_with(stew) || call.starts_with(bread)));
      const int count = std::stoi(call.substr(call.starts_with(stew) ? stew.size() : bread.size()));
      CHECK(count >= 1);
      CHECK(count <= 12);
      const size_t table = call.rfind("table=");
      REQUIRE(table != std::string::npos);
      const std::string place = call.substr(table + 6, 2);
      CHECK((place[0] >= 'A' && place[0] <= 'C' && place[1] >= '1' && place[1] <= '9'));
      const std::string rest = call.substr(table + 8);
      if (rest != ")") {
        REQUIRE(rest.starts_with("extras="));
        const JsonDocument extras = json(rest.substr(7, rest.size() - 8));
        REQUIRE(extras.root().is_array());
        for (auto one = extras.root().first(); one; one = one.next()) {
          CHECK((one.text() == "salt" || one.text() == "<b>"));
        }
      }
    }
  }
  MESSAGE(whole << " whole calls, " << waits << " without arguments");
  CHECK(whole > 10);
  // What a schema says beyond what is known is said.
  Wish wish;
  wish.tools = R"([{"name":"x","parameters":{"type":"object","properties":{"a":{"not":{}}}}}])";
  Talk talk(model, wish);
  talk.say("user", "Hello");
  inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
  params.strict_calls = 1;
  CHECK(inlay_chat_answer(talk.chat(), &params) == INLAY_ERROR_UNSUPPORTED);
  CHECK(talk.words().find("not") != std::string::npos);
}

namespace {

/// A host's mask that notes where the pass stands when it is asked.
struct Watcher {
  inlay_generator* generator = nullptr;
  inlay_session* session = nullptr;
  int cancel_in = 0;
  int during = 0;
  int after = 0;
  int first_row = 0;  // of a round
  int later_row = 0;
  size_t last = 0;
  std::vector<std::vector<int32_t>> asked;

  inlay_mask mask() {
    inlay_mask table = INLAY_MASK_INIT;
    table.user_data = this;
    table.allow = [](void* user_data, const int32_t* tokens, size_t count, uint32_t* allowed, uint32_t) {
      auto& watcher = *static_cast<Watcher*>(user_data);
      inlay_progress progress = INLAY_PROGRESS_INIT;
      inlay_generator_get_progress(watcher.generator, &progress);
      const bool inside = progress.slices_done > 0 && progress.slices_done < progress.slices_total;
      ++(inside ? watcher.during : watcher.after);
      ++(count == watcher.last + 1 ? watcher.later_row : watcher.first_row);
      watcher.last = count;
      watcher.asked.emplace_back(tokens, tokens + count);
      // The rule of this host: a token's number is not one more than that before it, nor divisible by seven.
      const int32_t last = tokens[count - 1] + 1;
      allowed[last / 32] &= ~(1u << (last % 32));
      for (int32_t token = 0; token < 256; token += 7) allowed[token / 32] &= ~(1u << (token % 32));
      if (watcher.cancel_in > 0 && --watcher.cancel_in == 0) inlay_session_cancel(watcher.session);
      return INLAY_OK;
    };
    return table;
  }
};

}  // namespace

TEST_CASE("a host's mask is asked for while the pass runs, and a cancel then leaves all as it was") {
  const OpenModel model = tavern();
  std::vector<int32_t> plain;
  for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP, INLAY_DRAFT_LOOKUP}) {
    for (const uint64_t budget : {INLAY_NO_BUDGET, uint64_t{300}}) {
      for (const int cancel_in : {0, 5, 11}) {
        Watcher watcher;
        const inlay_mask mask = watcher.mask();
        inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
        sampler.temperature = 0.7f;
        sampler.seed = 3;
        inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
        params.sampler = &sampler;
        params.draft = draft;
        params.draft_length = 3;
        params.max_tokens = 60;
        params.mask = &mask;
        const Handle<inlay_session> session = model.session(session_params(256, true));
        inlay_generator* made = nullptr;
        REQUIRE(inlay_generator_create(session.get(), &params, &made) == INLAY_OK);
        const Handle<inlay_generator> generator(made);
        watcher.generator = made;
        watcher.session = session.get();
        watcher.cancel_in = cancel_in;
        REQUIRE(inlay_generator_prompt_text(made, "The tavern was the tavern was", 29, 0) == INLAY_OK);
        int cancelled = 0;
        for (inlay_status status = INLAY_OK; status != INLAY_END;) {
          inlay_output output = INLAY_OUTPUT_INIT;
          status = inlay_generator_next(made, budget, &output);
          if (status == INLAY_ERROR_CANCELLED) {
            ++cancelled;
            continue;
          }
          REQUIRE(status >= INLAY_OK);
        }
        CAPTURE(draft);
        CAPTURE(budget);
        CAPTURE(cancel_in);
        CHECK(cancelled == (cancel_in > 0 ? 1 : 0));
        const int32_t* tokens = inlay_session_tokens(session.get());
        const std::vector<int32_t> said(tokens, tokens + inlay_session_position(session.get()));
        if (plain.empty()) plain = said;
        CHECK(said == plain);
        // What was asked about is what was said, or drafts behind it.
        for (const std::vector<int32_t>& asked : watcher.asked) {
          const size_t common = static_cast<size_t>(
              std::mismatch(asked.begin(), asked.end(), plain.begin(), plain.end()).first - asked.begin());
          CHECK(common + 3 >= std::min(asked.size(), plain.size()));
        }
        if (budget != INLAY_NO_BUDGET || cancel_in > 0) continue;
        MESSAGE("draft " << draft << ": " << watcher.during << " masks during passes, " << watcher.after
                         << " after, " << watcher.later_row << " of rows after the first");
        CHECK(watcher.during > 20);
        CHECK(watcher.after == 0);
      }
    }
  }
}

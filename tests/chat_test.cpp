#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/talk.h"

using namespace inlay::test;

namespace {

const std::vector<std::string> kSayings = {"Three ales and two bowls of stew, please.",
                                           "Do you have a room?",
                                           "Tell me a riddle.",
                                           "What news from the road?",
                                           "How much for a torch?",
                                           "Thank you, Bram."};

}  // namespace

TEST_CASE("a question is thought about and answered, in events") {
  const OpenModel model = tavern();
  Talk talk(model, {});
  talk.say("user", "Three ales and two bowls of stew, please.");
  const Answer answer = talk.answer(INLAY_THINKING_ON);
  CAPTURE(answer.events);
  CHECK(answer.end.stop == INLAY_STOP_END_OF_TEXT);
  CHECK(answer.reasoning.find("14") != std::string::npos);
  CHECK(answer.text.find("14") != std::string::npos);
  CHECK(answer.events.find('<') == std::string::npos);
  CHECK(answer.reasoning.back() != '\n');
  CHECK(answer.text.front() != '\n');
  CHECK(answer.warnings.size() == 1);  // greedy, and thinking
  CHECK(answer.end.reasoning_tokens > 5);
  CHECK(answer.end.answer_tokens > 5);
  CHECK(answer.end.prompt_ns > 0);
  CHECK(answer.end.reasoning_ns > 0);
  CHECK(answer.end.answer_ns > 0);

  talk.say("user", "Thank you.");
  const Answer plain = talk.answer(INLAY_THINKING_OFF);
  CHECK(plain.reasoning.empty());
  CHECK(plain.warnings.empty());
  CHECK_FALSE(plain.text.empty());
}

TEST_CASE("tools are called and their answers used") {
  const OpenModel model = tavern();
  Wish wish;
  wish.tools = kTools;
  Talk talk(model, wish);
  talk.say("user", "What does the ale cost today? Look it up.");
  const Answer call = talk.answer(INLAY_THINKING_OFF);
  CAPTURE(call.events);
  REQUIRE(call.calls.size() == 1);
  CHECK(call.calls[0] == "look_up_price(item=ale)");
  const std::vector<int32_t> before = talk.timeline();
  talk.say("tool", "9 coppers");
  const Answer answer = talk.answer(INLAY_THINKING_OFF);
  CAPTURE(answer.events);
  CHECK(answer.text.find("9 coppers") != std::string::npos);
  // Appended: nothing that stood was read again.
  CHECK(answer.end.rewound_tokens == 0);
  CHECK(answer.end.reused_tokens == before.size());
  const std::vector<int32_t> after = talk.timeline();
  CHECK(std::equal(before.begin(), before.end(), after.begin()));
}

TEST_CASE("a growing conversation reads again only what changed") {
  const OpenModel model = tavern();
  const inlay_tokenizer* tokenizer = inlay_model_tokenizer(model.get());
  inlay_chat_format format = INLAY_CHAT_FORMAT_INIT;
  const std::string chat_template = model.info().chat_template;
  REQUIRE(inlay_chat_format_of(model.runtime(), chat_template.data(), chat_template.size(), &format) ==
          INLAY_OK);
  Wish wish;
  wish.max_tokens = 40;
  Talk talk(model, wish);
  std::string messages;
  uint64_t fed = 0;
  uint64_t naive = 0;
  for (size_t turn = 0; turn < 30; ++turn) {
    const std::string& saying = kSayings[turn % kSayings.size()];
    talk.say("user", saying);
    messages += std::string(turn == 0 ? "" : ",") + R"({"role":"user","content":")" + saying + "\"}";
    const bool thinks = turn % 3 != 1;
    const Answer answer = talk.answer(thinks ? INLAY_THINKING_ON : INLAY_THINKING_OFF, 12);
    const std::string json = R"({"messages":[)" + messages +
                             R"(],"add_generation_prompt":true,"enable_thinking":)" +
                             (thinks ? "true}" : "false}");
    std::vector<int32_t> rendered(4096);
    size_t count = 0;
    REQUIRE(inlay_chat_render_tokens(model.runtime(), tokenizer, &format, json.data(), json.size(),
                                     rendered.data(), rendered.size(), &count) == INLAY_OK);
    rendered.resize(count);
    const std::vector<int32_t> timeline = talk.timeline();
    CAPTURE(turn);
    REQUIRE(timeline.size() >= rendered.size());
    CHECK(std::equal(rendered.begin(), rendered.end(), timeline.begin()));
    CHECK(answer.end.prompt_tokens == rendered.size() - answer.end.reused_tokens);
    CHECK(answer.end.prompt_tokens < 110);  // the last answer without its reasoning, and what is new
    fed += answer.end.prompt_tokens;
    naive += rendered.size();
    std::string said;
    for (const char c : answer.text) said += c == '"' ? "\\\"" : c == '\n' ? "\\n" : std::string(1, c);
    messages += R"(,{"role":"assistant","content":")" + said + "\"}";
  }
  MESSAGE("30 turns: " << fed << " tokens read, " << naive << " without going back");
  CHECK(fed * 8 < naive);
}

TEST_CASE("drafts, budgets of time and of thought, and tools: the same events") {
  const OpenModel model = tavern();
  for (const float temperature : {0.0f, 0.6f}) {
    for (const uint64_t budget : {uint64_t{0}, uint64_t{7}}) {
      std::vector<std::string> plain;
      for (const Wish& way :
           {Wish{}, Wish{INLAY_DRAFT_MTP, 3}, Wish{INLAY_DRAFT_LOOKUP_MTP, 0}, Wish{INLAY_DRAFT_MTP, 7}}) {
        Wish wish = way;
        wish.temperature = temperature;
        wish.tools = kTools;
        wish.max_tokens = 80;
        if (way.draft_length == 7) wish.budget_us = 300;
        Talk talk(model, wish);
        std::vector<std::string> events;
        for (const char* saying : {"Two ales and a bowl of stew, please.", "Roll a d20 for me!"}) {
          talk.say("user", saying);
          Answer answer = talk.answer(INLAY_THINKING_ON, budget);
          events.push_back(answer.events);
          if (budget > 0 && answer.end.thought_closed != 0) {
            CHECK(answer.end.reasoning_tokens >= budget);
            CHECK(answer.end.reasoning_tokens <= budget + 4);
          }
          for (size_t calls = 0; !answer.calls.empty() && calls < 2; ++calls) {
            talk.say("tool", "12");
            answer = talk.answer(INLAY_THINKING_ON, budget);
            events.push_back(answer.events);
          }
        }
        if (plain.empty()) plain = events;
        CAPTURE(temperature);
        CAPTURE(budget);
        CAPTURE(way.draft);
        CHECK(events == plain);
      }
    }
  }
}

TEST_CASE("words can be put before a thought is closed") {
  const OpenModel model = tavern();
  Talk talk(model, {});
  talk.say("user", "Three ales and two bowls of stew, please.");
  inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
  params.thinking = INLAY_THINKING_ON;
  params.think_budget = 5;
  params.think_closing = " And so on.";
  const Answer answer = talk.answer(params);
  CAPTURE(answer.events);
  CHECK(answer.end.thought_closed == 1);
  CHECK(answer.reasoning.ends_with(" And so on."));
  CHECK_FALSE(answer.text.empty());
}

TEST_CASE("stop strings end an answer and are not shown") {
  const OpenModel model = tavern();
  Talk whole(model, {});
  whole.say("user", "Tell me a riddle.");
  const Answer all = whole.answer(INLAY_THINKING_OFF);
  REQUIRE(all.text.size() > 20);
  const std::string stop = all.text.substr(9, 5);
  for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP}) {
    Wish wish;
    wish.draft = draft;
    Talk talk(model, wish);
    talk.say("user", "Tell me a riddle.");
    const char* strings[] = {"never said", stop.c_str()};
    inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
    params.thinking = INLAY_THINKING_OFF;
    params.stop_strings = strings;
    params.stop_string_count = 2;
    const Answer cut = talk.answer(params);
    CHECK(cut.end.stop == INLAY_STOP_STRING);
    CHECK(cut.text == all.text.substr(0, all.text.find(stop)));
    // And the conversation goes on.
    talk.say("user", "Thank you.");
    CHECK_FALSE(talk.answer(INLAY_THINKING_OFF).text.empty());
  }
}

TEST_CASE("a loop is ended and reported") {
  const OpenModel model = tavern();
  // A mask that allows one word only.
  const int32_t token = inlay_tokenizer_find(inlay_model_tokenizer(model.get()), "a", 1);
  REQUIRE(token >= 0);
  inlay_mask mask = INLAY_MASK_INIT;
  int32_t only = token;
  mask.user_data = &only;
  mask.allow = [](void* user_data, const int32_t*, size_t, uint32_t* allowed, uint32_t vocabulary) {
    const int32_t keep = *static_cast<int32_t*>(user_data);
    for (uint32_t i = 0; i < (vocabulary + 31) / 32; ++i) allowed[i] = 0;
    allowed[keep / 32] |= 1u << (keep % 32);
    return INLAY_OK;
  };
  for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP}) {
    Wish wish;
    wish.draft = draft;
    wish.mask = &mask;
    Talk talk(model, wish);
    talk.say("user", "Hello");
    inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
    params.thinking = INLAY_THINKING_OFF;
    params.repetition_limit = 30;
    const Answer answer = talk.answer(params);
    CHECK(answer.end.stop == INLAY_STOP_REPETITION);
    CHECK(answer.text == std::string(31, 'a'));
  }
}

TEST_CASE("a mask's error is a status, and the next call goes on") {
  const OpenModel model = tavern();
  inlay_mask mask = INLAY_MASK_INIT;
  int calls = 0;
  mask.user_data = &calls;
  mask.allow = [](void* user_data, const int32_t*, size_t, uint32_t*, uint32_t) {
    return ++*static_cast<int*>(user_data) == 4 ? INLAY_ERROR_IO : INLAY_OK;
  };
  Wish wish;
  Talk plain(model, wish);
  plain.say("user", "Hello");
  const Answer all = plain.answer(INLAY_THINKING_OFF);
  wish.mask = &mask;
  Talk talk(model, wish);
  talk.say("user", "Hello");
  inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
  params.thinking = INLAY_THINKING_OFF;
  REQUIRE(inlay_chat_answer(talk.chat(), &params) == INLAY_OK);
  std::string text;
  int errors = 0;
  for (inlay_status status = INLAY_OK; status != INLAY_END;) {
    inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
    status = inlay_chat_next(talk.chat(), INLAY_NO_BUDGET, &event);
    if (status < INLAY_OK) {
      CHECK(status == INLAY_ERROR_CALLBACK);
      ++errors;
    } else if (event.kind == INLAY_CHAT_ANSWER) {
      text += event.text;
    }
  }
  CHECK(errors == 1);
  CHECK(text == all.text);
}

TEST_CASE("misuse of a chat is a status") {
  const OpenModel model = tavern();
  Talk talk(model, {});
  inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
  CHECK(inlay_chat_next(talk.chat(), INLAY_NO_BUDGET, &event) == INLAY_ERROR_WRONG_STATE);
  CHECK(inlay_chat_answer(talk.chat(), nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_chat_add_json(talk.chat(), "{", 1) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_chat_add_json(talk.chat(), "3", 1) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_chat_add_json(talk.chat(), "[3]", 3) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_chat_add(talk.chat(), nullptr, "x", 1) == INLAY_ERROR_INVALID_ARGUMENT);
  talk.say("user", "Hello");
  CHECK(inlay_chat_answer(talk.chat(), nullptr) == INLAY_OK);
  CHECK(inlay_chat_answer(talk.chat(), nullptr) == INLAY_ERROR_WRONG_STATE);
  CHECK(inlay_chat_add(talk.chat(), "user", "x", 1) == INLAY_ERROR_WRONG_STATE);
  CHECK(inlay_chat_stop(talk.chat()) == INLAY_OK);
  inlay_status status = INLAY_OK;
  while (status == INLAY_OK) status = inlay_chat_next(talk.chat(), INLAY_NO_BUDGET, &event);
  CHECK(status == INLAY_END);
  CHECK(event.stop == INLAY_STOP_HOST);
  talk.say("user", "Hello again");
  CHECK_FALSE(talk.answer(INLAY_THINKING_OFF).text.empty());
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  CHECK(inlay_sampler_preset(INLAY_SAMPLING_LIVELY, &sampler) == INLAY_OK);
  CHECK(sampler.top_k == 20);
  CHECK(inlay_sampler_preset(static_cast<inlay_sampling>(9), &sampler) == INLAY_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("streaming events allocates nothing, and nothing is left behind") {
  CountingAllocator allocator;
  {
    const OpenModel model = tavern(&allocator);
    Wish wish;
    wish.draft = INLAY_DRAFT_LOOKUP_MTP;
    wish.tools = kTools;
    Talk talk(model, wish);
    talk.say("user", "Two ales, please, and look up the price of a torch.");
    inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
    params.think_budget = 9;
    params.thinking = INLAY_THINKING_ON;
    REQUIRE(inlay_chat_answer(talk.chat(), &params) == INLAY_OK);
    const uint64_t calls = allocator.calls();
    inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
    while (inlay_chat_next(talk.chat(), INLAY_NO_BUDGET, &event) == INLAY_OK) {
    }
    CHECK(event.kind == INLAY_CHAT_END);
    CHECK(allocator.calls() == calls);
  }
  CHECK(allocator.live_blocks() == 0);
  CHECK(allocator.mistakes() == 0);
}

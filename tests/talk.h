#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/host.h"
#include "tests/test_data.h"

// Conversations with the bundled model, as the tests of chats have them.

namespace inlay::test {

inline constexpr char kTools[] =
    R"([{"type":"function","function":{"name":"look_up_price","description":"Price of an item","parameters":{"type":"object","properties":{"item":{"type":"string"}},"required":["item"]}}},)"
    R"({"type":"function","function":{"name":"roll_dice","description":"Roll a die","parameters":{"type":"object","properties":{"sides":{"type":"integer"}},"required":["sides"]}}}])";

inline OpenModel tavern(CountingAllocator* allocator = nullptr) {
  const auto path = bundled_model();
  REQUIRE(path);
  RuntimeWish wish;
  wish.allocator = allocator;
  return OpenModel(*path, wish);
}

struct Wish {
  int32_t draft = INLAY_DRAFT_NONE;
  uint32_t draft_length = 0;
  float temperature = 0;
  const char* tools = nullptr;
  uint64_t max_tokens = 200;
  const inlay_mask* mask = nullptr;
  uint64_t budget_us = INLAY_NO_BUDGET;
  uint64_t seed = 5;
};

/// What an answer came to: "R:…", "A:…" and so on, each stretch once.
struct Answer {
  std::string events;
  std::string reasoning;
  std::string text;
  std::vector<std::string> calls;  // "name(argument=value,...)"
  std::vector<std::string> warnings;
  inlay_chat_event end = INLAY_CHAT_EVENT_INIT;
};

class Talk {
 public:
  Talk(const OpenModel& model, const Wish& wish) : wish_(wish) {
    session_ = model.session(session_params(2048, wish.draft != INLAY_DRAFT_NONE));
    inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
    sampler.temperature = wish.temperature;
    sampler.top_p = 0.95f;
    sampler.seed = wish.seed;
    inlay_generator_params generator = INLAY_GENERATOR_PARAMS_INIT;
    generator.sampler = &sampler;
    generator.draft = wish.draft;
    generator.draft_length = wish.draft_length;
    generator.max_tokens = wish.max_tokens;
    generator.mask = wish.mask;
    inlay_chat_params params = INLAY_CHAT_PARAMS_INIT;
    params.generator = &generator;
    if (wish.tools != nullptr) {
      params.tools = wish.tools;
      params.tools_bytes = std::string(wish.tools).size();
    }
    inlay_chat* made = nullptr;
    const inlay_status status = inlay_chat_create(session_.get(), &params, &made);
    CAPTURE(message_of(model.runtime()));
    REQUIRE(status == INLAY_OK);
    chat_.reset(made);
  }

  inlay_chat* chat() const { return chat_.get(); }
  inlay_session* session() const { return session_.get(); }
  std::string words() const {
    char buffer[300] = "";
    inlay_chat_message(chat_.get(), buffer, sizeof buffer);
    return buffer;
  }
  void say(const std::string& role, const std::string& text) {
    REQUIRE(inlay_chat_add(chat_.get(), role.c_str(), text.data(), text.size()) == INLAY_OK);
  }
  Answer answer(const inlay_chat_answer_params& params) {
    const inlay_status begun = inlay_chat_answer(chat_.get(), &params);
    CAPTURE(words());
    REQUIRE(begun == INLAY_OK);
    Answer answer;
    int32_t last = 0;
    for (inlay_status status = INLAY_OK; status != INLAY_END;) {
      inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
      status = inlay_chat_next(chat_.get(), wish_.budget_us, &event);
      CAPTURE(words());
      REQUIRE(status >= INLAY_OK);
      if (status == INLAY_PENDING) continue;
      take(event, last, answer);
      last = event.kind;
    }
    return answer;
  }
  Answer answer(int32_t thinking, uint64_t budget = 0) {
    inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
    params.thinking = thinking;
    params.think_budget = budget;
    return answer(params);
  }
  std::vector<int32_t> timeline() const {
    const int32_t* tokens = inlay_session_tokens(session());
    return {tokens, tokens + inlay_session_position(session())};
  }

 private:
  static void take(const inlay_chat_event& event, int32_t last, Answer& answer) {
    const char names[] = "-RABavexW.";
    const bool text = event.kind == INLAY_CHAT_REASONING || event.kind == INLAY_CHAT_ANSWER ||
                      event.kind == INLAY_CHAT_ARGUMENT_TEXT;
    if (!text || event.kind != last) answer.events += std::string(" ") + names[event.kind] + ":";
    answer.events += event.text;
    CHECK(std::string(event.text).size() <= event.text_bytes);  // a zero may be said, too
    switch (event.kind) {
      case INLAY_CHAT_REASONING: answer.reasoning += event.text; break;
      case INLAY_CHAT_ANSWER: answer.text += event.text; break;
      case INLAY_CHAT_CALL_BEGIN: answer.calls.push_back(std::string(event.text) + "("); break;
      case INLAY_CHAT_ARGUMENT: answer.calls.back() += std::string(event.text) + "="; break;
      case INLAY_CHAT_ARGUMENT_TEXT: answer.calls.back() += event.text; break;
      case INLAY_CHAT_CALL_END: answer.calls.back() += ")"; break;
      case INLAY_CHAT_WARNING: answer.warnings.emplace_back(event.text); break;
      case INLAY_CHAT_END: answer.end = event; break;
      default: break;
    }
  }

  Wish wish_;
  Handle<inlay_session> session_;
  Handle<inlay_chat> chat_;
};

}  // namespace inlay::test

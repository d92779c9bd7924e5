#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/saved_bytes.h"
#include "tests/talk.h"

using namespace inlay::test;

// A conversation that was saved goes on elsewhere with the same words.

namespace {

Bytes save(const Talk& talk) {
  Bytes bytes(inlay_chat_save_bytes(talk.chat()));
  REQUIRE_FALSE(bytes.empty());
  uint64_t written = 0;
  const inlay_status status = inlay_chat_save_memory(talk.chat(), bytes.data(), bytes.size(), &written);
  CAPTURE(talk.words());
  REQUIRE(status == INLAY_OK);
  CHECK(written == bytes.size());
  return bytes;
}

constexpr const char* kTurns[] = {"Three ales and two bowls of stew, please.",
                                  "What does the ale cost today? Look it up.", "Tell me a riddle.",
                                  "Do you have a room?"};

/// One turn, tools answered; what came.
std::string turn(Talk& talk, size_t number) {
  inlay_chat_answer_params params = INLAY_CHAT_ANSWER_PARAMS_INIT;
  params.thinking = number % 2 == 0 ? INLAY_THINKING_ON : INLAY_THINKING_OFF;
  params.think_budget = 9;
  talk.say("user", kTurns[number % 4]);
  Answer answer = talk.answer(params);
  std::string events = answer.events;
  for (int calls = 0; !answer.calls.empty() && calls < 2; ++calls) {
    talk.say("tool", "9 coppers");
    answer = talk.answer(params);
    events += answer.events;
  }
  return events + " " + std::to_string(answer.end.prompt_tokens) + " read, " +
         std::to_string(answer.end.rewound_tokens) + " taken back";
}

Wish saved_wish(int32_t draft) {
  Wish wish;
  wish.draft = draft;
  wish.temperature = 0.6f;
  wish.tools = kTools;
  wish.max_tokens = 60;
  return wish;
}

}  // namespace

TEST_CASE("a saved conversation goes on elsewhere with the same words") {
  const OpenModel model = tavern();
  const OpenModel elsewhere = tavern();
  for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP}) {
    Talk talk(model, saved_wish(draft));
    for (size_t number = 0; number < 8; ++number) {
      const Bytes bytes = save(talk);
      Talk other(elsewhere, saved_wish(draft));
      if (number % 3 == 1) turn(other, 2);  // what it had goes
      const inlay_status status = inlay_chat_load_memory(other.chat(), bytes.data(), bytes.size());
      CAPTURE(other.words());
      REQUIRE(status == INLAY_OK);
      CHECK(save(other) == bytes);
      const std::string events = turn(talk, number);
      CHECK(turn(other, number) == events);
      CHECK(turn(other, number + 1) == [&] {
        Talk again(model, saved_wish(draft));
        const Bytes now = save(talk);
        REQUIRE(inlay_chat_load_memory(again.chat(), now.data(), now.size()) == INLAY_OK);
        return turn(again, number + 1);
      }());
    }
  }
}

TEST_CASE("what is no save of this conversation's is refused, and leaves it as it was") {
  const OpenModel model = tavern();
  Talk talk(model, saved_wish(INLAY_DRAFT_MTP));
  turn(talk, 0);
  const Bytes bytes = save(talk);
  Talk other(model, saved_wish(INLAY_DRAFT_MTP));
  turn(other, 2);
  const Bytes before = save(other);
  // Each byte of the front, some of the rest.
  for (size_t at = 0; at < bytes.size(); at += at < 160 ? 1 : bytes.size() / 97) {
    Bytes damaged = bytes;
    damaged[at] ^= std::byte{0x40};
    CAPTURE(at);
    CHECK(inlay_chat_load_memory(other.chat(), damaged.data(), damaged.size()) < INLAY_OK);
  }
  for (size_t size = 0; size < bytes.size(); size += 1 + bytes.size() / 61) {
    CHECK(inlay_chat_load_memory(other.chat(), bytes.data(), size) == INLAY_ERROR_CORRUPT_FILE);
  }
  CHECK(save(other) == before);
  Wish plain = saved_wish(INLAY_DRAFT_MTP);
  plain.tools = nullptr;
  Talk without(model, plain);
  CHECK(inlay_chat_load_memory(without.chat(), bytes.data(), bytes.size()) == INLAY_ERROR_MISMATCH);
  CHECK(without.words().find("tools") != std::string::npos);
  CHECK(inlay_chat_load_memory(other.chat(), nullptr, 0) == INLAY_ERROR_INVALID_ARGUMENT);
  Bytes small(bytes.size() - 1);
  uint64_t written = 1;
  CHECK(inlay_chat_save_memory(talk.chat(), small.data(), small.size(), &written) ==
        INLAY_ERROR_MEMORY_LIMIT);
  CHECK(written == 0);
  CHECK(inlay_chat_save_memory(talk.chat(), nullptr, 0, &written) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_chat_save_bytes(nullptr) == 0);
  CHECK(inlay_chat_save(talk.chat(), nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_chat_load(talk.chat(), nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  // Not in the middle of an answer.
  talk.say("user", "Hello");
  REQUIRE(inlay_chat_answer(talk.chat(), nullptr) == INLAY_OK);
  CHECK(inlay_chat_save_bytes(talk.chat()) == 0);
  CHECK(inlay_chat_load_memory(talk.chat(), bytes.data(), bytes.size()) == INLAY_ERROR_WRONG_STATE);
}

TEST_CASE("every callback of a chat's save and load fails once, and it can be used afterwards") {
  const OpenModel model = tavern();
  Talk talk(model, saved_wish(INLAY_DRAFT_NONE));
  turn(talk, 0);
  const Bytes bytes = save(talk);
  int calls = 1;
  for (;; ++calls) {
    Stream stream;
    stream.fail_in = calls;
    const inlay_writer writer = stream.writer();
    if (inlay_chat_save(talk.chat(), &writer) == INLAY_OK) {
      CHECK(stream.bytes == bytes);
      break;
    }
  }
  CHECK(calls > 4);
  CHECK(save(talk) == bytes);
  const std::string events = turn(talk, 1);
  for (int fail_in = 1;; ++fail_in) {
    Talk other(model, saved_wish(INLAY_DRAFT_NONE));
    Stream stream{bytes, 0, fail_in};
    const inlay_reader reader = stream.reader();
    const inlay_status status = inlay_chat_load(other.chat(), &reader);
    CAPTURE(fail_in);
    if (status == INLAY_OK) {
      CHECK(turn(other, 1) == events);
      break;
    }
    CHECK(status == INLAY_ERROR_CALLBACK);
    CHECK(inlay_session_position(other.session()) == 0);
    if (fail_in % 5 == 0) CHECK_FALSE(turn(other, 2).empty());
  }
}

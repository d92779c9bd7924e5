#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/host.h"
#include "tests/saved_bytes.h"
#include "tests/test_data.h"

using namespace inlay::test;

// A saved session or generator goes on with the same bits, wherever it is loaded, and nothing else is loaded.
// What a session is asked to do between saves at random is in timeline.cpp.

namespace {

struct Talk {
  Handle<inlay_session> session;
  Handle<inlay_generator> generator;
  std::string text;
  std::vector<int32_t> tokens;

  Talk(const OpenModel& model, int32_t draft, uint64_t seed, uint32_t context = 512)
      : session(model.session(session_params(context, model.mtp()))) {
    inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
    sampler.temperature = 0.9f;
    sampler.top_k = 50;
    sampler.repeat_penalty = 1.1f;
    sampler.seed = seed;
    inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
    params.sampler = &sampler;
    params.draft = draft;
    params.max_tokens = 90;
    params.ignore_end = 1;
    inlay_generator* made = nullptr;
    REQUIRE(inlay_generator_create(session.get(), &params, &made) == INLAY_OK);
    generator.reset(made);
  }

  inlay_status next(uint64_t budget_us) {
    inlay_output output = INLAY_OUTPUT_INIT;
    const inlay_status status = inlay_generator_next(generator.get(), budget_us, &output);
    if (status >= INLAY_OK) {
      text.append(output.text, output.text_bytes);
      tokens.insert(tokens.end(), output.tokens, output.tokens + output.token_count);
    }
    return status;
  }
  void finish() {
    inlay_status status = INLAY_OK;
    while (status == INLAY_OK || status == INLAY_PENDING) status = next(INLAY_NO_BUDGET);
    REQUIRE(status == INLAY_END);
  }
};

std::vector<int32_t> prompt_of(const OpenModel& model) { return random_tokens(7, 300, model.vocabulary()); }

void prompt(Talk& talk, const OpenModel& model) {
  const std::vector<int32_t> tokens = prompt_of(model);
  REQUIRE(inlay_generator_prompt_tokens(talk.generator.get(), tokens.data(), tokens.size()) == INLAY_OK);
}

}  // namespace

TEST_CASE("a generator goes on with the same words after a load at any moment") {
  for (const char* name : {"blocks32.gguf", "blocks256.gguf"}) {
    const OpenModel model(own_data(name), {.threads = 2});
    const OpenModel elsewhere(own_data(name), {.threads = 3});
    const std::vector<int32_t> drafts =
        model.mtp() ? std::vector<int32_t>{INLAY_DRAFT_NONE, INLAY_DRAFT_MTP, INLAY_DRAFT_LOOKUP_MTP}
                    : std::vector<int32_t>{INLAY_DRAFT_NONE, INLAY_DRAFT_LOOKUP};
    for (const int32_t draft : drafts) {
      CAPTURE(draft);
      Talk plain(model, draft, 5);
      prompt(plain, model);
      plain.finish();
      REQUIRE(plain.tokens.size() == 90);
      // Saved after ever more calls with tiny budgets: in the prompt, in a draft, in a verify, between
      // rounds.
      Random random(draft);
      const int stride = emulated() ? 150 : 1;
      for (int calls = 0; calls < 600; calls += stride + static_cast<int>(random.below(40))) {
        Talk talk(model, draft, 5);
        prompt(talk, model);
        for (int i = 0; i < calls; ++i) talk.next(1 + random.below(60));
        const Bytes saved = save_to_memory(talk.generator.get());
        Talk other(elsewhere, draft, 99);
        REQUIRE(inlay_generator_load_memory(other.generator.get(), saved.data(), saved.size()) == INLAY_OK);
        other.text = talk.text;
        other.tokens = talk.tokens;
        talk.finish();
        other.finish();
        CHECK(talk.tokens == plain.tokens);
        REQUIRE(other.tokens == plain.tokens);
        REQUIRE(other.text == plain.text);
      }
    }
  }
}

TEST_CASE("a conversation goes on after a load") {
  const OpenModel model(own_data("blocks32.gguf"));
  Talk talk(model, INLAY_DRAFT_MTP, 1);
  prompt(talk, model);
  talk.finish();
  const Bytes saved = save_to_memory(talk.generator.get());
  Talk other(model, INLAY_DRAFT_LOOKUP, 2);
  prompt(other, model);
  other.next(INLAY_NO_BUDGET);
  REQUIRE(inlay_generator_load_memory(other.generator.get(), saved.data(), saved.size()) == INLAY_OK);
  CHECK(save_to_memory(other.generator.get()) == saved);
  CHECK(other.next(INLAY_NO_BUDGET) == INLAY_END);
  for (Talk* each : {&talk, &other}) {
    each->tokens.clear();
    REQUIRE(inlay_generator_prompt_text(each->generator.get(), "and then?", 9, 0) == INLAY_OK);
    each->finish();
  }
  CHECK(talk.tokens == other.tokens);
}

TEST_CASE("saved sessions are refused elsewhere, with words") {
  const OpenModel model(own_data("blocks32.gguf"));
  const OpenModel other_model(own_data("blocks256.gguf"));
  const Handle<inlay_session> session = model.session(session_params(512, true));
  prefill(session.get(), random_tokens(1, 300, model.vocabulary()), model.vocabulary());
  const Bytes saved = save_to_memory(session.get());
  const auto refused = [&](Handle<inlay_session> target, inlay_status expected, const char* words) {
    const int32_t* tokens = inlay_session_tokens(target.get());
    const uint64_t position = inlay_session_position(target.get());
    CHECK(inlay_session_load_memory(target.get(), saved.data(), saved.size()) == expected);
    CHECK_MESSAGE(message_of(target.get()).find(words) != std::string::npos, message_of(target.get()));
    CHECK(inlay_session_position(target.get()) == position);
    CHECK(inlay_session_tokens(target.get()) == tokens);
  };
  refused(other_model.session(session_params(512)), INLAY_ERROR_MISMATCH, "another model");
  refused(model.session(session_params(512, true, INLAY_KV_Q8)), INLAY_ERROR_MISMATCH,
          "in F16, the session in Q8");
  refused(model.session(session_params(512)), INLAY_ERROR_MISMATCH, "mtp");
  refused(model.session(session_params(256, true)), INLAY_ERROR_CONTEXT_FULL, "300 tokens");
  Talk talk(model, INLAY_DRAFT_NONE, 1);
  CHECK(inlay_generator_load_memory(talk.generator.get(), saved.data(), saved.size()) ==
        INLAY_ERROR_MISMATCH);
  CHECK(message_of(talk.generator.get()).find("a session's") != std::string::npos);
  Handle<inlay_session> busy = model.session(session_params(512, true));
  REQUIRE(inlay_session_begin_step(busy.get(), 1) == INLAY_OK);
  CHECK(inlay_session_save_bytes(busy.get()) == 0);
  CHECK(inlay_session_load_memory(busy.get(), saved.data(), saved.size()) == INLAY_ERROR_WRONG_STATE);
  // A longer context is as good, and so are other chunks.
  const Handle<inlay_session> longer = model.session(session_params(1024, true, INLAY_KV_F16, 64));
  REQUIRE(inlay_session_load_memory(longer.get(), saved.data(), saved.size()) == INLAY_OK);
  CHECK(same_bits(step(longer.get(), 3, model.vocabulary()), step(session.get(), 3, model.vocabulary())));
}

TEST_CASE("a damaged snapshot is never loaded") {
  const OpenModel model(own_data("floats.gguf"));
  const Handle<inlay_session> session = model.session(session_params(256));
  for (int32_t token = 0; token < 20; ++token) step(session.get(), token, model.vocabulary());
  const Bytes saved = save_to_memory(session.get());
  const Handle<inlay_session> target = model.session(session_params(256));
  step(target.get(), 1, model.vocabulary());
  const Bytes before = save_to_memory(target.get());
  Random random(3);
  for (size_t i = 0; i < 400; ++i) {
    Bytes damaged = saved;
    const size_t at = i < 300 ? i * 2 : random.below(static_cast<uint32_t>(saved.size()));
    CAPTURE(at);
    damaged[at] ^= std::byte{1} << random.below(8);
    CHECK(inlay_session_load_memory(target.get(), damaged.data(), damaged.size()) < 0);
    REQUIRE(save_to_memory(target.get()) == before);
    // Through callbacks the header is known before anything is touched, the rest only at the end.
    Stream stream;
    stream.bytes = damaged;
    const inlay_reader reader = stream.reader();
    REQUIRE(inlay_session_load(target.get(), &reader) < 0);
    if (at >= 512) REQUIRE(inlay_session_position(target.get()) == 0);
    REQUIRE(inlay_session_load_memory(target.get(), before.data(), before.size()) == INLAY_OK);
  }
  for (const size_t size : {size_t{0}, size_t{100}, size_t{512}, saved.size() - 1}) {
    CHECK(inlay_session_load_memory(target.get(), saved.data(), size) == INLAY_ERROR_CORRUPT_FILE);
  }
}

TEST_CASE("every callback of a save and a load fails once") {
  const OpenModel model(own_data("blocks32.gguf"));
  const Handle<inlay_session> session = model.session(session_params(512, true));
  prefill(session.get(), random_tokens(1, 30, model.vocabulary()), model.vocabulary());
  step(session.get(), 1, model.vocabulary());
  const Bytes saved = save_to_memory(session.get());
  const Handle<inlay_session> target = model.session(session_params(512, true));
  for (int call = 1;; ++call) {
    CAPTURE(call);
    Stream stream;
    stream.fail_in = call;
    const inlay_writer writer = stream.writer();
    const inlay_status status = inlay_session_save(session.get(), &writer);
    REQUIRE(save_to_memory(session.get()) == saved);
    stream.fail_in = call;
    stream.bytes = saved;
    const inlay_reader reader = stream.reader();
    const inlay_status loaded = inlay_session_load(target.get(), &reader);
    CHECK(status == loaded);
    if (status == INLAY_OK) break;
    REQUIRE(status == INLAY_ERROR_CALLBACK);
    REQUIRE(inlay_session_position(target.get()) == 0);
    stream.fail_in = 0;
    stream.at = 0;
    REQUIRE(inlay_session_load(target.get(), &reader) == INLAY_OK);
    REQUIRE(save_to_memory(target.get()) == saved);
  }
}

TEST_CASE("a callback that calls back is told") {
  const OpenModel model(own_data("floats.gguf"));
  const Handle<inlay_session> session = model.session(session_params(256));
  inlay_writer writer = INLAY_WRITER_INIT;
  writer.user_data = session.get();
  writer.write = [](void* user_data, const void*, size_t) {
    return inlay_session_step(static_cast<inlay_session*>(user_data), 1);
  };
  CHECK(inlay_session_save(session.get(), &writer) == INLAY_ERROR_CALLBACK);
  writer.write = nullptr;
  CHECK(inlay_session_save(session.get(), &writer) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_session_save(session.get(), nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_session_load(session.get(), nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
}

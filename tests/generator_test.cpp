#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "runtime/text_stream.h"
#include "tests/speculation.h"
#include "tests/test_data.h"

using namespace inlay::test;

namespace {

using Tokens = std::vector<int32_t>;

/// A session with a generator, and what came of it so far.
class Talk {
 public:
  Talk(const OpenModel& model, const inlay_generator_params& params, uint32_t context = 256, bool mtp = false)
      : session_(model.session(session_params(context, mtp))) {
    inlay_generator* made = nullptr;
    status = inlay_generator_create(session_.get(), &params, &made);
    generator_.reset(made);
  }

  inlay_status prompt(const Tokens& tokens) {
    return inlay_generator_prompt_tokens(generator_.get(), tokens.data(), tokens.size());
  }
  inlay_status next(uint64_t budget_us = INLAY_NO_BUDGET) {
    output = INLAY_OUTPUT_INIT;
    status = inlay_generator_next(generator_.get(), budget_us, &output);
    answer.insert(answer.end(), output.tokens, output.tokens + output.token_count);
    if (output.text != nullptr) text.append(output.text, output.text_bytes);
    return status;
  }
  /// To the end of the answer, which it gives.
  Tokens finish(uint64_t budget_us = INLAY_NO_BUDGET) {
    answer.clear();
    do next(budget_us);
    while (status == INLAY_OK || status == INLAY_PENDING);
    REQUIRE(status == INLAY_END);
    return answer;
  }
  Tokens timeline() const {
    const int32_t* tokens = inlay_session_tokens(session());
    return {tokens, tokens + inlay_session_position(session())};
  }
  inlay_generator_stats stats() const {
    inlay_generator_stats stats = INLAY_GENERATOR_STATS_INIT;
    CHECK(inlay_generator_get_stats(generator_.get(), &stats) == INLAY_OK);
    return stats;
  }
  std::string words() const { return message_of(generator()); }
  inlay_session* session() const { return session_.get(); }
  inlay_generator* generator() const { return generator_.get(); }
  void destroy_generator() { generator_.reset(); }

  inlay_status status = INLAY_OK;
  inlay_output output = INLAY_OUTPUT_INIT;
  Tokens answer;
  std::string text;

 private:
  Handle<inlay_session> session_;
  Handle<inlay_generator> generator_;
};

inlay_generator_params params_of(uint64_t max_tokens, int32_t draft = INLAY_DRAFT_NONE, uint32_t length = 0) {
  inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
  params.max_tokens = max_tokens;
  params.draft = draft;
  params.draft_length = length;
  return params;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Its text varies: greedy decoding does not fall into a loop at once. It has an MTP head and no tokenizer.
OpenModel varied_model() { return OpenModel(own_data("fp4.gguf")); }

}  // namespace

TEST_CASE("an answer comes token by token, then ends, then the next prompt goes on") {
  const OpenModel model = varied_model();
  const Tokens first = made_up_prompt(1, 30, 256);
  const Tokens second = made_up_prompt(2, 10, 256);
  Talk talk(model, params_of(8));
  REQUIRE(talk.status == INLAY_OK);
  REQUIRE(talk.prompt(first) == INLAY_OK);
  for (int i = 0; i < 7; ++i) {
    REQUIRE(talk.next() == INLAY_OK);
    CHECK(talk.output.token_count == 1);
    CHECK(talk.output.stop == INLAY_STOP_NONE);
    CHECK(talk.output.text_bytes == 0);  // the model has no tokenizer
    CHECK(std::strlen(talk.output.text) == 0);
  }
  CHECK(talk.next() == INLAY_END);
  CHECK(talk.output.token_count == 1);
  CHECK(talk.output.stop == INLAY_STOP_MAX_TOKENS);
  CHECK(talk.next() == INLAY_END);
  CHECK(talk.output.token_count == 0);
  CHECK(talk.output.stop == INLAY_STOP_MAX_TOKENS);
  const Tokens answer = talk.answer;
  REQUIRE(answer.size() == 8);
  // The last token was given and not fed; it is fed in front of the next prompt.
  CHECK(joined(talk.timeline(), {answer.back()}) == joined(first, answer));
  REQUIRE(talk.prompt(second) == INLAY_OK);
  const Tokens more = talk.finish();
  CHECK(joined(talk.timeline(), {more.back()}) == joined(joined(joined(first, answer), second), more));
  const inlay_generator_stats stats = talk.stats();
  CHECK(stats.prompt_tokens == 41);
  CHECK(stats.generated_tokens == 16);
  CHECK(stats.rounds == 14);
  CHECK(stats.drafted == 0);
  CHECK(stats.prompt_ns > 0);
  CHECK(stats.verify_ns > 0);
}

TEST_CASE("a conversation is the same with every drafting") {
  const OpenModel model = varied_model();
  const auto converse = [&](int32_t draft, uint32_t length) {
    const bool mtp = draft == INLAY_DRAFT_MTP || draft == INLAY_DRAFT_LOOKUP_MTP;
    inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
    sampler.temperature = 3.0f;
    sampler.repeat_penalty = 1.2f;
    inlay_generator_params params = params_of(11, draft, length);
    params.sampler = &sampler;
    Talk talk(model, params, 256, mtp);
    REQUIRE(talk.status == INLAY_OK);
    Tokens all;
    for (uint64_t turn = 0; turn < 5; ++turn) {
      REQUIRE(talk.prompt(made_up_prompt(turn, 5 + turn, 256)) == INLAY_OK);
      all = joined(all, talk.finish());
    }
    return joined(all, talk.timeline());
  };
  const Tokens plain = converse(INLAY_DRAFT_NONE, 0);
  for (const uint32_t length : {0u, 1u, 4u, 7u}) {
    CHECK(converse(INLAY_DRAFT_MTP, length) == plain);
    CHECK(converse(INLAY_DRAFT_LOOKUP, length) == plain);
    CHECK(converse(INLAY_DRAFT_LOOKUP_MTP, length) == plain);
  }
}

TEST_CASE("prompts in several parts are one prompt") {
  const OpenModel model = varied_model();
  const Tokens whole = made_up_prompt(3, 40, 256);
  Talk once(model, params_of(5));
  Talk parts(model, params_of(5));
  REQUIRE(once.prompt(whole) == INLAY_OK);
  REQUIRE(parts.prompt({whole.begin(), whole.begin() + 7}) == INLAY_OK);
  REQUIRE(parts.prompt({whole.begin() + 7, whole.end()}) == INLAY_OK);
  CHECK(once.finish() == parts.finish());
}

TEST_CASE("the context fills up to the last token") {
  const OpenModel model = varied_model();
  for (const uint32_t room : {0u, 1u, 2u, 9u}) {
    CAPTURE(room);
    Talk talk(model, params_of(0, INLAY_DRAFT_LOOKUP, 7), 64);
    REQUIRE(talk.prompt(made_up_prompt(4, 64 - room, 256)) == INLAY_OK);
    CHECK(talk.finish().size() == room);
    CHECK(talk.output.stop == INLAY_STOP_CONTEXT_FULL);
    CHECK(talk.prompt({1}) == INLAY_ERROR_CONTEXT_FULL);
    CHECK(talk.next() == INLAY_END);
  }
  Talk talk(model, params_of(4), 64);
  CHECK(talk.prompt(made_up_prompt(4, 65, 256)) == INLAY_ERROR_CONTEXT_FULL);
  CHECK(talk.words() != "");
  CHECK(talk.prompt(made_up_prompt(4, 20, 256)) == INLAY_OK);
  CHECK(talk.finish().size() == 4);
}

TEST_CASE("small budgets give the same answer in more calls, and leave the rest alone") {
  const OpenModel model = varied_model();
  const Tokens prompt = made_up_prompt(6, 100, 256);
  Talk whole(model, params_of(20, INLAY_DRAFT_MTP, 2), 256, true);
  REQUIRE(whole.prompt(prompt) == INLAY_OK);
  const Tokens expected = whole.finish();
  Talk sliced(model, params_of(20, INLAY_DRAFT_MTP, 2), 256, true);
  REQUIRE(sliced.prompt(prompt) == INLAY_OK);
  size_t pending = 0;
  while (sliced.next(50) != INLAY_END) {
    REQUIRE(sliced.status >= 0);
    if (sliced.status != INLAY_PENDING) continue;
    ++pending;
    CHECK(sliced.output.token_count == 0);
  }
  CHECK(pending > 20);
  CHECK(sliced.answer == expected);
  CHECK(sliced.timeline() == whole.timeline());
  CHECK(sliced.stats().accepted == whole.stats().accepted);
  CHECK(sliced.stats().drafted == whole.stats().drafted);
}

TEST_CASE("a round under way takes no prompt, and goes when the generator goes") {
  const OpenModel model = varied_model();
  const Tokens prompt = made_up_prompt(7, 30, 256);
  for (uint64_t after = 0; after < 60; ++after) {
    CAPTURE(after);
    Talk talk(model, params_of(0, INLAY_DRAFT_MTP, 3), 256, true);
    REQUIRE(talk.prompt(prompt) == INLAY_OK);
    for (uint64_t i = 0; i < after * after / 8; ++i) REQUIRE(talk.next(20) >= 0);
    if (talk.status == INLAY_PENDING) CHECK(talk.prompt({1, 2}) == INLAY_ERROR_WRONG_STATE);
    talk.destroy_generator();
    const Tokens kept = talk.timeline();
    const float* logits = nullptr;
    REQUIRE(inlay_session_step(talk.session(), 5) == INLAY_OK);
    REQUIRE(inlay_session_logits(talk.session(), 0, &logits) == INLAY_OK);
    // A session that was only ever fed the same gives the same: as one prompt, then one by one.
    if (kept.size() < prompt.size()) continue;
    const Handle<inlay_session> fresh = model.session(session_params(256, true));
    REQUIRE(inlay_session_prefill(fresh.get(), kept.data(), prompt.size()) == INLAY_OK);
    for (size_t i = prompt.size(); i < kept.size(); ++i)
      REQUIRE(inlay_session_step(fresh.get(), kept[i]) == INLAY_OK);
    REQUIRE(inlay_session_step(fresh.get(), 5) == INLAY_OK);
    const float* expected = nullptr;
    REQUIRE(inlay_session_logits(fresh.get(), 0, &expected) == INLAY_OK);
    CHECK(same_bits({logits, 256}, {expected, 256}));
  }
}

TEST_CASE("a cancelled round is taken back and tried again") {
  const OpenModel model = varied_model();
  const Tokens prompt = made_up_prompt(8, 60, 256);
  Talk plain(model, params_of(20), 256);
  REQUIRE(plain.prompt(prompt) == INLAY_OK);
  const Tokens expected = plain.finish();
  Talk talk(model, params_of(20, INLAY_DRAFT_MTP, 3), 256, true);
  REQUIRE(talk.prompt(prompt) == INLAY_OK);
  size_t cancelled = 0;
  for (size_t call = 0; talk.next(30) != INLAY_END; ++call) {
    if (talk.status == INLAY_ERROR_CANCELLED) {
      ++cancelled;
      CHECK(talk.words() != "");
      CHECK(talk.output.text == nullptr);
    } else {
      REQUIRE(talk.status >= 0);
    }
    if (call % 23 == 7 && cancelled < 8) inlay_session_cancel(talk.session());
  }
  CHECK(cancelled > 3);
  CHECK(talk.answer == expected);
  CHECK(talk.timeline() == plain.timeline());
}

TEST_CASE("a drafter is told of the whole timeline, and can't call back in") {
  const OpenModel model = varied_model();
  const Tokens prompt = made_up_prompt(9, 25, 256);
  Talk plain(model, params_of(30));
  REQUIRE(plain.prompt(prompt) == INLAY_OK);
  const Tokens truth = joined(prompt, plain.finish());
  GuessingDrafter drafter(Guesses::kMixed, 256, truth, 1);
  const inlay_drafter table = drafter.table();
  inlay_generator_params params = params_of(30, INLAY_DRAFT_HOST, 5);
  params.drafter = &table;
  Talk talk(model, params);
  REQUIRE(talk.status == INLAY_OK);
  drafter.inside = [&] {
    inlay_output output = INLAY_OUTPUT_INIT;
    CHECK(inlay_generator_next(talk.generator(), INLAY_NO_BUDGET, &output) == INLAY_ERROR_BUSY);
    CHECK(inlay_generator_prompt_tokens(talk.generator(), prompt.data(), 1) == INLAY_ERROR_BUSY);
    CHECK(inlay_session_step(talk.session(), 1) == INLAY_ERROR_BUSY);
    CHECK(inlay_session_rewind(talk.session(), 1) == INLAY_ERROR_BUSY);
    CHECK(inlay_session_reset(talk.session()) == INLAY_ERROR_BUSY);
  };
  REQUIRE(talk.prompt(prompt) == INLAY_OK);
  CHECK(joined(prompt, talk.finish()) == truth);
  CHECK(drafter.observed == truth);
  CHECK(drafter.proposals + 1 >= talk.stats().rounds);  // the last token needs no draft
  CHECK(drafter.proposals <= talk.stats().rounds);
  CHECK(drafter.accepted == talk.stats().accepted);
  CHECK(drafter.accepted > 5);
}

TEST_CASE("a drafter's error comes out and costs nothing else") {
  const OpenModel model = varied_model();
  GuessingDrafter drafter(Guesses::kFailing, 256, {}, 1);
  const inlay_drafter table = drafter.table();
  inlay_generator_params params = params_of(30, INLAY_DRAFT_HOST, 5);
  params.drafter = &table;
  Talk talk(model, params);
  REQUIRE(talk.prompt(made_up_prompt(9, 25, 256)) == INLAY_OK);
  size_t errors = 0;
  while (talk.next() != INLAY_END) {
    if (talk.status != INLAY_ERROR_CALLBACK) continue;
    ++errors;
    CHECK(talk.output.token_count == 0);
    CHECK(talk.words().find("propose") != std::string::npos);
  }
  CHECK(errors > 5);
  CHECK(talk.answer.size() == 30);
}

TEST_CASE("a session that the host has moved is gone on from as it is") {
  const OpenModel model = varied_model();
  const Tokens prompt = made_up_prompt(10, 25, 256);
  GuessingDrafter drafter(Guesses::kRandom, 256, {}, 1);
  const inlay_drafter table = drafter.table();
  for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_LOOKUP, INLAY_DRAFT_HOST}) {
    inlay_generator_params params = params_of(10, draft, 3);
    params.drafter = &table;
    Talk talk(model, params);
    REQUIRE(talk.prompt(prompt) == INLAY_OK);
    const Tokens first = talk.finish();
    REQUIRE(inlay_session_reset(talk.session()) == INLAY_OK);
    CHECK(talk.next() == INLAY_END);
    REQUIRE(talk.prompt(prompt) == INLAY_OK);
    CHECK(talk.finish() == first);  // the last answer's last token is not in front of it
    CHECK(joined(talk.timeline(), {first.back()}) == joined(prompt, first));
    if (draft == INLAY_DRAFT_HOST) CHECK(drafter.observed == joined(prompt, first));
  }
  // In the middle of an answer it is an error, until a prompt says where to go on.
  Talk talk(model, params_of(10));
  REQUIRE(talk.prompt(prompt) == INLAY_OK);
  REQUIRE(talk.next() == INLAY_OK);
  REQUIRE(inlay_session_step(talk.session(), 3) == INLAY_OK);
  CHECK(talk.next() == INLAY_ERROR_WRONG_STATE);
  CHECK(talk.words() != "");
  REQUIRE(talk.prompt({4}) == INLAY_OK);
  CHECK(talk.finish().size() == 10);
  Tokens expected = prompt;
  expected.insert(expected.end(), {3, 4});
  const Tokens timeline = talk.timeline();
  CHECK(Tokens(timeline.begin(), timeline.begin() + 27) == expected);
}

TEST_CASE("a generator on a session that has tokens goes on from them") {
  const OpenModel model = varied_model();
  const Tokens prompt = made_up_prompt(11, 12, 256);
  const Handle<inlay_session> session = model.session(session_params(256));
  REQUIRE(inlay_session_prefill(session.get(), prompt.data(), 7) == INLAY_OK);
  const inlay_generator_params params = params_of(5, INLAY_DRAFT_LOOKUP);
  inlay_generator* made = nullptr;
  REQUIRE(inlay_generator_create(session.get(), &params, &made) == INLAY_OK);
  const Handle<inlay_generator> generator(made);
  inlay_output output = INLAY_OUTPUT_INIT;
  CHECK(inlay_generator_next(made, INLAY_NO_BUDGET, &output) == INLAY_ERROR_WRONG_STATE);
  REQUIRE(inlay_generator_prompt_tokens(made, prompt.data() + 7, 5) == INLAY_OK);
  CHECK(inlay_generator_next(made, INLAY_NO_BUDGET, &output) == INLAY_OK);
  CHECK(output.token_count == 1);
  const int32_t* tokens = inlay_session_tokens(session.get());
  CHECK(Tokens(tokens, tokens + inlay_session_position(session.get())) == prompt);
}

TEST_CASE("wrong parameters and arguments are refused and leave nothing") {
  const OpenModel model = varied_model();
  const auto refused = [&](inlay_generator_params params, bool mtp = false) {
    inlay_memory_use before = INLAY_MEMORY_USE_INIT;
    inlay_memory_use after = INLAY_MEMORY_USE_INIT;
    const Handle<inlay_session> session = model.session(session_params(256, mtp));
    inlay_runtime_memory(model.runtime(), 0, &before);
    inlay_generator* made = reinterpret_cast<inlay_generator*>(1);
    const inlay_status status = inlay_generator_create(session.get(), &params, &made);
    inlay_runtime_memory(model.runtime(), 0, &after);
    if (status != INLAY_OK) CHECK((made == nullptr && before.now == after.now));
    if (status == INLAY_OK) inlay_generator_destroy(made);
    return status == INLAY_ERROR_INVALID_ARGUMENT;
  };
  CHECK_FALSE(refused(params_of(1)));
  CHECK_FALSE(refused(params_of(1, INLAY_DRAFT_MTP), true));
  CHECK(refused(params_of(1, INLAY_DRAFT_MTP)));
  CHECK(refused(params_of(1, INLAY_DRAFT_LOOKUP_MTP)));
  CHECK(refused(params_of(1, 5)));
  CHECK(refused(params_of(1, -1)));
  CHECK(refused(params_of(1, INLAY_DRAFT_LOOKUP, 8)));
  CHECK(refused(params_of(1, INLAY_DRAFT_HOST)));
  inlay_drafter empty = INLAY_DRAFTER_INIT;
  inlay_generator_params params = params_of(1, INLAY_DRAFT_HOST);
  params.drafter = &empty;
  CHECK(refused(params));
  params = params_of(1);
  params.draft_min_probability = 1.5f;
  CHECK(refused(params));
  params.draft_min_probability = std::numeric_limits<float>::quiet_NaN();
  CHECK(refused(params));
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  sampler.temperature = -1.0f;
  params = params_of(1);
  params.sampler = &sampler;
  CHECK(refused(params));

  Talk talk(model, params_of(3));
  CHECK(talk.next() == INLAY_ERROR_WRONG_STATE);
  CHECK(talk.prompt({}) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(talk.prompt({1, 256}) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(talk.prompt({-1}) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_generator_prompt_text(talk.generator(), "x", 1, 0) == INLAY_ERROR_UNSUPPORTED);
  CHECK(talk.prompt({1, 255}) == INLAY_OK);
  CHECK(talk.finish().size() == 3);
}

TEST_CASE("where every token is forbidden the answer stops with an error, and a prompt is still taken") {
  const OpenModel model = varied_model();
  std::vector<inlay_logit_bias> biases;
  for (int32_t token = 0; token < 256; ++token) {
    biases.push_back({token, -std::numeric_limits<float>::infinity()});
  }
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  sampler.biases = biases.data();
  sampler.bias_count = biases.size();
  inlay_generator_params params = params_of(3);
  params.sampler = &sampler;
  Talk talk(model, params);
  REQUIRE(talk.prompt({1, 2, 3}) == INLAY_OK);
  CHECK(talk.next() == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(talk.next() == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(talk.words() != "");
  CHECK(talk.prompt({4}) == INLAY_OK);
  CHECK(talk.next() == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(talk.timeline() == Tokens{1, 2, 3, 4});
}

TEST_CASE("generating takes no memory of the runtime's after create") {
  const OpenModel model = varied_model();
  for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP, INLAY_DRAFT_LOOKUP_MTP}) {
    inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
    sampler.temperature = 0.8f;
    sampler.top_p = 0.9f;
    sampler.repeat_penalty = 1.1f;
    inlay_generator_params params = params_of(20, draft);
    params.sampler = &sampler;
    Talk talk(model, params, 256, draft != INLAY_DRAFT_NONE);
    inlay_memory_use before = INLAY_MEMORY_USE_INIT;
    inlay_memory_use after = INLAY_MEMORY_USE_INIT;
    inlay_runtime_memory(model.runtime(), 1, &before);
    REQUIRE(talk.prompt(made_up_prompt(12, 30, 256)) == INLAY_OK);
    talk.finish();
    inlay_runtime_memory(model.runtime(), 0, &after);
    CHECK(after.high_water == before.now);
    CHECK(after.now == before.now);
  }
}

TEST_CASE("the token that ends the text stops the answer and is fed with the next prompt") {
  const OpenModel model(own_data("blocks32.gguf"));
  REQUIRE(model.info().has_tokenizer == 1);
  const inlay_tokenizer* tokenizer = inlay_model_tokenizer(model.get());
  const int32_t end = inlay_tokenizer_end_of_text(tokenizer);
  REQUIRE(inlay_tokenizer_is_end(tokenizer, end) == 1);
  // A bias makes it likely, so that it comes now and then at a place that the seed decides.
  const inlay_logit_bias bias = {end, 4.0f};
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  sampler.temperature = 4.0f;
  sampler.biases = &bias;
  sampler.bias_count = 1;
  size_t ended = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    sampler.seed = seed;
    Tokens all;
    std::string text;
    for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_LOOKUP, INLAY_DRAFT_MTP}) {
      inlay_generator_params params = params_of(40, draft, 4);
      params.sampler = &sampler;
      Talk talk(model, params, 256, draft == INLAY_DRAFT_MTP);
      REQUIRE(inlay_generator_prompt_text(talk.generator(), "good evening", 12, 0) == INLAY_OK);
      const Tokens answer = talk.finish();
      if (talk.output.stop == INLAY_STOP_END_OF_TEXT) {
        ++ended;
        CHECK(answer.back() == end);
      } else {
        CHECK(talk.output.stop == INLAY_STOP_MAX_TOKENS);
      }
      Tokens fed = talk.timeline();
      CHECK(fed.size() == 12 + answer.size() - 1);
      REQUIRE(inlay_generator_prompt_text(talk.generator(), "and?", 4, 0) == INLAY_OK);
      REQUIRE(talk.next() >= 0);
      fed = talk.timeline();
      CHECK(fed[12 + answer.size() - 1] == answer.back());
      CHECK(fed.size() >= 12 + answer.size() + 4);
      talk.finish();
      if (draft == INLAY_DRAFT_NONE) {
        all = joined(talk.timeline(), talk.answer);
        text = talk.text;
      }
      CHECK(joined(talk.timeline(), talk.answer) == all);
      CHECK(talk.text == text);
    }
  }
  CHECK(ended > 6);
}

TEST_CASE("text is whole UTF-8 whatever the tokens are, and the same in all") {
  const OpenModel model(own_data("blocks32.gguf"));  // its tokens are the 256 bytes
  const inlay_tokenizer* tokenizer = inlay_model_tokenizer(model.get());
  size_t unfinished = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
    sampler.temperature = 20.0f;
    sampler.seed = seed;
    inlay_generator_params params = params_of(40, INLAY_DRAFT_MTP, 5);
    params.sampler = &sampler;
    params.ignore_end = 1;
    params.show_special = 1;
    Talk talk(model, params, 256, true);
    REQUIRE(inlay_generator_prompt_text(talk.generator(), "hm", 2, 0) == INLAY_OK);
    while (talk.next() != INLAY_END) {
      REQUIRE(talk.status == INLAY_OK);
      CHECK(talk.output.text[talk.output.text_bytes] == '\0');
      // No piece starts in the middle of a character.
      if (talk.output.text_bytes > 0) CHECK((static_cast<unsigned char>(talk.output.text[0]) & 0xC0) != 0x80);
    }
    REQUIRE(talk.answer.size() == 40);
    std::vector<char> bytes(40 * 16);
    size_t count = 0;
    REQUIRE(inlay_tokenizer_decode(tokenizer, talk.answer.data(), 40, 1, bytes.data(), bytes.size(),
                                   &count) == INLAY_OK);
    std::string expected(inlay::TextStream::most_bytes(count) + 3, '\0');
    inlay::TextStream stream;
    size_t length = stream.push({bytes.data(), count}, expected);
    unfinished += stream.held() > 0;
    length += stream.flush(std::span(expected).subspan(length));
    expected.resize(length);
    CHECK(talk.text == expected);
  }
  CHECK(unfinished > 0);
}

TEST_CASE("where no token is left in the middle of a round, the round is taken back") {
  const OpenModel model = varied_model();
  // Two tokens are possible, each once: the second penalty makes it -infinity.
  std::vector<inlay_logit_bias> biases;
  for (int32_t token = 2; token < 256; ++token) {
    biases.push_back({token, -std::numeric_limits<float>::infinity()});
  }
  inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
  sampler.biases = biases.data();
  sampler.bias_count = biases.size();
  sampler.frequency_penalty = 3e38f;
  for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP}) {
    inlay_generator_params params = params_of(20, draft, 3);
    params.sampler = &sampler;
    Talk talk(model, params, 256, draft == INLAY_DRAFT_MTP);
    REQUIRE(talk.prompt({9, 10, 11}) == INLAY_OK);
    while (talk.next() == INLAY_OK) continue;
    CHECK(talk.status == INLAY_ERROR_INVALID_ARGUMENT);
    CHECK(talk.answer.size() == 4);
    CHECK(talk.next() == INLAY_ERROR_INVALID_ARGUMENT);
    CHECK(joined(talk.timeline(), {talk.answer.back()}) == joined({9, 10, 11}, talk.answer));
    CHECK(inlay_session_step(talk.session(), 5) == INLAY_OK);  // no verify waits for a commit
  }
}

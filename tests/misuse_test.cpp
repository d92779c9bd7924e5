#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <utility>

#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay::test;

// Every function with nulls, with tokens and numbers out of range, in the wrong order, from inside callbacks:
// a status and words of its own, nothing held, and what it was called on can be used as before.

namespace {

const std::string& model_path() {
  static const std::string path = own_data("blocks32.gguf").string();
  return path;
}

/// Whether the session goes on with the same bits as one that nothing was done to.
void check_usable(const OpenModel& model, inlay_session* session, inlay_session* untouched) {
  REQUIRE(same_bits(step(session, 7, model.vocabulary()), step(untouched, 7, model.vocabulary())));
  REQUIRE(inlay_session_position(session) == inlay_session_position(untouched));
}

struct Misuse {
  const char* name;
  inlay_status expected;
  const char* words;  // that the message has to contain
  std::function<inlay_status()> call;
};

}  // namespace

TEST_CASE("nulls where a handle is expected") {
  const int32_t token = 1;
  size_t count = 9;
  int32_t out_token = 9;
  const float* row = nullptr;
  float values[8] = {};
  char text[8] = {};
  double bandwidth = 1;
  inlay_runtime* runtime = nullptr;
  inlay_file* file = nullptr;
  inlay_model* model = nullptr;
  inlay_tokenizer* tokenizer = nullptr;
  inlay_session* session = nullptr;
  inlay_sampler* sampler = nullptr;
  inlay_generator* generator = nullptr;
  inlay_memory_use use = INLAY_MEMORY_USE_INIT;
  inlay_runtime_info runtime_info = INLAY_RUNTIME_INFO_INIT;
  inlay_model_info info = INLAY_MODEL_INFO_INIT;
  inlay_tensor_info tensor = INLAY_TENSOR_INFO_INIT;
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  inlay_progress progress = INLAY_PROGRESS_INIT;
  inlay_output output = INLAY_OUTPUT_INIT;
  inlay_generator_stats stats = INLAY_GENERATOR_STATS_INIT;
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = model_path().c_str();
  const inlay_status statuses[] = {
      inlay_runtime_create(nullptr, nullptr),
      inlay_runtime_memory(nullptr, 0, &use),
      inlay_runtime_get_info(nullptr, &runtime_info),
      inlay_runtime_measure_bandwidth(nullptr, &bandwidth),
      inlay_file_open(nullptr, &source, &file),
      inlay_file_get_info(nullptr, &info),
      inlay_file_get_tensor(nullptr, 0, &tensor),
      inlay_file_plan(nullptr, nullptr, &plan),
      inlay_file_verify(nullptr, nullptr, nullptr),
      inlay_model_create(nullptr, nullptr, &model),
      inlay_model_open(nullptr, &source, nullptr, &model),
      inlay_model_get_info(nullptr, &info),
      inlay_model_plan(nullptr, nullptr, &plan),
      inlay_pack(nullptr, "a", "b", nullptr),
      inlay_tokenizer_create(nullptr, &tokenizer),
      inlay_tokenizer_encode(nullptr, "a", 1, 0, &out_token, 1, &count),
      inlay_tokenizer_decode(nullptr, &token, 1, 0, text, 8, &count),
      inlay_session_create(nullptr, nullptr, &session),
      inlay_session_fork(nullptr, &session),
      inlay_session_prefill(nullptr, &token, 1),
      inlay_session_step(nullptr, 1),
      inlay_session_verify(nullptr, &token, 1),
      inlay_session_begin_prefill(nullptr, &token, 1),
      inlay_session_begin_step(nullptr, 1),
      inlay_session_begin_verify(nullptr, &token, 1),
      inlay_session_commit(nullptr, 0),
      inlay_session_rewind(nullptr, 0),
      inlay_session_reset(nullptr),
      inlay_session_advance(nullptr, 0, &progress),
      inlay_session_logits(nullptr, 0, &row),
      inlay_session_hidden(nullptr, 0, &row),
      inlay_session_mtp_logits(nullptr, &token, 1, values),
      inlay_sampler_create(nullptr, nullptr, &sampler),
      inlay_sampler_sample(nullptr, values, &token, 1, 0, &out_token),
      inlay_generator_create(nullptr, nullptr, &generator),
      inlay_generator_prompt_tokens(nullptr, &token, 1),
      inlay_generator_prompt_text(nullptr, "a", 1, 0),
      inlay_generator_next(nullptr, 0, &output),
      inlay_generator_get_stats(nullptr, &stats),
  };
  size_t index = 0;
  for (const inlay_status status : statuses) {
    CAPTURE(index++);
    CHECK(status == INLAY_ERROR_INVALID_ARGUMENT);
  }
  const void* made[] = {runtime, file, model, tokenizer, session, sampler, generator, row};
  for (const void* handle : made) CHECK(handle == nullptr);
  CHECK(count == 0);
  CHECK(bandwidth == 0);
  inlay_runtime_destroy(nullptr);
  inlay_file_destroy(nullptr);
  inlay_model_destroy(nullptr);
  inlay_tokenizer_destroy(nullptr);
  inlay_session_destroy(nullptr);
  inlay_session_cancel(nullptr);
  inlay_sampler_destroy(nullptr);
  inlay_generator_destroy(nullptr);
  CHECK(inlay_runtime_message(nullptr, text, 8) == 0);
  CHECK(inlay_session_message(nullptr, text, 8) == 0);
  CHECK(inlay_generator_message(nullptr, text, 8) == 0);
  CHECK(inlay_file_tensor_count(nullptr) == 0);
  CHECK(inlay_model_tokenizer(nullptr) == nullptr);
  CHECK(inlay_tokenizer_size(nullptr) == 0);
  CHECK(inlay_tokenizer_end_of_text(nullptr) == -1);
  CHECK(inlay_tokenizer_is_end(nullptr, 0) == 0);
  CHECK(inlay_tokenizer_find(nullptr, "a", 1) == -1);
  CHECK(inlay_session_position(nullptr) == 0);
  CHECK(inlay_session_context_length(nullptr) == 0);
  CHECK(inlay_session_rewindable(nullptr) == 0);
  CHECK(inlay_session_tokens(nullptr) == nullptr);
}

TEST_CASE("nulls and nonsense under a runtime") {
  const OpenModel model(model_path());
  const Handle<inlay_session> session = model.session(session_params(256));
  inlay_runtime* runtime = model.runtime();
  inlay_file* file = nullptr;
  inlay_model* opened = nullptr;
  inlay_session* made = nullptr;
  inlay_sampler* sampler = nullptr;
  inlay_generator* generator = nullptr;
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  inlay_source nothing = INLAY_SOURCE_INIT, two = INLAY_SOURCE_INIT, absent = INLAY_SOURCE_INIT,
               good = INLAY_SOURCE_INIT;
  inlay_io io = INLAY_IO_INIT;
  inlay_source no_callbacks = INLAY_SOURCE_INIT;
  no_callbacks.io = &io;
  two.path = good.path = model_path().c_str();
  two.data = &plan;
  absent.path = "/nowhere/at all.gguf";
  inlay_sampler_params no_biases = INLAY_SAMPLER_PARAMS_INIT, hot = INLAY_SAMPLER_PARAMS_INIT;
  no_biases.bias_count = 2;
  hot.temperature = -1;
  inlay_generator_params no_drafter = INLAY_GENERATOR_PARAMS_INIT, mtp = INLAY_GENERATOR_PARAMS_INIT;
  inlay_generator_params wild = INLAY_GENERATOR_PARAMS_INIT, long_draft = INLAY_GENERATOR_PARAMS_INIT;
  no_drafter.draft = INLAY_DRAFT_HOST;
  mtp.draft = INLAY_DRAFT_MTP;
  wild.draft = 77;
  long_draft.draft_length = 8;
  const auto wrong = [](int32_t kv_type, uint32_t context, uint32_t chunk) {
    return session_params(context, false, kv_type, chunk);
  };
  const inlay_session_params bad_kv = wrong(99, 16, 0), negative_kv = wrong(-1, 16, 0);
  const inlay_session_params long_context = wrong(0, UINT32_MAX, 0), long_chunk = wrong(0, 16, UINT32_MAX);
  const Misuse misuses[] = {
      {"no source", INLAY_ERROR_INVALID_ARGUMENT, "source",
       [&] { return inlay_file_open(runtime, nullptr, &file); }},
      {"no out_file", INLAY_ERROR_INVALID_ARGUMENT, "out_file",
       [&] { return inlay_file_open(runtime, &good, nullptr); }},
      {"empty source", INLAY_ERROR_INVALID_ARGUMENT, "exactly one",
       [&] { return inlay_file_open(runtime, &nothing, &file); }},
      {"two sources", INLAY_ERROR_INVALID_ARGUMENT, "exactly one",
       [&] { return inlay_file_open(runtime, &two, &file); }},
      {"absent file", INLAY_ERROR_IO, "/nowhere/at all.gguf",
       [&] { return inlay_file_open(runtime, &absent, &file); }},
      {"no callbacks", INLAY_ERROR_INVALID_ARGUMENT, "size",
       [&] { return inlay_file_open(runtime, &no_callbacks, &file); }},
      {"no out_plan", INLAY_ERROR_INVALID_ARGUMENT, "out_plan",
       [&] { return inlay_file_plan(model.file(), nullptr, nullptr); }},
      {"plan of bad KV", INLAY_ERROR_INVALID_ARGUMENT, "kv_type",
       [&] { return inlay_file_plan(model.file(), &bad_kv, &plan); }},
      {"no out_model", INLAY_ERROR_INVALID_ARGUMENT, "out_model",
       [&] { return inlay_model_create(model.file(), nullptr, nullptr); }},
      {"no source to open", INLAY_ERROR_INVALID_ARGUMENT, "source",
       [&] { return inlay_model_open(runtime, nullptr, nullptr, &opened); }},
      {"no model to open", INLAY_ERROR_INVALID_ARGUMENT, "out_model",
       [&] { return inlay_model_open(runtime, &good, nullptr, nullptr); }},
      {"no model plan", INLAY_ERROR_INVALID_ARGUMENT, "out_plan",
       [&] { return inlay_model_plan(model.get(), nullptr, nullptr); }},
      {"no checksums", INLAY_ERROR_UNSUPPORTED, "checksums",
       [&] { return inlay_file_verify(model.file(), nullptr, nullptr); }},
      {"no out_tokenizer", INLAY_ERROR_INVALID_ARGUMENT, "out_tokenizer",
       [&] { return inlay_tokenizer_create(model.file(), nullptr); }},
      {"no out_session", INLAY_ERROR_INVALID_ARGUMENT, "out_session",
       [&] { return inlay_session_create(model.get(), nullptr, nullptr); }},
      {"bad KV", INLAY_ERROR_INVALID_ARGUMENT, "kv_type is 99",
       [&] { return inlay_session_create(model.get(), &bad_kv, &made); }},
      {"negative KV", INLAY_ERROR_INVALID_ARGUMENT, "kv_type is -1",
       [&] { return inlay_session_create(model.get(), &negative_kv, &made); }},
      {"long context", INLAY_ERROR_INVALID_ARGUMENT, "context_length",
       [&] { return inlay_session_create(model.get(), &long_context, &made); }},
      {"long chunk", INLAY_ERROR_INVALID_ARGUMENT, "prefill_chunk",
       [&] { return inlay_session_create(model.get(), &long_chunk, &made); }},
      {"no out_sampler", INLAY_ERROR_INVALID_ARGUMENT, "out_sampler",
       [&] { return inlay_sampler_create(model.get(), nullptr, nullptr); }},
      {"no biases", INLAY_ERROR_INVALID_ARGUMENT, "biases",
       [&] { return inlay_sampler_create(model.get(), &no_biases, &sampler); }},
      {"too hot", INLAY_ERROR_INVALID_ARGUMENT, "temperature",
       [&] { return inlay_sampler_create(model.get(), &hot, &sampler); }},
      {"no out_generator", INLAY_ERROR_INVALID_ARGUMENT, "out_generator",
       [&] { return inlay_generator_create(session.get(), nullptr, nullptr); }},
      {"no drafter", INLAY_ERROR_INVALID_ARGUMENT, "drafter",
       [&] { return inlay_generator_create(session.get(), &no_drafter, &generator); }},
      {"MTP without", INLAY_ERROR_INVALID_ARGUMENT, "mtp",
       [&] { return inlay_generator_create(session.get(), &mtp, &generator); }},
      {"wild draft", INLAY_ERROR_INVALID_ARGUMENT, "draft",
       [&] { return inlay_generator_create(session.get(), &wild, &generator); }},
      {"long draft", INLAY_ERROR_INVALID_ARGUMENT, "draft_length",
       [&] { return inlay_generator_create(session.get(), &long_draft, &generator); }},
      {"pack nothing", INLAY_ERROR_INVALID_ARGUMENT, "input",
       [&] { return inlay_pack(runtime, nullptr, "x", nullptr); }},
      {"pack nowhere", INLAY_ERROR_INVALID_ARGUMENT, "output",
       [&] { return inlay_pack(runtime, "x", nullptr, nullptr); }},
  };
  const uint64_t before = memory_of(runtime);
  for (const Misuse& misuse : misuses) {
    CAPTURE(misuse.name);
    CHECK(misuse.call() == misuse.expected);
    const std::string words = message_of(runtime);
    CAPTURE(words);
    CHECK(words.find(misuse.words) != std::string::npos);
    CHECK(memory_of(runtime) == before);
  }
  const void* handles[] = {file, opened, made, sampler, generator};
  for (const void* handle : handles) CHECK(handle == nullptr);
  const inlay_session_params needs_mtp = session_params(16, true);
  const OpenModel without(own_data("blocks256.gguf"));
  CHECK(inlay_session_create(without.get(), &needs_mtp, &made) == INLAY_ERROR_UNSUPPORTED);
  CHECK(message_of(without.runtime()).find("MTP") != std::string::npos);
}

TEST_CASE("nulls and nonsense in a session leave it as it was") {
  const OpenModel model(model_path());
  const Handle<inlay_session> session = model.session(session_params(300));
  const Handle<inlay_session> untouched = model.session(session_params(300));
  inlay_session* s = session.get();
  const std::vector<int32_t> good = random_tokens(1, 300, model.vocabulary());
  const auto vocabulary = static_cast<int32_t>(model.vocabulary());
  const int32_t high[] = {1, 2, vocabulary}, low[] = {-1}, lowest[] = {INT32_MIN};
  Logits out(model.vocabulary() * 10);
  const float* row = nullptr;
  inlay_progress uninitialised = {};
  const Misuse misuses[] = {
      {"prefill null", INLAY_ERROR_INVALID_ARGUMENT, "tokens is null",
       [&] { return inlay_session_prefill(s, nullptr, 3); }},
      {"prefill nothing", INLAY_ERROR_INVALID_ARGUMENT, "no tokens",
       [&] { return inlay_session_prefill(s, good.data(), 0); }},
      {"prefill null and nothing", INLAY_ERROR_INVALID_ARGUMENT, "no tokens",
       [&] { return inlay_session_prefill(s, nullptr, 0); }},
      {"prefill high", INLAY_ERROR_INVALID_ARGUMENT, "token 2 is 256",
       [&] { return inlay_session_prefill(s, high, 3); }},
      {"prefill long", INLAY_ERROR_CONTEXT_FULL, "context",
       [&] { return inlay_session_prefill(s, good.data(), 300); }},
      {"verify null", INLAY_ERROR_INVALID_ARGUMENT, "tokens is null",
       [&] { return inlay_session_verify(s, nullptr, 1); }},
      {"verify nothing", INLAY_ERROR_INVALID_ARGUMENT, "no tokens",
       [&] { return inlay_session_verify(s, good.data(), 0); }},
      {"verify many", INLAY_ERROR_INVALID_ARGUMENT, "at most 8",
       [&] { return inlay_session_verify(s, good.data(), 9); }},
      {"verify low", INLAY_ERROR_INVALID_ARGUMENT, "token 0 is -1",
       [&] { return inlay_session_verify(s, low, 1); }},
      {"begin null", INLAY_ERROR_INVALID_ARGUMENT, "tokens is null",
       [&] { return inlay_session_begin_prefill(s, nullptr, 1); }},
      {"begin verify null", INLAY_ERROR_INVALID_ARGUMENT, "tokens is null",
       [&] { return inlay_session_begin_verify(s, nullptr, 1); }},
      {"begin verify low", INLAY_ERROR_INVALID_ARGUMENT, "token 0 is",
       [&] { return inlay_session_begin_verify(s, lowest, 1); }},
      {"step low", INLAY_ERROR_INVALID_ARGUMENT, "token 0 is -1", [&] { return inlay_session_step(s, -1); }},
      {"step high", INLAY_ERROR_INVALID_ARGUMENT, "expected 0 to 255",
       [&] { return inlay_session_step(s, vocabulary); }},
      {"begin step high", INLAY_ERROR_INVALID_ARGUMENT, "token 0 is",
       [&] { return inlay_session_begin_step(s, INT32_MAX); }},
      {"commit", INLAY_ERROR_WRONG_STATE, "no verify", [&] { return inlay_session_commit(s, 0); }},
      {"rewind far", INLAY_ERROR_INVALID_ARGUMENT, "at most", [&] { return inlay_session_rewind(s, 300); }},
      {"rewind very far", INLAY_ERROR_INVALID_ARGUMENT, "at most",
       [&] { return inlay_session_rewind(s, SIZE_MAX); }},
      {"MTP without", INLAY_ERROR_WRONG_STATE, "without mtp",
       [&] { return inlay_session_mtp_logits(s, good.data(), 9, out.data()); }},
      {"MTP null", INLAY_ERROR_INVALID_ARGUMENT, "tokens is null",
       [&] { return inlay_session_mtp_logits(s, nullptr, 9, out.data()); }},
      {"MTP to null", INLAY_ERROR_INVALID_ARGUMENT, "out_logits",
       [&] { return inlay_session_mtp_logits(s, good.data(), 9, nullptr); }},
      {"progress", INLAY_ERROR_INVALID_ARGUMENT, "out_progress",
       [&] { return inlay_session_advance(s, 0, &uninitialised); }},
      {"fork to null", INLAY_ERROR_INVALID_ARGUMENT, "out_session",
       [&] { return inlay_session_fork(s, nullptr); }},
  };
  prefill(s, std::span(good).first(10), model.vocabulary());
  prefill(untouched.get(), std::span(good).first(10), model.vocabulary());
  for (const Misuse& misuse : misuses) {
    CAPTURE(misuse.name);
    CHECK(misuse.call() == misuse.expected);
    const std::string words = message_of(s);
    CAPTURE(words);
    CHECK(words.find(misuse.words) != std::string::npos);
    check_usable(model, s, untouched.get());
  }
  CHECK(inlay_session_logits(s, 0, nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_session_hidden(s, 0, nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_session_logits(s, 1, &row) == INLAY_ERROR_WRONG_STATE);
  CHECK(inlay_session_logits(s, SIZE_MAX, &row) == INLAY_ERROR_WRONG_STATE);
  CHECK(inlay_session_hidden(s, 1, &row) == INLAY_ERROR_WRONG_STATE);
  CHECK(row == nullptr);
}

TEST_CASE("calls in the wrong order") {
  const OpenModel model(model_path());
  const Handle<inlay_session> session = model.session(session_params(256, true));
  const Handle<inlay_session> untouched = model.session(session_params(256, true));
  inlay_session* s = session.get();
  inlay_session* forked = nullptr;
  const float* row = nullptr;
  const int32_t tokens[] = {1, 2, 3};
  float logits[1];
  const Misuse feeding[] = {
      {"prefill", INLAY_ERROR_WRONG_STATE, "", [&] { return inlay_session_prefill(s, tokens, 3); }},
      {"step", INLAY_ERROR_WRONG_STATE, "", [&] { return inlay_session_step(s, 1); }},
      {"verify", INLAY_ERROR_WRONG_STATE, "", [&] { return inlay_session_verify(s, tokens, 3); }},
      {"begin prefill", INLAY_ERROR_WRONG_STATE, "",
       [&] { return inlay_session_begin_prefill(s, tokens, 3); }},
      {"begin step", INLAY_ERROR_WRONG_STATE, "", [&] { return inlay_session_begin_step(s, 1); }},
      {"begin verify", INLAY_ERROR_WRONG_STATE, "", [&] { return inlay_session_begin_verify(s, tokens, 3); }},
      {"rewind", INLAY_ERROR_WRONG_STATE, "", [&] { return inlay_session_rewind(s, 0); }},
      {"fork", INLAY_ERROR_WRONG_STATE, "", [&] { return inlay_session_fork(s, &forked); }},
  };
  const auto refuse_all = [&](const char* words) {
    for (const Misuse& misuse : feeding) {
      CAPTURE(misuse.name);
      CHECK(misuse.call() == misuse.expected);
      CHECK(message_of(s).find(words) != std::string::npos);
    }
    CHECK(forked == nullptr);
  };
  // Before a commit.
  verify(s, tokens, model.vocabulary());
  refuse_all("waits for its commit");
  CHECK(inlay_session_commit(s, 4) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(message_of(s).find("the verify had 3") != std::string::npos);
  commit(s, 2);
  CHECK(inlay_session_commit(s, 0) == INLAY_ERROR_WRONG_STATE);
  for (const int32_t token : {1, 2}) step(untouched.get(), token, model.vocabulary());
  check_usable(model, s, untouched.get());
  // In the middle of work.
  REQUIRE(inlay_session_begin_prefill(s, tokens, 3) == INLAY_OK);
  REQUIRE(inlay_session_advance(s, 1, nullptr) == INLAY_PENDING);
  refuse_all("under way");
  CHECK(inlay_session_commit(s, 0) == INLAY_ERROR_WRONG_STATE);
  CHECK(inlay_session_logits(s, 0, &row) == INLAY_ERROR_WRONG_STATE);
  CHECK(inlay_session_hidden(s, 0, &row) == INLAY_ERROR_WRONG_STATE);
  REQUIRE(inlay_session_advance(s, INLAY_NO_BUDGET, nullptr) == INLAY_OK);
  prefill(untouched.get(), tokens, model.vocabulary());
  check_usable(model, s, untouched.get());
  // Not empty.
  CHECK(inlay_session_mtp_logits(s, tokens, 1, logits) == INLAY_ERROR_WRONG_STATE);
  CHECK(message_of(s).find("not empty") != std::string::npos);
  check_usable(model, s, untouched.get());
  // A reset ends both.
  REQUIRE(inlay_session_begin_step(s, 1) == INLAY_OK);
  REQUIRE(inlay_session_reset(s) == INLAY_OK);
  verify(s, tokens, model.vocabulary());
  REQUIRE(inlay_session_reset(s) == INLAY_OK);
  REQUIRE(inlay_session_reset(untouched.get()) == INLAY_OK);
  check_usable(model, s, untouched.get());
}

TEST_CASE("a session is busy in its own callbacks") {
  const OpenModel model(model_path());
  const Handle<inlay_session> session = model.session(session_params(256, true));
  struct Inside {
    inlay_session* session;
    inlay_generator* generator = nullptr;
    int calls = 0;
  } inside{session.get()};
  inlay_drafter drafter = INLAY_DRAFTER_INIT;
  drafter.user_data = &inside;
  drafter.propose = [](void* self, const int32_t*, size_t, size_t, int32_t*, size_t* out_count) {
    auto& [s, generator, calls] = *static_cast<Inside*>(self);
    const int32_t token = 1;
    inlay_session* forked = nullptr;
    inlay_output output = INLAY_OUTPUT_INIT;
    const inlay_status statuses[] = {inlay_session_step(s, 1),
                                     inlay_session_prefill(s, &token, 1),
                                     inlay_session_verify(s, &token, 1),
                                     inlay_session_begin_step(s, 1),
                                     inlay_session_commit(s, 0),
                                     inlay_session_rewind(s, 0),
                                     inlay_session_reset(s),
                                     inlay_session_fork(s, &forked),
                                     inlay_session_advance(s, 0, nullptr),
                                     inlay_generator_next(generator, 0, &output),
                                     inlay_generator_prompt_tokens(generator, &token, 1)};
    for (const inlay_status status : statuses) CHECK(status == INLAY_ERROR_BUSY);
    ++calls;
    *out_count = 0;
    return INLAY_OK;
  };
  inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
  params.draft = INLAY_DRAFT_HOST;
  params.drafter = &drafter;
  params.draft_length = 3;
  params.max_tokens = 5;
  params.ignore_end = 1;
  REQUIRE(inlay_generator_create(session.get(), &params, &inside.generator) == INLAY_OK);
  const Handle<inlay_generator> generator(inside.generator);
  const int32_t prompt[] = {1, 2, 3};
  REQUIRE(inlay_generator_prompt_tokens(generator.get(), prompt, 3) == INLAY_OK);
  inlay_status status = INLAY_OK;
  size_t tokens = 0;
  while (status == INLAY_OK) {
    inlay_output output = INLAY_OUTPUT_INIT;
    status = inlay_generator_next(generator.get(), INLAY_NO_BUDGET, &output);
    tokens += output.token_count;
  }
  CHECK(status == INLAY_END);
  CHECK(tokens == 5);
  CHECK(inside.calls > 0);
}

TEST_CASE("what a callback's call works on is destroyed when the call is over") {
  struct Host {
    inlay_runtime* runtime = nullptr;
    inlay_file* file = nullptr;
    inlay_model* model = nullptr;
    inlay_session* session = nullptr;
    inlay_generator* generator = nullptr;
    int calls = 0;
  } host;
  CountingAllocator allocator;
  host.runtime = make_runtime({.threads = 2, .allocator = &allocator}).release();
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = model_path().c_str();
  REQUIRE(inlay_file_open(host.runtime, &source, &host.file) == INLAY_OK);
  // The file and the runtime, while a model is made.
  inlay_model_params model_params = INLAY_MODEL_PARAMS_INIT;
  model_params.read_ahead = 1;
  model_params.progress_user_data = &host;
  model_params.progress = [](void* user_data, uint64_t, uint64_t) {
    Host& h = *static_cast<Host*>(user_data);
    inlay_file_destroy(std::exchange(h.file, nullptr));
    inlay_runtime_destroy(std::exchange(h.runtime, nullptr));
    return INLAY_OK;
  };
  REQUIRE(inlay_model_create(host.file, &model_params, &host.model) == INLAY_OK);
  const inlay_session_params params = session_params(256);
  REQUIRE(inlay_session_create(host.model, &params, &host.session) == INLAY_OK);
  step(host.session, 1, 256);
  // A session, while it is saved.
  inlay_session* forked = nullptr;
  REQUIRE(inlay_session_fork(host.session, &forked) == INLAY_OK);
  std::pair<inlay_session*, uint64_t> saved(forked, 0);
  inlay_writer writer = INLAY_WRITER_INIT;
  writer.user_data = &saved;
  writer.write = [](void* user_data, const void*, size_t bytes) {
    auto& [session, written] = *static_cast<std::pair<inlay_session*, uint64_t>*>(user_data);
    inlay_session_destroy(std::exchange(session, nullptr));
    written += bytes;
    return INLAY_OK;
  };
  const uint64_t bytes = inlay_session_save_bytes(forked);
  CHECK(inlay_session_save(forked, &writer) == INLAY_OK);
  CHECK(saved.second == bytes);
  // A generator with its session and all before it, in the middle of a round.
  inlay_drafter drafter = INLAY_DRAFTER_INIT;
  drafter.user_data = &host;
  drafter.propose = [](void* user_data, const int32_t*, size_t, size_t, int32_t* out_tokens,
                       size_t* out_count) {
    Host& h = *static_cast<Host*>(user_data);
    ++h.calls;
    inlay_generator_destroy(std::exchange(h.generator, nullptr));
    inlay_session_destroy(std::exchange(h.session, nullptr));
    inlay_model_destroy(std::exchange(h.model, nullptr));
    out_tokens[0] = 1;
    *out_count = 1;
    return INLAY_OK;
  };
  inlay_generator_params generator_params = INLAY_GENERATOR_PARAMS_INIT;
  generator_params.draft = INLAY_DRAFT_HOST;
  generator_params.drafter = &drafter;
  generator_params.draft_length = 2;
  generator_params.ignore_end = 1;
  REQUIRE(inlay_generator_create(host.session, &generator_params, &host.generator) == INLAY_OK);
  inlay_generator* generator = host.generator;
  const int32_t prompt[] = {1, 2, 3};
  REQUIRE(inlay_generator_prompt_tokens(generator, prompt, 3) == INLAY_OK);
  inlay_output output = INLAY_OUTPUT_INIT;
  REQUIRE(inlay_generator_next(generator, INLAY_NO_BUDGET, &output) == INLAY_OK);
  REQUIRE(host.calls == 0);
  CHECK(inlay_generator_next(generator, INLAY_NO_BUDGET, &output) == INLAY_OK);
  CHECK(host.calls == 1);
  CHECK(allocator.live_blocks() == 0);
  CHECK(allocator.mistakes() == 0);
}

TEST_CASE("children keep their parents") {
  CountingAllocator allocator;
  Handle<inlay_runtime> runtime = make_runtime({.threads = 2, .allocator = &allocator});
  inlay_source source = INLAY_SOURCE_INIT;
  source.path = model_path().c_str();
  inlay_file* opened = nullptr;
  REQUIRE(inlay_file_open(runtime.get(), &source, &opened) == INLAY_OK);
  Handle<inlay_file> file(opened);
  inlay_tokenizer* tokens = nullptr;
  REQUIRE(inlay_tokenizer_create(file.get(), &tokens) == INLAY_OK);
  Handle<inlay_tokenizer> tokenizer(tokens);
  inlay_model* made = nullptr;
  REQUIRE(inlay_model_create(file.get(), nullptr, &made) == INLAY_OK);
  Handle<inlay_model> model(made);
  inlay_sampler* sampling = nullptr;
  REQUIRE(inlay_sampler_create(model.get(), nullptr, &sampling) == INLAY_OK);
  Handle<inlay_sampler> sampler(sampling);
  const inlay_session_params params = session_params(256, true);
  inlay_session* feeding = nullptr;
  REQUIRE(inlay_session_create(model.get(), &params, &feeding) == INLAY_OK);
  Handle<inlay_session> session(feeding);
  inlay_generator* generating = nullptr;
  REQUIRE(inlay_generator_create(session.get(), nullptr, &generating) == INLAY_OK);
  Handle<inlay_generator> generator(generating);

  runtime.reset();
  file.reset();
  model.reset();
  step(session.get(), 1, 256);
  int32_t token = -1;
  CHECK(inlay_sampler_sample(sampler.get(), logits_of(session.get(), 0, 256).data(), nullptr, 0, 0, &token) ==
        INLAY_OK);
  size_t count = 0;
  CHECK(inlay_tokenizer_encode(tokenizer.get(), "abc", 3, 0, nullptr, 0, &count) == INLAY_OK);
  CHECK(count == 3);
  sampler.reset();
  session.reset();
  const int32_t prompt[] = {5, 6};
  REQUIRE(inlay_generator_prompt_tokens(generator.get(), prompt, 2) == INLAY_OK);
  inlay_output output = INLAY_OUTPUT_INIT;
  CHECK(inlay_generator_next(generator.get(), INLAY_NO_BUDGET, &output) == INLAY_OK);
  CHECK(output.token_count == 1);
  generator.reset();
  CHECK(allocator.live_blocks() > 0);  // the tokenizer holds the runtime
  tokenizer.reset();
  CHECK(allocator.live_blocks() == 0);
  CHECK(allocator.mistakes() == 0);
}

TEST_CASE("messages are cut to their buffer") {
  const OpenModel model(model_path());
  inlay_file* file = nullptr;
  REQUIRE(inlay_file_open(model.runtime(), nullptr, &file) == INLAY_ERROR_INVALID_ARGUMENT);
  char buffer[] = "xxxxxxxxxxxxxxxxxxxxxxxx";
  CHECK(inlay_runtime_message(model.runtime(), buffer, 4) == std::string("source is null").size());
  CHECK(std::string(buffer) == "sou");
  CHECK(buffer[4] == 'x');
  CHECK(inlay_runtime_message(model.runtime(), nullptr, 0) == std::string("source is null").size());
  CHECK(inlay_runtime_message(model.runtime(), nullptr, 9) == 0);
  CHECK(inlay_runtime_message(model.runtime(), buffer, sizeof buffer) ==
        std::string("source is null").size());
  CHECK(std::string(buffer) == "source is null");
}

TEST_CASE("every status has a name") {
  for (int status = INLAY_ERROR_CHAT_TEMPLATE; status <= 2; ++status) {
    CHECK(std::string(inlay_status_name(static_cast<inlay_status>(status))).starts_with("INLAY_"));
  }
  for (const int status : {3, INLAY_ERROR_CHAT_TEMPLATE - 1, 1000}) {
    CHECK(std::string(inlay_status_name(static_cast<inlay_status>(status))) == "unknown inlay_status");
  }
}

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tests/host.h"
#include "tests/interposed_malloc.h"
#include "tests/saved_bytes.h"
#include "tests/test_data.h"

using namespace inlay::test;

// After create nothing is allocated. This file is an executable of its own, in which malloc is replaced, so
// that what passes by the host's allocator is seen too.

namespace {

struct Watched {
  CountingAllocator allocator;
  std::unique_ptr<OpenModel> model;

  explicit Watched(const char* name) : Watched(own_data(name)) {}
  explicit Watched(const std::filesystem::path& path) {
    model = std::make_unique<OpenModel>(path, RuntimeWish{.threads = 2, .allocator = &allocator});
  }

  /// Allocations of any kind that happen meanwhile.
  uint64_t allocations(const std::function<void()>& work) {
    const uint64_t before = allocator.calls();
    begin_counting();
    work();
    const uint64_t seen = end_counting();
    return seen + (allocator.calls() - before);
  }
};

/// Looks at the memory, so that no allocation is optimised away.
void* seen(void* memory) {
  static void* volatile somewhere;
  somewhere = memory;
  return somewhere;
}

bool ok(inlay_status status) { return status == INLAY_OK; }

}  // namespace

TEST_CASE("allocations are seen") {
  REQUIRE(can_count_allocations());
  Watched watched("floats.gguf");
  CHECK(watched.allocations([] { std::free(seen(std::malloc(10))); }) == 1);
  CHECK(watched.allocations([] { std::free(seen(std::calloc(1, 10))); }) == 1);
  CHECK(watched.allocations([] { std::free(seen(std::aligned_alloc(64, 64))); }) == 1);
  CHECK(watched.allocations([] { ::operator delete(seen(::operator new(10))); }) == 1);
  CHECK(watched.allocations([] { seen(std::make_unique<std::string>(100, 'x').get()); }) == 2);
  CHECK(watched.allocations([&] { watched.model->session(session_params(256)).reset(); }) >= 1);
  CHECK(watched.allocations([] {}) == 0);
}

TEST_CASE("ten thousand steps allocate nothing") {
  Watched watched("floats.gguf");
  const Handle<inlay_session> session = watched.model->session(session_params(512, true));
  const auto vocabulary = static_cast<int32_t>(watched.model->vocabulary());
  int failures = 0;
  const uint64_t allocations = watched.allocations([&] {
    for (int32_t i = 0; i < 10000; ++i) {
      if (inlay_session_position(session.get()) == 512) failures += !ok(inlay_session_reset(session.get()));
      failures += !ok(inlay_session_step(session.get(), i % vocabulary));
      if (i % 5 == 4) failures += !ok(inlay_session_rewind(session.get(), 1));
      const float* row = nullptr;
      if (i % 5 != 4) failures += !ok(inlay_session_logits(session.get(), 0, &row));
      if (i % 5 != 4) failures += !ok(inlay_session_hidden(session.get(), 0, &row));
    }
  });
  CHECK(allocations == 0);
  CHECK(failures == 0);
}

TEST_CASE("prompts, verifies, budgets, cancels and errors allocate nothing") {
  for (const char* name : {"blocks32.gguf", "blocks256.gguf", "fp4.gguf"}) {
    for (const int32_t kv_type : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
      CAPTURE(std::string(name));
      Watched watched(name);
      const bool mtp = watched.model->mtp();
      const Handle<inlay_session> session = watched.model->session(session_params(300, mtp, kv_type, 32));
      const std::vector<int32_t> tokens = random_tokens(1, 300, watched.model->vocabulary());
      Logits mtp_logits(mtp ? 9 * watched.model->vocabulary() : 0);
      inlay_session* s = session.get();
      int failures = 0;
      const uint64_t allocations = watched.allocations([&] {
        inlay_progress progress = INLAY_PROGRESS_INIT;
        if (mtp) failures += !ok(inlay_session_mtp_logits(s, tokens.data(), 10, mtp_logits.data()));
        for (size_t width = 1; width <= INLAY_MAX_WIDTH; ++width) {
          failures += !ok(inlay_session_reset(s));
          failures += !ok(inlay_session_prefill(s, tokens.data(), 20 * width));
          failures += !ok(inlay_session_verify(s, tokens.data(), width));
          failures += !ok(inlay_session_commit(s, width));
          failures += !ok(inlay_session_rewind(s, width - width / 2));
          failures += !ok(inlay_session_begin_prefill(s, tokens.data(), 100));
          while (inlay_session_advance(s, 50, &progress) == INLAY_PENDING) {
          }
          failures += !ok(inlay_session_begin_step(s, 3));
          inlay_session_cancel(s);
          failures += inlay_session_advance(s, INLAY_NO_BUDGET, nullptr) != INLAY_ERROR_CANCELLED;
          failures += inlay_session_step(s, -1) != INLAY_ERROR_INVALID_ARGUMENT;
          failures += inlay_session_prefill(s, tokens.data(), 300) != INLAY_ERROR_CONTEXT_FULL;
          failures += inlay_session_commit(s, 1) != INLAY_ERROR_WRONG_STATE;
        }
      });
      CHECK(allocations == 0);
      CHECK(failures == 0);
    }
  }
}

TEST_CASE("sampling allocates nothing") {
  Watched watched("blocks32.gguf");
  const Handle<inlay_session> session = watched.model->session(session_params(256));
  const inlay_logit_bias bias{3, 2.0f};
  inlay_sampler_params params = INLAY_SAMPLER_PARAMS_INIT;
  params.temperature = 0.8f;
  params.top_k = 40;
  params.top_p = 0.9f;
  params.min_p = 0.01f;
  params.repeat_penalty = 1.1f;
  params.frequency_penalty = 0.1f;
  params.presence_penalty = 0.1f;
  params.biases = &bias;
  params.bias_count = 1;
  inlay_sampler* made = nullptr;
  REQUIRE(inlay_sampler_create(watched.model->get(), &params, &made) == INLAY_OK);
  const Handle<inlay_sampler> sampler(made);
  int failures = 0;
  const uint64_t allocations = watched.allocations([&] {
    int32_t token = 5;
    for (int i = 0; i < 200; ++i) {
      const float* logits = nullptr;
      failures += !ok(inlay_session_step(session.get(), token));
      failures += !ok(inlay_session_logits(session.get(), 0, &logits));
      failures += !ok(inlay_sampler_sample(sampler.get(), logits, inlay_session_tokens(session.get()),
                                           inlay_session_position(session.get()),
                                           inlay_session_position(session.get()), &token));
    }
  });
  CHECK(allocations == 0);
  CHECK(failures == 0);
}

TEST_CASE("generating, with every way of drafting, allocates nothing") {
  for (const int32_t draft :
       {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP, INLAY_DRAFT_LOOKUP, INLAY_DRAFT_LOOKUP_MTP}) {
    CAPTURE(draft);
    Watched watched("blocks32.gguf");
    const Handle<inlay_session> session = watched.model->session(session_params(256, true));
    inlay_sampler_params sampling = INLAY_SAMPLER_PARAMS_INIT;
    sampling.temperature = 0.7f;
    sampling.seed = 11;
    inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
    params.sampler = &sampling;
    params.draft = draft;
    params.max_tokens = 60;
    params.ignore_end = 1;
    inlay_generator* made = nullptr;
    REQUIRE(inlay_generator_create(session.get(), &params, &made) == INLAY_OK);
    const Handle<inlay_generator> generator(made);
    const std::vector<int32_t> prompt = random_tokens(2, 30, watched.model->vocabulary());
    size_t brought = 0;
    const uint64_t allocations = watched.allocations([&] {
      for (int turn = 0; turn < 2; ++turn) {
        inlay_status status = inlay_generator_prompt_tokens(made, prompt.data(), prompt.size());
        while (status >= INLAY_OK && status != INLAY_END) {
          inlay_output output = INLAY_OUTPUT_INIT;
          status = inlay_generator_next(made, turn == 0 ? INLAY_NO_BUDGET : 100, &output);
          brought += output.token_count;
        }
      }
    });
    CHECK(allocations == 0);
    CHECK(brought == 120);
  }
}

TEST_CASE("the events of a chat with a grammar, a mask and strict calls allocate nothing") {
  const auto path = bundled_model();
  REQUIRE(path);
  Watched watched(*path);
  const std::string_view schema =
      R"({"type":"object","properties":{"say":{"type":"string"}},"required":["say"]})";
  inlay_grammar* grammar = nullptr;
  REQUIRE(inlay_grammar_create(watched.model->get(), INLAY_GRAMMAR_JSON_SCHEMA, schema.data(), schema.size(),
                               &grammar) == INLAY_OK);
  const Handle<inlay_grammar> owner(grammar);
  inlay_mask mask = INLAY_MASK_INIT;
  mask.allow = [](void*, const int32_t*, size_t, uint32_t* allowed, uint32_t) {
    allowed[3] &= ~1u;
    return INLAY_OK;
  };
  for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_LOOKUP_MTP}) {
    const Handle<inlay_session> session = watched.model->session(session_params(1024, true));
    inlay_generator_params generator = INLAY_GENERATOR_PARAMS_INIT;
    generator.draft = draft;
    generator.max_tokens = 80;
    generator.mask = &mask;
    const std::string_view tools =
        R"([{"name":"roll_dice","parameters":{"properties":{"sides":{"type":"integer"}}}}])";
    inlay_chat_params params = INLAY_CHAT_PARAMS_INIT;
    params.generator = &generator;
    params.tools = tools.data();
    params.tools_bytes = tools.size();
    inlay_chat* made = nullptr;
    REQUIRE(inlay_chat_create(session.get(), &params, &made) == INLAY_OK);
    const Handle<inlay_chat> chat(made);
    for (const char* words : {"Three ales, please.", "Roll a d20 for me!"}) {
      REQUIRE(inlay_chat_add(made, "user", words, std::string_view(words).size()) == INLAY_OK);
      inlay_chat_answer_params answer = INLAY_CHAT_ANSWER_PARAMS_INIT;
      answer.think_budget = 5;
      answer.grammar = grammar;
      answer.strict_calls = 1;
      REQUIRE(inlay_chat_answer(made, &answer) == INLAY_OK);
      inlay_chat_event event = INLAY_CHAT_EVENT_INIT;
      inlay_status status = INLAY_OK;
      const uint64_t allocations = watched.allocations([&] {
        while (status == INLAY_OK || status == INLAY_PENDING) status = inlay_chat_next(made, 500, &event);
      });
      CHECK(status == INLAY_END);
      CHECK(allocations == 0);
    }
  }
}

TEST_CASE("saving, loading, rewinding to marks, pages of a pool, batches and estimates allocate nothing") {
  Watched watched("blocks32.gguf");
  inlay_pool_params pool_params = INLAY_POOL_PARAMS_INIT;
  pool_params.tokens = 10 * 256;
  pool_params.mtp = 1;
  inlay_pool* made = nullptr;
  REQUIRE(inlay_pool_create(watched.model->get(), &pool_params, &made) == INLAY_OK);
  const Handle<inlay_pool> pool(made);
  inlay_session_params params = session_params(600, true, INLAY_KV_DEFAULT);
  params.pool = made;
  const Handle<inlay_session> session = watched.model->session(params);
  inlay_fork_params fork_params = INLAY_FORK_PARAMS_INIT;
  fork_params.share_scratch = 1;
  inlay_session* forked = nullptr;
  REQUIRE(inlay_session_fork_with(session.get(), &fork_params, &forked) == INLAY_OK);
  const Handle<inlay_session> other(forked);
  inlay_generator* generating = nullptr;
  REQUIRE(inlay_generator_create(other.get(), nullptr, &generating) == INLAY_OK);
  const Handle<inlay_generator> generator(generating);
  const std::vector<int32_t> tokens = random_tokens(1, 300, watched.model->vocabulary());
  std::vector<std::byte> buffer(8u << 20);
  Stream stream;
  stream.bytes.reserve(8u << 20);
  const inlay_writer writer = stream.writer();
  const inlay_reader reader = stream.reader();
  int failures = 0;
  const uint64_t allocations = watched.allocations([&] {
    uint64_t bytes = 0;
    inlay_estimate estimate = INLAY_ESTIMATE_INIT;
    inlay_output output = INLAY_OUTPUT_INIT;
    inlay_progress progress = INLAY_PROGRESS_INIT;
    for (int round = 0; round < 4; ++round) {
      failures += !ok(inlay_session_reset(session.get()));
      failures += !ok(inlay_session_prefill(session.get(), tokens.data(), tokens.size()));
      failures += !ok(inlay_session_estimate(session.get(), 100, 10, 8, &estimate));
      failures += !ok(inlay_session_rewind_to(other.get(), session.get()));
      inlay_session* batch[] = {session.get(), other.get()};
      failures += !ok(inlay_session_begin_steps(batch, tokens.data(), 2));
      while (inlay_session_poll(session.get()) == INLAY_PENDING) {
      }
      failures += !ok(inlay_session_begin_steps(batch, tokens.data(), 2));
      failures += inlay_session_poll(session.get()) != INLAY_PENDING;
      inlay_session_cancel(session.get());
      failures += inlay_session_finish(session.get()) != INLAY_ERROR_CANCELLED;
      stream.bytes.clear();
      stream.at = 0;
      failures += !ok(inlay_session_save(session.get(), &writer));
      failures += !ok(inlay_session_load(other.get(), &reader));
      failures += !ok(inlay_session_save_memory(session.get(), buffer.data(), buffer.size(), &bytes));
      failures += !ok(inlay_session_load_memory(other.get(), buffer.data(), bytes));
      failures += !ok(inlay_session_load_memory(session.get(), buffer.data(), bytes));
      buffer[700] ^= std::byte{1};
      failures += ok(inlay_session_load_memory(session.get(), buffer.data(), bytes));
      failures += !ok(inlay_generator_prompt_tokens(generating, tokens.data(), 40));
      failures += inlay_generator_next(generating, 200, &output) < 0;
      failures += !ok(inlay_generator_get_progress(generating, &progress));
      failures += !ok(inlay_generator_save_memory(generating, buffer.data(), buffer.size(), &bytes));
      failures += !ok(inlay_generator_load_memory(generating, buffer.data(), bytes));
      failures += inlay_generator_next(generating, INLAY_NO_BUDGET, &output) < 0;
    }
  });
  CHECK(allocations == 0);
  CHECK(failures == 0);
}

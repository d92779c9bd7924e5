#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/cuda_host.h"
#include "tests/test_data.h"
#include "tests/timeline.h"

using namespace inlay::test;

// Sessions on CUDA saved and loaded, over the pages of a pool, and several in one pass.

namespace {

constexpr RuntimeWish kCuda{.device = INLAY_DEVICE_CUDA};
using Bytes = std::vector<std::byte>;

Handle<inlay_pool> make_pool(const OpenModel& model, uint64_t tokens, int32_t kv_type, bool mtp) {
  inlay_pool_params params = INLAY_POOL_PARAMS_INIT;
  params.tokens = tokens;
  params.kv_type = kv_type;
  params.mtp = mtp ? 1 : 0;
  inlay_pool* pool = nullptr;
  REQUIRE(inlay_pool_create(model.get(), &params, &pool) == INLAY_OK);
  return Handle<inlay_pool>(pool);
}

inlay_session_params pooled(inlay_pool* pool, inlay_session_params params) {
  params.pool = pool;
  return params;
}

Handle<inlay_session> fork_sharing(inlay_session* session) {
  inlay_fork_params params = INLAY_FORK_PARAMS_INIT;
  params.share_scratch = 1;
  inlay_session* made = nullptr;
  REQUIRE(inlay_session_fork_with(session, &params, &made) == INLAY_OK);
  return Handle<inlay_session>(made);
}

/// A prompt, a window of which five tokens are kept and not yet replayed, and logits that are waiting.
void play(const OpenModel& model, inlay_session* session) {
  prefill(session, random_tokens(1, 300, model.vocabulary()), model.vocabulary());
  verify(session, random_tokens(2, 8, model.vocabulary()), model.vocabulary());
  commit(session, 5);
}

struct Talk {
  Handle<inlay_session> session;
  Handle<inlay_generator> generator;
  std::vector<int32_t> tokens;

  Talk(const OpenModel& model, int32_t draft) : session(model.session(session_params(512, model.mtp()))) {
    inlay_sampler_params sampler = INLAY_SAMPLER_PARAMS_INIT;
    sampler.temperature = 0.9f;
    sampler.top_k = 50;
    sampler.seed = 5;
    inlay_generator_params params = INLAY_GENERATOR_PARAMS_INIT;
    params.sampler = &sampler;
    params.draft = draft;
    params.max_tokens = 60;
    params.ignore_end = 1;
    inlay_generator* made = nullptr;
    REQUIRE(inlay_generator_create(session.get(), &params, &made) == INLAY_OK);
    generator.reset(made);
  }
  void prompt(const OpenModel& model) {
    const std::vector<int32_t> prompt = random_tokens(7, 300, model.vocabulary());
    REQUIRE(inlay_generator_prompt_tokens(generator.get(), prompt.data(), prompt.size()) == INLAY_OK);
  }
  inlay_status next(uint64_t budget_us) {
    inlay_output output = INLAY_OUTPUT_INIT;
    const inlay_status status = inlay_generator_next(generator.get(), budget_us, &output);
    if (status >= INLAY_OK) tokens.insert(tokens.end(), output.tokens, output.tokens + output.token_count);
    return status;
  }
  void finish() {
    inlay_status status = INLAY_OK;
    while (status == INLAY_OK || status == INLAY_PENDING) status = next(INLAY_NO_BUDGET);
    REQUIRE(status == INLAY_END);
  }
};

}  // namespace

TEST_CASE("cuda: a session saved on one device is the same bytes on the other, and goes on there") {
  INLAY_CUDA_ONLY();
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel on_cuda(path, kCuda), on_cpu(path, {.threads = 4});
    for (const int32_t kv : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
      CAPTURE(kv);
      const inlay_session_params params = session_params(512, on_cuda.mtp(), kv);
      for (const bool to_cpu : {true, false}) {
        CAPTURE(to_cpu);
        const OpenModel& here = to_cpu ? on_cuda : on_cpu;
        const OpenModel& there = to_cpu ? on_cpu : on_cuda;
        const Handle<inlay_session> session = here.session(params), other = there.session(params);
        play(here, session.get());
        const Bytes saved = save_to_memory(session.get());
        REQUIRE(inlay_session_load_memory(other.get(), saved.data(), saved.size()) == INLAY_OK);
        REQUIRE(save_to_memory(other.get()) == saved);
        // And back: with the same bits as the one that stayed.
        const Handle<inlay_session> back = here.session(params);
        const Bytes again = save_to_memory(other.get());
        REQUIRE(inlay_session_load_memory(back.get(), again.data(), again.size()) == INLAY_OK);
        REQUIRE(inlay_session_rewind(session.get(), 2) == INLAY_OK);
        REQUIRE(inlay_session_rewind(back.get(), 2) == INLAY_OK);
        REQUIRE(inlay_session_rewind(other.get(), 2) == INLAY_OK);
        for (int32_t token = 3; token < 6; ++token) {
          const Logits expected = step(session.get(), token, here.vocabulary());
          CHECK(same_bits(step(back.get(), token, here.vocabulary()), expected));
          CHECK(nmse(step(other.get(), token, here.vocabulary()), expected) < 1e-3);
        }
      }
    }
  }
}

TEST_CASE("cuda: a generator goes on with the same tokens after a load at any moment") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data("blocks32.gguf"), kCuda);
  for (const int32_t draft : {INLAY_DRAFT_NONE, INLAY_DRAFT_MTP, INLAY_DRAFT_LOOKUP_MTP}) {
    CAPTURE(draft);
    Talk plain(model, draft);
    plain.prompt(model);
    plain.finish();
    REQUIRE(plain.tokens.size() == 60);
    Random random(static_cast<uint64_t>(draft));
    for (int calls = 0; calls < 200; calls += 1 + static_cast<int>(random.below(40))) {
      Talk talk(model, draft), other(model, draft);
      talk.prompt(model);
      for (int i = 0; i < calls; ++i) talk.next(1 + random.below(60));
      const Bytes saved = save_to_memory(talk.generator.get());
      REQUIRE(inlay_generator_load_memory(other.generator.get(), saved.data(), saved.size()) == INLAY_OK);
      other.tokens = talk.tokens;
      talk.finish();
      other.finish();
      CHECK(talk.tokens == plain.tokens);
      REQUIRE(other.tokens == plain.tokens);
    }
  }
}

TEST_CASE("cuda: a pooled session is like any other, whatever it does") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data("blocks32.gguf"), kCuda);
  uint64_t seed = 0;
  for (const int32_t kv : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
    const Handle<inlay_pool> pool = make_pool(model, 20 * 256, kv, true);
    for (int play = 0; play < 2; ++play) {
      // A context of two pages: moves cross from the one to the other, forwards and back.
      check_random_play(model, pooled(pool.get(), session_params(300, true, kv)), ++seed, 60);
      CHECK(inlay_pool_free_pages(pool.get()) == 20);
    }
  }
}

TEST_CASE("cuda: a hundred forks of a prefix cost a hundred states and one prefix") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data("blocks32.gguf"), kCuda);
  constexpr uint32_t kPrefix = 4000, kContext = 4352;
  const inlay_session_params plain = session_params(kContext);
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_model_plan(model.get(), &plain, &plan) == INLAY_OK);
  CHECK(plan.pooled_session_device + plan.kv_cache <= plan.session_device + (4u << 20));
  inlay_pool_params pool_params = INLAY_POOL_PARAMS_INIT;
  pool_params.tokens = 116 * 256;
  pool_params.kv_type = INLAY_KV_F16;
  inlay_pool_plan pool_plan = INLAY_POOL_PLAN_INIT;
  REQUIRE(inlay_file_plan_pool(model.file(), &pool_params, &pool_plan) == INLAY_OK);
  const uint64_t before = free_device_memory();
  const Handle<inlay_pool> pool = make_pool(model, pool_params.tokens, INLAY_KV_F16, false);
  CHECK(before - free_device_memory() == pool_plan.device);
  const Handle<inlay_session> base = model.session(pooled(pool.get(), plain));
  const std::vector<int32_t> prefix = random_tokens(1, kPrefix, model.vocabulary());
  prefill(base.get(), prefix, model.vocabulary());
  CHECK(inlay_pool_free_pages(pool.get()) == 100);
  const uint64_t prompted = free_device_memory();
  std::vector<Handle<inlay_session>> forks;
  for (int i = 0; i < 100; ++i) forks.push_back(fork_sharing(base.get()));
  CHECK(prompted - free_device_memory() == 100 * plan.pooled_session_device);
  CHECK(inlay_pool_free_pages(pool.get()) == 0);
  for (int32_t i = 0; i < 100; i += 9) {
    const Handle<inlay_session> alone = model.session(plain);
    prefill(alone.get(), prefix, model.vocabulary());
    for (const int32_t token : {i, i + 1}) {
      CHECK(same_bits(step(forks[static_cast<size_t>(i)].get(), token, model.vocabulary()),
                      step(alone.get(), token, model.vocabulary())));
    }
  }
  const std::vector<int32_t> more = random_tokens(3, 200, model.vocabulary());
  CHECK(inlay_session_prefill(forks[50].get(), more.data(), more.size()) == INLAY_ERROR_MEMORY_LIMIT);
  forks[0].reset();
  CHECK(inlay_session_prefill(forks[50].get(), more.data(), more.size()) == INLAY_OK);
  forks.clear();
  CHECK(inlay_pool_free_pages(pool.get()) == 100);
  CHECK(free_device_memory() == prompted);
}

TEST_CASE("cuda: sessions of one scratch step in one pass, each with its own bits") {
  INLAY_CUDA_ONLY();
  for (const bool mtp : {false, true}) {
    CAPTURE(mtp);
    const OpenModel model(own_data("blocks32.gguf"), kCuda);
    const Handle<inlay_pool> pool = make_pool(model, 40 * 256, INLAY_KV_F16, mtp);
    const Handle<inlay_session> base = model.session(pooled(pool.get(), session_params(512, mtp)));
    prefill(base.get(), random_tokens(1, 250, model.vocabulary()), model.vocabulary());
    std::vector<Handle<inlay_session>> together, alone;
    std::vector<inlay_session*> batch;
    for (int32_t i = 0; i < 8; ++i) {
      together.push_back(fork_sharing(base.get()));
      alone.push_back(fork_sharing(base.get()));
      batch.push_back(together.back().get());
      // Each at a place of its own, with another number of tokens to replay; some on the second page.
      for (inlay_session* session : {together.back().get(), alone.back().get()}) {
        verify(session, random_tokens(static_cast<uint64_t>(i), 8, model.vocabulary()), model.vocabulary());
        commit(session, static_cast<size_t>(i));
      }
    }
    const uint64_t free = free_device_memory();
    Random random(4);
    for (int round = 0; round < 12; ++round) {
      const size_t count = 1 + random.below(8);
      const std::vector<int32_t> tokens = random_tokens(random.next(), count, model.vocabulary());
      REQUIRE(inlay_session_begin_steps(batch.data(), tokens.data(), count) == INLAY_OK);
      if (round == 5) {
        inlay_session_advance(batch[0], 200, nullptr);
        inlay_session_cancel(batch[0]);
        if (inlay_session_finish(batch[0]) == INLAY_ERROR_CANCELLED) {
          REQUIRE(inlay_session_begin_steps(batch.data(), tokens.data(), count) == INLAY_OK);
        }
      }
      inlay_status status = INLAY_PENDING;
      // By turns: all at once, asked for without waiting, slice by slice.
      while (status == INLAY_PENDING && round % 3 == 1) status = inlay_session_poll(batch[0]);
      while (status == INLAY_PENDING && round % 3 == 2)
        status = inlay_session_advance(batch[0], 300, nullptr);
      if (round % 3 == 0) status = inlay_session_finish(batch[0]);
      REQUIRE(status == INLAY_OK);
      std::vector<Logits> rows;
      for (size_t i = 0; i < count; ++i) rows.push_back(logits_of(batch[i], 0, model.vocabulary()));
      for (size_t i = 0; i < count; ++i) {
        CHECK(same_bits(rows[i], step(alone[i].get(), tokens[i], model.vocabulary())));
      }
    }
    CHECK(free_device_memory() == free);
  }
}

TEST_CASE("cuda: work that was begun is polled to its end, with the bits of work that was waited for") {
  INLAY_CUDA_ONLY();
  const OpenModel model(own_data("blocks32.gguf"), kCuda);
  const inlay_session_params params = session_params(1024, true, INLAY_KV_F16, 64);
  const Handle<inlay_session> polled = model.session(params), waited = model.session(params);
  const std::vector<int32_t> prompt = random_tokens(3, 200, model.vocabulary());
  const auto poll = [&] {
    uint64_t calls = 1;
    inlay_status status = inlay_session_poll(polled.get());
    while (status == INLAY_PENDING) {
      status = inlay_session_poll(polled.get());
      ++calls;
    }
    REQUIRE(status == INLAY_OK);
    return calls;
  };
  REQUIRE(inlay_session_begin_prefill(polled.get(), prompt.data(), prompt.size()) == INLAY_OK);
  uint64_t most = poll();
  CHECK(same_bits(logits_of(polled.get(), 0, model.vocabulary()),
                  prefill(waited.get(), prompt, model.vocabulary())));
  for (int32_t token = 0; token < 5; ++token) {
    REQUIRE(inlay_session_begin_step(polled.get(), token) == INLAY_OK);
    most = std::max(most, poll());
    CHECK(same_bits(logits_of(polled.get(), 0, model.vocabulary()),
                    step(waited.get(), token, model.vocabulary())));
  }
  CHECK(most > 1);
  // One that is cancelled while the device has it: the whole chunks that were done before are kept.
  inlay_session* session = polled.get();
  for (const bool prefill_too : {true, false}) {
    CAPTURE(prefill_too);
    const uint64_t position = inlay_session_position(session);
    REQUIRE((prefill_too ? inlay_session_begin_prefill(session, prompt.data(), prompt.size())
                         : inlay_session_begin_step(session, 9)) == INLAY_OK);
    REQUIRE(inlay_session_poll(session) == INLAY_PENDING);
    inlay_session_cancel(session);
    CHECK(inlay_session_finish(session) == INLAY_ERROR_CANCELLED);
    CHECK(inlay_session_position(session) == position);
  }
  CHECK(same_bits(step(session, 9, model.vocabulary()), step(waited.get(), 9, model.vocabulary())));
  CHECK(same_bits(prefill(session, prompt, model.vocabulary()),
                  prefill(waited.get(), prompt, model.vocabulary())));
  // One that is given up while the device still has it.
  REQUIRE(inlay_session_begin_prefill(polled.get(), prompt.data(), prompt.size()) == INLAY_OK);
  REQUIRE(inlay_session_poll(polled.get()) == INLAY_PENDING);
  REQUIRE(inlay_session_reset(polled.get()) == INLAY_OK);
  REQUIRE(inlay_session_reset(waited.get()) == INLAY_OK);
  CHECK(same_bits(prefill(polled.get(), prompt, model.vocabulary()),
                  prefill(waited.get(), prompt, model.vocabulary())));
}

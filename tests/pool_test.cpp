#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/host.h"
#include "tests/test_data.h"
#include "tests/timeline.h"

using namespace inlay::test;

namespace {

Handle<inlay_pool> make_pool(const OpenModel& model, uint64_t tokens, bool mtp) {
  inlay_pool_params params = INLAY_POOL_PARAMS_INIT;
  params.tokens = tokens;
  params.kv_type = INLAY_KV_F16;
  params.mtp = mtp ? 1 : 0;
  inlay_pool* pool = nullptr;
  REQUIRE(inlay_pool_create(model.get(), &params, &pool) == INLAY_OK);
  return Handle<inlay_pool>(pool);
}

inlay_session_params pooled(inlay_pool* pool, uint32_t context, bool mtp) {
  inlay_session_params params = session_params(context, mtp);
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

}  // namespace

TEST_CASE("a pooled session is like any other, whatever it does") {
  const OpenModel model(own_data("blocks32.gguf"), {.threads = 2});
  const Handle<inlay_pool> pool = make_pool(model, 20 * 256, true);
  for (uint64_t seed = 0; seed < (emulated() ? 2 : 6); ++seed) {
    // A context of two pages: moves cross from the one to the other, forwards and back.
    check_random_play(model, pooled(pool.get(), 300, true), seed, 60);
    CHECK(inlay_pool_free_pages(pool.get()) == 20);
  }
}

TEST_CASE("a hundred forks of a prefix cost a hundred states and one prefix") {
  CountingAllocator allocator;
  const OpenModel model(own_data("blocks32.gguf"), {.threads = 2, .allocator = &allocator});
  constexpr uint32_t kPrefix = 4000, kContext = 4352;
  inlay_session_params plain = session_params(kContext);
  inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
  REQUIRE(inlay_model_plan(model.get(), &plain, &plan) == INLAY_OK);
  inlay_pool_params pool_params = INLAY_POOL_PARAMS_INIT;
  pool_params.tokens = 120 * 256;
  pool_params.kv_type = INLAY_KV_F16;
  inlay_pool_plan pool_plan = INLAY_POOL_PLAN_INIT;
  REQUIRE(inlay_file_plan_pool(model.file(), &pool_params, &pool_plan) == INLAY_OK);
  CHECK(pool_plan.pages == 120);

  const uint64_t before = memory_of(model.runtime());
  const Handle<inlay_pool> pool = make_pool(model, 120 * 256, false);
  CHECK(memory_of(model.runtime()) - before == pool_plan.host);
  const Handle<inlay_session> base = model.session(pooled(pool.get(), kContext, false));
  CHECK(memory_of(model.runtime()) - before == pool_plan.host + plan.pooled_session_host + plan.scratch_host);
  const std::vector<int32_t> prefix = random_tokens(1, kPrefix, model.vocabulary());
  prefill(base.get(), prefix, model.vocabulary());
  CHECK(inlay_pool_free_pages(pool.get()) == 120 - 16);

  std::vector<Handle<inlay_session>> forks;
  for (int i = 0; i < 100; ++i) forks.push_back(fork_sharing(base.get()));
  CHECK(memory_of(model.runtime()) - before ==
        pool_plan.host + 101 * plan.pooled_session_host + plan.scratch_host);
  // 15 full pages are everybody's; the sixteenth, of 160 tokens, is each one's own.
  CHECK(inlay_pool_free_pages(pool.get()) == 120 - 16 - 100);
  CHECK(plan.pooled_session_host < plan.session_host - plan.kv_cache + 65536);

  // Each says something else, and is what a session of its own would be.
  for (int32_t i = 0; i < 100; i += emulated() ? 99 : 9) {
    const Handle<inlay_session> alone = model.session(plain);
    prefill(alone.get(), prefix, model.vocabulary());
    for (const int32_t token : {i, i + 1}) {
      CHECK(same_bits(step(forks[static_cast<size_t>(i)].get(), token, model.vocabulary()),
                      step(alone.get(), token, model.vocabulary())));
    }
  }
  // Four more pages: the pool is then empty, and says so before anything is done.
  for (int i = 0; i < 4; ++i)
    prefill(forks[static_cast<size_t>(i)].get(), random_tokens(2, 200, 200), model.vocabulary());
  CHECK(inlay_pool_free_pages(pool.get()) == 0);
  const std::vector<int32_t> more = random_tokens(3, 200, model.vocabulary());
  const uint64_t position = inlay_session_position(forks[50].get());
  CHECK(inlay_session_prefill(forks[50].get(), more.data(), more.size()) == INLAY_ERROR_MEMORY_LIMIT);
  CHECK(inlay_session_position(forks[50].get()) == position);
  inlay_session* refused = nullptr;
  CHECK(inlay_session_fork(base.get(), &refused) == INLAY_ERROR_MEMORY_LIMIT);
  forks[0].reset();
  CHECK(inlay_session_prefill(forks[50].get(), more.data(), more.size()) == INLAY_OK);
  forks.clear();
  CHECK(inlay_pool_free_pages(pool.get()) == 120 - 16);
}

TEST_CASE("forks of a fork, and a parent that goes first") {
  const OpenModel model(own_data("blocks32.gguf"));
  const Handle<inlay_pool> pool = make_pool(model, 8 * 256, true);
  const std::vector<int32_t> prefix = random_tokens(5, 257, model.vocabulary());
  const Handle<inlay_session> alone = model.session(session_params(512, true));
  prefill(alone.get(), prefix, model.vocabulary());
  Handle<inlay_session> fork;
  {
    const Handle<inlay_session> base = model.session(pooled(pool.get(), 512, true));
    prefill(base.get(), prefix, model.vocabulary());
    const Handle<inlay_session> child = fork_sharing(base.get());
    fork = fork_sharing(child.get());
    // The child goes back into the page that all three share, and writes there.
    for (int32_t token = 0; token < 3; ++token) step(child.get(), token, model.vocabulary());
    REQUIRE(inlay_session_rewind(child.get(), 1) == INLAY_OK);
    step(child.get(), 77, model.vocabulary());
  }
  CHECK(inlay_pool_free_pages(pool.get()) == 6);
  CHECK(same_bits(step(fork.get(), 9, model.vocabulary()), step(alone.get(), 9, model.vocabulary())));
}

TEST_CASE("a fork that steps back into a shared page has its own") {
  const OpenModel model(own_data("blocks32.gguf"));
  const Handle<inlay_pool> pool = make_pool(model, 8 * 256, true);
  const Handle<inlay_session> base = model.session(pooled(pool.get(), 512, true));
  const Handle<inlay_session> alone = model.session(session_params(512, true));
  const std::vector<int32_t> prefix = random_tokens(6, 250, model.vocabulary());
  const std::vector<int32_t> width = random_tokens(7, 8, model.vocabulary());
  for (inlay_session* session : {base.get(), alone.get()}) {
    prefill(session, prefix, model.vocabulary());
    verify(session, width, model.vocabulary());
    commit(session, 8);  // 258: the first page is full
  }
  const Handle<inlay_session> fork = fork_sharing(base.get());
  CHECK(inlay_pool_free_pages(pool.get()) == 8 - 3);
  REQUIRE(inlay_session_rewind(fork.get(), 5) == INLAY_OK);
  for (int32_t token = 0; token < 5; ++token) step(fork.get(), 100 + token, model.vocabulary());
  CHECK(inlay_pool_free_pages(pool.get()) == 8 - 4);
  CHECK(same_bits(step(base.get(), 1, model.vocabulary()), step(alone.get(), 1, model.vocabulary())));
}

TEST_CASE("pools refuse what is not theirs") {
  const OpenModel model(own_data("blocks32.gguf")), other(own_data("blocks256.gguf"));
  const Handle<inlay_pool> pool = make_pool(model, 1, false);
  CHECK(inlay_pool_free_pages(pool.get()) == 1);
  inlay_session* made = nullptr;
  inlay_session_params params = pooled(pool.get(), 256, true);
  CHECK(inlay_session_create(model.get(), &params, &made) == INLAY_ERROR_MISMATCH);
  params = pooled(pool.get(), 256, false);
  CHECK(inlay_session_create(other.get(), &params, &made) == INLAY_ERROR_MISMATCH);
  inlay_pool_params wrong = INLAY_POOL_PARAMS_INIT;
  inlay_pool* none = nullptr;
  CHECK(inlay_pool_create(model.get(), &wrong, &none) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_pool_create(nullptr, &wrong, &none) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_pool_free_pages(nullptr) == 0);
  const Handle<inlay_session> base = model.session(params);
  params = session_params(512);
  params.share_scratch = base.get();
  CHECK(inlay_session_create(model.get(), &params, &made) == INLAY_ERROR_MISMATCH);
}

TEST_CASE("sessions of one scratch step in one pass, each with its own bits") {
  for (const bool mtp : {false, true}) {
    const OpenModel model(own_data("blocks32.gguf"), {.threads = 2});
    const Handle<inlay_pool> pool = make_pool(model, 40 * 256, mtp);
    const Handle<inlay_session> base = model.session(pooled(pool.get(), 512, mtp));
    prefill(base.get(), random_tokens(1, 70, model.vocabulary()), model.vocabulary());
    std::vector<Handle<inlay_session>> together, alone;
    std::vector<inlay_session*> batch;
    for (int32_t i = 0; i < 8; ++i) {
      together.push_back(fork_sharing(base.get()));
      alone.push_back(fork_sharing(base.get()));
      batch.push_back(together.back().get());
      // Each at a place of its own, with another number of tokens to replay.
      for (inlay_session* session : {together.back().get(), alone.back().get()}) {
        verify(session, random_tokens(static_cast<uint64_t>(i), 8, model.vocabulary()), model.vocabulary());
        commit(session, static_cast<size_t>(i));
      }
    }
    Random random(4);
    for (int round = 0; round < 12; ++round) {
      const size_t count = 1 + random.below(8);
      const std::vector<int32_t> tokens = random_tokens(random.next(), count, model.vocabulary());
      REQUIRE(inlay_session_begin_steps(batch.data(), tokens.data(), count) == INLAY_OK);
      if (count > 1) {
        CHECK(inlay_session_step(batch[1], 1) == INLAY_ERROR_WRONG_STATE);
        CHECK(inlay_session_advance(batch[1], 1, nullptr) == INLAY_ERROR_WRONG_STATE);
      }
      if (round == 5) {
        inlay_session_cancel(batch[0]);
        CHECK(inlay_session_finish(batch[0]) == INLAY_ERROR_CANCELLED);
        REQUIRE(inlay_session_begin_steps(batch.data(), tokens.data(), count) == INLAY_OK);
      }
      REQUIRE(inlay_session_finish(batch[0]) == INLAY_OK);
      std::vector<Logits> rows;
      for (size_t i = 0; i < count; ++i) rows.push_back(logits_of(batch[i], 0, model.vocabulary()));
      for (size_t i = 0; i < count; ++i) {
        CHECK(inlay_session_rewindable(batch[i]) == 1);
        CHECK(same_bits(rows[i], step(alone[i].get(), tokens[i], model.vocabulary())));
      }
    }
    const int32_t tokens[] = {1, 2};
    inlay_session* twice[] = {batch[0], batch[0]};
    CHECK(inlay_session_begin_steps(twice, tokens, 2) == INLAY_ERROR_BUSY);
    const Handle<inlay_session> stranger = model.session(session_params(512, mtp));
    inlay_session* strangers[] = {batch[0], stranger.get()};
    CHECK(inlay_session_begin_steps(strangers, tokens, 2) == INLAY_ERROR_INVALID_ARGUMENT);
    CHECK(inlay_session_begin_steps(batch.data(), tokens, 0) == INLAY_ERROR_INVALID_ARGUMENT);
    // One that goes in the middle ends the pass for all.
    REQUIRE(inlay_session_begin_steps(batch.data(), tokens, 2) == INLAY_OK);
    together[1].reset();
    CHECK(inlay_session_step(batch[0], 5) == INLAY_OK);
  }
}

TEST_CASE("sessions of a batch stand anywhere in their contexts") {
  // One thread and eight rows: slices of 1,024 keys; runs of keys are of 2,048.
  constexpr size_t kLengths[] = {1, 5, 255, 1023, 1100, 2040, 2047, 2300};
  const OpenModel model(own_data("blocks256.gguf"));
  const std::vector<int32_t> tokens = random_tokens(12, kLengths[7], model.vocabulary());
  const Handle<inlay_session> base = model.session(session_params(2400, false, INLAY_KV_F16, 512));
  std::vector<Handle<inlay_session>> together, alone;
  for (const size_t length : kLengths) {
    const uint64_t fed = inlay_session_position(base.get());
    prefill(base.get(), std::span(tokens).subspan(fed, length - fed), model.vocabulary());
    together.push_back(fork_sharing(base.get()));
    alone.push_back(fork_sharing(base.get()));
  }
  for (int32_t round = 0; round < 8; ++round) {
    // Each leads once.
    std::vector<inlay_session*> batch;
    std::vector<int32_t> next;
    for (size_t i = 0; i < together.size(); ++i) {
      batch.push_back(together[(i + static_cast<size_t>(round)) % together.size()].get());
      next.push_back(tokens[i * 8 + static_cast<size_t>(round)]);
    }
    REQUIRE(inlay_session_begin_steps(batch.data(), next.data(), batch.size()) == INLAY_OK);
    REQUIRE(inlay_session_finish(batch[0]) == INLAY_OK);
    std::vector<Logits> rows;
    for (inlay_session* session : batch) rows.push_back(logits_of(session, 0, model.vocabulary()));
    for (size_t i = 0; i < batch.size(); ++i) {
      inlay_session* same = alone[(i + static_cast<size_t>(round)) % alone.size()].get();
      CHECK(same_bits(rows[i], step(same, next[i], model.vocabulary())));
    }
  }
}

TEST_CASE("a step of a batch that is taken back leaves what a step alone does") {
  const OpenModel model(own_data("blocks32.gguf"), {.threads = 2});
  const Handle<inlay_session> base = model.session(session_params(256, true));
  prefill(base.get(), random_tokens(13, 20, model.vocabulary()), model.vocabulary());
  std::vector<Handle<inlay_session>> together, alone;
  std::vector<inlay_session*> batch;
  for (size_t i = 0; i < 4; ++i) {
    together.push_back(fork_sharing(base.get()));
    alone.push_back(fork_sharing(base.get()));
    batch.push_back(together.back().get());
    // The last token's hidden state, from which the MTP head goes on, lies in another row of each.
    for (inlay_session* session : {together.back().get(), alone.back().get()}) {
      verify(session, random_tokens(i, 8, model.vocabulary()), model.vocabulary());
      commit(session, 2 * i + 1);
    }
  }
  const std::vector<int32_t> tokens = random_tokens(14, 4, model.vocabulary());
  REQUIRE(inlay_session_begin_steps(batch.data(), tokens.data(), batch.size()) == INLAY_OK);
  REQUIRE(inlay_session_finish(batch[0]) == INLAY_OK);
  for (size_t i = 0; i < batch.size(); ++i) {
    CAPTURE(i);
    step(alone[i].get(), tokens[i], model.vocabulary());
    for (inlay_session* session : {batch[i], alone[i].get()}) {
      REQUIRE(inlay_session_rewind(session, 1) == INLAY_OK);
      for (int32_t token = 0; token < 2; ++token) step(session, token, model.vocabulary());
    }
    // All of the state, the MTP head's keys and values too; the logits are the last step's.
    const bool same = [&] {
      step(batch[i], 7, model.vocabulary());
      const std::vector<std::byte> saved = save_to_memory(batch[i]);
      step(alone[i].get(), 7, model.vocabulary());
      return saved == save_to_memory(alone[i].get());
    }();
    CHECK(same);
  }
}
